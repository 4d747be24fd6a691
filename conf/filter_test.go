package conf

import (
	"fmt"
	"strings"
	"testing"
)

// A mapFilter knows the keys that its settings name: keys = a=1 b=2, and three fixed ones.
type mapFilter struct {
	fail bool
	keys map[string]string
}

func (m *mapFilter) Declare(d *Decl) {
	d.Bool(&m.fail, "fail", false, "Whether it cannot be opened.")
	var ignored string
	d.String(&ignored, "command", "", "Ignored.")
	d.String(&ignored, "charset", "", "Ignored.")
}

func (m *mapFilter) Lookup(key string) (string, error) {
	if v, ok := m.keys[key]; ok {
		return v, nil
	}
	return "", fmt.Errorf("no key %q", key)
}

func testFilter(typ string) FilterKind {
	return DefineFilter(typ, "org.example."+typ, "For tests.", func(m *mapFilter, sec *Section) (Filter, error) {
		if m.fail {
			return nil, fmt.Errorf("opening the test filter")
		}
		m.keys = map[string]string{"my_keystore_password": "Secret123", "agent_name": "1234", "odd": "${f1['odd']}", "none": ""}
		return m, nil
	})
}

func TestFilters(t *testing.T) {
	base := []string{
		"a1.configfilters = f1 f2",
		"a1.configfilters.f1.type = MAP",
		"a1.configfilters.f2.type = map",
		"a1.channels = c1",
		"a1.channels.c1.type = memory",
	}
	o := Options{Filters: []FilterKind{testFilter("map"), RefuseFilter("hadoop", "org.example.Hadoop", "needs Java; keep it there")}}
	for _, c := range []struct{ line, want, problem string }{
		{`a1.channels.c1.x = ${f1['agent_name']}`, "1234", ""},
		{`a1.channels.c1.x = ${f1["agent_name"]}/${f2[agent_name]}/`, "1234/1234/", ""},
		{`a1.channels.c1.x = ${f1['odd']}`, "${f1['odd']}", ""},
		{`a1.channels.c1.x = ${f1['nope']}`, "", `a1.channels.c1.x: ${f1['nope']}: no key "nope"`},
		{`a1.channels.c1.x = ${f3['agent_name']}`, "", `a1 lists no config filter "f3"`},
		{`a1.channels.c1.x = ${f1['a.b']}`, "", `no config filter token`},
		{`a1.channels.c1.x = $${f1['agent_name']}`, "${f1['agent_name']}", ""},
		{"a1.channels.c1.x = ${pw}\npw = ${f1['agent_name']}", "1234", ""},
		{"a1.channels.c1.x = ${env:pw:-${f1['agent_name']}}", "1234", ""},
		{"a1.channels.c1.x = ${${f1['agent_name']}:-7}", "7", ""},
		{"a1.configfilters.f1.command = ${f2['agent_name']}", "", "not applied to the settings of config filters"},
		{"a1.sinks = ${f2['agent_name']}", "", "not applied to the lists"},
		{"a1.configfilters.f1.fail = true\na1.channels.c1.x = ${f1['agent_name']}", "", "opening the test filter"},
		{"a1.configfilters.f1.type = hadoop\na1.channels.c1.x = ${f1['agent_name']}", "", "needs Java; keep it there"},
		{"a1.configfilters.f1.type = mop", "", `there is no config filter type "mop"; did you mean "map"?`},
	} {
		cfg, problems := parse(t, o, append(base, c.line)...)
		c1 := cfg.Agent("a1").Channels[0]
		v, _ := c1.Get("x")
		if c.problem == "" {
			if len(problems) > 0 || v.Text != c.want {
				t.Errorf("%s: %+v, %s", c.line, v, problems)
			}
			continue
		}
		if !strings.Contains(problems.String(), c.problem) || !problems.Fatal() {
			t.Errorf("%s: problems\n%swant %s", c.line, problems, c.problem)
		}
		if strings.Contains(c.line, "c1.x") && !c1.Fatal() {
			t.Errorf("%s: c1 can run", c.line)
		}
	}
}

// TestFilterAgent: the filters of other agents are not asked.
func TestFilterAgent(t *testing.T) {
	asked := 0
	kind := DefineFilter("count", "", "", func(m *mapFilter, sec *Section) (Filter, error) {
		asked++
		m.keys = map[string]string{"k": "v"}
		return m, nil
	})
	var lines []string
	for _, a := range []string{"a1", "a2"} {
		lines = append(lines, a+".configfilters = f", a+".configfilters.f.type = count",
			a+".channels = c", a+".channels.c.type = ${f['k']}", a+".channels.c.other = ${f['k']}")
	}
	_, problems := parse(t, Options{Agent: "a2", Filters: []FilterKind{kind}}, lines...)
	if asked != 1 || len(problems) > 0 {
		t.Errorf("asked %d times, %s", asked, problems)
	}
}

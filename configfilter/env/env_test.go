package env

import (
	"strings"
	"testing"

	"github.com/sluice-io/sluice/conf"
)

func TestEnv(t *testing.T) {
	const file = `a1.configfilters = f1
a1.configfilters.f1.type = org.apache.flume.configfilter.EnvironmentVariableConfigFilter
a1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.set = x${f1['SET']}y
a1.channels.c1.empty = ${f1['EMPTY']}
a1.channels.c1.missing = ${f1['MISSING']}
`
	values := map[string]string{"SET": "hunter2", "EMPTY": ""}
	o := conf.Options{
		Env:     func(name string) (string, bool) { v, ok := values[name]; return v, ok },
		Filters: []conf.FilterKind{Kind},
	}
	c, problems, err := conf.Parse("f", []byte(file), o)
	if err != nil {
		t.Fatal(err)
	}
	c1 := c.Agent("a1").Channels[0]
	if v, _ := c1.Get("set"); v.Text != "xhunter2y" || !v.Secret {
		t.Errorf("set %+v", v)
	}
	if v, ok := c1.Get("empty"); ok {
		t.Errorf("empty %+v", v)
	}
	const want = "f:7: a1.channels.c1.missing: ${f1['MISSING']}: the environment variable MISSING is not set\n"
	if problems.String() != want || !c1.Fatal() {
		t.Errorf("problems %s", problems)
	}
	if strings.Contains(problems.String(), "hunter2") {
		t.Error("the secret is shown")
	}
	o.Env = nil
	if _, problems, _ := conf.Parse("f", []byte(file), o); !problems.Fatal() {
		t.Error("an environment out of nothing")
	}
}

package conf

import (
	"strings"
	"testing"
)

// parse reads text as a file named a.conf.
func parse(t *testing.T, o Options, lines ...string) (*Config, Problems) {
	t.Helper()
	c, problems, err := Parse("a.conf", []byte(strings.Join(lines, "\n")), o)
	if err != nil {
		t.Fatal(err)
	}
	return c, problems
}

func TestParse(t *testing.T) {
	c, problems := parse(t, Options{},
		"a1.sources = r1",
		"a1.channels = c1 c2",
		"a1.sinks = k1",
		"a1.sources.r1.type = netcat",
		"a1.sources.r1.channels = c1 c2",
		"a1.channels.c1.type = memory",
		"a1.channels.c2.type = memory",
		"a1.sinks.k1.type = logger",
		"a1.sinks.k1.channel = c1")
	if len(problems) > 0 {
		t.Error(problems)
	}
	a := c.Agent("a1")
	if a == nil || len(a.Sources) != 1 || len(a.Channels) != 2 || len(a.Sinks) != 1 {
		t.Fatalf("agent %+v", a)
	}
	if v, ok := a.Sources[0].Get("channels"); !ok || v.Text != "c1 c2" || v.Pos.String() != "a.conf:5" {
		t.Errorf("channels %+v", v)
	}
}

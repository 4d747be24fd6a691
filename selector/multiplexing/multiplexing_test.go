package multiplexing

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

var channels = []string{"c1", "c2", "c3", "c4"}

func selecting(t testing.TB, settings ...string) (flume.Selector, *flumetest.Env) {
	env := flumetest.NewEnv()
	env.Channels = channels
	return flumetest.OpenIn(t, env, Kind, settings...), env
}

func events(values ...string) flume.Batch {
	b := flumetest.Events(0, len(values))
	for i, v := range values {
		if v != "-" {
			b[i].Headers.Set("state", v)
		}
	}
	return b
}

func TestLaws(t *testing.T) {
	flumetest.Selector(t, 4, func(t testing.TB) flume.Selector {
		s, _ := selecting(t, "header = n", "mapping.1 = c1 c2", "optional.2 = c3", "default = c4")
		return s
	})
}

func TestSelect(t *testing.T) {
	usual := []string{
		"header = state", "mapping.CZ = c1", "mapping.US = c2  c3", "optional.US = c1,c3", "optional.DE = c1 c4", "mapping.a.b c = c2,c2", "default = c4",
	}
	for _, x := range []struct {
		name     string
		settings []string
		values   []string
		want     string // required/optional bodies by channel
	}{
		{"mapped", usual, []string{"CZ", "US", "US", "CZ"}, "0 3/1 2 | 1 2/ | 1 2/ | /"},
		{"optional without a mapping: the default is required", usual, []string{"DE"}, "/0 | / | / | 0/"},
		{"a value with dots and blanks", usual, []string{"a.b c"}, "/ | 0/ | / | /"},
		{"anything else", usual, []string{"cz", " CZ", "-", "", " \t", "XX"}, "/ | / | / | 0 1 2 3 4 5/"},
		{"optional of a blank value is not used", []string{"header = state", "optional.- = c1", "mapping.CZ = c2"}, []string{"", "CZ"}, "/ | 1/ | / | /"},
		{"optional alone", []string{"header = state", "optional.DE = c1"}, []string{"DE"}, "/0 | / | / | /"},
		{"the default of the header's name", []string{"mapping.x = c1"}, []string{"x"}, "/ | / | / | /"},
	} {
		t.Run(x.name, func(t *testing.T) {
			s, env := selecting(t, x.settings...)
			var r flume.Routes
			r.Reset(4)
			s.Select(events(x.values...), &r)
			var got []string
			routed := 0
			for c := range channels {
				got = append(got, strings.Join(flumetest.Bodies(r.Required(c)), " ")+"/"+strings.Join(flumetest.Bodies(r.Optional(c)), " "))
				routed += len(r.Required(c)) + len(r.Optional(c))
			}
			if text := strings.Join(got, " | "); text != x.want {
				t.Errorf("%s\ninstead of\n%s", text, x.want)
			}
			if dropped := env.Count("EventUnroutedCount"); (dropped > 0) != strings.Contains(env.Logged(), "level=WARN") {
				t.Errorf("%d events were dropped, and the log says\n%s", dropped, env.Logged())
			}
		})
	}
}

func TestDroppedOnce(t *testing.T) {
	s, env := selecting(t, "header = state", "mapping.CZ = c1")
	for range 3 {
		var r flume.Routes
		r.Reset(4)
		s.Select(events("X", "Y", "CZ", "-"), &r)
	}
	if n := env.Count("EventUnroutedCount"); n != 9 {
		t.Errorf("%d events were counted as dropped", n)
	}
	if log := env.Logged(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "header=state value=X") {
		t.Error(log)
	}
}

func TestProblems(t *testing.T) {
	got := flumetest.Problems(t, Kind, channels[:2], "mapping.CZ = c1 c9", "mapping.US = ,", "optional.CZ = c8", "default = c7", "maping.DE = c1").String()
	for _, want := range []string{
		`flume.conf:1: a1.components.x1.mapping.CZ: "c9" is not a channel of the source, which has c1, c2`,
		`flume.conf:2: a1.components.x1.mapping.US: names no channel`,
		`flume.conf:3: a1.components.x1.optional.CZ: "c8" is not a channel of the source, which has c1, c2`,
		`flume.conf:4: a1.components.x1.default: "c7" is not a channel of the source, which has c1, c2`,
		`flume.conf:5: a1.components.x1.maping.DE: is not a setting; did you mean "mapping.DE"?`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 5 {
		t.Errorf("%d problems:\n%s", n, got)
	}
	env := flumetest.NewEnv()
	env.Channels = channels
	plan, _ := Kind.Bind(flumetest.Section(t, "mapping.CZ = c9"))
	if _, err := plan.Open(t.Context(), env.Env); err == nil {
		t.Error("it opens with a channel that is not there")
	}
}

// A batch of one value is handed on as it is; one of changing values costs a few allocations.
func TestAllocations(t *testing.T) {
	s, _ := selecting(t, "header = state", "mapping.CZ = c1", "mapping.US = c2", "default = c4")
	one := events(slices.Repeat([]string{"CZ"}, 100)...)
	two := events(slices.Repeat([]string{"CZ", "US"}, 50)...)
	var r flume.Routes
	for _, x := range []struct {
		batch flume.Batch
		most  float64
	}{{one, 0}, {two, 4}} {
		r.Reset(4)
		reset := testing.AllocsPerRun(100, func() { r.Reset(4) })
		got := testing.AllocsPerRun(100, func() {
			r.Reset(4)
			s.Select(x.batch, &r)
		}) - reset
		if got > x.most {
			t.Errorf("%v allocations for a batch of 100", got)
		}
	}
	r.Reset(4)
	s.Select(one, &r)
	if &r.Required(0)[0] != &one[0] {
		t.Error("a batch of one value was copied")
	}
}

func BenchmarkSelect(b *testing.B) {
	s, _ := selecting(b, "header = state", "mapping.CZ = c1", "mapping.US = c2", "default = c4")
	for _, x := range []struct {
		name  string
		batch flume.Batch
	}{
		{"one value", events(slices.Repeat([]string{"CZ"}, 100)...)},
		{"changing values", events(slices.Repeat([]string{"CZ", "US"}, 50)...)},
	} {
		b.Run(x.name, func(b *testing.B) {
			var r flume.Routes
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(4)
				s.Select(x.batch, &r)
			}
		})
	}
}

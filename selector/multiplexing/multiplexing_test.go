package multiplexing

import (
	"fmt"
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
		{"optional of a blank value is not used", []string{"header = state", "optional.- = c1", "mapping.CZ = c2", "unmatched = drop"}, []string{"", "CZ"}, "/ | 1/ | / | /"},
		{"optional alone", []string{"header = state", "optional.DE = c1", "unmatched = drop"}, []string{"DE"}, "/0 | / | / | /"},
		{"the default of the header's name", []string{"mapping.x = c1", "unmatched = drop"}, []string{"x"}, "/ | / | / | /"},
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

func TestUnmatched(t *testing.T) {
	values := []string{"X", "Y", "CZ", "-", "X"}
	route := func(s flume.Selector) (r flume.Routes) {
		r.Reset(4)
		s.Select(events(values...), &r)
		return r
	}
	t.Run("dropped", func(t *testing.T) {
		s, env := selecting(t, "header = state", "mapping.CZ = c1", "unmatched = drop")
		for range 3 {
			r := route(s)
			if got := strings.Join(flumetest.Bodies(r.Required(0)), " "); got != "2" || r.Refused() != nil || len(r.Rejected()) > 0 {
				t.Errorf("the channel gets %s, refused %v, rejected %v", got, r.Refused(), r.Rejected())
			}
		}
		if n := env.Count("EventUnroutedCount"); n != 12 {
			t.Errorf("%d events were counted as dropped", n)
		}
		log := env.Logged()
		for _, value := range []string{`state = \"X\" has no mapping`, `state = \"Y\" has no mapping`, `no value of state`} {
			if n := strings.Count(log, value); n != 1 {
				t.Errorf("%s is said %d times:\n%s", value, n, log)
			}
		}
		if n := strings.Count(log, "\n"); n != 3 {
			t.Errorf("%d lines:\n%s", n, log)
		}
	})
	t.Run("values that differ in digits only", func(t *testing.T) {
		s, env := selecting(t, "header = state", "mapping.CZ = c1", "unmatched = drop")
		for range 2 {
			for i := 1; i <= 6; i++ {
				var r flume.Routes
				r.Reset(4)
				s.Select(events(fmt.Sprint("w", i)), &r)
			}
		}
		log := env.Logged()
		for i := 1; i <= 6; i++ {
			if strings.Count(log, fmt.Sprintf(`state = \"w%d\"`, i)) != 1 {
				t.Errorf("w%d is not said once:\n%s", i, log)
			}
		}
	})
	t.Run("the log is bounded", func(t *testing.T) {
		s, env := selecting(t, "header = state", "mapping.CZ = c1", "unmatched = drop")
		for i := range 100 {
			var r flume.Routes
			r.Reset(4)
			s.Select(events(strings.Repeat("long", i+1)), &r)
		}
		if log := env.Logged(); strings.Count(log, "\n") > 10 || len(log) > 5000 {
			t.Errorf("a log of %d lines, %d bytes", strings.Count(log, "\n"), len(log))
		}
	})
	t.Run("to the dead letters", func(t *testing.T) {
		s, env := selecting(t, "header = state", "mapping.CZ = c1", "unmatched = DeadLetter")
		r := route(s)
		var rejected []string
		for _, x := range r.Rejected() {
			rejected = append(rejected, string(x.Event.Body)+": "+x.Err.Error())
		}
		want := []string{`0: state = "X" has no mapping, and there is no default`, `1: state = "Y" has no mapping, and there is no default`,
			`3: the event has no value of state, and there is no default`, `4: state = "X" has no mapping, and there is no default`}
		if !slices.Equal(rejected, want) || r.Refused() != nil || len(r.Required(0)) != 1 {
			t.Errorf("%q", rejected)
		}
		if env.Count("EventUnroutedCount") != 0 || env.Logged() != "" {
			t.Error("what is kept is said to be dropped")
		}
		if r.Reset(4); len(r.Rejected()) > 0 {
			t.Error("the next batch is answered as the last one")
		}
	})
	t.Run("refused", func(t *testing.T) {
		s, env := selecting(t, "header = state", "mapping.CZ = c1", "unmatched = refuse")
		r := route(s)
		if err := r.Refused(); err == nil || err.Error() != `state = "X" has no mapping, and there is no default` {
			t.Error(err)
		}
		if env.Count("EventUnroutedCount") != 0 || len(r.Rejected()) > 0 {
			t.Error("what is refused is dropped")
		}
		if r.Reset(4); r.Refused() != nil {
			t.Error("the next batch is answered as the last one")
		}
	})
}

// Who says nothing of events without a mapping is told that they are dropped.
func TestUndecided(t *testing.T) {
	for settings, want := range map[string]bool{"": true, "default = c1": false, "unmatched = drop": false, "unmatched = deadletter": false, "unmatched = refuse": false} {
		all := []string{"mapping.CZ = c1"}
		if settings != "" {
			all = append(all, settings)
		}
		got := flumetest.Problems(t, Kind, channels, all...)
		if warned := strings.Contains(got.String(), "x1.default: is not set: events whose value has no mapping are dropped"); warned != want || got.Fatal() || len(got) > 1 {
			t.Errorf("%s: %v", settings, got)
		}
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

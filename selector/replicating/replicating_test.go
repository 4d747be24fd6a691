package replicating

import (
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func selecting(t testing.TB, settings ...string) flume.Selector {
	env := flumetest.NewEnv()
	env.Channels = []string{"c1", "c2", "c3"}
	return flumetest.OpenIn(t, env, Kind, settings...)
}

func TestLaws(t *testing.T) {
	flumetest.Selector(t, 3, func(t testing.TB) flume.Selector { return selecting(t, "optional = c2") })
}

func TestSelect(t *testing.T) {
	b := flumetest.Events(0, 5)
	var r flume.Routes
	r.Reset(3)
	selecting(t, "optional = c3\tc1").Select(b, &r)
	for channel, want := range []struct{ required, optional int }{{0, 5}, {5, 0}, {0, 5}} {
		if len(r.Required(channel)) != want.required || len(r.Optional(channel)) != want.optional {
			t.Errorf("channel %d must take %d events and is offered %d", channel, len(r.Required(channel)), len(r.Optional(channel)))
		}
	}
	if &r.Required(1)[0] != &b[0] || &r.Optional(0)[0] != &b[0] {
		t.Error("the batch was copied")
	}
}

func TestProblems(t *testing.T) {
	got := flumetest.Problems(t, Kind, []string{"c1", "c2"}, "optional = c2 c3, c4").String()
	const want = `flume.conf:1: a1.components.x1.optional: "c3," is not a channel of the source, which has c1, c2` + "\n" +
		`flume.conf:1: a1.components.x1.optional: "c4" is not a channel of the source, which has c1, c2` + "\n"
	if got != want {
		t.Errorf("%s\ninstead of\n%s", got, want)
	}
	if got := flumetest.Problems(t, Kind, nil, "optional = c9"); len(got) != 0 {
		t.Errorf("where the channels are not known nothing can be said of them: %s", got)
	}
	env := flumetest.NewEnv()
	env.Channels = []string{"c1"}
	plan, _ := Kind.Bind(flumetest.Section(t, "optional = c9"))
	if _, err := plan.Open(t.Context(), env.Env); err == nil {
		t.Error("it opens with a channel that is not there")
	}
}

func BenchmarkSelect(b *testing.B) {
	s := selecting(b)
	batch := flumetest.Events(0, 100)
	var r flume.Routes
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(3)
		s.Select(batch, &r)
	}
}

package defaultgroup

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestProcess(t *testing.T) {
	env := flumetest.NewEnv()
	env.Sinks = []string{"k1"}
	p := flumetest.OpenIn(t, env, Kind)
	broken := errors.New("broken")
	for _, want := range []error{nil, flume.ErrEmpty, broken} {
		once := flume.Drain{Name: "k1", Once: func(context.Context) error { return want }}
		if err := p.Process(t.Context(), []flume.Drain{once}); !errors.Is(err, want) {
			t.Errorf("%v instead of %v", err, want)
		}
	}
	if err := p.Process(t.Context(), nil); !errors.Is(err, flume.ErrEmpty) {
		t.Errorf("while its sink is paused it returns %v", err)
	}
}

func TestOneSink(t *testing.T) {
	const want = "takes exactly one sink, the group has 2 (k1, k2)"
	if got := flumetest.Problems(t, Kind, []string{"k1", "k2"}).String(); !strings.Contains(got, want) {
		t.Error(got)
	}
	for _, sinks := range [][]string{nil, {"k1"}} {
		if got := flumetest.Problems(t, Kind, sinks); len(got) > 0 {
			t.Errorf("%v: %v", sinks, got)
		}
	}
	plan, _ := Kind.Bind(flumetest.Section(t))
	env := flumetest.NewEnv()
	env.Sinks = []string{"k1", "k2"}
	if _, err := plan.Open(t.Context(), env.Env); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("opening returned %v", err)
	}
}

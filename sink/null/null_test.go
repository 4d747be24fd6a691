package null

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Sink(t, func(t testing.TB) flume.Sink { return flumetest.Open(t, Kind) })
}

func TestEveryNEvents(t *testing.T) {
	env := flumetest.NewEnv()
	s := flumetest.OpenIn(t, env, Kind, "logEveryNEvents = 10")
	for _, n := range []int{9, 1, 5, 4, 1, 25, 100} {
		if err := s.Deliver(t.Context(), flumetest.Events(0, n)); err != nil {
			t.Fatal(err)
		}
	}
	var want strings.Builder
	for n := 10; n <= 140; n += 10 {
		fmt.Fprintf(&want, "msg=\"Null sink x1 successful processed %d events.\"\n", n)
	}
	var got strings.Builder
	for line := range strings.Lines(env.Logged()) {
		_, message, _ := strings.Cut(line, "level=INFO ")
		got.WriteString(message)
	}
	if got.String() != want.String() {
		t.Errorf("%s\ninstead of\n%s", &got, &want)
	}
}

func TestSettings(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t))
	if len(problems) > 0 || *plan.Settings.(*Settings) != (Settings{100, 10000}) || plan.Limits.BatchSize != 100 {
		t.Errorf("%+v %v", plan.Settings, problems)
	}
	if got := flumetest.Problems(t, Kind, nil, "batchSize = 0", "logEveryNEvents = 0"); len(got) != 2 || !got.Fatal() {
		t.Error(got)
	}
}

func TestAllocations(t *testing.T) {
	s := flumetest.Open(t, Kind)
	b := flumetest.Events(0, 100)
	if n := testing.AllocsPerRun(50, func() {
		if err := s.Deliver(t.Context(), b); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

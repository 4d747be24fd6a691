package external

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stores = `command = n=0; while read -r line; do n=$((n+1)); echo "{\"id\":$n,\"ok\":true}"; done`

func TestLaws(t *testing.T) {
	flumetest.Sink(t, func(t testing.TB) flume.Sink { return flumetest.Open(t, Kind, "shell = /bin/sh -c", stores) })
}

func TestSink(t *testing.T) {
	s := flumetest.Open(t, Kind, "shell = /bin/sh -c", stores, "maxLineBytes = 2000")
	if l := s.Limits(); l.Bytes != 2000 {
		t.Errorf("%+v", l)
	}
	for range 3 {
		if err := s.Deliver(t.Context(), flumetest.Events(0, 100)); err != nil { // several lines
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t, "command = x"))
	if len(problems) > 0 || plan.Limits.BatchSize != 100 {
		t.Errorf("%+v %v", plan.Settings, problems)
	}
}

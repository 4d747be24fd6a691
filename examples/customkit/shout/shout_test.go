package shout

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// The laws of sinks come with Sluice.
func TestLaws(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	flumetest.Sink(t, func(t testing.TB) flume.Sink { return flumetest.Open(t, Kind, "file = "+file) })
}

func TestShout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	for range 2 { // it goes on where it was
		s := flumetest.Open(t, Kind, "file = "+file)
		if err := s.Deliver(t.Context(), flume.Batch{{Body: []byte("one")}, {Body: []byte("two")}}); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != "ONE\nTWO\nONE\nTWO\n" {
		t.Errorf("%q, %v", got, err)
	}
}

package scribe

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/thriftrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaws(t *testing.T) {
	port := flumetest.FreePort(t, "tcp")
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "bind = 127.0.0.1", "port = "+port)
	})
}

// Calls as real clients make them, in the old style and strictly, and the answers of Flume's source, byte for byte.
const (
	entry  = "\x0b\x00\x01\x00\x00\x00\x03cat\x0b\x00\x02\x00\x00\x00\x03old\x00"
	old    = "\x00\x00\x00\x2a\x00\x00\x00\x03Log\x01\x00\x00\x00\x07\x0f\x00\x01\x0c\x00\x00\x00\x01" + entry + "\x00"
	strict = "\x00\x00\x00\x2d\x80\x01\x00\x01\x00\x00\x00\x03Log\x00\x00\x00\x01\x0f\x00\x01\x0c\x00\x00\x00\x01" + entry + "\x00"
	empty  = "\x00\x00\x00\x15\x00\x00\x00\x03Log\x01\x00\x00\x00\x07\x0f\x00\x01\x0c\x00\x00\x00\x00\x00"
	bare   = "\x00\x00\x00\x0d\x00\x00\x00\x03Log\x01\x00\x00\x00\x07\x00" // without the list

	okay  = "\x00\x00\x00\x14\x00\x00\x00\x03Log\x02\x00\x00\x00\x07\x08\x00\x00\x00\x00\x00\x00\x00"
	okay1 = "\x00\x00\x00\x14\x00\x00\x00\x03Log\x02\x00\x00\x00\x01\x08\x00\x00\x00\x00\x00\x00\x00"
	later = "\x00\x00\x00\x14\x00\x00\x00\x03Log\x02\x00\x00\x00\x07\x08\x00\x00\x00\x00\x00\x01\x00"
)

func TestLog(t *testing.T) {
	full := false
	r := flumetest.Run(t, Kind, func(flume.Batch) error {
		if full {
			return flume.ErrFull
		}
		return nil
	}, "bind = 127.0.0.1", "port = 0")
	conn, err := net.Dial("tcp", r.Source.(*rpc.Source).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(call, want string) {
		t.Helper()
		if _, err := conn.Write([]byte(call)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
	}
	ask(old, okay)
	ask(strict, okay1)
	ask(empty, okay)
	ask(bare, later)
	full = true
	ask(old, later)
	full = false
	ask(old, okay)
	if got := fmt.Sprintf("%s", r.Batches()); got != "[[{[{category cat}] old}] [{[{category cat}] old}] [{[{category cat}] old}]]" {
		t.Error(got)
	}
	if n := r.Count("EventReadFail"); n != 1 {
		t.Errorf("EventReadFail is %d", n)
	}
	log := r.Logged()
	for _, said := range []string{"the call lacks its argument", "the channel is full", "The channels take events again"} {
		if strings.Count(log, said) != 1 {
			t.Errorf("%q is not said once:\n%s", said, log)
		}
	}
}

func TestSettings(t *testing.T) {
	f := func(want string, settings ...string) {
		t.Helper()
		problems := flumetest.Problems(t, Kind, nil, settings...)
		if got := strings.TrimSpace(problems.String()); got != want || problems.Fatal() {
			t.Errorf("%q:\n%s, want\n%s", settings, got, want)
		}
	}
	f("")
	f("", "port = 1463", "workerThreads = 20", "maxReadBufferBytes = 100000")
	f("flume.conf:1: a1.components.x1.workerThreads: 0 is less than 1; the default 5 is taken", "workerThreads = 0")
	f("flume.conf:1: a1.components.x1.maxReadBufferBytes: -1 is less than 1; the default 16384000 is taken", "maxReadBufferBytes = -1")
	plan, _ := Kind.Bind(flumetest.Section(t))
	s := plan.Settings.(*Settings)
	if s.Port != 1499 || s.Workers != 5 || s.MaxFrame != thriftrpc.MaxFrame {
		t.Errorf("%+v", s)
	}
	if h := s.Holds(); len(h) != 1 || h[0] != "tcp://0.0.0.0:1499" {
		t.Error(h)
	}
}

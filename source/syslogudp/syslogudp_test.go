package syslogudp

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/oneway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaws(t *testing.T) {
	port := flumetest.FreePort(t, "udp")
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "host = 127.0.0.1", "port = "+port)
	})
}

func start(t testing.TB, answer func(flume.Batch) error, settings ...string) (*flumetest.Running, net.Conn) {
	t.Helper()
	r := flumetest.Run(t, Kind, answer, append([]string{"host = 127.0.0.1", "port = 0"}, settings...)...)
	return r, dial(t, r)
}

func dial(t testing.TB, r *flumetest.Running) net.Conn {
	conn, err := net.Dial("udp", r.Source.(*oneway.Datagrams).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestMessages(t *testing.T) {
	r, conn := start(t, nil, "clientIPHeader = ip")
	for i, sent := range []string{"<13>1 2026-10-11T22:14:15Z host hello", "<13>1 - h a\n at line 2\n", "", "<13>1 - h " + strings.Repeat("x", 65_000)} {
		send(t, conn, sent)
		r.Await(t, []int{1, 3, 3, 4}[i]) // so that none is lost
	}
	got := r.Await(t, 4)
	if len(got[3].Body) != 65_000 {
		t.Errorf("%d bytes of a large datagram", len(got[3].Body))
	}
	if want := "[{[{Facility 1} {Severity 5} {priority 13} {version 1} {timestamp 1791756855000} {host host} {ip 127.0.0.1}] hello}" +
		" {[{Facility 1} {Severity 5} {priority 13} {version 1} {host h} {ip 127.0.0.1}] a}" +
		" {[{Facility 0} {Severity 0} {flume.syslog.status Invalid} {ip 127.0.0.1}]  at line 2}]"; fmt.Sprintf("%s", got[:3]) != want {
		t.Errorf("%s\ninstead of\n%s", got[:3], want)
	}
}

func TestFirstLineOnly(t *testing.T) {
	r, conn := start(t, nil, "firstLineOnly = true")
	send(t, conn, "<13>1 - h a\nb\nc")
	send(t, conn, "<13>1 - h d")
	if got := fmt.Sprint(flumetest.Bodies(r.Await(t, 2))); got != "[a d]" {
		t.Error(got)
	}
}

// While the channel does not take events, datagrams wait in the kernel; each is named after its own sender.
func TestAFailingChannel(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	r, conn := start(t, func(flume.Batch) error {
		if full.Load() {
			return errors.New("out of room")
		}
		return nil
	}, "keepFields = all")
	for i := range 50 {
		send(t, conn, fmt.Sprintf("<13>%d", i))
	}
	flumetest.Until(t, "the failure is said", func() bool { return strings.Contains(r.Logged(), "out of room") })
	full.Store(false)
	got := flumetest.Bodies(r.Await(t, 50))
	for i, body := range got {
		if body != fmt.Sprintf("<13>%d", i) {
			t.Fatalf("%q is number %d", body, i)
		}
	}
	if n := strings.Count(r.Logged(), "out of room"); n != 1 {
		t.Errorf("the failure is said %d times", n)
	}
}

// What has arrived when the source is told to stop is offered until the channels, which are drained meanwhile, take it.
func TestStoppingWhileTheChannelIsFull(t *testing.T) {
	offers := 0
	r, conn := start(t, func(flume.Batch) error {
		if offers++; offers < 5 {
			return errors.New("out of room")
		}
		return nil
	}, "keepFields = all")
	const all = 250 // more than go into one transaction
	for i := range all {
		send(t, conn, fmt.Sprintf("<13>%d", i))
	}
	flumetest.Until(t, "the failure is said", func() bool { return strings.Contains(r.Logged(), "out of room") })
	r.Stop()
	got := flumetest.Bodies(slices.Concat(r.Batches()...))
	if len(got) != all || got[0] != "<13>0" || got[all-1] != fmt.Sprintf("<13>%d", all-1) {
		t.Errorf("%d of %d have come", len(got), all)
	}
	if strings.Contains(r.Logged(), "level=ERROR") {
		t.Error(r.Logged())
	}
}

// Close ends a stop that waits for the channels, and the log says how many events are lost.
func TestClosingWhileTheChannelIsFull(t *testing.T) {
	r, conn := start(t, func(flume.Batch) error { return errors.New("out of room") }, "keepFields = all")
	send(t, conn, "<13>a")
	flumetest.Until(t, "the failure is said", func() bool { return strings.Contains(r.Logged(), "out of room") })
	if err := r.Source.Close(); err != nil {
		t.Error(err)
	}
	r.Stop()
	if log := r.Logged(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "events=1") {
		t.Error(log)
	}
}

// What the kernel drops while the channels do not take events is said.
func TestDropsOfTheKernelAreSaid(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kernel does not tell")
	}
	var full atomic.Bool
	full.Store(true)
	r, conn := start(t, func(flume.Batch) error {
		if full.Load() {
			return errors.New("out of room")
		}
		return nil
	})
	large := strings.Repeat("x", 60_000)
	for range 400 { // 24 MB, more than the source asks for
		send(t, conn, large)
	}
	full.Store(false)
	flumetest.Until(t, "what is lost is said", func() bool {
		send(t, conn, "<13>x") // the kernel tells with what comes next
		return strings.Contains(r.Logged(), "Datagrams are lost")
	})
	if n := strings.Count(r.Logged(), "Datagrams are lost"); n != 1 || !strings.Contains(r.Logged(), "level=WARN") {
		t.Error(r.Logged())
	}
}

func TestMuch(t *testing.T) {
	r, conn := start(t, nil, "keepFields = all")
	const all = 2000
	other := dial(t, r)
	for i := range all {
		send(t, []net.Conn{conn, other}[i/3%2], fmt.Sprintf("<13>%d", i))
		if i%50 == 49 {
			r.Await(t, i+1)
		}
	}
	largest := 0
	for _, b := range r.Batches() {
		largest = max(largest, len(b))
	}
	if largest < 2 || largest > 100 {
		t.Errorf("the largest batch has %d events", largest)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	_, err = flumetest.TryOpen(t, flumetest.NewEnv(), Kind, "host = 127.0.0.1", "port = "+port)
	if err == nil || !strings.Contains(err.Error(), "listening on UDP 127.0.0.1:"+port) {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	if got := flumetest.Problems(t, Kind, nil, "bind = h").String(); !strings.Contains(got, "port: is required") || !strings.Contains(got, `bind: is taken as "host"`) {
		t.Error(got)
	}
	if h := (&Settings{Port: 514}).Holds(); len(h) != 1 || h[0] != "udp://0.0.0.0:514" {
		t.Errorf("holds %v", h)
	}
}

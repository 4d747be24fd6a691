package syslogtcp

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaws(t *testing.T) {
	port := flumetest.FreePort(t, "tcp")
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "host = 127.0.0.1", "port = "+port)
	})
}

type running struct{ *flumetest.Running }

func start(t testing.TB, answer func(flume.Batch) error, settings ...string) *running {
	t.Helper()
	return &running{flumetest.Run(t, Kind, answer, append([]string{"host = 127.0.0.1", "port = 0"}, settings...)...)}
}

func (r *running) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.Source.(*rpc.Source).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func (r *running) idle() bool { return r.Count("OpenConnectionCount") == 0 }

func TestMessages(t *testing.T) {
	r := start(t, nil, "clientIPHeader = ip", "keepFields = hostname")
	conn := r.dial(t)
	send(t, conn, "<13>1 2026-10-11T22:14:15Z host hello\n11 <13>1 - h x<13>1 - h half")
	conn.Close()
	got := r.Await(t, 3)
	if want := "[{[{Facility 1} {Severity 5} {priority 13} {version 1} {timestamp 1791756855000} {host host} {ip 127.0.0.1}] host hello}" +
		" {[{Facility 1} {Severity 5} {priority 13} {version 1} {host h} {ip 127.0.0.1}] h x}" +
		" {[{Facility 1} {Severity 5} {priority 13} {version 1} {host h} {flume.syslog.status Incomplete} {ip 127.0.0.1}] h half}]"; fmt.Sprintf("%s", got) != want {
		t.Errorf("%s\ninstead of\n%s", got, want)
	}
}

// Much that arrives at once, in large and small messages, comes in order, in batches that the channel can take.
func TestMuch(t *testing.T) {
	r := start(t, nil, "keepFields = all", "eventSize = 200000")
	var want []string
	var text bytes.Buffer
	for i := range 5000 {
		m := fmt.Sprintf("<13>%d %s", i, strings.Repeat("x", i%300))
		if i%1000 == 500 {
			m += strings.Repeat("y", 190_000)
		}
		want = append(want, m)
		text.WriteString(m + "\n")
	}
	send(t, r.dial(t), text.String())
	if got := flumetest.Bodies(r.Await(t, len(want))); !slices.Equal(got, want) {
		t.Error("other messages came than were sent")
	}
	for _, b := range r.Batches() {
		if len(b) > 100 {
			t.Errorf("a batch of %d events", len(b))
		}
	}
}

// A channel that fails holds the sender up; nothing is lost, and others go on as soon as it takes events again.
func TestAFailingChannelLosesNothing(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	r := start(t, func(flume.Batch) error {
		if full.Load() {
			return errors.New("out of room")
		}
		return nil
	}, "keepFields = all")
	var want []string
	for i := range 3 {
		conn := r.dial(t)
		for n := range 50 {
			m := fmt.Sprintf("<13>%d %d", i, n)
			want = append(want, m)
			send(t, conn, m+"\n")
		}
		conn.Close()
	}
	flumetest.Until(t, "the failure is said", func() bool { return strings.Contains(r.Logged(), "out of room") })
	full.Store(false)
	got := flumetest.Bodies(r.Await(t, len(want)))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d messages came of %d", len(got), len(want))
	}
	if n := strings.Count(r.Logged(), "out of room"); n != 1 {
		t.Errorf("the failure is said %d times", n)
	}
}

// What has been read when the source is told to stop is still emitted, and idle connections are closed.
func TestStop(t *testing.T) {
	r := start(t, nil, "keepFields = all")
	conn := r.dial(t)
	send(t, conn, "<13>a\n<13>b")
	r.Await(t, 1)
	r.dial(t)
	r.Stop()
	if got := flumetest.Bodies(r.Await(t, 1)); got[0] != "<13>a" || len(got) > 2 || len(got) == 2 && got[1] != "<13>b" {
		t.Errorf("%q", got)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open after the end")
	}
}

// many are messages that are read at once and put in several transactions; the last one has no end.
func many() (all []string) {
	for i := range 50 {
		all = append(all, fmt.Sprintf("<13>%d", i))
	}
	return all
}

// What has been read when the source is told to stop is offered until the channels, which are drained meanwhile, take it.
func TestStoppingWhileTheChannelIsFull(t *testing.T) {
	offers := 0
	r := start(t, func(flume.Batch) error {
		if offers++; offers < 5 {
			return errors.New("out of room")
		}
		return nil
	}, "keepFields = all")
	send(t, r.dial(t), strings.Join(many(), "\n"))
	flumetest.Until(t, "the failure is said", func() bool { return strings.Contains(r.Logged(), "out of room") })
	r.Stop()
	if got := flumetest.Bodies(slices.Concat(r.Batches()...)); !slices.Equal(got, many()) {
		t.Errorf("%q", got)
	}
	if strings.Contains(r.Logged(), "level=ERROR") {
		t.Error(r.Logged())
	}
}

// What clients have sent before the source is told to stop is read and emitted, though nobody had read it.
func TestStoppingReadsWhatHasArrived(t *testing.T) {
	offers := 0
	r := start(t, func(flume.Batch) error {
		if offers++; offers < 5 {
			return errors.New("out of room")
		}
		return nil
	}, "keepFields = all", "eventSize = 1000")
	conn := r.dial(t)
	send(t, conn, "<13>first\n")
	flumetest.Until(t, "the failure is said", func() bool { return strings.Contains(r.Logged(), "out of room") })
	const rest = 20_000
	send(t, conn, strings.Repeat("<13>more\n", rest))
	r.Stop()
	if got := len(slices.Concat(r.Batches()...)); got != 1+rest {
		t.Errorf("%d of %d events", got, 1+rest)
	}
	if strings.Contains(r.Logged(), "level=ERROR") {
		t.Error(r.Logged())
	}
}

// Close ends a stop that waits for the channels. What is said to be lost is all that has been read.
func TestClosingWhileTheChannelIsFull(t *testing.T) {
	r := start(t, func(flume.Batch) error { return errors.New("out of room") }, "keepFields = all")
	send(t, r.dial(t), strings.Join(many(), "\n"))
	flumetest.Until(t, "the failure is said", func() bool { return strings.Contains(r.Logged(), "out of room") })
	if err := r.Source.Close(); err != nil {
		t.Error(err)
	}
	r.Stop()
	if log := r.Logged(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "events=50") {
		t.Error(log)
	}
}

func TestTLS(t *testing.T) {
	r := start(t, nil, "keepFields = all", "ssl = true", "keystore = ../../internal/tls/testdata/server.jks", "keystore-password = changeit")
	plain := r.dial(t)
	send(t, plain, "<13>plain text\n")
	conn := tls.Client(r.dial(t), &tls.Config{InsecureSkipVerify: true})
	send(t, conn, "<13>a\n<13>b\n")
	if got := flumetest.Bodies(r.Await(t, 2)); !slices.Equal(got, []string{"<13>a", "<13>b"}) {
		t.Errorf("%q", got)
	}
	flumetest.Until(t, "plain text is refused", func() bool { return strings.Contains(r.Logged(), "shaking hands over TLS") })
	if n := r.Count("EventReadFail"); n != 1 {
		t.Errorf("EventReadFail is %d", n)
	}
}

func TestTLSToAPlainPort(t *testing.T) {
	r := start(t, nil)
	for range 3 {
		conn := tls.Client(r.dial(t), &tls.Config{InsecureSkipVerify: true})
		if conn.Handshake() == nil {
			t.Error("a handshake has succeeded")
		}
	}
	flumetest.Until(t, "all are disconnected", r.idle)
	if n := strings.Count(r.Logged(), "set ssl = true"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, r.Logged())
	}
	if r.Count("EventReadFail") != 3 || len(r.Batches()) > 0 {
		t.Errorf("%d failures, %d batches", r.Count("EventReadFail"), len(r.Batches()))
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools are emptied in two steps
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func TestIdleConnectionsAreCheap(t *testing.T) {
	const connections, messages, event = 2000, 100, 48
	var taken atomic.Int64
	r := start(t, func(b flume.Batch) error {
		taken.Add(int64(len(b)))
		clear(b) // the test keeps what is taken
		return nil
	})
	before := heap()
	text := strings.Repeat("<13>1 - h x\n", messages) // so much that it is read through a large buffer
	for range connections {
		send(t, r.dial(t), text)
	}
	flumetest.Until(t, "all have arrived", func() bool { return taken.Load() == connections*messages })
	// The clients' ends are in it too.
	each := (heap()-before)/connections - event*messages
	t.Logf("%d bytes for each idle connection", each)
	const most = 20 << 10 // the race detector's is more than half of it
	if each > most {
		t.Errorf("%d bytes for each idle connection", each)
	}
}

// A line without an end is cut again and again: it holds no memory, and others are served.
func TestALineWithoutAnEnd(t *testing.T) {
	var taken atomic.Int64
	var other atomic.Bool
	r := start(t, func(b flume.Batch) error {
		for i := range b {
			taken.Add(int64(len(b[i].Body)))
			b[i].Body = nil // the test keeps what is taken
			if h, _ := b[i].Headers.Get("host"); h == "other" {
				other.Store(true)
			}
			b[i].Headers = nil
		}
		return nil
	}, "eventSize = 100000", "max-memory = 4194304")
	conn := r.dial(t)
	before := heap()
	piece := strings.Repeat("x", 1<<20)
	const all, event = 100 << 20, 100_000
	for range all / len(piece) {
		send(t, conn, piece)
	}
	send(t, r.dial(t), "<13>1 - other hello\n")
	flumetest.Until(t, "others are served", other.Load)
	// While it is read, what has become an event since the last collection would be taken for held.
	flumetest.Until(t, "only the last part is not read", func() bool { return taken.Load() > all-event })
	if held := heap() - before; held > 8<<20 {
		t.Errorf("%d bytes are held for one line", held)
	}
	conn.Close()
	flumetest.Until(t, "all is read", func() bool { return taken.Load() >= all })
	if n := taken.Load(); n < all {
		t.Errorf("%d of %d bytes have become events", n, all)
	}
}

// Clients that each hold half a message are cut off when the memory is used up, so that others are served; the log has
// a line of it, not one for each.
func TestSlowClients(t *testing.T) {
	r := start(t, nil, "eventSize = 500000", "max-memory = 4194304", "keepFields = all")
	half := "<13>" + strings.Repeat("x", 300_000)
	for range 40 {
		conn := r.dial(t)
		go func() { _, _ = conn.Write([]byte(half)) }() // it may be cut off in the middle
	}
	whole := "<13>" + strings.Repeat("y", 500)
	conn := r.dial(t)
	send(t, conn, whole+"\n")
	began := time.Now()
	served := func() bool {
		for _, b := range r.Batches() {
			if slices.Contains(flumetest.Bodies(b), whole) {
				return true
			}
		}
		return false
	}
	flumetest.Until(t, "others are served", served)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("a small message has waited for %s", took)
	}
	flumetest.Until(t, "slow clients are cut off", func() bool { return strings.Contains(r.Logged(), "sends too slowly while others wait") })
	if n := strings.Count(r.Logged(), "A client is disconnected"); n > 2 {
		t.Errorf("%d lines:\n%s", n, r.Logged())
	}
}

func TestGarbage(t *testing.T) {
	r := start(t, nil)
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	var sending sync.WaitGroup
	for i := range 8 {
		conn := r.dial(t)
		sending.Go(func() {
			_, _ = conn.Write(noise[i*1000:])
			conn.Close()
		})
	}
	sending.Wait()
	flumetest.Until(t, "the noise has become events", func() bool {
		size := 0
		for _, b := range r.Batches() {
			for i := range b {
				size += len(b[i].Body)
			}
		}
		return size >= 7<<20
	})
	if strings.Contains(r.Logged(), "BUG") {
		t.Error(r.Logged())
	}
}

func TestSettings(t *testing.T) {
	for _, x := range []struct {
		settings []string
		want     string
	}{
		{nil, "port: is required"},
		{[]string{"port = 1", "bind = h"}, `bind: is taken as "host"; Flume ignores it`},
		{[]string{"port = 1", "keepFields = priority, facility"}, `keepFields: has "facility", which means nothing`},
		{[]string{"port = 1", "eventSize = 0"}, "eventSize: 0 is less than 1"},
		{[]string{"port = 1", "eventSize = 100000000"}, "max-memory: is 134217728; with eventSize = 100000000 it has to be 800000000 or more"},
		{[]string{"port = 1", "ssl = true"}, "keystore: is required with ssl = true"},
	} {
		if got := flumetest.Problems(t, Kind, nil, x.settings...).String(); !strings.Contains(got, x.want) {
			t.Errorf("no %q in %s", x.want, got)
		}
	}
	if h := (&Settings{Port: 514}).Holds(); len(h) != 1 || h[0] != "tcp://0.0.0.0:514" {
		t.Errorf("holds %v", h)
	}
}

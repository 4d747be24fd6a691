package thrift

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/tls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a source with a channel that is a list.
type running struct{ *flumetest.Running }

func (r *running) address() string { return r.Source.(*rpc.Source).Addr().String() }

// start opens a source; answer says what becomes of a batch, nil takes them all.
func start(t testing.TB, answer func(flume.Batch) error, settings ...string) *running {
	t.Helper()
	return &running{flumetest.Run(t, Kind, answer, append([]string{"bind = 127.0.0.1", "port = 0"}, settings...)...)}
}

func (r *running) count(t *testing.T, want string) {
	t.Helper()
	got := fmt.Sprint(r.Count("AppendReceivedCount"), r.Count("AppendAcceptedCount"), r.Count("AppendBatchReceivedCount"), r.Count("AppendBatchAcceptedCount"))
	if got != want {
		t.Errorf("counters %s, want %s", got, want)
	}
}

func dial(t testing.TB, o client.Options) *client.Client {
	t.Helper()
	if o.Protocol == client.Avro {
		o.Protocol = client.ThriftCompact
	}
	c, err := client.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// connect opens a bare connection.
func connect(t testing.TB, r *running) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

var background = context.Background()

func TestLaws(t *testing.T) {
	port := flumetest.FreePort(t, "tcp")
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "bind = 127.0.0.1", "port = "+port)
	})
}

// The very bytes of a program in Python: an append, on a connection of its own, then an appendBatch.
func TestPythonProgram(t *testing.T) {
	r := start(t, nil)
	for _, x := range []struct{ call, answer string }{
		{
			"\x00\x00\x00\x26\x82\x21\x00\x06append\x1c\x1b\x02\x88\x01a\x05hello\x01b\x05world\x18\x04text\x00\x00",
			"\x00\x00\x00\x0e\x82\x41\x00\x06append\x05\x00\x00\x00",
		},
		{
			"\x00\x00\x00\x37\x82\x21\x00\x0bappendBatch\x19\x2c\x1b\x02\x88\x01a\x05hello\x01b\x05world\x18\x04text\x00\x1b\x01\x88\x01c\x00\x18\x02hi\x00\x00",
			"\x00\x00\x00\x13\x82\x41\x00\x0bappendBatch\x05\x00\x00\x00",
		},
	} {
		conn := connect(t, r)
		if _, err := conn.Write([]byte(x.call)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(x.answer))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != x.answer {
			t.Errorf("%q, %v, want %q", got, err, x.answer)
		}
		conn.Close()
	}
	got := r.Await(t, 3)
	if want := "[{[{a hello} {b world}] text} {[{a hello} {b world}] text} {[{c }] hi}]"; fmt.Sprintf("%s", got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(r.Batches()) != 2 {
		t.Errorf("%d batches", len(r.Batches()))
	}
}

func TestOneCallIsOneEmit(t *testing.T) {
	for _, p := range []client.Protocol{client.ThriftCompact, client.ThriftBinary} {
		r := start(t, nil, "protocol = "+map[client.Protocol]string{client.ThriftCompact: "Compact", client.ThriftBinary: "binary"}[p])
		c := dial(t, client.Options{Address: r.address(), BatchSize: 1000, Protocol: p})
		if err := errors.Join(c.Append(background, flumetest.Events(7, 1)[0]), c.AppendBatch(background, flumetest.Events(0, 250))); err != nil {
			t.Fatal(err)
		}
		got := r.Batches()
		if len(got) != 2 || len(got[0]) != 1 || len(got[1]) != 250 {
			t.Fatalf("%d batches", len(got))
		}
		if v, _ := got[1][249].Headers.Get("n"); v != "249" || string(got[1][249].Body) != "249" {
			t.Errorf("%v", got[1][249])
		}
		r.count(t, "1 1 1 1")
		if n := r.Count("OpenConnectionCount"); n != 1 {
			t.Errorf("%d connections", n)
		}
		r.Stop()
		if n := r.Count("OpenConnectionCount"); n != 0 {
			t.Errorf("%d connections after the stop", n)
		}
	}
}

// A full channel is answered with FAILED on a connection that stays.
func TestFailed(t *testing.T) {
	var full atomic.Bool
	r := start(t, func(flume.Batch) error {
		if full.Load() {
			return fmt.Errorf("putting into c1: %w", flume.ErrFull)
		}
		return nil
	})
	var connections atomic.Int32
	c := dial(t, client.Options{Address: r.address(), Observe: func(client.Change) { connections.Add(1) }})
	full.Store(true)
	for range 3 {
		var status *client.StatusError
		if err := c.AppendBatch(background, flumetest.Events(0, 2)); !errors.As(err, &status) || status.Status != "FAILED" {
			t.Errorf("%v", err)
		}
		if err := c.Append(background, flumetest.Events(0, 1)[0]); !errors.As(err, &status) {
			t.Errorf("%v", err)
		}
	}
	full.Store(false)
	if err := c.AppendBatch(background, flumetest.Events(0, 2)); err != nil {
		t.Error(err)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d changes of the connection", n)
	}
	r.count(t, "3 0 4 1")
	log := r.Logged()
	if strings.Count(log, "The channels do not take events") != 1 || !strings.Contains(log, "putting into c1: the channel is full") || !strings.Contains(log, "The channels take events again") {
		t.Error(log)
	}
}

func TestManyConnections(t *testing.T) {
	const connections, calls = 50, 20
	// 1 MiB for all of them: less than they send at once
	r := start(t, nil, "max-memory = 1048576")
	var wg sync.WaitGroup
	for range connections {
		c := dial(t, client.Options{Address: r.address()})
		wg.Go(func() {
			for range calls {
				if err := c.AppendBatch(background, flume.Batch{{Body: make([]byte, 300_000)}, {Body: []byte("x")}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(r.Batches()); n != connections*calls {
		t.Errorf("%d calls", n)
	}
}

// No more than threads calls are in the channels at one time; others wait, connected.
func TestThreads(t *testing.T) {
	crowd := flumetest.NewCrowd()
	r := start(t, crowd.Enter, "threads = 3")
	var wg sync.WaitGroup
	for range 20 {
		c := dial(t, client.Options{Address: r.address()})
		wg.Go(func() {
			if err := c.AppendBatch(background, flumetest.Events(0, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	crowd.Await(3)
	crowd.Release()
	wg.Wait()
	if crowd.Most() != 3 || len(r.Batches()) != 20 {
		t.Errorf("%d at one time, %d in all", crowd.Most(), len(r.Batches()))
	}
}

// A call that waits for its turn when the source stops is answered.
func TestStopAnswersWhoWaitsForATurn(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	r := start(t, func(flume.Batch) error { close(begun); <-hold; return nil }, "threads = 1")
	results := make(chan error, 2)
	for range 2 {
		c := dial(t, client.Options{Address: r.address()})
		go func() { results <- c.AppendBatch(background, flumetest.Events(0, 1)) }()
	}
	<-begun
	for r.Count("AppendBatchReceivedCount") < 2 {
		runtime.Gosched()
	}
	stopped := make(chan struct{})
	go func() { r.Stop(); close(stopped) }()
	var status *client.StatusError
	if err := <-results; !errors.As(err, &status) {
		t.Errorf("the call that waits: %v", err)
	}
	close(hold)
	if err := <-results; err != nil {
		t.Errorf("the call that has begun: %v", err)
	}
	<-stopped
}

func TestCloseCutsConnections(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	r := start(t, func(flume.Batch) error { close(begun); <-hold; return nil })
	c := dial(t, client.Options{Address: r.address()})
	done := make(chan error, 1)
	go func() { done <- c.AppendBatch(background, flumetest.Events(0, 1)) }()
	<-begun
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("nil")
	}
	close(hold)
	r.Stop()
}

func TestTLS(t *testing.T) {
	trust := tls.Client{SSL: true, Truststore: "../../internal/tls/testdata/trust.jks", TruststorePassword: "changeit"}
	config, err := trust.Config("localhost")
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, nil, "ssl = true", "keystore = ../../internal/tls/testdata/server.jks", "keystore-password = changeit")
	c := dial(t, client.Options{Address: r.address(), TLS: config})
	for range 2 {
		if err := c.AppendBatch(background, flumetest.Events(0, 3)); err != nil {
			t.Error(err)
		}
	}
	if err := dial(t, client.Options{Address: r.address()}).AppendBatch(background, flumetest.Events(0, 3)); err == nil || !strings.Contains(err.Error(), "does it speak another protocol") {
		t.Errorf("without TLS: %v", err)
	}
	if n := len(r.Batches()); n != 2 {
		t.Errorf("%d batches", n)
	}
}

// Whatever garbage comes, its connection is closed, and each cause is said once.
func TestGarbageIsReportedSeldom(t *testing.T) {
	r := start(t, nil)
	for range 5 {
		for _, garbage := range []string{
			"GET / HTTP/1.1\r\n\r\n", "\x7f\xff\xff\xff", "\xff\xff\xff\xff\x00", "\x80\x01\x00\x01\x00\x00\x00\x06append", "\x00\x00\x00\x04\x80\x01\x00\x01",
			"\x00\x00\x00\x10no thrift at all",
		} {
			conn := connect(t, r)
			if _, err := conn.Write([]byte(garbage)); err != nil {
				t.Fatal(err)
			}
			if n, _ := conn.Read(make([]byte, 1)); n != 0 {
				t.Errorf("%q is answered", garbage)
			}
		}
	}
	r.Stop()
	log := r.Logged()
	if n := strings.Count(log, "A client is disconnected"); n != 6 {
		t.Errorf("said %d times", n)
	}
	for _, cause := range []string{"the peer speaks HTTP", "the frame is too large: 2147483647 bytes, where 16384000 are the most (max-frame-size)", "a frame of -1 bytes",
		"it must use the framed transport", "the peer speaks the binary protocol (protocol = binary), and this end compact", "it starts with 6e 6f"} {
		if strings.Count(log, cause) != 1 {
			t.Errorf("%q is not said once:\n%s", cause, log)
		}
	}
	if n := r.Count("EventReadFail"); n != 30 {
		t.Errorf("EventReadFail is %d", n)
	}
}

func TestTooLargeAFrame(t *testing.T) {
	r := start(t, nil, "max-frame-size = 65536")
	c := dial(t, client.Options{Address: r.address()})
	if err := c.AppendBatch(background, flume.Batch{{Body: make([]byte, 100_000)}}); err == nil {
		t.Error("it was taken")
	}
	if err := c.AppendBatch(background, flume.Batch{{Body: make([]byte, 60_000)}}); err != nil {
		t.Error(err)
	}
	r.Stop()
	if log := r.Logged(); !strings.Contains(log, "where 65536 are the most (max-frame-size)") {
		t.Error(log)
	}
}

func TestCallsThatCannotBeUnderstood(t *testing.T) {
	r := start(t, nil)
	conn := connect(t, r)
	for range 5 {
		if _, err := conn.Write([]byte("\x00\x00\x00\x0a\x82\x21\x01\x05bogus\x00")); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4+42)
		if _, err := io.ReadFull(conn, answer); err != nil || !strings.Contains(string(answer), "Invalid method name: 'bogus'") {
			t.Errorf("%q, %v", answer, err)
		}
	}
	if n := r.Count("EventReadFail"); n != 5 {
		t.Errorf("EventReadFail is %d", n)
	}
	if log := r.Logged(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "reading a call of "+conn.LocalAddr().String()) || !strings.Contains(log, "there is no method") {
		t.Error(log)
	}
}

// Half frames that want more than there is are cut off while others are served, and it is said.
func TestStalledClients(t *testing.T) {
	r := start(t, nil, "max-memory = 1048576")
	for range 4 {
		conn := connect(t, r)
		go conn.Write(append([]byte("\x00\x07\x00\x00"), make([]byte, 400_000)...))
	}
	c := dial(t, client.Options{Address: r.address()})
	said := func(text string) bool { return strings.Contains(r.Logged(), text) }
	for start := time.Now(); !said("Clients have to wait, for calls hold as much as max-memory allows") || !said("sends too slowly while others wait"); {
		if err := c.AppendBatch(background, flumetest.Events(0, 10)); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) > time.Minute {
			t.Fatal(r.Logged())
		}
	}
}

func TestIdleConnectionsAreCheap(t *testing.T) {
	const connections = 2000
	r := start(t, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	all := make([]net.Conn, connections)
	call := []byte("\x00\x00\x00\x12\x82\x21\x04\x06append\x1c\x1b\x00\x18\x01x\x00\x00")
	for i := range all {
		all[i] = connect(t, r)
		if _, err := all[i].Write(call); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(all[i], make([]byte, 18)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.GC() // pools are emptied in two steps
	runtime.ReadMemStats(&after)
	// The clients' ends are in it too.
	each := (int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / connections
	if each > 16<<10 {
		t.Errorf("%d bytes for each idle connection", each)
	}
	t.Logf("%d bytes for each idle connection", each)
}

func TestSettings(t *testing.T) {
	f := func(want string, settings ...string) {
		t.Helper()
		problems := flumetest.Problems(t, Kind, nil, settings...)
		if got := strings.TrimSpace(problems.String()); got != want {
			t.Errorf("%q:\n%s, want\n%s", settings, got, want)
		}
	}
	f("", "bind = h", "port = 1", "threads = 200", "protocol = COMPACT")
	f("", "bind = h", "port = 1", "threads = -1", "agent-principal = flume/_HOST@R", "agent-keytab = /k")
	f("flume.conf:1: a1.components.x1.bind: is required and not set: The address or host name to listen on; 0.0.0.0 is every address of the machine.\n" +
		"flume.conf:1: a1.components.x1.port: is required and not set: The TCP port to listen on.")
	f(`flume.conf:3: a1.components.x1.threads: "many" is not a number; the default 0 is taken`, "bind = h", "port = 1", "threads = many")
	f(`flume.conf:3: a1.components.x1.protocol: BINARY means compact, as in Flume, which knows binary in lower case only`, "bind = h", "port = 1", "protocol = BINARY")
	f(`flume.conf:3: a1.components.x1.protocol: "json" is not one of compact, binary`, "bind = h", "port = 1", "protocol = json")
	f("flume.conf:3: a1.components.x1.kerberos: is not spoken here; use ssl = true on both ends, or let Flume speak it: keep that hop there, with avro between it and this agent",
		"bind = h", "port = 1", "kerberos = true", "agent-principal = flume/_HOST@R", "agent-keytab = /k")
	f("flume.conf:1: a1.components.x1.keystore: is required with ssl = true", "bind = h", "port = 1", "ssl = true")
	for _, protocol := range []string{"BINARY", "json"} {
		if problems := flumetest.Problems(t, Kind, nil, "bind = h", "port = 1", "protocol = "+protocol); problems.Fatal() != (protocol == "json") {
			t.Error(problems)
		}
	}
}

func TestPlaces(t *testing.T) {
	s := Settings{Bind: "::1", Port: 4}
	if o := s.Origins(flume.Known{"topic": "t"}); len(o) != 1 || o["thrift://[::1]:4"]["topic"] != "t" {
		t.Errorf("origins %v", o)
	}
	if h := s.Holds(); len(h) != 1 || h[0] != "tcp://[::1]:4" {
		t.Errorf("holds %v", h)
	}
	if h := (&Settings{Bind: "h"}).Holds(); h != nil {
		t.Errorf("holds %v", h)
	}
}

package avro

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/tls"
	"go.uber.org/goleak"
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

func TestLaws(t *testing.T) {
	port := flumetest.FreePort(t, "tcp")
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "bind = 127.0.0.1", "port = "+port)
	})
}

func dial(t testing.TB, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var background = context.Background()

func TestAPanicCostsOneConnection(t *testing.T) {
	r := start(t, func(b flume.Batch) error {
		if string(b[0].Body) == "7" {
			panic("out of my mind")
		}
		return nil
	})
	if err := dial(t, client.Options{Address: r.address()}).AppendBatch(background, flumetest.Events(7, 1)); err == nil {
		t.Error("the client is told that all is well")
	}
	if err := dial(t, client.Options{Address: r.address()}).AppendBatch(background, flumetest.Events(0, 1)); err != nil {
		t.Error(err)
	}
	r.Stop()
	if !strings.Contains(r.Logged(), "level=ERROR") || !strings.Contains(r.Logged(), "BUG while serving a client") {
		t.Errorf("the panic is not said:\n%s", r.Logged())
	}
}

func TestOneCallIsOneEmit(t *testing.T) {
	r := start(t, nil, "compression-type = none")
	c := dial(t, client.Options{Address: r.address(), BatchSize: 1000})
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

func TestFailed(t *testing.T) {
	var full atomic.Bool
	r := start(t, func(flume.Batch) error {
		if full.Load() {
			return fmt.Errorf("putting into c1: %w", flume.ErrFull)
		}
		return nil
	})
	c := dial(t, client.Options{Address: r.address()})
	full.Store(true)
	for range 3 {
		var status *client.StatusError
		if err := c.AppendBatch(background, flumetest.Events(0, 2)); !errors.As(err, &status) {
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
	if err := c.AppendBatch(background, nil); err != nil {
		t.Error(err)
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

func TestStopAnswersWhatHasBegun(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	r := start(t, func(flume.Batch) error { close(begun); <-hold; return nil })
	busy := dial(t, client.Options{Address: r.address()})
	idle, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	done := make(chan error, 1)
	go func() { done <- busy.AppendBatch(background, flumetest.Events(0, 1)) }()
	<-begun
	stopped := make(chan struct{})
	go func() { r.Stop(); close(stopped) }()
	if _, err := idle.Read(make([]byte, 1)); err == nil { // closed at once, while the call goes on
		t.Error("the idle connection was not closed")
	}
	select {
	case <-stopped:
		t.Error("Run did not wait for the call")
	default:
	}
	if conn, err := net.DialTimeout("tcp", r.address(), time.Second); err == nil {
		if _, err := conn.Read(make([]byte, 1)); err == nil { // the port may be closed a moment later
			t.Error("it still serves connections")
		}
		conn.Close()
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-stopped
	if n := len(r.Batches()); n != 1 {
		t.Errorf("%d batches", n)
	}
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

func TestTakenPort(t *testing.T) {
	r := start(t, nil)
	_, port, _ := net.SplitHostPort(r.address())
	_, err := flumetest.TryOpen(t, flumetest.NewEnv(), Kind, "bind = 127.0.0.1", "port = "+port)
	if err == nil || !strings.Contains(err.Error(), "listening on 127.0.0.1:"+port) || !strings.Contains(err.Error(), "address already in use") {
		t.Error(err)
	}
}

func TestTLSAndDeflate(t *testing.T) {
	trust := tls.Client{SSL: true, Truststore: "../../internal/tls/testdata/trust.jks", TruststorePassword: "changeit"}
	config, err := trust.Config("localhost")
	if err != nil {
		t.Fatal(err)
	}
	f := func(settings []string, o client.Options) {
		t.Helper()
		r := start(t, nil, settings...)
		o.Address = r.address()
		c := dial(t, o)
		for range 2 {
			if err := c.AppendBatch(background, flumetest.Events(0, 3)); err != nil {
				t.Errorf("%q: %v", settings, err)
			}
		}
	}
	ssl := []string{"ssl = true", "keystore = ../../internal/tls/testdata/server.jks", "keystore-password = changeit"}
	both := append(ssl, "compression-type = DEFLATE")
	f(ssl, client.Options{TLS: config})
	f([]string{"compression-type = deflate"}, client.Options{Deflate: true, Level: 6})
	f(both, client.Options{TLS: config, Deflate: true, Level: 6})
	f(both, client.Options{TLS: config, Deflate: true, Level: 6, CompressInsideTLS: true})
}

func TestGarbageIsReportedSeldom(t *testing.T) {
	r := start(t, nil)
	for range 5 {
		conn, err := net.Dial("tcp", r.address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if n, _ := conn.Read(make([]byte, 1)); n != 0 {
			t.Error("it answered")
		}
		conn.Close()
	}
	r.Stop()
	if log := r.Logged(); strings.Count(log, "A client is disconnected") != 1 || !strings.Contains(log, "the peer speaks HTTP") {
		t.Error(log)
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
	if log := r.Logged(); !strings.Contains(log, "the frame is too large: a frame of more than 65536 bytes (max-frame-size)") {
		t.Error(log)
	}
}

func TestCallsThatCannotBeUnderstood(t *testing.T) {
	r := start(t, nil)
	conn, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 5 { // a greeting of three bytes
		if _, err := conn.Write([]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x03abc")); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1000)); n < 15 {
			t.Error(n, err)
		}
	}
	if n := r.Count("EventReadFail"); n != 5 {
		t.Errorf("EventReadFail is %d", n)
	}
	if log := r.Logged(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "reading a call of "+conn.LocalAddr().String()) || !strings.Contains(log, "the client's hash") {
		t.Error(log)
	}
}

// Half frames that want more than there is are cut off, and it is said.
func TestStalledClients(t *testing.T) {
	r := start(t, nil, "max-memory = 1048576")
	for range 4 {
		conn, err := net.Dial("tcp", r.address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go conn.Write(append([]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x07\x00\x00"), make([]byte, 400_000)...))
	}
	said := func(text string) bool { return strings.Contains(r.Logged(), text) }
	for start := time.Now(); !said("Clients have to wait, for calls hold as much as max-memory allows") || !said("sends too slowly while others wait"); {
		if time.Since(start) > time.Minute {
			t.Fatal(r.Logged())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestIPFilterAtThePort(t *testing.T) {
	f := func(rules string, want bool) {
		t.Helper()
		r := start(t, nil, "ipFilter = true", "ipFilterRules = "+rules)
		c := dial(t, client.Options{Address: r.address()})
		if err := c.AppendBatch(background, flumetest.Events(0, 1)); (err == nil) != want {
			t.Errorf("%s: %v", rules, err)
		}
	}
	f("allow:ip:127.*,deny:ip:*", true)
	f("deny:ip:127.0.0.1", false)
	f("deny:name:localhost", false)
}

func TestIdleConnectionsAreCheap(t *testing.T) {
	const connections = 500
	r := start(t, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range connections {
		c := dial(t, client.Options{Address: r.address()})
		if err := c.AppendBatch(background, flumetest.Events(0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.GC() // pools are emptied in two steps
	runtime.ReadMemStats(&after)
	// The clients are in it too.
	each := (int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / connections
	if each > 32<<10 {
		t.Errorf("%d bytes for each idle connection", each)
	}
	t.Logf("%d bytes for each idle connection and its client", each)
}

func TestSettings(t *testing.T) {
	f := func(want string, settings ...string) {
		t.Helper()
		problems := flumetest.Problems(t, Kind, nil, settings...)
		if got := strings.TrimSpace(problems.String()); got != want {
			t.Errorf("%q:\n%s, want\n%s", settings, got, want)
		}
	}
	f("", "bind = h", "port = 1")
	f("", "bind = h", "port = 1", "ipFilterRules = nonsense") // without ipFilter nobody reads them
	f("flume.conf:1: a1.components.x1.bind: is required and not set: The address or host name to listen on; 0.0.0.0 is every address of the machine.\n" +
		"flume.conf:1: a1.components.x1.port: is required and not set: The TCP port to listen on.")
	f("flume.conf:2: a1.components.x1.port: 65536 is more than 65535, the most it may be", "bind = h", "port = 65536")
	f(`flume.conf:3: a1.components.x1.threads: has no effect, as in Flume 1.10 and later`, "bind = h", "port = 1", "threads = 8")
	f(`flume.conf:3: a1.components.x1.compression-type: "gzip" is not one of none, deflate; the default none is taken`, "bind = h", "port = 1", "compression-type = gzip")
	f("flume.conf:1: a1.components.x1.ipFilterRules: is required with ipFilter = true", "bind = h", "port = 1", "ipFilter = true")
	f(`flume.conf:4: a1.components.x1.ipFilterRules: "allow:127.0.0.1" is no rule; a rule is "allow" or "deny", ":", "ip" or "name", ":" and a pattern`,
		"bind = h", "port = 1", "ipFilter = true", "ipFilterRules = deny:ip:*,allow:127.0.0.1")
	f("flume.conf:4: a1.components.x1.ipFilterRules: no client fits 10.0.0.0/8: a pattern is text with * and ?, such as 10.*, and not a network\n"+
		"flume.conf:4: a1.components.x1.ipFilterRules: no client fits fe80::/10: a pattern is text with * and ?, such as 10.*, and not a network",
		"bind = h", "port = 1", "ipFilter = true", "ipFilterRules = allow:ip:10.0.0.0/8,allow:ip:10.*,deny:ip:fe80::/10")
	f("flume.conf:1: a1.components.x1.keystore: is required with ssl = true", "bind = h", "port = 1", "ssl = true")
	f(`flume.conf:3: a1.components.x1.compresion-type: is not a setting; did you mean "compression-type"? (which is none as long as it is not set)`, "bind = h", "port = 1", "compresion-type = deflate")
}

func TestPlaces(t *testing.T) {
	f := func(bind string, port int, want string) {
		t.Helper()
		s := Settings{Bind: bind, Port: port}
		if o := s.Origins(flume.Known{"topic": "t"}); len(o) != 1 || o[flume.Endpoint("avro://"+want)]["topic"] != "t" {
			t.Errorf("origins %v, want %s", o, want)
		}
		h := s.Holds()
		if port == 0 && h != nil || port > 0 && (len(h) != 1 || h[0] != flume.Endpoint("tcp://"+want)) {
			t.Errorf("holds %v, want %s", h, want)
		}
	}
	f("localhost", 4, "localhost:4")
	f("0.0.0.0", 4, "0.0.0.0:4")
	f("::1", 4, "[::1]:4")
	f("[::1]", 4, "[::1]:4")
	f("h", 0, "h:0")
}

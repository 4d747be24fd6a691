package avro

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/tls"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bind reads settings written as "key value".
func bind(settings ...string) (flume.Plan[flume.Source], conf.Problems) {
	var values conf.Values
	for i, line := range settings {
		key, text, _ := strings.Cut(line, " ")
		values = append(values, conf.Value{Key: key, Text: text, Pos: conf.Pos{File: "f", Line: i + 1}})
	}
	return Kind.Bind(conf.NewSection("a", "sources", "r", "a.sources.r.", conf.Pos{File: "f", Line: 1}, values))
}

// running is a source with a channel that is a list.
type running struct {
	*source
	log      *lockedBuffer
	counters map[string]*atomic.Int64
	stop     func() // ends the soft context and waits for Run

	mu   sync.Mutex
	got  []flume.Batch
	fail error
	hold chan struct{} // not nil: Emit waits for it
	in   chan struct{} // told when an Emit has begun
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func (r *running) emit(ctx context.Context, b flume.Batch) error {
	r.in <- struct{}{}
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.got = append(r.got, b)
	return nil
}

func (r *running) setFail(err error) { r.mu.Lock(); defer r.mu.Unlock(); r.fail = err }

func (r *running) address() string { return r.listener.Addr().String() }

func start(t testing.TB, settings ...string) *running {
	t.Helper()
	plan, problems := bind(append([]string{"bind 127.0.0.1", "port 0"}, settings...)...)
	if problems != nil {
		t.Fatal(problems)
	}
	r := &running{log: &lockedBuffer{}, counters: map[string]*atomic.Int64{}, in: make(chan struct{}, 1000)}
	s, err := plan.Open(context.Background(), flume.Env{
		Agent: "a", Name: "r", Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Counter: func(name string) *atomic.Int64 {
			if r.counters[name] == nil {
				r.counters[name] = new(atomic.Int64)
			}
			return r.counters[name]
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.source = s.(*source)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, r.emit) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		r.stop()
	})
	return r
}

func (r *running) count(t *testing.T, want string) {
	t.Helper()
	var got []string
	for _, name := range []string{"AppendReceivedCount", "AppendAcceptedCount", "AppendBatchReceivedCount", "AppendBatchAcceptedCount"} {
		got = append(got, fmt.Sprint(r.counters[name].Load()))
	}
	if s := strings.Join(got, " "); s != want {
		t.Errorf("counters %s, want %s", s, want)
	}
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

func numbered(n int) flume.Batch {
	b := make(flume.Batch, n)
	for i := range b {
		b[i] = flume.Event{Headers: flume.Headers{{Key: "n", Value: fmt.Sprint(i)}}, Body: fmt.Append(nil, i)}
	}
	return b
}

var background = context.Background()

func TestOneCallIsOneEmit(t *testing.T) {
	r := start(t, "compression-type none", "threads 8")
	c := dial(t, client.Options{Address: r.address(), BatchSize: 1000})
	if err := errors.Join(c.Append(background, numbered(1)[0]), c.AppendBatch(background, numbered(250))); err != nil {
		t.Fatal(err)
	}
	if len(r.got) != 2 || len(r.got[0]) != 1 || len(r.got[1]) != 250 {
		t.Errorf("%d batches", len(r.got))
	}
	if v, _ := r.got[1][249].Headers.Get("n"); v != "249" || string(r.got[1][249].Body) != "249" {
		t.Errorf("%v", r.got[1][249])
	}
	r.count(t, "1 1 1 1")
	if n := r.counters["OpenConnectionCount"].Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	r.stop()
	if n := r.counters["OpenConnectionCount"].Load(); n != 0 {
		t.Errorf("%d connections after the stop", n)
	}
}

func TestFailed(t *testing.T) {
	r := start(t)
	c := dial(t, client.Options{Address: r.address()})
	r.setFail(fmt.Errorf("putting into c1: %w", flume.ErrFull))
	for range 3 {
		var status *client.StatusError
		if err := c.AppendBatch(background, numbered(2)); !errors.As(err, &status) {
			t.Errorf("%v", err)
		}
		if err := c.Append(background, numbered(1)[0]); !errors.As(err, &status) {
			t.Errorf("%v", err)
		}
	}
	r.setFail(nil)
	if err := c.AppendBatch(background, numbered(2)); err != nil {
		t.Error(err)
	}
	r.count(t, "3 0 4 1")
	if log := r.log.String(); strings.Count(log, "refused a call") != 1 || !strings.Contains(log, "putting into c1: the channel is full") {
		t.Error(log)
	}
}

func TestManyConnections(t *testing.T) {
	const connections, calls = 50, 20
	// 64 KiB for all of them: less than they send at once
	r := start(t, "max-memory 65536")
	r.in = make(chan struct{}, connections*calls)
	var wg sync.WaitGroup
	for range connections {
		c := dial(t, client.Options{Address: r.address()})
		wg.Go(func() {
			for range calls {
				if err := c.AppendBatch(background, flume.Batch{{Body: make([]byte, 30_000)}, {Body: []byte("x")}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(r.got) != connections*calls {
		t.Errorf("%d calls", len(r.got))
	}
}

func TestStopAnswersWhatHasBegun(t *testing.T) {
	r := start(t)
	r.hold = make(chan struct{})
	busy := dial(t, client.Options{Address: r.address()})
	idle, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	done := make(chan error, 1)
	go func() { done <- busy.AppendBatch(background, numbered(1)) }()
	<-r.in
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	if _, err := idle.Read(make([]byte, 1)); err == nil { // closed at once, while the call goes on
		t.Error("the idle connection was not closed")
	}
	select {
	case <-stopped:
		t.Error("Run did not wait for the call")
	default:
	}
	if conn, err := net.DialTimeout("tcp", r.address(), time.Second); err == nil {
		conn.Close()
		t.Error("it still accepts connections")
	}
	close(r.hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-stopped
	if len(r.got) != 1 {
		t.Errorf("%d batches", len(r.got))
	}
}

func TestCloseAbandonsACall(t *testing.T) {
	r := start(t)
	r.hold = make(chan struct{})
	c := dial(t, client.Options{Address: r.address()})
	done := make(chan error, 1)
	go func() { done <- c.AppendBatch(background, numbered(1)) }()
	<-r.in
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("nil")
	}
	r.stop()
}

func TestTakenPort(t *testing.T) {
	r := start(t)
	_, port, _ := net.SplitHostPort(r.address())
	plan, problems := bind("bind 127.0.0.1", "port "+port)
	if problems != nil {
		t.Fatal(problems)
	}
	_, err := plan.Open(background, flume.Env{Counter: func(string) *atomic.Int64 { return new(atomic.Int64) }})
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
		r := start(t, settings...)
		o.Address = r.address()
		c := dial(t, o)
		for range 2 {
			if err := c.AppendBatch(background, numbered(3)); err != nil {
				t.Errorf("%q: %v", settings, err)
			}
		}
	}
	ssl := []string{"ssl true", "keystore ../../internal/tls/testdata/server.jks", "keystore-password changeit"}
	both := append(ssl, "compression-type DEFLATE")
	f(ssl, client.Options{TLS: config})
	f([]string{"compression-type deflate"}, client.Options{Deflate: true, Level: 6})
	f(both, client.Options{TLS: config, Deflate: true, Level: 6})
	f(both, client.Options{TLS: config, Deflate: true, Level: 6, CompressInsideTLS: true})
}

func TestGarbageIsReportedSeldom(t *testing.T) {
	r := start(t)
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
	r.stop()
	if log := r.log.String(); strings.Count(log, "closed a connection") != 1 || !strings.Contains(log, "the peer speaks HTTP") {
		t.Error(log)
	}
}

func TestIPFilterAtThePort(t *testing.T) {
	f := func(rules string, want bool) {
		t.Helper()
		r := start(t, "ipFilter true", "ipFilterRules "+rules)
		c := dial(t, client.Options{Address: r.address()})
		if err := c.AppendBatch(background, numbered(1)); (err == nil) != want {
			t.Errorf("%s: %v", rules, err)
		}
	}
	f("allow:ip:127.*,deny:ip:*", true)
	f("deny:ip:127.0.0.1", false)
	f("deny:name:localhost", false)
}

func TestIdleConnectionsAreCheap(t *testing.T) {
	const connections = 500
	r := start(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range connections {
		c := dial(t, client.Options{Address: r.address()})
		if err := c.AppendBatch(background, numbered(1)); err != nil {
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
		_, problems := bind(settings...)
		if got := strings.TrimSpace(problems.String()); got != want {
			t.Errorf("%q:\n%s, want\n%s", settings, got, want)
		}
	}
	f("", "bind h", "port 1")
	f("", "bind h", "port 1", "ipFilterRules nonsense") // without ipFilter nobody reads them
	f("f:1: a.sources.r.bind: is required and not set: The address or host name to listen on; 0.0.0.0 is every address of the machine.\n" +
		"f:1: a.sources.r.port: is required and not set: The TCP port to listen on.")
	f("f:2: a.sources.r.port: 65536 is more than 65535, the most it may be", "bind h", "port 65536")
	f(`f:3: a.sources.r.threads: "many" is not a number; the default 0 is taken`, "bind h", "port 1", "threads many")
	f(`f:3: a.sources.r.compression-type: "gzip" is not one of none, deflate; the default none is taken`, "bind h", "port 1", "compression-type gzip")
	f("f:1: a.sources.r.ipFilterRules: is required with ipFilter = true", "bind h", "port 1", "ipFilter true")
	f(`f:4: a.sources.r.ipFilterRules: "allow:127.0.0.1" is no rule; a rule is "allow" or "deny", ":", "ip" or "name", ":" and a pattern`,
		"bind h", "port 1", "ipFilter true", "ipFilterRules deny:ip:*,allow:127.0.0.1")
	f("f:1: a.sources.r.keystore: is required with ssl = true", "bind h", "port 1", "ssl true")
	f(`f:3: a.sources.r.compresion-type: is not a setting; did you mean "compression-type"? (which is none as long as it is not set)`, "bind h", "port 1", "compresion-type deflate")
}

func TestPlaces(t *testing.T) {
	s := Settings{Bind: "LOCALHOST", Port: 4}
	known := flume.Known{"topic": "t"}
	if o := s.Origins(known); len(o) != 1 || o["avro://127.0.0.1:4"]["topic"] != "t" {
		t.Errorf("%v", o)
	}
	if h := s.Holds(); len(h) != 1 || h[0] != "tcp://LOCALHOST:4" {
		t.Errorf("%v", h)
	}
	s = Settings{Bind: "0.0.0.0", Port: 4}
	if _, ok := s.Origins(nil)["avro://127.0.0.1:4"]; !ok {
		t.Errorf("%v", s.Origins(nil))
	}
	s.Port = 0
	if h := s.Holds(); h != nil {
		t.Errorf("%v", h)
	}
}

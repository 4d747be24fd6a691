package avro

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/avrorpc"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/tls"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is an Avro source without an agent.
type peer struct {
	mu    sync.Mutex
	calls []int
	full  func(call int) bool
}

func (r *peer) Append(ctx context.Context, b flume.Batch) error { return r.AppendBatch(ctx, b) }
func (r *peer) AppendBatch(_ context.Context, b flume.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, len(b))
	if r.full != nil && r.full(len(r.calls)) {
		return flume.ErrFull
	}
	return nil
}

// listen starts a receiver and returns its host and port; stop ends it.
func listen(t testing.TB, address string, s *avrorpc.Server) (host, port string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip("no such address here: ", err)
	}
	s.MaxFrame, s.Budget = 1<<26, rpc.NewBudget(1<<26)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _ = s.Serve(ctx, context.Background(), conn) })
		}
	})
	stop = func() { l.Close(); cancel(); wg.Wait() }
	t.Cleanup(stop)
	host, port, _ = net.SplitHostPort(l.Addr().String())
	return host, port, stop
}

type opened struct {
	flume.Sink
	*flumetest.Env
}

func start(t testing.TB, settings ...string) opened {
	t.Helper()
	env := flumetest.NewEnv()
	k := opened{flumetest.OpenIn(t, env, Kind, settings...), env}
	t.Cleanup(func() { k.Close() })
	return k
}

func (k opened) count(t *testing.T, want string) {
	t.Helper()
	got := fmt.Sprint(k.Count("ConnectionCreatedCount"), k.Count("ConnectionFailedCount"), k.Count("ConnectionClosedCount"))
	if got != want {
		t.Errorf("connections created, failed, closed: %s, want %s", got, want)
	}
}

func TestLaws(t *testing.T) {
	flumetest.Sink(t, func(t testing.TB) flume.Sink {
		// a receiver that is gone when the law looks for goroutines
		host, port, stop := listen(t, "127.0.0.1:0", &avrorpc.Server{Calls: &peer{}})
		return closing{flumetest.Open(t, Kind, "hostname = "+host, "port = "+port), stop}
	})
}

// closing is a sink whose receiver stops with it.
type closing struct {
	flume.Sink
	stop func()
}

func (c closing) Close() error { err := c.Sink.Close(); c.stop(); return err }

var background = context.Background()

func TestDeliver(t *testing.T) {
	r := &peer{}
	host, port, stop := listen(t, "127.0.0.1:0", &avrorpc.Server{Calls: r})
	k := start(t, "hostname = "+host, "port = "+port, "batch-size = 7")
	if l := k.Limits(); l.Events != 7 || l.Bytes == 0 {
		t.Errorf("%+v", l)
	}
	for _, n := range []int{7, 1} {
		if err := k.Deliver(background, make(flume.Batch, n)); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(r.calls) != "[7 1]" {
		t.Error(r.calls)
	}
	k.count(t, "1 0 0")

	stop()
	// The first call may still go out on the connection that is just closing.
	var err error
	for err == nil || !strings.Contains(err.Error(), "connecting") {
		if err = k.Deliver(background, make(flume.Batch, 1)); err == nil {
			t.Fatal("delivered to nobody")
		}
	}
	if want := "connecting to " + host + ":" + port + ": refused"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if n := k.Count("ConnectionFailedCount"); n < 1 {
		t.Error("no failure was counted")
	}
	listen(t, host+":"+port, &avrorpc.Server{Calls: r})
	if err := k.Deliver(background, make(flume.Batch, 2)); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(r.calls) != "[7 1 2]" {
		t.Error(r.calls)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if n := k.Count("ConnectionClosedCount"); n != 2 {
		t.Errorf("%d connections closed, want 2", n)
	}
}

func TestFailedDelivery(t *testing.T) {
	r := &peer{full: func(call int) bool { return call == 1 }}
	host, port, _ := listen(t, "127.0.0.1:0", &avrorpc.Server{Calls: r})
	k := start(t, "hostname = "+host, "port = "+port)
	err := k.Deliver(background, make(flume.Batch, 3))
	var part *flume.PartialError
	if err == nil || errors.As(err, &part) || !strings.Contains(err.Error(), "the receiver answered FAILED") {
		t.Error(err)
	}
	if err := k.Deliver(background, make(flume.Batch, 3)); err != nil {
		t.Error(err)
	}
	k.count(t, "1 0 0") // the connection lives on
}

func TestIPv6Host(t *testing.T) {
	r := &peer{}
	_, port, _ := listen(t, "[::1]:0", &avrorpc.Server{Calls: r})
	for _, host := range []string{"::1", "[::1]"} {
		k := start(t, "hostname = "+host, "port = "+port)
		if err := k.Deliver(background, make(flume.Batch, 1)); err != nil {
			t.Error(err)
		}
	}
}

func TestTLSAndDeflate(t *testing.T) {
	server := tls.Server{SSL: true, Keystore: "../../internal/tls/testdata/server.p12", KeystorePassword: "changeit"}
	config, err := server.Config()
	if err != nil {
		t.Fatal(err)
	}
	f := func(s *avrorpc.Server, settings ...string) {
		t.Helper()
		r := &peer{}
		s.Calls = r
		host, port, _ := listen(t, "127.0.0.1:0", s)
		k := start(t, append(settings, "hostname = "+host, "port = "+port)...)
		for range 2 {
			if err := k.Deliver(background, make(flume.Batch, 3)); err != nil {
				t.Errorf("%q: %v", settings, err)
			}
		}
	}
	ssl := []string{"ssl = true", "truststore = ../../internal/tls/testdata/trust.p12", "truststore-password = changeit"}
	f(&avrorpc.Server{TLS: config}, ssl...)
	f(&avrorpc.Server{TLS: config}, "ssl = true", "trust-all-certs = true")
	f(&avrorpc.Server{Deflate: true}, "compression-type = deflate", "compression-level = 1")
	f(&avrorpc.Server{TLS: config, Deflate: true}, append(ssl, "compression-type = deflate")...)
	f(&avrorpc.Server{TLS: config, Deflate: true}, append(ssl, "compression-type = deflate", "compress-inside-tls = true")...)
}

func TestOpenNeedsItsTrustStore(t *testing.T) {
	_, err := flumetest.TryOpen(t, flumetest.NewEnv(), Kind, "hostname = h", "port = 1", "ssl = true", "truststore = none.jks")
	if err == nil || !strings.Contains(err.Error(), "none.jks") {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	f := func(want string, settings ...string) {
		t.Helper()
		problems := flumetest.Problems(t, Kind, nil, append([]string{"hostname = h", "port = 1"}, settings...)...)
		if got := strings.TrimSpace(problems.String()); got != want {
			t.Errorf("%q:\n%s, want\n%s", settings, got, want)
		}
	}
	f("")
	f(`flume.conf:3: a1.components.x1.batch-size: 0 is no size; the default 100 is taken`, "batch-size = 0")
	f(`flume.conf:3: a1.components.x1.batch-size: -5 is no size; the default 100 is taken`, "batch-size = -5")
	f(`flume.conf:3: a1.components.x1.batch-size: "x" is not a number; the default 100 is taken`, "batch-size = x")
	f(`flume.conf:3: a1.components.x1.connect-timeout: 999 is less than 1000; the default 20000 is taken`, "connect-timeout = 999")
	f(`flume.conf:3: a1.components.x1.request-timeout: "1s" is not a number of milliseconds; the default 20000 is taken`, "request-timeout = 1s")
	f("", "compression-level = 77") // without compression nobody reads it
	f(`flume.conf:4: a1.components.x1.compression-level: 77 is no level of compression (0 to 9)`, "compression-type = Deflate", "compression-level = 77")
	f(`flume.conf:3: a1.components.x1.maxIoWorkers: has no effect, as in Flume 1.10 and later`, "maxIoWorkers = 4")
	f("", "client.type = default")
	f("", "client.type = DEFAULT_FAILOVER")
	f(`flume.conf:3: a1.components.x1.client.type: DEFAULT_LOADBALANCE needs two receivers at least: name them in hosts, and their addresses in hosts.NAME`, "client.type = default_loadbalance")
	f(`flume.conf:3: a1.components.x1.client.type: thrift is no client of an avro sink: use a sink of type thrift, or an avro source on the receiver`, "client.type = thrift")
	f(`flume.conf:3: a1.components.x1.client.type: com.example.Client is no client of an avro sink: a Java class cannot be run; use DEFAULT, or keep this hop in Flume`, "client.type = com.example.Client")
	for _, typ := range []string{"Default_Failover", "DEFAULT_LOADBALANCE"} {
		f("", "hosts = h1 h2", "hosts.h1 = b:2", "hosts.h2 = c:3", "client.type = "+typ)
	}
	f(`flume.conf:3: a1.components.x1.hosts: names "h2", and hosts.h2 is not set`, "hosts = h1 h2", "hosts.h1 = b:2", "client.type = default_failover")
	f(`flume.conf:3: a1.components.x1.hosts: names "h1", and hosts.h1 is not set`, "hosts = h1")
	f(`flume.conf:4: a1.components.x1.hosts.h1: "nowhere" is not host:port`, "hosts = h1", "hosts.h1 = nowhere")
	f(`flume.conf:3: a1.components.x1.hosts: names 2 receivers; only the first, b:2, is used`, "hosts = h1 h2", "hosts.h1 = b:2", "hosts.h2 = c:3")
	f("", "hosts = h1", "hosts.h1 = [::1]:2")
	const nowhere = " is no address of a receiver: connections to it arrive at this machine itself; name the machine of the receiver"
	f("flume.conf:4: a1.components.x1.hosts.h1: 0.0.0.0"+nowhere, "hosts = h1", "hosts.h1 = 0.0.0.0:2")
	for _, host := range []string{"0.0.0.0", "::", "[::]"} {
		problems := flumetest.Problems(t, Kind, nil, "hostname = "+host, "port = 1")
		if got, want := problems.String(), "flume.conf:1: a1.components.x1.hostname: "+host+nowhere+"\n"; got != want || problems.Fatal() {
			t.Errorf("%s, want %s", got, want)
		}
	}

	problems := flumetest.Problems(t, Kind, nil)
	if want := "flume.conf:1: a1.components.x1.hostname: is required and not set: The host name or address of the receiver; IPv6 addresses too.\n" +
		"flume.conf:1: a1.components.x1.port: is required and not set: The port of the receiver.\n"; problems.String() != want {
		t.Errorf("%s, want %s", problems, want)
	}
	plan, _ := Kind.Bind(flumetest.Section(t, "hostname = h", "port = 1", "reset-connection-interval = 7", "batch-size = -5"))
	if s := plan.Settings.(*Settings); s.Receiver.ResetInterval != 7*time.Second {
		t.Error(s.Receiver.ResetInterval)
	}
	if plan.Limits.BatchSize != 100 {
		t.Errorf("the agent is told a batch-size of %d", plan.Limits.BatchSize)
	}
}

func TestPlaces(t *testing.T) {
	f := func(want flume.Endpoint, settings ...string) {
		t.Helper()
		plan, problems := Kind.Bind(flumetest.Section(t, settings...))
		if problems != nil {
			t.Fatal(problems)
		}
		if got := plan.Settings.(flume.Destination).Destinations(nil); len(got) != 1 || got[0] != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("avro://localhost:44444", "hostname = localhost", "port = 44444")
	f("avro://[2001:db8::1]:1", "hostname = 2001:db8::1", "port = 1")
	f("avro://b:2", "hostname = h", "port = 1", "hosts = x", "hosts.x = b:2")

	plan, _ := Kind.Bind(flumetest.Section(t, "hostname = h", "port = 1", "hosts = x y", "hosts.x = b:2", "hosts.y = c:3", "client.type = default_failover"))
	if got := fmt.Sprint(plan.Settings.(flume.Destination).Destinations(nil)); got != "[avro://b:2 avro://c:3]" {
		t.Error(got)
	}
}

// The clients that know several receivers: one after the other, or in turn.
func TestSeveral(t *testing.T) {
	for typ, want := range map[string][2]string{"DEFAULT_FAILOVER": {"[1 2 3]", "[3 4 5]"}, "DEFAULT_LOADBALANCE": {"[1 3]", "[2 3 4 5]"}} {
		var r [2]*peer
		settings := []string{"hostname = unused", "port = 1", "hosts = h1 h2", "client.type = " + typ}
		for i := range r {
			r[i] = &peer{}
			host, port, _ := listen(t, "127.0.0.1:0", &avrorpc.Server{Calls: r[i]})
			settings = append(settings, fmt.Sprintf("hosts.h%d = %s", i+1, net.JoinHostPort(host, port)))
		}
		r[0].full = func(int) bool { n := len(r[0].calls); return r[0].calls[n-1] >= 3 }
		if typ == "DEFAULT_LOADBALANCE" {
			settings = append(settings, "backoff = true")
		}
		k := start(t, settings...)
		for n := 1; n <= 5; n++ {
			if err := k.Deliver(background, make(flume.Batch, n)); err != nil {
				t.Errorf("%s: %v", typ, err)
			}
		}
		if got := [2]string{fmt.Sprint(r[0].calls), fmt.Sprint(r[1].calls)}; got != want {
			t.Errorf("%s: calls of %v", typ, got)
		}
		k.count(t, "2 0 0")
	}
}

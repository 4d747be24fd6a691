package thrift

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/thriftrpc"
	"github.com/sluice-io/sluice/internal/tls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A peer is a Thrift source without an agent.
type peer struct {
	flumetest.Inbox
	host, port string
	stop       func()
}

// listen starts a peer; answer says what becomes of a batch.
func listen(t testing.TB, host string, port int, s *thriftrpc.Server, answer func(flume.Batch) error) *peer {
	t.Helper()
	env := flumetest.NewEnv()
	source, err := rpc.Listen(background, host, port, "Thrift RPC", env.Env)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{}
	p.Answer = answer
	s.Calls, s.Budget = source.Calls(env.Env), source.Budget(1<<26)
	if s.MaxFrame == 0 {
		s.MaxFrame = thriftrpc.MaxFrame
	}
	source.Serve = s.Serve
	var all sync.WaitGroup
	all.Go(func() {
		if err := source.Run(background, p.Emit); err != nil {
			t.Error(err)
		}
	})
	p.stop = func() { source.Close(); all.Wait() }
	t.Cleanup(p.stop)
	p.host, p.port, _ = net.SplitHostPort(source.Addr().String())
	return p
}

// sizes are how many events each call had.
func (p *peer) sizes() []int {
	var out []int
	for _, b := range p.Batches() {
		out = append(out, len(b))
	}
	return out
}

type opened struct {
	flume.Sink
	*flumetest.Env
}

func start(t testing.TB, p *peer, settings ...string) opened {
	t.Helper()
	env := flumetest.NewEnv()
	k := opened{flumetest.OpenIn(t, env, Kind, append([]string{"hostname = " + p.host, "port = " + p.port}, settings...)...), env}
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
		p := listen(t, "127.0.0.1", 0, &thriftrpc.Server{}, nil)
		return closing{flumetest.Open(t, Kind, "hostname = "+p.host, "port = "+p.port), p.stop}
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
	p := listen(t, "127.0.0.1", 0, &thriftrpc.Server{}, nil)
	k := start(t, p, "batch-size = 7")
	if l := k.Limits(); l.Events != 7 || l.Bytes != thriftrpc.MaxFrame {
		t.Errorf("%+v", l)
	}
	for _, n := range []int{7, 1} {
		if err := k.Deliver(background, make(flume.Batch, n)); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(p.sizes()) != "[7 1]" {
		t.Error(p.sizes())
	}
	k.count(t, "1 0 0")

	p.stop()
	// The first call may still go out on the connection that is just closing.
	var err error
	for err == nil || !strings.Contains(err.Error(), "connecting") {
		if err = k.Deliver(background, make(flume.Batch, 1)); err == nil {
			t.Fatal("delivered to nobody")
		}
	}
	if want := "connecting to " + p.host + ":" + p.port + ": refused"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	port, err := strconv.Atoi(p.port)
	if err != nil {
		t.Fatal(err)
	}
	again := listen(t, p.host, port, &thriftrpc.Server{}, nil)
	if err := k.Deliver(background, make(flume.Batch, 2)); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(again.sizes()) != "[2]" {
		t.Error(again.sizes())
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if n := k.Count("ConnectionClosedCount"); n != 2 {
		t.Errorf("%d connections closed, want 2", n)
	}
}

func TestFailedDelivery(t *testing.T) {
	calls := 0
	p := listen(t, "127.0.0.1", 0, &thriftrpc.Server{Protocol: thriftrpc.Binary}, func(flume.Batch) error {
		if calls++; calls == 1 {
			return flume.ErrFull
		}
		return nil
	})
	k := start(t, p, "protocol = binary")
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

// A receiver that speaks the other protocol closes, and the error says what may be wrong.
func TestWrongProtocol(t *testing.T) {
	p := listen(t, "127.0.0.1", 0, &thriftrpc.Server{}, nil)
	k := start(t, p, "protocol = binary")
	if err := k.Deliver(background, make(flume.Batch, 1)); err == nil || !strings.Contains(err.Error(), "does it speak another protocol") {
		t.Error(err)
	}
}

// large makes events whose bodies have so many bytes.
func large(sizes ...int) flume.Batch {
	b := make(flume.Batch, len(sizes))
	for i, n := range sizes {
		b[i].Body = make([]byte, n)
	}
	return b
}

// What does not fit one call takes several; what fits none is rejected, and the rest goes on.
func TestLargeBatches(t *testing.T) {
	refuse := 0
	calls := 0
	p := listen(t, "127.0.0.1", 0, &thriftrpc.Server{MaxFrame: 10_000}, func(flume.Batch) error {
		if calls++; calls == refuse {
			return flume.ErrFull
		}
		return nil
	})
	k := start(t, p, "max-frame-size = 10000")
	f := func(b flume.Batch, refused int, sizes []int, rejected, pending []int) {
		t.Helper()
		before := len(p.sizes())
		calls, refuse = 0, refused
		err := k.Deliver(background, b)
		var part *flume.PartialError
		if (rejected != nil || pending != nil) != errors.As(err, &part) || part == nil && err != nil {
			t.Fatalf("%v", err)
		}
		if got := p.sizes()[before:]; !slices.Equal(got, sizes) {
			t.Errorf("calls of %v events, want %v", got, sizes)
		}
		if part == nil {
			return
		}
		var got []int
		for _, r := range part.Rejected {
			got = append(got, r.Index)
			if !strings.Contains(r.Err.Error(), "the event is too large for one call") || !strings.Contains(r.Err.Error(), "where 10000 are the most (max-frame-size)") {
				t.Error(r.Err)
			}
		}
		if !slices.Equal(got, rejected) || !slices.Equal(part.Pending, pending) || (part.Err != nil) != (pending != nil) || pending != nil && !part.InOrder {
			t.Errorf("rejected %v, pending %v, %v", got, part.Pending, part.Err)
		}
	}
	f(large(9900), 0, []int{1}, nil, nil)
	f(large(5000, 4900, 40), 0, []int{2, 1}, nil, nil)
	f(large(9950), 0, nil, []int{0}, nil)
	f(large(10, 9950, 10, 20, 12000), 0, []int{1, 2}, []int{1, 4}, nil)
	f(large(5000, 9950, 5000, 5000, 5000), 2, []int{1}, []int{1}, []int{2, 3, 4})
	f(large(5000, 9950, 5000, 5000, 5000), 3, []int{1, 1}, []int{1}, []int{3, 4})
	if err := k.Deliver(background, large(1)); err != nil {
		t.Error(err)
	}
	k.count(t, "1 0 0")
}

func TestTLS(t *testing.T) {
	server := tls.Server{SSL: true, Keystore: "../../internal/tls/testdata/server.p12", KeystorePassword: "changeit"}
	config, err := server.Config()
	if err != nil {
		t.Fatal(err)
	}
	p := listen(t, "127.0.0.1", 0, &thriftrpc.Server{TLS: config}, nil)
	for _, settings := range [][]string{
		{"ssl = true", "truststore = ../../internal/tls/testdata/trust.p12", "truststore-password = changeit"},
		{"ssl = true", "trust-all-certs = true"},
	} {
		k := start(t, p, settings...)
		for range 2 {
			if err := k.Deliver(background, make(flume.Batch, 3)); err != nil {
				t.Errorf("%q: %v", settings, err)
			}
		}
	}
	if err := start(t, p, "ssl = true").Deliver(background, make(flume.Batch, 1)); err == nil || !strings.Contains(err.Error(), "truststore") {
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
		if problems.Fatal() != strings.Contains(want, "kerberos") {
			t.Error(problems)
		}
	}
	f("", "connect-timeout = 1000", "client.type = thrift", "maxConnections = 1", "client-principal = p", "client-keytab = k", "server-principal = s")
	f(`flume.conf:3: a1.components.x1.batch-size: 0 is no size; the default 100 is taken`, "batch-size = 0")
	f(`flume.conf:3: a1.components.x1.protocol: "json" is not one of compact, binary; the default compact is taken`, "protocol = json")
	f(`flume.conf:3: a1.components.x1.protocol: Binary means compact, as in Flume, which knows binary in lower case only`, "protocol = Binary")
	f(`flume.conf:3: a1.components.x1.client.type: DEFAULT has no effect: a Thrift sink has a Thrift client, as in Flume`, "client.type = DEFAULT")
	f(`flume.conf:3: a1.components.x1.maxConnections: has no effect: a sink has one connection, as in Flume`, "maxConnections = 5")
	f("flume.conf:3: a1.components.x1.kerberos: is not spoken here; use ssl = true on both ends, or let Flume speak it: keep that hop there, with avro between it and this agent", "kerberos = true")
	f(`flume.conf:3: a1.components.x1.hosts: names 2 receivers; only the first, b:2, is used`, "hosts = h1 h2", "hosts.h1 = b:2", "hosts.h2 = c:3")
	plan, _ := Kind.Bind(flumetest.Section(t, "hostname = h", "port = 1", "reset-connection-interval = 7", "batch-size = -5", "protocol = binary"))
	if s := plan.Settings.(*Settings); s.Receiver.ResetInterval != 7*time.Second || s.Protocol != thriftrpc.Binary || plan.Limits.BatchSize != 100 {
		t.Errorf("%+v %+v", s, plan.Limits)
	}
	if got := plan.Settings.(flume.Destination).Destinations(nil); len(got) != 1 || got[0] != "thrift://h:1" {
		t.Error(got)
	}
}

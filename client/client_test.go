package client

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
	"github.com/sluice-io/sluice/internal/avrorpc"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/thriftrpc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each runs a test with every protocol.
func each(t *testing.T, test func(t *testing.T, p Protocol)) {
	for p, name := range []string{"avro", "thrift compact", "thrift binary"} {
		t.Run(name, func(t *testing.T) { test(t, Protocol(p)) })
	}
}

// receiver is a source without an agent.
type receiver struct {
	listener net.Listener
	serve    func(ctx, force context.Context, conn net.Conn) error
	cancel   context.CancelFunc
	wait     sync.WaitGroup

	mu    sync.Mutex
	calls [][]string                // the bodies of each call
	fail  func(b flume.Batch) error // nil: never
	conns []net.Conn
}

func (r *receiver) Append(ctx context.Context, b flume.Batch) error { return r.AppendBatch(ctx, b) }

func (r *receiver) AppendBatch(_ context.Context, b flume.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(b); err != nil {
			return err
		}
	}
	var bodies []string
	for i := range b {
		bodies = append(bodies, string(b[i].Body))
	}
	r.calls = append(r.calls, bodies)
	return nil
}

// listen starts a receiver; address is empty for any port.
func listen(t testing.TB, p Protocol, address string) *receiver {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &receiver{listener: l, cancel: cancel}
	budget := rpc.NewBudget(1 << 22)
	switch p {
	case Avro:
		r.serve = (&avrorpc.Server{Calls: r, MaxFrame: 1 << 20, Budget: budget}).Serve
	case ThriftCompact:
		r.serve = (&thriftrpc.Server{Calls: r, MaxFrame: 1 << 20, Budget: budget}).Serve
	case ThriftBinary:
		r.serve = (&thriftrpc.Server{Calls: r, MaxFrame: 1 << 20, Budget: budget, Protocol: thriftrpc.Binary}).Serve
	}
	r.wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
			r.wait.Go(func() { _ = r.serve(ctx, context.Background(), conn) })
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *receiver) stop() {
	r.listener.Close()
	r.cancel()
	r.wait.Wait()
}

func (r *receiver) address() string { return r.listener.Addr().String() }

// changes counts what Observe is told.
type changes struct {
	mu sync.Mutex
	n  [3]int
}

func (c *changes) observe(x Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[x]++
}

func (c *changes) want(t *testing.T, connected, failed, closed int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if want := [3]int{connected, failed, closed}; c.n != want {
		t.Errorf("connections opened, failed, closed: %v, want %v", c.n, want)
	}
}

func open(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func numbered(n int) flume.Batch {
	b := make(flume.Batch, n)
	for i := range b {
		b[i].Body = fmt.Append(nil, i)
	}
	return b
}

func TestSubBatches(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		r := listen(t, p, "")
		c := open(t, Options{Protocol: p, Address: r.address(), BatchSize: 3})
		if err := c.AppendBatch(context.Background(), numbered(7)); err != nil {
			t.Fatal(err)
		}
		if err := c.AppendBatch(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Append(context.Background(), flume.Event{Body: []byte("one")}); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.calls); got != "[[0 1 2] [3 4 5] [6] [one]]" {
			t.Error(got)
		}
	})
}

func TestStopsAtTheFirstFailure(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		r := listen(t, p, "")
		r.fail = func(b flume.Batch) error {
			if string(b[0].Body) == "4" {
				return errors.New("full")
			}
			return nil
		}
		var seen changes
		c := open(t, Options{Protocol: p, Address: r.address(), BatchSize: 2, Observe: seen.observe})
		err := c.AppendBatch(context.Background(), numbered(8))
		var batch *BatchError
		var status *StatusError
		if !errors.As(err, &batch) || batch.Delivered != 4 || !errors.As(err, &status) || status.Status != rpc.Failed {
			t.Errorf("%v", err)
		}
		if want := "after 4 delivered events: sending to " + r.address() + ": the receiver answered FAILED: its channel did not take the events"; err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		if err := c.AppendBatch(context.Background(), numbered(1)); err != nil { // it is not dead
			t.Error(err)
		}
		c.Close()
		seen.want(t, 1, 0, 1)
	})
}

func TestReconnects(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		var seen changes
		r := listen(t, p, "")
		address := r.address()
		c := open(t, Options{Protocol: p, Address: address, Observe: seen.observe})
		if err := c.AppendBatch(context.Background(), numbered(1)); err != nil {
			t.Fatal(err)
		}
		l := c.link
		r.stop()
		for l.conn.Err() == nil { // until it hears of it
			time.Sleep(time.Millisecond)
		}
		err := c.AppendBatch(context.Background(), numbered(1))
		if err == nil || !strings.Contains(err.Error(), "connecting to "+address+": refused") {
			t.Errorf("%v", err)
		}
		seen.want(t, 1, 1, 1)
		listen(t, p, address)
		if err := c.AppendBatch(context.Background(), numbered(2)); err != nil {
			t.Error(err)
		}
		seen.want(t, 2, 1, 1)
		c.Close()
		seen.want(t, 2, 1, 2)
		if err := c.Append(context.Background(), flume.Event{}); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestMaxAge(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		r := listen(t, p, "")
		var seen changes
		c := open(t, Options{Protocol: p, Address: r.address(), MaxAge: time.Nanosecond, Observe: seen.observe})
		for range 3 {
			if err := c.AppendBatch(context.Background(), numbered(1)); err != nil {
				t.Fatal(err)
			}
		}
		seen.want(t, 3, 0, 2)
	})
}

func TestManyCallers(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		r := listen(t, p, "")
		var seen changes
		c := open(t, Options{Protocol: p, Address: r.address(), Observe: seen.observe})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 20 {
					if err := c.AppendBatch(context.Background(), numbered(3)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if len(r.calls) != 400 {
			t.Errorf("%d calls", len(r.calls))
		}
		seen.want(t, 1, 0, 0)
	})
}

func TestErrorsSayWhatToLookAt(t *testing.T) {
	protocol := Avro
	f := func(address, want string) {
		t.Helper()
		c := open(t, Options{Protocol: protocol, Address: address, ConnectTimeout: 100 * time.Millisecond, RequestTimeout: 150 * time.Millisecond})
		err := c.AppendBatch(context.Background(), numbered(1))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	peer := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				serve(conn)
				conn.Close()
			}
		})
		t.Cleanup(func() { l.Close(); wg.Wait() })
		return l.Addr().String()
	}
	hangUp := peer(func(c net.Conn) { c.Read(make([]byte, 1000)) })
	web := peer(func(c net.Conn) { c.Read(make([]byte, 1000)); c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	silent := peer(func(c net.Conn) {
		b := make([]byte, 1000)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	})
	for _, protocol = range []Protocol{Avro, ThriftCompact, ThriftBinary} {
		f("127.0.0.1:1", "refused: does anything listen there?")
		f("no-such-host.invalid:1", "no-such-host.invalid")
		f(hangUp, "closed after the first bytes: does it speak another protocol, TLS or compression?")
		f(web, "the peer speaks HTTP")
	}
	f(silent, "waiting for the answer: timed out after 150ms (request-timeout)")
	protocol = Avro
	f(silent, "waiting for the first answer: timed out after 100ms (connect-timeout)")
}

func TestRequestTimeout(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		r := listen(t, p, "")
		block := make(chan struct{})
		n := 0
		r.fail = func(flume.Batch) error {
			if n++; n == 2 {
				<-block
			}
			return nil
		}
		c := open(t, Options{Protocol: p, Address: r.address(), RequestTimeout: 50 * time.Millisecond})
		if err := c.AppendBatch(context.Background(), numbered(1)); err != nil {
			t.Fatal(err)
		}
		err := c.AppendBatch(context.Background(), numbered(1))
		if err == nil || !strings.Contains(err.Error(), "waiting for the answer: timed out after 50ms (request-timeout)") {
			t.Error(err)
		}
		close(block)
		if err := c.AppendBatch(context.Background(), numbered(1)); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseEndsACall(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		r := listen(t, p, "")
		begun, block := make(chan struct{}), make(chan struct{})
		r.fail = func(flume.Batch) error { close(begun); <-block; return nil }
		c := open(t, Options{Protocol: p, Address: r.address()})
		done := make(chan error, 1)
		go func() { done <- c.AppendBatch(context.Background(), numbered(1)) }()
		<-begun
		c.Close()
		if err := <-done; err == nil {
			t.Error("nil")
		}
		close(block)
	})
}

func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	l.Close()
	r := listen(t, Avro, "[::1]:0")
	c := open(t, Options{Address: r.address()})
	if err := c.AppendBatch(context.Background(), numbered(1)); err != nil {
		t.Error(err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{{}, {Address: "host"}, {Address: "a:1", Level: 10}, {Address: "a:1", Level: -1}, {Address: "a:1", Protocol: ThriftBinary, Deflate: true}} {
		if _, err := Open(o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}

// A batch that is too large for one call of Thrift takes several; an event that is too large for any is not sent.
func TestLargeCallsOfThrift(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		if p == Avro {
			return
		}
		r := listen(t, p, "")
		c := open(t, Options{Protocol: p, Address: r.address(), MaxCall: 1000})
		b := flume.Batch{{Body: make([]byte, 500)}, {Body: make([]byte, 300)}, {Body: make([]byte, 500)}, {Body: make([]byte, 1000)}, {}}
		err := c.AppendBatch(context.Background(), b)
		var part *BatchError
		if !errors.As(err, &part) || part.Delivered != 3 || !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		if len(r.calls) != 2 || len(r.calls[0]) != 2 || len(r.calls[1]) != 1 {
			t.Errorf("%d calls", len(r.calls))
		}
		if err := c.Append(context.Background(), b[3]); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		if err := c.Append(context.Background(), b[0]); err != nil {
			t.Error(err)
		}
	})
}

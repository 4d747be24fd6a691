// Package client sends events to a Flume agent, or to Sluice: to an Avro source, or with Options.Protocol to a Thrift
// source.
//
//	c, err := client.Open(client.Options{Address: "collector.example:41414"})
//	…
//	defer c.Close()
//	err = c.AppendBatch(ctx, flume.Batch{{Body: []byte("hello")}})
//
// [OpenFailover] and [OpenLoadBalancer] send to several agents, [FromProperties] reads the properties of Flume's clients.
//
// Nil means that the receiver's channels have committed the events. After an error nobody knows whether they have,
// unless it is a [StatusError]: sending again may store them twice, not sending again may lose them.
//
// A Client connects when it is first used and again after a failure; it is never dead. A batch is sent in calls of
// BatchSize events, one after the other, up to the first that fails ([BatchError] says how many events were delivered).
// It may be used from many goroutines, whose calls share one connection: in Avro up to 256 are on their way together, in
// Thrift one after the other. With Options.Pipeline the calls of one batch are on their way together too, in their order;
// of those behind one that fails nobody knows then whether they are stored. It never waits longer than the time limits: ConnectTimeout for dialling, and with Avro until the
// first call is answered, RequestTimeout for each call after that.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrorpc"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/thriftrpc"
)

// A Protocol is what the receiver speaks.
type Protocol int

// The protocols of Flume. Flume's Thrift source speaks the compact one unless it is told otherwise.
const (
	Avro Protocol = iota
	ThriftCompact
	ThriftBinary
)

// Options say where to send and how. Only Address is required.
type Options struct {
	Address        string        // host:port; an IPv6 address stands in brackets
	Protocol       Protocol      // of the receiver's source; 0: Avro
	BatchSize      int           // the most events of one call; 0: 100
	ConnectTimeout time.Duration // for TCP, TLS and, with Avro, the answer to the first call; 0: 20 s
	RequestTimeout time.Duration // for the answer to each other call; 0: 20 s
	Pipeline       int           // with Avro: the most calls of one batch that are on their way at once; 0: 1
	MaxCall        int           // with Thrift: the most bytes of one call; 0: 16,384,000, as much as Flume's Thrift source takes

	TLS               *tls.Config // nil: plain
	Deflate           bool        // compress; the receiver must expect it; Avro only
	Level             int         // of compression, 0 to 9; 6 is Flume's
	CompressInsideTLS bool        // with both: compress, then encrypt, as Flume 1.9 and older; false: as 1.10 and 1.11

	// MaxAge closes a connection that is older before the next call, so that a load balancer in between can choose
	// anew; 0: never.
	MaxAge time.Duration

	// Observe, if not nil, is told what becomes of connections. It must not call the client.
	Observe func(Change)
}

// A Change is what became of a connection.
type Change = rpc.Change

// The changes: a connection was opened, could not be opened, was closed.
const (
	Connected    = rpc.Connected
	NotConnected = rpc.NotConnected
	Closed       = rpc.Closed
)

// A StatusError is an answer other than OK: the receiver's channels did not take the events.
type StatusError = rpc.StatusError

// A Status is the answer to a call.
type Status = rpc.Status

// The answers that Flume's protocols know. Flume itself sends the first two.
const (
	StatusOK      = rpc.OK
	StatusFailed  = rpc.Failed
	StatusUnknown = rpc.Unknown
)

// A RemoteError is what the receiver says went wrong outside of its channels.
type RemoteError = rpc.RemoteError

// A BatchError says how far AppendBatch came: the first Delivered events are stored.
type BatchError struct {
	Delivered int
	Err       error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("after %d delivered events: %v", e.Delivered, e.Err)
}

func (e *BatchError) Unwrap() error { return e.Err }

// ErrClosed is what a call on a closed client returns.
var ErrClosed = errors.New("the client is closed")

// ErrTooLarge is wrapped where a single event is larger than a call may be. Nothing of it was sent.
var ErrTooLarge = thriftrpc.ErrTooLarge

// ErrRejected is what a Sender of one's own wraps where an event can never be delivered: a [Durable] sets it aside and goes on.
var ErrRejected = errors.New("the event can never be delivered")

// A Client sends to one receiver.
type Client struct {
	o Options

	connectLate, requestLate error // why a call has ended

	dialling chan struct{} // holds a token that dialling takes
	calls    chan struct{} // has one for each call that waits for its answer
	mu       sync.Mutex
	link     *link // nil: none
	closed   bool
	ended    context.Context // done after Close
	end      context.CancelFunc
}

// A conn is a connection of one protocol, for many calls.
type conn interface {
	Append(ctx context.Context, e *flume.Event) error
	AppendBatch(ctx context.Context, b flume.Batch) error
	Err() error // why it is broken
	Close()
}

// A link is a connection and the calls on it.
type link struct {
	conn   conn
	opened time.Time
	calls  int  // under way
	used   bool // its first call has been answered
	left   bool // no more calls; closed with the last one
}

const (
	mostCalls    = 256 // that wait for their answers at once, over one connection
	mostPipeline = 64  // of one batch
)

// Open checks the options. The connection is made by the first call.
func Open(o Options) (*Client, error) {
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return nil, fmt.Errorf("opening a client: %w", err)
	}
	if o.Deflate && o.Protocol != Avro {
		return nil, errors.New("opening a client: only Avro is compressed")
	}
	if o.Level < 0 || o.Level > 9 {
		return nil, fmt.Errorf("opening a client: %d is no level of compression (0 to 9)", o.Level)
	}
	if o.BatchSize < 1 {
		o.BatchSize = 100
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 20 * time.Second
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 20 * time.Second
	}
	if o.MaxCall <= 0 {
		o.MaxCall = thriftrpc.MaxFrame
	}
	if o.Observe == nil {
		o.Observe = func(Change) {}
	}
	o.Pipeline = min(max(o.Pipeline, 1), mostPipeline)
	c := &Client{o: o, dialling: make(chan struct{}, 1), calls: make(chan struct{}, mostCalls)}
	c.dialling <- struct{}{}
	c.connectLate = fmt.Errorf("timed out after %s (connect-timeout)", o.ConnectTimeout)
	c.requestLate = fmt.Errorf("timed out after %s (request-timeout)", o.RequestTimeout)
	c.ended, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Append sends one event.
func (c *Client) Append(ctx context.Context, e flume.Event) error {
	if _, err := c.fits(flume.Batch{e}); err != nil {
		return err
	}
	return c.call(ctx, func(ctx context.Context, conn conn) error { return conn.Append(ctx, &e) })
}

// AppendBatch sends b, which stays the caller's. An error after a part of it was delivered is a [BatchError].
func (c *Client) AppendBatch(ctx context.Context, b flume.Batch) error {
	if c.o.Pipeline > 1 && len(b) > c.o.BatchSize && c.o.Protocol == Avro {
		return c.pipeline(ctx, b)
	}
	for sent := 0; sent < len(b); {
		next := min(sent+c.o.BatchSize, len(b))
		n, err := c.fits(b[sent:next])
		if err == nil {
			next = sent + n
			err = c.call(ctx, func(ctx context.Context, conn conn) error { return conn.AppendBatch(ctx, b[sent:next]) })
		}
		if err != nil && sent > 0 {
			return &BatchError{sent, err}
		}
		if err != nil {
			return err
		}
		sent = next
	}
	return nil
}

// fits is how many events at the start of b one call can carry; an error: not even the first.
func (c *Client) fits(b flume.Batch) (int, error) {
	if c.o.Protocol == Avro {
		return len(b), nil
	}
	return thriftrpc.Fit(c.thrift(), b, c.o.MaxCall)
}

// carries refuses events that no call can carry, whatever the receiver says.
func (c *Client) carries(b flume.Batch) error {
	for len(b) > 0 {
		n, err := c.fits(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (c *Client) thrift() thriftrpc.Protocol {
	if c.o.Protocol == ThriftBinary {
		return thriftrpc.Binary
	}
	return thriftrpc.Compact
}

// Close ends the calls under way and the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	l := c.link
	c.link, c.closed = nil, true
	c.mu.Unlock()
	c.end()
	if l != nil {
		c.drop(l)
	}
	return nil
}

// call makes one call, over a new connection where there is none.
func (c *Client) call(ctx context.Context, send func(context.Context, conn) error) error {
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	case <-ctx.Done():
		return &connectError{fmt.Errorf("waiting for other calls to %s: %w", c.o.Address, context.Cause(ctx))}
	}
	l, limited, cancel, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	err = send(limited, l.conn)
	c.release(l)
	return c.sending(err)
}

// begin returns the connection with one more call on it, and the time that this one has.
func (c *Client) begin(ctx context.Context) (*link, context.Context, context.CancelFunc, error) {
	l, later, err := c.current()
	if err != nil {
		return nil, nil, nil, &connectError{err}
	}
	if l != nil && (later || c.o.Protocol != Avro) { // nearly always
		limited, cancel := context.WithTimeoutCause(ctx, c.o.RequestTimeout, c.requestLate)
		return l, limited, cancel, nil
	}
	connecting, cancel := context.WithTimeoutCause(ctx, c.o.ConnectTimeout, c.connectLate)
	if l == nil {
		if l, later, err = c.connect(connecting); err != nil {
			cancel()
			return nil, nil, nil, &connectError{err}
		}
	}
	if later || c.o.Protocol != Avro { // whose first call carries no handshake
		cancel()
		connecting, cancel = context.WithTimeoutCause(ctx, c.o.RequestTimeout, c.requestLate)
	}
	return l, connecting, cancel, nil
}

func (c *Client) sending(err error) error {
	if err != nil {
		return fmt.Errorf("sending to %s: %w", c.o.Address, explain(err))
	}
	return nil
}

// A connectError means that nothing was sent.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

// connect returns the connection with one more call on it, and whether it has answered one before.
func (c *Client) connect(ctx context.Context) (l *link, later bool, err error) {
	if l, later, err := c.current(); l != nil || err != nil {
		return l, later, err
	}
	select {
	case <-c.dialling:
	case <-ctx.Done():
		return nil, false, fmt.Errorf("connecting to %s: %w", c.o.Address, context.Cause(ctx))
	}
	defer func() { c.dialling <- struct{}{} }()
	if l, later, err := c.current(); l != nil || err != nil { // another call has made it
		return l, later, err
	}
	conn, err := c.dial(ctx)
	if err != nil {
		c.o.Observe(NotConnected)
		return nil, false, fmt.Errorf("connecting to %s: %w", c.o.Address, explain(err))
	}
	c.o.Observe(Connected)
	l = &link{conn: conn, opened: time.Now(), calls: 1}
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.link = l
	}
	c.mu.Unlock()
	if closed {
		c.drop(l)
		return nil, false, ErrClosed
	}
	return l, false, nil
}

// current returns the connection, if there is one that is good for another call.
func (c *Client) current() (l *link, later bool, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, false, ErrClosed
	}
	l = c.link
	if l == nil {
		c.mu.Unlock()
		return nil, false, nil
	}
	if l.conn.Err() == nil && (c.o.MaxAge == 0 || time.Since(l.opened) < c.o.MaxAge) {
		l.calls++
		later = l.used
		c.mu.Unlock()
		return l, later, nil
	}
	c.link = nil
	l.left = true
	idle := l.calls == 0
	c.mu.Unlock()
	if idle {
		c.drop(l)
	}
	return nil, false, nil
}

// release ends a call.
func (c *Client) release(l *link) {
	c.mu.Lock()
	l.calls--
	l.used = true
	drop := l.left && l.calls == 0
	if l == c.link && l.conn.Err() != nil {
		c.link = nil
		l.left = true
		drop = l.calls == 0
	}
	c.mu.Unlock()
	if drop {
		c.drop(l)
	}
}

// drop closes a connection that nobody finds any more.
func (c *Client) drop(l *link) {
	l.conn.Close()
	c.o.Observe(Closed)
}

func (c *Client) dial(ctx context.Context) (conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ended, func() { cancel(ErrClosed) })()
	var d net.Dialer
	tcp, err := d.DialContext(ctx, "tcp", c.o.Address)
	var out conn
	switch {
	case err != nil:
	case c.o.Protocol == Avro:
		out, err = avrorpc.NewConn(ctx, tcp, avrorpc.Wrapping{TLS: c.o.TLS, Deflate: c.o.Deflate, Level: c.o.Level, Inside: c.o.CompressInsideTLS})
	default:
		out, err = thriftrpc.NewConn(ctx, tcp, c.thrift(), c.o.TLS)
	}
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, err
}

// explain says what an error of the network usually means.
func explain(err error) error {
	var name *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("refused: does anything listen there? (%w)", err)
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Errorf("the name is unknown: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("timed out: %w", err)
	case errors.Is(err, rpc.ErrUnanswered):
		return fmt.Errorf("closed after the first bytes: does it speak another protocol, TLS or compression? (%w)", err)
	}
	return err
}

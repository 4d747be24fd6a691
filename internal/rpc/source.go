package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A Source is the flume.Source of a port on which calls are answered. Its exported fields are set before Run.
type Source struct {
	// Serve answers the calls of one client until it goes away or ctx ends; force ends with Close.
	Serve func(ctx, force context.Context, conn net.Conn) error
	Admit func(ctx context.Context, from net.Addr) bool // false: the connection is closed at once; nil: never
	// Sizes is the setting that bounds a frame, for the log.
	Sizes string

	listener net.Listener
	log      *slog.Logger
	emit     flume.Emit
	turns    chan struct{} // a token for each batch that may be emitted at one time; nil: any number

	force   context.Context // ends with Close, and with it every connection
	abandon context.CancelFunc

	connections *atomic.Int64
	bad         *atomic.Int64 // calls that could not be understood, and connections closed for what they sent

	accepting, reading, decoding, waiting supervise.Trouble
	putting                               *offer.Trouble
}

// Listen opens the port; speech is what is spoken there, for the log.
func Listen(ctx context.Context, bind string, port int, speech string, env flume.Env) (*Source, error) {
	address := Address(bind, port)
	all := address
	if bind == "0.0.0.0" {
		all = Address("", port) // IPv4 and IPv6, as Java has it
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", all)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	env.Log.Info("Listening for "+speech, "address", l.Addr().String())
	s := &Source{
		listener: l, log: env.Log, connections: env.Counter("OpenConnectionCount"), bad: env.Counter("EventReadFail"),
		accepting: supervise.Trouble{Log: env.Log, Failing: "Clients cannot be accepted", Over: "Clients are accepted again"},
		reading:   supervise.Trouble{Log: env.Log, Failing: "A client is disconnected for what it sent"},
		decoding:  supervise.Trouble{Log: env.Log, Failing: "A call cannot be understood; its sender is told so"},
		putting:   offer.NewTrouble(env.Log, "the senders are told so"),
		waiting:   supervise.Trouble{Log: env.Log, Failing: "Clients have to wait, for calls hold as much as max-memory allows", Over: "No client waits for memory any more"},
	}
	s.force, s.abandon = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// Address is host:port; an IPv6 address may stand in brackets or not.
func Address(host string, port int) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

// Addr is where it listens.
func (s *Source) Addr() net.Addr { return s.listener.Addr() }

// Budget returns a budget of so many bytes that says in the log when clients have to wait for it.
func (s *Source) Budget(bytes int64) *Budget {
	b := NewBudget(bytes)
	b.Pressed = func(err error) {
		if err == nil {
			s.waiting.End()
			return
		}
		s.waiting.Report(slog.LevelWarn, err, 0)
	}
	return b
}

// Limit lets no more than n batches into the channels at one time; others wait for their turn. 0: any number.
func (s *Source) Limit(n int) {
	if n > 0 {
		s.turns = make(chan struct{}, n)
	}
}

// Run accepts connections until ctx ends, and then waits for the calls under way.
func (s *Source) Run(ctx context.Context, emit flume.Emit) error {
	s.emit = emit
	ctx, cancel := context.WithCancel(ctx)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.listener.Close() })()
	defer context.AfterFunc(s.force, cancel)()
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			s.accepting.End()
			sessions.Go(func() { s.serve(ctx, conn) })
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return nil
		default: // mostly for want of file descriptors
			s.accepting.Report(slog.LevelWarn, err, time.Second)
			_ = supervise.Sleep(ctx, time.Second) // the listener is closed when ctx has ended
		}
	}
}

// Close abandons the calls under way.
func (s *Source) Close() error {
	s.abandon()
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the port: %w", err)
	}
	return nil
}

func (s *Source) serve(ctx context.Context, conn net.Conn) {
	s.connections.Add(1)
	defer s.connections.Add(-1)
	if s.Admit != nil && !s.Admit(ctx, conn.RemoteAddr()) {
		conn.Close()
		return
	}
	if err := s.calls(ctx, conn); err != nil {
		s.bad.Add(1)
		s.reading.Report(slog.LevelWarn, fmt.Errorf("reading from %s: %w", conn.RemoteAddr(), s.named(err)), 0)
	}
}

// calls answers a client's calls. A panic costs this client its connection only.
func (s *Source) calls(ctx context.Context, conn net.Conn) (err error) {
	defer supervise.Recover("serving a client", &err)
	return s.Serve(ctx, s.force, conn)
}

// named says with an error which setting it is about.
func (s *Source) named(err error) error {
	switch {
	case errors.Is(err, ErrMemory), errors.Is(err, ErrSlow):
		return fmt.Errorf("%w (max-memory)", err)
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%w (%s)", err, s.Sizes)
	}
	return err
}

// Refused counts a call that was answered with an error.
func (s *Source) Refused(from net.Addr, err error) {
	s.bad.Add(1)
	s.decoding.Report(slog.LevelWarn, fmt.Errorf("reading a call of %s: %w", from, s.named(err)), 0)
	s.decoding.End() // the next one is another client's, or another mistake
}

// Emit hands a batch over without a word of what becomes of it.
func (s *Source) Emit(ctx context.Context, b flume.Batch) error { return s.emit(ctx, b) }

// Put emits a batch; an empty one is taken for done.
func (s *Source) Put(ctx context.Context, b flume.Batch) error {
	if len(b) == 0 {
		return nil
	}
	if s.turns != nil {
		select {
		case s.turns <- struct{}{}:
			defer func() { <-s.turns }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := s.emit(ctx, b)
	switch {
	case err == nil:
		s.putting.Taken()
	case ctx.Err() == nil: // else the agent stops, and the sender keeps the events
		s.putting.Failed(err, 0)
	}
	return err
}

// Calls are append and appendBatch, as Avro RPC and Thrift RPC have them: one call is one batch. An error answers FAILED.
// Both may be called from many goroutines; the events are the callee's.
type Calls interface {
	Append(ctx context.Context, b flume.Batch) error // one event
	AppendBatch(ctx context.Context, b flume.Batch) error
}

// Calls puts what is called and counts the calls.
func (s *Source) Calls(env flume.Env) Calls {
	return &calls{
		source:  s,
		appends: env.Counter("AppendReceivedCount"), appendsAccepted: env.Counter("AppendAcceptedCount"),
		batches: env.Counter("AppendBatchReceivedCount"), batchesAccepted: env.Counter("AppendBatchAcceptedCount"),
	}
}

type calls struct {
	source                                             *Source
	appends, appendsAccepted, batches, batchesAccepted *atomic.Int64
}

func (c *calls) Append(ctx context.Context, b flume.Batch) error {
	c.appends.Add(1)
	if err := c.source.Put(ctx, b); err != nil {
		return err
	}
	c.appendsAccepted.Add(1)
	return nil
}

func (c *calls) AppendBatch(ctx context.Context, b flume.Batch) error {
	c.batches.Add(1)
	if err := c.source.Put(ctx, b); err != nil {
		return err
	}
	c.batchesAccepted.Add(1)
	return nil
}

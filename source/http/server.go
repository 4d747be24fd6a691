package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A source answers requests on one port. net/http reads and writes them; what it leaves to a client's good will is bounded
// here: see the package.
type source struct {
	settings *Settings
	log      *slog.Logger
	server   *http.Server
	listener net.Listener
	budget   *rpc.Budget
	turns    chan struct{} // a token for each batch that may be emitted at one time

	// from Run on
	emit flume.Emit
	soft context.Context // ends when the source is to stop: nothing more is read

	force   context.Context // ends with Close
	abandon context.CancelFunc

	mu       sync.Mutex
	conns    map[*conn]struct{}
	stopping bool
	requests sync.WaitGroup // those in a handler

	connections, batches, accepted, bad *atomic.Int64

	accepting, reading, refusing, forbidding, foreign, waiting supervise.Trouble
	putting                                                    *offer.Trouble
}

// A conn is a client's connection.
type conn struct {
	net.Conn
	busy    atomic.Bool  // a handler has a request of it, or its answer is not sent
	begun   atomic.Int64 // requests of which something has come
	handled atomic.Int64 // requests that have come to a handler
}

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// inner finds the conn below TLS.
func inner(c net.Conn) *conn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	own, ok := c.(*conn)
	if !ok {
		panic("BUG: a connection of another listener")
	}
	return own
}

// connKey finds the conn in the context of a request.
type connKey struct{}

// listen opens the port; config nil: without TLS.
func listen(ctx context.Context, s *Settings, config *tls.Config, env flume.Env) (*source, error) {
	address := rpc.Address(s.Bind, s.Port)
	all := address
	if s.Bind == "0.0.0.0" {
		all = rpc.Address("", s.Port) // IPv4 and IPv6, as Java has it
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", all)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	speech := "HTTP"
	o := &source{
		settings: s, log: env.Log, listener: l, turns: make(chan struct{}, s.Jetty.threads), budget: rpc.NewBudget(s.MaxMemory), conns: map[*conn]struct{}{},
		connections: env.Counter("OpenConnectionCount"), bad: env.Counter("EventReadFail"),
		batches: env.Counter("AppendBatchReceivedCount"), accepted: env.Counter("AppendBatchAcceptedCount"),
		accepting:  supervise.Trouble{Log: env.Log, Failing: "Clients cannot be served"},
		reading:    supervise.Trouble{Log: env.Log, Failing: "A client is disconnected for what it sent"},
		refusing:   supervise.Trouble{Log: env.Log, Failing: "A request is refused; its sender is told so"},
		forbidding: supervise.Trouble{Log: env.Log, Failing: "A client does not authenticate as it should; it is told so"},
		foreign:    supervise.Trouble{Log: env.Log, Failing: "Objects that are no events are taken for empty ones, as in Flume; what they hold is lost"},
		putting:    offer.NewTrouble(env.Log, "the senders are told so"),
		waiting:    supervise.Trouble{Log: env.Log, Failing: "Requests have to wait, for they hold as much as max-memory allows", Over: "No request waits for memory any more"},
	}
	o.budget.Pressed = func(err error) {
		if err == nil {
			o.waiting.End()
			return
		}
		o.waiting.Report(slog.LevelWarn, err, 0)
	}
	o.listener = listener{l}
	if config != nil {
		speech = "HTTPS"
		config.NextProtos = []string{"http/1.1"}
		o.listener = tls.NewListener(o.listener, config)
	}
	o.force, o.abandon = context.WithCancel(context.WithoutCancel(ctx))
	o.server = &http.Server{
		Handler: o, DisableGeneralOptionsHandler: true, // OPTIONS * is refused as every other
		ReadHeaderTimeout: s.Jetty.idle, IdleTimeout: s.Jetty.idle, MaxHeaderBytes: s.Jetty.head,
		ErrorLog:  log.New(complaints{o}, "", 0),
		ConnState: o.changed,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, inner(c))
		},
	}
	o.server.SetKeepAlivesEnabled(s.Jetty.persistent)
	env.Log.Info("Listening for "+speech, "address", l.Addr().String())
	return o, nil
}

// complaints are what net/http has to say: of accepting, of TLS, of a panic.
type complaints struct{ *source }

func (c complaints) Write(p []byte) (int, error) {
	c.accepting.Report(slog.LevelWarn, errors.New(string(bytes.TrimSpace(p))), 0)
	return len(p), nil
}

// Run answers requests until ctx ends, and then those whose body is there.
func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.force, cancel)()
	s.emit, s.soft = emit, ctx
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		s.stop()
		// Close ends it too, and says what goes wrong.
		_ = s.server.Shutdown(s.force)
		err = <-served
	}
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.requests.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) && s.force.Err() == nil {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	return nil
}

// stop lets no new request in and closes the connections without one.
func (s *source) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for c := range s.conns {
		if !c.busy.Load() {
			c.Close()
		}
	}
}

// Close abandons the requests under way.
func (s *source) Close() error {
	s.abandon()
	s.listener.Close() // where Run was not called; else it is closed already
	if err := s.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the port: %w", err)
	}
	return nil
}

// begin lets a request in, unless the source stops.
func (s *source) begin(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.handled.Add(1)
	if s.stopping {
		return false
	}
	c.busy.Store(true)
	s.requests.Add(1)
	return true
}

// changed counts connections, and names what was no request: net/http only answers it.
func (s *source) changed(c net.Conn, state http.ConnState) {
	own := inner(c)
	switch state {
	case http.StateNew:
		s.connections.Add(1)
		s.mu.Lock()
		s.conns[own] = struct{}{}
		if s.stopping {
			own.Close()
		}
		s.mu.Unlock()
	case http.StateActive:
		own.begun.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.connections.Add(-1)
		s.mu.Lock()
		delete(s.conns, own)
		stopping := s.stopping
		s.mu.Unlock()
		if own.begun.Load() > own.handled.Load() && !stopping {
			s.bad.Add(1)
			s.reading.Report(slog.LevelWarn, fmt.Errorf("reading from %s: no request of HTTP, one whose head has more than %d bytes (HttpConfiguration.requestHeaderSize), or one that stopped in the middle of it",
				c.RemoteAddr(), s.settings.Jetty.head), 0)
		}
	case http.StateIdle:
		own.busy.Store(false)
	}
}

// put emits a batch in its turn; an empty one is taken for done.
func (s *source) put(ctx context.Context, b flume.Batch) error {
	s.batches.Add(1)
	if len(b) > 0 {
		select {
		case s.turns <- struct{}{}:
			defer func() { <-s.turns }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := s.emit(ctx, b); err != nil {
			if ctx.Err() == nil { // else the agent stops, and the sender keeps the events
				s.putting.Failed(err, 0)
			}
			return err
		}
		s.putting.Taken()
	}
	s.accepted.Add(1)
	return nil
}

// answerTime is how long a client may take to take an answer.
const answerTime = time.Minute

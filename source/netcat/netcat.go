// Package netcat is the source that takes lines of text over TCP: each line is one event, its body in UTF-8, without
// headers.
//
//	client          source
//	"one\n"    ─▶   emit  ─▶  "OK\n"                    taken by the channels (with ack-every-event)
//	"two\n"    ─▶   emit  ─▶  "FAILED: why\n"           not taken; the line is the client's again
//	long line  ─▶             "FAILED: Event exceeds the maximum length (512 chars, including newline)\n", then closed
//	bad bytes  ─▶             closed without a reply: bytes that are no characters of the encoding
//
// A line ends with \n; \r stays in the body, and an empty line is an event with an empty body. The longest line, with
// its newline, is counted in UTF-16 units, as in Java. What follows the last newline when a client closes is a line
// too (in Flume it is lost); when the source stops it is the client's, who has no reply. A failure is replied whatever ack-every-event says, and the connection stays.
//
// Lines that have arrived together are emitted as one batch, and answered one by one in their order. Where the channels
// have no room for the batch its lines are offered one by one, as Flume does it, so that each reply tells the truth.
//
// Memory is bounded: a connection holds little more than one line of the greatest length or one read, and there are at
// most max-connections; further clients wait to be accepted.
package netcat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Kind is the netcat source.
var Kind = flume.Define[Settings, flume.Source]("netcat", "org.apache.flume.source.NetcatSource",
	"Takes lines of text over TCP, each an event.", open)

// Settings are what a netcat source can be told.
type Settings struct {
	Bind           string
	Port           int
	MaxLine        int
	Ack            bool
	Encoding       string
	MaxConnections int
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Bind, "bind", "", "The address or host name to listen on.").Required()
	d.Int(&s.Port, "port", 0, "The port to listen on; 0 is any that is free.").AtLeast(0).AtMost(65535).Required()
	d.Int(&s.MaxLine, "max-line-length", 512, "How long a line is at most, with its newline: characters, those beyond U+FFFF counted twice.").AtLeast(1)
	d.Bool(&s.Ack, "ack-every-event", true, "Whether each line that the channels have taken is answered with OK.")
	d.String(&s.Encoding, "encoding", "utf-8", "The encoding of lines and replies: "+charset.Names+".").Bound(func() error {
		if newEncoding(s.Encoding) == nil {
			return fmt.Errorf("%q is not an encoding that this source knows; there are %s", s.Encoding, charset.Names)
		}
		return nil
	})
	d.Int(&s.MaxConnections, "max-connections", 1000, "How many clients are served at a time; more wait. A setting of Sluice's own.").AtLeast(1)
}

// Holds is the listening address.
func (s *Settings) Holds() []flume.Endpoint {
	if s.Port == 0 {
		return nil
	}
	return []flume.Endpoint{flume.Endpoint("tcp://" + s.address())}
}

func (s *Settings) address() string { return net.JoinHostPort(s.Bind, strconv.Itoa(s.Port)) }

type source struct {
	settings Settings
	log      *slog.Logger
	batch    int
	listener net.Listener
	open     *atomic.Int64 // Flume's OpenConnectionCount
	bad      *atomic.Int64 // EventReadFail: connections closed for what they sent

	accepting, reading supervise.Trouble
	emitting           *offer.Trouble

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended time.Time // when reading ended; zero: it goes on
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", s.address())
	if err != nil {
		return nil, fmt.Errorf("listening for lines of text: %w", err)
	}
	env.Log.Info("Listening for lines of text", "address", l.Addr().String())
	return &source{
		settings: *s, log: env.Log, batch: max(1, env.TransactionCapacity), listener: l,
		open: env.Counter("OpenConnectionCount"), bad: env.Counter("EventReadFail"),
		conns:     map[net.Conn]bool{},
		accepting: supervise.Trouble{Log: env.Log, Failing: "Clients cannot be accepted", Over: "Clients are accepted again"},
		reading:   supervise.Trouble{Log: env.Log, Failing: "A client is disconnected for what it sent"},
		emitting:  offer.NewTrouble(env.Log, "clients are told so"),
	}, nil
}

// replyTime is how long a client may take for the replies to what it sent last, when the source ends.
const replyTime = 2 * time.Second

func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	defer context.AfterFunc(ctx, s.endReading)()
	var serving sync.WaitGroup
	defer serving.Wait()
	places := make(chan struct{}, s.settings.MaxConnections)
	full := false
	for {
		select {
		case places <- struct{}{}:
			full = false
		default:
			if !full {
				full = true
				s.log.Warn("There are max-connections clients; more have to wait until one leaves", "max-connections", s.settings.MaxConnections)
			}
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
		}
		conn, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			<-places // mostly for want of file descriptors
			s.accepting.Report(slog.LevelWarn, err, time.Second)
			_ = supervise.Sleep(ctx, time.Second) // the listener is closed when ctx has ended
			continue
		}
		s.accepting.End()
		serving.Go(func() {
			defer func() { <-places }()
			s.serve(ctx, conn, emit)
		})
	}
}

// endReading lets the clients have the replies to what they have sent, and no more.
func (s *source) endReading() {
	_ = s.listener.Close() // it can only have been closed before
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = time.Now()
	for conn := range s.conns {
		s.limit(conn)
	}
}

// limit ends the reading of a connection. A connection that cannot be limited is broken, and ends by itself.
func (s *source) limit(conn net.Conn) {
	_ = conn.SetReadDeadline(s.ended)
	_ = conn.SetWriteDeadline(s.ended.Add(replyTime))
}

// Close ends a Run that is under way without waiting for clients.
func (s *source) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = time.Now()
	for conn := range s.conns {
		_ = conn.Close() // to wake its reader, who closes it too
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *source) serve(ctx context.Context, conn net.Conn, emit flume.Emit) {
	s.mu.Lock()
	s.conns[conn] = true
	if !s.ended.IsZero() {
		s.limit(conn)
	}
	s.mu.Unlock()
	s.open.Add(1)
	defer func() {
		s.open.Add(-1)
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		_ = conn.Close() // nothing is left to be written
	}()
	c := newClient(conn, s, emit)
	if err := c.served(ctx); err != nil {
		s.bad.Add(1)
		s.reading.Report(slog.LevelWarn, fmt.Errorf("reading from %s: %w", conn.RemoteAddr(), err), 0)
		c.leave()
	}
}

package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Talk is what is said on one connection. It is used by one goroutine.
type Talk interface {
	// Read reads a call. io.EOF: the peer has closed, between two calls. Any other error ends the connection.
	Read(ctx context.Context, r *Reader) error
	// Answer does the call that was read, with memory from its loan, and returns the frame of the answer.
	Answer(ctx context.Context, l *Loan) []byte
}

// A Session is the server's end of one connection.
type Session struct {
	Talk    Talk
	Budget  *Budget  // what frames and events in flight may hold
	Buffers *Buffers // the server's
	// Wrap puts TLS and compression between TCP and the frames, within 20 s; nil: nothing.
	Wrap func(context.Context, net.Conn) (net.Conn, error)

	conn   net.Conn // from the start on: what Wrap returned
	reader Reader
	loan   *Loan // of the call that is under way

	mu      sync.Mutex // guards the read deadline
	stopped bool
}

const (
	handshakeTime = 20 * time.Second // for TLS
	stallTime     = 60 * time.Second // for the next piece of a frame that has begun, and for the client to take an answer
)

// Serve answers the calls that come on conn, one after the other, until the peer closes it or ctx ends. A call under
// way when ctx ends is answered first, unless force, which outlives ctx, ends too. Serve closes conn. Nil: the peer
// went away, or ctx ended.
func (s *Session) Serve(ctx, force context.Context, conn net.Conn) error {
	defer conn.Close()
	s.conn = conn
	s.loan = s.Budget.Client(conn.RemoteAddr(), s.stop)
	defer context.AfterFunc(ctx, s.stop)()
	defer context.AfterFunc(force, func() { conn.Close() })()
	err := s.open(ctx)
	for err == nil && ctx.Err() == nil {
		err = s.call(ctx)
	}
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// stop ends a Read that is under way and every later one.
func (s *Session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.conn.SetReadDeadline(time.Unix(1, 0))
}

// allow sets how long Reads may take from now on; 0 is for ever.
func (s *Session) allow(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	s.conn.SetReadDeadline(until)
}

func (s *Session) open(ctx context.Context) error {
	conn := s.conn
	if s.Wrap != nil {
		s.allow(handshakeTime)
		wrapped, err := s.Wrap(ctx, conn)
		if err != nil {
			return err
		}
		conn = wrapped
		s.allow(0)
		s.mu.Lock()
		s.conn = conn
		s.mu.Unlock()
	}
	s.reader = Reader{
		from: conn, loan: s.loan, buffers: s.Buffers,
		begun: func() { s.allow(stallTime) },
		moved: func(n int) {
			s.loan.Arrived(n)
			s.allow(stallTime)
		},
	}
	return nil
}

// call reads a call, has it done and answers it.
func (s *Session) call(ctx context.Context) error {
	l := s.loan
	defer l.End()
	err := s.Talk.Read(ctx, &s.reader)
	if slow := l.Complete(); slow != nil {
		return slow
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("the client stopped in the middle of a frame for %s: %w", stallTime, err)
		}
		return err
	}
	s.allow(0)
	answer := s.Talk.Answer(ctx, l)
	// Where a deadline cannot be set the connection is closed, which Write or the next Read says.
	_ = s.conn.SetWriteDeadline(time.Now().Add(stallTime))
	if _, err := s.conn.Write(answer); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	_ = s.conn.SetWriteDeadline(time.Time{}) // TLS may have to write while the connection is idle
	return nil
}

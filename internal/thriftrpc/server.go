package thriftrpc

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
)

// A Server answers calls on any number of connections: those of Flume's service, or those of Scribe.
type Server struct {
	Calls    rpc.Calls                                      // of Flume's service
	Log      func(ctx context.Context, b flume.Batch) error // of Scribe; with it there are no Calls
	Protocol Protocol
	MaxFrame int64       // the most bytes of one frame; a larger one closes the connection. Half of Budget at most
	Budget   *rpc.Budget // what frames and events in flight may hold
	TLS      *tls.Config // nil: plain
	// Refused is told of calls that were answered with an exception, because they cannot be read or done. It may be
	// called from many goroutines; nil: nobody is told.
	Refused func(from net.Addr, err error)

	buffers rpc.Buffers
}

// Serve answers the calls that come on conn, as rpc.Session has it, and closes conn.
func (s *Server) Serve(ctx, force context.Context, conn net.Conn) error {
	session := rpc.Session{Talk: &talk{server: s, from: conn.RemoteAddr()}, Budget: s.Budget, Buffers: &s.buffers}
	if s.TLS != nil {
		session.Wrap = func(ctx context.Context, conn net.Conn) (net.Conn, error) { return rpc.AcceptTLS(ctx, conn, s.TLS) }
	}
	return session.Serve(ctx, force, conn)
}

// A talk is what is said on one connection.
type talk struct {
	server *Server
	from   net.Addr
	length [4]byte

	// the call that was read
	message message
	frame   []byte
	reader  reader // behind the head of the message
}

func (t *talk) Read(ctx context.Context, r *rpc.Reader) error {
	frame, err := readFrame(ctx, r, t.length[:], t.server.MaxFrame)
	if err != nil {
		return err
	}
	d := newReader(frame, t.server.Protocol)
	m := d.head()
	if d.err != nil {
		return fmt.Errorf("%w: %w", errNoCall, d.err)
	}
	t.message, t.frame, t.reader = m, frame, d
	return nil
}

// readFrame reads a frame of max bytes at most into memory of its own. io.EOF: the peer has closed, between two frames.
func readFrame(ctx context.Context, r *rpc.Reader, length []byte, max int64) ([]byte, error) {
	if err := r.Begin(length); err != nil {
		return nil, err
	}
	n := int64(int32(binary.BigEndian.Uint32(length)))
	switch {
	case n > 0 && n <= max:
		return r.Body(ctx, nil, n, n)
	case rpc.Stranger(length) != "":
		return nil, fmt.Errorf("%w: %s", errNoCall, rpc.Stranger(length))
	case length[0] == 0x80 && length[1] == 1, length[0] == 0x82:
		return nil, fmt.Errorf("%w: the peer sends messages without frames; it must use the framed transport (TFramedTransport)", errNoCall)
	case n > max:
		return nil, fmt.Errorf("%w: %d bytes, where %d are the most", rpc.ErrTooLarge, n, max)
	}
	return nil, fmt.Errorf("%w: a frame of %d bytes", errNoCall, n)
}

func (t *talk) Answer(ctx context.Context, l *rpc.Loan) []byte {
	w := writer{out: make([]byte, 0, 64), protocol: t.server.Protocol, old: t.server.Log != nil}
	w.beginFrame()
	err := t.call(ctx, l)
	var refused *refusal
	switch {
	case err == nil:
		w.reply(t.message, wireOK)
	case errors.As(err, &refused):
		w.exception(t.message, refused.typ, refused.said)
	default:
		w.reply(t.message, wireFailed)
	}
	// What has not reached the channel for another reason than the channel. When the agent stops, that may be why.
	if err != nil && !errors.Is(err, errPut) && t.server.Refused != nil && ctx.Err() == nil {
		t.server.Refused(t.from, err)
	}
	t.message, t.frame, t.reader = message{}, nil, reader{} // the events have them
	return w.endFrame()
}

// A refusal is answered with an exception.
type refusal struct {
	typ  int32
	said string
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// errPut is wrapped where the callee did not take the events.
var errPut = errors.New("the events were not taken")

// call does the call.
func (t *talk) call(ctx context.Context, l *rpc.Loan) error {
	var put func(context.Context, flume.Batch) error
	of, list := flumeEvent, true
	switch name := string(t.message.name); {
	case t.server.Log != nil && name == logName:
		of, put = logEntry, t.server.Log
	case t.server.Log == nil && name == appendName:
		list, put = false, t.server.Calls.Append
	case t.server.Log == nil && name == appendBatchName:
		put = t.server.Calls.AppendBatch
	default:
		return &refusal{unknownMethod, fmt.Sprintf("Invalid method name: '%s'", name), fmt.Errorf("there is no method %q", name)}
	}
	b, err := t.events(ctx, l, of, list)
	if err != nil {
		return t.refuse(err)
	}
	if err := put(ctx, b); err != nil {
		return fmt.Errorf("%w: %w", errPut, err)
	}
	return nil
}

// refuse makes of what is wrong with a call's arguments what Java would answer.
func (t *talk) refuse(err error) error {
	failed := fmt.Sprintf("Internal error processing %s", t.message.name)
	switch {
	case errors.Is(err, errPut):
		return err
	case errors.Is(err, errStruct):
		return &refusal{protocolError, err.Error(), err}
	case errors.Is(err, errAbsent) && t.server.Log != nil:
		return err // TRY_LATER, though it will never be better
	case errors.Is(err, errAbsent):
		return &refusal{internalError, failed, err}
	}
	return &refusal{internalError, failed + ": " + err.Error(), err}
}

// events decodes the arguments. The events own the frame from then on.
func (t *talk) events(ctx context.Context, l *rpc.Loan, of string, list bool) (flume.Batch, error) {
	d := decoder{reader: t.reader}
	if err := d.arguments(of, list); err != nil {
		return nil, err
	}
	need := int64(d.tally.Memory())
	copied := d.tally.Bodies < cap(t.frame)/2
	if copied {
		need += int64(d.tally.Bodies)
	}
	if _, err := l.Grow(ctx, need); errors.Is(err, rpc.ErrTooLarge) {
		return nil, fmt.Errorf("%w for %d events and %d headers", err, d.tally.Events, d.tally.Headers)
	} else if err != nil { // the agent stops
		return nil, fmt.Errorf("%w: %w", errPut, err)
	}
	d.reader, d.cutter = t.reader, d.tally.Cutter(copied)
	d.batch = make(flume.Batch, 0, d.tally.Events)
	err := d.arguments(of, list)
	return d.batch, err
}

package thriftrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
)

// A Conn is a client's connection. It may be used from many goroutines, whose calls go one after the other, as those of
// Flume's client.
//
// A call that is not answered before its context ends breaks the connection, because nobody can tell what becomes of
// it; so does everything but an answer. Err says so; a broken connection is to be closed.
type Conn struct {
	conn     net.Conn
	protocol Protocol
	gone     chan struct{} // closed when the connection is broken
	turn     chan struct{} // holds a token that a call takes
	answers  chan []byte   // to the call that has the token

	// guarded by the token
	writer   writer
	sequence int32
	answered bool // a call has been

	mu  sync.Mutex
	err error // why it is broken
}

const (
	mostAnswer = 1 << 20 // bytes of an answer, which is a status or an error text
	keptFrame  = 1 << 20 // bytes of memory that a connection keeps for the next call
)

// NewConn makes the client's end of a Thrift connection; config nil: without TLS, else hands are shaken at once. It takes
// over conn and closes it with an error.
func NewConn(ctx context.Context, conn net.Conn, p Protocol, config *tls.Config) (*Conn, error) {
	wrapped, err := rpc.DialTLS(ctx, conn, config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	c := &Conn{
		conn: wrapped, protocol: p, gone: make(chan struct{}), turn: make(chan struct{}, 1), answers: make(chan []byte, 1),
		writer: writer{protocol: p},
	}
	c.turn <- struct{}{}
	go c.read()
	return c, nil
}

// Append sends one event.
func (c *Conn) Append(ctx context.Context, e *flume.Event) error {
	return c.call(ctx, appendName, around+EventLen(c.protocol, e), func(w *writer, sequence int32) { w.event(sequence, e) })
}

// AppendBatch sends events as one call.
func (c *Conn) AppendBatch(ctx context.Context, b flume.Batch) error {
	size := around
	for i := range b {
		size += EventLen(c.protocol, &b[i])
	}
	return c.call(ctx, appendBatchName, size, func(w *writer, sequence int32) { w.events(sequence, b) })
}

// Err is nil as long as the connection can be used. A peer that closes breaks it.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

var errClosed = errors.New("the connection was closed")

// Close breaks the connection; the call in flight fails.
func (c *Conn) Close() { c.broken(errClosed) }

// broken ends the connection, for the first reason that there is.
func (c *Conn) broken(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.gone)
		c.conn.Close()
	}
}

// call sends a message of size bytes at most and waits for the answer.
func (c *Conn) call(ctx context.Context, name string, size int, write func(w *writer, sequence int32)) error {
	if size > 1<<31-1 {
		return fmt.Errorf("a call of %d bytes is more than a Thrift frame can carry", size)
	}
	select {
	case <-c.turn:
	case <-c.gone:
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx) // nothing was sent
	}
	defer func() { c.turn <- struct{}{} }()
	if err := c.Err(); err != nil {
		return err
	}
	c.sequence++
	if cap(c.writer.out) < size {
		c.writer.out = make([]byte, 0, size)
	}
	c.writer.beginFrame()
	write(&c.writer, c.sequence)
	err := rpc.Send(ctx, c.conn, c.writer.endFrame())
	if cap(c.writer.out) > keptFrame {
		c.writer.out = nil
	}
	if err != nil {
		c.broken(err)
		return c.unanswered(c.Err())
	}
	select {
	case answer := <-c.answers:
		c.answered = true
		return c.judge(name, answer)
	case <-c.gone:
		select {
		case answer := <-c.answers: // the last that it sent
			return c.judge(name, answer)
		default:
		}
		return c.unanswered(c.Err())
	case <-ctx.Done():
		c.broken(fmt.Errorf("waiting for the answer: %w", context.Cause(ctx)))
		return c.Err()
	}
}

// unanswered says of a peer that hangs up on the first call that it probably speaks something else.
func (c *Conn) unanswered(err error) error {
	if !c.answered && (errors.Is(err, errHungUp) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
		return fmt.Errorf("%w: %w", rpc.ErrUnanswered, err)
	}
	return err
}

var errHungUp = errors.New("the peer closed the connection")

// read takes answers until the connection breaks.
func (c *Conn) read() {
	loan := rpc.NewBudget(2 * mostAnswer).Loan()
	reader := rpc.NewReader(c.conn, loan)
	var length [4]byte
	for {
		frame, err := readFrame(context.Background(), reader, length[:], mostAnswer)
		loan.End()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			c.broken(errHungUp)
			return
		case err != nil:
			c.broken(fmt.Errorf("reading the answer: %w", err))
			return
		}
		select {
		case c.answers <- frame:
		default:
			c.broken(errors.New("the peer sends answers that nobody has asked for"))
			return
		}
	}
}

// judge reads the answer to a call.
func (c *Conn) judge(name string, frame []byte) error {
	r := newReader(frame, c.protocol)
	m := r.head()
	if r.err == nil && m.sequence != c.sequence {
		r.fail("it answers call %d and not %d", m.sequence, c.sequence)
	}
	if r.err == nil && string(m.name) != name {
		r.fail("it answers %q and not %s", m.name, name)
	}
	var answer error
	switch {
	case r.err != nil:
	case m.kind == kindReply:
		answer = r.reply()
	case m.kind == kindException:
		answer = r.exception()
	default:
		r.fail("a message of kind %d", m.kind)
	}
	if r.err != nil {
		c.broken(fmt.Errorf("reading the answer: %w", r.err))
		return c.Err()
	}
	return answer
}

// reply reads the struct of an answer. Nil: OK.
func (r *reader) reply() error {
	found, status := false, rpc.Unknown
	for last := int16(0); r.err == nil; {
		typ, id := r.field(last)
		last = id
		switch {
		case r.err != nil:
		case typ == typeStop && !found:
			r.fail("a reply without a status")
		case typ == typeStop && status == rpc.OK:
			return nil
		case typ == typeStop:
			return &rpc.StatusError{Status: status}
		case id == 0 && typ == typeI32:
			found = true
			if n := r.i32("the status"); n >= 0 && int(n) < len(statuses) {
				status = statuses[n]
			}
		default:
			r.skip(typ, 0)
		}
	}
	return r.err
}

// exception reads the struct of an exception.
func (r *reader) exception() error {
	var text []byte
	for last := int16(0); r.err == nil; {
		typ, id := r.field(last)
		last = id
		switch {
		case typ == typeStop && r.err == nil:
			return &rpc.RemoteError{Text: string(text)}
		case id == 1 && typ == typeString:
			text = r.bytes("the text of an exception")
		default:
			r.skip(typ, 0)
		}
	}
	return r.err
}

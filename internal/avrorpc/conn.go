package avrorpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
	"github.com/sluice-io/sluice/internal/rpc"
)

// A Conn is a client's connection. It may be used from many goroutines: their calls are in flight together and the
// answers are matched by serial. The first call, which carries the handshake, is alone.
//
// A call that is not answered before its context ends breaks the connection, because nobody can tell what becomes of
// it; so does everything but an answer. Err says so; a broken connection is to be closed.
type Conn struct {
	conn   net.Conn
	gone   chan struct{} // closed when the connection is broken
	writer chan struct{} // holds a token that a Write takes

	frame  []byte // guarded by the token
	serial int32  // guarded by the token
	ready  bool   // guarded by the token: the handshake is done
	frames frameReader
	reader *rpc.Reader
	loan   *rpc.Loan // of the answer that is being read

	mu      sync.Mutex
	waiting map[int32]chan outcome
	err     error // why it is broken
}

type outcome struct {
	payload []byte
	err     error
}

const (
	mostAnswer = 1 << 20 // bytes of an answer, which is a status, an error text or a protocol text
	keptFrame  = 1 << 20 // bytes of memory that a connection keeps for the next call
)

// NewConn makes the client's end of an Avro RPC connection; TLS shakes hands at once, Avro with the first call. It
// takes over conn and closes it with an error.
func NewConn(ctx context.Context, conn net.Conn, w Wrapping) (*Conn, error) {
	wrapped, err := w.dial(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	c := &Conn{conn: wrapped, gone: make(chan struct{}), writer: make(chan struct{}, 1), waiting: map[int32]chan outcome{}}
	c.frames.max = mostAnswer
	c.loan = rpc.NewBudget(2 * mostAnswer).Loan()
	c.reader = rpc.NewReader(wrapped, c.loan)
	c.writer <- struct{}{}
	return c, nil
}

// Append sends one event.
func (c *Conn) Append(ctx context.Context, e *flume.Event) error {
	return c.call(ctx, appendName, event.Len(e), func(dst []byte) []byte { return event.Append(dst, e) })
}

// AppendBatch sends events as one call.
func (c *Conn) AppendBatch(ctx context.Context, b flume.Batch) error {
	return c.call(ctx, appendBatchName, event.ArrayLen(b), func(dst []byte) []byte { return event.AppendArray(dst, b) })
}

// Err is nil as long as the connection can be used. A peer that closes breaks it.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

var errClosed = errors.New("the connection was closed")

// Close breaks the connection; calls in flight fail.
func (c *Conn) Close() { c.broken(errClosed) }

// broken ends the connection, for the first reason that there is.
func (c *Conn) broken(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	waiting := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	close(c.gone)
	c.conn.Close()
	for _, answer := range waiting {
		answer <- outcome{err: err}
	}
}

// call sends a message with a parameter of size bytes and waits for the answer.
func (c *Conn) call(ctx context.Context, name string, size int, parameter func([]byte) []byte) error {
	a, err := c.start(ctx, name, size, parameter)
	if err != nil {
		return err
	}
	return a.Wait(ctx)
}

// An Answer is what a call that has been sent waits for.
type Answer struct {
	conn *Conn
	come chan outcome // nil: it is there
	err  error
}

// Start sends events as one call and returns when they are on their way, in the order of the calls. (The first call of a
// connection has been answered by then.) With an error nothing may be known of them, and there is no answer.
func (c *Conn) Start(ctx context.Context, b flume.Batch) (Answer, error) {
	return c.start(ctx, appendBatchName, event.ArrayLen(b), func(dst []byte) []byte { return event.AppendArray(dst, b) })
}

func (c *Conn) start(ctx context.Context, name string, size int, parameter func([]byte) []byte) (Answer, error) {
	if size > 1<<31-1<<20 {
		return Answer{}, fmt.Errorf("a call of %d bytes is more than Avro RPC can carry", size)
	}
	select {
	case <-c.writer:
	case <-c.gone:
		return Answer{}, c.Err()
	case <-ctx.Done():
		return Answer{}, context.Cause(ctx) // nothing was sent
	}
	if !c.ready {
		defer func() { c.writer <- struct{}{} }()
		return Answer{conn: c, err: c.first(ctx, name, size, parameter)}, nil
	}
	answer := make(chan outcome, 1)
	serial := c.begin(size + 64)
	c.frame = appendBytes(append(c.frame, 0), name)
	c.frame = parameter(c.frame)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		c.writer <- struct{}{}
		return Answer{}, c.Err()
	}
	c.waiting[serial] = answer
	c.mu.Unlock()
	err := c.send(ctx)
	c.writer <- struct{}{}
	if err != nil {
		c.broken(err)
		return Answer{}, err
	}
	return Answer{conn: c, come: answer}, nil
}

// Wait returns what the answer says; it is called once. That ctx ends first breaks the connection.
func (a Answer) Wait(ctx context.Context) error {
	if a.come == nil {
		return a.err
	}
	select {
	case o := <-a.come:
		if o.err != nil {
			return o.err
		}
		return a.conn.judge(&reader{rest: o.payload})
	case <-ctx.Done():
		err := fmt.Errorf("waiting for the answer: %w", context.Cause(ctx))
		a.conn.broken(err)
		return err
	}
}

// begin starts a frame in the connection's own memory.
func (c *Conn) begin(size int) int32 {
	if cap(c.frame) < size {
		c.frame = make([]byte, 0, size)
	}
	c.serial++
	c.frame = beginFrame(c.frame[:0], c.serial)
	return c.serial
}

// send writes the frame. An error leaves the connection in the middle of it.
func (c *Conn) send(ctx context.Context) error {
	endFrame(c.frame)
	err := rpc.Send(ctx, c.conn, c.frame)
	if cap(c.frame) > keptFrame {
		c.frame = nil
	}
	return err
}

// first makes the first call, with the handshake, and starts reading the answers to later ones.
func (c *Conn) first(ctx context.Context, name string, size int, parameter func([]byte) []byte) error {
	g := greeting{client: flumeHash(), server: flumeHash()}
	for {
		serial := c.begin(size + 1024)
		c.frame = g.append(c.frame)
		c.frame = appendBytes(append(c.frame, 0), name)
		c.frame = parameter(c.frame)
		payload, err := c.roundTrip(ctx, serial)
		if err != nil {
			c.broken(err)
			return err
		}
		r := &reader{rest: payload}
		v := readVerdict(r)
		if r.err != nil {
			return c.unintelligible(payload)
		}
		if v.match != matchNone {
			c.ready = true
			go c.read()
			return c.judge(r)
		}
		if g.text != nil {
			err := fmt.Errorf("%w: the peer does not take Flume's protocol", rpc.ErrUnanswered)
			c.broken(err)
			return err
		}
		g.client, g.text = textHash(), []byte(protocolText)
		if v.server != nil {
			g.server = *v.server
		}
	}
}

// unintelligible judges a first answer without a handshake: a server that cannot read ours answers with the error alone.
func (c *Conn) unintelligible(payload []byte) error {
	r := &reader{rest: payload}
	err := c.judge(r)
	var remote *rpc.RemoteError
	if !errors.As(err, &remote) {
		err = fmt.Errorf("%w that could be understood", rpc.ErrUnanswered)
	}
	c.broken(err)
	return err
}

// roundTrip sends the frame and reads the next one.
func (c *Conn) roundTrip(ctx context.Context, serial int32) ([]byte, error) {
	if err := c.send(ctx); err != nil && ctx.Err() != nil {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", rpc.ErrUnanswered, err)
	}
	stop := context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })
	got, payload, err := c.next()
	if !stop() {
		return nil, fmt.Errorf("waiting for the first answer: %w", context.Cause(ctx))
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", rpc.ErrUnanswered, err)
	case got != serial:
		return nil, fmt.Errorf("%w: the peer answered call %d and not %d", rpc.ErrUnanswered, got, serial)
	}
	return payload, nil
}

// next reads an answer.
func (c *Conn) next() (int32, []byte, error) {
	defer c.loan.End()
	return c.frames.next(context.Background(), c.reader)
}

// read hands answers to the calls that wait for them until the connection breaks.
func (c *Conn) read() {
	for {
		serial, payload, err := c.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the peer closed the connection")
			}
			c.broken(err)
			return
		}
		c.mu.Lock()
		answer, ok := c.waiting[serial]
		delete(c.waiting, serial)
		c.mu.Unlock()
		if ok {
			answer <- outcome{payload: payload}
		}
	}
}

// judge reads the answer to a call, behind the handshake.
func (c *Conn) judge(r *reader) error {
	r.meta("the answer's meta")
	failed := r.take(1, "the error flag")
	if r.err == nil && failed[0] == 0 {
		s := r.branch(int64(len(statuses)), "the status")
		if r.err == nil {
			if statuses[s] == rpc.OK {
				return nil
			}
			return &rpc.StatusError{Status: statuses[s]}
		}
	}
	if r.err == nil && r.branch(1, "the error") == 0 {
		text := r.bytes("the error")
		if r.err == nil {
			return &rpc.RemoteError{Text: string(text)}
		}
	}
	err := fmt.Errorf("reading the answer: %w", r.err)
	c.broken(err)
	return err
}

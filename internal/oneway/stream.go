package oneway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/rpc"
)

// A Reader turns the bytes of one connection into events. It is used by one goroutine.
type Reader interface {
	// Cut finds up to n messages in p and returns how many bytes they have. They lie in p until Clear. Ended: nothing
	// follows. What is left is given again, with more behind it, and is never as much as a message may be.
	Cut(p []byte, n int, ended bool) int
	// CutShort makes a message of p, a part of one: there is no memory for the rest.
	CutShort(p []byte)
	Len() int  // messages cut
	Size() int // and their bytes
	Clear()    // forgets them
	// Events makes events of the messages from one to another.
	Events(from, to int) flume.Batch
	Taken() // all that were cut are in the channels
	Idle()  // less comes from now on: memory can be given up
}

// Streams serve the connections of a source.
type Streams struct {
	Offer  *offer.Offer
	Budget *rpc.Budget
	TLS    *tls.Config // nil: plain
	First  int         // bytes of the buffer of an idle connection; 0: a few
	Reader func(ctx context.Context, conn net.Conn) Reader

	buffers sync.Pool // of busySize
}

const (
	smallSize     = 1 << 10
	fewEvents     = 16 // what is made of a small buffer at once, without asking for memory
	busySize      = 64 << 10
	handshakeTime = 20 * time.Second
	patience      = 5 * time.Second // to wait for memory for a message
	eventCost     = 512             // bytes of an event beside its text: headers and their values
)

// errTLS is a client that speaks TLS to a plain port.
var errTLS = errors.New("the peer speaks TLS, and this end does not; set ssl = true, or send without TLS")

// Serve reads what a client sends until it leaves or ctx ends, and puts it into the channels until force ends. It closes
// conn. The error is what the client did wrong. Serve is a rpc.Source's.
func (s *Streams) Serve(ctx, force context.Context, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(force, func() { conn.Close() })()
	shaking, cancel := context.WithTimeout(ctx, handshakeTime)
	secure, err := rpc.AcceptTLS(shaking, conn, s.TLS)
	cancel()
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil // a probe, mostly
		}
		return err
	}
	stop := func() { _ = secure.SetReadDeadline(time.Unix(1, 0)) } // a connection without deadlines is closed
	defer context.AfterFunc(ctx, stop)()
	c := &stream{
		Streams: s, force: force, conn: secure, reader: s.Reader(ctx, conn), small: make([]byte, cmp.Or(s.First, smallSize)),
		loan: s.Budget.Client(conn.RemoteAddr(), stop), plain: s.TLS == nil,
	}
	c.buf = c.small
	defer c.close()
	return c.run(ctx)
}

// A stream is one connection. What has been read and is not yet taken lies in buf[start:end].
//
// buf is small, or of busySize while much arrives, or as large as a message that is not complete needs.
// All but small comes out of the budget.
type stream struct {
	*Streams
	force  context.Context // ends with Close
	conn   net.Conn
	reader Reader
	loan   *rpc.Loan
	plain  bool
	known  bool // the first bytes have been looked at

	small, buf []byte
	start, end int
}

// run reads until the client leaves or ctx ends, and then what has arrived by then, as much as the kernel can hold. The
// error is what the client did wrong.
func (c *stream) run(ctx context.Context) error {
	stopping := false
	for left := kernelBuffer; ; {
		if stopping {
			_ = c.conn.SetReadDeadline(time.Now().Add(linger)) // a connection without deadlines is closed
		}
		n, err := c.conn.Read(c.buf[c.end:])
		c.end += n
		c.loan.Arrived(n)
		switch {
		case stopping && err == nil:
			if left -= n; left <= 0 {
				err = os.ErrDeadlineExceeded
			}
		case !stopping && ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
			stopping, ctx, err = true, c.force, nil
		}
		if c.plain && c.strange(n) {
			return errTLS
		}
		full := c.end == len(c.buf)
		slow, lost := c.pass(ctx, err != nil)
		switch {
		case lost != nil:
			return nil // it has been said
		case slow != nil:
			return slow
		case err == nil:
		case stopping, ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
			return nil
		default:
			return fmt.Errorf("reading: %w", err)
		}
		if lost := c.move(ctx, full); lost != nil {
			return nil
		}
	}
}

// strange looks at the first n bytes of a connection.
func (c *stream) strange(n int) bool {
	const handshake, major = 0x16, 3
	if c.known || n == 0 {
		return false
	}
	c.known = true
	return c.buf[0] == handshake && n > 1 && c.buf[1] == major
}

// pass puts all messages that have arrived into the channels. It returns whether the client has been cut off for
// being slow, and whether messages are lost.
func (c *stream) pass(ctx context.Context, ended bool) (slow, lost error) {
	slow = c.loan.Complete()
	ended = ended || slow != nil
	for {
		most := c.Offer.Most
		if len(c.buf) == len(c.small) {
			most = min(most, fewEvents)
		}
		c.start += c.reader.Cut(c.buf[c.start:c.end], most, ended)
		if c.reader.Len() == 0 {
			return slow, nil
		}
		if lost = c.put(ctx); lost != nil {
			return slow, lost
		}
	}
}

// put puts the messages that have been cut into the channels.
func (c *stream) put(ctx context.Context) error {
	n := c.reader.Len()
	cost := int64(0)
	if len(c.buf) > len(c.small) {
		cost = int64(c.reader.Size() + n*eventCost)
		if _, err := c.loan.Grow(ctx, cost); err != nil {
			cost = 0 // the source ends: these are the last
		}
		_ = c.loan.Complete() // the channels may take their time
	}
	events := offer.Of(n, c.reader.Events)
	lost := c.Offer.Keep(c.force, events)
	if lost == nil {
		c.reader.Taken()
	}
	c.reader.Clear()
	if lost != nil {
		c.Offer.Trouble.Lost(events.Len()+c.behind(), lost)
	}
	c.loan.Shrink(cost)
	return lost
}

// behind counts the messages that have been read and not yet cut, of which one may be a part. It is for the end.
func (c *stream) behind() int {
	c.start += c.reader.Cut(c.buf[c.start:c.end], c.end-c.start, true)
	n := c.reader.Len()
	c.reader.Clear()
	return n
}

// move makes room for the next read; full: the last one has filled the buffer. Where there is none for long, it makes
// a message of what there is of one, so that nobody waits for ever.
func (c *stream) move(ctx context.Context, full bool) error {
	next, err := c.room(ctx, full, c.end-c.start)
	if err != nil {
		if ctx.Err() != nil {
			return nil // the next read says so
		}
		c.reader.CutShort(c.buf[c.start:c.end])
		c.start = c.end
		if lost := c.put(ctx); lost != nil {
			return lost
		}
		next = c.small
	}
	c.start, c.end = 0, copy(next, c.buf[c.start:c.end])
	c.free(next)
	if len(c.buf) == len(c.small) {
		c.loan.End()
		return nil
	}
	c.loan.Resume()
	return nil
}

// room is the buffer for the next read, of which so many bytes are left from the last one.
func (c *stream) room(ctx context.Context, full bool, left int) ([]byte, error) {
	partial := full && left > len(c.buf)/2
	size := len(c.small)
	if left >= size || partial {
		for size < 2*left {
			size *= 2
		}
	}
	if full && !partial && size <= busySize {
		switch {
		case len(c.buf) == busySize:
			return c.buf, nil
		case c.loan.Try(busySize): // it goes faster with more, and goes on with less
			return c.busy(), nil
		}
	}
	switch size {
	case len(c.buf):
		return c.buf, nil
	case len(c.small):
		return c.small, nil
	}
	c.loan.Sizes(int64(size))
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := c.loan.Grow(waiting, int64(size)); err != nil {
		return nil, err
	}
	if size == busySize {
		return c.busy(), nil
	}
	return make([]byte, size), nil
}

// busy returns a buffer of busySize.
func (c *stream) busy() []byte {
	if b, ok := c.buffers.Get().(*[busySize]byte); ok {
		return b[:]
	}
	return new([busySize]byte)[:]
}

// free gives up the buffer for the next one.
func (c *stream) free(next []byte) {
	old := c.buf
	if c.buf = next; len(old) == len(next) || len(old) == len(c.small) {
		return
	}
	c.loan.Shrink(int64(len(old)))
	if len(next) == len(c.small) {
		c.reader.Idle()
	}
	if len(old) == busySize {
		c.buffers.Put((*[busySize]byte)(old))
	}
}

// close gives everything back.
func (c *stream) close() {
	c.free(c.small)
	c.loan.End()
}

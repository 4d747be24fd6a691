package avrorpc

import (
	"context"
	"crypto/md5" // Avro's own hash of a protocol
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
	"github.com/sluice-io/sluice/internal/rpc"
)

// A Server answers calls on any number of connections.
type Server struct {
	Calls    rpc.Calls
	MaxFrame int64       // the most bytes of one frame; a larger one closes the connection. Half of Budget at most
	Budget   *rpc.Budget // what frames and events in flight may hold
	TLS      *tls.Config // nil: plain
	Deflate  bool
	// Refused is told of calls that were answered with the error flag, because they cannot be read or done. It may be
	// called from many goroutines; nil: nobody is told.
	Refused func(from net.Addr, err error)

	buffers  rpc.Buffers
	dialects dialects
}

// Serve answers the calls that come on conn, as rpc.Session has it, and closes conn.
func (s *Server) Serve(ctx, force context.Context, conn net.Conn) error {
	c := &talk{server: s, from: conn.RemoteAddr(), frames: frameReader{max: s.MaxFrame}}
	session := rpc.Session{Talk: c, Budget: s.Budget, Buffers: &s.buffers}
	if s.TLS != nil || s.Deflate {
		session.Wrap = func(ctx context.Context, conn net.Conn) (net.Conn, error) { return accept(ctx, conn, s.TLS, s.Deflate) }
	}
	return session.Serve(ctx, force, conn)
}

// A talk is what is said on one connection.
type talk struct {
	server  *Server
	from    net.Addr
	frames  frameReader
	greeted bool
	dialect *dialect // nil: Flume's

	// the call that was read
	serial  int32
	payload []byte
}

func (c *talk) Read(ctx context.Context, r *rpc.Reader) (err error) {
	c.serial, c.payload, err = c.frames.next(ctx, r)
	return err
}

func (c *talk) Answer(ctx context.Context, l *rpc.Loan) []byte {
	payload := c.payload
	c.payload = nil // the events'
	answer := c.answer(ctx, l, payload, beginFrame(make([]byte, 0, 64), c.serial))
	endFrame(answer)
	return answer
}

// refuse appends the answer to a call that cannot be read or done.
func (c *talk) refuse(ctx context.Context, out []byte, err error) []byte {
	if c.server.Refused != nil && ctx.Err() == nil { // else it may be the stop that it came to
		c.server.Refused(c.from, err)
	}
	return appendBytes(append(out, 0, 1, 0), err.Error())
}

// answer appends the answer to a payload.
func (c *talk) answer(ctx context.Context, l *rpc.Loan, payload, out []byte) []byte {
	r := reader{rest: payload}
	if !c.greeted {
		g := readGreeting(&r)
		if r.err != nil {
			return c.refuse(ctx, out, r.err)
		}
		m, err := c.greet(g)
		if err != nil {
			return c.refuse(ctx, out, err)
		}
		out = appendVerdict(out, m)
		if m == matchNone {
			return out
		}
		c.greeted = true
	}
	r.meta("the call's meta")
	name := r.bytes("the name of the message")
	if r.err != nil {
		return c.refuse(ctx, out, r.err)
	}
	var err error
	switch string(name) {
	case "":
		return out // a ping
	case appendName:
		err = c.deliver(ctx, l, r.rest, false)
	case appendBatchName:
		err = c.deliver(ctx, l, r.rest, true)
	default:
		err = fmt.Errorf("there is no message %q, only append and appendBatch", name[:min(len(name), 100)])
	}
	switch {
	case err == nil:
		return append(out, 0, 0, wireOK)
	case errors.Is(err, errRefused):
		return append(out, 0, 0, wireFailed)
	}
	return c.refuse(ctx, out, err)
}

// errRefused is wrapped where the callee did not take the events.
var errRefused = errors.New("the events were not taken")

// deliver decodes the parameter and hands it over.
func (c *talk) deliver(ctx context.Context, l *rpc.Loan, parameter []byte, array bool) error {
	if c.dialect != nil {
		var err error
		if parameter, err = c.dialect.translate(ctx, l, parameter, array); err != nil {
			return err
		}
	}
	var t event.Tally
	var err error
	if array {
		_, err = t.Array(parameter)
	} else {
		_, err = t.Event(parameter)
	}
	if err != nil {
		return err
	}
	need := int64(t.Memory())
	copied := t.Bodies < cap(parameter)/2 // as Cut has it
	if copied {
		need += int64(t.Bodies)
	}
	if _, err := l.Grow(ctx, need); errors.Is(err, rpc.ErrTooLarge) {
		return fmt.Errorf("%w for %d events and %d headers", err, t.Events, t.Headers)
	} else if err != nil {
		return err
	}
	switch {
	case !array:
		e, _ := t.Cutter(copied).Event(parameter)
		err = c.server.Calls.Append(ctx, flume.Batch{e})
	case t.Events > 0:
		err = c.server.Calls.AppendBatch(ctx, t.Cut(parameter))
	default:
		err = c.server.Calls.AppendBatch(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return nil
}

// translate rewrites a parameter of a client that does not write events as Flume does.
func (d *dialect) translate(ctx context.Context, l *rpc.Loan, parameter []byte, array bool) ([]byte, error) {
	r := d.single
	if array {
		r = d.batch
	}
	switch {
	case r == nil:
		return nil, errors.New("the client's own protocol does not have this message")
	case r.plain:
		return parameter, nil
	}
	if _, err := l.Grow(ctx, int64(len(parameter))); err != nil {
		return nil, err
	}
	return r.events(parameter, array)
}

// greet judges a handshake and remembers what the client speaks. An error: its text is no protocol.
func (c *talk) greet(g greeting) (match, error) {
	known := g.client.ours()
	if known {
		c.dialect = nil
	} else {
		c.dialect = c.server.dialects.get(g.client)
		known = c.dialect != nil
	}
	if !known && g.text != nil {
		d, err := parseDialect(g.text)
		if err != nil {
			return matchNone, err
		}
		c.dialect, known = d, true
		if hash(md5.Sum(g.text)) == g.client { // else it is good for this connection only
			c.server.dialects.put(g.client, d)
		}
	}
	switch {
	case !known:
		return matchNone, nil
	case g.server.ours():
		return matchBoth, nil
	}
	return matchClient, nil
}

// dialects remembers what clients speak, the last mostDialects of them. Its zero value is empty.
type dialects struct {
	mu     sync.Mutex
	byHash map[hash]*dialect
	order  []hash // oldest first
}

const mostDialects = 64

func (d *dialects) get(h hash) *dialect {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byHash[h]
}

func (d *dialects) put(h hash, spoken *dialect) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byHash == nil {
		d.byHash = map[hash]*dialect{}
	}
	if _, ok := d.byHash[h]; !ok {
		d.order = append(d.order, h)
	}
	d.byHash[h] = spoken
	if len(d.order) > mostDialects {
		delete(d.byHash, d.order[0])
		d.order = slices.Delete(d.order, 0, 1)
	}
}

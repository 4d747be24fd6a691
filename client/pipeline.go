package client

import (
	"context"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrorpc"
)

// A flight is a call that has been sent and not answered.
type flight struct {
	link   *link
	answer avrorpc.Answer
	ctx    context.Context
	cancel context.CancelFunc
	events int
}

// pipeline sends b in calls of BatchSize events, up to Pipeline of them on their way at once. When one fails no more are
// sent, and those on their way are waited for.
func (c *Client) pipeline(ctx context.Context, b flume.Batch) error {
	var (
		flights   []flight
		delivered int // events at the start of b
		failed    error
	)
	land := func() {
		f := flights[0]
		flights = flights[1:]
		err := c.land(f)
		switch {
		case failed != nil:
		case err != nil:
			failed = err
		default:
			delivered += f.events
		}
	}
	for rest := b; len(rest) > 0 && failed == nil; {
		// A call that has to wait for others while it has some of its own on their way could wait for ever.
		if len(flights) == c.o.Pipeline || len(flights) > 0 && !c.slot() {
			land()
			continue
		}
		if len(flights) == 0 {
			select {
			case c.calls <- struct{}{}:
			case <-ctx.Done():
				failed = &connectError{context.Cause(ctx)}
				continue
			}
		}
		n := min(c.o.BatchSize, len(rest))
		f, err := c.start(ctx, rest[:n])
		if err != nil {
			<-c.calls
			for len(flights) > 0 {
				land()
			}
			if failed == nil {
				failed = err
			}
			continue
		}
		flights = append(flights, f)
		rest = rest[n:]
	}
	for len(flights) > 0 {
		land()
	}
	if failed != nil && delivered > 0 {
		return &BatchError{delivered, failed}
	}
	return failed
}

// slot takes room for one more call if there is some.
func (c *Client) slot() bool {
	select {
	case c.calls <- struct{}{}:
		return true
	default:
		return false
	}
}

// start sends one call.
func (c *Client) start(ctx context.Context, b flume.Batch) (flight, error) {
	l, limited, cancel, err := c.begin(ctx)
	if err != nil {
		return flight{}, err
	}
	avro, ok := l.conn.(*avrorpc.Conn)
	if !ok {
		panic("BUG: only Avro is pipelined")
	}
	answer, err := avro.Start(limited, b)
	if err != nil {
		cancel()
		c.release(l)
		return flight{}, c.sending(err)
	}
	return flight{l, answer, limited, cancel, len(b)}, nil
}

// land waits for the answer.
func (c *Client) land(f flight) error {
	err := f.answer.Wait(f.ctx)
	f.cancel()
	c.release(f.link)
	<-c.calls
	return c.sending(err)
}

package external

import (
	"context"
	"fmt"

	"github.com/sluice-io/sluice/flume"
)

// tooLong is why an event is rejected that no line can hold.
func (c *Caller) tooLong(e *flume.Event) error {
	return fmt.Errorf("its line would be longer than maxLineBytes, %d; it has %d bytes", c.settings.MaxLine, e.Size())
}

// Deliver hands a batch to the program of a sink.
func (c *Caller) Deliver(ctx context.Context, b flume.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var partial flume.PartialError
	for at := 0; at < len(b); {
		n, m, err := c.call(ctx, b[at:], undelivered)
		switch {
		case err != nil && at == 0:
			return err
		case err != nil: // what came before is delivered
			partial.Err, partial.InOrder = err, true
			for ; at < len(b); at++ {
				partial.Pending = append(partial.Pending, at)
			}
			return &partial
		case n == 0:
			partial.Rejected = append(partial.Rejected, flume.Rejected{Index: at, Err: c.tooLong(&b[at])})
			n = 1
		}
		for _, r := range m.rejected {
			partial.Rejected = append(partial.Rejected, flume.Rejected{Index: at + r.Index, Err: r.Err})
		}
		for _, i := range m.pending {
			partial.Pending = append(partial.Pending, at+i)
		}
		if len(m.pending) > 0 && partial.Err == nil {
			partial.Err = reason(&m, "the program cannot deliver them yet")
		}
		at += n
	}
	if len(partial.Rejected) > 0 || len(partial.Pending) > 0 {
		return &partial
	}
	return nil
}

// undelivered says what an answer of a sink's program is against.
func undelivered(m *message, _ int) string {
	switch {
	case m.has&fieldEvents != 0:
		return "the answer of a sink has no events"
	case m.ok && (m.has&fieldError == 0 || len(m.pending) > 0):
		return ""
	case !m.ok && m.has&fieldError != 0 && m.has&(fieldRejected|fieldPending) == 0:
		return ""
	}
	return `the answer of a sink has "ok":true, with rejected and pending if not all is delivered, or an error alone if nothing is`
}

// Intercept hands a batch to the program of an interceptor.
func (c *Caller) Intercept(ctx context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out flume.Batch
	var rejected []flume.Rejection
	for at := 0; at < len(b); {
		n, m, err := c.call(ctx, b[at:], unintercepted)
		if err != nil {
			return nil, nil, err
		}
		if n == 0 {
			rejected = append(rejected, flume.Rejection{Event: b[at], Err: c.tooLong(&b[at])})
			n = 1
		}
		for _, r := range m.rejected {
			rejected = append(rejected, flume.Rejection{Event: b[at+r.Index], Err: r.Err})
		}
		if out == nil {
			out = m.events
		} else {
			out = append(out, m.events...)
		}
		at += n
	}
	return out, rejected, nil
}

// unintercepted says what an answer of an interceptor's program is against.
func unintercepted(m *message, n int) string {
	switch {
	case m.has&fieldPending != 0:
		return "the answer of an interceptor has nothing pending"
	case m.has&fieldEvents != 0 && m.has&fieldError == 0 && (m.ok || m.has&fieldOK == 0):
		if len(m.events)+len(m.rejected) <= n {
			return ""
		}
		return fmt.Sprintf("an interceptor adds no events: the call had %d, the answer has %d and %d rejected", n, len(m.events), len(m.rejected))
	case m.has&fieldError != 0 && !m.ok && m.has&(fieldEvents|fieldRejected) == 0:
		return ""
	}
	return "the answer of an interceptor has events, with rejected beside them, or an error alone"
}

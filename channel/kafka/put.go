package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
)

// Put makes the records of a batch. The error is that there is no room for them.
func (c *channel) Put(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	if c.life.Err() != nil {
		return nil, errClosed
	}
	if c.sender == nil {
		panic("BUG: a channel that nobody fills is filled")
	}
	made, whole := 0, 0
	for i := range b {
		n := c.value.Len(&b[i])
		made, whole = made+n, whole+n
		if !c.value.Flume {
			whole += len(b[i].Body)
		}
	}
	p := &put{channel: c, batch: b, bytes: min(whole, c.room.most)}
	if err := c.room.take(ctx, p.bytes); err != nil {
		return nil, err
	}
	now := time.Now()
	p.records = make([]kgo.Record, len(b))
	buf := make([]byte, 0, made)
	for i := range b {
		r := &p.records[i]
		r.Topic, r.Timestamp = c.s.topic, now
		if err := c.place.Put(r, &b[i]); err != nil {
			p.rejected = append(p.rejected, flume.Rejected{Index: i, Err: err})
		}
		buf = c.value.Append(buf, r, &b[i])
	}
	return p, nil
}

// A put is a batch with its records, which have room.
type put struct {
	channel  *channel
	batch    flume.Batch
	records  []kgo.Record
	rejected []flume.Rejected
	bytes    int // of room
	over     bool
}

func (p *put) Batch() flume.Batch { return p.batch }

// Commit sends the batch. What can never be sent is in the dead letters when it returns nil.
func (p *put) Commit(ctx context.Context) error {
	c := p.channel
	if c.life.Err() != nil {
		return errClosed
	}
	start := time.Now()
	err := c.sender.Send(ctx, &c.place, p.batch, p.records, p.rejected)
	c.sendTimer.Add(time.Since(start).Milliseconds())
	var partial *flume.PartialError
	switch {
	case err == nil:
	case !errors.As(err, &partial):
		return err
	case len(partial.Pending) > 0:
		return fmt.Errorf("%d of %d events were not acknowledged, the others stand in topic %s already: %w", len(partial.Pending), len(p.batch), c.s.topic, partial.Err)
	default:
		out := make([]flume.Rejection, len(partial.Rejected))
		for i, r := range partial.Rejected {
			out[i] = flume.Rejection{Event: p.batch[r.Index], Err: r.Err}
		}
		if err := c.env.Reject(ctx, out...); err != nil {
			return fmt.Errorf("writing %d events to the dead letters: %w", len(out), err)
		}
	}
	p.Rollback() // of the room; the events are sent
	return nil
}

func (p *put) Split([]int) flume.Transaction { panic("BUG: a put transaction is split") }

func (p *put) Rollback() {
	if p.over {
		return
	}
	p.over = true
	p.channel.room.free(p.bytes)
}

// A room bounds the bytes of all open puts. Who waits is served in the order of coming, so that a large one is not
// overtaken for ever.
type room struct {
	most     int
	patience time.Duration

	mu      sync.Mutex
	used    int
	closed  bool
	waiting []*putter
}

// A putter waits until its bytes have been reserved for it, or the room is closed.
type putter struct {
	bytes int
	done  chan struct{}
}

// take reserves bytes, at most all there are.
func (r *room) take(ctx context.Context, bytes int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 && r.used+bytes <= r.most {
		r.used += bytes
		return nil
	}
	w := &putter{bytes: bytes, done: make(chan struct{})}
	r.waiting = append(r.waiting, w)
	r.mu.Unlock()
	timer := time.NewTimer(r.patience)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	if r.closed {
		return errClosed
	}
	at := slices.Index(r.waiting, w)
	if at < 0 { // granted, perhaps only just now
		return nil
	}
	r.waiting = slices.Delete(r.waiting, at, at+1)
	r.grant() // w may have kept smaller ones waiting
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("waiting for room in the channel: %w", cause)
	}
	return fmt.Errorf("%w: puts of %d bytes are being sent, kafka.producer.buffer.memory is %d, and no room came free for %d within %v",
		flume.ErrFull, r.used, r.most, bytes, r.patience)
}

func (r *room) free(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= bytes
	r.grant()
}

func (r *room) grant() {
	for len(r.waiting) > 0 && r.used+r.waiting[0].bytes <= r.most {
		w := r.waiting[0]
		r.waiting = slices.Delete(r.waiting, 0, 1)
		r.used += w.bytes
		close(w.done)
	}
}

func (r *room) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	for _, w := range r.waiting {
		close(w.done)
	}
	r.waiting = nil
}

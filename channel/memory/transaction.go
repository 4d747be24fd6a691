package memory

import (
	"context"
	"slices"

	"github.com/sluice-io/sluice/flume"
)

// state says how a transaction ended.
type state int

const (
	underWay state = iota
	committed
	rolledBack
)

// A put is a batch whose room is reserved. Its segment is what the queue gets.
type put struct {
	channel *channel
	batch   flume.Batch // takers shorten the segment's
	segment segment
	state   state
}

func (p *put) Batch() flume.Batch { return p.batch }

func (p *put) Commit(context.Context) error {
	if p.state != underWay {
		panic("BUG: a put transaction is committed after its end")
	}
	c := p.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	p.state = committed
	c.queue.append(&p.segment)
	c.size.Store(int64(c.queue.held.events))
	c.wake()
	return nil
}

func (p *put) Rollback() {
	if p.state != underWay {
		return
	}
	p.state = rolledBack
	c := p.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(p.segment.room)
}

func (p *put) Split([]int) flume.Transaction { panic("BUG: a put transaction is split") }

// A take is a batch that has left the queue and still has its room.
type take struct {
	channel *channel
	batch   flume.Batch
	room    room
	segment segment // a part of a batch on the way here, all of it on the way back
	state   state
}

// gather makes one batch of the segments. One segment is handed on as it is.
func (t *take) gather(s *segment) {
	if s.next == nil {
		t.batch, t.room = slices.Clip(s.batch), s.room
		return
	}
	for x := s; x != nil; x = x.next {
		t.room = t.room.plus(x.room)
	}
	t.batch = make(flume.Batch, 0, t.room.events)
	for x := s; x != nil; x = x.next {
		t.batch = append(t.batch, x.batch...)
	}
}

func (t *take) Batch() flume.Batch { return t.batch }

func (t *take) Commit(context.Context) error {
	if t.state != underWay {
		panic("BUG: a take transaction is committed after its end")
	}
	t.state = committed
	c := t.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(t.room)
	c.size.Store(int64(c.queue.held.events))
	return nil
}

func (t *take) Split(keep []int) flume.Transaction {
	if t.state != underWay {
		panic("BUG: a take transaction is split after its end")
	}
	kept := make(flume.Batch, 0, len(keep))
	rest := make(flume.Batch, 0, len(t.batch)-len(keep))
	for i := range t.batch {
		if len(kept) < len(keep) && keep[len(kept)] == i {
			kept = append(kept, t.batch[i])
		} else {
			rest = append(rest, t.batch[i])
		}
	}
	if len(kept) < len(keep) {
		panic("BUG: the indexes of a split are not ascending or not in the batch")
	}
	k := &take{channel: t.channel, batch: kept, room: measure(kept, t.channel.limit.slot)}
	t.batch, t.room = rest, t.room.minus(k.room)
	return k
}

func (t *take) Rollback() {
	if t.state != underWay {
		return
	}
	t.state = rolledBack
	c := t.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	t.segment = segment{batch: t.batch, room: t.room}
	c.queue.prepend(&t.segment)
	c.size.Store(int64(c.queue.held.events))
	c.wake()
}

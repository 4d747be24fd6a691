package spillable

import (
	"context"
	"slices"

	"github.com/sluice-io/sluice/flume"
)

// A put is a batch that one side has room for.
type put struct {
	channel  *channel
	tx       flume.Transaction // of that side
	inMemory bool
	n        int // events
	over     bool
}

func (p *put) Batch() flume.Batch { return p.tx.Batch() }

func (p *put) Commit(ctx context.Context) error {
	c := p.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed: // and what is in memory has been saved
		return errClosed
	case p.inMemory:
		if err := p.tx.Commit(ctx); err != nil {
			return err
		}
		c.held += p.n
	default:
		c.writing++
		c.mu.Unlock()
		err := p.tx.Commit(ctx)
		c.mu.Lock()
		c.writing--
		if err != nil {
			return err
		}
		c.newer += p.n
	}
	p.over = true
	c.arrived()
	return nil
}

func (p *put) Rollback() {
	if p.over {
		return
	}
	p.over = true
	p.tx.Rollback()
	if p.inMemory {
		c := p.channel
		c.mu.Lock()
		defer c.mu.Unlock()
		c.used -= p.n
	}
}

func (p *put) Split([]int) flume.Transaction { panic("BUG: a put transaction is split") }

// A take is a run of events of one side.
type take struct {
	channel  *channel
	tx       flume.Transaction // of that side
	inMemory bool
	n        int // events
	over     bool
}

func newTake(c *channel, tx flume.Transaction, inMemory bool) *take {
	return &take{channel: c, tx: tx, inMemory: inMemory, n: len(tx.Batch())}
}

// settled forgets a take of memory that has ended.
func (c *channel) settled(t *take) {
	if i := slices.Index(c.out, t); i >= 0 {
		c.out = slices.Delete(c.out, i, i+1)
	}
}

func (t *take) Batch() flume.Batch { return t.tx.Batch() }

func (t *take) Commit(ctx context.Context) error {
	if err := t.tx.Commit(ctx); err != nil {
		return err
	}
	t.over = true
	c := t.channel
	c.mu.Lock()
	if t.inMemory {
		c.used -= t.n
		c.settled(t)
	}
	c.measure()
	relaxed := c.relax()
	c.mu.Unlock()
	if relaxed {
		c.overflowing.End()
	}
	return nil
}

func (t *take) Split(keep []int) flume.Transaction {
	c := t.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := newTake(c, t.tx.Split(keep), t.inMemory)
	t.n = len(t.tx.Batch())
	if t.inMemory {
		c.out = append(c.out, kept)
	}
	return kept
}

func (t *take) Rollback() {
	if t.over {
		return
	}
	t.over = true
	c := t.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	t.tx.Rollback()
	if t.inMemory {
		c.held += t.n
		c.settled(t)
	} else {
		c.older += t.n
	}
	c.arrived()
}

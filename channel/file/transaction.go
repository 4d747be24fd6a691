package file

import (
	"context"
	"fmt"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/wal"
)

// A put is a batch for which there is room. The log hears of it at Commit: it writes events and commit as one.
type put struct {
	channel *channel
	batch   flume.Batch
	bytes   int64 // reserved on the disk
	over    bool
}

func (p *put) Batch() flume.Batch { return p.batch }

func (p *put) Commit(ctx context.Context) error {
	if p.over {
		panic("BUG: a put transaction is committed after its end")
	}
	c := p.channel
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	p.over = true
	err := c.log.Put(ctx, p.batch)
	c.space.release(p.bytes)
	if err != nil {
		c.putError.Add(1)
		if wal.IsFull(err) {
			return fmt.Errorf("%w: %w", flume.ErrFull, err)
		}
		return err
	}
	c.size.update()
	c.upkeep.check(c.log)
	return nil
}

func (p *put) Split([]int) flume.Transaction { panic("BUG: a put transaction is split") }

func (p *put) Rollback() {
	if p.over {
		return
	}
	p.over = true
	p.channel.log.Release(len(p.batch))
	p.channel.space.release(p.bytes)
}

// A take is a run of events that are in the log until Commit.
type take struct {
	channel *channel
	taken   *wal.Taken
	batch   flume.Batch
	over    bool
}

func (t *take) Batch() flume.Batch { return t.batch }

func (t *take) Commit(ctx context.Context) error {
	if t.over {
		panic("BUG: a take transaction is committed after its end")
	}
	c := t.channel
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	if err := t.taken.Commit(ctx); err != nil {
		c.takeError.Add(1)
		return fmt.Errorf("taking events out of the log: %w", err)
	}
	t.over = true
	c.upkeep.unsynced.Store(true)
	c.size.update()
	c.upkeep.check(c.log)
	return nil
}

func (t *take) Split(keep []int) flume.Transaction {
	if t.over {
		panic("BUG: a take transaction is split after its end")
	}
	kept := t.taken.Split(keep)
	t.batch = t.taken.Batch()
	return &take{channel: t.channel, taken: kept, batch: kept.Batch()}
}

func (t *take) Rollback() {
	if t.over {
		return
	}
	t.over = true
	t.taken.Return()
}

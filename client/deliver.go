package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/wal"
)

// A carrier is a Sender that knows what its protocol can never carry.
type carrier interface {
	carries(b flume.Batch) error
}

const (
	leastBackoff = 250 * time.Millisecond
	checkpoints  = 30 * time.Second // how long a start has to read at most what was written
	syncs        = 5 * time.Second  // what was delivered is synced, where no send does so before
	lookAgain    = time.Second
)

// deliverAll is the goroutine of the sender: batch after batch until Close.
func (d *Durable) deliverAll() {
	defer close(d.sent)
	backoff := supervise.Backoff{Least: leastBackoff, Most: d.o.MaxBackoff}
	for d.due() {
		t, err := d.log.Take(d.o.BatchEvents, d.o.BatchBytes)
		if t == nil && err == nil { // they have been dropped meanwhile
			continue
		}
		if err == nil {
			err = d.deliver(t)
		}
		if err == nil {
			d.refusing.End()
			backoff.Reset()
			continue
		}
		if d.closing.Err() != nil {
			return
		}
		d.counts.failures.Add(1)
		wait := backoff.Next()
		d.refusing.Report(slog.LevelWarn, err, wait)
		_ = supervise.Sleep(d.closing, wait) // whose end due sees
	}
}

// due waits until a batch is to be delivered: its events are many enough, or large enough, or have waited for long enough,
// or somebody flushes. False: the buffer is being closed.
func (d *Durable) due() bool {
	var patience <-chan time.Time
	for d.closing.Err() == nil {
		n := d.log.Waiting()
		if n > 0 {
			d.mu.Lock()
			now := d.flushes > 0 || d.room.bytes+d.room.oldBytes >= int64(d.o.BatchBytes)
			d.mu.Unlock()
			if now || n >= d.o.BatchEvents || d.o.BatchWait <= 0 {
				return true
			}
			if patience == nil {
				patience = time.After(d.o.BatchWait)
			}
		}
		select {
		case <-d.arrived:
		case <-patience:
			return true
		case <-d.closing.Done():
		}
	}
	return false
}

// deliver sends a batch and takes out of the log what has arrived. What has not waits again, in its place.
func (d *Durable) deliver(t *wal.Taken) error {
	b := t.Batch()
	err := d.to.AppendBatch(d.closing, b)
	arrived := len(b)
	if err != nil {
		arrived = 0
	}
	var part *BatchError
	if errors.As(err, &part) {
		arrived = part.Delivered
	}
	var rejected *flume.Event
	if (errors.Is(err, ErrTooLarge) || errors.Is(err, ErrRejected)) && arrived < len(b) {
		rejected = &b[arrived]
		if failed := d.letters.Write("buffer", flume.Rejection{Event: *rejected, Err: err}); failed != nil {
			rejected, err = nil, errors.Join(err, failed)
		}
	}
	gone := arrived
	if rejected != nil {
		gone++
	}
	if gone == 0 {
		t.Return()
		d.mu.Lock()
		d.wake()
		d.mu.Unlock()
		return err
	}
	size := d.sizes(b[:gone])
	if gone < len(b) {
		rest := make([]int, 0, len(b)-gone)
		for i := gone; i < len(b); i++ {
			rest = append(rest, i)
		}
		t.Split(rest).Return()
	}
	if failed := t.Commit(context.Background()); failed != nil {
		t.Return() // they are delivered again
		return fmt.Errorf("taking what was delivered out of the log: %w", failed)
	}
	d.unsynced.Store(true)
	d.counts.delivered.Add(int64(arrived))
	if rejected != nil {
		d.counts.rejected.Add(1)
		d.o.Log.Error("an event that can never be delivered was taken out of the buffer", "error", err, "keptIn", d.letters.Dir())
		err = nil
	}
	d.settle(gone, size)
	return err
}

// upkeep is the goroutine that writes checkpoints, which let old files go, and syncs what was taken when no send has
// done so.
func (d *Durable) upkeep() {
	defer close(d.kept)
	tail := min(max(d.o.MaxBytes/4, leastFile), mostFile)
	ticks := time.NewTicker(lookAgain)
	defer ticks.Stop()
	written, synced := time.Now(), time.Now()
	for {
		select {
		case <-d.closing.Done():
			return
		case <-ticks.C:
		}
		now := time.Now()
		var err error
		switch {
		case d.log.Tail() >= tail || now.Sub(written) >= checkpoints:
			written = now
			err = d.log.Checkpoint()
		case d.unsynced.Load() && now.Sub(synced) >= syncs:
			synced = now
			d.unsynced.Store(false)
			if err = d.log.Sync(context.Background()); err != nil {
				d.unsynced.Store(true)
			}
		default:
			continue
		}
		if err != nil {
			d.keeping.Report(slog.LevelWarn, err, 0)
			continue
		}
		d.keeping.End()
	}
}

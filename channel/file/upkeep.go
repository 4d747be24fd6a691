package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/wal"
)

// An upkeep is the goroutine of a channel: it writes checkpoints, and syncs what was taken when no put has done so.
type upkeep struct {
	checkpoints, syncs time.Duration
	tail               atomic.Int64  // how long the log may grow before the next checkpoint is due
	due                chan struct{} // has one when it has
	unsynced           atomic.Bool   // something has been taken
	done               chan struct{} // closed at the end

	failedCheckpoints, failedBackups *atomic.Int64
	trouble                          supervise.Trouble
}

func (u *upkeep) begin(c *channel) {
	u.tail.Store(longTail)
	go u.run(c)
}

// check is called after each transaction.
func (u *upkeep) check(log *wal.Log) {
	if log.Tail() < u.tail.Load() {
		return
	}
	select {
	case u.due <- struct{}{}:
	default:
	}
}

func (u *upkeep) run(c *channel) {
	defer close(u.done)
	checkpoints, syncs := time.NewTicker(u.checkpoints), time.NewTicker(u.syncs)
	defer checkpoints.Stop()
	defer syncs.Stop()
	for {
		select {
		case <-c.closing.Done():
			return
		case <-checkpoints.C:
			u.checkpoint(c.log)
		case <-u.due:
			if c.log.Tail() >= u.tail.Load() { // a checkpoint may have come between
				u.checkpoint(c.log)
				checkpoints.Reset(u.checkpoints)
			}
		case <-syncs.C:
			if u.unsynced.Swap(false) {
				u.sync(c.log)
			}
		}
	}
}

func (u *upkeep) checkpoint(log *wal.Log) {
	err := log.Checkpoint()
	if backup := (*wal.BackupError)(nil); errors.As(err, &backup) {
		u.failedBackups.Add(1)
	} else if err != nil {
		u.failedCheckpoints.Add(1)
	}
	u.report(err)
	u.tail.Store(log.Tail() + longTail) // where it failed, not again at once
}

func (u *upkeep) sync(log *wal.Log) {
	err := log.Sync(context.Background())
	if err != nil {
		err = fmt.Errorf("syncing what was taken: %w", err)
	}
	u.report(err)
}

// report tells what the log could not do; the log says what that is.
func (u *upkeep) report(err error) {
	if err != nil {
		u.trouble.Report(slog.LevelWarn, err, 0)
		return
	}
	u.trouble.End()
}

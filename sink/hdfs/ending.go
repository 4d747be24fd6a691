package hdfs

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/supervise"
)

// An ending is a file that gets no more events, on its way to its final name. It has a goroutine of its own.
//
//	Close ─▶ Rename ─▶ done          tried again after hdfs.retryInterval, each by itself
//	  │        ▲
//	  └▶ Recover ─▶ Truncate          where the file is broken, or could not be closed hdfs.closeTries times
//
// It is renamed only when the file system has said that it is closed.
type ending struct {
	entry
	files  hdfs.FS
	file   hdfs.File
	bucket *bucket
	safe   int64 // bytes that are whole; what follows was not acknowledged to the channel
	broken bool  // it can be closed by Recover alone
	closed bool
	tries  int
}

// finish takes a file over from its bucket.
func (k *sink) finish(e *ending) {
	k.ledger.end(e.once, e.safe)
	k.work.Go(func() {
		defer k.gone()
		trouble := supervise.Trouble{Log: k.log.With("file", e.inUse), Failing: "A file cannot be closed and renamed yet; what is in it is safe", Over: "The file is closed and renamed"}
		backoff := supervise.Backoff{Least: time.Second, Most: k.settings.retryInterval}
		for {
			last := k.live.Err() != nil
			err := k.tryEnding(e)
			if err == nil {
				trouble.End()
				return
			}
			k.failed.Add(1)
			lost := errors.Is(err, hdfs.ErrLost) && !e.broken
			if e.tries++; lost || k.settings.closeTries > 0 && e.tries >= k.settings.closeTries {
				e.broken = true
			}
			switch {
			case lost: // at once, by the other way
			case last:
				e.drop()
				k.log.Warn("A file could not be closed and renamed; the next start does it", "file", e.inUse, "error", err)
				return
			case k.settings.closeTries > 0 && e.tries > k.settings.closeTries:
				e.drop()
				k.log.Error("A file could not be closed and renamed; it is looked for again later, and by the next start", "file", e.inUse, "tries", e.tries, "error", err)
				k.leave(e.entry)
				return
			default:
				wait := backoff.Next()
				if k.settings.closeTries > 0 {
					wait = k.settings.retryInterval
				}
				trouble.Report(slog.LevelWarn, err, wait)
				_ = supervise.Sleep(k.live, wait) // Close tries once more
			}
		}
	})
}

// drop lets go of the file without closing it.
func (e *ending) drop() {
	if e.file != nil {
		e.file.Abandon()
	}
}

// tryEnding goes as far as it can.
func (k *sink) tryEnding(e *ending) error {
	select {
	case k.hands <- struct{}{}:
	case <-k.hard.Done():
		return context.Cause(k.hard)
	}
	defer func() { <-k.hands }()
	ctx := k.hard
	if !e.closed && !e.broken {
		if err := e.file.Close(ctx); err != nil {
			return err
		}
		e.closed = true
		k.closed.Add(1)
	}
	if !e.closed {
		if err := k.recover(ctx, e); err != nil {
			return err
		}
		e.closed = true
		k.closed.Add(1)
	}
	if e.safe == 0 {
		if err := e.files.Delete(ctx, e.inUse, false); err != nil {
			return err
		}
	} else if err := k.ledger.safe(ctx); err != nil {
		return err
	} else if err := k.rename(ctx, e); err != nil {
		return err
	}
	k.settled(e.entry)
	return nil
}

// recover closes a broken file and cuts off what was not acknowledged.
func (k *sink) recover(ctx context.Context, e *ending) error {
	e.drop()
	info, err := e.files.Recover(ctx, e.inUse)
	if errors.Is(err, fs.ErrNotExist) && e.safe == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size > e.safe && e.safe > 0 {
		if err := e.files.Truncate(ctx, e.inUse, e.safe); err != nil {
			return err
		}
		k.log.Info("A file was broken; it ends where its last flush did, and what follows is written anew", "file", e.inUse, "bytes", e.safe)
	}
	if info.Size < e.safe {
		k.log.Error("A broken file is shorter than what HDFS had acknowledged", "file", e.inUse, "bytes", info.Size, "acknowledged", e.safe)
	}
	return nil
}

// rename gives a closed file its final name, or the next that is free.
func (k *sink) rename(ctx context.Context, e *ending) error {
	if e.inUse == e.final {
		return nil
	}
	for {
		err := e.files.Rename(ctx, e.inUse, e.final)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrNotExist):
			if _, gone := e.files.Stat(ctx, e.inUse); !errors.Is(gone, fs.ErrNotExist) {
				return err
			}
			if _, err := e.files.Stat(ctx, e.final); err != nil {
				k.log.Warn("A file was gone before it was renamed; somebody has taken it", "file", e.inUse)
			}
			return nil
		case !errors.Is(err, fs.ErrExist):
			return err
		}
		e.final = k.another(e)
		k.noteName(e.entry, e.final)
	}
}

// another is a final name with a later number.
func (k *sink) another(e *ending) string {
	_, final := k.names(e.bucket.place, e.bucket.number.Add(1))
	return final
}

package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/seqfile"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Orphans are files that the journal names and nobody writes to: those of a process that was killed, and those that
// this one gave up. Each is closed by Recover, cut off behind its last whole record, and renamed.

// longestTail bounds what is cut off: nobody writes more without a flush. What is longer is damage, not a rest.
const longestTail = 256 << 20

// adoptAtOnce bounds the orphans that are seen to at a time: taking a lease is waiting.
const adoptAtOnce = 16

// leave makes a file an orphan of this process.
func (k *sink) leave(e entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.orphans = append(k.orphans, e)
}

// adopt sees to orphans, at once and then every hdfs.retryInterval.
func (k *sink) adopt() {
	if k.ledger != nil && k.openLedger() != nil {
		return
	}
	trouble := supervise.Trouble{Log: k.log, Failing: "Files that were left open cannot be closed yet", Over: "The files that were left open are closed"}
	backoff := supervise.Backoff{Least: time.Second, Most: k.settings.retryInterval}
	for {
		wait := k.settings.retryInterval
		if k.ledger.unsure() { // events wait for it
			wait = backoff.Next()
		}
		k.mu.Lock()
		waiting := k.orphans
		k.orphans = nil
		k.mu.Unlock()
		var adopted, removed atomic.Int64
		var work sync.WaitGroup
		hands := make(chan struct{}, adoptAtOnce)
		for _, e := range waiting {
			hands <- struct{}{}
			work.Go(func() {
				defer func() { <-hands }()
				final, err := k.adoptOne(k.live, e)
				switch {
				case k.live.Err() != nil:
					return // the journal has it
				case err != nil:
					k.leave(e)
					trouble.Report(slog.LevelWarn, err, wait)
					return
				case final == "":
					removed.Add(1)
				default:
					adopted.Add(1)
				}
				k.settled(e)
			})
		}
		work.Wait()
		if adopted.Load()+removed.Load() > 0 {
			k.log.Info("Files that were left open are closed and have their final names", "files", adopted.Load(), "removed", removed.Load())
			trouble.End()
		}
		if supervise.Sleep(k.live, wait) != nil {
			return
		}
	}
}

func (k *sink) adoptOne(ctx context.Context, e entry) (final string, err error) {
	files, err := k.fileSystem(e.root)
	if err != nil {
		return "", err
	}
	o := orphan{entry: e, files: files, log: k.log}
	renamed := func(final string) { k.noteName(e, final) }
	if e.once != 0 {
		return o.adoptOnce(ctx, k.ledger, renamed)
	}
	return o.adopt(ctx, renamed)
}

// An orphan is a file in use that nobody writes to.
type orphan struct {
	entry
	files hdfs.FS
	log   *slog.Logger
}

// adopt closes it and gives it its final name, which it returns; empty: there is nothing in it, or it is not there.
func (o *orphan) adopt(ctx context.Context, renamed func(final string)) (string, error) {
	info, err := o.files.Recover(ctx, o.inUse)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if info.Size == 0 {
		return "", o.files.Delete(ctx, o.inUse, false)
	}
	whole, err := o.measure.whole(ctx, o.files, o.inUse, info.Size)
	damaged := errors.Is(err, errDamaged) || errors.Is(err, seqfile.ErrNoSequenceFile) || errors.Is(err, seqfile.ErrSecondHeader)
	if err != nil && !damaged {
		return "", fmt.Errorf("reading %s: %w", o.inUse, err)
	}
	switch tail := info.Size - whole; {
	case damaged || tail > longestTail:
		o.log.Error("A file that was left open is damaged; it is kept as it is", "file", o.inUse, "bytes", info.Size, "whole", whole, "error", err)
	case whole == 0:
		o.log.Warn("A file that was left open has no whole record and is removed", "file", o.inUse, "bytes", info.Size)
		return "", o.files.Delete(ctx, o.inUse, false)
	case tail > 0:
		if err := o.files.Truncate(ctx, o.inUse, whole); err != nil {
			return "", err
		}
		o.log.Warn("A part of a record was cut off a file that was left open; its events come again", "file", o.inUse, "bytes", tail)
	}
	return o.rename(ctx, renamed)
}

// rename gives it the final name, or the next that is free.
func (o *orphan) rename(ctx context.Context, renamed func(final string)) (string, error) {
	if o.inUse == o.final {
		return o.final, nil
	}
	for {
		err := o.files.Rename(ctx, o.inUse, o.final)
		if !errors.Is(err, fs.ErrExist) {
			return o.final, err
		}
		o.final = nextName(o.final)
		renamed(o.final)
	}
}

// nextName is a final name with its number counted up.
func nextName(final string) string {
	dir, name := path.Split(final)
	parts := strings.Split(name, ".")
	for i := len(parts) - 1; i > 0; i-- {
		if n, err := strconv.ParseInt(parts[i], 10, 64); err == nil && len(parts[i]) > 6 {
			parts[i] = strconv.FormatInt(n+1, 10)
			return dir + strings.Join(parts, ".")
		}
	}
	return fmt.Sprintf("%s%s.%d", dir, name, time.Now().UnixMilli())
}

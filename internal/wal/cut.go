package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
)

// A checkpointer is what Checkpoint remembers from one to the next.
type checkpointer struct {
	mu      sync.Mutex
	foreign bool        // the in-flight files may say something, or the checkpoint there is not ours
	upgrade string      // the name that a checkpoint of version 2 is kept under; "" is none
	stale   []*dataFile // metas that could not be written
	doomed  []*dataFile // to be removed after the next checkpoint
	// The positions that the files of the ring have in their slots, as far as this run has written them.
	inUse, spare, backup span
	// backedUp is the oldest data file that the complete backup needs; 0 as long as that is not known.
	backedUp uint32
}

// A BackupError: the checkpoint is good, its backup could not be written.
type BackupError struct{ Err error }

func (e *BackupError) Error() string { return "writing the backup checkpoint: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BackupError) Unwrap() error { return e.Err }

// A cut is the log at one moment: every record that was stamped before is in the snapshot, and every one that is
// stamped later has a larger write order ID.
type cut struct {
	woid   int64
	queue  *snapshot
	ends   []rollEnd // where the files that are written to stand, and those that were left since the last cut
	active []uint32
	failed int64
	tail   int64
	none   int64 // unlogged takes
	home   int64
}

// oldest is the first data file that the cut needs.
func (c *cut) oldest() uint32 {
	least := uint32(math.MaxUint32)
	for _, id := range c.active {
		least = min(least, id)
	}
	for id := range c.queue.counts {
		least = min(least, id)
	}
	return least
}

// Checkpoint writes the queue down, so that a replay has less to read, and removes data files that nobody needs. It
// does nothing when nothing has changed since the last and no file waits to go. Transactions go on meanwhile; only while
// the queue is looked at, which takes microseconds, they wait.
func (l *Log) Checkpoint() error { return l.checkpoint(false) }

func (l *Log) checkpoint(force bool) error {
	c := &l.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	l.mu.Lock()
	changed := l.changed
	l.mu.Unlock()
	if !changed && !force && len(c.doomed) == 0 {
		return nil
	}
	if err := l.keepLocks(); err != nil {
		return err
	}
	return l.finish(l.cut(), force)
}

// finish makes a checkpoint of a cut.
func (l *Log) finish(k *cut, force bool) error {
	c := &l.checkpoints
	err := l.Sync(context.Background())
	if err == nil && l.failures() != k.failed {
		err = errors.New("a data file could not be written meanwhile")
	}
	if err == nil {
		err = l.publish(k)
	}
	if err != nil {
		l.uncut(k)
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	l.tail.Add(-k.tail)
	l.unlogged.Add(-k.none)
	merr := l.writeMarks(k)
	var berr error
	if l.o.BackupDir != "" {
		if err := l.backUp(k); err != nil {
			c.backedUp = 0
			berr = &BackupError{err}
		} else {
			c.backedUp = k.oldest()
		}
	}
	return errors.Join(merr, berr, l.removeOld(k, force))
}

func (l *Log) cut() *cut {
	k := &cut{home: l.o.home()}
	for _, ln := range l.lanes {
		ln.mu.Lock()
	}
	l.mu.Lock()
	k.woid = l.woid.Add(1)
	l.lastCut.Store(k.woid)
	k.queue = l.queue.snapshot()
	l.changed = false
	k.tail, k.none = l.tail.Load(), l.unlogged.Load()
	l.mu.Unlock()
	var late []*entry
	for _, ln := range l.lanes {
		late = append(late, ln.current...)
		k.ends = append(k.ends, ln.rolled...)
		ln.rolled = nil
		k.failed += ln.failed
		if ln.out == nil { // the disk was full when the log was opened
			continue
		}
		// What is just being written may be refused, and its place go to what comes later.
		k.ends = append(k.ends, rollEnd{ln.out.file, ln.out.wrote})
		k.active = append(k.active, ln.out.file.id)
	}
	// What is on its way into the files is in the cut, for a replay will not look at it again.
	slices.SortFunc(late, func(a, b *entry) int { return cmp.Compare(a.woid, b.woid) })
	for _, e := range late {
		switch e.kind {
		case kindPut:
			e.each(k.queue.add)
		case kindTake:
			for _, s := range e.spans {
				k.queue.drop(s)
			}
		case kindRollback, kindCommit: // they move no pointer
		}
	}
	for _, ln := range l.lanes {
		ln.mu.Unlock()
	}
	return k
}

// uncut takes a cut back of which no checkpoint came.
func (l *Log) uncut(k *cut) {
	l.mu.Lock()
	l.changed = true
	l.mu.Unlock()
	for _, e := range k.ends {
		ln := l.lanes[e.file.dir]
		ln.mu.Lock()
		if ln.out == nil || ln.out.file != e.file {
			e.end = min(e.end, e.file.written.Load()) // a failed sync may have cut it since
			ln.rolled = append(ln.rolled, e)
		}
		ln.mu.Unlock()
	}
}

func (l *Log) failures() int64 {
	n := int64(0)
	for _, ln := range l.lanes {
		ln.mu.Lock()
		n += ln.failed
		ln.mu.Unlock()
	}
	return n
}

// writeMarks notes in the metas of the data files how far the checkpoint knows them. Until it is done a replay reads
// more than it must and skips it, so a failure is told and made good by the next checkpoint.
func (l *Log) writeMarks(k *cut) error {
	c := &l.checkpoints
	todo := c.stale
	c.stale = nil
	for _, e := range k.ends {
		m := &e.file.meta
		if m.now.position == e.end && !e.file.stale {
			continue
		}
		m.before, m.now = m.now, mark{e.end, k.woid}
		if !slices.Contains(todo, e.file) {
			todo = append(todo, e.file)
		}
	}
	var errs []error
	dirs := make([]bool, len(l.o.DataDirs))
	for _, d := range todo {
		if err := writeMeta(l.fsys, d); err != nil {
			errs = append(errs, err)
			c.stale = append(c.stale, d)
			continue
		}
		dirs[d.dir] = true
	}
	for i, dir := range l.o.DataDirs {
		if !dirs[i] {
			continue
		}
		if err := l.fsys.SyncDir(dir); err != nil {
			errs = append(errs, fmt.Errorf("syncing %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// removeOld removes the data files that the checkpoint before this one did not need, and chooses those that this one
// does not. The delay is Flume's, and so is keeping two files in each directory.
func (l *Log) removeOld(k *cut, force bool) error {
	c := &l.checkpoints
	if force {
		return nil
	}
	var errs []error
	for _, d := range c.doomed {
		l.reads.forget(d.id)
		l.reader.forget(d.id)
		if err := l.fsys.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing a data file: %w", err))
			continue
		}
		l.filesMu.Lock()
		delete(l.files, d.id)
		l.filesMu.Unlock()
	}
	// A meta without its file is nothing; a file without its meta is trouble for Flume.
	for i, dir := range l.o.DataDirs {
		if slices.ContainsFunc(c.doomed, func(d *dataFile) bool { return d.dir == i }) {
			if err := l.fsys.SyncDir(dir); err != nil {
				errs = append(errs, fmt.Errorf("syncing %s: %w", dir, err))
			}
		}
	}
	for _, d := range c.doomed {
		if err := l.fsys.Remove(d.metaPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing a meta file: %w", err))
		}
	}
	c.doomed = nil
	oldest := k.oldest()
	if l.o.BackupDir != "" {
		oldest = min(oldest, c.backedUp)
	}
	for i := range l.o.DataDirs {
		var here []*dataFile
		l.filesMu.RLock()
		for _, d := range l.files {
			if d.dir == i {
				here = append(here, d)
			}
		}
		l.filesMu.RUnlock()
		slices.SortFunc(here, func(a, b *dataFile) int { return cmp.Compare(a.id, b.id) })
		// A file has takes of events that other directories have in files which were begun before it was left. So it stays
		// as long as one of those does: a replay of everything needs them.
		for j := range max(0, len(here)-2) {
			if here[j+1].id <= oldest {
				c.doomed = append(c.doomed, here[j])
			}
		}
	}
	return errors.Join(errs...)
}

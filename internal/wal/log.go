package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// ErrFull: the log holds as many events as it may.
var ErrFull = errors.New("the log is full")

// ErrClosed: the log has been closed.
var ErrClosed = errors.New("the log is closed")

// A TooLargeError is why an event can never be put, or a batch never at once.
type TooLargeError struct {
	What  string
	Size  int64
	Limit int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is too large: %d, and %d is the most", e.What, e.Size, e.Limit)
}

// A Log is open.
type Log struct {
	fsys   vfs.FS
	o      Options
	locks  []lockedDir
	lanes  []*lane
	reads  *handles
	reader *reader
	fill   []byte

	tx     atomic.Int64 // the last that was used
	woid   atomic.Int64
	number atomic.Uint32 // of the newest data file

	filesMu sync.RWMutex
	files   map[uint32]*dataFile

	mu       sync.Mutex // under every lane's
	queue    *queue
	reserved int           // events that have room and are not in the queue yet
	arrived  chan struct{} // closed when events come; nil: nobody waits
	claims   []*claim      // for room, first come first
	cache    cache
	damaged  map[Pointer]bool
	changed  bool // since the last checkpoint

	unlogged atomic.Int64 // events that were taken without a record, for the disk is full, since the last checkpoint
	lastCut  atomic.Int64 // the write order of the last cut
	tail     atomic.Int64 // bytes written since the last checkpoint
	closed   atomic.Bool
	stolen   atomic.Pointer[vfs.LockedError] // another process has one of the locks: puts are refused
	entries  *sync.Pool                      // of *entry; not a part of the log, which the pool would keep from being collected

	checkpoints checkpointer
}

type lockedDir struct {
	dir  string
	lock vfs.Lock
}

// Events is the number of events in the log; those taken and not committed count.
func (l *Log) Events() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.size
}

// Waiting is the number of events that can be taken.
func (l *Log) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.waiting()
}

// Tail is about how many bytes a replay would have to read: what has been written since the last checkpoint.
func (l *Log) Tail() int64 { return l.tail.Load() }

// Reserve keeps room for n events, waiting for it until ctx ends, which is ErrFull. Those who wait are served in the order
// in which they came, so that many small ones do not keep a large one waiting for ever. Put uses the room up; Release
// gives it back.
func (l *Log) Reserve(ctx context.Context, n int) error {
	if n > l.o.Capacity {
		return &TooLargeError{"a batch of so many events", int64(n), int64(l.o.Capacity)}
	}
	l.mu.Lock()
	if len(l.claims) == 0 && l.hasRoom(n) {
		l.reserved += n
		l.mu.Unlock()
		return nil
	}
	c := &claim{n, make(chan struct{})}
	l.claims = append(l.claims, c)
	l.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-c.granted: // perhaps only just now
		return nil
	default:
	}
	l.claims = slices.DeleteFunc(l.claims, func(x *claim) bool { return x == c })
	l.grant() // it may have kept smaller ones waiting
	return ErrFull
}

// A claim waits until room for n events has been reserved for it.
type claim struct {
	n       int
	granted chan struct{}
}

func (l *Log) hasRoom(n int) bool { return l.queue.size+l.reserved+n <= l.o.Capacity }

// grant hands room that has come free to those who wait for it.
func (l *Log) grant() {
	for len(l.claims) > 0 && l.hasRoom(l.claims[0].n) {
		l.reserved += l.claims[0].n
		close(l.claims[0].granted)
		l.claims = slices.Delete(l.claims, 0, 1)
	}
}

// Admit keeps room for n events as Reserve does, beyond the capacity if need be.
func (l *Log) Admit(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved += n
}

// Release gives room back that Reserve has kept for n events.
func (l *Log) Release(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release(n)
}

func (l *Log) release(n int) {
	l.reserved -= n
	if l.reserved < 0 {
		panic("BUG: giving back room that was not reserved")
	}
	l.grant()
}

// Size is how many bytes a transaction that puts b takes in the log. An error says that one of its events can never be put.
func (l *Log) Size(b flume.Batch) (int64, error) {
	bytes := int64(commitSize)
	for i := range b {
		n := int64(putSize(&b[i]))
		if err := l.fits(n); err != nil {
			return 0, err
		}
		bytes += n
	}
	return bytes, nil
}

// fits tells whether a record of so many bytes can be written.
func (l *Log) fits(n int64) error {
	if n > l.o.MaxFileSize {
		return &TooLargeError{"an event with its headers", n, l.o.MaxFileSize}
	}
	return nil
}

// Put writes the events of b as one transaction and returns when they are safe: then they can be taken. Room for them
// has been reserved; whatever Put returns, it is used up. The events may be kept, so nobody changes them any more. After an error they may be in the log all the same when it
// is opened again.
func (l *Log) Put(ctx context.Context, b flume.Batch) error {
	if len(b) == 0 {
		return nil
	}
	e := l.entry()
	if err := l.fits(e.puts(b)); err != nil {
		l.Release(len(b))
		return err
	}
	_, err := l.commit(ctx, e)
	return err
}

func (l *Log) entry() *entry {
	if e, ok := l.entries.Get().(*entry); ok {
		return e
	}
	return &entry{}
}

// largestPooled is the most memory that an entry keeps between two transactions.
const largestPooled = 4 << 20

// commit brings e into its lane. over: the entry has had its effect, or will have it by itself.
func (l *Log) commit(ctx context.Context, e *entry) (over bool, err error) {
	if l.closed.Load() {
		l.refuse(e)
		return false, ErrClosed
	}
	if locked := l.stolen.Load(); locked != nil && e.kind == kindPut {
		l.refuse(e)
		return false, locked
	}
	if e.tx == 0 {
		e.tx = l.nextTx(e)
	}
	// Flume's rule for which directory has which transaction.
	err = l.lanes[e.tx%int64(len(l.lanes))].commit(ctx, e)
	if e.gone {
		return true, err
	}
	if cap(e.buf) <= largestPooled {
		e.batch = nil
		l.entries.Put(e)
	}
	return err == nil, err
}

// nextTx is the ID of a new transaction. Takes go to the directory of what they take, so that a source and a sink in
// lockstep do not have one directory to write each, of which one would never come to a new file.
func (l *Log) nextTx(e *entry) int64 {
	n := int64(len(l.lanes))
	if n == 1 || e.kind != kindTake {
		return l.tx.Add(1)
	}
	l.filesMu.RLock()
	d := l.files[e.first.File()]
	l.filesMu.RUnlock()
	last := l.tx.Add(n)
	if d == nil { // nothing was taken, or its file was missing when the log was opened
		return last
	}
	return last - (last-int64(d.dir))%n
}

// arrive puts what the entries have put into the queue; a lane calls it, in the order of the log.
func (l *Log) arrive(es []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range es {
		l.wrote(e)
		switch {
		case e.kind == kindPut:
			l.cache.put(l.queue.end, e.batch)
			e.each(l.queue.append)
			l.reserved -= e.count
			l.changed = true
		case e.kind == kindTake && l.o.SyncTakes:
			l.drop(e)
		}
	}
	l.wakeTakers()
}

// refuse is for entries that have failed: the room of puts is free again, and takes that nobody waits for any more
// wait to be taken again.
func (l *Log) refuse(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case e.kind == kindPut && e.count > 0:
		l.release(e.count)
	case e.kind == kindTake && e.gone:
		for _, s := range e.spans {
			l.queue.giveBack(s)
		}
		l.wakeTakers()
	}
}

func (l *Log) wakeTakers() {
	if l.arrived != nil {
		close(l.arrived)
		l.arrived = nil
	}
}

// forget takes what e has taken out of the queue for good; a lane calls it.
func (l *Log) forget(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrote(e)
	l.drop(e)
}

// wrote counts what an entry has written.
func (l *Log) wrote(e *entry) {
	l.tail.Add(int64(len(e.buf)))
	l.o.Logged.Add(int64(len(e.buf)))
}

func (l *Log) drop(e *entry) {
	for _, s := range e.spans {
		l.queue.done(s)
	}
	l.cache.forget(l.queue.low())
	l.changed = true
	l.grant()
}

// Wait returns when there are n events to take, or the cause of ctx's end.
func (l *Log) Wait(ctx context.Context, n int) error {
	for {
		l.mu.Lock()
		if l.queue.waiting() >= n {
			l.mu.Unlock()
			return nil
		}
		if l.arrived == nil {
			l.arrived = make(chan struct{})
		}
		arrived := l.arrived
		l.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Sync makes everything safe that has been written so far: takes are not, until some put or a checkpoint follows.
func (l *Log) Sync(ctx context.Context) error {
	for _, ln := range l.lanes {
		e := &entry{}
		e.begin(0)
		if err := ln.commit(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// createFile makes the next data file of a directory: the empty file, then its meta, then both names safe. So there is
// never a file with records that has no meta.
func (l *Log) createFile(dir int) (*dataFile, vfs.File, error) {
	id := l.number.Add(1)
	d := &dataFile{id: id, dir: dir, version: formatVersion, meta: dataMeta{file: id}}
	d.path = filepath.Join(l.o.DataDirs[dir], fmt.Sprintf("log-%d", id))
	if l.o.ActiveKey != "" {
		key, err := l.o.Keys.Key(l.o.ActiveKey)
		if err != nil {
			return nil, nil, fmt.Errorf("looking up the key %q: %w", l.o.ActiveKey, err)
		}
		d.meta.cipher, d.meta.keyAlias, d.meta.iv = cipherName, l.o.ActiveKey, newIV()
		if d.cipher, err = newFileCipher(key, d.meta.iv); err != nil {
			return nil, nil, fmt.Errorf("encrypting with the key %q: %w", l.o.ActiveKey, err)
		}
	}
	w, err := l.fsys.Create(d.path)
	if err != nil {
		return nil, nil, fmt.Errorf("creating a data file: %w", err)
	}
	err = writeMeta(l.fsys, d)
	if err == nil {
		err = l.fsys.SyncDir(l.o.DataDirs[dir])
	}
	if err != nil {
		// An empty file that stays behind is no harm: it is ignored.
		return nil, nil, errors.Join(fmt.Errorf("creating %s: %w", d.path, err), w.Close(), l.fsys.Remove(d.path))
	}
	l.filesMu.Lock()
	l.files[id] = d
	l.filesMu.Unlock()
	return d, w, nil
}

// writeMeta replaces log-N.meta; whoever calls it syncs the directory.
func writeMeta(f vfs.FS, d *dataFile) error {
	tmp := d.metaPath() + ".tmp"
	if err := writeFile(f, tmp, d.meta.encode()); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", tmp, err), remove(f, tmp))
	}
	if err := f.Rename(tmp, d.metaPath()); err != nil {
		return fmt.Errorf("replacing %s: %w", d.metaPath(), err)
	}
	d.stale = false
	return nil
}

// writeFile writes a small file and syncs it, over what had the name before.
func writeFile(f vfs.FS, name string, b []byte) error {
	w, err := openOrCreate(f, name)
	if err != nil {
		return err
	}
	err = w.Truncate(int64(len(b)))
	if err == nil {
		_, err = w.WriteAt(b, 0)
	}
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

func openOrCreate(f vfs.FS, name string) (vfs.File, error) {
	w, err := f.OpenWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Create(name)
	}
	return w, err
}

func (l *Log) seed(atLeast int64) {
	now := l.o.now
	if now == nil {
		now = time.Now
	}
	seed := max(atLeast, now().UnixMilli())
	l.tx.Store(seed)
	l.woid.Store(seed)
}

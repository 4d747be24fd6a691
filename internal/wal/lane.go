package wal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

const (
	// A group is what one write brings to the file.
	largestGroup = 4 << 20
	// earlyWrite: so many bytes are written while the disk still syncs what came before; fewer wait for company.
	earlyWrite = 64 << 10
	// A write of so much goes to the bare end of the file. A smaller one is put over fill, whose length is on the disk
	// already, so that its sync need not change the file's length too.
	bareWrite = 256 << 10
	// fillSize is how much fill is written at a time, as Flume does it.
	fillSize = 1 << 20
	// ahead is how much room on the disk is reserved at a time.
	ahead = 64 << 20
)

// A lane writes the transactions that go to one data directory. It has no goroutine: of those who wait for their
// transaction one writes the group for all, and one syncs.
//
//	commit ─▶ waiting ─▶ stamped ─▶ written ─▶ synced: done
//	             │   one pwrite for a group │
//	             └─ fills while the disk syncs the group before
type lane struct {
	log   *Log
	index int
	dir   string

	mu      sync.Mutex
	waiting []*entry
	bytes   int // of waiting
	urgent  int // of waiting: entries that are done when they are written
	current []*entry
	writing bool // somebody writes, and may use what is marked W without the lock
	syncing bool

	seq      int64 // of the last entry that was stamped
	wroteSeq int64 // up to here all is written
	dirty    bool  // something has been written since the last sync began

	file   *dataFile // that is being written to
	w      vfs.File  // W: the same
	pos    int64     // where the next record goes
	wrote  int64     // up to here all is written
	safe   int64     // and up to here synced
	size   int64     // W: length of the file, with fill
	room   int64     // W: reserved on the disk up to here
	retire bool      // the file is not to be trusted beyond safe: go on in a new one
	doomed error     // a sync failed while somebody was writing
	failed int64     // how often something could not be written or synced

	came    atomic.Int64  // entries that were ever brought
	company int           // how many the last sync brought home
	usual   time.Duration // about what a sync takes
	shy     int           // syncs that do not wait for company
	alone   int           // how many did not the last time, for nobody had come

	rolled  []rollEnd  // files that were left since the last checkpoint
	closing []vfs.File // to be closed when the sync at work is over
	start   int64      // W: where the group at work begins
	taken   []*entry   // W: the group at work
	group   []byte     // W: room to put a group together
	large   []vfs.File // W: the files of an entry that does not fit into one
}

// A rollEnd is a data file that is complete, and where its data ends.
type rollEnd struct {
	file *dataFile
	end  int64
}

// commit brings e into the log and waits until it is done, as its kind needs. When ctx ends before, the entry goes its
// way alone, and the error says that its fate is not known.
func (l *lane) commit(ctx context.Context, e *entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enqueue(e)
	for more := 2; e.state != done; {
		switch {
		case l.mayWrite() && more > 0: // what has come meanwhile joins the group, but not for ever
			if e.state > queued {
				more--
			}
			l.write()
			continue
		case l.maySync():
			l.sync()
			continue
		}
		l.pass()
		l.mu.Unlock()
		select {
		case <-e.wake:
			l.mu.Lock()
		case <-ctx.Done():
			l.mu.Lock()
			if e.state != done {
				e.gone = true
				l.pass()
				return fmt.Errorf("waiting for the log: %w", context.Cause(ctx))
			}
		}
	}
	l.pass()
	return e.err
}

func (l *lane) enqueue(e *entry) {
	l.waiting = append(l.waiting, e)
	l.bytes += len(e.buf)
	l.came.Add(1)
	if e.kind != kindPut {
		l.urgent++
	}
}

func (l *lane) mayWrite() bool {
	return !l.writing && len(l.waiting) > 0 && (!l.syncing || l.urgent > 0 || l.bytes >= earlyWrite)
}

func (l *lane) maySync() bool {
	return !l.syncing && len(l.current) > 0 && l.current[0].state == written
}

// pass wakes somebody for the work that can be done now.
func (l *lane) pass() {
	if l.mayWrite() {
		l.wakeOne(l.waiting)
	}
	if l.maySync() {
		l.wakeOne(l.current)
	}
}

func (l *lane) wakeOne(es []*entry) {
	for _, e := range es {
		if !e.gone {
			e.signal()
			return
		}
	}
}

func (e *entry) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *entry) finish(err error) {
	e.state, e.err = done, err
	e.signal()
}

// write takes what waits, as much as belongs into one write, and writes it. The lock is held before and after.
func (l *lane) write() {
	l.writing = true
	group, err := l.stampGroup()
	if err != nil {
		l.writing = false
		l.reject(group, err)
		return
	}
	start, end := l.start, l.pos
	l.mu.Unlock()
	err = l.writeGroup(group, start)
	clean := err == nil || l.cut(start)
	l.mu.Lock()
	l.writing = false
	if err == nil {
		err = l.doomed
	}
	l.doomed = nil
	for i := range len(l.large) - 1 {
		l.shut(l.large[i])
	}
	if err != nil {
		l.pos = start
		l.retire = l.retire || !clean || len(l.large) > 0
		l.reject(group, err)
		return
	}
	l.wrote = end
	for _, e := range group {
		e.state, l.wroteSeq = written, e.seq
		l.dirty = l.dirty || len(e.buf) > 0
		if e.kind == kindTake && !l.log.o.SyncTakes {
			l.log.forget(e)
			e.finish(nil)
		}
	}
	l.dropDone()
}

// reject ends entries that could not be written. On a full disk takes are good all the same: the next checkpoint, for
// which room is held, knows of them, and until then they only come again if the machine dies.
func (l *lane) reject(group []*entry, err error) {
	l.failed++
	err = fmt.Errorf("writing to %s: %w", l.dir, err)
	full := errors.Is(err, syscall.ENOSPC)
	for _, e := range group {
		if full && e.kind == kindTake {
			l.log.forget(e)
			l.log.unlogged.Add(int64(e.count))
			e.finish(nil)
			continue
		}
		l.log.refuse(e)
		e.finish(err)
	}
	l.dropDone()
}

func (l *lane) dropDone() {
	l.current = slices.DeleteFunc(l.current, func(e *entry) bool { return e.state == done })
}

// stampGroup takes entries from waiting and gives them IDs and places. Where the file has no room for the first, there
// is a new one before. With an error, the entries are those that cannot be written.
func (l *lane) stampGroup() ([]*entry, error) {
	l.large = l.large[:0]
	first := l.waiting[0]
	if l.w == nil || l.retire || l.pos > 0 && !l.fits(l.pos, first) {
		if err := l.roll(); err != nil {
			return l.take(len(l.waiting)), err
		}
	}
	if !l.fits(l.pos, first) {
		group := l.take(1)
		return group, l.spread(group[0])
	}
	n, bytes := 0, 0
	for _, e := range l.waiting {
		if n > 0 && (bytes+len(e.buf) > largestGroup || !l.fits(l.pos+int64(bytes), e)) {
			break
		}
		n, bytes = n+1, bytes+len(e.buf)
	}
	group := l.take(n)
	l.start = l.pos
	for _, e := range group {
		if len(e.recs) > 0 {
			e.pieces = append(e.pieces, piece{l.file, l.pos, 0, len(e.recs)})
			l.pos += int64(len(e.buf))
		}
		l.stamp(e)
	}
	return group, nil
}

// fits tells whether e may be written at pos. Flume does not count the framing of the last record.
func (l *lane) fits(pos int64, e *entry) bool {
	return pos+int64(len(e.buf)) <= l.log.o.MaxFileSize+framing
}

// take cuts the first n off waiting.
func (l *lane) take(n int) []*entry {
	l.taken = append(l.taken[:0], l.waiting[:n]...)
	l.waiting = slices.Delete(l.waiting, 0, n)
	for _, e := range l.taken {
		l.bytes -= len(e.buf)
		if e.kind != kindPut {
			l.urgent--
		}
	}
	return l.taken
}

// stamp makes the order final: a checkpoint that is cut from now on knows of the entry.
func (l *lane) stamp(e *entry) {
	l.seq++
	e.seq, e.state = l.seq, stamped
	n := int64(len(e.recs))
	e.stamp(l.log.woid.Add(n) - n + 1)
	l.current = append(l.current, e)
}

// spread gives an entry that is larger than a data file places in several. The files are made first, so that the
// entry gets all its places at once.
func (l *lane) spread(e *entry) error {
	pieces := []piece{{file: l.file}}
	files := []vfs.File{l.w}
	ends := []int64{0}
	for i := range e.recs {
		from, to := e.bounds(i)
		last := len(pieces) - 1
		if end := ends[last] + int64(to-from); end > l.log.o.MaxFileSize+framing && ends[last] > 0 {
			l.mu.Unlock()
			d, w, err := l.log.createFile(l.index)
			l.mu.Lock()
			if err != nil {
				for _, f := range files[1:] {
					f.Close()
				}
				return err
			}
			pieces[last].to = i
			pieces, files, ends = append(pieces, piece{file: d, from: i}), append(files, w), append(ends, 0)
			last++
		}
		ends[last] += int64(to - from)
	}
	last := len(pieces) - 1
	pieces[last].to = len(e.recs)
	for i, p := range pieces[:last] {
		l.rolled = append(l.rolled, rollEnd{p.file, ends[i]})
	}
	e.pieces = pieces
	l.large = files
	l.install(pieces[last].file, files[last])
	l.start = 0
	l.pos = ends[last]
	l.stamp(e)
	return nil
}

func (l *lane) install(d *dataFile, w vfs.File) {
	l.file, l.w = d, w
	l.pos, l.wrote, l.safe, l.size, l.room = 0, 0, 0, 0, 0
	l.retire = false
}

// roll goes on in a new data file. Everything in the old one is synced before, so that no commit in the new one is
// safe while its puts are not. The lock is held before and after; writing is set.
func (l *lane) roll() error {
	old, d, end, retire, size := l.w, l.file, l.pos, l.retire, l.size
	if retire {
		end, size = l.safe, l.safe
	}
	l.mu.Unlock()
	var err error
	if old != nil {
		if !retire {
			err = old.Sync()
		}
		// Also gives back what was reserved. That it may fail is no harm: what is behind safe was never acknowledged.
		terr := old.Truncate(size)
		if err == nil && terr != nil && !retire {
			err = terr
		}
	}
	var next *dataFile
	var w vfs.File
	if err == nil {
		next, w, err = l.log.createFile(l.index)
	}
	l.mu.Lock()
	if err != nil {
		return err
	}
	if old != nil {
		if !retire {
			l.dirty = false
			l.settle(l.wroteSeq)
		}
		d.written.Store(end)
		l.rolled = append(l.rolled, rollEnd{d, end})
		l.shut(old)
	}
	l.install(next, w)
	return nil
}

// shut closes a file that somebody may be syncing.
func (l *lane) shut(w vfs.File) {
	if l.syncing {
		l.closing = append(l.closing, w)
		return
	}
	w.Close() // synced before
}

// writeGroup writes stamped entries; the lock is not held.
func (l *lane) writeGroup(group []*entry, start int64) error {
	if len(l.large) > 0 {
		return l.writeLarge(group[0])
	}
	b := group[0].buf
	if len(group) > 1 || l.file.cipher != nil {
		l.group = l.group[:0]
		for _, e := range group {
			l.group = e.seal(l.group, 0, len(e.recs), l.file.cipher)
		}
		b = l.group
	}
	err := l.append(b, start)
	if cap(l.group) > 2*largestGroup {
		l.group = nil
	}
	return err
}

// seal appends records from up to to as they stand in a file.
func (e *entry) seal(b []byte, from, to int, c *fileCipher) []byte {
	at := len(b)
	for i := from; i < to; i++ {
		f, t := e.bounds(i)
		b = append(b, e.buf[f:t]...)
		if c != nil {
			p := b[at+framing : at+t-f]
			c.apply(p, p)
		}
		at += t - f
	}
	return b
}

// append writes b at pos, the end of the records, and fill behind it where that pays.
func (l *lane) append(b []byte, pos int64) error {
	if len(b) == 0 {
		return nil
	}
	end := pos + int64(len(b))
	if end > l.size {
		if end+int64(l.log.fillSize()) > l.room {
			// A hint: whether there is room, the write will tell.
			l.room = end
			far := min(end+ahead, max(end, l.log.o.MaxFileSize)+int64(l.log.fillSize()))
			if l.w.Allocate(far) == nil {
				l.room = far
			}
		}
	}
	if _, err := l.w.WriteAt(b, pos); err != nil {
		return err
	}
	if end > l.size {
		l.size = end
		if fill := l.log.fillSize() - len(b); fill > 0 && len(b) < bareWrite {
			if _, err := l.w.WriteAt(l.log.fill[:fill], end); err != nil {
				return err
			}
			l.size += int64(fill)
		}
	}
	l.file.written.Store(end)
	return nil
}

// writeLarge writes an entry that has pieces in several files. All but the last are complete then.
func (l *lane) writeLarge(e *entry) error {
	for i, p := range e.pieces {
		b := e.seal(nil, p.from, p.to, p.file.cipher)
		if i == len(e.pieces)-1 {
			return l.append(b, 0)
		}
		if _, err := l.large[i].WriteAt(b, 0); err != nil {
			return err
		}
		if err := l.large[i].Sync(); err != nil {
			return err
		}
		p.file.written.Store(int64(len(b)))
	}
	return nil
}

// cut takes what a failed write has left off the end of the file.
func (l *lane) cut(start int64) bool {
	l.size, l.room = start, 0
	return l.w.Truncate(start) == nil
}

// sync makes everything written so far safe. The lock is held before and after.
func (l *lane) sync() {
	l.syncing = true
	if l.gather() && !l.writing && len(l.waiting) > 0 {
		l.write()
	}
	begun := time.Now()
	seq, at, w, dirty := l.wroteSeq, l.wrote, l.w, l.dirty
	l.dirty = false
	l.mu.Unlock()
	var err error
	if dirty {
		err = w.Sync()
	}
	l.mu.Lock()
	l.syncing = false
	for _, f := range l.closing {
		f.Close()
	}
	l.closing = nil
	if err != nil {
		l.distrust(err)
		return
	}
	if l.w == w {
		l.safe = at
	}
	l.usual += (time.Since(begun) - l.usual) / 8
	l.settle(seq)
}

const (
	// longestGather is how long a sync is held back at most for company that is expected.
	longestGather = 300 * time.Microsecond
	// mostYields bounds the same where the clock stands still, as in tests.
	mostYields = 1 << 14
	// mostShy is how many syncs at most do without waiting after nobody had come.
	mostShy = 64
)

// gather waits a little for those whose entries the last sync has brought home: where many write at once they are back
// in a moment, and one sync does for all of them. Without it two halves of the writers take turns, and each sync does
// half the work. It waits a fraction of what a sync takes, and less and less often where nobody comes. The lock is
// held before and after.
func (l *lane) gather() bool {
	have := len(l.current) + len(l.waiting)
	if have >= l.company {
		return false
	}
	if l.shy > 0 {
		l.shy--
		return false
	}
	came := &l.came
	want := came.Load() + int64(l.company-have)
	end := time.Now().Add(min(l.usual/4, longestGather))
	l.mu.Unlock()
	for n := 0; n < mostYields && came.Load() < want && time.Now().Before(end); n++ {
		runtime.Gosched()
	}
	l.mu.Lock()
	if came.Load() < want {
		l.alone = min(max(1, 2*l.alone), mostShy)
		l.shy = l.alone
	} else {
		l.alone = 0
	}
	return true
}

// distrust gives up what a failed sync leaves in doubt: the kernel may have dropped it, and will not say so again.
func (l *lane) distrust(err error) {
	l.retire = true
	if l.writing {
		l.doomed = err
	}
	group := l.taken[:0:0]
	for _, e := range l.current {
		if e.state == written {
			group = append(group, e)
		}
	}
	l.reject(group, err)
}

// settle ends the entries up to seq, whose records are safe.
func (l *lane) settle(seq int64) {
	n := 0
	for n < len(l.current) && l.current[n].state == written && l.current[n].seq <= seq {
		n++
	}
	if n == 0 {
		return
	}
	l.company = n
	l.log.arrive(l.current[:n])
	for _, e := range l.current[:n] {
		e.finish(nil)
	}
	l.current = slices.Delete(l.current, 0, n)
}

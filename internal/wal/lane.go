package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

const (
	// A group is what one write brings to the file.
	largestGroup = 4 << 20
	// earlyWrite: so many bytes are written while the disk still syncs what came before; fewer wait for company.
	earlyWrite = 64 << 10
	// Where so much is not synced yet, what is written goes to the bare end of the file. Less is put over fill, whose
	// length is on the disk already, so that its sync need not change the file's length too; but all is written twice.
	bareEnd = 384 << 10
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
	syncing bool // somebody syncs, or is about to: nobody else leaves a file

	seq      int64   // of the last entry that was stamped
	wroteSeq int64   // up to here all is written
	out      *output // only the writer sets it; nil: the disk was full when the log was opened
	failed   int64   // how often something that a cut may hold was refused

	company company
	rolled  []rollEnd  // files that were left since the last checkpoint
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
	l.company.came.Add(1)
	if e.kind != kindPut {
		l.urgent++
	}
}

// mayWrite tells whether the one who asks may write now. While somebody syncs nobody leaves the file: of two syncs of one
// file that fails only one is told.
func (l *lane) mayWrite() bool {
	switch {
	case l.writing || len(l.waiting) == 0:
		return false
	case !l.syncing:
		return true
	}
	return (l.urgent > 0 || l.bytes >= earlyWrite) && l.fits(0, l.waiting[0])
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
		l.refuse(group, err)
		return
	}
	start, out := l.start, l.out
	over := out == nil || out.over // then the group is barriers only
	fill := l.log.fill
	if out != nil && out.pos-out.safe >= bareEnd {
		fill = nil
	}
	l.mu.Unlock()
	err = l.writeGroup(group, start, fill)
	clean := err == nil || out.cut(start) && len(l.large) == 0 && !errors.Is(err, syscall.EFBIG)
	l.mu.Lock()
	l.writing = false
	l.shutLarge(err != nil)
	switch {
	case over:
	case out.doubt != nil: // a sync failed meanwhile
		out.shorten()
		l.reject(group, out.doubt)
		return
	case err != nil:
		out.pos, out.over = start, !clean
		l.refuse(group, err)
		return
	default:
		out.wrote = out.pos
	}
	for _, e := range group {
		l.goesOn(e)
		if len(e.buf) > 0 {
			out.dirty = true
		}
		if e.kind == kindTake && !l.log.o.SyncTakes {
			l.log.forget(e)
			e.finish(nil)
		}
	}
	l.dropDone()
}

// goesOn: e waits for a sync now.
func (l *lane) goesOn(e *entry) { e.state, l.wroteSeq = written, e.seq }

// refuse ends entries that could not be written. Barriers have nothing to write, and go on.
func (l *lane) refuse(group []*entry, err error) {
	bad := make([]*entry, 0, len(group))
	for _, e := range group {
		if len(e.recs) > 0 {
			bad = append(bad, e)
			continue
		}
		if e.state == queued {
			l.stamp(e)
		}
		l.goesOn(e)
	}
	l.reject(bad, err)
}

// reject ends entries with an error. On a full disk takes are good all the same: the next checkpoint, for which room is
// held, knows of them, and until then they only come again if the process ends.
func (l *lane) reject(group []*entry, err error) {
	err = fmt.Errorf("writing to %s: %w", l.dir, err)
	full := IsFull(err)
	for _, e := range group {
		if full && e.kind == kindTake {
			l.log.forget(e)
			l.log.unlogged.Add(int64(e.count))
			e.finish(nil)
			continue
		}
		if e.state != queued && len(e.recs) > 0 && e.woid < l.log.lastCut.Load() {
			l.failed++ // the cut has had it for good
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
	if !l.fits(0, first) && (l.out == nil || l.out.over || l.out.pos > 0) {
		if err := l.roll(); err != nil {
			return l.take(len(l.waiting)), err
		}
	}
	if !l.fits(0, first) {
		group := l.take(1)
		return group, l.spread(group[0])
	}
	n, bytes := 0, 0
	for _, e := range l.waiting {
		if n > 0 && (bytes+len(e.buf) > largestGroup || !l.fits(int64(bytes), e)) {
			break
		}
		n, bytes = n+1, bytes+len(e.buf)
	}
	group := l.take(n)
	if l.out != nil {
		l.start = l.out.pos
	}
	for _, e := range group {
		if len(e.recs) > 0 {
			e.pieces = append(e.pieces, piece{l.out.file, l.out.pos, 0, len(e.recs)})
			l.out.pos += int64(len(e.buf))
		}
		l.stamp(e)
	}
	return group, nil
}

// fits tells whether e may be written to the file at work, behind so many bytes more. Flume does not count the framing of
// the last record.
func (l *lane) fits(more int64, e *entry) bool {
	return len(e.recs) == 0 ||
		l.out != nil && !l.out.over && l.out.pos+more+int64(len(e.buf)) <= l.log.o.MaxFileSize+framing
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
	pieces := []piece{{file: l.out.file}}
	files := []vfs.File{l.out.w}
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
	e.pieces = pieces
	l.large = files
	l.out = newOutput(pieces[last].file, files[last])
	l.start = 0
	l.out.pos = ends[last]
	l.stamp(e)
	return nil
}

// roll goes on in a new data file. Everything in the old one is synced before, so that no commit in the new one is
// safe while its puts are not. The lock is held before and after; writing is set, and nobody else syncs.
func (l *lane) roll() error {
	by := l.syncing // the one who is about to sync may be the one who writes
	l.syncing = true
	defer func() { l.syncing = by }()
	l.flush()
	old := l.out
	l.mu.Unlock()
	if old != nil {
		// Gives back what was reserved; that it may fail is no harm. What is behind the end was never acknowledged.
		_ = old.w.Truncate(old.end())
		old.room = 0
	}
	d, w, err := l.log.createFile(l.index)
	l.mu.Lock()
	if err != nil {
		return err
	}
	if old != nil {
		old.file.written.Store(old.wrote)
		l.rolled = append(l.rolled, rollEnd{old.file, old.wrote})
		old.w.Close() // synced before
	}
	l.out = newOutput(d, w)
	return nil
}

// shutLarge closes the files of a large entry but for the last, which is the file at work now.
func (l *lane) shutLarge(failed bool) {
	if len(l.large) == 0 {
		return
	}
	e := l.taken[0]
	for i, w := range l.large[:len(l.large)-1] {
		end := int64(0)
		if failed {
			_ = w.Truncate(0) // gives back the room
		} else {
			end = e.pieces[i].size(e)
		}
		e.pieces[i].file.written.Store(end)
		l.rolled = append(l.rolled, rollEnd{e.pieces[i].file, end})
		w.Close() // synced before
	}
}

// writeGroup writes stamped entries, and fill behind them where they are at the end of the file; the lock is not held.
func (l *lane) writeGroup(group []*entry, start int64, fill []byte) error {
	if len(l.large) > 0 {
		return l.writeLarge(group[0])
	}
	b := group[0].buf
	if len(group) > 1 || l.out != nil && l.out.file.cipher != nil {
		l.group = l.group[:0]
		for _, e := range group {
			if len(e.recs) > 0 {
				l.group = e.seal(l.group, 0, len(e.recs), l.out.file.cipher)
			}
		}
		b = l.group
	}
	err := l.append(b, start, fill)
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

// append writes b at pos, the end of the records.
func (l *lane) append(b []byte, pos int64, fill []byte) error {
	if len(b) == 0 {
		return nil
	}
	l.out.reserve(pos+int64(len(b)), int64(len(l.log.fill)), l.log.o.MaxFileSize)
	return l.out.append(b, pos, fill)
}

// writeLarge writes an entry that has pieces in several files. All but the last are complete then.
func (l *lane) writeLarge(e *entry) error {
	for i, p := range e.pieces {
		b := e.seal(nil, p.from, p.to, p.file.cipher)
		if i == len(e.pieces)-1 {
			return l.append(b, 0, nil)
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

// sync makes everything written so far safe. The lock is held before and after.
func (l *lane) sync() {
	l.syncing = true
	if l.gather() && !l.writing && len(l.waiting) > 0 {
		l.write()
	}
	begun := time.Now()
	if l.flush() {
		l.company.took(time.Since(begun))
	}
	l.syncing = false
}

// flush syncs the file at work, and ends the entries that are in it. All syncs go through here, one at a time, but for
// those of a large entry, whose files are its own. The lock is held before and after; syncing is set.
func (l *lane) flush() bool {
	seq, out := l.wroteSeq, l.out
	if out != nil && out.dirty {
		at := out.wrote
		out.dirty = false
		l.mu.Unlock()
		err := out.w.Sync()
		l.mu.Lock()
		if err != nil {
			l.distrust(out, err)
			return false
		}
		out.safe = at
		l.log.o.Syncs.Add(1)
	}
	l.settle(seq)
	return true
}

// distrust gives up what a failed sync leaves in doubt. What is just being written its writer gives up.
func (l *lane) distrust(out *output, err error) {
	out.distrust(err)
	if !l.writing {
		out.shorten()
	}
	l.failed++ // a cut may have counted on takes that nobody waits for
	var group []*entry
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
	l.company.last = n
	l.log.arrive(l.current[:n])
	for _, e := range l.current[:n] {
		e.finish(nil)
	}
	l.current = slices.Delete(l.current, 0, n)
}

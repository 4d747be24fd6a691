package wal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A Recovery says what was found when a log was opened.
type Recovery struct {
	Events     int    // in the log now
	Checkpoint string // the file that the replay started from; "" when there was none
	Files      int    // data files
	Bytes      int64  // read of them
	Records    int64  // in those
	Elapsed    time.Duration
	Notes      []string // what was odd and is no loss

	Torn        []Damage       // writes that the end of the last run cut off; nobody was told that they were good
	Damaged     []Damage       // records that could not be read and were set aside
	Doubtful    int            // events that were put, and a damaged record may have committed: they are in the log
	Missing     map[string]int // events whose data file is not there
	Strange     map[string]int // events of the checkpoint, by data file, for which it has no record
	Uncommitted int            // transactions of puts that were never committed: they are not in the log
}

// A RefusedError is why a log is not opened as it is. What says it for a person.
type RefusedError struct {
	What    string
	Damaged []Damage
	Missing bool // of data files
}

func (e *RefusedError) Error() string { return e.What }

// A found is everything that reading a log has yielded, before anything is changed.
type found struct {
	list *listing
	ck   *checkpoint
	got  *replayed
	rec  *Recovery
}

// Open opens a log, of Flume or of this package, and makes one where there is none. Before the whole of it has been
// read nothing is changed but that missing directories are made and the directories are locked.
func Open(f vfs.FS, o Options) (*Log, *Recovery, error) {
	begun := time.Now()
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	if o.Keys != nil {
		o.Keys = &keyring{from: o.Keys, keys: map[string][]byte{}}
	}
	if o.Logged == nil {
		o.Logged = new(atomic.Int64)
	}
	if o.Syncs == nil {
		o.Syncs = new(atomic.Int64)
	}
	l := &Log{
		fsys: f, o: o, queue: newQueue(), reads: newHandles(f),
		files: map[uint32]*dataFile{}, damaged: map[Pointer]bool{},
	}
	l.cache.limit = o.Cache
	l.reader = &reader{handles: l.reads}
	l.entries = &sync.Pool{}
	l.fill = bytes.Repeat([]byte{opEnd}, o.fillBytes())
	rec, err := l.open()
	if err != nil {
		return nil, nil, errors.Join(err, l.abandon())
	}
	rec.Elapsed = time.Since(begun)
	return l, rec, nil
}

func (o *Options) check() error {
	switch {
	case o.CheckpointDir == "" || len(o.DataDirs) == 0:
		return errors.New("a log needs a checkpoint directory and at least one data directory")
	case o.Capacity <= 0 || int64(o.Capacity) > 1<<31-1-slotQueue:
		return fmt.Errorf("a log cannot have a capacity of %d", o.Capacity)
	case o.MaxFileSize <= 0 || o.MaxFileSize > LargestFile:
		return fmt.Errorf("a data file cannot have %d bytes", o.MaxFileSize)
	case o.ActiveKey != "" && o.Keys == nil:
		return fmt.Errorf("the key %q is to encrypt and there are no keys", o.ActiveKey)
	}
	return nil
}

func (o *Options) fillBytes() int {
	if o.fill != 0 {
		return max(0, o.fill)
	}
	return int(min(fillSize, o.MaxFileSize))
}

func (o *Options) dirs() []string {
	var dirs []string
	if o.CheckpointDir != "" {
		dirs = append(dirs, o.CheckpointDir)
	}
	if o.BackupDir != "" {
		dirs = append(dirs, o.BackupDir)
	}
	return append(dirs, o.DataDirs...)
}

func (l *Log) open() (*Recovery, error) {
	for _, dir := range l.o.dirs() {
		if err := l.fsys.MkdirAll(dir); err != nil {
			return nil, fmt.Errorf("making the directory %s: %w", dir, err)
		}
	}
	if err := l.takeLocks(); err != nil {
		return nil, err
	}
	// What a run that was killed has renamed may not be safe yet, and to what has lost its name the next checkpoint is
	// written.
	for _, dir := range l.o.dirs() {
		if err := l.fsys.SyncDir(dir); err != nil {
			return nil, fmt.Errorf("syncing the directory %s: %w", dir, err)
		}
	}
	x, err := look(l.fsys, &l.o)
	if err != nil {
		return nil, err
	}
	if err := x.refuse(&l.o); err != nil {
		return nil, err
	}
	if err := tryKeys(l.fsys, x.list.files); err != nil {
		return nil, err
	}
	for _, d := range x.list.files {
		l.files[d.id] = d
	}
	for i, block := range x.got.queue {
		for _, p := range block {
			l.queue.append(p)
		}
		x.got.queue[i] = nil
	}
	newest := x.list.last
	for id := range l.queue.counts {
		newest = max(newest, id)
	}
	for _, m := range x.got.missing {
		newest = max(newest, m.file)
	}
	l.number.Store(newest)
	l.seed(max(x.got.maxTx, x.got.maxOrder))
	l.noticeFlume(x.ck)
	if err := l.finishPublish(x.ck); err != nil {
		return nil, fmt.Errorf("finishing the last checkpoint: %w", err)
	}
	if err := l.openLanes(x); err != nil {
		return nil, err
	}
	// In this order: a cut off write ends its file before anything is written behind it, and what a damaged record may
	// have committed is committed before the record is gone.
	if err := l.endTorn(x); err != nil {
		return nil, err
	}
	if err := l.commitDoubtful(x); err != nil {
		return nil, err
	}
	if err := l.repair(x); err != nil {
		return nil, err
	}
	if err := l.begin(x); err != nil {
		return nil, err
	}
	return x.rec, nil
}

// look reads a log without changing anything.
func look(f vfs.FS, o *Options) (*found, error) {
	list, err := listFiles(f, o)
	if err != nil {
		return nil, err
	}
	newest := int64(0)
	for _, d := range list.files {
		newest = max(newest, d.meta.now.woid)
	}
	largest := max(newest, largestOrder(f, o.CheckpointDir, o.BackupDir))
	ck, bad := choose(f, o.CheckpointDir, o.BackupDir, list.files)
	if ck != nil && ck.ofAnother(o, list.files) {
		name := ck.name
		if filepath.Base(name) == name {
			name = filepath.Join(o.CheckpointDir, name)
		}
		bad = append(bad, name+" is not of these data files, so that they are read from their beginning; a checkpoint directory is for one channel alone")
		ck = nil
	}
	got, err := replay(f, o, list.files, ck)
	if err != nil {
		return nil, err
	}
	got.maxOrder = max(got.maxOrder, largest)
	x := &found{list: list, ck: ck, got: got}
	x.rec = &Recovery{
		Events: got.size, Files: len(list.files), Notes: append(list.notes, bad...),
		Strange: map[string]int{}, Uncommitted: got.rest, Missing: map[string]int{},
	}
	if ck != nil {
		x.rec.Checkpoint = ck.name
		if ck.slots != o.Capacity {
			x.rec.Notes = append(x.rec.Notes, fmt.Sprintf("the capacity was %d and is %d now", ck.slots, o.Capacity))
		}
	}
	if got.size > o.Capacity {
		x.rec.Notes = append(x.rec.Notes, fmt.Sprintf("the log holds %d events and its capacity is %d: until so many are taken nothing can be put, and Flume cannot open it",
			got.size, o.Capacity))
	}
	for _, s := range got.scans {
		x.rec.Bytes += max(0, s.end-s.start)
		x.rec.Records += s.records
		if s.torn != nil {
			x.rec.Torn = append(x.rec.Torn, s.damageOf(s.torn))
		}
		for _, b := range s.damage {
			x.rec.Damaged = append(x.rec.Damaged, s.damageOf(b))
		}
	}
	for _, t := range got.doubtful {
		x.rec.Doubtful += len(t.pointers)
	}
	for _, m := range got.missing {
		x.rec.Missing[fmt.Sprintf("log-%d", m.file)] = m.count
	}
	for d, n := range got.strange {
		x.rec.Strange[d.path] = n
	}
	return x, nil
}

func (f *fileScan) damageOf(b *badRecord) Damage {
	return Damage{Path: f.file.path, Offset: b.at, Length: b.next - b.at, Reason: b.why}
}

// refuse says why the log had better not be opened as it is.
func (x *found) refuse(o *Options) error {
	if o.Strict && len(x.rec.Damaged) > 0 {
		d := x.rec.Damaged[0]
		more := ""
		switch n := len(x.rec.Damaged) - 1; n {
		case 0:
		case 1:
			more = ", and so is another place"
		default:
			more = fmt.Sprintf(", and so are %d other places", n)
		}
		return &RefusedError{
			What: fmt.Sprintf("%s is damaged at %d (%s)%s; damage is not to be passed over",
				d.Path, d.Offset, d.Reason, more),
			Damaged: x.rec.Damaged,
		}
	}
	if o.Strict {
		for _, d := range slices.SortedFunc(maps.Keys(x.got.strange), func(a, b *dataFile) int { return cmp.Compare(a.id, b.id) }) {
			return &RefusedError{What: fmt.Sprintf("%s has no record of %d events that the checkpoint has in it; damage is not to be passed over", d.path, x.got.strange[d])}
		}
	}
	if len(x.got.missing) == 0 || o.WithoutMissing {
		return nil
	}
	// They may come back: a disk that is not mounted, a directory that is not named, a file that somebody moved. Once the
	// log has gone on without them it is too late.
	var names []string
	for _, m := range x.got.missing {
		names = append(names, fmt.Sprintf("log-%d (%d events)", m.file, m.count))
	}
	what := "the checkpoint names data files that are in none of the data directories: " + strings.Join(names, ", ")
	for i, dir := range o.DataDirs {
		if x.list.empty[i] {
			what += fmt.Sprintf("; %s is empty: is it mounted, is it the right one?", dir)
		}
	}
	return &RefusedError{What: what, Missing: true}
}

// takeLocks locks all directories, in Flume's order, and looks for a Flume that uses them: its own lock is lost as
// soon as it has it, so that it cannot be relied on.
func (l *Log) takeLocks() error {
	for _, dir := range l.o.dirs() {
		if slices.ContainsFunc(l.locks, func(x lockedDir) bool { return x.dir == filepath.Clean(dir) }) {
			return fmt.Errorf("the directory %s is named twice", dir)
		}
		lock, err := l.fsys.Lock(filepath.Join(dir, lockName))
		if err != nil {
			return err
		}
		l.locks = append(l.locks, lockedDir{filepath.Clean(dir), lock})
		users := l.fsys.Users(dir, func(base string) bool {
			_, data := dataFileNumber(base)
			return data || base == lockName || base == ringName
		})
		if len(users) > 0 {
			return &vfs.LockedError{Path: dir, Holder: users[0]}
		}
	}
	return nil
}

// keepLocks takes a lock again whose file somebody has removed: a Flume that failed to start here does so when it ends.
// Once another has it the directory is no longer ours, until the log is opened again: what the other does there we do
// not know of.
func (l *Log) keepLocks() error {
	if locked := l.stolen.Load(); locked != nil {
		return locked
	}
	for i := range l.locks {
		x := &l.locks[i]
		if x.lock.Held() {
			continue
		}
		lock, err := l.fsys.Lock(filepath.Join(x.dir, lockName))
		if locked, ok := errors.AsType[*vfs.LockedError](err); ok {
			l.stolen.Store(locked)
		}
		if err != nil {
			return err
		}
		if err := x.lock.Release(); err != nil {
			return errors.Join(err, lock.Release())
		}
		x.lock = lock
	}
	return nil
}

// openLanes opens a new data file in every directory.
func (l *Log) openLanes(x *found) error {
	for i, dir := range l.o.DataDirs {
		ln := &lane{log: l, index: i, dir: dir}
		d, w, err := l.createFile(i)
		switch {
		case err == nil:
			ln.out = newOutput(d, w)
		case IsFull(err): // what is there can be taken all the same
			x.rec.Notes = append(x.rec.Notes, err.Error())
		default:
			return err
		}
		l.lanes = append(l.lanes, ln)
	}
	for _, s := range x.got.scans {
		d := s.file
		d.ended = s.end
		if (s.end > s.start || d.stale) && d.version != 2 { // whose header may stay as it is
			ln := l.lanes[d.dir]
			ln.rolled = append(ln.rolled, rollEnd{d, s.end})
		}
		if err := l.settleFile(d); err != nil {
			return err
		}
	}
	return nil
}

// settleFile frees what was reserved on the disk for a file that the last run did not close, and makes safe what that
// run had not synced when it was killed: the checkpoint that follows relies on what it has written, and the IDs of what
// it has cut off, which nobody has seen, are given again.
func (l *Log) settleFile(d *dataFile) error {
	w, err := l.fsys.OpenWrite(d.path)
	if err != nil {
		return fmt.Errorf("opening a data file of the last run: %w", err)
	}
	if d.version != 2 {
		err = w.Truncate(d.size)
	}
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("making safe what the last run wrote: %w", err)
	}
	return nil
}

// commitDoubtful commits the transactions that a damaged record may have committed, for a later replay.
func (l *Log) commitDoubtful(x *found) error {
	for _, t := range x.got.doubtful {
		e := &entry{}
		e.begin(0)
		e.tx = t.id
		e.commit(kindPut)
		d := l.files[t.pointers[0].File()]
		if d == nil {
			continue // its file is gone, and so are its events
		}
		if err := l.lanes[d.dir].commit(context.Background(), e); err != nil {
			return fmt.Errorf("committing what a damaged record may have committed: %w", err)
		}
	}
	return nil
}

// begin writes the first checkpoint, over whatever was there.
func (l *Log) begin(x *found) error {
	err := l.checkpoint(true)
	if err == nil {
		err = l.reserveSpare()
	}
	if err != nil {
		var b *BackupError
		if !errors.As(err, &b) && !IsFull(err) {
			return err
		}
		x.rec.Notes = append(x.rec.Notes, err.Error())
	}
	return nil
}

// noticeFlume tells whether the checkpoint in the directory is Flume's.
func (l *Log) noticeFlume(ck *checkpoint) {
	c := &l.checkpoints
	for _, name := range []string{inflightPuts, inflightTakes} {
		b, err := readFile(l.fsys, filepath.Join(l.o.CheckpointDir, name), 1<<31)
		c.foreign = c.foreign || err != nil || !bytes.Equal(b, encodeFlights(nil))
	}
	if ck != nil && ck.version == 2 {
		c.foreign = true
		c.upgrade = fmt.Sprintf("%s%d", upgradePrefix, l.tx.Load())
	}
}

// abandon gives everything back after an open that failed.
func (l *Log) abandon() error {
	for _, ln := range l.lanes {
		if ln.out != nil {
			ln.out.w.Close()
		}
	}
	l.reads.close()
	return l.unlock()
}

func (l *Log) unlock() error {
	var errs []error
	for _, x := range slices.Backward(l.locks) {
		errs = append(errs, x.lock.Release())
	}
	l.locks = nil
	return errors.Join(errs...)
}

// Close ends the log; with checkpoint it writes one, so that the next Open has nothing to replay. Nobody may be at
// work in it. What was taken and not committed will be there again.
func (l *Log) Close(checkpoint bool) error {
	if l.closed.Swap(true) {
		return ErrClosed
	}
	err := l.Sync(context.Background())
	if checkpoint && err == nil {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if changed {
			err = l.checkpoint(true)
		}
	}
	errs := []error{err}
	for _, ln := range l.lanes {
		ln.mu.Lock()
		if o := ln.out; o != nil {
			errs = append(errs, o.w.Truncate(o.end()), o.w.Sync(), o.w.Close()) // gives back what was reserved
		}
		ln.mu.Unlock()
	}
	// The room for the next checkpoint stays: the disk may be full when that comes. Flume passes it over.
	l.reads.close()
	return errors.Join(append(errs, l.unlock())...)
}

// mostDamage is how many bytes of a damaged record are kept.
const mostDamage = 16 << 20

// recordBytes returns what stands at off of a file that has records up to size: a record, or all up to the next. What is
// said of its length there may be what is wrong.
func recordBytes(r io.ReaderAt, d *dataFile, off, size int64) (int64, []byte, error) {
	s := d.scanner(r, off)
	s.size, s.tears, s.lacks = size, false, 0
	u := &undecodable{}
	var n int64
	rec, err := s.decode(off)
	switch {
	case s.is(off, opRecord) && err == nil:
		n = rec.size
	case err == nil || errors.As(err, &u) || errors.Is(err, errCut):
		var bad *badRecord
		if err := s.bad(u); !errors.As(err, &bad) {
			return 0, nil, err
		}
		n = min(bad.next, size) - off
	default:
		return 0, nil, err
	}
	b := make([]byte, max(0, min(n, mostDamage)))
	m, err := r.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, err
	}
	return n, b[:m], nil
}

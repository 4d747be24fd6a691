package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A replayed is what reading checkpoint and data files has yielded. Nothing on the disk has changed.
type replayed struct {
	queue    [][]Pointer // the events, in order, in blocks
	size     int
	scans    []*fileScan
	maxTx    int64
	maxOrder int64

	doubtful []*openTx         // puts that a damaged record may have committed: they are the last of the queue
	missing  []missing         // events whose data file is gone
	strange  map[*dataFile]int // events of the checkpoint for which their file has no record
	unknown  int               // takes of events that are nowhere: taken long ago
	rest     int               // transactions of puts that were never committed
}

// missing says how many queued events were in a data file that is not there.
type missing struct {
	file  uint32
	count int
}

// An openTx is a transaction of which the replay has not seen how it ended.
type openTx struct {
	id       int64
	pointers []Pointer
	puts     bool // its first record was a put
	doubtful bool
	file     *dataFile // of its last record; nil: it was open at the checkpoint
}

const (
	// fewBytes: below that scanning is not worth another goroutine.
	fewBytes = 4 << 20
	// stepBudget is the memory for steps that have been read ahead.
	stepBudget = 96 << 20
	// peekBytes are read of a file to see where in the order it begins.
	peekBytes = 4 << 10
)

// A merge is a replay at work.
type merge struct {
	o      *Options
	starts []*head // files that have not been reached yet
	heads  []*head // files that have: seldom more than one for each directory
	txs    map[int64]*openTx
	free   []*openTx
	takes  map[int64]flight // in flight at the checkpoint and not committed since
	files  map[uint32]*dataFile
	before map[uint32]uint32 // the data file before in the same directory
	taken  map[uint32][]uint64
	blocks [][]Pointer
	out    *replayed
	tail   []Pointer // the last of blocks, being filled
}

// A head is the next step of one file; in merge.starts only its write order is known.
type head struct {
	feed *feed
	step step
}

// less is the order in which Flume merges.
func (a *head) less(b *head) bool {
	return cmp.Or(
		cmp.Compare(a.step.woid, b.step.woid),
		cmp.Compare(a.step.tx, b.step.tx),
		cmp.Compare(mergeRank(a.step.what), mergeRank(b.step.what)),
		cmp.Compare(a.feed.scan.file.id, b.feed.scan.file.id),
	) < 0
}

func mergeRank(k stepKind) int {
	switch k {
	case stepTake:
		return 0
	case stepPut:
		return 1
	case stepRollback:
		return 2
	case stepCommitPuts, stepCommitTakes:
		return 3
	case stepDamage:
		return 4
	}
	panic("BUG: unknown step")
}

// replay reads what the log holds beyond the checkpoint c, which may be nil. It changes nothing on the disk.
func replay(f vfs.FS, o *Options, files []*dataFile, c *checkpoint) (*replayed, error) {
	if c == nil {
		c = &checkpoint{}
	}
	m := &merge{
		o: o, out: &replayed{maxTx: c.woid, maxOrder: c.woid},
		txs: map[int64]*openTx{}, takes: map[int64]flight{},
		files: map[uint32]*dataFile{}, before: map[uint32]uint32{}, taken: map[uint32][]uint64{},
		blocks: c.queue,
	}
	for _, p := range c.puts {
		m.txs[p.tx] = &openTx{id: p.tx, pointers: p.pointers, puts: true}
		m.out.maxTx = max(m.out.maxTx, p.tx)
	}
	for _, t := range c.takes {
		m.takes[t.tx] = t
		m.out.maxTx = max(m.out.maxTx, t.tx)
	}
	total, read := int64(0), new(atomic.Int64)
	newest := map[int]uint32{}
	var feeds []*feed
	for _, d := range files {
		m.files[d.id] = d
		m.before[d.id] = newest[d.dir]
		newest[d.dir] = d.id
		scan := &fileScan{fs: f, file: d, after: c.woid, start: d.meta.start(c.woid, d.version), read: read}
		first, err := scan.first()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", d.path, err)
		}
		total += max(0, d.size-scan.start)
		m.out.scans = append(m.out.scans, scan)
		feeds = append(feeds, &feed{scan: scan})
		h := &head{feed: feeds[len(feeds)-1], step: step{woid: first}}
		m.starts = append(m.starts, h)
	}
	if !o.Sequential {
		slices.SortStableFunc(m.starts, func(a, b *head) int { return cmp.Compare(a.step.woid, b.step.woid) })
	}
	defer func() {
		for _, s := range m.out.scans {
			s.close()
		}
	}()
	few := int64(fewBytes)
	if o.few != 0 {
		few = o.few
	}
	if total > few { // closed before the files are
		budget := stepBudget
		if o.few != 0 {
			budget = int(o.few) / 4
		}
		p := newPipeline(feeds, runtime.GOMAXPROCS(0), budget)
		defer p.close()
	}
	if err := m.run(total, read); err != nil {
		return nil, err
	}
	return m.out, m.finish()
}

func (m *merge) run(total int64, read *atomic.Int64) error {
	begun := time.Now()
	reported := begun
	for n := 1; ; n++ {
		h, err := m.least()
		if err != nil {
			return err
		}
		if h == nil {
			return nil
		}
		m.apply(h.feed.scan.file, &h.step)
		if err := m.advance(h); err != nil {
			return err
		}
		if m.o.Progress != nil && n&0xffff == 0 && time.Since(reported) > time.Second {
			reported = time.Now()
			m.o.Progress(Progress{Read: read.Load(), Total: total, Elapsed: time.Since(begun)})
		}
	}
}

// least returns the file whose step is next, and brings in files that the order has reached; nil is the end.
func (m *merge) least() (*head, error) {
	for {
		var best *head
		for _, h := range m.heads {
			if best == nil || h.less(best) {
				best = h
			}
		}
		if len(m.starts) == 0 || best != nil && (m.o.Sequential || m.starts[0].step.woid > best.step.woid) {
			return best, nil
		}
		h := m.starts[0]
		m.starts = m.starts[1:]
		m.heads = append(m.heads, h)
		if err := m.advance(h); err != nil {
			return nil, err
		}
	}
}

// advance reads the next step of a file and drops the file at its end.
func (m *merge) advance(h *head) error {
	s, err := h.feed.step()
	if errors.Is(err, io.EOF) {
		m.heads = slices.DeleteFunc(m.heads, func(x *head) bool { return x == h })
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", h.feed.scan.file.path, err)
	}
	h.step = s
	return nil
}

// apply does what a record says, with Flume's rules: what a commit says of its kind counts, not what was in the
// transaction; a rolled back take that was in flight at the checkpoint stays in flight, so that it comes back.
func (m *merge) apply(d *dataFile, s *step) {
	switch s.what {
	case stepPut:
		m.record(d, s.tx, pointer(d.id, s.at), true)
	case stepTake:
		m.record(d, s.tx, s.take, false)
	case stepRollback:
		m.drop(s.tx)
	case stepCommitPuts:
		t := m.txs[s.tx]
		if t == nil {
			return
		}
		for _, p := range t.pointers {
			if !m.isTaken(p) {
				m.push(p)
			}
		}
		m.drop(s.tx)
	case stepCommitTakes:
		if t := m.txs[s.tx]; t != nil {
			for _, p := range t.pointers {
				m.take(p)
			}
			m.drop(s.tx)
		}
		for _, p := range m.takes[s.tx].pointers {
			m.take(p)
		}
		delete(m.takes, s.tx)
	case stepDamage:
		m.doubt(d, s.damage)
	}
}

func (m *merge) record(d *dataFile, tx int64, p Pointer, put bool) {
	t := m.txs[tx]
	if t == nil {
		if n := len(m.free); n > 0 {
			t, m.free = m.free[n-1], m.free[:n-1]
		} else {
			t = &openTx{}
		}
		t.id, t.puts = tx, put
		m.txs[tx] = t
	}
	t.pointers = append(t.pointers, p)
	t.file = d
}

func (m *merge) drop(tx int64) {
	t := m.txs[tx]
	if t == nil {
		return
	}
	delete(m.txs, tx)
	if cap(t.pointers) <= 1<<16 {
		*t = openTx{pointers: t.pointers[:0]}
		m.free = append(m.free, t)
	}
}

// doubt marks the transactions that a damaged record may have committed.
func (m *merge) doubt(d *dataFile, b *badRecord) {
	switch b.head.kind {
	case kindPut, kindTake:
	case kindRollback:
		m.drop(b.head.tx)
	case kindCommit:
		if t := m.txs[b.head.tx]; t != nil {
			t.doubtful = t.puts
		}
	default:
		// A transaction that goes on in this file, or was cut by the change of files.
		for _, t := range m.txs {
			if t.puts && t.file != nil && t.file.dir == d.dir && (t.file == d || t.file.id == m.before[d.id]) {
				t.doubtful = true
			}
		}
	}
}

func (m *merge) push(p Pointer) {
	if len(m.tail) == ringBlock {
		m.flush()
	}
	m.tail = append(m.tail, p)
}

func (m *merge) flush() {
	if len(m.tail) > 0 {
		m.blocks = append(m.blocks, m.tail)
		m.tail = nil
	}
}

// take notes that the event at p is gone, whether it has been put already or, with several directories, comes later.
// A bit for every leastPut bytes of a file is enough: in those only one put can begin.
func (m *merge) take(p Pointer) {
	d := m.files[p.File()]
	if d == nil || p.Offset() >= d.size {
		m.out.unknown++
		return
	}
	bits := m.taken[d.id]
	if bits == nil {
		bits = make([]uint64, d.size/leastPut/64+1)
		m.taken[d.id] = bits
	}
	i := p.Offset() / leastPut
	bits[i/64] |= 1 << (i % 64)
}

func (m *merge) isTaken(p Pointer) bool {
	bits := m.taken[p.File()]
	i := p.Offset() / leastPut
	return i/64 < int64(len(bits)) && bits[i/64]&(1<<(i%64)) != 0
}

// finish makes the queue: first what was in flight and never committed, then what is left of everything put.
func (m *merge) finish() error {
	o := m.out
	behind := newBehind(o.scans)
	defer behind.close()
	var back []Pointer
	for _, t := range m.takes {
		back = append(back, t.pointers...)
	}
	slices.Sort(back)
	var doubtful []*openTx
	for _, t := range m.txs {
		switch {
		case t.doubtful:
			doubtful = append(doubtful, t)
		case t.puts:
			o.rest++
		}
	}
	slices.SortFunc(doubtful, func(a, b *openTx) int { return cmp.Compare(a.id, b.id) })
	for _, t := range doubtful {
		for _, p := range t.pointers {
			if !m.isTaken(p) {
				m.push(p)
			}
		}
	}
	o.doubtful = doubtful
	m.flush()
	gone := map[uint32]int{}
	o.strange = map[*dataFile]int{}
	var failed error
	keep := func(p Pointer) bool {
		d := m.files[p.File()]
		switch {
		case d == nil:
			gone[p.File()]++
			return false
		case m.isTaken(p):
			return false
		}
		holds, err := behind.holds(p)
		if err != nil {
			failed = err
		}
		if !holds {
			o.strange[d]++
		}
		return holds
	}
	for _, b := range append([][]Pointer{back}, m.blocks...) {
		left := b[:0]
		for _, p := range b {
			if keep(p) {
				left = append(left, p)
			}
		}
		if len(left) > 0 {
			o.queue = append(o.queue, left)
			o.size += len(left)
		}
	}
	for id, n := range gone {
		o.missing = append(o.missing, missing{id, n})
	}
	slices.SortFunc(o.missing, func(a, b missing) int { return cmp.Compare(a.file, b.file) })
	for _, s := range o.scans {
		o.maxTx, o.maxOrder = max(o.maxTx, s.maxTx), max(o.maxOrder, s.maxOrder)
	}
	return failed
}

// A behind looks after events that a checkpoint knows behind the end of what could be read of their file.
type behind struct {
	scans map[uint32]*fileScan
	file  uint32 // that was asked for last
	scan  *fileScan
	end   int64     // of what could be read of it
	open  *fileScan // whose scan is open
}

func newBehind(scans []*fileScan) *behind {
	b := &behind{scans: map[uint32]*fileScan{}}
	for _, s := range scans {
		b.scans[s.file.id] = s
	}
	return b
}

// holds tells whether there may be a record at p: what has been read, or was there when the checkpoint was written, is
// not looked at again. What can be read is kept even behind what cannot.
func (b *behind) holds(p Pointer) (bool, error) {
	if b.file != p.File() {
		b.file, b.scan = p.File(), b.scans[p.File()]
		b.end = b.scan.end
		if n := len(b.scan.damage); n > 0 && b.scan.damage[n-1].next >= b.end {
			b.end = b.scan.damage[n-1].at
		}
	}
	if p.Offset() < b.end {
		return true, nil
	}
	s := b.scan
	if b.open != s {
		b.close()
		f, err := s.fs.Open(s.file.path)
		if err != nil {
			return true, err
		}
		s.open, s.scan, b.open = f, s.file.scanner(f, 0), s
	}
	if s.scan.is(p.Offset(), opNoop) {
		return p.Offset() < s.end, nil // a repair has made it void
	}
	ok, err := s.scan.begins(p.Offset())
	if err != nil {
		err = fmt.Errorf("reading %s: %w", s.file.path, err)
	}
	return ok, err
}

func (b *behind) close() {
	if b.open != nil {
		b.open.close()
		b.open = nil
	}
}

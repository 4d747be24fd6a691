package wal

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A step is what a replay has to know of one record. Steps travel from the goroutines that scan files to the one that
// merges them in blocks of a few bytes a step, so that a whole log's steps fit into memory and scanning runs ahead.
type step struct {
	what   stepKind
	tx     int64
	woid   int64
	at     int64   // of a put: its offset; of damage: the index into the file's list
	take   Pointer // of a take
	damage *badRecord
}

type stepKind uint8

const (
	stepPut stepKind = iota
	stepTake
	stepRollback
	stepCommitPuts
	stepCommitTakes
	stepDamage
)

const (
	stepMask  = 7
	sameTx    = 1 << 3 // the transaction is that of the step before
	nextOrder = 1 << 4 // the write order ID is one more
)

// A stepBlock is a run of encoded steps of one file.
type stepBlock struct {
	b      []byte
	damage []*badRecord
}

const blockBytes = 1 << 16

// A stepCoder turns steps into bytes or back; both sides keep what the step before was.
type stepCoder struct{ last step }

func (c *stepCoder) append(b []byte, s *step) []byte {
	tag := byte(s.what)
	if s.tx == c.last.tx {
		tag |= sameTx
	}
	if s.woid == c.last.woid+1 {
		tag |= nextOrder
	}
	b = append(b, tag)
	if tag&sameTx == 0 {
		b = binary.AppendVarint(b, s.tx-c.last.tx)
	}
	if tag&nextOrder == 0 {
		b = binary.AppendVarint(b, s.woid-c.last.woid)
	}
	switch s.what {
	case stepPut, stepDamage:
		b = binary.AppendVarint(b, s.at-c.last.at)
	case stepTake:
		b = binary.AppendVarint(b, int64(s.take-c.last.take))
	case stepRollback, stepCommitPuts, stepCommitTakes:
	}
	c.keep(s)
	return b
}

func (c *stepCoder) keep(s *step) {
	c.last.tx, c.last.woid = s.tx, s.woid
	switch s.what {
	case stepPut:
		c.last.at = s.at
	case stepTake:
		c.last.take = s.take
	case stepDamage, stepRollback, stepCommitPuts, stepCommitTakes:
	}
}

// next cuts a step off b.
func (c *stepCoder) next(b []byte) (s step, rest []byte) {
	tag := b[0]
	b = b[1:]
	varint := func() int64 {
		v, n := binary.Varint(b)
		b = b[n:]
		return v
	}
	s.what, s.tx, s.woid = stepKind(tag&stepMask), c.last.tx, c.last.woid+1
	if tag&sameTx == 0 {
		s.tx += varint()
	}
	if tag&nextOrder == 0 {
		s.woid = c.last.woid + varint()
	}
	switch s.what {
	case stepPut, stepDamage:
		s.at = c.last.at + varint()
	case stepTake:
		s.take = c.last.take + Pointer(varint())
	case stepRollback, stepCommitPuts, stepCommitTakes:
	}
	c.keep(&s)
	return s, b
}

// A fileScan reads one data file for a replay.
type fileScan struct {
	fs    vfs.FS
	file  *dataFile
	start int64
	after int64         // records with a write order ID up to this are in the checkpoint already
	read  *atomic.Int64 // bytes, of all files of the replay
	open  vfs.File      // while it is being read
	scan  scanner
	coder stepCoder

	// What it has met, records that the checkpoint has included.
	maxTx, maxOrder int64
	records         int64
	puts            int64
	end             int64 // of the data
	torn            *badRecord
	cut             bool // a few bytes are left behind end
	damage          []*badRecord
}

// first returns the write order ID of the first record from the start on, 0 when that cannot be told so easily.
func (f *fileScan) first() (int64, error) {
	if f.start >= f.file.size {
		return 0, nil
	}
	r, err := f.fs.Open(f.file.path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	s := f.file.scanner(r, f.start)
	s.block = peekBytes
	b, err := s.view(f.start, 1)
	if err != nil || len(b) == 0 || b[0] != opRecord {
		return 0, err
	}
	rec, err := s.decode(f.start)
	var u *undecodable
	if errors.As(err, &u) || errors.Is(err, errCut) {
		return 0, nil
	}
	return rec.woid, err
}

// block reads on until a block is full; at the end of the file it returns what there is and io.EOF.
func (f *fileScan) block() (out stepBlock, err error) {
	if f.open == nil {
		if f.open, err = f.fs.Open(f.file.path); err != nil {
			return out, err
		}
		f.scan = f.file.scanner(f.open, f.start)
	}
	from := f.scan.pos
	out, err = f.steps()
	f.read.Add(f.scan.pos - from)
	if len(out.b) < blockBytes/2 {
		out.b = slices.Clone(out.b) // of many small files many wait
	}
	if err != nil {
		f.close()
	}
	return out, err
}

// close ends reading; what it has read of a file that it did not change cannot be lost.
func (f *fileScan) close() {
	if f.open != nil {
		f.open.Close()
		f.open, f.scan = nil, scanner{}
	}
}

func (f *fileScan) steps() (out stepBlock, err error) {
	// A record is larger than its step.
	out.b = make([]byte, 0, min(blockBytes, max(0, f.file.size-f.scan.pos)+64))
	for len(out.b) < blockBytes-64 {
		r, err := f.scan.next()
		var bad *badRecord
		if errors.As(err, &bad) {
			if bad.torn {
				f.torn = bad
				f.end = bad.at
				return out, io.EOF
			}
			f.damage = append(f.damage, bad)
			out.damage = append(out.damage, bad)
			s := step{what: stepDamage, tx: f.coder.last.tx, woid: f.coder.last.woid, at: f.coder.last.at}
			out.b = f.coder.append(out.b, &s)
			continue
		}
		if err != nil {
			f.end, f.cut = f.scan.pos, f.scan.cut
			return out, err
		}
		f.records++
		f.maxTx, f.maxOrder = max(f.maxTx, r.tx), max(f.maxOrder, r.woid)
		if r.woid <= f.after {
			continue
		}
		s := step{tx: r.tx, woid: r.woid}
		switch r.kind {
		case kindPut:
			s.what, s.at = stepPut, r.at
			f.puts++
		case kindTake:
			s.what, s.take = stepTake, r.take
		case kindRollback:
			s.what = stepRollback
		case kindCommit:
			s.what = stepCommitPuts
			if r.of == kindTake {
				s.what = stepCommitTakes
			}
		}
		out.b = f.coder.append(out.b, &s)
	}
	return out, nil
}

// A pipeline scans files side by side, ahead of the merge, within a budget of memory.
type pipeline struct {
	mu     sync.Mutex
	change sync.Cond
	held   int // bytes of blocks that wait
	budget int
	closed bool
	feeds  []*feed
	next   int // the first feed that no worker has begun
	wg     sync.WaitGroup
}

// A feed is one file's blocks.
type feed struct {
	p      *pipeline // nil: scanned by whoever reads it
	scan   *fileScan
	blocks []stepBlock
	begun  bool
	wanted bool // the merge waits for it: the budget does not hold it up
	err    error

	coder  stepCoder
	now    stepBlock
	damage int // how many of now's have been given out
}

func newPipeline(feeds []*feed, workers, budget int) *pipeline {
	p := &pipeline{budget: budget, feeds: feeds}
	p.change.L = &p.mu
	for _, f := range feeds {
		f.p = p
	}
	for range workers {
		p.wg.Go(p.work)
	}
	return p
}

func (p *pipeline) work() {
	for {
		p.mu.Lock()
		for p.next < len(p.feeds) && p.feeds[p.next].begun {
			p.next++
		}
		if p.next == len(p.feeds) || p.closed {
			p.mu.Unlock()
			return
		}
		f := p.feeds[p.next]
		f.begun = true
		p.mu.Unlock()
		f.run()
	}
}

func (f *feed) run() {
	p := f.p
	for {
		b, err := f.scan.block()
		p.mu.Lock()
		for p.held > p.budget && !f.wanted && !p.closed {
			p.change.Wait()
		}
		if p.closed {
			err = io.ErrClosedPipe
		}
		f.blocks = append(f.blocks, b)
		p.held += cap(b.b)
		f.err = err
		p.change.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// close ends the workers.
func (p *pipeline) close() {
	p.mu.Lock()
	p.closed = true
	p.change.Broadcast()
	p.mu.Unlock()
	p.wg.Wait()
}

// step returns the file's next step, io.EOF at its end.
func (f *feed) step() (step, error) {
	for len(f.now.b) == 0 {
		if err := f.fill(); err != nil {
			return step{}, err
		}
	}
	var s step
	s, f.now.b = f.coder.next(f.now.b)
	if s.what == stepDamage {
		s.damage = f.now.damage[f.damage]
		f.damage++
	}
	return s, nil
}

func (f *feed) fill() error {
	f.damage = 0
	if f.p == nil {
		if f.err != nil {
			return f.err
		}
		f.now, f.err = f.scan.block()
		if len(f.now.b) == 0 {
			return f.err
		}
		return nil
	}
	p := f.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if !f.begun {
		f.begun = true
		p.wg.Go(f.run)
	}
	for len(f.blocks) == 0 {
		if f.err != nil {
			return f.err
		}
		f.wanted = true
		p.change.Broadcast()
		p.change.Wait()
	}
	f.wanted = false
	f.now = f.blocks[0]
	f.blocks[0] = stepBlock{}
	f.blocks = f.blocks[1:]
	p.held -= cap(f.now.b)
	p.change.Broadcast()
	return nil
}

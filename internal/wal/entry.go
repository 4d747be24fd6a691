package wal

import "github.com/sluice-io/sluice/flume"

// An entry is one transaction on its way into a data file: its records, back to back, then its commit. It is made
// outside all locks; only IDs and places are filled in when its turn has come.
type entry struct {
	kind  kind // kindPut, kindTake; 0 is a barrier, which has no records
	buf   []byte
	recs  []int // where in buf each record begins
	tx    int64
	spans []span      // of a take: what goes
	first Pointer     // of it
	count int         // events
	batch flume.Batch // of a put: for the cache

	// What follows belongs to the lane and its lock.
	seq    int64
	woid   int64 // of its first record
	pieces []piece
	state  entryState
	err    error
	gone   bool          // nobody waits for it any more
	wake   chan struct{} // one token: look again
}

// An entryState only grows.
type entryState uint8

const (
	queued  entryState = iota
	stamped            // it has IDs and a place, and is being written
	written            // it would survive the process
	done               // the caller may know: it would survive the machine, or err says why not
)

// A piece is a run of an entry's records in one data file: all of them, unless a file can hold no more.
type piece struct {
	file     *dataFile
	at       int64 // offset of the first
	from, to int   // indexes into recs
}

// size is how many bytes the piece of e has.
func (p piece) size(e *entry) int64 {
	from, _ := e.bounds(p.from)
	_, to := e.bounds(p.to - 1)
	return int64(to - from)
}

// begin makes e ready for another transaction.
func (e *entry) begin(k kind) {
	*e = entry{kind: k, buf: e.buf[:0], recs: e.recs[:0], pieces: e.pieces[:0], wake: e.wake}
	if e.wake == nil {
		e.wake = make(chan struct{}, 1)
	}
	select {
	case <-e.wake:
	default:
	}
}

// puts returns the size of the largest record.
func (e *entry) puts(b flume.Batch) (largest int64) {
	e.begin(kindPut)
	for i := range b {
		at := len(e.buf)
		e.recs = append(e.recs, at)
		e.buf = appendPut(e.buf, &b[i])
		largest = max(largest, int64(len(e.buf)-at))
	}
	e.count, e.batch = len(b), b
	e.commit(kindPut)
	return largest
}

func (e *entry) takes(ps []Pointer, spans []span) {
	e.begin(kindTake)
	for _, p := range ps {
		e.recs = append(e.recs, len(e.buf))
		e.buf = appendTake(e.buf, p)
	}
	e.count, e.spans = len(ps), spans
	if len(ps) > 0 {
		e.first = ps[0]
	}
	e.commit(kindTake)
}

func (e *entry) commit(of kind) {
	e.recs = append(e.recs, len(e.buf))
	e.buf = appendCommit(e.buf, of)
}

// bounds are where record i of the entry begins and ends in buf.
func (e *entry) bounds(i int) (from, to int) {
	if i+1 < len(e.recs) {
		return e.recs[i], e.recs[i+1]
	}
	return e.recs[i], len(e.buf)
}

// each calls do with the pointer of every put.
func (e *entry) each(do func(Pointer)) {
	for _, p := range e.pieces {
		for i := p.from; i < min(p.to, e.count); i++ {
			do(pointer(p.file.id, p.at+int64(e.recs[i]-e.recs[p.from])))
		}
	}
}

// stamp gives every record its IDs.
func (e *entry) stamp(woid int64) {
	e.woid = woid
	for i, at := range e.recs {
		stamp(e.buf[at:], e.tx, woid+int64(i))
	}
}

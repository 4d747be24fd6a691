package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-io/sluice/flume"
)

// A Taken is a run of events that somebody has taken out of the log. They stay in it until Commit. One goroutine at a
// time uses it.
type Taken struct {
	log      *Log
	spans    []span
	pointers []Pointer // as many as the spans have
	places   []int     // of each event of the batch its index in pointers; nil: they are the same
	batch    flume.Batch
	settled  bool
}

// A DamagedError says that an event cannot be read back, in a log that is kept strictly.
type DamagedError struct{ Damage }

func (e *DamagedError) Error() string {
	return fmt.Sprintf("reading the record at %d of %s: %s", e.Offset, e.Path, e.Reason)
}

// Take takes the next events, at most so many and of no more bytes together, but one in any case. It does not wait: nil
// is that there is none. An event that cannot be read is set aside and is no longer among them.
func (l *Log) Take(events, bytes int) (*Taken, error) {
	for {
		t, err := l.takeOnce(events, bytes)
		if t == nil || err != nil || len(t.batch) > 0 {
			return t, err
		}
		if err := t.Commit(context.Background()); err != nil { // nothing but what is damaged or void
			return nil, err
		}
	}
}

func (l *Log) takeOnce(events, bytes int) (*Taken, error) {
	if l.closed.Load() {
		return nil, ErrClosed
	}
	t := &Taken{log: l}
	l.mu.Lock()
	n := min(events, l.queue.waiting())
	if n <= 0 {
		l.mu.Unlock()
		return nil, nil
	}
	t.spans = l.queue.take(n)
	cached := false
	if l.cache.limit > 0 {
		var missing int
		t.batch, missing = l.cache.take(t.spans, bytes)
		cached = len(t.batch) > 0
		n = max(len(t.batch), missing)
	}
	if !cached && n > chunkLen {
		t.pointers = make([]Pointer, 0, chunkLen)
	} else {
		t.pointers = make([]Pointer, 0, n)
	}
	// What has to be read is asked for as far as bytes may reach, and no farther.
	enough, far := 4*int64(bytes)+mostRead, int64(0)
	for _, s := range t.spans {
		for pos := s.from; pos < s.to && (cached || far < enough) && len(t.pointers) < n; pos++ {
			p := l.queue.at(pos)
			if k := len(t.pointers); k > 0 && p > t.pointers[k-1] {
				far += min(int64(p-t.pointers[k-1]), gap)
			}
			t.pointers = append(t.pointers, p)
		}
	}
	if cached && len(t.pointers) != len(t.batch) {
		panic("BUG: the events of a take are not those of its pointers")
	}
	t.shorten(len(t.pointers))
	l.mu.Unlock()
	if len(t.batch) > 0 {
		return t, nil
	}
	if err := t.read(bytes); err != nil {
		t.Return()
		return nil, err
	}
	return t, nil
}

// read fetches the events and gives back those that are beyond the limit.
func (t *Taken) read(bytes int) error {
	l := t.log
	ds := make([]*dataFile, len(t.pointers))
	l.filesMu.RLock()
	for i, p := range t.pointers {
		ds[i] = l.files[p.File()]
	}
	l.filesMu.RUnlock()
	arena := make([]byte, 0, t.estimate(bytes))
	arena, fs, err := l.reader.fetch(t.pointers, ds, bytes+bytes/4+leastRead, arena) // records are larger than their events
	if err != nil {
		return err
	}
	if len(fs) < len(t.pointers) {
		l.mu.Lock()
		t.shorten(len(fs))
		l.mu.Unlock()
	}
	var failed error
	var skip []int
	t.batch = decode(arena, fs, func(i int, why error) {
		skip = append(skip, i)
		if failed == nil && !errors.Is(why, errVoid) {
			failed = l.cannotRead(t.pointers[i], ds[i], why)
		}
	})
	if len(skip) > 0 {
		t.places = make([]int, 0, len(t.batch))
		for i := range fs {
			if !slices.Contains(skip, i) {
				t.places = append(t.places, i)
			}
		}
	}
	t.bound(bytes)
	return failed
}

// bound gives back what is beyond so many bytes of events, and after the first.
func (t *Taken) bound(bytes int) {
	for i := range t.batch {
		if bytes -= t.batch[i].Size(); bytes >= 0 || i == 0 {
			continue
		}
		at := i
		if t.places != nil {
			at, t.places = t.places[i], t.places[:i]
		}
		t.batch = t.batch[:i]
		t.log.mu.Lock()
		defer t.log.mu.Unlock()
		t.shorten(at)
		return
	}
}

// estimate is how large the arena for the events will be, give or take.
func (t *Taken) estimate(bytes int) int {
	n := int64(0)
	for i, p := range t.pointers[1:] {
		if d := int64(p - t.pointers[i]); d > 0 && d < gap {
			n += d
		} else {
			n += 1 << 10
		}
	}
	n += n/int64(len(t.pointers)) + 1<<10 // the last one
	return int(min(n, int64(bytes)+1<<16))
}

// shorten gives everything but the first n events back; the log's lock is held.
func (t *Taken) shorten(n int) {
	l := t.log
	left, back := int64(n), false
	for i := range t.spans {
		s := &t.spans[i]
		if k := s.to - s.from; k <= left {
			left -= k
			continue
		}
		l.queue.giveBack(span{s.from + left, s.to})
		s.to = s.from + left
		left, back = 0, true
	}
	if !back {
		return
	}
	t.spans = slices.DeleteFunc(t.spans, func(s span) bool { return s.from == s.to })
	t.pointers = t.pointers[:n]
	l.wakeTakers()
}

// cannotRead keeps what is left of an event that cannot be read.
func (l *Log) cannotRead(p Pointer, d *dataFile, why error) error {
	dam := Damage{Path: d.path, Offset: p.Offset(), Reason: why.Error()}
	if l.o.Strict {
		return &DamagedError{dam}
	}
	l.mu.Lock()
	known := l.damaged[p]
	l.damaged[p] = true
	l.mu.Unlock()
	if known || l.o.SetAside == nil {
		return nil
	}
	h, err := l.reads.acquire(d)
	if err != nil {
		return err
	}
	defer l.reads.release(h)
	if dam.Length, dam.Bytes, err = recordBytes(h, d, p.Offset(), d.written.Load()); err != nil {
		return fmt.Errorf("reading the damaged record at %d of %s: %w", p.Offset(), d.path, err)
	}
	if err := l.o.SetAside(dam); err != nil {
		return fmt.Errorf("setting aside the record at %d of %s: %w", p.Offset(), d.path, err)
	}
	return nil
}

// Batch is what was taken. It is empty once the transaction is over.
func (t *Taken) Batch() flume.Batch { return t.batch }

// Commit takes the events out of the log for good. It returns when the records that say so have been written: they
// survive the process. They survive the machine with the next sync, which the next put brings; if the machine dies
// before, the events come again, as they may at any time. With Options.SyncTakes it waits for a sync, as puts do.
//
// After an error the events are still taken, except when ctx has ended: then what becomes of them is up to the log,
// and Return does nothing.
func (t *Taken) Commit(ctx context.Context) error {
	if t.settled {
		panic("BUG: committing a transaction twice")
	}
	l := t.log
	e := l.entry()
	e.takes(t.pointers, t.spans)
	over, err := l.commit(ctx, e)
	if over {
		t.settled = true
		t.batch = nil
	}
	return err
}

// Return makes the events wait again, in their old place. After Commit it does nothing.
func (t *Taken) Return() {
	if t.settled {
		return
	}
	t.settled = true
	t.batch = nil
	l := t.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range t.spans {
		l.queue.giveBack(s)
	}
	l.wakeTakers()
}

// Split moves the events with the indexes keep, which are sorted, to a Taken of their own. The others stay.
func (t *Taken) Split(keep []int) *Taken {
	positions := make([]int64, 0, len(t.pointers))
	for _, s := range t.spans {
		for pos := s.from; pos < s.to; pos++ {
			positions = append(positions, pos)
		}
	}
	moves := make([]bool, len(t.pointers))
	for _, i := range keep {
		at := i
		if t.places != nil {
			at = t.places[i]
		}
		moves[at] = true
	}
	kept, rest := &Taken{log: t.log}, &Taken{log: t.log}
	for i, p := range t.pointers {
		to := rest
		if moves[i] {
			to = kept
		}
		to.pointers = append(to.pointers, p)
		if n := len(to.spans); n > 0 && to.spans[n-1].to == positions[i] {
			to.spans[n-1].to++
		} else {
			to.spans = append(to.spans, span{positions[i], positions[i] + 1})
		}
	}
	next := 0
	for i, e := range t.batch {
		if next < len(keep) && keep[next] == i {
			kept.batch = append(kept.batch, e)
			next++
		} else {
			rest.batch = append(rest.batch, e)
		}
	}
	if t.places != nil { // what is damaged stays
		index := 0
		for i := range t.pointers {
			if moves[i] {
				continue
			}
			if slices.Contains(t.places, i) {
				rest.places = append(rest.places, index)
			}
			index++
		}
	}
	*t = *rest
	return kept
}

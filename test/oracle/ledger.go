package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"sync"
)

// A Ledger is what is known of a load. Its methods may be called from several goroutines.
type Ledger struct {
	load Load

	mu      sync.Mutex
	lanes   []lane
	marks   []mark
	pending []unchecked // seen before its acknowledgement: its headers cannot be judged yet
	foreign int
	damaged int
	headers int      // events with wrong headers
	samples []string // the first few findings, in words
}

type lane struct {
	acked, seen bitset
	offsets     []int64 // in the input topic, by number; kept only where headers are checked
	last        int     // the highest number seen, -1 before
	duplicates  int
	disordered  int
	distinct    int
	keyless     int // seen with another key than the lane's
}

type mark struct {
	name string
	last []int // per lane: the highest number seen until then
}

type unchecked struct {
	lane, number int
	headers      map[string]string
}

// A Record is one event as it came out.
type Record struct {
	Key     []byte
	Headers map[string]string
	Body    []byte
}

// NewLedger begins the books of a load.
func NewLedger(load Load) *Ledger {
	l := &Ledger{load: load, lanes: make([]lane, load.Lanes)}
	for i := range l.lanes {
		l.lanes[i].last = -1
	}
	return l
}

// Load returns what the ledger is of.
func (l *Ledger) Load() Load { return l.load }

// Acked notes that the broker has the event at that offset.
func (l *Ledger) Acked(lane, number int, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := &l.lanes[lane]
	in.acked.set(number)
	if l.load.Headers != nil {
		for len(in.offsets) <= number {
			in.offsets = append(in.offsets, -1)
		}
		in.offsets[number] = offset
	}
}

// AckedAll notes that the first n events of every lane are at the input, for loads that something else sends.
func (l *Ledger) AckedAll(n int) {
	for lane := range l.lanes {
		for number := range n {
			l.Acked(lane, number, -1)
		}
	}
}

// Saw notes what came out. It keeps nothing of r but the headers.
func (l *Ledger) Saw(r Record) {
	lane, number, err := l.load.parse(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, errForeign):
		l.foreign++
		l.sample("foreign: %.80q", r.Body)
		return
	case err != nil:
		l.damaged++
		l.sample("damaged: lane %d, number %d: %.120q", lane, number, r.Body)
	}
	in := &l.lanes[lane]
	if !bytes.Equal(r.Key, l.load.Key(lane)) {
		in.keyless++
		l.sample("key of lane %d, number %d: %.80q", lane, number, r.Key)
	}
	if l.load.Headers != nil {
		l.check(unchecked{lane, number, r.Headers})
	}
	switch {
	case in.seen.has(number):
		in.duplicates++
		return
	case number < in.last:
		if in.disordered++; in.disordered == 1 {
			l.sample("out of order: lane %d, number %d after %d", lane, number, in.last)
		}
	}
	in.seen.set(number)
	in.distinct++
	in.last = max(in.last, number)
}

// check compares headers once the event's offset is known; l.mu is held.
func (l *Ledger) check(u unchecked) {
	in := &l.lanes[u.lane]
	if !in.acked.has(u.number) {
		l.pending = append(l.pending, u)
		return
	}
	want := l.load.Headers(Position{
		Lane: u.lane, Number: u.number, Offset: in.offsets[u.number],
		Time: l.load.Time(u.number), Key: string(l.load.Key(u.lane)),
	})
	if !maps.Equal(u.headers, want) {
		l.headers++
		l.sample("headers of lane %d, number %d: %v, not %v", u.lane, u.number, u.headers, want)
	}
}

// Mark notes a fault, such as a kill, after what it cut off has come out: an event that is lost by it has a higher
// number than all that its lane has seen. So each missing range can be laid at the door of one mark.
func (l *Ledger) Mark(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := mark{name: name, last: make([]int, len(l.lanes))}
	for i := range l.lanes {
		m.last[i] = l.lanes[i].last
	}
	l.marks = append(l.marks, m)
}

// Complete reports whether nothing acknowledged is missing.
func (l *Ledger) Complete() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.lanes {
		if l.lanes[i].acked.without(&l.lanes[i].seen) > 0 {
			return false
		}
	}
	return true
}

// Has reports whether the first n events of a lane have come out.
func (l *Ledger) Has(lane, n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		if !l.lanes[lane].seen.has(i) {
			return false
		}
	}
	return true
}

// Count returns how many events were acknowledged and how many different ones came out.
func (l *Ledger) Count() (acked, seen int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.lanes {
		acked += l.lanes[i].acked.n
		seen += l.lanes[i].distinct
	}
	return acked, seen
}

func (l *Ledger) sample(format string, args ...any) {
	if len(l.samples) < 8 {
		l.samples = append(l.samples, fmt.Sprintf(format, args...))
	}
}

// bitset is a growing set of small numbers.
type bitset struct {
	words []uint64
	n     int
}

func (b *bitset) has(i int) bool { return i/64 < len(b.words) && b.words[i/64]&(1<<(i%64)) != 0 }

func (b *bitset) set(i int) {
	for i/64 >= len(b.words) {
		b.words = append(b.words, 0)
	}
	if !b.has(i) {
		b.words[i/64] |= 1 << (i % 64)
		b.n++
	}
}

// without counts what is in b and not in other.
func (b *bitset) without(other *bitset) int {
	n := 0
	for i, w := range b.words {
		if i < len(other.words) {
			w &^= other.words[i]
		}
		n += bits.OnesCount64(w)
	}
	return n
}

package wal

import (
	"cmp"
	"slices"
)

// A queue holds the pointers of the events in the log, in order, those included that somebody has taken and not yet
// committed. Every event has a position, which only grows. It has no lock of its own.
//
//	   gone        taken, given back, gone         waiting
//	├─────────┼─────────────────────────────┼──────────────────┤
//	0        chunks begin                  next               end
//
// A chunk's pointers never change once they are appended, so a snapshot shares them.
type queue struct {
	chunks []*chunk // of positions first*chunkLen and up; nil: all gone
	first  int64
	next   int64 // everything before has been taken at least once
	end    int64
	size   int    // events that are not gone
	taken  []span // sorted, none touches the next
	back   []span // given back, to be taken before next; sorted
	counts map[uint32]int
	count  fileCount // what counts lacks of the file that was counted last
}

// A span is a run of positions.
type span struct{ from, to int64 }

const chunkLen = 4096

// A chunk holds chunkLen pointers: of one file in four bytes each, else in eight.
type chunk struct {
	left    int // not gone, among those appended
	file    uint32
	offsets []uint32
	mixed   []Pointer // in place of offsets
}

func (c *chunk) at(i int) Pointer {
	if c.mixed != nil {
		return c.mixed[i]
	}
	return pointer(c.file, int64(c.offsets[i]))
}

func (c *chunk) append(p Pointer) {
	if c.mixed == nil {
		if len(c.offsets) == 0 {
			c.file = p.File()
		}
		if c.file == p.File() {
			c.offsets = append(roomy(c.offsets), uint32(p.Offset()))
			return
		}
		c.mixed = make([]Pointer, len(c.offsets), cap(c.offsets))
		for i, o := range c.offsets {
			c.mixed[i] = pointer(c.file, int64(o))
		}
	}
	c.mixed = append(roomy(c.mixed), p)
}

// roomy returns s with room for one more, and in the end for as many as a chunk gets. What a snapshot has seen stays
// where it is.
func roomy[T any](s []T) []T {
	if len(s) < cap(s) {
		return s
	}
	return append(make([]T, 0, max(chunkLen/64, 4*len(s))), s...)
}

func newQueue() *queue { return &queue{counts: map[uint32]int{}} }

// append adds an event at the end.
func (q *queue) append(p Pointer) {
	i := int(q.end/chunkLen - q.first)
	if i == len(q.chunks) {
		q.chunks = append(q.chunks, &chunk{})
	}
	c := q.chunks[i]
	c.append(p)
	c.left++
	q.end++
	q.size++
	q.add(p.File(), 1)
}

// add counts n events more in a data file. Runs of one file are many: the map is touched once for each.
func (q *queue) add(file uint32, n int) {
	if q.count.file != file {
		q.settle()
		q.count.file = file
	}
	q.count.count += n
}

func (q *queue) settle() {
	if q.count.count != 0 {
		n := q.counts[q.count.file] + q.count.count
		if n == 0 {
			delete(q.counts, q.count.file)
		} else {
			q.counts[q.count.file] = n
		}
		q.count.count = 0
	}
}

func (q *queue) chunk(pos int64) *chunk { return q.chunks[pos/chunkLen-q.first] }

func (q *queue) at(pos int64) Pointer { return q.chunk(pos).at(int(pos % chunkLen)) }

// waiting is the number of events that can be taken.
func (q *queue) waiting() int {
	n := q.end - q.next
	for _, s := range q.back {
		n += s.to - s.from
	}
	return int(n)
}

// low is the lowest position that is not gone.
func (q *queue) low() int64 {
	low := q.next
	if len(q.taken) > 0 {
		low = min(low, q.taken[0].from)
	}
	if len(q.back) > 0 {
		low = min(low, q.back[0].from)
	}
	return low
}

// take takes at most n events, those that were given back first.
func (q *queue) take(n int) (out []span) {
	for n > 0 && len(q.back) > 0 {
		s := &q.back[0]
		k := min(int64(n), s.to-s.from)
		t := span{s.from, s.from + k}
		s.from += k
		if s.from == s.to {
			q.back = slices.Delete(q.back, 0, 1)
		}
		out = append(out, t)
		q.taken = insert(q.taken, t)
		n -= int(k)
	}
	if k := min(int64(n), q.end-q.next); k > 0 {
		t := span{q.next, q.next + k}
		q.next += k
		out = append(out, t)
		q.taken = insert(q.taken, t)
	}
	return out
}

// giveBack makes taken events wait again, at their old place in the order.
func (q *queue) giveBack(s span) {
	q.taken = without(q.taken, s)
	q.back = insert(q.back, s)
}

// done forgets taken events.
func (q *queue) done(s span) {
	q.taken = without(q.taken, s)
	q.size -= int(s.to - s.from)
	for s.from < s.to {
		to := min(s.to, s.from-s.from%chunkLen+chunkLen)
		c := q.chunk(s.from)
		if c.mixed == nil {
			q.add(c.file, -int(to-s.from))
		} else {
			for pos := s.from; pos < to; pos++ {
				q.add(c.at(int(pos%chunkLen)).File(), -1)
			}
		}
		c.left -= int(to - s.from)
		if i := s.from / chunkLen; c.left == 0 && (i+1)*chunkLen <= q.end {
			q.chunks[i-q.first] = nil
		}
		s.from = to
	}
	for len(q.chunks) > 0 && q.chunks[0] == nil {
		q.chunks = q.chunks[1:]
		q.first++
	}
}

// insert adds s to sorted spans, of which it overlaps none.
func insert(spans []span, s span) []span {
	i, _ := slices.BinarySearchFunc(spans, s.from, func(x span, from int64) int { return cmp.Compare(x.from, from) })
	before, after := i > 0 && spans[i-1].to == s.from, i < len(spans) && spans[i].from == s.to
	switch {
	case before && after:
		spans[i-1].to = spans[i].to
		return slices.Delete(spans, i, i+1)
	case before:
		spans[i-1].to = s.to
		return spans
	case after:
		spans[i].from = s.from
		return spans
	}
	return slices.Insert(spans, i, s)
}

// without takes s out of sorted spans, one of which it lies in.
func without(spans []span, s span) []span {
	i, found := slices.BinarySearchFunc(spans, s.from, func(x span, from int64) int { return cmp.Compare(x.from, from) })
	if !found {
		i--
	}
	if i < 0 || spans[i].from > s.from || spans[i].to < s.to {
		panic("BUG: settling events that were not taken")
	}
	switch x := spans[i]; {
	case x == s:
		return slices.Delete(spans, i, i+1)
	case x.from == s.from:
		spans[i].from = s.to
		return spans
	case x.to == s.to:
		spans[i].to = s.from
		return spans
	default:
		spans[i].to = s.from
		return slices.Insert(spans, i+1, span{s.to, x.to})
	}
}

// A snapshot is the queue at one moment. It stays as it is while the queue goes on.
type snapshot struct {
	early  []span // what was taken or given back
	next   int64
	end    int64
	first  int64
	chunks []chunk
	more   []Pointer // events that follow
	size   int
	counts map[uint32]int
}

func (q *queue) snapshot() *snapshot {
	q.settle()
	s := &snapshot{next: q.next, end: q.end, first: q.first, size: q.size, counts: make(map[uint32]int, len(q.counts))}
	for f, n := range q.counts {
		s.counts[f] = n
	}
	s.early = slices.Clone(q.taken)
	for _, b := range q.back {
		s.early = insert(s.early, b)
	}
	s.chunks = make([]chunk, len(q.chunks))
	for i, c := range q.chunks {
		if c != nil {
			s.chunks[i] = *c
		}
	}
	return s
}

// add appends an event that is not in the queue yet.
func (s *snapshot) add(p Pointer) {
	s.more = append(s.more, p)
	s.size++
	s.counts[p.File()]++
}

// drop takes taken events out.
func (s *snapshot) drop(gone span) {
	s.early = without(s.early, gone)
	s.size -= int(gone.to - gone.from)
	for pos := gone.from; pos < gone.to; pos++ {
		c := &s.chunks[pos/chunkLen-s.first]
		id := c.at(int(pos % chunkLen)).File()
		if s.counts[id]--; s.counts[id] == 0 {
			delete(s.counts, id)
		}
	}
}

// low is the position of the first event, once those that were taken or given back have moved up to next.
func (s *snapshot) low() int64 {
	low := s.next
	for _, e := range s.early {
		low -= e.to - e.from
	}
	return low
}

// each calls do with all events in order but those in skip, in runs of at most chunkLen and with the position that the
// first of a run would have if the events before next stood right before it, until do fails.
func (s *snapshot) each(skip span, do func(at int64, ps []Pointer) error) error {
	buf := make([]Pointer, 0, min(chunkLen, s.size))
	runs := func(at int64, e span) error {
		for from := e.from; from < e.to; {
			to := min(e.to, from-from%chunkLen+chunkLen)
			c := &s.chunks[from/chunkLen-s.first]
			buf = buf[:0]
			for pos := from; pos < to; pos++ {
				buf = append(buf, c.at(int(pos%chunkLen)))
			}
			if err := do(at, buf); err != nil {
				return err
			}
			at += to - from
			from = to
		}
		return nil
	}
	at := s.low()
	for _, e := range s.early {
		if err := runs(at, e); err != nil {
			return err
		}
		at += e.to - e.from
	}
	from := s.next
	if skip.from <= from {
		from = min(max(from, skip.to), s.end)
	}
	if err := runs(from, span{from, s.end}); err != nil {
		return err
	}
	at = s.end
	for m := range slices.Chunk(s.more, chunkLen) {
		if err := do(at, m); err != nil {
			return err
		}
		at += int64(len(m))
	}
	return nil
}

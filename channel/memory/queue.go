package memory

import (
	"fmt"
	"math"
	"slices"

	"github.com/sluice-io/sluice/flume"
)

// room is what events take up, or how much of it there is.
type room struct {
	events int
	slots  int64 // of so many bytes of one body, at least one an event
	bytes  int64 // of bodies and headers
}

// A limit is how much room there is.
type limit struct {
	room
	slot     int    // the unit in which Flume counts bodies, in bytes
	capacity string // the setting that bounds the events
}

func measure(b flume.Batch, slot int) room {
	r := room{events: len(b)}
	for i := range b {
		r.bytes += int64(b[i].Size())
		r.slots += int64((max(1, len(b[i].Body)) + slot - 1) / slot)
	}
	return r
}

func (r room) plus(o room) room {
	return room{r.events + o.events, r.slots + o.slots, r.bytes + o.bytes}
}

func (r room) minus(o room) room {
	return room{r.events - o.events, r.slots - o.slots, r.bytes - o.bytes}
}

func (r room) within(limit room) bool {
	return r.events <= limit.events && r.bytes <= limit.bytes && r.slots <= limit.slots
}

// of says which bound r is beyond, and the setting that it comes from.
func (l limit) of(r room) string {
	switch {
	case r.events > l.events:
		return fmt.Sprintf("%d events (%s)", l.events, l.capacity)
	case r.bytes > l.bytes:
		return fmt.Sprintf("%d bytes (byteCapacity)", l.bytes)
	default:
		return fmt.Sprintf("%d bytes of bodies in slots of %d (byteCapacity less byteCapacityBufferPercentage)", l.slots*int64(l.slot), l.slot)
	}
}

func (r room) String() string { return fmt.Sprintf("%d events of %d bytes", r.events, r.bytes) }

// A segment is what is left of one batch.
type segment struct {
	batch flume.Batch
	room  room
	next  *segment
}

// A queue is a list of segments, none of them empty.
type queue struct {
	head, tail *segment
	held       room
	slot       int
}

func (q *queue) append(s *segment) {
	if len(s.batch) == 0 {
		return
	}
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.next = s
	}
	q.tail = s
	q.held = q.held.plus(s.room)
}

func (q *queue) prepend(s *segment) {
	if len(s.batch) == 0 {
		return
	}
	s.next, q.head = q.head, s
	if q.tail == nil {
		q.tail = s
	}
	q.held = q.held.plus(s.room)
}

// reaches reports whether so many events are there or, where bytes is not 0, so many bytes.
func (q *queue) reaches(events, bytes int) bool {
	return q.held.events >= events || bytes > 0 && q.held.bytes >= int64(bytes)
}

// cut takes up to so many events and (where not 0) bytes off the head, one event at least, and returns them as a list
// of segments. The part of a segment, where it needs one, is put into the caller's.
func (q *queue) cut(events, bytes int, part *segment) *segment {
	var first *segment
	var taken room
	end := &first
	budget := int64(math.MaxInt64)
	if bytes > 0 {
		budget = int64(bytes)
	}
	for s := q.head; s != nil && taken.events < events; s = q.head {
		n := s.fit(events-taken.events, budget-taken.bytes)
		if n == 0 && taken.events == 0 {
			n = 1
		}
		if n == 0 {
			break
		}
		if n < len(s.batch) {
			s.split(n, part, q.slot)
			s = part
		} else {
			q.head = s.next
		}
		s.next = nil
		*end, end = s, &s.next
		taken = taken.plus(s.room)
	}
	if q.head == nil {
		q.tail = nil
	}
	q.held = q.held.minus(taken)
	return first
}

// fit is the number of events at the head of s that are within the bounds.
func (s *segment) fit(events int, bytes int64) int {
	most := min(events, len(s.batch))
	if s.room.bytes <= bytes {
		return most
	}
	for n := range most {
		if bytes -= int64(s.batch[n].Size()); bytes < 0 {
			return n
		}
	}
	return most
}

// split moves the first n events of s to part.
func (s *segment) split(n int, part *segment, slot int) {
	part.batch = s.batch[:n:n]
	part.room = measure(part.batch, slot)
	s.batch = s.batch[n:]
	s.room = s.room.minus(part.room)
}

func without[T comparable](list []T, x T) []T {
	if i := slices.Index(list, x); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

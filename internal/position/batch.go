package position

import (
	"errors"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/flume"
)

// A Place is the position of one event of a batch.
type Place struct {
	Position
	Known bool // false: the event bears no position, or none that can be read
}

// Cut takes the positions off a batch, which is read-only: the batch returned has its events without the header, in
// their order. What has no position was put into the channel before the sink asked, or by another program: it cannot be
// known again, and is delivered.
func Cut(b flume.Batch) (flume.Batch, []Place) {
	places := make([]Place, len(b))
	var prefix string // of the event before, whose partition is last
	var last Partition
	for i := range b {
		text, ok := b[i].Headers.Get(flume.PositionHeader)
		if !ok {
			continue
		}
		if at := strings.LastIndexByte(text, '/') + 1; at > 0 && text[:at] == prefix {
			if n, ok := number(text[at:], maxOffset); ok {
				places[i] = Place{Position{last, n}, true}
			}
			continue
		}
		p, err := Parse(text)
		if err != nil {
			continue
		}
		places[i] = Place{p, true}
		prefix, last = text[:strings.LastIndexByte(text, '/')+1], p.Partition
	}
	return Hide(b), places
}

// Hide returns a batch without the header; b itself where no event has it. B is not changed.
func Hide(b flume.Batch) flume.Batch {
	first := slices.IndexFunc(b, has)
	if first < 0 {
		return b
	}
	out := slices.Clone(b)
	moved := 0 // headers of events whose position does not stand last
	for i := first; i < len(b); i++ {
		h := b[i].Headers
		if at := find(h); at >= 0 && at < len(h)-1 {
			moved += len(h) - 1
		}
	}
	all := make(flume.Headers, 0, moved)
	for i := first; i < len(b); i++ {
		h := b[i].Headers
		at := find(h)
		switch {
		case at < 0:
		case at == len(h)-1:
			out[i].Headers = h[:at:at]
		default:
			from := len(all)
			all = append(append(all, h[:at]...), h[at+1:]...)
			out[i].Headers = all[from:len(all):len(all)]
		}
	}
	return out
}

// Last moves the position of each event, which the caller owns, behind all its other headers, so that Hide has nothing
// to copy but the events themselves.
func Last(b flume.Batch) {
	for i := range b {
		h := b[i].Headers
		if at := find(h); at >= 0 && at < len(h)-1 {
			p := h[at]
			copy(h[at:], h[at+1:])
			h[len(h)-1] = p
		}
	}
}

func has(e flume.Event) bool { return find(e.Headers) >= 0 }

func find(h flume.Headers) int {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].Key == flume.PositionHeader {
			return i
		}
	}
	return -1
}

// Texts are the positions of a batch as they stand, "" where an event has none.
func Texts(b flume.Batch) []string {
	out := make([]string, len(b))
	for i := range b {
		out[i], _ = b[i].Headers.Get(flume.PositionHeader)
	}
	return out
}

// Restore sees to it that what comes out of an interceptor bears the positions that went in, which are Texts of that
// batch: an interceptor may drop events and change their order, and may know nothing of the header. Where it took
// headers away, or wrote over them, they are given back if the events are as many as before and none has moved.
// The error: it cannot be said which event is which.
func Restore(before []string, b flume.Batch) error {
	if inOrder(before, b) {
		return nil
	}
	index := make(map[string]int, len(before))
	nameless := 0
	for i, text := range before {
		if text == "" {
			nameless++
			continue
		}
		index[text] = i
	}
	lost, moved := 0, 0
	for i := range b {
		text, ok := b[i].Headers.Get(flume.PositionHeader)
		at, known := index[text]
		switch {
		case !ok:
			nameless--
		case !known:
			lost++
		case at < 0:
			return errors.New("two events came out with the header " + flume.PositionHeader + " of one; a sink behind writes events exactly once, and for that an interceptor may not make events")
		default:
			index[text] = -1
			if at != i {
				moved++
			}
		}
	}
	if lost == 0 && nameless >= 0 {
		return nil
	}
	if len(b) != len(before) || moved > 0 {
		return errors.New("events came out without the header " + flume.PositionHeader + " that they had, and which they are cannot be said; a sink behind writes events exactly once, and for that the interceptor must keep the header")
	}
	for i, text := range before {
		if text == "" {
			b[i].Headers.Delete(flume.PositionHeader)
		} else {
			b[i].Headers.Set(flume.PositionHeader, text)
		}
	}
	return nil
}

// inOrder reports whether every event has a position, and they are some of those before in their order.
func inOrder(before []string, b flume.Batch) bool {
	at := 0
	for i := range b {
		text, ok := b[i].Headers.Get(flume.PositionHeader)
		if !ok {
			return false
		}
		for at < len(before) && before[at] != text {
			at++
		}
		if at == len(before) {
			return false
		}
		at++
	}
	return true
}

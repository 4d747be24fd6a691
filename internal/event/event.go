// Package event is the AvroFlumeEvent: the bytes of one event inside Avro RPC calls and, where a file asks for
// Flume's event format, inside Kafka records.
//
// It is a bare Avro datum: no magic number, no schema, no length in front of it.
//
//	headers   map of string      blocks, then 00
//	            block            long n > 0, then n × (key string, value string)
//	                             or long -n, long size in bytes (ignored), then the same
//	body      bytes              long length, then as many bytes
//	string    bytes              the same; UTF-8 by agreement, passed on unchanged
//	long      zig-zag, then base-128 varint, low group first, at most 10 bytes
//
// A batch is an Avro array of such records: blocks as in a map, then 00.
//
// Decoding goes over the bytes twice. The first pass ([Tally]) checks every count and length against what is there
// and adds up what the batch needs; the second ([Cutter]) cuts. So a batch costs four allocations whatever its size,
// and nothing is allocated for a length that the input only claims. Header strings share one copy of the batch's
// header text; bodies are cut from the input, which belongs to the events from then on and must never change.
// Bodies that are less than half of the frame they stand in are copied out of it.
//
// Every length is checked; a datum that is cut short, or claims more than there is, is an error that says where.
// What stands after a datum is the caller's business, except in a Kafka value (see [Tally.Value]).
package event

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/sluice-io/sluice/flume"
)

const (
	leastEvent  = 2 // bytes of an event without headers and body
	leastHeader = 2 // bytes of a header with empty key and value
)

// A Tally checks encoded events and adds up what they need. Its zero value is ready. When all are counted, Cutter
// makes the events in one go.
type Tally struct {
	Events  int
	Headers int // duplicates counted
	Text    int // bytes of header keys and values
	Bodies  int // bytes of bodies
	Spare   int // for the caller to set: how many headers it is going to append to each event
}

// Memory is the number of bytes that the events take beside the input, if bodies stay where they are.
func (t *Tally) Memory() int {
	const event, header = 48, 32 // a slice of headers and a slice of bytes; two strings
	return t.Events*(event+t.Spare*header) + t.Headers*header + t.Text
}

// Event counts the event at the start of p and returns the number of its bytes. Nothing is counted with an error.
func (t *Tally) Event(p []byte) (int, error) {
	n := *t
	at, err := n.event(p, 0)
	if err == nil {
		*t = n
	}
	return at, err
}

// Array counts the array of events at the start of p and returns the number of its bytes. Nothing is counted with an
// error.
func (t *Tally) Array(p []byte) (int, error) {
	n := *t
	at, err := n.array(p)
	if err == nil {
		*t = n
	}
	return at, err
}

func (t *Tally) array(p []byte) (int, error) {
	at := 0
	for {
		n, next, err := count(p, at, leastEvent, "events")
		if err != nil || n == 0 {
			return next, err
		}
		at = next
		for ; n > 0; n-- {
			if at, err = t.event(p, at); err != nil {
				return 0, err
			}
		}
	}
}

func (t *Tally) event(p []byte, at int) (int, error) {
	for {
		n, next, err := count(p, at, leastHeader, "headers")
		if err != nil {
			return 0, err
		}
		at = next
		if n == 0 {
			break
		}
		t.Headers += n
		for ; n > 0; n-- {
			key, end, err := length(p, at, "a header's name")
			if err != nil {
				return 0, err
			}
			value, end, err := length(p, end, "a header's value")
			if err != nil {
				return 0, err
			}
			at = end
			t.Text += key + value
		}
	}
	n, at, err := length(p, at, "the body")
	if err != nil {
		return 0, err
	}
	t.Events++
	t.Bodies += n
	return at, nil
}

// count reads the head of a block: the number of its items, each of which takes least bytes or more.
func count(p []byte, at, least int, what string) (n, next int, err error) {
	v, next := long(p, at)
	if next == 0 {
		return 0, 0, broken(p, at, "the number of "+what)
	}
	if v < 0 {
		v = -v
		if _, next = long(p, next); next == 0 {
			return 0, 0, broken(p, at, "the size of the "+what)
		}
	}
	if v < 0 || v > int64((len(p)-next)/least) {
		return 0, 0, fmt.Errorf("reading an AvroFlumeEvent at byte %d: a count of %d %s, where %d bytes are left", at, uint64(v), what, len(p)-next)
	}
	return int(v), next, nil
}

// length reads the length of what stands at at and returns it with the end of the bytes.
func length(p []byte, at int, what string) (n, end int, err error) {
	v, next := long(p, at)
	if next == 0 {
		return 0, 0, broken(p, at, "the length of "+what)
	}
	if v < 0 || v > int64(len(p)-next) {
		return 0, 0, fmt.Errorf("reading an AvroFlumeEvent at byte %d: %s has a length of %d, where %d bytes are left", at, what, v, len(p)-next)
	}
	return int(v), next + int(v), nil
}

func broken(p []byte, at int, what string) error {
	if len(p)-at < binary.MaxVarintLen64 {
		return fmt.Errorf("reading an AvroFlumeEvent at byte %d: it ends before %s", at, what)
	}
	return fmt.Errorf("reading an AvroFlumeEvent at byte %d: %s is not a number", at, what)
}

// long decodes the number at at; next is 0 where there is none.
func long(p []byte, at int) (v int64, next int) {
	if at < len(p) && p[at] < 0x80 { // nearly all of them
		u := p[at]
		return int64(u>>1) ^ -int64(u&1), at + 1
	}
	u, n := binary.Uvarint(p[at:])
	if n <= 0 {
		return 0, 0
	}
	return int64(u>>1) ^ -int64(u&1), at + n
}

// A Cutter makes the events that a Tally has counted, in the same order or in another.
type Cutter struct {
	headers flume.Headers
	text    strings.Builder
	bodies  []byte // where copied bodies go; nil: they stay in the input
	spare   int
	from    int // where the headers of the event that is being made begin
}

// Cutter makes room for all that was counted. Where copied is set, bodies are copied out of the input.
func (t *Tally) Cutter(copied bool) *Cutter {
	c := &Cutter{headers: make(flume.Headers, 0, t.Headers+t.Events*t.Spare), spare: t.Spare}
	c.text.Grow(t.Text)
	if copied {
		c.bodies = make([]byte, 0, t.Bodies)
	}
	return c
}

// Event cuts the event at the start of p, which the Tally has seen, and returns the number of its bytes. Its headers
// have room for Tally.Spare more, which the caller may append; otherwise cap == len.
func (c *Cutter) Event(p []byte) (flume.Event, int) {
	var e flume.Event
	at := c.event(&e, p, 0)
	return e, at
}

func (c *Cutter) event(e *flume.Event, p []byte, at int) int {
	for {
		n, next := long(p, at)
		at = next
		if n == 0 {
			break
		}
		if n < 0 {
			n = -n
			_, at = long(p, at)
		}
		for ; n > 0; n-- {
			var h flume.Header
			h.Key, at = c.string(p, at)
			h.Value, at = c.string(p, at)
			c.headers = append(c.headers, h)
		}
	}
	n, at := long(p, at)
	end := at + int(n)
	c.make(e, p[at:end:end])
	return end
}

// Header adds a header to the event that is being made. Decoders of other formats count what they find in the fields of a
// Tally, and then make the events of its Cutter by hand: the headers of each, and Make.
func (c *Cutter) Header(key, value []byte) {
	var h flume.Header
	h.Key = c.cut(key)
	h.Value = c.cut(value)
	c.headers = append(c.headers, h)
}

// Drop forgets the headers of the event that is being made.
func (c *Cutter) Drop() { c.headers = c.headers[:c.from] }

// Make completes an event.
func (c *Cutter) Make(body []byte) flume.Event {
	var e flume.Event
	c.make(&e, body[:len(body):len(body)])
	return e
}

func (c *Cutter) make(e *flume.Event, body []byte) {
	from, to := c.from, len(c.headers)
	c.headers = c.headers[:to+c.spare]
	c.from = to + c.spare
	if c.from > from {
		e.Headers = c.headers[from:to:c.from].Unique()
	}
	switch {
	case len(body) == 0:
		e.Body = []byte{} // pins nothing
	case c.bodies != nil:
		start := len(c.bodies)
		c.bodies = append(c.bodies, body...)
		e.Body = c.bodies[start:len(c.bodies):len(c.bodies)]
	default:
		e.Body = body
	}
}

// string appends to the text of the batch and cuts from it: what a Builder returned is never written again.
func (c *Cutter) string(p []byte, at int) (string, int) {
	n, at := long(p, at)
	end := at + int(n)
	return c.cut(p[at:end]), end
}

func (c *Cutter) cut(b []byte) string {
	start := c.text.Len()
	c.text.Write(b)
	return c.text.String()[start:]
}

// Cut makes the events of the array at the start of frame, the only one that was counted. The events own frame from
// then on; cap(frame) is taken for the memory that bodies cut from it would hold.
func (t *Tally) Cut(frame []byte) flume.Batch {
	c := t.Cutter(t.Bodies < cap(frame)/2)
	b := make(flume.Batch, t.Events)
	left, at := int64(0), 0
	for i := range b {
		for left == 0 {
			if left, at = long(frame, at); left < 0 {
				left = -left
				_, at = long(frame, at)
			}
		}
		at = c.event(&b[i], frame, at)
		left--
	}
	return b
}

// Len is the number of bytes that Append writes.
func Len(e *flume.Event) int {
	n := 1
	if len(e.Headers) > 0 {
		n += longLen(len(e.Headers))
	}
	for i := range e.Headers {
		h := &e.Headers[i]
		n += longLen(len(h.Key)) + len(h.Key) + longLen(len(h.Value)) + len(h.Value)
	}
	return n + longLen(len(e.Body)) + len(e.Body)
}

// Append writes e as Flume does: one block of headers, if there are any.
func Append(dst []byte, e *flume.Event) []byte {
	if len(e.Headers) > 0 {
		dst = appendLong(dst, len(e.Headers))
		for i := range e.Headers {
			h := &e.Headers[i]
			dst = append(appendLong(dst, len(h.Key)), h.Key...)
			dst = append(appendLong(dst, len(h.Value)), h.Value...)
		}
	}
	dst = append(dst, 0)
	return append(appendLong(dst, len(e.Body)), e.Body...)
}

// ArrayLen is the number of bytes that AppendArray writes.
func ArrayLen(b flume.Batch) int {
	n := 1
	if len(b) > 0 {
		n += longLen(len(b))
	}
	for i := range b {
		n += Len(&b[i])
	}
	return n
}

// AppendArray writes b as an array of one block.
func AppendArray(dst []byte, b flume.Batch) []byte {
	if len(b) > 0 {
		dst = appendLong(dst, len(b))
	}
	for i := range b {
		dst = Append(dst, &b[i])
	}
	return append(dst, 0)
}

func appendLong(dst []byte, n int) []byte {
	if n < 64 {
		return append(dst, byte(n<<1))
	}
	return binary.AppendUvarint(dst, uint64(n)<<1)
}

func longLen(n int) int {
	if n < 64 {
		return 1
	}
	return (bits.Len64(uint64(n)<<1) + 6) / 7
}

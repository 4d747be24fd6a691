// Package eventjson reads the JSON in which HTTP clients send events.
//
//	[{"headers": {"host": "web1", "n": 7}, "body": "text"}, {"body": "no headers"}]     Decode
//	{"headers": {"host": "web1"}, "body": "text"}                                      Lines: an event in each line
//	any text                                                                           Bodies: a body in each line
//
// It takes what Flume's JSONHandler takes, which reads with gson 2.9.1 in its lenient mode:
//
//	names and strings in "double", 'single' or no quotes; in none up to one of / \ ; # = { } [ ] : , blank, tab, newline, form feed
//	; for ,   = and => for :   and, but behind the last ], comments: /* */, // and # to the end of the line
//	escapes \" \' \\ \/ \b \f \n \r \t \u0041 and a backslash before a newline; raw newlines
//	true, false and null in any case; numbers and truth values as text, as they are written (1.50), true and false in small letters
//	headers also as a list of pairs: [["host", "web1"]]
//	a byte order mark, and )]}' with a newline, in front of it all
//
// A missing or null body is empty, missing or null headers are none, unknown fields are skipped (but a line that has neither
// body nor headers is refused, for it is somebody's own JSON), of a field that comes
// twice the last counts, and a header that comes twice is refused. A header whose value is null is left out: Flume makes a
// header of it that no sink of Flume's can send. Half of a surrogate pair, which is no character, becomes a question mark, as
// where Java writes such text.
//
// What Flume's handler fails on in another way than over the syntax wraps [ErrNoEvents]: nothing at all, null for the list
// or for an event (which is what a comma before the ] makes), \u without four hexadecimal digits.
//
// One pass goes over the input, unescapes in place and notes where each text stands; then the events are cut as package
// event does it: a handful of allocations for a document of any size. All memory that it takes is asked for before.
// Nesting, which only unknown fields can have, ends at 1000.
package eventjson

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/event"
)

// ErrNoEvents is wrapped where the syntax is right and there are no events in it.
var ErrNoEvents = errors.New("there are no events")

// Most is the most bytes of a document.
const Most = 1 << 30

const byteOrderMark = "\ufeff"

// Room is asked before memory is taken for what is made of a document. An error ends the reading.
type Room func(bytes int) error

// Decode reads a document in valid UTF-8, which belongs to the events from then on. The bodies are given in that charset.
// Foreign is called where objects have fields but neither body nor headers, as Flume makes empty events of them: with how
// many they are, and a field of the first. It may be nil.
func Decode(p []byte, bodies charset.Charset, room Room, foreign func(objects int, field string)) (flume.Batch, error) {
	d := decoder{p: p, charset: bodies, room: room}
	if err := d.document(); err != nil {
		return nil, err
	}
	b, err := d.cut()
	if err == nil && d.foreign > 0 && foreign != nil {
		foreign(d.foreign, d.stranger)
	}
	return b, err
}

// ErrNotEvent is wrapped where a line has neither body nor headers.
var ErrNotEvent = errors.New(`the object has neither "body" nor "headers"`)

// Lines reads a document of lines, each an event's object; blank ones do not count.
func Lines(p []byte, bodies charset.Charset, room Room) (flume.Batch, error) {
	d := decoder{charset: bodies, room: room}
	whole := bytes.TrimPrefix(p, []byte(byteOrderMark))
	for number, at := 1, 0; at < len(whole); number++ {
		end := lineEnd(whole, at)
		if len(bytes.TrimSpace(whole[at:end])) > 0 {
			d.p, d.at, d.line, d.begin = whole[:end], at, number, at
			if err := d.single(); err != nil {
				return nil, err
			}
		}
		at = end + 1
	}
	d.p = whole
	return d.cut()
}

// Bodies makes an event of each line but empty ones. The lines are bytes of any kind.
func Bodies(p []byte, room Room) (flume.Batch, error) {
	d := decoder{p: p, room: room}
	for at := 0; at < len(p); {
		end := lineEnd(p, at)
		text := bytes.TrimSuffix(p[at:end], []byte("\r"))
		if len(text) > 0 {
			d.body = span{uint32(at), uint32(at + len(text))}
			if err := d.made(); err != nil {
				return nil, err
			}
		}
		at = end + 1
	}
	return d.cut()
}

func lineEnd(p []byte, at int) int {
	if n := bytes.IndexByte(p[at:], '\n'); n >= 0 {
		return at + n
	}
	return len(p)
}

// A span is a part of the input.
type span struct{ from, to uint32 }

// null is the span of a null.
const null = ^uint32(0)

// A field is a header.
type field struct{ key, value span }

// A mark is an event: its headers are those of the fields from the mark before it on.
type mark struct {
	body   span
	fields uint32 // how many fields there are up to here
}

// A decoder goes over p.
type decoder struct {
	p       []byte
	at      int
	line    int // of newline-delimited input; else 0
	begin   int // of the line
	charset charset.Charset
	room    Room

	fields []field
	marks  []mark
	from   int  // the first field of the event that is being read
	body   span // its body
	nulls  bool // an event was null

	foreign  int    // events with unknown fields only
	stranger string // a field of the first of them
}

// sizes of a field and of a mark in bytes.
const (
	fieldSize = 16
	markSize  = 12
)

// made completes an event.
func (d *decoder) made() error {
	if len(d.marks) == cap(d.marks) {
		n := max(64, 2*cap(d.marks))
		if err := d.room(n * markSize); err != nil {
			return err
		}
		d.marks = append(make([]mark, 0, n), d.marks...)
	}
	d.marks = append(d.marks, mark{d.body, uint32(len(d.fields))})
	d.from, d.body = len(d.fields), span{}
	return nil
}

// few is how many headers are compared with each other one by one.
const few = 32

// field adds a header. Of two of one name Java's map refuses the second, unless the first is null.
func (d *decoder) field(f field) error {
	if fields := d.fields[d.from:]; len(fields) < few {
		for i := range fields {
			if fields[i].value.to != null && bytes.Equal(d.text(fields[i].key), d.text(f.key)) {
				return d.twice(f.key)
			}
		}
	}
	if len(d.fields) == cap(d.fields) {
		n := max(64, 2*cap(d.fields))
		if err := d.room(n * fieldSize); err != nil {
			return err
		}
		d.fields = append(make([]field, 0, n), d.fields...)
	}
	d.fields = append(d.fields, f)
	return nil
}

func (d *decoder) text(s span) []byte { return d.p[s.from:s.to] }

// unique does what field does for headers that are more than a few.
func (d *decoder) unique() error {
	fields := d.fields[d.from:]
	if len(fields) <= few {
		return nil
	}
	if err := d.room(4 * len(fields)); err != nil {
		return err
	}
	order := make([]uint32, len(fields)) // sorted by name, of the same name as they came
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		if c := bytes.Compare(d.text(fields[a].key), d.text(fields[b].key)); c != 0 {
			return c
		}
		return int(a) - int(b)
	})
	for n := 1; n < len(order); n++ {
		a, b := fields[order[n-1]], fields[order[n]]
		if a.value.to != null && bytes.Equal(d.text(a.key), d.text(b.key)) {
			return d.twice(a.key)
		}
	}
	return nil
}

func (d *decoder) twice(key span) error {
	name := d.text(key)
	return d.fail("the header %q comes twice", name[:min(len(name), 100)])
}

// cut makes the events.
func (d *decoder) cut() (flume.Batch, error) {
	t := event.Tally{Events: len(d.marks)}
	for _, f := range d.fields {
		if f.value.to == null {
			continue
		}
		t.Headers++
		t.Text += int(f.key.to-f.key.from) + int(f.value.to-f.value.from)
	}
	wide := 0 // bytes of a body at most for each of its bytes
	switch d.charset {
	case charset.UTF16:
		wide = 2
	case charset.UTF32:
		wide = 4
	default:
	}
	for _, m := range d.marks {
		n := int(m.body.to - m.body.from)
		t.Bodies += n
	}
	copied := wide == 0 && t.Bodies < cap(d.p)/2
	need := t.Memory()
	switch {
	case copied:
		need += t.Bodies
	case wide > 0:
		need += wide*t.Bodies + 2*t.Events
	}
	if err := d.room(need); err != nil {
		return nil, fmt.Errorf("making %d events with %d headers: %w", t.Events, t.Headers, err)
	}
	c := t.Cutter(copied)
	b := make(flume.Batch, 0, t.Events)
	from := 0
	for _, m := range d.marks {
		for _, f := range d.fields[from:m.fields] {
			if f.value.to != null {
				c.Header(d.text(f.key), d.text(f.value))
			}
		}
		from = int(m.fields)
		b = append(b, c.Make(d.charset.Encode(d.text(m.body))))
	}
	return b, nil
}

// A SyntaxError says what is wrong with a document, and where.
type SyntaxError struct {
	Line int // of newline-delimited input; else 0
	Byte int // of the line or of the document, from 1 on, behind a byte order mark
	What string
	Err  error // nil: of no kind that a caller asks for
}

// Unwrap is for errors.Is.
func (e *SyntaxError) Unwrap() error { return e.Err }

func (e *SyntaxError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d byte %d: %s", e.Line, e.Byte, e.What)
	}
	return fmt.Sprintf("byte %d: %s", e.Byte, e.What)
}

// fail makes the error of the byte that was read last.
func (d *decoder) fail(format string, args ...any) error {
	return &SyntaxError{Line: d.line, Byte: max(1, d.at-d.begin), What: fmt.Sprintf(format, args...)}
}

// wide reports whether bodies are given in another charset than the input's.
func (d *decoder) wide() bool { return d.charset != charset.UTF8 }

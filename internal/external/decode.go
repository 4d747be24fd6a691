package external

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
)

// A field is one of those that a line may have.
type field uint16

const (
	fieldID field = 1 << iota
	fieldEvents
	fieldOK
	fieldError
	fieldRejected
	fieldPending
	fieldHeaders
	fieldBody
	fieldBase64
)

// names are in the order of the constants.
var names = []string{"id", "events", "ok", "error", "rejected", "pending", "headers", "body", "base64"}

// inEvent are the fields of an event.
const inEvent = fieldHeaders | fieldBody | fieldBase64

// A message is one line of a program.
type message struct {
	has      field  // the fields that it has
	id       []byte // as it stands there; cut from the line
	ok       bool
	reason   string
	events   flume.Batch // or the one event that the line is
	rejected []flume.Rejected
	pending  []int
}

// A parser reads one line. Header strings and bodies are cut from one allocation each, when all is read.
type parser struct {
	line []byte
	at   int
	path []byte // what is being read, for the error
	key  []byte

	texts  []byte // keys and values, one after the other
	bodies []byte
	events []sizes
	marks  []int // the end in texts of each key and each value
}

// sizes are an event whose strings are not cut yet.
type sizes struct {
	marks, body int // the ends of what it has in marks and bodies
	has         field
}

// longestID is how long an id may be: it is sent back as it is.
const longestID = 200

// parse reads a line. With an error the message has what came before it: the id, perhaps.
func parse(line []byte) (message, error) {
	p := parser{line: line}
	var m message
	err := p.message(&m)
	if err == nil {
		if p.space(); p.at < len(line) {
			err = fmt.Errorf("there is %s behind it", p.shown())
		}
	}
	if err != nil {
		where := ""
		if len(p.path) > 0 {
			where = string(p.path) + ": "
		}
		return m, fmt.Errorf("byte %d: %s%w", p.at+1, where, err)
	}
	m.events = p.cut()
	return m, nil
}

// message reads the object of a line.
func (p *parser) message(m *message) error {
	return p.object(func(p *parser, key []byte) error {
		f, err := p.field(key, ^field(0), &m.has)
		if err != nil {
			return err
		}
		if m.has&inEvent != 0 && m.has&^(inEvent|fieldID) != 0 {
			return errors.New("a line has events, or is one event itself, not both")
		}
		if f&inEvent != 0 {
			if len(p.events) == 0 {
				p.events = append(p.events, sizes{})
			}
			return p.eventField(f, m.has, &p.events[0])
		}
		switch f {
		case fieldID:
			m.id, err = p.identity()
		case fieldEvents:
			err = p.list((*parser).event)
		case fieldOK:
			m.ok, err = p.truth()
		case fieldError:
			m.reason, err = p.text()
		case fieldRejected:
			err = p.list(func(p *parser) error { return p.rejected(m) })
		default:
			err = p.list(func(p *parser) error {
				n, err := p.index()
				m.pending = append(m.pending, n)
				return err
			})
		}
		return err
	})
}

func (p *parser) event() error {
	p.events = append(p.events, sizes{marks: len(p.marks), body: len(p.bodies)})
	return p.object(func(p *parser, key []byte) error { // it captures nothing, so that an event costs no allocation
		e := &p.events[len(p.events)-1]
		f, err := p.field(key, inEvent, &e.has)
		if err != nil {
			return err
		}
		return p.eventField(f, e.has, e)
	})
}

func (p *parser) eventField(f, has field, e *sizes) error {
	var err error
	switch f {
	case fieldHeaders:
		err = p.headers()
		e.marks = len(p.marks)
		return err
	case fieldBody:
		p.bodies, err = p.str(p.bodies)
	default:
		from := len(p.bodies)
		if p.bodies, err = p.str(p.bodies); err == nil {
			var n int
			n, err = base64.StdEncoding.Decode(p.bodies[from:], p.bodies[from:])
			p.bodies = p.bodies[:from+n]
			if err != nil {
				err = errors.New("it is not base64, with its padding")
			}
		}
	}
	if has&(fieldBody|fieldBase64) == fieldBody|fieldBase64 {
		return errors.New("an event has body or base64, not both")
	}
	e.body = len(p.bodies)
	return err
}

func (p *parser) headers() error {
	return p.object(func(p *parser, key []byte) error {
		p.texts = append(p.texts, key...)
		p.marks = append(p.marks, len(p.texts))
		var err error
		if p.texts, err = p.value(p.texts); err != nil {
			return err
		}
		p.marks = append(p.marks, len(p.texts))
		return nil
	})
}

// value reads a header's value. Numbers and truth values are taken as they stand.
func (p *parser) value(to []byte) ([]byte, error) {
	p.space()
	from := p.at
	switch c := p.peek(); {
	case c == '"':
		return p.str(to)
	case c == 't' || c == 'f':
		if _, err := p.truth(); err != nil {
			return to, err
		}
	case c == '-' || c >= '0' && c <= '9':
		if err := p.number(); err != nil {
			return to, err
		}
	case c == 'n':
		return to, errors.New("null is no value; leave the header out")
	default:
		return to, fmt.Errorf("a header's value is a string, and there is %s", p.shown())
	}
	return append(to, p.line[from:p.at]...), nil
}

// cut makes the events of what has been read.
func (p *parser) cut() flume.Batch {
	if len(p.events) == 0 {
		return nil
	}
	texts := string(p.texts)
	all := make(flume.Headers, 0, len(p.marks)/2)
	b := make(flume.Batch, len(p.events))
	at, mark, body := 0, 0, 0
	for i, e := range p.events {
		from := len(all)
		for ; mark < e.marks; mark += 2 {
			key, value := p.marks[mark], p.marks[mark+1]
			all = append(all, flume.Header{Key: texts[at:key], Value: texts[key:value]})
			at = value
		}
		b[i] = flume.Event{Headers: all[from:len(all):len(all)].Unique(), Body: p.bodies[body:e.body:e.body]}
		body = e.body
	}
	return b
}

func (p *parser) rejected(m *message) error {
	var r flume.Rejected
	r.Index = -1
	err := p.object(func(p *parser, key []byte) error {
		switch string(key) {
		case "index":
			var err error
			r.Index, err = p.index()
			return err
		case "error":
			text, err := p.text()
			r.Err = errors.New(text)
			return err
		}
		return fmt.Errorf("there is no field %s; a rejected event has index and error", quoted(key))
	})
	if err == nil && (r.Index < 0 || r.Err == nil) {
		err = errors.New("a rejected event has index and error")
	}
	m.rejected = append(m.rejected, r)
	return err
}

// field finds a field by its name and takes note that it is there.
func (p *parser) field(key []byte, allowed field, has *field) (field, error) {
	for i, name := range names {
		f := field(1) << i
		if f&allowed == 0 || string(key) != name {
			continue
		}
		if *has&f != 0 {
			return 0, errors.New("it stands there twice")
		}
		*has |= f
		return f, nil
	}
	var known []string
	for i, name := range names {
		if allowed&(1<<i) != 0 {
			known = append(known, name)
		}
	}
	return 0, fmt.Errorf("there is no such field; there are %s", strings.Join(known, ", "))
}

// identity reads an id: a string or a number.
func (p *parser) identity() ([]byte, error) {
	p.space()
	from := p.at
	var err error
	if p.peek() == '"' {
		_, err = p.str(nil)
	} else {
		err = p.number()
	}
	if err == nil && p.at-from > longestID {
		err = fmt.Errorf("it is longer than %d bytes", longestID)
	}
	if err != nil {
		return nil, err
	}
	return p.line[from:p.at], nil
}

func (p *parser) index() (int, error) {
	p.space()
	from := p.at
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.at++
	}
	n, err := strconv.ParseInt(string(p.line[from:p.at]), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("it is the number of an event, and there is %s", p.shownFrom(from))
	}
	return int(n), nil
}

func (p *parser) text() (string, error) {
	b, err := p.str(nil)
	return string(b), err
}

func (p *parser) truth() (bool, error) {
	p.space()
	for _, word := range []string{"true", "false"} {
		if bytes.HasPrefix(p.line[p.at:], []byte(word)) {
			p.at += len(word)
			return word == "true", nil
		}
	}
	return false, fmt.Errorf("it is true or false, and there is %s", p.shown())
}

// number passes over a number as JSON has them.
func (p *parser) number() error {
	from := p.at
	digits := func() int {
		n := 0
		for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
			p.at++
			n++
		}
		return n
	}
	if p.peek() == '-' {
		p.at++
	}
	first := p.peek()
	good := true
	if n := digits(); n == 0 || n > 1 && first == '0' {
		good = false
	}
	if good && p.peek() == '.' {
		p.at++
		good = digits() > 0
	}
	if c := p.peek(); good && (c == 'e' || c == 'E') {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		good = digits() > 0
	}
	if !good {
		return fmt.Errorf("it is a string or a number, and there is %s", p.shownFrom(from))
	}
	return nil
}

// object calls member behind each key, whose bytes are overwritten by the next one.
func (p *parser) object(member func(p *parser, key []byte) error) error {
	if err := p.expect('{'); err != nil {
		return err
	}
	if p.space(); p.peek() == '}' {
		p.at++
		return nil
	}
	outer := len(p.path)
	for {
		key, err := p.str(p.key[:0])
		if err != nil {
			return err
		}
		p.key = key
		if outer > 0 {
			p.path = append(p.path, '.')
		}
		p.path = append(p.path, key[:min(len(key), 60)]...)
		if err := p.expect(':'); err != nil {
			return err
		}
		if err := member(p, key); err != nil {
			return err
		}
		p.path = p.path[:outer]
		if more, err := p.more('}'); !more {
			return err
		}
	}
}

// list calls member for each value.
func (p *parser) list(member func(p *parser) error) error {
	if err := p.expect('['); err != nil {
		return err
	}
	if p.space(); p.peek() == ']' {
		p.at++
		return nil
	}
	outer := len(p.path)
	for n := 0; ; n++ {
		p.path = append(strconv.AppendInt(append(p.path, '['), int64(n), 10), ']')
		if err := member(p); err != nil {
			return err
		}
		p.path = p.path[:outer]
		if more, err := p.more(']'); !more {
			return err
		}
	}
}

// more passes over the comma before a next value, or over the end.
func (p *parser) more(end byte) (bool, error) {
	p.space()
	switch p.peek() {
	case ',':
		p.at++
		return true, nil
	case end:
		p.at++
		return false, nil
	}
	return false, fmt.Errorf("expecting , or %c, and there is %s", end, p.shown())
}

func (p *parser) expect(c byte) error {
	if p.space(); p.peek() != c {
		return fmt.Errorf("expecting %c, and there is %s", c, p.shown())
	}
	p.at++
	return nil
}

func (p *parser) space() {
	for p.at < len(p.line) && (p.line[p.at] == ' ' || p.line[p.at] == '\t' || p.line[p.at] == '\r' || p.line[p.at] == '\n') {
		p.at++
	}
}

// peek is the next byte; 0, which is no byte of JSON, at the end.
func (p *parser) peek() byte {
	if p.at < len(p.line) {
		return p.line[p.at]
	}
	return 0
}

// str appends the bytes of a string.
func (p *parser) str(to []byte) ([]byte, error) {
	if err := p.expect('"'); err != nil {
		return to, err
	}
	from := p.at
	for p.at < len(p.line) {
		switch c := p.line[p.at]; {
		case c == '"':
			to = append(to, p.line[from:p.at]...)
			p.at++
			return to, nil
		case c == '\\':
			to = append(to, p.line[from:p.at]...)
			var err error
			if to, err = p.escape(to); err != nil {
				return to, err
			}
			from = p.at
		case c < ' ':
			return to, fmt.Errorf("the control character %#02x in a string is written \\u%04x", c, c)
		case c < utf8.RuneSelf:
			p.at++
		default:
			r, size := utf8.DecodeRune(p.line[p.at:])
			if r == utf8.RuneError && size == 1 {
				return to, errors.New("the bytes are no UTF-8; a body of any bytes is sent as base64")
			}
			p.at += size
		}
	}
	return to, errors.New("the line ends in a string")
}

// escape reads what stands behind a backslash.
func (p *parser) escape(to []byte) ([]byte, error) {
	if p.at+1 >= len(p.line) {
		return to, errors.New("the line ends in a string")
	}
	c := p.line[p.at+1]
	if i := bytes.IndexByte([]byte(`"\/bfnrt`), c); i >= 0 {
		p.at += 2
		return append(to, "\"\\/\b\f\n\r\t"[i]), nil
	}
	r, ok := p.unit(p.at)
	if !ok {
		return to, errors.New("there is no such escape")
	}
	if low, more := p.unit(p.at + 6); more && utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			p.at += 12
			return utf8.AppendRune(to, pair), nil
		}
	}
	switch {
	case r >= 0xDC80 && r <= 0xDCFF:
		to = append(to, byte(r))
	case utf16.IsSurrogate(r):
		return to, errors.New("half of a surrogate pair is no character")
	default:
		to = utf8.AppendRune(to, r)
	}
	p.at += 6
	return to, nil
}

// unit reads \uXXXX.
func (p *parser) unit(at int) (rune, bool) {
	if at+6 > len(p.line) || p.line[at] != '\\' || p.line[at+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.line[at+2:at+6]), 16, 16)
	return rune(n), err == nil
}

// shown is what stands at the place of an error.
func (p *parser) shown() string { return p.shownFrom(p.at) }

func (p *parser) shownFrom(at int) string {
	if at >= len(p.line) {
		return "the end"
	}
	return quoted(p.line[at:])
}

// quoted shows the beginning of some bytes.
func quoted(b []byte) string {
	const most = 40
	if len(b) > most {
		return strconv.Quote(string(b[:most])) + "…"
	}
	return strconv.Quote(string(b))
}

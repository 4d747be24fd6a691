package eventjson

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// deepest is how far unknown fields may be nested.
const deepest = 1000

// end is the byte after the last one.
const end = -1

// document reads a list of events.
func (d *decoder) document() error {
	d.p = bytes.TrimPrefix(d.p, []byte(byteOrderMark))
	if len(d.p) > Most {
		return fmt.Errorf("reading a document of %d bytes, where %d are the most", len(d.p), Most)
	}
	c, err := d.next()
	if err != nil {
		return err
	}
	// what sites put in front of JSON so that no browser runs it
	if prefix := []byte(")]}'\n"); c == ')' && bytes.HasPrefix(d.p[d.at-1:], prefix) {
		d.at += len(prefix) - 1
		if c, err = d.next(); err != nil {
			return err
		}
	}
	switch {
	case c == end:
		return fmt.Errorf("%w: the document is empty", ErrNoEvents)
	case c != '[' && d.literalNull(c):
		return fmt.Errorf("%w: the document is null", ErrNoEvents)
	case c != '[':
		return d.fail("a list of events in [ ] is expected, not %s", shown(c))
	}
	if err := d.list(d.eventOrNull); err != nil {
		return err
	}
	for ; d.at < len(d.p); d.at++ {
		if c := d.p[d.at]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			d.at++
			return d.fail("something follows the list of events: %s", shown(int(c)))
		}
	}
	if d.nulls {
		return fmt.Errorf("%w: one of the list is null (does it end with a comma?)", ErrNoEvents)
	}
	return nil
}

// single reads one event, behind which there may be nothing but blanks.
func (d *decoder) single() error {
	c, err := d.next()
	if err != nil {
		return err
	}
	if c == end { // comments only
		return nil
	}
	if c != '{' {
		return d.fail("an event in { } is expected, not %s", shown(c))
	}
	if err := d.event(); err != nil {
		return err
	}
	if c, err := d.next(); err != nil || c != end {
		return orElse(err, d.fail("something follows the event: %s", shown(c)))
	}
	return nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// list reads the rest of a list behind its [; element is called with the first byte of each element, or with 'n' for a
// null that a comma stands for.
func (d *decoder) list(element func(c int) error) error {
	for first := true; ; first = false {
		if !first {
			c, err := d.next()
			switch {
			case err != nil:
				return err
			case c == ']':
				return nil
			case c != ',' && c != ';':
				return d.fail("a comma or ] is expected, not %s", shown(c))
			}
		}
		c, err := d.next()
		switch {
		case err != nil:
			return err
		case c == ']' && first:
			return nil
		case c == ']' || c == ',' || c == ';': // there is nothing: null
			d.at--
			c = absent
		}
		if err := element(c); err != nil {
			return err
		}
	}
}

// absent stands for the first byte of an element that is not there.
const absent = -2

// eventOrNull reads an element of the document.
func (d *decoder) eventOrNull(c int) error {
	switch {
	case c == absent || c != '{' && d.literalNull(c):
		d.nulls = true
		return nil
	case c != '{':
		return d.fail("an event in { } is expected, not %s", shown(c))
	}
	return d.event()
}

// object reads the rest of an object behind its {; member is called behind each : with the name.
func (d *decoder) object(member func(name span) error) error {
	for first := true; ; first = false {
		c, err := d.next()
		if err != nil {
			return err
		}
		if !first {
			switch c {
			case '}':
				return nil
			case ',', ';':
			default:
				return d.fail("a comma or } is expected, not %s", shown(c))
			}
			if c, err = d.next(); err != nil {
				return err
			}
		} else if c == '}' {
			return nil
		}
		var name span
		switch {
		case c == '"' || c == '\'':
			if name, err = d.quoted(byte(c), '?'); err != nil {
				return err
			}
		case c >= 0 && literal(byte(c)):
			name = d.unquoted()
		default:
			return d.fail("a name is expected, not %s", shown(c))
		}
		if c, err = d.next(); err != nil {
			return err
		}
		if c == '=' && d.at < len(d.p) && d.p[d.at] == '>' {
			d.at++
		} else if c != ':' && c != '=' {
			return d.fail("a colon is expected, not %s", shown(c))
		}
		if err := member(name); err != nil {
			return err
		}
	}
}

// event reads the rest of an event behind its {.
func (d *decoder) event() error {
	d.body = span{}
	known, fields := false, 0
	var first span // the first unknown field
	err := d.object(func(name span) error {
		switch string(d.text(name)) {
		case "headers":
			known = true
			d.fields = d.fields[:d.from]
			return d.headers()
		case "body":
			known = true
			lone := '?'
			if d.wide() {
				lone = utf8.RuneError // what Java's encoders write there
			}
			body, err := d.string(lone)
			if body.to == null {
				body = span{}
			}
			d.body = body
			return err
		}
		if fields++; fields == 1 {
			first = name
		}
		c, err := d.next()
		if err != nil {
			return err
		}
		return d.skip(c, 1)
	})
	switch {
	case err != nil:
		return err
	case known:
	case d.line > 0:
		return &SyntaxError{Line: d.line, Byte: max(1, d.at-d.begin), What: ErrNotEvent.Error(), Err: ErrNotEvent}
	case fields > 0:
		if d.foreign++; d.foreign == 1 {
			name := d.text(first)
			d.stranger = string(name[:min(len(name), 100)])
		}
	}
	return d.made()
}

// headers reads the value of headers.
func (d *decoder) headers() error {
	c, err := d.next()
	switch {
	case err != nil:
		return err
	case c == '{':
		err = d.object(func(name span) error {
			value, err := d.string('?')
			if err != nil {
				return err
			}
			return d.field(field{name, value})
		})
	case c == '[':
		err = d.list(d.pair)
	case d.literalNull(c):
		return nil
	default:
		return d.fail("headers in { } are expected, not %s", shown(c))
	}
	if err != nil {
		return err
	}
	return d.unique()
}

// pair reads a header that is given as a list of name and value.
func (d *decoder) pair(c int) error {
	if c != '[' {
		return d.fail("a header in [ ] is expected, not %s", shown(c))
	}
	var f field
	n := 0
	err := d.list(func(c int) error {
		text, err := d.scalar(c, '?')
		switch n++; {
		case err != nil:
			return err
		case n == 1:
			f.key = text
		case n == 2:
			f.value = text
			if f.key.to == null {
				return fmt.Errorf("%w: the name of a header is null", ErrNoEvents)
			}
		default:
			return d.fail("a header is a name and a value")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n < 2 {
		return d.fail("a header is a name and a value")
	}
	return d.field(f)
}

// string reads a value that is text, a number, a truth value or null.
func (d *decoder) string(lone rune) (span, error) {
	c, err := d.next()
	if err != nil {
		return span{}, err
	}
	return d.scalar(c, lone)
}

func (d *decoder) scalar(c int, lone rune) (span, error) {
	switch {
	case c == '"' || c == '\'':
		return d.quoted(byte(c), lone)
	case c == absent:
		return span{to: null}, nil
	case c < 0 || !literal(byte(c)):
		return span{}, d.fail("a text is expected, not %s", shown(c))
	}
	s := d.unquoted()
	text := d.text(s)
	switch {
	case ascii(text, "null"):
		return span{to: null}, nil
	case ascii(text, "true"), ascii(text, "false"):
		copy(text, bytes.ToLower(text))
	}
	return s, nil
}

// ascii reports whether text is word, in any case of ASCII's letters.
func ascii(text []byte, word string) bool {
	return len(text) == len(word) && bytes.EqualFold(text, []byte(word))
}

// literalNull reports whether null stands where c, which has been read, is the first byte, and reads it.
func (d *decoder) literalNull(c int) bool {
	if c != 'n' && c != 'N' {
		return false
	}
	from := d.at
	s := d.unquoted()
	if ascii(d.text(s), "null") {
		return true
	}
	d.at = from
	return false
}

// skip reads any value.
func (d *decoder) skip(c, depth int) error {
	if depth > deepest {
		return d.fail("values are nested deeper than %d", deepest)
	}
	switch {
	case c == '"' || c == '\'':
		_, err := d.quoted(byte(c), '?')
		return err
	case c == '{':
		return d.object(func(span) error {
			c, err := d.next()
			if err != nil {
				return err
			}
			return d.skip(c, depth+1)
		})
	case c == '[':
		return d.list(func(c int) error { return d.skip(c, depth+1) })
	case c == absent:
		return nil
	case c < 0 || !literal(byte(c)):
		return d.fail("a value is expected, not %s", shown(c))
	}
	d.unquoted()
	return nil
}

// next reads the next byte that is neither blank nor comment. A slash that begins no comment is returned.
func (d *decoder) next() (int, error) {
	for d.at < len(d.p) {
		c := d.p[d.at]
		d.at++
		switch c {
		case ' ', '\t', '\n', '\r':
		case '#':
			d.restOfLine()
		case '/':
			switch {
			case d.at < len(d.p) && d.p[d.at] == '/':
				d.restOfLine()
			case d.at < len(d.p) && d.p[d.at] == '*':
				n := bytes.Index(d.p[d.at+1:], []byte("*/"))
				if n < 0 {
					return 0, d.fail("the comment has no end")
				}
				d.at += 1 + n + 2
			default:
				return '/', nil
			}
		default:
			return int(c), nil
		}
	}
	return end, nil
}

func (d *decoder) restOfLine() {
	if n := bytes.IndexAny(d.p[d.at:], "\n\r"); n >= 0 {
		d.at += n
		return
	}
	d.at = len(d.p)
}

// literal reports whether c can stand in text without quotes.
func literal(c byte) bool {
	switch c {
	case '/', '\\', ';', '#', '=', '{', '}', '[', ']', ':', ',', ' ', '\t', '\f', '\r', '\n':
		return false
	}
	return true
}

// unquoted reads the rest of a text whose first byte has been read.
func (d *decoder) unquoted() span {
	from := d.at - 1
	for d.at < len(d.p) && literal(d.p[d.at]) {
		d.at++
	}
	return span{uint32(from), uint32(d.at)}
}

// quoted reads the rest of a text behind its first quote and unescapes it in place.
func (d *decoder) quoted(quote byte, lone rune) (span, error) {
	from, to := d.at, d.at
	for {
		rest := d.p[d.at:]
		n := 0
		for n < len(rest) && rest[n] != quote && rest[n] != '\\' {
			n++
		}
		if to < d.at {
			copy(d.p[to:], rest[:n])
		}
		to += n
		d.at += n + 1
		switch {
		case n == len(rest):
			d.at = len(d.p)
			return span{}, d.fail("the text has no end")
		case rest[n] == quote:
			return span{uint32(from), uint32(to)}, nil
		}
		r, err := d.escape(lone)
		if err != nil {
			return span{}, err
		}
		to += utf8.EncodeRune(d.p[to:d.at], r) // never longer than its escape
	}
}

// escape reads the rest of an escape behind its backslash.
func (d *decoder) escape(lone rune) (rune, error) {
	if d.at == len(d.p) {
		return 0, d.fail("the text has no end")
	}
	c := d.p[d.at]
	d.at++
	switch c {
	case 't':
		return '\t', nil
	case 'b':
		return '\b', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 'f':
		return '\f', nil
	case '\n', '\'', '"', '\\', '/':
		return rune(c), nil
	case 'u':
	default:
		return 0, d.fail("%s is no escape", strconv.Quote("\\"+string(rune(c))))
	}
	r, ok := d.hex()
	switch {
	case !ok && utf8.RuneCount(d.p[d.at:]) < 4:
		return 0, d.fail("the text has no end")
	case !ok:
		return 0, fmt.Errorf("%w: %w", ErrNoEvents, d.fail(`four hexadecimal digits are expected behind \u`))
	case !utf16.IsSurrogate(r):
		return r, nil
	}
	before := d.at
	if bytes.HasPrefix(d.p[d.at:], []byte(`\u`)) {
		d.at += 2
		if low, ok := d.hex(); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, nil
			}
		}
	}
	d.at = before
	return lone, nil
}

// hex reads four hexadecimal digits.
func (d *decoder) hex() (rune, bool) {
	if len(d.p)-d.at < 4 {
		return 0, false
	}
	r := rune(0)
	for _, c := range d.p[d.at : d.at+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	d.at += 4
	return r, true
}

// shown is a byte that was read, for a message.
func shown(c int) string {
	switch {
	case c == end:
		return "the end"
	case c == absent:
		return "nothing"
	case c < utf8.RuneSelf:
		return strconv.QuoteRune(rune(c))
	}
	return "text"
}

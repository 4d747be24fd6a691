// Package escape expands Flume's escape sequences in paths, topics and names.
//
//	%{name}                    the header's value; nothing where it is missing
//	%[localhost] %[IP] %[FQDN] the agent's host, resolved once
//	%Y %m %d %H …              the event's time: its header "timestamp", milliseconds since 1970
//	%t                         that header as it stands, never rounded
//
// What does not fit stays as it is: "%/", "%{a b}", a "%" at the end. What an escape expands to is not read again, so
// that "%%{host}" is "%" and the text "{host}". A letter that means nothing expands to nothing. As in Flume every
// escape but %{…} and %[…] asks for the time, "%%" and unknown letters too; an event without it cannot be given a
// name ([Template.Append] says why), ever.
package escape

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/flume"
)

// Timestamp is the header that holds an event's time.
const Timestamp = "timestamp"

// Options say where the time comes from.
type Options struct {
	Zone  *time.Location // of the calendar; nil: the host's
	Local bool           // take the host's clock and not the header
	Round Rounding
}

// A Template is a text with escapes, taken apart. It is not changed by Append.
type Template struct {
	text  string
	parts []part
	timed bool // an escape asks for the time
	hosts bool // an escape asks for the host
	o     Options
}

// A part is literal text, a header's name, a host's key or a letter.
type part struct {
	kind kind
	text string
}

type kind byte

// Letters stand for themselves.
const (
	literal kind = 0
	header  kind = '{'
	host    kind = '['
)

// Parse takes text apart. The error names a host escape that does not exist.
func Parse(text string, o Options) (*Template, error) {
	if o.Zone == nil {
		o.Zone = time.Local
	}
	t := &Template{text: text, o: o}
	from := 0 // of the literal text that has not been added yet
	for i := 0; i+1 < len(text); {
		if text[i] != '%' {
			i++
			continue
		}
		p, n := next(text[i+1:])
		if n == 0 {
			i++
			continue
		}
		switch p.kind {
		case header:
		case host:
			if _, err := (Host{}).value(p.text); err != nil {
				return nil, err
			}
			t.hosts = true
		default:
			t.timed = true
		}
		t.literal(text[from:i])
		t.parts = append(t.parts, p)
		i += 1 + n
		from = i
	}
	t.literal(text[from:])
	return t, nil
}

func (t *Template) literal(text string) {
	if text != "" {
		t.parts = append(t.parts, part{literal, text})
	}
}

// next reads the escape that follows a "%" and returns the number of its bytes, 0 where there is none.
func next(s string) (part, int) {
	switch c := s[0]; {
	case c == '{':
		n := run(s[1:], "_.-")
		if n > 0 && 1+n < len(s) && s[1+n] == '}' {
			return part{header, s[1 : 1+n]}, n + 2
		}
	case c == '[':
		n := run(s[1:], "_")
		if n > 0 && 1+n < len(s) && s[1+n] == ']' {
			return part{host, s[1 : 1+n]}, n + 2
		}
	case c == '%' || word(c, "_"):
		return part{kind: kind(c)}, 1
	}
	return part{}, 0
}

// run counts the bytes at the start of s that a name may have.
func run(s, also string) int {
	n := 0
	for n < len(s) && word(s[n], also) {
		n++
	}
	return n
}

func word(c byte, also string) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(also, c) >= 0
}

// String is the text that was parsed.
func (t *Template) String() string { return t.text }

// Constant reports whether every event gets the same text, and which.
func (t *Template) Constant() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].kind == literal:
		return t.parts[0].text, true
	}
	return "", false
}

// Timed reports whether events need a time.
func (t *Template) Timed() bool { return t.timed }

// Headers are the names of the headers that the text depends on, the timestamp's not among them.
func (t *Template) Headers() []string {
	var names []string
	for _, p := range t.parts {
		if p.kind == header {
			names = append(names, p.text)
		}
	}
	return names
}

// Resolve puts the host's names in. Until then a host escape expands to nothing.
func (t *Template) Resolve(h Host) {
	if !t.hosts {
		return
	}
	parts := t.parts
	t.parts, t.hosts = nil, false
	for _, p := range parts {
		if p.kind == host {
			p.kind = literal
			p.text, _ = h.value(p.text) // Parse has seen the key
		}
		if last := len(t.parts) - 1; p.kind == literal && last >= 0 && t.parts[last].kind == literal {
			t.parts[last].text += p.text
			continue
		}
		t.parts = append(t.parts, p)
	}
}

// Append appends what the text is for an event with these headers. The error is one that no repetition cures: the
// event has no time and needs one. now is the host's clock, asked only where Options.Local is set.
func (t *Template) Append(dst []byte, h flume.Headers, now time.Time) ([]byte, error) {
	var at time.Time
	if t.timed {
		var err error
		if at, err = t.time(h, now); err != nil {
			return dst, err
		}
	}
	for _, p := range t.parts {
		switch p.kind {
		case literal:
			dst = append(dst, p.text...)
		case header:
			v, _ := h.Get(p.text)
			dst = append(dst, v...)
		case host:
		case 't':
			if t.o.Local {
				dst = strconv.AppendInt(dst, now.UnixMilli(), 10)
				continue
			}
			v, _ := h.Get(Timestamp)
			dst = append(dst, v...)
		default:
			dst = letter(dst, byte(p.kind), at)
		}
	}
	return dst, nil
}

// time is the event's time in the zone of the calendar, rounded.
func (t *Template) time(h flume.Headers, now time.Time) (time.Time, error) {
	if t.o.Local {
		return t.o.Round.down(now.In(t.o.Zone)), nil
	}
	text, ok := h.Get(Timestamp)
	if !ok {
		return time.Time{}, fmt.Errorf("expanding %q: the event has no header %q; let a timestamp interceptor set it", t.text, Timestamp)
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("expanding %q: header %q is %.40q, not a number of milliseconds since 1970: %w", t.text, Timestamp, text, errors.Unwrap(err))
	}
	if t.o.Round.Value > 0 && ms <= 0 {
		return time.Time{}, fmt.Errorf("expanding %q: header %q is %.40q, and times of 1970 and before are not rounded", t.text, Timestamp, text)
	}
	return t.o.Round.down(time.UnixMilli(ms).In(t.o.Zone)), nil
}

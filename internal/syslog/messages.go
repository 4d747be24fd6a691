package syslog

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
)

// Options say how Messages are read.
type Options struct {
	Most   int  // bytes of a message
	Counts bool // octet counting is taken
	Keep   Keep
	Format *Format // tried before Flume's own; nil: none
	Times  Times
}

// Messages reads syslog as syslogtcp and syslogudp do. It belongs to one goroutine.
//
// A message is read in one of two forms. Both are, in this order: a priority in brackets, a digit that is the version
// and a blank, either or neither of them, a time, a blank, a host, a blank, and the body, which has no line terminator.
//
//	2024-03-31T02:30:00.123+01:00    RFC 5424: up to six digits of a fraction, an offset, or Z, or neither; or "-"
//	Mar 31 02:30:00                  RFC 3164: the host cannot be "-"
//
// What fits neither is the body as it is, with Facility and Severity.
type Messages struct {
	stream
	options *Options
	format  *matcher
}

// NewMessages returns the reader of one connection, or of all datagrams.
func NewMessages(o *Options) *Messages {
	m := &Messages{stream: stream{most: o.Most, counts: o.Counts}, options: o}
	if o.Format != nil {
		m.format = o.Format.matcher()
	}
	return m
}

// A fields is what was found in a message. Nil: it is not there, or "-".
type fields struct {
	priority, version, timestamp, host, body []byte

	millis int64
	timed  bool
}

// Events makes events of the messages from one to another, with the headers of the sender of each. The error is about a
// message, which has been made an event all the same.
func (m *Messages) Events(from, to int, senders []flume.Headers) (flume.Batch, error) {
	list := m.list[from:to]
	o := m.options
	var b batch
	b.start(list, len(senders[0]), o.Keep != 0 && o.Keep&All == 0)
	now := o.Times.now()
	var trouble error
	for i := range list {
		var f fields
		pri := 0
		if list[i].status != invalid {
			pri = number(list[i].text[1:])
			var err error
			if f, err = m.read(list[i].text, now); err != nil {
				trouble = err
			}
		}
		b.header(facilityHeader, strconv.Itoa(pri/8))
		b.header(severityHeader, strconv.Itoa(pri%8))
		for _, h := range [...]struct {
			name  string
			value []byte
		}{{"priority", f.priority}, {"version", f.version}} {
			if len(h.value) > 0 {
				b.header(h.name, b.value(h.value))
			}
		}
		if f.timed {
			b.header(timestampHeader, b.millis(f.millis))
		}
		if len(f.host) > 0 {
			b.header(hostHeader, b.value(f.host))
		}
		b.status(list[i].status)
		b.end(m.body(&b, &f, list[i].text), senders[list[i].sender])
	}
	return b.events, trouble
}

// body is what Flume makes of a message without a body, or of one that does not fit: the message.
func (m *Messages) body(b *batch, f *fields, whole []byte) []byte {
	keep := m.options.Keep
	if keep&All != 0 || f.body == nil {
		return b.body(whole)
	}
	null := func(p []byte) []byte {
		if p == nil {
			return []byte("null")
		}
		return p
	}
	body := keep.body(b, &kept{f.priority, f.version, null(f.timestamp), null(f.host)}, charset.DecodeUTF8(f.body))
	if len(body) == 0 {
		return b.body(whole)
	}
	return body
}

// number is the number at the start of p.
func number(p []byte) int {
	n := 0
	for i := 0; i < len(p) && isDigit(p[i]); i++ {
		n = n*10 + int(p[i]-'0')
	}
	return n
}

func (m *Messages) read(p []byte, now time.Time) (fields, error) {
	var trouble error
	if m.format != nil {
		f, ok, err := m.format.read(p)
		if ok {
			return f, nil
		}
		trouble = err
	}
	f, old, ok := split(p)
	if !ok {
		return fields{}, trouble
	}
	switch {
	case f.timestamp == nil:
	case old:
		f.millis, f.timed = m.options.Times.old(f.timestamp, now)
	default:
		f.millis, f.timed = m.options.Times.iso(f.timestamp), true
	}
	return f, trouble
}

// split finds the fields of a message in one of Flume's two forms; old: the time is that of RFC 3164.
func split(p []byte) (f fields, old, ok bool) {
	digits := 0
	for digits < 3 && 1+digits < len(p) && isDigit(p[1+digits]) {
		digits++
	}
	if len(p) < 3 || p[0] != '<' || digits == 0 || 1+digits >= len(p) || p[1+digits] != '>' {
		return f, false, false
	}
	f.priority, p = p[1:1+digits], p[2+digits:]
	// The digit and the blank are there as far as what follows leaves them; a year begins with a digit too.
	for _, version := range []int{1, 0} {
		if version == 1 && (len(p) == 0 || !isDigit(p[0])) {
			continue
		}
		rest := p[version:]
		if len(rest) > 0 && isSpace(rest[0]) {
			rest = rest[1:]
		}
		stamp, size, isOld := stamped(rest)
		if size == 0 {
			continue
		}
		f.version, f.timestamp = p[:version], stamp
		if f.host, f.body, ok = hosted(rest[size:], isOld); ok {
			return f, isOld, true
		}
	}
	return fields{}, false, false
}

// stamped returns the time at the start of p and how long it is; a size of 0: there is none.
func stamped(p []byte) (stamp []byte, size int, old bool) {
	if len(p) > 0 && p[0] == '-' {
		return nil, 1, false
	}
	if n := isoLength(p); n > 0 {
		return p[:n], n, false
	}
	if n := oldLength(p); n > 0 {
		return p[:n], n, true
	}
	return nil, 0, false
}

// hosted reads blank, host, blank and body. The old form has no nil host.
func hosted(p []byte, old bool) (host, body []byte, ok bool) {
	if len(p) < 3 || !isSpace(p[0]) {
		return nil, nil, false
	}
	p = p[1:]
	n := 0
	switch {
	case isWord(p[0]):
		for n < len(p) && (isWord(p[n]) || p[n] == '.' || p[n] == '@' || p[n] == '-') {
			n++
		}
		host = p[:n]
	case p[0] == '-' && !old:
		n = 1
	}
	if n == 0 || n >= len(p) || !isSpace(p[n]) {
		return nil, nil, false
	}
	body = p[n+1:]
	return host, body, !hasTerminator(body)
}

// hasTerminator reports whether p has what Java's dot does not match.
func hasTerminator(p []byte) bool {
	return bytes.IndexByte(p, '\n') >= 0 || bytes.IndexByte(p, '\r') >= 0 || bytes.Contains(p, []byte("\u0085")) ||
		bytes.Contains(p, []byte("\u2028")) || bytes.Contains(p, []byte("\u2029"))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// isSpace is Java's \s.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// errFormat is wrapped where format.regex could not be tried on a message.
var errFormat = errors.New("format.regex cannot be matched with a message, which is read without it")

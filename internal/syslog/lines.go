package syslog

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/javatime"
)

// LineOptions say how Lines are read.
type LineOptions struct {
	Most    int  // bytes of a line with its newline
	Counts  bool // octet counting is taken
	Keep    Keep
	Charset charset.Charset
	Times   Times
}

// Lines reads syslog as multiport_syslogtcp does. It belongs to one goroutine.
//
//	<PRI>          a number; the bracket is one of the first seven characters
//	"1 "           the version; it may be missing
//	time           "-": now; a capital: 15 characters of RFC 3164, UTC; else up to a blank, RFC 5424
//	host           up to a blank
//	body           the rest
//
// A time of RFC 3164 that cannot be read is 1970. A line without a body is its own body. Empty lines are passed over.
type Lines struct {
	stream
	options  *LineOptions
	scratch  []byte
	iso, old *javatime.Layout // how Joda reads times of RFC 5424 and 3164 that are not written as usual
}

// NewLines returns the reader of one connection.
func NewLines(o *LineOptions) *Lines {
	return &Lines{
		stream: stream{most: o.Most, counts: o.Counts, plain: true}, options: o,
		iso: joda("yyyy-MM-dd'T'HH:mm:ss"), old: joda("MMM d HH:mm:ss"),
	}
}

func joda(pattern string) *javatime.Layout {
	l, err := javatime.Joda(pattern, time.UTC, time.Now())
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return l
}

// Events makes events of the lines from one to another, with more headers for each. Those that are not understood are
// events too.
func (l *Lines) Events(from, to int, more flume.Headers) flume.Batch {
	list := l.list[from:to]
	o := l.options
	var b batch
	b.start(list, len(more), o.Keep != 0 && o.Keep&All == 0)
	now := o.Times.now()
	for i := range list {
		whole := list[i].text
		var body []byte
		decoded, ok := o.Charset.Strict(whole)
		if ok {
			body, ok = l.read(&b, decoded, whole, now)
		}
		if !ok {
			list[i].bad = true
			b.headers = b.headers[:b.from]
			b.status(invalid)
			b.end(b.body(whole), more)
			continue
		}
		b.status(list[i].status)
		b.end(body, more)
	}
	return b.events
}

// Bad is how many of the lines were not understood by Events.
func (l *Lines) Bad() int {
	n := 0
	for i := range l.list {
		if l.list[i].bad {
			n++
		}
	}
	return n
}

// read sets the headers of a line and returns its body.
func (l *Lines) read(b *batch, p, whole []byte, now time.Time) (body []byte, ok bool) {
	const lastBracket = 6
	end := bytes.IndexByte(p, '>')
	if p[0] != '<' || end < 0 || end > lastBracket {
		return nil, false
	}
	priority := p[1:end]
	pri, err := strconv.Atoi(string(priority))
	if err != nil || end+1 == len(p) {
		return nil, false
	}
	b.header("Priority", b.value(priority))
	b.header(facilityHeader, strconv.Itoa(pri/8))
	b.header(severityHeader, strconv.Itoa(pri%8))
	rest := p[end+1:]
	var version []byte
	if len(rest) > 2 && rest[0] == '1' && rest[1] == ' ' {
		version, rest = rest[:1], rest[2:]
		b.header("Version", "1")
	}
	stamp, millis, rest, ok := l.time(rest, now)
	if !ok {
		return nil, false
	}
	b.header(timestampHeader, b.millis(millis))
	blank := bytes.IndexByte(rest, ' ')
	if blank < 0 {
		return nil, false
	}
	host := rest[:blank]
	b.header(hostHeader, b.value(host))
	rest = rest[blank+1:]
	o := l.options
	if len(rest) == 0 || o.Keep&All != 0 {
		return b.body(whole), true
	}
	body = o.Keep.body(b, &kept{priority, version, stamp, host}, rest)
	return o.Charset.Encode(body), true
}

// time reads the time at the start of p and returns what follows.
func (l *Lines) time(p []byte, now time.Time) (stamp []byte, millis int64, rest []byte, ok bool) {
	switch {
	case p[0] == '-':
		if len(p) <= 2 {
			return nil, 0, nil, false
		}
		return p[:1], now.UnixMilli(), p[1+utf8Length(p[1:], 1):], true
	case p[0] >= 'A' && p[0] <= 'Z':
		n := utf8Length(p, len("Mar 31 02:30:00"))
		if n >= len(p) {
			return nil, 0, nil, false
		}
		return p[:n], l.rfc3164(p[:n], now), p[n+utf8Length(p[n:], 1):], true
	}
	blank := bytes.IndexByte(p, ' ')
	if blank < 0 {
		return nil, 0, nil, false
	}
	millis, ok = l.rfc5424(p[:blank])
	return p[:blank], millis, p[blank+1:], ok
}

// utf8Length is how many bytes the first units of UTF-16 of p have, or all of p.
func utf8Length(p []byte, units int) int {
	n := 0
	for n < len(p) && units > 0 {
		r, size := utf8.DecodeRune(p[n:])
		n += size
		units -= max(1, utf16.RuneLen(r))
	}
	return n
}

// rfc3164 reads a time without a year; what is none is 1970.
func (l *Lines) rfc3164(p []byte, now time.Time) int64 {
	l.scratch = l.scratch[:0]
	for i := 0; i < len(p); i++ {
		if l.scratch = append(l.scratch, p[i]); p[i] == ' ' && i+1 < len(p) && p[i+1] == ' ' {
			i++ // two blanks are one
		}
	}
	millis, err := l.old.Millis(l.scratch)
	if err != nil {
		return 0
	}
	return l.options.Times.oldUTC(time.UnixMilli(millis).UTC(), now).UnixMilli()
}

// rfc5424 reads a time with a zone.
func (l *Lines) rfc5424(p []byte) (int64, bool) {
	if len(p) <= dateTime {
		return 0, false
	}
	t, err := l.iso.Millis(p[:dateTime])
	if err != nil {
		return 0, false
	}
	p = p[dateTime:]
	if p[0] == '.' {
		digits := 1
		for digits < len(p) && isDigit(p[digits]) {
			digits++
		}
		if digits == 1 || digits == len(p) { // no digits, or no zone
			return 0, false
		}
		ms := number(p[1:min(digits, 4)])
		for n := digits; n < 4; n++ {
			ms *= 10
		}
		t += int64(ms)
		p = p[digits:]
	}
	if p[0] != '+' && p[0] != '-' {
		return t, true // Z, and whatever else stands there
	}
	if !like(p[1:], "00:00") {
		return 0, false
	}
	offset := int64(number(p[1:])*60+number(p[4:6])) * 60_000
	if p[0] == '+' {
		offset = -offset
	}
	return t + offset, true
}

// Package syslog turns bytes into events as Flume's syslog sources do. It reads, writes and waits for nothing itself.
//
//	bytes ─▶ Cut ─▶ messages ─▶ Events ─▶ batch           TCP: whatever pieces the bytes come in
//	datagram ─▶ Datagram ─▶ messages ─▶ Events ─▶ batch   UDP
//
// There are two readers, because Flume has two: [Messages] for syslogtcp and syslogudp, [Lines] for multiport_syslogtcp.
// They differ in nearly everything that can be seen:
//
//	                    Messages                                        Lines
//	headers             priority version                                Priority Version
//	of what does not    Facility, Severity, and flume.syslog.status     flume.syslog.status = Invalid, nothing else
//	fit                 where the priority is bad
//	host                word characters . @ -                           all up to the next blank
//	zone of RFC 3164    the agent's                                     UTC
//	the bytes are       UTF-8, mended                                   in a charset for each port, or Invalid
//
// A message ends with \n. One of more than the greatest size is cut: the first part has flume.syslog.status =
// Incomplete, and what follows is read as a message of its own. So is what a connection ends with: it may be whole.
//
// Both also take the octet counting of RFC 6587, which Flume does not have: "27 <13>Oct 11 22:14:15 host hi". It is told
// from a line by its start, a number, a blank, and a priority in brackets; and the number is no greater than a message
// may be, or 1 MiB. In such a message \n is text, but at the end.
//
// The events of a batch are cut from four allocations: events, headers, header values, bodies.
package syslog

import (
	"strconv"
	"strings"

	"github.com/sluice-io/sluice/flume"
)

// Keep are the fields that stay in the body.
type Keep uint8

const (
	Priority Keep = 1 << iota
	Version
	Timestamp
	Hostname
	All // the whole message as it came
)

// ParseKeep reads keepFields as Flume does: a word is found wherever it stands, and what is not known is nothing.
func ParseKeep(text string) Keep {
	text = strings.ToLower(strings.TrimSpace(text))
	switch text {
	case "none", "false":
		return 0
	case "all", "true":
		return All
	}
	var k Keep
	for field, word := range map[Keep]string{Priority: "priority", Version: "version", Timestamp: "timestamp", Hostname: "hostname"} {
		if strings.Contains(text, word) {
			k |= field
		}
	}
	return k
}

// Header names.
const (
	facilityHeader  = "Facility"
	severityHeader  = "Severity"
	timestampHeader = "timestamp"
	hostHeader      = "host"
	statusHeader    = "flume.syslog.status"
)

// A status is what flume.syslog.status says.
type status uint8

const (
	good       status = iota // no header
	incomplete               // longer than the greatest size, or the connection ended before \n
	invalid
)

// A frame is one message as it came, without its end.
type frame struct {
	text   []byte
	status status
	sender int  // of a datagram
	bad    bool // a line that is no message
}

// frames are what has been cut and not yet been taken.
type frames struct {
	list []frame
	size int // of their texts
}

func (f *frames) add(text []byte, s status) {
	f.list = append(f.list, frame{text: text, status: s})
	f.size += len(text)
}

// Len is how many messages have been cut.
func (f *frames) Len() int { return len(f.list) }

// Size is how many bytes they have.
func (f *frames) Size() int { return f.size }

// Clear forgets the messages, so that the bytes they were cut from may be used again.
func (f *frames) Clear() { f.list, f.size = f.list[:0], 0 }

// Idle gives up memory: nothing comes for now.
func (f *frames) Idle() { f.list, f.size = nil, 0 }

// mostHeaders is how many a message has from its text.
const mostHeaders = 7

// A batch is one that is being made. All bodies lie in one allocation, all header values in another.
type batch struct {
	events  flume.Batch
	headers flume.Headers
	bodies  []byte
	values  strings.Builder
	from    int // the headers of the event that is being made
}

// usualValues is how many bytes the header values of a message mostly have.
const usualValues = 48

// start makes room for the events of list with so many more headers each; composed: bodies have kept fields in front.
func (b *batch) start(list []frame, more int, composed bool) {
	size := 0
	for i := range list {
		size += len(list[i].text)
		if composed {
			size += keptExtra
		}
	}
	b.events = make(flume.Batch, 0, len(list))
	b.headers = make(flume.Headers, 0, len(list)*(mostHeaders+more))
	b.bodies = make([]byte, 0, size)
	b.values.Grow(usualValues * len(list))
}

// body copies the parts of a body into the batch.
func (b *batch) body(parts ...[]byte) []byte {
	from := len(b.bodies)
	for _, p := range parts {
		b.bodies = append(b.bodies, p...)
	}
	return b.bodies[from:len(b.bodies):len(b.bodies)]
}

// value copies a header's value into the batch.
func (b *batch) value(p []byte) string {
	from := b.values.Len()
	b.values.Write(p)
	return b.values.String()[from:]
}

// millis is the value of a time.
func (b *batch) millis(t int64) string {
	var digits [20]byte
	return b.value(strconv.AppendInt(digits[:0], t, 10))
}

// header adds a header that the event does not have.
func (b *batch) header(key, value string) {
	b.headers = append(b.headers, flume.Header{Key: key, Value: value})
}

// status adds the header that says what is wrong with a message.
func (b *batch) status(s status) {
	switch s {
	case invalid:
		b.header(statusHeader, "Invalid")
	case incomplete:
		b.header(statusHeader, "Incomplete")
	case good:
	}
}

// end completes an event. More headers replace those of the same name.
func (b *batch) end(body []byte, more flume.Headers) {
next:
	for _, h := range more {
		for i := b.from; i < len(b.headers); i++ {
			if b.headers[i].Key == h.Key {
				b.headers[i].Value = h.Value
				continue next
			}
		}
		b.headers = append(b.headers, h)
	}
	to := len(b.headers)
	b.events = append(b.events, flume.Event{Headers: b.headers[b.from:to:to], Body: body})
	b.from = to
}

// keptExtra is how many bytes kept fields can have that are not in the message: two words "null" in the place of "-".
const keptExtra = 8

// kept are the fields that stay in front of a body, as they are in the message; nil: there is none.
type kept struct{ priority, version, timestamp, host []byte }

// body composes the body of a message. The room for "null" and blanks was asked for when the batch was started.
func (k Keep) body(b *batch, f *kept, rest []byte) []byte {
	if k == 0 {
		return b.body(rest)
	}
	from := len(b.bodies)
	if k&Priority != 0 {
		b.body([]byte("<"), f.priority, []byte(">"))
	}
	if k&Version != 0 && len(f.version) > 0 {
		b.body(f.version, []byte(" "))
	}
	if k&Timestamp != 0 {
		b.body(f.timestamp, []byte(" "))
	}
	if k&Hostname != 0 {
		b.body(f.host, []byte(" "))
	}
	b.body(rest)
	return b.bodies[from:len(b.bodies):len(b.bodies)]
}

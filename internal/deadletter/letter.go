package deadletter

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/position"
)

// Schema is the Avro schema of a dead letter. Its first two fields are those of Flume's own Avro events.
const Schema = schemaBegin + `,` +
	`{"name":"attempt","type":"long","default":0,"doc":"which attempt in a row it was, from 1 on; 0: not known"},` +
	`{"name":"id","type":"string","default":"","doc":"the identity of this letter"}]}`

// schemaOld is what files had before letters had an attempt and an identity.
const schemaOld = schemaBegin + `]}`

const schemaBegin = `{"type":"record","name":"DeadLetter","namespace":"io.sluice","fields":[` +
	`{"name":"headers","type":{"type":"map","values":"string"}},` +
	`{"name":"body","type":"bytes"},` +
	`{"name":"reason","type":"string","doc":"why it can never pass"},` +
	`{"name":"component","type":"string","doc":"who rejected it"},` +
	`{"name":"agent","type":"string"},` +
	`{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"},"doc":"when it was rejected"},` +
	`{"name":"position","type":"string","doc":"where it came from, such as topic-partition@offset; may be empty"},` +
	`{"name":"rawHeaders","type":["null",{"type":"array","items":{"type":"record","name":"Header","fields":[` +
	`{"name":"key","type":"bytes"},{"name":"value","type":"bytes"}]}}],` +
	`"doc":"all headers byte for byte, where headers had to replace what is no UTF-8"}`

// A Letter is one dead letter.
type Letter struct {
	ID        string // no other letter has it
	Headers   flume.Headers
	Body      []byte
	Reason    string
	Component string
	Agent     string
	Time      time.Time
	Attempt   int // from 1 on; 0: not known
	Position  string
}

// Make makes the letter of a rejection.
func Make(r *flume.Rejection, id, component, agent string, now time.Time) Letter {
	reason := "no reason given"
	if r.Err != nil {
		reason = r.Err.Error()
	}
	return Letter{ID: id, Headers: r.Event.Headers, Body: r.Event.Body, Reason: reason, Component: component, Agent: agent,
		Time: now, Attempt: max(r.Attempt, 1), Position: r.Position}
}

// Event is the event as it was, with the identity of the letter.
func (l *Letter) Event() flume.Event {
	e := flume.Event{Headers: append(flume.Headers(nil), l.Headers...), Body: l.Body}
	e.Headers.Set(flume.LetterID, l.ID)
	return e
}

// PlaceOf is the position of an event that is replayed: of the letters, under the letter's identity. Empty: it is none.
func PlaceOf(e *flume.Event) string {
	id, _ := e.Headers.Get(flume.LetterID)
	at := strings.LastIndexByte(id, '-')
	if at < 0 {
		return ""
	}
	n, err := strconv.ParseInt(id[at+1:], 10, 64)
	if err != nil || n < 0 {
		return ""
	}
	return position.Position{Partition: position.Partition{Cluster: position.Letter, Topic: id[:at]}, Offset: n}.String()
}

// The headers of an event that is handed to a channel or a sink as a letter, beside flume.LetterID.
const (
	HeaderReason    = "deadletter.reason"
	HeaderComponent = "deadletter.component"
	HeaderAgent     = "deadletter.agent"
	HeaderTime      = "deadletter.time" // milliseconds since 1970
	HeaderAttempt   = "deadletter.attempt"
	HeaderPosition  = "deadletter.position"
)

// Told is the event with everything that the letter says in its headers.
func (l *Letter) Told() flume.Event {
	e := l.Event()
	e.Headers.Set(HeaderReason, l.Reason)
	e.Headers.Set(HeaderComponent, l.Component)
	e.Headers.Set(HeaderAgent, l.Agent)
	e.Headers.Set(HeaderTime, strconv.FormatInt(l.Time.UnixMilli(), 10))
	e.Headers.Set(HeaderAttempt, strconv.Itoa(l.Attempt))
	e.Headers.Delete(HeaderPosition) // of an earlier letter
	if l.Position != "" {
		e.Headers.Set(HeaderPosition, l.Position)
	}
	return e
}

// appendFileHeader is the head of an object container: the magic, the metadata, the marker between blocks.
func appendFileHeader(b []byte, marker [16]byte) []byte {
	b = append(b, 'O', 'b', 'j', 1)
	b = binary.AppendVarint(b, 2)
	b = appendText(b, "avro.codec")
	b = appendText(b, "null")
	b = appendText(b, "avro.schema")
	b = appendText(b, Schema)
	b = binary.AppendVarint(b, 0)
	return append(b, marker[:]...)
}

func appendLetter(b []byte, l *Letter) []byte {
	h := l.Headers
	if len(h) > 0 {
		b = binary.AppendVarint(b, int64(len(h)))
		for i := range h {
			b = appendText(b, h[i].Key)
			b = appendText(b, h[i].Value)
		}
	}
	b = binary.AppendVarint(b, 0)
	b = binary.AppendVarint(b, int64(len(l.Body)))
	b = append(b, l.Body...)
	b = appendText(b, l.Reason)
	b = appendText(b, l.Component)
	b = appendText(b, l.Agent)
	b = binary.AppendVarint(b, l.Time.UnixMilli())
	b = appendText(b, l.Position)
	if isText(h) {
		b = binary.AppendVarint(b, 0) // null
	} else {
		b = binary.AppendVarint(b, 1)
		b = binary.AppendVarint(b, int64(len(h)))
		for i := range h {
			b = appendBytes(b, h[i].Key)
			b = appendBytes(b, h[i].Value)
		}
		b = binary.AppendVarint(b, 0)
	}
	b = binary.AppendVarint(b, int64(l.Attempt))
	return appendText(b, l.ID)
}

func isText(h flume.Headers) bool {
	for i := range h {
		if !utf8.ValidString(h[i].Key) || !utf8.ValidString(h[i].Value) {
			return false
		}
	}
	return true
}

// appendText writes an Avro string, which is UTF-8.
func appendText(b []byte, s string) []byte { return appendBytes(b, strings.ToValidUTF8(s, "\uFFFD")) }

func appendBytes(b []byte, s string) []byte {
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

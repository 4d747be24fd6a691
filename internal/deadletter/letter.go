package deadletter

import (
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
)

// Schema is the Avro schema of a dead letter. Its first two fields are those of Flume's own Avro events.
const Schema = `{"type":"record","name":"DeadLetter","namespace":"io.sluice","fields":[` +
	`{"name":"headers","type":{"type":"map","values":"string"}},` +
	`{"name":"body","type":"bytes"},` +
	`{"name":"reason","type":"string","doc":"why it can never pass"},` +
	`{"name":"component","type":"string","doc":"who rejected it"},` +
	`{"name":"agent","type":"string"},` +
	`{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"},"doc":"when it was rejected"},` +
	`{"name":"position","type":"string","doc":"where it came from, such as topic-partition@offset; may be empty"},` +
	`{"name":"rawHeaders","type":["null",{"type":"array","items":{"type":"record","name":"Header","fields":[` +
	`{"name":"key","type":"bytes"},{"name":"value","type":"bytes"}]}}],` +
	`"doc":"all headers byte for byte, where headers had to replace what is no UTF-8"}]}`

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

func appendLetter(b []byte, r *flume.Rejection, component, agent string, now time.Time) []byte {
	h := r.Event.Headers
	if len(h) > 0 {
		b = binary.AppendVarint(b, int64(len(h)))
		for i := range h {
			b = appendText(b, h[i].Key)
			b = appendText(b, h[i].Value)
		}
	}
	b = binary.AppendVarint(b, 0)
	b = binary.AppendVarint(b, int64(len(r.Event.Body)))
	b = append(b, r.Event.Body...)
	reason := "no reason given"
	if r.Err != nil {
		reason = r.Err.Error()
	}
	b = appendText(b, reason)
	b = appendText(b, component)
	b = appendText(b, agent)
	b = binary.AppendVarint(b, now.UnixMilli())
	b = appendText(b, r.Position)
	if isText(h) {
		return binary.AppendVarint(b, 0) // null
	}
	b = binary.AppendVarint(b, 1)
	b = binary.AppendVarint(b, int64(len(h)))
	for i := range h {
		b = appendBytes(b, h[i].Key)
		b = appendBytes(b, h[i].Value)
	}
	return binary.AppendVarint(b, 0)
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

package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Value counts the event that a Kafka record's value is. Bytes after the event are ignored, as Flume does, except
// where they show that the value is something else: a Schema Registry prefix reads as an empty event. An error names
// the mistake where it is a known one, and what to do; nothing is counted then.
func (t *Tally) Value(value []byte) error {
	if len(value) == 0 {
		return errors.New("the value is empty: it is no AvroFlumeEvent, which has two bytes at least (a tombstone, or a plain producer's empty message)")
	}
	n := *t
	end, err := n.event(value, 0)
	if err == nil && !registered(value, end) {
		*t = n
		return nil
	}
	if m := mistake(value); m != "" {
		return fmt.Errorf("the value is no AvroFlumeEvent but %s", m)
	}
	return err
}

// registry is the length of a Schema Registry prefix: 00 and a 4-byte schema id.
const registry = 5

// registered reports whether a value that reads as an event up to end is rather one behind a Schema Registry prefix.
// The prefix reads as no headers and, with an id below 2^24, as an empty body.
func registered(value []byte, end int) bool {
	return value[0] == 0 && end < len(value) && (end == leastEvent || behind(value, registry))
}

// behind reports whether an event stands at at and nothing after it.
func behind(value []byte, at int) bool {
	if len(value) < at+leastEvent {
		return false
	}
	var t Tally
	end, err := t.event(value, at)
	return err == nil && end == len(value)
}

// mistake says what value looks like, for a value that is no event.
func mistake(value []byte) string {
	const bare = "write the bare datum (Java: binaryEncoder; Python: BinaryEncoder or schemaless_writer)"
	switch {
	case bytes.HasPrefix(value, []byte("Obj\x01")):
		return "an Avro container file (it starts with Obj and 01): the producer used a file writer; " + bare
	case bytes.HasPrefix(value, []byte{0xc3, 0x01}):
		return "an Avro single-object message (it starts with c3 01 and 8 bytes of a schema's fingerprint); " + bare
	case value[0] == 0 && behind(value, registry):
		return "one with a Schema Registry prefix (00 and a 4-byte schema id): the producer used a registry's serializer; " + bare
	case bytes.HasPrefix(value, []byte{0, 0}):
		return fmt.Sprintf("an empty one with %d bytes after it, as a Schema Registry prefix reads (00 and a 4-byte schema id); %s", len(value)-leastEvent, bare)
	case json.Valid(value) && bytes.ContainsAny(bytes.TrimSpace(value)[:1], `{["`):
		return "JSON text: set useFlumeEventFormat = false (Kafka channel: parseAsFlumeEvent = false) to take the value as the body"
	case text(value):
		return "plain text: set useFlumeEventFormat = false (Kafka channel: parseAsFlumeEvent = false) to take the value as the body"
	}
	return ""
}

func text(value []byte) bool {
	if !utf8.Valid(value) {
		return false
	}
	for _, r := range string(value) {
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}

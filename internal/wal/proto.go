package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The log uses four wire types of protocol buffers; a message here is a handful of fields, so these few functions are
// all there is of it.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errShort = errors.New("the message ends too early")

// A field is one entry of a message: num holds what a varint or a fixed number is, bytes what the others are.
type field struct {
	no, wire int
	num      uint64
	bytes    []byte
}

// nextField cuts the first field off b.
func nextField(b []byte) (f field, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return f, nil, errShort
	}
	if tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return f, nil, fmt.Errorf("field number %d", tag>>3)
	}
	f.no, f.wire = int(tag>>3), int(tag&7)
	b = b[n:]
	switch f.wire {
	case wireVarint:
		f.num, n = binary.Uvarint(b)
		if n <= 0 {
			return f, nil, errShort
		}
		return f, b[n:], nil
	case wireFixed64:
		if len(b) < 8 {
			return f, nil, errShort
		}
		f.num = binary.LittleEndian.Uint64(b)
		return f, b[8:], nil
	case wireFixed32:
		if len(b) < 4 {
			return f, nil, errShort
		}
		f.num = uint64(binary.LittleEndian.Uint32(b))
		return f, b[4:], nil
	case wireBytes:
		f.bytes, b, err = delimited(b)
		return f, b, err
	default:
		return f, nil, fmt.Errorf("wire type %d", f.wire)
	}
}

// delimited cuts a length and that many bytes off b.
func delimited(b []byte) (msg, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, errShort
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}

func uvarintLen(n int) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

func appendFixed32(b []byte, no int, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(b, byte(no<<3|wireFixed32)), v)
}

func appendFixed64(b []byte, no int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, byte(no<<3|wireFixed64)), v)
}

func appendBytes(b []byte, no int, v []byte) []byte {
	b = binary.AppendUvarint(append(b, byte(no<<3|wireBytes)), uint64(len(v)))
	return append(b, v...)
}

func appendString(b []byte, no int, v string) []byte {
	b = binary.AppendUvarint(append(b, byte(no<<3|wireBytes)), uint64(len(v)))
	return append(b, v...)
}

// appendDelimited appends a message with its length before it.
func appendDelimited(b, msg []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(msg))), msg...)
}

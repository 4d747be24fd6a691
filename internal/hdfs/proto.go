package hdfs

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Hadoop's messages are protocol buffers (proto2). They are small and few, so these functions are all there is of it.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errShort = errors.New("the message ends too early")

// A message is one that is being written, field by field.
type message []byte

func (m *message) num(no int, v uint64) *message {
	*m = binary.AppendUvarint(binary.AppendUvarint(*m, uint64(no)<<3|wireVarint), v)
	return m
}

func (m *message) sint(no int, v int64) *message { return m.num(no, uint64(v)<<1^uint64(v>>63)) }

func (m *message) flag(no int, v bool) *message {
	if v {
		return m.num(no, 1)
	}
	return m.num(no, 0)
}

func (m *message) bytes(no int, v []byte) *message {
	*m = binary.AppendUvarint(binary.AppendUvarint(*m, uint64(no)<<3|wireBytes), uint64(len(v)))
	*m = append(*m, v...)
	return m
}

func (m *message) text(no int, v string) *message {
	*m = binary.AppendUvarint(binary.AppendUvarint(*m, uint64(no)<<3|wireBytes), uint64(len(v)))
	*m = append(*m, v...)
	return m
}

// delimited appends msg with its length before it.
func delimited(b, msg []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(msg))), msg...)
}

// cut is the reverse of delimited.
func cut(b []byte) (msg, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, errShort
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}

// A scan goes over the fields of a message. After next, no is the field's number, and num or data what it holds; data
// is part of the message's bytes.
type scan struct {
	rest []byte
	no   int
	num  uint64
	data []byte
	err  error
}

func (s *scan) next() bool {
	if s.err != nil || len(s.rest) == 0 {
		return false
	}
	tag, n := binary.Uvarint(s.rest)
	if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		s.err = errShort
		return false
	}
	b := s.rest[n:]
	s.no, s.num, s.data = int(tag>>3), 0, nil
	switch tag & 7 {
	case wireVarint:
		if s.num, n = binary.Uvarint(b); n <= 0 {
			s.err = errShort
			return false
		}
		s.rest = b[n:]
	case wireFixed64:
		if len(b) < 8 {
			s.err = errShort
			return false
		}
		s.num, s.rest = binary.LittleEndian.Uint64(b), b[8:]
	case wireFixed32:
		if len(b) < 4 {
			s.err = errShort
			return false
		}
		s.num, s.rest = uint64(binary.LittleEndian.Uint32(b)), b[4:]
	case wireBytes:
		s.data, s.rest, s.err = cut(b)
	default:
		s.err = fmt.Errorf("wire type %d", tag&7)
	}
	return s.err == nil
}

// sint is the number of a field of a signed type.
func (s *scan) sint() int64 { return int64(s.num>>1) ^ -int64(s.num&1) }

// numbers appends the numbers of a repeated field, which may come packed or one by one.
func (s *scan) numbers(to []uint64) []uint64 {
	if s.data == nil {
		return append(to, s.num)
	}
	for b := s.data; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			s.err = errShort
			return to
		}
		to, b = append(to, v), b[n:]
	}
	return to
}

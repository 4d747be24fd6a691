package thriftrpc

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A reader takes one message apart. The first error stays; what is read after it is empty.
type reader struct {
	rest     []byte
	size     int // of the whole message, for errors
	protocol Protocol
	err      error
}

func newReader(message []byte, p Protocol) reader {
	return reader{rest: message, size: len(message), protocol: p}
}

// mostDepth is how deep fields that nobody knows may nest.
const mostDepth = 64

// mostName is how long the name of a method may be.
const mostName = 256

// message is the head of a message.
type message struct {
	kind     byte
	sequence int32
	name     []byte
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w at byte %d of %d: "+format, append([]any{errStruct, r.size - len(r.rest), r.size}, args...)...)
	}
	r.rest = nil
}

// take cuts n bytes off.
func (r *reader) take(n uint64, what string) []byte {
	if n > uint64(len(r.rest)) {
		r.fail("%s of %d bytes, where %d are left", what, n, len(r.rest))
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte(what string) byte {
	if len(r.rest) == 0 {
		r.fail("it ends before %s", what)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) int16(what string) int16 {
	if b := r.take(2, what); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32(what string) int32 {
	if b := r.take(4, what); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) varint(what string) uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 { // nearly all of them
		v := uint64(r.rest[0])
		r.rest = r.rest[1:]
		return v
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("it ends in %s, or that is no number", what)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// i32 reads a number of type i32.
func (r *reader) i32(what string) int32 {
	if r.protocol == Binary {
		return r.int32(what)
	}
	v := unzigzag(r.varint(what))
	if v != int64(int32(v)) {
		r.fail("%s is %d, which is no number of 32 bits", what, v)
		return 0
	}
	return int32(v)
}

// length reads how many there are of something that takes least bytes or more each.
func (r *reader) length(least uint64, what string) int {
	var n uint64
	if r.protocol == Binary {
		v := r.int32(what)
		if v < 0 {
			r.fail("%s has a length of %d", what, v)
			return 0
		}
		n = uint64(v)
	} else {
		n = r.varint(what)
	}
	if n > math.MaxInt32 || n*least > uint64(len(r.rest)) {
		r.fail("%s has a length of %d, where %d bytes are left", what, n, len(r.rest))
		return 0
	}
	return int(n)
}

// bytes reads a string or binary.
func (r *reader) bytes(what string) []byte { return r.take(uint64(r.length(1, what)), what) }

// head reads the head of a message.
func (r *reader) head() message {
	var m message
	switch {
	case r.protocol == Compact:
		first, second := r.byte("the protocol"), r.byte("the version")
		if r.err == nil && (first != 0x82 || second&0x1f != 1) {
			r.fail("%s", strange(Compact, first, second))
		}
		m.kind = second >> 5
		m.sequence = int32(uint32(r.varint("the sequence number")))
		m.name = r.bytes("the name of the method")
	case len(r.rest) > 1 && r.rest[0]&0x80 != 0:
		version := uint32(r.int32("the version"))
		if version>>16 != 0x8001 {
			r.fail("%s", strange(Binary, byte(version>>24), byte(version>>16)))
		}
		m.kind = byte(version)
		m.name = r.bytes("the name of the method")
		m.sequence = r.int32("the sequence number")
	default: // the old style
		m.name = r.bytes("the name of the method")
		m.kind = r.byte("the kind of message")
		m.sequence = r.int32("the sequence number")
	}
	switch {
	case len(m.name) > mostName:
		r.fail("the name of the method has %d bytes", len(m.name))
	case r.err == nil && (m.kind < kindCall || m.kind > kindOneway):
		r.fail("%d is no kind of message", m.kind)
	}
	return m
}

// strange says what a message is that starts with these two bytes, where p was expected.
func strange(p Protocol, first, second byte) string {
	switch {
	case p == Compact && first == 0x80 && second == 1:
		return "the peer speaks the binary protocol (protocol = binary), and this end compact"
	case p == Compact && first == 0 && second == 0:
		return "the peer speaks the binary protocol in its old style (protocol = binary), and this end compact"
	case p == Binary && first == 0x82:
		return "the peer speaks the compact protocol (protocol = compact), and this end binary"
	}
	return fmt.Sprintf("it starts with %02x %02x", first, second)
}

// field reads the head of a field, whose id may be given as the difference to that of the last. typeStop is the end.
func (r *reader) field(last int16) (typ byte, id int16) {
	if r.protocol == Binary {
		if typ = r.byte("a field"); typ == typeStop {
			return typeStop, 0
		}
		return typ, r.int16("the number of a field")
	}
	b := r.byte("a field")
	if b == typeStop {
		return typeStop, 0
	}
	typ = r.compactType(b & 0x0f)
	if delta := int16(b >> 4); delta != 0 {
		return typ, last + delta
	}
	return typ, int16(unzigzag(r.varint("the number of a field")))
}

func (r *reader) compactType(b byte) byte {
	if b == 0 || int(b) >= len(compactTypes) {
		r.fail("%d is no type", b)
		return typeStop
	}
	return compactTypes[b]
}

// element is the type of what is in a container, where a truth value takes a byte.
func (r *reader) element(b byte) byte {
	if typ := r.compactType(b); typ != typeTrue {
		return typ
	}
	return typeBool
}

// list reads the head of a list or set.
func (r *reader) list(what string) (element byte, n int) {
	if r.protocol == Binary {
		element = r.byte(what)
		return element, r.length(r.least(element), what)
	}
	b := r.byte(what)
	if b>>4 == 0 { // of what is all the same
		return typeStruct, 0
	}
	element = r.element(b & 0x0f)
	if n = int(b >> 4); n == 15 {
		return element, r.length(r.least(element), what)
	}
	if uint64(n)*r.least(element) > uint64(len(r.rest)) {
		r.fail("%s has a length of %d, where %d bytes are left", what, n, len(r.rest))
		return 0, 0
	}
	return element, n
}

// pairs reads the head of a map. Of an empty one the compact protocol does not tell the types.
func (r *reader) pairs(what string) (key, value byte, n int) {
	if r.protocol == Binary {
		key, value = r.byte(what), r.byte(what)
		return key, value, r.length(r.least(key)+r.least(value), what)
	}
	if n = r.length(2, what); n == 0 {
		return typeString, typeString, 0
	}
	b := r.byte(what)
	return r.element(b >> 4), r.element(b & 0x0f), n
}

// least is the number of bytes that a value takes at least.
func (r *reader) least(typ byte) uint64 {
	switch typ {
	case typeDouble:
		return 8
	case typeUUID:
		return 16
	}
	if r.protocol == Compact {
		return 1
	}
	switch typ {
	case typeI16:
		return 2
	case typeI32, typeString:
		return 4
	case typeI64:
		return 8
	case typeSet, typeList:
		return 5
	case typeMap:
		return 6
	}
	return 1
}

// skip reads a value that nobody asks for.
func (r *reader) skip(typ byte, depth int) {
	if depth > mostDepth {
		r.fail("fields are nested too deep")
		return
	}
	switch typ {
	case typeTrue:
	case typeBool, typeByte:
		r.byte("a value")
	case typeDouble:
		r.take(8, "a value")
	case typeUUID:
		r.take(16, "a value")
	case typeI16, typeI32, typeI64:
		if r.protocol == Compact {
			r.varint("a value")
		} else {
			r.take(r.least(typ), "a value")
		}
	case typeString:
		r.bytes("a value")
	case typeStruct:
		for last := int16(0); r.err == nil; {
			field, id := r.field(last)
			if field == typeStop {
				return
			}
			r.skip(field, depth+1)
			last = id
		}
	case typeMap:
		key, value, n := r.pairs("a map")
		for ; n > 0 && r.err == nil; n-- {
			r.skip(key, depth+1)
			r.skip(value, depth+1)
		}
	case typeSet, typeList:
		element, n := r.list("a list")
		for ; n > 0 && r.err == nil; n-- {
			r.skip(element, depth+1)
		}
	default:
		r.fail("%d is no type", typ)
	}
}

package avrorpc

import (
	"encoding/binary"
	"fmt"
)

// A reader takes Avro's primitives from a payload. The first error stays; what is read after it is empty.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.rest = nil
}

func (r *reader) long(what string) int64 {
	v, n := binary.Varint(r.rest) // zig-zag, as Avro's
	if n <= 0 {
		r.fail("the payload ends in %s, or it is no number", what)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) take(n int64, what string) []byte {
	if n < 0 || n > int64(len(r.rest)) {
		r.fail("%s has a length of %d, where %d bytes are left", what, n, len(r.rest))
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) bytes(what string) []byte { return r.take(r.long(what), what) }

func (r *reader) hash(what string) hash {
	var h hash
	copy(h[:], r.take(int64(len(h)), what))
	return h
}

// branch reads which of n branches of a union follows.
func (r *reader) branch(n int64, what string) int64 {
	b := r.long(what)
	if b < 0 || b >= n {
		r.fail("%s is branch %d of a union that has %d", what, b, n)
		return 0
	}
	return b
}

// block reads the head of a block of a map or array and returns the number of its items, each of which takes least
// bytes or more; 0 is the end.
func (r *reader) block(least int64, what string) int64 {
	n := r.long(what)
	if n < 0 {
		n = -n
		r.long(what)
	}
	if n < 0 || r.err == nil && least > 0 && n > int64(len(r.rest))/least {
		r.fail("%s has %d entries, where %d bytes are left", what, uint64(n), len(r.rest))
		return 0
	}
	return n
}

// meta skips a map of bytes.
func (r *reader) meta(what string) {
	for n := r.block(2, what); n > 0; n = r.block(2, what) {
		for ; n > 0 && r.err == nil; n-- {
			r.bytes(what)
			r.bytes(what)
		}
	}
}

func appendBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

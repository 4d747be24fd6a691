package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluice-io/sluice/flume"
)

// Data files of version 2 (Flume 1.2 and 1.3) are only read. Their records have no length: where one ends is known
// only by walking through it.
const (
	v2Header    = 24
	v2Magic     = 0xDEADBEEF
	v2HeaderTag = 0x8C // stands before a key and before a value
)

// decodeV2 takes the record at the beginning of b apart; b begins with the operation byte. errShort: b must be longer.
func decodeV2(b []byte) (r record, err error) {
	r.version = 2
	d := v2reader{b: b[1:]}
	if m := d.uint32(); d.err == nil && m != v2Magic {
		return r, fmt.Errorf("the magic number is %08x", m)
	}
	k := d.uint16()
	r.tx = int64(d.uint64())
	r.woid = int64(d.uint64())
	r.kind = kindOf(uint32(k))
	switch r.kind {
	case kindPut:
		start := len(b) - len(d.b)
		d.event(nil)
		r.event = b[start : len(b)-len(d.b)]
	case kindTake:
		offset := d.uint32()
		r.take = pointer(d.uint32(), int64(offset))
	case kindRollback:
	case kindCommit:
		r.of = kindOf(uint32(d.uint16()))
		if d.err == nil && r.of != kindPut && r.of != kindTake {
			return r, errors.New("commit: it says neither of puts nor of takes")
		}
	default:
		if d.err == nil {
			return r, fmt.Errorf("there is no record of %s", r.kind)
		}
	}
	r.size = int64(len(b) - len(d.b))
	return r, d.err
}

// A v2reader cuts values off b until the first error, which it keeps.
type v2reader struct {
	b   []byte
	err error
}

func (d *v2reader) bytes(n int) []byte {
	if d.err == nil && n < 0 {
		d.err = errors.New("a length is negative")
	}
	if d.err == nil && n > len(d.b) {
		d.err = errShort
	}
	if d.err != nil {
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *v2reader) byte() byte {
	if v := d.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *v2reader) uint16() uint16 {
	if v := d.bytes(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (d *v2reader) uint32() uint32 {
	if v := d.bytes(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (d *v2reader) uint64() uint64 {
	if v := d.bytes(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// vint is Hadoop's number of variable length.
func (d *v2reader) vint() int {
	first := int8(d.byte())
	if first >= -112 {
		return int(first)
	}
	n := -112 - int(first)
	if first < -120 {
		n = -120 - int(first)
	}
	v := int64(0)
	for _, b := range d.bytes(n) {
		v = v<<8 | int64(b)
	}
	if first < -120 {
		v = ^v
	}
	if d.err == nil && v != int64(int32(v)) {
		d.err = errors.New("a length is out of range")
	}
	return int(v)
}

func (d *v2reader) text() []byte {
	if t := d.byte(); d.err == nil && t != v2HeaderTag {
		d.err = fmt.Errorf("0x%02x stands where a header should", t)
	}
	return d.bytes(d.vint())
}

// event walks through headers and body; where e is not nil, they go there, cut from the bytes.
func (d *v2reader) event(e *flume.Event) {
	for range d.byte() { // classes of an older serialization
		d.byte()
		d.bytes(int(d.uint16()))
	}
	n := int(int32(d.uint32()))
	if d.err == nil && n < 0 {
		d.err = errors.New("the number of headers is negative")
	}
	for i := 0; i < n && d.err == nil; i++ {
		key, value := d.text(), d.text()
		if e != nil && d.err == nil {
			e.Headers = append(e.Headers, flume.Header{Key: text(key), Value: text(value)})
		}
	}
	if size := int(int32(d.uint32())); size != -1 { // -1: no body
		body := d.bytes(size)
		if e != nil {
			e.Body = body
		}
	}
}

func decodeEventV2(b []byte) flume.Event {
	var e flume.Event
	d := v2reader{b: b}
	d.event(&e)
	e.Headers = e.Headers.Unique()
	return e
}

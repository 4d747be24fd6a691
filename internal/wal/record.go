package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/sluice-io/sluice/flume"
)

// What stands in the operation byte.
const (
	opRecord = 0x7F
	opNoop   = 0x00 // a record that the integrity tool, or a repair, has made void
	opEnd    = 0x80 // also what preallocated space is filled with
)

// A kind is what a record does. The numbers are the file's.
type kind uint8

const (
	kindPut      kind = 1
	kindTake     kind = 2
	kindRollback kind = 3
	kindCommit   kind = 4
)

func (k kind) String() string {
	switch k {
	case kindPut:
		return "put"
	case kindTake:
		return "take"
	case kindRollback:
		return "rollback"
	case kindCommit:
		return "commit"
	default:
		return fmt.Sprintf("type %d", uint8(k))
	}
}

const (
	framing    = 5  // operation byte and length
	headerSize = 23 // of the header message
	txAt       = 12 // where in a record of ours the transaction ID stands
	orderAt    = 21 // and the write order ID

	takeSize   = 41
	commitSize = 36
	// leastPut is the size of the smallest put of either format: two puts of one file never begin within the same 32 bytes.
	leastPut = 32
)

// A record is one entry of a data file. Its event is cut from the scanner's buffer.
type record struct {
	at   int64 // offset of the operation byte
	size int64 // with the framing
	kind kind
	of   kind    // of a commit: kindPut or kindTake
	take Pointer // of a take: what was taken
	tx   int64
	woid int64 // the write order ID

	event   []byte // of a put: the event message of V3, or headers and body of V2
	headers int    // of a V3 event
	version int
}

// decodePayload takes a V3 payload apart and checks everything in it that can be checked.
func decodePayload(p []byte) (r record, err error) {
	r.version = 3
	header, rest, err := delimited(p)
	if err != nil {
		return r, fmt.Errorf("header: %w", err)
	}
	if err := r.decodeHeader(header); err != nil {
		return r, fmt.Errorf("header: %w", err)
	}
	body, rest, err := delimited(rest)
	if err != nil {
		return r, fmt.Errorf("%s: %w", r.kind, err)
	}
	switch r.kind {
	case kindPut:
		err = r.decodePut(body)
	case kindTake:
		err = r.decodeTake(body)
	case kindRollback:
		err = eachField(body, func(field) error { return nil })
	case kindCommit:
		err = r.decodeCommit(body)
	default:
		return r, fmt.Errorf("header: there is no record of %s", r.kind)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", r.kind, err)
	}
	_, rest, err = delimited(rest)
	if err != nil {
		return r, fmt.Errorf("footer: %w", err)
	}
	if len(rest) > 0 {
		return r, fmt.Errorf("%d bytes follow the footer", len(rest))
	}
	return r, nil
}

// innerSize is how long a payload is by the lengths inside it, 0 when they cannot be read. b may be its beginning.
func innerSize(b []byte) int64 {
	if len(b) <= 1+headerSize || b[0] != headerSize {
		return 0
	}
	body, n := binary.Uvarint(b[1+headerSize:])
	if n <= 0 || body > 1<<31 {
		return 0
	}
	return 1 + headerSize + int64(n) + int64(body) + 1
}

func eachField(b []byte, do func(field) error) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		if err := do(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (r *record) decodeHeader(b []byte) error {
	if plainHeader(b) {
		r.kind = kindOf(binary.LittleEndian.Uint32(b[1:]))
		r.tx = int64(binary.LittleEndian.Uint64(b[6:]))
		r.woid = int64(binary.LittleEndian.Uint64(b[15:]))
		return nil
	}
	have := 0
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		switch {
		case f.no == 1 && f.wire == wireFixed32:
			r.kind, have = kindOf(uint32(f.num)), have|1
		case f.no == 2 && f.wire == wireFixed64:
			r.tx, have = int64(f.num), have|2
		case f.no == 3 && f.wire == wireFixed64:
			r.woid, have = int64(f.num), have|4
		}
	}
	if have != 7 {
		return errors.New("a field is missing")
	}
	return nil
}

// plainHeader tells whether b is a header message as Flume and this package write it.
func plainHeader(b []byte) bool {
	return len(b) == headerSize && b[0] == 1<<3|wireFixed32 && b[5] == 2<<3|wireFixed64 && b[14] == 3<<3|wireFixed64
}

func kindOf(n uint32) kind { return kind(min(n, 255)) }

func (r *record) decodePut(b []byte) error {
	var sum uint64
	summed := false
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		switch {
		case f.no == 1 && f.wire == wireBytes:
			r.event = f.bytes
		case f.no == 2 && f.wire == wireFixed64:
			sum, summed = f.num, true
		}
	}
	if r.event == nil {
		return errors.New("there is no event")
	}
	body, headers, err := checkEvent(r.event)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	r.headers = headers
	if is := crc32.ChecksumIEEE(body); summed && uint64(is) != sum {
		return fmt.Errorf("the body's checksum is %08x, it should be %08x", is, sum)
	}
	return nil
}

func (r *record) decodeTake(b []byte) error {
	var file, offset uint32
	have := 0
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		switch {
		case f.no == 1 && f.wire == wireFixed32:
			file, have = uint32(f.num), have|1
		case f.no == 2 && f.wire == wireFixed32:
			offset, have = uint32(f.num), have|2
		}
	}
	if have != 3 {
		return errors.New("a field is missing")
	}
	r.take = pointer(file, int64(offset))
	return nil
}

func (r *record) decodeCommit(b []byte) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		if f.no == 1 && f.wire == wireFixed32 {
			r.of = kindOf(uint32(f.num))
		}
	}
	if r.of != kindPut && r.of != kindTake {
		return errors.New("it says neither of puts nor of takes")
	}
	return nil
}

// checkEvent walks through an event message and returns its body and the number of its headers.
func checkEvent(b []byte) (body []byte, headers int, err error) {
	found := false
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return nil, 0, err
		}
		b = rest
		if f.wire != wireBytes {
			continue
		}
		switch f.no {
		case 1:
			if _, _, err := decodePair(f.bytes); err != nil {
				return nil, 0, fmt.Errorf("header: %w", err)
			}
			headers++
		case 2:
			body, found = f.bytes, true
		}
	}
	if !found {
		return nil, 0, errors.New("there is no body")
	}
	return body, headers, nil
}

func decodePair(b []byte) (key, value []byte, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return nil, nil, err
		}
		b = rest
		switch {
		case f.no == 1 && f.wire == wireBytes:
			key = f.bytes
		case f.no == 2 && f.wire == wireBytes:
			value = f.bytes
		}
	}
	if key == nil {
		return nil, nil, errors.New("there is no key")
	}
	return key, value, nil
}

// decodeEvent makes an event of a message that checkEvent has passed. Body and header strings are cut from b, which
// nobody may change afterwards; the headers are appended to room, which has space for them.
func decodeEvent(b []byte, room flume.Headers) (flume.Event, flume.Headers) {
	var e flume.Event
	at := len(room)
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			panic("BUG: decoding an event that was not checked: " + err.Error())
		}
		b = rest
		if f.wire != wireBytes {
			continue
		}
		switch f.no {
		case 1:
			key, value, _ := decodePair(f.bytes)
			room = append(room, flume.Header{Key: text(key), Value: text(value)})
		case 2:
			e.Body = f.bytes[:len(f.bytes):len(f.bytes)]
		}
	}
	e.Headers = room[at:len(room):len(room)].Unique()
	return e, room
}

// eventSize is the size of an event's message.
func eventSize(e *flume.Event) int {
	n := 1 + uvarintLen(len(e.Body)) + len(e.Body)
	for i := range e.Headers {
		h := pairSize(&e.Headers[i])
		n += 1 + uvarintLen(h) + h
	}
	return n
}

func pairSize(h *flume.Header) int {
	return 2 + uvarintLen(len(h.Key)) + len(h.Key) + uvarintLen(len(h.Value)) + len(h.Value)
}

// putSize is the size of the record that puts e.
func putSize(e *flume.Event) int {
	event := eventSize(e)
	put := 1 + uvarintLen(event) + event + 9
	return framing + 1 + headerSize + uvarintLen(put) + put + 1
}

// appendPut appends the record that puts e. Like the other append functions it leaves both IDs 0: stamp fills them in.
func appendPut(b []byte, e *flume.Event) []byte {
	event := eventSize(e)
	put := 1 + uvarintLen(event) + event + 9
	b = appendHeader(b, kindPut, uvarintLen(put)+put)
	b = binary.AppendUvarint(b, uint64(put))
	b = append(b, 1<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(event))
	for i := range e.Headers {
		h := &e.Headers[i]
		b = append(b, 1<<3|wireBytes)
		b = binary.AppendUvarint(b, uint64(pairSize(h)))
		b = appendString(b, 1, h.Key)
		b = appendString(b, 2, h.Value)
	}
	b = appendBytes(b, 2, e.Body)
	b = appendFixed64(b, 2, uint64(crc32.ChecksumIEEE(e.Body)))
	return append(b, 0)
}

func appendTake(b []byte, p Pointer) []byte {
	b = appendHeader(b, kindTake, 11)
	b = append(b, 10)
	b = appendFixed32(b, 1, p.File())
	b = appendFixed32(b, 2, uint32(p.Offset()))
	return append(b, 0)
}

func appendCommit(b []byte, of kind) []byte {
	b = appendHeader(b, kindCommit, 6)
	b = append(b, 5)
	b = appendFixed32(b, 1, uint32(of))
	return append(b, 0)
}

// appendHeader appends the framing and the header message of a record whose body message, with its length, has size bytes.
func appendHeader(b []byte, k kind, size int) []byte {
	b = append(b, opRecord)
	b = binary.BigEndian.AppendUint32(b, uint32(1+headerSize+size+1))
	b = append(b, headerSize)
	b = appendFixed32(b, 1, uint32(k))
	b = appendFixed64(b, 2, 0)
	return appendFixed64(b, 3, 0)
}

// stamp writes the two IDs into a record that an append function made.
func stamp(rec []byte, tx, woid int64) {
	binary.LittleEndian.PutUint64(rec[txAt:], uint64(tx))
	binary.LittleEndian.PutUint64(rec[orderAt:], uint64(woid))
}

package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// scanBlock is how much of a file a scanner reads at a time.
const scanBlock = 1 << 20

// A scanner reads the records of one data file in order. What next returns is valid until the call after.
type scanner struct {
	r       io.ReaderAt
	size    int64
	version int
	cipher  *fileCipher // nil: plain
	pos     int64       // of the next record
	block   int         // how much is read at a time
	tears   bool        // the end may be a write that was cut off
	lacks   int64       // bytes that are known to be missing at the end
	cut     bool        // a few bytes of a record were left at the end

	buf   []byte
	at    int64 // where in the file buf begins
	plain []byte
}

// A badRecord is what stands at one place of a file instead of a record.
type badRecord struct {
	at   int64
	next int64 // where reading goes on: the next record, or the end of the file
	why  string
	// torn: the write of the last record was cut off, in a file where that can be. Its transaction has never been
	// acknowledged.
	torn bool
	// head is what could still be read of the record: kind and transaction are right where kind is not 0.
	head record
}

func (b *badRecord) Error() string {
	return fmt.Sprintf("the record at %d is damaged: %s", b.at, b.why)
}

// An undecodable says why there is no record somewhere.
type undecodable struct {
	why   string
	end   int64 // where the record should end; 0 when that is not known
	whole bool  // nothing is wrong but the length
	head  record
}

func (u *undecodable) Error() string { return u.why }

// errCut: the file ends inside a record's length, which is an end like any other where a write may have been cut off.
var errCut = errors.New("the file ends inside the length")

// next returns the next record, io.EOF at the end of the data, or a *badRecord, after which the caller may go on.
func (s *scanner) next() (record, error) {
	for {
		b, err := s.view(s.pos, 1)
		if err != nil {
			return record{}, err
		}
		if len(b) == 0 || b[0] == opEnd {
			if s.lacks > 0 {
				lost := &badRecord{at: s.pos, next: s.size, why: fmt.Sprintf("the file ends %d bytes too early", s.lacks)}
				s.pos, s.lacks = s.size, 0
				return record{}, lost
			}
			return record{}, io.EOF
		}
		if b[0] == opNoop {
			skipped, err := s.skipNoop()
			if err != nil {
				return record{}, err
			}
			if skipped {
				continue
			}
			return record{}, s.bad(&undecodable{why: "what a void record says of its length is wrong"})
		}
		if b[0] != opRecord {
			return record{}, s.bad(&undecodable{why: fmt.Sprintf("the operation byte is 0x%02x", b[0])})
		}
		r, err := s.decode(s.pos)
		var u *undecodable
		switch {
		case err == nil:
			s.pos += r.size
			return r, nil
		case errors.Is(err, errCut) && s.tears:
			s.cut = true
			return record{}, io.EOF
		case errors.Is(err, errCut):
			return record{}, s.bad(&undecodable{why: err.Error()})
		case errors.As(err, &u):
			return record{}, s.bad(u)
		default:
			return record{}, err
		}
	}
}

// view returns n bytes of the file from off, or fewer at its end.
func (s *scanner) view(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), s.size-off))
	if n <= 0 {
		return nil, nil
	}
	if i := off - s.at; i >= 0 && i+int64(n) <= int64(len(s.buf)) {
		return s.buf[i : i+int64(n)], nil
	}
	want := int(min(int64(max(n, s.block)), s.size-off))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf = s.buf[:want]
	m, err := s.r.ReadAt(s.buf, off)
	s.buf, s.at = s.buf[:m], off
	if m < n {
		if err == nil || errors.Is(err, io.EOF) {
			s.size = off + int64(m) // the file has become shorter
			return s.buf, nil
		}
		return nil, err
	}
	return s.buf[:n], nil
}

// decode reads the record at off, where an operation byte of a record stands.
func (s *scanner) decode(off int64) (record, error) {
	if s.version == 2 {
		return s.decodeV2(off)
	}
	b, err := s.view(off, framing+1+headerSize+binary.MaxVarintLen32)
	if err != nil {
		return record{}, err
	}
	if len(b) < framing {
		return record{}, errCut
	}
	n := int64(int32(binary.BigEndian.Uint32(b[1:])))
	h := s.decrypt(b[framing:])
	inner := innerSize(h)
	u := &undecodable{}
	if inner > 0 {
		if u.head.decodeHeader(h[1:1+headerSize]) != nil || u.head.kind < kindPut || u.head.kind > kindCommit {
			u.head = record{}
		}
	}
	if inner != n || n == 0 {
		return s.decodeOdd(off, n, inner, u)
	}
	if off+framing+n > s.size {
		u.why = fmt.Sprintf("it should be %d bytes long and the file ends before", n)
		return record{}, u
	}
	payload, err := s.view(off+framing, int(n))
	if err != nil {
		return record{}, err
	}
	r, err := decodePayload(s.decrypt(payload))
	if err != nil {
		u.why, u.end = err.Error(), off+framing+n
		return record{}, u
	}
	r.at, r.size = off, framing+n
	return r, nil
}

// mostOdd is how long a record may be that is not laid out as Flume and this package do it, or has a wrong length.
const mostOdd = 64 << 20

// decodeOdd reads a record whose length n is not what the lengths inside it come to. Another program may have written
// its fields in another order; or one of the lengths is wrong.
func (s *scanner) decodeOdd(off, n, inner int64, u *undecodable) (record, error) {
	whole := func(n int64) (record, error) {
		if n <= 0 || n > mostOdd || off+framing+n > s.size {
			return record{}, fmt.Errorf("its length is %d", n)
		}
		payload, err := s.view(off+framing, int(n))
		if err != nil {
			return record{}, err
		}
		r, err := decodePayload(s.decrypt(payload))
		r.at, r.size = off, framing+n
		return r, err
	}
	r, err := whole(n)
	if err == nil {
		return r, nil
	}
	u.why = err.Error()
	if _, err := whole(inner); err == nil {
		u.why, u.end, u.whole = fmt.Sprintf("its length is %d and should be %d", n, inner), off+framing+inner, true
	}
	return record{}, u
}

func (s *scanner) decrypt(b []byte) []byte {
	if s.cipher == nil {
		return b
	}
	if cap(s.plain) < len(b) {
		s.plain = make([]byte, max(len(b), int(min(1<<16, s.size))))
	}
	s.plain = s.plain[:len(b)]
	s.cipher.apply(s.plain, b)
	return s.plain
}

func (s *scanner) decodeV2(off int64) (record, error) {
	for n := 1 << 12; ; n *= 8 {
		b, err := s.view(off, n)
		if err != nil {
			return record{}, err
		}
		if len(b) < framing {
			return record{}, errCut
		}
		r, err := decodeV2(b)
		switch {
		case err == nil:
			r.at = off
			return r, nil
		case !errors.Is(err, errShort):
			return record{}, &undecodable{why: err.Error()}
		case len(b) < n:
			return record{}, &undecodable{why: "the file ends before it does"}
		}
	}
}

// skipNoop moves on behind void records. A run of zeros is a run of void records of no length, and what follows need
// not be a multiple of five bytes away.
func (s *scanner) skipNoop() (bool, error) {
	zeros, err := s.zeros(s.pos)
	if err != nil {
		return false, err
	}
	after := s.pos + zeros
	if zeros >= framing {
		s.pos = after - zeros%framing
		if s.pos == after {
			return true, nil
		}
	}
	// What follows zeros may look like the length of a void record and not be one.
	ok, err := s.begins(after)
	if err != nil {
		return false, err
	}
	if ok || s.fills(after) {
		s.pos = after
		return true, nil
	}
	b, err := s.view(s.pos, framing)
	if err != nil || len(b) < framing {
		return false, err
	}
	n := int64(int32(binary.BigEndian.Uint32(b[1:])))
	end := s.pos + framing + n
	if n <= 0 || end > s.size {
		return false, nil
	}
	if ok, err = s.begins(end); err != nil {
		return false, err
	}
	// Behind a hole any bytes may stand, so there only a record is believed.
	if ok || zeros < framing && (s.fills(end) || s.is(end, opNoop)) {
		s.pos = end
		return true, nil
	}
	return false, nil
}

// fills tells whether the file ends at off, or fill begins there.
func (s *scanner) fills(off int64) bool {
	b, err := s.view(off, framing)
	return err == nil && bytes.Count(b, []byte{opEnd}) == len(b)
}

// filled is where the fill at the end of the file begins, not before from.
func (s *scanner) filled(from int64) int64 {
	end := s.size
	for end > from {
		n := min(end-from, 4096)
		b, err := s.view(end-n, int(n))
		if err != nil || int64(len(b)) < n {
			return end
		}
		left := len(bytes.TrimRight(b, string([]byte{opEnd})))
		end -= n - int64(left)
		if left > 0 {
			return end
		}
	}
	return end
}

func (s *scanner) zeros(off int64) (int64, error) {
	n := int64(0)
	for {
		b, err := s.view(off+n, 4096)
		if err != nil {
			return 0, err
		}
		for i, c := range b {
			if c != 0 {
				return n + int64(i), nil
			}
		}
		if len(b) == 0 {
			return n, nil
		}
		n += int64(len(b))
	}
}

func (s *scanner) is(off int64, op byte) bool {
	b, err := s.view(off, 1)
	return err == nil && len(b) == 1 && b[0] == op
}

// begins tells whether a sound record begins at off.
func (s *scanner) begins(off int64) (bool, error) {
	if off < 0 || off >= s.size || !s.is(off, opRecord) {
		return false, nil
	}
	_, err := s.decode(off)
	var u *undecodable
	if errors.As(err, &u) || errors.Is(err, errCut) {
		return false, nil
	}
	return err == nil, err
}

// bad finds out how far the damage at s.pos goes and moves on behind it.
func (s *scanner) bad(u *undecodable) error {
	b := &badRecord{at: s.pos, why: u.why, head: u.head}
	next, found, err := s.resume(u)
	if err != nil {
		return err
	}
	b.next = next
	if !found && s.tears {
		b.torn, err = s.torn(u)
		if err != nil {
			return err
		}
	}
	if !found && b.next == s.size {
		if !b.torn {
			if b.head.kind == kindPut || b.head.kind == kindTake {
				b.head = record{} // more than this record may be missing: also a commit
			}
			b.next = s.pos + max(1, s.filled(s.pos)-s.pos)
		}
		if s.lacks > 0 {
			b.why += fmt.Sprintf(", and the file ends %d bytes too early", s.lacks)
			s.lacks = 0
		}
	}
	s.pos = b.next
	return b
}

// resume looks for where reading can go on. A length that leads to something sensible is believed, so that what looks
// like a record inside an event is not taken for one.
func (s *scanner) resume(u *undecodable) (next int64, found bool, err error) {
	if u.end > 0 {
		ok, err := s.begins(u.end)
		if ok || err != nil {
			return u.end, ok, err
		}
		if s.fills(u.end) {
			return u.end, false, nil
		}
	}
	for off := s.pos + 1; off < s.size; {
		b, err := s.view(off, 4096)
		if err != nil {
			return 0, false, err
		}
		i := bytes.IndexByte(b, opRecord)
		if i < 0 {
			off += int64(len(b))
			continue
		}
		off += int64(i)
		ok, err := s.likely(off)
		if ok || err != nil {
			return off, ok, err
		}
		off++
	}
	return s.size, false, nil
}

// likely is begins for a place that nothing points to.
func (s *scanner) likely(off int64) (bool, error) {
	if s.version == 2 {
		b, err := s.view(off, framing)
		if err != nil || len(b) < framing || binary.BigEndian.Uint32(b[1:]) != v2Magic {
			return false, err
		}
		return s.begins(off)
	}
	b, err := s.view(off, framing+1+headerSize)
	if err != nil || len(b) < framing+1+headerSize {
		return false, err
	}
	h := s.decrypt(b[framing:])
	if h[0] != headerSize || !plainHeader(h[1:]) {
		return false, nil
	}
	return s.begins(off)
}

// torn tells whether the record at s.pos, after which there is none, was cut off: its end has not been written.
func (s *scanner) torn(u *undecodable) (bool, error) {
	if u.whole {
		return false, nil
	}
	if s.is(s.pos, opRecord) && u.end == 0 {
		return true, nil
	}
	if s.is(s.pos, opNoop) {
		return true, nil // not even its first byte was written
	}
	if u.end == 0 {
		return false, nil // an operation byte that nobody writes
	}
	const tail = 6 // every complete record has something else than zeros in its last bytes, and ends in a zero
	b, err := s.view(u.end-tail, tail)
	if err != nil || len(b) < tail {
		return err == nil, err
	}
	end := 1
	if s.cipher != nil {
		end = 4 // an encrypted record may end in any byte
	}
	return bytes.Count(b[tail-end:], []byte{opEnd}) == end || bytes.Count(b, []byte{0}) == tail, nil
}

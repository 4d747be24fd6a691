package exec

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/sluice-io/sluice/internal/charset"
)

// A splitter cuts what a program prints into lines, each ended by LF, CR or CR LF, as Java's BufferedReader does. It
// holds what has been read and is no line yet:
//
//	0 … start … pos … end … len
//	    │       │     └ read up to here
//	    │       └ no line end up to here
//	    └ the line
type splitter struct {
	charset charset.Charset
	most    int // bytes of a line; a longer one is cut into several
	cut     func()

	width int              // bytes of a unit
	order binary.ByteOrder // of units of two bytes
	marks bool             // a byte order mark may still come

	buf             []byte
	start, pos, end int
	cr              bool // the last line ended with CR: a LF behind it belongs to it
	part            bool // the line at start goes on from one that was cut: it is none if it is empty
}

// readSize is how much room there is for a read, at least.
const readSize = 16 << 10

// newSplitter calls cut for each line that is longer than most.
func newSplitter(c charset.Charset, most int, cut func()) *splitter {
	s := &splitter{charset: c, most: most, cut: cut, width: 1, buf: make([]byte, 2*readSize)}
	switch c {
	case charset.UTF16:
		s.width, s.order, s.marks = 2, binary.BigEndian, true
	case charset.UTF16BE:
		s.width, s.order = 2, binary.BigEndian
	case charset.UTF16LE:
		s.width, s.order = 2, binary.LittleEndian
	default:
	}
	return s
}

// room is where the next read goes. It moves what is no line yet to the front.
func (s *splitter) room() []byte {
	if s.start > 0 {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.pos -= s.start
		s.start = 0
	}
	if len(s.buf)-s.end < readSize {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	return s.buf[s.end:]
}

// read takes note of n bytes in the room and appends the bodies of the lines that they complete to bodies.
func (s *splitter) read(n int, bodies [][]byte) [][]byte {
	s.end += n
	var arena []byte // one allocation for the bodies of this read
	for {
		line, ok := s.next()
		if !ok {
			return bodies
		}
		if arena == nil {
			arena = make([]byte, 0, s.end-s.start+len(line))
		}
		bodies = append(bodies, s.body(&arena, line))
	}
}

// finish is what stands behind the last line end.
func (s *splitter) finish(bodies [][]byte) [][]byte {
	if s.end > s.start {
		var arena []byte
		bodies = append(bodies, s.body(&arena, s.buf[s.start:s.end]))
	}
	s.start, s.pos, s.end = 0, 0, 0
	return bodies
}

// next finds a line. It lies in buf.
func (s *splitter) next() (line []byte, ok bool) {
	if s.cr && s.end-s.start >= s.width {
		s.cr = false
		if s.unit(s.start) == '\n' {
			s.start += s.width
			s.pos = s.start
		}
	}
	if s.marks && s.end-s.start >= 2 {
		s.marks = false
		switch mark := binary.BigEndian.Uint16(s.buf[s.start:]); mark {
		case 0xFFFE:
			s.order = binary.LittleEndian
			fallthrough
		case 0xFEFF:
			s.start += 2
			s.pos = s.start
		}
	}
	at := s.ending()
	switch {
	case at < 0 && s.pos-s.start <= s.most:
		return nil, false
	case at < 0 || at-s.start > s.most:
		if !s.part {
			s.cut()
		}
		at = s.start + s.fitting()
		line = s.buf[s.start:at]
		s.start, s.pos, s.part = at, at, true
		return line, true
	}
	line = s.buf[s.start:at]
	s.cr = s.unit(at) == '\r'
	s.start = at + s.width
	s.pos = s.start
	if s.part {
		s.part = false
		if len(line) == 0 {
			return s.next()
		}
	}
	return line, true
}

// ending looks for a line end from pos on; -1: there is none.
func (s *splitter) ending() int {
	if s.width == 1 {
		if at := bytes.IndexAny(s.buf[s.pos:s.end], "\r\n"); at >= 0 {
			return s.pos + at
		}
		s.pos = s.end
		return -1
	}
	for ; s.end-s.pos >= s.width; s.pos += s.width {
		if u := s.unit(s.pos); u == '\n' || u == '\r' {
			return s.pos
		}
	}
	return -1
}

// fitting is how much of a line that is too long is taken at once: whole characters, as far as can be seen.
func (s *splitter) fitting() int {
	n := s.most - s.most%s.width
	switch {
	case s.charset == charset.UTF8:
		for i := 1; i < utf8.UTFMax && i < n; i++ {
			if last := s.buf[s.start+n-i : s.start+n]; utf8.RuneStart(last[0]) {
				if !utf8.FullRune(last) {
					return n - i
				}
				break
			}
		}
	case s.width == 2 && n > 2 && s.unit(s.start+n-2)&0xFC00 == 0xD800:
		return n - 2
	}
	return n
}

func (s *splitter) unit(at int) uint16 {
	if s.width == 1 {
		return uint16(s.buf[at])
	}
	return s.order.Uint16(s.buf[at:])
}

// body is a line decoded and encoded again, as Flume does it, cut from arena where it is no longer than the line.
func (s *splitter) body(arena *[]byte, line []byte) []byte {
	c := s.charset
	if c == charset.UTF16 && s.order == binary.LittleEndian {
		c = charset.UTF16LE
	}
	if c == charset.UTF16 {
		c = charset.UTF16BE // a mark behind the first is a character
	}
	out := s.charset.Encode(c.Decode(line))
	if cap(*arena)-len(*arena) < len(out) {
		return bytes.Clone(out)
	}
	from := len(*arena)
	*arena = append(*arena, out...)
	return (*arena)[from:len(*arena):len(*arena)]
}

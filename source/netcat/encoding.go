package netcat

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An encoding is how the characters of one connection are written. It may remember what it has seen.
type encoding interface {
	// scan goes over the whole characters of p up to and with the first newline, but not beyond so many UTF-16 units.
	// It returns how many bytes and units they are. Bytes without units, at the start of a line, are no part of it.
	// Bytes that are no characters are an error.
	scan(p []byte, most int) (n, units int, newline bool, err error)
	// text appends what scan went over, without the newline, as UTF-8.
	text(to, line []byte) []byte
	// reply returns text in the encoding, with a question mark for a character that it does not have.
	reply(text string) []byte
}

var errMalformed = errors.New("the bytes are no characters")

// encodings are the names of those that newEncoding knows.
const encodings = "UTF-8, ISO-8859-1, US-ASCII, UTF-16, UTF-16BE and UTF-16LE"

// newEncoding returns nil for a name that it does not know. Case, dashes and underscores do not count.
func newEncoding(name string) encoding {
	switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name)) {
	case "utf8":
		return unicode{}
	case "iso88591", "latin1":
		return bytewise{last: 0xff}
	case "usascii", "ascii":
		return bytewise{last: 0x7f}
	case "utf16":
		return &wide{read: binary.BigEndian, write: binary.BigEndian, expect: true, mark: true}
	case "utf16be":
		return &wide{read: binary.BigEndian, write: binary.BigEndian}
	case "utf16le":
		return &wide{read: binary.LittleEndian, write: binary.LittleEndian}
	}
	return nil
}

// unicode is UTF-8.
type unicode struct{}

func (unicode) scan(p []byte, most int) (n, units int, newline bool, err error) {
	for n < len(p) && units < most {
		if p[n] < utf8.RuneSelf {
			n, units = n+1, units+1
			if p[n-1] == '\n' {
				return n, units, true, nil
			}
			continue
		}
		if !utf8.FullRune(p[n:]) {
			return n, units, false, nil
		}
		r, size := utf8.DecodeRune(p[n:])
		if r == utf8.RuneError && size == 1 {
			return n, units, false, errMalformed
		}
		n, units = n+size, units+utf16.RuneLen(r)
	}
	return n, units, false, nil
}

func (unicode) text(to, line []byte) []byte { return append(to, line...) }

func (unicode) reply(text string) []byte { return []byte(text) }

// bytewise has one byte for each of the first characters of Unicode, up to last: ISO-8859-1 and ASCII.
type bytewise struct{ last byte }

func (e bytewise) scan(p []byte, most int) (n, units int, newline bool, err error) {
	for n < len(p) && n < most {
		if p[n] > e.last {
			return n, n, false, errMalformed
		}
		n++
		if p[n-1] == '\n' {
			return n, n, true, nil
		}
	}
	return n, n, false, nil
}

func (bytewise) text(to, line []byte) []byte {
	for _, c := range line {
		to = utf8.AppendRune(to, rune(c))
	}
	return to
}

func (e bytewise) reply(text string) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r > rune(e.last) {
			r = '?'
		}
		out = append(out, byte(r))
	}
	return out
}

// wide is UTF-16. A byte order mark in front may tell the order, and replies begin with one.
type wide struct {
	read   binary.ByteOrder
	write  binary.AppendByteOrder
	expect bool // a mark may come
	mark   bool // a mark is to be written
}

const (
	mark        = 0xfeff
	swappedMark = 0xfffe
)

func (e *wide) scan(p []byte, most int) (n, units int, newline bool, err error) {
	for n+2 <= len(p) && units < most {
		unit := rune(e.read.Uint16(p[n:]))
		if e.expect {
			e.expect = false
			if unit == swappedMark {
				e.read = binary.LittleEndian
			}
			if unit == mark || unit == swappedMark {
				return 2, 0, false, nil
			}
		}
		switch {
		case unit == '\n':
			return n + 2, units + 1, true, nil
		case !utf16.IsSurrogate(unit):
			n, units = n+2, units+1
		case n+4 > len(p) && unit < 0xdc00:
			return n, units, false, nil
		case unit >= 0xdc00 || utf16.DecodeRune(unit, rune(e.read.Uint16(p[n+2:]))) == utf8.RuneError:
			return n, units, false, errMalformed
		default:
			n, units = n+4, units+2
		}
	}
	return n, units, false, nil
}

func (e *wide) text(to, line []byte) []byte {
	for n := 0; n+2 <= len(line); n += 2 {
		r := rune(e.read.Uint16(line[n:]))
		if utf16.IsSurrogate(r) {
			n += 2
			r = utf16.DecodeRune(r, rune(e.read.Uint16(line[n:])))
		}
		to = utf8.AppendRune(to, r)
	}
	return to
}

func (e *wide) reply(text string) []byte {
	out := make([]byte, 0, 2*len(text)+2)
	if e.mark {
		e.mark = false
		out = e.write.AppendUint16(out, mark)
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = e.write.AppendUint16(out, unit)
	}
	return out
}

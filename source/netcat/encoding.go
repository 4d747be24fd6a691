package netcat

import (
	"encoding/binary"
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sluice-io/sluice/internal/charset"
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

// newEncoding returns nil for a name that package charset does not know.
func newEncoding(name string) encoding {
	c, ok := charset.Find(name)
	switch {
	case !ok:
		return nil
	case c == charset.Latin1:
		return bytewise{Charset: c, last: 0xff}
	case c == charset.ASCII:
		return bytewise{Charset: c, last: 0x7f}
	case c == charset.UTF16:
		return &wide{read: charset.UTF16BE, write: c, expect: true}
	case c == charset.UTF16BE || c == charset.UTF16LE:
		return &wide{read: c, write: c}
	}
	return unicode{}
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
type bytewise struct {
	charset.Charset
	last byte
}

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

func (e bytewise) text(to, line []byte) []byte { return e.Append(to, line) }

func (e bytewise) reply(text string) []byte { return e.Encode([]byte(text)) }

// wide is UTF-16. A byte order mark in front may tell the order, and replies begin with one.
type wide struct {
	read   charset.Charset // UTF16BE or UTF16LE
	write  charset.Charset // UTF16: the next reply begins with a mark
	expect bool            // a mark may come
}

const (
	mark        = 0xfeff
	swappedMark = 0xfffe
)

func (e *wide) scan(p []byte, most int) (n, units int, newline bool, err error) {
	for n+2 <= len(p) && units < most {
		unit := e.unit(p[n:])
		if e.expect {
			e.expect = false
			if unit == swappedMark {
				e.read = charset.UTF16LE
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
		case unit >= 0xdc00 || utf16.DecodeRune(unit, e.unit(p[n+2:])) == utf8.RuneError:
			return n, units, false, errMalformed
		default:
			n, units = n+4, units+2
		}
	}
	return n, units, false, nil
}

// unit is the first of p.
func (e *wide) unit(p []byte) rune {
	if e.read == charset.UTF16LE {
		return rune(binary.LittleEndian.Uint16(p))
	}
	return rune(binary.BigEndian.Uint16(p))
}

func (e *wide) text(to, line []byte) []byte { return e.read.Append(to, line) }

func (e *wide) reply(text string) []byte {
	out := e.write.Encode([]byte(text))
	if e.write == charset.UTF16 {
		e.write = charset.UTF16BE
	}
	return out
}

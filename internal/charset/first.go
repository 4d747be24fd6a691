package charset

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// First takes the first character off b, which is not empty: how many bytes it is, and the character, or that these bytes
// are none (ok is false), as many of them as Java's decoder gives up at once. Zero bytes: it takes more than b to tell;
// never when b is the last. UTF16 is taken for UTF16BE; who reads it looks for the mark. There is none of UTF32.
func (c Charset) First(b []byte, last bool) (r rune, n int, ok bool) {
	switch c {
	case Latin1:
		return rune(b[0]), 1, true
	case ASCII:
		if b[0] >= utf8.RuneSelf {
			return utf8.RuneError, 1, false
		}
		return rune(b[0]), 1, true
	case UTF16, UTF16BE:
		return firstWide(b, last, binary.BigEndian)
	case UTF16LE:
		return firstWide(b, last, binary.LittleEndian)
	case UTF32:
		panic("BUG: UTF-32 is cut into characters")
	default:
		if b[0] < utf8.RuneSelf {
			return rune(b[0]), 1, true
		}
		if !last && !utf8.FullRune(b) {
			return 0, 0, false
		}
		r, n = utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return r, malformed(b), false
		}
		return r, n, true
	}
}

func firstWide(b []byte, last bool, order binary.ByteOrder) (r rune, n int, ok bool) {
	if len(b) < 2 {
		if last {
			return utf8.RuneError, 1, false
		}
		return 0, 0, false
	}
	r = rune(order.Uint16(b))
	switch {
	case !utf16.IsSurrogate(r):
		return r, 2, true
	case r >= 0xDC00:
		return utf8.RuneError, 2, false
	case len(b) < 4 && !last:
		return 0, 0, false
	case len(b) < 4:
		return utf8.RuneError, 2, false
	}
	if r = utf16.DecodeRune(r, rune(order.Uint16(b[2:]))); r == utf8.RuneError {
		return r, 2, false
	}
	return r, 4, true
}

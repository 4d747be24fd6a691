// Package charset turns bytes into text and text into bytes as Java's String does: bytes that are no characters become
// U+FFFD, characters that a charset lacks become a question mark. Text is UTF-8.
package charset

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A Charset is a way to write text.
type Charset uint8

const (
	UTF8 Charset = iota
	Latin1
	ASCII
	UTF16 // either order, by its mark; written with the greatest byte first and a mark
	UTF16BE
	UTF16LE
	UTF32 // either order, by its mark; written with the greatest byte first and no mark. It is HTTP's: nothing cuts lines of it.
)

// Names are those that Find knows, for a message.
const Names = "UTF-8, ISO-8859-1, US-ASCII, UTF-16, UTF-16BE and UTF-16LE"

// Find finds a charset that a user may name. Case, dashes and underscores do not count.
func Find(name string) (Charset, bool) {
	switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name)) {
	case "utf8":
		return UTF8, true
	case "iso88591", "latin1":
		return Latin1, true
	case "usascii", "ascii":
		return ASCII, true
	case "utf16":
		return UTF16, true
	case "utf16be":
		return UTF16BE, true
	case "utf16le":
		return UTF16LE, true
	}
	return UTF8, false
}

// Decode returns the text of b; b itself where its bytes are the text.
func (c Charset) Decode(b []byte) []byte {
	switch c {
	case Latin1, ASCII:
		if !slices.ContainsFunc(b, func(x byte) bool { return x >= utf8.RuneSelf }) {
			return b
		}
		return c.Append(make([]byte, 0, len(b)+len(b)/2), b)
	case UTF16, UTF16BE, UTF16LE, UTF32:
		return c.Append(make([]byte, 0, len(b)), b)
	default:
		return DecodeUTF8(b)
	}
}

// Append appends the text of b.
func (c Charset) Append(to, b []byte) []byte {
	switch c {
	case Latin1, ASCII:
		for _, x := range b {
			r := rune(x)
			if c == ASCII && r >= utf8.RuneSelf {
				r = utf8.RuneError
			}
			to = utf8.AppendRune(to, r)
		}
		return to
	case UTF16:
		switch {
		case len(b) >= 2 && b[0] == 0xFE && b[1] == 0xFF:
			return appendWide(to, b[2:], binary.BigEndian)
		case len(b) >= 2 && b[0] == 0xFF && b[1] == 0xFE:
			return appendWide(to, b[2:], binary.LittleEndian)
		}
		return appendWide(to, b, binary.BigEndian)
	case UTF16BE:
		return appendWide(to, b, binary.BigEndian)
	case UTF16LE:
		return appendWide(to, b, binary.LittleEndian)
	case UTF32:
		switch {
		case len(b) >= 4 && binary.BigEndian.Uint32(b) == 0xFEFF:
			return appendWidest(to, b[4:], binary.BigEndian)
		case len(b) >= 4 && binary.LittleEndian.Uint32(b) == 0xFEFF:
			return appendWidest(to, b[4:], binary.LittleEndian)
		}
		return appendWidest(to, b, binary.BigEndian)
	default:
		return append(to, DecodeUTF8(b)...)
	}
}

// Strict returns the text of b, b itself where its bytes are the text. Not ok: there are bytes that are no characters.
func (c Charset) Strict(b []byte) (text []byte, ok bool) {
	switch c {
	case UTF8:
		return b, utf8.Valid(b)
	case ASCII:
		return b, !slices.ContainsFunc(b, func(x byte) bool { return x >= utf8.RuneSelf })
	case Latin1:
		return c.Decode(b), true
	default: // U+FFFD itself is taken for one that is none
		text = c.Decode(b)
		return text, !bytes.Contains(text, []byte("\uFFFD"))
	}
}

func appendWidest(out, b []byte, order binary.ByteOrder) []byte {
	for ; len(b) >= 4; b = b[4:] {
		r := rune(utf8.RuneError)
		if n := order.Uint32(b); n <= utf8.MaxRune {
			r = rune(n)
		}
		out = utf8.AppendRune(out, r) // of a surrogate U+FFFD too
	}
	if len(b) > 0 {
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	return out
}

func appendWide(out, b []byte, order binary.ByteOrder) []byte {
	for ; len(b) >= 2; b = b[2:] {
		r := rune(order.Uint16(b))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if len(b) >= 4 {
				low = rune(order.Uint16(b[2:]))
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				b = b[2:]
			}
		}
		out = utf8.AppendRune(out, r)
	}
	if len(b) == 1 {
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	return out
}

// Encode returns the bytes of text, which is valid UTF-8; text itself where it is the bytes.
func (c Charset) Encode(text []byte) []byte {
	switch c {
	case Latin1, ASCII:
		if !slices.ContainsFunc(text, func(x byte) bool { return x >= utf8.RuneSelf }) {
			return text
		}
		out := make([]byte, 0, len(text))
		for _, r := range string(text) {
			if r > 0xFF || c == ASCII && r > 0x7F {
				r = '?'
			}
			out = append(out, byte(r))
		}
		return out
	case UTF16:
		if len(text) == 0 {
			return text
		}
		return encodeWide([]byte{0xFE, 0xFF}, text, binary.BigEndian)
	case UTF16BE:
		return encodeWide(nil, text, binary.BigEndian)
	case UTF16LE:
		return encodeWide(nil, text, binary.LittleEndian)
	case UTF32:
		out := make([]byte, 0, 4*len(text))
		for _, r := range string(text) {
			out = binary.BigEndian.AppendUint32(out, uint32(r))
		}
		return out
	default:
		return text
	}
}

func encodeWide(out, text []byte, order binary.AppendByteOrder) []byte {
	out = slices.Grow(out, 2*len(text))
	for _, r := range string(text) {
		if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
			out = order.AppendUint16(order.AppendUint16(out, uint16(high)), uint16(low))
			continue
		}
		out = order.AppendUint16(out, uint16(r))
	}
	return out
}

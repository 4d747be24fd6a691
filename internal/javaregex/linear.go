package javaregex

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A linear is a pattern in the words of package regexp, whose time grows with the text alone. It means the same as the
// original only for texts that meet its needs; the machine matches the others.
type linear struct {
	find  *regexp.Regexp
	rest  *regexp.Regexp // for what follows a match: there the text does not start
	full  *regexp.Regexp // the whole text
	needs needs
	// looksBack: what stands before a place decides there, so that a text cannot be cut behind a match.
	looksBack bool
}

type needs uint8

const (
	noLastTerminator needs = 1 << iota // $ is then the end of the text
	noLastNewline                      // $ of (?d)
	onlyASCII                          // \b asks for letters and digits of all scripts
	onlyNewlines                       // no other line terminators
	notEmpty                           // ^ of (?m) is not in an empty text
)

// met reports whether a text, which is valid UTF-8, meets the needs.
func (n needs) met(text []byte) bool {
	if n&notEmpty != 0 && len(text) == 0 {
		return false
	}
	if n&(noLastTerminator|noLastNewline) != 0 && len(text) > 0 {
		r, _ := utf8.DecodeLastRune(text)
		if r == '\n' || n&noLastTerminator != 0 && terminator(r) {
			return false
		}
	}
	if n&(onlyASCII|onlyNewlines) != 0 {
		for i, c := range text {
			switch {
			case c == '\r' && n&onlyNewlines != 0:
				return false
			case c < 0x80:
			case n&onlyASCII != 0:
				return false
			case c == 0xC2 && text[i+1] == 0x85, c == 0xE2 && text[i+1] == 0x80 && text[i+2]|1 == 0xA9:
				return false
			}
		}
	}
	return true
}

// newLinear translates a pattern; nil where package regexp has no words for it.
func newLinear(n *node) *linear {
	l := &linear{}
	w := writer{linear: l}
	w.write(n)
	if w.lost {
		return nil
	}
	var err error
	if l.find, err = regexp.Compile(w.String()); err != nil {
		return nil // too large
	}
	if l.full, err = regexp.Compile(`\A(?:` + w.String() + `)\z`); err != nil {
		return nil
	}
	l.rest = l.find
	if w.starts {
		w = writer{linear: l, never: true}
		w.write(n)
		if l.rest, err = regexp.Compile(w.String()); err != nil {
			return nil
		}
	}
	return l
}

type writer struct {
	strings.Builder
	linear *linear
	never  bool // the start of the text is nowhere
	starts bool // it was asked for
	lost   bool // there are no words
}

const nothing = `[^\x00-\x{10FFFF}]`

func (w *writer) write(n *node) {
	switch n.op {
	case opEmpty:
		w.WriteString("(?:)")
	case opSet:
		w.set(n.set)
	case opCat:
		for _, s := range n.subs {
			w.write(s)
		}
	case opAlt:
		w.WriteString("(?:")
		for i, s := range n.subs {
			if i > 0 {
				w.WriteByte('|')
			}
			w.write(s)
		}
		w.WriteByte(')')
	case opGroup:
		w.WriteByte('(')
		w.write(n.subs[0])
		w.WriteByte(')')
	case opRepeat:
		w.repeat(n)
	case opAssert:
		w.assert(n.at)
	case opLook, opAtomic, opBackRef:
		w.lost = true
	}
}

func (w *writer) repeat(n *node) {
	// Of a repeated text that may be empty Java remembers another round than package regexp does.
	least, _ := n.subs[0].length()
	if least == 0 || n.leaves() || n.how == possessive || n.min > 1000 || n.max > 1000 && n.max != endless {
		w.lost = true
		return
	}
	w.WriteString("(?:")
	w.write(n.subs[0])
	w.WriteByte(')')
	switch {
	case n.min == 0 && n.max == 1:
		w.WriteByte('?')
	case n.min == 0 && n.max == endless:
		w.WriteByte('*')
	case n.min == 1 && n.max == endless:
		w.WriteByte('+')
	case n.max == endless:
		fmt.Fprintf(w, "{%d,}", n.min)
	default:
		fmt.Fprintf(w, "{%d,%d}", n.min, n.max)
	}
	if n.how == lazy {
		w.WriteByte('?')
	}
}

func (w *writer) set(s set) {
	switch {
	case s.empty():
		w.WriteString(nothing)
	case len(s) == 2 && s[0] == s[1]:
		fmt.Fprintf(w, `\x{%X}`, s[0])
	case s.equal(all()):
		w.WriteString("(?s:.)")
	default:
		w.WriteByte('[')
		for i := 0; i < len(s); i += 2 {
			fmt.Fprintf(w, `\x{%X}-\x{%X}`, s[i], s[i+1])
		}
		w.WriteByte(']')
	}
}

func (w *writer) assert(a assertion) {
	l := w.linear
	switch a {
	case atStart:
		w.starts = true
		if w.never {
			w.WriteString(nothing)
			return
		}
		w.WriteString(`\A`)
	case atLine:
		l.needs |= noLastTerminator | onlyNewlines | notEmpty
		l.looksBack = true
		w.WriteString("(?m:^)")
	case atUnixLine:
		l.needs |= noLastNewline | notEmpty
		l.looksBack = true
		w.WriteString("(?m:^)")
	case atEnd:
		w.WriteString(`\z`)
	case atLast:
		l.needs |= noLastTerminator
		w.WriteString(`\z`)
	case atUnixLast:
		l.needs |= noLastNewline
		w.WriteString(`\z`)
	case atLineEnd:
		l.needs |= onlyNewlines
		w.WriteString("(?m:$)")
	case atUnixEnd:
		w.WriteString("(?m:$)")
	case atWord, atWordU:
		l.needs |= onlyASCII
		l.looksBack = true
		w.WriteString(`\b`)
	case atNoWord, atNoWordU:
		l.needs |= onlyASCII
		l.looksBack = true
		w.WriteString(`\B`)
	case atPrevious:
		w.lost = true
	}
}

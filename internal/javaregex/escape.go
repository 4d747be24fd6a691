package javaregex

import "unicode"

// escape reads a backslash and what belongs to it, outside of a class.
func (p *parser) escape() *node {
	from := p.at
	c := p.raw(1)
	if s, ok := p.family(); ok {
		return &node{op: opSet, set: s}
	}
	switch c {
	case 'A', 'G', 'z':
		p.at += 2
		return assert(map[rune]assertion{'A': atStart, 'G': atPrevious, 'z': atEnd}[c])
	case 'Z':
		p.at += 2
		return assert(p.pick(atLast, atUnixLast, atLast, atUnixLast))
	case 'b', 'B':
		p.at += 2
		if c == 'b' && p.raw(0) == '{' && p.raw(1) == 'g' {
			p.fail(from, "\\b{g} is not supported")
		}
		a := atWord
		if p.flags&unicodeSets != 0 {
			a = atWordU
		}
		if c == 'B' {
			a++
		}
		return assert(a)
	case 'R':
		p.at += 2
		return &node{op: opAlt, lineBreak: true, subs: []*node{
			{op: opCat, subs: []*node{{op: opSet, set: one('\r')}, {op: opSet, set: one('\n')}}},
			{op: opSet, set: vertical()},
		}}
	case 'X':
		p.fail(from, "\\X is not supported")
		return &node{}
	case 'k':
		p.at += 2
		if p.raw(0) != '<' {
			p.fail(from, "behind \\k the name of a group is missing, as in \\k<name>")
			return &node{}
		}
		p.at++
		name := p.name()
		group, ok := p.names[name]
		if !ok {
			p.fail(from, "there is no group %s before this place", name)
		}
		return &node{op: opBackRef, group: group, fold: p.fold()}
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		p.at += 2
		group := int(c - '0')
		for next := p.peek(); digit(next) && group*10+int(next-'0') <= p.groups; next = p.peek() {
			group = group*10 + int(next-'0')
			p.at++
		}
		return &node{op: opBackRef, group: group, fold: p.fold()}
	}
	return p.literal(p.char())
}

// family reads an escape that is a set, such as \d and \p{L}.
func (p *parser) family() (set, bool) {
	c := p.raw(1)
	var s set
	wide := p.flags&unicodeSets != 0
	switch c {
	case 'p', 'P':
		from := p.at
		p.at += 2
		s = p.property(from)
		if c == 'P' {
			s = s.not()
		}
		return s, true
	case 'd', 'D':
		s = between('0', '9')
		if wide {
			s = tables(unicode.Nd)
		}
	case 'w', 'W':
		s = set{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}
		if wide {
			s = wordU()
		}
	case 's', 'S':
		s = set{'\t', '\r', ' ', ' '}
		if wide {
			s = tables(unicode.White_Space)
		}
	case 'h', 'H':
		s = set{'\t', '\t', ' ', ' ', 0xA0, 0xA0, 0x1680, 0x1680, 0x180E, 0x180E, 0x2000, 0x200A, 0x202F, 0x202F, 0x205F, 0x205F, 0x3000, 0x3000}
	case 'v', 'V':
		s = vertical()
	default:
		return nil, false
	}
	p.at += 2
	if unicode.IsUpper(c) {
		s = s.not()
	}
	return s, true
}

func vertical() set { return set{'\n', '\r', 0x85, 0x85, 0x2028, 0x2029} }

// char reads a backslash and what belongs to it as one code point.
func (p *parser) char() rune {
	from := p.at
	c := p.raw(1)
	p.at += 2
	switch c {
	case end:
		p.fail(from, "nothing stands behind the backslash")
	case '0':
		return p.octal(from)
	case 'a':
		return 7
	case 'e':
		return 27
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v' // at the end of a range; elsewhere it is a set
	case 'c':
		control := p.raw(0)
		if control == end {
			p.fail(from, "behind \\c a character is missing")
			return 0
		}
		p.at++
		return control&^quoted ^ 64
	case 'x':
		if p.raw(0) == '{' {
			p.at++
			return p.braced(from)
		}
		return p.hex(from, 2)
	case 'u':
		return p.utf16(from)
	case 'N':
		p.fail(from, "names of characters (\\N{…}) are not supported; \\x{…} takes the number")
	default:
		c &^= quoted
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) {
			p.fail(from, "there is no escape \\%c here", c)
		}
		return c
	}
	return 0
}

func (p *parser) octal(from int) rune {
	value, digits := rune(0), 0
	for digits < 3 {
		c := p.peek()
		if c < '0' || c > '7' || digits == 2 && value > 037 {
			break
		}
		value = value*8 + c - '0'
		digits++
		p.at++
	}
	if digits == 0 {
		p.fail(from, "behind \\0 the octal digits are missing")
	}
	return value
}

func hexDigit(c rune) (rune, bool) {
	switch {
	case digit(c):
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func (p *parser) hex(from, digits int) rune {
	value := rune(0)
	for range digits {
		d, ok := hexDigit(p.raw(0))
		if !ok {
			p.fail(from, "%d hexadecimal digits are missing here", digits)
			return 0
		}
		value = value<<4 | d
		p.at++
	}
	return value
}

func (p *parser) braced(from int) rune {
	value, digits := rune(0), 0
	for {
		d, ok := hexDigit(p.raw(0))
		if !ok {
			break
		}
		value = value<<4 | d
		digits++
		p.at++
		if value > last {
			p.fail(from, "there is no such code point")
			return 0
		}
	}
	if p.raw(0) != '}' || digits == 0 {
		p.fail(from, "\\x{…} takes hexadecimal digits and ends with }")
		return 0
	}
	p.at++
	return value
}

// utf16 reads the digits of \u, and those of a second \u where the two are one code point.
func (p *parser) utf16(from int) rune {
	r := p.hex(from, 4)
	if r < 0xD800 || r > 0xDBFF || p.raw(0) != '\\' || p.raw(1) != 'u' {
		return r
	}
	back := p.at
	p.at += 2
	low := p.hex(from, 4)
	if low < 0xDC00 || low > 0xDFFF {
		if p.err == nil {
			p.at = back
		}
		return r
	}
	return (r-0xD800)<<10 + low - 0xDC00 + 0x10000
}

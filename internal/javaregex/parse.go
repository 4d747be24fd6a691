package javaregex

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
)

// A node is a part of a pattern.
type node struct {
	op       op
	subs     []*node // opCat, opAlt: all; opGroup, opRepeat, opLook, opAtomic: one
	set      set     // opSet: one code point of these
	group    int     // opGroup, opBackRef
	min, max int     // opRepeat
	how      greed   // opRepeat
	at       assertion
	fold     fold // opBackRef
	behind   bool // opLook
	negative bool // opLook
	// lineBreak: \R, of two ways; a repetition takes it as one.
	lineBreak bool
}

type op uint8

const (
	opEmpty op = iota
	opSet
	opCat
	opAlt
	opGroup
	opRepeat
	opLook
	opAtomic
	opBackRef
	opAssert
)

type greed uint8

const (
	greedy greed = iota
	lazy
	possessive
)

// endless is the upper bound of a repetition that has none.
const endless = math.MaxInt32

// An assertion is a place, not a text.
type assertion uint8

const (
	atStart    assertion = iota // \A, ^
	atLine                      // ^ of (?m)
	atUnixLine                  // ^ of (?md)
	atEnd                       // \z
	atLast                      // $, \Z
	atUnixLast                  // $, \Z of (?d)
	atLineEnd                   // $ of (?m)
	atUnixEnd                   // $ of (?md)
	atWord                      // \b
	atNoWord                    // \B
	atWordU                     // \b of (?U)
	atNoWordU                   // \B of (?U)
	atPrevious                  // \G
)

type flags uint8

const (
	ignoreCase  flags = 1 << iota // i
	multiline                     // m
	dotAll                        // s
	unixLines                     // d
	unicodeCase                   // u
	comments                      // x
	unicodeSets                   // U
)

// A quoted code point, one between \Q and \E, has this bit, so that it never means anything but itself.
const quoted = 1 << 24

const end rune = -1

// maxDepth bounds how deep groups and classes stand in each other, for they are read by recursion.
const maxDepth = 250

type parser struct {
	pattern string
	text    []rune // quoted ones marked
	from    []int  // where in the pattern each stands, in characters
	at      int
	flags   flags
	groups  int
	names   map[string]int
	depth   int
	err     error
}

func parse(pattern string) (*node, *parser, error) {
	p := &parser{pattern: pattern, names: map[string]int{}}
	p.split()
	n := p.alternatives()
	if p.err == nil && p.at < len(p.text) {
		p.fail(p.at, "a ) without its (")
	}
	return n, p, p.err
}

// split marks what stands between \Q and \E and drops the two.
func (p *parser) split() {
	text := []rune(p.pattern)
	add := func(i int, mark rune) {
		p.text = append(p.text, text[i]|mark)
		p.from = append(p.from, i)
	}
	for i := 0; i < len(text); i++ {
		next := end
		if i+1 < len(text) {
			next = text[i+1]
		}
		switch {
		case text[i] != '\\' || next == end:
			add(i, 0)
		case next != 'Q':
			add(i, 0)
			i++
			add(i, 0)
		default:
			for i += 2; i < len(text) && (text[i] != '\\' || i+1 == len(text) || text[i+1] != 'E'); i++ {
				add(i, quoted)
			}
			i++
		}
	}
}

// fail keeps the first thing that is wrong, and ends parsing: from here on the text is empty.
func (p *parser) fail(at int, format string, args ...any) {
	if p.err == nil {
		place := len([]rune(p.pattern)) + 1
		if at < len(p.from) {
			place = p.from[at] + 1
		}
		p.err = fmt.Errorf("the pattern %q, at character %d: %s", p.pattern, place, fmt.Sprintf(format, args...))
	}
	p.at = len(p.text)
}

// raw is the code point d behind the next one, blanks included.
func (p *parser) raw(d int) rune {
	if p.at+d >= len(p.text) {
		return end
	}
	return p.text[p.at+d]
}

// peek is the next code point that counts: (?x) takes blanks and comments out.
func (p *parser) peek() rune {
	if p.flags&comments != 0 {
		for p.at < len(p.text) {
			switch c := p.text[p.at]; {
			case c == ' ' || '\t' <= c && c <= '\r':
				p.at++
			case c == '#':
				for p.at < len(p.text) && !p.endsLine(p.text[p.at]) {
					p.at++
				}
			default:
				return c
			}
		}
	}
	return p.raw(0)
}

func (p *parser) endsLine(c rune) bool {
	if p.flags&unixLines != 0 {
		return c == '\n'
	}
	return terminator(c)
}

// terminator reports whether c ends a line.
func terminator(c rune) bool {
	return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029
}

func digit(c rune) bool { return '0' <= c && c <= '9' }

// deeper guards recursion.
func (p *parser) deeper() bool {
	p.depth++
	if p.depth > maxDepth {
		p.fail(p.at, "groups or classes stand in each other more than %d deep", maxDepth)
		return false
	}
	return true
}

func (p *parser) alternatives() *node {
	if !p.deeper() {
		return &node{}
	}
	defer func() { p.depth-- }()
	subs := []*node{p.sequence()}
	for p.peek() == '|' {
		p.at++
		subs = append(subs, p.sequence())
	}
	if len(subs) == 1 {
		return subs[0]
	}
	return &node{op: opAlt, subs: subs}
}

func (p *parser) sequence() *node {
	var subs []*node
	for {
		var n *node
		switch c := p.peek(); c {
		case end, '|', ')':
			if len(subs) == 1 {
				return subs[0]
			}
			if len(subs) == 0 {
				return &node{}
			}
			return &node{op: opCat, subs: subs}
		case '(':
			if n = p.open(); n == nil { // (?i)
				continue
			}
		case '*', '+', '?':
			p.fail(p.at, "nothing stands before the %c that it could repeat; \\%c means the character", c, c)
			continue
		case '{':
			n = &node{} // an oddity of Java's: it repeats nothing
		default:
			n = p.atom(c)
		}
		subs = append(subs, p.repetition(n))
	}
}

// atom reads what stands for itself, a class or an escape.
func (p *parser) atom(c rune) *node {
	switch c {
	case '[':
		p.at++
		return &node{op: opSet, set: p.class(true)}
	case '\\':
		return p.escape()
	case '^':
		p.at++
		return assert(p.pick(atStart, atStart, atLine, atUnixLine))
	case '$':
		p.at++
		return assert(p.pick(atLast, atUnixLast, atLineEnd, atUnixEnd))
	case '.':
		p.at++
		return &node{op: opSet, set: p.dot()}
	}
	p.at++
	return p.literal(c &^ quoted)
}

func assert(a assertion) *node { return &node{op: opAssert, at: a} }

func (p *parser) literal(r rune) *node {
	return &node{op: opSet, set: equals(r, p.fold())}
}

// pick chooses by the flags m and d.
func (p *parser) pick(plain, unix, lines, unixLine assertion) assertion {
	switch p.flags & (multiline | unixLines) {
	case multiline:
		return lines
	case unixLines:
		return unix
	case multiline | unixLines:
		return unixLine
	default:
		return plain
	}
}

func (p *parser) dot() set {
	switch {
	case p.flags&dotAll != 0:
		return all()
	case p.flags&unixLines != 0:
		return one('\n').not()
	}
	return set{'\n', '\n', '\r', '\r', 0x85, 0x85, 0x2028, 0x2029}.not()
}

// fold says how letters compare here.
func (p *parser) fold() fold {
	switch p.flags & (ignoreCase | unicodeCase) {
	case ignoreCase:
		return foldASCII
	case ignoreCase | unicodeCase:
		return foldUnicode
	default:
		return exact
	}
}

// repetition reads *, +, ?, {n}, {n,}, {n,m} behind n, and the ? or + behind those.
func (p *parser) repetition(n *node) *node {
	from := p.at
	least, most := 0, endless
	switch p.peek() {
	case '?':
		p.at++
		most = 1
	case '*':
		p.at++
	case '+':
		p.at++
		least = 1
	case '{':
		if !digit(p.raw(1)) {
			p.fail(p.at, "behind { a number is missing; \\{ means the character")
			return n
		}
		p.at++
		least = p.count()
		most = least
		if p.peek() == ',' {
			p.at++
			most = endless
			if p.peek() != '}' {
				most = p.count()
			}
		}
		if p.peek() != '}' {
			p.fail(p.at, "the } of a repetition is missing")
			return n
		}
		if most < least {
			p.fail(from, "the repetition has less at most (%d) than at least (%d)", most, least)
			return n
		}
		p.at++
	default:
		return n
	}
	r := &node{op: opRepeat, subs: []*node{n}, min: least, max: most}
	switch p.peek() {
	case '?':
		p.at++
		r.how = lazy
	case '+':
		p.at++
		r.how = possessive
	}
	return r
}

// count reads a number; without one it is 0, as in Java.
func (p *parser) count() int {
	from := p.at
	n := 0
	for c := p.peek(); digit(c); c = p.peek() {
		n = n*10 + int(c-'0')
		if n > math.MaxInt32 {
			p.fail(from, "the number is too large")
			return 0
		}
		p.at++
	}
	return n
}

// open reads a group from its parenthesis on; nil for one that only sets flags.
func (p *parser) open() *node {
	from := p.at
	before := p.flags
	p.at++
	n := &node{op: opGroup}
	if p.peek() != '?' {
		p.groups++
		n.group = p.groups
	} else {
		p.at++
		kind := p.raw(0)
		switch kind {
		case ':':
			p.at++
			n = nil
		case '=', '!':
			p.at++
			n = &node{op: opLook, negative: kind == '!'}
		case '>':
			p.at++
			n = &node{op: opAtomic}
		case '<':
			p.at++
			switch kind = p.raw(0); kind {
			case '=', '!':
				p.at++
				n = &node{op: opLook, behind: true, negative: kind == '!'}
			default:
				p.groups++
				n.group = p.groups
				at := p.at
				name := p.name()
				if _, twice := p.names[name]; twice {
					p.fail(at, "there is a group %s already", name)
				}
				p.names[name] = n.group
			}
		default:
			if p.setFlags() {
				return nil
			}
			n = nil
		}
	}
	body := p.alternatives()
	if p.peek() != ')' {
		p.fail(from, "the ) of this group is missing")
		return body
	}
	p.at++
	p.flags = before
	if n == nil {
		if body.leavable() { // to a repetition the group in it is another one
			body = &node{op: opCat, subs: []*node{body}}
		}
		return body
	}
	n.subs = []*node{body}
	if n.behind {
		if n.subs[0].unbounded() {
			p.fail(from, "what is looked for behind has no greatest length")
		}
	}
	return n
}

// name reads the name of a group and the > behind it.
func (p *parser) name() string {
	var b strings.Builder
	for {
		c := p.raw(0)
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) && b.Len() > 0:
			b.WriteRune(c)
			p.at++
			continue
		case b.Len() == 0:
			p.fail(p.at, "the name of a group starts with a letter from a to z")
		case c != '>':
			p.fail(p.at, "the name of a group consists of letters and digits and ends with >")
		default:
			p.at++
		}
		return b.String()
	}
}

// setFlags reads letters like i-m and reports whether the group ends with them.
func (p *parser) setFlags() bool {
	on := true
	for {
		var f flags
		c := p.peek()
		switch c {
		case 'i':
			f = ignoreCase
		case 'm':
			f = multiline
		case 's':
			f = dotAll
		case 'd':
			f = unixLines
		case 'u':
			f = unicodeCase
		case 'x':
			f = comments
		case 'U':
			f = unicodeSets | unicodeCase
		case 'c':
			p.fail(p.at, "the flag c (canonical equivalence) is not supported")
			return false
		case '-':
			if !on {
				p.fail(p.at, "a second - among the flags")
				return false
			}
			on = false
			p.at++
			continue
		case ')', ':':
			p.at++
			return c == ')'
		default:
			p.fail(p.at, "no such flag or kind of group; there are (?: (?= (?! (?<= (?<! (?> (?<name> and the flags idmsuxU")
			return false
		}
		p.at++
		if on {
			p.flags |= f
		} else {
			p.flags &^= f
		}
	}
}

// length is how many code points the text of n has at least and at most.
func (n *node) length() (least, most int) {
	switch n.op {
	case opSet:
		return 1, 1
	case opCat:
		for _, s := range n.subs {
			lo, hi := s.length()
			least, most = plus(least, lo), plus(most, hi)
		}
		return least, most
	case opAlt:
		least = endless
		for _, s := range n.subs {
			lo, hi := s.length()
			least, most = min(least, lo), max(most, hi)
		}
		return least, most
	case opGroup, opAtomic:
		return n.subs[0].length()
	case opRepeat:
		lo, hi := n.subs[0].length()
		return times(lo, n.min), times(hi, n.max)
	case opBackRef:
		return 0, endless
	default:
		return 0, 0
	}
}

// unbounded reports whether Java refuses to look for n behind a place. Of one code point any number is allowed.
func (n *node) unbounded() bool {
	switch n.op {
	case opBackRef:
		return true
	case opRepeat:
		if n.max == endless && n.subs[0].op != opSet {
			return true
		}
	case opLook:
		return false
	case opEmpty, opSet, opCat, opAlt, opGroup, opAtomic, opAssert:
	}
	return slices.ContainsFunc(n.subs, (*node).unbounded)
}

// straight reports whether there is one way through n at most, \R taken as one.
func (n *node) straight() bool {
	switch n.op {
	case opAlt:
		return n.lineBreak
	case opRepeat:
		return n.min == n.max && n.subs[0].straight()
	case opLook, opAtomic:
		return true
	case opEmpty, opSet, opCat, opGroup, opBackRef, opAssert:
	}
	return !slices.ContainsFunc(n.subs, func(s *node) bool { return !s.straight() })
}

// forgets reports whether the repetition n is one of those of which Java forgets a round of no length.
func (n *node) forgets() bool {
	return n.subs[0].straight() && (n.min > 0 || n.max > 1)
}

// leaves reports whether the rounds of the repetition n are matched by themselves: Java does not go back into a round
// through which there is one way, and leaves the groups in it as they are.
func (n *node) leaves() bool {
	body := n.subs[0]
	if body.op == opGroup && !body.subs[0].leavable() || body.op != opGroup && !body.leavable() {
		return false
	}
	return body.lineBreak || n.forgets()
}

// leavable reports whether it matters that n is matched by itself: there is a group or \R in it.
func (n *node) leavable() bool {
	return n.lineBreak || n.op == opGroup || slices.ContainsFunc(n.subs, (*node).leavable)
}

func plus(a, b int) int { return min(a+b, endless) }

func times(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	if a > endless/b {
		return endless
	}
	return a * b
}

// wordU are the code points of a word by (?U).
func wordU() set {
	return tables(unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
}

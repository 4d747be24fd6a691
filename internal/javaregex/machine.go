package javaregex

import (
	"errors"
	"unicode"
	"unicode/utf8"
)

// ErrLimit is returned for a text that cannot be matched within the bounds: the pattern tries too many ways.
var ErrLimit = errors.New("the pattern tries too many ways to match this text")

// The bounds of one text: steps, of which a core makes some 100 million in a second, and what is kept to go back to.
const (
	stepsAlways  = 10_000_000
	stepsPerByte = 100
	stepsBytes   = 4 << 20 // bytes that count
	stepsBlind   = 20_000  // before it is noted what was tried
	maxKept      = 1 << 20 // entries of 32 bytes
	maxTried     = 1 << 25 // bits
)

// A machine matches by trying one way after another, as Java does: the first way that leads to the end is the match.
//
// kept is the stack of what is to be done when a way is found to be wrong: to go another one, or to give a group or a
// loop the value that it had before.
type machine struct {
	quick   *program
	careful *program // nil: there is none
	prog    *program // one of the two
	text    []byte
	full    bool  // a match ends at the end of the text
	prev    int   // where the last match ended
	caps    []int // start and end of each group; -1: none
	open    []int // where each group started
	count   []int // rounds of each loop
	since   []int // where its round started
	reach   int   // where what is looked for behind ends
	kept    []entry
	tried   []uint64 // what was tried: a bit for each split at each place
	steps   int      // how many are left for this text
	bound   int      // how many have to be left
	blind   int      // how many are taken before it is noted what was tried
	err     error
}

type entry struct {
	what kept
	n    int // pc, group or loop
	pos  int
	more int
}

type kept uint8

const (
	way      kept = iota // go on at n
	shorter              // give back one code point of a run, down to more
	longer               // take one code point more, which is number more of the run n
	oldStart             // of group n
	oldEnd
	oldOpen
	oldCount // of loop n
	oldSince
)

// begin takes a text.
func (m *machine) begin(text []byte) {
	m.text = text
	m.prev = 0
	m.steps = stepsAlways + stepsPerByte*min(len(text), stepsBytes)
}

// find looks for the first match at from or behind it.
func (m *machine) find(from int) (bool, error) {
	m.prepare()
	p := m.quick
	for at := from; at <= len(m.text); {
		if p.anchor && at > 0 {
			return false, nil
		}
		if p.filter {
			for at < len(m.text) && !p.first[m.text[at]] {
				at++
			}
			if at == len(m.text) {
				return false, nil
			}
		}
		if ok, err := m.attempt(at); ok || err != nil {
			return ok, err
		}
		_, size := utf8.DecodeRune(m.text[at:])
		at += max(size, 1)
	}
	return false, nil
}

// whole matches the whole text.
func (m *machine) whole() (bool, error) {
	m.prepare()
	m.full = true
	ok, err := m.attempt(0)
	m.full = false
	return ok, err
}

func (m *machine) prepare() {
	p := m.quick
	if m.caps == nil {
		numbers := make([]int, 3*p.groups+2*p.loops)
		cut := func(n int) []int {
			part := numbers[:n:n]
			numbers = numbers[n:]
			return part
		}
		m.caps, m.open, m.count, m.since = cut(2*p.groups), cut(p.groups), cut(p.loops), cut(p.loops)
	}
	m.forget()
	m.prog, m.bound = m.quick, 0
	if m.careful != nil {
		m.bound = m.steps - m.blind
	}
}

// forget makes no group have matched.
func (m *machine) forget() {
	for i := range m.caps {
		m.caps[i] = -1
	}
}

// attempt matches at one place. Only where that takes long it begins to note what was tried.
func (m *machine) attempt(at int) (bool, error) {
	ok, err := m.once(at)
	if errors.Is(err, ErrLimit) && m.bound > 0 {
		m.bound = 0
		if bits := m.careful.splits * (len(m.text) + 1); bits <= maxTried {
			m.prog = m.careful
			words := (bits + 63) / 64
			if cap(m.tried) < words {
				m.tried = make([]uint64, words)
			}
			m.tried = m.tried[:words]
			clear(m.tried)
		}
		m.forget()
		ok, err = m.once(at)
	}
	return ok, err
}

func (m *machine) once(at int) (bool, error) {
	m.kept = m.kept[:0]
	m.err = nil
	stop, ok := m.run(0, at, 0)
	if ok {
		m.caps[0], m.caps[1] = at, stop
	}
	return ok, m.err
}

// run goes on at pc until the end of the program or of the part that it is in. What is kept above base is its own:
// nothing of it is left when it fails.
func (m *machine) run(pc, pos, base int) (int, bool) {
	for {
		m.steps--
		if m.steps < m.bound || len(m.kept) > maxKept {
			m.err = ErrLimit
			return 0, false
		}
		i := &m.prog.code[pc]
		ok := true
		switch i.op {
		case doRune, doSet:
			var size int
			if size, ok = m.one(i, pos); ok {
				pos += size
				pc++
			}
		case doRun:
			if pos, ok = m.start(i, pc, pos); ok {
				pc++
			}
		case doSplit:
			if i.n >= 0 {
				bit := i.n*(len(m.text)+1) + pos
				if ok = m.tried[bit>>6]&(1<<(bit&63)) == 0; !ok {
					break
				}
				m.tried[bit>>6] |= 1 << (bit & 63)
			}
			m.keep(way, i.y, pos, 0)
			pc = i.x
		case doJump:
			pc = i.x
		case doOpen:
			m.keep(oldOpen, i.n, m.open[i.n], 0)
			m.open[i.n] = pos
			pc++
		case doClose:
			m.keep(oldStart, i.n, m.caps[2*i.n], 0)
			m.keep(oldEnd, i.n, m.caps[2*i.n+1], 0)
			m.caps[2*i.n], m.caps[2*i.n+1] = m.open[i.n], pos
			pc++
		case doEnter:
			m.keep(oldCount, i.n, m.count[i.n], 0)
			m.count[i.n] = 0
			pc++
		case doLoop:
			pc, ok = m.loop(i, pos)
		case doRound:
			m.keep(oldCount, i.n, m.count[i.n], 0)
			m.keep(oldSince, i.n, m.since[i.n], 0)
			m.count[i.n]++
			m.since[i.n] = pos
			pc++
		case doAssert:
			if ok = m.holds(i.at, pos); ok {
				pc++
			}
		case doBackRef:
			var size int
			if size, ok = m.repeated(i, pos); ok {
				pos += size
				pc++
			}
		case doLook:
			above := len(m.kept)
			_, ok = m.run(i.x, pos, above)
			if m.err != nil {
				return 0, false
			}
			ok = m.settle(ok, i.negative, above)
			pc = i.y
		case doBehind:
			above := len(m.kept)
			ok = m.behind(i, pos, above)
			if m.err != nil {
				return 0, false
			}
			ok = m.settle(ok, i.negative, above)
			pc = i.y
		case doAtomic:
			above := len(m.kept)
			pos, ok = m.run(i.x, pos, above)
			if m.err != nil {
				return 0, false
			}
			ok = m.settle(ok, false, above)
			pc = i.y
		case doReach:
			if ok = pos == m.reach; ok {
				return pos, true
			}
		case doAccept:
			return pos, true
		case doMatch:
			if ok = !m.full || pos == len(m.text); ok {
				return pos, true
			}
		}
		if !ok {
			if pc, pos, ok = m.back(base); !ok {
				return 0, false
			}
		}
	}
}

func (m *machine) keep(what kept, n, pos, more int) {
	m.kept = append(m.kept, entry{what, n, pos, more})
}

// back undoes what was done since there was another way, and goes that.
func (m *machine) back(base int) (pc, pos int, ok bool) {
	for len(m.kept) > base {
		e := m.kept[len(m.kept)-1]
		m.kept = m.kept[:len(m.kept)-1]
		m.steps--
		switch e.what {
		case way:
			return e.n, e.pos, true
		case shorter:
			_, size := utf8.DecodeLastRune(m.text[:e.pos])
			if e.pos -= size; e.pos > e.more {
				m.kept = append(m.kept, e)
			}
			return e.n, e.pos, true
		case longer:
			i := &m.prog.code[e.n]
			size, ok := m.one(i, e.pos)
			if !ok {
				continue
			}
			if e.more+1 < i.max {
				m.keep(longer, e.n, e.pos+size, e.more+1)
			}
			return e.n + 1, e.pos + size, true
		case oldStart:
			m.caps[2*e.n] = e.pos
		case oldEnd:
			m.caps[2*e.n+1] = e.pos
		case oldOpen:
			m.open[e.n] = e.pos
		case oldCount:
			m.count[e.n] = e.pos
		case oldSince:
			m.since[e.n] = e.pos
		}
	}
	return 0, 0, false
}

// settle ends what was matched by itself: there is no other way through it. Its groups stay as they are even when what
// follows fails, as in Java.
func (m *machine) settle(matched, negative bool, above int) bool {
	rest := m.kept[:above]
	for _, e := range m.kept[above:] {
		switch e.what {
		case oldOpen, oldCount, oldSince:
			rest = append(rest, e)
		case way, shorter, longer, oldStart, oldEnd:
		}
	}
	m.kept = rest
	return matched != negative
}

// one matches one code point of an instruction and returns its size.
func (m *machine) one(i *inst, pos int) (int, bool) {
	if pos == len(m.text) {
		return 0, false
	}
	r, size := rune(m.text[pos]), 1
	if r >= utf8.RuneSelf {
		r, size = utf8.DecodeRune(m.text[pos:])
	}
	if i.op == doRune {
		return size, r == i.r
	}
	return size, i.set.has(r)
}

// start takes of a run what it is to start with.
func (m *machine) start(i *inst, pc, pos int) (int, bool) {
	n := 0
	for n < i.min {
		size, ok := m.one(i, pos)
		if !ok {
			return pos, false
		}
		pos += size
		n++
	}
	if i.how == lazy {
		if n < i.max {
			m.keep(longer, pc, pos, n)
		}
		return pos, true
	}
	least := pos
	for n < i.max {
		size, ok := m.one(i, pos)
		if !ok {
			break
		}
		pos += size
		n++
		m.steps--
	}
	if pos > least {
		m.keep(shorter, pc+1, pos, least)
	}
	return pos, true
}

// loop decides before each round how to go on. An empty round is mostly the last, whatever is asked for.
func (m *machine) loop(i *inst, pos int) (int, bool) {
	rounds := m.count[i.n]
	switch {
	case rounds > 0 && pos == m.since[i.n] && (rounds >= i.min || !i.insists):
		return i.y, !i.forgets || rounds <= i.min
	case rounds >= i.max:
		return i.y, true
	case rounds < i.min:
		return i.x, true
	case i.how == lazy:
		m.keep(way, i.x, pos, 0)
		return i.y, true
	default:
		m.keep(way, i.y, pos, 0)
		return i.x, true
	}
}

// behind looks for a place from which the part at i.x matches up to pos, the nearest first.
func (m *machine) behind(i *inst, pos, above int) bool {
	outer := m.reach
	m.reach = pos
	defer func() { m.reach = outer }()
	for from, n := pos, 0; n <= i.max; n++ {
		if n >= i.min {
			if _, ok := m.run(i.x, from, above); ok || m.err != nil {
				return ok
			}
		}
		if from == 0 {
			return false
		}
		_, size := utf8.DecodeLastRune(m.text[:from])
		from -= size
	}
	return false
}

// repeated matches what a group has matched before and returns its length. A group that has not matched is nowhere.
func (m *machine) repeated(i *inst, pos int) (int, bool) {
	if i.n >= m.prog.groups || m.caps[2*i.n] < 0 {
		return 0, false
	}
	was, here := m.text[m.caps[2*i.n]:m.caps[2*i.n+1]], m.text[pos:]
	m.steps -= len(was)
	taken := 0
	for len(was) > 0 {
		a, n := utf8.DecodeRune(was)
		b, size := utf8.DecodeRune(here)
		if size == 0 || !same(a, b, i.fold) {
			return 0, false
		}
		was, here = was[n:], here[size:]
		taken += size
	}
	return taken, true
}

func same(a, b rune, f fold) bool {
	switch {
	case a == b:
		return true
	case f == foldASCII:
		return foldedASCII(a) == foldedASCII(b)
	case f == foldUnicode:
		return folded(a) == folded(b)
	}
	return false
}

// holds reports whether pos is a place of that sort.
func (m *machine) holds(a assertion, pos int) bool {
	switch a {
	case atStart:
		return pos == 0
	case atEnd:
		return pos == len(m.text)
	case atPrevious:
		return pos == m.prev
	case atLine, atUnixLine:
		// Not at the end of the text, not even after a line terminator.
		if pos == len(m.text) {
			return false
		}
		r, _ := utf8.DecodeLastRune(m.text[:pos])
		switch {
		case pos == 0 || r == '\n':
			return true
		case a == atUnixLine || !terminator(r):
			return false
		}
		return r != '\r' || m.text[pos] != '\n'
	case atLast, atLineEnd:
		r, size := utf8.DecodeRune(m.text[pos:])
		switch {
		case size == 0:
			return true
		case !terminator(r) || r == '\n' && pos > 0 && m.text[pos-1] == '\r':
			return false
		case a == atLineEnd || pos+size == len(m.text):
			return true
		}
		return string(m.text[pos:]) == "\r\n"
	case atUnixLast:
		return pos == len(m.text) || pos == len(m.text)-1 && m.text[pos] == '\n'
	case atUnixEnd:
		return pos == len(m.text) || m.text[pos] == '\n'
	default:
		before, after := false, false
		wide := a == atWordU || a == atNoWordU
		if pos > 0 {
			r, size := utf8.DecodeLastRune(m.text[:pos])
			before = m.inWord(r, pos-size, wide)
		}
		if pos < len(m.text) {
			r, _ := utf8.DecodeRune(m.text[pos:])
			after = m.inWord(r, pos, wide)
		}
		return (before != after) == (a == atWord || a == atWordU)
	}
}

// inWord reports whether r, which stands at pos, belongs to a word: a letter, a digit, _, or a mark on one of those
// that is not spacing.
func (m *machine) inWord(r rune, pos int, wide bool) bool {
	if r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || wide && unicode.In(r, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Pc, unicode.Join_Control) {
		return true
	}
	for unicode.Is(unicode.Mn, r) && pos > 0 {
		var size int
		r, size = utf8.DecodeLastRune(m.text[:pos])
		pos -= size
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return true
		}
	}
	return false
}

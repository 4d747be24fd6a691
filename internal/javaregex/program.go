package javaregex

import (
	"slices"
	"unicode/utf8"
)

// A program is a pattern as the machine runs it.
type program struct {
	code    []inst
	groups  int // with group 0
	loops   int
	anchor  bool // it matches at the start of the text only
	filter  bool // first says with which bytes a match can start
	first   [256]bool
	careful bool // what was tried is noted, at its splits
	splits  int
	inside  int // how many parts that are matched by themselves what is added stands in
}

type inst struct {
	op       instOp
	how      greed
	at       assertion
	fold     fold
	negative bool
	forgets  bool // doLoop: an empty round is none
	insists  bool // doLoop: an empty round is followed by another, up to min, for it may have set a group
	x, y     int  // where to go on; y is the second choice
	n        int  // group, loop or number of a split
	min, max int
	r        rune
	set      *members
}

type instOp uint8

const (
	doRune    instOp = iota // one code point, r
	doSet                   // one code point of set
	doRun                   // min to max code points of set
	doSplit                 // x, then y
	doJump                  // x
	doOpen                  // a group starts
	doClose                 // it ends
	doEnter                 // a loop starts
	doLoop                  // x is its round, y what follows
	doRound                 // a round starts
	doAssert                // a place
	doBackRef               // what a group has
	doLook                  // x matches here or not; then y
	doBehind                // x matches up to here or not; then y
	doAtomic                // x, without a second choice; then y
	doAccept                // the end of x
	doReach                 // the end of x of doBehind
	doMatch                 // the end
)

// A members is a set that answers for ASCII without a search.
type members struct {
	ascii [2]uint64
	set   set
}

func newMembers(s set) *members {
	c := &members{set: s}
	for r := range rune(utf8.RuneSelf) {
		if s.has(r) {
			c.ascii[r>>6] |= 1 << (r & 63)
		}
	}
	return c
}

func (c *members) has(r rune) bool {
	if r < utf8.RuneSelf {
		return c.ascii[r>>6]&(1<<(r&63)) != 0
	}
	return c.set.has(r)
}

// newProgram makes the program of n. One that is careful has splits where the other has runs, and can note what was
// tried at each place, so that nothing is tried twice; nil where that is not the whole state.
func newProgram(n *node, groups int, careful bool) *program {
	if careful && !n.regular() {
		return nil
	}
	p := &program{groups: groups + 1, anchor: n.anchored(), careful: careful}
	p.add(n)
	p.put(inst{op: doMatch})
	if first, empty := n.first(); !empty {
		p.filter = true
		for b := range p.first {
			p.first[b] = b >= utf8.RuneSelf && len(first) > 0 && first[len(first)-1] >= utf8.RuneSelf || b < utf8.RuneSelf && first.has(rune(b))
		}
	}
	return p
}

// regular reports whether place and text are the whole state. What is matched by itself is a matter of its place too,
// whatever is in it.
func (n *node) regular() bool {
	switch n.op {
	case opLook, opAtomic:
		return !n.refers()
	case opBackRef:
		return false
	case opRepeat:
		if n.how == possessive || n.subs[0].op == opSet {
			return !n.refers()
		}
		if least, _ := n.subs[0].length(); least == 0 || !n.simple() {
			return false
		}
	case opEmpty, opSet, opCat, opAlt, opGroup, opAssert:
	}
	return !slices.ContainsFunc(n.subs, func(s *node) bool { return !s.regular() })
}

// refers reports whether there is a back reference in n.
func (n *node) refers() bool {
	return n.op == opBackRef || slices.ContainsFunc(n.subs, (*node).refers)
}

// simple reports whether a repetition needs no counting.
func (n *node) simple() bool {
	return n.how != possessive && (n.min <= 1 && n.max == endless || n.min == 0 && n.max == 1)
}

// anchored reports whether n starts with the start of the text.
func (n *node) anchored() bool {
	switch n.op {
	case opAssert:
		return n.at == atStart
	case opCat, opGroup, opAtomic:
		return n.subs[0].anchored()
	case opAlt:
		for _, s := range n.subs {
			if !s.anchored() {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// first returns the code points with which the text of n can start, and whether it can be empty.
func (n *node) first() (set, bool) {
	switch n.op {
	case opSet:
		return n.set, false
	case opCat:
		var s set
		for _, sub := range n.subs {
			f, empty := sub.first()
			if s = s.union(f); !empty {
				return s, false
			}
		}
		return s, true
	case opAlt:
		var s set
		maybe := false
		for _, sub := range n.subs {
			f, empty := sub.first()
			s, maybe = s.union(f), maybe || empty
		}
		return s, maybe
	case opGroup, opAtomic:
		return n.subs[0].first()
	case opRepeat:
		f, empty := n.subs[0].first()
		return f, empty || n.min == 0
	case opBackRef:
		return all(), true
	default:
		return nil, true
	}
}

func (p *program) put(i inst) int {
	p.code = append(p.code, i)
	return len(p.code) - 1
}

func (p *program) here() int { return len(p.code) }

func (p *program) split() int {
	if p.careful && p.inside == 0 {
		p.splits++
		return p.put(inst{op: doSplit, n: p.splits - 1})
	}
	return p.put(inst{op: doSplit, n: -1})
}

func (p *program) add(n *node) {
	switch n.op {
	case opEmpty:
	case opSet:
		if len(n.set) == 2 && n.set[0] == n.set[1] {
			p.put(inst{op: doRune, r: n.set[0]})
			return
		}
		p.put(inst{op: doSet, set: newMembers(n.set)})
	case opCat:
		for _, s := range n.subs {
			p.add(s)
		}
	case opAlt:
		var ends []int
		for _, s := range n.subs[:len(n.subs)-1] {
			at := p.split()
			p.code[at].x = p.here()
			p.add(s)
			ends = append(ends, p.put(inst{op: doJump}))
			p.code[at].y = p.here()
		}
		p.add(n.subs[len(n.subs)-1])
		for _, at := range ends {
			p.code[at].x = p.here()
		}
	case opGroup:
		p.put(inst{op: doOpen, n: n.group})
		p.add(n.subs[0])
		p.put(inst{op: doClose, n: n.group})
	case opRepeat:
		p.repeat(n)
	case opLook:
		i := inst{op: doLook, negative: n.negative}
		if n.behind {
			i.op = doBehind
			i.min, i.max = n.subs[0].length()
		}
		p.inner(i, n.subs[0])
	case opAtomic:
		p.inner(inst{op: doAtomic}, n.subs[0])
	case opBackRef:
		p.put(inst{op: doBackRef, n: n.group, fold: n.fold})
	case opAssert:
		p.put(inst{op: doAssert, at: n.at})
	}
}

// inner adds what is matched by itself.
func (p *program) inner(i inst, n *node) {
	at := p.put(i)
	p.code[at].x = p.here()
	p.inside++
	p.add(n)
	p.inside--
	if i.op == doBehind {
		p.put(inst{op: doReach})
	} else {
		p.put(inst{op: doAccept})
	}
	p.code[at].y = p.here()
}

func (p *program) repeat(n *node) {
	body := n.subs[0]
	least, _ := body.length()
	if n.how != possessive && n.leaves() {
		round := *body
		if body.op == opGroup {
			round.subs = []*node{{op: opAtomic, subs: body.subs}}
		} else {
			round = node{op: opAtomic, subs: n.subs}
		}
		body = &round
	}
	switch {
	case n.how == possessive:
		// Java does not go back into a round that is done either.
		round := &node{op: opAtomic, subs: n.subs}
		if body.op == opSet {
			round = body
		}
		p.inner(inst{op: doAtomic}, &node{op: opRepeat, subs: []*node{round}, min: n.min, max: n.max})
	case body.op == opSet && !(p.careful && p.inside == 0 && n.simple()):
		p.put(inst{op: doRun, set: newMembers(body.set), min: n.min, max: n.max, how: n.how})
	case least > 0 && n.simple() && n.max == 1:
		at := p.split()
		from := p.here()
		p.add(body)
		p.choose(at, from, p.here(), n.how)
	case least > 0 && n.simple() && n.min == 0:
		at := p.split()
		from := p.here()
		p.add(body)
		p.put(inst{op: doJump, x: at})
		p.choose(at, from, p.here(), n.how)
	case least > 0 && n.simple():
		from := p.here()
		p.add(body)
		at := p.split()
		p.choose(at, from, p.here(), n.how)
	default:
		loop := p.loops
		p.loops++
		p.put(inst{op: doEnter, n: loop})
		at := p.put(inst{op: doLoop, n: loop, min: n.min, max: n.max, how: n.how, forgets: n.forgets(), insists: body.refers() && body.straight()})
		p.code[at].x = p.put(inst{op: doRound, n: loop})
		p.add(body)
		p.put(inst{op: doJump, x: at})
		p.code[at].y = p.here()
	}
}

// choose makes the split at go into the body first, or out of it.
func (p *program) choose(at, body, out int, how greed) {
	if how == lazy {
		body, out = out, body
	}
	p.code[at].x, p.code[at].y = body, out
}

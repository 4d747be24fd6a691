package javaregex

// class reads what stands behind [ and, where it is to, the ] that ends it.
//
// The grammar is Java's with its oddities: && cuts what has been read so far with all that follows up to the next ] or
// &; ^ negates the whole. Single code points below 256 are kept apart: those read before an && come back when another
// one is read behind it.
func (p *parser) class(closing bool) set {
	from := p.at - 1
	if !p.deeper() {
		return nil
	}
	defer func() { p.depth-- }()
	negated := false
	if closing && p.raw(0) == '^' {
		p.at++
		negated = true
	}
	var have, single set
	some := false    // something has been read; it may be an empty set
	pending := false // single code points have been read that have not come into have yet
	for p.err == nil {
		switch c := p.peek(); {
		case c == end:
			p.fail(from, "the ] of this class is missing")
		case c == ']' && (some || pending):
			if closing {
				p.at++
			}
			if pending {
				have = have.union(single)
			}
			if negated {
				return have.not()
			}
			return have
		case c == '[':
			p.at++
			have, some = have.union(p.class(true)), true
		case c == '&' && p.raw(1) == '&':
			p.at += 2
			right, given := p.right()
			if pending {
				have, some, pending = have.union(single), true, false
			}
			switch {
			case !given:
				p.fail(p.at, "behind && a set is missing")
			case some:
				have = have.and(right)
			default:
				have = right
			}
			some = true
		default:
			s, alone := p.span()
			if alone {
				single, pending = single.union(s), true
			} else {
				have, some = have.union(s), true
			}
		}
	}
	return nil
}

// right reads what stands to the right of &&.
func (p *parser) right() (set, bool) {
	var right set
	given := false
	for p.err == nil {
		switch p.peek() {
		case ']', '&', end:
			return right, given
		case '[':
			p.at++
			right, given = right.union(p.class(true)), true
		default:
			right, given = right.union(p.class(false)), true
		}
	}
	return nil, true
}

// span reads one member of a class: a code point, two with - between them, or an escape; and whether it is one of the
// single code points that are kept apart.
func (p *parser) span() (s set, alone bool) {
	from := p.at
	c := p.peek()
	if c == '\\' {
		if s, ok := p.familyInRange(p.raw(2) == '-'); ok {
			return s, false
		}
		c = p.char()
	} else {
		p.at++
		c &^= quoted
	}
	next := end
	if p.peek() == '-' {
		next = p.raw(1)
	}
	switch next {
	case '[', ']', end:
		return equals(c, p.fold()), c < 256
	}
	p.at++
	to := p.peek()
	if to == '\\' {
		if _, ok := p.familyInRange(true); ok {
			p.fail(from, "a range does not end with a class")
			return nil, false
		}
		to = p.char()
	} else {
		p.at++
		to &^= quoted
	}
	if to < c {
		p.fail(from, "the range ends before it starts")
		return nil, false
	}
	return between(c, to).folded(p.fold()), false
}

// familyInRange reads an escape that is a set. At an end of a range \v is the vertical tab, which char reads.
func (p *parser) familyInRange(atEnd bool) (set, bool) {
	if atEnd && p.raw(1) == 'v' {
		return nil, false
	}
	return p.family()
}

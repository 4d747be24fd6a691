// Package javaregex matches by the regular expressions of Java's java.util.regex, as Flume's settings have them.
//
//	text ─▶ parse ─▶ node ─┬─▶ package regexp   time grows with the text alone; most patterns, most texts
//	                       └─▶ machine          tries way after way, within bounds; the rest
//
// A pattern is read by Java's grammar (that of Java 17). Where package regexp has words for what it means, those are
// used, under conditions on the text: "$" is "\z" for a text that does not end with a line terminator. Every other
// text, and every pattern with look-around, back references, possessive or atomic groups, or a repetition of what may
// be empty, is matched by a machine of our own, as Java does it: the first way that leads to the end counts. It ends
// with [ErrLimit] after a bounded number of steps, so that no pattern can hold up an agent.
//
// What a pattern is matched against is UTF-8. What is not UTF-8 is replaced by U+FFFD just as Java decodes it.
//
// What is refused: \X, \b{g}, \N{…}, (?c), a class with nothing behind &&, and names of \p{…} that are not known.
// Other than in Java:
//
//   - a character beyond U+FFFF is one character, never two;
//   - of a group that repeats inside of what is repeated ("(?:([a-z])+,)*") the last round counts; Java gives the first;
//   - a group inside of a look-around or possessive part that did not lead to the match may have another text, or none;
//   - the Unicode tables are those of Go, which are newer.
package javaregex

import (
	"unicode/utf8"

	"github.com/sluice-io/sluice/internal/charset"
)

// A Pattern is a regular expression that was understood. It can be used by many goroutines at once.
type Pattern struct {
	text    string
	groups  int
	names   map[string]int
	linear  *linear // nil: not in the words of package regexp
	quick   *program
	careful *program // nil: there is none
}

// Compile reads a pattern. The error names the character that cannot be.
func Compile(pattern string) (*Pattern, error) {
	n, read, err := parse(pattern)
	if err != nil {
		return nil, err
	}
	return &Pattern{
		text: pattern, groups: read.groups, names: read.names,
		linear: newLinear(n), quick: newProgram(n, read.groups, false), careful: newProgram(n, read.groups, true),
	}, nil
}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Groups is how many groups it has. Group 0, the whole match, is not counted.
func (p *Pattern) Groups() int { return p.groups }

// Group is the number of the group of that name.
func (p *Pattern) Group(name string) (int, bool) {
	n, ok := p.names[name]
	return n, ok
}

// A Matcher matches one text after another. It belongs to one goroutine and keeps what it needs for the next text.
type Matcher struct {
	pattern *Pattern
	machine machine
	linear  bool  // the text meets the needs of pattern.linear
	caps    []int // of the last match
	from    int   // where the next search starts
	done    bool  // there is nothing behind it
}

// Matcher returns a matcher for an empty text.
func (p *Pattern) Matcher() *Matcher {
	m := &Matcher{pattern: p}
	m.machine.quick, m.machine.careful, m.machine.blind = p.quick, p.careful, stepsBlind
	m.Reset(nil)
	return m
}

// Reset gives the matcher a text. It is not changed, and has to stay as it is while the matcher has it.
func (m *Matcher) Reset(text []byte) {
	m.machine.begin(charset.DecodeUTF8(text))
	m.linear = m.pattern.linear != nil && m.pattern.linear.needs.met(m.machine.text)
	m.caps, m.from, m.done = nil, 0, false
}

// Text is the text as it is matched: UTF-8.
func (m *Matcher) Text() []byte { return m.machine.text }

// Find looks for the next match.
func (m *Matcher) Find() (bool, error) {
	m.caps = nil
	if m.done {
		return false, nil
	}
	found, err := m.search()
	if !found || err != nil {
		m.done = true
		return false, err
	}
	start, stop := m.caps[0], m.caps[1]
	m.machine.prev, m.from = stop, stop
	if start == stop {
		_, size := utf8.DecodeRune(m.machine.text[stop:])
		m.from += size
		m.done = size == 0
	}
	return true, nil
}

func (m *Matcher) search() (bool, error) {
	text, l := m.machine.text, m.pattern.linear
	switch {
	case m.linear && m.from == 0:
		m.caps = l.find.FindSubmatchIndex(text)
		return m.caps != nil, nil
	case m.linear && !l.looksBack:
		m.caps = l.rest.FindSubmatchIndex(text[m.from:])
		for i, at := range m.caps {
			if at >= 0 {
				m.caps[i] += m.from
			}
		}
		return m.caps != nil, nil
	}
	ok, err := m.machine.find(m.from)
	m.caps = m.machine.caps
	return ok, err
}

// Matches reports whether the whole text matches.
func (m *Matcher) Matches() (bool, error) {
	m.caps = nil
	if m.linear {
		m.caps = m.pattern.linear.full.FindSubmatchIndex(m.machine.text)
		return m.caps != nil, nil
	}
	ok, err := m.machine.whole()
	if ok {
		m.caps = m.machine.caps
	}
	return ok, err
}

// Contains reports whether there is a match, without its groups: for package regexp that is less work than Find. It
// starts over where Find has been before.
func (m *Matcher) Contains() (bool, error) {
	if m.linear {
		return m.pattern.linear.find.Match(m.machine.text), nil
	}
	return m.machine.find(0)
}

// Group returns what a group of the last match has matched, a part of Text, and whether it has matched at all.
func (m *Matcher) Group(n int) ([]byte, bool) {
	if 2*n+1 >= len(m.caps) || m.caps[2*n] < 0 {
		return nil, false
	}
	return m.machine.text[m.caps[2*n]:m.caps[2*n+1]:m.caps[2*n+1]], true
}

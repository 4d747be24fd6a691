package javaregex

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

// An answer is what java.util.regex says of a case.
type answer struct {
	Pattern     string      `json:"p"`
	Text        string      `json:"t"`
	Replacement string      `json:"r"`
	Refused     bool        `json:"refused"`
	Endless     bool        `json:"endless"` // it looked at more characters than it was allowed to
	Whole       bool        `json:"whole"`
	Found       [][]*string `json:"found"` // the groups of each match, at most 30 matches
	Replaced    string      `json:"replaced"`
	Wrong       bool        `json:"wrong"` // the replacement cannot be
	Runs        []rune      `json:"runs"`  // of a set: the assigned code points that it has
	Bytes       *string     `json:"bytes"` // hexadecimal; Text is what Java decodes
}

const golden = "testdata/answers.json.gz"

// answers reads testdata/answers.json.gz, which Java has made of questions and sets.
func answers(t testing.TB) []answer {
	t.Helper()
	f, err := os.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	var out []answer
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	if lines.Err() != nil || len(out) < 2000 {
		t.Fatal(len(out), "answers", lines.Err())
	}
	return out
}

// groups are those of the matches, as in an answer.
func found(m *Matcher, groups int) ([][]*string, error) {
	var out [][]*string
	for len(out) < 30 {
		ok, err := m.Find()
		if !ok || err != nil {
			return out, err
		}
		all := make([]*string, groups+1)
		for n := range all {
			if text, ok := m.Group(n); ok {
				s := string(text)
				all[n] = &s
			}
		}
		out = append(out, all)
	}
	return out, nil
}

func show(matches [][]*string) string {
	s := ""
	for _, groups := range matches {
		s += "["
		for _, g := range groups {
			if g == nil {
				s += " none"
				continue
			}
			s += fmt.Sprintf(" %q", *g)
		}
		s += "]"
	}
	return s
}

// The answers are to what is asked: to questions, sets and sequences, in this order.
func TestQuestions(t *testing.T) {
	got := answers(t)
	var want []answer
	for _, q := range questions() {
		want = append(want, answer{Pattern: q.pattern, Text: q.text, Replacement: q.replacement})
	}
	for _, s := range sets() {
		want = append(want, answer{Pattern: s})
	}
	if len(got) != len(want)+len(sequences()) {
		t.Fatalf("%d answers", len(got))
	}
	for i, q := range want {
		if a := got[i]; a.Pattern != q.Pattern || a.Text != q.Text || a.Replacement != q.Replacement {
			t.Fatalf("answer %d is to %q, %q, %q", i, a.Pattern, a.Text, a.Replacement)
		}
	}
	for i, b := range sequences() {
		if a := got[len(want)+i]; a.Bytes == nil || *a.Bytes != hex.EncodeToString(b) {
			t.Fatalf("answer %d is not to %X", len(want)+i, b)
		}
	}
}

// refused are patterns that Java takes; all others are taken by both.
var refused = []string{"(?c)a"}

// other are patterns of which Java remembers another round of a group: of a group repeated inside of what is repeated
// it gives the first.
var other = []string{"()\\d|((.){0,2}\\A?)*k+.{2}?"}

func TestJava(t *testing.T) {
	byPackage, byMachine := 0, 0
	for _, a := range answers(t) {
		if a.Runs != nil || a.Bytes != nil || slices.Contains(refused, a.Pattern) || slices.Contains(other, a.Pattern) {
			continue
		}
		p, err := Compile(a.Pattern)
		if (err != nil) != a.Refused {
			t.Errorf("%q: refused %v, error %v", a.Pattern, a.Refused, err)
		}
		if err != nil || a.Refused {
			continue
		}
		m := p.Matcher()
		m.Reset([]byte(a.Text))
		if m.linear {
			byPackage++
		} else {
			byMachine++
		}
		compare(t, p, a, true)
		if m.linear {
			compare(t, p, a, false)
		}
	}
	t.Logf("%d cases by package regexp, %d by the machine alone", byPackage, byMachine)
}

// compare matches as a says, in the machine too where it need not.
func compare(t *testing.T, p *Pattern, a answer, linear bool) {
	t.Helper()
	m := p.Matcher()
	reset := func() {
		m.Reset([]byte(a.Text))
		m.linear = m.linear && linear
	}
	reset()
	whole, err := m.Matches()
	if a.Endless || errors.Is(err, ErrLimit) {
		return
	}
	if err != nil || whole != a.Whole {
		t.Errorf("%q on %q (%v): matches %v, %v", a.Pattern, a.Text, m.linear, whole, err)
	}
	reset()
	got, err := found(m, p.Groups())
	if err != nil || show(got) != show(a.Found) {
		t.Errorf("%q on %q (%v):\n%s instead of\n%s; %v", a.Pattern, a.Text, m.linear, show(got), show(a.Found), err)
	}
	if a.Wrong {
		if _, err := p.Replacement(a.Replacement); err == nil {
			t.Errorf("%q: the replacement %q is taken", a.Pattern, a.Replacement)
		}
		return
	}
	r, err := p.Replacement(a.Replacement)
	if err != nil {
		if len(a.Found) > 0 {
			t.Errorf("%q: %v", a.Pattern, err)
		}
		return
	}
	reset()
	replaced, changed, err := m.ReplaceAll(nil, r, 1<<20)
	if !changed {
		replaced = []byte(a.Text)
	}
	if err != nil || string(replaced) != a.Replaced {
		t.Errorf("%q on %q with %q: %q instead of %q; %v", a.Pattern, a.Text, a.Replacement, replaced, a.Replaced, err)
	}
}

// moved are code points of which Unicode 15 (Go's) says other things than Unicode 13 (Java's).
var moved = tidy([]rune{0xC04, 0xC04, 0xF82, 0xF83, 0x10FC, 0x10FC, 0x1734, 0x1734, 0xAB69, 0xAB69, 0x11080, 0x11081, 0x16FE2, 0x16FE3})

func TestSets(t *testing.T) {
	var assigned set
	for _, a := range answers(t) {
		if a.Runs == nil {
			continue
		}
		if assigned == nil {
			assigned = tidy(slices.Clone(a.Runs)).minus(moved)
		}
		n, _, err := parse(a.Pattern)
		if err != nil {
			t.Errorf("%q: %v", a.Pattern, err)
			continue
		}
		want := tidy(slices.Clone(a.Runs)).minus(moved)
		p, err := Compile(a.Pattern)
		if err != nil {
			t.Fatal(err)
		}
		got := set{}
		if n.op == opSet {
			got = n.set.and(assigned)
		} else {
			m := p.Matcher()
			for i := 0; i < len(assigned); i += 2 {
				for r := assigned[i]; r <= assigned[i+1]; r++ {
					m.Reset([]byte(string(r)))
					if ok, err := m.Matches(); err != nil {
						t.Fatal(err)
					} else if ok {
						got = append(got, r, r)
					}
				}
			}
			got = tidy(got)
		}
		if !got.equal(want) {
			more, less := got.minus(want), want.minus(got)
			t.Errorf("%q: %X too many, %X missing", a.Pattern, more[:min(len(more), 12)], less[:min(len(less), 12)])
		}
	}
}

// Bytes that are not UTF-8 are decoded as Java does.
func TestText(t *testing.T) {
	n, m := 0, compile(t, "").Matcher()
	for _, a := range answers(t) {
		if a.Bytes == nil {
			continue
		}
		n++
		in, err := hex.DecodeString(*a.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		m.Reset(in)
		if got := m.Text(); string(got) != a.Text {
			t.Errorf("%X is %q instead of %q", in, got, a.Text)
		}
	}
	if n < 1000 {
		t.Errorf("only %d sequences", n)
	}
}

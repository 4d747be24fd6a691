package javaregex

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func compile(t testing.TB, pattern string) *Pattern {
	t.Helper()
	p, err := Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		`a**`:                     `the pattern "a**", at character 3: nothing stands before the * that it could repeat; \* means the character`,
		`(a`:                      `the pattern "(a", at character 1: the ) of this group is missing`,
		`ab)`:                     `the pattern "ab)", at character 3: a ) without its (`,
		`łó[a`:                    `the pattern "łó[a", at character 3: the ] of this class is missing`,
		`a{x}`:                    `the pattern "a{x}", at character 2: behind { a number is missing; \{ means the character`,
		`\Qa\E\q`:                 `the pattern "\\Qa\\E\\q", at character 6: there is no escape \q here`,
		`\p{Foo}`:                 `the pattern "\\p{Foo}", at character 1: \p{Foo} is not known`,
		`(?<n>a)(?<n>b)`:          `the pattern "(?<n>a)(?<n>b)", at character 11: there is a group n already`,
		`\X`:                      `the pattern "\\X", at character 1: \X is not supported`,
		`[a&&]`:                   `the pattern "[a&&]", at character 5: behind && a set is missing`,
		strings.Repeat("(", 1000): "deep",
		strings.Repeat("[", 1000): "deep",
	} {
		if _, err := Compile(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v", pattern, err)
		}
	}
	p := compile(t, `(a)(?<n>b)`)
	for text, want := range map[string]string{
		`$3`:   `the replacement "$3", at character 1: the pattern "(a)(?<n>b)" has no group 3`,
		`a$`:   `the replacement "a$", at character 2: behind $ a group is missing; \$ means the character`,
		`${x}`: `the replacement "${x}", at character 1: the pattern "(a)(?<n>b)" has no group x`,
		`é\`:   `the replacement "é\\", at character 2: nothing stands behind the backslash; \\ means the character`,
	} {
		if _, err := p.Replacement(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestGroups(t *testing.T) {
	p := compile(t, `(?<first>a)|(?<second>b)`)
	if n, ok := p.Group("second"); n != 2 || !ok || p.Groups() != 2 {
		t.Error(n, ok, p.Groups())
	}
	if _, ok := p.Group("third"); ok {
		t.Error("there is no third group")
	}
	m := p.Matcher()
	m.Reset([]byte("xb"))
	if ok, err := m.Find(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if text, ok := m.Group(1); text != nil || ok {
		t.Errorf("%q, %v", text, ok)
	}
	if text, ok := m.Group(2); string(text) != "b" || !ok || cap(text) != 1 {
		t.Errorf("%q, %v", text, ok)
	}
	if _, ok := m.Group(3); ok {
		t.Error("there is no third group")
	}
}

// No pattern holds up the agent: each text has its bounds, and the next one is matched again.
func TestLimit(t *testing.T) {
	many := strings.Repeat("a", 100)
	for _, x := range []struct{ pattern, text string }{
		{`(a+)+\1b`, many},
		{`(?=(a+)+b)a`, many},
		{`(?:a|aa)*+(?<=(a|aa){40}b)`, many},
		{`(?>(a|aa)+$)b`, many + "c"},
		{`(a{1,30}){1,30}{1,30}(?!x)b`, many},
		{`((a{0,9}){9}){9}b\1`, many},
		{`(?:(a)|b)*+c`, strings.Repeat("ab", 1<<20)},
	} {
		m := compile(t, x.pattern).Matcher()
		m.Reset([]byte(x.text))
		began := time.Now()
		if _, err := m.Find(); err != nil && !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", x.pattern, err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s took %v", x.pattern, took)
		}
		if len(m.machine.kept) > maxKept+64 {
			t.Errorf("%s keeps %d entries", x.pattern, len(m.machine.kept))
		}
		m.Reset([]byte("c"))
		if _, err := m.Find(); err != nil {
			t.Errorf("%s: %v after the bounds were reached before", x.pattern, err)
		}
	}
	m := compile(t, `(a+)+\1b`).Matcher()
	m.Reset([]byte(many))
	if _, err := m.Matches(); !errors.Is(err, ErrLimit) {
		t.Errorf("a pattern that never ends: %v", err)
	}
}

// Where place and text are the whole state, it takes no more than linear time to find that a pattern with many ways
// has none.
func TestCareful(t *testing.T) {
	for _, pattern := range []string{`(a+)+$`, `(a|a)*$`, `(?:a*?a*)+?$`, `(.*)(.*)(.*)(.*)[^a]x$`, `\b(a+)+é\b`, `(?!x)(\w+\s?)*!$`} {
		p := compile(t, pattern)
		m := p.Matcher()
		m.Reset([]byte(strings.Repeat("a", 20_000) + "éb\n"))
		if m.linear {
			t.Errorf("%s is matched by package regexp", pattern)
		}
		if _, err := m.Find(); err != nil && p.careful != nil {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	for pattern, want := range map[string]bool{`(a+)+$`: true, `(?=(a*)*b)c`: true, `(?:a{2,3})+`: true, `(a)\1`: false, `(?=(a)\1)b`: false, `(?:ab){2,3}`: false, `(a*)*`: false} {
		if p := compile(t, pattern); (p.careful != nil) != want {
			t.Errorf("%s can be matched carefully: %v", pattern, !want)
		}
	}
}

// Both programs of a pattern find the same.
func TestPrograms(t *testing.T) {
	n := 0
	for _, a := range answers(t) {
		if a.Runs != nil || a.Bytes != nil || a.Refused || slices.Contains(refused, a.Pattern) {
			continue
		}
		p := compile(t, a.Pattern)
		if p.careful == nil {
			continue
		}
		n++
		quick, careful := p.Matcher(), p.Matcher()
		careful.machine.blind = 0
		for _, m := range []*Matcher{quick, careful} {
			m.Reset([]byte(a.Text))
			m.linear = false
		}
		want, err := found(quick, p.Groups())
		if err != nil {
			continue
		}
		got, err := found(careful, p.Groups())
		if err != nil || show(got) != show(want) {
			t.Errorf("%q on %q: %s instead of %s; %v", a.Pattern, a.Text, show(got), show(want), err)
		}
	}
	if n < 1000 {
		t.Error("only", n)
	}
}

func TestReplaceAll(t *testing.T) {
	p := compile(t, "a*")
	r, err := p.Replacement("<$0>")
	if err != nil {
		t.Fatal(err)
	}
	m := p.Matcher()
	m.Reset([]byte("baac"))
	got, found, err := m.ReplaceAll([]byte("x"), r, 100)
	if string(got) != "x<>b<aa><>c<>" || !found || err != nil {
		t.Errorf("%q, %v, %v", got, found, err)
	}
	if got, _, err := m.ReplaceAll([]byte("x"), r, 6); string(got) != "x" || err == nil || err.Error() != "the text grows beyond 6 bytes" {
		t.Errorf("%q, %v", got, err)
	}
	m = compile(t, "z").Matcher()
	m.Reset([]byte("baac"))
	if got, found, err := m.ReplaceAll([]byte("x"), r, 1); string(got) != "x" || found || err != nil {
		t.Errorf("%q, %v, %v", got, found, err)
	}
}

func TestAllocations(t *testing.T) {
	text := []byte("2024-03-31 02:30:00,123 ERROR [main] something\n")
	for _, x := range []struct {
		pattern string
		most    float64
	}{
		{`^(\d{4})-(\d\d)`, 1}, // of package regexp, for the groups
		{`(?<=,)(\d+) (\w+)`, 0},
		{`something$`, 0},
	} {
		m := compile(t, x.pattern).Matcher()
		if racing && m.pattern.linear != nil {
			continue // package regexp has pools, which the race detector empties
		}
		if got := testing.AllocsPerRun(100, func() {
			m.Reset(text)
			if ok, err := m.Find(); !ok || err != nil {
				t.Error(x.pattern, ok, err)
			}
		}); got > x.most {
			t.Errorf("%s costs %v allocations", x.pattern, got)
		}
		if got := testing.AllocsPerRun(100, func() {
			m.Reset(text)
			if ok, err := m.Contains(); !ok || err != nil {
				t.Error(x.pattern, ok, err)
			}
		}); got != 0 {
			t.Errorf("%s costs %v allocations without groups", x.pattern, got)
		}
	}
}

// Whatever is compiled can be matched, and both ways of matching find the same.
func FuzzPattern(f *testing.F) {
	for _, p := range strings.Split(written+odd, "\n") {
		f.Add(p, "aab 12:3\r\n", "<$0>")
	}
	f.Add(`(?<n>a)+`, "aé\x80\xff", `${n}\$`)
	f.Fuzz(func(t *testing.T, pattern, text, replacement string) {
		p, err := Compile(pattern)
		if err != nil {
			return
		}
		if len(text) > 200 {
			text = text[:200]
		}
		m := p.Matcher()
		m.Reset([]byte(text))
		first, err := found(m, p.Groups())
		if err != nil && !errors.Is(err, ErrLimit) {
			t.Fatal(err)
		}
		if m.linear {
			m.Reset([]byte(text))
			m.linear = false
			second, err := found(m, p.Groups())
			if err == nil && show(first) != show(second) {
				t.Errorf("%q on %q: package regexp finds %s, the machine %s", pattern, text, show(first), show(second))
			}
		}
		if r, err := p.Replacement(replacement); err == nil {
			if _, _, err := m.ReplaceAll(nil, r, 1<<16); err != nil && !errors.Is(err, ErrLimit) && !strings.Contains(err.Error(), "grows beyond") {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	line := []byte("2024-03-31 02:30:00,123 ERROR [main] org.acme.App - user=frank failed: some words and 12 more of them, key=value\n")
	for _, pattern := range []string{`(ERROR|WARN)`, `key=(\w+)$`, `(?<=user=)(\w+)`, `^(?!#)(\S+) (\S+) +(\w+)`, `(\w++)=(?=v)`} {
		b.Run(pattern, func(b *testing.B) {
			m := compile(b, pattern).Matcher()
			b.ReportAllocs()
			for b.Loop() {
				m.Reset(line)
				if ok, err := m.Find(); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

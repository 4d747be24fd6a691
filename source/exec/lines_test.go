package exec

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-io/sluice/internal/charset"
)

// split feeds text in pieces of these sizes, the last one again and again.
func split(c charset.Charset, most int, text []byte, pieces ...int) (lines []string, cuts int) {
	s := newSplitter(c, most, func() { cuts++ })
	var bodies [][]byte
	for len(text) > 0 {
		n := len(text)
		if len(pieces) > 0 {
			n = min(n, max(1, pieces[0]))
			if len(pieces) > 1 {
				pieces = pieces[1:]
			}
		}
		n = copy(s.room(), text[:n])
		bodies = s.read(n, bodies)
		text = text[n:]
	}
	for _, b := range s.finish(bodies) {
		lines = append(lines, string(b))
	}
	return lines, cuts
}

func TestLines(t *testing.T) {
	wide := func(s string) string { return string(charset.UTF16BE.Encode([]byte(s))) }
	narrow := func(s string) string { return string(charset.UTF16LE.Encode([]byte(s))) }
	for _, x := range []struct {
		charset charset.Charset
		most    int
		text    string
		want    []string
	}{
		{charset.UTF8, 100, "", nil},
		{charset.UTF8, 100, "a\nb\n", []string{"a", "b"}},
		{charset.UTF8, 100, "a\r\nb\rc\n\rd", []string{"a", "b", "c", "", "d"}},
		{charset.UTF8, 100, "\n\n\r\r\n\r", []string{"", "", "", "", ""}},
		{charset.UTF8, 100, "last", []string{"last"}},
		{charset.UTF8, 100, "é\xff\xe9x\n", []string{"é\ufffd\ufffdx"}},
		{charset.Latin1, 100, "caf\xe9\n\xff", []string{"caf\xe9", "\xff"}},
		{charset.ASCII, 100, "caf\xe9\n", []string{"caf?"}},
		{charset.UTF16BE, 100, wide("aé\r\nb\n😀"), []string{wide("aé"), wide("b"), wide("😀")}},
		{charset.UTF16LE, 100, narrow("a\rb\n"), []string{narrow("a"), narrow("b")}},
		{charset.UTF16BE, 100, wide("\u0a0d\u0d0a\n"), []string{wide("\u0a0d\u0d0a")}},
		{charset.UTF16, 100, wide("\ufeffa\n\ufeffb"), []string{wide("\ufeffa"), wide("\ufeff\ufeffb")}},
		{charset.UTF16, 100, narrow("\ufeffa\nb"), []string{wide("\ufeffa"), wide("\ufeffb")}},
		{charset.UTF16BE, 100, wide("a") + "x", []string{wide("a\ufffd")}},
		{charset.UTF8, 16, "0123456789abcdef\n0123456789abcdefg\n", []string{"0123456789abcdef", "0123456789abcdef", "g"}},
		{charset.UTF8, 16, "0123456789abcdé0123\n", []string{"0123456789abcdé", "0123"}},
		{charset.UTF8, 16, "0123456789abcdeé0123\n", []string{"0123456789abcde", "é0123"}},
		{charset.UTF8, 16, "0123456789abc😀x", []string{"0123456789abc", "😀x"}},
		{charset.UTF8, 16, strings.Repeat("\x80", 17) + "\n", []string{strings.Repeat("\ufffd", 16), "\ufffd"}},
		{charset.UTF16BE, 17, wide("1234567😀x\n"), []string{wide("1234567"), wide("😀x")}},
	} {
		for _, pieces := range [][]int{nil, {1}, {2}, {3}, {7}} {
			if got, _ := split(x.charset, x.most, []byte(x.text), pieces...); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", x.want) {
				t.Errorf("%d of %q in pieces of %v: %q instead of %q", x.charset, x.text, pieces, got, x.want)
			}
		}
	}
}

// Where the pieces end does not matter, no line is longer than it may be, and nothing goes missing.
func FuzzLines(f *testing.F) {
	f.Add(uint8(0), []byte("a\r\nb\rc\n\n"), 1, 5)
	f.Add(uint8(3), []byte("\xff\xfea\x00\r\x00\n\x00b\x00"), 3, 1)
	f.Add(uint8(0), []byte(strings.Repeat("é", 40)+"\r"), 16, 17)
	f.Fuzz(func(t *testing.T, number uint8, text []byte, first, rest int) {
		const most = 16
		c := charset.Charset(number % 6)
		whole, _ := split(c, most, text)
		pieces, _ := split(c, most, text, first%100, rest%100)
		if fmt.Sprintf("%q", whole) != fmt.Sprintf("%q", pieces) {
			t.Fatalf("%q\nbut in pieces\n%q", whole, pieces)
		}
		if c != charset.Latin1 {
			return
		}
		if got, want := strings.Join(whole, ""), strings.NewReplacer("\r", "", "\n", "").Replace(string(text)); got != want {
			t.Fatalf("%q is left of %q", got, text)
		}
		for _, line := range whole {
			if len(line) > most {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
	})
}

func TestLongLinesAreBounded(t *testing.T) {
	s := newSplitter(charset.UTF8, 1<<16, func() {})
	var bodies [][]byte
	for range 10_000 {
		room := s.room()
		n := copy(room, bytes.Repeat([]byte("x"), 1000))
		bodies = s.read(n, bodies[:0])
	}
	if len(s.buf) > 1<<18 {
		t.Errorf("%d bytes are held of lines of %d", len(s.buf), 1<<16)
	}
	if _, cuts := split(charset.UTF8, 16, []byte(strings.Repeat("x", 1000)+"\n"+strings.Repeat("x", 17))); cuts != 2 {
		t.Errorf("%d lines are said to be long", cuts)
	}
}

func TestAllocations(t *testing.T) {
	s := newSplitter(charset.UTF8, 1<<20, func() {})
	text := []byte(strings.Repeat("a line of the usual length, about eighty characters with its time and so on\n", 100))
	bodies := make([][]byte, 0, 200)
	if got := testing.AllocsPerRun(100, func() { bodies = s.read(copy(s.room(), text), bodies[:0]) }); got > 1 || len(bodies) != 100 {
		t.Errorf("%v allocations for %d lines", got, len(bodies))
	}
	if !utf8.Valid(bodies[0]) || cap(bodies[0]) != len(bodies[0]) {
		t.Error("a body has room for more")
	}
}

package position

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

func at(offset int64) Position {
	return Position{Partition{"c", "t", 0}, offset}
}

func TestPositionsAsText(t *testing.T) {
	id := [16]byte{0xE2, 0x12, 0x83, 0x99, 0x5B, 0xCE, 0x43, 0xDA, 0xA5, 0x37, 0x3C, 0x96, 0xF2, 0xC4, 0xEB, 0xAE}
	for _, x := range []struct {
		p    Position
		text string
	}{
		{Position{Partition{"MkU3OEVBNTcwNTJENDM2Qk", Topic("orders", id), 3}, 128841}, "MkU3OEVBNTcwNTJENDM2Qk/orders@4hKDmVvOQ9qlNzyW8sTrrg/3/128841"},
		{Position{Partition{"redpanda.5b0a", Topic("a.b_c-d", [16]byte{}), 0}, 0}, "redpanda.5b0a/a.b_c-d/0/0"},
		{Position{Partition{Letter, "a1.sources.s1", 0}, math.MaxInt64}, "letter/a1.sources.s1/0/9223372036854775807"},
		{Position{Partition{"a/b;c,d:e%", "ü \x00\"", math.MaxInt32}, 7}, "a%2Fb%3Bc%2Cd%3Ae%25/%C3%BC%20%00%22/2147483647/7"},
	} {
		if got := x.p.String(); got != x.text {
			t.Errorf("%+v is %s, want %s", x.p, got, x.text)
		}
		if got := fmt.Sprint(x.p.Prefix(), x.p.Offset); got != x.text {
			t.Errorf("with its prefix %+v is %s, want %s", x.p, got, x.text)
		}
		if got, err := Parse(x.text); err != nil || got != x.p {
			t.Errorf("%s is %+v, %v", x.text, got, err)
		}
	}
	for _, text := range []string{"", "/", "///", "c/t/0", "c/t/0/", "c/t//1", "c/t/0/-1", "c/t/0/+1", "c/t/0/01", "c/t/00/1", "c/t/-1/1", "/t/0/1", "c//0/1",
		"c/t/2147483648/1", "c/t/0/9223372036854775808", "c/t/0/1/2", "a b/t/0/1", "c/t%/0/1", "c/t%2/0/1", "c/t%zz/0/1", "c/t%41/0/1", "c/t%2f/0/1", "c/t/0/1 ", "c/t/0/1_0", strings.Repeat("x", 1000)} {
		if p, err := Parse(text); err == nil {
			t.Errorf("%q was read as %+v", text, p)
		} else if len(err.Error()) > 300 {
			t.Errorf("the error is %d bytes long", len(err.Error()))
		}
	}
}

func TestRangesGrowTogether(t *testing.T) {
	for _, x := range []struct {
		add  string
		want string
	}{
		{"0 1 2", "0-2"}, {"2 1 0", "0-2"}, {"0 2 1", "0-2"}, {"5 5", "5"}, {"1 3 5 7", "1,3,5,7"}, {"1 3 5 7 0-9", "0-9"},
		{"1 3 5 7 3-5", "1,3-5,7"}, {"1 3 5 7 2-6", "1-7"}, {"10-20 30-40 15-35", "10-40"}, {"10-20 0-8", "0-8,10-20"}, {"10-20 0-9", "0-20"},
		{"10-20 12-13", "10-20"}, {"0 2 4 6 8 10 12 14 16 18 20 22 24 3", "0,2-4,6,8,10,12,14,16,18,20,22,24"},
		{"9223372036854775807 9223372036854775806", "9223372036854775806-9223372036854775807"}, {"9223372036854775807 0", "0,9223372036854775807"},
	} {
		var r Ranges
		for word := range strings.FieldsSeq(x.add) {
			one, err := ParseRanges(word)
			if err != nil {
				t.Fatal(err)
			}
			r.Add(one[0])
		}
		if r.String() != x.want {
			t.Errorf("%s make %s, want %s", x.add, r, x.want)
		}
		if again, err := ParseRanges(r.String()); err != nil || !slices.Equal(again, r) {
			t.Errorf("%s is read as %s, %v", r, again, err)
		}
	}
	for _, text := range []string{"1,", ",1", "1-1", "2-1", "1,1", "1,2", "3,1", "1-5,6", "01", "a", "1-", "-1", "1-2-3", "0-9223372036854775807,3"} {
		if r, err := ParseRanges(text); err == nil {
			t.Errorf("%q was read as %s", text, r)
		}
	}
}

// A set is what a map of all offsets is.
func TestASetAgainstAModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		s, model := NewSet(0), map[Position]bool{}
		for range 300 {
			p := Partition{"c", string('a' + rune(rng.IntN(2))), int32(rng.IntN(2))}
			first := rng.Int64N(200)
			r := Range{first, first + rng.Int64N(3)}
			s.AddRange(p, r)
			for o := r.First; o <= r.Last; o++ {
				model[Position{p, o}] = true
			}
		}
		for _, p := range append(s.Partitions(), Partition{"c", "none", 0}) {
			last := int64(-2)
			for _, r := range s.Ranges(p) {
				if r.First <= last+1 || r.Last < r.First {
					t.Fatalf("%s are no ranges", s.Ranges(p))
				}
				last = r.Last
			}
			for o := range int64(210) {
				if x := (Position{p, o}); s.Seen(x) != model[x] {
					t.Fatalf("round %d: %s is seen: %v", round, x, s.Seen(x))
				}
			}
		}
		bytes := 0
		for _, p := range s.Partitions() {
			bytes += named(p) + len(s.Ranges(p))*RangeBytes
		}
		if s.Bytes() != bytes {
			t.Fatalf("it counts %d bytes, and has %d", s.Bytes(), bytes)
		}
		same(t, s)
		half := s.Clone()
		half.AddRange(Partition{"x", "y", 0}, Range{0, 5})
		if s.Seen(Position{Partition{"x", "y", 0}, 0}) {
			t.Fatal("a clone shares")
		}
		var merged Set
		merged.Merge(half)
		merged.Merge(s)
		if text(t, &merged) != text(t, half) {
			t.Fatal("merging what is there changes it")
		}
	}
}

func text(t *testing.T, s *Set) string {
	t.Helper()
	b, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// same writes a set in both forms and reads it again.
func same(t *testing.T, s *Set) {
	t.Helper()
	want := text(t, s)
	var a, b Set
	if err := a.UnmarshalText([]byte(want)); err != nil || text(t, &a) != want {
		t.Fatalf("%s is read as %s, %v", want, text(t, &a), err)
	}
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(j, &b); err != nil || text(t, &b) != want {
		t.Fatalf("%s is read as %s, %v", j, text(t, &b), err)
	}
	if a.Bytes() != b.Bytes() {
		t.Fatal("it counts in two ways")
	}
}

func TestASetAsText(t *testing.T) {
	s := NewSet(0)
	same(t, s)
	s.Add(at(3))
	s.AddRange(Partition{"c", "t", 10}, Range{5, 9})
	s.Add(at(1))
	s.Add(Position{Partition{"c", "t", 2}, 0})
	if got, want := text(t, s), "c/t/0:1,3;c/t/2:0;c/t/10:5-9"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	j, _ := s.MarshalJSON()
	if got, want := string(j), `{"c/t/0":"1,3","c/t/2":"0","c/t/10":"5-9"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{";", "c/t/0", "c/t/0:", "c/t/0:1;", "c/t/0:1;c/t/0:3", "c/t:1", "c/t/0:3,1"} {
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	for _, bad := range []string{`[]`, `{"c/t/0":1}`, `{"c/t/0":["1"]}`, `{"c/t/0":""}`, `{"c/t/0":"1","c/t/0":"3"}`, `{"c/t":"1"}`, `{}{}`, `{`, ``, `null`} {
		if err := s.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if got := text(t, s); got != "c/t/0:1,3;c/t/2:0;c/t/10:5-9" {
		t.Errorf("what could not be read has changed it: %s", got)
	}
}

func TestASetForgetsTheLowest(t *testing.T) {
	s := NewSet(2000)
	other := Position{Partition{"c", "u", 0}, 17}
	s.Add(other)
	for o := int64(0); o < 100000; o += 2 {
		s.Add(at(o))
	}
	if s.Bytes() > 2000 || s.Bytes() < 1900 {
		t.Errorf("it has %d bytes", s.Bytes())
	}
	r := s.Ranges(at(0).Partition)
	if s.Forgotten() != int64(50000-len(r)) || r[len(r)-1].Last != 99998 {
		t.Errorf("%d forgotten, %s left", s.Forgotten(), r)
	}
	if s.Seen(at(0)) || !s.Seen(at(99990)) || !s.Seen(other) {
		t.Error("the wrong ones were forgotten")
	}
	small := NewSet(300)
	if err := small.UnmarshalText([]byte(text(t, s))); err != nil || small.Bytes() > 300 || !small.Seen(at(99998)) {
		t.Errorf("read into a smaller one: %d bytes, %v", small.Bytes(), err)
	}
}

func TestRoomInASetCostsNothingWhereNothingIsMissing(t *testing.T) {
	s := NewSet(0)
	s.Add(at(0))
	next := int64(1)
	if n := testing.AllocsPerRun(1000, func() {
		if s.Seen(at(next)) {
			t.Fatal("seen")
		}
		s.Add(at(next))
		next++
	}); n != 0 {
		t.Errorf("%v allocations for each", n)
	}
}

func events(list string) flume.Batch {
	var b flume.Batch
	for word := range strings.FieldsSeq(list) {
		name, pos, _ := strings.Cut(word, "=")
		e := flume.Event{Headers: flume.Headers{{Key: "n", Value: name}}}
		if pos != "" {
			e.Headers = append(e.Headers, flume.Header{Key: flume.PositionHeader, Value: pos})
		}
		e.Headers = append(e.Headers, flume.Header{Key: "z", Value: "z"})
		b = append(b, e)
	}
	return b
}

func show(b flume.Batch) string {
	var out []string
	for i := range b {
		n, _ := b[i].Headers.Get("n")
		if p, ok := b[i].Headers.Get(flume.PositionHeader); ok {
			n += "=" + p
		}
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

func TestCut(t *testing.T) {
	const list = "a=c/t/0/5 b=c/t/0/6 c d=c/t/1/7 e=nonsense f=c/t/1/07 g=c/t/1/8"
	b := events(list)
	Last(b[3:5])
	out, places := Cut(b)
	if got := show(out); got != "a b c d e f g" {
		t.Errorf("got %s", got)
	}
	for i := range out {
		if h := out[i].Headers; len(h) != 2 || h[1].Key != "z" {
			t.Errorf("event %d has headers %v", i, h)
		}
		_ = append(out[i].Headers, flume.Header{Key: "more"})
	}
	if got := show(b); got != list {
		t.Errorf("the batch has become %s", got)
	}
	var got []string
	for _, p := range places {
		if p.Known {
			got = append(got, p.String())
		} else {
			got = append(got, "-")
		}
	}
	if got, want := strings.Join(got, " "), "c/t/0/5 c/t/0/6 - c/t/1/7 - - c/t/1/8"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if plain := events("a b"); &Hide(plain)[0] != &plain[0] {
		t.Error("a batch without positions is copied")
	}
}

func TestRestore(t *testing.T) {
	const list = "a=1 b=2 c=3"
	for _, x := range []struct {
		in, out, want string // want empty: an error
	}{
		{list, list, list},
		{list, "b=2", "b=2"},
		{list, "", " "},
		{list, "c=3 a=1", "c=3 a=1"},
		{list, "c=3 b=2 a=1", "c=3 b=2 a=1"},
		{list, "a b c", list},
		{list, "a=x b=x c=x", list},
		{list, "a=1 b c=x", list},
		{list, "a b", ""},
		{list, "a=1 c", ""},
		{list, "a=1 a=1 b=2", ""},
		{list, "a=1 a=1 b=2 c=3", ""},
		{list, "a=1 b=2 c=3 d", ""},
		{list, "c=3 b a", ""},
		{"a=1 b c=3", "a=1 b c=3", "a=1 b c=3"},
		{"a=1 b c=3", "b c=3", "b c=3"},
		{"a=1 b c=3", "a b=x c", "a=1 b c=3"},
		{"a=1 b c=3", "a c", ""},
		{"a b", "a b", "a b"},
	} {
		before := Texts(events(x.in))
		out := events(x.out)
		err := Restore(before, out)
		switch {
		case x.want == "" && err == nil:
			t.Errorf("%s to %s: became %s", x.in, x.out, show(out))
		case x.want != "" && (err != nil || show(out) != strings.TrimSpace(x.want)):
			t.Errorf("%s to %s: became %s, %v", x.in, x.out, show(out), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"MkU3OEVBNTcwNTJENDM2Qk/orders@4hKDmVvOQ9qlNzyW8sTrrg/3/128841", "c/t/0/0", "a%2Fb/%20/1/2", "///", "c/t/0/01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err == nil && p.String() != s {
			t.Errorf("%q is written %q", s, p)
		}
		q := Position{Partition{s, s, 1}, 2}
		if s == "" {
			return
		}
		if again, err := Parse(q.String()); err != nil || again != q {
			t.Errorf("%+v is written %s and read as %+v, %v", q, q, again, err)
		}
	})
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"", "c/t/0:1,3;c/t/2:0;c/t/10:5-9", "c/t/0:0-9223372036854775807", `{"c/t/0":"1,3"}`, "c/t/0:1;c/t/0:3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bounded := NewSet(1000)
		if bounded.UnmarshalText([]byte(s)) == nil && bounded.Bytes() > max(1000, len(s)*2*RangeBytes) {
			t.Errorf("%d bytes from %d", bounded.Bytes(), len(s))
		}
		for _, read := range []func(*Set, []byte) error{(*Set).UnmarshalText, (*Set).UnmarshalJSON} {
			set := NewSet(0)
			if read(set, []byte(s)) != nil {
				continue
			}
			same(t, set)
			for _, p := range set.Partitions() {
				for _, r := range set.Ranges(p) {
					if !set.Seen(Position{p, r.First}) || !set.Seen(Position{p, r.Last}) || r.First > 0 && set.Seen(Position{p, r.First - 1}) {
						t.Errorf("%s has not %+v", s, r)
					}
				}
			}
		}
	})
}

package position

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const maxOffset = math.MaxInt64

// A Range is offsets from First to Last, both in it.
type Range struct{ First, Last int64 }

// Ranges are ascending, and between two of them there is a gap.
type Ranges []Range

// Has reports whether an offset is in them.
func (r Ranges) Has(offset int64) bool {
	if n := len(r); n > 0 && offset > r[n-1].Last {
		return false
	}
	i := sort.Search(len(r), func(i int) bool { return r[i].Last >= offset })
	return i < len(r) && r[i].First <= offset
}

// Add puts a range in, at the end in a moment.
func (r *Ranges) Add(x Range) {
	if x.First > x.Last || x.First < 0 {
		panic("BUG: a range that ends before it begins")
	}
	s := *r
	// Those that x touches or overlaps are s[from:to].
	from := len(s)
	for from > 0 && s[from-1].Last >= x.First-1 {
		if len(s)-from > 8 { // far from the end
			from = sort.Search(from, func(i int) bool { return s[i].Last >= x.First-1 })
			break
		}
		from--
	}
	to := from
	for to < len(s) && (s[to].First <= x.Last || s[to].First-1 == x.Last) {
		to++
	}
	if from == to {
		*r = slices.Insert(s, from, x)
		return
	}
	s[from] = Range{min(x.First, s[from].First), max(x.Last, s[to-1].Last)}
	*r = slices.Delete(s, from+1, to)
}

// RangeBytes is what one range counts in the bound of a set, in memory as in a text.
const RangeBytes = 24

// A Set is positions that are done: ranges of offsets for each partition. The zero value is empty and unbounded. It is
// not safe for use by several goroutines.
//
// Offsets that no event bears (of records that compaction removed, of transactions' markers, of what interceptors drop or
// selectors send elsewhere) leave gaps, so a set can grow. Beyond its bound it forgets the oldest gap's lower side: the
// lowest range of the partition with the most ranges. Forgetting never loses an event: one that comes again after that
// is not known and comes twice. It is what was read longest ago, and what comes again after a crash is what was read last.
type Set struct {
	most      int
	bytes     int
	forgotten int64
	done      []done // by partition
}

type done struct {
	Partition
	ranges Ranges
}

// NewSet makes a set of at most so many bytes (RangeBytes for each range, and the partitions' names); 0 is no bound.
func NewSet(most int) *Set { return &Set{most: most} }

// Forgotten counts the ranges that did not fit the bound.
func (s *Set) Forgotten() int64 { return s.forgotten }

// Bytes is what the set holds, as the bound counts.
func (s *Set) Bytes() int { return s.bytes }

// at finds a partition.
func (s *Set) at(p Partition) (int, bool) {
	return slices.BinarySearchFunc(s.done, p, func(d done, p Partition) int { return d.Compare(p) })
}

// Ranges are the offsets of one partition; not to be changed, nor used after the next Add or Merge.
func (s *Set) Ranges(p Partition) Ranges {
	if i, ok := s.at(p); ok {
		return s.done[i].ranges
	}
	return nil
}

// Partitions are all that have offsets here, sorted.
func (s *Set) Partitions() []Partition {
	out := make([]Partition, len(s.done))
	for i := range s.done {
		out[i] = s.done[i].Partition
	}
	return out
}

// Seen reports whether a position is in the set.
func (s *Set) Seen(p Position) bool { return s.Ranges(p.Partition).Has(p.Offset) }

// Add puts one position in.
func (s *Set) Add(p Position) { s.AddRange(p.Partition, Range{p.Offset, p.Offset}) }

// AddRange puts a run of offsets in.
func (s *Set) AddRange(p Partition, r Range) {
	i, ok := s.at(p)
	if !ok {
		s.done = slices.Insert(s.done, i, done{Partition: p})
		s.bytes += named(p)
	}
	before := len(s.done[i].ranges)
	s.done[i].ranges.Add(r)
	s.bytes += (len(s.done[i].ranges) - before) * RangeBytes
	for s.most > 0 && s.bytes > s.most && s.forget() {
	}
}

func named(p Partition) int { return len(p.Cluster) + len(p.Topic) + 2*RangeBytes }

// forget drops the lowest range of the partition with the most; false: every partition has one only.
func (s *Set) forget() bool {
	most := 0
	for i := range s.done {
		if len(s.done[i].ranges) > len(s.done[most].ranges) {
			most = i
		}
	}
	r := s.done[most].ranges
	if len(r) < 2 {
		return false
	}
	s.done[most].ranges = r[1:] // what grows at its end moves there soon
	s.bytes -= RangeBytes
	s.forgotten++
	return true
}

// Merge puts all of another set in.
func (s *Set) Merge(o *Set) {
	for i := range o.done {
		for _, r := range o.done[i].ranges {
			s.AddRange(o.done[i].Partition, r)
		}
	}
}

// Clone copies a set, so that it can be added to and thrown away.
func (s *Set) Clone() *Set {
	c := *s
	c.done = slices.Clone(s.done)
	for i := range c.done {
		c.done[i].ranges = slices.Clone(c.done[i].ranges)
	}
	return &c
}

// MarshalText writes cluster/topic/partition:0-41,43,50-99 for each partition, with ";" between them.
func (s *Set) MarshalText() ([]byte, error) {
	var b []byte
	for i := range s.done {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(s.done[i].append(b), ':')
		b = s.done[i].ranges.append(b)
	}
	return b, nil
}

func (r Ranges) append(b []byte) []byte {
	for i, x := range r {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, x.First, 10)
		if x.Last > x.First {
			b = strconv.AppendInt(append(b, '-'), x.Last, 10)
		}
	}
	return b
}

// String is 0-41,43,50-99.
func (r Ranges) String() string { return string(r.append(nil)) }

// ParseRanges reads what Ranges.String writes, and nothing else: ascending, with gaps. It holds at most twelve bytes for
// each of text.
func ParseRanges(text string) (Ranges, error) {
	if text == "" {
		return nil, nil
	}
	var out Ranges
	for part := range strings.SplitSeq(text, ",") {
		low, high, two := strings.Cut(part, "-")
		first, ok := number(low, maxOffset)
		last := first
		if two && ok {
			last, ok = number(high, maxOffset)
			ok = ok && last > first
		}
		if n := len(out); !ok || n > 0 && (out[n-1].Last == maxOffset || first <= out[n-1].Last+1) {
			return nil, fmt.Errorf("%q is no range of offsets behind those before it", shorten(part))
		}
		out = append(out, Range{first, last})
	}
	return out, nil
}

// UnmarshalText reads what MarshalText writes. The bound of the set stays, and holds for what is read.
func (s *Set) UnmarshalText(text []byte) error {
	read := NewSet(s.most)
	if len(text) > 0 {
		for part := range strings.SplitSeq(string(text), ";") {
			name, ranges, ok := strings.Cut(part, ":")
			if !ok {
				return fmt.Errorf("%q is not cluster/topic/partition:offsets", shorten(part))
			}
			if err := read.take(name, ranges); err != nil {
				return err
			}
		}
	}
	*s = *read
	return nil
}

// take reads one partition, which is not there yet.
func (s *Set) take(name, text string) error {
	p, err := ParsePartition(name)
	if err != nil {
		return err
	}
	r, err := ParseRanges(text)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", p, err)
	case len(r) == 0:
		return fmt.Errorf("%s has no offsets", p)
	}
	i, twice := s.at(p)
	if twice {
		return fmt.Errorf("%s stands twice", p)
	}
	s.done = slices.Insert(s.done, i, done{p, r})
	s.bytes += named(p) + len(r)*RangeBytes
	for s.most > 0 && s.bytes > s.most && s.forget() {
	}
	return nil
}

// MarshalJSON writes {"cluster/topic/partition":"0-41,43"}.
func (s *Set) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i := range s.done {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(s.done[i].append(append(b, '"')), `":"`...) // no byte of it is special in JSON
		b = append(s.done[i].ranges.append(b), '"')
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes, in any order. The bound of the set stays.
func (s *Set) UnmarshalJSON(text []byte) error {
	read := NewSet(s.most)
	d := json.NewDecoder(bytes.NewReader(text))
	token := func() (string, error) {
		t, err := d.Token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case json.Delim:
			return t.String(), nil
		case string:
			return `"` + t, nil
		}
		return "", fmt.Errorf("%v is no text", t)
	}
	if t, err := token(); err != nil {
		return err
	} else if t != "{" {
		return errors.New("positions in JSON are an object")
	}
	for d.More() {
		name, err := token()
		if err != nil {
			return err
		}
		ranges, err := token()
		switch {
		case err != nil:
			return err
		case ranges[0] != '"':
			return fmt.Errorf("%s: offsets are a text", shorten(name[1:]))
		}
		if err := read.take(name[1:], ranges[1:]); err != nil {
			return err
		}
	}
	if _, err := token(); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more text stands behind the positions")
	}
	*s = *read
	return nil
}

package javaregex

import (
	"slices"
	"sort"
	"unicode"
)

// A set is a set of code points: pairs of the first and the last of each run, ascending, with a gap between two runs.
type set []rune

const last = unicode.MaxRune

func all() set                 { return set{0, last} }
func one(r rune) set           { return set{r, r} }
func between(lo, hi rune) set  { return set{lo, hi} }
func (s set) empty() bool      { return len(s) == 0 }
func (s set) union(o set) set  { return tidy(append(slices.Clone(s), o...)) }
func (s set) minus(o set) set  { return s.and(o.not()) }
func (s set) equal(o set) bool { return slices.Equal(s, o) }

// tidy makes a set of pairs in any order.
func tidy(pairs []rune) set {
	if len(pairs) <= 2 {
		return pairs
	}
	sort.Sort(byFirst(pairs))
	out := pairs[:2]
	for i := 2; i < len(pairs); i += 2 {
		lo, hi := pairs[i], pairs[i+1]
		if end := &out[len(out)-1]; lo <= *end+1 {
			*end = max(*end, hi)
			continue
		}
		out = append(out, lo, hi)
	}
	return slices.Clip(set(out))
}

type byFirst []rune

func (p byFirst) Len() int           { return len(p) / 2 }
func (p byFirst) Less(i, j int) bool { return p[2*i] < p[2*j] }
func (p byFirst) Swap(i, j int) {
	p[2*i], p[2*j] = p[2*j], p[2*i]
	p[2*i+1], p[2*j+1] = p[2*j+1], p[2*i+1]
}

func (s set) not() set {
	var out set
	from := rune(0)
	for i := 0; i < len(s); i += 2 {
		if s[i] > from {
			out = append(out, from, s[i]-1)
		}
		from = s[i+1] + 1
	}
	if from <= last {
		out = append(out, from, last)
	}
	return out
}

func (s set) and(o set) set {
	var out set
	for i, j := 0, 0; i < len(s) && j < len(o); {
		lo, hi := max(s[i], o[j]), min(s[i+1], o[j+1])
		if lo <= hi {
			out = append(out, lo, hi)
		}
		if s[i+1] < o[j+1] {
			i += 2
		} else {
			j += 2
		}
	}
	return out
}

func (s set) has(r rune) bool {
	lo, hi := 0, len(s)/2
	for lo < hi {
		mid := (lo + hi) / 2
		switch {
		case r < s[2*mid]:
			hi = mid
		case r > s[2*mid+1]:
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}

// tables makes one set of tables of package unicode.
func tables(from ...*unicode.RangeTable) set {
	var pairs []rune
	for _, t := range from {
		for _, r := range t.R16 {
			pairs = stretch(pairs, rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			pairs = stretch(pairs, rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return tidy(pairs)
}

func stretch(pairs []rune, lo, hi, stride rune) []rune {
	if stride == 1 {
		return append(pairs, lo, hi)
	}
	for r := lo; r <= hi; r += stride {
		pairs = append(pairs, r, r)
	}
	return pairs
}

// A fold says which letters are equal.
type fold uint8

const (
	exact       fold = iota
	foldASCII        // A and a
	foldUnicode      // whatever has the same capital
)

// folded is the one that stands for all letters that Java takes for equal.
func folded(r rune) rune {
	if r < 0x80 {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(unicode.ToUpper(r))
}

func foldedASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// cased are the code points that have another case, ascending.
func cased() []rune {
	var out []rune
	for _, c := range unicode.CaseRanges {
		for r := rune(c.Lo); r <= rune(c.Hi); r++ {
			if unicode.ToUpper(r) != r || unicode.ToLower(r) != r {
				out = append(out, r)
			}
		}
	}
	return out
}

// folded adds what equals one of the runs.
func (s set) folded(f fold) set {
	if f == exact {
		return s
	}
	pairs := slices.Clone(s)
	if f == foldASCII {
		for r := 'a'; r <= 'z'; r++ {
			if up := r - 'a' + 'A'; s.has(r) != s.has(up) {
				pairs = append(pairs, r, r, up, up)
			}
		}
		return tidy(pairs)
	}
	for _, r := range cased() {
		if up := unicode.ToUpper(r); !s.has(r) && (s.has(up) || s.has(unicode.ToLower(up))) {
			pairs = append(pairs, r, r)
		}
	}
	return tidy(pairs)
}

// equals are the code points that equal r.
func equals(r rune, f fold) set {
	s := one(r)
	if f == exact || f == foldASCII {
		return s.folded(f)
	}
	same := folded(r)
	if same == r && unicode.ToUpper(r) == r {
		return s
	}
	pairs := []rune{r, r, same, same}
	for _, c := range cased() {
		if folded(c) == same {
			pairs = append(pairs, c, c)
		}
	}
	return tidy(pairs)
}

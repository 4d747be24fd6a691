package conf

import (
	"fmt"
	"strings"
)

// unknown says of a key that nobody claimed what its author may have meant.
func (d *Decl) unknown(v Value) string {
	text := "is not a setting"
	s := d.nearest(v.Key)
	if s == nil {
		return text
	}
	text += fmt.Sprintf("; did you mean %q?", s.Key)
	if _, set := d.section.Values.Get(s.Key); !set && s.Default != "" && !s.secret {
		text += fmt.Sprintf(" (which is %s as long as it is not set)", s.Default)
	}
	return text
}

// nearest finds the setting that a misspelt key was meant for, or nil.
func (d *Decl) nearest(key string) *Setting {
	var best *Setting
	least := 1 + len(key)/4 // so many slips are still a misspelling
	for _, s := range d.settings {
		for _, name := range append([]string{s.Key}, s.Others...) {
			if n := slips(key, name); n <= least && (best == nil || n < least) {
				best, least = s, n
			}
		}
	}
	return best
}

// Nearest returns the one of names that word was probably meant for, or "".
func Nearest(word string, names []string) string {
	best, least := "", 1+len(word)/4
	for _, name := range names {
		if n := slips(word, name); n <= least && (best == "" || n < least) {
			best, least = name, n
		}
	}
	return best
}

// slips counts what separates two spellings: letters added, left out, replaced or swapped with their neighbour.
// A lost or added prefix (batchSize for hdfs.batchSize) and other case are one slip; dashes against camel case none.
func slips(a, b string) int {
	if a == b {
		return 0
	}
	fa, fb := fold(a), fold(b)
	if fa == fb || lastWord(fa) == lastWord(fb) && (!strings.Contains(fa, ".") || !strings.Contains(fb, ".")) {
		return 1
	}
	return distance(fa, fb)
}

func fold(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }

func lastWord(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }

// distance is the optimal string alignment distance.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	next := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

package conf

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// unknown says of a key that nobody claimed what its author may have meant.
func (d *Decl) unknown(v Value) string {
	const text = "is not a setting"
	if s := d.nearest(v.Key); s != nil {
		hint := fmt.Sprintf("%s; did you mean %q?", text, s.Key)
		if _, set := d.section.Values.Get(d.spelling(s)); !set && s.Default != "" && !s.secret {
			hint += fmt.Sprintf(" (which is %s as long as it is not set)", s.Default)
		}
		return hint
	}
	keys, families := d.section.outer()
	for _, r := range d.rests {
		families = append(families, r.prefix)
	}
	meant := inFamily(v.Key, families)
	if key := Nearest(v.Key, keys); key != "" {
		meant = []string{key}
	}
	if len(meant) == 0 || slices.Contains(meant, v.Key) {
		return text
	}
	return fmt.Sprintf(`%s; did you mean "%s"?`, text, strings.Join(meant, `" or "`))
}

// nearest finds the setting that a misspelt key was meant for, or nil.
func (d *Decl) nearest(key string) *Setting {
	var names []string
	owner := map[string]*Setting{}
	for _, s := range d.settings {
		for _, name := range s.spellings() {
			names = append(names, name)
			owner[name] = s
		}
	}
	return owner[Nearest(key, names)]
}

// Nearest returns the one of names that word was probably meant for, or "".
func Nearest(word string, names []string) string {
	best, least := "", tooMany
	for _, name := range names {
		n := slips(word, name)
		if n < least || n == least && n < tooMany && word != "" && name != "" && best[0] != word[0] && name[0] == word[0] {
			best, least = name, n // of two as near, the one that begins alike
		}
	}
	return best
}

// outer are the keys of a component that the agent reads, and the prefixes of families of them.
func (s *Section) outer() (keys, families []string) {
	if s.path != s.Agent+"."+s.Group+"."+s.Name+"." {
		if strings.HasSuffix(s.path, ".interceptors."+s.Name+".") {
			return []string{"type", "deadletter"}, []string{"deadletter."}
		}
		return []string{"type"}, nil
	}
	switch s.Group {
	case sources:
		return []string{"type", "channels", "interceptors", "selector.type", "deadletter"}, []string{"interceptors.", "selector.", "deadletter."}
	case sinks:
		return []string{"type", "channel", "deadletter"}, []string{"deadletter.", "retry."}
	case sinkGroups:
		return []string{"sinks", "processor.type"}, []string{"processor."}
	}
	return []string{"type"}, nil
}

// inFamily returns the keys that key may stand for where a prefix such as kafka.consumer. was misspelt, or a part of it
// left out.
func inFamily(key string, families []string) []string {
	var out []string
	words := strings.Split(key, ".")
	for _, family := range families {
		prefix := strings.Split(strings.TrimSuffix(family, "."), ".")
		n := len(prefix)
		if len(words) > n && slips(strings.Join(words[:n], "."), strings.Join(prefix, ".")) < tooMany {
			out = append(out, family+strings.Join(words[n:], "."))
			continue
		}
		// What is passed on is a client's property: no capitals.
		if n > 1 && len(words) >= n && slices.Equal(words[:n-1], prefix[:n-1]) && key == strings.ToLower(key) {
			out = append(out, family+strings.Join(words[n-1:], "."))
		}
	}
	return out
}

const digits = "0123456789"

// tooMany slips are no misspelling.
const tooMany = 1000

// slips counts what separates two spellings: letters added, left out, replaced or swapped with their neighbour, at most
// one in four of each part between dots. Other case or dashes, and a word too many or too few (fileNamePrefix for
// filePrefix), are one slip; a part too many or too few (batchSize for hdfs.batchSize) and a part of two that is another
// (sink.rollInterval for hdfs.rollInterval) are two.
func slips(a, b string) int {
	if a == b {
		return 0
	}
	if fold(a) == fold(b) {
		return 1
	}
	pa, pb := strings.Split(a, "."), strings.Split(b, ".")
	switch len(pb) - len(pa) {
	case 0:
		if len(pa) == 2 && pa[0] != pb[0] && fold(pa[1]) == fold(pb[1]) {
			return 2
		}
		return aligned(pa, pb)
	case -1:
		if isPartOf(pb, pa) {
			return 2
		}
		return min(tooMany, 2+aligned(pa[1:], pb))
	case 1, 2:
		if isPartOf(pa, pb) {
			return 2 * (len(pb) - len(pa))
		}
		return min(tooMany, 2+aligned(pa, pb[len(pb)-len(pa):]))
	}
	return tooMany
}

// aligned counts the slips of two spellings with the same number of parts.
func aligned(a, b []string) int {
	sum := 0
	for i := range a {
		fa, fb := fold(a[i]), fold(b[i])
		n := distance(fa, fb)
		if n == 0 {
			continue
		}
		if stem := strings.TrimRight(fa, digits); stem != fa && stem != fb && stem == strings.TrimRight(fb, digits) {
			return tooMany // k1 and k2 are two names
		}
		switch wa, wb := camel(a[i]), camel(b[i]); {
		case n <= max(1, len(fa)/4) && n < len(fb):
			sum += n
		case len(wa) == len(wb)+1 && len(wb) > 1 && isPartOf(wb, wa), len(wb) == len(wa)+1 && len(wa) > 1 && isPartOf(wa, wb):
			sum++
		default:
			return tooMany
		}
	}
	return sum
}

// isPartOf reports whether the words of short stand in long in that order.
func isPartOf(short, long []string) bool {
	for _, w := range long {
		if len(short) > 0 && fold(w) == fold(short[0]) {
			short = short[1:]
		}
	}
	return len(short) == 0
}

// camel cuts fileNamePrefix into its words.
func camel(s string) []string {
	var out []string
	from := 0
	for i, c := range s {
		if i > from && unicode.IsUpper(c) {
			out = append(out, s[from:i])
			from = i
		}
	}
	return append(out, s[from:])
}

func fold(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }

// distance is the optimal string alignment distance. Words longer than any key are not looked at.
func distance(a, b string) int {
	if len(a) > 200 || len(b) > 200 {
		return tooMany
	}
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

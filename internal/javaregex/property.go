package javaregex

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// blocks.txt has the blocks of Unicode 13: first, last, names; scripts.txt the four letters of ISO 15924 and the name.
var (
	//go:embed blocks.txt
	blocks string
	//go:embed scripts.txt
	scripts string
)

// property reads the name behind \p, which stands at from.
func (p *parser) property(from int) set {
	var name string
	if p.raw(0) != '{' {
		if c := p.peek(); c != end {
			name = string(c &^ quoted)
		}
		p.at++
	} else {
		p.at++
		start := p.at
		for p.raw(0) != '}' {
			if p.raw(0) == end {
				p.fail(from, "the } of \\p{…} is missing")
				return nil
			}
			p.at++
		}
		var b strings.Builder
		for _, c := range p.text[start:p.at] {
			b.WriteRune(c &^ quoted)
		}
		name = b.String()
		p.at++
	}
	s, ok := p.named(name)
	if !ok {
		p.fail(from, "\\p{%s} is not known", name)
	}
	return s
}

// named finds the set of a name.
func (p *parser) named(name string) (set, bool) {
	if key, value, ok := strings.Cut(name, "="); ok {
		switch strings.ToLower(key) {
		case "sc", "script":
			return script(value)
		case "blk", "block":
			return block(value)
		case "gc", "general_category":
			return p.category(value)
		}
		return nil, false
	}
	if rest, ok := strings.CutPrefix(name, "In"); ok {
		return block(rest)
	}
	if rest, ok := strings.CutPrefix(name, "Is"); ok {
		if s, ok := p.binary(rest); ok {
			return s, true
		}
		if s, ok := p.category(rest); ok {
			return s, true
		}
		return script(rest)
	}
	if p.flags&unicodeSets != 0 {
		if s, ok := p.posix(name); ok {
			return s, true
		}
	}
	return p.category(name)
}

// plain makes the names of scripts and blocks comparable.
func plain(name string) string {
	return strings.ToUpper(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(name))
}

func block(name string) (set, bool) {
	for line := range strings.Lines(blocks) {
		f := strings.Fields(line)
		if !slices.ContainsFunc(f[2:], func(known string) bool { return plain(known) == plain(name) }) {
			continue
		}
		lo, err := strconv.ParseInt(f[0], 16, 32)
		if err != nil {
			panic("BUG: blocks.txt: " + line)
		}
		hi, err := strconv.ParseInt(f[1], 16, 32)
		if err != nil {
			panic("BUG: blocks.txt: " + line)
		}
		return between(rune(lo), rune(hi)), true
	}
	return nil, false
}

func script(name string) (set, bool) {
	full := name
	for line := range strings.Lines(scripts) {
		if f := strings.Fields(line); strings.EqualFold(f[0], name) {
			full = f[1]
		}
	}
	if strings.EqualFold(full, "unknown") {
		s := set{}
		for _, t := range unicode.Scripts {
			s = s.union(tables(t))
		}
		return s.not(), true
	}
	for known, t := range unicode.Scripts {
		if strings.EqualFold(known, full) {
			return tables(t), true
		}
	}
	return nil, false
}

func unassigned() set {
	return tables(unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs).not()
}

func letters() set    { return tables(unicode.L) }
func alphabetic() set { return tables(unicode.L, unicode.Nl, unicode.Other_Alphabetic) }
func lower() set      { return tables(unicode.Ll, unicode.Other_Lowercase) }
func upper() set      { return tables(unicode.Lu, unicode.Other_Uppercase) }

// caseless is s, or where letters compare without case, what has any case.
func (p *parser) caseless(s, cased set) set {
	if p.flags&ignoreCase != 0 {
		return cased
	}
	return s
}

// category finds general categories, POSIX names in ASCII, and what Java's Character tells of a code point.
func (p *parser) category(name string) (set, bool) {
	switch name {
	case "Lu", "Ll", "Lt":
		return p.caseless(tables(unicode.Categories[name]), tables(unicode.Lu, unicode.Ll, unicode.Lt)), true
	case "LC":
		return tables(unicode.Lu, unicode.Ll, unicode.Lt), true
	case "LD":
		return tables(unicode.L, unicode.Nd), true
	case "L1":
		return between(0, 0xFF), true
	case "all":
		return all(), true
	case "Cn":
		return unassigned(), true
	case "C":
		return tables(unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs).union(unassigned()), true
	case "ASCII":
		return between(0, 0x7F), true
	case "Alnum":
		return set{'0', '9', 'A', 'Z', 'a', 'z'}, true
	case "Alpha":
		return set{'A', 'Z', 'a', 'z'}, true
	case "Blank":
		return set{'\t', '\t', ' ', ' '}, true
	case "Cntrl":
		return set{0, 0x1F, 0x7F, 0x7F}, true
	case "Digit":
		return between('0', '9'), true
	case "Graph":
		return between('!', '~'), true
	case "Lower":
		return p.caseless(between('a', 'z'), set{'A', 'Z', 'a', 'z'}), true
	case "Upper":
		return p.caseless(between('A', 'Z'), set{'A', 'Z', 'a', 'z'}), true
	case "Print":
		return between(' ', '~'), true
	case "Punct":
		return set{'!', '/', ':', '@', '[', '`', '{', '~'}, true
	case "Space":
		return set{'\t', '\r', ' ', ' '}, true
	case "XDigit":
		return set{'0', '9', 'A', 'F', 'a', 'f'}, true
	case "javaLowerCase":
		return p.caseless(lower(), lower().union(upper()).union(tables(unicode.Lt))), true
	case "javaUpperCase":
		return p.caseless(upper(), lower().union(upper()).union(tables(unicode.Lt))), true
	case "javaTitleCase":
		return p.caseless(tables(unicode.Lt), lower().union(upper()).union(tables(unicode.Lt))), true
	case "javaAlphabetic":
		return alphabetic(), true
	case "javaIdeographic":
		return tables(unicode.Ideographic), true
	case "javaDigit":
		return tables(unicode.Nd), true
	case "javaDefined":
		return unassigned().not(), true
	case "javaLetter":
		return letters(), true
	case "javaLetterOrDigit":
		return tables(unicode.L, unicode.Nd), true
	case "javaSpaceChar":
		return tables(unicode.Z), true
	case "javaWhitespace":
		return tables(unicode.Z).minus(set{0xA0, 0xA0, 0x2007, 0x2007, 0x202F, 0x202F}).union(set{'\t', '\r', 0x1C, 0x1F}), true
	case "javaISOControl":
		return set{0, 0x1F, 0x7F, 0x9F}, true
	}
	if t, ok := unicode.Categories[name]; ok && len(name) <= 2 {
		return tables(t), true
	}
	return nil, false
}

// binary finds the yes-or-no properties of Unicode.
func (p *parser) binary(name string) (set, bool) {
	cased := func() set { return lower().union(upper()).union(tables(unicode.Lt)) }
	switch strings.ToUpper(name) {
	case "ALPHABETIC":
		return alphabetic(), true
	case "ASSIGNED":
		return unassigned().not(), true
	case "CONTROL":
		return tables(unicode.Cc), true
	case "HEXDIGIT", "HEX_DIGIT":
		return hexDigits(), true
	case "IDEOGRAPHIC":
		return tables(unicode.Ideographic), true
	case "JOINCONTROL", "JOIN_CONTROL":
		return tables(unicode.Join_Control), true
	case "LETTER":
		return letters(), true
	case "LOWERCASE":
		return p.caseless(lower(), cased()), true
	case "UPPERCASE":
		return p.caseless(upper(), cased()), true
	case "TITLECASE":
		return p.caseless(tables(unicode.Lt), cased()), true
	case "NONCHARACTERCODEPOINT", "NONCHARACTER_CODE_POINT":
		return tables(unicode.Noncharacter_Code_Point), true
	case "PUNCTUATION":
		return tables(unicode.P), true
	case "WHITESPACE", "WHITE_SPACE":
		return tables(unicode.White_Space), true
	case "WORD":
		return wordU(), true
	}
	return p.posix(name)
}

func hexDigits() set { return tables(unicode.Nd, unicode.Hex_Digit) }

// posix finds the POSIX names as Unicode means them.
func (p *parser) posix(name string) (set, bool) {
	switch strings.ToUpper(name) {
	case "ALPHA":
		return alphabetic(), true
	case "LOWER":
		return p.binary("LOWERCASE")
	case "UPPER":
		return p.binary("UPPERCASE")
	case "SPACE":
		return tables(unicode.White_Space), true
	case "PUNCT":
		return tables(unicode.P), true
	case "XDIGIT":
		return hexDigits(), true
	case "ALNUM":
		return alphabetic().union(tables(unicode.Nd)), true
	case "CNTRL":
		return tables(unicode.Cc), true
	case "DIGIT":
		return tables(unicode.Nd), true
	case "BLANK":
		return tables(unicode.Zs).union(one('\t')), true
	case "GRAPH":
		return graphU(), true
	case "PRINT":
		return graphU().union(tables(unicode.Zs)), true
	}
	return nil, false
}

// graphU is what can be seen: no space, control or surrogate, and assigned.
func graphU() set {
	return tables(unicode.Z, unicode.Cc, unicode.Cs).union(unassigned()).not()
}

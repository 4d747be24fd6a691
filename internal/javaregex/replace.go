package javaregex

import (
	"fmt"
	"strings"
)

// A Replacement is what stands instead of a match: text and groups.
type Replacement struct {
	parts []part
}

type part struct {
	text  string
	group int // where text is empty
}

// Replacement reads a replacement by Java's rules: $1 and ${name} are groups, a backslash takes the meaning from what
// follows. Of the digits behind $ those count that make the number of a group.
func (p *Pattern) Replacement(text string) (*Replacement, error) {
	r := &Replacement{}
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			r.parts = append(r.parts, part{text: literal.String()})
			literal.Reset()
		}
	}
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("the replacement %q, at character %d: %s", text, i+1, fmt.Sprintf(format, args...))
		}
		switch runes[i] {
		case '\\':
			if i+1 == len(runes) {
				return nil, wrong("nothing stands behind the backslash; \\\\ means the character")
			}
			i++
			literal.WriteRune(runes[i])
		case '$':
			flush()
			if i+1 == len(runes) {
				return nil, wrong("behind $ a group is missing; \\$ means the character")
			}
			group := 0
			switch c := runes[i+1]; {
			case c == '{':
				name, _, ok := strings.Cut(string(runes[i+2:]), "}")
				if !ok {
					return nil, wrong("the } of ${name} is missing")
				}
				if group, ok = p.Group(name); !ok {
					return nil, wrong("the pattern %q has no group %s", p.text, name)
				}
				i += 2 + len([]rune(name))
			case digit(c):
				group = int(c - '0')
				if group > p.groups {
					return nil, wrong("the pattern %q has no group %d", p.text, group)
				}
				for i++; i+1 < len(runes) && digit(runes[i+1]) && group*10+int(runes[i+1]-'0') <= p.groups; i++ {
					group = group*10 + int(runes[i+1]-'0')
				}
			default:
				return nil, wrong("behind $ stands no group; \\$ means the character")
			}
			r.parts = append(r.parts, part{group: group})
		default:
			literal.WriteRune(runes[i])
		}
	}
	flush()
	return r, nil
}

// ReplaceAll appends the text to dst, with r in the place of every match. Where there is no match it appends nothing
// and says so. A text that grows beyond most bytes is an error.
func (m *Matcher) ReplaceAll(dst []byte, r *Replacement, most int) ([]byte, bool, error) {
	text, from := m.machine.text, len(dst)
	m.Reset(text)
	at := 0
	for n := 0; ; n++ {
		more, err := m.Find()
		if (more || n > 0) && len(dst)-from+len(text)-at > most {
			err = fmt.Errorf("the text grows beyond %d bytes", most)
		}
		switch {
		case err != nil:
			return dst[:from], false, err
		case !more && n == 0:
			return dst, false, nil
		case !more:
			return append(dst, text[at:]...), true, nil
		}
		dst = append(dst, text[at:m.caps[0]]...)
		for _, p := range r.parts {
			if p.text != "" {
				dst = append(dst, p.text...)
				continue
			}
			group, _ := m.Group(p.group)
			dst = append(dst, group...)
		}
		at = m.caps[1]
	}
}

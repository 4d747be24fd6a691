package conf

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A property is one key of a file.
type property struct {
	key   string
	text  string // the value; what is substituted in it is in expanded
	pos   Pos    // of the line that begins with the key
	lost  string // the first backslash sequence of key or value that means nothing to Java, such as \d
	fault string // why there is no value; text is then what the file has

	expansion
}

// parseProperties reads Java properties text. Keys are in file order and may repeat.
//
// The rules are those of java.util.Properties.load, down to its oddities, with three differences: a byte order mark is
// dropped, text that is valid UTF-8 is read as that instead of ISO 8859-1, and \u without four digits spoils its own
// line only.
func parseProperties(file string, text []byte) ([]*property, Problems) {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, Problems{{Pos: Pos{File: file}, Severity: Fatal, Text: "is UTF-16 text; save it as UTF-8"}}
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	latin := !utf8.Valid(text)
	if latin {
		text = fromLatin1(text)
	}
	var out []*property
	var problems Problems
	lines := logicalLines{text: text, line: 1}
	for lines.next() {
		p := split(lines.buf)
		p.pos = Pos{file, lines.start}
		out = append(out, p)
		if latin && bytes.ContainsFunc(lines.buf, func(r rune) bool { return r >= utf8.RuneSelf }) {
			latin = false
			problems = append(problems, Problem{Pos: p.pos, Subject: p.key, Severity: Warning,
				Text: "the file is not UTF-8; it is read as ISO 8859-1, as Flume reads it"})
		}
	}
	return out, problems
}

// Properties reads Java properties text that is no configuration, such as flume.opts: nothing is substituted, and of a
// key that stands twice the last one counts.
func Properties(file string, text []byte) (Values, Problems) {
	props, problems := parseProperties(file, text)
	var values Values
	for _, p := range props {
		v := Value{Key: trim(p.key), Text: trim(p.text), Pos: p.pos}
		if p.fault != "" {
			problems = append(problems, Problem{Pos: p.pos, Subject: v.Key, Text: p.fault, Severity: Fatal})
		}
		if at := slices.IndexFunc(values, func(before Value) bool { return before.Key == v.Key }); at >= 0 {
			values[at] = v
			continue
		}
		values = append(values, v)
	}
	return values, problems
}

// fromLatin1 gives each byte its character.
func fromLatin1(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	for _, b := range text {
		out = utf8.AppendRune(out, rune(b))
	}
	return out
}

// logicalLines cuts text into lines that hold a property: without blank lines and comments, continued lines joined.
type logicalLines struct {
	text []byte
	line int // where text begins

	buf   []byte // the line found
	start int    // where it began
}

func (l *logicalLines) next() bool {
	l.buf, l.start = l.buf[:0], 0
	var (
		leading  = true  // white space is skipped
		appended = false // a continued line begins: its end, if it is blank, ends the whole
		escape   = false // an odd number of backslashes stands before
	)
	for len(l.text) > 0 {
		c := l.text[0]
		if leading {
			if blank(c) {
				l.text = l.text[1:]
				continue
			}
			if !appended && (c == '\n' || c == '\r') {
				l.endLine()
				continue
			}
			leading, appended = false, false
		}
		if len(l.buf) == 0 && (c == '#' || c == '!') {
			end := bytes.IndexAny(l.text, "\r\n")
			if end < 0 {
				end = len(l.text)
			}
			l.text = l.text[end:]
			leading = true
			continue
		}
		switch {
		case c != '\n' && c != '\r':
			if len(l.buf) == 0 {
				l.start = l.line
			}
			l.buf = append(l.buf, c)
			l.text = l.text[1:]
			escape = c == '\\' && !escape
		case len(l.buf) == 0:
			l.endLine()
			leading = true
		case escape:
			l.endLine()
			l.buf = l.buf[:len(l.buf)-1]
			leading, appended, escape = true, true, false
		default:
			l.endLine()
			return true
		}
	}
	if len(l.buf) == 0 {
		return false
	}
	if escape {
		l.buf = l.buf[:len(l.buf)-1]
	}
	return true
}

// endLine passes a line end, which may be CR LF.
func (l *logicalLines) endLine() {
	if bytes.HasPrefix(l.text, []byte("\r\n")) {
		l.text = l.text[1:]
	}
	l.text = l.text[1:]
	l.line++
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\f' }

// split separates a logical line into key and value: at the first '=', ':' or white space that no backslash protects.
func split(line []byte) *property {
	key, escape := 0, false
	for key < len(line) {
		c := line[key]
		if !escape && (c == '=' || c == ':' || blank(c)) {
			break
		}
		escape = c == '\\' && !escape
		key++
	}
	value, separated := key, false
	for value < len(line) {
		switch c := line[value]; {
		case blank(c):
		case !separated && (c == '=' || c == ':'):
			separated = true
		default:
			goto found
		}
		value++
	}
found:
	p := &property{}
	p.key = p.unescape(line[:key])
	p.text = p.unescape(line[value:])
	return p
}

// unescape resolves the backslashes of a key or value.
func (p *property) unescape(text []byte) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text)
	}
	var b strings.Builder
	var high rune // the first half of a surrogate pair
	write := func(r rune) {
		if high != 0 {
			if pair := utf16.DecodeRune(high, r); pair != utf8.RuneError {
				r = pair
			} else {
				b.WriteRune(utf8.RuneError)
			}
			high = 0
		}
		if r >= 0xd800 && r < 0xdc00 {
			high = r
			return
		}
		b.WriteRune(r)
	}
	for rest := text; len(rest) > 0; {
		if rest[0] != '\\' || len(rest) == 1 {
			r, n := utf8.DecodeRune(rest)
			write(r)
			rest = rest[n:]
			continue
		}
		r, n := utf8.DecodeRune(rest[1:])
		rest = rest[1+n:]
		switch r {
		case 't':
			write('\t')
		case 'n':
			write('\n')
		case 'r':
			write('\r')
		case 'f':
			write('\f')
		case 'u':
			code, ok := hex4(rest)
			if !ok {
				p.fault = `a backslash and u must be followed by four hexadecimal digits; to have a backslash itself, write two (C:\\users)`
				return string(text)
			}
			write(code)
			rest = rest[4:]
		default:
			if p.lost == "" && !strings.ContainsRune(`\ :=#!`, r) {
				p.lost = `\` + string(r)
			}
			write(r)
		}
	}
	if high != 0 {
		b.WriteRune(utf8.RuneError)
	}
	return b.String()
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	return rune(n), err == nil
}

package cli

import (
	"slices"
	"strings"
)

// An envScript is what can be read of a flume-env.sh without running a shell: assignments, exported or not, with
// quotes, $NAME, ${NAME} and ${NAME:-text}. Everything else is skipped and named, and so is every line of a block
// such as if … fi: whether a shell would obey it cannot be said.
type envScript struct {
	vars     map[string]string
	exported map[string]bool
	skipped  []skippedLine

	inherited func(string) (string, bool)
	text      string
	at, line  int
	depth     int // of blocks that are skipped
}

type skippedLine struct {
	line int
	text string
}

func newEnvScript(inherited func(string) (string, bool)) *envScript {
	s := &envScript{vars: map[string]string{}, exported: map[string]bool{}, inherited: inherited}
	for _, name := range []string{"JAVA_OPTS", "FLUME_JAVA_OPTS", "FLUME_CLASSPATH"} {
		s.vars[name], _ = inherited(name)
	}
	return s
}

// A shellWord is one word of a command, expanded.
type shellWord struct {
	text   string
	assign int // where the = of NAME=value stands; 0: it is no assignment
}

func (s *envScript) read(text string) {
	s.text, s.at, s.line = text, 0, 1
	for s.at < len(s.text) {
		start, line := s.at, s.line
		words, shell := s.command()
		if len(words) == 0 && !shell {
			continue
		}
		raw, _, _ := strings.Cut(strings.TrimSpace(s.text[start:s.at]), "\n")
		s.obey(words, shell, skippedLine{line, raw})
	}
}

func (s *envScript) obey(words []shellWord, shell bool, here skippedLine) {
	for len(words) > 0 && (words[0].text == "then" || words[0].text == "else" || words[0].text == "do") {
		words = words[1:]
		if s.depth == 0 {
			shell = true // of a block whose beginning was not seen
		}
		if len(words) == 0 {
			return
		}
	}
	first := ""
	if len(words) > 0 {
		first = words[0].text
	}
	switch first {
	case "if", "for", "while", "until", "case", "select", "{":
		s.skipped = append(s.skipped, here)
		s.depth++
		return
	case "fi", "done", "esac", "}":
		s.depth = max(0, s.depth-1)
		return
	}
	function := first == "function" || shell
	if function && slices.ContainsFunc(words, func(w shellWord) bool { return w.text == "{" }) {
		s.skipped = append(s.skipped, here)
		s.depth++
		return
	}
	shell = shell || s.depth > 0
	if first == "export" {
		words = words[1:]
	}
	for _, w := range words {
		shell = shell || w.assign == 0 && (first != "export" || !isName(w.text))
	}
	if shell {
		s.skipped = append(s.skipped, here)
		return
	}
	for _, w := range words {
		name := w.text
		if w.assign > 0 {
			name = w.text[:w.assign]
			s.vars[name] = w.text[w.assign+1:]
		}
		_, inherited := s.inherited(name)
		if _, set := s.vars[name]; set && (first == "export" || inherited) {
			s.exported[name] = true
		}
	}
}

// command reads up to the end of one simple command. shell: it holds what only a shell can do.
func (s *envScript) command() (words []shellWord, shell bool) {
	var word strings.Builder
	inWord, assign := false, 0
	end := func() {
		if inWord {
			words = append(words, shellWord{word.String(), assign})
		}
		word.Reset()
		inWord, assign = false, 0
	}
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '\n' || c == ';':
			s.skip(1)
			end()
			return words, shell
		case c == ' ' || c == '\t' || c == '\r':
			s.skip(1)
			end()
		case c == '#' && !inWord:
			for s.at < len(s.text) && s.text[s.at] != '\n' {
				s.skip(1)
			}
		case strings.IndexByte("&|<>()`", c) >= 0:
			shell = true
			s.skip(1)
		case c == '\\':
			s.skip(1)
			if s.at < len(s.text) {
				if s.text[s.at] != '\n' {
					word.WriteByte(s.text[s.at])
					inWord = true
				}
				s.skip(1)
			}
		case c == '\'':
			inWord = true
			s.skip(1)
			n := strings.IndexByte(s.text[s.at:], '\'')
			if n < 0 {
				n, shell = len(s.text)-s.at, true
			}
			word.WriteString(s.text[s.at : s.at+n])
			s.skip(n + 1)
		case c == '"':
			inWord = true
			s.skip(1)
			shell = s.quoted(&word) || shell
		case c == '$':
			inWord = true
			shell = s.expand(&word) || shell
		case c == '~' && (!inWord || assign > 0 && word.Len() == assign+1):
			inWord = true
			s.skip(1)
			home, _ := s.value("HOME")
			word.WriteString(home)
		default:
			if c == '=' && assign == 0 && isName(word.String()) {
				assign = word.Len()
			}
			inWord = true
			word.WriteByte(c)
			s.skip(1)
		}
	}
	end()
	return words, shell
}

// quoted reads up to the closing double quote.
func (s *envScript) quoted(word *strings.Builder) (shell bool) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case '"':
			s.skip(1)
			return shell
		case '$':
			shell = s.expand(word) || shell
		case '`':
			shell = true
			s.skip(1)
		case '\\':
			s.skip(1)
			if s.at == len(s.text) {
				return true
			}
			next := s.text[s.at]
			if strings.IndexByte("$`\"\\\n", next) < 0 {
				word.WriteByte('\\')
			}
			if next != '\n' {
				word.WriteByte(next)
			}
			s.skip(1)
		default:
			word.WriteByte(c)
			s.skip(1)
		}
	}
	return true
}

// expand reads what follows a $.
func (s *envScript) expand(word *strings.Builder) (shell bool) {
	s.skip(1)
	rest := s.text[s.at:]
	if !strings.HasPrefix(rest, "{") {
		n := 0
		for n < len(rest) && isNameByte(rest[n], n) {
			n++
		}
		if n == 0 {
			word.WriteByte('$')
			return strings.HasPrefix(rest, "(")
		}
		v, _ := s.value(rest[:n])
		word.WriteString(v)
		s.skip(n)
		return false
	}
	end := strings.IndexByte(rest, '}')
	if end < 0 {
		return true
	}
	name, other, fallback := strings.Cut(rest[1:end], "-")
	s.skip(end + 1)
	empty := strings.HasSuffix(name, ":")
	if fallback && empty {
		name = strings.TrimSuffix(name, ":")
	}
	if !isName(name) || strings.ContainsAny(other, "$`\"'\\") {
		return true
	}
	v, ok := s.value(name)
	if fallback && (!ok || empty && v == "") {
		v = other
	}
	word.WriteString(v)
	return false
}

func (s *envScript) value(name string) (string, bool) {
	if v, ok := s.vars[name]; ok {
		return v, true
	}
	return s.inherited(name)
}

func (s *envScript) skip(n int) {
	n = min(n, len(s.text)-s.at)
	s.line += strings.Count(s.text[s.at:s.at+n], "\n")
	s.at += n
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i], i) {
			return false
		}
	}
	return s != ""
}

func isNameByte(c byte, at int) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || at > 0 && c >= '0' && c <= '9'
}

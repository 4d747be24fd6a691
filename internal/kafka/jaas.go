package kafka

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// A module is one login module of a JAAS configuration.
//
//	org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";
//
// Values may be in double or single quotes, with \ before what would end them. Nothing of a module is ever put into an
// error: passwords stand there.
type module struct {
	class   string
	options map[string]string
}

func (m *module) is(class string) bool {
	return m != nil && strings.HasSuffix(m.class, class)
}

func (m *module) option(key string) string {
	if m == nil {
		return ""
	}
	return m.options[key]
}

// parseLogin reads the value of sasl.jaas.config: one module.
func parseLogin(text string) (*module, error) {
	s := scanner{rest: text}
	m, err := s.module()
	if err != nil {
		return nil, err
	}
	if tok := s.next(); tok.kind != end {
		return nil, errors.New("holds more than one login module; Kafka takes one")
	}
	return m, nil
}

// readLogin reads the first module of a section of a JAAS file.
func readLogin(path, section string) (*module, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the JAAS file: %w", err)
	}
	m, err := findLogin(string(data), section)
	if err != nil {
		return nil, fmt.Errorf("reading the JAAS file %s: %w", path, err)
	}
	return m, nil
}

func findLogin(text, section string) (*module, error) {
	s := scanner{rest: text}
	for {
		name := s.next()
		if name.kind == end {
			return nil, fmt.Errorf("there is no section %s in it", section)
		}
		if open := s.next(); name.kind != word || open.text != "{" {
			return nil, s.wrong("a section: NAME { … };")
		}
		var first *module
		for {
			before := s
			if tok := s.next(); tok.kind == sign && tok.text == "}" {
				break
			}
			s = before
			m, err := s.module()
			if err != nil {
				return nil, err
			}
			if first == nil {
				first = m
			}
		}
		if tok := s.next(); tok.text != ";" {
			return nil, s.wrong("a semicolon after }")
		}
		if name.text == section && first != nil {
			return first, nil
		}
	}
}

type kind int

const (
	end kind = iota
	word
	sign // = ; { }
	bad  // a quote or comment without an end
)

type token struct {
	kind kind
	text string
}

type scanner struct {
	rest string
	line int // counted from 0
}

func (s *scanner) wrong(want string) error {
	return fmt.Errorf("line %d does not have %s", s.line+1, want)
}

func (s *scanner) module() (*module, error) {
	class, control := s.next(), s.next()
	if class.kind != word || control.kind != word {
		return nil, s.wrong("a login module: CLASS required KEY=\"VALUE\" … ;")
	}
	switch strings.ToLower(control.text) {
	case "required", "requisite", "sufficient", "optional":
	default:
		return nil, s.wrong("required, requisite, sufficient or optional after the login module's class")
	}
	m := &module{class: class.text, options: map[string]string{}}
	for {
		key := s.next()
		if key.kind == sign && key.text == ";" {
			return m, nil
		}
		equals := s.next()
		if key.kind != word || equals.kind != sign || equals.text != "=" {
			return nil, s.wrong("KEY=\"VALUE\" or the semicolon that ends a login module")
		}
		value := s.next()
		if value.kind != word {
			return nil, s.wrong("a value after =")
		}
		m.options[key.text] = value.text
	}
}

// next skips blanks and comments and takes a token.
func (s *scanner) next() token {
	for {
		trimmed := strings.TrimLeft(s.rest, " \t\r\n\f")
		s.line += strings.Count(s.rest[:len(s.rest)-len(trimmed)], "\n")
		s.rest = trimmed
		switch {
		case s.rest == "":
			return token{}
		case strings.HasPrefix(s.rest, "//") || s.rest[0] == '#':
			i := strings.IndexByte(s.rest, '\n')
			if i < 0 {
				i = len(s.rest)
			}
			s.rest = s.rest[i:]
		case strings.HasPrefix(s.rest, "/*"):
			i := strings.Index(s.rest, "*/")
			if i < 0 {
				s.rest = ""
				return token{kind: bad}
			}
			s.line += strings.Count(s.rest[:i], "\n")
			s.rest = s.rest[i+2:]
		case strings.IndexByte("=;{}", s.rest[0]) >= 0:
			t := token{sign, s.rest[:1]}
			s.rest = s.rest[1:]
			return t
		case s.rest[0] == '"' || s.rest[0] == '\'':
			return s.quoted()
		default:
			i := strings.IndexAny(s.rest, " \t\r\n\f=;{}\"'")
			if i < 0 {
				i = len(s.rest)
			}
			t := token{word, s.rest[:i]}
			s.rest = s.rest[i:]
			return t
		}
	}
}

func (s *scanner) quoted() token {
	quote := s.rest[0]
	var out strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == quote:
			s.rest = s.rest[i+1:]
			return token{word, out.String()}
		case c == '\\' && i+1 < len(s.rest):
			i++
			out.WriteByte(unescaped(s.rest[i]))
		case c == '\n':
			s.rest = ""
			return token{kind: bad}
		default:
			out.WriteByte(c)
		}
	}
	s.rest = ""
	return token{kind: bad}
}

func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	}
	return c
}

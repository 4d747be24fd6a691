// Package jsonpath finds one value in a JSON text without decoding the rest.
//
//	$.event.time    a['event time']    items[0].at
//
// A path names keys of objects and places in arrays, from the outside in; "$." at its start can be left out. Of a key
// that comes twice the first one counts. What stands behind the value is not looked at.
package jsonpath

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Path is one that was understood.
type Path struct {
	text  string
	steps []Step
}

// A Step goes into an object by a key, or into an array by a place.
type Step struct {
	Key   string
	Place int // -1: by the key
}

// Steps are those of the path, from the outside in; not to be changed.
func (p *Path) Steps() []Step { return p.steps }

// Parse reads a path.
func Parse(path string) (*Path, error) {
	p := &Path{text: path}
	rest := strings.TrimPrefix(path, "$")
	for first := true; rest != "" || first && path != "$"; first = false {
		switch {
		case strings.HasPrefix(rest, "['") || strings.HasPrefix(rest, `["`):
			i := strings.Index(rest[2:], rest[1:2]+"]")
			if i < 0 {
				return nil, fmt.Errorf("the path %q: %s] is missing", path, rest[1:2])
			}
			p.steps = append(p.steps, Step{rest[2 : 2+i], -1})
			rest = rest[2+i+2:]
		case strings.HasPrefix(rest, "["):
			text, after, ok := strings.Cut(rest[1:], "]")
			n, err := strconv.ParseUint(text, 10, 31)
			if !ok || err != nil {
				return nil, fmt.Errorf("the path %q: [ takes the number of a place, from 0, or a key in quotes", path)
			}
			p.steps = append(p.steps, Step{"", int(n)})
			rest = after
		default:
			name, dotted := strings.CutPrefix(rest, ".")
			if !dotted && (!first || strings.HasPrefix(path, "$")) {
				return nil, fmt.Errorf("the path %q: a dot is missing before %q", path, rest)
			}
			i := strings.IndexAny(name, ".[")
			if i < 0 {
				i = len(name)
			}
			if i == 0 {
				return nil, fmt.Errorf("the path %q: a key is missing", path)
			}
			p.steps = append(p.steps, Step{name[:i], -1})
			rest = name[i:]
		}
	}
	return p, nil
}

// String is the path as it was written.
func (p *Path) String() string { return p.text }

// ErrMissing: the text has no such value.
var ErrMissing = errors.New("there is no such value")

// Find returns the value in a text: of a string its characters, of everything else its text. null is missing.
func (p *Path) Find(text []byte) ([]byte, error) {
	s := scanner{text: text}
	for _, step := range p.steps {
		if err := s.enter(step); err != nil {
			return nil, err
		}
	}
	value, err := s.value()
	switch {
	case err != nil:
		return nil, err
	case string(value) == "null":
		return nil, ErrMissing
	case value[0] == '"':
		return unquote(value)
	}
	return value, nil
}

// Raw returns the value in a text as it is written there: a string with its quotes, null as null.
func (p *Path) Raw(text []byte) ([]byte, error) {
	s := scanner{text: text}
	for _, step := range p.steps {
		if err := s.enter(step); err != nil {
			return nil, err
		}
	}
	return s.value()
}

// Unquote returns the characters of a string that Raw has returned. Where nothing in it is escaped they are cut from it.
func Unquote(s []byte) ([]byte, error) { return unquote(s) }

// unquote returns the characters of a string.
func unquote(s []byte) ([]byte, error) {
	if bytes.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1], nil
	}
	var text string
	if err := json.Unmarshal(s, &text); err != nil {
		return nil, fmt.Errorf("reading a JSON string: %w", err)
	}
	return []byte(text), nil
}

type scanner struct {
	text []byte
	at   int
}

func (s *scanner) wrong() error {
	if s.at >= len(s.text) {
		return errors.New("the JSON text ends too early")
	}
	return fmt.Errorf("the JSON text is wrong at byte %d", s.at)
}

// peek is the next byte that is no white space; 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take goes over c.
func (s *scanner) take(c byte) error {
	if s.peek() != c {
		return s.wrong()
	}
	s.at++
	return nil
}

// enter goes to the value of a step. What is no object or array has none.
func (s *scanner) enter(to Step) error {
	opening, closing := byte('{'), byte('}')
	if to.Place >= 0 {
		opening, closing = '[', ']'
	}
	if s.peek() != opening {
		if _, err := s.value(); err != nil {
			return err
		}
		return ErrMissing
	}
	s.at++
	for n := 0; s.peek() != closing; n++ {
		if n > 0 {
			if err := s.take(','); err != nil {
				return err
			}
		}
		found := n == to.Place
		if opening == '{' {
			key, err := s.string()
			if err != nil {
				return err
			}
			if found, err = same(key, to.Key); err != nil {
				return err
			}
			if err := s.take(':'); err != nil {
				return err
			}
		}
		if found {
			return nil
		}
		if _, err := s.value(); err != nil {
			return err
		}
	}
	return ErrMissing
}

// same reports whether a string of the text is key.
func same(s []byte, key string) (bool, error) {
	if bytes.IndexByte(s, '\\') < 0 {
		return string(s[1:len(s)-1]) == key, nil
	}
	text, err := unquote(s)
	return string(text) == key, err
}

// string goes over a string and returns it with its quotes.
func (s *scanner) string() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.wrong()
	}
	from := s.at
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return s.text[from:s.at], nil
		}
	}
	s.at = len(s.text)
	return nil, s.wrong()
}

// value goes over a value and returns its text. Brackets are counted, not matched.
func (s *scanner) value() ([]byte, error) {
	c := s.peek()
	from := s.at
	for depth := 0; ; {
		switch c {
		case '"':
			if _, err := s.string(); err != nil {
				return nil, err
			}
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ',', ':':
			s.at++
		default:
			start := s.at
			for s.at < len(s.text) && (s.text[s.at] >= '0' && s.text[s.at] <= '9' || s.text[s.at]|0x20 >= 'a' && s.text[s.at]|0x20 <= 'z' ||
				s.text[s.at] == '-' || s.text[s.at] == '+' || s.text[s.at] == '.') {
				s.at++
			}
			if s.at == start {
				return nil, s.wrong()
			}
		}
		if depth <= 0 {
			if depth < 0 || c == ',' || c == ':' {
				s.at = from
				return nil, s.wrong()
			}
			return s.text[from:s.at], nil
		}
		c = s.peek()
	}
}

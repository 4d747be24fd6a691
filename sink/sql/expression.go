package sql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/jsonpath"
)

// An expression says where a column's value comes from: the first of its terms that has one.
type expression []term

// A term is one of: a path into the body, text with escapes, a header, a word, a constant.
type term struct {
	kind   termKind
	path   *jsonpath.Path
	text   *escape.Template
	header string
	fixed  value
}

type termKind byte

const (
	fixed termKind = iota
	path
	escaped
	header
	body
	eventTime
	now
)

// A value is what an expression gives for one event. Its bytes are the event's or the expression's own.
type value struct {
	kind valueKind
	text []byte // nothing: none; a moment: none
	raw  []byte // the JSON text that it is taken from; nil: it is none
	ms   int64  // a moment: milliseconds since 1970
}

type valueKind byte

const (
	nothing  valueKind = iota // NULL
	text                      // characters, or bytes that may be any
	number                    // as JSON writes it
	truth                     // true, false
	document                  // an object or a list in JSON
	moment
)

// words are the terms that are one word.
const wordList = "body, time, now, null, true, false"

// parseExpression reads an expression:
//
//	term ?? term ?? …
//	$.path  $  %{header} and text with escapes  body  time  now  'text'  12.5  true  false  null
func parseExpression(text string) (expression, error) {
	var e expression
	rest := text
	for {
		one, after, more := cutTerm(rest)
		t, err := parseTerm(strings.TrimSpace(one))
		if err != nil {
			return nil, err
		}
		e = append(e, t)
		if !more {
			return e, nil
		}
		rest = after
	}
}

// cutTerm cuts at the first ?? that is in no quotes.
func cutTerm(s string) (one, rest string, more bool) {
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '?' && strings.HasPrefix(s[i:], "??"):
			return s[:i], s[i+2:], true
		}
	}
	return s, "", false
}

func parseTerm(s string) (term, error) {
	switch {
	case s == "":
		return term{}, errors.New("a term is missing; a text that is empty is ''")
	case s[0] == '$':
		p, err := jsonpath.Parse(s)
		return term{kind: path, path: p}, err
	case s[0] == '\'':
		if len(s) < 2 || s[len(s)-1] != '\'' {
			return term{}, fmt.Errorf("%s has no closing quote", s)
		}
		inner := strings.ReplaceAll(s[1:len(s)-1], "''", "\x00")
		if strings.Contains(inner, "'") {
			return term{}, fmt.Errorf("%s: a quote in a text is written twice", s)
		}
		return term{fixed: value{kind: text, text: []byte(strings.ReplaceAll(inner, "\x00", "'"))}}, nil
	case isNumber([]byte(s)):
		return term{fixed: value{kind: number, text: []byte(s), raw: []byte(s)}}, nil
	}
	switch s {
	case "body":
		return term{kind: body}, nil
	case "time":
		return term{kind: eventTime}, nil
	case "now":
		return term{kind: now}, nil
	case "null":
		return term{}, nil
	case "true", "false":
		return term{fixed: value{kind: truth, text: []byte(s), raw: []byte(s)}}, nil
	}
	if !strings.Contains(s, "%") {
		words := strings.Split(wordList, ", ")
		if near := conf.Nearest(s, words); near != "" {
			return term{}, fmt.Errorf("%q means nothing; did you mean %q? A text stands in single quotes", s, near)
		}
		return term{}, fmt.Errorf("%q means nothing: it takes $.path, %%{header}, 'text', a number, %s", s, wordList)
	}
	t, err := escape.Parse(s, escape.Options{})
	if err != nil {
		return term{}, err
	}
	if names := t.Headers(); len(names) == 1 && !t.Timed() && s == "%{"+names[0]+"}" {
		return term{kind: header, header: names[0]}, nil
	}
	if constant, ok := t.Constant(); ok {
		return term{fixed: value{kind: text, text: []byte(constant)}}, nil
	}
	return term{kind: escaped, text: t}, nil
}

// A moment of evaluation: what terms need beside the event. Its buffer holds texts until the next event.
type scope struct {
	now     time.Time
	scratch []byte
}

// of is the value for an event. The error is one that no repetition cures.
func (e expression) of(ev *flume.Event, s *scope) (value, error) {
	for i := range e {
		v, err := e[i].of(ev, s)
		if err != nil || v.kind != nothing {
			return v, err
		}
	}
	return value{}, nil
}

func (t *term) of(ev *flume.Event, s *scope) (value, error) {
	switch t.kind {
	case path:
		return t.find(ev.Body)
	case escaped:
		from := len(s.scratch)
		var err error
		if s.scratch, err = t.text.Append(s.scratch, ev.Headers, s.now); err != nil {
			return value{}, err
		}
		return value{kind: text, text: s.scratch[from:]}, nil
	case header:
		v, ok := ev.Headers.Get(t.header)
		if !ok {
			return value{}, nil
		}
		from := len(s.scratch)
		s.scratch = append(s.scratch, v...)
		return value{kind: text, text: s.scratch[from:]}, nil
	case body:
		return value{kind: text, text: ev.Body}, nil
	case eventTime:
		v, ok := ev.Headers.Get(escape.Timestamp)
		if !ok {
			return value{}, nil
		}
		ms, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return value{}, fmt.Errorf("header %q is %.40q, not a number of milliseconds since 1970", escape.Timestamp, v)
		}
		return value{kind: moment, ms: ms}, nil
	case now:
		return value{kind: moment, ms: s.now.UnixMilli()}, nil
	case fixed:
	}
	return t.fixed, nil
}

// find is the value at a path of the body.
func (t *term) find(body []byte) (value, error) {
	raw, err := t.path.Raw(body)
	if errors.Is(err, jsonpath.ErrMissing) {
		if b := bytes.TrimLeft(body, " \t\r\n"); b[0] != '{' && b[0] != '[' && !json.Valid(body) { // words are values to a path
			return value{}, fmt.Errorf("reading %s of the body: %.40q is no JSON", t.path, body)
		}
		return value{}, nil
	}
	if err != nil {
		return value{}, fmt.Errorf("reading %s of the body: %w", t.path, err)
	}
	return read(raw, t.path)
}

// read tells what a JSON value is.
func read(raw []byte, at *jsonpath.Path) (value, error) {
	ok := false
	v := value{text: raw, raw: raw}
	switch c := raw[0]; {
	case c == '"':
		s, err := jsonpath.Unquote(raw)
		return value{kind: text, text: s, raw: raw}, err
	case c == '{' || c == '[':
		v.kind, ok = document, json.Valid(raw)
	case c == '-' || c >= '0' && c <= '9':
		v.kind, ok = number, isNumber(raw)
	case string(raw) == "null":
		return value{}, nil
	default:
		v.kind, ok = truth, string(raw) == "true" || string(raw) == "false"
	}
	if !ok {
		return value{}, fmt.Errorf("reading %s of the body: %.40q is no JSON", at, raw)
	}
	return v, nil
}

// isNumber reports whether s is a number as JSON writes one.
func isNumber(s []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' || !digits() {
		return false
	}
	if len(s) > 0 && s[0] == '.' {
		if s = s[1:]; !digits() {
			return false
		}
	}
	if len(s) > 0 && s[0]|0x20 == 'e' {
		if s = s[1:]; len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(s) == 0
}

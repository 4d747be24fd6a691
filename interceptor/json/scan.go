package json

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/internal/jsonpath"
)

// deepest is how many brackets may stand in each other.
const deepest = 1000

// most is how many paths may part in one place, so that those that were met in an object are bits of one number.
const most = 64

// mostEdits is how many fields of one body may be dropped and renamed: what is known of them takes more than they do.
const mostEdits = 1 << 16

// A node is a place in bodies to which paths lead.
type node struct {
	step  jsonpath.Step
	lift  []int // headers that get the value
	drop  bool
	name  string // that the field gets
	text  []byte // name in quotes; nil: the field keeps its own
	next  []*node
	names []string // that fields of next get
}

// plant grows the tree by a path, and returns its last node with the one that holds it, which is nil for the whole text.
func (n *node) plant(p *jsonpath.Path) (parent, last *node, err error) {
	for _, s := range p.Steps() {
		parent = n
		at := slices.IndexFunc(n.next, func(x *node) bool { return x.step == s })
		if at < 0 {
			if len(n.next) == most {
				return nil, nil, fmt.Errorf("the path %q: more than %d paths part in one place; take a second json interceptor", p, most)
			}
			at = len(n.next)
			n.next = append(n.next, &node{step: s})
		}
		n = n.next[at]
	}
	return parent, n, nil
}

// rename gives a field of parent another name.
func (n *node) rename(parent *node, name string) error {
	switch {
	case parent == nil || n.step.Place >= 0:
		return errors.New("it leads to no field of an object, which alone has a name")
	case n.drop:
		return errors.New("the field is dropped")
	case n.text != nil:
		return errors.New("the field is renamed already")
	case slices.Contains(parent.names, name):
		return errors.New("another field beside it gets that name")
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(name); err != nil {
		return err
	}
	n.name, n.text = name, bytes.TrimSpace(text.Bytes())
	parent.names = append(parent.names, name)
	return nil
}

// A span is bytes of the text; one that was not found ends at 0.
type span struct{ from, to int }

// An edit puts other bytes in the place of some.
type edit struct {
	span
	put []byte
}

// A scan reads texts, one after the other. Nothing in it outlives the text.
type scan struct {
	text  []byte
	at    int
	depth int
	found []span // of each header
	edits []edit // ascending, apart from each other
}

// A twiceError is an object that would have two fields of one name.
type twiceError struct{ name string }

func (e *twiceError) Error() string {
	return fmt.Sprintf("renaming a field of the body to %q: there is one of that name", e.name)
}

// read reads a text to its end. When it returns nil the text is JSON, found and edits say what tree has asked for.
func (s *scan) read(text []byte, tree *node) error {
	s.text, s.at, s.depth, s.edits = text, 0, 0, s.edits[:0]
	clear(s.found)
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		s.at = 3
	}
	if err := s.value(tree, true); err != nil {
		return err
	}
	if s.blank(); s.at < len(text) {
		return s.wrong("nothing should follow")
	}
	return nil
}

// wrong says where the text is no JSON.
func (s *scan) wrong(what string) error {
	if s.at >= len(s.text) {
		return errors.New("reading the body as JSON: it ends too early")
	}
	return fmt.Errorf("reading the body as JSON: %s at byte %d", what, s.at+1)
}

// blank goes over white space and returns the byte behind it; 0 at the end.
func (s *scan) blank() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// value goes over a value to which n leads, if it is not nil. First: no field of the same name has come before it, nor
// before one that it is in.
func (s *scan) value(n *node, first bool) error {
	c := s.blank()
	from := s.at
	var err error
	switch c {
	case '{':
		err = s.inside((*scan).object, n, first)
	case '[':
		err = s.inside((*scan).array, n, first)
	case '"':
		_, err = s.string()
	case 't':
		err = s.word("true")
	case 'f':
		err = s.word("false")
	case 'n':
		err = s.word("null")
	default:
		err = s.number()
	}
	if err == nil && first && n != nil {
		for _, header := range n.lift {
			s.found[header] = span{from, s.at}
		}
	}
	return err
}

func (s *scan) inside(read func(*scan, *node, bool) error, n *node, first bool) error {
	if s.depth++; s.depth > deepest {
		return fmt.Errorf("reading the body as JSON: more than %d brackets stand in each other", deepest)
	}
	s.at++
	if err := read(s, n, first); err != nil {
		return err
	}
	s.at++ // over the closing bracket
	s.depth--
	return nil
}

// A cutting takes members out of one object or array, each with one comma.
type cutting struct {
	comma int  // in front of the present member
	kept  bool // a member has stayed
	open  span // what is cut from the beginning, up to the next member
}

// begin is called where a member begins.
func (c *cutting) begin(s *scan) {
	if c.open.to > 0 {
		s.edits = append(s.edits, edit{span{c.open.from, s.at}, nil})
		c.open = span{}
	}
}

// drop takes the member away that ends here. Of the edits those from mark on lie in it.
func (c *cutting) drop(s *scan, from, mark int) {
	s.edits = s.edits[:mark]
	if c.kept {
		s.edits = append(s.edits, edit{span{c.comma, s.at}, nil})
		return
	}
	c.open = span{from, s.at}
}

// end is called where the bracket is closed.
func (c *cutting) end(s *scan) {
	if c.open.to > 0 {
		s.edits = append(s.edits, edit{c.open, nil})
	}
}

// more goes over the comma behind a member; false: the bracket is closed here.
func (c *cutting) more(s *scan, closing byte) (bool, error) {
	if len(s.edits) > mostEdits {
		return false, fmt.Errorf("reading the body as JSON: more than %d fields are to be dropped or renamed", mostEdits)
	}
	switch s.blank() {
	case ',':
		c.comma = s.at
		s.at++
		return true, nil
	case closing:
		c.end(s)
		return false, nil
	}
	return false, s.wrong("a comma or bracket is missing")
}

func (s *scan) object(n *node, first bool) error {
	if s.blank() == '}' {
		return nil
	}
	var c cutting
	var met uint64            // members of n.next
	var given, there uint64   // names of n.names that were given to a field, and that one has by itself
	for more := true; more; { // until an error or the bracket
		s.blank()
		c.begin(s)
		from, mark := s.at, len(s.edits)
		key, err := s.string()
		if err != nil {
			return err
		}
		end := s.at
		child, bit, name := s.member(n, key)
		if s.blank() != ':' {
			return s.wrong("a colon is missing")
		}
		s.at++
		if err := s.value(child, first && met&bit == 0); err != nil {
			return err
		}
		met |= bit
		if child != nil && child.drop {
			c.drop(s, from, mark)
		} else {
			c.kept = true
			switch {
			case child != nil && child.text != nil:
				s.edits = slices.Insert(s.edits, mark, edit{span{from, end}, child.text})
				given |= 1 << slices.Index(n.names, name)
			case n != nil && len(n.names) > 0:
				if i := slices.Index(n.names, name); i >= 0 {
					there |= 1 << i
				}
			}
			if both := given & there; both != 0 {
				for i := range n.names {
					if both&(1<<i) != 0 {
						return &twiceError{n.names[i]}
					}
				}
			}
		}
		if more, err = c.more(s, '}'); err != nil {
			return err
		}
	}
	return nil
}

// member finds the node of a member by its key as it is written; its bit; and the name that the member has in the end.
func (s *scan) member(n *node, key []byte) (child *node, bit uint64, name string) {
	if n == nil || len(n.next) == 0 {
		return nil, 0, ""
	}
	text := key[1 : len(key)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		var plain string
		if json.Unmarshal(key, &plain) == nil { // the string is right
			text = []byte(plain)
		}
	}
	for i, x := range n.next {
		if x.step.Place < 0 && x.step.Key == string(text) {
			if x.text != nil {
				return x, 1 << i, x.name
			}
			return x, 1 << i, x.step.Key
		}
	}
	for _, name := range n.names {
		if name == string(text) {
			return nil, 0, name
		}
	}
	return nil, 0, ""
}

func (s *scan) array(n *node, first bool) error {
	if s.blank() == ']' {
		return nil
	}
	var c cutting
	for place, more := 0, true; more; place++ {
		s.blank()
		c.begin(s)
		from, mark := s.at, len(s.edits)
		var child *node
		if n != nil {
			for _, x := range n.next {
				if x.step.Place == place {
					child = x
				}
			}
		}
		err := s.value(child, first)
		if err != nil {
			return err
		}
		if child != nil && child.drop {
			c.drop(s, from, mark)
		} else {
			c.kept = true
		}
		if more, err = c.more(s, ']'); err != nil {
			return err
		}
	}
	return nil
}

// string goes over a string and returns it with its quotes.
func (s *scan) string() ([]byte, error) {
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		return nil, s.wrong("a string should begin")
	}
	from := s.at
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[from:s.at], nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, s.wrong("a control character stands in a string")
		}
	}
	return nil, s.wrong("")
}

// escape goes over a backslash and what it escapes, but for the last byte.
func (s *scan) escape() error {
	s.at++
	switch {
	case s.at >= len(s.text):
		return s.wrong("")
	case s.text[s.at] == 'u':
		for range 4 {
			s.at++
			if s.at >= len(s.text) || strings.IndexByte("0123456789abcdefABCDEF", s.text[s.at]) < 0 {
				return s.wrong("a hexadecimal digit is missing")
			}
		}
		return nil
	case strings.IndexByte(`"\/bfnrt`, s.text[s.at]) < 0:
		return s.wrong("a backslash escapes nothing")
	}
	return nil
}

func (s *scan) word(word string) error {
	if !bytes.HasPrefix(s.text[s.at:], []byte(word)) {
		return s.wrong("a value should begin")
	}
	s.at += len(word)
	return nil
}

// digits goes over one digit at least.
func (s *scan) digits() error {
	from := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	if s.at == from {
		return s.wrong("a digit is missing")
	}
	return nil
}

func (s *scan) number() error {
	next := func(c byte) bool { return s.at < len(s.text) && s.text[s.at] == c }
	switch {
	case next('-'):
		s.at++
	case s.at >= len(s.text) || s.text[s.at] < '0' || s.text[s.at] > '9':
		return s.wrong("a value should begin")
	}
	if next('0') {
		s.at++
	} else if err := s.digits(); err != nil {
		return err
	}
	if next('.') {
		s.at++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if next('e') || next('E') {
		s.at++
		if next('+') || next('-') {
			s.at++
		}
		return s.digits()
	}
	return nil
}

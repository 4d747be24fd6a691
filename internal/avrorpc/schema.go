package avrorpc

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A client whose protocol is not Flume's own text has its calls read by its own schema, resolved to ours by field name:
// fields in another order, more fields than ours, bytes for strings. Nearly every such text still says exactly
// headers: map of string, body: bytes, and its calls are read as Flume's are.

// most bounds a client's protocol text and the types it may be made of; Flume's has 1334 bytes.
const (
	mostText  = 16 << 10
	mostDepth = 64
)

// A dialect is how a client's calls are to be read. Nil is Flume's own.
type dialect struct {
	single, batch *record // nil: the message is not in the client's protocol
}

// A record says how a client writes an event; plain means as Flume does.
type record struct {
	plain  bool
	fields []field
	err    error // why it cannot be read as an event
}

type field struct {
	name string
	typ  *schema
}

type shape int

const (
	shapeFixed   shape = iota // size bytes: null, boolean, float, double, fixed
	shapeLong                 // int, long, enum
	shapeBytes                // bytes, string
	shapeArray                // blocks of items
	shapeMap                  // blocks of string and items
	shapeUnion                // long, branch
	shapeRecord               // fields, one after the other
	shapePending              // a name that is being defined
)

type schema struct {
	shape    shape
	size     int64
	items    *schema
	branches []*schema
	fields   []field
}

// parseDialect reads a protocol text. An error means that it is none.
func parseDialect(text []byte) (*dialect, error) {
	if len(text) > mostText {
		return nil, fmt.Errorf("the client's protocol has %d bytes, %d are the most that is read", len(text), mostText)
	}
	type parameter struct {
		Type json.RawMessage `json:"type"`
	}
	var p struct {
		Namespace string            `json:"namespace"`
		Types     []json.RawMessage `json:"types"`
		Messages  map[string]struct {
			Request []parameter `json:"request"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("reading the client's protocol: %w", err)
	}
	if p.Messages == nil {
		return nil, errors.New("reading the client's protocol: it has no messages")
	}
	names := types{}
	for _, t := range p.Types {
		if _, err := names.parse(t, p.Namespace, 0); err != nil {
			return nil, fmt.Errorf("reading the client's protocol: %w", err)
		}
	}
	var d dialect
	for name, m := range p.Messages {
		if name != appendName && name != appendBatchName {
			continue
		}
		r := &record{err: fmt.Errorf("the client's %s does not have one parameter", name)}
		if len(m.Request) == 1 {
			s, err := names.parse(m.Request[0].Type, p.Namespace, 0)
			if err != nil {
				return nil, fmt.Errorf("reading the client's protocol: %w", err)
			}
			r = resolve(s, name == appendBatchName)
		}
		if name == appendName {
			d.single = r
		} else {
			d.batch = r
		}
	}
	return &d, nil
}

// resolve says how a parameter of type s is to be read as an event, or as an array of them.
func resolve(s *schema, array bool) *record {
	if array {
		if s.shape != shapeArray {
			return &record{err: errors.New("the client's appendBatch does not take an array")}
		}
		s = s.items
	}
	if s.shape != shapeRecord {
		return &record{err: errors.New("the client's event is not a record")}
	}
	r := &record{fields: s.fields}
	var headers, body *schema
	for _, f := range s.fields {
		switch f.name {
		case "headers":
			headers = f.typ
		case "body":
			body = f.typ
		}
	}
	switch {
	case headers == nil || headers.shape != shapeMap || headers.items.shape != shapeBytes:
		r.err = errors.New("the client's event has no field headers that is a map of strings")
	case body == nil || body.shape != shapeBytes:
		r.err = errors.New("the client's event has no field body that is bytes")
	default:
		r.plain = len(s.fields) == 2 && s.fields[0].name == "headers"
	}
	return r
}

// types are the named types of a protocol, by full name.
type types map[string]*schema

func (t types) parse(text json.RawMessage, space string, depth int) (*schema, error) {
	if depth > mostDepth {
		return nil, fmt.Errorf("its types are nested more than %d deep", mostDepth)
	}
	if len(text) == 0 {
		return nil, errors.New("a type is missing")
	}
	switch text[0] {
	case '"':
		var name string
		if err := json.Unmarshal(text, &name); err != nil {
			return nil, err
		}
		return t.named(name, space)
	case '[':
		var branches []json.RawMessage
		if err := json.Unmarshal(text, &branches); err != nil {
			return nil, err
		}
		s := &schema{shape: shapeUnion}
		for _, b := range branches {
			branch, err := t.parse(b, space, depth+1)
			if err != nil {
				return nil, err
			}
			s.branches = append(s.branches, branch)
		}
		return s, nil
	}
	return t.complex(text, space, depth)
}

func (t types) named(name, space string) (*schema, error) {
	if s := primitive(name); s != nil {
		return s, nil
	}
	if s := t[fullName(name, space)]; s != nil {
		return s, nil
	}
	if s := t[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("the type %q is not defined", name)
}

func primitive(name string) *schema {
	switch name {
	case "null":
		return &schema{}
	case "boolean":
		return &schema{size: 1}
	case "float":
		return &schema{size: 4}
	case "double":
		return &schema{size: 8}
	case "int", "long":
		return &schema{shape: shapeLong}
	case "bytes", "string":
		return &schema{shape: shapeBytes}
	}
	return nil
}

func fullName(name, space string) string {
	if space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}

func (t types) complex(text json.RawMessage, space string, depth int) (*schema, error) {
	var c struct {
		Type      json.RawMessage `json:"type"`
		Name      string          `json:"name"`
		Namespace *string         `json:"namespace"`
		Items     json.RawMessage `json:"items"`
		Values    json.RawMessage `json:"values"`
		Size      int64           `json:"size"`
		Fields    []struct {
			Name string          `json:"name"`
			Type json.RawMessage `json:"type"`
		} `json:"fields"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, err
	}
	var kind string
	if err := json.Unmarshal(c.Type, &kind); err != nil {
		return t.parse(c.Type, space, depth+1) // {"type": {…}}
	}
	if c.Namespace != nil {
		space = *c.Namespace
	}
	name := fullName(c.Name, space)
	if at := strings.LastIndexByte(name, '.'); at >= 0 {
		space = name[:at]
	}
	switch kind {
	case "array", "map":
		items, s := c.Items, &schema{shape: shapeArray}
		if kind == "map" {
			items, s = c.Values, &schema{shape: shapeMap}
		}
		var err error
		s.items, err = t.parse(items, space, depth+1)
		return s, err
	case "enum":
		t[name] = &schema{shape: shapeLong}
		return t[name], nil
	case "fixed":
		if c.Size < 0 {
			return nil, fmt.Errorf("%q has a negative size", name)
		}
		t[name] = &schema{size: c.Size}
		return t[name], nil
	case "record", "error":
		s := &schema{shape: shapePending}
		t[name] = s
		for _, f := range c.Fields {
			typ, err := t.parse(f.Type, space, depth+1)
			if err != nil {
				return nil, err
			}
			s.fields = append(s.fields, field{f.Name, typ})
		}
		s.shape = shapeRecord
		return s, nil
	}
	return t.named(kind, space)
}

// A foreignReader reads a payload by a client's schema. Its fuel bounds the work that a schema can ask for which takes
// no bytes (an array of nulls).
type foreignReader struct {
	reader
	fuel int
}

// events rewrites the parameter at the start of p as Flume would write it.
func (r *record) events(p []byte, array bool) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	f := foreignReader{reader{rest: p}, 10_000 + 16*len(p)}
	out := make([]byte, 0, len(p)+16)
	if !array {
		out = f.event(out, r)
		return out, f.err
	}
	for n := f.block(1, "the batch"); n > 0; n = f.block(1, "the batch") {
		out = binary.AppendVarint(out, n)
		for ; n > 0 && f.err == nil; n-- {
			out = f.event(out, r)
		}
	}
	return append(out, 0), f.err
}

func (f *foreignReader) event(out []byte, r *record) []byte {
	var headers, body []byte
	for _, x := range r.fields {
		before := f.rest
		f.skip(x.typ, 0)
		value := before[:len(before)-len(f.rest)]
		switch x.name {
		case "headers":
			headers = value
		case "body":
			body = value
		}
	}
	return append(append(out, headers...), body...)
}

func (f *foreignReader) skip(s *schema, depth int) {
	f.fuel--
	if f.fuel < 0 || depth > mostDepth {
		f.fail("the client's event is nested too deep")
	}
	if f.err != nil {
		return
	}
	switch s.shape {
	case shapeFixed:
		f.take(s.size, "a value")
	case shapeLong:
		f.long("a number")
	case shapeBytes:
		f.bytes("a string")
	case shapeArray:
		for n := f.block(0, "an array"); n > 0; n = f.block(0, "an array") {
			for ; n > 0 && f.err == nil; n-- {
				before := len(f.rest)
				f.skip(s.items, depth+1)
				if len(f.rest) == before { // items without bytes, however many
					break
				}
			}
		}
	case shapeMap:
		for n := f.block(1, "a map"); n > 0; n = f.block(1, "a map") {
			for ; n > 0 && f.err == nil; n-- {
				f.bytes("a key")
				f.skip(s.items, depth+1)
			}
		}
	case shapeUnion:
		if b := f.branch(int64(len(s.branches)), "a union"); f.err == nil {
			f.skip(s.branches[b], depth+1)
		}
	case shapeRecord:
		for _, x := range s.fields {
			f.skip(x.typ, depth+1)
		}
	case shapePending:
		panic("BUG: a record that was never defined")
	}
}

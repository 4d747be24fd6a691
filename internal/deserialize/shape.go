package deserialize

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// A shape is how many bytes a value of a schema takes.
type shape struct {
	kind   kind
	size   int64    // of fixed, float, double, boolean; zero for null
	parts  []*shape // the fields of a record that take bytes, the branches of a union, the items of an array or map
	zeroes bool     // every value takes no bytes
}

type kind uint8

const (
	fixed  kind = iota
	number      // int, long, enum
	text        // bytes, string
	record
	array
	mapping
	union
)

const deepest = 5000 // records in records

var errShort = errors.New("the block ends in it")

// shapeOf reads a schema in its parsing canonical form, in which every name is full.
func shapeOf(canonical []byte) (*shape, error) {
	return readShape(canonical, map[string]*shape{}, 0)
}

func readShape(schema json.RawMessage, named map[string]*shape, depth int) (*shape, error) {
	if depth > deepest {
		return nil, errors.New("types lie too deep in types")
	}
	switch schema[0] {
	case '"':
		var name string
		if err := json.Unmarshal(schema, &name); err != nil {
			return nil, err
		}
		return shapeNamed(name, named)
	case '[':
		var branches []json.RawMessage
		if err := json.Unmarshal(schema, &branches); err != nil {
			return nil, err
		}
		s := &shape{kind: union}
		return s, s.add(branches, named, depth)
	}
	var t struct {
		Type, Name    string
		Fields        []struct{ Type json.RawMessage }
		Items, Values json.RawMessage
		Size          int64
	}
	if err := json.Unmarshal(schema, &t); err != nil {
		return nil, err
	}
	s := &shape{}
	if t.Name != "" {
		named[t.Name] = s
	}
	switch t.Type {
	case "record", "error":
		s.kind = record
		fields := make([]json.RawMessage, len(t.Fields))
		for i, f := range t.Fields {
			fields[i] = f.Type
		}
		if err := s.add(fields, named, depth); err != nil {
			return nil, err
		}
		// What takes no bytes is left out, or a small schema could make a record of any number of parts. Of a record in itself
		// it is false while it is read, and so it stays.
		s.parts = slices.DeleteFunc(s.parts, func(p *shape) bool { return p.zeroes })
		s.zeroes = len(s.parts) == 0
		return s, nil
	case "array":
		s.kind = array
		return s, s.add([]json.RawMessage{t.Items}, named, depth)
	case "map":
		s.kind = mapping
		return s, s.add([]json.RawMessage{t.Values}, named, depth)
	case "fixed":
		s.size, s.zeroes = t.Size, t.Size == 0
		return s, nil
	case "enum":
		s.kind = number
		return s, nil
	}
	return shapeNamed(t.Type, named)
}

func (s *shape) add(types []json.RawMessage, named map[string]*shape, depth int) error {
	for _, t := range types {
		p, err := readShape(t, named, depth+1)
		if err != nil {
			return err
		}
		s.parts = append(s.parts, p)
	}
	return nil
}

func shapeNamed(name string, named map[string]*shape) (*shape, error) {
	switch name {
	case "null":
		return &shape{zeroes: true}, nil
	case "boolean":
		return &shape{size: 1}, nil
	case "float":
		return &shape{size: 4}, nil
	case "double":
		return &shape{size: 8}, nil
	case "int", "long":
		return &shape{kind: number}, nil
	case "bytes", "string":
		return &shape{kind: text}, nil
	}
	if s := named[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("there is no type %q", name)
}

// skip returns how many bytes the value at the front of b takes.
func (s *shape) skip(b []byte, depth int) (int, error) {
	if depth > deepest {
		return 0, errors.New("values lie too deep in values")
	}
	switch s.kind {
	case number:
		_, n, err := long(b)
		return n, err
	case text:
		size, n, err := long(b)
		if err == nil && (size < 0 || size > int64(len(b)-n)) {
			err = errShort
		}
		return n + int(size), err
	case record:
		at := 0
		for _, p := range s.parts {
			n, err := p.skip(b[at:], depth+1)
			if err != nil {
				return 0, err
			}
			at += n
		}
		return at, nil
	case array, mapping:
		return s.skipItems(b, depth)
	case union:
		branch, n, err := long(b)
		if err == nil && (branch < 0 || branch >= int64(len(s.parts))) {
			err = fmt.Errorf("there is branch %d of a union of %d", branch, len(s.parts))
		}
		if err != nil {
			return 0, err
		}
		m, err := s.parts[branch].skip(b[n:], depth+1)
		return n + m, err
	default:
		if s.size > int64(len(b)) {
			return 0, errShort
		}
		return int(s.size), nil
	}
}

func (s *shape) skipItems(b []byte, depth int) (int, error) {
	for at := 0; ; {
		count, n, err := long(b[at:])
		if err != nil || count == 0 {
			return at + n, err
		}
		at += n
		if count < 0 { // the size in bytes follows
			size, n, err := long(b[at:])
			if err == nil && (size < 0 || size > int64(len(b)-at-n)) {
				err = errShort
			}
			if err != nil {
				return 0, err
			}
			at += n + int(size)
			continue
		}
		for ; count > 0; count-- {
			if s.kind == mapping {
				n, err := (&shape{kind: text}).skip(b[at:], depth+1)
				if err != nil {
					return 0, err
				}
				at += n
			} else if s.parts[0].zeroes {
				break
			}
			n, err := s.parts[0].skip(b[at:], depth+1)
			if err != nil {
				return 0, err
			}
			at += n
		}
	}
}

// long is a number of at most 64 bits.
func long(b []byte) (int64, int, error) {
	v, n := binary.Varint(b)
	switch {
	case n == 0:
		return 0, 0, errShort
	case n < 0:
		return 0, 0, errors.New("a number has more than 64 bits")
	}
	return v, n, nil
}

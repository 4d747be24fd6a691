package jceks

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Java's serialization, as far as the two classes of a key store use it: an object of classes with primitive fields,
// strings and byte arrays, without references to other objects' handles but for strings and classes.
const (
	streamMagic  = 0xACED0005
	tcNull       = 0x70
	tcReference  = 0x71
	tcClassDesc  = 0x72
	tcObject     = 0x73
	tcString     = 0x74
	tcArray      = 0x75
	tcEndBlock   = 0x78
	tcLongString = 0x7C
	firstHandle  = 0x7E0000

	scWriteMethod  = 0x01
	scSerializable = 0x02

	deepest = 16 // classes above one another, or objects inside one another
)

var errShort = errors.New("the bytes end too early")

// A reader cuts values off b until the first error, which it keeps.
type reader struct {
	b       []byte
	err     error
	handles []any // what a reference can mean: *class, string, []byte, object
	depth   int
}

type class struct {
	name   string
	flags  byte
	fields []classField
	super  *class
}

type classField struct {
	kind byte
	name string
}

// An object is its fields' values: int64, string, []byte, object or nil.
type object map[string]any

func (o object) text(name string) string  { s, _ := o[name].(string); return s }
func (o object) array(name string) []byte { b, _ := o[name].([]byte); return b }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) take(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) utf() string { return string(r.take(int(r.uint16()))) }

// object reads a whole stream of one object.
func (r *reader) object() object {
	r.handles = nil
	if m := r.uint32(); m != streamMagic {
		r.fail(errors.New("there is no Java object"))
	}
	o, ok := r.value().(object)
	if !ok {
		r.fail(errors.New("there is no Java object"))
	}
	return o
}

func (r *reader) value() any {
	if r.depth++; r.depth > deepest {
		r.fail(errors.New("objects are nested too deep"))
	}
	defer func() { r.depth-- }()
	if r.err != nil {
		return nil
	}
	switch t := r.byte(); t {
	case tcNull:
		return nil
	case tcReference:
		return r.reference()
	case tcString:
		s := r.utf()
		r.handles = append(r.handles, s)
		return s
	case tcLongString:
		n := uint64(r.uint32())<<32 | uint64(r.uint32())
		if n > uint64(len(r.b)) {
			r.fail(errShort)
			return nil
		}
		s := string(r.take(int(n)))
		r.handles = append(r.handles, s)
		return s
	case tcArray:
		c := r.class()
		if c != nil && c.name != "[B" {
			r.fail(fmt.Errorf("an array of the class %q", c.name))
		}
		at := len(r.handles)
		r.handles = append(r.handles, nil)
		b := r.take(int(int32(r.uint32())))
		r.handles[at] = b
		return b
	case tcObject:
		c := r.class()
		o := object{}
		r.handles = append(r.handles, o)
		r.fields(c, o)
		return o
	default:
		r.fail(fmt.Errorf("0x%02x begins no value", t))
		return nil
	}
}

func (r *reader) reference() any {
	i := int(r.uint32()) - firstHandle
	if r.err == nil && (i < 0 || i >= len(r.handles)) {
		r.fail(errors.New("a reference to nothing"))
	}
	if r.err != nil {
		return nil
	}
	return r.handles[i]
}

func (r *reader) class() *class {
	if r.depth++; r.depth > deepest {
		r.fail(errors.New("classes are nested too deep"))
	}
	defer func() { r.depth-- }()
	if r.err != nil {
		return nil
	}
	switch t := r.byte(); t {
	case tcNull:
		return nil
	case tcReference:
		c, ok := r.reference().(*class)
		if !ok {
			r.fail(errors.New("a reference to no class"))
		}
		return c
	case tcClassDesc:
		c := &class{name: r.utf()}
		r.take(8)
		r.handles = append(r.handles, c)
		c.flags = r.byte()
		for range r.uint16() {
			f := classField{kind: r.byte(), name: r.utf()}
			if f.kind == 'L' || f.kind == '[' {
				if _, ok := r.value().(string); !ok {
					r.fail(errors.New("a field without a type"))
				}
			}
			if r.err != nil {
				return nil
			}
			c.fields = append(c.fields, f)
		}
		if r.byte() != tcEndBlock {
			r.fail(fmt.Errorf("the class %q is annotated", c.name))
		}
		c.super = r.class()
		return c
	default:
		r.fail(fmt.Errorf("0x%02x begins no class", t))
		return nil
	}
}

func (r *reader) fields(c *class, o object) {
	if c == nil || r.err != nil {
		return
	}
	r.fields(c.super, o)
	if c.flags&scSerializable == 0 {
		r.fail(fmt.Errorf("the class %q has a format of its own", c.name))
		return
	}
	for _, f := range c.fields {
		if r.err != nil {
			return
		}
		o[f.name] = r.field(f.kind)
	}
	if c.flags&scWriteMethod != 0 && r.byte() != tcEndBlock {
		r.fail(fmt.Errorf("the class %q writes more than its fields", c.name))
	}
}

func (r *reader) field(kind byte) any {
	switch kind {
	case 'B', 'Z':
		return int64(r.byte())
	case 'C', 'S':
		return int64(r.uint16())
	case 'I', 'F':
		return int64(r.uint32())
	case 'J', 'D':
		return int64(r.uint32())<<32 | int64(r.uint32())
	case 'L', '[':
		return r.value()
	default:
		r.fail(fmt.Errorf("a field of the type %q", kind))
		return nil
	}
}

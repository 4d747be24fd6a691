package serializer

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/twmb/avro"

	"github.com/sluice-io/sluice/flume"
)

// The schema of a file is the one of its first event: of the header flume.avro.schema.url, else of the header
// flume.avro.schema.literal, else of the setting schemaURL. It is read once for each file. An event of another schema, as
// its headers name it, belongs into another file; a body that is not one datum of the schema fits none. (Flume puts both
// into the file, which no reader can read then.)
const (
	urlHeader     = "flume.avro.schema.url"
	literalHeader = "flume.avro.schema.literal"
)

// schemaSize is the most bytes of a schema.
const schemaSize = 4 << 20

// A schema is that of one file.
type schema struct {
	from  schemaName
	text  string // without blanks
	shape *shape
}

// A schemaName says where a schema is, or what it is.
type schemaName struct {
	url     bool
	locator string
}

func (s *Serializer) schemaOf(e *flume.Event) schemaName {
	if v, ok := e.Headers.Get(urlHeader); ok {
		return schemaName{true, v}
	}
	if v, ok := e.Headers.Get(literalHeader); ok {
		return schemaName{false, v}
	}
	return schemaName{true, s.settings.SchemaURL}
}

func (s *Serializer) fitSchema(ctx context.Context, f *File, b flume.Batch) (int, error) {
	for i := range b {
		from := s.schemaOf(&b[i])
		if f.schema == nil {
			var err error
			if f.schema, err = s.load(ctx, from); err != nil {
				return 0, err
			}
		}
		if from != f.schema.from {
			return i, nil
		}
		if err := f.schema.shape.whole(b[i].Body); err != nil {
			if i > 0 {
				return i, nil
			}
			if !f.begun {
				f.schema = nil // the file has no first event yet
			}
			return 0, fmt.Errorf("%w: the body is not one Avro datum of its schema: %w", ErrUnfit, err)
		}
	}
	return len(b), nil
}

// avroData writes bodies as they are.
func (s *Serializer) avroData(f *File, b flume.Batch) error {
	if len(b) > 0 && !f.begun {
		if err := s.begin(f, f.schema.text); err != nil {
			return err
		}
	}
	for i := range b {
		s.block.data = append(s.block.data, b[i].Body...)
		if err := s.added(f); err != nil {
			return err
		}
	}
	return s.endBlock(f)
}

// load reads a schema. What cannot become right is ErrUnfit.
func (s *Serializer) load(ctx context.Context, from schemaName) (*schema, error) {
	text := []byte(from.locator)
	switch {
	case from.url && from.locator == "":
		return nil, fmt.Errorf("%w: it has neither header %s nor %s, and schemaURL is not set", ErrUnfit, urlHeader, literalHeader)
	case from.url:
		if err := readable(from.locator); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
		}
		var err error
		if text, err = s.fetch(ctx, from.locator); err != nil {
			return nil, fmt.Errorf("reading the schema %s: %w", from.locator, err)
		}
	}
	parsed, err := avro.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%w: reading its schema: %w", ErrUnfit, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, fmt.Errorf("%w: reading its schema: %w", ErrUnfit, err)
	}
	shape, err := shapes{}.of(parsed.Root(), "")
	if err != nil {
		return nil, fmt.Errorf("%w: reading its schema: %w", ErrUnfit, err)
	}
	return &schema{from, compact.String(), shape}, nil
}

// readable reports whether a schema can be read from a URL at all.
func readable(locator string) error {
	u, err := url.Parse(locator)
	if err != nil {
		return fmt.Errorf("reading the URL of the schema: %w", err)
	}
	switch u.Scheme {
	case "http", "https", "file":
		return nil
	}
	return fmt.Errorf("%q is no http, https or file URL; put the schema there, or into the header %s", locator, literalHeader)
}

func (s *Serializer) fetch(ctx context.Context, locator string) ([]byte, error) {
	u, err := url.Parse(locator)
	if err != nil {
		return nil, err
	}
	var from io.ReadCloser
	if u.Scheme == "file" {
		if from, err = os.Open(u.Path); err != nil {
			return nil, err
		}
	} else {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, locator, nil)
		if err != nil {
			return nil, err
		}
		answer, err := s.client.Do(req)
		if err != nil {
			return nil, err
		}
		from = answer.Body
		if answer.StatusCode != http.StatusOK {
			return nil, errors.Join(fmt.Errorf("the answer is %s", answer.Status), from.Close())
		}
	}
	defer from.Close()
	text, err := io.ReadAll(io.LimitReader(from, schemaSize+1))
	if err == nil && len(text) > schemaSize {
		err = fmt.Errorf("it has more than %d bytes", schemaSize)
	}
	return text, err
}

// A shape is what data of a schema look like, as far as going over them needs it.
type shape struct {
	kind   byte
	size   int      // of fixed, float and double; how many symbols an enum has
	fields []*shape // of a record; the branches of a union; the one of an array or map
}

const (
	kindNothing = iota // null
	kindBoolean
	kindLong
	kindFixed
	kindBytes
	kindEnum
	kindRecord
	kindArray
	kindMap
	kindUnion
)

// shapes are the named ones that have been met.
type shapes map[string]*shape

// of makes the shape of a schema that stands in a namespace.
func (named shapes) of(n *avro.SchemaNode, namespace string) (at *shape, err error) {
	at = &shape{}
	if n.Name != "" {
		namespace = n.Namespace
		name := n.Name
		if namespace != "" {
			name = namespace + "." + name
		}
		named[name] = at
	}
	add := func(inner *avro.SchemaNode) {
		if err == nil {
			var field *shape
			field, err = named.of(inner, namespace)
			at.fields = append(at.fields, field)
		}
	}
	switch n.Type {
	case "null":
	case "boolean":
		at.kind = kindBoolean
	case "int", "long":
		at.kind = kindLong
	case "float":
		at.kind, at.size = kindFixed, 4
	case "double":
		at.kind, at.size = kindFixed, 8
	case "bytes", "string":
		at.kind = kindBytes
	case "fixed":
		at.kind, at.size = kindFixed, n.Size
	case "enum":
		at.kind, at.size = kindEnum, len(n.Symbols)
	case "record", "error":
		at.kind = kindRecord
		for i := range n.Fields {
			add(&n.Fields[i].Type)
		}
	case "array":
		at.kind = kindArray
		add(n.Items)
	case "map":
		at.kind = kindMap
		add(n.Values)
	case "union":
		at.kind = kindUnion
		for i := range n.Branches {
			add(&n.Branches[i])
		}
	default:
		for _, name := range []string{n.Type, namespace + "." + n.Type} {
			if defined, ok := named[name]; ok {
				return defined, nil
			}
		}
		return nil, fmt.Errorf("there is no type %q", n.Type)
	}
	return at, err
}

var (
	errShort = errors.New("it ends in the middle")
	errDeep  = errors.New("it is nested too deeply")
	errMany  = errors.New("it has too many parts without bytes")
	errLong  = errors.New("a number is longer than Avro allows")
)

const (
	deepest = 1000    // how far data may be nested
	perByte = 64      // how many parts a datum may have for each of its bytes, for records and nulls have none,
	spare   = 1 << 20 // and how many more
)

// whole reports what keeps p from being one datum.
func (s *shape) whole(p []byte) error {
	parts := perByte*len(p) + spare
	rest, err := s.skip(p, 0, &parts)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow it", len(rest))
	}
	return err
}

// skip goes over a datum and returns what follows it. parts is how many more it may have.
func (s *shape) skip(p []byte, depth int, parts *int) (_ []byte, err error) {
	if depth > deepest {
		return nil, errDeep
	}
	if *parts--; *parts < 0 {
		return nil, errMany
	}
	switch s.kind {
	case kindNothing:
		return p, nil
	case kindBoolean:
		if len(p) == 0 {
			return nil, errShort
		}
		if p[0] > 1 {
			return nil, fmt.Errorf("%#x is no boolean", p[0])
		}
		return p[1:], nil
	case kindLong:
		_, p, err = long(p)
		return p, err
	case kindFixed:
		return past(p, int64(s.size))
	case kindBytes:
		n, p, err := long(p)
		if err != nil {
			return nil, err
		}
		return past(p, n)
	case kindEnum, kindUnion:
		n, p, err := long(p)
		if err != nil {
			return nil, err
		}
		of := s.size
		if s.kind == kindUnion {
			of = len(s.fields)
		}
		if n < 0 || n >= int64(of) {
			return nil, fmt.Errorf("%d is none of %d symbols or branches", n, of)
		}
		if s.kind == kindEnum {
			return p, nil
		}
		return s.fields[n].skip(p, depth+1, parts)
	case kindRecord:
		for _, f := range s.fields {
			if p, err = f.skip(p, depth+1, parts); err != nil {
				return nil, err
			}
		}
		return p, nil
	case kindArray, kindMap:
		return s.blocks(p, depth, parts)
	}
	panic("BUG: a shape of no kind")
}

// blocks goes over the blocks of an array or a map.
func (s *shape) blocks(p []byte, depth int, parts *int) ([]byte, error) {
	for {
		n, rest, err := long(p)
		if err != nil || n == 0 {
			return rest, err
		}
		if n < 0 {
			n = -n
			if _, rest, err = long(rest); err != nil { // its size in bytes
				return nil, err
			}
		}
		if n < 0 {
			return nil, errLong
		}
		p = rest
		for range n {
			before := len(p)
			if s.kind == kindMap {
				length, rest, err := long(p)
				if err != nil {
					return nil, err
				}
				if p, err = past(rest, length); err != nil {
					return nil, err
				}
			}
			if p, err = s.fields[0].skip(p, depth+1, parts); err != nil {
				return nil, err
			}
			if len(p) == before {
				break // elements without bytes, of which there may be any number
			}
		}
	}
}

func past(p []byte, n int64) ([]byte, error) {
	if n < 0 || n > int64(len(p)) {
		return nil, errShort
	}
	return p[n:], nil
}

// long reads an int or a long.
func long(p []byte) (int64, []byte, error) {
	n, size := binary.Varint(p)
	if size < 0 {
		return 0, nil, errLong
	}
	if size == 0 {
		return 0, nil, errShort
	}
	return n, p[size:], nil
}

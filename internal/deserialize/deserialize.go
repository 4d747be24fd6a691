// Package deserialize cuts files into the bodies of events, as Flume's event deserializers do.
//
//	LINE   lines of text, decoded and encoded anew          position: the byte behind the last line
//	AVRO   the records of an Avro container file, as they   position: the sync marker before the block that the next
//	       stand in it                                      record is in, so that a restart begins at that block
//	BLOB   the whole file, or so many bytes of it           position: the byte behind the last part
//
// A position is an offset in the content and can be taken up by Flume, and from it.
//
// How it fails: bytes that are no characters (with decodeErrorPolicy = FAIL), and a container that is damaged, are an
// error with the place, after everything before it. Memory is bounded by the longest line, block or blob that the settings
// allow, not by the file.
package deserialize

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrofile"
	"github.com/sluice-io/sluice/internal/charset"
)

// A Deserializer reads one file from front to back.
type Deserializer interface {
	// Read appends the bodies of further events to bodies, at most n, fewer where they are large. They are the caller's.
	// io.EOF: there are no more; then none is appended.
	Read(bodies [][]byte, n int) ([][]byte, error)
	// Headers are those of each event of the file.
	Headers() flume.Headers
	// Position is where reading is taken up again after all that Read has returned.
	Position() int64
	// Begin is where reading is taken up for the event i of those that the last Read has returned: a record of a container
	// has that of its block. Beyond them it is Position.
	Begin(i int) int64
}

// enough is how many bytes of bodies one Read returns, if they are not one event.
const enough = 1 << 20

// policy is what becomes of bytes that are no characters.
type policy string

const (
	fail    policy = "FAIL"
	replace policy = "REPLACE"
	ignore  policy = "IGNORE"
)

type schemaType string

const (
	hash    schemaType = "HASH"
	literal schemaType = "LITERAL"
)

// Settings choose a deserializer.
type Settings struct {
	name     string
	in, out  string
	onError  policy
	maxLine  int
	oldLine  int
	oldLines string
	schema   schemaType
	maxBlob  int

	kind          string
	inSet, outSet charset.Charset
}

// The deserializers and their classes.
const (
	line = "LINE"
	avro = "AVRO"
	blob = "BLOB"
)

func kindOf(name string) string {
	switch upper := strings.ToUpper(name); upper {
	case line, avro, blob:
		return upper
	}
	switch strings.TrimSuffix(name, "$Builder") {
	case "org.apache.flume.serialization.LineDeserializer":
		return line
	case "org.apache.flume.serialization.AvroEventDeserializer":
		return avro
	case "org.apache.flume.sink.solr.morphline.BlobDeserializer":
		return blob
	}
	return ""
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.name, "deserializer", line, "What cuts files into events: LINE (lines of text), AVRO (records of Avro container files), BLOB (whole files), or the class of one of them.").Bound(func() error {
		if s.kind = kindOf(s.name); s.kind == "" {
			return fmt.Errorf("%q is not a deserializer that Sluice has, and a Java class cannot be run; there are LINE, AVRO and BLOB", s.name)
		}
		return nil
	})
	d.String(&s.in, "inputCharset", "UTF-8", "The encoding of lines of text: "+charset.Names+".").Bound(func() error { return find(&s.inSet, s.in) })
	conf.Choice(d, &s.onError, "decodeErrorPolicy", fail, "What becomes of bytes that are no characters: FAIL sets the file aside there, REPLACE puts U+FFFD in their place, IGNORE drops them.", fail, replace, ignore)
	max := d.Int(&s.maxLine, "deserializer.maxLineLength", 2048, "LINE: how many characters a line has at most, those beyond U+FFFF counted twice; what is beyond becomes the next event.").AtLeast(1)
	d.String(&s.out, "deserializer.outputCharset", "UTF-8", "LINE: the encoding of bodies: "+charset.Names+".").Bound(func() error { return find(&s.outSet, s.out) })
	conf.Choice(d, &s.schema, "deserializer.schemaType", hash, "AVRO: whether a header has the fingerprint of the schema (flume.avro.schema.hash) or the whole of it (flume.avro.schema.literal).", hash, literal)
	d.Int(&s.maxBlob, "deserializer.maxBlobLength", 100000000, "BLOB: how many bytes an event has at most; what is beyond becomes the next event. That much memory is taken.").AtLeast(1)
	d.Int(&s.oldLine, "bufferMaxLineLength", 0, "The former name of deserializer.maxLineLength, which wins over it where the deserializer is LINE.").AtLeast(0).Bound(func() error {
		if s.oldLine > 0 {
			return conf.Warn("bufferMaxLineLength", fmt.Errorf("is the former name of %s", max.Key))
		}
		return nil
	})
	d.String(&s.oldLines, "bufferMaxLines", "", "Has no effect, as in Flume.")
	d.Check(func() error {
		if s.oldLine > 0 && s.kind == line {
			s.maxLine = s.oldLine
		}
		return nil
	})
}

func find(c *charset.Charset, name string) error {
	found, ok := charset.Find(name)
	if !ok {
		return fmt.Errorf("%q is not an encoding that Sluice knows; there are %s", name, charset.Names)
	}
	*c = found
	return nil
}

// String is what decides whether a file can be read: two that have the same fail at the same place.
func (s *Settings) String() string { return s.kind + " " + s.in + " " + string(s.onError) }

// Open reads in from a position on: 0, or one that a Deserializer has given.
func (s *Settings) Open(in io.ReaderAt, position int64) (Deserializer, error) {
	switch s.kind {
	case avro:
		return newRecords(in, position, s.schema)
	case blob:
		return &parts{in: in, at: position, max: s.maxBlob}, nil
	default:
		return newLines(in, position, s)
	}
}

// parts are the whole content, or parts of it that are not too long.
type parts struct {
	in  io.ReaderAt
	at  int64
	max int

	begins []int64 // of the parts of one Read
}

func (p *parts) Headers() flume.Headers { return nil }
func (p *parts) Position() int64        { return p.at }
func (p *parts) Begin(i int) int64      { return beginOf(p.begins, i, p.at) }

func (p *parts) Read(bodies [][]byte, n int) ([][]byte, error) {
	p.begins = p.begins[:0]
	for size := 0; n > 0 && size < enough; n-- {
		body, err := p.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return bodies, err
		}
		if len(body) == 0 {
			if size == 0 {
				return bodies, io.EOF
			}
			break
		}
		bodies = append(bodies, body)
		p.begins = append(p.begins, p.at)
		size += len(body)
		p.at += int64(len(body))
	}
	return bodies, nil
}

func beginOf(begins []int64, i int, position int64) int64 {
	if i < len(begins) {
		return begins[i]
	}
	return position
}

func (p *parts) next() (body []byte, err error) {
	for size := 64 << 10; err == nil && len(body) < p.max; size *= 2 {
		have := len(body)
		body = append(body, make([]byte, min(size, p.max-have))...)
		var m int
		m, err = p.in.ReadAt(body[have:], p.at+int64(have))
		body = body[:have+m]
	}
	return body[:len(body):len(body)], err
}

func damaged(format string, args ...any) error {
	return avrofile.Damaged(fmt.Errorf(format, args...))
}

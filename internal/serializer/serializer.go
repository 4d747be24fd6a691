// Package serializer makes the bytes of files out of events, as Flume's event serializers do, for the sinks that write
// files.
//
//	Settings ─▶ New ─▶ Serializer, one for a sink          Fit    how many of a batch belong into this file
//	                   File, a few bytes for each file     Begin  what a file starts with
//	                                                       Write  events; a reader sees all of them afterwards
//
// A Serializer holds buffers and encoders but no event: between two calls nothing waits. Its calls must not overlap. What
// it remembers of a file is in the File, so that a sink can have thousands open. No format ends with anything of its own:
// a file is whole after every Write that returned nil. After a Write that failed the sink cuts the file to where the last
// one ended; if that is its beginning, it goes on with a new File.
//
// The formats; text is passed on as the bytes that came, and nothing in it is escaped:
//
//	TEXT             body, and \n unless appendNewline = false
//	HEADER_AND_TEXT  {k=v, k2=v2}, a blank, body, and \n unless appendNewline = false
//	COLUMNS          not of Flume: columns of headers and the body, as above or as CSV (columns.go)
//	AVRO_EVENT       an Avro object container of records {headers: map of string, body: bytes} (container.go)
//	AVRO             an Avro object container of the bodies, which are data of a schema of the user's (datum.go)
//
// Headers stand in the order of a Java hash map of 16 slots, which is what Flume's files mostly have (order.go).
package serializer

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrofile"
)

// A Format is what a file is made of.
type Format string

// The formats by their names in a configuration. Columns and Avro have a class name only in Flume.
const (
	Text          Format = "TEXT"
	HeaderAndText Format = "HEADER_AND_TEXT"
	Columns       Format = "COLUMNS"
	AvroEvent     Format = "AVRO_EVENT"
	Avro          Format = "AVRO"
)

const formatNames = "TEXT, HEADER_AND_TEXT, COLUMNS, AVRO_EVENT, AVRO"

// find knows a format by its name, in any case, or by a class name of Flume's or, of Columns, the users'.
func find(name string) (Format, bool) {
	for _, f := range []Format{Text, HeaderAndText, Columns, AvroEvent, Avro} {
		if strings.EqualFold(name, string(f)) {
			return f, true
		}
	}
	const flumes = "org.apache.flume.serialization."
	switch strings.TrimSuffix(name, "$Builder") {
	case flumes + "BodyTextEventSerializer":
		return Text, true
	case flumes + "HeaderAndBodyTextEventSerializer":
		return HeaderAndText, true
	case flumes + "FlumeEventAvroEventSerializer":
		return AvroEvent, true
	case "org.apache.flume.sink.hdfs.AvroEventSerializer":
		return Avro, true
	case "com.adaltas.flume.serialization.HeaderAndBodyTextEventSerializer":
		return Columns, true
	}
	return "", false
}

// Settings are what a serializer can be told. Declare them under the prefix that the sink has for them.
type Settings struct {
	Name         string
	Newline      bool
	SyncInterval int
	Codec        Codec
	SchemaURL    string
	Columns      []string
	Layout       layout
	Delimiter    string

	format Format
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	name := d.String(&s.Name, "serializer", string(Text),
		"What the files are made of: TEXT (bodies, a line each), HEADER_AND_TEXT, COLUMNS (chosen headers and the body), AVRO_EVENT (an Avro container of whole events), "+
			"AVRO (an Avro container of bodies, which are Avro data already), or Flume's class name.")
	name.Bound(func() (err error) {
		var ok bool
		if s.format, ok = find(s.Name); !ok {
			err = fmt.Errorf("%q is not a serializer; there are %s and Flume's class names of them", s.Name, formatNames)
		}
		return err
	})
	d.Bool(&s.Newline, "serializer.appendNewline", true, "Whether a newline follows each event, in the formats of text.")
	d.Int(&s.SyncInterval, "serializer.syncIntervalBytes", 2_048_000, "AVRO_EVENT, AVRO: how many bytes a block of a file has, before compression; a batch ends it too.").
		AtLeast(32).AtMost(1 << 30)
	conf.Choice(d, &s.Codec, "serializer.compressionCodec", Null, "AVRO_EVENT, AVRO: how blocks are compressed.",
		Null, Deflate, Snappy, Bzip2, XZ, Zstandard).Lenient()
	d.String(&s.SchemaURL, "serializer.schemaURL", "", "AVRO: where the schema is, as an http, https or file URL, of events that have neither header "+urlHeader+" nor "+literalHeader+".")
	d.Strings(&s.Columns, "serializer.columns", "", "COLUMNS: the names of the headers, in their order; without it all.")
	conf.Choice(d, &s.Layout, "serializer.format", native, "COLUMNS: NATIVE is {k=v} and the body; CSV is values in double quotes, the body last.", native, csv)
	d.String(&s.Delimiter, "serializer.delimiter", ",", "COLUMNS: the character between the values of CSV; only the first one counts.")
	prefix := name.Key
	d.Check(func() error { return errors.Join(s.idle(prefix)...) })
	d.Check(func() error {
		if s.SchemaURL == "" {
			return nil
		}
		if err := readable(s.SchemaURL); err != nil {
			return conf.At(prefix+".schemaURL", err)
		}
		return nil
	})
}

// idle warns of settings that the format has no use for.
func (s *Settings) idle(prefix string) (problems []error) {
	warn := func(set bool, key string, formats ...Format) {
		for _, f := range formats {
			if f == s.format {
				return
			}
		}
		if set {
			problems = append(problems, conf.Warn(prefix+"."+key, fmt.Errorf("has no effect with the serializer %s", s.format)))
		}
	}
	warn(!s.Newline, "appendNewline", Text, HeaderAndText, Columns)
	warn(s.Codec != Null, "compressionCodec", AvroEvent, Avro)
	warn(s.SchemaURL != "", "schemaURL", Avro)
	warn(len(s.Columns) > 0, "columns", Columns)
	warn(s.Layout != native, "format", Columns)
	warn(s.Delimiter != ",", "delimiter", Columns)
	return problems
}

// Reopens reports whether a file that another process has written can be gone on with.
func (s *Settings) Reopens() bool { return s.format != AvroEvent && s.format != Avro }

// ErrUnfit is wrapped where an event can never be written in this format.
var ErrUnfit = errors.New("the event cannot be written")

// A File is what is remembered of one file. Its zero value is one of which nothing is written yet.
type File struct {
	sync   avrofile.Sync
	begun  bool // the sync marker is chosen
	schema *schema
}

// A Serializer writes the events of one sink's files.
type Serializer struct {
	settings *Settings
	out      *bufio.Writer
	headers  flume.Headers // scratch
	slots    []uint32      // scratch of order
	block    block
	client   http.Client
}

const (
	outBuffer      = 64 << 10
	keptBlock      = 4 << 20 // a larger buffer is given back after use
	schemaPatience = 30 * time.Second
)

// New makes the serializer of a sink. The settings have been read.
func (s *Settings) New() *Serializer {
	return &Serializer{settings: s, out: bufio.NewWriterSize(io.Discard, outBuffer), client: http.Client{Timeout: schemaPatience}}
}

// Fit returns how many events of b, from the first one on, belong into this file. None, without an error, means that the
// first one needs a new file. An error is about the first event; if it wraps ErrUnfit no file can have it.
func (s *Serializer) Fit(ctx context.Context, f *File, b flume.Batch) (int, error) {
	if s.settings.format != Avro {
		return len(b), nil
	}
	return s.fitSchema(ctx, f, b)
}

// Begin writes what a file starts with. Of a container whose schema comes with its first event, Write does it.
func (s *Serializer) Begin(w io.Writer, f *File) error {
	if s.settings.format != AvroEvent {
		return nil
	}
	return s.flush(w, func() error { return s.begin(f, eventSchema) })
}

// Write writes events that Fit has let in.
func (s *Serializer) Write(w io.Writer, f *File, b flume.Batch) error {
	return s.flush(w, func() error {
		switch s.settings.format {
		case Text:
			return s.text(b)
		case HeaderAndText:
			return s.headerAndText(b)
		case Columns:
			return s.columns(b)
		case AvroEvent:
			return s.avroEvents(f, b)
		case Avro:
			return s.avroData(f, b)
		}
		panic("BUG: " + string(s.settings.format) + " is no format")
	})
}

// flush lets write write to w.
func (s *Serializer) flush(w io.Writer, write func() error) error {
	s.out.Reset(w)
	err := write()
	if err == nil {
		err = s.out.Flush()
	}
	s.out.Reset(io.Discard)
	clear(s.headers[:cap(s.headers)]) // they hold the batch's text
	return err
}

func (s *Serializer) begin(f *File, schema string) error {
	if !f.begun {
		if _, err := rand.Read(f.sync[:]); err != nil {
			return fmt.Errorf("making a sync marker: %w", err)
		}
		f.begun = true
	}
	_, err := s.out.Write(avrofile.AppendHead(nil, f.sync, avrofile.Schema, schema, avrofile.Codec, string(s.settings.Codec)))
	return err
}

//go:build interop

package compat

import (
	"bytes"
	"cmp"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"github.com/ulikunitz/xz"

	"github.com/sluice-io/sluice/flume"
)

// file_roll with every serializer, with random settings, over random events.
func TestSerializers(t *testing.T) {
	r := stage.Rand(t)
	const wave = 100
	left := stage.Count(800, 100)
	for n := 0; left > 0; n++ {
		var lanes []lane
		for range min(left, wave) {
			lanes = append(lanes, fileLane(r, len(lanes)))
		}
		left -= len(lanes)
		t.Run(fmt.Sprintf("wave %d", n), func(t *testing.T) { compare(t, 0, lanes) })
	}
}

const flumeSerializers = "org.apache.flume.serialization."

func fileLane(r *rand.Rand, n int) lane {
	var conf []string
	set := func(key, value string) { conf = append(conf, "sink."+key+" = "+escape(value)) }
	set("type", pick(r, "file_roll", "FILE_ROLL", "org.apache.flume.sink.RollingFileSink"))
	conf = append(conf, "sink.sink.directory = {dir}")
	set("sink.rollInterval", pick(r, "0", "3600", "-1"))
	if r.IntN(2) == 0 {
		set("sink.batchSize", fmt.Sprint(1+r.IntN(50)))
	}
	if r.IntN(3) == 0 {
		set("sink.pathManager", pick(r, "default", "DEFAULT", "rolltime", "org.apache.flume.formatter.output.RollTimePathManager$Builder"))
	}
	if r.IntN(3) == 0 {
		set("sink.pathManager.prefix", pick(r, "app-", "a.b", "ž", "with blank"))
	}
	if r.IntN(3) == 0 {
		set("sink.pathManager.extension", pick(r, "log", "tar.gz"))
	}
	b := events(r, 1+r.IntN(40), r.IntN(2) == 0)
	l := lane{outs: 1, read: wholeFile}
	kind := []string{"TEXT", "HEADER_AND_TEXT", "AVRO_EVENT", "AVRO"}[n%4]
	l.name = kind
	newline := "true"
	if kind == "TEXT" || kind == "HEADER_AND_TEXT" {
		if r.IntN(3) == 0 {
			newline = pick(r, "true", "false", "no")
			set("sink.serializer.appendNewline", newline)
		}
	}
	switch kind {
	case "TEXT":
		if r.IntN(2) == 0 {
			set("sink.serializer", pick(r, "TEXT", "text", flumeSerializers+"BodyTextEventSerializer$Builder"))
		}
	case "HEADER_AND_TEXT":
		set("sink.serializer", pick(r, "HEADER_AND_TEXT", "header_and_text", flumeSerializers+"HeaderAndBodyTextEventSerializer$Builder"))
		l.read = sortedHeaders
		if newline != "true" {
			b = b[:1] // of several the headers cannot be told from the bodies
		}
		for i := range b {
			b[i].Body = bytes.ReplaceAll(bytes.ReplaceAll(b[i].Body, []byte("\n"), []byte("¶")), []byte("}"), []byte(")"))
			for j := range b[i].Headers {
				h := &b[i].Headers[j]
				h.Value = strings.NewReplacer("\n", "¶", ",", ";", "}", ")").Replace(h.Value)
			}
		}
	case "AVRO_EVENT":
		set("sink.serializer", pick(r, "AVRO_EVENT", "avro_event", flumeSerializers+"FlumeEventAvroEventSerializer$Builder"))
		containerSettings(r, set)
		l.read = containerEvents
	case "AVRO":
		set("sink.serializer", "org.apache.flume.sink.hdfs.AvroEventSerializer$Builder")
		containerSettings(r, set)
		b = data(r)
		l.read = containerData
	}
	l.conf, l.input = strings.Join(conf, "\n"), batchText(b)
	l.feed = sendAvro(b, 1+r.IntN(len(b)))
	return l
}

func containerSettings(r *rand.Rand, set func(key, value string)) {
	if r.IntN(4) > 0 {
		set("sink.serializer.compressionCodec", pick(r, "null", "deflate", "snappy", "bzip2", "xz"))
	}
	if r.IntN(3) == 0 {
		set("sink.serializer.syncIntervalBytes", pick(r, "32", "1000", "100000"))
	}
}

// data are Avro data of one schema, which is written as Java writes it.
func data(r *rand.Rand) flume.Batch {
	schema := pick(r, `"string"`, `{"type":"record","name":"R","namespace":"a.b","fields":[{"name":"n","type":"long"},{"name":"s","type":["null","string"],"default":null}]}`,
		`{"type":"array","items":{"type":"enum","name":"E","symbols":["A","B"]}}`, `{"type":"map","values":"bytes"}`)
	parsed := avro.MustParse(schema)
	b := make(flume.Batch, 1+r.IntN(30))
	for i := range b {
		var v any
		switch schema[1] {
		case 's':
			v = phrase(r, 5)
		default:
			switch {
			case strings.Contains(schema, "record"):
				v = map[string]any{"n": r.Int64(), "s": phrase(r, 3)}
			case strings.Contains(schema, "array"):
				v = make([]string, r.IntN(4))
				for j := range v.([]string) {
					v.([]string)[j] = pick(r, "A", "B")
				}
			default:
				v = map[string][]byte{phrase(r, 1): binary(r, r.IntN(20))}
			}
		}
		body, err := parsed.Encode(v)
		if err != nil {
			panic(err)
		}
		b[i] = flume.Event{Body: body, Headers: headers(r)}
		b[i].Headers.Set("flume.avro.schema.literal", schema)
	}
	return b
}

var (
	millis  = regexp.MustCompile(`\d{13}`)
	seconds = regexp.MustCompile(`\d{14}`)
	ordinal = regexp.MustCompile(`-(\d+)(\.|$)`)
)

// rolled returns the files of a sink that are not empty, in their order. Flume makes empty ones while no events come.
func rolled(p place) (names []string, contents [][]byte, err error) {
	all, err := filepath.Glob(filepath.Join(p.dir, "*"))
	if err != nil {
		return nil, nil, err
	}
	position := func(path string) int {
		m := ordinal.FindStringSubmatch(filepath.Base(path))
		n, _ := strconv.Atoi(append(m, "", "")[1])
		return n
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(position(a), position(b)) })
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		if len(text) > 0 {
			names = append(names, millis.ReplaceAllString(seconds.ReplaceAllString(filepath.Base(path), "<second>"), "<ms>"))
			contents = append(contents, text)
		}
	}
	return names, contents, nil
}

func wholeFile(p place) ([]string, error) {
	names, contents, err := rolled(p)
	for _, text := range contents {
		names = append(names, strconv.Quote(string(text)))
	}
	return names, err
}

// sortedHeaders are the lines of HEADER_AND_TEXT with their headers in order.
func sortedHeaders(p place) ([]string, error) {
	lines, contents, err := rolled(p)
	for _, text := range contents {
		for line := range strings.Lines(string(text)) {
			headers, body, ok := strings.Cut(strings.TrimPrefix(line, "{"), "} ")
			if !ok {
				return nil, fmt.Errorf("%q is not headers and text", line)
			}
			parts := strings.Split(headers, ", ")
			slices.Sort(parts)
			lines = append(lines, fmt.Sprintf("%q %q", parts, body))
		}
	}
	return lines, err
}

// A reading codec is one that the library does not bring.
type codec struct {
	name string
	open func(io.Reader) (io.Reader, error)
}

func (c codec) Name() string                    { return c.name }
func (c codec) Close() error                    { return nil }
func (c codec) Compress([]byte) ([]byte, error) { return nil, errors.New("only for reading") }
func (c codec) Decompress(p []byte) ([]byte, error) {
	r, err := c.open(bytes.NewReader(p))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// containers reads the containers of a sink, and what is said at their beginning.
func containers(p place, each func(r *ocf.Reader) (string, error)) ([]string, error) {
	lines, contents, err := rolled(p)
	if err != nil {
		return nil, err
	}
	for _, text := range contents {
		r, err := ocf.NewReader(bytes.NewReader(text),
			ocf.WithCodec(codec{"bzip2", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }}),
			ocf.WithCodec(codec{"xz", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }}))
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("schema %s, codec %s", r.Metadata()["avro.schema"], r.Metadata()["avro.codec"]))
		for {
			line, err := each(r)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func containerEvents(p place) ([]string, error) {
	return containers(p, func(r *ocf.Reader) (string, error) {
		var x struct {
			Headers map[string]string `avro:"headers"`
			Body    []byte            `avro:"body"`
		}
		if err := r.Decode(&x); err != nil {
			return "", err
		}
		e := flume.Event{Body: x.Body}
		for k, v := range x.Headers {
			e.Headers.Set(k, v)
		}
		return text(e, span{}), nil
	})
}

func containerData(p place) ([]string, error) {
	return containers(p, func(r *ocf.Reader) (string, error) {
		var x any
		if err := r.Decode(&x); err != nil {
			return "", err
		}
		return fmt.Sprintf("%q", fmt.Sprint(x)), nil
	})
}

// What differs on purpose, and what Sluice does there.
func TestSerializerRows(t *testing.T) {
	one := flume.Batch{{Headers: flume.Headers{{Key: "k", Value: "v"}}, Body: []byte("one")}}
	roll := "sink.type = file_roll\nsink.sink.directory = {dir}\nsink.sink.rollInterval = 0\n"
	literal := func(schema, body string) flume.Event {
		return flume.Event{Headers: flume.Headers{{Key: "flume.avro.schema.literal", Value: schema}}, Body: []byte(body)}
	}
	want := func(lines ...string) func([]string) error {
		return func(got []string) error {
			if !slices.Equal(got, lines) {
				return fmt.Errorf("not %q", lines)
			}
			return nil
		}
	}
	const avro = "sink.sink.serializer = org.apache.flume.sink.hdfs.AvroEventSerializer$Builder\n"
	compare(t, 0, []lane{
		{name: "idle", outs: 1, conf: strings.Replace(roll, "rollInterval = 0", "rollInterval = 1", 1), feed: sendAvro(one, 1),
			read: func(p place) ([]string, error) {
				files, err := os.ReadDir(p.dir)
				return []string{fmt.Sprint(len(files))}, err
			},
			row: "`file_roll`: while no events come", want: want("OK", "1")},
		{name: "unknown codec", outs: 1, conf: roll + "sink.sink.serializer = AVRO_EVENT\nsink.sink.serializer.compressionCodec = lzo\n",
			feed: sendAvro(one, 1), read: containerEvents, row: "serializers `AVRO_EVENT`, Avro: unknown `compressionCodec`"},
		{name: "schema with blanks", outs: 1, conf: roll + avro, feed: sendAvro(flume.Batch{literal(`{"name" : "E", "symbols" : ["A"], "type" : "enum"}`, "\x00")}, 1),
			read: containerData, row: "serializer Avro: text of the schema",
			want: want("OK", "<ms>-1", `schema {"name":"E","symbols":["A"],"type":"enum"}, codec null`, `"A"`)},
		{name: "two schemas", outs: 1, conf: roll + avro, feed: sendAvro(flume.Batch{literal(`"int"`, "\x02"), literal(`"null"`, ""), literal(`"int"`, "\x04")}, 3),
			read: func(p place) ([]string, error) {
				lines, err := containerData(p)
				if err != nil {
					lines = []string{err.Error()}
				}
				return lines, nil
			}, row: "serializer Avro: an event of another schema"},
	})
}

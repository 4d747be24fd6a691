package serializer

import (
	"bytes"
	"compress/bzip2"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"github.com/ulikunitz/xz"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func open(t testing.TB, lines ...string) *Serializer {
	t.Helper()
	s, problems := read(t, lines...)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s.New()
}

func read(t testing.TB, lines ...string) (*Settings, conf.Problems) {
	t.Helper()
	s := new(Settings)
	_, problems := conf.Bind(s, flumetest.Section(t, lines...))
	return s, problems
}

func made(body string, pairs ...string) flume.Event {
	e := flume.Event{Body: []byte(body)}
	for i := 0; i < len(pairs); i += 2 {
		e.Headers = append(e.Headers, flume.Header{Key: pairs[i], Value: pairs[i+1]})
	}
	return e
}

// goldenEvents are those of which Flume has made the files in testdata, in batches as it took them.
func goldenEvents(t testing.TB) flume.Batch {
	t.Helper()
	text, err := os.ReadFile("testdata/events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var b flume.Batch
	for line := range bytes.Lines(text) {
		var x struct {
			Headers json.RawMessage
			Text    *string `json:"body_text"`
			Bytes   []byte  `json:"body_b64"`
		}
		if err := json.Unmarshal(line, &x); err != nil {
			t.Fatal(err)
		}
		e := flume.Event{Body: x.Bytes}
		if x.Text != nil {
			e.Body = []byte(*x.Text)
		}
		d := json.NewDecoder(bytes.NewReader(x.Headers))
		d.Token()
		for d.More() {
			key, _ := d.Token()
			value, _ := d.Token()
			e.Headers = append(e.Headers, flume.Header{Key: key.(string), Value: value.(string)})
		}
		b = append(b, e)
	}
	return b
}

func write(t testing.TB, s *Serializer, batches ...flume.Batch) []byte {
	t.Helper()
	var out bytes.Buffer
	var f File
	if err := s.Begin(&out, &f); err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if n, err := s.Fit(t.Context(), &f, b); n != len(b) || err != nil {
			t.Fatalf("%d of %d events fit: %v", n, len(b), err)
		}
		if err := s.Write(&out, &f, b); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// What Flume has written of the same events.
func TestGolden(t *testing.T) {
	b := goldenEvents(t)
	for name, lines := range map[string][]string{
		"TEXT":            {"serializer = text"},
		"TEXT-no-newline": {"serializer.appendNewline = false"},
		"HEADER_AND_TEXT": {"serializer = org.apache.flume.serialization.HeaderAndBodyTextEventSerializer$Builder"},
		"AVRO_EVENT":      {"serializer = avro_event"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, lines...)
			got := write(t, s, b)
			if name == "AVRO_EVENT" { // Flume took the events one batch at a time
				mark := want[169:185]
				want = bytes.ReplaceAll(want, mark, make([]byte, syncSize))
				for n := 1; n <= len(b); n++ {
					var batches []flume.Batch
					for part := range slices.Chunk(b, n) {
						batches = append(batches, part)
					}
					got = write(t, s, batches...)
					got = bytes.ReplaceAll(got, got[169:185], make([]byte, syncSize))
					if bytes.Equal(got, want) {
						return
					}
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("wrote\n%q\nFlume has\n%q", got, want)
			}
		})
	}
}

func TestText(t *testing.T) {
	b := flume.Batch{made("one", "a", "1", "b", `say "x"`), made(`"two"`, "b", ""), made("")}
	const adaltas = "serializer = com.adaltas.flume.serialization.HeaderAndBodyTextEventSerializer$Builder"
	for _, x := range []struct {
		lines []string
		want  string
	}{
		{nil, "one\n\"two\"\n\n"},
		{[]string{"serializer = TEXT", "serializer.appendNewline = false"}, `one"two"`},
		{[]string{"serializer = HEADER_AND_TEXT"}, "{a=1, b=say \"x\"} one\n{b=} \"two\"\n{} \n"},
		{[]string{"serializer = HEADER_AND_TEXT", "serializer.appendNewline = false"}, "{a=1, b=say \"x\"} one{b=} \"two\"{} "},
		{[]string{adaltas}, "{a=1, b=say \"x\"} one\n{b=} \"two\"\n{} \n"},
		{[]string{adaltas, "serializer.columns = b  a"}, "{b=say \"x\", a=1} one\n{b=, a=null} \"two\"\n{b=null, a=null} \n"},
		{[]string{adaltas, "serializer.columns = b a", "serializer.format = CSV"}, "\"say \"\"x\"\"\",\"1\",\"one\"\n\"\",,\"\"\"two\"\"\"\n,,\"\"\n"},
		{[]string{"serializer = columns", "serializer.format = CSV", "serializer.delimiter = ;|", "serializer.appendNewline = false"},
			"\"1\";\"say \"\"x\"\"\";\"one\"\n\"\";\"\"\"two\"\"\"\n\"\"\n"},
	} {
		if got := string(write(t, open(t, x.lines...), b)); got != x.want {
			t.Errorf("%q: wrote %q, want %q", x.lines, got, x.want)
		}
	}
}

// The order of Java's map, as HashMap of OpenJDK 17 has it.
func TestOrder(t *testing.T) {
	var s Serializer
	for in, want := range map[string]string{
		"timestamp host topic key basename file Severity Facility": "basename file host topic Severity Facility key timestamp",
		"a":       "a",
		"":        "",
		"é 鍵 😀 a": "a 鍵 😀 é",
		"k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 k12 k13":                                                            "k1 k2 k3 k4 k5 k11 k6 k10 k7 k13 k8 k12 k9",
		"x1 y2 z3 aa bB Aa BB AaAa BBBB AaBB BBAa host Host HOST ts t1 t2 t3 t4 t5 t6 t7 t8 t9 t10 t11 t12 t13": "Aa BB t4 t5 t6 t7 t8 t9 HOST t10 t12 t11 t13 host y2 AaAa BBBB AaBB BBAa aa bB Host x1 z3 t1 t2 ts t3",
	} {
		var h flume.Headers
		for _, key := range strings.Fields(in) {
			h = append(h, flume.Header{Key: key})
		}
		var got []string
		for _, x := range s.order(h) {
			got = append(got, x.Key)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q is gone through as %q, want %q", in, got, want)
		}
	}
}

// codecs for the reader that the library does not bring.
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

func reader(t testing.TB, file []byte) *ocf.Reader {
	t.Helper()
	r, err := ocf.NewReader(bytes.NewReader(file),
		ocf.WithCodec(codec{"bzip2", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }}),
		ocf.WithCodec(codec{"xz", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }}))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readEvents(t testing.TB, file []byte) flume.Batch {
	t.Helper()
	r := reader(t, file)
	var b flume.Batch
	for {
		var x struct {
			Headers map[string]string `avro:"headers"`
			Body    []byte            `avro:"body"`
		}
		err := r.Decode(&x)
		if errors.Is(err, io.EOF) {
			return b
		}
		if err != nil {
			t.Fatal(err)
		}
		e := flume.Event{Body: x.Body}
		for k, v := range x.Headers {
			e.Headers = append(e.Headers, flume.Header{Key: k, Value: v})
		}
		slices.SortFunc(e.Headers, func(a, b flume.Header) int { return strings.Compare(a.Key, b.Key) })
		b = append(b, e)
	}
}

func same(a, b flume.Batch) bool {
	return slices.EqualFunc(a, b, func(a, b flume.Event) bool {
		return bytes.Equal(a.Body, b.Body) && slices.Equal(a.Headers, b.Headers)
	})
}

// Every codec can be read by another implementation, also when buffers are used again.
func TestContainer(t *testing.T) {
	var b flume.Batch
	for i := range 300 {
		b = append(b, made(strings.Repeat(fmt.Sprint("body ", i), i), "a", fmt.Sprint(i), "b", "x"))
	}
	for _, name := range []string{"null", "deflate", "snappy", "bzip2", "xz", "zstandard"} {
		for _, interval := range []int{32, 100_000, 2_048_000} {
			t.Run(fmt.Sprint(name, interval), func(t *testing.T) {
				if interval == 32 && name == "xz" {
					b = b[:10] // 8 MiB for each block
				}
				s := open(t, "serializer = AVRO_EVENT", "serializer.compressionCodec = "+name, fmt.Sprint("serializer.syncIntervalBytes = ", interval))
				for range 2 {
					file := write(t, s, b[:7], nil, b[7:])
					if got := readEvents(t, file); !same(got, b) {
						t.Fatalf("read %d events that are not the %d written", len(got), len(b))
					}
					if got := string(reader(t, file).Metadata()["avro.codec"]); got != name {
						t.Errorf("the codec is said to be %q", got)
					}
				}
			})
		}
	}
}

func FuzzContainer(f *testing.F) {
	f.Add("key", "value", []byte("body"), 100, true)
	f.Add("", "", []byte{}, 32, false)
	f.Fuzz(func(t *testing.T, key, value string, body []byte, interval int, compress bool) {
		interval = 32 + max(0, interval)%100_000
		settings := Settings{format: AvroEvent, Codec: Null, SyncInterval: interval}
		if compress {
			settings.Codec = Snappy
		}
		s := settings.New()
		b := flume.Batch{made(string(body), key, value), made(value), made(key, value+"x", string(body[:min(len(body), 50)]))}
		for i := range b { // the reader takes text alone
			for j := range b[i].Headers {
				h := &b[i].Headers[j]
				h.Key, h.Value = strings.ToValidUTF8(h.Key, "?"), strings.ToValidUTF8(h.Value, "?")
			}
		}
		if got := readEvents(t, write(t, s, b[:1], b[1:])); !same(got, b) {
			t.Errorf("read %q of %q", got, b)
		}
	})
}

const point = `{"type": "record", "name": "Point", "namespace": "n", "fields": [
	{"name": "x", "type": "int"}, {"name": "tags", "type": {"type": "map", "values": ["null", "string"]}},
	{"name": "next", "type": ["null", "Point"]}]}`

func datum(t testing.TB, schema string, v any) string {
	t.Helper()
	p, err := avro.MustParse(schema).Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func TestData(t *testing.T) {
	one := datum(t, point, map[string]any{"x": 1, "tags": map[string]any{"a": "b", "c": nil}, "next": nil})
	two := datum(t, point, map[string]any{"x": 2, "tags": map[string]any{}, "next": map[string]any{"x": 3, "tags": map[string]any{}, "next": nil}})
	s := open(t, "serializer = org.apache.flume.sink.hdfs.AvroEventSerializer$Builder", "serializer.compressionCodec = deflate")
	literal := []string{literalHeader, point}
	file := write(t, s, nil, flume.Batch{made(one, literal...), made(two, literal...)}, flume.Batch{made(one, literal...)})
	r := reader(t, file)
	if got := string(r.Metadata()["avro.schema"]); strings.ContainsAny(got, " \n") || !strings.Contains(got, `"name":"Point"`) {
		t.Errorf("the schema is %s", got)
	}
	var xs []int32
	for {
		var v map[string]any
		err := r.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		xs = append(xs, v["x"].(int32))
	}
	if !slices.Equal(xs, []int32{1, 2, 1}) {
		t.Errorf("read %v", xs)
	}

	other := []string{literalHeader, `"string"`}
	var f File
	for _, x := range []struct {
		b    flume.Batch
		fit  int
		want string
	}{
		{flume.Batch{made("none")}, 0, "it has neither header flume.avro.schema.url nor flume.avro.schema.literal"},
		{flume.Batch{made("x", urlHeader, "hdfs://n/x")}, 0, "is no http, https or file URL"},
		{flume.Batch{made("x", literalHeader, `{"type":"record"}`)}, 0, "reading its schema"},
		{flume.Batch{made(one+"x", literal...)}, 0, "1 bytes follow it"},
		{flume.Batch{made("", literal...)}, 0, "it ends in the middle"},
		{flume.Batch{made(one, literal...), made(one, literal...), made("x", other...)}, 2, ""},
		{flume.Batch{made("\x02x", other...)}, 0, ""},
		{flume.Batch{made(one, literal...), made(one[:len(one)-1], literal...)}, 1, ""},
	} {
		n, err := s.Fit(t.Context(), &f, x.b)
		if n != x.fit || (err == nil) != (x.want == "") || err != nil && (!errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%q: %d fit, %v; want %d, %q", x.b, n, err, x.fit, x.want)
		}
	}
}

// A schema that says little can mean much.
func TestHugeSchema(t *testing.T) {
	inner := `{"type":"record","name":"r0","fields":[{"name":"n","type":"null"}]}`
	for i := range 60 {
		inner = fmt.Sprintf(`{"type":"record","name":"r%d","fields":[{"name":"a","type":%s},{"name":"b","type":"r%d"}]}`, i+1, inner, i)
	}
	s := open(t, "serializer = AVRO")
	var f File
	if _, err := s.Fit(t.Context(), &f, flume.Batch{made("", literalHeader, inner)}); !errors.Is(err, ErrUnfit) {
		t.Errorf("%v", err)
	}
}

func TestSchemaURL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.avsc")
	if err := os.WriteFile(file, []byte(`"string"`), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch r.URL.Path {
		case "/good":
			io.WriteString(w, `"string"`)
		case "/large":
			w.Write(bytes.Repeat([]byte(" "), schemaSize+1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	s := open(t, "serializer = AVRO", "serializer.schemaURL = file://"+file)
	write(t, s, flume.Batch{made("\x02x"), made("\x02y")})
	good := made("\x02x", urlHeader, server.URL+"/good")
	write(t, s, flume.Batch{good, good}, flume.Batch{good})
	if asked != 1 {
		t.Errorf("the server was asked %d times", asked)
	}
	for _, path := range []string{"/none", "/large"} {
		var f File
		if n, err := s.Fit(t.Context(), &f, flume.Batch{made("\x02x", urlHeader, server.URL+path)}); n != 0 || err == nil || errors.Is(err, ErrUnfit) {
			t.Errorf("%s: %d, %v", path, n, err) // it may be there later
		}
	}
}

// Whatever a body is, it is judged in bounded time and memory; what an encoder has made is right.
func FuzzDatum(f *testing.F) {
	f.Add(point, []byte("\x02\x00\x00"))
	f.Add(`{"type":"array","items":"null"}`, []byte("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"))
	f.Add(`{"type":"map","values":{"type":"fixed","name":"f","size":2}}`, []byte("\x01\x08\x02k12\x00"))
	f.Add(`{"type":"enum","name":"e","symbols":["A","B"]}`, []byte("\x02"))
	f.Add(`["null","boolean","double"]`, []byte("\x02\x01"))
	f.Add(`{"type":"record","name":"r","fields":[{"name":"r","type":"r"}]}`, []byte(""))
	s := open(f, "serializer = AVRO")
	f.Fuzz(func(t *testing.T, schema string, body []byte) {
		var file File
		n, err := s.Fit(t.Context(), &file, flume.Batch{{Body: body, Headers: flume.Headers{{Key: literalHeader, Value: schema}}}})
		if err == nil && n != 1 || err != nil && !errors.Is(err, ErrUnfit) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestSettings(t *testing.T) {
	for _, x := range []struct {
		line string
		want string
	}{
		{"serializer = hbase", `flume.conf:1: a1.components.x1.serializer: "hbase" is not a serializer; there are TEXT,`},
		{"serializer.compressionCodec = lzo", "\"lzo\" is not one of null, deflate, snappy, bzip2, xz, zstandard; the default null is taken"},
		{"serializer.syncIntervalBytes = 31", "31 is less than 32"},
		{"serializer.columns = a b", "a1.components.x1.serializer.columns: has no effect with the serializer TEXT"},
		{"serializer.schemaURL = hdfs://h/s", `a1.components.x1.serializer.schemaURL: "hdfs://h/s" is no http, https or file URL`},
	} {
		_, problems := read(t, x.line)
		if text := fmt.Sprint(problems); !strings.Contains(text, x.want) {
			t.Errorf("%s: %s", x.line, text)
		}
	}
}

// Text can be gone on with; a container has its sync marker from the process that began it.
func TestReopens(t *testing.T) {
	for name, want := range map[string]bool{"TEXT": true, "HEADER_AND_TEXT": true, "COLUMNS": true, "AVRO_EVENT": false, "AVRO": false} {
		s, _ := read(t, "serializer = "+name)
		if s.Reopens() != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// Nothing is allocated for an event.
func TestAllocations(t *testing.T) {
	b := make(flume.Batch, 500)
	for i := range b {
		b[i] = made(strings.Repeat("x", 200), "timestamp", "1", "host", "h", "k", "v")
	}
	for _, name := range []string{"TEXT", "HEADER_AND_TEXT", "COLUMNS", "AVRO_EVENT"} {
		s := open(t, "serializer = "+name)
		var f File
		if got := testing.AllocsPerRun(20, func() {
			if err := s.Write(io.Discard, &f, b); err != nil {
				t.Fatal(err)
			}
		}); got > 3 {
			t.Errorf("%s: %v allocations for %d events", name, got, len(b))
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	batch := make(flume.Batch, 1000)
	for i := range batch {
		batch[i] = made(strings.Repeat("x", 500), "timestamp", "1340459193234", "host", "10.0.0.1", "topic", "t", "key", "k")
	}
	for _, name := range []string{"TEXT", "HEADER_AND_TEXT", "AVRO_EVENT"} {
		b.Run(name, func(b *testing.B) {
			s := open(b, "serializer = "+name)
			var f File
			b.SetBytes(int64(batch.Size()))
			for b.Loop() {
				if err := s.Write(io.Discard, &f, batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

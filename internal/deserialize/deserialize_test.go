package deserialize

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	goavro "github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(t testing.TB, lines ...string) *Settings {
	t.Helper()
	var s Settings
	if _, problems := conf.Bind(&s, flumetest.Section(t, lines...)); problems.Fatal() {
		t.Fatal(problems)
	}
	return &s
}

// readAll reads to the end, n at a time, and opens the deserializer anew at its position after each Read that at accepts.
func readAll(t testing.TB, s *Settings, content []byte, n int, again func(position int64) bool) ([]string, error) {
	t.Helper()
	d, err := s.Open(bytes.NewReader(content), 0)
	if err != nil {
		return nil, err
	}
	var all []string
	for {
		bodies, err := d.Read(nil, n)
		if len(bodies) > n {
			t.Fatalf("%d events instead of %d", len(bodies), n)
		}
		for _, b := range bodies {
			all = append(all, string(b))
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		if again(d.Position()) {
			if d, err = s.Open(bytes.NewReader(content), d.Position()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func never(int64) bool  { return false }
func always(int64) bool { return true }

// What Flume makes of these lines.
func TestLines(t *testing.T) {
	long := strings.Repeat("žluť", 100_000)
	for _, x := range []struct {
		settings, text string
		want           []string
	}{
		{"", "a\nb\n", []string{"a", "b"}},
		{"", "a\r\n\n\nb", []string{"a\r", "", "", "b"}},
		{"", "\ufeffa\n", []string{"\ufeffa"}},
		{"deserializer.maxLineLength=4", "abcd\nabcde\nabc\n", []string{"abcd", "", "abcd", "e", "abc"}},
		{"deserializer.maxLineLength=4", "ab😀\na😀b\nabc😀d\n", []string{"ab😀", "", "a😀b", "", "abc", "😀d"}},
		{"deserializer.maxLineLength=1", "😀a\n", []string{"😀", "a", ""}},
		{"deserializer.maxLineLength=1000000", long + "\n" + long, []string{long, long}},
		{"decodeErrorPolicy=replace", "\xc3(\xe2\x82\n\xf8\x88", []string{"\ufffd(\ufffd", "\ufffd\ufffd"}},
		{"decodeErrorPolicy=ignore", "\xc3(\xe2\x82\n\xf8\x88x\n\xff", []string{"(", "x"}},
		{"inputCharset=ISO-8859-1", "\xe9\xff\nx", []string{"éÿ", "x"}},
		{"inputCharset=US-ASCII\ndecodeErrorPolicy=REPLACE", "\xe9x\n", []string{"\ufffdx"}},
		{"inputCharset=UTF-16", "\xfe\xff\x00a\x00\n\x0a\x00\x00\n", []string{"a", "\u0a00"}},
		{"inputCharset=UTF-16LE", "a\x00\n\x00=\xd8\x00\xde", []string{"a", "😀"}},
		{"deserializer.outputCharset=ISO-8859-1", "é€\n", []string{"\xe9?"}},
		{"bufferMaxLineLength=2", "abc\n", []string{"ab", "c"}},
	} {
		var lines []string
		if x.settings != "" {
			lines = strings.Split(x.settings, "\n")
		}
		for _, n := range []int{1, 2, 100} {
			for name, again := range map[string]func(int64) bool{"in one go": never, "opened again": always} {
				got, err := readAll(t, settings(t, lines...), []byte(x.text), n, again)
				if err != nil || !slices.Equal(got, x.want) {
					t.Errorf("%q with %q, %d %s: %.300q, %v", x.text[:min(50, len(x.text))], x.settings, n, name, got, err)
				}
			}
		}
	}
}

func TestLinesFail(t *testing.T) {
	got, err := readAll(t, settings(t), []byte("one\ntwo\nth\xffree\nfour\n"), 100, never)
	if !slices.Equal(got, []string{"one", "two"}) || err == nil || !strings.Contains(err.Error(), "at byte 10 there are bytes that are not UTF-8: ff") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestParts(t *testing.T) {
	text := strings.Repeat("0123456789", 30_000)
	for _, n := range []int{1, 7, 99_999, 100_000, 300_000, 1 << 20} {
		got, err := readAll(t, settings(t, "deserializer=BLOB", fmt.Sprintf("deserializer.maxBlobLength=%d", n)), []byte(text[:min(len(text), 20*n)]), 10, always)
		if err != nil || strings.Join(got, "") != text[:min(len(text), 20*n)] {
			t.Errorf("%d: %d parts, %v", n, len(got), err)
		}
		for i, part := range got {
			if i < len(got)-1 && len(part) != n {
				t.Errorf("%d: part %d has %d bytes", n, i, len(part))
			}
		}
	}
}

const userSchema = `{"type":"record","name":"User","namespace":"ex","fields":[{"name":"name","type":"string"},{"name":"age","type":["null","int"]}]}`

// The fingerprints that Flume has given.
func TestFingerprints(t *testing.T) {
	for schema, want := range map[string]string{`"string"`: "c70345637248018f", `"int"`: "8f5c393f1ad57572", userSchema: "f3eb8c134f1d3f4f"} {
		d, err := settings(t, "deserializer=AVRO").Open(bytes.NewReader(container[string](t, schema, nil)), 0)
		if err != nil {
			t.Fatal(err)
		}
		if h, _ := d.Headers().Get("flume.avro.schema.hash"); h != want {
			t.Errorf("%s has %s instead of %s", schema, h, want)
		}
		if d, err = settings(t, "deserializer=AVRO", "deserializer.schemaType=literal").Open(bytes.NewReader(container[string](t, schema, nil)), 0); err != nil {
			t.Fatal(err)
		}
		if h, _ := d.Headers().Get("flume.avro.schema.literal"); h != schema {
			t.Errorf("the literal is %s", h)
		}
	}
}

// container makes a container of the values.
func container[T any](t testing.TB, schema string, values []T, opts ...ocf.WriterOpt) []byte {
	t.Helper()
	var b bytes.Buffer
	s, err := goavro.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ocf.NewWriter(&b, s, opts...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range values {
		if err := w.Encode(&values[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// everything is a schema with every type.
const everything = `{"type":"record","name":"R","fields":[
	{"name":"n","type":"null"},{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},
	{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"y","type":"bytes"},{"name":"s","type":"string"},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"x","type":{"type":"fixed","name":"X","size":3}},
	{"name":"a","type":{"type":"array","items":["null","E","X"]}},{"name":"m","type":{"type":"map","values":{"type":"array","items":"long"}}},
	{"name":"z","type":{"type":"array","items":"null"}},{"name":"next","type":["null","R"]}]}`

func values(n int) []map[string]any {
	var all []map[string]any
	for i := range n {
		one := map[string]any{"n": nil, "b": i%2 == 0, "i": i * 1000, "l": int64(i) << 40, "f": float32(i), "d": float64(i), "y": bytes.Repeat([]byte{1}, i%300),
			"s": strings.Repeat("x", i%200), "e": "B", "x": []byte("abc"), "a": []any{nil, "A"}, "m": map[string]any{"k": []any{int64(i)}}, "z": []any{nil, nil}, "next": nil}
		if i%3 == 0 && i > 0 {
			one["next"] = all[i-1]
		}
		all = append(all, one)
	}
	return all
}

func TestRecords(t *testing.T) {
	in := values(300)
	s := goavro.MustParse(everything)
	var want []string
	for i := range in {
		b, err := s.Encode(&in[i])
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, string(b))
	}
	for name, opts := range map[string][]ocf.WriterOpt{
		"null":      {},
		"deflate":   {ocf.WithCodec(ocf.DeflateCodec(flate.BestSpeed))},
		"snappy":    {ocf.WithCodec(ocf.SnappyCodec())},
		"zstandard": {ocf.WithCodec(ocf.MustZstdCodec(nil, nil))},
	} {
		file := container(t, everything, in, append(opts, ocf.WithBlockCount(7))...)
		for _, n := range []int{1, 5, 100} {
			got, err := readAll(t, settings(t, "deserializer=AVRO"), file, n, never)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %d at a time: %d records, %v", name, n, len(got), err)
			}
		}
		// A position is one of those that Flume has: where it is opened again records of a block may come again.
		d, err := settings(t, "deserializer=AVRO").Open(bytes.NewReader(file), 0)
		if err != nil {
			t.Fatal(err)
		}
		for read := 0; ; {
			bodies, err := d.Read(nil, 5)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range bodies {
				from, err := settings(t, "deserializer=AVRO").Open(bytes.NewReader(file), d.Begin(i))
				if err != nil {
					t.Fatal(err)
				}
				if first, err := from.Read(nil, 1); err != nil || string(first[0]) != want[(read+i)/7*7] {
					t.Errorf("%s: position %d of record %d leads to another block, %v", name, d.Begin(i), read+i, err)
				}
			}
			read += len(bodies)
			rest, err := settings(t, "deserializer=AVRO").Open(bytes.NewReader(file), d.Position())
			if err != nil {
				t.Fatal(err)
			}
			if next, err := rest.Read(nil, 1); read < len(want) && (err != nil || string(next[0]) != want[read/7*7]) {
				t.Errorf("%s: behind %d records position %d leads to another record, %v", name, read, d.Position(), err)
			}
		}
	}
}

func TestRecordsDamaged(t *testing.T) {
	file := container(t, everything, values(50), ocf.WithBlockCount(10))
	for cut := 0; cut < len(file); cut += 7 {
		got, err := readAll(t, settings(t, "deserializer=AVRO"), file[:cut], 100, never)
		if err == nil && len(got)%10 != 0 {
			t.Fatalf("cut at %d there are %d records and no error", cut, len(got))
		}
		if err != nil && strings.Contains(err.Error(), "BUG") {
			t.Fatal(err)
		}
	}
	for _, x := range []struct{ text, want string }{
		{"", "the container is damaged: it ends in its head"},
		{"some text", "it is no Avro container file: it begins with 736f6d65"},
		{"Obj\x01\x00" + strings.Repeat("s", 16), "the container has no avro.schema"},
		{"Obj\x01\x02\x16avro.schema\x04{}\x00" + strings.Repeat("s", 16), "reading its schema"},
		{"Obj\x01\x04\x16avro.schema\x0a\"int\"\x14avro.codec\x06lzo\x00" + strings.Repeat("s", 16), `its avro.codec is "lzo"`},
		{"Obj\x01\x02\x16avro.schema\x0a\"int\"\x00" + strings.Repeat("s", 16) + "\x04\x02\x02" + strings.Repeat("s", 16), "record 1 of the block at byte 40: the block ends in it"},
		{"Obj\x01\x02\x16avro.schema\x0a\"int\"\x00" + strings.Repeat("s", 16) + "\x02\x04\x02\x02" + strings.Repeat("s", 16), "behind the last record of the block at byte 40 there are 1 bytes"},
		{"Obj\x01\x02\x16avro.schema\x0a\"int\"\x00" + strings.Repeat("s", 16) + "\x02\x02\x02" + strings.Repeat("t", 16), "there is no sync marker"},
		{"Obj\x01\x02\x16avro.schema\x0a\"int\"\x00" + strings.Repeat("s", 16) + "\x02\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", "where 134217728 are the most"},
	} {
		if _, err := readAll(t, settings(t, "deserializer=AVRO"), []byte(x.text), 10, never); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q: %v", x.text, err)
		}
	}
}

// Containers of Python's fastavro, with the codecs that the library here does not write.
func TestCodecs(t *testing.T) {
	for _, name := range []string{"bzip2", "xz"} {
		file, err := os.ReadFile("testdata/" + name + ".avro")
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t, settings(t, "deserializer=AVRO"), file, 30, never)
		if err != nil || len(got) != 100 || got[0] != "\x0cuser 0\x00" || got[99] != "\x0euser 99\x02\xc6\x01" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		c, err := findCodec(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.unpack([]byte("no such thing"), 100); err == nil {
			t.Errorf("%s unpacks what is not packed", name)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, x := range []struct{ setting, want string }{
		{"deserializer = com.acme.Mine$Builder", "is not a deserializer that Sluice has"},
		{"inputCharset = EBCDIC", "is not an encoding that Sluice knows"},
		{"decodeErrorPolicy = REPORT", "is not one of FAIL, REPLACE, IGNORE"},
	} {
		var s Settings
		_, problems := conf.Bind(&s, flumetest.Section(t, x.setting))
		if !problems.Fatal() || !strings.Contains(fmt.Sprint(problems), x.want) {
			t.Errorf("%s: %v", x.setting, problems)
		}
	}
}

// Whatever a file holds, reading ends, in bounded memory, and each line comes whole wherever reading is taken up again.
func FuzzLines(f *testing.F) {
	f.Add(uint8(0), uint8(1), uint16(4), []byte("ab😀\ncd\xff\r\n\n"))
	f.Add(uint8(3), uint8(2), uint16(1), []byte("\xff\xfea\x00\n\x00"))
	f.Add(uint8(2), uint8(0), uint16(100), []byte("x"))
	f.Fuzz(func(t *testing.T, set, onError uint8, max uint16, text []byte) {
		names := []string{"UTF-8", "ISO-8859-1", "US-ASCII", "UTF-16", "UTF-16BE", "UTF-16LE"}
		s := settings(t, "inputCharset="+names[int(set)%len(names)], "decodeErrorPolicy="+[]string{"FAIL", "REPLACE", "IGNORE"}[int(onError)%3],
			fmt.Sprintf("deserializer.maxLineLength=%d", max%3000+1))
		whole, err := readAll(t, s, text, 100, never)
		again, errAgain := readAll(t, s, text, 2, always)
		if !slices.Equal(whole, again) || (err == nil) != (errAgain == nil) {
			t.Errorf("%q, %v in one go; %q, %v when opened again", whole, err, again, errAgain)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(container(f, everything, values(20), ocf.WithBlockCount(3)))
	f.Add(container(f, userSchema, []map[string]any{{"name": "a", "age": nil}}, ocf.WithCodec(ocf.SnappyCodec())))
	f.Add(container(f, `{"type":"array","items":"null"}`, [][]any{{nil, nil}}, ocf.WithCodec(ocf.DeflateCodec(1))))
	f.Fuzz(func(t *testing.T, file []byte) {
		s := settings(t, "deserializer=AVRO")
		d, err := s.Open(bytes.NewReader(file), 0)
		if err != nil {
			return
		}
		for last := int64(-1); ; {
			_, err := d.Read(nil, 100)
			if d.Position() < last || d.Position() > int64(len(file)) {
				t.Fatalf("position %d after %d", d.Position(), last)
			}
			if last = d.Position(); err != nil {
				return
			}
		}
	})
}

//go:build interop

package compat

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goavro "github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/sluice-io/sluice/internal/charset"
)

// Directories of files, with every setting and deserializer: the events, and what has become of the files.
func TestSpooldir(t *testing.T) {
	r := stage.Rand(t)
	var lanes []lane
	for range stage.Count(500, 100) {
		lanes = append(lanes, spoolLane(t, r))
	}
	compare(t, 3*time.Second, lanes)
}

// A spooled file is what others have put into the directory.
type spooled struct {
	name    string
	content []byte
	age     time.Duration
}

func spoolLane(t *testing.T, r *rand.Rand) lane {
	var conf strings.Builder
	set := func(key, value string) { fmt.Fprintf(&conf, "source.%s = %s\n", key, value) }
	maybe := func(key, value string) {
		if r.IntN(2) == 0 {
			set(key, value)
		}
	}
	l := lane{name: "spooldir lines"}
	set("type", pick(r, "spooldir", "SPOOLDIR", "org.apache.flume.source.SpoolDirectorySource"))
	set("spoolDir", "{dir}/spool"+pick(r, "", "", "/"))
	set("pollDelay", "100")
	maybe("fileHeader", flag(r))
	maybe("fileHeaderKey", pick(r, "path", "basename"))
	maybe("basenameHeader", flag(r))
	maybe("basenameHeaderKey", pick(r, "name", "file"))
	maybe("batchSize", fmt.Sprint(1+r.IntN(20)))
	maybe("fileSuffix", pick(r, ".done", "-read", ".COMPLETED"))
	maybe("deletePolicy", pick(r, "never", "immediate", "NEVER"))
	maybe("trackingPolicy", pick(r, "rename", "tracker_dir", "TRACKER_DIR"))
	maybe("trackerDir", pick(r, ".flumespool", "{dir}/tracker"))
	maybe("recursiveDirectorySearch", flag(r))
	maybe("includePattern", pick(r, `.*\\.log`, `[a-d].*`, `^.*$`))
	maybe("ignorePattern", pick(r, `b.*`, `^$`, `sub`))
	maybe("consumeOrder", pick(r, "oldest", "youngest", "OLDEST"))
	file := func() []byte { return []byte(logText(r, true)) }
	switch r.IntN(8) {
	case 0:
		l.name = "spooldir records"
		set("deserializer", pick(r, "AVRO", "avro", "org.apache.flume.serialization.AvroEventDeserializer$Builder"))
		maybe("deserializer.schemaType", pick(r, "HASH", "LITERAL", "literal"))
		file = func() []byte { return avroFile(t, userSchema, r.IntN(3), users(r)) }
	case 1:
		l.name = "spooldir blobs"
		set("deserializer", "org.apache.flume.sink.solr.morphline.BlobDeserializer$Builder")
		maybe("deserializer.maxBlobLength", fmt.Sprint(1+r.IntN(3000)))
	case 2:
		l.name = "spooldir characters"
		in := pick(r, "ISO-8859-1", "US-ASCII", "UTF-8", "UTF-16LE", "UTF-16BE")
		set("inputCharset", in)
		if set, _ := charset.Find(in); set == charset.UTF16LE || set == charset.UTF16BE {
			file = func() []byte { return set.Encode([]byte(strings.ToValidUTF8(logText(r, true), "\ufffd"))) }
		}
		set("decodeErrorPolicy", pick(r, "REPLACE", "IGNORE", "replace"))
		maybe("deserializer.outputCharset", pick(r, "ISO-8859-1", "UTF-16", "UTF-8"))
	default:
		set("decodeErrorPolicy", pick(r, "REPLACE", "IGNORE"))
		maybe("deserializer", pick(r, "LINE", "line", "org.apache.flume.serialization.LineDeserializer$Builder"))
		if r.IntN(2) == 0 {
			set("deserializer.maxLineLength", fmt.Sprint(pick(r, 1, 4, 5, 16, 100, 2048, 20000)))
			file = func() []byte { return []byte(strings.ReplaceAll(logText(r, true), "😀", ":-)")) }
		}
	}
	var files []spooled
	for i, name := range []string{"a.log", "b.log", "c", "d.log", ".hidden.log", "sub/e.log", ".sub/f.log", "sub/a.log", "blank in.log", "x.COMPLETED"} {
		if r.IntN(2) == 0 {
			continue
		}
		f := spooled{name: name, content: file(), age: time.Duration(10+r.IntN(8)) * time.Minute}
		if i == 0 && r.IntN(3) == 0 && l.name == "spooldir lines" {
			f.content = nil
		}
		if name == "sub/a.log" { // of two files of one time and one name Flume takes the one that the directory lists last
			f.age += 30 * time.Second
		}
		files = append(files, f)
	}
	l.conf = conf.String()
	l.input = spooledText(files)
	l.prepare = func(p place) error {
		var errs []error
		for _, dir := range []string{"spool", "spool/sub", "spool/.sub"} {
			errs = append(errs, os.Mkdir(filepath.Join(p.dir, dir), 0o755))
		}
		for _, f := range files {
			name := filepath.Join(p.dir, "spool", f.name)
			at := time.Now().Truncate(time.Minute).Add(-f.age)
			errs = append(errs, os.WriteFile(name, f.content, 0o644), os.Chtimes(name, at, at))
		}
		return errors.Join(errs...)
	}
	l.read = func(p place) ([]string, error) {
		var names []string
		err := filepath.WalkDir(p.dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && !strings.Contains(path, ".flumespool-main.meta") {
				names = append(names, "file "+strings.TrimPrefix(path, p.dir+"/"))
			}
			return err
		})
		slices.Sort(names)
		return names, err
	}
	return l
}

func spooledText(files []spooled) string {
	var out strings.Builder
	for _, f := range files {
		fmt.Fprintf(&out, "%s, %v old: %s\n", f.name, f.age, short(fmt.Sprintf("%q", f.content)))
	}
	return out.String()
}

const userSchema = `{"type":"record","name":"User","namespace":"ex","doc":"d","fields":[{"name":"name","type":"string","default":""},{"name":"age","type":["null","int"]}]}`

func users(r *rand.Rand) []map[string]any {
	var all []map[string]any
	for i := range r.IntN(40) {
		all = append(all, map[string]any{"name": fmt.Sprintf("%d %s", i, phrase(r, 3)), "age": pick[any](r, nil, i)})
	}
	return all
}

// avroFile makes a container: with codec 0 as it is, with 1 deflate, with 2 snappy, with 3 zstandard.
func avroFile[T any](t *testing.T, schema string, codec int, values []T) []byte {
	s, err := goavro.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	options := []ocf.WriterOpt{ocf.WithBlockCount(7)}
	switch codec {
	case 1:
		options = append(options, ocf.WithCodec(ocf.DeflateCodec(6)))
	case 2:
		options = append(options, ocf.WithCodec(ocf.SnappyCodec()))
	case 3:
		options = append(options, ocf.WithCodec(ocf.MustZstdCodec(nil, nil)))
	}
	var b bytes.Buffer
	w, err := ocf.NewWriter(&b, s, options...)
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

// Where the two differ, as docs/compatibility.md has it.
func TestSpooldirDiffers(t *testing.T) {
	spool := func(name, row, conf, want string, files ...spooled) lane {
		l := lane{name: name, row: row, conf: "source.type = spooldir\nsource.spoolDir = {dir}/spool\nsource.pollDelay = 100\nsource.maxBackoff = 100\n" + conf}
		l.prepare = func(p place) error {
			errs := []error{os.Mkdir(filepath.Join(p.dir, "spool"), 0o755)}
			for i, f := range files {
				name, at := filepath.Join(p.dir, "spool", f.name), time.Now().Add(time.Duration(i-100)*time.Second)
				errs = append(errs, os.WriteFile(name, f.content, 0o644), os.Chtimes(name, at, at))
			}
			return errors.Join(errs...)
		}
		l.want = func(sluice []string) error {
			if got := strings.Join(sluice, "\n"); got != want {
				return fmt.Errorf("it is not what is wanted:\n%s", want)
			}
			return nil
		}
		return l
	}
	compare(t, 3*time.Second, []lane{
		spool("zstandard", "source `spooldir`, deserializer `AVRO`", "source.deserializer = AVRO", `0: {"flume.avro.schema.hash"="f3eb8c134f1d3f4f"} "\x02a\x00"`,
			spooled{name: "a", content: avroFile(t, userSchema, 3, []map[string]any{{"name": "a", "age": nil}})}),
		spool("no records", "source `spooldir`, deserializer `AVRO`", "source.deserializer = AVRO", `0: {"flume.avro.schema.hash"="c70345637248018f"} "\x04ab"`,
			spooled{name: "a", content: avroFile(t, `"string"`, 0, []string{"ab"})}),
		spool("a pair is not cut", "source `spooldir`, a line that is cut", "source.deserializer.maxLineLength = 3", "0: {} \"ab\"\n0: {} \"😀c\"\n0: {} \"\"",
			spooled{name: "a", content: []byte("ab😀c\n")}),
		spool("a bad byte", "source `spooldir`, a file that cannot be read on", "", "0: {} \"one\"\n0: {} \"two\"",
			spooled{name: "a", content: []byte("one\nb\xffd\nnot read")}, spooled{name: "b", content: []byte("two\n")}),
		spool("half a character at the end", "source `spooldir`, bytes at the end of a file", "source.decodeErrorPolicy = REPLACE", "0: {} \"one\"\n0: {} \"\ufffd\"",
			spooled{name: "a", content: []byte("one\n\xe2\x82")}),
		spool("the name is taken", "source `spooldir`, the name for a file that was read", "", "0: {} \"one\"\n0: {} \"two\"",
			spooled{name: "a.COMPLETED"}, spooled{name: "a", content: []byte("one\n")}, spooled{name: "b", content: []byte("two\n")}),
	})
}

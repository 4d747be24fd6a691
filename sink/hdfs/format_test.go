package hdfs

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/hadoopcodec"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/seqfile"
	"github.com/sluice-io/sluice/internal/vfs"
)

// content are the lines that a reader gets from a file.
func content(t testing.TB, m measure, data []byte) string {
	t.Helper()
	switch m {
	case lines, asIs:
		return strings.ReplaceAll(string(data), "\n", ",")
	case containers:
		n, err := lastBlock(bytes.NewReader(data))
		if err != nil || n != int64(len(data)) {
			t.Errorf("the container is whole up to %d of %d: %v", n, len(data), err)
		}
		var out string
		for _, word := range []string{"one", "two", "three", "four"} {
			out += strings.Repeat(word+",", bytes.Count(data, []byte(word)))
		}
		return out
	case sequences:
		r, err := seqfile.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var out string
		for {
			_, value, err := r.Next()
			if errors.Is(err, io.EOF) {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out += string(value) + ","
		}
	}
	codec, err := hadoopcodec.Find(string(m))
	if err != nil {
		t.Fatal(err)
	}
	r := hadoopcodec.NewReader(codec, bytes.NewReader(data))
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("reading %s: %v", m, err)
	}
	return strings.ReplaceAll(string(text), "\n", ",")
}

// Every format is whole after each flush, has its extension, and is cut to whole records after a crash in the middle of
// the next.
func TestFormats(t *testing.T) {
	type kase struct {
		settings  []string
		extension string
	}
	kases := []kase{
		{[]string{textFiles}, ""},
		{[]string{textFiles, "serializer = avro_event"}, ""},
		{[]string{textFiles, "serializer = header_and_text"}, ""},
		{[]string{"hdfs.fileType = sequencefile"}, ""},
		{[]string{"hdfs.fileType = SequenceFile", "hdfs.writeFormat = text"}, ""},
	}
	for codec, extension := range map[string]string{"gzip": ".gz", "deflate": ".deflate", "default": ".deflate", "bzip2": ".bz2", "snappy": ".snappy", "lz4": ".lz4", "zstandard": ".zst"} {
		kases = append(kases, kase{[]string{"hdfs.fileType = CompressedStream", "hdfs.codeC = " + codec}, extension},
			kase{[]string{"hdfs.fileType = SequenceFile", "hdfs.codeC = " + codec}, extension},
			kase{[]string{"hdfs.fileType = SequenceFile", "hdfs.writeFormat = Text", "hdfs.codeC = " + codec}, extension})
	}
	for _, x := range kases {
		t.Run(strings.Join(x.settings, ","), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, c := vfs.NewMemory(), newCluster()
				r := c.open(t, disk, append(roll0, x.settings...)...)
				r.put(t, to("x", "one", "two"))
				r.put(t, to("x", "three"))
				c.when("flush", errors.New("timed out"))
				if n := len(r.pending(t, to("x", "four"))); n != 1 {
					t.Fatal(n)
				}
				r.stop() // as if it were killed
				r.kill()
				synctest.Wait()
				c.when("", nil)
				next := c.open(t, disk.Killed(), append(roll0, x.settings...)...)
				time.Sleep(time.Second)
				synctest.Wait()
				const name = "/d/x/FlumeData.946684800001"
				f := c.files[name+x.extension]
				if f == nil {
					t.Fatal(c.ls())
				}
				got := content(t, next.measure, f.data)
				if x.settings[len(x.settings)-1] == "serializer = header_and_text" {
					got = strings.ReplaceAll(got, "{b=x, timestamp=1711886400000} ", "")
				}
				if got != "one,two,three," {
					t.Errorf("%q of %x", got, f.data)
				}
				next.close(t)
			})
		})
	}
}

// A SequenceFile is Flume's to the byte, but for its marker.
func TestSequenceBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, "hdfs.fileType = SequenceFile", noRolls)
		r.put(t, flume.Batch{{Headers: flume.Headers{{Key: "timestamp", Value: "1340459193234"}}, Body: []byte("hello")}, {Body: []byte("now")}})
		r.close(t)
		data := r.cluster.files["/d/FlumeData.946684800001"].data
		want := "0000001100000008000001381998139200000005" + "68656c6c6f" + "0000000f00000008000000dc6acfac0000000003" + "6e6f77" + "ffffffff"
		if got := hex.EncodeToString(data[95 : len(data)-16]); got != want || !bytes.Equal(data[79:95], data[len(data)-16:]) {
			t.Errorf("%s\ninstead of\n%s", got, want)
		}
	})
}

func TestUnfit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, append(roll0, "hdfs.fileType = SequenceFile")...)
		b := to("x", "0", "1", "2")
		b[1].Headers = flume.Headers{{Key: "b", Value: "x"}, {Key: "timestamp", Value: "x"}}
		err := r.Deliver(t.Context(), b)
		partial := new(flume.PartialError)
		if !errors.As(err, &partial) || len(partial.Rejected) != 1 || partial.Rejected[0].Index != 1 || len(partial.Pending) > 0 {
			t.Errorf("%+v", err)
		}
		r.close(t)
		if got := content(t, sequences, r.cluster.files["/d/x/FlumeData.946684800001"].data); got != "0,2," {
			t.Error(got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // each schema has a file of its own
		r := start(t, append(roll0, "serializer = org.apache.flume.sink.hdfs.AvroEventSerializer$Builder")...)
		with := func(schema, body string) flume.Event {
			return flume.Event{Headers: flume.Headers{{Key: "b", Value: "x"}, {Key: "flume.avro.schema.literal", Value: schema}}, Body: []byte(body)}
		}
		err := r.Deliver(t.Context(), flume.Batch{with(`"int"`, "\x02"), with(`"nonsense"`, "\x02"), with(`"int"`, "\x04"), with(`"long"`, "\x06")})
		partial := new(flume.PartialError)
		if !errors.As(err, &partial) || len(partial.Rejected) != 1 || len(partial.Pending) > 0 {
			t.Errorf("%+v", err)
		}
		r.close(t)
		if len(r.cluster.files) != 2 {
			t.Error(r.cluster.ls())
		}
	})
}

func TestSettings(t *testing.T) {
	for _, x := range []struct{ line, want string }{
		{"hdfs.path = s3a://bucket/x", "no file system for s3a in this version"},
		{"hdfs.path = logs/%Y", "neither absolute nor one with a scheme"},
		{"hdfs.path = /%[nothing]", "%[localhost]"},
		{"hdfs.codeC = gzip", ""},
		{"hdfs.codeC = lzo", "lzo"},
		{"hdfs.codeC = nothing", "nothing"},
		{"hdfs.fileType = Parquet", "is not"},
		{"hdfs.fileType = DataStream;hdfs.codeC = gzip", "CompressedStream?"},
		{"hdfs.fileType = DataStream;hdfs.codeC = none", ""},
		{"hdfs.fileType = CompressedStream", "needs a codec"},
		{"hdfs.writeFormat = com.acme.Mine$Builder", "writeFormat"},
		{"hdfs.round = true;hdfs.roundValue = 61", "61 is not between 1 and 60"},
		{"hdfs.round = true;hdfs.roundValue = 25;hdfs.roundUnit = Hour", "25 is not between 1 and 24"},
		{"hdfs.round = true;hdfs.roundUnit = day", "nothing is rounded"},
		{"hdfs.timeZone = UTC+5", "GMT, as in Flume"},
		{"hdfs.kerberosPrincipal = me", "need each other"},
		{"hdfs.inUsePrefix = a/b", "cannot be a part"},
		{"hdfs.batchSize = 0", "less than 1"},
		{"hdfs.closeTries = -1", "without end"},
		{"hdfs.retryInterval = 0", "nothing is tried again"},
		{"writeFormat.x = 1", "Java class"},
		{"hdfs.useFlumeEventFormat = true", "hdfs.useFlumeEventFormat"},
		{"hdfs.minBlockReplicas = 0", ""},
	} {
		settings := append([]string{"hdfs.path = hdfs://nn/d"}, strings.Split(x.line, ";")...)
		if strings.HasPrefix(x.line, "hdfs.path") {
			settings = settings[1:]
		}
		got := flumetest.Problems(t, Kind, nil, settings...)
		if text := fmt.Sprint(got); x.want == "" && len(got) > 0 || !strings.Contains(text, x.want) {
			t.Errorf("%s: %s", x.line, text)
		}
	}
}

// Whatever a file holds, what is whole of it is found without a fault, and finding it again in that much finds all.
func FuzzWhole(f *testing.F) {
	kinds := []measure{asIs, lines, containers, sequences, "gzip", "deflate", "bzip2", "snappy", "lz4", "zstandard"}
	f.Add(2, []byte("Obj\x01\x02\x16avro.schema\x04{}\x00SYNC-SYNC-SYNC-S\x02\x02xSYNC-SYNC-SYNC-Storn"))
	f.Add(1, []byte("a\nb\nc"))
	f.Add(2, []byte("Obj\x01\x01\x02\x00"))
	f.Fuzz(func(t *testing.T, kind int, data []byte) {
		m := kinds[uint(kind)%uint(len(kinds))]
		c := newCluster()
		c.files["/f"] = &node{data: data}
		n, err := m.whole(context.Background(), c, "/f", int64(len(data)))
		if err != nil {
			return
		}
		if n < 0 || n > int64(len(data)) {
			t.Fatalf("%s: %d of %d bytes are whole", m, n, len(data))
		}
		c.files["/f"].data = data[:n]
		if again, err := m.whole(context.Background(), c, "/f", n); err != nil && n > 0 || again != n {
			t.Fatalf("%s: %d of %d whole bytes are whole: %v", m, again, n, err)
		}
	})
}

// Whatever a journal holds, it is read without a fault; what was written is read.
func FuzzJournal(f *testing.F) {
	f.Add("open 1 lines \"hdfs://nn\" \"/a\" \"/b\"\nopen 2 bytes \"file://\" \"/c\" \"/d\\n\"\ndone 1\nopen 3 ")
	f.Add("done 9223372036854775807\nopen -1 x\n")
	f.Fuzz(func(t *testing.T, text string) {
		all := decodeJournal(text)
		var again strings.Builder
		for _, e := range all {
			again.WriteString(e.line())
		}
		if got := decodeJournal(again.String()); fmt.Sprint(got) != fmt.Sprint(all) {
			t.Errorf("%v\ninstead of\n%v", got, all)
		}
	})
}

func TestJournal(t *testing.T) {
	disk := vfs.NewMemory()
	first, left, err := openJournal(disk, "/j", "a1.k1")
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	begin := func(j *journal, name string) int64 {
		id, err := j.begin(entry{root: "hdfs://nn", inUse: "/" + name + ".tmp", final: "/" + name, measure: lines})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	begin(first, "a")
	id := begin(first, "b")
	if err := first.done(id); err != nil {
		t.Fatal(err)
	}
	second, left, err := openJournal(disk, "/j", "a1.k1") // another process with a sink of that name
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	id = begin(second, "c")
	if err := second.rename(id, "/c2"); err != nil {
		t.Fatal(err)
	}
	for i := range compactAt + 10 {
		if err := second.done(begin(second, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if second.lines > compactAt {
		t.Errorf("the journal has %d lines", second.lines)
	}
	disk = disk.Killed()
	third, left, err := openJournal(disk, "/j", "a1.k1")
	var names []string
	for _, e := range left {
		names = append(names, e.final)
	}
	if fmt.Sprint(names) != "[/a /c2]" || err != nil {
		t.Error(left, err)
	}
	for _, e := range left {
		if err := third.done(e.id); err != nil {
			t.Error(err)
		}
	}
	if err := third.close(); err != nil {
		t.Error(err)
	}
	if got, _ := disk.List("/j"); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

// A sink without a journal works, and says what that means.
func TestNoJournal(t *testing.T) {
	env := flumetest.NewEnv()
	plan, _ := Kind.Bind(flumetest.Section(t, "hdfs.path = hdfs://nn/d", "hdfs.journalDir = /j"))
	disk, c := vfs.NewMemory(), newCluster()
	if f, err := disk.Create("/j"); err != nil {
		disk.Limit(1)
	} else {
		f.Close()
	}
	k, err := openOn(plan.Settings.(*Settings), env.Env, hdfs.NewConf(), disk, func(string) (hdfs.FS, error) { return c, nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.Deliver(t.Context(), to("x", "1")), k.Close()); err != nil || len(c.files) != 1 {
		t.Error(err, c.ls())
	}
	if !strings.Contains(env.Logged(), "The list of open files cannot be written") {
		t.Error(env.Logged())
	}
}

func BenchmarkDeliver(b *testing.B) {
	r := newCluster().open(b, vfs.NewMemory(), append(roll0, "hdfs.path = hdfs://nn/%{b}/%Y-%m-%d/%H%M")...)
	batch := to("x", make([]string, 1000)...)
	for i := range batch {
		batch[i].Body = bytes.Repeat([]byte("x"), 400)
	}
	b.SetBytes(int64(batch.Size()))
	for b.Loop() {
		r.put(b, batch)
		for _, n := range r.cluster.files {
			n.data = n.data[:0]
		}
		r.cluster.calls = nil
	}
}

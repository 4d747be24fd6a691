package seqfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluice-io/sluice/internal/hadoopcodec"
)

type record struct {
	key   int64
	value string
}

// small and huge are the events of the golden files, written in batches of five.
func small() (all []record) {
	for i := range 9 {
		all = append(all, record{1_700_000_000_000 + int64(i), fmt.Sprintf("event %02d: hello", i)})
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	return append(all, record{1_700_000_000_009, ""}, record{1_700_000_000_010, "žluťoučký 鍵 😀 two\nlines"}, record{1_700_000_000_011, string(every)})
}

func huge() (all []record) {
	for i, n := range []int{100_000, 100_000, 100_000, 300_000, 700_000, 700_000, 10} {
		pattern := fmt.Sprintf("%02d 0123456789abcdef ", i)
		all = append(all, record{1_700_000_000_000 + int64(i), strings.Repeat(pattern, n/len(pattern)+1)[:n]})
	}
	return all
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pool(t testing.TB, f Format) *Pool {
	t.Helper()
	if f.Codec != hadoopcodec.None && f.Options == (hadoopcodec.Options{}) {
		f.Options = f.Codec.Defaults()
	}
	p, err := NewPool(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// write makes a file with the records, a flush after each batch of five.
func write(t testing.TB, p *Pool, sync [syncSize]byte, all []record) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := p.Create(&file)
	if err != nil {
		t.Fatal(err)
	}
	if sync != ([syncSize]byte{}) {
		copy(file.Bytes()[file.Len()-syncSize:], sync[:])
		w.sync = sync
	}
	for i, r := range all {
		if err := w.Append(r.key, []byte(r.value)); err != nil {
			t.Fatal(err)
		}
		if (i+1)%5 == 0 || i+1 == len(all) {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if w.Size() != int64(file.Len()) {
				t.Fatalf("Size is %d of a file of %d bytes", w.Size(), file.Len())
			}
		}
	}
	if w.buffers != nil {
		t.Error("a flushed writer holds buffers")
	}
	return file.Bytes()
}

func readAll(t testing.TB, file []byte) (all []record, h *Header) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		key, value, err := r.Next()
		if errors.Is(err, io.EOF) {
			if r.Whole() != int64(len(file)) {
				t.Errorf("a whole file of %d bytes is whole up to %d", len(file), r.Whole())
			}
			return all, r.Header()
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, record{int64(binary.BigEndian.Uint64(key)), string(value)})
	}
}

func same(t testing.TB, got, want []record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("record %d is (%d, %.40q of %d bytes), want (%d, %.40q of %d)", i, got[i].key, got[i].value, len(got[i].value), want[i].key, want[i].value, len(want[i].value))
		}
	}
}

// What Flume wrote is read, and written again: the header equal to the byte, of files without compression all.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/seq-*")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			file := golden(t, name)
			want := small()
			if strings.Contains(name, "huge") {
				want = huge()
			}
			got, h := readAll(t, file)
			if strings.Contains(name, "gzip") { // these were not written by Flume, which cannot
				want[10].value, want[11].value = "žluťoučký 鍵 😀", strings.Repeat("x", 1000)
			}
			same(t, got, want)

			codec, err := hadoopcodec.Find(h.CodecClass)
			if err != nil {
				t.Fatal(err)
			}
			p := pool(t, Format{Value: h.Value, Compression: h.Compression, Codec: codec})
			if strings.HasSuffix(name, "batches-of-1") {
				return
			}
			ours := write(t, p, h.Sync, want)
			again, _ := readAll(t, ours)
			same(t, again, want)
			head := h.append(nil)
			if !bytes.HasPrefix(file, head) || !bytes.HasPrefix(ours, head) {
				t.Errorf("the header is\n%q, want\n%q", ours[:len(head)], file[:len(head)])
			}
			t.Logf("%s: %d bytes, Flume's has %d, equal %v", name, len(ours), len(file), bytes.Equal(ours, file))
			if h.Compression == NoCompression && !bytes.Equal(ours, file) {
				t.Errorf("the file is\n%q, want\n%q", ours, file)
			}
		})
	}
}

func scanBytes(file []byte) (*Tail, error) {
	return Scan(func(offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(file[min(offset, int64(len(file))):])), nil
	})
}

func formats() (all []Format) {
	for _, v := range []Value{Bytes, Text} {
		all = append(all, Format{Value: v})
		for c := hadoopcodec.Default; c <= hadoopcodec.Zstandard; c++ {
			all = append(all, Format{Value: v, Compression: Record, Codec: c}, Format{Value: v, Compression: Block, Codec: c})
		}
	}
	return all
}

func (f Format) name() string { return fmt.Sprintf("%s-%s-%s", f.Value[21:], f.Compression, f.Codec) }

// A file cut anywhere is found to be whole up to the last boundary before the cut, and can be gone on with there.
func TestTorn(t *testing.T) {
	for _, f := range formats() {
		if f.Value == Text && f.Compression != NoCompression {
			continue // as BytesWritable
		}
		t.Run(f.name(), func(t *testing.T) {
			p := pool(t, f)
			all := small()
			var file bytes.Buffer
			w, err := p.Create(&file)
			if err != nil {
				t.Fatal(err)
			}
			boundaries := map[int64]int{w.Size(): 0} // and the records before each
			for i, r := range all {
				if err := w.Append(r.key, []byte(r.value)); err != nil {
					t.Fatal(err)
				}
				if (i+1)%5 == 0 || i+1 == len(all) {
					if err := w.Flush(); err != nil {
						t.Fatal(err)
					}
					boundaries[w.Size()] = i + 1
				}
			}
			whole, records := int64(0), 0
			step := 11
			if f.Codec == hadoopcodec.Bzip2 {
				step = 300
			}
			for n := 0; n <= file.Len(); n++ {
				if k, ok := boundaries[int64(n)]; ok {
					whole, records = int64(n), k
				} else if n%step != 0 && n < file.Len()-2 {
					continue
				}
				tail, err := scanBytes(file.Bytes()[:n])
				if err != nil {
					t.Fatalf("cut at %d: %v", n, err)
				}
				if tail.Whole < whole || tail.Whole > int64(n) || tail.Records < int64(records) || tail.Beyond != 0 {
					t.Fatalf("cut at %d: whole up to %d with %d records, beyond %d; flushed up to %d with %d", n, tail.Whole, tail.Records, tail.Beyond, whole, records)
				}
				if f.Compression == Block && tail.Whole != whole && tail.Whole != whole+4+syncSize {
					t.Fatalf("cut at %d: whole up to %d, want %d", n, tail.Whole, whole)
				}
				if (tail.Torn == nil) != (tail.Whole == int64(n) && n > 0) {
					t.Fatalf("cut at %d: whole up to %d, torn %v", n, tail.Whole, tail.Torn)
				}
				if tail.Torn != nil && !errors.Is(tail.Torn, ErrTorn) {
					t.Fatal(tail.Torn)
				}
				if tail.Whole == 0 {
					continue
				}
				rest := bytes.NewBuffer(bytes.Clone(file.Bytes()[:tail.Whole]))
				w, err := p.Continue(rest, tail)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range all[:2] {
					if err := w.Append(r.key, []byte(r.value)); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
				got, _ := readAll(t, rest.Bytes())
				same(t, got, append(all[:tail.Records:tail.Records], all[:2]...))
			}
		})
	}
}

func TestVInt(t *testing.T) {
	for v, want := range map[int64]string{
		0: "00", 127: "7f", -112: "90", 128: "8f80", 200: "8fc8", 1000: "8e03e8", -113: "8770", -256: "87ff", -257: "860100",
		1<<63 - 1: "887fffffffffffffff", -1 << 63: "807fffffffffffffff",
	} {
		p := appendVInt(nil, v)
		if got := fmt.Sprintf("%x", p); got != want {
			t.Errorf("%d is %s, want %s", v, got, want)
		}
		if size := vintSize(p[0]); size != len(p) || vint(p) != v {
			t.Errorf("%x of %d bytes is %d, want %d", p, size, vint(p), v)
		}
	}
}

// A failing is an io.Writer that takes so many bytes of each write, and no more after the first it cannot.
type failing struct {
	bytes.Buffer
	left int
}

func (f *failing) Write(p []byte) (int, error) {
	n := min(f.left, len(p))
	f.left -= n
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// After a write that failed the file is cut to Size, and the batch written again: all are there once.
func TestReset(t *testing.T) {
	all := huge()
	for _, f := range []Format{{Value: Bytes}, {Value: Bytes, Compression: Record, Codec: hadoopcodec.Snappy}, {Value: Text, Compression: Block, Codec: hadoopcodec.LZ4}, {Value: Bytes, Compression: Block, Codec: hadoopcodec.Gzip}} {
		f.BlockSize = 250_000 // more than one block in a batch
		p := pool(t, f)
		for _, left := range []int{100, 2000, 300_000} {
			file := &failing{left: 1 << 30}
			w, err := p.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			batch := func(records []record) (err error) {
				for _, r := range records {
					err = errors.Join(err, w.Append(r.key, []byte(r.value)))
				}
				return errors.Join(err, w.Flush())
			}
			if err := batch(all[:2]); err != nil {
				t.Fatal(err)
			}
			size := w.Size()
			file.left = left
			err = batch(all[2:])
			file.left = 1 << 30
			if err == nil {
				continue // it compresses well
			}
			if !errors.Is(err, io.ErrShortWrite) || w.Size() != size || !errors.Is(w.Flush(), io.ErrShortWrite) || w.buffers != nil {
				t.Fatalf("%s: %v, size %d", f.name(), err, w.Size())
			}
			file.Truncate(int(size))
			w.Reset(file)
			if err := batch(all[2:]); err != nil {
				t.Fatal(err)
			}
			got, _ := readAll(t, file.Bytes())
			same(t, got, all)
		}
		if len(p.free) != 1 {
			t.Errorf("%s: one goroutine left %d sets of buffers", f.name(), len(p.free))
		}
	}
	if _, err := pool(t, Format{Value: Text}).Create(&failing{left: 20}); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	if err := fits(MaxValue); err != nil {
		t.Error(err)
	}
	if err := fits(MaxValue + 1); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "1073741825 bytes") {
		t.Error(err)
	}
}

// A header of a file with metadata, and what a reader says of one that is none.
func TestHeader(t *testing.T) {
	p := pool(t, Format{Value: Text, Metadata: []Pair{{"a", "b"}, {"key", "žluť"}}})
	file := write(t, p, [syncSize]byte{1}, small())
	_, h := readAll(t, file)
	if len(h.Metadata) != 2 || h.Metadata[1] != (Pair{"key", "žluť"}) {
		t.Errorf("%+v", h)
	}
	for name, text := range map[string]string{
		"text": "2026-11-21 a log\n", "version 5": "SEQ\x05" + string(file[4:]), "marks": strings.Replace(string(file), "Text\x00\x00", "Text\x00\x01", 1),
		"metadata": strings.Replace(string(file), "Text\x00\x00\x00\x00\x00\x02", "Text\x00\x00\x7f\x00\x00\x02", 1), "name": "SEQ\x06\x8c\x7f\xff\xff\xff",
	} {
		if _, err := scanBytes([]byte(text)); !errors.Is(err, ErrNoSequenceFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	foreign := write(t, pool(t, Format{Value: Text, Compression: Block, Codec: hadoopcodec.Gzip}), [syncSize]byte{}, small())
	foreign = bytes.Replace(foreign, []byte("GzipCodec"), []byte("BestCodec"), 1)
	if _, err := scanBytes(foreign); err == nil || errors.Is(err, ErrTorn) || !strings.Contains(err.Error(), "BestCodec") {
		t.Error(err)
	}
	for _, f := range []Format{{}, {Value: "org.apache.hadoop.io.IntWritable"}, {Value: Text, Codec: hadoopcodec.Gzip}, {Value: Text, Compression: Block}} {
		if _, err := NewPool(f, 1); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}

// Damage with whole records after it is no torn end, and a file like that is not gone on with; nor is one of another format.
func TestBeyond(t *testing.T) {
	for _, f := range formats() {
		p := pool(t, f)
		file := write(t, p, [syncSize]byte{}, small())
		w, err := NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Next(); err != nil {
			t.Fatal(err)
		}
		at := int(w.Whole())
		w.Close()
		bad := bytes.Clone(file)
		clear(bad[at : at+40])
		tail, err := scanBytes(bad)
		if err != nil {
			t.Fatal(err)
		}
		if tail.Torn == nil || tail.Whole > int64(at) || tail.Beyond <= tail.Whole || string(bad[tail.Beyond:tail.Beyond+4]) != "\xff\xff\xff\xff" {
			t.Errorf("%s: whole up to %d of %d, beyond %d, %v", f.name(), tail.Whole, at, tail.Beyond, tail.Torn)
		}
		if _, err := p.Continue(io.Discard, tail); !errors.Is(err, ErrTorn) {
			t.Error(err)
		}

		second := slices.Concat(file, write(t, p, [syncSize]byte{}, small()))
		if _, err := scanBytes(second); !errors.Is(err, ErrSecondHeader) {
			t.Errorf("%s: %v", f.name(), err)
		}
		tail, err = scanBytes(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range formats() {
			if _, err := pool(t, other).Continue(io.Discard, tail); (err == nil) != (other.name() == f.name()) {
				t.Errorf("%s gone on with as %s: %v", f.name(), other.name(), err)
			}
		}
	}
	if _, err := pool(t, Format{Value: Text}).Continue(io.Discard, &Tail{Torn: ErrTorn}); !errors.Is(err, ErrTorn) {
		t.Error(err)
	}
}

// Zeros at the end are what a disk may show after a power cut.
func TestZeros(t *testing.T) {
	for _, f := range formats() {
		file := write(t, pool(t, f), [syncSize]byte{}, small())
		tail, err := scanBytes(append(file[:len(file):len(file)], make([]byte, 5000)...))
		if err != nil || tail.Whole != int64(len(file)) || tail.Torn == nil || tail.Beyond != 0 || tail.Records != int64(len(small())) {
			t.Errorf("%s: %+v, %v", f.name(), tail, err)
		}
	}
}

// A file whose reading fails is not taken for a torn one.
func TestUnreadable(t *testing.T) {
	broken := errors.New("the DataNode is gone")
	for _, f := range formats() {
		file := write(t, pool(t, f), [syncSize]byte{}, small())
		for _, n := range []int{0, 3, 50, len(file) / 2, len(file)} {
			tail, err := Scan(func(offset int64) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken))), nil
			})
			if !errors.Is(err, broken) || tail != nil {
				t.Errorf("%s at %d: %+v, %v", f.name(), n, tail, err)
			}
		}
	}
	if _, err := Scan(func(int64) (io.ReadCloser, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// A mark is found wherever reads cut it.
func TestFind(t *testing.T) {
	mark := []byte("\xff\xff\xff\xffmarker")
	for _, n := range []int{0, 1, 100, 64<<10 - 3, 64 << 10, 200_000} {
		text := slices.Concat(bytes.Repeat([]byte{0xff}, n), mark, []byte("rest"))
		for _, in := range []io.Reader{bytes.NewReader(text), iotest.OneByteReader(bytes.NewReader(text)), iotest.DataErrReader(bytes.NewReader(text))} {
			if at, err := find(in, mark[:4], mark[4:]); at != int64(n) || err != nil {
				t.Errorf("%d, %v, want %d", at, err, n)
			}
		}
		if at, err := find(bytes.NewReader(text[:n+len(mark)-1]), mark); at != -1 || err != nil {
			t.Errorf("%d, %v", at, err)
		}
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// 5,000 open files cost little each, and a set of buffers for each goroutine that writes.
func TestMemory(t *testing.T) {
	const files = 5000
	for _, f := range formats() {
		if f.Value == Text || f.Compression == Record {
			continue
		}
		p := pool(t, f)
		before := heap()
		writers := make([]*Writer, files)
		for i := range writers {
			w, err := p.Create(io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			writers[i] = w
		}
		each := (heap() - before) / files
		before = heap()
		value := []byte(strings.Repeat("a line of a log 0123456789 ", 40))
		for i := range 1000 {
			if err := writers[0].Append(int64(i), value); err != nil {
				t.Fatal(err)
			}
		}
		if err := writers[0].Flush(); err != nil {
			t.Fatal(err)
		}
		kept := heap() - before
		t.Logf("%s: a file %d bytes, buffers %d kB after 1 MB", f.name(), each, kept>>10)
		if each > 200 || kept > 24<<20 {
			t.Errorf("%s: a file %d, buffers %d", f.name(), each, kept)
		}
		runtime.KeepAlive(writers)
	}
}

func TestAllocations(t *testing.T) {
	for _, f := range formats() {
		if f.Value == Text {
			continue
		}
		w, err := pool(t, f).Create(io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		value := []byte(strings.Repeat("a line of a log 0123456789 ", 15))
		batch := func() {
			for i := range 20 {
				if err := w.Append(int64(i), value); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		batch()
		// Where each record is compressed alone, a pool of the library's forgets some under the race detector.
		if n := testing.AllocsPerRun(5, batch); n > 1 && (f.Compression != Record || n > 15) {
			t.Errorf("%s: %.0f allocations for a batch of 20", f.name(), n)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, f := range formats() {
		if f.Value == Text || f.Compression == Record && f.Codec != hadoopcodec.Snappy {
			continue
		}
		b.Run(f.name(), func(b *testing.B) {
			w, err := pool(b, f).Create(io.Discard)
			if err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			bodies := make([][]byte, 100)
			for i := range bodies {
				bodies[i] = fmt.Appendf(nil, "%0400d", r.Uint64())
			}
			b.SetBytes(100 * 400)
			b.ReportAllocs()
			for b.Loop() {
				for i, body := range bodies {
					if err := w.Append(int64(i), body); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Flush(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzScan(f *testing.F) {
	for _, format := range formats() {
		f.Add(write(f, pool(f, format), [syncSize]byte{}, small()))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		tail, err := scanBytes(file)
		if err != nil {
			return
		}
		if tail.Whole == 0 && tail.Torn != nil {
			return
		}
		if tail.Whole > int64(len(file)) || tail.Synced > tail.Whole || (tail.Torn == nil) != (tail.Whole == int64(len(file))) || tail.Beyond != 0 && tail.Beyond <= tail.Whole {
			t.Fatalf("%+v of %d bytes", tail, len(file))
		}
		again, err := scanBytes(file[:tail.Whole])
		if err != nil || again.Torn != nil || again.Records != tail.Records || again.Synced != tail.Synced {
			t.Fatalf("%+v, %v, after a cut %+v", tail, err, again)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint8(3), int64(5), []byte("value"), uint16(10), uint16(100))
	f.Fuzz(func(t *testing.T, kind uint8, key int64, value []byte, interval, block uint16) {
		all := formats()
		format := all[int(kind)%len(all)]
		format.SyncInterval, format.BlockSize = int64(interval), int(block)
		records := []record{{key, string(value)}, {-key, ""}, {key << 32, strings.Repeat(string(value), 30)}, {0, string(value) + "x"}, {1, "2"}, {3, string(value)}}
		got, _ := readAll(t, write(t, pool(t, format), [syncSize]byte{}, records))
		same(t, got, records)
	})
}

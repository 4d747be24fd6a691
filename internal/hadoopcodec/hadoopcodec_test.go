package hadoopcodec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// batches are what the golden files hold: the writes of each batch, a body and a newline at a time.
func batches(bodies ...string) (all [][]string) {
	for i, body := range bodies {
		if i%5 == 0 {
			all = append(all, nil)
		}
		last := len(all) - 1
		all[last] = append(all[last], body, "\n")
	}
	return all
}

func small() [][]string {
	var all []string
	for i := range 9 {
		all = append(all, fmt.Sprintf("event %02d: hello", i))
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	return batches(append(all, "", "žluťoučký 鍵 😀 two\nlines", string(every))...)
}

func huge() [][]string {
	var all []string
	for i, n := range []int{100_000, 100_000, 100_000, 300_000, 700_000, 700_000, 10} {
		pattern := fmt.Sprintf("%02d 0123456789abcdef ", i)
		all = append(all, strings.Repeat(pattern, n/len(pattern)+1)[:n])
	}
	return batches(all...)
}

func text(all [][]string) (s string) {
	for _, batch := range all {
		s += strings.Join(batch, "")
	}
	return s
}

// compress writes each batch as a member, and checks where members end.
func compress(t testing.TB, c Codec, all [][]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewPool(c, c.Defaults(), 1).NewWriter(&out)
	for _, batch := range all {
		for _, s := range batch {
			if n, err := w.Write([]byte(s)); err != nil || n != len(s) {
				t.Fatal(n, err)
			}
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func decompress(t testing.TB, c Codec, p []byte) string {
	t.Helper()
	r := NewReader(c, bytes.NewReader(p))
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if r.Whole() != int64(len(p)) {
		t.Errorf("a whole file of %d bytes is whole up to %d", len(p), r.Whole())
	}
	return string(got)
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/compressed-*")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			p, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Find(strings.Split(name, "-")[1])
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(name) != c.Extension() {
				t.Errorf("the extension is %s", c.Extension())
			}
			want := small()
			switch {
			case strings.Contains(name, "huge"):
				want = huge()
			case strings.Contains(name, "zero-block"):
				want = [][]string{{strings.Repeat("03 0123456789abcdef ", 15000)}, {"after the large body"}}
			case strings.Contains(name, "empty"):
				want = nil
			}
			if got := decompress(t, c, p); got != text(want) {
				t.Errorf("%.80q…, want %.80q…", got, text(want))
			}
			ours := compress(t, c, want)
			if got := decompress(t, c, ours); got != text(want) {
				t.Errorf("ours: %.80q…, want %.80q…", got, text(want))
			}
			t.Logf("%d bytes, Flume's has %d, equal %v\n%x\n%x", len(ours), len(p), bytes.Equal(ours, p), ours[:min(len(ours), 120)], p[:min(len(p), 120)])
		})
	}
}

func TestFind(t *testing.T) {
	for name, want := range map[string]Codec{
		"": None, "none": None, "NONE": None,
		"default": Default, "DefaultCodec": Default, "defaultcodec": Default, "org.apache.hadoop.io.compress.DefaultCodec": Default,
		"deflate": Deflate, "org.apache.hadoop.io.compress.DeflateCodec": Deflate,
		"gzip": Gzip, "GZIP": Gzip, "GzipCodec": Gzip, "bzip2": Bzip2, "BZip2Codec": Bzip2, "snappy": Snappy, "SnappyCodec": Snappy,
		"lz4": LZ4, "org.apache.hadoop.io.compress.Lz4Codec": LZ4, "zstandard": Zstandard, "ZStandardCodec": Zstandard, "zstd": Zstandard,
	} {
		got, err := Find(name)
		if got != want || err != nil {
			t.Errorf("%q is %v, %v, want %v", name, got, err, want)
		}
		if again, err := Find(got.Class()); again != got || err != nil {
			t.Errorf("%s is %v, %v", got.Class(), again, err)
		}
		if again, err := Find(got.String()); again != got || err != nil {
			t.Errorf("%s is %v, %v", got, again, err)
		}
	}
	for name, want := range map[string]string{
		"lzo": "LZO is under the GPL", "LzopCodec": "LZO is under the GPL", "com.hadoop.compression.lzo.LzoCodec": "LZO is under the GPL",
		"gz": `"gz" is not a codec; there are none, default, deflate, gzip, bzip2, snappy, lz4, zstandard`, "org.apache.hadoop.io.compress.gzipcodec": "is not a codec", "Codec": "is not a codec", " gzip": "is not a codec",
	} {
		if got, err := Find(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v, %v, want %s", name, got, err, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, x := range []struct {
		codec      Codec
		key, value string
		want       Options
		err        string
	}{
		{codec: Gzip, want: Options{Level: 7}},
		{codec: Gzip, key: "zlib.compress.level", value: "BEST_SPEED", want: Options{Level: 1}},
		{codec: Deflate, key: "zlib.compress.level", value: "NO_COMPRESSION"},
		{codec: Default, key: "zlib.compress.level", value: "9", err: `zlib.compress.level of the Hadoop configuration: "9" is not DEFAULT_COMPRESSION`},
		{codec: Snappy, want: Options{Buffer: 262144}},
		{codec: Snappy, key: "io.compression.codec.snappy.buffersize", value: "65536", want: Options{Buffer: 65536}},
		{codec: LZ4, key: "io.compression.codec.lz4.buffersize", value: "-1", err: `"-1" is not a number from 4096 to 67108864`},
		{codec: Zstandard, want: Options{Level: 3}},
		{codec: Zstandard, key: "io.compression.codec.zstd.level", value: "0", want: Options{Level: 3}},
		{codec: Zstandard, key: "io.compression.codec.zstd.level", value: "x", err: "is not a number"},
		{codec: Bzip2},
		{codec: None},
	} {
		got, err := x.codec.Options(func(key, otherwise string) string {
			if key == x.key {
				return x.value
			}
			return otherwise
		})
		if x.err == "" && (got != x.want || err != nil) || x.err != "" && (err == nil || !strings.Contains(err.Error(), x.err)) {
			t.Errorf("%s with %s = %s: %+v, %v, want %+v, %s", x.codec, x.key, x.value, got, err, x.want, x.err)
		}
	}
	for _, level := range []int{0, 1, 9} {
		var out bytes.Buffer
		w := NewPool(Gzip, Options{Level: level}, 0).NewWriter(&out)
		if _, err := io.WriteString(w, text(huge())); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		if decompress(t, Gzip, out.Bytes()) != text(huge()) || level == 0 && out.Len() < 2_000_000 || level > 0 && out.Len() > 20_000 {
			t.Errorf("level %d makes %d bytes", level, out.Len())
		}
	}
}

func codecs() (all []Codec) {
	for c := Default; c <= Zstandard; c++ {
		all = append(all, c)
	}
	return all
}

// What was written before a Flush can be read of a file that ends there; what was written before a Finish is whole.
func TestFlush(t *testing.T) {
	for _, c := range codecs() {
		var out bytes.Buffer
		w := NewPool(c, c.Defaults(), 1).NewWriter(&out)
		want := ""
		for i := range 4 {
			part := strings.Repeat(fmt.Sprintf("line %d of the file\n", i), 10*i+1)
			want += part
			if _, err := io.WriteString(w, part); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			r := NewReader(c, bytes.NewReader(out.Bytes()))
			got, err := io.ReadAll(r)
			if string(got) != want {
				t.Errorf("%s: after flush %d there are %d bytes, want %d", c, i, len(got), len(want))
			}
			if c.Mid() && (!errors.Is(err, ErrTorn) || r.Whole() != 0) || !c.Mid() && (err != nil || r.Whole() != int64(out.Len())) {
				t.Errorf("%s: after flush %d whole up to %d of %d, %v", c, i, r.Whole(), out.Len(), err)
			}
			r.Close()
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		size := out.Len()
		if err := errors.Join(w.Finish(), w.Flush()); err != nil || out.Len() != size || w.coder != nil {
			t.Errorf("%s: between members there came %d bytes, %v", c, out.Len()-size, err)
		}
		if decompress(t, c, out.Bytes()) != want {
			t.Error(c, "finished is not what was written")
		}
	}
}

// A file cut anywhere, also with zeros in place of what is missing, is whole up to the last member.
func TestTorn(t *testing.T) {
	for _, c := range codecs() {
		var file []byte
		content := ""
		ends := map[int]string{0: ""}
		for _, batch := range small() {
			file = append(file, compress(t, c, [][]string{batch})...)
			content += strings.Join(batch, "")
			ends[len(file)] = content
		}
		r := NewReader(c, nil)
		for n := range len(file) + 1 {
			if c == Bzip2 && n%10 != 0 && ends[n] == "" {
				continue
			}
			for _, zeros := range []int{0, 40} {
				cut := append(file[:n:n], make([]byte, zeros)...)
				last, whole := 0, ""
				for end, s := range ends {
					if end > last && bytes.HasPrefix(cut, file[:end]) { // a member may end with zeros
						last, whole = end, s
					}
				}
				r.Reset(bytes.NewReader(cut))
				got, err := io.ReadAll(r)
				padded := zeros > 0 && (c == Snappy || c == LZ4) // blocks of length zero
				if !padded && r.Whole() != int64(last) || !strings.HasPrefix(string(got), whole) {
					t.Fatalf("%s cut at %d, with %d zeros: whole up to %d, want %d", c, n, zeros, r.Whole(), last)
				}
				if torn := len(cut) != last; !padded && (torn && !errors.Is(err, ErrTorn) || !torn && err != nil) {
					t.Fatalf("%s cut at %d, with %d zeros: %v", c, n, zeros, err)
				}
			}
		}
		r.Close()
	}
}

// A changed byte is not taken for content where the format has a checksum.
func TestDamage(t *testing.T) {
	for _, c := range []Codec{Default, Gzip, Bzip2, Zstandard} {
		file := compress(t, c, small())
		for i := 0; i < len(file); i += 2 {
			bad := bytes.Clone(file)
			bad[i] ^= 0x10
			r := NewReader(c, bytes.NewReader(bad))
			got, err := io.ReadAll(r)
			if err == nil && string(got) != text(small()) {
				t.Errorf("%s: with byte %d changed %d bytes are read without an error", c, i, len(got))
			}
			r.Close()
		}
	}
}

// A failing is an io.Writer that takes so many bytes.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// After an error nothing is written until Reset, and nothing of the broken member comes later.
func TestBroken(t *testing.T) {
	for _, c := range codecs() {
		p := NewPool(c, c.Defaults(), 2)
		for _, left := range []int{0, 5, 20} {
			w := p.NewWriter(&failing{left})
			var err error
			for range 3 {
				_, writeErr := io.WriteString(w, "broken "+text(small()))
				err = errors.Join(err, writeErr, w.Finish())
			}
			if !errors.Is(err, io.ErrShortWrite) || w.coder != nil {
				t.Fatalf("%s: %v", c, err)
			}
			var out bytes.Buffer
			w.Reset(&out)
			if _, err := io.WriteString(w, "lost"); err != nil {
				t.Fatal(err)
			}
			out.Reset()
			w.Reset(&out)
			if _, err := io.WriteString(w, "whole"); err != nil {
				t.Fatal(err)
			}
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			if got := decompress(t, c, out.Bytes()); got != "whole" {
				t.Errorf("%s: %q", c, got)
			}
		}
		if len(p.free) != 1 {
			t.Errorf("%s: one goroutine left %d states", c, len(p.free))
		}
	}
}

// heap is what is live.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// 5,000 open files cost a state for each goroutine that writes, and little for each file. The package's text has the
// numbers.
func TestMemory(t *testing.T) {
	const files = 5000
	batch := []byte(strings.Repeat(text(small()), 100)) // 43 kB
	for _, c := range codecs() {
		p := NewPool(c, c.Defaults(), 1)
		write := func(w *Writer, n int) {
			for range n {
				if _, err := w.Write(batch); err != nil {
					t.Fatal(err)
				}
			}
		}
		before := heap()
		writers := make([]*Writer, files)
		for i := range writers {
			writers[i] = p.NewWriter(io.Discard)
		}
		each := (heap() - before) / files
		before = heap()
		write(writers[0], 1)
		small := heap() - before
		write(writers[0], 30)
		large := heap() - before
		if err := writers[0].Finish(); err != nil {
			t.Fatal(err)
		}
		for _, w := range writers[1:5] {
			write(w, 1)
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
		}
		kept := heap() - before
		t.Logf("%-9s a file %d bytes; a state %5d kB after 43 kB, %5d kB after 1.3 MB, kept %5d kB", c, each, small>>10, large>>10, kept>>10)
		if each > 128 || large > 16<<20 || kept > large+1<<20 {
			t.Errorf("%s: a file %d, a state %d, kept %d", c, each, large, kept)
		}
		runtime.KeepAlive(writers)
	}
}

func TestAllocations(t *testing.T) {
	batch := []byte(strings.Repeat(text(small()), 100))
	for _, c := range codecs() {
		w := NewPool(c, c.Defaults(), 1).NewWriter(io.Discard)
		member := func() {
			if _, err := w.Write(batch); err != nil {
				t.Fatal(err)
			}
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
		}
		member()
		if n := testing.AllocsPerRun(5, member); n > 2 {
			t.Errorf("%s: %.0f allocations for a member", c, n)
		}
	}
}

func BenchmarkMember(b *testing.B) {
	batch := []byte(lines(40_000))
	for _, c := range codecs() {
		b.Run(c.String(), func(b *testing.B) {
			w := NewPool(c, c.Defaults(), 1).NewWriter(io.Discard)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Write(batch); err != nil {
					b.Fatal(err)
				}
				if err := w.Finish(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(compress(b, c, [][]string{{string(batch)}})))/float64(len(batch)), "ratio")
		})
	}
}

// lines are n bytes of a web server's log.
func lines(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "10.%d.%d.%d - - [21/Nov/2026:21:%02d:%02d +0000] \"GET /api/v1/users/%d HTTP/1.1\" %d %d\n", r.IntN(4), r.IntN(256), r.IntN(256), r.IntN(60), r.IntN(60), r.IntN(1e6), []int{200, 304, 404}[r.IntN(3)], r.IntN(50_000))
	}
	return b.String()[:n]
}

func FuzzReader(f *testing.F) {
	for _, c := range codecs() {
		f.Add(byte(c), compress(f, c, small()))
	}
	f.Add(byte(Snappy), []byte{0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, c byte, p []byte) {
		codec := Codec(c)%Zstandard + 1
		r := NewReader(codec, bytes.NewReader(p))
		defer r.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(r, 64<<20))
		if n == 64<<20 {
			return
		}
		if r.Whole() > int64(len(p)) || err == nil && r.Whole() != int64(len(p)) || err != nil && !errors.Is(err, ErrTorn) {
			t.Fatalf("%s: whole up to %d of %d, %v", codec, r.Whole(), len(p), err)
		}
		again := NewReader(codec, bytes.NewReader(p[:r.Whole()]))
		defer again.Close()
		if _, err := io.Copy(io.Discard, again); err != nil {
			t.Fatalf("%s cut at %d: %v", codec, r.Whole(), err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(byte(0), []byte("body"), uint8(3))
	f.Fuzz(func(t *testing.T, c byte, p []byte, times uint8) {
		codec := Codec(c)%Zstandard + 1
		var all [][]string
		for i := range int(times)%4 + 1 {
			all = append(all, []string{string(p[:len(p)*i/4]), strings.Repeat(string(p), int(times))})
		}
		file := compress(t, codec, all)
		if got := decompress(t, codec, file); got != text(all) {
			t.Fatalf("%s: %d bytes became %d", codec, len(text(all)), len(got))
		}
	})
}

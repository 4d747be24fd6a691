package seqfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		if err == io.EOF {
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
			t.Fatalf("record %d is (%d, %.40q), want (%d, %.40q)", i, got[i].key, got[i].value, want[i].key, want[i].value)
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
				want[10].value, want[11].value = "žluťoučký 鍵 😀", strings.Repeat("x", 40)
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
			step := 1
			if f.Codec == hadoopcodec.Bzip2 || f.Codec == hadoopcodec.Zstandard {
				step = 13
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

package hadoopcodec

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

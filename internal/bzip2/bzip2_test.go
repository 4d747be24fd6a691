package bzip2

import (
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

func compress(t testing.TB, w *Writer, parts ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w.Reset(&out)
	for _, p := range parts {
		if n, err := w.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func roundTrip(t testing.TB, w *Writer, p []byte) {
	t.Helper()
	packed := compress(t, w, p)
	got, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(packed)))
	if err != nil || !bytes.Equal(got, p) {
		t.Fatalf("%d bytes, %.60x…, became %d: %v", len(p), p, len(got), err)
	}
}

// The order of rotations is that of a plain sort.
func TestRotations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s sorter
	for i := range 10_000 {
		p := make([]byte, 1+r.IntN(60))
		letters := 1 + r.IntN(4)
		for j := range p {
			p[j] = byte(r.IntN(letters)) * 85
		}
		if i%3 == 0 {
			p = bytes.Repeat(p, 1+r.IntN(4))
		}
		last, home := s.rotations(nil, p)
		twice := slices.Concat(p, p)
		order := make([]int, len(p))
		for j := range order {
			order[j] = j
		}
		slices.SortFunc(order, func(a, b int) int { return bytes.Compare(twice[a:a+len(p)], twice[b:b+len(p)]) })
		for j, at := range order {
			if want := twice[at+len(p)-1]; last[j] != want {
				t.Fatalf("%x: the last bytes are %x; at %d, want %x", p, last, j, want)
			}
		}
		if at := order[home]; !bytes.Equal(twice[at:at+len(p)], p) {
			t.Fatalf("%x is not rotation %d", p, home)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	w := NewWriter(io.Discard)
	random := make([]byte, 1_000_000)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	fibonacci := []byte("a")
	for before := []byte("b"); len(fibonacci) < 1_500_000; {
		before, fibonacci = fibonacci, slices.Concat(fibonacci, before)
	}
	skewed := make([]byte, 600_000) // code lengths above the limit
	for i, at, n := 0, 0, 1; i < 25; i++ {
		for j := 0; j < n && at < len(skewed); j++ {
			skewed[at] = byte(i * 10)
			at++
		}
		n = n*3/2 + 1
	}
	r.Shuffle(len(skewed), func(i, j int) { skewed[i], skewed[j] = skewed[j], skewed[i] })
	for _, p := range [][]byte{nil, {0}, {255}, []byte("banana"), random, random[:255], fibonacci, skewed,
		make([]byte, 2_000_000), bytes.Repeat([]byte("ab"), 700_000), bytes.Repeat([]byte("aaaab"), 300_000)} {
		roundTrip(t, w, p)
	}
	for n := range 300 { // the ends of runs
		roundTrip(t, w, bytes.Repeat([]byte{'x'}, n))
	}
	if got := compress(t, w); string(got) != "BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00" {
		t.Errorf("an empty stream is %x", got)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("banana"), uint16(3))
	f.Add([]byte{0, 0, 0, 0, 0, 1, 255}, uint16(300))
	f.Fuzz(func(t *testing.T, p []byte, times uint16) {
		roundTrip(t, NewWriter(io.Discard), bytes.Repeat(p, 1+int(times)%400))
	})
}

// BenchmarkStream compresses a log in streams of several sizes.
func BenchmarkStream(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var log bytes.Buffer
	for log.Len() < 4_000_000 {
		fmt.Fprintf(&log, "10.%d.%d.%d - - [21/Nov/2026:21:%02d:%02d +0000] \"GET /api/v1/users/%d HTTP/1.1\" %d %d\n", r.IntN(4), r.IntN(256), r.IntN(256), r.IntN(60), r.IntN(60), r.IntN(1e6), []int{200, 304, 404}[r.IntN(3)], r.IntN(50_000))
	}
	for _, n := range []int{500, 40_000, 4_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := NewWriter(io.Discard)
			p := log.Bytes()[:n]
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				w.Reset(io.Discard)
				if _, err := w.Write(p); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(compress(b, w, p))), "bytes")
		})
	}
}

package unzip

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func pack(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		z := gzip.NewWriter(&b)
		if _, err := z.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// Whatever is asked for, in whatever order, is what was packed.
func TestReadAt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 500_000)
	for i := range content {
		content[i] = byte(r.IntN(7))
	}
	for _, file := range [][]byte{pack(t, content), pack(t, content[:1000], content[1000:])} {
		if !Packed(bytes.NewReader(file)) {
			t.Error("it is not packed")
		}
		u, err := New(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for range 300 {
			if r.IntN(10) == 0 {
				at = r.IntN(len(content) + 100)
			}
			p := make([]byte, r.IntN(100_000))
			n, err := u.ReadAt(p, int64(at))
			end := min(at+len(p), len(content))
			if want := content[min(at, end):end]; !bytes.Equal(p[:n], want) || (n < len(p)) != (err != nil) || err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("%d bytes from %d on: %d bytes, %v", len(p), at, n, err)
			}
			at += n / 2
		}
		if cap(u.have) > 400_000 {
			t.Errorf("it holds %d bytes", cap(u.have))
		}
	}
}

func TestDamaged(t *testing.T) {
	file := pack(t, []byte("some text that is packed"))
	for cut := range len(file) {
		u, err := New(bytes.NewReader(file[:cut]))
		if err == nil {
			_, err = u.ReadAt(make([]byte, 100), 0)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	file[len(file)-6]++ // the sum
	u, err := New(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := u.ReadAt(make([]byte, 100), 0); n != 24 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if Packed(bytes.NewReader([]byte("\x1f"))) || Packed(bytes.NewReader([]byte("text"))) {
		t.Error("text is packed")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(pack(f, []byte("text")), uint16(2))
	f.Fuzz(func(t *testing.T, file []byte, from uint16) {
		u, err := New(bytes.NewReader(file))
		if err != nil {
			return
		}
		p := make([]byte, 1000)
		n, _ := u.ReadAt(p, int64(from))
		again := make([]byte, 1000)
		m, _ := u.ReadAt(again, int64(from))
		if n != m || !bytes.Equal(p, again) {
			t.Errorf("%q, then %q", p[:n], again[:m])
		}
	})
}

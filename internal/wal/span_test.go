package wal

import (
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// The span of a log is what lies behind its oldest event, in this run and, fill left out, in the next.
func TestSpan(t *testing.T) {
	mem := memory(t)
	o := smallOptions()
	o.Capacity, o.MaxFileSize = 10_000, 20_000
	l, _, err := Open(mem, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := l.Span(); n != 0 {
		t.Errorf("an empty log spans %d bytes", n)
	}
	var put int64
	for range 200 {
		b := flume.Batch{{Body: []byte(strings.Repeat("x", 500))}}
		n, err := l.Size(b)
		if err != nil {
			t.Fatal(err)
		}
		l.Admit(1)
		if err := l.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if put += n; l.Span() != put {
			t.Fatalf("it spans %d bytes of %d", l.Span(), put)
		}
	}
	take := func(n int) *Taken {
		tk, err := l.Take(n, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		return tk
	}
	first := take(50)
	second := take(50)
	if err := second.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := l.Span(); n <= put {
		t.Errorf("it spans %d bytes though the first event is there, and %d were put", n, put)
	}
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := l.Span()
	if before < put/2 || before > put/2+10_000 {
		t.Errorf("it spans %d bytes, and half of %d", before, put)
	}
	var left vfs.FS = mem.Killed()
	again, _, err := Open(left, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := again.Span(); n < before || n > before+1000 { // the files' own ends
		t.Errorf("it spans %d bytes after a kill, and %d before", n, before)
	}
	for _, x := range []*Log{l, again} {
		if err := x.Close(true); err != nil {
			t.Error(err)
		}
	}
}

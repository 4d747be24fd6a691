package wal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluice-io/sluice/internal/vfs"
)

func flat(blocks [][]Pointer) []Pointer { return slices.Concat(blocks...) }

// Scanning files side by side, with little memory, gives what scanning them in turn gives.
func TestReplaySideBySide(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := memory(t)
	o := smallOptions()
	o.DataDirs = []string{"/d1", "/d2", "/d3"}
	o.Capacity, o.MaxFileSize = 100_000, 200_000
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 1500 {
		var texts []string
		for range 1 + r.IntN(30) {
			texts = append(texts, fmt.Sprint(n, " ", string(make([]byte, r.IntN(200)))))
			n++
		}
		putTexts(t, l, texts...)
		if r.IntN(2) == 0 {
			x, err := l.Take(r.IntN(40), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if x != nil {
				if err := x.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	m = m.Clone()
	for _, checkpoint := range []bool{true, false} {
		if !checkpoint {
			wipe(t, m, "/c")
		}
		var want []Pointer
		for _, few := range []int64{1 << 40, 4 << 20, 64 << 10, 1 << 10} {
			o.few = few
			x, err := look(m, &o)
			if err != nil {
				t.Fatal(err)
			}
			got := flat(x.got.queue)
			if want == nil {
				want = got
				if len(want) < 5000 || len(x.list.files) < 10 {
					t.Fatalf("only %d events in %d files", len(want), len(x.list.files))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("checkpoint %v, %d bytes at once: %d events, want %d", checkpoint, few, len(got), len(want))
			}
		}
		o.Sequential = true
		x, err := look(m, &o)
		if err != nil || x.got.size != len(want) {
			t.Errorf("in Flume's old order: %v, %v", x, err)
		}
		o.Sequential = false
	}
}

// A read error ends a replay, and no goroutine stays behind.
func TestReplayThatFails(t *testing.T) {
	m := memory(t)
	o := smallOptions()
	o.MaxFileSize, o.Capacity = 3000, 10_000
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		putTexts(t, l, fmt.Sprint(i))
	}
	m = m.Clone()
	wipe(t, m, "/c")
	for _, few := range []int64{1 << 40, 1 << 10} {
		o.few = few
		b := &broken{FS: m, name: "/d/log-5"}
		if _, err := look(b, &o); err == nil {
			t.Error("a file that cannot be read is passed over")
		}
		if b.open != 0 {
			t.Errorf("%d files are still open", b.open)
		}
	}
}

// broken is a file system with one file that cannot be read beyond its first bytes.
type broken struct {
	vfs.FS
	name string
	open int
}

type brokenFile struct {
	vfs.File
	b   *broken
	bad bool
}

func (b *broken) Open(name string) (vfs.File, error) {
	f, err := b.FS.Open(name)
	if err != nil {
		return nil, err
	}
	b.open++
	return &brokenFile{f, b, name == b.name}, nil
}

func (f *brokenFile) ReadAt(p []byte, off int64) (int, error) {
	if f.bad && len(p) > 100 {
		return 0, errDisk
	}
	return f.File.ReadAt(p, off)
}

func (f *brokenFile) Close() error {
	f.b.open--
	return f.File.Close()
}

func TestStepsComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var in, out stepCoder
	var b []byte
	var want []step
	for range 10_000 {
		s := step{what: stepKind(r.IntN(5)), tx: 1_700_000_000_000 + r.Int64N(5), woid: r.Int64()}
		if r.IntN(2) == 0 && len(want) > 0 {
			s.woid = want[len(want)-1].woid + 1
		}
		switch s.what {
		case stepPut:
			s.at = r.Int64N(1 << 31)
		case stepTake:
			s.take = pointer(uint32(r.IntN(1<<31)), r.Int64N(1<<31))
		case stepRollback, stepCommitPuts, stepCommitTakes, stepDamage:
		}
		b = in.append(b, &s)
		want = append(want, s)
	}
	for i, w := range want {
		var s step
		s, b = out.next(b)
		if s != w {
			t.Fatalf("step %d: %+v, want %+v", i, s, w)
		}
	}
	if len(b) > 0 {
		t.Errorf("%d bytes are left", len(b))
	}
}

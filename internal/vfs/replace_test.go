package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// After every change that Replace makes a power cut leaves the old file or the new one, and the new one when it has returned.
func TestReplacePowerLoss(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := NewMemory()
	if err := m.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	text := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d,", i), 1+300*(i%5)) }
	safe := -1
	now := 0
	look := func() {
		for range 20 {
			got, err := ReadFile(m.Crash(r), "/d/f")
			switch {
			case safe < 0 && errors.Is(err, fs.ErrNotExist), safe >= 0 && bytes.Equal(got, text(safe)), bytes.Equal(got, text(now)) && safe < now:
			default:
				t.Fatalf("writing %d after %d left %.20q, %v", now, safe, got, err)
			}
		}
	}
	m.After = func(Op) { look() }
	for ; now < 20; now++ {
		if now%7 == 3 { // an attempt that was cut off
			f, err := m.Create("/d/.f.tmp")
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := Replace(m, "/d/f", text(now)); err != nil {
			t.Fatal(err)
		}
		safe = now
		look()
	}
}

func TestReplaceFails(t *testing.T) {
	full := errors.New("the disk is full")
	for _, kind := range []OpKind{OpCreate, OpWrite, OpSync, OpRename, OpSyncDir} {
		m := NewMemory()
		if err := errors.Join(m.MkdirAll("/d"), Replace(m, "/d/f", []byte("old"))); err != nil {
			t.Fatal(err)
		}
		m.Before = func(op Op) error {
			if op.Kind == kind {
				return full
			}
			return nil
		}
		if err := Replace(m, "/d/f", []byte("new")); !errors.Is(err, full) {
			t.Errorf("%v: %v", kind, err)
		}
		want := "old"
		if kind == OpSyncDir { // it is there, and may not be after a power cut
			want = "new"
		}
		if got, err := ReadFile(m, "/d/f"); string(got) != want || err != nil {
			t.Errorf("%v: %q, %v", kind, got, err)
		}
		if all, err := m.List("/d"); len(all) != 1 || err != nil {
			t.Errorf("%v leaves %v, %v", kind, all, err)
		}
	}
}

func TestReplaceOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"one", "", "three"} {
		if err := Replace(OS{}, path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); string(got) != text || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestAppender(t *testing.T) {
	m := NewMemory()
	if err := errors.Join(m.MkdirAll("/d"), Replace(m, "/d/f", []byte("head\n"))); err != nil {
		t.Fatal(err)
	}
	a, err := Append(m, "/d/f")
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("x"), 2*block)
	m.Limit(m.Used() + block)
	for _, x := range []struct {
		text []byte
		err  error
	}{{[]byte("one\n"), nil}, {long, syscall.ENOSPC}, {[]byte("two\n"), nil}} {
		if _, err := a.Write(x.text); !errors.Is(err, x.err) {
			t.Errorf("%.5q: %v", x.text, err)
		}
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if got, err := ReadFile(m, "/d/f"); string(got) != "head\none\ntwo\n" || err != nil {
		t.Errorf("%.40q, %v", got, err)
	}
	if _, err := Append(m, "/d/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

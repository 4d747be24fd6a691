package wal

import (
	"sync/atomic"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// A countingFS counts the bytes that are read.
type countingFS struct {
	vfs.FS
	read *atomic.Int64
}

type countingFile struct {
	vfs.File
	read *atomic.Int64
}

func (f countingFS) Open(name string) (vfs.File, error) {
	file, err := f.FS.Open(name)
	return countingFile{file, f.read}, err
}

func (f countingFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.read.Add(int64(n))
	return n, err
}

// A long run of events is read once, however large the take is.
func TestTakeReadsOnce(t *testing.T) {
	o := smallOptions()
	o.Capacity, o.MaxFileSize = 1<<20, LargestFile
	m := memory(t)
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	b := make(flume.Batch, 20_000)
	for i := range b {
		b[i].Body = make([]byte, 150)
	}
	if err := l.Reserve(t.Context(), len(b)); err != nil {
		t.Fatal(err)
	}
	if err := l.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	read := new(atomic.Int64)
	if l, _, err = Open(countingFS{m, read}, o); err != nil {
		t.Fatal(err)
	}
	read.Store(0)
	x, err := l.Take(len(b), 64<<20)
	if err != nil || len(x.Batch()) != len(b) {
		t.Fatal(err)
	}
	e, err := m.Stat("/d/log-1")
	if err != nil {
		t.Fatal(err)
	}
	if n := read.Load(); n > 2*e.Size {
		t.Errorf("%d bytes were read of a file of %d", n, e.Size)
	}
}

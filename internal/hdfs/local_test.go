package hdfs

import (
	"errors"
	"fmt"

	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestLocal(t *testing.T) {
	root, _, err := Split("file:///tmp", NewConf())
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	names(t, t.Context(), f, dir)

	name := filepath.Join(dir, "new", "file")
	w, err := f.Create(t.Context(), name, CreateOptions{Permission: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		fmt.Fprintf(stream{t, w}, "line %d\n", i)
		if err := w.Flush(t.Context(), Durability(i%2)); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(name); err != nil || int64(len(b)) != w.Acked() {
			t.Errorf("%d bytes of %d, %v", len(b), w.Acked(), err)
		}
	}
	w.Abandon()
	if i, err := f.Recover(t.Context(), name); err != nil || i.Size != 35 || i.Permission != 0o600 {
		t.Error(i, err)
	}
	if w, err = f.Append(t.Context(), name); err != nil || w.Size() != 35 {
		t.Fatal(err)
	}
	fmt.Fprintf(stream{t, w}, "line 5\n")
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if i, err := f.Stat(t.Context(), name); err != nil || i.Size != 42 || i.Name != "file" {
		t.Error(i, err)
	}
	if err := f.Mkdirs(t.Context(), dir+"/x/y"); err != nil {
		t.Error(err)
	}
	if _, err := f.Create(t.Context(), dir+"/x", CreateOptions{}); err == nil {
		t.Error("a directory is a file")
	}
	if _, err := f.Open(t.Context(), dir+"/none", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

type stream struct {
	t *testing.T
	f File
}

func (s stream) Write(p []byte) (int, error) { return s.f.Write(s.t.Context(), p) }

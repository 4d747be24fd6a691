package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// names is what every file system has to do.
func names(t *testing.T, ctx context.Context, f FS, dir string) {
	t.Helper()
	write := func(name, text string) {
		w, err := f.Create(ctx, name, CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := w.Write(ctx, []byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
		if err := w.Close(ctx); err != nil {
			t.Fatal(err)
		}
		w.Abandon()
	}
	write(dir+"/deep/er/a", "first")
	write(dir+"/deep/er/a", "second")
	write(dir+"/c", "")
	if _, err := f.Create(ctx, dir+"/c", CreateOptions{New: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("making a file anew that is there: %v", err)
	}
	if err := f.Rename(ctx, dir+"/deep/er/a", dir+"/b"); err != nil {
		t.Error(err)
	}
	if err := f.Rename(ctx, dir+"/b", dir+"/c"); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if err := f.Rename(ctx, dir+"/none", dir+"/d"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := f.Stat(ctx, dir+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := f.Append(ctx, dir+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if i, err := f.Stat(ctx, dir+"/b"); err != nil || i.Size != 6 || i.Dir || i.Name != "b" {
		t.Error(i, err)
	}
	if err := f.Truncate(ctx, dir+"/b", 3); err != nil {
		t.Error(err)
	}
	r, err := f.Open(ctx, dir+"/b", 1)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); string(b) != "ec" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	r.Close()
	var list []string
	for i, err := range f.List(ctx, dir) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(i.Name, i.Dir))
	}
	if got := strings.Join(list, " "); got != "bfalse cfalse deeptrue" {
		t.Errorf("listed: %s", got)
	}
	if err := f.Delete(ctx, dir+"/deep", false); err == nil {
		t.Error("a directory with files is gone")
	}
	for range 2 {
		if err := f.Delete(ctx, dir+"/deep", true); err != nil {
			t.Error(err)
		}
	}
}

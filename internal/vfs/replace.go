package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// Replace puts a small file with this content in the place of whatever has its name, in one step that a kill or a power
// cut comes before or after. When it has returned nil, the content and the name are safe. It is written as .NAME.tmp
// beside it first.
func Replace(fsys FS, path string, text []byte) error {
	if err := Swap(fsys, path, text, true); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// Swap is Replace for who syncs the directory later. Without whole a kill leaves the one or the other file, but a power
// cut may leave an empty or a torn one, until the file is synced.
func Swap(fsys FS, path string, text []byte, whole bool) (err error) {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing what is left of an earlier attempt: %w", err)
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = fsys.Remove(tmp) // the error before says more
		}
	}()
	_, err = f.WriteAt(text, 0)
	if err == nil && whole {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(tmp), err)
	}
	return fsys.Rename(tmp, path)
}

// ReadFile returns what a file holds.
func ReadFile(fsys FS, path string) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return text, nil
}

// An Appender writes behind the end of a file. What was written in part does not stay.
type Appender struct {
	File
	Size int64
}

// Append opens a file that is there for writing behind its end.
func Append(fsys FS, path string) (*Appender, error) {
	f, err := fsys.OpenWrite(path)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Appender{f, size}, nil
}

// Write implements io.Writer.
func (a *Appender) Write(p []byte) (int, error) {
	n, err := a.WriteAt(p, a.Size)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, a.Truncate(a.Size))
		}
		return 0, err
	}
	a.Size += int64(n)
	return n, nil
}

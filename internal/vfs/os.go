package vfs

import (
	"errors"
	"os"
	"path/filepath"
)

// OS is the machine's own file system.
type OS struct{}

var _ FS = OS{}

type osFile struct{ *os.File }

// Open implements [FS].
func (OS) Open(name string) (File, error) { return osOpen(name, os.O_RDONLY) }

// OpenWrite implements [FS].
func (OS) OpenWrite(name string) (File, error) { return osOpen(name, os.O_RDWR) }

// Create implements [FS].
func (OS) Create(name string) (File, error) { return osOpen(name, os.O_RDWR|os.O_CREATE|os.O_EXCL) }

func osOpen(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename implements [FS].
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements [FS].
func (OS) Remove(name string) error { return os.Remove(name) }

// MkdirAll implements [FS]. The directories it makes are synced into their parents.
func (o OS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	var made []string
	for d := dir; ; d = filepath.Dir(d) {
		_, err := os.Stat(d)
		if err == nil || filepath.Dir(d) == d {
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range made {
		if err := o.SyncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// List implements [FS]. A file that goes away meanwhile is left out.
func (OS) List(dir string) ([]Entry, error) {
	des, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, 0, len(des))
	for _, de := range des {
		fi, err := os.Stat(filepath.Join(dir, de.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Entry{Name: de.Name(), Size: fi.Size(), Dir: fi.IsDir()})
	}
	return out, nil
}

// Stat implements [FS].
func (OS) Stat(name string) (Entry, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Name: filepath.Base(name), Size: fi.Size(), Dir: fi.IsDir()}, nil
}

// Size implements [File].
func (f osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

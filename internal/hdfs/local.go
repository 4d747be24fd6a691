package hdfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"syscall"
)

// local is the machine's own file system. Hflush leaves the bytes with the kernel, so they outlive the process; Hsync
// puts them on the disk, and with the first one the file's name.
type local struct{}

func (local) Create(ctx context.Context, name string, o CreateOptions) (File, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, wrap("creating", name, err)
	}
	if o.Permission == 0 {
		o.Permission = modeDefault
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return nil, wrap("creating", name, err)
	}
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if o.New {
		flag = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(name, flag, o.Permission)
	if err != nil {
		return nil, wrap("creating", name, err)
	}
	return &localFile{f: f}, nil
}

func (local) Append(ctx context.Context, name string) (File, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, wrap("appending to", name, err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, wrap("appending to", name, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, wrap("appending to", name, errors.Join(err, f.Close()))
	}
	return &localFile{f: f, size: size}, nil
}

func (local) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, wrap("opening", name, err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, wrap("opening", name, errors.Join(err, f.Close()))
	}
	return f, nil
}

func (local) Rename(ctx context.Context, from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(from)))
}

func (local) Delete(ctx context.Context, name string, recursive bool) error {
	if recursive {
		return wrap("deleting", name, os.RemoveAll(name))
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap("deleting", name, err)
	}
	return nil
}

func (local) Mkdirs(ctx context.Context, name string) error {
	return wrap("making the directory", name, os.MkdirAll(name, 0o777))
}

func (local) Stat(ctx context.Context, name string) (Info, error) {
	i, err := os.Stat(name)
	if err != nil {
		return Info{}, wrap("looking at", name, err)
	}
	return localInfo(i), nil
}

func localInfo(i fs.FileInfo) Info {
	return Info{Name: i.Name(), Size: i.Size(), Dir: i.IsDir(), Modified: i.ModTime(), Permission: i.Mode().Perm(), Replication: 1}
}

func (local) List(ctx context.Context, dir string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			yield(Info{}, wrap("listing", dir, err))
			return
		}
		for _, e := range entries {
			i, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				yield(Info{}, wrap("listing", dir, err))
				return
			}
			if !yield(localInfo(i), nil) {
				return
			}
		}
	}
}

// Recover has nothing to do: what a process wrote is in the file when it is gone.
func (l local) Recover(ctx context.Context, name string) (Info, error) { return l.Stat(ctx, name) }

func (local) Truncate(ctx context.Context, name string, size int64) error {
	return wrap("truncating", name, os.Truncate(name, size))
}

func (local) Close() error { return nil }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return wrap("syncing the directory", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot
		return wrap("syncing the directory", dir, err)
	}
	return nil
}

type localFile struct {
	f     *os.File
	size  int64
	named bool // the name is on the disk
	err   error
}

func (f *localFile) Write(ctx context.Context, p []byte) (int, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, wrap("writing", f.f.Name(), err)
	}
	n, err := f.f.Write(p)
	f.size += int64(n)
	return n, err
}

// Flush gives up a file whose sync failed: the kernel may have dropped what it could not write.
func (f *localFile) Flush(ctx context.Context, d Durability) error {
	if f.err != nil || d == Hflush {
		return f.err
	}
	err := f.f.Sync()
	if err == nil && !f.named {
		err = syncDir(filepath.Dir(f.f.Name()))
		f.named = err == nil
	}
	if err != nil {
		f.err = errors.Join(ErrLost, err)
	}
	return f.err
}

func (f *localFile) Size() int64   { return f.size }
func (f *localFile) Acked() int64  { return f.size }
func (f *localFile) Replicas() int { return 1 }

func (f *localFile) Close(ctx context.Context) error {
	if f.err != nil {
		return f.err
	}
	if err := f.f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return err
	}
	return nil
}

func (f *localFile) Abandon() { f.f.Close() }

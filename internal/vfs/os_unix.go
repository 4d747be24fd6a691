//go:build unix

package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// SyncDir implements [FS].
func (OS) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some network file systems have no such call
		return err
	}
	return nil
}

// Free implements [FS].
func (OS) Free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // the types differ between systems
}

type osLock struct {
	path string
	f    *os.File
}

// Lock implements [FS]. On Linux it is an open-file-description lock, which Java's locks respect and which, unlike the
// older kind, is not lost when another part of this process closes the same file.
func (o OS) Lock(name string) (Lock, error) {
	// A holder that is just ending may remove the file between our open and our lock: then the lock is on a file
	// without a name, and the name has to be locked again.
	for range 16 {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		err = setLock(f)
		switch {
		case err == nil:
		case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES):
			f.Close()
			e := &LockedError{Path: name}
			base := filepath.Base(name)
			if u := o.Users(filepath.Dir(name), func(b string) bool { return b == base }); len(u) > 0 {
				e.Holder = u[0]
			}
			return nil, e
		default:
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: name, Err: err}
		}
		l := &osLock{name, f}
		if l.Held() {
			return l, nil
		}
		f.Close()
	}
	return nil, &LockedError{Path: name}
}

// Held implements [Lock].
func (l *osLock) Held() bool {
	now, err := os.Stat(l.path)
	if err != nil {
		return false
	}
	ours, err := l.f.Stat()
	return err == nil && os.SameFile(now, ours)
}

// Release implements [Lock]. The name goes first: after the unlock somebody else may hold it.
func (l *osLock) Release() error {
	var err error
	if l.Held() {
		err = os.Remove(l.path)
	}
	return errors.Join(err, l.f.Close())
}

//go:build !unix

package vfs

import (
	"math"
	"os"
)

// Sync implements [File].
func (f osFile) Sync() error { return f.File.Sync() }

// Allocate implements [File].
func (osFile) Allocate(int64) error { return nil }

// SyncDir implements [FS]; there is no such call here.
func (OS) SyncDir(string) error { return nil }

// Free implements [FS]; what is not known is taken to be enough.
func (OS) Free(string) (int64, error) { return math.MaxInt64, nil }

type osLock struct {
	path string
	f    *os.File
}

// Lock implements [FS] by keeping the file open; whether that keeps others out is up to the system.
func (OS) Lock(name string) (Lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	return &osLock{name, f}, nil
}

// Held implements [Lock].
func (*osLock) Held() bool { return true }

// Release implements [Lock].
func (l *osLock) Release() error {
	if err := l.f.Close(); err != nil {
		return err
	}
	return os.Remove(l.path)
}

// Users implements [FS].
func (OS) Users(string, func(string) bool) []Process { return nil }

//go:build unix && !linux

package vfs

import (
	"os"
	"syscall"
)

// Sync implements [File].
func (f osFile) Sync() error { return f.File.Sync() }

// Allocate implements [File].
func (osFile) Allocate(int64) error { return nil }

// setLock takes the older kind of lock, which this process loses when any part of it closes the same file.
func setLock(f *os.File) error {
	return syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
}

// Users implements [FS].
func (OS) Users(string, func(string) bool) []Process { return nil }

package vfs

import (
	"fmt"
	"io"
)

// An FS is a file system. Names are paths as the os package takes them.
type FS interface {
	// Open opens a file that is there, for reading only.
	Open(name string) (File, error)
	// OpenWrite opens a file that is there, for reading and writing.
	OpenWrite(name string) (File, error)
	// Create makes a file for reading and writing; that the name is taken is fs.ErrExist.
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	MkdirAll(dir string) error
	// List returns what is in dir, sorted by name.
	List(dir string) ([]Entry, error)
	Stat(name string) (Entry, error)
	// SyncDir makes the names in dir safe.
	SyncDir(dir string) error
	// Free is the number of bytes that may still be written to dir.
	Free(dir string) (int64, error)
	// Lock makes the file name where it is missing and holds an exclusive lock on it. Held by somebody else, the error
	// is a *LockedError.
	Lock(name string) (Lock, error)
	// Users are the other processes that have one of the files in dir open whose base name match accepts. It is a best
	// effort: what this process may not look at, and other systems than Linux, yield nobody.
	Users(dir string, match func(base string) bool) []Process
}

// A File is open until Close.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes the bytes written so far, and the length, safe.
	Sync() error
	// Allocate reserves room on the disk up to byte end without changing the length of the file. Where the system has
	// no such thing it does nothing. What lies beyond the length is given back by Truncate.
	Allocate(end int64) error
}

// An Entry is what a directory has under one name.
type Entry struct {
	Name string // without the directory
	Size int64
	Dir  bool
}

// A Lock is held until Release.
type Lock interface {
	// Held is false when the name no longer means the locked file: somebody has removed it, and the next comer could
	// lock a new one.
	Held() bool
	// Release gives the lock up and removes the file.
	Release() error
}

// A Process is another program on this machine.
type Process struct {
	PID     int
	Command string // as much of it as a person needs
	File    string // what it has open
}

func (p Process) String() string {
	if p.Command == "" {
		return fmt.Sprintf("process %d", p.PID)
	}
	return fmt.Sprintf("process %d (%s)", p.PID, p.Command)
}

// A LockedError says that somebody else holds a lock.
type LockedError struct {
	Path   string
	Holder Process // PID 0: not known who
}

func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("locking %s: another process holds it, or this one by another of its names (a symbolic link?)", e.Path)
	}
	return fmt.Sprintf("locking %s: %s holds it", e.Path, e.Holder)
}

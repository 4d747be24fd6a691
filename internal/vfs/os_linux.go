package vfs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	ofdSetLock   = 37 // F_OFD_SETLK, the same number on every Linux
	keepSize     = 1  // FALLOC_FL_KEEP_SIZE
	commandBytes = 120
)

// Sync implements [File].
func (f osFile) Sync() error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

// Allocate implements [File].
func (f osFile) Allocate(end int64) error {
	at, err := f.Size()
	if err != nil || end <= at {
		return err
	}
	for {
		err := syscall.Fallocate(int(f.Fd()), keepSize, at, end-at)
		switch {
		case err == nil, errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return nil
		case !errors.Is(err, syscall.EINTR):
			return &fs.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
	}
}

func setLock(f *os.File) error {
	whole := syscall.Flock_t{Type: syscall.F_WRLCK}
	err := syscall.FcntlFlock(f.Fd(), ofdSetLock, &whole)
	if errors.Is(err, syscall.EINVAL) { // a kernel before 3.15, or a file system that knows only the older kind
		err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &whole)
	}
	return err
}

// Users implements [FS] by looking through /proc.
func (OS) Users(dir string, match func(base string) bool) []Process {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []Process
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		fds := filepath.Join("/proc", p.Name(), "fd")
		open, err := os.ReadDir(fds)
		if err != nil {
			continue
		}
		for _, fd := range open {
			target, err := os.Readlink(filepath.Join(fds, fd.Name()))
			if err != nil || filepath.Dir(target) != dir || !match(filepath.Base(target)) {
				continue
			}
			out = append(out, Process{PID: pid, Command: command(p.Name()), File: target})
			break
		}
	}
	return out
}

func command(pid string) string {
	b, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
	if err != nil {
		return ""
	}
	s := strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
	if len(s) > commandBytes {
		// The head names the program, the tail of a Java command line the agent.
		s = s[:commandBytes/2] + " … " + s[len(s)-commandBytes/2:]
	}
	return s
}

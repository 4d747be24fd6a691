package vfs

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

type memoryFile struct {
	m        *Memory
	ino      *inode
	path     string
	readOnly bool
	closed   bool
}

// change runs do, which alters the file, between the two hooks.
func (f *memoryFile) change(op Op, do func() error) error {
	op.Path = f.path
	if err := f.m.before(op); err != nil {
		if op.Kind == OpSync {
			f.drop()
		}
		return pathError(op.Kind.String(), f.path, err)
	}
	changed := false
	err := func() error {
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		if f.closed {
			return pathError(op.Kind.String(), f.path, fs.ErrClosed)
		}
		if f.readOnly && op.Kind != OpSync {
			return pathError(op.Kind.String(), f.path, fs.ErrPermission)
		}
		was := len(f.ino.pending)
		err := do()
		changed = err == nil || len(f.ino.pending) > was // also by a write that found room for a part
		return err
	}()
	if changed {
		f.m.after(op)
	}
	return err
}

// drop is what a failed sync does: the bytes that were to become safe never will, though they can be read until the
// power goes, and the next sync does not speak of them. Lengths are not lost.
func (f *memoryFile) drop() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if len(f.ino.pending) == 0 {
		return
	}
	f.ino.torn = true
	f.ino.pending = slices.DeleteFunc(f.ino.pending, func(op fileOp) bool { return !op.truncate })
}

// ReadAt implements io.ReaderAt.
func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return 0, pathError("read", f.path, fs.ErrClosed)
	}
	if off >= int64(len(f.ino.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.ino.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	n := len(p)
	err := f.change(Op{Kind: OpWrite, Off: off, Len: len(p)}, func() error {
		var full error
		if end := off + int64(len(p)); !f.fits(end) {
			n = int(min(max(0, f.most()-off), int64(len(p))))
			full = pathError("write", f.path, syscall.ENOSPC)
			p = p[:n]
		}
		f.do(fileOp{off: off, data: slices.Clone(p)})
		return full
	})
	if err != nil {
		return min(n, len(p)), err
	}
	return n, nil
}

// most is how long the file can become.
func (f *memoryFile) most() int64 {
	return blocks(len(f.ino.now)) + max(0, f.m.limit-f.m.used)/block*block
}

func (f *memoryFile) fits(size int64) bool { return f.m.limit == 0 || size <= f.most() }

// Truncate implements [File].
func (f *memoryFile) Truncate(size int64) error {
	return f.change(Op{Kind: OpTruncate, Off: size}, func() error {
		if !f.fits(size) {
			return pathError("truncate", f.path, syscall.ENOSPC)
		}
		f.do(fileOp{off: size, truncate: true})
		return nil
	})
}

func (f *memoryFile) do(op fileOp) {
	if !op.truncate && len(op.data) == 0 {
		return
	}
	if f.ino.shared {
		f.ino.now, f.ino.shared = slices.Clone(f.ino.now), false
	}
	was := len(f.ino.now)
	f.ino.now = op.apply(f.ino.now)
	f.m.used += blocks(len(f.ino.now)) - blocks(was)
	f.ino.pending = append(f.ino.pending, op)
}

func (op fileOp) apply(to []byte) []byte {
	if op.truncate {
		return resize(to, op.off)
	}
	if end := op.off + int64(len(op.data)); end > int64(len(to)) {
		to = resize(to, end)
	}
	copy(to[op.off:], op.data)
	return to
}

func resize(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		return b[:n]
	}
	was := len(b)
	b = slices.Grow(b, int(n)-was)[:n]
	clear(b[was:])
	return b
}

// Sync implements [File].
func (f *memoryFile) Sync() error {
	return f.change(Op{Kind: OpSync}, func() error {
		if f.ino.torn {
			f.ino.safe = slices.Clone(f.ino.safe)
			for _, op := range f.ino.pending {
				f.ino.safe = op.apply(f.ino.safe)
			}
			f.ino.pending = nil
			return nil
		}
		f.ino.safe, f.ino.shared, f.ino.pending = f.ino.now, true, nil
		return nil
	})
}

// Allocate implements [File].
func (f *memoryFile) Allocate(end int64) error {
	return f.change(Op{Kind: OpAllocate, Off: end}, func() error {
		if !f.fits(end) {
			return pathError("allocate", f.path, syscall.ENOSPC)
		}
		return nil
	})
}

// Size implements [File].
func (f *memoryFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.ino.now)), nil
}

// Close implements io.Closer.
func (f *memoryFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return pathError("close", f.path, fs.ErrClosed)
	}
	f.closed = true
	return nil
}

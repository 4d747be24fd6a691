package logline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A File is a log file that is turned over by size, as Flume's LOGFILE appender does: flume.log becomes flume.log.1,
// flume.log.1 becomes flume.log.2, and the oldest goes. Only one goroutine may write at a time.
type File struct {
	path string
	max  int64 // bytes; a line is never cut, so a file is larger by a line at most
	keep int   // old files
	f    *os.File
	size int64
}

// Open opens or goes on with the file at path and makes its directory.
func Open(path string, max int64, keep int) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the log directory: %w", err)
	}
	w := &File{path: path, max: max, keep: keep}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *File) open() error {
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("opening the log file: %w", err), f.Close())
	}
	w.f, w.size = f, info.Size()
	return nil
}

// Write appends a line.
func (w *File) Write(line []byte) (int, error) {
	var turned error
	if w.size > 0 && w.size+int64(len(line)) > w.max {
		turned = w.turn()
	}
	n, err := w.f.Write(line)
	w.size += int64(n)
	return n, errors.Join(err, turned)
}

// turn goes on with the full file where it cannot be moved away.
func (w *File) turn() error {
	for i := w.keep; i > 0; i-- {
		from := w.path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", w.path, i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", w.path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("turning the log file over: %w", err)
		}
	}
	full := w.f
	if err := w.open(); err != nil {
		return err
	}
	return full.Close()
}

// Close closes the file.
func (w *File) Close() error { return w.f.Close() }

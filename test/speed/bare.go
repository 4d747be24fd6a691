package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
	"github.com/sluice-io/sluice/internal/wal"
)

// A bareLoop writes a group of bytes and syncs it, and nothing else: what the disk can do.
type bareLoop struct {
	f         vfs.File
	group     []byte
	fill      []byte // not empty: written ahead, so that the file grows seldom, as the channel does; empty: the file grows with each group
	pos, size int64
}

// bareFile is the size at which a bare loop begins its file anew.
const bareFile = 1 << 30

// run is how many bytes were safe in how much time.
func (w *bareLoop) run(d time.Duration) (safe int64, took time.Duration, err error) {
	if w.pos > bareFile {
		if err := w.f.Truncate(0); err != nil {
			return 0, 0, err
		}
		w.pos, w.size = 0, 0
		if err := w.f.Sync(); err != nil {
			return 0, 0, err
		}
	}
	begun := time.Now()
	for time.Since(begun) < d {
		if len(w.fill) > 0 && w.pos+int64(len(w.group)) > w.size {
			if _, err := w.f.WriteAt(w.fill, w.pos); err != nil {
				return 0, 0, err
			}
			w.size = w.pos + int64(len(w.fill))
		}
		if _, err := w.f.WriteAt(w.group, w.pos); err != nil {
			return 0, 0, err
		}
		if err := w.f.Sync(); err != nil { // fdatasync, as in both channels
			return 0, 0, err
		}
		w.pos += int64(len(w.group))
		w.size = max(w.size, w.pos)
		safe += int64(len(w.group))
	}
	return safe, time.Since(begun), nil
}

// bareLoops are the two: ahead writes a mebibyte of fill ahead of the groups, as the channel does, plain appends.
func bareLoops(dir string, group int) (ahead, plain *bareLoop, err error) {
	var loops [2]*bareLoop
	for i, name := range []string{"ahead", "plain"} {
		path := filepath.Join(dir, "bare-"+name)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return nil, nil, err
		}
		f, err := vfs.OS{}.Create(path)
		if err != nil {
			return nil, nil, fmt.Errorf("making the file of a bare loop: %w", err)
		}
		loops[i] = &bareLoop{f: f, group: bytes.Repeat([]byte{'x'}, group)}
	}
	loops[0].fill = bytes.Repeat([]byte{0x80}, 1<<20)
	return loops[0], loops[1], nil
}

// logged is how many bytes a batch takes in the log, commit included. Flume and Sluice have the same records.
func logged(ctx context.Context, dir string, batch flume.Batch) (n int, err error) {
	l, _, err := wal.Open(vfs.OS{}, wal.Options{
		CheckpointDir: filepath.Join(dir, "checkpoint"), DataDirs: []string{filepath.Join(dir, "data")},
		Capacity: 2 * len(batch), MaxFileSize: wal.LargestFile,
	})
	if err != nil {
		return 0, err
	}
	before := l.Tail()
	if err := l.Reserve(ctx, len(batch)); err != nil {
		return 0, err
	}
	if err := l.Put(ctx, batch); err != nil {
		return 0, err
	}
	n = int(l.Tail() - before)
	if err := l.Close(false); err != nil {
		return 0, err
	}
	return n, os.RemoveAll(dir)
}

// readAll reads all files below dir from one end to the other and says how fast.
func readAll(dir string) (read int64, took time.Duration, err error) {
	paths, _, err := files(dir)
	if err != nil {
		return 0, 0, err
	}
	buf := make([]byte, 1<<20)
	begun := time.Now()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return 0, 0, err
		}
		n, err := io.CopyBuffer(onlyWriter{}, onlyReader{f}, buf)
		f.Close()
		if err != nil {
			return 0, 0, err
		}
		read += n
	}
	return read, time.Since(begun), nil
}

// These two keep io.CopyBuffer from using anything but the buffer.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{}
)

func (onlyWriter) Write(p []byte) (int, error) { return len(p), nil }

package hdfs

import (
	"bytes"
	"context"
	"io"

	"github.com/sluice-io/sluice/internal/hdfs"
)

// A measure is a way to find the end of the last whole record of a file.
type measure string

const (
	asIs  measure = "bytes" // nothing can be known: all of it
	lines measure = "lines" // the last newline
)

// measureFile returns how many of so many bytes are whole.
func (o *orphan) measureFile(ctx context.Context, size int64) (int64, error) {
	switch o.measure {
	case lines:
		return lastLine(ctx, o.files, o.inUse, size)
	}
	return size, nil
}

// lastLine finds the end of the last line.
func lastLine(ctx context.Context, files hdfs.FS, name string, size int64) (int64, error) {
	const step = 64 << 10
	for to := size; to > 0; to -= min(to, step) {
		from := max(0, to-step)
		part, err := readAt(ctx, files, name, from, to-from)
		if err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
	}
	return 0, nil
}

func readAt(ctx context.Context, files hdfs.FS, name string, from, n int64) ([]byte, error) {
	r, err := files.Open(ctx, name, from)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	part := make([]byte, n)
	_, err = io.ReadFull(r, part)
	return part, err
}

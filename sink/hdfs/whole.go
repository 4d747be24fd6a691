package hdfs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-io/sluice/internal/hadoopcodec"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/seqfile"
)

// A measure is a way to find the end of the last whole record of a file. The name of a codec is one: what was compressed
// together is whole or not.
type measure string

const (
	asIs       measure = "bytes"    // nothing can be known: all of it
	lines      measure = "lines"    // the last newline
	containers measure = "avro"     // the last block of an Avro container
	sequences  measure = "sequence" // the last record or block of a SequenceFile
)

// errDamaged is wrapped where a file is not torn at its end but wrong within: it must not be cut.
var errDamaged = errors.New("it is damaged")

// whole returns how many of so many bytes of a file are whole records.
func (m measure) whole(ctx context.Context, files hdfs.FS, name string, size int64) (int64, error) {
	switch m {
	case asIs:
		return size, nil
	case lines:
		return lastLine(ctx, files, name, size)
	case containers:
		r, err := files.Open(ctx, name, 0)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		return lastBlock(r)
	case sequences:
		tail, err := seqfile.Scan(func(offset int64) (io.ReadCloser, error) { return files.Open(ctx, name, offset) })
		if err != nil {
			return 0, err
		}
		if tail.Beyond > 0 {
			return 0, fmt.Errorf("%w: behind byte %d, and goes on at %d", errDamaged, tail.Whole, tail.Beyond)
		}
		if tail.Records == 0 {
			return 0, nil
		}
		return tail.Whole, nil
	}
	codec, err := hadoopcodec.Find(string(m))
	if err != nil {
		return 0, fmt.Errorf("%w: nobody knows what %q files are", errDamaged, m)
	}
	r, err := files.Open(ctx, name, 0)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	members := hadoopcodec.NewReader(codec, r)
	defer members.Close()
	if _, err := io.Copy(io.Discard, members); err != nil && !errors.Is(err, hadoopcodec.ErrTorn) {
		return 0, err
	}
	return members.Whole(), nil
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

// lastBlock finds the end of the last whole block of an Avro container; 0: there is none.
func lastBlock(r io.Reader) (int64, error) {
	a := container{r: bufio.NewReaderSize(r, 64<<10)}
	sync := a.header()
	var whole int64
	for a.err == nil {
		count, size := a.long(), a.long()
		if a.err == nil && (count <= 0 || size < 0) {
			break
		}
		a.skip(size)
		if mark := a.take(syncSize); a.err != nil || !bytes.Equal(mark, sync) {
			break
		}
		whole = a.at
	}
	if a.err != nil && !errors.Is(a.err, io.EOF) && !errors.Is(a.err, io.ErrUnexpectedEOF) {
		return 0, a.err
	}
	return whole, nil
}

const syncSize = 16

// A container reads an Avro container; its error stays.
type container struct {
	r   *bufio.Reader
	at  int64
	err error
}

// header returns the sync marker.
func (a *container) header() []byte {
	if magic := a.take(4); a.err == nil && string(magic) != "Obj\x01" {
		a.err = io.ErrUnexpectedEOF
	}
	for n := a.long(); a.err == nil && n != 0; n = a.long() {
		if n < 0 {
			n = -n
			a.long()
		}
		for ; n > 0 && a.err == nil; n-- {
			a.skip(a.long())
			a.skip(a.long())
		}
	}
	return bytes.Clone(a.take(syncSize))
}

func (a *container) long() int64 {
	if a.err != nil {
		return 0
	}
	n, err := binary.ReadVarint(byteCounter{a})
	if err != nil {
		a.err = io.ErrUnexpectedEOF
		if err := a.underlying(); err != nil {
			a.err = err
		}
	}
	return n
}

// underlying is the error of the file, which is no end.
func (a *container) underlying() error {
	if _, err := a.r.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (a *container) skip(n int64) {
	if a.err != nil {
		return
	}
	if n < 0 {
		a.err = io.ErrUnexpectedEOF
		return
	}
	done, err := io.CopyN(io.Discard, a.r, n)
	a.at += done
	a.err = err
}

func (a *container) take(n int) []byte {
	if a.err != nil {
		return nil
	}
	b := make([]byte, n)
	done, err := io.ReadFull(a.r, b)
	a.at += int64(done)
	a.err = err
	return b
}

// A byteCounter reads the bytes of a number.
type byteCounter struct{ *container }

func (b byteCounter) ReadByte() (byte, error) {
	c, err := b.r.ReadByte()
	if err == nil {
		b.at++
	}
	return c, err
}

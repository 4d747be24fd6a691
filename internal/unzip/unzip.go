// Package unzip reads what gzip has packed, from any place on.
package unzip

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// A Reader reads the content of a packed file. It unpacks from front to back and keeps what was read last, so that it
// can be read again, and goes back to the front for what is before that. It holds about as many bytes as the largest read.
type Reader struct {
	f    io.ReaderAt
	z    *gzip.Reader
	at   int64  // where in the content have begins
	have []byte // of the content
	end  error  // io.EOF: the content ends behind have
}

// Packed reports whether a file begins as a packed one.
func Packed(f io.ReaderAt) bool {
	var magic [2]byte
	_, err := f.ReadAt(magic[:], 0)
	return err == nil && magic == [2]byte{0x1f, 0x8b}
}

// New begins at the front of a packed file.
func New(f io.ReaderAt) (*Reader, error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), 64<<10))
	if err != nil {
		return nil, unpacking(err)
	}
	return &Reader{f: f, z: z}, nil
}

func unpacking(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("unpacking: %w", err)
}

// ReadAt reads the content from off on. The error is io.EOF at its end; it wraps io.ErrUnexpectedEOF where the file ends
// before.
func (u *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < u.at {
		again, err := New(u.f)
		if err != nil {
			return 0, err
		}
		*u = *again
	}
	for u.end == nil && u.at+int64(len(u.have)) < off+int64(len(p)) {
		if skip := min(off-u.at, int64(len(u.have))); skip > 0 {
			u.have = u.have[:copy(u.have, u.have[skip:])]
			u.at += skip
		}
		n := len(u.have)
		if n == cap(u.have) {
			u.have = append(u.have, make([]byte, max(n, 64<<10))...)[:n]
		}
		m, err := u.z.Read(u.have[n:min(cap(u.have), n+64<<10)])
		u.have = u.have[:n+m]
		switch {
		case errors.Is(err, io.EOF):
			u.end = io.EOF
		case err != nil:
			u.end = unpacking(err)
		}
	}
	if off-u.at >= int64(len(u.have)) {
		return 0, u.end
	}
	n := copy(p, u.have[off-u.at:])
	if n < len(p) {
		return n, u.end
	}
	return n, nil
}

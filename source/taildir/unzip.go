package taildir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// An unzipped is the content of a file that gzip has packed. It is read from front to back; what was read last can be
// read again.
type unzipped struct {
	f    *os.File
	z    *gzip.Reader
	at   int64  // where in the content have begins
	have []byte // of the content
	end  error  // io.EOF: the content ends behind have
}

// isZipped reports whether the file begins as a packed one.
func isZipped(f *os.File) bool {
	var magic [2]byte
	_, err := f.ReadAt(magic[:], 0)
	return err == nil && magic == [2]byte{0x1f, 0x8b}
}

func newUnzipped(f *os.File) (*unzipped, error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), 64<<10))
	if err != nil {
		return nil, unpacking(err)
	}
	return &unzipped{f: f, z: z}, nil
}

func unpacking(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("unpacking: %w", err)
}

// ReadAt reads the content from off on. The error is io.EOF at its end; it wraps io.ErrUnexpectedEOF where the file ends
// before.
func (u *unzipped) ReadAt(p []byte, off int64) (int, error) {
	if off < u.at {
		again, err := newUnzipped(u.f)
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

package hadoopcodec

import (
	"encoding/binary"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// What members begin with. The last byte of gzip's is the system, which is unknown.
const (
	gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
	zlibHeader = "\x78\x9c"
)

// A flateCoder writes members of gzip (RFC 1952) or of zlib (RFC 1950).
type flateCoder struct {
	dst   io.Writer
	flate *flate.Writer
	gzip  bool
	begun bool
	sum   hash.Hash32 // of what came
	size  uint32
	tail  [8]byte
}

func newFlateCoder(gzip bool, level int) (*flateCoder, error) {
	w, err := flate.NewWriter(io.Discard, level)
	f := &flateCoder{flate: w, gzip: gzip, sum: adler32.New()}
	if gzip {
		f.sum = crc32.NewIEEE()
	}
	return f, err
}

func (f *flateCoder) reset(dst io.Writer) error {
	f.dst, f.begun, f.size = dst, false, 0
	f.sum.Reset()
	f.flate.Reset(dst)
	return nil
}

func (f *flateCoder) begin() error {
	if f.begun {
		return nil
	}
	f.begun = true
	header := zlibHeader
	if f.gzip {
		header = gzipHeader
	}
	_, err := io.WriteString(f.dst, header)
	return err
}

func (f *flateCoder) Write(p []byte) (int, error) {
	if err := f.begin(); err != nil {
		return 0, err
	}
	f.sum.Write(p)
	f.size += uint32(len(p))
	return f.flate.Write(p)
}

func (f *flateCoder) Flush() error {
	if err := f.begin(); err != nil {
		return err
	}
	return f.flate.Flush()
}

func (f *flateCoder) finish() error {
	if err := f.begin(); err != nil {
		return err
	}
	if err := f.flate.Close(); err != nil {
		return err
	}
	tail := binary.BigEndian.AppendUint32(f.tail[:0], f.sum.Sum32())
	if f.gzip {
		tail = binary.LittleEndian.AppendUint32(f.tail[:0], f.sum.Sum32())
		tail = binary.LittleEndian.AppendUint32(tail, f.size)
	}
	_, err := f.dst.Write(tail)
	return err
}

package hadoopcodec

import (
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/pierrec/lz4/v4"
)

// A blockCoder writes the block framing of Snappy and LZ4 as Hadoop's BlockCompressorStream does, but never a block of
// length zero.
type blockCoder struct {
	dst     io.Writer
	codec   Codec
	most    int    // what one chunk may hold
	pending []byte // of the block that is gathered, at most most bytes
	out     []byte
	lz4     lz4.CompressorCCompat
}

func newBlockCoder(c Codec, buffer int) *blockCoder {
	overhead := buffer/6 + 32
	if c == LZ4 {
		overhead = buffer/255 + 16
	}
	return &blockCoder{codec: c, most: buffer - overhead}
}

func (b *blockCoder) reset(dst io.Writer) error {
	b.dst, b.pending = dst, b.pending[:0]
	return nil
}

func (b *blockCoder) finish() error { return b.Flush() }

func (b *blockCoder) Flush() error {
	if len(b.pending) == 0 {
		return nil
	}
	err := b.block(b.pending)
	b.pending = b.pending[:0]
	return err
}

// Write gathers p; a block ends before the write that would not fit.
func (b *blockCoder) Write(p []byte) (int, error) {
	if len(b.pending)+len(p) > b.most {
		if err := b.Flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > b.most {
		if err := b.block(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	b.pending = append(b.pending, p...)
	return len(p), nil
}

// block writes raw as one block, a chunk for each part that fits.
func (b *blockCoder) block(raw []byte) error {
	b.out = binary.BigEndian.AppendUint32(b.out[:0], uint32(len(raw)))
	for len(raw) > 0 {
		part := raw[:min(len(raw), b.most)]
		raw = raw[len(part):]
		if err := b.chunk(part); err != nil {
			return err
		}
	}
	return nil
}

// chunk writes out what stands in out, and a chunk after it.
func (b *blockCoder) chunk(raw []byte) error {
	bound := snappy.MaxEncodedLen(len(raw))
	if b.codec == LZ4 {
		bound = lz4.CompressBlockBound(len(raw))
	}
	at := len(b.out) + 4
	if cap(b.out) < at+bound {
		b.out = append(make([]byte, 0, at+bound), b.out...)
	}
	space := b.out[at : at+bound]
	n := 0
	if b.codec == LZ4 {
		var err error
		if n, err = b.lz4.CompressBlock(raw, space); err != nil {
			return err
		}
	} else {
		n = len(snappy.Encode(space, raw))
	}
	b.out = b.out[:at+n]
	binary.BigEndian.PutUint32(b.out[at-4:], uint32(n))
	_, err := b.dst.Write(b.out)
	b.out = b.out[:0]
	return err
}

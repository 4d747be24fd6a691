package serializer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/sluice-io/sluice/internal/bzip2"
)

// A Codec compresses the blocks of a container, each for itself:
//
//	deflate    RFC 1951 without a wrapper
//	snappy     a raw block, then the CRC-32 of what it holds, big-endian
//	bzip2      a stream with blocks of 900 kB
//	xz         a stream with CRC-64 and a dictionary of 8 MiB
//	zstandard  a frame
type Codec string

// The codecs by their names in a configuration and in files.
const (
	Null      Codec = "null"
	Deflate   Codec = "deflate"
	Snappy    Codec = "snappy"
	Bzip2     Codec = "bzip2"
	XZ        Codec = "xz"
	Zstandard Codec = "zstandard"
)

// An encoder keeps what codecs are glad to use again.
type encoder struct {
	out   bytes.Buffer
	flate *flate.Writer
	bzip2 *bzip2.Writer
	zstd  *zstd.Encoder
	raw   []byte
}

// xzDictionary is that of Java's default.
const xzDictionary = 8 << 20

// encode returns data compressed. It is the encoder's until the next call.
func (e *encoder) encode(codec Codec, data []byte) (_ []byte, err error) {
	if e.out.Cap() > keptBlock {
		e.out = bytes.Buffer{}
	}
	if cap(e.raw) > keptBlock {
		e.raw = nil
	}
	e.out.Reset()
	switch codec {
	case Null:
		return data, nil
	case Snappy:
		e.raw = snappy.Encode(e.raw[:cap(e.raw)], data)
		e.raw = binary.BigEndian.AppendUint32(e.raw, crc32.ChecksumIEEE(data))
		return e.raw, nil
	case Zstandard:
		if e.zstd == nil {
			if e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
				return nil, fmt.Errorf("opening a zstandard encoder: %w", err)
			}
		}
		e.raw = e.zstd.EncodeAll(data, e.raw[:0])
		return e.raw, nil
	case Deflate:
		if e.flate == nil {
			e.flate, err = flate.NewWriter(&e.out, flate.DefaultCompression)
		} else {
			e.flate.Reset(&e.out)
		}
		return e.stream(e.flate, data, codec, err)
	case Bzip2:
		if e.bzip2 == nil {
			e.bzip2 = bzip2.NewWriter(&e.out)
		} else {
			e.bzip2.Reset(&e.out)
		}
		return e.stream(e.bzip2, data, codec, err)
	case XZ:
		w, err := xz.WriterConfig{DictCap: xzDictionary, CheckSum: xz.CRC64}.NewWriter(&e.out)
		return e.stream(w, data, codec, err)
	}
	panic("BUG: " + string(codec) + " is no codec")
}

func (e *encoder) stream(w io.WriteCloser, data []byte, codec Codec, err error) ([]byte, error) {
	if err == nil {
		if _, err = w.Write(data); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("compressing a block with %s: %w", codec, err)
	}
	return e.out.Bytes(), nil
}

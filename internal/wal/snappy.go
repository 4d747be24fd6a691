package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
)

// The compressed backup is a xerial snappy stream: sixteen bytes of header, then chunks of a length and a raw snappy
// block. It is not the framing format of the snappy project.
const (
	snappyMagic = "\x82SNAPPY\x00"
	snappyChunk = 32768   // bytes that Flume compresses at a time
	snappyMost  = 1 << 26 // bytes of one chunk that are believed
)

// unsnappy returns what a stream holds.
func unsnappy(r io.Reader) ([]byte, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	if string(head[:8]) != snappyMagic {
		return nil, errors.New("it is not a snappy stream")
	}
	var out []byte
	var in bytes.Buffer
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return out, nil
			}
			return nil, err
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > snappyMost {
			return nil, fmt.Errorf("a chunk of %d bytes", n)
		}
		in.Reset()
		if m, err := io.CopyN(&in, r, int64(n)); err != nil {
			return nil, fmt.Errorf("a chunk of %d bytes has only %d: %w", n, m, err)
		}
		full, err := snappy.DecodedLen(in.Bytes())
		if err != nil {
			return nil, err
		}
		if full > snappyMost {
			return nil, fmt.Errorf("a chunk of %d bytes", full)
		}
		plain, err := snappy.Decode(nil, in.Bytes())
		if err != nil {
			return nil, err
		}
		out = append(out, plain...)
	}
}

// A snappyWriter compresses what is written to it; Close writes the last chunk.
type snappyWriter struct {
	w   io.Writer
	buf []byte
	out []byte
	err error
}

func newSnappyWriter(w io.Writer) *snappyWriter {
	s := &snappyWriter{w: w}
	head := binary.BigEndian.AppendUint32([]byte(snappyMagic), 1)
	_, s.err = w.Write(binary.BigEndian.AppendUint32(head, 1))
	return s
}

// Write implements io.Writer.
func (s *snappyWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && s.err == nil {
		k := min(len(p), snappyChunk-len(s.buf))
		s.buf = append(s.buf, p[:k]...)
		p = p[k:]
		if len(s.buf) == snappyChunk {
			s.flush()
		}
	}
	return n - len(p), s.err
}

func (s *snappyWriter) flush() {
	if len(s.buf) == 0 || s.err != nil {
		return
	}
	block := snappy.Encode(nil, s.buf)
	s.out = binary.BigEndian.AppendUint32(s.out[:0], uint32(len(block)))
	s.out = append(s.out, block...)
	_, s.err = s.w.Write(s.out)
	s.buf = s.buf[:0]
}

// Close writes the last chunk; it does not close the writer beneath.
func (s *snappyWriter) Close() error {
	s.flush()
	return s.err
}

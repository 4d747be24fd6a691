// Package avrofile writes and reads what all Avro object containers have: head and blocks. What is in the blocks is the
// caller's, who thereby says when a block ends, and what has to be safe then. Longs are zig-zag varints, strings and bytes
// have their length in front.
//
//	head    4f 62 6a 01                                     Obj1
//	        04 "avro.schema" schema "avro.codec" codec 00   a map of bytes; there may be others
//	        16 bytes                                        the sync marker
//	block   long records | long bytes | the records, packed as a whole by the codec | the sync marker
//	block   …
//
// What is read comes from others: no part has more bytes than the caller allows, and memory is taken only for what is there.
package avrofile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// SyncSize is the number of bytes of a sync marker.
const SyncSize = 16

// A Sync is the marker behind the head and behind each block.
type Sync [SyncSize]byte

const magic = "Obj\x01"

// The names of what a head tells.
const (
	Schema = "avro.schema"
	Codec  = "avro.codec"
)

// AppendHead appends a head that tells names and values, in this order.
func AppendHead(b []byte, sync Sync, pairs ...string) []byte {
	b = binary.AppendVarint(append(b, magic...), int64(len(pairs)/2))
	for _, text := range pairs {
		b = append(binary.AppendVarint(b, int64(len(text))), text...)
	}
	return append(append(b, 0), sync[:]...)
}

// AppendLengths appends what stands before the data of a block.
func AppendLengths(b []byte, records, size int) []byte {
	return binary.AppendVarint(binary.AppendVarint(b, int64(records)), int64(size))
}

// AppendBlock appends a block.
func AppendBlock(b []byte, records int, data []byte, sync Sync) []byte {
	return append(append(AppendLengths(b, records, len(data)), data...), sync[:]...)
}

// A Head is what stands before the first block.
type Head struct {
	Told map[string]string
	Sync Sync
	Size int64
}

// Damaged is the error of a container that is not as it should be.
func Damaged(err error) error { return fmt.Errorf("the container is damaged: %w", err) }

func damaged(format string, args ...any) error { return Damaged(fmt.Errorf(format, args...)) }

// ReadHead reads a head, no part of which may have more bytes than most.
func ReadHead(from io.ReaderAt, most int64) (Head, error) {
	h := Head{Told: map[string]string{}}
	in := &cursor{in: from, most: most}
	if begin := in.bytes(len(magic)); in.err == nil && string(begin) != magic {
		return h, damaged("it is no Avro container file: it begins with %x", begin)
	}
	for in.err == nil {
		count := in.long()
		if count < 0 {
			count = -count
			in.long()
		}
		if count == 0 {
			break
		}
		for ; count > 0 && in.err == nil; count-- {
			name := string(in.text())
			value := string(in.text())
			if most -= int64(len(name) + len(value)); most < 0 {
				in.err = damaged("its head is too long")
			}
			h.Told[name] = value
		}
	}
	copy(h.Sync[:], in.bytes(SyncSize))
	if errors.Is(in.err, io.EOF) {
		in.err = damaged("it ends in its head")
	}
	if in.err != nil {
		return h, fmt.Errorf("reading the head of the container: %w", in.err)
	}
	h.Size = in.at
	return h, nil
}

// A Block is one block, its data as they are.
type Block struct {
	Records int64
	Data    []byte
	End     int64 // where the next one begins
}

// ReadBlock reads the block at a place. Where there is none it is io.EOF.
func ReadBlock(from io.ReaderAt, at int64, sync Sync, most int64) (Block, error) {
	in := &cursor{in: from, at: at, most: most}
	count := in.long()
	if in.at == at && errors.Is(in.err, io.EOF) {
		return Block{}, io.EOF
	}
	data := in.text()
	marker := in.bytes(SyncSize)
	switch {
	case in.err != nil:
		return Block{}, fmt.Errorf("reading the block at byte %d: %w", at, in.err)
	case count < 0:
		return Block{}, damaged("the block at byte %d has %d records", at, count)
	case !bytes.Equal(marker, sync[:]):
		return Block{}, damaged("behind the block at byte %d there is no sync marker", at)
	}
	return Block{count, data, in.at}, nil
}

// A cursor reads the parts of a container. After an error it returns nothing.
type cursor struct {
	in   io.ReaderAt
	at   int64
	most int64 // bytes of one part
	have []byte
	err  error
}

func (c *cursor) need(n int) bool {
	if c.err != nil {
		return false
	}
	for len(c.have) < n {
		from := len(c.have)
		c.have = append(c.have, make([]byte, min(max(n-from, 512), 1<<20))...)
		m, err := c.in.ReadAt(c.have[from:], c.at+int64(from))
		c.have = c.have[:from+m]
		if len(c.have) >= n {
			return true
		}
		if err != nil {
			c.err = err
			if errors.Is(err, io.EOF) && len(c.have) > 0 {
				c.err = damaged("it ends in the middle: %w", io.ErrUnexpectedEOF)
			}
			return false
		}
	}
	return true
}

func (c *cursor) bytes(n int) []byte {
	if !c.need(n) {
		if errors.Is(c.err, io.EOF) && c.at > 0 && n > 0 {
			c.err = damaged("it ends in the middle: %w", io.ErrUnexpectedEOF)
		}
		return nil
	}
	b := c.have[:n:n]
	c.have = c.have[n:]
	c.at += int64(n)
	return b
}

func (c *cursor) long() int64 {
	var u uint64
	for shift := uint(0); ; shift += 7 {
		if !c.need(1) {
			return 0
		}
		b := c.have[0]
		c.have = c.have[1:]
		c.at++
		if shift == 63 && b > 1 {
			c.err = damaged("the number at byte %d has more than 64 bits", c.at)
			return 0
		}
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1)
		}
	}
}

// text is a run of bytes with its length before it.
func (c *cursor) text() []byte {
	n := c.long()
	if c.err == nil && (n < 0 || n > c.most) {
		c.err = damaged("a part at byte %d has %d bytes, where %d are the most", c.at, n, c.most)
	}
	if c.err != nil {
		return nil
	}
	return c.bytes(int(n))
}

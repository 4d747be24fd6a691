package deserialize

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	goavro "github.com/twmb/avro"

	"github.com/sluice-io/sluice/flume"
)

// records are those of an Avro container file:
//
//	"Obj" 1, metadata (map of bytes: avro.schema, avro.codec), sync (16 bytes)
//	block: number of records, size of the data (both zig-zag), data (packed by the codec), sync
//	block …
type records struct {
	in      io.ReaderAt
	at      int64 // of the next block
	sync    [16]byte
	codec   codec
	shape   *shape
	headers flume.Headers

	block []byte // what is left of the block under way
	left  int64  // its records
	begin int64  // where it begins
	index int    // of the next record in it

	text   []byte  // the records of one Read
	ends   []int   // of each of them
	begins []int64 // of the block of each of them
	failed error   // what Read returns behind them
}

const (
	schemaHash    = "flume.avro.schema.hash"
	schemaLiteral = "flume.avro.schema.literal"

	mostMetadata = 16 << 20
	mostBlock    = 128 << 20 // of a block, packed and unpacked
	mostEmpty    = 1 << 20   // records of a block that take no bytes
)

func newRecords(in io.ReaderAt, position int64, typ schemaType) (*records, error) {
	r := &records{in: in}
	text, codecName, err := r.header()
	if err != nil {
		return nil, err
	}
	schema, err := goavro.Parse(string(text))
	if err != nil {
		return nil, damaged("reading its schema: %w", err)
	}
	if r.shape, err = shapeOf(schema.Canonical()); err != nil {
		return nil, damaged("reading its schema: %w", err)
	}
	if r.codec, err = findCodec(codecName); err != nil {
		return nil, err
	}
	if typ == literal {
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			return nil, damaged("reading its schema: %w", err)
		}
		r.headers = flume.Headers{{Key: schemaLiteral, Value: compact.String()}}
	} else {
		sum := goavro.NewRabin()
		_, _ = sum.Write(schema.Canonical()) // it cannot fail
		r.headers = flume.Headers{{Key: schemaHash, Value: hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, sum.Sum64()))}}
	}
	if position > r.at-int64(len(r.sync)) {
		if err := r.find(position); err != nil {
			return nil, err
		}
	}
	r.begin = r.at
	return r, nil
}

func (r *records) Headers() flume.Headers { return r.headers }

// Position is where Flume's reader has it: the marker before the block of the next record.
func (r *records) Position() int64 {
	if r.left == 0 {
		return r.at - int64(len(r.sync))
	}
	return r.begin - int64(len(r.sync))
}

func (r *records) Begin(i int) int64 { return beginOf(r.begins, i, r.Position()) }

// header reads what stands before the first block.
func (r *records) header() (schema []byte, codec string, err error) {
	in := &cursor{in: r.in, most: mostMetadata}
	if magic := in.bytes(4); in.err == nil && string(magic) != "Obj\x01" {
		return nil, "", damaged("it is no Avro container file: it begins with %x", magic)
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
			key := string(in.text())
			value := in.text()
			switch key {
			case "avro.schema":
				schema = bytes.Clone(value)
			case "avro.codec":
				codec = string(value)
			}
		}
	}
	copy(r.sync[:], in.bytes(len(r.sync)))
	if errors.Is(in.err, io.EOF) {
		in.err = damaged("it ends in its head")
	}
	if in.err != nil {
		return nil, "", fmt.Errorf("reading the head of the container: %w", in.err)
	}
	if schema == nil {
		return nil, "", damaged("the container has no avro.schema")
	}
	r.at = in.at
	return schema, codec, nil
}

// find goes to behind the first sync marker from position on.
func (r *records) find(position int64) error {
	buf := make([]byte, 64<<10)
	for at := position; ; {
		n, err := r.in.ReadAt(buf, at)
		if i := bytes.Index(buf[:n], r.sync[:]); i >= 0 {
			r.at = at + int64(i+len(r.sync))
			return nil
		}
		switch {
		case errors.Is(err, io.EOF):
			r.at = at + int64(n)
			return nil
		case err != nil:
			return err
		}
		at += int64(n - len(r.sync) + 1)
	}
}

// next reads blocks until one has a record.
func (r *records) next() error {
	for r.left == 0 {
		in := &cursor{in: r.in, at: r.at, most: mostBlock}
		count := in.long()
		if in.at == r.at && errors.Is(in.err, io.EOF) {
			return io.EOF
		}
		data := in.text()
		sync := in.bytes(len(r.sync))
		switch {
		case in.err != nil:
			return fmt.Errorf("reading the block at byte %d: %w", r.at, in.err)
		case count < 0 || r.shape.zeroes && count > mostEmpty:
			return damaged("the block at byte %d has %d records", r.at, count)
		case !bytes.Equal(sync, r.sync[:]):
			return damaged("behind the block at byte %d there is no sync marker", r.at)
		}
		block, err := r.codec.unpack(data, mostBlock)
		if err != nil {
			return damaged("unpacking the block at byte %d: %w", r.at, err)
		}
		r.begin, r.at = r.at, in.at
		r.block, r.left, r.index = block, count, 0
	}
	return nil
}

func (r *records) Read(bodies [][]byte, n int) ([][]byte, error) {
	r.text, r.ends, r.begins = r.text[:0], r.ends[:0], r.begins[:0]
	for r.failed == nil && len(r.ends) < n && len(r.text) < enough {
		if r.left == 0 && len(r.ends) >= (n+1)/2 {
			break // here a position says all
		}
		r.failed = r.record()
	}
	if len(r.ends) == 0 {
		return bodies, r.failed
	}
	all, from := bytes.Clone(r.text), 0
	for _, to := range r.ends {
		bodies = append(bodies, all[from:to:to])
		from = to
	}
	if cap(r.text) > 4*enough {
		r.text = nil
	}
	return bodies, nil
}

// record appends the next record to text.
func (r *records) record() error {
	if err := r.next(); err != nil {
		return err
	}
	length, err := r.shape.skip(r.block, 0)
	if err != nil {
		return damaged("record %d of the block at byte %d: %w", r.index, r.begin, err)
	}
	r.text = append(r.text, r.block[:length]...)
	r.ends = append(r.ends, len(r.text))
	r.begins = append(r.begins, r.begin-int64(len(r.sync)))
	r.block = r.block[length:]
	r.left--
	r.index++
	if r.left == 0 && len(r.block) > 0 {
		return damaged("behind the last record of the block at byte %d there are %d bytes", r.begin, len(r.block))
	}
	return nil
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

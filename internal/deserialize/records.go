package deserialize

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"

	goavro "github.com/twmb/avro"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrofile"
)

// records are those of an Avro container file.
type records struct {
	in      io.ReaderAt
	at      int64 // of the next block
	sync    avrofile.Sync
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
	head, err := avrofile.ReadHead(in, mostMetadata)
	if err != nil {
		return nil, err
	}
	told, ok := head.Told[avrofile.Schema]
	if !ok {
		return nil, damaged("the container has no avro.schema")
	}
	text := []byte(told)
	r.sync, r.at = head.Sync, head.Size
	schema, err := goavro.Parse(string(text))
	if err != nil {
		return nil, damaged("reading its schema: %w", err)
	}
	if r.shape, err = shapeOf(schema.Canonical()); err != nil {
		return nil, damaged("reading its schema: %w", err)
	}
	if r.codec, err = findCodec(head.Told[avrofile.Codec]); err != nil {
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
		b, err := avrofile.ReadBlock(r.in, r.at, r.sync, mostBlock)
		switch {
		case err != nil:
			return err
		case r.shape.zeroes && b.Records > mostEmpty:
			return damaged("the block at byte %d has %d records", r.at, b.Records)
		}
		block, err := r.codec.unpack(b.Data, mostBlock)
		if err != nil {
			return damaged("unpacking the block at byte %d: %w", r.at, err)
		}
		r.begin, r.at = r.at, b.End
		r.block, r.left, r.index = block, b.Records, 0
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

package serializer

import (
	"encoding/binary"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
)

// An Avro object container. Longs are zig-zag varints, strings and bytes have their length in front.
//
//	header  4f 62 6a 01                                  Obj1
//	        04 "avro.schema" schema "avro.codec" codec 00   a map of two
//	        16 random bytes                              the sync marker
//	block   long events | long bytes | the events, compressed as a whole | the sync marker
//
// A block ends when syncIntervalBytes are reached, and with every batch. A batch of no events writes none.
const syncSize = 16

// eventSchema is, to the letter, what Flume's files have.
const eventSchema = `{"type":"record","name":"Event","fields":[{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}`

func appendFileHeader(dst []byte, schema string, codec Codec, sync [syncSize]byte) []byte {
	dst = append(dst, 'O', 'b', 'j', 1, 4)
	for _, text := range []string{"avro.schema", schema, "avro.codec", string(codec)} {
		dst = append(binary.AppendVarint(dst, int64(len(text))), text...)
	}
	return append(append(dst, 0), sync[:]...)
}

// A block is what is collected of a file's next block.
type block struct {
	events int
	data   []byte
	codec  encoder
}

func (s *Serializer) avroEvents(f *File, b flume.Batch) error {
	for i := range b {
		e := flume.Event{Headers: s.order(b[i].Headers), Body: b[i].Body}
		s.block.data = event.Append(s.block.data, &e)
		if err := s.added(f); err != nil {
			return err
		}
	}
	return s.endBlock(f)
}

// added ends the block if it is full.
func (s *Serializer) added(f *File) error {
	s.block.events++
	if len(s.block.data) < s.settings.SyncInterval {
		return nil
	}
	return s.endBlock(f)
}

func (s *Serializer) endBlock(f *File) error {
	k := &s.block
	if k.events == 0 {
		return nil
	}
	data, err := k.codec.encode(s.settings.Codec, k.data)
	if err == nil {
		var lengths [2 * binary.MaxVarintLen64]byte
		s.out.Write(binary.AppendVarint(binary.AppendVarint(lengths[:0], int64(k.events)), int64(len(data))))
		s.out.Write(data)
		_, err = s.out.Write(f.sync[:])
	}
	k.events, k.data = 0, k.data[:0]
	if cap(k.data) > keptBlock {
		k.data = nil
	}
	return err
}

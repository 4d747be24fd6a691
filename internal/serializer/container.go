package serializer

import (
	"encoding/binary"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrofile"
	"github.com/sluice-io/sluice/internal/event"
)

// eventSchema is, to the letter, what Flume's files have.
const eventSchema = `{"type":"record","name":"Event","fields":[{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}`

// A block is what is collected of a file's next block, of an internal/avrofile. It ends when syncIntervalBytes are reached,
// and with every batch. A batch of no events writes none.
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
		s.out.Write(avrofile.AppendLengths(lengths[:0], k.events, len(data)))
		s.out.Write(data)
		_, err = s.out.Write(f.sync[:])
	}
	k.events, k.data = 0, k.data[:0]
	if cap(k.data) > keptBlock {
		k.data = nil
	}
	return err
}

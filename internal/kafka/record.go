package kafka

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
)

// A Place says which partition an event's record goes to: defaultPartitionId and partitionIdHeader.
type Place struct {
	Partition int32  // of events without the header; below 0: the partitioner chooses
	Header    string // empty: none
}

// Put puts the record into the partition that is asked for. The error is one that no repetition cures.
func (p *Place) Put(r *kgo.Record, e *flume.Event) error {
	if p.Header != "" {
		if v, ok := e.Headers.Get(p.Header); ok {
			n, err := strconv.ParseInt(v, 10, 32)
			if err != nil || n < 0 {
				return fmt.Errorf("choosing a partition: header %q is %.40q, which is no partition's number", p.Header, v)
			}
			Fix(r, int32(n))
			return nil
		}
	}
	if p.Partition >= 0 {
		Fix(r, p.Partition)
	}
	return nil
}

// A Value says how an event becomes the key and value of a record: the key is the bytes of header "key", the value the
// event's body, or the event whole.
type Value struct {
	Flume bool // the event whole, as AvroFlumeEvent
}

// Len is the number of bytes that Append appends.
func (v Value) Len(e *flume.Event) int {
	n := 0
	if v.Flume {
		n = event.Len(e)
	}
	if key, ok := e.Headers.Get("key"); ok {
		n += len(key)
	}
	return n
}

// Append gives r its key and value. What has to be made for them is appended to buf, which is returned; a body stays
// where it is.
func (v Value) Append(buf []byte, r *kgo.Record, e *flume.Event) []byte {
	if key, ok := e.Headers.Get("key"); ok {
		buf, r.Key = Copy(buf, key)
	}
	switch {
	case v.Flume:
		from := len(buf)
		buf = event.Append(buf, e)
		r.Value = buf[from:len(buf):len(buf)]
	case len(e.Body) == 0:
		r.Value = []byte{} // null would be a tombstone
	default:
		r.Value = e.Body
	}
	return buf
}

// Copy appends s to buf and returns what it has become there, which is not nil: a key that is empty is still a key.
func Copy(buf []byte, s string) (longer, copied []byte) {
	from := len(buf)
	buf = append(buf, s...)
	if len(s) == 0 {
		return buf, []byte{}
	}
	return buf, buf[from:len(buf):len(buf)]
}

// Weight is what a record takes in a request, roughly and at least.
func Weight(r *kgo.Record) int {
	const frame = 80 // of a batch that holds nothing else
	n := frame + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

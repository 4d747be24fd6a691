package wal

import (
	"slices"

	"github.com/sluice-io/sluice/flume"
)

// A cache keeps events from when they are put until they are taken for good, as far as its bytes reach, so that a
// taker who keeps up need not read them. Its batches are in the order of the queue; what comes when it is full is not
// kept, for what is in it will be taken first. The log's lock guards it.
type cache struct {
	limit   int
	bytes   int
	batches []cachedBatch
}

type cachedBatch struct {
	at     int64 // position of the first event
	bytes  int
	events flume.Batch
}

// put keeps the events that are in the queue from position at on.
func (c *cache) put(at int64, b flume.Batch) {
	if c.limit == 0 || c.bytes >= c.limit {
		return
	}
	n := footprint(b)
	if c.bytes+n > c.limit {
		return
	}
	c.bytes += n
	c.batches = append(c.batches, cachedBatch{at, n, b})
}

// What an event and a header have in memory beside their bytes, and a batch in the cache.
const (
	eventRoom  = 48
	headerRoom = 32
	batchRoom  = 64
)

// footprint is what b has in memory.
func footprint(b flume.Batch) int {
	n := batchRoom + b.Size() + eventRoom*len(b)
	for i := range b {
		n += headerRoom * len(b[i].Headers)
	}
	return n
}

// find returns the index of the first batch that reaches beyond position pos.
func (c *cache) find(pos int64) int {
	i, _ := slices.BinarySearchFunc(c.batches, pos, func(b cachedBatch, pos int64) int {
		if b.at+int64(len(b.events)) <= pos {
			return -1
		}
		return 1
	})
	return i
}

// take returns the events of the positions in spans, no more than limit bytes but one at least, until one is not there.
// When the first is not there, it returns how many more are not, at most.
func (c *cache) take(spans []span, limit int) (out flume.Batch, missing int) {
	bytes := 0
	for _, s := range spans {
		i := c.find(s.from)
		for pos := s.from; pos < s.to; {
			if i == len(c.batches) || c.batches[i].at > pos {
				if len(out) > 0 {
					return out, 0
				}
				end := s.to
				if i < len(c.batches) {
					end = min(end, c.batches[i].at)
				}
				missing += int(end - pos)
				if end < s.to {
					return nil, missing
				}
				break
			}
			if missing > 0 {
				return nil, missing
			}
			b := &c.batches[i]
			e := b.events[pos-b.at]
			if bytes += e.Size(); len(out) > 0 && bytes > limit {
				return out, 0
			}
			out = append(out, e)
			if pos++; pos == b.at+int64(len(b.events)) {
				i++
			}
		}
	}
	return out, missing
}

// forget drops what lies before position pos.
func (c *cache) forget(pos int64) {
	n := 0
	for n < len(c.batches) && c.batches[n].at+int64(len(c.batches[n].events)) <= pos {
		c.bytes -= c.batches[n].bytes
		n++
	}
	clear(c.batches[:n])
	c.batches = c.batches[n:]
}

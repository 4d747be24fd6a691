package kafka

import (
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// endless is an offset behind all others.
const endless = math.MaxInt64

// An item is a record that waits or is taken.
type item struct {
	record *kgo.Record
	size   int // bytes of the event's headers and body
}

// A line is what one poll has brought of a partition.
type line struct {
	partition int32
	items     []item
}

// A run is what one take has of a partition, in order.
type run struct {
	partition *partition
	items     []item
}

// A partition is one that the reader has been given, from its first record on until it is given up. What becomes of it
// later is another one.
type partition struct {
	id      int32
	waiting []item          // in the order of offsets
	open    []*run          // taken
	end     kgo.EpochOffset // behind all that was read
	floor   int64           // the least offset of what was dropped: nothing from there on is passed
	passed  int64           // the offset that was passed last
	leaving bool            // being given up: what is rolled back is dropped
	gone    bool            // given up: what is still taken cannot be committed
	stale   bool            // its offsets mean other records now: what is here is delivered, and passes nothing
}

// low is the offset up to which everything is committed, or was no event and is in the dead letters.
func (p *partition) low() kgo.EpochOffset {
	at := p.end
	if p.floor < at.Offset {
		at.Offset = p.floor
	}
	least := func(items []item) {
		if r := items[0].record; r.Offset < at.Offset {
			at = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset}
		}
	}
	if len(p.waiting) > 0 {
		least(p.waiting)
	}
	for _, u := range p.open {
		least(u.items)
	}
	return at
}

// drop notes that items will not be passed.
func (p *partition) drop(items []item) { p.floor = min(p.floor, items[0].record.Offset) }

// close forgets a run that was open.
func (p *partition) close(u *run) {
	p.open = slices.DeleteFunc(p.open, func(o *run) bool { return o == u })
}

// restore puts items in line again, in their old places.
func (p *partition) restore(items []item) {
	all := slices.Concat(items, p.waiting)
	if n := len(items); n < len(all) && all[n-1].record.Offset > all[n].record.Offset {
		slices.SortFunc(all, func(a, b item) int {
			if a.record.Offset < b.record.Offset {
				return -1
			}
			return 1
		})
	}
	p.waiting = all
}

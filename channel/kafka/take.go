package kafka

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
	"github.com/sluice-io/sluice/internal/kafka"
)

// A take is a batch that was cut off the lines of partitions. Its runs are open as long as it is, and none is empty.
type take struct {
	reader *reader
	runs   []*run
	batch  flume.Batch // an event for each item of the runs, in their order
	over   bool
}

func (t *take) Batch() flume.Batch { return t.batch }

// Commit passes the events. It fails where partitions have been given up meanwhile; what is of others is passed.
func (t *take) Commit(context.Context) error {
	if t.over {
		return nil
	}
	t.over = true
	r := t.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	revoked := 0
	for _, u := range t.runs {
		u.partition.close(u)
		if u.partition.gone {
			revoked += len(u.items)
		} else {
			r.pass(u.partition)
		}
	}
	if r.giving {
		r.changed()
	}
	if revoked == 0 {
		return nil
	}
	r.channel.revoked.Add(int64(revoked))
	why := fmt.Sprintf("their partitions of topic %s were given to another member of group %s", r.channel.s.topic, r.channel.s.group)
	if r.ended != nil {
		why = fmt.Sprintf("group %s was left", r.channel.s.group)
	}
	return fmt.Errorf("%d of %d events come again: %s before they were committed", revoked, len(t.batch), why)
}

// Split is flume.Transaction's.
func (t *take) Split(keep []int) flume.Transaction {
	r := t.reader
	kept := &take{reader: r, batch: make(flume.Batch, 0, len(keep))}
	rest := make(flume.Batch, 0, len(t.batch)-len(keep))
	var runs []*run
	r.mu.Lock()
	defer r.mu.Unlock()
	i := 0
	for _, u := range t.runs {
		p := u.partition
		mine, others := &run{partition: p}, &run{partition: p}
		for _, it := range u.items {
			to := others
			if len(keep) > 0 && keep[0] == i {
				keep, to = keep[1:], mine
				kept.batch = append(kept.batch, t.batch[i])
			} else {
				rest = append(rest, t.batch[i])
			}
			to.items = append(to.items, it)
			i++
		}
		p.close(u)
		if len(mine.items) > 0 {
			p.open = append(p.open, mine)
			kept.runs = append(kept.runs, mine)
		}
		if len(others.items) > 0 {
			p.open = append(p.open, others)
			runs = append(runs, others)
		}
	}
	t.batch, t.runs = rest, runs
	return kept
}

// Rollback puts the events in their lines again.
func (t *take) Rollback() {
	if t.over {
		return
	}
	t.reader.channel.rollbacks.Add(int64(len(t.batch)))
	t.back()
}

// back puts what is taken in line again, where the partition was not given up.
func (t *take) back() {
	t.over = true
	r := t.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range t.runs {
		p := u.partition
		p.close(u)
		if p.leaving {
			p.drop(u.items)
			continue
		}
		p.restore(u.items)
		r.count(u.items, 1)
	}
	r.changed()
}

// line makes the line of records that were polled.
func (c *channel) line(partition int32, records []*kgo.Record) line {
	items := make([]item, len(records))
	for i, r := range records {
		n := len(r.Value)
		if c.value.Flume {
			var t event.Tally
			if t.Value(r.Value) == nil {
				n = t.Text + t.Bodies
			}
		} else if r.Key != nil {
			n += len(keyHeader) + len(r.Key)
		}
		items[i] = item{record: r, size: n}
	}
	return line{partition, items}
}

const keyHeader = "key"

// decode makes the events. What is no event is written to the dead letters and leaves the take; where that cannot be done,
// all goes back.
func (t *take) decode(ctx context.Context) error {
	c := t.reader.channel
	var tally event.Tally
	tally.Spare = 1 // the key
	var refused []flume.Rejection
	keys := 0
	for _, u := range t.runs {
		for i := range u.items {
			r := u.items[i].record
			if c.value.Flume {
				if err := tally.Value(r.Value); err != nil {
					refused = append(refused, flume.Rejection{Event: raw(r), Err: err, Position: kafka.Position(r)})
					continue
				}
			} else {
				tally.Events++
			}
			keys += len(r.Key)
		}
	}
	if len(refused) > 0 {
		if err := c.env.Reject(ctx, refused...); err != nil {
			t.back()
			return fmt.Errorf("writing %d records to the dead letters: %w", len(refused), err)
		}
		t.leaveOut()
	}
	if !c.value.Flume {
		tally.Headers, tally.Spare = 0, 1
	}
	cut := tally.Cutter(false)
	t.batch = make(flume.Batch, 0, tally.Events)
	var text strings.Builder // never grows, so that what was cut from it stays
	for _, u := range t.runs {
		for i := range u.items {
			r := u.items[i].record
			var e flume.Event
			if c.value.Flume {
				e, _ = cut.Event(r.Value)
			} else {
				e = cut.Make(r.Value)
			}
			if r.Key != nil {
				if v, ok := e.Headers.Get(keyHeader); !ok || v != string(r.Key) {
					if text.Cap() == 0 {
						text.Grow(keys)
					}
					from := text.Len()
					text.Write(r.Key)
					e.Headers.Set(keyHeader, text.String()[from:])
				}
			}
			t.batch = append(t.batch, e)
		}
	}
	return nil
}

// leaveOut drops the records that are no events and stand in the dead letters: they are passed.
func (t *take) leaveOut() {
	r := t.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	runs := t.runs[:0]
	for _, u := range t.runs {
		var good []item
		for _, it := range u.items {
			var tally event.Tally
			if tally.Value(it.record.Value) == nil {
				good = append(good, it)
			}
		}
		u.items = good // others look at runs with the lock only
		if len(good) > 0 {
			runs = append(runs, u)
			continue
		}
		u.partition.close(u)
		if !u.partition.gone {
			r.pass(u.partition)
		}
	}
	t.runs = runs
	if r.giving {
		r.changed()
	}
}

// raw is a record as an event with its value as the body.
func raw(r *kgo.Record) flume.Event {
	e := flume.Event{Body: r.Value}
	if r.Key != nil {
		e.Headers = flume.Headers{{Key: keyHeader, Value: string(r.Key)}}
	}
	return e
}

package flumetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-io/sluice/flume"
)

// model compares a channel with a plain list under random operations of one goroutine.
func model(t *testing.T, open OpenChannel, back Back, bounded bool) {
	rapid.Check(t, func(r *rapid.T) {
		capacity := rapid.IntRange(1, 30).Draw(r, "capacity")
		transaction := rapid.IntRange(1, capacity).Draw(r, "transactionCapacity")
		if !bounded {
			capacity, transaction = math.MaxInt32, math.MaxInt32
		}
		m := &machine{
			channel: open(t, fmt.Sprintf("capacity = %d", capacity), fmt.Sprintf("transactionCapacity = %d", transaction), "keep-alive = 0"),
			room:    capacity, transaction: transaction, back: back, places: map[string]int{},
		}
		defer closing(t, m.channel)
		r.Repeat(map[string]func(*rapid.T){
			"put":    m.put,
			"take":   m.take,
			"commit": m.commit,
			"back":   m.rollback,
			"split":  m.split,
		})
		for len(m.open) > 0 {
			m.rollback(r)
		}
		if err := same(drained(t, m.channel), m.queue); err != nil {
			r.Fatalf("at the end: %v", err)
		}
	})
}

// machine is the model and the channel that it is held against.
type machine struct {
	channel     flume.Channel
	transaction int

	back   Back
	places map[string]int // in the order of commits, by body

	next  int // number of the next event
	room  int
	queue flume.Batch
	open  []opened
}

type opened struct {
	tx    flume.Transaction
	batch flume.Batch
	put   bool
}

func (m *machine) put(r *rapid.T) {
	n := rapid.IntRange(1, 12).Draw(r, "events")
	b := Events(m.next, n)
	m.next += n
	tx, err := m.channel.Put(context.Background(), b)
	if n > m.room {
		if !errors.Is(err, flume.ErrFull) && !errors.Is(err, flume.ErrTooLarge) {
			r.Fatalf("putting %d events where %d have room returned %v", n, m.room, err)
		}
		return
	}
	if err != nil {
		r.Fatalf("putting %d events where %d have room: %v", n, m.room, err)
	}
	m.room -= n
	m.open = append(m.open, opened{tx, b, true})
}

func (m *machine) take(r *rapid.T) {
	limit := rapid.IntRange(0, 12).Draw(r, "limit")
	most := m.transaction
	if limit > 0 {
		most = min(most, limit)
	}
	tx, err := m.channel.Take(ended(), flume.Limits{Events: limit})
	if len(m.queue) == 0 {
		if !errors.Is(err, flume.ErrEmpty) {
			r.Fatalf("taking from an empty channel returned %v", err)
		}
		return
	}
	if err != nil {
		r.Fatalf("taking from %d events: %v", len(m.queue), err)
	}
	n := min(most, len(m.queue))
	b := slices.Clone(m.queue[:n])
	m.queue = slices.Clone(m.queue[n:])
	if err := same(tx.Batch(), b); err != nil {
		r.Fatalf("taking: %v", err)
	}
	m.open = append(m.open, opened{tx, b, false})
}

// pick removes one of the open transactions.
func (m *machine) pick(r *rapid.T) opened {
	if len(m.open) == 0 {
		r.Skip("no transaction is open")
	}
	i := rapid.IntRange(0, len(m.open)-1).Draw(r, "transaction")
	o := m.open[i]
	m.open = slices.Delete(m.open, i, i+1)
	return o
}

func (m *machine) commit(r *rapid.T) {
	o := m.pick(r)
	if err := o.tx.Commit(context.Background()); err != nil {
		r.Fatalf("committing: %v", err)
	}
	if o.put {
		for _, e := range o.batch {
			m.places[string(e.Body)] = len(m.places)
		}
		m.queue = append(m.queue, o.batch...)
	} else {
		m.room += len(o.batch)
	}
}

func (m *machine) rollback(r *rapid.T) {
	o := m.pick(r)
	o.tx.Rollback()
	if o.put {
		m.room += len(o.batch)
	} else {
		m.queue = slices.Concat(o.batch, m.queue)
		if m.back == InPlace {
			slices.SortFunc(m.queue, func(a, b flume.Event) int { return m.places[string(a.Body)] - m.places[string(b.Body)] })
		}
	}
}

func (m *machine) split(r *rapid.T) {
	o := m.pick(r)
	if o.put {
		m.open = append(m.open, o)
		r.Skip("a put is not split")
	}
	var keep []int
	var kept, rest flume.Batch
	for i := range o.batch {
		if rapid.Bool().Draw(r, "keep") {
			keep, kept = append(keep, i), append(kept, o.batch[i])
		} else {
			rest = append(rest, o.batch[i])
		}
	}
	k := o.tx.Split(keep)
	if err := errors.Join(same(k.Batch(), kept), same(o.tx.Batch(), rest)); err != nil {
		r.Fatalf("splitting: %v", err)
	}
	m.open = append(m.open, opened{k, kept, false}, opened{o.tx, rest, false})
}

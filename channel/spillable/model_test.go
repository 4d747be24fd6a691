package spillable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// The channel against lists, under random operations of one goroutine: its end in order and its death among them.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{
			t: t, fs: vfs.NewMemory(),
			memory: rapid.IntRange(0, 12).Draw(r, "memoryCapacity"), disk: rapid.IntRange(0, 30).Draw(r, "overflowCapacity"),
			places: map[string]int{},
		}
		if m.memory == 0 && m.disk == 0 {
			r.Skip("no room")
		}
		m.transaction = rapid.IntRange(1, max(1, m.disk)).Draw(r, "transactionCapacity")
		m.begin()
		defer func() { closing(t, m.channel) }()
		r.Repeat(map[string]func(*rapid.T){
			"put": m.put, "put again": m.put, "take": m.take, "take again": m.take, "commit": m.commit, "commit again": m.commit,
			"back": m.rollback, "split": m.split, "restart": m.restart, "kill": m.kill,
			"": m.check,
		})
		for len(m.open) > 0 {
			m.rollback(r)
		}
		var rest flume.Batch
		for _, run := range [][]entry{m.file[:m.older], m.held, m.file[m.older:]} {
			rest = append(rest, events(run)...)
		}
		if err := same(drained(t, m.channel), rest); err != nil {
			r.Fatalf("at the end: %v", err)
		}
	})
}

// An entry is an event and where it is in the log.
type entry struct {
	flume.Event
	place int
}

func events(es []entry) flume.Batch {
	b := make(flume.Batch, len(es))
	for i := range es {
		b[i] = es[i].Event
	}
	return b
}

// machine is the model and the channel that it is held against.
type machine struct {
	t                         *testing.T
	fs                        *vfs.Memory
	channel                   *channel
	memory, disk, transaction int

	next             int // number of the next event
	inMemory, onDisk int // events, transactions included
	file, held       []entry
	older            int // of file
	open             []transaction
	places           map[string]int
}

type transaction struct {
	tx       flume.Transaction
	entries  []entry
	inMemory bool
	put      bool
}

func (m *machine) begin() {
	m.channel = opened(m.t, m.fs, fmt.Sprintf("memoryCapacity = %d", m.memory), fmt.Sprintf("overflowCapacity = %d", m.disk),
		fmt.Sprintf("transactionCapacity = %d", m.transaction), "overflowTimeout = 0", "maxFileSize = 3000")
}

func (m *machine) check(r *rapid.T) {
	c := m.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != len(m.held) || c.older+c.newer != len(m.file) || c.used != m.inMemory {
		r.Fatalf("%d events wait in memory, %d on disk, and %d have room in memory, instead of %d, %d and %d",
			c.held, c.older+c.newer, c.used, len(m.held), len(m.file), m.inMemory)
	}
}

func (m *machine) put(r *rapid.T) {
	n := rapid.IntRange(1, 9).Draw(r, "events")
	b := flumetest.Events(m.next, n)
	m.next += n
	tx, err := m.channel.Put(context.Background(), b)
	if m.disk > 0 && len(m.held)+m.taken() == 0 && len(m.file) <= m.memory {
		m.older = len(m.file)
	}
	hasMemory := m.memory > 0 && (m.disk == 0 || m.older == len(m.file) && len(m.file) <= m.memory) && m.inMemory+n <= m.memory
	hasDisk := m.disk > 0 && m.onDisk+n <= m.disk
	if !hasMemory && !hasDisk {
		never := n > m.memory && n > m.disk
		if never && !errors.Is(err, flume.ErrTooLarge) || !never && !errors.Is(err, flume.ErrFull) || never == errors.Is(err, flume.ErrFull) {
			r.Fatalf("putting %d events for which there is no room returned %v", n, err)
		}
		return
	}
	if err != nil {
		r.Fatalf("putting %d events: %v", n, err)
	}
	o := transaction{tx: tx, inMemory: hasMemory, put: true}
	for _, e := range b {
		o.entries = append(o.entries, entry{Event: e})
	}
	if tx.(*put).inMemory != hasMemory {
		r.Fatalf("%d events went to the wrong side: in memory %v", n, !hasMemory)
	}
	m.room(o, n)
	m.open = append(m.open, o)
}

// taken is how many transactions have events of memory.
func (m *machine) taken() (n int) {
	for _, o := range m.open {
		if o.inMemory && !o.put {
			n++
		}
	}
	return n
}

// room counts n events more of a transaction's side.
func (m *machine) room(o transaction, n int) {
	if o.inMemory {
		m.inMemory += n
	} else {
		m.onDisk += n
	}
}

func (m *machine) take(r *rapid.T) {
	limit := rapid.IntRange(0, 12).Draw(r, "limit")
	asked := min(m.transaction, cmp.Or(limit, m.transaction))
	tx, err := m.channel.Take(m.channel.at, flume.Limits{Events: limit})
	o := transaction{tx: tx, inMemory: len(m.held) > 0 && m.older == 0}
	from, most := &m.file, min(asked, len(m.file))
	switch {
	case o.inMemory:
		from, most = &m.held, min(asked, len(m.held))
	case len(m.held) > 0:
		most = min(most, m.older)
	}
	if most == 0 {
		if !errors.Is(err, flume.ErrEmpty) {
			r.Fatalf("taking from an empty channel returned %v", err)
		}
		return
	}
	if err != nil {
		r.Fatalf("taking: %v", err)
	}
	n := len(tx.Batch())
	if n == 0 || n > most || n < most && o.inMemory { // the log gives at once what is in its cache, or what is not
		r.Fatalf("%d of %d events were taken", n, most)
	}
	o.entries = slices.Clone((*from)[:n])
	*from = slices.Clone((*from)[n:])
	if !o.inMemory {
		m.older = max(m.older, most) - n // what is claimed and not taken stands before memory
	}
	if err := same(tx.Batch(), events(o.entries)); err != nil {
		r.Fatalf("taking: %v", err)
	}
	m.open = append(m.open, o)
}

// pick removes one of the open transactions.
func (m *machine) pick(r *rapid.T) transaction {
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
	switch {
	case !o.put:
		m.room(o, -len(o.entries))
	case o.inMemory:
		m.held = append(m.held, o.entries...)
	default:
		m.write(o.entries)
	}
}

// write puts events at the end of the log.
func (m *machine) write(es []entry) {
	for _, e := range es {
		e.place = len(m.places)
		m.places[string(e.Body)] = e.place
		m.file = append(m.file, e)
	}
}

func (m *machine) rollback(r *rapid.T) {
	o := m.pick(r)
	o.tx.Rollback()
	switch {
	case o.put:
		m.room(o, -len(o.entries))
	case o.inMemory:
		m.held = slices.Concat(o.entries, m.held)
	default:
		m.older += len(o.entries)
		m.file = append(m.file, o.entries...)
		slices.SortFunc(m.file, func(a, b entry) int { return a.place - b.place })
	}
}

func (m *machine) split(r *rapid.T) {
	o := m.pick(r)
	if o.put {
		m.open = append(m.open, o)
		r.Skip("a put is not split")
	}
	keep := transaction{inMemory: o.inMemory}
	rest := o
	rest.entries = nil
	var at []int
	for i, e := range o.entries {
		if rapid.Bool().Draw(r, "keep") {
			at, keep.entries = append(at, i), append(keep.entries, e)
		} else {
			rest.entries = append(rest.entries, e)
		}
	}
	keep.tx = o.tx.Split(at)
	if err := errors.Join(same(keep.tx.Batch(), events(keep.entries)), same(o.tx.Batch(), events(rest.entries))); err != nil {
		r.Fatalf("splitting: %v", err)
	}
	m.open = append(m.open, keep, rest)
}

// restart ends the channel with transactions open: what sinks have is kept as well.
func (m *machine) restart(*rapid.T) {
	var pending []entry
	for _, o := range m.open {
		if o.put {
			o.tx.Rollback()
		}
	}
	for _, t := range m.channel.out { // split takes have changed their order
		for _, o := range m.open {
			if o.tx == flume.Transaction(t) {
				pending = append(pending, o.entries...)
			}
		}
	}
	closing(m.t, m.channel)
	for _, o := range m.open {
		if !o.put {
			o.tx.Rollback()
		}
	}
	m.lose()
	m.write(pending)
	m.write(m.held)
	m.again()
}

// kill leaves the channel as it is and goes on with what its end has left.
func (m *machine) kill(*rapid.T) {
	was := m.channel
	m.fs = m.fs.Killed()
	defer func() {
		for _, o := range slices.Backward(m.open) {
			o.tx.Rollback()
		}
		_ = was.Close() // memory may have no room on disk
		m.open = nil
	}()
	open := m.open
	m.lose()
	m.open = open
	m.again()
}

// lose gives back what is taken of the log; the rest of the transactions is gone.
func (m *machine) lose() {
	for _, o := range m.open {
		if !o.put && !o.inMemory {
			m.file = append(m.file, o.entries...)
		}
	}
	slices.SortFunc(m.file, func(a, b entry) int { return a.place - b.place })
	m.open = nil
}

// again opens the channel: all that it has is on disk.
func (m *machine) again() {
	m.held, m.inMemory = nil, 0
	m.older, m.onDisk = len(m.file), len(m.file)
	m.begin()
}

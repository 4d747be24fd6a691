package sqllookup

import (
	"strings"
	"sync"
	"time"
)

// A row is what the columns of header.NAME have, in that order; nil for NULL. It is not changed.
type row [][]byte

// entryBytes is what a row takes beside its bytes and those of its key: the entry, its place in the map, the heads of its cells.
const entryBytes, cellBytes = 200, 24

// A cache remembers rows by their keys, and which keys have none. Beyond its bounds those go that were not used for the
// longest time. Its lock is taken twice for each batch at most.
type cache struct {
	most, mostBytes int
	age, noneAge    time.Duration

	mu      sync.Mutex
	entries map[string]*entry
	bytes   int
	ring    entry // its next is the entry used last, its previous the one to go first
}

type entry struct {
	key            string
	row            row // nil: there is none
	until          time.Time
	bytes          int
	next, previous *entry
}

func newCache(most, mostBytes int, age, noneAge time.Duration) *cache {
	c := &cache{most: most, mostBytes: mostBytes, age: age, noneAge: noneAge, entries: map[string]*entry{}}
	c.ring.next, c.ring.previous = &c.ring, &c.ring
	return c
}

// look fills in what is remembered of the events of a batch, and returns of how many.
func (c *cache) look(r *round) (hits int) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, s := range r.state {
		if s != asking {
			continue
		}
		e := c.entries[r.keys[n]]
		if e == nil {
			continue
		}
		c.unlink(e)
		if !now.Before(e.until) {
			c.forget(e)
			continue
		}
		c.link(e)
		r.rows[n], r.state[n] = e.row, known
		hits++
	}
	return hits
}

// keep remembers rows. Those that are too large for it alone are not kept.
func (c *cache) keep(rows map[string]row) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, row := range rows {
		if e := c.entries[key]; e != nil {
			c.unlink(e)
			c.forget(e)
		}
		e := &entry{row: row, until: now.Add(c.age), bytes: entryBytes + len(key) + cellBytes*len(row)}
		if row == nil {
			e.until = now.Add(c.noneAge)
		}
		for _, cell := range row {
			e.bytes += len(cell)
		}
		if e.bytes > c.mostBytes || c.most == 0 || !now.Before(e.until) {
			continue
		}
		e.key = strings.Clone(key) // which is cut from those of the batch
		c.entries[e.key] = e
		c.bytes += e.bytes
		c.link(e)
		for len(c.entries) > c.most || c.bytes > c.mostBytes {
			last := c.ring.previous
			c.unlink(last)
			c.forget(last)
		}
	}
}

func (c *cache) link(e *entry) {
	e.next, e.previous = c.ring.next, &c.ring
	e.next.previous, c.ring.next = e, e
}

func (c *cache) unlink(e *entry) {
	e.previous.next, e.next.previous = e.next, e.previous
}

// forget drops an entry that is not linked.
func (c *cache) forget(e *entry) {
	delete(c.entries, e.key)
	c.bytes -= e.bytes
}

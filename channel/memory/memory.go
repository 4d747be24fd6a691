// Package memory is the channel that keeps its events in memory. They are gone with the process.
//
//	Put ─▶ room reserved ─▶ Commit ─▶ │ segment │ segment │ segment │ ─▶ Take ─▶ Commit ─▶ room is free again
//	                                    one committed batch each             └─▶ Rollback: at the head again
//
// The queue is a list of batches as they were put: events are not copied in, and copied out only where one Take spans
// several batches. One lock is held for a few pointers, whatever the size of a transaction. A batch is let go with its
// last event, so a drained channel holds nothing.
//
// Room is three numbers: events (capacity), Flume's slots of 100 bytes of body (byteCapacity less
// byteCapacityBufferPercentage; an empty body takes one slot), and the bytes of bodies and headers together
// (byteCapacity), which Flume does not count. Put reserves all three; they are free again when the events have left for
// good, so what is in a transaction counts. Puts that wait for room are served in the order in which they came: a large
// one is not overtaken for ever.
//
// How it fails: a Put that found no room within keep-alive is [flume.ErrFull], one for which there never will be any is
// [flume.ErrTooLarge]. transactionCapacity bounds one Take; a Put may be larger, up to the whole channel. What is still
// here at Close is lost; the agent says how much.
package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the memory channel.
var Kind = flume.Define[Settings, flume.Channel]("memory", "org.apache.flume.channel.MemoryChannel",
	"Keeps events in memory: fast, and gone with the process.", open)

// Settings are what a memory channel can be told.
type Settings struct {
	Capacity            int
	TransactionCapacity int
	KeepAlive           time.Duration
	ByteCapacity        int64 // unset: the process's share of memory
	BufferPercentage    int
	SlotSize            int // bytes of a body that count as one

	capacityKey string // what Capacity is called in the file
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	s.SlotSize = 100
	capacity := d.Int(&s.Capacity, "capacity", 100, "How many events the channel holds at most, those in open transactions among them.").DefaultBelow(1)
	capacity.Lenient()
	d.TransactionCapacity(&s.TransactionCapacity, "transactionCapacity", 100,
		"How many events one transaction takes at most. A batch that is put may be larger, up to the capacity.").DefaultBelow(1).Lenient()
	d.Seconds(&s.KeepAlive, "keep-alive", 3*time.Second,
		"How many seconds a put waits for room before the channel counts as full.").Lenient().Bound(s.doubtKeepAlive)
	s.DeclareBytes(d, capacity, "slots of 100 bytes")
	d.Check(func() error {
		if s.TransactionCapacity <= s.Capacity {
			return nil
		}
		return conf.At("transactionCapacity", fmt.Errorf("%d events are more than the capacity of the channel, %d; lower transactionCapacity or raise capacity",
			s.TransactionCapacity, s.Capacity))
	})
}

// Unrepeatable says why what goes through here cannot be written exactly once.
func (s *Settings) Unrepeatable() error {
	return errors.New("its events are gone with the process, and the source does not read them again; take a file channel")
}

// DeclareBytes declares what bounds the channel in bytes, for another kind that holds a part of its events as this one
// does. capacity is the setting of Capacity; slots says what bodies are counted in.
func (s *Settings) DeclareBytes(d *conf.Decl, capacity *conf.Number, slots string) {
	s.capacityKey = capacity.Key
	bytes := d.Int64(&s.ByteCapacity, "byteCapacity", unset,
		"How many bytes of bodies and headers the channel holds in memory at most; 0 is about 200 GB.")
	bytes.Default = "an eighth of the memory that the process may use, at least 16 MiB"
	bytes.Lenient().Bound(s.doubtByteCapacity)
	d.Int(&s.BufferPercentage, "byteCapacityBufferPercentage", 20,
		"The percentage of byteCapacity that is kept for headers: bodies fill only the rest, in "+slots+".").Lenient().Bound(s.doubtPercentage)
}

// What Flume takes without a word, although nobody can have meant it, is taken with one.

func (s *Settings) doubtKeepAlive() error {
	if s.KeepAlive >= 0 {
		return nil
	}
	return conf.Warn("keep-alive", fmt.Errorf("%d is negative: a put does not wait for room, as with 0", s.KeepAlive/time.Second))
}

func (s *Settings) doubtByteCapacity() error {
	if s.ByteCapacity >= 0 || s.ByteCapacity == unset {
		return nil
	}
	return conf.Warn("byteCapacity", fmt.Errorf("%d is negative: the channel holds about 200 GB, as with 0, so only %s bounds it", s.ByteCapacity, s.capacityKey))
}

func (s *Settings) doubtPercentage() error {
	switch p := s.BufferPercentage; {
	case p >= 100:
		return conf.Warn("byteCapacityBufferPercentage",
			fmt.Errorf("%d leaves no room for bodies: their slots are not bounded then, as in Flume; bodies and headers together are, by byteCapacity", p))
	case p < 0:
		return conf.Warn("byteCapacityBufferPercentage",
			fmt.Errorf("%d is negative: nothing is kept for headers; bodies and headers together are bounded by byteCapacity", p))
	}
	return nil
}

var errClosed = errors.New("the channel is closed")

type channel struct {
	limit               limit
	transactionCapacity int
	keepAlive           time.Duration
	size                *atomic.Int64 // Flume's ChannelSize: committed and not taken

	mu      sync.Mutex
	closed  bool
	used    room // reserved by puts, queued, or taken and not committed
	queue   queue
	putters []*putter // waiting for room, first come first
	takers  []*taker  // waiting for events
}

// A putter waits until its need has been reserved for it.
type putter struct {
	need    room
	granted chan struct{}
}

// A taker waits until the queue reaches what it wants.
type taker struct {
	events, bytes int
	ready         chan struct{}
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Channel, error) {
	env.Counter("ChannelCapacity").Store(int64(s.Capacity))
	return &channel{
		limit:               s.limit(),
		queue:               queue{slot: s.SlotSize},
		transactionCapacity: s.TransactionCapacity,
		keepAlive:           s.KeepAlive,
		size:                env.Counter("ChannelSize"),
	}, nil
}

// Volatile says that the events are gone with the process.
func (c *channel) Volatile() bool { return true }

func (c *channel) Put(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	p := &put{channel: c, batch: b, segment: segment{batch: b, room: measure(b, c.limit.slot)}}
	need := p.segment.room
	if !need.within(c.limit.room) {
		return nil, fmt.Errorf("%w: it has %v, the channel holds at most %s", flume.ErrTooLarge, need, c.limit.of(need))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, errClosed
	case len(c.putters) == 0 && c.fits(need):
		c.used = c.used.plus(need)
		return p, nil
	case c.keepAlive <= 0:
		return nil, c.full(need)
	}
	w := &putter{need: need, granted: make(chan struct{})}
	c.putters = append(c.putters, w)
	if err := c.await(ctx, w); err != nil {
		return nil, err
	}
	return p, nil
}

// await gives up the lock until w is granted, or returns why it is not.
func (c *channel) await(ctx context.Context, w *putter) error {
	c.mu.Unlock()
	timer := time.NewTimer(c.keepAlive)
	select {
	case <-w.granted:
	case <-timer.C:
	case <-ctx.Done():
	}
	timer.Stop()
	c.mu.Lock()
	if c.closed {
		return errClosed
	}
	select {
	case <-w.granted: // perhaps only just now
		return nil
	default:
	}
	c.putters = without(c.putters, w)
	err := c.full(w.need)
	c.grant() // w may have kept smaller ones waiting
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("waiting for room in the channel: %w", cause)
	}
	return err
}

func (c *channel) fits(need room) bool { return c.used.plus(need).within(c.limit.room) }

func (c *channel) full(need room) error {
	after := c.used.plus(need)
	if after.within(c.limit.room) {
		return fmt.Errorf("%w: it holds %v, and a larger batch waits for room before this one of %v", flume.ErrFull, c.used, need)
	}
	return fmt.Errorf("%w: it holds %v, at most %s; no room came free for %v within %v",
		flume.ErrFull, c.used, c.limit.of(after), need, c.keepAlive)
}

// release frees room and hands it to those who wait.
func (c *channel) release(r room) {
	c.used = c.used.minus(r)
	c.grant()
}

func (c *channel) grant() {
	for len(c.putters) > 0 && c.fits(c.putters[0].need) {
		w := c.putters[0]
		c.putters = without(c.putters, w)
		c.used = c.used.plus(w.need)
		close(w.granted)
	}
}

func (c *channel) Take(ctx context.Context, l flume.Limits) (flume.Transaction, error) {
	events := c.transactionCapacity
	if l.Events > 0 {
		events = min(events, l.Events)
	}
	t := &take{channel: c}
	c.mu.Lock()
	for {
		c.arrive(ctx, 1, 0, 0)
		if l.Linger > 0 {
			c.arrive(ctx, events, l.Bytes, l.Linger)
		}
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil, errClosed
		case c.queue.held.events > 0:
			pieces := c.queue.cut(events, l.Bytes, &t.segment)
			c.wake()
			c.mu.Unlock()
			t.gather(pieces)
			return t, nil
		case ctx.Err() != nil:
			c.mu.Unlock()
			return nil, flume.ErrEmpty
		}
		// Another taker was faster.
	}
}

// arrive waits, without the lock, until the queue holds so many events or bytes, the time is over (0: for ever), ctx
// has ended or the channel is closed.
func (c *channel) arrive(ctx context.Context, events, bytes int, patience time.Duration) {
	var over <-chan time.Time
	for !c.closed && !c.queue.reaches(events, bytes) && ctx.Err() == nil {
		if patience > 0 && over == nil {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			over = timer.C
		}
		w := &taker{events: events, bytes: bytes, ready: make(chan struct{})}
		c.takers = append(c.takers, w)
		c.mu.Unlock()
		expired := false
		select {
		case <-w.ready:
		case <-ctx.Done():
		case <-over:
			expired = true
		}
		c.mu.Lock()
		c.takers = without(c.takers, w)
		if expired {
			return
		}
	}
}

// wake calls one taker for whom there is enough. It calls the next one itself when it leaves events behind.
func (c *channel) wake() {
	for _, w := range c.takers {
		if c.queue.reaches(w.events, w.bytes) {
			c.takers = without(c.takers, w)
			close(w.ready)
			return
		}
	}
}

func (c *channel) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	for _, w := range c.putters {
		close(w.granted)
	}
	for _, w := range c.takers {
		close(w.ready)
	}
	c.putters, c.takers = nil, nil
	c.queue = queue{}
	return nil
}

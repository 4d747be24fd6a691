package spillable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/channel/memory"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/vfs"
)

// A disk is a file channel.
type disk interface {
	flume.Channel
	Waiting() int                                   // how many events can be taken, those of puts that have not been told of it among them
	Admit(b flume.Batch) (flume.Transaction, error) // Put, with or without room
}

type channel struct {
	memory              flume.Channel // nil: there is none
	file                disk
	overflow            bool
	capacity            int // of memory
	transactionCapacity int
	threshold           int
	at                  context.Context // has ended, with ErrFull as its cause: who waits with it does not wait
	notes               *slog.Logger
	overflowing         supervise.Trouble
	size                *atomic.Int64

	mu      sync.Mutex    // over those of memory and file
	older   int           // events that wait on disk, before those in memory
	held    int           // events that wait in memory
	newer   int           // events that wait on disk, after those in memory
	writing int           // puts on their way to disk; some may be there and not yet in newer
	used    int           // events in memory, be they prepared, waiting or taken
	active  bool          // a put has overflowed: the others do not wait
	out     []*take       // of memory, not given back, in the order in which they were taken
	more    chan struct{} // closed when events come; nil: nobody waits
	closed  bool
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Channel, error) {
	return s.open(ctx, vfs.OS{}, env)
}

func (s *Settings) open(ctx context.Context, on vfs.FS, env flume.Env) (flume.Channel, error) {
	var found atomic.Int64
	own := env
	own.Counter = func(attribute string) *atomic.Int64 { // Flume shows only what both sides have in common
		if attribute == "ChannelSize" {
			return &found
		}
		return new(atomic.Int64)
	}
	log, err := s.File.OpenOn(on, own)
	if err != nil {
		return nil, err
	}
	own.Counter = func(string) *atomic.Int64 { return new(atomic.Int64) }
	var volatile flume.Channel
	if s.Memory.Capacity > 0 {
		if volatile, err = (flume.Plan[flume.Channel]{Kind: memory.Kind, Settings: &s.Memory}).Open(ctx, own); err != nil {
			return nil, errors.Join(err, log.Close())
		}
	}
	onDisk, ok := log.(disk)
	if !ok {
		panic("BUG: a file channel cannot be the disk of another")
	}
	c := join(volatile, onDisk, s, env)
	c.older = int(found.Load())
	c.measure()
	return c, nil
}

// join makes one channel of two; memory may be nil.
func join(memory flume.Channel, file disk, s *Settings, env flume.Env) *channel {
	c := &channel{
		memory: memory, file: file, overflow: s.Overflow, capacity: s.Memory.Capacity,
		transactionCapacity: s.File.TransactionCapacity, threshold: s.Threshold, notes: env.Log, size: env.Counter("ChannelSize"),
		overflowing: supervise.Trouble{Log: env.Log, Failing: "memory is full: events overflow to disk", Over: "memory has room again"},
	}
	capacity := int64(c.capacity)
	if c.overflow {
		capacity += int64(s.File.Capacity)
	}
	env.Counter("ChannelCapacity").Store(capacity)
	at, end := context.WithCancelCause(context.Background())
	end(flume.ErrFull)
	c.at = at
	return c
}

func (c *channel) measure() { c.size.Store(int64(c.older + c.held + c.newer)) }

func (c *channel) Put(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	c.mu.Lock()
	inMemory := c.turn()
	patient := !c.overflow || !c.active
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if !inMemory {
		p, err := c.putOnDisk(ctx, b)
		if errors.Is(err, flume.ErrTooLarge) && len(b) <= c.capacity {
			return nil, fmt.Errorf("%w: events wait on disk, for which this batch is too large; memory takes it when they are gone (%s)", flume.ErrFull, err.Error())
		}
		return p, err
	}
	until := ctx
	if !patient {
		until = c.at
	}
	tx, refused := c.memory.Put(until, b)
	if refused == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.used += len(b)
		return &put{channel: c, tx: tx, inMemory: true, n: len(b)}, nil
	}
	if !c.overflow {
		return nil, refused
	}
	if patient && errors.Is(refused, flume.ErrFull) {
		until = c.at // it has waited already
	} else {
		until = ctx
	}
	p, err := c.putOnDisk(until, b)
	switch {
	case errors.Is(err, flume.ErrTooLarge) && !errors.Is(refused, flume.ErrTooLarge):
		return nil, fmt.Errorf("memory: %w; disk: %s", refused, err.Error())
	case err != nil:
		return nil, fmt.Errorf("disk: %w; memory: %s", err, refused.Error())
	}
	c.mu.Lock()
	first := !c.active
	c.active = true
	c.mu.Unlock()
	if first {
		c.overflowing.Report(slog.LevelInfo, refused, 0)
	}
	return p, nil
}

// turn reports whether a put that begins now may go to memory: that no event on disk that somebody has been told of
// would come behind it, and not too many before it. When all that memory had has gone for good, what is behind it on disk
// is before it from now on.
func (c *channel) turn() bool {
	switch {
	case c.memory == nil:
		return false
	case !c.overflow:
		return true
	case c.older+c.newer > c.capacity:
		return false
	case c.writing > 0 && c.file.Waiting() != c.older+c.newer:
		// More is on disk than anybody has been told of. Of two puts the first may be there, the second be told, and the
		// events of the first be taken for those of the second, which wait and are not counted.
		return false
	}
	if c.held == 0 && len(c.out) == 0 {
		c.older, c.newer = c.older+c.newer, 0
	}
	return c.newer == 0
}

func (c *channel) putOnDisk(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	tx, err := c.file.Put(ctx, b)
	if err != nil {
		return nil, err
	}
	return &put{channel: c, tx: tx, n: len(b)}, nil
}

func (c *channel) Take(ctx context.Context, l flume.Limits) (flume.Transaction, error) {
	if l.Events == 0 || l.Events > c.transactionCapacity {
		l.Events = c.transactionCapacity
	}
	c.mu.Lock()
	for {
		c.arrive(ctx, 1, 0)
		if l.Linger > 0 {
			c.arrive(ctx, l.Events, l.Linger)
		}
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil, errClosed
		case c.older > 0 || c.held == 0 && c.newer > 0:
			n := c.claim(l.Events)
			c.mu.Unlock()
			tx, err := c.takeFromDisk(n, l.Bytes)
			if tx != nil || err != nil {
				return tx, err
			}
			c.mu.Lock()
		case c.held > 0:
			defer c.mu.Unlock()
			return c.takeFromMemory(l)
		case ctx.Err() != nil:
			c.mu.Unlock()
			return nil, flume.ErrEmpty
		}
		// Another taker was faster.
	}
}

// takeFromMemory is called with the lock held.
func (c *channel) takeFromMemory(l flume.Limits) (flume.Transaction, error) {
	tx, err := c.memory.Take(c.at, flume.Limits{Events: l.Events, Bytes: l.Bytes})
	if err != nil {
		return nil, err
	}
	t := newTake(c, tx, true)
	c.held -= t.n
	c.out = append(c.out, t)
	return t, nil
}

// claim counts up to so many events of the disk as taken. What stands behind memory is among them only where memory has
// none.
func (c *channel) claim(events int) int {
	n := min(events, c.older)
	c.older -= n
	if c.held == 0 {
		more := min(events-n, c.newer)
		c.newer -= more
		n += more
	}
	return n
}

// takeFromDisk takes events that have been claimed; nil: the file channel no longer has them, for they were damaged.
func (c *channel) takeFromDisk(claimed, bytes int) (flume.Transaction, error) {
	tx, err := c.file.Take(c.at, flume.Limits{Events: claimed, Bytes: bytes})
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, flume.ErrEmpty):
		c.measure()
		return nil, nil
	case err != nil:
		c.giveBack(claimed)
		return nil, err
	}
	t := newTake(c, tx, false)
	c.giveBack(claimed - t.n)
	return t, nil
}

// giveBack makes events of the disk wait again, before everything that has come since: memory had none when they were
// claimed, or they stood before it.
func (c *channel) giveBack(n int) {
	if n > 0 {
		c.older += n
		c.arrived()
	}
}

// arrive waits, without the lock, until so many events wait, the time is over (0: for ever), ctx has ended or the channel
// is closed.
func (c *channel) arrive(ctx context.Context, events int, patience time.Duration) {
	var over <-chan time.Time
	for !c.closed && c.older+c.held+c.newer < events && ctx.Err() == nil {
		if patience > 0 && over == nil {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			over = timer.C
		}
		if c.more == nil {
			c.more = make(chan struct{})
		}
		more, expired := c.more, false
		c.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
		case <-over:
			expired = true
		}
		c.mu.Lock()
		if expired {
			return
		}
	}
}

// arrived wakes those who wait for events, and tells how many there are.
func (c *channel) arrived() {
	c.measure()
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
}

// relax ends the overflow when it is over, and reports whether it did.
func (c *channel) relax() bool {
	if !c.active || c.newer > 0 || (c.capacity-c.used)*100 < c.threshold*c.capacity {
		return false
	}
	c.active = false
	return true
}

func (c *channel) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.arrived()
	c.mu.Unlock()
	var errs []error
	if c.memory != nil {
		errs = append(errs, c.save(), c.memory.Close())
	}
	return errors.Join(append(errs, c.file.Close())...)
}

// save writes what is in memory to disk: first what sinks have not given back, which may come twice, then what waits.
// Nothing is committed to memory any more.
func (c *channel) save() error {
	c.mu.Lock()
	left, newer := c.held, c.newer
	var pending []flume.Batch
	for _, t := range c.out {
		pending = append(pending, t.tx.Batch())
		left += t.n
	}
	c.mu.Unlock()
	saved := 0
	write := func(b flume.Batch) error {
		tx, err := c.file.Admit(b)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := tx.Commit(context.Background()); err != nil {
			return err
		}
		saved += len(b)
		return nil
	}
	var failed error
	for _, b := range pending {
		failed = errors.Join(failed, write(b))
	}
	for n := c.transactionCapacity; n > 0; {
		tx, err := c.memory.Take(c.at, flume.Limits{Events: n})
		if err != nil {
			break // nothing is there
		}
		err = write(tx.Batch())
		large := errors.Is(err, flume.ErrTooLarge)
		switch most := len(tx.Batch()); {
		case err == nil:
			n = c.transactionCapacity
		case most > 1 && (large || errors.Is(err, flume.ErrFull)):
			n = most / 2 // a part may have room
			tx.Rollback()
			continue
		case large: // the others are not
			failed = errors.Join(failed, err)
		default:
			failed, n = errors.Join(failed, err), 0
		}
		_ = tx.Commit(context.Background()) // which memory cannot refuse
	}
	switch {
	case failed != nil:
		return fmt.Errorf("writing the events in memory to disk: %d are lost: %w", max(0, left-saved), failed)
	case saved > 0 && newer > 0:
		c.notes.Warn("the events of memory are on disk now, behind younger ones that had overflowed", "events", saved, "younger", newer)
	case saved > 0:
		c.notes.Info("the events of memory are on disk now", "events", saved)
	}
	return nil
}

package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/deadletter"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/vfs"
	"github.com/sluice-io/sluice/internal/wal"
)

// A Full says what becomes of a send that a durable buffer has no room for.
type Full int

// The choices: to wait for room until the send's context ends, or to give up the oldest events that wait.
const (
	Wait Full = iota
	DropOldest
)

// DurableOptions say how a [Durable] keeps and delivers events. Only Dir is required.
type DurableOptions struct {
	Dir       string // of this buffer alone; made where it is missing
	MaxBytes  int64  // how much of the log the waiting events may take, at least 1 MiB; 0: 1 GiB
	MaxEvents int    // the most events that wait; 0: 1,000,000. The checkpoint has eight bytes on the disk for each
	Full      Full   // what to do when either is reached

	BatchEvents int           // the most events of one delivery; 0: 100
	BatchBytes  int           // the most bytes of one delivery, but for a single event; 0: 1 MiB
	BatchWait   time.Duration // how long an event waits at most for such a batch to fill; 0: not at all
	MaxBackoff  time.Duration // deliveries that fail are tried again after 250 ms, 500 ms … and this at most; 0: 30 s

	Log *slog.Logger // is told what the caller of a send cannot be told; nil: slog.Default()
}

// ErrFull is wrapped where a buffer had no room before the context of a send ended, or has no disk.
var ErrFull = errors.New("the buffer is full")

// ErrInUse is wrapped where another process has the buffer's directory; the error names it.
var ErrInUse = errors.New("the buffer is in use")

// A Durable is a [Sender] that keeps events on the disk until another has delivered them.
//
//	Append ─▶ room ─▶ log, synced ─▶ nil        log ─▶ batch ─▶ Sender ─▶ out of the log
//	(as many goroutines as there are)           (one goroutine, in order; the same batch again until it is taken)
//
// When Append or AppendBatch has returned nil the events are on the disk and will be delivered, by this process or by
// the next that opens the directory: neither SIGKILL nor a loss of power loses any. Delivery is at least once: what is
// under way when a receiver or this process ends, a batch, may arrive twice. Events are delivered in the order in which
// their sends returned. Sends of many goroutines share their syncs.
//
// The log is that of a file channel of Flume and Sluice: Dir/checkpoint and Dir/data, which "sluice channel inspect"
// reads. Its files take MaxBytes and a few files more, which are a quarter of it or 64 MiB.
//
// An event that its receiver's protocol can never carry is refused at once. One of which that shows when it is delivered goes
// to Dir/rejected, in an Avro file, and is told at ERROR.
type Durable struct {
	o  DurableOptions
	to Sender

	log     *wal.Log
	commit  int64 // bytes of a transaction without its events
	letters *deadletter.Letters
	turn    chan struct{} // holds a token that waiting for room takes: first come, first served
	arrived chan struct{} // has one when events have come, or somebody is in a hurry

	mu       sync.Mutex
	room     room
	flushes  int           // calls of Flush that wait
	changed  chan struct{} // closed when events have gone or come back; nil: nobody waits
	closed   bool          // no more sends
	calls    sync.WaitGroup
	accepted int64 // events on the disk since Open, those found there included
	settled  int64 // events delivered, dropped or rejected since Open

	counts    counts
	unsynced  atomic.Bool // something was taken out since the last sync
	refusing  supervise.Trouble
	dropping  supervise.Trouble
	keeping   supervise.Trouble
	closing   context.Context // ends when Close begins: deliveries under way are abandoned
	end       context.CancelFunc
	sent      chan struct{} // closed when the sender has ended
	kept      chan struct{} // closed when the upkeep has ended
	closeOnce func() error
}

// A room is what the waiting events take. Of those that were found at Open only the length of the log that holds them is
// known, in which the records of what was taken lie between: a little more.
type room struct {
	bytes    int64 // of records put since Open, and promised
	promised int   // events on their way into the log
	old      int   // events found at Open that are not settled
	oldBytes int64
}

type counts struct{ accepted, delivered, dropped, rejected, failures atomic.Int64 }

// DurableStats are numbers of a [Durable] since it was opened.
type DurableStats struct {
	Accepted  int64 // events whose send returned nil
	Delivered int64 // events that the receiver took
	Dropped   int64 // events given up for want of room (DropOldest)
	Rejected  int64 // events that can never be delivered, now in Dir/rejected
	Failures  int64 // deliveries that failed and were or will be tried again
	Waiting   int   // events in the buffer now
	Bytes     int64 // what they take in the log
}

const (
	usualBytes  = 1 << 30
	leastBytes  = 1 << 20
	usualEvents = 1_000_000
	usualBatch  = 100
	usualSize   = 1 << 20
	leastFile   = 4 << 20
	mostFile    = 64 << 20
	cacheBytes  = 8 << 20
	mostLetters = 1 << 30
)

// OpenDurable opens the buffer in o.Dir and begins to deliver what is in it with to, which it closes in the end.
func OpenDurable(to Sender, o DurableOptions) (*Durable, error) { return openDurable(vfs.OS{}, to, o) }

func openDurable(on vfs.FS, to Sender, o DurableOptions) (*Durable, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("opening a durable buffer: %w", err)
	}
	d := &Durable{
		o: o, to: to, turn: make(chan struct{}, 1), arrived: make(chan struct{}, 1), sent: make(chan struct{}), kept: make(chan struct{}),
		letters:  deadletter.New(filepath.Join(o.Dir, "rejected"), "client", mostLetters),
		refusing: supervise.Trouble{Log: o.Log, Failing: "the events of " + o.Dir + " cannot be delivered", Over: "the events of " + o.Dir + " are delivered again"},
		dropping: supervise.Trouble{Log: o.Log, Failing: "the oldest events of " + o.Dir + " are given up, for the buffer is full"},
		keeping:  supervise.Trouble{Log: o.Log, Failing: "the log of " + o.Dir + " cannot be kept", Over: "the log of " + o.Dir + " is kept again"},
	}
	keep := wal.Quarantine(on, filepath.Join(o.Dir, "quarantine"))
	log, found, err := wal.Open(on, wal.Options{
		CheckpointDir: filepath.Join(o.Dir, "checkpoint"), DataDirs: []string{filepath.Join(o.Dir, "data")},
		Capacity: o.MaxEvents, MaxFileSize: min(max(o.MaxBytes/4, leastFile), mostFile), Cache: cacheBytes,
		SetAside: func(x wal.Damage) error {
			if err := keep(x); err != nil {
				return err
			}
			o.Log.Error("a damaged record was taken out of the buffer", "file", x.Path, "offset", x.Offset, "bytes", x.Length, "reason", x.Reason,
				"keptIn", filepath.Join(o.Dir, "quarantine"))
			return nil
		},
	})
	if locked := (*vfs.LockedError)(nil); errors.As(err, &locked) {
		err = fmt.Errorf("%w: %w", ErrInUse, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the durable buffer %s: %w", o.Dir, err)
	}
	for _, note := range found.Notes {
		o.Log.Warn(note)
	}
	d.log = log
	if d.commit, err = log.Size(nil); err != nil {
		return nil, errors.Join(err, log.Close(false))
	}
	d.room = room{old: found.Events, oldBytes: log.Span()}
	d.accepted = int64(found.Events)
	d.turn <- struct{}{}
	d.closing, d.end = context.WithCancel(context.Background())
	d.closeOnce = sync.OnceValue(d.shut)
	go d.deliverAll()
	go d.upkeep()
	return d, nil
}

func (o *DurableOptions) complete() error {
	if o.Dir == "" {
		return errors.New("it needs a directory (Dir)")
	}
	o.Dir = filepath.Clean(o.Dir)
	if o.MaxBytes == 0 {
		o.MaxBytes = usualBytes
	}
	if o.MaxBytes < leastBytes {
		return fmt.Errorf("%d bytes (MaxBytes) are less than %d", o.MaxBytes, leastBytes)
	}
	if o.Full != Wait && o.Full != DropOldest {
		return fmt.Errorf("%d says not what to do when it is full (Full): Wait or DropOldest", o.Full)
	}
	for _, n := range []struct {
		value *int
		usual int
	}{{&o.MaxEvents, usualEvents}, {&o.BatchEvents, usualBatch}, {&o.BatchBytes, usualSize}} {
		if *n.value < 1 {
			*n.value = n.usual
		}
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return nil
}

// Append puts one event on the disk.
func (d *Durable) Append(ctx context.Context, e flume.Event) error {
	return d.AppendBatch(ctx, flume.Batch{e})
}

// AppendBatch puts b on the disk, all of it or, with an error, nothing as far as the caller may rely on; b stays the
// caller's. Where there is no room it waits until ctx ends, or drops the oldest, as the options say.
func (d *Durable) AppendBatch(ctx context.Context, b flume.Batch) error {
	if len(b) == 0 {
		return nil
	}
	size, err := d.log.Size(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	if c, ok := d.to.(carrier); ok {
		if err := c.carries(b); err != nil {
			return err
		}
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return ErrClosed
	}
	d.calls.Add(1)
	d.mu.Unlock()
	defer d.calls.Done()
	if err := d.reserve(ctx, len(b), size-d.commit); err != nil {
		return fmt.Errorf("sending to the buffer %s: %w", d.o.Dir, err)
	}
	d.log.Admit(len(b))
	// Once it is written nobody can take it back, so that the end of ctx does not end it.
	err = d.log.Put(context.WithoutCancel(ctx), clone(b))
	d.mu.Lock()
	d.room.promised -= len(b)
	if err != nil {
		d.room.bytes -= size - d.commit
		d.wake()
	} else {
		d.accepted += int64(len(b))
	}
	d.mu.Unlock()
	switch {
	case wal.IsFull(err):
		return fmt.Errorf("sending to the buffer %s: %w: %w", d.o.Dir, ErrFull, err)
	case err != nil:
		return fmt.Errorf("sending to the buffer %s: %w", d.o.Dir, err)
	}
	d.counts.accepted.Add(int64(len(b)))
	d.hurry()
	return nil
}

// clone copies bodies too: the log keeps events in memory until they are delivered, and the caller has them back at once.
func clone(b flume.Batch) flume.Batch {
	out := b.Clone()
	n := 0
	for i := range b {
		n += len(b[i].Body)
	}
	all := make([]byte, 0, n)
	for i := range b {
		from := len(all)
		all = append(all, b[i].Body...)
		out[i].Body = all[from:len(all):len(all)]
	}
	return out
}

// reserve makes room for so many events of so many bytes.
func (d *Durable) reserve(ctx context.Context, events int, bytes int64) error {
	if bytes > d.o.MaxBytes || events > d.o.MaxEvents {
		return fmt.Errorf("%w: %d events of %d bytes; the buffer takes %d (MaxEvents) and %d (MaxBytes) in all", ErrTooLarge,
			events, bytes, d.o.MaxEvents, d.o.MaxBytes)
	}
	select {
	case <-d.turn:
	case <-ctx.Done():
		return d.full(ctx)
	case <-d.closing.Done():
		return ErrClosed
	}
	defer func() { d.turn <- struct{}{} }()
	for {
		d.mu.Lock()
		held := d.log.Events() + d.room.promised
		fits := d.room.bytes+d.room.oldBytes+bytes <= d.o.MaxBytes && held+events <= d.o.MaxEvents
		if fits && !d.pinned() {
			d.room.bytes += bytes
			d.room.promised += events
			d.mu.Unlock()
			return nil
		}
		changed := d.change()
		d.mu.Unlock()
		if d.o.Full == DropOldest {
			dropped, err := d.drop(events, bytes)
			if err != nil {
				return err
			}
			if dropped {
				continue
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return d.full(ctx)
		case <-d.closing.Done():
			return ErrClosed
		}
	}
}

// pinned: a delivery under way keeps so much of the log, of which all but its own events has been dropped, that nothing
// more may be written until it has ended.
func (d *Durable) pinned() bool {
	return d.o.Full == DropOldest && d.log.Span() > 2*d.o.MaxBytes
}

func (d *Durable) full(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Errorf("%w: it holds %d events, at most %d, and %d bytes, at most %d: %w", ErrFull,
		d.log.Events(), d.o.MaxEvents, d.room.bytes+d.room.oldBytes, d.o.MaxBytes, context.Cause(ctx))
}

// drop gives up the oldest events that are not on their way, about as many as are to come. False: there is none.
func (d *Durable) drop(events int, bytes int64) (bool, error) {
	t, err := d.log.Take(max(events, usualBatch), int(min(bytes, mostFile)))
	if t == nil || err != nil {
		return false, err
	}
	b := t.Batch()
	n, size := len(b), d.sizes(b)
	if err := t.Commit(context.Background()); err != nil {
		t.Return()
		return false, fmt.Errorf("giving up the oldest events: %w", err)
	}
	d.unsynced.Store(true)
	total := d.counts.dropped.Add(int64(n))
	d.settle(n, size)
	d.dropping.Report(slog.LevelError, fmt.Errorf("%d events were given up since the start", total), 0)
	return true, nil
}

// sizes are the bytes of each record of b.
func (d *Durable) sizes(b flume.Batch) []int64 {
	out := make([]int64, len(b))
	for i := range b {
		n, err := d.log.Size(b[i : i+1])
		if err != nil {
			panic("BUG: an event of the log does not fit the log")
		}
		out[i] = n - d.commit
	}
	return out
}

// settle forgets n events, which have left the log, and their room. The oldest leave first.
func (d *Durable) settle(n int, sizes []int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &d.room
	for _, size := range sizes {
		if r.old > 0 {
			r.old--
			r.oldBytes = max(0, r.oldBytes-size)
		} else {
			r.bytes = max(0, r.bytes-size)
		}
	}
	if r.old == 0 || d.log.Events() == 0 {
		r.old, r.oldBytes = 0, 0
	}
	d.settled += int64(n)
	d.wake()
}

// change is closed with the next wake; the lock is held.
func (d *Durable) change() <-chan struct{} {
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// wake tells those who wait; the lock is held.
func (d *Durable) wake() {
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// hurry makes the sender look.
func (d *Durable) hurry() {
	select {
	case d.arrived <- struct{}{}:
	default:
	}
}

// Stats returns how far it is.
func (d *Durable) Stats() DurableStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &d.counts
	return DurableStats{
		Accepted: c.accepted.Load(), Delivered: c.delivered.Load(), Dropped: c.dropped.Load(), Rejected: c.rejected.Load(), Failures: c.failures.Load(),
		Waiting: d.log.Events(), Bytes: d.room.bytes + d.room.oldBytes,
	}
}

// Flush returns when what had been sent before it was called is delivered, without waiting for batches to fill, or the
// cause of ctx's end.
func (d *Durable) Flush(ctx context.Context) error {
	d.mu.Lock()
	d.flushes++
	until := d.accepted
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.flushes--
		d.mu.Unlock()
	}()
	for {
		d.mu.Lock()
		if d.settled >= until || d.log.Events() == 0 {
			d.mu.Unlock()
			return nil
		}
		changed := d.change()
		d.mu.Unlock()
		d.hurry()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("delivering the events of %s: %w", d.o.Dir, context.Cause(ctx))
		case <-d.closing.Done():
			return ErrClosed
		}
	}
}

// Drain takes no more events, delivers what waits until ctx ends, and closes. What is left, of which the error tells,
// stays on the disk for the next who opens the directory.
func (d *Durable) Drain(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	flushed := d.Flush(ctx)
	for flushed == nil && d.log.Events() > 0 { // of sends that were under way
		flushed = d.Flush(ctx)
	}
	left := d.log.Events()
	err := d.Close()
	if left > 0 && err == nil {
		return fmt.Errorf("%d events stay in the buffer %s, to be delivered when it is opened again: %w", left, d.o.Dir, flushed)
	}
	return err
}

// Close ends deliveries under way and closes the buffer and what it delivers with. What has not been delivered stays on
// the disk for the next who opens the directory.
func (d *Durable) Close() error { return d.closeOnce() }

func (d *Durable) shut() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.end()
	err := d.to.Close()
	d.calls.Wait()
	<-d.sent
	<-d.kept
	if closed := d.log.Close(true); closed != nil {
		err = errors.Join(err, fmt.Errorf("closing the durable buffer %s: %w", d.o.Dir, closed))
	}
	return err
}

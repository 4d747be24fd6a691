package hdfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/serializer"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A bucket is the events that go to one directory with one beginning of the name, and the file that is open for them.
type bucket struct {
	k     *sink
	key   string
	place place
	files hdfs.FS
	// number is that of its last file.
	number atomic.Int64
	// resting is under the sink's lock.
	resting bool

	// Of Deliver, whose calls do not overlap.
	round int // the call that has last touched it
	share int // its number in that call

	sick atomic.Pointer[sickness] // until it is over, events wait

	mu      sync.Mutex
	file    *file // nil: the next event begins one
	backoff supervise.Backoff

	// unclaimed are runs of events that have become safe after Deliver had given up waiting for them. When they come
	// again they are delivered already.
	unclaimed []run
	claimable time.Time // since when the last of them is

	few int // files in a row that were ended for want of replicas

	tried *entry // a file that is to be made next and could not be yet
	doubt bool   // a call that was to make it was given up, so that it may be there
}

// A sickness keeps the events of one bucket waiting and leaves the others alone.
type sickness struct {
	err   error
	until time.Time // zero: until the bucket's own goroutine has ended it
}

// A file is one that is written to. After each flush it is whole: safe is where the last one ended.
type file struct {
	hdfs.File
	entry
	shape      shape
	events     int64
	body       int64 // bytes of bodies
	safe       int64
	replicas   int // after the first flush
	out        *outgoing
	over       bool // ends as soon as nothing is under way
	roll, idle *time.Timer
}

// outgoing is what was given to a file and is not safe yet. There is one at most.
type outgoing struct {
	rest  []byte // that Write has not taken
	shape shape  // of the file when it is safe
	end   int64  // of the file, then
	run   run
	body  int64
	// positions are what the ledger is told of it first; nil: it has been told, or there is none.
	positions *position.Set
}

// A run is events, known by what they are: equal events are equally welcome in their place.
type run struct {
	n   int
	sum [sha256.Size]byte
}

func sum(b flume.Batch) (s [sha256.Size]byte) {
	h := sha256.New()
	var n [8]byte
	text := func(s string) {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	for i := range b {
		binary.BigEndian.PutUint64(n[:], uint64(len(b[i].Headers)))
		h.Write(n[:])
		for _, x := range b[i].Headers {
			text(x.Key)
			text(x.Value)
		}
		binary.BigEndian.PutUint64(n[:], uint64(len(b[i].Body)))
		h.Write(n[:])
		h.Write(b[i].Body)
	}
	h.Sum(s[:0])
	return s
}

// An unfit event can never be delivered.
type unfit struct {
	at  int
	err error
}

// deliver makes events safe, in their order, and returns how many are settled: delivered, or among the unfit. The error
// says why the rest is not.
func (b *bucket) deliver(ctx context.Context, events flume.Batch, places []position.Place) (settled int, bad []unfit, err error) {
	if s := b.sick.Load(); s != nil && (s.until.IsZero() || time.Now().Before(s.until)) {
		return 0, nil, s.err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		if b.file == nil {
			b.k.rest(b)
		}
	}()
	for settled < len(events) {
		if n := b.claim(events[settled:]); n > 0 {
			settled += n
			continue
		}
		most := len(events)
		if b.k.ledger != nil {
			repeated, fresh, unsure := b.k.ledger.fresh(places[settled:])
			if settled += repeated; unsure != nil {
				b.suffer(ctx, unsure)
				return settled, bad, unsure
			}
			if most = settled + fresh; fresh == 0 {
				continue
			}
		}
		n, err := b.next(ctx, events[settled:most], places[min(settled, len(places)):])
		if errors.Is(err, serializer.ErrUnfit) {
			bad = append(bad, unfit{settled, err})
			n, err = 1, nil
		}
		if err != nil {
			b.suffer(ctx, err)
			return settled, bad, err
		}
		settled += n
	}
	b.sick.Store(nil)
	b.backoff.Reset()
	return settled, bad, nil
}

// claim returns how many of the events, from the first one on, are in a file already.
func (b *bucket) claim(events flume.Batch) int {
	for i, r := range b.unclaimed {
		if r.n <= len(events) && sum(events[:r.n]) == r.sum {
			b.unclaimed = append(b.unclaimed[:i], b.unclaimed[i+1:]...)
			return r.n
		}
	}
	return 0
}

// suffer lets the bucket alone for a time after an error.
func (b *bucket) suffer(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // nobody comes again
	}
	if b.file != nil && b.file.out != nil {
		b.sick.Store(&sickness{err: err})
		b.k.work.Go(b.heal)
		return
	}
	b.sick.Store(&sickness{err: err, until: time.Now().Add(b.backoff.Next())})
}

// heal goes on with what a call had no time for. The file is as it was; only the caller has given up.
func (b *bucket) heal() {
	for {
		b.mu.Lock()
		err := b.push(b.k.live)
		if err == nil || b.file == nil {
			if err != nil { // the file is lost; what was under way comes again
				b.sick.Store(&sickness{err: err, until: time.Now().Add(b.backoff.Next())})
			} else {
				b.sick.Store(nil)
				b.backoff.Reset()
			}
			b.mu.Unlock()
			return
		}
		b.sick.Store(&sickness{err: err})
		wait := b.backoff.Next()
		b.mu.Unlock()
		if supervise.Sleep(b.k.live, wait) != nil {
			return // Close ends the file
		}
	}
}

// next writes as many events as go into one file and makes them safe.
func (b *bucket) next(ctx context.Context, events flume.Batch, places []position.Place) (int, error) {
	if b.full() {
		b.end()
	}
	var fresh shape
	n, err := b.fit(ctx, &fresh, b.room(events))
	if err == nil && n == 0 { // it needs a file of its own, if one can have it
		whole := b.file
		b.file = nil
		n, err = b.fit(ctx, &fresh, b.room(events))
		if b.file = whole; err == nil {
			b.end()
		}
	}
	if err != nil {
		return 0, err
	}
	if n == 0 {
		panic("BUG: an event does not fit into a new file")
	}
	if b.file == nil {
		if err := b.begin(ctx, fresh); err != nil {
			b.k.failed.Add(1)
			return 0, err
		}
	}
	if err := b.encode(events[:n]); err != nil {
		return 0, err
	}
	if b.k.ledger != nil {
		b.file.out.positions = only(places[:n])
	}
	if err := b.push(ctx); err != nil {
		if f := b.file; f != nil && f.out != nil && ctx.Err() == nil && b.k.ledger == nil {
			f.out.run = run{n, sum(events[:n])}
		}
		b.k.failed.Add(1)
		return 0, err
	}
	return n, nil
}

// fit asks how many events belong into the file, or into one of a fresh shape.
func (b *bucket) fit(ctx context.Context, fresh *shape, events flume.Batch) (int, error) {
	f := b.k.takeFormat()
	defer b.k.giveFormat(f)
	if b.file != nil {
		return f.fit(ctx, &b.file.shape, events)
	}
	return f.fit(ctx, fresh, events)
}

// full reports whether the next event needs a new file.
func (b *bucket) full() bool {
	f, s := b.file, b.k.settings
	if f == nil {
		return false
	}
	if f.over || s.rollCount > 0 && f.events >= s.rollCount || s.rollSize > 0 && f.body >= s.rollSize {
		b.few = 0
		return true
	}
	if f.events == 0 {
		return false
	}
	want := s.minReplicas
	if want == unset {
		want = f.replicas
	}
	has := f.Replicas()
	if has >= want {
		b.few = 0
		return false
	}
	if b.few++; b.few == mostFew+1 {
		b.k.log.Warn("Files have too few replicas again and again; they are not ended for it any more until one has enough",
			"file", f.inUse, "replicas", has, "wanted", want)
	}
	return b.few <= mostFew
}

// mostFew is how many files in a row are ended because too few DataNodes have what is written.
const mostFew = 30

// room are the events that the file may have before it is full, from the first one on.
func (b *bucket) room(events flume.Batch) flume.Batch {
	s := b.k.settings
	var count, body int64
	if b.file != nil {
		count, body = b.file.events, b.file.body
	}
	if s.rollCount > 0 {
		events = events[:min(int64(len(events)), max(1, s.rollCount-count))]
	}
	if s.rollSize > 0 {
		for i := range events {
			if body += int64(len(events[i].Body)); body >= s.rollSize {
				return events[:i+1]
			}
		}
	}
	return events
}

// begin makes the next file.
func (b *bucket) begin(ctx context.Context, fresh shape) error {
	k := b.k
	if err := k.makeRoom(ctx, b); err != nil {
		return err
	}
	for {
		e := b.nextEntry()
		f, err := b.files.Create(ctx, e.inUse, hdfs.CreateOptions{New: true})
		refused := new(hdfs.RemoteError)
		switch {
		case err == nil:
			b.tried = nil
			k.created.Add(1)
			b.file = &file{File: f, entry: e, shape: fresh}
			b.arm(b.file)
			return nil
		case errors.Is(err, fs.ErrExist) && b.doubt: // by the call before, which was given up
			k.leave(e)
			b.tried, b.doubt = nil, false
		case errors.Is(err, fs.ErrExist): // another sink's, or Flume's, of the same millisecond
			k.settled(e)
			b.tried = nil
		default:
			k.gone()
			k.ended()
			b.doubt = b.doubt || !errors.As(err, &refused)
			return err
		}
	}
}

// nextEntry is the file to begin: the one that could not be made, or the next.
func (b *bucket) nextEntry() entry {
	if b.tried == nil {
		e := entry{root: b.place.root, measure: b.k.measure}
		e.inUse, e.final = b.k.names(b.place, b.number.Add(1))
		e.id = b.k.note(e)
		e.once = b.k.ledger.begin(e)
		b.tried, b.doubt = &e, false
	}
	return *b.tried
}

// arm lets the file end when its time is over.
func (b *bucket) arm(f *file) {
	s := b.k.settings
	if s.rollInterval > 0 {
		f.roll = time.AfterFunc(s.rollInterval, func() { b.timeout(f) })
	}
	if s.idle > 0 {
		f.idle = time.AfterFunc(s.idle, func() { b.timeout(f) })
	}
}

func (b *bucket) timeout(f *file) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file != f {
		return
	}
	if f.over = true; f.out == nil {
		b.end()
	}
}

// encode makes the bytes of events that belong into the file.
func (b *bucket) encode(events flume.Batch) error {
	f := b.k.takeFormat()
	defer b.k.giveFormat(f)
	file := b.file
	o := &outgoing{shape: file.shape, run: run{n: len(events)}}
	out := bytes.NewBuffer(make([]byte, 0, estimate(events)))
	if err := f.encode(out, &o.shape, file.safe, events); err != nil {
		return fmt.Errorf("writing to %s: %w", file.inUse, err)
	}
	for i := range events {
		o.body += int64(len(events[i].Body))
	}
	o.rest, o.end = out.Bytes(), file.safe+int64(out.Len())
	file.out = o
	return nil
}

// estimate is about how many bytes events become.
func estimate(events flume.Batch) int {
	n := 512
	for i := range events {
		n += len(events[i].Body) + 1
	}
	return n
}

// push makes what is under way safe. A file that is lost is ended; another error leaves it as it is.
func (b *bucket) push(ctx context.Context) error {
	f := b.file
	if f == nil || f.out == nil {
		return nil
	}
	o := f.out
	err := b.promise(ctx, o)
	for err == nil && len(o.rest) > 0 {
		var n int
		n, err = f.Write(ctx, o.rest)
		o.rest = o.rest[n:]
	}
	if err == nil {
		err = f.Flush(ctx, b.k.durability)
	}
	lost := errors.Is(err, hdfs.ErrLost)
	if err != nil && o.positions != nil {
		return err // of the ledger
	}
	if err != nil && !(lost && len(o.rest) == 0 && f.Acked() >= o.end) {
		if lost {
			b.finish(true)
		}
		return err
	}
	if o.run.sum != (run{}).sum {
		b.unclaimed, b.claimable = append(b.unclaimed, o.run), time.Now()
	}
	if b.k.ledger != nil {
		b.k.ledger.added(f.once)
	}
	if f.safe == 0 {
		f.replicas = f.Replicas()
	}
	f.out, f.shape, f.safe = nil, o.shape, o.end
	f.events += int64(o.run.n)
	f.body += o.body
	switch {
	case lost:
		b.finish(true)
	case f.over:
		b.end()
	case f.idle != nil:
		f.idle.Reset(b.k.settings.idle)
	}
	return nil
}

// promise tells the ledger which positions the bytes have that are under way.
func (b *bucket) promise(ctx context.Context, o *outgoing) error {
	if o.positions == nil {
		return nil
	}
	if err := b.k.ledger.add(ctx, b.file.once, o.end, o.positions); err != nil {
		return err
	}
	o.positions = nil
	return nil
}

// end lets the file have no more events.
func (b *bucket) end() { b.finish(false) }

// finish hands the file over to be closed and renamed. Of a broken one the rest is cut off.
func (b *bucket) finish(broken bool) {
	f := b.file
	if f == nil {
		return
	}
	b.file = nil
	b.k.ended()
	b.k.rest(b)
	for _, t := range []*time.Timer{f.roll, f.idle} {
		if t != nil {
			t.Stop()
		}
	}
	b.k.finish(&ending{
		entry: f.entry, files: b.files, file: f.File, bucket: b, safe: f.safe, broken: broken || f.out != nil,
	})
}

package hdfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// A writer is an open file. Its goroutine (run) does all that concerns DataNodes, in its own time, so that a caller
// whose time is up breaks nothing: callers fill packets, queue them and wait.
//
//	Write ─▶ cur ─▶ queue ─▶ run ─▶ pipeline ─▶ DataNodes
//	                  ▲                             │
//	                  └──────── readAcks ◀──────────┘ takes off what is acknowledged
//
// Packets stay in the queue until they are acknowledged; queue[:sent] are on the wire. When a pipeline breaks, sent
// becomes 0 and all of them go to the next one.
type writer struct {
	c           *client
	path        string
	id          uint64
	blockSize   int64
	replication int
	appending   bool
	flushed     atomic.Bool

	ctx  context.Context // ends the goroutine
	end  context.CancelFunc
	done chan struct{}
	wake chan struct{} // there is something for the goroutine
	news chan struct{} // there is something for the caller

	// The caller's.
	cur    *packet // has bytes that are in no queue yet
	room   int     // bytes that cur may have
	keep   []byte  // the beginning of an unfinished chunk, already sent
	pos    int64   // in the block
	size   int64   // of the file
	seq    int64
	synced int64 // of the file, with the packets that are queued; -1: Hsync was never asked for
	ending bool  // the last packet of the file is queued
	closed bool

	// The goroutine's.
	block    block // its length is that of the block before, until it has ended
	token    []byte
	replicas []replica
	failed   []failedNode
	pipe     *pipeline
	stage    uint64
	wrote    time.Time

	topUpAt    time.Time // when to look for a node that is missing
	topUpPause time.Duration

	mu         sync.Mutex
	queue      []*packet
	sent       int
	pending    int   // bytes in queue
	acked      int64 // of the file
	blockAcked int64 // of the block
	blockSent  int64
	nodes      int
	tries      int // pipelines that broke since an acknowledgement
	fault      *fault
	blockDone  bool  // its last packet is acknowledged
	err        error // the end of the file
	trouble    error // the latest that was recovered from, or is being
}

const heartbeatLeast = 30 * time.Second

func newWriter(c *client, name string, f status, last *located) *writer {
	w := &writer{
		c: c, path: name, id: f.id, blockSize: f.BlockSize, replication: max(1, f.Replication), size: f.Size, acked: f.Size, synced: -1,
		done: make(chan struct{}), wake: make(chan struct{}, 1), news: make(chan struct{}, 1), stage: stageCreate, nodes: max(1, f.Replication),
	}
	w.ctx, w.end = context.WithCancel(c.ctx)
	if last != nil && last.id != 0 {
		w.appending, w.stage = true, stageAppend
		w.block, w.token = last.block, last.token
		w.pos, w.blockAcked, w.blockSent = last.length, last.length, last.length
		w.setReplicas(last.replicas)
		w.fault = &fault{bad: -1}
	}
	return w
}

func (w *writer) Size() int64 { return w.size }

func (w *writer) Acked() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

func (w *writer) Replicas() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes
}

func (w *writer) setReplicas(r []replica) {
	w.replicas = r
	w.mu.Lock()
	w.nodes = len(r)
	w.mu.Unlock()
}

func (w *writer) nodeName(i int) string {
	if i >= len(w.replicas) {
		return fmt.Sprintf("number %d", i)
	}
	return w.replicas[i].addr(false)
}

// signal tells whoever reads c, who looks for himself what has happened.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// bound gives a call an end.
func (c *client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.o.CallTimeout)
}

func (w *writer) Write(ctx context.Context, p []byte) (int, error) {
	ctx, cancel := w.c.bound(ctx)
	defer cancel()
	n := 0
	for n < len(p) {
		if w.cur != nil && len(w.cur.data) == w.room {
			if err := w.push(ctx); err != nil {
				return n, wrap("writing", w.path, err)
			}
		}
		if w.pos == w.blockSize {
			if err := w.pushEnd(ctx); err != nil {
				return n, wrap("writing", w.path, err)
			}
		}
		if w.ending || w.closed {
			return n, wrap("writing", w.path, fs.ErrClosed)
		}
		if w.cur == nil {
			w.begunPacket()
		}
		k := min(len(p)-n, w.room-len(w.cur.data))
		if need := len(w.cur.data) + k; need > cap(w.cur.data) {
			grown := make([]byte, len(w.cur.data), min(w.room, max(need, 2*cap(w.cur.data), 4096)))
			copy(grown, w.cur.data)
			w.cur.data = grown
		}
		w.cur.data = append(w.cur.data, p[n:n+k]...)
		n += k
		w.pos += int64(k)
		w.size += int64(k)
	}
	return n, wrap("writing", w.path, w.lost())
}

// begunPacket makes a packet that begins where the unfinished chunk does. Where that is known only by its nodes, after
// opening to append, the packet ends with the chunk.
func (w *writer) begunPacket() {
	off := w.pos - int64(len(w.keep))
	w.cur, w.keep = &packet{off: off, data: w.keep}, nil
	w.room = int(min(int64(w.c.pipe.packet), w.blockSize-off))
	if odd := int(off % chunk); odd != 0 {
		w.room = chunk - odd
	}
}

// push queues the current packet.
func (w *writer) push(ctx context.Context) error {
	k := w.cur
	var keep []byte
	if odd := k.blockEnd() % chunk; odd != 0 {
		keep = bytes.Clone(k.data[max(k.blockEnd()-odd, k.off)-k.off:])
	}
	if err := w.enqueue(ctx, k); err != nil {
		return err
	}
	w.cur, w.keep = nil, keep
	return nil
}

// pushEnd queues the packet that ends a block.
func (w *writer) pushEnd(ctx context.Context) error {
	if err := w.enqueue(ctx, &packet{off: w.pos, last: true, sync: w.synced >= 0}); err != nil {
		return err
	}
	w.pos, w.keep = 0, nil
	return nil
}

func (w *writer) enqueue(ctx context.Context, k *packet) error {
	err := w.await(ctx, func() bool { return len(w.queue) == 0 || w.pending+len(k.data) <= w.c.pipe.window })
	if err != nil {
		return err
	}
	if err := w.c.budget.take(ctx, len(k.data)); err != nil {
		return w.late(err)
	}
	k.seq, k.end = w.seq, w.size
	k.seal(castagnoli())
	w.seq++
	if k.sync {
		w.synced = w.size
	}
	w.mu.Lock()
	if w.err != nil || w.ctx.Err() != nil {
		w.mu.Unlock()
		w.c.budget.give(len(k.data))
		return w.lost()
	}
	w.queue = append(w.queue, k)
	w.pending += len(k.data)
	w.mu.Unlock()
	signal(w.wake)
	return nil
}

// await waits until the state is as the caller wants it, which it is asked under the lock.
func (w *writer) await(ctx context.Context, ready func() bool) error {
	for {
		w.mu.Lock()
		err, ok := w.ended(), ready() // at one moment: a file that ends has nothing waiting either
		w.mu.Unlock()
		if err != nil || ok {
			return err
		}
		select {
		case <-w.news:
		case <-w.done:
		case <-ctx.Done():
			return w.late(context.Cause(ctx))
		}
	}
}

// lost tells whether the file has ended.
func (w *writer) lost() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended()
}

// ended is lost with the lock held.
func (w *writer) ended() error {
	if w.err == nil && w.ctx.Err() != nil && !w.closed {
		return fs.ErrClosed
	}
	return w.err
}

// late is the error of a call whose time is up.
func (w *writer) late(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble != nil {
		return fmt.Errorf("%d bytes are not acknowledged: %w; last: %w", w.size-w.acked, err, w.trouble)
	}
	return fmt.Errorf("%d bytes are not acknowledged: %w", w.size-w.acked, err)
}

func (w *writer) Flush(ctx context.Context, d Durability) error {
	ctx, cancel := w.c.bound(ctx)
	defer cancel()
	return wrap("flushing", w.path, w.flush(ctx, d))
}

func (w *writer) flush(ctx context.Context, d Durability) error {
	w.flushed.Store(true)
	if d == Hsync {
		w.synced = max(w.synced, 0)
	}
	if w.cur != nil {
		w.cur.sync = w.cur.sync || d == Hsync
		if err := w.push(ctx); err != nil {
			return err
		}
	} else if d == Hsync && w.synced < w.size && w.pos > 0 {
		if err := w.enqueue(ctx, &packet{off: w.pos, sync: true}); err != nil {
			return err
		}
	}
	return w.await(ctx, func() bool { return len(w.queue) == 0 })
}

func (w *writer) Close(ctx context.Context) error {
	if w.closed {
		return nil
	}
	ctx, cancel := w.c.bound(ctx)
	defer cancel()
	if err := w.complete(ctx); err != nil {
		return wrap("closing", w.path, err)
	}
	w.closed = true
	w.Abandon()
	return nil
}

func (w *writer) complete(ctx context.Context) error {
	if w.cur != nil {
		if err := w.push(ctx); err != nil {
			return err
		}
	}
	if !w.ending && w.pos > 0 {
		if err := w.pushEnd(ctx); err != nil {
			return err
		}
	}
	w.ending = true
	if err := w.await(ctx, func() bool { return len(w.queue) == 0 && !w.blockDone && w.fault == nil }); err != nil {
		return err
	}
	m := new(message).text(1, w.path).text(2, w.c.name)
	if w.block.id != 0 { // the goroutine has nothing to do with it any more
		m.bytes(3, w.block.encode())
	}
	m.num(4, w.id)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		done, err := w.c.yes(ctx, "complete", m)
		if done || err != nil {
			return err
		}
		if err := pause(ctx, wait); err != nil { // the nodes have not told the NameNode yet
			return fmt.Errorf("the NameNode knows of too few replicas of the last block: %w", err)
		}
	}
}

func (w *writer) Abandon() {
	w.end()
	<-w.done
	w.c.strike(w)
}

// run does what there is to do until the file ends.
func (w *writer) run() {
	defer close(w.done)
	defer w.stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for w.ctx.Err() == nil {
		w.mu.Lock()
		f, ended := w.fault, w.blockDone
		var k *packet
		if w.sent < len(w.queue) {
			// The end of a block goes out when all before it is acknowledged, and the next block begins when it is itself.
			if k = w.queue[w.sent]; w.sent > 0 && (k.last || w.queue[w.sent-1].last) {
				k = nil
			}
		}
		w.mu.Unlock()
		var err error
		switch {
		case ended:
			w.endBlock()
		case f != nil:
			err = w.recover(w.ctx, f)
		case w.pipe != nil && w.wantsNode() && time.Now().After(w.topUpAt):
			w.topUp(w.ctx)
		case k == nil:
			w.idle(timer)
		case w.pipe == nil:
			err = w.nextBlock(w.ctx)
		default:
			w.transmit(k)
		}
		if err != nil && w.ctx.Err() == nil && !w.setback(err) {
			return
		}
	}
}

// setback tells whether the file can go on after an error: what Hadoop refuses stays refused, but a NameNode that does
// not answer will.
func (w *writer) setback(err error) bool {
	var remote *RemoteError
	w.noteTrouble(err)
	if !errors.Is(err, ErrLost) && !(errors.As(err, &remote) && !isStandby(err) && !isPassing(err)) {
		return pause(w.ctx, time.Second) == nil
	}
	if !errors.Is(err, ErrLost) {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	signal(w.news)
	return false
}

func (w *writer) noteTrouble(err error) {
	w.mu.Lock()
	w.trouble = err
	w.mu.Unlock()
	w.c.log.Debug("Writing a file had to be recovered.", "path", w.path, "error", err)
}

func (w *writer) setFault(f *fault) {
	w.mu.Lock()
	w.fault = f
	w.mu.Unlock()
}

// stop leaves nothing behind.
func (w *writer) stop() {
	if w.pipe != nil {
		w.pipe.shut()
		w.pipe = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.c.budget.give(w.pending)
	w.queue, w.sent, w.pending = nil, 0, 0
}

// rewind takes back what is on the wire, and returns what of the block is acknowledged and what had been sent.
func (w *writer) rewind() (acked, sent int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = 0
	return w.blockAcked, w.blockSent
}

// progress returns what of the block is acknowledged, and what was sent.
func (w *writer) progress() (acked, sent int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.blockAcked, w.blockSent
}

// begin starts to use a pipeline. One that was made to close its block has done that already.
func (w *writer) begin(p *pipeline, generation uint64) {
	w.block.generation = generation
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = nil
	if w.stage == stageClose {
		p.conn.hangUp()
		w.takeOff()
		return
	}
	w.stage, w.pipe, w.wrote = stageStreaming, p, time.Now()
	if w.topUpPause == 0 {
		w.topUpPause = topUpLeast
		w.topUpAt = w.wrote.Add(topUpLeast)
	}
	if len(w.queue) == 0 {
		w.tries = 0
	}
	go w.readAcks(p, len(w.replicas))
	signal(w.news)
}

// takeOff removes the first packet, which is acknowledged. The lock is held.
func (w *writer) takeOff() {
	k := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	w.sent = max(0, w.sent-1)
	w.pending -= len(k.data)
	w.c.budget.give(len(k.data))
	w.acked = max(w.acked, k.end)
	w.blockAcked = max(w.blockAcked, k.blockEnd())
	w.tries = 0
	w.blockDone = k.last
	if k.last || len(w.queue) > 0 && w.queue[0].last {
		signal(w.wake)
	}
	signal(w.news)
}

// acknowledge takes in what the pipeline says, and tells whether there will be more.
func (w *writer) acknowledge(p *pipeline, seq int64, f *fault) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f == nil && seq != heartbeat && (w.sent == 0 || w.queue[0].seq != seq) {
		f = &fault{bad: 0, err: fmt.Errorf("DataNode %s acknowledges packet %d out of turn", w.nodeName(0), seq)}
	}
	if f != nil {
		if w.fault == nil {
			w.fault = f
		}
		signal(w.wake)
		return false
	}
	if seq == heartbeat {
		return true
	}
	w.takeOff()
	return !w.blockDone
}

// endBlock leaves a block that its nodes have closed.
func (w *writer) endBlock() {
	if w.pipe != nil {
		w.pipe.shut()
		w.pipe = nil
	}
	w.mu.Lock()
	w.block.length = w.blockAcked
	w.blockAcked, w.blockSent, w.blockDone, w.fault = 0, 0, false, nil
	w.stage, w.appending, w.topUpPause = stageCreate, false, 0
	w.mu.Unlock()
	signal(w.news)
}

// transmit writes a packet to the pipeline.
func (w *writer) transmit(k *packet) {
	w.mu.Lock()
	w.sent++
	w.blockSent = max(w.blockSent, k.blockEnd())
	k.sent = time.Now()
	w.mu.Unlock()
	if k.last {
		w.stage = stageClose
	}
	w.wrote = k.sent
	if err := w.pipe.send(k, w.limit()); err != nil {
		// Which node is to blame may be in an acknowledgement that has arrived; otherwise it is the first.
		w.pipe.conn.nc.SetReadDeadline(time.Now().Add(time.Second))
		<-w.pipe.ended
	}
}

// idle waits for something to do. Meanwhile it keeps the pipeline alive, and looks whether it is.
func (w *writer) idle(timer *time.Timer) {
	wait := time.Hour
	if w.pipe != nil {
		now := time.Now()
		w.mu.Lock()
		late := time.Duration(1)
		if w.sent > 0 {
			late = w.queue[0].sent.Add(w.limit()).Sub(now)
			wait = late
		}
		if late <= 0 && w.fault == nil {
			w.fault = &fault{bad: 0, err: fmt.Errorf("DataNode %s acknowledges nothing for %s", w.nodeName(0), w.limit())}
		}
		w.mu.Unlock()
		if late <= 0 {
			return
		}
		beat := w.wrote.Add(min(heartbeatLeast, w.c.pipe.timeout/2)).Sub(now)
		if beat <= 0 {
			k := &packet{seq: heartbeat}
			k.seal(castagnoli())
			w.wrote = now
			if err := w.pipe.send(k, w.limit()); err != nil {
				w.pipe.conn.nc.SetReadDeadline(time.Now().Add(time.Second))
				<-w.pipe.ended
			}
			return
		}
		wait = min(wait, beat)
		if w.wantsNode() {
			wait = min(wait, max(time.Millisecond, w.topUpAt.Sub(now)))
		}
	}
	timer.Reset(wait)
	select {
	case <-w.wake:
	case <-timer.C:
	case <-w.ctx.Done():
	}
}

package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/vfs"
	"github.com/sluice-io/sluice/internal/wal"
)

const (
	// longTail is after how much log a checkpoint is due, whatever its interval: a start has no more to read than that.
	longTail = 256 << 20
	// mostTaken is the most bytes of one take, but for a single event.
	mostTaken = 32 << 20
)

var errClosed = errors.New("the channel is closed")

type channel struct {
	agent, name         string
	log                 *wal.Log
	notes               *slog.Logger
	space               space
	capacity            int
	capacityKey         string
	transactionCapacity int
	keepAlive           time.Duration
	checkpointOnClose   bool

	// Calls hold calls for reading while they use the log; Close holds it when it ends the log.
	calls   sync.RWMutex
	closed  bool
	closing context.Context // ends when Close begins, so that nobody waits any more
	end     context.CancelFunc
	over    context.Context // has ended: who waits with it does not wait
	upkeep  upkeep

	size                 level
	putError, takeError  *atomic.Int64
	openState, endState  *atomic.Int64
	quarantined, doubled *atomic.Int64
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Channel, error) {
	return s.OpenOn(vfs.OS{}, env)
}

// OpenOn opens the channel in directories of the file system on.
func (s *Settings) OpenOn(on vfs.FS, env flume.Env) (flume.Channel, error) {
	unhealthy := env.Counter("Unhealthy")
	c, err := s.channel(on, env)
	if err != nil {
		unhealthy.Store(1)
		return nil, fmt.Errorf("opening the log in %s: %w", s.CheckpointDir, err)
	}
	unhealthy.Store(0)
	c.openState.Store(1)
	c.endState.Store(0)
	c.upkeep.begin(c)
	return c, nil
}

func (s *Settings) channel(on vfs.FS, env flume.Env) (*channel, error) {
	c := &channel{
		agent: env.Agent, name: env.Name, notes: env.Log, capacity: s.Capacity, capacityKey: s.capacityKey, transactionCapacity: s.TransactionCapacity, keepAlive: s.KeepAlive, checkpointOnClose: s.CheckpointOnClose,
		space:    space{fs: on, dirs: s.DataDirs, keep: s.MinimumSpace},
		putError: env.Counter("EventPutErrorCount"), takeError: env.Counter("EventTakeErrorCount"),
		openState: env.Counter("Open"), endState: env.Counter("Closed"),
		quarantined: env.Counter("RecordQuarantinedCount"), doubled: env.Counter("EventPossibleDuplicateCount"),
	}
	o, err := s.Options(env.Log)
	if err != nil {
		return nil, err
	}
	keep := wal.Quarantine(on, s.QuarantineDir)
	o.Logged, o.Syncs = env.Counter("LogByteCount"), env.Counter("LogSyncCount")
	o.SetAside = func(d wal.Damage) error {
		if err := keep(d); err != nil {
			return err
		}
		c.quarantined.Add(1)
		env.Log.Error("a damaged record was taken out of the log", "file", d.Path, "offset", d.Offset, "bytes", d.Length, "reason", d.Reason, "keptIn", s.QuarantineDir)
		return nil
	}
	o.Progress = func(p wal.Progress) {
		env.Log.Info("replaying the log", "read", p.Read, "of", p.Total, "elapsed", p.Elapsed.Round(time.Second), "remaining", p.Remaining().Round(time.Second))
	}
	log, found, err := wal.Open(on, o)
	if refused := (*wal.RefusedError)(nil); errors.As(err, &refused) {
		return nil, fmt.Errorf("%w; to go on without, %s", err, c.repair(refused.Missing))
	}
	if err != nil {
		return nil, err
	}
	c.log = log
	c.tell(found)
	c.size = level{gauge: env.Counter("ChannelSize"), read: log.Events}
	c.size.update()
	env.Counter("ChannelCapacity").Store(int64(s.Capacity))
	c.closing, c.end = context.WithCancel(context.Background())
	var end context.CancelFunc
	c.over, end = context.WithCancel(context.Background())
	end()
	c.upkeep = upkeep{
		checkpoints: s.CheckpointInterval, syncs: s.SyncInterval, due: make(chan struct{}, 1), done: make(chan struct{}),
		failedCheckpoints: env.Counter("CheckpointWriteErrorCount"), failedBackups: env.Counter("CheckpointBackupWriteErrorCount"),
		checkpointing: supervise.Trouble{Log: env.Log, Failing: "no checkpoint can be written", Over: "checkpoints are written again"},
		syncing:       supervise.Trouble{Log: env.Log, Failing: "what was taken cannot be synced", Over: "what was taken is synced again"},
	}
	return c, nil
}

// repair is the command that does what a person has to decide.
func (c *channel) repair(missing bool) string {
	command := "call: sluice channel repair -f FILE -n " + c.agent + " --channel " + c.name
	if missing {
		command += " --without-missing"
	}
	return command
}

// tell logs what was found in the directories.
func (c *channel) tell(r *wal.Recovery) {
	c.notes.Info("the log is open", "events", r.Events, "files", r.Files, "read", r.Bytes, "elapsed", r.Elapsed.Round(time.Millisecond), "checkpoint", r.Checkpoint)
	for _, n := range r.Notes {
		c.notes.Warn(n)
	}
	for _, d := range r.Torn {
		c.notes.Warn("the end of the last run cut off a write that nobody was told of; it has been removed", "file", d.Path, "offset", d.Offset, "bytes", d.Length)
	}
	if r.Doubtful > 0 {
		c.doubled.Add(int64(r.Doubtful))
		c.notes.Warn("events are delivered that a damaged record may or may not have committed: they may come twice", "events", r.Doubtful)
	}
	for file, events := range r.Strange {
		c.notes.Error("events of the checkpoint are lost: its data file has no record where they were", "file", file, "events", events)
	}
}

// enter begins a call that uses the log.
func (c *channel) enter() error {
	c.calls.RLock()
	if c.closed {
		c.calls.RUnlock()
		return errClosed
	}
	return nil
}

func (c *channel) leave() { c.calls.RUnlock() }

// until is a context that ends with ctx, after patience (0: never) and when the channel is closed.
func (c *channel) until(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if patience > 0 {
		ctx, cancel = context.WithTimeout(ctx, patience)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	stop := context.AfterFunc(c.closing, cancel)
	return ctx, func() { stop(); cancel() }
}

func (c *channel) Put(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	if len(b) > c.capacity {
		return nil, fmt.Errorf("%w: it has %d events, the %s is %d", flume.ErrTooLarge, len(b), c.capacityKey, c.capacity)
	}
	bytes, err := c.log.Size(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w (maxFileSize)", flume.ErrTooLarge, err)
	}
	p := &put{channel: c, batch: b, bytes: bytes}
	if err := c.space.reserve(p.bytes); err != nil {
		c.putError.Add(1)
		return nil, err
	}
	if err := c.reserve(ctx, len(b)); err != nil {
		c.space.release(p.bytes)
		return nil, err
	}
	return p, nil
}

// reserve keeps room for n events, and waits for it as the settings allow.
func (c *channel) reserve(ctx context.Context, n int) error {
	if c.log.Reserve(c.over, n) == nil {
		return nil
	}
	if c.keepAlive > 0 {
		waiting, end := c.until(ctx, c.keepAlive)
		defer end()
		if c.log.Reserve(waiting, n) == nil {
			return nil
		}
	}
	switch {
	case c.closing.Err() != nil:
		return errClosed
	case ctx.Err() != nil:
		return fmt.Errorf("waiting for room in the channel: %w", context.Cause(ctx))
	}
	return fmt.Errorf("%w: it holds %d events, at most %d (%s); no room came free for %d within %v", flume.ErrFull, c.log.Events(), c.capacity, c.capacityKey, n, c.keepAlive)
}

// Waiting is how many events can be taken. With Admit it is for another kind that keeps a part of its events here.
func (c *channel) Waiting() int { return c.log.Waiting() }

// Admit is Put for events that have nowhere else to stay: beyond capacity and minimumRequiredSpace.
func (c *channel) Admit(b flume.Batch) (flume.Transaction, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	if _, err := c.log.Size(b); err != nil {
		return nil, fmt.Errorf("%w: %w (maxFileSize)", flume.ErrTooLarge, err)
	}
	c.log.Admit(len(b))
	return &put{channel: c, batch: b}, nil
}

func (c *channel) Take(ctx context.Context, l flume.Limits) (flume.Transaction, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	events, bytes := c.transactionCapacity, mostTaken
	if l.Events > 0 {
		events = min(events, l.Events)
	}
	if l.Bytes > 0 {
		bytes = min(bytes, l.Bytes)
	}
	for {
		if l.Linger > 0 && ctx.Err() == nil {
			c.arrive(ctx, 1, 0)
			c.arrive(ctx, events, l.Linger)
		}
		if c.closing.Err() != nil {
			return nil, errClosed
		}
		t, err := c.log.Take(events, bytes)
		switch {
		case err != nil:
			c.takeError.Add(1)
			if damaged := (*wal.DamagedError)(nil); errors.As(err, &damaged) {
				return nil, fmt.Errorf("taking events: %w; to go on without it, stop the agent and %s", err, c.repair(false))
			}
			return nil, fmt.Errorf("taking events: %w", err)
		case t != nil:
			return &take{channel: c, taken: t, batch: t.Batch()}, nil
		case ctx.Err() != nil:
			return nil, flume.ErrEmpty
		}
		c.arrive(ctx, 1, 0)
	}
}

// arrive waits until so many events are there, ctx has ended, patience (0: no bound) has, or the channel is closed.
func (c *channel) arrive(ctx context.Context, events int, patience time.Duration) {
	waiting, end := c.until(ctx, patience)
	defer end()
	_ = c.log.Wait(waiting, events) // who calls looks for himself
}

func (c *channel) Close() error {
	c.end()
	<-c.upkeep.done
	c.calls.Lock()
	defer c.calls.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.openState.Store(0)
	c.endState.Store(1)
	if err := c.log.Close(c.checkpointOnClose); err != nil {
		return fmt.Errorf("closing the log: %w", err)
	}
	return nil
}

// A level keeps a gauge at what read says. The last to update has read last.
type level struct {
	mu    sync.Mutex
	gauge *atomic.Int64
	read  func() int
}

func (l *level) update() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gauge.Store(int64(l.read()))
}

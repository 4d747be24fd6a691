package kafka

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	spacing = 10 * time.Millisecond // least time between two commits while records flow: one costs the broker a write
	parted  = 5 * time.Second       // how long a commit may take
)

// positions are offsets to go on from, by topic and partition.
type positions map[string]map[int32]kgo.EpochOffset

// Offsets commits what was passed: one commit at a time, each with all that was passed until it began. It belongs to a
// member.
type Offsets struct {
	log   *slog.Logger
	timer *atomic.Int64
	cl    *kgo.Client
	wake  chan struct{}
	busy  chan struct{} // holds one token: who has it commits

	mu     sync.Mutex
	passed positions // and not committed yet
	sent   positions // what the commit under way may put back when it fails

	failing bool // with busy
}

func newOffsets(log *slog.Logger, timer *atomic.Int64) *Offsets {
	return &Offsets{log: log, timer: timer, wake: make(chan struct{}, 1), busy: make(chan struct{}, 1), passed: positions{}}
}

// Pass notes that all before this offset has been passed.
func (o *Offsets) Pass(topic string, partition int32, at kgo.EpochOffset) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(topic, partition, at)
	o.wakeUp()
}

func (o *Offsets) put(topic string, partition int32, at kgo.EpochOffset) {
	if o.passed[topic] == nil {
		o.passed[topic] = map[int32]kgo.EpochOffset{}
	}
	o.passed[topic][partition] = at
}

// wakeUp makes run look.
func (o *Offsets) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Forget drops what was passed of partitions that are given up, so that a commit under way does not put it back either:
// sent later it would be under a new generation of the group, and set back whoever has the partitions then.
func (o *Offsets) Forget(gone map[string][]int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, partitions := range gone {
		for _, p := range partitions {
			delete(o.passed[topic], p)
			delete(o.sent[topic], p)
		}
	}
}

// run commits until ctx ends.
func (o *Offsets) run(ctx context.Context) {
	for {
		select {
		case <-o.wake:
		case <-ctx.Done():
			return
		}
		pause := spacing
		if !o.Commit() {
			pause = time.Second
			o.wakeUp() // what was not committed is tried again
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// Commit sends what was passed and not committed, after the commit that is under way. What fails stays for the next.
// It does not end with the component: offsets that can still be committed save events from coming twice.
func (o *Offsets) Commit() bool {
	o.busy <- struct{}{}
	defer func() { <-o.busy }()
	return o.flush()
}

// GiveUp commits what was passed, for the last time where partitions are gone.
func (o *Offsets) GiveUp(gone map[string][]int32) {
	o.busy <- struct{}{}
	defer func() { <-o.busy }()
	o.flush()
	o.Forget(gone)
}

// flush is Commit for who is busy.
func (o *Offsets) flush() bool {
	o.mu.Lock()
	sent := o.passed
	o.passed, o.sent = positions{}, positions{}
	for topic, partitions := range sent {
		o.sent[topic] = maps.Clone(partitions)
	}
	o.mu.Unlock()
	count := 0
	for _, partitions := range sent {
		count += len(partitions)
	}
	if count == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), parted)
	defer cancel()
	start := time.Now()
	failed, err := o.send(ctx, sent)
	o.timer.Add(time.Since(start).Milliseconds())
	o.back(failed)
	o.report(err, len(failed))
	return err == nil
}

// send returns what was not committed and why.
func (o *Offsets) send(ctx context.Context, sent positions) (failed positions, err error) {
	o.cl.CommitOffsetsSync(ctx, sent, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, e error) {
		if e != nil {
			failed, err = sent, e
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if e := kerr.ErrorForCode(p.ErrorCode); e != nil {
					if failed == nil {
						failed = positions{}
					}
					if failed[t.Topic] == nil {
						failed[t.Topic] = map[int32]kgo.EpochOffset{}
					}
					failed[t.Topic][p.Partition] = sent[t.Topic][p.Partition]
					err = e
				}
			}
		}
	})
	return failed, err
}

// back keeps what was not committed, where it was not forgotten and nothing newer was passed.
func (o *Offsets) back(failed positions) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, partitions := range failed {
		for p := range partitions {
			at, ours := o.sent[topic][p]
			if _, newer := o.passed[topic][p]; ours && !newer {
				o.put(topic, p, at)
			}
		}
	}
}

// report says once that commits fail and once that they are back.
func (o *Offsets) report(err error, topics int) {
	switch {
	case err != nil && !o.failing:
		o.log.Warn("offsets were not committed; trying on (after a crash their events come again)", "topics", topics, "err", err)
	case err == nil && o.failing:
		o.log.Info("offsets are committed again")
	}
	o.failing = err != nil
}

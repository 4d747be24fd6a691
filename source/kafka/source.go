package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
)

const (
	grace = 5 * time.Second // for a batch in hand, when partitions are to be given up
	leave = 5 * time.Second // for the group to hear that a member leaves
	idle  = time.Second     // least time between two empty waits
)

// source is one member of a group.
//
// What was polled and is not passed yet is held. It belongs to whoever has the turn: the goroutine of Run while it
// delivers, and the client's while it tells of a rebalance. Run takes the turn while the client still keeps rebalances
// back (BlockRebalanceOnPoll), so none comes between a poll and the turn.
type source struct {
	s      *Settings
	env    flume.Env
	cl     *kgo.Client
	format format
	most   int

	life context.Context // ends with Close
	end  context.CancelFunc

	turn  chan struct{} // holds one token
	held  []run
	fresh bool // all that was fetched before held has been polled: held shares its buffers with nothing older

	mu      sync.Mutex
	abandon context.CancelFunc // ends the emit under way; nil: none
	there   map[string]int     // partitions of each topic when the source was opened; nil: not known

	offsets offsets

	running         sync.WaitGroup // Run
	getTimer, empty *atomic.Int64
	said            map[string]time.Time // of Run: when an error was logged, by place and text
}

// OnNewClient is kgo.HookNewClient's. The client may tell of partitions before Open has it.
func (s *source) OnNewClient(cl *kgo.Client) {
	s.cl = cl
	s.offsets.cl = cl
}

func openSource(ctx context.Context, s *Settings, env flume.Env) (*source, error) {
	src := &source{
		s: s, env: env, format: newFormat(s), most: s.most(env), turn: make(chan struct{}, 1), fresh: true,
		getTimer: env.Counter("KafkaEventGetTimer"), empty: env.Counter("KafkaEmptyCount"), said: map[string]time.Time{},
	}
	src.turn <- struct{}{}
	src.life, src.end = context.WithCancel(context.WithoutCancel(ctx))
	src.offsets = newOffsets(env)
	opts := []kgo.Opt{
		kgo.WithHooks(src),
		kgo.ConsumerGroup(s.group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(src.revoked), kgo.OnPartitionsLost(src.lost),
	}
	if s.client.StartsAtEnd() {
		opts = append(opts, kgo.AdjustFetchOffsetsFn(src.fixEnds))
	}
	if s.pattern != "" {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(s.pattern))
	} else {
		opts = append(opts, kgo.ConsumeTopics(s.topics...))
	}
	if _, err := s.client.Open(ctx, s.brokers, env.Agent+"-"+env.Name, env.Log, opts...); err != nil {
		src.end()
		return nil, err
	}
	src.look(ctx)
	return src, nil
}

// look notes which partitions there are, and says which topics do not exist: nothing else would.
func (s *source) look(ctx context.Context) {
	topics, err := kadm.NewClient(s.cl).ListTopics(ctx, s.s.topics...) // all of them for a regular expression
	if err != nil {
		return // a broker has answered before; reading will say what is wrong
	}
	there := map[string]int{}
	for _, t := range topics.Sorted() {
		there[t.Topic] = len(t.Partitions)
		if errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			s.env.Log.Warn("the topic does not exist; its events are read when it does", "topic", t.Topic)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there = there
}

// younger reports whether a partition was made after the source was opened.
func (s *source) younger(topic string, partition int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.there != nil && int(partition) >= s.there[topic]
}

// Run reads until ctx ends.
func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	s.running.Add(1)
	defer s.running.Done()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	unlink := context.AfterFunc(s.life, stop)
	defer unlink()
	var committing sync.WaitGroup
	committing.Go(func() { s.offsets.run(ctx) })
	err := s.read(ctx, emit)
	stop()
	committing.Wait()
	s.takeTurn()
	s.held = nil // not committed: whoever reads next reads it again
	s.offsets.commit()
	s.giveTurn()
	return err
}

// Close leaves the group.
func (s *source) Close() error {
	s.end()
	s.running.Wait()
	s.cl.AllowRebalance()
	ctx, cancel := context.WithTimeout(context.Background(), leave)
	defer cancel()
	err := s.cl.LeaveGroupContext(ctx)
	s.cl.Close()
	if err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		return fmt.Errorf("leaving group %s: %w", s.s.group, err)
	}
	return nil
}

func (s *source) takeTurn() { <-s.turn }
func (s *source) giveTurn() { s.turn <- struct{}{} }

func (s *source) read(ctx context.Context, emit flume.Emit) error {
	for ctx.Err() == nil {
		err := s.poll(ctx)
		if err == nil && len(s.held) > 0 {
			s.deliver(ctx, emit)
		}
		s.giveTurn()
		if err != nil {
			return err
		}
	}
	return nil
}

// poll waits for records and returns with the turn taken.
func (s *source) poll(ctx context.Context) error {
	start := time.Now()
	wait, cancel := context.WithTimeout(ctx, max(s.s.batchDuration, idle))
	defer cancel()
	fetches := s.cl.PollRecords(wait, s.most)
	s.takeTurn()
	s.cl.AllowRebalance() // who is told of one waits for the turn
	s.getTimer.Add(time.Since(start).Milliseconds())

	s.held = s.held[:0]
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			s.held = append(s.held, run{topic: p.Topic, partition: p.Partition, records: p.Records})
		}
	})
	if len(s.held) == 0 && wait.Err() != nil && ctx.Err() == nil {
		s.empty.Add(1)
	}
	var stop error
	fetches.EachError(func(topic string, partition int32, err error) {
		stop = errors.Join(stop, s.complain(topic, partition, err))
	})
	if stop != nil {
		s.held = s.held[:0]
	}
	return stop
}

// complain logs an error that reading recovers from, once and then every few minutes, and returns one that it does not
// recover from.
func (s *source) complain(topic string, partition int32, err error) error {
	var lost *kgo.ErrDataLoss
	var group *kgo.ErrGroupSession
	var code *kerr.Error
	place := fmt.Sprintf("%s-%d", topic, partition)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil
	case errors.Is(err, kgo.ErrClientClosed):
		if s.life.Err() != nil {
			return nil
		}
		return err
	case errors.As(err, &lost):
		s.env.Log.Warn("the broker has lost records that it had acknowledged", "place", place, "err", err)
		return nil
	case errors.As(err, &group):
		s.sayOnce("the group does not take the source; trying on", err)
		return nil
	case errors.As(err, &code) && !errors.Is(err, kerr.UnknownTopicID) &&
		(code.Retriable || errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed)):
		s.sayOnce("reading is held up; trying on", err, "place", place)
		return nil
	case errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("reading %s: the topic was deleted and made anew: %w", place, err)
	}
	return fmt.Errorf("reading %s: %w", place, err)
}

// sayOnce warns of an error that is tried on, and again when it has gone on for minutes.
func (s *source) sayOnce(what string, err error, more ...any) {
	const again = 5 * time.Minute
	key := what + ": " + err.Error()
	if time.Since(s.said[key]) < again {
		return
	}
	if len(s.said) > 1000 {
		clear(s.said)
	}
	s.said[key] = time.Now()
	s.env.Log.Warn(what, append(more, "err", err)...)
}

// deliver passes what is held. It begins and ends with the turn, and gives it away while it waits after a failure. What
// is held when ctx ends stays.
func (s *source) deliver(ctx context.Context, emit flume.Emit) {
	total := length(s.held)
	drained := total < s.most
	share := s.fresh && drained
	s.fresh = drained
	piece := total
	failures := 0
	for {
		n := min(piece, length(s.held))
		if n == 0 {
			break
		}
		err := s.pass(n, share, emit)
		switch {
		case err == nil:
			s.offsets.pass(s.held, n)
			s.held = consume(s.held, n)
			failures = 0
			continue
		case errors.Is(err, flume.ErrTooLarge) && n > 1:
			piece = n / 2
			continue
		}
		if ctx.Err() != nil {
			return
		}
		failures++
		s.sayOnce("a batch was not taken; emitting it again until it is", err, "events", n)
		wait := s.s.retry(failures)
		s.giveTurn()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		s.takeTurn()
		if ctx.Err() != nil {
			return
		}
	}
}

// pass emits the first n records held, when those that are no events stand in the dead letters.
func (s *source) pass(n int, share bool, emit flume.Emit) error {
	ctx, cancel := context.WithCancel(s.life)
	defer cancel()
	s.setAbandon(cancel)
	defer s.setAbandon(nil)
	need, refused := s.format.survey(s.held, n)
	if len(refused) > 0 {
		out := make([]flume.Rejection, len(refused))
		for i, x := range refused {
			r := s.held[x.run].records[x.record]
			out[i] = flume.Rejection{Event: s.format.raw(r), Err: x.err, Position: position(r)}
		}
		if err := s.env.Reject(ctx, out...); err != nil {
			return fmt.Errorf("writing %d records to the dead letters: %w", len(out), err)
		}
		refuse(s.held, refused)
	}
	if need.events == 0 {
		return nil
	}
	err := emit(ctx, s.format.batch(s.held, n, need, !share))
	if n == 1 && errors.Is(err, flume.ErrTooLarge) {
		whole := s.format.batch(s.held, 1, need, true)[0] // the one that was emitted may have been changed
		return s.env.Reject(ctx, flume.Rejection{Event: whole, Err: err, Position: position(s.held[0].records[0])})
	}
	return err
}

func position(r *kgo.Record) string { return fmt.Sprintf("%s-%d@%d", r.Topic, r.Partition, r.Offset) }

func (s *source) setAbandon(cancel context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandon = cancel
}

// consume drops the first n records.
func consume(runs []run, n int) []run {
	for len(runs) > 0 && n >= len(runs[0].records) {
		n -= len(runs[0].records)
		runs = runs[1:]
	}
	if n > 0 {
		runs[0].records = runs[0].records[n:]
		if runs[0].refused != nil {
			runs[0].refused = runs[0].refused[n:]
		}
	}
	return runs
}

// revoked is told, by the client, of partitions to give up. They are given up when it returns.
func (s *source) revoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.wait()
	defer s.giveTurn()
	s.forget(gone)
	s.offsets.giveUp(gone)
}

// lost is told of partitions that others may have already: what was read of them is not committed.
func (s *source) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.wait()
	defer s.giveTurn()
	s.forget(gone)
	s.offsets.forget(gone)
}

// wait takes the turn from Run: at once where Run waits, else when the batch in hand is done or a moment has passed.
func (s *source) wait() {
	select {
	case <-s.turn:
		return
	case <-time.After(min(grace, s.s.client.RebalanceTimeout()/3)):
	}
	s.mu.Lock()
	if s.abandon != nil {
		s.abandon()
	}
	s.mu.Unlock()
	s.takeTurn()
}

// forget drops what is held of these partitions.
func (s *source) forget(gone map[string][]int32) {
	s.held = slices.DeleteFunc(s.held, func(r run) bool { return slices.Contains(gone[r.topic], r.partition) })
}

// fixEnds is told where partitions begin that are assigned. Those without a committed offset begin at their end: that
// end is looked up and committed, so that it is the same after a rebalance or restart before the first event. Those that
// are younger than the source are read whole: what was written before the client knew of them is as new as the rest.
func (s *source) fixEnds(ctx context.Context, starts map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	const atEnd = -1
	var topics []string
	for topic, partitions := range starts {
		for _, o := range partitions {
			if o.EpochOffset().Offset == atEnd {
				topics = append(topics, topic)
				break
			}
		}
	}
	if len(topics) == 0 {
		return starts, nil
	}
	admin := kadm.NewClient(s.cl)
	list := admin.ListEndOffsets
	if s.s.client.ReadsCommitted() {
		list = admin.ListCommittedOffsets
	}
	ends, err := list(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("looking for the ends of %v: %w", topics, err)
	}
	for topic, partitions := range starts {
		for p, o := range partitions {
			end, ok := ends.Lookup(topic, p)
			if o.EpochOffset().Offset != atEnd || !ok || end.Err != nil {
				continue
			}
			at := kgo.EpochOffset{Epoch: end.LeaderEpoch, Offset: end.Offset}
			if s.younger(topic, p) {
				at = kgo.EpochOffset{Epoch: -1}
			}
			partitions[p] = kgo.NewOffset().At(at.Offset).WithEpoch(at.Epoch)
			s.offsets.set(topic, p, at)
		}
	}
	s.offsets.wakeUp()
	return starts, nil
}

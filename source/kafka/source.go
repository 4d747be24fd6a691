package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/kafka"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/supervise"
)

const (
	grace = 5 * time.Second // for a batch in hand, when partitions are to be given up
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
	member *kafka.Member
	format format
	places *kafka.Places
	most   int

	life context.Context // ends with Close
	quit context.CancelFunc

	turn  chan struct{} // holds one token
	held  []run
	fresh bool // all that was fetched before held has been polled: held shares its buffers with nothing older

	offer *offer.Offer

	mu        sync.Mutex
	attempts  context.Context    // of what is emitted and rejected in this turn
	abandoned context.CancelFunc // of attempts; nil: Run has not the turn

	running         sync.WaitGroup // Run
	getTimer, empty *atomic.Int64
}

func openSource(ctx context.Context, s *Settings, env flume.Env) (*source, error) {
	src := &source{
		s: s, env: env, format: newFormat(s, env.Positions), most: s.most(env), turn: make(chan struct{}, 1), fresh: true,
		getTimer: env.Counter("KafkaEventGetTimer"), empty: env.Counter("KafkaEmptyCount"),
	}
	src.offer = offer.New(env)
	src.offer.Wait, src.offer.Sleep = offer.Growing(s.backoff, s.maxBackoff), src.pause
	src.offer.Reject = src.reject
	src.turn <- struct{}{}
	src.life, src.quit = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	src.member, err = s.client.Join(ctx, s.brokers, env.Agent+"-"+env.Name, env.Log, env.Counter("KafkaCommitTimer"), kafka.Subscription{
		Group: s.group, Topics: s.topics, Pattern: s.pattern, Revoked: src.revoked, Lost: src.lost,
	})
	if err != nil {
		src.quit()
		return nil, err
	}
	src.places = kafka.NewPlaces(src.member.Client)
	return src, nil
}

// Run reads until ctx ends.
func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	s.running.Add(1)
	defer s.running.Done()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	unlink := context.AfterFunc(s.life, stop)
	defer unlink()
	s.offer.Emit = func(_ context.Context, b flume.Batch) error { return emit(s.attempts, b) }
	err := s.read(ctx)
	s.takeTurn()
	s.held = nil // not committed: whoever reads next reads it again
	s.member.Offsets.Commit()
	s.giveTurn()
	return err
}

// Close leaves the group.
func (s *source) Close() error {
	s.quit()
	s.running.Wait()
	return s.member.Leave()
}

func (s *source) takeTurn() { <-s.turn }
func (s *source) giveTurn() { s.turn <- struct{}{} }

func (s *source) read(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.poll(ctx)
		if err == nil && len(s.held) > 0 {
			s.deliver(ctx)
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
	fetches := s.member.Client.PollRecords(wait, s.most)
	s.takeTurn()
	s.member.Client.AllowRebalance() // who is told of one waits for the turn
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
		if s.life.Err() == nil || !errors.Is(err, kgo.ErrClientClosed) {
			stop = errors.Join(stop, s.member.Complaints.Of(topic, partition, err))
		}
	})
	if stop != nil {
		s.held = s.held[:0]
	}
	return stop
}

// deliver passes what is held. It begins and ends with the turn, and gives it away while it waits after a failure. What
// is held when ctx ends stays.
func (s *source) deliver(ctx context.Context) {
	drained := length(s.held) < s.most
	d := delivery{s, s.fresh && drained}
	s.fresh = drained
	s.begin()
	defer s.end()
	_ = s.offer.Keep(ctx, &d) // what is not taken is read again
}

// begin lets the client hurry what is emitted in this turn.
func (s *source) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts, s.abandoned = context.WithCancel(s.life)
}

func (s *source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandoned()
	s.abandoned = nil
}

// pause gives the turn away for a while.
func (s *source) pause(ctx context.Context, d time.Duration) error {
	s.end()
	s.giveTurn()
	err := supervise.Sleep(ctx, d)
	s.takeTurn()
	s.begin()
	return err
}

func (s *source) reject(_ context.Context, r ...flume.Rejection) error {
	return s.env.Reject(s.attempts, r...)
}

// A delivery is what is held, as an offer.Kept. A rebalance makes it less during a pause.
type delivery struct {
	*source
	share bool // what is emitted may share the buffers of the client
}

func (d *delivery) Len() int { return length(d.held) }

// Batch makes events of the first n records held, when those that are none stand in the dead letters.
func (d *delivery) Batch(ctx context.Context, n int) (flume.Batch, error) {
	if d.format.positions {
		if err := d.locate(d.attempts); err != nil {
			return nil, err
		}
	}
	need, refused := d.format.survey(d.held, n)
	if len(refused) > 0 {
		out := make([]flume.Rejection, len(refused))
		for i, x := range refused {
			r := d.held[x.run].records[x.record]
			out[i] = flume.Rejection{Event: d.format.raw(r), Err: x.err, Position: kafka.Position(r)}
		}
		if err := d.reject(ctx, out...); err != nil {
			return nil, fmt.Errorf("writing %d records to the dead letters: %w", len(out), err)
		}
		refuse(d.held, refused)
	}
	if need.events == 0 {
		return nil, nil
	}
	return d.format.batch(d.held, n, need, !d.share), nil
}

func (d *delivery) Taken(n int) {
	d.passed(n)
	d.held = consume(d.held, n)
}

func (d *delivery) Position() string { return kafka.Position(d.held[0].records[0]) }

// passed notes that the first n records held have been passed.
func (s *source) passed(n int) {
	for i := range s.held {
		r := &s.held[i]
		m := min(n, len(r.records))
		if m > 0 {
			last := r.records[m-1]
			s.member.Offsets.Pass(r.topic, r.partition, kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1})
		}
		if n -= m; n == 0 {
			break
		}
	}
}

// locate gives what is held the text of its positions.
func (s *source) locate(ctx context.Context) (err error) {
	for i := range s.held {
		if r := &s.held[i]; r.place == "" {
			if r.place, err = s.places.Of(ctx, r.topic, r.partition); err != nil {
				return err
			}
		}
	}
	return nil
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
func (s *source) revoked(m *kafka.Member, gone map[string][]int32) {
	s.wait()
	defer s.giveTurn()
	s.forget(gone)
	m.Offsets.GiveUp(gone)
}

// lost is told of partitions that others may have already: what was read of them is not committed.
func (s *source) lost(m *kafka.Member, gone map[string][]int32) {
	s.wait()
	defer s.giveTurn()
	s.forget(gone)
	m.Offsets.Forget(gone)
}

// wait takes the turn from Run: at once where Run waits, else when the batch in hand is done or a moment has passed.
func (s *source) wait() {
	select {
	case <-s.turn:
		return
	case <-time.After(min(grace, s.s.client.RebalanceTimeout()/3)):
	}
	s.mu.Lock()
	if s.abandoned != nil {
		s.abandoned()
	}
	s.mu.Unlock()
	s.takeTurn()
}

// forget drops what is held of these partitions.
func (s *source) forget(gone map[string][]int32) {
	s.held = slices.DeleteFunc(s.held, func(r run) bool { return slices.Contains(gone[r.topic], r.partition) })
}

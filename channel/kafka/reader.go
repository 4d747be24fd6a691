package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/kafka"
)

const (
	grace = 5 * time.Second // for open takes, when partitions are to be given up
	most  = 10000           // events of a take that nothing else bounds
)

// A reader is the channel as a member of the group. Takers poll the client themselves, one at a time; what one has
// polled waits in the lines of its partitions until it is cut into takes, together with what was rolled back.
//
// A poll keeps rebalances back until its records stand in line, so that a partition's line never holds what was read
// before the partition was taken away.
type reader struct {
	channel *channel
	member  *kafka.Member // nil until the group is joined; callbacks bring their own
	turn    chan struct{} // holds one token: who has it polls

	mu         sync.Mutex
	ended      error // why nothing can be taken any more
	partitions []*partition
	next       int                // of partitions: where the next take begins
	events     int                // that wait
	bytes      int                // of them
	more       chan struct{}      // closed when something has changed; nil: nobody waits for it
	wake       context.CancelFunc // ends the poll under way; nil: none
	giving     bool               // partitions are being given up: polls would wait for it
}

func openReader(c *channel) (*reader, error) {
	r := &reader{channel: c, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	var err error
	r.member, err = c.s.consumer.Join(c.life, c.s.brokers, c.name(), c.env.Log, c.env.Counter("KafkaCommitTimer"), kafka.Subscription{
		Group: c.s.group, Topics: []string{c.s.topic}, Revoked: r.revoked, Lost: r.lost,
	})
	if err != nil {
		return nil, fmt.Errorf("joining group %s: %w", c.s.group, err)
	}
	return r, nil
}

// broken reports whether the channel has to join anew.
func (r *reader) broken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended != nil && !errors.Is(r.ended, errClosed)
}

// close leaves the group. Takes that are open fail at their commit.
func (r *reader) close() error {
	r.mu.Lock()
	r.finish(errClosed)
	r.mu.Unlock()
	<-r.turn // for good
	return r.member.Leave()
}

// finish ends all taking. The lock is held.
func (r *reader) finish(why error) {
	if r.ended == nil {
		r.ended = why
	}
	for _, p := range r.partitions {
		r.empty(p)
		p.gone = true
	}
	r.partitions = nil
	r.changed()
}

// changed wakes all who wait. The lock is held.
func (r *reader) changed() {
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
	if r.wake != nil {
		r.wake()
	}
}

// soon is closed with the next change. The lock is held.
func (r *reader) soon() <-chan struct{} {
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return r.more
}

// A goal is what a taker waits for, and how much it would take.
type goal struct {
	events, bytes int // until so much waits; bytes 0: events alone
	most          int
}

func (r *reader) reaches(g goal) bool {
	return r.ended != nil || r.events >= g.events || g.bytes > 0 && r.bytes >= g.bytes
}

func (r *reader) take(ctx context.Context, l flume.Limits) (flume.Transaction, error) {
	n := l.Events
	if n <= 0 {
		n = most
	}
	for {
		r.mu.Lock()
		r.arrive(ctx, goal{events: 1, most: n})
		if l.Linger > 0 && r.events > 0 {
			lingering, cancel := context.WithTimeout(ctx, l.Linger)
			r.arrive(lingering, goal{events: n, bytes: l.Bytes, most: n})
			cancel()
		}
		var t *take
		err := r.ended
		if err == nil && r.events > 0 {
			t = &take{reader: r, runs: r.cut(n, l.Bytes)}
		}
		r.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case t != nil:
			if err := t.decode(ctx); err != nil {
				return nil, err
			}
			if len(t.batch) > 0 {
				return t, nil
			}
		case ctx.Err() != nil:
			return nil, flume.ErrEmpty
		}
		// Another taker was faster, or none of the records was an event.
	}
}

// arrive waits until the goal is reached or ctx has ended; then it looks once more for what the client has. The lock is
// held, and given away in between.
func (r *reader) arrive(ctx context.Context, g goal) {
	for last := false; !r.reaches(g) && !last; {
		last = ctx.Err() != nil
		turn, more, giving := r.turn, r.soon(), r.giving
		if giving {
			turn = nil // and who waits is told when it is over
		}
		r.mu.Unlock()
		if last {
			select {
			case <-turn:
				r.poll(ctx, g)
				r.turn <- struct{}{}
			default: // who polls finds what there is
			}
		} else {
			select {
			case <-turn:
				r.poll(ctx, g)
				r.turn <- struct{}{}
			case <-more:
			case <-ctx.Done():
			}
		}
		r.mu.Lock()
	}
}

// poll waits for records, with a ctx that has ended for none, and puts them in line. It is called with the turn.
func (r *reader) poll(ctx context.Context, g goal) {
	r.mu.Lock()
	if r.reaches(g) {
		r.mu.Unlock()
		return
	}
	n := max(1, g.most-r.events)
	var wait context.Context // nil: the client does not
	if ctx.Err() == nil {
		wait, r.wake = context.WithCancel(ctx)
		defer r.wake()
	}
	r.mu.Unlock()
	start := time.Now()
	fetches := r.member.Client.PollRecords(wait, n)
	r.channel.getTimer.Add(time.Since(start).Milliseconds())
	var lines []line
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			lines = append(lines, r.channel.line(p.Partition, p.Records))
		}
	})
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		failed = errors.Join(failed, r.member.Complaints.Of(topic, partition, err))
	})
	r.mu.Lock()
	r.wake = nil
	if r.ended == nil {
		for _, l := range lines {
			r.add(l)
		}
	}
	if failed != nil {
		r.finish(failed)
	}
	r.changed()
	r.mu.Unlock()
	r.member.Client.AllowRebalance() // who is told of one finds the records in line
}

// add puts records in the line of their partition. The lock is held.
func (r *reader) add(l line) {
	var p *partition
	for _, q := range r.partitions {
		switch {
		case q.id != l.partition || q.stale:
		case l.items[0].record.Offset < q.end.Offset: // the broker has lost records, and gives their offsets again
			q.stale = true
		default:
			p = q
		}
	}
	if p == nil {
		p = &partition{id: l.partition, floor: endless, passed: -1}
		r.partitions = append(r.partitions, p)
	}
	p.waiting = append(p.waiting[:len(p.waiting):len(p.waiting)], l.items...)
	last := l.items[len(l.items)-1].record
	p.end = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
	r.count(l.items, 1)
}

// count adds items to what waits, sign times. The lock is held.
func (r *reader) count(items []item, sign int) {
	r.events += sign * len(items)
	for i := range items {
		r.bytes += sign * items[i].size
	}
}

// cut takes so many events and bytes off the lines, at least one event, and from as few partitions as it can, a
// different one first each time. The lock is held.
func (r *reader) cut(events, bytes int) []*run {
	var runs []*run
	taken, full := 0, false
	for k := range r.partitions {
		p := r.partitions[(r.next+k)%len(r.partitions)]
		n := 0
		for n < len(p.waiting) && events > 0 {
			size := p.waiting[n].size
			if full = bytes > 0 && len(runs)+n > 0 && taken+size > bytes; full {
				break
			}
			taken += size
			n++
			events--
		}
		if n > 0 {
			u := &run{partition: p, items: p.waiting[:n:n]}
			if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
				p.waiting = nil // which would hold what was taken
			}
			p.open = append(p.open, u)
			r.count(u.items, -1)
			runs = append(runs, u)
		}
		if events == 0 || full {
			break
		}
	}
	r.next++
	return runs
}

// pass notes how far a partition is passed. The lock is held.
func (r *reader) pass(p *partition) {
	if at := p.low(); at.Offset > p.passed && !p.stale {
		p.passed = at.Offset
		r.member.Offsets.Pass(r.channel.s.topic, p.id, at)
	}
}

// empty drops what waits in a partition's line: it is not passed, and whoever has the partition reads it again. The lock
// is held.
func (r *reader) empty(p *partition) {
	p.leaving = true
	if len(p.waiting) > 0 {
		p.drop(p.waiting)
		r.count(p.waiting, -1)
		p.waiting = nil
	}
}

// revoked is told of partitions to give up: takes that hold events of them have a moment to end.
func (r *reader) revoked(m *kafka.Member, gone map[string][]int32) {
	timer := time.NewTimer(min(grace, r.channel.s.consumer.RebalanceTimeout()/3))
	defer timer.Stop()
	r.mu.Lock()
	r.giving = true
	leaving := r.split(gone)
	for _, p := range leaving {
		r.empty(p)
	}
	for late := false; !late && r.ended == nil && slices.ContainsFunc(leaving, func(p *partition) bool { return len(p.open) > 0 }); {
		more := r.soon()
		r.mu.Unlock()
		select {
		case <-more:
		case <-timer.C:
			late = true
		}
		r.mu.Lock()
	}
	r.giving = false
	for _, p := range leaving {
		p.gone = true
	}
	r.changed()
	r.mu.Unlock()
	m.Offsets.GiveUp(gone)
}

// lost is told of partitions that others may have already: what was taken of them is not committed.
func (r *reader) lost(m *kafka.Member, gone map[string][]int32) {
	r.mu.Lock()
	for _, p := range r.split(gone) {
		r.empty(p)
		p.gone = true
	}
	r.changed()
	r.mu.Unlock()
	m.Offsets.Forget(gone)
}

// split takes partitions out of those that the reader has. The lock is held.
func (r *reader) split(gone map[string][]int32) []*partition {
	ids := gone[r.channel.s.topic]
	var out []*partition
	r.partitions = slices.DeleteFunc(r.partitions, func(p *partition) bool {
		if slices.Contains(ids, p.id) {
			out = append(out, p)
			return true
		}
		return false
	})
	return out
}

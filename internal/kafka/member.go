package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A Subscription is what the member of a group reads.
type Subscription struct {
	Group   string
	Topics  []string
	Pattern string // of whole names, as Go writes it; empty: Topics

	// Revoked is told of partitions to give up, which are given up when it returns; Lost of those that others may have
	// already. Neither runs between a poll and the AllowRebalance that follows it. Both may be called before Join returns.
	Revoked, Lost func(m *Member, gone map[string][]int32)
}

// A Member is the member of a group. Its offsets are committed behind what it passes (decision 0004).
type Member struct {
	Client     *kgo.Client
	Offsets    *Offsets
	Complaints Complaints

	group      string
	stop       context.CancelFunc
	committing sync.WaitGroup
	ends       ends
}

// OnNewClient is kgo.HookNewClient's. The client may tell of partitions before Join has it.
func (m *Member) OnNewClient(cl *kgo.Client) { m.Client, m.Offsets.cl, m.ends.cl = cl, cl, cl }

// Join joins a group. The time that commits take is added to timer, in milliseconds.
func (c *Client) Join(ctx context.Context, brokers []string, name string, log *slog.Logger, timer *atomic.Int64, s Subscription) (*Member, error) {
	m := &Member{Offsets: newOffsets(log, timer), Complaints: Complaints{log: log}, group: s.Group}
	m.ends.offsets, m.ends.committed = m.Offsets, c.c.committed
	opts := []kgo.Opt{
		kgo.WithHooks(m),
		kgo.ConsumerGroup(s.Group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { s.Revoked(m, gone) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { s.Lost(m, gone) }),
	}
	if c.c.atEnd {
		opts = append(opts, kgo.AdjustFetchOffsetsFn(m.ends.fix))
	}
	topics := s.Topics
	if s.Pattern != "" {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(s.Pattern))
		topics = nil // all of them
	} else {
		opts = append(opts, kgo.ConsumeTopics(s.Topics...))
	}
	if _, err := c.Open(ctx, brokers, name, log, opts...); err != nil {
		return nil, err
	}
	m.ends.look(ctx, log, topics...)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.stop = stop
	m.committing.Go(func() { m.Offsets.run(running) })
	return m, nil
}

// leave is how long a group has to hear that a member leaves.
const leave = 5 * time.Second

// Leave leaves the group, when what was passed is committed. Revoked is told of the member's partitions before.
func (m *Member) Leave() error {
	m.stop()
	m.committing.Wait()
	m.Client.AllowRebalance()
	m.Offsets.Commit()
	ctx, cancel := context.WithTimeout(context.Background(), leave)
	defer cancel()
	err := m.Client.LeaveGroupContext(ctx)
	m.Client.Close()
	if err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		return fmt.Errorf("leaving group %s: %w", m.group, err)
	}
	return nil
}

// Position says where a record stands, for the dead letters.
func Position(r *kgo.Record) string { return fmt.Sprintf("%s-%d@%d", r.Topic, r.Partition, r.Offset) }

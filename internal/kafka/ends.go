package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ends are where partitions begin that are read from their end for want of an offset. Each end that was found is
// committed, so that it is the same after a rebalance or restart before the first event. Partitions that are younger
// than the group's client are read whole: what was written before it knew of them is as new as the rest. They
// belong to a member.
type ends struct {
	offsets   *Offsets
	committed bool // of transactions only what was committed counts
	cl        *kgo.Client

	mu    sync.Mutex
	there map[string]int // partitions of each topic when the client was opened; nil: not known
}

// look notes which partitions there are, all of them for no topics, and says which topics do not exist: nothing else
// would.
func (e *ends) look(ctx context.Context, log *slog.Logger, topics ...string) {
	found, err := kadm.NewClient(e.cl).ListTopics(ctx, topics...)
	if err != nil {
		return // a broker has answered before; reading will say what is wrong
	}
	there := map[string]int{}
	for _, t := range found.Sorted() {
		there[t.Topic] = len(t.Partitions)
		if errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			log.Warn("the topic does not exist; its events are read when it does", "topic", t.Topic)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.there = there
}

// younger reports whether a partition was made after the client was opened.
func (e *ends) younger(topic string, partition int32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.there != nil && int(partition) >= e.there[topic]
}

// fix is told where partitions begin that are assigned, and looks up the ends of those without a committed offset.
func (e *ends) fix(ctx context.Context, starts map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
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
	admin := kadm.NewClient(e.cl)
	list := admin.ListEndOffsets
	if e.committed {
		list = admin.ListCommittedOffsets
	}
	found, err := list(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("looking for the ends of %v: %w", topics, err)
	}
	for topic, partitions := range starts {
		for p, o := range partitions {
			end, ok := found.Lookup(topic, p)
			if o.EpochOffset().Offset != atEnd || !ok || end.Err != nil {
				continue
			}
			at := kgo.EpochOffset{Epoch: end.LeaderEpoch, Offset: end.Offset}
			if e.younger(topic, p) {
				at = kgo.EpochOffset{Epoch: -1}
			}
			partitions[p] = kgo.NewOffset().At(at.Offset).WithEpoch(at.Epoch)
			e.offsets.Pass(topic, p, at)
		}
	}
	return starts, nil
}

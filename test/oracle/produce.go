package oracle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Produce writes the ledger's load into a topic with as many partitions as the load has lanes, and returns when every
// event is acknowledged. It goes on through a broker that is away. rate is in events per second, 0 for as fast as it
// goes. When stop is closed no more events are sent; those that are under way are waited for.
func Produce(ctx context.Context, brokers []string, topic string, ledger *Ledger, rate int, stop <-chan struct{}) error {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(20_000),
		kgo.ProduceRequestTimeout(10*time.Second),
	)
	if err != nil {
		return fmt.Errorf("opening a producer: %w", err)
	}
	defer cl.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	load := ledger.Load()
	var once sync.Once
	var refused error
	begun := time.Now()
	for n := 0; load.Events == 0 || n < load.Events; n++ {
		if rate > 0 {
			if ahead := time.Duration(n)*time.Second/time.Duration(rate) - time.Since(begun); ahead > 5*time.Millisecond {
				select {
				case <-time.After(ahead):
				case <-stop:
				case <-ctx.Done():
				}
			}
		}
		if closed(stop) || ctx.Err() != nil {
			break
		}
		lane, number := n%load.Lanes, n/load.Lanes
		cl.Produce(ctx, load.record(topic, lane, number), func(r *kgo.Record, err error) {
			switch {
			case err == nil:
				ledger.Acked(lane, number, r.Offset)
			default:
				once.Do(func() { refused = fmt.Errorf("producing to %s: %w", topic, err) })
				cancel()
			}
		})
	}
	if err := cl.Flush(ctx); err != nil && refused == nil {
		return fmt.Errorf("waiting for acknowledgements of %s: %w", topic, errors.Join(err, context.Cause(ctx)))
	}
	return refused
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (l Load) record(topic string, lane, number int) *kgo.Record {
	r := &kgo.Record{
		Topic: topic, Partition: int32(lane),
		Key: l.Key(lane), Value: l.Body(make([]byte, 0, l.Size), lane, number),
	}
	if !l.Since.IsZero() {
		r.Timestamp = l.Time(number)
	}
	if l.Stamp {
		r.Headers = []kgo.RecordHeader{
			{Key: "origin", Value: []byte(l.Run)},
			{Key: "number", Value: fmt.Appendf(nil, "%d/%d", lane, number)},
		}
	}
	return r
}

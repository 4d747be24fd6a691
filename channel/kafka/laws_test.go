package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// An eager channel is one whose events can be taken as soon as they are committed: a commit waits until the reader, which it
// lets join first, has them. It has a broker of its own.
type eager struct {
	*channel
	broker *kfake.Cluster
}

func (p eager) Close() error {
	err := p.channel.Close()
	p.broker.Close()
	return err
}

func (p eager) Put(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	tx, err := p.channel.Put(ctx, b)
	if err != nil {
		return nil, err
	}
	return eagerPut{tx, p}, nil
}

type eagerPut struct {
	flume.Transaction
	p eager
}

func (tx eagerPut) Commit(ctx context.Context) error {
	if err := tx.Transaction.Commit(ctx); err != nil {
		return err
	}
	end := tx.p.broker.PartitionInfo("flume-channel", 0).HighWatermark
	for {
		j, err := tx.p.join()
		if err != nil {
			return err
		}
		<-j.done
		if j.err != nil {
			return j.err
		}
		r := j.reader
		r.mu.Lock()
		at := int64(0)
		for _, q := range r.partitions {
			at = q.end.Offset
		}
		more := r.soon()
		waiting := r.events
		r.mu.Unlock()
		if at >= end {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		select {
		case <-r.turn:
			r.poll(ctx, goal{events: waiting + 1, most: waiting + 1000})
			r.turn <- struct{}{}
		case <-more: // a taker polls
		case <-ctx.Done():
		}
		cancel()
	}
}

func TestLaws(t *testing.T) {
	flumetest.Boundless(t, func(t testing.TB, _ ...string) flume.Channel {
		broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "flume-channel"))
		if err != nil {
			t.Fatal(err)
		}
		c := flumetest.Open(t, Kind, "kafka.bootstrap.servers = "+servers(broker), "kafka.consumer.fetch.max.wait.ms = 50")
		return eager{c.(*channel), broker}
	}, flumetest.InPlace)
}

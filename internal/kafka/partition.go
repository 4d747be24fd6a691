package kafka

import (
	"math"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fixed as a record's producer id says that the record names its partition. The client leaves that field alone until
// the record is done. The partition alone would not do: the client writes its choice there and then may ask again.
const fixed = math.MinInt64

// Fix makes r go to a partition and no other. Where the topic has none of that number the client fails the record.
func Fix(r *kgo.Record, partition int32) { r.Partition, r.ProducerID = partition, fixed }

// partitioner puts a record into the partition that it is fixed to, and leaves the others to inner.
type partitioner struct{ inner kgo.Partitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	inner := p.inner.ForTopic(topic)
	batch, _ := inner.(kgo.TopicPartitionerOnNewBatch)
	return &topicPartitioner{inner, batch}
}

type topicPartitioner struct {
	kgo.TopicPartitioner
	batch kgo.TopicPartitionerOnNewBatch // nil: inner does not care
}

// RequiresConsistency makes the client count partitions whose leader is away too.
func (p *topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.ProducerID == fixed || p.TopicPartitioner.RequiresConsistency(r)
}

func (p *topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.ProducerID == fixed {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

// OnNewBatch lets a sticky partitioner go on to another partition.
func (p *topicPartitioner) OnNewBatch() {
	if p.batch != nil {
		p.batch.OnNewBatch()
	}
}

// partitionerOf returns what stands for a class of Kafka's. A record with a key goes where Java's client puts it:
// murmur2 of the key's bytes, without the sign, modulo the number of partitions.
func partitionerOf(class string, ignoreKeys bool) (kgo.Partitioner, bool) {
	var inner kgo.Partitioner
	switch class {
	case "", "org.apache.kafka.clients.producer.internals.DefaultPartitioner":
		inner = kgo.StickyKeyPartitioner(nil)
		if ignoreKeys {
			inner = kgo.StickyPartitioner()
		}
	case "org.apache.kafka.clients.producer.UniformStickyPartitioner":
		inner = kgo.StickyPartitioner()
	case "org.apache.kafka.clients.producer.RoundRobinPartitioner":
		inner = kgo.RoundRobinPartitioner()
	default:
		return nil, false
	}
	return partitioner{inner}, true
}

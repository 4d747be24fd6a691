// Package kafka is Flume's Kafka channel: its events stand in a topic, and whoever is in the group takes them.
//
//	Put ─▶ records made ─▶ Commit: sent, all acknowledged ─▶ ┌───────┐ ─▶ client (fetches ahead) ─▶ Take ─▶ Commit ─▶ passed
//	                                                          │ topic │                              └─▶ Rollback: in its place again
//	Flume, other agents, other producers ───────────────────▶ └───────┘ ─▶ other members of the group
//
// The rules of putting:
//
//   - The key is the bytes of the header "key", the value is the event as AvroFlumeEvent, or its body alone where
//     parseAsFlumeEvent is false. A batch is sent in its order, and Commit returns when every record is acknowledged as
//     kafka.producer.acks asks. Commits go side by side.
//   - A batch is not atomic: when a part of it was not acknowledged Commit fails, the source offers the whole batch again,
//     and what was acknowledged comes twice.
//   - An event that no broker will ever take (too large, a partition that is no number or not there) goes to the dead
//     letters, and the others go on.
//   - The puts that are open have together at most kafka.producer.buffer.memory bytes; who finds no room waits.
//
// The rules of taking:
//
//   - The group is joined with the first Take. All sinks of the channel share one member.
//   - Each partition has one line of records that wait. What is rolled back stands in its old place there, so before all
//     that was read later.
//   - A partition is passed up to its first record that is not committed; what was passed is committed to Kafka in the
//     background, one commit at a time (decision 0004).
//   - A record that is no event goes to the dead letters, and is passed when it is there.
//   - Before partitions are given up to others, takes that are open have a moment to end. One that ends later fails at
//     its Commit: its events come again at their new owner. RevokedEventCount counts them.
//   - The client holds fetch.max.bytes of each broker, as it was fetched; the channel as much again at most, beside what
//     is in open takes.
//
// How it fails: a broker out of reach is waited for. Where reading cannot go on (the topic was deleted and made anew, or
// auto.offset.reset = none finds no place) Take fails, and the next one joins anew. After a crash those events come again
// that were committed while the last commit to Kafka was under way.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/kafka"
)

// Kind is the Kafka channel.
var Kind = kind()

func kind() flume.Kind[flume.Channel] {
	k := flume.Define[Settings, flume.Channel]("kafka", "org.apache.flume.channel.kafka.KafkaChannel", "Keeps events in a topic of Kafka.", open)
	k.Unlisted = true
	return k
}

// Settings is what the channel can be told.
type Settings struct {
	bootstrap, topic, group string
	parse                   bool
	partition               int
	partitionHeader         string
	smallest                string
	zookeeper               string
	migrate                 bool
	producer, consumer      kafka.Client

	brokers []string
}

// Declare declares Flume's settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.bootstrap, "kafka.bootstrap.servers", "", "The brokers to ask for all others: host:port, separated by commas.").Required().Old("brokerList")
	d.String(&s.topic, "kafka.topic", "flume-channel", "The topic that holds the events. A channel needs one of its own.").Old("topic")
	d.String(&s.group, "kafka.consumer.group.id", "flume", "The consumer group. Channels with the same topic and group share the events.").Old("groupId")
	d.Bool(&s.parse, "parseAsFlumeEvent", true, "Whether values are AvroFlumeEvent, headers and body, as Flume's channel writes them. With false a value is the body, and of the headers only \"key\" is kept, as the key.")
	var wait time.Duration
	d.Millis(&wait, "kafka.pollTimeout", 500*time.Millisecond, "How many milliseconds Flume's channel waits for a record. A take waits as long as the sink does, so it has no effect.").AtLeast(0)
	d.Int(&s.partition, "defaultPartitionId", -1, "The partition of events without partitionIdHeader; -1: by the key, as Kafka's clients choose.").AtLeast(-1)
	d.String(&s.partitionHeader, "partitionIdHeader", "", "The header that names the partition.")
	d.String(&s.zookeeper, "zookeeperConnect", "", "Of Kafka before 0.9. Not used: kafka.bootstrap.servers names the brokers.")
	d.Bool(&s.migrate, "migrateZookeeperOffsets", true, "Of Kafka before 0.9. Offsets are not taken over from ZooKeeper.")
	d.String(&s.producer.Acks, "kafka.producer.acks", "all", "Who must have written a record before a put is committed: all (or -1) every replica in sync, 1 the leader, 0 nobody.")
	reset := d.String(&s.consumer.Reset, "kafka.consumer.auto.offset.reset", "", "Where to begin in a partition for which the group has committed no offset: earliest, latest, none (an error), or by_duration:P….")
	reset.Default = "earliest"
	d.String(&s.smallest, "readSmallestOffset", "", "The old form of kafka.consumer.auto.offset.reset: true is earliest, false is latest.")
	const endless = "a Kafka channel has no bound of its own: the topic's retention.ms and retention.bytes say how much it holds"
	kafka.Idle(d, "capacity", endless)
	kafka.Idle(d, "transactionCapacity", "a Kafka channel takes transactions of any size, as in Flume")
	kafka.Idle(d, "keep-alive", endless)
	kafka.Idle(d, "byteCapacity", endless)
	kafka.Idle(d, "pollTimeout", "it is kafka.pollTimeout, whatever Flume's guide says, and a take waits as long as the sink does")
	kafka.Idle(d, "timeout", "it is of Flume before 1.7; a take waits as long as the sink does")
	kafka.Idle(d, "auto.offset.reset", `did you mean "kafka.consumer.auto.offset.reset"?`)
	kafka.Idle(d, "bootstrap.servers", `did you mean "kafka.bootstrap.servers"?`)
	kafka.Idle(d, "metadata.broker.list", `it is of Kafka before 0.9; did you mean "kafka.bootstrap.servers"?`)
	kafka.Idle(d, "request.required.acks", `it is of Kafka before 0.9; did you mean "kafka.producer.acks"?`)
	kafka.Idle(d, "auto.commit.enable", "it is of Kafka before 0.9; offsets are committed when the sink's transactions are")
	kafka.Idle(d, "consumer.timeout.ms", "it is of Kafka before 0.9; a take waits as long as the sink does")
	d.Check(s.check) // before those of the clients, which read what it decides
	s.producer.Declare(d, kafka.Producer, "kafka.producer.")
	s.consumer.Declare(d, kafka.Consumer, "kafka.consumer.")
}

func (s *Settings) check() error {
	var problems []error
	problem := func(key, format string, args ...any) {
		problems = append(problems, conf.At(key, fmt.Errorf(format, args...)))
	}
	var err error
	if s.brokers, err = kafka.Brokers("kafka.bootstrap.servers", s.bootstrap); err != nil {
		problems = append(problems, err)
	}
	if s.zookeeper != "" {
		text := "is not used: kafka.bootstrap.servers names the brokers"
		if s.migrate {
			text += ", and offsets that Flume kept in ZooKeeper are not taken over"
		}
		problems = append(problems, conf.Warn("zookeeperConnect", errors.New(text)))
	}
	if err := kafka.CheckTopic(s.topic); err != nil {
		problem("kafka.topic", "%w", err)
	}
	if s.group == "" {
		problem("kafka.consumer.group.id", "is empty")
	}
	problems = append(problems, s.decideReset())
	return errors.Join(problems...)
}

// decideReset takes readSmallestOffset where the new name is not set.
func (s *Settings) decideReset() error {
	if s.smallest == "" {
		if s.consumer.Reset == "" {
			s.consumer.Reset = "earliest"
		}
		return nil
	}
	if s.consumer.Reset != "" {
		return conf.Warn("readSmallestOffset", errors.New("is not used: kafka.consumer.auto.offset.reset is set"))
	}
	s.consumer.Reset = "latest"
	if strings.EqualFold(strings.TrimSpace(s.smallest), "true") {
		s.consumer.Reset = "earliest"
	}
	return conf.Warn("readSmallestOffset", fmt.Errorf("is an old name of %q: this value is %s there", "kafka.consumer.auto.offset.reset", s.consumer.Reset))
}

// Origins says that events come from the topic: whoever writes there fills the channel.
func (s *Settings) Origins(received flume.Known) map[flume.Endpoint]flume.Known {
	known := flume.Known{}
	if s.parse {
		maps.Copy(known, received)
	}
	out := map[flume.Endpoint]flume.Known{}
	for _, e := range kafka.Endpoints(s.brokers, s.topic) {
		out[e] = known
	}
	return out
}

// Destinations says that events go to the topic: whoever reads there empties the channel.
func (s *Settings) Destinations(flume.Known) []flume.Endpoint {
	return kafka.Endpoints(s.brokers, s.topic)
}

// Unrepeatable says why positions do not pass.
func (s *Settings) Unrepeatable() error {
	if s.parse {
		return nil
	}
	return errors.New("it keeps no headers, as parseAsFlumeEvent = false asks")
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Channel, error) {
	return openChannel(ctx, s, env)
}

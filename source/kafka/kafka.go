// Package kafka is Flume's Kafka source: it reads topics as a member of a consumer group.
//
//	broker ─▶ client (fetches ahead, bounded by fetch.max.bytes) ─▶ one batch ─▶ emit ─▶ offsets committed
//
// The rules:
//
//   - A record is passed when its event has been emitted, or written to the dead letters because it is none. Offsets
//     are committed after that, in the background, one commit at a time, each with all that was passed until it began.
//   - What has arrived is emitted at once, as one transaction, up to the channels' transactionCapacity. Nothing waits
//     for a batch to fill.
//   - A batch that could not be emitted is emitted again, after a growing pause, and nothing behind it before.
//   - Before partitions are given up the batch in hand is finished and its offsets are committed. If that takes longer
//     than a moment (a channel is full) the batch is taken back and forgotten for these partitions: the member that
//     gets them reads it again. Partitions that stay keep theirs.
//   - Whether the group's members live is told by signs of life that no delivery holds up.
//
// Without faults, a stop and a rebalance among them, nothing comes twice. What may come twice after a crash is what was
// emitted while the last commit was under way. A partition that is read from its end for want of an offset gets that end
// committed at once: else what arrives during a rebalance or restart would be skipped. One that is younger than the
// source is read whole.
//
// Where a sink behind asks for it every event gets its record's position (package internal/position), whatever header of
// that name it had.
//
// How it fails: a broker out of reach is waited for. A record that is no AvroFlumeEvent, where useFlumeEventFormat asks
// for that, goes to the dead letters. A topic that was deleted and made anew, and an offset that auto.offset.reset =
// none leaves nowhere, end Run with an error, so that the source is opened again.
package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/kafka"
)

// Kind is the Kafka source.
var Kind = kind()

func kind() flume.Kind[flume.Source] {
	k := flume.Define[Settings, flume.Source]("kafka", "org.apache.flume.source.kafka.KafkaSource", "Reads topics of Kafka as a member of a consumer group.", open)
	k.Unlisted = true
	return k
}

// Settings is what the source can be told.
type Settings struct {
	bootstrap, topicList, regex, group string
	batchSize                          int
	batchDuration                      time.Duration
	flumeFormat                        bool
	setTopic                           bool
	topicHeader, timestampHeader       string
	mapped                             conf.Values
	backoff, maxBackoff                time.Duration
	zookeeper                          string
	migrate                            bool
	client                             kafka.Client

	brokers []string
	topics  []string
	pattern string // Go's, matching whole names; empty: topics
}

// Declare declares Flume's settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.bootstrap, "kafka.bootstrap.servers", "", "The brokers to ask for all others: host:port, separated by commas. Required.")
	d.String(&s.topicList, "kafka.topics", "", "The topics to read, separated by commas. This or kafka.topics.regex is required.").Old("topic")
	d.String(&s.regex, "kafka.topics.regex", "", "Reads every topic whose whole name matches; it wins over kafka.topics. New topics are found after metadata.max.age.ms.")
	d.String(&s.group, "kafka.consumer.group.id", "flume", "The consumer group. Its members share the partitions.").Old("groupId")
	d.BatchSize(&s.batchSize, "batchSize", 1000, "How many events are a batch. What has arrived is emitted at once, so a batch may have fewer, and more up to the channels' transactionCapacity.").AtLeast(1)
	d.Millis(&s.batchDuration, "batchDurationMillis", time.Second, "How often an empty wait for records is counted, in milliseconds; a second at least. Nothing waits for a batch to fill.").AtLeast(0)
	d.Bool(&s.flumeFormat, "useFlumeEventFormat", false, "Take values for AvroFlumeEvent, headers and body, as a Kafka sink or channel with that setting writes them.")
	d.Bool(&s.setTopic, "setTopicHeader", true, "Put the topic into a header, unless the event has one of that name.")
	d.String(&s.topicHeader, "topicHeader", "topic", "The name of that header.")
	d.String(&s.timestampHeader, "timestampHeader", "", "One more header that gets the record's timestamp, beside the header timestamp, unless the event has one of that name.")
	d.Rest(&s.mapped, "header.", "header.NAME = KEY puts the record header KEY, the last of that name, into the event header NAME.")
	d.Millis(&s.backoff, "backoffSleepIncrement", time.Second, "How much longer to wait, in milliseconds, after each failure to emit a batch; the wait is 10 at least.").AtLeast(0)
	d.Millis(&s.maxBackoff, "maxBackoffSleep", 5*time.Second, "The longest wait, in milliseconds, before a batch is emitted again.").AtLeast(0)
	d.String(&s.zookeeper, "zookeeperConnect", "", "Of Kafka before 0.9. Not used: kafka.bootstrap.servers names the brokers.")
	d.Bool(&s.migrate, "migrateZookeeperOffsets", true, "Of Kafka before 0.9. Offsets are not taken over from ZooKeeper.")
	s.client.Declare(d, kafka.Consumer, "kafka.consumer.")
	d.Check(s.check)
}

func (s *Settings) check() error {
	var problems []error
	problem := func(key, format string, args ...any) {
		problems = append(problems, conf.At(key, fmt.Errorf(format, args...)))
	}
	switch {
	case s.bootstrap == "" && s.zookeeper != "":
		problem("zookeeperConnect", "no longer finds the brokers; add kafka.bootstrap.servers = HOST:9092")
	case s.bootstrap == "":
		problem("kafka.bootstrap.servers", "is required and not set")
	default:
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
	}
	s.topics, s.pattern = nil, ""
	switch {
	case s.regex != "":
		s.pattern = "^(?:" + s.regex + ")$"
		if _, err := regexp.Compile(s.pattern); err != nil {
			problem("kafka.topics.regex", "%q is not a regular expression that Sluice can use: %w", s.regex, err)
		}
	case s.topicList == "":
		problem("kafka.topics", "is not set, nor is kafka.topics.regex; one of them is required")
	default:
		for _, t := range strings.Split(s.topicList, ",") {
			if t = strings.TrimSpace(t); t == "" {
				continue
			}
			if err := kafka.CheckTopic(t); err != nil {
				problem("kafka.topics", "%w", err)
			}
			s.topics = append(s.topics, t)
		}
		if len(s.topics) == 0 {
			problem("kafka.topics", "names no topic")
		}
	}
	if s.group == "" {
		problem("kafka.consumer.group.id", "is empty")
	}
	return errors.Join(problems...)
}

// Origins says where events come from: each topic at each broker. A regular expression names no topic.
func (s *Settings) Origins(received flume.Known) map[flume.Endpoint]flume.Known {
	out := map[flume.Endpoint]flume.Known{}
	for _, topic := range s.topics {
		known := flume.Known{}
		if s.flumeFormat {
			maps.Copy(known, received)
		} else if s.setTopic {
			known[s.topicHeader] = topic
		}
		for _, e := range kafka.Endpoints(s.brokers, topic) {
			out[e] = known
		}
	}
	return out
}

// Positioner says that every event can bear its position.
func (s *Settings) Positioner() bool { return true }

// most is the number of events that one transaction may carry.
func (s *Settings) most(env flume.Env) int {
	return cmp.Or(max(env.TransactionCapacity, 0), s.batchSize)
}

// mapping is what to do with record headers, in the order of the file.
func (s *Settings) mapping() []mapping {
	out := make([]mapping, 0, len(s.mapped))
	for _, v := range s.mapped {
		out = append(out, mapping{event: v.Key, record: v.Text})
	}
	return out
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	return openSource(ctx, s, env)
}

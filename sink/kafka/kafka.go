// Package kafka is Flume's Kafka sink: it sends each event as one record.
//
//	batch ─▶ records ─▶ all under way at once ─▶ flushed ─▶ those that failed are offered again
//
// The rules:
//
//   - The topic is the value of the header topicHeader, else kafka.topic with its escapes. The key is the bytes of the
//     header "key", the value the event's body, or the event whole as AvroFlumeEvent.
//   - An event is delivered when the broker has acknowledged it as kafka.producer.acks asks. Within delivery.timeout.ms
//     the client tries on by itself; what is not acknowledged then goes back to the head of the channel, and only that,
//     so that the order within a partition stays. With acks = all the broker leaves out what it has already.
//   - What can never be sent goes to the dead letters: a record that is too large for max.request.size or for the
//     broker, a partition or topic that cannot be, a topic escape without a timestamp. Where a broker refuses a batch
//     for one of its records, the batch is taken apart until that one is found.
//   - Deliver holds on to the batch no longer than until it returns, but for the hard end, when the client may still
//     send what it has: such events can come twice.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/kafka"
)

// Kind is the Kafka sink.
var Kind = kind()

func kind() flume.Kind[flume.Sink] {
	k := flume.Define[Settings, flume.Sink]("kafka", "org.apache.flume.sink.kafka.KafkaSink", "Sends events to topics of Kafka.", open)
	k.Unlisted = true
	return k
}

const defaultTopic = "default-flume-topic"

// Settings is what the sink can be told.
type Settings struct {
	bootstrap, topic string
	batchSize        int
	flumeFormat      bool
	override         bool
	topicHeader      string
	partition        int
	partitionHeader  string
	timestampHeader  string
	mapped           conf.Values
	client           kafka.Client

	brokers  []string
	template *escape.Template
}

// Declare declares Flume's settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.bootstrap, "kafka.bootstrap.servers", "", "The brokers to ask for all others: host:port, separated by commas.").Required().Old("brokerList")
	d.String(&s.topic, "kafka.topic", defaultTopic, "The topic of events that have no topic header. %{header} and %Y-%m-%d stand for their values, unless allowTopicOverride is false; the time is the event's header timestamp.").Old("topic")
	d.BatchSize(&s.batchSize, "flumeBatchSize", 100, "How many events are a batch. More go at once where they have arrived.").AtLeast(1).
		Old("batchSize").Also("kafka.flumeBatchSize")
	d.Bool(&s.flumeFormat, "useFlumeEventFormat", false, "Send the event whole, headers and body, as AvroFlumeEvent; else the body alone.")
	d.Bool(&s.override, "allowTopicOverride", true, "Whether a header may name the topic.")
	d.String(&s.topicHeader, "topicHeader", "topic", "The header that names the topic.")
	d.Int(&s.partition, "defaultPartitionId", -1, "The partition of events without partitionIdHeader; -1: by the key, as Kafka's clients choose.").AtLeast(-1)
	d.String(&s.partitionHeader, "partitionIdHeader", "", "The header that names the partition.")
	d.String(&s.timestampHeader, "timestampHeader", "", "The header with the record's timestamp, in milliseconds since 1970. Without it the record has the time of sending.")
	d.Rest(&s.mapped, "header.", "header.NAME = KEY sends the event header NAME as the record header KEY.")
	d.String(&s.client.Acks, "kafka.producer.acks", "1", "Who must have written a record before it is delivered: 1 the leader, all (or -1) every replica in sync, 0 nobody.").Old("requiredAcks")
	const bytes = "bytes travel unchanged, or with useFlumeEventFormat = true the whole event"
	kafka.Idle(d, "serializer.class", "it is of Flume before 1.7; "+bytes)
	kafka.Idle(d, "key.serializer.class", "it is of Flume before 1.7; "+bytes)
	kafka.Idle(d, "metadata.broker.list", `it is of the producer before Kafka 0.9; did you mean "kafka.bootstrap.servers"?`)
	kafka.Idle(d, "serializer", "this sink has none; "+bytes)
	kafka.Idle(d, "producer.type", "it is of the producer before Kafka 0.9; all events of a delivery are under way at once")
	kafka.Idle(d, "custom.topic.name", `it is of another Kafka sink; did you mean "kafka.topic"?`)
	s.client.Declare(d, kafka.Producer, "kafka.producer.")
	d.Check(s.check)
}

func (s *Settings) check() error {
	var problems []error
	problem := func(key string, err error) { problems = append(problems, conf.At(key, err)) }
	warn := func(key, text string) { problems = append(problems, conf.Warn(key, errors.New(text))) }
	var err error
	if s.brokers, err = kafka.Brokers("kafka.bootstrap.servers", s.bootstrap); err != nil {
		problems = append(problems, err)
	}
	if s.topic == defaultTopic {
		text := "is not set: every event goes to the topic " + defaultTopic
		if s.override {
			text = fmt.Sprintf("is not set: events without the header %q go to the topic %s", s.topicHeader, defaultTopic)
		}
		warn("kafka.topic", text)
	}
	if s.template, err = escape.Parse(s.topic, escape.Options{}); err != nil {
		problem("kafka.topic", err)
	} else if topic, ok := s.fixedTopic(); ok {
		if err := kafka.CheckTopic(topic); err != nil {
			if !s.override && topic != "" {
				err = fmt.Errorf("%w; with allowTopicOverride = false it is taken literally, as in Flume", err)
			}
			problem("kafka.topic", err)
		}
	}
	return errors.Join(problems...)
}

// fixedTopic is the topic of all events that have none of their own.
func (s *Settings) fixedTopic() (string, bool) {
	if !s.override {
		return s.topic, true
	}
	return s.template.Constant()
}

// Destinations says where an event goes, as far as its headers are known.
func (s *Settings) Destinations(k flume.Known) []flume.Endpoint {
	if s.override {
		if topic, ok := k[s.topicHeader]; ok {
			return kafka.Endpoints(s.brokers, topic)
		}
	}
	if topic, ok := s.fixedTopic(); ok {
		return kafka.Endpoints(s.brokers, topic)
	}
	if s.template.Timed() {
		return nil
	}
	var h flume.Headers
	for _, name := range s.template.Headers() {
		v, ok := k[name]
		if !ok {
			return nil
		}
		h.Set(name, v)
	}
	topic, err := s.template.Append(nil, h, time.Time{})
	if err != nil {
		return nil
	}
	return kafka.Endpoints(s.brokers, string(topic))
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	return openSink(ctx, s, env)
}

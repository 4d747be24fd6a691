package kafka

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const forever = time.Duration(math.MaxInt32) * time.Millisecond

// option hands a value over as one of the client's options.
func option[T any](make func(T) kgo.Opt) func(*config, T) {
	return func(c *config, v T) { c.opts = append(c.opts, make(v)) }
}

func commonProperties() []Property {
	return []Property{
		{Name: "bootstrap.servers", Declared: true, Doc: "kafka.bootstrap.servers names the brokers, as in Flume"},
		{Name: "client.id", Doc: "The name that brokers know the client by. Not set: agent and component.",
			take: text(func(c *config, s string) { c.clientID = s; c.opts = append(c.opts, kgo.ClientID(s)) })},
		{Name: "client.rack", Doc: "Where the client is; brokers that know may serve it from a replica near by.",
			take: text(option(func(s string) kgo.Opt { return kgo.Rack(s) }))},
		{Name: "request.timeout.ms", Default: "30000", Doc: "How long to wait for the answer to a request before it is tried again.",
			take: clampedMillis(func(c *config, d time.Duration) { c.requestTimeout = d }, 100*time.Millisecond, 15*time.Minute)},
		{Name: "retry.backoff.ms", Default: "100", Doc: "How long to wait before a failed request is tried again; doubled each time.",
			take: millis(func(c *config, d time.Duration) { c.backoff = d }, 0, forever)},
		{Name: "retry.backoff.max.ms", Default: "1000", Doc: "The longest wait between two tries.",
			take: millis(func(c *config, d time.Duration) { c.backoffMax = d }, 0, forever)},
		{Name: "metadata.max.age.ms", Default: "300000", Doc: "How often to look for new partitions, new topics and moved leaders, if nothing fails. At most an hour.",
			take: clampedMillis(func(c *config, d time.Duration) { c.metadataAge = d }, 10*time.Millisecond, time.Hour)},
		{Name: "connections.max.idle.ms", Default: "540000", Doc: "When to close a connection that is not used. At most 15 minutes.",
			take: clampedMillis(option(kgo.ConnIdleTimeout), 100*time.Millisecond, 15*time.Minute)},
		{Name: "socket.connection.setup.timeout.ms", Default: "10000", Doc: "How long connecting may take.",
			take: millis(func(c *config, d time.Duration) { c.dialTimeout = d }, 1*time.Millisecond, forever)},
		{Name: "send.buffer.bytes", Doc: "The socket's send buffer. Not set, or -1: the system's choice (Java: 131072).",
			take: size(func(c *config, n int) { c.sendBuffer = n }, -1, math.MaxInt32)},
		{Name: "receive.buffer.bytes", Doc: "The socket's receive buffer. Not set, or -1: the system's choice (Java: 65536, the producer 32768).",
			take: size(func(c *config, n int) { c.receiveBuffer = n }, -1, math.MaxInt32)},
		{Name: "enable.metrics.push", Default: "true", Doc: "Whether brokers that ask for it are sent the client's metrics.",
			take: flag(func(c *config, on bool) {
				if !on {
					c.opts = append(c.opts, kgo.DisableClientMetrics())
				}
			})},
	}
}

func consumerProperties() []Property {
	return []Property{
		{Name: "group.id", Declared: true, Doc: "kafka.consumer.group.id is a setting of the component"},
		{Name: "auto.offset.reset", Default: "latest", Doc: "Where to begin in a partition for which the group has committed no offset: earliest (the channel's default), latest (the source's), none (an error), or by_duration:P… (so long before the newest record). With latest the end that was found is committed at once, so that it is looked for once only, and a partition that is made meanwhile is read whole. A committed offset that is no longer in the topic resumes at the oldest record that is left, and one beyond the end (the broker lost records) a minute before the last record read; only none makes an error of it.",
			take: offsetReset},
		{Name: "fetch.min.bytes", Default: "1", Doc: "How much must have come together before a broker answers.",
			take: size(option(func(n int) kgo.Opt { return kgo.FetchMinBytes(int32(n)) }), 0, math.MaxInt32)},
		{Name: "fetch.max.wait.ms", Default: "500", Doc: "How long a broker waits for fetch.min.bytes. At least 10.",
			take: clampedMillis(option(func(d time.Duration) kgo.Opt { return kgo.FetchMaxWait(d) }), 10*time.Millisecond, forever)},
		{Name: "fetch.max.bytes", Default: "52428800", Doc: "The most that a broker sends in one answer, unless a single batch is larger. So much may wait in memory for each broker, compressed as it is.",
			take: size(func(c *config, n int) { c.fetchMax = n }, 1024, 1<<29)},
		{Name: "max.partition.fetch.bytes", Default: "1048576", Doc: "The most of one partition in an answer, unless a single batch is larger.",
			take: size(option(func(n int) kgo.Opt { return kgo.FetchMaxPartitionBytes(int32(n)) }), 1, 1<<30)},
		{Name: "session.timeout.ms", Default: "10000", Doc: "How long the group waits for a sign of life before it gives the partitions to others.",
			take: millis(func(c *config, d time.Duration) { c.session = d }, 100*time.Millisecond, forever)},
		{Name: "heartbeat.interval.ms", Default: "3000", Doc: "How often to give a sign of life, whatever delivery does. Less than session.timeout.ms.",
			take: millis(func(c *config, d time.Duration) { c.heartbeat = d }, 1*time.Millisecond, forever)},
		{Name: "max.poll.interval.ms", Default: "300000", Doc: "How long the group waits, when partitions are to be given out anew, for a member to give its own up. A full channel does not cost the membership, as it does in Java: signs of life go on.",
			take: millis(func(c *config, d time.Duration) { c.rebalanceTimeout = d }, 100*time.Millisecond, forever)},
		{Name: "partition.assignment.strategy", Default: "org.apache.kafka.clients.consumer.RangeAssignor", Doc: "How a group shares partitions, in order of preference: RangeAssignor, RoundRobinAssignor, StickyAssignor, CooperativeStickyAssignor, as Kafka's classes or as range, roundrobin, sticky, cooperative-sticky.",
			take: assignors},
		{Name: "group.instance.id", Doc: "Makes it a static member: it keeps its partitions over a restart within session.timeout.ms.",
			take: text(option(func(s string) kgo.Opt { return kgo.InstanceID(s) }))},
		{Name: "group.protocol", Default: "classic", Doc: "classic, or consumer: the broker (4.0 and up) shares the partitions, with range or sticky.",
			take: choice(func(c *config, w string) {
				if w == "consumer" {
					c.opts = append(c.opts, kgo.ServerSideBalancer())
				}
			}, "classic", "consumer")},
		{Name: "isolation.level", Default: "read_uncommitted", Doc: "read_committed leaves out what was sent in transactions that are open or were aborted.",
			take: choice(func(c *config, w string) {
				if w == "read_committed" {
					c.committed = true
					c.opts = append(c.opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
				}
			}, "read_uncommitted", "read_committed")},
		{Name: "allow.auto.create.topics", Default: "true", Doc: "Whether asking for a topic may make the broker create it.",
			take: flag(func(c *config, on bool) {
				if on {
					c.opts = append(c.opts, kgo.AllowAutoTopicCreation())
				}
			})},
		{Name: "check.crcs", Default: "true", Doc: "Whether to check that what was read is what was written.",
			take: flag(func(c *config, on bool) {
				if !on {
					c.opts = append(c.opts, kgo.DisableFetchCRCValidation())
				}
			})},
		{Name: "enable.auto.commit", Default: "false", Doc: "false: offsets are committed after the events are, by the source's channels or for the channel's sink, as in Flume, which forces it too.",
			take: flagOr(false, "offsets are committed after the events are; Flume forces false too")},
		{Name: "exclude.internal.topics", Default: "true", Doc: "true: kafka.topics.regex never matches a topic of Kafka's own.",
			take: flagOr(true, "kafka.topics.regex never matches a topic of Kafka's own; name it in kafka.topics")},
		{Name: "key.deserializer", Default: stringDeserializer, Doc: "A key's bytes are the value of header \"key\", whatever class is named. A class that is not Kafka's own is refused.",
			take: serializer("deserializer", "the key's bytes are the value of header \"key\" unchanged")},
		{Name: "value.deserializer", Default: bytesDeserializer, Doc: "A value's bytes are the event, whatever class is named. A class that is not Kafka's own is refused.",
			take: serializer("deserializer", "the value's bytes are the event unchanged")},
		{Name: "max.poll.records", None: "whatever has arrived goes on at once: from the source up to the channels' transactionCapacity, from the channel as much as the sink takes"},
		{Name: "auto.commit.interval.ms", None: "offsets are committed as soon as the events are"},
		{Name: "default.api.timeout.ms", None: "requests are tried again as long as the component runs"},
		{Name: "group.remote.assignor", None: "the assignor of partition.assignment.strategy is asked for"},
		{Name: "timeout.ms", None: "consumer.timeout.ms was a property of the consumer before Kafka 0.9; who reads waits for records as long as it runs"},
		{Name: "zookeeper.connect", None: "it is of the consumer before Kafka 0.9; kafka.bootstrap.servers names the brokers"},
	}
}

func producerProperties() []Property {
	return []Property{
		{Name: "acks", Default: "1", Declared: true, Doc: "Who must have written a record before it is delivered: 1 the leader (the sink's default), all or -1 every replica in sync (the channel's), 0 nobody.",
			take: acks},
		{Name: "enable.idempotence", Doc: "Whether the broker leaves out what arrives twice because an answer got lost. Needs acks = all, and is on with it unless it is set false.",
			take: flag(func(c *config, on bool) { c.idempotence = &on })},
		{Name: "max.in.flight.requests.per.connection", Doc: "How many requests may be under way to a broker. Not set: 1, which keeps the order (Java: 5, which does not when a request is tried again). The idempotent producer keeps the order with 5.",
			take: number(func(c *config, n int) { c.inFlight = n }, 1, math.MaxInt32)},
		{Name: "retries", Default: "2147483647", Doc: "How often a record is sent again, within delivery.timeout.ms. After that, and with 0 at once, it fails, and its event is offered again.",
			take: retries},
		{Name: "delivery.timeout.ms", Default: "120000", Doc: "How long a record may take to be acknowledged. Then the delivery fails, and the events that are not acknowledged are offered again.",
			take: millis(func(c *config, d time.Duration) { c.deliveryTimeout = d }, time.Second, forever)},
		{Name: "compression.type", Default: "none", Doc: "none, gzip, snappy, lz4 or zstd.",
			take: choice(func(c *config, w string) { c.compression = w }, "none", "gzip", "snappy", "lz4", "zstd")},
		{Name: "compression.gzip.level", Doc: "1 (fast) to 9; -1: the codec's own choice.", take: number(func(c *config, n int) { c.level = level(c, "gzip", n) }, -1, 9)},
		{Name: "compression.lz4.level", Doc: "1 (fast) to 17.", take: number(func(c *config, n int) { c.level = level(c, "lz4", n) }, 1, 17)},
		{Name: "compression.zstd.level", Doc: "1 (fast) to 22.", take: number(func(c *config, n int) { c.level = level(c, "zstd", n) }, -131072, 22)},
		{Name: "linger.ms", Default: "0", Doc: "A delivery is handed over whole and sent at once, so nothing waits, whatever this says. Flume flushes after each batch too.",
			take: linger},
		{Name: "buffer.memory", Default: "33554432", Doc: "The most bytes of bodies and headers that one delivery takes from the channel, a single larger event apart; of a Kafka channel the most bytes of all its open puts, and who finds no room waits. The producer holds no more.",
			take: size(func(c *config, n int) { c.bufferMemory = n }, 1024, math.MaxInt32)},
		{Name: "max.request.size", Default: "1048576", Doc: "The most bytes of one record, and of what is sent to a partition in one request, before compression. An event that is larger goes to the dead letters.",
			take: size(func(c *config, n int) { c.maxRequest = n }, 512, 1<<30)},
		{Name: "partitioner.class", Doc: "Where a record goes that names no partition. Not set: by murmur2 of the key, as Java's client; without a key a partition for a batch. There are Kafka's DefaultPartitioner, UniformStickyPartitioner and RoundRobinPartitioner.",
			take: partitionerClass},
		{Name: "partitioner.ignore.keys", Default: "false", Doc: "Whether to choose as if there was no key.",
			take: flag(func(c *config, on bool) { c.ignoreKeys = on })},
		{Name: "key.serializer", Default: "org.apache.kafka.common.serialization.StringSerializer", Doc: "The bytes of header \"key\" are the key, whatever class is named. A class that is not Kafka's own is refused.",
			take: serializer("serializer", "the bytes of header \"key\" are the key unchanged")},
		{Name: "value.serializer", Default: bytesSerializer, Doc: "The event's bytes are the value, whatever class is named. A class that is not Kafka's own is refused.",
			take: valueSerializer},
		{Name: "batch.size", None: "the events of a delivery for a partition travel together, up to max.request.size; none waits for more"},
		{Name: "max.block.ms", None: "a delivery waits for a topic's partitions and for room up to delivery.timeout.ms"},
		{Name: "transactional.id", None: "events are sent without transactions, as in Flume"},
		{Name: "transaction.timeout.ms", None: "events are sent without transactions, as in Flume"},
		{Name: "metadata.max.idle.ms", None: "a topic that was sent to stays known as long as the component runs"},
		{Name: "partitioner.adaptive.partitioning.enable", None: "records without a key go to one partition for a batch, then to another"},
		{Name: "partitioner.availability.timeout.ms", None: "records without a key go to partitions that have a leader"},
		{Name: "serializer.class", None: "it is of the producer before Kafka 0.9; bytes travel unchanged"},
		{Name: "key.serializer.class", None: "it is of the producer before Kafka 0.9; bytes travel unchanged"},
		{Name: "request.required.acks", None: "it is of the producer before Kafka 0.9; use acks"},
		{Name: "metadata.broker.list", None: "it is of the producer before Kafka 0.9; use kafka.bootstrap.servers"},
		{Name: "producer.type", None: "it is of the producer before Kafka 0.9; all events of a delivery are under way at once"},
	}
}

// ignoredProperties are those of both clients that mean something to a JVM only.
func ignoredProperties() []Property {
	const classes = "it names Java classes, which only a JVM can run"
	const metrics = "the agent's metrics page shows what there is"
	return []Property{
		{Name: "interceptor.classes", None: classes + "; Flume's interceptors are at the source"},
		{Name: "metric.reporters", None: classes + "; " + metrics},
		{Name: "config.providers", None: classes + "; Flume's config filters stand for secrets"},
		{Name: "security.providers", None: classes},
		{Name: "auto.include.jmx.reporter", None: metrics},
		{Name: "metrics.num.samples", None: metrics},
		{Name: "metrics.recording.level", None: metrics},
		{Name: "metrics.sample.window.ms", None: metrics},
		{Name: "client.dns.lookup", None: "all addresses of a name are tried"},
		{Name: "metadata.recovery.strategy", None: "the brokers of kafka.bootstrap.servers are asked again when no other is left"},
		{Name: "metadata.recovery.rebootstrap.trigger.ms", None: "the brokers of kafka.bootstrap.servers are asked again when no other is left"},
		{Name: "reconnect.backoff.ms", None: "connecting is tried again after retry.backoff.ms"},
		{Name: "reconnect.backoff.max.ms", None: "connecting is tried again after retry.backoff.max.ms at most"},
		{Name: "socket.connection.setup.timeout.max.ms", None: "every try has socket.connection.setup.timeout.ms"},
	}
}

func offsetReset(c *config, text string) error {
	var warn error
	switch strings.ToLower(text) {
	case "smallest":
		warn, text = notice{fmt.Errorf("smallest is earliest since Kafka 0.9")}, "earliest"
	case "largest":
		warn, text = notice{fmt.Errorf("largest is latest since Kafka 0.9")}, "latest"
	}
	start := kgo.NewOffset()
	switch word := strings.ToLower(text); {
	case word == "earliest":
		start = start.AtStart()
	case word == "latest":
		start, c.atEnd = start.AtEnd(), true
	case word == "none":
		c.opts = append(c.opts, kgo.ConsumeResetOffset(kgo.NoResetOffset()))
		start = start.AtCommitted()
	case strings.HasPrefix(word, "by_duration:"):
		d, ok := isoDuration(text[len("by_duration:"):])
		if !ok {
			return fmt.Errorf("%q is not by_duration: and a duration such as P7D or PT1H30M, of 100 years at most", text)
		}
		start = kgo.LookbackOffset(d)
	default:
		return fmt.Errorf("%q is not one of earliest, latest, none, by_duration:P…", text)
	}
	c.opts = append(c.opts, kgo.ConsumeStartOffset(start))
	return warn
}

// longest is as far as an offset is looked for into the past.
const longest = 100 * 365 * 24 * time.Hour

// isoDuration reads P1DT2H3M4S: what Java's Duration reads, without a sign and with whole numbers, up to longest.
func isoDuration(s string) (time.Duration, bool) {
	s = strings.ToUpper(s)
	s, ok := strings.CutPrefix(s, "P")
	if !ok || s == "" {
		return 0, false
	}
	var sum time.Duration
	inTime, n, digits := false, time.Duration(0), 0
	for _, r := range s {
		var unit time.Duration
		switch {
		case '0' <= r && r <= '9' && digits < 10:
			n, digits = n*10+time.Duration(r-'0'), digits+1
			continue
		case r == 'T' && !inTime && digits == 0:
			inTime = true
			continue
		case digits == 0:
			return 0, false
		case r == 'D' && !inTime:
			unit = 24 * time.Hour
		case r == 'H' && inTime:
			unit = time.Hour
		case r == 'M' && inTime:
			unit = time.Minute
		case r == 'S' && inTime:
			unit = time.Second
		default:
			return 0, false
		}
		if n > (longest-sum)/unit {
			return 0, false
		}
		sum += n * unit
		n, digits = 0, 0
	}
	return sum, digits == 0 && sum > 0
}

// linger takes any time, and says of all but none that nothing waits.
func linger(c *config, text string) error {
	var asked time.Duration
	if err := millis(func(_ *config, d time.Duration) { asked = d }, 0, forever)(c, text); err != nil {
		return err
	}
	if asked != 0 {
		return notice{errors.New("has no effect: the agent hands over whole transactions, and each is sent at once, in as few requests as it needs")}
	}
	return nil
}

func assignors(c *config, text string) error {
	var out []kgo.GroupBalancer
	for _, name := range list(text) {
		short := strings.TrimPrefix(name, "org.apache.kafka.clients.consumer.")
		switch short {
		case "RangeAssignor", "range":
			out = append(out, kgo.RangeBalancer())
		case "RoundRobinAssignor", "roundrobin":
			out = append(out, kgo.RoundRobinBalancer())
		case "StickyAssignor", "sticky":
			out = append(out, kgo.StickyBalancer())
		case "CooperativeStickyAssignor", "cooperative-sticky":
			out = append(out, kgo.CooperativeStickyBalancer())
		default:
			return fmt.Errorf("%q is not one of RangeAssignor, RoundRobinAssignor, StickyAssignor, CooperativeStickyAssignor of org.apache.kafka.clients.consumer; other classes need a JVM", name)
		}
	}
	if len(out) == 0 {
		return fmt.Errorf("%q names no assignor", text)
	}
	c.opts = append(c.opts, kgo.Balancers(out...))
	return nil
}

func acks(c *config, text string) error {
	switch strings.ToLower(text) {
	case "all", "-1":
		c.acks = kgo.AllISRAcks()
		c.allAcks = true
	case "1":
		c.acks = kgo.LeaderAck()
	case "0":
		c.acks = kgo.NoAck()
		return notice{fmt.Errorf("0 delivers without an answer: what the broker does not get is lost and nobody is told")}
	default:
		return fmt.Errorf("%q is not one of all, -1, 1, 0", text)
	}
	return nil
}

func partitionerClass(c *config, text string) error {
	if _, ok := partitionerOf(text, false); !ok {
		return fmt.Errorf("%q is a Java class that needs a JVM; remove it to have Kafka's default, or let an interceptor set the header of partitionIdHeader", text)
	}
	c.partitioner = text
	return nil
}

// flagOr takes the one value that can be had and says of the other why not.
func flagOr(only bool, why string) func(*config, string) error {
	return func(c *config, text string) error {
		var got bool
		if err := flag(func(_ *config, on bool) { got = on })(c, text); err != nil {
			return err
		}
		if got != only {
			return notice{fmt.Errorf("has no effect: %s", why)}
		}
		return nil
	}
}

const (
	stringDeserializer = "org.apache.kafka.common.serialization.StringDeserializer"
	bytesDeserializer  = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
	bytesSerializer    = "org.apache.kafka.common.serialization.ByteArraySerializer"
)

// serializer takes Kafka's own classes. Those that pass text or bytes on do what Sluice does; for numbers that is said;
// with any other class the bytes would mean something else.
func serializer(kind, does string) func(*config, string) error {
	return func(_ *config, text string) error {
		short, own := strings.CutPrefix(text, "org.apache.kafka.common.serialization.")
		short, fits := strings.CutSuffix(strings.ToLower(short), kind)
		switch {
		case own && fits:
		case !own:
			return fmt.Errorf("%q is a Java class that needs a JVM: %s; remove the line if that is what you want", text, does)
		default:
			return fmt.Errorf("%q is not a %s of Kafka's", text, kind)
		}
		switch short {
		case "string", "bytearray", "bytes", "bytebuffer":
			return nil
		case "integer", "long", "short", "float", "double", "uuid", "void":
			return notice{fmt.Errorf("has no effect: %s", does)}
		}
		return fmt.Errorf("%q is not a %s of Kafka's", text, kind)
	}
}

// valueSerializer warns of every class but the one that Flume runs with.
func valueSerializer(c *config, text string) error {
	const does = "the event's bytes are the value unchanged"
	if err := serializer("serializer", does)(c, text); err != nil || text == bytesSerializer {
		return err
	}
	return notice{fmt.Errorf("has no effect: %s; Flume fails with this class (ClassCastException)", does)}
}

// retries says of 0 that it is no promise to send a record once at most.
func retries(c *config, text string) error {
	last := 0
	take := number(func(c *config, n int) { last, c.opts = n, append(c.opts, kgo.RecordRetries(n)) }, 0, math.MaxInt32)
	if err := take(c, text); err != nil || last > 0 {
		return err
	}
	return notice{errors.New("0 gives a record back to the channel at its first failure; the sink sends it again from there, so it can still come twice")}
}

// level keeps the level of each codec: compression.type may come later.
func level(c *config, codec string, n int) map[string]int {
	if c.level == nil {
		c.level = map[string]int{}
	}
	c.level[codec] = n
	return c.level
}

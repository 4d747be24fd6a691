package kafka

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// config is what the properties of one client come to.
type config struct {
	role Role
	opts []kgo.Opt // those that stand alone

	clientID                  string
	requestTimeout            time.Duration
	backoff, backoffMax       time.Duration
	metadataAge               time.Duration
	dialTimeout               time.Duration
	sendBuffer, receiveBuffer int
	stores                    stores
	security                  security
	sasl                      login
	atEnd                     bool
	committed                 bool
	fetchMax                  int
	session, heartbeat        time.Duration
	rebalanceTimeout          time.Duration
	acks                      kgo.Acks
	allAcks                   bool
	idempotence               *bool // nil: not set
	inFlight                  int   // 0: not set
	deliveryTimeout           time.Duration
	compression               string
	level                     map[string]int // of a codec
	bufferMemory, maxRequest  int
	partitioner               string
	ignoreKeys                bool
}

// conflict is what is wrong with several properties together, placed at one.
type conflict struct {
	name string
	err  error
}

func (c *config) idempotent() bool {
	return c.allAcks && (c.idempotence == nil || *c.idempotence)
}

func (c *config) conflicts() []conflict {
	out := append(c.security.conflicts(), c.sasl.conflicts(&c.security)...)
	if c.role == Consumer && c.heartbeat >= c.session {
		out = append(out, conflict{"heartbeat.interval.ms", fmt.Errorf("is %d and must be less than session.timeout.ms, which is %d", c.heartbeat.Milliseconds(), c.session.Milliseconds())})
	}
	if c.idempotence != nil && *c.idempotence && !c.allAcks {
		out = append(out, conflict{"enable.idempotence", errors.New("needs kafka.producer.acks = all")})
	}
	if c.inFlight > 0 && c.idempotent() {
		out = append(out, conflict{"max.in.flight.requests.per.connection", notice{errors.New("has no effect: the idempotent producer (acks = all) has 5 under way and keeps the order")}})
	}
	if c.inFlight > 1 && c.role == Producer && !c.idempotent() {
		out = append(out, conflict{"max.in.flight.requests.per.connection", notice{errors.New("lets records overtake each other when one is sent again; 1, or acks = all, keeps the order")}})
	}
	return out
}

// options makes the client's options. It opens key stores and login files.
func (c *config) options(prefix, jaasFile, krb5File string) ([]kgo.Opt, error) {
	tls, err := c.security.channel(&c.stores)
	if err != nil {
		return nil, fmt.Errorf("reading %sssl.*: %w", prefix, err)
	}
	mechanism, err := c.sasl.mechanism(&c.security, jaasFile, krb5File)
	if err != nil {
		return nil, fmt.Errorf("reading %ssasl.*: %w", prefix, err)
	}
	dial := dialer{timeout: c.dialTimeout, send: c.sendBuffer, receive: c.receiveBuffer, tls: tls}
	opts := append([]kgo.Opt{
		kgo.Dialer(dial.dial),
		kgo.RequestTimeoutOverhead(c.requestTimeout),
		kgo.RetryBackoffFn(c.wait),
		kgo.MetadataMaxAge(c.metadataAge),
		kgo.MetadataMinAge(min(c.metadataAge, metadataLeast)),
	}, c.opts...)
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	if c.role == Producer {
		return append(opts, c.producer()...), nil
	}
	return append(opts,
		kgo.FetchMaxBytes(int32(c.fetchMax)),
		kgo.BrokerMaxReadBytes(int32(max(2*c.fetchMax, 100<<20))),
		kgo.SessionTimeout(c.session),
		kgo.HeartbeatInterval(c.heartbeat),
		kgo.RebalanceTimeout(c.rebalanceTimeout),
	), nil
}

// metadataLeast is how long the client waits before it asks again who leads a partition, when something fails.
const metadataLeast = time.Second

// unknownTopic is how often a topic may be missing before its records fail: a broker that creates topics needs a while.
const unknownTopic = 10

func (c *config) producer() []kgo.Opt {
	partitions, _ := partitionerOf(c.partitioner, c.ignoreKeys) // the name has been checked
	opts := []kgo.Opt{
		kgo.AllowAutoTopicCreation(), // the broker's auto.create.topics.enable decides, as for Java's producer
		kgo.RequiredAcks(c.acks),
		kgo.RecordPartitioner(partitions),
		kgo.ManualFlushing(), // a delivery is handed over whole, then flushed: few requests, and none waits
		kgo.ProducerBatchCompression(c.codec()...),
		kgo.ProducerBatchMaxBytes(int32(c.maxRequest)),
		kgo.BrokerMaxWriteBytes(int32(max(c.maxRequest, 100<<20))),
		kgo.MaxBufferedRecords(math.MaxInt32), // what a delivery may have bounds it
		kgo.ProduceRequestTimeout(c.requestTimeout),
		kgo.UnknownTopicRetries(unknownTopic),
	}
	if c.idempotent() {
		// A record whose context ends fails, though nobody knows what became of it: after delivery.timeout.ms a sink must
		// be able to fail, so that a group can go on to another.
		return append(opts, kgo.AllowIdempotentProduceCancellation())
	}
	return append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(max(c.inFlight, 1)))
}

func (c *config) codec() []kgo.CompressionCodec {
	var codec kgo.CompressionCodec
	switch c.compression {
	case "gzip":
		codec = kgo.GzipCompression()
	case "snappy":
		codec = kgo.SnappyCompression()
	case "lz4":
		codec = kgo.Lz4Compression()
	case "zstd":
		codec = kgo.ZstdCompression()
	default:
		return []kgo.CompressionCodec{kgo.NoCompression()}
	}
	if level, ok := c.level[c.compression]; ok {
		codec = codec.WithLevel(level)
	}
	return []kgo.CompressionCodec{codec}
}

// wait is how long to wait after so many failures, a fifth more or less, so that clients do not come all at once.
func (c *config) wait(failures int) time.Duration {
	d := c.backoff << min(max(failures-1, 0), 20)
	d = min(d, max(c.backoffMax, c.backoff))
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

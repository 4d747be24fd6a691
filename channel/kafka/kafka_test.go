package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "flume-channel"

func servers(c *kfake.Cluster) string { return strings.Join(c.ListenAddrs(), ",") }

func cluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// newEnv makes an environment that is shown when the test fails.
func newEnv(t testing.TB) *flumetest.Env {
	e := flumetest.NewEnv()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(e.Logged())
		}
	})
	return e
}

// start opens a channel that is closed at the end of the test, or before.
func start(t testing.TB, c *kfake.Cluster, e *flumetest.Env, settings ...string) *channel {
	t.Helper()
	ch, err := flumetest.TryOpen(t, e, Kind, append([]string{
		"kafka.bootstrap.servers = " + servers(c), "kafka.consumer.heartbeat.interval.ms = 100", "kafka.consumer.session.timeout.ms = 6000",
		"kafka.consumer.fetch.max.wait.ms = 50",
	}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, ch) })
	return ch.(*channel)
}

func shut(t testing.TB, c flume.Channel) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func fill(t testing.TB, c flume.Channel, b flume.Batch) {
	t.Helper()
	if err := tryFill(t, c, b); err != nil {
		t.Fatal(err)
	}
}

func tryFill(t testing.TB, c flume.Channel, b flume.Batch) error {
	t.Helper()
	tx, err := c.Put(t.Context(), b)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return tx.Commit(t.Context())
}

// takeUp takes events, in as many transactions as it needs, none with more than there are to come.
func takeUp(t testing.TB, c flume.Channel, events int) []flume.Transaction {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out []flume.Transaction
	for events > 0 {
		tx, err := c.Take(ctx, flume.Limits{Events: events})
		if err != nil {
			t.Fatalf("with %d events to come: %v", events, err)
		}
		events -= len(tx.Batch())
		out = append(out, tx)
	}
	return out
}

// takeOne is takeUp for events of one poll.
func takeOne(t testing.TB, c flume.Channel, events int) flume.Transaction {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tx, err := c.Take(ctx, flume.Limits{Events: events, Linger: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(tx.Batch()) != events {
		t.Fatalf("%d events instead of %d", len(tx.Batch()), events)
	}
	return tx
}

func commit(t testing.TB, txs ...flume.Transaction) []string {
	t.Helper()
	var out []string
	for _, tx := range txs {
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		out = append(out, flumetest.Bodies(tx.Batch())...)
	}
	return out
}

// produce writes records as another producer does.
func produce(t testing.TB, c *kfake.Cluster, records ...*kgo.Record) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// consume reads n records of the topic as another consumer does.
func consume(t testing.TB, c *kfake.Cluster, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d records after 20 s, want %d", len(out), n)
		}
		out = append(out, f.Records()...)
	}
	return out
}

// committed is what the group has committed, -1 for nothing.
func committed(c *kfake.Cluster, partition int32) int64 {
	info := c.GroupInfo("flume")
	if info == nil {
		return -1
	}
	at, ok := info.Commits[topic][partition]
	if !ok {
		return -1
	}
	return at.Offset
}

func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func awaitCommit(t testing.TB, c *kfake.Cluster, partition int32, at int64) {
	t.Helper()
	await(t, fmt.Sprintf("offset %d of partition %d is committed", at, partition), func() bool { return committed(c, partition) == at })
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		want     []string
	}{
		"the guide's example": {[]string{"kafka.bootstrap.servers = kafka-1:9092,kafka-2:9092,kafka-3:9092", "kafka.topic = channel1", "kafka.consumer.group.id = flume-consumer"}, nil},
		"nothing":             {nil, []string{"error: kafka.bootstrap.servers: is required and not set"}},
		"what users have": {[]string{"brokerList = b:9092", "zookeeperConnect = z:2181", "topic = t", "groupId = g", "capacity = 10000", "transactionCapacity = 1000", "parseAsFlumeEvent = false"}, []string{
			`brokerList: is an old name of "kafka.bootstrap.servers"`, `topic: is an old name of "kafka.topic"`, `groupId: is an old name`,
			"capacity: has no effect: a Kafka channel has no bound of its own", "transactionCapacity: has no effect: a Kafka channel takes transactions of any size",
			"zookeeperConnect: is not used: kafka.bootstrap.servers names the brokers, and offsets that Flume kept in ZooKeeper are not taken over",
		}},
		"no migration":       {[]string{"kafka.bootstrap.servers = b:1", "zookeeperConnect = z", "migrateZookeeperOffsets = false"}, []string{"zookeeperConnect: is not used: kafka.bootstrap.servers names the brokers"}},
		"only ZooKeeper":     {[]string{"zookeeperConnect = z:2181"}, []string{"error: kafka.bootstrap.servers: is required and not set"}},
		"slips":              {[]string{"kafka.bootstrap.servers = b:1", "bootstrap.servers = b:1", "auto.offset.reset = latest", "pollTimeout = 5", "timeout = 1", "kafka.topc = t"}, []string{"it is kafka.pollTimeout, whatever Flume's guide says", "timeout: has no effect", `did you mean "kafka.consumer.auto.offset.reset"`, `did you mean "kafka.bootstrap.servers"`, `kafka.topc: is not a setting; did you mean "kafka.topic"`}},
		"a bad topic":        {[]string{"kafka.bootstrap.servers = b:1", "kafka.topic = a b"}, []string{`error: kafka.topic: "a b" is no topic`}},
		"a bad partition":    {[]string{"kafka.bootstrap.servers = b:1", "defaultPartitionId = one"}, []string{`error: defaultPartitionId: "one" is not a number`}},
		"old and new":        {[]string{"kafka.bootstrap.servers = b:1", "readSmallestOffset = false", "kafka.consumer.auto.offset.reset = earliest"}, []string{"readSmallestOffset: is not used"}},
		"old reset":          {[]string{"kafka.bootstrap.servers = b:1", "readSmallestOffset = false"}, []string{`readSmallestOffset: is an old name of "kafka.consumer.auto.offset.reset": this value is latest there`}},
		"a bad reset":        {[]string{"kafka.bootstrap.servers = b:1", "kafka.consumer.auto.offset.reset = now"}, []string{`error: kafka.consumer.auto.offset.reset: "now" is not one of earliest`}},
		"forced by Flume":    {[]string{"kafka.bootstrap.servers = b:1", "kafka.consumer.enable.auto.commit = true"}, []string{"kafka.consumer.enable.auto.commit: has no effect"}},
		"a bad acks":         {[]string{"kafka.bootstrap.servers = b:1", "kafka.producer.acks = some"}, []string{`error: kafka.producer.acks: "some" is not one of`}},
		"an empty group":     {[]string{"kafka.bootstrap.servers = b:1", "kafka.consumer.group.id ="}, []string{"error: kafka.consumer.group.id: is empty"}},
		"security for sinks": {[]string{"kafka.bootstrap.servers = b:1", "kafka.consumer.security.protocol = SASL_PLAINTEXT", "kafka.consumer.sasl.mechanism = PLAIN", "kafka.consumer.sasl.jaas.config = org.apache.kafka.common.security.plain.PlainLoginModule required username=a password=b;"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			problems := flumetest.Problems(t, Kind, nil, c.settings...)
			if len(problems) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(problems), len(c.want), problems)
			}
			for i, w := range c.want {
				w, fatal := strings.CutPrefix(w, "error: ")
				if got := problems[i]; !strings.Contains(got.String(), w) || (got.Severity == 1) != fatal {
					t.Errorf("got %v: %v\nwant %q", got.Severity, got, w)
				}
			}
		})
	}
}

// Offsets begin at the start of the topic, unless the file says otherwise in its new or its old way.
func TestReset(t *testing.T) {
	for settings, want := range map[string]string{
		"": "earliest", "kafka.consumer.auto.offset.reset = latest": "latest", "readSmallestOffset = TRUE": "earliest", "readSmallestOffset = no": "latest",
	} {
		lines := []string{"kafka.bootstrap.servers = b:1"}
		if settings != "" {
			lines = append(lines, settings)
		}
		plan, _ := Kind.Bind(flumetest.Section(t, lines...))
		if got := plan.Settings.(*Settings).consumer.Reset; got != want {
			t.Errorf("%q: %s", settings, got)
		}
	}
}

func TestEndpoints(t *testing.T) {
	plan, _ := Kind.Bind(flumetest.Section(t, "kafka.bootstrap.servers = B:1, c:2", "kafka.topic = t"))
	var s any = plan.Settings
	to := s.(flume.Destination).Destinations(nil)
	if fmt.Sprint(to) != "[kafka://b:1/t kafka://c:2/t]" {
		t.Errorf("events go to %v", to)
	}
	from := s.(flume.Origin).Origins(flume.Known{"h": "v"})
	for _, e := range to {
		if from[e]["h"] != "v" {
			t.Errorf("events come from %v", from)
		}
	}
	plan, _ = Kind.Bind(flumetest.Section(t, "kafka.bootstrap.servers = b:1", "parseAsFlumeEvent = false"))
	s = plan.Settings
	for e, known := range s.(flume.Origin).Origins(flume.Known{"h": "v"}) {
		if len(known) > 0 || e != "kafka://b:1/flume-channel" {
			t.Errorf("from %s headers %v come", e, known)
		}
	}
}

func sorted(s []string) []string {
	out := slices.Clone(s)
	slices.Sort(out)
	return out
}

package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	client "github.com/sluice-io/sluice/internal/kafka"
	sink "github.com/sluice-io/sluice/sink/kafka"
	source "github.com/sluice-io/sluice/source/kafka"
)

func brokers(t *testing.T) string {
	b := os.Getenv("SLUICE_KAFKA")
	if b == "" {
		t.Skip("SLUICE_KAFKA names no broker")
	}
	return b
}

func number(t *testing.T, name string, value int) int {
	if text := os.Getenv(name); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	return value
}

// pairs reads lines of key=value.
func pairs(text, prefix string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			out = append(out, prefix+strings.TrimSpace(k), strings.TrimSpace(v))
		}
	}
	return out
}

// props are the properties of SLUICE_KAFKA_PROPS below prefix.
func props(prefix string) []string { return pairs(os.Getenv("SLUICE_KAFKA_PROPS"), prefix) }

func section(group string, settings ...string) *conf.Section {
	var values conf.Values
	for i := 0; i < len(settings); i += 2 {
		values = append(values, conf.Value{Key: settings[i], Text: settings[i+1]})
	}
	sec := conf.NewSection("a1", group, "x", "a1."+group+".x.", conf.Pos{}, values)
	system := pairs(os.Getenv("SLUICE_KAFKA_SYSTEM"), "")
	sec.Property = func(name string) (string, bool) {
		if i := slices.Index(system, name); i >= 0 {
			return system[i+1], true
		}
		return "", false
	}
	return sec
}

func env(t *testing.T) flume.Env {
	var counters sync.Map
	return flume.Env{
		Agent: "a1", Name: "x", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), TransactionCapacity: 1000,
		Counter: func(name string) *atomic.Int64 {
			c, _ := counters.LoadOrStore(name, new(atomic.Int64))
			return c.(*atomic.Int64)
		},
		Reject: func(_ context.Context, r ...flume.Rejection) error {
			t.Errorf("rejected: %v", r[0].Err)
			return nil
		},
	}
}

// admin opens a client of the test's own, with the same properties.
func admin(t *testing.T, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	var c client.Client
	s := clientSettings{&c, client.Producer}
	if _, problems := conf.Bind(s, section("sinks", props("kafka.producer.")...)); problems.Fatal() {
		t.Fatal(problems)
	}
	list, err := client.Brokers(brokers(t))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := c.Open(t.Context(), list, "test", slog.New(slog.DiscardHandler), more...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

type clientSettings struct {
	c    *client.Client
	role client.Role
}

func (s clientSettings) Declare(d *conf.Decl) {
	s.c.Declare(d, s.role, "kafka."+string(s.role)+".")
	s.c.Acks = "all"
}

// topics makes two topics of a name of their own.
func topics(t *testing.T, partitions int32) (in, out string) {
	t.Helper()
	run := fmt.Sprintf("%s-%d", strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), time.Now().UnixMilli())
	adm := kadm.NewClient(admin(t))
	in, out = run+"-in", run+"-out"
	if _, err := adm.CreateTopics(t.Context(), partitions, 1, nil, in, out); err != nil {
		t.Fatal(err)
	}
	return in, out
}

// pipe runs a source into a sink until the test's end or stop. What the sink does not take the source keeps.
func pipe(t *testing.T, in, out string, more ...string) (stop func()) {
	t.Helper()
	b := brokers(t)
	from := append([]string{"kafka.bootstrap.servers", b, "kafka.topics", in, "kafka.consumer.group.id", in, "kafka.consumer.auto.offset.reset", "earliest"}, props("kafka.consumer.")...)
	to := append([]string{"kafka.bootstrap.servers", b, "kafka.topic", out, "allowTopicOverride", "false", "partitionIdHeader", "partition"}, props("kafka.producer.")...)
	for i := 0; i < len(more); i += 2 {
		if rest, ok := strings.CutPrefix(more[i], "source."); ok {
			from = set(from, rest, more[i+1])
		} else {
			to = set(to, strings.TrimPrefix(more[i], "sink."), more[i+1])
		}
	}
	sinkPlan, problems := sink.Kind.Bind(section("sinks", to...))
	if problems.Fatal() {
		t.Fatal(problems)
	}
	sourcePlan, problems := source.Kind.Bind(section("sources", from...))
	if problems.Fatal() {
		t.Fatal(problems)
	}
	k, err := sinkPlan.Open(t.Context(), env(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := sourcePlan.Open(t.Context(), env(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.Run(ctx, func(ctx context.Context, b flume.Batch) error { return deliver(ctx, k, b) })
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		for _, err := range []error{<-done, r.Close(), k.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(stop)
	return stop
}

// set puts a setting into a list of keys and values, over one of that key.
func set(settings []string, key, value string) []string {
	for i := 0; i < len(settings); i += 2 {
		if settings[i] == key {
			settings[i+1] = value
			return settings
		}
	}
	return append(settings, key, value)
}

func deliver(ctx context.Context, k flume.Sink, b flume.Batch) error {
	for {
		err := k.Deliver(ctx, b)
		var partial *flume.PartialError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		case !errors.As(err, &partial):
			time.Sleep(100 * time.Millisecond)
			continue
		case len(partial.Rejected) > 0:
			return partial.Rejected[0].Err
		}
		rest := make(flume.Batch, 0, len(partial.Pending))
		for _, i := range partial.Pending {
			rest = append(rest, b[i])
		}
		b = rest
	}
}

// producer is a client that loses nothing.
func producer(t *testing.T) *kgo.Client { return admin(t, kgo.RecordRetries(1<<30)) }

// fill produces count numbered records of 500 bytes with 8-byte keys.
func fill(t *testing.T, cl *kgo.Client, topic string, from, count int) {
	t.Helper()
	fail := kgo.AbortingFirstErrPromise(cl)
	for i := from; i < from+count; i++ {
		r := &kgo.Record{Topic: topic, Key: binary.BigEndian.AppendUint64(nil, uint64(i)), Value: make([]byte, 500)}
		copy(r.Value, strconv.Itoa(i)+" ")
		r.Headers = []kgo.RecordHeader{{Key: "bin", Value: []byte{0xff, 0x00, byte(i)}}}
		cl.Produce(t.Context(), r, fail.Promise())
		if i%10000 == 0 {
			if err := cl.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := fail.Err(); err != nil {
		t.Fatal(err)
	}
}

// outcome is what a topic holds of the numbers 0 to count-1.
type outcome struct {
	seen       []int
	disorder   int
	duplicates int
	partitions map[int]int32
}

// read reads a topic until all numbers are there, or 30 s passed without a record.
func read(t *testing.T, topic string, count int) *outcome {
	t.Helper()
	cl := admin(t, kgo.ConsumeTopics(topic))
	o := &outcome{seen: make([]int, count), partitions: map[int]int32{}}
	missing := count
	last := map[int32]int{}
	for missing > 0 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		f := cl.PollFetches(ctx)
		cancel()
		if f.NumRecords() == 0 {
			break
		}
		f.EachRecord(func(r *kgo.Record) {
			text, _, _ := strings.Cut(string(r.Value), " ")
			n, err := strconv.Atoi(text)
			if err != nil || n >= count {
				t.Fatalf("a strange record: %.40q", r.Value)
			}
			if o.seen[n]++; o.seen[n] > 1 {
				o.duplicates++
			} else {
				missing--
				if n < last[r.Partition] {
					o.disorder++
				}
				last[r.Partition] = n
			}
			o.partitions[n] = r.Partition
			if len(r.Key) != 8 || binary.BigEndian.Uint64(r.Key) != uint64(n) {
				t.Fatalf("record %d has the key %x", n, r.Key)
			}
		})
	}
	return o
}

func (o *outcome) missing() int {
	n := 0
	for _, s := range o.seen {
		if s == 0 {
			n++
		}
	}
	return n
}

// check compares a topic with what went in.
func check(t *testing.T, in, out string, count int, duplicates bool) *outcome {
	t.Helper()
	a, b := read(t, in, count), read(t, out, count)
	t.Logf("in %d, out %d: missing %d, duplicates %d, out of order %d", count-a.missing(), count-b.missing(), b.missing(), b.duplicates, b.disorder)
	if a.missing() != 0 || b.missing() != 0 || b.disorder != 0 || !duplicates && b.duplicates != 0 {
		t.Errorf("in: missing %d", a.missing())
	}
	for n, p := range a.partitions {
		if b.partitions[n] != p {
			t.Errorf("record %d went from partition %d to %d", n, p, b.partitions[n])
			break
		}
	}
	return b
}

func TestPump(t *testing.T) {
	count := number(t, "SLUICE_KAFKA_COUNT", 100000)
	for name, more := range map[string][]string{
		"plain": nil,
		"all":   {"sink.kafka.producer.acks", "all"},
		"lz4":   {"sink.kafka.producer.compression.type", "lz4"},
	} {
		t.Run(name, func(t *testing.T) {
			in, out := topics(t, 3)
			fill(t, producer(t), in, 0, count)
			start := time.Now()
			stop := pipe(t, in, out, more...)
			wait(t, out, count)
			took := time.Since(start)
			stop()
			t.Logf("%d records in %v: %.0f a second", count, took, float64(count)/took.Seconds())
			check(t, in, out, count, false)
			committed(t, in, count)
		})
	}
}

// wait waits until a topic has so many records.
func wait(t *testing.T, topic string, count int) {
	t.Helper()
	adm := kadm.NewClient(admin(t))
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		ends, err := adm.ListEndOffsets(t.Context(), topic)
		if err != nil {
			continue
		}
		n := int64(0)
		ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
		if n >= int64(count) {
			return
		}
	}
	t.Fatalf("%s has no %d records after minutes", topic, count)
}

// committed checks that the group of a stopped pipe has committed everything.
func committed(t *testing.T, topic string, count int) {
	t.Helper()
	offsets, err := kadm.NewClient(admin(t)).FetchOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) { n += o.At })
	if n != int64(count) {
		t.Errorf("the group has committed %d, want %d", n, count)
	}
}

// TestBothFormats sends events whole into a topic and takes them out of it again.
func TestBothFormats(t *testing.T) {
	const count = 20000
	in, middle := topics(t, 2)
	_, out := topics(t, 2)
	fill(t, producer(t), in, 0, count)
	pipe(t, in, middle, "sink.useFlumeEventFormat", "true", "source.header.bin", "bin")
	pipe(t, middle, out, "source.useFlumeEventFormat", "true", "sink.header.bin", "bin")
	wait(t, out, count)
	check(t, in, out, count, false)
}

// TestForeignTopic pipes a topic that another client has filled (SLUICE_KAFKA_TOPIC, with keys) and looks where the keys
// went: each to the partition of the same number.
func TestForeignTopic(t *testing.T) {
	in := os.Getenv("SLUICE_KAFKA_TOPIC")
	if in == "" {
		t.Skip("SLUICE_KAFKA_TOPIC is not set")
	}
	adm := kadm.NewClient(admin(t))
	ends, err := adm.ListEndOffsets(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	partitions, count := int32(0), int64(0)
	ends.Each(func(o kadm.ListedOffset) { partitions, count = partitions+1, count+o.Offset })
	if count == 0 {
		t.Fatalf("%s is empty", in)
	}
	_, out := topics(t, partitions)
	pipe(t, in, out, "sink.partitionIdHeader", "none", "source.kafka.consumer.group.id", out)
	wait(t, out, int(count))
	places := func(topic string) map[string]int32 {
		cl := admin(t, kgo.ConsumeTopics(topic))
		found := map[string]int32{}
		for n := int64(0); n < count; {
			cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) { n++; found[string(r.Key)] = r.Partition })
		}
		return found
	}
	a, b := places(in), places(out)
	t.Logf("%d records, %d keys, %d partitions", count, len(a), partitions)
	for key, p := range a {
		if b[key] != p {
			t.Fatalf("key %q was in partition %d and is in %d", key, p, b[key])
		}
	}
}

func TestLatency(t *testing.T) {
	in, out := topics(t, 1)
	pipe(t, in, out)
	to, from := admin(t), admin(t, kgo.ConsumeTopics(out))
	var took []time.Duration
	for i := range 60 {
		start := time.Now()
		to.Produce(t.Context(), &kgo.Record{Topic: in, Value: []byte(strconv.Itoa(i))}, nil)
		if err := to.Flush(t.Context()); err != nil { // the options of a sink do not send before
			t.Fatal(err)
		}
		for from.PollFetches(t.Context()).NumRecords() == 0 {
		}
		if i >= 10 { // the first ones open connections
			took = append(took, time.Since(start))
		}
		time.Sleep(50 * time.Millisecond)
	}
	slices.Sort(took)
	t.Logf("from producing to consuming: median %v, 90 %% %v, worst %v", took[25], took[45], took[49])
	if took[25] > 50*time.Millisecond {
		t.Errorf("median %v", took[25])
	}
}

// TestRebalance lets a second member join and leave while records flow.
func TestRebalance(t *testing.T) {
	for _, assignor := range []string{"range", "cooperative-sticky"} {
		t.Run(assignor, func(t *testing.T) {
			count := number(t, "SLUICE_KAFKA_COUNT", 100000)
			in, out := topics(t, 4)
			more := []string{"source.kafka.consumer.partition.assignment.strategy", assignor, "source.kafka.consumer.heartbeat.interval.ms", "500"}
			pipe(t, in, out, more...)
			cl := producer(t)
			var filling sync.WaitGroup
			filling.Go(func() {
				for i := range 20 {
					fill(t, cl, in, i*count/20, count/20)
					time.Sleep(400 * time.Millisecond)
				}
			})
			for range 2 {
				time.Sleep(time.Second)
				stop := pipe(t, in, out, more...)
				time.Sleep(3 * time.Second)
				stop()
			}
			filling.Wait()
			wait(t, out, count)
			check(t, in, out, count, false)
		})
	}
}

// TestBrokerKilled kills the broker at random moments.
func TestBrokerKilled(t *testing.T) {
	kill := os.Getenv("SLUICE_KAFKA_KILL")
	if kill == "" {
		t.Skip("SLUICE_KAFKA_KILL is not set")
	}
	for _, acks := range []string{"1", "all"} {
		t.Run("acks "+acks, func(t *testing.T) {
			kills := number(t, "SLUICE_KAFKA_KILLS", 10)
			in, out := topics(t, 2)
			pipe(t, in, out, "sink.kafka.producer.acks", acks)
			cl := producer(t)
			ctx, cancel := context.WithCancel(t.Context())
			var filling sync.WaitGroup
			count := 0
			filling.Go(func() {
				for ctx.Err() == nil {
					fill(t, cl, in, count, 500)
					count += 500
					time.Sleep(10 * time.Millisecond)
				}
			})
			for range kills {
				time.Sleep(time.Second + rand.N(3*time.Second))
				if text, err := exec.CommandContext(t.Context(), "sh", "-c", kill).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
			}
			cancel()
			filling.Wait()
			wait(t, out, count)
			check(t, in, out, count, true)
		})
	}
}

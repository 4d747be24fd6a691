package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/event"
)

func numbered(from, n int, headers ...string) flume.Batch {
	var b flume.Batch
	for i := range n {
		b = append(b, ev(strconv.Itoa(from+i), headers...))
	}
	return b
}

func bodies(b flume.Batch) []string {
	out := make([]string, len(b))
	for i := range b {
		out[i] = string(b[i].Body)
	}
	return out
}

// One delivery is one request to a broker, however many events, and nothing lingers.
func TestOneRequest(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test2"))
	var requests atomic.Int64
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		requests.Add(1)
		return nil, nil, false
	})
	k := start(t, newRig(t), c, "kafka.topic", "test2", "kafka.producer.linger.ms", "60000")
	// Records for a topic that is not known yet are sent in parts as soon as it is.
	if err := k.Deliver(t.Context(), numbered(-1, 1)); err != nil {
		t.Fatal(err)
	}
	requests.Store(0)
	for i := range 3 {
		if err := k.Deliver(t.Context(), numbered(1000*i, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests for 3 deliveries", n)
	}
	if got := values(consume(t, c, "test2", 3001)); !slices.Equal(got, bodies(numbered(-1, 3001))) {
		t.Error("the order changed")
	}
}

// What a broker fails for a while is tried again by the client, in order.
func TestRetriesInOrder(t *testing.T) {
	for _, acks := range []string{"1", "all"} {
		t.Run("acks "+acks, func(t *testing.T) {
			c := cluster(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "test2"))
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 3})
			k := start(t, newRig(t), c, "kafka.topic", "test2", "requiredAcks", acks, "kafka.producer.max.request.size", "2000")
			for i := range 5 {
				if err := k.Deliver(t.Context(), numbered(200*i, 200, "key", "k")); err != nil {
					t.Fatal(err)
				}
			}
			if got := values(consume(t, c, "test2", 1000)); !slices.Equal(got, bodies(numbered(0, 1000))) {
				t.Errorf("got %d records, or another order", len(got))
			}
		})
	}
}

// Only what was not acknowledged is offered again.
func TestPartial(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, "test2"))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "test2", Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed, Count: 1})
	r := newRig(t)
	k := start(t, r, c, "kafka.topic", "test2", "partitionIdHeader", "p")
	b := flume.Batch{ev("0", "p", "0"), ev("1", "p", "1"), ev("2", "p", "x"), ev("3", "p", "1"), ev("4", "p", "0")}
	err := k.Deliver(t.Context(), b)
	var partial *flume.PartialError
	if !errors.As(err, &partial) || fmt.Sprint(partial.Pending) != "[1 3]" || len(partial.Rejected) != 1 || partial.Rejected[0].Index != 2 || !partial.InOrder {
		t.Fatalf("got %+v", err)
	}
	if !errors.Is(partial.Err, kerr.TopicAuthorizationFailed) || !strings.Contains(partial.Err.Error(), "test2") {
		t.Errorf("the reason: %v", partial.Err)
	}
	if n := r.Count("RollbackCount"); n != 1 {
		t.Errorf("RollbackCount %d", n)
	}
	if err := k.Deliver(t.Context(), flume.Batch{b[1], b[3]}); err != nil {
		t.Fatal(err)
	}
	got := values(consume(t, c, "test2", 4))
	slices.Sort(got)
	if fmt.Sprint(got) != "[0 1 3 4]" {
		t.Errorf("got %v", got)
	}
}

// When nothing arrived the whole batch is offered again.
func TestNothingArrives(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test2"))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	for _, acks := range []string{"1", "all"} {
		k := start(t, newRig(t), c, "kafka.topic", "test2", "kafka.producer.acks", acks, "kafka.producer.delivery.timeout.ms", "1000")
		begin := time.Now()
		err := k.Deliver(t.Context(), numbered(0, 3))
		var partial *flume.PartialError
		if err == nil || errors.As(err, &partial) || !strings.Contains(err.Error(), "delivery.timeout.ms, 1s") {
			t.Errorf("acks %s: %v", acks, err)
		}
		if took := time.Since(begin); took < 900*time.Millisecond || took > 10*time.Second {
			t.Errorf("acks %s: it took %v", acks, took)
		}
	}
}

// Deliver returns when its context ends, whatever the broker does; the sink can be closed.
func TestContextEnds(t *testing.T) {
	for _, acks := range []string{"1", "all"} {
		c := cluster(t, kfake.SeedTopics(1, "test2"))
		k := start(t, newRig(t), c, "kafka.topic", "test2", "kafka.producer.acks", acks)
		if err := k.Deliver(t.Context(), numbered(0, 1)); err != nil {
			t.Fatal(err)
		}
		hung, answer := make(chan struct{}), make(chan struct{})
		tell := sync.OnceFunc(func() { close(hung) })
		c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			tell()
			c.SleepControl(func() { <-answer })
			return nil, nil, false
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-hung; cancel() }()
		delivered := make(chan error, 1)
		go func() { delivered <- k.Deliver(ctx, numbered(1, 2)) }()
		select {
		case err := <-delivered:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("acks %s: %v", acks, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("acks %s: Deliver waits for the broker", acks)
		}
		close(answer)
	}
}

// A sink whose broker has gone fails within delivery.timeout.ms, and closes at once.
func TestBrokerGone(t *testing.T) {
	for _, acks := range []string{"1", "all"} {
		c := cluster(t, kfake.SeedTopics(1, "test2"))
		r := newRig(t)
		k := start(t, r, c, "kafka.topic", "test2", "kafka.producer.acks", acks, "kafka.producer.delivery.timeout.ms", "1000")
		if err := k.Deliver(t.Context(), numbered(0, 1)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		begin := time.Now()
		if err := k.Deliver(t.Context(), numbered(1, 2)); err == nil {
			t.Errorf("acks %s: delivered to nobody", acks)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("acks %s: it took %v", acks, took)
		}
		begin = time.Now()
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("acks %s: closing took %v", acks, took)
		}
		if n := strings.Count(r.Logged(), "out of reach"); n == 0 || n > 3 {
			t.Errorf("acks %s: said %d times", acks, n)
		}
	}
}

// A record that the broker finds too large is found and rejected, though the broker refuses the batch as a whole; the
// next batches are small enough from the start.
func TestBrokersLimit(t *testing.T) {
	c := cluster(t)
	limit := "3000"
	if err := c.CreateTopic("test2", 1, map[string]string{"max.message.bytes": limit}); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	k := start(t, r, c, "kafka.topic", "test2")
	b := numbered(0, 100)
	b[30].Body = make([]byte, 5000)
	b[31].Body = make([]byte, 4000)
	for i := range b {
		if i != 30 && i != 31 {
			b[i].Body = append(b[i].Body, strings.Repeat(" ", 200)...)
		}
	}
	err := k.Deliver(t.Context(), b)
	var partial *flume.PartialError
	if !errors.As(err, &partial) || len(partial.Pending) != 0 || len(partial.Rejected) != 2 || partial.Rejected[0].Index != 30 || partial.Rejected[1].Index != 31 {
		t.Fatalf("got %+v", err)
	}
	if text := partial.Rejected[0].Err.Error(); !strings.Contains(text, "test2") || !strings.Contains(text, "5080") || !strings.Contains(text, "max.message.bytes") {
		t.Errorf("the reason: %v", text)
	}
	if !strings.Contains(r.Logged(), "bytes=3000") {
		t.Error("the limit was not learned")
	}
	refusals := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
	if err := k.Deliver(t.Context(), b[40:60]); err != nil {
		t.Fatal(err)
	}
	if n := refusals.Hits(); n > 3 {
		t.Errorf("%d requests for 20 records that fit in 2", n)
	}
	got := consume(t, c, "test2", 118)
	if len(got) != 118 {
		t.Errorf("%d records", len(got))
	}
	for i, r := range got[:98] {
		want := i
		if i >= 30 {
			want += 2
		}
		if v := strings.TrimSpace(string(r.Value)); v != strconv.Itoa(want) {
			t.Fatalf("record %d is %s", i, v)
		}
	}
}

// A topic that is deleted and made anew is sent to again.
func TestTopicMadeAnew(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test2"))
	k := start(t, newRig(t), c, "kafka.topic", "test2", "kafka.producer.metadata.max.age.ms", "1000")
	if err := k.Deliver(t.Context(), numbered(0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteTopic("test2"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("test2", 1, nil); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := k.Deliver(t.Context(), numbered(1, 1))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if got := values(consume(t, c, "test2", 1)); got[0] != "1" {
		t.Errorf("got %v", got)
	}
}

// A cluster that does not allow the idempotent producer gets the other one, unless the file insists.
func TestIdempotenceNotAllowed(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test2"))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	r := newRig(t)
	k := start(t, r, c, "kafka.topic", "test2", "kafka.producer.acks", "all")
	if err := k.Deliver(t.Context(), numbered(0, 1)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Logged(), "enable.idempotence") {
		t.Errorf("logged %s", r.Logged())
	}
}

func TestFlumeFormat(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test2"))
	k := start(t, newRig(t), c, "kafka.topic", "test2", "useFlumeEventFormat", "true", "kafka.producer.compression.type", "gzip")
	e := ev("b\xff", "key", "k", "x", "\xfe")
	if err := k.Deliver(t.Context(), flume.Batch{e}); err != nil {
		t.Fatal(err)
	}
	got := consume(t, c, "test2", 1)[0]
	var tally event.Tally
	if err := tally.Value(got.Value); err != nil {
		t.Fatal(err)
	}
	back, _ := tally.Cutter(false).Event(got.Value)
	if string(back.Body) != "b\xff" || len(back.Headers) != 2 || back.Headers[1].Value != "\xfe" || string(got.Key) != "k" {
		t.Errorf("got %+v, %+v", got, back)
	}
}

func TestTopics(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		headers  []string
		want     string
	}{
		"fixed":            {[]string{"kafka.topic", "test2"}, nil, "test2"},
		"header":           {[]string{"kafka.topic", "test2"}, []string{"topic", "mine"}, "mine"},
		"own header":       {[]string{"kafka.topic", "test2", "topicHeader", "to"}, []string{"topic", "mine", "to", "yours"}, "yours"},
		"no override":      {[]string{"kafka.topic", "test2", "allowTopicOverride", "false"}, []string{"topic", "mine"}, "test2"},
		"default":          {nil, nil, "default-flume-topic"},
		"old name":         {[]string{"topic", "old"}, nil, "old"},
		"header escape":    {[]string{"kafka.topic", "t-%{kind}"}, []string{"kind", "a"}, "t-a"},
		"time escape":      {[]string{"kafka.topic", "t-%Y"}, []string{"timestamp", "1340459193234"}, "t-2012"},
		"missing header":   {[]string{"kafka.topic", "t-%{kind}"}, nil, "t-"},
		"override of that": {[]string{"kafka.topic", "t-%Y"}, []string{"topic", "mine"}, "mine"},
	} {
		t.Run(name, func(t *testing.T) {
			f := formOf(t, c.settings...)
			for range 2 {
				records, rejected := f.make(flume.Batch{ev("x", c.headers...)}, time.Now())
				if len(rejected) > 0 || records[0].Topic != c.want {
					t.Errorf("got %q, %v; want %q", records[0].Topic, rejected, c.want)
				}
			}
		})
	}
}

// Buffers are used again: a batch leaves nothing behind in the next.
func TestFormIsUsedAgain(t *testing.T) {
	f := formOf(t, "header.h", "K", "defaultPartitionId", "1", "partitionIdHeader", "p")
	f.make(flume.Batch{ev("one", "key", "k", "h", "v", "p", "0"), ev("two")}, time.Now())
	f.done()
	records, _ := f.make(flume.Batch{ev("three")}, time.Now())
	if r := records[0]; len(records) != 1 || r.Key != nil || len(r.Headers) != 0 || r.Partition != 1 || string(r.Value) != "three" {
		t.Errorf("got %+v", records)
	}
}

func formOf(t testing.TB, settings ...string) *form {
	t.Helper()
	plan, problems := Kind.Bind(section(t, append([]string{"kafka.bootstrap.servers", "b:9092"}, settings...)...))
	if problems.Fatal() {
		t.Fatal(problems)
	}
	s, ok := plan.Settings.(*Settings)
	if !ok {
		t.Fatal("other settings")
	}
	return newForm(s, host(), newRig(t).Log)
}

func TestRecordsAllocateNothing(t *testing.T) {
	for name, settings := range map[string][]string{
		"plain": {"kafka.topic", "test2", "header.host", "H"}, "flume": {"kafka.topic", "test2", "useFlumeEventFormat", "true"}, "escapes": {"kafka.topic", "t-%{host}-%Y"},
	} {
		f := formOf(t, settings...)
		b := typical(100)
		f.make(b, time.Now())
		if n := testing.AllocsPerRun(20, func() { f.make(b, time.Now()) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func typical(n int) flume.Batch {
	var b flume.Batch
	for i := range n {
		b = append(b, ev(strings.Repeat("x", 500), "timestamp", "1700000000123", "host", "web-1", "key", fmt.Sprint("key-", i), "offset", strconv.Itoa(i)))
	}
	return b
}

func BenchmarkRecords(b *testing.B) {
	for name, settings := range map[string][]string{
		"plain": {"kafka.topic", "test2"}, "mapped": {"kafka.topic", "test2", "header.host", "H"}, "flume": {"kafka.topic", "test2", "useFlumeEventFormat", "true"}, "escapes": {"kafka.topic", "t-%{host}-%Y"},
	} {
		b.Run(name, func(b *testing.B) {
			f, batch := formOf(b, settings...), typical(100)
			b.ReportAllocs()
			for b.Loop() {
				f.make(batch, time.Time{})
				f.done()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*100), "ns/event")
		})
	}
}

// What the library adds is measured beside it: a delivery to a broker that keeps nothing.
func BenchmarkDeliver(b *testing.B) {
	c := cluster(b, kfake.SeedTopics(1, "test2"), kfake.BlackholeProduce())
	for _, n := range []int{100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			k, batch := start(b, newRig(b), c, "kafka.topic", "test2"), typical(n)
			b.ReportAllocs()
			for b.Loop() {
				if err := k.Deliver(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		want     []string
	}{
		"no topic":            {nil, []string{`flume.conf:1: a1.components.x1.kafka.topic: is not set: events without the header "topic" go to the topic default-flume-topic`}},
		"no topic, no header": {[]string{"allowTopicOverride", "false"}, []string{"every event goes to the topic default-flume-topic"}},
		"old names": {[]string{"topic", "t", "batchSize", "5", "requiredAcks", "-1", "serializer.class", "kafka.serializer.StringEncoder"}, []string{
			`flume.conf:2: a1.components.x1.topic: is an old name of "kafka.topic"`, `a1.components.x1.batchSize: is an old name of "flumeBatchSize"`,
			`a1.components.x1.requiredAcks: is an old name of "kafka.producer.acks"`, "a1.components.x1.serializer.class: has no effect",
		}},
		"the guide's example": {[]string{"kafka.topic", "mytopic", "kafka.flumeBatchSize", "20", "kafka.producer.acks", "1", "kafka.producer.linger.ms", "1", "kafka.producer.compression.type", "snappy"}, []string{
			`kafka.flumeBatchSize: is taken as "flumeBatchSize"; Flume ignores it`, "kafka.producer.linger.ms: has no effect",
		}},
		"other sinks'": {[]string{"kafka.topic", "t", "metadata.broker.list", "b:1", "serializer", "x", "producer.type", "sync", "custom.topic.name", "t", "batch-size", "5"}, []string{
			`metadata.broker.list: has no effect: it is of the producer before Kafka 0.9; did you mean "kafka.bootstrap.servers"?`,
			"x1.serializer: has no effect: this sink has none", "producer.type: has no effect", `custom.topic.name: has no effect: it is of another Kafka sink; did you mean "kafka.topic"?`,
			`batch-size: is not a setting; did you mean "flumeBatchSize"?`,
		}},
		"literal escapes":     {[]string{"kafka.topic", "t-%Y", "allowTopicOverride", "false"}, []string{"error: taken literally"}},
		"bad topic":           {[]string{"kafka.topic", "t x"}, []string{`error: "t x" is no topic`}},
		"bad escape":          {[]string{"kafka.topic", "t-%[host]"}, []string{"error: %[host] is not an escape"}},
		"bad acks":            {[]string{"kafka.topic", "t", "requiredAcks", "2"}, []string{`a1.components.x1.requiredAcks: is an old`, `error: "2" is not one of all, -1, 1, 0`}},
		"acks 0":              {[]string{"kafka.topic", "t", "kafka.producer.acks", "0"}, []string{"a1.components.x1.kafka.producer.acks: 0 delivers without an answer"}},
		"bad partition":       {[]string{"kafka.topic", "t", "defaultPartitionId", "x"}, []string{`error: "x" is not a number`}},
		"a class":             {[]string{"kafka.topic", "t", "kafka.producer.interceptor.classes", "com.x.Y"}, []string{"kafka.producer.interceptor.classes: has no effect"}},
		"a misspelt property": {[]string{"kafka.topic", "t", "kafka.producer.compresion.type", "gzip"}, []string{`did you mean "compression.type"?`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Kind.Bind(section(t, append([]string{"kafka.bootstrap.servers", "b:9092"}, c.settings...)...))
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

// The brokers' old setting is named where the new one is missing.
func TestOldBrokers(t *testing.T) {
	_, problems := Kind.Bind(section(t, "metadata.broker.list", "b:9092"))
	if got := problems.String(); !problems.Fatal() || !strings.Contains(got, "kafka.bootstrap.servers: is required") || !strings.Contains(got, `metadata.broker.list: has no effect`) {
		t.Errorf("got %s", got)
	}
}

func TestDestinations(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		known    flume.Known
		want     string
	}{
		"fixed":       {[]string{"kafka.topic", "t"}, nil, "[kafka://b:9092/t kafka://c:1/t]"},
		"header":      {[]string{"kafka.topic", "t"}, flume.Known{"topic": "u"}, "[kafka://b:9092/u kafka://c:1/u]"},
		"no override": {[]string{"kafka.topic", "t", "allowTopicOverride", "false"}, flume.Known{"topic": "u"}, "[kafka://b:9092/t kafka://c:1/t]"},
		"escape":      {[]string{"kafka.topic", "t-%{x}"}, flume.Known{"x": "1"}, "[kafka://b:9092/t-1 kafka://c:1/t-1]"},
		"unknown":     {[]string{"kafka.topic", "t-%{x}"}, nil, "[]"},
		"time":        {[]string{"kafka.topic", "t-%Y"}, nil, "[]"},
	} {
		plan, problems := Kind.Bind(section(t, append([]string{"kafka.bootstrap.servers", "B, c:1"}, c.settings...)...))
		if problems.Fatal() {
			t.Fatal(problems)
		}
		d, ok := plan.Settings.(flume.Destination)
		if !ok {
			t.Fatal("settings name no destination")
		}
		if got := fmt.Sprint(d.Destinations(c.known)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// A record without a partition goes where Java's client puts its key, and one with a partition there, in one batch.
func TestPartitions(t *testing.T) {
	const partitions = 12
	c := cluster(t, kfake.SeedTopics(partitions, "test2"))
	k := start(t, newRig(t), c, "kafka.topic", "test2", "partitionIdHeader", "p")
	want := map[string]int32{"fix": 5}
	b := flume.Batch{ev("fix", "p", "5", "key", "foobar")}
	for key, hash := range map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "abc": 479470107, "": 275646681} {
		want["k"+key] = (hash & 0x7fffffff) % partitions
		b = append(b, ev("k"+key, "key", key))
	}
	if err := k.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, r := range consume(t, c, "test2", len(b)) {
		if w := want[string(r.Value)]; r.Partition != w {
			t.Errorf("%s went to %d, want %d", r.Value, r.Partition, w)
		}
	}
}

// Records without a key change the partition with the batch, so that all partitions get some.
func TestSticky(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(3, "test2"))
	k := start(t, newRig(t), c, "kafka.topic", "test2")
	for i := range 40 {
		if err := k.Deliver(t.Context(), numbered(i*10, 10)); err != nil {
			t.Fatal(err)
		}
	}
	got := map[int32]int{}
	for _, r := range consume(t, c, "test2", 400) {
		got[r.Partition]++
	}
	if len(got) != 3 {
		t.Errorf("records by partition: %v", got)
	}
}

func host() escape.Host { return escape.Host{Name: "web-1", IP: "10.0.0.1", FQDN: "web-1.example.org"} }

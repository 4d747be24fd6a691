package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
)

func numbered(topic string, partition int32, from, n int) []*kgo.Record {
	var out []*kgo.Record
	for i := range n {
		out = append(out, record(topic, partition, fmt.Sprintf("%d-%d", partition, from+i)))
	}
	return out
}

// settings are those of most tests.
func settings(c *kfake.Cluster, more ...string) []string {
	return append([]string{
		"kafka.bootstrap.servers", servers(c), "kafka.topics", "test3", "kafka.consumer.auto.offset.reset", "earliest",
		"backoffSleepIncrement", "10", "kafka.consumer.heartbeat.interval.ms", "100", "kafka.consumer.session.timeout.ms", "6000",
	}, more...)
}

func committed(c *kfake.Cluster, topic string, partition int32) int64 {
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

// What could not be emitted is emitted again before anything behind it, unchanged though its taker has changed it, and
// its offset is not committed before.
func TestEmitFails(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	produce(t, c, numbered("test3", 0, 0, 25)...)
	r, hole := newRig(t, 10), newSinkhole()
	hole.fail = func(n int, b flume.Batch) error {
		if n > 6 || n%3 == 0 {
			return nil
		}
		if at := committed(c, "test3", 0); at > int64(10*(n/3)) {
			t.Errorf("committed %d before batch %d was taken", at, n)
		}
		clear(b[0].Headers)
		clear(b)
		return errors.New("the channel is full")
	}
	stop := start(t, r, hole.emit, settings(c)...)
	got := hole.await(t, 25)
	stop()
	if !slices.Equal(got, bodiesOf(numbered("test3", 0, 0, 25))) {
		t.Errorf("got %q", got)
	}
	if fmt.Sprint(hole.sizes) != "[10 10 5]" {
		t.Errorf("batches of %v", hole.sizes)
	}
	if at := committed(c, "test3", 0); at != 25 {
		t.Errorf("committed %d", at)
	}
	if n := strings.Count(r.Logged(), "Events are not taken"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

func bodiesOf(records []*kgo.Record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = string(r.Value)
	}
	return out
}

// A batch that is larger than a whole channel goes in parts; one event that is goes to the dead letters.
func TestTooLarge(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	records := numbered("test3", 0, 0, 9)
	records[5].Value = make([]byte, 1000)
	produce(t, c, records...)
	r, hole := newRig(t, 100), newSinkhole()
	hole.fail = func(_ int, b flume.Batch) error {
		if len(b) > 3 || b.Size() > 900 {
			return fmt.Errorf("putting: %w", flume.ErrTooLarge)
		}
		return nil
	}
	stop := start(t, r, hole.emit, settings(c)...)
	got := hole.await(t, 8)
	stop()
	want := bodiesOf(records)
	if !slices.Equal(got, append(want[:5:5], want[6:]...)) {
		t.Errorf("got %q", got)
	}
	if len(r.Rejected()) != 1 || r.Rejected()[0].Position != "test3-0@5" || !errors.Is(r.Rejected()[0].Err, flume.ErrTooLarge) || len(r.Rejected()[0].Event.Body) != 1000 {
		t.Errorf("rejected %+v", r.Rejected())
	}
	if at := committed(c, "test3", 0); at != 9 {
		t.Errorf("committed %d", at)
	}
}

// A record that is no event is passed only when it stands in the dead letters, and stands there once.
func TestRejects(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	good := func(body string) []byte { return event.Append(nil, &flume.Event{Body: []byte(body)}) }
	produce(t, c,
		&kgo.Record{Topic: "test3", Value: good("one")},
		&kgo.Record{Topic: "test3", Value: []byte("Obj\x01 container"), Key: []byte("k")},
		&kgo.Record{Topic: "test3", Value: nil},
		&kgo.Record{Topic: "test3", Value: good("two")},
	)
	r, hole := newRig(t, 100), newSinkhole()
	full := 2
	reject := r.Env.Reject
	r.Env.Reject = func(ctx context.Context, rs ...flume.Rejection) error {
		if full--; full >= 0 {
			if at := committed(c, "test3", 0); at > 0 {
				t.Errorf("committed %d", at)
			}
			return errors.New("the disk is full")
		}
		return reject(ctx, rs...)
	}
	hole.fail = func(n int, _ flume.Batch) error {
		if n == 1 {
			return errors.New("not yet")
		}
		return nil
	}
	stop := start(t, r, hole.emit, settings(c, "useFlumeEventFormat", "true")...)
	got := hole.await(t, 2)
	stop()
	if !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q", got)
	}
	if len(r.Rejected()) != 2 || r.Rejected()[0].Position != "test3-0@1" || !strings.Contains(r.Rejected()[0].Err.Error(), "container") ||
		r.Rejected()[1].Position != "test3-0@2" || !strings.Contains(r.Rejected()[1].Err.Error(), "empty") {
		t.Errorf("rejected %+v", r.Rejected())
	}
	if k, _ := r.Rejected()[0].Event.Headers.Get("key"); k != "k" {
		t.Errorf("the rejected event's headers: %v", r.Rejected()[0].Event.Headers)
	}
	if at := committed(c, "test3", 0); at != 4 {
		t.Errorf("committed %d", at)
	}
}

// A stop while a batch is on its way lets it arrive; Close ends one that does not.
func TestStop(t *testing.T) {
	for _, patient := range []bool{true, false} {
		c := cluster(t, kfake.SeedTopics(1, "test3"))
		produce(t, c, numbered("test3", 0, 0, 5)...)
		r, hole := newRig(t, 100), newSinkhole()
		under, release := make(chan struct{}), make(chan struct{})
		plan, problems := Kind.Bind(section(t, settings(c)...))
		if problems.Fatal() {
			t.Fatal(problems)
		}
		src, err := plan.Open(t.Context(), r.Env)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- src.Run(ctx, func(ctx context.Context, b flume.Batch) error {
				close(under)
				select {
				case <-release:
					return hole.emit(ctx, b)
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}()
		<-under
		cancel()
		if patient {
			close(release)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		if !patient {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		want, at := 5, int64(5)
		if !patient {
			want, at = 0, -1
		}
		if got := len(hole.bodies()); got != want {
			t.Errorf("patient %v: %d events", patient, got)
		}
		if got := committed(c, "test3", 0); got != at {
			t.Errorf("patient %v: committed %d", patient, got)
		}
	}
}

// Members come and go while records flow: nothing is missing, nothing comes twice, the order stays.
func TestRebalance(t *testing.T) {
	for _, assignor := range []string{"range", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"} {
		t.Run(assignor, func(t *testing.T) {
			const partitions, each = 4, 1500
			c := cluster(t, kfake.SeedTopics(partitions, "test3"))
			hole := newSinkhole()
			member := func() func() {
				return start(t, newRig(t, 50), hole.emit, settings(c, "kafka.consumer.partition.assignment.strategy", assignor)...)
			}
			member()
			var producing sync.WaitGroup
			producing.Go(func() {
				for i := 0; i < each; i += 50 {
					for p := range int32(partitions) {
						produce(t, c, numbered("test3", p, i, 50)...)
					}
				}
			})
			for range 3 {
				stop := member()
				if _, err := c.WaitGroupStable(t.Context(), "flume", 2); err != nil {
					t.Fatal(err)
				}
				hole.await(t, len(hole.bodies())+100)
				stop()
			}
			producing.Wait()
			last := map[string]int{}
			for _, b := range hole.await(t, partitions*each) {
				p, n, _ := strings.Cut(b, "-")
				if fmt.Sprint(last[p]) != n {
					t.Fatalf("partition %s: %s came, want %d", p, n, last[p])
				}
				last[p]++
			}
			if len(last) != partitions {
				t.Errorf("partitions %v", slices.Collect(maps.Keys(last)))
			}
		})
	}
}

// A member whose channel is full gives its partitions up all the same, after a moment; nothing is committed that was not
// taken.
func TestRebalanceWhileFull(t *testing.T) {
	for _, assignor := range []string{"range", "cooperative-sticky"} {
		t.Run(assignor, func(t *testing.T) {
			c := cluster(t, kfake.SeedTopics(2, "test3"))
			produce(t, c, append(numbered("test3", 0, 0, 5), numbered("test3", 1, 0, 5)...)...)
			stuck := make(chan struct{})
			more := []string{"kafka.consumer.partition.assignment.strategy", assignor, "kafka.consumer.max.poll.interval.ms", "3000"}
			first, hole := newSinkhole(), newSinkhole()
			once := sync.OnceFunc(func() { close(stuck) })
			open := make(chan struct{})
			stop := start(t, newRig(t, 50), func(ctx context.Context, b flume.Batch) error {
				once()
				select {
				case <-open:
					return first.emit(ctx, b)
				case <-ctx.Done():
					return ctx.Err()
				}
			}, settings(c, more...)...)
			<-stuck
			start(t, newRig(t, 50), hole.emit, settings(c, more...)...)
			hole.await(t, 5) // what the second member got
			close(open)
			first.await(t, 5) // what the first one kept
			stop()
			all := append(hole.await(t, 5), first.bodies()...)
			slices.Sort(all)
			if want := bodiesOf(append(numbered("test3", 0, 0, 5), numbered("test3", 1, 0, 5)...)); !slices.Equal(all, want) {
				t.Errorf("got %q", all)
			}
		})
	}
}

// A partition that is read from its end has its place committed before the first event.
func TestLatestIsFixed(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, "test3"))
	produce(t, c, numbered("test3", 0, 0, 3)...)
	set := []string{"kafka.bootstrap.servers", servers(c), "kafka.topics", "test3"}
	stop := start(t, newRig(t, 50), newSinkhole().emit, set...)
	deadline := time.Now().Add(10 * time.Second)
	for committed(c, "test3", 0) != 3 || committed(c, "test3", 1) != 0 {
		if time.Now().After(deadline) {
			t.Fatal("nothing is committed")
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	produce(t, c, numbered("test3", 0, 3, 2)...)
	hole := newSinkhole()
	start(t, newRig(t, 50), hole.emit, set...)
	if got := hole.await(t, 2); !slices.Equal(got, []string{"0-3", "0-4"}) {
		t.Errorf("got %q", got)
	}
}

// A partition that is made while the source runs is read whole, though others are read from their end.
func TestLatestOfNewPartitions(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	produce(t, c, numbered("test3", 0, 0, 3)...)
	hole := newSinkhole()
	start(t, newRig(t, 50), hole.emit, "kafka.bootstrap.servers", servers(c), "kafka.topics.regex", "t.*3", "kafka.consumer.metadata.max.age.ms", "1000")
	deadline := time.Now().Add(10 * time.Second)
	for committed(c, "test3", 0) != 3 {
		if time.Now().After(deadline) {
			t.Fatal("nothing is committed")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.CreateTopic("topic3", 1, nil); err != nil {
		t.Fatal(err)
	}
	produce(t, c, numbered("topic3", 0, 10, 2)...)
	if got := hole.await(t, 2); !slices.Equal(got, []string{"0-10", "0-11"}) {
		t.Errorf("got %q", got)
	}
}

func TestRegex(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "topic1", "topic2", "topic10", "mytopic1"))
	for _, topic := range []string{"topic1", "topic2", "topic10", "mytopic1"} {
		produce(t, c, record(topic, 0, topic))
	}
	hole := newSinkhole()
	start(t, newRig(t, 50), hole.emit, "kafka.bootstrap.servers", servers(c), "kafka.topics.regex", "topic[0-9]", "kafka.topics", "mytopic1", "kafka.consumer.auto.offset.reset", "earliest")
	got := hole.await(t, 2)
	slices.Sort(got)
	if !slices.Equal(got, []string{"topic1", "topic2"}) {
		t.Errorf("got %q", got)
	}
}

// A commit that fails is tried again, and does not keep events from flowing.
func TestCommitFails(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.InvalidCommitOffsetSize, Count: 2})
	produce(t, c, numbered("test3", 0, 0, 5)...)
	r, hole := newRig(t, 2), newSinkhole()
	start(t, r, hole.emit, settings(c)...)
	hole.await(t, 5)
	deadline := time.Now().Add(10 * time.Second)
	for committed(c, "test3", 0) != 5 || !strings.Contains(r.Logged(), "committed again") {
		if time.Now().After(deadline) {
			t.Fatalf("committed %d", committed(c, "test3", 0))
		}
		time.Sleep(10 * time.Millisecond)
	}
	if fault.Hits() != 2 || strings.Count(r.Logged(), "offsets were not committed") != 1 {
		t.Errorf("%d faults", fault.Hits())
	}
}

// Without an offset and with nowhere to begin the source ends.
func TestNoOffset(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	plan, problems := Kind.Bind(section(t, "kafka.bootstrap.servers", servers(c), "kafka.topics", "test3", "kafka.consumer.auto.offset.reset", "none"))
	if problems.Fatal() {
		t.Fatal(problems)
	}
	src, err := plan.Open(t.Context(), newRig(t, 10).Env)
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Run(t.Context(), newSinkhole().emit); err == nil || !strings.Contains(err.Error(), "reading test3-0") {
		t.Errorf("Run: %v", err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}

// A topic that is deleted and made anew ends Run; opened again, the source reads the new topic from its beginning.
func TestTopicMadeAnew(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	produce(t, c, numbered("test3", 0, 0, 5)...)
	set := settings(c, "kafka.consumer.metadata.max.age.ms", "200", "kafka.consumer.allow.auto.create.topics", "false")
	plan, _ := Kind.Bind(section(t, set...))
	src, err := plan.Open(t.Context(), newRig(t, 10).Env)
	if err != nil {
		t.Fatal(err)
	}
	hole := newSinkhole()
	done := make(chan error, 1)
	go func() { done <- src.Run(t.Context(), hole.emit) }()
	hole.await(t, 5)
	if err := c.DeleteTopic("test3"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("test3", 1, nil); err != nil {
		t.Fatal(err)
	}
	produce(t, c, numbered("test3", 0, 100, 2)...)
	select {
	case err := <-done:
		if !errors.Is(err, kerr.UnknownTopicID) {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Run goes on")
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	again := newSinkhole()
	start(t, newRig(t, 10), again.emit, set...)
	if got := again.await(t, 2); !slices.Equal(got, []string{"0-100", "0-101"}) {
		t.Errorf("got %q", got)
	}
}

func TestOpenFails(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	gone := servers(c)
	c.Close()
	plan, _ := Kind.Bind(section(t, "kafka.bootstrap.servers", gone+",127.0.0.1:1", "kafka.topics", "test3"))
	begin := time.Now()
	_, err := plan.Open(t.Context(), newRig(t, 10).Env)
	if err == nil || !strings.Contains(err.Error(), gone) || !strings.Contains(err.Error(), "127.0.0.1:1: ") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Open: %v", err)
	}
	if took := time.Since(begin); took > 11*time.Second {
		t.Errorf("Open took %v", took)
	}
}

// A source whose broker has gone stops within seconds.
func TestCloseWithoutBroker(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	produce(t, c, numbered("test3", 0, 0, 5)...)
	r, hole := newRig(t, 10), newSinkhole()
	plan, _ := Kind.Bind(section(t, settings(c)...))
	src, err := plan.Open(t.Context(), r.Env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, hole.emit) }()
	hole.await(t, 5)
	c.Close()
	cancel()
	begin := time.Now()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = src.Close() // leaving fails
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// A topic that does not exist is said, and read when it does.
func TestMissingTopic(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	r, hole := newRig(t, 10), newSinkhole()
	start(t, r, hole.emit, "kafka.bootstrap.servers", servers(c), "kafka.topics", "test3,absent",
		"kafka.consumer.auto.offset.reset", "earliest", "kafka.consumer.allow.auto.create.topics", "false", "kafka.consumer.metadata.max.age.ms", "200")
	if !strings.Contains(r.Logged(), "the topic does not exist") || !strings.Contains(r.Logged(), "topic=absent") {
		t.Errorf("logged %s", r.Logged())
	}
	if err := c.CreateTopic("absent", 1, nil); err != nil {
		t.Fatal(err)
	}
	produce(t, c, record("absent", 0, "here"))
	hole.await(t, 1)
}

package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/kafka"
)

// What stands in the topic is what Flume's channel writes, and what it writes is taken.
func TestFormat(t *testing.T) {
	const example = "0408686f73740a7765622d31086bc3a9790876e282ac000c68656c6c6f0a" // of Java's encoder
	worked := flume.Event{Headers: flume.Headers{{Key: "host", Value: "web-1"}, {Key: "kéy", Value: "v€"}}, Body: []byte("hello\n")}
	keyed := flume.Event{Headers: flume.Headers{{Key: "key", Value: "k\xff"}}, Body: []byte("b")}
	t.Run("AvroFlumeEvent", func(t *testing.T) {
		c := cluster(t, kfake.SeedTopics(1, topic))
		ch := start(t, c, newEnv(t))
		fill(t, ch, flume.Batch{worked, keyed, {}})
		got := consume(t, c, 3)
		if hex.EncodeToString(got[0].Value) != example || got[0].Key != nil || len(got[0].Headers) > 0 {
			t.Errorf("got %x", got[0].Value)
		}
		if string(got[1].Key) != "k\xff" || !strings.Contains(string(got[1].Value), "\x06key\x04k\xff") {
			t.Errorf("got %q with key %q", got[1].Value, got[1].Key)
		}
		if hex.EncodeToString(got[2].Value) != "0000" {
			t.Errorf("an empty event is %x", got[2].Value)
		}
		produce(t, c,
			&kgo.Record{Key: []byte("new"), Value: got[1].Value, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("left out")}}},
			&kgo.Record{Key: []byte{}, Value: got[0].Value})
		b := takeOne(t, ch, 5).Batch()
		for i, want := range []string{"[{host web-1} {kéy v€}] hello\n", "[{key k\xff}] b", "[] ", "[{key new}] b", "[{host web-1} {kéy v€} {key }] hello\n"} {
			if got := fmt.Sprintf("%v %s", b[i].Headers, b[i].Body); got != want {
				t.Errorf("event %d is %q instead of %q", i, got, want)
			}
		}
	})
	t.Run("bodies", func(t *testing.T) {
		c := cluster(t, kfake.SeedTopics(1, topic))
		ch := start(t, c, newEnv(t), "parseAsFlumeEvent = false")
		fill(t, ch, flume.Batch{worked, keyed, {}})
		got := consume(t, c, 3)
		if string(got[0].Value) != "hello\n" || got[0].Key != nil || string(got[1].Key) != "k\xff" || got[2].Value == nil {
			t.Errorf("got %+v", got)
		}
		produce(t, c, &kgo.Record{Value: nil})
		b := takeOne(t, ch, 4).Batch()
		for i, want := range []string{"[] hello\n", "[{key k\xff}] b", "[] ", "[] "} {
			if got := fmt.Sprintf("%v %s", b[i].Headers, b[i].Body); got != want || b[i].Body == nil {
				t.Errorf("event %d is %q instead of %q", i, got, want)
			}
		}
	})
}

func TestPartitions(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(3, topic))
	e := newEnv(t)
	ch := start(t, c, e, "defaultPartitionId = 2", "partitionIdHeader = p")
	b := flumetest.Events(0, 4)
	b[1].Headers.Set("p", "0")
	b[2].Headers.Set("p", "first")
	b[3].Headers.Set("p", "3")
	fill(t, ch, b)
	for _, r := range consume(t, c, 2) {
		if want := map[bool]int32{true: 0, false: 2}[strings.Contains(string(r.Value), "\x02p")]; r.Partition != want {
			t.Errorf("%q is in partition %d", r.Value, r.Partition)
		}
	}
	rejected := e.Rejected()
	if len(rejected) != 2 || string(rejected[0].Event.Body) != "2" || !strings.Contains(rejected[0].Err.Error(), `header "p" is "first"`) || string(rejected[1].Event.Body) != "3" {
		t.Errorf("rejected %+v", rejected)
	}
}

// An event that no broker takes is set aside, and the others stand in the topic; without dead letters nothing is
// committed.
func TestTooLarge(t *testing.T) {
	c := cluster(t)
	if err := c.CreateTopic(topic, 1, map[string]string{"max.message.bytes": "3000"}); err != nil {
		t.Fatal(err)
	}
	e := newEnv(t)
	ch := start(t, c, e, "kafka.producer.max.request.size = 5000")
	b := flumetest.Events(0, 20)
	b[3].Body, b[7].Body = make([]byte, 6000), make([]byte, 4000)
	reject := e.Reject
	ch.env.Reject = func(context.Context, ...flume.Rejection) error { return errors.New("the disk is full") }
	if err := tryFill(t, ch, b); err == nil || !strings.Contains(err.Error(), "dead letters: the disk is full") {
		t.Errorf("committed: %v", err)
	}
	ch.env.Reject = reject
	fill(t, ch, b)
	rejected := e.Rejected()
	if len(rejected) != 2 || len(rejected[0].Event.Body) != 6000 || len(rejected[1].Event.Body) != 4000 || !strings.Contains(rejected[1].Err.Error(), "max.message.bytes") {
		t.Errorf("rejected %v", rejected)
	}
	if ch.room.used != 0 {
		t.Errorf("%d bytes of room are taken", ch.room.used)
	}
}

// A batch of which a part was not acknowledged is not committed, and comes again whole.
func TestPartial(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, topic))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed, Count: 1})
	ch := start(t, c, newEnv(t), "partitionIdHeader = n")
	if err := tryFill(t, ch, flumetest.Events(0, 2)); err == nil || !strings.Contains(err.Error(), "1 of 2 events were not acknowledged, the others stand in topic flume-channel already") {
		t.Errorf("committed: %v", err)
	}
	fill(t, ch, flumetest.Events(0, 2))
	if got := sorted(commit(t, takeUp(t, ch, 3)...)); fmt.Sprint(got) != "[0 0 1]" {
		t.Errorf("got %v", got)
	}
}

// What is committed out of order is passed when everything before it is.
func TestOffsets(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	e := newEnv(t)
	ch := start(t, c, e)
	fill(t, ch, flumetest.Events(0, 12))
	first, second, third := takeOne(t, ch, 3), takeOne(t, ch, 4), takeOne(t, ch, 2)
	commit(t, third)
	first.Rollback()
	again := takeOne(t, ch, 3) // 0 1 2 are at the head
	if got := flumetest.Bodies(again.Batch()); fmt.Sprint(got) != "[0 1 2]" {
		t.Errorf("after a rollback came %v", got)
	}
	if n := e.Count("RollbackCount"); n != 3 {
		t.Errorf("RollbackCount is %d", n)
	}
	kept := again.Split([]int{1})
	commit(t, again)
	awaitCommit(t, c, 0, 1)
	commit(t, second)
	kept.Rollback()
	if got := commit(t, takeOne(t, ch, 1)); fmt.Sprint(got) != "[1]" {
		t.Errorf("what was kept back came as %v", got)
	}
	awaitCommit(t, c, 0, 9)
	open := takeOne(t, ch, 1)
	commit(t, takeOne(t, ch, 2))
	shut(t, ch)
	if err := open.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), "1 of 1 events come again: group flume was left") {
		t.Errorf("a take of a closed channel was committed: %v", err)
	}
	if at := committed(c, 0); at != 9 {
		t.Errorf("committed %d", at)
	}
	if got := commit(t, takeOne(t, start(t, c, newEnv(t)), 3)); fmt.Sprint(got) != "[9 10 11]" {
		t.Errorf("after a restart came %v", got)
	}
}

// A record that is no event is passed only when it stands in the dead letters, and stands there once.
func TestPoison(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	e := newEnv(t)
	ch := start(t, c, e)
	fill(t, ch, flumetest.Events(0, 1))
	produce(t, c, &kgo.Record{Value: []byte("Obj\x01 container"), Key: []byte("k")}, &kgo.Record{Value: nil})
	fill(t, ch, flumetest.Events(1, 1))
	produce(t, c, &kgo.Record{Value: []byte("\x00\x00\x00\x00\x07\x02a")}) // of a schema registry
	reject, full := e.Reject, 2
	var mu sync.Mutex
	ch.env.Reject = func(ctx context.Context, rs ...flume.Rejection) error {
		mu.Lock()
		defer mu.Unlock()
		if full--; full >= 0 {
			return errors.New("the disk is full")
		}
		return reject(ctx, rs...)
	}
	var got []string
	failures := 0
	for len(got) < 2 || committed(c, 0) < 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		tx, err := ch.Take(ctx, flume.Limits{Events: 5})
		cancel()
		switch {
		case errors.Is(err, flume.ErrEmpty):
		case err != nil:
			if failures++; !strings.Contains(err.Error(), "dead letters: the disk is full") {
				t.Fatal(err)
			}
			if at := committed(c, 0); at > 1 {
				t.Errorf("committed %d before the record was set aside", at)
			}
		default:
			got = append(got, flumetest.Bodies(tx.Batch())...)
			if len(got) == 1 || failures%2 == 1 {
				commit(t, tx)
			} else {
				tx.Rollback() // what was set aside does not come again
				got = append(got[:len(got)-len(tx.Batch())], commit(t, takeOne(t, ch, len(tx.Batch())))...)
			}
		}
	}
	if fmt.Sprint(got) != "[0 1]" || failures != 2 {
		t.Errorf("got %v after %d failures", got, failures)
	}
	rejected := e.Rejected()
	if len(rejected) != 3 || rejected[0].Position != "flume-channel-0@1" || !strings.Contains(rejected[0].Err.Error(), "container") ||
		rejected[1].Position != "flume-channel-0@2" || rejected[2].Position != "flume-channel-0@4" {
		t.Errorf("rejected %+v", rejected)
	}
	if k, _ := rejected[0].Event.Headers.Get("key"); k != "k" || string(rejected[0].Event.Body) != "Obj\x01 container" {
		t.Errorf("rejected %+v", rejected[0].Event)
	}
}

// takers take and commit, with a rollback now and then, until stop; the order of a partition holds where one taker is.
type takers struct {
	mu      sync.Mutex
	got     map[string]int
	revoked int
	stop    func()
}

func runTakers(t *testing.T, ch flume.Channel, n int) *takers {
	k := &takers{got: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for turn := 0; ; turn++ {
				tx, err := ch.Take(ctx, flume.Limits{Events: 50})
				if errors.Is(err, flume.ErrEmpty) {
					return
				}
				if err != nil {
					t.Errorf("taking: %v", err)
					return
				}
				if turn%5 == 4 {
					tx.Rollback()
					continue
				}
				err = tx.Commit(ctx)
				k.mu.Lock()
				for _, b := range flumetest.Bodies(tx.Batch()) {
					k.got[b]++
				}
				if err != nil {
					k.revoked++
				}
				k.mu.Unlock()
			}
		})
	}
	k.stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(k.stop)
	return k
}

func (k *takers) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.got)
}

// Members come and go while events flow: nothing is missing, nothing comes twice.
func TestRebalance(t *testing.T) {
	for _, assignor := range []string{"range", "cooperative-sticky"} {
		t.Run(assignor, func(t *testing.T) {
			const events, batch = 10_000, 50
			c := cluster(t, kfake.SeedTopics(4, topic))
			set := "kafka.consumer.partition.assignment.strategy = " + assignor
			stays := start(t, c, newEnv(t), set)
			var all []*takers
			all = append(all, runTakers(t, stays, 2))
			var putting sync.WaitGroup
			putting.Go(func() {
				for i := 0; i < events; i += batch {
					if err := tryFill(t, stays, flumetest.Events(i, batch)); err != nil {
						t.Error(err)
					}
				}
			})
			for range 3 {
				guest := start(t, c, newEnv(t), set)
				k := runTakers(t, guest, 2)
				all = append(all, k)
				if _, err := c.WaitGroupStable(t.Context(), "flume", 2); err != nil {
					t.Fatal(err)
				}
				await(t, "the guest takes or all is taken", func() bool {
					sum := 0
					for _, k := range all {
						sum += k.count()
					}
					return k.count() > 0 || sum >= events
				})
				k.stop()
				shut(t, guest)
			}
			putting.Wait()
			sum := func() (n int) {
				for _, k := range all {
					n += k.count()
				}
				return n
			}
			await(t, "all is taken", func() bool { return sum() >= events })
			all[0].stop()
			times := map[string]int{}
			for _, k := range all {
				for b, n := range k.got {
					times[b] += n
				}
				if k.revoked > 0 {
					t.Errorf("%d takes failed at their commit", k.revoked)
				}
			}
			for i := range events {
				if n := times[strconv.Itoa(i)]; n != 1 {
					t.Fatalf("event %d came %d times", i, n)
				}
			}
		})
	}
}

// A take that does not end before its partition is given away fails at its commit, and its events come at the new owner.
func TestRevoked(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, topic))
	e := newEnv(t)
	set := []string{"kafka.consumer.max.poll.interval.ms = 1500", "defaultPartitionId = 0", "partitionIdHeader = p", "kafka.consumer.partition.assignment.strategy = cooperative-sticky"}
	first := start(t, c, e, set...)
	b := flumetest.Events(0, 8)
	for i := range b {
		b[i].Headers.Set("p", strconv.Itoa(i%2))
	}
	fill(t, first, b)
	var open []flume.Transaction
	for held := 0; held < 8; { // each with one event
		tx := takeOne(t, first, 1)
		held += len(tx.Batch())
		open = append(open, tx)
	}
	second := start(t, c, newEnv(t), set...)
	came := commit(t, takeUp(t, second, 4)...)
	failed := 0
	for i, tx := range open {
		if i%4 == 3 { // some are rolled back
			tx.Rollback()
			continue
		}
		body := flumetest.Bodies(tx.Batch())[0]
		switch err := tx.Commit(t.Context()); {
		case slices.Contains(came, body):
			failed++
			if err == nil || !strings.Contains(err.Error(), "1 of 1 events come again: their partitions of topic flume-channel were given to another member of group flume") {
				t.Errorf("event %s was committed: %v", body, err)
			}
		case err != nil:
			t.Errorf("event %s: %v", body, err)
		}
	}
	if n := e.Count("RevokedEventCount"); failed == 0 || n != int64(failed) {
		t.Errorf("RevokedEventCount is %d instead of %d", n, failed)
	}
	rolledBack := 0
	for i, tx := range open {
		if i%4 == 3 && !slices.Contains(came, flumetest.Bodies(tx.Batch())[0]) {
			rolledBack++
		}
	}
	if rolledBack > 0 {
		commit(t, takeUp(t, first, rolledBack)...)
	}
	for p := range int32(2) {
		awaitCommit(t, c, p, 4)
	}
}

// An end of the wait while partitions are being given up: those who settle are heard at once.
func TestRevokedWaitsForOpenTakes(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	first := start(t, c, newEnv(t))
	fill(t, first, flumetest.Events(0, 10))
	open := takeOne(t, first, 4)
	r := first.joined.reader
	begin := time.Now()
	var told sync.WaitGroup
	told.Go(func() { r.revoked(r.member, map[string][]int32{topic: {0}}) })
	await(t, "partitions are being given up", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.giving })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	if _, err := first.Take(ctx, flume.Limits{}); !errors.Is(err, flume.ErrEmpty) {
		t.Errorf("while its partition is given up Take returned %v", err)
	}
	cancel()
	commit(t, open)
	told.Wait()
	if took := time.Since(begin); took > grace-time.Second {
		t.Errorf("it took %v", took)
	}
	if at := committed(c, 0); at != 4 {
		t.Errorf("committed %d", at)
	}
}

// A partition that is lost is somebody else's: nothing of it is committed.
func TestLost(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	ch := start(t, c, newEnv(t))
	fill(t, ch, flumetest.Events(0, 10))
	open, back := takeOne(t, ch, 4), takeOne(t, ch, 6)
	r := ch.joined.reader
	r.lost(r.member, map[string][]int32{topic: {0}})
	if err := open.Commit(t.Context()); err == nil {
		t.Error("committed")
	}
	back.Rollback()
	if _, err := ch.Take(ended(t), flume.Limits{}); !errors.Is(err, flume.ErrEmpty) {
		t.Errorf("Take returned %v", err)
	}
	shut(t, ch)
	if at := committed(c, 0); at != -1 {
		t.Errorf("committed %d", at)
	}
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// A topic that was deleted and made anew fails one Take; the next joins anew.
func TestTopicMadeAnew(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	ch := start(t, c, newEnv(t), "kafka.consumer.metadata.max.age.ms = 200", "kafka.producer.metadata.max.age.ms = 200", "kafka.consumer.allow.auto.create.topics = false")
	fill(t, ch, flumetest.Events(0, 5))
	commit(t, takeUp(t, ch, 5)...)
	if err := c.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	await(t, "puts go on", func() bool { return tryFill(t, ch, flumetest.Events(100, 1)) == nil })
	failures := 0
	var got []string
	await(t, "takes go on", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		tx, err := ch.Take(ctx, flume.Limits{})
		switch {
		case errors.Is(err, flume.ErrEmpty):
			return false
		case err != nil:
			failures++
			return false
		}
		got = append(got, commit(t, tx)...)
		return true
	})
	if len(got) == 0 || got[0] != "100" || failures == 0 {
		t.Errorf("got %v after %d failures", got, failures)
	}
}

// The channel of an agent without sources needs no right to produce, and says what keeps it from reading.
func TestOnlySinks(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	produce(t, c, &kgo.Record{Value: []byte("\x00\x02x")})
	e := newEnv(t)
	e.Filled = false
	ch := start(t, c, e, "kafka.producer.security.protocol = SSL")
	if got := commit(t, takeUp(t, ch, 1)...); got[0] != "x" {
		t.Errorf("got %v", got)
	}
	broken := start(t, c, e, "kafka.consumer.security.protocol = SSL", "kafka.consumer.socket.connection.setup.timeout.ms = 500")
	for range 2 {
		if _, err := broken.Take(t.Context(), flume.Limits{}); err == nil || !strings.Contains(err.Error(), "joining group flume: reaching Kafka at "+servers(c)) {
			t.Errorf("Take returned %v", err)
		}
	}
}

func TestOpenFails(t *testing.T) {
	c := cluster(t)
	gone := servers(c)
	c.Close()
	if _, err := flumetest.TryOpen(t, newEnv(t), Kind, "kafka.bootstrap.servers = "+gone); err == nil || !strings.Contains(err.Error(), "reaching Kafka at "+gone) {
		t.Errorf("Open returned %v", err)
	}
}

// A channel whose broker has gone closes within seconds, and ends what is under way.
func TestCloseWithoutBroker(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	e := newEnv(t)
	ch, err := flumetest.TryOpen(t, e, Kind, "kafka.bootstrap.servers = "+servers(c))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, ch, flumetest.Events(0, 5))
	open := takeOne(t, ch, 2)
	c.Close()
	tx, err := ch.Put(t.Context(), flumetest.Events(5, 1))
	if err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		if err := tx.Commit(t.Context()); err == nil {
			t.Error("committed to nobody")
		}
	})
	commit(t, open)
	begin := time.Now()
	_ = ch.Close() // leaving fails
	sending.Wait()
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("closing took %v", took)
	}
	if err := tryFill(t, ch, flumetest.Events(0, 1)); !errors.Is(err, errClosed) {
		t.Errorf("a closed channel took a put: %v", err)
	}
}

// A put that is given up while the broker is away ends at once, leaves its room to others and does not keep Close
// waiting.
func TestGivenUp(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	e := newEnv(t)
	open, err := flumetest.TryOpen(t, e, Kind, "kafka.bootstrap.servers = "+servers(c))
	if err != nil {
		t.Fatal(err)
	}
	ch := open.(*channel)
	fill(t, ch, flumetest.Events(0, 5))
	c.Close()
	tx, err := ch.Put(t.Context(), flumetest.Events(5, 1))
	if err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancelCause(t.Context())
	why := errors.New("the agent stops")
	time.AfterFunc(100*time.Millisecond, func() { giveUp(why) }) // under way by then, or not: both are given up
	begin := time.Now()
	if err := tx.Commit(ctx); !errors.Is(err, why) {
		t.Errorf("a put that was given up returned %v", err)
	}
	tx.Rollback()
	if ch.room.used != 0 {
		t.Errorf("%d bytes of room are taken", ch.room.used)
	}
	shut(t, ch)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Puts have together no more than buffer.memory, and are served in the order of coming; one that is larger has it alone.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &room{most: 100, patience: time.Minute}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(r.take(t.Context(), 60))
		must(r.take(t.Context(), 40))
		var order []int
		for i, bytes := range []int{100, 1} {
			go func() {
				must(r.take(t.Context(), bytes))
				order = append(order, i)
			}()
			synctest.Wait()
		}
		r.free(60)
		synctest.Wait()
		if len(order) > 0 {
			t.Errorf("a small put has overtaken a large one: %v", order)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gave := make(chan error)
		go func() { gave <- r.take(ctx, 1) }()
		synctest.Wait()
		cancel()
		if err := <-gave; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up was told %v", err)
		}
		r.free(40)
		synctest.Wait()
		r.free(100)
		synctest.Wait()
		if fmt.Sprint(order) != "[0 1]" || r.used != 1 {
			t.Errorf("served in the order %v, %d bytes are used", order, r.used)
		}
		must(r.take(t.Context(), 99))
		begin := time.Now()
		if err := r.take(t.Context(), 1); !errors.Is(err, flume.ErrFull) || time.Since(begin) != time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		go func() { gave <- r.take(t.Context(), 1) }()
		synctest.Wait()
		r.close()
		if err := <-gave; !errors.Is(err, errClosed) {
			t.Errorf("when the room is closed: %v", err)
		}
	})
}

// One take costs a handful of allocations, whatever the number of events.
func TestDecodeAllocatesLittle(t *testing.T) {
	for _, parse := range []bool{true, false} {
		c := &channel{value: kafka.Value{Flume: parse}, s: &Settings{topic: topic}}
		r := &reader{channel: c}
		var records []*kgo.Record
		for i := range 1000 {
			rec := &kgo.Record{Topic: topic, Offset: int64(i)}
			e := flume.Event{Headers: flume.Headers{{Key: "key", Value: strconv.Itoa(i)}, {Key: "h", Value: "v"}}, Body: make([]byte, 200)}
			c.value.Append(nil, rec, &e)
			records = append(records, rec)
		}
		l := c.line(0, records)
		n := testing.AllocsPerRun(20, func() {
			tx := &take{reader: r, runs: []*run{{partition: &partition{}, items: l.items}}}
			if err := tx.decode(t.Context()); err != nil || len(tx.batch) != 1000 {
				t.Error(err, len(tx.batch))
			}
		})
		if n > 10 {
			t.Errorf("parse %v: %v allocations for 1000 events", parse, n)
		}
	}
}

// A broker that has lost records gives their offsets to others: those are committed from there on. What was read before is
// delivered all the same, for the broker has it no more.
func TestTruncated(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, topic))
	ch := start(t, c, newEnv(t))
	fill(t, ch, flumetest.Events(0, 8))
	commit(t, takeOne(t, ch, 6))
	awaitCommit(t, c, 0, 6)
	before := takeOne(t, ch, 2)
	r := ch.joined.reader
	r.mu.Lock()
	r.add(ch.line(0, []*kgo.Record{{Topic: topic, Offset: 2, LeaderEpoch: 1, Value: []byte("\x00\x02x")}, {Topic: topic, Offset: 3, LeaderEpoch: 1, Value: []byte("\x00\x02y")}}))
	r.mu.Unlock()
	before.Rollback()
	if got := commit(t, takeOne(t, ch, 2)); fmt.Sprint(got) != "[6 7]" {
		t.Errorf("got %v", got)
	}
	if got := commit(t, takeOne(t, ch, 2)); fmt.Sprint(got) != "[x y]" {
		t.Errorf("got %v", got)
	}
	awaitCommit(t, c, 0, 4)
}

// Whatever stands in a topic is an event or a dead letter.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x02\x02a\x02b\x00\x04hi"), []byte("k"), true)
	f.Add([]byte("\x02\x06key\x02k\x00\x04hi"), []byte("k"), true)
	f.Add([]byte("Obj\x01"), []byte(nil), true)
	f.Add([]byte{}, []byte{}, false)
	f.Fuzz(func(t *testing.T, value, key []byte, parse bool) {
		e := flumetest.NewEnv()
		c := &channel{value: kafka.Value{Flume: parse}, s: &Settings{topic: topic}, env: e.Env}
		r := &reader{channel: c}
		good := &kgo.Record{Topic: topic, Offset: 1, Value: []byte("\x00\x02x")}
		p := &partition{stale: true} // so that nothing is passed
		u := &run{partition: p, items: c.line(0, []*kgo.Record{{Topic: topic, Key: key, Value: value}, good}).items}
		p.open = append(p.open, u)
		tx := &take{reader: r, runs: []*run{u}}
		if err := tx.decode(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(tx.batch)+len(e.Rejected()) != 2 || len(u.items) != len(tx.batch) {
			t.Fatalf("%d events and %d rejections of two records", len(tx.batch), len(e.Rejected()))
		}
		if got, ok := tx.batch[0].Headers.Get("key"); len(tx.batch) == 2 && key != nil && (!ok || got != string(key)) {
			t.Errorf("the key is %q instead of %q", got, key)
		}
	})
}

package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// section holds settings, given as key, value, key, value.
func section(t testing.TB, pairs ...string) *conf.Section {
	t.Helper()
	var lines []string
	for i := 0; i < len(pairs); i += 2 {
		lines = append(lines, pairs[i]+" = "+pairs[i+1])
	}
	return flumetest.Section(t, lines...)
}

// newRig makes an environment that a test can look into, and that is shown when the test fails.
func newRig(t testing.TB) *flumetest.Env {
	e := flumetest.NewEnv()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(e.Logged())
		}
	})
	return e
}

func cluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func servers(c *kfake.Cluster) string { return strings.Join(c.ListenAddrs(), ",") }

func start(t testing.TB, r *flumetest.Env, c *kfake.Cluster, pairs ...string) flume.Sink {
	t.Helper()
	plan, problems := Kind.Bind(section(t, append([]string{"kafka.bootstrap.servers", servers(c)}, pairs...)...))
	if problems.Fatal() {
		t.Fatal(problems)
	}
	k, err := plan.Open(t.Context(), r.Env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// consume reads n records of a topic, each partition in its order.
func consume(t *testing.T, c *kfake.Cluster, topic string, n int) []*kgo.Record {
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
			t.Fatalf("%d records of %s after 20 s, want %d", len(out), topic, n)
		}
		out = append(out, f.Records()...)
	}
	// nothing more
	ctx, cancel = context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	return append(out, cl.PollFetches(ctx).Records()...)
}

func ev(body string, headers ...string) flume.Event {
	e := flume.Event{Body: []byte(body)}
	for i := 0; i < len(headers); i += 2 {
		e.Headers = append(e.Headers, flume.Header{Key: headers[i], Value: headers[i+1]})
	}
	return e
}

func values(records []*kgo.Record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = string(r.Value)
	}
	return out
}

func TestSends(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test2", "other"))
	k := start(t, newRig(t), c, "kafka.topic", "test2", "header.h", "K", "timestampHeader", "timestamp")
	b := flume.Batch{
		ev("one", "key", "\x00\x00\x00\x00\x00\x00\x00\x07", "h", "v", "timestamp", "1700000000123"),
		ev("two", "topic", "other"),
		ev("", "key", ""),
		ev("three"),
	}
	if err := k.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	got := consume(t, c, "test2", 3)
	if v := fmt.Sprintf("%q", values(got)); v != `["one" "" "three"]` {
		t.Errorf("values %s", v)
	}
	if r := got[0]; string(r.Key) != "\x00\x00\x00\x00\x00\x00\x00\x07" || r.Timestamp.UnixMilli() != 1700000000123 ||
		len(r.Headers) != 1 || r.Headers[0].Key != "K" || string(r.Headers[0].Value) != "v" {
		t.Errorf("got %+v", r)
	}
	if r := got[1]; r.Key == nil || r.Value == nil || len(r.Headers) != 0 {
		t.Errorf("an empty key and body are not null: %+v", r)
	}
	if r := got[2]; r.Key != nil || time.Since(r.Timestamp) > time.Minute {
		t.Errorf("without a key and timestamp: %+v", r)
	}
	if got := values(consume(t, c, "other", 1)); got[0] != "two" {
		t.Errorf("other: %q", got)
	}
}

func TestRejects(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, "test2", "t-x"))
	r := newRig(t)
	k := start(t, r, c, "kafka.topic", "t-%{x}%Y", "partitionIdHeader", "p", "timestampHeader", "ts", "kafka.producer.max.request.size", "5000")
	b := flume.Batch{
		ev("0", "topic", "test2", "p", "1"),
		ev("1", "topic", "test2", "p", "one"),
		ev("2", "topic", "test2", "p", "-1"),
		ev("3", "topic", "test2", "p", "2"),
		ev("4", "topic", "te st"),
		ev("5", "topic", ""),
		ev("6"),
		ev("7", "timestamp", "soon"),
		ev(strings.Repeat("8", 6000), "topic", "test2"),
		ev("9", "topic", "test2", "ts", "-5"),
		ev("10", "topic", "test2", "ts", "x", "p", "1"),
		ev("11", "topic", "test2", "p", "1"),
	}
	err := k.Deliver(t.Context(), b)
	var partial *flume.PartialError
	if !errors.As(err, &partial) || len(partial.Pending) != 0 {
		t.Fatalf("got %v", err)
	}
	want := map[int]string{
		1: `header "p" is "one"`, 2: `header "p" is "-1"`, 3: "invalid record partitioning choice", 4: `"te st" is no topic`,
		5: "name is empty", 6: `no header "timestamp"`, 7: `"soon"`, 8: "max.request.size, which is 5000", 9: `"ts" is -5`,
	}
	for _, r := range partial.Rejected {
		if w, ok := want[r.Index]; !ok || !strings.Contains(r.Err.Error(), w) {
			t.Errorf("event %d: %v, want %q", r.Index, r.Err, w)
		}
		delete(want, r.Index)
	}
	if len(want) > 0 {
		t.Errorf("not rejected: %v", want)
	}
	if got := strings.Join(values(consume(t, c, "test2", 3)), " "); got != "0 10 11" {
		t.Errorf("delivered %q", got)
	}
	if r.Count("RollbackCount") != 0 {
		t.Error("a rejection is no rollback")
	}
}

//go:build interop

package integration

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A Java producer writes records with a Long as key and a header that is no text, into partitions that its own
// partitioner chooses. Through A and B, key and header stay the same bytes, and the partition is the same again.
func TestBinaryKeys(t *testing.T) {
	if stage.StandIn {
		t.Skip("real Flume takes keys and headers for text")
	}
	const partitions = 5
	count := stage.Count(100_000, 10_000)
	r := flow{
		load: oracle.Load{Run: "keys", Lanes: partitions}, // only for its topics
		editA: func(c harness.Conf) harness.Conf {
			return c.Set(harness.SourceA+"header.bytes", "bin")
		},
		editB: func(c harness.Conf) harness.Conf {
			return c.Set(harness.SinkB+"header.bytes", "bin")
		},
	}.start(t)
	r.watcher.Close()
	out, err := stage.Peers(t, 5*time.Minute, "kafka", "load", "produce", "--topic="+harness.InputTopic, fmt.Sprintf("--count=%d", count),
		"--run=keys", "--size=200", "--long-key", "--binary-header=bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(out)
	sent := read(t, harness.InputTopic, count, time.Minute)
	got := read(t, harness.OutputTopic, count, 2*time.Minute)

	texts := 0
	used := make(map[int32]int)
	byBody := make(map[string]*kgo.Record, count)
	for _, s := range sent {
		byBody[string(s.Value)] = s
		used[s.Partition]++
		if utf8.Valid(s.Key) {
			texts++
		}
	}
	if len(byBody) != count || len(used) != partitions || texts == count {
		t.Fatalf("the load proves nothing: %d different records in %d partitions, %d keys are text", len(byBody), len(used), texts)
	}
	wrong := 0
	for _, g := range got {
		s := byBody[string(g.Value)]
		delete(byBody, string(g.Value))
		if s != nil && bytes.Equal(s.Key, g.Key) && s.Partition == g.Partition && bytes.Equal(header(s, "bin"), header(g, "bin")) {
			continue
		}
		if wrong++; wrong <= 5 {
			t.Errorf("came out: partition %d, key %x, header %x, %.40q; went in: %+v", g.Partition, g.Key, header(g, "bin"), g.Value, s)
		}
	}
	stage.Proof(t, "%d records with Long keys (%d of them no text) and binary headers, from a Java producer into %d partitions: %d missing, %d wrong",
		count, count-texts, partitions, len(byBody), wrong)
	if len(byBody) != 0 || wrong != 0 {
		t.Errorf("%d records missing, %d wrong", len(byBody), wrong)
	}
}

func header(r *kgo.Record, key string) []byte {
	for _, h := range r.Headers {
		if h.Key == key {
			return h.Value
		}
	}
	return nil
}

// read reads a topic until it has count records and for a second more, or until limit.
func read(t *testing.T, topic string, count int, limit time.Duration) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(stage.Broker.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var all []*kgo.Record
	end := time.Now().Add(limit)
	for {
		wait := time.Until(end)
		if len(all) >= count {
			wait = min(wait, time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		fetches := cl.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 && (len(all) >= count || time.Now().After(end)) {
			return all
		}
		all = append(all, fetches.Records()...)
	}
}

package kafka

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-io/sluice/flume"
)

func sender(t testing.TB, c *kfake.Cluster, properties ...string) *Sender {
	t.Helper()
	set, problems := bind(Producer, properties...)
	if problems.Fatal() {
		t.Fatal(problems)
	}
	s, err := set.c.OpenSender(t.Context(), c.ListenAddrs(), "a1-k1", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// deliver sends records, each for the topic named.
func deliver(t *testing.T, s *Sender, topics ...string) error {
	t.Helper()
	b, records := make(flume.Batch, len(topics)), make([]kgo.Record, len(topics))
	for i, topic := range topics {
		records[i] = kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(strconv.Itoa(i))}
	}
	return s.Send(t.Context(), &Place{Partition: -1}, b, records, nil)
}

// What takes little is remembered of a bounded number of topics: headers may name any.
func TestLimitsAreBounded(t *testing.T) {
	const topics = 4
	c := cluster(t)
	for i := range topics {
		if err := c.CreateTopic(fmt.Sprint("small", i), 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
			t.Fatal(err)
		}
	}
	s := sender(t, c)
	for i := range topics { // records for a topic that is not known yet are sent in parts as soon as it is
		if err := deliver(t, s, fmt.Sprint("small", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.limits = map[string]int{}
	for i := range mostLimits - 2 {
		s.limits[fmt.Sprint("gone", i)] = 1
	}
	for i := range topics {
		many := make([]string, 400)
		for n := range many {
			many[n] = fmt.Sprint("small", i)
		}
		if err := deliver(t, s, many...); err != nil {
			t.Fatal(err)
		}
		if n := len(s.limits); n > mostLimits {
			t.Errorf("%d topics are remembered", n)
		}
	}
	if len(s.limits) != 2 || s.limits["small3"] != 2000 {
		t.Errorf("%d topics are remembered, small3 with %d", len(s.limits), s.limits["small3"])
	}
}

// When a part of a topic's events was not acknowledged, those behind do not overtake it; other topics go on.
func TestRoundsKeepTheOrder(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "small", "big"))
	s := sender(t, c, "delivery.timeout.ms", "1000")
	s.limits = map[string]int{"small": 1}
	if err := deliver(t, s, "small", "big"); err != nil {
		t.Fatal(err)
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "small", Err: kerr.InvalidRequiredAcks, Count: 1})
	var partial *flume.PartialError
	if err := deliver(t, s, "small", "small", "big", "small"); !errors.As(err, &partial) || len(partial.Rejected) > 0 || fmt.Sprint(partial.Pending) != "[0 1 3]" {
		t.Errorf("got %v, %+v", err, partial)
	}
}

// A batch is done when its own records are acknowledged, whatever others have under way.
func TestSideBySide(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "stuck", "goes"))
	s := sender(t, c, "delivery.timeout.ms", "60000")
	if err := deliver(t, s, "stuck", "goes"); err != nil {
		t.Fatal(err)
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "stuck", Err: kerr.NotEnoughReplicas, Count: -1})
	var all sync.WaitGroup
	all.Go(func() {
		if err := deliver(t, s, "stuck"); err == nil {
			t.Error("delivered though the broker refuses")
		}
	})
	begin := time.Now()
	for range 50 {
		if err := deliver(t, s, "goes", "goes"); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	s.Close()
	all.Wait()
}

package kafka

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-io/sluice/flume"
)

// What one topic takes is no measure for the others.
func TestATopicThatTakesLittleDoesNotSlowTheOthersDown(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "big"))
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	most := "2000"
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &most}, "small"); err != nil {
		t.Fatal(err)
	}
	var produced atomic.Int64
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		produced.Add(1)
		return nil, nil, false
	})
	r := newRig(t)
	k := start(t, r, c)
	big := func() (int64, time.Duration) {
		var b flume.Batch
		for range 1000 {
			b = append(b, ev(strings.Repeat("x", 500), "topic", "big"))
		}
		before, from := produced.Load(), time.Now()
		if err := k.Deliver(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return produced.Load() - before, time.Since(from)
	}
	n, took := big()
	t.Log("before:", n, "requests in", took)
	var b flume.Batch
	for range 40 {
		b = append(b, ev(strings.Repeat("x", 200), "topic", "small"))
	}
	if err := k.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	n, took = big()
	t.Log("after:", n, "requests in", took)
	if n > 10 {
		t.Errorf("1000 events for topic big take %d requests, because topic small takes little", n)
	}
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
	k, ok := start(t, newRig(t), c).(*sink)
	if !ok {
		t.Fatal("another sink")
	}
	for i := range topics { // records for a topic that is not known yet are sent in parts as soon as it is
		if err := k.Deliver(t.Context(), numbered(0, 1, "topic", fmt.Sprint("small", i))); err != nil {
			t.Fatal(err)
		}
	}
	k.limits = map[string]int{}
	for i := range mostLimits - 2 {
		k.limits[fmt.Sprint("gone", i)] = 1
	}
	for i := range topics {
		if err := k.Deliver(t.Context(), numbered(0, 400, "topic", fmt.Sprint("small", i), "key", "k")); err != nil {
			t.Fatal(err)
		}
		if n := len(k.limits); n > mostLimits {
			t.Errorf("%d topics are remembered", n)
		}
	}
	if len(k.limits) != 2 || k.limits["small3"] != 2000 {
		t.Errorf("%d topics are remembered, small3 with %d", len(k.limits), k.limits["small3"])
	}
}

// When a part of a topic's events was not acknowledged, those behind do not overtake it; other topics go on.
func TestRoundsKeepTheOrder(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "small", "big"))
	k, ok := start(t, newRig(t), c, "kafka.producer.delivery.timeout.ms", "1000").(*sink)
	if !ok {
		t.Fatal("another sink")
	}
	k.limits = map[string]int{"small": 1}
	if err := k.Deliver(t.Context(), flume.Batch{ev("first", "topic", "small"), ev("first", "topic", "big")}); err != nil {
		t.Fatal(err)
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "small", Err: kerr.InvalidRequiredAcks, Count: 1})
	b := flume.Batch{ev("1", "topic", "small"), ev("2", "topic", "small"), ev("3", "topic", "big"), ev("4", "topic", "small")}
	var partial *flume.PartialError
	if err := k.Deliver(t.Context(), b); !errors.As(err, &partial) || len(partial.Rejected) > 0 || fmt.Sprint(partial.Pending) != "[0 1 3]" {
		t.Errorf("got %v, %+v", err, partial)
	}
}

package kafka

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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

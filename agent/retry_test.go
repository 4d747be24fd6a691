package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
)

// poison is a sink that takes a batch or none of it: none where one of the events is bad.
func poison(got *collector, calls *ledger[string], down func() bool) func(context.Context, flume.Batch) error {
	return func(_ context.Context, b flume.Batch) error {
		calls.note(bodies(b))
		if down != nil && down() {
			return errors.New("connection refused")
		}
		for _, e := range b {
			if strings.HasPrefix(string(e.Body), "bad") {
				return errors.New("it is bad")
			}
		}
		got.add(b)
		return nil
	}
}

func TestAfterItsRetriesOnlyTheEventsThatFailBecomeDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		var calls ledger[string]
		kit, opened := oneSink(poison(&got, &calls, nil))
		a, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.retry.max = 2
			a1.sinks.k1.retry.then = deadletter`)
		fill(t, opened["c1"], events("a b bad1 c d e bad2 f"))
		synctest.Wait()
		fill(t, opened["c1"], events("g"))
		pass(10 * time.Second)
		if got.bodies() != "a b c d e f g" {
			t.Errorf("delivered %q", got.bodies())
		}
		if got := letterBodies(t, a); got != "bad1 bad2" {
			t.Errorf("the dead letters hold %q", got)
		}
		whole := "a b bad1 c d e bad2 f"
		if first := calls.list(); !slices.Equal(first[:4], []string{whole, whole, whole, "a b bad1 c"}) {
			t.Errorf("delivered in the order %q", first)
		}
		want(t, a, "SINK.k1", "RejectedCount", 2)
		want(t, a, "SINK.k1", "RetryExhaustedCount", 8)
		want(t, a, "SINK.k1", "EventDrainSuccessCount", 7)
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 9)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if left := opened["c1"].bodies(); left != "" {
			t.Errorf("left %q", left)
		}
	})
}

func TestALetterSaysHowOftenItsEventWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		var calls ledger[string]
		kit, opened := oneSink(poison(&got, &calls, nil))
		var log logBuffer
		_, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.retry.max = 4
			a1.sinks.k1.retry.then = deadletter`, log.use)
		fill(t, opened["c1"], events("bad"))
		pass(time.Minute)
		if n := len(calls.list()); n != 5 {
			t.Errorf("delivered %d times", n)
		}
		if log.count("given up after 5 deliveries: it is bad") != 1 {
			t.Errorf("the log is\n%s", &log)
		}
		_ = stop()
	})
}

func TestABudgetEndsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		var calls ledger[string]
		kit, opened := oneSink(poison(&got, &calls, nil))
		a, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.retry.budget = 60
			a1.sinks.k1.retry.then = deadletter`)
		fill(t, opened["c1"], events("bad"))
		pass(55 * time.Second)
		if got := letterBodies(t, a); got != "" {
			t.Errorf("the dead letters hold %q too early", got)
		}
		pass(15 * time.Second)
		if got := letterBodies(t, a); got != "bad" {
			t.Errorf("the dead letters hold %q", got)
		}
		_ = stop()
	})
}

func TestABudgetThatBlocksIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		var calls ledger[string]
		kit, opened := oneSink(poison(&got, &calls, nil))
		a, stop := start(t, kit, drained+"a1.channels.c1.durable = true\na1.sinks.k1.retry.budget = 10")
		fill(t, opened["c1"], events("bad a"))
		pass(time.Minute)
		want(t, a, "SINK.k1", "RetryExhaustedCount", 2)
		_ = stop()
	})
}

func TestRetriesBlockUnlessToldOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		var calls ledger[string]
		var down atomic.Bool
		down.Store(true)
		kit, opened := oneSink(poison(&got, &calls, down.Load))
		var log logBuffer
		a, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.retry.max = 3
			a1.sinks.k1.retry.backoff = 1000
			a1.sinks.k1.retry.backoff.max = 2000`, log.use)
		fill(t, opened["c1"], events("a b"))
		pass(time.Minute)
		if n := len(calls.list()); n < 25 || n > 45 {
			t.Errorf("delivered %d times in a minute", n)
		}
		if log.count("level=ERROR msg=\"events have been delivered again as often as they may") != 1 {
			t.Errorf("the log is\n%s", &log)
		}
		want(t, a, "SINK.k1", "RetryExhaustedCount", 2)
		down.Store(false)
		pass(3 * time.Second)
		if got.bodies() != "a b" {
			t.Errorf("delivered %q", got.bodies())
		}
		want(t, a, "SINK.k1", "RejectedCount", 0)
		_ = stop()
	})
}

func TestStoppingPutsWhatIsTakenApartBackInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		var calls ledger[string]
		kit, opened := oneSink(poison(&got, &calls, func() bool { return true }))
		a, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.retry.max = 0
			a1.sinks.k1.retry.backoff = 10000
			a1.sinks.k1.retry.backoff.max = 10000
			a1.sinks.k1.retry.then = deadletter`)
		fill(t, opened["c1"], events("a b c d e f"))
		pass(21 * time.Second) // the batch, then "a b c", then maybe "a", which becomes a letter, and "b c"
		fill(t, opened["c1"], events("g"))
		if err := stop(); err != nil {
			t.Error(err)
		}
		if all := strings.TrimSpace(letterBodies(t, a) + " " + opened["c1"].bodies()); all != "a b c d e f g" || opened["c1"].bodies() == "g" {
			t.Errorf("dead letters and what is left are %q after %q", all, calls.list())
		}
	})
}

func TestPendingEventsInOrderAreCountedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		kit, opened := oneSink(func(_ context.Context, b flume.Batch) error { // one event after the other, as the http sink
			for i := range b {
				if string(b[i].Body) == "bad" {
					p := &flume.PartialError{InOrder: true, Err: errors.New("no")}
					for n := i; n < len(b); n++ {
						p.Pending = append(p.Pending, n)
					}
					return p
				}
				got.add(b[i : i+1])
			}
			return nil
		})
		a, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.retry.max = 1
			a1.sinks.k1.retry.then = deadletter`)
		fill(t, opened["c1"], events("a bad b c bad d"))
		pass(time.Minute)
		if got.bodies() != "a b c d" || letterBodies(t, a) != "bad bad" {
			t.Errorf("delivered %q, dead letters %q", got.bodies(), letterBodies(t, a))
		}
		_ = stop()
	})
}

func TestPendingEventsAsideAreCountedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		kit, opened := oneSink(func(_ context.Context, b flume.Batch) error {
			p := &flume.PartialError{Err: errors.New("no")}
			for i := range b {
				if string(b[i].Body) == "bad" {
					p.Pending = append(p.Pending, i)
				} else {
					got.add(b[i : i+1])
				}
			}
			if p.Pending != nil {
				return p
			}
			return nil
		})
		a, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.retry.max = 3
			a1.sinks.k1.retry.then = deadletter`)
		fill(t, opened["c1"], events("a bad b bad c"))
		pass(time.Minute)
		if got.bodies() != "a b c" || letterBodies(t, a) != "bad bad" {
			t.Errorf("delivered %q, dead letters %q", got.bodies(), letterBodies(t, a))
		}
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 5)
		_ = stop()
	})
}

// Rejections while the dead letters are full, and retries: nothing is lost, nothing is doubled.
func TestRetriesWaitForRoomAmongTheDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		var calls ledger[string]
		kit, opened := oneSink(poison(&got, &calls, nil))
		a, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.retry.max = 1
			a1.sinks.k1.retry.then = deadletter`, func(o *Options) { o.Property = properties("sluice.deadletter.bytes", "10") })
		fill(t, opened["c1"], events("bad a"))
		pass(time.Minute)
		want(t, a, "SINK.k1", "RejectedCount", 0)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if left := opened["c1"].bodies(); left != "bad a" {
			t.Errorf("left %q, delivered %q", left, got.bodies())
		}
	})
}

func TestRetrySettings(t *testing.T) {
	for lines, text := range map[string]string{
		"a1.sinks.k1.retry.max = many":                                     `a1.sinks.k1.retry.max: "many" is not a number`,
		"a1.sinks.k1.retry.mx = 3":                                         `a1.sinks.k1.retry.mx: is not a setting; did you mean "max"?`,
		"a1.sinks.k1.retry.then = drop":                                    `a1.sinks.k1.retry.then: "drop" is not one of block, deadletter`,
		"a1.sinks.k1.retry.then = deadletter":                              "a1.sinks.k1.retry.then: does nothing without retry.max or retry.budget",
		"a1.sinks.k1.retry.backoff = 9\na1.sinks.k1.retry.backoff.max = 5": "a1.sinks.k1.retry.backoff.max: is 5 and must not be less than backoff, which is 9",
	} {
		kit, _ := oneSink(nil)
		_, problems := New(file(t, "f.conf", drained+lines).Agents[0], Options{Kit: kit})
		if !strings.Contains(problems.String(), text) {
			t.Errorf("%s says\n%s", lines, problems)
		}
	}
	kit, _ := oneSink(nil)
	kit.SinkProcessors = []flume.Kind[flume.SinkProcessor]{processorKind("test", nil)}
	_, problems := New(file(t, "f.conf", drained+`
		a1.sinks = k1 k2
		a1.sinks.k2.type = test
		a1.sinks.k2.channel = c1
		a1.sinks.k2.retry.max = 3
		a1.sinkgroups = g1
		a1.sinkgroups.g1.sinks = k1 k2
		a1.sinkgroups.g1.processor.type = test`).Agents[0], Options{Kit: kit})
	if !strings.Contains(problems.String(), "a1.sinks.k2.retry.max: does nothing for a sink of a group") {
		t.Error(fmt.Sprint(problems))
	}
}

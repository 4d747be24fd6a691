package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
)

// oneSink is a kit whose sink does what deliver says, and whose memory channel c1 the returned map shows.
func oneSink(deliver func(ctx context.Context, b flume.Batch) error) (Kit, map[string]*memory) {
	opened := map[string]*memory{}
	return Kit{
		Channels: []flume.Kind[flume.Channel]{memoryKind(opened)},
		Sinks: []flume.Kind[flume.Sink]{sinkKind("test", func(flume.Env) (flume.Sink, error) {
			return fakeSink{deliver: deliver}, nil
		})},
	}, opened
}

const drained = `
	a1.channels = c1
	a1.sinks = k1
	a1.channels.c1.type = memory
	a1.sinks.k1.type = test
	a1.sinks.k1.channel = c1
`

func fill(t *testing.T, m *memory, b flume.Batch) {
	t.Helper()
	tx, err := m.Put(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func counter(t *testing.T, a *Agent, key, attribute string) int64 {
	t.Helper()
	for _, c := range a.Stats().Components() {
		if c.Key() == key {
			return c.Value(attribute)
		}
	}
	t.Fatalf("no counters of %s", key)
	return 0
}

func want(t *testing.T, a *Agent, key, attribute string, n int64) {
	t.Helper()
	if got := counter(t, a, key, attribute); got != n {
		t.Errorf("%s %s = %d, want %d", key, attribute, got, n)
	}
}

func TestASinkTakesWhatHasArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes ledger[int]
		kit, opened := oneSink(func(_ context.Context, b flume.Batch) error {
			sizes.note(len(b))
			return nil
		})
		a, stop := start(t, kit, drained+"a1.sinks.k1.batchSize = 20")
		fill(t, opened["c1"], numbered(0, 100))
		synctest.Wait()
		fill(t, opened["c1"], numbered(0, 3))
		synctest.Wait()
		if !slices.Equal(sizes.list(), []int{100, 3}) {
			t.Errorf("batches of %v", sizes.list())
		}
		want(t, a, "SINK.k1", "BatchCompleteCount", 1)
		want(t, a, "SINK.k1", "BatchUnderflowCount", 1)
		want(t, a, "SINK.k1", "EventDrainAttemptCount", 103)
		want(t, a, "SINK.k1", "EventDrainSuccessCount", 103)
		want(t, a, "CHANNEL.c1", "EventTakeAttemptCount", 103)
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 103)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestASinkKeepsToItsBatchSizeWhenAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes ledger[int]
		kit, opened := oneSink(func(_ context.Context, b flume.Batch) error {
			sizes.note(len(b))
			return nil
		})
		_, stop := start(t, kit, drained+"a1.sinks.k1.batchSize = 40",
			func(o *Options) { o.Property = properties("sluice.adaptive.batches", "false") })
		fill(t, opened["c1"], numbered(0, 100))
		synctest.Wait()
		if !slices.Equal(sizes.list(), []int{40, 40, 20}) {
			t.Errorf("batches of %v", sizes.list())
		}
		_ = stop()
	})
}

func TestAFailedDeliveryIsRepeatedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		var got collector
		var noted ledger[time.Time]
		var fine atomic.Bool
		kit, opened := oneSink(func(_ context.Context, b flume.Batch) error {
			n := noted.note(time.Now())
			if !fine.Load() {
				return fmt.Errorf("connecting from port %d: refused", 40000+n)
			}
			got.add(b)
			return nil
		})
		a, stop := start(t, kit, drained, log.use)
		fill(t, opened["c1"], events("a b"))
		synctest.Wait()
		fill(t, opened["c1"], events("c"))
		pass(50 * time.Second)
		times := noted.list()
		if n := len(times); n < 12 || n > 25 {
			t.Errorf("%d attempts in 50 s", n)
		}
		if first := times[1].Sub(times[0]); first < 75*time.Millisecond || first > 125*time.Millisecond {
			t.Errorf("the second attempt came after %v", first)
		}
		if last := times[len(times)-1].Sub(times[len(times)-2]); last < 3750*time.Millisecond || last > 6250*time.Millisecond {
			t.Errorf("the last attempt came after %v", last)
		}
		if n := log.count("events cannot be delivered"); n != 1 {
			t.Errorf("said %d times, want once:\n%s", n, &log)
		}
		if !strings.Contains(log.String(), `sink=k1`) || !strings.Contains(log.String(), "retry=") {
			t.Errorf("not all is said:\n%s", &log)
		}
		pass(20 * time.Second)
		if n := log.count("events cannot be delivered"); n != 2 || log.count("failures=") != 1 {
			t.Errorf("after a minute said %d times, want twice:\n%s", n, &log)
		}
		fine.Store(true)
		pass(7 * time.Second)
		if got.bodies() != "a b c" {
			t.Errorf("delivered %q", got.bodies())
		}
		if log.count("events are delivered again") != 1 {
			t.Errorf("the end is not said:\n%s", &log)
		}
		want(t, a, "SINK.k1", "EventWriteFail", int64(len(noted.list())-1))
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 3)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRejectedEventsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kit, opened := oneSink(func(context.Context, flume.Batch) error {
			return fmt.Errorf("wrapped: %w", &flume.PartialError{Rejected: []flume.Rejected{{Index: 1, Err: errors.New("too large")}}})
		})
		var log logBuffer
		a, stop := start(t, kit, drained, log.use)
		fill(t, opened["c1"], events("a b c"))
		synctest.Wait()
		if got := letterBodies(t, a); got != "b" {
			t.Errorf("the dead letters hold %q", got)
		}
		if log.count("a1.sinks.k1 rejects events, which are kept as dead letters in ") != 1 || log.count("too large") != 1 {
			t.Errorf("what is rejected, and why, is not said once:\n%s", &log)
		}
		want(t, a, "SINK.k1", "RejectedCount", 1)
		want(t, a, "SINK.k1", "EventDrainSuccessCount", 2)
		want(t, a, "SINK.k1", "EventWriteFail", 0)
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 3)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRejectedEventsThatCannotBeKeptStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		kit, opened := oneSink(func(_ context.Context, b flume.Batch) error {
			partial := &flume.PartialError{}
			for i, e := range b {
				if string(e.Body) == "bad" {
					partial.Rejected = append(partial.Rejected, flume.Rejected{Index: i, Err: errors.New("it is bad")})
				} else {
					got.add(b[i : i+1])
				}
			}
			if partial.Rejected != nil {
				return partial
			}
			return nil
		})
		a, stop := start(t, kit, drained+"a1.channels.c1.durable = true",
			func(o *Options) { o.Property = properties("sluice.deadletter.bytes", "10") })
		fill(t, opened["c1"], events("a bad c"))
		synctest.Wait()
		fill(t, opened["c1"], events("d"))
		pass(time.Minute)
		if got.bodies() != "a c d" {
			t.Errorf("delivered %q", got.bodies())
		}
		if got := opened["c1"].bodies(); got != "bad" {
			t.Errorf("the channel holds %q", got)
		}
		want(t, a, "SINK.k1", "RejectedCount", 0)
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 3)
		_ = stop()
	})
}

func TestPendingEventsInOrderGoBackToTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		var room atomic.Int64
		room.Store(2)
		kit, opened := oneSink(func(_ context.Context, b flume.Batch) error {
			n := min(int(room.Load()), len(b))
			got.add(b[:n])
			if n == len(b) {
				return nil
			}
			partial := &flume.PartialError{InOrder: true, Err: errors.New("no room")}
			for i := n; i < len(b); i++ {
				partial.Pending = append(partial.Pending, i)
			}
			return partial
		})
		a, stop := start(t, kit, drained)
		fill(t, opened["c1"], events("a b c d e"))
		synctest.Wait()
		if got := opened["c1"].bodies(); got != "c d e" {
			t.Errorf("the channel holds %q", got)
		}
		room.Store(0) // nothing at all is delivered: the whole batch goes back
		pass(10 * time.Second)
		room.Store(2)
		pass(time.Minute)
		if got.bodies() != "a b c d e" {
			t.Errorf("delivered %q", got.bodies())
		}
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 5)
		want(t, a, "SINK.k1", "EventDrainSuccessCount", 5)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// moody is a sink that cannot deliver some events, given by their bodies, for a while.
type moody struct {
	collector
	mu   sync.Mutex
	down map[string]bool
}

func (m *moody) deliver(_ context.Context, b flume.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	partial := &flume.PartialError{Err: errors.New("some are down")}
	for i, e := range b {
		if m.down[string(e.Body)] {
			partial.Pending = append(partial.Pending, i)
		} else {
			m.add(b[i : i+1])
		}
	}
	if partial.Pending != nil {
		return partial
	}
	return nil
}

func (m *moody) set(down ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = map[string]bool{}
	for _, d := range down {
		m.down[d] = true
	}
}

func TestPendingEventsWaitAsideWhileTheFlowGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m moody
		m.set("b", "d")
		kit, opened := oneSink(m.deliver)
		a, stop := start(t, kit, drained)
		fill(t, opened["c1"], events("a b c"))
		synctest.Wait()
		fill(t, opened["c1"], events("d")) // a batch of which all is pending
		synctest.Wait()
		fill(t, opened["c1"], events("e"))
		synctest.Wait()
		if m.bodies() != "a c e" {
			t.Fatalf("delivered %q", m.bodies())
		}
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 3)
		pass(10 * time.Second)
		m.set("d")
		pass(7 * time.Second) // nothing else arrives: the sink wakes by itself
		if m.bodies() != "a c e b" {
			t.Fatalf("delivered %q", m.bodies())
		}
		m.set()
		pass(7 * time.Second)
		if m.bodies() != "a c e b d" {
			t.Fatalf("delivered %q", m.bodies())
		}
		want(t, a, "SINK.k1", "EventDrainSuccessCount", 5)
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 5)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestASinkWaitsWhenTooManyEventsArePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m moody
		m.set("x")
		kit, opened := oneSink(m.deliver)
		_, stop := start(t, kit, drained+"a1.channels.c1.transactionCapacity = 3")
		fill(t, opened["c1"], events("x x x a"))
		pass(30 * time.Second)
		if m.bodies() != "" || opened["c1"].bodies() != "a" {
			t.Fatalf("delivered %q, in the channel %q", m.bodies(), opened["c1"].bodies())
		}
		m.set()
		pass(7 * time.Second)
		if m.bodies() != "x x x a" {
			t.Errorf("delivered %q", m.bodies())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStoppingDeliversWhatWaitsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m moody
		m.set("b")
		kit, opened := oneSink(m.deliver)
		_, stop := start(t, kit, drained)
		fill(t, opened["c1"], events("a b c"))
		pass(20 * time.Second)
		go func() {
			time.Sleep(2 * time.Second)
			m.set()
		}()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if m.bodies() != "a c b" {
			t.Errorf("delivered %q", m.bodies())
		}
	})
}

func TestStoppingPutsWhatWaitsAsideBackIntoADurableChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m moody
		m.set("b", "d")
		kit, opened := oneSink(m.deliver)
		_, stop := start(t, kit, drained+"a1.channels.c1.durable = true")
		fill(t, opened["c1"], events("a b c"))
		synctest.Wait()
		fill(t, opened["c1"], events("d"))
		synctest.Wait()
		from := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if time.Since(from) > 0 {
			t.Errorf("stopping took %v", time.Since(from))
		}
		if got := opened["c1"].bodies(); got != "b d" {
			t.Errorf("the channel holds %q", got)
		}
	})
}

func TestASinkThatNamesWrongEventsLosesNothing(t *testing.T) {
	for name, partial := range map[string]*flume.PartialError{
		"beyond the batch": {Rejected: []flume.Rejected{{Index: 2, Err: errors.New("x")}}},
		"before the batch": {Pending: []int{-1}},
		"twice":            {Rejected: []flume.Rejected{{Index: 0, Err: errors.New("x")}}, Pending: []int{0}},
		"out of order":     {Pending: []int{1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logBuffer
				kit, opened := oneSink(func(context.Context, flume.Batch) error { return partial })
				a, stop := start(t, kit, drained+"a1.channels.c1.durable = true", log.use)
				fill(t, opened["c1"], events("a b"))
				time.Sleep(5 * time.Second)
				_ = stop()
				if got := opened["c1"].bodies(); got != "a b" {
					t.Errorf("the channel holds %q", got)
				}
				want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 0)
				if log.count("BUG while settling what sink k1 has delivered") != 1 {
					t.Errorf("not said:\n%s", &log)
				}
			})
		})
	}
}

func TestASinkThatPanicsIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		var got collector
		var opens, closes atomic.Int64
		opened := map[string]*memory{}
		kit := Kit{Channels: []flume.Kind[flume.Channel]{memoryKind(opened)},
			Sinks: []flume.Kind[flume.Sink]{sinkKind("test", func(flume.Env) (flume.Sink, error) {
				mad := opens.Add(1) == 1
				return fakeSink{close: func() error { closes.Add(1); return nil }, deliver: func(_ context.Context, b flume.Batch) error {
					if mad {
						panic("out of my mind")
					}
					got.add(b)
					return nil
				}}, nil
			})}}
		a, stop := start(t, kit, drained, log.use)
		fill(t, opened["c1"], events("a b"))
		pass(2 * time.Second)
		if got.bodies() != "" || closes.Load() != 1 {
			t.Errorf("delivered %q, closed %d times", got.bodies(), closes.Load())
		}
		pass(2 * time.Second)
		if got.bodies() != "a b" || opens.Load() != 2 {
			t.Errorf("delivered %q, opened %d times", got.bodies(), opens.Load())
		}
		if !strings.Contains(log.String(), "BUG while delivering to sink k1") || !strings.Contains(log.String(), "drain_test.go") {
			t.Errorf("not said with its stack:\n%s", &log)
		}
		want(t, a, "CHANNEL.c1", "EventTakeSuccessCount", 2)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if closes.Load() != 2 {
			t.Errorf("closed %d times", closes.Load())
		}
	})
}

func TestAChannelThatCannotBeReadIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		kit, _ := oneSink(func(context.Context, flume.Batch) error { return nil })
		a, stop := start(t, kit, drained+"a1.channels.c1.fail = take", log.use)
		pass(time.Second)
		if n := counter(t, a, "SINK.k1", "ChannelReadFail"); n < 2 {
			t.Errorf("%d failures", n)
		}
		if log.count("taking events from channel c1: take is out of order") != 1 {
			t.Errorf("want it said once:\n%s", &log)
		}
		_ = stop()
	})
}

// failover delivers with the first sink that can.
func failover(ctx context.Context, group []flume.Drain) error {
	var err error
	for _, d := range group {
		if err = d.Once(ctx); err == nil || errors.Is(err, flume.ErrEmpty) {
			return err
		}
	}
	return err
}

func twoSinks(log *logBuffer, first, second func(ctx context.Context, b flume.Batch) error) (Kit, map[string]*memory) {
	opened := map[string]*memory{}
	return Kit{
		Channels: []flume.Kind[flume.Channel]{memoryKind(opened)},
		Sinks: []flume.Kind[flume.Sink]{
			sinkKind("one", func(flume.Env) (flume.Sink, error) { return fakeSink{deliver: first}, nil }),
			sinkKind("two", func(flume.Env) (flume.Sink, error) { return fakeSink{deliver: second}, nil }),
		},
		SinkProcessors: []flume.Kind[flume.SinkProcessor]{processorKind("failover", failover)},
	}, opened
}

const grouped = `
	a1.channels = c1 c2
	a1.sinks = k1 k2
	a1.sinkgroups = g1
	a1.channels.c1.type = memory
	a1.channels.c2.type = memory
	a1.sinks.k1.type = one
	a1.sinks.k1.channel = c1
	a1.sinks.k2.type = two
	a1.sinkgroups.g1.sinks = k1 k2
	a1.sinkgroups.g1.processor.type = failover
`

func TestAGroupGoesOnWithAnotherSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		var got collector
		kit, opened := twoSinks(&log,
			func(context.Context, flume.Batch) error { return errors.New("the first is down") },
			func(_ context.Context, b flume.Batch) error { got.add(b); return nil })
		a, stop := start(t, kit, grouped+"a1.sinks.k2.channel = c1", log.use)
		for i := range 3 {
			fill(t, opened["c1"], numbered(i, i+1))
			synctest.Wait()
		}
		if got.bodies() != "0 1 2" {
			t.Errorf("delivered %q", got.bodies())
		}
		if log.count("sink k1 of group g1 does not deliver") != 1 {
			t.Errorf("want it said once:\n%s", &log)
		}
		want(t, a, "SINK.k1", "EventWriteFail", 3)
		want(t, a, "SINK.k2", "EventDrainSuccessCount", 3)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAGroupReturnsWhatOneSinkCouldNotDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var one moody
		var two collector
		var log logBuffer
		one.set("b")
		kit, opened := twoSinks(&log, one.deliver, func(_ context.Context, b flume.Batch) error { two.add(b); return nil })
		_, stop := start(t, kit, grouped+"a1.sinks.k2.channel = c1")
		fill(t, opened["c1"], events("a b c"))
		synctest.Wait()
		if one.bodies() != "a c" || two.bodies() != "b" {
			t.Errorf("delivered %q and %q", one.bodies(), two.bodies())
		}
		_ = stop()
	})
}

func TestAGroupOverTwoChannelsWaitsForAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var one, two collector
		var log logBuffer
		kit, opened := twoSinks(&log,
			func(_ context.Context, b flume.Batch) error { one.add(b); return nil },
			func(_ context.Context, b flume.Batch) error { two.add(b); return nil })
		var rounds atomic.Int64
		kit.SinkProcessors = []flume.Kind[flume.SinkProcessor]{processorKind("failover", func(ctx context.Context, group []flume.Drain) error {
			err := group[int(rounds.Add(1))%len(group)].Once(ctx) // as load_balance
			return err
		})}
		_, stop := start(t, kit, grouped+"a1.sinks.k2.channel = c2")
		pass(time.Hour)
		if rounds.Load() > 10 {
			t.Fatalf("%d rounds while there was nothing to do", rounds.Load())
		}
		fill(t, opened["c2"], events("a"))
		synctest.Wait()
		fill(t, opened["c1"], events("b"))
		synctest.Wait()
		fill(t, opened["c2"], events("c"))
		synctest.Wait()
		if one.bodies() != "b" || two.bodies() != "a c" {
			t.Errorf("delivered %q and %q", one.bodies(), two.bodies())
		}
		if rounds.Load() > 30 {
			t.Errorf("%d rounds for three events", rounds.Load())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, m := range opened {
			if m.held != 0 {
				t.Errorf("%d events are still taken", m.held)
			}
		}
	})
}

// A standby sink of a group with a channel of its own keeps its events while the active one has nothing to do.
func TestAGroupOverTwoChannelsDoesNotSpinForAStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var one collector
		var log logBuffer
		var rounds atomic.Int64
		kit, opened := twoSinks(&log,
			func(_ context.Context, b flume.Batch) error { one.add(b); return nil },
			func(context.Context, flume.Batch) error { t.Error("the standby delivered"); return nil })
		kit.SinkProcessors = []flume.Kind[flume.SinkProcessor]{processorKind("failover", func(ctx context.Context, group []flume.Drain) error {
			rounds.Add(1)
			return failover(ctx, group[:1])
		})}
		_, stop := start(t, kit, grouped+`a1.sinks.k2.channel = c2
			a1.channels.c2.durable = true`)
		fill(t, opened["c2"], events("x y"))
		pass(time.Hour)
		fill(t, opened["c1"], events("a"))
		synctest.Wait()
		if one.bodies() != "a" {
			t.Errorf("delivered %q", one.bodies())
		}
		if rounds.Load() > 20 {
			t.Errorf("%d rounds", rounds.Load())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := opened["c2"].bodies(); got != "x y" {
			t.Errorf("the standby's channel holds %q", got)
		}
	})
}

// At a stop what is in memory waits for a sink that is not open, as long as there is patience, though another sink of the
// group is open and has nothing to do.
func TestAGroupOverTwoChannelsWaitsForASinkThatIsNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var one, two collector
		var log logBuffer
		kit, opened := twoSinks(&log, nil, func(_ context.Context, b flume.Batch) error { two.add(b); return nil })
		tries := 0
		kit.Sinks[0] = sinkKind("one", func(flume.Env) (flume.Sink, error) {
			if tries++; tries < 4 {
				return nil, errors.New("nobody there")
			}
			return fakeSink{deliver: func(_ context.Context, b flume.Batch) error { one.add(b); return nil }}, nil
		})
		_, stop := start(t, kit, grouped+"a1.sinks.k2.channel = c2")
		pass(time.Second)
		fill(t, opened["c1"], events("a b"))
		fill(t, opened["c2"], events("c"))
		pass(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if one.bodies() != "a b" || two.bodies() != "c" {
			t.Errorf("delivered %q and %q", one.bodies(), two.bodies())
		}
	})
}

// A round that waits is ended by a sink that has come, which is not the end of the agent.
func TestARoundIsToldThatTheGroupHasChanged(t *testing.T) {
	soft, stop := context.WithCancel(t.Context())
	hard, end := context.WithCancel(t.Context())
	defer end()
	defer stop()
	c := &channelPart{}
	r := newRunner(&groupPart{sinks: []*sinkPart{{channel: c}}}, slog.New(slog.DiscardHandler), hard)
	_, round := r.open(soft)
	r.publish(0, nil, nil)
	if !errors.Is(context.Cause(round), errChanged) {
		t.Errorf("the round has ended by %v", context.Cause(round))
	}
	_, round = r.open(soft)
	if stop(); !errors.Is(context.Cause(round), context.Canceled) {
		t.Errorf("at the end by %v", context.Cause(round))
	}
}

// A processor that leaves a sink out for a time is asked again when that is over, though no event has come.
func TestAGroupOverTwoChannelsComesBackToASinkThatWasLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var one, two collector
		var log logBuffer
		began := time.Now()
		back := began.Add(20 * time.Second)
		kit, opened := twoSinks(&log,
			func(_ context.Context, b flume.Batch) error { one.add(b); return nil },
			func(_ context.Context, b flume.Batch) error { two.add(b); return nil })
		rounds := 0
		kit.SinkProcessors = []flume.Kind[flume.SinkProcessor]{processorKind("failover", func(ctx context.Context, group []flume.Drain) error {
			rounds++
			if time.Now().Before(back) {
				if err := group[1].Once(ctx); !errors.Is(err, flume.ErrEmpty) {
					return err
				}
				return &flume.EmptyUntil{Time: back}
			}
			return failover(ctx, group)
		})}
		_, stop := start(t, kit, grouped+"a1.sinks.k2.channel = c2")
		fill(t, opened["c1"], events("a"))
		pass(10 * time.Second)
		fill(t, opened["c2"], events("b")) // the other one is not held up meanwhile
		synctest.Wait()
		if one.bodies() != "" || two.bodies() != "b" {
			t.Errorf("delivered %q and %q while the first is left out", one.bodies(), two.bodies())
		}
		pass(11 * time.Second)
		if one.bodies() != "a" {
			t.Errorf("delivered %q", one.bodies())
		}
		if rounds > 20 {
			t.Errorf("%d rounds", rounds)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
)

const oneFlow = `
	a1.channels = c1
	a1.sources = s1
	a1.sinks = k1
	a1.channels.c1.type = memory
	a1.sources.s1.type = test
	a1.sources.s1.channels = c1
	a1.sinks.k1.type = test
	a1.sinks.k1.channel = c1
`

// flow is a kit of one source and one sink.
func flow(source func(env flume.Env) (flume.Source, error), sink func(env flume.Env) (flume.Sink, error)) (Kit, map[string]*memory) {
	opened := map[string]*memory{}
	return Kit{
		Sources:   []flume.Kind[flume.Source]{sourceKind("test", source)},
		Selectors: []flume.Kind[flume.Selector]{replicating()},
		Channels:  []flume.Kind[flume.Channel]{memoryKind(opened)},
		Sinks:     []flume.Kind[flume.Sink]{sinkKind("test", sink)},
	}, opened
}

// counting is a source that emits numbers until it is stopped, and then a last one that it has accepted before.
func counting(emitted *atomic.Int64) func(flume.Env) (flume.Source, error) {
	return func(flume.Env) (flume.Source, error) {
		return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
			for ctx.Err() == nil {
				if err := emit(ctx, events(fmt.Sprint(emitted.Load()))); err != nil {
					continue
				}
				emitted.Add(1)
			}
			if err := emit(context.WithoutCancel(ctx), events("last")); err == nil {
				emitted.Add(1)
			}
			return nil
		}}, nil
	}
}

func idle(flume.Env) (flume.Source, error) {
	return fakeSource{run: func(ctx context.Context, _ flume.Emit) error { <-ctx.Done(); return nil }}, nil
}

func discard(flume.Env) (flume.Sink, error) {
	return fakeSink{deliver: func(context.Context, flume.Batch) error { return nil }}, nil
}

func TestStoppingDrainsWhatIsGoneWithTheProcess(t *testing.T) {
	var emitted atomic.Int64
	var got collector
	kit, opened := flow(counting(&emitted), func(flume.Env) (flume.Sink, error) {
		return fakeSink{limits: flume.Limits{Events: 7}, deliver: func(_ context.Context, b flume.Batch) error {
			time.Sleep(time.Millisecond)
			got.add(b)
			return nil
		}}, nil
	})
	_, stop := start(t, kit, oneFlow)
	for emitted.Load() < 500 {
		time.Sleep(time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(got.bodies())
	if int64(len(words)) != emitted.Load() || words[len(words)-1] != "last" {
		t.Fatalf("%d of %d events, the last %q", len(words), emitted.Load(), words[len(words)-1])
	}
	for i, w := range words[:len(words)-1] {
		if w != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, w)
		}
	}
	if !opened["c1"].closed {
		t.Error("the channel is not closed")
	}
}

func TestStoppingLeavesADurableChannelAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kit, opened := flow(idle, func(flume.Env) (flume.Sink, error) {
			return fakeSink{deliver: func(context.Context, flume.Batch) error { return errors.New("down") }}, nil
		})
		_, stop := start(t, kit, oneFlow+"a1.channels.c1.durable = true")
		fill(t, opened["c1"], events("a b"))
		pass(time.Minute)
		from := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(from); took > 0 {
			t.Errorf("stopping took %v", took)
		}
		if got := opened["c1"].bodies(); got != "a b" {
			t.Errorf("the channel holds %q", got)
		}
	})
}

func TestStoppingAnIdleAgentTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kit, _ := flow(idle, discard)
		_, stop := start(t, kit, oneFlow)
		pass(time.Hour)
		from := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(from); took > 0 {
			t.Errorf("stopping took %v", took)
		}
	})
}

func TestStoppingIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		kit, opened := flow(idle, func(flume.Env) (flume.Sink, error) {
			return fakeSink{deliver: func(ctx context.Context, _ flume.Batch) error {
				<-ctx.Done() // a peer that does not answer
				return ctx.Err()
			}}, nil
		})
		_, stop := start(t, kit, oneFlow, log.use, func(o *Options) { o.StopTimeout = 10 * time.Second })
		fill(t, opened["c1"], events("a b"))
		synctest.Wait()
		// What the test puts in is not counted as put; the agent counts what its sources put.
		from := time.Now()
		if err := stop(); err == nil || err.Error() != "stopping was cut short after 10s, when sink k1 had not ended" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(from); took != 10*time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}

// A put that is a sending to a machine that does not answer ends soon after the agent has begun to stop, and those
// behind it sooner; when the machine answers again they are committed.
func TestStoppingGivesUpWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var emitted ledger[error]
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
				for range 3 {
					emitted.note(emit(context.WithoutCancel(ctx), events("a")))
				}
				return nil
			}}, nil
		}, discard)
		_, stop := start(t, kit, oneFlow+"a1.channels.c1.durable = true\na1.channels.c1.remote = true\na1.channels.c1.fail = hang")
		pass(time.Hour)
		if n := len(emitted.list()); n > 0 {
			t.Errorf("%d batches are given up though the agent does not stop", n)
		}
		from := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(from); took != 6*time.Second {
			t.Errorf("stopping took %v", took)
		}
		all := emitted.list()
		if len(all) != 3 {
			t.Fatalf("%d batches have an answer", len(all))
		}
		for i, within := range []string{"5s", "1s"} {
			if err := all[i]; err == nil || err.Error() != "committing 1 events to channel c1: the agent stops, and there was no answer within "+within {
				t.Errorf("got %v", err)
			}
		}
		if all[2] != nil {
			t.Error(all[2])
		}
	})
}

// What is sent and answered in time is committed, though the agent stops.
func TestStoppingWaitsForWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var emitted ledger[error]
		kit, opened := flow(func(flume.Env) (flume.Source, error) {
			return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
				<-ctx.Done()
				for range 8 { // a second each
					emitted.note(emit(context.WithoutCancel(ctx), events("a")))
				}
				return nil
			}}, nil
		}, discard)
		_, stop := start(t, kit, oneFlow+"a1.channels.c1.durable = true\na1.channels.c1.remote = true\na1.channels.c1.fail = slow")
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, err := range emitted.list() {
			if err != nil {
				t.Error(err)
			}
		}
		if n := len(emitted.list()); n != 8 || !opened["c1"].closed {
			t.Errorf("%d batches have an answer", n)
		}
	})
}

func TestLostEventsAreSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
				if err := emit(ctx, events("a b c")); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				return nil
			}}, nil
		}, func(flume.Env) (flume.Sink, error) {
			return fakeSink{deliver: func(context.Context, flume.Batch) error { return errors.New("down") }}, nil
		})
		_, stop := start(t, kit, oneFlow, log.use)
		pass(time.Minute)
		from := time.Now()
		if err := stop(); err == nil || !strings.Contains(err.Error(), "3 events were not delivered and are lost") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(from); took != 30*time.Second {
			t.Errorf("stopping took %v", took)
		}
		if log.count("level=ERROR") != 1 || log.count("channel=c1 events=3") != 1 || log.count("not delivered in time") != 1 {
			t.Errorf("the log does not say what is lost:\n%s", &log)
		}
	})
}

func TestLostEventsOfAChannelWithoutASink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
				if err := emit(ctx, events("a b c")); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				return nil
			}}, nil
		}, discard)
		_, stop := start(t, kit, strings.ReplaceAll(oneFlow, "a1.sinks = k1", ""), log.use)
		pass(time.Minute)
		if err := stop(); err == nil || !strings.Contains(err.Error(), "3 events were not delivered and are lost") {
			t.Errorf("got %v", err)
		}
		if log.count("events are lost: no sink takes them, and") != 1 {
			t.Errorf("the log does not say why events are lost:\n%s", &log)
		}
	})
}

func TestKillEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kit, opened := flow(idle, func(flume.Env) (flume.Sink, error) {
			return fakeSink{deliver: func(ctx context.Context, _ flume.Batch) error {
				<-ctx.Done()
				return ctx.Err()
			}}, nil
		})
		a, stop := start(t, kit, oneFlow)
		fill(t, opened["c1"], events("a b"))
		synctest.Wait()
		from := time.Now()
		a.Kill()
		if err := stop(); err == nil {
			t.Error("that was no orderly stop")
		}
		if took := time.Since(from); took > 0 {
			t.Errorf("stopping took %v", took)
		}
		if got := opened["c1"].bodies(); got != "a b" {
			t.Errorf("the channel holds %q", got)
		}
	})
}

func TestASourceThatDoesNotEndIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closes := 0
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			closed := make(chan struct{})
			return fakeSource{
				run:   func(context.Context, flume.Emit) error { <-closed; return errors.New("closed") },
				close: func() error { closes++; close(closed); return nil },
			}, nil
		}, discard)
		_, stop := start(t, kit, oneFlow)
		from := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(from); took != 15*time.Second || closes != 1 {
			t.Errorf("stopping took %v, and %d closes", took, closes)
		}
	})
}

func TestWhatDoesNotStopIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		stuck := make(chan struct{})
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			return fakeSource{run: func(context.Context, flume.Emit) error { <-stuck; return nil }}, nil
		}, discard)
		_, stop := start(t, kit, oneFlow, log.use)
		from := time.Now()
		if err := stop(); err == nil {
			t.Error("that was no orderly stop")
		}
		if took := time.Since(from); took != 30*time.Second+grace {
			t.Errorf("stopping took %v", took)
		}
		if log.count("source s1 does not stop and is left behind") != 1 {
			t.Errorf("not said:\n%s", &log)
		}
		close(stuck)
		synctest.Wait()
	})
}

func TestWhatCannotOpenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		var got collector
		var sourceTries, sinkTries atomic.Int64
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			if sourceTries.Add(1) < 4 {
				return nil, errors.New("the port is taken")
			}
			return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
				if err := emit(ctx, events("a")); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				return nil
			}}, nil
		}, func(flume.Env) (flume.Sink, error) {
			if sinkTries.Add(1) < 3 {
				panic("who am I")
			}
			return fakeSink{deliver: func(_ context.Context, b flume.Batch) error { got.add(b); return nil }}, nil
		})
		from := time.Now()
		_, stop := start(t, kit, oneFlow, log.use)
		if since := time.Since(from); since > 0 {
			t.Errorf("running after %v: what cannot open holds nobody up", since)
		}
		pass(8 * time.Second)
		if sourceTries.Load() != 3 || sinkTries.Load() != 3 {
			t.Errorf("the source was tried %d times, the sink %d times", sourceTries.Load(), sinkTries.Load())
		}
		pass(2 * time.Second)
		if got.bodies() != "a" {
			t.Errorf("delivered %q", got.bodies())
		}
		if log.count("source s1 cannot be opened") != 1 || log.count("source s1 is open now") != 1 {
			t.Errorf("want it said once each:\n%s", &log)
		}
		if log.count("BUG while opening sink k1") != 1 {
			t.Errorf("want the panic said once:\n%s", &log)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAChannelThatCannotOpenHoldsOnlyItsOwnFlowUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var emitted atomic.Int64
		var got collector
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
				emitted.Add(1)
				if err := emit(ctx, events("a")); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				return nil
			}}, nil
		}, func(flume.Env) (flume.Sink, error) {
			return fakeSink{deliver: func(_ context.Context, b flume.Batch) error { got.add(b); return nil }}, nil
		})
		_, stop := start(t, kit, `
			a1.channels = c1 c2
			a1.sources = s1 s2
			a1.sinks = k1 k2
			a1.channels.c1.type = memory
			a1.channels.c1.fail = open
			a1.channels.c2.type = memory
			a1.sources.s1.type = test
			a1.sources.s1.channels = c1 c2
			a1.sources.s2.type = test
			a1.sources.s2.channels = c2
			a1.sinks.k1.type = test
			a1.sinks.k1.channel = c1
			a1.sinks.k2.type = test
			a1.sinks.k2.channel = c2`)
		pass(time.Minute)
		if emitted.Load() != 1 || got.bodies() != "a" {
			t.Errorf("%d sources run, delivered %q", emitted.Load(), got.bodies())
		}
		from := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(from); took > 0 {
			t.Errorf("stopping took %v", took)
		}
	})
}

func TestASinkThatNeverOpenedHoldsAStopUpOnlyForEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kit, _ := flow(idle, func(flume.Env) (flume.Sink, error) { return nil, errors.New("nobody there") })
		_, stop := start(t, kit, oneFlow)
		from := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(from); took > 0 {
			t.Errorf("stopping took %v", took)
		}

		tries := 0
		var got collector
		kit, opened := flow(idle, func(flume.Env) (flume.Sink, error) {
			if tries++; tries < 3 {
				return nil, errors.New("nobody there")
			}
			return fakeSink{deliver: func(_ context.Context, b flume.Batch) error { got.add(b); return nil }}, nil
		})
		_, stop = start(t, kit, oneFlow)
		fill(t, opened["c1"], events("a"))
		from = time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(from); took != 6*time.Second || got.bodies() != "a" {
			t.Errorf("stopping took %v, delivered %q", took, got.bodies())
		}
	})
}

func TestASourceThatBreaksOffIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		var opens, closes atomic.Int64
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			n := opens.Add(1)
			return fakeSource{close: func() error { closes.Add(1); return nil }, run: func(ctx context.Context, _ flume.Emit) error {
				switch n {
				case 1:
					return errors.New("lost the connection")
				case 2:
					panic("lost my head")
				}
				<-ctx.Done()
				return ctx.Err()
			}}, nil
		}, discard)
		_, stop := start(t, kit, oneFlow, log.use)
		pass(time.Minute)
		if opens.Load() != 3 || closes.Load() != 2 {
			t.Errorf("%d opens, %d closes", opens.Load(), closes.Load())
		}
		if log.count("source s1 broke off and is opened again") != 2 || log.count("BUG while running source s1") != 1 {
			t.Errorf("not said:\n%s", &log)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if closes.Load() != 3 || log.count("level=WARN") != 0 {
			t.Errorf("%d closes:\n%s", closes.Load(), &log)
		}
	})
}

func TestASourceThatHasFinishedIsNotOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opens := 0
		kit, _ := flow(func(flume.Env) (flume.Source, error) {
			opens++
			return fakeSource{run: func(context.Context, flume.Emit) error { return nil }}, nil
		}, discard)
		_, stop := start(t, kit, oneFlow)
		pass(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if opens != 1 {
			t.Errorf("opened %d times", opens)
		}
	})
}

func TestAComponentThatRejectsWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rejecting error
		returned := make(chan struct{})
		kit, _ := flow(func(env flume.Env) (flume.Source, error) {
			return fakeSource{run: func(ctx context.Context, _ flume.Emit) error {
				rejecting = env.Reject(ctx, flume.Rejection{Err: errors.New("no Avro"), Position: "t-0@1"})
				close(returned)
				<-ctx.Done()
				return nil
			}}, nil
		}, discard)
		a, stop := start(t, kit, oneFlow, func(o *Options) { o.Property = properties("sluice.deadletter.bytes", "10") })
		pass(time.Minute)
		select {
		case <-returned:
			t.Fatalf("returned %v", rejecting)
		default:
		}
		want(t, a, "SOURCE.s1", "RejectedCount", 0)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if rejecting == nil {
			t.Error("not on disk and acknowledged")
		}

		kit, _ = flow(func(env flume.Env) (flume.Source, error) {
			return fakeSource{run: func(ctx context.Context, _ flume.Emit) error {
				if err := env.Reject(ctx, flume.Rejection{Event: events("x")[0], Err: errors.New("no Avro")}); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				return nil
			}}, nil
		}, discard)
		a, stop = start(t, kit, oneFlow)
		synctest.Wait()
		want(t, a, "SOURCE.s1", "RejectedCount", 1)
		if got := letterBodies(t, a); got != "x" {
			t.Errorf("the dead letters hold %q", got)
		}
		_ = stop()
	})
}

func TestComponentsAreToldWhatTheyNeed(t *testing.T) {
	var source, sink flume.Env
	kit, _ := flow(
		func(env flume.Env) (flume.Source, error) { source = env; return idle(env) },
		func(env flume.Env) (flume.Sink, error) { sink = env; return discard(env) })
	var log logBuffer
	a, stop := start(t, kit, oneFlow+"a1.channels.c1.transactionCapacity = 50", log.use)
	if source.Agent != "a1" || source.Name != "s1" || source.TransactionCapacity != 50 || sink.Name != "k1" {
		t.Errorf("got %+v and %+v", source, sink)
	}
	source.Counter("KafkaEmptyCount").Add(7)
	want(t, a, "SOURCE.s1", "KafkaEmptyCount", 7)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	text := log.String()
	at := 0
	for _, line := range []string{
		"Channel c1 connected to [s1, k1]", "Starting Channel c1", "Component type: CHANNEL, name: c1 started",
		"Stopping Source s1", "Component type: SOURCE, name: s1 stopped",
		"Shutdown Metric for type: SOURCE, name: s1. source.start.time ==", "source.kafka.empty.count == 7", "src.events.received == 0",
		"Stopping Sink k1", "sink.event.drain.sucess == 0",
		"Stopping Channel c1", "Component type: CHANNEL, name: c1 stopped", "channel.event.put.attempt == 0",
	} {
		next := strings.Index(text[at:], line)
		if next < 0 {
			t.Fatalf("%q is not where it belongs:\n%s", line, text)
		}
		at += next
	}
}

func TestSourcesAreToldTheirBatchSizeWhenThatIsTheLimit(t *testing.T) {
	var source flume.Env
	kit, _ := flow(func(env flume.Env) (flume.Source, error) { source = env; return idle(env) }, discard)
	_, stop := start(t, kit, oneFlow+"a1.sources.s1.batchSize = 20",
		func(o *Options) { o.Property = properties("sluice.adaptive.batches", "false") })
	if source.TransactionCapacity != 20 {
		t.Errorf("told %d", source.TransactionCapacity)
	}
	_ = stop()
}

// What channels without a bound leave open is no reason to emit events one by one.
func TestSourcesOfChannelsWithoutABound(t *testing.T) {
	var source flume.Env
	kit, _ := flow(func(env flume.Env) (flume.Source, error) { source = env; return idle(env) }, discard)
	_, stop := start(t, kit, oneFlow+"a1.channels.c1.transactionCapacity = 0")
	if source.TransactionCapacity != unbounded {
		t.Errorf("told %d", source.TransactionCapacity)
	}
	_ = stop()
}

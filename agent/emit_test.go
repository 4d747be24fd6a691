package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
)

// A bench is an agent whose source lends its emit to the test.
type bench struct {
	t        *testing.T
	agent    *Agent
	emit     flume.Emit
	channels map[string]*memory
	stop     func() error
}

// newBench runs a source with two channels, c1 with room for 10 events and c2 with room for 3, and whatever the lines add.
// Channels are durable unless a line says otherwise, so that stopping leaves everything in place.
func newBench(t *testing.T, lines string, kit Kit, adjust ...func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, channels: map[string]*memory{}}
	emits := make(chan flume.Emit, 1)
	kit.Channels = append(kit.Channels, memoryKind(b.channels))
	kit.Selectors = append(kit.Selectors, replicating())
	kit.Sources = append(kit.Sources, sourceKind("lend", func(flume.Env) (flume.Source, error) {
		return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
			emits <- emit
			<-ctx.Done()
			return nil
		}}, nil
	}))
	b.agent, b.stop = start(t, kit, `
		a1.channels = c1 c2
		a1.sources = s1
		a1.channels.c1.type = memory
		a1.channels.c1.durable = true
		a1.channels.c1.capacity = 10
		a1.channels.c2.type = memory
		a1.channels.c2.durable = true
		a1.channels.c2.capacity = 3
		a1.sources.s1.type = lend
		a1.sources.s1.channels = c1 c2
		`+lines, adjust...)
	b.emit = <-emits
	return b
}

func (b *bench) counter(key, attribute string, want int64) {
	b.t.Helper()
	for _, c := range b.agent.Stats().Components() {
		if c.Key() == key {
			if got := c.Value(attribute); got != want {
				b.t.Errorf("%s %s = %d, want %d", key, attribute, got, want)
			}
			return
		}
	}
	b.t.Errorf("no counters of %s", key)
}

func (b *bench) holds(channel, want string) {
	b.t.Helper()
	if got := b.channels[channel].bodies(); got != want {
		b.t.Errorf("channel %s holds %q, want %q", channel, got, want)
	}
	m := b.channels[channel]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held != 0 {
		b.t.Errorf("channel %s has %d events in transactions that nobody has ended", channel, m.held)
	}
}

func TestEmitCommitsToEveryRequiredChannel(t *testing.T) {
	b := newBench(t, "", Kit{})
	if err := b.emit(t.Context(), events("a b")); err != nil {
		t.Fatal(err)
	}
	b.holds("c1", "a b")
	b.holds("c2", "a b")
	b.counter("SOURCE.s1", "EventReceivedCount", 2)
	b.counter("SOURCE.s1", "EventAcceptedCount", 2)
	b.counter("CHANNEL.c2", "EventPutAttemptCount", 2)
	b.counter("CHANNEL.c2", "EventPutSuccessCount", 2)
}

func TestEmitLeavesNothingBehindWhenAChannelIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "", Kit{})
		defer b.stop()
		if err := b.emit(t.Context(), events("a b")); err != nil {
			t.Fatal(err)
		}
		err := b.emit(t.Context(), events("c d"))
		if !errors.Is(err, flume.ErrFull) {
			t.Fatalf("got %v, want a full channel", err)
		}
		if !strings.Contains(err.Error(), "channel c2") {
			t.Errorf("%q does not say which channel", err)
		}
		b.holds("c1", "a b")
		b.holds("c2", "a b")
		b.counter("SOURCE.s1", "EventReceivedCount", 4)
		b.counter("SOURCE.s1", "EventAcceptedCount", 2)
		b.counter("SOURCE.s1", "ChannelWriteFail", 1)
		b.counter("CHANNEL.c1", "EventPutAttemptCount", 4)
		b.counter("CHANNEL.c1", "EventPutSuccessCount", 2)
	})
}

func TestEmitCommitsVolatileChannelsLast(t *testing.T) {
	b := newBench(t, `
		a1.channels.c3.type = memory
		a1.channels = c1 c3
		a1.channels.c3.durable = true
		a1.channels.c3.fail = commit
		a1.channels.c1.durable = false
		a1.sources.s1.channels = c1 c3`, Kit{})
	if err := b.emit(t.Context(), events("a")); err == nil || !strings.Contains(err.Error(), "committing 1 events to channel c3") {
		t.Fatalf("got %v", err)
	}
	b.holds("c1", "")
	b.holds("c3", "")
	b.counter("SOURCE.s1", "ChannelWriteFail", 1)
}

// What fails far away leaves nothing on disk and in memory; what fails on disk has been sent.
func TestEmitCommitsRemoteChannelsFirst(t *testing.T) {
	for fail, want := range map[string]string{"c3": "", "c1": "a"} {
		b := newBench(t, `
			a1.channels = c1 c2 c3
			a1.channels.c3.type = memory
			a1.channels.c3.durable = true
			a1.channels.c3.remote = true
			a1.channels.c2.durable = false
			a1.channels.`+fail+`.fail = commit
			a1.sources.s1.channels = c2 c1 c3`, Kit{})
		if err := b.emit(t.Context(), events("a")); err == nil || !strings.Contains(err.Error(), "committing 1 events to channel "+fail) {
			t.Fatalf("got %v", err)
		}
		b.holds("c1", "")
		b.holds("c2", "")
		b.holds("c3", want)
	}
}

func TestEmitCommitsToDisksSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
			a1.channels.c1.fail = slow
			a1.channels.c2.fail = slow`, Kit{})
		defer b.stop()
		began := time.Now()
		if err := b.emit(t.Context(), events("a")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("two commits of a second each took %v", took)
		}
		b.holds("c1", "a")
		b.holds("c2", "a")
	})
}

func TestEmitOffersToOptionalChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kit := Kit{Selectors: []flume.Kind[flume.Selector]{selectorKind("half", func(b flume.Batch, r *flume.Routes) {
			r.Require(0, b...)
			r.Offer(1, b...)
		})}}
		var log logBuffer
		b := newBench(t, `
			a1.sources.s1.selector.type = half`, kit, log.use)
		defer b.stop()
		for range 5 { // c2 has room for three
			if err := b.emit(t.Context(), events("a")); err != nil {
				t.Fatal(err)
			}
		}
		b.holds("c1", "a a a a a")
		b.holds("c2", "a a a")
		b.counter("SOURCE.s1", "EventAcceptedCount", 5)
		b.counter("SOURCE.s1", "OptionalDropCount", 2)
		if n := log.count("optional channel c2 does not take events"); n != 1 {
			t.Errorf("said %d times that events were dropped, want once", n)
		}
	})
}

func TestEmitRunsInterceptorsInTheirOrder(t *testing.T) {
	stamp := func(word string) fakeInterceptor {
		return func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
			for i := range b {
				b[i].Body = append(b[i].Body, word...)
			}
			return b, nil, nil
		}
	}
	drop := fakeInterceptor(func(context.Context, flume.Batch) (flume.Batch, []flume.Rejection, error) { return nil, nil, nil })
	broken := fakeInterceptor(func(context.Context, flume.Batch) (flume.Batch, []flume.Rejection, error) {
		return nil, nil, errors.New("no idea")
	})
	kit := Kit{Interceptors: []flume.Kind[flume.Interceptor]{
		interceptorKind("x", stamp("x")), interceptorKind("y", stamp("y")), interceptorKind("drop", drop), interceptorKind("broken", broken)}}
	b := newBench(t, `
		a1.sources.s1.interceptors = i2 i1
		a1.sources.s1.interceptors.i1.type = x
		a1.sources.s1.interceptors.i2.type = y`, kit)
	if err := b.emit(t.Context(), events("a")); err != nil {
		t.Fatal(err)
	}
	b.holds("c1", "ayx")

	b = newBench(t, `
		a1.sources.s1.interceptors = i1 i2
		a1.sources.s1.interceptors.i1.type = drop
		a1.sources.s1.interceptors.i2.type = broken`, kit)
	if err := b.emit(t.Context(), events("a")); err != nil {
		t.Fatalf("an interceptor was shown an empty batch: %v", err)
	}
	b.holds("c1", "")
	b.counter("SOURCE.s1", "EventAcceptedCount", 1)

	b = newBench(t, `
		a1.sources.s1.interceptors = i1
		a1.sources.s1.interceptors.i1.type = broken`, kit)
	if err := b.emit(t.Context(), events("a")); err == nil || !strings.Contains(err.Error(), "a1.sources.s1.interceptors.i1: no idea") {
		t.Fatalf("got %v", err)
	}
	b.counter("SOURCE.s1", "GenericProcessingFail", 1)
}

func refuser() flume.Kind[flume.Interceptor] {
	return interceptorKind("refuse", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
		var refused []flume.Rejection
		b = b.Keep(func(e *flume.Event) bool {
			if string(e.Body) != "bad" {
				return true
			}
			refused = append(refused, flume.Rejection{Event: *e, Err: errors.New("it is bad")})
			return false
		})
		return b, refused, nil
	})
}

const refusing = `
	a1.sources.s1.interceptors = i1
	a1.sources.s1.interceptors.i1.type = refuse`

func TestEmitKeepsWhatAnInterceptorRejects(t *testing.T) {
	b := newBench(t, refusing, Kit{Interceptors: []flume.Kind[flume.Interceptor]{refuser()}})
	if err := b.emit(t.Context(), events("a bad b")); err != nil {
		t.Fatal(err)
	}
	b.holds("c1", "a b")
	b.counter("SOURCE.s1", "RejectedCount", 1)
	if got := letterBodies(t, b.agent); got != "bad" {
		t.Errorf("the dead letters hold %q", got)
	}
}

// choosy sends bodies to c1 but the bad ones, which it rejects, and refuses batches with a mad one.
func choosy() Kit {
	return Kit{Selectors: []flume.Kind[flume.Selector]{selectorKind("choosy", func(b flume.Batch, r *flume.Routes) {
		for i := range b {
			switch string(b[i].Body) {
			case "bad":
				r.Reject(errors.New("it is bad"), b[i])
			case "mad":
				r.Refuse(errors.New("it is mad"))
			default:
				r.Require(0, b[i:i+1]...)
			}
		}
	})}}
}

func TestEmitKeepsWhatASelectorRejects(t *testing.T) {
	var log logBuffer
	b := newBench(t, "a1.sources.s1.selector.type = choosy", choosy(), log.use)
	for _, words := range []string{"a bad b", "bad"} {
		if err := b.emit(t.Context(), events(words)); err != nil {
			t.Fatal(err)
		}
	}
	b.holds("c1", "a b")
	b.counter("SOURCE.s1", "RejectedCount", 2)
	b.counter("SOURCE.s1", "EventAcceptedCount", 4)
	if got := letterBodies(t, b.agent); got != "bad bad" {
		t.Errorf("the dead letters are %q", got)
	}
	if log.count("a1.sources.s1.selector rejects events") != 1 {
		t.Errorf("not said once:\n%s", &log)
	}
}

func TestEmitRefusesWhatASelectorRefuses(t *testing.T) {
	b := newBench(t, "a1.sources.s1.selector.type = choosy", choosy())
	err := b.emit(t.Context(), events("a bad mad b"))
	if err == nil || !strings.Contains(err.Error(), "selecting channels with a1.sources.s1.selector: it is mad") {
		t.Fatalf("got %v", err)
	}
	b.holds("c1", "")
	b.counter("SOURCE.s1", "EventAcceptedCount", 0)
	b.counter("SOURCE.s1", "RejectedCount", 0) // the source sends the batch again
	b.counter("SOURCE.s1", "GenericProcessingFail", 1)
}

func TestEmitFailsWhenTheDeadLettersAreFull(t *testing.T) {
	var log logBuffer
	b := newBench(t, refusing, Kit{Interceptors: []flume.Kind[flume.Interceptor]{refuser()}},
		log.use, func(o *Options) { o.Property = properties("sluice.deadletter.bytes", "10") })
	for range 3 {
		if err := b.emit(t.Context(), events("a bad b")); err == nil || !strings.Contains(err.Error(), "dead letters") {
			t.Fatalf("got %v", err)
		}
	}
	b.holds("c1", "")
	b.holds("c2", "")
	if n := log.count("level=ERROR"); n != 1 {
		t.Errorf("%d errors in the log, want one:\n%s", n, &log)
	}
}

func TestEmitDiscardsRejectionsOnlyWhenAskedTo(t *testing.T) {
	var log logBuffer
	b := newBench(t, refusing, Kit{Interceptors: []flume.Kind[flume.Interceptor]{refuser()}},
		log.use, func(o *Options) { o.Property = properties("sluice.deadletter", "discard") })
	if err := b.emit(t.Context(), events("a bad b")); err != nil {
		t.Fatal(err)
	}
	b.holds("c1", "a b")
	b.counter("SOURCE.s1", "RejectedCount", 1)
	if log.count("rejected events are thrown away") != 1 {
		t.Errorf("not said:\n%s", &log)
	}
}

func TestEmitSurvivesAPanic(t *testing.T) {
	var log logBuffer
	kit := Kit{Selectors: []flume.Kind[flume.Selector]{selectorKind("mad", func(b flume.Batch, r *flume.Routes) {
		if string(b[0].Body) == "boom" {
			panic("cannot choose")
		}
		r.Require(0, b...)
	})}}
	b := newBench(t, `
		a1.sources.s1.selector.type = mad`, kit, log.use)
	for range 3 {
		err := b.emit(t.Context(), events("boom"))
		if err == nil || !strings.Contains(err.Error(), "BUG while passing events of source s1 on") {
			t.Fatalf("got %v", err)
		}
	}
	if err := b.emit(t.Context(), events("a")); err != nil {
		t.Fatal(err)
	}
	b.holds("c1", "a")
	if log.count("level=ERROR") != 1 || log.count("emit_test.go") == 0 {
		t.Errorf("want one error with its stack:\n%s", &log)
	}
}

func TestEmitBatchOfNothing(t *testing.T) {
	b := newBench(t, "", Kit{})
	if err := b.emit(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.counter("SOURCE.s1", "EventReceivedCount", 0)
}

// half makes c1 required and the channel of that number optional.
func half(optional int) Kit {
	return Kit{Selectors: []flume.Kind[flume.Selector]{selectorKind("half", func(b flume.Batch, r *flume.Routes) {
		r.Require(0, b...)
		r.Offer(optional, b...)
	})}}
}

func TestAnOptionalChannelThatPanicsIsNoConcernOfTheSource(t *testing.T) {
	for _, in := range []string{"put", "putcommit", "putrollback"} {
		t.Run(in, func(t *testing.T) {
			kit := half(2)
			kit.Channels = append(kit.Channels, madKind(in))
			b := newBench(t, `
				a1.channels = c1 c2 c3
				a1.channels.c3.type = mad
				a1.channels.c3.durable = true
				a1.sources.s1.channels = c1 c2 c3
				a1.sources.s1.selector.type = half`, kit)
			if err := b.emit(t.Context(), events("a")); err != nil {
				t.Errorf("c1 has committed the event and the source is told to send it again: %v", err)
			}
			b.holds("c1", "a")
			_ = b.stop()
		})
	}
}

func TestAFullOptionalChannelDoesNotHoldTheSourceUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		b := newBench(t, "a1.sources.s1.selector.type = half", half(1), log.use)
		defer func() { _ = b.stop() }()
		emit := func(n int) {
			t.Helper()
			for range n {
				if err := b.emit(t.Context(), events("a")); err != nil {
					t.Fatal(err)
				}
			}
		}
		from := time.Now()
		emit(8) // c2 has room for 3
		if took := time.Since(from); took > 3*time.Second {
			t.Errorf("8 batches took %v", took)
		}
		b.holds("c2", "a a a")
		b.counter("SOURCE.s1", "OptionalDropCount", 5)
		for _, m := range b.channels {
			if tx, err := m.Take(t.Context(), flume.Limits{}); err != nil || tx.Commit(t.Context()) != nil {
				t.Fatal(err)
			}
		}
		emit(3)
		b.holds("c2", "a a a")
		if log.count("optional channel c2 takes events again") != 1 {
			t.Errorf("its end is not said:\n%s", log.String())
		}
		from = time.Now()
		emit(1) // waited for again, once
		if took := time.Since(from); took != 3*time.Second {
			t.Errorf("waited for %v", took)
		}
	})
}

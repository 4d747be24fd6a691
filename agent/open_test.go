package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
)

func TestASelectorsCountersAreOnThePage(t *testing.T) {
	var counter *atomic.Int64
	b := newBench(t, "a1.sources.s1.selector.type = nowhere", Kit{
		Selectors: []flume.Kind[flume.Selector]{flume.Define[nothing, flume.Selector]("nowhere", "", "Drops.",
			func(_ context.Context, _ *nothing, env flume.Env) (flume.Selector, error) {
				counter = env.Counter("EventUnroutedCount")
				return fakeSelector(func(flume.Batch, *flume.Routes) {}), nil
			})}})
	counter.Add(5)
	b.counter("SOURCE.s1", "EventUnroutedCount", 5)
	_ = b.stop()
}

func TestASelectorThatCannotOpenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		tries := 0
		b := newBench(t, "a1.sources.s1.selector.type = shy", Kit{
			Selectors: []flume.Kind[flume.Selector]{flume.Define[nothing, flume.Selector]("shy", "", "Not at first.",
				func(_ context.Context, _ *nothing, env flume.Env) (flume.Selector, error) {
					if tries++; tries == 1 {
						return nil, errors.New("not now")
					}
					return fakeSelector(func(b flume.Batch, r *flume.Routes) { r.Require(1, b...) }), nil
				})}}, log.use)
		if err := b.emit(t.Context(), events("a")); err != nil {
			t.Error(err)
		}
		b.holds("c2", "a")
		if n := log.count("opening the selector: not now"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
		_ = b.stop()
	})
}

func TestASinkProcessorThatCannotOpenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		var got collector
		kit, opened := twoSinks(&log,
			func(_ context.Context, b flume.Batch) error { got.add(b); return nil },
			func(_ context.Context, b flume.Batch) error { got.add(b); return nil })
		tries := 0
		kit.SinkProcessors = []flume.Kind[flume.SinkProcessor]{flume.Define[nothing, flume.SinkProcessor]("failover", "", "Not at first.",
			func(_ context.Context, _ *nothing, env flume.Env) (flume.SinkProcessor, error) {
				if tries++; tries == 1 {
					return nil, errors.New("not now")
				}
				env.Counter("FailoverCount").Add(int64(len(env.Sinks)))
				return fakeProcessor(failover), nil
			})}
		a, stop := start(t, kit, grouped+"a1.sinks.k2.channel = c1", log.use)
		fill(t, opened["c1"], events("a"))
		pass(2 * time.Second)
		if got.bodies() != "" {
			t.Errorf("%q is delivered without a processor", got.bodies())
		}
		pass(2 * time.Second)
		if got.bodies() != "a" {
			t.Errorf("delivered %q", got.bodies())
		}
		want(t, a, "SINK_PROCESSOR.g1", "FailoverCount", 2)
		if n := log.count("sink group g1 cannot be opened"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

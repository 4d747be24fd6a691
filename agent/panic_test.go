package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
)

// mad is a channel that panics where it is told to.
type mad struct {
	*memory
	in string
}

func (m mad) panics(in string) {
	if m.in == in {
		panic("out of my mind")
	}
}

func (m mad) Put(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	m.panics("put")
	tx, err := m.memory.Put(ctx, b)
	if err != nil {
		return nil, err
	}
	return madTransaction{tx, m, "put"}, nil
}

func (m mad) Take(ctx context.Context, l flume.Limits) (flume.Transaction, error) {
	m.panics("take")
	tx, err := m.memory.Take(ctx, l)
	if err != nil {
		return nil, err
	}
	return madTransaction{tx, m, ""}, nil
}

type madTransaction struct {
	flume.Transaction
	mad mad
	put string // "put" or nothing
}

func (t madTransaction) Commit(ctx context.Context) error {
	t.mad.panics(t.put + "commit")
	if t.mad.in == t.put+"rollback" {
		return errors.New("commit is out of order")
	}
	return t.Transaction.Commit(ctx)
}

func (t madTransaction) Split(keep []int) flume.Transaction {
	t.mad.panics("split")
	return t.Transaction.Split(keep)
}

func (t madTransaction) Rollback() {
	t.mad.panics(t.put + "rollback")
	t.Transaction.Rollback()
}

func madKind(in string) flume.Kind[flume.Channel] {
	return flume.Define[memorySettings, flume.Channel]("mad", "", "Panics.", func(_ context.Context, s *memorySettings, _ flume.Env) (flume.Channel, error) {
		m := mad{newMemory(s), in}
		m.queue = events("x y")
		return m, nil
	})
}

// What panics beside a sink or a source ends nothing but its own flow; the process lives on.
func TestAChannelThatPanicsEndsOnlyItself(t *testing.T) {
	for _, in := range []string{"take", "commit", "split", "rollback"} {
		t.Run(in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logBuffer
				var got collector
				opened := map[string]*memory{}
				kit := Kit{
					Channels: []flume.Kind[flume.Channel]{madKind(in), memoryKind(opened)},
					Sinks: []flume.Kind[flume.Sink]{
						sinkKind("half", func(flume.Env) (flume.Sink, error) {
							return fakeSink{deliver: func(_ context.Context, b flume.Batch) error {
								switch {
								case in == "commit":
									return nil
								case len(b) > 1:
									return &flume.PartialError{Pending: []int{1}, Err: errors.New("one is enough")}
								}
								return errors.New("one is too much")
							}}, nil
						}),
						sinkKind("good", func(flume.Env) (flume.Sink, error) {
							return fakeSink{deliver: func(_ context.Context, b flume.Batch) error { got.add(b); return nil }}, nil
						}),
					},
				}
				_, stop := start(t, kit, `
					a1.channels = c1 c2
					a1.sinks = k1 k2
					a1.channels.c1.type = mad
					a1.channels.c2.type = memory
					a1.sinks.k1.type = half
					a1.sinks.k1.channel = c1
					a1.sinks.k2.type = good
					a1.sinks.k2.channel = c2`, log.use)
				pass(time.Minute)
				fill(t, opened["c2"], events("a"))
				pass(time.Minute)
				if got.bodies() != "a" {
					t.Errorf("the other sink has %q", got.bodies())
				}
				_ = stop()
				if log.count("BUG while") == 0 || log.count("panic_test.go") == 0 {
					t.Errorf("the panic is not said with its stack:\n%s", log.String())
				}
			})
		})
	}
}

// A group over two channels waits for both, and looks at channels whose sinks are not open.
func TestAChannelThatPanicsWhileAGroupWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		drop := func(context.Context, flume.Batch) error { return nil }
		kit, _ := twoSinks(&log, drop, drop)
		kit.Channels = append(kit.Channels, madKind("take"))
		_, stop := start(t, kit, grouped+"a1.sinks.k2.channel = c2\n a1.channels.c2.type = mad", log.use)
		pass(time.Minute)
		_ = stop()
		if log.count("taking events from channel c2: BUG while") == 0 {
			t.Errorf("the panic is not said:\n%s", log.String())
		}
	})
}

func TestASourceThatPanicsWhenItIsForcedToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		ended := make(chan struct{})
		kit := Kit{
			Channels:  []flume.Kind[flume.Channel]{memoryKind(map[string]*memory{})},
			Selectors: []flume.Kind[flume.Selector]{replicating()},
			Sources: []flume.Kind[flume.Source]{sourceKind("stubborn", func(flume.Env) (flume.Source, error) {
				return fakeSource{
					run:   func(context.Context, flume.Emit) error { <-ended; return nil },
					close: func() error { close(ended); panic("out of my mind") },
				}, nil
			})},
		}
		_, stop := start(t, kit, `
			a1.channels = c1
			a1.sources = s1
			a1.channels.c1.type = memory
			a1.sources.s1.type = stubborn
			a1.sources.s1.channels = c1`, log.use)
		synctest.Wait()
		_ = stop()
		if log.count("BUG while closing source s1") != 1 {
			t.Errorf("the panic is not said once:\n%s", log.String())
		}
	})
}

func TestAfterAPanicEverythingIsOfferedInItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got collector
		kit, opened := oneSink(func(_ context.Context, b flume.Batch) error {
			switch bodies(b) {
			case "a b":
				return &flume.PartialError{Pending: []int{0}, Err: errors.New("one is enough")}
			case "c":
				panic("out of my mind")
			}
			got.add(b)
			return nil
		})
		_, stop := start(t, kit, drained)
		fill(t, opened["c1"], events("a b"))
		synctest.Wait()
		fill(t, opened["c1"], events("c"))
		pass(time.Minute)
		if got.bodies() != "a c" {
			t.Errorf("delivered %q", got.bodies())
		}
		_ = stop()
	})
}

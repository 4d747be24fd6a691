package seq

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Source(t, func(t testing.TB) flume.Source { return flumetest.Open(t, Kind, "batchSize = 10") })
}

func TestCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := flumetest.NewEnv()
		s := flumetest.OpenIn(t, env, Kind, "batchSize = 4", "totalEvents = 10")
		var in flumetest.Inbox
		go func() {
			if err := s.Run(t.Context(), in.Emit); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if got := strings.Join(flumetest.Bodies(in.Await(t, 10)), " "); got != "0 1 2 3 4 5 6 7 8 9" {
			t.Error(got)
		}
		if n := len(in.Batches()); n != 3 {
			t.Errorf("%d batches", n)
		}
		for _, b := range in.Batches() {
			for i := range b {
				if len(b[i].Headers) > 0 || cap(b[i].Body) != len(b[i].Body) {
					t.Errorf("event %q has headers or room for more", b[i].Body)
				}
			}
		}
		if !strings.Contains(env.Logged(), "All events have been made") {
			t.Error(env.Logged())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What the channels do not take comes again, and the log says so once.
func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := flumetest.NewEnv()
		s := flumetest.OpenIn(t, env, Kind, "batchSize = 3", "totalEvents = 6", "backoffSleepIncrement = 100", "maxBackoffSleep = 250")
		var offered []time.Duration
		start := time.Now()
		in := flumetest.Inbox{Answer: func(b flume.Batch) error {
			if string(b[0].Body) != "3" {
				return nil
			}
			offered = append(offered, time.Since(start))
			if len(offered) < 5 {
				return flume.ErrFull
			}
			return nil
		}}
		go func() {
			if err := s.Run(t.Context(), in.Emit); err != nil {
				t.Error(err)
			}
		}()
		if got := strings.Join(flumetest.Bodies(in.Await(t, 6)), " "); got != "0 1 2 3 4 5" {
			t.Error(got)
		}
		synctest.Wait()
		for i, ms := range []int{0, 100, 300, 550, 800} {
			if offered[i] != time.Duration(ms)*time.Millisecond {
				t.Errorf("the batch was offered at %v", offered)
				break
			}
		}
		if log := env.Logged(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "take events again") {
			t.Error(log)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestNoBackoffDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flumetest.Open(t, Kind, "backoffSleepIncrement = 0", "maxBackoffSleep = 0")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		offers := 0
		if err := s.Run(ctx, func(context.Context, flume.Batch) error {
			if offers++; offers > 1000 {
				cancel()
			}
			return flume.ErrFull
		}); err != nil {
			t.Error(err)
		}
		if offers > 300 {
			t.Errorf("offered %d times a second", offers)
		}
	})
}

// The end does not wait for a channel that never takes.
func TestEndWhileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flumetest.Open(t, Kind)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- s.Run(ctx, func(context.Context, flume.Batch) error { return errors.New("no") })
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("Run goes on")
		}
	})
}

func TestSettings(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t))
	if len(problems) > 0 || *plan.Settings.(*Settings) != (Settings{1, math.MaxInt64, time.Second, 5 * time.Second}) || plan.Limits.BatchSize != 1 {
		t.Errorf("%+v %v", plan.Settings, problems)
	}
	if got := flumetest.Problems(t, Kind, nil, "batchSize = 0"); !got.Fatal() {
		t.Error("a batchSize of 0 is taken")
	}
}

func TestAllocations(t *testing.T) {
	for _, first := range []int64{0, 99_950, math.MaxInt64 - 100} {
		if got := testing.AllocsPerRun(50, func() { count(first, 100) }); got > 2 {
			t.Errorf("%v allocations for 100 events from %d on", got, first)
		}
		if b := count(first, 100); string(b[99].Body) != strconv.FormatInt(first+99, 10) {
			t.Errorf("event 99 from %d on is %s", first, b[99].Body)
		}
	}
}

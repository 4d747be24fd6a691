package offer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// keep keeps n numbered events; answer says what becomes of each offer, and spoils what it does not take.
func keep(ctx context.Context, env *flumetest.Env, o *Offer, n int, answer func(attempt int, b flume.Batch) error) (taken []string, left int, err error) {
	attempts := 0
	o.Emit = func(_ context.Context, b flume.Batch) error {
		attempts++
		err := answer(attempts, b)
		if err == nil {
			taken = append(taken, flumetest.Bodies(b)...)
			return nil
		}
		for i := range b {
			b[i].Headers.Set("n", "spoiled")
		}
		clear(b)
		return err
	}
	k := Clones(flumetest.Events(0, n))
	k.Where = func(i int) string { return fmt.Sprint("at ", i) }
	err = o.Keep(ctx, k)
	return taken, k.Len(), err
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := flumetest.NewEnv()
		o := New(env.Env)
		o.Most = 4
		began := time.Now()
		taken, left, err := keep(t.Context(), env, o, 10, func(attempt int, b flume.Batch) error {
			for i := range b {
				if got, _ := b[i].Headers.Get("n"); got != string(b[i].Body) || len(b) > 4 {
					t.Errorf("attempt %d has the header %q in a batch of %d", attempt, got, len(b))
				}
			}
			if attempt > 1 && attempt < 30 {
				return fmt.Errorf("putting: %w", flume.ErrFull)
			}
			return nil
		})
		if err != nil || left != 0 || !slices.Equal(taken, numbers(0, 10)) {
			t.Errorf("%q, %d left, %v", taken, left, err)
		}
		if took := time.Since(began); took < time.Minute || took > 4*time.Minute {
			t.Errorf("28 attempts took %s", took)
		}
		// The failure, that it goes on after a minute (and two), and that it is over.
		if n := strings.Count(env.Logged(), "\n"); n < 3 || n > 4 {
			t.Errorf("%d lines of log:\n%s", n, env.Logged())
		}
	})
}

func TestTooLarge(t *testing.T) {
	env := flumetest.NewEnv()
	attempts := 0
	taken, _, err := keep(t.Context(), env, New(env.Env), 1000, func(attempt int, b flume.Batch) error {
		if attempts = attempt; len(b) > 300 || slices.Contains(flumetest.Bodies(b), "407") {
			return fmt.Errorf("putting: %w", flume.ErrTooLarge)
		}
		return nil
	})
	if want := slices.Concat(numbers(0, 407), numbers(408, 1000)); err != nil || !slices.Equal(taken, want) {
		t.Errorf("%q, %v", taken, err)
	}
	if r := env.Rejected(); len(r) != 1 || string(r[0].Event.Body) != "407" || r[0].Position != "at 407" || !errors.Is(r[0].Err, flume.ErrTooLarge) {
		t.Errorf("rejected %v", r)
	}
	if attempts > 50 {
		t.Errorf("one event that is too large costs %d attempts", attempts)
	}
}

// A full channel is asked for the room of a unit, and not for more than will come free at once.
func TestUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := flumetest.NewEnv()
		o := New(env.Env)
		o.Unit = 3
		var sizes []int
		taken, _, err := keep(t.Context(), env, o, 20, func(attempt int, b flume.Batch) error {
			if sizes = append(sizes, len(b)); attempt < 3 {
				return flume.ErrFull
			}
			return nil
		})
		if err != nil || !slices.Equal(taken, numbers(0, 20)) || !slices.Equal(sizes, []int{20, 3, 3, 6, 11}) {
			t.Errorf("%q in batches of %v, %v", taken, sizes, err)
		}
	})
}

// The end of ctx ends it, but not before one more attempt; unless Sleep says otherwise.
func TestEnd(t *testing.T) {
	full := errors.New("the disk is full")
	for _, last := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			env := flumetest.NewEnv()
			o := New(env.Env)
			o.Reject = func(context.Context, ...flume.Rejection) error { return full }
			sleeping := 0
			if !last {
				o.Sleep = func(ctx context.Context, d time.Duration) error {
					time.Sleep(d)
					sleeping++
					return ctx.Err()
				}
			}
			began, attempts := time.Now(), 0
			_, left, err := keep(ctx, env, o, 1, func(attempt int, _ flume.Batch) error {
				attempts = attempt
				return flume.ErrTooLarge
			})
			if !errors.Is(err, full) || left != 1 || time.Since(began) < time.Minute || last && time.Since(began) > time.Minute || !last && attempts != sleeping {
				t.Errorf("%d left, %v after %v and %d attempts", left, err, time.Since(began), attempts)
			}
		})
	}
}

// changing is a Kept that becomes less by itself, and of which a part is no events.
type changing struct {
	Events
	failures int
}

func (c *changing) Batch(ctx context.Context, n int) (flume.Batch, error) {
	if c.failures--; c.failures >= 0 {
		c.to--
		return nil, errors.New("the dead letters take nothing")
	}
	if c.from == 0 {
		return nil, nil
	}
	return c.Events.Batch(ctx, n)
}

func TestBatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := flumetest.NewEnv()
		o := New(env.Env)
		o.Most = 4
		in := flumetest.Inbox{}
		o.Emit = in.Emit
		c := changing{failures: 2, Events: *Of(10, func(from, to int) flume.Batch { return flumetest.Events(from, to-from) })}
		if err := o.Keep(t.Context(), &c); err != nil {
			t.Error(err)
		}
		if got := flumetest.Bodies(in.Await(t, 4)); !slices.Equal(got, numbers(4, 8)) {
			t.Errorf("%q", got)
		}
		if log := env.Logged(); strings.Count(log, "Events are not taken; they are kept and offered again") != 1 || strings.Count(log, "Events are taken again") != 1 {
			t.Error(log)
		}
	})
}

func TestGrowing(t *testing.T) {
	for _, c := range []struct {
		increment, most time.Duration
		failures        int
		want            time.Duration
	}{
		{0, 5 * time.Second, 3, LeastWait},
		{time.Second, 0, 3, LeastWait},
		{time.Second, 5 * time.Second, 3, 3 * time.Second},
		{time.Second, 5 * time.Second, 1000000, 5 * time.Second},
		{math.MaxInt64 / 2, math.MaxInt64, 3, LeastWait},
	} {
		if got := Growing(c.increment, c.most)(c.failures); got != c.want {
			t.Errorf("increment %v, most %v, after %d failures: %v, want %v", c.increment, c.most, c.failures, got, c.want)
		}
	}
}

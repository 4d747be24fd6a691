// Package supervise keeps components open: what cannot open is tried again, what broke is closed and opened again, and
// the log says what is new and no more.
//
//	 ┌───────────── every 3 s ────────────┐
//	 ▼                                    │
//	Open ──error──▶ said once, counted ───┤
//	 │                                    │
//	 ▼                                    │
//	Use ───error──▶ Close ────────────────┘
//	 │
//	 └──nil, or the end──▶ Close, done
//
// A panic of a component is an error like any other, said as the bug that it is, with its stack.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// Interval is the time from an attempt that failed to the next one, as Flume's.
const Interval = 3 * time.Second

// A Task is a component that shall be open.
type Task[C any] struct {
	Name   string // "source s1", for the log
	Log    *slog.Logger
	Open   func(ctx context.Context) (C, error)
	Failed func()                               // called when Open has failed
	Use    func(ctx context.Context, c C) error // runs with the open component; an error: close it and open it again
	Close  func(c C) error
}

// Run keeps the component open until Use returns nil or ctx ends. When it returns, the component is closed.
func (t *Task[C]) Run(ctx context.Context) {
	opening := Trouble{Log: t.Log, Failing: t.Name + " cannot be opened", Over: t.Name + " is open now"}
	using := Trouble{Log: t.Log, Failing: t.Name + " broke off and is opened again"}
	for {
		trouble := &opening
		c, err := t.open(ctx)
		if err != nil {
			t.Failed()
		} else {
			opening.End()
			trouble = &using
			from := time.Now()
			err = t.use(ctx, c)
			if time.Since(from) > time.Minute {
				using.End()
			}
			if closing := t.close(c); closing != nil {
				t.Log.Warn("closing "+t.Name, append([]any{"error", closing}, stack(closing)...)...)
			}
			if err == nil {
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		trouble.Report(slog.LevelError, err, Interval)
		if Sleep(ctx, Interval) != nil {
			return
		}
	}
}

func (t *Task[C]) open(ctx context.Context) (c C, err error) {
	defer Recover("opening "+t.Name, &err)
	return t.Open(ctx)
}

func (t *Task[C]) use(ctx context.Context, c C) (err error) {
	defer Recover("running "+t.Name, &err)
	return t.Use(ctx, c)
}

func (t *Task[C]) close(c C) (err error) {
	defer Recover("closing "+t.Name, &err)
	return t.Close(c)
}

// A Bug is a panic of a component, recovered.
type Bug struct{ Doing, Panic, Stack string }

func (b *Bug) Error() string {
	return fmt.Sprintf("BUG while %s, please report it: %s", b.Doing, b.Panic)
}

// Recover, deferred, turns a panic into a *Bug.
func Recover(doing string, err *error) {
	if p := recover(); p != nil {
		*err = &Bug{doing, fmt.Sprint(p), string(debug.Stack())}
	}
}

// stack is what the log says of a bug beside the error.
func stack(err error) []any {
	var bug *Bug
	if errors.As(err, &bug) {
		return []any{"stack", bug.Stack}
	}
	return nil
}

// Sleep waits for d. The error is that of ctx, if it ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A Backoff is how long to wait after one more failure: it starts small, doubles to the greatest and is spread by a
// quarter either way, so that many who failed together do not come back together.
type Backoff struct {
	Least, Most time.Duration
	next        time.Duration
}

// Next returns the wait after one more failure.
func (b *Backoff) Next() time.Duration {
	d := max(b.next, b.Least)
	b.next = min(2*d, b.Most)
	return d - d/4 + rand.N(d/2+1)
}

// Reset forgets the failures.
func (b *Backoff) Reset() { b.next = 0 }

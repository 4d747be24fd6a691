// Package flumetest holds the laws of channels, sources, interceptors, selectors and sinks, as tests to call, and what
// a component's own tests need around it.
//
//	func TestLaws(t *testing.T) {
//		flumetest.Channel(t, func(t testing.TB, settings ...string) flume.Channel {
//			return flumetest.Open(t, memory.Kind, settings...)
//		})
//	}
//
// Settings are written as in a file, without the component's name: "capacity = 10".
package flumetest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Section makes the section of a component that has these settings. The n-th setting stands in line n of flume.conf.
func Section(t testing.TB, settings ...string) *conf.Section {
	t.Helper()
	var values conf.Values
	for i, setting := range settings {
		key, text, ok := strings.Cut(setting, "=")
		if !ok {
			t.Fatalf("the setting %q has no =", setting)
		}
		values = append(values, conf.Value{
			Key:  strings.TrimSpace(key),
			Text: strings.TrimSpace(text),
			Pos:  conf.Pos{File: "flume.conf", Line: i + 1},
		})
	}
	return conf.NewSection("a1", "components", "x1", "a1.components.x1.", conf.Pos{File: "flume.conf", Line: 1}, values)
}

// Open opens a component that has no problem with its settings, in an Env of its own.
func Open[C any](t testing.TB, kind flume.Kind[C], settings ...string) C {
	t.Helper()
	return OpenIn(t, NewEnv(), kind, settings...)
}

// OpenIn opens a component in env.
func OpenIn[C any](t testing.TB, env *Env, kind flume.Kind[C], settings ...string) C {
	t.Helper()
	c, err := TryOpen(t, env, kind, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TryOpen returns what Open of a component returns. Settings without a problem are taken for granted.
func TryOpen[C any](t testing.TB, env *Env, kind flume.Kind[C], settings ...string) (C, error) {
	t.Helper()
	sec := Section(t, settings...)
	sec.Targets = slices.Concat(env.Channels, env.Sinks)
	plan, problems := kind.Bind(sec)
	if len(problems) > 0 {
		t.Fatalf("binding %s:\n%v", kind.Type, problems)
	}
	return plan.Open(context.Background(), env.Env)
}

// Problems are what is wrong with settings of a kind. Targets are the channels of a selector's source or the sinks of
// a processor's group.
func Problems[C any](t testing.TB, kind flume.Kind[C], targets []string, settings ...string) conf.Problems {
	t.Helper()
	sec := Section(t, settings...)
	sec.Targets = targets
	_, problems := kind.Bind(sec)
	return problems
}

// An Env is a flume.Env that keeps what a component logs, counts and rejects.
type Env struct {
	flume.Env

	mu       sync.Mutex
	logged   bytes.Buffer
	counters map[string]*atomic.Int64
	rejected []flume.Rejection
}

// NewEnv makes the Env of a component x1 of agent a1, for sources with a transaction capacity of 100, for channels one
// that a source fills.
func NewEnv() *Env {
	e := &Env{counters: map[string]*atomic.Int64{}}
	e.Env = flume.Env{
		Agent: "a1", Name: "x1", TransactionCapacity: 100, Filled: true,
		Log: slog.New(slog.NewTextHandler(e, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Reject: func(_ context.Context, r ...flume.Rejection) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.rejected = append(e.rejected, r...)
			return nil
		},
		Counter: func(attribute string) *atomic.Int64 {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.counters[attribute] == nil {
				e.counters[attribute] = new(atomic.Int64)
			}
			return e.counters[attribute]
		},
	}
	return e
}

// Write takes what is logged.
func (e *Env) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.logged.Write(p)
}

// Logged is the log so far.
func (e *Env) Logged() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.logged.String()
}

// Count is the value of a counter.
func (e *Env) Count(attribute string) int64 { return e.Counter(attribute).Load() }

// Rejected are the rejections so far.
func (e *Env) Rejected() []flume.Rejection {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.rejected)
}

// Events makes n events whose bodies are the numbers from first on and whose header n is the same number.
func Events(first, n int) flume.Batch {
	b := make(flume.Batch, n)
	for i := range b {
		number := strconv.Itoa(first + i)
		b[i] = flume.Event{Headers: flume.Headers{{Key: "n", Value: number}}, Body: []byte(number)}
	}
	return b
}

// Bodies are the bodies of a batch as text.
func Bodies(b flume.Batch) []string {
	out := make([]string, len(b))
	for i := range b {
		out[i] = string(b[i].Body)
	}
	return out
}

// An Inbox is an Emit that keeps what it gets.
type Inbox struct {
	// Answer says what becomes of a batch; nil takes them all. What it refuses is not kept.
	Answer func(b flume.Batch) error

	mu      sync.Mutex
	batches []flume.Batch
	events  int
	more    chan struct{}
}

// Emit takes a batch.
func (in *Inbox) Emit(_ context.Context, b flume.Batch) error {
	if in.Answer != nil {
		if err := in.Answer(b); err != nil {
			return err
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.batches = append(in.batches, b)
	in.events += len(b)
	if in.more != nil {
		close(in.more)
		in.more = nil
	}
	return nil
}

// Batches are all that has come.
func (in *Inbox) Batches() []flume.Batch {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.batches)
}

// Await waits until so many events have come and returns all events.
func (in *Inbox) Await(t testing.TB, events int) flume.Batch {
	t.Helper()
	late := time.After(patience)
	for {
		in.mu.Lock()
		if in.events >= events {
			all := slices.Concat(in.batches...)
			in.mu.Unlock()
			return all
		}
		if in.more == nil {
			in.more = make(chan struct{})
		}
		more, have := in.more, in.events
		in.mu.Unlock()
		select {
		case <-more:
		case <-late:
			t.Fatalf("only %d of %d events came within %v", have, events, patience)
		}
	}
}

// patience is how long a law waits for what should happen at once.
const patience = 20 * time.Second

// soon waits for what should happen at once.
func soon[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen within %v", what, patience)
		panic("unreachable")
	}
}

// Until waits until something holds, for what happens outside of a synctest bubble.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// ended is a context that has ended: a Take with it does not wait.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// same compares two batches event by event; nil and empty headers are the same.
func same(a, b flume.Batch) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d events instead of %d", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i].Body, b[i].Body) {
			return fmt.Errorf("event %d has the body %q instead of %q", i, a[i].Body, b[i].Body)
		}
		if !slices.Equal(a[i].Headers, b[i].Headers) {
			return fmt.Errorf("event %d has the headers %v instead of %v", i, a[i].Headers, b[i].Headers)
		}
	}
	return nil
}

// Running is a source that runs, with a channel that is an Inbox.
type Running struct {
	flume.Source
	*Env
	Inbox
	Stop func() // ends the context of Run and waits for it
}

// Run opens a source and runs it until Stop, or the end of the test. answer says what becomes of a batch; nil takes
// them all.
func Run(t testing.TB, kind flume.Kind[flume.Source], answer func(flume.Batch) error, settings ...string) *Running {
	t.Helper()
	r := &Running{Env: NewEnv()}
	r.Answer = answer
	r.Source = OpenIn(t, r.Env, kind, settings...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Source.Run(ctx, r.Emit) }()
	r.Stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		r.Stop()
	})
	return r
}

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// memory is a channel for tests: a bounded queue whose contents are gone with it.
type memory struct {
	settings *memorySettings

	mu     sync.Mutex
	queue  flume.Batch
	held   int // reserved by puts and taken by takes
	wake   chan struct{}
	closed bool
	hung   int // commits
}

type memorySettings struct {
	capacity, transactionCapacity int
	fail                          string // open, put, commit or take: what does not work; slow: a commit takes a second; hang: two, as long as they may
	durable, remote               bool
}

func (s *memorySettings) Declare(d *conf.Decl) {
	d.Int(&s.capacity, "capacity", 100, "How many events there is room for.").AtLeast(1)
	d.TransactionCapacity(&s.transactionCapacity, "transactionCapacity", 100, "The most events of one transaction.")
	d.String(&s.fail, "fail", "", "What does not work.")
	d.Bool(&s.durable, "durable", false, "Whether the events are said to outlive the process.")
	d.Bool(&s.remote, "remote", false, "Whether they are said to be sent to another machine.")
}

func newMemory(s *memorySettings) *memory { return &memory{settings: s, wake: make(chan struct{})} }

func (m *memory) Volatile() bool { return !m.settings.durable }

func (m *memory) Remote() bool { return m.settings.remote }

// change wakes all who wait; the lock is held.
func (m *memory) change() {
	close(m.wake)
	m.wake = make(chan struct{})
}

func (m *memory) Put(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	if m.settings.fail == "put" {
		return nil, errors.New("put is out of order")
	}
	if len(b) > m.settings.capacity {
		return nil, flume.ErrTooLarge
	}
	timeout := time.NewTimer(3 * time.Second)
	defer timeout.Stop()
	m.mu.Lock()
	for len(m.queue)+m.held+len(b) > m.settings.capacity {
		wake := m.wake
		m.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timeout.C:
			return nil, flume.ErrFull
		}
		m.mu.Lock()
	}
	m.held += len(b)
	m.mu.Unlock()
	return &transaction{m: m, b: b, put: true}, nil
}

func (m *memory) Take(ctx context.Context, l flume.Limits) (flume.Transaction, error) {
	if m.settings.fail == "take" {
		return nil, errors.New("take is out of order")
	}
	m.mu.Lock()
	for len(m.queue) == 0 {
		wake := m.wake
		m.mu.Unlock()
		if ctx.Err() != nil {
			return nil, flume.ErrEmpty
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
		m.mu.Lock()
	}
	defer m.mu.Unlock()
	n := min(least(l.Events, m.settings.transactionCapacity), len(m.queue))
	b := m.queue[:n:n]
	m.queue = m.queue[n:]
	m.held += n
	return &transaction{m: m, b: b}, nil
}

func (m *memory) hangs() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung++
	return m.hung < 3
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errors.New("closed twice")
	}
	m.closed = true
	return nil
}

func (m *memory) bodies() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bodies(m.queue)
}

type transaction struct {
	m    *memory
	b    flume.Batch
	put  bool
	done bool
}

func (t *transaction) Batch() flume.Batch { return t.b }

func (t *transaction) Commit(ctx context.Context) error {
	if t.m.settings.fail == "slow" {
		time.Sleep(time.Second)
	}
	if t.m.settings.fail == "hang" && t.put && t.m.hangs() {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.m.settings.fail == "commit" && t.put {
		return errors.New("commit is out of order")
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.done = true
	t.m.held -= len(t.b)
	if t.put {
		t.m.queue = append(t.m.queue, t.b...)
	}
	t.m.change()
	return nil
}

func (t *transaction) Rollback() {
	if t.done {
		return
	}
	t.done = true
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.held -= len(t.b)
	if !t.put {
		t.m.queue = append(slices.Clone(t.b), t.m.queue...)
	}
	t.m.change()
}

func (t *transaction) Split(keep []int) flume.Transaction {
	var mine, rest flume.Batch
	for i, e := range t.b {
		if slices.Contains(keep, i) {
			mine = append(mine, e)
		} else {
			rest = append(rest, e)
		}
	}
	t.b = rest
	return &transaction{m: t.m, b: mine}
}

// nothing is settings without any.
type nothing struct{ batch int }

func (s *nothing) Declare(d *conf.Decl) {
	d.BatchSize(&s.batch, "batchSize", 0, "How many events make a transaction.").AtLeast(0)
}

// fakeSource is what a test makes of a source.
type fakeSource struct {
	run   func(ctx context.Context, emit flume.Emit) error
	close func() error
}

func (s fakeSource) Run(ctx context.Context, emit flume.Emit) error { return s.run(ctx, emit) }

func (s fakeSource) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// fakeSink is what a test makes of a sink.
type fakeSink struct {
	deliver func(ctx context.Context, b flume.Batch) error
	limits  flume.Limits
	close   func() error
}

func (s fakeSink) Deliver(ctx context.Context, b flume.Batch) error { return s.deliver(ctx, b) }
func (s fakeSink) Limits() flume.Limits                             { return s.limits }

func (s fakeSink) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

type fakeInterceptor func(ctx context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error)

func (i fakeInterceptor) Intercept(ctx context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	return i(ctx, b)
}
func (i fakeInterceptor) Close() error { return nil }

type fakeSelector func(b flume.Batch, r *flume.Routes)

func (s fakeSelector) Select(b flume.Batch, r *flume.Routes) { s(b, r) }

type fakeProcessor func(ctx context.Context, group []flume.Drain) error

func (p fakeProcessor) Process(ctx context.Context, group []flume.Drain) error { return p(ctx, group) }

// replicating is the selector of every source that names none.
func replicating() flume.Kind[flume.Selector] {
	return flume.Define[nothing]("replicating", "org.apache.flume.channel.ReplicatingChannelSelector", "All channels.",
		func(_ context.Context, _ *nothing, env flume.Env) (flume.Selector, error) {
			return fakeSelector(func(b flume.Batch, r *flume.Routes) {
				for i := range env.Channels {
					r.Require(i, b...)
				}
			}), nil
		})
}

func memoryKind(opened map[string]*memory) flume.Kind[flume.Channel] {
	var mu sync.Mutex
	return flume.Define[memorySettings]("memory", "org.apache.flume.channel.MemoryChannel", "Memory.",
		func(_ context.Context, s *memorySettings, env flume.Env) (flume.Channel, error) {
			if s.fail == "open" {
				return nil, errors.New("no room for a channel")
			}
			m := newMemory(s)
			mu.Lock()
			defer mu.Unlock()
			opened[env.Name] = m
			return m, nil
		})
}

func sourceKind(typ string, open func(env flume.Env) (flume.Source, error)) flume.Kind[flume.Source] {
	return flume.Define[nothing](typ, "org.example."+typ, "A source.", func(_ context.Context, _ *nothing, env flume.Env) (flume.Source, error) {
		return open(env)
	})
}

func sinkKind(typ string, open func(env flume.Env) (flume.Sink, error)) flume.Kind[flume.Sink] {
	return flume.Define[nothing](typ, "org.example."+typ, "A sink.", func(_ context.Context, _ *nothing, env flume.Env) (flume.Sink, error) {
		return open(env)
	})
}

func interceptorKind(typ string, i fakeInterceptor) flume.Kind[flume.Interceptor] {
	return flume.Define[nothing](typ, "org.example."+typ+"$Builder", "An interceptor.", func(context.Context, *nothing, flume.Env) (flume.Interceptor, error) {
		return i, nil
	})
}

func selectorKind(typ string, s fakeSelector) flume.Kind[flume.Selector] {
	return flume.Define[nothing](typ, "org.example."+typ, "A selector.", func(context.Context, *nothing, flume.Env) (flume.Selector, error) {
		return s, nil
	})
}

func processorKind(typ string, p fakeProcessor) flume.Kind[flume.SinkProcessor] {
	return flume.Define[nothing](typ, "org.example."+typ, "A processor.", func(context.Context, *nothing, flume.Env) (flume.SinkProcessor, error) {
		return p, nil
	})
}

// file reads a configuration. What reading it finds is not looked at here.
func file(t testing.TB, name, text string) *conf.Config {
	t.Helper()
	cfg, _, err := conf.Parse(name, []byte(text), conf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start assembles the first agent of text and runs it; stop ends it and returns what Run returned.
func start(t testing.TB, kit Kit, text string, adjust ...func(*Options)) (a *Agent, stop func() error) {
	t.Helper()
	o := Options{Kit: kit, Log: slog.New(slog.DiscardHandler), DataDir: t.TempDir()}
	for _, f := range adjust {
		f(&o)
	}
	a, problems := New(file(t, "f.conf", text).Agents[0], o)
	if a == nil {
		t.Fatalf("nothing runs:\n%s", problems)
	}
	ctx, cancel := context.WithCancel(t.Context())
	running, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- a.Run(ctx, func() { close(running) }) }()
	<-running
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return a, stop
}

func properties(pairs ...string) conf.Lookup {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// events makes one for each word.
func events(words string) flume.Batch {
	var b flume.Batch
	for w := range strings.FieldsSeq(words) {
		b = append(b, flume.Event{Body: []byte(w)})
	}
	return b
}

func numbered(from, to int) flume.Batch {
	var b flume.Batch
	for i := from; i < to; i++ {
		b = append(b, flume.Event{Body: fmt.Appendf(nil, "%d", i)})
	}
	return b
}

func bodies(b flume.Batch) string {
	var words []string
	for _, e := range b {
		words = append(words, string(e.Body))
	}
	return strings.Join(words, " ")
}

// collector is a sink's memory.
type collector struct {
	mu  sync.Mutex
	got flume.Batch
}

func (c *collector) add(b flume.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, b...)
}

func (c *collector) bodies() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bodies(c.got)
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) count(part string) int { return strings.Count(l.String(), part) }

func (l *logBuffer) use(o *Options) { o.Log = slog.New(slog.NewTextHandler(l, nil)) }

// pass lets time go by, in a bubble of synctest, and everybody do what they have to do at its end.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A ledger is what one goroutine notes and another reads.
type ledger[T any] struct {
	mu    sync.Mutex
	items []T
}

// note adds an item and returns how many there are.
func (l *ledger[T]) note(item T) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items = append(l.items, item)
	return len(l.items)
}

func (l *ledger[T]) list() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.items)
}

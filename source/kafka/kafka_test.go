package kafka

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// section holds settings, given as key, value, key, value.
func section(t testing.TB, pairs ...string) *conf.Section {
	t.Helper()
	var lines []string
	for i := 0; i < len(pairs); i += 2 {
		lines = append(lines, pairs[i]+" = "+pairs[i+1])
	}
	return flumetest.Section(t, lines...)
}

// newRig makes an environment that a test can look into, and that is shown when the test fails.
func newRig(t testing.TB, capacity int) *flumetest.Env {
	e := flumetest.NewEnv()
	e.TransactionCapacity = capacity
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(e.Logged())
		}
	})
	return e
}

// sinkhole takes what is emitted.
type sinkhole struct {
	mu     sync.Mutex
	events flume.Batch
	sizes  []int
	came   chan struct{}
	fail   func(n int, b flume.Batch) error // asked before the n-th batch is taken
	n      int
}

func newSinkhole() *sinkhole { return &sinkhole{came: make(chan struct{}, 1)} }

func (s *sinkhole) emit(_ context.Context, b flume.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if s.fail != nil {
		if err := s.fail(s.n, b); err != nil {
			return err
		}
	}
	s.events = append(s.events, b...)
	s.sizes = append(s.sizes, len(b))
	select {
	case s.came <- struct{}{}:
	default:
	}
	return nil
}

func (s *sinkhole) bodies() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.events))
	for i := range s.events {
		out[i] = string(s.events[i].Body)
	}
	return out
}

// await waits until n events are there.
func (s *sinkhole) await(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if got := s.bodies(); len(got) >= n {
			return got
		}
		select {
		case <-s.came:
		case <-deadline:
			t.Fatalf("%d events after 20 s, want %d", len(s.bodies()), n)
		}
	}
}

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// produce writes records, to their partitions.
func produce(t *testing.T, c *kfake.Cluster, records ...*kgo.Record) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// start opens a source and runs it until the test's end or stop.
func start(t *testing.T, r *flumetest.Env, emit flume.Emit, pairs ...string) (stop func()) {
	t.Helper()
	plan, problems := Kind.Bind(section(t, pairs...))
	if problems.Fatal() {
		t.Fatal(problems)
	}
	src, err := plan.Open(t.Context(), r.Env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, emit) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := src.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func servers(c *kfake.Cluster) string { return strings.Join(c.ListenAddrs(), ",") }

func record(topic string, partition int32, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}
}

func TestReadsWhatIsThereAndWhatComes(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	produce(t, c, record("test3", 0, "one"), record("test3", 0, "two"))
	r, hole := newRig(t, 100), newSinkhole()
	stop := start(t, r, hole.emit, "kafka.bootstrap.servers", servers(c), "kafka.topics", "test3", "kafka.consumer.auto.offset.reset", "earliest")
	hole.await(t, 2)
	produce(t, c, record("test3", 0, "three"))
	got := hole.await(t, 3)
	if strings.Join(got, " ") != "one two three" {
		t.Errorf("got %q", got)
	}
	stop()
	commits := c.GroupInfo("flume").Commits
	if at := commits["test3"][0].Offset; at != 3 {
		t.Errorf("committed %d, want 3", at)
	}
	// A second run has nothing to read again.
	produce(t, c, record("test3", 0, "four"))
	again := newSinkhole()
	start(t, newRig(t, 100), again.emit, "kafka.bootstrap.servers", servers(c), "kafka.topics", "test3")
	if got := again.await(t, 1); strings.Join(got, " ") != "four" {
		t.Errorf("after a restart: %q", got)
	}
}

package agent

import (
	"context"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

// A hose is a channel of one batch that allocates nothing, so that what is measured is the agent.
type hose struct {
	full, empty chan struct{}
	batch       flume.Batch
	tx          hoseTransaction
}

type hoseTransaction struct {
	h   *hose
	put bool
}

func newHose() *hose {
	h := &hose{full: make(chan struct{}, 1), empty: make(chan struct{}, 1)}
	h.empty <- struct{}{}
	h.tx.h = h
	return h
}

func (h *hose) Put(_ context.Context, b flume.Batch) (flume.Transaction, error) {
	<-h.empty
	h.batch, h.tx.put = b, true
	return &h.tx, nil
}

func (h *hose) Take(ctx context.Context, _ flume.Limits) (flume.Transaction, error) {
	select {
	case <-h.full:
		h.tx.put = false
		return &h.tx, nil
	case <-ctx.Done():
		return nil, flume.ErrEmpty
	}
}

func (h *hose) Close() error { return nil }

func (t *hoseTransaction) Batch() flume.Batch { return t.h.batch }

func (t *hoseTransaction) Commit(context.Context) error {
	if t.put {
		t.h.full <- struct{}{}
	} else {
		t.h.empty <- struct{}{}
	}
	return nil
}

func (t *hoseTransaction) Split([]int) flume.Transaction { panic("BUG: nothing is split here") }
func (t *hoseTransaction) Rollback()                     {}

// path runs an agent of one source, two interceptors, one channel and one sink, and returns a function that sends one
// batch of size events through all of it.
func path(t testing.TB, size int) func() {
	t.Helper()
	delivered := make(chan struct{}, 1)
	emits := make(chan flume.Emit, 1)
	pass := fakeInterceptor(func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) { return b, nil, nil })
	kit, _ := flow(func(flume.Env) (flume.Source, error) {
		return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
			emits <- emit
			<-ctx.Done()
			return nil
		}}, nil
	}, func(flume.Env) (flume.Sink, error) {
		return fakeSink{deliver: func(context.Context, flume.Batch) error {
			delivered <- struct{}{}
			return nil
		}}, nil
	})
	kit.Interceptors = []flume.Kind[flume.Interceptor]{interceptorKind("pass", pass)}
	kit.Channels = []flume.Kind[flume.Channel]{flume.Define[memorySettings]("memory", "", "A hose.",
		func(context.Context, *memorySettings, flume.Env) (flume.Channel, error) { return newHose(), nil })}
	_, _ = start(t, kit, oneFlow+`
		a1.sources.s1.interceptors = i1 i2
		a1.sources.s1.interceptors.i1.type = pass
		a1.sources.s1.interceptors.i2.type = pass`)
	emit, b, ctx := <-emits, numbered(0, size), context.Background()
	return func() {
		if err := emit(ctx, b); err != nil {
			t.Fatal(err)
		}
		<-delivered
	}
}

// What the agent itself adds to the path of a batch is a few allocations, whatever the size of the batch.
func TestThePathAllocatesPerBatchOnly(t *testing.T) {
	const size = 100
	perBatch := testing.AllocsPerRun(200, path(t, size))
	t.Logf("%.0f allocations for a batch of %d events", perBatch, size)
	if perBatch > 0.1*size {
		t.Errorf("%.0f allocations for a batch of %d events, more than one for ten events", perBatch, size)
	}
}

func BenchmarkPath(b *testing.B) {
	const size = 100
	send := path(b, size)
	b.ReportAllocs()
	for b.Loop() {
		send()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
}

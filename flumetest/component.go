package flumetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
)

// Source runs the laws of a source. open opens it in the same place each time. A peer that the test has started before
// may go on running.
func Source(t *testing.T, open func(t testing.TB) flume.Source) {
	before := goleak.IgnoreCurrent()
	for _, law := range []struct {
		name string
		test func(t *testing.T, open func(t testing.TB) flume.Source)
	}{
		{"run returns when its context ends", func(t *testing.T, open func(t testing.TB) flume.Source) {
			ctx, cancel := context.WithCancel(context.Background())
			running(t, open(t), ctx, cancel)
		}},
		{"run returns when its context has ended before", func(t *testing.T, open func(t testing.TB) flume.Source) {
			running(t, open(t), ended(), func() {})
		}},
		{"close ends a run", func(t *testing.T, open func(t testing.TB) flume.Source) {
			s := open(t)
			running(t, s, context.Background(), func() {
				if err := s.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
		}},
		{"close frees what open took", func(t *testing.T, open func(t testing.TB) flume.Source) {
			for range 3 {
				if err := open(t).Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			}
		}},
	} {
		t.Run(law.name, func(t *testing.T) {
			law.test(t, open)
			goleak.VerifyNone(t, before)
		})
	}
}

// running runs s until it is told to stop, closes it, and sees to it that nothing is emitted any more.
func running(t *testing.T, s flume.Source, ctx context.Context, stop func()) {
	t.Helper()
	var emitting atomic.Int32
	emit := func(context.Context, flume.Batch) error {
		emitting.Add(1)
		defer emitting.Add(-1)
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, emit) }()
	stop()
	if err := soon(t, "the end of Run", done); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if n := emitting.Load(); n != 0 {
		t.Errorf("%d batches are still being emitted after Run returned", n)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// Sink runs the laws of a sink that can deliver what it gets, with peers as for Source.
func Sink(t *testing.T, open func(t testing.TB) flume.Sink) {
	before := goleak.IgnoreCurrent()
	t.Run("a batch is borrowed", func(t *testing.T) {
		s := open(t)
		l := s.Limits()
		if l.Events < 0 || l.Bytes < 0 || l.Linger < 0 {
			t.Errorf("the limits are %+v", l)
		}
		for _, b := range batches() {
			if l.Events > 0 {
				b = b[:min(len(b), l.Events)]
			}
			before := copied(b)
			if err := s.Deliver(context.Background(), b); err != nil {
				t.Errorf("delivering %d events: %v", len(b), err)
			}
			if err := same(b, before); err != nil {
				t.Errorf("the sink has changed its batch: %v", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		goleak.VerifyNone(t, before)
	})
	t.Run("close without a delivery", func(t *testing.T) {
		if err := open(t).Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		goleak.VerifyNone(t, before)
	})
}

// Interceptor runs the laws of an interceptor that neither adds events nor changes their order.
func Interceptor(t *testing.T, open func(t testing.TB) flume.Interceptor) {
	t.Run("headers have no room in common", func(t *testing.T) {
		i := open(t)
		for _, b := range batches() {
			out := intercepted(t, i, b)
			for n := range out {
				out[n].Headers = append(out[n].Headers, flume.Header{Key: "of event", Value: strconv.Itoa(n)})
			}
			for n := range out {
				if got, _ := out[n].Headers.Get("of event"); got != strconv.Itoa(n) {
					t.Fatalf("the headers of event %d were overwritten by those of %s", n, got)
				}
				seen := map[string]bool{}
				for _, h := range out[n].Headers {
					if seen[h.Key] {
						t.Errorf("event %d has the header %s twice", n, h.Key)
					}
					seen[h.Key] = true
				}
			}
		}
		if err := i.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		goleak.VerifyNone(t)
	})
	t.Run("what did not arrive passes again", func(t *testing.T) {
		i := open(t)
		if w, ok := i.(flume.Witness); ok {
			witnessed(t, w)
		}
		if err := i.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	t.Run("calls overlap", func(t *testing.T) {
		i := open(t)
		overlapping(func(int) { intercepted(t, i, Events(0, 50)) })
		if err := i.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
}

// witnessed is the law of an interceptor that sees what becomes of its events: what did not arrive passes again.
func witnessed(t testing.TB, w flume.Witness) {
	no := errors.New("the channel is full")
	for _, b := range batches() {
		var passed [2]flume.Batch
		for n, fate := range []error{no, nil} {
			calls := 0
			err := w.Witness(context.Background(), copied(b), func(_ context.Context, out flume.Batch, _ []flume.Rejection) error {
				calls++
				passed[n] = copied(out)
				return fate
			})
			if calls != 1 || !errors.Is(err, fate) {
				t.Errorf("a batch was passed on %d times, and of %v became %v", calls, fate, err)
			}
		}
		if err := same(passed[0], passed[1]); err != nil {
			t.Errorf("what did not arrive does not pass again: %v", err)
		}
	}
}

func intercepted(t testing.TB, i flume.Interceptor, b flume.Batch) flume.Batch {
	n := len(b)
	out, rejected, err := i.Intercept(context.Background(), b)
	if err != nil {
		t.Errorf("intercepting: %v", err)
	}
	if len(out)+len(rejected) > n {
		t.Errorf("%d events and %d rejections came of %d events", len(out), len(rejected), n)
	}
	return out
}

// Selector runs the laws of a selector over so many channels.
func Selector(t *testing.T, channels int, open func(t testing.TB) flume.Selector) {
	t.Run("events are read only, in order, and not doubled", func(t *testing.T) {
		s := open(t)
		for _, b := range batches() {
			before := copied(b)
			var r flume.Routes
			r.Reset(channels)
			s.Select(b, &r)
			if err := same(b, before); err != nil {
				t.Errorf("the selector has changed the batch: %v", err)
			}
			for c := range channels {
				if err := within(slices.Concat(r.Required(c), r.Optional(c)), b); err != nil && len(r.Required(c))*len(r.Optional(c)) == 0 {
					t.Errorf("channel %d: %v", c, err)
				}
			}
		}
	})
	t.Run("calls overlap", func(t *testing.T) {
		s := open(t)
		overlapping(func(int) {
			var r flume.Routes
			r.Reset(channels)
			s.Select(Events(0, 50), &r)
		})
	})
}

// within reports whether part is some events of whole, in their order.
func within(part, whole flume.Batch) error {
	at := 0
	for i := range part {
		for at < len(whole) && same(part[i:i+1], whole[at:at+1]) != nil {
			at++
		}
		if at == len(whole) {
			return fmt.Errorf("event %d of %d is not the source's, or not in its order", i, len(part))
		}
		at++
	}
	return nil
}

func overlapping(do func(n int)) {
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for range 20 {
				do(n)
			}
		})
	}
	all.Wait()
}

// batches are batches of many shapes.
func batches() []flume.Batch {
	var many flume.Headers
	for i := range 40 {
		many = append(many, flume.Header{Key: "h" + strconv.Itoa(i), Value: "v"})
	}
	return []flume.Batch{
		Events(0, 1),
		Events(0, 100),
		{{}, {Body: []byte{}}, {Body: []byte{0, 0xff, '\n'}}},
		{{Headers: many, Body: []byte("x")}, {Headers: flume.Headers{{Key: "", Value: ""}}}},
		shared(),
	}
}

// shared is a batch as a decoder makes it: the headers of all events are cut from one allocation.
func shared() flume.Batch {
	all := make(flume.Headers, 0, 100)
	b := make(flume.Batch, 10)
	for i := range b {
		from := len(all)
		for n := range i % 4 {
			all = append(all, flume.Header{Key: "k" + strconv.Itoa(n), Value: strconv.Itoa(i)})
		}
		b[i] = flume.Event{Headers: all[from:len(all):len(all)], Body: []byte(strconv.Itoa(i))}
	}
	return b
}

// copied shares nothing with b.
func copied(b flume.Batch) flume.Batch {
	out := b.Clone()
	for i := range out {
		out[i].Body = slices.Clone(out[i].Body)
	}
	return out
}

package agent

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

// fakeWitness is what a test makes of an interceptor that sees what becomes of its events.
type fakeWitness func(ctx context.Context, b flume.Batch, next func(context.Context, flume.Batch, []flume.Rejection) error) error

func (w fakeWitness) Witness(ctx context.Context, b flume.Batch, next func(context.Context, flume.Batch, []flume.Rejection) error) error {
	return w(ctx, b, next)
}

func (w fakeWitness) Intercept(context.Context, flume.Batch) (flume.Batch, []flume.Rejection, error) {
	return nil, nil, errors.New("Intercept of a witness is called")
}
func (w fakeWitness) Close() error { return nil }

func TestAWitnessSeesWhatBecomesOfABatch(t *testing.T) {
	no := errors.New("no good")
	out := errors.New("out of order")
	var fates []error
	kit := Kit{Interceptors: []flume.Kind[flume.Interceptor]{
		flume.Define[nothing, flume.Interceptor]("witness", "org.example.Witness", "Sees.", func(context.Context, *nothing, flume.Env) (flume.Interceptor, error) {
			return fakeWitness(func(ctx context.Context, b flume.Batch, next func(context.Context, flume.Batch, []flume.Rejection) error) error {
				switch string(b[0].Body) {
				case "error":
					return out
				case "nobody":
					return nil
				case "panic":
					panic("at the disco")
				case "swallow":
					_ = next(ctx, b, nil)
					return nil
				case "empty":
					b = nil
				}
				var r []flume.Rejection
				if len(b) > 0 && string(b[0].Body) == "reject" {
					r, b = append(r, flume.Rejection{Event: b[0], Err: no}), b[1:]
				}
				err := next(ctx, b, r)
				fates = append(fates, err)
				return err
			}), nil
		}),
		interceptorKind("behind", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
			if string(b[0].Body) == "behind" {
				return nil, nil, out
			}
			b.SetHeader("behind", "1", false)
			return b, nil, nil
		}),
	}}
	b := newBench(t, `
		a1.sources.s1.interceptors = i1 i2 i3
		a1.sources.s1.interceptors.i1.type = behind
		a1.sources.s1.interceptors.i2.type = witness
		a1.sources.s1.interceptors.i3.type = behind
		a1.channels.c2.keep-alive = 0
		`, kit)
	for _, x := range []struct {
		list string
		want string // a part of the error; empty: none
		own  bool   // of an interceptor
		saw  bool   // the witness saw it, as it was returned
	}{
		{"a", "", false, true},
		{"reject b", "", false, true},
		{"reject", "", false, true},
		{"empty", "", false, true},
		{"error", "intercepting with a1.sources.s1.interceptors.i2: out of order", true, false},
		{"nobody", "passes a batch on to nobody", false, false},
		{"panic", "at the disco", false, false},
		{"1 2 3 4 5 6 7 8 9 10 11", flume.ErrTooLarge.Error(), false, true},
		{"swallow 2 3 4 5 6 7 8 9 10 11", flume.ErrTooLarge.Error(), false, false},
	} {
		fates = nil
		err := b.emit(t.Context(), events(x.list))
		switch {
		case x.want == "" && err != nil, x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)):
			t.Errorf("%s: %v", x.list, err)
		case errors.Is(err, flume.ErrInterceptor) != x.own:
			t.Errorf("%s: whether it was an interceptor is told wrongly: %v", x.list, err)
		}
		if x.saw && (len(fates) != 1 || !errors.Is(fates[0], err)) || !x.saw && len(fates) > 0 {
			t.Errorf("%s: the witness saw %v", x.list, fates)
		}
	}
	b.holds("c1", "a b")
	b.holds("c2", "a b")
	if got := letterBodies(t, b.agent); got != "reject reject" {
		t.Errorf("dead letters %q", got)
	}
	b.counter("SOURCE.s1", "EventReceivedCount", 1+2+1+1+1+1+1+11+11)
	b.counter("SOURCE.s1", "EventAcceptedCount", 5)
	b.counter("SOURCE.s1", "GenericProcessingFail", 1)
}

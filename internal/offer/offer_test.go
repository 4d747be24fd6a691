package offer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/supervise"
)

func offer(env *flumetest.Env, in *flumetest.Inbox) *Offer {
	return &Offer{Emit: in.Emit, Reject: env.Reject, Trouble: &supervise.Trouble{Log: env.Log, Failing: "no", Over: "yes"}}
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		in := flumetest.Inbox{Answer: func(b flume.Batch) error {
			if got, _ := b[0].Headers.Get("n"); got != "0" {
				t.Errorf("attempt %d has the header %q", n, got)
			}
			b[0].Headers.Set("n", "changed")
			clear(b[1:])
			if n++; n < 5 {
				return errors.New("not now")
			}
			return nil
		}}
		env := flumetest.NewEnv()
		if err := offer(env, &in).Keep(t.Context(), flumetest.Events(0, 3)); err != nil {
			t.Error(err)
		}
		if log := env.Logged(); n != 5 || strings.Count(log, "msg=no") != 1 || strings.Count(log, "msg=yes") != 1 {
			t.Errorf("%d attempts: %s", n, log)
		}
	})
}

func TestTooLarge(t *testing.T) {
	in := flumetest.Inbox{Answer: func(b flume.Batch) error {
		if len(b) > 2 || string(b[0].Body) == "4" || string(b[len(b)-1].Body) == "4" {
			return flume.ErrTooLarge
		}
		return nil
	}}
	env := flumetest.NewEnv()
	if err := offer(env, &in).Keep(t.Context(), flumetest.Events(0, 9)); err != nil {
		t.Error(err)
	}
	if got := strings.Join(flumetest.Bodies(in.Await(t, 8)), ""); got != "01235678" {
		t.Error(got)
	}
	if r := env.Rejected(); len(r) != 1 || string(r[0].Event.Body) != "4" || !errors.Is(r[0].Err, flume.ErrTooLarge) {
		t.Errorf("%v", r)
	}
}

// The end of ctx ends it, but not the attempt that is under way.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		env := flumetest.NewEnv()
		env.Reject = func(context.Context, ...flume.Rejection) error { return errors.New("the disk is full") }
		in := flumetest.Inbox{Answer: func(flume.Batch) error { return flume.ErrTooLarge }}
		o := offer(env, &in)
		o.Trouble.Log = slog.New(slog.DiscardHandler)
		o.Reject = env.Reject
		if err := o.Keep(ctx, flumetest.Events(0, 1)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

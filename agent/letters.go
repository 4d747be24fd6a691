package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/deadletter"
	"github.com/sluice-io/sluice/internal/supervise"
)

// letters are the agent's dead letters as its components see them.
type letters struct {
	store   *deadletter.Letters
	discard bool // -Dsluice.deadletter=discard: rejected events are counted and thrown away
	trouble supervise.Trouble

	log     *slog.Logger
	mu      sync.Mutex
	refused map[string]*supervise.Trouble // what each component rejects; said by kind of reason
}

func newLetters(store *deadletter.Letters, discard bool, log *slog.Logger) *letters {
	l := &letters{store: store, discard: discard, log: log, refused: map[string]*supervise.Trouble{}, trouble: supervise.Trouble{Log: log,
		Failing: "rejected events cannot be kept; who rejected them waits", Over: "rejected events are kept again"}}
	if discard {
		l.trouble.Failing = "rejected events are thrown away"
	}
	return l
}

// write tries once. Trouble is said here, once for all components.
func (l *letters) write(component string, r []flume.Rejection) error {
	r = anonymous(r)
	if l.discard {
		l.trouble.Report(slog.LevelError, errDiscarded, 0)
		l.say(component, r)
		return nil
	}
	err := l.store.Write(component, r...)
	if err != nil {
		l.trouble.Report(slog.LevelError, err, 0)
		return err
	}
	l.trouble.End()
	l.say(component, r)
	return nil
}

// say tells the operator what is rejected and why: a reason that is new at once, others once in a while.
func (l *letters) say(component string, r []flume.Rejection) {
	l.mu.Lock()
	t := l.refused[component]
	if t == nil {
		t = &supervise.Trouble{Log: l.log, Failing: component + " rejects events, which are kept as dead letters in " + l.store.Dir()}
		if l.discard {
			t.Failing = component + " rejects events, which are thrown away"
		}
		l.refused[component] = t
	}
	l.mu.Unlock()
	for i := range r {
		err := r[i].Err
		if r[i].Position != "" {
			err = fmt.Errorf("%s: %w", r[i].Position, err)
		}
		t.Report(slog.LevelWarn, err, 0)
	}
}

var errDiscarded = errors.New("-Dsluice.deadletter=discard asks for it")

// wait tries until the events are on disk or ctx ends.
func (l *letters) wait(ctx context.Context, component string, r []flume.Rejection) error {
	backoff := supervise.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}
	for {
		err := l.write(component, r)
		if err == nil {
			return nil
		}
		if supervise.Sleep(ctx, backoff.Next()) != nil {
			return err
		}
	}
}

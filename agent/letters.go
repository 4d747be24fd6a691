package agent

import (
	"context"
	"errors"
	"log/slog"
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
}

func newLetters(store *deadletter.Letters, discard bool, log *slog.Logger) *letters {
	l := &letters{store: store, discard: discard, trouble: supervise.Trouble{Log: log,
		Failing: "rejected events cannot be kept; who rejected them waits", Over: "rejected events are kept again"}}
	if discard {
		l.trouble.Failing = "rejected events are thrown away"
	}
	return l
}

// write tries once. Trouble is said here, once for all components.
func (l *letters) write(component string, r []flume.Rejection) error {
	if l.discard {
		l.trouble.Report(slog.LevelError, errDiscarded, 0)
		return nil
	}
	err := l.store.Write(component, r...)
	if err != nil {
		l.trouble.Report(slog.LevelError, err, 0)
		return err
	}
	l.trouble.End()
	return nil
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

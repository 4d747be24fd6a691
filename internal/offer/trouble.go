package offer

import (
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Trouble says in the log that batches are not taken, whose doing it is, and that they are taken again. It may be used by
// many goroutines.
type Trouble struct {
	log                            *slog.Logger
	channels, interceptors, others supervise.Trouble
	sizes                          supervise.Trouble
}

// NewTrouble makes one; then is what becomes of the events: "the senders are told so".
func NewTrouble(log *slog.Logger, then string) *Trouble {
	return &Trouble{
		log:          log,
		channels:     supervise.Trouble{Log: log, Failing: "The channels do not take events; " + then, Over: "The channels take events again"},
		interceptors: supervise.Trouble{Log: log, Failing: "An interceptor fails and events are not taken; " + then, Over: "The interceptors take events again"},
		others:       supervise.Trouble{Log: log, Failing: "Events are not taken; " + then, Over: "Events are taken again"},
		sizes:        supervise.Trouble{Log: log, Failing: "A batch is refused, for a channel can never hold it; " + then},
	}
}

// Failed says it of a batch; retry is when it is offered again, zero: nobody knows.
func (t *Trouble) Failed(err error, retry time.Duration) {
	trouble := &t.others // the selector, dead letters, a disk
	switch {
	case errors.Is(err, flume.ErrInterceptor):
		trouble = &t.interceptors
	case errors.Is(err, flume.ErrTooLarge):
		t.sizes.Report(slog.LevelWarn, err, retry)
		t.sizes.End() // the next one is another batch
		return
	case errors.Is(err, flume.ErrFull):
		trouble = &t.channels
	}
	trouble.Report(slog.LevelWarn, err, retry)
}

// Taken is called for each batch that was taken.
func (t *Trouble) Taken() {
	t.channels.End()
	t.interceptors.End()
	t.others.End()
}

// Lost says that events are gone that nobody can send again.
func (t *Trouble) Lost(events int, err error) {
	t.log.Error("Events are lost: the source had to stop, and the channels did not take them", "events", events, "error", err)
}

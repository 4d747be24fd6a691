// Package offer is for sources that alone have what they emit, for nobody can send it again: it keeps a batch until the
// channels have taken it.
//
//	batch ─▶ emit ──nil──▶ done
//	          ▲ ├── too large for the channel ─▶ in halves; an event alone: to the dead letters
//	          │ └── any other error ─▶ said once, then a wait of 0.1 s to 5 s
//	          └───────────────────────┘
//
// The source reads no more meanwhile, so whoever feeds it has to wait.
package offer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

const least, most = 100 * time.Millisecond, 5 * time.Second

// An Offer is how a source emits.
type Offer struct {
	Emit    flume.Emit
	Reject  func(ctx context.Context, r ...flume.Rejection) error
	Trouble *supervise.Trouble
}

// Keep returns nil when the channels have taken b, or the error of ctx, which ends when the source is closed: what b
// holds is lost then. Each attempt gets a copy, for interceptors change what they are given.
func (o *Offer) Keep(ctx context.Context, b flume.Batch) error {
	waits := supervise.Backoff{Least: least, Most: most}
	for {
		err := o.Emit(ctx, b.Clone())
		if errors.Is(err, flume.ErrTooLarge) {
			if half := len(b) / 2; half > 0 {
				if err := o.Keep(ctx, b[:half]); err != nil {
					return err
				}
				return o.Keep(ctx, b[half:])
			}
			err = o.Reject(ctx, flume.Rejection{Event: b[0], Err: err})
		}
		if err == nil {
			o.Trouble.End()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := waits.Next()
		o.Trouble.Report(slog.LevelWarn, err, wait)
		_ = supervise.Sleep(ctx, wait) // then the next attempt shows it
	}
}

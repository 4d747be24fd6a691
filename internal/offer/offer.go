// Package offer keeps what a source has read until the channels have taken it.
//
//	Kept ─▶ Batch ─▶ emit ─nil─▶ Taken ─▶ the next, twice as many up to Most
//	          ▲        ├── too large for the channel ─▶ half as many; an event alone: to the dead letters, and Taken
//	          │        └── any other error ─▶ said once, then a wait; of a full channel: no more than Unit at once
//	          └─────────────────────────────────────┘
//
// The source reads no more meanwhile, so whoever feeds it has to wait. Order is kept.
package offer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

// The waits between attempts, where the user has no say in them.
const least, most = 100 * time.Millisecond, 5 * time.Second

// An Offer is how a source emits. It may be used by many goroutines.
type Offer struct {
	Emit    flume.Emit
	Reject  func(ctx context.Context, r ...flume.Rejection) error
	Trouble *Trouble
	Most    int                                              // events of a batch; 0: as many as are kept
	Unit    int                                              // events of a batch that a full channel has no room for; 0: as many
	Wait    func(failures int) time.Duration                 // before one more attempt; nil: 0.1 s, doubled up to 5 s
	Sleep   func(ctx context.Context, d time.Duration) error // an error ends Keep; nil: what is kept is offered once more when ctx has ended
}

// New returns an Offer without Emit, which Run gets.
func New(env flume.Env) *Offer {
	return &Offer{Reject: env.Reject, Trouble: NewTrouble(env.Log, "they are kept and offered again")}
}

// LeastWait keeps channels that answer at once from being asked without a pause, whatever the settings.
const LeastWait = 10 * time.Millisecond

// Growing is Flume's wait: it grows by increment with each failure in a row, up to most.
func Growing(increment, most time.Duration) func(failures int) time.Duration {
	return func(failures int) time.Duration {
		return max(LeastWait, min(time.Duration(failures)*increment, most))
	}
}

// Kept is what a source has read and the channels have not taken.
type Kept interface {
	Len() int
	// Batch makes the first n events, each time anew: interceptors change what they are given. None: they stand in the
	// dead letters. An error is one like that of Emit.
	Batch(ctx context.Context, n int) (flume.Batch, error)
	// Taken is told that the first n are in the channels, or in the dead letters.
	Taken(n int)
	// Position is where the first one came from, for the dead letters.
	Position() string
}

// Keep offers what is kept until nothing is left. The error is that of the last attempt before the end of ctx, which ends
// when the source is closed: what is left then is lost, unless the source can read it again.
func (o *Offer) Keep(ctx context.Context, k Kept) error {
	waits := supervise.Backoff{Least: least, Most: most}
	bound := math.MaxInt
	if o.Most > 0 {
		bound = o.Most
	}
	for n, failures := bound, 0; k.Len() > 0; {
		n = min(n, k.Len())
		err := o.attempt(ctx, k, n)
		switch {
		case err == nil:
			o.Trouble.Taken()
			k.Taken(n)
			waits.Reset()
			n, failures = min(2*n, bound), 0
			continue
		case errors.Is(err, flume.ErrTooLarge) && n > 1:
			n /= 2
			continue
		case ctx.Err() != nil:
			return err
		case errors.Is(err, flume.ErrFull) && o.Unit > 0:
			n = min(n, o.Unit)
		}
		failures++
		wait := waits.Next()
		if o.Wait != nil {
			wait = o.Wait(failures)
		}
		o.Trouble.Failed(err, wait)
		if o.Sleep == nil {
			_ = supervise.Sleep(ctx, wait) // then the last attempt shows it
		} else if o.Sleep(ctx, wait) != nil {
			return err
		}
	}
	return nil
}

// attempt offers the first n. An event that is too large by itself goes to the dead letters.
func (o *Offer) attempt(ctx context.Context, k Kept, n int) error {
	b, err := k.Batch(ctx, n)
	if err != nil || len(b) == 0 {
		return err
	}
	err = o.Emit(ctx, b)
	if n > 1 || !errors.Is(err, flume.ErrTooLarge) {
		return err
	}
	b, failed := k.Batch(ctx, n)
	if failed != nil || len(b) == 0 {
		return failed
	}
	if err := o.Reject(ctx, flume.Rejection{Event: b[0], Err: err, Position: k.Position()}); err != nil {
		return fmt.Errorf("writing an event that is too large for the channel to the dead letters: %w", err)
	}
	return nil
}

// Events are a Kept of so many events.
type Events struct {
	Make  func(from, to int) flume.Batch // makes those from one to another
	Where func(i int) string             // one came from; nil: it is not known
	from  int
	to    int
}

// Of keeps n events.
func Of(n int, make func(from, to int) flume.Batch) *Events { return &Events{Make: make, to: n} }

// Clones keeps the events of a batch.
func Clones(b flume.Batch) *Events {
	return Of(len(b), func(from, to int) flume.Batch { return b[from:to].Clone() })
}

// Len implements Kept.
func (e *Events) Len() int { return e.to - e.from }

// Batch implements Kept.
func (e *Events) Batch(_ context.Context, n int) (flume.Batch, error) {
	return e.Make(e.from, e.from+n), nil
}

// Taken implements Kept.
func (e *Events) Taken(n int) { e.from += n }

// Position implements Kept.
func (e *Events) Position() string {
	if e.Where == nil {
		return ""
	}
	return e.Where(e.from)
}

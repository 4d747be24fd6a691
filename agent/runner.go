package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Waits between two attempts of a sink. Flume waits five seconds after each failure.
const (
	retryLeast = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// A runner drains channels with a sink group, or with one sink alone, in one goroutine. Sinks come and go while it
// runs: each is opened, and opened again, by a keeper of its own.
type runner struct {
	part *groupPart
	log  *slog.Logger
	hard context.Context
	over context.Context   // has ended: who takes with it does not wait
	bugs supervise.Trouble // of channels, where no drain tells of it

	mu      sync.Mutex
	drains  []*drain      // as part.sinks; nil: not open
	outlets []*outlet     // of each sink's channel; nil: not open
	changed chan struct{} // of size one: drains has changed
	refresh func()        // ends what waits with the drains as they were, by errChanged
	trying  int           // sinks whose first attempt to open is not over
	tried   chan struct{} // closed when trying is zero

	spanning bool                          // the sinks take from several channels, so that none may wait for its own
	taken    map[*outlet]flume.Transaction // what waiting for any of them has taken; of the runner's goroutine
}

func newRunner(part *groupPart, log *slog.Logger, hard context.Context) *runner {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	r := &runner{part: part, log: log, hard: hard, over: over,
		bugs:    supervise.Trouble{Log: log, Failing: "a channel does not work"},
		changed: make(chan struct{}, 1), refresh: func() {}, trying: len(part.sinks), tried: make(chan struct{}),
		drains: make([]*drain, len(part.sinks)), outlets: make([]*outlet, len(part.sinks)), taken: map[*outlet]flume.Transaction{}}
	for _, s := range part.sinks {
		r.spanning = r.spanning || s.channel != part.sinks[0].channel
	}
	return r
}

func (r *runner) drainsOneOf(channels []*channelPart) bool {
	return slices.ContainsFunc(r.part.sinks, func(s *sinkPart) bool { return slices.Contains(channels, s.channel) })
}

// publish tells of a channel that is open and of the drain into the sink, which is nil while that is not open.
func (r *runner) publish(at int, from *outlet, d *drain) {
	r.mu.Lock()
	r.outlets[at], r.drains[at] = from, d
	r.refresh()
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// attempted is called once for each sink, when its first attempt to open is over and published.
func (r *runner) attempted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trying--; r.trying == 0 {
		close(r.tried)
	}
}

// errChanged is the cause by which the context of a round has ended when the agent does not stop.
var errChanged = errors.New("the sinks of the group have changed")

// open are the drains that can be used now, and a context for their rounds, which ends when that changes.
func (r *runner) open(ctx context.Context) ([]flume.Drain, context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	ctx, cancel := context.WithCancelCause(ctx)
	r.refresh = func() { cancel(errChanged) }
	var out []flume.Drain
	for _, d := range r.drains {
		if d != nil {
			out = append(out, flume.Drain{Name: d.name, Once: d.once})
		}
	}
	return out, ctx
}

// run drains until ctx has ended and, of volatile channels, nothing is left; or until the agent's patience ends. When it
// returns no sink is used any more. A sink alone needs no processor.
func (r *runner) run(ctx context.Context, processor flume.SinkProcessor) {
	defer r.giveUp()
	trouble := supervise.Trouble{Log: r.log, Failing: "events cannot be delivered", Over: "events are delivered again"}
	backoff := supervise.Backoff{Least: retryLeast, Most: retryMost}
	if processor == nil {
		backoff = r.part.sinks[0].retry.backoff()
	}
	r.settle(ctx)
	group, rounds := r.open(ctx)
	empty := 0 // rounds in a row that found nothing
	for r.hard.Err() == nil {
		select {
		case <-r.changed:
			group, rounds = r.open(ctx)
		default:
		}
		if len(group) == 0 {
			if !r.wait(ctx) {
				return
			}
			group, rounds = r.open(ctx)
			continue
		}
		err := r.round(rounds, processor, group)
		switch {
		case err == nil:
			empty = 0
			backoff.Reset()
			trouble.End()
		case !errors.Is(err, flume.ErrEmpty):
			if r.hard.Err() != nil {
				return // abandoned; what stays behind is said by the agent
			}
			empty = 0
			wait := backoff.Least
			if isolating := (*apart)(nil); !errors.As(err, &isolating) {
				wait = backoff.Next()
			}
			trouble.Report(slog.LevelWarn, err, wait)
			r.pause(ctx, wait)
			if ctx.Err() != nil {
				<-rounds.Done() // ends a moment after ctx; until then the sink would be tried once more, and waited for
			}
		default:
			if empty++; empty < len(group) {
				continue // each sink of the group shall have had its turn
			}
			if ctx.Err() != nil {
				if !r.wait(ctx) {
					return
				}
				group, rounds = r.open(ctx)
				continue
			}
			if rounds.Err() != nil || r.spanning && r.waitAny(rounds, err) {
				continue
			}
			r.pause(ctx, retryLeast)
		}
	}
}

// settle waits, not for long, until each sink of the group has tried to open: a standby that is open first shall not
// take what the others are there for.
func (r *runner) settle(ctx context.Context) {
	timer := time.NewTimer(supervise.Interval)
	defer timer.Stop()
	select {
	case <-r.tried:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// round is one round of the processor, or of the sink alone.
func (r *runner) round(ctx context.Context, processor flume.SinkProcessor, group []flume.Drain) (err error) {
	defer supervise.Recover("draining a channel", &err)
	if processor == nil {
		return group[0].Once(ctx)
	}
	return processor.Process(ctx, group)
}

// pause waits after a failure. The end of ctx wakes it, so that draining begins at once; then patience is the limit.
func (r *runner) pause(ctx context.Context, d time.Duration) {
	if ctx.Err() == nil {
		_ = supervise.Sleep(ctx, d) // the caller looks at ctx
		return
	}
	_ = supervise.Sleep(r.hard, d)
}

// wait waits for a sink to be open, of those that are not; false: there is nothing to wait for any more.
func (r *runner) wait(ctx context.Context) bool {
	select {
	case <-r.changed:
		return true
	case <-ctx.Done():
	}
	if !r.left() {
		return false
	}
	select {
	case <-r.changed:
		return true
	case <-r.hard.Done():
		return false
	}
}

// left reports whether a volatile channel of a sink that is not open holds events, which would be lost.
func (r *runner) left() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, o := range r.outlets {
		if o == nil || !o.volatile || r.drains[i] != nil {
			continue
		}
		if r.taken[o] != nil {
			return true
		}
		if tx, err := o.Take(r.over, flume.Limits{Events: 1}); err == nil {
			putBack(tx, &r.bugs)
			return true
		}
	}
	return false
}

// waitAny waits until one of the group's channels has events. It takes them, for a channel has no other way of
// waiting, and the sinks find them there. An EmptyUntil bounds the wait. False: there was nothing to wait for.
func (r *runner) waitAny(ctx context.Context, empty error) bool {
	if later := (*flume.EmptyUntil)(nil); errors.As(empty, &later) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, later.Time)
		defer cancel()
	}
	limits := map[*outlet]flume.Limits{}
	r.mu.Lock()
	for _, d := range r.drains {
		if d == nil || r.taken[d.from] != nil {
			continue
		}
		l, ok := limits[d.from]
		if !ok {
			l = d.limits
		}
		limits[d.from] = flume.Limits{Events: least(l.Events, d.limits.Events), Bytes: least(l.Bytes, d.limits.Bytes)}
	}
	r.mu.Unlock()
	if len(limits) == 0 {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		from *outlet
		tx   flume.Transaction
		err  error
	}
	answers := make(chan answer, len(limits))
	for o, l := range limits {
		go func() {
			tx, err := o.Take(ctx, l)
			answers <- answer{o, tx, err}
		}()
	}
	sound := true
	for range limits {
		a := <-answers
		cancel() // what one has found is enough; the others answer at once
		if a.err == nil {
			r.taken[a.from] = a.tx
		} else if !errors.Is(a.err, flume.ErrEmpty) {
			sound = false
			r.bugs.Report(slog.LevelWarn, fmt.Errorf("taking events from channel %s: %w", a.from.name, a.err), retryLeast)
		}
	}
	return sound
}

// ready hands a drain what waitAny has taken from its channel.
func (r *runner) ready(o *outlet) flume.Transaction {
	tx := r.taken[o]
	delete(r.taken, o)
	return tx
}

// dismiss takes out a drain whose sink has broken down; the sink's keeper opens it again.
func (r *runner) dismiss(at int, d *drain) {
	r.publish(at, d.from, nil)
}

// giveUp puts everything back that has been taken.
func (r *runner) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	for _, d := range r.drains {
		if d != nil {
			d.giveUp()
		}
	}
	for _, tx := range r.taken {
		putBack(tx, &r.bugs)
	}
	clear(r.taken)
}

// least is the smaller of two bounds, of which zero is none.
func least(a, b int) int {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}

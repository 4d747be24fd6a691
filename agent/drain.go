package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A drain is an open sink with its open channel: take, deliver, settle, commit. It is used by its runner's goroutine
// alone.
//
//	                  ┌── nil ─────────────▶ commit
//	take ─▶ Deliver ──┼── PartialError ────▶ rejections to disk; commit what is delivered; the pending are parked, or go back
//	                  └── any other error ─▶ everything goes back to the head of the channel
type drain struct {
	name    string
	path    string // a1.sinks.k1, for the dead letters
	sink    flume.Sink
	from    *outlet
	limits  flume.Limits // of one Take
	asks    bool         // for positions, which others never see
	batch   int          // the declared batch size; 0: none
	letters *letters
	hard    context.Context
	ready   func(*outlet) flume.Transaction // what a wait has taken already; nil outside of groups over several channels
	over    context.Context                 // has ended: who takes with it does not wait
	bugs    *supervise.Trouble              // the runner's
	broken  error                           // the panic of the sink, which is not used any more
	dismiss func(err error)                 // has the sink closed and opened again

	park      bool              // pending events may wait aside while the flow goes on: not in a group, where another sink may take them
	retry     *retryPart        // nil: what failed goes back to the channel, and nobody counts
	held      []parking         // events that failed, in their order: nothing is taken before them
	stuck     supervise.Trouble // of events that have failed as often as they may
	row       int               // deliveries in a row that failed
	waits     supervise.Backoff // of what is parked
	again     *atomic.Int64     // deliveries of events that had failed
	exhausted *atomic.Int64     // events that have failed as often as they may

	parked  []parking
	waiting int // events in parked
	taken   int // transactions
	most    int // of waiting; from then on nothing is taken
	later   supervise.Trouble

	trouble *supervise.Trouble // of a sink in a group, which goes on with another sink; nil for one alone

	complete, underflow, empty, attempt, success, failed, unread, rejected *atomic.Int64
}

// A parking is events that the sink could not deliver yet. They stay taken from the channel. It is for sinks whose
// destinations fail independently of one another, as those of an external sink's program may: what waits for one shall
// not hold up the rest. Sinks whose order counts set PartialError.InOrder.
type parking struct {
	tx      flume.Transaction
	taken   int // which one it was of all that the drain has taken
	due     time.Time
	backoff supervise.Backoff

	failures int       // of its delivery
	since    time.Time // the first of them
	spent    bool      // they were as many as may be
	over     bool      // and it is, or is a part of, a batch that is taken apart
}

// An apart is the failure of a batch that is being taken apart: its parts are next, without a long wait.
type apart struct{ error }

func (e *apart) Unwrap() error { return e.error }

// once is the Once of flume.Drain. After the end of ctx it goes on for a volatile channel until that is empty.
func (d *drain) once(ctx context.Context) error {
	err := d.next(ctx)
	if d.trouble == nil {
		return err
	}
	switch {
	case err == nil:
		d.trouble.End()
	case !errors.Is(err, flume.ErrEmpty):
		d.trouble.Report(slog.LevelWarn, err, 0)
	}
	return err
}

// next delivers what is due, or what comes next.
func (d *drain) next(ctx context.Context) error {
	for d.broken == nil {
		if len(d.parked) > 0 && !d.parked[0].due.After(time.Now()) {
			p := d.parked[0]
			d.parked = slices.Delete(d.parked, 0, 1)
			d.waiting -= len(p.tx.Batch())
			return d.deliver(p)
		}
		stopping := ctx.Err() != nil
		if stopping && !d.from.volatile {
			return flume.ErrEmpty
		}
		if len(d.held) > 0 {
			p := d.held[0]
			d.held = d.held[1:]
			return d.deliver(p)
		}
		if d.waiting >= d.most {
			if err := d.sleep(ctx); err != nil {
				return err
			}
			continue
		}
		tx, err := d.take(ctx)
		switch {
		case err == nil:
			d.taken++
			return d.deliver(parking{tx: tx, taken: d.taken, backoff: d.waits})
		case !errors.Is(err, flume.ErrEmpty):
			d.unread.Add(1)
			return fmt.Errorf("taking events from channel %s: %w", d.from.name, err)
		case len(d.parked) == 0 || d.ready != nil:
			d.empty.Add(1)
			return flume.ErrEmpty
		case stopping:
			if err := d.sleep(ctx); err != nil {
				return err
			}
		}
	}
	return d.broken
}

// sleep waits for the next of the parked. The end of ctx wakes it, once.
func (d *drain) sleep(ctx context.Context) error {
	wait := time.Until(d.parked[0].due)
	if ctx.Err() == nil {
		_ = supervise.Sleep(ctx, wait) // the caller looks at ctx
		return nil
	}
	return supervise.Sleep(d.hard, wait)
}

// take waits for events, not beyond the time at which a parked one is due.
func (d *drain) take(ctx context.Context) (flume.Transaction, error) {
	if d.ready != nil {
		if tx := d.ready(d.from); tx != nil {
			d.count(tx)
			return tx, nil
		}
		ctx = d.over
	}
	if len(d.parked) > 0 && ctx.Err() == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.parked[0].due)
		defer cancel()
	}
	tx, err := d.from.Take(ctx, d.limits)
	if err != nil {
		return nil, err
	}
	d.count(tx)
	return tx, nil
}

func (d *drain) count(tx flume.Transaction) {
	n := len(tx.Batch())
	d.from.takeAttempt.Add(int64(n))
	if n >= d.batch {
		d.complete.Add(1)
	} else {
		d.underflow.Add(1)
	}
}

// deliver hands one transaction to the sink and settles it.
func (d *drain) deliver(p parking) error {
	aside := false
	defer func() {
		if !aside {
			putBack(p.tx, d.bugs) // a no-op after Commit
		}
	}()
	b := p.tx.Batch()
	if !d.asks {
		b = position.Hide(b) // of a channel that was filled for a sink that asks
	}
	n := len(b)
	d.attempt.Add(int64(n))
	if p.failures > 0 {
		d.again.Add(1)
	}
	err := d.call(b)
	if err == nil {
		d.row = 0
		d.stuck.End()
		return d.commit(p.tx, n, n)
	}
	var bug *supervise.Bug
	if errors.As(err, &bug) {
		d.broken = err
		d.parked, aside = append(d.parked, p), true // so that all go back in their order
		d.giveUp()
		d.dismiss(err)
	}
	var partial *flume.PartialError
	if !errors.As(err, &partial) {
		d.failed.Add(1)
		d.row++
		if d.retry != nil && d.broken == nil {
			aside = true
			return d.hold(p, err)
		}
		return err
	}
	aside, err = d.settle(p, b, partial)
	return err
}

func (d *drain) call(b flume.Batch) (err error) {
	defer supervise.Recover("delivering to sink "+d.name, &err)
	return d.sink.Deliver(d.hard, b)
}

// commit ends a transaction of n events, of which so many were delivered and the rest rejected.
func (d *drain) commit(tx flume.Transaction, n, delivered int) error {
	if err := tx.Commit(d.hard); err != nil {
		return fmt.Errorf("committing %d events that sink %s has delivered to channel %s: %w", n, d.name, d.from.name, err)
	}
	d.from.takeSuccess.Add(int64(n))
	d.success.Add(int64(delivered))
	return nil
}

// settle does what a partial delivery asks for; true: the transaction itself has been set aside. Rejected events that
// cannot be kept are not let go: they count as pending, in order, so that the sink waits.
func (d *drain) settle(p parking, b flume.Batch, partial *flume.PartialError) (bool, error) {
	if err := sound(b, partial); err != nil {
		d.failed.Add(1)
		return false, &supervise.Bug{Doing: "settling what sink " + d.name + " has delivered", Panic: err.Error()}
	}
	keep, cause, back := partial.Pending, partial.Err, partial.InOrder || !d.park
	if len(partial.Rejected) > 0 {
		if err := d.letters.write(d.path, rejections(b, partial.Rejected, d.number(&p))); err != nil {
			keep, cause, back = slices.Clone(keep), err, true
			for _, r := range partial.Rejected {
				keep = append(keep, r.Index)
			}
			slices.Sort(keep)
		} else {
			d.rejected.Add(int64(len(partial.Rejected)))
		}
	}
	delivered := len(b) - len(partial.Rejected) - len(partial.Pending)
	if len(keep) == 0 {
		return false, d.commit(p.tx, len(b), delivered)
	}
	d.failed.Add(1)
	d.row++
	if cause == nil {
		cause = partial
	}
	whole := len(keep) == len(b)
	if whole && back && d.retry != nil {
		return true, d.hold(p, cause)
	}
	if whole && back {
		return false, cause // rolled back by the caller
	}
	if !whole {
		rest := p.tx.Split(keep)
		kept := false
		defer func() {
			if !kept {
				putBack(rest, d.bugs)
			}
		}()
		if err := d.commit(p.tx, len(b)-len(keep), delivered); err != nil {
			putBack(p.tx, d.bugs) // before the rest, which stands at the head then
			return false, err
		}
		if back && d.retry == nil {
			return false, cause
		}
		kept = true
		p.tx = rest
	}
	if d.retry != nil && back {
		return whole, d.hold(p, cause)
	}
	if d.retry != nil && d.fails(&p, cause) {
		return whole, d.takeApart(p, cause)
	}
	d.setAside(p, cause)
	return whole, nil
}

// number is which attempt in a row the delivery of p is.
func (d *drain) number(p *parking) int {
	if d.retry != nil {
		return p.failures + 1
	}
	return d.row + 1
}

// fails notes a failure and reports whether the events are to become dead letters.
func (d *drain) fails(p *parking, cause error) bool {
	if p.failures++; p.failures == 1 {
		p.since = time.Now()
	}
	if p.over {
		return true
	}
	if !d.retry.over(p.failures, p.since) {
		return false
	}
	if !p.spent {
		d.exhausted.Add(int64(len(p.tx.Batch())))
	}
	p.spent, p.over = true, d.retry.letters
	if !p.over {
		d.stuck.Report(slog.LevelError, cause, 0)
	}
	return p.over
}

// hold keeps events that failed in hand, before all others: they are the next that are delivered.
func (d *drain) hold(p parking, cause error) error {
	if d.fails(&p, cause) {
		return d.takeApart(p, cause)
	}
	d.held = slices.Insert(d.held, 0, p)
	return cause
}

// takeApart does the next step with events that have failed as often as they may: the halves of a batch are each
// delivered once more, and an event that fails alone becomes a dead letter. So those that fail for their neighbours' sake
// arrive.
func (d *drain) takeApart(p parking, cause error) error {
	b := p.tx.Batch()
	n := len(b)
	if n > 1 {
		second := p
		second.tx = p.tx.Split(count(n/2, n))
		d.held = slices.Insert(d.held, 0, p, second)
		return &apart{cause}
	}
	reason := fmt.Errorf("given up after %d deliveries: %w", p.failures, cause)
	if err := d.letters.write(d.path, []flume.Rejection{{Event: b[0], Err: reason, Attempt: p.failures}}); err != nil {
		d.held = slices.Insert(d.held, 0, p)
		return err
	}
	d.rejected.Add(1)
	if err := d.commit(p.tx, n, 0); err != nil {
		putBack(p.tx, d.bugs)
		return err
	}
	return nil
}

// count lists the numbers from from up to below to.
func count(from, to int) []int {
	out := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// setAside parks what is pending; the next of them stands first.
func (d *drain) setAside(p parking, cause error) {
	wait := p.backoff.Next()
	p.due = time.Now().Add(wait)
	at, _ := slices.BinarySearchFunc(d.parked, p.due, func(q parking, due time.Time) int { return q.due.Compare(due) })
	d.parked = slices.Insert(d.parked, at, p)
	d.waiting += len(p.tx.Batch())
	d.later.Report(slog.LevelWarn, cause, wait)
}

// giveUp puts what is parked back into the channel, last taken first, so that the order is as it was.
func (d *drain) giveUp() {
	all := slices.Concat(d.parked, d.held)
	slices.SortStableFunc(all, func(a, b parking) int { return a.taken - b.taken })
	for _, p := range slices.Backward(all) {
		putBack(p.tx, d.bugs)
	}
	d.parked, d.held, d.waiting = nil, nil, 0
}

// sound reports what a PartialError says of events that are not there, or says twice.
func sound(b flume.Batch, p *flume.PartialError) error {
	seen := make([]bool, len(b))
	mark := func(i int) error {
		if i < 0 || i >= len(b) || seen[i] {
			return fmt.Errorf("a PartialError names event %d of %d, which is not there or named twice", i, len(b))
		}
		seen[i] = true
		return nil
	}
	for _, r := range p.Rejected {
		if err := mark(r.Index); err != nil {
			return err
		}
	}
	for n, i := range p.Pending {
		if n > 0 && i <= p.Pending[n-1] {
			return errors.New("the pending events of a PartialError are not in ascending order")
		}
		if err := mark(i); err != nil {
			return err
		}
	}
	return nil
}

func rejections(b flume.Batch, rejected []flume.Rejected, attempt int) []flume.Rejection {
	out := make([]flume.Rejection, len(rejected))
	for i, r := range rejected {
		out[i] = flume.Rejection{Event: b[r.Index], Err: r.Err, Attempt: attempt}
	}
	return out
}

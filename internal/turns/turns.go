// Package turns is what failing over and load balancing have in common, in sink groups and in clients: who has the next
// turn, and how long one that has failed is left out.
//
//	penalty = min(most, 1000 ms · 2ⁿ), n = 1 for the first failure: 2 s, 4 s, 8 s, 16 s, 30 s, 30 s …
//
// n stops at 16. (Flume's failover goes on counting, so that from the 22nd failure on its 32 bits overflow and some
// penalties are none at all.)
package turns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-io/sluice/flume"
)

// Usual is the longest penalty where nothing else is said.
const Usual = 30 * time.Second

// mostDoublings is how often a penalty doubles; memory is how long after a penalty a balancer counts on.
const (
	mostDoublings = 16
	memory        = time.Hour
)

func penalty(n int, most time.Duration) time.Duration { return min(most, time.Second<<n) }

// A Penalty is how long one is left out. The zero value is one that has not failed.
type Penalty struct {
	n     int
	until time.Time
	last  time.Time
}

// Out reports whether one is left out still.
func (p *Penalty) Out(now time.Time) bool { return now.Before(p.until) }

// Fail counts one more failure in a row.
func (p *Penalty) Fail(now time.Time, most time.Duration) {
	p.n = min(p.n+1, mostDoublings)
	p.last, p.until = now, now.Add(penalty(p.n, most))
}

// Clear forgets the failures.
func (p *Penalty) Clear() { *p = Penalty{} }

// A Turn is who may be tried now.
type Turn struct {
	In    []int     // one after the other
	Out   []int     // who is left out for a time
	Until time.Time // when the first of Out may be tried again
	Yield bool      // In wait for events until then and no longer, so that the next ones go to who is back
}

// Add puts the next one where it belongs.
func (t *Turn) Add(i int, p *Penalty, now time.Time) {
	if !p.Out(now) {
		t.In = append(t.In, i)
		return
	}
	if len(t.Out) == 0 || p.until.Before(t.Until) {
		t.Until = p.until
	}
	t.Out = append(t.Out, i)
}

// Order is how a Balancer chooses.
type Order string

// The orders of Flume.
const (
	RoundRobin Order = "round_robin"
	Random     Order = "random"
)

// A Balancer gives several their turns. It is used by one goroutine at a time.
type Balancer struct {
	Order Order
	Most  time.Duration // the longest penalty; 0: none is left out

	penalties []Penalty
	next      int
}

// NewBalancer makes a balancer of n.
func NewBalancer(n int, order Order, most time.Duration) *Balancer {
	return &Balancer{Order: order, Most: most, penalties: make([]Penalty, n)}
}

// Turn says who is to be tried, in which order.
func (b *Balancer) Turn(now time.Time) (t Turn) {
	for i := range b.penalties {
		t.Add(i, &b.penalties[i], now)
	}
	if b.Order == Random {
		rand.Shuffle(len(t.In), func(i, j int) { t.In[i], t.In[j] = t.In[j], t.In[i] })
		return t
	}
	if b.next >= len(t.In) {
		b.next = 0
	}
	t.In = slices.Concat(t.In[b.next:], t.In[:b.next])
	b.next++
	return t
}

// Failed leaves one out for a while. Failures count up to an hour after the end of the last penalty, whatever has
// succeeded meanwhile, as in Flume.
func (b *Balancer) Failed(i int, now time.Time) {
	if b.Most == 0 {
		return
	}
	p := &b.penalties[i]
	if !p.last.IsZero() && now.Sub(p.last) >= penalty(p.n, b.Most)+memory {
		p.Clear()
	}
	p.Fail(now, b.Most)
}

// A Group is the sinks of a group, as its processor numbers them.
type Group struct {
	Names []string

	last error // of the sink that failed last
}

// Round is one round of a sink processor: one sink after the other until one has delivered. Those that are left out for
// a time have their turn when ctx has ended, without a cause of its own, for the agent stops then: what is left in memory
// is worth any attempt.
//
// Nil: one has delivered. ErrEmpty: there was nothing for those that could be asked. Any other error: the last one's, and
// the agent waits before the next round.
func (g *Group) Round(ctx context.Context, drains []flume.Drain, t Turn, settled func(sink int, failed bool)) error {
	empty, failed := false, false
	waiting := ctx
	if t.Yield && len(t.Out) > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(ctx, t.Until)
		defer cancel()
	}
	attempt := func(sink int) bool {
		at := slices.IndexFunc(drains, func(d flume.Drain) bool { return d.Name == g.Names[sink] })
		if at < 0 {
			return false // not open
		}
		err := drains[at].Once(waiting)
		switch {
		case err == nil:
			settled(sink, false)
			return true
		case errors.Is(err, flume.ErrEmpty):
			empty = true
		default:
			failed = true
			g.last = fmt.Errorf("no sink of the group delivers; the last that failed is %s: %w", g.Names[sink], err)
			settled(sink, true)
		}
		return false
	}
	if slices.ContainsFunc(t.In, attempt) {
		return nil
	}
	stopping := ctx.Err() != nil && context.Cause(ctx) == ctx.Err() //nolint:errorlint // the very error, which says that there is no cause
	if stopping && slices.ContainsFunc(t.Out, attempt) {
		return nil
	}
	switch {
	case failed, !empty && len(t.Out) > 0 && g.last != nil:
		return g.last
	case len(t.Out) > 0:
		return &flume.EmptyUntil{Time: t.Until}
	}
	return flume.ErrEmpty
}

package oracle

import (
	"sync/atomic"
	"time"
)

// Arrivals knows when something came out last, and so when nothing more is to be waited for.
type Arrivals struct {
	ledger *Ledger
	last   atomic.Int64 // when the last event came, in Unix nanoseconds
	news   atomic.Int64 // the same, or later when patience began anew
}

// came notes that events have come out.
func (a *Arrivals) came() {
	now := time.Now().UnixNano()
	a.last.Store(now)
	a.news.Store(now)
}

// Quiet returns how long nothing has come out.
func (a *Arrivals) Quiet() time.Duration { return time.Since(time.Unix(0, a.news.Load())) }

// Last returns when the last event came out.
func (a *Arrivals) Last() time.Time { return time.Unix(0, a.last.Load()) }

// Settle waits until nothing has come out for so long, or until the limit.
func (a *Arrivals) Settle(quiet, limit time.Duration) {
	for end := time.Now().Add(limit); a.Quiet() < quiet && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

// Await waits until everything acknowledged has come out and then for late duplicates, but not longer than patience
// without news nor than limit in all. Call it when nothing is sent any more.
func (a *Arrivals) Await(patience, limit time.Duration) Report {
	const late = 1500 * time.Millisecond
	a.news.Store(time.Now().UnixNano()) // patience begins now
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if a.Quiet() > patience || a.Quiet() > late && a.ledger.Complete() {
			break
		}
	}
	return a.ledger.Report()
}

package avrorpc

import (
	"context"
	"slices"
	"sync"
)

// A Budget bounds the bytes that are in flight on many connections. One loan at a time may go beyond it, so that
// frames that have each arrived in part never wait for one another for ever: the bound is the size of the budget and
// one frame with its events.
type Budget struct {
	mu      sync.Mutex
	free    int64 // negative while one is beyond
	beyond  *loan
	waiting []*request
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{free: bytes} }

// A loan is what one call holds. It is used by one goroutine.
type loan struct {
	from *Budget
	held int64
}

type request struct {
	loan    *loan
	bytes   int64
	granted chan struct{}
}

// grow takes more and waits until there is room. The loan that may go beyond never waits.
func (l *loan) grow(ctx context.Context, bytes int64) error {
	b := l.from
	b.mu.Lock()
	if b.grant(l, bytes) {
		b.mu.Unlock()
		return nil
	}
	r := &request{l, bytes, make(chan struct{})}
	b.waiting = append(b.waiting, r)
	b.mu.Unlock()
	select {
	case <-r.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := slices.Index(b.waiting, r); at >= 0 {
		b.waiting = slices.Delete(b.waiting, at, at+1)
	}
	return context.Cause(ctx)
}

// grant gives bytes to l if it may have them now. Who already waits goes first.
func (b *Budget) grant(l *loan, bytes int64) bool {
	switch {
	case l == b.beyond:
	case bytes <= b.free && len(b.waiting) == 0:
	case b.beyond == nil:
		b.beyond = l
	default:
		return false
	}
	b.free -= bytes
	l.held += bytes
	return true
}

// end gives everything back.
func (l *loan) end() {
	b := l.from
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += l.held
	l.held = 0
	if b.beyond == l {
		b.beyond = nil
	}
	for len(b.waiting) > 0 {
		r := b.waiting[0]
		switch {
		case r.bytes <= b.free || r.loan == b.beyond:
		case b.beyond == nil:
			b.beyond = r.loan
		default:
			return
		}
		b.free -= r.bytes
		r.loan.held += r.bytes
		b.waiting = slices.Delete(b.waiting, 0, 1)
		close(r.granted)
	}
}

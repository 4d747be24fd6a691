package supervise

import (
	"context"
	"sync"
)

// A Term is the time of a source between Open and Close: End ends a Run under way and waits for it, so that what both use
// is given up by one of them. The zero value is ready.
type Term struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	ran    chan struct{} // of a Run under way or over: closed when it is over
	ended  bool
}

// Begin is called by Run, which calls leave when it is over. ctx ends when the term does. Not ok: it has ended.
func (t *Term) Begin(parent context.Context) (ctx context.Context, leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(parent)
	ran := make(chan struct{})
	t.cancel, t.ran = cancel, ran
	return ctx, func() { cancel(); close(ran) }, true
}

// End is called by Close. It is not first when it had been called before.
func (t *Term) End() (first bool) {
	t.mu.Lock()
	first, t.ended = !t.ended, true
	cancel, ran := t.cancel, t.ran
	t.mu.Unlock()
	if ran != nil {
		cancel()
		<-ran
	}
	return first
}

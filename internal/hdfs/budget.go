package hdfs

import (
	"context"
	"sync"
)

// A budget bounds the bytes that all files together have under way. What is asked for at once is at most all of it.
type budget struct {
	mu    sync.Mutex
	left  int
	freed chan struct{} // closed when some come back while somebody waits; nil while nobody does
}

func newBudget(bytes int) *budget { return &budget{left: bytes} }

// take waits until n bytes may be used.
func (b *budget) take(ctx context.Context, n int) error {
	for {
		b.mu.Lock()
		if b.left >= n {
			b.left -= n
			b.mu.Unlock()
			return nil
		}
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (b *budget) give(n int) {
	b.mu.Lock()
	b.left += n
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
	b.mu.Unlock()
}

package flumetest

import (
	"sync/atomic"

	"github.com/sluice-io/sluice/flume"
)

// A Crowd is what stands behind Emit and lets nobody out before Release: it shows how many a source sends in at one time.
type Crowd struct {
	now, most atomic.Int32
	begun     chan struct{}
	hold      chan struct{}
}

// NewCrowd returns one for up to 100 calls.
func NewCrowd() *Crowd { return &Crowd{begun: make(chan struct{}, 100), hold: make(chan struct{})} }

// Enter is the Emit; it never refuses.
func (c *Crowd) Enter(flume.Batch) error {
	n := c.now.Add(1)
	for old := c.most.Load(); n > old && !c.most.CompareAndSwap(old, n); old = c.most.Load() {
	}
	c.begun <- struct{}{}
	<-c.hold
	c.now.Add(-1)
	return nil
}

// Await returns when n more have entered.
func (c *Crowd) Await(n int) {
	for range n {
		<-c.begun
	}
}

// Release lets all out, those who come later too.
func (c *Crowd) Release() { close(c.hold) }

// Most is how many have been in at one time.
func (c *Crowd) Most() int { return int(c.most.Load()) }

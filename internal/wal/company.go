package wal

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// longestGather is how long a sync is held back at most for company that is expected.
	longestGather = 300 * time.Microsecond
	// mostYields bounds the same where the clock stands still, as in tests.
	mostYields = 1 << 14
	// mostShy is how many syncs at most do without waiting after nobody had come.
	mostShy = 64
)

// A company is what a lane knows of those who come at once, so that one sync does for all of them. Its lane's lock
// guards all but came.
type company struct {
	came  atomic.Int64  // entries that were ever brought
	last  int           // how many the last sync brought home
	usual time.Duration // about what a sync takes
	shy   int           // syncs that do not wait
	alone int           // how many did not the last time, for nobody had come
}

// took notes how long a sync has taken.
func (c *company) took(d time.Duration) { c.usual += (d - c.usual) / 8 }

// gather waits a little for those whose entries the last sync has brought home: where many write at once they are back
// in a moment, and one sync does for all of them. Without it two halves of the writers take turns, and each sync does
// half the work. It waits a fraction of what a sync takes, and less and less often where nobody comes. The lock is
// held before and after.
func (l *lane) gather() bool {
	c := &l.company
	have := len(l.current) + len(l.waiting)
	if have >= c.last {
		return false
	}
	if c.shy > 0 {
		c.shy--
		return false
	}
	want := c.came.Load() + int64(c.last-have)
	end := time.Now().Add(min(c.usual/4, longestGather))
	l.mu.Unlock()
	for n := 0; n < mostYields && c.came.Load() < want && time.Now().Before(end); n++ {
		runtime.Gosched()
	}
	l.mu.Lock()
	if c.came.Load() < want {
		c.alone = min(max(1, 2*c.alone), mostShy)
		c.shy = c.alone
	} else {
		c.alone = 0
	}
	return true
}

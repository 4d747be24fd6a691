package spillable

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Several sources, one sink that gives up now and then: what one source has put comes in its order.
func TestOrderUnderConcurrency(t *testing.T) {
	const sources, each = 4, 1500
	c := opened(t, vfs.NewMemory(), "memoryCapacity = 40", "overflowCapacity = 200", "transactionCapacity = 200", "overflowTimeout = 0", "maxFileSize = 100000")
	defer closing(t, c)
	var all sync.WaitGroup
	var inMemory, onDisk atomic.Int64
	for n := range sources {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(5, uint64(n)))
			for at := 0; at < each; {
				b := flumetest.Events(at, min(1+dice.IntN(15), each-at))
				b.SetHeader("source", strconv.Itoa(n), false)
				tx, err := c.Put(context.Background(), b)
				if errors.Is(err, flume.ErrFull) {
					time.Sleep(time.Duration(dice.IntN(300)) * time.Microsecond)
					continue
				}
				if err == nil && dice.IntN(5) == 0 {
					tx.Rollback()
					continue
				}
				if err == nil {
					err = tx.Commit(context.Background())
				}
				if err != nil {
					t.Errorf("putting: %v", err)
					return
				}
				if tx.(*put).inMemory {
					inMemory.Add(int64(len(b)))
				} else {
					onDisk.Add(int64(len(b)))
				}
				at += len(b)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dice := rand.New(rand.NewPCG(6, 6))
	next := map[string]int{}
	for seen := 0; seen < sources*each; {
		tx, err := c.Take(ctx, flume.Limits{Events: 1 + dice.IntN(250), Bytes: 1 + dice.IntN(4000)})
		if err != nil {
			t.Fatalf("after %d events: %v", seen, err)
		}
		switch dice.IntN(8) {
		case 0:
			tx.Rollback()
			continue
		case 1:
			keep := make([]int, len(tx.Batch())/2)
			for i := range keep {
				keep[i] = len(tx.Batch()) - len(keep) + i
			}
			tx.Split(keep).Rollback()
		}
		for _, e := range tx.Batch() {
			source, _ := e.Headers.Get("source")
			if string(e.Body) != strconv.Itoa(next[source]) {
				t.Fatalf("event %s of source %s came instead of %d", e.Body, source, next[source])
			}
			next[source]++
		}
		seen += len(tx.Batch())
		committing(t, tx)
	}
	all.Wait()
	if inMemory.Load() < 500 || onDisk.Load() < 500 {
		t.Errorf("%d events went to memory and %d to disk, which shows little", inMemory.Load(), onDisk.Load())
	}
}

// Many sources and sinks, ended in order now and then while events wait on both sides: each event comes once.
func TestManyAtOnce(t *testing.T) {
	const sources, sinks, runs, each = 4, 4, 4, 600
	on, settings := vfs.NewMemory(), []string{"memoryCapacity = 40", "overflowCapacity = 300", "transactionCapacity = 200", "overflowTimeout = 0", "maxFileSize = 100000"}
	var mu sync.Mutex
	missing := map[string]int{}
	count := func(b flume.Batch, by int) {
		mu.Lock()
		defer mu.Unlock()
		for _, body := range flumetest.Bodies(b) {
			missing[body] += by
		}
	}
	for run := range runs {
		c := opened(t, on, settings...)
		ctx, stop := context.WithCancel(context.Background())
		var putters, takers sync.WaitGroup
		for n := range sources {
			putters.Go(func() {
				dice := rand.New(rand.NewPCG(uint64(run), uint64(n)))
				for at := 0; at < each; {
					b := flumetest.Events((run*sources+n)*each+at, min(1+dice.IntN(15), each-at))
					tx, err := c.Put(context.Background(), b)
					if errors.Is(err, flume.ErrFull) {
						if ctx.Err() != nil {
							return
						}
						time.Sleep(time.Duration(dice.IntN(300)) * time.Microsecond)
						continue
					}
					if err == nil && dice.IntN(5) == 0 {
						tx.Rollback()
						continue
					}
					if err == nil {
						err = tx.Commit(context.Background())
					}
					if err != nil {
						t.Errorf("putting: %v", err)
						return
					}
					at += len(b)
					count(b, 1)
				}
			})
		}
		var left atomic.Int64
		left.Store(sources*each - 200) // the rest is for the next run
		for n := range sinks {
			takers.Go(func() {
				dice := rand.New(rand.NewPCG(uint64(run), uint64(100+n)))
				for left.Load() > 0 {
					tx, err := c.Take(ctx, flume.Limits{Events: 1 + dice.IntN(60), Bytes: 1 + dice.IntN(1000)})
					if errors.Is(err, flume.ErrEmpty) {
						return
					}
					if err != nil {
						t.Errorf("taking: %v", err)
						return
					}
					switch dice.IntN(6) {
					case 0:
						tx.Rollback()
						continue
					case 1:
						tx.Split([]int{0}).Rollback()
					}
					count(tx.Batch(), -1)
					left.Add(-int64(len(tx.Batch())))
					committing(t, tx)
				}
				stop()
			})
		}
		takers.Wait()
		putters.Wait()
		stop()
		closing(t, c)
	}
	c := opened(t, on, settings...)
	defer closing(t, c)
	count(drained(t, c), -1)
	for body, n := range missing {
		if n != 0 {
			t.Errorf("event %s has come %d times too few", body, n)
		}
	}
}

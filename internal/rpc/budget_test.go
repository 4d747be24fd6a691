package rpc

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func (b *Budget) untouched() bool {
	return b.used == 0 && b.beyond == nil && len(b.waiting) == 0 && len(b.loans) == 0
}

var errGone = errors.New("gone")

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := NewBudget(1600) // 400 for all, 500 with small ones, 1100 for one
		x, y, z, small := &Loan{from: b, large: true}, &Loan{from: b, large: true}, &Loan{from: b, large: true}, &Loan{from: b}
		grow := func(l *Loan, n int64) chan error {
			done := make(chan error, 1)
			go func() { _, err := l.Grow(ctx, n); done <- err }()
			synctest.Wait()
			return done
		}
		waits := func(c chan error) {
			t.Helper()
			select {
			case <-c:
				t.Error("it did not wait")
			default:
			}
		}
		if err := errors.Join(<-grow(x, 300), <-grow(y, 200), <-grow(y, 900)); err != nil { // y goes beyond, alone
			t.Fatal(err)
		}
		if err := <-grow(y, 1); !errors.Is(err, ErrMemory) {
			t.Errorf("more than one call may hold: %v", err)
		}
		first, second := grow(x, 110), grow(z, 1)
		waits(first)
		waits(second)
		if err := <-grow(small, 200); err != nil { // has a part of its own
			t.Fatal(err)
		}
		third := grow(small, 1)
		waits(third)
		y.End() // x goes beyond, and leaves its part
		if err := errors.Join(<-first, <-second, <-third); err != nil {
			t.Fatal(err)
		}
		if b.beyond != x || b.used != 202 || x.held != 410 {
			t.Errorf("%+v, x holds %d", b, x.held)
		}
		last := grow(z, 200)
		waits(last)
		x.Shrink(10) // is not for others
		waits(last)
		small.Shrink(200)
		if err := <-last; err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithCancelCause(ctx)
		cancel(errGone)
		if _, err := z.Grow(short, 300); !errors.Is(err, errGone) || len(b.waiting) != 0 {
			t.Errorf("%v, %+v", err, b)
		}
		for _, l := range []*Loan{x, z, small} {
			l.End()
		}
		if !b.untouched() {
			t.Errorf("%+v", b)
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if b.watch != nil {
			t.Error("it is watched where nobody waits")
		}
	})
}

// Whatever clients do, all together hold no more than the budget, and nobody waits for ever.
func TestBudgetHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 1 << 20
		b := NewBudget(all)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 1))
				l := &Loan{from: b}
				for range 200 {
					l.Sizes(int64(random.IntN(3)) * smallFrame)
					for random.IntN(5) > 0 {
						if _, err := l.Grow(t.Context(), 1+random.Int64N(300_000)); err != nil && !errors.Is(err, ErrMemory) {
							t.Error(err)
						}
						b.mu.Lock()
						sum := b.used
						if b.beyond != nil {
							sum += b.beyond.held
						}
						b.mu.Unlock()
						if sum > all {
							t.Errorf("%d bytes are lent", sum)
						}
						time.Sleep(time.Millisecond)
					}
					l.End()
				}
			})
		}
		wg.Wait()
		if !b.untouched() {
			t.Errorf("%+v", b)
		}
	})
}

// A frame is never held more than five quarters, whatever it grows through.
func TestFramesGrowEvenly(t *testing.T) {
	for _, all := range []int64{1, firstPiece, firstPiece + 1, 1 << 20, 10_000_001, 64 << 20} {
		var size, copied int64
		for size < all {
			next := nextSize(size, all)
			if size > 0 && next > 4*size || size == 0 && next > firstPiece || next > all || size+next > all+all/4+4 {
				t.Errorf("%d of %d after %d", next, all, size)
			}
			copied += size
			size = next
		}
		if size != all || copied > all/3+16 {
			t.Errorf("%d of %d, %d copied", size, all, copied)
		}
	}
}

// Try takes only what is there for everybody, and waits for nothing.
func TestTry(t *testing.T) {
	b := NewBudget(1600)
	x, y := b.Client(nil, func() {}), b.Client(nil, func() {})
	if !x.Try(300) || y.Try(101) || !y.Try(100) || x.Try(1) {
		t.Error("more or less than a fourth was lent")
	}
	if n := b.Held(); n != 400 {
		t.Errorf("%d bytes are held", n)
	}
	x.End()
	if !y.Try(300) {
		t.Error("what came back is not lent again")
	}
	y.End()
	if n := b.Held(); n != 0 {
		t.Errorf("%d bytes are held in the end", n)
	}
}

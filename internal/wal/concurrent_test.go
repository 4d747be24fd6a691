package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Many writers, takers and checkpoints at once, on the real file system: every event comes once, those of one writer
// and directory in order, and what is not taken is there after SIGKILL.
func TestManyAtOnce(t *testing.T) {
	for _, dirs := range []int{1, 3} {
		t.Run(fmt.Sprint(dirs), func(t *testing.T) {
			root := t.TempDir()
			o := Options{CheckpointDir: filepath.Join(root, "c"), BackupDir: filepath.Join(root, "b"), Capacity: 2000, MaxFileSize: 200_000, Cache: 30_000}
			for i := range dirs {
				o.DataDirs = append(o.DataDirs, filepath.Join(root, fmt.Sprint("d", i)))
			}
			l, _, err := Open(vfs.OS{}, o)
			if err != nil {
				t.Fatal(err)
			}
			const writers, takers, batches, size = 8, 3, 40, 25
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var writing, taking sync.WaitGroup
			for w := range writers {
				writing.Go(func() {
					for i := range batches {
						var b flume.Batch
						for j := range size {
							b = append(b, text1(fmt.Sprint(w*1_000_000+i*size+j, " writer")))
						}
						if err := errors.Join(l.Reserve(ctx, size), l.Put(ctx, b)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			stop, stopTaking := context.WithCancel(ctx)
			var mu sync.Mutex
			got := map[int]int{}
			last := map[int]int{}
			for k := range takers {
				taking.Go(func() {
					for n := 0; ; n++ {
						if l.Wait(stop, 1) != nil {
							return
						}
						x, err := l.Take(30, 1<<20)
						if err != nil {
							t.Error(err)
							return
						}
						if x == nil {
							continue
						}
						if (n+k)%7 == 0 {
							x.Return()
							continue
						}
						if n%5 == 0 && len(x.Batch()) > 2 {
							x.Split([]int{1}).Return()
						}
						b := x.Batch()
						if err := x.Commit(ctx); err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						for _, e := range b {
							got[number(e)]++
						}
						mu.Unlock()
					}
				})
			}
			done := make(chan struct{})
			var checkpoints sync.WaitGroup
			checkpoints.Go(func() {
				for {
					select {
					case <-done:
						return
					case <-time.After(3 * time.Millisecond):
						if err := l.Checkpoint(); err != nil {
							t.Error(err)
						}
					}
				}
			})
			writing.Wait()
			for l.Events() > 500 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			stopTaking()
			taking.Wait()
			close(done)
			checkpoints.Wait()
			for _, ln := range l.lanes { // no SIGKILL, but nothing is closed or synced
				ln.out.w.Close()
			}
			if err := l.unlock(); err != nil {
				t.Fatal(err)
			}
			l, rec, err := Open(vfs.OS{}, o)
			if err != nil || len(rec.Damaged)+len(rec.Torn)+len(rec.Notes) > 0 {
				t.Fatalf("%+v, %v", rec, err)
			}
			for {
				x, err := l.Take(100, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				if x == nil {
					break
				}
				for _, e := range x.Batch() {
					n := number(e)
					got[n]++
					if w := n / 1_000_000; dirs == 1 {
						if n <= last[w] {
							t.Errorf("%d comes after %d", n, last[w])
						}
						last[w] = n
					}
				}
				if err := x.Commit(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Close(true); err != nil {
				t.Error(err)
			}
			for w := range writers {
				for i := range batches * size {
					if n := got[w*1_000_000+i]; n != 1 {
						t.Fatalf("event %d of writer %d came %d times", i, w, n)
					}
				}
			}
		})
	}
}

// gate lets syncs of data files wait.
type gate struct {
	mu   sync.Mutex
	hold chan struct{} // nil: open
	at   chan struct{} // one for each that waits
}

func (g *gate) before(op vfs.Op) error {
	if op.Kind != vfs.OpSync || !isData(op) {
		return nil
	}
	g.mu.Lock()
	hold := g.hold
	g.mu.Unlock()
	if hold != nil {
		g.at <- struct{}{}
		<-hold
	}
	return nil
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.hold)
	g.hold = nil
}

func gatedLog(t *testing.T) (*gate, *Log, *[]vfs.OpKind) {
	t.Helper()
	g := &gate{at: make(chan struct{}, 10)}
	m := memory(t)
	var mu sync.Mutex
	ops := &[]vfs.OpKind{}
	m.Before = g.before
	m.After = func(op vfs.Op) {
		if isData(op) {
			mu.Lock()
			*ops = append(*ops, op.Kind)
			mu.Unlock()
		}
	}
	l, _, err := Open(m, smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	putTexts(t, l, "first") // and with it the fill
	*ops = nil
	return g, l, ops
}

// While the disk syncs one group the next fills: however many commits come meanwhile, they are one write and one sync.
func TestGroupCommit(t *testing.T) {
	g, l, ops := gatedLog(t)
	g.close()
	var all sync.WaitGroup
	put := func() {
		if err := errors.Join(l.Reserve(t.Context(), 1), l.Put(t.Context(), flume.Batch{text1("x")})); err != nil {
			t.Error(err)
		}
	}
	all.Go(put)
	<-g.at
	for range 20 {
		all.Go(put)
	}
	ln := l.lanes[0]
	for waiting := 0; waiting < 20; {
		ln.mu.Lock()
		waiting = len(ln.waiting)
		ln.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	if l.Waiting() != 1 {
		t.Errorf("%d events can be taken, and only one is safe", l.Waiting())
	}
	g.open()
	all.Wait()
	want := []vfs.OpKind{vfs.OpWrite, vfs.OpSync, vfs.OpWrite, vfs.OpSync}
	if fmt.Sprint(*ops) != fmt.Sprint(want) {
		t.Errorf("the disk has seen %v, want %v", *ops, want)
	}
}

// A take does not wait for the disk.
func TestTakesDoNotWaitForASync(t *testing.T) {
	g, l, _ := gatedLog(t)
	g.close()
	var all sync.WaitGroup
	all.Go(func() {
		if err := errors.Join(l.Reserve(t.Context(), 1), l.Put(t.Context(), flume.Batch{text1("x")})); err != nil {
			t.Error(err)
		}
	})
	<-g.at
	x, err := l.Take(5, 1<<20)
	if err != nil || len(x.Batch()) != 1 {
		t.Fatalf("%v, %v", x, err)
	}
	if err := x.Commit(t.Context()); err != nil { // returns while the sync is held up
		t.Fatal(err)
	}
	if l.Events() != 0 {
		t.Errorf("%d events", l.Events())
	}
	g.open()
	all.Wait()
	if l.Events() != 1 {
		t.Errorf("%d events", l.Events())
	}
}

// A put whose context ends returns; its events may come later, and the log goes on.
func TestAbandonedPut(t *testing.T) {
	g, l, _ := gatedLog(t)
	g.close()
	var all sync.WaitGroup
	all.Go(func() {
		if err := errors.Join(l.Reserve(t.Context(), 1), l.Put(t.Context(), flume.Batch{text1("x")})); err != nil {
			t.Error(err)
		}
	})
	<-g.at
	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := errors.New("patience is over")
	cancel(impatient)
	if err := errors.Join(l.Reserve(t.Context(), 1), l.Put(ctx, flume.Batch{text1("y")})); !errors.Is(err, impatient) {
		t.Errorf("%v", err)
	}
	x, err := l.Take(1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Commit(ctx); err != nil && !errors.Is(err, impatient) {
		t.Errorf("%v", err)
	}
	g.open()
	all.Wait()
	putTexts(t, l, "z")
	if got := bodies(t, l); got != "x y z" || l.reserved != 0 {
		t.Errorf("%q, %d reserved", got, l.reserved)
	}
}

func TestWaiting(t *testing.T) {
	l, _, err := Open(memory(t), smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := l.Wait(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
	putTexts(t, l, "a")
	all.Wait()
	if err := l.Reserve(t.Context(), 99); err != nil {
		t.Fatal(err)
	}
	all.Go(func() {
		if err := l.Reserve(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
	if got := bodies(t, l); got != "a" {
		t.Errorf("%q", got)
	}
	all.Wait()
	cancel()
	if err := l.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := l.Reserve(ctx, 1); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	l.Release(100)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Take(1, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := l.Close(true); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

// What a put and a take cost in allocations: a handful for a batch of any size.
func TestAllocations(t *testing.T) {
	if racing {
		t.Skip("the race detector allocates too")
	}
	o := smallOptions()
	o.Capacity, o.MaxFileSize, o.fill = 1_000_000, LargestFile, fillSize
	l, _, err := Open(memory(t), o)
	if err != nil {
		t.Fatal(err)
	}
	b := benchBatch(100, 500)
	put := func() {
		if err := errors.Join(l.Reserve(t.Context(), 100), l.Put(t.Context(), b)); err != nil {
			t.Fatal(err)
		}
	}
	put()
	// Two of these are the file system's.
	if n := testing.AllocsPerRun(50, put); n > 6 {
		t.Errorf("a put of 100 events costs %.1f allocations", n)
	}
	if n := testing.AllocsPerRun(50, func() {
		x, err := l.Take(100, 1<<20)
		if err != nil || len(x.Batch()) != 100 {
			t.Fatal(err)
		}
		if err := x.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}); n > 16 {
		t.Errorf("a take of 100 events costs %.1f allocations", n)
	}
}

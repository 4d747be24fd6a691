package wal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

// ofTwoDirs are the options of a log in two directories, with everything in memory.
func ofTwoDirs() Options {
	o := smallOptions()
	o.DataDirs, o.Capacity, o.Cache, o.MaxFileSize = []string{"/d", "/e"}, 20000, 32<<20, LargestFile
	return o
}

// What a take holds of the log is what it delivers, however far apart the events lie.
func TestATakeIsWhatItDelivers(t *testing.T) {
	for _, x := range []struct{ events, bytes int }{{10000, 32 << 20}, {10000, 1 << 20}, {10000, 500}, {7, 32 << 20}} {
		for _, cache := range []int{0, 20000, 32 << 20} {
			o := ofTwoDirs()
			o.Cache = cache
			l, _, err := Open(memory(t), o)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range 3000 {
				putTexts(t, l, fmt.Sprint(i))
				want = append(want, fmt.Sprint(i))
			}
			dice := rand.New(rand.NewPCG(uint64(x.events), uint64(x.bytes)))
			var got []string
			for {
				tk, err := l.Take(x.events, x.bytes)
				if err != nil {
					t.Fatal(err)
				}
				if tk == nil {
					break
				}
				if n := len(tk.Batch()); n > 1 && dice.IntN(3) == 0 {
					tk.Split([]int{n - 1}).Return()
				}
				for _, e := range tk.Batch() {
					got = append(got, string(e.Body))
				}
				if err := tk.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v, %d bytes in memory: %d events were delivered of 3000, or in another order", x, cache, len(got))
			}
			if n := l.Events(); n != 0 {
				t.Errorf("%d events are left", n)
			}
			if err := l.Close(true); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Events without a byte take memory too.
func TestTheCacheCountsWhatEventsTake(t *testing.T) {
	o := smallOptions()
	o.Cache, o.Capacity = 100_000, 100000
	l, _, err := Open(memory(t), o)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := l.Reserve(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
		if err := l.Put(t.Context(), make(flume.Batch, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.cache.batches); n != 2 {
		t.Errorf("%d batches of 48,000 bytes are in a cache of 100,000", n)
	}
}

// What was taken and synced does not come again when the checkpoint is lost, though its takes lie in another directory.
func TestAFileWithTakesStaysAsLongAsTheirPuts(t *testing.T) {
	m := memory(t)
	o := smallOptions()
	o.DataDirs, o.MaxFileSize, o.fill = []string{"/d", "/e"}, 3000, -1
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	to := func(dir int64) { // where the next put goes
		for (l.tx.Load()+1)%2 != dir {
			l.tx.Add(1)
		}
	}
	put := func(dir int64, s string) {
		to(dir)
		putTexts(t, l, s)
	}
	take := func(n int) *Taken {
		x, err := l.Take(n, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	commit := func(x *Taken) {
		if err := x.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for l.lanes[0].out.file.id == 1 { // /d goes on in log-3, /e is at log-2 all the time
		put(0, strings.Repeat("x", 1000))
		commit(take(1))
	}
	put(1, "e")
	put(0, "taken")
	put(0, "keep")
	commit(take(2)) // the first is of /e, so that both takes are in log-2
	for range 4 {   // /e goes on and on
		for range 4 {
			put(1, strings.Repeat("x", 1000))
			x := take(2)
			kept := x.Split([]int{0})
			commit(x)
			kept.Return()
		}
		if err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	if l.lanes[0].out.file.id != 3 || l.lanes[1].out.file.id < 7 {
		t.Fatalf("the directories are at %d and %d", l.lanes[0].out.file.id, l.lanes[1].out.file.id)
	}
	k := m.Killed()
	wipe(t, k, "/c")
	again, _, err := Open(k, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, again); got != "keep" {
		t.Errorf("after a replay of everything there is %q", got)
	}
}

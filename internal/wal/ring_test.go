package wal

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// A checkpoint writes what has come since its files were last written, not the queue, and what it leaves is the queue
// all the same: while the queue goes round the ring several times, with events that were given back and have to be
// first, and with ones that are taken and not committed.
func TestCheckpointsOfALongQueue(t *testing.T) {
	m := vfs.NewMemory()
	wrote := 0
	m.After = func(op vfs.Op) {
		if op.Kind == vfs.OpWrite && (strings.HasSuffix(op.Path, ringSpare) || op.Path == "/b/"+ringName) {
			wrote += op.Len
		}
	}
	o := Options{CheckpointDir: "/c", BackupDir: "/b", DataDirs: []string{"/d"}, Capacity: 1000, MaxFileSize: 1 << 20, now: clock, fill: -1}
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	next, first := 0, 0
	put := func(n int) {
		b := make(flume.Batch, n)
		for i := range b {
			b[i].Body = []byte(strconv.Itoa(next))
			next++
		}
		if err := l.Reserve(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if err := l.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	take := func(n int) *Taken {
		x, err := l.Take(n, 1<<20)
		if err != nil || len(x.Batch()) != n {
			t.Fatalf("%v, %v", x, err)
		}
		return x
	}
	put(900)
	for round := range 100 {
		put(50)
		if err := take(50).Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		first += 50
		back, held := take(7), take(11)
		if round%2 == 0 {
			back.Return()
		}
		wrote = 0
		if err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		// The spare file is two checkpoints old and the backup one; 18 events are in the way of those that wait.
		if most := (100 + 50 + 2*18 + 20) * slotSize; round > 1 && wrote > most {
			t.Fatalf("checkpoint %d wrote %d bytes, more than %d", round, wrote, most)
		}
		if round%2 == 1 {
			back.Return()
		}
		held.Return()
		for _, lost := range []string{"", "/c"} {
			c := m.Clone()
			if lost != "" {
				wipe(t, c, lost)
			}
			k, rec, err := Open(c, o)
			if err != nil || rec.Events != next-first || rec.Records != 0 {
				t.Fatalf("checkpoint %d: %+v, %v", round, rec, err)
			}
			x, err := k.Take(1000, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range x.Batch() {
				if number(e) != first+i {
					t.Fatalf("checkpoint %d: event %d is %d", round, first+i, number(e))
				}
			}
		}
	}
}

// A process that is killed while a checkpoint's files change their names leaves them half done, and has not made them
// safe. Whatever the next one does, and wherever the power goes then: there is a checkpoint.
func TestThereIsAlwaysACheckpoint(t *testing.T) {
	m := vfs.NewMemory()
	o := Options{CheckpointDir: "/c", DataDirs: []string{"/d"}, Capacity: 100, MaxFileSize: 1 << 20, now: clock, fill: -1}
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	var left []*vfs.Memory
	m.After = func(op vfs.Op) {
		if op.Kind == vfs.OpRename && strings.HasPrefix(op.Path, "/c/") {
			left = append(left, m.Killed())
		}
	}
	for i := range 3 { // the first has nothing to change places with
		if err := tryPut(t, l, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	m.After = nil
	if len(left) != 18 {
		t.Fatalf("%d renames are not those of three checkpoints", len(left))
	}
	r := rand.New(rand.NewPCG(1, 2))
	// open opens what is left and loses the power at every call, and opens some of what that leaves.
	var open func(state *vfs.Memory, more int)
	open = func(state *vfs.Memory, more int) {
		state.After = func(op vfs.Op) {
			after := state.Crash(r)
			list, err := listFiles(after, &o)
			if err != nil {
				t.Fatal(err)
			}
			if ck, bad := choose(after, "/c", "", list.files); ck == nil {
				t.Fatalf("the last call was %v: no checkpoint: %v", op, bad)
			}
			if more > 0 && r.IntN(8) == 0 {
				open(after, more-1)
			}
		}
		l, _, err := Open(state, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	}
	for _, killed := range left {
		for range 2 {
			open(killed.Killed(), 2)
			open(killed.Crash(r), 2)
		}
	}
}

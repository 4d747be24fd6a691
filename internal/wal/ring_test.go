package wal

import (
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

// A process that is killed while a checkpoint's files change their names has not made the names safe. The next one must,
// before it writes into the file that is the room for its own checkpoint: after a power cut that may be the one in use.
func TestNamesAreSafeBeforeTheRoomForACheckpointIsUsed(t *testing.T) {
	m := vfs.NewMemory()
	o := Options{CheckpointDir: "/c", DataDirs: []string{"/d"}, Capacity: 100, MaxFileSize: 1 << 20, now: clock, fill: -1}
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	var left []*vfs.Memory
	renames := 0
	m.After = func(op vfs.Op) {
		if op.Kind == vfs.OpRename && strings.HasPrefix(op.Path, "/c/") {
			renames++
			left = append(left, m.Killed())
		}
	}
	for i := range 2 { // the first has nothing to change places with
		if err := tryPut(t, l, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	m.After = nil
	if renames < 6 {
		t.Fatalf("%d renames are not those of two checkpoints", renames)
	}
	for i, killed := range left {
		safe := false
		killed.After = func(op vfs.Op) {
			switch {
			case op.Kind == vfs.OpSyncDir && op.Path == "/c":
				safe = true
			case op.Kind == vfs.OpWrite && strings.HasPrefix(op.Path, "/c/checkpoint") && !safe:
				t.Errorf("killed after rename %d: %s was written to before the names were safe", i, op.Path)
			}
		}
		l, _, err := Open(killed, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	}
}

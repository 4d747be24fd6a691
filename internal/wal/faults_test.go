package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

var errDisk = errors.New("the disk is broken")

// open opens a log on a new file system whose changes fail as fail says.
func openFaulty(t *testing.T, fail *func(vfs.Op) error) (*vfs.Memory, *Log) {
	t.Helper()
	m := memory(t)
	m.Before = func(op vfs.Op) error {
		if *fail != nil {
			return (*fail)(op)
		}
		return nil
	}
	l, _, err := Open(m, smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	return m, l
}

func tryPut(t *testing.T, l *Log, body string) error {
	t.Helper()
	if err := l.Reserve(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return l.Put(t.Context(), flume.Batch{text1(body)})
}

func isData(op vfs.Op) bool { _, ok := dataFileNumber(filepath.Base(op.Path)); return ok }

// After a write or a sync that failed the put is refused, and the log goes on by itself. What was refused does not
// come up later as long as the disk lets itself be repaired.
func TestBrokenDisk(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpSync} {
		t.Run(kind.String(), func(t *testing.T) {
			var fail func(vfs.Op) error
			m, l := openFaulty(t, &fail)
			putTexts(t, l, "a", "b")
			fail = func(op vfs.Op) error {
				if op.Kind == kind && isData(op) {
					return errDisk
				}
				return nil
			}
			if err := tryPut(t, l, "refused"); !errors.Is(err, errDisk) {
				t.Errorf("%v", err)
			}
			if err := tryPut(t, l, "refused too"); !errors.Is(err, errDisk) {
				t.Errorf("%v", err)
			}
			if err := l.Checkpoint(); err != nil && !errors.Is(err, errDisk) {
				t.Errorf("checkpoint: %v", err)
			}
			fail = nil
			putTexts(t, l, "c")
			if l.Events() != 3 || l.reserved != 0 {
				t.Errorf("%d events, room for %d is reserved", l.Events(), l.reserved)
			}
			if err := l.Checkpoint(); err != nil {
				t.Errorf("checkpoint: %v", err)
			}
			putTexts(t, l, "d")
			killed := m.Clone()
			if got := bodies(t, l); got != "a b c d" {
				t.Errorf("%q", got)
			}
			for _, lost := range []bool{false, true} { // the checkpoint
				m := killed.Clone()
				if lost {
					wipe(t, m, "/c")
				}
				l, rec, err := Open(m, smallOptions())
				if err != nil || len(rec.Damaged)+len(rec.Torn) > 0 {
					t.Fatalf("%+v, %v", rec, err)
				}
				if got := bodies(t, l); got != "a b c d" {
					t.Errorf("%q", got)
				}
			}
		})
	}
}

// A commit of takes that could not be written leaves the events with whoever took them.
func TestBrokenDiskWhileTaking(t *testing.T) {
	var fail func(vfs.Op) error
	_, l := openFaulty(t, &fail)
	putTexts(t, l, "a", "b")
	x, err := l.Take(2, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	fail = func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && isData(op) {
			return errDisk
		}
		return nil
	}
	if err := x.Commit(t.Context()); !errors.Is(err, errDisk) {
		t.Fatalf("%v", err)
	}
	if l.Events() != 2 || l.Waiting() != 0 {
		t.Errorf("%d events, %d waiting", l.Events(), l.Waiting())
	}
	fail = nil
	if err := x.Commit(t.Context()); err != nil || l.Events() != 0 {
		t.Errorf("%v, %d events", err, l.Events())
	}
}

// On a full disk puts are refused with the reason, and takes, checkpoints and, at last, puts go on without a restart.
func TestFullDisk(t *testing.T) {
	m := memory(t)
	o := smallOptions()
	o.MaxFileSize, o.Capacity, o.fill = 3000, 200, -1
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	n := 0
	put := func() error {
		err := tryPut(t, l, fmt.Sprintf("%04d %s", n, strings.Repeat("x", 200)))
		if err == nil {
			n++
		}
		return err
	}
	for range 20 {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Checkpoint(); err != nil { // and with it the room for the next
		t.Fatal(err)
	}
	m.Limit(m.Used() + 700)
	for err = nil; err == nil; {
		err = put()
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v", err)
	}
	next := 0
	for round := range 3 {
		for range 5 {
			x, err := l.Take(1, 1<<20)
			if err != nil || x == nil {
				t.Fatalf("round %d: %v, %v", round, x, err)
			}
			if got := number(x.Batch()[0]); got != next {
				t.Fatalf("took %d, want %d", got, next)
			}
			next++
			if err := x.Commit(t.Context()); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if err := l.Checkpoint(); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if l.unlogged.Load() != 0 {
		t.Errorf("%d takes are in no checkpoint", l.unlogged.Load())
	}
	// What was taken is not there again, though no record says so.
	killed := m.Clone()
	killed.Limit(0)
	k, rec, err := Open(killed, o)
	if err != nil || rec.Events != n-next {
		t.Fatalf("%+v, %v; want %d events", rec, err, n-next)
	}
	if x, err := k.Take(1, 1<<20); err != nil || number(x.Batch()[0]) != next {
		t.Errorf("%v", err)
	}
	m.Limit(0)
	if err := put(); err != nil {
		t.Errorf("with space again: %v", err)
	}
	for x, err := l.Take(1, 1<<20); x != nil; x, err = l.Take(1, 1<<20) {
		if err != nil || number(x.Batch()[0]) != next {
			t.Fatalf("%v, %v; want %d", x.Batch(), err, next)
		}
		next++
		if err := x.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if next != n {
		t.Errorf("%d events came, %d were put", next, n)
	}
}

// A log opens on a full disk: what is in it can be taken, and puts go on as soon as there is room.
func TestOpenOnAFullDisk(t *testing.T) {
	m, _ := puts(t, smallOptions(), []string{"a", "b"}, []string{"c", "d"})
	m.Limit(1)
	l, rec, err := Open(m, smallOptions())
	if err != nil || len(rec.Notes) == 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	x, err := l.Take(1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tryPut(t, l, "e"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if err := l.Checkpoint(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	m.Limit(0)
	putTexts(t, l, "e")
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	l, rec, err = Open(m, smallOptions())
	if err != nil || len(rec.Notes) > 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "b c d e" {
		t.Errorf("%q", got)
	}
}

// A checkpoint that cannot be written leaves the one before in force.
func TestCheckpointFails(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpCreate, vfs.OpWrite, vfs.OpTruncate, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir} {
		for after := range 12 {
			var fail func(vfs.Op) error
			m, l := openFaulty(t, &fail)
			putTexts(t, l, "a", "b")
			left := after
			fail = func(op vfs.Op) error {
				if op.Kind != kind || isData(op) {
					return nil
				}
				if left--; left < 0 {
					return errDisk
				}
				return nil
			}
			err := l.Checkpoint()
			if err != nil && !errors.Is(err, errDisk) {
				t.Fatalf("%v %d: %v", kind, after, err)
			}
			fail = nil
			killed := m.Clone()
			putTexts(t, l, "c")
			if err := l.Checkpoint(); err != nil {
				t.Fatalf("%v %d: the next checkpoint: %v", kind, after, err)
			}
			later := m.Clone()
			k, rec, err := Open(killed, smallOptions())
			if err != nil || len(rec.Missing)+len(rec.Damaged) > 0 {
				t.Fatalf("%v %d: %+v, %v", kind, after, rec, err)
			}
			if got := bodies(t, k); got != "a b" {
				t.Errorf("%v %d: %q", kind, after, got)
			}
			k, rec, err = Open(later, smallOptions())
			if err != nil || len(rec.Notes) > 0 {
				t.Fatalf("%v %d: %+v, %v", kind, after, rec, err)
			}
			if got := bodies(t, k); got != "a b c" {
				t.Errorf("%v %d: %q", kind, after, got)
			}
		}
	}
}

func TestBackupFails(t *testing.T) {
	var fail func(vfs.Op) error
	m := memory(t)
	m.Before = func(op vfs.Op) error {
		if fail != nil {
			return fail(op)
		}
		return nil
	}
	o := smallOptions()
	o.BackupDir = "/b"
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	putTexts(t, l, "a")
	fail = func(op vfs.Op) error {
		if strings.HasPrefix(op.Path, "/b/") {
			return errDisk
		}
		return nil
	}
	var b *BackupError
	if err := l.Checkpoint(); !errors.As(err, &b) {
		t.Errorf("%v", err)
	}
	fail = nil
	putTexts(t, l, "b")
	if err := l.Checkpoint(); err != nil {
		t.Error(err)
	}
	m = m.Clone()
	wipe(t, m, "/c")
	l, rec, err := Open(m, o)
	if err != nil || rec.Checkpoint != "/b/checkpoint" || rec.Records != 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "a b" {
		t.Errorf("%q", got)
	}
}

// Somebody removes the lock file: it is locked anew, and when another has it, nothing more is written down.
func TestLostLock(t *testing.T) {
	m := memory(t)
	l, _, err := Open(m, smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	putTexts(t, l, "a")
	if err := m.Remove("/c/in_use.lock"); err != nil {
		t.Fatal(err)
	}
	m.LockAs("/c/in_use.lock", vfs.Process{PID: 9})
	var locked *vfs.LockedError
	if err := l.Checkpoint(); !errors.As(err, &locked) {
		t.Errorf("%v", err)
	}
	if err := tryPut(t, l, "b"); !errors.As(err, &locked) || l.reserved != 0 {
		t.Errorf("a put into a log that another has: %v, %d reserved", err, l.reserved)
	}
}

// A log that was closed, and starts on a disk that others have filled, drains and gives its room back.
func TestRestartOnAFullDisk(t *testing.T) {
	m := memory(t)
	o := smallOptions()
	o.MaxFileSize, o.Capacity, o.fill = 3000, 1000, -1
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		putTexts(t, l, fmt.Sprintf("%d-%s", i, strings.Repeat("x", 200)))
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	m.Limit(m.Used())
	if l, _, err = Open(m, o); err != nil {
		t.Fatal(err)
	}
	files := len(l.files)
	bodies(t, l)
	for range 3 {
		l.mu.Lock()
		l.changed = true
		l.mu.Unlock()
		if err := l.Checkpoint(); err != nil && !IsFull(err) {
			t.Error(err)
		}
	}
	if len(l.files) >= files {
		t.Errorf("all was taken, and still there are %d data files", len(l.files))
	}
	putTexts(t, l, "again")
}

func TestTooLarge(t *testing.T) {
	m := memory(t)
	o := smallOptions()
	o.MaxFileSize = 2000
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	putTexts(t, l, "a")
	files := len(l.files)
	var large *TooLargeError
	if err := tryPut(t, l, strings.Repeat("x", 2000)); !errors.As(err, &large) || len(l.files) != files || l.reserved != 0 {
		t.Errorf("%v, %d data files, %d reserved", err, len(l.files), l.reserved)
	}
	if err := l.Reserve(context.Background(), o.Capacity+1); !errors.As(err, &large) {
		t.Errorf("%v", err)
	}
	// A transaction larger than a data file lies in several.
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("%d-%s", i, strings.Repeat("y", 150)))
	}
	putTexts(t, l, many...)
	putTexts(t, l, "z")
	want := strings.Join(append(append([]string{"a"}, many...), "z"), " ")
	killed := m.Clone()
	if got := bodies(t, l); got != want {
		t.Errorf("%.200q", got)
	}
	for _, lost := range []bool{false, true} {
		k := killed.Clone()
		if lost {
			wipe(t, k, "/c")
		}
		l, _, err := Open(k, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := bodies(t, l); got != want {
			t.Errorf("%.200q", got)
		}
	}
	es, _ := m.List("/d")
	for _, e := range es {
		if _, ok := dataFileNumber(e.Name); ok && e.Size > o.MaxFileSize+framing+int64(o.fill) {
			t.Errorf("%s has %d bytes", e.Name, e.Size)
		}
	}
}

package wal

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// until waits until ok, which is asked under the lane's lock.
func (l *lane) until(t *testing.T, ok func() bool) {
	for range 20_000 {
		l.mu.Lock()
		met := ok()
		l.mu.Unlock()
		if met {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
	t.Error("it does not come to that")
}

// A sync that fails while others wait for a new file: what it was to make safe is refused, also if the next sync of the
// file would say nothing, and what is refused leaves no damage.
func TestSyncFailsBeforeRoll(t *testing.T) {
	m := memory(t)
	o := smallOptions()
	o.MaxFileSize, o.fill = 3000, -1
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	putTexts(t, l, "first", "second")
	x, err := l.Take(1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	ln := l.lanes[0]
	path := ln.out.file.path
	var syncs atomic.Int32
	b, c := make(chan error, 1), make(chan error, 1)
	m.Before = func(op vfs.Op) error {
		if op.Kind != vfs.OpSync || op.Path != path || syncs.Add(1) > 1 {
			return nil
		}
		go func() { b <- tryPut(t, l, strings.Repeat("B", 2500)) }() // has no room in the file
		ln.until(t, func() bool { return len(ln.waiting) == 1 })
		go func() { c <- x.Commit(context.Background()) }() // is in a hurry
		ln.until(t, func() bool { return len(ln.waiting) == 2 })
		return errDisk
	}
	if err := tryPut(t, l, strings.Repeat("A", 2000)); err == nil {
		t.Error("a put is good whose sync failed")
	}
	if err := <-b; err != nil {
		t.Error(err)
	}
	if err := <-c; err != nil {
		t.Error(err)
	}
	if n := syncs.Load(); n != 1 {
		t.Errorf("%d syncs of a file that is in doubt", n)
	}
	putTexts(t, l, "D")
	k, rec, err := Open(m.Killed(), o)
	if err != nil || len(rec.Damaged)+len(rec.Torn) > 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, k); got != "second "+strings.Repeat("B", 2500)+" D" {
		t.Errorf("%.60q", got)
	}
}

// The sync of a file that is left fails: what waited for it is refused.
func TestSyncFailsInRoll(t *testing.T) {
	m := memory(t)
	o := smallOptions()
	o.MaxFileSize, o.fill = 3000, -1
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	ln := l.lanes[0]
	path := ln.out.file.path
	b := make(chan error, 1)
	var once, failed atomic.Bool
	m.After = func(op vfs.Op) {
		if op.Kind == vfs.OpWrite && op.Path == path && once.CompareAndSwap(false, true) {
			go func() { b <- tryPut(t, l, strings.Repeat("B", 2000)) }()
			ln.until(t, func() bool { return len(ln.waiting) == 1 })
		}
	}
	m.Before = func(op vfs.Op) error {
		if op.Kind == vfs.OpSync && op.Path == path && failed.CompareAndSwap(false, true) {
			return errDisk
		}
		return nil
	}
	if err := tryPut(t, l, strings.Repeat("A", 2000)); err == nil {
		t.Error("a put is good whose sync failed")
	}
	if err := <-b; err != nil {
		t.Error(err)
	}
	k, rec, err := Open(m.Killed(), o)
	if err != nil || len(rec.Damaged)+len(rec.Torn) > 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, k); got != strings.Repeat("B", 2000) {
		t.Errorf("%.60q", got)
	}
}

// What was refused for a failed sync is not there after SIGKILL, where the disk lets itself be cut.
func TestRefusedStaysAway(t *testing.T) {
	var fail func(vfs.Op) error
	m, l := openFaulty(t, &fail)
	putTexts(t, l, "a")
	fail = func(op vfs.Op) error {
		if op.Kind == vfs.OpSync && isData(op) {
			return errDisk
		}
		return nil
	}
	if err := tryPut(t, l, "refused"); err == nil {
		t.Error("a put is good whose sync failed")
	}
	k, _, err := Open(m.Killed(), smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, k); got != "a" {
		t.Errorf("%q", got)
	}
}

// On a full disk a checkpoint gets through while sinks take, and a quota that is used up is a full disk.
func TestCheckpointAmongTakesOnAFullDisk(t *testing.T) {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		var fail func(vfs.Op) error
		_, l := openFaulty(t, &fail)
		putTexts(t, l, "a", "b")
		var xs []*Taken
		for range 2 {
			x, err := l.Take(1, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			xs = append(xs, x)
		}
		var once atomic.Bool
		cp, other := make(chan error, 1), make(chan error, 1)
		ln := l.lanes[0]
		fail = func(op vfs.Op) error {
			if op.Kind == vfs.OpCreate && isData(op) {
				return full
			}
			if op.Kind != vfs.OpWrite || !isData(op) {
				return nil
			}
			if once.CompareAndSwap(false, true) {
				go func() { cp <- l.Checkpoint() }()
				ln.until(t, func() bool { return len(ln.waiting) == 1 })
				go func() { other <- xs[1].Commit(context.Background()) }()
				ln.until(t, func() bool { return len(ln.waiting) == 2 })
			}
			return full
		}
		if err := xs[0].Commit(t.Context()); err != nil {
			t.Errorf("%v: taking: %v", full, err)
		}
		if err := <-other; err != nil {
			t.Errorf("%v: taking: %v", full, err)
		}
		if err := <-cp; err != nil {
			t.Errorf("%v: the checkpoint: %v", full, err)
		}
	}
}

package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// laws hold for both file systems.
func laws(t *testing.T, f FS, root string) {
	dir := filepath.Join(root, "a", "b")
	if err := f.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "x")
	if _, err := f.Open(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening a missing file: %v", err)
	}
	w, err := f.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Create(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating a file twice: %v", err)
	}
	if err := w.Allocate(1 << 16); err != nil {
		t.Error(err)
	}
	if n, err := w.Size(); n != 0 || err != nil {
		t.Errorf("size after Allocate: %d, %v", n, err)
	}
	if _, err := w.WriteAt([]byte("world"), 6); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt([]byte("hello "), 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Error(err)
	}
	if err := w.Truncate(9); err != nil {
		t.Error(err)
	}
	r, err := f.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 20)
	if n, err := r.ReadAt(b, 0); string(b[:n]) != "hello wor" || !errors.Is(err, io.EOF) {
		t.Errorf("read %q, %v", b[:n], err)
	}
	if _, err := r.WriteAt(b, 0); err == nil {
		t.Error("a file opened for reading can be written")
	}
	if err := errors.Join(w.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if err := f.Rename(name, filepath.Join(dir, "y")); err != nil {
		t.Error(err)
	}
	if err := f.SyncDir(dir); err != nil {
		t.Error(err)
	}
	if es, err := f.List(dir); err != nil || len(es) != 1 || es[0] != (Entry{Name: "y", Size: 9}) {
		t.Errorf("list: %v, %v", es, err)
	}
	if es, err := f.List(filepath.Dir(dir)); err != nil || len(es) != 1 || es[0].Name != "b" || !es[0].Dir {
		t.Errorf("list: %v, %v", es, err)
	}
	if e, err := f.Stat(filepath.Join(dir, "y")); err != nil || e.Size != 9 || e.Dir {
		t.Errorf("stat: %v, %v", e, err)
	}
	if n, err := f.Free(dir); n <= 0 || err != nil {
		t.Errorf("free: %d, %v", n, err)
	}

	lockName := filepath.Join(dir, "in_use.lock")
	l, err := f.Lock(lockName)
	if err != nil {
		t.Fatal(err)
	}
	var held *LockedError
	if _, err := f.Lock(lockName); !errors.As(err, &held) {
		t.Errorf("locking twice: %v", err)
	}
	if !l.Held() {
		t.Error("a lock that nobody touched is not held")
	}
	if err := f.Remove(lockName); err != nil {
		t.Error(err)
	}
	if l.Held() {
		t.Error("a lock whose file was removed is held")
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	l, err = f.Lock(lockName)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if _, err := f.Stat(lockName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock file after Release: %v", err)
	}
	if err := f.Remove(filepath.Join(dir, "y")); err != nil {
		t.Error(err)
	}
}

func TestOS(t *testing.T)     { laws(t, OS{}, t.TempDir()) }
func TestMemory(t *testing.T) { laws(t, NewMemory(), "/m") }

func TestUsersFindsAnotherProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("there is no /proc here")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "log-1")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := (OS{}).Users(dir, func(b string) bool { return b == "log-1" }); len(got) != 0 {
		t.Errorf("this process is named as another: %v", got)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cat, err := exec("/bin/cat", r, f)
	if err != nil {
		t.Skip(err)
	}
	defer cat.Wait()
	defer w.Close()
	got := (OS{}).Users(dir, func(b string) bool { return b == "log-1" })
	if len(got) != 1 || got[0].PID != cat.Pid {
		t.Errorf("Users: %v, want process %d", got, cat.Pid)
	}
	w.Close()
}

// exec starts a program with stdin and one more open file.
func exec(path string, stdin, extra *os.File) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return os.StartProcess(path, []string{path}, &os.ProcAttr{Files: []*os.File{stdin, null, null, extra}})
}

// write writes s at off.
func write(t *testing.T, f File, off int64, s []byte) {
	t.Helper()
	if _, err := f.WriteAt(s, off); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, m *Memory, name string) ([]byte, bool) {
	t.Helper()
	f, err := m.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	n, _ := f.Size()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b, true
}

// Everything that a crash may leave is left by some crash, and what is synced by every one.
func TestCrash(t *testing.T) {
	m := NewMemory()
	if err := m.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	f, err := m.Create("/d/x")
	if err != nil {
		t.Fatal(err)
	}
	safe := bytes.Repeat([]byte{'s'}, 600)
	write(t, f, 0, safe)
	if err := errors.Join(f.Sync(), m.SyncDir("/d")); err != nil {
		t.Fatal(err)
	}
	write(t, f, 600, bytes.Repeat([]byte{'1'}, 1000)) // pages 1 (part), 2, 3 (part)
	write(t, f, 1600, bytes.Repeat([]byte{'2'}, 1000))
	g, err := m.Create("/d/y")
	if err != nil {
		t.Fatal(err)
	}
	write(t, g, 0, []byte("y"))
	if err := m.Rename("/d/y", "/d/z"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		c := m.Crash(r)
		b, there := content(t, c, "/d/x")
		if !there || !bytes.HasPrefix(b, safe) {
			t.Fatalf("what was synced is lost: %d bytes, %v", len(b), there)
		}
		rest := b[600:]
		one, two, zero := bytes.Count(rest, []byte("1")), bytes.Count(rest, []byte("2")), bytes.Count(rest, []byte{0})
		if one+two+zero != len(rest) {
			t.Fatalf("bytes that nobody wrote: %q", rest)
		}
		seen[map[bool]string{true: "all of 1"}[one == 1000]] = true
		seen[map[bool]string{true: "2 without 1"}[one == 0 && two > 0]] = true
		seen[map[bool]string{true: "part of 1"}[one > 0 && one < 1000]] = true
		seen[map[bool]string{true: "nothing"}[len(rest) == 0]] = true
		seen[map[bool]string{true: "zeros at the end"}[zero > 0 && rest[len(rest)-1] == 0]] = true
		_, y := content(t, c, "/d/y")
		z, zThere := content(t, c, "/d/z")
		if y && zThere {
			t.Fatal("a renamed file has two names")
		}
		seen[map[bool]string{true: "y not renamed"}[y]] = true
		seen[map[bool]string{true: "z without content"}[zThere && len(z) == 0]] = true
		seen[map[bool]string{true: "z with content"}[zThere && len(z) == 1]] = true
	}
	for _, want := range []string{"all of 1", "2 without 1", "part of 1", "nothing", "zeros at the end", "y not renamed", "z without content", "z with content"} {
		if !seen[want] {
			t.Errorf("no crash left: %s", want)
		}
	}
	if b, _ := content(t, m, "/d/x"); len(b) != 2600 {
		t.Errorf("Crash changed the file system itself: %d bytes", len(b))
	}
	if b, _ := content(t, m.Clone(), "/d/x"); len(b) != 2600 {
		t.Errorf("Clone lost something: %d bytes", len(b))
	}
}

// What is written after a crash is not safe either.
func TestCrashTwice(t *testing.T) {
	m := NewMemory()
	if err := m.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	f, err := m.Create("/d/x")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SyncDir("/d"); err != nil {
		t.Fatal(err)
	}
	write(t, f, 0, []byte("aaaa"))
	r := rand.New(rand.NewPCG(1, 2))
	lost := false
	for range 100 {
		c := m.Crash(r)
		was, _ := content(t, c, "/d/x")
		g, err := c.OpenWrite("/d/x")
		if err != nil {
			t.Fatal(err)
		}
		write(t, g, 0, []byte("bbbb"))
		now, _ := content(t, c.Crash(r), "/d/x")
		lost = lost || len(was) == 4 && bytes.Equal(was, now)
	}
	if !lost {
		t.Error("no second crash has lost the write before it")
	}
}

func TestMemoryIsFull(t *testing.T) {
	m := NewMemory()
	if err := m.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	f, err := m.Create("/d/x")
	if err != nil {
		t.Fatal(err)
	}
	m.Limit(1000)
	if n, err := f.WriteAt(make([]byte, 600), 0); n != 512 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if err := f.Truncate(4); err != nil {
		t.Error(err)
	}
	if n, err := f.WriteAt(make([]byte, 508), 4); n != 508 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if err := f.Truncate(513); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("truncate: %v", err)
	}
	if free, err := m.Free("/d"); free != 488 || err != nil {
		t.Errorf("free: %d, %v", free, err)
	}
}

func TestMemoryHooks(t *testing.T) {
	m := NewMemory()
	var ops []OpKind
	bad := errors.New("no")
	m.Before = func(op Op) error {
		if op.Kind == OpSync {
			return bad
		}
		return nil
	}
	m.After = func(op Op) { ops = append(ops, op.Kind) }
	if err := m.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	f, err := m.Create("/d/x")
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, 0, []byte("x"))
	if err := f.Sync(); !errors.Is(err, bad) {
		t.Errorf("Sync: %v", err)
	}
	if len(ops) != 2 || ops[0] != OpCreate || ops[1] != OpWrite {
		t.Errorf("operations: %v", ops)
	}
}

// What a failed sync was to make safe a later one does not; it can be read until the power goes.
func TestMemoryFailedSync(t *testing.T) {
	m := NewMemory()
	if err := m.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	f, err := m.Create("/d/f")
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string, off int64) {
		if _, err := f.WriteAt([]byte(s), off); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("the disk is broken")
	write("safe", 0)
	if err := errors.Join(f.Sync(), m.SyncDir("/d")); err != nil {
		t.Fatal(err)
	}
	write("lost", 4)
	m.Before = func(Op) error { return broken }
	if err := f.Sync(); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	m.Before = nil
	write("kept", 8)
	if err := f.Sync(); err != nil {
		t.Errorf("the second sync: %v", err)
	}
	read := func(m *Memory) string {
		f, err := m.Open("/d/f")
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 20)
		n, _ := f.ReadAt(b, 0)
		return string(b[:n])
	}
	if got := read(m.Killed()); got != "safelostkept" {
		t.Errorf("%q in the page cache", got)
	}
	if got := read(m.Crash(rand.New(rand.NewPCG(1, 2)))); got != "safe\x00\x00\x00\x00kept" {
		t.Errorf("%q on the disk", got)
	}
}

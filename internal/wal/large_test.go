package wal

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// TestLarge measures, when WAL_LARGE says with how many events of 500 bytes: filling, opening after SIGKILL from the
// checkpoint, opening without one, draining what is cold by WAL_TAKERS takers, and the memory of each. WAL_BENCH_DIR names the disk.
func TestLarge(t *testing.T) {
	n := int(fromEnv("WAL_LARGE", 0))
	if n == 0 {
		t.Skip("WAL_LARGE does not say how many events")
	}
	dir := benchDir(t)
	child := func(what string) {
		c := exec.Command(os.Args[0], "-test.run=^TestLargeStep$", "-test.v")
		c.Env = append(os.Environ(), "WAL_STEP="+what, "WAL_STEP_DIR="+dir)
		out, err := c.CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, ": ") {
				t.Log(strings.TrimSpace(line))
			}
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
	}
	child("fill")
	child("open from the checkpoint")
	for _, name := range []string{ringName, metaName, ringSpare, metaSpare} {
		if err := remove(vfs.OS{}, filepath.Join(dir, "checkpoint", name)); err != nil {
			t.Fatal(err)
		}
	}
	child("open without a checkpoint")
	child("drain")
}

// bytesWritten is what this process has written so far.
func bytesWritten() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), "wchar: ")
	n, _, _ := strings.Cut(after, "\n")
	v, _ := strconv.ParseInt(n, 10, 64)
	return v
}

func resident() string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return ""
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "VmRSS") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(out, ", ")
}

func TestLargeStep(t *testing.T) {
	what, dir := os.Getenv("WAL_STEP"), os.Getenv("WAL_STEP_DIR")
	if what == "" {
		t.Skip("this is run by TestLarge")
	}
	n, err := strconv.Atoi(os.Getenv("WAL_LARGE"))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	l, rec, err := Open(vfs.OS{}, Options{
		CheckpointDir: filepath.Join(dir, "checkpoint"), DataDirs: []string{filepath.Join(dir, "data")},
		Capacity: n, MaxFileSize: LargestFile,
	})
	if err != nil {
		t.Fatal(err)
	}
	if what != "fill" {
		took := time.Since(begun)
		t.Logf("%s: %.2f s, %d events, %d MB read, %.0f MB/s; %s", what, took.Seconds(), rec.Events, rec.Bytes/1e6, float64(rec.Bytes)/1e6/took.Seconds(), resident())
	}
	begun = time.Now()
	switch what {
	case "fill":
		b := benchBatch(1000, 500)
		checkpoints, spent, wrote := 0, time.Duration(0), int64(0)
		for range n / len(b) {
			if err := l.Reserve(t.Context(), len(b)); err != nil {
				t.Fatal(err)
			}
			if err := l.Put(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if l.Tail() > 256<<20 {
				at, was := time.Now(), bytesWritten()
				if err := l.Checkpoint(); err != nil {
					t.Fatal(err)
				}
				checkpoints, spent, wrote = checkpoints+1, spent+time.Since(at), wrote+bytesWritten()-was
			}
		}
		t.Logf("%s: %d events in %.1f s; %s", what, n, time.Since(begun).Seconds(), resident())
		t.Logf("%s: %d checkpoints, which took %.2f s and wrote %d MB", what, checkpoints, spent.Seconds(), wrote/1e6)
	case "drain":
		var got atomic.Int64
		var all sync.WaitGroup
		takers := fromEnv("WAL_TAKERS", 1)
		for range takers {
			all.Go(func() {
				for {
					x, err := l.Take(1000, 1<<20)
					if err != nil {
						t.Error(err)
					}
					if x == nil {
						return
					}
					got.Add(int64(len(x.Batch())))
					if err := x.Commit(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		took := time.Since(begun).Seconds()
		t.Logf("%s by %d: %d events in %.1f s, %.0f MB/s of bodies; %s", what, takers, got.Load(), took, float64(got.Load())*500/1e6/took, resident())
	}
	os.Exit(0) // as SIGKILL would, nothing is closed
}

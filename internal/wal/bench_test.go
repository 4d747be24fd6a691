package wal

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

func benchBatch(events, size int) flume.Batch {
	b := make(flume.Batch, events)
	for i := range b {
		b[i] = flume.Event{
			Headers: flume.Headers{{Key: "host", Value: "web-17.example.com"}, {Key: "timestamp", Value: "1700000000000"}},
			Body:    bytes.Repeat([]byte{'x'}, size),
		}
	}
	return b
}

func openBench(b testing.TB, dir string, capacity int) *Log {
	b.Helper()
	l, _, err := Open(vfs.OS{}, Options{
		CheckpointDir: filepath.Join(dir, "checkpoint"), DataDirs: []string{filepath.Join(dir, "data")},
		Capacity: capacity, MaxFileSize: LargestFile,
	})
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// benchDir is where benchmarks write: WAL_BENCH_DIR, or the system's place for temporary files.
func benchDir(b testing.TB) string {
	b.Helper()
	if dir := os.Getenv("WAL_BENCH_DIR"); dir != "" {
		dir = filepath.Join(dir, strings.ReplaceAll(b.Name(), "/", "-"))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return b.TempDir()
}

// A bareLoop writes and syncs groups of bytes, and nothing else: what the disk can do.
type bareLoop struct {
	f         vfs.File
	group     []byte
	fill      []byte
	pos, size int64
}

func (w *bareLoop) run(b testing.TB, d time.Duration) (bytes int64, took time.Duration) {
	const start = 1 << 29
	if w.pos > start {
		if err := w.f.Truncate(0); err != nil {
			b.Fatal(err)
		}
		w.pos, w.size = 0, 0
		w.f.Sync()
	}
	begun := time.Now()
	for time.Since(begun) < d {
		if len(w.fill) > 0 && w.pos+int64(len(w.group)) > w.size {
			if _, err := w.f.WriteAt(w.fill, w.pos); err != nil {
				b.Fatal(err)
			}
			w.size = w.pos + int64(len(w.fill))
		}
		if _, err := w.f.WriteAt(w.group, w.pos); err != nil {
			b.Fatal(err)
		}
		if err := w.f.Sync(); err != nil {
			b.Fatal(err)
		}
		w.pos += int64(len(w.group))
		bytes += int64(len(w.group))
	}
	return bytes, time.Since(begun)
}

// BenchmarkPut is 100-event batches of 500-byte and 1000-byte bodies, each safe on the disk before it is acknowledged, beside two
// bare loops that write and sync as many bytes at a time as there are writers: one lets its file grow, one writes over
// fill. The three take turns of a fifth of a second, for a disk has moods. Events are dropped as they come.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{500, 1000} {
		for _, writers := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("bytes=%d/writers=%d", size, writers), func(b *testing.B) { benchPut(b, size, writers) })
		}
	}
}

func benchPut(b *testing.B, size, writers int) {
	batch := benchBatch(100, size)
	var e entry
	e.puts(batch)
	dir := benchDir(b)
	var bare [2]*bareLoop
	for i := range bare {
		f, err := vfs.OS{}.Create(filepath.Join(dir, fmt.Sprint("bare", i)))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		bare[i] = &bareLoop{f: f, group: bytes.Repeat(e.buf, writers), fill: bytes.Repeat([]byte{opEnd}, i*fillSize)}
	}
	l := openBench(b, dir, 1_000_000)
	var bytes [3]int64
	var took [3]time.Duration
	var before, after runtime.MemStats
	allocs, puts := uint64(0), int64(0)
	for b.Loop() {
		for i, w := range bare {
			n, d := w.run(b, time.Second/5)
			bytes[i] += n
			took[i] += d
		}
		runtime.ReadMemStats(&before)
		n, d := putAll(b, l, batch, writers, time.Second/5)
		runtime.ReadMemStats(&after)
		allocs += after.Mallocs - before.Mallocs
		puts += n
		bytes[2] += n * int64(len(e.buf))
		took[2] += d
		drop(b, l)
	}
	rate := func(i int) float64 { return float64(bytes[i]) / 1e6 / took[i].Seconds() }
	b.ReportMetric(rate(0), "growing-MB/s")
	b.ReportMetric(rate(1), "fill-MB/s")
	b.ReportMetric(rate(2), "log-MB/s")
	b.ReportMetric(100*rate(2)/max(rate(0), rate(1)), "%-of-bare")
	b.ReportMetric(float64(allocs)/float64(puts*100), "allocs/event")
	b.ReportMetric(0, "ns/op")
	if err := l.Close(false); err != nil {
		b.Error(err)
	}
}

func putAll(b testing.TB, l *Log, batch flume.Batch, writers int, d time.Duration) (puts int64, took time.Duration) {
	begun := time.Now()
	var n atomic.Int64
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for time.Since(begun) < d {
				if err := l.Reserve(context.Background(), len(batch)); err != nil {
					b.Error(err)
					return
				}
				if err := l.Put(context.Background(), batch); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	return n.Load(), time.Since(begun)
}

// drop empties the queue without reading or logging, and has the data files removed.
func drop(b testing.TB, l *Log) {
	l.mu.Lock()
	for _, s := range l.queue.take(l.queue.waiting()) {
		l.queue.done(s)
	}
	l.changed = true
	l.mu.Unlock()
	if l.Tail() > 1<<28 {
		for _, ln := range l.lanes { // a new file, so that the old ones can go
			ln.mu.Lock()
			ln.writing = true
			err := ln.roll()
			ln.writing = false
			ln.mu.Unlock()
			if err != nil {
				b.Error(err)
			}
		}
		for range 2 {
			l.mu.Lock()
			l.changed = true
			l.mu.Unlock()
			if err := l.Checkpoint(); err != nil {
				b.Error(err)
			}
		}
	}
}

// BenchmarkTake is what taking costs, 100 or 1000 events of 500 bytes at a time, commit included: from memory, and
// read from files that the system has in its cache.
func BenchmarkTake(b *testing.B) {
	for _, cached := range []bool{true, false} {
		for _, takers := range []int{1, 4} {
			for _, some := range []int{100, 1000} {
				b.Run(fmt.Sprintf("cached=%v/takers=%d/events=%d", cached, takers, some), func(b *testing.B) {
					dir := benchDir(b)
					o := Options{
						CheckpointDir: filepath.Join(dir, "checkpoint"), DataDirs: []string{filepath.Join(dir, "data")},
						Capacity: 1_000_000, MaxFileSize: LargestFile,
					}
					if cached {
						o.Cache = 1 << 30
					}
					l, _, err := Open(vfs.OS{}, o)
					if err != nil {
						b.Fatal(err)
					}
					const events = 200_000
					batch := benchBatch(1000, 500)
					b.SetBytes(500 * events)
					for range b.N {
						b.StopTimer()
						for range events / len(batch) {
							if err := l.Reserve(b.Context(), len(batch)); err != nil {
								b.Fatal(err)
							}
							if err := l.Put(b.Context(), batch); err != nil {
								b.Fatal(err)
							}
						}
						b.StartTimer()
						var all sync.WaitGroup
						for range takers {
							all.Go(func() {
								for {
									x, err := l.Take(some, 1<<20)
									if err != nil {
										b.Error(err)
									}
									if x == nil {
										return
									}
									if err := x.Commit(b.Context()); err != nil {
										b.Error(err)
									}
								}
							})
						}
						all.Wait()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
					if err := l.Close(false); err != nil {
						b.Error(err)
					}
				})
			}
		}
	}
}

package wal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
	"pgregory.net/rapid"
)

// The log against two lists: what waits, and what is taken. One transaction at a time, so that the order is known.
func TestLogIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := vfs.NewMemory()
		o := Options{
			CheckpointDir: "/c", DataDirs: []string{"/d1", "/d2", "/d3"}[:rapid.IntRange(1, 3).Draw(t, "dirs")],
			Capacity:    rapid.SampledFrom([]int{30, 10_000}).Draw(t, "capacity"),
			MaxFileSize: rapid.SampledFrom([]int64{400, 2000, 1 << 20}).Draw(t, "file size"),
			Cache:       rapid.SampledFrom([]int{0, 0, 3000, 1 << 20}).Draw(t, "cache"),
			SyncTakes:   rapid.Bool().Draw(t, "sync takes"), now: clock, fill: 1000,
		}
		if rapid.Bool().Draw(t, "backup") {
			o.BackupDir, o.CompressBackup = "/b", rapid.Bool().Draw(t, "compressed")
		}
		if rapid.Bool().Draw(t, "encrypted") {
			o.Keys, o.ActiveKey = fixedKeys{}, "k"
		}
		l, _, err := Open(m, o)
		if err != nil {
			t.Fatal(err)
		}
		type taking struct {
			t   *Taken
			ids []int
		}
		var waiting []int
		var held []taking
		next := 0
		ctx := context.Background()
		back := func(ids []int) {
			waiting = append(waiting, ids...)
			slices.Sort(waiting)
		}
		reopen := func(t *rapid.T, m2 *vfs.Memory) {
			for _, h := range held {
				back(h.ids)
			}
			held = nil
			m = m2
			var rec *Recovery
			l, rec, err = Open(m, o)
			if err != nil || len(rec.Damaged)+len(rec.Torn)+len(rec.Missing)+len(rec.Strange)+rec.Doubtful > 0 {
				t.Fatalf("%+v, %v", rec, err)
			}
		}
		pick := func(t *rapid.T) taking {
			if len(held) == 0 {
				t.Skip()
			}
			i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
			h := held[i]
			held = slices.Delete(held, i, i+1)
			return h
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				n := rapid.IntRange(1, 12).Draw(t, "n")
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				err := l.Reserve(ctx, n)
				if full := l.Events()+n > o.Capacity; full != (err != nil) {
					t.Fatalf("reserving %d beside %d: %v", n, l.Events(), err)
				}
				if err != nil {
					return
				}
				var b flume.Batch
				for range n {
					b = append(b, flume.Event{Body: fmt.Appendf(nil, "%d %s", next, strings.Repeat("x", rapid.IntRange(0, 300).Draw(t, "size")))})
					waiting = append(waiting, next)
					next++
				}
				if err := l.Put(context.Background(), b); err != nil {
					t.Fatal(err)
				}
			},
			"take": func(t *rapid.T) {
				n := rapid.IntRange(1, 20).Draw(t, "n")
				bytes := rapid.SampledFrom([]int{1, 500, 1 << 20}).Draw(t, "bytes")
				x, err := l.Take(n, bytes)
				if err != nil {
					t.Fatal(err)
				}
				if x == nil {
					if len(waiting) > 0 {
						t.Fatalf("nothing to take and %d wait", len(waiting))
					}
					return
				}
				var ids []int
				size := 0
				for i, e := range x.Batch() {
					if i > 0 && size > bytes {
						t.Fatalf("took %d bytes and more, %d were asked for", size, bytes)
					}
					size += len(e.Body)
					ids = append(ids, number(e))
				}
				k := len(ids)
				if k == 0 || k > n || k < n && k < len(waiting) && bytes == 1<<20 && o.Cache == 0 || !slices.Equal(ids, waiting[:k]) {
					t.Fatalf("took %v of %v", ids, waiting)
				}
				waiting = slices.Clone(waiting[k:])
				held = append(held, taking{x, ids})
			},
			"commit": func(t *rapid.T) {
				h := pick(t)
				if err := h.t.Commit(ctx); err != nil {
					t.Fatal(err)
				}
				h.t.Return() // nothing any more
			},
			"return": func(t *rapid.T) {
				h := pick(t)
				h.t.Return()
				back(h.ids)
			},
			"split": func(t *rapid.T) {
				h := pick(t)
				var keep, kept, rest []int
				for i, id := range h.ids {
					if rapid.Bool().Draw(t, "keep") {
						keep, kept = append(keep, i), append(kept, id)
					} else {
						rest = append(rest, id)
					}
				}
				k := h.t.Split(keep)
				for _, p := range []taking{{k, kept}, {h.t, rest}} {
					var ids []int
					for _, e := range p.t.Batch() {
						ids = append(ids, number(e))
					}
					if !slices.Equal(ids, p.ids) {
						t.Fatalf("split into %v, want %v", ids, p.ids)
					}
					if len(p.ids) > 0 {
						held = append(held, p)
					}
				}
			},
			"checkpoint": func(t *rapid.T) {
				if err := l.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			},
			"kill": func(t *rapid.T) { reopen(t, m.Clone()) },
			"close": func(t *rapid.T) {
				for _, h := range held {
					h.t.Return()
				}
				if err := l.Close(rapid.Bool().Draw(t, "checkpoint")); err != nil {
					t.Fatal(err)
				}
				reopen(t, m)
			},
			"forget the checkpoint": func(t *rapid.T) {
				if o.BackupDir != "" {
					m2 := m.Clone()
					for _, e := range must(m2.List("/c")) {
						must(0, m2.Remove("/c/"+e.Name))
					}
					reopen(t, m2)
				}
			},
			"": func(t *rapid.T) {
				n := len(waiting)
				for _, h := range held {
					n += len(h.ids)
				}
				if l.Events() != n || l.Waiting() != len(waiting) {
					t.Fatalf("%d events, %d wait; want %d, %d", l.Events(), l.Waiting(), n, len(waiting))
				}
				if l.cache.bytes > o.Cache || n == 0 && l.cache.bytes > 0 {
					t.Fatalf("the cache has %d bytes of %d", l.cache.bytes, o.Cache)
				}
			},
		})
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

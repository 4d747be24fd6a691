package wal

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The queue against a list.
func TestQueueIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		var want []Pointer       // events not gone, in order
		var gone []bool          // by position
		var all []Pointer        // by position
		state := map[int64]int{} // position → 0 waiting, 1 taken
		var held [][]span
		file, offset := uint32(1), int64(0)
		waiting := func() (out []int64) {
			for pos := range all {
				if !gone[pos] && state[int64(pos)] == 0 {
					out = append(out, int64(pos))
				}
			}
			return out
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				n := rapid.IntRange(1, 3000).Draw(t, "n")
				if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
					file = uint32(rapid.IntRange(1, 5).Draw(t, "file"))
				}
				for range n {
					offset += 40
					q.append(pointer(file, offset))
					all, gone = append(all, pointer(file, offset)), append(gone, false)
				}
			},
			"take": func(t *rapid.T) {
				n := rapid.IntRange(1, 2500).Draw(t, "n")
				w := waiting()
				spans := q.take(n)
				var got []int64
				for _, s := range spans {
					for pos := s.from; pos < s.to; pos++ {
						got = append(got, pos)
						state[pos] = 1
						if q.at(pos) != all[pos] {
							t.Fatalf("position %d is %v, want %v", pos, q.at(pos), all[pos])
						}
					}
				}
				if !slices.Equal(got, w[:min(n, len(w))]) {
					t.Fatalf("took %v", got)
				}
				if len(spans) > 0 {
					held = append(held, spans)
				}
			},
			"done": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "i")
				for _, s := range held[i] {
					q.done(s)
					for pos := s.from; pos < s.to; pos++ {
						gone[pos] = true
					}
				}
				held = slices.Delete(held, i, i+1)
			},
			"give back": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "i")
				for _, s := range held[i] {
					q.giveBack(s)
					for pos := s.from; pos < s.to; pos++ {
						state[pos] = 0
					}
				}
				held = slices.Delete(held, i, i+1)
			},
			"": func(t *rapid.T) {
				want = want[:0]
				counts := map[uint32]int{}
				for pos, p := range all {
					if !gone[pos] {
						want = append(want, p)
						counts[p.File()]++
					}
				}
				if q.size != len(want) || q.waiting() != len(waiting()) {
					t.Fatalf("size %d, waiting %d; want %d, %d", q.size, q.waiting(), len(want), len(waiting()))
				}
				s := q.snapshot()
				for _, skip := range []span{{}, {s.first * chunkLen, (s.next + s.end) / 2}, {0, s.next}, {s.next + 1, s.end}} {
					ring := make([]Pointer, len(all)+1) // what is skipped is there already
					if skip.from <= s.next && skip.to > s.next {
						copy(ring[s.next:], all[s.next:skip.to])
					}
					if err := s.each(skip, func(at int64, ps []Pointer) error { copy(ring[at:], ps); return nil }); err != nil {
						t.Fatal(err)
					}
					if got := ring[s.low():s.end]; !slices.Equal(got, want) {
						t.Fatalf("skipping %v, the snapshot has %v, want %v", skip, got, want)
					}
				}
				if len(s.counts) != len(counts) {
					t.Fatalf("counts %v, want %v", s.counts, counts)
				}
				for f, n := range counts {
					if s.counts[f] != n {
						t.Fatalf("counts %v, want %v", s.counts, counts)
					}
				}
				live := 0
				for _, c := range q.chunks {
					if c != nil {
						live++
					}
				}
				if q.size == 0 && live > 1 {
					t.Fatalf("an empty queue keeps %d chunks", live)
				}
			},
		})
	})
}

// A snapshot stays as it was while the queue goes on.
func TestSnapshotStays(t *testing.T) {
	q := newQueue()
	for i := range int64(6000) {
		q.append(pointer(1, i*40))
	}
	s := q.snapshot()
	q.append(pointer(2, 0)) // the chunk holds two files from now on
	for _, x := range q.take(5000) {
		q.done(x)
	}
	i := int64(0)
	if err := s.each(span{}, func(_ int64, ps []Pointer) error {
		for _, p := range ps {
			if p != pointer(1, i*40) {
				t.Fatalf("event %d is %v", i, p)
			}
			i++
		}
		return nil
	}); err != nil || i != 6000 {
		t.Errorf("%d events, %v", i, err)
	}
}

func BenchmarkQueueOfTenMillion(b *testing.B) {
	for b.Loop() {
		q := newQueue()
		for i := range int64(10_000_000) {
			q.append(pointer(1+uint32(i>>21), i&(1<<21-1)*500))
		}
		b.ReportMetric(float64(len(q.chunks)*chunkLen*4)/1e6, "MB")
	}
}

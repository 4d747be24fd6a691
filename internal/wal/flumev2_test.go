package wal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/internal/vfs"
)

// The format regression tests of Flume's file channel open two directories that Flume 1.2 wrote, one before and one
// after its change FLUME-1432 gave every record a write order ID of its own. They are made anew here from what happened
// in them, to the byte, which the checksums prove.

// A flumeRun is a run of Flume 1.2: one source and one sink, one event in each transaction, three data directories in
// turn. testdata/v2 has its transactions in order: p or t, how much its write order ID is more than that of the
// transaction before, and how much more again that of its commit is, or - where there is none. A full stop is a
// transaction ID that was not used, N*x_y stands for x y N times over.
type flumeRun struct {
	name       string
	first      int64 // transaction ID
	order      int64 // write order ID from which they are counted
	begin      int   // the data directory of the first transaction
	checkpoint int64 // write order ID of the only checkpoint after the first
	capacity   int
	body       func(n int) string
	sums       [4]string // SHA-256 of log-1, log-2, log-3 and checkpoint
	want       []string
}

func flumeRuns() []flumeRun {
	runs := []flumeRun{
		{
			name: "after-1432", first: 1344302225844, order: 1344302226482, checkpoint: 1344302226747, capacity: 10,
			body: strconv.Itoa,
			sums: [4]string{
				"29302f9f3f01e38efe6f54c994356b58ba28f2d393e7ccdeaca7d19e20fc5d98",
				"47d1f2128a1576c7687ea5a361df90b06bf13639ebd950fb0d106890535daf8e",
				"2a10d524fc943a4026ad771465bed2e28a95da3a2fc4d196e12d3f5bcfab4f8f",
				"6bd430bc09922cbd8a89db81503b71c83b2abce6b96476cf83f55eafa1192d20",
			},
		},
		{
			name: "before-1432", first: 1344369723341, order: 1344369723568, begin: 2, checkpoint: 1344369723543, capacity: 10000,
			body: func(n int) string { return fmt.Sprintf("rollback-%d-0", n) },
			sums: [4]string{
				"34320f4d519f9c7f12f7a018869b814882a5aedd2fbc87de28187a43f60df80f",
				"d14c97310cd32dfac54cd265e388b895e274cbb7e891e5bf7ab7f9c050b37434",
				"db0da7125b3402533b8d7f710efa90ec96f26fe931c7667d6d4f1a697370a22d",
				"be8094e9cd93c4e00ac83437341c1ac38312372781646d87c58e4725192955b9",
			},
		},
	}
	for n := 2684; n <= 2691; n++ { // the take of 2684 has no commit
		runs[0].want = append(runs[0].want, strconv.Itoa(n))
	}
	for n := range 50 {
		runs[1].want = append(runs[1].want, runs[1].body(n))
	}
	return runs
}

type flumeStep struct {
	take   bool
	tx     int64
	woid   int64
	commit int64 // write order ID; 0 is none
}

// steps reads what happened.
func (r *flumeRun) steps(t testing.TB) (out []flumeStep) {
	t.Helper()
	text, err := os.ReadFile("testdata/v2/" + r.name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	tx, woid := r.first-1, r.order
	one := func(s string) {
		tx++
		if s == "." {
			return
		}
		more, commit, _ := strings.Cut(s[1:], ",")
		n, err := strconv.ParseInt(more, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		woid += n
		x := flumeStep{take: s[0] == 't', tx: tx, woid: woid}
		if k, err := strconv.ParseInt(commit, 10, 64); err == nil {
			x.commit = woid + k
		}
		out = append(out, x)
	}
	for field := range strings.FieldsSeq(string(text)) {
		times, run, several := strings.Cut(field, "*")
		n := 1
		if several {
			if n, err = strconv.Atoi(times); err != nil {
				t.Fatal(err)
			}
		} else {
			run = times
		}
		for range n {
			for s := range strings.SplitSeq(run, "_") {
				one(s)
			}
		}
	}
	return out
}

// files plays the run and gives what it left: log-1, log-2, log-3 and the checkpoint.
func (r *flumeRun) files(t testing.TB) (out [4][]byte) {
	t.Helper()
	var logs [3]*v2file
	var marks [3]int64
	for i := range logs {
		logs[i] = newV2(uint32(i+1), mark{v2Header, r.checkpoint})
		marks[i] = v2Header
	}
	var puts, queue []Pointer
	takes := 0
	for _, s := range r.steps(t) {
		n := (int(s.tx-r.first) + r.begin) % len(logs)
		f := logs[n]
		mark := func(woid int64) { // the checkpoint knows what was there before it
			if woid < r.checkpoint {
				marks[n] = int64(len(f.b))
			}
		}
		of := kindPut
		if s.take {
			of = kindTake
			f.take(s.tx, s.woid, puts[takes])
			takes++
			if s.woid < r.checkpoint {
				queue = queue[1:]
			}
		} else {
			puts = append(puts, pointer(uint32(n+1), int64(len(f.b))))
			f.put(s.tx, s.woid, text1(r.body(len(puts)-1)))
			if s.commit < r.checkpoint {
				queue = append(queue, puts[len(puts)-1])
			}
		}
		mark(s.woid)
		if s.commit != 0 {
			f.commit(s.tx, s.commit, of)
			mark(s.commit)
		}
	}
	for i, f := range logs {
		binary.BigEndian.PutUint64(f.b[8:], uint64(marks[i]))
		out[i] = append(f.b, bytes.Repeat([]byte{opEnd}, v2Header+fillSize-len(f.b))...)
	}
	ring := make([]byte, (r.capacity+slotQueue)*slotSize)
	slot := func(i int, v int64) { binary.BigEndian.PutUint64(ring[i*slotSize:], uint64(v)) }
	slot(slotVersion, 2)
	slot(slotOrder, r.checkpoint)
	slot(slotOwner, int64(len(queue))) // the size, in version 2
	for i, p := range queue {
		slot(slotQueue+i, int64(p))
	}
	for i := range logs {
		n := 0
		for _, p := range queue {
			if p.File() == uint32(i+1) {
				n++
			}
		}
		if n > 0 {
			slot(slotActive+i, int64(i+1)<<32|int64(n))
		}
	}
	out[3] = ring
	return out
}

// directory is what the run left, in memory, and how it is opened.
func (r *flumeRun) directory(t testing.TB) (*vfs.Memory, Options) {
	t.Helper()
	o := Options{CheckpointDir: "/c", Capacity: r.capacity, MaxFileSize: LargestFile, now: clock, fill: 4096}
	m := memory(t, "/c")
	files := r.files(t)
	for i := range 3 {
		dir := fmt.Sprint("/d", i+1)
		o.DataDirs = append(o.DataDirs, dir)
		if err := m.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		save(t, m, fmt.Sprintf("%s/log-%d", dir, i+1), files[i])
	}
	save(t, m, "/c/checkpoint", files[3])
	return m, o
}

// The bytes are those of Flume's own files.
func TestFlumeV2Bytes(t *testing.T) {
	for _, r := range flumeRuns() {
		for i, b := range r.files(t) {
			if sum := fmt.Sprintf("%x", sha256.Sum256(b)); sum != r.sums[i] {
				t.Errorf("%s: file %d of log-1, log-2, log-3 and checkpoint has the sum %s, want %s", r.name, i+1, sum, r.sums[i])
			}
		}
	}
}

// Directories of Flume 1.2 open with and without their checkpoint, in both orders of replay; what they hold is in ours
// afterwards.
func TestFlumeV2(t *testing.T) {
	for _, r := range flumeRuns() {
		for _, checkpoint := range []bool{true, false} {
			for _, sequential := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/checkpoint=%v/use-log-replay-v1=%v", r.name, checkpoint, sequential), func(t *testing.T) {
					m, o := r.directory(t)
					if !checkpoint {
						wipe(t, m, "/c")
					}
					o.Sequential = sequential
					l, rec, err := Open(m, o)
					if err != nil {
						t.Fatal(err)
					}
					if rec.Events != len(r.want) || len(rec.Damaged)+len(rec.Torn)+len(rec.Missing)+len(rec.Strange)+rec.Doubtful > 0 {
						t.Errorf("%+v", rec)
					}
					if checkpoint != (rec.Checkpoint == ringName) || rec.Bytes >= fillSize {
						t.Errorf("read %d bytes from the checkpoint %q on", rec.Bytes, rec.Checkpoint)
					}
					sorted := func(bodies []string) []string {
						if sequential { // three directories one after the other
							slices.Sort(bodies)
						}
						return bodies
					}
					want := sorted(slices.Clone(r.want))
					killed := m.Clone()
					if got := sorted(strings.Fields(bodies(t, l))); !slices.Equal(got, want) {
						t.Errorf("got %q, want %q", got, want)
					}
					// From our checkpoint, with the old files still there.
					l, rec, err = Open(killed, o)
					if err != nil || rec.Events != len(want) || rec.Checkpoint != ringName || len(rec.Notes) > 0 {
						t.Fatalf("once more: %+v, %v", rec, err)
					}
					if got := sorted(strings.Fields(bodies(t, l))); !slices.Equal(got, want) {
						t.Errorf("once more: got %q, want %q", got, want)
					}
				})
			}
		}
	}
}

// A checkpoint of version 2 is read, left alone by who only looks, and replaced by one of version 3 when the log is
// opened. Damage to either costs a replay, no event.
func TestFlumeV2Checkpoint(t *testing.T) {
	r := flumeRuns()[0]
	version := func(m *vfs.Memory) int64 {
		return int64(binary.BigEndian.Uint64(peek(t, m, "/c/checkpoint", slotVersion*slotSize, slotSize)))
	}
	queue := []Pointer{ // as Flume reads it
		pointer(2, 2212), pointer(1, 2267), pointer(3, 2265), pointer(2, 2327), pointer(1, 2382), pointer(3, 2380),
		pointer(2, 2442), pointer(1, 2497), pointer(3, 2495),
	}
	m, o := r.directory(t)
	c, err := loadCheckpoint(m, "/c", ringName, metaName)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Concat(c.queue...); !slices.Equal(got, queue) || c.slots != 10 || c.version != 2 {
		t.Errorf("%d slots, version %d: %v", c.slots, c.version, got)
	}
	was := list(t, m)
	if rep, err := Inspect(m, o, false); err != nil || rep.Events != len(r.want) || list(t, m) != was || version(m) != 2 {
		t.Errorf("looking: %+v, %v; version %d", rep, err, version(m))
	}

	slots := func(i int, n int64) func(*vfs.Memory) {
		return func(m *vfs.Memory) {
			poke(t, m, "/c/checkpoint", int64(i*slotSize), binary.BigEndian.AppendUint64(nil, uint64(n))...)
		}
	}
	meta := func(change func(b []byte) []byte) func(*vfs.Memory) {
		return func(m *vfs.Memory) {
			e, err := m.Stat("/c/checkpoint.meta")
			if err != nil {
				t.Fatal(err)
			}
			b := change(peek(t, m, "/c/checkpoint.meta", 0, int(e.Size)))
			if err := m.Remove("/c/checkpoint.meta"); err != nil {
				t.Fatal(err)
			}
			save(t, m, "/c/checkpoint.meta", b)
		}
	}
	for _, c := range []struct {
		name     string
		damage   func(m *vfs.Memory)
		capacity int
		good     bool
	}{
		{name: "nothing", damage: func(*vfs.Memory) {}, good: true},
		{name: "a version that there is not", damage: slots(slotVersion, 94)},
		{name: "version 2 with a meta", damage: slots(slotVersion, 2)},
		{name: "half written", damage: slots(slotMarker, 1)},
		{name: "another order ID", damage: slots(slotOrder, 2)},
		{name: "a meta of version 2", damage: meta(func(b []byte) []byte { b[2] = 2; return b })},
		{name: "a meta with another order ID", damage: meta(func(b []byte) []byte { return append(append(b[:7:7], 1, 0, 0, 0, 0, 0, 0, 0), b[15:]...) })},
		{name: "an empty meta", damage: meta(func([]byte) []byte { return nil })},
		{name: "a corrupt meta", damage: meta(func(b []byte) []byte {
			return append(append(b[:10:10], 0xD3, 0x7C, 0x11, 0xFF, 0x02, 0x95, 0x61, 0xE8), b[18:]...)
		})},
		{name: "less capacity", damage: func(*vfs.Memory) {}, capacity: 9, good: true}, // we need no replay
		{name: "more capacity", damage: func(*vfs.Memory) {}, capacity: 11, good: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, o := r.directory(t)
			l, _, err := Open(m, o)
			if err != nil {
				t.Fatal(err)
			}
			if version(m) != formatVersion {
				t.Errorf("the checkpoint is of version %d", version(m))
			}
			if err := l.Close(true); err != nil {
				t.Fatal(err)
			}
			c.damage(m)
			if c.capacity > 0 {
				o.Capacity = c.capacity
			}
			l, rec, err := Open(m, o)
			if err != nil || (rec.Checkpoint == ringName) != c.good || rec.Events != len(r.want) {
				t.Fatalf("%+v, %v", rec, err)
			}
			if !c.good && len(rec.Notes) == 0 {
				t.Error("nobody is told")
			}
			if got := strings.Fields(bodies(t, l)); !slices.Equal(got, r.want) {
				t.Errorf("got %q, want %q", got, r.want)
			}
			if err := l.Close(true); err != nil {
				t.Fatal(err)
			}
			if e, err := m.Stat("/c/checkpoint"); err != nil || e.Size != int64(o.Capacity+slotQueue)*slotSize {
				t.Errorf("the checkpoint is not for %d events: %+v, %v", o.Capacity, e, err)
			}
		})
	}
}

package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
	"github.com/sluice-io/sluice/internal/wal"
)

// The cases of Flume's TestFileChannelRestart: what a channel has is there after a restart, whatever has become of its
// checkpoint. docs/reference/flume-file-channel-tests.md says which case is which.

// A place is where a channel of these tests has its files, in memory.
type place struct {
	*vfs.Memory
	with []string // settings beside the directories
}

const (
	placeCapacity = 300
	threeDirs     = "dataDirs = /d1, /d2, /d3" // as Flume's tests have it
)

// newPlace is a place for channels with these settings.
func newPlace(with ...string) *place { return &place{vfs.NewMemory(), with} }

// open opens a channel there, with more settings.
func (p *place) open(t *testing.T, more ...string) (*channel, *flumetest.Env) {
	t.Helper()
	env := flumetest.NewEnv()
	c, err := flumetest.TryOpen(t, env, kindOn(p.Memory), p.settings(more)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, c) }) // once more is nothing
	return c.(*channel), env
}

// settings are those of the place and more; the last of a kind holds.
func (p *place) settings(more []string) (all []string) {
	own := []string{
		"checkpointDir = /c", "backupCheckpointDir = /b", "dataDirs = /d1", "keep-alive = 0",
		fmt.Sprint("capacity = ", placeCapacity), "transactionCapacity = 100",
		"checkpointInterval = 6000000", // no checkpoint comes by itself
		"maxFileSize = 50000",          // and no mebibyte is written ahead
	}
	key := func(s string) string { return s[:strings.IndexByte(s, ' ')] }
	for _, s := range slices.Concat(own, p.with, more) {
		all = slices.DeleteFunc(all, func(x string) bool { return key(x) == key(s) })
		all = append(all, s)
	}
	return all
}

// dual tells whether the place has a backup.
func (p *place) dual() bool { return slices.Contains(p.with, "useDualCheckpoints = true") }

// look is what a start would find now.
func (p *place) look(t *testing.T) *wal.Report {
	t.Helper()
	o := wal.Options{CheckpointDir: "/c", DataDirs: []string{"/d1", "/d2", "/d3"}, Capacity: placeCapacity, MaxFileSize: wal.LargestFile}
	if !slices.Contains(p.with, threeDirs) {
		o.DataDirs = o.DataDirs[:1]
	}
	if p.dual() {
		o.BackupDir = "/b"
	}
	r, err := wal.Inspect(p.Memory, o, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kill is the place as SIGKILL leaves it.
func (p *place) kill() *place { return &place{p.Memory.Clone(), p.with} }

func (p *place) read(t *testing.T, name string) []byte {
	t.Helper()
	f, err := p.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil && n > 0 {
		t.Fatal(err)
	}
	return b
}

// write replaces a file.
func (p *place) write(t *testing.T, name string, b []byte) {
	t.Helper()
	if p.has(name) {
		p.remove(t, name)
	}
	f, err := p.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}

// poke changes bytes of a file.
func (p *place) poke(t *testing.T, name string, at int, b ...byte) {
	t.Helper()
	all := p.read(t, name)
	p.write(t, name, append(all[:at:at], append(b, all[min(len(all), at+len(b)):]...)...))
}

func (p *place) remove(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := p.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *place) has(name string) bool {
	e, err := p.Stat(name)
	return err == nil && !e.Dir
}

// files are the names in directories, but for locks.
func (p *place) files(t *testing.T, dirs ...string) []string {
	t.Helper()
	var out []string
	for _, dir := range dirs {
		es, err := p.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if e.Name != "in_use.lock" {
				out = append(out, path.Join(dir, e.Name))
			}
		}
	}
	return out
}

// fill puts events with these words in their bodies, so many at a time, until there are most or the channel is full.
func fill(t *testing.T, c *channel, word string, each, most int) (in []string) {
	t.Helper()
	for len(in) < most {
		var b flume.Batch
		for i := range min(each, most-len(in)) {
			b = append(b, flume.Event{Body: fmt.Appendf(nil, "%s-%d", word, len(in)+i)})
		}
		tx, err := c.Put(t.Context(), b)
		if errors.Is(err, flume.ErrFull) {
			return in
		}
		if err == nil {
			err = tx.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, flumetest.Bodies(b)...)
	}
	return in
}

// takeAll takes so many events, each at a time, and commits.
func takeAll(t *testing.T, c *channel, each, most int) (out []string) {
	t.Helper()
	over, end := context.WithCancel(t.Context())
	end()
	for len(out) < most {
		tx, err := c.Take(over, flume.Limits{Events: min(each, most-len(out))})
		if errors.Is(err, flume.ErrEmpty) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, flumetest.Bodies(tx.Batch())...)
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// drain takes everything.
func drain(t *testing.T, c *channel) []string { return takeAll(t, c, 100, 1<<30) }

// same compares what went in with what came out, in order.
func same(t *testing.T, in, out []string) {
	t.Helper()
	if slices.Equal(in, out) {
		return
	}
	for i := range max(len(in), len(out)) {
		if i >= len(in) || i >= len(out) || in[i] != out[i] {
			t.Fatalf("%d events came, want %d; the first that differ: %q, want %q", len(out), len(in), out[min(i, len(out)):min(i+3, len(out))], in[min(i, len(in)):min(i+3, len(in))])
		}
	}
}

func checkpointing(t *testing.T, c *channel) {
	t.Helper()
	if err := c.log.Checkpoint(); err != nil {
		t.Fatal(err)
	}
}

// healthy looks for what nobody should be told at ERROR.
func healthy(t *testing.T, env *flumetest.Env) {
	t.Helper()
	if env.Count("Unhealthy") != 0 || env.Count("Open") != 1 || strings.Contains(env.Logged(), "level=ERROR") {
		t.Errorf("Unhealthy %d, Open %d:\n%s", env.Count("Unhealthy"), env.Count("Open"), env.Logged())
	}
}

const (
	ring     = "/c/checkpoint"
	ringMeta = "/c/checkpoint.meta"
)

// slot is where in the file checkpoint a number stands.
func slot(n int) int { return 8 * n }

// What was there when the channel was closed is there again: from the checkpoint, and, where that cannot be used, from
// the backup or else the whole log. Each case without a backup and with one.
func TestRestart(t *testing.T) {
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	for _, x := range []struct {
		name   string
		damage func(t *testing.T, p *place)
		good   bool // the checkpoint is used all the same
	}{
		{"nothing has happened", func(*testing.T, *place) {}, true},
		{"a meta without its checkpoint", func(t *testing.T, p *place) { p.remove(t, ring) }, false},
		{"a checkpoint without its meta", func(t *testing.T, p *place) { p.remove(t, ringMeta) }, false},
		{"neither checkpoint nor meta", func(t *testing.T, p *place) { p.remove(t, ring, ringMeta) }, false},
		{"a checkpoint of another version", func(t *testing.T, p *place) { p.poke(t, ring, slot(0), number(2)...) }, false},
		{"a meta of another version", func(t *testing.T, p *place) { p.poke(t, ringMeta, 2, 2) }, false},
		{"a meta of another checkpoint", func(t *testing.T, p *place) { p.poke(t, ringMeta, 7, 12, 0, 0, 0, 0, 0, 0, 0) }, false},
		{"a checkpoint that is half written", func(t *testing.T, p *place) { p.poke(t, ring, slot(4), number(1)...) }, false},
		{"an empty meta", func(t *testing.T, p *place) { p.write(t, ringMeta, nil) }, false},
		{"a corrupt meta", func(t *testing.T, p *place) { p.poke(t, ringMeta, 10, 0x9C, 0x31, 0xF7, 0x05, 0xE2, 0x6B, 0x80, 0x4D) }, false},
		{"a version whose first bytes are corrupt", func(t *testing.T, p *place) { p.poke(t, ring, slot(0), 1, 5) }, false},
		{"a marker whose first bytes are corrupt", func(t *testing.T, p *place) { p.poke(t, ring, slot(4), 1, 5) }, false},
		// Ours says itself that nothing was in flight, so that these files cannot spoil it.
		{"corrupt inflightputs", func(t *testing.T, p *place) { p.poke(t, "/c/inflightputs", 0, 0xBA, 0xAD, 0xF0, 0x0D) }, true},
		{"corrupt inflighttakes", func(t *testing.T, p *place) { p.poke(t, "/c/inflighttakes", 0, 0xBA, 0xAD, 0xF0, 0x0D) }, true},
	} {
		for _, backup := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/backup=%v", x.name, backup), func(t *testing.T) {
				p := newPlace()
				if backup {
					p.with = append(p.with, "useDualCheckpoints = true", threeDirs)
				}
				c, _ := p.open(t)
				in := fill(t, c, "restart", 10, 100)
				// Open while the checkpoint is written, as by another source and another sink.
				late, err := c.Put(t.Context(), flume.Batch{{Body: []byte("late")}})
				if err != nil {
					t.Fatal(err)
				}
				taken := taking(t, c, 20)
				checkpointing(t, c)
				committing(t, late)
				taken.Rollback()
				in = append(in, "late")
				closing(t, c)

				x.damage(t, p)
				want := ""
				switch {
				case x.good:
					want = "checkpoint"
				case backup:
					want = "/b/checkpoint"
				}
				r := p.look(t)
				if r.Checkpoint != want || r.Events != len(in) || len(r.Damaged)+len(r.Torn)+len(r.Missing) > 0 {
					t.Errorf("the start is from %q, want %q: %+v", r.Checkpoint, want, r.Recovery)
				}
				if want != "" && r.Records > 0 {
					t.Errorf("%d records were read in spite of %s", r.Records, want)
				}
				c, env := p.open(t)
				healthy(t, env)
				if !p.has(ring) || !p.has(ringMeta) {
					t.Error("there is no checkpoint afterwards")
				}
				same(t, in, drain(t, c))
			})
		}
	}
}

// The settings of Flume's two orders of replay and of its fast one: with any of them everything is there, with the
// checkpoint and without. Only the order may differ with use-log-replay-v1, which reads one directory after the other.
func TestRestartInEveryOrder(t *testing.T) {
	for _, v1 := range []bool{true, false} {
		for _, fast := range []bool{true, false} {
			for _, x := range []struct {
				name   string
				forced bool // a checkpoint before the end
				damage func(t *testing.T, p *place)
				good   bool // the checkpoint is used
			}{
				{"as it was", false, func(*testing.T, *place) {}, true},
				{"with a checkpoint", true, func(*testing.T, *place) {}, true},
				{"without a checkpoint", true, func(t *testing.T, p *place) { p.remove(t, ring, ringMeta) }, false},
				{"with a bad checkpoint", true, func(t *testing.T, p *place) { p.poke(t, ringMeta, 10, 1, 2, 3, 4, 5, 6, 7, 8) }, false},
			} {
				t.Run(fmt.Sprintf("%s/use-log-replay-v1=%v/use-fast-replay=%v", x.name, v1, fast), func(t *testing.T) {
					p := newPlace(fmt.Sprint("use-log-replay-v1 = ", v1), fmt.Sprint("use-fast-replay = ", fast))
					if v1 {
						p.with = append(p.with, threeDirs)
					}
					c, _ := p.open(t)
					in := fill(t, c, "restart", 20, 1<<30)
					if len(in) != placeCapacity {
						t.Fatalf("the channel is full with %d events", len(in))
					}
					if x.forced {
						checkpointing(t, c)
					}
					closing(t, c)
					x.damage(t, p)
					if from := p.look(t).Checkpoint; (from == "checkpoint") != x.good {
						t.Errorf("the start is from %q", from)
					}
					c, env := p.open(t)
					healthy(t, env)
					out := drain(t, c)
					if v1 {
						slices.Sort(in)
						slices.Sort(out)
					}
					same(t, in, out)
				})
			}
		}
	}
}

// Empty data files and half-made metas beside the log are passed over, and their numbers not used again.
func TestRestartWithExtraLogs(t *testing.T) {
	p := newPlace(threeDirs, "capacity = 10", "transactionCapacity = 10")
	c, _ := p.open(t)
	in := fill(t, c, "extralogs", 1, 1<<30)
	for i := range 3 {
		p.write(t, fmt.Sprintf("/d%d/log-%d", i+1, 1000+i), nil)
		p.write(t, fmt.Sprintf("/d%d/log-%d.meta.tmp", i+1, 1000+i), nil)
	}
	closing(t, c)
	c, env := p.open(t)
	healthy(t, env)
	same(t, in, drain(t, c))
	if !p.has("/d1/log-1003") {
		t.Errorf("the next data file is another: %q", p.files(t, "/d1", "/d2", "/d3"))
	}
}

// With an older backup only what came after it is read, not the whole log.
func TestRestartFromABackupReadsNoMoreThanItMust(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		p := newPlace("useDualCheckpoints = true", fmt.Sprint("compressBackupCheckpoint = ", compressed))
		c, _ := p.open(t)
		fill(t, c, "before", 10, 100)
		checkpointing(t, c)
		in := fill(t, c, "after", 10, 100)
		takeAll(t, c, 10, 100)
		backup := map[string][]byte{}
		for _, name := range p.files(t, "/b") {
			backup[name] = p.read(t, name)
		}
		checkpointing(t, c)
		closing(t, c)
		p.remove(t, p.files(t, "/c")...)
		p.remove(t, p.files(t, "/b")...)
		for name, b := range backup {
			p.write(t, name, b)
		}
		want := "/b/checkpoint"
		if compressed {
			want += ".snappy"
		}
		r := p.look(t)
		// 100 puts with 10 commits, and 100 takes with 10
		if r.Checkpoint != want || r.Records != 220 || r.Events != 100 {
			t.Errorf("compressed %v: %+v", compressed, r.Recovery)
		}
		c, env := p.open(t)
		healthy(t, env)
		same(t, in, drain(t, c))
	}
}

// Data files go when neither the checkpoint nor its backup needs them, and the metas of those that have nothing to do
// with a checkpoint are not written by it.
func TestRestartFilesOfTheBackupStay(t *testing.T) {
	p := newPlace(threeDirs, "useDualCheckpoints = true", "maxFileSize = 1000")
	c, _ := p.open(t)
	in := fill(t, c, strings.Repeat("abcdefghijklmnopqrstuvwxyz", 2), 10, 100)
	dirs := []string{"/d1", "/d2", "/d3"}
	first := p.files(t, dirs...)
	checkpointing(t, c)
	out := takeAll(t, c, 10, 50)
	metas := map[string][]byte{}
	for _, name := range p.files(t, dirs...) {
		if strings.HasSuffix(name, ".meta") {
			metas[name] = p.read(t, name)
		}
	}
	checkpointing(t, c)
	now := p.files(t, dirs...)
	for _, name := range first {
		if !slices.Contains(now, name) {
			t.Errorf("%s is gone, which the checkpoint before needs", name)
		}
	}
	untouched := 0
	for name, was := range metas {
		if bytes.Equal(was, p.read(t, name)) {
			untouched++
		}
	}
	if untouched == 0 || untouched == len(metas) {
		t.Errorf("%d of %d metas were left alone", untouched, len(metas))
	}
	// The backup alone is enough.
	k := p.kill()
	k.remove(t, k.files(t, "/c")...)
	if r := k.look(t); r.Checkpoint != "/b/checkpoint" || r.Events != 50 || len(r.Missing) > 0 {
		t.Errorf("from the backup: %+v", r.Recovery)
	}
	out = append(out, takeAll(t, c, 10, 50)...)
	same(t, in, out)
	for i := range 2 { // what the last checkpoint does not need goes with the next
		fill(t, c, fmt.Sprint("more", i), 1, 1)
		checkpointing(t, c)
	}
	now = p.files(t, dirs...)
	if !slices.ContainsFunc(first, func(name string) bool { return !slices.Contains(now, name) }) {
		t.Error("all data files are still there")
	}
}

// A backup may be compressed in one run and not in the next: either is read, and the other kind does not stay behind.
func TestRestartWithAnotherKindOfBackup(t *testing.T) {
	for _, compressed := range []bool{true, false} {
		p := newPlace("useDualCheckpoints = true", "maxFileSize = 1000")
		kinds := func(compressed bool) {
			t.Helper()
			if p.has("/b/checkpoint.snappy") != compressed || p.has("/b/checkpoint") == compressed {
				t.Errorf("with compression %v the backup is %q", compressed, p.files(t, "/b"))
			}
		}
		setting := "compressBackupCheckpoint = "
		c, _ := p.open(t, setting+fmt.Sprint(compressed))
		in := fill(t, c, "restart", 10, placeCapacity)
		checkpointing(t, c)
		kinds(compressed)
		closing(t, c)
		p.remove(t, ring, ringMeta)
		if r := p.look(t); !strings.HasPrefix(r.Checkpoint, "/b/") || r.Records != 0 {
			t.Errorf("%+v", r.Recovery)
		}
		c, env := p.open(t, setting+fmt.Sprint(!compressed))
		healthy(t, env)
		same(t, in, drain(t, c))
		checkpointing(t, c)
		kinds(!compressed)
	}
}

package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// The cases of Flume's tests of its file channel beside those of restarts, where no other test here has them.
// docs/reference/flume-file-channel-tests.md says which case is which.

// Transactions that are open when a checkpoint is written, and what a restart makes of them: after a clean end, after
// SIGKILL, and without the checkpoint.
func TestOpenAtACheckpoint(t *testing.T) {
	for _, x := range []struct {
		name string
		with []string
		do   func(t *testing.T, c *channel) (want []string)
	}{
		{"takes that are never committed", nil, func(t *testing.T, c *channel) []string {
			in := fill(t, c, "e", 5, 5)
			taking(t, c, 2)
			taking(t, c, 3) // by another sink
			checkpointing(t, c)
			return in
		}},
		{"puts that are committed after it", nil, func(t *testing.T, c *channel) []string {
			first, err := c.Put(t.Context(), flumetest.Events(0, 3))
			if err != nil {
				t.Fatal(err)
			}
			second, err := c.Put(t.Context(), flumetest.Events(3, 3))
			if err != nil {
				t.Fatal(err)
			}
			checkpointing(t, c)
			committing(t, first)
			committing(t, second)
			return flumetest.Bodies(flumetest.Events(0, 6))
		}},
		{"a put of a small channel", []string{"capacity = 2", "transactionCapacity = 2"}, func(t *testing.T, c *channel) []string {
			tx, err := c.Put(t.Context(), flumetest.Events(0, 1))
			if err != nil {
				t.Fatal(err)
			}
			checkpointing(t, c)
			committing(t, tx)
			return []string{"0"}
		}},
		{"a put between two of them", []string{"capacity = 2", "transactionCapacity = 2"}, func(t *testing.T, c *channel) []string {
			tx, err := c.Put(t.Context(), flumetest.Events(0, 1))
			if err != nil {
				t.Fatal(err)
			}
			checkpointing(t, c)
			committing(t, tx)
			checkpointing(t, c)
			return []string{"0"}
		}},
		{"a take that is committed after it", nil, func(t *testing.T, c *channel) []string {
			in := fill(t, c, "e", 20, 1<<30)
			tx := taking(t, c, 1)
			checkpointing(t, c)
			committing(t, tx)
			return in[1:]
		}},
		{"a take that is rolled back after it, of many small files", []string{"maxFileSize = 150"}, func(t *testing.T, c *channel) []string {
			in := fill(t, c, "e", 1, 15)
			tx := taking(t, c, 10)
			checkpointing(t, c)
			tx.Rollback()
			return in
		}},
		{"puts that are rolled back", nil, func(t *testing.T, c *channel) []string {
			in := fill(t, c, "e", 5, 50)
			tx, err := c.Put(t.Context(), flumetest.Events(0, 1))
			if err != nil {
				t.Fatal(err)
			}
			checkpointing(t, c)
			tx.Rollback()
			return in
		}},
		{"puts and takes of no events", nil, func(t *testing.T, c *channel) []string {
			tx, err := c.Put(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			committing(t, tx)
			if tx, err = c.Put(t.Context(), flume.Batch{}); err != nil {
				t.Fatal(err)
			}
			checkpointing(t, c)
			tx.Rollback()
			if out := drain(t, c); len(out) > 0 {
				t.Errorf("%q came of nothing", out)
			}
			return nil
		}},
	} {
		for _, end := range []string{"closed", "killed", "killed, and the checkpoint lost"} {
			t.Run(x.name+"/"+end, func(t *testing.T) {
				p := newPlace(x.with...)
				c, _ := p.open(t)
				want := x.do(t, c)
				if end == "closed" {
					closing(t, c)
				} else {
					p = p.kill()
				}
				if strings.HasSuffix(end, "lost") {
					p.remove(t, p.files(t, "/c")...)
				}
				c, env := p.open(t)
				healthy(t, env)
				if env.Count("ChannelSize") != int64(len(want)) {
					t.Errorf("the size is %d, want %d", env.Count("ChannelSize"), len(want))
				}
				same(t, want, drain(t, c))
			})
		}
	}
}

// What is rolled back holds no room and keeps nothing open.
func TestRollbackLeavesNothing(t *testing.T) {
	p := newPlace("capacity = 100")
	c, env := p.open(t)
	for range 3 {
		tx, err := c.Put(t.Context(), flumetest.Events(0, 100))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Put(t.Context(), flumetest.Events(0, 1)); !errors.Is(err, flume.ErrFull) {
			t.Errorf("a put beside one that has all the room: %v", err)
		}
		tx.Rollback()
	}
	if env.Count("ChannelSize") != 0 {
		t.Errorf("the size is %d", env.Count("ChannelSize"))
	}
	in := fill(t, c, "e", 100, 100)
	for range 3 {
		taking(t, c, 100).Rollback()
	}
	if c.log.Waiting() != 100 || env.Count("ChannelSize") != 100 {
		t.Errorf("%d wait, the size is %d", c.log.Waiting(), env.Count("ChannelSize"))
	}
	p = p.kill()
	c, env = p.open(t)
	healthy(t, env)
	same(t, in, drain(t, c))
}

// A sink leaves one event of many, beside a put that is rolled back: that one is there after a restart, no other.
func TestWhatASinkLeaves(t *testing.T) {
	for _, end := range []string{"closed", "killed"} {
		p := newPlace()
		c, _ := p.open(t)
		var out []string
		var sink sync.WaitGroup
		sink.Go(func() {
			for len(out) < 99 {
				tx, err := c.Take(t.Context(), flume.Limits{Events: 1})
				if err != nil {
					t.Error(err)
					return
				}
				out = append(out, flumetest.Bodies(tx.Batch())...)
				if err := tx.Commit(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
		in := fill(t, c, "rollback", 10, 100)
		tx, err := c.Put(t.Context(), flumetest.Events(0, 1))
		if err != nil {
			t.Fatal(err)
		}
		tx.Rollback()
		sink.Wait()
		if end == "closed" {
			closing(t, c)
		} else {
			p = p.kill()
		}
		c, _ = p.open(t)
		same(t, in, append(out, drain(t, c)...))
		if len(out) != 99 {
			t.Errorf("%s: the sink took %d", end, len(out))
		}
	}
}

// A put waits for room, a take makes it: both are in the log, in an order that a replay of a full channel can follow.
func TestReplayOfAPutThatWaited(t *testing.T) {
	for _, v1 := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace("capacity = 10", "transactionCapacity = 10", "keep-alive = 10", fmt.Sprint("use-log-replay-v1 = ", v1))
			c, _ := p.open(t)
			in := fill(t, c, "fillup", 1, 10)
			var put sync.WaitGroup
			put.Go(func() {
				putting(t, c, flume.Batch{{Body: []byte("blocked-put")}})
			})
			synctest.Wait() // it waits for room
			same(t, in[:1], takeAll(t, c, 1, 1))
			put.Wait()
			in = append(in[1:], "blocked-put")
			for _, lost := range []bool{false, true} {
				k := p.kill()
				if lost {
					k.remove(t, k.files(t, "/c")...)
				}
				again, env := k.open(t)
				healthy(t, env)
				out := drain(t, again)
				if v1 {
					slices.Sort(in)
					slices.Sort(out)
				}
				same(t, in, out)
			}
		})
	}
}

// A channel that is full says so with its capacity; opened again with a larger one, as a change of the configuration
// does, it has all events and room for more; with a smaller one it has all events.
func TestAnotherCapacity(t *testing.T) {
	for _, x := range []struct{ capacity, room int }{{500, 200}, {placeCapacity, 0}, {120, 0}} {
		p := newPlace()
		c, _ := p.open(t)
		in := fill(t, c, "reconfig", 20, 1<<30)
		if _, err := c.Put(t.Context(), flumetest.Events(0, 1)); !errors.Is(err, flume.ErrFull) || !strings.Contains(err.Error(), fmt.Sprint(placeCapacity, " (capacity)")) {
			t.Errorf("a full channel says %v", err)
		}
		closing(t, c)
		c, env := p.open(t, fmt.Sprint("capacity = ", x.capacity))
		healthy(t, env)
		more := fill(t, c, "more", 20, 1<<30)
		if len(more) != x.room {
			t.Errorf("with a capacity of %d there was room for %d, want %d", x.capacity, len(more), x.room)
		}
		same(t, append(in, more...), drain(t, c))
	}
}

// An event whose record is damaged while the channel runs is set aside, and the channel goes on, whatever
// fsyncPerTransaction says; kept strictly it refuses the take and stays as it is.
func TestAnEventIsDamagedMeanwhile(t *testing.T) {
	for _, x := range []struct {
		with   string
		byte   byte
		at     int64 // in the data file
		damage string
	}{
		{"fsyncPerTransaction = true", 234, 50, "e-1"},
		{"fsyncPerTransaction = false", 234, 50, "e-1"},
		{"fsyncPerTransaction = true", 0x80, 0, "e-0"}, // the operation: the end of the file, says Flume
		{"fsyncPerTransaction = false", 0x80, 0, "e-0"},
		{"corruption = strict", 234, 50, "strict"},
	} {
		p := newPlace(x.with, "cacheBytes = 0")
		c, env := p.open(t)
		in := fill(t, c, "e", 100, 100)
		f, err := p.OpenWrite("/d1/log-1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{x.byte}, x.at); err != nil {
			t.Fatal(err)
		}
		if x.damage == "strict" {
			over, end := context.WithCancel(t.Context())
			end()
			if tx, err := c.Take(over, flume.Limits{}); err == nil || !strings.Contains(err.Error(), "/d1/log-1") {
				t.Errorf("%v: %v, %v", x, tx, err)
			}
			if env.Count("EventTakeErrorCount") != 1 || c.log.Waiting() != 100 {
				t.Errorf("%v: %d errors, %d wait", x, env.Count("EventTakeErrorCount"), c.log.Waiting())
			}
			continue
		}
		in = slices.DeleteFunc(in, func(body string) bool { return body == x.damage })
		same(t, in, drain(t, c))
		if env.Count("RecordQuarantinedCount") != 1 || env.Count("ChannelSize") != 0 || !strings.Contains(env.Logged(), "level=ERROR") {
			t.Errorf("%v: %d set aside, size %d\n%s", x, env.Count("RecordQuarantinedCount"), env.Count("ChannelSize"), env.Logged())
		}
		same(t, fill(t, c, "more", 10, 10), drain(t, c))
	}
}

// Somebody removes the directories under a running channel: puts are refused, so that nothing is promised that a restart
// would not find, and so is the next checkpoint; both are counted.
func TestTheDirectoriesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	env := flumetest.NewEnv()
	ch, err := flumetest.TryOpen(t, env, Kind, "checkpointDir = "+filepath.Join(dir, "c"), "dataDirs = "+filepath.Join(dir, "d"), "minimumRequiredSpace = 1048576")
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close() // it cannot write its checkpoint
	c := ch.(*channel)
	putting(t, c, flumetest.Events(0, 2))
	committing(t, taking(t, c, 1))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	tx, err := c.Put(t.Context(), flumetest.Events(2, 1))
	if err == nil {
		err = tx.Commit(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "d")) {
		t.Errorf("a put returned %v", err)
	}
	if n := env.Count("EventPutErrorCount"); n != 1 {
		t.Errorf("%d puts are counted as errors", n)
	}
	if got := bodies(t, c); got != "1" { // it is in memory, and its file is open
		t.Errorf("what is there to take is %q", got)
	}
	c.upkeep.checkpoint(c.log)
	if n := env.Count("CheckpointWriteErrorCount"); n != 1 {
		t.Errorf("%d checkpoints are counted as errors", n)
	}
}

// Checkpoints and backups that cannot be written are counted, the channel goes on, and the next that can be written
// counts for them.
func TestCheckpointErrors(t *testing.T) {
	for _, x := range []struct{ dir, counter, other string }{
		{"/c/", "CheckpointWriteErrorCount", "CheckpointBackupWriteErrorCount"},
		{"/b/", "CheckpointBackupWriteErrorCount", "CheckpointWriteErrorCount"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace("useDualCheckpoints = true", "checkpointInterval = 1500")
			var broken atomic.Bool
			p.Before = func(op vfs.Op) error {
				if broken.Load() && strings.HasPrefix(op.Path, x.dir) {
					return errors.New("the disk is broken")
				}
				return nil
			}
			c, env := p.open(t)
			putting(t, c, flumetest.Events(0, 1))
			time.Sleep(1600 * time.Millisecond)
			if env.Count(x.counter)+env.Count(x.other) != 0 {
				t.Errorf("%s: a checkpoint that was written counts as an error", x.dir)
			}
			broken.Store(true)
			putting(t, c, flumetest.Events(1, 1))
			time.Sleep(1500 * time.Millisecond)
			if env.Count(x.counter) != 1 || env.Count(x.other) != 0 {
				t.Errorf("%s: %d and %d errors", x.dir, env.Count(x.counter), env.Count(x.other))
			}
			putting(t, c, flumetest.Events(2, 1))
			broken.Store(false)
			time.Sleep(1500 * time.Millisecond)
			if env.Count(x.counter) != 1 {
				t.Errorf("%s: %d errors", x.dir, env.Count(x.counter))
			}
			k := p.kill()
			if r := k.look(t); r.Events != 3 || r.Records != 0 {
				t.Errorf("%s: %+v", x.dir, r.Recovery)
			}
			k.remove(t, k.files(t, "/c")...)
			if r := k.look(t); r.Events != 3 || r.Records != 0 || r.Checkpoint != "/b/checkpoint" {
				t.Errorf("%s: from the backup: %+v", x.dir, r.Recovery)
			}
		})
	}
}

// With checkpointOnClose the end writes a checkpoint, so that a start has nothing to read; without, the log is read, and
// everything is there all the same.
func TestCheckpointOnClose(t *testing.T) {
	for _, on := range []bool{true, false} {
		p := newPlace(fmt.Sprint("checkpointOnClose = ", on))
		c, _ := p.open(t)
		in := fill(t, c, "e", 10, 30)
		before := string(p.read(t, ringMeta))
		closing(t, c)
		if changed := string(p.read(t, ringMeta)) != before; changed != on {
			t.Errorf("checkpointOnClose = %v, and the checkpoint was written: %v", on, changed)
		}
		if r := p.look(t); (r.Records == 0) != on || r.Events != len(in) {
			t.Errorf("checkpointOnClose = %v: %+v", on, r.Recovery)
		}
		c, _ = p.open(t)
		same(t, in, drain(t, c))
	}
}

// On a disk that has less than minimumRequiredSpace the channel opens, and what it has can be taken; Flume does not
// start. Puts say why they are refused.
func TestStartWithoutRoom(t *testing.T) {
	p := newPlace()
	c, _ := p.open(t)
	in := fill(t, c, "e", 10, 20)
	closing(t, c)
	env := flumetest.NewEnv()
	on := &disk{Memory: p.Memory}
	on.free.Store(1 << 20)
	again, err := flumetest.TryOpen(t, env, kindOn(on), p.settings([]string{"minimumRequiredSpace = 9223372036854775807"})...)
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, again)
	healthy(t, env)
	if _, err := again.Put(t.Context(), flumetest.Events(0, 1)); !errors.Is(err, flume.ErrFull) || !strings.Contains(err.Error(), "minimumRequiredSpace") {
		t.Errorf("%v", err)
	}
	same(t, in, drain(t, again.(*channel)))
}

// A data file that cannot be read without its meta keeps the channel from opening, and it says so; nothing is changed. What
// has nothing but the name of a data file is passed over with a warning, where Flume does not start.
func TestNoDataFile(t *testing.T) {
	foreign := newPlace()
	if err := foreign.MkdirAll("/d1"); err != nil {
		t.Fatal(err)
	}
	foreign.write(t, "/d1/log-1", []byte("invalid data file content"))
	over, _ := foreign.open(t)
	in := fill(t, over, "e", 1, 10)
	same(t, in, drain(t, over))
	closing(t, over)
	if got := string(foreign.read(t, "/d1/log-1")); got != "invalid data file content" {
		t.Errorf("it was changed: %q", got)
	}
	content := strings.Repeat("\x7f\x00\x00\x00\x05what?", 30) // records, if they were not encrypted
	p := newPlace()
	if err := p.MkdirAll("/d1"); err != nil {
		t.Fatal(err)
	}
	p.write(t, "/d1/log-1", []byte(content))
	env := flumetest.NewEnv()
	c, err := flumetest.TryOpen(t, env, kindOn(p.Memory), p.settings(nil)...)
	if err == nil || !strings.Contains(err.Error(), "/d1/log-1") {
		t.Errorf("%v, %v", c, err)
	}
	if env.Count("Unhealthy") != 1 || env.Count("Open") != 0 {
		t.Errorf("Unhealthy %d, Open %d", env.Count("Unhealthy"), env.Count("Open"))
	}
	if got := string(p.read(t, "/d1/log-1")); got != content {
		t.Errorf("it was changed: %q", got)
	}
	p.remove(t, "/d1/log-1")
	c, err = flumetest.TryOpen(t, env, kindOn(p.Memory), p.settings(nil)...)
	if err != nil {
		t.Fatalf("without it: %v", err)
	}
	defer closing(t, c)
	if env.Count("Unhealthy") != 0 || env.Count("Open") != 1 || env.Count("Closed") != 0 {
		t.Errorf("without it: Unhealthy %d, Open %d, Closed %d", env.Count("Unhealthy"), env.Count("Open"), env.Count("Closed"))
	}
}

// Sizes that can be none become the defaults, as in Flume, and with a warning.
func TestSizesBelowOne(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t, "checkpointDir = /c", "dataDirs = /d",
		"capacity = -3", "transactionCapacity = -1", "checkpointInterval = -2"))
	s := plan.Settings.(*Settings)
	if s.Capacity != 1000000 || s.TransactionCapacity != 10000 || s.CheckpointInterval != 30*time.Second || len(problems) != 3 {
		t.Errorf("%d, %d, %v\n%s", s.Capacity, s.TransactionCapacity, s.CheckpointInterval, problems)
	}
}

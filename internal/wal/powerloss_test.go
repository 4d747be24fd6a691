package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// The power-loss test runs random transactions on a file system in memory, and after every system call asks what the
// disk could hold if the power went now. Each such state is opened, and must have
//
//   - every event whose put had returned, unless a take of it had begun to be committed;
//   - no event whose take had been committed and synced;
//   - nothing twice, nothing that was never put, and all in the order in which it was put.
//
// WAL_STATES is how many states are tried, WAL_SEED where to begin.

func fromEnv(name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

func TestPowerLoss(t *testing.T) {
	states := fromEnv("WAL_STATES", 20_000)
	if testing.Short() {
		states = min(states, 2_000)
	}
	seed := fromEnv("WAL_SEED", time.Now().UnixNano()%1_000_000_000)
	t.Logf("WAL_SEED=%d WAL_STATES=%d", seed, states)
	begun := time.Now()
	var done, next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for done.Load() < states && !t.Failed() {
				r := newRun(t, seed+next.Add(1)-1)
				r.play()
				done.Add(r.states)
			}
		})
	}
	workers.Wait()
	t.Logf("%d states in %.1f s", done.Load(), time.Since(begun).Seconds())
}

// A run is one sequence of transactions and what is known of it from outside.
type run struct {
	t    *testing.T
	seed int64
	r    *rand.Rand
	m    *vfs.Memory
	o    Options
	l    *Log

	step   int
	states int64
	calls  int
	every  int // states for each system call

	group  int
	put    map[int]bool // every event that was ever handed to Put
	acked  map[int]bool
	taken  map[int]bool // a take was, or is just being, committed
	synced map[int]bool // and the disk has it
	held   []*Taken
	failed bool

	cutIn int // a checkpoint is cut in so many writes, while they are at work; 0 is not
	cut   *cut
}

func newRun(t *testing.T, seed int64) *run {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	x := &run{
		t: t, seed: seed, r: r, m: vfs.NewMemory(), every: 12,
		put: map[int]bool{}, acked: map[int]bool{}, taken: map[int]bool{}, synced: map[int]bool{},
	}
	x.o = Options{
		CheckpointDir: "/c", DataDirs: []string{"/d1", "/d2"}[:1+r.IntN(2)], Capacity: 40 + r.IntN(100),
		MaxFileSize: []int64{1500, 6000, 100_000}[r.IntN(3)], SyncTakes: r.IntN(3) == 0,
		now: clock, fill: []int{-1, 700, 4096}[r.IntN(3)], Cache: []int{0, 5000}[r.IntN(2)],
	}
	if r.IntN(3) == 0 {
		x.o.BackupDir, x.o.CompressBackup = "/b", r.IntN(2) == 0
	}
	if r.IntN(4) == 0 {
		x.o.Keys, x.o.ActiveKey = fixedKeys{}, "k"
	}
	return x
}

type fixedKeys struct{}

func (fixedKeys) Key(alias string) ([]byte, error) {
	return []byte(strings.Repeat(alias, 16)[:16]), nil
}

func (x *run) fail(format string, args ...any) {
	if !x.failed {
		x.failed = true
		x.t.Errorf("WAL_SEED=%d, step %d, call %d: %s", x.seed, x.step, x.calls, fmt.Sprintf(format, args...))
	}
}

func (x *run) play() {
	x.m.After = func(op vfs.Op) {
		if x.failed {
			return
		}
		if op.Kind == vfs.OpWrite && x.cutIn > 0 && strings.HasPrefix(op.Path, "/d") && !strings.Contains(op.Path, "meta") {
			if x.cutIn--; x.cutIn == 0 {
				x.cut = x.l.cut()
			}
		}
		x.calls++
		for i := range x.every {
			x.lose(x.m, i)
		}
	}
	x.open()
	for x.step = 0; x.step < 30 && !x.failed; x.step++ {
		n := x.r.IntN(24)
		if n < 16 && x.r.IntN(5) == 0 {
			x.cutIn = 1 + x.r.IntN(2)
		}
		switch {
		case n < 9:
			x.putSome()
		case n < 16:
			x.takeSome()
		case n < 17:
			x.checked(x.l.Sync(context.Background()))
			x.allSynced()
		case n < 22:
			x.checked(x.l.Checkpoint())
			x.allSynced()
		case n < 23:
			x.giveBack()
			x.checked(x.l.Close(x.r.IntN(2) == 0))
			x.allSynced()
			x.open()
		default: // SIGKILL, and a start after it
			x.held = nil
			m := x.m.Clone()
			m.After, x.m.After = x.m.After, nil
			x.m = m
			x.open()
		}
		x.cutIn = 0
		if x.cut != nil && !x.failed {
			x.checked(x.l.finish(x.cut, false))
			x.cut = nil
		}
	}
	x.m.After = nil
}

func (x *run) open() {
	l, rec, err := Open(x.m, x.o)
	if err != nil {
		x.fail("opening: %v", err)
		x.failed = true
		return
	}
	if len(rec.Damaged) > 0 || rec.Doubtful > 0 {
		x.fail("damage without a crash: %+v", rec)
	}
	x.l = l
}

func (x *run) checked(err error) {
	if err != nil && !x.failed {
		x.fail("%v", err)
	}
}

func (x *run) allSynced() {
	for id := range x.taken {
		x.synced[id] = true
	}
}

func (x *run) giveBack() {
	for _, h := range x.held {
		h.Return()
	}
	x.held = nil
}

// events returns n events of a transaction; the number in the body is group, transaction and place.
func (x *run) events(tx, n int) (flume.Batch, []int) {
	var b flume.Batch
	var ids []int
	for i := range n {
		id := x.group*10000 + tx*100 + i
		size := x.r.IntN(40)
		if x.r.IntN(8) == 0 {
			size = x.r.IntN(1200)
		}
		b = append(b, flume.Event{
			Headers: flume.Headers{{Key: "k", Value: strings.Repeat("h", x.r.IntN(5))}},
			Body:    []byte(strconv.Itoa(id) + " " + strings.Repeat("x", size)),
		})
		ids = append(ids, id)
		x.put[id] = true
	}
	return b, ids
}

// putSome puts a few transactions that wait for each other, so that one write brings several of them.
func (x *run) putSome() {
	x.group++
	var all []int
	var es []*entry
	room := x.o.Capacity - x.l.Events()
	for tx := range 1 + x.r.IntN(4) {
		n := min(room, 1+x.r.IntN(5))
		if n == 0 {
			break
		}
		room -= n
		b, ids := x.events(tx, n)
		all = append(all, ids...)
		x.checked(x.l.Reserve(context.Background(), n))
		e := &entry{}
		e.puts(b)
		e.tx = x.l.tx.Add(1)
		es = append(es, e)
	}
	for _, e := range es {
		ln := x.l.lanes[e.tx%int64(len(x.l.lanes))]
		ln.mu.Lock()
		ln.enqueue(e)
		ln.mu.Unlock()
	}
	x.checked(x.l.Sync(context.Background()))
	for _, e := range es {
		if e.state != done {
			x.fail("a put is not done after a sync")
		}
		x.checked(e.err)
	}
	for _, id := range all {
		x.acked[id] = true
	}
	x.allSynced()
}

func (x *run) takeSome() {
	t, err := x.l.Take(1+x.r.IntN(8), 1+x.r.IntN(4000))
	x.checked(err)
	if t != nil {
		x.held = append(x.held, t)
	}
	if len(x.held) == 0 || x.r.IntN(4) == 0 {
		return
	}
	i := x.r.IntN(len(x.held))
	t = x.held[i]
	x.held = slices.Delete(x.held, i, i+1)
	if x.r.IntN(4) == 0 {
		t.Return()
		return
	}
	if n := len(t.Batch()); n > 1 && x.r.IntN(4) == 0 {
		x.held = append(x.held, t.Split([]int{x.r.IntN(n)}))
	}
	for _, e := range t.Batch() {
		x.taken[number(e)] = true
	}
	x.checked(t.Commit(context.Background()))
	if x.o.SyncTakes {
		x.allSynced()
	}
}

func number(e flume.Event) int {
	s, _, _ := strings.Cut(string(e.Body), " ")
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// lose opens what a power cut might leave.
func (x *run) lose(m *vfs.Memory, i int) {
	r := rand.New(rand.NewPCG(uint64(x.seed), uint64(x.calls*1000+i+2)))
	c := m.Crash(r)
	x.states++
	if r.IntN(6) == 0 { // and the power goes again while it is opened
		var again *vfs.Memory
		left := 1 + r.IntN(40)
		c.After = func(vfs.Op) {
			if left--; left == 0 {
				again = c.Crash(r)
			}
		}
		l, _, err := Open(c, x.o)
		if err != nil {
			x.fail("opening, to crash again: %v", err)
			return
		}
		_ = l
		if again != nil {
			c = again
			x.states++
		} else {
			c = c.Clone()
		}
		c.After = nil
	}
	// A disk may also lose what was safe on it: then there is the backup, or the log itself. That may bring events
	// again whose takes lie in a data file that is no longer there.
	spoilt := r.IntN(8) == 0
	if spoilt {
		wipe(x.t, c, "/c")
		if x.o.BackupDir != "" && r.IntN(2) == 0 {
			wipe(x.t, c, "/b")
		}
	}
	x.verify(c, spoilt)
}

func (x *run) verify(c *vfs.Memory, spoilt bool) {
	l, rec, err := Open(c, x.o)
	if err != nil {
		x.fail("opening after a crash: %v", err)
		return
	}
	if len(rec.Missing) > 0 || rec.Strange > 0 {
		x.fail("the checkpoint points to nowhere: %+v", rec)
	}
	got := map[int]bool{}
	last, lastTx := 0, map[int]int{}
	for {
		t, err := l.Take(1000, 1<<30)
		if err != nil {
			x.fail("taking after a crash: %v", err)
			return
		}
		if t == nil {
			break
		}
		for _, e := range t.Batch() {
			id := number(e)
			switch {
			case !x.put[id]:
				x.fail("event %d was never put", id)
			case got[id]:
				x.fail("event %d comes twice; %+v; %s", id, rec, x.o.String())
			case x.synced[id] && !spoilt:
				x.fail("event %d was taken for good and comes again", id)
			case id/10000 < last && !spoilt:
				x.fail("event %d comes after one of group %d", id, last)
			case id <= lastTx[id/100]:
				x.fail("event %d comes after %d", id, lastTx[id/100])
			}
			got[id], last, lastTx[id/100] = true, id/10000, id
		}
		if err := t.Commit(context.Background()); err != nil {
			x.fail("committing after a crash: %v", err)
			return
		}
	}
	for id := range x.acked {
		if !got[id] && !x.taken[id] {
			x.fail("event %d is lost; recovery: %+v", id, rec)
			return
		}
	}
	if x.calls%16 == 0 {
		if err := l.Close(true); err != nil {
			x.fail("closing after a crash: %v", err)
		}
		o := x.o
		o.Strict = true
		l, rec, err := Open(c, o)
		if err != nil || rec.Events != 0 {
			x.fail("opening once more: %+v, %v", rec, err)
			return
		}
		if err := l.Close(true); err != nil && !errors.Is(err, ErrClosed) {
			x.fail("closing once more: %v", err)
		}
	}
}

func (o *Options) String() string {
	return fmt.Sprintf("dirs %d, capacity %d, files of %d, backup %q, synced takes %v, key %q, fill %d", len(o.DataDirs), o.Capacity, o.MaxFileSize, o.BackupDir, o.SyncTakes, o.ActiveKey, o.fill)
}

package wal

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
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
// Now and then the process is killed in the middle of something and started again, on what the system still holds in
// memory, so that what one run has not synced is the next one's to lose, or on what a power cut has left. In some runs
// writes and syncs of data files fail now and then: what is refused may be there or not.
//
// WAL_STATES is how many states are looked at, WAL_SEED where to begin. A state that a run has met before is not opened
// again: what was found in it is held against what must be there now.

func fromEnv(name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

func TestPowerLoss(t *testing.T) {
	states := int64(100_000)
	switch {
	case testing.Short():
		states = 2_000
	case racing: // there is nothing to race here
		states = 10_000
	}
	states = fromEnv("WAL_STATES", states)
	seed := fromEnv("WAL_SEED", time.Now().UnixNano()%1_000_000_000)
	t.Logf("WAL_SEED=%d WAL_STATES=%d", seed, states)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // little is alive, and much is made
	begun, told := time.Now(), time.Now()
	var next, runs, calls, opened, met atomic.Int64
	var mu sync.Mutex
	tell := func() {
		t.Logf("%d states, %d of them different and opened, after each of %d system calls of %d runs, in %.0f s",
			opened.Load()+met.Load(), opened.Load(), calls.Load(), runs.Load(), time.Since(begun).Seconds())
	}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for opened.Load()+met.Load() < states && !t.Failed() {
				x := newRun(t, seed+next.Add(1)-1)
				x.play()
				runs.Add(1)
				calls.Add(int64(x.calls))
				opened.Add(int64(len(x.met)))
				met.Add(x.again)
				mu.Lock()
				if time.Since(told) > time.Minute {
					told = time.Now()
					tell()
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	tell()
	if !t.Failed() {
		t.Log("no acknowledged event is missing, none comes twice or out of order, none that was taken and synced comes again")
	}
}

// A run is one sequence of transactions and what is known of it from outside.
type run struct {
	t    *testing.T
	seed int64
	r    *rand.Rand
	m    *vfs.Memory
	o    Options
	l    *Log

	step  int
	calls int
	sum   maphash.Seed
	met   map[uint64]*outcome // the states that were opened
	again int64               // states that were met again

	group  int
	tx     int
	events []putEvent
	held   []*Taken
	failed bool

	deadly int         // the process is killed about once in so many steps; 0 is never
	killIn int         // the process ends in so many system calls; 0 is not
	left   *vfs.Memory // what it has left
	wasCut bool        // the power went, too
	cutIn  int         // a checkpoint is cut in so many writes, while they are at work; 0 is not
	cut    *cut

	faulty int  // a write or sync of a data file fails about once in so many; 0 is never
	faults int  // that have been
	unsure bool // a sync has failed since the last checkpoint: takes before it may come again

	r2     rand.PCG
	got    []bool // of check
	lastTx []int  // of check
}

// A putEvent is an event that was ever handed to Put; its index in run.events is in its body.
type putEvent struct {
	group, tx int
	acked     bool
	taking    bool // a take was, or is just being, committed
	taken     bool // that has returned
	synced    bool // and the disk has it
}

// An outcome is what opening a state has yielded.
type outcome struct {
	ids []int32 // of the events, in order
	rec *Recovery
}

func newRun(t *testing.T, seed int64) *run {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	x := &run{t: t, seed: seed, r: r, m: vfs.NewMemory(), sum: maphash.MakeSeed(), met: map[uint64]*outcome{}}
	x.o = Options{
		CheckpointDir: "/c", DataDirs: []string{"/d1", "/d2"}[:1+r.IntN(2)], Capacity: 10 + r.IntN(130),
		MaxFileSize: []int64{1500, 6000, 100_000}[r.IntN(3)], SyncTakes: r.IntN(3) == 0,
		now: clock, fill: []int{-1, 700, 4096}[r.IntN(3)], Cache: []int{0, 5000}[r.IntN(2)],
	}
	if r.IntN(3) == 0 {
		x.o.BackupDir, x.o.CompressBackup = "/b", r.IntN(2) == 0
	}
	x.deadly = []int{0, 10, 30}[r.IntN(3)]
	if r.IntN(3) == 0 {
		x.faulty = 5 + r.IntN(30)
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
		x.t.Errorf("WAL_SEED=%d, step %d, call %d: %s; %s", x.seed, x.step, x.calls, fmt.Sprintf(format, args...), x.o.String())
	}
}

func (x *run) play() {
	x.m.After = x.after
	x.open()
	for x.step = 0; x.step < 40 && !x.failed; x.step++ {
		if x.deadly > 0 && x.r.IntN(x.deadly) == 0 {
			x.killIn = 1 + x.r.IntN(20)
		}
		x.m.Before = x.before
		x.act()
		x.m.Before = nil
		if x.deadly > 0 && x.left == nil && x.r.IntN(2*x.deadly) == 0 {
			x.kill()
		}
		for x.left != nil && !x.failed {
			x.restart()
		}
	}
	x.m.After = nil
}

// kill is SIGKILL, which loses nothing but the process, or a power cut, which is survived. What the process would still
// have done, it does where nobody looks.
func (x *run) kill() {
	now := x.r.IntN(3) == 0
	x.left = x.m.Killed()
	if now {
		x.left = x.m.Crash(x.r)
	}
	x.wasCut = x.wasCut || now // that of the start before, if it did not come to its end, has not been dealt with
	if x.wasCut || x.unsure {
		for i := range x.events {
			x.events[i].taken = x.events[i].synced
		}
	}
	x.m.After, x.m.Before = nil, nil
}

// before makes changes of data files fail.
func (x *run) before(op vfs.Op) error {
	if x.faulty == 0 || op.Kind != vfs.OpWrite && op.Kind != vfs.OpSync || !isData(op) || x.r.IntN(x.faulty) > 0 {
		return nil
	}
	x.faults++
	x.unsure = x.unsure || op.Kind == vfs.OpSync
	return errDisk
}

// restart is a start after kill.
func (x *run) restart() {
	x.m, x.left = x.left, nil
	x.m.After = x.after
	x.held, x.cut, x.cutIn, x.killIn, x.unsure = nil, nil, 0, 0, false
	if x.r.IntN(4) == 0 {
		x.killIn = 1 + x.r.IntN(40)
	}
	x.open()
	if x.left == nil {
		x.wasCut = false
	}
}

// after is told of every system call.
func (x *run) after(op vfs.Op) {
	if x.failed {
		return
	}
	if op.Kind == vfs.OpWrite && x.cutIn > 0 && strings.HasPrefix(op.Path, "/d") && !strings.Contains(op.Path, "meta") {
		if x.cutIn--; x.cutIn == 0 {
			x.cut = x.l.cut()
		}
	}
	x.calls++
	x.lose()
	if x.killIn > 0 {
		if x.killIn--; x.killIn == 0 {
			x.kill()
		}
	}
}

func (x *run) act() {
	n := x.r.IntN(46)
	if n < 32 && x.r.IntN(5) == 0 {
		x.cutIn = 1 + x.r.IntN(2)
	}
	switch {
	case n < 18:
		x.putSome()
	case n < 32:
		x.takeSome()
	case n < 34:
		if x.went(x.l.Sync(context.Background())) {
			x.allSynced()
		}
	case n < 44:
		x.l.mu.Lock()
		x.l.changed = x.l.changed || x.unsure
		x.l.mu.Unlock()
		if before := x.unsure; x.went(x.l.Checkpoint()) {
			x.unsure = x.unsure && !before
			x.allSynced()
		}
	default:
		x.giveBack()
		x.m.Before = nil
		if x.unsure {
			x.checked(x.l.Checkpoint())
			x.unsure = false
		}
		x.checked(x.l.Close(x.r.IntN(2) == 0))
		x.allSynced()
		x.open()
	}
	x.cutIn = 0
	if x.cut != nil && x.left == nil && !x.failed {
		k := x.cut
		x.cut = nil
		x.went(x.l.finish(k, false))
	}
}

func (x *run) open() {
	l, rec, err := Open(x.m, x.o)
	if err != nil {
		x.fail("opening: %v", err)
		x.failed = true
		return
	}
	if !x.wasCut && len(rec.Damaged)+rec.Doubtful > 0 {
		x.fail("damage without a power cut: %+v", rec)
	}
	x.l = l
}

func (x *run) checked(err error) {
	if err != nil && !x.failed {
		x.fail("%v", err)
	}
}

// went tells whether something was done; that the disk has failed may be why not.
func (x *run) went(err error) bool {
	if !errors.Is(err, errDisk) && (err == nil || x.faults == 0 || !strings.Contains(err.Error(), "meanwhile")) {
		x.checked(err)
	}
	return err == nil
}

func (x *run) allSynced() {
	if x.left != nil || x.unsure {
		return
	}
	for i := range x.events {
		e := &x.events[i]
		e.synced = e.taken
	}
}

func (x *run) giveBack() {
	for _, h := range x.held {
		h.Return()
	}
	x.held = nil
}

// batch returns n events of a transaction.
func (x *run) batch(n int) flume.Batch {
	var b flume.Batch
	for range n {
		id := len(x.events)
		size := x.r.IntN(40)
		if x.r.IntN(8) == 0 {
			size = x.r.IntN(1200)
		}
		b = append(b, flume.Event{
			Headers: flume.Headers{{Key: "k", Value: strings.Repeat("h", x.r.IntN(5))}},
			Body:    []byte(strconv.Itoa(id) + " " + strings.Repeat("x", size)),
		})
		x.events = append(x.events, putEvent{group: x.group, tx: x.tx})
	}
	x.tx++
	return b
}

// putSome puts a few transactions that wait for each other, so that one write brings several of them.
func (x *run) putSome() {
	x.group++
	first := len(x.events)
	var es []*entry
	var txs []int
	room := x.o.Capacity - x.l.Events()
	for range 1 + x.r.IntN(4) {
		n := min(room, 1+x.r.IntN(5))
		if n <= 0 {
			break
		}
		room -= n
		x.checked(x.l.Reserve(context.Background(), n))
		e := &entry{}
		txs = append(txs, x.tx)
		e.puts(x.batch(n))
		e.tx = x.l.tx.Add(1)
		es = append(es, e)
	}
	for _, e := range es {
		ln := x.l.lanes[e.tx%int64(len(x.l.lanes))]
		ln.mu.Lock()
		ln.enqueue(e)
		ln.mu.Unlock()
	}
	synced := x.went(x.l.Sync(context.Background()))
	for range 3 * len(x.l.lanes) { // a sync of one directory that fails leaves the others
		x.went(x.l.Sync(context.Background()))
	}
	good := map[int]bool{}
	for i, e := range es {
		if e.state != done {
			if x.faults == 0 {
				x.fail("a put is not done after a sync")
			}
			continue
		}
		good[txs[i]] = x.went(e.err)
	}
	for i := range x.events[first:] {
		e := &x.events[first+i]
		e.acked = x.left == nil && good[e.tx]
	}
	if synced {
		x.allSynced()
	}
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
	batch := t.Batch()
	for _, e := range batch {
		x.events[number(e)].taking = true
	}
	done := x.went(t.Commit(context.Background()))
	if !done {
		t.Return()
	}
	for _, e := range batch {
		x.events[number(e)].taken = done && x.left == nil
	}
	if done && x.o.SyncTakes {
		x.allSynced()
	}
}

// number is what stands first in the body of an event, -1 when that is no number.
func number(e flume.Event) int {
	n, at := 0, 0
	for at < len(e.Body) && e.Body[at] >= '0' && e.Body[at] <= '9' {
		n, at = 10*n+int(e.Body[at]-'0'), at+1
	}
	if at == 0 || at < len(e.Body) && e.Body[at] != ' ' {
		return -1
	}
	return n
}

// lose opens what a power cut might leave now.
func (x *run) lose() {
	x.r2.Seed(uint64(x.seed), uint64(x.calls+2))
	r := rand.New(&x.r2)
	tries := 9
	if x.m.Synced() {
		tries = 1 // nothing can be lost
	}
	for range tries {
		x.verify(x.m.Crash(r), r, false, true)
	}
	// A disk may also lose what was safe on it: then there is the backup, or the log itself. That may bring events
	// again whose takes lie in a data file that is no longer there.
	c := x.m.Crash(r)
	wipe(x.t, c, "/c")
	if x.o.BackupDir != "" && r.IntN(2) == 0 {
		wipe(x.t, c, "/b")
	}
	x.verify(c, r, true, true)
}

// verify opens a state. spoilt: something is missing that had been synced. cut: the power may go while it is opened.
func (x *run) verify(c *vfs.Memory, r *rand.Rand, spoilt, cut bool) {
	if x.failed {
		return
	}
	sum := c.Sum(x.sum)
	if o := x.met[sum]; o != nil {
		x.again++
		x.check(o, spoilt)
		return
	}
	var again []*vfs.Memory
	if cut {
		in := 1 + r.IntN(40)
		c.After = func(vfs.Op) {
			if in--; in == 0 {
				again = append(again, c.Crash(r), c.Crash(r))
				in = 1 + r.IntN(40)
			}
		}
	}
	o := x.look(c)
	if o == nil {
		return
	}
	x.met[sum] = o
	x.check(o, spoilt)
	for _, c := range again {
		x.verify(c, r, spoilt, false)
	}
}

// look opens a state and takes everything; nil is that it could not.
func (x *run) look(c *vfs.Memory) *outcome {
	l, rec, err := Open(c, x.o)
	if err != nil {
		x.fail("opening after a crash: %v", err)
		return nil
	}
	c.After = nil
	if len(rec.Missing) > 0 || len(rec.Strange) > 0 {
		x.fail("the checkpoint points to nowhere: %+v", rec)
	}
	out := &outcome{rec: rec}
	for {
		t, err := l.Take(1000, 1<<30)
		if err != nil {
			x.fail("taking after a crash: %v", err)
			return nil
		}
		if t == nil {
			break
		}
		for _, e := range t.Batch() {
			out.ids = append(out.ids, int32(number(e)))
		}
		if err := t.Commit(context.Background()); err != nil {
			x.fail("committing after a crash: %v", err)
			return nil
		}
	}
	if len(x.met)%16 == 0 {
		x.goOn(c, l)
	}
	return out
}

// goOn closes a log in which nothing is left and opens it once more.
func (x *run) goOn(c *vfs.Memory, l *Log) {
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

// check holds what a state has yielded against what must be in it.
func (x *run) check(o *outcome, spoilt bool) {
	x.got = slices.Grow(x.got[:0], len(x.events))[:len(x.events)]
	x.lastTx = slices.Grow(x.lastTx[:0], x.tx)[:x.tx]
	clear(x.got)
	clear(x.lastTx)
	last := 0
	for _, id := range o.ids {
		if id < 0 || int(id) >= len(x.events) {
			x.fail("event %d was never put", id)
			return
		}
		e := &x.events[id]
		switch {
		case x.got[id]:
			x.fail("event %d comes twice; recovery: %+v", id, o.rec)
		case e.synced && !spoilt:
			x.fail("event %d was taken for good and comes again; recovery: %+v", id, o.rec)
		case e.group < last && !spoilt:
			x.fail("event %d comes after one of group %d", id, last)
		case int(id) < x.lastTx[e.tx]:
			x.fail("event %d comes after %d", id, x.lastTx[e.tx]-1)
		}
		x.got[id], last, x.lastTx[e.tx] = true, e.group, int(id)+1
	}
	for id, e := range x.events {
		if e.acked && !x.got[id] && !e.taking {
			x.fail("event %d is lost; recovery: %+v", id, o.rec)
			return
		}
	}
}

func (o *Options) String() string {
	return fmt.Sprintf("dirs %d, capacity %d, files of %d, backup %q, synced takes %v, key %q, fill %d", len(o.DataDirs), o.Capacity, o.MaxFileSize, o.BackupDir, o.SyncTakes, o.ActiveKey, o.fill)
}

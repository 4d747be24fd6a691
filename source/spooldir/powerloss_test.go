package spooldir

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// The power-loss test puts files into a directory on the machine's disk, from which a source reads whose tracker file and
// marks lie on a file system in memory. After every system call there it asks what the disk could hold if the power
// went now, and starts another source on that and on a copy of the directory, which must emit
//
//   - every line that had not been emitted;
//   - no line again that had been when the tracker file was synced last, or of a file that is retired or set aside.
//
// Now and then the power goes while that one starts, and now and then the first one is stopped or killed.
//
// SPOOLDIR_SEED is where to begin.
func TestPowerLoss(t *testing.T) {
	runs := 2
	if testing.Short() {
		runs = 1
	}
	seed := time.Now().UnixNano() % 1_000_000_000
	if n, err := strconv.ParseInt(os.Getenv("SPOOLDIR_SEED"), 10, 64); err == nil {
		seed = n
	}
	states := 0
	for i := range int64(runs) {
		base := t.TempDir()
		synctest.Test(t, func(t *testing.T) { // the tracker file is synced by the clock
			x := &outage{t: t, seed: seed + i, r: rand.New(rand.NewPCG(uint64(seed+i), 1)), m: vfs.NewMemory(), base: base,
				emitted: map[int]bool{}, noted: map[int]bool{}, recorded: map[int]bool{}, bad: map[string]bool{}}
			x.play()
			states += x.states
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("SPOOLDIR_SEED=%d: %d states", seed, states)
}

const stateDir = "/state/tracker"

type outage struct {
	t        *testing.T
	seed     int64
	r        *rand.Rand
	base     string
	settings []string
	m        *vfs.Memory
	src      *source
	stop     context.CancelFunc

	step, states, files int
	written             int             // lines in the files, numbered from 0 on
	bad                 map[string]bool // files with a line that cannot be read, the last one
	emitted             map[int]bool
	noted               map[int]bool // emitted when the tracker file was synced, though its name was not yet
	recorded            map[int]bool // emitted when both were
}

func (x *outage) fail(format string, args ...any) {
	x.t.Fatalf("SPOOLDIR_SEED=%d, step %d: %s", x.seed, x.step, fmt.Sprintf(format, args...))
}

func (x *outage) must(err error) {
	if err != nil {
		x.fail("%v", err)
	}
}

func (x *outage) dir() string { return filepath.Join(x.base, "spool") }

func (x *outage) open(m *vfs.Memory, emit flume.Emit) *source {
	var s Settings
	if _, problems := conf.Bind(&s, flumetest.Section(x.t, append(x.settings, "spoolDir = "+x.dir(), "trackerDir = "+stateDir)...)); problems.Fatal() {
		x.fail("%v", problems)
	}
	env := flumetest.NewEnv()
	env.TransactionCapacity = 3
	src, err := openSource(m, &s, env.Env)
	if err != nil {
		x.fail("opening: %v", err)
	}
	src.offer.Emit = emit
	return src
}

// run is one pass of Run.
func (x *outage) run(ctx context.Context, src *source) (idle bool) {
	all, err := src.candidates()
	x.must(err)
	idle = true
	for _, c := range all {
		if ctx.Err() == nil && src.spool(ctx, c) {
			idle = false
		}
	}
	return idle
}

func number(x *outage, e *flume.Event) int {
	n, err := strconv.Atoi(string(e.Body))
	x.must(err)
	return n
}

func (x *outage) emit(_ context.Context, b flume.Batch) error {
	if x.r.IntN(8) == 0 {
		x.stop()
		return flume.ErrFull
	}
	for i := range b {
		n := number(x, &b[i])
		if x.emitted[n] {
			x.fail("line %d comes again without a power cut", n)
		}
		x.emitted[n] = true
	}
	if x.r.IntN(3) == 0 {
		time.Sleep(2 * time.Second)
	}
	return nil
}

func (x *outage) play() {
	x.must(os.Mkdir(x.dir(), 0o755))
	x.must(x.m.MkdirAll(filepath.Dir(stateDir)))
	x.settings = [][]string{nil, {"deletePolicy = immediate"}, {"trackingPolicy = tracker_dir"}}[x.r.IntN(3)]
	x.m.After = x.after
	x.src = x.open(x.m, x.emit)
	for x.step = 0; x.step < 20; x.step++ {
		switch n := x.r.IntN(10); {
		case n < 4:
			x.put()
		case n < 5:
			x.mend()
		case n < 9:
			x.read()
		default: // SIGKILL
			x.m.After = nil
			left := x.m.Killed()
			x.src.tracker.close()
			x.must(x.src.Close())
			x.m = left
			x.m.After = x.after
			x.src = x.open(x.m, x.emit)
		}
	}
	x.m.After = nil
	x.src.tracker.close()
	x.must(x.src.Close())
}

func (x *outage) lines() string {
	var b strings.Builder
	for range x.r.IntN(20) {
		fmt.Fprintln(&b, x.written)
		x.written++
	}
	fmt.Fprintln(&b, x.written) // no file is empty
	x.written++
	return b.String()
}

// put puts a file into the directory, now and then one that cannot be read to its end.
func (x *outage) put() {
	x.files++
	text, name := x.lines(), fmt.Sprint("file", x.files)
	if x.r.IntN(4) == 0 {
		x.bad[name] = true
		text += "\xff\n"
	}
	x.must(os.WriteFile(filepath.Join(x.dir(), name), []byte(text), 0o644))
}

// mend makes good what cannot be read, in a file that is set aside.
func (x *outage) mend() {
	for _, name := range slices.Sorted(maps.Keys(x.bad)) {
		if _, aside := x.src.asides[name]; !aside {
			continue
		}
		path := filepath.Join(x.dir(), name)
		text, err := os.ReadFile(path)
		x.must(err)
		x.must(os.WriteFile(path, []byte(strings.Replace(string(text), "\xff\n", x.lines(), 1)), 0o644))
		delete(x.bad, name)
		return
	}
}

// read lets the source go on, and start anew where the channels have stopped it.
func (x *outage) read() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	x.stop = stop
	x.src.goOn(ctx)
	x.run(ctx, x.src)
	if ctx.Err() == nil {
		maps.Copy(x.recorded, x.emitted) // all files are retired or set aside
		return
	}
	x.src.leave()
	maps.Copy(x.recorded, x.emitted)
	x.must(x.src.Close())
	x.src = x.open(x.m, x.emit)
}

// after is told of every system call.
func (x *outage) after(op vfs.Op) {
	switch {
	case x.src == nil:
	case op.Kind == vfs.OpSync && op.Path == x.src.tracker.path:
		if maps.Copy(x.noted, x.emitted); x.src.tracker.named {
			maps.Copy(x.recorded, x.noted)
		}
	case op.Kind == vfs.OpSyncDir && op.Path == stateDir:
		maps.Copy(x.recorded, x.noted)
	}
	for range 2 {
		x.verify(x.m.Crash(x.r), x.r.IntN(4) == 0)
	}
}

// verify starts a source on what is left, and on a copy of the directory; again: the power may go meanwhile.
func (x *outage) verify(c *vfs.Memory, again bool) {
	x.states++
	aside := filepath.Join(x.base, "aside")
	x.must(os.Rename(x.dir(), aside))
	x.copyDir(aside)
	var later []*vfs.Memory
	got := map[int]bool{}
	src := x.open(c, func(_ context.Context, b flume.Batch) error {
		for i := range b {
			got[number(x, &b[i])] = true
		}
		return nil
	})
	if again {
		before := x.names()
		c.After = func(vfs.Op) {
			if len(got) == 0 && x.names() == before { // nothing is retired, which the directory would not know any more
				later = append(later, c.Crash(x.r))
			}
		}
	}
	src.goOn(context.Background())
	for !x.run(context.Background(), src) {
	}
	src.tracker.close()
	x.must(src.Close())
	x.must(os.RemoveAll(x.dir()))
	x.must(os.Rename(aside, x.dir()))
	for n := range x.written {
		switch {
		case !x.emitted[n] && !got[n]:
			x.fail("line %d is lost", n)
		case x.recorded[n] && got[n]:
			x.fail("line %d was recorded and comes again", n)
		}
	}
	for _, c := range later {
		x.verify(c, false)
	}
}

func (x *outage) names() (all string) {
	entries, err := os.ReadDir(x.dir())
	x.must(err)
	for _, e := range entries {
		all += e.Name() + "/"
	}
	return all
}

func (x *outage) copyDir(from string) {
	entries, err := os.ReadDir(from)
	x.must(err)
	x.must(os.Mkdir(x.dir(), 0o755))
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		x.must(err)
		i, err := e.Info()
		x.must(err)
		to := filepath.Join(x.dir(), e.Name())
		x.must(os.WriteFile(to, text, 0o644))
		x.must(os.Chtimes(to, i.ModTime(), i.ModTime()))
	}
}

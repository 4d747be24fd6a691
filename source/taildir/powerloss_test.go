package taildir

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// The power-loss test writes, rotates and packs logs on the machine's disk while a source follows them whose position
// file and journal lie on a file system in memory. After every system call there it asks what the disk could hold if the
// power went now, and starts another source on that, which must emit
//
//   - every line that had not been emitted;
//   - no line again that had been when the position file was written last.
//
// Now and then the power goes while that one starts, and now and then the first one is stopped or killed.
//
// TAILDIR_SEED is where to begin.
func TestPowerLoss(t *testing.T) {
	runs := 2
	if testing.Short() {
		runs = 1
	}
	seed := time.Now().UnixNano() % 1_000_000_000
	if n, err := strconv.ParseInt(os.Getenv("TAILDIR_SEED"), 10, 64); err == nil {
		seed = n
	}
	states := 0
	for i := range int64(runs) {
		x := &outage{t: t, seed: seed + i, r: rand.New(rand.NewPCG(uint64(seed+i), 1)), m: vfs.NewMemory(), emitted: map[int]bool{}, recorded: map[int]bool{}}
		x.site = newSite(t, "positionFile = /state/positions.json", "maxBatchCount = 2")
		x.play()
		if states += x.states; t.Failed() {
			break
		}
	}
	t.Logf("TAILDIR_SEED=%d: %d states", seed, states)
}

type outage struct {
	t    *testing.T
	seed int64
	r    *rand.Rand
	site *site
	m    *vfs.Memory
	src  *source

	step, states, files int
	written             int          // lines in the logs, numbered from 0 on
	emitted, recorded   map[int]bool // recorded: emitted when the position file was written last
	full                bool         // the channel takes nothing more in this look
}

func (x *outage) fail(format string, args ...any) {
	x.t.Fatalf("TAILDIR_SEED=%d, step %d: %s", x.seed, x.step, fmt.Sprintf(format, args...))
}

func (x *outage) open(m *vfs.Memory, emit flume.Emit) *source {
	var s Settings
	if _, problems := conf.Bind(&s, flumetest.Section(x.t, x.site.settings()...)); problems.Fatal() {
		x.fail("%v", problems)
	}
	env := flumetest.NewEnv()
	env.TransactionCapacity = 3
	src, err := openSource(m, &s, env.Env)
	if err != nil {
		x.fail("opening: %v", err)
	}
	src.offer.Emit = emit
	src.offer.Sleep = func(context.Context, time.Duration) error { return context.Canceled }
	return src
}

// shut ends a source without a word about its positions.
func (x *outage) shut(src *source) {
	for _, st := range src.streams {
		st.close()
	}
	if err := src.Close(); err != nil {
		x.fail("closing: %v", err)
	}
}

func (x *outage) emit(_ context.Context, b flume.Batch) error {
	if x.full = x.full || x.r.IntN(6) == 0; x.full {
		return flume.ErrFull
	}
	for _, n := range numbers(x.t, b) {
		if x.emitted[n] {
			x.fail("line %d comes again without a power cut", n)
		}
		x.emitted[n] = true
	}
	return nil
}

func (x *outage) lines() string {
	n := 1 + x.r.IntN(12)
	x.written += n
	return lines(x.written-n, n)
}

func (x *outage) play() {
	x.m.After = x.lose
	x.src = x.open(x.m, x.emit)
	for x.step = 0; x.step < 60; x.step++ {
		switch n := x.r.IntN(20); {
		case n < 6:
			x.site.add("app.log", x.lines())
		case n < 8 && x.site.has("app.log"):
			x.files++
			x.site.must(os.Rename(x.site.path("app.log"), x.site.path(fmt.Sprint("app.log.", x.files))))
		case n < 9:
			x.files++
			name := fmt.Sprint("app.log.", x.files)
			x.site.add(name, x.lines())
			x.site.zip(name)
		case n < 14:
			x.full = false
			x.src.readAll(x.t.Context(), x.src.look(time.Now()))
		case n < 17:
			x.save()
		case n < 18:
			x.save()
			x.shut(x.src)
			x.src = x.open(x.m, x.emit)
		case n < 19: // SIGKILL
			x.m.After = nil
			left := x.m.Killed()
			x.shut(x.src)
			x.m = left
			x.m.After = x.lose
			x.src = x.open(x.m, x.emit)
		}
	}
	x.m.After = nil
	x.shut(x.src)
}

func (x *outage) save() {
	if err := x.src.saveAs(absolute(x.src.settings.positionFile)); err != nil {
		x.fail("writing positions: %v", err)
	}
	for n := range x.emitted {
		x.recorded[n] = true
	}
}

// lose looks at what a power cut might leave.
func (x *outage) lose(vfs.Op) {
	for range 2 {
		x.verify(x.m.Crash(x.r), x.r.IntN(4) == 0)
	}
}

// verify starts a source on what is left; again: the power may go meanwhile.
func (x *outage) verify(c *vfs.Memory, again bool) {
	x.states++
	var later []*vfs.Memory
	if again {
		c.After = func(vfs.Op) { later = append(later, c.Crash(x.r)) }
	}
	got := map[int]bool{}
	src := x.open(c, func(_ context.Context, b flume.Batch) error {
		for _, n := range numbers(x.t, b) {
			got[n] = true
		}
		return nil
	})
	c.After = nil
	for quiet := 0; quiet < 2; quiet++ {
		if src.readAll(x.t.Context(), src.look(time.Now())) {
			quiet = 0
		}
	}
	x.shut(src)
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

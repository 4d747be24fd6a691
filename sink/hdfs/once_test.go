package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/vfs"
)

// A mortal is a cluster as one process sees it, which dies at a call: before the cluster has done it, or afterwards. Its
// calls do nothing from then on.
type mortal struct {
	*cluster
	mu    sync.Mutex
	calls int
	at    int // the call that it dies at; 0: it does not
	after bool
	dead  chan struct{}
	disk  *vfs.Memory
	left  *vfs.Memory // the disk at its death
}

var errDead = errors.New("the process is dead")

func mortalOn(c *cluster, disk *vfs.Memory, at int, after bool) *mortal {
	return &mortal{cluster: c, at: at, after: after, dead: make(chan struct{}), disk: disk}
}

func (m *mortal) do(call func() error) error {
	m.mu.Lock()
	m.calls++
	at := m.calls
	died := m.at > 0 && at >= m.at
	if at == m.at {
		m.left = m.disk.Killed()
	}
	m.mu.Unlock()
	var err error
	if !died || at == m.at && m.after {
		err = call()
	}
	if at == m.at {
		close(m.dead)
	}
	if died {
		return errDead
	}
	return err
}

func (m *mortal) alive() bool {
	select {
	case <-m.dead:
		return false
	default:
		return true
	}
}

func (m *mortal) Create(ctx context.Context, name string, o hdfs.CreateOptions) (f hdfs.File, err error) {
	err = m.do(func() (err error) { f, err = m.cluster.Create(ctx, name, o); return err })
	if err != nil {
		return nil, err
	}
	return &mortalFile{f, m}, nil
}

func (m *mortal) Open(ctx context.Context, name string, offset int64) (r io.ReadCloser, err error) {
	err = m.do(func() (err error) { r, err = m.cluster.Open(ctx, name, offset); return err })
	return r, err
}

func (m *mortal) Rename(ctx context.Context, from, to string) error {
	return m.do(func() error { return m.cluster.Rename(ctx, from, to) })
}

func (m *mortal) Delete(ctx context.Context, name string, recursive bool) error {
	return m.do(func() error { return m.cluster.Delete(ctx, name, recursive) })
}

func (m *mortal) Stat(ctx context.Context, name string) (info hdfs.Info, err error) {
	err = m.do(func() (err error) { info, err = m.cluster.Stat(ctx, name); return err })
	return info, err
}

func (m *mortal) List(ctx context.Context, dir string) iter.Seq2[hdfs.Info, error] {
	if err := m.do(func() error { return nil }); err != nil {
		return func(yield func(hdfs.Info, error) bool) { yield(hdfs.Info{}, err) }
	}
	return m.cluster.List(ctx, dir)
}

func (m *mortal) Recover(ctx context.Context, name string) (info hdfs.Info, err error) {
	err = m.do(func() (err error) { info, err = m.cluster.Recover(ctx, name); return err })
	return info, err
}

func (m *mortal) Truncate(ctx context.Context, name string, size int64) error {
	return m.do(func() error { return m.cluster.Truncate(ctx, name, size) })
}

type mortalFile struct {
	hdfs.File
	m *mortal
}

func (f *mortalFile) Write(ctx context.Context, p []byte) (n int, err error) {
	err = f.m.do(func() (err error) { n, err = f.File.Write(ctx, p); return err })
	return n, err
}

func (f *mortalFile) Flush(ctx context.Context, d hdfs.Durability) error {
	return f.m.do(func() error { return f.File.Flush(ctx, d) })
}

func (f *mortalFile) Close(ctx context.Context) error {
	return f.m.do(func() error { return f.File.Close(ctx) })
}

// A channel holds events until they are committed, in their order; what a partial delivery has left comes last.
type channel struct {
	waiting flume.Batch
	last    flume.Batch // of the last delivery, as far as it may come again
	forget  bool        // what is committed never does
}

// deliver gives a batch to the sink, as the agent does.
func (c *channel) deliver(t testing.TB, k *sink, most int) {
	t.Helper()
	b := c.waiting[:min(most, len(c.waiting))]
	err := k.Deliver(t.Context(), b)
	partial := new(flume.PartialError)
	switch {
	case err == nil:
		c.waiting = c.waiting[len(b):]
		c.last = nil
		if c.forget {
			return // it is committed, and never comes again
		}
	case errors.As(err, &partial):
		var parked flume.Batch
		for _, i := range partial.Pending {
			parked = append(parked, b[i])
		}
		if len(partial.Rejected) > 0 {
			t.Errorf("rejected: %v", partial.Rejected)
		}
		c.waiting = slices.Concat(parked, c.waiting[len(b):])
		if c.last = nil; c.forget {
			return
		}
	}
	c.last = b
}

var once = []string{"hdfs.exactlyOnce = true", "hdfs.rollCount = 5", noRolls, "hdfs.rollSize = 0", "hdfs.retryInterval = 5"}

// records are events of two partitions for three buckets.
func records(n int) (b flume.Batch) {
	for i := range n {
		e := to(string('x'+rune(i%3)), fmt.Sprint("e", i))[0]
		e.Headers = append(e.Headers, flume.Header{Key: flume.PositionHeader, Value: fmt.Sprintf("kfk/t/%d/%d", i%2, i/2)})
		b = append(b, e)
	}
	return b
}

// A trial is a number of processes one after the other, all but the last of which are killed.
type trial struct {
	cluster *cluster
	disk    *vfs.Memory
	channel channel
	all     flume.Batch
	random  *rand.Rand // nil: nothing is random
}

func newTrial(n int) *trial {
	b := records(n)
	return &trial{cluster: newCluster(), disk: vfs.NewMemory(), channel: channel{waiting: b}, all: b}
}

// live is one process. It returns how many calls it has made.
func (x *trial) live(t testing.TB, at int, after bool) int {
	t.Helper()
	m := mortalOn(x.cluster, x.disk, at, after)
	r := x.cluster.openAs(t, m, x.disk, once...)
	for m.alive() && len(x.channel.waiting) > 0 {
		most := 7
		if x.random != nil {
			most = 1 + x.random.IntN(12)
		}
		x.channel.deliver(t, r.sink, most)
		time.Sleep(time.Second)
	}
	if m.alive() {
		if err := r.Close(); err != nil && m.alive() && x.cluster.fault == nil {
			t.Error(err)
		}
	}
	synctest.Wait()
	if !m.alive() {
		r.stop()
		r.kill()
		r.work.Wait()
		x.disk = m.left
		x.channel.waiting = slices.Concat(x.channel.last, x.channel.waiting) // its commit may have been lost
		x.channel.last = nil
		if x.random != nil && x.random.IntN(4) == 0 {
			x.channel.waiting = slices.Clone(x.all) // the topic is read again
		}
	}
	return m.calls
}

// check looks at what is there when all is done.
func (x *trial) check(t testing.TB) {
	t.Helper()
	x.channel.waiting = slices.Clone(x.all)
	x.live(t, 0, false) // all of it is known
	var want, got []string
	for _, e := range x.all {
		want = append(want, string(e.Body))
	}
	x.cluster.mu.Lock()
	defer x.cluster.mu.Unlock()
	for name, n := range x.cluster.files {
		if strings.Contains(name, "/_sluice/") {
			continue
		}
		if strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s is left", name)
		}
		for line := range strings.Lines(string(n.data)) {
			line = strings.TrimSuffix(line, "\n")
			if got = append(got, line); !slices.Contains(want, line) {
				t.Errorf("%q is no whole event", line)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d events instead of %d:\n%s\n%s", len(got), len(want), got, strings.Join(x.cluster.calls, "\n"))
	}
	for name, n := range x.cluster.files {
		if !strings.Contains(name, "/_sluice/") {
			continue
		}
		l := new(ledger)
		if _, complete, err := l.read(string(n.data)); err != nil || !complete || len(l.open) > 0 {
			t.Errorf("%s: %v\n%s", name, err, n.data)
		}
	}
}

// The process is killed at every call it makes of the file system, before the call has been done and afterwards.
func TestExactlyOnceKilledAtEveryCall(t *testing.T) {
	calls := 0
	synctest.Test(t, func(t *testing.T) {
		x := newTrial(40)
		calls = x.live(t, 0, false)
		x.check(t)
	})
	if calls < 100 {
		t.Errorf("%d calls only", calls)
	}
	for at := 1; at <= calls; at++ {
		for i := range 4 {
			after := i%2 == 1
			synctest.Test(t, func(t *testing.T) {
				x := newTrial(40)
				x.channel.forget = i > 1
				x.live(t, at, after)
				x.live(t, 0, false)
				x.check(t)
			})
			if t.Failed() {
				t.Fatalf("killed at call %d, after it: %v", at, after)
			}
		}
	}
}

// Processes are killed at any call, also while they put right what the one before has left, and files are lost.
func TestExactlyOnceKilledAgainAndAgain(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			x := newTrial(40)
			x.random = rand.New(rand.NewPCG(seed, 1))
			x.channel.forget = seed%2 == 0
			faults := rand.New(rand.NewPCG(seed, 2))
			var mu sync.Mutex // of faults
			x.cluster.fault = func(call string) error {
				mu.Lock()
				defer mu.Unlock()
				word, _, _ := strings.Cut(call, " ")
				if faults.IntN(40) > 0 {
					return nil
				}
				switch word {
				case "write", "flush", "close":
					if faults.IntN(2) == 0 {
						return hdfs.ErrLost
					}
				}
				return errors.New("timed out")
			}
			for range 1 + x.random.IntN(6) {
				x.live(t, 1+x.random.IntN(120), x.random.IntN(2) == 0)
			}
			x.cluster.when("", nil)
			x.live(t, 0, false)
			x.check(t)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A process that takes over while the one before is still alive shuts it out; what that one had under way comes once.
func TestExactlyOnceTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTrial(30)
		old := x.cluster.open(t, x.disk, once...)
		old.put(t, x.all[:10])
		next := x.cluster.open(t, vfs.NewMemory(), once...) // another machine
		time.Sleep(time.Second)
		next.put(t, x.all[:20])
		if n := len(old.pending(t, x.all[10:20])); n != 10 {
			t.Errorf("%d events wait in the one that is out", n)
		}
		if n := len(old.pending(t, x.all[20:])); n != 10 {
			t.Errorf("%d events wait in the one that is out", n)
		}
		next.put(t, x.all[20:])
		if got := old.env.Logged(); strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, "hdfs.exactlyOnce.name") {
			t.Error(got)
		}
		if err := old.Close(); err == nil {
			t.Error("it was closed as if nothing were")
		}
		next.close(t)
		x.check(t)
	})
}

// What a killed process leaves in a ledger is read without a panic, and what was read is written so that it reads the same.
func FuzzLedger(f *testing.F) {
	for _, text := range []string{
		"", "ledger 1 t\nbegin\n", "ledger 2 t\n", "begin\n",
		"ledger 1 t\ndone k/t/0:0-41,43\nfile 3 lines \"hdfs://nn\" \"/a.tmp\" \"/a\" 10\nadd 3 10 20 k/t/1:0-3\nbegin\nadd 3 20 30 k/t/1:4\nend 3 20\n",
		"ledger 1 t\nbegin\nfile 1 bytes \"file://\" \"/a.tmp\" \"/a\" 0\nadd 1 0 5 k/t/0:1\nname 1 \"/b\"\nend 1 5\ngone 1\nadd 1 5",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := new(ledger)
		if _, complete, err := l.read(text); err != nil || !complete {
			return
		}
		l.token = "x"
		first := string(l.snapshot())
		again := new(ledger)
		if _, complete, err := again.read(first); err != nil || !complete {
			t.Fatalf("%q is not read again: %v", first, err)
		}
		again.token = "x"
		if second := string(again.snapshot()); second != first {
			t.Fatalf("%q has become %q", first, second)
		}
	})
}

func TestExactlyOnceIsChecked(t *testing.T) {
	for _, x := range []struct{ settings, want string }{
		{"hdfs.path = hdfs://nn/d/%{b}/%Y", ""},
		{"hdfs.path = hdfs://nn/d/%{b}/%Y\nhdfs.useLocalTimeStamp = true", "another path"},
		{"hdfs.path = hdfs://nn/d/%{b}\nhdfs.useLocalTimeStamp = true", ""},
		{"hdfs.path = hdfs://nn/d\nhdfs.emptyInUseSuffix = true", "name of their own"},
		{"hdfs.path = %{b}/x", "begins with an escape"},
		{"hdfs.path = hdfs://%{b}/x", "begins with an escape"},
		{"hdfs.path = %{b}/x\nhdfs.exactlyOnce.path = hdfs://nn/l", ""},
	} {
		plan, problems := Kind.Bind(flumetest.Section(t, append(strings.Split(x.settings, "\n"), "hdfs.exactlyOnce = true")...))
		if got := fmt.Sprint(problems); problems.Fatal() != (x.want != "") || !strings.Contains(got, x.want) {
			t.Errorf("%s: %s", x.settings, got)
		}
		if setting, headers := plan.Settings.(*Settings).ExactlyOnce(); x.want == "" && (setting != "hdfs.exactlyOnce" || strings.Contains(x.settings, "path = hdfs://nn/d/%{b}/%Y") && fmt.Sprint(headers) != "[b timestamp]") {
			t.Errorf("%s: %s %v", x.settings, setting, headers)
		}
	}
}

package spillable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/channel/memory"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

func closing(t testing.TB, c flume.Channel) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// over is a context that has ended: who waits with it does not wait.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func putting(t testing.TB, c flume.Channel, b flume.Batch) {
	t.Helper()
	tx, err := c.Put(context.Background(), b)
	if err != nil {
		t.Fatalf("putting %d events: %v", len(b), err)
	}
	committing(t, tx)
}

func taking(t testing.TB, c flume.Channel, events int) flume.Transaction {
	t.Helper()
	tx, err := c.Take(over(), flume.Limits{Events: events})
	if err != nil {
		t.Fatalf("taking: %v", err)
	}
	return tx
}

func committing(t testing.TB, tx flume.Transaction) {
	t.Helper()
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatalf("committing: %v", err)
	}
}

// drained takes and commits all that is there.
func drained(t testing.TB, c flume.Channel) flume.Batch {
	t.Helper()
	var all flume.Batch
	for {
		tx, err := c.Take(over(), flume.Limits{})
		if errors.Is(err, flume.ErrEmpty) {
			return all
		}
		if err != nil {
			t.Fatalf("taking: %v", err)
		}
		all = append(all, tx.Batch()...)
		committing(t, tx)
	}
}

// same compares the bodies of two batches.
func same(a, b flume.Batch) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d events instead of %d", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i].Body, b[i].Body) {
			return fmt.Errorf("event %d is %s instead of %s", i, a[i].Body, b[i].Body)
		}
	}
	return nil
}

func want(t testing.TB, got flume.Batch, want ...flume.Batch) {
	t.Helper()
	if err := same(got, slices.Concat(want...)); err != nil {
		t.Fatal(err)
	}
}

func TestSettings(t *testing.T) {
	u, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	bound := func(settings ...string) (*Settings, string) {
		plan, problems := Kind.Bind(flumetest.Section(t, settings...))
		return plan.Settings.(*Settings), problems.String()
	}
	s, problems := bound("checkpointDir = /c", "dataDirs = /d")
	if problems != "" {
		t.Error(problems)
	}
	if s.Memory.Capacity != 10000 || s.File.Capacity != 100000000 || !s.Overflow || s.Threshold != 5 || s.Memory.SlotSize != 500 ||
		s.Memory.KeepAlive != 3*time.Second || s.File.KeepAlive != 3*time.Second || s.Memory.BufferPercentage != 20 ||
		s.Memory.TransactionCapacity != 10000 || s.File.TransactionCapacity != 10000 || s.File.CheckpointInterval != 30*time.Second {
		t.Errorf("the defaults are %+v", s)
	}
	const x1 = "a1.components.x1."
	for _, x := range []struct {
		settings []string
		want     string
		overflow bool
		memory   int
		disk     int
	}{
		{[]string{"memoryCapacity = 0"}, "", true, 0, usualOverflow},
		{[]string{"memoryCapacity = -1"}, "flume.conf:3: " + x1 + "memoryCapacity: -1 is less than 0; the default 10000 is taken\n", true, 10000, usualOverflow},
		{[]string{"memoryCapacity = many", "overflowCapacity = all", "overflowTimeout = 3s", "overflowDeactivationThreshold = half", "avgEventSize = 1k", "byteCapacity = all"},
			"flume.conf:3: " + x1 + "memoryCapacity: \"many\" is not a number; the default 10000 is taken\n" +
				"flume.conf:4: " + x1 + "overflowCapacity: \"all\" is not a number; the default 100000000 is taken\n" +
				"flume.conf:5: " + x1 + "overflowTimeout: \"3s\" is not a number of seconds; the default 3 is taken\n" +
				"flume.conf:6: " + x1 + "overflowDeactivationThreshold: \"half\" is not a number; the default 5 is taken\n" +
				"flume.conf:8: " + x1 + "byteCapacity: \"all\" is not a number; the default an eighth of the memory that the process may use, at least 16 MiB is taken\n" +
				"flume.conf:7: " + x1 + "avgEventSize: \"1k\" is not a number; the default 500 is taken\n", true, 10000, usualOverflow},
		{[]string{"overflowCapacity = 0"}, "", false, 10000, withoutDisk},
		{[]string{"overflowCapacity = -7"}, "", false, 10000, withoutDisk},
		{[]string{"overflowCapacity = 0", "memoryCapacity = 0"}, "flume.conf:3: " + x1 + "overflowCapacity: 0 leaves no room at all, as memoryCapacity is 0; the default 100000000 is taken\n", true, 0, usualOverflow},
		{[]string{"overflowCapacity = 2147483647"}, "flume.conf:3: " + x1 + "overflowCapacity: 2147483647 is more than 2147482618, the most it may be; the default 100000000 is taken\n", true, 10000, usualOverflow},
		{[]string{"overflowCapacity = 9999"}, "flume.conf:1: " + x1 + "transactionCapacity: 10000 events are more than the capacity of the channel, 9999; lower transactionCapacity or raise overflowCapacity\n", true, 10000, 9999},
		{[]string{"overflowTimeout = -1"}, "flume.conf:3: " + x1 + "overflowTimeout: -1 is less than 0, the least it may be; the default 3 is taken\n", true, 10000, usualOverflow},
		{[]string{"overflowDeactivationThreshold = 101"}, "flume.conf:3: " + x1 + "overflowDeactivationThreshold: 101 percent are never free: once one put has overflowed, no other waits for room in memory\n", true, 10000, usualOverflow},
		{[]string{"overflowDeactivationThreshold = -5"}, "flume.conf:3: " + x1 + "overflowDeactivationThreshold: -5 is negative: as 0\n", true, 10000, usualOverflow},
		{[]string{"byteCapacity = -1"}, "flume.conf:3: " + x1 + "byteCapacity: -1 is negative: the channel holds about 200 GB, as with 0, so only memoryCapacity bounds it\n", true, 10000, usualOverflow},
		{[]string{"capacity = 5"}, "flume.conf:3: " + x1 + "capacity: is not a setting\n", true, 10000, usualOverflow},
	} {
		s, problems := bound(append([]string{"checkpointDir = /c", "dataDirs = /d"}, x.settings...)...)
		if problems != x.want {
			t.Errorf("%q: %s instead of %s", x.settings, problems, x.want)
		}
		if s.Overflow != x.overflow || s.Memory.Capacity != x.memory || s.File.Capacity != x.disk {
			t.Errorf("%q: overflow %v, %d in memory, %d on disk", x.settings, s.Overflow, s.Memory.Capacity, s.File.Capacity)
		}
	}
	_, problems = bound()
	for _, dir := range []string{"checkpointDir: is " + u.HomeDir, "dataDirs: is " + u.HomeDir} {
		if !strings.Contains(problems, x1+dir+"/.flume/file-channel/") {
			t.Errorf("of the default directories is said: %s", problems)
		}
	}
	plan, _ := Kind.Bind(flumetest.Section(t, "checkpointDir = /c", "dataDirs = /d", "transactionCapacity = 70"))
	if plan.Limits.TransactionCapacity != 70 {
		t.Errorf("the transaction capacity is said to be %d", plan.Limits.TransactionCapacity)
	}
	if held := plan.Settings.(flume.Holder).Holds(); !slices.Equal(held, []flume.Endpoint{"dir:///c", "dir:///d"}) {
		t.Errorf("it holds %v", held)
	}
}

// counted is an Env whose counters can be listed.
func counted() (flume.Env, map[string]*atomic.Int64) {
	counters := map[string]*atomic.Int64{}
	env := flumetest.NewEnv().Env
	env.Counter = func(attribute string) *atomic.Int64 {
		if counters[attribute] == nil {
			counters[attribute] = new(atomic.Int64)
		}
		return counters[attribute]
	}
	return env, counters
}

func TestCounters(t *testing.T) {
	for overflow, capacity := range map[string]int64{"overflowCapacity = 300": 310, "overflowCapacity = 0": 10} {
		env, counters := counted()
		plan, problems := kindOn(vfs.NewMemory()).Bind(flumetest.Section(t, with("memoryCapacity = 10", overflow, "transactionCapacity = 10")...))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		c, err := plan.Open(context.Background(), env)
		if err != nil {
			t.Fatal(err)
		}
		putting(t, c, flumetest.Events(0, 4))
		if len(counters) != 2 || counters["ChannelCapacity"].Load() != capacity || counters["ChannelSize"].Load() != 4 {
			t.Errorf("%s: the counters are %v", overflow, counters)
		}
		closing(t, c)
		env, counters = counted()
		if c, err = plan.Open(context.Background(), env); err != nil {
			t.Fatal(err)
		}
		if counters["ChannelSize"].Load() != 4 {
			t.Errorf("%s: after a restart the counters are %v", overflow, counters)
		}
		want(t, drained(t, c), flumetest.Events(0, 4))
		closing(t, c)
	}
}

// joined is a channel whose disk is memory too, for tests that are about time.
func joined(t *testing.T, inMemory, onDisk int, timeout time.Duration, threshold int) (*channel, *flumetest.Env) {
	t.Helper()
	env := flumetest.NewEnv()
	s := &Settings{Overflow: onDisk > 0, Threshold: threshold}
	s.Memory.Capacity, s.File.Capacity, s.File.TransactionCapacity = inMemory, onDisk, 10
	keep := fmt.Sprintf("keep-alive = %d", timeout/time.Second)
	own := flumetest.NewEnv() // of the sides
	c := join(
		flumetest.OpenIn(t, own, memory.Kind, fmt.Sprintf("capacity = %d", inMemory), "transactionCapacity = 10", keep),
		&vanishing{Channel: flumetest.OpenIn(t, own, memory.Kind, fmt.Sprintf("capacity = %d", max(10, onDisk)), "transactionCapacity = 10", keep)},
		s, env.Env)
	return c, env
}

func took(t *testing.T, what string, d time.Duration, do func()) {
	t.Helper()
	begun := time.Now()
	do()
	if e := time.Since(begun); e != d {
		t.Errorf("%s took %v instead of %v", what, e, d)
	}
}

func TestAPutWaitsBeforeItOverflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, env := joined(t, 10, 100, 3*time.Second, 50)
		defer closing(t, c)
		next := 0
		put := func(n int, patience time.Duration) {
			t.Helper()
			took(t, "a put", patience, func() { putting(t, c, flumetest.Events(next, n)) })
			next += n
		}
		put(10, 0)
		put(1, 3*time.Second)
		if c.newer != 1 || !c.active || !strings.Contains(env.Logged(), `msg="memory is full: events overflow to disk"`) {
			t.Fatalf("%d events overflowed: %s", c.newer, env.Logged())
		}
		put(1, 0) // goes the same way without waiting
		if c.newer != 2 {
			t.Fatal("the next did not overflow")
		}
		last := taking(t, c, 10)
		committing(t, taking(t, c, 10)) // the two on disk
		put(1, 0)                       // still active: without room in memory it does not wait
		committing(t, taking(t, c, 10))
		for _, left := range []int{6, 5} {
			if !c.active {
				t.Errorf("the overflow has ended with %d of 10 in memory", left+1)
			}
			keep := make([]int, left)
			for i := range keep {
				keep[i] = i
			}
			kept := last.Split(keep)
			committing(t, last)
			last = kept
		}
		if c.active || !strings.Contains(env.Logged(), `msg="memory has room again"`) {
			t.Errorf("the overflow goes on: %s", env.Logged())
		}
		put(5, 0)
		if c.held != 5 {
			t.Errorf("%d events are in memory", c.held)
		}
		put(1, 3*time.Second)
		last.Rollback()
		want(t, drained(t, c), flumetest.Events(0, 5), flumetest.Events(13, 6))
	})
}

func TestAPutThatIsWaitedForStaysInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := joined(t, 10, 100, 3*time.Second, 5)
		defer closing(t, c)
		putting(t, c, flumetest.Events(0, 10))
		time.AfterFunc(2*time.Second, func() { committing(t, taking(t, c, 4)) })
		took(t, "a put", 2*time.Second, func() { putting(t, c, flumetest.Events(10, 4)) })
		if c.held != 10 || c.newer != 0 || c.active {
			t.Errorf("%d events are in memory and %d on disk", c.held, c.newer)
		}
	})
}

// Where neither side has room a put waits overflowTimeout once.
func TestAPutWaitsForRoomOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := joined(t, 10, 10, 3*time.Second, 5)
		defer closing(t, c)
		putting(t, c, flumetest.Events(0, 10))
		putting(t, c, flumetest.Events(10, 10))
		refused := func(n int, patience time.Duration, as error, says string) {
			t.Helper()
			took(t, "a put", patience, func() {
				if _, err := c.Put(context.Background(), flumetest.Events(20, n)); !errors.Is(err, as) || !strings.Contains(err.Error(), says) {
					t.Errorf("a put of %d returned %v", n, err)
				}
			})
		}
		refused(1, 3*time.Second, flume.ErrFull, "no room came free for 1 events")
		refused(11, 0, flume.ErrTooLarge, "it has 11 events")
		last := taking(t, c, 10)
		committing(t, taking(t, c, 10))
		refused(11, 0, flume.ErrTooLarge, "disk: the batch is larger than the whole channel")
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		c.active = false
		tx, err := c.Put(ctx, flumetest.Events(20, 10))
		if err != nil || tx.(*put).inMemory {
			t.Errorf("a put whose source ends while it waits for memory does not overflow: %v", err)
		}
		c.active = false
		refused(1, 3*time.Second, flume.ErrFull, "memory: the channel is full: it holds 10 events")
		tx.Rollback()
		last.Rollback()
	})
}

// A batch that only memory can hold waits until its turn has come.
func TestABatchTooLargeForDisk(t *testing.T) {
	c, _ := joined(t, 30, 10, 0, 5)
	defer closing(t, c)
	putting(t, c, flumetest.Events(0, 25))
	putting(t, c, flumetest.Events(25, 10))
	if _, err := c.Put(context.Background(), flumetest.Events(35, 20)); !errors.Is(err, flume.ErrFull) || errors.Is(err, flume.ErrTooLarge) {
		t.Errorf("while events wait on disk a put returned %v", err)
	}
	want(t, drained(t, c), flumetest.Events(0, 35))
	putting(t, c, flumetest.Events(35, 20))
	if _, err := c.Put(context.Background(), flumetest.Events(55, 20)); !errors.Is(err, flume.ErrFull) || errors.Is(err, flume.ErrTooLarge) {
		t.Errorf("while memory is full a put returned %v", err)
	}
	want(t, drained(t, c), flumetest.Events(35, 20))
}

// A disk without room leaves memory as it is.
func TestADiskWithoutRoom(t *testing.T) {
	on := vfs.NewMemory()
	on.Limit(100 << 20)
	c := opened(t, on, "memoryCapacity = 20", "transactionCapacity = 20", "overflowTimeout = 0", "minimumRequiredSpace = 104857600")
	for i := range 3 {
		putting(t, c, flumetest.Events(20*i, 20))
		if _, err := c.Put(context.Background(), flumetest.Events(0, 1)); !errors.Is(err, flume.ErrFull) ||
			!strings.Contains(err.Error(), "minimumRequiredSpace") || !strings.Contains(err.Error(), "at most 20 events (memoryCapacity)") {
			t.Errorf("a put beyond returned %v", err)
		}
		want(t, drained(t, c), flumetest.Events(20*i, 20))
	}
	closing(t, c)
}

// vanishing is a file channel whose events are damaged when their turn comes.
type vanishing struct {
	flume.Channel
	damaged int
	fails   error
	during  func() // what others do during a take
	told    func() // delays the answer to a put that is there
	waiting int
}

type slowPut struct {
	flume.Transaction
	told func()
}

func (p slowPut) Commit(ctx context.Context) error {
	err := p.Transaction.Commit(ctx)
	p.told()
	return err
}

func (v *vanishing) Put(ctx context.Context, b flume.Batch) (flume.Transaction, error) {
	tx, err := v.Channel.Put(ctx, b)
	if err == nil && v.told != nil {
		tx = slowPut{tx, v.told}
	}
	return tx, err
}

// Waiting is asked for only while somebody puts.
func (v *vanishing) Waiting() int { return v.waiting }

func (v *vanishing) Admit(b flume.Batch) (flume.Transaction, error) {
	if v.fails != nil {
		return nil, v.fails
	}
	return v.Put(context.Background(), b)
}

func (v *vanishing) Take(ctx context.Context, l flume.Limits) (flume.Transaction, error) {
	if v.during != nil {
		v.during()
	}
	if v.fails != nil {
		return nil, v.fails
	}
	for v.damaged > 0 {
		v.damaged--
		tx, err := v.Channel.Take(ctx, flume.Limits{Events: 1})
		if err != nil {
			return nil, err
		}
		if err := tx.Commit(ctx); err != nil {
			return nil, err
		}
	}
	return v.Channel.Take(ctx, l)
}

// What a sink gives back stands before what has overflowed, and memory is not filled again before it is gone for good.
func TestRollbackAfterAnOverflow(t *testing.T) {
	c, _ := joined(t, 10, 100, 0, 5)
	defer closing(t, c)
	putting(t, c, flumetest.Events(0, 6))
	putting(t, c, flumetest.Events(6, 8))
	tx := taking(t, c, 6)
	putting(t, c, flumetest.Events(14, 3)) // memory has room for it
	tx.Rollback()
	want(t, taking(t, c, 6).Batch(), flumetest.Events(0, 6))
	want(t, drained(t, c), flumetest.Events(6, 11))
}

// Memory is filled again behind what waits on disk, but only if that is little.
func TestMemoryIsFilledAgain(t *testing.T) {
	c, _ := joined(t, 10, 100, 0, 5)
	defer closing(t, c)
	putting(t, c, flumetest.Events(0, 10))
	for i := range 3 {
		putting(t, c, flumetest.Events(10+5*i, 5))
	}
	committing(t, taking(t, c, 10))
	putting(t, c, flumetest.Events(25, 1))
	if c.held != 0 {
		t.Fatal("memory is filled behind 15 events on disk")
	}
	committing(t, taking(t, c, 6))
	putting(t, c, flumetest.Events(26, 9))
	if c.held != 9 || c.older != 10 || c.newer != 0 {
		t.Fatalf("%d events are in memory, behind %d and before %d on disk", c.held, c.older, c.newer)
	}
	putting(t, c, flumetest.Events(35, 3))
	if c.newer != 3 {
		t.Fatalf("%d events are on disk behind those in memory", c.newer)
	}
	want(t, drained(t, c), flumetest.Events(16, 22))
}

// What a take of the disk has no use for stands before what was put meanwhile.
func TestAPutDuringATake(t *testing.T) {
	c, _ := joined(t, 10, 100, 0, 5)
	defer closing(t, c)
	putting(t, c, flumetest.Events(0, 10))
	putting(t, c, flumetest.Events(10, 10))
	committing(t, taking(t, c, 10))
	c.file.(*vanishing).during = func() {
		c.file.(*vanishing).during = nil
		putting(t, c, flumetest.Events(20, 2))
	}
	tx, err := c.Take(over(), flume.Limits{Bytes: 15})
	if err != nil {
		t.Fatal(err)
	}
	if c.held != 2 {
		t.Errorf("%d events are in memory", c.held)
	}
	want(t, slices.Concat(tx.Batch(), drained(t, c)), flumetest.Events(10, 12))
}

// Of two puts the first is on disk, the second is told so, and the first's events are taken: those of the second, which
// nobody counts yet, are not overtaken by what is put then.
func TestAPutThatIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := joined(t, 10, 100, 0, 5)
		defer closing(t, c)
		disk := c.file.(*vanishing)
		putting(t, c, flumetest.Events(0, 10))
		release := make(chan struct{})
		disk.told = func() { <-release }
		first, err := c.Put(context.Background(), flumetest.Events(10, 3))
		if err != nil {
			t.Fatal(err)
		}
		var told sync.WaitGroup
		told.Go(func() { committing(t, first) })
		synctest.Wait()
		disk.told = nil
		putting(t, c, flumetest.Events(13, 3))
		committing(t, taking(t, c, 10))
		tx := taking(t, c, 3)
		want(t, tx.Batch(), flumetest.Events(10, 3))
		committing(t, tx)
		disk.waiting = 3
		putting(t, c, flumetest.Events(16, 2))
		close(release)
		told.Wait()
		want(t, drained(t, c), flumetest.Events(13, 5))
		putting(t, c, flumetest.Events(18, 2))
		if c.held != 2 {
			t.Errorf("%d events are in memory", c.held)
		}
	})
}

func TestDamagedEventsAreNotWaitedFor(t *testing.T) {
	c, _ := joined(t, 10, 100, 0, 5)
	defer closing(t, c)
	disk := c.file.(*vanishing)
	putting(t, c, flumetest.Events(0, 10))
	putting(t, c, flumetest.Events(10, 10))
	committing(t, taking(t, c, 10))
	disk.fails = errors.New("a broken disk")
	if _, err := c.Take(over(), flume.Limits{}); !errors.Is(err, disk.fails) {
		t.Errorf("taking returned %v", err)
	}
	if c.older != 10 {
		t.Errorf("%d events wait after a take that failed", c.older)
	}
	disk.fails, disk.damaged = nil, 4
	want(t, drained(t, c), flumetest.Events(14, 6))
	putting(t, c, flumetest.Events(20, 10))
	putting(t, c, flumetest.Events(30, 10))
	committing(t, taking(t, c, 10))
	disk.damaged = 10
	if got := drained(t, c); len(got) > 0 {
		t.Errorf("%d events came", len(got))
	}
	putting(t, c, flumetest.Events(40, 10))
	if c.held != 10 {
		t.Errorf("after that %d events are in memory", c.held)
	}
	want(t, drained(t, c), flumetest.Events(40, 10))
}

// A transaction costs a few allocations, whatever its size.
func TestAllocations(t *testing.T) {
	c := opened(t, vfs.NewMemory(), "memoryCapacity = 1000")
	defer closing(t, c)
	b := flumetest.Events(0, 500)
	ended := over()
	if n := testing.AllocsPerRun(200, func() {
		putting(t, c, b)
		tx, err := c.Take(ended, flume.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		committing(t, tx)
	}); n > 6 {
		t.Errorf("a put and a take of 500 events take %v allocations", n)
	}
}

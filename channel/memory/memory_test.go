package memory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Channel(t, func(t testing.TB, settings ...string) flume.Channel {
		return flumetest.Open(t, Kind, settings...)
	}, flumetest.ToHead)
}

func TestSettings(t *testing.T) {
	bound := func(settings ...string) (*Settings, string) {
		plan, problems := Kind.Bind(flumetest.Section(t, settings...))
		return plan.Settings.(*Settings), problems.String()
	}
	usual := Settings{Capacity: 100, TransactionCapacity: 100, KeepAlive: 3 * time.Second, ByteCapacity: unset, BufferPercentage: 20, SlotSize: 100, capacityKey: "capacity"}
	if s, problems := bound(); *s != usual || problems != "" {
		t.Errorf("the defaults are %+v, %s", *s, problems)
	}
	s, problems := bound("capacity = many", "transactionCapacity = 0", "keep-alive = 3s", "byteCapacity = 80%", "byteCapacityBufferPercentage = x")
	if *s != usual {
		t.Errorf("values that cannot be read leave %+v", *s)
	}
	for i, want := range []string{
		`a1.components.x1.capacity: "many" is not a number; the default 100 is taken`,
		`a1.components.x1.transactionCapacity: 0 is less than 1; the default 100 is taken`,
		`a1.components.x1.keep-alive: "3s" is not a number of seconds; the default 3 is taken`,
		`a1.components.x1.byteCapacity: "80%" is not a number; the default an eighth of the memory that the process may use, at least 16 MiB is taken`,
		`a1.components.x1.byteCapacityBufferPercentage: "x" is not a number; the default 20 is taken`,
	} {
		if want = fmt.Sprintf("flume.conf:%d: %s\n", i+1, want); !strings.Contains(problems, want) {
			t.Errorf("no %q in\n%s", want, problems)
		}
	}
	for setting, want := range map[string]string{
		"keep-alive = -1":                    "keep-alive: -1 is negative: a put does not wait for room, as with 0",
		"byteCapacity = -7":                  "byteCapacity: -7 is negative: the channel holds about 200 GB, as with 0, so only capacity bounds it",
		"byteCapacityBufferPercentage = 100": "byteCapacityBufferPercentage: 100 leaves no room for bodies: their slots are not bounded then, as in Flume; bodies and headers together are, by byteCapacity",
		"byteCapacityBufferPercentage = -1":  "byteCapacityBufferPercentage: -1 is negative: nothing is kept for headers; bodies and headers together are bounded by byteCapacity",
		"byteCapacityBufferPercentage = 99":  "",
		"byteCapacity = 0":                   "",
		"keep-alive = 0":                     "",
	} {
		if want != "" {
			want = "flume.conf:1: a1.components.x1." + want + "\n"
		}
		if _, problems := bound(setting); problems != want {
			t.Errorf("%s: %s, want %s", setting, problems, want)
		}
	}
	if _, problems := bound("capacity = 50"); problems !=
		"flume.conf:1: a1.components.x1.transactionCapacity: 100 events are more than the capacity of the channel, 50; lower transactionCapacity or raise capacity\n" {
		t.Error(problems)
	}
	if _, problems := bound("capacity = -1", "transactionCapacity = 101"); !strings.Contains(problems, "101 events are more than the capacity of the channel, 100") {
		t.Error(problems)
	}
	plan, _ := Kind.Bind(flumetest.Section(t, "capacity = 500", "transactionCapacity = 70"))
	if plan.Limits.TransactionCapacity != 70 {
		t.Errorf("the transaction capacity is said to be %d", plan.Limits.TransactionCapacity)
	}
}

func TestRoom(t *testing.T) {
	for _, x := range []struct {
		bytes        int64
		percentage   int
		slots, limit int64
	}{
		{800000, 20, 6400, 800000},
		{800000, 0, 8000, 800000},
		{800000, -100, 16000, 800000},
		{125, 20, 1, 125},
		{124, 20, endless, 124}, // less than one slot: Flume counts no bodies
		{1000, 100, endless, 1000},
		{0, 20, endless, endless * 100},
		{-5, 20, endless, endless * 100},
		{math.MaxInt64, 20, endless, math.MaxInt64},
	} {
		s := Settings{Capacity: 7, ByteCapacity: x.bytes, BufferPercentage: x.percentage, SlotSize: 100}
		if got := s.limit(); got.room != (room{7, x.slots, x.limit}) {
			t.Errorf("byteCapacity %d with %d %% gives %v", x.bytes, x.percentage, got)
		}
	}
	b := flume.Batch{
		{},
		{Body: make([]byte, 100)},
		{Body: make([]byte, 101), Headers: flume.Headers{{Key: "key", Value: "value"}}},
	}
	if got := measure(b, 100); got != (room{3, 4, 209}) {
		t.Errorf("measured %v", got)
	}
	if got := measure(b, 50); got != (room{3, 6, 209}) {
		t.Errorf("in slots of 50, measured %v", got)
	}
}

func TestBytes(t *testing.T) {
	c := flumetest.Open(t, Kind, "byteCapacity = 1000", "keep-alive = 0")
	defer c.Close()
	put := func(body, header int) error {
		tx, err := c.Put(t.Context(), flume.Batch{{Body: make([]byte, body), Headers: flume.Headers{{Key: strings.Repeat("k", header)}}}})
		if err != nil {
			return err
		}
		return tx.Commit(t.Context())
	}
	for _, x := range []struct {
		body, header int
		want         error
		says         string
	}{
		{801, 0, flume.ErrTooLarge, "it has 1 events of 801 bytes, the channel holds at most 800 bytes of bodies in slots of 100 (byteCapacity less byteCapacityBufferPercentage)"},
		{800, 201, flume.ErrTooLarge, "it has 1 events of 1001 bytes, the channel holds at most 1000 bytes (byteCapacity)"},
		{401, 0, nil, ""},
		{300, 0, nil, ""},
		{1, 0, flume.ErrFull, "it holds 2 events of 701 bytes, at most 800 bytes of bodies in slots of 100"},
	} {
		err := put(x.body, x.header)
		if !errors.Is(err, x.want) || x.want != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("putting a body of %d and a header of %d: %v", x.body, x.header, err)
		}
	}
	tx, err := c.Take(t.Context(), flume.Limits{Events: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := put(1, 0); !errors.Is(err, flume.ErrFull) {
		t.Errorf("what is taken and not committed still has its bytes, but: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := put(1, 698); err != nil {
		t.Errorf("699 bytes have room beside 300: %v", err)
	}
	if err := put(2, 0); !errors.Is(err, flume.ErrFull) || !strings.Contains(err.Error(), "999 bytes, at most 1000 bytes (byteCapacity)") {
		t.Errorf("with 999 bytes of headers and bodies: %v", err)
	}
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := flumetest.Open(t, Kind, "capacity = 10", "transactionCapacity = 10", "keep-alive = 7")
		defer c.Close()
		commit(t, c, 10)
		start := time.Now()
		_, err := c.Put(t.Context(), flumetest.Events(0, 2))
		if !errors.Is(err, flume.ErrFull) || time.Since(start) != 7*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err.Error() != "the channel is full: it holds 10 events of 50 bytes, at most 10 events (capacity); no room came free for 2 events of 6 bytes within 7s" {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = c.Put(ctx, flumetest.Events(0, 2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A large put that waits is not overtaken by small ones, and one that gives up lets them go on.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := flumetest.Open(t, Kind, "capacity = 10", "transactionCapacity = 10", "keep-alive = 10")
		defer c.Close()
		commit(t, c, 10)
		var mu sync.Mutex
		var order []int
		ended := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, n)
		}
		put := func(n int) {
			tx, err := c.Put(t.Context(), flumetest.Events(0, n))
			if errors.Is(err, flume.ErrFull) {
				ended(-n)
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			ended(n)
			if err := tx.Commit(t.Context()); err != nil {
				t.Error(err)
			}
		}
		go put(9)
		synctest.Wait()
		time.Sleep(time.Second)
		go put(1)
		synctest.Wait()
		for range 9 {
			drop(t, c, 1)
			synctest.Wait()
		}
		if fmt.Sprint(order) != "[9]" {
			t.Errorf("with nine places free: %v", order)
		}
		drop(t, c, 1)
		synctest.Wait()
		if fmt.Sprint(order) != "[9 1]" {
			t.Errorf("with ten places free: %v", order)
		}
		order = nil
		drop(t, c, 2)
		go put(3)
		synctest.Wait()
		time.Sleep(time.Second)
		go put(2)
		synctest.Wait()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		slices.Sort(order) // the two end at the same moment
		if fmt.Sprint(order) != "[-3 2]" {
			t.Errorf("when the first gives up: %v", order)
		}
	})
}

func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := flumetest.Open(t, Kind)
		defer c.Close()
		for _, x := range []struct {
			limits flume.Limits
			want   int
			after  time.Duration
		}{ // one event comes each second, the first at once
			{flume.Limits{Events: 3, Linger: time.Minute}, 3, 2 * time.Second},
			{flume.Limits{Events: 3, Linger: 1500 * time.Millisecond}, 2, 1500 * time.Millisecond},
			{flume.Limits{Bytes: 10, Linger: time.Minute}, 2, time.Second},
			{flume.Limits{Linger: time.Minute}, 10, time.Minute},
			{flume.Limits{Events: 3}, 1, 0},
		} {
			go func() {
				for i := range 10 {
					commitAt(t, c, 10+i, 1)
					time.Sleep(time.Second)
				}
			}()
			start := time.Now()
			tx, err := c.Take(t.Context(), x.limits)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(tx.Batch()); n != x.want || time.Since(start) != x.after {
				t.Errorf("%+v gave %d events after %v", x.limits, n, time.Since(start))
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			drop(t, c, 100)
		}
	})
}

// Two takers share what comes: none sleeps while there are events.
func TestTakersWakeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := flumetest.Open(t, Kind)
		defer c.Close()
		got := make(chan int, 3)
		for range 3 {
			go func() {
				tx, err := c.Take(t.Context(), flume.Limits{Events: 2})
				if err != nil {
					t.Error(err)
					return
				}
				got <- len(tx.Batch())
			}()
		}
		synctest.Wait()
		commit(t, c, 5)
		synctest.Wait()
		if len(got) != 3 {
			t.Errorf("%d takers of three have something", len(got))
		}
	})
}

func TestCloseWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := flumetest.Open(t, Kind, "capacity = 100")
		var ended sync.WaitGroup
		for range 2 {
			ended.Go(func() {
				if _, err := c.Take(t.Context(), flume.Limits{}); !errors.Is(err, errClosed) {
					t.Errorf("Take returned %v", err)
				}
			})
		}
		synctest.Wait()
		put, err := c.Put(t.Context(), flumetest.Events(0, 100))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			ended.Go(func() {
				if _, err := c.Put(t.Context(), flumetest.Events(0, 1)); !errors.Is(err, errClosed) {
					t.Errorf("Put returned %v", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		ended.Wait()
		if time.Since(start) != 0 {
			t.Errorf("those who waited were told after %v", time.Since(start))
		}
		if err := put.Commit(t.Context()); !errors.Is(err, errClosed) {
			t.Errorf("committing to a closed channel returned %v", err)
		}
		put.Rollback()
	})
}

func TestCounters(t *testing.T) {
	env := flumetest.NewEnv()
	c := flumetest.OpenIn(t, env, Kind, "capacity = 200")
	if env.Count("ChannelCapacity") != 200 {
		t.Errorf("ChannelCapacity is %d", env.Count("ChannelCapacity"))
	}
	size := func(want int64) {
		t.Helper()
		if got := env.Count("ChannelSize"); got != want {
			t.Errorf("ChannelSize is %d instead of %d", got, want)
		}
	}
	commit(t, c, 7)
	size(7)
	tx, err := c.Take(t.Context(), flume.Limits{Events: 3})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, c, 1)
	size(5)
	tx.Rollback()
	size(8)
	drop(t, c, 2)
	size(6)
	if !c.(flume.Volatile).Volatile() {
		t.Error("a memory channel is volatile")
	}
	tx, err = c.Take(t.Context(), flume.Limits{Events: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	tx.Rollback()
	if log := env.Logged(); log != "" { // the agent says what is lost
		t.Error(log)
	}
}

// A batch is let go when its last event has left.
func TestMemoryIsReleased(t *testing.T) {
	c := flumetest.Open(t, Kind)
	defer c.Close()
	bodies := func() weak.Pointer[[1 << 20]byte] {
		body := new([1 << 20]byte)
		tx, err := c.Put(t.Context(), flume.Batch{{Body: body[:]}, {Body: body[:1]}})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		return weak.Make(body)
	}()
	drop(t, c, 1)
	drop(t, c, 1)
	runtime.GC()
	if bodies.Value() != nil {
		t.Error("a drained channel still holds a body")
	}
}

func TestMemoryOfTheProcess(t *testing.T) {
	const gib = 1 << 30
	for _, x := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is said", nil, assumed},
		{"a machine", map[string]string{"proc/meminfo": "MemFree: 1 kB\nMemTotal:       8388608 kB\n"}, 8 * gib},
		{"a container", map[string]string{
			"proc/meminfo": "MemTotal: 8388608 kB\n", "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n",
		}, gib / 2},
		{"a service in a slice", map[string]string{
			"proc/meminfo": "MemTotal: 8388608 kB\n", "proc/self/cgroup": "0::/system.slice/flume.service\n",
			"sys/fs/cgroup/system.slice/flume.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "2147483648\n",
		}, 2 * gib},
		{"the first version of control groups", map[string]string{
			"proc/meminfo": "MemTotal: 8388608 kB\n", "proc/self/cgroup": "12:cpu,cpuacct:/x\n4:memory:/docker/abc\nnonsense\n",
			"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, gib},
	} {
		t.Run(x.name, func(t *testing.T) {
			root := t.TempDir() + "/"
			for name, text := range x.files {
				if err := os.MkdirAll(filepath.Dir(root+name), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(root+name, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if got := memory(root); got != x.want {
				t.Errorf("%d instead of %d", got, x.want)
			}
		})
	}
	s := Settings{ByteCapacity: unset, SlotSize: 100}
	if got := s.limit(); got.bytes < least {
		t.Errorf("the default is %d bytes", got.bytes)
	}
}

// A transaction costs a few allocations, whatever its size.
func TestAllocations(t *testing.T) {
	for _, x := range []struct{ put, take int }{{1, 1}, {100, 100}, {5000, 5000}, {100, 1000}} {
		c := flumetest.Open(t, Kind, "capacity = 5000", "transactionCapacity = 5000")
		b := flumetest.Events(0, x.put)
		rounds := max(1, x.take/x.put)
		got := testing.AllocsPerRun(100, func() {
			for range rounds {
				commitBatch(t, c, b)
			}
			tx, err := c.Take(t.Context(), flume.Limits{Events: x.take})
			if err == nil {
				err = tx.Commit(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
		if most := float64(rounds + 2); got > most {
			t.Errorf("%d puts of %d events and a take cost %v allocations", rounds, x.put, got)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func commitBatch(t testing.TB, c flume.Channel, b flume.Batch) {
	tx, err := c.Put(t.Context(), b)
	if err != nil {
		t.Error(err)
		return
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
}

func commitAt(t testing.TB, c flume.Channel, first, n int) {
	commitBatch(t, c, flumetest.Events(first, n))
}

func commit(t testing.TB, c flume.Channel, n int) { commitAt(t, c, 10, n) }

func drop(t testing.TB, c flume.Channel, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tx, err := c.Take(ctx, flume.Limits{Events: n})
	if errors.Is(err, flume.ErrEmpty) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	if err := tx.Commit(ctx); err != nil {
		t.Error(err)
	}
}

// A batch of 100 events with four headers and bodies of 500 bytes goes in and out.
func BenchmarkTransaction(b *testing.B) {
	for _, events := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			c := flumetest.Open(b, Kind, "capacity = 10000", "transactionCapacity = 10000")
			batch := make(flume.Batch, events)
			for i := range batch {
				batch[i] = flume.Event{Body: make([]byte, 500), Headers: flume.Headers{
					{Key: "topic", Value: "test3"}, {Key: "partition", Value: "0"}, {Key: "offset", Value: "123456"}, {Key: "timestamp", Value: "1700000000000"},
				}}
			}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				put, err := c.Put(ctx, batch)
				if err != nil {
					b.Fatal(err)
				}
				if err := put.Commit(ctx); err != nil {
					b.Fatal(err)
				}
				take, err := c.Take(ctx, flume.Limits{Events: events})
				if err != nil {
					b.Fatal(err)
				}
				if err := take.Commit(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// One goroutine puts and another takes, 100 events at a time.
func BenchmarkPipe(b *testing.B) {
	c := flumetest.Open(b, Kind, "capacity = 10000")
	ctx := b.Context()
	batch := flumetest.Events(0, 100)
	done := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			tx, err := c.Put(ctx, batch)
			if err == nil {
				err = tx.Commit(ctx)
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for left := b.N * 100; left > 0; {
		tx, err := c.Take(ctx, flume.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		left -= len(tx.Batch())
		if err := tx.Commit(ctx); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/vfs"
)

// An inbox is a Sender that keeps what it is given.
type inbox struct {
	mu      sync.Mutex
	batches [][]string
	times   []time.Time
	answer  func(b flume.Batch) error // nil: never fails
	closed  bool
}

func (in *inbox) Append(ctx context.Context, e flume.Event) error {
	return in.AppendBatch(ctx, flume.Batch{e})
}

func (in *inbox) AppendBatch(ctx context.Context, b flume.Batch) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	delivered := len(b)
	var err error
	if in.answer != nil {
		if err = in.answer(b); err != nil {
			delivered = 0
		}
	}
	var part *BatchError
	if errors.As(err, &part) {
		delivered = part.Delivered
	}
	if delivered > 0 {
		var bodies []string
		for i := range delivered {
			bodies = append(bodies, string(b[i].Body))
		}
		in.batches = append(in.batches, bodies)
		in.times = append(in.times, time.Now())
	}
	return err
}

func (in *inbox) Close() error { in.closed = true; return nil }

func (in *inbox) answers(f func(flume.Batch) error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.answer = f
}

func (in *inbox) all() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Concat(in.batches...)
}

func refuses(flume.Batch) error { return &rpc.StatusError{Status: rpc.Failed} }

func run(first, n, size int) flume.Batch {
	b := make(flume.Batch, n)
	for i := range b {
		body := fmt.Appendf(nil, "%06d", first+i)
		b[i] = flume.Event{Headers: flume.Headers{{Key: "n", Value: strconv.Itoa(first + i)}}, Body: append(body, bytes.Repeat([]byte("x"), max(size-6, 0))...)}
	}
	return b
}

func numbers(bodies []string) []string {
	out := make([]string, len(bodies))
	for i := range bodies {
		out[i] = bodies[i][:6]
	}
	return out
}

func wantNumbers(t *testing.T, got []string, first, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%06d", first+i))
	}
	if got := numbers(got); !slices.Equal(got, want) {
		t.Errorf("%d events, %.80q… instead of %d from %d on", len(got), strings.Join(got, " "), n, first)
	}
}

// buffer opens one in a file system of memory.
func buffer(t *testing.T, on vfs.FS, to Sender, o DurableOptions) *Durable {
	t.Helper()
	o.Dir = "/buffer"
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 10_000 // a checkpoint has room for all of them
	}
	d, err := openDurable(on, to, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func closes(t *testing.T, d *Durable) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func sends(t *testing.T, d *Durable, b flume.Batch) {
	t.Helper()
	if err := d.AppendBatch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// A batch goes when it is long enough, large enough, or has waited.
func TestDurableBatches(t *testing.T) {
	for _, x := range []struct {
		name    string
		o       DurableOptions
		send    []int // events of each send, one after the other, a second apart
		size    int
		batches []int
		after   []time.Duration // since the first send
	}{
		{"at once", DurableOptions{}, []int{3, 1, 250}, 10, []int{3, 1, 100, 100, 50}, []time.Duration{0, 1, 2, 2, 2}},
		{"by count", DurableOptions{BatchEvents: 5, BatchWait: time.Hour}, []int{3, 1, 1, 4, 2}, 10, []int{5, 5}, []time.Duration{2, 4}},
		{"by bytes", DurableOptions{BatchEvents: 50, BatchBytes: 1000, BatchWait: time.Hour}, []int{1, 1, 1, 3}, 300, []int{3}, []time.Duration{2}},
		{"by time", DurableOptions{BatchEvents: 50, BatchWait: 2500 * time.Millisecond}, []int{1, 1, 1, 1}, 10, []int{3, 1}, []time.Duration{2, 5}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := &inbox{}
				d := buffer(t, vfs.NewMemory(), in, x.o)
				begun := time.Now()
				sent := 0
				for i, n := range x.send {
					if i > 0 {
						time.Sleep(time.Second)
					}
					sends(t, d, run(sent, n, x.size))
					sent += n
				}
				time.Sleep(10 * time.Second)
				in.mu.Lock()
				var got []int
				var after []time.Duration
				for i, b := range in.batches {
					got = append(got, len(b))
					after = append(after, in.times[i].Sub(begun)/time.Second)
				}
				in.mu.Unlock()
				if len(got) < len(x.batches) || !slices.Equal(got[:len(x.batches)], x.batches) || !slices.Equal(after[:len(x.after)], x.after) {
					t.Errorf("batches of %v events after %v s instead of %v, %v", got, after, x.batches, x.after)
				}
				if err := d.Drain(t.Context()); err != nil {
					t.Error(err)
				}
				wantNumbers(t, in.all(), 0, sent)
				if s := d.Stats(); s.Delivered != int64(sent) || s.Accepted != int64(sent) || s.Waiting != 0 || s.Bytes != 0 {
					t.Errorf("%+v", s)
				}
				if !in.closed {
					t.Error("the sender is open")
				}
			})
		})
	}
}

// A sender that waits for room goes on when there is some, or ends with its context.
func TestDurableWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{answer: refuses}
		d := buffer(t, vfs.NewMemory(), in, DurableOptions{MaxBytes: 1 << 20, MaxBackoff: time.Second})
		sent := 0
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := d.AppendBatch(ctx, run(sent, 10, 1000))
			cancel()
			if err != nil {
				if !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				break
			}
			sent += 10
		}
		s := d.Stats()
		if s.Bytes > 1<<20 || s.Bytes < 1<<20-15_000 || s.Waiting != sent || s.Failures == 0 {
			t.Errorf("%+v", s)
		}
		var wait sync.WaitGroup
		for i := range 3 {
			wait.Go(func() {
				if err := d.AppendBatch(context.Background(), run(900_000+10*i, 10, 1000)); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Minute)
		in.answers(nil)
		wait.Wait()
		if err := d.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		got := in.all()
		wantNumbers(t, got[:sent], 0, sent)
		if len(got) != sent+30 {
			t.Errorf("%d events instead of %d", len(got), sent+30)
		}
		if err := d.AppendBatch(t.Context(), run(0, 1, 1)); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// With DropOldest no send waits, the newest are kept, and what was given up is counted and said.
func TestDurableDropsOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{answer: refuses}
		var log bytes.Buffer
		mem := vfs.NewMemory()
		o := DurableOptions{MaxBytes: 1 << 20, Full: DropOldest, Log: slog.New(slog.NewTextHandler(&log, nil))}
		d := buffer(t, mem, in, o)
		const sent = 8000
		for n := 0; n < sent; n += 50 {
			sends(t, d, run(n, 50, 500))
			if n%1000 == 0 {
				time.Sleep(10 * time.Second)
			}
		}
		s := d.Stats()
		if s.Dropped == 0 || s.Waiting+int(s.Dropped) != sent || s.Bytes > 1<<20 || s.Bytes < 1<<20-1<<17 {
			t.Errorf("%+v", s)
		}
		if used := mem.Used(); used > 32<<20 {
			t.Errorf("%d bytes of disk", used)
		}
		closes(t, d)
		if n := strings.Count(log.String(), "are given up"); n == 0 || n > 8 || !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("it was said %d times:\n%s", n, log.String())
		}
		// The next run takes the log's length for what is in it, which is a little more: records of what was given up lie between.
		d = buffer(t, mem, in, o)
		sends(t, d, run(sent, 1, 500))
		again := d.Stats()
		if again.Dropped > int64(s.Waiting/10) {
			t.Errorf("%+v after %+v", again, s)
		}
		in.answers(nil)
		if err := d.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		got := numbers(in.all())
		// Beside a batch that was on its way when room was made the next ones went.
		if first := fmt.Sprintf("%06d", sent-len(got)-usualBatch); len(got) != again.Waiting || !slices.IsSorted(got) || got[0] < first || got[len(got)-1] != fmt.Sprintf("%06d", sent) {
			t.Errorf("%d events of %d, from %s to %s", len(got), again.Waiting, got[0], got[len(got)-1])
		}
	})
}

// What a receiver has stored of a batch is not sent again.
func TestDurableDeliveredInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		in := &inbox{answer: func(b flume.Batch) error {
			calls++
			if calls%3 != 0 && len(b) > 1 {
				return &BatchError{len(b) / 2, errors.New("half")}
			}
			return nil
		}}
		d := buffer(t, vfs.NewMemory(), in, DurableOptions{})
		sends(t, d, run(0, 500, 10))
		if err := d.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		wantNumbers(t, in.all(), 0, 500)
	})
}

// An event that cannot be carried does not hold up the others; one that is known not to be is refused.
func TestDurableTooLarge(t *testing.T) {
	dir := t.TempDir()
	o := DurableOptions{Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	in := &inbox{answer: func(b flume.Batch) error {
		for i := range b {
			if string(b[i].Body[:6]) == "000007" {
				return &BatchError{i, fmt.Errorf("%w: no", ErrTooLarge)}
			}
		}
		return nil
	}}
	d, err := OpenDurable(in, o)
	if err != nil {
		t.Fatal(err)
	}
	sends(t, d, run(0, 20, 10))
	if err := d.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if s := d.Stats(); s.Delivered != 19 || s.Rejected != 1 {
		t.Errorf("%+v", s)
	}
	files, err := filepath.Glob(filepath.Join(dir, "rejected", "*.avro"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || !bytes.Contains(text, []byte("000007")) {
		t.Error("the event is not in", files[0], err)
	}

	c, err := Open(Options{Address: "127.0.0.1:1", Protocol: ThriftCompact, MaxCall: 1000})
	if err != nil {
		t.Fatal(err)
	}
	d, err = OpenDurable(c, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AppendBatch(t.Context(), run(0, 2, 2000)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if s := d.Stats(); s.Waiting != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
	closes(t, d)
}

// Flush does not wait for a batch to fill, nor for what comes later; its end is that of its context.
func TestDurableFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		d := buffer(t, vfs.NewMemory(), in, DurableOptions{BatchWait: time.Hour})
		sends(t, d, run(0, 3, 10))
		if err := d.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		wantNumbers(t, in.all(), 0, 3)
		in.answers(refuses)
		sends(t, d, run(3, 3, 10))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := d.Drain(ctx); err == nil || !strings.HasPrefix(err.Error(), "3 events stay in the buffer /buffer") {
			t.Error(err)
		}
		if err := d.Flush(t.Context()); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// What was sent before the power goes is delivered by the next run; what the last one had delivered comes again at most
// as one batch beyond what no sync had covered.
func TestDurablePowerLoss(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			mem := vfs.NewMemory()
			in := &inbox{}
			sent := 0
			for range 4 {
				in.answers(nil)
				if r.IntN(2) == 0 {
					in.answers(refuses)
				}
				d := buffer(t, mem, in, DurableOptions{BatchEvents: 20, Log: slog.New(slog.DiscardHandler)})
				for range r.IntN(20) {
					n := 1 + r.IntN(30)
					sends(t, d, run(sent, n, r.IntN(400)))
					sent += n
					if r.IntN(4) == 0 {
						time.Sleep(time.Duration(r.IntN(40)) * time.Second)
					}
				}
				in.answers(refuses) // what is delivered from here on would hide that it is lost
				left := mem.Killed()
				if r.IntN(2) == 0 {
					left = mem.Crash(r)
				}
				closes(t, d)
				mem = left
			}
			in.answers(nil)
			d := buffer(t, mem, in, DurableOptions{Log: slog.New(slog.DiscardHandler)})
			if err := d.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			got := slices.Sorted(slices.Values(in.all()))
			got = slices.Compact(numbers(got))
			wantNumbers(t, got, 0, sent)
		})
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

// One process has a buffer; another is told which.
func TestDurableInUse(t *testing.T) {
	if dir := os.Getenv("SLUICE_TEST_BUFFER"); dir != "" {
		_, err := OpenDurable(&inbox{}, DurableOptions{Dir: dir})
		fmt.Println(errors.Is(err, ErrInUse), err)
		return
	}
	dir := t.TempDir()
	d, err := OpenDurable(&inbox{}, DurableOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer closes(t, d)
	if _, err := OpenDurable(&inbox{}, DurableOptions{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Error("the same process opens it twice:", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDurableInUse$", "-test.count=1")
	cmd.Env = append(os.Environ(), "SLUICE_TEST_BUFFER="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true ") || !strings.Contains(string(out), dir) ||
		!strings.Contains(string(out), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestDurableRefuses(t *testing.T) {
	for _, x := range []struct {
		o    DurableOptions
		want string
	}{
		{DurableOptions{}, "needs a directory"},
		{DurableOptions{Dir: "x", MaxBytes: 100}, "100 bytes"},
		{DurableOptions{Dir: "x", Full: 7}, "7 says not"},
	} {
		if _, err := OpenDurable(&inbox{}, x.o); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v", x.o, err)
		}
	}
	d := buffer(t, vfs.NewMemory(), &inbox{}, DurableOptions{MaxBytes: 1 << 20, MaxEvents: 10})
	defer closes(t, d)
	for _, b := range []flume.Batch{run(0, 11, 10), run(0, 1, 2<<20)} {
		if err := d.AppendBatch(t.Context(), b); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
	}
	if err := d.AppendBatch(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// A receiver that does not answer holds up senders that drop the oldest no longer than one call lasts, and the disk has an end.
func TestDurableDropsOldestBesideADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMemory()
		d := buffer(t, mem, &mute{}, DurableOptions{MaxBytes: 1 << 20, Full: DropOldest, MaxBackoff: time.Second, Log: slog.New(slog.DiscardHandler)})
		begun := time.Now()
		const sent = 16_000
		var most int64
		for n := 0; n < sent; n += 100 {
			sends(t, d, run(n, 100, 500))
			most = max(most, mem.Used())
		}
		s := d.Stats()
		if s.Waiting+int(s.Dropped) != sent || s.Dropped < sent/2 || most > 24<<20 {
			t.Errorf("%+v, %d bytes of disk", s, most)
		}
		if took := time.Since(begun); took == 0 || took > 20*(20+2)*time.Second {
			t.Errorf("it took %v", took)
		}
		closes(t, d)
	})
}

// mute answers nothing for 20 seconds, as a receiver that is stuck.
type mute struct{}

func (*mute) Append(context.Context, flume.Event) error { return nil }

func (*mute) AppendBatch(ctx context.Context, _ flume.Batch) error {
	select {
	case <-time.After(20 * time.Second):
		return errors.New("timed out")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (*mute) Close() error { return nil }

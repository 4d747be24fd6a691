package flumetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
)

// OpenChannel opens a new, empty channel with settings such as "capacity = 10". The laws set capacity,
// transactionCapacity and keep-alive and close what they open.
type OpenChannel func(t testing.TB, settings ...string) flume.Channel

// Back is where a channel puts events that are rolled back.
type Back int

const (
	ToHead  Back = iota // before everything else
	InPlace             // where they were: those that were taken before them and have come back are first
)

// Channel runs the laws of a channel that has a capacity in events.
func Channel(t *testing.T, open OpenChannel, back Back) { channel(t, open, back, true) }

// Boundless runs the laws of a channel that has none: those settings are for it to leave out, and a put always finds room.
func Boundless(t *testing.T, open OpenChannel, back Back) { channel(t, open, back, false) }

func channel(t *testing.T, open OpenChannel, back Back, bounded bool) {
	laws := []struct {
		name string
		test func(t *testing.T, open OpenChannel)
	}{
		{"first in, first out", inOrder},
		{"an event comes out as it went in", unchanged},
		{"nothing is there before commit", commitShows},
		{"a put rolled back leaves nothing and takes no room", putRollback},
		{"a take rolled back is at the head again, in order", func(t *testing.T, open OpenChannel) { takeRollback(t, open, back) }},
		{"rollback after commit does nothing", func(t *testing.T, open OpenChannel) { rollbackAfterCommit(t, open, bounded) }},
		{"split", func(t *testing.T, open OpenChannel) { split(t, open, bounded) }},
		{"a take keeps to its limits", limits},
		{"an empty channel says so when the context has ended", empty},
		{"a take waits for a put", takeWaits},
		{"a take lingers for more", takeLingers},
		{"close wakes those who wait for events", closeWakesTakes},
		{"many at once lose and double nothing", concurrent},
		{"one putter and one taker keep the order", ordered},
		{"a model", func(t *testing.T, open OpenChannel) { model(t, open, back, bounded) }},
	}
	if bounded {
		laws = append(laws, []struct {
			name string
			test func(t *testing.T, open OpenChannel)
		}{
			{"a take keeps to the transaction capacity, a put may be larger", transactionCapacity},
			{"a full channel says so", full},
			{"what never fits is refused at once", tooLarge},
			{"a put waits for room", putWaits},
			{"close wakes those who wait for room", closeWakesPuts},
		}...)
	}
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) {
			law.test(t, open)
			goleak.VerifyNone(t)
		})
	}
}

func closing(t testing.TB, c flume.Channel) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// putting puts and commits.
func putting(t testing.TB, c flume.Channel, b flume.Batch) {
	t.Helper()
	tx, err := c.Put(context.Background(), b)
	if err != nil {
		t.Fatalf("putting %d events: %v", len(b), err)
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatalf("committing a put: %v", err)
	}
}

// taking takes without waiting.
func taking(t testing.TB, c flume.Channel, events int) flume.Transaction {
	t.Helper()
	tx, err := c.Take(ended(), flume.Limits{Events: events})
	if err != nil {
		t.Fatalf("taking up to %d events: %v", events, err)
	}
	return tx
}

// drained takes and commits all that is there.
func drained(t testing.TB, c flume.Channel) flume.Batch {
	t.Helper()
	var all flume.Batch
	for {
		tx, err := c.Take(ended(), flume.Limits{})
		if errors.Is(err, flume.ErrEmpty) {
			return all
		}
		if err != nil {
			t.Fatalf("taking: %v", err)
		}
		if len(tx.Batch()) == 0 {
			t.Fatal("a take returned an empty batch")
		}
		all = append(all, tx.Batch()...)
		if err := tx.Commit(context.Background()); err != nil {
			t.Fatalf("committing a take: %v", err)
		}
	}
}

func want(t testing.TB, got, want flume.Batch) {
	t.Helper()
	if err := same(got, want); err != nil {
		t.Fatal(err)
	}
}

func inOrder(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 1000", "transactionCapacity = 100")
	defer closing(t, c)
	var in flume.Batch
	for _, n := range []int{1, 2, 50, 1, 1, 100, 3, 99} {
		b := Events(len(in), n)
		in = append(in, b...)
		putting(t, c, b)
	}
	var out flume.Batch
	for _, n := range []int{1, 1, 60, 7, 100, 2, 100} {
		tx := taking(t, c, n)
		out = append(out, tx.Batch()...)
		if err := tx.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	want(t, append(out, drained(t, c)...), in)
}

func unchanged(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 10", "transactionCapacity = 10")
	defer closing(t, c)
	in := flume.Batch{
		{Body: []byte{}},
		{Body: []byte{0, 0xff, '\n', 0x80}},
		{Headers: flume.Headers{{Key: "b", Value: ""}, {Key: "a", Value: "Łódź"}, {Key: "", Value: "\xff"}}, Body: []byte("x")},
		{Headers: flume.Headers{{Key: "k", Value: "v"}}, Body: []byte{}},
	}
	putting(t, c, in.Clone())
	out := drained(t, c)
	for i := range out { // Java's map, in which some channels keep headers, has no order
		slices.SortFunc(out[i].Headers, byKey)
	}
	slices.SortFunc(in[2].Headers, byKey)
	want(t, out, in)
}

func byKey(a, b flume.Header) int {
	if a.Key < b.Key {
		return -1
	}
	return 1
}

func commitShows(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 10", "transactionCapacity = 10")
	defer closing(t, c)
	tx, err := c.Put(context.Background(), Events(0, 3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Take(ended(), flume.Limits{}); !errors.Is(err, flume.ErrEmpty) {
		t.Fatalf("before commit, Take returned %v", err)
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	want(t, drained(t, c), Events(0, 3))
}

func putRollback(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 4", "transactionCapacity = 4", "keep-alive = 0")
	defer closing(t, c)
	for range 3 {
		tx, err := c.Put(context.Background(), Events(0, 4))
		if err != nil {
			t.Fatal(err)
		}
		tx.Rollback()
		tx.Rollback()
	}
	putting(t, c, Events(4, 4))
	want(t, drained(t, c), Events(4, 4))
}

func takeRollback(t *testing.T, open OpenChannel, back Back) {
	c := open(t, "capacity = 20", "transactionCapacity = 20")
	defer closing(t, c)
	putting(t, c, Events(0, 3))
	putting(t, c, Events(3, 3))
	for _, n := range []int{1, 2, 3, 4, 6} {
		tx := taking(t, c, n)
		want(t, tx.Batch(), Events(0, n))
		tx.Rollback()
		tx.Rollback()
	}
	putting(t, c, Events(6, 2))
	second := func() flume.Transaction {
		first := taking(t, c, 2)
		defer first.Rollback()
		return taking(t, c, 2)
	}()
	second.Rollback() // after the first: it was further back
	out := drained(t, c)
	if back == ToHead {
		want(t, out[:4], append(Events(2, 2), Events(0, 2)...))
	} else {
		want(t, out[:4], Events(0, 4))
	}
	want(t, out[4:], Events(4, 4))
}

func rollbackAfterCommit(t *testing.T, open OpenChannel, bounded bool) {
	c := open(t, "capacity = 4", "transactionCapacity = 4", "keep-alive = 0")
	defer closing(t, c)
	tx, err := c.Put(context.Background(), Events(0, 4))
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
	take := taking(t, c, 4)
	if err := take.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	take.Rollback()
	if out := drained(t, c); len(out) > 0 {
		t.Fatalf("%d events are there again", len(out))
	}
	putting(t, c, Events(4, 4))
	if !bounded {
		return
	}
	if _, err := c.Put(context.Background(), Events(8, 1)); !errors.Is(err, flume.ErrFull) {
		t.Fatalf("a put beyond the capacity returned %v", err)
	}
}

func split(t *testing.T, open OpenChannel, bounded bool) {
	c := open(t, "capacity = 6", "transactionCapacity = 6", "keep-alive = 0")
	defer closing(t, c)
	putting(t, c, Events(0, 6))
	rest := taking(t, c, 6)
	kept := rest.Split([]int{1, 4})
	want(t, kept.Batch(), append(Events(1, 1), Events(4, 1)...))
	want(t, rest.Batch(), slices.Concat(Events(0, 1), Events(2, 2), Events(5, 1)))
	if err := rest.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	putting(t, c, Events(6, 4))
	if bounded {
		if _, err := c.Put(context.Background(), Events(10, 1)); !errors.Is(err, flume.ErrFull) {
			t.Fatalf("with two events kept and four put, one more returned %v", err)
		}
	}
	kept.Rollback()
	want(t, drained(t, c), slices.Concat(Events(1, 1), Events(4, 1), Events(6, 4)))

	putting(t, c, Events(0, 3))
	none := taking(t, c, 3)
	all := none.Split([]int{0, 1, 2})
	if len(none.Batch()) != 0 {
		t.Fatalf("%d events stayed after all were kept", len(none.Batch()))
	}
	if err := none.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	want(t, all.Batch(), Events(0, 3))
	if err := all.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	if out := drained(t, c); len(out) > 0 {
		t.Fatalf("%d events are there again", len(out))
	}
}

func limits(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 100", "transactionCapacity = 50")
	defer closing(t, c)
	var in flume.Batch
	for range 20 {
		in = append(in, flume.Event{Headers: flume.Headers{{Key: "kk", Value: "vvvv"}}, Body: []byte("body")}) // 10 bytes
	}
	putting(t, c, in[:1])
	putting(t, c, in[1:15])
	putting(t, c, in[15:])
	for _, x := range []struct {
		l    flume.Limits
		want int
	}{
		{flume.Limits{Events: 3}, 3},
		{flume.Limits{Events: 20}, 20},
		{flume.Limits{Events: 70}, 20},
		{flume.Limits{Bytes: 1}, 1},
		{flume.Limits{Bytes: 10}, 1},
		{flume.Limits{Bytes: 19}, 1},
		{flume.Limits{Bytes: 20}, 2},
		{flume.Limits{Bytes: 155}, 15},
		{flume.Limits{Bytes: 165}, 16},
		{flume.Limits{Bytes: 1000}, 20},
		{flume.Limits{Events: 5, Bytes: 35}, 3},
		{flume.Limits{Events: 2, Bytes: 35}, 2},
	} {
		tx, err := c.Take(ended(), x.l)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(tx.Batch()); n != x.want {
			t.Errorf("with %+v, %d events were taken instead of %d", x.l, n, x.want)
		}
		tx.Rollback()
	}
	want(t, drained(t, c), in)
}

func transactionCapacity(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 20", "transactionCapacity = 5")
	defer closing(t, c)
	putting(t, c, Events(0, 12))
	var out flume.Batch
	for _, n := range []int{5, 5, 2} {
		tx := taking(t, c, 0)
		if len(tx.Batch()) != n {
			t.Fatalf("%d events were taken instead of %d", len(tx.Batch()), n)
		}
		out = append(out, tx.Batch()...)
		if err := tx.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	want(t, out, Events(0, 12))
}

func full(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 10", "transactionCapacity = 10", "keep-alive = 0")
	defer closing(t, c)
	putting(t, c, Events(0, 8))
	if _, err := c.Put(context.Background(), Events(8, 3)); !errors.Is(err, flume.ErrFull) {
		t.Fatalf("three events where two have room: %v", err)
	}
	putting(t, c, Events(8, 2))
	tx := taking(t, c, 4)
	if _, err := c.Put(context.Background(), Events(10, 1)); !errors.Is(err, flume.ErrFull) {
		t.Fatalf("while a take is open its events count, but Put returned %v", err)
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	putting(t, c, Events(10, 4))
	want(t, drained(t, c), Events(4, 10))
}

func tooLarge(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 10", "transactionCapacity = 10", "keep-alive = 1000")
	defer closing(t, c)
	if _, err := c.Put(context.Background(), Events(0, 11)); !errors.Is(err, flume.ErrTooLarge) {
		t.Fatalf("eleven events where ten are the capacity: %v", err)
	}
}

func empty(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 10", "transactionCapacity = 5")
	defer closing(t, c)
	if _, err := c.Take(ended(), flume.Limits{}); !errors.Is(err, flume.ErrEmpty) {
		t.Fatalf("Take of an empty channel returned %v", err)
	}
	if _, err := c.Take(ended(), flume.Limits{Linger: time.Hour}); !errors.Is(err, flume.ErrEmpty) {
		t.Fatalf("a lingering Take of an empty channel returned %v", err)
	}
	putting(t, c, Events(0, 7))
	out := drained(t, c) // with a context that has ended
	want(t, out, Events(0, 7))

	ctx, cancel := context.WithCancel(context.Background())
	answer := make(chan error, 1)
	go func() {
		_, err := c.Take(ctx, flume.Limits{})
		answer <- err
	}()
	cancel()
	if err := soon(t, "the end of a Take", answer); !errors.Is(err, flume.ErrEmpty) {
		t.Fatalf("Take returned %v when its context ended", err)
	}
}

func takeWaits(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 10", "transactionCapacity = 10")
	defer closing(t, c)
	for i := range 100 {
		got := make(chan flume.Batch, 1)
		go func() {
			tx, err := c.Take(context.Background(), flume.Limits{})
			if err != nil {
				t.Errorf("taking: %v", err)
				got <- nil
				return
			}
			if err := tx.Commit(context.Background()); err != nil {
				t.Errorf("committing: %v", err)
			}
			got <- tx.Batch()
		}()
		putting(t, c, Events(i, 1))
		want(t, soon(t, "a take", got), Events(i, 1))
	}
}

func takeLingers(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 10", "transactionCapacity = 10")
	defer closing(t, c)
	got := make(chan flume.Batch, 1)
	go func() {
		tx, err := c.Take(context.Background(), flume.Limits{Events: 3, Linger: time.Hour})
		if err != nil {
			t.Errorf("taking: %v", err)
			got <- nil
			return
		}
		if err := tx.Commit(context.Background()); err != nil {
			t.Errorf("committing: %v", err)
		}
		got <- tx.Batch()
	}()
	for i := range 3 {
		putting(t, c, Events(i, 1))
	}
	want(t, soon(t, "a take of three", got), Events(0, 3))

	putting(t, c, Events(0, 2))
	tx, err := c.Take(context.Background(), flume.Limits{Events: 3, Linger: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	want(t, tx.Batch(), Events(0, 2))
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	putting(t, c, Events(0, 1))
	tx, err = c.Take(ended(), flume.Limits{Linger: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
}

func putWaits(t *testing.T, open OpenChannel) {
	c := open(t, "capacity = 4", "transactionCapacity = 4", "keep-alive = 1000")
	defer closing(t, c)
	putting(t, c, Events(0, 4))
	put := make(chan error, 1)
	go func() {
		tx, err := c.Put(context.Background(), Events(4, 3))
		if err == nil {
			err = tx.Commit(context.Background())
		}
		put <- err
	}()
	tx := taking(t, c, 4)
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "a put that waits for room", put); err != nil {
		t.Fatal(err)
	}
	want(t, drained(t, c), Events(4, 3))

	putting(t, c, Events(0, 4))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, err := c.Put(ctx, Events(4, 1))
		put <- err
	}()
	cancel()
	if err := soon(t, "the end of a put whose context ends", put); !errors.Is(err, context.Canceled) {
		t.Fatalf("Put returned %v when its context ended", err)
	}
	want(t, drained(t, c), Events(0, 4))
}

// closeWakesTakes closes the channel at many moments around the one at which the other begins to wait.
func closeWakesTakes(t *testing.T, open OpenChannel) {
	for moment := range 50 {
		closeAgainst(t, moment, open(t, "capacity = 4", "transactionCapacity = 4"), "a Take", func(c flume.Channel) error {
			_, err := c.Take(context.Background(), flume.Limits{})
			return err
		}, flume.ErrEmpty)
	}
}

// closeWakesPuts does so with a full channel.
func closeWakesPuts(t *testing.T, open OpenChannel) {
	for moment := range 50 {
		c := open(t, "capacity = 4", "transactionCapacity = 4", "keep-alive = 1000")
		putting(t, c, Events(0, 4))
		tx := taking(t, c, 4)
		closeAgainst(t, moment, c, "a Put", func(c flume.Channel) error {
			_, err := c.Put(context.Background(), Events(4, 4))
			return err
		}, flume.ErrFull)
		tx.Rollback()
		if _, err := c.Put(context.Background(), Events(0, 1)); err == nil {
			t.Error("a closed channel took a Put")
		}
		if _, err := c.Take(context.Background(), flume.Limits{}); err == nil {
			t.Error("a closed channel gave a Take")
		}
	}
}

// closeAgainst closes c while another waits; not is what the other must not be told.
func closeAgainst(t *testing.T, moment int, c flume.Channel, what string, wait func(flume.Channel) error, not error) {
	t.Helper()
	begun, answer := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		answer <- wait(c)
	}()
	<-begun
	for range moment * 10 {
		runtime.Gosched()
	}
	closing(t, c)
	if err := soon(t, "the end of "+what, answer); err == nil || errors.Is(err, not) {
		t.Errorf("%s returned %v when the channel was closed", what, err)
	}
}

// concurrent lets putters and takers give up now and then.
func concurrent(t *testing.T, open OpenChannel) {
	const putters, takers, each = 4, 4, 500
	c := open(t, "capacity = 50", "transactionCapacity = 20", "keep-alive = 1000")
	defer closing(t, c)
	var putting, taking sync.WaitGroup
	for p := range putters {
		putting.Go(func() {
			dice := rand.New(rand.NewPCG(1, uint64(p)))
			for at := 0; at < each; {
				n := min(1+dice.IntN(20), each-at)
				tx, err := c.Put(context.Background(), Events(p*each+at, n))
				if err != nil {
					t.Errorf("putting: %v", err)
					return
				}
				if dice.IntN(4) == 0 {
					tx.Rollback()
					continue
				}
				if err := tx.Commit(context.Background()); err != nil {
					t.Errorf("committing a put: %v", err)
					return
				}
				at += n
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	seen := map[string]int{}
	for g := range takers {
		taking.Go(func() {
			dice := rand.New(rand.NewPCG(2, uint64(g)))
			for {
				tx, err := c.Take(ctx, flume.Limits{Events: 1 + dice.IntN(20)})
				if errors.Is(err, flume.ErrEmpty) {
					return
				}
				if err != nil {
					t.Errorf("taking: %v", err)
					return
				}
				switch dice.IntN(6) {
				case 0:
					tx.Rollback()
					continue
				case 1:
					if len(tx.Batch()) > 1 {
						tx.Split([]int{0}).Rollback()
					}
				}
				out := Bodies(tx.Batch())
				if err := tx.Commit(context.Background()); err != nil {
					t.Errorf("committing a take: %v", err)
					return
				}
				mu.Lock()
				for _, body := range out {
					seen[body]++
				}
				mu.Unlock()
			}
		})
	}
	putting.Wait()
	cancel()
	taking.Wait()
	for _, body := range Bodies(drained(t, c)) { // what a taker rolled back when the others had gone
		seen[body]++
	}
	for i := range putters * each {
		if n := seen[strconv.Itoa(i)]; n != 1 {
			t.Fatalf("event %d came %d times", i, n)
		}
	}
}

func ordered(t *testing.T, open OpenChannel) {
	const events = 2000
	c := open(t, "capacity = 30", "transactionCapacity = 30", "keep-alive = 1000")
	defer closing(t, c)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		dice := rand.New(rand.NewPCG(3, 3))
		for at := 0; at < events; {
			n := min(1+dice.IntN(30), events-at)
			tx, err := c.Put(ctx, Events(at, n))
			if err == nil {
				err = tx.Commit(ctx)
			}
			if err != nil {
				cancel(fmt.Errorf("putting: %w", err))
				return
			}
			at += n
		}
	}()
	dice := rand.New(rand.NewPCG(4, 4))
	for at := 0; at < events; {
		tx, err := c.Take(ctx, flume.Limits{Events: 1 + dice.IntN(30)})
		if err != nil {
			t.Fatal(errors.Join(err, context.Cause(ctx)))
		}
		want(t, tx.Batch(), Events(at, len(tx.Batch())))
		if dice.IntN(4) == 0 {
			tx.Rollback()
			continue
		}
		at += len(tx.Batch())
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

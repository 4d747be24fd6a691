package dedup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	for _, settings := range [][]string{nil, {"header = k0 k1", "repeated = mark"}, {"jsonPath = $", "missing = reject", "maxKeys = 3"}} {
		flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, settings...) })
	}
}

// batch makes events of words body,header=value,…
func batch(list string) flume.Batch {
	var b flume.Batch
	for word := range strings.FieldsSeq(list) {
		parts := strings.Split(word, ",")
		e := flume.Event{Body: []byte(parts[0])}
		for _, p := range parts[1:] {
			k, v, _ := strings.Cut(p, "=")
			e.Headers = append(e.Headers, flume.Header{Key: k, Value: v})
		}
		b = append(b, e)
	}
	return b
}

func show(b flume.Batch) string {
	var out []string
	for _, e := range b {
		word := string(e.Body)
		for _, h := range e.Headers {
			word += "," + h.Key + "=" + h.Value
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func intercept(t testing.TB, i flume.Interceptor, list string) (flume.Batch, []flume.Rejection) {
	t.Helper()
	out, rejected, err := i.Intercept(t.Context(), batch(list))
	if err != nil {
		t.Fatal(err)
	}
	return out, rejected
}

func TestIntercept(t *testing.T) {
	for _, x := range []struct {
		settings string
		batches  string // separated by |
		want     string
		repeated int64
		rejected int
	}{
		{"", "a b a|b c", "a b|c", 2, 0},
		{"", "a,x=1 a,x=2", "a,x=1", 1, 0},
		{"header = id", "a,id=1 b,id=1 c,id=2 d e|f,id=2 g", "a,id=1 c,id=2 d e|g", 2, 0},
		{"header = id; missing = reject", "a,id=1 b c,id=1|d", "a,id=1|", 1, 2},
		{"header = x y", "1,x=a,y=bc 2,x=ab,y=c 3,y=bc,x=a 4,x=a", "1,x=a,y=bc 2,x=ab,y=c 4,x=a", 1, 0},
		{"jsonPath = $.id", `{"id":1} {"id":1,"x":2} {"x":1} {"x":1} text text|{"id":2} {"id":1}`, `{"id":1} {"x":1} {"x":1} text text|{"id":2}`, 2, 0},
		{"jsonPath = id; header = h; missing = reject", `{"id":1},h=1 {"id":1},h=2 {"id":1},h=1 {"id":1} {},h=1`, `{"id":1},h=1 {"id":1},h=2`, 1, 2},
		{"repeated = mark", "a a b|b,repeated=no", "a a,repeated=true b|b,repeated=true", 2, 0},
		{"repeated = mark; header = id; missing = reject", "a,id=1 b c,id=1", "a,id=1 c,id=1,repeated=true", 1, 1},
		{"maxKeys = 2", "a b|c|a c|b", "a b|c|a|b", 1, 0},
		{"maxBytes = 240", "a b|c|a c|b", "a b|c|a|b", 1, 0},
		{"header = id; missing = reject", "a,sluice.position=letter/x/0/1,id=1|b,id=1 c,sluice.position=letter/x/0/2,id=1 d,sluice.position=letter/x/0/3",
			"a,sluice.position=letter/x/0/1,id=1|b,id=1 c,sluice.position=letter/x/0/2,id=1 d,sluice.position=letter/x/0/3", 0, 0},
		{"", "a a,deadletter.id=7|a a,deadletter.id=7", "a a,deadletter.id=7|a,deadletter.id=7", 1, 0},
	} {
		var settings []string
		if x.settings != "" {
			settings = strings.Split(x.settings, "; ")
		}
		env := flumetest.NewEnv()
		i := flumetest.OpenIn(t, env, Kind, settings...)
		var got []string
		rejected := 0
		for b := range strings.SplitSeq(x.batches, "|") {
			out, r := intercept(t, i, b)
			got = append(got, show(out))
			rejected += len(r)
		}
		if got := strings.Join(got, "|"); got != x.want {
			t.Errorf("%s: %s becomes %s instead of %s", x.settings, x.batches, got, x.want)
		}
		if n := env.Count("EventRepeatedCount"); n != x.repeated || rejected != x.rejected {
			t.Errorf("%s: %d repeated, %d rejected", x.settings, n, rejected)
		}
		if full := strings.HasPrefix(x.settings, "max"); full != (env.Count("DedupForgottenCount") > 0) || full != strings.Contains(env.Logged(), "forgotten before") {
			t.Errorf("%s: %d forgotten; %s", x.settings, env.Count("DedupForgottenCount"), env.Logged())
		}
	}
}

// A key is forgotten when its window is over, counted from its first event.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := flumetest.Open(t, Kind, "window = 10")
		for _, x := range []struct {
			wait       time.Duration
			list, want string
		}{{0, "a", "a"}, {6 * time.Second, "a b", "b"}, {3999 * time.Millisecond, "a b", ""}, {time.Millisecond, "a b", "a"}, {6 * time.Second, "a b", "b"}} {
			time.Sleep(x.wait)
			if out, _ := intercept(t, i, x.list); show(out) != x.want {
				t.Errorf("after %v %s becomes %s instead of %s", x.wait, x.list, show(out), x.want)
			}
		}
		w := i.(*interceptor).window
		time.Sleep(time.Minute)
		intercept(t, i, "")
		if len(w.seen)+len(w.under)+len(w.queue)-w.first > 0 {
			t.Errorf("what is over is kept: %d, %d, %d", len(w.seen), len(w.under), len(w.queue)-w.first)
		}
	})
}

// What did not arrive is no repetition when it comes again, and is not counted as one.
func TestWhatFailsIsForgotten(t *testing.T) {
	env := flumetest.NewEnv()
	i := flumetest.OpenIn(t, env, Kind).(flume.Witness)
	full := errors.New("the channel is full")
	for n, fate := range []error{full, full, nil, nil} {
		var got string
		err := i.Witness(t.Context(), batch("a b a"), func(_ context.Context, b flume.Batch, _ []flume.Rejection) error {
			got = show(b)
			return fate
		})
		want := "a b"
		if n == 3 {
			want = ""
		}
		if !errors.Is(err, fate) || got != want {
			t.Errorf("%d: %v, %s passes instead of %s", n, err, got, want)
		}
	}
	if n := env.Count("EventRepeatedCount"); n != 4 {
		t.Errorf("%d repeated", n)
	}
	func() {
		defer func() { _ = recover() }()
		_ = i.Witness(t.Context(), batch("c"), func(context.Context, flume.Batch, []flume.Rejection) error { panic("broken") })
	}()
	if out, _ := intercept(t, i, "c"); show(out) != "c" {
		t.Error("what a panic has kept back is taken for a repetition")
	}
}

// Who comes with a key that is under way waits for its fate.
func TestWaitsForTheFate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := flumetest.Open(t, Kind).(flume.Witness)
		for n, fate := range []error{errors.New("no"), nil} {
			a, b, x := fmt.Sprint("a", n), fmt.Sprint("b", n), fmt.Sprint("x", n)
			var all sync.WaitGroup
			release := make(chan struct{})
			all.Go(func() {
				_ = i.Witness(context.Background(), batch(a+" "+b), func(context.Context, flume.Batch, []flume.Rejection) error {
					<-release
					return fate
				})
			})
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if out, _, err := i.Intercept(ctx, batch(x+" "+b)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s passes; %v", show(out), err)
			}
			cancel()
			var got string
			all.Go(func() {
				out, _ := intercept(t, i, b+" "+x)
				got = show(out)
			})
			synctest.Wait()
			if out, _ := intercept(t, i, fmt.Sprint("y", n)); len(out) != 1 {
				t.Errorf("others wait too: %s", show(out))
			}
			if got != "" {
				t.Errorf("%s does not wait", got)
			}
			close(release)
			all.Wait()
			if want := map[bool]string{true: b + " " + x, false: x}[fate != nil]; got != want {
				t.Errorf("after %v %q passes instead of %q", fate, got, want)
			}
		}
	})
}

// Of batches that overlap and fail now and then each key arrives once, and none is lost.
func TestSiege(t *testing.T) {
	i := flumetest.Open(t, Kind, "maxKeys = 100000").(flume.Witness)
	var mu sync.Mutex
	arrived := map[string]int{}
	const keys = 500
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 7))
			for first := 0; first < keys; {
				var b flume.Batch
				for n := first; n < min(first+10, keys); n++ {
					b = append(b, flume.Event{Body: fmt.Append(nil, n)})
				}
				rng.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
				if i.Witness(context.Background(), b, func(_ context.Context, out flume.Batch, _ []flume.Rejection) error {
					if rng.IntN(3) == 0 {
						return errors.New("no")
					}
					mu.Lock()
					defer mu.Unlock()
					for _, e := range out {
						arrived[string(e.Body)]++
					}
					return nil
				}) == nil {
					first += 1 + rng.IntN(10)
				}
			}
		})
	}
	all.Wait()
	for n := range keys {
		if got := arrived[fmt.Sprint(n)]; got != 1 {
			t.Errorf("%d arrived %d times", n, got)
		}
	}
	if w := i.(*interceptor).window; len(w.under) > 0 || len(w.seen) != keys {
		t.Errorf("%d held, %d seen", len(w.under), len(w.seen))
	}
}

// A key takes what the bound counts.
func TestBytes(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const most = 100000
	w := newWindow(time.Hour, most)
	var n uint64
	for range 350 {
		keys := make([]key, 1000)
		for i := range keys {
			n++
			binary.LittleEndian.PutUint64(keys[i][:], n*0x9E3779B97F4A7C15)
		}
		f, err := w.hold(t.Context(), keys, make([]verdict, len(keys)))
		if err != nil {
			t.Fatal(err)
		}
		w.settle(f, true)
		if len(w.seen) > most || len(w.queue)-w.first != len(w.seen) {
			t.Fatalf("%d seen, %d in the queue", len(w.seen), len(w.queue)-w.first)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / most; got > keyBytes {
		t.Errorf("a key takes %d bytes", got)
	}
	runtime.KeepAlive(w)
}

func TestProblems(t *testing.T) {
	for settings, want := range map[string]string{
		"jsonPath = a..b": `jsonPath: the path "a..b": a key is missing`, "window = 0": "window: ", "maxKeys = 0": "maxKeys: ", "maxBytes = 1": "maxBytes: ",
		"repeated = keep": `repeated: "keep" is not one of drop, mark`, "missing = drop": `missing: "drop" is not one of pass, reject`,
	} {
		if problems := flumetest.Problems(t, Kind, nil, settings); !problems.Fatal() || !strings.Contains(problems.String(), want) {
			t.Errorf("%s: %v", settings, problems)
		}
	}
}

func TestTrace(t *testing.T) {
	in := flume.Known{marked: "1", "topic": "t"}
	for setting, want := range map[string]flume.Known{"repeated = drop": in, "repeated = mark": {"topic": "t"}} {
		plan, _ := Kind.Bind(flumetest.Section(t, setting))
		if got := plan.Settings.(flume.Tracer).Trace(in); !maps.Equal(got, want) {
			t.Errorf("%s makes %v of %v", setting, got, in)
		}
	}
}

func BenchmarkIntercept(b *testing.B) {
	i := flumetest.Open(b, Kind, "header = id", "maxKeys = 100000")
	events := make(flume.Batch, 100)
	for n := range events {
		events[n] = flume.Event{Headers: flume.Headers{{Key: "id"}}}
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for j := range events {
			n++
			events[j].Headers[0].Value = fmt.Sprint(n)
		}
		if _, _, err := i.Intercept(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

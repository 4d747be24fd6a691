package loadbalancing

import (
	"strings"
	"sync"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func selecting(t testing.TB, settings ...string) flume.Selector {
	env := flumetest.NewEnv()
	env.Channels = []string{"c1", "c2", "c3"}
	return flumetest.OpenIn(t, env, Kind, settings...)
}

func TestLaws(t *testing.T) {
	for _, policy := range []string{"round_robin", "Random"} {
		t.Run(policy, func(t *testing.T) {
			flumetest.Selector(t, 3, func(t testing.TB) flume.Selector { return selecting(t, "policy = "+policy) })
		})
	}
}

// Batches are dealt out one by one, the next where the last has ended.
func TestRoundRobin(t *testing.T) {
	s := selecting(t)
	for _, x := range []struct {
		events int
		want   string
	}{{4, "0 3/1/2"}, {1, "/0/"}, {0, "//"}, {5, "1 4/2/0 3"}} {
		var r flume.Routes
		r.Reset(3)
		s.Select(flumetest.Events(0, x.events), &r)
		var got []string
		for c := range 3 {
			got = append(got, strings.Join(flumetest.Bodies(r.Required(c)), " "))
			if len(r.Optional(c)) > 0 {
				t.Error("a channel is optional")
			}
		}
		if text := strings.Join(got, "/"); text != x.want {
			t.Errorf("%d events go to %s instead of %s", x.events, text, x.want)
		}
	}
}

// Every event goes to exactly one channel, and in round robin the channels get the same number whoever sends.
func TestSpread(t *testing.T) {
	for _, policy := range []string{"round_robin", "random"} {
		s := selecting(t, "policy = "+policy)
		var mu sync.Mutex
		var n [3]int
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 75 {
					var r flume.Routes
					r.Reset(3)
					s.Select(flumetest.Events(0, 10), &r)
					mu.Lock()
					for c := range 3 {
						n[c] += len(r.Required(c))
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if n[0]+n[1]+n[2] != 3000 {
			t.Errorf("%s: %v of 3000 events", policy, n)
		}
		for _, each := range n {
			if policy == "round_robin" && each != 1000 || each < 850 || each > 1150 {
				t.Errorf("%s: %v", policy, n)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	const want = "flume.conf:1: a1.components.x1.policy: \"least\" is not one of round_robin, random\n"
	if got := flumetest.Problems(t, Kind, nil, "policy = least").String(); got != want {
		t.Error(got)
	}
}

// A batch is dealt out in a few allocations, not in one for each event.
func TestAllocations(t *testing.T) {
	for _, policy := range []string{"round_robin", "random"} {
		s := selecting(t, "policy = "+policy)
		b := flumetest.Events(0, 300)
		var r flume.Routes
		r.Reset(3)
		reset := testing.AllocsPerRun(100, func() { r.Reset(3) })
		got := testing.AllocsPerRun(100, func() {
			r.Reset(3)
			s.Select(b, &r)
		}) - reset
		if got > 12 {
			t.Errorf("%s: %v allocations for a batch of 300", policy, got)
		}
	}
}

func BenchmarkSelect(b *testing.B) {
	s := selecting(b)
	batch := flumetest.Events(0, 100)
	var r flume.Routes
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(3)
		s.Select(batch, &r)
	}
}

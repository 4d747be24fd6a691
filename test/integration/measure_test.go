//go:build interop

package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// within holds a measurement against its limit. Only a full run, which has the machine for itself, fails by it; a small
// one allows five times as much.
func within(t *testing.T, what string, got, limit float64, unit string) {
	t.Helper()
	stage.Proof(t, "%s: %.2f %s, the limit is %.0f", what, got, unit, limit)
	if stage.Scale < 1 {
		limit *= 5
	}
	if got > limit && !stage.StandIn {
		t.Errorf("%s: %.2f %s, the limit is %.0f", what, got, unit, limit)
	}
}

// idle starts the user's two agents with nothing to do.
func idle(t *testing.T) *running {
	t.Helper()
	return flow{load: oracle.Load{Run: "idle", Lanes: 1}}.start(t)
}

func TestStart(t *testing.T) {
	r := idle(t)
	var took []time.Duration
	for range 11 {
		r.A.Stop(t)
		began := time.Now()
		r.A.Start(t)
		took = append(took, time.Since(began))
	}
	within(t, "start to running, median of 11", median(took).Seconds()*1000, 100, "ms")
}

func TestAtRest(t *testing.T) {
	r := idle(t)
	r.watcher.Close()
	time.Sleep(5 * time.Second)
	const watch = 20 * time.Second
	agents := []*harness.Agent{r.A, r.B}
	var before [2]time.Duration
	for i, a := range agents {
		var err error
		if before[i], err = harness.CPU(a.PID()); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(watch)
	for i, a := range agents {
		after, err := harness.CPU(a.PID())
		if err != nil {
			t.Fatal(err)
		}
		within(t, "processor of idle agent "+a.ID, 100*(after-before[i]).Seconds()/watch.Seconds(), 1, "%")
		bytes, err := harness.Resident(a.PID())
		if err != nil {
			t.Fatal(err)
		}
		within(t, "resident memory of idle agent "+a.ID, float64(bytes)/(1<<20), 40, "MB")
	}
}

// One event goes through two agents that have nothing else to do, from just before it is produced to when a consumer
// has it.
func TestLatency(t *testing.T) {
	r := idle(t)
	r.watcher.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	in, err := kgo.NewClient(stage.Broker.Client(kgo.DefaultProduceTopic(harness.InputTopic), kgo.ProducerLinger(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := kgo.NewClient(stage.Broker.Client(kgo.ConsumeTopics(harness.OutputTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	random := stage.Rand(t).Int64N
	through := func(n int) time.Duration {
		began := time.Now()
		want := fmt.Sprintf("event %d", n)
		if err := in.ProduceSync(ctx, kgo.StringRecord(want)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for {
			fetches := out.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("%s has not come out", want)
			}
			for _, record := range fetches.Records() {
				if string(record.Value) == want {
					return time.Since(began)
				}
			}
		}
	}
	for n := range 5 { // connections are made
		through(-n - 1)
	}
	var took []time.Duration
	for n := range stage.Count(101, 31) {
		between(random, 200*time.Millisecond, 700*time.Millisecond)
		took = append(took, through(n))
	}
	slices.Sort(took)
	stage.Proof(t, "one event through both idle agents, %d times: least %v, median %v, 90th percentile %v, most %v",
		len(took), took[0], median(took), took[len(took)*9/10], took[len(took)-1])
	within(t, "one event through both agents, median", median(took).Seconds()*1000, 50, "ms")
}

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

//go:build interop

package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/oracle"
)

// between waits for a random time.
func between(random func(int64) int64, least, most time.Duration) {
	time.Sleep(least + time.Duration(random(int64(most-least))))
}

// The broker is killed at random moments while events flow. Nothing may be missing.
func TestBrokerKilled(t *testing.T) { withChannels(t, testBrokerKilled) }

func testBrokerKilled(t *testing.T) {
	random := stage.Rand(t).Int64N
	kills := stage.Count(10, 3)
	r := flow{load: oracle.Load{Run: "broker", Lanes: 4, Size: 500, Keyed: true}}.start(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		r.produce(t, 2000, stop)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	for range kills {
		between(random, 500*time.Millisecond, 4*time.Second)
		if err := stage.Broker.Kill(ctx); err != nil {
			t.Fatal(err)
		}
		between(random, 0, 3*time.Second)
		if err := stage.Broker.Start(ctx); err != nil {
			t.Fatal(err)
		}
		flowsAgain(t, r)
	}
	close(stop)
	<-done
	t.Logf("%d kills of the broker", kills)
	r.verify(t, 90*time.Second, oracle.Rules{Duplicates: oracle.AnyDuplicates})
}

// flowsAgain waits until events come out.
func flowsAgain(t *testing.T, r *running) {
	t.Helper()
	flows(t, r.ledger)
}

// An agent is killed at random moments. With memory channels what its channel held is lost, and no more: at most the
// capacity at each kill, one range of each source partition. With file channels nothing is.
func TestAgentKilled(t *testing.T) { withChannels(t, testAgentKilled) }

func testAgentKilled(t *testing.T) {
	const capacity = 100 // the memory channel's default; the user's files do not set it
	rules := oracle.Rules{Duplicates: oracle.AnyDuplicates, LossPerFault: capacity}
	if stage.FileChannel {
		rules.LossPerFault = 0
	}
	rate := 25_000 // events a second, more than the agents can do, so that their channels hold something
	if stage.StandIn {
		rate = 2000
	}
	for _, which := range []string{"A", "B"} {
		t.Run(which, func(t *testing.T) {
			random := stage.Rand(t).Int64N
			kills := stage.Count(10, 3)
			r := flow{load: oracle.Load{Run: "agent" + which, Lanes: 3, Size: 500, Keyed: true}}.start(t)
			victim := r.A
			if which == "B" {
				victim = r.B
			}
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				r.produce(t, rate, stop)
			}()
			flowsAgain(t, r)
			for i := range kills {
				between(random, 200*time.Millisecond, 2*time.Second)
				victim.Kill(t)
				r.watcher.Settle(700*time.Millisecond, 15*time.Second) // what had left the agent comes out
				acked, seen := r.ledger.Count()
				t.Logf("%d acknowledged, %d have come out", acked, seen)
				r.ledger.Mark(fmt.Sprintf("kill %d of %s", i+1, which))
				between(random, 0, time.Second)
				victim.Start(t)
				flowsAgain(t, r)
			}
			close(stop)
			<-done
			r.verify(t, 60*time.Second, rules)
		})
	}
}

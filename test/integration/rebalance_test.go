//go:build interop

package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A second member of the group comes and goes while events flow: first another agent, then a plain consumer that reads
// and commits nothing. Partitions change hands four times. Nothing is lost, and at each change at most one batch of a
// partition comes twice.
func TestRebalance(t *testing.T) {
	for _, c := range []struct{ name, strategy string }{
		{"range", ""}, // the default of Flume's consumer
		{"cooperative", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const changes, batch = 4, 100 // the most that one transaction of the channel holds
			edit := func(conf harness.Conf) harness.Conf {
				if c.strategy != "" {
					conf = conf.Set(harness.SourceA+"kafka.consumer.partition.assignment.strategy", c.strategy)
				}
				return conf
			}
			events := stage.Count(100_000, 30_000)
			r := flow{load: oracle.Load{Run: "rebalance", Lanes: 4, Events: events, Size: 500, Keyed: true}, editA: edit}.start(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.produce(t, events/25, nil) // 25 seconds
			}()
			flowsAgain(t, r)

			text := r.A.Config(t)
			second := stage.Agent(t, harness.Sluice, harness.AgentA, "a2", text)
			second.Start(t)
			members(t, 2)
			time.Sleep(3 * time.Second)
			second.Stop(t)
			members(t, 1)
			time.Sleep(2 * time.Second)

			balancer := kgo.Balancers(kgo.RangeBalancer())
			if c.strategy != "" {
				balancer = kgo.Balancers(kgo.CooperativeStickyBalancer())
			}
			guest, err := kgo.NewClient(stage.Broker.Client(kgo.ConsumerGroup(harness.Group), kgo.ConsumeTopics(harness.InputTopic),
				kgo.DisableAutoCommit(), balancer)...)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			for ctx.Err() == nil {
				guest.PollFetches(ctx)
			}
			cancel()
			members(t, 2)
			guest.Close()
			members(t, 1)
			select {
			case <-done:
				t.Error("the load had ended before the last change: nothing is proven")
			default:
			}
			<-done
			r.verify(t, 60*time.Second, oracle.Rules{Duplicates: changes * batch})
		})
	}
}

// members waits until the group is stable with so many members.
func members(t *testing.T, want int) {
	t.Helper()
	harness.Eventually(t, time.Minute, fmt.Sprintf("%d members in the group", want), func() error {
		n, stable, err := stage.Broker.Members(t.Context(), harness.Group)
		if err == nil && (n != want || !stable) {
			err = fmt.Errorf("%d members, stable: %v", n, stable)
		}
		return err
	})
}

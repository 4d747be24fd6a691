//go:build interop

package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

const (
	channelTopic = "channel1"
	channelGroup = "flume-consumer"
)

// inKafka is a buffer whose channel is a fresh topic with so many partitions.
func inKafka(t *testing.T, partitions int, more ...[2]string) *buffer {
	t.Helper()
	stage.Broker.Fresh(t, partitions, channelTopic)
	stage.Broker.FreshGroup(t, channelGroup, channelTopic)
	return &buffer{name: "c1", settings: append([][2]string{
		{"type", "org.apache.flume.channel.kafka.KafkaChannel"}, {"kafka.bootstrap.servers", stage.Broker.Plain},
		{"kafka.topic", channelTopic}, {"kafka.consumer.group.id", channelGroup}, {"kafka.consumer.session.timeout.ms", "6000"},
	}, more...)}
}

// stamped is a load whose events have headers that are looked at in the end.
func stamped(run string, lanes, size int) oracle.Load {
	return oracle.Load{Run: run, Lanes: lanes, Size: size, Stamp: true, Headers: func(p oracle.Position) map[string]string {
		return map[string]string{"origin": run, "number": fmt.Sprintf("%d/%d", p.Lane, p.Number)}
	}}
}

// sinksOnly is the configuration without its source: a second agent that takes from the same channel.
func sinksOnly(c harness.Conf) harness.Conf { return c.Drop("a1.sources") }

// sourcesOnly is the configuration without its sink.
func sourcesOnly(c harness.Conf) harness.Conf { return c.Drop("a1.sinks") }

// caughtUp waits until the group has committed everything.
func caughtUp(t *testing.T) {
	t.Helper()
	harness.Eventually(t, 30*time.Second, "the group has committed everything", func() error {
		lag, err := stage.Broker.Lag(t.Context(), channelGroup, channelTopic)
		if err == nil && lag != 0 {
			err = fmt.Errorf("%d events are not committed", lag)
		}
		return err
	})
}

// Agents that take from the same channel come and go while events flow: every event comes out exactly once.
func TestKafkaChannelRebalance(t *testing.T) {
	if stage.StandIn {
		t.Skip("Flume doubles events here")
	}
	for _, strategy := range []string{"range", "cooperative-sticky"} {
		t.Run(strategy, func(t *testing.T) {
			random := stage.Rand(t)
			b := inKafka(t, 4, [2]string{"kafka.consumer.partition.assignment.strategy", strategy})
			port := stage.Port(t)
			load := stamped("channel-rebalance", 4, 300)
			text := buffered(t, port, load, b)
			first := stage.Agent(t, harness.Sluice, "a1", "first", text)
			first.Start(t)
			p := newPump(t, port, random, 100, 4000, load.Lanes, b.ledger)
			flows(t, b.ledger)
			second := stage.Agent(t, harness.Sluice, "a1", "second", sinksOnly(text))
			for range stage.Count(20, 3) {
				second.Start(t)
				channelMembers(t, 2)
				between(random.Int64N, 500*time.Millisecond, 2*time.Second)
				second.Stop(t)
				channelMembers(t, 1)
				between(random.Int64N, 0, time.Second)
			}
			p.end()
			report := b.receiver.Await(20*time.Second, time.Minute)
			stage.Proof(t, "sent %d, %s", p.sent(), report)
			if err := report.Check(oracle.Rules{}); err != nil {
				t.Error(err)
			}
			if r := p.refusals(); len(r) > 0 {
				t.Errorf("calls were refused: %v", r)
			}
			caughtUp(t)
			first.Stop(t)
		})
	}
}

func channelMembers(t *testing.T, want int) {
	t.Helper()
	harness.Eventually(t, time.Minute, fmt.Sprintf("%d members in the group", want), func() error {
		n, stable, err := stage.Broker.Members(t.Context(), channelGroup)
		if err == nil && (n != want || !stable) {
			err = fmt.Errorf("%d members, stable: %v", n, stable)
		}
		return err
	})
}

// The broker and the agent are killed at random moments under load. Nothing that was acknowledged is missing, and after the
// kill of an agent comes again at most what its sink had under way, and what it had delivered during the last commit.
func TestKafkaChannelKilled(t *testing.T) {
	random := stage.Rand(t)
	b := inKafka(t, 4)
	port := stage.Port(t)
	load := stamped("channel-kill", 4, 300)
	a := stage.Agent(t, harness.Sluice, "a1", "a1", buffered(t, port, load, b))
	a.Start(t)
	p := newPump(t, port, random, 100, 8000, load.Lanes, b.ledger)
	flows(t, b.ledger)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	agents, brokers := 0, 0
	for range stage.Count(60, 6) {
		between(random.Int64N, 200*time.Millisecond, 3*time.Second)
		if random.IntN(3) > 0 {
			agents++
			a.Kill(t)
			between(random.Int64N, 0, time.Second)
			a.Start(t)
		} else {
			brokers++
			if err := stage.Broker.Kill(ctx); err != nil {
				t.Fatal(err)
			}
			between(random.Int64N, 0, 3*time.Second)
			if err := stage.Broker.Start(ctx); err != nil {
				t.Fatal(err)
			}
		}
		flows(t, b.ledger)
	}
	p.end()
	report := b.receiver.Await(30*time.Second, 5*time.Minute)
	stage.Proof(t, "%d kills of the agent, %d of the broker: sent %d, %s", agents, brokers, p.sent(), report)
	if err := report.Check(oracle.Rules{Duplicates: oracle.AnyDuplicates}); err != nil {
		t.Error(err)
	}
	caughtUp(t)
	a.Stop(t)
}

// One agent fills the channel, and another takes from it: real Flume and Sluice, each in either part. Then both are in the
// group at once.
func TestKafkaChannelBetween(t *testing.T) {
	if stage.StandIn {
		t.Skip("Flume against itself")
	}
	for _, c := range []struct{ from, to harness.Flavor }{
		{harness.Flume, harness.Sluice},
		{harness.Sluice, harness.Flume},
		{harness.Sluice, harness.Sluice},
	} {
		t.Run(fmt.Sprintf("%s to %s", c.from, c.to), func(t *testing.T) {
			random := stage.Rand(t)
			b := inKafka(t, 3)
			port := stage.Port(t)
			load := stamped("channel-between", 3, 200)
			text := buffered(t, port, load, b)
			from := stage.Agent(t, c.from, "a1", "from", sourcesOnly(text))
			to := stage.Agent(t, c.to, "a1", "to", sinksOnly(text))
			from.Start(t)
			to.Start(t)
			listens(t, port)
			p := newPump(t, port, random, 100, 4000, load.Lanes, b.ledger)
			time.Sleep(5 * time.Second)
			p.end()
			report := b.receiver.Await(30*time.Second, time.Minute)
			stage.Proof(t, "sent %d, %s", p.sent(), report)
			rules := oracle.Rules{}
			if c.to == harness.Flume {
				rules.Duplicates = oracle.AnyDuplicates // it joins the group while events flow
			}
			if err := report.Check(rules); err != nil {
				t.Error(err)
			}
			if p.sent() < 10_000 || len(p.refusals()) > 0 {
				t.Errorf("sent %d, refused %v", p.sent(), p.refusals())
			}
			caughtUp(t)
		})
	}
}

// Real Flume and Sluice run the same file in turn, on the same topic and in the same group. Each round puts events in and
// lets some out, and ends with SIGTERM or SIGKILL. Nothing is missing, the order stays, and nothing is doubled where no agent
// was killed.
func TestKafkaChannelPingPong(t *testing.T) {
	if stage.StandIn {
		t.Skip("Flume against itself")
	}
	random := stage.Rand(t)
	port := stage.Port(t)
	b := inKafka(t, 1)
	load := stamped("channel-pingpong", 2, 150)
	text := buffered(t, port, load, b)
	agents := []*harness.Agent{
		stage.Agent(t, harness.Sluice, "a1", "sluice", text),
		stage.Agent(t, harness.Flume, "a1", "flume", text),
	}
	agents[1].Metrics = agents[0].Metrics
	h := &handover{t: t, buffer: b, random: random, port: port}
	for range load.Lanes {
		s, err := oracle.NewSender(fmt.Sprintf("127.0.0.1:%d", port), len(h.senders), b.ledger)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		h.senders = append(h.senders, s)
	}
	rounds := stage.Count(50, 8)
	first := random.IntN(2)
	for round := range rounds {
		h.round(agents[(first+round)%2])
		if t.Failed() {
			t.Logf("in round %d", round)
			return
		}
	}
	h.drain(agents[(first+rounds)%2])
	report := b.receiver.Await(20*time.Second, time.Minute)
	stage.Proof(t, "Flume and Sluice in turn, %d rounds, %d ended with SIGKILL: %s", rounds, h.kills, report)
	rules := oracle.Rules{Order: true}
	if h.kills > 0 { // offsets are committed behind what is delivered
		rules.Duplicates = oracle.AnyDuplicates
	}
	if err := report.Check(rules); err != nil {
		t.Error(err)
	}
	caughtUp(t)
}

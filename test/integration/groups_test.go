//go:build interop

package integration

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A pair is two agents that take events over Avro or Thrift, keep them in file channels and write them into one topic.
type pair struct {
	ports  [2]int
	agents [2]*harness.Agent
	*oracle.Watcher
	ledger *oracle.Ledger
}

const pairTopic = "several"

func newPair(t *testing.T, flavor harness.Flavor, protocol string, load oracle.Load) *pair {
	t.Helper()
	stage.Broker.Fresh(t, 1, pairTopic)
	p := &pair{ledger: oracle.NewLedger(load)}
	for i := range p.agents {
		p.ports[i] = stage.Port(t)
		dir := fresh(t, fmt.Sprintf("pair%d", i))
		p.agents[i] = stage.Agent(t, flavor, "r", fmt.Sprintf("r%d", i+1), harness.Conf("r.sources = s\nr.channels = c\nr.sinks = k\n").
			SetAll("r.sources.s.", [][2]string{{"type", protocol}, {"bind", "127.0.0.1"}, {"port", strconv.Itoa(p.ports[i])}, {"channels", "c"}}).
			SetAll("r.channels.c.", [][2]string{{"type", "file"}, {"checkpointDir", dir + "/checkpoint"}, {"dataDirs", dir + "/data"}, {"transactionCapacity", "1000"}}).
			SetAll("r.sinks.k.", [][2]string{{"type", "org.apache.flume.sink.kafka.KafkaSink"}, {"kafka.bootstrap.servers", stage.Broker.Plain},
				{"kafka.topic", pairTopic}, {"flumeBatchSize", "1000"}, {"channel", "c"}}))
		p.agents[i].Start(t)
		listens(t, p.ports[i])
	}
	var err error
	if p.Watcher, err = oracle.Watch([]string{stage.Broker.Plain}, pairTopic, oracle.Plain, p.ledger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// properties are those of an RPC client of the pair.
func (p *pair) properties(more ...[2]string) map[string]string {
	all := map[string]string{"hosts": "h1 h2", "hosts.h1": fmt.Sprintf("127.0.0.1:%d", p.ports[0]), "hosts.h2": fmt.Sprintf("127.0.0.1:%d", p.ports[1])}
	for _, kv := range more {
		all[kv[0]] = kv[1]
	}
	return all
}

// kills ends one agent after the other with SIGKILL and starts it again after a while, as events come out, until over is
// closed: nothing is sent any more. It returns how many it has ended.
func (p *pair) kills(t *testing.T, times int, away time.Duration, over <-chan struct{}) int {
	t.Helper()
	random := stage.Rand(t).Int64N
	flows(t, p.ledger)
	for i := range times {
		select {
		case <-over:
			return i
		default:
		}
		a := p.agents[i%len(p.agents)]
		between(random, 100*time.Millisecond, time.Second)
		a.Kill(t)
		p.flows(t, over) // through the other
		between(random, 0, away)
		a.Start(t)
		p.flows(t, over)
	}
	return times
}

// flows waits until events come out, or over is closed.
func (p *pair) flows(t *testing.T, over <-chan struct{}) {
	t.Helper()
	_, before := p.ledger.Count()
	harness.Eventually(t, 2*time.Minute, "events at the end", func() error {
		select {
		case <-over:
			return nil
		default:
		}
		if _, now := p.ledger.Count(); now <= before {
			return fmt.Errorf("%d have come out, as before", now)
		}
		return nil
	})
}

// took is how many events each agent's source has accepted since its last start.
func (p *pair) took() (n [2]int, err error) {
	for i, a := range p.agents {
		text, err := a.Metric("SOURCE.s", "EventAcceptedCount")
		if err != nil {
			return n, err
		}
		if n[i], err = strconv.Atoi(text); err != nil {
			return n, err
		}
	}
	return n, nil
}

// The receivers of a sink group are killed, one after the other: nothing is lost, and events go on to come out.
func TestSinkGroupReceiversKilled(t *testing.T) {
	for name, processor := range map[string][][2]string{
		"failover":                   {{"type", "failover"}, {"priority.k1", "10"}, {"priority.k2", "5"}, {"maxpenalty", "3000"}},
		"load_balance":               {{"type", "load_balance"}},
		"load_balance with back-off": {{"type", "load_balance"}, {"backoff", "true"}, {"selector", "random"}, {"selector.maxTimeOut", "3000"}},
	} {
		t.Run(name, func(t *testing.T) {
			const lanes, rate = 2, 3000
			p := newPair(t, harness.Sluice, "avro", oracle.Load{Run: "group", Lanes: lanes, Size: 200})
			port, dir := stage.Port(t), fresh(t, "group")
			conf := harness.Conf("g.sources = s\ng.channels = c\ng.sinks = k1 k2\ng.sinkgroups = g\ng.sinkgroups.g.sinks = k1 k2\n").
				SetAll("g.sources.s.", [][2]string{{"type", "avro"}, {"bind", "127.0.0.1"}, {"port", strconv.Itoa(port)}, {"channels", "c"}}).
				SetAll("g.channels.c.", [][2]string{{"type", "file"}, {"checkpointDir", dir + "/checkpoint"}, {"dataDirs", dir + "/data"}, {"transactionCapacity", "1000"}}).
				SetAll("g.sinkgroups.g.processor.", processor)
			for i := range p.ports {
				conf = conf.SetAll(fmt.Sprintf("g.sinks.k%d.", i+1), [][2]string{{"type", "avro"}, {"hostname", "127.0.0.1"}, {"port", strconv.Itoa(p.ports[i])}, {"channel", "c"}})
			}
			group := stage.Agent(t, harness.Sluice, "g", "g", conf)
			group.Start(t)
			listens(t, port)
			pump := newPump(t, port, stage.Rand(t), 100, rate, lanes, p.ledger)
			p.kills(t, stage.Count(20, 4), 2*time.Second, nil)
			if name == "failover" { // k1 has its priority back
				harness.Eventually(t, 20*time.Second, "events through k1 alone", func() error {
					before, err := p.took()
					if err != nil {
						return err
					}
					time.Sleep(500 * time.Millisecond)
					after, err := p.took()
					if one, two := after[0]-before[0], after[1]-before[1]; err == nil && (one == 0 || two > 0) {
						return fmt.Errorf("%d by k1 and %d by k2", one, two)
					}
					return err
				})
			} else {
				harness.Eventually(t, 20*time.Second, "events through both", func() error {
					n, err := p.took()
					if err == nil && (n[0] == 0 || n[1] == 0) {
						return fmt.Errorf("%d by k1 and %d by k2", n[0], n[1])
					}
					return err
				})
			}
			pump.end()
			report := p.Await(60*time.Second, 5*time.Minute)
			stage.Proof(t, "%s", report)
			if err := report.Check(oracle.Rules{Duplicates: oracle.AnyDuplicates}); err != nil {
				t.Error(err)
			}
			if !stage.StandIn {
				if n := strings.Count(group.Log(t), "\n"); n > 100 {
					t.Errorf("%d lines in the log", n)
				}
			}
		})
	}
}

// several are the clients that know more than one receiver, in Flume's words.
var several = map[string][][2]string{
	"failover":                   {{"client.type", "default_failover"}},
	"load balance":               {{"client.type", "default_loadbalance"}},
	"load balance with back-off": {{"client.type", "default_loadbalance"}, {"backoff", "true"}, {"maxBackoff", "3000"}, {"host-selector", "random"}},
}

// Real Flume's failover and load-balancing clients send to two Sluices, which are killed in turn.
func TestFlumeClientsOfSeveral(t *testing.T) {
	for name, properties := range several {
		t.Run(name, func(t *testing.T) {
			load := oracle.Load{Run: "several", Lanes: 1, Size: 150}
			p := newPair(t, harness.Sluice, "avro", load)
			count := stage.Count(1_000_000, 60_000)
			args := []string{"flume", "load", "--port=1", fmt.Sprintf("--count=%d", count), "--run=" + load.Run + " 0", fmt.Sprintf("--size=%d", load.Size),
				"--batch=10", "--retry-seconds=30"}
			for k, v := range p.properties(properties...) {
				args = append(args, "--set."+k+"="+v)
			}
			var failed error
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, failed = stage.Peers(t, 9*time.Minute, args...)
			}()
			kills := p.kills(t, stage.Count(20, 2), time.Second, done)
			<-done
			if failed != nil {
				t.Fatal(failed)
			}
			if kills == 0 {
				t.Error("the client had done before a receiver was killed")
			}
			p.ledger.AckedAll(count)
			report := p.Await(30*time.Second, 3*time.Minute)
			stage.Proof(t, "%d kills: %s", kills, report)
			if err := report.Check(oracle.Rules{Duplicates: oracle.AnyDuplicates}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Sluice's clients send to two real Flumes, which are killed in turn. Over Thrift a client of Flume's has one receiver.
func TestClientsToFlume(t *testing.T) {
	type sender struct {
		protocol   string
		properties [][2]string
		one        bool
	}
	senders := map[string]sender{
		"one over Avro":            {protocol: "avro", one: true},
		"one over Thrift":          {protocol: "thrift", properties: [][2]string{{"client.type", "thrift"}, {"hosts", "h1"}}, one: true},
		"failover over Thrift":     {protocol: "thrift"},
		"load balance over Thrift": {protocol: "thrift"},
	}
	for name, properties := range several {
		senders[name] = sender{protocol: "avro", properties: properties}
	}
	for name, s := range senders {
		t.Run(name, func(t *testing.T) {
			load := oracle.Load{Run: "several", Lanes: 1, Size: 150}
			p := newPair(t, harness.Flume, s.protocol, load)
			c, err := p.client(name, s.properties)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var failed error
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				failed = p.send(t, c, stop)
			}()
			if s.one {
				flows(t, p.ledger)
				time.Sleep(2 * time.Second)
			} else {
				p.kills(t, stage.Count(10, 1), 2*time.Second, done)
			}
			close(stop)
			if <-done; failed != nil {
				t.Error(failed)
			}
			report := p.Await(30*time.Second, 3*time.Minute)
			stage.Proof(t, "%s", report)
			if err := report.Check(oracle.Rules{Duplicates: oracle.AnyDuplicates}); err != nil {
				t.Error(err)
			}
		})
	}
}

// client opens one of Sluice's clients. Those over Thrift that know several have no name in Flume's properties.
func (p *pair) client(name string, properties [][2]string) (client.Sender, error) {
	receivers := make([]client.Options, len(p.ports))
	for i, port := range p.ports {
		receivers[i] = client.Options{Address: fmt.Sprintf("127.0.0.1:%d", port), Protocol: client.ThriftCompact}
	}
	switch name {
	case "failover over Thrift":
		return client.OpenFailover(0, receivers...)
	case "load balance over Thrift":
		return client.OpenLoadBalancer(client.Balance{Backoff: true, MaxBackoff: 3 * time.Second}, receivers...)
	}
	return client.FromProperties(p.properties(properties...), nil)
}

// send sends batches of ten until stop is closed, each again until it is acknowledged: what was delivered of it is not
// sent twice.
func (p *pair) send(t *testing.T, c client.Sender, stop <-chan struct{}) error {
	for next := 0; ; {
		b := make(flume.Batch, 10)
		for i := range b {
			b[i].Body = p.ledger.Load().Body(nil, 0, next+i)
		}
		for giveUp := time.Now().Add(30 * time.Second); len(b) > 0; {
			err := c.AppendBatch(t.Context(), b)
			var part *client.BatchError
			delivered := len(b)
			switch {
			case errors.As(err, &part):
				delivered = part.Delivered
			case err != nil:
				delivered = 0
			}
			for i := range delivered {
				p.ledger.Acked(0, next+i, -1)
			}
			next += delivered
			b = b[delivered:]
			if err != nil {
				if time.Now().After(giveUp) {
					return err
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

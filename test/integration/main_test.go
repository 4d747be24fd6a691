//go:build interop

// Package integration runs whole agents between real peers: a Kafka broker, real Flume, Java and Python clients, a
// Kerberos KDC. Each test is one row of what a release has to show; test/oracle judges from outside what became of the
// events. Run it with test/interop, or with test/long at full size:
//
//	test/interop                         every test, a tenth of the size
//	test/interop -run TestAgentKilled    one of them
//	SLUICE_CHANNEL=file test/interop     the users' files with their file channels; else memory, and the main tests with both
//	SLUICE_AGENT=flume test/interop      real Flume in Sluice's place, to see what Flume does
//	SLUICE_SCALE=1 SLUICE_SEED=7 …       the size, and the random moments of an earlier run
package integration

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// stage is set once, before the first test.
var stage *harness.Stage

func TestMain(m *testing.M) { os.Exit(harness.Run(m, &stage, harness.Open)) }

// withChannels runs a test with memory channels and with file channels, unless SLUICE_CHANNEL has chosen.
func withChannels(t *testing.T, test func(t *testing.T)) {
	if stage.OneChannel || stage.StandIn {
		test(t)
		return
	}
	defer func(was bool) { stage.FileChannel = was }(stage.FileChannel)
	for _, file := range []bool{false, true} {
		stage.FileChannel = file
		t.Run(map[bool]string{false: "memory", true: "file"}[file], test)
	}
}

// A flow is the two agents of the user, Kafka → A → Avro → B → Kafka, with a load.
type flow struct {
	load         oracle.Load
	a, b         harness.Flavor
	editA, editB func(harness.Conf) harness.Conf // nil: the user's files as they are
	options      []string                        // of both agents
	outPartition int                             // partitions of the output topic; 0: as many as the input has
	decode       oracle.Decode                   // of the output; nil: Plain
}

// A running flow has agents that run and a watcher at its end.
type running struct {
	flow
	A, B    *harness.Agent
	ledger  *oracle.Ledger
	watcher *oracle.Watcher
	began   time.Time
}

// start makes empty topics and a group at their beginning, and starts B, then A.
func (f flow) start(t *testing.T) *running {
	t.Helper()
	if f.decode == nil {
		f.decode = oracle.Plain
	}
	if f.outPartition == 0 {
		f.outPartition = f.load.Lanes
	}
	stage.FreshChannels(t)
	stage.Broker.Fresh(t, f.load.Lanes, harness.InputTopic)
	stage.Broker.Fresh(t, f.outPartition, harness.OutputTopic)
	stage.Broker.FreshGroup(t, harness.Group, harness.InputTopic)
	port := stage.Port(t)
	confA, confB := stage.UserA(port), stage.UserB(port)
	if f.editA != nil {
		confA = f.editA(confA)
	}
	if f.editB != nil {
		confB = f.editB(confB)
	}
	r := &running{
		flow: f, ledger: oracle.NewLedger(f.load),
		A: stage.Agent(t, f.a, harness.AgentA, "a", confA),
		B: stage.Agent(t, f.b, harness.AgentB, "b", confB),
	}
	r.A.Options = append(r.A.Options, f.options...)
	r.B.Options = append(r.B.Options, f.options...)
	r.B.Start(t)
	r.A.Start(t)
	var err error
	if r.watcher, err = oracle.Watch([]string{stage.Broker.Plain}, harness.OutputTopic, f.decode, r.ledger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.watcher.Close)
	r.began = time.Now()
	return r
}

// produce sends the load; without an end it goes on until stop is closed.
func (r *running) produce(t *testing.T, rate int, stop <-chan struct{}) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	if err := oracle.Produce(ctx, []string{stage.Broker.Plain}, harness.InputTopic, r.ledger, rate, stop); err != nil {
		t.Error(err)
	}
}

// verify waits for what is still under way and holds the report against the rules.
func (r *running) verify(t *testing.T, patience time.Duration, rules oracle.Rules) oracle.Report {
	t.Helper()
	report := r.watcher.Await(patience, 20*time.Minute)
	took := r.watcher.Last().Sub(r.began)
	stage.Proof(t, "%s → %s: %s  in %.1f s, %.0f events a second", r.A.Flavor, r.B.Flavor, report,
		took.Seconds(), float64(report.Distinct)/took.Seconds())
	if err := report.Check(rules); err != nil {
		t.Errorf("%s → %s: %v", r.A.Flavor, r.B.Flavor, err)
	}
	return report
}

// run is a whole flow without faults.
func (f flow) run(t *testing.T, rules oracle.Rules) *running {
	t.Helper()
	r := f.start(t)
	r.produce(t, 0, nil)
	r.verify(t, 60*time.Second, rules)
	return r
}

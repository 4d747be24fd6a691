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

// seed is the agent that users of the file channel have at the edge: it takes events over Avro and keeps them while
// Kafka is away.
const seed = `seed.sources = r1
seed.channels = c1
seed.sinks = k1
seed.sources.r1.type = avro
seed.sources.r1.bind = 127.0.0.1
seed.sources.r1.channels = c1
seed.channels.c1.type = file
seed.channels.c1.useDualCheckpoints = true
seed.channels.c1.capacity = 250000
seed.channels.c1.transactionCapacity = 28000
seed.channels.c1.maxFileSize = 52428800
seed.channels.c1.checkpointInterval = 30000
seed.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
seed.sinks.k1.kafka.topic = ` + harness.OutputTopic + `
seed.sinks.k1.flumeBatchSize = 1000
seed.sinks.k1.channel = c1
`

// The broker is away for two minutes while events go on to come in, and the agent is killed meanwhile, three times.
// When the broker is back everything that was acknowledged arrives, and so does what comes after.
func TestSeedAgent(t *testing.T) {
	const rate, lanes = 1700, 2 // events a second: what comes in two minutes, and one large call, fit
	random := stage.Rand(t)
	away := time.Duration(float64(2*time.Minute) * stage.Scale)
	stage.Broker.Fresh(t, 1, harness.OutputTopic)
	port := stage.Port(t)
	dir := fresh(t, "c1")
	conf := harness.Conf(seed).Set("seed.sources.r1.port", fmt.Sprint(port)).Set("seed.sinks.k1.kafka.bootstrap.servers", stage.Broker.Plain).
		Set("seed.channels.c1.checkpointDir", dir+"/checkpoint").Set("seed.channels.c1.backupCheckpointDir", dir+"/backup").
		Set("seed.channels.c1.dataDirs", dir+"/data")
	a := stage.Agent(t, harness.Sluice, "seed", "seed", conf)
	a.Start(t)
	ledger := oracle.NewLedger(oracle.Load{Run: "seed", Lanes: lanes + 1, Size: 500})
	w, err := oracle.Watch([]string{stage.Broker.Plain}, harness.OutputTopic, oracle.Plain, ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)

	whole, err := oracle.NewSender(fmt.Sprintf("127.0.0.1:%d", port), lanes, ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	p := newPump(t, port, random, 400, rate, lanes, ledger)
	flows(t, ledger)
	if err := whole.Send(t.Context(), 28_000); err != nil { // one call, as large as the channel's transaction
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := stage.Broker.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(away)
	for range 3 {
		between(random.Int64N, away/8, away/4)
		a.Kill(t)
		a.Start(t)
	}
	time.Sleep(time.Until(end))
	acked, seen := ledger.Count()
	size, err := a.Metric("CHANNEL.c1", "ChannelSize")
	if err != nil {
		t.Error(err)
	}
	if err := stage.Broker.Start(ctx); err != nil {
		t.Fatal(err)
	}
	flows(t, ledger)
	time.Sleep(2 * time.Second)
	p.end()
	report := w.Await(60*time.Second, 5*time.Minute)
	stage.Proof(t, "the broker away for %v, the agent killed 3 times; then %d acknowledged events had not come out, %s in the channel; calls not acknowledged: %d; %s",
		away, acked-seen, size, count(p.refusals()), report)
	if acked-seen < int(away.Seconds()*rate/2) {
		t.Errorf("only %d events came in while the broker was away", acked-seen)
	}
	if err := report.Check(oracle.Rules{Duplicates: oracle.AnyDuplicates}); err != nil {
		t.Error(err)
	}
	if !stage.StandIn {
		soundLog(t, a)
	}
}

// flows waits until events come out.
func flows(t *testing.T, ledger *oracle.Ledger) {
	t.Helper()
	_, before := ledger.Count()
	harness.Eventually(t, 2*time.Minute, "events at the end", func() error {
		if _, now := ledger.Count(); now <= before {
			return fmt.Errorf("%d have come out, as before", now)
		}
		return nil
	})
}

func count(by map[string]int) (n int) {
	for _, k := range by {
		n += k
	}
	return n
}

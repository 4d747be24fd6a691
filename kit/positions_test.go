package kit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/kit"
)

// ledgerSettings are of a sink that writes into a ledger, exactly once where it is asked to.
type ledgerSettings struct{ once bool }

func (s *ledgerSettings) Declare(d *conf.Decl) {
	d.Bool(&s.once, "exactlyOnce", false, "Whether every event is written once.")
}

func (s *ledgerSettings) ExactlyOnce() (string, []string) {
	if !s.once {
		return "", nil
	}
	return "exactlyOnce", nil
}

// A ledger is what a database would be: it keeps rows and what is done in one transaction, and outlives agents.
type ledger struct {
	once bool

	mu       sync.Mutex
	rng      *rand.Rand
	rows     map[string]int
	done     *position.Set
	repeated int
	wrong    []string
}

func (l *ledger) Limits() flume.Limits { return flume.Limits{Events: 100} }
func (l *ledger) Close() error         { return nil }

// Deliver writes what is new. Now and then its answer is lost behind it.
func (l *ledger) Deliver(_ context.Context, b flume.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var places []position.Place
	if l.once {
		b, places = position.Cut(b)
	}
	for i := range b {
		if h := b[i].Headers; len(h) != 1 || h[0].Key != "topic" || h[0].Value != "mine" {
			l.wrong = append(l.wrong, fmt.Sprintf("%s has headers %v", b[i].Body, h))
		}
		if l.once {
			if !places[i].Known {
				l.wrong = append(l.wrong, fmt.Sprintf("%s has no position", b[i].Body))
			}
			if l.done.Seen(places[i].Position) {
				l.repeated++
				continue
			}
			l.done.Add(places[i].Position)
		}
		l.rows[string(b[i].Body)]++
	}
	if l.rng.IntN(4) == 0 {
		return errors.New("the answer was lost")
	}
	return nil
}

func newLedger(once bool) *ledger {
	return &ledger{once: once, rng: rand.New(rand.NewPCG(1, 2)), rows: map[string]int{}, done: position.NewSet(0)}
}

// Every record of Kafka comes to a sink that asks for it exactly once, through interceptors that overwrite and remove
// headers and a channel, while answers are lost and the agent is killed and started again. A sink beside it that does not
// ask gets every event, and no position.
func TestEveryRecordOnce(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		everyRecordOnce(t, func(string) string {
			return `
				a1.channels.c1.type = file
				a1.channels.c1.checkpointDir = DIR/c1
				a1.channels.c1.dataDirs = DIR/d1
				`
		})
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		everyRecordOnce(t, func(brokers string) string {
			return `
				a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
				a1.channels.c1.kafka.topic = channel
				a1.channels.c1.kafka.consumer.session.timeout.ms = 6000
				a1.channels.c1.kafka.bootstrap.servers = ` + brokers
		})
	})
}

func everyRecordOnce(t *testing.T, channel func(brokers string) string) {
	const records = 3000
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders", "channel"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	brokers := strings.Join(cluster.ListenAddrs(), ",")
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var all []*kgo.Record
	for n := range records {
		all = append(all, kgo.StringRecord(fmt.Sprint("r", n)))
	}
	once, twice := newLedger(true), newLedger(false)
	k := kit.Standard
	k.Sinks = append(slices.Clone(k.Sinks), flume.Define[ledgerSettings]("ledger", "", "Writes into a ledger.",
		func(_ context.Context, s *ledgerSettings, _ flume.Env) (flume.Sink, error) {
			if s.once {
				return once, nil
			}
			return twice, nil
		}))
	dir := t.TempDir()
	text := strings.ReplaceAll(channel(brokers), "DIR", dir)
	cfg, _, err := conf.Parse("f.conf", fmt.Appendf(nil, `
		a1.channels = c1 c2
		a1.sources = s1
		a1.sinks = k1 k2
		a1.sources.s1.type = kafka
		a1.sources.s1.kafka.bootstrap.servers = %s
		a1.sources.s1.kafka.topics = orders
		a1.sources.s1.kafka.consumer.auto.offset.reset = earliest
		a1.sources.s1.kafka.consumer.session.timeout.ms = 6000
		a1.sources.s1.kafka.consumer.group.id = source
		a1.sources.s1.channels = c1 c2
		a1.sources.s1.interceptors = i1 i2
		a1.sources.s1.interceptors.i1.type = remove_header
		a1.sources.s1.interceptors.i1.matching = .*
		a1.sources.s1.interceptors.i2.type = static
		a1.sources.s1.interceptors.i2.key = topic
		a1.sources.s1.interceptors.i2.value = mine
		a1.channels.c2.type = file
		a1.channels.c2.checkpointDir = %[2]s/c2
		a1.channels.c2.dataDirs = %[2]s/d2
		a1.sinks.k1.type = ledger
		a1.sinks.k1.channel = c1
		a1.sinks.k1.exactlyOnce = true
		a1.sinks.k2.type = ledger
		a1.sinks.k2.channel = c2
		%[3]s
		`, brokers, dir, text), conf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	whole := func() bool {
		for _, l := range []*ledger{once, twice} {
			l.mu.Lock()
			n := len(l.rows)
			l.mu.Unlock()
			if n < records {
				return false
			}
		}
		return true
	}
	const rounds = 4
	for round := range rounds {
		if err := cl.ProduceSync(t.Context(), all[round*records/rounds:(round+1)*records/rounds]...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		a, problems := agent.New(cfg.Agents[0], agent.Options{Kit: k, Log: slog.New(slog.DiscardHandler), DataDir: dir, StopTimeout: 5 * time.Second})
		if a == nil || problems.Fatal() {
			t.Fatal(problems)
		}
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(ended)
			_ = a.Run(ctx, nil) // killed
		}()
		enough := (round + 1) * records / rounds * 2 / 3
		flumetest.Until(t, "some of the records", func() bool {
			once.mu.Lock()
			defer once.mu.Unlock()
			return len(once.rows) >= enough
		})
		if round == rounds-1 {
			flumetest.Until(t, "all records", whole)
		}
		a.Kill()
		<-ended
		cancel()
	}
	for _, l := range []*ledger{once, twice} {
		for _, w := range l.wrong[:min(3, len(l.wrong))] {
			t.Error(w)
		}
	}
	for n := range records {
		if got := once.rows[fmt.Sprint("r", n)]; got != 1 {
			t.Errorf("record %d is written %d times", n, got)
		}
	}
	if once.repeated == 0 {
		t.Error("nothing came twice, so nothing is shown")
	}
	for _, p := range once.done.Partitions() {
		if r := once.done.Ranges(p); len(r) != 1 || r[0].First != 0 {
			t.Errorf("of %s is done %s", p, r)
		}
	}
	t.Logf("%d events came again", once.repeated)
}

//go:build interop

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// The directories of a log change hands between real Flume and Sluice, fifty times in each of its forms in a full run and
// fifty times in all in a small one, clean and after SIGKILL. Package wal plays our side and counts.
func TestPingPong(t *testing.T) {
	if stage.StandIn {
		t.Skip("Flume against itself")
	}
	rounds := stage.Count(50, 9)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-tags", "interop", "-count=1", "-v", "-timeout=20m", "-parallel=2", "-run", "^TestPingPong$|^TestFlumeOpensWhatWeRepaired$|^TestLocksAgainstFlume$", "./internal/wal")
	cmd.Dir = stage.Root
	cmd.Env = append(os.Environ(), "PEERS="+filepath.Join(stage.Root, "test", "peers", "peers"), fmt.Sprintf("WAL_ROUNDS=%d", rounds), fmt.Sprintf("WAL_SEED=%d", stage.Seed>>32))
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	out, err := cmd.CombinedOutput()
	passed := regexp.MustCompile(`(?m)^ *--- PASS: (TestPingPong|TestFlumeOpensWhatWeRepaired)/(\S+)`).FindAllStringSubmatch(string(out), -1)
	forms := slices.DeleteFunc(slices.Clone(passed), func(m []string) bool { return m[1] != "TestPingPong" })
	if err != nil || len(forms) == 0 || len(passed) == len(forms) {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range regexp.MustCompile(`(?m)^.*interop_test.go:\d+: (.* rounds.*)$`).FindAllStringSubmatch(string(out), -1) {
		stage.Proof(t, "%s", line[1])
	}
	stage.Proof(t, "%d rounds in each of %d forms: every event once; Flume opens what was repaired of %d damaged or killed directories; %.0f s",
		rounds, len(forms), len(passed)-len(forms), time.Since(began).Seconds())
}

// Whole agents hand the directories over: real Flume and Sluice run the same file in turn. Each round puts events in
// and lets some out, and ends with SIGTERM or SIGKILL. Every event comes out exactly once.
func TestAgentsPingPong(t *testing.T) {
	if stage.StandIn {
		t.Skip("Flume against itself")
	}
	for _, c := range []struct {
		name string
		data []string
		more func(t *testing.T, dir string) [][2]string
		turn func(c harness.Conf, round int) harness.Conf // what is edited before a round
	}{
		{name: "one directory", more: func(*testing.T, string) [][2]string { return nil }},
		{
			name: "dual, two directories", data: []string{"data1", "data2"},
			more: func(*testing.T, string) [][2]string { return dual(false) },
		},
		{
			name: "dual compressed, encrypted with changing keys",
			more: func(t *testing.T, dir string) [][2]string {
				return append(dual(true), harness.ChannelKeys(t, filepath.Join(dir, "keys"))...)
			},
			turn: func(c harness.Conf, round int) harness.Conf {
				return c.Set("a1.channels.c1.encryption.activeKey", fmt.Sprintf("key-%d", round/2%2))
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			random := stage.Rand(t)
			port := stage.Port(t)
			b := &buffer{name: "c1", dir: fresh(t, "c1")}
			b.settings = harness.FileChannel(b.dir, c.data, append(c.more(t, b.dir),
				[2]string{"capacity", "50000"}, [2]string{"transactionCapacity", "1000"}, [2]string{"checkpointInterval", "1000"}, [2]string{"maxFileSize", "100000"})...)
			load := oracle.Load{Run: "pingpong", Lanes: 2, Size: 150, Stamp: true, Headers: func(p oracle.Position) map[string]string {
				return map[string]string{"origin": "pingpong", "number": fmt.Sprintf("%d/%d", p.Lane, p.Number)}
			}}
			text := buffered(t, port, load, b)
			agents := []*harness.Agent{
				stage.Agent(t, harness.Sluice, "a1", "sluice", text),
				stage.Agent(t, harness.Flume, "a1", "flume", text),
			}
			agents[1].File, agents[1].Metrics = agents[0].File, agents[0].Metrics
			h := &handover{t: t, buffer: b, random: random, port: port}
			for range load.Lanes {
				s, err := oracle.NewSender(fmt.Sprintf("127.0.0.1:%d", port), len(h.senders), b.ledger)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				h.senders = append(h.senders, s)
			}
			rounds := stage.Count(50, 6)
			first := random.IntN(2)
			for round := range rounds {
				if c.turn != nil {
					text = c.turn(text, round)
					if err := os.WriteFile(agents[0].File, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				h.round(agents[(first+round)%2])
				if t.Failed() {
					t.Logf("in round %d", round)
					return
				}
			}
			h.drain(agents[(first+rounds)%2])
			report := b.receiver.Await(20*time.Second, time.Minute)
			stage.Proof(t, "Flume and Sluice in turn, %d rounds, %d ended with SIGKILL: %s", rounds, h.kills, report)
			if err := report.Check(oracle.Rules{Order: true}); err != nil {
				t.Error(err)
			}
			if n := lastFile(t, b.dir); n < 2*rounds {
				t.Errorf("only %d data files: none was rolled over", n)
			}
			soundLog(t, agents[0])
			for _, line := range flumeFinds.FindAllString(agents[1].Log(t), -1) {
				if !strings.HasSuffix(line, "due to EOF") { // an empty data file
					t.Errorf("Flume finds fault with the channel: %s", line)
				}
			}
		})
	}
}

// flumeFinds is what real Flume says when it opens a channel and does not take it as it is. What its own end has spoilt it
// says elsewhere: an interrupt that stops its sink may close a data file, so that it leaves empty ones and no checkpoint.
var flumeFinds = regexp.MustCompile(`(?m)^.* (WARN|ERROR) +\[lifecycleSupervisor.*channel\.file.*$|^.*BadCheckpointException.*$`)

// A handover is a channel that two agents have in turn.
type handover struct {
	*buffer
	t       *testing.T
	random  *rand.Rand
	port    int
	senders []*oracle.Sender
	kills   int
}

// round is one agent's turn.
func (h *handover) round(a *harness.Agent) {
	t := h.t
	t.Helper()
	put := h.random.IntN(2000)
	acked, seen := h.ledger.Count()
	h.receiver.Admit(h.random.IntN(1 + acked - seen + put))
	before, _ := h.receiver.Accepted()
	a.Start(t)
	h.put(put)
	h.settle(a, before, false)
	if h.random.IntN(2) == 0 {
		h.kills++
		a.Kill(t)
	} else {
		a.Stop(t)
	}
}

// drain has the last agent deliver everything.
func (h *handover) drain(a *harness.Agent) {
	h.t.Helper()
	before, _ := h.receiver.Accepted()
	h.receiver.AdmitAll()
	a.Start(h.t)
	h.settle(a, before, true)
	a.Stop(h.t)
}

func (h *handover) put(events int) {
	h.t.Helper()
	listens(h.t, h.port)
	for events > 0 {
		n := min(events, 1+h.random.IntN(200))
		s := h.senders[h.random.IntN(len(h.senders))]
		if err := s.Send(h.t.Context(), n); err != nil {
			h.t.Fatal(err)
		}
		events -= n
	}
}

// settle waits until the receiver has let in what it may, or everything, and the agent has committed that.
func (h *handover) settle(a *harness.Agent, before int, all bool) {
	h.t.Helper()
	harness.Eventually(h.t, 40*time.Second, "the end of the turn", func() error {
		acked, seen := h.ledger.Count()
		if seen < acked && (all || !h.receiver.Full()) {
			return fmt.Errorf("%d of %d have come out", seen, acked)
		}
		now, _ := h.receiver.Accepted()
		taken, err := a.Metric("CHANNEL.c1", "EventTakeSuccessCount")
		if err == nil && taken != strconv.Itoa(now-before) {
			err = fmt.Errorf("the channel has let go of %s events, the receiver has taken %d", taken, now-before)
		}
		return err
	})
}

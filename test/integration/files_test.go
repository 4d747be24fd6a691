//go:build interop

package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A relay is the two programs in turn over the same files: what the one has read the other does not read again.
type relay struct {
	dir      string
	load     oracle.Load
	ledger   *oracle.Ledger
	receiver *oracle.Receiver
	agents   []*harness.Agent
	next     int
}

func newRelay(t *testing.T, run string, source func(dir string) [][2]string) *relay {
	t.Helper()
	r := &relay{dir: fresh(t, run), load: oracle.Load{Run: run, Lanes: 1, Size: 60}}
	r.ledger = oracle.NewLedger(r.load)
	port := stage.Port(t)
	var err error
	if r.receiver, err = oracle.Receive(fmt.Sprintf("127.0.0.1:%d", port), r.ledger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.receiver.Close)
	conf := harness.Conf("a1.sources = r1\na1.channels = c1\na1.sinks = k1\n").
		SetAll("a1.sources.r1.", append(source(r.dir), [2]string{"channels", "c1"})).
		SetAll("a1.channels.c1.", harness.FileChannel(fresh(t, run+"-channel"), nil, [][2]string{{"capacity", "1000"}, {"transactionCapacity", "100"}, {"keep-alive", "1"}}...)).
		SetAll("a1.sinks.k1.", [][2]string{{"type", "avro"}, {"channel", "c1"}, {"hostname", "127.0.0.1"}, {"port", fmt.Sprint(port)}})
	for _, flavor := range []harness.Flavor{harness.Flume, harness.Sluice} {
		r.agents = append(r.agents, stage.Agent(t, flavor, "a1", flavor.String(), conf))
	}
	return r
}

// lines are the next ones, with newlines.
func (r *relay) lines(n int) (text []byte) {
	for range n {
		text = append(r.load.Body(text, 0, r.next), '\n')
		r.ledger.Acked(0, r.next, -1)
		r.next++
	}
	return text
}

func (r *relay) add(t *testing.T, name string, n int) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(r.lines(n))
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// arrives waits until all lines have come out.
func (r *relay) arrives(t *testing.T, who *harness.Agent) {
	t.Helper()
	harness.Eventually(t, time.Minute, "lines of "+who.Flavor.String(), func() error {
		if r.ledger.Complete() {
			return nil
		}
		acked, seen := r.ledger.Count()
		return fmt.Errorf("%d of %d have come", seen, acked)
	})
}

// judge allows so many duplicates for each turn.
func (r *relay) judge(t *testing.T, turns, duplicates int) {
	t.Helper()
	report := r.receiver.Await(10*time.Second, time.Minute)
	stage.Proof(t, "%d turns: %s", turns, report)
	if err := report.Check(oracle.Rules{Duplicates: turns * duplicates}); err != nil {
		t.Error(err)
	}
}

// Flume and Sluice follow the same files in turn, each from the position file that the other has left.
func TestTaildirHandedOver(t *testing.T) {
	if stage.StandIn {
		t.Skip("both are Flume")
	}
	r := newRelay(t, "handed", func(dir string) [][2]string {
		return [][2]string{{"type", "TAILDIR"}, {"filegroups", "g h"}, {"filegroups.g", dir + `/app\.log`}, {"filegroups.h", dir + `/it's <&=\.txt`},
			{"positionFile", dir + "/positions.json"}, {"writePosInterval", "200"}, {"idleTimeout", "3000"}, {"batchSize", "10"}}
	})
	turns := stage.Count(20, 4)
	for turn := range turns {
		a := r.agents[turn%2]
		r.add(t, "app.log", 25) // while nobody runs
		a.Start(t)
		r.add(t, "app.log", 25)
		r.add(t, "it's <&=.txt", 13)
		r.arrives(t, a)
		if a.Flavor == harness.Flume {
			time.Sleep(6 * time.Second) // it writes positions five seconds after its start, and none before
		}
		a.Stop(t)
	}
	r.judge(t, turns, 0)
}

// Flume and Sluice read the same directory in turn, each from the tracker file that the other has left in the middle of a file.
func TestSpooldirHandedOver(t *testing.T) {
	if stage.StandIn {
		t.Skip("both are Flume")
	}
	for _, more := range [][][2]string{
		{{"trackingPolicy", "rename"}},
		{{"trackingPolicy", "tracker_dir"}},
		{{"deletePolicy", "immediate"}},
	} {
		t.Run(more[0][1], func(t *testing.T) {
			r := newRelay(t, "spooled", func(dir string) [][2]string {
				return append([][2]string{{"type", "spooldir"}, {"spoolDir", dir}, {"batchSize", "10"}, {"pollDelay", "50"}, {"maxBackoff", "200"}, {"ignorePattern", `next`}}, more...)
			})
			turns := stage.Count(12, 4)
			for turn := range turns {
				a := r.agents[turn%2]
				r.receiver.AdmitAll()
				r.add(t, "next", 30)
				if err := os.Rename(filepath.Join(r.dir, "next"), filepath.Join(r.dir, fmt.Sprintf("%04d.log", turn))); err != nil {
					t.Fatal(err)
				}
				a.Start(t)
				r.arrives(t, a)
				r.receiver.Admit(0) // a large one stays half read: the channel is full
				r.add(t, "next", 3000)
				if err := os.Rename(filepath.Join(r.dir, "next"), filepath.Join(r.dir, fmt.Sprintf("%04d.more", turn))); err != nil {
					t.Fatal(err)
				}
				harness.Eventually(t, time.Minute, "a full channel", func() error {
					size, err := a.Metric("CHANNEL.c1", "ChannelSize")
					if n, bad := strconv.Atoi(size); err == nil && (bad != nil || n < 900) {
						err = fmt.Errorf("it has %s events", size)
					}
					return err
				})
				r.receiver.AdmitAll()
				time.Sleep(20 * time.Millisecond)
				a.Stop(t)
			}
			r.receiver.AdmitAll()
			r.agents[1].Start(t)
			r.arrives(t, r.agents[1])
			r.agents[1].Stop(t)
			r.judge(t, turns, 10) // Flume may be stopped between a batch and its position
		})
	}
}

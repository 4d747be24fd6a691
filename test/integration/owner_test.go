//go:build interop

package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// Two agents never have one directory. Whoever comes second is refused, by name, and has the channel when the first is
// gone, with all that the first has left in it; the first notices nothing.
func TestOneOwner(t *testing.T) {
	if stage.StandIn {
		t.Skip("two Flumes on one directory destroy each other's data")
	}
	for _, c := range []struct{ first, second harness.Flavor }{
		{harness.Sluice, harness.Sluice},
		{harness.Flume, harness.Sluice},
		{harness.Sluice, harness.Flume},
	} {
		t.Run(fmt.Sprintf("%s then %s", c.first, c.second), func(t *testing.T) {
			b := &buffer{name: "c1", dir: fresh(t, "c1")}
			b.settings = harness.FileChannel(b.dir, nil, [2]string{"checkpointInterval", "1000"}, [2]string{"maxFileSize", "100000"}, [2]string{"capacity", "10000"}, [2]string{"transactionCapacity", "1000"})
			load := oracle.Load{Run: "owner", Lanes: 1, Size: 100}
			ports := []int{stage.Port(t), stage.Port(t)}
			text := buffered(t, ports[0], load, b)
			first := stage.Agent(t, c.first, "a1", "first", text)
			second := stage.Agent(t, c.second, "a1", "second", text.Set("a1.sources.r1.port", fmt.Sprint(ports[1])))
			s, err := oracle.NewSender(fmt.Sprintf("127.0.0.1:%d", ports[0]), 0, b.ledger)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			put := func(n int) {
				t.Helper()
				if err := s.Send(t.Context(), n); err != nil {
					t.Fatal(err)
				}
			}
			b.receiver.Admit(0) // so that something is in the channel
			first.Start(t)
			listens(t, ports[0])
			put(1000)
			second.Launch(t)
			if c.second == harness.Sluice {
				says(t, second, regexp.QuoteMeta(b.dir)+".*process "+strconv.Itoa(first.PID()))
			} else {
				says(t, second, "Cannot lock "+regexp.QuoteMeta(b.dir))
			}
			time.Sleep(2500 * time.Millisecond) // checkpoints, attempts
			put(1000)
			b.receiver.AdmitAll()
			out(t, b, 2000)
			b.receiver.Admit(0)
			put(1000)
			if c.second == harness.Flume { // it tries only once, and removes the lock files of the first when it ends
				second.Kill(t)
				second.Start(t)
				says(t, second, "Cannot lock "+regexp.QuoteMeta(b.dir))
				second.Stop(t)
				put(1000)
			}
			first.Kill(t)
			if c.second == harness.Flume {
				second.Start(t)
			}
			b.receiver.AdmitAll()
			report := b.receiver.Await(40*time.Second, time.Minute)
			stage.Proof(t, "%s", report)
			// The second delivers what the first has left, and what the first's sink had under way again.
			if err := report.Check(oracle.Rules{Order: true, Duplicates: sinkBatch}); err != nil {
				t.Error(err)
			}
			for _, a := range []*harness.Agent{first, second} {
				if a.Flavor == harness.Sluice && strings.Contains(a.Log(t), "quarantine") {
					t.Errorf("%s has found damage", a.ID)
				}
			}
			second.Stop(t)
		})
	}
}

// listens waits until something listens on the port.
func listens(t *testing.T, port int) {
	t.Helper()
	harness.Eventually(t, 20*time.Second, "the source on its port", func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// says waits until a line of the agent's log fits the pattern.
func says(t *testing.T, a *harness.Agent, pattern string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^.*` + pattern + `.*$`)
	harness.Eventually(t, 30*time.Second, fmt.Sprintf("%q in the log of %s", pattern, a.ID), func() error {
		found := line.FindString(a.Log(t))
		if found == "" {
			return fmt.Errorf("no line of it:\n%s", a.Log(t))
		}
		t.Log(found)
		return nil
	})
}

// out waits until so many events have come out.
func out(t *testing.T, b *buffer, events int) {
	t.Helper()
	harness.Eventually(t, 30*time.Second, "events at the end", func() error {
		if _, seen := b.ledger.Count(); seen < events {
			return fmt.Errorf("%d of %d", seen, events)
		}
		return nil
	})
}

// The user's two files as they stand: the one misspells checkpointDir and so has the default directory, as a third agent
// of the same user has that sets none. Both mistakes are named with line and remedy. Whatever the third does, also when
// the first has been killed with events in its channel, those events arrive.
func TestUsersFiles(t *testing.T) {
	if stage.StandIn {
		t.Skip("about Sluice's messages")
	}
	defer func(was bool) { stage.FileChannel = was }(stage.FileChannel)
	stage.FileChannel = true
	r := flow{
		load: oracle.Load{Run: "users", Lanes: 1, Size: 300},
		editA: func(c harness.Conf) harness.Conf {
			return c.Drop(harness.ChannelA + "checkpointDir") // only the misspelt line is left
		},
	}.start(t)
	text := string(r.A.Config(t))
	line := func(key string) int {
		for i, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(l, key) {
				return i + 1
			}
		}
		t.Fatalf("no line of %s in\n%s", key, text)
		return 0
	}
	says(t, r.A, regexp.QuoteMeta(fmt.Sprintf(`%s:%d: %scheckpontDir: is not a setting; did you mean "checkpointDir"?`, r.A.File, line(harness.ChannelA+"checkpontDir"), harness.ChannelA)))
	shared := filepath.Join(r.A.Home, ".flume", "file-channel", "checkpoint")
	says(t, r.A, regexp.QuoteMeta(fmt.Sprintf(`%s:%d: %scheckpointDir: is %s, the default of every file channel`, r.A.File, line(harness.AgentA+".channels "), harness.ChannelA, shared)))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		r.produce(t, 1000, stop)
	}()
	flowsAgain(t, r)
	if _, err := os.Stat(filepath.Join(shared, "checkpoint")); err != nil {
		t.Errorf("the default directory is not where Flume has it: %v", err)
	}

	third := stage.Agent(t, harness.Sluice, "a3", "third", `a3.sources = s
a3.channels = c
a3.sinks = k
a3.sources.s.type = seq
a3.sources.s.totalEvents = 1000
a3.sources.s.channels = c
a3.channels.c.type = file
a3.sinks.k.type = null
a3.sinks.k.channel = c
`)
	third.Home = r.A.Home
	third.Start(t)
	says(t, third, fmt.Sprintf(`channel c .*%s.*process %d`, regexp.QuoteMeta(shared), r.A.PID()))
	says(t, third, regexp.QuoteMeta(fmt.Sprintf(`%s:2: a3.channels.c.dataDirs: is %s, the default of every file channel`, third.File, filepath.Join(r.A.Home, ".flume", "file-channel", "data"))))
	r.B.Kill(t) // A's channel fills
	time.Sleep(3 * time.Second)
	size, err := r.A.Metric("CHANNEL.c1", "ChannelSize")
	if err != nil || len(size) < 4 {
		t.Fatalf("%q events in A's channel, %v", size, err)
	}
	r.A.Kill(t)
	time.Sleep(8 * time.Second) // the third has a try, or two
	third.Stop(t)
	t.Logf("the third agent has said:\n%s", third.Log(t))
	r.B.Start(t)
	r.A.Start(t)
	flowsAgain(t, r)
	close(stop)
	<-done
	r.verify(t, 60*time.Second, oracle.Rules{Order: true, Duplicates: oracle.AnyDuplicates})
}

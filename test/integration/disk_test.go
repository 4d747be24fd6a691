//go:build interop

package integration

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A disk runs full. Puts are refused, which the client is told and the log gives the reason of; what is in the channel
// is delivered all the same, also after SIGKILL. When there is space again events come in again, without anybody doing
// anything, and nothing is lost.
func TestDiskFull(t *testing.T) {
	if stage.StandIn {
		t.Skip("Flume's channel delivers nothing from a full disk")
	}
	disk := stage.Disk(t, 48<<20)
	b := &buffer{name: "c1", dir: disk.Dir}
	b.settings = harness.FileChannel(b.dir, nil, [2]string{"capacity", "100000"}, [2]string{"transactionCapacity", "1000"},
		[2]string{"checkpointInterval", "1000"}, [2]string{"maxFileSize", "2000000"}, [2]string{"keep-alive", "1"})
	load := oracle.Load{Run: "full", Lanes: 1, Size: 500}
	port := stage.Port(t)
	a := stage.Agent(t, harness.Sluice, "a1", "a1", buffered(t, port, load, b))
	a.Disk = disk
	a.Start(t)

	listens(t, port)
	s, err := oracle.NewSender(fmt.Sprintf("127.0.0.1:%d", port), 0, b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refused := func() bool {
		t.Helper()
		err := s.Send(t.Context(), 100)
		if status := (*client.StatusError)(nil); err != nil && !errors.As(err, &status) {
			t.Fatalf("a full disk is answered with %v, not with FAILED", err)
		}
		return err != nil
	}

	b.receiver.Admit(0)
	if err := disk.Fill(16 << 20); err != nil {
		t.Fatal(err)
	}
	for n := 0; !refused(); n++ {
		if n > 1000 {
			t.Fatal("the channel takes more than the disk has room for")
		}
	}
	free, err := disk.Free()
	if err != nil || free < 1<<20 {
		t.Errorf("%d bytes are free, %v; minimumRequiredSpace is 1 MiB", free, err)
	}
	says(t, a, regexp.QuoteMeta(disk.Dir)+".*minimumRequiredSpace")
	held, _ := b.ledger.Count()

	// Something else takes what is left, and goes on to take what the channel gives free.
	stop := make(chan struct{})
	var filling sync.WaitGroup
	filling.Go(func() {
		for {
			if err := disk.Fill(0); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	attempts, refusals := 0, 0
	some := func() {
		for range 20 {
			if attempts++; refused() {
				refusals++
			}
		}
	}
	some()
	b.receiver.Admit(held / 2)
	out(t, b, held/2)
	some()
	time.Sleep(2500 * time.Millisecond) // a checkpoint says what was taken
	a.Kill(t)
	a.Start(t)
	listens(t, port)
	some()
	b.receiver.AdmitAll()
	acked, _ := b.ledger.Count()
	out(t, b, acked)
	harness.Eventually(t, 10*time.Second, "the empty channel", func() error {
		size, err := a.Metric("CHANNEL.c1", "ChannelSize")
		if err == nil && size != "0" {
			err = fmt.Errorf("it has %s events", size)
		}
		return err
	})
	some()
	pid := a.PID()
	close(stop)
	filling.Wait()
	if refusals < attempts*9/10 {
		t.Errorf("only %d of %d calls were refused while the disk was full", refusals, attempts)
	}

	if err := disk.Clear(); err != nil {
		t.Fatal(err)
	}
	cleared := time.Now()
	harness.Eventually(t, 5*time.Second, "puts when there is space again", func() error {
		if refused() {
			return errors.New("still refused")
		}
		return nil
	})
	again := time.Since(cleared)
	for range 50 {
		if refused() {
			t.Fatal("refused though there is space")
		}
	}
	report := b.receiver.Await(20*time.Second, time.Minute)
	stage.Proof(t, "%d events held on a full disk, %d of %d calls refused with FAILED meanwhile, all delivered while it was full, half of them after SIGKILL; with space again taken after %v; %s",
		held, refusals, attempts, again.Round(time.Millisecond), report)
	if err := report.Check(oracle.Rules{Order: true, Duplicates: sinkBatch}); err != nil {
		t.Error(err)
	}
	if !a.Alive() || a.PID() != pid {
		t.Error("the agent is another process")
	}
	soundLog(t, a)
	a.Stop(t)
}

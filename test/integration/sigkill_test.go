//go:build interop

package integration

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A buffer is one file channel of an agent and what is at its end: an Avro sink and its receiver, with a ledger.
type buffer struct {
	name     string
	dir      string
	settings [][2]string
	ledger   *oracle.Ledger
	receiver *oracle.Receiver
}

const sinkBatch = 100 // events of one call of a sink, and so what one kill may double

// buffered is an agent with an Avro source, and for each buffer a file channel and an Avro sink.
func buffered(t *testing.T, port int, load oracle.Load, all ...*buffer) harness.Conf {
	t.Helper()
	c := harness.Conf("a1.sources = r1\n").Set("a1.channels", "").Set("a1.sinks", "").
		SetAll("a1.sources.r1.", [][2]string{{"type", "avro"}, {"bind", "127.0.0.1"}, {"port", fmt.Sprint(port)}})
	var names, sinks []string
	for i, b := range all {
		sink, receiverPort := fmt.Sprintf("k%d", i+1), stage.Port(t)
		names, sinks = append(names, b.name), append(sinks, sink)
		c = c.SetAll("a1.channels."+b.name+".", b.settings).SetAll("a1.sinks."+sink+".", [][2]string{
			{"type", "avro"}, {"channel", b.name}, {"hostname", "127.0.0.1"}, {"port", fmt.Sprint(receiverPort)},
			{"batch-size", fmt.Sprint(sinkBatch)},
		})
		b.ledger = oracle.NewLedger(load)
		var err error
		if b.receiver, err = oracle.Receive(fmt.Sprintf("127.0.0.1:%d", receiverPort), b.ledger); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.receiver.Close)
	}
	return c.Set("a1.sources.r1.channels", strings.Join(names, " ")).Set("a1.channels", strings.Join(names, " ")).Set("a1.sinks", strings.Join(sinks, " "))
}

// fresh is an empty directory of the stage for a channel.
func fresh(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(stage.Dir, "channels", strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(t.Name()), name) // a comma would end it in dataDirs
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// dual are the settings of a second checkpoint.
func dual(compress bool) [][2]string {
	return [][2]string{{"useDualCheckpoints", "true"}, {"compressBackupCheckpoint", fmt.Sprint(compress)}}
}

// A victim is an agent that is killed, and notes of how.
type victim struct {
	*harness.Agent
	random *rand.Rand
	dirs   []string // of its channels

	kills, atCheckpoints, starting, early int
	starts                                []time.Duration
}

// start starts it again and waits until it runs.
func (v *victim) start(t *testing.T) {
	t.Helper()
	began := time.Now()
	v.Start(t)
	v.starts = append(v.starts, time.Since(began))
}

// kill kills it once, or twice: while it runs, at the beginning of a checkpoint, or while it starts and replays.
func (v *victim) kill(t *testing.T, most int) {
	t.Helper()
	switch v.random.IntN(4) {
	case 0:
		dir := v.dirs[v.random.IntN(len(v.dirs))]
		begins(filepath.Join(dir, "checkpoint"), 1500*time.Millisecond)
		time.Sleep(time.Duration(v.random.Int64N(int64(15 * time.Millisecond))))
		v.Kill(t)
		v.kills, v.atCheckpoints = v.kills+1, v.atCheckpoints+1
	case 1:
		between(v.random.Int64N, 0, 700*time.Millisecond)
		v.Kill(t)
		v.kills++
		for more := 1 + v.random.IntN(2); more > 0 && v.kills < most; more-- {
			v.Launch(t)
			time.Sleep(time.Duration(v.random.Int64N(1 + int64(median(v.starts)*5/4))))
			if !v.Runs() {
				v.early++
			}
			v.Kill(t)
			v.kills, v.starting = v.kills+1, v.starting+1
		}
	default:
		between(v.random.Int64N, 0, 1500*time.Millisecond)
		v.Kill(t)
		v.kills++
	}
}

// begins waits until a checkpoint begins to be written in the directory.
func begins(dir string, limit time.Duration) {
	state := func() string {
		var b strings.Builder
		for _, name := range []string{"checkpoint.tmp", "checkpoint.meta.tmp", "checkpoint"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
				fmt.Fprintln(&b, info.Size(), info.ModTime().UnixNano())
			}
		}
		return b.String()
	}
	before := state()
	for end := time.Now().Add(limit); state() == before && time.Now().Before(end); {
		time.Sleep(200 * time.Microsecond)
	}
}

// An agent with two file channels is killed again and again under load, at any moment: while puts are written, while a
// checkpoint is, while data files are rolled and removed, while it replays. Each channel delivers everything that the
// agent has acknowledged, in order, and doubles at most what its sink had under way. In the end real Flume opens what
// is left of the one, and the other is empty.
func TestSIGKILL(t *testing.T) {
	if stage.StandIn {
		t.Skip("Flume's file channel is not what is to be proven")
	}
	random := stage.Rand(t)
	kills := stage.Count(200, 20)
	load := oracle.Load{Run: "sigkill", Lanes: 4, Size: 200, Stamp: true, Headers: func(p oracle.Position) map[string]string {
		return map[string]string{"origin": "sigkill", "number": fmt.Sprintf("%d/%d", p.Lane, p.Number)}
	}}
	small := [][2]string{{"capacity", "100000"}, {"transactionCapacity", "1000"}, {"checkpointInterval", "1000"}, {"keep-alive", "1"}}
	one, two := &buffer{name: "c1", dir: fresh(t, "c1")}, &buffer{name: "c2", dir: fresh(t, "c2")}
	one.settings = harness.FileChannel(one.dir, nil, slices.Concat(small, dual(false), [][2]string{{"maxFileSize", "2000000"}})...)
	two.settings = harness.FileChannel(two.dir, []string{"data1", "data2"}, slices.Concat(small, dual(true), [][2]string{{"maxFileSize", "300000"}},
		harness.ChannelKeys(t, filepath.Join(two.dir, "keys")))...)
	port := stage.Port(t)
	v := &victim{Agent: stage.Agent(t, harness.Sluice, "a1", "a1", buffered(t, port, load, one, two)), random: random, dirs: []string{one.dir, two.dir}}
	v.start(t)
	began := time.Now()
	p := newPump(t, port, random, 100, 25_000, load.Lanes, one.ledger, two.ledger)
	for v.kills < kills {
		for _, b := range []*buffer{one, two} {
			if b.receiver.AdmitAll(); random.IntN(6) == 0 {
				b.receiver.Admit(0)
			}
			b.receiver.Pace([]time.Duration{0, 2 * time.Millisecond, 20 * time.Millisecond}[random.IntN(3)])
		}
		v.kill(t, kills)
		v.start(t)
	}
	took := time.Since(began)

	one.receiver.Admit(0) // so that Flume finds something
	two.receiver.AdmitAll()
	two.receiver.Pace(0)
	time.Sleep(2 * time.Second)
	p.end()
	v.Kill(t)
	drained := drainByFlume(t, one)
	v.start(t)
	one.receiver.AdmitAll()
	stage.Proof(t, "%d kills in %.0f s: %d of them when a checkpoint began, %d while starting (%d before it ran); start to running: median %v, most %v",
		v.kills, took.Seconds(), v.atCheckpoints, v.starting, v.early, median(v.starts).Round(time.Millisecond), slices.Max(v.starts).Round(time.Millisecond))
	for _, b := range []*buffer{one, two} {
		report := b.receiver.Await(30*time.Second, 5*time.Minute)
		_, largest := b.receiver.Accepted()
		stage.Proof(t, "channel %s: sent %d, %s  at most %d duplicates at each of %d kills are allowed; log-%d is the last file",
			b.name, p.sent(), report, sinkBatch, v.kills+1, lastFile(t, b.dir))
		if err := report.Check(oracle.Rules{Order: true, Duplicates: oracle.AnyDuplicates}); err != nil {
			t.Errorf("channel %s: %v", b.name, err)
		}
		if report.Duplicates > (v.kills+1)*sinkBatch {
			t.Errorf("channel %s: %d duplicates", b.name, report.Duplicates)
		}
		if largest > sinkBatch {
			t.Errorf("channel %s: a call has %d events", b.name, largest)
		}
	}
	stage.Proof(t, "real Flume has drained %d events of c1 after the last kill", drained)
	if drained == 0 {
		t.Error("Flume had nothing to drain")
	}
	soundLog(t, v.Agent)
	v.Stop(t)
}

// drainByFlume has real Flume take everything out of a channel whose agent has ended.
func drainByFlume(t *testing.T, b *buffer) int {
	t.Helper()
	out, err := stage.PeersOutput(t, 2*time.Minute, append([]string{"flume", "file-channel", "drain", b.dir}, harness.ToolArgs(b.settings)...)...)
	if err != nil {
		t.Fatalf("real Flume: %v\n%.2000s", err, out)
	}
	for _, word := range []string{"full_replay_after_bad_checkpoint=true", "backup_restored=true"} {
		if strings.Contains(out, word) {
			t.Errorf("Flume did not like the checkpoint: %s", word)
		}
	}
	drained := 0
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		head, body, ok := strings.Cut(lines.Text(), " | ")
		if !ok {
			continue
		}
		headers := map[string]string{}
		for kv := range strings.SplitSeq(strings.Trim(head, "{}"), ", ") {
			k, v, _ := strings.Cut(kv, "=")
			headers[k] = v
		}
		b.ledger.Saw(oracle.Record{Body: []byte(body), Headers: headers})
		drained++
	}
	return drained
}

// soundLog fails where a channel of the agent has seen damage, or anything else that needs a person: SIGKILL is no reason.
func soundLog(t *testing.T, a *harness.Agent) {
	t.Helper()
	if bad := slices.DeleteFunc(a.Errors(t), func(line string) bool { return !strings.Contains(line, " channel ") }); len(bad) > 0 {
		t.Errorf("%d errors in the log of %s:\n%s", len(bad), a.ID, strings.Join(bad[:min(5, len(bad))], "\n"))
	}
	left, err := filepath.Glob(filepath.Join(stage.Dir, "channels", "*", "*", "*quarantine*"))
	if err != nil || len(left) > 0 {
		t.Errorf("in quarantine: %v, %v", left, err)
	}
}

// lastFile is the highest number of a data file.
func lastFile(t *testing.T, dir string) (last int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "data*", "log-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(f), "log-%d", &n); err == nil {
			last = max(last, n)
		}
	}
	return last
}

//go:build interop

package integration

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A logger writes numbered lines into a file that is rotated as logrotate does it: app.log becomes app.log.1 by a rename
// or by copytruncate, app.log.1 becomes app.log.2 and is packed, the oldest goes once it has arrived.
type logger struct {
	dir    string
	load   oracle.Load
	ledger *oracle.Ledger
	random *rand.Rand

	f       *os.File
	next    int
	written atomic.Int64
	last    map[string]int // of each rotated file, its last line
	inodes  map[uint64]int
	did     map[string]int
}

const keptLogs = 6

func (l *logger) path(n int, suffix string) string {
	if n == 0 {
		return filepath.Join(l.dir, "app.log")
	}
	return filepath.Join(l.dir, fmt.Sprintf("app.log.%d%s", n, suffix))
}

func (l *logger) open() error {
	f, err := os.OpenFile(l.path(0, ""), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	l.f = f
	i, err := f.Stat()
	if err != nil {
		return err
	}
	l.inodes[i.Sys().(*syscall.Stat_t).Ino]++
	return nil
}

// run writes so many lines, in small pieces and sometimes in the middle of a line.
func (l *logger) run(lines int) error {
	if err := l.open(); err != nil {
		return err
	}
	for l.next < lines {
		for n := 1000 + l.random.IntN(9000); n > 0 && l.next < lines; {
			var text []byte
			piece := min(1+l.random.IntN(200), n, lines-l.next)
			for range piece {
				text = append(l.load.Body(text, 0, l.next), '\n')
				l.next++
			}
			n -= piece
			cut := l.random.IntN(len(text))
			for _, part := range [][]byte{text[:cut], text[cut:]} {
				if _, err := l.f.Write(part); err != nil {
					return err
				}
			}
			for i := l.next - piece; i < l.next; i++ {
				l.ledger.Acked(0, i, -1)
			}
			l.written.Store(int64(l.next))
			time.Sleep(time.Duration(l.random.IntN(3)) * time.Millisecond)
		}
		if err := l.rotate(); err != nil {
			return err
		}
	}
	return l.f.Close()
}

func (l *logger) rotate() error {
	last := l.next - 1
	for n := keptLogs; n > 0; n-- {
		for _, suffix := range []string{"", ".gz"} {
			name := l.path(n, suffix)
			number, ok := l.last[name]
			if !ok {
				continue
			}
			delete(l.last, name)
			if n == keptLogs {
				if err := errors.Join(l.arrived(number), os.Remove(name)); err != nil {
					return err
				}
				l.did["removed"]++
				continue
			}
			if err := os.Rename(name, l.path(n+1, suffix)); err != nil {
				return err
			}
			l.last[l.path(n+1, suffix)] = number
		}
	}
	if l.random.IntN(2) == 0 {
		l.did["copied and cut short"]++
		if err := copied(l.path(0, ""), l.path(1, "")); err != nil {
			return err
		}
		if err := l.f.Truncate(0); err != nil {
			return err
		}
	} else {
		l.did["renamed"]++
		if err := errors.Join(os.Rename(l.path(0, ""), l.path(1, "")), l.f.Close(), l.open()); err != nil {
			return err
		}
	}
	l.last[l.path(1, "")] = last
	n := 1 + l.random.IntN(3)
	if number, ok := l.last[l.path(n, "")]; ok && l.random.IntN(3) > 0 {
		l.did["packed"]++
		if err := packed(l.path(n, ""), l.path(n, ".gz")); err != nil {
			return err
		}
		delete(l.last, l.path(n, ""))
		l.last[l.path(n, ".gz")] = number
	}
	return nil
}

// arrived waits until every line up to one has come out: what is removed before it was read nobody can deliver.
func (l *logger) arrived(number int) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if l.ledger.Has(0, number+1) {
			return nil
		}
	}
	return fmt.Errorf("not all lines up to %d come out", number)
}

func copied(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 8<<10))
	return errors.Join(err, out.Close())
}

func packed(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	i, err := in.Stat()
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	return errors.Join(err, z.Close(), out.Close(), os.Chtimes(to, i.ModTime(), i.ModTime()), os.Remove(from)) // as gzip does it
}

// tailing is an agent with a taildir source, a file channel and an Avro sink.
func tailing(t *testing.T, dir, pattern string, sinkPort int, settings ...[2]string) harness.Conf {
	t.Helper()
	channel := harness.FileChannel(filepath.Join(dir, "channel"), nil, [][2]string{{"transactionCapacity", fmt.Sprint(sinkBatch)}, {"capacity", "100000"}}...)
	return harness.Conf("a1.sources = r1\na1.channels = c1\na1.sinks = k1\n").
		SetAll("a1.sources.r1.", append([][2]string{{"type", "TAILDIR"}, {"channels", "c1"}, {"filegroups", "g"},
			{"filegroups.g", filepath.Join(dir, "log") + "/" + pattern}, {"positionFile", filepath.Join(dir, "positions.json")}}, settings...)).
		SetAll("a1.channels.c1.", channel).
		SetAll("a1.sinks.k1.", [][2]string{{"type", "avro"}, {"channel", "c1"}, {"hostname", "127.0.0.1"}, {"port", fmt.Sprint(sinkPort)}, {"batch-size", fmt.Sprint(sinkBatch)}})
}

// A log is rotated by renames, by copytruncate, packed, its inodes are used again, and the agent is killed meanwhile: no line is
// lost, and at most what source and sink had under way comes twice.
func TestTaildirKilled(t *testing.T) {
	if stage.StandIn {
		t.Skip("Flume loses and repeats lines here")
	}
	random := stage.Rand(t)
	lines, kills := stage.Count(1_000_000, 50_000), stage.Count(50, 10)
	dir := fresh(t, "tail")
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	load := oracle.Load{Run: "tail", Lanes: 1, Size: 60}
	ledger := oracle.NewLedger(load)
	sinkPort := stage.Port(t)
	receiver, err := oracle.Receive(fmt.Sprintf("127.0.0.1:%d", sinkPort), ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	a := stage.Agent(t, harness.Sluice, "a1", "a1", tailing(t, dir, `app\.log.*`, sinkPort))
	a.Start(t)
	l := &logger{dir: filepath.Join(dir, "log"), load: load, ledger: ledger, random: rand.New(rand.NewPCG(random.Uint64(), 1)),
		last: map[string]int{}, inodes: map[uint64]int{}, did: map[string]int{}}
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- l.run(lines) }()
	killed := 0
	var writing error
	for ended := false; !ended; {
		select {
		case writing = <-done:
			ended = true
		case <-time.After(time.Duration(random.Int64N(int64(time.Second)))):
			if killed*lines > kills*int(l.written.Load()) { // spread over the whole
				continue
			}
			a.Kill(t)
			time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
			a.Start(t)
			killed++
		}
	}
	if writing != nil {
		t.Fatal(writing)
	}
	for ; killed < kills; killed++ {
		a.Kill(t)
		a.Start(t)
	}
	report := receiver.Await(30*time.Second, 3*time.Minute)
	reused := 0
	for _, n := range l.inodes {
		reused += n - 1
	}
	stage.Proof(t, "%d lines in %.0f s, %d kills, rotations %v, %d inodes used again: %s", lines, time.Since(began).Seconds(), killed, l.did, reused, report)
	if err := report.Check(oracle.Rules{Duplicates: killed * 2 * sinkBatch}); err != nil {
		t.Error(err)
	}
	if reused == 0 {
		t.Error("no inode was used again")
	}
	if bad := a.Errors(t); len(bad) > 0 {
		t.Errorf("%q", bad[:min(5, len(bad))])
	}
	a.Stop(t)
}

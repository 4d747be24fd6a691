//go:build interop

package integration

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A landing is a flow Kafka → file channel → HDFS with a load whose fate a ledger knows.
type landing struct {
	*harness.Agent
	h      *harness.HDFS
	dir    string
	ledger *oracle.Ledger
	stop   chan struct{}
	ended  chan error
}

// land starts a flow that rolls its files every few seconds and has two buckets.
func land(t *testing.T, name string, rate int, settings ...[2]string) *landing {
	t.Helper()
	h := stage.HDFS(t)
	l := &landing{h: h, dir: "/" + name, stop: make(chan struct{}), ended: make(chan error, 1),
		ledger: oracle.NewLedger(oracle.Load{Run: name, Lanes: 2, Size: 400})}
	h.Fresh(t, l.dir)
	stage.Broker.Fresh(t, 2, hdfsTopic)
	stage.Broker.FreshGroup(t, hdfsAgent, hdfsTopic)
	conf := kafkaToHDFS(t, h, l.dir).Set(hdfsSink+"hdfs.path", h.Root+l.dir+"/%{partition}").Set(hdfsAgent+".sources.s1.useFlumeEventFormat", "false").
		SetAll(hdfsAgent+".channels.c1.", harness.FileChannel(fresh(t, "c1"), nil, [2]string{"capacity", "200000"}, [2]string{"transactionCapacity", "50000"})).
		SetAll(hdfsSink, [][2]string{{"hdfs.rollInterval", "5"}, {"hdfs.rollSize", "2000000"}, {"hdfs.callTimeout", "10000"}, {"hdfs.retryInterval", "5"}}).
		SetAll(hdfsSink, settings)
	l.Agent = stage.Agent(t, harness.Sluice, hdfsAgent, "hdfs", conf)
	l.Start(t)
	go func() {
		l.ended <- oracle.Produce(t.Context(), []string{stage.Broker.Plain}, hdfsTopic, l.ledger, rate, l.stop)
	}()
	return l
}

// finish ends the load, waits until nothing is under way, and reads all files. The rules are those of the ledger.
func (l *landing) finish(t *testing.T, rules oracle.Rules) {
	t.Helper()
	close(l.stop)
	if err := <-l.ended; err != nil {
		t.Error(err)
	}
	acked, _ := l.ledger.Count()
	harness.Eventually(t, 3*time.Minute, "the channel is empty and no file is in use", func() error {
		behind, err := stage.Broker.Lag(t.Context(), hdfsAgent, hdfsTopic)
		if err != nil || behind > 0 {
			return fmt.Errorf("%d events are in Kafka: %w", behind, err)
		}
		n, err := l.Metric("CHANNEL.c1", "ChannelSize")
		if err != nil || n != "0" {
			return fmt.Errorf("%s events are in the channel: %w", n, err)
		}
		lag := 0
		for _, name := range l.files(t) {
			if strings.HasSuffix(name, ".tmp") {
				lag++
			}
		}
		if lag > 0 {
			return fmt.Errorf("%d files are in use", lag)
		}
		return nil
	})
	l.Stop(t)
	files := l.files(t)
	var bytesRead int
	for _, name := range files {
		if strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s is left in use", name)
		}
		text := l.h.Read(t, name)
		if strings.HasSuffix(name, ".gz") {
			text = gunzip(t, name, text)
		}
		bytesRead += len(text)
		if len(text) == 0 || text[len(text)-1] != '\n' {
			t.Errorf("%s ends within a line, or is empty", name)
		}
		for line := range bytes.Lines(text) {
			l.ledger.Saw(oracle.Record{Body: bytes.TrimSuffix(line, []byte{'\n'})})
		}
	}
	report := l.ledger.Report()
	stage.Proof(t, "%d acknowledged by Kafka, %d files with %d bytes: %s", acked, len(files), bytesRead, report)
	if err := report.Check(rules); err != nil {
		t.Error(err)
	}
	if bad := slices.DeleteFunc(l.Errors(t), func(line string) bool { return strings.Contains(line, "still") }); len(bad) > 0 {
		t.Errorf("%d errors in the log:\n%s", len(bad), strings.Join(bad[:min(5, len(bad))], "\n"))
	}
}

// files are those with events; the ledger of hdfs.exactlyOnce is none.
func (l *landing) files(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(l.h.Files(t, l.dir), func(name string) bool { return strings.Contains(name, "/_sluice/") })
}

func gunzip(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Errorf("reading %s: %v", name, err)
		return nil
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("reading %s: %v", name, err)
	}
	return text
}

// DataNodes are killed one after the other under load, and the NameNode once. Nothing is lost, and no file stays in use.
func TestHDFSNodesKilled(t *testing.T) {
	l := land(t, "nodes", 2000)
	kills := stage.Count(15, 2)
	for i := range kills {
		time.Sleep(5 * time.Second)
		n := fmt.Sprint(i%3 + 1)
		l.h.Do(t, "kill-datanode", n)
		time.Sleep(10 * time.Second)
		l.h.Do(t, "start-datanode", n)
		if i == kills/2 {
			l.h.Do(t, "kill-namenode")
			time.Sleep(5 * time.Second)
			l.h.Do(t, "start-namenode")
		}
	}
	time.Sleep(5 * time.Second)
	l.finish(t, oracle.Rules{Duplicates: oracle.AnyDuplicates, AnyKey: true})
}

// One directory is over its quota for a while, then the NameNode is in safe mode: the other directory goes on meanwhile,
// and in the end nothing is lost.
func TestHDFSQuotaAndSafeMode(t *testing.T) {
	l := land(t, "quota", 1000, [2]string{"hdfs.rollSize", "200000"})
	for _, lane := range []string{"0", "1"} {
		harness.Eventually(t, 30*time.Second, "there is a directory", func() error {
			_, err := l.h.FS.Stat(t.Context(), l.dir+"/"+lane)
			return err
		})
	}
	delivered := func() (n int) {
		text, err := l.Metric("SINK.k1", "EventDrainSuccessCount")
		if err == nil {
			n, err = strconv.Atoi(text)
		}
		if err != nil {
			t.Error(err)
		}
		return n
	}
	l.h.Do(t, "admin", "-setSpaceQuota", "1m", l.dir+"/1")
	time.Sleep(3 * time.Second)
	before := delivered()
	time.Sleep(5 * time.Second)
	if n := delivered() - before; n < 500 {
		t.Errorf("%d events were delivered in 5 s while one of two directories was full", n)
	}
	l.h.Do(t, "admin", "-clrSpaceQuota", l.dir+"/1")
	l.h.Do(t, "admin", "-safemode", "enter")
	time.Sleep(5 * time.Second)
	l.h.Do(t, "admin", "-safemode", "leave")
	time.Sleep(3 * time.Second)
	l.finish(t, oracle.Rules{AnyKey: true})
}

// The agent is killed again and again under load. Nothing is lost; what comes twice is what was flushed and not committed;
// the next start closes what the last one has left.
func TestHDFSAgentKilled(t *testing.T) {
	random := stage.Rand(t)
	for _, format := range []string{"text", "gzip"} {
		t.Run(format, func(t *testing.T) {
			var settings [][2]string
			if format == "gzip" {
				settings = [][2]string{{"hdfs.fileType", "CompressedStream"}, {"hdfs.codeC", "gzip"}}
			}
			l := land(t, "killed-"+format, 3000, settings...)
			kills := stage.Count(50, 5)
			for range kills {
				between(random.Int64N, 300*time.Millisecond, 3*time.Second)
				l.Kill(t)
				l.Start(t)
			}
			l.finish(t, oracle.Rules{Duplicates: (kills + 1) * 2000, AnyKey: true})
		})
	}
}

// With hdfs.exactlyOnce the same leaves every record of Kafka in the files once: none is missing and none comes twice.
func TestHDFSExactlyOnce(t *testing.T) {
	random := stage.Rand(t)
	for _, format := range []string{"text", "gzip"} {
		t.Run(format, func(t *testing.T) {
			settings := [][2]string{{"hdfs.exactlyOnce", "true"}}
			if format == "gzip" {
				settings = append(settings, [2]string{"hdfs.fileType", "CompressedStream"}, [2]string{"hdfs.codeC", "gzip"})
			}
			l := land(t, "once-"+format, 3000, settings...)
			for range stage.Count(50, 5) {
				between(random.Int64N, 300*time.Millisecond, 3*time.Second)
				l.Kill(t)
				l.Start(t)
			}
			l.finish(t, oracle.Rules{AnyKey: true})
		})
	}
}

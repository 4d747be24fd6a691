//go:build interop

package integration

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/test/harness"
)

// Thousands of files are open at one time, each batch writes to hundreds of them, and the agent stays small.
func TestHDFSManyBuckets(t *testing.T) {
	h := stage.HDFS(t)
	const dir, per, size = "/many", 500, 1024
	h.Fresh(t, dir)
	buckets, limit := stage.Count(5000, 500), time.Duration(stage.Count(600, 20))*time.Second
	port := stage.Port(t)
	conf := harness.Conf("a1.sources = r1\na1.channels = c1\na1.sinks = k1\n").
		SetAll("a1.sources.r1.", [][2]string{{"type", "avro"}, {"bind", "127.0.0.1"}, {"port", fmt.Sprint(port)}, {"channels", "c1"}}).
		SetAll("a1.channels.c1.", [][2]string{{"type", "memory"}, {"capacity", "20000"}, {"transactionCapacity", "2000"}, {"keep-alive", "90"}}).
		SetAll("a1.sinks.k1.", [][2]string{{"type", "hdfs"}, {"channel", "c1"}, {"hdfs.path", h.Root + dir + "/%{b}"}, {"hdfs.fileType", "DataStream"},
			{"hdfs.rollInterval", "0"}, {"hdfs.rollCount", "0"}, {"hdfs.rollSize", "0"}, {"hdfs.batchSize", "1000"}})
	a := stage.Agent(t, harness.Sluice, "a1", "many", conf)
	a.Start(t)
	cl, err := client.Open(client.Options{Address: fmt.Sprintf("127.0.0.1:%d", port), ConnectTimeout: 2 * time.Minute, RequestTimeout: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	sent, most := 0, 0
	var longest time.Duration
	for began := time.Now(); time.Since(began) < limit || sent < 2*buckets; {
		b := make(flume.Batch, per)
		for i := range b {
			b[i] = flume.Event{Headers: flume.Headers{{Key: "b", Value: strconv.Itoa(sent % buckets)}}, Body: fmt.Appendf(nil, "%08d %s", sent, strings.Repeat("x", size-10))}
			sent++
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // files are opened as fast as the DataNodes can
		at := time.Now()
		err := cl.AppendBatch(ctx, b)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if sent > buckets { // all files are open
			longest = max(longest, time.Since(at))
		}
		most = max(most, resident(t, a.PID()))
	}
	harness.Eventually(t, 2*time.Minute, "all events are delivered", func() error {
		n, err := a.Metric("SINK.k1", "EventDrainSuccessCount")
		if err == nil && n != fmt.Sprint(sent) {
			err = fmt.Errorf("%s of %d", n, sent)
		}
		return err
	})
	open := len(h.Files(t, dir))
	a.Stop(t)
	files := h.Files(t, dir)
	seen := make([]bool, sent)
	for _, name := range files {
		for line := range strings.Lines(string(h.Read(t, name))) {
			n, err := strconv.Atoi(line[:8])
			if err != nil || n >= sent || seen[n] || fmt.Sprint(n%buckets) != path.Base(path.Dir(name)) || len(line) != size {
				t.Fatalf("%s has the line %.20q: %v", name, line, err)
			}
			seen[n] = true
		}
	}
	if slices.Contains(seen, false) || open != buckets || len(files) != buckets {
		t.Errorf("%d files were open, %d are there, event %d is missing", open, len(files), slices.Index(seen, false))
	}
	if most > 600<<10 {
		t.Errorf("the agent has had %d kB", most)
	}
	stage.Proof(t, "%d buckets open: %d events of %d bytes; resident memory of the agent at most %d MB, longest wait of the sender %v",
		buckets, sent, size, most>>10, longest.Round(time.Millisecond))
}

// resident is the memory of a process in kB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

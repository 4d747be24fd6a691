//go:build interop

package integration

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/test/harness"
)

const (
	hdfsAgent = "kafka-hdfs"
	hdfsSink  = hdfsAgent + ".sinks.k1."
	hdfsTopic = "events"
)

// kafkaToHDFS is the example with the addresses of the stage, writing below dir.
func kafkaToHDFS(t *testing.T, h *harness.HDFS, dir string) harness.Conf {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(stage.Root, "examples", "kafka-to-hdfs.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return harness.Conf(text).Set(hdfsAgent+".sources.s1.kafka.bootstrap.servers", stage.Broker.Plain).
		Set(hdfsSink+"hdfs.path", h.Root+dir+"/%{project_id}/%y-%m-%d/%H%M")
}

// flumeEvent is an AvroFlumeEvent.
func flumeEvent(headers map[string]string, body string) []byte {
	text := func(b []byte, s string) []byte { return append(binary.AppendVarint(b, int64(len(s))), s...) }
	b := binary.AppendVarint(nil, int64(len(headers)))
	for k, v := range headers {
		b = text(text(b, k), v)
	}
	return text(append(b, 0), body)
}

// Events land by their own project and minute, whoever has made them: a Go, a Python and a Java program through Kafka,
// and the HTTP source. Those made before midnight lie in the directory of their day. Hadoop's shell reads them.
func TestHDFSFromKafka(t *testing.T) {
	h := stage.HDFS(t)
	const dir = "/flow"
	h.Fresh(t, dir)
	stage.Broker.Fresh(t, 2, hdfsTopic)
	stage.Broker.FreshGroup(t, hdfsAgent, hdfsTopic)
	port := stage.Port(t)
	conf := kafkaToHDFS(t, h, dir).Set(hdfsAgent+".sources", "s1 h1").SetAll(hdfsAgent+".sources.h1.", [][2]string{
		{"type", "http"}, {"bind", "127.0.0.1"}, {"port", fmt.Sprint(port)}, {"channels", "c1"},
	})
	a := stage.Agent(t, harness.Sluice, hdfsAgent, "hdfs", conf)
	a.Start(t)

	midnight := time.Date(2024, 4, 1, 0, 0, 0, 0, time.UTC)
	per := stage.Count(20_000, 2_000)
	want := map[string]map[string]bool{} // directory, body
	expect := func(project string, at time.Time, body string) {
		d := path.Join(dir, project, at.Format("06-01-02/1504"))
		if want[d] == nil {
			want[d] = map[string]bool{}
		}
		want[d][body] = true
	}
	cl, err := kgo.NewClient(stage.Broker.Client(kgo.DefaultProduceTopic(hdfsTopic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range per { // two minutes before midnight and two behind it, not in order
		at := midnight.Add(time.Duration(i*7919%240_000-120_000) * time.Millisecond)
		body := fmt.Sprintf("go %d %d", i, at.UnixMilli())
		cl.Produce(t.Context(), &kgo.Record{Value: flumeEvent(map[string]string{"project_id": fmt.Sprintf("go%d", i%3), "timestamp": fmt.Sprint(at.UnixMilli())}, body)}, nil)
		expect(fmt.Sprintf("go%d", i%3), at, body)
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	python(t, "avro_projects.py", stage.Broker.Plain, hdfsTopic, fmt.Sprint(per/4), fmt.Sprint(midnight.UnixMilli()))
	for i := range per / 4 {
		expect("py", midnight.Add(time.Duration(i%2000-1000)*time.Millisecond), fmt.Sprintf("python %d", i))
	}
	if out, err := stage.Peers(t, time.Minute, "kafka", "load", "produce", "--topic="+hdfsTopic, fmt.Sprintf("--count=%d", per/4), "--run=java", "--size=20", "--flume-format",
		"--header.project_id=java", fmt.Sprintf("--header.timestamp=%d", midnight.UnixMilli()-1)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	type event struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	var events []event
	for i := range 100 {
		at := midnight.Add(time.Duration(i-50) * time.Second)
		events = append(events, event{map[string]string{"project_id": "web", "timestamp": fmt.Sprint(at.UnixMilli())}, fmt.Sprintf("http %d", i)})
		expect("web", at, fmt.Sprintf("http %d", i))
	}
	text, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/", port), "application/json", bytes.NewReader(text))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	answer.Body.Close()

	total := per + 2*(per/4) + len(events)
	harness.Eventually(t, time.Minute, "all events are delivered", func() error {
		n, err := a.Metric("SINK.k1", "EventDrainSuccessCount")
		if err == nil && n != fmt.Sprint(total) {
			err = fmt.Errorf("%s of %d", n, total)
		}
		return err
	})
	a.Stop(t)

	javaDir := path.Join(dir, "java/24-03-31/2359")
	for _, d := range slices.Sorted(maps.Keys(want)) {
		got := map[string]bool{}
		for _, name := range h.Files(t, d) {
			for line := range strings.Lines(string(h.Read(t, name))) {
				got[strings.TrimSuffix(line, "\n")] = true
			}
		}
		if !maps.Equal(got, want[d]) {
			t.Errorf("%s has %d events, not the %d that belong there", d, len(got), len(want[d]))
		}
	}
	files := h.Files(t, dir)
	dirs := map[string]bool{}
	for _, name := range files {
		dirs[path.Dir(name)] = true
		if strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s is in use", name)
		}
	}
	if len(dirs) != len(want)+1 || !dirs[javaDir] {
		t.Errorf("the directories are %v", slices.Sorted(maps.Keys(dirs)))
	}
	lines := strings.Split(strings.TrimSuffix(h.Text(t, dir+"/*/*/*/*"), "\n"), "\n")
	slices.Sort(lines)
	if distinct := len(slices.Compact(slices.Clone(lines))); len(lines) != total || distinct != total {
		t.Errorf("hdfs fs -text shows %d lines, %d of them different; %d events were sent", len(lines), distinct, total)
	}
	stage.Proof(t, "%d events of Go, Python, Java and HTTP in %d files of %d directories; hdfs fs -text shows %d lines", total, len(files), len(dirs), len(lines))
}

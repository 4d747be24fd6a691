//go:build interop

package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// interpreter is the peers' Python.
func interpreter(t *testing.T) string {
	t.Helper()
	out, err := stage.Peers(t, 3*time.Minute, "python")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

// settings are what a program that uses the Python client has in its environment.
func settings(more ...string) []string {
	return append([]string{"PYTHONPATH=" + filepath.Join(stage.Root, "clients", "python", "src"), "PYTHONDONTWRITEBYTECODE=1"}, more...)
}

// The tests of the Python client itself: golden bytes, damaged answers, buffers killed at random moments; and that its text
// is Python 3.8 and its types are sound.
func TestPythonClientAlone(t *testing.T) {
	if stage.StandIn {
		t.Skip("no agent takes part")
	}
	kills := stage.Count(200, 10)
	args := settings("SLUICE_TOOLS=1", fmt.Sprintf("SLUICE_SEED=%d", stage.Seed), fmt.Sprintf("SLUICE_KILLS=%d", kills), interpreter(t),
		"-W", "error::ResourceWarning", "-m", "unittest", "discover", "-s", filepath.Join(stage.Root, "clients", "python", "tests"))
	if _, err := stage.Run(t, 10*time.Minute, "env", args...); err != nil {
		t.Fatal(err)
	}
	stage.Proof(t, "its tests pass; two buffers in files were killed %d times each", kills)
}

// A setup is what testdata/python_client.py is told.
type setup struct {
	Client  string            `json:"client"`
	Port    int               `json:"port"`
	Options map[string]string `json:"options,omitempty"`
	Lane    int               `json:"lane"`
	First   int               `json:"first"`
	Count   int               `json:"count"`
	Size    int               `json:"size"`
	Run     string            `json:"run"`
	Buffer  string            `json:"buffer,omitempty"`
	AIO     bool              `json:"aio,omitempty"`
	Single  bool              `json:"single,omitempty"`
}

// A pythonProducer is a Python program that sends numbered events, and can be killed and started again.
type pythonProducer struct {
	setup
	python string
	acked  atomic.Int64 // events for which send returned
	done   atomic.Bool
	kills  int
	cmd    *exec.Cmd
	ended  chan error
}

func (p *pythonProducer) start(t *testing.T) {
	t.Helper()
	s := p.setup
	s.First = int(p.acked.Load())
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.CommandContext(t.Context(), p.python, filepath.Join("testdata", "python_client.py"), "send", string(text))
	p.cmd.Env = append(os.Environ(), settings()...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			if n, err := strconv.Atoi(rest); err == nil && word == "acked" {
				p.acked.Store(int64(n))
			}
			if word == "done" {
				p.done.Store(true)
			}
		}
		ended <- cmd.Wait()
	}(p.cmd, p.ended)
}

// kill ends it with SIGKILL. What it said until then counts.
func (p *pythonProducer) kill(t *testing.T) {
	t.Helper()
	if p.done.Load() {
		return
	}
	_ = p.cmd.Process.Kill() // it may have come to its end meanwhile
	<-p.ended
	p.kills++
}

// wait returns when it has sent and delivered everything.
func (p *pythonProducer) wait(t *testing.T, limit time.Duration) {
	t.Helper()
	select {
	case err := <-p.ended:
		if err != nil || !p.done.Load() {
			t.Errorf("the client of lane %d ended after %d events: %v", p.Lane, p.acked.Load(), err)
		}
	case <-time.After(limit):
		_ = p.cmd.Process.Kill()
		t.Errorf("the client of lane %d is not done after %v; %d events", p.Lane, limit, p.acked.Load())
	}
}

// Python clients with a buffer in a file send through an agent that is killed, and are killed themselves: of the events for
// which send returned none is missing, and what comes twice is bounded by what one call held at each kill.
func TestPythonClientKilled(t *testing.T) {
	const batch = 100
	random := stage.Rand(t).Int64N
	clients := []setup{{Client: "avro"}, {Client: "thrift"}, {Client: "http"}}
	load := oracle.Load{Run: "python", Lanes: len(clients), Size: 120}
	ledger := oracle.NewLedger(load)
	end := stage.Port(t)
	receiver, err := oracle.Receive(fmt.Sprintf("127.0.0.1:%d", end), ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	dir := fresh(t, "python")
	conf := harness.Conf("p.sources = avro thrift http\np.channels = c\np.sinks = k\n").
		SetAll("p.channels.c.", [][2]string{{"type", "file"}, {"checkpointDir", dir + "/checkpoint"}, {"dataDirs", dir + "/data"}, {"transactionCapacity", strconv.Itoa(batch)}}).
		SetAll("p.sinks.k.", [][2]string{{"type", "avro"}, {"hostname", "127.0.0.1"}, {"port", strconv.Itoa(end)}, {"batch-size", strconv.Itoa(batch)}, {"channel", "c"}})
	python := interpreter(t)
	producers := make([]*pythonProducer, len(clients))
	for lane, c := range clients {
		c.Port, c.Lane, c.Count, c.Size, c.Run = stage.Port(t), lane, stage.Count(1_000_000, 30_000), load.Size, load.Run
		c.Buffer = filepath.Join(dir, c.Client+".buffer")
		conf = conf.SetAll("p.sources."+c.Client+".", [][2]string{{"type", c.Client}, {"bind", "127.0.0.1"}, {"port", strconv.Itoa(c.Port)}, {"channels", "c"}})
		producers[lane] = &pythonProducer{setup: c, python: python}
	}
	agent := stage.Agent(t, harness.Sluice, "p", "p", conf)
	agent.Start(t)
	began := time.Now()
	for _, p := range producers {
		p.start(t)
	}

	kills, each := stage.Count(20, 4), stage.Count(5, 2)
	for i := range kills {
		flows(t, ledger)
		between(random, 200*time.Millisecond, 1500*time.Millisecond)
		agent.Kill(t)
		between(random, 0, 700*time.Millisecond)
		if i < each {
			for _, p := range producers { // while the agent is away, so that they begin with a buffer that is not empty
				p.kill(t)
			}
		}
		agent.Start(t)
		if i < each {
			for _, p := range producers {
				if !p.done.Load() {
					p.start(t)
				}
			}
		}
		if complete(producers) {
			kills = i + 1
			break
		}
	}
	for _, p := range producers {
		p.wait(t, 15*time.Minute)
		for n := range int(p.acked.Load()) {
			ledger.Acked(p.Lane, n, -1)
		}
	}
	report := receiver.Await(20*time.Second, 3*time.Minute)
	took := receiver.Last().Sub(began)
	stage.Proof(t, "%d kills of the agent, of each client %d: %s in %.1f s", kills, producers[0].kills, report, took.Seconds())
	// A kill of the agent: one call of the client and one of the sink. A kill of the client: the call under way, and one
	// batch that was in the buffer though send had not returned.
	if err := report.Check(oracle.Rules{Order: true, Duplicates: 2*batch*kills + 2*batch*each}); err != nil {
		t.Error(err)
	}
}

func complete(producers []*pythonProducer) bool {
	for _, p := range producers {
		if !p.done.Load() {
			return false
		}
	}
	return true
}

// Every Python client, blocking and for asyncio, sends to Sluice and to real Flume.
func TestPythonClients(t *testing.T) {
	type way struct {
		link
		source, client string
		options        map[string]string
	}
	k := stage.TLS
	ways := []way{
		{link: link{name: "thrift compact"}, source: "thrift", client: "thrift"},
		{link: link{name: "thrift binary", server: [][2]string{{"protocol", "binary"}}}, source: "thrift", client: "thrift", options: map[string]string{"protocol": "binary"}},
		{link: link{name: "http"}, source: "http", client: "http"},
	}
	for _, l := range links() {
		w := way{link: l, source: "avro", client: "properties", options: map[string]string{"hosts": "h1"}}
		for _, kv := range l.client {
			w.options[kv[0]] = kv[1]
		}
		if w.options["truststore"] != "" { // which Python reads as PEM only
			w.options["truststore"] = k.TrustPEM
			delete(w.options, "truststore-type")
			delete(w.options, "truststore-password")
		}
		ways = append(ways, w)
	}
	python := interpreter(t)
	for _, flavor := range []harness.Flavor{harness.Sluice, harness.Flume} {
		t.Run(flavor.String(), func(t *testing.T) {
			const programs = 3 // of each way: a client, one for asyncio, a sender with a buffer
			load := oracle.Load{Run: "clients", Lanes: programs * len(ways), Size: 120}
			ledger := oracle.NewLedger(load)
			end := stage.Port(t)
			receiver, err := oracle.Receive(fmt.Sprintf("127.0.0.1:%d", end), ledger)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(receiver.Close)
			conf := harness.Conf("p.channels = c\np.sinks = k\n").
				SetAll("p.channels.c.", [][2]string{{"type", "memory"}, {"capacity", "10000"}, {"transactionCapacity", "1000"}}).
				SetAll("p.sinks.k.", [][2]string{{"type", "avro"}, {"hostname", "127.0.0.1"}, {"port", strconv.Itoa(end)}, {"batch-size", "1000"}, {"channel", "c"}})
			var names []string
			ports := make([]int, len(ways))
			for i, w := range ways {
				if w.onlySluice && (flavor == harness.Flume || stage.StandIn) {
					continue // real Flume has no such key store
				}
				name := fmt.Sprintf("s%d", i)
				names, ports[i] = append(names, name), stage.Port(t)
				conf = conf.SetAll("p.sources."+name+".", append([][2]string{
					{"type", w.source}, {"bind", "127.0.0.1"}, {"port", strconv.Itoa(ports[i])}, {"channels", "c"},
				}, w.server...))
			}
			stage.Agent(t, flavor, "p", "p", conf.Set("p.sources", strings.Join(names, " "))).Start(t)
			for i, w := range ways {
				if ports[i] == 0 {
					continue
				}
				listens(t, ports[i])
				options := maps.Clone(w.options)
				if w.client == "properties" {
					options["hosts.h1"] = fmt.Sprintf("127.0.0.1:%d", ports[i])
				}
				var together sync.WaitGroup
				for n := range programs {
					p := &pythonProducer{python: python, setup: setup{
						Client: w.client, Port: ports[i], Options: options, Lane: i*programs + n, Count: stage.Count(50_000, 2_000), Size: load.Size, Run: load.Run,
					}}
					switch n {
					case 0:
						p.Single = true
					case 1:
						p.AIO = true
					case 2:
						p.Buffer = filepath.Join(t.TempDir(), "buffer")
					}
					p.start(t)
					together.Go(func() {
						p.wait(t, 4*time.Minute)
						for n := range int(p.acked.Load()) {
							ledger.Acked(p.Lane, n, -1)
						}
					})
				}
				together.Wait()
				if t.Failed() {
					t.Fatalf("that was %s", w.name)
				}
			}
			report := receiver.Await(20*time.Second, 2*time.Minute)
			stage.Proof(t, "%d ways, %d programs each: %d events acknowledged, missing %d, duplicates %d", len(names), programs, report.Acked, report.Missing, report.Duplicates)
			rules := oracle.Rules{Order: flavor == harness.Sluice}
			if flavor == harness.Flume {
				rules.Duplicates = oracle.AnyDuplicates // a call that fails in a full channel is made again
			}
			if err := report.Check(rules); err != nil {
				t.Error(err)
			}
		})
	}
}

// Beside the code that the Thrift compiler makes, with the C code of its package used by both, and by neither.
func TestPythonClientSpeed(t *testing.T) {
	ports := [3]int{stage.Port(t), stage.Port(t), stage.Port(t)}
	conf := harness.Conf("p.sources = avro compact binary\np.channels = c\np.sinks = k\n").
		SetAll("p.channels.c.", [][2]string{{"type", "memory"}, {"capacity", "100000"}, {"transactionCapacity", "10000"}}).
		SetAll("p.sinks.k.", [][2]string{{"type", "null"}, {"channel", "c"}})
	for i, name := range []string{"avro", "compact", "binary"} {
		source := "p.sources." + name + "."
		conf = conf.SetAll(source, [][2]string{{"type", "thrift"}, {"bind", "127.0.0.1"}, {"port", strconv.Itoa(ports[i])}, {"channels", "c"}})
		if i == 0 {
			conf = conf.Set(source+"type", "avro")
		} else {
			conf = conf.Set(source+"protocol", name)
		}
	}
	stage.Agent(t, harness.Sluice, "p", "p", conf).Start(t)
	python := interpreter(t)
	for i, protocol := range []string{"compact", "binary"} {
		text, err := json.Marshal(map[string]any{
			"protocol": protocol, "port": ports[i+1], "avro": ports[0], "count": stage.Count(2_000_000, 100_000), "size": 200,
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := stage.Run(t, 8*time.Minute, "env", settings(python, filepath.Join("testdata", "python_client.py"), "speed", string(text))...)
		if err != nil {
			t.Fatal(err)
		}
		var did map[string]struct{ PerSecond, PerCPUSecond float64 }
		decode(t, out, &did)
		for _, with := range []string{"C", "Python"} {
			ours, theirs := did["ours, "+with], did["thrift, "+with]
			stage.Proof(t, "%s in %s: %.0f events a second (thrift %.0f), ratio %.2f; a second of CPU %.0f (%.0f), ratio %.2f", protocol, with,
				ours.PerSecond, theirs.PerSecond, ours.PerSecond/theirs.PerSecond, ours.PerCPUSecond, theirs.PerCPUSecond, ours.PerCPUSecond/theirs.PerCPUSecond)
			// With the same C code both do nearly the same: what lies between is within what other programs of the machine change.
			least := map[string]float64{"C": 0.95, "Python": 1.5}[with]
			if best := max(ours.PerSecond/theirs.PerSecond, ours.PerCPUSecond/theirs.PerCPUSecond); best < least {
				t.Errorf("%s in %s: %.2f of the thrift package's speed, want %.2f", protocol, with, best, least)
			}
		}
		stage.Proof(t, "Avro: %.0f events a second, %.0f a second of CPU", did["ours, Avro"].PerSecond, did["ours, Avro"].PerCPUSecond)
	}
}

// The commands of clients/python/README.md build the wheel and install it where nothing is installed; and the programs
// of examples/python, with what is installed, do what they are for.
func TestPythonExamples(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(stage.Root, "clients", "python", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^\$ (python3 -m .*)$`).FindAllStringSubmatch(string(text), -1)
	if len(commands) < 2 {
		t.Fatal("the README has no commands")
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "clients", "python"), os.DirFS(filepath.Join(stage.Root, "clients", "python"))); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	peers := interpreter(t)
	if _, err := stage.Run(t, 2*time.Minute, peers, "-m", "venv", filepath.Join(dir, "new")); err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(dir, "new", "bin", "python3")
	for _, c := range commands {
		line, with := c[1], python
		if strings.Contains(line, "-m build") { // which the peers have
			with = peers
		}
		if _, err := stage.Run(t, 3*time.Minute, "sh", "-c", fmt.Sprintf("cd %s && %s %s", dir, with, strings.TrimPrefix(line, "python3 "))); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"*.whl", "*.tar.gz"} {
		if made, err := filepath.Glob(filepath.Join(dir, "clients", "python", "dist", "sluice_client-"+kind)); err != nil || len(made) != 1 {
			t.Errorf("%v of %s, %v", made, kind, err)
		}
	}

	const topic = "python-examples"
	ports := [3]int{stage.Port(t), stage.Port(t), stage.Port(t)}
	conf := harness.Conf("p.sources = thrift http avro kafka\np.channels = c\np.sinks = k\n").
		SetAll("p.sources.thrift.", [][2]string{{"type", "thrift"}, {"bind", "127.0.0.1"}, {"port", strconv.Itoa(ports[0])}, {"channels", "c"}}).
		SetAll("p.sources.http.", [][2]string{{"type", "http"}, {"bind", "127.0.0.1"}, {"port", strconv.Itoa(ports[1])}, {"channels", "c"}}).
		SetAll("p.sources.avro.", [][2]string{{"type", "avro"}, {"bind", "127.0.0.1"}, {"port", strconv.Itoa(ports[2])}, {"channels", "c"}}).
		SetAll("p.sources.kafka.", [][2]string{
			{"type", "org.apache.flume.source.kafka.KafkaSource"}, {"kafka.bootstrap.servers", stage.Broker.Plain}, {"kafka.topics", topic + "-in"},
			{"kafka.consumer.auto.offset.reset", "earliest"}, {"kafka.consumer.group.id", topic}, {"useFlumeEventFormat", "true"}, {"setTopicHeader", "false"}, {"channels", "c"},
		}).
		SetAll("p.channels.c.", [][2]string{{"type", "memory"}, {"capacity", "10000"}, {"transactionCapacity", "1000"}}).
		SetAll("p.sinks.k.", [][2]string{
			{"type", "org.apache.flume.sink.kafka.KafkaSink"}, {"kafka.bootstrap.servers", stage.Broker.Plain}, {"kafka.topic", topic},
			{"useFlumeEventFormat", "true"}, {"channel", "c"},
		})
	stage.Broker.Fresh(t, 1, topic, topic+"-in")
	stage.Broker.FreshGroup(t, topic, topic+"-in")
	stage.Agent(t, harness.Sluice, "p", "p", conf).Start(t)
	site, err := stage.Run(t, time.Minute, peers, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []struct {
		file   string
		args   []string
		events int
		header string
		lines  int
	}{
		{"thrift_send.py", []string{strconv.Itoa(ports[0])}, 101, "State=coin_log", 10},
		{"http_send.py", []string{fmt.Sprintf("http://127.0.0.1:%d/", ports[1])}, 100, "project_id=p1", 10},
		{"kafka_send.py", []string{stage.Broker.Plain, topic + "-in"}, 100, "host=web1", 10},
		{"log_durably.py", []string{strconv.Itoa(ports[2]), filepath.Join(dir, "log.buffer")}, 1, "app=shop", 10},
	} {
		t.Run(program.file, func(t *testing.T) {
			path := filepath.Join(stage.Root, "examples", "python", program.file)
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), "\n"); n > program.lines {
				t.Errorf("%d lines", n)
			}
			command := append([]string{python, path}, program.args...)
			if program.file == "kafka_send.py" { // whose kafka package the peers have
				command = append([]string{"PYTHONPATH=" + strings.TrimSpace(site)}, command...)
			}
			stage.Broker.Fresh(t, 1, topic)
			if _, err := stage.Run(t, time.Minute, "env", command...); err != nil {
				t.Fatal(err)
			}
			key, value, _ := strings.Cut(program.header, "=")
			records := read(t, topic, program.events, time.Minute)
			if len(records) != program.events {
				t.Errorf("%d events, want %d", len(records), program.events)
			}
			for _, record := range records {
				e, err := oracle.FlumeFormat(record)
				if err != nil {
					t.Fatal(err)
				}
				if e.Headers[key] != value {
					t.Fatalf("headers %v of %q", e.Headers, e.Body)
				}
			}
		})
	}
}

//go:build interop

package integration

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// compiled builds a program of this module.
func compiled(t *testing.T, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(pkg))
	if out, err := stage.Run(t, 3*time.Minute, "go", "build", "-o", program, pkg); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// A producer is the program test/oracle/durable, which may be killed and started again.
type producer struct {
	program string
	args    []string
	ledger  *oracle.Ledger
	next    atomic.Int64 // the first number that is not known to be safe

	cmd     *exec.Cmd
	read    sync.WaitGroup
	drained atomic.Bool
	errors  strings.Builder
}

func (p *producer) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.program, append(slices.Clone(p.args), "-from", fmt.Sprint(p.next.Load()))...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = &p.errors
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.read.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var first, last int
			if _, err := fmt.Sscanf(lines.Text(), "safe %d %d", &first, &last); err == nil {
				for n := first; n <= last; n++ {
					p.ledger.Acked(0, n, -1)
				}
				p.next.Store(int64(last) + 1)
			}
			if strings.HasPrefix(lines.Text(), "drained ") {
				p.drained.Store(true)
			}
		}
	})
}

// wait returns when it has ended and all that it has said is known.
func (p *producer) wait() error {
	p.read.Wait()
	return p.cmd.Wait()
}

func (p *producer) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.wait() // by the signal
}

// The durable client while the agent that it sends to, and the client itself, are killed.
func TestDurableClientKilled(t *testing.T) {
	program := compiled(t, "../oracle/durable")
	for _, x := range []struct {
		name             string
		flavor           harness.Flavor
		thrift           bool
		agents, programs int // kills at full size
	}{
		{"Sluice over Avro", harness.Sluice, false, 20, 5},
		{"Sluice over Thrift", harness.Sluice, true, 20, 5},
		{"Flume over Avro", harness.Flume, false, 5, 5},
		{"Flume over Thrift", harness.Flume, true, 5, 5},
	} {
		t.Run(x.name, func(t *testing.T) {
			const batch = 100
			load := oracle.Load{Run: "durable", Lanes: 1, Events: stage.Count(1_000_000, 50_000), Size: 200}
			dir, port := fresh(t, "channel"), stage.Port(t)
			at := &buffer{name: "c1", dir: dir, settings: [][2]string{{"type", "file"}, {"checkpointDir", filepath.Join(dir, "checkpoint")},
				{"dataDirs", filepath.Join(dir, "data")}, {"capacity", "2000000"}, {"minimumRequiredSpace", "1048576"}}}
			conf := buffered(t, port, load, at)
			if x.thrift {
				conf = conf.Set("a1.sources.r1.type", "thrift")
			}
			a := stage.Agent(t, x.flavor, "a1", "a", conf)
			p := &producer{program: program, ledger: at.ledger, args: []string{
				"-dir", filepath.Join(fresh(t, "buffer"), "buffer"), "-address", fmt.Sprintf("127.0.0.1:%d", port), "-run", load.Run,
				"-size", fmt.Sprint(load.Size), "-batch", fmt.Sprint(batch), "-events", fmt.Sprint(load.Events), fmt.Sprintf("-thrift=%v", x.thrift),
			}}
			agents, programs := stage.Count(x.agents, 3), stage.Count(x.programs, 2)
			// The events are sent for as long as the kills take, of which each leaves half a second on average.
			p.args = append(p.args, "-rate", fmt.Sprint(load.Events/(agents+programs)))
			random := stage.Rand(t)
			a.Start(t)
			p.start(t)
			began := time.Now()
			whom := append(slices.Repeat([]bool{true}, agents), slices.Repeat([]bool{false}, programs)...)
			random.Shuffle(len(whom), func(i, j int) { whom[i], whom[j] = whom[j], whom[i] })
			for _, agent := range whom {
				between(random.Int64N, 50*time.Millisecond, 1200*time.Millisecond)
				if agent {
					a.Kill(t)
					between(random.Int64N, 0, 400*time.Millisecond)
					a.Start(t)
				} else {
					p.kill()
					p.start(t)
				}
			}
			if err := p.wait(); err != nil || !p.drained.Load() {
				t.Fatalf("the producer: %v, drained %v\n%.2000s", err, p.drained.Load(), p.errors.String())
			}
			report := at.receiver.Await(30*time.Second, 5*time.Minute)
			allowed := agents*(batch+sinkBatch) + programs*2*batch
			stage.Proof(t, "%s: %d events, %d kills of the agent, %d of the client, in %.0f s: %s  at most %d duplicates are allowed",
				x.name, load.Events, agents, programs, time.Since(began).Seconds(), report, allowed)
			if err := report.Check(oracle.Rules{Duplicates: allowed, Order: !x.thrift || x.flavor == harness.Sluice}); err != nil {
				t.Error(err)
			}
			if report.Acked != load.Events {
				t.Errorf("%d events of %d were sent", report.Acked, load.Events)
			}
		})
	}
}

// Programs in Java that log with Log4j, configured to send to Flume, send to Sluice: the same events as real Flume gets.
func TestLog4j(t *testing.T) {
	const orders = 50
	log4j1 := func(appender string) string {
		return "log4j.rootLogger = INFO, flume\nlog4j.appender.flume = org.apache.flume.clients.log4jappender." + appender +
			"\nlog4j.appender.flume.layout = org.apache.log4j.PatternLayout\nlog4j.appender.flume.layout.ConversionPattern = %p %m\n"
	}
	for _, x := range []struct {
		name, peer, program, file string
		config                    func(port int) string
		events                    int
		same                      []string // headers that every event has
	}{
		{"Log4j 1", "log4j1", "Log4j1Program", "log4j.properties", func(port int) string {
			return log4j1("Log4jAppender") + fmt.Sprintf("log4j.appender.flume.Hostname = 127.0.0.1\nlog4j.appender.flume.Port = %d\n", port)
		}, orders + 2, log4jHeaders()},
		{"Log4j 1 over several", "log4j1", "Log4j1Program", "log4j.properties", func(port int) string {
			return log4j1("LoadBalancingLog4jAppender") + fmt.Sprintf("log4j.appender.flume.Hosts = 127.0.0.1:%d localhost:%[1]d\nlog4j.appender.flume.Selector = RANDOM\n", port)
		}, orders + 2, log4jHeaders()},
		{"Log4j 2", "log4j2", "Log4j2Program", "log4j2.xml", func(port int) string {
			return fmt.Sprintf(`<Configuration status="warn"><Appenders><Flume name="flume" type="Avro" compress="false" batchSize="10">
<Agent host="127.0.0.1" port="%d"/><PatternLayout pattern="%%p %%m" charset="UTF-8"/></Flume></Appenders>
<Loggers><Root level="info"><AppenderRef ref="flume"/></Root></Loggers></Configuration>`, port)
		}, orders, []string{"session=s1", "timeStamp=", "guId="}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var lines [2][]string
			for i, flavor := range []harness.Flavor{harness.Sluice, harness.Flume} {
				port, dir := stage.Port(t), fresh(t, fmt.Sprint("out", i))
				a := stage.Agent(t, flavor, "a1", fmt.Sprint("a", i), harness.Conf("a1.sources = r1\na1.channels = c1\na1.sinks = k1\n").
					SetAll("a1.sources.r1.", [][2]string{{"type", "avro"}, {"bind", "0.0.0.0"}, {"port", fmt.Sprint(port)}, {"channels", "c1"}}).
					SetAll("a1.channels.c1.", [][2]string{{"type", "memory"}, {"capacity", "1000"}}).
					SetAll("a1.sinks.k1.", [][2]string{{"type", "file_roll"}, {"sink.directory", dir}, {"sink.rollInterval", "0"},
						{"sink.serializer", "header_and_text"}, {"channel", "c1"}}))
				a.Start(t)
				config := filepath.Join(t.TempDir(), x.file)
				if err := os.WriteFile(config, []byte(x.config(port)), 0o644); err != nil {
					t.Fatal(err)
				}
				out, err := stage.PeersJava(t, 2*time.Minute, []string{"-Dlog4j.configuration=file:" + config, "-Dlog4j2.configurationFile=" + config},
					"java", x.peer, x.program, fmt.Sprint(orders))
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				for end := time.Now().Add(30 * time.Second); len(lines[i]) < x.events && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					lines[i] = linesOf(t, dir)
				}
				a.Stop(t)
				lines[i] = normal(linesOf(t, dir))
			}
			if len(lines[0]) != x.events || !slices.Equal(lines[0], lines[1]) {
				t.Errorf("Sluice has %d events, Flume %d, and there were %d; the first: %.300q %.300q", len(lines[0]), len(lines[1]), x.events, lines[0], lines[1])
			}
			for _, line := range lines[0] {
				for _, want := range x.same {
					if !strings.Contains(line, want) {
						t.Fatalf("no %s in %s", want, line)
					}
				}
			}
			if len(lines[0]) > 0 {
				stage.Proof(t, "%s: %d events, the same as real Flume gets, such as %s", x.name, len(lines[0]), lines[0][0])
			}
		})
	}
}

func log4jHeaders() []string {
	return []string{"flume.client.log4j.logger.name=com.example.Shop", "flume.client.log4j.log.level=", "flume.client.log4j.timestamp=",
		"flume.client.log4j.address=127.0.0.1", "flume.client.log4j.message.encoding=UTF8"}
}

// linesOf are the lines of all files in a directory.
func linesOf(t *testing.T, dir string) (lines []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// normal writes what differs from run to run, times and identifiers, alike, and sorts headers: a map has no order.
func normal(lines []string) []string {
	differs := regexp.MustCompile(`(?i)(timestamp|guId)=[^,}]*`)
	for i, line := range lines {
		line = differs.ReplaceAllString(line, "$1=*")
		head, body, _ := strings.Cut(strings.TrimPrefix(line, "{"), "} ")
		headers := strings.Split(head, ", ")
		slices.Sort(headers)
		lines[i] = "{" + strings.Join(headers, ", ") + "} " + body
	}
	slices.Sort(lines)
	return lines
}

// The command send writes to a real Kafka what a Kafka source and every Avro reader take, and its buffer outlives a broker
// that is away.
func TestSendToKafka(t *testing.T) {
	load := oracle.Load{Run: "send", Lanes: 1, Events: stage.Count(100_000, 5_000), Size: 200}
	stage.Broker.Fresh(t, 1, "send")
	ledger := oracle.NewLedger(load)
	w, err := oracle.Watch([]string{stage.Broker.Plain}, "send", oracle.FlumeFormat, ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	dir, file := fresh(t, "spool"), filepath.Join(t.TempDir(), "lines")
	var text []byte
	for n := range load.Events {
		text = append(load.Body(text, 0, n), '\n')
		ledger.Acked(0, n, -1)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	send := func(brokers string, more ...string) harness.Result {
		return stage.Sluice(t, 3*time.Minute, nil, append([]string{"send", "--kafka", brokers, "--topic", "send", "--spool", dir,
			"--set", "kafka.producer.acks=all", "-H", "host=web1"}, more...)...)
	}
	if r := send(fmt.Sprintf("127.0.0.1:%d", stage.Port(t)), "--wait", "1", file); r.Status != 2 {
		t.Fatalf("status %d, and nobody is there: %s", r.Status, r.Output)
	}
	if r := send(stage.Broker.Plain, "--wait", "120"); r.Status != 0 {
		t.Fatalf("status %d: %s", r.Status, r.Output)
	}
	report := w.Await(20*time.Second, 2*time.Minute)
	stage.Proof(t, "%s", report)
	if err := report.Check(oracle.Rules{Order: true}); err != nil {
		t.Error(err)
	}
}

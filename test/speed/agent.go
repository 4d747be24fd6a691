package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

// A system is who is measured.
type system string

const (
	realFlume system = "Flume"
	sluice    system = "Sluice"
)

var systems = [...]system{realFlume, sluice}

// An agent is a whole agent in a process of its own: Avro source, file channel (or another that settings name), and a null
// sink where drained.
type agent struct {
	system  system
	dir     string // of the channel
	rpc     string // address of the source
	metrics int
	conf    string
	name    string
	bench   *bench
	cmd     *exec.Cmd
	log     *os.File
	ended   chan struct{}
}

// agent prepares one; start starts it. Settings are those of the channel that are not Flume's default.
func (b *bench) agent(sys system, id string, drained bool, settings ...string) (*agent, error) {
	home, err := b.sub(id)
	if err != nil {
		return nil, err
	}
	var ports [2]int
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	a := &agent{
		system: sys, dir: filepath.Join(home, "channel"), rpc: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), metrics: ports[1],
		conf: filepath.Join(home, "a1.conf"), name: id, bench: b,
	}
	lines := []string{
		"a1.sources = r1",
		"a1.channels = c1",
		"a1.sources.r1.type = avro",
		"a1.sources.r1.bind = 127.0.0.1",
		"a1.sources.r1.port = " + strconv.Itoa(ports[0]),
		"a1.sources.r1.channels = c1",
	}
	if !slices.Contains(settings, "type=memory") {
		lines = append(lines, "a1.channels.c1.type = file",
			"a1.channels.c1.checkpointDir = "+filepath.Join(a.dir, "checkpoint"), "a1.channels.c1.dataDirs = "+filepath.Join(a.dir, "data"))
	}
	for _, s := range settings {
		lines = append(lines, "a1.channels.c1."+s)
	}
	if drained {
		lines = append(lines, "a1.sinks = k1", "a1.sinks.k1.type = null", "a1.sinks.k1.batchSize = 1000",
			"a1.sinks.k1.logEveryNEvents = 1000000000", "a1.sinks.k1.channel = c1")
	}
	return a, os.WriteFile(a.conf, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// freePort is one that nobody listens on, of the block PEERS_PORT_BASE if that is set.
func freePort() (int, error) {
	first, last := 0, 0
	if v := os.Getenv("PEERS_PORT_BASE"); v != "" {
		base, err := strconv.Atoi(v)
		if err != nil {
			return 0, fmt.Errorf("reading PEERS_PORT_BASE: %w", err)
		}
		first, last = base+10+int(time.Now().UnixNano()/1000%40), base+99
	}
	for port := first; port <= last; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			port = l.Addr().(*net.TCPAddr).Port
			return port, l.Close()
		}
	}
	return 0, errors.New("looking for a free port: there is none in the block of PEERS_PORT_BASE")
}

// launch starts the process and does not wait for anything.
func (a *agent) launch(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(a.bench.dir, a.name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	monitoring := []string{"-Dflume.monitoring.type=http", "-Dflume.monitoring.port=" + strconv.Itoa(a.metrics)}
	var cmd *exec.Cmd
	if a.system == realFlume {
		cmd = a.bench.peers(ctx, append([]string{"flume", "run", "--conf", a.conf, "--name", "a1", "--no-reload-conf"}, monitoring...)...)
	} else {
		home := filepath.Dir(a.conf)
		cmd = exec.CommandContext(ctx, filepath.Join(a.bench.root, "bin", "sluice"),
			append([]string{"agent", "-n", "a1", "-c", home, "-f", a.conf, "--data-dir", filepath.Join(home, "data")}, monitoring...)...)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = harness.EndsWithTest(false)
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("starting %s: %w", a.system, err), log.Close())
	}
	a.cmd, a.log, a.ended = cmd, log, make(chan struct{})
	go func() {
		_ = cmd.Wait() // ProcessState says how it ended
		close(a.ended)
	}()
	return nil
}

// serving waits until the source has acknowledged a batch, which is stored then.
func (a *agent) serving(ctx context.Context, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		conn, err := net.Dial("tcp", a.rpc)
		if err == nil {
			conn.Close()
			_, err := newClient(ctx, a.rpc, sample(1, 500))
			return err
		}
		select {
		case <-a.ended:
			return fmt.Errorf("%s ended at start: %s; its log is %s", a.system, a.cmd.ProcessState, a.log.Name())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not listen after %v; its log is %s", a.system, limit, a.log.Name())
}

// start launches the agent and says how long it took until a first batch was acknowledged.
func (a *agent) start(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	if err := a.launch(ctx); err != nil {
		return 0, err
	}
	err := a.serving(ctx, 10*time.Minute)
	return time.Since(begun), err
}

// pid is the agent's process; of Flume the shell has become the JVM.
func (a *agent) pid() int { return a.cmd.Process.Pid }

// end sends a signal and waits for the process.
func (a *agent) end(sig os.Signal) error {
	_ = a.cmd.Process.Signal(sig) // it may have ended
	select {
	case <-a.ended:
		return a.log.Close()
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("%s is there two minutes after %v", a.system, sig)
	}
}

// counter is a number of the agent's metrics page.
func (a *agent) counter(ctx context.Context, component, name string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", a.metrics), nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking for metrics: %w", err)
	}
	defer answer.Body.Close()
	var page map[string]map[string]string // every value is a string, as in Flume
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	n, err := strconv.ParseInt(page[component][name], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %s of %s: %w", name, component, err)
	}
	return n, nil
}

// taken is how many events have left the channel since the start.
func (a *agent) taken(ctx context.Context) (int64, error) {
	return a.counter(ctx, "CHANNEL.c1", "EventTakeSuccessCount")
}

// logged is how many bytes Sluice's channel has written to its log, and how often it has synced it.
func (a *agent) logged(ctx context.Context) (bytes, syncs int64, err error) {
	if bytes, err = a.counter(ctx, "CHANNEL.c1", "LogByteCount"); err != nil {
		return 0, 0, err
	}
	syncs, err = a.counter(ctx, "CHANNEL.c1", "LogSyncCount")
	return bytes, syncs, err
}

// queued is how many events are in the channel.
func (a *agent) queued(ctx context.Context) (int64, error) {
	return a.counter(ctx, "CHANNEL.c1", "ChannelSize")
}

// empty waits until the sink has taken everything.
func (a *agent) empty(ctx context.Context) error {
	for end := time.Now().Add(20 * time.Minute); time.Now().Before(end); {
		n, err := a.queued(ctx)
		if err != nil || n == 0 {
			return err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s has not drained its channel after 20 minutes", a.system)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

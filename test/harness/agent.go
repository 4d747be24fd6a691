package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Flavor says whose agent it is.
type Flavor int

const (
	Sluice Flavor = iota
	Flume         // real Flume
)

func (f Flavor) String() string {
	if f == Flume {
		return "Flume"
	}
	return "Sluice"
}

// An Agent is one agent as a process. It may be started and ended any number of times.
type Agent struct {
	Flavor  Flavor
	Name    string   // of the agent, as in its file
	ID      string   // of the process: log and folder are named after it
	Options []string // more of the command line: -Dname=value
	Metrics int      // port of the metrics page
	File    string   // the configuration
	Home    string   // the agent's home directory; Sluice's dead letters are in Home/data
	Disk    *Disk    // where it runs, if not on the machine's own file systems

	stage *Stage
	dir   string
	cmd   *exec.Cmd
	log   *os.File
	begin int64         // where in the log its last start begins
	ended chan struct{} // closed when the process has been waited for
}

// Agent makes an agent that runs the configuration; Start starts it. It is ended with the test.
func (s *Stage) Agent(t testing.TB, flavor Flavor, name, id string, conf Conf) *Agent {
	t.Helper()
	if s.StandIn {
		flavor = Flume
	}
	dir := filepath.Join(s.Dir, "agents", strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()), id)
	a := &Agent{
		Flavor: flavor, Name: name, ID: id, Metrics: s.Port(t), stage: s, dir: dir,
		File: filepath.Join(dir, name+".conf"), Home: filepath.Join(dir, "home"),
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(a.Home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.File, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.end(syscall.SIGKILL, 10*time.Second)
		if t.Failed() {
			t.Logf("the last lines of %s agent %s:\n%s", a.Flavor, a.ID, tail(a.LogFile(), 25))
		}
	})
	return a
}

// LogFile is what the agent has written to stdout and stderr, over all its starts.
func (a *Agent) LogFile() string { return filepath.Join(a.dir, "agent.log") }

// Log returns the log's text.
func (a *Agent) Log(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(a.LogFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func (a *Agent) command() *exec.Cmd {
	monitoring := fmt.Sprintf("-Dflume.monitoring.port=%d", a.Metrics)
	if a.Flavor == Flume {
		args := append([]string{"flume", "run", "--conf", a.File, "--name", a.Name, "-Dflume.monitoring.type=http", monitoring,
			"-Duser.home=" + a.Home}, a.Options...)
		return exec.Command(filepath.Join(a.stage.Root, "test", "peers", "peers"), args...)
	}
	args := append([]string{"agent", "-n", a.Name, "-c", filepath.Dir(a.File), "-f", a.File, "--data-dir", filepath.Join(a.Home, "data"),
		"-Dflume.root.logger=INFO,console", "-Dflume.monitoring.type=http", monitoring, "-Duser.home=" + a.Home}, a.Options...)
	return exec.Command(a.stage.Binary(), args...)
}

// Start starts the agent and returns when it says that it runs.
func (a *Agent) Start(t testing.TB) {
	t.Helper()
	if err := a.start(); err != nil {
		t.Fatalf("starting %s agent %s: %v", a.Flavor, a.ID, err)
	}
}

func (a *Agent) start() error {
	if err := a.launch(); err != nil {
		return err
	}
	limit := 10 * time.Second
	if a.Flavor == Flume {
		limit = 60 * time.Second
	}
	for end := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		if a.Runs() {
			return nil
		}
		if !a.Alive() {
			return fmt.Errorf("it ended: %s\n%s", a.cmd.ProcessState, tail(a.LogFile(), 15))
		}
		if time.Now().After(end) {
			return fmt.Errorf("it does not say that it runs after %v\n%s", limit, tail(a.LogFile(), 15))
		}
	}
}

// Launch starts the agent's process and does not wait for more.
func (a *Agent) Launch(t testing.TB) {
	t.Helper()
	if err := a.launch(); err != nil {
		t.Fatalf("starting %s agent %s: %v", a.Flavor, a.ID, err)
	}
}

func (a *Agent) launch() error {
	log, err := os.OpenFile(a.LogFile(), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	if a.begin, err = log.Seek(0, io.SeekEnd); err != nil {
		return errors.Join(err, log.Close())
	}
	cmd := a.Disk.inside(a.command())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = filepath.Dir(a.File)
	cmd.Env = append(a.stage.env, "HOME="+a.Home, "PEERS_HOME="+peersHome())
	cmd.SysProcAttr = EndsWithTest(true)
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	a.cmd, a.log, a.ended = cmd, log, make(chan struct{})
	go func(ended chan<- struct{}) {
		_ = cmd.Wait() // ProcessState says how it ended
		close(ended)
	}(a.ended)
	return nil
}

// peersHome keeps the peers' cache where it is though the agent's home directory is another.
func peersHome() string {
	if v := os.Getenv("PEERS_HOME"); v != "" {
		return v
	}
	return filepath.Join(os.Getenv("HOME"), ".cache", "sluice-peers")
}

// Runs reports whether everything that can be open is open since the last start: Sluice's log says so; Flume starts its
// metrics page last.
func (a *Agent) Runs() bool {
	if a.Flavor == Flume {
		conn, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", a.Metrics))
		if err != nil {
			return false
		}
		return conn.Body.Close() == nil && conn.StatusCode == http.StatusOK
	}
	return bytes.Contains(a.said(), []byte(" running after="))
}

// said is what the log has of the last start, or its first part.
func (a *Agent) said() []byte {
	log, err := os.Open(a.LogFile())
	if err != nil {
		return nil
	}
	defer log.Close()
	text := make([]byte, 256<<10)
	n, _ := log.ReadAt(text, a.begin)
	return text[:n]
}

// PID is the process.
func (a *Agent) PID() int { return a.cmd.Process.Pid }

// Alive reports whether the process is there.
func (a *Agent) Alive() bool {
	if a.cmd == nil {
		return false
	}
	select {
	case <-a.ended:
		return false
	default:
		return true
	}
}

// Kill ends the agent with SIGKILL and returns when it is gone.
func (a *Agent) Kill(t testing.TB) {
	t.Helper()
	if !a.Alive() {
		t.Fatalf("%s agent %s has ended by itself: %s\n%s", a.Flavor, a.ID, a.cmd.ProcessState, tail(a.LogFile(), 15))
	}
	if !a.end(syscall.SIGKILL, 10*time.Second) {
		t.Fatalf("agent %s is there 10 s after SIGKILL", a.ID)
	}
}

// Stop ends the agent with SIGTERM, as an operator does.
func (a *Agent) Stop(t testing.TB) {
	t.Helper()
	if !a.Alive() {
		t.Fatalf("%s agent %s has ended by itself: %s\n%s", a.Flavor, a.ID, a.cmd.ProcessState, tail(a.LogFile(), 15))
	}
	if !a.end(syscall.SIGTERM, 40*time.Second) {
		t.Fatalf("%s agent %s is there 40 s after SIGTERM\n%s", a.Flavor, a.ID, tail(a.LogFile(), 15))
	}
}

func (a *Agent) end(signal syscall.Signal, limit time.Duration) bool {
	if !a.Alive() {
		return true
	}
	_ = a.cmd.Process.Signal(signal) // it may have ended meanwhile
	select {
	case <-a.ended:
		_ = a.log.Close()
		return true
	case <-time.After(limit):
		return false
	}
}

// Metric is a counter of the metrics page, "SOURCE.s1" and "EventAcceptedCount"; empty if it is not there.
func (a *Agent) Metric(component, counter string) (string, error) {
	page, err := a.MetricsPage()
	return page[component][counter], err
}

// MetricsPage is the whole metrics page: components, counters, values.
func (a *Agent) MetricsPage() (map[string]map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", a.Metrics), nil)
	if err != nil {
		return nil, fmt.Errorf("asking for metrics: %w", err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for metrics: %w", err)
	}
	defer answer.Body.Close()
	var page map[string]map[string]string // every value is a string, as in Flume
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return page, nil
}

// A Result is what a command did.
type Result struct {
	Status int // exit status
	Output string
	Took   time.Duration
}

// Sluice runs the binary under test to its end, which it must reach within limit.
func (s *Stage) Sluice(t testing.TB, limit time.Duration, env []string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Binary(), args...)
	cmd.Env = append(append(os.Environ(), "HOME="+t.TempDir()), env...)
	cmd.Dir = t.TempDir()
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	out, err := cmd.CombinedOutput()
	r := Result{Status: cmd.ProcessState.ExitCode(), Output: string(out), Took: time.Since(began)}
	if ctx.Err() != nil {
		t.Errorf("sluice %s: not over after %v\n%s", strings.Join(args, " "), limit, out)
	} else if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatalf("sluice %s: %v", strings.Join(args, " "), err)
	}
	return r
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Config returns the agent's configuration.
func (a *Agent) Config(t testing.TB) Conf {
	t.Helper()
	text, err := os.ReadFile(a.File)
	if err != nil {
		t.Fatal(err)
	}
	return Conf(text)
}

// SluiceUntil is Sluice for an agent: when it has written the word it gets SIGTERM.
func (s *Stage) SluiceUntil(t testing.TB, limit time.Duration, env []string, word string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out := &listener{word: []byte(word), heard: make(chan struct{})}
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, s.Binary(), append(args[:len(args):len(args)], "--data-dir", filepath.Join(home, "data"), "-Duser.home="+home)...)
	cmd.Env = append(append(os.Environ(), "HOME="+home), env...)
	cmd.Dir = home
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = EndsWithTest(false)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting sluice: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-out.heard:
		time.Sleep(100 * time.Millisecond) // what goes wrong at once is said
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err = <-ended
	}
	if ctx.Err() != nil {
		t.Errorf("sluice %s: not over after %v\n%s", strings.Join(args, " "), limit, out.b.String())
	} else if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Errorf("sluice %s: %v", strings.Join(args, " "), err)
	}
	return Result{Status: cmd.ProcessState.ExitCode(), Output: out.b.String(), Took: time.Since(began)}
}

// A listener keeps what is written and tells when a word has come. exec writes to it from one goroutine.
type listener struct {
	b     bytes.Buffer
	word  []byte
	done  bool
	heard chan struct{}
}

func (l *listener) Write(p []byte) (int, error) {
	l.b.Write(p)
	if !l.done && bytes.Contains(l.b.Bytes(), l.word) {
		l.done = true
		close(l.heard)
	}
	return len(p), nil
}

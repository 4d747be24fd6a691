// Package harness brings up what Sluice is tested with: a real Kafka broker with every kind of listener, a Kerberos
// KDC, key stores as keytool makes them, and agents (Sluice's and real Flume's) as processes that can be killed.
//
//	Stage ── Broker (test/peers: Kafka, KDC)
//	  └───── Agent, Agent … (bin/sluice agent …, or peers flume run …)
//
// One Stage serves all tests of a package. It has a folder and a block of ports of its own, so that several may run on
// one machine. Every wait has an end. What it started it ends by pid; processes that outlive a killed test end with it,
// and test/interop ends the peers.
package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Stage is the surroundings of one test package.
type Stage struct {
	Root  string  // of the repository
	Dir   string  // everything that the stage writes
	Seed  uint64  // of the random moments; SLUICE_SEED
	Scale float64 // of the counts; SLUICE_SCALE
	// FileChannel says that the users' files are run as they stand, with file channels, and not with type = memory.
	FileChannel bool
	// OneChannel says that SLUICE_CHANNEL, memory or file, has chosen FileChannel for all tests.
	OneChannel bool
	// StandIn says that real Flume plays Sluice's parts too (SLUICE_AGENT=flume): so harness and oracle are proven, and
	// so Flume is measured by the same runs.
	StandIn bool

	Broker *Broker
	TLS    KeyStores

	base      int          // first port
	claim     net.Listener // nil: PEERS_PORT_BASE says which block it is
	temporary bool
	env       []string
	mu        sync.Mutex
	port      int // next port to give away
	proof     io.Writer
}

// Ports of the block, from its first one on. test/peers gives Kafka 0 and 1, the KDC 8, HDFS those of hdfsPort.
const (
	saslPort  = 2
	firstFree = 10
	block     = 100
)

// Open makes a stage: it builds bin/sluice, starts the KDC and the broker. Close ends it, also after an error.
func Open(ctx context.Context) (*Stage, error) {
	s, err := prepare()
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close(true))
	}
	return s, nil
}

// OpenAgents makes a stage without a broker, a KDC and key stores, for tests of agents alone.
func OpenAgents(ctx context.Context) (*Stage, error) {
	s, err := prepare()
	if err != nil {
		return nil, err
	}
	if err := s.build(ctx); err != nil {
		return nil, errors.Join(err, s.Close(true))
	}
	return s, nil
}

func prepare() (*Stage, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return nil, errors.New("finding the repository: the binary has no file names")
	}
	s := &Stage{
		Root:        filepath.Dir(filepath.Dir(filepath.Dir(here))),
		FileChannel: os.Getenv("SLUICE_CHANNEL") == "file",
		OneChannel:  os.Getenv("SLUICE_CHANNEL") != "",
		StandIn:     os.Getenv("SLUICE_AGENT") == "flume",
		Seed:        rand.Uint64(),
		Scale:       0.1,
	}
	var err error
	if v := os.Getenv("SLUICE_SEED"); v != "" {
		if s.Seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			return nil, fmt.Errorf("reading SLUICE_SEED: %w", err)
		}
	}
	if v := os.Getenv("SLUICE_SCALE"); v != "" {
		if s.Scale, err = strconv.ParseFloat(v, 64); err != nil {
			return nil, fmt.Errorf("reading SLUICE_SCALE: %w", err)
		}
	}
	if data := os.Getenv("PEERS_DATA"); data != "" {
		tests, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("asking for the tests' own folder: %w", err)
		}
		s.Dir = filepath.Join(data, filepath.Base(tests)) // packages that run at once have a stage each
	} else {
		if s.Dir, err = os.MkdirTemp("", "sluice-interop-"); err != nil {
			return nil, fmt.Errorf("making the stage's folder: %w", err)
		}
		s.temporary = true
	}
	if v := os.Getenv("PEERS_PORT_BASE"); v != "" {
		if s.base, err = strconv.Atoi(v); err != nil {
			return nil, fmt.Errorf("reading PEERS_PORT_BASE: %w", err)
		}
	} else if s.base, s.claim, err = freeBlock(); err != nil {
		return nil, err
	}
	s.port = s.base + firstFree
	s.env = append(os.Environ(), "PEERS_DATA="+s.Dir, "PEERS_PORT_BASE="+strconv.Itoa(s.base))
	s.proof = io.Discard
	if v := os.Getenv("SLUICE_PROOF"); v != "" {
		f, err := os.OpenFile(v, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, fmt.Errorf("opening the proof: %w", err)
		}
		s.proof = f
	}
	return s, nil
}

func (s *Stage) start(ctx context.Context) error {
	if err := s.build(ctx); err != nil {
		return err
	}
	var err error
	if s.TLS, err = makeKeyStores(ctx, filepath.Join(s.Dir, "tls")); err != nil {
		return err
	}
	s.Broker, err = openBroker(ctx, s)
	return err
}

// build makes the stage's folder and bin/sluice, unless SLUICE_BIN names a binary to test or none is.
func (s *Stage) build(ctx context.Context) error {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return fmt.Errorf("making the stage's folder: %w", err)
	}
	if s.StandIn || os.Getenv("SLUICE_BIN") != "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", s.Binary(), "./cmd/sluice")
	cmd.Dir = s.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building bin/sluice: %w\n%s", err, out)
	}
	return nil
}

// Binary is the sluice under test.
func (s *Stage) Binary() string {
	if v := os.Getenv("SLUICE_BIN"); v != "" {
		return v
	}
	return filepath.Join(s.Root, "bin", "sluice")
}

// Close ends the broker, the KDC and all that test/peers started here. A temporary folder goes too, unless something
// is to be looked up in it.
func (s *Stage) Close(keep bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if s.claim != nil {
		defer s.claim.Close()
	}
	if s.Broker != nil {
		s.Broker.admin.Close()
	}
	if _, err := s.peers(ctx, nil, "stop"); err != nil {
		return err
	}
	if !s.temporary || keep {
		fmt.Fprintln(os.Stderr, "logs and configurations are in", s.Dir)
		return nil
	}
	return os.RemoveAll(s.Dir)
}

// peers runs test/peers/peers and returns what it printed.
func (s *Stage) peers(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.Root, "test", "peers", "peers"), args...)
	cmd.Env = append(s.env[:len(s.env):len(s.env)], env...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("running peers %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Peers runs a command of test/peers, for at most limit, and returns what it printed.
func (s *Stage) Peers(t testing.TB, limit time.Duration, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return s.peers(ctx, nil, args...)
}

// PeersOutput is Peers for a command whose stdout is to be read: what it complains of on stderr is in the error only.
func (s *Stage) PeersOutput(t testing.TB, limit time.Duration, args ...string) (string, error) {
	t.Helper()
	return s.Run(t, limit, filepath.Join(s.Root, "test", "peers", "peers"), args...)
}

// PeersJava is Peers for a command that runs a JVM, with options for it.
func (s *Stage) PeersJava(t testing.TB, limit time.Duration, options []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return s.peers(ctx, []string{"PEERS_JAVA_OPTS=" + strings.Join(options, " ")}, args...)
}

// Port gives away a free port of the block.
func (s *Stage) Port(t testing.TB) int {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 2 * block {
		p := s.port
		if s.port++; s.port >= s.base+block {
			s.port = s.base + firstFree // tests run one after the other: those of the earlier ones are free again
		}
		if reserved := p - s.base - hdfsPort; (reserved < 0 || reserved >= hdfsPorts) && bindable(p) {
			return p
		}
	}
	t.Fatal("no port of the block is free")
	return 0
}

func bindable(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// freeBlock finds a block below the ports that the kernel gives to clients, and listens on its last, which says to other
// stages that the block is taken.
func freeBlock() (int, net.Listener, error) {
	for range 100 {
		base := 25000 + block*rand.IntN(70)
		claim, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+block-1)))
		if err != nil {
			continue
		}
		free := true
		for p := base; p < base+block-1 && free; p++ {
			free = bindable(p)
		}
		if free {
			return base, claim, nil
		}
		claim.Close()
	}
	return 0, nil, errors.New("finding ports: no block between 25000 and 32000 is free")
}

// Count scales the number of a full run, but not below least.
func (s *Stage) Count(full, least int) int { return max(int(float64(full)*s.Scale), least) }

// Rand is a source of random moments that SLUICE_SEED repeats for a test of that name.
func (s *Stage) Rand(t testing.TB) *rand.Rand {
	t.Helper()
	h := s.Seed
	for _, c := range []byte(t.Name()) {
		h = h*31 + uint64(c)
	}
	t.Logf("seed %d", s.Seed)
	return rand.New(rand.NewPCG(s.Seed, h))
}

// Proof notes a line of the run's result, in the test's log and, where SLUICE_PROOF names one, in that file.
func (s *Stage) Proof(t testing.TB, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	if _, err := fmt.Fprintf(s.proof, "%s: %s\n", strings.TrimPrefix(t.Name(), "Test"), strings.TrimRight(line, "\n")); err != nil {
		t.Errorf("writing the proof: %v", err)
	}
}

// Eventually waits until check returns nil, and fails with its last answer after limit.
func Eventually(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v: %v", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Run runs a program, for at most limit, and returns its stdout.
func (s *Stage) Run(t testing.TB, limit time.Duration, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = s.env
	cmd.WaitDelay = 5 * time.Second
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("running %s: %w\n%s", filepath.Base(program), err, &complaints)
	}
	return string(out), nil
}

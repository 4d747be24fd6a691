// Command speed measures Sluice's file channel beside real Flume's, on the same disk, in one run.
//
//	speed put       writing: 1, 4 and 16 writers, batches of 100 events of 500 and of 1000 bytes, each batch synced
//	                before it is acknowledged; beside two bare loops of write and sync
//	speed drain     taking a backlog that no cache holds
//	speed client    Sluice's client library beside Java's, batches of 100 events of 1000 bytes
//	speed restart   opening after SIGKILL while events were being written, with and without a checkpoint; memory
//
//	           ┌── client, frames encoded once ──▶ agent: Avro source ─▶ file channel ─▶ null sink    (Flume, Sluice)
//	this ──────┼── lines ─▶ worker: put and take of the channel itself                                (Flume, Sluice)
//	program    └── bare loops
//
// Who is compared takes turns, a few seconds at a time, in another order each time, so that a disk's moods and what else
// the machine does hit everybody alike. All systems stay up between their turns: a JVM is measured when it is warm.
// Ratios are formed within one round and told as median and range. Nothing here fails for being slow.
//
// test/speed/run builds what is needed and keeps the output; docs/speed.md says what came out.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A bench is one run: where it writes, how large it is, what it has measured.
type bench struct {
	root   string  // of the repository
	dir    string  // everything that is written, on the disk that is measured
	scale  float64 // of counts and times; 1 is the full size
	seed   uint64  // of the random moments
	out    io.Writer
	random *rand.Rand
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 && args[0] == "worker" {
		if err := work(ctx, args[1:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			return 1
		}
		return 0
	}
	if len(args) > 0 && args[0] == "sender" {
		if err := send(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "sender:", err)
			return 1
		}
		return 0
	}
	rows := map[string]func(*bench, context.Context) error{
		"put": (*bench).put, "drain": (*bench).drain, "restart": (*bench).restart, "client": (*bench).clients,
	}
	if len(args) == 0 {
		args = []string{"put", "drain", "restart", "client"}
	}
	for _, row := range args {
		if rows[row] == nil {
			fmt.Fprintf(os.Stderr, "%q is not a row; there are put, drain, restart and client\n", row)
			return 2
		}
	}
	b, err := open()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, row := range args {
		begun := time.Now()
		fmt.Fprintf(b.out, "== %s, scale %g, seed %d\n", row, b.scale, b.seed)
		if err := rows[row](b, ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\nlogs are in %s\n", row, err, b.dir)
			return 1
		}
		fmt.Fprintf(b.out, "\n== %s took %.0f s; load average %s\n\n", row, time.Since(begun).Seconds(), load())
	}
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// open reads the environment: SPEED_SCALE, SPEED_SEED, SPEED_DIR.
func open() (*bench, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return nil, errors.New("finding the repository: the binary has no file names")
	}
	b := &bench{root: filepath.Dir(filepath.Dir(filepath.Dir(here))), scale: 1, seed: rand.Uint64N(1 << 48), out: os.Stdout}
	if v := os.Getenv("SPEED_SCALE"); v != "" {
		s, err := strconv.ParseFloat(v, 64)
		if err != nil || s <= 0 {
			return nil, fmt.Errorf("reading SPEED_SCALE: %q is not a positive number", v)
		}
		b.scale = s
	}
	if v := os.Getenv("SPEED_SEED"); v != "" {
		s, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading SPEED_SEED: %w", err)
		}
		b.seed = s
	}
	b.random = rand.New(rand.NewPCG(b.seed, 0))
	parent := os.Getenv("SPEED_DIR")
	if parent == "" {
		parent = os.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "sluice-speed-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	b.dir = dir
	return b, nil
}

// seconds is a time at this scale.
func (b *bench) seconds(full float64) time.Duration {
	return time.Duration(max(full*b.scale, 0.3) * float64(time.Second))
}

// count is a number of events at this scale.
func (b *bench) count(full int) int { return max(int(float64(full)*b.scale), 10_000) }

// sub makes a folder below the run's.
func (b *bench) sub(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making a folder: %w", err)
	}
	return dir, nil
}

func (b *bench) note(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

// shuffle is the order of n in this round.
func (b *bench) shuffle(n int) []int { return b.random.Perm(n) }

// peers is a command of test/peers with what it needs.
func (b *bench) peers(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(b.root, "test", "peers", "peers"), args...)
	cmd.Env = append(os.Environ(), "PEERS_DATA="+filepath.Join(b.dir, "peers"), "PEERS_FLUME_HEAP="+heap,
		// Tools get a small JVM; this one shall have what an agent has.
		"PEERS_JAVA_OPTS=-Xmx"+heap+" -XX:TieredStopAtLevel=4 -XX:-UseSerialGC -XX:+UseG1GC")
	return cmd
}

// heap is what every JVM may have.
const heap = "1g"

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// middle is the median and the range of figures.
type middle struct{ median, least, most float64 }

func middleOf(all []float64) middle {
	if len(all) == 0 {
		return middle{}
	}
	s := slices.Sorted(slices.Values(all))
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (m + s[len(s)/2-1]) / 2
	}
	return middle{m, s[0], s[len(s)-1]}
}

// text is the median with the range behind it.
func (m middle) text(digits int) string {
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, m.median, digits, m.least, digits, m.most)
}

// table prints rows of cells as Markdown.
func (b *bench) table(head []string, rows [][]string) {
	b.note("\n| %s |\n|%s", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, r := range rows {
		b.note("| %s |", strings.Join(r, " | "))
	}
}

// Package demo shows what Sluice is for: it runs two configurations that users of Flume have written, as two agents of
// the program itself, and counts.
//
//	numbered events ─▶ Kafka test3 ─▶ agent A ─▶ Avro RPC ─▶ agent B ─▶ Kafka test2 ─▶ counted
//
// Kafka is a small one inside of the demo, which writes to disk and syncs before it acknowledges, or a real one. Half
// way both agents are killed with SIGKILL and started again. What came in, what came out and what came twice is printed
// at the end; the demo fails if anything is lost. The configurations are the users' own, file channels included, with
// other addresses and directories.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// The names that the configurations use.
const (
	agentA   = "kafka-memory-avro"
	agentB   = "avro-memory-kafka"
	topicIn  = "test3"
	topicOut = "test2"
	group    = "test-consumer-group"
)

// Options say how much to show, and where.
type Options struct {
	Binary   string   // the program to run the agents with
	Dir      string   // for configurations, logs and the Kafka inside; empty: a temporary one, removed when nothing is lost
	Brokers  []string // of a real Kafka; none: the one inside
	Events   int
	Size     int           // bytes of a body
	Over     time.Duration // how long to produce
	Patience time.Duration // how long to wait for events when none comes any more
	Out      io.Writer
}

// A Result is what was counted.
type Result struct{ In, Out, Lost, Duplicates int }

func (r Result) String() string {
	return fmt.Sprintf("in %s, out %s, lost %s, duplicates %s", thousands(r.In), thousands(r.Out), thousands(r.Lost), thousands(r.Duplicates))
}

// Run shows it all. An error means that it could not be shown; what was lost is in the result.
func Run(ctx context.Context, o Options) (result Result, err error) {
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
			return Result{}, err
		}
		defer func() {
			if err == nil && result.Lost == 0 {
				err = os.RemoveAll(dir)
				return
			}
			fmt.Fprintf(o.Out, "configurations and logs are in %s\n", dir)
		}()
	}
	if len(o.Brokers) == 0 {
		kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topicIn, topicOut),
			kfake.DataDir(filepath.Join(dir, "kafka")), kfake.SyncWrites())
		if err != nil {
			return Result{}, fmt.Errorf("starting the Kafka inside: %w", err)
		}
		defer kafka.Close()
		o.Brokers = kafka.ListenAddrs()
	}
	port, err := freePort()
	if err != nil {
		return Result{}, err
	}
	fileA, fileB, err := writeFiles(dir, o.Brokers, port)
	if err != nil {
		return Result{}, err
	}
	fmt.Fprintf(o.Out, "Kafka %s ─▶ agent A ─▶ Avro RPC, port %d ─▶ agent B ─▶ Kafka %s   (Kafka: %s; configurations and logs: %s)\n",
		topicIn, port, topicOut, o.Brokers[0], dir)

	showCheck(ctx, &o, fileA, fileB)

	flow, err := openFlow(ctx, &o)
	if err != nil {
		return Result{}, err
	}
	defer flow.close()

	a := &process{binary: o.Binary, name: agentA, file: fileA, log: filepath.Join(dir, "agent-a.log"), dir: dir}
	b := &process{binary: o.Binary, name: agentB, file: fileB, log: filepath.Join(dir, "agent-b.log"), dir: dir}
	defer func() {
		// A sender goes before its receiver, so that what is under way arrives.
		err = errors.Join(err, a.end(), b.end())
	}()
	for _, p := range []*process{b, a} {
		if err := p.start(ctx); err != nil {
			return Result{}, err
		}
	}
	if err := answers(ctx, port, b); err != nil {
		return Result{}, err
	}
	fmt.Fprintf(o.Out, "agent A runs as process %d, agent B as process %d\n", a.pid(), b.pid())
	return flow.watch(ctx, func() error { return restart(ctx, &o, a, b, port) }, a, b)
}

// showCheck prints what check finds in the configurations; that it finds something is no failure of the demo.
func showCheck(ctx context.Context, o *Options, files ...string) {
	cmd := exec.CommandContext(ctx, o.Binary, append([]string{"check"}, files...)...)
	text, _ := cmd.Output()
	fmt.Fprintln(o.Out, "what sluice check says of the two configurations:")
	for line := range strings.Lines(string(text)) {
		fmt.Fprint(o.Out, "  ", strings.TrimPrefix(line, filepath.Dir(files[0])+"/"))
	}
}

// restart kills both agents and starts them again.
func restart(ctx context.Context, o *Options, a, b *process, port int) error {
	for _, p := range []*process{b, a} {
		if _, err := p.stop(syscall.SIGKILL); err != nil {
			return err
		}
	}
	fmt.Fprintf(o.Out, "both agents have been killed with SIGKILL; they stay away for a second\n")
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
	}
	for _, p := range []*process{b, a} {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	if err := answers(ctx, port, b); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "agent A runs again as process %d, agent B as process %d; events go on when Kafka has given up the consumer that was killed, after some seconds\n", a.pid(), b.pid())
	return nil
}

// freePort finds a port that was free a moment ago; agent B must get the same one twice.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	if err := l.Close(); err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

// answers waits until a process listens.
func answers(ctx context.Context, port int, p *process) error {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to listen (its log is %s): %w", p.name, p.log, err)
		case <-p.ended:
			return fmt.Errorf("starting %s: it has ended at once; its log is %s", p.name, p.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// thousands writes 100000 as 100,000.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

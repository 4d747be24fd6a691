package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/kit"
)

// built vets, tests and builds the example in a module of its own, without a network.
func built(t *testing.T, name string) (dir, program string) {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds a program")
	}
	dir, err := filepath.Abs("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), name)
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}, {"build", "-o", program, "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK="+filepath.Join(dir, "go.work"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return dir, program
}

// collector runs an agent with an Avro source on the port. The lines are what it has written when it has ended.
func collector(t *testing.T, port string) (end func() (lines []string)) {
	t.Helper()
	dir := t.TempDir()
	cfg, problems, err := conf.Parse("collector.conf", fmt.Appendf(nil, `a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = %s
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = %s
a1.sinks.k1.channel = c1
`, port, dir), conf.Options{})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	a, problems := agent.New(cfg.Agent("a1"), agent.Options{Kit: kit.Standard, DataDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	ctx, cancel := context.WithCancel(t.Context())
	running, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Run(ctx, func() { close(running) }) }()
	select {
	case <-running:
	case <-time.After(patience):
		t.Error("the collector does not run")
	}
	return func() (lines []string) {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, strings.Fields(string(text))...)
		}
		return lines
	}
}

// Programs that send, each in a module of its own: what they have said is safe while nobody listens arrives when they
// run again and somebody does.
func TestSendingExamples(t *testing.T) {
	for _, x := range []struct{ name, says string }{
		{"producer", "%d safe, "},
		{"embedded", "%d events are safe"},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, program := built(t, x.name)
			port, err := freePort()
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "kept")
			var want []string
			run := func(first, n int) {
				var in strings.Builder
				for i := range n {
					line := fmt.Sprintf("line-%04d", first+i)
					want = append(want, line)
					fmt.Fprintln(&in, line)
				}
				cmd := exec.Command(program, dir, "127.0.0.1:"+port)
				cmd.Stdin = strings.NewReader(in.String())
				out, err := cmd.CombinedOutput()
				more := n
				if x.name == "producer" {
					more++ // its own log
				}
				if err != nil || !strings.Contains(string(out), fmt.Sprintf(x.says, more)) {
					t.Errorf("%v: %s", err, out)
				}
			}
			run(0, 250)
			end := collector(t, port)
			run(250, 250)
			got := slices.DeleteFunc(end(), func(line string) bool { return !strings.HasPrefix(line, "line-") })
			if !slices.Equal(got, want) {
				t.Errorf("%d lines instead of %d: %.100q…", len(got), len(want), got)
			}
		})
	}
}

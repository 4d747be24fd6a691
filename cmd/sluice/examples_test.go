package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/kit"
)

// Check finds nothing in any example, nor in the two that belong together.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.conf")
	if err != nil || len(files) < 5 {
		t.Fatalf("examples are %v, %v", files, err)
	}
	read := func(file string) *conf.Config {
		cfg, problems, err := conf.Read([]string{file}, conf.Options{Filters: kit.Standard.ConfigFilters})
		if err != nil || len(problems) > 0 {
			t.Errorf("%v\n%v", problems, err)
		}
		return cfg
	}
	for _, file := range files {
		if problems := agent.Check(kit.Standard, []*conf.Config{read(file)}, nil); len(problems) > 0 {
			t.Errorf("%s", problems)
		}
	}
	pair := []*conf.Config{read("../../examples/kafka-to-avro.conf"), read("../../examples/avro-to-kafka.conf")}
	if problems := agent.Check(kit.Standard, pair, nil); len(problems) > 0 {
		t.Errorf("%s", problems)
	}
}

// The example of a program with kinds of its own is vetted, tested, built and run as a user would, without a network.
func TestCustomKit(t *testing.T) {
	dir, program := built(t, "customkit")
	t.Chdir(t.TempDir())
	file := filepath.Join(dir, "custom.conf")
	if out, err := exec.Command(program, "check", file).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("agent a1 would run\n")) {
		t.Errorf("%v: %s", err, out)
	}
	var log bytes.Buffer
	cmd := exec.Command(program, "agent", "-n", "a1", "-f", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const want = "INFO ONE\nWARN THREE\n"
	var got []byte
	for end := time.Now().Add(patience); string(got) != want && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got, _ = os.ReadFile("shouted.txt") // it is not there at first
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // its status is looked at
	if status := cmd.ProcessState.ExitCode(); status != 128+int(syscall.SIGTERM) || string(got) != want {
		t.Errorf("status %d: %q\n%s", status, got, &log)
	}
}

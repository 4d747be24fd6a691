package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/kit"
)

// The example of programs in Python runs as it stands: what is put in comes out, changed, dropped or rejected.
func TestExternalExample(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no Python here")
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "examples"), os.DirFS("../../examples")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Mkdir("inbox", 0o755); err != nil {
		t.Fatal(err)
	}
	const files = 20
	for n := range files {
		var b strings.Builder
		for i := range 50 {
			fmt.Fprintf(&b, "{\"level\":\"info\",\"text\":\"%d é \\\"%d\\\"\"}\n", n, i)
		}
		b.WriteString("{\"level\":\"debug\",\"text\":\"not this\"}\nno JSON\n")
		if err := os.WriteFile(fmt.Sprintf("inbox/%02d", n), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg, problems, err := conf.Read([]string{"examples/external.conf"}, conf.Options{Filters: kit.Standard.ConfigFilters})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	log, err := os.Create("log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a, problems := agent.New(cfg.Agent("a1"), agent.Options{Kit: kit.Standard, DataDir: "data", Log: slog.New(slog.NewTextHandler(log, nil))})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, nil) }()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if done, _ := filepath.Glob("inbox/done/*"); len(done) == files {
			break
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile("log")
			t.Errorf("not all files are done:\n%s", text)
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	rows, err := exec.Command(python, "-c", `import sqlite3
for row in sqlite3.connect("events.db").execute("select file, level, body from events"): print(*row)`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, rows)
	}
	var want strings.Builder
	for n := range files {
		for i := range 50 {
			fmt.Fprintf(&want, "%02d info %d é \"%d\"\n", n, n, i)
		}
	}
	if string(rows) != want.String() {
		text, _ := os.ReadFile("log")
		t.Errorf("%d bytes of rows instead of %d:\n%.500s\n%s", len(rows), want.Len(), rows, text)
	}
	letters, err := filepath.Glob("data/deadletter/a1/*.avro")
	if err != nil || len(letters) != 1 {
		t.Errorf("dead letters are %v, %v", letters, err)
	}
}

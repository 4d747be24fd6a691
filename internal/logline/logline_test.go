package logline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHandler(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 7e6, time.Local)
	tests := []struct {
		name string
		log  func(l *slog.Logger)
		want string
	}{
		{"plain", func(l *slog.Logger) { l.Info("running") }, "INFO  running"},
		{"places", func(l *slog.Logger) { l.With("agent", "a1", "source", "r1").Warn("late", "by", time.Second) },
			"[agent a1] WARN  source r1 - late by=1s"},
		{"places within", func(l *slog.Logger) { l.With("agent", "a1", "source", "r1").With("interceptor", "i1").Warn("late") },
			"[agent a1] WARN  source r1 interceptor i1 - late"},
		{"no component", func(l *slog.Logger) { l.With("component", "monitoring").Info("serving") }, "INFO  monitoring - serving"},
		{"agent of the record", func(l *slog.Logger) { l.Error("gone", "sink", "k1", "agent", "a1", "n", 3) },
			"[agent a1] ERROR gone sink=k1 n=3"},
		{"one line", func(l *slog.Logger) { l.Info("a\nb\x1b[1m", "text", "c\nd", "bad", "\xff") },
			`INFO  a\nb\x1b[1m text="c\nd" bad="\xff"`},
		{"bad bytes", func(l *slog.Logger) { l.Info("a\xffb\uFFFDc") }, "INFO  a\\xffb\uFFFDc"},
		{"quotes", func(l *slog.Logger) {
			l.Info("m", "plain", "x", "blank", "x y", "empty", "", "quote", `"`, "equals", "a=b")
		},
			`INFO  m plain=x blank="x y" empty="" quote="\"" equals="a=b"`},
		{"words of the world", func(l *slog.Logger) { l.Info("拦截器 é", "k", "é") }, "INFO  拦截器 é k=é"},
		{"groups", func(l *slog.Logger) {
			l.With("a", 1).WithGroup("g").With("b", 2).Info("m", "c", 3, slog.Group("h", "agent", 4))
		},
			"INFO  m a=1 g.b=2 g.c=3 g.h.agent=4"},
		{"kinds", func(l *slog.Logger) {
			l.Info("m", "i", int64(-1), "u", uint64(1), "f", 1.5, "b", true, "t", time.Unix(0, 0).UTC(), "err", errors.New("closed by peer"), "nil", nil)
		}, `INFO  m i=-1 u=1 f=1.5 b=true t=1970-01-01T00:00:00Z err="closed by peer" nil=<nil>`},
		{"trace", func(l *slog.Logger) { l.Log(t.Context(), Trace, "m") }, "TRACE m"},
		{"fatal", func(l *slog.Logger) { l.Log(t.Context(), Fatal, "m") }, "FATAL m"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			test.log(slog.New(&fixedTime{New(Trace, &out), at}))
			if got, want := out.String(), "2026-11-21 10:00:00,007 "+test.want+"\n"; got != want {
				t.Errorf("got  %swant %s", got, want)
			}
		})
	}
}

// fixedTime gives every record the same time.
type fixedTime struct {
	slog.Handler
	at time.Time
}

func (f *fixedTime) Handle(ctx context.Context, r slog.Record) error {
	r.Time = f.at
	return f.Handler.Handle(ctx, r)
}

func (f *fixedTime) WithAttrs(a []slog.Attr) slog.Handler {
	return &fixedTime{f.Handler.WithAttrs(a), f.at}
}
func (f *fixedTime) WithGroup(g string) slog.Handler { return &fixedTime{f.Handler.WithGroup(g), f.at} }

func TestLevels(t *testing.T) {
	for word, want := range map[string]slog.Level{"ALL": Trace, "trace": Trace, "Debug": slog.LevelDebug, "INFO": slog.LevelInfo,
		"warn": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": Fatal, "OFF": Off} {
		if got, ok := ParseLevel(word); got != want || !ok {
			t.Errorf("%s is %v, %v", word, got, ok)
		}
	}
	if got, ok := ParseLevel("loud"); got != slog.LevelInfo || ok {
		t.Errorf("loud is %v, %v", got, ok)
	}
	var out bytes.Buffer
	log := slog.New(New(slog.LevelWarn, &out))
	log.Info("low")
	log.Warn("high")
	if got := out.String(); strings.Contains(got, "low") || !strings.Contains(got, "high") {
		t.Errorf("written: %s", got)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

// One output that fails does not keep the line from the others.
func TestBrokenOutput(t *testing.T) {
	var out bytes.Buffer
	slog.New(New(slog.LevelInfo, brokenWriter{}, &out)).Info("line")
	if !strings.Contains(out.String(), "line") {
		t.Errorf("written: %q", out.String())
	}
}

func TestAllocations(t *testing.T) {
	log := slog.New(New(slog.LevelInfo, io.Discard)).With("agent", "a1", "sink", "k1")
	if n := testing.AllocsPerRun(100, func() { log.Info("line", "n", 1, "text", "x") }); n > 0 {
		t.Errorf("%v allocations for a line", n)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "flume.log")
	f, err := Open(path, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if _, err := fmt.Fprintf(f, "line%d\n", i); err != nil { // 6 bytes: a second one does not fit
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{path: "line7\n", path + ".1": "line6\n", path + ".2": "line5\n"}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != len(want) {
		t.Fatalf("files are %v, %v", files, err)
	}
	for name, text := range want {
		got, err := os.ReadFile(name)
		if err != nil || string(got) != text {
			t.Errorf("%s: %q, %v; want %q", name, got, err, text)
		}
	}
	// A new start goes on with the file.
	f, err = Open(path, 12, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("more\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "line7\nmore\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// A line is written even where the file cannot be turned over.
func TestFileCannotTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flume.log")
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("two\n")); err == nil {
		t.Error("nothing was said")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("%q, %v", got, err)
	}
}

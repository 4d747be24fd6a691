package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/kit"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(t *testing.T, dir string, more map[string]string) Options {
	t.Helper()
	p := map[string]string{
		"channel.type": "memory", "sinks": "k1", "k1.type": "file_roll", "k1.sink.directory": dir, "k1.sink.rollInterval": "0",
		"source.interceptors": "i1", "source.interceptors.i1.type": "static", "source.interceptors.i1.key": "host", "source.interceptors.i1.value": "h\\1",
	}
	for k, v := range more {
		p[k] = v
	}
	return Options{Kit: kit.Standard, Properties: p, DataDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func lines(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	return all
}

func TestPut(t *testing.T) {
	for _, channel := range []string{"memory", "file"} {
		t.Run(channel, func(t *testing.T) {
			dir, log := t.TempDir(), t.TempDir()
			o := options(t, dir, map[string]string{"channel.type": channel, "k1.sink.serializer": "header_and_text"})
			if channel == "file" {
				o.Properties["channel.checkpointDir"], o.Properties["channel.dataDirs"] = filepath.Join(log, "checkpoint"), filepath.Join(log, "data")
			}
			a, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			const many, each = 4, 50
			var wait sync.WaitGroup
			for g := range many {
				wait.Go(func() {
					for n := range each {
						b := flume.Batch{{Body: fmt.Appendf(nil, "%d-%d", g, n)}}
						if err := a.Put(context.Background(), b); err != nil || len(b[0].Headers) > 0 {
							t.Error(err, b)
						}
					}
				})
			}
			wait.Wait()
			if channel == "file" { // which keeps what it has; a memory channel is drained
				flumetest.Until(t, "all is delivered", func() bool {
					page := httptest.NewRecorder()
					a.Metrics().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
					return strings.Contains(page.Body.String(), `"EventDrainSuccessCount":"200"`)
				})
			}
			if err := a.Close(t.Context()); err != nil {
				t.Error(err)
			}
			got := lines(t, dir)
			if len(got) != many*each || !strings.HasPrefix(got[0], `{host=h\1} `) {
				t.Errorf("%d lines, the first %q", len(got), got[0])
			}
			if err := a.Put(t.Context(), flume.Batch{{}}); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
}

// A full channel is the program's to know.
func TestFull(t *testing.T) {
	o := options(t, t.TempDir(), map[string]string{
		"channel.capacity": "10", "channel.transactionCapacity": "10", "channel.keep-alive": "0",
		"k1.type": "avro", "k1.hostname": "127.0.0.1", "k1.port": "1",
	})
	delete(o.Properties, "k1.sink.directory")
	delete(o.Properties, "k1.sink.rollInterval")
	a, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Put(t.Context(), make(flume.Batch, 10)); err != nil {
		t.Error(err)
	}
	if err := a.Put(t.Context(), make(flume.Batch, 1)); !errors.Is(err, flume.ErrFull) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); err == nil || !strings.Contains(err.Error(), "10 events were not delivered and are lost") {
		t.Error(err)
	}
}

func TestProblems(t *testing.T) {
	for _, x := range []struct{ key, value, want string }{
		{"sinks", "", "sinks: is required"},
		{"sinks", "k1 channel", `"channel" is no name for a sink`},
		{"sinks", "k1 k2", "processor.type: is required"},
		{"channel.type", "", "channel.type: is required"},
		{"channel.type", "nope", "channel.type: "},
		{"source.type", "avro", "source.type: "},
		{"chanel.capacity", "5", `chanel.capacity: begins with none of source., channel., processor. and the names of the sinks; did you mean "channel."?`},
		{"k1.sink.rollInterval", "x", "k1.sink.rollInterval: "},
	} {
		o := options(t, t.TempDir(), map[string]string{x.key: x.value})
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s = %s: %v", x.key, x.value, err)
		}
	}
	o := options(t, t.TempDir(), nil)
	o.Name = "a b"
	if _, err := Open(t.Context(), o); err == nil {
		t.Error("a name with a blank is taken")
	}
}

// A channel that somebody else has is waited for, no longer than the program wants.
func TestCannotOpen(t *testing.T) {
	log := t.TempDir()
	channel := map[string]string{"channel.type": "file", "channel.checkpointDir": filepath.Join(log, "c"), "channel.dataDirs": filepath.Join(log, "d")}
	a, err := Open(t.Context(), options(t, t.TempDir(), channel))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, options(t, t.TempDir(), channel)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

package slogevent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/sluice-io/sluice/flume"
)

type outbox struct {
	mu     sync.Mutex
	events flume.Batch
	err    error
	ctx    context.Context
	over   error // of ctx, when it came
}

func (o *outbox) Append(ctx context.Context, e flume.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ctx, o.over = ctx, ctx.Err()
	if o.err != nil {
		return o.err
	}
	o.events = append(o.events, e)
	return nil
}

func (o *outbox) AppendBatch(context.Context, flume.Batch) error { return nil }

func (o *outbox) Close() error { return nil }

// What the standard library asks of a handler.
func TestHandler(t *testing.T) {
	var out *outbox
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out = &outbox{}
		return New(out, Options{})
	}, func(t *testing.T) map[string]any {
		var m map[string]any
		if err := json.Unmarshal(out.events[0].Body, &m); err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func TestEvents(t *testing.T) {
	at := time.Date(2026, 10, 14, 12, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		name    string
		o       Options
		level   slog.Level
		headers flume.Headers
		body    string
	}{
		{"as it is", Options{}, slog.LevelInfo,
			flume.Headers{{Key: "timestamp", Value: "1791979200000"}, {Key: "level", Value: "INFO"}},
			`{"time":"2026-10-14T12:00:00Z","level":"INFO","msg":"served","a":1,"path":"/"}`},
		{"text", Options{Text: true, Logger: "web", Headers: flume.Headers{{Key: "host", Value: "h"}, {Key: "level", Value: "mine"}}}, slog.LevelWarn,
			flume.Headers{{Key: "timestamp", Value: "1791979200000"}, {Key: "logger", Value: "web"}, {Key: "host", Value: "h"}, {Key: "level", Value: "mine"}},
			"time=2026-10-14T12:00:00.000Z level=WARN msg=served a=1 path=/"},
		{"log4j", Options{Log4j: true, Logger: "web"}, slog.LevelError,
			flume.Headers{{Key: "timestamp", Value: "1791979200000"}, {Key: "level", Value: "ERROR"}, {Key: "logger", Value: "web"},
				{Key: "flume.client.log4j.logger.name", Value: "web"}, {Key: "flume.client.log4j.log.level", Value: "40000"},
				{Key: "flume.client.log4j.timestamp", Value: "1791979200000"}, {Key: "flume.client.log4j.message.encoding", Value: "UTF8"}},
			`{"time":"2026-10-14T12:00:00Z","level":"ERROR","msg":"served","a":1,"path":"/"}`},
	} {
		t.Run(x.name, func(t *testing.T) {
			out := &outbox{}
			r := slog.NewRecord(at, x.level, "served", 0)
			r.Add("path", "/")
			if err := New(out, x.o).WithAttrs([]slog.Attr{slog.Int("a", 1)}).Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if e := out.events[0]; string(e.Body) != x.body || !slices.Equal(e.Headers, x.headers) {
				t.Errorf("%s\n%v", e.Body, e.Headers)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	out := &outbox{}
	log := slog.New(New(out, Options{}))
	log.Debug("no")
	log.Info("yes")
	if len(out.events) != 1 {
		t.Error(out.events)
	}
	for level, want := range map[slog.Level]int{-8: 5000, slog.LevelDebug: 10000, slog.LevelInfo: 20000, slog.LevelWarn: 30000, slog.LevelError: 40000, 12: 40000} {
		if got := log4jNumber(level); got != want {
			t.Errorf("%v is %d", level, got)
		}
	}
}

// A record is sent though the request that it tells of is over, and for no longer than it may.
func TestFails(t *testing.T) {
	out := &outbox{err: errors.New("away")}
	var failed []error
	h := New(out, Options{Timeout: time.Minute, Failed: func(_ flume.Event, err error) { failed = append(failed, err) }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	slog.New(h).InfoContext(ctx, "x")
	if len(failed) != 1 || !errors.Is(failed[0], out.err) {
		t.Error(failed)
	}
	if end, ok := out.ctx.Deadline(); !ok || time.Until(end) > time.Minute {
		t.Error("it may take for ever")
	}
	if out.over != nil {
		t.Error(out.over)
	}
}

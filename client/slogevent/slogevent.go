// Package slogevent is a log/slog handler whose records become events.
//
//	log := slog.New(slogevent.New(sender, slogevent.Options{}))
//	log.Info("served", "path", "/", "took", 3*time.Millisecond)
//
//	headers: timestamp = 1791979200000   level = INFO
//	body:    {"time":"2026-10-14T12:00:00Z","level":"INFO","msg":"served","path":"/","took":3000000}
//
// The header timestamp, in milliseconds, is the one that %Y-%m-%d in paths and topics stands for. With Options.Log4j there
// are those of Flume's Log4j appender too, for agents that choose channels by them.
//
// A record is sent by the goroutine that logs it: with a [client.Durable] it is on the disk when the call returns, and no
// receiver that is away holds up the program until the buffer is full; with a bare [client.Client] every call waits for the
// receiver. Since slog drops a handler's errors, Options.Failed is told them.
package slogevent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
)

// Options say what events look like. None is required.
type Options struct {
	Level     slog.Leveler  // the least that is sent; nil: slog.LevelInfo
	AddSource bool          // file and line in the body
	Text      bool          // the body is slog's text rather than JSON
	Headers   flume.Headers // of every event; they win over those of the record
	Logger    string        // the logger's name: the header logger, if it is not empty

	// Log4j adds what Flume's Log4j appender sends: flume.client.log4j.logger.name, .log.level (10000 DEBUG to 40000 ERROR),
	// .timestamp, .message.encoding.
	Log4j bool

	// Timeout bounds how long one record may be on its way or wait for room; 0: as long as the sender takes.
	Timeout time.Duration
	// Failed, if not nil, is told of a record that was not sent. It must not log to the same handler.
	Failed func(e flume.Event, err error)
}

// The headers that Flume's Log4j appender sends.
const (
	log4jName      = "flume.client.log4j.logger.name"
	log4jLevel     = "flume.client.log4j.log.level"
	log4jTimestamp = "flume.client.log4j.timestamp"
	log4jEncoding  = "flume.client.log4j.message.encoding"
)

// A Handler sends records. Handlers made of it with WithAttrs and WithGroup share its sender.
type Handler struct {
	o    Options
	to   client.Sender
	page *page
	form slog.Handler // writes to page
}

// A page is where a record is written before it is sent.
type page struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) { return p.b.Write(b) }

// New returns a handler that sends with to, which the caller closes after the last record.
func New(to client.Sender, o Options) *Handler {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	h := &Handler{o: o, to: to, page: &page{}}
	form := &slog.HandlerOptions{AddSource: o.AddSource, Level: o.Level}
	if o.Text {
		h.form = slog.NewTextHandler(h.page, form)
	} else {
		h.form = slog.NewJSONHandler(h.page, form)
	}
	return h
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.o.Level.Level() }

// Handle sends a record. It does not end with ctx, which is over where a request has been answered whose end is logged.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	body, err := h.body(ctx, r)
	if err != nil {
		return err
	}
	e := flume.Event{Headers: h.headers(r), Body: body}
	ctx = context.WithoutCancel(ctx)
	if h.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.o.Timeout)
		defer cancel()
	}
	if err := h.to.Append(ctx, e); err != nil {
		if h.o.Failed != nil {
			h.o.Failed(e, err)
		}
		return fmt.Errorf("sending a log record: %w", err)
	}
	return nil
}

func (h *Handler) body(ctx context.Context, r slog.Record) ([]byte, error) {
	h.page.mu.Lock()
	defer h.page.mu.Unlock()
	h.page.b.Reset()
	if err := h.form.Handle(ctx, r); err != nil {
		return nil, fmt.Errorf("writing a log record: %w", err)
	}
	return bytes.Clone(bytes.TrimSuffix(h.page.b.Bytes(), []byte("\n"))), nil
}

func (h *Handler) headers(r slog.Record) flume.Headers {
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	millis := strconv.FormatInt(at.UnixMilli(), 10)
	out := make(flume.Headers, 0, 7+len(h.o.Headers))
	out = append(out, flume.Header{Key: "timestamp", Value: millis}, flume.Header{Key: "level", Value: r.Level.String()})
	if h.o.Logger != "" {
		out = append(out, flume.Header{Key: "logger", Value: h.o.Logger})
	}
	if h.o.Log4j {
		out = append(out, flume.Header{Key: log4jName, Value: h.o.Logger}, flume.Header{Key: log4jLevel, Value: strconv.Itoa(log4jNumber(r.Level))},
			flume.Header{Key: log4jTimestamp, Value: millis}, flume.Header{Key: log4jEncoding, Value: "UTF8"})
	}
	return append(out, h.o.Headers...).Unique()
}

// log4jNumber is the number of Log4j's level for one of slog.
func log4jNumber(l slog.Level) int {
	switch {
	case l < slog.LevelDebug:
		return 5000
	case l < slog.LevelInfo:
		return 10000
	case l < slog.LevelWarn:
		return 20000
	case l < slog.LevelError:
		return 30000
	}
	return 40000
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	out.form = h.form.WithAttrs(slices.Clone(attrs))
	return &out
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	out := *h
	out.form = h.form.WithGroup(name)
	return &out
}

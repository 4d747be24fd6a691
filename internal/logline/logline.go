// Package logline writes log records as the lines that Flume's operators read and grep:
//
//	2026-11-21 10:00:00,000 [agent a1] INFO  source r1 - message key=value
//
// The attributes of a logger that say which component speaks (source, sink, channel and the like, or component for what
// is none) and agent take the places shown; every other one follows the message. A record is one line whatever it holds: control characters are written as Go writes them in strings, and a value with blanks in
// it stands in quotes. A line that cannot be written (a full disk, a closed terminal) is lost; nothing waits for it.
package logline

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Levels of log4j that slog has no name for.
const (
	Trace = slog.LevelDebug - 4
	Fatal = slog.LevelError + 4
	Off   = Fatal + 4
)

// ParseLevel reads a level of log4j in any case.
func ParseLevel(word string) (slog.Level, bool) {
	switch strings.ToUpper(word) {
	case "ALL", "TRACE":
		return Trace, true
	case "DEBUG":
		return slog.LevelDebug, true
	case "INFO":
		return slog.LevelInfo, true
	case "WARN", "WARNING":
		return slog.LevelWarn, true
	case "ERROR":
		return slog.LevelError, true
	case "FATAL":
		return Fatal, true
	case "OFF":
		return Off, true
	}
	return slog.LevelInfo, false
}

// name pads to the width of the longest.
func name(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "TRACE"
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO "
	case l < slog.LevelError:
		return "WARN "
	case l < Fatal:
		return "ERROR"
	}
	return "FATAL"
}

// output is what all handlers made from one share.
type output struct {
	mu   sync.Mutex
	outs []io.Writer
	line []byte
}

// A Handler writes lines. It is made by New.
type Handler struct {
	*output
	level slog.Leveler
	agent string
	place string // "source r1"
	group string // "g." inside of a group
	attrs []byte // what WithAttrs has set, as it stands in the line
}

// New writes every record of that level and above to each of outs.
func New(level slog.Leveler, outs ...io.Writer) *Handler {
	return &Handler{output: &output{outs: outs}, level: level}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	out := *h
	out.group += name + "."
	return &out
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	out.attrs = append([]byte(nil), h.attrs...)
	for _, a := range attrs {
		switch {
		case h.group == "" && a.Key == "agent":
			out.agent = a.Value.Resolve().String()
		case h.group == "" && isPlace(a.Key):
			if out.place != "" {
				out.place += " "
			}
			if a.Key != "component" {
				out.place += a.Key + " "
			}
			out.place += a.Value.Resolve().String()
		default:
			out.attrs = appendAttr(out.attrs, h.group, a)
		}
	}
	return &out
}

func isPlace(key string) bool {
	switch key {
	case "component", "source", "interceptor", "selector", "channel", "sink", "sinkgroup":
		return true
	}
	return false
}

// Handle implements slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.line[:0]
	if !r.Time.IsZero() {
		b = r.Time.AppendFormat(b, "2006-01-02 15:04:05,000 ")
	}
	agent := h.agent
	r.Attrs(func(a slog.Attr) bool {
		if h.group == "" && a.Key == "agent" {
			agent = a.Value.Resolve().String()
		}
		return true
	})
	if agent != "" {
		b = append(b, "[agent "...)
		b = appendText(b, agent)
		b = append(b, "] "...)
	}
	b = append(b, name(r.Level)...)
	b = append(b, ' ')
	if h.place != "" {
		b = appendText(b, h.place)
		b = append(b, " - "...)
	}
	b = appendText(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		if h.group != "" || a.Key != "agent" {
			b = appendAttr(b, h.group, a)
		}
		return true
	})
	b = append(b, '\n')
	h.line = b
	if cap(b) > 64<<10 {
		h.line = nil
	}
	var first error
	for _, out := range h.outs {
		if _, err := out.Write(b); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func appendAttr(b []byte, group string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, in := range v.Group() {
			b = appendAttr(b, group, in)
		}
		return b
	}
	if a.Key == "" {
		return b
	}
	b = append(b, ' ')
	b = appendText(b, group)
	b = appendText(b, a.Key)
	b = append(b, '=')
	switch v.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindTime:
		return v.Time().AppendFormat(b, time.RFC3339Nano)
	case slog.KindAny:
		return appendValue(b, fmt.Sprint(v.Any()))
	case slog.KindString, slog.KindBool, slog.KindDuration, slog.KindFloat64, slog.KindGroup, slog.KindLogValuer:
	}
	return appendValue(b, v.String())
}

// appendValue quotes what a reader could not tell from the next key.
func appendValue(b []byte, s string) []byte {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == '"' || r == '=' || r == utf8.RuneError || !unicode.IsPrint(r)
	}) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

// appendText keeps a text on its line.
func appendText(b []byte, s string) []byte {
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			b = append(b, '\\', 'x')
			b = strconv.AppendUint(b, uint64(s[i]), 16)
		case r == '\t' || r == ' ' || unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		default:
			q := strconv.QuoteRune(r)
			b = append(b, q[1:len(q)-1]...)
		}
	}
	return b
}

// Package logger is the sink that writes every event to the log, at INFO, as Flume does:
//
//	Event: { headers:{k=v, k2=v2} body: 48 65 6C 6C 6F 20 77 6F 72 6C 64 21 0D          Hello world!. }
//
// The body is shown up to maxBytesToLog bytes, 16 in a line: each byte as two upper-case hex digits and a blank (three
// blanks where there is no byte), then as itself from 0x20 to 0x7E and as a full stop otherwise. Lines after the first
// begin with their offset in eight hex digits. An empty body shows nothing. Headers are in the order in which they
// came; Flume shows them in the order of Java's hash map.
//
// Flume 1.11 ignores maxBytesToLog and always shows 16 bytes; here it counts. Where the log does not take INFO the events
// are consumed all the same. This sink is for looking at events; its log line is made anew for each one.
package logger

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the logger sink.
var Kind = flume.Define[Settings, flume.Sink]("logger", "org.apache.flume.sink.LoggerSink",
	"Writes every event to the log.", open)

// Settings are what a logger sink can be told.
type Settings struct {
	MaxBytes int
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Int(&s.MaxBytes, "maxBytesToLog", 16, "How many bytes of the body are shown at most.").DefaultBelow(0).Lenient()
}

type sink struct {
	log *slog.Logger
	max int
	buf []byte
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	return &sink{log: env.Log, max: s.MaxBytes}, nil
}

func (s *sink) Deliver(ctx context.Context, b flume.Batch) error {
	if !s.log.Enabled(ctx, slog.LevelInfo) {
		return nil
	}
	for i := range b {
		s.buf = describe(s.buf[:0], &b[i], s.max)
		s.log.LogAttrs(ctx, slog.LevelInfo, string(s.buf))
	}
	return nil
}

func (s *sink) Limits() flume.Limits { return flume.Limits{} }

func (s *sink) Close() error { return nil }

// describe appends the line of an event.
func describe(to []byte, e *flume.Event, most int) []byte {
	to = append(to, "Event: { headers:{"...)
	for i, h := range e.Headers {
		if i > 0 {
			to = append(to, ", "...)
		}
		to = append(to, h.Key...)
		to = append(to, '=')
		to = append(to, h.Value...)
	}
	to = append(to, "} body:"...)
	to = dump(to, e.Body[:min(len(e.Body), most)])
	return append(to, " }"...)
}

// width is the number of bytes in a line.
const width = 16

func dump(to, body []byte) []byte {
	const digits = "0123456789ABCDEF"
	for at := 0; at < len(body); at += width {
		if at > 0 {
			to = append(to, '\n')
			offset := strconv.FormatUint(1<<32+uint64(at), 16) // the 1 in front makes eight digits
			for _, d := range []byte(offset[1:]) {
				if d >= 'a' {
					d -= 'a' - 'A'
				}
				to = append(to, d)
			}
		}
		to = append(to, ' ')
		line := body[at:min(at+width, len(body))]
		for _, c := range line {
			to = append(to, digits[c>>4], digits[c&15], ' ')
		}
		for range width - len(line) {
			to = append(to, "   "...)
		}
		for _, c := range line {
			if c < ' ' || c > '~' {
				c = '.'
			}
			to = append(to, c)
		}
	}
	return to
}

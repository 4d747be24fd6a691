// Package dedup is the interceptor that drops events which come again within a window. It is not in Flume.
//
//	type = dedup
//	header = id, jsonPath = $.id       what an event is known by: these together; neither: the whole body
//	window = 300                       seconds for which a key is remembered
//	maxKeys, maxBytes                  and how many are; the oldest are forgotten first
//	repeated = drop                    what becomes of a repetition: drop, mark
//
//	keys of the batch ─▶ under way elsewhere? wait ─▶ seen? drop ─▶ next: interceptors, channels ─▶ nil: seen
//	                                                                                            └▶ error: forgotten
//
// The rules:
//
//   - A key is seen when the event has arrived (flume.Witness), not when it passes: a batch that a full channel refused
//     comes again, and is no repetition.
//   - While a batch is on its way its keys are held, all or none. Who comes with one of them waits for its fate, and
//     holds nothing meanwhile, so that no two wait for each other.
//   - Of a key 16 bytes of its SHA-256 are kept, so that two keys do not meet, nor can be made to. One takes up to 112 bytes, with
//     its share of the map and of the queue by age.
//   - An event without a key passes. So does a dead letter that is replayed: it has been here before.
//
// What it cannot know: it remembers in memory. After a restart, in another agent, behind another source and after the
// window it knows nothing, and repetitions pass. It never drops an event whose first copy has not arrived. What is
// behind the channels it cannot see: what a sink rejects later has arrived.
package dedup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/jsonpath"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Kind is the interceptor. Flume has none.
var Kind = kind()

func kind() flume.Kind[flume.Interceptor] {
	k := flume.Define[Settings, flume.Interceptor]("dedup", "", "Drops events that come again within a window.", open)
	k.Unlisted = true
	return k
}

// A fate is what becomes of an event.
type fate string

const (
	drop   fate = "drop"
	mark   fate = "mark"
	pass   fate = "pass"
	reject fate = "reject"
)

// marked is the header of a repetition that is marked.
const marked = "repeated"

// Settings are what the interceptor can be told.
type Settings struct {
	Headers           []string
	Path              string
	Window            time.Duration
	MaxKeys, MaxBytes int
	Repeated, Missing fate

	path *jsonpath.Path
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Strings(&s.Headers, "header", "", "The headers that an event is known by, separated by blanks.")
	d.String(&s.Path, "jsonPath", "", "Where in a JSON body stands what an event is known by, such as $.order.id. With neither this nor header it is the whole body.")
	d.Seconds(&s.Window, "window", 5*time.Minute, "How many seconds an event is remembered.").AtLeast(1)
	d.Int(&s.MaxKeys, "maxKeys", 1000000, "How many events are remembered at most. The oldest are forgotten.").AtLeast(1)
	d.Int(&s.MaxBytes, "maxBytes", 128<<20, "How many bytes that may take; an event counts 112.").AtLeast(keyBytes)
	conf.Choice(d, &s.Repeated, "repeated", drop, "What becomes of an event that comes again: drop, or mark, which passes it with the header repeated=true.", drop, mark)
	conf.Choice(d, &s.Missing, "missing", pass, "What becomes of an event that lacks what it would be known by: pass, or reject, which sends it to the dead letters.", pass, reject)
	d.Check(s.check)
}

func (s *Settings) check() (err error) {
	s.path = nil
	if s.Path == "" {
		return nil
	}
	if s.path, err = jsonpath.Parse(s.Path); err != nil {
		return conf.At("jsonPath", err)
	}
	return nil
}

// Trace says what becomes of the headers.
func (s *Settings) Trace(k flume.Known) flume.Known {
	if s.Repeated == mark {
		k = maps.Clone(k)
		delete(k, marked)
	}
	return k
}

type interceptor struct {
	settings            Settings
	window              *window
	repeated, forgotten *atomic.Int64
	trouble             *supervise.Trouble
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Interceptor, error) {
	return &interceptor{
		settings: *s, window: newWindow(s.Window, min(s.MaxKeys, s.MaxBytes/keyBytes)),
		repeated: env.Counter("EventRepeatedCount"), forgotten: env.Counter("DedupForgottenCount"),
		trouble: &supervise.Trouble{Log: env.Log, Failing: "Events are forgotten before their window is over, and repetitions of them pass; DedupForgottenCount counts them"},
	}, nil
}

// Intercept takes it that all that passes arrives.
func (i *interceptor) Intercept(ctx context.Context, b flume.Batch) (out flume.Batch, r []flume.Rejection, err error) {
	err = i.Witness(ctx, b, func(_ context.Context, left flume.Batch, rejected []flume.Rejection) error {
		out, r = left, rejected
		return nil
	})
	return out, r, err
}

// Witness implements flume.Witness.
func (i *interceptor) Witness(ctx context.Context, b flume.Batch, next func(context.Context, flume.Batch, []flume.Rejection) error) (err error) {
	keys, verdicts, rejected := i.keys(b)
	held, err := i.window.hold(ctx, keys, verdicts)
	if err != nil {
		return fmt.Errorf("waiting for a batch with an event of this one: %w", err)
	}
	arrived := false
	defer func() {
		if n := i.window.settle(held, arrived); n > 0 {
			i.forgotten.Add(int64(n))
			i.trouble.Report(slog.LevelWarn, fmt.Errorf("%w (maxKeys = %d, maxBytes = %d)", errFull, i.settings.MaxKeys, i.settings.MaxBytes), 0)
		}
	}()
	out, repeated := i.sort(b, verdicts)
	if err = next(ctx, out, rejected); err == nil {
		arrived = true
		i.repeated.Add(int64(repeated))
	}
	return err
}

var errFull = errors.New("the window is full")

// keys are what the events are known by, and what is known of them so far: unknown ones have none.
func (i *interceptor) keys(b flume.Batch) ([]key, []verdict, []flume.Rejection) {
	keys, verdicts := make([]key, len(b)), make([]verdict, len(b))
	var rejected []flume.Rejection
	var room []byte
	for n := range b {
		text, err := i.text(&b[n], room[:0])
		switch {
		case err == nil:
			if len(i.settings.Headers) > 0 || i.settings.path != nil {
				room = text // its own buffer; else it is the body
			}
			sum := sha256.Sum256(text)
			keys[n] = key(sum[:len(key{})])
		case i.settings.Missing == reject && !errors.Is(err, errLetter):
			rejected = append(rejected, flume.Rejection{Event: b[n], Err: err})
			verdicts[n] = refused
		default:
			verdicts[n] = unknown
		}
	}
	return keys, verdicts, rejected
}

var errLetter = errors.New("it is a dead letter that is replayed")

// text is what one event is known by.
func (i *interceptor) text(e *flume.Event, room []byte) ([]byte, error) {
	if _, ok := e.Headers.Get(flume.LetterID); ok {
		return nil, errLetter
	}
	if at, ok := e.Headers.Get(flume.PositionHeader); ok && strings.HasPrefix(at, position.Letter+"/") {
		return nil, errLetter
	}
	if len(i.settings.Headers) == 0 && i.settings.path == nil {
		return e.Body, nil
	}
	for _, h := range i.settings.Headers {
		v, ok := e.Headers.Get(h)
		if !ok {
			return nil, fmt.Errorf("looking for the header %q that the event would be known by: it is not there", h)
		}
		room = append(binary.AppendUvarint(room, uint64(len(v))), v...) // with its length, so that a|bc is not ab|c
	}
	if i.settings.path != nil {
		v, err := i.settings.path.Find(e.Body)
		if err != nil {
			return nil, fmt.Errorf("looking for %s in the body, which the event would be known by: %w", i.settings.path, err)
		}
		room = append(room, v...)
	}
	return room, nil
}

// sort drops or marks repetitions, and counts them.
func (i *interceptor) sort(b flume.Batch, verdicts []verdict) (flume.Batch, int) {
	again, n := 0, -1
	if i.settings.Repeated == mark {
		var those flume.Batch
		for n := range b {
			if verdicts[n] == repeated {
				again++
				those = append(those, b[n])
			}
		}
		those.SetHeader(marked, "true", false)
		for n := range b {
			if verdicts[n] == repeated {
				b[n], those = those[0], those[1:]
			}
		}
		return b.Keep(func(*flume.Event) bool { n++; return verdicts[n] != refused }), again
	}
	out := b.Keep(func(*flume.Event) bool {
		n++
		if verdicts[n] == repeated {
			again++
		}
		return verdicts[n] < repeated
	})
	return out, again
}

func (i *interceptor) Close() error { return nil }

// Package timestampextractor is the interceptor that stamps events with the time that their body tells, in milliseconds
// since 1970 UTC. It is not in Flume, where everybody writes it anew.
//
//	type = timestamp_extractor
//	regex = ^\[([^\]]+)\]          group "time", else the first that has matched, else the whole match
//	jsonPath = $.event.time        or this: a value of a JSON body
//	format = auto                  or a format by its name, or pattern = dd.MM.yyyy HH:mm:ss
//	timezone = Europe/Berlin       for times without a zone
//	fallback = now                 what an event gets that tells no time: now, none (no header), reject
//
// What auto takes stands in package eventtime.
//
// Several formats of one body are several of these interceptors, the first with fallback = none, the others with
// preserveExisting = true.
package timestampextractor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/eventtime"
	"github.com/sluice-io/sluice/internal/javaregex"
	"github.com/sluice-io/sluice/internal/jsonpath"
	"github.com/sluice-io/sluice/internal/stamp"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Kind is the timestamp extractor. Flume has none.
var Kind = kind()

func kind() flume.Kind[flume.Interceptor] {
	k := flume.Define[Settings, flume.Interceptor]("timestamp_extractor", "",
		"Stamps events with the time that their body tells.", open)
	k.Unlisted = true
	return k
}

// Settings are what a timestamp extractor can be told.
type Settings struct {
	Time             eventtime.Settings
	PreserveExisting bool
	Regex            *javaregex.Pattern
	Path             string

	path  *jsonpath.Path
	group int // of Regex, called time; 0: there is none
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Bool(&s.PreserveExisting, "preserveExisting", false, "Whether an event that has the header already keeps its value.")
	javaregex.Setting(d, &s.Regex, "regex", "",
		"The Java pattern that finds the time in the body, read as UTF-8: its group called time, else the first group that has matched, else all that it matches.")
	d.String(&s.Path, "jsonPath", "", "Where the time stands in a JSON body, such as $.event.time or items[0]['created at'].")
	d.Under("", &s.Time)
	d.Check(s.check)
}

func (s *Settings) check() (err error) {
	s.path, s.group = nil, 0
	switch {
	case (s.Regex == nil) == (s.Path == ""):
		return errors.New("needs either regex or jsonPath, to find the time in the body")
	case s.Regex != nil:
		s.group, _ = s.Regex.Group("time")
	default:
		if s.path, err = jsonpath.Parse(s.Path); err != nil {
			return conf.At("jsonPath", err)
		}
	}
	return nil
}

// Trace says what becomes of the headers: the time is not known before.
func (s *Settings) Trace(k flume.Known) flume.Known {
	if s.PreserveExisting {
		return k
	}
	k = maps.Clone(k)
	delete(k, s.Time.Header)
	return k
}

// Unsteady names the header where an event that tells no time is stamped with the present.
func (s *Settings) Unsteady() []string {
	if s.PreserveExisting || s.Time.Fallback != eventtime.Now {
		return nil
	}
	return []string{s.Time.Header}
}

type interceptor struct {
	settings Settings
	reader   *eventtime.Reader
	missing  *atomic.Int64
	trouble  *supervise.Trouble
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Interceptor, error) {
	r, err := s.Time.Reader()
	if err != nil {
		return nil, err
	}
	return &interceptor{
		settings: *s, reader: r, missing: env.Counter("EventTimeMissingCount"),
		trouble: &supervise.Trouble{Log: env.Log, Failing: "Events tell no time; EventTimeMissingCount counts them"},
	}, nil
}

// errMissing stands for all that can be wrong with a body, so that the log says it once.
var errMissing = errors.New("the body has no time in the place and format that are set")

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	var (
		rejected []flume.Rejection
		poison   []int // events, ascending
		missing  int64
		pad      stamp.Pad
		matcher  *javaregex.Matcher
		digits   [20]byte
		room     = make([]byte, eventtime.Longest)
		now      = time.Now()
	)
	if i.settings.Regex != nil {
		matcher = i.settings.Regex.Matcher()
	}
	for n := range b {
		if i.settings.PreserveExisting {
			if _, there := b[n].Headers.Get(i.settings.Time.Header); there {
				continue
			}
		}
		at, err := i.time(matcher, b[n].Body, room, now)
		switch {
		case err == nil:
		case i.settings.Time.Fallback == eventtime.Reject:
			rejected = append(rejected, flume.Rejection{Event: b[n], Err: err})
			poison = append(poison, n)
			continue
		default:
			missing++
			if i.settings.Time.Fallback == eventtime.None {
				continue
			}
			at = now.UnixMilli()
		}
		pad.Add(n, i.settings.Time.Header, strconv.AppendInt(digits[:0], at, 10))
	}
	if missing > 0 {
		i.missing.Add(missing)
		i.trouble.Report(slog.LevelWarn, fmt.Errorf("%w; fallback = %s", errMissing, i.settings.Time.Fallback), 0)
	}
	pad.Apply(b)
	if len(poison) > 0 {
		n := -1
		b = b.Keep(func(*flume.Event) bool {
			n++
			bad := len(poison) > 0 && poison[0] == n
			if bad {
				poison = poison[1:]
			}
			return !bad
		})
	}
	return b, rejected, nil
}

// time reads the time of a body.
func (i *interceptor) time(m *javaregex.Matcher, body, room []byte, now time.Time) (int64, error) {
	var text []byte
	if m != nil {
		m.Reset(body)
		found, err := m.Find()
		if err != nil {
			return 0, fmt.Errorf("looking for %q in the body: %w", i.settings.Regex, err)
		}
		if !found {
			return 0, fmt.Errorf("looking for %q in the body: it is not there", i.settings.Regex)
		}
		text = i.group(m)
	} else {
		var err error
		if text, err = i.settings.path.Find(charset.DecodeUTF8(body)); err != nil {
			return 0, fmt.Errorf("looking for %s in the body: %w", i.settings.path, err)
		}
	}
	return i.reader.Millis(text, room, now)
}

// group is the text of the group that holds the time; empty where it has not matched.
func (i *interceptor) group(m *javaregex.Matcher) []byte {
	if i.settings.group > 0 {
		text, _ := m.Group(i.settings.group)
		return text
	}
	for n := range i.settings.Regex.Groups() {
		if text, ok := m.Group(n + 1); ok {
			return text
		}
	}
	text, _ := m.Group(0)
	return text
}

func (i *interceptor) Close() error { return nil }

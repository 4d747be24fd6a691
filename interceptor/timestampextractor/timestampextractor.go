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
// format = auto takes what cannot be mistaken for something else:
//
//	2024-03-31T02:30:00.123+01:00    2024-03-31 02:30:00,123    2024/03/31 02:30    20240331T023000Z    2024-03-31
//	1711848600    1711848600.123    1711848600123    and micro- and nanoseconds: by the number of digits
//	20240331    20240331023000    20240331023000123
//	31/Mar/2024:02:30:00 +0100    Sun, 31 Mar 2024 02:30:00 GMT    31 Mar 2024 02:30:00,123    31-Mar-2024 02:30:00.123
//	Mar 31 02:30:00    Mar 31 2024 02:30:00    Mar 31, 2024 2:30:00 AM    Sun Mar 31 02:30:00 CET 2024 (UTC, GMT, +0100)
//
// A time without a year is in the last year in which it is no more than a day ahead; one without a date is on the day
// on which it is nearest. 03/04/2024 can be two days: pattern says which.
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

// A fallback is what becomes of an event whose body tells no time.
type fallback string

const (
	fallbackNow    fallback = "now"
	fallbackNone   fallback = "none"
	fallbackReject fallback = "reject"
)

// Settings are what a timestamp extractor can be told.
type Settings struct {
	Header           string
	PreserveExisting bool
	Regex            *javaregex.Pattern
	Path             string
	Format           format
	Pattern          string
	Zone             string
	Fallback         fallback

	path  *jsonpath.Path
	zone  *time.Location
	group int // of Regex, called time; 0: there is none
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Header, "headerName", "timestamp", "The name of the header.")
	d.Bool(&s.PreserveExisting, "preserveExisting", false, "Whether an event that has the header already keeps its value.")
	javaregex.Setting(d, &s.Regex, "regex", "",
		"The Java pattern that finds the time in the body, read as UTF-8: its group called time, else the first group that has matched, else all that it matches.")
	d.String(&s.Path, "jsonPath", "", "Where the time stands in a JSON body, such as $.event.time or items[0]['created at'].")
	conf.Choice(d, &s.Format, "format", auto,
		"The format of the time; auto takes ISO 8601, numbers since 1970 by their digits, and the formats of web servers, syslog, mail and Java.",
		auto, iso, epoch, seconds, millis, micros, nanos, clf, syslog, rfc1123)
	d.String(&s.Pattern, "pattern", "", "The format as a date pattern of Java, such as dd.MM.yyyy HH:mm:ss; it wins over format.")
	d.String(&s.Zone, "timezone", "", "The zone of times that name none, such as Europe/Berlin or UTC. Without it the zone of the machine.")
	conf.Choice(d, &s.Fallback, "fallback", fallbackNow,
		"What becomes of an event whose body tells no time: now stamps it with the present, none leaves it as it is, reject sends it to the dead letters.",
		fallbackNow, fallbackNone, fallbackReject)
	d.Check(s.check)
}

func (s *Settings) check() (err error) {
	s.path, s.zone, s.group = nil, time.Local, 0
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
	if s.Zone != "" {
		if s.zone, err = time.LoadLocation(s.Zone); err != nil {
			return conf.At("timezone", fmt.Errorf("%q is no time zone; there are names such as Europe/Berlin and UTC", s.Zone))
		}
	}
	if _, err = newReader(s.Format, s.Pattern, s.zone, time.Now()); err != nil {
		return conf.At("pattern", err)
	}
	if s.Pattern != "" && s.Format != auto {
		return conf.Warn("format", errors.New("has no effect: pattern is set and wins"))
	}
	return nil
}

// Trace says what becomes of the headers: the time is not known before.
func (s *Settings) Trace(k flume.Known) flume.Known {
	if s.PreserveExisting {
		return k
	}
	k = maps.Clone(k)
	delete(k, s.Header)
	return k
}

type interceptor struct {
	settings Settings
	reader   *reader
	missing  *atomic.Int64
	trouble  *supervise.Trouble
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Interceptor, error) {
	r, err := newReader(s.Format, s.Pattern, s.zone, time.Now())
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
		room     = make([]byte, longest)
		now      = time.Now()
	)
	if i.settings.Regex != nil {
		matcher = i.settings.Regex.Matcher()
	}
	for n := range b {
		if i.settings.PreserveExisting {
			if _, there := b[n].Headers.Get(i.settings.Header); there {
				continue
			}
		}
		at, err := i.time(matcher, b[n].Body, room, now)
		switch {
		case err == nil:
		case i.settings.Fallback == fallbackReject:
			rejected = append(rejected, flume.Rejection{Event: b[n], Err: err})
			poison = append(poison, n)
			continue
		default:
			missing++
			if i.settings.Fallback == fallbackNone {
				continue
			}
			at = now.UnixMilli()
		}
		pad.Add(n, i.settings.Header, strconv.AppendInt(digits[:0], at, 10))
	}
	if missing > 0 {
		i.missing.Add(missing)
		i.trouble.Report(slog.LevelWarn, fmt.Errorf("%w; fallback = %s", errMissing, i.settings.Fallback), 0)
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
	return i.reader.millis(text, room, now)
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

// Package json is the interceptor for events whose body is JSON: it lifts fields into headers, drops and renames them.
// It is not in Flume.
//
//	type = json
//	header.user = $.user.id             the header user gets the value at that path
//	time.jsonPath = $.event.time        the header timestamp gets the time there, in milliseconds (package eventtime)
//	drop = $.password $.debug           these fields leave the body
//	rename.user_id = $.userId           this one is called user_id there from now on
//	invalid = reject                    what becomes of a body that is no JSON: reject, pass
//
// Each body is read once, to its end, whatever is asked for: paths of all settings are one tree, which a scanner carries
// along. What is not touched stays as it was written, byte for byte, blanks too; where nothing is to change the body is
// not copied. The order is lift, drop, rename: a field can be lifted and dropped.
//
// The rules:
//
//   - JSON is what RFC 8259 says, of any kind at the top, with a byte order mark in front or without, and nothing but
//     blanks behind. It may have 1000 brackets in each other, 65,536 fields that are dropped or renamed, and maxBytes
//     bytes. Everything else is no JSON.
//   - A text is lifted as its characters, anything else as it is written: 1.50, true, {"a": 1}. null is as if it were not
//     there.
//   - Of a key that comes twice in an object the first is lifted, and all are dropped or renamed.
//   - A field is not renamed to what another one is called already: such an event is rejected.
//   - A path that leads nowhere in an event changes nothing; missing = reject rejects an event that a header is not in.
package json

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/eventtime"
	"github.com/sluice-io/sluice/internal/jsonpath"
	"github.com/sluice-io/sluice/internal/stamp"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Kind is the JSON interceptor. Flume has none.
var Kind = kind()

func kind() flume.Kind[flume.Interceptor] {
	k := flume.Define[Settings, flume.Interceptor]("json", "", "Lifts fields of JSON bodies into headers, drops and renames them.", open)
	k.Unlisted = true
	return k
}

// A fate is what becomes of an event that is not as it should be.
type fate string

const (
	reject fate = "reject"
	pass   fate = "pass"
	none   fate = "none"
)

// Settings are what a JSON interceptor can be told.
type Settings struct {
	Header           conf.Values
	PreserveExisting bool
	Drop             string
	Rename           conf.Values
	TimePath         string
	Time             eventtime.Settings
	Missing, Invalid fate
	MaxBytes         int

	lifts []string // headers, of which the last is the time's where there is one
	tree  *node
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Rest(&s.Header, "header.", "header.NAME = PATH puts the value at a path of the body, such as $.user.id or items[0]['created at'], into the header NAME.")
	d.Bool(&s.PreserveExisting, "preserveExisting", false, "Whether a header that an event has already keeps its value.")
	conf.Choice(d, &s.Missing, "missing", none,
		"What becomes of an event whose body lacks what a header is to get: none leaves the header out, reject sends the event to the dead letters.", none, reject)
	d.String(&s.Drop, "drop", "", "The paths of fields that leave the body, separated by blanks.")
	d.Rest(&s.Rename, "rename.", "rename.NEW = PATH gives the field at a path the name NEW, in its place.")
	d.String(&s.TimePath, "time.jsonPath", "", "Where the time of the event stands.")
	s.Time.Prefix = "time."
	d.Under("time.", &s.Time)
	conf.Choice(d, &s.Invalid, "invalid", reject,
		"What becomes of an event whose body is no JSON: reject sends it to the dead letters, pass lets it through as it is and counts it.", reject, pass)
	d.Int(&s.MaxBytes, "maxBytes", 16<<20, "The most bytes that a body may have; a longer one is not read, and counts as no JSON.").AtLeast(1)
	d.Check(s.check)
}

func (s *Settings) check() error {
	s.lifts, s.tree = nil, new(node)
	var problems []error
	plant := func(key, path string, do func(parent, n *node) error) {
		p, err := jsonpath.Parse(path)
		var parent, n *node
		if err == nil {
			parent, n, err = s.tree.plant(p)
		}
		if err == nil {
			if err = do(parent, n); err != nil {
				err = fmt.Errorf("the path %q: %w", p, err)
			}
		}
		if err != nil {
			problems = append(problems, conf.At(key, err))
		}
	}
	lift := func(_, n *node) error {
		n.lift = append(n.lift, len(s.lifts)-1)
		return nil
	}
	for _, v := range s.Header {
		if v.Key == flume.PositionHeader {
			problems = append(problems, conf.At("header."+v.Key, errors.New("is a header of Sluice's own; take another name")))
			continue
		}
		s.lifts = append(s.lifts, v.Key)
		plant("header."+v.Key, v.Text, lift)
	}
	if s.TimePath != "" {
		s.lifts = append(s.lifts, s.Time.Header)
		plant("time.jsonPath", s.TimePath, lift)
	}
	for _, path := range words(s.Drop) {
		plant("drop", path, func(parent, n *node) error {
			if parent == nil {
				return errors.New("the whole body cannot be dropped; regex_filter drops events")
			}
			n.drop = true
			return nil
		})
	}
	for _, v := range s.Rename {
		plant("rename."+v.Key, v.Text, func(parent, n *node) error { return n.rename(parent, v.Key) })
	}
	if len(s.Header)+len(s.Rename) == 0 && s.TimePath == "" && s.Drop == "" {
		problems = append(problems, errors.New("has nothing to do: set header.NAME, time.jsonPath, drop or rename.NEW"))
	}
	return errors.Join(problems...)
}

// words cuts a list at its blanks, but not at those within brackets, where a key may have some.
func words(list string) []string {
	inside := false
	return strings.FieldsFunc(list, func(c rune) bool {
		switch c {
		case '[':
			inside = true
		case ']':
			inside = false
		}
		return !inside && (c == ' ' || c == '\t')
	})
}

// Trace says what becomes of the headers: the values are not known before.
func (s *Settings) Trace(k flume.Known) flume.Known {
	if s.PreserveExisting {
		return k
	}
	k = maps.Clone(k)
	for _, h := range s.lifts {
		delete(k, h)
	}
	return k
}

// Unsteady names the header where an event that tells no time is stamped with the present.
func (s *Settings) Unsteady() []string {
	if s.TimePath == "" || s.PreserveExisting || s.Time.Fallback != eventtime.Now {
		return nil
	}
	return []string{s.Time.Header}
}

type interceptor struct {
	settings           Settings
	top                *jsonpath.Path // $, which reads one value
	reader             *eventtime.Reader
	invalid, timeless  *atomic.Int64
	notJSON, notTiming *supervise.Trouble
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Interceptor, error) {
	top, err := jsonpath.Parse("$")
	if err != nil {
		return nil, err
	}
	i := &interceptor{settings: *s, top: top, invalid: env.Counter("EventNotJsonCount"), timeless: env.Counter("EventTimeMissingCount"),
		notJSON:   &supervise.Trouble{Log: env.Log, Failing: "Bodies are no JSON; EventNotJsonCount counts them"},
		notTiming: &supervise.Trouble{Log: env.Log, Failing: "Events tell no time; EventTimeMissingCount counts them"}}
	if s.TimePath != "" {
		if i.reader, err = s.Time.Reader(); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// What stands for all that can be wrong with bodies, so that the log says it once.
var (
	errNotJSON  = errors.New("the body cannot be read as JSON; invalid = pass")
	errTimeless = errors.New("the body has no time in the place and format that are set")
)

// A changed is an event with a body of its own, and where that ends.
type changed struct{ event, end int }

// A round is one batch on its way, and what its events use one after the other.
type round struct {
	*interceptor
	scan   scan
	pad    stamp.Pad
	bodies []byte    // those that have changed
	cut    []changed // where they end
	room   []byte
	now    time.Time

	invalid, timeless int64
}

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	r := round{interceptor: i, now: time.Now()}
	r.scan.found = make([]span, len(i.settings.lifts))
	if i.reader != nil {
		r.room = make([]byte, eventtime.Longest)
	}
	var rejected []flume.Rejection
	var poison []int // events, ascending
	for n := range b {
		if err := r.event(n, &b[n]); err != nil {
			r.pad.Forget(n)
			rejected = append(rejected, flume.Rejection{Event: b[n], Err: err})
			poison = append(poison, n)
		}
	}
	r.tell()
	r.pad.Apply(b)
	r.apply(b)
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

// tell counts, and says once what was let through.
func (r *round) tell() {
	if r.invalid > 0 {
		r.interceptor.invalid.Add(r.invalid)
		r.notJSON.Report(slog.LevelWarn, errNotJSON, 0)
	}
	if r.timeless > 0 {
		r.interceptor.timeless.Add(r.timeless)
		r.notTiming.Report(slog.LevelWarn, fmt.Errorf("%w; time.fallback = %s", errTimeless, r.settings.Time.Fallback), 0)
	}
}

// event does one event, which stays as it is so far. An error: it is rejected.
func (r *round) event(n int, e *flume.Event) error {
	if err := r.read(e.Body); err != nil {
		if r.settings.Invalid == pass && !errors.As(err, new(*twiceError)) {
			r.invalid++
			return nil
		}
		return err
	}
	for i, header := range r.settings.lifts {
		timely := r.reader != nil && i == len(r.settings.lifts)-1
		if r.settings.PreserveExisting {
			if _, there := e.Headers.Get(header); there {
				continue
			}
		}
		value, err := r.lifted(e.Body, r.scan.found[i])
		if timely {
			if err := r.time(n, value, err); err != nil {
				return err
			}
			continue
		}
		switch {
		case err == nil:
			r.pad.Add(n, header, value)
		case r.settings.Missing == reject:
			return fmt.Errorf("looking for the header %q in the body: %w", header, err)
		}
	}
	r.edit(n, e.Body)
	return nil
}

func (r *round) read(body []byte) error {
	if len(body) > r.settings.MaxBytes {
		return fmt.Errorf("reading the body as JSON: it has %d bytes, maxBytes is %d", len(body), r.settings.MaxBytes)
	}
	return r.scan.read(body, r.settings.tree)
}

// lifted is what a header gets. The text is JSON.
func (r *round) lifted(body []byte, at span) ([]byte, error) {
	if at.to == 0 {
		return nil, jsonpath.ErrMissing
	}
	return r.top.Find(body[at.from:at.to])
}

// time stamps an event with a time that was lifted, or as the fallback says.
func (r *round) time(n int, text []byte, err error) error {
	var at int64
	if err == nil {
		at, err = r.reader.Millis(text, r.room, r.now)
	}
	if err != nil {
		switch r.settings.Time.Fallback {
		case eventtime.Reject:
			return fmt.Errorf("looking for %s in the body: %w", r.settings.TimePath, err)
		case eventtime.None:
			r.timeless++
			return nil
		case eventtime.Now:
			r.timeless++
			at = r.now.UnixMilli()
		}
	}
	var digits [20]byte
	r.pad.Add(n, r.settings.Time.Header, strconv.AppendInt(digits[:0], at, 10))
	return nil
}

// edit makes the body without what is dropped and with what is renamed.
func (r *round) edit(n int, body []byte) {
	if len(r.scan.edits) == 0 {
		return
	}
	at := 0
	for _, e := range r.scan.edits {
		r.bodies = append(append(r.bodies, body[at:e.from]...), e.put...)
		at = e.to
	}
	r.bodies = append(r.bodies, body[at:]...)
	r.cut = append(r.cut, changed{n, len(r.bodies)})
}

// apply gives the events their new bodies, which are cut from one copy that is no larger than they are.
func (r *round) apply(b flume.Batch) {
	if len(r.cut) == 0 {
		return
	}
	all := make([]byte, len(r.bodies))
	copy(all, r.bodies)
	from := 0
	for _, c := range r.cut {
		b[c.event].Body = all[from:c.end:c.end]
		from = c.end
	}
}

func (i *interceptor) Close() error { return nil }

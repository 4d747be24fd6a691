// Package multiplexing is the selector that sends an event where the value of one of its headers says.
//
//	selector.header = state
//	selector.mapping.CZ = c1          an event with state=CZ must be taken by c1 …
//	selector.optional.CZ = c1 c3      … and is offered to c3 (c1 is required already)
//	selector.mapping.US = c2 c3
//	selector.default = c4             any other value, an empty or blank one, or none
//
// Values are compared exactly: case counts and nothing is trimmed. A mapping that is empty or names a channel that is not
// the source's is refused. An event whose value has neither mapping nor default belongs nowhere. What becomes of it says
// selector.unmatched:
//
//	drop         it is dropped, as in Flume: counted (EventUnroutedCount) and said at WARN, a line for each new value
//	deadletter   it goes to the dead letters, and the rest of its batch goes on
//	refuse       the whole batch is refused, and the source does what it does when a channel is full
//
// Channel names are separated by any white space or commas. (Flume splits at exactly one blank: two make an empty name,
// and the source is dropped.)
//
// Events that follow each other and have the same value are routed as one run; the value is looked up when it changes.
package multiplexing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Kind is the multiplexing selector.
var Kind = flume.Define[Settings, flume.Selector]("multiplexing", "org.apache.flume.channel.MultiplexingChannelSelector",
	"Sends each event to the channels that the value of one of its headers names.", open)

// Settings are what a multiplexing selector can be told, below selector.
type Settings struct {
	Header    string
	Default   string
	Mapping   conf.Values
	Optional  conf.Values
	Unmatched unmatched
}

// unmatched is what becomes of an event that no mapping and no default takes.
type unmatched string

const (
	drop       unmatched = "drop"
	deadLetter unmatched = "deadletter"
	refuse     unmatched = "refuse"
)

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Header, "header", "flume.selector.header", "The header whose value decides.")
	d.String(&s.Default, "default", "",
		"The channels of events whose value has no mapping or that have no value, separated by blanks. Without it unmatched says what becomes of such events.")
	d.Rest(&s.Mapping, "mapping.", "mapping.VALUE: the channels that must take the events whose header has this value.")
	d.Rest(&s.Optional, "optional.", "optional.VALUE: channels that events whose header has this value are offered to beside the required ones.")
	conf.Choice(d, &s.Unmatched, "unmatched", drop, "What becomes of events that neither a mapping nor the default takes: they are dropped and counted, go to the dead letters, or their batch is refused.",
		drop, deadLetter, refuse)
	s.Unmatched = "" // until the file has it: who writes drop means it, and is not warned
	d.Check(func() error {
		var undecided error
		if s.Default == "" && s.Unmatched == "" {
			undecided = conf.Warn("default", errors.New("is not set: events whose value has no mapping are dropped, as in Flume; set it, or say selector.unmatched = drop, deadletter or refuse"))
		}
		if d.Targets() == nil {
			return undecided
		}
		_, err := s.routes(d.Targets())
		return errors.Join(err, undecided)
	})
}

// A route is where the events of one value go: channels by number, none of them twice.
type route struct {
	required, optional []int
}

// routes resolves names, and says all that is wrong with them. The key of the default route is empty.
func (s *Settings) routes(channels []string) (map[string]route, error) {
	var problems []error
	resolve := func(key, names string) []int {
		var numbers []int
		for _, name := range strings.FieldsFunc(names, separates) {
			i := slices.Index(channels, name)
			switch {
			case i < 0:
				problems = append(problems, conf.At(key, fmt.Errorf("%q is not a channel of the source, which has %s",
					name, strings.Join(channels, ", "))))
			case !slices.Contains(numbers, i):
				numbers = append(numbers, i)
			}
		}
		return numbers
	}
	routes := map[string]route{}
	usual := resolve("default", s.Default)
	for _, m := range s.Mapping {
		key := "mapping." + m.Key
		if strings.TrimFunc(m.Text, separates) == "" {
			problems = append(problems, conf.At(key, errors.New("names no channel")))
		}
		routes[m.Key] = route{required: resolve(key, m.Text)}
	}
	for _, o := range s.Optional {
		r, mapped := routes[o.Key]
		if !mapped {
			r.required = usual
		}
		r.optional = slices.DeleteFunc(resolve("optional."+o.Key, o.Text), func(i int) bool { return slices.Contains(r.required, i) })
		routes[o.Key] = r
	}
	routes[""] = route{required: usual}
	return routes, errors.Join(problems...)
}

func separates(r rune) bool { return r == ',' || r <= ' ' }

// longestShown is how much of a header's value is said, in bytes.
const longestShown = 100

type selector struct {
	header    string
	routes    map[string]route
	usual     route
	unmatched unmatched
	unrouted  *atomic.Int64
	trouble   supervise.Trouble
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Selector, error) {
	routes, err := s.routes(env.Channels)
	if err != nil {
		return nil, fmt.Errorf("mapping values to channels: %w", err)
	}
	return &selector{header: s.Header, routes: routes, usual: routes[""], unmatched: s.Unmatched, unrouted: env.Counter("EventUnroutedCount"),
		trouble: supervise.Trouble{Log: env.Log, Exact: true, Failing: "Events are dropped, for they belong to no channel; EventUnroutedCount counts them"}}, nil
}

func (s *selector) Select(b flume.Batch, r *flume.Routes) {
	from, value := 0, ""
	for i := range b {
		next, _ := b[i].Headers.Get(s.header)
		if next == value {
			continue
		}
		s.send(value, b[from:i], r)
		from, value = i, next
	}
	s.send(value, b[from:], r)
}

// send routes a run of events that have the same value; perhaps none.
func (s *selector) send(value string, run flume.Batch, r *flume.Routes) {
	if len(run) == 0 {
		return
	}
	way := s.usual
	if strings.TrimFunc(value, func(r rune) bool { return r <= ' ' }) != "" {
		if mapped, ok := s.routes[value]; ok {
			way = mapped
		}
	}
	for _, channel := range way.required {
		r.Require(channel, run...)
	}
	for _, channel := range way.optional {
		r.Offer(channel, run...)
	}
	if len(way.required)+len(way.optional) == 0 {
		s.unroute(value, run, r)
	}
}

// unroute does with a run of events that belong to no channel what the settings say.
func (s *selector) unroute(value string, run flume.Batch, r *flume.Routes) {
	why := fmt.Errorf("%s = %q has no mapping, and there is no default", s.header, value[:min(len(value), longestShown)])
	if value == "" {
		why = fmt.Errorf("the event has no value of %s, and there is no default", s.header)
	}
	switch s.unmatched {
	case deadLetter:
		r.Reject(why, run...)
	case refuse:
		r.Refuse(why)
	default:
		s.unrouted.Add(int64(len(run)))
		s.trouble.Report(slog.LevelWarn, why, 0)
	}
}

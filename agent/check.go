package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Check reports what New would, for all agents of all configurations, and what only shows when they are seen together:
// events that go round for ever, and two that need one place. It opens nothing and has no side effects.
func Check(kit Kit, configs []*conf.Config, property conf.Lookup) conf.Problems {
	var problems conf.Problems
	var wirings []wiring
	for _, cfg := range configs {
		for _, agent := range cfg.Agents {
			w, found := assemble(kit, agent, property)
			problems = append(problems, found...)
			wirings = append(wirings, w)
		}
	}
	problems = append(problems, shared(wirings)...)
	problems = append(problems, loops(wirings)...)
	problems.Sort()
	return problems
}

// An entry is where events come into an agent: a source, or a channel that is filled from outside.
type entry struct {
	w       *wiring
	source  *sourcePart  // nil for a channel
	channel *channelPart // nil for a source
}

func (e entry) section() *conf.Section {
	if e.source != nil {
		return e.source.Section
	}
	return e.channel.Section
}

func (e entry) origin() (flume.Origin, bool) {
	if e.source != nil {
		o, ok := e.source.Settings.(flume.Origin)
		return o, ok
	}
	o, ok := e.channel.Settings.(flume.Origin)
	return o, ok
}

// An exit is where events leave an agent: a sink, or a channel that is emptied from outside.
type exit struct {
	section     *conf.Section
	settings    flume.Destination
	adjustments []string // the manual's keys, to name a cure that the kind has
}

// exits are those that events of this entry reach, also as dead letters. Selectors are not asked: what one may send is taken
// to be sent.
func (e entry) exits() []exit {
	channels := []*channelPart{e.channel}
	var out []exit
	rejected := func(p *letterPart) {
		if p == nil {
			return
		}
		if p.channel != nil && !slices.Contains(channels, p.channel) {
			channels = append(channels, p.channel)
		}
		if p.sink != nil {
			if d, ok := p.sink.Settings.(flume.Destination); ok {
				out = append(out, exit{section: p.sink.Section, settings: d})
			}
		}
	}
	if e.source != nil {
		channels = slices.Clone(e.source.channels)
		rejected(e.source.letters)
		for _, i := range e.source.interceptors {
			rejected(i.letters)
		}
	}
	for n := 0; n < len(channels); n++ {
		c := channels[n]
		if d, ok := c.Settings.(flume.Destination); ok && e.source != nil {
			out = append(out, exit{section: c.Section, settings: d})
		}
		for _, g := range e.w.groups {
			for _, s := range g.sinks {
				if s.channel != c {
					continue
				}
				rejected(s.letters)
				if d, ok := s.Settings.(flume.Destination); ok {
					x := exit{section: s.Section, settings: d}
					for _, st := range s.Kind.Manual().Settings {
						x.adjustments = append(x.adjustments, st.Key)
					}
					out = append(out, x)
				}
			}
		}
	}
	return out
}

// headers are what is known of an event behind the interceptors. One that does not say what it does may do anything.
func (e entry) headers(k flume.Known) flume.Known {
	if e.source == nil {
		return k
	}
	for _, i := range e.source.interceptors {
		t, ok := i.Settings.(flume.Tracer)
		if !ok {
			k = nil
			continue
		}
		mine := flume.Known{}
		maps.Copy(mine, k)
		k = t.Trace(mine)
	}
	return k
}

// A walk follows events from one entry through all agents.
type walk struct {
	entries  []entry
	start    entry
	begin    flume.Endpoint // the place that start reads
	seen     map[string]bool
	problems *conf.Problems
	reported map[string]bool
}

// loops finds places that are read and, through one agent or several, written again. Each way round is reported once.
func loops(wirings []wiring) conf.Problems {
	var entries []entry
	for i := range wirings {
		w := &wirings[i]
		for _, s := range w.sources {
			entries = append(entries, entry{w: w, source: s})
		}
		for _, c := range w.channels {
			entries = append(entries, entry{w: w, channel: c})
		}
	}
	var problems conf.Problems
	reported := map[string]bool{}
	for _, e := range entries {
		o, ok := e.origin()
		if !ok {
			continue
		}
		origins := o.Origins(nil)
		for _, place := range slices.Sorted(maps.Keys(origins)) {
			w := walk{entries: entries, start: e, begin: place, seen: map[string]bool{}, problems: &problems, reported: reported}
			w.from(e, origins[place], nil)
		}
	}
	return problems
}

// from goes on behind an entry with what is known of the headers there. The way holds the sections passed so far.
func (w *walk) from(e entry, k flume.Known, way []*conf.Section) {
	way = append(slices.Clip(way), e.section())
	k = e.headers(k)
	for _, x := range e.exits() {
		for _, to := range x.settings.Destinations(k) {
			w.arrive(to, k, x, append(slices.Clip(way), x.section))
		}
	}
}

// arrive looks for who reads the place that events have been sent to.
func (w *walk) arrive(to flume.Endpoint, k flume.Known, x exit, way []*conf.Section) {
	for _, e := range w.entries {
		o, ok := e.origin()
		if !ok {
			continue
		}
		for place, known := range o.Origins(k) {
			if !reaches(to, place) {
				continue
			}
			if same(e, w.start) && reaches(place, w.begin) {
				w.report(to, k, x, way)
				continue
			}
			if key := e.section().Path("") + " " + string(place); !w.seen[key] {
				w.seen[key] = true
				w.from(e, known, way)
			}
		}
	}
}

func same(a, b entry) bool { return a.source == b.source && a.channel == b.channel }

// report names the loop once, however many of its entries it was found from.
func (w *walk) report(to flume.Endpoint, k flume.Known, x exit, way []*conf.Section) {
	members := make([]string, len(way))
	for i, sec := range way {
		members[i] = named(sec)
	}
	slices.Sort(members)
	key := strings.Join(members, "\n")
	if w.reported[key] {
		return
	}
	w.reported[key] = true
	first := way[0]
	text := fmt.Sprintf("events go round for ever: %s reads %s", named(first), w.begin)
	for _, sec := range way[1 : len(way)-1] {
		text += fmt.Sprintf(", %s passes them on", named(sec))
	}
	text += fmt.Sprintf(", and %s writes to it again", named(x.section))
	if h := responsible(x.settings, to, k); h != "" {
		text += fmt.Sprintf(", for the header %q of the events says so; a static interceptor on %s that sets %q to where they shall go (preserveExisting = false) ends it", h, first.Path(""), h)
		if slices.Contains(x.adjustments, "allowTopicOverride") {
			text += fmt.Sprintf(", and so does %s = false", x.section.Path("allowTopicOverride"))
		}
	}
	*w.problems = append(*w.problems, conf.Problem{Pos: placeOf(x.section), Agent: x.section.Agent, Subject: x.section.Path(""), Text: text, Severity: conf.Warning})
}

// responsible is the header without which the events would go elsewhere, or "".
func responsible(d flume.Destination, to flume.Endpoint, k flume.Known) string {
	for _, name := range slices.Sorted(maps.Keys(k)) {
		without := maps.Clone(k)
		delete(without, name)
		if !slices.Contains(d.Destinations(without), to) {
			return name
		}
	}
	return ""
}

// named is a component with the line of its type, where its settings usually begin.
func named(sec *conf.Section) string {
	if at := placeOf(sec).String(); at != "" {
		return sec.Path("") + " (" + at + ")"
	}
	return sec.Path("")
}

func placeOf(sec *conf.Section) conf.Pos {
	if v, ok := sec.Values.Get("type"); ok {
		return v.Pos
	}
	return sec.Pos
}

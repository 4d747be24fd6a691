package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// A wiring is an agent as its file has it: what is bound, who is connected to whom. Nothing in it is open, and only
// what can be opened is in it. Parts of two wirings can be compared by their sections.
type wiring struct {
	name     string
	pos      conf.Pos
	channels []*channelPart
	sources  []*sourcePart
	groups   []*groupPart // every sink is in exactly one
}

type channelPart struct {
	flume.Plan[flume.Channel]
	name      string
	positions bool // the sink asks for the positions of events
	index     int  // the order in which batches are prepared: the same for all sources, so that no two wait for each other
}

type sourcePart struct {
	flume.Plan[flume.Source]
	name         string
	positions    bool // a sink behind asks for the positions of events
	channels     []*channelPart
	selector     flume.Plan[flume.Selector]
	interceptors []interceptorPart
	letters      *letterPart
}

type interceptorPart struct {
	flume.Plan[flume.Interceptor]
	name    string
	letters *letterPart
}

type sinkPart struct {
	flume.Plan[flume.Sink]
	name    string
	channel *channelPart
	letters *letterPart
	retry   retryPart
}

// A groupPart is the sinks that one goroutine serves: a sink group, or one sink alone, which has no processor.
type groupPart struct {
	name      string
	sinks     []*sinkPart
	processor *flume.Plan[flume.SinkProcessor] // nil: none
}

// An assembly makes a wiring and collects what is wrong on the way.
type assembly struct {
	kit      Kit
	property conf.Lookup
	problems conf.Problems

	w        wiring
	channels map[string]*channelPart // of the listed ones, nil for one that cannot run
	sinks    map[string]*sinkPart    // likewise
	order    []*sinkPart             // the sinks that can run, as listed
	fed      map[string]bool         // channels that a listed source names
	drained  map[string]bool         // channels that a listed sink names
	held     []holding
	unused   int // channels that could run and that nobody uses
}

func assemble(kit Kit, cfg *conf.Agent, property conf.Lookup) (wiring, conf.Problems) {
	a := &assembly{
		kit: kit, property: property, w: wiring{name: cfg.Name, pos: cfg.Pos},
		channels: map[string]*channelPart{}, sinks: map[string]*sinkPart{},
		fed: map[string]bool{}, drained: map[string]bool{},
	}
	for _, sec := range cfg.Channels {
		a.channel(a.fresh(sec))
	}
	for _, sec := range cfg.Sources {
		a.source(a.fresh(sec))
	}
	for _, sec := range cfg.Sinks {
		a.sink(a.fresh(sec))
	}
	a.rounds()
	for _, sec := range cfg.SinkGroups {
		a.group(a.fresh(sec))
	}
	for _, s := range a.order { // those that no group has taken
		if !slices.ContainsFunc(a.w.groups, func(g *groupPart) bool { return slices.Contains(g.sinks, s) }) && a.sinks[s.name] == s {
			a.w.groups = append(a.w.groups, &groupPart{name: s.name, sinks: []*sinkPart{s}})
		}
	}
	a.positions()
	a.unattached()
	a.competing()
	a.meeting()
	if len(a.w.channels) == 0 || len(a.w.sources) == 0 && len(a.w.groups) == 0 {
		a.nothing(cfg)
	}
	a.problems.Sort()
	return a.w, a.problems
}

// fresh copies a section, so that what one reading has claimed does not hide anything from the next.
func (a *assembly) fresh(sec *conf.Section) *conf.Section {
	out := sec.Fresh()
	if out.Property == nil {
		out.Property = a.property
	}
	return out
}

func (a *assembly) report(sec *conf.Section, sev conf.Severity, key, format string, args ...any) {
	a.problems = append(a.problems, sec.Problem(sev, key, fmt.Sprintf(format, args...)))
}

// nothing says why an agent cannot run at all.
func (a *assembly) nothing(cfg *conf.Agent) {
	why := "none of its sources and sinks can be used"
	switch {
	case len(cfg.Channels) == 0:
		why = "it lists no channels"
	case len(cfg.Sources)+len(cfg.Sinks) == 0:
		why = "it lists neither sources nor sinks"
	case len(a.w.channels)+a.unused == 0:
		why = "none of its channels can be used"
	}
	a.problems = append(a.problems, conf.Problem{Pos: cfg.Pos, Agent: cfg.Name, Subject: cfg.Name, Severity: conf.Fatal,
		Text: "nothing of this agent can run: " + why})
}

// bind finds the kind of a component and reads its section. False: it cannot be opened, and the problems say why.
func bind[C any](a *assembly, r role, kinds []flume.Kind[C], sec *conf.Section, typ conf.Value) (flume.Plan[C], bool) {
	at := slices.IndexFunc(kinds, func(k flume.Kind[C]) bool { return k.Is(typ.Text) })
	if at < 0 {
		candidates := make([]candidate, len(kinds))
		for i, k := range kinds {
			candidates[i] = candidate{k.Type, append([]string{k.Type, k.Class}, k.Also...), k.Absent != ""}
		}
		a.report(sec, conf.Fatal, "type", "%s", unknown(r, typ.Text, candidates))
		return flume.Plan[C]{}, false
	}
	plan, problems := kinds[at].Bind(sec)
	a.problems = append(a.problems, problems...)
	return plan, !problems.Fatal()
}

// typed claims the type of a component. What reading the file has found fatal has been reported there.
func (a *assembly) typed(r role, sec *conf.Section) (conf.Value, bool) {
	typ, ok := sec.Get("type")
	if sec.Fatal() || typ.Fault != "" {
		return typ, false
	}
	if ok {
		return typ, true
	}
	a.report(sec, conf.Fatal, "type", "is required and not set: what kind of %s this is", r)
	return conf.Value{}, false
}

// names claims a list of names. Flume separates them by white space alone; a comma is part of the name there.
func (a *assembly) names(sec *conf.Section, key string) []string {
	v, ok := sec.Get(key)
	if !ok || v.Fault != "" {
		return nil
	}
	text := v.Text
	if strings.Contains(text, ",") {
		text = strings.ReplaceAll(text, ",", " ")
		a.report(sec, conf.Warning, key, "names are separated by blanks; Flume takes the comma as a part of the name")
	}
	return strings.Fields(text)
}

// required is names for a list that must not be empty. A key that looks like a slip of it is named.
func (a *assembly) required(sec *conf.Section, key, what string) []string {
	names := a.names(sec, key)
	v, ok := sec.Values.Get(key)
	if len(names) > 0 || len(sec.Values) == 0 || ok && v.Fault != "" {
		return names // one without any settings is reported as such, and a value that cannot be used too
	}
	var others []string
	for _, v := range sec.Unclaimed() {
		others = append(others, v.Key)
	}
	if slip := conf.Nearest(key, others); slip != "" {
		sec.Get(slip) // claimed, so that it is reported once
		a.report(sec, conf.Fatal, slip, "is not a setting; did you mean %q? That is required: %s", key, what)
		return nil
	}
	a.report(sec, conf.Fatal, key, "is required and not set: %s", what)
	return nil
}

func (a *assembly) channel(sec *conf.Section) {
	a.channels[sec.Name] = nil
	typ, ok := a.typed(channelRole, sec)
	if !ok {
		return
	}
	plan, ok := bind(a, channelRole, a.kit.Channels, sec, typ)
	if !ok || !a.hold(sec, plan.Settings) {
		return
	}
	c := &channelPart{Plan: plan, name: sec.Name, index: len(a.w.channels)}
	a.channels[sec.Name] = c
	a.w.channels = append(a.w.channels, c)
}

// resolve finds a channel by its name, or says why there is none to use.
func (a *assembly) resolve(name string) (*channelPart, string) {
	c, listed := a.channels[name]
	if c != nil {
		return c, ""
	}
	if listed {
		return nil, fmt.Sprintf("channel %s cannot be used, see there", name)
	}
	return nil, a.missing("channel", name, slices.Sorted(maps.Keys(a.channels)))
}

func (*assembly) missing(what, name string, names []string) string {
	if near := conf.Nearest(name, names); near != "" {
		return fmt.Sprintf("there is no %s %q; did you mean %q?", what, name, near)
	}
	return fmt.Sprintf("there is no %s %q", what, name)
}

func (a *assembly) source(sec *conf.Section) {
	typ, ok := a.typed(sourceRole, sec)
	s := &sourcePart{name: sec.Name}
	good := ok
	names := unique(a.required(sec, "channels", "the channels that the source puts events into"))
	var lacking []string
	for _, name := range names {
		a.fed[name] = true
		if c, why := a.resolve(name); c != nil {
			s.channels = append(s.channels, c)
		} else {
			lacking = append(lacking, why)
		}
	}
	for _, why := range lacking {
		if len(s.channels) == 0 {
			a.report(sec, conf.Fatal, "channels", "%s", why)
		} else {
			a.report(sec, conf.Warning, "channels", "%s (the source runs without it, as in Flume)", why)
		}
	}
	good = len(s.channels) > 0 && good
	letters, placed := a.letters(sec, nil)
	s.letters = letters
	good = a.selector(sec, s) && placed && good
	good = a.interceptors(sec, s) && good
	if !ok {
		return
	}
	if s.Plan, ok = bind(a, sourceRole, a.kit.Sources, sec, typ); !ok || !good || !a.hold(sec, s.Settings) {
		return
	}
	a.w.sources = append(a.w.sources, s)
	for _, c := range s.channels {
		a.sizes(sec, s.Limits, c, "source")
	}
}

// selector reads the source's selector.
func (a *assembly) selector(sec *conf.Section, s *sourcePart) bool {
	sub := sec.Sub("selector.", "selector")
	typ, ok := sub.Get("type")
	if !ok {
		typ.Text = "replicating"
	}
	if len(s.channels) == 0 {
		return false
	}
	sub.Targets = channelNames(s.channels)
	s.selector, ok = bind(a, selectorRole, a.kit.Selectors, sub, typ)
	return ok
}

func (a *assembly) interceptors(sec *conf.Section, s *sourcePart) bool {
	good := true
	for _, name := range a.names(sec, "interceptors") {
		sub := sec.Sub("interceptors."+name+".", name)
		if len(sub.Values) == 0 {
			a.report(sec, conf.Fatal, "interceptors", "interceptor %q is listed but has no settings; it needs at least a type", name)
			good = false
			continue
		}
		typ, ok := a.typed(interceptorRole, sub)
		if !ok {
			good = false
			continue
		}
		letters, placed := a.letters(sub, s.letters)
		plan, ok := bind(a, interceptorRole, a.kit.Interceptors, sub, typ)
		good = ok && placed && good
		s.interceptors = append(s.interceptors, interceptorPart{plan, name, letters})
	}
	for {
		at := slices.IndexFunc(sec.Unclaimed(), func(v conf.Value) bool { return strings.HasPrefix(v.Key, "interceptors.") })
		if at < 0 {
			return good
		}
		v := sec.Unclaimed()[at]
		name, _, _ := strings.Cut(strings.TrimPrefix(v.Key, "interceptors."), ".")
		sec.Get(v.Key)
		sec.Sub("interceptors."+name+".", name)
		a.report(sec, conf.Warning, v.Key, "interceptor %q has settings but is not listed in %s, so it does nothing", name, sec.Path("interceptors"))
	}
}

func (a *assembly) sink(sec *conf.Section) {
	a.sinks[sec.Name] = nil
	typ, ok := a.typed(sinkRole, sec)
	s := &sinkPart{name: sec.Name}
	switch names := a.required(sec, "channel", "the channel that the sink takes events from"); len(names) {
	case 0:
	case 1:
		a.drained[names[0]] = true
		var why string
		if s.channel, why = a.resolve(names[0]); s.channel == nil {
			a.report(sec, conf.Fatal, "channel", "%s", why)
		}
	default:
		for _, name := range names {
			a.drained[name] = true
		}
		a.report(sec, conf.Fatal, "channel", "a sink takes from one channel, these are %d; give each channel a sink of its own", len(names))
	}
	if !ok {
		return
	}
	letters, placed := a.letters(sec, nil)
	retry, timed := a.retries(sec)
	s.letters, s.retry = letters, retry
	s.Plan, ok = bind(a, sinkRole, a.kit.Sinks, sec, typ)
	if !ok || !placed || !timed || s.channel == nil || !a.hold(sec, s.Settings) {
		return
	}
	a.sinks[sec.Name] = s
	a.order = append(a.order, s)
	a.sizes(sec, s.Limits, s.channel, "sink")
}

// group makes a sink group. If it cannot run its sinks do not either: to let them run alone would send events to
// sinks that were meant to stand by.
func (a *assembly) group(sec *conf.Section) {
	if len(sec.Values) == 0 {
		return // reading the file has said it
	}
	g := &groupPart{name: sec.Name}
	for _, name := range unique(a.required(sec, "sinks", "the sinks of the group")) {
		if s := a.member(sec, name); s != nil {
			g.sinks = append(g.sinks, s)
		}
	}
	sub := sec.Sub("processor.", "processor")
	for _, v := range sec.Unclaimed() {
		a.report(sec, conf.Warning, v.Key, "is not a setting of a sink group")
	}
	switch len(g.sinks) {
	case 0:
		if _, ok := sec.Values.Get("sinks"); ok {
			a.report(sec, conf.Warning, "sinks", "the group has no sink that can run")
		}
		return
	case 1:
		a.w.groups = append(a.w.groups, &groupPart{name: g.sinks[0].name, sinks: g.sinks})
		if typ, ok := sub.Get("type"); ok && !strings.EqualFold(typ.Text, "default") {
			a.report(sec, conf.Warning, "sinks", "%s is the only sink of the group that can run; it runs by itself", g.sinks[0].name)
		}
		return
	}
	for _, s := range g.sinks {
		if s.retry.bounded() {
			a.report(s.Section, conf.Warning, retryPrefix+"max", "does nothing for a sink of a group: what one sink does not deliver the group offers to another")
		}
	}
	if !sec.Fatal() && a.processor(sub, g) {
		a.w.groups = append(a.w.groups, g)
		return
	}
	for _, s := range g.sinks {
		a.sinks[s.name] = nil
	}
	a.report(sec, conf.Fatal, "", "the group cannot run, so its sinks %s do not run", strings.Join(sinkNames(g.sinks), ", "))
}

// member finds a sink for a group, or says why it is left out.
func (a *assembly) member(sec *conf.Section, name string) *sinkPart {
	s, listed := a.sinks[name]
	if !listed {
		a.report(sec, conf.Warning, "sinks", "%s (the group runs without it)", a.missing("sink", name, slices.Sorted(maps.Keys(a.sinks))))
		return nil
	}
	if s == nil {
		a.report(sec, conf.Warning, "sinks", "sink %s cannot run, see there; the group runs without it", name)
		return nil
	}
	for _, g := range a.w.groups {
		if slices.Contains(g.sinks, s) {
			a.report(sec, conf.Warning, "sinks", "sink %s is in group %s already and stays there", name, g.name)
			return nil
		}
	}
	return s
}

func (a *assembly) processor(sub *conf.Section, g *groupPart) bool {
	typ, ok := sub.Get("type")
	if !ok {
		typ.Text = "default"
	}
	sub.Targets = sinkNames(g.sinks)
	plan, ok := bind(a, processorRole, a.kit.SinkProcessors, sub, typ)
	g.processor = &plan
	return ok
}

// sizes compares a batch size with the channel's transactions. Flume does not run such a component.
func (a *assembly) sizes(sec *conf.Section, l conf.Limits, c *channelPart, what string) {
	most := c.Limits.TransactionCapacity
	if l.BatchSize == 0 || most == 0 || l.BatchSize <= most {
		return
	}
	a.report(sec, conf.Warning, l.BatchSizeKey, "the batch size is %d, the transactionCapacity of channel %s (%s) is %d: Flume does not run this %s, Sluice runs it with %d; raise %s or lower the batch size",
		l.BatchSize, c.name, c.Section.Pos, most, what, most, c.Section.Path("transactionCapacity"))
}

// unattached says which channels nobody fills or empties, and takes out those that nobody uses at all.
func (a *assembly) unattached() {
	used := map[*channelPart]bool{}
	for _, s := range a.w.sources {
		for _, c := range s.channels {
			used[c] = true
		}
	}
	for _, g := range a.w.groups {
		for _, s := range g.sinks {
			used[s.channel] = true
		}
	}
	for _, p := range a.w.letters() {
		if p.channel != nil {
			used[p.channel] = true
		}
	}
	for _, c := range a.w.channels {
		_, filled := c.Settings.(flume.Origin) // from outside, as a Kafka channel can be
		_, emptied := c.Settings.(flume.Destination)
		fed, drained := a.fed[c.name] || filled, a.drained[c.name] || emptied
		switch {
		case !a.fed[c.name] && !a.drained[c.name]:
			a.report(c.Section, conf.Warning, "", "no source and no sink uses this channel; it is not opened")
		case !fed:
			a.report(c.Section, conf.Warning, "", "no source puts events into this channel")
		case !drained:
			a.report(c.Section, conf.Warning, "", "no sink takes events from this channel; it fills up")
		}
	}
	bound := len(a.w.channels)
	a.w.channels = slices.DeleteFunc(a.w.channels, func(c *channelPart) bool { return !used[c] })
	a.unused = bound - len(a.w.channels)
}

// competing warns of two runners of different types on one channel: each event goes to one of them only. Several of
// one type are how Flume's users drain a channel in parallel.
func (a *assembly) competing() {
	before := map[*channelPart][]*sinkPart{} // of earlier groups
	for _, g := range a.w.groups {
		for _, s := range g.sinks {
			at := slices.IndexFunc(before[s.channel], func(o *sinkPart) bool { return o.Kind.Type != s.Kind.Type || o.Kind.Class != s.Kind.Class })
			if at >= 0 {
				a.report(s.Section, conf.Warning, "channel", "%s and %s compete for the events of channel %s: each event goes to one of them; for copies give each a channel of its own",
					before[s.channel][at].name, s.name, s.channel.name)
			}
		}
		for _, s := range g.sinks {
			before[s.channel] = append(before[s.channel], s)
		}
	}
}

// meeting warns of two channels that are one place outside of the agent, as Kafka channels with one topic are: what is put
// into one comes out of the other too. One that is only filled and one that is only emptied are meant so.
func (a *assembly) meeting() {
	for i, c := range a.w.channels {
		for _, d := range a.w.channels[i+1:] {
			to, filled := c.Settings.(flume.Destination)
			from, emptied := d.Settings.(flume.Origin)
			if !filled || !emptied || a.uses(c)+a.uses(d) < 3 {
				continue
			}
			origins := slices.Sorted(maps.Keys(from.Origins(nil)))
			for _, place := range to.Destinations(nil) {
				if slices.ContainsFunc(origins, func(e flume.Endpoint) bool { return reaches(place, e) }) {
					a.problems = append(a.problems, conf.Problem{Pos: placeOf(d.Section), Agent: d.Section.Agent, Subject: d.Section.Path(""), Severity: conf.Warning,
						Text: fmt.Sprintf("is %s, as %s is: what is put into one comes out of the other; give each a place of its own", place, named(c.Section))})
					break
				}
			}
		}
	}
}

// uses counts whether sources fill the channel and whether sinks empty it.
func (a *assembly) uses(c *channelPart) (n int) {
	if slices.ContainsFunc(a.w.sources, func(s *sourcePart) bool { return slices.Contains(s.channels, c) }) {
		n++
	}
	if a.w.drained(c) {
		n++
	}
	return n
}

// letters are all places that components name for their dead letters.
func (w *wiring) letters() []*letterPart {
	var out []*letterPart
	add := func(p *letterPart) {
		if p != nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, s := range w.sources {
		add(s.letters)
		for _, i := range s.interceptors {
			add(i.letters)
		}
	}
	for _, g := range w.groups {
		for _, s := range g.sinks {
			add(s.letters)
		}
	}
	return out
}

// depth is how many groups, one behind the other, dead letters pass on their way to g.
func (w *wiring) depth(g *groupPart) int {
	var of func(g *groupPart, behind []*groupPart) int
	of = func(g *groupPart, behind []*groupPart) (most int) {
		behind = append(slices.Clip(behind), g)
		for _, from := range w.groups {
			if slices.Contains(behind, from) {
				continue
			}
			for _, s := range from.sinks {
				if s.letters != nil && s.letters.channel != nil && slices.ContainsFunc(g.sinks, func(to *sinkPart) bool { return to.channel == s.letters.channel }) {
					most = max(most, 1+of(from, behind))
				}
			}
		}
		return most
	}
	return of(g, nil)
}

func channelNames(channels []*channelPart) []string {
	names := make([]string, len(channels))
	for i, c := range channels {
		names[i] = c.name
	}
	return names
}

func sinkNames(sinks []*sinkPart) []string {
	names := make([]string, len(sinks))
	for i, s := range sinks {
		names[i] = s.name
	}
	return names
}

// unique drops what has come before.
func unique(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

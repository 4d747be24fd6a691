package agent

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A letterPart is where the dead letters of a component go: one of its fields. Nil: to the agent's own directory.
type letterPart struct {
	discard bool
	dir     string
	bound   int64 // bytes of dir; 0: the agent's
	channel *channelPart
	sink    *flume.Plan[flume.Sink] // a topic
	name    string                  // of the sink
}

// The settings that name where dead letters go.
const (
	letterKey    = "deadletter"
	letterPrefix = letterKey + "."
)

// bounded is the settings of a directory of dead letters.
type bounded struct{ bytes int64 }

func (s *bounded) Declare(d *conf.Decl) {
	d.Int64(&s.bytes, "bytes", letterBound, "The most bytes that the directory may take; when it is full the component waits.").AtLeast(1)
}

// none is the settings of what has none.
type none struct{}

func (none) Declare(*conf.Decl) {}

// letters reads where the dead letters of a component go; usual is where they go if it does not say.
func (a *assembly) letters(sec *conf.Section, usual *letterPart) (*letterPart, bool) {
	v, named := sec.Get(letterKey)
	sub := sec.Sub(letterPrefix, letterKey)
	if named {
		sub.Pos = v.Pos
	}
	if v.Fault != "" {
		return nil, true // Bind tells
	}
	if !named {
		if len(sub.Values) > 0 {
			a.report(sub, conf.Warning, sub.Values[0].Key, "does nothing, for %s does not say where dead letters go", sec.Path(letterKey))
		}
		return usual, true
	}
	kind, rest, _ := strings.Cut(v.Text, ":")
	p := &letterPart{}
	var problems conf.Problems
	switch {
	case v.Text == "discard":
		p.discard = true
		_, problems = conf.Bind(none{}, sub)
	case kind == "file":
		var s bounded
		_, problems = conf.Bind(&s, sub)
		p.dir, p.bound = filepath.Clean(rest), s.bytes
		if _, set := sub.Values.Get("bytes"); !set {
			p.bound = 0
		}
		if rest == "" {
			a.report(sec, conf.Fatal, letterKey, "names no directory: file:/var/lib/flume/deadletter")
			return nil, false
		}
	case kind == "kafka":
		return a.topic(sec, sub, v, rest)
	case kind != v.Text:
		a.report(sec, conf.Fatal, letterKey, "%q is none of file:DIRECTORY, kafka:TOPIC, discard, the name of a channel", v.Text)
		return nil, false
	default:
		_, problems = conf.Bind(none{}, sub)
		c, why := a.resolve(v.Text)
		if c == nil {
			a.report(sec, conf.Fatal, letterKey, "%s; dead letters go to file:DIRECTORY, kafka:TOPIC, discard or a channel of this agent", why)
			return nil, false
		}
		a.fed[v.Text] = true
		p.channel = c
	}
	a.problems = append(a.problems, problems...)
	return p, !problems.Fatal()
}

// topic makes a sink of the kit that sends letters to a topic of Kafka. It has the settings of that sink, below
// deadletter. of the component.
func (a *assembly) topic(sec, sub *conf.Section, v conf.Value, topic string) (*letterPart, bool) {
	at := slices.IndexFunc(a.kit.Sinks, func(k flume.Kind[flume.Sink]) bool { return k.Is("kafka") })
	if at < 0 || topic == "" {
		text := "names no topic: kafka:TOPIC"
		if topic != "" {
			text = "this binary has no Kafka sink, which would send them"
		}
		a.report(sec, conf.Fatal, letterKey, "%s", text)
		return nil, false
	}
	set := func(key, text string) { sub.Values = append(sub.Values, conf.Value{Key: key, Text: text, Pos: v.Pos}) }
	for _, key := range []string{"kafka.topic", "allowTopicOverride"} {
		if _, ok := sub.Values.Get(key); ok {
			a.report(sub, conf.Fatal, key, "the topic is what %s says", sec.Path(letterKey))
			return nil, false
		}
	}
	set("kafka.topic", topic)
	set("allowTopicOverride", "false") // a letter may have a header topic: where it came from
	if _, ok := sub.Values.Get("useFlumeEventFormat"); !ok {
		set("useFlumeEventFormat", "true") // the whole event
	}
	for _, header := range letterHeaders() {
		if _, ok := sub.Values.Get("header." + header); !ok {
			set("header."+header, header)
		}
	}
	plan, problems := a.kit.Sinks[at].Bind(sub)
	a.problems = append(a.problems, problems...)
	return &letterPart{sink: &plan, name: sec.Name + "-deadletter"}, !problems.Fatal()
}

// rounds takes out the sinks whose dead letters come back to them: what can never pass would go round for ever.
func (a *assembly) rounds() {
	for _, s := range slices.Clone(a.order) {
		way := a.round(s)
		if way == nil {
			continue
		}
		text := "its own channel"
		if len(way) > 1 {
			text = "its own channel by way of " + strings.Join(way[1:], ", ")
		}
		a.report(s.Section, conf.Fatal, letterKey, "the dead letters of %s come back to %s and would go round for ever; give one of these sinks another place for them", s.name, text)
		a.sinks[s.name] = nil
		a.order = slices.DeleteFunc(a.order, func(o *sinkPart) bool { return o == s })
	}
}

// round is the sinks that the letters of s pass until they are in the channel of s again; nil: they do not.
func (a *assembly) round(s *sinkPart) []string {
	seen := map[*channelPart]bool{}
	var follow func(o *sinkPart, way []string) []string
	follow = func(o *sinkPart, way []string) []string {
		if o.letters == nil || o.letters.channel == nil {
			return nil
		}
		way = append(slices.Clip(way), o.name)
		c := o.letters.channel
		if c == s.channel {
			return way
		}
		if seen[c] {
			return nil
		}
		seen[c] = true
		for _, next := range a.order {
			if next.channel != c {
				continue
			}
			if found := follow(next, way); found != nil {
				return found
			}
		}
		return nil
	}
	return follow(s, nil)
}

// A retryPart is how often a sink delivers the same events, and what becomes of them then.
type retryPart struct {
	max     int           // deliveries beside the first; -1: any number
	budget  time.Duration // from the first failure on; 0: any time
	least   time.Duration
	most    time.Duration
	letters bool // then they become dead letters; else they are tried on
}

// bounded reports whether there is an end to it.
func (p *retryPart) bounded() bool { return p.max >= 0 || p.budget > 0 }

// over reports whether events that have failed so often, for so long, have had what they may.
func (p *retryPart) over(failures int, since time.Time) bool {
	return p.max >= 0 && failures > p.max || p.budget > 0 && time.Since(since) >= p.budget
}

func (p *retryPart) backoff() supervise.Backoff {
	return supervise.Backoff{Least: p.least, Most: p.most}
}

// then is what a sink does with events that have failed as often as they may.
type then string

const (
	thenBlock  then = "block"
	thenLetter then = "deadletter"
)

// retrying is the settings of a sink below retry.
type retrying struct {
	part retryPart
	then then
}

const retryPrefix = "retry."

// Declare declares them. No sink of Flume's has a setting that begins with retry.
func (s *retrying) Declare(d *conf.Decl) {
	d.Int(&s.part.max, "max", -1, "How often events that could not be delivered are delivered again; -1: until it succeeds, as in Flume.").AtLeast(-1)
	d.Seconds(&s.part.budget, "budget", 0, "For how many seconds, from the first failure on, events are delivered again; 0: no such bound.").AtLeast(0)
	d.Millis(&s.part.least, "backoff", retryLeast, "How many milliseconds to wait before events are delivered again; it doubles each time, a quarter more or less, so that many sinks do not come at once.").AtLeast(1)
	d.Millis(&s.part.most, "backoff.max", retryMost, "The most milliseconds to wait.").AtLeast(1)
	conf.Choice(d, &s.then, "then", thenBlock, "What becomes of events that have been delivered again as often, or for as long, as they may: block delivers them on, all else waits, and says so at ERROR; deadletter finds out which of the batch fail and makes those dead letters.", thenBlock, thenLetter)
	d.Check(func() error {
		switch {
		case s.part.most < s.part.least:
			return conf.At("backoff.max", fmt.Errorf("is %d and must not be less than backoff, which is %d", s.part.most.Milliseconds(), s.part.least.Milliseconds()))
		case s.then == thenLetter && !s.part.bounded():
			return conf.Warn("then", fmt.Errorf("does nothing without %smax or %sbudget: events are delivered again until it succeeds", retryPrefix, retryPrefix))
		}
		s.part.letters = s.then == thenLetter
		return nil
	})
}

// retries reads the settings of a sink below retry.
func (a *assembly) retries(sec *conf.Section) (retryPart, bool) {
	var s retrying
	_, problems := conf.Bind(&s, sec.Sub(retryPrefix, strings.TrimSuffix(retryPrefix, ".")))
	a.problems = append(a.problems, problems...)
	return s.part, !problems.Fatal()
}

// A Common is a setting that components of every type have: the agent reads it.
type Common struct{ Key, Type, Default, Doc string }

// CommonSettings are those of a family: source, interceptor, sink; nil for the others.
func CommonSettings(family string) []Common {
	var out []Common
	switch family {
	case "source", "interceptor", "sink":
		usual := "file, in the agent's data directory"
		if family == "interceptor" {
			usual = "that of its source"
		}
		out = append(out, Common{letterKey, "file:DIRECTORY, kafka:TOPIC, discard or a channel", usual,
			"Where events go that can never pass: a directory of Avro files, a topic, nowhere (counted), a channel of this agent."},
			Common{letterPrefix + "bytes", "number", strconv.FormatInt(letterBound, 10), "With file:DIRECTORY: the most bytes that it may take; when it is full the component waits."},
			Common{letterPrefix + "kafka.*", "", "", "With kafka:TOPIC: the settings of a Kafka sink, of which kafka.bootstrap.servers is required."})
	}
	if family == "sink" {
		for _, s := range conf.Describe(new(retrying)).Settings {
			out = append(out, Common{retryPrefix + s.Key, s.Type, s.Default, s.Doc})
		}
	}
	return out
}

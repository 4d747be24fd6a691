package agent

import (
	"slices"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/position"
)

// positions takes out every sink that asks for the positions of its events where the wiring cannot give them, and tells
// the sources and channels of the others. A group goes with its sink: the others are not there to do its part.
func (a *assembly) positions() {
	a.w.groups = slices.DeleteFunc(a.w.groups, func(g *groupPart) bool {
		refused := false
		for _, s := range g.sinks {
			refused = !a.positioned(s) || refused
		}
		if !refused {
			return false
		}
		for _, s := range g.sinks {
			a.sinks[s.name] = nil
		}
		if len(g.sinks) > 1 {
			a.report(g.processor.Section, conf.Fatal, "", "group %s cannot run, as one of its sinks cannot", g.name)
		}
		return true
	})
	for _, g := range a.w.groups {
		for _, s := range g.sinks {
			if asks(s) {
				s.channel.positions = true
			}
		}
	}
	for _, s := range a.w.sources {
		s.positions = slices.ContainsFunc(s.channels, func(c *channelPart) bool { return c.positions })
	}
}

func asks(s *sinkPart) bool {
	once, ok := s.Settings.(flume.ExactlyOnce)
	if !ok {
		return false
	}
	setting, _ := once.ExactlyOnce()
	return setting != ""
}

// positioned reports whether a sink can have what it asks for. The problems say why not, all of them.
func (a *assembly) positioned(s *sinkPart) bool {
	if !asks(s) {
		return true
	}
	setting, headers := s.Settings.(flume.ExactlyOnce).ExactlyOnce()
	good := true
	refuse := func(format string, args ...any) {
		good = false
		a.report(s.Section, conf.Fatal, setting, "cannot be kept: "+format, args...)
	}
	if others := a.beside(s); len(others) > 0 {
		refuse("channel %s has other sinks (%s), and what one of them could not deliver another would; give %s a channel of its own", s.channel.name, strings.Join(others, ", "), s.name)
	}
	if c, ok := s.channel.Settings.(flume.Unrepeatable); ok {
		if err := c.Unrepeatable(); err != nil {
			refuse("what goes through %s can be lost or come twice: %v", named(s.channel.Section), err)
		}
	}
	fed := false
	for _, src := range a.w.sources {
		if !slices.Contains(src.channels, s.channel) {
			continue
		}
		fed = true
		if p, ok := src.Settings.(flume.Positioner); !ok || !p.Positioner() {
			refuse("%s does not know its events again when they come twice; only a Kafka source does", named(src.Section))
		}
		for i, part := range src.interceptors {
			for _, h := range unsteady(part) {
				if slices.Contains(headers, h) && lasts(h, src.interceptors[i+1:]) {
					refuse("where an event goes depends on its header %q, to which interceptor %s gives another value when the event comes again", h, named(part.Section))
				}
			}
		}
	}
	if !fed {
		refuse("no source of this agent puts events into channel %s, so they bear no positions", s.channel.name)
	}
	return good
}

// beside are the other sinks of a sink's channel.
func (a *assembly) beside(s *sinkPart) []string {
	var out []string
	for _, g := range a.w.groups {
		for _, o := range g.sinks {
			if o != s && o.channel == s.channel {
				out = append(out, o.name)
			}
		}
	}
	return out
}

func unsteady(p interceptorPart) []string {
	u, ok := p.Settings.(flume.Unsteady)
	if !ok {
		return nil
	}
	return u.Unsteady()
}

// lasts reports whether a header stays as it is in the interceptors that follow, as far as they say.
func lasts(header string, rest []interceptorPart) bool {
	k := flume.Known{header: ""}
	for _, p := range rest {
		t, ok := p.Settings.(flume.Tracer)
		if !ok {
			continue
		}
		k = t.Trace(k)
		if v, ok := k[header]; !ok || v != "" {
			return false
		}
	}
	return true
}

// anonymous takes the positions out of the headers of events that go to the dead letters, which have a place for them.
func anonymous(r []flume.Rejection) []flume.Rejection {
	var out []flume.Rejection
	for i := range r {
		text, ok := r[i].Event.Headers.Get(flume.PositionHeader)
		if !ok {
			continue
		}
		if out == nil {
			out = slices.Clone(r)
		}
		out[i].Event = position.Hide(flume.Batch{r[i].Event})[0]
		if out[i].Position == "" {
			out[i].Position = text
		}
	}
	if out == nil {
		return r
	}
	return out
}

package agent

import (
	"fmt"
	"net"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// A place is an endpoint taken apart, so that two spellings of one place can be compared.
type place struct {
	scheme string
	hosts  []hostPort // kafka://h1:9092,h2:9092/topic has several
	path   string
}

type hostPort struct{ host, port string }

// parse never fails: what it cannot take apart is a path that equals itself alone.
func parse(e flume.Endpoint) place {
	scheme, rest, ok := strings.Cut(string(e), "://")
	if !ok {
		return place{path: string(e)}
	}
	authority, path, _ := strings.Cut(rest, "/")
	p := place{scheme: scheme, path: path}
	for h := range strings.SplitSeq(authority, ",") {
		if h = strings.TrimSpace(h); h == "" {
			continue
		}
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = h, ""
		}
		p.hosts = append(p.hosts, hostPort{strings.ToLower(host), port})
	}
	return p
}

// local is a host name that means this machine, seen from here or listened on.
func local(host string) bool {
	if wildcard(host) || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func wildcard(host string) bool {
	return host == "" || host == "*" || host == "0.0.0.0" || host == "::"
}

// reaches reports whether what is sent to one endpoint arrives at the other: localhost, 127.0.0.1 and 0.0.0.0 are one
// host, and one broker of a list in common is one cluster.
func reaches(a, b flume.Endpoint) bool {
	if a == b {
		return true
	}
	p, q := parse(a), parse(b)
	if p.scheme != q.scheme || p.path != q.path {
		return false
	}
	for _, x := range p.hosts {
		for _, y := range q.hosts {
			if x.port == y.port && (x.host == y.host || local(x.host) && local(y.host)) {
				return true
			}
		}
	}
	return false
}

// collide reports whether two that need these places cannot both have them: an address on all interfaces takes the
// port of each one. Port 0 is a port of its own each time. Everything with a port is TCP unless it says udp.
func collide(a, b flume.Endpoint) bool {
	p, q := parse(a), parse(b)
	if len(p.hosts) != 1 || len(q.hosts) != 1 || p.hosts[0].port == "" || q.hosts[0].port == "" {
		return a == b
	}
	x, y := p.hosts[0], q.hosts[0]
	if (p.scheme == "udp") != (q.scheme == "udp") || x.port != y.port || x.port == "0" {
		return false
	}
	if wildcard(x.host) || wildcard(y.host) {
		return true
	}
	if a, b := net.ParseIP(x.host), net.ParseIP(y.host); a != nil && b != nil {
		return a.Equal(b) // 127.0.0.1 and 127.0.0.2 are two
	}
	return x.host == y.host || local(x.host) && local(y.host)
}

// A holding is a place that a component has for itself.
type holding struct {
	endpoint flume.Endpoint
	sec      *conf.Section
}

// problem says that another component has the place; the text has room for its name.
func (h holding) problem(sev conf.Severity, other holding, text string) conf.Problem {
	return conf.Problem{Pos: placeOf(h.sec), Agent: h.sec.Agent, Subject: h.sec.Path(""), Severity: sev,
		Text: fmt.Sprintf("needs %s, "+text, h.endpoint, named(other.sec))}
}

// holds are the places that a component needs for itself.
func holds(sec *conf.Section, s conf.Settings) []holding {
	h, ok := s.(flume.Holder)
	if !ok {
		return nil
	}
	var out []holding
	for _, e := range h.Holds() {
		out = append(out, holding{e, sec})
	}
	return out
}

// hold takes a component's places; false if another one of the agent has one of them already.
func (a *assembly) hold(sec *conf.Section, s conf.Settings) bool {
	mine := holds(sec, s)
	for _, h := range mine {
		for _, other := range a.held {
			if collide(h.endpoint, other.endpoint) {
				a.problems = append(a.problems, h.problem(conf.Fatal, other, "which %s has; two cannot share it"))
				return false
			}
		}
	}
	a.held = append(a.held, mine...)
	return true
}

// shared warns of agents that need one place. They may be meant for different machines, so both run.
func shared(wirings []wiring) conf.Problems {
	var problems conf.Problems
	var held []holding
	for _, w := range wirings {
		mine := w.holds()
		for _, h := range mine {
			for _, other := range held {
				if !collide(h.endpoint, other.endpoint) {
					continue
				}
				problems = append(problems, h.problem(conf.Warning, other, "as %s does; the two agents cannot run on one machine"))
				break
			}
		}
		held = append(held, mine...)
	}
	return problems
}

func (w *wiring) holds() []holding {
	var out []holding
	for _, c := range w.channels {
		out = append(out, holds(c.Section, c.Settings)...)
	}
	for _, s := range w.sources {
		out = append(out, holds(s.Section, s.Settings)...)
	}
	for _, g := range w.groups {
		for _, s := range g.sinks {
			out = append(out, holds(s.Section, s.Settings)...)
		}
	}
	return out
}

package flume

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/sluice-io/sluice/conf"
)

// Env is what Open gets beside its settings.
type Env struct {
	Agent string       // the agent's name
	Name  string       // the component's name
	Log   *slog.Logger // says agent and component already

	// Reject writes events that can never pass to the dead letters; nil: they are on disk. For sources and channels
	// that cannot decode a record, which may move their position only after it. Interceptors and sinks return theirs.
	Reject func(ctx context.Context, r ...Rejection) error

	// Counter returns the component's counter of that name: Flume's attribute, as its metrics page has it
	// (KafkaEventGetTimer). Never nil; the agent counts events, batches and transactions itself.
	Counter func(attribute string) *atomic.Int64

	Channels            []string // selectors: the source's channels, in the order of Routes
	Filled              bool     // channels: a source puts events into it
	Positions           bool     // sources: a sink asks for PositionHeader; only those that are Positioners are told
	TransactionCapacity int      // sources: the most events that one Emit should carry, least of the channels' transactionCapacity
	Sinks               []string // sink processors: the group's sinks, in file order
}

// A Kind is one type of component C: Source, Interceptor, Selector, Channel, Sink or SinkProcessor. The kinds of the binary are listed in package kit.
type Kind[C any] struct {
	Type    string   // Flume's alias, matched in any case: "null"; of a kind without an alias the one that Sluice gives it
	Class   string   // Flume's class name, matched exactly
	Also    []string // more class names
	Summary string   // one sentence
	Absent  string   // not empty: it cannot be opened, and this says why and what to do instead
	// Unlisted means that Type is no alias of Flume's: taken all the same, and said in the manual.
	Unlisted bool

	settings func() conf.Settings
	open     func(ctx context.Context, s conf.Settings, env Env) (C, error)
}

// Define makes a kind of its settings S and the function that opens it.
func Define[S, C any, P interface {
	*S
	conf.Settings
}](typ, class, summary string, open func(context.Context, *S, Env) (C, error)) Kind[C] {
	return Kind[C]{
		Type: typ, Class: class, Summary: summary,
		settings: func() conf.Settings { return P(new(S)) },
		open: func(ctx context.Context, s conf.Settings, env Env) (C, error) {
			p, ok := s.(P)
			if !ok {
				panic("BUG: settings of another kind")
			}
			return open(ctx, p, env)
		},
	}
}

// Refuse makes a kind that is known by name and cannot be opened; why says what to do instead.
func Refuse[C any](typ, class, why string) Kind[C] {
	return Kind[C]{Type: typ, Class: class, Absent: why, Summary: why}
}

// Refused returns the kind as one that cannot be opened; why says what to do instead. Unlike those of Refuse its
// settings are known, so that the spelling in a file is checked all the same. Define takes a nil open for it.
func (k Kind[C]) Refused(why string) Kind[C] {
	k.Absent, k.open = why, nil
	return k
}

// Is reports whether a file's type means this kind: an alias in any case, a class name exactly.
func (k Kind[C]) Is(typ string) bool {
	if k.Type != "" && strings.EqualFold(typ, k.Type) || k.Class != "" && typ == k.Class {
		return true
	}
	for _, class := range k.Also {
		if typ == class {
			return true
		}
	}
	return false
}

// Manual describes the settings. A refused kind has none.
func (k Kind[C]) Manual() conf.Manual {
	if k.settings == nil {
		return conf.Manual{}
	}
	return conf.Describe(k.settings())
}

// A Plan is a component whose settings have been read and checked. It can be opened any number of times.
type Plan[C any] struct {
	Kind     Kind[C]
	Section  *conf.Section
	Settings conf.Settings // for what a component may say of itself: Origin, Tracer, Destination, Holder, ExactlyOnce …
	Limits   conf.Limits
}

// Bind reads a section. The plan cannot be opened if a problem is fatal.
func (k Kind[C]) Bind(sec *conf.Section) (Plan[C], conf.Problems) {
	p := Plan[C]{Kind: k, Section: sec}
	var problems conf.Problems
	if k.settings != nil {
		p.Settings = k.settings()
		p.Limits, problems = conf.Bind(p.Settings, sec)
	}
	if k.Absent != "" {
		problems = append(problems, sec.Problem(conf.Fatal, "type", k.Absent))
	}
	return p, problems
}

// Open returns a working component.
func (p Plan[C]) Open(ctx context.Context, env Env) (C, error) {
	if p.Kind.open == nil {
		var none C
		return none, errors.New(p.Kind.Absent)
	}
	return p.Kind.open(ctx, p.Settings, env)
}

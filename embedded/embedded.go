// Package embedded runs an agent inside of a Go program that puts the events into it itself.
//
//	program ── Put ──▶ source ─▶ interceptors ─▶ channel ─▶ sinks
//	        ◀── nil ── the channel has committed
//
//	a, err := embedded.Open(ctx, embedded.Options{Kit: kit.Standard, Properties: map[string]string{
//		"channel.type": "file", "channel.checkpointDir": "/var/lib/app/checkpoint", "channel.dataDirs": "/var/lib/app/data",
//		"sinks":      "k1",
//		"k1.type":    "avro", "k1.hostname": "collector.example", "k1.port": "41414",
//	}})
//	…
//	err = a.Put(ctx, flume.Batch{{Body: []byte("hello")}})
//	…
//	err = a.Close(ctx)
//
// The properties are those of Flume's embedded agent: source.* (interceptors and selector among them), channel.*, sinks,
// and for each of those NAME.*, and processor.*. Unlike Flume's, the channel may be any and the sinks may be any that the
// kit has, and processor.type need not be said. A program that wants more than one source or channel takes package agent,
// with a file as the command has it.
//
// With a file channel a Put that has returned nil is on the disk. With a memory channel it is in memory, and what is
// left when Close has no more time is lost, and said.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Options say what the agent is. Kit and Properties are required.
type Options struct {
	Kit        agent.Kit         // the kinds that it may have: kit.Standard, or a list of one's own, which makes a smaller program
	Properties map[string]string // as the package says
	Name       string            // of the agent, in its log and dead letters; empty: "embedded"
	DataDir    string            // where dead letters go: DataDir/deadletter/NAME; empty: the working directory
	Log        *slog.Logger      // nil: slog.Default()
}

// ErrClosed is what Put returns after Close has begun.
var ErrClosed = errors.New("the embedded agent is closed")

// The names of the components that there is one of, in logs and metrics.
const (
	sourceName  = "source"
	channelName = "channel"
	groupName   = "processor"
)

// stopTimeout is how long an agent that is closed may take if nobody waits for it any more.
const stopTimeout = time.Hour

// An Agent runs from Open to Close. It may be used from many goroutines.
type Agent struct {
	agent *agent.Agent
	entry *entry
	stop  context.CancelFunc
	ended chan struct{}
	err   error // of Run, once it has ended
}

// Open starts an agent and returns when it takes events. What its sinks send to may be away. A channel that cannot be
// opened is tried again until ctx ends, which ends the agent; why is in the log.
func Open(ctx context.Context, o Options) (*Agent, error) {
	if o.Name == "" {
		o.Name = "embedded"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &entry{open: make(chan struct{})}
	o.Kit.Sources = append([]flume.Kind[flume.Source]{e.kind()}, o.Kit.Sources...)
	a, err := assemble(&o)
	if err != nil {
		return nil, fmt.Errorf("opening an embedded agent: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	x := &Agent{agent: a, entry: e, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(x.ended)
		x.err = a.Run(running, nil)
		e.end()
	}()
	select {
	case <-e.open:
		return x, nil
	case <-ctx.Done():
	}
	x.stop()
	a.Kill()
	<-x.ended
	return nil, fmt.Errorf("opening an embedded agent: its source or channel could not be opened, as the log says: %w", context.Cause(ctx))
}

// assemble makes the agent, unless something is wrong with the properties.
func assemble(o *Options) (*agent.Agent, error) {
	text, err := translate(o.Name, o.Properties)
	if err != nil {
		return nil, err
	}
	cfg, problems, err := conf.Parse("properties", []byte(text), conf.Options{Filters: o.Kit.ConfigFilters})
	if err != nil {
		return nil, err
	}
	if len(cfg.Agents) == 0 {
		return nil, errors.New(said(o.Name, problems))
	}
	a, found := agent.New(cfg.Agents[0], agent.Options{Kit: o.Kit, Log: o.Log.With("agent", o.Name), DataDir: o.DataDir, StopTimeout: stopTimeout})
	problems = append(problems, found...)
	if a == nil || problems.Fatal() {
		return nil, errors.New(said(o.Name, problems))
	}
	for _, p := range problems {
		o.Log.Warn(said(o.Name, conf.Problems{p}))
	}
	return a, nil
}

// said is what problems say of the properties as the program has them.
func said(name string, problems conf.Problems) string {
	var out []string
	for _, p := range problems {
		key := p.Subject
		for written, read := range prefixes(name) {
			if rest, ok := strings.CutPrefix(key, read); ok {
				key = written + rest
				break
			}
		}
		key = strings.TrimPrefix(key, name+".sinks.")
		out = append(out, key+": "+p.Text)
	}
	return strings.Join(out, "; ")
}

// prefixes are the beginnings of properties, and what a configuration file has in their place.
func prefixes(name string) map[string]string {
	return map[string]string{
		"source.":    name + ".sources." + sourceName + ".",
		"channel.":   name + ".channels." + channelName + ".",
		"processor.": name + ".sinkgroups." + groupName + ".processor.",
	}
}

// translate writes the properties as the text of a configuration file.
func translate(name string, properties map[string]string) (string, error) {
	if name == "" || strings.ContainsAny(name, ".=: \t\r\n\\") {
		return "", fmt.Errorf("%q is no name of an agent", name)
	}
	sinks := strings.Fields(properties["sinks"])
	if len(sinks) == 0 {
		return "", errors.New("sinks: is required: the names of the sinks, with blanks between them")
	}
	for _, required := range []string{"channel.type"} {
		if properties[required] == "" {
			return "", fmt.Errorf("%s: is required", required)
		}
	}
	if t := properties["source.type"]; t != "" && !strings.EqualFold(t, "embedded") {
		return "", fmt.Errorf("source.type: %q is not embedded; a program with another source takes package agent", t)
	}
	var b strings.Builder
	set := func(key, value string) { b.WriteString(escape(key, true) + " = " + escape(value, false) + "\n") }
	set(name+".sources", sourceName)
	set(name+".channels", channelName)
	set(name+".sinks", strings.Join(sinks, " "))
	set(name+".sources."+sourceName+".type", "embedded")
	set(name+".sources."+sourceName+".channels", channelName)
	set(name+".sinkgroups", groupName)
	set(name+".sinkgroups."+groupName+".sinks", strings.Join(sinks, " "))
	for _, sink := range sinks {
		if sink+"." == "source." || sink+"." == "channel." || sink+"." == "processor." {
			return "", fmt.Errorf("sinks: %q is no name for a sink", sink)
		}
		set(name+".sinks."+sink+".channel", channelName)
	}
	if properties["processor.type"] == "" {
		if len(sinks) > 1 {
			return "", errors.New("processor.type: is required with several sinks: failover or load_balance")
		}
		set(name+".sinkgroups."+groupName+".processor.type", "default")
	}
	known := prefixes(name)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		first, rest, _ := strings.Cut(key, ".")
		switch prefix, ok := known[first+"."]; {
		case key == "sinks" || key == "source.type":
		case ok && rest != "":
			set(prefix+rest, properties[key])
		case slices.Contains(sinks, first) && rest != "":
			set(name+".sinks."+key, properties[key])
		default:
			return "", fmt.Errorf("%s: begins with none of source., channel., processor. and the names of the sinks%s", key, meant(first, sinks))
		}
	}
	return b.String(), nil
}

func meant(word string, sinks []string) string {
	if near := conf.Nearest(word, append([]string{"source", "channel", "processor"}, sinks...)); near != "" {
		return fmt.Sprintf("; did you mean %q?", near+".")
	}
	return ""
}

// escape writes a word as Java's properties have it.
func escape(s string, key bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == ' ' && (key || i == 0), key && strings.ContainsRune("=:#!", r):
			b.WriteRune('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Put puts events into the channel. Nil: the channel has committed them. With an error none is in it, as far as anybody
// knows; [flume.ErrFull] is wrapped where it had no room within its keep-alive. Bodies are not to be changed afterwards;
// the rest of b stays the caller's.
func (a *Agent) Put(ctx context.Context, b flume.Batch) error {
	if len(b) == 0 {
		return nil
	}
	emit, leave, err := a.entry.enter(ctx)
	if err != nil {
		return fmt.Errorf("putting events: %w", err)
	}
	defer leave()
	if err := emit(ctx, b.Clone()); err != nil {
		return fmt.Errorf("putting events: %w", err)
	}
	return nil
}

// Metrics serves the counters of the agent's components as JSON, in Flume's form.
func (a *Agent) Metrics() http.Handler { return a.agent.Stats().Handler() }

// Close takes no more events, waits for the Puts under way, lets the sinks drain a memory channel, and ends the agent. When ctx ends
// before, it is ended at once; the error says what is lost, if anything.
func (a *Agent) Close(ctx context.Context) error {
	a.entry.end()
	a.stop()
	defer context.AfterFunc(ctx, a.agent.Kill)()
	<-a.ended
	if a.err != nil {
		return fmt.Errorf("closing the embedded agent: %w", a.err)
	}
	return nil
}

// An entry is the source through which Puts go in. The agent may open it any number of times.
type entry struct {
	open   chan struct{} // closed when it first runs
	once   sync.Once
	mu     sync.Mutex
	emit   flume.Emit    // nil: it does not run
	change chan struct{} // closed when it runs or has ended; nil: nobody waits
	puts   sync.WaitGroup
	ended  bool
}

type settings struct{}

func (*settings) Declare(*conf.Decl) {}

func (e *entry) kind() flume.Kind[flume.Source] {
	return flume.Define[settings, flume.Source]("embedded", "org.apache.flume.agent.embedded.EmbeddedSource", "Takes what the program puts.",
		func(context.Context, *settings, flume.Env) (flume.Source, error) { return e, nil })
}

// Run implements flume.Source.
func (e *entry) Run(ctx context.Context, emit flume.Emit) error {
	e.set(emit)
	e.once.Do(func() { close(e.open) })
	<-ctx.Done()
	e.set(nil)
	e.puts.Wait()
	return nil
}

func (e *entry) set(emit flume.Emit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.emit = emit
	e.wake()
}

func (e *entry) wake() {
	if e.change != nil {
		close(e.change)
		e.change = nil
	}
}

// Close implements flume.Source: there is nothing to free, and Run ends with its context.
func (*entry) Close() error { return nil }

func (e *entry) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	e.wake()
}

// enter waits until the source runs.
func (e *entry) enter(ctx context.Context) (flume.Emit, func(), error) {
	for {
		e.mu.Lock()
		if e.ended {
			e.mu.Unlock()
			return nil, nil, ErrClosed
		}
		if e.emit != nil {
			emit := e.emit
			e.puts.Add(1)
			e.mu.Unlock()
			return emit, e.puts.Done, nil
		}
		if e.change == nil {
			e.change = make(chan struct{})
		}
		change := e.change
		e.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/deadletter"
	"github.com/sluice-io/sluice/internal/stats"
)

// Options say what stands outside of the agent's configuration.
type Options struct {
	Kit         Kit
	Log         *slog.Logger  // says the agent already; nil: the default one
	Property    conf.Lookup   // system properties, -Dname=value; nil finds nothing
	DataDir     string        // where dead letters go: DataDir/deadletter/AGENT
	Files       []string      // the configuration, for who asks the agent to replay dead letters; nil: it is not asked
	StopTimeout time.Duration // how long stopping may take before it is cut short; 0: 30 s
}

// The system properties of an agent.
const (
	propertyAdaptive = "sluice.adaptive.batches" // false: no transaction is larger than the batch size of the file
	propertyLetters  = "sluice.deadletter"       // discard: rejected events are thrown away; file:DIR: where they are kept
	propertyBound    = "sluice.deadletter.bytes" // the most that the dead letters may take on disk
)

const (
	stopTimeout = 30 * time.Second
	letterBound = 1 << 30
)

// An Agent is one agent of a configuration, assembled.
type Agent struct {
	o        Options
	w        wiring
	stats    *stats.Registry
	store    *deadletter.Letters
	bound    int64    // bytes of a directory of dead letters
	files    *letters // in store
	letters  *letters // of components that do not say where theirs go
	adaptive bool

	identities *identities

	hard context.Context // ends when patience does: what is in flight is abandoned
	end  context.CancelFunc
}

// New assembles an agent: it binds every component of cfg and checks the wiring; it opens nothing. A component with a
// fatal problem is left out. The agent is nil only when nothing could run.
func New(cfg *conf.Agent, o Options) (*Agent, conf.Problems) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Property == nil {
		o.Property = func(string) (string, bool) { return "", false }
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = stopTimeout
	}
	w, problems := assemble(o.Kit, cfg, o.Property)
	problems = append(problems, loops([]wiring{w})...)
	bound := int64(letterBound)
	if text, ok := o.Property(propertyBound); ok {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			problems = append(problems, conf.Problem{Subject: "-D" + propertyBound, Severity: conf.Warning,
				Text: fmt.Sprintf("%q is not a number of bytes; the default %d is taken", text, bound)})
		} else {
			bound = n
		}
	}
	dir := LetterDir(o.DataDir, w.name)
	usual, _ := o.Property(propertyLetters)
	if given, ok := strings.CutPrefix(usual, "file:"); ok && given != "" {
		dir = filepath.Clean(given)
	} else if usual != "" && usual != "discard" {
		problems = append(problems, conf.Problem{Subject: "-D" + propertyLetters, Severity: conf.Warning,
			Text: fmt.Sprintf("%q is neither discard nor file:DIRECTORY; dead letters go to %s", usual, dir)})
	}
	problems.Sort()
	if len(w.channels) == 0 || len(w.sources) == 0 && len(w.groups) == 0 {
		return nil, problems
	}
	adaptive, _ := o.Property(propertyAdaptive)
	a := &Agent{o: o, w: w, stats: new(stats.Registry), store: deadletter.New(dir, w.name, bound), bound: bound,
		identities: newIdentities(), adaptive: adaptive != "false"}
	a.hard, a.end = context.WithCancel(context.Background())
	a.files = newLetters(a.hard, folder{a.store}, o.Log)
	a.letters = a.files
	if usual == "discard" {
		a.letters = newLetters(a.hard, nowhere{errDiscarded}, o.Log)
	}
	return a, problems
}

// LetterDir is the directory of an agent's dead letters in a data directory; empty where there is none.
func LetterDir(data, agent string) string {
	if data == "" {
		return ""
	}
	return filepath.Join(data, "deadletter", url.PathEscape(agent))
}

// Stats are the counters of all components, as the metrics page shows them.
func (a *Agent) Stats() *stats.Registry { return a.stats }

// HasSink reports whether the sink of this name runs: it can, and so can its group.
func (a *Agent) HasSink(name string) bool {
	return slices.ContainsFunc(a.w.groups, func(g *groupPart) bool {
		return slices.ContainsFunc(g.sinks, func(s *sinkPart) bool { return s.name == name })
	})
}

// Kill ends what is in flight at once. Deliveries and commits under way are abandoned and roll back.
func (a *Agent) Kill() { a.end() }

// Run opens, flows and, when ctx ends, stops in order and drains; it returns nil after an orderly stop. It is called
// once. onRunning (may be nil) is called once when everything that could open is open.
//
// Channels open first, then sinks and sources, each as soon as its channels are open; what cannot open is tried again
// while the rest runs. Stopping goes the other way: sources stop accepting and emit what they have accepted; sinks
// drain the channels whose events would be gone with the process; channels close.
func (a *Agent) Run(ctx context.Context, onRunning func()) error {
	defer a.end()
	soft, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(a.hard, stop)()
	force, closeSources := context.WithCancel(a.hard)
	defer closeSources()

	r := &run{Agent: a, channels: map[*channelPart]*channelRun{}}
	r.makeLetters()
	sources, groups := r.start(soft, force)
	defer r.drain()
	replays := r.answer(soft)
	running := make(chan struct{})
	go func() {
		defer close(running)
		r.first.Wait()
		if onRunning != nil && soft.Err() == nil {
			onRunning()
		}
	}()
	<-soft.Done()
	began := time.Now()

	patience := time.AfterFunc(a.o.StopTimeout, a.end)
	defer patience.Stop()
	// Sources get half of the time, so that what they have put can still be drained.
	hurry := time.AfterFunc(a.o.StopTimeout/2, closeSources)
	defer hurry.Stop()
	for i, done := range sources {
		r.patience(done, "source "+a.w.sources[i].name)
	}
	r.patience(replays, "replaying dead letters")
	for depth := 0; depth <= r.deepest; depth++ { // one whose channel gets dead letters of others, behind them
		for i := range groups {
			if a.w.depth(a.w.groups[i]) == depth {
				r.drains[i]()
			}
		}
		for i, done := range groups {
			if a.w.depth(a.w.groups[i]) == depth {
				r.patience(done, "sink "+a.w.groups[i].name)
			}
		}
	}
	lost := r.leftover()
	for i := len(a.w.channels) - 1; i >= 0; i-- {
		c := r.channels[a.w.channels[i]]
		close(c.release)
		r.patience(c.done, "channel "+c.name)
	}
	r.patience(running, "opening")
	err := r.closeLetters()
	switch {
	case lost > 0:
		err = errors.Join(fmt.Errorf("stopping: %d events were not delivered and are lost", lost), err)
	case a.hard.Err() != nil:
		cut := errors.New("stopping was cut short")
		if r.late != "" {
			cut = fmt.Errorf("stopping was cut short after %v, when %s had not ended", time.Since(began).Round(100*time.Millisecond), r.late)
		}
		err = errors.Join(cut, err)
	}
	return err
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/deadletter"
	"github.com/sluice-io/sluice/internal/stats"
	"github.com/sluice-io/sluice/internal/supervise"
)

// The words for where letters are replayed to.
const (
	toSource  = "source"
	toChannel = "channel"
)

// replayPatience is how long a replay waits for a channel that is full.
const replayPatience = time.Minute

// mostRemarks is how many of the letters' troubles an answer names.
const mostRemarks = 50

// RequestDir is where an agent is asked to replay dead letters; empty where there is no data directory.
func RequestDir(data, agent string) string {
	if data == "" {
		return ""
	}
	return filepath.Join(data, "replay", url.PathEscape(agent))
}

// answer has the agent replay dead letters when it is asked to, until soft ends.
func (r *run) answer(soft context.Context) <-chan struct{} {
	done := make(chan struct{})
	dir := RequestDir(r.o.DataDir, r.w.name)
	if dir == "" || r.o.Files == nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		who := deadletter.Identity{PID: os.Getpid(), Files: r.o.Files}
		err := deadletter.Serve(soft, dir, who, r.o.Log, func(ctx context.Context, q deadletter.Request) (a deadletter.Answer) {
			var bug error
			defer func() {
				if bug != nil {
					a.Error = bug.Error()
				}
			}()
			defer supervise.Recover("replaying dead letters", &bug)
			return r.replay(ctx, q)
		})
		if err != nil {
			r.o.Log.Warn("dead letters cannot be replayed while this agent runs", "error", err)
		}
	}()
	return done
}

// Replay replays dead letters while the agent does not run: it opens the channels that they go to, and closes them.
func (a *Agent) Replay(ctx context.Context, q deadletter.Request) deadletter.Answer {
	defer a.end()
	defer context.AfterFunc(ctx, a.end)()
	r := &run{Agent: a, channels: map[*channelPart]*channelRun{}}
	r.makeLetters()
	open := &opening{run: r}
	out := r.replayWith(ctx, q, open.channel)
	if err := errors.Join(open.close(), r.closeLetters()); err != nil && out.Error == "" {
		out.Error = err.Error()
	}
	return out
}

// opening opens channels of an agent that does not run.
type opening struct {
	run  *run
	open []*channelRun
}

// channel opens a channel, and those that its letters may go to with it.
func (o *opening) channel(ctx context.Context, p *channelPart) error {
	if c := o.run.channels[p]; c != nil {
		return usable(c)
	}
	counters := o.run.stats.Component(stats.Channel, p.name)
	env := o.run.env(p.Section, o.run.o.Log.With("channel", p.name), counters, o.run.letters)
	env.Filled = true
	ch, err := p.Open(ctx, env)
	if err != nil {
		return fmt.Errorf("opening channel %s: %w", p.name, err)
	}
	c := &channelRun{channelPart: p, counters: counters, outlet: o.run.newOutlet(ctx, ch, p.name, counters), open: make(chan struct{})}
	close(c.open)
	o.open = append(o.open, c)
	o.run.channels[p] = c
	return usable(c)
}

func usable(c *channelRun) error {
	if c.outlet.volatile {
		return fmt.Errorf("channel %s keeps its events in memory: start the agent, and replay while it runs", c.name)
	}
	return nil
}

func (o *opening) close() error {
	var errs []error
	for _, c := range slices.Backward(o.open) {
		if err := c.outlet.Close(); err != nil {
			errs = append(errs, fmt.Errorf("closing channel %s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

// replay replays while the agent runs.
func (r *run) replay(ctx context.Context, q deadletter.Request) deadletter.Answer {
	return r.replayWith(ctx, q, func(ctx context.Context, p *channelPart) error {
		select {
		case <-r.channels[p].open:
			return nil
		default:
			return fmt.Errorf("channel %s is not open", p.name)
		}
	})
}

func (r *run) replayWith(ctx context.Context, q deadletter.Request, open func(ctx context.Context, p *channelPart) error) deadletter.Answer {
	filter, err := deadletter.ParseFilter(q.Where)
	if err != nil {
		return deadletter.Answer{Error: err.Error()}
	}
	p := &replayer{run: r, ctx: ctx, open: open, to: q.To, ways: map[string]*way{}}
	defer p.close()
	if err := p.fixed(); err != nil {
		return deadletter.Answer{Error: err.Error()}
	}
	var a deadletter.Answer
	dirs := q.Dirs
	if dirs == nil {
		dirs = r.LetterDirs()
	}
	for _, dir := range dirs {
		if err := r.endFiles(dir); err != nil {
			a.Remarks = append(a.Remarks, err.Error())
		}
		result, err := deadletter.Replay(ctx, dir, filter, p.route)
		a.Settled += result.Settled
		a.Again += result.Again
		a.Open += result.Open
		a.Unrouted += result.Unrouted
		for _, t := range result.Troubles {
			a.Remarks = append(a.Remarks, t.Err.Error())
		}
		if err != nil {
			a.Error = err.Error()
			break
		}
	}
	a.Remarks = append(a.Remarks, p.remarks...)
	if more := len(a.Remarks) - mostRemarks; more > 0 {
		a.Remarks = append(a.Remarks[:mostRemarks], fmt.Sprintf("%d more of the kind", more))
	}
	r.o.Log.Info("dead letters were replayed", "events", a.Settled, "again", a.Again, "unclear", a.Open)
	return a
}

// endFiles ends the file that this agent writes in dir, so that what is settled of it can be removed.
func (r *run) endFiles(dir string) error {
	all := []*letters{r.files}
	for _, l := range r.placed {
		all = append(all, l)
	}
	for _, l := range all {
		if d, ok := l.to.(folder); ok && sameDir(d.Dir(), dir) {
			return d.End()
		}
	}
	return nil
}

func sameDir(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// A replayer finds the ways of letters.
type replayer struct {
	run     *run
	ctx     context.Context
	open    func(ctx context.Context, p *channelPart) error
	to      string
	ways    map[string]*way // by the component that the letter is of; nil: there is none
	remarks []string
	inlets  []*inlet
	made    map[string]*way // by where they go
	one     *way            // of all letters
}

// fixed finds the way where the request names one for all.
func (p *replayer) fixed() error {
	kind, name, named := strings.Cut(p.to, ":")
	switch {
	case p.to == "" || !named && (kind == toSource || kind == toChannel):
		return nil
	case kind == toSource:
		at := slices.IndexFunc(p.run.w.sources, func(s *sourcePart) bool { return s.name == name })
		if at < 0 {
			return fmt.Errorf("agent %s has no source %q that can run", p.run.w.name, name)
		}
		w, err := p.source(p.run.w.sources[at])
		p.one = w
		return err
	case kind == toChannel:
		at := slices.IndexFunc(p.run.w.channels, func(c *channelPart) bool { return c.name == name })
		if at < 0 {
			return fmt.Errorf("agent %s has no channel %q that is used", p.run.w.name, name)
		}
		w, err := p.channel(p.run.w.channels[at])
		p.one = w
		return err
	}
	return fmt.Errorf("letters are replayed to source, channel, source:NAME or channel:NAME, not to %q", p.to)
}

// route is the way of a letter.
func (p *replayer) route(l *deadletter.Letter) deadletter.Way {
	if p.one != nil {
		return p.one
	}
	w, known := p.ways[l.Component]
	if !known {
		var err error
		if w, err = p.find(l.Component); err != nil {
			p.remarks = append(p.remarks, fmt.Sprintf("letters of %s stay: %v", l.Component, err))
		}
		p.ways[l.Component] = w
	}
	if w == nil {
		return nil
	}
	return w
}

// find finds the way of the letters of a component.
func (p *replayer) find(component string) (*way, error) {
	w := &p.run.w
	words := strings.Split(component, ".")
	if len(words) < 3 || words[0] != w.name {
		return nil, errors.New("they are not of this agent; --to source:NAME or --to channel:NAME says where they go")
	}
	name := words[2]
	switch words[1] {
	case "sources":
		at := slices.IndexFunc(w.sources, func(s *sourcePart) bool { return s.name == name })
		if at < 0 {
			break
		}
		s := w.sources[at]
		if p.to != toChannel {
			return p.source(s)
		}
		if len(s.channels) > 1 {
			return nil, fmt.Errorf("source %s has the channels %s; --to channel:NAME names one", s.name, strings.Join(channelNames(s.channels), ", "))
		}
		return p.channel(s.channels[0])
	case "sinks":
		for _, g := range w.groups {
			for _, s := range g.sinks {
				if s.name == name {
					return p.back(s.channel)
				}
			}
		}
	case "channels":
		if at := slices.IndexFunc(w.channels, func(c *channelPart) bool { return c.name == name }); at >= 0 {
			return p.back(w.channels[at])
		}
	}
	return nil, errors.New("the configuration has no such component that can run; --to source:NAME or --to channel:NAME says where they go")
}

// back is the way of what has come from a channel.
func (p *replayer) back(c *channelPart) (*way, error) {
	if p.to != toSource {
		return p.channel(c)
	}
	var feeding []*sourcePart
	var names []string
	for _, s := range p.run.w.sources {
		if slices.Contains(s.channels, c) {
			feeding, names = append(feeding, s), append(names, s.name)
		}
	}
	switch len(feeding) {
	case 0:
		return nil, fmt.Errorf("no source puts events into channel %s; --to channel", c.name)
	case 1:
		return p.source(feeding[0])
	}
	return nil, fmt.Errorf("the sources %s put events into channel %s; --to source:NAME names one", strings.Join(names, ", "), c.name)
}

func (p *replayer) make(key string, by func() (*way, error)) (*way, error) {
	if w := p.made[key]; w != nil {
		return w, nil
	}
	w, err := by()
	if err == nil {
		if p.made == nil {
			p.made = map[string]*way{}
		}
		p.made[key] = w
	}
	return w, err
}

// channel is the way into a channel.
func (p *replayer) channel(c *channelPart) (*way, error) {
	return p.make("channel:"+c.name, func() (*way, error) {
		if err := p.open(p.ctx, c); err != nil {
			return nil, err
		}
		o := p.run.channels[c].outlet
		return &way{count: p.run.stats.Component(stats.Channel, c.name).Counter(replayed).Add, positions: c.positions, once: func(ctx context.Context, b flume.Batch) error {
			return put(p.run.hard, ctx, o, b)
		}}, nil
	})
}

// replayed counts events that were dead letters, at the source or channel that has taken them.
const replayed = "ReplayedCount"

// source is the way through a source's interceptors and selector. They are opened anew, beside those of the source.
func (p *replayer) source(s *sourcePart) (*way, error) {
	return p.make("source:"+s.name, func() (*way, error) {
		parts := slices.Clone(s.channels)
		for _, l := range p.run.w.letters() {
			if l.channel != nil && !slices.Contains(parts, l.channel) && (s.letters == l || slices.ContainsFunc(s.interceptors, func(i interceptorPart) bool { return i.letters == l })) {
				parts = append(parts, l.channel)
			}
		}
		for _, c := range parts {
			if err := p.open(p.ctx, c); err != nil {
				return nil, err
			}
		}
		counters := p.run.stats.Component(stats.Source, s.name)
		in, err := p.run.openInlet(p.ctx, s, p.run.o.Log.With("source", s.name), counters)
		if err != nil {
			return nil, err
		}
		p.inlets = append(p.inlets, in)
		return &way{count: counters.Counter(replayed).Add, positions: s.positions, once: in.emit}, nil
	})
}

func (p *replayer) close() {
	for _, in := range p.inlets {
		if err := closeAll(in.interceptors); err != nil {
			p.run.o.Log.Warn("closing interceptors after a replay", "error", err)
		}
	}
}

// A way is where replayed events go.
type way struct {
	positions bool // who takes the events asks for positions: they get those of letters, for they are no repetitions
	once      func(ctx context.Context, b flume.Batch) error
	count     func(int64) int64
}

// Take waits for a channel that is full, for some time. A batch that is too large goes in halves.
func (w *way) Take(ctx context.Context, b flume.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, replayPatience)
	defer cancel()
	backoff := supervise.Backoff{Least: retryLeast, Most: retryMost}
	for {
		out := b.Clone()
		for i := range out {
			if w.positions {
				out[i].Headers.Set(flume.PositionHeader, deadletter.PlaceOf(&out[i]))
			}
		}
		err := w.once(ctx, out)
		var unclear *unsettled
		switch {
		case err == nil:
			w.count(int64(len(b)))
			return nil
		case errors.As(err, &unclear):
			return err
		case errors.Is(err, flume.ErrTooLarge) && len(b) > 1:
			half := len(b) / 2
			if err := w.Take(ctx, b[:half]); err != nil {
				return err
			}
			if err := w.Take(ctx, b[half:]); err != nil {
				return &unsettled{err}
			}
			return nil
		case errors.Is(err, flume.ErrFull) && supervise.Sleep(ctx, backoff.Next()) == nil:
			continue
		}
		return &deadletter.Refusal{Err: err}
	}
}

// LetterDirs are the directories in which the agent keeps dead letters.
func (a *Agent) LetterDirs() []string {
	dirs := []string{a.store.Dir()}
	for _, p := range a.w.letters() {
		if p.dir != "" && !slices.ContainsFunc(dirs, func(d string) bool { return sameDir(d, p.dir) }) {
			dirs = append(dirs, p.dir)
		}
	}
	return dirs
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/stats"
	"github.com/sluice-io/sluice/internal/supervise"
)

// unbounded is how many events a transaction with channels has that set no bound, as Kafka channels do: as many as with a
// file channel's default.
const unbounded = 10000

// grace is how long a component may take to give up when patience has ended. After that it is left behind.
const grace = 2 * time.Second

// A channelRun is a channel while the agent runs.
type channelRun struct {
	*channelPart
	counters *stats.Counters
	outlet   *outlet       // set when open is closed
	open     chan struct{} // closed when the channel is open
	failed   chan struct{} // closed when the first attempt to open it has failed
	release  chan struct{} // closed when nobody uses it any more
	done     chan struct{} // closed when it is closed
}

// A run is one Run of an agent.
type run struct {
	*Agent
	channels map[*channelPart]*channelRun
	runners  []*runner
	placed   map[*letterPart]*letters
	drains   []context.CancelFunc // of each group: begins its end
	deepest  int                  // the greatest depth of a group
	first    sync.WaitGroup       // the first attempts of all components
	late     string               // what was waited for when patience ended
}

func (r *run) channel(soft context.Context, p *channelPart) *channelRun {
	c := &channelRun{channelPart: p, counters: r.stats.Component(stats.Channel, p.name),
		open: make(chan struct{}), failed: make(chan struct{}), release: make(chan struct{}), done: make(chan struct{})}
	log := r.o.Log.With("channel", p.name)
	tried := r.attempt()
	starting := sync.OnceFunc(func() { log.Info("Starting Channel " + p.name) }) // not for each try
	task := supervise.Task[flume.Channel]{
		Name: "channel " + p.name, Log: log,
		Open: func(ctx context.Context) (flume.Channel, error) {
			starting()
			env := r.env(p.Section, log, c.counters, r.letters)
			env.Filled = slices.ContainsFunc(r.w.sources, func(s *sourcePart) bool { return slices.Contains(s.channels, p) }) ||
				slices.ContainsFunc(r.w.letters(), func(l *letterPart) bool { return l.channel == p })
			ch, err := p.Open(ctx, env)
			if err != nil {
				return nil, err
			}
			c.counters.Started(log)
			c.outlet = r.newOutlet(soft, ch, p.name, c.counters)
			close(c.open)
			tried()
			return ch, nil
		},
		Failed: sync.OnceFunc(func() { close(c.failed); tried() }),
		Use: func(context.Context, flume.Channel) error {
			<-c.release
			log.Info("Stopping Channel " + p.name)
			return nil
		},
		Close: flume.Channel.Close,
	}
	go func() {
		defer close(c.done)
		task.Run(soft)
		c.counters.Stopped(log)
	}()
	return c
}

func (r *run) newOutlet(soft context.Context, ch flume.Channel, name string, c *stats.Counters) *outlet {
	o := &outlet{Channel: ch, name: name, soft: soft, patience: r.o.StopTimeout / 6,
		putAttempt: c.Counter("EventPutAttemptCount"), putSuccess: c.Counter("EventPutSuccessCount"),
		takeAttempt: c.Counter("EventTakeAttemptCount"), takeSuccess: c.Counter("EventTakeSuccessCount")}
	v, ok := ch.(flume.Volatile)
	o.volatile = ok && v.Volatile()
	f, ok := ch.(flume.Remote)
	o.remote = ok && f.Remote()
	return o
}

// await waits until a component's channels are open. If one of them fails at first, the component's own first attempt
// counts as over.
func (r *run) await(ctx context.Context, tried func(), channels ...*channelPart) bool {
	for _, p := range channels {
		c := r.channels[p]
		select {
		case <-c.open:
			continue
		case <-c.failed:
		case <-ctx.Done():
			return false
		}
		tried()
		select {
		case <-c.open:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// attempt counts one component's first attempt; what it returns may be called any number of times.
func (r *run) attempt() func() {
	r.first.Add(1)
	return sync.OnceFunc(r.first.Done)
}

func (r *run) env(sec *conf.Section, log *slog.Logger, counters *stats.Counters, l *letters) flume.Env {
	path := sec.Path("")
	rejected := counters.Counter("RejectedCount")
	return flume.Env{
		Agent: r.w.name, Name: sec.Name, Log: log, Counter: counters.Counter,
		Reject: func(ctx context.Context, events ...flume.Rejection) error {
			if err := l.wait(ctx, path, events); err != nil {
				return err
			}
			rejected.Add(int64(len(events)))
			return nil
		},
	}
}

// An openSource is a source with what stands behind it.
type openSource struct {
	source func() error // closes the source, once
	inlet  *inlet
	flume.Source
}

// source keeps a source open and running until soft ends. After force has ended it is closed under way.
func (r *run) source(soft, force context.Context, p *sourcePart) <-chan struct{} {
	done := make(chan struct{})
	tried := r.attempt()
	counters := r.stats.Component(stats.Source, p.name)
	log := r.o.Log.With("source", p.name)
	starting := sync.OnceFunc(func() { log.Info("Starting Source " + p.name) })
	task := supervise.Task[*openSource]{
		Name: "source " + p.name, Log: log, Failed: tried,
		Open: func(ctx context.Context) (*openSource, error) {
			starting()
			s, err := r.openSource(ctx, p, log, counters)
			if err == nil {
				counters.Started(log)
				tried()
			}
			return s, err
		},
		Use: func(ctx context.Context, s *openSource) error {
			defer context.AfterFunc(force, func() { _ = s.source() })() // closed again, and its error told, below
			err := s.Run(ctx, s.inlet.emit)
			switch {
			case ctx.Err() != nil:
				if err != nil && !errors.Is(err, context.Canceled) {
					log.Warn("the source ended with an error", "error", err)
				}
				log.Info("Stopping Source " + p.name)
				return nil
			case err == nil:
				log.Info("source " + p.name + " has nothing more to give")
			}
			return err
		},
		Close: func(s *openSource) error { return errors.Join(s.source(), closeAll(s.inlet.interceptors)) },
	}
	go func() {
		defer close(done)
		if r.await(soft, tried, p.channels...) {
			for _, runner := range r.runners {
				if runner.drainsOneOf(p.channels) {
					runner.settle(soft) // sinks before sources
				}
			}
			task.Run(soft)
			counters.Stopped(log)
		}
		tried()
	}()
	return done
}

func (r *run) openSource(ctx context.Context, p *sourcePart, log *slog.Logger, counters *stats.Counters) (_ *openSource, err error) {
	in, err := r.openInlet(ctx, p, log, counters)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(in.interceptors))
		}
	}()
	env := r.env(p.Section, log, counters, in.letters)
	env.Positions = p.positions
	for _, c := range p.channels {
		env.TransactionCapacity = least(env.TransactionCapacity, c.Limits.TransactionCapacity)
	}
	if env.TransactionCapacity == 0 {
		env.TransactionCapacity = unbounded
	}
	if !r.adaptive {
		env.TransactionCapacity = least(env.TransactionCapacity, p.Limits.BatchSize)
	}
	s, err := p.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	closing := func() (err error) {
		defer supervise.Recover("closing source "+p.name, &err)
		return s.Close()
	}
	return &openSource{Source: s, source: sync.OnceValue(closing), inlet: in}, nil
}

// openInlet opens what lies between a source and its channels, which are open.
func (r *run) openInlet(ctx context.Context, p *sourcePart, log *slog.Logger, counters *stats.Counters) (_ *inlet, err error) {
	in := &inlet{
		name: p.name, letters: r.lettersOf(p.letters), hard: r.hard, positions: p.positions,
		bugs:     supervise.Trouble{Log: log, Failing: "events are not passed on"},
		received: counters.Counter("EventReceivedCount"), accepted: counters.Counter("EventAcceptedCount"),
		failed: counters.Counter("ChannelWriteFail"), processing: counters.Counter("GenericProcessingFail"),
		rejected: counters.Counter("RejectedCount"), dropped: counters.Counter("OptionalDropCount"),
	}
	var end context.CancelFunc
	in.over, end = context.WithCancel(context.Background())
	end()
	for _, c := range p.channels {
		in.asked = append(in.asked, c.positions)
		in.channels = append(in.channels, r.channels[c].outlet)
		in.optional = append(in.optional, &option{trouble: supervise.Trouble{Log: log,
			Failing: "optional channel " + c.name + " does not take events, which go on without it", Over: "optional channel " + c.name + " takes events again"}})
	}
	in.prepare = order(p.channels)
	in.stages = stages(in.channels, in.prepare)
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(in.interceptors))
		}
	}()
	in.selecting = p.selector.Section.Path("")
	own := r.env(p.selector.Section, log, counters, in.letters)
	own.Channels = channelNames(p.channels)
	if in.selector, err = p.selector.Open(ctx, own); err != nil {
		return nil, fmt.Errorf("opening the selector: %w", err)
	}
	for _, i := range p.interceptors {
		l := r.lettersOf(i.letters)
		env := r.env(i.Section, log.With("interceptor", i.name), counters, l)
		open, err := i.Open(ctx, env)
		if err != nil {
			return nil, fmt.Errorf("opening interceptor %s: %w", i.name, err)
		}
		in.interceptors = append(in.interceptors, openInterceptor{open, i.Section.Path(""), l})
	}
	return in, nil
}

func closeAll(interceptors []openInterceptor) error {
	var errs []error
	for _, i := range slices.Backward(interceptors) {
		if err := i.Close(); err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", i.path, err))
		}
	}
	return errors.Join(errs...)
}

// sinks runs a group: its runner, and for each sink one who keeps it open. All end when the runner has.
func (r *run) sinks(soft context.Context, g *groupPart) <-chan struct{} {
	done := make(chan struct{})
	log := r.o.Log.With("sink", g.name)
	if d, ok := g.sinks[0].Settings.(flume.Destination); ok && g.processor == nil {
		if to := d.Destinations(nil); len(to) > 0 {
			log = log.With("destination", to)
		}
	}
	runner := newRunner(g, log, r.hard)
	r.runners = append(r.runners, runner)
	needed, release := context.WithCancel(context.Background())
	var keepers sync.WaitGroup
	for at, p := range g.sinks {
		first := r.attempt()
		tried := sync.OnceFunc(func() { first(); runner.attempted() })
		keepers.Go(func() { r.keep(needed, runner, at, p, tried) })
	}
	go func() {
		defer close(done)
		r.drive(soft, runner)
		release()
		keepers.Wait()
	}()
	return done
}

// drive runs a runner, with the processor of the group if there is one.
func (r *run) drive(soft context.Context, runner *runner) {
	g := runner.part
	if g.processor == nil {
		runner.run(soft, nil)
		return
	}
	task := supervise.Task[flume.SinkProcessor]{
		Name: "sink group " + g.name, Log: runner.log, Failed: func() {},
		Open: func(ctx context.Context) (flume.SinkProcessor, error) {
			env := r.env(g.processor.Section, runner.log, r.stats.Component(stats.SinkProcessor, g.name), r.letters)
			env.Sinks = sinkNames(g.sinks)
			return g.processor.Open(ctx, env)
		},
		Use: func(_ context.Context, p flume.SinkProcessor) error {
			runner.run(soft, p)
			return nil
		},
		Close: func(flume.SinkProcessor) error { return nil }, // a processor holds nothing
	}
	task.Run(soft)
}

// keep keeps one sink open as long as it is needed.
func (r *run) keep(needed context.Context, to *runner, at int, p *sinkPart, tried func()) {
	defer tried()
	counters := r.stats.Component(stats.Sink, p.name)
	log := r.o.Log.With("sink", p.name)
	if !r.await(needed, tried, p.channel) {
		return
	}
	from := r.channels[p.channel].outlet
	to.publish(at, from, nil)
	broken := make(chan error, 1)
	trouble := supervise.Trouble{Log: log, Failing: "sink " + p.name + " of group " + to.part.name + " does not deliver", Over: "sink " + p.name + " delivers again"}
	starting := sync.OnceFunc(func() { log.Info("Starting Sink " + p.name) })
	task := supervise.Task[flume.Sink]{
		Name: "sink " + p.name, Log: log, Failed: tried,
		Open: func(ctx context.Context) (flume.Sink, error) {
			starting()
			s, err := p.Open(ctx, r.env(p.Section, log, counters, r.lettersOf(p.letters)))
			if err == nil {
				counters.Started(log)
			}
			return s, err
		},
		Use: func(ctx context.Context, s flume.Sink) error {
			d := r.newDrain(p, to.part.processor == nil, s, from, counters, log)
			d.bugs = &to.bugs
			d.dismiss = func(err error) {
				to.dismiss(at, d)
				broken <- err
			}
			if to.spanning {
				d.ready, d.over = to.ready, to.over
			}
			d.park = to.part.processor == nil
			if !d.park {
				d.trouble = &trouble
			}
			to.publish(at, from, d)
			tried()
			select {
			case err := <-broken:
				return err
			case <-ctx.Done():
				log.Info("Stopping Sink " + p.name)
				return nil
			}
		},
		Close: flume.Sink.Close,
	}
	task.Run(needed)
	counters.Stopped(log)
}

func (r *run) newDrain(p *sinkPart, alone bool, s flume.Sink, from *outlet, c *stats.Counters, log *slog.Logger) *drain {
	capacity := p.channel.Limits.TransactionCapacity
	limits := s.Limits()
	limits.Events = least(limits.Events, capacity)
	if !r.adaptive {
		limits.Events = least(limits.Events, p.Limits.BatchSize)
	}
	most := capacity
	if most == 0 {
		most = unbounded
	}
	d := &drain{
		name: p.name, path: p.Section.Path(""), sink: s, from: from, limits: limits, batch: least(p.Limits.BatchSize, capacity),
		letters: r.lettersOf(p.letters), hard: r.hard, most: most, asks: asks(p),
		later:    supervise.Trouble{Log: log, Failing: "events wait to be delivered again", Over: "all events that waited are delivered"},
		complete: c.Counter("BatchCompleteCount"), underflow: c.Counter("BatchUnderflowCount"), empty: c.Counter("BatchEmptyCount"),
		attempt: c.Counter("EventDrainAttemptCount"), success: c.Counter("EventDrainSuccessCount"), failed: c.Counter("EventWriteFail"),
		unread: c.Counter("ChannelReadFail"), rejected: c.Counter("RejectedCount"),
	}
	d.waits = p.retry.backoff()
	if p.retry.bounded() && alone {
		d.retry = &p.retry
		d.again, d.exhausted = c.Counter("RetryCount"), c.Counter("RetryExhaustedCount")
		d.stuck = supervise.Trouble{Log: log, Failing: "events have been delivered again as often as they may, and are delivered on (retry.then = block)", Over: "events are delivered again"}
	}
	if own, ok := s.(flume.Counting); ok && own.Counts() {
		d.attempt, d.success, d.failed = new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)
	}
	return d
}

// start opens everything, each component as soon as the channels that it needs are open.
func (r *run) start(soft, force context.Context) (sources, groups []<-chan struct{}) {
	for _, p := range r.w.channels {
		r.o.Log.Info("Channel " + p.name + " connected to " + r.w.users(p))
		r.channels[p] = r.channel(soft, p)
	}
	for _, g := range r.w.groups {
		sinking, drain := context.WithCancel(context.Background())
		r.drains = append(r.drains, drain)
		r.deepest = max(r.deepest, r.w.depth(g))
		groups = append(groups, r.sinks(sinking, g))
	}
	for _, p := range r.w.sources {
		sources = append(sources, r.source(soft, force, p))
	}
	return sources, groups
}

// drain begins the end of all groups.
func (r *run) drain() {
	for _, end := range r.drains {
		end()
	}
}

// users lists the sources and sinks of a channel, in Flume's way of writing.
func (w *wiring) users(c *channelPart) string {
	var names []string
	for _, s := range w.sources {
		if slices.Contains(s.channels, c) {
			names = append(names, s.name)
		}
	}
	for _, g := range w.groups {
		for _, s := range g.sinks {
			if s.channel == c {
				names = append(names, s.name)
			}
		}
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// drained reports whether a sink takes from a channel.
func (w *wiring) drained(c *channelPart) bool {
	return slices.ContainsFunc(w.groups, func(g *groupPart) bool {
		return slices.ContainsFunc(g.sinks, func(s *sinkPart) bool { return s.channel == c })
	})
}

// patience waits for done; when patience has ended, a little longer only.
func (r *run) patience(done <-chan struct{}, what string) {
	select {
	case <-done:
		return
	case <-r.hard.Done():
	}
	if r.late == "" {
		r.late = what
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		r.o.Log.Error(what + " does not stop and is left behind")
	}
}

// leftover says what stays behind, and returns how many events are lost with the process.
func (r *run) leftover() (lost int64) {
	for _, p := range r.w.channels {
		c := r.channels[p]
		select {
		case <-c.open:
		default:
			continue
		}
		if !c.outlet.volatile {
			if n := c.counters.Value("ChannelSize"); n > 0 {
				r.o.Log.Info("events stay in the channel for the next start", "channel", p.name, "events", n)
			}
			continue
		}
		if n := c.outlet.putSuccess.Load() - c.outlet.takeSuccess.Load(); n > 0 {
			lost += n
			why := "they were not delivered in time"
			if !r.w.drained(p) {
				why = "no sink takes them"
			}
			r.o.Log.Error("events are lost: "+why+", and the channel is gone with the process", "channel", p.name, "events", n)
		}
	}
	return lost
}

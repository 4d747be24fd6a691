package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/deadletter"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A keeper is where letters are kept: a directory, a channel of the agent, a sink of its own, nowhere.
type keeper interface {
	keep(ctx context.Context, component string, r []flume.Rejection) error
	String() string
	close() error
}

// letters are the dead letters of components that share a keeper.
type letters struct {
	to      keeper
	hard    context.Context
	trouble supervise.Trouble

	log     *slog.Logger
	mu      sync.Mutex
	refused map[string]*supervise.Trouble // what each component rejects; said by kind of reason
}

func newLetters(hard context.Context, to keeper, log *slog.Logger) *letters {
	l := &letters{to: to, hard: hard, log: log, refused: map[string]*supervise.Trouble{}, trouble: supervise.Trouble{Log: log,
		Failing: "rejected events cannot be kept; who rejected them waits", Over: "rejected events are kept again"}}
	if l.discards() {
		l.trouble.Failing = "rejected events are thrown away"
	}
	return l
}

func (l *letters) discards() bool {
	_, is := l.to.(nowhere)
	return is
}

// write tries once. Trouble is said here, once for all components.
func (l *letters) write(component string, r []flume.Rejection) error {
	r = anonymous(r)
	if n, is := l.to.(nowhere); is {
		l.trouble.Report(slog.LevelError, n.why, 0)
		l.say(component, r)
		return nil
	}
	if err := l.keep(component, r); err != nil {
		l.trouble.Report(slog.LevelError, err, 0)
		return err
	}
	l.trouble.End()
	l.say(component, r)
	return nil
}

func (l *letters) keep(component string, r []flume.Rejection) (err error) {
	defer supervise.Recover("keeping dead letters in "+l.to.String(), &err)
	return l.to.keep(l.hard, component, r)
}

// say tells the operator what is rejected and why: a reason that is new at once, others once in a while.
func (l *letters) say(component string, r []flume.Rejection) {
	l.mu.Lock()
	t := l.refused[component]
	if t == nil {
		t = &supervise.Trouble{Log: l.log, Failing: component + " rejects events, which are kept as dead letters in " + l.to.String()}
		if l.discards() {
			t.Failing = component + " rejects events, which are thrown away"
		}
		l.refused[component] = t
	}
	l.mu.Unlock()
	for i := range r {
		err := r[i].Err
		if r[i].Position != "" {
			err = fmt.Errorf("%s: %w", r[i].Position, err)
		}
		t.Report(slog.LevelWarn, err, 0)
	}
}

// wait tries until the events are kept or ctx ends.
func (l *letters) wait(ctx context.Context, component string, r []flume.Rejection) error {
	backoff := supervise.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}
	for {
		err := l.write(component, r)
		if err == nil {
			return nil
		}
		if supervise.Sleep(ctx, backoff.Next()) != nil {
			return err
		}
	}
}

// nowhere throws letters away.
type nowhere struct{ why error }

var (
	errDiscarded = errors.New("-Dsluice.deadletter=discard asks for it")
	errUnwanted  = errors.New(letterKey + " = discard asks for it")
)

func (nowhere) keep(context.Context, string, []flume.Rejection) error { return nil }
func (nowhere) String() string                                        { return "no place" }
func (nowhere) close() error                                          { return nil }

// folder keeps letters in files.
type folder struct{ *deadletter.Letters }

func (d folder) keep(_ context.Context, component string, r []flume.Rejection) error {
	return d.Write(component, r...)
}
func (d folder) String() string { return d.Dir() }
func (d folder) close() error   { return d.Close() }

// identities number the letters that go elsewhere than to files.
type identities struct {
	run  string // of this run of the agent
	last atomic.Int64
}

func newIdentities() *identities { return &identities{run: rand.Text()} }

func (i *identities) next() string { return i.run + "-" + strconv.FormatInt(i.last.Add(1), 10) }

// told makes events of letters, which say everything in their headers.
func (i *identities) told(agent, component string, r []flume.Rejection) flume.Batch {
	b := make(flume.Batch, len(r))
	now := time.Now()
	for n := range r {
		letter := deadletter.Make(&r[n], i.next(), component, agent, now)
		b[n] = letter.Told()
		b[n].Body = append([]byte(nil), letter.Body...) // the batch that it is cut from is not the channel's
	}
	return b
}

func letterHeaders() []string {
	return []string{flume.LetterID, deadletter.HeaderReason, deadletter.HeaderComponent, deadletter.HeaderAgent,
		deadletter.HeaderTime, deadletter.HeaderAttempt, deadletter.HeaderPosition}
}

// aside puts letters into a channel of the agent.
type aside struct {
	run  *run
	part *channelPart
	over context.Context // has ended: a component that holds events does not wait for room, so that no two wait for each other
}

func (a *aside) keep(ctx context.Context, component string, r []flume.Rejection) error {
	c := a.run.channels[a.part]
	select {
	case <-c.open:
	default:
		return fmt.Errorf("putting dead letters into channel %s: it is not open", a.part.name)
	}
	b := a.run.identities.told(a.run.w.name, component, r)
	return put(ctx, a.over, c.outlet, b)
}

// put puts a batch into a channel and commits it. A batch that is larger than the channel goes in parts.
func put(ctx, waiting context.Context, c *outlet, b flume.Batch) error {
	c.putAttempt.Add(int64(len(b)))
	tx, err := c.Put(waiting, b)
	if half := len(b) / 2; half > 0 && errors.Is(err, flume.ErrTooLarge) {
		if err := put(ctx, waiting, c, b[:half]); err != nil {
			return err
		}
		if err := put(ctx, waiting, c, b[half:]); err != nil {
			return &unsettled{err}
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("putting %d events into channel %s: %w", len(b), c.name, err)
	}
	done := false
	defer func() {
		if !done {
			tx.Rollback()
		}
	}()
	if err := c.settle(ctx, tx, len(b)); err != nil {
		return &unsettled{err}
	}
	done = true
	return nil
}

func (a *aside) String() string { return "channel " + a.part.name }
func (a *aside) close() error   { return nil }

// elsewhere delivers letters with a sink of their own. What that sink rejects goes to the agent's directory.
type elsewhere struct {
	run  *run
	part *letterPart
	last *letters

	mu   sync.Mutex
	sink flume.Sink // nil: not open
}

func (e *elsewhere) keep(ctx context.Context, component string, r []flume.Rejection) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sink == nil {
		sec := e.part.sink.Section
		env := flume.Env{Agent: e.run.w.name, Name: e.part.name, Log: e.run.o.Log.With(letterKey, sec.Path("")),
			Counter: func(string) *atomic.Int64 { return new(atomic.Int64) }}
		sink, err := e.part.sink.Open(ctx, env)
		if err != nil {
			return fmt.Errorf("opening %s: %w", e, err)
		}
		e.sink = sink
	}
	b := e.run.identities.told(e.run.w.name, component, r)
	err := e.sink.Deliver(ctx, b)
	var partial *flume.PartialError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &partial) || len(partial.Pending) > 0: // what was sent of it is sent again
		return fmt.Errorf("sending dead letters to %s: %w", e, err)
	}
	refused := make([]flume.Rejection, len(partial.Rejected))
	for i, x := range partial.Rejected {
		refused[i] = r[x.Index]
		refused[i].Err = fmt.Errorf("%w; and %s does not take the letter: %w", reason(refused[i].Err), e, x.Err)
	}
	return e.last.write(component, refused)
}

func reason(err error) error {
	if err == nil {
		return errors.New("no reason given")
	}
	return err
}

func (e *elsewhere) String() string {
	topic, _ := e.part.sink.Section.Values.Get("kafka.topic")
	return "topic " + topic.Text
}

func (e *elsewhere) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sink == nil {
		return nil
	}
	sink := e.sink
	e.sink = nil
	return sink.Close()
}

// makeLetters makes the letters of all components that say where theirs go.
func (r *run) makeLetters() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	r.placed = map[*letterPart]*letters{}
	stores := map[string]*letters{r.store.Dir(): r.files}
	for _, p := range r.w.letters() {
		var to keeper
		switch {
		case p.discard:
			to = nowhere{errUnwanted}
		case p.channel != nil:
			to = &aside{run: r, part: p.channel, over: over}
		case p.sink != nil:
			to = &elsewhere{run: r, part: p, last: r.files}
		default:
			if same := stores[p.dir]; same != nil {
				r.placed[p] = same
				continue
			}
			bound := p.bound
			if bound == 0 {
				bound = r.bound
			}
			to = folder{deadletter.New(p.dir, r.w.name, bound)}
		}
		l := newLetters(r.hard, to, r.o.Log)
		if p.dir != "" {
			stores[p.dir] = l
		}
		r.placed[p] = l
	}
}

// lettersOf are the letters of a component.
func (r *run) lettersOf(p *letterPart) *letters {
	if p == nil {
		return r.letters
	}
	return r.placed[p]
}

// closeLetters closes all of them.
func (r *run) closeLetters() error {
	errs := []error{r.store.Close()}
	for _, l := range r.placed {
		errs = append(errs, l.to.close())
	}
	return errors.Join(errs...)
}

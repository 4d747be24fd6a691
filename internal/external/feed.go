package external

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/child"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A Restart says when the program of a source that has ended with status 0 is started again. One that ended otherwise
// always is.
type Restart struct {
	Done  bool          // also when it is done
	After time.Duration // that long after its end
}

// A Feed is the program of a source.
type Feed struct {
	settings Settings
	restart  Restart
	command  child.Command
	name     string
	log      *slog.Logger
	reject   func(context.Context, ...flume.Rejection) error
	most     int // events of one transaction
	bad      *atomic.Int64

	offer               *offer.Offer
	telling             *offer.Trouble // of batches that have an id
	reading, restarting supervise.Trouble

	closed context.Context
	close  context.CancelFunc
}

// OpenFeed does not start the program: Run does.
func OpenFeed(s *Settings, r Restart, env flume.Env) (*Feed, error) {
	f := &Feed{settings: *s, restart: r, command: s.program(env), log: env.Log, reject: env.Reject,
		most: cmp.Or(max(0, env.TransactionCapacity), 100), bad: env.Counter("EventReadFail"),
		offer: offer.New(env), telling: offer.NewTrouble(env.Log, "the program is told so"),
		reading:    supervise.Trouble{Log: env.Log, Failing: "A line of the program cannot be taken"},
		restarting: supervise.Trouble{Log: env.Log, Failing: "The program has ended and is started again"},
	}
	f.name = f.command.Args[0]
	if err := f.command.Exists(); err != nil {
		return nil, err
	}
	f.closed, f.close = context.WithCancel(context.Background())
	return f, nil
}

// Close ends a Run that is under way without waiting for the channels.
func (f *Feed) Close() error {
	f.close()
	return nil
}

// Run runs the program, again and again where it has to be, until ctx ends or the program is done.
func (f *Feed) Run(ctx context.Context, emit flume.Emit) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.closed, cancel)()
	waits := supervise.Backoff{Least: againLeast, Most: againMost}
	f.offer.Emit = emit
	for ctx.Err() == nil {
		began := time.Now()
		r := reading{Feed: f, emit: emit}
		err := r.run(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil && !f.restart.Done:
			f.log.Info("The program is done")
			return nil
		case err == nil:
			f.restarting.Report(slog.LevelInfo, errors.New("exit status 0"), f.restart.After)
			_ = supervise.Sleep(ctx, max(againLeast, f.restart.After)) // the loop looks at ctx
		default:
			if time.Since(began) > againMost {
				waits.Reset()
			}
			wait := waits.Next()
			f.restarting.Report(slog.LevelWarn, err, wait)
			_ = supervise.Sleep(ctx, wait)
		}
	}
	return nil
}

// A reading is one run of the program.
type reading struct {
	*Feed
	emit    flume.Emit
	program *child.Child
	lines   *lines
	answer  []byte
	broken  error // why the program is made to end

	events flume.Batch // that have no id, read and not yet taken
	size   int         // bytes of events
}

// bytesMost bounds events that wait for others of the same read.
const bytesMost = 1 << 20

func (r *reading) run(ctx context.Context) error {
	var err error
	if r.program, err = r.command.Start(); err != nil {
		return err
	}
	r.log.Debug("Started the program", "command", r.name, "pid", r.program.Pid())
	r.lines = &lines{from: r.program.Out, most: r.settings.MaxLine}
	stopped := make(chan struct{})
	again := context.AfterFunc(ctx, func() {
		defer close(stopped)
		r.program.Stop(r.settings.Stop)
		r.program.Out.Finish()
	})
	r.read(ctx)
	if lost := len(r.events); lost > 0 {
		r.log.Error("The source has to stop and the channels do not take events: events that the program has given without an id are lost", "events", lost)
	}
	if ctx.Err() == nil {
		within(r.program.Ended(), r.settings.Stop) // so that it ends with a status of its own
	}
	if !again() {
		<-stopped
	}
	r.program.Close(r.settings.Stop)
	if r.broken != nil {
		return r.broken
	}
	return r.program.Err()
}

// read takes lines until nobody writes any more. When the source is to end, what has an id stays with the program.
func (r *reading) read(ctx context.Context) {
	for {
		if !r.lines.ready() && !r.flush() {
			return
		}
		line, err := r.lines.next(time.Time{})
		if err != nil && !errors.Is(err, errTooLong) {
			r.flush()
			return
		}
		if !r.take(ctx, line, err) {
			return
		}
	}
}

// take takes one line; false: the agent has lost its patience.
func (r *reading) take(ctx context.Context, line []byte, bad error) bool {
	if len(bytes.TrimSpace(line)) == 0 {
		return true
	}
	m, err := parse(line)
	switch {
	case bad != nil:
		err = bad
	case err == nil && m.has&(fieldOK|fieldError|fieldRejected|fieldPending) != 0:
		err = errors.New("a source gives events, and no answers")
	case err == nil && m.has&(inEvent|fieldEvents) == 0:
		err = errors.New("it has no events")
	}
	if err != nil {
		r.bad.Add(1)
		err = misread(r.name, r.lines.number, line, err)
		if m.id != nil { // of one without, a dead letter says it
			r.reading.Report(slog.LevelWarn, err, 0)
		}
	}
	switch {
	case m.id != nil:
		if err == nil {
			err = r.transact(ctx, m.events)
		}
		return r.reply(m.id, err)
	case err != nil:
		letter := flume.Rejection{Event: flume.Event{Body: bytes.Clone(line)}, Err: err, Position: "line " + strconv.Itoa(r.lines.number)}
		if !r.flush() {
			return false
		}
		if err := r.reject(r.closed, letter); err != nil {
			r.log.Error("The source has to stop and the dead letters do not take a line, which is lost", "line", r.lines.number, "error", err)
			return false
		}
		return true
	}
	r.events = append(r.events, m.events...)
	r.size += m.events.Size()
	return len(r.events) < r.most && r.size < bytesMost || r.flush()
}

var errStopping = errors.New("the agent stops")

// transact puts a batch that has an id into the channels, once.
func (r *reading) transact(ctx context.Context, b flume.Batch) error {
	switch {
	case ctx.Err() != nil || r.broken != nil:
		return errStopping
	case !r.flush(): // in the order of the lines
		return errStopping
	case len(b) == 0:
		return nil
	}
	err := r.emit(r.closed, b)
	if err == nil {
		r.telling.Taken()
	} else if r.closed.Err() == nil {
		r.telling.Failed(err, 0)
	}
	return err
}

// reply tells the program what became of its batch. A program that does not read it is made to end.
func (r *reading) reply(id []byte, err error) bool {
	r.answer = appendAnswer(r.answer[:0], id, err)
	_ = r.program.In.SetWriteDeadline(time.Now().Add(r.settings.Timeout)) // a pipe can
	if _, err := r.program.In.Write(r.answer); err != nil && r.broken == nil {
		if isTime(err) {
			err = fmt.Errorf("it has not read them for %v, its timeout; a program that wants no answers gives no id", r.settings.Timeout)
		}
		r.broken = fmt.Errorf("telling %s what became of its batches: %w", r.name, err)
		r.program.Stop(r.settings.Stop)
		r.program.Out.Finish()
	}
	return r.closed.Err() == nil
}

// flush puts the events that have no id into the channels, however long that takes; false: the agent has lost its
// patience.
func (r *reading) flush() bool {
	for len(r.events) > 0 {
		n := min(len(r.events), r.most)
		if r.offer.Keep(r.closed, offer.Clones(r.events[:n])) != nil {
			return false
		}
		r.events = r.events[n:]
	}
	r.events, r.size = nil, 0
	return true
}

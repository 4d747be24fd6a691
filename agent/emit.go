package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/supervise"
)

// An inlet is what lies between a source and its channels.
//
//	emit ─▶ interceptors ─▶ selector ─▶ Put in every required channel ─▶ rejections to disk ─▶ Commit in each ─▶ optional ones
//
// Nothing is committed before everything is prepared, so that a full channel leaves no copies in the others.
type inlet struct {
	name         string
	interceptors []openInterceptor
	selector     flume.Selector
	selecting    string    // a1.sources.s1.selector
	channels     []*outlet // in the order of Routes
	prepare      []int     // the order of Put: the same for all sources of the agent, so that no two hold what the other waits for
	stages       [][]int   // the order of Commit: the channels of a stage side by side
	letters      *letters
	bugs         supervise.Trouble
	hard         context.Context
	positions    bool   // events bear positions, for the channels that ask
	asked        []bool // for each of channels

	received, accepted, failed, processing, rejected, dropped *atomic.Int64
	optional                                                  []*option       // for each of channels
	over                                                      context.Context // has ended: who puts with it does not wait
}

// An option is a channel as one that may be left out.
type option struct {
	trouble supervise.Trouble
	failed  atomic.Pointer[error] // why, the last time it was waited for; until it takes something it is not waited for again
}

type openInterceptor struct {
	flume.Interceptor
	path    string // a1.sources.s1.interceptors.i1
	letters *letters
}

// An outlet is an open channel with its counters.
type outlet struct {
	flume.Channel
	name     string
	volatile bool
	remote   bool
	soft     context.Context
	patience time.Duration // of a commit that is a sending, when soft has ended
	silent   atomic.Bool   // one has been given up: the others get a fifth

	putAttempt, putSuccess, takeAttempt, takeSuccess *atomic.Int64
}

// Take is the channel's; a panic is an error.
func (c *outlet) Take(ctx context.Context, l flume.Limits) (tx flume.Transaction, err error) {
	defer supervise.Recover("taking events", &err)
	return c.Channel.Take(ctx, l)
}

// putBack rolls a transaction back. A panic is said, so that the other transactions are rolled back too.
func putBack(tx flume.Transaction, bugs *supervise.Trouble) {
	var err error
	defer func() {
		if err != nil {
			bugs.Report(slog.LevelError, err, 0)
		}
	}()
	defer supervise.Recover("rolling back", &err)
	tx.Rollback()
}

// A refusal is what one interceptor of the chain, or the selector, has rejected of a batch.
type refusal struct {
	by      string
	letters *letters
	events  []flume.Rejection
}

// emit is the flume.Emit of the source. Put waits as long as the source's ctx lets it; a Commit that has begun ends
// with the agent's patience only, and one that sends to another machine soon after the agent has begun to stop.
func (in *inlet) emit(ctx context.Context, b flume.Batch) (err error) {
	if len(b) == 0 {
		return nil
	}
	n := int64(len(b))
	in.received.Add(n)
	defer func() {
		if bug := (*supervise.Bug)(nil); errors.As(err, &bug) {
			in.bugs.Report(slog.LevelError, err, 0) // the source may not say it
		}
	}()
	defer supervise.Recover("passing events of source "+in.name+" on", &err)
	if err := in.intercept(ctx, b, in.interceptors, nil); err != nil {
		return err
	}
	in.accepted.Add(n)
	return nil
}

// intercept runs the chain, and passes on what is left. What is left of an empty batch is not shown to the interceptors
// behind, as in Flume.
func (in *inlet) intercept(ctx context.Context, b flume.Batch, chain []openInterceptor, refused []refusal) error {
	for n, i := range chain {
		if len(b) == 0 {
			break
		}
		var places []string
		if in.positions {
			places = position.Texts(b)
		}
		if w, ok := i.Interceptor.(flume.Witness); ok {
			return in.witness(ctx, w, i.path, b, func(ctx context.Context, out flume.Batch, rejections []flume.Rejection) error {
				refused, err := in.intercepted(i, places, out, rejections, refused)
				if err != nil {
					return err
				}
				return in.intercept(ctx, out, chain[n+1:], refused)
			})
		}
		out, rejections, err := i.Intercept(ctx, b)
		if err != nil {
			in.processing.Add(1)
			return &interceptError{i.path, err}
		}
		if refused, err = in.intercepted(i, places, out, rejections, refused); err != nil {
			return err
		}
		b = out
	}
	if in.positions {
		position.Last(b)
	}
	return in.pass(ctx, b, refused)
}

// intercepted looks at what came out of an interceptor. Places are the positions that went in.
func (in *inlet) intercepted(i openInterceptor, places []string, out flume.Batch, rejections []flume.Rejection, refused []refusal) ([]refusal, error) {
	if in.positions {
		if err := position.Restore(places, out); err != nil {
			in.processing.Add(1)
			return nil, &interceptError{i.path, err}
		}
	}
	if len(rejections) > 0 {
		refused = append(refused, refusal{i.path, i.letters, rejections})
	}
	return refused, nil
}

// witness lets an interceptor see what becomes of a batch.
func (in *inlet) witness(ctx context.Context, w flume.Witness, path string, b flume.Batch, rest func(context.Context, flume.Batch, []flume.Rejection) error) error {
	went := false
	var fate error
	err := w.Witness(ctx, b, func(ctx context.Context, out flume.Batch, rejections []flume.Rejection) error {
		if went {
			panic("BUG: an interceptor passes a batch on twice")
		}
		went, fate = true, errUnknown // until it is known, should there be a panic
		fate = rest(ctx, out, rejections)
		return fate
	})
	switch {
	case went:
		return fate
	case err == nil:
		panic("BUG: an interceptor passes a batch on to nobody")
	}
	in.processing.Add(1)
	return &interceptError{path, err}
}

// errUnknown is what becomes of a batch that a panic has kept on its way.
var errUnknown = errors.New("the batch did not arrive")

// pass selects channels for what the interceptors have left and commits it there, and what they refused to the dead
// letters.
func (in *inlet) pass(ctx context.Context, b flume.Batch, refused []refusal) error {
	var txs []flume.Transaction
	defer func() {
		for _, tx := range txs {
			if tx != nil {
				putBack(tx, &in.bugs) // a no-op where it was committed
			}
		}
	}()
	var routes flume.Routes
	if len(b) > 0 {
		routes.Reset(len(in.channels))
		in.selector.Select(b, &routes)
		if err := routes.Refused(); err != nil {
			in.processing.Add(1)
			return fmt.Errorf("selecting channels with %s: %w", in.selecting, err)
		}
		if rejected := routes.Rejected(); len(rejected) > 0 {
			refused = append(refused, refusal{in.selecting, in.letters, rejected})
		}
		txs = make([]flume.Transaction, len(in.channels))
		for _, i := range in.prepare {
			var err error
			if txs[i], err = in.put(ctx, i, routes.Required(i)); err != nil {
				in.failed.Add(1)
				return err
			}
		}
	}
	for _, r := range refused {
		if err := r.letters.write(r.by, r.events); err != nil {
			return err
		}
		in.rejected.Add(int64(len(r.events)))
	}
	if txs != nil {
		if err := in.settle(txs, &routes); err != nil {
			in.failed.Add(1)
			return &unsettled{err}
		}
		for i := range in.channels {
			in.offer(ctx, i, routes.Optional(i))
		}
	}
	return nil
}

// An unsettled is the error of a commit: some channels may have the events. Of any other, none has.
type unsettled struct{ error }

func (e *unsettled) Unwrap() error { return e.error }

// An interceptError is flume.ErrInterceptor, with what it was.
type interceptError struct {
	path string
	err  error
}

func (e *interceptError) Error() string {
	return fmt.Sprintf("intercepting with %s: %v", e.path, e.err)
}
func (e *interceptError) Unwrap() error        { return e.err }
func (e *interceptError) Is(target error) bool { return target == flume.ErrInterceptor }

// put prepares events in a channel; nil where there are none for it.
func (in *inlet) put(ctx context.Context, channel int, b flume.Batch) (flume.Transaction, error) {
	if len(b) == 0 {
		return nil, nil
	}
	c := in.channels[channel]
	if in.positions && !in.asked[channel] {
		b = position.Hide(b)
	}
	c.putAttempt.Add(int64(len(b)))
	tx, err := c.Put(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("putting %d events into channel %s: %w", len(b), c.name, err)
	}
	return tx, nil
}

// settle commits in the required channels, one stage after the other.
func (in *inlet) settle(txs []flume.Transaction, routes *flume.Routes) error {
	for _, stage := range in.stages {
		if err := in.settleStage(stage, txs, routes); err != nil {
			return err
		}
	}
	return nil
}

// settleStage commits side by side in channels that each wait for a disk or for another machine.
func (in *inlet) settleStage(stage []int, txs []flume.Transaction, routes *flume.Routes) error {
	if len(stage) == 1 {
		return in.settleOne(stage[0], txs, routes)
	}
	errs := make([]error, len(stage))
	var all sync.WaitGroup
	for k, i := range stage {
		if txs[i] == nil {
			continue
		}
		all.Go(func() {
			defer supervise.Recover("committing to channel "+in.channels[i].name, &errs[k])
			errs[k] = in.settleOne(i, txs, routes)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (in *inlet) settleOne(i int, txs []flume.Transaction, routes *flume.Routes) error {
	if txs[i] == nil {
		return nil
	}
	return in.channels[i].settle(in.hard, txs[i], len(routes.Required(i)))
}

// settle commits n events that were put.
func (c *outlet) settle(hard context.Context, tx flume.Transaction, n int) error {
	ctx := hard
	if c.remote {
		var end context.CancelCauseFunc
		ctx, end = context.WithCancelCause(hard)
		defer end(nil)
		defer context.AfterFunc(c.soft, func() {
			patience := c.patience
			if c.silent.Load() {
				patience /= 5 // a source that cannot ask anybody again still tries
			}
			if supervise.Sleep(ctx, patience) == nil {
				c.silent.Store(true)
				end(fmt.Errorf("the agent stops, and there was no answer within %v", patience))
			}
		})()
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("committing %d events to channel %s: %w", n, c.name, err)
	}
	c.putSuccess.Add(int64(n))
	return nil
}

// offer sends to an optional channel, whose failure is counted and does not concern the source.
func (in *inlet) offer(ctx context.Context, channel int, b flume.Batch) {
	if len(b) == 0 {
		return
	}
	o := in.optional[channel]
	last := o.failed.Load()
	if last != nil {
		ctx = in.over
	}
	err := in.give(ctx, channel, b)
	if last != nil && errors.Is(err, context.Canceled) {
		err = *last
	}
	if err != nil {
		why := err
		o.failed.Store(&why)
		in.dropped.Add(int64(len(b)))
		o.trouble.Report(slog.LevelError, err, 0)
		return
	}
	o.failed.Store(nil)
	o.trouble.End()
}

// give puts and commits. A panic is an error: it is not the source's, whose events the required channels have.
func (in *inlet) give(ctx context.Context, channel int, b flume.Batch) (err error) {
	defer supervise.Recover("offering events to an optional channel", &err)
	tx, err := in.put(ctx, channel, b)
	if err != nil {
		return err
	}
	defer putBack(tx, &in.bugs)
	return in.channels[channel].settle(in.hard, tx, len(b))
}

// order is the order of Put over a source's channels.
func order(parts []*channelPart) []int {
	prepare := make([]int, len(parts))
	for i := range prepare {
		prepare[i] = i
	}
	slices.SortFunc(prepare, func(a, b int) int { return parts[a].index - parts[b].index })
	return prepare
}

// stages is the order of Commit over a source's channels, which are given in the order of Put: those first whose commit
// is the likeliest to fail, that is remote ones, then those on disk, then memory, where a commit cannot fail.
func stages(channels []*outlet, prepare []int) [][]int {
	var remote, disk []int
	var out, memory [][]int
	for _, i := range prepare {
		switch c := channels[i]; {
		case c.volatile:
			memory = append(memory, []int{i})
		case c.remote:
			remote = append(remote, i)
		default:
			disk = append(disk, i)
		}
	}
	for _, stage := range [][]int{remote, disk} {
		if len(stage) > 0 {
			out = append(out, stage)
		}
	}
	return append(out, memory...)
}

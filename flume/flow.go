package flume

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Emit hands a batch over. Nil means: every required channel has committed it. The batch is no longer the caller's.
// It may be called from many goroutines at once.
type Emit func(ctx context.Context, b Batch) error

// A Source receives events. Open binds what it listens on, so that a taken port is Open's error.
//
// Run returns when ctx ends or with the error that keeps it from going on; it is called once. Events that it has
// accepted when ctx ends are still emitted. Close frees what Open took and ends a Run that is still under way.
type Source interface {
	Run(ctx context.Context, emit Emit) error
	Close() error
}

// An Interceptor changes, drops or rejects events. It owns the batch until it returns. An error fails the whole batch:
// the source is told and decides; what can never pass is a Rejection instead. Calls can overlap.
type Interceptor interface {
	Intercept(ctx context.Context, b Batch) (Batch, []Rejection, error)
	Close() error
}

// A Witness is an interceptor that has to know whether what it lets pass has arrived, as one that remembers events does.
// The agent calls Witness where it calls Intercept of others. Next, which is called once, is the rest of the way with what
// is left of the batch and what was rejected: the interceptors behind, the selector, the channels. Its nil means that every
// required channel has committed; its error may leave copies in some. What Witness returns after next does not matter.
type Witness interface {
	Interceptor
	Witness(ctx context.Context, b Batch, next func(ctx context.Context, b Batch, r []Rejection) error) error
}

// A Selector says which channels each event goes to. Events are read-only from here on. Calls can overlap.
type Selector interface {
	Select(b Batch, r *Routes)
}

// Routes collects a selector's answer. Channels are numbered in the order of Env.Channels.
type Routes struct {
	required, optional []Batch
	rejected           []Rejection
	refused            error
}

// Reset makes r an empty answer over n channels.
func (r *Routes) Reset(n int) {
	r.required = append(r.required[:0], make([]Batch, n)...)
	r.optional = append(r.optional[:0], make([]Batch, n)...)
	r.rejected, r.refused = nil, nil
}

// Require sends events to a channel that must commit them before the source is acknowledged.
func (r *Routes) Require(channel int, events ...Event) { put(r.required, channel, events) }

// Offer sends events to a channel whose failure is counted and otherwise ignored.
func (r *Routes) Offer(channel int, events ...Event) { put(r.optional, channel, events) }

// Reject gives events up that belong to no channel: they go to the dead letters.
func (r *Routes) Reject(why error, events ...Event) {
	for _, e := range events {
		r.rejected = append(r.rejected, Rejection{Event: e, Err: why})
	}
}

// Refuse fails the whole batch: no channel gets any of it, and the source is told why.
func (r *Routes) Refuse(why error) {
	if r.refused == nil {
		r.refused = why
	}
}

// put shares the first run of events with the caller and copies only when a second one follows. Where there are two
// there are mostly many, so that the copy has room for more.
func put(to []Batch, channel int, events []Event) {
	b := to[channel]
	switch {
	case len(b) == 0:
		to[channel] = events[:len(events):len(events)]
		return
	case len(b) == cap(b):
		b = append(make(Batch, 0, 2*(len(b)+len(events))+32), b...)
	}
	to[channel] = append(b, events...)
}

// Required returns what goes to a required channel.
func (r *Routes) Required(channel int) Batch { return r.required[channel] }

// Optional returns what goes to an optional channel.
func (r *Routes) Optional(channel int) Batch { return r.optional[channel] }

// Rejected returns what goes to the dead letters.
func (r *Routes) Rejected() []Rejection { return r.rejected }

// Refused says why the batch is refused, if it is.
func (r *Routes) Refused() error { return r.refused }

// ErrInterceptor is what Emit wraps where an interceptor failed, so that no channel was asked.
var ErrInterceptor = errors.New("an interceptor failed")

// What a channel answers when it cannot serve. Errors returned may wrap them.
var (
	ErrFull     = errors.New("the channel is full")                        // Put: no room came free in time
	ErrTooLarge = errors.New("the batch is larger than the whole channel") // Put: there will never be room
	ErrEmpty    = errors.New("the channel is empty")                       // Take, Once: nothing is there
)

// EmptyUntil is the ErrEmpty of a sink processor that leaves a sink out for a time: who could be asked had nothing, and
// then it wants to be asked again, though no event may have come.
type EmptyUntil struct{ Time time.Time }

func (e *EmptyUntil) Error() string {
	return fmt.Sprintf("%v; a sink is left out until %s", ErrEmpty, e.Time.Format(time.RFC3339))
}

// Is makes it an ErrEmpty.
func (e *EmptyUntil) Is(target error) bool { return target == ErrEmpty }

// Limits bound what one Take returns or one Deliver can hold.
type Limits struct {
	Events int           // 0: as many as the channel's transactionCapacity
	Bytes  int           // of bodies and headers; a single event is always given; 0: no bound
	Linger time.Duration // how long to wait for more after the first event; 0 nearly everywhere
}

// A Channel holds events until a sink has delivered them. All methods may be called from many goroutines.
type Channel interface {
	// Put reserves room (events, bytes, disk) and waits for it as the settings allow: ErrFull, ErrTooLarge.
	// After it returned nil, Commit fails only on I/O.
	Put(ctx context.Context, b Batch) (Transaction, error)
	// Take waits for an event; it never returns an empty batch. ErrEmpty only when ctx has ended and nothing is there:
	// after the end of ctx it goes on to return what is left.
	Take(ctx context.Context, l Limits) (Transaction, error)
	Close() error
}

// Volatile is what a channel may say of itself: that its events are gone with the process. The agent lets sinks drain
// such a channel before it stops.
type Volatile interface{ Volatile() bool }

// Remote is what a channel may say of itself: that committing a put is sending it to another machine, which takes its
// time and may fail although everything is prepared. The agent commits to such channels first, so that a batch which
// does not arrive leaves no copies in the others.
type Remote interface{ Remote() bool }

// A Transaction is a batch on its way into a channel or out of it. It is used by one goroutine.
type Transaction interface {
	Batch() Batch
	Commit(ctx context.Context) error
	// Split keeps the events of a Take with these indexes (ascending) in a transaction of their own; the rest stays here.
	Split(keep []int) Transaction
	// Rollback gives up: events put are forgotten, events taken are at the head of the channel again, in their order, or
	// in the places that they had.
	// A no-op after Commit.
	Rollback()
}

// A Sink delivers events. The agent owns the transaction; a sink only borrows the batch until Deliver returns. Calls
// do not overlap.
type Sink interface {
	// Deliver returns nil when all are delivered, *PartialError when some are, any other error when none is. Its ctx ends
	// when the agent abandons what is in flight; after that the sink is only closed, so it owes nothing to a next call.
	Deliver(ctx context.Context, b Batch) error
	// Limits is the most that one Deliver takes. Zero leaves it to the channel.
	Limits() Limits
	Close() error
}

// Counting is what a sink may say of itself: that it counts EventDrainAttemptCount, EventDrainSuccessCount and EventWriteFail
// itself, because its settings say what counts. The agent counts them for all others.
type Counting interface{ Counts() bool }

// A PartialError tells the fate of a batch of which a part was delivered: what is neither rejected nor pending was.
type PartialError struct {
	Rejected []Rejected // can never be delivered: to the dead letters
	Pending  []int      // indexes, ascending: not safe yet, to be offered again; Err says why
	InOrder  bool       // nothing may overtake the pending: they go back to the head of the channel
	Err      error
}

// Rejected is the index of an event in the batch and why it can never be delivered.
type Rejected struct {
	Index int
	Err   error
}

func (e *PartialError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%d events were rejected, the first: %v", len(e.Rejected), e.Rejected[0].Err)
	}
	return fmt.Sprintf("%d events are not delivered yet: %v", len(e.Pending), e.Err)
}

func (e *PartialError) Unwrap() error { return e.Err }

// A Rejection is an event that can never pass, on its way to the dead letters.
type Rejection struct {
	Event    Event
	Err      error
	Position string // where it came from, such as "test3-0@42" (topic, partition, offset); may be empty
	Attempt  int    // which attempt in a row rejected it, from 1 on; 0: the first
}

// LetterID is the header with the identity of a dead letter. An event that is replayed has it, so that a sink which knows
// events by where they came from (topic, partition, offset) does not take it for the event that it was; each time that an
// event becomes a dead letter it gets a new one, and a letter that is replayed twice has the same.
const LetterID = "deadletter.id"

// A SinkProcessor decides which sink of its group delivers next. Process is one round; it is called in a loop by one
// goroutine. ErrEmpty or EmptyUntil: none had anything to deliver. The end of ctx ends waiting for events: the agent stops
// or, where context.Cause tells one, sinks of the group were opened or closed.
type SinkProcessor interface {
	Process(ctx context.Context, group []Drain) error
}

// A Drain is one sink with its channel. Once takes a batch, delivers, settles and commits. It returns ErrEmpty when
// there was nothing, which is no failure.
type Drain struct {
	Name string
	Once func(ctx context.Context) error
}

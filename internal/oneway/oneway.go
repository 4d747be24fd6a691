// Package oneway is what the sources have in common that never answer: syslog over TCP and UDP, netcat over UDP.
//
//	TCP   port ─▶ rpc.Source ─▶ Stream: one goroutine a connection ─▶ Messages.Cut, Events ─▶ Outlet.Put ─▶ Emit
//	UDP   port ─▶ Datagrams: one goroutine ──────────────────────────▶ Cut, Events ─────────▶ Outlet.Put ─▶ Emit
//
// What has already arrived is emitted together, up to the transactionCapacity of the channels. Where they do not take
// it, the same events are offered again, and meanwhile nothing more is read: TCP holds up the senders; the kernel keeps
// datagrams as long as it has room. Flume would lose the events. An event that is larger than a channel goes to the dead
// letters. When the agent stops, nothing more is read but the datagrams that the kernel holds, and what has been read is
// offered until the source is closed, for the sinks make room meanwhile; what is not taken then is lost, and the log
// says how much.
//
// Memory: an idle connection holds its goroutine and a small buffer. All that connections hold beyond that, read and
// not yet taken, comes out of one rpc.Budget, which disconnects clients that hold much and send nothing while others
// wait. A message for which there is no memory for five seconds is cut as one that is too long. The receiver of datagrams has one buffer.
package oneway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Holds is the address that a source listens on, for flume.Holder. The port 0 is any.
func Holds(network, host string, port int) []flume.Endpoint {
	if port == 0 {
		return nil
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return []flume.Endpoint{flume.Endpoint(network + "://" + rpc.Address(host, port))}
}

// DeclareFirst declares firstLineOnly.
func DeclareFirst(d *conf.Decl, first *bool) {
	d.Bool(first, "firstLineOnly", false, "Take the first line of a datagram only, as Flume does; else every line is an event. A setting of Sluice's own.")
}

// An Outlet puts events into the channels until they are taken. It may be used by many goroutines.
type Outlet struct {
	Emit   flume.Emit
	Reject func(ctx context.Context, r ...flume.Rejection) error
	Most   int // events of a batch

	emitting *supervise.Trouble
	log      *slog.Logger
}

// NewOutlet returns an outlet without Emit, which Run gets.
func NewOutlet(env flume.Env) *Outlet {
	return &Outlet{
		Reject: env.Reject, Most: max(1, min(env.TransactionCapacity, mostEvents)), log: env.Log,
		emitting: &supervise.Trouble{Log: env.Log, Failing: "The channels do not take events; the source waits and offers them again", Over: "The channels take events again"},
	}
}

// mostEvents bounds what a batch costs that is made of very short messages.
const mostEvents = 1000

// The waits between attempts.
const (
	leastWait = 100 * time.Millisecond
	mostWait  = 5 * time.Second
)

// Put emits n events; events makes those from one to another, anew each time. It returns when they are taken, or how
// many are not when force has ended, and why. The end of the context of Run ends no Put.
func (o *Outlet) Put(force context.Context, n int, events func(from, to int) flume.Batch) (left int, err error) {
	backoff := supervise.Backoff{Least: leastWait, Most: mostWait}
	from, to := 0, min(n, o.Most)
	for from < n {
		err := o.Emit(force, events(from, to))
		if errors.Is(err, flume.ErrTooLarge) {
			if to-from > 1 {
				to = from + (to-from)/2
				continue
			}
			if err = o.Reject(force, flume.Rejection{Event: events(from, to)[0], Err: err}); err != nil {
				err = fmt.Errorf("writing an event that is too large for the channel to the dead letters: %w", err)
			}
		}
		switch {
		case err == nil:
			o.emitting.End()
			backoff.Reset()
			from, to = to, min(n, to+o.Most)
			continue
		case force.Err() != nil:
			return n - from, err
		}
		wait := backoff.Next()
		o.emitting.Report(slog.LevelWarn, err, wait)
		_ = supervise.Sleep(force, wait) // then they are offered a last time
	}
	return 0, nil
}

// Lost says that n events are lost.
func (o *Outlet) Lost(n int, err error) {
	o.log.Error("Events are lost: the source had to stop, and the channels did not take them", "events", n, "error", err)
}

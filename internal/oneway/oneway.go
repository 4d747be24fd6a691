// Package oneway is what the sources have in common that never answer: syslog over TCP and UDP, netcat over UDP.
//
//	TCP   port ─▶ rpc.Source ─▶ Stream: one goroutine a connection ─▶ Messages.Cut, Events ─▶ Offer.Keep ─▶ Emit
//	UDP   port ─▶ Datagrams: one goroutine ──────────────────────────▶ Cut, Events ─────────▶ Offer.Keep ─▶ Emit
//
// What has already arrived is emitted together, up to the transactionCapacity of the channels. Where they do not take
// it, the same events are offered again, and meanwhile nothing more is read: TCP holds up the senders; the kernel keeps
// datagrams as long as it has room. Flume would lose the events. An event that is larger than a channel goes to the dead
// letters. When the agent stops, nothing more is read but what the kernel holds of datagrams and connections, and what has been read is
// offered until the source is closed, for the sinks make room meanwhile; what is not taken then is lost, and the log
// says how much.
//
// Memory: an idle connection holds its goroutine and a small buffer. All that connections hold beyond that, read and
// not yet taken, comes out of one rpc.Budget, which disconnects clients that hold much and send nothing while others
// wait. A message for which there is no memory for five seconds is cut as one that is too long. The receiver of datagrams has one buffer.
package oneway

import (
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/rpc"
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

// NewOffer returns an offer without Emit, which Run gets.
func NewOffer(env flume.Env) *offer.Offer {
	o := offer.New(env)
	o.Most = max(1, min(env.TransactionCapacity, mostEvents))
	return o
}

// mostEvents bounds what a batch costs that is made of very short messages.
const mostEvents = 1000

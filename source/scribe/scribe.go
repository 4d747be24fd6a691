// Package scribe is the Scribe source: it takes log entries from Facebook's Scribe and from what speaks its protocol.
//
//	client ─▶ connection ─▶ Log ─▶ Emit ─▶ OK: every required channel has committed
//	                                       TRY_LATER: it has not; the client sends again
//
// One call is one Emit. An entry is an event: its message the body, as it is, its category the header category, where it
// has one. An entry without a message is answered with TRY_LATER, as Flume does, though it will never be better; that is
// counted in EventReadFail and logged, seldom. The rest is as in the Thrift source, in the binary protocol; answers are in
// its old style, whatever the calls are in.
package scribe

import (
	"context"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/thriftrpc"
)

// Kind is the Scribe source. Flume has no alias for it.
var Kind = kind()

func kind() flume.Kind[flume.Source] {
	k := flume.Define[Settings, flume.Source]("scribe", "org.apache.flume.source.scribe.ScribeSource", "Takes log entries from Scribe.", open)
	k.Unlisted = true
	return k
}

// Settings of the Scribe source.
type Settings struct {
	Bind      string
	Port      int
	Workers   int
	MaxFrame  int64
	MaxMemory int64
}

// Declare declares Flume's settings and two of ours, bind and max-memory.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Bind, "bind", "0.0.0.0", "The address or host name to listen on; 0.0.0.0, which Flume always takes, is every address of the machine.")
	d.Int(&s.Port, "port", 1499, "The TCP port to listen on.").AtLeast(0).AtMost(65535)
	d.Int(&s.Workers, "workerThreads", 5, "The most calls that are put into the channels at one time, while others wait.").DefaultBelow(1)
	d.Int64(&s.MaxFrame, "maxReadBufferBytes", thriftrpc.MaxFrame, "The most bytes of one call; a larger one closes the connection. More than half of max-memory is taken as that half.").DefaultBelow(1)
	d.Int64(&s.MaxMemory, "max-memory", 128<<20, "The most bytes that calls hold together while they are received and put into the channels. "+
		"One call, with the events made from it, may hold eleven sixteenths; when others wait, clients that stall or trickle are disconnected.").AtLeast(1 << 20)
}

// Origins: an entry has a category, which is not known before, and no other header.
func (s *Settings) Origins(flume.Known) map[flume.Endpoint]flume.Known {
	return map[flume.Endpoint]flume.Known{flume.Endpoint("scribe://" + rpc.Address(s.Bind, s.Port)): {}}
}

// Holds is the address that the source listens on.
func (s *Settings) Holds() []flume.Endpoint {
	if s.Port == 0 { // any free one
		return nil
	}
	return []flume.Endpoint{flume.Endpoint("tcp://" + rpc.Address(s.Bind, s.Port))}
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	port, err := rpc.Listen(ctx, s.Bind, s.Port, "Scribe", env)
	if err != nil {
		return nil, err
	}
	port.Limit(s.Workers)
	server := &thriftrpc.Server{
		Log: port.Put, Protocol: thriftrpc.Binary, MaxFrame: min(s.MaxFrame, s.MaxMemory/2), Budget: port.Budget(s.MaxMemory), Refused: port.Refused,
	}
	port.Serve, port.Sizes = server.Serve, "maxReadBufferBytes"
	return port, nil
}

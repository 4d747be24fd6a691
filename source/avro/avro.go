// Package avro is the Avro source: it takes events from Avro sinks, Flume's clients and log appenders over Avro RPC.
//
//	client ─▶ connection ─▶ append, appendBatch ─▶ Emit ─▶ OK: every required channel has committed
//	                                                       FAILED: it has not; the client sends again
//
// One call is one Emit, whatever its size. Calls on one connection are done in order, connections side by side. A
// client is always answered; its connection is closed only where what it sends is no Avro RPC, where a frame is larger
// than max-frame-size, or where a frame that has begun makes no progress for a minute. An idle connection holds a few KB.
//
// All calls in flight together hold max-memory at most, whatever arrives; who is beyond that is read later. One sixteenth
// of it is kept for frames of 64 KiB and less, so that these do not wait for large ones. While calls wait, a client that
// for 5 seconds (2, if all others wait for its call) sends less in a second than a 60th of what it holds is disconnected,
// the one that holds most first; as long as no call waits nobody is. The process may take twice as much from the system: Go collects garbage when the heap
// has doubled, or after two minutes, and gives memory back to the system little by little.
//
// A call that cannot be understood is answered with an error, counted in EventReadFail and logged, seldom.
//
// When the source stops it closes what is idle at once and answers the calls that it has begun.
package avro

import (
	"context"
	"errors"
	"net"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrorpc"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/tls"
)

// Kind is the Avro source.
var Kind = flume.Define[Settings, flume.Source]("avro", "org.apache.flume.source.AvroSource",
	"Takes events from Avro sinks and Flume's clients over Avro RPC.", open)

// Settings of the Avro source.
type Settings struct {
	Bind        string
	Port        int
	Threads     string
	Compression compression
	IPFilter    bool
	IPRules     string
	MaxFrame    int64
	MaxMemory   int64
	TLS         tls.Server

	rules rules // of IPRules
}

type compression string

const (
	none    compression = "none"
	deflate compression = "deflate"
)

// Declare declares Flume's settings and two of ours, max-frame-size and max-memory.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Bind, "bind", "", "The address or host name to listen on; 0.0.0.0 is every address of the machine.").Required()
	d.Int(&s.Port, "port", 0, "The TCP port to listen on.").AtLeast(0).AtMost(65535).Required()
	d.String(&s.Threads, "threads", "", "The most worker threads; read, and without effect.")
	conf.Choice(d, &s.Compression, "compression-type", none, "Whether clients compress, which must be the same on both ends. With ssl both orders are understood.", none, deflate).Lenient()
	d.Bool(&s.IPFilter, "ipFilter", false, "Close connections as ipFilterRules say.")
	d.String(&s.IPRules, "ipFilterRules", "", "Rules separated by commas, each allow or deny, ip or name, and a pattern with * and ?, "+
		"as in deny:ip:10.0.*,allow:name:localhost. The first that fits decides; who fits none is let in.")
	d.Int64(&s.MaxFrame, "max-frame-size", 64<<20, "The most bytes of one call; a larger one closes the connection. More than half of max-memory is taken as that half.").AtLeast(1 << 16)
	d.Int64(&s.MaxMemory, "max-memory", 128<<20, "The most bytes that calls hold together while they are received and put into the channels. "+
		"One call, with the events made from it, may hold eleven sixteenths; when others wait, clients that stall or trickle are disconnected.").AtLeast(1 << 20)
	d.Under("", &s.TLS)
	d.Check(func() error {
		if s.Threads == "" {
			return nil
		}
		return conf.Warn("threads", errors.New("has no effect, as in Flume 1.10 and later"))
	})
	d.Check(func() error {
		if !s.IPFilter {
			return nil
		}
		if s.IPRules == "" {
			return conf.At("ipFilterRules", errors.New("is required with ipFilter = true"))
		}
		var err error
		if s.rules, err = parseRules(s.IPRules); err != nil {
			return conf.At("ipFilterRules", err)
		}
		return s.rules.doubt()
	})
}

// Origins hands on all headers that the sender's events have.
func (s *Settings) Origins(received flume.Known) map[flume.Endpoint]flume.Known {
	return map[flume.Endpoint]flume.Known{flume.Endpoint("avro://" + s.address()): received}
}

// Holds is the address that the source listens on.
func (s *Settings) Holds() []flume.Endpoint {
	if s.Port == 0 { // any free one
		return nil
	}
	return []flume.Endpoint{flume.Endpoint("tcp://" + s.address())}
}

func (s *Settings) address() string { return rpc.Address(s.Bind, s.Port) }

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	config, err := s.TLS.Config()
	if err != nil {
		return nil, err
	}
	port, err := rpc.Listen(ctx, s.Bind, s.Port, "Avro RPC", env)
	if err != nil {
		return nil, err
	}
	server := &avrorpc.Server{
		Calls: port.Calls(env), MaxFrame: min(s.MaxFrame, s.MaxMemory/2), Budget: port.Budget(s.MaxMemory),
		TLS: config, Deflate: s.Compression == deflate, Refused: port.Refused,
	}
	port.Serve, port.Sizes = server.Serve, "max-frame-size"
	if s.rules != nil {
		port.Admit = func(ctx context.Context, from net.Addr) bool {
			ok := s.rules.allow(ctx, from)
			if !ok {
				env.Log.Debug("A client is disconnected as ipFilterRules say", "from", from.String())
			}
			return ok
		}
	}
	return port, nil
}

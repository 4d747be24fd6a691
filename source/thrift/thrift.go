// Package thrift is the Thrift source: it takes events from Thrift sinks, Flume's clients and programs in any language
// that Thrift knows.
//
//	client ─▶ connection ─▶ append, appendBatch ─▶ Emit ─▶ OK: every required channel has committed
//	                                                       FAILED: it has not; the client sends again
//
// One call is one Emit, whatever its size. Calls on one connection are done in order, connections side by side. A
// client is answered and keeps its connection, also when the channel is full and when its call cannot be understood; its
// connection is closed only where what it sends is no Thrift of this protocol, where a frame is larger than
// max-frame-size, or where a frame that has begun makes no progress for a minute. An idle connection holds a few KB,
// with TLS a few dozen. Messages and frames: package thriftrpc. Connections, memory and slow clients: package rpc.
//
// A call that cannot be understood is answered with an exception, counted in EventReadFail and logged, seldom.
//
// When the source stops it closes what is idle at once and answers the calls that it has begun.
package thrift

import (
	"context"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/thriftrpc"
	"github.com/sluice-io/sluice/internal/tls"
)

// Kind is the Thrift source.
var Kind = flume.Define[Settings, flume.Source]("thrift", "org.apache.flume.source.ThriftSource",
	"Takes events from Thrift sinks, Flume's clients and programs in any language over Thrift RPC.", open)

// Settings of the Thrift source.
type Settings struct {
	Bind      string
	Port      int
	Threads   int
	Protocol  thriftrpc.Protocol
	Kerberos  thriftrpc.Kerberos
	MaxFrame  int64
	MaxMemory int64
	TLS       tls.Server
}

// Declare declares Flume's settings and two of ours, max-frame-size and max-memory.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Bind, "bind", "", "The address or host name to listen on; 0.0.0.0 is every address of the machine.").Required()
	d.Int(&s.Port, "port", 0, "The TCP port to listen on.").AtLeast(0).AtMost(65535).Required()
	d.Int(&s.Threads, "threads", 0, "The most calls that are put into the channels at one time, while others wait; 0 or less is any number. It does not limit connections, with TLS neither.").Lenient()
	thriftrpc.DeclareProtocol(d, &s.Protocol)
	d.Int64(&s.MaxFrame, "max-frame-size", thriftrpc.MaxFrame, "The most bytes of one call; a larger one closes the connection. More than half of max-memory is taken as that half.").AtLeast(1 << 16)
	d.Int64(&s.MaxMemory, "max-memory", 128<<20, "The most bytes that calls hold together while they are received and put into the channels. "+
		"One call, with the events made from it, may hold eleven sixteenths; when others wait, clients that stall or trickle are disconnected.").AtLeast(1 << 20)
	d.Under("", &s.TLS)
	s.Kerberos.Keys = []string{"agent-principal", "agent-keytab"}
	d.Under("", &s.Kerberos)
}

// Origins hands on all headers that the sender's events have.
func (s *Settings) Origins(received flume.Known) map[flume.Endpoint]flume.Known {
	return map[flume.Endpoint]flume.Known{flume.Endpoint("thrift://" + rpc.Address(s.Bind, s.Port)): received}
}

// Holds is the address that the source listens on.
func (s *Settings) Holds() []flume.Endpoint {
	if s.Port == 0 { // any free one
		return nil
	}
	return []flume.Endpoint{flume.Endpoint("tcp://" + rpc.Address(s.Bind, s.Port))}
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	config, err := s.TLS.Config()
	if err != nil {
		return nil, err
	}
	port, err := rpc.Listen(ctx, s.Bind, s.Port, "Thrift RPC", env)
	if err != nil {
		return nil, err
	}
	port.Limit(s.Threads)
	server := &thriftrpc.Server{
		Calls: port.Calls(env), Protocol: s.Protocol, MaxFrame: min(s.MaxFrame, s.MaxMemory/2), Budget: port.Budget(s.MaxMemory),
		TLS: config, Refused: port.Refused,
	}
	port.Serve, port.Sizes = server.Serve, "max-frame-size"
	return port, nil
}

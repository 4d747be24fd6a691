// Package syslogtcp is the source that takes syslog messages over TCP, in the forms of RFC 3164 and RFC 5424.
//
//	sender ─▶ "<13>Oct 11 22:14:15 host hello\n" ─▶ Facility=1 Severity=5 priority=13 timestamp=… host=host, "hello"
//
// The sender is never answered. While the channels do not take events nothing is read, so that TCP holds the senders up,
// and nothing is lost. How messages are cut and read: package syslog. Connections, memory and retries: package oneway.
package syslogtcp

import (
	"context"
	"log/slog"
	"net"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/oneway"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/syslog"
	"github.com/sluice-io/sluice/internal/tls"
)

// Kind is the syslogtcp source.
var Kind = flume.Define[Settings, flume.Source]("syslogtcp", "org.apache.flume.source.SyslogTcpSource",
	"Takes syslog messages over TCP.", open)

// Settings are what a syslogtcp source can be told.
type Settings struct {
	Port   int
	Syslog syslog.Settings
	Stream syslog.StreamSettings
	Format syslog.Format
	From   oneway.Sender
	TLS    tls.Server
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Int(&s.Port, "port", 0, "The TCP port to listen on; 0 is any that is free.").AtLeast(0).AtMost(65535).Required()
	d.Under("", &s.Syslog)
	d.Under("", &s.Stream)
	d.Under("", &s.Format)
	d.Under("", &s.From)
	d.Under("", &s.TLS)
}

// Holds is the address that the source listens on.
func (s *Settings) Holds() []flume.Endpoint { return oneway.Holds("tcp", s.Syslog.Host, s.Port) }

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	config, err := s.TLS.Config()
	if err != nil {
		return nil, err
	}
	port, err := rpc.Listen(ctx, s.Syslog.Host, s.Port, "syslog over TCP", env)
	if err != nil {
		return nil, err
	}
	options := &syslog.Options{
		Most: s.Stream.Most, Counts: s.Stream.Counts, Keep: s.Syslog.Keep(), Times: syslog.Times{AsFlume: s.Syslog.AsFlume},
	}
	if s.Format.Regex != nil {
		options.Format = &s.Format
	}
	matching := &supervise.Trouble{Log: env.Log, Failing: "A message cannot be matched with format.regex; it is read without"}
	who := &oneway.Senders{Sender: s.From}
	offer := oneway.NewOffer(env)
	offer.Emit = port.Emit
	streams := &oneway.Streams{
		Offer: offer, Budget: port.Budget(s.Stream.MaxMemory), TLS: config,
		Reader: func(ctx context.Context, conn net.Conn) oneway.Reader {
			return &reader{syslog.NewMessages(options), []flume.Headers{who.Of(ctx, conn.RemoteAddr())}, matching}
		},
	}
	port.Serve, port.Sizes = streams.Serve, "eventSize"
	return port, nil
}

// A reader reads one connection.
type reader struct {
	*syslog.Messages
	sender   []flume.Headers
	matching *supervise.Trouble
}

// Events implements oneway.Reader.
func (r *reader) Events(from, to int) flume.Batch {
	b, err := r.Messages.Events(from, to, r.sender)
	if err != nil {
		r.matching.Report(slog.LevelWarn, err, 0)
	}
	return b
}

// Taken implements oneway.Reader. Messages that fit no form are no failures.
func (r *reader) Taken() {}

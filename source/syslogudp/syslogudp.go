// Package syslogudp is the source that takes syslog messages over UDP, in the forms of RFC 3164 and RFC 5424.
//
//	sender ─▶ datagram "<13>Oct 11 22:14:15 host hello" ─▶ Facility=1 Severity=5 priority=13 timestamp=… host=host, "hello"
//
// A datagram is a message; where it has several lines, each is one. Datagrams may have 64 KiB. While the channels do not
// take events, datagrams wait in the kernel as far as it has room, and are lost beyond that. How messages are read:
// package syslog. Receiving and retries: package oneway.
package syslogudp

import (
	"context"
	"log/slog"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/oneway"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/syslog"
)

// Kind is the syslogudp source.
var Kind = flume.Define[Settings, flume.Source]("syslogudp", "org.apache.flume.source.SyslogUDPSource",
	"Takes syslog messages over UDP.", open)

// Settings are what a syslogudp source can be told.
type Settings struct {
	Port   int
	Syslog syslog.Settings
	First  bool
	Format syslog.Format
	From   oneway.Sender
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Int(&s.Port, "port", 0, "The UDP port to listen on; 0 is any that is free.").AtLeast(0).AtMost(65535).Required()
	d.Under("", &s.Syslog)
	oneway.DeclareFirst(d, &s.First)
	d.Under("", &s.Format)
	d.Under("", &s.From)
}

// Holds is the address that the source listens on.
func (s *Settings) Holds() []flume.Endpoint { return oneway.Holds("udp", s.Syslog.Host, s.Port) }

// mostMessage is Flume's bound, more than a datagram can have.
const mostMessage = 64 << 10

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	port, err := oneway.ListenDatagrams(ctx, s.Syslog.Host, s.Port, "syslog over UDP", env)
	if err != nil {
		return nil, err
	}
	options := &syslog.Options{Most: mostMessage, Keep: s.Syslog.Keep(), Times: syslog.Times{AsFlume: s.Syslog.AsFlume}}
	if s.Format.Regex != nil {
		options.Format = &s.Format
	}
	port.Who.Sender = s.From
	port.Reader = &reader{
		Messages: syslog.NewMessages(options), first: s.First,
		matching: &supervise.Trouble{Log: env.Log, Failing: "A message cannot be matched with format.regex; it is read without"},
	}
	return port, nil
}

// A reader reads all datagrams.
type reader struct {
	*syslog.Messages
	first    bool
	matching *supervise.Trouble
}

// Datagram implements oneway.DatagramReader.
func (r *reader) Datagram(p []byte, sender int) { r.Messages.Datagram(p, sender, r.first) }

// Events implements oneway.DatagramReader.
func (r *reader) Events(from, to int, senders []flume.Headers) flume.Batch {
	b, err := r.Messages.Events(from, to, senders)
	if err != nil {
		r.matching.Report(slog.LevelWarn, err, 0)
	}
	return b
}

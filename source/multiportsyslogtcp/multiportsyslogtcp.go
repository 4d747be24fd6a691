// Package multiportsyslogtcp is the source that takes syslog messages over TCP on several ports, each with its charset.
//
//	sender ─▶ "<13>Oct 11 22:14:15 host hello\n" ─▶ Priority=13 Facility=1 Severity=5 timestamp=… host=host, "hello"
//
// The sender is never answered. While the channels do not take events nothing is read, so that TCP holds the senders up,
// and nothing is lost. A port that cannot be opened is tried again every 3 s while the others are served; where none can
// be opened, the source cannot. How lines are read: package syslog, Lines. Connections, memory and retries: package oneway.
package multiportsyslogtcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/oneway"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/syslog"
	keystores "github.com/sluice-io/sluice/internal/tls"
)

// Kind is the multiport_syslogtcp source.
var Kind = flume.Define[Settings, flume.Source]("multiport_syslogtcp", "org.apache.flume.source.MultiportSyslogTCPSource",
	"Takes syslog messages over TCP on several ports, each with its charset.", open)

// Settings are what a multiport_syslogtcp source can be told.
type Settings struct {
	Ports      []string
	Syslog     syslog.Settings
	Stream     syslog.StreamSettings
	BatchSize  int
	PortHeader string
	Charset    string
	ReadBuffer int
	Processors int
	From       oneway.Sender
	TLS        keystores.Server

	charsetOf conf.Values // by port
	ports     []port
}

// A port is one of those that the source listens on.
type port struct {
	number  int
	charset charset.Charset
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Strings(&s.Ports, "ports", "", "The TCP ports to listen on.").Required().Bound(s.readPorts)
	d.Under("", &s.Syslog)
	d.Under("", &s.Stream)
	d.BatchSize(&s.BatchSize, "batchSize", 100, "How many messages of one connection go into a transaction. More that have already arrived go with them, as many as the channels take at once.").AtLeast(1)
	d.String(&s.PortHeader, "portHeader", "", "A header for the port that a message came to; empty: none.")
	d.String(&s.Charset, "charset.default", "UTF-8", "The charset of messages: "+charset.Names+". A message with bytes that it does not have is passed on as it is, with flume.syslog.status = Invalid.").
		Bound(func() error { return known(s.Charset) })
	d.Rest(&s.charsetOf, "charset.port.", "The charset of the messages that come to this port.")
	const leastBuffer, mostBuffer = 64, 64 << 10
	d.Int(&s.ReadBuffer, "readBufferBytes", 1024, "How many bytes a connection reads at once at first; it reads more where much arrives.").AtLeast(leastBuffer).AtMost(mostBuffer).Also("readBufferSize")
	d.Int(&s.Processors, "numProcessors", 0, "How many processors there are, for Flume; it has no effect: all are used.")
	d.Under("", &s.From)
	d.Under("", &s.TLS)
	d.Check(s.check)
}

func known(name string) error {
	if _, ok := charset.Find(name); !ok {
		return fmt.Errorf("%q is not a charset that this source knows; there are %s", name, charset.Names)
	}
	return nil
}

func (s *Settings) readPorts() error {
	s.ports = nil
	for _, text := range s.Ports {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 65535 {
			return fmt.Errorf("%q is not a port: a number from 0 to 65535", text)
		}
		s.ports = append(s.ports, port{number: n})
	}
	return nil
}

// check gives each port its charset.
func (s *Settings) check() error {
	var problems []error
	for i := range s.ports {
		s.ports[i].charset, _ = charset.Find(s.Charset)
	}
	for _, v := range s.charsetOf {
		key := "charset.port." + v.Key
		if err := known(v.Text); err != nil {
			problems = append(problems, conf.At(key, err))
			continue
		}
		found := false
		for i := range s.ports {
			if strconv.Itoa(s.ports[i].number) == v.Key {
				found = true
				s.ports[i].charset, _ = charset.Find(v.Text)
			}
		}
		if !found {
			problems = append(problems, conf.Warn(key, fmt.Errorf("is for a port that is not one of ports = %v", s.Ports)))
		}
	}
	return errors.Join(problems...)
}

// Holds are the addresses that the source listens on.
func (s *Settings) Holds() []flume.Endpoint {
	var all []flume.Endpoint
	for _, p := range s.ports {
		all = append(all, oneway.Holds("tcp", s.Syslog.Host, p.number)...)
	}
	return all
}

type source struct {
	settings *Settings
	env      flume.Env
	tls      *tls.Config
	offer    *offer.Offer
	who      *oneway.Senders
	bad      *atomic.Int64 // Flume's EventReadFail: lines that are no messages, too
	budget   *rpc.Budget   // of all ports
	ports    []*listener
	force    context.Context // ends with Close
	abandon  context.CancelFunc
}

// A listener is a port, open or not.
type listener struct {
	port
	mu     sync.Mutex
	source *rpc.Source // opened and not yet served; nil: it is served, or could not be opened yet
}

// take returns what is opened and not yet served.
func (l *listener) take() *rpc.Source {
	l.mu.Lock()
	defer l.mu.Unlock()
	opened := l.source
	l.source = nil
	return opened
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	config, err := s.TLS.Config()
	if err != nil {
		return nil, err
	}
	m := &source{
		settings: s, env: env, tls: config, offer: oneway.NewOffer(env), who: &oneway.Senders{Sender: s.From}, bad: env.Counter("EventReadFail"),
	}
	var failed []error
	for _, p := range s.ports {
		l := &listener{port: p}
		if l.source, err = m.listen(ctx, p); err != nil {
			failed = append(failed, err)
		}
		m.ports = append(m.ports, l)
	}
	if len(failed) == len(m.ports) {
		return nil, errors.Join(failed...)
	}
	m.force, m.abandon = context.WithCancel(context.WithoutCancel(ctx))
	return m, nil
}

// listen opens a port. The first one is opened before there are others at work.
func (m *source) listen(ctx context.Context, p port) (*rpc.Source, error) {
	s := m.settings
	opened, err := rpc.Listen(ctx, s.Syslog.Host, p.number, "syslog over TCP", m.env)
	if err != nil {
		return nil, err
	}
	if m.budget == nil {
		m.budget = opened.Budget(s.Stream.MaxMemory)
	}
	options := &syslog.LineOptions{
		Most: s.Stream.Most, Counts: s.Stream.Counts, Keep: s.Syslog.Keep(), Charset: p.charset, Times: syslog.Times{AsFlume: s.Syslog.AsFlume},
	}
	streams := &oneway.Streams{
		Offer: m.offer, Budget: m.budget, TLS: m.tls, First: s.ReadBuffer,
		Reader: func(ctx context.Context, conn net.Conn) oneway.Reader {
			return &reader{Lines: syslog.NewLines(options), headers: m.headers(ctx, conn), bad: m.bad}
		},
	}
	opened.Serve, opened.Sizes = streams.Serve, "eventSize"
	return opened, nil
}

// headers are those of the events of a connection.
func (m *source) headers(ctx context.Context, conn net.Conn) flume.Headers {
	var h flume.Headers
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok && m.settings.PortHeader != "" {
		h.Set(m.settings.PortHeader, strconv.Itoa(local.Port))
	}
	for _, x := range m.who.Of(ctx, conn.RemoteAddr()) {
		h.Set(x.Key, x.Value)
	}
	return h
}

// Run serves all ports until ctx ends.
func (m *source) Run(ctx context.Context, emit flume.Emit) error {
	m.offer.Emit = emit
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.force, cancel)()
	var serving sync.WaitGroup
	defer serving.Wait()
	for _, l := range m.ports {
		serving.Go(func() { m.serve(ctx, l, emit) })
	}
	return nil
}

// serve opens the port again for as long as it cannot be opened, or breaks.
func (m *source) serve(ctx context.Context, l *listener, emit flume.Emit) {
	task := supervise.Task[*rpc.Source]{
		Name: "port " + strconv.Itoa(l.number), Log: m.env.Log,
		Open: func(ctx context.Context) (*rpc.Source, error) {
			if opened := l.take(); opened != nil {
				return opened, nil
			}
			return m.listen(ctx, l.port)
		},
		Failed: func() {},
		Use: func(ctx context.Context, opened *rpc.Source) error {
			defer context.AfterFunc(m.force, func() { _ = opened.Close() })() // and once more below
			return opened.Run(ctx, emit)
		},
		Close: func(opened *rpc.Source) error { return opened.Close() },
	}
	task.Run(ctx)
}

// Close ends a Run that is under way without waiting for the channels.
func (m *source) Close() error {
	m.abandon()
	var problems []error
	for _, l := range m.ports {
		if opened := l.take(); opened != nil {
			problems = append(problems, opened.Close())
		}
	}
	return errors.Join(problems...)
}

// A reader reads one connection.
type reader struct {
	*syslog.Lines
	headers flume.Headers
	bad     *atomic.Int64
}

// Events implements oneway.Reader.
func (r *reader) Events(from, to int) flume.Batch { return r.Lines.Events(from, to, r.headers) }

// Taken implements oneway.Reader.
func (r *reader) Taken() { r.bad.Add(int64(r.Bad())) }

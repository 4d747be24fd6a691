// Package receiver is where an RPC sink sends to: the settings that the Avro sink and the Thrift sink share,
// and what is counted of their connections.
package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
)

// Settings name a receiver and say how long to wait for it.
type Settings struct {
	Hostname       string
	Port           int
	BatchSize      int
	ConnectTimeout time.Duration
	RequestTimeout time.Duration
	ResetInterval  time.Duration

	// Several reports, when the settings have been read, whether all of hosts are used; nil: never.
	Several func() bool

	// What the time limits are for, for the manual.
	Connecting, Requesting string

	names []string
	all   []string // addresses of hosts
	hosts conf.Values
	given int // batch-size as the file has it
}

const (
	defaultBatch   = 100
	defaultTimeout = 20 * time.Second
	leastTimeout   = time.Second
)

// Declare declares Flume's settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Hostname, "hostname", "", "The host name or address of the receiver; IPv6 addresses too.").Required()
	d.Int(&s.Port, "port", 0, "The port of the receiver.").AtLeast(1).AtMost(65535).Required()
	d.BatchSize(&s.BatchSize, "batch-size", defaultBatch, "The most events of one call. No more are ever sent at once, because the receiver's channel may take no more.").
		Lenient().Bound(s.mendBatch)
	d.Millis(&s.ConnectTimeout, "connect-timeout", defaultTimeout, "How long to wait for "+s.Connecting+", in ms; 1000 at least.").Lenient()
	d.Millis(&s.RequestTimeout, "request-timeout", defaultTimeout, "How long to wait for "+s.Requesting+", in ms; 1000 at least.").Lenient()
	d.Seconds(&s.ResetInterval, "reset-connection-interval", 0, "The age in seconds at which the connection is made anew, for load balancers in between; 0 is never.").AtLeast(0)
	d.Strings(&s.names, "hosts", "", "Names of receivers whose addresses stand in hosts.NAME; the first is taken instead of hostname and port.")
	d.Rest(&s.hosts, "hosts.", "The address of a receiver, as host:port.")
	d.Check(s.check)
}

// mendBatch takes the default for a batch-size below 1, before the agent compares it with the channel.
func (s *Settings) mendBatch() error {
	s.given = s.BatchSize
	if s.BatchSize < 1 {
		s.BatchSize = defaultBatch
	}
	return nil
}

func (s *Settings) check() error {
	var problems []error
	if s.given < 1 {
		problems = append(problems, conf.Warn("batch-size", fmt.Errorf("%d is no size; the default %d is taken", s.given, defaultBatch)))
	}
	timeout := func(p *time.Duration, key string) {
		if *p < leastTimeout {
			problems = append(problems, conf.Warn(key, fmt.Errorf("%d is less than %d; the default %d is taken",
				p.Milliseconds(), leastTimeout.Milliseconds(), defaultTimeout.Milliseconds())))
			*p = defaultTimeout
		}
	}
	timeout(&s.ConnectTimeout, "connect-timeout")
	timeout(&s.RequestTimeout, "request-timeout")
	problems = append(problems, s.checkHosts())
	if addr, err := netip.ParseAddr(s.Host()); err == nil && addr.IsUnspecified() {
		key := "hostname"
		if len(s.names) > 0 {
			key = "hosts." + s.names[0]
		}
		problems = append(problems, conf.Warn(key, fmt.Errorf("%s is no address of a receiver: connections to it arrive at this machine itself; name the machine of the receiver", s.Hostname)))
	}
	return errors.Join(problems...)
}

// checkHosts puts the first of hosts in the place of hostname and port.
func (s *Settings) checkHosts() error {
	s.all = nil
	if len(s.names) == 0 {
		return nil
	}
	several := s.Several != nil && s.Several()
	for i, name := range s.names {
		if i > 0 && !several {
			return conf.Warn("hosts", fmt.Errorf("names %d receivers; only the first, %s, is used", len(s.names), s.all[0]))
		}
		v, ok := s.hosts.Get(name)
		if !ok {
			return conf.At("hosts", fmt.Errorf("names %q, and hosts.%s is not set", name, name))
		}
		host, port, err := net.SplitHostPort(v.Text)
		number := 0
		if err == nil {
			number, err = strconv.Atoi(port)
		}
		if err != nil {
			return conf.At("hosts."+name, fmt.Errorf("%q is not host:port", v.Text))
		}
		if i == 0 {
			s.Hostname, s.Port = host, number
		}
		s.all = append(s.all, net.JoinHostPort(host, port))
	}
	return nil
}

// Host is the name or address of the receiver.
func (s *Settings) Host() string { return strings.Trim(s.Hostname, "[]") }

// Address is what to dial.
func (s *Settings) Address() string { return net.JoinHostPort(s.Host(), strconv.Itoa(s.Port)) }

// Addresses are what to dial where several receivers are used: those of hosts, or hostname and port.
func (s *Settings) Addresses() []string {
	if s.Several == nil || !s.Several() || len(s.all) == 0 {
		return []string{s.Address()}
	}
	return s.all
}

// Observe counts what becomes of connections to the receiver, in Flume's counters.
func (s *Settings) Observe(env flume.Env, address string) func(rpc.Change) {
	created, failed, closed := env.Counter("ConnectionCreatedCount"), env.Counter("ConnectionFailedCount"), env.Counter("ConnectionClosedCount")
	return func(c rpc.Change) {
		switch c {
		case rpc.Connected:
			created.Add(1)
			env.Log.Debug("Connected", "to", address)
		case rpc.NotConnected:
			failed.Add(1)
		case rpc.Closed:
			closed.Add(1)
			env.Log.Debug("Disconnected", "from", address)
		}
	}
}

// Package avro is the Avro sink: it sends events to the Avro source of another agent, of Flume or of Sluice.
//
//	Deliver ─▶ one appendBatch of batch-size events at most ─▶ OK: delivered
//	                                                           anything else: none is; the agent delivers again
//
// The connection is made by the first Deliver and again after a failure, so that the agent starts while its receiver is
// away. When a call times out nobody knows whether the receiver has stored it; it is sent again.
package avro

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/tls"
)

// Kind is the Avro sink.
var Kind = flume.Define[Settings, flume.Sink]("avro", "org.apache.flume.sink.AvroSink",
	"Sends events to the Avro source of another agent.", open)

// Settings of the Avro sink.
type Settings struct {
	Hostname       string
	Port           int
	BatchSize      int
	ConnectTimeout time.Duration
	RequestTimeout time.Duration
	ResetInterval  time.Duration
	Compression    compression
	Level          int
	InsideTLS      bool
	IOWorkers      string
	ClientType     string
	HostNames      []string
	Hosts          conf.Values
	TLS            tls.Client

	given int // batch-size as the file has it
}

type compression string

const (
	none    compression = "none"
	deflate compression = "deflate"
)

const (
	defaultBatch   = 100
	defaultTimeout = 20 * time.Second
	leastTimeout   = time.Second
	mostBytes      = 32 << 20 // of one call: what any receiver can be expected to hold
)

// Declare declares Flume's settings and two of ours, compress-inside-tls and verify-hostname.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Hostname, "hostname", "", "The host name or address of the receiver; IPv6 addresses too.").Required()
	d.Int(&s.Port, "port", 0, "The port of the receiver.").AtLeast(1).AtMost(65535).Required()
	d.BatchSize(&s.BatchSize, "batch-size", defaultBatch, "The most events of one call. No more are ever sent at once, because the receiver's channel may take no more.").
		Lenient().Bound(s.mendBatch)
	d.Millis(&s.ConnectTimeout, "connect-timeout", defaultTimeout, "How long to wait for TCP, TLS and the answer to the first call, in ms; 1000 at least.").Lenient()
	d.Millis(&s.RequestTimeout, "request-timeout", defaultTimeout, "How long to wait for the answer to each later call, in ms; 1000 at least.").Lenient()
	d.Seconds(&s.ResetInterval, "reset-connection-interval", 0, "The age in seconds at which the connection is made anew, for load balancers in between; 0 is never.").AtLeast(0)
	conf.Choice(d, &s.Compression, "compression-type", none, "Whether to compress, which must be the same on both ends.", none, deflate).Lenient()
	d.Int(&s.Level, "compression-level", 6, "How hard to compress, 0 (not at all) to 9.")
	d.Bool(&s.InsideTLS, "compress-inside-tls", false, "With ssl and compression: compress first and encrypt then, as Flume 1.9 and older do; false is the order of 1.10 and 1.11.")
	d.String(&s.IOWorkers, "maxIoWorkers", "", "The most I/O threads; read, and without effect.")
	d.String(&s.ClientType, "client.type", "DEFAULT", "The kind of client; only DEFAULT, which is Avro to one receiver.")
	d.Strings(&s.HostNames, "hosts", "", "Names of receivers whose addresses stand in hosts.NAME; the first is taken instead of hostname and port.")
	d.Rest(&s.Hosts, "hosts.", "The address of a receiver, as host:port.")
	d.Under("", &s.TLS)
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
	if s.Compression == deflate && (s.Level < 0 || s.Level > 9) {
		problems = append(problems, conf.At("compression-level", fmt.Errorf("%d is no level of compression (0 to 9)", s.Level)))
	}
	if s.IOWorkers != "" {
		problems = append(problems, conf.Warn("maxIoWorkers", errors.New("has no effect, as in Flume 1.10 and later")))
	}
	if err := s.checkClient(); err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, s.checkHosts())
	if addr, err := netip.ParseAddr(strings.Trim(s.Hostname, "[]")); err == nil && addr.IsUnspecified() {
		key := "hostname"
		if len(s.HostNames) > 0 {
			key = "hosts." + s.HostNames[0]
		}
		problems = append(problems, conf.Warn(key, fmt.Errorf("%s is no address of a receiver: connections to it arrive at this machine itself; name the machine of the receiver", s.Hostname)))
	}
	return errors.Join(problems...)
}

func (s *Settings) checkClient() error {
	way := ""
	switch strings.ToUpper(s.ClientType) {
	case "", "DEFAULT":
		return nil
	case "DEFAULT_FAILOVER", "DEFAULT_LOADBALANCE":
		way = "make one avro sink for each host, all with the same channel; they share its events"
	case "THRIFT":
		way = "use a sink of type thrift, or an avro source on the receiver"
	default:
		way = "a Java class cannot be run; use DEFAULT, or keep this hop in Flume"
	}
	return conf.At("client.type", fmt.Errorf("%s is not there yet: %s", s.ClientType, way))
}

// checkHosts puts the first of hosts in the place of hostname and port.
func (s *Settings) checkHosts() error {
	if len(s.HostNames) == 0 {
		return nil
	}
	v, ok := s.Hosts.Get(s.HostNames[0])
	if !ok {
		return conf.At("hosts", fmt.Errorf("names %q, and hosts.%s is not set", s.HostNames[0], s.HostNames[0]))
	}
	host, port, err := net.SplitHostPort(v.Text)
	if err == nil {
		s.Port, err = strconv.Atoi(port)
	}
	if err != nil {
		return conf.At("hosts."+s.HostNames[0], fmt.Errorf("%q is not host:port", v.Text))
	}
	s.Hostname = host
	if len(s.HostNames) > 1 {
		return conf.Warn("hosts", fmt.Errorf("names %d receivers; only the first, %s, is used", len(s.HostNames), v.Text))
	}
	return nil
}

// address is what to dial.
func (s *Settings) address() string {
	return net.JoinHostPort(strings.Trim(s.Hostname, "[]"), strconv.Itoa(s.Port))
}

// Destinations is the receiver, whatever the headers.
func (s *Settings) Destinations(flume.Known) []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("avro://" + s.address())}
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	config, err := s.TLS.Config(strings.Trim(s.Hostname, "[]"))
	if err != nil {
		return nil, err
	}
	created, failed, closed := env.Counter("ConnectionCreatedCount"), env.Counter("ConnectionFailedCount"), env.Counter("ConnectionClosedCount")
	address := s.address()
	c, err := client.Open(client.Options{
		Address: address, BatchSize: s.BatchSize, ConnectTimeout: s.ConnectTimeout, RequestTimeout: s.RequestTimeout,
		TLS: config, Deflate: s.Compression == deflate, Level: s.Level, CompressInsideTLS: s.InsideTLS, MaxAge: s.ResetInterval,
		Observe: func(change client.Change) {
			switch change {
			case client.Connected:
				created.Add(1)
				env.Log.Debug("Connected", "to", address)
			case client.NotConnected:
				failed.Add(1)
			case client.Closed:
				closed.Add(1)
				env.Log.Debug("Disconnected", "from", address)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return &sink{client: c, limits: flume.Limits{Events: s.BatchSize, Bytes: mostBytes}}, nil
}

type sink struct {
	client *client.Client
	limits flume.Limits
}

// Deliver is one call, for b is within Limits.
func (k *sink) Deliver(ctx context.Context, b flume.Batch) error { return k.client.AppendBatch(ctx, b) }

func (k *sink) Limits() flume.Limits { return k.limits }

func (k *sink) Close() error { return k.client.Close() }

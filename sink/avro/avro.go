// Package avro is the Avro sink: it sends events to the Avro source of another agent, of Flume or of Sluice.
//
//	Deliver ─▶ one appendBatch of batch-size events at most ─▶ OK: delivered
//	                                                           anything else: none is; the agent delivers again
//
// The connection is made by the first Deliver and again after a failure, so that the agent starts while its receiver is
// away. When a call times out nobody knows whether the receiver has stored it; it is sent again.
//
// With client.type = default_failover or default_loadbalance it sends to all of hosts, as the clients of these names do:
// one after the other, or in turn. A sink group of several sinks does the same and shows each of them in the metrics.
package avro

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/receiver"
	"github.com/sluice-io/sluice/internal/rpcproperties"
	"github.com/sluice-io/sluice/internal/tls"
)

// Kind is the Avro sink.
var Kind = flume.Define[Settings, flume.Sink]("avro", "org.apache.flume.sink.AvroSink",
	"Sends events to the Avro source of another agent.", open)

// Settings of the Avro sink.
type Settings struct {
	Receiver    receiver.Settings
	Compression compression
	Level       int
	InsideTLS   bool
	IOWorkers   string
	ClientType  string
	Several     rpcproperties.Several
	TLS         tls.Client
}

type compression string

const (
	none    compression = "none"
	deflate compression = "deflate"
)

// mostBytes is the most of one call: what any receiver can be expected to hold.
const mostBytes = 32 << 20

// Declare declares Flume's settings and two of ours, compress-inside-tls and verify-hostname.
func (s *Settings) Declare(d *conf.Decl) {
	s.Receiver.Connecting, s.Receiver.Requesting = "TCP, TLS and the answer to the first call", "the answer to each later call"
	s.Receiver.Several = func() bool { return s.kind() == rpcproperties.Failover || s.kind() == rpcproperties.LoadBalance }
	d.Under("", &s.Receiver)
	conf.Choice(d, &s.Compression, "compression-type", none, "Whether to compress, which must be the same on both ends.", none, deflate).Lenient()
	d.Int(&s.Level, "compression-level", 6, "How hard to compress, 0 (not at all) to 9.")
	d.Bool(&s.InsideTLS, "compress-inside-tls", false, "With ssl and compression: compress first and encrypt then, as Flume 1.9 and older do; false is the order of 1.10 and 1.11.")
	d.String(&s.IOWorkers, "maxIoWorkers", "", "The most I/O threads; read, and without effect.")
	d.String(&s.ClientType, "client.type", "DEFAULT", "The kind of client: DEFAULT sends to one receiver, DEFAULT_FAILOVER and DEFAULT_LOADBALANCE to all of hosts.")
	d.Under("", &s.Several)
	d.Under("", &s.TLS)
	d.Check(s.check)
}

func (s *Settings) check() error {
	var problems []error
	if s.Compression == deflate && (s.Level < 0 || s.Level > 9) {
		problems = append(problems, conf.At("compression-level", fmt.Errorf("%d is no level of compression (0 to 9)", s.Level)))
	}
	if s.IOWorkers != "" {
		problems = append(problems, conf.Warn("maxIoWorkers", errors.New("has no effect, as in Flume 1.10 and later")))
	}
	return errors.Join(append(problems, s.checkClient())...)
}

// kind is the client.type, which Flume takes in any case.
func (s *Settings) kind() rpcproperties.Kind {
	if s.ClientType == "" {
		return rpcproperties.Default
	}
	return rpcproperties.Kind(strings.ToLower(s.ClientType))
}

func (s *Settings) checkClient() error {
	way := ""
	switch s.kind() {
	case rpcproperties.Default, rpcproperties.Failover:
		return nil
	case rpcproperties.LoadBalance:
		if len(s.Receiver.Addresses()) > 1 {
			return nil
		}
		return conf.At("client.type", errors.New("DEFAULT_LOADBALANCE needs two receivers at least: name them in hosts, and their addresses in hosts.NAME"))
	case rpcproperties.Thrift:
		way = "use a sink of type thrift, or an avro source on the receiver"
	default:
		way = "a Java class cannot be run; use DEFAULT, or keep this hop in Flume"
	}
	return conf.At("client.type", fmt.Errorf("%s is no client of an avro sink: %s", s.ClientType, way))
}

// Destinations are the receivers, whatever the headers.
func (s *Settings) Destinations(flume.Known) []flume.Endpoint {
	var all []flume.Endpoint
	for _, address := range s.Receiver.Addresses() {
		all = append(all, flume.Endpoint("avro://"+address))
	}
	return all
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	to := &s.Receiver
	var receivers []client.Options
	for _, address := range to.Addresses() {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("opening a client: %w", err)
		}
		config, err := s.TLS.Config(host)
		if err != nil {
			return nil, err
		}
		receivers = append(receivers, client.Options{
			Address: address, BatchSize: to.BatchSize, ConnectTimeout: to.ConnectTimeout, RequestTimeout: to.RequestTimeout,
			TLS: config, Deflate: s.Compression == deflate, Level: s.Level, CompressInsideTLS: s.InsideTLS,
			MaxAge: to.ResetInterval, Observe: to.Observe(env, address),
		})
	}
	c, err := s.connect(receivers)
	if err != nil {
		return nil, err
	}
	return &sink{client: c, limits: flume.Limits{Events: to.BatchSize, Bytes: mostBytes}}, nil
}

// connect makes the client of that type.
func (s *Settings) connect(receivers []client.Options) (client.Sender, error) {
	switch s.kind() {
	case rpcproperties.Failover:
		return client.OpenFailover(s.Several.MaxAttempts, receivers...)
	case rpcproperties.LoadBalance:
		return client.OpenLoadBalancer(client.Balance{Order: s.Several.Selector, Backoff: s.Several.Backoff, MaxBackoff: s.Several.MaxBackoff}, receivers...)
	case rpcproperties.Default, rpcproperties.Thrift:
	}
	return client.Open(receivers[0])
}

type sink struct {
	client client.Sender
	limits flume.Limits
}

// Deliver is one call to a receiver, for b is within Limits: it is delivered whole or not at all.
func (k *sink) Deliver(ctx context.Context, b flume.Batch) error { return k.client.AppendBatch(ctx, b) }

func (k *sink) Limits() flume.Limits { return k.limits }

func (k *sink) Close() error { return k.client.Close() }

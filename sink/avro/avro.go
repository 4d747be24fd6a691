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
	"strings"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/receiver"
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
	d.Under("", &s.Receiver)
	conf.Choice(d, &s.Compression, "compression-type", none, "Whether to compress, which must be the same on both ends.", none, deflate).Lenient()
	d.Int(&s.Level, "compression-level", 6, "How hard to compress, 0 (not at all) to 9.")
	d.Bool(&s.InsideTLS, "compress-inside-tls", false, "With ssl and compression: compress first and encrypt then, as Flume 1.9 and older do; false is the order of 1.10 and 1.11.")
	d.String(&s.IOWorkers, "maxIoWorkers", "", "The most I/O threads; read, and without effect.")
	d.String(&s.ClientType, "client.type", "DEFAULT", "The kind of client; only DEFAULT, which is Avro to one receiver.")
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

// Destinations is the receiver, whatever the headers.
func (s *Settings) Destinations(flume.Known) []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("avro://" + s.Receiver.Address())}
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	config, err := s.TLS.Config(s.Receiver.Host())
	if err != nil {
		return nil, err
	}
	to := &s.Receiver
	c, err := client.Open(client.Options{
		Address: to.Address(), BatchSize: to.BatchSize, ConnectTimeout: to.ConnectTimeout, RequestTimeout: to.RequestTimeout,
		TLS: config, Deflate: s.Compression == deflate, Level: s.Level, CompressInsideTLS: s.InsideTLS,
		MaxAge: to.ResetInterval, Observe: to.Observe(env),
	})
	if err != nil {
		return nil, err
	}
	return &sink{client: c, limits: flume.Limits{Events: to.BatchSize, Bytes: mostBytes}}, nil
}

type sink struct {
	client *client.Client
	limits flume.Limits
}

// Deliver is one call, for b is within Limits.
func (k *sink) Deliver(ctx context.Context, b flume.Batch) error { return k.client.AppendBatch(ctx, b) }

func (k *sink) Limits() flume.Limits { return k.limits }

func (k *sink) Close() error { return k.client.Close() }

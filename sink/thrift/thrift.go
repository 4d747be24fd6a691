// Package thrift is the Thrift sink: it sends events to the Thrift source of another agent, of Flume or of Sluice.
//
//	Deliver ─▶ appendBatch of batch-size events and max-frame-size bytes at most ─▶ OK: delivered
//	                                                                                anything else: offered again
//
// The connection is made by the first Deliver and again after a failure, so that the agent starts while its receiver is
// away. When a call times out nobody knows whether the receiver has stored it; it is sent again. A batch that takes more
// than one call is sent up to the first that fails; what was answered with OK is not sent again. An event that does not
// fit a call even alone would only ever break the connection, so it goes to the dead letters.
package thrift

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/receiver"
	"github.com/sluice-io/sluice/internal/thriftrpc"
	"github.com/sluice-io/sluice/internal/tls"
)

// Kind is the Thrift sink.
var Kind = flume.Define[Settings, flume.Sink]("thrift", "org.apache.flume.sink.ThriftSink",
	"Sends events to the Thrift source of another agent.", open)

// Settings of the Thrift sink.
type Settings struct {
	Receiver   receiver.Settings
	Protocol   thriftrpc.Protocol
	Kerberos   thriftrpc.Kerberos
	MaxFrame   int
	ClientType string
	MaxConns   string
	TLS        tls.Client
}

// Declare declares Flume's settings and two of ours, max-frame-size and verify-hostname.
func (s *Settings) Declare(d *conf.Decl) {
	s.Receiver.Connecting, s.Receiver.Requesting = "TCP and TLS (Flume's sink waits for request-timeout instead)", "the answer to a call"
	d.Under("", &s.Receiver)
	thriftrpc.DeclareProtocol(d, &s.Protocol).Lenient()
	d.Int(&s.MaxFrame, "max-frame-size", thriftrpc.MaxFrame, "The most bytes of one call, which the receiver must take; Flume's source takes no more than the default. An event that alone is larger goes to the dead letters.").AtLeast(1 << 10)
	d.String(&s.ClientType, "client.type", "THRIFT", "The kind of client; only THRIFT, as in Flume.")
	d.String(&s.MaxConns, "maxConnections", "1", "The most connections; only 1, as in Flume.")
	d.Under("", &s.TLS)
	s.Kerberos.Keys = []string{"client-principal", "client-keytab", "server-principal"}
	d.Under("", &s.Kerberos)
	d.Check(s.check)
}

func (s *Settings) check() error {
	var problems []error
	if !strings.EqualFold(s.ClientType, "THRIFT") {
		problems = append(problems, conf.Warn("client.type", fmt.Errorf("%s has no effect: a Thrift sink has a Thrift client, as in Flume", s.ClientType)))
	}
	if s.MaxConns != "1" {
		problems = append(problems, conf.Warn("maxConnections", errors.New("has no effect: a sink has one connection, as in Flume")))
	}
	return errors.Join(problems...)
}

// Destinations is the receiver, whatever the headers.
func (s *Settings) Destinations(flume.Known) []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("thrift://" + s.Receiver.Address())}
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	config, err := s.TLS.Config(s.Receiver.Host())
	if err != nil {
		return nil, err
	}
	protocol := client.ThriftCompact
	if s.Protocol == thriftrpc.Binary {
		protocol = client.ThriftBinary
	}
	to := &s.Receiver
	c, err := client.Open(client.Options{
		Address: to.Address(), Protocol: protocol, BatchSize: to.BatchSize, ConnectTimeout: to.ConnectTimeout, RequestTimeout: to.RequestTimeout,
		MaxCall: s.MaxFrame, TLS: config, MaxAge: to.ResetInterval, Observe: to.Observe(env, to.Address()),
	})
	if err != nil {
		return nil, err
	}
	return &sink{client: c, limits: flume.Limits{Events: to.BatchSize, Bytes: s.MaxFrame}}, nil
}

type sink struct {
	client *client.Client
	limits flume.Limits
}

// Deliver is one call nearly always, for b is within Limits, which count bodies and headers alone.
func (k *sink) Deliver(ctx context.Context, b flume.Batch) error {
	var rejected []flume.Rejected
	for at := 0; ; {
		err := k.client.AppendBatch(ctx, b[at:])
		var part *client.BatchError
		if errors.As(err, &part) {
			at += part.Delivered
		}
		switch {
		case err == nil && rejected == nil:
			return nil
		case err == nil:
			return &flume.PartialError{Rejected: rejected}
		case errors.Is(err, client.ErrTooLarge):
			rejected = append(rejected, flume.Rejected{Index: at, Err: fmt.Errorf("%w (max-frame-size)", cause(err))})
			at++
		case at == 0:
			return err
		default:
			pending := make([]int, len(b)-at)
			for i := range pending {
				pending[i] = at + i
			}
			return &flume.PartialError{Rejected: rejected, Pending: pending, InOrder: true, Err: cause(err)}
		}
	}
}

// cause is what went wrong with the call that failed.
func cause(err error) error {
	var part *client.BatchError
	if errors.As(err, &part) {
		return part.Err
	}
	return err
}

func (k *sink) Limits() flume.Limits { return k.limits }

func (k *sink) Close() error { return k.client.Close() }

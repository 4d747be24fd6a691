package client

import (
	"fmt"
	"net"

	"github.com/sluice-io/sluice/internal/rpcproperties"
	"github.com/sluice-io/sluice/internal/thriftrpc"
)

// FromProperties makes a client of Flume's properties, as Flume's own programs have them:
//
//	client.type = default_failover        default, default_failover, default_loadbalance, thrift
//	hosts = h1 h2
//	hosts.h1 = collector1.example:41414
//	hosts.h2 = collector2.example:41414
//
// warn, if not nil, is told what is odd: a property that is not known, or a value of which the default is taken.
func FromProperties(properties map[string]string, warn func(string)) (Sender, error) {
	s, odd, err := rpcproperties.Read(properties)
	if warn != nil {
		for _, text := range odd {
			warn(text)
		}
	}
	if err != nil {
		return nil, err
	}
	receivers := make([]Options, len(s.Addresses))
	for i, address := range s.Addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("opening a client: %w", err)
		}
		config, err := s.TLS.Config(host)
		if err != nil {
			return nil, fmt.Errorf("opening a client: %w", err)
		}
		receivers[i] = Options{
			Address: address, BatchSize: s.BatchSize, ConnectTimeout: s.ConnectTimeout, RequestTimeout: s.RequestTimeout,
			TLS: config, Deflate: s.Deflate, Level: s.Level, CompressInsideTLS: s.InsideTLS,
		}
		if s.Kind == rpcproperties.Thrift {
			receivers[i].Protocol = ThriftCompact
			if s.Protocol == thriftrpc.Binary {
				receivers[i].Protocol = ThriftBinary
			}
		}
	}
	switch s.Kind {
	case rpcproperties.Failover:
		return OpenFailover(s.Several.MaxAttempts, receivers...)
	case rpcproperties.LoadBalance:
		return OpenLoadBalancer(Balance{Order: s.Several.Selector, Backoff: s.Several.Backoff, MaxBackoff: s.Several.MaxBackoff}, receivers...)
	case rpcproperties.Default, rpcproperties.Thrift:
	}
	return Open(receivers[0])
}

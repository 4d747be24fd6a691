// Package rpcproperties reads what Flume's RPC clients are told in a properties file or map: hosts, client.type and the
// rest. Package client makes clients of it.
package rpcproperties

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/thriftrpc"
	"github.com/sluice-io/sluice/internal/tls"
	"github.com/sluice-io/sluice/internal/turns"
)

// A Kind is a client.type of Flume's.
type Kind string

// The kinds of clients.
const (
	Default     Kind = "default"
	Failover    Kind = "default_failover"
	LoadBalance Kind = "default_loadbalance"
	Thrift      Kind = "thrift"
)

// Settings are the properties of a client.
type Settings struct {
	Kind           Kind
	Addresses      []string // of hosts, in their order; one alone for Default and Thrift
	BatchSize      int
	ConnectTimeout time.Duration
	RequestTimeout time.Duration
	Deflate        bool
	Level          int
	InsideTLS      bool
	TLS            tls.Client
	Protocol       thriftrpc.Protocol
	Several        Several

	names       []string
	hosts       conf.Values
	typ         string
	compression compression
	unread      string
	connections int
	kerberos    thriftrpc.Kerberos
}

// Several are the properties of clients that know more than one receiver. The Avro sink has them too.
type Several struct {
	MaxAttempts int // 0: as many as there are hosts
	Selector    turns.Order
	Backoff     bool
	MaxBackoff  time.Duration // 0: the usual one
}

// Declare declares them.
func (s *Several) Declare(d *conf.Decl) {
	d.Int(&s.MaxAttempts, "max-attempts", 0, "With client.type = default_failover: how many receivers a batch is sent to before it fails; 0 is as many as there are hosts.").AtLeast(0).Lenient()
	conf.Choice(d, &s.Selector, "host-selector", turns.RoundRobin, "With client.type = default_loadbalance: who is next, each receiver in its turn or one by chance.", turns.RoundRobin, turns.Random)
	d.Bool(&s.Backoff, "backoff", false, "With client.type = default_loadbalance: whether a receiver that fails is left out for a while; it begins with 2 s and doubles with each failure.")
	d.Millis(&s.MaxBackoff, "maxBackoff", 0, "With backoff: the longest time in ms for which a receiver is left out; 0 is 30000.").AtLeast(0)
}

type compression string

const (
	none    compression = "none"
	deflate compression = "deflate"
)

const usualTimeout = 20 * time.Second

// Declare declares Flume's properties, and compress-inside-tls and verify-hostname of ours.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.typ, "client.type", string(Default), "The kind of client: default, default_failover, default_loadbalance or thrift, in any case.")
	d.Strings(&s.names, "hosts", "", "Names of receivers, separated by blanks, whose addresses stand in hosts.NAME.").Required()
	d.Rest(&s.hosts, "hosts.", "The address of a receiver, as host:port; an IPv6 address stands in brackets.")
	d.Int(&s.BatchSize, "batch-size", 100, "The most events of one call.").DefaultBelow(1).Lenient()
	d.Millis(&s.ConnectTimeout, "connect-timeout", usualTimeout, "How long to wait for TCP, TLS and with Avro the answer to the first call, in ms; 1000 at least.").DefaultBelow(1000).Lenient()
	d.Millis(&s.RequestTimeout, "request-timeout", usualTimeout, "How long to wait for the answer to each other call, in ms; 1000 at least.").DefaultBelow(1000).Lenient()
	conf.Choice(d, &s.compression, "compression-type", none, "Whether to compress, which must be the same on both ends; Avro only.", none, deflate).Lenient()
	d.Int(&s.Level, "compression-level", 6, "How hard to compress, 0 (not at all) to 9.")
	d.Bool(&s.InsideTLS, "compress-inside-tls", false, "With ssl and compression: compress first and encrypt then, as Flume 1.9 and older do.")
	d.Under("", &s.TLS)
	d.String(&s.unread, "maxIoWorkers", "", "The most I/O threads; read, and without effect.")
	thriftrpc.DeclareProtocol(d, &s.Protocol).Lenient()
	d.Int(&s.connections, "maxConnections", 5, "The most connections of a Thrift client; read, and without effect: there is one.").Lenient()
	s.kerberos.Keys = []string{"client-principal", "client-keytab", "server-principal"}
	d.Under("", &s.kerberos)
	d.Under("", &s.Several)
	d.Check(s.check)
}

func (s *Settings) check() error {
	s.Kind, s.Deflate = Kind(strings.ToLower(s.typ)), s.compression == deflate
	switch s.Kind {
	case Default, Failover, LoadBalance, Thrift:
	default:
		return conf.At("client.type", fmt.Errorf("%q is not one of default, default_failover, default_loadbalance, thrift; a Java class cannot be run", s.typ))
	}
	if s.Deflate && (s.Level < 0 || s.Level > 9) {
		return conf.At("compression-level", fmt.Errorf("%d is no level of compression (0 to 9)", s.Level))
	}
	var odd []error
	if s.unread != "" {
		odd = append(odd, conf.Warn("maxIoWorkers", errors.New("has no effect, as in Flume 1.10 and later")))
	}
	if s.Deflate && s.Kind == Thrift {
		odd = append(odd, conf.Warn("compression-type", errors.New("has no effect: only Avro is compressed, as in Flume")))
		s.Deflate = false
	}
	return errors.Join(append(odd, s.resolve())...)
}

// resolve turns the names of hosts into addresses.
func (s *Settings) resolve() error {
	s.Addresses = nil
	var odd []error
	for _, name := range s.names {
		v, ok := s.hosts.Get(name)
		if !ok {
			missing := fmt.Errorf("names %q, and hosts.%s is not set", name, name)
			if s.Kind == Default {
				return conf.At("hosts", missing)
			}
			odd = append(odd, conf.Warn("hosts", fmt.Errorf("%w; it is left out", missing)))
			continue
		}
		address := strings.TrimSpace(v.Text)
		if _, _, err := net.SplitHostPort(address); err != nil {
			return conf.At("hosts."+name, fmt.Errorf("%q is not host:port", v.Text))
		}
		s.Addresses = append(s.Addresses, address)
	}
	switch single := s.Kind == Default || s.Kind == Thrift; {
	case len(s.Addresses) == 0:
		return conf.At("hosts", errors.New("names no receiver that has an address"))
	case s.Kind == LoadBalance && len(s.Addresses) < 2:
		return conf.At("hosts", errors.New("names one receiver; default_loadbalance needs two at least"))
	case single && len(s.Addresses) > 1:
		odd = append(odd, conf.Warn("hosts", fmt.Errorf("names %d receivers; only the first, %s, is used; client.type = default_failover uses them all", len(s.Addresses), s.Addresses[0])))
		s.Addresses = s.Addresses[:1]
	}
	return errors.Join(odd...)
}

// Read reads properties and returns what is odd about them, a sentence each. Key and trust stores that are not named come
// from Flume's environment variables.
func Read(properties map[string]string) (s *Settings, odd []string, err error) {
	var values conf.Values
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		if text := strings.TrimSpace(properties[key]); text != "" {
			values = append(values, conf.Value{Key: key, Text: text})
		}
	}
	section := conf.NewSection("", "clients", "", "", conf.Pos{}, values)
	section.Env = os.LookupEnv
	s = new(Settings)
	_, problems := conf.Bind(s, section)
	var fatal []error
	for _, p := range problems {
		if p.Severity == conf.Fatal {
			fatal = append(fatal, errors.New(p.String()))
		} else {
			odd = append(odd, p.String())
		}
	}
	if len(fatal) > 0 {
		return nil, odd, fmt.Errorf("reading the client's properties: %w", errors.Join(fatal...))
	}
	return s, odd, nil
}

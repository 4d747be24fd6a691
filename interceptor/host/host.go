// Package host is the interceptor that gives every event the agent's own address or name, in the header host.
//
// The value is found once, when the interceptor opens, as Java does it: the address of the local host name (an IPv4
// one where there is one) or, with useIP = false, the name that this address has. A name counts only if it leads back
// to the address; else the address is taken. Where the local host name has no address the header is never set, and that
// is said at WARN.
package host

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the host interceptor.
var Kind = flume.Define[Settings, flume.Interceptor]("host", "org.apache.flume.interceptor.HostInterceptor$Builder",
	"Gives every event a header with the address or name of the agent's host.", open)

// Settings are what a host interceptor can be told.
type Settings struct {
	UseIP            bool
	Header           string
	PreserveExisting bool
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Bool(&s.UseIP, "useIP", true, "Whether the value is the address of the host; its full name otherwise.")
	d.String(&s.Header, "hostHeader", "host", "The name of the header.")
	d.Bool(&s.PreserveExisting, "preserveExisting", false, "Whether an event that has the header already keeps its value.")
}

// Trace says what becomes of the headers: the address is not known before.
func (s *Settings) Trace(k flume.Known) flume.Known {
	if s.PreserveExisting {
		return k
	}
	k = maps.Clone(k)
	delete(k, s.Header)
	return k
}

type interceptor struct {
	settings Settings
	value    string // empty: not known, so no header
}

// patience is how long a name server may take.
const patience = 5 * time.Second

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Interceptor, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	i := &interceptor{settings: *s}
	name, err := os.Hostname()
	if err == nil {
		i.value, err = find(ctx, net.DefaultResolver, name, s.UseIP)
	}
	if err != nil {
		env.Log.Warn("The address of this host is not known; events get no header", "header", s.Header, "err", err)
	}
	return i, nil
}

// names is the part of net.Resolver that is needed.
type names interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// find returns the address of the host called name, or its full name.
func find(ctx context.Context, dns names, name string, useIP bool) (string, error) {
	addresses, err := dns.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return "", fmt.Errorf("looking up the local host name %s: %w", name, err)
	}
	if len(addresses) == 0 {
		return "", fmt.Errorf("looking up the local host name %s: it has no address", name)
	}
	address := addresses[0]
	if i := slices.IndexFunc(addresses, func(a netip.Addr) bool { return a.Unmap().Is4() }); i >= 0 {
		address = addresses[i]
	}
	address = address.Unmap()
	if useIP {
		return address.String(), nil
	}
	full, err := dns.LookupAddr(ctx, address.String())
	if err != nil || len(full) == 0 {
		return address.String(), nil // an address without a name stands for itself, as in Java
	}
	back, err := dns.LookupNetIP(ctx, "ip", full[0])
	if err != nil || !slices.ContainsFunc(back, func(a netip.Addr) bool { return a.Unmap() == address }) {
		return address.String(), nil // nor does a name that belongs to another
	}
	return strings.TrimSuffix(full[0], "."), nil
}

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	if i.value != "" {
		b.SetHeader(i.settings.Header, i.value, i.settings.PreserveExisting)
	}
	return b, nil, nil
}

func (i *interceptor) Close() error { return nil }

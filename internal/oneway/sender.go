package oneway

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Sender names the headers that say where an event came from.
type Sender struct {
	IP, Host string // names of the headers; empty: not wanted
	Address  string // of the header with address and port, in Java's form "/127.0.0.1:514"
}

// Declare declares clientIPHeader and clientHostnameHeader.
func (s *Sender) Declare(d *conf.Decl) {
	d.String(&s.IP, "clientIPHeader", "", "A header for the IP address of the sender; empty: none. It replaces a header of the message that has the same name.")
	d.String(&s.Host, "clientHostnameHeader", "", "A header for the name of the sender, looked up from its address, which takes time; its address where it has no name. Empty: none.")
}

// Senders makes the headers of senders. It may be used by many goroutines.
type Senders struct {
	Sender
	mu    sync.Mutex
	names map[netip.Addr]name
}

type name struct {
	text  string
	until time.Time
}

const (
	mostNames  = 4096
	nameAge    = 10 * time.Minute
	lookupTime = 2 * time.Second
)

// Headers are those of the events of a sender.
func (s *Senders) Headers(ctx context.Context, from netip.AddrPort) flume.Headers {
	var h flume.Headers
	ip := from.Addr().Unmap()
	if s.IP != "" {
		h.Set(s.IP, java(ip))
	}
	if s.Host != "" {
		h.Set(s.Host, s.lookup(ctx, ip))
	}
	if s.Address != "" {
		text := java(ip)
		if ip.Is6() {
			text = "[" + text + "]"
		}
		h.Set(s.Address, "/"+text+":"+strconv.Itoa(int(from.Port())))
	}
	return h
}

// Of are the headers of the events of a connection.
func (s *Senders) Of(ctx context.Context, from net.Addr) flume.Headers {
	tcp, ok := from.(*net.TCPAddr)
	if !ok {
		return nil
	}
	return s.Headers(ctx, tcp.AddrPort())
}

// lookup finds the name of an address; it is remembered for a while.
func (s *Senders) lookup(ctx context.Context, ip netip.Addr) string {
	now := time.Now()
	s.mu.Lock()
	known, ok := s.names[ip]
	s.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.text
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	text := java(ip)
	if names, err := net.DefaultResolver.LookupAddr(ctx, ip.String()); err == nil && len(names) > 0 {
		text = strings.TrimSuffix(names[0], ".")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil || len(s.names) >= mostNames {
		s.names = map[netip.Addr]name{}
	}
	s.names[ip] = name{text, now.Add(nameAge)}
	return text
}

// java is an address as Java writes it: of IPv6 all eight groups.
func java(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	b := ip.As16()
	groups := make([]string, 0, len(b)/2)
	for i := 0; i < len(b); i += 2 {
		groups = append(groups, strconv.FormatUint(uint64(b[i])<<8|uint64(b[i+1]), 16))
	}
	text := strings.Join(groups, ":")
	if zone := ip.Zone(); zone != "" {
		text += "%" + zone
	}
	return text
}

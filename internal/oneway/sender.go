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
	d.String(&s.Host, "clientHostnameHeader", "", "A header for the name of the sender, looked up from its address, which takes time; its address where it has no name, and over UDP as long as a slow name server does not tell. Empty: none.")
}

// Senders makes the headers of senders. It may be used by many goroutines.
type Senders struct {
	Sender
	// Aside: one goroutine asks for all senders, so that none may hold it up for long. A name is waited for as long as
	// the name server is quick; events go on with what is known, the name of before or the address. Wait ends it.
	Aside bool

	find    func(ctx context.Context, address string) ([]string, error) // nil: net.DefaultResolver
	mu      sync.Mutex
	names   map[netip.Addr]name
	asking  map[netip.Addr]bool
	slow    bool // the last name that was waited for took too long
	lookups sync.WaitGroup
}

type name struct {
	text  string
	until time.Time
}

const (
	mostNames  = 4096
	nameAge    = 10 * time.Minute
	lookupTime = 2 * time.Second
	mostAsking = 16                     // names that are looked up aside at a time
	quick      = 100 * time.Millisecond // how long a name is waited for that is looked up aside
)

// Wait waits for names that are being looked up, until the context ends that they were asked for with.
func (s *Senders) Wait() { s.lookups.Wait() }

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
	s.mu.Lock()
	known, ok := s.names[ip]
	s.mu.Unlock()
	switch {
	case ok && time.Now().Before(known.until):
		return known.text
	case !s.Aside:
		return s.ask(ctx, ip)
	case !ok:
		known.text = java(ip)
	}
	answer, slow := s.askAside(ctx, ip)
	if answer == nil || slow {
		return known.text
	}
	timer := time.NewTimer(quick)
	defer timer.Stop()
	select {
	case text := <-answer:
		return text
	case <-timer.C:
		s.mu.Lock()
		s.slow = true
		s.mu.Unlock()
		return known.text
	}
}

// askAside has a name looked up, nil if that is under way or too many are. Slow: it is not to be waited for.
func (s *Senders) askAside(ctx context.Context, ip netip.Addr) (answer <-chan string, slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking[ip] || len(s.asking) >= mostAsking || ctx.Err() != nil {
		return nil, s.slow
	}
	if s.asking == nil {
		s.asking = map[netip.Addr]bool{}
	}
	s.asking[ip] = true
	found := make(chan string, 1)
	s.lookups.Go(func() {
		began := time.Now()
		text := s.ask(ctx, ip)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.asking, ip)
		s.slow = time.Since(began) >= quick
		found <- text
	})
	return found, s.slow
}

// ask looks a name up and remembers it.
func (s *Senders) ask(ctx context.Context, ip netip.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	find := s.find
	if find == nil {
		find = net.DefaultResolver.LookupAddr
	}
	text := java(ip)
	if names, err := find(ctx, ip.String()); err == nil && len(names) > 0 {
		text = strings.TrimSuffix(names[0], ".")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil || len(s.names) >= mostNames {
		s.names = map[netip.Addr]name{}
	}
	s.names[ip] = name{text, time.Now().Add(nameAge)}
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

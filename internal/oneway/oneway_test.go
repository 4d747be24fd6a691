package oneway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSenders(t *testing.T) {
	for _, x := range []struct {
		from   string
		sender Sender
		want   string
	}{
		{"10.0.0.1:5", Sender{IP: "ip"}, "[{ip 10.0.0.1}]"},
		{"[::ffff:10.0.0.1]:5", Sender{Address: "a", IP: "ip"}, "[{ip 10.0.0.1} {a /10.0.0.1:5}]"},
		{"[::1]:5", Sender{Address: "a", IP: "ip"}, "[{ip 0:0:0:0:0:0:0:1} {a /[0:0:0:0:0:0:0:1]:5}]"},
		{"[fe80::12%eth0]:5", Sender{IP: "ip"}, "[{ip fe80:0:0:0:0:0:0:12%eth0}]"},
		{"10.0.0.1:5", Sender{IP: "same", Address: "same"}, "[{same /10.0.0.1:5}]"},
		{"10.0.0.1:5", Sender{}, "[]"},
	} {
		s := Senders{Sender: x.sender}
		if got := fmt.Sprint(s.Headers(t.Context(), netip.MustParseAddrPort(x.from))); got != x.want {
			t.Errorf("%s: %s instead of %s", x.from, got, x.want)
		}
	}
	s := Senders{Sender: Sender{Host: "h"}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	from := netip.MustParseAddrPort("192.0.2.1:5")
	if h := s.Headers(ended, from); h[0].Value != "192.0.2.1" {
		t.Errorf("an address without a name is %q", h[0].Value)
	}
	s.names[from.Addr()] = name{"known", time.Now().Add(time.Minute)}
	if h := s.Headers(t.Context(), from); h[0].Value != "known" {
		t.Errorf("a name that is known is looked up: %q", h[0].Value)
	}
	if h := s.Of(t.Context(), &net.UnixAddr{}); h != nil {
		t.Errorf("headers of a socket: %v", h)
	}
}

// A slow name server holds up a port of datagrams once, and not again for each sender.
func TestNamesAreLookedUpAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var takes, asked atomic.Int64
		s := Senders{Sender: Sender{Host: "h"}, Aside: true}
		s.find = func(ctx context.Context, address string) ([]string, error) {
			asked.Add(1)
			time.Sleep(time.Duration(takes.Load()))
			return []string{"name-of-" + address + "."}, ctx.Err()
		}
		host := func(i int) string {
			return s.Headers(ctx, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 5))[0].Value
		}
		if got := host(1); got != "name-of-10.0.0.1" {
			t.Errorf("of a quick name server %q", got)
		}
		takes.Store(int64(time.Second))
		began := time.Now()
		for i := range 50 {
			if got, want := host(100+i), fmt.Sprintf("10.0.0.%d", 100+i); got != want {
				t.Errorf("%q before %s is known", got, want)
			}
		}
		if took := time.Since(began); took != quick {
			t.Errorf("50 senders have held the port up for %s", took)
		}
		if synctest.Wait(); asked.Load() != 1+mostAsking {
			t.Errorf("%d names are asked for at a time", asked.Load()-1)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := host(100); got != "name-of-10.0.0.100" {
			t.Errorf("a name that was looked up is %q", got)
		}
		time.Sleep(nameAge)
		if got := host(100); got != "name-of-10.0.0.100" {
			t.Errorf("while it is looked up again it is %q", got)
		}
		cancel()
		s.Wait()
	})
}

func TestHolds(t *testing.T) {
	for _, x := range []struct {
		host string
		port int
		want string
	}{{"", 514, "[tcp://0.0.0.0:514]"}, {"[::1]", 514, "[tcp://[::1]:514]"}, {"h", 0, "[]"}} {
		if got := fmt.Sprint(Holds("tcp", x.host, x.port)); got != x.want {
			t.Errorf("%s instead of %s", got, x.want)
		}
	}
}

package oneway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// put offers n numbered events to an outlet with batches of at most most; answer says what becomes of each offer.
func put(t *testing.T, ctx context.Context, env *flumetest.Env, most, n int, answer func(offer int, b flume.Batch) error) ([]string, error) {
	t.Helper()
	env.TransactionCapacity = most
	o := NewOutlet(env.Env)
	var taken []string
	offers := 0
	o.Emit = func(_ context.Context, b flume.Batch) error {
		offers++
		if err := answer(offers, b); err != nil {
			clear(b) // it is not the caller's any more
			return err
		}
		taken = append(taken, flumetest.Bodies(b)...)
		return nil
	}
	left, err := o.Put(ctx, n, func(from, to int) flume.Batch { return flumetest.Events(from, to-from) })
	if err != nil {
		o.Lost(left, err)
	}
	return taken, err
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestEventsAreOfferedUntilTheyAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := flumetest.NewEnv()
		began := time.Now()
		taken, err := put(t, t.Context(), env, 4, 10, func(offer int, _ flume.Batch) error {
			if offer > 1 && offer < 30 {
				return fmt.Errorf("putting: %w", flume.ErrFull)
			}
			return nil
		})
		if err != nil || !slices.Equal(taken, numbers(0, 10)) {
			t.Errorf("%q, %v", taken, err)
		}
		if took := time.Since(began); took < time.Minute || took > 4*time.Minute {
			t.Errorf("28 attempts took %s", took)
		}
		// The failure, that it goes on after a minute (and two), and that it is over.
		if n := strings.Count(env.Logged(), "\n"); n < 3 || n > 4 {
			t.Errorf("%d lines of log:\n%s", n, env.Logged())
		}
	})
}

func TestABatchThatIsTooLargeIsDivided(t *testing.T) {
	env := flumetest.NewEnv()
	taken, err := put(t, t.Context(), env, 100, 10, func(_ int, b flume.Batch) error {
		if len(b) > 3 || string(b[0].Body) == "7" {
			return fmt.Errorf("putting: %w", flume.ErrTooLarge)
		}
		return nil
	})
	if want := slices.Concat(numbers(0, 7), numbers(8, 10)); err != nil || !slices.Equal(taken, want) {
		t.Errorf("%q, %v", taken, err)
	}
	if r := env.Rejected(); len(r) != 1 || string(r[0].Event.Body) != "7" || !errors.Is(r[0].Err, flume.ErrTooLarge) {
		t.Errorf("rejected %v", r)
	}
}

func TestWhatIsLostAtTheEndIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := flumetest.NewEnv()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		last := 0
		taken, err := put(t, ctx, env, 4, 10, func(offer int, _ flume.Batch) error {
			if last = offer; offer > 1 {
				return flume.ErrFull
			}
			return nil
		})
		if err == nil || !slices.Equal(taken, numbers(0, 4)) {
			t.Errorf("%q, %v", taken, err)
		}
		if !strings.Contains(env.Logged(), "level=ERROR") || !strings.Contains(env.Logged(), "events=6") {
			t.Error(env.Logged())
		}
		if last < 5 {
			t.Errorf("%d offers", last)
		}
	})
}

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

package host

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, "hostHeader = n") })
}

// zone is a small name server.
type zone struct {
	addresses map[string]string // name to addresses, separated by blanks
	names     map[string]string // address to name
}

func (z zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	text, ok := z.addresses[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	var out []netip.Addr
	for a := range strings.FieldsSeq(text) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	if name, ok := z.names[addr]; ok {
		return []string{name}, nil
	}
	return nil, errors.New("no such address")
}

func TestFind(t *testing.T) {
	z := zone{
		addresses: map[string]string{
			"web1": "fe80::1 ::ffff:10.0.0.1 10.0.0.2", "web1.example.org.": "10.0.0.1", "six": "2001:db8::1", "empty": "",
			"web2": "10.0.0.3", "stolen.example.org.": "10.9.9.9", "web3": "10.0.0.4", "web4": "10.0.0.5",
		},
		names: map[string]string{"10.0.0.1": "web1.example.org.", "10.0.0.3": "stolen.example.org.", "10.0.0.5": "gone.example.org."},
	}
	for _, x := range []struct {
		name    string
		useIP   bool
		want    string
		failing string
	}{
		{"web1", true, "10.0.0.1", ""},
		{"web1", false, "web1.example.org", ""},
		{"six", true, "2001:db8::1", ""},
		{"six", false, "2001:db8::1", ""},
		{"web2", false, "10.0.0.3", ""}, // its name is another's
		{"web3", false, "10.0.0.4", ""}, // it has none
		{"web4", false, "10.0.0.5", ""}, // its name is not known
		{"nobody", true, "", "looking up the local host name nobody: no such host"},
		{"empty", true, "", "looking up the local host name empty: it has no address"},
	} {
		got, err := find(t.Context(), z, x.name, x.useIP)
		if got != x.want || err == nil && x.failing != "" || err != nil && err.Error() != x.failing {
			t.Errorf("%s, useIP %v: %q, %v", x.name, x.useIP, got, err)
		}
	}
}

func TestIntercept(t *testing.T) {
	for _, x := range []struct {
		i    interceptor
		want []string
	}{
		{interceptor{Settings{Header: "host"}, "10.0.0.1"}, []string{"10.0.0.1", "10.0.0.1"}},
		{interceptor{Settings{Header: "host", PreserveExisting: true}, "10.0.0.1"}, []string{"old", "10.0.0.1"}},
		{interceptor{Settings{Header: "host"}, ""}, []string{"old", ""}},
	} {
		b := flumetest.Events(0, 2)
		b[0].Headers.Set("host", "old")
		out, _, err := x.i.Intercept(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range x.want {
			if got, _ := out[i].Headers.Get("host"); got != want {
				t.Errorf("%+v: event %d has %q instead of %q", x.i, i, got, want)
			}
		}
	}
}

// On this machine either the header is set or the log says why not.
func TestOpen(t *testing.T) {
	env := flumetest.NewEnv()
	out, _, err := flumetest.OpenIn(t, env, Kind).Intercept(t.Context(), flumetest.Events(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	value, set := out[0].Headers.Get("host")
	if _, err := netip.ParseAddr(value); set == (err != nil) || set == strings.Contains(env.Logged(), "level=WARN") {
		t.Errorf("host is %q; the log says %q", value, env.Logged())
	}
}

func TestTrace(t *testing.T) {
	in := flume.Known{"host": "1", "topic": "t"}
	for setting, want := range map[string]flume.Known{"preserveExisting = false": {"topic": "t"}, "preserveExisting = true": in} {
		plan, _ := Kind.Bind(flumetest.Section(t, setting))
		if got := plan.Settings.(flume.Tracer).Trace(in); !maps.Equal(got, want) {
			t.Errorf("%s makes %v of %v", setting, got, in)
		}
	}
}

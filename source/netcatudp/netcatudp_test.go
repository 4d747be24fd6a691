package netcatudp

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/oneway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaws(t *testing.T) {
	port := flumetest.FreePort(t, "udp")
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "bind = 127.0.0.1", "port = "+port)
	})
}

func TestLines(t *testing.T) {
	for _, x := range []struct {
		sent     string
		settings []string
		want     string
	}{
		{"hello", nil, `[{[] "hello"}]`},
		{"hello\r\n", nil, `[{[] "hello\r"}]`},
		{"", nil, `[{[] ""}]`},
		{"\n", nil, `[{[] ""}]`},
		{"a\n\nb\xff", nil, `[{[] "a"} {[] ""} {[] "b\xff"}]`},
		{"a\nb", []string{"firstLineOnly = true"}, `[{[] "a"}]`},
		{"a\nb", []string{"remoteAddress = from"}, `[{[{"from" "ME"}] "a"} {[{"from" "ME"}] "b"}]`},
		{strings.Repeat("x", 65_000), nil, `[{[] "` + strings.Repeat("x", 65_000) + `"}]`},
	} {
		r := flumetest.Run(t, Kind, nil, append([]string{"bind = 127.0.0.1", "port = 0"}, x.settings...)...)
		conn, err := net.Dial("udp", r.Source.(*oneway.Datagrams).Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(x.sent)); err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(fmt.Sprintf("%q", r.Await(t, strings.Count(x.want, "}")-strings.Count(x.want, "ME"))), "/"+conn.LocalAddr().String(), "ME")
		if got != x.want {
			t.Errorf("%.20q: %.200s", x.sent, got)
		}
		r.Stop()
	}
}

func TestSettings(t *testing.T) {
	got := flumetest.Problems(t, Kind, nil, "remoteAddressHeader = x").String()
	for _, want := range []string{"port: is required", `remoteAddressHeader: is taken as "remoteAddress"; Flume ignores it`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if h := (&Settings{Bind: "h", Port: 5}).Holds(); len(h) != 1 || h[0] != "udp://h:5" {
		t.Errorf("holds %v", h)
	}
}

// Lines are cut from a datagram without losing anything but newlines.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte("a\n\nb"), false)
	f.Add([]byte(""), true)
	f.Fuzz(func(t *testing.T, p []byte, first bool) {
		r := reader{first: first}
		r.Datagram(p, 0)
		all := strings.Join(flumetest.Bodies(r.Events(0, r.Len(), []flume.Headers{nil})), "\n")
		want := string(p)
		if first {
			want, _, _ = strings.Cut(want, "\n")
		}
		if want != all && want != all+"\n" {
			t.Errorf("%q has become %q", p, all)
		}
	})
}

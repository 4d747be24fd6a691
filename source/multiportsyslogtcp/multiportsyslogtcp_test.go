package multiportsyslogtcp

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// free are ports that nobody has.
func free(t testing.TB, n int) (ports []string) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

func TestLaws(t *testing.T) {
	ports := strings.Join(free(t, 3), " ")
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "host = 127.0.0.1", "ports = "+ports)
	})
}

func start(t testing.TB, answer func(flume.Batch) error, ports []string, settings ...string) *flumetest.Running {
	t.Helper()
	return flumetest.Run(t, Kind, answer, append([]string{"host = 127.0.0.1", "ports = " + strings.Join(ports, " ")}, settings...)...)
}

func dial(t testing.TB, port string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestPortsAndCharsets(t *testing.T) {
	ports := free(t, 2)
	r := start(t, nil, ports, "portHeader = port", "clientIPHeader = ip", "charset.port."+ports[1]+" = ISO-8859-1", "batchSize = 1")
	const message = "<13>1 2026-10-11T22:14:15Z h\xe9 x\xe9\n"
	send(t, dial(t, ports[0]), message)
	r.Await(t, 1)
	send(t, dial(t, ports[1]), message)
	want := "[{[{flume.syslog.status Invalid} {port " + ports[0] + "} {ip 127.0.0.1}] <13>1 2026-10-11T22:14:15Z h\xe9 x\xe9}" +
		" {[{Priority 13} {Facility 1} {Severity 5} {Version 1} {timestamp 1791756855000} {host hé} {port " + ports[1] + "} {ip 127.0.0.1}] x\xe9}]"
	if got := fmt.Sprintf("%s", r.Await(t, 2)); got != want {
		t.Errorf("%s\ninstead of\n%s", got, want)
	}
	flumetest.Until(t, "EventReadFail is 1", func() bool { return r.Count("EventReadFail") == 1 })
}

// A failure that comes again and again counts each bad line once.
func TestAFailingChannel(t *testing.T) {
	offers := 0
	ports := free(t, 1)
	r := start(t, func(flume.Batch) error {
		if offers++; offers < 4 {
			return errors.New("out of room")
		}
		return nil
	}, ports)
	conn := dial(t, ports[0])
	send(t, conn, "bad\n<13>- h x\n")
	conn.Close()
	if got := flumetest.Bodies(r.Await(t, 2)); !slices.Equal(got, []string{"bad", "x"}) {
		t.Errorf("%q", got)
	}
	flumetest.Until(t, "the connection is closed", func() bool { return r.Count("OpenConnectionCount") == 0 })
	if n := r.Count("EventReadFail"); n != 1 {
		t.Errorf("EventReadFail is %d", n)
	}
}

// A port that is taken keeps no other from being served, and is served when it is free.
func TestAPortInUse(t *testing.T) {
	ports := free(t, 2)
	l, err := net.Listen("tcp", "127.0.0.1:"+ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := start(t, nil, ports)
	send(t, dial(t, ports[1]), "<13>- h x\n")
	r.Await(t, 1)
	l.Close()
	flumetest.Until(t, "the port is opened", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+ports[0])
		if err != nil {
			return false
		}
		send(t, conn, "<13>- h y\n")
		conn.Close()
		return true
	})
	r.Await(t, 2)
	if n := strings.Count(r.Logged(), "cannot be opened"); n != 1 || !strings.Contains(r.Logged(), "port "+ports[0]+" is open now") {
		t.Error(r.Logged())
	}
}

func TestNoPort(t *testing.T) {
	ports := free(t, 1)
	l, err := net.Listen("tcp", "127.0.0.1:"+ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = flumetest.TryOpen(t, flumetest.NewEnv(), Kind, "host = 127.0.0.1", "ports = "+ports[0])
	if err == nil || !strings.Contains(err.Error(), "listening on 127.0.0.1:"+ports[0]) {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	for _, x := range []struct {
		settings []string
		want     string
	}{
		{nil, "ports: is required"},
		{[]string{"ports = 514 five"}, `ports: "five" is not a port`},
		{[]string{"ports = 514 65536"}, `ports: "65536" is not a port`},
		{[]string{"ports = 514", "charset.default = EBCDIC"}, `charset.default: "EBCDIC" is not a charset`},
		{[]string{"ports = 514", "charset.port.514 = EBCDIC"}, `charset.port.514: "EBCDIC" is not a charset`},
		{[]string{"ports = 514", "charset.default = UTF-32"}, `charset.default: "UTF-32" is not a charset`},
		{[]string{"ports = 514", "charset.port.515 = UTF-8"}, "charset.port.515: is for a port that is not one of"},
		{[]string{"ports = 514", "readBufferSize = 2000"}, `readBufferSize: is taken as "readBufferBytes"; Flume ignores it`},
		{[]string{"ports = 514", "batchSize = 0"}, "batchSize: 0 is less than 1"},
	} {
		if got := flumetest.Problems(t, Kind, nil, x.settings...).String(); !strings.Contains(got, x.want) {
			t.Errorf("no %q in %s", x.want, got)
		}
	}
	s := &Settings{ports: []port{{number: 514}, {number: 515}}}
	if h := fmt.Sprint(s.Holds()); h != "[tcp://0.0.0.0:514 tcp://0.0.0.0:515]" {
		t.Error(h)
	}
}

package flumetest

import (
	"net"
	"testing"
)

// FreePort is a port of 127.0.0.1 that nobody has at the moment; network is tcp or udp.
func FreePort(t testing.TB, network string) string {
	t.Helper()
	var at net.Addr
	switch network {
	case "tcp":
		l, err := net.Listen(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		at = l.Addr()
	default:
		l, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // nothing has been sent
		at = l.LocalAddr()
	}
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

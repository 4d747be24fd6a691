package escape

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// A Host is what %[localhost], %[IP] and %[FQDN] stand for.
type Host struct{ Name, IP, FQDN string }

func (h Host) value(key string) (string, error) {
	switch strings.ToLower(key) {
	case "localhost":
		return h.Name, nil
	case "ip":
		return h.IP, nil
	case "fqdn":
		return h.FQDN, nil
	}
	return "", fmt.Errorf("%%[%s] is not an escape; there are %%[localhost], %%[IP] and %%[FQDN]", key)
}

// LocalHost looks the host's names up, within a few seconds. What the resolver does not know falls back: the full name
// to the name, the address to 127.0.0.1.
func LocalHost(ctx context.Context) Host {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	h := Host{Name: "localhost", IP: "127.0.0.1"}
	if name, err := os.Hostname(); err == nil {
		h.Name = name
	}
	h.FQDN = h.Name
	addrs, err := net.DefaultResolver.LookupHost(ctx, h.Name)
	if err != nil || len(addrs) == 0 {
		return h
	}
	h.IP = addrs[0]
	if names, err := net.DefaultResolver.LookupAddr(ctx, h.IP); err == nil && len(names) > 0 {
		h.FQDN = strings.TrimSuffix(names[0], ".")
	}
	return h
}

package avrorpc

import (
	"net"
	"strconv"
	"strings"

	"github.com/sluice-io/sluice/flume"
)

// Endpoint names the place where a source listens or a sink sends to, so that both say the same of one place.
func Endpoint(host string, port int) flume.Endpoint {
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		host = "127.0.0.1"
	}
	return flume.Endpoint("avro://" + net.JoinHostPort(host, strconv.Itoa(port)))
}

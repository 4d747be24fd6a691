// Package netcatudp is the source that takes lines of text over UDP: each line of a datagram is one event.
//
//	datagram "hello\n" ─▶ "hello"
//	datagram ""        ─▶ ""
//	datagram "a\nb"    ─▶ "a", "b"      Flume drops what follows the first line; so does firstLineOnly
//
// \r stays in the body. Nothing is answered, bytes are passed on as they are, and datagrams may have 64 KiB. While the
// channels do not take events, datagrams wait in the kernel as far as it has room, and are lost beyond that. Receiving
// and retries: package oneway.
package netcatudp

import (
	"bytes"
	"context"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/oneway"
)

// Kind is the netcatudp source.
var Kind = flume.Define[Settings, flume.Source]("netcatudp", "org.apache.flume.source.NetcatUdpSource",
	"Takes lines of text over UDP, each an event.", open)

// Settings are what a netcatudp source can be told.
type Settings struct {
	Bind   string
	Port   int
	Header string
	First  bool
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Bind, "bind", "", "The address or host name to listen on; empty or 0.0.0.0 is every address of the machine.").Also("host")
	d.Int(&s.Port, "port", 0, "The UDP port to listen on; 0 is any that is free.").AtLeast(0).AtMost(65535).Required()
	d.String(&s.Header, "remoteAddress", "", "A header for the address and port of the sender, such as /127.0.0.1:58159; empty: none.").Also("remoteAddressHeader")
	oneway.DeclareFirst(d, &s.First)
}

// Holds is the address that the source listens on.
func (s *Settings) Holds() []flume.Endpoint { return oneway.Holds("udp", s.Bind, s.Port) }

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	port, err := oneway.ListenDatagrams(ctx, s.Bind, s.Port, "lines of text over UDP", env)
	if err != nil {
		return nil, err
	}
	port.Who.Address = s.Header
	port.Reader = &reader{first: s.First}
	return port, nil
}

// A reader cuts lines.
type reader struct {
	first bool
	lines []line
}

type line struct {
	text   []byte
	sender int
}

// Datagram implements oneway.DatagramReader.
func (r *reader) Datagram(p []byte, sender int) {
	for {
		text, rest, more := bytes.Cut(p, []byte{'\n'})
		r.lines = append(r.lines, line{text, sender})
		if p = rest; !more || r.first || len(p) == 0 {
			return
		}
	}
}

// Len implements oneway.DatagramReader.
func (r *reader) Len() int { return len(r.lines) }

// Clear implements oneway.DatagramReader.
func (r *reader) Clear() { r.lines = r.lines[:0] }

// Events implements oneway.DatagramReader.
func (r *reader) Events(from, to int, senders []flume.Headers) flume.Batch {
	lines := r.lines[from:to]
	size := 0
	for i := range lines {
		size += len(lines[i].text)
	}
	bodies := make([]byte, 0, size)
	headers := make(flume.Headers, 0, len(lines)*len(senders[0]))
	b := make(flume.Batch, len(lines))
	for i := range lines {
		at, of := len(bodies), len(headers)
		bodies = append(bodies, lines[i].text...)
		headers = append(headers, senders[lines[i].sender]...)
		b[i] = flume.Event{Headers: headers[of:len(headers):len(headers)], Body: bodies[at:len(bodies):len(bodies)]}
	}
	return b
}

// Package http is the HTTP source: it takes events that programs post.
//
//	client ─▶ method, authentication ─▶ body, inflated ─▶ handler ─▶ Emit ─▶ 200: every required channel has committed
//	             405, 403, 501, 401       413, 415, 408     400, 500           503: it has not; the client sends again
//
// One request is one Emit, whatever its size, so that it is stored whole or not at all. The path of a request does not count;
// GET and HEAD are taken as POST is, body and all, as in Flume. Three handlers make events of a request:
//
//	JSONHandler   a JSON list of events, as leniently as Flume reads it, or newline-delimited JSON (package eventjson)
//	BLOBHandler   the body as it is, with the parameters of the query as headers
//	BlobHandler   the same, and the header Content-Type: Flume's handler for morphlines
//
// Nothing is waited for for ever. A connection that is idle, a head that is not complete and a body that stops are given
// ServerConnector.idleTimeout. A client is trusted for no length: memory for a body is taken as it arrives, inflated or
// not, out of one budget for all requests (max-memory), and ends at max-request-size. While requests wait for memory, those that
// hold some and are slow to send are refused (package rpc). An idle connection costs some 20 KB, with TLS twice as much.
//
// What a client is told about its own request stands in the answer; the log has each cause once, then once in a while.
//
// When the source stops it answers the requests whose body is there and refuses those that are still being sent.
package http

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/tls"
)

// Kind is the HTTP source.
var Kind = flume.Define[Settings, flume.Source]("http", "org.apache.flume.source.http.HTTPSource",
	"Takes events that programs post over HTTP, as JSON or as they are.", open)

// The handlers of Flume.
const (
	jsonHandler   = "org.apache.flume.source.http.JSONHandler"
	blobHandler   = "org.apache.flume.source.http.BLOBHandler"
	morphlineBlob = "org.apache.flume.sink.solr.morphline.BlobHandler"
)

// format is how the JSONHandler takes a body.
type format string

const (
	byType format = "auto"
	list   format = "json"
	lines  format = "ndjson"
)

// line is what a line of newline-delimited JSON is.
type line string

const (
	eventLine line = "event"
	bodyLine  line = "body"
)

// Settings of the HTTP source.
type Settings struct {
	Bind       string
	Port       int
	Handler    string
	Mandatory  []string
	MaxBlob    int64
	Format     format
	Line       line
	MaxRequest int64
	MaxMemory  int64
	Users      users
	TLS        tls.Server
	Jetty      jetty

	mandatory string
}

// Declare declares Flume's settings and some of ours: the format of the JSON, bounds, authentication.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Bind, "bind", "0.0.0.0", "The address or host name to listen on; 0.0.0.0 is every address of the machine.")
	d.Int(&s.Port, "port", 0, "The TCP port to listen on.").AtLeast(0).AtMost(65535).Required()
	d.String(&s.Handler, "handler", jsonHandler, "The class that makes events of requests: "+jsonHandler+", "+blobHandler+" or "+morphlineBlob+".").Bound(s.checkHandler)
	d.String(&s.mandatory, "handler.mandatoryParameters", "", "BLOBHandler: the names of parameters, separated by commas, that every request must have.")
	d.Int64(&s.MaxBlob, "handler.maxBlobLength", 100_000_000, "BlobHandler: the most bytes of a body; a request with more is answered with 413 (Flume cuts the rest off).").AtLeast(1)
	conf.Choice(d, &s.Format, "handler.format", byType, "JSONHandler: json is a list of events, ndjson an event in each line; auto is ndjson where the Content-Type is application/x-ndjson or the like, and else json. A setting of Sluice's own.", byType, list, lines)
	conf.Choice(d, &s.Line, "handler.lines", eventLine, "JSONHandler: what a line of ndjson is: event, an object with headers and body, or body, the body of an event without headers, whatever it holds. A setting of Sluice's own.", eventLine, bodyLine)
	d.Int64(&s.MaxRequest, "max-request-size", 100_000_000, "The most bytes of a body, also after inflating; a larger one is answered with 413. A setting of Sluice's own.").AtLeast(1).AtMost(1 << 30)
	d.Int64(&s.MaxMemory, "max-memory", 256<<20, "The most bytes that requests hold together while they are received and put into the channels. "+
		"One request, with the events made from it, may hold eleven sixteenths; when others wait, clients that stall or trickle are refused. A setting of Sluice's own.").AtLeast(1 << 20)
	d.Under("", &s.Users)
	d.Check(s.checkMandatory)
	s.TLS.Olds = map[string][]string{"ssl": {"enableSSL"}, "exclude-protocols": {"excludeProtocols"}, "keystore-password": {"keystorePassword"}}
	s.Jetty.settings = s
	d.Under("", &s.Jetty) // before TLS, which checks what comes of it
	d.Under("", &s.TLS)
}

func (s *Settings) checkHandler() error {
	switch s.Handler {
	case jsonHandler, blobHandler, morphlineBlob:
		return nil
	}
	return fmt.Errorf("%q is a Java class, which Sluice cannot run; there are %s, %s and %s. "+
		"Keep this hop in Flume, with an avro sink that sends to an avro source here, or have the clients send JSON", s.Handler, jsonHandler, blobHandler, morphlineBlob)
}

// checkMandatory trims the names and passes over empty ones. Flume does not, and asks for parameters that nobody sends.
func (s *Settings) checkMandatory() error {
	s.Mandatory = nil
	for name := range strings.SplitSeq(s.mandatory, ",") {
		if name = strings.TrimSpace(name); name != "" {
			s.Mandatory = append(s.Mandatory, name)
		}
	}
	if s.mandatory != "" && s.Handler != blobHandler {
		return conf.Warn("handler.mandatoryParameters", fmt.Errorf("has no effect with %s", s.Handler))
	}
	return nil
}

// Origins says nothing of the headers: whoever posts chooses them.
func (s *Settings) Origins(flume.Known) map[flume.Endpoint]flume.Known {
	return map[flume.Endpoint]flume.Known{flume.Endpoint("http://" + rpc.Address(s.Bind, s.Port)): {}}
}

// Holds is the address that the source listens on.
func (s *Settings) Holds() []flume.Endpoint {
	if s.Port == 0 { // any free one
		return nil
	}
	return []flume.Endpoint{flume.Endpoint("tcp://" + rpc.Address(s.Bind, s.Port))}
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	config, err := s.TLS.Config()
	if err != nil {
		return nil, err
	}
	if err := s.Jetty.clients(config); err != nil {
		return nil, err
	}
	if s.Bind == "" {
		return nil, errors.New("listening: bind is empty")
	}
	return listen(ctx, s, config, env)
}

// defaults of Jetty's.
const (
	defaultIdle    = 30 * time.Second
	defaultThreads = 200
	defaultHead    = 8 << 10
)

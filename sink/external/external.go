// Package external is the sink that delivers to a program in any language: each batch is a line of JSON, and so is the
// answer.
//
//	{"id":1,"events":[E,…]}  ──▶ program
//	                         ◀── {"id":1,"ok":true}                                               all is delivered
//	                         ◀── {"id":1,"ok":true,"rejected":[{"index":0,"error":"why"}],        these never can be
//	                                              "pending":[2,3],"error":"why"}                  these not yet
//	                         ◀── {"id":1,"error":"why"}                                           nothing is
//
// Events that are not delivered are offered again, the rejected become dead letters. An answer that cannot be read, or
// none within timeout, ends the program; it is started again, and the batch is offered again: the program may have
// stored it before. At the end its stdin ends; what then does not end by itself gets SIGTERM after stopTimeout.
//
// Package internal/external has the protocol.
package external

import (
	"context"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/external"
)

// Kind is the external sink. Flume has none.
var Kind = unlisted(flume.Define[Settings, flume.Sink]("external", "",
	"Delivers to a program in any language, as lines of JSON.", open))

func unlisted(k flume.Kind[flume.Sink]) flume.Kind[flume.Sink] {
	k.Unlisted = true
	return k
}

// Settings are what an external sink can be told.
type Settings struct {
	Program   external.Settings
	Body      external.Bodies
	BatchSize int
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Under("", &s.Program)
	external.DeclareBodies(d, &s.Body)
	d.BatchSize(&s.BatchSize, "batchSize", 100, "How many events are a batch. What is there goes in one call, so there may be fewer, and more up to the channel's transactionCapacity.").AtLeast(1)
}

type sink struct {
	*external.Caller
	limits flume.Limits
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	c, err := external.Open(&s.Program, s.Body, env)
	if err != nil {
		return nil, err
	}
	return &sink{c, flume.Limits{Bytes: s.Program.MaxLine}}, nil
}

func (s *sink) Limits() flume.Limits { return s.limits }

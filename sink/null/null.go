// Package null is the sink that discards every event. Each logEveryNEvents events it says at INFO how many there were.
package null

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the null sink.
var Kind = flume.Define[Settings, flume.Sink]("null", "org.apache.flume.sink.NullSink", "Discards every event.", open)

// Settings are what a null sink can be told.
type Settings struct {
	BatchSize int
	LogEvery  int
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.BatchSize(&s.BatchSize, "batchSize", 100, "How many events are taken in one transaction; more, where more are there.").AtLeast(1)
	d.Int(&s.LogEvery, "logEveryNEvents", 10000, "After how many events the log says how many there were.").AtLeast(1)
}

type sink struct {
	log   *slog.Logger
	name  string
	every int64
	count int64
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	return &sink{log: env.Log, name: env.Name, every: int64(s.LogEvery)}, nil
}

func (s *sink) Deliver(_ context.Context, b flume.Batch) error {
	next := (s.count/s.every + 1) * s.every
	s.count += int64(len(b))
	for ; next <= s.count; next += s.every {
		s.log.Info(fmt.Sprintf("Null sink %s successful processed %d events.", s.name, next))
	}
	return nil
}

func (s *sink) Limits() flume.Limits { return flume.Limits{} }

func (s *sink) Close() error { return nil }

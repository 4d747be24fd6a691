// Package seq is the source that counts: the body of each event is the next number from 0 on, in decimal. There are no
// headers.
//
// A batch that the channels do not take is offered again, the same numbers, so that none is missing; after a failure
// the source waits, backoffSleepIncrement longer each time up to maxBackoffSleep, and 5 ms at least. When totalEvents
// have been taken it rests. It begins at 0 again whenever it is opened.
package seq

import (
	"context"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/offer"
)

// Kind is the sequence generator source.
var Kind = flume.Define[Settings, flume.Source]("seq", "org.apache.flume.source.SequenceGeneratorSource",
	"Makes events that count from 0, for trying things out.", open)

// Settings are what a sequence generator can be told.
type Settings struct {
	BatchSize        int
	TotalEvents      int64
	BackoffIncrement time.Duration
	MaxBackoff       time.Duration
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.BatchSize(&s.BatchSize, "batchSize", 1, "How many events are put into the channels in one transaction.").AtLeast(1)
	d.Int64(&s.TotalEvents, "totalEvents", math.MaxInt64, "How many events are made in all.")
	d.Millis(&s.BackoffIncrement, "backoffSleepIncrement", time.Second,
		"By how many milliseconds the wait grows with each failure in a row.").AtLeast(0)
	d.Millis(&s.MaxBackoff, "maxBackoffSleep", 5*time.Second, "How many milliseconds the wait after a failure is at most.").AtLeast(0)
}

type source struct {
	settings Settings
	log      *slog.Logger
	offer    *offer.Offer
	closed   context.Context
	close    context.CancelFunc
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	closed, cancel := context.WithCancel(context.Background())
	o := offer.New(env)
	o.Wait = offer.Growing(s.BackoffIncrement, s.MaxBackoff)
	return &source{settings: *s, log: env.Log, offer: o, closed: closed, close: cancel}, nil
}

func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	s.offer.Emit = emit
	for next := int64(0); next < s.settings.TotalEvents; {
		n := min(int64(s.settings.BatchSize), s.settings.TotalEvents-next)
		if ctx.Err() != nil || s.offer.Keep(ctx, offer.Of(int(n), func(from, to int) flume.Batch { return count(next+int64(from), to-from) })) != nil {
			return nil
		}
		next += n
	}
	s.log.Info("All events have been made", "totalEvents", s.settings.TotalEvents)
	<-ctx.Done()
	return nil
}

func (s *source) Close() error {
	s.close()
	return nil
}

// count makes n events from first on; their bodies are cut from one allocation.
func count(first int64, n int) flume.Batch {
	b := make(flume.Batch, n)
	var last [20]byte
	all := make([]byte, 0, n*len(strconv.AppendInt(last[:0], first+int64(n-1), 10)))
	for i := range b {
		from := len(all)
		all = strconv.AppendInt(all, first+int64(i), 10)
		b[i].Body = all[from:len(all):len(all)]
	}
	return b
}

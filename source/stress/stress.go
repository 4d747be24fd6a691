// Package stress is the source that makes events as fast as the channels take them, for measuring: each body is so
// many bytes 0x7F. There are no headers.
//
// A batch that the channels do not take counts as failed and is not offered again; the source waits after it,
// backoffSleepIncrement longer each time in a row up to maxBackoffSleep, and 5 ms at least. maxTotalEvents counts those
// that failed too, maxSuccessfulEvents only those that were taken; at either the source rests. maxEventsPerSecond is a
// pace: what was not made in time is not made up for, beyond one batch.
//
// The counters EventReceivedCount and EventAcceptedCount are those of every source; Flume's has none.
package stress

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Kind is the stress source. Flume has no alias for it.
var Kind = unlisted(flume.Define[Settings, flume.Source]("stress", "org.apache.flume.source.StressSource",
	"Makes events as fast as the channels take them, for measuring.", open))

func unlisted(k flume.Kind[flume.Source]) flume.Kind[flume.Source] {
	k.Unlisted = true
	return k
}

// Settings are what a stress source can be told.
type Settings struct {
	Size             int
	BatchSize        int
	MaxTotal         int64
	MaxSuccessful    int64
	PerSecond        int
	BackoffIncrement time.Duration
	MaxBackoff       time.Duration
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Int(&s.Size, "size", 500, "How many bytes the body of an event has.").AtLeast(0).AtMost(1 << 30)
	d.BatchSize(&s.BatchSize, "batchSize", 1, "How many events are put into the channels in one transaction.").AtLeast(1)
	d.Int64(&s.MaxTotal, "maxTotalEvents", -1, "How many events are made in all, those that the channels did not take among them; below 0 there is no limit.")
	d.Int64(&s.MaxSuccessful, "maxSuccessfulEvents", -1, "How many events the channels take in all, rounded up to whole batches; below 0 there is no limit.")
	d.Int(&s.PerSecond, "maxEventsPerSecond", 0, "How many events a second are made at most; 0 is as many as the channels take.").AtLeast(0)
	d.Millis(&s.BackoffIncrement, "backoffSleepIncrement", time.Second,
		"By how many milliseconds the wait grows with each failure in a row.").AtLeast(0)
	d.Millis(&s.MaxBackoff, "maxBackoffSleep", 5*time.Second, "How many milliseconds the wait after a failure is at most.").AtLeast(0)
}

type source struct {
	settings Settings
	batch    int
	log      *slog.Logger
	body     []byte // of all events; bodies are not changed
	closed   context.Context
	close    context.CancelFunc
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	closed, cancel := context.WithCancel(context.Background())
	batch := s.BatchSize
	if env.TransactionCapacity > 0 {
		batch = min(batch, env.TransactionCapacity)
	}
	return &source{settings: *s, batch: batch, log: env.Log, body: bytes.Repeat([]byte{0x7F}, s.Size), closed: closed, close: cancel}, nil
}

func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	wait := offer.Growing(s.settings.BackoffIncrement, s.settings.MaxBackoff)
	trouble := offer.NewTrouble(s.log, "they count as failed")
	var total, successful int64
	failures := 0
	due := time.Now()
	for (s.settings.MaxTotal < 0 || total < s.settings.MaxTotal) && (s.settings.MaxSuccessful < 0 || successful < s.settings.MaxSuccessful) {
		n := s.batch
		if s.settings.MaxTotal >= 0 {
			n = int(min(int64(n), s.settings.MaxTotal-total))
		}
		if s.settings.PerSecond > 0 {
			_ = supervise.Sleep(ctx, time.Until(due)) // the loop looks at ctx
			if now := time.Now(); due.Before(now) {
				due = now
			}
			due = due.Add(time.Duration(n) * time.Second / time.Duration(s.settings.PerSecond))
		}
		if ctx.Err() != nil {
			return nil
		}
		err := emit(ctx, s.events(n))
		if ctx.Err() != nil {
			return nil
		}
		total += int64(n)
		if err != nil {
			failures++
			wait := wait(failures)
			trouble.Failed(err, wait)
			_ = supervise.Sleep(ctx, wait)
			continue
		}
		failures = 0
		trouble.Taken()
		successful += int64(n)
	}
	s.log.Info("All events have been made", "total", total, "successful", successful, "failed", total-successful)
	<-ctx.Done()
	return nil
}

func (s *source) Close() error {
	s.close()
	return nil
}

func (s *source) events(n int) flume.Batch {
	b := make(flume.Batch, n)
	for i := range b {
		b[i].Body = s.body
	}
	return b
}

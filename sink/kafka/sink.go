package kafka

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/kafka"
)

// sink sends batches, one at a time.
type sink struct {
	sender *kafka.Sender
	form   *form
	bytes  int // of one delivery

	sendTimer, rollbacks *atomic.Int64
}

func openSink(ctx context.Context, s *Settings, env flume.Env) (*sink, error) {
	sender, err := s.client.OpenSender(ctx, s.brokers, env.Agent+"-"+env.Name, env.Log)
	if err != nil {
		return nil, err
	}
	return &sink{
		sender: sender, form: newForm(s, escape.LocalHost(ctx), env.Log), bytes: s.client.Buffer(),
		sendTimer: env.Counter("KafkaEventSendTimer"), rollbacks: env.Counter("RollbackCount"),
	}, nil
}

// Limits is flume.Sink's.
func (s *sink) Limits() flume.Limits { return flume.Limits{Bytes: s.bytes} }

// Close gives up what is under way.
func (s *sink) Close() error {
	s.sender.Close()
	return nil
}

// Deliver is flume.Sink's.
func (s *sink) Deliver(ctx context.Context, b flume.Batch) error {
	start := time.Now()
	defer func() { s.sendTimer.Add(time.Since(start).Milliseconds()) }()
	records, rejected := s.form.make(b, start)
	err := s.sender.Send(ctx, &s.form.place, b, records, rejected)
	if err == nil {
		s.form.done()
		return nil
	}
	s.form.reset() // the client may still hold the records
	if partial := (*flume.PartialError)(nil); !errors.As(err, &partial) || len(partial.Pending) > 0 {
		s.rollbacks.Add(1)
	}
	return err
}

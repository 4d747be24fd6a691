package rpc

import (
	"errors"
	"log/slog"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Putting says in the log that batches are not taken, whose doing it is, and that they are taken again.
type Putting struct{ channels, interceptors, sizes, others supervise.Trouble }

// Log sets where to.
func (p *Putting) Log(log *slog.Logger) {
	p.channels.Log, p.channels.Failing, p.channels.Over = log, "The channels do not take events; the senders are told so", "The channels take events again"
	p.interceptors.Log, p.interceptors.Failing, p.interceptors.Over = log, "An interceptor fails and events are not taken; the senders are told so", "The interceptors take events again"
	p.sizes.Log, p.sizes.Failing = log, "A batch is refused, for a channel can never hold it; its sender is told so and has to send smaller ones"
	p.others.Log, p.others.Failing, p.others.Over = log, "Events are not taken; the senders are told so", "Events are taken again"
}

// Failed says it of a batch.
func (p *Putting) Failed(err error) {
	trouble := &p.others // the selector, dead letters, a disk
	switch {
	case errors.Is(err, flume.ErrInterceptor):
		trouble = &p.interceptors
	case errors.Is(err, flume.ErrTooLarge):
		p.sizes.Report(slog.LevelWarn, err, 0)
		p.sizes.End() // the next one is another batch
		return
	case errors.Is(err, flume.ErrFull):
		trouble = &p.channels
	}
	trouble.Report(slog.LevelWarn, err, 0)
}

// Taken is called for each batch that was taken.
func (p *Putting) Taken() {
	p.channels.End()
	p.interceptors.End()
	p.others.End()
}

package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/child"
	"github.com/sluice-io/sluice/internal/offer"
)

// A reader takes lines from one run of the command after the other.
type reader struct {
	*source
	pushed time.Time // when a batch was emitted last; at first, when the source began
	bodies [][]byte  // read and not yet emitted
	size   int       // bytes of bodies
}

// run runs the command once, to its end or that of ctx.
func (r *reader) run(ctx context.Context) error {
	program, err := r.command.Start()
	if err != nil {
		return fmt.Errorf("%w: %w", errStart, err)
	}
	stopped := make(chan struct{})
	again := context.AfterFunc(ctx, func() {
		defer close(stopped)
		program.Stop(stopGrace)
		program.Out.Finish()
	})
	r.read(program.Out)
	r.ending(ctx, program)
	if !again() {
		<-stopped
	}
	program.Close(stopGrace)
	return program.Err()
}

// ending waits for a program that does not print any more to end by itself.
func (*reader) ending(ctx context.Context, program *child.Child) {
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-program.Ended():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// read reads until nobody writes any more and everything is emitted, or until the agent has lost its patience.
func (r *reader) read(out *child.Output) {
	lines := newSplitter(r.settings.Charset, r.settings.MaxLine, func() {
		r.cutting.Report(slog.LevelWarn, fmt.Errorf("it is longer than maxLineBytes, %d", r.settings.MaxLine), 0)
	})
	for ended := false; !ended; {
		var until time.Time
		if len(r.bodies) > 0 {
			until = r.pushed.Add(r.settings.BatchTimeout)
		}
		n, err := out.Read(lines.room(), until)
		before := len(r.bodies)
		r.bodies = lines.read(n, r.bodies)
		if ended = err != nil && (out.Finished() || !errors.Is(err, os.ErrDeadlineExceeded)); ended {
			r.bodies = lines.finish(r.bodies)
		}
		for _, b := range r.bodies[before:] {
			r.size += len(b)
		}
		for r.due(ended) {
			if !r.push() {
				r.log.Error("The source has to stop and the channels do not take events: lines are lost, and what the command has printed behind them", "lines", len(r.bodies))
				r.bodies, r.size = nil, 0
				return
			}
		}
	}
}

// due reports whether there is a batch to emit. At the end there is no more to wait for.
func (r *reader) due(ended bool) bool {
	return len(r.bodies) > 0 &&
		(ended || len(r.bodies) >= r.unit || r.size >= bytesMost || time.Since(r.pushed) >= r.settings.BatchTimeout)
}

// push emits one transaction of what has been read; false: the agent has lost its patience.
func (r *reader) push() bool {
	n, size := 0, 0
	for n < min(len(r.bodies), r.most) && size < bytesMost {
		size += len(r.bodies[n])
		n++
	}
	if r.offer.Keep(r.closed, offer.Of(n, func(from, to int) flume.Batch { return events(r.bodies[from:to]) })) != nil {
		return false
	}
	left := copy(r.bodies, r.bodies[n:])
	clear(r.bodies[left:])
	r.bodies, r.size, r.pushed = r.bodies[:left], r.size-size, time.Now()
	return true
}

// events makes a batch of lines.
func events(bodies [][]byte) flume.Batch {
	b := make(flume.Batch, len(bodies))
	for i := range b {
		b[i].Body = bodies[i]
	}
	return b
}

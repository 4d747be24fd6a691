package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/child"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A reader takes lines from one run of the command after the other.
type reader struct {
	*source
	emit   flume.Emit
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
	out := &pipe{from: program.Out, left: pipeMost}
	stopped := make(chan struct{})
	again := context.AfterFunc(ctx, func() {
		defer close(stopped)
		program.Stop(stopGrace)
		out.last()
	})
	r.read(out)
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
func (r *reader) read(out *pipe) {
	lines := newSplitter(r.settings.Charset, r.settings.MaxLine, func() {
		r.cutting.Report(slog.LevelWarn, fmt.Errorf("it is longer than maxLineBytes, %d", r.settings.MaxLine), 0)
	})
	for ended := false; !ended; {
		var until time.Time
		if len(r.bodies) > 0 {
			until = r.pushed.Add(r.settings.BatchTimeout)
		}
		n, err := out.read(lines.room(), until)
		before := len(r.bodies)
		r.bodies = lines.read(n, r.bodies)
		if ended = err != nil && (out.over() || !errors.Is(err, os.ErrDeadlineExceeded)); ended {
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
	if !r.offer(r.bodies[:n]) {
		return false
	}
	left := copy(r.bodies, r.bodies[n:])
	clear(r.bodies[left:])
	r.bodies, r.size, r.pushed = r.bodies[:left], r.size-size, time.Now()
	return true
}

// offer emits bodies until the channels have taken them. What can never be taken becomes a dead letter.
func (r *reader) offer(bodies [][]byte) bool {
	waits := supervise.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}
	for {
		err := r.emit(r.closed, events(bodies))
		if errors.Is(err, flume.ErrTooLarge) {
			if half := len(bodies) / 2; half > 0 {
				return r.offer(bodies[:half]) && r.offer(bodies[half:])
			}
			err = r.reject(r.closed, flume.Rejection{Event: flume.Event{Body: bodies[0]}, Err: err})
		}
		if err == nil {
			r.emitting.End()
			return true
		}
		if r.closed.Err() != nil {
			return false
		}
		wait := waits.Next()
		r.emitting.Report(slog.LevelWarn, err, wait)
		_ = supervise.Sleep(r.closed, wait) // then the last attempt shows it
	}
}

// events makes a batch anew for each attempt, for the interceptors may have changed the one before.
func events(bodies [][]byte) flume.Batch {
	b := make(flume.Batch, len(bodies))
	for i := range b {
		b[i].Body = bodies[i]
	}
	return b
}

// A deadlined is a pipe that can be read for a time.
type deadlined interface {
	io.Reader
	SetReadDeadline(t time.Time) error
}

// A pipe is what the command prints.
type pipe struct {
	from deadlined

	mu    sync.Mutex
	ended bool // nobody writes any more but one who has left the group
	left  int  // bytes that are read then, at most
}

// pipeMost is what a pipe can hold, and more.
const pipeMost = 1 << 20

// read waits until then at most; zero: as long as it takes.
func (p *pipe) read(b []byte, until time.Time) (int, error) {
	p.mu.Lock()
	if p.ended {
		if p.left <= 0 {
			p.mu.Unlock()
			return 0, io.EOF
		}
		until = time.Now().Add(lastRead)
	}
	err := p.from.SetReadDeadline(until)
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := p.from.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		p.left -= n
	}
	return n, err
}

// last lets what is in the pipe be read, and no more.
func (p *pipe) last() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	_ = p.from.SetReadDeadline(time.Now()) // to wake the reader, who looks again
}

func (p *pipe) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

package external

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/child"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Waits before a program that broke is started again.
const (
	againLeast = 100 * time.Millisecond
	againMost  = 30 * time.Second
)

// A Caller hands batches to the program of an interceptor or a sink, one at a time, and keeps it running.
type Caller struct {
	settings Settings
	binary   bool
	command  child.Command
	name     string
	log      *slog.Logger

	mu      sync.Mutex
	program *child.Child // nil: it has to be started
	lines   *lines
	id      int64
	line    []byte // the last one sent, for its room
	waits   supervise.Backoff
	again   time.Time // when it may be started again
	broke   error     // why it has to
	closed  bool
}

// Open starts the program.
func Open(s *Settings, form Bodies, env flume.Env) (*Caller, error) {
	c := &Caller{settings: *s, binary: form == Base64, command: s.program(env), log: env.Log,
		waits: supervise.Backoff{Least: againLeast, Most: againMost}}
	c.name = c.command.Args[0]
	if err := c.start(); err != nil {
		return nil, err
	}
	env.Log.Info("Started the program", "command", c.name, "pid", c.program.Pid())
	return c, nil
}

func (c *Caller) start() error {
	p, err := c.command.Start()
	if err != nil {
		return err
	}
	c.program, c.lines = p, &lines{from: p.Out, most: c.settings.MaxLine}
	return nil
}

// Close ends the program: its stdin ends, and what then does not end by itself is made to.
func (c *Caller) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.program == nil {
		return nil
	}
	_ = c.program.In.Close() // it is the program's now to end
	timer := time.NewTimer(c.settings.Stop)
	defer timer.Stop()
	select {
	case <-c.program.Ended():
	case <-timer.C:
		c.log.Warn("The program goes on though its stdin has ended, and is made to end", "command", c.name)
	}
	c.program.Close(c.settings.Stop)
	c.program = nil
	return nil
}

// call hands over as many events of b as a line holds and returns their number and the answer, of which wrong says what
// is against the protocol. Zero: the first one alone is longer than a line may be.
func (c *Caller) call(ctx context.Context, b flume.Batch, wrong func(m *message, n int) string) (int, message, error) {
	if err := c.running(); err != nil {
		return 0, message{}, err
	}
	c.id++
	line, n := appendCall(c.line[:0], c.id, b, c.binary, c.settings.MaxLine)
	if c.line = line; cap(line) > idleSize {
		c.line = nil
	}
	if n == 0 {
		return 0, message{}, nil
	}
	m, err := c.ask(ctx, line)
	if err == nil {
		text := c.unsound(&m, n)
		if text == "" {
			text = wrong(&m, n)
		}
		if text != "" {
			err = misread(c.name, c.lines.number, nil, errors.New(text))
		}
	}
	if err != nil {
		return n, m, c.end(err)
	}
	c.waits.Reset()
	if m.has&fieldError != 0 && !m.ok {
		return n, m, reason(&m, "the program gives no reason")
	}
	return n, m, nil
}

func reason(m *message, otherwise string) error {
	if m.reason == "" {
		return errors.New(otherwise)
	}
	return errors.New(m.reason)
}

// running sees to it that there is a program.
func (c *Caller) running() error {
	switch {
	case c.closed:
		return errors.New("the program has been ended")
	case c.program != nil:
		return nil
	}
	if wait := time.Until(c.again); wait > 0 {
		return fmt.Errorf("the program is started again%s: %w", in(wait), c.broke)
	}
	if err := c.start(); err != nil {
		c.broke, c.again = err, time.Now().Add(c.waits.Next())
		return err
	}
	return nil
}

// in says how long it is until something happens; nothing where that is about now.
func in(wait time.Duration) string {
	if wait = wait.Round(100 * time.Millisecond); wait > 0 {
		return " in " + wait.String()
	}
	return ""
}

// end ends a program that cannot be used any more, and says why.
func (c *Caller) end(why error) error {
	c.program.Close(c.settings.Stop)
	if errors.Is(why, errGone) {
		if why = c.program.Err(); why == nil {
			why = fmt.Errorf("%s has ended with status 0 and has not answered", c.name)
		}
	}
	c.program = nil
	c.broke, c.again = why, time.Now().Add(c.waits.Next())
	return why
}

// errGone means that the program has closed its stdout.
var errGone = errors.New("the program is gone")

// ask sends a line and waits for the answer. Sending and reading go on together: a program may begin to answer before it
// has read all.
func (c *Caller) ask(ctx context.Context, line []byte) (m message, err error) {
	program := c.program
	until := time.Now().Add(c.settings.Timeout)
	sent := make(chan error, 1)
	go func() {
		_ = program.In.SetWriteDeadline(until) // a pipe can
		_, err := program.In.Write(line)
		sent <- err
	}()
	done := make(chan struct{})
	defer context.AfterFunc(ctx, func() { // the agent's patience has an end
		if !within(done, c.settings.Stop) {
			program.Stop(0)
		}
	})()
	defer close(done)
	answer, err := c.lines.next(until)
	switch {
	case errors.Is(err, errTooLong):
		err = misread(c.name, c.lines.number, answer, err)
	case err != nil && isTime(err) && !c.lines.from.Finished():
		err = fmt.Errorf("%s has not answered within %v, which is its timeout", c.name, c.settings.Timeout)
	case err != nil:
		err = errGone
	default:
		if m, err = parse(answer); err != nil {
			err = fmt.Errorf("%w (stdout is for answers; what people shall read goes to stderr)", misread(c.name, c.lines.number, answer, err))
		}
	}
	if err != nil {
		if errors.Is(err, errGone) {
			within(program.Ended(), c.settings.Stop) // so that it ends with a status of its own
		}
		program.Stop(c.settings.Stop) // so that sending ends too
	}
	if unsent := <-sent; unsent != nil && err == nil {
		err = fmt.Errorf("%s has answered and not read what it was sent: %w", c.name, unsent)
	}
	return m, err
}

// within reports whether done is closed before d has passed.
func within(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// unsound says what is wrong with an answer to a call of n events, whoever gave it.
func (c *Caller) unsound(m *message, n int) string {
	switch id := strconv.FormatInt(c.id, 10); {
	case m.id == nil:
		return "the answer has no id; it should have the one of the call, " + id
	case string(m.id) != id:
		return fmt.Sprintf("the answer has the id %s, and the call had %s", m.id, id)
	case m.has&inEvent != 0:
		return `an answer has its events in a list: "events":[…]`
	}
	seen := make([]bool, n)
	mark := func(field string, i int) string {
		switch {
		case i >= n:
			return fmt.Sprintf("%s: there is no event %d; the call had %d, from 0 on", field, i, n)
		case seen[i]:
			return fmt.Sprintf("%s: event %d is named twice", field, i)
		}
		seen[i] = true
		return ""
	}
	for _, r := range m.rejected {
		if wrong := mark("rejected", r.Index); wrong != "" {
			return wrong
		}
	}
	slices.Sort(m.pending)
	for _, i := range m.pending {
		if wrong := mark("pending", i); wrong != "" {
			return wrong
		}
	}
	return ""
}

// Package child runs a program of the user's beside the agent.
//
//	agent                     program, in a process group of its own
//	In  ───────────────────▶  stdin
//	Out ◀───────────────────  stdout
//	Say ◀── some of it, cut ─ stderr
//
// What the program starts is in its group and ends with it: SIGTERM to the group, SIGKILL to what is left after a while.
// Only a process that has left the group (setsid) escapes. When the agent itself is killed, the program finds the
// end of its stdin and cannot write any more.
//
// In has deadlines, and Out can be read until a time. Stderr is always read, so that a program can never wait for somebody to read it; of its
// lines 100 are said at once and ten each second after that, each of 2,000 bytes at most, with the number of those that
// were not, said less and less often while a flood lasts, down to once a minute.
package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/internal/supervise"
)

// A Command is a program to run.
type Command struct {
	Args []string          // its name and arguments; there is at least the name
	Env  []string          // NAME=value, beside the environment of the agent
	Say  func(line string) // gets lines of stderr, from one goroutine; nil: nobody wants them
}

// Args cuts a command as Flume does: at white space, whatever quotes it has. With a shell ("/bin/sh -c") the whole
// command is the last argument of that.
func Args(shell, command string) []string {
	if args := words(shell); len(args) > 0 {
		return append(args, command)
	}
	return words(command)
}

// words cuts at what Java takes for white space.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) })
}

// A Child is a program that was started. Stop, Close and Wait may be called from several goroutines.
type Child struct {
	In  *os.File // closed by Close, as Out is
	Out *Output

	name   string
	stderr *os.File
	group  int
	ended  chan struct{} // closed when the program itself has ended
	how    error         // set before that; nil: status 0
	quiet  sync.WaitGroup
	words  atomic.Pointer[string] // the last line of stderr

	mu   sync.Mutex
	gone bool // nobody of the group is left, so that its number may be another's
}

// Exists reports whether there is such a program, as far as can be seen without starting it.
func (c *Command) Exists() error {
	if _, err := exec.LookPath(c.Args[0]); err != nil {
		return fmt.Errorf("looking for the program: %w", err)
	}
	return nil
}

// Start starts the program.
func (c *Command) Start() (*Child, error) {
	var theirs, ours []*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			_ = f.Close() // pipes have nothing to lose
		}
	}
	defer func() { closeAll(theirs) }()
	for n := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(ours)
			return nil, fmt.Errorf("starting %s: %w", c.Args[0], err)
		}
		if n == 0 {
			r, w = w, r
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs[0], theirs[1], theirs[2]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if len(c.Env) > 0 {
		cmd.Env = append(os.Environ(), c.Env...)
	}
	if err := cmd.Start(); err != nil {
		closeAll(ours)
		return nil, fmt.Errorf("starting %s: %w", c.Args[0], err)
	}
	p := &Child{In: ours[0], Out: NewOutput(ours[1]), name: c.Args[0], stderr: ours[2], group: cmd.Process.Pid, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.how = cmd.Wait()
	}()
	p.quiet.Go(func() { p.listen(c.Say) })
	return p, nil
}

// Pid is the number of the program, and of its group.
func (p *Child) Pid() int { return p.group }

// Ended is closed when the program itself has ended; what it has started may still run.
func (p *Child) Ended() <-chan struct{} { return p.ended }

// Err says how the program has ended, nil if with status 0; after Close it has the last words too. One that hangs in the
// kernel outlives Close: that is an error.
func (p *Child) Err() error {
	select {
	case <-p.ended:
	default:
		return fmt.Errorf("%s has not ended", p.name)
	}
	if p.how == nil {
		return nil
	}
	err := fmt.Errorf("%s has ended: %w", p.name, p.how)
	if last := p.words.Load(); last != nil {
		err = fmt.Errorf("%w; it last said %q", err, *last)
	}
	return err
}

// Stop ends the group: SIGTERM, and SIGKILL for what is left after grace. Zero is SIGKILL at once.
func (p *Child) Stop(grace time.Duration) {
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		if p.emptied(grace) {
			return
		}
	}
	p.signal(syscall.SIGKILL)
	p.emptied(time.Second) // what is left then hangs in the kernel
}

// Close stops the group as Stop does and lets go of the pipes.
func (p *Child) Close(grace time.Duration) {
	p.Stop(grace)
	_ = p.stderr.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // for one who has left the group and holds it
	p.quiet.Wait()
	for _, f := range []io.Closer{p.In, p.Out, p.stderr} {
		_ = f.Close() // nothing of it is to be kept
	}
}

// signal is sent to all of the group.
func (p *Child) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	p.gone = errors.Is(syscall.Kill(-p.group, s), syscall.ESRCH)
}

// emptied waits until nobody of the group is left, for that long at most.
func (p *Child) emptied(most time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		return false
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		p.signal(0)
		p.mu.Lock()
		p.gone = p.gone || wait > 10*time.Millisecond && buried(p.group)
		gone := p.gone
		p.mu.Unlock()
		if gone || supervise.Sleep(ctx, wait) != nil {
			return gone
		}
	}
}

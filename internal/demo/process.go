package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A process is one agent. It is used by one goroutine.
type process struct {
	binary, name, file, log, dir string

	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

// start runs the agent; its log goes on where it was.
func (p *process) start(ctx context.Context) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", p.name, err)
	}
	defer log.Close()
	p.cmd = exec.CommandContext(ctx, p.binary, "agent", "-n", p.name, "-f", p.file, "--data-dir", p.dir,
		"-Duser.home="+p.dir) // where the channel is whose checkpointDir the author has misspelt
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	ended, cmd := make(chan struct{}), p.cmd
	p.ended = ended
	go func() {
		defer close(ended)
		// The status is read from ProcessState.
		_ = cmd.Wait()
	}()
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop sends the signal and returns the status that the process ends with.
func (p *process) stop(s syscall.Signal) (int, error) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return 0, fmt.Errorf("killing %s: %w", p.name, err)
		}
		<-p.ended
		return 0, fmt.Errorf("stopping %s: it did not end within 40 seconds and was killed; its log is %s", p.name, p.log)
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// end stops what runs.
func (p *process) end() error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	_, err := p.stop(syscall.SIGTERM)
	return err
}

// alive is an error once the process has ended by itself.
func (p *process) alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended with status %d; its log is %s", p.name, p.cmd.ProcessState.ExitCode(), p.log)
	default:
		return nil
	}
}

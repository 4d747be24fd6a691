package external

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/child"
)

// Settings are what the three kinds have in common.
type Settings struct {
	Command string
	Shell   string
	Env     conf.Values
	MaxLine int
	Timeout time.Duration
	Stop    time.Duration
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Command, "command", "", "The program with its arguments, separated by blanks, without quoting; with a shell, what the shell is given.").Required()
	d.String(&s.Shell, "shell", "", "The shell that runs the command, such as /bin/sh -c; without it there are no pipes, quotes and variables.")
	d.Rest(&s.Env, "env.", "A variable of the program's environment: env.NAME = value. The rest of it is the agent's, with SLUICE_AGENT and SLUICE_COMPONENT, the names of both.")
	d.Int(&s.MaxLine, "maxLineBytes", 16<<20, "How many bytes a line has at most, in both directions.").AtLeast(1 << 10).AtMost(1 << 30)
	d.Millis(&s.Timeout, "timeout", 30*time.Second, "For how many milliseconds the program is waited for: to answer, or to take what it is sent.").AtLeast(1)
	d.Millis(&s.Stop, "stopTimeout", 5*time.Second, "How many milliseconds the program may take to end by itself before it is made to.").AtLeast(0)
}

// Bodies is how a body stands in a line.
type Bodies string

// The forms of a body.
const (
	Text   Bodies = "text"
	Base64 Bodies = "base64"
)

// DeclareBodies declares the form of the bodies that a program gets.
func DeclareBodies(d *conf.Decl, p *Bodies) {
	conf.Choice(d, p, "body", Text, "What a body is in the lines that the program gets: text, in the field body, and base64, in the field base64, if it is no UTF-8; or always base64.", Text, Base64)
}

// program is the command as it is to be started.
func (s *Settings) program(env flume.Env) child.Command {
	c := child.Command{
		Args: child.Args(s.Shell, s.Command),
		Env:  []string{"SLUICE_AGENT=" + env.Agent, "SLUICE_COMPONENT=" + env.Name},
		Say:  func(line string) { env.Log.Info("stderr: " + line) },
	}
	for _, v := range s.Env {
		c.Env = append(c.Env, v.Key+"="+v.Text)
	}
	return c
}

func isTime(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// misread says which line cannot be understood, and why.
func misread(name string, number int, line []byte, err error) error {
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("line %d that %s has printed, which begins with %s: %w, %d", number, name, quoted(line), err, len(line))
	}
	return fmt.Errorf("line %d that %s has printed: %w", number, name, err)
}

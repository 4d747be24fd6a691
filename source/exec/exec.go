// Package exec is the source that runs a command: each line that it prints is one event, without headers.
//
//	command ─▶ stdout ─▶ lines ─▶ emit        a full channel: nothing is read, so the command waits
//	        ─▶ stderr ─▶ log (with logStdErr), of it ten lines a second
//
// A line ends with LF, CR or CR LF, which are no part of it; what stands behind the last line end is a line too. Lines
// are read in the charset and written in it again: bytes that are none of its characters become its U+FFFD or "?".
//
// A batch is emitted when batchSize lines have come, or a line when batchTimeout has passed since the last batch; what
// has arrived by then goes as one transaction. Lines that the channels do not take are kept and offered again with
// growing waits; Flume throws them away and ends the command.
//
// The command runs in a process group of its own. At the end of the source the group gets SIGTERM, and SIGKILL two
// seconds later; what it has printed until then is still emitted. Flume ends the command alone, and leaves what a shell
// has started.
//
// How it fails: what was printed while the agent is not running is not there, and what a killed agent had read and not
// emitted is gone; a taildir source reads on where it was. Events that the channels do not take until the agent gives
// up stopping are lost, with an ERROR that has their number.
package exec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/child"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Kind is the exec source.
var Kind = flume.Define[Settings, flume.Source]("exec", "org.apache.flume.source.ExecSource",
	"Runs a command and takes the lines that it prints.", open)

// Settings are what an exec source can be told.
type Settings struct {
	Command      string
	Shell        string
	Restart      bool
	Throttle     time.Duration
	LogStdErr    bool
	BatchSize    int
	BatchTimeout time.Duration
	Charset      charset.Charset
	MaxLine      int

	charset string // as the file has it
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Command, "command", "", "The program with its arguments, separated by blanks, without quoting; with a shell, what the shell is given.").Required()
	d.String(&s.Shell, "shell", "", "The shell that runs the command, such as /bin/sh -c; without it there are no pipes, quotes, variables and patterns.")
	d.Bool(&s.Restart, "restart", false, "Whether the command is run again when it has ended.")
	d.Millis(&s.Throttle, "restartThrottle", 10*time.Second, "How many milliseconds after its end the command is run again.").AtLeast(0)
	d.Bool(&s.LogStdErr, "logStdErr", false, "Whether the log has what the command writes to stderr: a hundred lines at once, then ten a second.")
	d.BatchSize(&s.BatchSize, "batchSize", 20, "For how many lines a batch waits. What has arrived goes as one transaction, so a batch may have more, up to the channels' transactionCapacity.").AtLeast(1)
	d.Millis(&s.BatchTimeout, "batchTimeout", 3*time.Second, "For how many milliseconds after the one before a batch waits to be full; a line that comes later goes at once.").AtLeast(0)
	d.String(&s.charset, "charset", "UTF-8", "The encoding of what the command prints, and of the bodies: "+charset.Names+".").Bound(func() error {
		var ok bool
		if s.Charset, ok = charset.Find(s.charset); !ok {
			return fmt.Errorf("%q is not an encoding that this source knows; there are %s", s.charset, charset.Names)
		}
		return nil
	})
	d.Int(&s.MaxLine, "maxLineBytes", 1<<20, "How many bytes a line has at most; a longer one becomes several events. A setting of Sluice's own.").AtLeast(16).AtMost(1 << 28)
	d.Check(s.advice)
}

const (
	stopGrace = 2 * time.Second       // for the command to end by itself
	leastWait = 10 * time.Millisecond // between two runs
	bytesMost = 1 << 20               // lines of so many bytes are emitted, however few
)

type source struct {
	settings Settings
	log      *slog.Logger
	reject   func(context.Context, ...flume.Rejection) error
	unit     int // lines that a batch waits for
	most     int // lines of one transaction
	command  child.Command

	offer               *offer.Offer
	restarting, cutting supervise.Trouble

	closed context.Context
	close  context.CancelFunc
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	command := child.Command{Args: child.Args(s.Shell, s.Command)}
	if err := command.Exists(); err != nil {
		return nil, err
	}
	most := cmp.Or(max(0, env.TransactionCapacity), s.BatchSize)
	src := &source{settings: *s, log: env.Log, reject: env.Reject, unit: min(s.BatchSize, most), most: most,
		command:    command,
		offer:      offer.New(env),
		restarting: supervise.Trouble{Log: env.Log, Failing: "The command has ended and is run again"},
		cutting:    supervise.Trouble{Log: env.Log, Failing: "A line becomes several events"},
	}
	if s.LogStdErr {
		src.command.Say = func(line string) { env.Log.Info("stderr: " + line) }
	}
	src.closed, src.close = context.WithCancel(context.Background())
	return src, nil
}

func (s *source) Close() error {
	s.close()
	return nil
}

func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	s.offer.Emit = emit
	r := reader{source: s, pushed: time.Now()}
	for ctx.Err() == nil {
		err := r.run(ctx)
		switch {
		case ctx.Err() != nil:
		case !s.settings.Restart && errors.Is(err, errStart):
			return err // the agent tries again
		case !s.settings.Restart && err != nil:
			s.log.Warn("The command is done and is not run again (restart = true runs it again)", "error", err)
			return nil
		case !s.settings.Restart:
			s.log.Info("The command is done")
			return nil
		default:
			wait := max(leastWait, s.settings.Throttle)
			if err != nil {
				s.restarting.Report(slog.LevelWarn, err, wait)
			} else {
				s.restarting.Report(slog.LevelInfo, errDone, wait)
			}
			_ = supervise.Sleep(ctx, wait) // the loop looks at ctx
		}
	}
	return nil
}

var (
	errStart = errors.New("running the command")
	errDone  = errors.New("exit status 0")
)

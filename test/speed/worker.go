package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/channel/file"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/test/harness"
)

// A worker is a channel alone in a process of its own, which does what it is told in lines: "put WRITERS BATCH SIZE
// SECONDS [EVENTS]" and "take BATCH [TAKERS]", which goes on until the channel is empty. Flume's is
// "peers flume file-channel serve", Sluice's is work.
type worker struct {
	system system
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
}

// A turn is what a worker has done.
type turn struct {
	events  int64
	seconds float64
	cpu     float64 // seconds of processor time
	logged  int64   // Sluice's only: bytes that went to the log
	syncs   int64   // and how often it was synced
}

func (t turn) rate() float64 { return float64(t.events) / t.seconds }

// defaults are Flume's own, which its tool does not have.
var defaults = []string{"checkpointInterval=30000", "minimumRequiredSpace=524288000", "keep-alive=3"}

func (b *bench) worker(ctx context.Context, sys system, dir string, settings ...string) (*worker, error) {
	var cmd *exec.Cmd
	if sys == realFlume {
		cmd = b.peers(ctx, append(append([]string{"flume", "file-channel", "serve", dir}, defaults...), settings...)...)
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd = exec.CommandContext(ctx, self, append(append([]string{"worker", dir}, defaults...), settings...)...)
	}
	return spawn(sys, cmd)
}

// spawn starts a program that takes lines and says when it is ready to.
func spawn(sys system, cmd *exec.Cmd) (*worker, error) {
	cmd.Stderr = os.Stderr
	// All children of a shell that is killed go with it.
	cmd.SysProcAttr = harness.EndsWithTest(false)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w := &worker{system: sys, cmd: cmd, in: in, out: bufio.NewScanner(out)}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a worker of %s: %w", sys, err)
	}
	for w.out.Scan() {
		if w.out.Text() == "SERVING" {
			return w, nil
		}
	}
	return nil, fmt.Errorf("starting a worker of %s: it ended: %w", sys, cmd.Wait())
}

// do has the worker do something and waits for it.
func (w *worker) do(format string, args ...any) (turn, error) {
	line := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(w.in, line); err != nil {
		return turn{}, err
	}
	if !w.out.Scan() {
		return turn{}, fmt.Errorf("%s, %q: it ended: %w", w.system, line, w.cmd.Wait())
	}
	var t turn
	_, err := fmt.Sscanf(w.out.Text(), "events=%d seconds=%f cpu=%f", &t.events, &t.seconds, &t.cpu)
	if _, own, ok := strings.Cut(w.out.Text(), " logged="); ok && err == nil {
		_, err = fmt.Sscanf(own, "%d syncs=%d", &t.logged, &t.syncs)
	}
	if err != nil {
		return turn{}, fmt.Errorf("%s, %q: %q: %w", w.system, line, w.out.Text(), err)
	}
	return t, nil
}

// close ends the worker in good order and tells the peak of its memory in MB.
func (w *worker) close() (float64, error) {
	w.in.Close()
	for w.out.Scan() { // what it says at its end
	}
	if err := w.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("ending a worker of %s: %w", w.system, err)
	}
	usage, ok := w.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, errors.New("asking for a worker's memory: not told")
	}
	return float64(usage.Maxrss) * 1.024 / 1e3, nil
}

// work is a worker of Sluice. SPEED_PROFILE names a file for a profile of its processor time.
func work(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	if len(args) == 0 {
		return errors.New("needs a directory, and settings key=value")
	}
	values := conf.Values{
		{Key: "type", Text: "file"},
		{Key: "checkpointDir", Text: filepath.Join(args[0], "checkpoint")},
		{Key: "dataDirs", Text: filepath.Join(args[0], "data")},
	}
	for _, arg := range args[1:] {
		key, text, _ := strings.Cut(arg, "=")
		values = append(values, conf.Value{Key: key, Text: text})
	}
	section := conf.NewSection("a1", "channels", "c1", "a1.channels.c1.", conf.Pos{}, values)
	section.Get("type")
	plan, problems := file.Kind.Bind(section)
	if len(problems) > 0 {
		return errors.New(problems.String())
	}
	counters := map[string]*atomic.Int64{}
	ch, err := plan.Open(ctx, flume.Env{
		Agent: "a1", Name: "c1", Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Reject: func(context.Context, ...flume.Rejection) error { return errors.New("nothing is rejected here") },
		Counter: func(name string) *atomic.Int64 {
			if counters[name] == nil {
				counters[name] = new(atomic.Int64)
			}
			return counters[name]
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ch.Close()) }()
	if path := os.Getenv("SPEED_PROFILE"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Fprintln(out, "SERVING")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		words := strings.Fields(lines.Text())
		numbers := make([]float64, 6)
		for i := range numbers {
			if i+1 < len(words) {
				if numbers[i], err = strconv.ParseFloat(words[i+1], 64); err != nil {
					return err
				}
			}
		}
		if len(words) == 0 || words[0] != "put" && words[0] != "take" {
			return fmt.Errorf("%q is neither put nor take", lines.Text())
		}
		logged, syncs := counters["LogByteCount"].Load(), counters["LogSyncCount"].Load()
		t, err := timed(func() (int64, error) {
			if words[0] == "take" {
				return takeAll(ctx, ch, int(numbers[0]), max(int(numbers[1]), 1))
			}
			return putAll(ctx, ch, int(numbers[0]), sample(int(numbers[1]), int(numbers[2])), numbers[3], int64(numbers[4]))
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "events=%d seconds=%.6f cpu=%.3f logged=%d syncs=%d\n", t.events, t.seconds, t.cpu,
			counters["LogByteCount"].Load()-logged, counters["LogSyncCount"].Load()-syncs)
	}
	return nil
}

// timed does something with events.
func timed(do func() (int64, error)) (turn, error) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return turn{}, err
	}
	begun := time.Now()
	n, err := do()
	took := time.Since(begun).Seconds()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return turn{}, err
	}
	spent := func(u *syscall.Rusage) float64 {
		return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
	}
	return turn{events: n, seconds: took, cpu: spent(&after) - spent(&before)}, err
}

// putAll has writers put and commit the same batch for some seconds, or until there are most events.
func putAll(ctx context.Context, ch flume.Channel, writers int, b flume.Batch, seconds float64, most int64) (int64, error) {
	var events atomic.Int64
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	err := together(writers, func() error {
		for time.Now().Before(end) && (most == 0 || events.Load() < most) {
			tx, err := ch.Put(ctx, b)
			if err != nil {
				return err
			}
			if err := tx.Commit(ctx); err != nil {
				return err
			}
			events.Add(int64(len(b)))
		}
		return nil
	})
	return events.Load(), err
}

// takeAll has takers take and commit until nothing is left. A batch may be larger than asked for only in bytes.
func takeAll(ctx context.Context, ch flume.Channel, batch, takers int) (int64, error) {
	var events atomic.Int64
	over, cancel := context.WithCancel(ctx)
	cancel() // nobody waits for more
	err := together(takers, func() error {
		for {
			tx, err := ch.Take(over, flume.Limits{Events: batch})
			if errors.Is(err, flume.ErrEmpty) {
				return nil
			}
			if err != nil {
				return err
			}
			n := len(tx.Batch())
			if err := tx.Commit(ctx); err != nil {
				return err
			}
			events.Add(int64(n))
		}
	})
	return events.Load(), err
}

func together(n int, do func() error) error {
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		all.Go(func() { errs[i] = do() })
	}
	all.Wait()
	return errors.Join(errs...)
}

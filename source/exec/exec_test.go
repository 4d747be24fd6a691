package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/child"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaws(t *testing.T) {
	for name, command := range map[string]string{"talks": "while :; do echo x; sleep 0.01; done", "floods": "yes", "is silent": "sleep 1000", "is done": "true"} {
		t.Run(name, func(t *testing.T) {
			flumetest.Source(t, func(t testing.TB) flume.Source {
				return flumetest.Open(t, Kind, "command = "+command, "shell = /bin/sh -c")
			})
		})
	}
}

func text(b flume.Batch) string { return strings.Join(flumetest.Bodies(b), "|") }

func TestCommands(t *testing.T) {
	t.Setenv("WHO", "me")
	for _, x := range []struct {
		command string
		more    []string
		want    string
	}{
		{`echo "a b" $WHO | cat`, nil, `"a b" $WHO | cat`},
		{`echo "a b" $WHO | cat`, []string{"shell = /bin/sh -c"}, "a b me"},
		{`printf a\n\nb\r\nc`, nil, "a||b|c"},
		{`printf caf\351\n`, []string{"charset = ISO-8859-1"}, "caf\xe9"},
		{`printf caf\351\n`, nil, "caf\ufffd"},
		{`seq 1 100000 | tail -1`, []string{"shell = /bin/bash -c"}, "100000"},
	} {
		env := flumetest.NewEnv()
		sec := flumetest.Section(t, append(x.more, "command = "+x.command)...)
		plan, problems := Kind.Bind(sec)
		if problems.Fatal() {
			t.Fatal(problems)
		}
		s, err := plan.Open(t.Context(), env.Env)
		if err != nil {
			t.Fatal(err)
		}
		var in flumetest.Inbox
		if err := s.Run(t.Context(), in.Emit); err != nil {
			t.Error(err)
		}
		if got := text(in.Await(t, 1)); got != x.want {
			t.Errorf("%s: %q", x.command, got)
		}
		if log := env.Logged(); !strings.Contains(log, "The command is done") || strings.Contains(log, "WARN") {
			t.Error(log)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// feed runs a reader on what the test writes to a pipe, in the bubble's time.
func feed(t *testing.T, env *flumetest.Env, in *flumetest.Inbox, settings ...string) (net.Conn, <-chan struct{}) {
	t.Helper()
	s := flumetest.OpenIn(t, env, Kind, append(settings, "command = true")...).(*source)
	s.offer.Emit = in.Emit
	r := &reader{source: s, pushed: time.Now()}
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.read(child.NewOutput(theirs))
	}()
	t.Cleanup(func() {
		ours.Close()
		<-done
		s.Close()
	})
	return ours, done
}

// A batch waits for batchSize lines until batchTimeout has passed since the one before; what has come by then is one
// transaction.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var got []string
		in := flumetest.Inbox{Answer: func(b flume.Batch) error {
			got = append(got, fmt.Sprintf("%v %s", time.Since(began), text(b)))
			return nil
		}}
		w, done := feed(t, flumetest.NewEnv(), &in, "batchSize = 3", "batchTimeout = 3000")
		say := func(text string) {
			fmt.Fprint(w, text)
			synctest.Wait()
		}
		say("a\nb\n")
		time.Sleep(time.Second)
		say("c\nd\ne\n") // more than a batch
		say("f\n")
		time.Sleep(time.Second)
		say("g\nunfinished")
		time.Sleep(9 * time.Second)
		say("\n") // after a quiet time
		say("h\n")
		say("last")
		w.Close()
		<-done
		want := []string{"1s a|b|c|d|e", "4s f|g", "11s unfinished", "11s h|last"}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestTransactionCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var in flumetest.Inbox
		env := flumetest.NewEnv()
		env.TransactionCapacity = 4
		w, done := feed(t, env, &in, "batchSize = 1000")
		fmt.Fprint(w, strings.Repeat("x\n", 10))
		synctest.Wait()
		if n := len(in.Batches()); n != 2 {
			t.Errorf("%d batches", n)
		}
		w.Close()
		<-done
		if got := in.Batches(); len(got) != 3 || len(got[0]) != 4 || len(got[2]) != 2 {
			t.Errorf("%v", got)
		}
	})
}

// Lines that the channels do not take are kept and offered again as they were, and nothing is read meanwhile.
func TestFailingChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 20
		in := flumetest.Inbox{Answer: func(b flume.Batch) error {
			b[0].Headers.Set("left by", "an interceptor")
			if failures--; failures > 0 {
				clear(b)
				return flume.ErrFull
			}
			if len(b[0].Headers) != 1 {
				return errors.New("another one")
			}
			return nil
		}}
		env := flumetest.NewEnv()
		w, done := feed(t, env, &in, "batchSize = 2")
		fmt.Fprint(w, "a\nb\nc\n")
		synctest.Wait()
		wrote := make(chan struct{})
		go func() {
			fmt.Fprint(w, "d\n")
			close(wrote)
		}()
		synctest.Wait()
		select {
		case <-wrote:
			t.Error("the command can go on though nobody takes its lines")
		default:
		}
		<-wrote
		w.Close()
		<-done
		if got := text(in.Await(t, 4)); got != "a|b|c|d" {
			t.Error(got)
		}
		if log := env.Logged(); strings.Count(log, "do not take events") > 3 || !strings.Contains(log, "take events again") {
			t.Error(log)
		}
	})
}

// A line that no channel can ever hold is set aside, and the others of its batch are not.
func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := flumetest.Inbox{Answer: func(b flume.Batch) error {
			if b.Size() > 10 {
				return flume.ErrTooLarge
			}
			return nil
		}}
		env := flumetest.NewEnv()
		w, done := feed(t, env, &in, "batchSize = 10")
		fmt.Fprint(w, "one\ntwo\nthree hundred\nfour\nfive\n")
		w.Close()
		<-done
		if got := text(in.Await(t, 4)); got != "one|two|four|five" {
			t.Error(got)
		}
		if r := env.Rejected(); len(r) != 1 || string(r[0].Event.Body) != "three hundred" {
			t.Errorf("%v", r)
		}
	})
}

func TestBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var in flumetest.Inbox
		env := flumetest.NewEnv()
		env.TransactionCapacity = 10_000
		w, _ := feed(t, env, &in, "batchSize = 10000", "batchTimeout = 1000000")
		line := append(bytes.Repeat([]byte("x"), 1<<17), '\n')
		for range 80 {
			_, _ = w.Write(line)
		}
		synctest.Wait()
		if n := len(in.Batches()); n < 9 {
			t.Errorf("%d batches of 10 MB", n)
		}
	})
}

// When the source ends, what the command has printed is still emitted, and everything that it has started ends.
func TestStop(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	r := flumetest.Run(t, Kind, nil, "shell = /bin/sh -c", "batchSize = 1000", "batchTimeout = 1000000",
		"command = trap 'echo bye; exit' TERM; sleep 1000 & echo $! > "+pids+"; echo hello; wait; echo woken; wait")
	flumetest.Until(t, "the command has started another", func() bool {
		b, err := os.ReadFile(pids)
		return err == nil && len(b) > 0
	})
	r.Stop()
	all := text(r.Await(t, 1))
	if !strings.Contains(all, "hello") {
		t.Error(all)
	}
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(state), ") Z ") && syscall.Kill(pid, 0) == nil {
		t.Errorf("what the shell has started runs on: %s", state)
	}
}

// The end of a source whose channels do not take events waits until it is closed, and says what is lost.
func TestStopWhileFailing(t *testing.T) {
	env := flumetest.NewEnv()
	s := flumetest.OpenIn(t, env, Kind, "command = seq 1 3")
	ctx, cancel := context.WithCancel(t.Context())
	var offers atomic.Int32
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, func(context.Context, flume.Batch) error {
			offers.Add(1)
			return flume.ErrFull
		})
	}()
	flumetest.Until(t, "the lines are offered", func() bool { return offers.Load() > 0 })
	cancel()
	before := offers.Load()
	flumetest.Until(t, "the lines are offered again after the stop", func() bool { return offers.Load() > before+1 })
	select {
	case <-done:
		t.Error("the lines were given up before the source was closed")
	default:
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if log := env.Logged(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "lines=3") {
		t.Error(log)
	}
}

func TestRestart(t *testing.T) {
	r := flumetest.Run(t, Kind, nil, "shell = /bin/sh -c", "command = echo x; echo it hurts >&2; exit 7", "restart = true", "restartThrottle = 1", "batchSize = 1")
	r.Await(t, 5)
	r.Stop()
	log := r.Logged()
	if !strings.Contains(log, "exit status 7") || !strings.Contains(log, "it hurts") || strings.Count(log, "is run again") > 2 || strings.Contains(log, "stderr") {
		t.Error(log)
	}
}

func TestStdErr(t *testing.T) {
	r := flumetest.Run(t, Kind, nil, "shell = /bin/sh -c", "command = echo out; echo oh >&2; exit 1", "logStdErr = true")
	r.Await(t, 1)
	flumetest.Until(t, "the command is done", func() bool { return strings.Contains(r.Logged(), "not run again") })
	if log := r.Logged(); !strings.Contains(log, "stderr: oh") || !strings.Contains(log, "exit status 1") {
		t.Error(log)
	}
}

func TestNoSuchCommand(t *testing.T) {
	if _, err := flumetest.TryOpen(t, flumetest.NewEnv(), Kind, "command = /nonexistent/tail -q x"); err == nil || !strings.Contains(err.Error(), "/nonexistent/tail") {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t, "command = x"))
	want := Settings{Command: "x", Throttle: 10 * time.Second, BatchSize: 20, BatchTimeout: 3 * time.Second, Charset: charset.UTF8, MaxLine: 1 << 20, charset: "UTF-8"}
	if got := *plan.Settings.(*Settings); len(problems) > 0 || got != want || plan.Limits.BatchSize != 20 {
		t.Errorf("%+v %v", got, problems)
	}
	for _, x := range []struct{ setting, want string }{
		{"restart = true", "command: is required"},
		{"charset = EBCDIC", `"EBCDIC" is not an encoding`},
		{"batchSize = 0", "less than 1"},
		{"logStderr = true", `did you mean "logStdErr"?`},
	} {
		settings := []string{x.setting}
		if !strings.Contains(x.want, "command") {
			settings = append(settings, "command = x")
		}
		if got := flumetest.Problems(t, Kind, nil, settings...); !strings.Contains(got.String(), x.want) {
			t.Errorf("%s: %s", x.setting, got)
		}
	}
}

func TestAdvice(t *testing.T) {
	const notes = "note: "
	for _, x := range []struct{ command, shell, want string }{
		{"tail -F /var/log/app.log", "", notes + `what is written while the agent is away is not read; a taildir source goes on where it was: type = TAILDIR, filegroups = f1, filegroups.f1 = /var/log/app\\.log, positionFile`},
		{"tail -f /var/log/app.log", "", notes + "tail -f stops when the file is rotated, tail -F goes on; "},
		{"tail -n 0 -F /a/b /a/c", "", `filegroups = f1 f2, filegroups.f1 = /a/b, filegroups.f2 = /a/c`},
		{"/usr/bin/tail -fn0 /a/b", "", "filegroups.f1 = /a/b"},
		{"sudo -n tail --follow=name --retry /a/b", "", "filegroups.f1 = /a/b"},
		{"tail -F /a/*.log", "/bin/sh -c", `filegroups.f1 = /a/.*\\.log`},
		{"tail -F /a/b | grep x /c", "/bin/bash -c", "positionFile = a file of its own; what the command does with the lines"},
		{"tail -n 100 /a/b", "", ""},
		{"cat /a/b", "", ""},
		{"watch tail -F /a/b", "", ""},
		{"tail -F", "", ""},
		{"cat /a/b | grep x", "", "without a shell | is handed to the program as it stands; if a shell is to read it, set shell = /bin/sh -c"},
		{"cat /a/*.log", "", "without a shell /a/*.log is"},
		{"echo 'a b'", "", "without a shell 'a is"},
		{"echo $HOME", "", "without a shell $HOME is"},
		{"grep -E fo*b$ x", "", ""},
		{"echo $1", "", ""},
		{"echo x", "/bin/bash", "x1.shell: /bin/bash takes the command as the name of a file"},
		{"echo x | cat", "/bin/bash -c", ""},
	} {
		settings := []string{"command = " + x.command}
		if x.shell != "" {
			settings = append(settings, "shell = "+x.shell)
		}
		got := flumetest.Problems(t, Kind, nil, settings...)
		if !strings.Contains(got.String(), x.want) || x.want == "" && len(got) > 0 || got.Fatal() || len(got) > 1 {
			t.Errorf("%s: %s", x.command, got)
		}
		if strings.HasPrefix(x.want, notes) && got[0].Severity != conf.Note {
			t.Errorf("%s: %v", x.command, got[0].Severity)
		}
	}
}

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for what is to happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sluice": main, "flume-ng": main})
}

// The scripts run the binary. Beside the commands of testscript there are:
//
//	start ARGS...      starts "sluice ARGS..." in the background; its output is the log
//	log [-in FILE] RE  waits until a line of the log, or of the file, matches
//	! log RE           no line of the log matches
//	signal TERM|INT|…  is sent to it
//	pass DURATION      lets time pass, where a script is about time
//	ends STATUS        waits for its end
//	send PORT LINE     writes a line to a port and prints the line that comes back
//	listen PORT        takes a port
//	get URL            prints what is there
//	status N NAME ARGS runs a program of ours, which ends with the status N
//	unpack NAME        puts the directories of a file channel that Flume wrote into ./NAME: checkpoint, data, ...
//	flip FILE TEXT     changes a bit of TEXT where it first stands in a file
//	sub FILE           puts the ports in the places of ${PORT1} to ${PORT3} in a file
//	sample PAGE F WANT writes the file that a page of the documentation shows to F, if it has a name, and what the page
//	                   says that check prints of it to WANT
//
// $PORT1 to $PORT3 are ports that are free; a configuration has them as ${env:PORT1}.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[key{}] = &background{}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GORACE", "atexit_sleep_ms=10") // else every program of a race test ends a second late
			for i := range 3 {
				port, err := freePort()
				if err != nil {
					return err
				}
				env.Setenv(fmt.Sprintf("PORT%d", i+1), port)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "log": seen, "signal": send, "ends": ends, "send": talk, "listen": listen, "get": get, "pass": pause, "sample": sample,
			"status": status, "unpack": unpack, "flip": flip, "sub": sub,
		},
	})
}

type key struct{}

// A background is the program that a script has started.
type background struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func (b *background) running(ts *testscript.TestScript) {
	if b.cmd == nil {
		ts.Fatalf("nothing was started")
	}
}

func of(ts *testscript.TestScript) *background { return ts.Value(key{}).(*background) }

// ours is a command that runs the program of that name.
func ours(ts *testscript.TestScript, name string, args ...string) *exec.Cmd {
	binary := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			binary = filepath.Join(dir, name)
			break
		}
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), os.Environ()
	for _, name := range []string{"HOME", "GORACE", "PORT1", "PORT2", "PORT3"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

func status(ts *testscript.TestScript, _ bool, args []string) {
	cmd := ours(ts, args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	var ended *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
		ts.Check(err)
	}
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("%s ended with status %s instead of %s", strings.Join(args[1:], " "), got, args[0])
	}
}

func start(ts *testscript.TestScript, _ bool, args []string) {
	b := of(ts)
	log, err := os.OpenFile(ts.MkAbs("log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	ts.Check(err)
	defer log.Close()
	b.cmd = ours(ts, "sluice", args...)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	ts.Check(b.cmd.Start())
	b.ended = make(chan struct{})
	go func() {
		defer close(b.ended)
		_ = b.cmd.Wait()
	}()
	ts.Defer(func() {
		_ = b.cmd.Process.Kill()
		<-b.ended
	})
}

func seen(ts *testscript.TestScript, neg bool, args []string) {
	file := ts.MkAbs("log")
	if len(args) == 3 && args[0] == "-in" {
		file, args = ts.MkAbs(args[1]), args[2:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: log [-in FILE] REGEXP")
	}
	re := regexp.MustCompile("(?m)" + args[0])
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(file)
		switch matches := re.Match(text); {
		case matches != neg:
			return
		case neg:
			ts.Fatalf("a line of the log matches %s:\n%s", args[0], text)
		case time.Now().After(end):
			ts.Fatalf("no line of the log matches %s: %v\n%s", args[0], err, text)
		}
	}
}

func send(ts *testscript.TestScript, _ bool, args []string) {
	b := of(ts)
	b.running(ts)
	ts.Check(b.cmd.Process.Signal(map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[args[0]]))
}

func pause(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	time.Sleep(d)
}

func ends(ts *testscript.TestScript, _ bool, args []string) {
	b := of(ts)
	b.running(ts)
	select {
	case <-b.ended:
	case <-time.After(patience):
		ts.Fatalf("it does not end:\n%s", ts.ReadFile("log"))
	}
	if got := strconv.Itoa(b.cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("it ended with status %s:\n%s", got, ts.ReadFile("log"))
	}
}

func talk(ts *testscript.TestScript, _ bool, args []string) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+args[0], patience)
	ts.Check(err)
	defer c.Close()
	ts.Check(c.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintln(c, strings.Join(args[1:], " "))
	ts.Check(err)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		ts.Check(err)
	}
	fmt.Fprint(ts.Stdout(), line)
}

func listen(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", ":"+args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

func sample(ts *testscript.TestScript, _ bool, args []string) {
	page := map[string]string{"README.md": "../../README.md", "check.md": "../../docs/guide/check.md"}[args[0]]
	text, err := os.ReadFile(page)
	ts.Check(err)
	for _, part := range []struct{ re, file string }{
		{"(?s)```properties\n(.*?)```", args[1]},
		{"(?s)```\n\\$ (?:bin/)?sluice check flume.conf\n(.*?)```", args[2]},
	} {
		if part.file == "" {
			continue
		}
		found := regexp.MustCompile(part.re).FindSubmatch(text)
		if found == nil {
			ts.Fatalf("%s has no %s", page, part.re)
		}
		ts.Check(os.WriteFile(ts.MkAbs(part.file), found[1], 0o644))
	}
}

func unpack(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Open(filepath.Join("../../internal/wal/testdata/golden", args[0]+".tar.gz"))
	ts.Check(err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	ts.Check(err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		ts.Check(err)
		path := ts.MkAbs(filepath.Join(args[0], h.Name))
		if h.Typeflag == tar.TypeDir {
			ts.Check(os.MkdirAll(path, 0o755))
			continue
		}
		b, err := io.ReadAll(r)
		ts.Check(err)
		ts.Check(os.WriteFile(path, b, 0o644))
	}
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	at := bytes.Index(b, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(path, b, 0o644))
}

func sub(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	for _, name := range []string{"PORT1", "PORT2", "PORT3"} {
		text = strings.ReplaceAll(text, "${"+name+"}", ts.Getenv(name))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

func get(ts *testscript.TestScript, _ bool, args []string) {
	client := http.Client{Timeout: patience}
	r, err := client.Get(args[0])
	ts.Check(err)
	defer r.Body.Close()
	fmt.Fprintln(ts.Stdout(), r.StatusCode, r.Header.Get("Content-Type"))
	_, err = io.Copy(ts.Stdout(), r.Body)
	ts.Check(err)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

package external

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// feeds is a program that prints what the test wants: its name.
func feeds(name string) {
	in := bufio.NewReader(os.Stdin)
	answer := func() {
		line, _ := in.ReadString('\n')
		fmt.Fprint(os.Stderr, "told "+line)
	}
	switch name {
	case "print": // what TEXT says, then the answers
		fmt.Print(os.Getenv("TEXT"))
		for range strings.Count(os.Getenv("TEXT"), `"id"`) {
			answer()
		}
	case "die":
		fmt.Println(`{"body":"x"}`)
		fmt.Fprintln(os.Stderr, "it hurts")
		os.Exit(3)
	case "flood":
		for {
			fmt.Println(`{"id":1,"events":[]}`)
		}
	case "willing": // ends in order when it is told to
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGTERM)
		fmt.Println(`{"body":"first"}`)
		<-told
		fmt.Println(`{"id":1,"body":"with id"}`)
		answer()
		fmt.Println(`{"body":"last"}`)
	}
}

// feed runs a feed to its end, or that of ctx, and returns what came.
func feed(t *testing.T, ctx context.Context, s Settings, r Restart, answer func(flume.Batch) error) (string, *flumetest.Env) {
	t.Helper()
	env := flumetest.NewEnv()
	f, err := OpenFeed(&s, r, env.Env)
	if err != nil {
		t.Fatal(err)
	}
	in := flumetest.Inbox{Answer: answer}
	if err := f.Run(ctx, in.Emit); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	var parts []string
	for _, b := range in.Batches() {
		parts = append(parts, strings.Join(flumetest.Bodies(b), " "))
	}
	return strings.Join(parts, "|"), env
}

func TestFeed(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, x := range []struct{ name, text, want, log, rejected string }{
		{"events", `{"body":"a"}` + "\n\n" + `{"body":"b"}` + "\n" + `{"events":[{"body":"c"},{"body":"d"}]}` + "\n", "a b c d", "", ""},
		{"the last line", `{"body":"a"}`, "a", "", ""},
		{"ids", `{"id":"x","body":"a"}` + "\n" + `{"body":"b"}` + "\n" + `{"events":[{"body":"c"},{"body":"d"}],"id":2}` + "\n" + `{"id":3,"events":[]}` + "\n", "a|b|c d",
			`told {"id":"x","ok":true}` + "\n" + `told {"id":2,"ok":true}` + "\n" + `told {"id":3,"ok":true}` + "\n", ""},
		{"a bad line", "hello\n" + `{"body":"b"}` + "\n" + `{"ok":true}` + "\n{}\n", "b",
			"", `line 1 that NAME has printed: byte 1: expecting {, and there is "hello" hello line 1 / ` +
				`line 3 that NAME has printed: a source gives events, and no answers {"ok":true} line 3 / line 4 that NAME has printed: it has no events {} line 4`},
		{"a bad line with an id", `{"id":5,"events":[{"bdy":"b"}]}` + "\n" + `{"body":"b"}` + "\n", "b",
			"A line of the program cannot be taken\n" + `told {"id":5,"error":"line 1 that NAME has printed: byte 26: events[0].bdy: there is no such field; there are headers, body, base64"}` + "\n", ""},
		{"a long line with an id", `{"id":5,"body":"` + long + `"}` + "\n" + `{"body":"b"}` + "\n", "b",
			`it is longer than maxLineBytes, 4096"}` + "\n", ""},
		{"a long line", long + "\n" + `{"body":"b"}` + "\n", "b", "", "which begins with"},
		{"a long last line", `{"body":"b"}` + "\n" + long, "b", "", "which begins with"},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := settings("print", "TEXT", x.text)
			named := func(text string) string { return strings.ReplaceAll(text, "NAME", s.Command) }
			got, env := feed(t, t.Context(), s, Restart{}, nil)
			if strings.ReplaceAll(got, "|", " ") != strings.ReplaceAll(x.want, "|", " ") || strings.Contains(x.want, "|") && got != x.want {
				t.Errorf("%s instead of %s", got, x.want)
			}
			var rejected []string
			for _, r := range env.Rejected() {
				rejected = append(rejected, fmt.Sprintf("%v %.50s %s", r.Err, r.Event.Body, r.Position))
			}
			if r := strings.Join(rejected, " / "); x.rejected == "" && r != "" || !strings.Contains(r, named(x.rejected)) {
				t.Errorf("rejected %s", r)
			}
			log := env.Logged()
			for _, line := range strings.Split(named(x.log), "\n") {
				if quoted := strings.ReplaceAll(strings.ReplaceAll(line, `\`, `\\`), `"`, `\"`); !strings.Contains(log, quoted) {
					t.Errorf("%s\nhas no %s", log, line)
				}
			}
			if said := strings.Count(log, "A line of the program cannot be taken"); said > 0 && x.rejected != "" {
				t.Errorf("%s\nsays %d times what the dead letters say too", log, said)
			}
			if !strings.Contains(log, "The program is done") {
				t.Error(log)
			}
		})
	}
}

// A batch with an id is offered once and the program told; events without one are kept until they are taken.
func TestFeedFailing(t *testing.T) {
	var mu sync.Mutex
	offered := map[string]int{}
	got, env := feed(t, t.Context(), settings("print", "TEXT", `{"body":"kept"}`+"\n"+`{"id":1,"body":"told"}`+"\n"), Restart{}, func(b flume.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if offered[string(b[0].Body)]++; offered[string(b[0].Body)] < 3 {
			return errors.New("the channel is \"full\"")
		}
		return nil
	})
	if log := env.Logged(); got != "kept" || offered["kept"] != 3 || offered["told"] != 1 || !strings.Contains(log, `{\"id\":1,\"error\":\"the channel is \\\"full\\\"\"}`) {
		t.Errorf("%s, %v: %s", got, offered, log)
	}
}

func TestFeedRestarts(t *testing.T) {
	var n atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	count := func(flume.Batch) error {
		if n.Add(1) == 4 {
			cancel()
		}
		return nil
	}
	_, env := feed(t, ctx, settings("die"), Restart{}, count)
	if log := env.Logged(); n.Load() != 4 || !strings.Contains(log, "exit status 3") || !strings.Contains(log, "it hurts") || strings.Count(log, "is started again") != 1 {
		t.Errorf("%d: %s", n.Load(), log)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	n.Store(0)
	if _, env = feed(t, ctx, settings("print", "TEXT", `{"body":"x"}`), Restart{Done: true}, count); n.Load() != 4 {
		t.Errorf("%d: %s", n.Load(), env.Logged())
	}
}

// A program that does not read its answers is not waited for.
func TestFeedDeaf(t *testing.T) {
	s := settings("flood")
	s.Timeout = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	_, env := feed(t, ctx, s, Restart{}, nil)
	if log := env.Logged(); !strings.Contains(log, "it has not read them for 200ms, its timeout; a program that wants no answers gives no id") {
		t.Error(log)
	}
}

// At the end what has no id is still taken, and what has one stays with the program.
func TestFeedStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := settings("willing")
	s.Stop = 10 * time.Second
	got, env := feed(t, ctx, s, Restart{}, func(flume.Batch) error {
		cancel()
		return nil
	})
	if log := env.Logged(); got != "first|last" || !strings.Contains(log, `{\"id\":1,\"error\":\"the agent stops\"}`) {
		t.Errorf("%s: %s", got, log)
	}
}

func TestFeedClosedWhileFailing(t *testing.T) {
	env := flumetest.NewEnv()
	s := settings("print", "TEXT", `{"body":"x"}`+"\n")
	f, err := OpenFeed(&s, Restart{}, env.Env)
	if err != nil {
		t.Fatal(err)
	}
	offered := make(chan struct{}, 100)
	done := make(chan error, 1)
	go func() {
		done <- f.Run(t.Context(), func(context.Context, flume.Batch) error {
			offered <- struct{}{}
			return flume.ErrFull
		})
	}()
	<-offered
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if log := env.Logged(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "events=1") {
		t.Error(log)
	}
}

package external

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// TestMain is also the program of the tests.
func TestMain(m *testing.M) {
	switch os.Getenv("PROGRAM") {
	case "":
		goleak.VerifyTestMain(m)
	case "answers":
		answers()
	default:
		feeds(os.Getenv("PROGRAM"))
	}
}

// answers is a program that does what the body of the first event says.
func answers() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if os.Getenv("DEAF") != "" {
				time.Sleep(time.Minute)
			}
			fmt.Fprintln(os.Stderr, "stdin has ended")
			return
		}
		var call struct {
			ID     int
			Events []struct{ Body string }
		}
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			panic(err)
		}
		order, rest, _ := strings.Cut(call.Events[0].Body, " ")
		switch order {
		case "say": // with the id for a #
			fmt.Println(strings.ReplaceAll(rest, "#", strconv.Itoa(call.ID)))
		case "die":
			fmt.Fprintln(os.Stderr, "it hurts")
			os.Exit(3)
		case "leave":
			os.Exit(0)
		case "sleep":
			time.Sleep(time.Minute)
		case "flood":
			for {
				fmt.Print("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
			}
		case "count":
			fmt.Printf(`{"id":%d,"error":"%d events"}`+"\n", call.ID, len(call.Events))
		default:
			fmt.Printf(`{"id":%d,"ok":true}`+"\n", call.ID)
		}
	}
}

func settings(program string, more ...string) Settings {
	s := Settings{Command: os.Args[0], MaxLine: 4096, Timeout: 10 * time.Second, Stop: time.Second,
		Env: conf.Values{{Key: "PROGRAM", Text: program}, {Key: "GORACE", Text: "atexit_sleep_ms=0"}}}
	for i := 0; i < len(more); i += 2 {
		s.Env = append(s.Env, conf.Value{Key: more[i], Text: more[i+1]})
	}
	return s
}

func caller(t *testing.T, s Settings) (*Caller, *flumetest.Env) {
	t.Helper()
	env := flumetest.NewEnv()
	c, err := Open(&s, Text, env.Env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, env
}

func batch(bodies ...string) flume.Batch {
	b := make(flume.Batch, len(bodies))
	for i := range b {
		b[i].Body = []byte(bodies[i])
	}
	return b
}

// outcome is what Deliver says, as a line.
func outcome(err error) string {
	var p *flume.PartialError
	if !errors.As(err, &p) {
		return fmt.Sprint(err)
	}
	out := fmt.Sprintf("pending %v in order %v: %v", p.Pending, p.InOrder, p.Err)
	for _, r := range p.Rejected {
		out += fmt.Sprintf("; rejected %d: %v", r.Index, r.Err)
	}
	return out
}

func TestDeliver(t *testing.T) {
	c, _ := caller(t, settings("answers"))
	for _, x := range []struct {
		bodies []string
		want   string
	}{
		{[]string{"fine", "b"}, "<nil>"},
		{[]string{`say {"id":#,"ok":true,"rejected":[{"index":1,"error":"bad"}],"pending":[2,0],"error":"later"}`, "b", "c"}, "pending [0 2] in order false: later; rejected 1: bad"},
		{[]string{`say {"id":#,"ok":true,"pending":[1]}`, "b"}, "pending [1] in order false: the program cannot deliver them yet"},
		{[]string{`say {"id":#,"error":"the disk is full"}`, "b"}, "the disk is full"},
		{[]string{`say {"id":#,"error":""}`, "b"}, "the program gives no reason"},
		{[]string{"fine", "b", strings.Repeat("x", 4096), "d"}, "pending [] in order false: <nil>; rejected 2: its line would be longer than maxLineBytes, 4096; it has 4096 bytes"},
		{[]string{strings.Repeat("x", 4096)}, "pending [] in order false: <nil>; rejected 0: its line would be longer than maxLineBytes, 4096; it has 4096 bytes"},
		{[]string{"fine " + strings.Repeat("x", 3000), "fine " + strings.Repeat("x", 3000), "b"}, "<nil>"},
		{[]string{"fine " + strings.Repeat("x", 3000), "count " + strings.Repeat("x", 3000), "c", "d"}, "pending [1 2 3] in order true: 3 events"},
	} {
		b := batch(x.bodies...)
		if got := outcome(c.Deliver(t.Context(), b)); got != x.want {
			t.Errorf("%.60q:\n%s\nwant\n%s", x.bodies, got, x.want)
		}
	}
	if c.program == nil {
		t.Error("the program was ended")
	}
}

func TestIntercept(t *testing.T) {
	c, _ := caller(t, settings("answers"))
	for _, x := range []struct {
		bodies []string
		want   string
		err    string
	}{
		{[]string{`say {"id":#,"events":[{"body":"x","headers":{"k":"v"}}],"rejected":[{"index":0,"error":"bad"}]}`, "b", "c"}, `x[{k v}] / say bad`, ""},
		{[]string{`say {"id":#,"events":[],"ok":true}`, "b"}, "", ""},
		{[]string{`say {"id":#,"error":"no table"}`, "b"}, "", "no table"},
		{[]string{strings.Repeat("x", 4096), `say {"id":#,"events":[{"body":"x"}]}`}, "x[] / xxx its line would be longer", ""},
		{[]string{`say {"id":#,"events":[{"body":"x"}]}` + strings.Repeat(" ", 3000), `say {"id":#,"events":[{"body":"y"}]}` + strings.Repeat(" ", 3000)}, "x[] y[]", ""},
	} {
		out, rejected, err := c.Intercept(t.Context(), batch(x.bodies...))
		got := ""
		for _, e := range out {
			got += fmt.Sprintf("%s%v ", e.Body, e.Headers)
		}
		for _, r := range rejected {
			got += fmt.Sprintf("/ %.3s %v ", r.Event.Body, r.Err)
		}
		if !strings.HasPrefix(got, x.want) || x.want == "" && got != "" || (err == nil) != (x.err == "") || err != nil && err.Error() != x.err {
			t.Errorf("%.80q:\n%s, %v\nwant\n%s, %s", x.bodies, got, err, x.want, x.err)
		}
	}
}

// What is not the protocol ends the program, with an error that names the line; the next call starts it again.
func TestBrokenPrograms(t *testing.T) {
	s := settings("answers")
	name := s.Command
	for _, x := range []struct{ order, deliver, intercept string }{
		{"say hello", "line 1 that " + name + ` has printed: byte 1: expecting {, and there is "hello" (stdout is for answers; what people shall read goes to stderr)`, ""},
		{`say {"id":7,"ok":true}`, "line 1 that " + name + " has printed: the answer has the id 7, and the call had 1", ""},
		{`say {"ok":true}`, "the answer has no id; it should have the one of the call, 1", ""},
		{`say {"id":#}`, `the answer of a sink has "ok":true`, "the answer of an interceptor has events, with rejected beside them, or an error alone"},
		{`say {"id":#,"ok":false}`, `the answer of a sink has "ok":true`, "the answer of an interceptor has events"},
		{`say {"id":#,"events":[]}`, "the answer of a sink has no events", "-"},
		{`say {"id":#,"ok":true,"error":"x"}`, `the answer of a sink has "ok":true`, "the answer of an interceptor has events"},
		{`say {"id":#,"error":"x","pending":[0]}`, `the answer of a sink has "ok":true`, "nothing pending"},
		{`say {"id":#,"ok":true,"pending":[1]}`, "pending: there is no event 1; the call had 1, from 0 on", ""},
		{`say {"id":#,"ok":true,"pending":[0],"rejected":[{"index":0,"error":"x"}]}`, "pending: event 0 is named twice", ""},
		{`say {"id":#,"body":"x"}`, `an answer has its events in a list: "events":[…]`, ""},
		{`say {"id":#,"events":[{},{}]}`, "no events", "an interceptor adds no events: the call had 1, the answer has 2 and 0 rejected"},
		{"die", name + ` has ended: exit status 3; it last said "it hurts"`, ""},
		{"leave", name + " has ended with status 0 and has not answered", ""},
		{"sleep", name + " has not answered within 300ms, which is its timeout", ""},
		{"flood", "it is longer than maxLineBytes, 4096", ""},
	} {
		for _, role := range []string{"deliver", "intercept"} {
			s := settings("answers")
			if x.order == "sleep" {
				s.Timeout = 300 * time.Millisecond
			}
			c, env := caller(t, s)
			call := func(order string) error {
				if role == "deliver" {
					return c.Deliver(context.Background(), batch(order))
				}
				_, _, err := c.Intercept(context.Background(), batch(order))
				return err
			}
			want := x.deliver
			if role == "intercept" {
				want = x.intercept
			}
			if role == "intercept" && x.intercept == "" || want == "-" {
				continue // as in the other role
			}
			if err := call(x.order); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s:\n%v\nwant\n%s", role, x.order, err, want)
			}
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				err := call(`say {"id":#,"error":"well again"}`)
				if err != nil && err.Error() == "well again" {
					break
				}
				if err == nil || !strings.Contains(err.Error(), "is started again") || !strings.Contains(err.Error(), want) || time.Now().After(end) {
					t.Errorf("%s after %s: %v", role, x.order, err)
					break
				}
			}
			if log := env.Logged(); strings.Contains(log, "ERROR") || strings.Contains(log, "WARN") {
				t.Error(log)
			}
		}
	}
}

// A line that is larger than all pipes goes through a program that does not wait for its end.
func TestCat(t *testing.T) {
	s := settings("")
	s.Command, s.MaxLine = "cat", 1<<20
	c, _ := caller(t, s)
	b := batch(strings.Repeat("é\n", 1<<17), "\x00\xff", "")
	b[1].Headers = flume.Headers{{Key: "k\xfe", Value: "\u2028"}}
	for range 3 {
		out, _, err := c.Intercept(t.Context(), b.Clone())
		if err != nil || len(out) != 3 {
			t.Fatal(len(out), err)
		}
		for i := range out {
			if string(out[i].Body) != string(b[i].Body) || !slices.Equal(out[i].Headers, b[i].Headers) {
				t.Errorf("event %d has come back as another one", i)
			}
		}
	}
}

func TestClose(t *testing.T) {
	c, env := caller(t, settings("answers"))
	if err := c.Deliver(t.Context(), batch("fine")); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if log := env.Logged(); !strings.Contains(log, "stderr: stdin has ended") || strings.Contains(log, "WARN") {
		t.Error(log)
	}
	if err := c.Deliver(t.Context(), batch("fine")); err == nil {
		t.Error("a closed one delivers")
	}
	s := settings("answers", "DEAF", "yes")
	s.Stop = 50 * time.Millisecond
	c, env = caller(t, s)
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second || !strings.Contains(env.Logged(), "is made to end") {
		t.Errorf("%v: %s", took, env.Logged())
	}
}

// When the agent's patience is over, a call is over soon after.
func TestAbandoned(t *testing.T) {
	s := settings("answers")
	s.Stop = 50 * time.Millisecond
	c, _ := caller(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := c.Deliver(ctx, batch("sleep")); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestStartedAgainSlowly(t *testing.T) {
	s := settings("")
	s.Command = "false"
	c, _ := caller(t, s)
	began := time.Now()
	calls := 0
	for time.Since(began) < 2*time.Second {
		if err := c.Deliver(t.Context(), batch("x")); err == nil || !strings.Contains(err.Error(), "exit status 1") || strings.Contains(err.Error(), "in 0s") {
			t.Fatal(err)
		}
		calls++
		time.Sleep(time.Millisecond)
	}
	if c.id > 8 || calls < 20 {
		t.Errorf("started %d times in %d calls", c.id, calls)
	}
}

func TestNoSuchProgram(t *testing.T) {
	s := settings("")
	s.Command = "/nonexistent/program"
	if _, err := Open(&s, Text, flumetest.NewEnv().Env); err == nil || !strings.Contains(err.Error(), s.Command) {
		t.Error(err)
	}
	if _, err := OpenFeed(&s, Restart{}, flumetest.NewEnv().Env); err == nil || !strings.Contains(err.Error(), s.Command) {
		t.Error(err)
	}
}

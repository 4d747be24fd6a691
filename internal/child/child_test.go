package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestArgs(t *testing.T) {
	for _, x := range []struct {
		shell, command string
		want           []string
	}{
		{"", "tail -F  /var/log/x", []string{"tail", "-F", "/var/log/x"}},
		{"", `echo "a b" $HOME | cat`, []string{"echo", `"a`, `b"`, "$HOME", "|", "cat"}},
		{"", "echo\ta\u00a0b", []string{"echo", "a\u00a0b"}},
		{"/bin/sh  -c", "echo a  b", []string{"/bin/sh", "-c", "echo a  b"}},
		{" ", "x", []string{"x"}},
	} {
		if got := Args(x.shell, x.command); !slices.Equal(got, x.want) {
			t.Errorf("%q, %q: %q", x.shell, x.command, got)
		}
	}
}

// notes keeps what is said.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) say(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.lines, "\n")
}

// forever reads as long as it takes.
type forever struct{ *Output }

func (f forever) Read(b []byte) (int, error) { return f.Output.Read(b, time.Time{}) }

func run(t *testing.T, script string, env ...string) (*Child, *notes) {
	t.Helper()
	var said notes
	c := Command{Args: []string{"/bin/sh", "-c", script}, Env: env, Say: said.say}
	p, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(0) })
	return p, &said
}

func TestChild(t *testing.T) {
	p, said := run(t, `read x; echo "$x $WHO" "$HOME"; echo one >&2; printf two >&2; exit 3`, "WHO=me")
	if _, err := io.WriteString(p.In, "hello\n"); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(forever{p.Out})
	if want := "hello me " + os.Getenv("HOME") + "\n"; err != nil || string(out) != want {
		t.Errorf("%q, %v", out, err)
	}
	<-p.Ended()
	p.Close(time.Second)
	if err := p.Err(); err == nil || err.Error() != `/bin/sh has ended: exit status 3; it last said "two"` {
		t.Error(err)
	}
	if said.String() != "one\ntwo" {
		t.Errorf("said %q", said)
	}
}

// Of a program that not even Close has ended nothing is said but that.
func TestStuck(t *testing.T) {
	p := Child{name: "tail", ended: make(chan struct{})}
	go func() {
		p.how = errors.New("exit status 1")
		close(p.ended)
	}()
	for range 1000 {
		if err := p.Err(); err == nil {
			t.Fatal("it is said to be done")
		}
	}
	<-p.ended
	if err := p.Err(); err == nil || err.Error() != "tail has ended: exit status 1" {
		t.Error(err)
	}
}

func TestNoSuchProgram(t *testing.T) {
	c := Command{Args: []string{"/nonexistent/program"}}
	if _, err := c.Start(); err == nil || !strings.Contains(err.Error(), "starting /nonexistent/program: ") {
		t.Error(err)
	}
	fds := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	before := fds()
	for range 20 {
		_, _ = c.Start()
	}
	if after := fds(); after > before+5 {
		t.Errorf("%d files are open, there were %d", after, before)
	}
}

// What the program has started ends with it, also where both do not want to.
func TestTheGroupEnds(t *testing.T) {
	for _, x := range []struct {
		name, script string
		grace        time.Duration
	}{
		{"willing", `sleep 1000 & echo $!; wait`, 10 * time.Second},
		{"deaf", `trap "" TERM; sleep 1000 & echo $!; while :; do sleep 1; done`, 50 * time.Millisecond},
		{"left alone", `sleep 1000 & echo $!`, 10 * time.Second},
		{"at once", `sleep 1000 & echo $!; wait`, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			p, _ := run(t, x.script)
			line := make([]byte, 20)
			n, err := p.Out.Read(line, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			p.Close(x.grace)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if state := stateOf(strings.TrimSpace(string(line[:n]))); state != "" && state != "Z" {
				t.Errorf("what it started is %s", state)
			}
		})
	}
}

// stateOf is what /proc says of a process, "" if there is none.
func stateOf(pid string) string {
	b, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	return fields[0]
}

// One who has left the group does not keep Close waiting.
func TestEscaped(t *testing.T) {
	if _, err := os.Stat("/usr/bin/setsid"); err != nil {
		t.Skip(err)
	}
	p, _ := run(t, `/usr/bin/setsid sleep 3 & echo; wait`)
	if _, err := p.Out.Read(make([]byte, 1), time.Time{}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.Close(time.Second)
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// A program that floods stderr is not kept from it, and does not flood the log.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said notes
		f := filter{say: said.say}
		r, w := io.Pipe()
		go func() {
			for i := range 1000 {
				fmt.Fprintf(w, "line %d\n", i)
			}
			time.Sleep(time.Second)
			fmt.Fprintf(w, "later\n%s\nlast", strings.Repeat("é", 5000))
			w.Close()
		}()
		var last string
		f.read(r, func(l string) { last = l })
		if n := len(said.lines); n != 104 || said.lines[99] != "line 99" || said.lines[100] != "(900 lines are not shown)" || said.lines[101] != "later" {
			t.Errorf("%d lines: %q", n, said.lines[95:])
		}
		if long := said.lines[102]; len(long) > 2010 || !strings.HasSuffix(long, "é…") || last != "last" {
			t.Errorf("%q, %q", long, last)
		}
	})
}

// While a flood lasts, what is not shown is said less and less often, and again at once when there is another one.
func TestLongFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said notes
		f := filter{say: said.say}
		sums := func() (times, hidden, shown int) {
			for _, l := range said.lines {
				var n int
				if _, err := fmt.Sscanf(l, "(%d lines are not shown)", &n); err == nil {
					times, hidden = times+1, hidden+n
				} else {
					shown++
				}
			}
			said.lines = nil
			return times, hidden, shown
		}
		const lines = 60_000
		flood := func(n int) {
			for i := range n {
				f.line(fmt.Sprint("line ", i))
				time.Sleep(10 * time.Millisecond)
			}
		}
		flood(lines) // ten minutes
		if times, _, shown := sums(); times != 15 || shown < 6000 || shown > 6200 {
			t.Errorf("%d lines are shown, and that others are not is said %d times", shown, times)
		}
		time.Sleep(time.Hour)
		f.line("quiet")
		if times, _, _ := sums(); times != 1 {
			t.Errorf("after the flood that lines were not shown is said %d times", times)
		}
		time.Sleep(time.Hour)
		flood(400) // four seconds
		f.tell()
		if times, hidden, shown := sums(); times < 3 || hidden+shown != 400 {
			t.Errorf("of 400 lines %d are shown, and that %d are not is said %d times", shown, hidden, times)
		}
	})
}

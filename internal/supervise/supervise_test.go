package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// notes is a log that can be read while it is written.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notes) count(part string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(n.b.String(), part)
}

func (n *notes) log() *slog.Logger { return slog.New(slog.NewTextHandler(n, nil)) }

// story is a component whose life a test writes: what each Open and each Use answers.
type story struct {
	mu    sync.Mutex
	lines []string
	opens []error
	uses  []error
}

func (s *story) tell(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *story) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, " ")
}

func (s *story) next(from *[]error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*from) == 0 {
		return nil
	}
	err := (*from)[0]
	*from = (*from)[1:]
	if err != nil && err.Error() == "panic" {
		panic("mad")
	}
	return err
}

func (s *story) task(log *slog.Logger) *Task[int] {
	began := time.Now()
	at := func(what string) string { return fmt.Sprintf("%s@%d", what, int(time.Since(began).Seconds())) }
	return &Task[int]{
		Name: "thing", Log: log,
		Open: func(context.Context) (int, error) {
			s.tell(at("open"))
			return 7, s.next(&s.opens)
		},
		Failed: func() { s.tell("failed") },
		Use: func(ctx context.Context, c int) error {
			s.tell(fmt.Sprintf("use%d", c))
			if len(s.uses) == 0 {
				<-ctx.Done()
				return nil
			}
			return s.next(&s.uses)
		},
		Close: func(int) error { s.tell(at("close")); return nil },
	}
}

func TestATaskIsKeptOpen(t *testing.T) {
	err := errors.New("no")
	for name, test := range map[string]struct {
		story *story
		want  string
		logs  map[string]int
	}{
		"at once":           {&story{}, "open@0 use7 close@100", map[string]int{"level": 0}},
		"after two tries":   {&story{opens: []error{err, err}}, "open@0 failed open@3 failed open@6 use7 close@100", map[string]int{"thing cannot be opened": 1, "thing is open now": 1}},
		"after a panic":     {&story{opens: []error{errors.New("panic")}}, "open@0 failed open@3 use7 close@100", map[string]int{"BUG while opening thing": 1, "stack=": 1}},
		"after it broke":    {&story{uses: []error{err, err}}, "open@0 use7 close@0 open@3 use7 close@3 open@6 use7 close@100", map[string]int{"thing broke off and is opened again": 1}},
		"after it went mad": {&story{uses: []error{errors.New("panic")}}, "open@0 use7 close@0 open@3 use7 close@100", map[string]int{"BUG while running thing": 1}},
		"until it is done":  {&story{uses: []error{nil}}, "open@0 use7 close@0", map[string]int{"level": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log notes
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				test.story.task(log.log()).Run(ctx)
				if got := test.story.String(); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
				for part, n := range test.logs {
					if got := log.count(part); got != n {
						t.Errorf("%q is said %d times, want %d:\n%s", part, got, n, &log.b)
					}
				}
			})
		})
	}
}

func TestATaskThatNeverOpensEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log notes
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		began := time.Now()
		task := Task[int]{Name: "thing", Log: log.log(), Failed: func() {},
			Open: func(context.Context) (int, error) { return 0, errors.New("no") }}
		task.Run(ctx)
		if took := time.Since(began); took != 100*time.Second {
			t.Errorf("ended after %v", took)
		}
		if n := log.count("thing cannot be opened"); n != 2 {
			t.Errorf("said %d times in 100 s:\n%s", n, &log.b)
		}
	})
}

func TestAPanicInCloseIsSaid(t *testing.T) {
	var log notes
	task := Task[int]{Name: "thing", Log: log.log(), Open: func(context.Context) (int, error) { return 0, nil },
		Use: func(context.Context, int) error { return nil }, Close: func(int) error { panic("mad") }}
	task.Run(t.Context())
	if log.count("BUG while closing thing") != 1 || log.count("supervise_test.go") == 0 {
		t.Errorf("not said with its stack:\n%s", &log.b)
	}
}

func TestTroubleSaysWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log notes
		trouble := Trouble{Log: log.log(), Failing: "it fails", Over: "it works"}
		trouble.End()
		fail := func(text string, n int) {
			t.Helper()
			trouble.Report(slog.LevelWarn, errors.New(text), time.Second)
			if got := log.count("it fails"); got != n {
				t.Errorf("said %d times, want %d:\n%s", got, n, &log.b)
			}
		}
		fail("port 1", 1)
		fail("port 2", 1) // the same but for a number
		fail("host away", 2)
		fail("port 3", 2) // back to what is known
		time.Sleep(time.Minute)
		fail("port 3", 3)
		fail("port 3", 3)
		time.Sleep(time.Minute)
		fail("port 3", 3)
		time.Sleep(time.Minute)
		fail("port 3", 4) // after two more minutes
		for range 10 {
			time.Sleep(time.Hour)
			trouble.Report(slog.LevelWarn, errors.New("port 4"), 0)
		}
		if got := log.count("it fails"); got != 14 {
			t.Errorf("said %d times, want once an hour:\n%s", got, &log.b)
		}
		trouble.End()
		trouble.End()
		if got := log.count("it works"); got != 1 {
			t.Errorf("the end is said %d times", got)
		}
		time.Sleep(2 * time.Minute)
		fail("port 5", 15) // new after some quiet
	})
}

func TestTroubleThatComesAndGoesIsNotSaidEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log notes
		trouble := Trouble{Log: log.log(), Failing: "it fails", Over: "it works"}
		for i := range 600 {
			trouble.Report(slog.LevelWarn, fmt.Errorf("event %d", i), 0)
			trouble.End()
			time.Sleep(100 * time.Millisecond)
		}
		if fails, works := log.count("it fails"), log.count("it works"); fails > 2 || works > 2 {
			t.Errorf("said %d and %d times:\n%s", fails, works, &log.b)
		}
	})
}

func TestTroubleOfManyKindsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log notes
		trouble := Trouble{Log: log.log(), Failing: "it fails"}
		for i := range 100 {
			trouble.Report(slog.LevelWarn, errors.New(strings.Repeat("x", i)), 0)
		}
		if n := log.count("it fails"); n != most {
			t.Errorf("said %d times", n)
		}
	})
}

func TestBackoffGrowsAndSpreads(t *testing.T) {
	b := Backoff{Least: 100 * time.Millisecond, Most: time.Second}
	seen := map[time.Duration]bool{}
	for _, around := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		around *= time.Millisecond
		d := b.Next()
		if d < around*3/4 || d > around*5/4+1 {
			t.Errorf("%v is not about %v", d, around)
		}
		seen[d] = true
	}
	if len(seen) < 5 {
		t.Errorf("all of one length: %v", seen)
	}
	b.Reset()
	if d := b.Next(); d > 125*time.Millisecond+1 {
		t.Errorf("%v after a reset", d)
	}
}

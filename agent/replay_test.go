package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/deadletter"
)

// stage is a configuration with two sources, two channels and two sinks, of which k1 rejects what is bad until told otherwise.
const stage = `
	a1.channels = c1 c2
	a1.sources = s1 s2
	a1.sinks = k1 k2
	a1.channels.c1.type = memory
	a1.channels.c2.type = memory
	a1.sources.s1.type = lend
	a1.sources.s1.channels = c1
	a1.sources.s1.interceptors = i1
	a1.sources.s1.interceptors.i1.type = stamp
	a1.sources.s2.type = idle
	a1.sources.s2.channels = c1 c2
	a1.sinks.k1.type = test
	a1.sinks.k1.channel = c1
	a1.sinks.k2.type = test
	a1.sinks.k2.channel = c2
`

type replayStage struct {
	kit    Kit
	got    collector
	emits  chan flume.Emit
	mended chan struct{} // closed: nothing is rejected any more
	opened map[string]*memory
}

func newStage() *replayStage {
	s := &replayStage{emits: make(chan flume.Emit, 1), mended: make(chan struct{})}
	s.kit, s.opened = oneSink(func(ctx context.Context, b flume.Batch) error {
		select {
		case <-s.mended:
			s.got.add(b)
			return nil
		default:
			return rejecting(&s.got)(ctx, b)
		}
	})
	s.kit.Selectors = []flume.Kind[flume.Selector]{replicating()}
	s.kit.Sources = []flume.Kind[flume.Source]{sourceKind("lend", func(flume.Env) (flume.Source, error) {
		return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
			s.emits <- emit
			<-ctx.Done()
			return nil
		}}, nil
	}), sourceKind("idle", func(flume.Env) (flume.Source, error) {
		return fakeSource{run: func(ctx context.Context, _ flume.Emit) error {
			<-ctx.Done()
			return nil
		}}, nil
	})}
	s.kit.Interceptors = []flume.Kind[flume.Interceptor]{interceptorKind("stamp", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
		var keep flume.Batch
		var out []flume.Rejection
		for _, e := range b {
			n, _ := e.Headers.Get("stamped")
			e.Headers.Set("stamped", n+"x")
			if strings.HasPrefix(string(e.Body), "early") {
				out = append(out, flume.Rejection{Event: e, Err: errors.New("too early")})
			} else {
				keep = append(keep, e)
			}
		}
		return keep, out, nil
	})}
	return s
}

// stamps is how often each event has passed the interceptor.
func (s *replayStage) stamps() string {
	s.got.mu.Lock()
	defer s.got.mu.Unlock()
	var out []string
	for _, e := range s.got.got {
		v, _ := e.Headers.Get("stamped")
		out = append(out, string(e.Body)+":"+v)
	}
	return strings.Join(out, " ")
}

func TestAnAgentReplaysWhileItRuns(t *testing.T) {
	for to, want := range map[string]string{"": "bad1:x", "channel": "bad1:x", "source:s1": "bad1:xx", "channel:c2": "bad1:x"} {
		s := newStage()
		a, stop := start(t, s.kit, stage, func(o *Options) { o.Files = []string{"/f.conf"} })
		emit := <-s.emits
		if err := emit(t.Context(), events("bad1 bad2")); err != nil {
			t.Fatal(err)
		}
		flumetest.Until(t, "they are rejected", func() bool { return counter(t, a, "SINK.k1", "RejectedCount") == 2 })
		close(s.mended)
		dir := RequestDir(a.o.DataDir, "a1")
		flumetest.Until(t, "it answers", func() bool { _, running, _ := deadletter.Running(dir); return running })
		answer, err := deadletter.Ask(t.Context(), dir, deadletter.Request{Where: []string{"body=bad1"}, To: to})
		if err != nil || answer.Settled != 1 || answer.Again != 0 || answer.Error != "" {
			t.Fatalf("to %q: %+v, %v", to, answer, err)
		}
		flumetest.Until(t, "it arrives", func() bool { return s.stamps() != "" })
		if s.stamps() != want {
			t.Errorf("to %q: %q", to, s.stamps())
		}
		if got := letterBodies(t, a); got != "bad2" {
			t.Errorf("to %q: %q is left", to, got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatCannotBeReplayedIsSaid(t *testing.T) {
	s := newStage()
	a, stop := start(t, s.kit, stage, func(o *Options) { o.Files = []string{"/f.conf"} })
	emit := <-s.emits
	if err := emit(t.Context(), events("bad early")); err != nil {
		t.Fatal(err)
	}
	flumetest.Until(t, "it is rejected", func() bool { return counter(t, a, "SINK.k1", "RejectedCount") == 1 })
	dir := RequestDir(a.o.DataDir, "a1")
	flumetest.Until(t, "it answers", func() bool { _, running, _ := deadletter.Running(dir); return running })
	ask := func(q deadletter.Request) string {
		t.Helper()
		answer, err := deadletter.Ask(t.Context(), dir, q)
		if err != nil || answer.Settled != 0 {
			t.Errorf("%+v: %+v, %v", q, answer, err)
		}
		return answer.Error + strings.Join(answer.Remarks, "\n")
	}
	for want, q := range map[string]deadletter.Request{
		"the sources s1, s2 put events into channel c1": {To: "source", Where: []string{"component=a1.sinks.k1"}},
		`agent a1 has no source "s9"`:                   {To: "source:s9"},
		`agent a1 has no channel "c9"`:                  {To: "channel:c9"},
		`not to "sink"`:                                 {To: "sink"},
		"no field":                                      {Where: []string{"x=y"}},
	} {
		if got := ask(q); !strings.Contains(got, want) {
			t.Errorf("%+v: %q", q, got)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestReplayThroughAStoppedAgent(t *testing.T) {
	data := t.TempDir()
	write := func(component string, words string) {
		t.Helper()
		l := deadletter.New(LetterDir(data, "a1"), "a1", 1<<20)
		for _, e := range events(words) {
			if err := l.Write(component, flume.Rejection{Event: e, Err: errors.New("no")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write("a1.sinks.k1", "one two")
	write("a1.sources.s1.interceptors.i1", "three")
	write("a1.sinks.k9", "four")
	write("b.sinks.k1", "five")
	s := newStage()
	replay := func(lines string, q deadletter.Request) deadletter.Answer {
		t.Helper()
		a, problems := New(file(t, "f.conf", stage+lines).Agents[0], Options{Kit: s.kit, DataDir: data})
		if a == nil {
			t.Fatal(problems)
		}
		return a.Replay(t.Context(), q)
	}
	if a := replay("", deadletter.Request{}); a.Settled != 0 || !strings.Contains(strings.Join(a.Remarks, " "), "start the agent, and replay while it runs") {
		t.Errorf("into memory: %+v", a)
	}
	const durable = "a1.channels.c1.durable = true\na1.channels.c2.durable = true\n"
	if a := replay(durable+"a1.channels.c1.fail = put", deadletter.Request{Where: []string{"component=a1.sinks.k1"}}); a.Settled != 0 || a.Open != 0 || !strings.Contains(a.Error, "put is out of order") {
		t.Errorf("into a channel that refuses: %+v", a)
	}
	if a := replay(durable+"a1.channels.c1.fail = commit", deadletter.Request{Where: []string{"body=one"}}); a.Settled != 0 || a.Open != 1 {
		t.Errorf("into a channel whose commit fails: %+v", a)
	}
	a := replay(durable, deadletter.Request{})
	if a.Settled != 3 || a.Again != 1 || a.Unrouted != 2 || len(a.Remarks) != 2 || a.Error != "" {
		t.Errorf("%+v", a)
	}
	if got := s.opened["c1"].bodies(); got != "one two three" {
		t.Errorf("the channel holds %q", got)
	}
	m := s.opened["c1"]
	if _, stamped := m.queue[0].Headers.Get("stamped"); stamped {
		t.Error("a sink's letter has passed the source")
	}
	if _, stamped := m.queue[2].Headers.Get("stamped"); !stamped {
		t.Error("a source's letter has not passed the interceptors")
	}
	if !m.closed {
		t.Error("the channel is left open")
	}
	if a := replay(durable, deadletter.Request{To: "channel:c2"}); a.Settled != 2 || s.opened["c2"].bodies() != "four five" {
		t.Errorf("%+v, %q", a, s.opened["c2"].bodies())
	}
	if left, _ := filepath.Glob(filepath.Join(LetterDir(data, "a1"), "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A batch that no transaction holds goes in parts.
func TestReplayIntoASmallChannel(t *testing.T) {
	data := t.TempDir()
	l := deadletter.New(LetterDir(data, "a1"), "a1", 1<<20)
	for _, e := range numbered(0, 30) {
		if err := l.Write("a1.sinks.k1", flume.Rejection{Event: e, Err: errors.New("no")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := newStage()
	a, _ := start(t, s.kit, stage+"a1.channels.c1.capacity = 4\na1.channels.c1.durable = true", func(o *Options) { o.Files, o.DataDir = []string{"f"}, data })
	close(s.mended)
	dir := RequestDir(a.o.DataDir, "a1")
	flumetest.Until(t, "it answers", func() bool { _, running, _ := deadletter.Running(dir); return running })
	answer, err := deadletter.Ask(t.Context(), dir, deadletter.Request{To: "source:s1"})
	if err != nil || answer.Settled != 30 || answer.Error != "" {
		t.Fatalf("%+v, %v", answer, err)
	}
	flumetest.Until(t, "all arrive", func() bool { return counter(t, a, "SINK.k1", "EventDrainSuccessCount") == 30 })
	want(t, a, "SOURCE.s1", "ReplayedCount", 30)
	if s.got.bodies() != bodies(numbered(0, 30)) {
		t.Errorf("delivered %q", s.got.bodies())
	}
}

func TestTwoAgentsOfOneName(t *testing.T) {
	s := newStage()
	a, _ := start(t, s.kit, stage, func(o *Options) { o.Files = []string{"/f.conf"} })
	dir := RequestDir(a.o.DataDir, "a1")
	flumetest.Until(t, "it answers", func() bool { _, running, _ := deadletter.Running(dir); return running })
	var log logBuffer
	_, _ = start(t, newStage().kit, stage, log.use, func(o *Options) { o.Files, o.DataDir = []string{"/g.conf"}, a.o.DataDir })
	flumetest.Until(t, "it is said", func() bool { return log.count("another agent of this name has the same data directory") == 1 })
}

func TestAnAgentWithoutAPlaceForRequestsRuns(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "replay"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var log logBuffer
	_, stop := start(t, newStage().kit, stage, log.use, func(o *Options) { o.Files, o.DataDir = []string{"/g.conf"}, data })
	flumetest.Until(t, "it is said", func() bool { return log.count("dead letters cannot be replayed while this agent runs") == 1 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// For a sink that writes each event once a replayed letter is a new event, and the same one each time that it is replayed.
func TestReplayedLettersHavePositionsOfTheirOwn(t *testing.T) {
	data := t.TempDir()
	l := deadletter.New(LetterDir(data, "a1"), "a1", 1<<20)
	if err := l.Write("a1.sinks.k1", flume.Rejection{Event: events("0")[0], Err: errors.New("no")}, flume.Rejection{Event: events("1")[0], Err: errors.New("no")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	channels := map[string]*memory{}
	for _, x := range []struct{ fail, to string }{{"commit", ""}, {"", "source:s1"}} {
		a, problems := New(file(t, "f.conf", `
			a1.channels = c1
			a1.sources = s1
			a1.sinks = k1
			a1.channels.c1.type = memory
			a1.channels.c1.durable = true
			a1.channels.c1.fail = `+x.fail+`
			a1.sources.s1.type = log
			a1.sources.s1.channels = c1
			a1.sinks.k1.type = once
			a1.sinks.k1.channel = c1
			a1.sinks.k1.exactlyOnce = true`).Agents[0], Options{Kit: onceKit(channels, idle, discard), DataDir: data})
		if a == nil {
			t.Fatal(problems)
		}
		answer := a.Replay(t.Context(), deadletter.Request{To: x.to})
		if x.fail != "" && answer.Open != 2 || x.fail == "" && (answer.Settled != 2 || answer.Again != 2) {
			t.Fatalf("%+v", answer)
		}
	}
	for i, e := range channels["c1"].queue {
		id, _ := e.Headers.Get(flume.LetterID)
		place, _ := e.Headers.Get(flume.PositionHeader)
		name, number, _ := strings.Cut(id, "-")
		if want := "letter/" + name + "/0/" + number; place != want || number != string(e.Body) {
			t.Errorf("event %d: position %q of letter %q", i, place, id)
		}
	}
}

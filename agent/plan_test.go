package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// rejecting is a sink that rejects events whose body begins with bad.
func rejecting(got *collector) func(context.Context, flume.Batch) error {
	return func(_ context.Context, b flume.Batch) error {
		p := &flume.PartialError{}
		for i := range b {
			if strings.HasPrefix(string(b[i].Body), "bad") {
				p.Rejected = append(p.Rejected, flume.Rejected{Index: i, Err: errors.New("it is bad")})
			} else {
				got.add(b[i : i+1])
			}
		}
		if p.Rejected != nil {
			return p
		}
		return nil
	}
}

// rejectingAndLast is a kit with a sink "test" that rejects what is bad and a sink "last" that takes all.
func rejectingAndLast(got, last *collector) (Kit, map[string]*memory) {
	kit, opened := oneSink(rejecting(got))
	kit.Sinks = append(kit.Sinks, sinkKind("last", func(flume.Env) (flume.Sink, error) {
		return fakeSink{deliver: func(_ context.Context, b flume.Batch) error { last.add(b); return nil }}, nil
	}))
	return kit, opened
}

const toChannelDL = drained + `
	a1.channels = c1 dl
	a1.channels.dl.type = memory
	a1.sinks = k1 k2
	a1.sinks.k2.type = last
	a1.sinks.k2.channel = dl
	a1.sinks.k1.deadletter = dl
`

func TestDeadLettersGoToAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got, last collector
		kit, opened := rejectingAndLast(&got, &last)
		a, stop := start(t, kit, toChannelDL)
		e := flume.Event{Body: []byte("bad"), Headers: flume.Headers{{Key: "host", Value: "h"}, {Key: flume.LetterID, Value: "an earlier one"}}}
		fill(t, opened["c1"], append(events("a"), e))
		synctest.Wait()
		if got.bodies() != "a" || last.bodies() != "bad" || letterBodies(t, a) != "" {
			t.Fatalf("delivered %q, dead letters %q, in files %q", got.bodies(), last.bodies(), letterBodies(t, a))
		}
		h := last.got[0].Headers
		for key, want := range map[string]string{"host": "h", "deadletter.reason": "it is bad", "deadletter.component": "a1.sinks.k1", "deadletter.agent": "a1", "deadletter.attempt": "1"} {
			if v, _ := h.Get(key); v != want {
				t.Errorf("header %s is %q", key, v)
			}
		}
		id, _ := h.Get(flume.LetterID)
		at, _ := h.Get("deadletter.time")
		if id == "" || id == "an earlier one" || at != "946684800000" {
			t.Errorf("headers %v", h)
		}
		want(t, a, "SINK.k1", "RejectedCount", 1)
		want(t, a, "CHANNEL.dl", "EventPutSuccessCount", 1)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// At a stop the sink of the dead letters' channel ends behind those that write them.
func TestStoppingDeliversDeadLettersInAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last collector
		kit, opened := rejectingAndLast(new(collector), &last)
		slow := rejecting(new(collector))
		kit.Sinks[0] = sinkKind("test", func(flume.Env) (flume.Sink, error) {
			return fakeSink{deliver: func(ctx context.Context, b flume.Batch) error {
				time.Sleep(5 * time.Second)
				return slow(ctx, b)
			}}, nil
		})
		_, stop := start(t, kit, toChannelDL)
		fill(t, opened["c1"], events("bad"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if last.bodies() != "bad" {
			t.Errorf("dead letters %q", last.bodies())
		}
	})
}

func TestAFullChannelOfDeadLettersHoldsTheSinkUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kit, opened := rejectingAndLast(new(collector), new(collector))
		var log logBuffer
		a, stop := start(t, kit, strings.Replace(toChannelDL, "a1.sinks = k1 k2", "a1.sinks = k1", 1)+`
			a1.channels.c1.durable = true
			a1.channels.dl.durable = true
			a1.channels.dl.capacity = 1`, log.use)
		fill(t, opened["c1"], events("bad1"))
		synctest.Wait()
		fill(t, opened["c1"], events("bad2"))
		pass(20 * time.Second)
		want(t, a, "SINK.k1", "RejectedCount", 1)
		if log.count("level=ERROR msg=\"rejected events cannot be kept; who rejected them waits\"") != 1 {
			t.Errorf("the log is\n%s", &log)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if opened["c1"].bodies() != "bad2" || opened["dl"].bodies() != "bad1" {
			t.Errorf("left %q and %q", opened["c1"].bodies(), opened["dl"].bodies())
		}
	})
}

func TestEachComponentHasItsOwnPlace(t *testing.T) {
	dir := t.TempDir()
	var refusing fakeInterceptor = func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
		var keep flume.Batch
		var out []flume.Rejection
		for _, e := range b {
			if strings.HasPrefix(string(e.Body), "bad") {
				out = append(out, flume.Rejection{Event: e, Err: errors.New("no")})
			} else {
				keep = append(keep, e)
			}
		}
		return keep, out, nil
	}
	count := func(where string) int {
		found, _ := filepath.Glob(filepath.Join(where, "*.avro"))
		return len(found)
	}
	for lines, want := range map[string]string{
		"": "default",
		"a1.sources.s1.deadletter = file:" + dir + "/s":                                                                dir + "/s",
		"a1.sources.s1.deadletter = file:" + dir + "/x\na1.sources.s1.interceptors.i1.deadletter = file:" + dir + "/i": dir + "/i",
		"a1.sources.s1.interceptors.i1.deadletter = discard":                                                           "",
	} {
		var log logBuffer
		b := newBench(t, "a1.sources.s1.interceptors = i1\na1.sources.s1.interceptors.i1.type = refusing\n"+lines,
			Kit{Interceptors: []flume.Kind[flume.Interceptor]{interceptorKind("refusing", refusing)}}, log.use)
		if err := b.emit(t.Context(), events("a bad")); err != nil {
			t.Fatal(err)
		}
		b.holds("c1", "a")
		b.counter("SOURCE.s1", "RejectedCount", 1)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		usual := LetterDir(b.agent.o.DataDir, "a1")
		switch want {
		case "default":
			want = usual
		case "":
			if log.count("deadletter = discard asks for it") != 1 || count(usual) != 0 {
				t.Errorf("the log is\n%s", &log)
			}
			continue
		}
		if count(want) != 1 || want != usual && count(usual) != 0 {
			t.Errorf("%q: nothing is in %s", lines, want)
		}
	}
}

func TestADirectoryOfDeadLettersHasItsOwnBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		kit, opened := oneSink(rejecting(new(collector)))
		a, stop := start(t, kit, drained+"a1.channels.c1.durable = true\na1.sinks.k1.deadletter = file:"+dir+"\na1.sinks.k1.deadletter.bytes = 10")
		fill(t, opened["c1"], events("bad"))
		pass(10 * time.Second)
		want(t, a, "SINK.k1", "RejectedCount", 0)
		_ = stop()
	})
}

// topicSettings are those of a sink that stands for the Kafka sink.
type topicSettings struct {
	topic, servers  string
	override, whole bool
	mapped          conf.Values
}

func (s *topicSettings) Declare(d *conf.Decl) {
	d.String(&s.topic, "kafka.topic", "", "The topic.")
	d.String(&s.servers, "kafka.bootstrap.servers", "", "The brokers.").Required()
	d.Bool(&s.override, "allowTopicOverride", true, "Whether a header may name it.")
	d.Bool(&s.whole, "useFlumeEventFormat", false, "Whether the event is sent whole.")
	d.Rest(&s.mapped, "header.", "Headers.")
}

func TestDeadLettersGoToATopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent collector
		var settings *topicSettings
		var fails atomic.Pointer[error]
		kit, opened := oneSink(rejecting(new(collector)))
		closed := 0
		kit.Sinks = append(kit.Sinks, flume.Define[topicSettings]("kafka", "org.example.Kafka", "A topic.",
			func(_ context.Context, s *topicSettings, _ flume.Env) (flume.Sink, error) {
				settings = s
				return fakeSink{deliver: func(_ context.Context, b flume.Batch) error {
					if err := fails.Load(); err != nil {
						return *err
					}
					sent.add(b)
					return nil
				}, close: func() error { closed++; return nil }}, nil
			}))
		a, stop := start(t, kit, drained+`
			a1.channels.c1.durable = true
			a1.sinks.k1.deadletter = kafka:letters
			a1.sinks.k1.deadletter.kafka.bootstrap.servers = localhost:9092`)
		fill(t, opened["c1"], events("a bad1"))
		synctest.Wait()
		if sent.bodies() != "bad1" || settings.topic != "letters" || settings.override || !settings.whole || settings.servers != "localhost:9092" || len(settings.mapped) != 7 {
			t.Fatalf("sent %q with %+v", sent.bodies(), settings)
		}
		err := errors.New("no broker")
		fails.Store(&err)
		fill(t, opened["c1"], events("bad2"))
		pass(10 * time.Second)
		want(t, a, "SINK.k1", "RejectedCount", 1)
		var tooLarge error = &flume.PartialError{Rejected: []flume.Rejected{{Index: 0, Err: errors.New("too large")}}}
		fails.Store(&tooLarge)
		pass(10 * time.Second)
		want(t, a, "SINK.k1", "RejectedCount", 2)
		if letterBodies(t, a) != "bad2" {
			t.Errorf("what the topic does not take is in files: %q", letterBodies(t, a))
		}
		if err := stop(); err != nil || closed != 1 {
			t.Errorf("%v, closed %d times", err, closed)
		}
	})
}

func TestPlacesForDeadLettersAreChecked(t *testing.T) {
	for lines, text := range map[string]string{
		"a1.sinks.k1.deadletter = c1":                                        "a1.sinks.k1.deadletter: the dead letters of k1 come back to its own channel and would go round for ever",
		"a1.sinks.k1.deadletter = dll":                                       `a1.sinks.k1.deadletter: there is no channel "dll"; did you mean "dl"?`,
		"a1.sinks.k1.deadleter = dl":                                         `a1.sinks.k1.deadleter: is not a setting; did you mean "deadletter"?`,
		"a1.sinks.k1.deadletter = file:":                                     "names no directory",
		"a1.sinks.k1.deadletter = kafka:":                                    "names no topic",
		"a1.sinks.k1.deadletter = kafka:t":                                   "this binary has no Kafka sink",
		"a1.sinks.k1.deadletter = s3:bucket":                                 `"s3:bucket" is none of file:DIRECTORY, kafka:TOPIC, discard, the name of a channel`,
		"a1.sinks.k1.deadletter = discard\na1.sinks.k1.deadletter.bytes = 7": "a1.sinks.k1.deadletter.bytes: is not a setting",
		"a1.sinks.k1.deadletter.bytes = 7":                                   "a1.sinks.k1.deadletter.bytes: does nothing",
		"a1.sinks.k1.deadletter = file:x\na1.sinks.k1.deadletter.bytes = 0":  "0 is less than 1",
		"a1.sinks.k1.deadletter = dl\na1.sinks.k2.deadletter = c1":           "the dead letters of k1 come back to its own channel by way of k2",
		"a1.sinks.k1.deadletter = dl\na1.channels.dl.type = what":            "channel dl cannot be used",
	} {
		kit, _ := rejectingAndLast(nil, nil)
		_, problems := New(file(t, "f.conf", drained+`
			a1.channels = c1 dl
			a1.channels.dl.type = memory
			a1.sinks = k1 k2
			a1.sinks.k2.type = last
			a1.sinks.k2.channel = dl
			`+lines).Agents[0], Options{Kit: kit})
		if !strings.Contains(problems.String(), text) {
			t.Errorf("%s says\n%s", lines, problems)
		}
	}
	kit, _ := rejectingAndLast(nil, nil)
	if _, problems := New(file(t, "f.conf", toChannelDL).Agents[0], Options{Kit: kit}); strings.Contains(problems.String(), "channel dl") || strings.Contains(problems.String(), "channels.dl") {
		t.Errorf("a channel of dead letters is complained of:\n%s", problems)
	}
}

func TestTheAgentsDirectoryOfDeadLetters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "letters")
	synctest.Test(t, func(t *testing.T) {
		kit, opened := oneSink(rejecting(new(collector)))
		a, stop := start(t, kit, drained, func(o *Options) { o.Property = properties("sluice.deadletter", "file:"+dir) })
		fill(t, opened["c1"], events("bad"))
		synctest.Wait()
		if dirs := a.LetterDirs(); len(dirs) != 1 || dirs[0] != dir {
			t.Errorf("directories %v", dirs)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	kit, _ := oneSink(nil)
	_, problems := New(file(t, "f.conf", drained).Agents[0], Options{Kit: kit, Property: properties("sluice.deadletter", "throw")})
	if !strings.Contains(problems.String(), `"throw" is neither discard nor file:DIRECTORY`) {
		t.Errorf("%s", problems)
	}
}

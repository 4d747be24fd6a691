package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// onceSettings are of a sink that may ask for positions.
type onceSettings struct {
	once bool
	path string
}

func (s *onceSettings) Declare(d *conf.Decl) {
	d.Bool(&s.once, "exactlyOnce", false, "Whether each event is written once.")
	d.String(&s.path, "path", "", "The header that says where to.")
}

func (s *onceSettings) ExactlyOnce() (string, []string) {
	if !s.once {
		return "", nil
	}
	return "exactlyOnce", []string{s.path}
}

// logSettings are of a source that knows its events again.
type logSettings struct{}

func (*logSettings) Declare(*conf.Decl) {}
func (*logSettings) Positioner() bool   { return true }

// wornSettings are of a channel that says why it will not do.
type wornSettings struct{ memorySettings }

func (*wornSettings) Unrepeatable() error { return errors.New("it is worn out") }

// nowSettings are of an interceptor that stamps, and of one that knows what becomes of headers.
type nowSettings struct{ header string }

func (s *nowSettings) Declare(d *conf.Decl)            { d.String(&s.header, "header", "", "Which.") }
func (s *nowSettings) Unsteady() []string              { return []string{s.header} }
func (s *nowSettings) Trace(k flume.Known) flume.Known { return k }

type setSettings struct{ header string }

func (s *setSettings) Declare(d *conf.Decl) { d.String(&s.header, "header", "", "Which.") }
func (s *setSettings) Trace(k flume.Known) flume.Known {
	delete(k, s.header)
	return k
}

func passing[S any](context.Context, *S, flume.Env) (flume.Interceptor, error) {
	return fakeInterceptor(func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) { return b, nil, nil }), nil
}

// onceKit is aKit with those, and with what the test makes of them.
func onceKit(channels map[string]*memory, source func(env flume.Env) (flume.Source, error), sink func(env flume.Env) (flume.Sink, error)) Kit {
	kit := aKit()
	kit.Channels = []flume.Kind[flume.Channel]{memoryKind(channels),
		flume.Define[wornSettings, flume.Channel]("worn", "org.example.Worn", "A channel.", nil)}
	kit.Sources = append(kit.Sources, flume.Define[logSettings]("log", "org.example.Log", "A source.", func(_ context.Context, _ *logSettings, env flume.Env) (flume.Source, error) {
		return source(env)
	}))
	kit.Sinks = append(kit.Sinks, flume.Define[onceSettings]("once", "org.example.Once", "A sink.", func(_ context.Context, _ *onceSettings, env flume.Env) (flume.Sink, error) {
		return sink(env)
	}))
	kit.Interceptors = append(kit.Interceptors, flume.Define[nowSettings, flume.Interceptor]("now", "org.example.Now", "Stamps.", passing[nowSettings]),
		flume.Define[setSettings, flume.Interceptor]("set", "org.example.Set", "Sets.", passing[setSettings]))
	return kit
}

func TestExactlyOnceIsRefusedWhereItCannotBeKept(t *testing.T) {
	const whole = `
		a1.channels = c1
		a1.sources = s1
		a1.sinks = k1
		a1.channels.c1.type = memory
		a1.sources.s1.type = log
		a1.sources.s1.channels = c1
		a1.sinks.k1.type = once
		a1.sinks.k1.channel = c1
		a1.sinks.k1.exactlyOnce = true
		a1.sinks.k1.path = where
		`
	for _, x := range []struct{ name, lines, want, runs string }{
		{"as it should be", "", "", "k1"},
		{"not asked for", "a1.sinks.k1.exactlyOnce = false\na1.sources.s1.type = netcat\na1.channels.c1.type = worn", "", "k1"},
		{"another source", "a1.sources.s1.type = netcat", "a1.sources.s1 (f.conf:12) does not know its events again", ""},
		{"a second source", "a1.sources = s1 s2\na1.sources.s2.type = netcat\na1.sources.s2.channels = c1", "a1.sources.s2 (f.conf:13) does not know", ""},
		{"a source of another channel", "a1.sources = s1 s2\na1.channels = c1 c2\na1.channels.c2.type = memory\na1.sources.s2.type = netcat\na1.sources.s2.channels = c2\na1.sinks = k1 k2\na1.sinks.k2.type = null\na1.sinks.k2.channel = c2", "", "k1 k2"},
		{"the channel", "a1.channels.c1.type = worn", "what goes through a1.channels.c1 (f.conf:12) can be lost or come twice: it is worn out", ""},
		{"another sink", "a1.sinks = k1 k2\na1.sinks.k2.type = null\na1.sinks.k2.channel = c1", "channel c1 has other sinks (k2)", "k2"},
		{"a sink group", "a1.sinks = k1 k2\na1.sinks.k2.type = once\na1.sinks.k2.channel = c1\na1.sinkgroups = g1\na1.sinkgroups.g1.sinks = k1 k2\na1.sinkgroups.g1.processor.type = failover", "group g1 cannot run", ""},
		{"no source", "a1.sources = s2\na1.sources.s2.type = log\na1.sources.s2.channels = c2\na1.channels = c1 c2\na1.channels.c2.type = memory", "no source of this agent puts events into channel c1", ""},
		{"a path by the clock", "a1.sources.s1.interceptors = i1\na1.sources.s1.interceptors.i1.type = now\na1.sources.s1.interceptors.i1.header = where", `header "where", to which interceptor a1.sources.s1.interceptors.i1 (f.conf:13) gives another value`, ""},
		{"another header by the clock", "a1.sources.s1.interceptors = i1\na1.sources.s1.interceptors.i1.type = now\na1.sources.s1.interceptors.i1.header = other", "", "k1"},
		{"one that is written over", "a1.sources.s1.interceptors = i1 i2\na1.sources.s1.interceptors.i1.type = now\na1.sources.s1.interceptors.i1.header = where\na1.sources.s1.interceptors.i2.type = set\na1.sources.s1.interceptors.i2.header = where", "", "k1"},
	} {
		t.Run(x.name, func(t *testing.T) {
			kit := onceKit(map[string]*memory{}, idle, discard)
			var said []string
			w, problems := assemble(kit, file(t, "f.conf", whole+x.lines).Agents[0], nil)
			for _, p := range problems {
				if p.Severity == conf.Fatal {
					said = append(said, p.String())
				}
			}
			if text := strings.Join(said, "\n"); x.want == "" && text != "" || !strings.Contains(text, x.want) {
				t.Errorf("said %q, want %q", text, x.want)
			}
			var runs []string
			for _, g := range w.groups {
				runs = append(runs, sinkNames(g.sinks)...)
			}
			if got := strings.Join(runs, " "); got != x.runs {
				t.Errorf("sinks %q run, want %q", got, x.runs)
			}
		})
	}
}

func headersOf(b flume.Batch) string {
	var words []string
	for i := range b {
		w := string(b[i].Body)
		for _, h := range b[i].Headers {
			w += "," + h.Key + "=" + h.Value
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// positioned makes events with a header of their own, each with a position.
func positioned(words string) flume.Batch {
	b := events(words)
	for i := range b {
		b[i].Headers = flume.Headers{{Key: flume.PositionHeader, Value: fmt.Sprintf("c/t/0/%s", b[i].Body)}, {Key: "h", Value: "v"}}
	}
	return b
}

// A bench of c1, whose sink k1 asks, and c2, whose sink k2 does not.
func onceBench(t *testing.T, lines string, interceptor fakeInterceptor) (emit flume.Emit, k1, k2 *collector, a *Agent, stop func() error) {
	t.Helper()
	emits := make(chan flume.Emit, 1)
	k1, k2 = new(collector), new(collector)
	kit := onceKit(map[string]*memory{}, func(env flume.Env) (flume.Source, error) {
		if !env.Positions {
			t.Error("the source is not asked for positions")
		}
		return fakeSource{run: func(ctx context.Context, emit flume.Emit) error {
			emits <- emit
			<-ctx.Done()
			return nil
		}}, nil
	}, func(env flume.Env) (flume.Sink, error) {
		return fakeSink{deliver: func(_ context.Context, b flume.Batch) error {
			to := k1
			if env.Name == "k2" {
				to = k2
			}
			if i := len(b) - 1; string(b[i].Body) == "bad" {
				to.add(b[:i])
				return &flume.PartialError{Rejected: []flume.Rejected{{Index: i, Err: errors.New("it is bad")}}}
			}
			to.add(b)
			return nil
		}}, nil
	})
	kit.Interceptors = append(kit.Interceptors, interceptorKind("test", interceptor))
	a, stop = start(t, kit, `
		a1.channels = c1 c2
		a1.sources = s1
		a1.sinks = k1 k2
		a1.channels.c1.type = memory
		a1.channels.c2.type = memory
		a1.sources.s1.type = log
		a1.sources.s1.channels = c1 c2
		a1.sources.s1.interceptors = i1
		a1.sources.s1.interceptors.i1.type = test
		a1.sinks.k1.type = once
		a1.sinks.k1.channel = c1
		a1.sinks.k1.exactlyOnce = true
		a1.sinks.k2.type = once
		a1.sinks.k2.channel = c2
		`+lines)
	return <-emits, k1, k2, a, stop
}

func TestPositionsReachWhoAsksAndNobodyElse(t *testing.T) {
	var seen atomic.Pointer[string]
	emit, k1, k2, a, stop := onceBench(t, "", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
		text := headersOf(b)
		seen.Store(&text)
		b.SetHeader("i", "1", false)
		r := []flume.Rejection{{Event: b[0], Err: errors.New("no good")}}
		return b[1:], r, nil
	})
	if err := emit(t.Context(), positioned("1 2 bad")); err != nil {
		t.Fatal(err)
	}
	flumetest.Until(t, "events at both sinks", func() bool { return k1.bodies() == "2" && k2.bodies() == "2" })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got, want := *seen.Load(), "1,sluice.position=c/t/0/1,h=v 2,sluice.position=c/t/0/2,h=v bad,sluice.position=c/t/0/bad,h=v"; got != want {
		t.Errorf("the interceptor saw %s", got)
	}
	if got, want := headersOf(k1.got), "2,h=v,i=1,sluice.position=c/t/0/2"; got != want {
		t.Errorf("k1 got %s, want %s", got, want)
	}
	if got, want := headersOf(k2.got), "2,h=v,i=1"; got != want {
		t.Errorf("k2 got %s, want %s", got, want)
	}
	var letters []string
	for _, l := range readLetters(t, a) {
		letters = append(letters, fmt.Sprintf("%s%v%s", l["body"], l["headers"], l["position"]))
	}
	slices.Sort(letters)
	if got, want := strings.Join(letters, " "), "1map[h:v i:1]c/t/0/1 badmap[h:v i:1] badmap[h:v i:1]c/t/0/bad"; got != want {
		t.Errorf("dead letters %s, want %s", got, want)
	}
}

func TestInterceptorsCannotLosePositions(t *testing.T) {
	for _, x := range []struct {
		name      string
		intercept fakeInterceptor
		want      string // empty: refused
	}{
		{"removes them", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
			for i := range b {
				b[i].Headers = nil
			}
			return b, nil, nil
		}, "1,sluice.position=c/t/0/1 2,sluice.position=c/t/0/2"},
		{"writes over them", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
			b.SetHeader(flume.PositionHeader, "c/t/0/1", false)
			return b, nil, nil
		}, ""},
		{"removes some and drops some", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
			b[1].Headers = nil
			return b[1:], nil, nil
		}, ""},
		{"makes two of one", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
			return append(b.Clone(), b[0]), nil, nil
		}, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			emit, k1, _, _, stop := onceBench(t, "", x.intercept)
			err := emit(t.Context(), positioned("1 2"))
			if x.want == "" {
				if !errors.Is(err, flume.ErrInterceptor) || !strings.Contains(err.Error(), "a1.sources.s1.interceptors.i1") || !strings.Contains(err.Error(), flume.PositionHeader) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			flumetest.Until(t, "events", func() bool { return k1.bodies() == "1 2" })
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if got := headersOf(k1.got); got != x.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// What a channel holds from a time when a sink asked is not shown to one that does not.
func TestPositionsThatWereLeftBehind(t *testing.T) {
	emit, k1, _, _, stop := onceBench(t, "a1.sinks.k2.exactlyOnce = true\na1.sinks.k1.exactlyOnce = false", func(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
		return b, nil, nil
	})
	if err := emit(t.Context(), positioned("1")); err != nil {
		t.Fatal(err)
	}
	flumetest.Until(t, "events", func() bool { return k1.bodies() == "1" })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := headersOf(k1.got); got != "1,h=v" {
		t.Errorf("got %s", got)
	}
}

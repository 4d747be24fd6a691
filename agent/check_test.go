package agent

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Settings that say where events come from and go to, as the Kafka and Avro ones do.
type kafkaSource struct{ brokers, topic string }

func (s *kafkaSource) Declare(d *conf.Decl) {
	d.String(&s.brokers, "kafka.bootstrap.servers", "", "The brokers.")
	d.String(&s.topic, "kafka.topics", "", "The topic.")
}

func (s *kafkaSource) Origins(received flume.Known) map[flume.Endpoint]flume.Known {
	k := flume.Known{}
	maps.Copy(k, received)
	k["topic"] = s.topic
	return map[flume.Endpoint]flume.Known{flume.Endpoint("kafka://" + s.brokers + "/" + s.topic): k}
}

type kafkaSink struct {
	brokers, topic string
	override       bool
}

func (s *kafkaSink) Declare(d *conf.Decl) {
	d.String(&s.brokers, "kafka.bootstrap.servers", "", "The brokers.")
	d.String(&s.topic, "kafka.topic", "default-flume-topic", "The topic.")
	d.Bool(&s.override, "allowTopicOverride", true, "Whether the header goes before the topic.")
}

func (s *kafkaSink) Destinations(k flume.Known) []flume.Endpoint {
	topic := s.topic
	if t, ok := k["topic"]; ok && s.override {
		topic = t
	}
	return []flume.Endpoint{flume.Endpoint("kafka://" + s.brokers + "/" + topic)}
}

// A channel in a topic is both.
type kafkaChannel struct{ topic string }

func (s *kafkaChannel) Declare(d *conf.Decl) {
	d.String(&s.topic, "kafka.topic", "flume-channel", "The topic.")
}
func (s *kafkaChannel) Origins(received flume.Known) map[flume.Endpoint]flume.Known {
	return map[flume.Endpoint]flume.Known{s.Destinations(nil)[0]: received}
}
func (s *kafkaChannel) Destinations(flume.Known) []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("kafka://127.0.0.1:9092/" + s.topic)}
}

type avro struct{ at string }

func (s *avro) Declare(d *conf.Decl) { d.String(&s.at, "at", "", "HOST:PORT.") }
func (s *avro) Origins(received flume.Known) map[flume.Endpoint]flume.Known {
	return map[flume.Endpoint]flume.Known{flume.Endpoint("avro://" + s.at): maps.Clone(received)}
}

type avroSource struct{ avro }

func (s *avroSource) Holds() []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("tcp://" + s.at)}
}

type avroSink struct{ at string }

func (s *avroSink) Declare(d *conf.Decl) { d.String(&s.at, "at", "", "HOST:PORT.") }
func (s *avroSink) Destinations(flume.Known) []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("avro://" + s.at)}
}

type static struct{ key, value string }

func (s *static) Declare(d *conf.Decl) {
	d.String(&s.key, "key", "key", "The header.")
	d.String(&s.value, "value", "value", "Its value.")
}

func (s *static) Trace(k flume.Known) flume.Known {
	k[s.key] = s.value
	return k
}

type directory struct{ dir string }

func (s *directory) Declare(d *conf.Decl) { d.String(&s.dir, "dir", "/default", "Where.") }
func (s *directory) Holds() []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("dir://" + s.dir)}
}

// never is an open function of what a check must not open.
func never[S, C any](t *testing.T) func(context.Context, *S, flume.Env) (C, error) {
	return func(context.Context, *S, flume.Env) (c C, err error) {
		t.Error("a check has opened something")
		return c, nil
	}
}

func traced(t *testing.T) Kit {
	return Kit{
		Sources: []flume.Kind[flume.Source]{
			flume.Define[kafkaSource]("kafka", "", "Kafka.", never[kafkaSource, flume.Source](t)),
			flume.Define[avroSource]("avro", "", "Avro.", never[avroSource, flume.Source](t))},
		Selectors: []flume.Kind[flume.Selector]{replicating()},
		Interceptors: []flume.Kind[flume.Interceptor]{
			flume.Define[static]("static", "", "Static.", never[static, flume.Interceptor](t)),
			flume.Define[nothing]("opaque", "", "Who knows.", never[nothing, flume.Interceptor](t))},
		Channels: []flume.Kind[flume.Channel]{
			flume.Define[nothing]("memory", "", "Memory.", never[nothing, flume.Channel](t)),
			flume.Define[kafkaChannel]("kafka", "", "Kafka.", never[kafkaChannel, flume.Channel](t)),
			flume.Define[directory]("file", "", "File.", never[directory, flume.Channel](t))},
		Sinks: []flume.Kind[flume.Sink]{
			flume.Define[kafkaSink]("kafka", "", "Kafka.", never[kafkaSink, flume.Sink](t)),
			flume.Define[avroSink]("avro", "", "Avro.", never[avroSink, flume.Sink](t))},
	}
}

// agentA reads test3, stamps a topic and sends to agent B, which writes to the topic of the header.
const (
	agentA = `a.sources = s1
a.channels = c1
a.sinks = k1
a.sources.s1.type = kafka
a.sources.s1.kafka.bootstrap.servers = 127.0.0.1:9092
a.sources.s1.kafka.topics = test3
a.sources.s1.channels = c1
a.channels.c1.type = memory
a.sinks.k1.type = avro
a.sinks.k1.at = 127.0.0.1:44444
a.sinks.k1.channel = c1
`
	stamp = `a.sources.s1.interceptors = i1
a.sources.s1.interceptors.i1.type = static
a.sources.s1.interceptors.i1.key = topic
a.sources.s1.interceptors.i1.value = test2
`
	agentB = `b.sources = s
b.channels = c
b.sinks = k
b.sources.s.type = avro
b.sources.s.at = 0.0.0.0:44444
b.sources.s.channels = c
b.channels.c.type = memory
b.sinks.k.type = kafka
b.sinks.k.kafka.bootstrap.servers = other:9092,localhost:9092
b.sinks.k.channel = c
`
)

func TestCheckFindsLoops(t *testing.T) {
	const cures = `, for the header "topic" of the events says so; a static interceptor on a.sources.s1 that sets "topic" to where they shall go (preserveExisting = false) ends it, and so does `
	for name, test := range map[string]struct {
		files []string
		says  []string
	}{
		"the two files":       {[]string{agentA + stamp, agentB}, nil},
		"the two in one file": {[]string{agentA + stamp + agentB}, nil},
		"without the interceptor": {[]string{agentA, agentB}, []string{
			`1.conf:8: b.sinks.k: events go round for ever: a.sources.s1 (0.conf:4) reads kafka://127.0.0.1:9092/test3, a.sinks.k1 (0.conf:9) passes them on, b.sources.s (1.conf:4) passes them on, and b.sinks.k (1.conf:8) writes to it again` +
				cures + `b.sinks.k.allowTopicOverride = false`}},
		"the other way round": {[]string{agentB, agentA}, []string{
			`0.conf:8: b.sinks.k: events go round for ever: a.sources.s1 (1.conf:4) reads kafka://127.0.0.1:9092/test3, a.sinks.k1 (1.conf:9) passes them on, b.sources.s (0.conf:4) passes them on, and b.sinks.k (0.conf:8) writes to it again`}},
		"a stamp back to where it came from": {[]string{agentA + strings.ReplaceAll(stamp, "test2", "test3"), agentB}, []string{`1.conf:8: b.sinks.k: events go round for ever`}},
		"the other cure":                     {[]string{agentA, agentB + "b.sinks.k.allowTopicOverride = false"}, nil},
		"another port":                       {[]string{agentA, strings.ReplaceAll(agentB, "44444", "44445")}, nil},
		"another cluster":                    {[]string{agentA, strings.ReplaceAll(agentB, "localhost", "there")}, nil},
		"an interceptor that may do anything": {[]string{agentA + `a.sources.s1.interceptors = i1
a.sources.s1.interceptors.i1.type = opaque`, agentB}, nil},
		"one agent": {[]string{agentA + `a.sinks.k1.type = kafka
a.sinks.k1.kafka.bootstrap.servers = 127.0.0.1:9092`}, []string{
			`0.conf:12: a.sinks.k1: events go round for ever: a.sources.s1 (0.conf:4) reads kafka://127.0.0.1:9092/test3, and a.sinks.k1 (0.conf:12) writes to it again` +
				cures + `a.sinks.k1.allowTopicOverride = false`}},
		"a topic of its own": {[]string{agentA + `a.sinks.k1.type = kafka
a.sinks.k1.kafka.topic = test3
a.sinks.k1.allowTopicOverride = false
a.sinks.k1.kafka.bootstrap.servers = 127.0.0.1:9092`}, []string{
			`0.conf:12: a.sinks.k1: events go round for ever: a.sources.s1 (0.conf:4) reads kafka://127.0.0.1:9092/test3, and a.sinks.k1 (0.conf:12) writes to it again`}},
		"dead letters": {[]string{agentA + `a.sinks.k1.deadletter = kafka:test3
a.sinks.k1.deadletter.kafka.bootstrap.servers = localhost:9092`}, []string{
			`0.conf:12: a.sinks.k1.deadletter: events go round for ever: a.sources.s1 (0.conf:4) reads kafka://127.0.0.1:9092/test3, and a.sinks.k1.deadletter (0.conf:12) writes to it again`}},
		"dead letters of dead letters": {[]string{agentA + `a.channels = c1 c2
a.channels.c2.type = memory
a.sinks = k1 k2
a.sources.s1.deadletter = c2
a.sinks.k2.channel = c2
a.sinks.k2.type = avro
a.sinks.k2.at = elsewhere:1
a.sinks.k2.deadletter = kafka:test3
a.sinks.k2.deadletter.kafka.bootstrap.servers = localhost:9092`}, []string{
			`0.conf:19: a.sinks.k2.deadletter: events go round for ever`}},
		"dead letters to another topic": {[]string{agentA + `a.sinks.k1.deadletter = kafka:test4
a.sinks.k1.deadletter.kafka.bootstrap.servers = localhost:9092`}, nil},
		"an agent that sends to itself": {[]string{agentB + `b.sinks.k.type = avro
b.sinks.k.at = localhost:44444`}, []string{
			`0.conf:11: b.sinks.k: events go round for ever: b.sources.s (0.conf:4) reads avro://0.0.0.0:44444, and b.sinks.k (0.conf:11) writes to it again`}},
	} {
		t.Run(name, func(t *testing.T) {
			var configs []*conf.Config
			for i, text := range test.files {
				configs = append(configs, file(t, fmt.Sprintf("%d.conf", i), text))
			}
			for range 2 {
				var said []string
				for _, p := range Check(traced(t), configs, nil) {
					if !strings.Contains(p.Text, "is not a setting") {
						said = append(said, p.String())
					}
				}
				ok := len(said) == len(test.says)
				for i := range said {
					ok = ok && strings.HasPrefix(said[i], test.says[i])
				}
				if ok && len(said) == 1 && !strings.Contains(test.says[0], cures) && strings.Contains(test.says[0], "writes to it again") &&
					name != "the other way round" && said[0] != test.says[0] {
					ok = false // a cure that is none
				}
				if !ok {
					t.Errorf("says\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(test.says, "\n"))
				}
			}
		})
	}
}

func TestALoopWithinOneAgentIsSaidAtStart(t *testing.T) {
	_, problems := New(file(t, "f.conf", agentB+"b.sinks.k.type = avro\nb.sinks.k.at = localhost:44444").Agents[0], Options{Kit: traced(t)})
	if !strings.Contains(problems.String(), "events go round for ever") {
		t.Errorf("says %s", problems)
	}
}

func TestCheckFindsSharedPlaces(t *testing.T) {
	c := agentB + "b.channels.c.type = file\n"
	d := strings.ReplaceAll(strings.ReplaceAll(c, "b.", "d."), "44444", "44445")
	for name, test := range map[string]struct {
		files []string
		says  []string
	}{
		"a directory": {[]string{c, d}, []string{
			`1.conf:11: d.channels.c: needs dir:///default, as b.channels.c (0.conf:11) does; the two agents cannot run on one machine`}},
		"a port": {[]string{agentB, strings.ReplaceAll(strings.ReplaceAll(agentB, "b.", "d."), "0.0.0.0", "127.0.0.1")}, []string{
			`1.conf:4: d.sources.s: needs tcp://127.0.0.1:44444, as b.sources.s (0.conf:4) does; the two agents cannot run on one machine`}},
		"a directory of its own": {[]string{c, d + "d.channels.c.dir = /d"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var configs []*conf.Config
			for i, text := range test.files {
				configs = append(configs, file(t, fmt.Sprintf("%d.conf", i), text))
			}
			var said []string
			for _, p := range Check(traced(t), configs, nil) {
				if p.Severity == conf.Fatal {
					t.Errorf("fatal: %s", p)
				}
				said = append(said, p.String())
			}
			if strings.Join(said, "\n") != strings.Join(test.says, "\n") {
				t.Errorf("says\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(test.says, "\n"))
			}
		})
	}
}

// What is put into one of two channels in one topic comes out of the other, unless one is only filled and one only emptied.
func TestCheckFindsChannelsThatMeet(t *testing.T) {
	const two = `a.sources = s1
a.channels = c1 c2
a.sinks = k1 k2
a.sources.s1.type = avro
a.sources.s1.at = 127.0.0.1:1
a.sources.s1.channels = c1 c2
a.channels.c1.type = kafka
a.channels.c2.type = kafka
a.sinks.k1.type = avro
a.sinks.k1.at = 127.0.0.1:2
a.sinks.k1.channel = c1
a.sinks.k2.type = avro
a.sinks.k2.at = 127.0.0.1:2
a.sinks.k2.channel = c2
`
	const says = `f.conf:8: a.channels.c2: is kafka://127.0.0.1:9092/flume-channel, as a.channels.c1 (f.conf:7) is: what is put into one comes out of the other; give each a place of its own`
	for name, test := range map[string]struct{ text, says string }{
		"one topic":                            {two, says},
		"two topics":                           {two + "a.channels.c2.kafka.topic = own", ""},
		"one is only filled":                   {two + "a.sinks.k2.channel = c1", says},
		"one is only filled, one only emptied": {two + "a.sources.s1.channels = c1\na.sinks.k1.channel = c2", ""},
		"both are only emptied":                {two + "a.sources =", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said string
			for _, p := range Check(traced(t), []*conf.Config{file(t, "f.conf", test.text)}, nil) {
				if strings.Contains(p.Text, "comes out of the other") {
					said += p.String()
				}
			}
			if said != test.says {
				t.Errorf("says\n%s\nwant\n%s", said, test.says)
			}
		})
	}
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		a, b              flume.Endpoint
		reaches, collides bool
	}{
		{"avro://localhost:1", "avro://127.0.0.1:1", true, true},
		{"avro://0.0.0.0:1", "avro://[::1]:1", true, true},
		{"avro://[::]:1", "avro://10.0.0.1:1", false, true},
		{"avro://h:1", "avro://H:1", true, true},
		{"avro://h:1", "avro://h:2", false, false},
		{"avro://h:1", "tcp://h:1", false, true},
		{"udp://h:1", "tcp://h:1", false, false},
		{"tcp://0.0.0.0:0", "tcp://0.0.0.0:0", true, false},
		{"tcp://10.0.0.1:1", "tcp://10.0.0.2:1", false, false},
		{"tcp://127.0.0.1:1", "tcp://127.0.0.2:1", true, false},
		{"tcp://127.0.0.1:1", "tcp://[::1]:1", true, false},
		{"tcp://[::ffff:10.0.0.1]:1", "tcp://10.0.0.1:1", false, true},
		{"kafka://a:1,b:1/t", "kafka://b:1,c:1/t", true, false},
		{"kafka://a:1/t", "kafka://a:1/u", false, true},
		{"dir:///x", "dir:///x", true, true},
		{"dir:///x", "dir:///x/y", false, false},
		{"something", "something", true, true},
		{"something", "else", false, false},
	} {
		if got := reaches(test.a, test.b); got != test.reaches {
			t.Errorf("%s reaches %s: %v", test.a, test.b, got)
		}
		if got := reaches(test.b, test.a); got != test.reaches {
			t.Errorf("%s reaches %s: %v", test.b, test.a, got)
		}
		if got := collide(test.a, test.b); got != test.collides {
			t.Errorf("%s and %s collide: %v", test.a, test.b, got)
		}
	}
}

package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// aKit has a few kinds that need nothing.
func aKit() Kit {
	null := func(typ string) flume.Kind[flume.Sink] { return sinkKind(typ, discard) }
	port := flume.Define[listening]("port", "org.example.Port", "A source with a port.",
		func(_ context.Context, _ *listening, env flume.Env) (flume.Source, error) { return idle(env) })
	return Kit{
		Sources:   []flume.Kind[flume.Source]{sourceKind("netcat", idle), port},
		Selectors: []flume.Kind[flume.Selector]{replicating(), flume.Define[picky, flume.Selector]("picky", "org.example.Picky", "None will do.", nil)},
		Channels:  []flume.Kind[flume.Channel]{memoryKind(map[string]*memory{})},
		Sinks: []flume.Kind[flume.Sink]{null("null"), null("logger"),
			flume.Refuse[flume.Sink]("hive", "org.apache.flume.sink.hive.HiveSink", "needs Hive's own libraries")},
		Interceptors: []flume.Kind[flume.Interceptor]{interceptorKind("static", nil)},
		SinkProcessors: []flume.Kind[flume.SinkProcessor]{processorKind("failover", nil), processorKind("load_balance", nil),
			flume.Define[picky, flume.SinkProcessor]("default", "org.example.Default", "None will do.", nil)},
	}
}

// listening is settings of what holds a place.
type listening struct{ at string }

func (s *listening) Declare(d *conf.Decl) { d.String(&s.at, "at", "", "Where.") }
func (s *listening) Holds() []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint(s.at)}
}

// picky is settings of a selector or processor that no channel or sink is good enough for.
type picky struct{}

func (s *picky) Declare(d *conf.Decl) {
	d.Check(func() error {
		if d.Targets() == nil {
			return nil
		}
		return conf.At("type", fmt.Errorf("%s will not do", strings.Join(d.Targets(), ", ")))
	})
}

// sketch says in a few words what would run.
func sketch(w wiring) string {
	var words []string
	for _, s := range w.sources {
		words = append(words, s.name+">"+strings.Join(channelNames(s.channels), "+"))
	}
	for _, c := range w.channels {
		words = append(words, c.name)
	}
	for _, g := range w.groups {
		name := ""
		if g.processor != nil {
			name = g.name + ":"
		}
		words = append(words, name+strings.Join(sinkNames(g.sinks), "+"))
	}
	return strings.Join(words, " ")
}

func TestAssembly(t *testing.T) {
	const base = `
		a1.channels = c1
		a1.sources = r1
		a1.sinks = k1
		a1.channels.c1.type = memory
		a1.sources.r1.type = netcat
		a1.sources.r1.channels = c1
		a1.sinks.k1.type = null
		a1.sinks.k1.channel = c1
	` // lines 2 to 9
	const group = base + `
		a1.sinks = k1 k2
		a1.sinks.k2.type = logger
		a1.sinks.k2.channel = c1
		a1.sinkgroups = g1
		a1.sinkgroups.g1.sinks = k1 k2
	` // lines 11 to 15
	for name, test := range map[string]struct {
		lines string
		runs  string   // what is left, as sketch has it
		says  []string // every problem; "!" before a fatal one
	}{
		"sound":                 {base, "r1>c1 c1 k1", nil},
		"any case of an alias":  {base + "a1.channels.c1.type = MEMORY", "r1>c1 c1 k1", nil},
		"a class for an alias":  {base + "a1.channels.c1.type = org.apache.flume.channel.MemoryChannel", "r1>c1 c1 k1", nil},
		"unused agents' agents": {base + "b1.x = y", "r1>c1 c1 k1", nil},

		"a class in another case": {base + "a1.channels.c1.type = org.apache.flume.channel.memoryChannel", "", []string{
			`!f.conf:2: a1: nothing of this agent can run: none of its channels can be used`,
			`!f.conf:7: a1.sources.r1.channels: channel c1 cannot be used, see there`,
			`!f.conf:9: a1.sinks.k1.channel: channel c1 cannot be used, see there`,
			`!f.conf:10: a1.channels.c1.type: there is no channel type "org.apache.flume.channel.memoryChannel"; did you mean "org.apache.flume.channel.MemoryChannel"?`}},
		"nobody for a sound channel": {base + "a1.sources.r1.type = netcta\na1.sinks.k1.type = nul", "", []string{
			`!f.conf:2: a1: nothing of this agent can run: none of its sources and sinks can be used`,
			`!f.conf:10: a1.sources.r1.type: there is no source type "netcta"; did you mean "netcat"?`,
			`!f.conf:11: a1.sinks.k1.type: there is no sink type "nul"; did you mean "null"?`}},
		"a misspelt alias": {base + "a1.sources.r1.type = netcta", "c1 k1", []string{
			`!f.conf:10: a1.sources.r1.type: there is no source type "netcta"; did you mean "netcat"?`}},
		"no such alias": {base + "a1.sources.r1.type = multi_static", "c1 k1", []string{
			`!f.conf:10: a1.sources.r1.type: there is no source type "multi_static"; there are netcat, port`}},
		"the user's own": {base + "a1.sources.r1.type = com.cloudera.flume.source.TwitterSource", "c1 k1", []string{
			`!f.conf:10: a1.sources.r1.type: "com.cloudera.flume.source.TwitterSource" is a Java class of your own or of a plugin, not one of Flume's, and Sluice runs no Java; instead: keep this hop in Flume (a Flume agent that has it sends with an avro sink to an avro source here), or write it in Go (docs/guide/extending.md)`}},
		"refused": {base + "a1.sinks.k1.type = hive", "r1>c1 c1", []string{
			`!f.conf:10: a1.sinks.k1.type: needs Hive's own libraries`}},
		// Reading the file says what is wrong with these three.
		"without a type":                  {base + "a1.sources = r1 r2\n a1.sources.r2.channels = c1", "r1>c1 c1 k1", nil},
		"without settings":                {base + "a1.channels = c1 c2\n a1.sources = r1 r2\n a1.sinks = k1 k2", "r1>c1 c1 k1", nil},
		"a value that cannot be resolved": {base + "a1.sinks.k1.x = ${env:NO_SUCH_VARIABLE}", "r1>c1 c1", nil},

		"an unknown channel of a source": {base + "a1.sources.r1.channels = c1 c11", "r1>c1 c1 k1", []string{
			`f.conf:10: a1.sources.r1.channels: there is no channel "c11" (the source runs without it, as in Flume)`}},
		"no known channel of a source": {base + "a1.sources.r1.channels = memoryChannel", "c1 k1", []string{
			`!f.conf:10: a1.sources.r1.channels: there is no channel "memoryChannel"`,
			`f.conf:2: a1.channels.c1: no source puts events into this channel`}},
		"commas": {base + "a1.sources.r1.channels = c1, c1", "r1>c1 c1 k1", []string{
			`f.conf:10: a1.sources.r1.channels: names are separated by blanks; Flume takes the comma as a part of the name`}},
		"an unknown channel of a sink": {base + "a1.sinks.k1.channel = C1", "r1>c1 c1", []string{
			`f.conf:2: a1.channels.c1: no sink takes events from this channel; it fills up`,
			`!f.conf:10: a1.sinks.k1.channel: there is no channel "C1"; did you mean "c1"?`}},
		"two channels of a sink": {base + "a1.sinks.k1.channel = c1 c2", "r1>c1 c1", []string{
			`!f.conf:10: a1.sinks.k1.channel: a sink takes from one channel, these are 2; give each channel a sink of its own`}},
		"channel of a source": {base + "a1.sources = r1 r2\n a1.sources.r2.type = netcat\n a1.sources.r2.channel = c1", "r1>c1 c1 k1", []string{
			`!f.conf:12: a1.sources.r2.channel: is not a setting; did you mean "channels"? That is required: the channels that the source puts events into`}},
		"channels of a sink": {base + "a1.sinks = k1 k2\n a1.sinks.k2.type = null\n a1.sinks.k2.channels = c1", "r1>c1 c1 k1", []string{
			`!f.conf:12: a1.sinks.k2.channels: is not a setting; did you mean "channel"? That is required: the channel that the sink takes events from`}},
		"no channel at all": {base + "a1.sinks = k1 k2\n a1.sinks.k2.type = null", "r1>c1 c1 k1", []string{
			`!f.conf:10: a1.sinks.k2.channel: is required and not set: the channel that the sink takes events from`}},
		"a channel that nobody uses": {base + "a1.channels = c1 c2\n a1.channels.c2.type = memory", "r1>c1 c1 k1", []string{
			`f.conf:10: a1.channels.c2: no source and no sink uses this channel; it is not opened`}},
		"a bad number": {base + "a1.channels.c1.capacity = many", "", []string{
			`!f.conf:2: a1: nothing of this agent can run: none of its channels can be used`,
			`!f.conf:7: a1.sources.r1.channels: channel c1 cannot be used, see there`,
			`!f.conf:9: a1.sinks.k1.channel: channel c1 cannot be used, see there`,
			`!f.conf:10: a1.channels.c1.capacity: "many" is not a number`}},

		"an interceptor": {base + "a1.sources.r1.interceptors = i1\n a1.sources.r1.interceptors.i1.type = static", "r1>c1 c1 k1", nil},
		"an unknown interceptor": {base + "a1.sources.r1.interceptors = i1\n a1.sources.r1.interceptors.i1.type = statik", "c1 k1", []string{
			`!f.conf:11: a1.sources.r1.interceptors.i1.type: there is no interceptor type "statik"; did you mean "static"?`}},
		"an interceptor without Builder": {base + "a1.sources.r1.interceptors = i1\n a1.sources.r1.interceptors.i1.type = org.example.static", "c1 k1", []string{
			`!f.conf:11: a1.sources.r1.interceptors.i1.type: there is no interceptor type "org.example.static"; did you mean "org.example.static$Builder"?`}},
		"an unlisted interceptor": {base + "a1.sources.r1.interceptors.i1.type = static\n a1.sources.r1.interceptors.i1.key = k", "r1>c1 c1 k1", []string{
			`f.conf:10: a1.sources.r1.interceptors.i1.type: interceptor "i1" has settings but is not listed in a1.sources.r1.interceptors, so it does nothing`}},
		"a listed interceptor without settings": {base + "a1.sources.r1.interceptors = i1", "c1 k1", []string{
			`!f.conf:10: a1.sources.r1.interceptors: interceptor "i1" is listed but has no settings; it needs at least a type`}},
		"an unknown selector": {base + "a1.sources.r1.selector.type = multiplexing", "c1 k1", []string{
			`!f.conf:10: a1.sources.r1.selector.type: there is no channel selector type "multiplexing"; there are replicating, picky`}},
		"a selector that will not do": {base + "a1.sources.r1.selector.type = picky", "c1 k1", []string{
			`!f.conf:10: a1.sources.r1.selector.type: c1 will not do`}},
		"an unknown setting of a selector": {base + "a1.sources.r1.selector.optinal = c1", "r1>c1 c1 k1", []string{
			`f.conf:10: a1.sources.r1.selector.optinal: is not a setting`}},

		"a batch too large": {base + "a1.sinks.k1.batchSize = 101\n a1.sources.r1.batchSize = 100", "r1>c1 c1 k1", []string{
			`f.conf:10: a1.sinks.k1.batchSize: the batch size is 101, the transactionCapacity of channel c1 (f.conf:2) is 100: Flume does not run this sink, Sluice runs it with 100; raise a1.channels.c1.transactionCapacity or lower the batch size`}},
		"competing sinks": {base + "a1.sinks = k1 k2\n a1.sinks.k2.type = logger\n a1.sinks.k2.channel = c1", "r1>c1 c1 k1 k2", []string{
			`f.conf:12: a1.sinks.k2.channel: k1 and k2 compete for the events of channel c1: each event goes to one of them; for copies give each a channel of its own`}},
		"parallel sinks": {base + "a1.sinks = k1 k2\n a1.sinks.k2.type = null\n a1.sinks.k2.channel = c1", "r1>c1 c1 k1 k2", nil},

		"a group":          {group + "a1.sinkgroups.g1.processor.type = failover", "r1>c1 c1 g1:k1+k2", nil},
		"a group by class": {group + "a1.sinkgroups.g1.processor.type = org.example.failover", "r1>c1 c1 g1:k1+k2", nil},
		"a group and others": {group + "a1.sinkgroups.g1.processor.type = failover\n a1.sinks = k1 k2 k3\n a1.sinks.k3.type = null\n a1.sinks.k3.channel = c1", "r1>c1 c1 g1:k1+k2 k3", []string{
			`f.conf:19: a1.sinks.k3.channel: k2 and k3 compete`}},
		"a group without a type": {group, "r1>c1 c1", []string{
			`!f.conf:14: a1.sinkgroups.g1: the group cannot run, so its sinks k1, k2 do not run`,
			`!f.conf:14: a1.sinkgroups.g1.processor.type: k1, k2 will not do`}},
		"a group with a value that cannot be had": {group + "a1.sinkgroups.g1.processor.type = ${env:NONO}", "r1>c1 c1", []string{
			`!f.conf:14: a1.sinkgroups.g1: the group cannot run, so its sinks k1, k2 do not run`}},
		"a group of an unknown type": {group + "a1.sinkgroups.g1.processor.type = loadbalance", "r1>c1 c1", []string{
			`!f.conf:14: a1.sinkgroups.g1: the group cannot run, so its sinks k1, k2 do not run`,
			`!f.conf:16: a1.sinkgroups.g1.processor.type: there is no sink processor type "loadbalance"; did you mean "load_balance"?`}},
		"a group of one": {group + "a1.sinkgroups.g1.sinks = k1", "r1>c1 c1 k1 k2", []string{
			`f.conf:13: a1.sinks.k2.channel: k1 and k2 compete`}},
		"a group with one left": {group + "a1.sinkgroups.g1.processor.type = failover\n a1.sinkgroups.g1.sinks = k1 kk2", "r1>c1 c1 k1 k2", []string{
			`f.conf:13: a1.sinks.k2.channel: k1 and k2 compete`,
			`f.conf:17: a1.sinkgroups.g1.sinks: there is no sink "kk2"; did you mean "k2"? (the group runs without it)`,
			`f.conf:17: a1.sinkgroups.g1.sinks: k1 is the only sink of the group that can run; it runs by itself`}},
		"a group with a broken sink": {group + "a1.sinkgroups.g1.processor.type = failover\n a1.sinks.k2.channel = cc", "r1>c1 c1 k1", []string{
			`f.conf:15: a1.sinkgroups.g1.sinks: sink k2 cannot run, see there; the group runs without it`,
			`f.conf:15: a1.sinkgroups.g1.sinks: k1 is the only sink of the group that can run; it runs by itself`,
			`!f.conf:17: a1.sinks.k2.channel: there is no channel "cc"`}},
		"a sink in two groups": {group + "a1.sinkgroups.g1.processor.type = failover\n a1.sinkgroups = g1 g2\n a1.sinkgroups.g2.sinks = k2\n", "r1>c1 c1 g1:k1+k2", []string{
			`f.conf:18: a1.sinkgroups.g2.sinks: sink k2 is in group g1 already and stays there`,
			`f.conf:18: a1.sinkgroups.g2.sinks: the group has no sink that can run`}},
		"a group without sinks": {group + "a1.sinkgroups = g1 g2\n a1.sinkgroups.g1.processor.type = failover\n a1.sinkgroups.g2.processor.type = failover", "r1>c1 c1 g1:k1+k2", []string{
			`!f.conf:16: a1.sinkgroups.g2.sinks: is required and not set: the sinks of the group`}},
		"a group without anything": {group + "a1.sinkgroups.g1.processor.type = failover\n a1.sinkgroups = g1 g2", "r1>c1 c1 g1:k1+k2", nil},
		"an unknown setting of a group": {group + "a1.sinkgroups.g1.processor.type = failover\n a1.sinkgroups.g1.prio = 5", "r1>c1 c1 g1:k1+k2", []string{
			`f.conf:17: a1.sinkgroups.g1.prio: is not a setting of a sink group`}},

		"two on one port": {base + "a1.sources = r1 r2 r3\n a1.sources.r1.type = port\n a1.sources.r1.at = tcp://0.0.0.0:44444\n" +
			"a1.sources.r2.type = port\n a1.sources.r2.at = tcp://127.0.0.1:44444\n a1.sources.r2.channels = c1\n" +
			"a1.sources.r3.type = port\n a1.sources.r3.at = udp://127.0.0.1:44444\n a1.sources.r3.channels = c1", "r1>c1 r3>c1 c1 k1", []string{
			`!f.conf:13: a1.sources.r2: needs tcp://127.0.0.1:44444, which a1.sources.r1 (f.conf:11) has; two cannot share it`}},

		"only a source":  {"a1.channels = c1\n a1.channels.c1.type = memory\n a1.sources = r1\n a1.sources.r1.type = netcat\n a1.sources.r1.channels = c1", "r1>c1 c1", []string{`f.conf:1: a1.channels.c1: no sink takes events from this channel; it fills up`}},
		"only a sink":    {"a1.channels = c1\n a1.channels.c1.type = memory\n a1.sinks = r1\n a1.sinks.r1.type = null\n a1.sinks.r1.channel = c1", "c1 r1", []string{`f.conf:1: a1.channels.c1: no source puts events into this channel`}},
		"no channels":    {"a1.sources = r1", "", []string{`!f.conf:1: a1: nothing of this agent can run: it lists no channels`}},
		"only a channel": {"a1.channels = c1\n a1.channels.c1.type = memory", "", []string{`f.conf:1: a1.channels.c1: no source and no sink uses this channel; it is not opened`, `!f.conf:1: a1: nothing of this agent can run: it lists neither sources nor sinks`}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := file(t, "f.conf", test.lines)
			for _, again := range []string{"first", "second"} { // reading a section must not use it up
				a, problems := New(cfg.Agents[0], Options{Kit: aKit()})
				var said []string
				for _, p := range problems {
					mark := ""
					if p.Severity == conf.Fatal {
						mark = "!"
					}
					said = append(said, mark+p.String())
				}
				w := wiring{}
				if a != nil {
					w = a.w
				}
				if got := sketch(w); got != test.runs {
					t.Errorf("%s time: %q would run, want %q", again, got, test.runs)
				}
				slices.Sort(said)
				expected := slices.Sorted(slices.Values(test.says))
				ok := len(said) == len(expected)
				for i := 0; ok && i < len(said); i++ {
					ok = strings.HasPrefix(said[i], expected[i])
				}
				if !ok {
					t.Errorf("%s time it says\n%s\nwant\n%s", again, strings.Join(said, "\n"), strings.Join(expected, "\n"))
				}
			}
		})
	}
}

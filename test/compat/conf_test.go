//go:build interop

package compat

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/sluice-io/sluice/test/harness"
)

// shared is the number of the lane that all are whose sink is not their own.
const shared = -1

// A confText is the configuration of an agent with many lanes.
type confText struct {
	sources, channels, sinks []string
	lines                    []string
}

// newConf makes a configuration with the channel that lanes share.
func newConf(receiver string) *confText {
	c := &confText{}
	c.out("shared", receiver)
	return c
}

func (c *confText) set(key, value string) { c.lines = append(c.lines, "a1."+key+" = "+value) }

// out adds a channel with an Avro sink, or only the channel.
func (c *confText) out(name, receiver string) {
	c.channels = append(c.channels, "c"+name)
	c.set("channels.c"+name+".type", "memory")
	c.set("channels.c"+name+".capacity", "100000")
	c.set("channels.c"+name+".transactionCapacity", "10000")
	c.sinks = append(c.sinks, "k"+name)
	c.set("sinks.k"+name+".channel", "c"+name)
	if host, port, err := net.SplitHostPort(receiver); err == nil {
		c.set("sinks.k"+name+".type", "avro")
		c.set("sinks.k"+name+".hostname", host)
		c.set("sinks.k"+name+".port", port)
	}
}

// add adds a lane; listen is where the sink of an out sends to.
func (c *confText) add(n int, l *lane, p place, listen func(out int) string) error {
	source := fmt.Sprintf("s%d", n)
	names := strings.NewReplacer("{host}", p.host, "{port}", fmt.Sprint(p.port), "{dir}", p.dir)
	var keys, values []string
	for line := range strings.Lines(l.conf) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("%q is not a setting", line)
		}
		keys, values = append(keys, strings.TrimSpace(key)), append(values, strings.TrimSpace(value))
	}
	has := func(key string) bool { return slices.Contains(keys, key) }
	out := func(o int) string { return fmt.Sprintf("%dx%d", n, o) }
	channels := []string{"cshared"}
	if l.outs > 0 {
		channels = nil
	}
	for o := range l.outs {
		receiver := ""
		if !has(fmt.Sprintf("sink%d.type", o)) && (o > 0 || !has("sink.type")) {
			receiver = listen(o)
		}
		c.out(out(o), receiver)
		channels = append(channels, "c"+out(o))
		names = strings.NewReplacer("{host}", p.host, "{port}", fmt.Sprint(p.port), "{dir}", p.dir,
			"{channel0}", "c"+out(0), "{channel1}", "c"+out(1), "{channel2}", "c"+out(2), "{channel3}", "c"+out(3))
	}
	c.sources = append(c.sources, source)
	c.set("sources."+source+".channels", strings.Join(channels, " "))
	if !has("source.type") {
		c.set("sources."+source+".type", "avro")
		c.set("sources."+source+".bind", p.host)
		c.set("sources."+source+".port", fmt.Sprint(p.port))
	}
	if l.outs == 0 {
		chain := ""
		if i := slices.Index(keys, "source.interceptors"); i >= 0 {
			chain = values[i] + " "
			keys, values = slices.Delete(keys, i, i+1), slices.Delete(values, i, i+1)
		}
		const i = ".interceptors"
		c.set("sources."+source+i, chain+"compat-lane")
		c.set("sources."+source+i+".compat-lane.type", "static")
		c.set("sources."+source+i+".compat-lane.preserveExisting", "false")
		c.set("sources."+source+i+".compat-lane.key", mark)
		c.set("sources."+source+i+".compat-lane.value", fmt.Sprint(n))
	}
	for i, key := range keys {
		part, rest, ok := strings.Cut(key, ".")
		if !ok {
			return fmt.Errorf("%q is not a setting of a source, channel or sink", key)
		}
		switch {
		case part == "source":
			key = "sources." + source + "." + rest
		case l.outs > 0 && strings.HasPrefix(part, "channel"):
			key = "channels.c" + number(n, strings.TrimPrefix(part, "channel")) + "." + rest
		case l.outs > 0 && strings.HasPrefix(part, "sink"):
			key = "sinks.k" + number(n, strings.TrimPrefix(part, "sink")) + "." + rest
		default:
			return fmt.Errorf("%q needs a channel of the lane's own", key)
		}
		c.set(names.Replace(key), names.Replace(values[i]))
	}
	return nil
}

func number(n int, out string) string {
	if out == "" {
		out = "0"
	}
	return fmt.Sprintf("%dx%s", n, out)
}

func (c *confText) text() harness.Conf {
	head := fmt.Sprintf("a1.sources = %s\na1.channels = %s\na1.sinks = %s\n",
		strings.Join(c.sources, " "), strings.Join(c.channels, " "), strings.Join(c.sinks, " "))
	return harness.Conf(head + strings.Join(c.lines, "\n") + "\n")
}

// escape makes a text the value of a line of a properties file. Flume reads such files as ISO 8859-1.
func escape(value string) string {
	var out strings.Builder
	for i, unit := range utf16.Encode([]rune(value)) {
		switch {
		case unit == '\\', unit == ' ' && i == 0:
			out.WriteByte('\\')
			out.WriteByte(byte(unit))
		case unit < ' ' || unit > '~':
			fmt.Fprintf(&out, `\u%04x`, unit)
		default:
			out.WriteByte(byte(unit))
		}
	}
	return out.String()
}

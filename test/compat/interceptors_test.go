//go:build interop

package compat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
)

// A chain is interceptors as the lines of a source.
type chain struct {
	names []string
	lines []string
}

func (c *chain) set(key, value string) {
	c.lines = append(c.lines, fmt.Sprintf("source.interceptors.%s.%s = %s", c.names[len(c.names)-1], key, escape(value)))
}

// maybe sets a key in half of the cases.
func (c *chain) maybe(r *rand.Rand, key string, value string) {
	if r.IntN(2) == 0 && value != "" {
		c.set(key, value)
	}
}

func (c *chain) text() string {
	return "source.interceptors = " + strings.Join(c.names, " ") + "\n" + strings.Join(c.lines, "\n") + "\n"
}

func flag(r *rand.Rand) string { return pick(r, "true", "false", "TRUE", "False") }

const flumeInterceptors = "org.apache.flume.interceptor."

// interceptors are the generators of each, by Flume's names.
var interceptors = []struct {
	name string
	add  func(r *rand.Rand, c *chain)
}{
	{"static", func(r *rand.Rand, c *chain) {
		c.set("type", pick(r, "static", "STATIC", flumeInterceptors+"StaticInterceptor$Builder"))
		c.maybe(r, "key", names(r))
		c.maybe(r, "value", strings.TrimSpace(phrase(r, 3)))
		c.maybe(r, "preserveExisting", flag(r))
	}},
	{"timestamp", func(r *rand.Rand, c *chain) {
		c.set("type", pick(r, "timestamp", flumeInterceptors+"TimestampInterceptor$Builder"))
		c.maybe(r, "headerName", names(r))
		c.maybe(r, "preserveExisting", flag(r))
	}},
	{"host", func(r *rand.Rand, c *chain) {
		c.set("type", pick(r, "host", flumeInterceptors+"HostInterceptor$Builder"))
		c.maybe(r, "hostHeader", names(r))
		c.maybe(r, "useIP", flag(r))
		c.maybe(r, "preserveExisting", flag(r))
	}},
	{"remove_header", func(r *rand.Rand, c *chain) {
		c.set("type", pick(r, "remove_header", flumeInterceptors+"RemoveHeaderInterceptor$Builder"))
		switch r.IntN(4) {
		case 0:
			c.set("withName", names(r))
		case 1:
			c.set("fromList", names(r)+pick(r, ",", " , ", ", ")+names(r))
		case 2:
			c.set("fromList", names(r)+";"+names(r)+" ;"+names(r))
			c.set("fromListSeparator", pick(r, ";", `\s*;\s*`, ","))
		}
		if len(c.lines) == 0 || r.IntN(2) == 0 {
			c.set("matching", pick(r, "secret-.*", "(?i)state", ".", "[a-k].*", "nothing", `.*\..*`))
		}
	}},
	{"search_replace", func(r *rand.Rand, c *chain) {
		c.set("type", pick(r, "search_replace", flumeInterceptors+"SearchAndReplaceInterceptor$Builder"))
		p := patterns(r)
		for p.text == "" {
			p = patterns(r)
		}
		c.set("searchPattern", p.text)
		with := pick(r, "", "X", "$0", "[$0]", `\$`, `\\`, "ž", "<$0|$0>", "0$00")
		if p.groups > 0 && r.IntN(2) == 0 {
			with = pick(r, "[$1]", "$1$1", "$11", `$1\$1`)
		}
		if strings.Contains(p.text, "(?<key>") {
			with = pick(r, "${val}=${key}", "$2=$1", "<${key}>")
		}
		c.maybe(r, "replaceString", with)
		c.maybe(r, "charset", pick(r, "UTF-8", "utf-8", "ISO-8859-1", "UTF-8"))
	}},
	{"regex_filter", func(r *rand.Rand, c *chain) {
		c.set("type", pick(r, "regex_filter", flumeInterceptors+"RegexFilteringInterceptor$Builder"))
		c.maybe(r, "regex", patterns(r).text)
		c.maybe(r, "excludeEvents", flag(r))
	}},
	{"regex_extractor", func(r *rand.Rand, c *chain) {
		c.set("type", pick(r, "regex_extractor", flumeInterceptors+"RegexExtractorInterceptor$Builder"))
		if r.IntN(4) == 0 {
			c.extractTime(r)
			return
		}
		p := patterns(r)
		for p.groups == 0 {
			p = patterns(r)
		}
		c.set("regex", p.text)
		var list []string
		for i := range max(1, p.groups+r.IntN(3)-1) { // as many as there are groups, one fewer, one more
			name := fmt.Sprintf("s%d", i+1)
			list = append(list, name)
			c.set("serializers."+name+".name", names(r))
			c.maybe(r, "serializers."+name+".type", pick(r, "DEFAULT", flumeInterceptors+"RegexExtractorInterceptorPassThroughSerializer"))
		}
		c.set("serializers", strings.Join(list, " "))
	}},
	{"UUID", func(r *rand.Rand, c *chain) {
		c.set("type", "org.apache.flume.sink.solr.morphline.UUIDInterceptor$Builder")
		c.maybe(r, "headerName", names(r))
		c.maybe(r, "preserveExisting", flag(r))
		c.maybe(r, "prefix", pick(r, "p-", "žlu", "a b"))
	}},
}

// extractTime extracts what is always a time by its pattern.
func (c *chain) extractTime(r *rand.Rand) {
	x := pick(r,
		[2]string{`(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2})`, "yyyy-MM-dd HH:mm:ss"},
		[2]string{`(\d{4}-\d{2}-\d{2})`, "yyyy-MM-dd"},
		[2]string{`(\d\d:\d\d:\d\d)`, "HH:mm:ss"},
		[2]string{`(\d{4}-\d{2}-\d{2} \d{2}:\d{2}):\d{2}`, "yyyy-MM-dd HH:mm"})
	c.set("regex", x[0])
	c.set("serializers", "t")
	c.set("serializers.t.type", flumeInterceptors+"RegexExtractorInterceptorMillisSerializer")
	c.set("serializers.t.name", pick(r, "timestamp", names(r)))
	c.set("serializers.t.pattern", x[1])
}

// replaces reports whether the chain decodes bodies.
func (c *chain) replaces() bool {
	return strings.Contains(c.text(), "searchPattern")
}

// Chains of interceptors of every kind, with random settings, over random events.
func TestInterceptors(t *testing.T) {
	r := stage.Rand(t)
	const wave = 160 // lanes of one start
	left := stage.Count(1500, 160)
	for n := 0; left > 0; n++ {
		var lanes []lane
		for range min(left, wave) {
			lanes = append(lanes, interceptorLane(r, len(lanes)))
		}
		left -= len(lanes)
		t.Run(fmt.Sprintf("wave %d", n), func(t *testing.T) { compare(t, 0, lanes) })
	}
}

// interceptorLane makes a chain; the first of it goes round all kinds.
func interceptorLane(r *rand.Rand, n int) lane {
	var c chain
	var kinds []string
	for i := range 1 + r.IntN(3) {
		at := n % len(interceptors)
		if i > 0 {
			at = r.IntN(len(interceptors))
		}
		c.names = append(c.names, fmt.Sprintf("i%d", i+1))
		interceptors[at].add(r, &c)
		kinds = append(kinds, interceptors[at].name)
	}
	b := events(r, 1+r.IntN(30), r.IntN(3) == 0)
	l := lane{name: strings.Join(kinds, " "), conf: c.text(), input: batchText(b), feed: sendAvro(b, 1+r.IntN(len(b)))}
	if c.replaces() && malformed(b) {
		l.row = "`search_replace`: body without a match"
	}
	return l
}

// malformed reports whether a body is no text.
func malformed(b flume.Batch) bool {
	for _, e := range b {
		if !utf8.Valid(e.Body) {
			return true
		}
	}
	return false
}

// What differs on purpose, and what Sluice does there.
func TestInterceptorRows(t *testing.T) {
	events := func(bodies ...string) flume.Batch {
		var b flume.Batch
		for _, body := range bodies {
			b = append(b, flume.Event{Body: []byte(body)})
		}
		return b
	}
	want := func(lines ...string) func([]string) error {
		return func(got []string) error {
			if !slices.Equal(got, lines) {
				return fmt.Errorf("not %q", lines)
			}
			return nil
		}
	}
	const one = "source.interceptors = i\nsource.interceptors.i."
	extract := one + "type = regex_extractor\nsource.interceptors.i."
	files := "\nsink.type = file_roll\nsink.sink.directory = {dir}\nsink.sink.rollInterval = 0\nsink.sink.serializer = HEADER_AND_TEXT\n"
	compare(t, 0, []lane{
		{name: "malformed text", conf: one + "type = search_replace\nsource.interceptors.i.searchPattern = a\n", feed: sendAvro(events("\xff", "\xffa"), 1),
			row: "`search_replace`: body without a match", want: want("OK", "OK", `0: {} "\xff"`, `0: {} "`+"\ufffd"+`"`)},
		{name: "no time", conf: extract + "regex = (.*)\nsource.interceptors.i.serializers = t\nsource.interceptors.i.serializers.t.name = timestamp\n" +
			"source.interceptors.i.serializers.t.type = org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer\n" +
			"source.interceptors.i.serializers.t.pattern = yyyy\n", feed: sendAvro(events("never"), 1),
			row: "`regex_extractor`: text that is no time", want: want("OK")},
		{name: "a group without a match", outs: 1, conf: extract + "regex = (a)|(b)\nsource.interceptors.i.serializers = s t\nsource.interceptors.i.serializers.s.name = s\n" +
			"source.interceptors.i.serializers.t.name = t" + files, feed: sendAvro(events("b"), 1), read: sortedHeaders,
			row: "`regex_extractor`: optional group without a match", want: want("OK", "<ms>-1", `["t=b"] "b\n"`)},
		{name: "lower case", conf: extract + "regex = (a)\nsource.interceptors.i.serializers = s\nsource.interceptors.i.serializers.s.name = s\n" +
			"source.interceptors.i.serializers.s.type = DEFAULT\n", feed: sendAvro(events("a"), 1), want: want("OK", `0: {"s"="a"} "a"`)},
	})
}

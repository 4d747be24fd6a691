package agent

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/sluice-io/sluice/conf"
)

// A role is what a type is a type of.
type role string

const (
	sourceRole      role = "source"
	interceptorRole role = "interceptor"
	selectorRole    role = "channel selector"
	channelRole     role = "channel"
	sinkRole        role = "sink"
	processorRole   role = "sink processor"
)

// A candidate is a kind that a type may be meant for.
type candidate struct {
	typ    string
	names  []string // the type and class names
	absent bool     // it is refused, with a reason of its own
}

// unknown says of a type that no kind has what it may be, and what to do. Types of Flume's that a kit leaves out on
// purpose are kinds that refuse; they do not come here.
func unknown(r role, typ string, kinds []candidate) string {
	var names, usable []string
	for _, k := range kinds {
		names = append(names, k.names...)
		if !k.absent && k.typ != "" {
			usable = append(usable, k.typ)
		}
	}
	class := strings.Contains(typ, ".")
	if strings.Contains(typ, "{{") || strings.Contains(typ, "<%") {
		return fmt.Sprintf("%q is the placeholder of a template that nobody has filled in", typ)
	}
	if r == interceptorRole { // the class that users know, where Flume wants the one that builds it
		if builder := typ + "$Builder"; slices.Contains(names, builder) {
			return fmt.Sprintf("there is no interceptor type %q; did you mean %q?", typ, builder)
		}
	}
	if near := conf.Nearest(typ, names); near != "" && (!class || meant(near, typ, kinds)) {
		return fmt.Sprintf("there is no %s type %q; did you mean %q?", r, typ, near)
	}
	nearest := alike(r, typ, usable)
	if !class {
		text := fmt.Sprintf("there is no %s type %q; ", r, typ)
		if nearest != "" {
			text += "the nearest is " + nearest + "; "
		}
		return text + "there are " + strings.Join(usable, ", ")
	}
	text := fmt.Sprintf("%q is a Java class of your own or of a plugin, not one of Flume's", typ)
	if strings.HasPrefix(typ, "org.apache.flume.") {
		text += ", though it is named like them"
	}
	text += ", and Sluice runs no Java; instead: "
	if nearest != "" {
		text += "type = " + nearest + ", the nearest here, or "
	}
	text += "keep this hop in Flume (" + wayOut(r) + "), or "
	if slices.Contains(usable, external) {
		text += "have a program in any language do it (type = external, docs/guide/external.md), or "
	}
	return text + "write it in Go (docs/guide/extending.md)"
}

// external is the type of the kinds that are programs of the user's.
const external = "external"

// meant reports whether a class may be a slip of near: their own words are alike, and near can be used or stands in the
// same package.
func meant(near, typ string, kinds []candidate) bool {
	a, b := ownWords(near), ownWords(typ)
	if len(a) != len(b) || conf.Nearest(strings.Join(a, ""), []string{strings.Join(b, "")}) == "" {
		return false
	}
	if at := strings.LastIndexByte(near, '.'); at > 0 && strings.HasPrefix(typ, near[:at+1]) {
		return true
	}
	return slices.ContainsFunc(kinds, func(k candidate) bool { return !k.absent && slices.Contains(k.names, near) })
}

// ownWords are those of a class's name that do not say what role it has.
func ownWords(class string) []string {
	name, _, _ := strings.Cut(class[strings.LastIndexByte(class, '.')+1:], "$")
	return slices.DeleteFunc(wordsOf(name), func(w string) bool {
		return slices.Contains([]string{"source", "sink", "channel", "interceptor", "selector", "processor", "flume", "builder"}, w)
	})
}

// wayOut is how a hop stays in Flume with Sluice beside it.
func wayOut(r role) string {
	switch r {
	case sinkRole, processorRole:
		return "an avro sink here sends to a Flume agent with an avro source, which does the rest"
	case channelRole:
		return "an avro sink here sends to a Flume agent that has it; or take a file channel"
	case sourceRole, interceptorRole, selectorRole:
		return "a Flume agent that has it sends with an avro sink to an avro source here"
	}
	panic("BUG: a role without a way out: " + string(r))
}

// alike finds the kind that does what the words of a class name say, or "".
func alike(r role, typ string, usable []string) string {
	words := ownWords(typ)
	for _, s := range synonyms() {
		if s.role == r && slices.Contains(words, s.word) && slices.Contains(usable, s.kind) {
			return s.kind
		}
	}
	best, most := "", 0
	for _, kind := range usable {
		n := 0
		for _, w := range wordsOf(kind) {
			if slices.Contains(words, w) {
				n++
			}
		}
		if n > most {
			best, most = kind, n
		}
	}
	return best
}

// wordsOf cuts MyHTTPTimeInterceptor and regex_extractor into their words, in small letters.
func wordsOf(name string) []string {
	var b strings.Builder
	text := []rune(name)
	for i, r := range text {
		if i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(text[i-1]) || i+1 < len(text) && unicode.IsLower(text[i+1])) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.FieldsFunc(b.String(), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// A synonym is a word that users' classes have for what a kind does.
type synonym struct {
	role       role
	word, kind string
}

// synonyms are the first ones that fit first.
func synonyms() []synonym {
	return []synonym{
		{interceptorRole, "time", "timestamp_extractor"}, {interceptorRole, "timestamp", "timestamp_extractor"}, {interceptorRole, "date", "timestamp_extractor"},
		{interceptorRole, "grok", "regex_extractor"}, {interceptorRole, "mask", "search_replace"}, {interceptorRole, "replace", "search_replace"},
		{interceptorRole, "filter", "regex_filter"}, {interceptorRole, "filtering", "regex_filter"}, {interceptorRole, "ip", "host"},
		{sourceRole, "tail", "taildir"}, {sourceRole, "taildir", "taildir"}, {sourceRole, "spool", "spooldir"}, {sourceRole, "directory", "spooldir"},
		{sourceRole, "file", "taildir"}, {sourceRole, "rest", "http"}, {sourceRole, "syslog", "syslogtcp"}, {sourceRole, "command", "exec"},
		{sinkRole, "s3", "hdfs"}, {sinkRole, "aws", "hdfs"}, {sinkRole, "file", "file_roll"}, {sinkRole, "roll", "file_roll"}, {sinkRole, "rest", "http"},
		{sinkRole, "elastic", "http"}, {sinkRole, "elasticsearch", "http"}, {sinkRole, "console", "logger"}, {sinkRole, "log", "logger"},
		{channelRole, "disk", "file"}, {channelRole, "durable", "file"}, {channelRole, "ram", "memory"},
		{processorRole, "balancing", "load_balance"}, {processorRole, "fail", "failover"},
	}
}

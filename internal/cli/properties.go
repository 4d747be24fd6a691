package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// ownProperties are Sluice's own names and the words that each takes; nil: a number of bytes, which the agent reads.
func ownProperties() map[string][]string {
	return map[string][]string{
		"sluice.adaptive.batches": {"true", "false"},
		"sluice.deadletter":       {"keep", "discard"},
		"sluice.deadletter.bytes": nil,
	}
}

// doubts says what of the -D settings does not mean what its author thinks.
func (p properties) doubts() []string {
	var out []string
	own := ownProperties()
	names := slices.Sorted(maps.Keys(own))
	jmx := false
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if strings.HasPrefix(name, "com.sun.management.jmxremote") && !jmx {
			jmx = true
			out = append(out, "-Dcom.sun.management.jmxremote is not used: there is no JMX; -Dflume.monitoring.type=http serves the same counters")
		}
		if !strings.HasPrefix(strings.ToLower(name), "sluice.") {
			continue
		}
		words, known := own[name]
		switch {
		case !known:
			out = append(out, fmt.Sprintf("-D%s is not known%s", name, meant(name, names)))
		case words != nil && !slices.Contains(words, p[name]):
			out = append(out, fmt.Sprintf("-D%s=%s: %q is not %s; %s is taken%s", name, p[name], p[name], strings.Join(words, " or "), words[0], meant(p[name], words)))
		}
	}
	if _, ok := p["flume.monitoring.port"]; ok && p["flume.monitoring.type"] == "" {
		out = append(out, "-Dflume.monitoring.port is set without -Dflume.monitoring.type=http, so there is no metrics page")
	}
	return out
}

func meant(word string, words []string) string {
	if near := conf.Nearest(word, words); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// doubtBytes is for a dry run: at a start the agent says it.
func (p properties) doubtBytes() string {
	const name = "sluice.deadletter.bytes"
	text, ok := p[name]
	if n, err := strconv.ParseInt(text, 10, 64); !ok || err == nil && n >= 0 {
		return ""
	}
	return fmt.Sprintf("-D%s: %q is not a number of bytes", name, text)
}

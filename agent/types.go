package agent

import (
	"fmt"
	"slices"
	"strings"

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

// unknown says of a type that no kind has what it may be, and what to do. Types of Flume's that a kit leaves out on
// purpose are kinds that refuse; they do not come here. The names are those of all kinds; usable ones do not refuse.
func unknown(r role, typ string, names, usable []string) string {
	if r == interceptorRole { // the class that users know, where Flume wants the one that builds it
		if builder := typ + "$Builder"; slices.Contains(names, builder) {
			return fmt.Sprintf("there is no interceptor type %q; did you mean %q?", typ, builder)
		}
	}
	if near := conf.Nearest(typ, names); near != "" {
		return fmt.Sprintf("there is no %s type %q; did you mean %q?", r, typ, near)
	}
	if strings.Contains(typ, ".") {
		return fmt.Sprintf("%q is a Java class that is not Flume's own, and Sluice runs no Java; keep it in Flume (%s), or write it in Go as a kind of a kit of your own", typ, wayOut(r))
	}
	return fmt.Sprintf("there is no %s type %q; there are %s", r, typ, strings.Join(usable, ", "))
}

// wayOut is how a hop stays in Flume with Sluice beside it.
func wayOut(r role) string {
	switch r {
	case sinkRole, processorRole:
		return "send to an avro sink here, and let a Flume agent with an avro source do the rest"
	case channelRole:
		return "let a Flume agent hold it and reach that with an avro sink, or take a file channel here"
	case sourceRole, interceptorRole, selectorRole:
		return "let a Flume agent with an avro sink send to an avro source here"
	}
	panic("BUG: a role without a way out: " + string(r))
}

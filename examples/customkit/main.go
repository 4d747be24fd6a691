// Command customkit is Sluice with two kinds of its own: the interceptor level and the sink shout.
package main

import (
	"os"
	"slices"

	"github.com/sluice-io/sluice"
	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/kit"

	"example.com/customkit/level"
	"example.com/customkit/shout"
)

func main() {
	os.Exit(sluice.Main(own(), os.Args[1:]))
}

// own is everything that Sluice has, and ours.
func own() agent.Kit {
	k := kit.Standard
	k.Interceptors = append(slices.Clone(k.Interceptors), level.Kind)
	k.Sinks = append(slices.Clone(k.Sinks), shout.Kind)
	return k
}

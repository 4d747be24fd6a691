// Package sluice makes programs like cmd/sluice with kinds of components of one's own.
//
//	func main() {
//		k := kit.Standard
//		k.Sinks = append(slices.Clone(k.Sinks), shout.Kind)
//		os.Exit(sluice.Main(k, os.Args[1:]))
//	}
//
// docs/guide/extending.md tells how a kind is written, and examples/customkit is such a program, whole.
package sluice

import (
	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/internal/cli"
)

// Main obeys a command line, given without the program's name, with the kinds of k, and returns the exit status.
func Main(k agent.Kit, args []string) int { return cli.Main(k, args) }

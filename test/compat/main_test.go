//go:build interop

// Package compat runs the same configuration with the same input in real Flume and in Sluice and compares what comes out:
// bodies byte for byte, headers as sets, replies and files too.
//
//	            ┌─▶ Flume  ─▶ ┐
//	lane, input ┤             ├─▶ equal, or a row of docs/compatibility.md
//	            └─▶ Sluice ─▶ ┘
//
// A lane is one piece of configuration. Flume takes seconds to start, so that many lanes run side by side in one agent
// of each kind (compare); most are made by a generator from a seed. It prints the seed, and SLUICE_SEED repeats it;
// SLUICE_SCALE is how many there are. With SLUICE_AGENT=flume both are real Flume, which shows what the harness itself
// does to the outcome.
//
//	test/interop -run TestInterceptors                               all of them
//	SLUICE_SEED=7 test/interop -run 'TestInterceptors/wave_0/12_'    case 12 of an earlier run
package compat

import (
	"os"
	"testing"

	"github.com/sluice-io/sluice/test/harness"
)

// stage is set once, before the first test.
var stage *harness.Stage

func TestMain(m *testing.M) { os.Exit(harness.Run(m, &stage, harness.OpenAgents)) }

package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/stats"
)

// Options say what stands outside of the agent's configuration.
type Options struct {
	Kit         Kit
	Log         *slog.Logger
	Property    conf.Lookup   // system properties, -Dname=value
	DataDir     string        // where dead letters go: DataDir/deadletter/AGENT
	StopTimeout time.Duration // how long stopping may take before it is cut short; 0: 30 s
}

// An Agent is one agent of a configuration, assembled.
type Agent struct {
	stats *stats.Registry
}

// New assembles an agent: it binds every component of cfg and checks the wiring; it opens nothing. The agent is nil
// only when nothing could run.
func New(cfg *conf.Agent, o Options) (*Agent, conf.Problems) {
	return nil, nil
}

// Run opens, flows and, when ctx ends, stops in order and drains; it returns nil after an orderly stop. onRunning (may
// be nil) is called once when everything that could open is open.
func (a *Agent) Run(ctx context.Context, onRunning func()) error {
	<-ctx.Done()
	return nil
}

// Kill ends what is in flight at once.
func (a *Agent) Kill() {}

// Stats are the counters of all components, as the metrics page shows them.
func (a *Agent) Stats() *stats.Registry { return a.stats }

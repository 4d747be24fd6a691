// Package defaultgroup is the sink processor of type default: one sink, whose result is the group's. More are refused.
// The agent drains with one sink, in a group or in none, without asking a processor. (The package is not named after
// its type: default is a word of the language.)
package defaultgroup

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the default sink processor.
var Kind = flume.Define[Settings, flume.SinkProcessor]("default", "org.apache.flume.sink.DefaultSinkProcessor",
	"Passes the one sink of the group through.", open)

// Settings are empty: there is nothing to say.
type Settings struct{}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Check(func() error {
		if d.Targets() == nil {
			return nil
		}
		return check(d.Targets())
	})
}

func check(sinks []string) error {
	if len(sinks) == 1 {
		return nil
	}
	return conf.At("type", fmt.Errorf("the processor default takes exactly one sink, the group has %d (%s); use failover or load_balance, or leave the sinks out of the group",
		len(sinks), strings.Join(sinks, ", ")))
}

type processor struct{}

func open(_ context.Context, _ *Settings, env flume.Env) (flume.SinkProcessor, error) {
	if err := check(env.Sinks); err != nil {
		return nil, err
	}
	return processor{}, nil
}

func (processor) Process(ctx context.Context, group []flume.Drain) error {
	if len(group) == 0 { // the sink is paused
		return flume.ErrEmpty
	}
	return group[0].Once(ctx)
}

// Package replicating is the selector that sends every event to every channel of the source. Nothing is copied: all
// channels get the same batch.
//
// Channels named in selector.optional are offered the batch after all others have committed it; what they cannot take
// is counted and dropped. A name that is not one of the source's channels is refused. (Flume takes it, and then fails
// after each batch that the other channels have committed, so that sources double their events for ever.)
package replicating

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the replicating selector.
var Kind = flume.Define[Settings, flume.Selector]("replicating", "org.apache.flume.channel.ReplicatingChannelSelector",
	"Sends every event to all channels of the source.", open)

// Settings are what a replicating selector can be told, below selector.
type Settings struct {
	Optional []string
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Strings(&s.Optional, "optional", "", "Channels that may fail to take an event without failing the source, separated by blanks.")
	d.Check(func() error {
		if d.Targets() == nil {
			return nil
		}
		return s.check(d.Targets())
	})
}

func (s *Settings) check(channels []string) error {
	var problems []error
	for _, name := range s.Optional {
		if !slices.Contains(channels, name) {
			problems = append(problems, conf.At("optional", fmt.Errorf("%q is not a channel of the source, which has %s",
				name, strings.Join(channels, ", "))))
		}
	}
	return errors.Join(problems...)
}

type selector struct {
	optional []bool // by channel
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Selector, error) {
	if err := s.check(env.Channels); err != nil {
		return nil, fmt.Errorf("selecting optional channels: %w", err)
	}
	sel := &selector{optional: make([]bool, len(env.Channels))}
	for i, name := range env.Channels {
		sel.optional[i] = slices.Contains(s.Optional, name)
	}
	return sel, nil
}

func (s *selector) Select(b flume.Batch, r *flume.Routes) {
	for channel, optional := range s.optional {
		if optional {
			r.Offer(channel, b...)
		} else {
			r.Require(channel, b...)
		}
	}
}

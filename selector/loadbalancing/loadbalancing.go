// Package loadbalancing is the selector that spreads events over the channels of the source: each event goes to one of
// them.
//
//	selector.policy = random     instead of round_robin
//
// Round robin deals the events of a batch out one by one, beginning where the last batch has ended; all goroutines of the
// source share the turn. There are no optional channels, and a full channel fails the batch, as in Flume.
// (Flume 1.11 has this selector and cannot load it under its name.)
package loadbalancing

import (
	"context"
	"math/rand/v2"
	"sync/atomic"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the load-balancing selector.
var Kind = flume.Define[Settings, flume.Selector]("load_balancing", "org.apache.flume.channel.LoadBalancingChannelSelector",
	"Sends each event to one of the source's channels in turn.", open)

// Settings are what a load-balancing selector can be told, below selector.
type Settings struct {
	Policy policy
}

type policy string

const (
	roundRobin policy = "round_robin"
	random     policy = "random"
)

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	conf.Choice(d, &s.Policy, "policy", roundRobin, "Which channel an event goes to: each in its turn, or one by chance.", roundRobin, random)
}

type selector struct {
	channels int
	random   bool
	next     atomic.Uint64 // events dealt out so far
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Selector, error) {
	return &selector{channels: len(env.Channels), random: s.Policy == random}, nil
}

func (s *selector) Select(b flume.Batch, r *flume.Routes) {
	if s.random {
		for i := range b {
			r.Require(rand.IntN(s.channels), b[i:i+1]...)
		}
		return
	}
	first := s.next.Add(uint64(len(b))) - uint64(len(b))
	for i := range b {
		r.Require(int((first+uint64(i))%uint64(s.channels)), b[i:i+1]...)
	}
}

// Package loadbalance is the sink processor of type load_balance: the sinks take turns, and one that fails passes its
// turn to the next.
//
//	processor.selector = random             instead of round_robin
//	processor.backoff = true                a sink that fails is left out for 2 s, 4 s, 8 s …
//	processor.selector.maxTimeOut = 10000   … and for 10 s at the longest
//
// A turn is one batch. All sinks of the group take from one channel mostly, so that what one could not deliver is what
// the next one takes. A channel that is empty is no failure: where the sinks have channels of their own, the next one has
// its turn. When every sink has failed the agent waits before the next round; the events stay in the channel.
package loadbalance

import (
	"context"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/turns"
)

// Kind is the load-balancing sink processor.
var Kind = flume.Define[Settings, flume.SinkProcessor]("load_balance", "org.apache.flume.sink.LoadBalancingSinkProcessor",
	"Lets the sinks of the group take turns.", open)

// Settings of the load-balancing sink processor, below processor.
type Settings struct {
	Selector   turns.Order
	Backoff    bool
	MaxTimeout time.Duration
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	conf.Choice(d, &s.Selector, "selector", turns.RoundRobin, "Who is next: each sink in its turn, or one by chance; a Java class cannot be run.",
		turns.RoundRobin, turns.Random)
	d.Bool(&s.Backoff, "backoff", false, "Whether a sink that fails is left out for a while; it begins with 2 s and doubles with each failure.")
	d.Millis(&s.MaxTimeout, "selector.maxTimeOut", turns.Usual, "With backoff: the longest time in ms for which a sink is left out; 0 is the default.").AtLeast(0)
}

// A processor is used by its runner's goroutine alone.
type processor struct {
	turns.Group
	balancer *turns.Balancer
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.SinkProcessor, error) {
	most := s.MaxTimeout
	switch {
	case !s.Backoff:
		most = 0
	case most == 0:
		most = turns.Usual
	}
	return &processor{Group: turns.Group{Names: env.Sinks}, balancer: turns.NewBalancer(len(env.Sinks), s.Selector, most)}, nil
}

func (p *processor) Process(ctx context.Context, group []flume.Drain) error {
	return p.Round(ctx, group, p.balancer.Turn(time.Now()), func(i int, failed bool) {
		if failed {
			p.balancer.Failed(i, time.Now())
		}
	})
}

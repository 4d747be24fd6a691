// Package failover is the sink processor of type failover: of the sinks that work, the one with the highest priority
// delivers.
//
//	processor.priority.k1 = 10      k1 delivers …
//	processor.priority.k2 = 5       … and k2 while k1 is left out
//	processor.maxpenalty = 10000    for 10 s at the longest
//
// A sink that fails is left out for 2 s, then 4 s, 8 s and so on up to maxpenalty; the next one delivers the same events
// at once. When its time is over the sink is tried again with what comes next, and one that delivers has its priority
// back. A channel that is empty is no failure. While no sink is left the events wait in the channel.
//
// Two things differ from Flume on purpose. A sink is only tried again when none of a higher priority works: Flume sends a
// batch to a standby whose penalty has run out though the active sink is well. And where the sinks of a group have
// channels of their own, the next sink also has its turn when the channels of those above it are empty: in Flume what
// lies in its channel stays there as long as the active sink works.
package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/turns"
)

// Kind is the failover sink processor.
var Kind = flume.Define[Settings, flume.SinkProcessor]("failover", "org.apache.flume.sink.FailoverSinkProcessor",
	"Delivers with the sink of the highest priority that works.", open)

// Settings of the failover sink processor, below processor.
type Settings struct {
	Priorities conf.Values
	MaxPenalty time.Duration
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Rest(&s.Priorities, "priority.", "priority.SINK: a number; the sink with the highest one delivers. Sinks without a priority follow all that have one from 0 up, in the order of the group's sinks.")
	d.Millis(&s.MaxPenalty, "maxpenalty", turns.Usual, "The longest time in ms for which a sink that fails is left out; it begins with 2000 and doubles with each failure in a row.").AtLeast(0).Lenient()
	d.Check(func() error {
		if d.Targets() == nil {
			return nil
		}
		_, err := s.order(d.Targets())
		return err
	})
}

// order is the sinks by priority, and what is odd about the priorities. Those that have none, or one that is no number,
// get -1, -2 and so on in the order of the file. (In Flume it is the order of a hash table, and of two sinks with the
// same priority one is never used.)
func (s *Settings) order(sinks []string) ([]string, error) {
	var odd []error
	priority := map[string]int{}
	holder := map[int]string{}
	spare := 0
	for _, sink := range sinks {
		key := "priority." + sink
		v, given := s.Priorities.Get(sink)
		n, err := strconv.ParseInt(v.Text, 10, 32)
		if !given || err != nil {
			spare--
			n = int64(spare)
		}
		if given && err != nil {
			odd = append(odd, conf.Warn(key, fmt.Errorf("%q is not a number; %d is taken", v.Text, n)))
		}
		if other, taken := holder[int(n)]; taken {
			odd = append(odd, conf.Warn(key, fmt.Errorf("%s has the priority %d too and is used first; Flume never uses %s or never uses %s", other, n, other, sink)))
		} else {
			holder[int(n)] = sink
		}
		priority[sink] = int(n)
	}
	for _, v := range s.Priorities {
		if !slices.Contains(sinks, v.Key) {
			text := fmt.Sprintf("%q is not a sink of the group that can run; those are %s", v.Key, strings.Join(sinks, ", "))
			if near := conf.Nearest(v.Key, sinks); near != "" {
				text = fmt.Sprintf("%q is not a sink of the group; did you mean %q?", v.Key, near)
			}
			odd = append(odd, conf.Warn("priority."+v.Key, errors.New(text)))
		}
	}
	order := slices.Clone(sinks)
	slices.SortStableFunc(order, func(a, b string) int { return priority[b] - priority[a] })
	return order, errors.Join(odd...)
}

// A processor is used by its runner's goroutine alone.
type processor struct {
	turns.Group // by priority
	most        time.Duration
	penalties   []turns.Penalty
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.SinkProcessor, error) {
	order, _ := s.order(env.Sinks) // what is odd was said when the settings were read
	return &processor{Group: turns.Group{Names: order}, most: s.MaxPenalty, penalties: make([]turns.Penalty, len(order))}, nil
}

func (p *processor) Process(ctx context.Context, group []flume.Drain) error {
	turn := turns.Turn{Yield: true}
	now := time.Now()
	for i := range p.penalties {
		turn.Add(i, &p.penalties[i], now)
	}
	return p.Round(ctx, group, turn, func(i int, failed bool) {
		if failed {
			p.penalties[i].Fail(time.Now(), p.most)
		} else {
			p.penalties[i].Clear()
		}
	})
}

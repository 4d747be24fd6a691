//go:build interop

package compat

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Selectors with three channels: which event goes where.
func TestSelectors(t *testing.T) {
	r := stage.Rand(t)
	const wave = 40 // each has three channels and sinks
	left := stage.Count(160, 40)
	for n := 0; left > 0; n++ {
		var lanes []lane
		for range min(left, wave) {
			lanes = append(lanes, selectorLane(r))
		}
		left -= len(lanes)
		t.Run(fmt.Sprintf("wave %d", n), func(t *testing.T) { compare(t, 0, lanes) })
	}
}

func selectorLane(r *rand.Rand) lane {
	var conf []string
	set := func(key, value string) { conf = append(conf, "source.selector."+key+" = "+value) }
	channels := func() string {
		all := []string{"{channel0}", "{channel1}", "{channel2}"}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return strings.Join(all[:1+r.IntN(3)], " ")
	}
	kind := pick(r, "none", "replicating", "multiplexing", "multiplexing")
	switch kind {
	case "replicating":
		set("type", pick(r, "replicating", "REPLICATING", "org.apache.flume.channel.ReplicatingChannelSelector"))
		if r.IntN(2) == 0 {
			set("optional", channels())
		}
	case "multiplexing":
		set("type", pick(r, "multiplexing", "org.apache.flume.channel.MultiplexingChannelSelector"))
		if r.IntN(4) > 0 {
			set("header", "State")
		}
		mapped := []string{"CZ", "US", "a.b", "cz"}
		for _, value := range mapped[:r.IntN(len(mapped)+1)] {
			set("mapping."+value, channels())
		}
		if r.IntN(2) == 0 {
			set("optional."+pick(r, "CZ", "DE"), channels())
		}
		if r.IntN(3) > 0 {
			set("default", channels())
		}
	}
	b := events(r, 1+r.IntN(20), false)
	for i := range b {
		b[i].Headers.Delete("State")
		if r.IntN(5) > 0 {
			b[i].Headers.Set(pick(r, "State", "State", "flume.selector.header", "state"), pick(r, "CZ", "US", "DE", "cz", "a.b", "", " CZ", " "))
		}
	}
	return lane{name: kind, outs: 3, conf: strings.Join(conf, "\n"), input: batchText(b), feed: sendAvro(b, 1+r.IntN(len(b)))}
}

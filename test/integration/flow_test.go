//go:build interop

package integration

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

func TestFlow(t *testing.T) { withChannels(t, testFlow) }

func testFlow(t *testing.T) {
	n := stage.Count(1_000_000, 10_000)
	t.Run("one partition", func(t *testing.T) {
		flow{load: oracle.Load{Run: "flow1", Lanes: 1, Events: n, Size: 500}}.run(t, oracle.Rules{Order: true})
	})
	t.Run("four partitions with keys", func(t *testing.T) {
		flow{load: oracle.Load{Run: "flow4", Lanes: 4, Events: n, Size: 500, Keyed: true}}.run(t, oracle.Rules{Order: true})
	})
}

// Real Flume stands in for either agent. B writes whole events, so that every header that an event has at the end can
// be compared with what Flume's documentation says it must be.
func TestFlumeStandsIn(t *testing.T) {
	for _, c := range []struct{ a, b harness.Flavor }{
		{harness.Flume, harness.Sluice},
		{harness.Sluice, harness.Flume},
	} {
		t.Run(fmt.Sprintf("%s to %s", c.a, c.b), func(t *testing.T) {
			f := headerFlow(stage.Count(100_000, 10_000), "standin")
			f.a, f.b = c.a, c.b
			f.run(t, oracle.Rules{Order: true})
		})
	}
}

// headerFlow carries Kafka record headers, keys and positions to the end.
func headerFlow(events int, run string) flow {
	return flow{
		load: oracle.Load{
			Run: run, Lanes: 3, Events: events, Size: 300, Keyed: true, Stamp: true,
			Since: time.Now().Truncate(time.Millisecond),
			Headers: func(p oracle.Position) map[string]string {
				return map[string]string{
					"topic":     harness.OutputTopic, // the interceptor's
					"timestamp": strconv.FormatInt(p.Time.UnixMilli(), 10),
					"partition": strconv.Itoa(p.Lane),
					"offset":    strconv.FormatInt(p.Offset, 10),
					"key":       p.Key,
					"from":      run,
					"number":    fmt.Sprintf("%d/%d", p.Lane, p.Number),
				}
			},
		},
		editA: func(c harness.Conf) harness.Conf {
			return c.Set(harness.SourceA+"header.from", "origin").Set(harness.SourceA+"header.number", "number")
		},
		editB:  func(c harness.Conf) harness.Conf { return c.Set(harness.SinkB+"useFlumeEventFormat", "true") },
		decode: oracle.FlumeFormat,
	}
}

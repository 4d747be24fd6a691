//go:build interop

package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// What judges the other tests is proven on real Flume alone.
func TestFlumeAlone(t *testing.T) {
	t.Run("all arrive", func(t *testing.T) {
		f := headerFlow(stage.Count(20_000, 2_000), "alone")
		f.a, f.b = harness.Flume, harness.Flume
		f.run(t, oracle.Rules{Order: true})
	})
	t.Run("a dropped event is missed", func(t *testing.T) {
		f := flow{
			load: oracle.Load{Run: "dropped", Lanes: 2, Events: 2000, Size: 100},
			a:    harness.Flume, b: harness.Flume, outPartition: 1,
			editA: func(c harness.Conf) harness.Conf {
				i := harness.SourceA + "interceptors"
				return c.Set(i, "i1 drop").Set(i+".drop.type", "regex_filter").
					Set(i+".drop.regex", "^dropped 1 00000777 ").Set(i+".drop.excludeEvents", "true")
			},
		}
		r := f.start(t)
		r.produce(t, 0, nil)
		report := r.watcher.Await(10*time.Second, 2*time.Minute)
		if want := []oracle.Range{{First: 777, Last: 777, Events: 1, Fault: -1}}; !slices.Equal(report.Lanes[1].Ranges, want) || report.Missing != 1 {
			t.Errorf("want 777 of lane 1 missing: %s", report)
		}
		if err := report.Check(oracle.Rules{}); err == nil {
			t.Error("the rules hold though an event is missing")
		}
	})
}

// Both listeners serve a Java client and a Go client with every mechanism.
func TestListeners(t *testing.T) {
	for _, mechanism := range harness.Mechanisms() {
		t.Run(mechanism, func(t *testing.T) {
			const topic = "listeners"
			stage.Broker.Fresh(t, 1, topic)
			opts, err := stage.Broker.Secure(mechanism, kgo.DefaultProduceTopic(topic))
			if err != nil {
				t.Fatal(err)
			}
			cl, err := kgo.NewClient(opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			for n := range 100 {
				cl.Produce(ctx, kgo.StringRecord(fmt.Sprintf("run %08d", n)), nil)
			}
			if err := cl.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			args := []string{"java", "kafka", "KafkaLoad", "verify", "--bootstrap=" + stage.Broker.SASL, "--topic=" + topic, "--count=100"}
			for _, kv := range stage.Broker.Properties(mechanism) {
				args = append(args, "--set."+kv[0]+"="+kv[1])
			}
			if out, err := stage.PeersJava(t, time.Minute, stage.Broker.JavaOptions(), args...); err != nil {
				t.Error(err)
			} else {
				t.Log(out)
			}
		})
	}
}

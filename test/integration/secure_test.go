//go:build interop

package integration

import (
	"testing"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// Both agents speak TLS to the broker and say who they are by every mechanism.
func TestSecureBroker(t *testing.T) {
	for _, mechanism := range harness.Mechanisms() {
		t.Run(mechanism, func(t *testing.T) {
			properties := stage.Broker.Properties(mechanism)
			flow{
				load:    oracle.Load{Run: "secure", Lanes: 2, Events: stage.Count(100_000, 10_000), Size: 500, Keyed: true},
				options: stage.Broker.JavaOptions(),
				editA: func(c harness.Conf) harness.Conf {
					return c.Set(harness.SourceA+"kafka.bootstrap.servers", stage.Broker.SASL).
						SetAll(harness.SourceA+"kafka.consumer.", properties)
				},
				editB: func(c harness.Conf) harness.Conf {
					return c.Set(harness.SinkB+"brokerList", stage.Broker.SASL).
						SetAll(harness.SinkB+"kafka.producer.", properties)
				},
			}.run(t, oracle.Rules{Order: true})
		})
	}
}

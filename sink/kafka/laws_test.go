package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test2"))
	for _, format := range []string{"false", "true"} {
		t.Run("useFlumeEventFormat = "+format, func(t *testing.T) {
			flumetest.Sink(t, func(t testing.TB) flume.Sink {
				return flumetest.Open(t, Kind, "kafka.bootstrap.servers = "+servers(c), "kafka.topic = test2", "useFlumeEventFormat = "+format)
			})
		})
	}
}

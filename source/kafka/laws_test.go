package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	start(t, newRig(t, 100), newSinkhole().emit, settings(c)...)() // the broker runs something for each group
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "kafka.bootstrap.servers = "+servers(c), "kafka.topics = test3")
	})
}

package spillable

import (
	"context"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kindOn is the channel on a file system of a test's own.
func kindOn(on vfs.FS) flume.Kind[flume.Channel] {
	return flume.Define[Settings, flume.Channel](Kind.Type, Kind.Class, Kind.Summary,
		func(ctx context.Context, s *Settings, env flume.Env) (flume.Channel, error) {
			return s.open(ctx, on, env)
		})
}

// with are settings of a channel, where they do not say otherwise on a disk that is all for it.
func with(settings ...string) []string {
	all := append([]string{"checkpointDir = /checkpoint", "dataDirs = /data"}, settings...)
	for _, usual := range []string{"minimumRequiredSpace = 1048576", "overflowCapacity = 20000"} {
		key, _, _ := strings.Cut(usual, "=")
		if !slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, key) }) {
			all = append(all, usual)
		}
	}
	return all
}

func opened(t testing.TB, on vfs.FS, settings ...string) *channel {
	t.Helper()
	return flumetest.Open(t, kindOn(on), with(settings...)...).(*channel)
}

// Where one side is all there is, the channel is what that side is.
func TestLaws(t *testing.T) {
	laws := func(back flumetest.Back, capacity string, own ...string) func(t *testing.T) {
		return func(t *testing.T) {
			flumetest.Channel(t, func(t testing.TB, settings ...string) flume.Channel {
				all := own
				for _, s := range settings {
					key, value, _ := strings.Cut(s, " ")
					switch key {
					case "capacity":
						key = capacity
					case "keep-alive":
						key = "overflowTimeout"
					}
					all = append(all, key+" "+value)
				}
				return opened(t, vfs.NewMemory(), all...)
			}, back)
		}
	}
	t.Run("memory only", laws(flumetest.ToHead, "memoryCapacity", "overflowCapacity = 0"))
	t.Run("disk only", laws(flumetest.InPlace, "overflowCapacity", "memoryCapacity = 0"))
}

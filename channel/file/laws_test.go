package file

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kindOn is the channel on a file system of a test's own.
func kindOn(on vfs.FS) flume.Kind[flume.Channel] {
	return flume.Define[Settings, flume.Channel]("file", Kind.Class, Kind.Summary,
		func(_ context.Context, s *Settings, env flume.Env) (flume.Channel, error) { return s.OpenOn(on, env) })
}

func TestLaws(t *testing.T) {
	for name, own := range map[string][]string{
		"as it is":           {"dataDirs = /data"},
		"everything on disk": {"dataDirs = /data", "cacheBytes = 0", "maxFileSize = 2000"},
		"takes are synced":   {"dataDirs = /data", "fsyncTakes = true"},
		"dual compressed":    {"dataDirs = /data", "useDualCheckpoints = true", "backupCheckpointDir = /backup", "compressBackupCheckpoint = true"},
		"two data dirs":      {"dataDirs = /one, /two", "maxFileSize = 4000"},
	} {
		t.Run(name, func(t *testing.T) {
			flumetest.Channel(t, func(t testing.TB, settings ...string) flume.Channel {
				all := append([]string{"checkpointDir = /checkpoint", "minimumRequiredSpace = 1048576"}, own...)
				return flumetest.Open(t, kindOn(vfs.NewMemory()), append(all, settings...)...)
			}, flumetest.InPlace)
		})
	}
}

package file

import (
	"fmt"
	"sync/atomic"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// A space is what puts may fill of the disks of the data directories. It asks the system each time, which costs about
// a microsecond a directory, for others write to these disks too.
type space struct {
	fs       vfs.FS
	dirs     []string
	keep     int64        // stays free on each disk
	promised atomic.Int64 // to puts that have not been written
}

// reserve promises n bytes on every disk, for the log chooses between them.
func (s *space) reserve(n int64) error {
	all := s.promised.Add(n)
	for _, dir := range s.dirs {
		free, err := s.fs.Free(dir)
		if err == nil && free-all >= s.keep {
			continue
		}
		s.promised.Add(-n)
		if err != nil {
			return fmt.Errorf("asking for the room in %s: %w", dir, err)
		}
		return fmt.Errorf("%w: the disk of %s has %d bytes free, of which %d are not for new events (minimumRequiredSpace), and %d are needed",
			flume.ErrFull, dir, free, s.keep, all)
	}
	return nil
}

func (s *space) release(n int64) { s.promised.Add(-n) }

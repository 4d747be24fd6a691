package wal

import (
	"sync"

	"github.com/sluice-io/sluice/internal/vfs"
)

// openReads is how many data files are kept open for reading.
const openReads = 48

// handles are the data files that are open for reading, the last used ones.
type handles struct {
	fs   vfs.FS
	mu   sync.Mutex
	open map[uint32]*handle
	tick int64
}

type handle struct {
	vfs.File
	users int
	used  int64
	dead  bool // close it when the last user is done
}

func newHandles(f vfs.FS) *handles { return &handles{fs: f, open: map[uint32]*handle{}} }

// acquire opens d for reading; release must follow.
func (hs *handles) acquire(d *dataFile) (*handle, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.open[d.id]
	if h == nil {
		f, err := hs.fs.Open(d.path)
		if err != nil {
			return nil, err
		}
		h = &handle{File: f}
		hs.open[d.id] = h
		hs.shrink()
	}
	hs.tick++
	h.used = hs.tick
	h.users++
	return h, nil
}

func (hs *handles) release(h *handle) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.users--
	if h.dead && h.users == 0 {
		h.Close()
	}
}

func (hs *handles) shrink() {
	for len(hs.open) > openReads {
		var oldest uint32
		for id, h := range hs.open {
			if h.users == 0 && (oldest == 0 || h.used < hs.open[oldest].used) && h.used > 0 {
				oldest = id
			}
		}
		if oldest == 0 {
			return
		}
		hs.open[oldest].Close()
		delete(hs.open, oldest)
	}
}

// forget closes data file id as soon as nobody reads it.
func (hs *handles) forget(id uint32) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.open[id]
	if h == nil {
		return
	}
	delete(hs.open, id)
	h.dead = true
	if h.users == 0 {
		h.Close()
	}
}

func (hs *handles) close() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for id, h := range hs.open {
		h.Close()
		delete(hs.open, id)
	}
}

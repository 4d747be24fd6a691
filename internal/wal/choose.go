package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/internal/vfs"
)

// choose reads the checkpoint that the replay starts from; nil is none: everything is replayed. What was there and could
// not be used is in bad.
func choose(f vfs.FS, dir, backupDir string, files []*dataFile) (c *checkpoint, bad []string) {
	newest := int64(0) // that the data files know
	for _, d := range files {
		newest = max(newest, d.meta.now.woid)
	}
	c, err := loadWithFlights(f, dir, ringName, metaName, files)
	absent := errors.Is(err, errAbsent)
	if err != nil && !absent {
		bad = append(bad, fmt.Sprintf("the checkpoint in %s cannot be used: %v", dir, err))
	}
	if c != nil {
		newest = max(newest, c.woid+1)
	}
	if s := unpublished(f, dir, newest); s != nil {
		return s, bad
	}
	if c != nil || backupDir == "" {
		return c, bad
	}
	if _, err := f.Stat(filepath.Join(backupDir, backupComplete)); err != nil {
		if !absent {
			bad = append(bad, fmt.Sprintf("the backup in %s is not complete", backupDir))
		}
		return nil, bad
	}
	for _, ring := range []string{ringSnappy, ringName} {
		b, err := loadWithFlights(f, backupDir, ring, metaName, files)
		if err == nil {
			b.name = filepath.Join(backupDir, ring)
			return b, bad
		}
		if _, gone := f.Stat(filepath.Join(backupDir, ring)); gone == nil {
			bad = append(bad, fmt.Sprintf("the backup checkpoint in %s cannot be used: %v", backupDir, err))
		}
	}
	return nil, bad
}

// home stands in every checkpoint of ours: which data directories it is of.
func (o *Options) home() int64 {
	dirs := make([]string, len(o.DataDirs))
	for i, dir := range o.DataDirs {
		if absolute, err := filepath.Abs(dir); err == nil {
			dir = absolute
		}
		dirs[i] = filepath.Clean(dir)
	}
	slices.Sort(dirs)
	h := fnv.New64a()
	h.Write([]byte(strings.Join(dirs, "\x00")))
	return int64(h.Sum64())
}

// ofAnother tells whether c is of another log than the data files: of one whose configuration shares the checkpoint
// directory by mistake, which Flume's default makes easy. It would hide all of them that is older than it. A checkpoint
// of these has the same home, or, when it is Flume's or they have moved, its write order ID is the mark of those files
// that were being written to.
func (c *checkpoint) ofAnother(o *Options, files []*dataFile) bool {
	if c.ours && c.home == o.home() {
		return false
	}
	for _, d := range files {
		if d.stale || d.meta.now.woid == c.woid || d.meta.before.woid == c.woid {
			return false
		}
	}
	return len(files) > 0
}

func loadWithFlights(f vfs.FS, dir, ring, meta string, files []*dataFile) (*checkpoint, error) {
	c, err := loadCheckpoint(f, dir, ring, meta)
	if err == nil && !c.summed {
		err = c.plausible(files)
	}
	if err != nil {
		return nil, err
	}
	if c.ours {
		return c, err
	}
	if c.puts, err = loadFlights(f, filepath.Join(dir, inflightPuts)); err != nil {
		return nil, err
	}
	if c.takes, err = loadFlights(f, filepath.Join(dir, inflightTakes)); err != nil {
		return nil, err
	}
	return c, nil
}

// plausible looks for damage in a checkpoint without a checksum, as Flume's are: its meta says how many events of which
// file there are, and no event lies behind the end of a file that is as long as its own meta says. Where a file is not
// there that the checkpoint needs it is believed all the same, for without it even less could be said of what is lost.
func (c *checkpoint) plausible(files []*dataFile) error {
	has := map[uint32]*dataFile{}
	for _, d := range files {
		has[d.id] = d
	}
	says := map[uint32]int{}
	for _, a := range c.active {
		if has[a.file] == nil {
			return nil
		}
		says[a.file] = a.count
	}
	counts, wrong := map[uint32]int{}, error(nil)
	for _, b := range c.queue {
		for _, p := range b {
			counts[p.File()]++
			d := has[p.File()]
			switch {
			case p.File() == 0:
				return fmt.Errorf("%s is damaged: it names log-0, and there is no such file", c.name)
			case d != nil && p.Offset() >= d.size && d.lacks == 0 && wrong == nil:
				wrong = fmt.Errorf("%s is damaged: it names an event at %d of log-%d, which has %d bytes", c.name, p.Offset(), d.id, d.size)
			}
		}
	}
	for id, n := range counts {
		if c.version != 2 && says[id] != n {
			return fmt.Errorf("%s is damaged: it names %d events of log-%d and its meta %d", c.name, n, id, says[id])
		}
	}
	return wrong
}

func loadFlights(f vfs.FS, name string) ([]flight, error) {
	b, err := readFile(f, name, 1<<31)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out, err := decodeFlights(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return out, nil
}

// ringNames and metaNames are the names that a checkpoint of ours may have.
func ringNames() []string { return []string{ringName, ringSpare, ringMoving} }
func metaNames() []string { return []string{metaName, metaSpare, metaMoving} }

// unpublished returns the newest checkpoint of ours whose files were complete when the last run ended but did not all
// have their final names yet. One that is older than what the data files know is the room for the next, or was left
// behind before Flume ran here, and is none.
func unpublished(f vfs.FS, dir string, newest int64) *checkpoint {
	var best *checkpoint
	for _, meta := range metaNames() {
		woid := metaOrder(f, filepath.Join(dir, meta))
		for _, ring := range ringNames() {
			if ring == ringName && meta == metaName || woid == 0 || woid < newest || best != nil && woid <= best.woid ||
				ringOrder(f, filepath.Join(dir, ring)) != woid {
				continue
			}
			if c, err := loadCheckpoint(f, dir, ring, meta); err == nil && c.ours {
				c.meta, c.unpublished = meta, true
				best = c
			}
		}
	}
	return best
}

// isNamed tells whether any checkpoint in dirs names a data file, or one is there that cannot be read.
func isNamed(f vfs.FS, id uint32, dirs ...string) bool {
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		metas := 0
		for _, name := range metaNames() {
			b, err := readFile(f, filepath.Join(dir, name), checkpointLimit*16)
			if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 { // reserved
				continue
			}
			m, err := decodeCheckpointMeta(b)
			if err != nil || slices.ContainsFunc(m.active, func(c fileCount) bool { return c.file == id }) {
				return true
			}
			metas++
		}
		if metas > 0 {
			continue
		}
		if c, err := loadCheckpoint(f, dir, ringName, metaName); err == nil { // of version 2, without a meta
			for _, b := range c.queue {
				if slices.ContainsFunc(b, func(p Pointer) bool { return p.File() == id }) {
					return true
				}
			}
		}
	}
	return false
}

// metaOrder is the write order ID in a checkpoint.meta, 0 when it cannot be read.
func metaOrder(f vfs.FS, name string) int64 {
	b, err := readFile(f, name, checkpointLimit*16)
	if err != nil {
		return 0
	}
	m, err := decodeCheckpointMeta(b)
	if err != nil {
		return 0
	}
	return m.woid
}

// ringOrder is the write order ID in a file checkpoint, 0 when it cannot be read.
func ringOrder(f vfs.FS, name string) int64 {
	r, err := f.Open(name)
	if err != nil {
		return 0
	}
	defer r.Close()
	var b [slotSize]byte
	if n, _ := r.ReadAt(b[:], slotOrder*slotSize); n < slotSize {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b[:]))
}

// largestOrder is the largest write order ID that any file of a checkpoint has, finished or not. No checkpoint may get
// one again: files of two that have the same number would look like one.
func largestOrder(f vfs.FS, dirs ...string) int64 {
	most := int64(0)
	for _, dir := range dirs {
		for _, name := range ringNames() {
			most = max(most, ringOrder(f, filepath.Join(dir, name)))
		}
		for _, name := range metaNames() {
			most = max(most, metaOrder(f, filepath.Join(dir, name)))
		}
	}
	return most
}

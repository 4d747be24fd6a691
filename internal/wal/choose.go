package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/sluice-io/sluice/internal/vfs"
)

// choose reads the checkpoint that the replay starts from; nil is none: everything is replayed. newest is the largest
// write order ID that a data file's meta names. What was there and could not be used is in bad.
func choose(f vfs.FS, dir, backupDir string, newest int64) (c *checkpoint, bad []string) {
	c, err := loadWithFlights(f, dir, ringName, metaName)
	absent := errors.Is(err, errAbsent)
	if err != nil && !absent {
		bad = append(bad, fmt.Sprintf("the checkpoint in %s cannot be used: %v", dir, err))
	}
	if s := unpublished(f, dir, newest); s != nil && (c == nil || s.woid > c.woid) {
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
		b, err := loadWithFlights(f, backupDir, ring, metaName)
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

func loadWithFlights(f vfs.FS, dir, ring, meta string) (*checkpoint, error) {
	c, err := loadCheckpoint(f, dir, ring, meta)
	if err != nil || c.ours {
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

func loadFlights(f vfs.FS, name string) ([]flight, error) {
	if _, err := f.Stat(name); err != nil {
		return nil, nil //nolint:nilerr // a missing file says that nothing is in flight
	}
	b, err := readFile(f, name, 1<<31)
	if err != nil {
		return nil, err
	}
	fs, err := decodeFlights(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return fs, nil
}

// unpublished returns the newest checkpoint of ours whose files were complete when the last run ended but did not all
// have their final names yet. One that is older than what the data files know is the room for the next, or was left
// behind before Flume ran here, and is none.
func unpublished(f vfs.FS, dir string, newest int64) *checkpoint {
	es, err := f.List(dir)
	if err != nil {
		return nil
	}
	there := func(name string) bool {
		return slices.ContainsFunc(es, func(e vfs.Entry) bool { return e.Name == name && !e.Dir })
	}
	if !there(ringSpare) && !there(ringMoving) && !there(metaSpare) && !there(metaMoving) {
		return nil
	}
	var best *checkpoint
	for _, ring := range []string{ringName, ringSpare, ringMoving} {
		for _, meta := range []string{metaName, metaSpare, metaMoving} {
			if ring == ringName && meta == metaName || !there(ring) || !there(meta) {
				continue
			}
			c, err := loadCheckpoint(f, dir, ring, meta)
			if err == nil && c.ours && c.woid >= newest && (best == nil || c.woid > best.woid) {
				best = c
			}
		}
	}
	return best
}

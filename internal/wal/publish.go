package wal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/sluice-io/sluice/internal/vfs"
)

// publish makes the cut the checkpoint. The ring and its meta are written whole beside the ones in use and change
// places with them: at every moment one complete pair is on the disk, and choose finds it. The ring that was in use is
// the room for the next one, so that a checkpoint needs no space on a full disk.
func (l *Log) publish(k *cut) error {
	c := &l.checkpoints
	dir := l.o.CheckpointDir
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := l.writeRing(at(ringSpare), k); err != nil {
		return err
	}
	if err := writeFile(l.fsys, at(metaSpare), k.meta()); err != nil {
		return err
	}
	if err := l.fsys.SyncDir(dir); err != nil {
		return err
	}
	if c.foreign {
		// Flume's pair and what was in flight belong together. Without a meta Flume replays everything, and we use
		// the new pair, so this is the moment to empty the in-flight files.
		if err := remove(l.fsys, at(metaName)); err != nil {
			return err
		}
		if err := l.fsys.SyncDir(dir); err != nil {
			return err
		}
		for _, name := range []string{inflightPuts, inflightTakes} {
			if err := writeFile(l.fsys, at(name), encodeFlights(nil)); err != nil {
				return err
			}
		}
		if c.upgrade != "" {
			if err := l.fsys.Rename(at(ringName), at(c.upgrade)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := l.swap(at(ringName), at(ringMoving), at(ringSpare)); err != nil {
		return err
	}
	if err := l.swap(at(metaName), at(metaMoving), at(metaSpare)); err != nil {
		return err
	}
	if err := l.fsys.SyncDir(dir); err != nil {
		return err
	}
	c.foreign, c.upgrade = false, ""
	return nil
}

// remove removes a file that may not be there.
func remove(f vfs.FS, name string) error {
	if err := f.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// swap gives the file spare the name inUse and the other way round. A crash may leave the old file under moving.
func (l *Log) swap(inUse, moving, spare string) error {
	err := l.fsys.Rename(inUse, moving)
	old := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.fsys.Rename(spare, inUse); err != nil {
		return err
	}
	if old {
		return l.fsys.Rename(moving, spare)
	}
	return nil
}

// meta is checkpoint.meta.
func (k *cut) meta() []byte {
	m := checkpointMeta{woid: k.woid, size: k.queue.size}
	for id, n := range k.queue.counts {
		m.active = append(m.active, fileCount{id, n})
	}
	slices.SortFunc(m.active, func(a, b fileCount) int { return cmp.Compare(a.file, b.file) })
	return m.encode()
}

// ringHead is the first slots of the file checkpoint.
func (k *cut) ringHead() []byte {
	b := make([]byte, queueAt)
	binary.BigEndian.PutUint64(b[slotVersion*slotSize:], formatVersion)
	binary.BigEndian.PutUint64(b[slotOrder*slotSize:], uint64(k.woid))
	binary.BigEndian.PutUint64(b[slotOwner*slotSize:], uint64(k.woid))
	return b
}

// slots is how many slots the ring has: as many as the capacity, which Flume insists on. After a power cut there may be
// more events than that, when takes have come back that had made room for puts.
func (l *Log) slots(k *cut) int { return max(l.o.Capacity, k.queue.size) }

// writeRing writes the cut into the file name, whose slots beyond the queue keep what they had.
func (l *Log) writeRing(name string, k *cut) error {
	w, err := openOrCreate(l.fsys, name)
	if err != nil {
		return err
	}
	err = l.fillRing(w, k)
	if err != nil {
		err = fmt.Errorf("writing %s: %w", name, err)
	}
	return errors.Join(err, w.Close())
}

func (l *Log) fillRing(w vfs.File, k *cut) error {
	size := int64(l.slots(k)+slotQueue) * slotSize
	was, err := w.Size()
	if err != nil {
		return err
	}
	if was > 0 {
		// Until it is whole again it must not look like the checkpoint it was.
		var none [slotSize]byte
		if _, err := w.WriteAt(none[:], slotOrder*slotSize); err != nil {
			return err
		}
		if err := w.Sync(); err != nil {
			return err
		}
	}
	if was != size {
		if err := w.Allocate(size); err != nil {
			return err
		}
		if err := w.Truncate(size); err != nil {
			return err
		}
	}
	if _, err := w.WriteAt(k.ringHead(), 0); err != nil {
		return err
	}
	if err := k.eachSlot(func(b []byte, off int64) error {
		_, err := w.WriteAt(b, off)
		return err
	}); err != nil {
		return err
	}
	return w.Sync()
}

// eachSlot calls write with the slots of the queue, in large runs in order.
func (k *cut) eachSlot(write func(b []byte, off int64) error) error {
	buf := make([]byte, 0, min(max(k.queue.size, 1), ringBlock)*slotSize)
	off := int64(queueAt)
	flush := func() error {
		err := write(buf, off)
		off += int64(len(buf))
		buf = buf[:0]
		return err
	}
	err := k.queue.each(func(ps []Pointer) error {
		if len(buf) > 0 && len(buf)+len(ps)*slotSize > cap(buf) {
			if err := flush(); err != nil {
				return err
			}
		}
		for _, p := range ps {
			buf = binary.BigEndian.AppendUint64(buf, uint64(p))
		}
		return nil
	})
	if err != nil || len(buf) == 0 {
		return err
	}
	return flush()
}

// backUp writes the cut into the backup directory as well. The marker goes first and comes last.
func (l *Log) backUp(k *cut) error {
	dir := l.o.BackupDir
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := remove(l.fsys, at(backupComplete)); err != nil {
		return err
	}
	if err := l.fsys.SyncDir(dir); err != nil {
		return err
	}
	var err error
	other := ringName
	if l.o.CompressBackup {
		err = l.writeSnappy(at(ringSnappy), k)
	} else {
		err, other = l.writeRing(at(ringName), k), ringSnappy
	}
	if err != nil {
		return err
	}
	if err := remove(l.fsys, at(other)); err != nil {
		return err
	}
	if err := writeFile(l.fsys, at(metaName), k.meta()); err != nil {
		return err
	}
	for _, name := range []string{inflightPuts, inflightTakes} {
		if err := writeFile(l.fsys, at(name), encodeFlights(nil)); err != nil {
			return err
		}
	}
	if err := l.fsys.SyncDir(dir); err != nil {
		return err
	}
	if err := writeFile(l.fsys, at(backupComplete), nil); err != nil {
		return err
	}
	return l.fsys.SyncDir(dir)
}

// An appender makes an io.Writer of a file.
type appender struct {
	w  io.WriterAt
	at int64
}

// Write implements io.Writer.
func (a *appender) Write(p []byte) (int, error) {
	n, err := a.w.WriteAt(p, a.at)
	a.at += int64(n)
	return n, err
}

func (l *Log) writeSnappy(name string, k *cut) error {
	w, err := openOrCreate(l.fsys, name)
	if err != nil {
		return err
	}
	err = w.Truncate(0)
	if err == nil {
		err = l.compress(&appender{w: w}, k)
	}
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

func (l *Log) compress(w io.Writer, k *cut) error {
	z := newSnappyWriter(w)
	if _, err := z.Write(k.ringHead()); err != nil {
		return err
	}
	if err := k.eachSlot(func(b []byte, _ int64) error {
		_, err := z.Write(b)
		return err
	}); err != nil {
		return err
	}
	zeros := make([]byte, snappyChunk)
	for left := (l.slots(k) - k.queue.size) * slotSize; left > 0; {
		n := min(left, len(zeros))
		if _, err := z.Write(zeros[:n]); err != nil {
			return err
		}
		left -= n
	}
	return z.Close()
}

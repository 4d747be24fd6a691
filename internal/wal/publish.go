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
	if err := l.writeRing(at(ringSpare), k, &c.spare); err != nil {
		return err
	}
	if err := writeFile(l.fsys, at(metaSpare), k.meta(l.slot(k, k.queue.low()))); err != nil {
		return err
	}
	if err := l.fsys.SyncDir(dir); err != nil {
		return err
	}
	if err := l.makeWay(); err != nil {
		return err
	}
	was, is := c.inUse, c.spare
	c.inUse, c.spare = span{}, span{}
	if err := l.swap(at(ringName), at(ringMoving), at(ringSpare)); err != nil {
		return err
	}
	c.inUse, c.spare = is, was
	if err := l.swap(at(metaName), at(metaMoving), at(metaSpare)); err != nil {
		return err
	}
	if err := l.fsys.SyncDir(dir); err != nil {
		return err
	}
	c.foreign, c.upgrade = false, ""
	return nil
}

// makeWay takes Flume's checkpoint away, when a newer one of ours is complete. Flume's pair and what was in flight belong
// together. Without a meta Flume replays everything, and we use the new pair, so that is the moment to empty the
// in-flight files.
func (l *Log) makeWay() error {
	c := &l.checkpoints
	if !c.foreign {
		return nil
	}
	at := func(name string) string { return filepath.Join(l.o.CheckpointDir, name) }
	if err := remove(l.fsys, at(metaName)); err != nil {
		return err
	}
	if err := l.fsys.SyncDir(l.o.CheckpointDir); err != nil {
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
	return nil
}

// finishPublish gives the checkpoint that the log was opened with its names, where the last run did not come to it: under
// those that it has the next one would be written over it.
func (l *Log) finishPublish(ck *checkpoint) error {
	if ck == nil || !ck.unpublished {
		return nil
	}
	if err := l.makeWay(); err != nil {
		return err
	}
	for _, name := range [][2]string{{ck.name, ringName}, {ck.meta, metaName}} {
		if name[0] == name[1] {
			continue
		}
		if err := l.fsys.Rename(filepath.Join(l.o.CheckpointDir, name[0]), filepath.Join(l.o.CheckpointDir, name[1])); err != nil {
			return err
		}
	}
	return l.fsys.SyncDir(l.o.CheckpointDir)
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

// meta is checkpoint.meta of a ring whose first event is in slot head.
func (k *cut) meta(head int) []byte {
	m := checkpointMeta{woid: k.woid, size: k.queue.size, head: head}
	for id, n := range k.queue.counts {
		m.active = append(m.active, fileCount{id, n})
	}
	slices.SortFunc(m.active, func(a, b fileCount) int { return cmp.Compare(a.file, b.file) })
	return m.encode()
}

// ringHead is what the first slots of the file checkpoint say; the first event is in slot head.
func (k *cut) ringHead(head int) ([]byte, error) {
	b := make([]byte, ownSlots*slotSize)
	binary.BigEndian.PutUint64(b[slotVersion*slotSize:], formatVersion)
	binary.BigEndian.PutUint64(b[slotOrder*slotSize:], uint64(k.woid))
	binary.BigEndian.PutUint64(b[slotOwner*slotSize:], uint64(k.woid))
	binary.BigEndian.PutUint64(b[slotHome*slotSize:], uint64(k.home))
	var s ringSum
	if err := k.queue.each(span{}, func(_ int64, ps []Pointer) error { s.add(ps); return nil }); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint64(b[slotSum*slotSize:], sumMagic<<32|uint64(s.of(k.woid, head)))
	return b, nil
}

// slots is how many slots the ring has: as many as the capacity, which Flume insists on. After a power cut there may be
// more events than that, when takes have come back that had made room for puts.
func (l *Log) slots(k *cut) int { return max(l.o.Capacity, k.queue.size) }

// slot is the place of a position in the ring. It stays the same from one checkpoint to the next, so that only what
// has come since a file was last written has to be written into it.
func (l *Log) slot(k *cut, pos int64) int { return int(pos % int64(l.slots(k))) }

// writeRing writes the cut into the file name, which has the positions of has already. Slots beyond the queue keep what
// they had.
func (l *Log) writeRing(name string, k *cut, has *span) error {
	w, err := openOrCreate(l.fsys, name)
	if err != nil {
		return err
	}
	skip := *has
	*has = span{}
	err = l.fillRing(w, k, skip)
	if err != nil {
		err = fmt.Errorf("writing %s: %w", name, err)
	}
	if err = errors.Join(err, w.Close()); err == nil {
		*has = span{k.queue.next, k.queue.end}
	}
	return err
}

// reserveSpare takes the room of the next checkpoint, so that a disk which fills up meanwhile still has it.
func (l *Log) reserveSpare() error {
	for name, size := range map[string]int64{ringSpare: int64(l.o.Capacity+slotQueue) * slotSize, metaSpare: 1} {
		name = filepath.Join(l.o.CheckpointDir, name)
		w, err := openOrCreate(l.fsys, name)
		if err != nil {
			return fmt.Errorf("reserving room for the next checkpoint: %w", err)
		}
		if err := errors.Join(w.Allocate(size), w.Close()); err != nil {
			return fmt.Errorf("reserving room for the next checkpoint in %s: %w", name, err)
		}
	}
	return nil
}

func (l *Log) fillRing(w vfs.File, k *cut, skip span) error {
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
		skip = span{} // of another capacity, or new
		if err := w.Allocate(size); err != nil {
			return err
		}
		if err := w.Truncate(size); err != nil {
			return err
		}
	}
	head, err := k.ringHead(l.slot(k, k.queue.low()))
	if err != nil {
		return err
	}
	if _, err := w.WriteAt(head, 0); err != nil {
		return err
	}
	if err := k.eachSlot(skip, func(at int64) int { return l.slot(k, at) }, func(b []byte, slot int) error {
		_, err := w.WriteAt(b, queueAt+int64(slot)*slotSize)
		return err
	}); err != nil {
		return err
	}
	return w.Sync()
}

// eachSlot calls write with the slots of the queue but those in skip, in runs as large as can be, in order.
func (k *cut) eachSlot(skip span, slot func(at int64) int, write func(b []byte, slot int) error) error {
	var buf []byte
	first, next := 0, 0 // slots of buf, and the one behind
	flush := func() error {
		if len(buf) == 0 {
			return nil
		}
		err := write(buf, first)
		buf = buf[:0]
		return err
	}
	err := k.queue.each(skip, func(at int64, ps []Pointer) error {
		for i, p := range ps {
			if s := slot(at + int64(i)); s != next || len(buf) == ringBlock*slotSize {
				if err := flush(); err != nil {
					return err
				}
				next = s
			}
			if len(buf) == 0 {
				first = next
			}
			buf = binary.BigEndian.AppendUint64(buf, uint64(p))
			next++
		}
		return nil
	})
	if err != nil {
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
	head, other := 0, ringName
	if l.o.CompressBackup {
		err = l.writeSnappy(at(ringSnappy), k)
	} else {
		err, other = l.writeRing(at(ringName), k, &l.checkpoints.backup), ringSnappy
		head = l.slot(k, k.queue.low())
	}
	if err != nil {
		return err
	}
	if err := remove(l.fsys, at(other)); err != nil {
		return err
	}
	if err := writeFile(l.fsys, at(metaName), k.meta(head)); err != nil {
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
	head, err := k.ringHead(0)
	if err != nil {
		return err
	}
	if _, err := z.Write(head); err != nil {
		return err
	}
	if err := writeZeros(z, queueAt-len(head)); err != nil {
		return err
	}
	low := k.queue.low()
	if err := k.eachSlot(span{}, func(at int64) int { return int(at - low) }, func(b []byte, _ int) error {
		_, err := z.Write(b)
		return err
	}); err != nil {
		return err
	}
	if err := writeZeros(z, (l.slots(k)-k.queue.size)*slotSize); err != nil {
		return err
	}
	return z.Close()
}

func writeZeros(w io.Writer, n int) error {
	zeros := make([]byte, min(n, snappyChunk))
	for n > 0 {
		k := min(n, len(zeros))
		if _, err := w.Write(zeros[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

package wal

import (
	"errors"
	"math"
	"syscall"

	"github.com/sluice-io/sluice/internal/vfs"
)

// IsFull tells whether err says that there is no room: the disk is full, a quota is used up, or a file may not become
// so large.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// An output is the data file that a lane writes to, and how far. To go on in a new file is a new output.
//
//	0 ─── safe ─── wrote ─── pos ─── size ─── room
//	synced   written   being     fill    reserved
//	                   written
type output struct {
	file  *dataFile
	w     vfs.File
	pos   int64 // where the next record goes
	wrote int64 // up to here all is written
	safe  int64 // and up to here synced
	dirty bool  // something has been written since the last sync began
	// over: nothing more is written to it. What is behind wrote, if anything, was refused.
	over bool
	// doubt is why a sync of it failed: what is behind safe is refused. The kernel may have dropped it, and says so once.
	doubt error

	// What follows only the writer uses, without the lock.
	size int64 // length of the file, with fill
	room int64 // reserved on the disk up to here
}

func newOutput(d *dataFile, w vfs.File) *output { return &output{file: d, w: w} }

// distrust gives up what is behind safe after a sync that failed.
func (o *output) distrust(err error) {
	o.doubt, o.over, o.dirty = err, true, false
	o.pos, o.wrote = o.safe, o.safe
}

// shorten takes what is refused off the file when nobody writes to it. That it may fail, or not be safe on the disk, is
// why what is refused may come back.
func (o *output) shorten() {
	o.file.written.Store(o.wrote)
	_ = o.w.Truncate(o.wrote)
}

// end is how long the file is to be when it is left.
func (o *output) end() int64 {
	if o.over {
		return o.wrote
	}
	return o.size
}

// append writes b at pos, the end of the records, and fill behind it where the file ends.
func (o *output) append(b []byte, pos int64, fill []byte) error {
	if len(b) == 0 {
		return nil
	}
	end := pos + int64(len(b))
	if _, err := o.w.WriteAt(b, pos); err != nil {
		return err
	}
	if end > o.size {
		o.size = end
		if n := len(fill) - len(b); n > 0 {
			if _, err := o.w.WriteAt(fill[:n], end); err != nil {
				return err
			}
			o.size += int64(n)
		}
	}
	o.file.written.Store(end)
	return nil
}

// reserve takes room on the disk ahead of a write that ends at end; most is how long the file may become. It is a hint:
// whether there is room, the write will tell.
func (o *output) reserve(end, fill, most int64) {
	if end <= o.size || end+fill <= o.room {
		return
	}
	far := min(end+ahead, max(end, most)+fill)
	if o.w.Allocate(far) == nil {
		o.room = far
		return
	}
	// What it did get others may need; nor is it tried again before the next file.
	_ = o.w.Truncate(o.size)
	o.room = math.MaxInt64
}

// cut takes what a failed write has left off the end of the file, whose records end at start, and tells whether the
// file is as before.
func (o *output) cut(start int64) bool {
	o.size = start
	if o.room != math.MaxInt64 {
		o.room = 0
	}
	return o.w.Truncate(start) == nil
}

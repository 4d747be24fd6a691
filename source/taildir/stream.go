package taildir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/unzip"
)

// A stream is what one file holds, followed wherever its name goes. When the file is written anew that is another stream.
type stream struct {
	info           // as it was seen last
	id      uint64 // in the journal
	path    string // its name, as it was seen last
	group   int
	headers flume.Headers // of each of its events
	zipped  bool

	f       *os.File      // nil: not open
	content *unzip.Reader // of an open packed one

	pos        int64 // up to here its events have been emitted
	head, tail print // of the content's first bytes, and of the last ones before pos
	scanned    int64 // from pos to here there is no newline
	tried      int64 // the size when all was read that made events; -1: there may be more
	verified   int64 // when its content had been changed last, the time that tail was compared
	flushed    int64 // the size when what is no whole event was made one, as far as flushedAs says
	flushedAs  ripeness
	given      int64 // where somebody else has read to, or reading is to begin: the prints are still to be taken; -1: nowhere

	asOf     int64              // when somebody else has noted pos, in nanoseconds since 1970; zero: this source has, or nobody knows
	first    time.Time          // when this run has seen it first
	grown    time.Time          // when it was seen to change last
	asked    time.Time          // when it was found to be a copy, after it had grown last
	gone     time.Time          // since when no name leads to it; zero: one does
	lostAt   time.Time          // of a lost one: when its file was cut short or removed; zero: before this run
	round    uint64             // the last look that has seen it
	cut      bool               // its file was cut short or written anew, and has it no more
	trouble  *supervise.Trouble // nil: reading it has never failed
	failing  bool               // it could not be read the last time
	restored bool               // it was known when the source was opened
	settled  bool               // it is known where to begin
}

// isOpen reports whether there is a handle.
func (st *stream) isOpen() bool { return st.f != nil }

// open opens the file that the stream is known to be.
func (st *stream) open() error {
	if st.f != nil {
		return nil
	}
	f, err := os.Open(st.path)
	if err != nil {
		return err
	}
	now, err := statOpen(f)
	if err == nil && !now.same(st.place) {
		err = fmt.Errorf("opening %s: %w", st.path, errMoved)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	st.f = f
	return nil
}

// refresh looks at the open file again.
func (st *stream) refresh() error {
	i, err := statOpen(st.f)
	if err != nil {
		return err
	}
	if i.size != st.size || i.changed != st.changed {
		st.grown = time.Now()
		st.content = nil
	}
	st.info = i
	return nil
}

// errMoved says that the name leads to another file by now; the next look finds out where the file is.
var errMoved = errors.New("it is another file by now")

func (st *stream) close() {
	if st.f != nil {
		_ = st.f.Close() // it was only read
		st.f, st.content = nil, nil
	}
}

// ReadAt reads the content: of a packed file what it was packed from.
func (st *stream) ReadAt(p []byte, off int64) (int, error) {
	if !st.zipped {
		return st.f.ReadAt(p, off)
	}
	if st.content == nil {
		var err error
		if st.content, err = unzip.New(st.f); err != nil {
			return 0, err
		}
	}
	return st.content.ReadAt(p, off)
}

// read fills p from off on and returns how much there was.
func (st *stream) read(p []byte, off int64) (int, error) {
	n, err := st.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// errOverwritten says that the file no longer has what was read from it.
var errOverwritten = errors.New("the file was cut short or written anew")

// verify compares the bytes before pos with what was read there.
func (st *stream) verify() error {
	if st.tail.n == 0 {
		return nil
	}
	var b [printSize]byte
	n, err := st.read(b[:st.tail.n], st.pos-int64(st.tail.n))
	switch {
	case err != nil:
		return err
	case printOf(b[:n]) != st.tail:
		return errOverwritten
	}
	return nil
}

// startAt puts the position at pos, of a stream that others have read so far, and takes the prints.
func (st *stream) startAt(pos int64) error {
	var b [printSize]byte
	n, err := st.read(b[:min(pos, printSize)], 0)
	if err != nil {
		return err
	}
	st.head = printOf(b[:n])
	if n, err = st.read(b[:min(pos, printSize)], pos-min(pos, printSize)); err != nil {
		return err
	}
	st.tail = printOf(b[:n])
	st.move(pos)
	return nil
}

// move sets the position alone.
func (st *stream) move(pos int64) { st.pos, st.scanned, st.tried, st.flushed = pos, pos, -1, -1 }

// follows reports whether the content of st begins with all that was read from other: whether it is a copy of it, or was
// packed from it. A packed file that does not end yet is io.ErrUnexpectedEOF.
func (st *stream) follows(other *stream) (bool, error) {
	if !st.zipped && st.size < other.pos || other.head.n == 0 {
		return false, nil
	}
	var b [printSize]byte
	n, err := st.read(b[:other.head.n], 0)
	if err != nil || printOf(b[:n]) != other.head {
		return false, err
	}
	n, err = st.read(b[:other.tail.n], other.pos-int64(other.tail.n))
	return err == nil && printOf(b[:n]) == other.tail, err
}

// errOriginal says that it is not the copy that cannot be read.
var errOriginal = errors.New("reading what it may be a copy of")

// starts reports whether st is, up to its end, the beginning of other, which goes on growing: whether a copy of other is
// being made, or just has been. Of more than a few bytes that is seen at their ends.
func (st *stream) starts(other *stream) (bool, error) {
	n := min(st.size, other.size)
	var a, b [printSize]byte
	for _, from := range []int64{0, max(0, n-printSize)} {
		length := min(n-from, printSize)
		if m, err := st.read(a[:length], from); err != nil || int64(m) < length {
			return false, err
		}
		if m, err := other.read(b[:length], from); err != nil {
			return false, fmt.Errorf("%w: %w", errOriginal, err)
		} else if int64(m) < length {
			return false, nil
		}
		if a != b {
			return false, nil
		}
	}
	return n > 0, nil
}

// record is what the journal keeps.
func (st *stream) record(groups []group, lost bool) record {
	return record{
		ID: st.id, Lost: lost, Cut: st.cut, AsOf: st.asOf, File: st.path, Group: groups[st.group].name, Zipped: st.zipped,
		Device: st.device, Inode: st.inode, Born: st.born, Pos: st.pos, Head: st.head.String(), Tail: st.tail.String(),
	}
}

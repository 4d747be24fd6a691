package taildir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/internal/unzip"
)

const (
	holdPlain  = 2 * time.Second // how long a copy waits, after it has grown last, for the end of what it is a copy of
	holdPacked = time.Minute
	slack      = 2 * time.Second // between what the clock says and what file systems say
)

// settle finds out where to begin with a file that is new: at its start, or where a stream was left of which it is a copy.
// It is not ready while it looks like a copy of a file that is still there.
func (s *source) settle(st *stream, now time.Time) (ready bool, err error) {
	if st.settled {
		return true, nil
	}
	if st.zipped && !unzip.Packed(st.f) {
		if now.Sub(st.grown) < holdPlain {
			return false, nil // nothing is written yet, perhaps
		}
		st.zipped = false
	}
	if st.given >= 0 {
		return true, s.takeOver(st)
	}
	held := false
	found, err := s.inherit(st)
	if err == nil && !found {
		held, err = s.held(st, now)
	}
	if st.zipped && errors.Is(err, io.ErrUnexpectedEOF) { // it is being packed
		if held, err = s.waits(st, now), nil; !held {
			s.log.Warn("A packed file does not end; what can be unpacked of it is read", "file", st.path)
		}
	}
	if err != nil || held {
		return false, err
	}
	st.settled = true
	return true, nil
}

// takeOver begins where others have read to, as far as that says something of the content.
func (s *source) takeOver(st *stream) error {
	pos := min(st.given, st.size)
	if st.zipped {
		if st.given < st.size {
			pos = 0 // somebody was on the way through the packed bytes
		} else {
			var err error
			if pos, err = length(st); err != nil {
				return err
			}
		}
	}
	if err := st.startAt(pos); err != nil {
		return err
	}
	st.settled, st.given = true, -1
	s.note(st.record(s.settings.groups, false))
	return nil
}

// length is how long the content is.
func length(st *stream) (int64, error) {
	b := make([]byte, leastBuffer)
	for at := int64(0); ; {
		n, err := st.ReadAt(b, at)
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return at, nil
		case err != nil:
			return 0, err
		}
	}
}

// inherit takes a lost stream over if st is a copy of it. A copy is complete before its original ends, but may not have been
// when it was looked at.
func (s *source) inherit(st *stream) (bool, error) {
	if err := st.refresh(); err != nil {
		return false, err
	}
	for i, old := range slices.Backward(s.lost) {
		if !s.mayBeOf(st, old) {
			continue
		}
		ok, err := st.follows(old)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		s.lost = slices.Delete(s.lost, i, i+1)
		st.head, st.tail = old.head, old.tail
		st.move(old.pos)
		s.note(st.record(s.settings.groups, false)) // first: a kill in between must not forget both
		s.note(record{ID: old.id, Gone: true})
		s.log.Info("A file is the copy of one that is no longer there and is read from where that one was left", "file", st.path, "copyOf", old.path, "position", st.pos)
		return true, nil
	}
	return false, nil
}

// mayBeOf reports whether st can be a copy of what was lost: it was there in time, at another place and by another name.
// Some bytes that are the same are not enough: what a command says each time it is run is no copy of what it said before.
func (s *source) mayBeOf(st, old *stream) bool {
	if old.pos <= printSize || sameName(st.path, old.path) || st.inode == old.inode && (st.device == old.device || old.device == 0) {
		return false
	}
	if old.links == 0 && old.touched != 0 && st.born > old.touched { // made after the other one was removed
		return false
	}
	end := old.lostAt
	if end.IsZero() {
		end = s.opened
	}
	if st.born != 0 && st.born > end.Add(slack).UnixNano() {
		return false
	}
	return !st.first.After(end.Add(slack))
}

// held reports whether st has to wait, since it looks like a copy of a stream that is still there. One that is no longer what
// it was, or was removed, is lost, and st may go on with it.
func (s *source) held(st *stream, now time.Time) (bool, error) {
	var begin [printSize]byte
	n, err := st.read(begin[:], 0)
	if err != nil {
		return false, err
	}
	for _, other := range s.streams {
		if other == st || !other.settled || other.zipped || other.pos == 0 || other.head.n > n ||
			printOf(begin[:other.head.n]) != other.head {
			continue
		}
		whole, err := s.whole(other, now)
		switch {
		case err != nil: // its name is gone; soon it is lost
			return s.waits(st, now), nil
		case !whole:
			_, err := s.inherit(st)
			return false, err
		}
		copied := st.starts
		if st.zipped {
			copied = st.follows
		}
		ok, err := copied(other)
		switch {
		case errors.Is(err, errOriginal):
			return s.waits(st, now), nil
		case err != nil:
			return false, err
		case !ok:
			continue
		case other.links > 0 || other.pos < other.size && other.failing:
			return s.waits(st, now), nil
		case other.pos < other.size: // removed, and not read to its end yet
			return true, nil
		}
		s.lose(other, now)
		_, err = s.inherit(st)
		return false, err
	}
	return false, nil
}

// waits reports whether a copy still waits for the end of what it is a copy of. The wait begins when it is seen to be one,
// which may be late: channels can hold up the source.
func (s *source) waits(st *stream, now time.Time) bool {
	if st.asked.Before(st.grown) {
		st.asked = now
	}
	hold := holdPlain
	if st.zipped {
		hold = holdPacked
	}
	return now.Sub(st.asked) < hold
}

// whole reports whether a stream's file still has what was read from it. If not, it is restarted.
func (s *source) whole(st *stream, now time.Time) (bool, error) {
	if err := st.open(); err != nil {
		return false, err
	}
	i, err := statOpen(st.f)
	if err != nil {
		return false, err
	}
	id := st.id
	s.seen(st, i, now)
	if st.id != id {
		return false, nil
	}
	err = st.verify()
	if errors.Is(err, errOverwritten) {
		s.restart(st, now)
		return false, nil
	}
	return err == nil, err
}

// An other is a file in the directory of a group that no group's pattern matches.
type other struct {
	path string
	info
}

// others are such files of a directory, as of this look.
func (s *source) others(dir string) []other {
	if s.around == nil {
		s.around = map[string][]other{}
	}
	all, ok := s.around[dir]
	if ok {
		return all
	}
	names, err := entries(dir)
	if err != nil {
		return nil // the look has said it
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		i, err := stat(path)
		if err != nil || !i.regular {
			continue
		}
		if st := s.streams[i.key()]; st != nil && (st.round == s.round || st.isOpen()) {
			continue
		}
		all = append(all, other{path, i})
	}
	s.around[dir] = all
	return all
}

// rescue looks for a file that was renamed, while it was not open, to a name that no pattern matches, if there is
// something left in it. It reports whether the stream goes on.
func (s *source) rescue(st *stream, now time.Time) bool {
	for _, o := range s.others(filepath.Dir(st.path)) {
		if !s.means(st, o.path, o.info) || st.zipped || o.size <= st.pos {
			continue
		}
		if !s.take(st, o, now) {
			return false
		}
		s.log.Info("A file was renamed before it was read to its end; the rest is read", "file", st.path, "now", o.path, "position", st.pos)
		return true
	}
	return false
}

// take makes st the stream of a file whose name does not match.
func (s *source) take(st *stream, o other, now time.Time) bool {
	f, err := os.Open(o.path)
	if err != nil {
		return false
	}
	st.close()
	st.f = f
	st.info = o.info
	st.settled, st.grown, st.gone, st.round = true, now, now, s.round
	if has := s.streams[st.key()]; (has == nil || has == st) && st.verify() == nil {
		s.streams[st.key()] = st
		s.label(st)
		s.note(st.record(s.settings.groups, false))
		return true
	}
	st.close()
	return false
}

// hunt looks for the rest of what files held that were cut short or removed, in copies whose names no pattern matches.
// It waits until those whose names match have been looked at.
func (s *source) hunt(now time.Time) {
	defer func() { s.around = nil }()
	if len(s.moved) == 0 {
		return
	}
	for _, st := range s.streams {
		if !st.settled && st.size > 0 {
			return
		}
	}
	moved := s.moved
	s.moved = nil
	for _, old := range moved {
		if old.round == s.round {
			s.moved = append(s.moved, old)
			continue
		}
		if old.pos > printSize && slices.Contains(s.lost, old) {
			s.huntFor(old, now)
		}
	}
}

func (s *source) huntFor(old *stream, now time.Time) {
	base := filepath.Base(old.path)
	for _, o := range s.others(filepath.Dir(old.path)) {
		zipped := s.settings.unzip && strings.HasSuffix(o.path, ".gz")
		if !strings.HasPrefix(filepath.Base(o.path), base) || !zipped && o.size <= old.pos {
			continue
		}
		f, err := os.Open(o.path)
		if err != nil {
			continue
		}
		copied := stream{info: o.info, path: old.path, group: old.group, zipped: zipped, f: f, first: now, id: old.id}
		if ok, err := copied.follows(old); !ok || err != nil {
			copied.close()
			continue
		}
		copied.head, copied.tail = old.head, old.tail
		copied.move(old.pos)
		copied.close()
		if s.take(&copied, o, now) {
			s.lost = slices.DeleteFunc(s.lost, func(st *stream) bool { return st == old })
			s.log.Info("A file was copied before it was read to its end; the rest is read from the copy", "file", old.path, "copy", o.path, "position", old.pos)
		}
		return
	}
}

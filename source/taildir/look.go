package taildir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/internal/javaregex"
)

// A folder is the directory of a group.
type folder struct {
	group   int
	dir     string
	matcher *javaregex.Matcher

	names   []string // that match, sorted
	changed int64    // the directory, when it was listed
	sure    bool     // nothing can have come into it since without changing its time
	listed  bool     // the last look has listed it, or knows that it is not there
}

// coarse is how far apart two changes of a directory must be to have different times on any file system.
const coarse = 2 * time.Second

// list returns the names that match.
func (f *folder) list(now time.Time, cached bool) ([]string, error) {
	f.listed = false
	i, err := stat(f.dir)
	if err != nil {
		f.sure, f.listed = false, errors.Is(err, fs.ErrNotExist)
		return nil, err
	}
	if cached && f.sure && i.changed == f.changed {
		f.listed = true
		return f.names, nil
	}
	names, err := entries(f.dir)
	if err != nil {
		f.sure = false
		return nil, err
	}
	f.names = f.names[:0]
	for _, name := range names {
		f.matcher.Reset([]byte(name))
		if ok, err := f.matcher.Matches(); err != nil {
			return nil, fmt.Errorf("matching the name %q: %w", name, err)
		} else if ok {
			f.names = append(f.names, name)
		}
	}
	slices.Sort(f.names)
	f.changed, f.sure, f.listed = i.changed, now.UnixNano()-i.changed > int64(coarse), true
	return f.names, nil
}

func entries(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// look finds out which files there are by now, and returns those in which there may be something to read, those that
// were written first before the others.
func (s *source) look(now time.Time) []*stream {
	s.round++
	sound := true
	for _, f := range s.folders {
		names, err := f.list(now, s.settings.cacheMatching)
		if err != nil {
			sound = false
			s.failed.Add(1)
			s.looking.Report(slog.LevelWarn, fmt.Errorf("listing the files of group %s: %w", s.settings.groups[f.group].name, err), s.settings.pollDelay)
			continue
		}
		if len(names) == 0 && s.round == 1 {
			s.log.Warn("No file matches yet", "group", s.settings.groups[f.group].name, "directory", f.dir, "pattern", s.settings.groups[f.group].pattern)
		}
		for _, name := range names {
			path := filepath.Join(f.dir, name)
			i, err := stat(path)
			switch {
			case errors.Is(err, fs.ErrNotExist): // gone since, or a link to nothing
			case err != nil:
				sound = false
				s.looking.Report(slog.LevelWarn, fmt.Errorf("looking at a file of group %s: %w", s.settings.groups[f.group].name, err), s.settings.pollDelay)
			case i.regular:
				s.found(f, path, i, now)
			}
		}
	}
	if sound {
		s.looking.End()
	}
	s.missed(now)
	var pending []*stream
	for _, st := range s.streams {
		if s.pending(st, now) {
			pending = append(pending, st)
		}
	}
	slices.SortFunc(pending, func(a, b *stream) int {
		if gone := b.gone.Compare(a.gone); gone != 0 && (a.gone.IsZero() || b.gone.IsZero()) {
			return gone // what no name leads to any more comes first, so that what was packed from it is known
		}
		return cmp.Or(cmp.Compare(a.changed, b.changed), strings.Compare(b.path, a.path)) // app.log.1 is older than app.log
	})
	return pending
}

// found notes that a path leads to a file.
func (s *source) found(f *folder, path string, i info, now time.Time) {
	st := s.streams[i.key()]
	if st != nil && !st.same(i.place) { // the old file was removed, and this one has got its inode
		s.lose(st, now)
		st = nil
	}
	if st == nil {
		st = s.recognise(path, i)
		s.streams[i.key()] = st
		st.place, st.grown = i.place, now
		if !st.restored {
			st.first = now
		}
		st.gone = time.Time{}
		s.rename(st, f, path)
	}
	if st.round == s.round {
		return // by another name, or in another group
	}
	st.round = s.round
	if st.path != path || !st.gone.IsZero() {
		st.gone = time.Time{}
		s.rename(st, f, path)
	}
	s.seen(st, i, now)
}

// rename gives a stream its name, and so its group and headers.
func (s *source) rename(st *stream, f *folder, path string) {
	st.path, st.group = path, f.group
	st.zipped = s.settings.unzip && strings.HasSuffix(path, ".gz")
	s.label(st)
	if st.settled {
		s.note(st.record(s.settings.groups, false))
	}
}

// label makes the headers of a stream's events.
func (s *source) label(st *stream) {
	st.headers = slices.Clone(s.settings.groups[st.group].headers)
	if s.settings.fileHeader {
		st.headers.Set(s.settings.fileHeaderKey, st.path)
	}
	if s.settings.byteOffset {
		st.headers.Delete(offsetHeader)
	}
}

// seen notes what the system says of a stream's file.
func (s *source) seen(st *stream, i info, now time.Time) {
	if i.size != st.size || i.changed != st.changed {
		st.grown = now
		if st.zipped {
			st.content = nil
		}
	}
	st.info = i
	if !st.zipped && i.size < st.pos {
		s.restart(st, now)
	}
}

// recognise finds the stream of an earlier run, or one that was lost because its directory could not be seen, in a file
// that is new to this run; else it makes one.
func (s *source) recognise(path string, i info) *stream {
	for _, list := range []*[]*stream{&s.known, &s.lost} {
		for n, st := range *list {
			if !s.means(st, path, i) {
				continue
			}
			if !st.zipped && i.size < st.pos {
				st.cut = true
				s.note(st.record(s.settings.groups, list == &s.lost))
				continue
			}
			*list = slices.Delete(*list, n, n+1)
			st.lostAt, st.asOf, st.tried = time.Time{}, 0, -1
			return st
		}
	}
	s.last++
	st := &stream{id: s.last, given: -1}
	st.move(0)
	if s.settings.skipToEnd && s.round == 1 && i.size > 0 {
		st.given = i.size
	}
	return st
}

// means reports whether a stream of an earlier run, or a lost one, can be what this file holds. Its bytes are compared
// when it is read.
func (s *source) means(st *stream, path string, i info) bool {
	if st.cut || st.inode != i.inode {
		return false
	}
	if st.device != 0 {
		return st.same(i.place)
	}
	if i.born == 0 || st.asOf == 0 {
		return sameName(path, st.path)
	}
	return i.born <= st.asOf // it was there when Flume noted its inode
}

// missed looks at the streams to which no name leads any more.
func (s *source) missed(now time.Time) {
	blind := map[string]bool{} // directories that could not be listed
	for _, f := range s.folders {
		if !f.listed {
			blind[f.dir] = true
		}
	}
	for _, st := range s.streams {
		if st.round == s.round || blind[filepath.Dir(st.path)] {
			continue
		}
		if st.gone.IsZero() {
			st.gone = now
		}
		if st.isOpen() {
			i, err := statOpen(st.f)
			if err == nil {
				s.seen(st, i, now)
			}
			continue
		}
		if now.Sub(st.gone) >= grace && !s.rescue(st, now) {
			s.lose(st, now)
		}
	}
	waiting := s.known[:0]
	for _, st := range s.known {
		switch {
		case blind[filepath.Dir(st.path)]:
			waiting = append(waiting, st)
		case !s.rescue(st, now):
			st.lostAt, st.round = time.Time{}, s.round
			s.forget(st)
			s.moved = append(s.moved, st)
		}
	}
	s.known = waiting
	s.hunt(now)
}

// grace is how long a name may be missing: a look that overlaps with a rename sees neither name.
const grace = time.Second

// lose notes that the file of a stream is no longer there.
func (s *source) lose(st *stream, now time.Time) {
	if s.streams[st.key()] == st {
		delete(s.streams, st.key())
	}
	st.close()
	st.lostAt = now
	s.forget(st)
}

// forget keeps of a stream what it takes to know a copy of it.
func (s *source) forget(st *stream) {
	st.close()
	if st.pos == 0 || !st.settled {
		s.note(record{ID: st.id, Gone: true})
		return
	}
	s.lost = append(s.lost, st)
	s.note(st.record(s.settings.groups, true))
	if len(s.lost) > mostLost {
		s.note(record{ID: s.lost[0].id, Gone: true})
		s.lost = slices.Delete(s.lost, 0, 1)
	}
}

// restart begins a file again that was cut short or written anew. What it held is another stream, a lost one.
func (s *source) restart(st *stream, now time.Time) {
	s.log.Info("A file was cut short or written anew and is read from its beginning", "file", st.path, "position", st.pos, "size", st.size)
	old := *st
	old.f, old.content = nil, nil
	s.last++
	st.id, st.settled, st.restored, st.first, st.given = s.last, false, false, now, -1
	st.head, st.tail = print{}, print{}
	st.content = nil
	st.move(0)
	old.lostAt, old.cut = now, true
	s.forget(&old)
	s.moved = append(s.moved, &old)
}

// pending reports whether there may be something to read.
func (s *source) pending(st *stream, now time.Time) bool {
	switch {
	case !st.settled:
		return st.size > 0
	case st.zipped || st.size > st.pos:
		return st.tried != st.size || s.ripeness(st, now) != unripe
	}
	return st.size == st.pos && st.verified != st.changed && st.pos > 0
}

// tidy closes files that have not grown for a while, the sooner the more there are.
func (s *source) tidy() {
	now := time.Now()
	var open []*stream
	for _, st := range s.streams {
		if st.isOpen() {
			open = append(open, st)
		}
	}
	slices.SortFunc(open, func(a, b *stream) int { return a.grown.Compare(b.grown) })
	for i, st := range open {
		if s.pending(st, now) {
			continue
		}
		idle := now.Sub(st.grown) >= s.settings.idleTimeout
		if !idle && (len(open)-i <= mostOpen || !st.gone.IsZero() || st.pos < st.size) {
			continue
		}
		st.close()
		if !st.gone.IsZero() {
			s.lose(st, now)
		}
	}
}

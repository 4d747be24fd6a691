package spooldir

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
	"unicode/utf16"

	"github.com/sluice-io/sluice/internal/javaregex"
)

// A candidate is a file to be read.
type candidate struct {
	name string // relative to spoolDir
	path string
	size int64
	time time.Time // of its last change

	info fs.FileInfo // of the file that was read
	is   *identity   // nil: it was not opened
	end  int64       // how far it was read

	retired time.Time
}

// candidates lists the files to be read, in their order.
func (s *source) candidates() ([]candidate, error) {
	all, err := s.list(nil, "", 0)
	if err != nil {
		return nil, fmt.Errorf("listing the files of spoolDir: %w", err)
	}
	switch s.settings.order {
	case oldest:
		slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Or(a.time.Compare(b.time), byBase(a, b)) })
	case youngest:
		slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Or(b.time.Compare(a.time), byBase(a, b)) })
	case random:
	}
	return all, nil
}

// byBase compares names as Java does, by their UTF-16 units.
func byBase(a, b candidate) int {
	return slices.Compare(utf16.Encode([]rune(filepath.Base(a.path))), utf16.Encode([]rune(filepath.Base(b.path))))
}

const deepest = 200 // directories in directories

// list adds the candidates below spoolDir/below. Of a directory in it that cannot be listed the log tells.
func (s *source) list(all []candidate, below string, depth int) ([]candidate, error) {
	dir := join(s.settings.dir, below)
	d, err := os.Open(dir)
	if err != nil {
		return all, err
	}
	entries, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return all, err
	}
	for _, e := range entries {
		name := e.Name()
		rel := below + name
		switch {
		case strings.HasPrefix(name, "."):
			continue
		case e.IsDir():
			if !s.settings.recursive || depth == deepest || s.matches(s.ignored, name) || join(s.settings.dir, rel) == s.marks {
				continue
			}
			if all, err = s.list(all, rel+"/", depth+1); err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.troubles.report(listing, join(s.settings.dir, rel), slog.LevelWarn, err, s.settings.pollDelay)
			}
			continue
		case strings.HasSuffix(name, s.settings.suffix) || s.matches(s.ignored, name) || !s.matches(s.included, name):
			continue
		}
		if c, ok := s.candidate(rel); ok {
			all = append(all, c)
		}
	}
	return all, nil
}

// candidate looks at a file by its name.
func (s *source) candidate(rel string) (candidate, bool) {
	c := candidate{name: rel, path: join(s.settings.dir, rel)}
	i, err := os.Stat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && i.IsDir():
		return c, false // gone since, or a link to nothing or to a directory
	case err != nil:
		s.troubles.report(looking, c.path, slog.LevelWarn, err, s.settings.pollDelay)
		return c, false
	case !i.Mode().IsRegular():
		s.troubles.report(looking, c.path, slog.LevelWarn, fmt.Errorf("looking at %s: it is not a regular file", c.path), 0)
		return c, false
	case s.settings.settle > 0 && time.Since(i.ModTime()) < s.settings.settle:
		return c, false
	}
	c.size, c.time = i.Size(), i.ModTime()
	if s.settings.deletion == never && s.settings.tracking == trackerDir {
		if _, err := s.fs.Stat(s.mark(c, s.settings.suffix)); err == nil {
			return c, false
		}
	}
	return c, !s.isAside(c) && !s.isDone(c)
}

func (s *source) matches(m *javaregex.Matcher, name string) bool {
	m.Reset([]byte(name))
	ok, err := m.Matches()
	if err != nil {
		s.troubles.report(matching, name, slog.LevelWarn, fmt.Errorf("matching the name %q: %w", name, err), 0)
	}
	return ok
}

// mark is the path of a mark in the tracker directory.
func (s *source) mark(c candidate, suffix string) string { return join(s.marks, c.name) + suffix }

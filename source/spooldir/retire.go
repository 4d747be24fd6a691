package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// retire does with a file that was read what the settings say; errAnother: it is to be read.
func (s *source) retire(c candidate) error {
	stays, now := false, c
	now.retired = time.Now()
	i, err := os.Stat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.log.Info("A file that was read is gone", "file", c.path)
	case err != nil:
		return fmt.Errorf("looking at a file that was read: %w", err)
	case !os.SameFile(i, c.info) || i.Size() != c.size || !i.ModTime().Equal(c.time):
		return errAnother
	case s.settings.deletion == immediate:
		if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("deleting a file that was read: %w", err)
		}
	case s.settings.tracking == trackerDir:
		mark := s.mark(c, s.settings.suffix)
		err := s.fs.MkdirAll(filepath.Dir(mark))
		if err == nil {
			err = vfs.Replace(s.fs, mark, nil)
		}
		if err != nil {
			return fmt.Errorf("marking %s as read: %w", c.path, err)
		}
		stays = true
	default:
		if now.path, err = s.rename(c); err != nil {
			return err
		}
	}
	if err == nil && s.settings.deletion == never {
		s.retired = append(s.retired, now)
	}
	if !stays { // first that it is gone, then that nothing is known of it
		if err := (vfs.OS{}).SyncDir(filepath.Dir(c.path)); err != nil {
			return fmt.Errorf("syncing the directory of a file that was read: %w", err)
		}
	}
	return s.tracker.end(c.path, stays)
}

// rename gives a file its suffix, and returns the path that it has then. Where another file has that name already there
// is a number before the suffix.
func (s *source) rename(c candidate) (to string, err error) {
	to = c.path + s.settings.suffix
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", fmt.Errorf("renaming a file that was read: %w", err)
		}
		to = c.path + "." + strconv.Itoa(n) + s.settings.suffix
	}
	if err := os.Rename(c.path, to); err != nil {
		return "", fmt.Errorf("renaming a file that was read: %w", err)
	}
	if to != c.path+s.settings.suffix {
		s.log.Warn("A file has the name of one that was read before, and was read too", "file", c.path, "now", to)
	}
	return to, nil
}

const (
	watched     = time.Minute // how long a file is looked at that was retired
	mostWatched = 100         // of the last ones
)

// watchRetired says of files that somebody goes on writing to them: that is not read any more.
func (s *source) watchRetired(now time.Time) {
	s.retired = s.retired[max(0, len(s.retired)-mostWatched):]
	s.retired = slices.DeleteFunc(s.retired, func(c candidate) bool {
		i, err := os.Stat(c.path)
		switch {
		case err != nil || !os.SameFile(i, c.info):
			return true
		case i.Size() > c.size:
			s.failed.Add(1)
			s.troubles.report(outgrowing, c.path, slog.LevelError, fmt.Errorf("%s has grown from %d to %d bytes after it was read to its end, and what was added is not read: put whole files into spoolDir, or set settleTime", c.path, c.size, i.Size()), 0)
			return true
		}
		return now.Sub(c.retired) > watched
	})
}

// isDone reports whether a file was read and could not be retired. One that was changed since is to be read.
func (s *source) isDone(c candidate) bool {
	was, ok := s.done[c.name]
	if ok && (was.size != c.size || !was.time.Equal(c.time)) {
		s.readAgain(was)
		return false
	}
	return ok
}

// readAgain has what lies in the place of a file that was read be read: another file whole, the same one from its end on.
func (s *source) readAgain(c candidate) {
	delete(s.done, c.name)
	s.resume[c.name] = noted{c.end, c.is}
}

// retireAgain tries again to retire what could not be.
func (s *source) retireAgain() {
	for name, c := range s.done {
		switch err := s.retire(c); {
		case errors.Is(err, errAnother):
			s.readAgain(c)
		case err == nil:
			delete(s.done, name)
			s.log.Info("A file that was read is retired now", "file", c.path)
		}
	}
}

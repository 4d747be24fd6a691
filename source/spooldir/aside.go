package spooldir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// aside is a file that cannot be read on, as its mark has it.
type aside struct {
	File     string    `json:"file"`
	Reason   string    `json:"reason"`
	Position int64     `json:"position"`
	Size     int64     `json:"size"`
	Changed  time.Time `json:"changed"`
	Settings string    `json:"settings"` // with which it could not be
}

const failedSuffix = ".failed"

// setAside leaves a file alone until it is changed or its mark is removed.
func (s *source) setAside(c candidate, position int64, reason error) {
	a := aside{File: c.path, Reason: reason.Error(), Position: position, Size: c.size, Changed: c.time, Settings: s.settings.deserialize.String()}
	if i, err := os.Stat(c.path); err == nil {
		a.Size, a.Changed = i.Size(), i.ModTime()
	}
	mark := s.mark(c, failedSuffix)
	s.log.Error("A file is set aside: what comes before the place was delivered, the rest is not. Change the file, or the settings, to have it read on from there, or remove the mark to have it read from its beginning",
		"file", c.path, "position", position, "error", reason, "mark", mark)
	s.asides[c.name] = a
	text, err := json.Marshal(a)
	if err == nil {
		err = s.fs.MkdirAll(filepath.Dir(mark))
	}
	if err == nil {
		err = vfs.Replace(s.fs, mark, append(text, '\n'))
	}
	if err == nil {
		err = s.tracker.setAside(c.path)
	}
	if err != nil {
		s.unmarked[c.name] = true
		s.troubles.report(marking, c.path, slog.LevelWarn, fmt.Errorf("marking %s as set aside: %w", c.path, err), 0)
	}
}

// isAside reports whether a file is to be left alone. One that was changed goes on where it was left, and so does one that
// is to be read otherwise; its mark stays until the tracker file has the place.
func (s *source) isAside(c candidate) bool {
	a, ok := s.asides[c.name]
	if !ok {
		return false
	}
	if !s.unmarked[c.name] {
		if _, err := s.fs.Stat(s.mark(c, failedSuffix)); errors.Is(err, fs.ErrNotExist) {
			s.readWhole(c.name, c.path)
			return false
		}
	}
	return a.Size == c.size && a.Changed.Equal(c.time) && a.Settings == s.settings.deserialize.String()
}

// readWhole has a file be read from its beginning whose mark was removed, while the source ran or before.
func (s *source) readWhole(name, path string) {
	delete(s.asides, name)
	delete(s.resume, name)
	s.log.Info("The mark of a file that was set aside is gone: the file is read from its beginning", "file", path)
}

// takeBack removes the mark of a file that is read on. The tracker file has its place.
func (s *source) takeBack(c candidate, position int64) {
	if _, ok := s.asides[c.name]; !ok {
		return
	}
	s.log.Info("A file that was set aside was changed, or the settings were, and is read on", "file", c.path, "position", position)
	delete(s.asides, c.name)
	delete(s.unmarked, c.name)
	mark := s.mark(c, failedSuffix)
	err := s.fs.Remove(mark)
	if err == nil { // a mark that comes back would have an old place
		err = s.fs.SyncDir(filepath.Dir(mark))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.troubles.report(unmarking, c.path, slog.LevelWarn, fmt.Errorf("removing a mark: %w", err), 0)
	}
}

// findAsides reads the marks that earlier runs have left below a directory of trackerDir.
func (s *source) findAsides(below string) error {
	entries, err := s.fs.List(filepath.Join(s.marks, below))
	if err != nil {
		return fmt.Errorf("reading the marks of trackerDir: %w", err)
	}
	for _, e := range entries {
		name, failed := strings.CutSuffix(below+e.Name, failedSuffix)
		switch {
		case e.Dir:
			if err := s.findAsides(below + e.Name + "/"); err != nil {
				return err
			}
			continue
		case !failed:
			continue
		}
		text, err := vfs.ReadFile(s.fs, join(s.marks, below+e.Name))
		if err != nil {
			return fmt.Errorf("reading the marks of trackerDir: %w", err)
		}
		var a aside
		if err := json.Unmarshal(text, &a); err == nil { // else it is somebody else's
			s.asides[name] = a
		}
	}
	return nil
}

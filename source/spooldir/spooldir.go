// Package spooldir is the source that reads files which others put into a directory, each whole and only once.
//
//	directory ─▶ next file ─▶ deserializer ─▶ emit ─▶ position in the tracker file
//	                 ▲                         nil           │ at the end
//	                 └────── renamed, marked or deleted ◀────┘
//
// The rules:
//
//   - The position goes into Flume's tracker file after each batch, byte for byte as Flume writes it, so that either can go
//     on where the other has stopped. A file that was left half read is the first one to be read again. After a kill what
//     may come twice is the batch under way; of an Avro container, the block under way.
//   - A file counts as the one that was left, or was read and could not be retired, as long as its size, the time of its
//     change and the sum of its first 64 KiB say so, or it has grown behind them; and the position is in it. Another file of
//     the name is read from its beginning.
//   - A batch that the channels do not take is emitted again.
//   - What cannot be opened is said once and passed over; it is tried again.
//   - A file that has grown when its end is reached is read on. What is written to it when it is renamed or marked is not,
//     and the log says so at ERROR, for a minute.
//   - A file that cannot be read on, since its content is wrong or was changed, is set aside: what came before it is
//     delivered, the reason and the place go to the log and into a mark beside the tracker file, NAME.failed, and the
//     others go on. Flume's source ends there.
//   - A file with nothing in it is one event with an empty body, as in Flume.
//
// A mark is a JSON object with file, reason, position, size, time of change and settings. When the file is changed, or is
// to be read with other settings, it is read on from that position; when the mark is removed, from its beginning.
package spooldir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/deserialize"
	"github.com/sluice-io/sluice/internal/javaregex"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Kind is the spooling directory source.
var Kind = flume.Define[Settings, flume.Source]("spooldir", "org.apache.flume.source.SpoolDirectorySource",
	"Reads the files that are put into a directory, each once.", open)

type (
	deletePolicy   string
	trackingPolicy string
	consumeOrder   string
)

const (
	never     deletePolicy = "never"
	immediate deletePolicy = "immediate"

	rename     trackingPolicy = "rename"
	trackerDir trackingPolicy = "tracker_dir"

	oldest   consumeOrder = "oldest"
	youngest consumeOrder = "youngest"
	random   consumeOrder = "random"
)

// Settings are what a spooling directory source can be told.
type Settings struct {
	dir         string
	suffix      string
	deletion    deletePolicy
	tracking    trackingPolicy
	trackerDir  string
	fileHeader  bool
	fileKey     string
	nameHeader  bool
	nameKey     string
	include     *javaregex.Pattern
	ignore      *javaregex.Pattern
	order       consumeOrder
	recursive   bool
	pollDelay   time.Duration
	batchSize   int
	maxBackoff  time.Duration
	decompress  bool
	settle      time.Duration
	deserialize deserialize.Settings
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.dir, "spoolDir", "", "The directory that files are put into, whole: moved there, not written there.").Required()
	d.String(&s.suffix, "fileSuffix", ".COMPLETED", "What is put behind the name of a file that was read, or behind that of its mark in trackerDir.")
	conf.Choice(d, &s.deletion, "deletePolicy", never, "When files that were read are deleted.", never, immediate)
	conf.Choice(d, &s.tracking, "trackingPolicy", rename, "What tells that a file was read, if it is not deleted: its name, or a mark of that name in trackerDir.", rename, trackerDir)
	d.String(&s.trackerDir, "trackerDir", ".flumespool", "Where marks and the position in the file under way are kept; a relative path begins in spoolDir. Each source needs its own.")
	d.Bool(&s.fileHeader, "fileHeader", false, "Whether a header has the path of the file.")
	d.String(&s.fileKey, "fileHeaderKey", "file", "The name of that header.")
	d.Bool(&s.nameHeader, "basenameHeader", false, "Whether a header has the name of the file, without its directory.")
	d.String(&s.nameKey, "basenameHeaderKey", "basename", "The name of that header.")
	javaregex.Setting(d, &s.include, "includePattern", "^.*$", "A Java pattern that the whole name of a file has to match.")
	javaregex.Setting(d, &s.ignore, "ignorePattern", "^$", "A Java pattern: files whose whole names match it are left alone, and directories too.")
	conf.Choice(d, &s.order, "consumeOrder", oldest, "Which file comes first: the one that was changed first or last, those of one time by their names; or as the directory has them.", oldest, youngest, random)
	d.Bool(&s.recursive, "recursiveDirectorySearch", false, "Whether directories in spoolDir are looked through too.")
	d.Millis(&s.pollDelay, "pollDelay", 500*time.Millisecond, "How many milliseconds to wait, when all files are read, before looking for new ones.").AtLeast(1)
	d.BatchSize(&s.batchSize, "batchSize", 100, "How many events are a batch. A batch may have more, up to the channels' transactionCapacity, and has fewer at the end of a file.").AtLeast(1)
	d.Millis(&s.maxBackoff, "maxBackoff", 4*time.Second, "How many milliseconds to wait at most before a batch that the channels did not take is emitted again; the wait begins with 250 and doubles.").AtLeast(0)
	d.Bool(&s.decompress, "decompress", false, "Whether files that gzip has packed are read unpacked, whatever their names. Not in Flume.")
	d.Millis(&s.settle, "settleTime", 0, "For how many milliseconds a file has to have been left unchanged before it is read. Not in Flume.").AtLeast(0)
	d.Under("", &s.deserialize)
	d.Check(s.check)
}

func (s *Settings) check() error {
	var problems []error
	s.dir = normal(s.dir)
	if s.suffix == "" {
		problems = append(problems, conf.At("fileSuffix", errors.New("is empty: files that were read could not be told from others")))
	}
	if s.ignore != nil {
		m := s.ignore.Matcher()
		m.Reset([]byte("a.log" + s.suffix))
		if all, err := m.Matches(); err == nil && all {
			m.Reset([]byte("a.log"))
			if also, err := m.Matches(); err == nil && also {
				problems = append(problems, conf.Warn("ignorePattern", fmt.Errorf("%s seems to match every name", s.ignore)))
			}
		}
	}
	return errors.Join(problems...)
}

// tracker is the directory of marks.
func (s *Settings) tracker() string {
	if filepath.IsAbs(s.trackerDir) {
		return s.trackerDir
	}
	return join(s.dir, s.trackerDir)
}

// normal writes a path as Java's File does.
func normal(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	return path
}

// join makes paths as Java's File does: what was configured stays as it is.
func join(dir, name string) string {
	return strings.TrimSuffix(dir, "/") + "/" + name
}

func dirOf(path string) string { return filepath.Dir(path) }

// Holds are the directories.
func (s *Settings) Holds() []flume.Endpoint {
	var held []flume.Endpoint
	for _, dir := range []string{s.dir, s.tracker()} {
		if absolute, err := filepath.Abs(dir); err == nil {
			dir = absolute
		}
		held = append(held, flume.Endpoint("dir://"+filepath.ToSlash(dir)))
	}
	return held
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	i, err := os.Stat(s.dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("opening spoolDir: %w", err)
	case !i.IsDir():
		return nil, fmt.Errorf("opening spoolDir: %s is not a directory", s.dir)
	}
	return openSource(vfs.OS{}, s, env)
}

// Package taildir is the source that follows growing files, line by line, wherever rotation takes them.
//
//	directory ─▶ look ─▶ stream (a file, wherever its name has gone) ─▶ lines ─▶ emit ─▶ position
//	             names, inodes, sizes     read from its position           nil        one line of the journal
//
// Each line is an event: its bytes without the newline, and without a carriage return before it. One goroutine does
// everything. It looks at the files ten times a second, less often where there are so many that looking would cost more
// than a twentieth of the time, and reads those that have grown in the order in which they were written last.
//
// Which file is which:
//
//   - A name says nothing. A file is known by device, inode and time of birth, so a rename goes unnoticed.
//   - Each read begins with the last 256 bytes of what was read before. Where they are no longer the same, or the file has
//     become shorter, it was written anew: it begins at 0 again, and what it held is remembered as lost for a while.
//   - A new file that begins as another one has begun, and has the same bytes where that one was read to, is a copy of
//     it (copytruncate, cp and rm) or, after unpacking, its compressed form (gzip). It waits until the other one is cut
//     short or removed, and then is read from where that one was read to. If that does not happen within some seconds it
//     is a file of its own and read from the start: in doubt lines are repeated, not lost. So is what begins again at the
//     same place or by the same name, was made after the other one was removed, or is a copy of 256 bytes or fewer.
//   - A file that leaves the pattern by a rename is read to its end. One that left while the agent was down is looked
//     for in its directory.
//
// Where it stands is kept in two files:
//
//	taildir_position.json          [{"inode":2,"pos":10,"file":"/var/log/a.log"},…]   Flume's, for Flume to go on with
//	taildir_position.json.sluice   one JSON object a line, appended after each batch: everything else, and newer positions
//
// The first is written every writePosInterval and at the end, in place of the old one at once. Flume refuses to start
// where an entry has a key that it does not know; hence the second, which counts only if the first is as this source
// left it. Where somebody else has written the first it is believed, and where it is gone all files are new.
//
// After a kill what may come twice is the batch under way. How it fails: a directory that is missing, and a file that
// cannot be read, are said once and tried again while the others go on. A batch that the channels do not take is offered
// again. A position that cannot be written keeps nothing from flowing, but would be missing after a kill.
// What a stop leaves unread in a removed file is said at ERROR.
package taildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/home"
	"github.com/sluice-io/sluice/internal/javaregex"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Kind is the taildir source.
var Kind = flume.Define[Settings, flume.Source]("taildir", "org.apache.flume.source.taildir.TaildirSource",
	"Follows growing files line by line, through every kind of rotation.", open)

// Settings are what a taildir source can be told.
type Settings struct {
	names         []string
	paths         conf.Values
	headers       conf.Values
	positionFile  string
	batchSize     int
	maxBatchCount int64
	byteOffset    bool
	fileHeader    bool
	fileHeaderKey string
	skipToEnd     bool
	idleTimeout   time.Duration
	writeInterval time.Duration
	cacheMatching bool
	backoff       time.Duration
	maxBackoff    time.Duration
	pollDelay     time.Duration
	maxLine       int
	begin         *javaregex.Pattern
	beginTimeout  time.Duration
	unzip         bool

	groups []group
}

// A group is one of the file groups.
type group struct {
	name    string
	dir     string
	pattern *javaregex.Pattern // of the whole name in dir
	headers flume.Headers
}

const (
	leastLine = 1 << 10
	mostLine  = 1 << 30
)

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Strings(&s.names, "filegroups", "", "The names of the file groups, separated by blanks. A file of several belongs to the first.").Required()
	d.Rest(&s.paths, "filegroups.", "filegroups.GROUP = /DIR/PATTERN: the files of a directory whose whole name the Java pattern matches.")
	d.Rest(&s.headers, "headers.", "headers.GROUP.KEY = VALUE: a header of the events of a group.")
	dir, shown := home.Dir(d)
	d.String(&s.positionFile, "positionFile", filepath.Join(dir, ".flume", "taildir_position.json"),
		"The file, in JSON, that says how far each file was read. Another one of Sluice's own lies beside it. Each source needs its own.").
		Default = shown + "/.flume/taildir_position.json"
	d.BatchSize(&s.batchSize, "batchSize", 100, "How many events are a batch. What is there is emitted at once, so a batch may have fewer, and more up to the channels' transactionCapacity.").AtLeast(1)
	d.Int64(&s.maxBatchCount, "maxBatchCount", math.MaxInt64, "How many batches are taken from one file before the next one has its turn. Without it that is when all has been read that was there.").DefaultBelow(1)
	d.Bool(&s.byteOffset, "byteOffsetHeader", false, "Whether the header byteoffset says where in its file the line begins.")
	d.Bool(&s.fileHeader, "fileHeader", false, "Whether a header has the path of the file.")
	d.String(&s.fileHeaderKey, "fileHeaderKey", "file", "The name of that header.")
	d.Bool(&s.skipToEnd, "skipToEnd", false, "Whether files that are there at the start, and of which no position is known, are read from their end on.")
	d.Millis(&s.idleTimeout, "idleTimeout", 2*time.Minute,
		"After how many milliseconds without growth a file is closed until it grows again; a last line without a newline is then an event.").AtLeast(0)
	d.Millis(&s.writeInterval, "writePosInterval", 3*time.Second,
		"How many milliseconds lie between two writings of positionFile. What a kill may repeat does not depend on it.").AtLeast(1)
	d.Bool(&s.cacheMatching, "cachePatternMatching", true, "Whether a directory is listed only when its time of change has changed; false suits file systems that do not keep it.")
	d.Millis(&s.backoff, "backoffSleepIncrement", time.Second, "How much longer to wait, in milliseconds, after each failure in a row to emit a batch.").AtLeast(0)
	d.Millis(&s.maxBackoff, "maxBackoffSleep", 5*time.Second, "How many milliseconds the wait after a failure is at most.").AtLeast(0)
	d.Millis(&s.pollDelay, "pollDelay", 100*time.Millisecond, "How many milliseconds lie between two looks at the files; more where looking takes long. Not in Flume, whose wait climbs to maxBackoffSleep.").AtLeast(1)
	d.Int(&s.maxLine, "maxLineLength", 16<<20, "How many bytes of a line, or of an event of several lines, are one event at most; the rest is the next. It bounds the source's memory. Not in Flume.").AtLeast(leastLine).AtMost(mostLine)
	javaregex.Setting(d, &s.begin, "multiline.begin", "",
		"A Java pattern: each line in which it is found begins an event, and the lines up to the next one belong to it, as those of a stack trace. Not in Flume.")
	d.Millis(&s.beginTimeout, "multiline.timeout", time.Second, "After how many milliseconds without growth the last event of several lines is complete. Not in Flume.").AtLeast(1)
	d.Bool(&s.unzip, "decompress", true, "Whether files whose names end with .gz are read unpacked, and known again after they were packed. Not in Flume, which takes the packed bytes for lines.")
	d.Check(s.check)
}

func (s *Settings) check() error {
	var problems []error
	problem := func(key, format string, args ...any) {
		problems = append(problems, conf.At(key, fmt.Errorf(format, args...)))
	}
	doubt := func(key, format string, args ...any) {
		problems = append(problems, conf.Warn(key, fmt.Errorf(format, args...)))
	}
	s.groups = nil
	unreadable := false
	for i, name := range s.names {
		path, ok := s.paths.Get(name)
		if slices.Contains(s.names[:i], name) {
			doubt("filegroups", "names %s twice", name)
			continue
		}
		if !ok {
			doubt("filegroups", "%s has no filegroups.%s, and is left out", name, name)
			continue
		}
		g, err := newGroup(name, path.Text)
		if err != nil {
			problem("filegroups."+name, "%w", err)
			unreadable = true
			continue
		}
		s.groups = append(s.groups, g)
	}
	if len(s.groups) == 0 && !unreadable {
		problem("filegroups", "there is no group that has files: filegroups.NAME = /DIR/PATTERN")
	}
	for _, v := range s.paths {
		if !slices.Contains(s.names, v.Key) {
			doubt("filegroups."+v.Key, "is not used: filegroups does not name %s", v.Key)
		}
	}
	for _, v := range s.headers {
		name, key, _ := strings.Cut(v.Key, ".")
		i := slices.IndexFunc(s.groups, func(g group) bool { return g.name == name })
		switch {
		case key == "":
			problem("headers."+v.Key, "names no header: headers.GROUP.KEY = VALUE")
		case i < 0:
			doubt("headers."+v.Key, "is not used: there is no group %s", name)
		default:
			s.groups[i].headers.Set(key, v.Text)
		}
	}
	if strings.HasPrefix(s.positionFile, "~") {
		doubt("positionFile", "%s is not in your home directory: ~ means nothing here, as in Flume; write the path in full", s.positionFile)
	}
	return errors.Join(problems...)
}

// newGroup takes a path apart as Java's File does: what is behind the last slash is the pattern.
func newGroup(name, path string) (group, error) {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	at := strings.LastIndexByte(path, '/')
	if at < 0 {
		return group{}, fmt.Errorf("%q has no directory: write /DIR/PATTERN", path)
	}
	dir, text := cmp.Or(path[:at], "/"), path[at+1:]
	pattern, err := javaregex.Compile(text)
	if err != nil {
		if strings.HasPrefix(text, "*") {
			return group{}, fmt.Errorf("%w; it is a regular expression: all files that end with .log are .*\\\\.log", err)
		}
		return group{}, err
	}
	return group{name: name, dir: absolute(dir), pattern: pattern}, nil
}

// absolute is Java's: nothing is resolved in it.
func absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	return here + "/" + path
}

// Holds is the position file.
func (s *Settings) Holds() []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("file://" + filepath.ToSlash(absolute(s.positionFile)))}
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	return openSource(vfs.OS{}, s, env)
}

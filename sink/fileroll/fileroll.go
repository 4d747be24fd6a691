// Package fileroll is the sink that writes events to files of a local directory and begins a new one every rollInterval.
//
//	Deliver ─▶ serializer ─▶ file, synced ─▶ note, synced ─▶ nil: the channel commits
//
//	dir/1718000000000-1        the files: prefix, time of the start in ms, number, and .extension
//	dir/1718000000000-2        with sink.pathManager = ROLLTIME 20240610064000-1: local time, number within the second
//	dir/.file_roll.a1.k1.open  the note: which file is being written, and how long its safe part is (note.go)
//	dir/.file_roll.a1.k1.lock  held while the sink is open
//
// A file has its final name from the start, as in Flume, and nothing marks the one that is being written; it is the
// newest, until its interval is over. Files are made when there is an event for them, so that none is empty, and closed
// when the interval is over, also while no events come. Intervals are counted from the start of the sink.
//
// An event is delivered when the file with it and the note of its length have reached the disk. What was written of a
// batch that failed is cut off again before it is tried anew, so that nothing stands in the files twice. After a crash or
// a power failure the next start reads the note, cuts off what was not safe, and begins a new file; the events of that
// part come again from the channel. A batch comes twice only if the process dies between the note and the commit of the
// channel. Without a channel that survives (file, kafka) events that were not delivered are gone, as ever.
//
// A file that cannot be written (a full disk) is an error; it stays open and the batch is tried again.
package fileroll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/serializer"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Kind is the file_roll sink.
var Kind = flume.Define[Settings, flume.Sink]("file_roll", "org.apache.flume.sink.RollingFileSink",
	"Writes events to files of a local directory, a new one every interval.", open)

// Settings are what a file_roll sink can be told.
type Settings struct {
	Directory   string
	Interval    time.Duration
	BatchSize   int
	PathManager string
	Prefix      string
	Extension   string
	Serializer  serializer.Settings

	rollTime bool
}

// longestName is for the prefix and the extension; the number takes some more, and a name has 255 bytes at most.
const longestName = 200

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Directory, "sink.directory", "", "The directory for the files. It must be there.").Required()
	d.Seconds(&s.Interval, "sink.rollInterval", 30*time.Second, "After how many seconds a new file is begun; 0 is never.")
	d.BatchSize(&s.BatchSize, "sink.batchSize", 100, "How many events are taken in one transaction; more, where more are there.").AtLeast(1)
	d.String(&s.PathManager, "sink.pathManager", "DEFAULT",
		"What files are called: DEFAULT is the time of the start in ms and a number, ROLLTIME the local time as yyyyMMddHHmmss and a number within the second; or Flume's class name.").
		Bound(func() error {
			const classes = "org.apache.flume.formatter.output."
			switch name := strings.TrimSuffix(s.PathManager, "$Builder"); {
			case strings.EqualFold(name, "DEFAULT"), name == classes+"DefaultPathManager":
				s.rollTime = false
			case strings.EqualFold(name, "ROLLTIME"), name == classes+"RollTimePathManager":
				s.rollTime = true
			default:
				return fmt.Errorf("%q is neither DEFAULT nor ROLLTIME, nor Flume's class name of one", s.PathManager)
			}
			return nil
		})
	d.String(&s.Prefix, "sink.pathManager.prefix", "", "What names begin with.")
	d.String(&s.Extension, "sink.pathManager.extension", "", "What names end with, behind a full stop.")
	d.Under("sink.", &s.Serializer)
	d.Check(s.checkNames)
}

func (s *Settings) checkNames() error {
	for _, x := range [][2]string{{"prefix", s.Prefix}, {"extension", s.Extension}} {
		if strings.ContainsAny(x[1], "/\x00\n") {
			return conf.At("sink.pathManager."+x[0], fmt.Errorf("%q cannot be a part of the name of a file", x[1]))
		}
	}
	if n := len(s.Prefix) + len(s.Extension); n > longestName {
		return conf.At("sink.pathManager.prefix", fmt.Errorf("with the extension it has %d bytes; %d is the most", n, longestName))
	}
	return nil
}

type sink struct {
	settings   *Settings
	log        *slog.Logger
	fs         vfs.FS
	serializer *serializer.Serializer
	lock       vfs.Lock
	note       *note
	began      time.Time // of the intervals
	names      names

	created, closed, failed *atomic.Int64 // files

	mu     sync.Mutex // the timer closes files, too
	file   *file      // nil: the next event begins one
	format serializer.File
	over   bool // the interval of file is
	timer  *time.Timer
}

// A file is one that is being written.
type file struct {
	vfs.File
	path string
	safe int64 // bytes that are on the disk and in the note
	torn bool  // there may be more behind them
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	return openOn(vfs.OS{}, s, env)
}

func openOn(fs vfs.FS, s *Settings, env flume.Env) (*sink, error) {
	dir := s.Directory
	if entry, err := fs.Stat(dir); err != nil {
		return nil, fmt.Errorf("opening sink.directory, which must be there: %w", err)
	} else if !entry.Dir {
		return nil, fmt.Errorf("opening sink.directory: %s is not a directory", dir)
	}
	own := filepath.Join(dir, ".file_roll."+fileName(env.Agent)+"."+fileName(env.Name))
	lock, err := fs.Lock(own + ".lock")
	if err != nil {
		return nil, fmt.Errorf("opening sink.directory: %w", err)
	}
	k := &sink{
		settings: s, log: env.Log, fs: fs, serializer: s.Serializer.New(), lock: lock, began: time.Now(),
		names:   names{settings: s, began: time.Now().UnixMilli()},
		created: env.Counter("ConnectionCreatedCount"), closed: env.Counter("ConnectionClosedCount"), failed: env.Counter("ConnectionFailedCount"),
	}
	left, err := readNote(fs, own+".open")
	if err == nil {
		err = k.cut(left)
	}
	if err == nil {
		k.note, err = openNote(fs, own+".open", left.serial)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return k, nil
}

// fileName makes a component's name a part of one.
func fileName(name string) string { return strings.NewReplacer("/", "_", "\x00", "_").Replace(name) }

// cut leaves of the file that a process was writing when it ended what was safe.
func (k *sink) cut(left noted) error {
	if left.name == "" {
		return nil
	}
	path := filepath.Join(k.settings.Directory, left.name)
	f, err := k.fs.OpenWrite(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // somebody has taken it
	}
	if err != nil {
		return fmt.Errorf("opening the file that was being written: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("opening the file that was being written: %w", err)
	}
	switch {
	case size < left.length:
		k.log.Error("A file is shorter than what was safe in it", "file", path, "bytes", size, "safe", left.length)
	case left.length == 0:
		if err := k.fs.Remove(path); err != nil {
			return fmt.Errorf("removing a file without a whole batch: %w", err)
		}
	case size > left.length:
		if err = f.Truncate(left.length); err == nil {
			err = f.Sync()
		}
		if err != nil {
			return fmt.Errorf("cutting %s off at byte %d: %w", path, left.length, err)
		}
		k.log.Warn("A part of a batch was cut off a file; its events come again", "file", path, "bytes", size-left.length)
	}
	return nil
}

func (k *sink) Limits() flume.Limits { return flume.Limits{} }

func (k *sink) Deliver(ctx context.Context, b flume.Batch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var rejected []flume.Rejected
	at := 0
	for at < len(b) {
		n, err := k.next(ctx, b[at:])
		if errors.Is(err, serializer.ErrUnfit) {
			rejected = append(rejected, flume.Rejected{Index: at, Err: err})
			n, err = 1, nil
		}
		if err != nil {
			return partial(len(b), at, rejected, err)
		}
		at += n
	}
	return partial(len(b), at, rejected, nil)
}

// partial is what Deliver returns when so many of n events, the rejected ones among them, are settled.
func partial(n, settled int, rejected []flume.Rejected, err error) error {
	if settled == 0 || len(rejected) == 0 && settled == n {
		return err
	}
	p := &flume.PartialError{Rejected: rejected, InOrder: true, Err: err}
	for i := settled; i < n; i++ {
		p.Pending = append(p.Pending, i)
	}
	return p
}

// next writes as many events as go into one file and makes them safe.
func (k *sink) next(ctx context.Context, b flume.Batch) (int, error) {
	if err := k.mend(); err != nil {
		return 0, err
	}
	n, err := k.serializer.Fit(ctx, &k.format, b)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		k.finish()
		return 0, nil
	}
	if k.file == nil {
		if err := k.begin(); err != nil {
			k.failed.Add(1)
			return 0, err
		}
	}
	if err := k.write(b[:n]); err != nil {
		return 0, err
	}
	return n, nil
}

// mend leaves a file that is whole, or none.
func (k *sink) mend() error {
	if k.file == nil {
		return nil
	}
	if f := k.file; f.torn {
		if err := f.Truncate(f.safe); err != nil {
			return fmt.Errorf("cutting %s off at byte %d: %w", f.path, f.safe, err)
		}
		f.torn = false
		if f.safe == 0 {
			k.format = serializer.File{}
		}
	}
	if k.over {
		k.finish()
	}
	return nil
}

// begin makes the next file.
func (k *sink) begin() error {
	for {
		name := k.names.next(time.Now())
		path := filepath.Join(k.settings.Directory, name)
		f, err := k.fs.Create(path)
		if errors.Is(err, os.ErrExist) {
			continue // another sink's, of the same millisecond
		}
		if err == nil {
			err = k.fs.SyncDir(k.settings.Directory)
			if err == nil {
				err = k.note.write(name, 0)
			}
			if err != nil {
				err = errors.Join(err, f.Close(), k.fs.Remove(path))
			}
		}
		if err != nil {
			k.names.number-- // for the next try
			return fmt.Errorf("beginning a file: %w", err)
		}
		k.created.Add(1)
		k.file = &file{File: f, path: path}
		k.arm()
		return nil
	}
}

// arm lets the file be closed at the end of the interval.
func (k *sink) arm() {
	if k.settings.Interval <= 0 {
		return
	}
	f := k.file
	left := k.settings.Interval - time.Since(k.began)%k.settings.Interval
	k.timer = time.AfterFunc(left, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.file != f {
			return
		}
		k.over = true
		if !f.torn { // else the next Deliver or Close does it
			k.finish()
		}
	})
}

// write writes events and makes them safe.
func (k *sink) write(b flume.Batch) error {
	f := k.file
	f.torn = true
	out := appender{f.File, f.safe}
	var err error
	if f.safe == 0 {
		err = k.serializer.Begin(&out, &k.format)
	}
	if err == nil {
		err = k.serializer.Write(&out, &k.format, b)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = k.note.write(filepath.Base(f.path), out.at)
	}
	if err != nil {
		return fmt.Errorf("writing to %s: %w", f.path, err)
	}
	f.safe, f.torn = out.at, false
	return nil
}

// finish closes the file, which is whole.
func (k *sink) finish() {
	f := k.file
	if k.format = (serializer.File{}); f == nil {
		return
	}
	k.file, k.over = nil, false
	if k.timer != nil {
		k.timer.Stop()
	}
	err := k.note.write("", 0)
	if f.safe == 0 {
		err = errors.Join(err, k.fs.Remove(f.path))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		k.failed.Add(1)
		k.log.Warn("A file could not be closed; what is in it is safe", "file", f.path, "error", err)
		return
	}
	k.closed.Add(1)
}

// Close leaves files that are whole; where that fails, the next start sees to it.
func (k *sink) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.mend()
	if err == nil {
		k.finish()
		err = k.note.remove()
	} else {
		err = errors.Join(err, k.file.Close(), k.note.close())
		k.file = nil
	}
	return errors.Join(err, k.lock.Release())
}

// An appender writes behind what is safe.
type appender struct {
	file vfs.File
	at   int64
}

func (a *appender) Write(p []byte) (int, error) {
	n, err := a.file.WriteAt(p, a.at)
	a.at += int64(n)
	return n, err
}

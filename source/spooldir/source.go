package spooldir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/deserialize"
	"github.com/sluice-io/sluice/internal/javaregex"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/unzip"
	"github.com/sluice-io/sluice/internal/vfs"
)

type source struct {
	settings Settings
	fs       vfs.FS // of the marks and the tracker file
	log      *slog.Logger
	offer    *offer.Offer
	most     int    // events of a batch
	marks    string // the tracker directory

	included, ignored *javaregex.Matcher
	lock              vfs.Lock
	tracker           tracker
	asides            map[string]aside     // by name
	unmarked          map[string]bool      // those of them without a mark
	resume            map[string]noted     // where to go on with files that were left
	retired           []candidate          // of the last minute, under the names that they have now
	done              map[string]candidate // read, and not to be renamed, marked or deleted: by name
	bodies            [][]byte

	troubles troubles
	unread   *atomic.Int64 // EventReadFail
	failed   *atomic.Int64 // GenericProcessingFail

	term supervise.Term
}

const (
	firstBackoff = 250 * time.Millisecond // doubled with each failure in a row
	listAgain    = time.Second            // how old a list may be before the directory is listed again
)

func openSource(fsys vfs.FS, s *Settings, env flume.Env) (*source, error) {
	r := &source{
		settings: *s, fs: fsys, log: env.Log, offer: offer.New(env), most: s.batchSize, marks: s.tracker(),
		included: s.include.Matcher(), ignored: s.ignore.Matcher(),
		asides: map[string]aside{}, unmarked: map[string]bool{}, resume: map[string]noted{}, done: map[string]candidate{},
		troubles: troubles{log: env.Log, of: map[trouble]*told{}},
		unread:   env.Counter("EventReadFail"), failed: env.Counter("GenericProcessingFail"),
	}
	if env.TransactionCapacity > 0 {
		r.most = env.TransactionCapacity
	}
	r.offer.Unit, r.offer.Wait = s.batchSize, func(failures int) time.Duration {
		return max(offer.LeastWait, min(firstBackoff<<min(failures-1, 30), s.maxBackoff))
	}
	r.offer.Sleep = supervise.Sleep            // what is not taken can be read again
	_, err := fsys.Stat(filepath.Dir(r.marks)) // a parent that is missing is a slip of the pen
	if err == nil {
		err = fsys.MkdirAll(r.marks)
	}
	if err != nil {
		return nil, fmt.Errorf("making trackerDir: %w", err)
	}
	if r.lock, err = fsys.Lock(join(r.marks, trackerName+".lock")); err != nil {
		return nil, fmt.Errorf("taking trackerDir for this source alone (give each source its own): %w", err)
	}
	if err := r.findAsides(""); err != nil {
		return nil, errors.Join(err, r.lock.Release())
	}
	r.tracker.fs, r.tracker.path = fsys, join(r.marks, trackerName)
	return r, nil
}

func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	ctx, leave, ok := s.term.Begin(ctx)
	if !ok {
		return nil
	}
	defer leave()
	defer s.leave()
	s.offer.Emit = emit
	s.goOn(ctx)
	for ctx.Err() == nil {
		began := time.Now()
		all, err := s.candidates()
		took := time.Since(began)
		if err != nil {
			s.failed.Add(1)
			s.troubles.report(listing, s.settings.dir, slog.LevelError, err, s.settings.pollDelay)
		}
		idle := true
		for _, c := range all {
			if ctx.Err() != nil {
				return nil
			}
			if s.spool(ctx, c) {
				idle = false
			}
			if time.Since(began) > max(listAgain, 20*took) && s.settings.order != random {
				break
			}
		}
		s.retireAgain()
		s.watchRetired(time.Now())
		s.troubles.forget()
		if idle {
			_ = supervise.Sleep(ctx, max(s.settings.pollDelay, 20*took)) // the loop looks at ctx
		}
	}
	return nil
}

// leave makes safe how far the file under way was read.
func (s *source) leave() {
	if s.tracker.f == nil {
		return
	}
	if err := s.tracker.makeSafe(); err != nil {
		s.troubles.report(tracking, s.tracker.path, slog.LevelWarn, fmt.Errorf("syncing the tracker file: %w", err), 0)
	}
	s.tracker.close()
}

// goOn reads the file first that was left half read, for only one position is remembered.
func (s *source) goOn(ctx context.Context) {
	target, position, of, err := readTracker(s.fs, s.tracker.path)
	if err != nil {
		s.log.Warn("The tracker file cannot be used; the file that was under way is read from its beginning", "error", err)
		return
	}
	rel, below := strings.CutPrefix(target, join(s.settings.dir, ""))
	if position == 0 || !below || strings.HasPrefix(filepath.Base(rel), ".") || strings.HasSuffix(rel, s.settings.suffix) {
		return
	}
	if _, aside := s.asides[rel]; !aside { // of one that is, the mark has the place
		switch _, err := os.Stat(target); {
		case err != nil:
			return
		case of != nil && of.Aside:
			s.readWhole(rel, target)
		default:
			s.resume[rel] = noted{position, of} // also where it has to settle first
		}
	}
	if c, ok := s.candidate(rel); ok {
		s.spool(ctx, c)
	}
}

// spool reads a file to its end, and does with it what is to be done. An error that is the file's own sets it aside. It
// reports whether it is done with the file.
func (s *source) spool(ctx context.Context, c candidate) bool {
	from := s.resume[c.name]
	if a, ok := s.asides[c.name]; ok {
		from = noted{position: a.Position}
	}
	position, err := s.read(ctx, &c, from)
	if ctx.Err() != nil {
		return false
	}
	delete(s.resume, c.name)
	switch {
	case err == nil:
		c.end = position
		if err := s.retire(c); errors.Is(err, errAnother) {
			s.readAgain(c)
		} else if err != nil {
			s.failed.Add(1)
			s.done[c.name] = c
			s.troubles.report(retiring, c.path, slog.LevelError, fmt.Errorf("%w; it was read, and would be read again after a restart", err), s.settings.pollDelay)
		}
	case errors.Is(err, errPassedOver):
		s.unread.Add(1)
		if position > 0 {
			if c.is != nil {
				from.of = c.is
			}
			s.resume[c.name] = noted{position, from.of}
		}
		s.troubles.report(reading, c.path, slog.LevelWarn, err, s.settings.pollDelay)
		return false
	default:
		s.unread.Add(1)
		s.setAside(c, position, err)
	}
	return true
}

// errPassedOver marks what another attempt may mend.
var errPassedOver = errors.New("passing a file over")

func passedOver(err error) error { return fmt.Errorf("%w: %w", errPassedOver, err) }

// read emits what is in a file from where it was left on, and returns how far it came.
func (s *source) read(ctx context.Context, c *candidate, left noted) (position int64, err error) {
	from := left.position
	f, err := os.Open(c.path)
	if err != nil {
		return from, passedOver(err)
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return from, passedOver(err)
	}
	if from > 0 {
		known := i.Size() >= from || s.settings.decompress && unzip.Packed(f)
		if known && left.of != nil {
			if known, err = left.of.is(f, i); err != nil {
				return from, passedOver(err)
			}
		}
		if !known {
			s.log.Warn("Another file has the name of one that was read, or was left half read, and is read from its beginning", "file", c.path, "position", from)
			from = 0
		}
	}
	is, err := identify(f, i)
	if err != nil {
		return from, passedOver(err)
	}
	c.size, c.time, c.info, c.is = i.Size(), i.ModTime(), i, is
	for whole := false; !whole; {
		var in io.ReaderAt = f
		if s.settings.decompress && unzip.Packed(f) {
			if in, err = unzip.New(f); err != nil {
				return from, err
			}
		}
		if from, err = s.events(ctx, *c, in, from); err != nil {
			return from, err
		}
		if whole, err = s.unchanged(f, c, from); err != nil {
			return from, err
		}
	}
	return from, nil
}

// unchanged compares a file that was read to its end with what it was at its beginning. One that has grown is read on.
func (s *source) unchanged(f *os.File, c *candidate, position int64) (bool, error) {
	i, err := f.Stat()
	switch {
	case err != nil:
		return false, passedOver(err)
	case i.Size() == c.size && i.ModTime().Equal(c.time):
		return true, nil
	case i.Size() <= c.size:
		return false, fmt.Errorf("the file was changed while it was read: it had %d bytes and has %d", c.size, i.Size())
	}
	s.troubles.report(growing, c.path, slog.LevelWarn, fmt.Errorf("%s has grown while it was read, from %d to %d bytes, and is read on: put whole files into spoolDir, or set settleTime", c.path, c.size, i.Size()), 0)
	c.size, c.time = i.Size(), i.ModTime()
	return false, nil
}

// events emits the events of a file.
func (s *source) events(ctx context.Context, c candidate, in io.ReaderAt, from int64) (int64, error) {
	d, err := s.settings.deserialize.Open(in, from)
	if err != nil {
		return from, own(err)
	}
	if err := s.tracker.begin(c.path, from, *c.is); err != nil {
		return from, passedOver(err)
	}
	s.takeBack(c, from)
	for empty := from == 0; ; empty = false {
		bodies, err := d.Read(s.bodies[:0], s.most)
		s.bodies = bodies
		ended := errors.Is(err, io.EOF)
		switch {
		case ended && empty:
			bodies = append(bodies, nil)
		case ended:
			return from, nil
		case err != nil:
			return from, own(err)
		}
		if err := s.keep(ctx, c, d, bodies); err != nil || ended {
			return from, err
		}
		clear(s.bodies)
		from = d.Position()
		if err := s.tracker.commit(from); err != nil {
			s.failed.Add(1)
			s.troubles.report(tracking, s.tracker.path, slog.LevelWarn, err, 0)
		}
		if ctx.Err() != nil { // the rest is for the next run
			return from, ctx.Err()
		}
	}
}

// own tells errors of the disk, which may pass, from those of the content.
func own(err error) error {
	var broken *fs.PathError
	if errors.As(err, &broken) {
		return passedOver(err)
	}
	return err
}

// keep emits the events of bodies, until the channels have them all.
func (s *source) keep(ctx context.Context, c candidate, d deserialize.Deserializer, bodies [][]byte) error {
	headers := s.headers(c, d)
	events := offer.Of(len(bodies), func(from, to int) flume.Batch { return batch(bodies[from:to], headers) })
	events.Where = func(i int) string { return c.path + "@" + strconv.FormatInt(d.Begin(i), 10) }
	return s.offer.Keep(ctx, events)
}

func (s *source) headers(c candidate, d deserialize.Deserializer) flume.Headers {
	headers := append(flume.Headers(nil), d.Headers()...)
	if s.settings.fileHeader {
		path, err := filepath.Abs(s.settings.dir)
		if err != nil {
			path = s.settings.dir
		}
		if filepath.IsAbs(s.settings.dir) {
			path = s.settings.dir
		}
		headers.Set(s.settings.fileKey, join(path, c.name))
	}
	if s.settings.nameHeader {
		headers.Set(s.settings.nameKey, filepath.Base(c.path))
	}
	return headers
}

// batch makes events; their headers are cut from one allocation.
func batch(bodies [][]byte, headers flume.Headers) flume.Batch {
	all := make(flume.Headers, 0, len(bodies)*len(headers))
	b := make(flume.Batch, len(bodies))
	for i, body := range bodies {
		from := len(all)
		all = append(all, headers...)
		b[i] = flume.Event{Headers: all[from:len(all):len(all)], Body: body}
	}
	return b
}

func (s *source) Close() error {
	if !s.term.End() {
		return nil
	}
	return s.lock.Release()
}

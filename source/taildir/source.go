package taildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/javaregex"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/vfs"
)

type source struct {
	settings Settings
	log      *slog.Logger
	most     int // events of a batch

	folders []*folder
	streams map[place]*stream  // by key
	known   []*stream          // of an earlier run, and not found by a look yet
	lost    []*stream          // what files held that are no longer there, for their copies; the latest last
	moved   []*stream          // lost ones whose copies are still to be looked for under other names
	around  map[string][]other // what lies beside the files of the groups; nil: not known in this look
	last    uint64             // id given to a stream
	round   uint64             // number of the look

	buf      []byte // what is read, from base on in the content of one stream
	base     int64
	reading  string // the path of that stream, for the log
	events   []span
	begin    *javaregex.Matcher // nil: each line is an event
	saidLong bool

	journal   journal
	written   []byte // the position file, as it was written last
	due       time.Time
	opened    time.Time
	positions supervise.Trouble
	looking   supervise.Trouble
	matching  supervise.Trouble
	offer     *offer.Offer
	unread    *atomic.Int64 // EventReadFail
	failed    *atomic.Int64 // GenericProcessingFail

	term supervise.Term
}

const (
	mostLost = 1000 // lost streams that are remembered
	mostOpen = 256  // open files, beyond those that grow
)

// openSource opens a source that keeps its positions in fsys.
func openSource(fsys vfs.FS, s *Settings, env flume.Env) (*source, error) {
	path := absolute(s.positionFile)
	if err := fsys.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("making the directory of positionFile: %w", err)
	}
	lock, err := fsys.Lock(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("taking positionFile for this source alone (give each source its own): %w", err)
	}
	r := &source{
		settings: *s, log: env.Log, offer: offer.New(env), most: s.batchSize,
		streams: map[place]*stream{}, buf: make([]byte, leastBuffer), opened: time.Now(),
		journal:   journal{fs: fsys, path: path + ".sluice", lock: lock},
		positions: supervise.Trouble{Log: env.Log, Failing: "Positions cannot be written; a kill would repeat events", Over: "Positions are written again"},
		looking:   supervise.Trouble{Log: env.Log, Failing: "A directory or file cannot be looked at", Over: "Directories can be looked at again"},
		matching:  supervise.Trouble{Log: env.Log, Failing: "A line cannot be matched; it begins no event"},
		unread:    env.Counter("EventReadFail"), failed: env.Counter("GenericProcessingFail"),
	}
	if env.TransactionCapacity > 0 {
		r.most = env.TransactionCapacity
	}
	r.offer.Unit, r.offer.Wait = s.batchSize, offer.Growing(s.backoff, s.maxBackoff)
	r.offer.Sleep = supervise.Sleep // what is not taken can be read again
	if s.begin != nil {
		r.begin = s.begin.Matcher()
	}
	for i, g := range s.groups {
		r.folders = append(r.folders, &folder{group: i, dir: g.dir, matcher: g.pattern.Matcher()})
	}
	if err := r.restore(path); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return r, nil
}

// restore reads what an earlier run, or Flume, has left, and begins the journal.
func (s *source) restore(path string) error {
	text, there, err := readIf(s.journal.fs, path)
	if err != nil {
		return fmt.Errorf("reading positionFile: %w", err)
	}
	lines, _, err := readIf(s.journal.fs, s.journal.path)
	if err != nil {
		return fmt.Errorf("reading the journal beside positionFile: %w", err)
	}
	known, ours := parseJournal(lines, sumOf(text))
	if !there || !ours {
		positions, err := parsePositions(text)
		blank := there && len(bytes.TrimSpace(text)) == 0
		if err != nil {
			s.log.Warn("The position file is damaged: what stands before the damage is used, and what the journal beside it says of other files; the rest is read from the beginning",
				"file", path, "positions", len(positions), "copy", path+".bad", "error", err)
			if err := vfs.Replace(s.journal.fs, path+".bad", text); err != nil {
				return fmt.Errorf("keeping a copy of the damaged positionFile: %w", err)
			}
		} else if blank && len(known) > 0 {
			s.log.Warn("The position file is empty: what the journal beside it says is used", "file", path, "journal", s.journal.path, "files", len(known))
		}
		asOf := int64(0)
		if i, err := stat(path); err == nil {
			asOf = i.changed
		}
		said := agreed(positions, known, asOf)
		if err != nil || blank {
			said = append(said, unsaid(positions, known)...)
		}
		known = said
	}
	for _, r := range known {
		s.last++
		st := s.newStream(s.last, r)
		if r.Lost {
			s.lost = append(s.lost, st)
		} else {
			s.known = append(s.known, st)
		}
	}
	s.written = text
	if !there {
		s.written = appendPositions(nil, nil)
		if err := vfs.Replace(s.journal.fs, path, s.written); err != nil {
			return fmt.Errorf("writing positionFile: %w", err)
		}
	}
	return s.journal.begin(s.records())
}

// agreed is what is known where somebody else has written the position file: its entries, with what the journal says
// of those that have not changed.
func agreed(positions []position, known []record, asOf int64) []record {
	out := make([]record, 0, len(positions))
	for _, p := range positions {
		r := record{Inode: p.inode, File: p.path, Pos: p.pos, AsOf: asOf}
		for _, k := range known {
			if k.Inode == p.inode && sameName(k.File, p.path) && (k.Pos == p.pos || k.Zipped) {
				r = k
			}
		}
		out = append(out, r)
	}
	return out
}

// unsaid is what the journal knows of files of which a position file says nothing that was emptied or broken off. A
// Flume that has read on since did so beyond these positions, so that lines may repeat and none is missed.
func unsaid(positions []position, known []record) []record {
	return slices.DeleteFunc(slices.Clone(known), func(k record) bool {
		return slices.ContainsFunc(positions, func(p position) bool { return k.Inode == p.inode && sameName(k.File, p.path) })
	})
}

func (s *source) newStream(id uint64, r record) *stream {
	st := &stream{id: id, path: r.File, zipped: r.Zipped, restored: true, cut: r.Cut, asOf: r.AsOf, settled: true, given: -1, first: s.opened, grown: s.opened, gone: s.opened}
	st.device, st.inode, st.born = r.Device, r.Inode, r.Born
	st.head, _ = parsePrint(r.Head) // a record that is known could be read
	st.tail, _ = parsePrint(r.Tail)
	st.move(r.Pos)
	if r.Pos > 0 && st.tail.n == 0 {
		st.settled, st.given = false, r.Pos
	}
	st.group = max(0, slices.IndexFunc(s.settings.groups, func(g group) bool { return g.name == r.Group }))
	return st
}

// records are all lines that the journal needs now.
func (s *source) records() []record {
	out := []record{{Positions: sumOf(s.written)}}
	for _, st := range s.lost {
		out = append(out, st.record(s.settings.groups, true))
	}
	for _, st := range s.known {
		out = append(out, st.record(s.settings.groups, false))
	}
	for _, st := range s.streams {
		if st.settled || st.pos > 0 {
			out = append(out, st.record(s.settings.groups, false))
		}
	}
	return out
}

// note appends what is known of a stream to the journal.
func (s *source) note(r record) {
	if err := s.journal.add(r); err != nil {
		s.failed.Add(1)
		s.positions.Report(slog.LevelWarn, err, 0)
	}
}

func (s *source) Run(ctx context.Context, emit flume.Emit) error {
	ctx, leave, ok := s.term.Begin(ctx)
	if !ok {
		return nil
	}
	defer leave()
	s.offer.Emit = emit
	s.due = time.Now().Add(s.settings.writeInterval)
	for ctx.Err() == nil {
		began := time.Now()
		grown := s.look(began)
		took := time.Since(began)
		busy := s.readAll(ctx, grown)
		s.tidy()
		if now := time.Now(); !now.Before(s.due) {
			s.save()
			s.due = now.Add(s.settings.writeInterval)
		}
		if busy {
			continue
		}
		_ = supervise.Sleep(ctx, max(s.settings.pollDelay, 20*took)) // the loop looks at ctx
	}
	s.save()
	for _, st := range s.streams {
		s.leave(st)
	}
	return nil
}

// leave closes a file as the source stops. With the handle of a removed one goes what was not read of it.
func (s *source) leave(st *stream) {
	if !st.isOpen() {
		return
	}
	i, err := statOpen(st.f)
	st.close()
	if err != nil || i.links > 0 {
		return
	}
	left := i.size - st.pos
	if st.zipped {
		if left = i.size; st.tried == i.size {
			left = 0
		}
	}
	if left > 0 {
		s.log.Error("A file was removed before it was read to its end, and the source stops: the rest is gone, unless there is a copy of it beside it",
			"file", st.path, "bytes", left)
	}
}

// save writes the position file, and the journal anew where that has grown long.
func (s *source) save() {
	if err := s.saveAs(absolute(s.settings.positionFile)); err != nil {
		s.failed.Add(1)
		s.positions.Report(slog.LevelWarn, err, s.settings.writeInterval)
		return
	}
	s.positions.End()
}

func (s *source) saveAs(path string) error {
	var all []position
	for _, st := range s.known { // their directory could not be listed yet
		all = append(all, position{st.inode, st.pos, st.path})
	}
	for _, st := range s.streams {
		if !st.gone.IsZero() {
			continue
		}
		pos := st.pos
		if st.zipped && pos > 0 {
			pos = st.size // Flume would count packed bytes
		}
		all = append(all, position{st.inode, pos, st.path})
	}
	slices.SortFunc(all, func(a, b position) int { return strings.Compare(a.path, b.path) })
	text := appendPositions(nil, all)
	if string(text) != string(s.written) {
		if err := s.journal.announce(text); err != nil {
			return err
		}
		if err := vfs.Replace(s.journal.fs, path, text); err != nil {
			err = errors.Join(err, s.journal.announce(s.written)) // it stands, and only the last two sums count
			return fmt.Errorf("writing positionFile: %w", err)
		}
		s.written = text
	}
	if s.journal.long() {
		return s.journal.begin(s.records())
	}
	return nil
}

func (s *source) Close() error {
	if !s.term.End() {
		return nil
	}
	return s.journal.close()
}

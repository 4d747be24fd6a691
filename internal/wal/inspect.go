package wal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// A Report is what a log holds, for people.
type Report struct {
	Recovery // what opening it would find; Elapsed is how long reading for it took
	From     *CheckpointReport
	Files    []FileReport
	found    *found
	fs       vfs.FS
}

// A CheckpointReport is the checkpoint that a replay starts from; nil where there is none.
type CheckpointReport struct {
	Path     string
	Version  int
	Order    int64 // its write order ID
	Capacity int   // that it was written for
	Events   int   // in the log when it was written, those in open takes left out
	Open     int   // transactions that were open then
}

// A FileReport is what one data file holds.
type FileReport struct {
	Path     string
	Version  int
	Size     int64  // of the file
	Data     int64  // where its data ends
	Start    int64  // where a replay begins
	Key      string // alias of the key that encrypts it
	Live     int    // events that are in the log
	Counted  bool   // the rest is counted: all records of the file were read, not only those behind Start
	Puts     int64
	Takes    int64
	Commits  int64
	Rollback int64
	Damaged  []Damage
	Left     []Damage // those of Damaged that [CheckFiles] does not make void
	Torn     bool     // its last write was cut off
}

// Inspect reads a log and changes nothing, not even a lock. With whole it reads every record, not only those that a
// replay needs. What it finds in a log that somebody has open may be half done.
func Inspect(f vfs.FS, o Options, whole bool) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Keys != nil {
		o.Keys = &keyring{from: o.Keys, keys: map[string][]byte{}}
	}
	begun := time.Now()
	x, err := look(f, &o)
	if err != nil {
		return nil, err
	}
	x.rec.Elapsed = time.Since(begun)
	r := &Report{Recovery: *x.rec, found: x, fs: f}
	if c := x.ck; c != nil {
		r.From = &CheckpointReport{Path: c.name, Version: c.version, Order: c.woid, Capacity: c.slots, Events: c.size, Open: len(c.puts) + len(c.takes)}
		if filepath.Base(c.name) == c.name {
			r.From.Path = filepath.Join(o.CheckpointDir, c.name)
		}
	}
	live := map[uint32]int{}
	for _, b := range x.got.queue {
		for _, p := range b {
			live[p.File()]++
		}
	}
	for _, s := range x.got.scans {
		d := s.file
		fr := FileReport{
			Path: d.path, Version: d.version, Size: d.size, Data: s.end, Start: s.start,
			Key: d.meta.keyAlias, Live: live[d.id], Torn: s.torn != nil,
		}
		for _, b := range s.damage {
			fr.Damaged = append(fr.Damaged, s.damageOf(b))
		}
		if whole {
			if err := fr.count(f, d); err != nil {
				return nil, fmt.Errorf("reading %s: %w", d.path, err)
			}
		}
		r.Files = append(r.Files, fr)
	}
	return r, nil
}

func (fr *FileReport) count(f vfs.FS, d *dataFile) error {
	r, err := f.Open(d.path)
	if err != nil {
		return err
	}
	defer r.Close()
	s := d.scanner(r, d.begins())
	fr.Counted, fr.Damaged = true, nil
	for {
		rec, err := s.next()
		var bad *badRecord
		switch {
		case err == nil:
			fr.add(rec.kind)
		case errors.Is(err, io.EOF):
			fr.Data = s.pos
			return nil
		case errors.As(err, &bad) && bad.torn:
			fr.Torn, fr.Data = true, bad.at
			return nil
		case errors.As(err, &bad):
			fr.Damaged = append(fr.Damaged, Damage{Path: d.path, Offset: bad.at, Length: bad.next - bad.at, Reason: bad.why})
		default:
			return err
		}
	}
}

func (fr *FileReport) add(k kind) {
	switch k {
	case kindPut:
		fr.Puts++
	case kindTake:
		fr.Takes++
	case kindRollback:
		fr.Rollback++
	case kindCommit:
		fr.Commits++
	}
}

// Each calls do with every event in the log, in order, or with a [*DamagedError], which says why one cannot be read. What
// a repair has made void is passed over. It ends with the first error of do.
func (r *Report) Each(do func(e flume.Event, err error) error) error {
	hs := newHandles(r.fs)
	defer hs.close()
	rd := &reader{handles: hs}
	files := map[uint32]*dataFile{}
	for _, d := range r.found.list.files {
		files[d.id] = d
	}
	const some = 256
	for _, b := range r.found.got.queue {
		for len(b) > 0 {
			ps := b[:min(len(b), some)]
			ds := make([]*dataFile, len(ps))
			for i, p := range ps {
				ds[i] = files[p.File()]
			}
			arena, fs, err := rd.fetch(ps, ds, mostRead, nil)
			if err != nil {
				return err
			}
			b = b[len(fs):]
			bad := make([]error, len(fs))
			events := decode(arena, fs, func(i int, why error) {
				bad[i] = errVoid
				if !errors.Is(why, errVoid) {
					bad[i] = &DamagedError{Damage{Path: ds[i].path, Offset: ps[i].Offset(), Reason: why.Error()}}
				}
			})
			for _, why := range bad {
				if errors.Is(why, errVoid) {
					continue
				}
				var e flume.Event
				if why == nil {
					e, events = events[0], events[1:]
				}
				if err := do(e, why); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

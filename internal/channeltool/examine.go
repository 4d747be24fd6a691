package channeltool

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
	"github.com/sluice-io/sluice/internal/wal"
)

// A Progress is told how far a long task is, at most every few seconds.
type Progress func(text string)

const (
	// often is the time between two calls of a Progress.
	often = 3 * time.Second
	// mostListed is how many places with damage are remembered one by one.
	mostListed = 10_000
	// attempts is how often a channel is read that changes meanwhile.
	attempts = 5
)

// A Depth is how much of a channel is read.
type Depth int

// What a start would read; every record; every record and every event.
const (
	Start Depth = iota
	Records
	Everything
)

// Findings are what a channel holds.
type Findings struct {
	Options wal.Options
	Users   []vfs.Process // that have it open
	Depth   Depth
	Assumed bool // the capacity is Flume's default, for nothing tells it
	Report  *wal.Report

	Events     int64 // that can be read; where not everything was: that are in the queue
	Unreadable int64
	Void       int64 // pointers to what a repair has made void: passed over
	Bodies     int64 // bytes
	Headers    int64 // bytes
	Times      Times
	Damage     []Damage // in the order of the files
	Unlisted   int64    // damage that is beyond what Damage has
	Locked     []string // encrypted files of which nothing can be read, as with a wrong key
}

// Times are the oldest and newest timestamp headers.
type Times struct {
	Oldest, Newest time.Time
	Stamped        int64     // events with such a header
	First, Last    time.Time // when the oldest and the newest data file with events were last written to
}

// A Damage is a place where something cannot be read.
type Damage struct {
	wal.Damage
	Event bool // that waits in the channel
}

// Sound reports whether nothing is damaged.
func (x *Findings) Sound() bool {
	return len(x.Damage) == 0 && x.Unreadable == 0 && len(x.Locked) == 0 && len(x.Report.Missing) == 0 && len(x.Report.Strange) == 0
}

// Users are the processes that have the channel open, as far as this one may know.
func Users(o *wal.Options) []vfs.Process {
	var out []vfs.Process
	for _, dir := range dirs(o) {
		for _, p := range (vfs.OS{}).Users(dir, func(base string) bool {
			return base == "in_use.lock" || base == "checkpoint" || isDataFile(base)
		}) {
			if !slices.ContainsFunc(out, func(q vfs.Process) bool { return q.PID == p.PID }) {
				out = append(out, p)
			}
		}
	}
	return out
}

// Examine reads a channel and changes nothing.
func Examine(o wal.Options, depth Depth, progress Progress) (*Findings, error) {
	for n := 1; ; n++ {
		users := Users(&o)
		x, err := examine(o, depth, progress)
		gone := errors.Is(err, fs.ErrNotExist) || err == nil && len(x.Report.Missing) > 0
		switch {
		case gone && len(users) > 0 && n < attempts: // its files have changed meanwhile
		case err != nil && len(users) > 0:
			return nil, fmt.Errorf("%w (the channel is in use, and changes)", err)
		case err != nil:
			return nil, err
		default:
			x.Users = users
			return x, nil
		}
	}
}

func examine(o wal.Options, depth Depth, progress Progress) (*Findings, error) {
	x := &Findings{Options: o, Depth: depth}
	o.Progress = func(p wal.Progress) {
		progress(fmt.Sprintf("reading the log: %s of %s, about %v more", Bytes(p.Read), Bytes(p.Total), p.Remaining().Round(time.Second)))
	}
	r, err := wal.Inspect(vfs.OS{}, o, depth >= Records)
	if err != nil {
		return nil, err
	}
	x.Report, x.Events = r, int64(r.Events)
	for i := range r.Files {
		for _, d := range r.Files[i].Damaged {
			x.list(Damage{Damage: d})
		}
		if r.Files[i].Live > 0 {
			x.Times.file(r.Files[i].Path)
		}
	}
	for i := range r.Files {
		locked, err := isLocked(&r.Files[i])
		if err != nil {
			return nil, err
		}
		if locked {
			x.Locked = append(x.Locked, fmt.Sprintf("%s with the key %q", r.Files[i].Path, r.Files[i].Key))
		}
	}
	if depth == Everything {
		err = x.events(progress)
	}
	slices.SortStableFunc(x.Damage, func(a, b Damage) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Offset, b.Offset))
	})
	return x, err
}

// isLocked reports whether a file looks as if it was encrypted with another key than the one it is read with: no record
// can be read, though there are some. To a replay it is a file whose first write was cut off, which would be ended there.
func isLocked(f *wal.FileReport) (bool, error) {
	at := int64(0)
	switch {
	case f.Key == "" || !f.Torn && len(f.Damaged) == 0:
		return false, nil
	case !f.Counted:
		at = f.Start
		all := len(f.Damaged) == 1 && f.Damaged[0].Offset == at && at+f.Damaged[0].Length == f.Data
		if f.Data != at && !all {
			return false, nil
		}
	case f.Puts+f.Takes+f.Commits+f.Rollback > 0:
		return false, nil
	case f.Live > 0 || f.Start > 0:
		return true, nil
	}
	r, err := os.Open(f.Path)
	if err != nil {
		return false, err
	}
	defer r.Close()
	// A record's first byte and its length are not encrypted.
	for range 2 {
		var head [5]byte
		if n, err := r.ReadAt(head[:], at); n < len(head) {
			if errors.Is(err, io.EOF) {
				return false, nil
			}
			return false, err
		}
		n := int64(int32(binary.BigEndian.Uint32(head[1:])))
		if head[0] != 0x7f || n <= 0 {
			return false, nil
		}
		at += int64(len(head)) + n
	}
	return at <= f.Size, nil
}

func (x *Findings) list(d Damage) {
	if len(x.Damage) >= mostListed {
		x.Unlisted++
		return
	}
	x.Damage = append(x.Damage, d)
}

// events reads all events.
func (x *Findings) events(progress Progress) error {
	total := x.Events
	x.Events = 0
	records := map[string][2]int{} // of each file: its part of x.Damage, which is in the order of the offsets
	for i, from := 1, 0; i <= len(x.Damage); i++ {
		if i == len(x.Damage) || x.Damage[i].Path != x.Damage[from].Path {
			records[x.Damage[from].Path] = [2]int{from, i}
			from = i
		}
	}
	reported := time.Now()
	err := x.Report.Each(func(e flume.Event, err error) error {
		if n := x.Events + x.Unreadable; n&0xfff == 0xfff && time.Since(reported) > often {
			reported = time.Now()
			progress(fmt.Sprintf("reading the events: %s of %s", Number(n), Number(total)))
		}
		var bad *wal.DamagedError
		switch {
		case errors.As(err, &bad):
			x.Unreadable++
			x.unreadable(bad.Damage, records[bad.Path])
			return nil
		case err != nil:
			return err
		}
		x.Events++
		x.Bodies += int64(len(e.Body))
		for i := range e.Headers {
			x.Headers += int64(len(e.Headers[i].Key) + len(e.Headers[i].Value))
		}
		x.Times.event(&e)
		return nil
	})
	x.Void = total - x.Events - x.Unreadable
	return err
}

// unreadable notes an event that cannot be read, most often in one of the damaged records of its file.
func (x *Findings) unreadable(d wal.Damage, part [2]int) {
	records := x.Damage[part[0]:part[1]]
	i, exact := slices.BinarySearchFunc(records, d.Offset, func(r Damage, at int64) int { return cmp.Compare(r.Offset, at) })
	if !exact {
		i--
	}
	if i >= 0 && (exact || d.Offset < records[i].Offset+records[i].Length) {
		records[i].Event = true
		return
	}
	x.list(Damage{d, true})
}

func (t *Times) event(e *flume.Event) {
	text, ok := e.Headers.Get("timestamp")
	if !ok {
		return
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return
	}
	at := time.UnixMilli(ms).UTC()
	t.Stamped++
	if t.Stamped == 1 || at.Before(t.Oldest) {
		t.Oldest = at
	}
	if t.Stamped == 1 || at.After(t.Newest) {
		t.Newest = at
	}
}

// file notes when a data file was written to; files come in the order of their numbers.
func (t *Times) file(path string) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	at := info.ModTime().UTC()
	if t.First.IsZero() {
		t.First = at
	}
	t.Last = at
}

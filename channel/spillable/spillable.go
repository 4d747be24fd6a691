// Package spillable is the channel that keeps its events in memory while that has room for them, and on disk beyond.
//
//	            ┌─ as long as it has room ─▶ memory ─┐
//	Put ────────┤                                    ├──────▶ Take
//	            └─ else ───────────────────▶ disk ───┘
//
// Memory is a memory channel and disk a file channel, in Flume's format; this package decides which of them a batch goes
// to, and whose turn it is.
//
// # Order
//
// What waits is at most three runs, of which none needs a list:
//
//	◀─ next │ older: on disk │ memory │ newer: on disk │ ◀─ last
//
// Newer is what has overflowed. While there is some, everything goes there, however much room memory has. When memory has
// become empty newer is called older, and memory is filled again behind it: but only if that is at most as many events as
// memory can hold. Beyond, during and after an outage, all goes to disk, so that whoever pulls the plug then finds no
// more gone than what memory held when it began. What a sink rolls back is at the head again; what the last run left is
// older. A batch goes to one side as a whole; a Take is of one side.
//
// A put waits overflowTimeout for room in memory before it overflows. Once one has, the others do not wait, until memory
// is in use again and overflowDeactivationThreshold percent of it are free.
//
// # The end
//
// Close writes what is in memory to the disk, beyond overflowCapacity and minimumRequiredSpace if need be, so that an
// orderly stop loses nothing and needs no sink: the next start delivers it. Where newer events wait there already those
// stand before it then, the only case in which the order is not that of the puts; the log says so. What is in memory when
// the process is killed is lost, as in Flume.
//
// # How it fails
//
// Put is [flume.ErrFull] when neither side has room. A disk that refuses events is full in this sense: memory goes on
// until it is full too. Damage on disk is the file channel's concern. What the disk does not take at the end is lost, and
// Close returns how much.
package spillable

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/channel/file"
	"github.com/sluice-io/sluice/channel/memory"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/wal"
)

// Kind is the spillable memory channel.
var Kind = flume.Define[Settings, flume.Channel]("spillablememory", "org.apache.flume.channel.SpillableMemoryChannel",
	"Keeps events in memory, and on disk what has no room there.", open)

// Settings are what a spillable channel can be told.
type Settings struct {
	Memory    memory.Settings // Capacity 0: everything goes to disk
	File      file.Settings
	Overflow  bool // events may go to disk
	Threshold int  // percent
}

// What Flume takes.
const (
	usualOverflow  = 100000000
	withoutDisk    = 1000000 // the capacity of a log that only gives what it has
	usualTimeout   = 3 * time.Second
	usualThreshold = 5
)

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	inMemory := d.Int(&s.Memory.Capacity, "memoryCapacity", 10000,
		"How many events are in memory at most, those in open transactions among them; 0: all events go to disk.").DefaultBelow(0)
	inMemory.Lenient()
	onDisk := d.Int(&s.File.Capacity, "overflowCapacity", usualOverflow,
		"How many events are on disk at most, those in open transactions among them; 0: events only go to disk when the channel is closed.")
	onDisk.Lenient()
	var timeout time.Duration
	d.Seconds(&timeout, "overflowTimeout", usualTimeout,
		"How many seconds a put waits for room in memory before it overflows to disk. Where neither has room, how many it waits before the channel counts as full.").
		AtLeast(0).Lenient()
	d.Int(&s.Threshold, "overflowDeactivationThreshold", usualThreshold,
		"The percentage of memory that must be free, after events have overflowed, before a put waits overflowTimeout again.").Lenient().
		Bound(s.doubtThreshold)
	s.Memory.DeclareBytes(d, inMemory, "slots of avgEventSize")
	d.Int(&s.Memory.SlotSize, "avgEventSize", 500, "How many bytes of a body are counted as one slot.").AtLeast(1).Lenient()
	d.Check(func() error {
		s.Memory.KeepAlive, s.File.KeepAlive = timeout, timeout
		s.Memory.TransactionCapacity = s.File.TransactionCapacity
		s.Overflow = s.File.Capacity > 0
		switch {
		case s.Overflow:
		case s.Memory.Capacity > 0:
			s.File.Capacity = withoutDisk
		default:
			given := s.File.Capacity
			s.Overflow, s.File.Capacity = true, usualOverflow
			return conf.Warn("overflowCapacity", fmt.Errorf("%d leaves no room at all, as memoryCapacity is 0; the default %d is taken", given, usualOverflow))
		}
		return nil
	})
	s.File.DeclareLog(d, onDisk)
}

func (s *Settings) doubtThreshold() error {
	switch p := s.Threshold; {
	case p > 100:
		return conf.Warn("overflowDeactivationThreshold", fmt.Errorf("%d percent are never free: once one put has overflowed, no other waits for room in memory", p))
	case p < 0:
		return conf.Warn("overflowDeactivationThreshold", fmt.Errorf("%d is negative: as 0", p))
	}
	return nil
}

// Holds are the directories.
func (s *Settings) Holds() []flume.Endpoint { return s.File.Holds() }

// Unrepeatable says why what goes through here cannot be written exactly once.
func (s *Settings) Unrepeatable() error {
	if s.Memory.Capacity == 0 {
		return nil
	}
	return errors.New("what it holds in memory is gone with the process, and the source does not read that again; memoryCapacity = 0 or a file channel keeps all on disk")
}

// Options are how the log on disk is opened.
func (s *Settings) Options(log *slog.Logger) (wal.Options, error) { return s.File.Options(log) }

var errClosed = errors.New("the channel is closed")

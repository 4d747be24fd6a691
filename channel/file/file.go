// Package file is the channel that keeps its events on disk, in the format of Flume's file channel, in place: a
// directory that Flume left is opened as it is, and Flume opens what this leaves. The format, and how a log survives
// what, stands in internal/wal.
//
//	Put ─▶ room in events and on the disk ─▶ Commit ─▶ log: written and synced with whoever else commits ─┐
//	                                                                                                    queue
//	                           log: written, synced with the next put ◀─ Commit ◀─ Take: memory, else disk ─┘
//
// # What it promises
//
//   - A put that has been committed is on the disk. Until then nothing of it is.
//   - A take that has been committed survives the process. It survives the machine with the next put, checkpoint or
//     fsyncInterval, whichever comes first; if the machine dies before, those events come twice. fsyncTakes = true waits.
//   - Events that are rolled back wait again in the place that they had.
//
// # Room
//
// A put needs room for its events (capacity), for which it waits keep-alive, and on the disks of all its dataDirs, whose
// last minimumRequiredSpace bytes it leaves alone: for that it does not wait. What is kept free is what takes and
// checkpoints are written to, so that a full channel, or a full disk, drains. Memory is bounded too: events that are
// taken soon are kept in memory, cacheBytes of them, and one take has at most 32 MiB, or one event.
//
// # How it fails
//
//   - A directory that another process has, an unreadable key store, a checkpoint whose data files are nowhere: Open says
//     so, and the agent tries again.
//   - Records that are damaged are kept in quarantineDir, and the rest goes on; with corruption = strict the channel is
//     not opened.
//   - A disk that fails: the put fails and nothing of it is taken as written; the next goes to a new file.
//
// One goroutine writes checkpoints: every checkpointInterval, or after 256 MB of log.
package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/home"
	"github.com/sluice-io/sluice/internal/wal"
)

// Kind is the file channel.
var Kind = flume.Define[Settings, flume.Channel]("file", "org.apache.flume.channel.file.FileChannel",
	"Keeps events on disk, in Flume's format: what is committed survives the process and the machine.", open)

// Settings are what a file channel can be told.
type Settings struct {
	CheckpointDir       string
	DataDirs            []string
	Dual                bool
	BackupCheckpointDir string
	CompressBackup      bool
	Capacity            int
	TransactionCapacity int
	CheckpointInterval  time.Duration
	MaxFileSize         int64
	MinimumSpace        int64
	KeepAlive           time.Duration
	ReplayV1            bool
	CheckpointOnClose   bool
	SyncInterval        time.Duration
	SyncTakes           bool
	Cache               int
	Corruption          corruption
	QuarantineDir       string
	Encryption          encryption

	capacityKey string // what Capacity is called in the file
}

// corruption is what becomes of a log that has damaged records.
type corruption string

const (
	quarantine corruption = "quarantine"
	strict     corruption = "strict"
)

const (
	leastSpace       = 1 << 20 // what stays free at least, whatever minimumRequiredSpace says
	greatestCapacity = 1<<31 - 1 - 1029
)

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	capacity := d.Int(&s.Capacity, "capacity", 1000000,
		"How many events the channel holds at most, those in open transactions among them. The checkpoint has 8 bytes for each.").DefaultBelow(1)
	d.Seconds(&s.KeepAlive, "keep-alive", 3*time.Second, "How many seconds a put waits for room before the channel counts as full.")
	s.DeclareLog(d, capacity)
}

// DeclareLog declares everything but how many events there may be and how long a put waits for room, for another kind
// that keeps a part of its events as this one does. capacity is the setting of Capacity.
func (s *Settings) DeclareLog(d *conf.Decl, capacity *conf.Number) {
	s.capacityKey = capacity.Key
	capacity.AtMost(greatestCapacity)
	dir, shown := home.Dir(d)
	var dataDirs string
	at := func(name string) (path, text string) {
		return filepath.Join(dir, ".flume/file-channel", name), shown + "/.flume/file-channel/" + name
	}
	checkpoint, text := at("checkpoint")
	d.String(&s.CheckpointDir, "checkpointDir", checkpoint, "The directory of the checkpoint, of which each channel needs one of its own.").Default = text
	data, text := at("data")
	d.String(&dataDirs, "dataDirs", data, "The directories of the data files, separated by commas. Each channel needs its own.").Default = text
	d.Bool(&s.Dual, "useDualCheckpoints", false, "Whether a copy of the checkpoint is kept in backupCheckpointDir.")
	d.String(&s.BackupCheckpointDir, "backupCheckpointDir", "", "The directory of the copy; not the checkpointDir.")
	d.Bool(&s.CompressBackup, "compressBackupCheckpoint", false, "Whether the copy is compressed, with snappy.")
	d.TransactionCapacity(&s.TransactionCapacity, "transactionCapacity", 10000,
		"How many events one transaction takes at most. A batch that is put may be larger, up to the capacity.").DefaultBelow(1)
	d.Millis(&s.CheckpointInterval, "checkpointInterval", 30*time.Second,
		"How many milliseconds lie between two checkpoints, at least 1000; there is one after 256 MB in any case.").DefaultBelow(1)
	d.Int64(&s.MaxFileSize, "maxFileSize", wal.LargestFile, "How many bytes a data file has at most; never more than the default.").AtLeast(1)
	d.Int64(&s.MinimumSpace, "minimumRequiredSpace", 500<<20,
		"How many bytes of each disk puts leave free, at least 1048576. With less the channel takes no more events; what it holds can be delivered.")
	d.Bool(&s.ReplayV1, "use-log-replay-v1", false, "Whether the data files are replayed in the order of Flume 1.2.")
	var unused bool
	d.Bool(&unused, "use-fast-replay", false, "Has no effect: every replay is fast.")
	d.Bool(&s.CheckpointOnClose, "checkpointOnClose", true, "Whether to write a checkpoint at the end, so that the next start is quick.")
	d.Bool(&unused, "fsyncPerTransaction", true,
		"Has no effect: as in Flume every put is synced before it is answered. That damage is passed over, which false means in Flume, is what corruption says.")
	d.Seconds(&s.SyncInterval, "fsyncInterval", 5*time.Second, "How many seconds what was taken waits at most until it is synced, where no put does so before.").DefaultBelow(1)
	d.Bool(&s.SyncTakes, "fsyncTakes", false, "Whether a take too is synced before it counts, so that a power failure brings nothing back. Not in Flume.")
	d.Int(&s.Cache, "cacheBytes", 32<<20, "How many bytes of events are kept in memory until they are taken; 0 is none. Not in Flume.").AtLeast(0)
	conf.Choice(d, &s.Corruption, "corruption", quarantine,
		"What becomes of damaged records: quarantine keeps them in quarantineDir and goes on, strict does not open the channel. Not in Flume.", quarantine, strict)
	d.String(&s.QuarantineDir, "quarantineDir", "", "The directory for damaged records, made when it is needed. Not in Flume.").Default = "the checkpointDir with -quarantine behind its name"
	d.Under("encryption.", &s.Encryption)
	d.Check(func() error {
		s.CheckpointDir, s.BackupCheckpointDir = strings.TrimSpace(s.CheckpointDir), strings.TrimSpace(s.BackupCheckpointDir)
		for dir := range strings.SplitSeq(dataDirs, ",") {
			if dir = strings.TrimSpace(dir); dir != "" {
				s.DataDirs = append(s.DataDirs, dir)
			}
		}
		odd := s.odd()
		s.MaxFileSize = min(s.MaxFileSize, wal.LargestFile)
		s.MinimumSpace = max(s.MinimumSpace, leastSpace)
		s.CheckpointInterval = max(s.CheckpointInterval, time.Second)
		if s.QuarantineDir == "" {
			s.QuarantineDir = filepath.Clean(s.CheckpointDir) + "-quarantine"
		}
		return errors.Join(s.unshared(checkpoint, dataDirs == data), odd, s.sound())
	})
}

// unshared warns of the directories that are every file channel's default.
func (s *Settings) unshared(checkpoint string, data bool) error {
	const text = "is %s, the default of every file channel: two agents on this machine would share it; set it to a directory of this channel's own"
	var problems []error
	if s.CheckpointDir == checkpoint {
		problems = append(problems, conf.Warn("checkpointDir", fmt.Errorf(text, s.CheckpointDir)))
	}
	if data {
		problems = append(problems, conf.Warn("dataDirs", fmt.Errorf(text, s.DataDirs[0])))
	}
	return errors.Join(problems...)
}

// odd finds what Flume takes in another sense than it reads.
func (s *Settings) odd() error {
	var problems []error
	doubt := func(key, format string, args ...any) {
		problems = append(problems, conf.Warn(key, fmt.Errorf(format, args...)))
	}
	for _, dir := range slices.Concat([]string{s.CheckpointDir, s.BackupCheckpointDir}, s.DataDirs) {
		if dir == "~" || strings.HasPrefix(dir, "~/") {
			key := "dataDirs"
			switch dir {
			case s.CheckpointDir:
				key = "checkpointDir"
			case s.BackupCheckpointDir:
				key = "backupCheckpointDir"
			}
			doubt(key, "%s is not in your home directory: ~ means nothing here, as in Flume, and the directory is named ~; write the path in full", dir)
		}
	}
	if s.CompressBackup && !s.Dual {
		doubt("compressBackupCheckpoint", "has no effect without useDualCheckpoints = true")
	}
	if s.CheckpointInterval < time.Second {
		doubt("checkpointInterval", "%d is less than 1000, which is taken", s.CheckpointInterval.Milliseconds())
	}
	if s.MinimumSpace < leastSpace {
		doubt("minimumRequiredSpace", "%d is less than %d, which is taken", s.MinimumSpace, leastSpace)
	}
	return errors.Join(problems...)
}

// sound finds what Flume refuses too.
func (s *Settings) sound() error {
	var problems []error
	problem := func(key, format string, args ...any) {
		problems = append(problems, conf.At(key, fmt.Errorf(format, args...)))
	}
	if s.TransactionCapacity > s.Capacity {
		problem("transactionCapacity", "%d events are more than the capacity of the channel, %d; lower transactionCapacity or raise %s", s.TransactionCapacity, s.Capacity, s.capacityKey)
	}
	switch {
	case len(s.DataDirs) == 0:
		problem("dataDirs", "names no directory")
	case slices.ContainsFunc(s.DataDirs, func(dir string) bool { return filepath.Clean(dir) == filepath.Clean(s.CheckpointDir) }):
		problem("dataDirs", "names the checkpointDir; the data files need a directory of their own")
	}
	seen := map[string]bool{}
	for _, dir := range s.DataDirs {
		if dir = filepath.Clean(dir); seen[dir] {
			problem("dataDirs", "names %s twice", dir)
		}
		seen[dir] = true
	}
	if s.Dual && s.BackupCheckpointDir == "" {
		problem("backupCheckpointDir", "is required with useDualCheckpoints = true, and not set")
	}
	if s.Dual && s.BackupCheckpointDir == s.CheckpointDir {
		problem("backupCheckpointDir", "is the checkpointDir; the copy needs a directory of its own")
	}
	return errors.Join(problems...)
}

// Holds are the directories.
func (s *Settings) Holds() []flume.Endpoint {
	dirs := append([]string{s.CheckpointDir}, s.DataDirs...)
	if s.Dual {
		dirs = append(dirs, s.BackupCheckpointDir)
	}
	held := make([]flume.Endpoint, len(dirs))
	for i, dir := range dirs {
		if absolute, err := filepath.Abs(dir); err == nil {
			dir = absolute
		}
		held[i] = flume.Endpoint("dir://" + filepath.ToSlash(dir))
	}
	return held
}

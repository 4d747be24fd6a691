package wal

import (
	"sync/atomic"
	"time"
)

// Options say where a log is and how it is kept.
type Options struct {
	CheckpointDir  string
	BackupDir      string   // of the second checkpoint; "" is none
	CompressBackup bool     // with snappy
	DataDirs       []string // in the order in which they are used; a transaction lies in one of them
	Capacity       int      // events that the log may hold
	MaxFileSize    int64    // bytes of a data file, at most LargestFile
	SyncTakes      bool     // a take is done when it is synced, not when it is written
	Cache          int      // bytes of events that are kept in memory until they are taken
	Strict         bool     // refuse to open a damaged log
	WithoutMissing bool     // give up the events whose data files are not there, rather than refuse to open
	Sequential     bool     // replay one data file after the other, as Flume did once

	Keys      Keys   // of encrypted data files; nil is none
	ActiveKey string // alias of the key for new data files; "" writes them plain

	// SetAside is given every damaged part before it is made void in its file, and keeps it. nil: it is not kept.
	SetAside func(Damage) error
	// Progress is told about once a second how far a long replay is.
	Progress func(Progress)
	// Logged counts bytes of transactions written, Syncs how often their files were synced: what a sync brings home is
	// the one by the other. nil: not counted.
	Logged, Syncs *atomic.Int64

	// For tests.
	now  func() time.Time
	fill int   // bytes of fill at a time; 0 is fillSize, less than 0 is none
	few  int64 // bytes up to which a replay uses one goroutine; 0 is fewBytes
}

// LargestFile is the most bytes a data file may have.
const LargestFile = 1623195647

// Progress is how far a replay is.
type Progress struct {
	Read, Total int64 // bytes
	Elapsed     time.Duration
}

// Remaining is how long the rest will take at the same speed.
func (p Progress) Remaining() time.Duration {
	if p.Read == 0 {
		return 0
	}
	return time.Duration(float64(p.Elapsed) * float64(p.Total-p.Read) / float64(p.Read))
}

// Damage is a part of a data file that is no record and should be one, or an event that cannot be read back.
type Damage struct {
	Path   string
	Offset int64
	Length int64
	Reason string
	Bytes  []byte // what stands there, at most the first 16 MiB
}

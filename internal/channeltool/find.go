package channeltool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Dirs are the directories of one channel.
type Dirs struct {
	Checkpoint string
	Backup     string // "": there is none
	Data       []string
}

// A role is what a directory is to a channel, as far as its content tells.
type role int

const (
	nothing role = iota // of a file channel is in it
	empty
	checkpoint
	backup
	data
)

// leastCheckpoint is the size of the file checkpoint in slots of eight bytes, without those of the queue.
const leastCheckpoint = 1029

// Find recognizes the directories of a channel by what they hold. A directory that holds them is as good as they are.
// There need not be a checkpoint directory: an empty path says that it was not among them.
func Find(paths []string) (Dirs, error) {
	var d Dirs
	var found []string // what the search has looked at, for empty directories
	for _, path := range paths {
		r, err := roleOf(path)
		if err != nil {
			return d, err
		}
		if r != nothing && r != empty || len(paths) > 1 && r == empty {
			found = append(found, path)
			continue
		}
		inside, err := childrenOf(path)
		if err != nil {
			return d, err
		}
		if len(inside) == 0 {
			return d, fmt.Errorf("%s is no directory of a file channel and holds none: there is no checkpoint in it and no log-N", path)
		}
		found = append(found, inside...)
	}
	var vacant []string
	for _, path := range found {
		r, err := roleOf(path)
		if err != nil {
			return d, err
		}
		switch r {
		case checkpoint, backup:
			if err := d.add(r, path); err != nil {
				return d, err
			}
		case data:
			d.Data = append(d.Data, path)
		case empty:
			vacant = append(vacant, path)
		case nothing:
		}
	}
	for _, path := range vacant {
		d.place(path)
	}
	if len(d.Data) == 0 {
		return d, fmt.Errorf("no data directory, one with files log-N, is among %s; name it with --data", strings.Join(found, ", "))
	}
	return d, nil
}

// add places a directory with a checkpoint. A backup that is not complete looks like any other.
func (d *Dirs) add(r role, path string) error {
	switch {
	case r == checkpoint && d.Checkpoint == "":
		d.Checkpoint = path
	case r == checkpoint && d.Backup == "" && isNamed(path, "backup"):
		d.Backup = path
	case r == checkpoint && d.Backup == "" && isNamed(d.Checkpoint, "backup"):
		d.Checkpoint, d.Backup = path, d.Checkpoint
	case r == backup && d.Backup == "":
		d.Backup = path
	default:
		other := d.Checkpoint
		if r == backup {
			other = d.Backup
		}
		return fmt.Errorf("%s and %s both hold a checkpoint: name the directories of one channel with --checkpoint, --backup and --data, or its configuration with -f and --channel", other, path)
	}
	return nil
}

// place guesses from its name what an empty directory is there for.
func (d *Dirs) place(path string) {
	switch {
	case isNamed(path, "backup"):
		if d.Backup == "" {
			d.Backup = path
		}
	case isNamed(path, "data"):
		d.Data = append(d.Data, path)
	case d.Checkpoint == "" && isNamed(path, "checkpoint"):
		d.Checkpoint = path
	}
}

func isNamed(path, word string) bool {
	return strings.Contains(strings.ToLower(filepath.Base(path)), word)
}

// childrenOf are the directories in dir that are of a channel, or empty.
func childrenOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	some := false
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			continue
		}
		r, err := roleOf(path)
		if err != nil {
			return nil, err
		}
		if r != nothing {
			found = append(found, path)
		}
		some = some || r != nothing && r != empty
	}
	if !some {
		return nil, nil
	}
	return found, nil
}

func roleOf(dir string) (role, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nothing, fmt.Errorf("looking for a channel: %w", err)
	}
	r := empty
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "in_use.lock" || name == "queueset":
		case name == "backupComplete" || name == "checkpoint.snappy":
			return backup, nil
		case name == "checkpoint" && !e.IsDir() || name == "checkpoint.meta" || name == "inflightputs" || name == "inflighttakes":
			r = checkpoint
		case isDataFile(name) && r != checkpoint:
			r = data
		case r == empty:
			r = nothing
		}
	}
	return r, nil
}

func isDataFile(name string) bool {
	digits, ok := strings.CutPrefix(name, "log-")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// Unnamed stands for a checkpoint directory that nobody has named, where a channel is only read: nothing is there.
func Unnamed(data []string) string { return filepath.Join(data[0], "no checkpoint directory") }

// Capacity is the capacity that the checkpoint in the directories was written for; 0: that cannot be told.
func (d Dirs) Capacity() int {
	for _, dir := range []string{d.Checkpoint, d.Backup} {
		if dir == "" {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, "checkpoint"))
		if err != nil || info.Size()%8 != 0 {
			continue
		}
		if n := info.Size()/8 - leastCheckpoint; n > 0 && n < 1<<31-leastCheckpoint {
			return int(n)
		}
	}
	return 0
}

// Compressed reports whether the backup is kept compressed.
func (d Dirs) Compressed() bool {
	_, err := os.Stat(filepath.Join(d.Backup, "checkpoint.snappy"))
	return err == nil
}

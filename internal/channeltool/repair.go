package channeltool

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/internal/vfs"
	"github.com/sluice-io/sluice/internal/wal"
)

// Repaired is what a repair has done.
type Repaired struct {
	Before   *Findings
	Recovery *wal.Recovery
	Aside    []wal.Damage // without bytes
	Left     []wal.Damage // that may be a commit
	Torn     []string     // files whose last write was cut off
}

// InUse says who has the channel open.
func InUse(o *wal.Options) error {
	if users := Users(o); len(users) > 0 {
		return fmt.Errorf("%s has the channel open (%s); stop it first", users[0], users[0].File)
	}
	return nil
}

// dirs are the directories of a channel.
func dirs(o *wal.Options) []string {
	out := []string{}
	for _, dir := range append([]string{o.CheckpointDir, o.BackupDir}, o.DataDirs...) {
		if dir != "" {
			out = append(out, dir)
		}
	}
	return out
}

// Repairable returns why a channel had better not be repaired as it is named. With withoutMissing, events whose data
// files are not there are given up.
func (x *Findings) Repairable(withoutMissing bool) error {
	if m := x.Report.Missing; len(m) > 0 && !withoutMissing {
		var files []string
		for _, name := range slices.Sorted(maps.Keys(m)) {
			files = append(files, fmt.Sprintf("%s (%s)", name, Count(int64(m[name]), "event")))
		}
		return fmt.Errorf("the checkpoint names data files that are in none of the data directories: %s; name the directory that has them, or give their events up with --without-missing",
			strings.Join(files, ", "))
	}
	if len(x.Locked) > 0 {
		return fmt.Errorf("nothing can be read in %s: is it the key that it was written with?", strings.Join(x.Locked, ", "))
	}
	return nil
}

// Repair makes a channel sound: damaged records are set aside and made void, and a checkpoint is written.
func Repair(o wal.Options, quarantine string, before *Findings) (r *Repaired, err error) {
	defer func() { err = errors.Join(err, keepOwner(quarantine, dirs(&o)...)) }()
	r = &Repaired{Before: before}
	o.Strict, o.WithoutMissing = false, true // Repairable has asked
	o.SetAside = remember(wal.Quarantine(vfs.OS{}, quarantine), &r.Aside)
	l, rec, err := wal.Open(vfs.OS{}, o)
	if err != nil {
		return r, err
	}
	r.Recovery = rec
	for _, d := range rec.Torn {
		r.Torn = append(r.Torn, d.Path)
	}
	if err := l.Close(true); err != nil {
		return r, err
	}
	// What a start does not read.
	files, err := wal.CheckFiles(vfs.OS{}, o, true)
	for i := range files {
		r.Left = append(r.Left, files[i].Left...)
		if files[i].Torn {
			r.Torn = append(r.Torn, files[i].Path)
		}
	}
	return r, err
}

// remember lists what has been set aside.
func remember(aside func(wal.Damage) error, list *[]wal.Damage) func(wal.Damage) error {
	return func(d wal.Damage) error {
		if err := aside(d); err != nil {
			return err
		}
		d.Bytes = nil
		*list = append(*list, d)
		return nil
	}
}

// Integrity is what CheckIntegrity has found and done.
type Integrity struct {
	Files []wal.FileReport
	Aside []wal.Damage // without bytes
}

// CheckIntegrity reads data files alone and makes them sound. Each directory has a quarantine beside it.
func CheckIntegrity(dirs []string) (*Integrity, error) {
	out := &Integrity{}
	keys := NoKeys("this tool has no keys; sluice channel verify and sluice channel repair take the key store")
	o := wal.Options{DataDirs: dirs, Keys: keys}
	o.SetAside = remember(func(d wal.Damage) error {
		dir := filepath.Dir(d.Path)
		return errors.Join(wal.Quarantine(vfs.OS{}, QuarantineOf(dir))(d), keepOwner(QuarantineOf(dir), dir))
	}, &out.Aside)
	var err error
	out.Files, err = wal.CheckFiles(vfs.OS{}, o, true)
	return out, err
}

// QuarantineOf is where damaged records go, by default: beside a directory of Flume's, for what is foreign does not
// belong inside.
func QuarantineOf(dir string) string { return filepath.Clean(dir) + "-quarantine" }

// NoKeys are keys where there are none; its text says so.
type NoKeys string

// Key implements wal.Keys.
func (n NoKeys) Key(string) ([]byte, error) { return nil, errors.New(string(n)) }

// Summary prints to out what Flume's tool prints, and to err what it has no words for.
func (in *Integrity) Summary(out, err io.Writer) {
	var records, puts, corrupt int64
	for i := range in.Files {
		f := &in.Files[i]
		records += f.Puts + f.Takes + f.Commits + f.Rollback + int64(len(f.Damaged)) + 1 // Flume counts the end of each file
		puts += f.Puts
		corrupt += int64(len(f.Damaged))
		if f.Torn {
			fmt.Fprintf(err, "ended after its last whole write: %s\n", f.Path)
		}
		for _, d := range f.Left {
			fmt.Fprintf(err, "left as it is, for it may be the commit of events that would be lost with it: %s; sluice channel repair, or a start of Sluice, repairs it without loss\n", Place(d))
		}
	}
	fmt.Fprintln(out, "---------- Summary --------------------")
	fmt.Fprintf(out, "Number of Events in the Channel = %d\n", records)
	fmt.Fprintf(out, "Number of Put Events Processed = %d\n", puts)
	fmt.Fprintf(out, "Number of Valid Put Events = %d\n", puts)
	fmt.Fprintln(out, "Number of Invalid Put Events = 0")
	fmt.Fprintln(out, "Number of Put Events that threw Exception during validation = 0")
	fmt.Fprintf(out, "Number of Corrupt Events = %d\n", corrupt)
	fmt.Fprintln(out, "---------------------------------------")
}

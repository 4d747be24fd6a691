package channeltool

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-io/sluice/internal/wal"
)

// Number writes n with commas.
func Number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Count writes a number of things.
func Count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Number(n) + " " + what + "s"
}

// Bytes writes a number of bytes for a person.
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return Count(n, "byte")
	}
	v, u := float64(n)/(1<<10), 0
	for v >= 1000 && u < len(units)-1 {
		v, u = v/(1<<10), u+1
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %ciB", v, units[u])
	}
	return fmt.Sprintf("%.0f %ciB", v, units[u])
}

const stamp = "2006-01-02 15:04:05.000 MST"

// Table prints the findings for a person.
func (x *Findings) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	r := x.Report
	line("data", "%s", strings.Join(x.Options.DataDirs, ", "))
	if len(x.Users) == 0 {
		line("in use", "by nobody")
	}
	for _, p := range x.Users {
		line("in use", "by %s: what is shown may be half written", p)
	}
	x.content(line)
	if x.Assumed {
		line("capacity", "unknown without a checkpoint; the default is %s", Number(int64(x.Options.Capacity)))
	} else {
		line("capacity", "%s (%.1f %% full)", Number(int64(x.Options.Capacity)), 100*float64(r.Events)/float64(x.Options.Capacity))
	}
	x.start(line)
	for _, n := range r.Notes {
		line("note", "%s", n)
	}
	x.damage(line)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return x.files(w)
}

func (x *Findings) content(line func(what, format string, args ...any)) {
	r := x.Report
	line("events", "%s", Number(x.Events))
	if x.Void > 0 {
		line("", "%s besides that a repair has made void; they are passed over", Number(x.Void))
	}
	if r.Doubtful > 0 {
		line("", "%s of them may never have been committed: a damaged record may have been their commit", Number(int64(r.Doubtful)))
	}
	if x.Depth < Everything {
		return
	}
	line("bytes", "%s: bodies %s, headers %s", Bytes(x.Bodies+x.Headers), Bytes(x.Bodies), Bytes(x.Headers))
	if x.Events == 0 {
		return
	}
	at := &x.Times
	switch {
	case at.Stamped == 0:
		line("oldest", "unknown, for no event has a timestamp header; its file was last written %s", at.First.Local().Format(stamp))
		line("newest", "unknown; its file was last written %s", at.Last.Local().Format(stamp))
	default:
		of := ""
		if at.Stamped < x.Events {
			of = fmt.Sprintf(" (of the %s that have a timestamp header)", Number(at.Stamped))
		}
		line("oldest", "%s%s", at.Oldest.Local().Format(stamp), of)
		line("newest", "%s", at.Newest.Local().Format(stamp))
	}
}

// start tells what a start would do.
func (x *Findings) start(line func(what, format string, args ...any)) {
	r := x.Report
	from := "from the beginning of the data files"
	c := r.From
	switch {
	case c == nil && x.Options.CheckpointDir == Unnamed(x.Options.DataDirs):
		line("checkpoint", "no directory is named")
	case c == nil:
		line("checkpoint", "none that can be used in %s", x.Options.CheckpointDir)
	default:
		of := ""
		if c.Version != 3 {
			of = fmt.Sprintf(", version %d", c.Version)
		}
		open := ""
		if c.Open > 0 {
			open = fmt.Sprintf(", %s open", Count(int64(c.Open), "transaction"))
		}
		line("checkpoint", "%s: %s%s, capacity %s, write order %d%s", c.Path, Count(int64(c.Events), "event"), open, Number(int64(c.Capacity)), c.Order, of)
		from = "from there"
	}
	if x.Options.BackupDir != "" {
		line("backup", "%s", x.Options.BackupDir)
	}
	line("replay", "%s: %s, %s; reading that took %v now", from, Bytes(r.Bytes), Count(r.Records, "record"), r.Elapsed.Round(time.Millisecond))
	if r.Uncommitted > 0 {
		line("", "%s without a commit: nobody was told that it was good, and it is not in the channel", Count(int64(r.Uncommitted), "transaction of puts"))
	}
	for _, d := range r.Torn {
		line("cut off", "%s at %d: the last write when the run ended; nobody was told that it was good", d.Path, d.Offset)
	}
}

// shown is how many places with damage the table names; verify names all.
const shown = 20

func (x *Findings) damage(line func(what, format string, args ...any)) {
	lines := x.damageLines()
	if len(lines) == 0 {
		what := "none"
		if x.Depth < Records {
			what = "none in what a start reads"
		}
		line("damage", "%s", what)
		return
	}
	for i, text := range lines {
		if i == shown && len(lines) > shown+1 {
			line("", "and %s more; sluice channel verify lists all", Number(int64(len(lines)-shown)))
			return
		}
		what := ""
		if i == 0 {
			what = "damage"
		}
		line(what, "%s", text)
	}
}

// damageLines is one line for each place that is damaged.
func (x *Findings) damageLines() []string {
	var out []string
	for _, d := range x.Damage {
		out = append(out, d.String())
	}
	if x.Unlisted > 0 {
		out = append(out, fmt.Sprintf("and %s more", Count(x.Unlisted, "place")))
	}
	for _, file := range x.Locked {
		out = append(out, fmt.Sprintf("nothing can be read in %s: is it the key that it was written with?", file))
	}
	r := x.Report
	for _, name := range slices.Sorted(maps.Keys(r.Missing)) {
		out = append(out, fmt.Sprintf("%s is missing, and %s with it", name, Count(int64(r.Missing[name]), "event")))
	}
	for _, path := range slices.Sorted(maps.Keys(r.Strange)) {
		out = append(out, fmt.Sprintf("%s has no record of %s that the checkpoint has in it", path, Count(int64(r.Strange[path]), "event")))
	}
	return out
}

func (d Damage) String() string {
	s := Place(d.Damage)
	if d.Event {
		s += " (an event that waits in the channel)"
	}
	return s
}

// Place names a damaged place and what is wrong there.
func Place(d wal.Damage) string {
	if d.Length == 0 {
		return fmt.Sprintf("%s at %d: %s", d.Path, d.Offset, d.Reason)
	}
	return fmt.Sprintf("%s at %d, %s: %s", d.Path, d.Offset, Count(d.Length, "byte"), d.Reason)
}

func (x *Findings) files(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "live\tputs\ttakes\tcommits\trollbacks\tdamaged\tread from\tdata end\tsize\tversion\tkey\t  file")
	for i := range x.Report.Files {
		f := &x.Report.Files[i]
		key := f.Key
		if key == "" {
			key = "-"
		}
		counts := "-\t-\t-\t-"
		if f.Counted {
			counts = fmt.Sprintf("%s\t%s\t%s\t%s", Number(f.Puts), Number(f.Takes), Number(f.Commits), Number(f.Rollback))
		}
		torn := ""
		if f.Torn {
			torn = " (cut off)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t  %s%s\n", Number(int64(f.Live)), counts, Number(int64(len(f.Damaged))),
			Number(f.Start), Number(f.Data), Number(f.Size), f.Version, key, f.Path, torn)
	}
	return t.Flush()
}

// List prints what verify has found: a line for each damage, and a last line with the sum. It can be shown to a program.
func (x *Findings) List(w io.Writer) {
	for _, line := range x.damageLines() {
		fmt.Fprintln(w, line)
	}
	var records, size int64
	for i := range x.Report.Files {
		f := &x.Report.Files[i]
		records += f.Puts + f.Takes + f.Commits + f.Rollback
		size += f.Data
	}
	read := fmt.Sprintf("%s and %s read from %s, %s", Count(x.Events, "event"), Count(records, "record"), Count(int64(len(x.Report.Files)), "data file"), Bytes(size))
	switch {
	case x.Sound():
		fmt.Fprintf(w, "sound: %s\n", read)
	case x.Unreadable > 0:
		fmt.Fprintf(w, "damaged: %s cannot be read; %s\n", Count(x.Unreadable, "event"), read)
	default:
		fmt.Fprintf(w, "damaged: %s\n", read)
	}
}

// Plan tells what a repair would do.
func (x *Findings) Plan(w io.Writer, quarantine string) {
	for _, d := range x.Damage {
		fmt.Fprintf(w, "would set aside: %s\n", d)
	}
	if len(x.Damage) > 0 {
		fmt.Fprintf(w, "what stands there would go to %s\n", filepath.Join(quarantine, "quarantine.jsonl"))
	}
	for i := range x.Report.Files {
		if f := &x.Report.Files[i]; f.Torn {
			fmt.Fprintf(w, "would end after its last whole write, at %d: %s\n", f.Data, f.Path)
		}
	}
	for _, n := range x.Report.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	fmt.Fprintf(w, "would write a checkpoint: %s\n", Count(x.Events, "event"))
}

// Print tells what a repair has done.
func (r *Repaired) Print(w io.Writer, quarantine string) {
	for _, d := range r.Aside {
		fmt.Fprintf(w, "set aside: %s\n", Place(d))
	}
	if len(r.Aside) > 0 {
		fmt.Fprintf(w, "what stood there is in %s\n", filepath.Join(quarantine, "quarantine.jsonl"))
	}
	for _, path := range r.Torn {
		fmt.Fprintf(w, "ended after its last whole write: %s\n", path)
	}
	for _, d := range r.Left {
		fmt.Fprintf(w, "left as it is, for it may be the commit of events that are nowhere else: %s\n", Place(d))
	}
	rec := r.Recovery
	for _, n := range rec.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	if rec.Doubtful > 0 {
		fmt.Fprintf(w, "%s that a damaged record may have committed: in the channel, perhaps for the second time\n", Count(int64(rec.Doubtful), "event"))
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Missing)) {
		fmt.Fprintf(w, "given up, for %s is missing: %s\n", name, Count(int64(rec.Missing[name]), "event"))
	}
	for _, path := range slices.Sorted(maps.Keys(rec.Strange)) {
		fmt.Fprintf(w, "given up, for %s has no record of them: %s\n", path, Count(int64(rec.Strange[path]), "event"))
	}
	lost := r.Before.Unreadable
	if lost > 0 {
		fmt.Fprintf(w, "lost: %s that cannot be read\n", Count(lost, "event"))
	}
	fmt.Fprintf(w, "wrote a checkpoint: %s\n", Count(int64(rec.Events)-r.lostInQueue(), "event"))
}

// lostInQueue is how many events of the queue cannot be read: they are passed over when their turn comes.
func (r *Repaired) lostInQueue() int64 { return r.Before.Unreadable + r.Before.Void }

package taildir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A journal is the file beside the position file. Each of its lines is either what is known of a stream, instead of what
// an earlier line of that id said, or the sum of a position file that is about to be written:
//
//	{"id":3,"file":"/var/log/a.log","group":"g1","device":64769,"inode":2,"born":1763743000000000000,"pos":10,"head":"10:9c…","tail":"10:9c…"}
//	{"id":3,"gone":true}
//	{"positions":"1f…"}
//
// Lines are appended, which outlives a kill, and synced before the position file is written. After a power failure the
// position file, which is synced, and those lines that are there, are used. A line that cannot be read is passed over.
type journal struct {
	fs   vfs.FS
	path string
	lock vfs.Lock
	f    *vfs.Appender // nil: it could not be opened
	base int64         // its size when it was written anew
	line []byte
}

// A record is a line of the journal.
type record struct {
	ID        uint64 `json:"id,omitempty"`
	Gone      bool   `json:"gone,omitempty"`
	Lost      bool   `json:"lost,omitempty"` // its file was not there any more
	Cut       bool   `json:"cut,omitempty"`  // its file holds something else by now
	AsOf      int64  `json:"asOf,omitempty"` // when somebody else has noted pos of a file that was not seen since
	File      string `json:"file,omitempty"`
	Group     string `json:"group,omitempty"`
	Device    uint64 `json:"device,omitempty"`
	Inode     uint64 `json:"inode,omitempty"`
	Born      int64  `json:"born,omitempty"`
	Pos       int64  `json:"pos,omitempty"`
	Head      string `json:"head,omitempty"`
	Tail      string `json:"tail,omitempty"`
	Zipped    bool   `json:"zipped,omitempty"`
	Positions string `json:"positions,omitempty"`
}

func (p print) String() string { return fmt.Sprintf("%d:%x", p.n, p.sum) }

func parsePrint(text string) (p print, ok bool) {
	if text == "" {
		return print{}, true
	}
	_, err := fmt.Sscanf(text, "%d:%x", &p.n, &p.sum)
	return p, err == nil && p.n >= 0 && p.n <= printSize
}

// sumOf is how the journal knows a position file again.
func sumOf(positions []byte) string {
	sum := sha256.Sum256(positions)
	return hex.EncodeToString(sum[:16])
}

// parseJournal returns what is known of each stream, in the order of their first lines, and whether the position file
// with that sum was this journal's: the last one announced, or the one before it, if it could not be written.
func parseJournal(text []byte, sum string) (known []record, ours bool) {
	at := map[uint64]int{}
	var sums []string
	for line := range bytes.Lines(text) {
		var r record
		if line[len(line)-1] != '\n' || json.Unmarshal(line, &r) != nil {
			continue
		}
		if r.Positions != "" {
			sums = append(sums, r.Positions)
			continue
		}
		_, head := parsePrint(r.Head)
		_, tail := parsePrint(r.Tail)
		if r.ID == 0 || r.Pos < 0 || !head || !tail {
			continue
		}
		i, seen := at[r.ID]
		if !seen {
			i = len(known)
			at[r.ID] = i
			known = append(known, record{})
		}
		known[i] = r
	}
	known = slices.DeleteFunc(known, func(r record) bool { return r.Gone })
	return known, slices.Contains(sums[max(0, len(sums)-2):], sum)
}

// begin writes the journal anew.
func (j *journal) begin(records []record) error {
	j.line = j.line[:0]
	for _, r := range records {
		j.line = appendRecord(j.line, r)
	}
	if err := vfs.Replace(j.fs, j.path, j.line); err != nil {
		return fmt.Errorf("writing the journal of positions %s: %w", j.path, err)
	}
	if j.f != nil {
		_ = j.f.Close() // nothing waits to be written
	}
	f, err := vfs.Append(j.fs, j.path)
	if err != nil {
		j.f = nil
		return fmt.Errorf("opening the journal of positions %s: %w", j.path, err)
	}
	j.f, j.base = f, int64(len(j.line))
	return nil
}

// add appends a line.
func (j *journal) add(r record) error {
	if j.f == nil {
		return fmt.Errorf("writing the journal of positions %s: it could not be opened", j.path)
	}
	j.line = appendRecord(j.line[:0], r)
	if _, err := j.f.Write(j.line); err != nil {
		return fmt.Errorf("writing the journal of positions %s: %w", j.path, err)
	}
	return nil
}

// announce says which position file is about to be written. With it everything that was added is safe, so that of no file
// the one says more than the other.
func (j *journal) announce(positions []byte) error {
	if j.f == nil {
		return nil
	}
	if err := j.add(record{Positions: sumOf(positions)}); err != nil {
		return err
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("syncing the journal of positions %s: %w", j.path, err)
	}
	return nil
}

// long reports whether it has grown so much that it should be written anew.
func (j *journal) long() bool { return j.f == nil || j.f.Size > max(1<<20, 4*j.base) }

func (j *journal) close() error {
	var err error
	if j.f != nil {
		err = j.f.Close()
	}
	return errors.Join(err, j.lock.Release())
}

func appendRecord(b []byte, r record) []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic("BUG: a record of the journal cannot be written: " + err.Error())
	}
	return append(append(b, text...), '\n')
}

// readIf reads a file that may be missing.
func readIf(fsys vfs.FS, path string) (text []byte, there bool, err error) {
	text, err = vfs.ReadFile(fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return text, err == nil, err
}

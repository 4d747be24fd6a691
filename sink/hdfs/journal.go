package hdfs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-io/sluice/internal/vfs"
)

// An entry is a file that was begun and not finished.
type entry struct {
	id      int64
	root    string // hdfs://host:port
	inUse   string
	final   string
	measure measure // how its last whole record is found
	once    int64   // its id in the ledger; 0: it is not in it
}

// A journal is the local list of the files that a sink has open, so that the next process finds what this one leaves
// behind when it is killed. Nothing in HDFS could tell whose files they are. Each line is an event:
//
//	open 17 lines "hdfs://nn:8020" "/logs/_a.1.tmp" "/logs/a.1"    id, measure, file system, name in use, final name
//	done 17                                                        it is renamed, or gone
//
// A line is on the disk before the file is made. A line that cannot be read is one that was being written when the
// process died. The file AGENT.SINK.open belongs to whoever holds the lock AGENT.SINK.lock; where another process does,
// AGENT.SINK-2 is next, and so on.
type journal struct {
	fs   vfs.FS
	path string
	lock vfs.Lock
	// number counts the processes that have a sink of this name: 1 has no other beside it.
	number int

	mu      sync.Mutex
	file    vfs.File
	at      int64
	last    int64 // id
	open    map[int64]entry
	lines   int
	written int64 // lines, ever

	syncing sync.Mutex
	synced  int64 // of written
}

// mostJournals is how many processes may have a sink of one name.
const mostJournals = 64

// compactAt is the number of lines, beside those of open files, at which the journal is written anew.
const compactAt = 2000

// openJournal opens the first journal that is free. What it and those of processes that are gone have is left over.
func openJournal(on vfs.FS, dir, name string) (*journal, []entry, error) {
	if err := on.MkdirAll(dir); err != nil {
		return nil, nil, fmt.Errorf("opening hdfs.journalDir: %w", err)
	}
	name = strings.NewReplacer("/", "_", "\x00", "_").Replace(name)
	var j *journal
	for i := 1; i <= mostJournals; i++ {
		own := name
		if i > 1 {
			own = fmt.Sprintf("%s-%d", name, i)
		}
		path := filepath.Join(dir, own+".open")
		if _, err := on.Stat(path); j != nil && err != nil {
			continue
		}
		lock, err := on.Lock(filepath.Join(dir, own+".lock"))
		if locked := new(vfs.LockedError); errors.As(err, &locked) {
			continue
		}
		if err == nil && j == nil {
			j = &journal{fs: on, path: path, lock: lock, number: i, open: map[int64]entry{}}
			err = j.read(path)
		} else if err == nil {
			if err = j.read(path); err == nil {
				err = j.rewrite()
			}
			if err == nil {
				err = on.Remove(path)
			}
			err = errors.Join(err, lock.Release())
		}
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), j.release())
		}
	}
	if j == nil {
		return nil, nil, fmt.Errorf("opening hdfs.journalDir: %s has the journals of %d processes", dir, mostJournals)
	}
	if err := j.rewrite(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("opening %s: %w", j.path, err), j.release())
	}
	return j, j.entries(), nil
}

func (j *journal) release() error {
	if j == nil {
		return nil
	}
	if j.file != nil {
		return errors.Join(j.file.Close(), j.lock.Release())
	}
	return j.lock.Release()
}

// entries are the files that are open, in the order in which they were begun.
func (j *journal) entries() []entry {
	all := slices.Collect(maps.Values(j.open))
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.id, b.id) })
	return all
}

// read adds what a journal has to what is open.
func (j *journal) read(path string) error {
	f, err := j.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return err
	}
	for _, e := range decodeJournal(string(text)) {
		j.last++
		e.id = j.last
		j.open[e.id] = e
	}
	return nil
}

// decodeJournal returns the files that are open at the end of a journal, in their order.
func decodeJournal(text string) []entry {
	at := map[int64]int{}
	var all []entry
	for line := range strings.Lines(text) {
		e, done, ok := decodeLine(line)
		if !ok {
			continue
		}
		if i, known := at[e.id]; known {
			all[i].root = ""
			delete(at, e.id)
		}
		if !done {
			at[e.id] = len(all)
			all = append(all, e)
		}
	}
	open := all[:0]
	for _, e := range all {
		if e.root != "" {
			open = append(open, e)
		}
	}
	return open
}

func decodeLine(line string) (e entry, done, ok bool) {
	line, whole := strings.CutSuffix(line, "\n")
	word, rest, _ := strings.Cut(line, " ")
	if !whole || word != "open" && word != "done" {
		return entry{}, false, false
	}
	number, rest, _ := strings.Cut(rest, " ")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil || id <= 0 || id == 1<<63-1 {
		return entry{}, false, false
	}
	if word == "done" {
		return entry{id: id}, true, rest == ""
	}
	kind, rest, _ := strings.Cut(rest, " ")
	e = entry{id: id, measure: measure(kind)}
	for _, p := range []*string{&e.root, &e.inUse, &e.final} {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return entry{}, false, false
		}
		if *p, err = strconv.Unquote(quoted); err != nil {
			return entry{}, false, false
		}
		rest = strings.TrimPrefix(rest[len(quoted):], " ")
	}
	return e, false, rest == "" && e.root != "" && strings.HasPrefix(e.inUse, "/") && strings.HasPrefix(e.final, "/")
}

func (e entry) line() string {
	return fmt.Sprintf("open %d %s %q %q %q\n", e.id, e.measure, e.root, e.inUse, e.final)
}

// begin notes a file before it is made, and returns its id.
func (j *journal) begin(e entry) (int64, error) {
	if j == nil {
		return 0, nil
	}
	j.mu.Lock()
	j.last++
	e.id = j.last
	err := j.write(e.line())
	if err == nil {
		j.open[e.id] = e
	}
	number := j.written
	j.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return e.id, j.sync(number)
}

// rename notes another final name.
func (j *journal) rename(id int64, final string) error {
	if j == nil || id == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.open[id]
	e.final = final
	j.open[id] = e
	return j.write(e.line())
}

// done notes that there is nothing left to do. It need not be safe: doing it once more finds nothing.
func (j *journal) done(id int64) error {
	if j == nil || id == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.open, id)
	return j.write(fmt.Sprintf("done %d\n", id))
}

func (j *journal) write(line string) error {
	if _, err := j.file.WriteAt([]byte(line), j.at); err != nil {
		return fmt.Errorf("writing to %s: %w", j.path, err)
	}
	j.at += int64(len(line))
	j.lines++
	j.written++
	return nil
}

// sync makes the lines up to that one safe; those who come at the same time share a sync.
func (j *journal) sync(number int64) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= number {
		return nil
	}
	j.mu.Lock()
	if j.lines > len(j.open)+compactAt {
		defer j.mu.Unlock()
		if err := j.rewrite(); err != nil {
			return fmt.Errorf("writing %s anew: %w", j.path, err)
		}
		return nil
	}
	file, written := j.file, j.written
	j.mu.Unlock()
	if err := file.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", j.path, err)
	}
	j.synced = written
	return nil
}

// rewrite leaves in the journal what is open.
func (j *journal) rewrite() error {
	fresh := j.path + ".new"
	if err := j.fs.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := j.fs.Create(fresh)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, e := range j.entries() {
		text.WriteString(e.line())
	}
	_, err = f.WriteAt([]byte(text.String()), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = j.fs.Rename(fresh, j.path)
	}
	if err == nil {
		err = j.fs.SyncDir(filepath.Dir(j.path))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	old := j.file
	j.file, j.at, j.lines = f, int64(text.Len()), len(j.open)
	j.synced = j.written
	if old != nil {
		return old.Close()
	}
	return nil
}

// close leaves the journal; it is removed if nothing is open.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if len(j.open) == 0 {
		err = j.fs.Remove(j.path)
	}
	return errors.Join(err, j.release())
}

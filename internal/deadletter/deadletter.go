// Package deadletter keeps events that can never pass, with the reason, in a bounded directory of Avro files, and takes
// them out again.
//
//	rejections ─▶ Avro blocks ─▶ fsync ─▶ nil             dir/2026-11-21T10-51-00.123Z-000.avro        letters
//	                                                      dir/2026-11-21T10-51-00.123Z-000.avro.done   which of them are settled
//	                                                      dir/2026-11-21T11-51-02.007Z-000.avro
//	                                                      dir/2026-11-21T11-51-02.007Z-000.avro.live   locked: it is being written
//
//	Replay: try in .done, fsync ─▶ the flow takes the events ─▶ done in .done, fsync ─▶ what is settled is removed
//
// A file is an Avro object container without compression, so that every Avro tool reads it; the schema is [Schema].
// Write returns nil when all its letters are on disk, in blocks of about 1 MiB at most. A file is written until it has
// 16 MiB or is an hour old. Nothing is removed but what Replay or Remove has settled: a file that nobody writes and of which
// all letters are settled goes, one of which some are is written anew without them and takes its name.
//
// Header strings are bytes, Avro's strings are UTF-8. The map "headers" has every header as text, with U+FFFD for what
// is no UTF-8; only if something was replaced, "rawHeaders" has all of them byte for byte.
//
// A letter's identity is the beginning of its file's sync marker and its number in the file. It stays with the letter.
//
// How it fails: a directory that has reached its bound, or a disk that cannot take more, is an error, and nothing of
// that call stays in the file. After a crash the newest file may end in blocks, the last one torn, that no call has
// reported as written; readers get everything before the torn one. After a kill between the flow's taking a letter and
// its being settled, the letter is there and has been tried: it is replayed again under the same identity, and counted.
package deadletter

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

const (
	fileBytes  = 16 << 20 // a file that has as many is full
	fileAge    = time.Hour
	blockBytes = 1 << 20
	suffix     = ".avro"
	liveSuffix = ".live"
	doneSuffix = ".done"
)

// ErrFull means that the directory has reached its bound.
var ErrFull = errors.New("they are full")

// Letters are the dead letters of one agent. Nothing is on disk before the first Write.
type Letters struct {
	dir   string
	agent string
	limit int64

	mu     sync.Mutex
	file   *os.File // nil: none is being written
	size   int64    // of file
	head   int64    // how much of it is no letter
	opened time.Time
	total  int64 // of all files in dir when last looked at, and what was written since
	marker [16]byte
	count  int      // letters in file
	live   vfs.Lock // of file
}

// New returns the dead letters of an agent in dir, which may take limit bytes.
func New(dir, agent string, limit int64) *Letters {
	return &Letters{dir: dir, agent: agent, limit: limit}
}

// Dir is the directory of the files.
func (l *Letters) Dir() string { return l.dir }

// Write puts what a component has rejected on disk: all of it or, with an error, nothing.
func (l *Letters) Write(component string, rejections ...flume.Rejection) error {
	if len(rejections) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.file != nil && (l.size >= fileBytes || now.Sub(l.opened) >= fileAge) {
		if err := l.end(); err != nil {
			return err
		}
	}
	if l.file == nil {
		l.marker = newMarker()
		l.count = 0
	}
	blocks, count := l.encode(component, rejections, now)
	need := int64(len(blocks))
	if l.file == nil {
		if err := l.begin(now, need); err != nil {
			return err
		}
	} else if err := l.room(need); err != nil {
		return err
	}
	if _, err := l.file.Write(blocks); err != nil {
		return l.undo(err)
	}
	if err := l.file.Sync(); err != nil {
		return l.undo(err)
	}
	l.size += need
	l.total += need
	l.count = count
	return nil
}

// encode makes blocks of blockBytes or a little more, for readers take a whole block at once; and says how many letters
// the file has with them.
func (l *Letters) encode(component string, rejections []flume.Rejection, now time.Time) ([]byte, int) {
	var out blocks
	number := l.count
	for i := range rejections {
		letter := Make(&rejections[i], identity(l.marker, number), component, l.agent, now)
		out.add(&letter, l.marker)
		number++
	}
	return out.end(l.marker), number
}

func newMarker() (m [16]byte) {
	_, _ = rand.Read(m[:]) // never fails
	return m
}

func identity(marker [16]byte, number int) string {
	return hex.EncodeToString(marker[:8]) + "-" + strconv.Itoa(number)
}

// blocks are letters on their way into a file.
type blocks struct {
	out, block []byte
	count      int
}

func (b *blocks) add(l *Letter, marker [16]byte) {
	b.block = appendLetter(b.block, l)
	b.count++
	if len(b.block) >= blockBytes {
		b.end(marker)
	}
}

// end ends the block and returns all of them.
func (b *blocks) end(marker [16]byte) []byte {
	if b.count > 0 {
		b.out = binary.AppendVarint(binary.AppendVarint(b.out, int64(b.count)), int64(len(b.block)))
		b.out = append(append(b.out, b.block...), marker[:]...)
		b.block, b.count = b.block[:0], 0
	}
	return b.out
}

// room looks at the directory again before it gives up: somebody may have moved files away.
func (l *Letters) room(need int64) error {
	if l.total+need <= l.limit {
		return nil
	}
	total, err := usage(l.dir)
	if err != nil {
		return fmt.Errorf("looking at the dead letters in %s: %w", l.dir, err)
	}
	l.total = total
	if l.total+need <= l.limit {
		return nil
	}
	if need > l.limit {
		return fmt.Errorf("what is to be kept at once in %s has %d bytes, more than the dead letters may ever have, %d: raise -Dsluice.deadletter.bytes",
			l.dir, need, l.limit)
	}
	return fmt.Errorf("the dead letters in %s have %d of %d bytes (-Dsluice.deadletter.bytes) and %d more do not fit; move files away or raise the bound: %w",
		l.dir, l.total, l.limit, need, ErrFull)
}

// undo takes back what a Write that failed has left, and ends the file: after an fsync that failed nobody knows what of
// it is on disk. What cannot be taken back stays, as after a crash.
func (l *Letters) undo(cause error) error {
	file := l.file
	l.file = nil
	defer l.release()
	_ = file.Truncate(l.size) // the error is the one that brought us here
	_ = file.Close()
	if l.size == l.head {
		_ = os.Remove(file.Name())
	}
	return fmt.Errorf("writing dead letters to %s: %w", file.Name(), cause)
}

// begin makes a file, if there is room for it and what the caller is going to write: no file is without a letter.
func (l *Letters) begin(now time.Time, need int64) error {
	if l.dir == "" {
		return errors.New("there is no directory for dead letters")
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of dead letters: %w", err)
	}
	total, err := usage(l.dir)
	if err != nil {
		return fmt.Errorf("looking at the dead letters in %s: %w", l.dir, err)
	}
	l.total = total
	head := appendFileHeader(nil, l.marker)
	if err := l.room(int64(len(head)) + need); err != nil {
		return err
	}
	file, err := create(l.dir, now)
	if err != nil {
		return fmt.Errorf("creating a file of dead letters: %w", err)
	}
	if _, err = file.Write(head); err == nil {
		err = syncDir(l.dir)
	}
	if err != nil {
		_ = file.Close()
		_ = os.Remove(file.Name())
		return fmt.Errorf("beginning the dead letters %s: %w", file.Name(), err)
	}
	live, err := vfs.OS{}.Lock(file.Name() + liveSuffix)
	if err != nil {
		_ = file.Close()
		_ = os.Remove(file.Name())
		return fmt.Errorf("beginning the dead letters %s: %w", file.Name(), err)
	}
	l.live = live
	l.file, l.opened, l.size, l.head = file, now, int64(len(head)), int64(len(head))
	l.total += l.size
	return nil
}

// create makes a file that was not there, named after the time, so that names sort by age.
func create(dir string, now time.Time) (*os.File, error) {
	name := filepath.Join(dir, now.UTC().Format("2006-01-02T15-04-05.000Z"))
	for n := 0; ; n++ {
		path := fmt.Sprintf("%s-%03d%s", name, n, suffix)
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if !errors.Is(err, os.ErrExist) {
			return file, err
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// usage is how many bytes the files of dead letters in dir have.
func usage(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) && !strings.HasSuffix(e.Name(), suffix+doneSuffix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // moved away meanwhile
		}
		if err != nil {
			return 0, err
		}
		n += info.Size()
	}
	return n, nil
}

func (l *Letters) end() error {
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	defer l.release()
	if err := file.Close(); err != nil {
		return fmt.Errorf("closing the dead letters %s: %w", file.Name(), err)
	}
	return nil
}

// release lets readers tidy the file up.
func (l *Letters) release() {
	if l.live != nil {
		_ = l.live.Release() // what cannot be removed is not locked all the same
		l.live = nil
	}
}

// End ends the file that is being written, so that it can be tidied up; the next Write begins another.
func (l *Letters) End() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end()
}

// Close closes the file that is being written.
func (l *Letters) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end()
}

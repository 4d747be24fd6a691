package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-io/sluice/internal/hdfs"
)

// A chain is the files of a ledger: NAME.1.ledger, NAME.2.ledger … in one directory. The highest one whose beginning is all
// there counts; a new one begins with all that is known, and then those before it are removed.
//
// It is also what keeps two processes apart. Who opens a ledger takes the lease of the file that counts away, and makes
// the next one; who had it cannot write to it any more, finds that the next one is somebody else's, and is out.
type chain struct {
	root, dir, name string
	fs              func(root string) (hdfs.FS, error)
	durability      hdfs.Durability
	log             *slog.Logger
	token           string // of this process

	writing sync.Mutex // held while the file is written to
	file    hdfs.File  // nil: the next write makes one
	number  int64      // of the last file that is known
	stale   []int64    // files to remove
	rest    []byte     // lines on their way into the file
	begun   int64      // bytes that it began with
	flushed int64      // of ledger.enqueued
	taking  int64      // flushed when rest is
	out     error      // another process has taken the ledger over
}

// mostLedger is how much a file of a ledger grows until the next one is begun.
const mostLedger = 4 << 20

const ledgerSuffix = ".ledger"

func (c *chain) path(number int64) string {
	return path.Join(c.dir, c.name+"."+strconv.FormatInt(number, 10)+ledgerSuffix)
}

// numbers are the files that are there, the highest first.
func (c *chain) numbers(ctx context.Context, files hdfs.FS) ([]int64, error) {
	var all []int64
	for info, err := range files.List(ctx, c.dir) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		text := strings.TrimSuffix(strings.TrimPrefix(info.Name, c.name+"."), ledgerSuffix) // what had neither has no number's name
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && c.path(n) == path.Join(c.dir, info.Name) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all, nil
}

// content takes a file away from whoever writes to it, and reads it.
func (c *chain) content(ctx context.Context, files hdfs.FS, number int64) (string, error) {
	if _, err := files.Recover(ctx, c.path(number)); err != nil {
		return "", err
	}
	r, err := files.Open(ctx, c.path(number), 0)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

// start opens the ledger: it reads what the process before has noted, and returns the files which that one has left.
func (l *ledger) start(ctx context.Context) ([]entry, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	files, err := l.fs(l.root)
	if err != nil {
		return nil, err
	}
	numbers, err := l.numbers(ctx, files)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.reset()
	l.mu.Unlock()
	for _, n := range numbers {
		text, err := l.content(ctx, files, n)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", l.path(n), err)
		}
		l.mu.Lock()
		_, complete, err := l.read(text)
		l.mu.Unlock()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w; who removes it begins anew, and what was under way may come twice", l.path(n), err)
		}
		if complete {
			break
		}
	}
	l.mu.Lock()
	left := l.inherit()
	l.mu.Unlock()
	l.number, l.stale, l.out = 0, numbers, nil
	if len(numbers) > 0 {
		l.number = numbers[0]
	}
	if err := l.turn(ctx); err != nil {
		l.out = nil // the next attempt reads what the other one has written
		return nil, err
	}
	close(l.ready)
	return left, nil
}

// wait returns when the ledger is open.
func (l *ledger) wait(ctx context.Context, most time.Duration) error {
	select {
	case <-l.ready:
		return nil
	default:
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-l.ready:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opening != nil {
		return fmt.Errorf("waiting for what is done: %w", l.opening)
	}
	return errors.New("waiting for what is done: it is not read yet")
}

// sync makes what was enqueued up to that byte safe; those who come at the same time share a flush.
func (l *ledger) sync(ctx context.Context, number int64) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.out != nil {
		return l.out
	}
	if l.flushed >= number {
		return nil
	}
	if l.file == nil || l.file.Size() > l.begun+mostLedger {
		return l.turn(ctx)
	}
	l.mu.Lock()
	l.rest, l.taking, l.lines = append(l.rest, l.lines...), l.enqueued, nil
	l.mu.Unlock()
	err := l.push(ctx)
	if errors.Is(err, hdfs.ErrLost) {
		l.file.Abandon()
		l.file = nil
		return l.turn(ctx)
	}
	if err != nil {
		return fmt.Errorf("writing to %s: %w", l.path(l.number), err)
	}
	l.flushed = l.taking
	return nil
}

// push makes rest safe in the file.
func (c *chain) push(ctx context.Context) error {
	for len(c.rest) > 0 {
		n, err := c.file.Write(ctx, c.rest)
		if c.rest = c.rest[n:]; err != nil {
			return err
		}
	}
	c.rest = nil
	return c.file.Flush(ctx, c.durability)
}

// turn begins the next file of the ledger with all that is known. The lock is held.
func (l *ledger) turn(ctx context.Context) error {
	files, err := l.fs(l.root)
	if err != nil {
		return err
	}
	if l.file != nil { // nothing is written to it any more
		l.file.Abandon()
		l.file = nil
	}
	f, err := files.Create(ctx, l.path(l.number+1), hdfs.CreateOptions{New: true})
	if errors.Is(err, fs.ErrExist) {
		return l.passed(ctx, files)
	}
	if err != nil {
		return fmt.Errorf("beginning %s: %w", l.path(l.number+1), err)
	}
	l.stale = append(l.stale, l.number+1) // until it counts
	l.number++
	l.file = f
	l.mu.Lock()
	l.rest, l.taking, l.lines = l.snapshot(), l.enqueued, nil
	l.begun = int64(len(l.rest))
	forgotten := l.done.Forgotten()
	l.mu.Unlock()
	if forgotten > l.forgotten {
		l.forgotten = forgotten
		l.log.Warn("More gaps are between the positions that are done than there is room for; the oldest are forgotten, and an event that comes again so late comes twice", "ranges", forgotten)
	}
	if err := l.push(ctx); err != nil {
		l.file.Abandon()
		l.file = nil
		return fmt.Errorf("beginning %s: %w", l.path(l.number), err)
	}
	l.flushed = l.taking
	l.stale = l.stale[:len(l.stale)-1]
	for len(l.stale) > 0 {
		last := len(l.stale) - 1
		if err := files.Delete(ctx, l.path(l.stale[last]), false); err != nil {
			break // with the next turn
		}
		l.stale = l.stale[:last]
	}
	l.stale = append(l.stale, l.number)
	return nil
}

// passed looks at a file which is there that this process has not made, or does not know that it has. If nobody's beginning
// is in it, it is passed over, and nobody can write it any more; the caller tries again.
func (l *ledger) passed(ctx context.Context, files hdfs.FS) error {
	text, err := l.content(ctx, files, l.number+1)
	if err != nil {
		return fmt.Errorf("reading %s: %w", l.path(l.number+1), err)
	}
	other := new(ledger)
	token, complete, err := other.read(text)
	if err == nil && complete && token != l.token {
		l.out = fmt.Errorf("another process writes with the ledger %s now; a second agent that writes to this path needs an hdfs.exactlyOnce.name of its own", path.Join(l.dir, l.name))
		l.log.Error("Nothing is written any more", "error", l.out)
		return l.out
	}
	l.stale = append(l.stale, l.number+1)
	l.number++
	return l.turn(ctx)
}

// close ends the ledger's file.
func (l *ledger) close(ctx context.Context) error {
	if l == nil {
		return nil
	}
	select {
	case <-l.ready:
	default:
		return nil
	}
	if err := l.safe(ctx); err != nil {
		return err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.file != nil && l.file.Close(ctx) != nil {
		l.file.Abandon() // all of it is flushed, and the next process takes its lease
	}
	return nil
}

package hdfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/position"
)

// A ledger says which positions of Kafka are in which bytes of which files, for hdfs.exactlyOnce. It lies where the files
// do, and is written before them:
//
//	add, flushed ─▶ the bytes, flushed ─▶ the channel commits          so that every byte in HDFS has its positions
//	end, flushed ─▶ close, truncate, rename ─▶ gone                     so that a renamed file needs no looking into
//
// Each line is an event:
//
//	ledger 1 3f2a…                        the version, and a token of the process
//	done cluster/topic@id/0:0-41,43       what was done when this file of the ledger was begun
//	file 17 lines "hdfs://nn:8020" "/logs/_a.1.tmp" "/logs/a.1" 4096    id, measure, file system, names, bytes that are done
//	begin                                 the end of what was carried over
//	add 17 4096 8192 cluster/topic@id/0:42,44-50    file 17 gets these bytes, and with them these positions
//	name 17 "/logs/a.2"                   another final name
//	end 17 8192                           it has these bytes and no more; what was added beyond them is not in it
//	gone 17                               it has its final name, or there was nothing in it
//
// An add says that the one before it, in the same file, is done: a file has one under way at most. So after a crash each
// file has one add at most of which only its size can tell whether it is done.
type ledger struct {
	chain
	repeated *atomic.Int64
	ready    chan struct{} // closed when it is open

	mu        sync.Mutex
	done      *position.Set
	open      map[int64]*kept
	last      int64         // id
	doubts    *position.Set // of the files that the process before has left; nil: none is
	doubtful  int           // such files
	lines     []byte        // not written yet
	enqueued  int64         // bytes, ever
	forgotten int64         // ranges, as far as the log says
	opening   error         // why it is not open yet
}

// A kept file is one that has not got its final name.
type kept struct {
	entry
	safe int64 // bytes that are done
	next *added
	end  int64 // -1: it is written to
	left bool  // by the process before
}

// added is what was promised to a file.
type added struct {
	to        int64
	positions *position.Set
}

// mostDone bounds the ranges that a ledger remembers, in bytes.
const mostDone = 1 << 20

const ledgerVersion = "1"

var errLedger = errors.New("it is damaged")

func (l *ledger) reset() {
	l.done, l.open, l.last = position.NewSet(mostDone), map[int64]*kept{}, 0
	l.doubts, l.doubtful, l.lines = nil, 0, nil
}

// read takes in a file of the ledger. Complete: its beginning is all there. A last line without its end was being written.
func (l *ledger) read(text string) (token string, complete bool, err error) {
	l.reset()
	for line := range strings.Lines(text) {
		line, whole := strings.CutSuffix(line, "\n")
		if !whole {
			break
		}
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "ledger" && token == "":
			version, t, _ := strings.Cut(rest, " ")
			if token = t; version != ledgerVersion || t == "" {
				return "", false, fmt.Errorf("%w, or of a later version: it begins with %.40q", errLedger, line)
			}
		case token == "":
			return "", false, fmt.Errorf("%w: it begins with %.40q", errLedger, line)
		case line == "begin":
			complete = true
		case !l.take(word, rest):
			return "", false, fmt.Errorf("%w: the line %.100q", errLedger, line)
		}
	}
	return token, complete, nil
}

// take takes in a line; false: it cannot be.
func (l *ledger) take(word, rest string) bool {
	if word == "done" {
		return l.done.UnmarshalText([]byte(rest)) == nil
	}
	number, rest, _ := strings.Cut(rest, " ")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil || id <= 0 {
		return false
	}
	if word == "file" {
		quoted, last, ok := cutLast(rest)
		e, _, sound := decodeLine("open " + number + " " + quoted + "\n")
		safe, err := strconv.ParseInt(last, 10, 64)
		if !ok || !sound || err != nil || safe < 0 || l.open[id] != nil {
			return false
		}
		e.id, e.once = 0, id
		l.open[id] = &kept{entry: e, safe: safe, end: -1, left: true}
		l.last = max(l.last, id)
		return true
	}
	f := l.open[id]
	if f == nil {
		return false
	}
	switch word {
	case "add":
		first, rest, _ := strings.Cut(rest, " ")
		second, text, _ := strings.Cut(rest, " ")
		from, err := strconv.ParseInt(first, 10, 64)
		to, err2 := strconv.ParseInt(second, 10, 64)
		set := new(position.Set)
		if err != nil || err2 != nil || from < 0 || to <= from || f.end >= 0 || set.UnmarshalText([]byte(text)) != nil {
			return false
		}
		if f.next != nil && f.next.to == from {
			l.settle(f, from)
		}
		if from != f.safe {
			return false
		}
		f.next = &added{to, set}
	case "name":
		final, err := strconv.Unquote(rest)
		if err != nil || !strings.HasPrefix(final, "/") {
			return false
		}
		f.final = final
	case "end":
		n, err := strconv.ParseInt(rest, 10, 64)
		if err != nil || n != f.safe && (f.next == nil || n != f.next.to) {
			return false
		}
		l.settle(f, n)
		f.end = n
	case "gone":
		delete(l.open, id)
		return rest == ""
	default:
		return false
	}
	return true
}

func cutLast(s string) (before, last string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// settle notes that so many bytes of a file are in it, and no more for now.
func (l *ledger) settle(f *kept, n int64) {
	if f.next != nil && n >= f.next.to {
		f.safe = f.next.to
		l.done.Merge(f.next.positions)
	}
	f.next = nil
}

// snapshot is what a new file of the ledger begins with.
func (l *ledger) snapshot() []byte {
	b := fmt.Appendf(nil, "ledger %s %s\n", ledgerVersion, l.token)
	if text, _ := l.done.MarshalText(); len(text) > 0 {
		b = fmt.Appendf(b, "done %s\n", text)
	}
	for _, f := range l.files() {
		b = append(b, f.line()...)
		switch {
		case f.end >= 0:
			b = fmt.Appendf(b, "end %d %d\n", f.once, f.end)
		case f.next != nil:
			b = append(b, f.add()...)
		}
	}
	return append(b, "begin\n"...)
}

func (f *kept) line() string {
	return fmt.Sprintf("file %d %s %q %q %q %d\n", f.once, f.measure, f.root, f.inUse, f.final, f.safe)
}

func (f *kept) add() string {
	text, _ := f.next.positions.MarshalText() // a set has no other errors than its text's
	return fmt.Sprintf("add %d %d %d %s\n", f.once, f.safe, f.next.to, text)
}

// files are those that are open, in their order.
func (l *ledger) files() []*kept {
	return slices.SortedFunc(maps.Values(l.open), func(a, b *kept) int { return cmp.Compare(a.once, b.once) })
}

// inherit makes what is open the process before's, and returns it.
func (l *ledger) inherit() []entry {
	var all []entry
	for _, f := range l.files() {
		all = append(all, f.entry)
		if f.next == nil || f.end >= 0 {
			continue
		}
		if l.doubts == nil {
			l.doubts = new(position.Set)
		}
		l.doubts.Merge(f.next.positions)
		l.doubtful++
	}
	return all
}

// write puts a line behind those that wait, and returns what sync needs to make it safe. The lock is held.
func (l *ledger) write(line string) int64 {
	l.lines = append(l.lines, line...)
	l.enqueued += int64(len(line))
	return l.enqueued
}

// begin notes a file that is to be made, and returns its id. It is safe with its first add.
func (l *ledger) begin(e entry) int64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.once = l.last
	f := &kept{entry: e, end: -1}
	l.open[e.once] = f
	l.write(f.line())
	return e.once
}

// add promises bytes to a file, up to this one, and returns when that is safe.
func (l *ledger) add(ctx context.Context, id, to int64, positions *position.Set) error {
	l.mu.Lock()
	f := l.open[id]
	f.next = &added{to, positions}
	number := l.write(f.add())
	l.mu.Unlock()
	return l.sync(ctx, number)
}

// added notes that what was promised is in the file.
func (l *ledger) added(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.open[id]
	l.settle(f, f.next.to)
}

// end notes that a file has these bytes and no more.
func (l *ledger) end(id, bytes int64) {
	if l == nil || id == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.open[id]
	if f.left && f.next != nil && f.end < 0 {
		if l.doubtful--; l.doubtful == 0 {
			l.doubts = nil
		}
	}
	l.settle(f, bytes)
	f.end = bytes
	l.write(fmt.Sprintf("end %d %d\n", id, bytes))
}

// safe returns when all that was noted is safe.
func (l *ledger) safe(ctx context.Context) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	number := l.enqueued
	l.mu.Unlock()
	return l.sync(ctx, number)
}

func (l *ledger) rename(id int64, final string) {
	if l == nil || id == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[id].final = final
	l.write(fmt.Sprintf("name %d %q\n", id, final))
}

// gone notes that there is nothing left to do about a file.
func (l *ledger) gone(id int64) {
	if l == nil || id == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, id)
	l.write(fmt.Sprintf("gone %d\n", id))
}

// of is what is known of a file.
func (l *ledger) of(id int64) kept {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.open[id]; f != nil {
		return *f
	}
	return kept{end: -1}
}

// fresh returns how many events from the first on are repetitions, and how many behind these are new, each with a position
// of its own. The error: nobody knows yet whether the first of them is done.
func (l *ledger) fresh(places []position.Place) (repeated, fresh int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for repeated < len(places) && places[repeated].Known && l.done.Seen(places[repeated].Position) {
		repeated++
	}
	now := new(position.Set)
	for _, p := range places[repeated:] {
		if p.Known {
			if l.done.Seen(p.Position) || now.Seen(p.Position) {
				break
			}
			if f := l.doubt(p.Position); f != nil {
				if fresh == 0 {
					err = fmt.Errorf("whether it is in %s, which was left open, is not known yet", f.inUse)
				}
				break
			}
			now.Add(p.Position)
		}
		fresh++
	}
	l.repeated.Add(int64(repeated))
	return repeated, fresh, err
}

// doubt is the file of the process before that may have a position.
func (l *ledger) doubt(p position.Position) *kept {
	if l.doubts == nil || !l.doubts.Seen(p) {
		return nil
	}
	for _, f := range l.open {
		if f.left && f.end < 0 && f.next != nil && f.next.positions.Seen(p) {
			return f
		}
	}
	return nil
}

// only are the positions of the first events of a batch.
func only(places []position.Place) *position.Set {
	set := new(position.Set)
	for _, p := range places {
		if p.Known {
			set.Add(p.Position)
		}
	}
	return set
}

// cut takes the positions off a batch; without a ledger it is as it was.
func (l *ledger) cut(b flume.Batch) (flume.Batch, []position.Place) {
	if l == nil {
		return b, nil
	}
	return position.Cut(b)
}

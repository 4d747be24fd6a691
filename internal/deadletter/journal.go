package deadletter

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A journal says which letters of a file are settled. Its lines are appended, each synced, and never changed:
//
//	sluice 1 0f3a…            the marker of the file: of another file, nothing in here counts
//	try 0-99,105 5c1d0e2f     these are about to be handed over; then a sum over the line
//	done 0-99,105 7ab0913c    they have been taken, or removed: they are settled
//	back 0-99,105 01c4d2aa    they have been refused, all of them: as if never tried
//
// A last line that is not whole was never reported as written.
type journal struct {
	path   string
	marker [16]byte
	size   int64 // of what counts
	done   set
	tried  set // and not answered: the flow may have them
}

const journalHead = "sluice 1 "

// readJournal reads the journal of a file; one that is not there is empty.
func readJournal(f *file) (*journal, error) {
	j := &journal{path: f.path + doneSuffix, marker: f.marker}
	text, err := os.ReadFile(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which dead letters are settled: %w", err)
	}
	if err := j.parse(text); err != nil {
		return nil, fmt.Errorf("reading which dead letters are settled: %s %w", j.path, err)
	}
	return j, nil
}

func (j *journal) parse(text []byte) error {
	head, rest, whole := bytes.Cut(text, []byte{'\n'})
	if !whole || string(head) != journalHead+hex.EncodeToString(j.marker[:]) {
		if whole && !bytes.HasPrefix(head, []byte(journalHead)) {
			return errors.New("is no such list; move it away if no letters have been replayed")
		}
		return nil // torn at its begin, or of the file that had this name
	}
	j.size = int64(len(head) + 1)
	for len(rest) > 0 {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		if !whole {
			return nil
		}
		if !j.line(string(line)) {
			if len(after) == 0 {
				return nil // a crash has left room in place of it
			}
			return fmt.Errorf("is damaged at byte %d; what it settles behind that is not known", j.size)
		}
		j.size += int64(len(line) + 1)
		rest = after
	}
	return nil
}

func (j *journal) line(text string) bool {
	words := strings.Split(text, " ")
	if len(words) != 3 || words[2] != sum(words[0]+" "+words[1]) {
		return false
	}
	numbers, ok := parseNumbers(words[1])
	if !ok {
		return false
	}
	return j.take(words[0], numbers)
}

func (j *journal) take(what string, numbers []span) bool {
	switch what {
	case "try":
		j.tried.add(numbers)
	case "done":
		j.done.add(numbers)
		j.tried.remove(numbers)
	case "back":
		j.tried.remove(numbers)
	default:
		return false
	}
	return true
}

func sum(text string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text)))
}

// write appends a line and syncs it.
func (j *journal) write(what string, numbers []int) error {
	spans := spansOf(numbers)
	text := what + " " + formatSpans(spans)
	text += " " + sum(text) + "\n"
	if err := j.append(text); err != nil {
		return fmt.Errorf("noting which dead letters are settled: %w", err)
	}
	j.take(what, spans)
	return nil
}

func (j *journal) append(text string) (err error) {
	made := j.size == 0
	if made {
		text = journalHead + hex.EncodeToString(j.marker[:]) + "\n" + text
	}
	f, err := os.OpenFile(j.path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(j.size); err != nil { // what is behind was never whole, or is of another file
		return err
	}
	if _, err := f.WriteAt([]byte(text), j.size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if made {
		if err := errors.Join(keepOwner(j.path), syncDir(filepath.Dir(j.path))); err != nil {
			return err
		}
	}
	j.size += int64(len(text))
	return nil
}

// A span is the numbers from first to last.
type span struct{ first, last int }

func spansOf(numbers []int) []span {
	var out []span
	for _, n := range numbers {
		if k := len(out) - 1; k >= 0 && out[k].last+1 == n {
			out[k].last = n
			continue
		}
		out = append(out, span{n, n})
	}
	return out
}

func formatSpans(spans []span) string {
	var b []byte
	for i, s := range spans {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(s.first), 10)
		if s.last > s.first {
			b = strconv.AppendInt(append(b, '-'), int64(s.last), 10)
		}
	}
	return string(b)
}

// mostNumber bounds what a list can name: no file has as many letters.
const mostNumber = 1 << 28

func parseNumbers(text string) ([]span, bool) {
	var out []span
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 31)
		if err != nil {
			return nil, false
		}
		last, err := strconv.ParseUint(to, 10, 31)
		if err != nil || last < first || last > mostNumber {
			return nil, false
		}
		out = append(out, span{int(first), int(last)})
	}
	return out, true
}

// A set is numbers, a bit for each.
type set struct{ bits []uint64 }

func (s *set) has(n int) bool { return n/64 < len(s.bits) && s.bits[n/64]>>(n%64)&1 == 1 }

func (s *set) count() (n int) {
	for _, b := range s.bits {
		n += bits.OnesCount64(b)
	}
	return n
}

func (s *set) add(more []span) {
	for _, m := range more {
		if need := m.last/64 + 1; need > len(s.bits) {
			s.bits = append(s.bits, make([]uint64, need-len(s.bits))...)
		}
		for n := m.first; n <= m.last; n++ {
			s.bits[n/64] |= 1 << (n % 64)
		}
	}
}

func (s *set) remove(gone []span) {
	for _, g := range gone {
		for n := g.first; n <= g.last && n/64 < len(s.bits); n++ {
			s.bits[n/64] &^= 1 << (n % 64)
		}
	}
}

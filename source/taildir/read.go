package taildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A span is an event in the buffer: its body, and where the next one begins.
type span struct{ from, to, next int }

// ripeness says what is made an event although more may come.
type ripeness int

const (
	unripe     ripeness = iota
	wholeLines          // an event of several lines, up to the last newline
	everything          //
)

const (
	offsetHeader = "byteoffset"
	leastBuffer  = 64 << 10
	usualBuffer  = 1 << 20 // where there is much to read
)

// readAll reads what has grown, and reports whether there is more to do at once.
func (s *source) readAll(ctx context.Context, pending []*stream) (busy bool) {
	for _, st := range pending {
		if ctx.Err() != nil {
			return false
		}
		more, err := s.readOne(ctx, st)
		busy = busy || more
		st.failing = false
		switch {
		case err == nil && st.trouble != nil:
			st.trouble.End()
		case err == nil, ctx.Err() != nil, errors.Is(err, errMoved), errors.Is(err, fs.ErrNotExist):
			// the next look finds out
		case errors.Is(err, errOverwritten):
			s.restart(st, time.Now())
			busy = true
		default:
			s.unread.Add(1)
			st.failing = true
			if st.trouble == nil {
				st.trouble = &supervise.Trouble{Log: s.log.With("file", st.path), Failing: "A file cannot be read", Over: "A file that could not be read is read again"}
			}
			st.trouble.Report(slog.LevelWarn, fmt.Errorf("reading %s: %w", st.path, err), s.settings.pollDelay)
			if st.zipped { // unpacking it again would lead to the same end
				st.settled, st.tried = true, st.size
			}
		}
	}
	if cap(s.buf) > usualBuffer {
		s.buf = make([]byte, leastBuffer) // a long line is gone
	}
	return busy
}

func (s *source) readOne(ctx context.Context, st *stream) (more bool, err error) {
	if err := st.open(); err != nil {
		return false, err
	}
	if ready, err := s.settle(st, time.Now()); !ready {
		return false, err
	}
	return s.drain(ctx, st)
}

// drain reads what was there at the last look, at most maxBatchCount batches of it.
func (s *source) drain(ctx context.Context, st *stream) (more bool, err error) {
	s.reading = st.path
	size, ripe := st.size, s.ripeness(st, time.Now())
	if st.zipped {
		size = math.MaxInt64
	} else if none, err := s.noLine(st); none || err != nil {
		return false, err
	}
	for batches := int64(0); ; {
		n, ended, err := s.fill(st, size)
		if err != nil {
			return false, err
		}
		st.verified = st.changed
		last := ripe
		if !ended {
			last = unripe
		}
		for at := int(st.pos - s.base); ; {
			s.events = s.cut(s.events[:0], s.buf[:n], at, last)
			if len(s.events) == 0 {
				break
			}
			if err := s.offer.Keep(ctx, &found{source: s, of: st, left: s.events}); err != nil {
				return false, err
			}
			at = s.events[len(s.events)-1].next
			if batches++; batches >= s.settings.maxBatchCount && (at < n || !ended) {
				return true, nil
			}
		}
		switch left := n - int(st.pos-s.base); {
		case ended:
			st.tried, st.scanned = s.base+int64(n), st.pos+int64(left)
			if st.zipped {
				st.tried = st.size
			}
			if ripe != unripe {
				st.flushed, st.flushedAs = st.size, ripe
			}
			return false, nil
		case left >= len(s.buf)-printSize: // a line longer than the buffer
			s.buf = make([]byte, min(2*len(s.buf), s.settings.maxLine+printSize+leastBuffer))
		case st.pos >= size:
			return true, nil // it grows as it is read; others come first
		}
	}
}

// ripeness says whether what is no whole event has waited long enough to be made one.
func (s *source) ripeness(st *stream, now time.Time) ripeness {
	still, ripe := now.Sub(st.grown), unripe
	switch {
	case still >= s.settings.idleTimeout:
		ripe = everything
	case s.begin != nil && still >= s.settings.beginTimeout:
		ripe = wholeLines
	}
	if st.flushed == st.size && st.flushedAs >= ripe {
		return unripe
	}
	return ripe
}

// noLine reports that there is no newline in what has come to a long line since it was read last.
func (s *source) noLine(st *stream) (bool, error) {
	if s.begin != nil || st.scanned-st.pos < leastBuffer || st.size-st.pos > int64(s.settings.maxLine) {
		return false, nil
	}
	if err := st.verify(); err != nil {
		return false, err
	}
	for st.scanned < st.size {
		n, err := st.read(s.buf[:min(int64(len(s.buf)), st.size-st.scanned)], st.scanned)
		if err != nil || n == 0 || bytes.IndexByte(s.buf[:n], '\n') >= 0 {
			return false, err
		}
		st.scanned += int64(n)
	}
	if s.ripeness(st, time.Now()) != unripe {
		return false, nil
	}
	st.tried, st.verified = st.size, st.changed
	return true, nil
}

// fill reads from a little before the position on, and sees to it that there still is what was there. ended says that
// it has read to the end.
func (s *source) fill(st *stream, size int64) (n int, ended bool, err error) {
	s.base = max(0, st.pos-printSize)
	if size-s.base > int64(len(s.buf)) && len(s.buf) < usualBuffer {
		s.buf = make([]byte, usualBuffer)
	}
	n, err = st.ReadAt(s.buf, s.base)
	switch {
	case errors.Is(err, io.EOF):
		ended = true
	case st.zipped && errors.Is(err, io.ErrUnexpectedEOF): // it has been said; if it is packed on there is more
		ended = true
	case err != nil:
		return 0, false, err
	}
	at := int(st.pos - s.base)
	if n < at || printOf(s.buf[at-st.tail.n:at]) != st.tail && st.tail.n > 0 {
		return 0, false, errOverwritten
	}
	return n, ended, nil
}

// cut finds the events of data from at on.
func (s *source) cut(events []span, data []byte, at int, ripe ripeness) []span {
	for len(events) < s.most && at < len(data) {
		e, ok := span{}, false
		if s.begin == nil {
			e, ok = s.line(data, at, ripe)
		} else {
			e, ok = s.several(data, at, ripe)
		}
		if !ok {
			break
		}
		events = append(events, e)
		at = e.next
	}
	return events
}

// line is the line that begins at at.
func (s *source) line(data []byte, at int, ripe ripeness) (span, bool) {
	most := s.settings.maxLine
	n := bytes.IndexByte(data[at:min(len(data), at+most+1)], '\n')
	switch {
	case n >= 0:
		return span{at, at + withoutReturn(data[at:at+n]), at + n + 1}, true
	case len(data)-at > most:
		return s.long(at), true
	case ripe == everything:
		return span{at, len(data), len(data)}, true
	}
	return span{}, false
}

// several is the event that begins with the line at at and ends before the next line that begins one.
func (s *source) several(data []byte, at int, ripe ripeness) (span, bool) {
	most := s.settings.maxLine
	end := at // behind the last whole line
	for {
		n := bytes.IndexByte(data[end:], '\n')
		if n < 0 {
			break
		}
		if end > at && s.begins(data[end:end+n]) {
			return span{at, at + withoutReturn(data[at:end-1]), end}, true
		}
		if end += n + 1; end-at > most {
			return s.long(at), true
		}
	}
	switch {
	case len(data)-at > most:
		return s.long(at), true
	case ripe == everything && end < len(data):
		return span{at, len(data), len(data)}, true
	case ripe != unripe && end > at:
		return span{at, at + withoutReturn(data[at:end-1]), end}, true
	}
	return span{}, false
}

// begins reports whether a line is the first of an event. One for which the pattern takes too long is not.
func (s *source) begins(line []byte) bool {
	s.begin.Reset(line[:withoutReturn(line)])
	ok, err := s.begin.Contains()
	if err != nil {
		s.matching.Report(slog.LevelWarn, fmt.Errorf("matching multiline.begin with a line of %s: %w", s.reading, err), 0)
	}
	return ok && err == nil
}

// long is the first part of a line that is too long.
func (s *source) long(at int) span {
	if !s.saidLong {
		s.saidLong = true
		s.log.Warn("A line is longer than maxLineLength; it becomes several events", "file", s.reading, "at", s.base+int64(at), "maxLineLength", s.settings.maxLine)
	}
	return span{at, at + s.settings.maxLine, at + s.settings.maxLine}
}

func withoutReturn(line []byte) int {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return n - 1
	}
	return len(line)
}

// found are the events of the last cut in a stream, as an offer.Kept.
type found struct {
	*source
	of   *stream
	left []span
}

func (f *found) Len() int { return len(f.left) }

func (f *found) Batch(_ context.Context, n int) (flume.Batch, error) {
	return f.batch(f.of, f.left[:n]), nil
}

func (f *found) Taken(n int) {
	f.commit(f.of, f.left[n-1].next)
	f.left = f.left[n:]
}

func (f *found) Position() string {
	return f.of.path + "@" + strconv.FormatInt(f.base+int64(f.left[0].from), 10)
}

// commit moves the position to end, in the buffer, and notes it.
func (s *source) commit(st *stream, end int) {
	pos := s.base + int64(end)
	if st.head.n < printSize { // base is 0 up to now
		st.head = printOf(s.buf[:min(end, printSize)])
	}
	st.tail = printOf(s.buf[max(0, end-printSize):end])
	st.move(pos)
	s.note(st.record(s.settings.groups, false))
}

// batch makes events of what lies in the buffer: bodies are cut from one allocation, headers from another.
func (s *source) batch(st *stream, events []span) flume.Batch {
	size, each := 0, len(st.headers)
	for _, e := range events {
		size += e.to - e.from
	}
	if s.settings.byteOffset {
		each++
	}
	bodies := make([]byte, 0, size)
	headers := make(flume.Headers, 0, each*len(events))
	var digits []byte
	if s.settings.byteOffset {
		digits = make([]byte, 0, 20*len(events))
		for _, e := range events {
			digits = strconv.AppendInt(digits, s.base+int64(e.from), 10)
		}
	}
	offsets := string(digits)
	b := make(flume.Batch, len(events))
	for i, e := range events {
		from := len(bodies)
		bodies = append(bodies, s.buf[e.from:e.to]...)
		b[i].Body = bodies[from:len(bodies):len(bodies)]
		if each == 0 {
			continue
		}
		first := len(headers)
		headers = append(headers, st.headers...)
		if s.settings.byteOffset {
			var own string
			own, offsets = cutDigits(offsets, s.base+int64(e.from))
			headers = append(headers, flume.Header{Key: offsetHeader, Value: own})
		}
		b[i].Headers = headers[first:len(headers):len(headers)]
	}
	return b
}

// cutDigits takes the decimal number n off the front of text.
func cutDigits(text string, n int64) (number, behind string) {
	digits := 1
	for ; n >= 10; n /= 10 {
		digits++
	}
	return text[:digits], text[digits:]
}

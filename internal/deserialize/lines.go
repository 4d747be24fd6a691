package deserialize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
)

// lines are the lines of a text. A line ends with \n; \r stays. A line of maxLine characters or more is cut there, and
// what follows, be it nothing but the newline, is the next event, as in Flume. No character is cut.
type lines struct {
	in      io.ReaderAt
	set     charset.Charset
	wide    bool
	out     charset.Charset
	onError policy
	max     int

	buf      []byte // of the content, from start on
	start    int64
	from, to int // what is left in buf
	ended    bool
	text     []byte  // of the lines of one Read, in UTF-8
	ends     []int   // of each of them
	begins   []int64 // of each of them in the content
	failed   error
}

const lineBuffer = 64 << 10

func newLines(in io.ReaderAt, position int64, s *Settings) (*lines, error) {
	l := &lines{in: in, set: s.inSet, out: s.outSet, onError: s.onError, max: s.maxLine, buf: make([]byte, lineBuffer), start: position}
	if l.set == charset.UTF16 {
		l.set = charset.UTF16BE
		var mark [2]byte
		n, err := in.ReadAt(mark[:], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		switch {
		case n == 2 && mark == [2]byte{0xFF, 0xFE}:
			l.set = charset.UTF16LE
			l.start = max(l.start, 2)
		case n == 2 && mark == [2]byte{0xFE, 0xFF}:
			l.start = max(l.start, 2)
		}
	}
	l.wide = l.set == charset.UTF16BE || l.set == charset.UTF16LE
	return l, nil
}

func (l *lines) Headers() flume.Headers { return nil }

func (l *lines) Position() int64 { return l.start + int64(l.from) }

func (l *lines) Begin(i int) int64 { return beginOf(l.begins, i, l.Position()) }

// fill reads more behind what is left.
func (l *lines) fill() error {
	l.start += int64(l.from)
	l.to = copy(l.buf, l.buf[l.from:l.to])
	l.from = 0
	n, err := l.in.ReadAt(l.buf[l.to:], l.start+int64(l.to))
	l.to += n
	if errors.Is(err, io.EOF) {
		l.ended, err = true, nil
	}
	return err
}

func (l *lines) Read(bodies [][]byte, n int) ([][]byte, error) {
	l.text, l.ends, l.begins = l.text[:0], l.ends[:0], l.begins[:0]
	for l.failed == nil && len(l.ends) < n && len(l.text) < enough {
		was, length := l.Position(), len(l.text)
		found, err := l.line()
		if err != nil { // from the beginning of this line on
			l.failed, l.text = err, l.text[:length]
			l.start, l.from, l.to, l.ended = was, 0, 0, false
		}
		if !found {
			break
		}
		l.ends = append(l.ends, len(l.text))
		l.begins = append(l.begins, was)
	}
	if len(l.ends) == 0 {
		err := l.failed
		if err == nil {
			return bodies, io.EOF
		}
		l.failed = nil
		return bodies, err
	}
	all, from := bytes.Clone(l.text), 0
	for _, to := range l.ends {
		bodies = append(bodies, l.out.Encode(all[from:to:to]))
		from = to
	}
	if cap(l.text) > 4*enough {
		l.text = nil
	}
	return bodies, nil
}

// line appends one line to text. Without an error, false is the end.
func (l *lines) line() (bool, error) {
	if !l.wide {
		if ok, err := l.short(); ok || err != nil {
			return ok, err
		}
	}
	units := 0
	for {
		for l.from < l.to {
			r, n, ok := l.set.First(l.buf[l.from:l.to], l.ended)
			if n == 0 {
				break
			}
			switch {
			case r == '\n' && ok:
				l.from += n
				return true, nil
			case !ok && l.onError == fail:
				return false, fmt.Errorf("at byte %d there are bytes that are not %s: %x; set inputCharset to the encoding of the file, or decodeErrorPolicy to REPLACE or IGNORE", l.Position(), l.name(), l.buf[l.from:l.from+n])
			case !ok && l.onError == ignore:
				l.from += n
				continue
			}
			if units > 0 && units+utf16.RuneLen(r) > l.max {
				return true, nil
			}
			l.text = utf8.AppendRune(l.text, r)
			l.from += n
			if units += utf16.RuneLen(r); units >= l.max {
				return true, nil
			}
		}
		if l.ended {
			return units > 0, nil
		}
		if err := l.fill(); err != nil {
			return false, err
		}
	}
}

// short takes a line off the buffer that is not too long and needs no second look.
func (l *lines) short() (bool, error) {
	n := bytes.IndexByte(l.buf[l.from:l.to], '\n')
	if n < 0 && !l.ended {
		if err := l.fill(); err != nil {
			return false, err
		}
		n = bytes.IndexByte(l.buf[l.from:l.to], '\n')
	}
	if n < 0 || n >= l.max {
		return false, nil
	}
	raw := l.buf[l.from : l.from+n]
	switch l.set {
	case charset.UTF8:
		if !utf8.Valid(raw) {
			return false, nil
		}
	default:
		for _, c := range raw {
			if c >= utf8.RuneSelf {
				return false, nil
			}
		}
	}
	l.text = append(l.text, raw...)
	l.from += n + 1
	return true, nil
}

func (l *lines) name() string {
	switch l.set {
	case charset.ASCII:
		return "US-ASCII"
	case charset.UTF16BE, charset.UTF16LE:
		return "UTF-16"
	default:
		return "UTF-8"
	}
}

package external

import (
	"bytes"
	"errors"
	"time"

	"github.com/sluice-io/sluice/internal/child"
)

// lines cuts what a program prints at its LFs. A line is in buf until the next call.
type lines struct {
	from *child.Output
	most int // bytes of a line without its LF

	buf             []byte
	start, pos, end int  // of the line; where to look for its LF; of what has been read
	skip            bool // what comes up to the next LF belongs to a line that was too long
	number          int  // of the line that next returned
	last            error
}

// errTooLong comes with the beginning of the line.
var errTooLong = errors.New("it is longer than maxLineBytes")

const (
	readSize = 4 << 10
	idleSize = 1 << 20 // a larger buffer is given back when it is empty
)

// next returns the next line and waits for it until then. What stands behind the last LF is a line too.
func (l *lines) next(until time.Time) ([]byte, error) {
	for {
		if at := bytes.IndexByte(l.buf[l.pos:l.end], '\n'); at >= 0 {
			line := l.buf[l.start : l.pos+at]
			l.start = l.pos + at + 1
			l.pos = l.start
			if l.skip {
				l.skip = false
				continue
			}
			l.number++
			if len(line) > l.most {
				return line[:l.most], errTooLong
			}
			return line, nil
		}
		l.pos = l.end
		switch {
		case l.skip:
			l.start = l.end
		case l.end-l.start > l.most:
			l.skip = true
			l.number++
			line := l.buf[l.start : l.start+l.most]
			l.start = l.end
			return line, errTooLong
		case l.last != nil && l.end > l.start:
			line := l.buf[l.start:l.end]
			l.start = l.end
			l.number++
			return line, nil
		}
		if l.last != nil {
			return nil, l.last
		}
		l.room()
		n, err := l.from.Read(l.buf[l.end:], until)
		l.end += n
		if n == 0 && err != nil {
			if isTime(err) && !l.from.Finished() {
				return nil, err // there may be more another time
			}
			l.last = err
		}
	}
}

// ready reports whether there is a line for which nothing has to be read.
func (l *lines) ready() bool {
	return bytes.IndexByte(l.buf[l.pos:l.end], '\n') >= 0
}

// room makes room behind what has been read.
func (l *lines) room() {
	if l.start > 0 {
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.pos -= l.start
		l.start = 0
	}
	if l.end == 0 && len(l.buf) > idleSize {
		l.buf = nil
	}
	if len(l.buf)-l.end < readSize {
		l.buf = append(l.buf, make([]byte, max(len(l.buf), 16*readSize))...)
	}
}

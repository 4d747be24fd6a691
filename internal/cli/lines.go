package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// mostLine is the most bytes of a line; no receiver takes more in one event.
const mostLine = 64 << 20

// lines are cut as Java's readers cut them: at \n, \r or \r\n. Bytes pass unchanged. The last line may lack its end.
type lines struct {
	r    *bufio.Reader
	name string
	n    int  // lines so far
	skip bool // a \n that is next belongs to the \r before
}

func newLines(r io.Reader, name string) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10), name: name}
}

// next returns a line in memory of its own; io.EOF at the end.
func (l *lines) next() ([]byte, error) {
	var line []byte
	for {
		if _, err := l.r.Peek(1); err == io.EOF && line != nil {
			l.n++
			return line, nil
		} else if err == io.EOF {
			return nil, io.EOF
		} else if err != nil {
			return nil, fmt.Errorf("reading %s: %w", l.name, err)
		}
		buf, err := l.r.Peek(l.r.Buffered())
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", l.name, err)
		}
		if l.skip {
			l.skip = false
			if buf[0] == '\n' {
				l.discard(1)
				continue
			}
		}
		at := bytes.IndexAny(buf, "\r\n")
		part := buf
		if at >= 0 {
			part = buf[:at]
		}
		if len(line)+len(part) > mostLine {
			return nil, fmt.Errorf("reading %s: line %d has more than %d bytes", l.name, l.n+1, mostLine)
		}
		line = append(line, part...)
		if at >= 0 {
			l.skip = buf[at] == '\r'
			l.discard(at + 1)
			l.n++
			return line, nil
		}
		l.discard(len(buf))
	}
}

func (l *lines) discard(n int) {
	if _, err := l.r.Discard(n); err != nil {
		panic("BUG: what is in the buffer cannot be discarded")
	}
}

// pending reports whether more has been read already.
func (l *lines) pending() bool { return l.r.Buffered() > 0 }

package child

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	longest = 2000 // bytes of a line that is said
	burst   = 100  // lines that may be said at once
	perLine = 100 * time.Millisecond

	leastTell, mostTell = time.Second, time.Minute // between two times that it is said how many lines are hidden
)

// A filter passes on as many lines as one may say.
type filter struct {
	say    func(line string)
	last   string
	due    time.Time // when all lines so far are paid for, one perLine
	hidden int
	told   time.Time     // when that was said
	wait   time.Duration // until it is said again; zero when all lines were paid for
}

// line is called for each line.
func (f *filter) line(text string) {
	f.last = text
	if f.say == nil {
		return
	}
	now := time.Now()
	if f.due.Before(now) {
		f.due, f.wait = now, 0
	}
	if f.due.Sub(now) > burst*perLine-perLine {
		f.hidden++
		return
	}
	f.due = f.due.Add(perLine)
	if f.hidden > 0 && now.Sub(f.told) >= f.wait {
		f.tell()
		f.told, f.wait = now, min(max(2*f.wait, leastTell), mostTell)
	}
	f.say(text)
}

// tell says how many lines were not.
func (f *filter) tell() {
	if f.hidden > 0 {
		f.say(fmt.Sprintf("(%d lines are not shown)", f.hidden))
		f.hidden = 0
	}
}

// listen reads stderr to its end.
func (p *Child) listen(say func(line string)) {
	f := filter{say: say}
	f.read(p.stderr, func(last string) { p.words.Store(&last) })
	f.tell()
}

// read cuts lines; noted is told the last so far. Of a line that is too long the beginning is kept.
func (f *filter) read(r io.Reader, noted func(last string)) {
	buf := make([]byte, 4096)
	var line []byte
	cut := false
	end := func() {
		text := strings.ToValidUTF8(string(bytes.TrimRight(line, "\r")), "\uFFFD")
		if cut {
			text += "…"
		}
		if text != "" {
			f.line(text)
		}
		line, cut = line[:0], false
	}
	for {
		n, err := r.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			part, behind, ended := bytes.Cut(rest, []byte("\n"))
			room := longest - len(line)
			cut = cut || len(part) > room
			line = append(line, part[:min(len(part), room)]...)
			if ended {
				end()
			}
			rest = behind
		}
		if err != nil {
			end()
		}
		if f.last != "" {
			noted(f.last)
		}
		if err != nil {
			return
		}
	}
}

package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A client is one connection. Its buffer holds what has been read and not yet made an event:
//
//	0 … start … pos … end … len
//	    │       │     └ read up to here
//	    │       └ no newline up to here: units so far
//	    └ the line
type client struct {
	conn     net.Conn
	source   *source
	emit     flume.Emit
	encoding encoding

	buf             []byte
	start, pos, end int
	units           int
	lines           [][]byte // found and not yet emitted; they lie in buf
	gone            bool     // a reply could not be written; what has come is emitted all the same
}

// A connection reads so many bytes at once, at first; then more where a read fills the buffer, up to busySize, and
// beyond that only for a line that is longer.
const (
	readSize = 4 << 10
	busySize = 64 << 10
)

func newClient(conn net.Conn, s *source, emit flume.Emit) *client {
	return &client{conn: conn, source: s, emit: emit, encoding: newEncoding(s.settings.Encoding), buf: make([]byte, readSize)}
}

// errTooLong is a line without a newline within max-line-length.
var errTooLong = errors.New("the line is longer than max-line-length")

// served is run; a panic costs this client its connection only.
func (c *client) served(ctx context.Context) (err error) {
	defer supervise.Recover("serving a client", &err)
	return c.run(ctx)
}

// run serves the client until it leaves or the source ends. The error is what the client did wrong.
func (c *client) run(ctx context.Context) error {
	for {
		n, readErr := c.conn.Read(c.buf[c.end:])
		c.end += n
		bad := c.cut()
		if bad == nil && readErr != nil && !errors.Is(readErr, os.ErrDeadlineExceeded) && !errors.Is(readErr, net.ErrClosed) {
			bad = c.cutLast() // the client has ended, not the source
		}
		c.pass(ctx)
		switch {
		case errors.Is(bad, errTooLong):
			reply := fmt.Sprintf("FAILED: Event exceeds the maximum length (%d chars, including newline)\n", c.source.settings.MaxLine)
			c.write(reply)
			return bad
		case bad != nil:
			return bad
		case readErr != nil:
			return nil // the client has left or is to leave
		}
		c.compact()
	}
}

// cut finds the lines in what has been read.
func (c *client) cut() error {
	most := c.source.settings.MaxLine
	for c.pos < c.end {
		n, units, newline, err := c.encoding.scan(c.buf[c.pos:c.end], most-c.units)
		c.pos += n
		c.units += units
		switch {
		case err != nil:
			return err
		case newline:
			c.lines = append(c.lines, c.buf[c.start:c.pos])
			c.start, c.units = c.pos, 0
		case c.units >= most:
			return errTooLong
		case n == 0: // a part of a character
			return nil
		case c.units == 0:
			c.start = c.pos
		}
	}
	return nil
}

// cutLast takes what follows the last newline for a line.
func (c *client) cutLast() error {
	if c.units > 0 {
		c.lines = append(c.lines, c.buf[c.start:c.pos])
		c.start, c.units = c.pos, 0
	}
	if c.pos < c.end { // a part of a character
		return errMalformed
	}
	return nil
}

// compact makes room for the next read.
func (c *client) compact() {
	full := c.end == len(c.buf)
	n := copy(c.buf, c.buf[c.start:c.end])
	c.pos, c.end, c.start = c.pos-c.start, n, 0
	if n == len(c.buf) || full && len(c.buf) < busySize {
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
}

// pass emits the lines and answers them.
func (c *client) pass(ctx context.Context) {
	defer func() { c.lines = c.lines[:0] }()
	for lines := c.lines; len(lines) > 0; {
		n := min(len(lines), c.source.batch)
		c.offer(ctx, lines[:n])
		lines = lines[n:]
	}
}

// offer emits lines as one batch and writes a reply for each.
func (c *client) offer(ctx context.Context, lines [][]byte) {
	err := c.emit(ctx, c.events(lines))
	switch {
	case err == nil:
		c.source.emitting.Taken()
	case ctx.Err() == nil:
		c.source.emitting.Failed(err, 0)
	}
	if len(lines) == 1 || !errors.Is(err, flume.ErrFull) && !errors.Is(err, flume.ErrTooLarge) {
		c.answer(len(lines), err)
		return
	}
	for i := range lines { // nothing of the batch was taken
		c.offer(ctx, lines[i:i+1])
	}
}

// events makes a batch of lines. The bodies are cut from one allocation.
func (c *client) events(lines [][]byte) flume.Batch {
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	all := make([]byte, 0, size)
	b := make(flume.Batch, len(lines))
	for i, line := range lines {
		from := len(all)
		all = c.encoding.text(all, line)
		if len(all) > from && all[len(all)-1] == '\n' { // the last line of a client may have none
			all = all[:len(all)-1]
		}
		b[i].Body = all[from:len(all):len(all)]
	}
	return b
}

// answer writes the replies to n lines that had the same fate.
func (c *client) answer(n int, err error) {
	switch {
	case err != nil:
		line := "FAILED: " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
		c.write(strings.Repeat(line, n))
	case c.source.settings.Ack:
		c.write(strings.Repeat("OK\n", n))
	}
}

func (c *client) write(reply string) {
	if !c.gone {
		_, err := c.conn.Write(c.encoding.reply(reply))
		c.gone = err != nil
	}
}

// leave ends the connection in such a way that the last reply arrives: closing while the client still sends would take it back.
func (c *client) leave() {
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.conn.SetReadDeadline(time.Now().Add(replyTime))
		_, _ = io.CopyN(io.Discard, c.conn, busySize) // what is beyond that may cost the client its reply
	}
}

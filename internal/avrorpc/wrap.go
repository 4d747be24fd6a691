package avrorpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/klauspost/compress/zlib"

	"github.com/sluice-io/sluice/internal/rpc"
)

// Wrapping says what lies between TCP and the frames of a client's connection.
type Wrapping struct {
	TLS     *tls.Config // nil: plain
	Deflate bool
	Level   int // of compression, 0 to 9
	// Inside compresses first and encrypts then, as Flume up to 1.9 does. Flume 1.10 and later compress what TLS made.
	Inside bool
}

// The first byte that a client sends tells what lies outside.
const (
	firstOfTLS  = 0x16 // a handshake record
	firstOfZlib = 0x78 // deflate with a window of 32 KiB
)

// accept wraps the server's end of a connection.
func accept(ctx context.Context, conn net.Conn, config *tls.Config, deflate bool) (net.Conn, error) {
	if config == nil {
		return newDeflated(conn), nil
	}
	inside := false
	if deflate {
		var first [1]byte
		if _, err := io.ReadFull(conn, first[:]); err != nil {
			return nil, err
		}
		conn = &unread{Conn: conn, first: first[:]}
		switch first[0] {
		case firstOfTLS:
			inside = true
		case firstOfZlib:
			conn = newDeflated(conn)
		default:
			return nil, fmt.Errorf("%w: the peer speaks neither TLS nor deflate (ssl = true, compression-type = deflate), as this end does", errFrame)
		}
	}
	secure, err := rpc.AcceptTLS(ctx, conn, config)
	if err != nil {
		return nil, err
	}
	if inside {
		return newDeflated(secure), nil
	}
	return secure, nil
}

// dial wraps the client's end of a connection.
func (w Wrapping) dial(ctx context.Context, conn net.Conn) (net.Conn, error) {
	deflate := func() error {
		if !w.Deflate {
			return nil
		}
		z, err := zlib.NewWriterLevel(conn, w.Level)
		if err != nil {
			return fmt.Errorf("compressing at level %d: %w", w.Level, err)
		}
		conn = &deflated{Conn: conn, out: z}
		return nil
	}
	if w.TLS == nil {
		return conn, deflate()
	}
	if !w.Inside {
		if err := deflate(); err != nil {
			return nil, err
		}
	}
	secure, err := rpc.DialTLS(ctx, conn, w.TLS)
	if err != nil {
		var noTLS tls.RecordHeaderError
		if errors.As(err, &noTLS) && w.Deflate {
			return nil, fmt.Errorf("%w; does the peer expect compression and TLS in the other order (compress-inside-tls)?", err)
		}
		return nil, err
	}
	conn = secure
	if w.Inside {
		if err := deflate(); err != nil {
			return nil, err
		}
	}
	return conn, nil
}

// unread is a connection of which the first bytes have been looked at.
type unread struct {
	net.Conn
	first []byte
}

func (u *unread) Read(p []byte) (int, error) {
	if len(u.first) > 0 {
		n := copy(p, u.first)
		u.first = u.first[n:]
		return n, nil
	}
	return u.Conn.Read(p)
}

// deflated is a connection that is one zlib stream in each direction, flushed after each Write.
type deflated struct {
	net.Conn
	in  io.Reader // nil before the first Read, which waits for the stream's header
	out interface {
		io.Writer
		Flush() error
	}
}

// newDeflated is the server's end.
func newDeflated(conn net.Conn) *deflated { return &deflated{Conn: conn, out: &stored{to: conn}} }

func (d *deflated) Read(p []byte) (int, error) {
	if d.in == nil {
		in, err := zlib.NewReader(d.Conn)
		if errors.Is(err, zlib.ErrHeader) {
			err = fmt.Errorf("%w: the peer does not compress (compression-type = deflate), as this end does", errFrame)
		}
		if err != nil {
			return 0, ended(err)
		}
		d.in = in
	}
	n, err := d.in.Read(p)
	return n, ended(err)
}

// ended makes a connection that was closed without the end of its stream, as they all are, one that has ended.
func ended(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

func (d *deflated) Write(p []byte) (int, error) {
	n, err := d.out.Write(p)
	if err != nil {
		return n, err
	}
	return n, d.out.Flush()
}

// stored is a zlib stream of stored blocks: a server's answers are a few bytes, for which a compressor of 1 MB on each
// connection would be kept. Each Write is flushed by itself.
type stored struct {
	to    io.Writer
	begun bool
}

func (s *stored) Write(p []byte) (int, error) {
	const most = 0xffff
	out := make([]byte, 0, 2+len(p)+(len(p)/most+2)*5)
	if !s.begun {
		s.begun = true
		out = append(out, firstOfZlib, 0x01)
	}
	for rest := p; ; {
		n := min(len(rest), most)
		// not the last block, stored; its length; the complement of that
		out = append(out, 0, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		out = append(out, rest[:n]...)
		rest = rest[n:]
		if n == 0 { // the empty block that a sync flush ends with
			break
		}
	}
	if _, err := s.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *stored) Flush() error { return nil }

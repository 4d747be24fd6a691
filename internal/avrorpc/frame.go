package avrorpc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	headSize   = 8         // serial and number of buffers
	javaBuffer = 8192      // what a Java peer puts into one buffer at most
	readAhead  = 32 << 10  // what a frame is read through
	firstPiece = 256 << 10 // the most that is allocated on a frame's word alone
)

// errFrame is wrapped by every error about bytes that cannot be a frame.
var errFrame = errors.New("what arrived is no Avro RPC frame")

// A frameReader reads frames. Between frames it holds no buffer, so that an idle connection costs next to nothing.
type frameReader struct {
	from    io.Reader
	max     int64
	buffers *buffers
	begun   func()    // the first byte has come
	moved   func(int) // so many more bytes have come; 0: there is room for them only now
	head    [headSize]byte
	ahead   *bufio.Reader // nil between frames, unless it holds the beginning of the next
}

// next reads a frame into memory of its own, which it takes from l. io.EOF: the peer has closed, between two frames.
func (r *frameReader) next(ctx context.Context, l *loan) (serial int32, payload []byte, err error) {
	if r.ahead == nil {
		n, err := io.ReadAtLeast(r.from, r.head[:], 1)
		if err != nil {
			return 0, nil, err
		}
		r.begun()
		if err := r.room(ctx, l, readAhead); err != nil {
			return 0, nil, err
		}
		r.ahead = r.buffers.get()
		r.ahead.Reset(arrivals{r})
		if _, err := io.ReadFull(r.ahead, r.head[n:]); err != nil {
			return 0, nil, midway(err)
		}
	} else {
		r.begun()
		if err := r.room(ctx, l, readAhead); err != nil {
			return 0, nil, err
		}
		if _, err := io.ReadFull(r.ahead, r.head[:]); err != nil {
			return 0, nil, midway(err)
		}
	}
	serial = int32(binary.BigEndian.Uint32(r.head[:]))
	count := int32(binary.BigEndian.Uint32(r.head[4:]))
	if count < 1 || int64(count) > r.max/4 {
		return 0, nil, fmt.Errorf("%w: %s", errFrame, guess(r.head[:], count))
	}
	payload, err = r.body(ctx, l, int64(count))
	if r.ahead.Buffered() == 0 {
		r.buffers.put(r.ahead)
		r.ahead = nil
	}
	return serial, payload, err
}

// room takes memory from l.
func (r *frameReader) room(ctx context.Context, l *loan, bytes int64) error {
	waited, err := l.grow(ctx, bytes)
	if waited {
		r.moved(0) // the wait was not the peer's
	}
	return err
}

// arrivals is where a frame comes from; it says of each piece that it has come.
type arrivals struct{ *frameReader }

func (a arrivals) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	if n > 0 {
		a.moved(n)
	}
	return n, err
}

// body reads count buffers into one piece of memory. Of a large frame it takes a part first, and then, as long as it
// fills, four times as much, so that a peer's word is trusted for no more, and little is copied.
func (r *frameReader) body(ctx context.Context, l *loan, count int64) ([]byte, error) {
	var payload []byte
	var last int64 // the size of the buffer before
	for left := count; left > 0; left-- {
		var word [4]byte
		if _, err := io.ReadFull(r.ahead, word[:]); err != nil {
			return nil, midway(err)
		}
		n := int64(int32(binary.BigEndian.Uint32(word[:])))
		if n < 0 {
			return nil, fmt.Errorf("%w: a buffer of %d bytes", errFrame, n)
		}
		if n+int64(len(payload))+4*count > r.max {
			return nil, fmt.Errorf("%w: a frame of more than %d bytes", ErrTooLarge, r.max)
		}
		each := int64(javaBuffer) // of those to come
		if n == last {
			each = n
		}
		last = n
		all := min(int64(len(payload))+n+(left-1)*each, r.max)
		l.sizes(all)
		for n > 0 {
			if len(payload) == cap(payload) {
				old := int64(cap(payload))
				size := nextSize(old, all)
				if err := r.room(ctx, l, size); err != nil {
					return nil, err
				}
				next := make([]byte, len(payload), size)
				copy(next, payload)
				payload = next
				if old > 0 {
					l.shrink(old)
				}
			}
			at := len(payload)
			piece := min(n, int64(cap(payload)-at))
			payload = payload[:at+int(piece)]
			if _, err := io.ReadFull(r.ahead, payload[at:]); err != nil {
				return nil, midway(err)
			}
			n -= piece
		}
	}
	return payload, nil
}

// nextSize is how much memory a frame gets after old, which is full, where all is what it will probably have: a fourth
// of all, a fourth of that and so on, so that the last step comes out even. It is half as much again at least, lest a
// frame of buffers that are no guide is copied for each of them.
func nextSize(old, all int64) int64 {
	for all > max(4*old, firstPiece) {
		all = (all + 3) / 4
	}
	return max(all, old+old/2)
}

// ErrTooLarge is wrapped where a frame is beyond the bound that the receiver set.
var ErrTooLarge = errors.New("the frame is too large")

// midway makes the end of a connection within a frame an error.
func midway(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// beginFrame starts the frame of a payload whose length is not known yet; endFrame completes it.
func beginFrame(dst []byte, serial int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(serial))
	dst = binary.BigEndian.AppendUint32(dst, 1)
	return binary.BigEndian.AppendUint32(dst, 0)
}

// endFrame sets the length of the payload, which is everything after beginFrame's bytes.
func endFrame(frame []byte) {
	binary.BigEndian.PutUint32(frame[headSize:], uint32(len(frame)-headSize-4))
}

// guess says what a peer may speak that starts like this.
func guess(head []byte, count int32) string {
	switch {
	case head[0] == 0x16 && head[1] == 3:
		return "the peer speaks TLS (ssl = true), and this end does not"
	case head[0] == 0x78:
		return "the peer compresses (compression-type = deflate), and this end does not"
	case bytes.HasPrefix(head, []byte("GET ")), bytes.HasPrefix(head, []byte("POST")), bytes.HasPrefix(head, []byte("HTTP")):
		return "the peer speaks HTTP"
	}
	return fmt.Sprintf("it has %d buffers", count)
}

// buffers are what frames are read through, shared by the connections of a server. The zero value is ready.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *bufio.Reader {
	if r, ok := b.pool.Get().(*bufio.Reader); ok {
		return r
	}
	return bufio.NewReaderSize(nil, readAhead)
}

func (b *buffers) put(r *bufio.Reader) {
	r.Reset(nil)
	b.pool.Put(r)
}

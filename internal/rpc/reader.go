package rpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
)

const (
	readAhead  = 32 << 10  // what a frame is read through
	firstPiece = 256 << 10 // the most that is allocated on a frame's word alone
)

// A Reader reads the frames of one connection. What it takes for a frame it takes from the loan, which the caller ends
// when the call is over. Between frames it holds no buffer.
//
//	err := r.Begin(ctx, head)                     // waits for as long as the peer likes
//	payload, err := r.Body(ctx, nil, length, all) // once or more often
//	r.End()
type Reader struct {
	from    io.Reader
	loan    *Loan
	buffers *Buffers
	begun   func()        // the first byte has come
	moved   func(int)     // so many more bytes have come; 0: there is room for them only now
	ahead   *bufio.Reader // nil between frames, unless it holds the beginning of the next
}

// NewReader returns the reader of a client's connection. Nobody limits how long a frame takes.
func NewReader(from io.Reader, l *Loan) *Reader {
	return &Reader{from: from, loan: l, buffers: new(Buffers), begun: func() {}, moved: func(int) {}}
}

// Begin reads the first bytes of a frame. io.EOF: the peer has closed, between two frames.
func (r *Reader) Begin(ctx context.Context, head []byte) error {
	n := 0
	if r.ahead == nil {
		var err error
		if n, err = io.ReadAtLeast(r.from, head, 1); err != nil {
			return err
		}
	}
	r.begun()
	if err := r.room(ctx, readAhead); err != nil {
		return err
	}
	if r.ahead == nil {
		r.ahead = r.buffers.get()
		r.ahead.Reset(arrivals{r})
	}
	return r.More(head[n:])
}

// More reads more of what is in front of the body.
func (r *Reader) More(p []byte) error {
	if _, err := io.ReadFull(r.ahead, p); err != nil {
		return midway(err)
	}
	return nil
}

// Body reads n bytes behind those that payload has, where all is what it will probably have in the end. Of a large frame
// it takes a part first, and then, as long as it fills, four times as much, so that a peer's word is trusted for no more,
// and little is copied.
func (r *Reader) Body(ctx context.Context, payload []byte, n, all int64) ([]byte, error) {
	r.loan.sizes(all)
	for n > 0 {
		if len(payload) == cap(payload) {
			old := int64(cap(payload))
			size := nextSize(old, all)
			if err := r.room(ctx, size); err != nil {
				return nil, err
			}
			next := make([]byte, len(payload), size)
			copy(next, payload)
			payload = next
			if old > 0 {
				r.loan.Shrink(old)
			}
		}
		at := len(payload)
		piece := min(n, int64(cap(payload)-at))
		payload = payload[:at+int(piece)]
		if err := r.More(payload[at:]); err != nil {
			return nil, err
		}
		n -= piece
	}
	return payload, nil
}

// End is called when a frame is complete.
func (r *Reader) End() {
	if r.ahead.Buffered() == 0 {
		r.buffers.put(r.ahead)
		r.ahead = nil
	}
}

// room takes memory from the loan.
func (r *Reader) room(ctx context.Context, bytes int64) error {
	waited, err := r.loan.Grow(ctx, bytes)
	if waited {
		r.moved(0) // the wait was not the peer's
	}
	return err
}

// arrivals is where a frame comes from; it says of each piece that it has come.
type arrivals struct{ *Reader }

func (a arrivals) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	if n > 0 {
		a.moved(n)
	}
	return n, err
}

// nextSize is how much memory a frame gets after old, which is full, where all is what it will probably have: a fourth
// of all, a fourth of that and so on, so that the last step comes out even. It is half as much again at least, lest a
// frame of pieces that are no guide is copied for each of them.
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

// Buffers are what frames are read through, shared by the connections of a server. The zero value is ready.
type Buffers struct{ pool sync.Pool }

func (b *Buffers) get() *bufio.Reader {
	if r, ok := b.pool.Get().(*bufio.Reader); ok {
		return r
	}
	return bufio.NewReaderSize(nil, readAhead)
}

func (b *Buffers) put(r *bufio.Reader) {
	r.Reset(nil)
	b.pool.Put(r)
}

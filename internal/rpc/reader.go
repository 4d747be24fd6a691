package rpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
)

const (
	readAhead  = 32 << 10  // the buffer of a frame of many pieces
	firstPiece = 256 << 10 // the most that is allocated on a frame's word alone
)

// A Reader reads the frames of one connection. What it takes for a frame it takes from the loan, which the caller ends
// when the call is over. It never reads beyond a frame, and between frames it holds no memory. Nor does it take any before
// it knows how large the frame is, so that a small one waits behind no large one.
//
//	err := r.Begin(head)                          // waits for as long as the peer likes
//	payload, err := r.Body(ctx, nil, length, all) // once, or
//	err := r.Ahead(ctx, known, all)               // of a frame of many pieces: before the body of each
//	err := r.More(p)                              // and the length of the next behind it
//	r.End()
type Reader struct {
	from    io.Reader
	loan    *Loan
	buffers *Buffers
	begun   func()        // the first byte has come
	moved   func(int)     // so many more bytes have come; 0: there is room for them only now
	ahead   *bufio.Reader // nil: the frame is read without
	known   int64         // how many bytes of the frame may still be read into ahead
}

// NewReader returns the reader of a client's connection. Nobody limits how long a frame takes.
func NewReader(from io.Reader, l *Loan) *Reader {
	return &Reader{from: from, loan: l, buffers: new(Buffers), begun: func() {}, moved: func(int) {}}
}

// Begin reads the first bytes of a frame. io.EOF: the peer has closed, between two frames.
func (r *Reader) Begin(head []byte) error {
	n, err := io.ReadAtLeast(r.from, head, 1)
	if err != nil {
		return err
	}
	r.begun()
	return r.More(head[n:])
}

// More reads more of what is in front of a body.
func (r *Reader) More(p []byte) error {
	var from io.Reader = arrivals{r}
	if r.ahead != nil {
		from = r.ahead
	}
	if _, err := io.ReadFull(from, p); err != nil {
		return midway(err)
	}
	return nil
}

// Ahead lets what follows be read through a buffer. So many of the bytes that follow are known to belong to this frame;
// all is what its body will probably have in the end.
func (r *Reader) Ahead(ctx context.Context, known, all int64) error {
	if r.ahead == nil {
		r.loan.Sizes(all)
		if err := r.room(ctx, readAhead); err != nil {
			return err
		}
		r.ahead = r.buffers.get()
		r.ahead.Reset(frameEnd{r})
	}
	r.known = known - int64(r.ahead.Buffered())
	return nil
}

// Body reads n bytes behind those that payload has, where all is what it will probably have in the end. Of a large frame
// it takes a part first, and then, as long as it fills, four times as much, so that a peer's word is trusted for no more,
// and little is copied.
func (r *Reader) Body(ctx context.Context, payload []byte, n, all int64) ([]byte, error) {
	r.loan.Sizes(all)
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

// End is called when a frame is complete, or never will be.
func (r *Reader) End() {
	if r.ahead != nil {
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

// frameEnd is where a buffer is filled from: no further than the frame is known to go.
type frameEnd struct{ *Reader }

func (f frameEnd) Read(p []byte) (int, error) {
	n, err := arrivals(f).Read(p[:min(int64(len(p)), f.known)])
	f.known -= int64(n)
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

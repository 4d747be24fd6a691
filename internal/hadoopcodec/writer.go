package hadoopcodec

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/sluice-io/sluice/internal/bzip2"
)

// A Pool has what the writers of a codec compress with, while they are within a member. Its methods may be called from
// many goroutines.
type Pool struct {
	codec   Codec
	options Options

	mu   sync.Mutex
	free []coder // at most keep
	keep int
}

// NewPool makes a pool that keeps as many states that nobody uses, which should be the number of goroutines that write.
func NewPool(c Codec, o Options, keep int) *Pool {
	if c == None {
		panic("BUG: a pool for no codec")
	}
	return &Pool{codec: c, options: o, keep: keep}
}

// NewWriter makes a writer to dst.
func (p *Pool) NewWriter(dst io.Writer) *Writer { return &Writer{pool: p, dst: dst} }

// A coder compresses one member after the other.
type coder interface {
	io.Writer
	Flush() error
	finish() error
	reset(dst io.Writer) error // begins a member; io.Discard lets go of the last one
}

func (p *Pool) borrow(dst io.Writer) (coder, error) {
	p.mu.Lock()
	var c coder
	if n := len(p.free); n > 0 {
		c, p.free = p.free[n-1], p.free[:n-1]
	}
	p.mu.Unlock()
	if c == nil {
		var err error
		if c, err = p.make(); err != nil {
			return nil, fmt.Errorf("making an encoder of %s: %w", p.codec, err)
		}
	}
	return c, c.reset(dst)
}

func (p *Pool) giveBack(c coder) {
	if c.reset(io.Discard) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < p.keep {
		p.free = append(p.free, c)
	}
}

func (p *Pool) make() (coder, error) {
	switch p.codec {
	case Default, Deflate, Gzip:
		return newFlateCoder(p.codec == Gzip, p.options.Level)
	case Bzip2:
		return bzip2Coder{bzip2.NewWriter(io.Discard)}, nil
	case Snappy, LZ4:
		return newBlockCoder(p.codec, p.options.Buffer), nil
	case Zstandard:
		w, err := zstd.NewWriter(io.Discard, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(p.options.Level)), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		return zstdCoder{w}, err
	case None:
	}
	panic("BUG: no encoder of " + p.codec.String())
}

// zstdWindow bounds what an encoder holds; a member of a batch is hardly longer.
const zstdWindow = 1 << 20

type bzip2Coder struct{ *bzip2.Writer }

func (c bzip2Coder) Flush() error              { panic("BUG: a bzip2 stream cannot be flushed") }
func (c bzip2Coder) finish() error             { return c.Close() }
func (c bzip2Coder) reset(dst io.Writer) error { c.Reset(dst); return nil }

type zstdCoder struct{ *zstd.Encoder }

func (c zstdCoder) finish() error             { return c.Close() }
func (c zstdCoder) reset(dst io.Writer) error { c.Reset(dst); return nil }

// A Writer compresses into one file. It is used by one goroutine at a time.
type Writer struct {
	pool  *Pool
	dst   io.Writer
	coder coder // nil between members
	err   error // why nothing more can be written before Reset
}

// Write adds to the member that is open, or opens one. What becomes of the bytes is known after Flush and Finish.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil || len(p) == 0 {
		return 0, w.err
	}
	if w.coder == nil {
		c, err := w.pool.borrow(w.dst)
		if err != nil {
			return 0, w.broken(err)
		}
		w.coder = c
	}
	n, err := w.coder.Write(p)
	if err != nil {
		return n, w.broken(err)
	}
	return n, nil
}

// Flush writes out what a reader needs for all that came so far. Where the format has no such place within a member
// ([Codec.Mid]) it is Finish.
func (w *Writer) Flush() error {
	if w.err != nil || w.coder == nil {
		return w.err
	}
	if !w.pool.codec.Mid() {
		return w.Finish()
	}
	if err := w.coder.Flush(); err != nil {
		return w.broken(err)
	}
	return nil
}

// Finish ends the member: all that came so far is written out, the file is whole, and may end or go on with another one.
// Between members the writer holds no state, and Finish does nothing.
func (w *Writer) Finish() error {
	if w.err != nil || w.coder == nil {
		return w.err
	}
	if err := w.coder.finish(); err != nil {
		return w.broken(err)
	}
	w.pool.giveBack(w.coder)
	w.coder = nil
	return nil
}

// Reset forgets an unfinished member and an error, and goes on with dst, which ends where the last member did.
func (w *Writer) Reset(dst io.Writer) {
	if w.coder != nil {
		w.pool.giveBack(w.coder)
	}
	w.dst, w.coder, w.err = dst, nil, nil
}

func (w *Writer) broken(err error) error {
	w.err = fmt.Errorf("compressing with %s: %w", w.pool.codec, err)
	if w.coder != nil {
		w.pool.giveBack(w.coder)
		w.coder = nil
	}
	return w.err
}

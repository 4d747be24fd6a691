package hadoopcodec

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"compress/bzip2"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// ErrTorn is wrapped where a file does not go on as it should: it ends within a member, or what follows is none.
var ErrTorn = errors.New("not a whole member")

// A Reader gives the content of all members of a file. An error is one that wraps ErrTorn, or that of the file below.
type Reader struct {
	in    *source
	codec Codec
	open  bool
	done  error

	member io.Reader // nil before the first one
	zstd   *zstd.Decoder
	blocks blockReader
	whole  int64
}

// NewReader begins at a member's beginning. Close it, as a decoder of Zstandard has memory that goes back then.
func NewReader(c Codec, r io.Reader) *Reader {
	in := &source{in: bufio.NewReader(r)}
	return &Reader{in: in, codec: c, blocks: blockReader{in: in, codec: c}}
}

// Reset begins anew with another file.
func (r *Reader) Reset(in io.Reader) {
	r.in.in.Reset(in)
	r.in.n, r.in.err = 0, nil
	r.open, r.done, r.whole = false, nil, 0
}

// Whole counts the bytes up to the end of the last member whose content was read and is right; of Snappy and LZ4 a member
// is a block. A file that is cut there can be gone on with.
func (r *Reader) Whole() int64 { return r.whole }

// Close lets go of memory; the file below is the caller's.
func (r *Reader) Close() {
	if r.zstd != nil {
		r.zstd.Close()
		r.zstd = nil
	}
	r.done = errors.New("reading from a closed reader")
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	for r.done == nil && len(p) > 0 {
		if !r.open {
			r.done = r.begin()
			r.open = r.done == nil
			continue
		}
		n, err := r.member.Read(p)
		if err == io.EOF {
			r.open = false
			r.done = r.end()
		} else if err != nil {
			r.done = r.torn(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	return 0, r.done
}

// torn says that the member after whole is not one, unless the file below could not be read.
func (r *Reader) torn(err error) error {
	if r.in.err != nil && !errors.Is(r.in.err, io.EOF) {
		return fmt.Errorf("reading what %s has compressed: %w", r.codec, r.in.err)
	}
	return fmt.Errorf("%w: %s at byte %d: %s", ErrTorn, r.codec, r.whole, err.Error())
}

// begin opens the next member; io.EOF if there is none.
func (r *Reader) begin() (err error) {
	if _, err := r.in.in.Peek(1); err != nil {
		if err == io.EOF {
			return io.EOF
		}
		r.in.err = err
		return r.torn(err)
	}
	r.in.begin(r.codec)
	switch r.codec {
	case Default, Deflate:
		if m, ok := r.member.(zlib.Resetter); ok {
			err = m.Reset(r.in, nil)
		} else {
			r.member, err = zlib.NewReader(r.in)
		}
	case Gzip:
		m, ok := r.member.(*gzip.Reader)
		if ok {
			err = m.Reset(r.in)
		} else if m, err = gzip.NewReader(r.in); err == nil {
			r.member = m
		}
		if err == nil {
			m.Multistream(false)
		}
	case Bzip2:
		r.member = bzip2.NewReader(r.in)
	case Snappy, LZ4:
		r.member = &r.blocks
		err = r.blocks.begin()
	case Zstandard:
		if r.zstd == nil {
			r.zstd, err = zstd.NewReader(r.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
			r.member = r.zstd
		} else {
			err = r.zstd.Reset(r.in)
		}
	default:
		panic("BUG: reading with no codec")
	}
	if err != nil {
		return r.torn(err)
	}
	return nil
}

// end counts the member that was read to its end.
func (r *Reader) end() error {
	if !r.in.complete() {
		return r.torn(io.ErrUnexpectedEOF)
	}
	r.whole = r.in.n
	return nil
}

// A source counts what is taken, one byte where a decoder asks for one, and ends where a member does: the decoders of
// bzip2 and Zstandard would read on.
type source struct {
	in  *bufio.Reader
	n   int64
	err error // of the file below

	bzip2 *bzip2End
	zstd  *zstdEnd
	ender
}

// An ender looks at each byte of a member and knows its end.
type ender interface {
	take(b byte)
	ended() bool
}

func (s *source) begin(c Codec) {
	switch c {
	case Bzip2:
		if s.bzip2 == nil {
			s.bzip2 = new(bzip2End)
		}
		*s.bzip2 = bzip2End{}
		s.ender = s.bzip2
	case Zstandard:
		if s.zstd == nil {
			s.zstd = new(zstdEnd)
		}
		*s.zstd = zstdEnd{need: 4}
		s.ender = s.zstd
	case None, Default, Deflate, Gzip, Snappy, LZ4: // their decoders take no more than a member
	}
}

func (s *source) complete() bool { return s.ender == nil || s.ended() }

func (s *source) ReadByte() (byte, error) {
	if s.ender != nil && s.ended() {
		return 0, io.EOF
	}
	b, err := s.in.ReadByte()
	if err != nil {
		s.err = err
		return 0, err
	}
	s.n++
	if s.ender != nil {
		s.take(b)
	}
	return b, nil
}

func (s *source) Read(p []byte) (n int, err error) {
	if s.ender == nil {
		n, err = s.in.Read(p)
		s.n += int64(n)
		if err != nil {
			s.err = err
		}
		return n, err
	}
	for n < len(p) {
		if p[n], err = s.ReadByte(); err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		n++
	}
	return n, nil
}

// A bzip2End knows a stream by its marks, which may begin at any bit: that of a block with the block's CRC, and that of
// the end with the CRC of them all.
type bzip2End struct {
	window uint64 // the last 64 bits
	bits   int64
	all    uint32 // of the blocks so far
	crc    int    // bits until the CRC after a mark is in the window; 0: none is awaited
	last   bool   // that mark was the end's
	end    bool
}

const (
	bzip2BlockMark = 0x314159265359
	bzip2EndMark   = 0x177245385090
	mark48         = 1<<48 - 1
)

func (e *bzip2End) ended() bool { return e.end && e.bits%8 == 0 }

func (e *bzip2End) take(b byte) {
	for i := 7; i >= 0; i-- {
		e.window = e.window<<1 | uint64(b>>i&1)
		e.bits++
		if e.crc > 0 {
			if e.crc--; e.crc > 0 {
				continue
			}
			crc := uint32(e.window)
			if !e.last {
				e.all = (e.all<<1 | e.all>>31) ^ crc
			} else if crc == e.all {
				e.end = true
				e.bits += int64(i) // the rest of this byte is padding
				return
			}
			continue
		}
		if e.bits < 32+48 {
			continue
		}
		switch e.window & mark48 {
		case bzip2BlockMark:
			e.crc, e.last = 32, false
		case bzip2EndMark:
			e.crc, e.last = 32, true
		}
	}
}

// A zstdEnd walks over the headers of a frame.
type zstdEnd struct {
	state zstdState
	need  int // bytes until the state's header is whole
	have  [14]byte
	n     int
	sum   bool
	end   bool
}

type zstdState uint8

const (
	zstdMagic zstdState = iota
	zstdDescriptor
	zstdHeader
	zstdBlock
	zstdData
	zstdLastData
	zstdSum
	zstdSkipSize
)

func (e *zstdEnd) ended() bool { return e.end }

func (e *zstdEnd) take(b byte) {
	if e.n < len(e.have) {
		e.have[e.n] = b
	}
	if e.n++; e.n < e.need {
		return
	}
	e.n = 0
	switch e.state {
	case zstdMagic:
		e.state, e.need = zstdDescriptor, 1
		if binary.LittleEndian.Uint32(e.have[:])&^0xf == 0x184d2a50 {
			e.state, e.need = zstdSkipSize, 4
		}
	case zstdSkipSize:
		e.state, e.need = zstdSum, int(binary.LittleEndian.Uint32(e.have[:]))
		e.end = e.need == 0
	case zstdDescriptor:
		single := b>>5&1 == 1
		e.sum = b>>2&1 == 1
		n := [4]int{0, 1, 2, 4}[b&3] + [4]int{0, 2, 4, 8}[b>>6]
		if b>>6 == 0 && single {
			n++
		}
		if !single {
			n++
		}
		e.state, e.need = zstdHeader, n // at least one: a window or a size
	case zstdHeader:
		e.state, e.need = zstdBlock, 3
	case zstdBlock:
		v := int(e.have[0]) | int(e.have[1])<<8 | int(e.have[2])<<16
		e.state, e.need = zstdData, v>>3
		if v>>1&3 == 1 { // one byte, repeated
			e.need = 1
		}
		if v&1 == 1 {
			e.state = zstdLastData
		}
		if e.need == 0 {
			e.after()
		}
	case zstdData, zstdLastData:
		e.after()
	case zstdSum:
		e.end = true
	}
}

// after goes on behind a block.
func (e *zstdEnd) after() {
	switch {
	case e.state == zstdData:
		e.state, e.need = zstdBlock, 3
	case e.sum:
		e.state, e.need = zstdSum, 4
	default:
		e.end = true
	}
}

// A blockReader reads one block of the framing of Snappy and LZ4.
type blockReader struct {
	in    io.Reader
	codec Codec
	left  int // bytes of the block that are not decompressed yet
	chunk []byte
	out   []byte
	rest  []byte // of out
}

// mostChunk bounds what one chunk may ask for; Hadoop's own are below their buffer's size, 256 kB.
const mostChunk = 64 << 20

func (b *blockReader) begin() error {
	var raw [4]byte
	b.rest = nil
	if _, err := io.ReadFull(b.in, raw[:]); err != nil {
		return err
	}
	b.left = int(binary.BigEndian.Uint32(raw[:]))
	if b.left > 1<<31-1 {
		return fmt.Errorf("a block of %d bytes", b.left)
	}
	return nil
}

func (b *blockReader) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.left == 0 {
			return 0, io.EOF
		}
		if err := b.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next decompresses a chunk.
func (b *blockReader) next() (err error) {
	var size [4]byte
	if _, err := io.ReadFull(b.in, size[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n == 0 || n > mostChunk {
		return fmt.Errorf("a chunk of %d bytes", n)
	}
	if b.chunk, err = readGrowing(b.in, b.chunk[:0], n); err != nil {
		return err
	}
	if b.codec == Snappy {
		if n, err = snappy.DecodedLen(b.chunk); err != nil {
			return err
		}
		if n > b.left || n > mostChunk || n > 64*len(b.chunk) {
			return fmt.Errorf("a chunk of %d bytes in a block that has %d left", n, b.left)
		}
		if b.out, err = snappy.Decode(b.out[:cap(b.out)], b.chunk); err != nil {
			return err
		}
	} else {
		// The bytes of a chunk cannot make more than 255 each.
		if most := min(b.left, 255*len(b.chunk), mostChunk); cap(b.out) < most {
			b.out = make([]byte, most)
		} else {
			b.out = b.out[:most]
		}
		if n, err = lz4.UncompressBlock(b.chunk, b.out); err != nil {
			return err
		}
		b.out = b.out[:n]
	}
	b.left -= len(b.out)
	b.rest = b.out
	return nil
}

// readGrowing reads n bytes, and takes memory for no more than arrive.
func readGrowing(r io.Reader, p []byte, n int) ([]byte, error) {
	for len(p) < n {
		k := min(n-len(p), max(len(p), 32<<10))
		at := len(p)
		if cap(p) < at+k {
			p = append(make([]byte, 0, at+k), p...)
		}
		p = p[:at+k]
		if _, err := io.ReadFull(r, p[at:]); err != nil {
			return p[:at], err
		}
	}
	return p, nil
}

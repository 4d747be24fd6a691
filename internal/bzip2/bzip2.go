package bzip2

import "io"

// A Writer compresses one stream after the other, with blocks of 900 kB. Its memory grows with the largest block it has
// seen, some 10 bytes for each byte, and is kept by Reset.
type Writer struct {
	dst   io.Writer
	err   error
	begun bool
	all   uint32 // the CRC of the stream's blocks

	block  []byte // after the first run-length coding
	crc    uint32 // of what the block stands for
	run    int    // how often last was seen at the end of the input, 0 to 255
	last   byte
	table  [256]uint32 // of the CRC
	bits   bitWriter
	sorter sorter
	coding coding
}

const (
	blockSize = 900_000 - 19 // as bzip2 itself, which leaves room for the end of a run
	maxRun    = 255
)

// NewWriter makes a Writer to dst.
func NewWriter(dst io.Writer) *Writer {
	w := &Writer{table: makeCRCTable()}
	w.Reset(dst)
	return w
}

// Reset forgets the stream that is not closed, and an error, and begins one that goes to dst.
func (w *Writer) Reset(dst io.Writer) {
	w.dst, w.err, w.begun, w.all = dst, nil, false, 0
	w.block, w.crc, w.run = w.block[:0], ^uint32(0), 0
	w.bits.out, w.bits.n, w.bits.hold = w.bits.out[:0], 0, 0
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	for i, b := range p {
		if w.run > 0 && b == w.last && w.run < maxRun {
			w.run++
			continue
		}
		w.endRun()
		if len(w.block) >= blockSize {
			if w.endBlock(); w.err != nil {
				return i, w.err
			}
		}
		w.last, w.run = b, 1
	}
	return len(p), nil
}

// endRun puts a run into the block: up to four bytes, and after four how many more there are.
func (w *Writer) endRun() {
	crc := w.crc
	for i := range w.run {
		crc = crc<<8 ^ w.table[byte(crc>>24)^w.last]
		if i < 4 {
			w.block = append(w.block, w.last)
		}
	}
	if w.run >= 4 {
		w.block = append(w.block, byte(w.run-4))
	}
	w.crc, w.run = crc, 0
}

// Close ends the stream, which has no blocks if nothing was written. The writer is used again after Reset.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	w.endRun()
	if w.endBlock(); w.err != nil {
		return w.err
	}
	w.begin()
	w.bits.write(24, 0x177245)
	w.bits.write(24, 0x385090)
	w.bits.write(32, uint64(w.all))
	if w.bits.n > 0 {
		w.bits.write(8-w.bits.n, 0)
	}
	w.writeOut()
	return w.err
}

func (w *Writer) begin() {
	if !w.begun {
		w.begun = true
		w.bits.out = append(w.bits.out, "BZh9"...)
	}
}

func (w *Writer) writeOut() {
	_, w.err = w.dst.Write(w.bits.out)
	w.bits.out = w.bits.out[:0]
}

func (w *Writer) endBlock() {
	if len(w.block) == 0 {
		return
	}
	w.begin()
	crc := ^w.crc
	w.all = (w.all<<1 | w.all>>31) ^ crc
	w.bits.write(24, 0x314159)
	w.bits.write(24, 0x265359)
	w.bits.write(32, uint64(crc))
	w.bits.write(1, 0) // not randomised

	last, home := w.sorter.rotations(w.coding.last[:0], w.block)
	w.coding.last = last
	w.bits.write(24, uint64(home))
	w.coding.encode(&w.bits)
	w.block, w.crc = w.block[:0], ^uint32(0)
	w.writeOut()
}

// A bitWriter gathers bits, the first one highest.
type bitWriter struct {
	out  []byte
	hold uint64
	n    uint // bits of hold, below 8 between two writes
}

// write adds the low count bits of v, 48 at most.
func (b *bitWriter) write(count uint, v uint64) {
	b.hold = b.hold<<count | v
	b.n += count
	for b.n >= 8 {
		b.n -= 8
		b.out = append(b.out, byte(b.hold>>b.n))
	}
}

// makeCRCTable is of the polynomial of IEEE 802.3, the highest bit first.
func makeCRCTable() (table [256]uint32) {
	for i := range table {
		crc := uint32(i) << 24
		for range 8 {
			if crc>>31 == 1 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}

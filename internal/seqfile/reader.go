package seqfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-io/sluice/internal/hadoopcodec"
)

// ErrTorn is wrapped where a file does not go on as it should: it ends within a record or block, or what follows is none.
var ErrTorn = errors.New("not a whole record")

// ErrNoSequenceFile is wrapped where a file does not begin as a SequenceFile of version 6 does, as far as it goes.
var ErrNoSequenceFile = errors.New("not a SequenceFile of version 6")

// ErrSecondHeader is wrapped where a header follows a record: so Flume appends with hdfs.append.support, and no reader
// reads on there.
var ErrSecondHeader = errors.New("a second header in the file")

// maxBlock bounds what one record or block is believed to hold. A larger one is an error that is not ErrTorn.
const maxBlock = MaxValue + 1<<20

// A Reader reads the records of a file.
type Reader struct {
	in     *bufio.Reader
	header Header
	codec  hadoopcodec.Codec
	n      int64 // bytes taken
	whole  int64 // see Whole
	marked int64 // the end of the last sync entry
	synced int64 // the same, before whole
	done   error

	decoder   *hadoopcodec.Reader // nil with NoCompression
	raw, data []byte
	// of Block
	left               int
	keySizes, keys     []byte
	valueSizes, values []byte
}

// NewReader reads the header. Close the reader. If that ends too early the error wraps ErrTorn.
func NewReader(r io.Reader) (*Reader, error) {
	f := &Reader{in: bufio.NewReaderSize(r, 64<<10)}
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	f.whole = f.n
	if f.header.Compression != NoCompression {
		var err error
		if f.codec, err = hadoopcodec.Find(f.header.CodecClass); err != nil || f.codec == hadoopcodec.None {
			return nil, fmt.Errorf("reading a SequenceFile: its codec is %q, which is none of ours", f.header.CodecClass)
		}
		f.decoder = hadoopcodec.NewReader(f.codec, nil)
	}
	return f, nil
}

// Close lets go of memory; the file below is the caller's.
func (f *Reader) Close() {
	if f.decoder != nil {
		f.decoder.Close()
	}
	f.done = errors.New("reading from a closed reader")
}

// Header is what the file begins with.
func (f *Reader) Header() *Header { return &f.header }

// Whole is the offset behind the last record that was read, or its block, or a sync entry after it.
func (f *Reader) Whole() int64 { return f.whole }

// good makes a boundary of where the reader is.
func (f *Reader) good() { f.whole, f.synced = f.n, f.marked }

// take reads n bytes; they are good until the next call.
func (f *Reader) take(n int) ([]byte, error) {
	var err error
	f.raw, err = f.read(f.raw[:0], n)
	return f.raw, err
}

// read appends n bytes of the file to p, and takes memory for no more than arrive.
func (f *Reader) read(p []byte, n int) ([]byte, error) {
	for n > 0 {
		k := min(n, max(len(p), 64<<10))
		at := len(p)
		if cap(p) < at+k {
			p = append(make([]byte, 0, at+k), p...)
		}
		p = p[:at+k]
		m, err := io.ReadFull(f.in, p[at:])
		f.n += int64(m)
		if err != nil {
			return p, f.torn(err)
		}
		n -= k
	}
	return p, nil
}

func (f *Reader) torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the file ends at byte %d, within what begins at %d", ErrTorn, f.n, f.whole)
	}
	return fmt.Errorf("reading a SequenceFile: %w", err)
}

func (f *Reader) bad(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d, %s", ErrTorn, f.whole, fmt.Sprintf(format, args...))
}

func (f *Reader) vint() (int64, error) {
	p, err := f.take(1)
	if err != nil {
		return 0, err
	}
	first := p[0]
	if p, err = f.take(vintSize(first) - 1); err != nil {
		return 0, err
	}
	return vint(append([]byte{first}, p...)), nil
}

// maxText bounds the texts of a header, and maxPairs its metadata.
const (
	maxText  = 1 << 20
	maxPairs = 1 << 16
)

func (f *Reader) text() (string, error) {
	n, err := f.vint()
	if err != nil {
		return "", err
	}
	if n < 0 || n > maxText {
		return "", fmt.Errorf("%w: a text of %d bytes in its header", ErrNoSequenceFile, n)
	}
	p, err := f.take(int(n))
	return string(p), err
}

func (f *Reader) readHeader() error {
	const magic = "SEQ\x06"
	for i := range len(magic) {
		p, err := f.take(1)
		if err != nil {
			return err
		}
		if p[0] != magic[i] {
			return fmt.Errorf("%w: byte %d is %#x", ErrNoSequenceFile, i, p[0])
		}
	}
	var err error
	if f.header.Key, err = f.text(); err != nil {
		return err
	}
	value, err := f.text()
	if err != nil {
		return err
	}
	f.header.Value = Value(value)
	p, err := f.take(2)
	if err != nil {
		return err
	}
	switch [2]byte(p) {
	case [2]byte{0, 0}:
		f.header.Compression = NoCompression
	case [2]byte{1, 0}:
		f.header.Compression = Record
	case [2]byte{1, 1}:
		f.header.Compression = Block
	default:
		return fmt.Errorf("%w: its marks of compression are %d and %d", ErrNoSequenceFile, p[0], p[1])
	}
	if f.header.Compression != NoCompression {
		if f.header.CodecClass, err = f.text(); err != nil {
			return err
		}
	}
	if p, err = f.take(4); err != nil {
		return err
	}
	pairs := binary.BigEndian.Uint32(p)
	if pairs > maxPairs {
		return fmt.Errorf("%w: %d pairs of metadata in its header", ErrNoSequenceFile, pairs)
	}
	for range pairs {
		var m Pair
		if m.Key, err = f.text(); err != nil {
			return err
		}
		if m.Value, err = f.text(); err != nil {
			return err
		}
		f.header.Metadata = append(f.header.Metadata, m)
	}
	p, err = f.take(syncSize)
	if err == nil {
		f.header.Sync = [syncSize]byte(p)
	}
	return err
}

// Next returns a record, which is good until the next call: the key as it is written, and of a BytesWritable or Text
// what it holds. io.EOF is the end of a whole file.
func (f *Reader) Next() (key, value []byte, err error) {
	if f.done != nil {
		return nil, nil, f.done
	}
	if f.header.Compression == Block {
		key, value, err = f.nextOfBlock()
	} else {
		key, value, err = f.nextRecord()
	}
	f.done = err
	return key, value, err
}

// begin reads the length that a record begins with, or -1 and the marker of a sync entry.
func (f *Reader) begin() (length int32, err error) {
	if _, err := f.in.Peek(1); err != nil {
		if err == io.EOF {
			return 0, io.EOF
		}
		return 0, f.torn(err)
	}
	p, err := f.take(4)
	if err != nil {
		return 0, err
	}
	if string(p) == "SEQ\x06" {
		return 0, fmt.Errorf("%w, at byte %d", ErrSecondHeader, f.whole)
	}
	length = int32(binary.BigEndian.Uint32(p))
	if length != -1 {
		return length, nil
	}
	if p, err = f.take(syncSize); err != nil {
		return 0, err
	}
	if [syncSize]byte(p) != f.header.Sync {
		return 0, f.bad("a sync entry with another marker")
	}
	f.marked = f.n
	return -1, nil
}

func (f *Reader) nextRecord() (key, value []byte, err error) {
	for {
		length, err := f.begin()
		if err != nil {
			return nil, nil, err
		}
		if length == -1 {
			f.good()
			continue
		}
		p, err := f.take(4)
		if err != nil {
			return nil, nil, err
		}
		keyLength := int32(binary.BigEndian.Uint32(p))
		if length < 0 || keyLength < 0 || keyLength > length || f.header.Key == longKey && keyLength != keySize {
			return nil, nil, f.bad("a record of %d bytes with a key of %d", length, keyLength)
		}
		if length > maxBlock {
			return nil, nil, fmt.Errorf("reading a SequenceFile: a record of %d bytes at byte %d", length, f.whole)
		}
		if f.data, err = f.read(f.data[:0], int(keyLength)); err != nil {
			return nil, nil, err
		}
		if f.header.Compression == NoCompression {
			value, err = f.plain(int(length - keyLength))
		} else {
			value, err = f.packed(int(length - keyLength))
		}
		if err != nil {
			return nil, nil, err
		}
		f.good()
		return f.data[:keyLength], value, nil
	}
}

// plain reads a value of n bytes. Its own length is looked at before the rest is read: garbage is found out early.
func (f *Reader) plain(n int) ([]byte, error) {
	p, err := f.take(min(n, 9))
	if err != nil {
		return nil, err
	}
	skip, err := f.inner(p, n)
	if err != nil {
		return nil, err
	}
	if f.raw, err = f.read(f.raw, n-len(p)); err != nil {
		return nil, err
	}
	return f.raw[skip:], nil
}

// inner is how long the length is that a serialised value of n bytes begins with. Of p its beginning is enough.
func (f *Reader) inner(p []byte, n int) (size int, err error) {
	var has int64
	switch f.header.Value {
	case Bytes:
		if size = 4; len(p) >= size {
			has = int64(int32(binary.BigEndian.Uint32(p)))
		}
	case Text:
		if size = 1; len(p) > 0 {
			size = vintSize(p[0])
		}
		if len(p) >= size {
			has = vint(p[:size])
		}
	default:
		return 0, nil
	}
	if len(p) < size || has != int64(n-size) {
		return 0, f.bad("a value of %d bytes that says it has %d", n, has)
	}
	return size, nil
}

func (f *Reader) packed(n int) ([]byte, error) {
	p, err := f.take(n)
	if err != nil {
		return nil, err
	}
	at := len(f.data)
	if f.data, err = f.unpack(f.data, p); err != nil {
		return nil, err
	}
	value := f.data[at:]
	skip, err := f.inner(value, len(value))
	return value[skip:], err
}

// unpack appends what p was before it was compressed.
func (f *Reader) unpack(dst, p []byte) ([]byte, error) {
	r := f.decoder
	r.Reset(bytes.NewReader(p))
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, fmt.Errorf("%w: at byte %d, %w", ErrTorn, f.whole, err)
		}
		if len(dst) > maxBlock {
			return dst, fmt.Errorf("reading a SequenceFile: more than %d bytes in what begins at byte %d", maxBlock, f.whole)
		}
	}
}

func (f *Reader) nextOfBlock() (key, value []byte, err error) {
	for f.left == 0 {
		if err := f.nextBlock(); err != nil {
			return nil, nil, err
		}
	}
	f.left--
	if key, f.keySizes, f.keys, err = cut(f.keySizes, f.keys); err == nil {
		value, f.valueSizes, f.values, err = cut(f.valueSizes, f.values)
	}
	skip := 0
	if err == nil {
		skip, err = f.inner(value, len(value))
	}
	if err != nil {
		panic("BUG: a block that was checked has " + err.Error())
	}
	return key, value[skip:], nil
}

// cut takes the first of items, whose sizes are numbers.
func cut(sizes, items []byte) (item, restSizes, rest []byte, err error) {
	if len(sizes) == 0 || len(sizes) < vintSize(sizes[0]) {
		return nil, nil, nil, errors.New("too few sizes")
	}
	size := vintSize(sizes[0])
	n := vint(sizes[:size])
	if n < 0 || n > int64(len(items)) {
		return nil, nil, nil, errors.New("a size beyond the end")
	}
	return items[:n], sizes[size:], items[n:], nil
}

func (f *Reader) nextBlock() error {
	length, err := f.begin()
	if err != nil {
		return err
	}
	if length != -1 {
		return f.bad("no sync entry before a block")
	}
	if _, err := f.in.Peek(1); err == io.EOF {
		f.good() // a sync entry may end a file
		return io.EOF
	}
	records, err := f.vint()
	if err != nil {
		return err
	}
	if records <= 0 || records > maxBlock {
		return f.bad("a block of %d records", records)
	}
	f.data = f.data[:0]
	var ends [4]int
	for i := range ends {
		n, err := f.vint()
		if err != nil {
			return err
		}
		if n < 0 {
			return f.bad("a part of a block with %d bytes", n)
		}
		if n > maxBlock {
			return fmt.Errorf("reading a SequenceFile: %d bytes in the block at byte %d", n, f.whole)
		}
		p, err := f.take(int(n))
		if err != nil {
			return err
		}
		if f.data, err = f.unpack(f.data, p); err != nil {
			return err
		}
		ends[i] = len(f.data)
	}
	f.keySizes, f.keys = f.data[:ends[0]], f.data[ends[0]:ends[1]]
	f.valueSizes, f.values = f.data[ends[1]:ends[2]], f.data[ends[2]:]
	for i, part := range [...][2][]byte{{f.keySizes, f.keys}, {f.valueSizes, f.values}} {
		sizes, items := part[0], part[1]
		for range records {
			var item []byte
			if item, sizes, items, err = cut(sizes, items); err != nil {
				return f.bad("a block with %s", err.Error())
			}
			if i == 1 {
				if _, err := f.inner(item, len(item)); err != nil {
					return err
				}
			}
		}
		if len(sizes) > 0 || len(items) > 0 {
			return f.bad("a block with more than its records")
		}
	}
	f.left = int(records)
	f.good()
	return nil
}

package seqfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/sluice-io/sluice/internal/hadoopcodec"
)

// A Pool has the buffers that writers of one format use between Append and Flush. Its methods may be called from many
// goroutines.
type Pool struct {
	format Format
	codecs *hadoopcodec.Pool // nil with NoCompression

	mu   sync.Mutex
	free []*buffers
	keep int
}

// keptBuffer is the size from which a buffer is not kept: an exceptional event had to fit in.
const keptBuffer = 4 << 20

// outBuffer is how much is gathered before it is written out within a batch.
const outBuffer = 64 << 10

// buffers are what a writer needs while it has records that are not flushed.
type buffers struct {
	out   []byte // of the file, not written yet
	value []byte // of Record: the value before compression

	// of Block
	records                    int
	keySizes, keys, sizes, all []byte
	packed                     bytes.Buffer
	codec                      *hadoopcodec.Writer // to packed
}

// NewPool makes a pool that keeps as many sets of buffers that nobody uses, which should be the number of goroutines that
// write.
func NewPool(f Format, keep int) (*Pool, error) {
	if f.Value != Bytes && f.Value != Text {
		return nil, fmt.Errorf("the values of a SequenceFile are %s or %s, not %q", Bytes, Text, f.Value)
	}
	if (f.Codec == hadoopcodec.None) != (f.Compression == NoCompression) {
		return nil, fmt.Errorf("a SequenceFile with compression %s and the codec %s", f.Compression, f.Codec)
	}
	if f.SyncInterval <= 0 {
		f.SyncInterval = DefaultSyncInterval
	}
	if f.BlockSize <= 0 {
		f.BlockSize = DefaultBlockSize
	}
	p := &Pool{format: f, keep: keep}
	if f.Codec != hadoopcodec.None {
		p.codecs = hadoopcodec.NewPool(f.Codec, f.Options, keep)
	}
	return p, nil
}

func (p *Pool) borrow() *buffers {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	b := new(buffers)
	if p.codecs != nil {
		b.codec = p.codecs.NewWriter(&b.packed)
	}
	return b
}

func (p *Pool) giveBack(b *buffers) {
	kept := func(buf []byte) []byte {
		if cap(buf) > keptBuffer {
			return nil
		}
		return buf[:0]
	}
	b.out, b.value = kept(b.out), kept(b.value)
	b.records, b.keySizes, b.keys, b.sizes, b.all = 0, kept(b.keySizes), kept(b.keys), kept(b.sizes), kept(b.all)
	if b.packed.Cap() > keptBuffer {
		b.packed = bytes.Buffer{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < p.keep {
		p.free = append(p.free, b)
	}
}

// A Writer writes one file. It is used by one goroutine at a time. What it remembers between Flush and Append are a few
// numbers; all else is the pool's.
type Writer struct {
	pool *Pool
	dst  io.Writer
	sync [syncSize]byte

	size, synced       int64 // as of the last Flush: bytes of the file, and where its last sync entry ends
	position, lastSync int64 // the same with what has come since
	buffers            *buffers
	dirty              bool  // there are records after the last Flush
	err                error // why nothing more can be written before Reset
}

// Create begins a file, which is empty, and writes its header.
func (p *Pool) Create(dst io.Writer) (*Writer, error) {
	h, err := p.format.header()
	if err != nil {
		return nil, err
	}
	w := &Writer{pool: p, dst: dst, sync: h.Sync}
	head := h.append(nil)
	if _, err := dst.Write(head); err != nil {
		return nil, fmt.Errorf("writing the header of a SequenceFile: %w", err)
	}
	w.size = int64(len(head))
	w.position = w.size
	return w, nil
}

// Continue goes on with a file that Scan has looked at and that ends at t.Whole now. It must be of the pool's format.
func (p *Pool) Continue(dst io.Writer, t *Tail) (*Writer, error) {
	if err := t.fits(&p.format); err != nil {
		return nil, err
	}
	return &Writer{pool: p, dst: dst, sync: t.Header.Sync, size: t.Whole, position: t.Whole, synced: t.Synced, lastSync: t.Synced}, nil
}

// Size counts the bytes up to the last Flush that returned nil, and before it those of the header. There all records are
// whole. After an error the file is to be cut to this size before it is gone on with.
func (w *Writer) Size() int64 { return w.size }

// Reset forgets what came after the last Flush, and an error, and goes on with dst, where the file ends at Size.
func (w *Writer) Reset(dst io.Writer) {
	w.dst, w.err = dst, nil
	w.position, w.lastSync, w.dirty = w.size, w.synced, false
	w.release()
}

func (w *Writer) release() {
	if w.buffers == nil {
		return
	}
	if w.buffers.codec != nil {
		w.buffers.packed.Reset()
		w.buffers.codec.Reset(&w.buffers.packed)
	}
	w.pool.giveBack(w.buffers)
	w.buffers = nil
}

// Append adds a record. An error that is ErrTooLarge leaves the file as it was.
func (w *Writer) Append(key int64, value []byte) error {
	if w.err != nil {
		return w.err
	}
	if err := fits(len(value)); err != nil {
		return err
	}
	if w.buffers == nil {
		w.buffers = w.pool.borrow()
	}
	w.dirty = true
	b := w.buffers
	switch w.pool.format.Compression {
	case NoCompression:
		w.checkSync()
		at := len(b.out)
		b.out = append(b.out, 0, 0, 0, 0, 0, 0, 0, keySize)
		b.out = binary.BigEndian.AppendUint64(b.out, uint64(key))
		b.out = w.appendValue(b.out, value)
		binary.BigEndian.PutUint32(b.out[at:], uint32(len(b.out)-at-8))
		w.position += int64(len(b.out) - at)
	case Record:
		b.value = w.appendValue(b.value[:0], value)
		b.packed.Reset()
		if err := w.pack(b.value); err != nil {
			return w.broken(err)
		}
		w.checkSync()
		at := len(b.out)
		b.out = binary.BigEndian.AppendUint32(b.out, uint32(keySize+b.packed.Len()))
		b.out = binary.BigEndian.AppendUint32(b.out, keySize)
		b.out = binary.BigEndian.AppendUint64(b.out, uint64(key))
		b.out = append(b.out, b.packed.Bytes()...)
		w.position += int64(len(b.out) - at)
	case Block:
		b.records++
		b.keySizes = append(b.keySizes, keySize)
		b.keys = binary.BigEndian.AppendUint64(b.keys, uint64(key))
		before := len(b.all)
		b.all = w.appendValue(b.all, value)
		b.sizes = appendVInt(b.sizes, int64(len(b.all)-before))
		if len(b.keys)+len(b.all) >= w.pool.format.BlockSize {
			if err := w.endBlock(); err != nil {
				return w.broken(err)
			}
		}
	}
	if len(b.out) >= outBuffer {
		return w.writeOut()
	}
	return nil
}

func fits(size int) error {
	if size > MaxValue {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	return nil
}

func (w *Writer) appendValue(p, value []byte) []byte {
	if w.pool.format.Value == Text {
		p = appendVInt(p, int64(len(value)))
	} else {
		p = binary.BigEndian.AppendUint32(p, uint32(len(value)))
	}
	return append(p, value...)
}

// checkSync makes a sync entry where one is due before a record.
func (w *Writer) checkSync() {
	if w.position >= w.lastSync+w.pool.format.SyncInterval {
		w.appendSync()
	}
}

func (w *Writer) appendSync() {
	if w.lastSync == w.position {
		return
	}
	w.buffers.out = binary.BigEndian.AppendUint32(w.buffers.out, syncEscape)
	w.buffers.out = append(w.buffers.out, w.sync[:]...)
	w.position += 4 + syncSize
	w.lastSync = w.position
}

// pack adds p, compressed, to what is packed.
func (w *Writer) pack(p []byte) error {
	if _, err := w.buffers.codec.Write(p); err != nil {
		return err
	}
	return w.buffers.codec.Finish()
}

func (w *Writer) endBlock() error {
	b := w.buffers
	if b.records == 0 {
		return nil
	}
	w.appendSync()
	at := len(b.out)
	b.out = appendVInt(b.out, int64(b.records))
	for _, part := range [...]*[]byte{&b.keySizes, &b.keys, &b.sizes, &b.all} {
		b.packed.Reset()
		if err := w.pack(*part); err != nil {
			return err
		}
		b.out = appendVInt(b.out, int64(b.packed.Len()))
		b.out = append(b.out, b.packed.Bytes()...)
		*part = (*part)[:0]
	}
	b.records = 0
	w.position += int64(len(b.out) - at)
	return nil
}

func (w *Writer) writeOut() error {
	if _, err := w.dst.Write(w.buffers.out); err != nil {
		return w.broken(fmt.Errorf("writing records of a SequenceFile: %w", err))
	}
	w.buffers.out = w.buffers.out[:0]
	return nil
}

func (w *Writer) broken(err error) error {
	w.err = err
	w.release()
	return err
}

// Flush ends the block, or writes a sync entry behind the records: they are all in the file then, which is whole and may
// end here.
func (w *Writer) Flush() error {
	if w.err != nil || !w.dirty {
		return w.err
	}
	if w.pool.format.Compression == Block {
		if err := w.endBlock(); err != nil {
			return w.broken(err)
		}
	} else {
		w.appendSync()
	}
	if err := w.writeOut(); err != nil {
		return err
	}
	w.size, w.synced, w.dirty = w.position, w.lastSync, false
	w.release()
	return nil
}

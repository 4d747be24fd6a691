package deadletter

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/flume"
)

// Files lists the files of letters in dir, the oldest first. A dir that is not there has none.
func Files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at the dead letters: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

// A file is one that is read: its letters in their order.
type file struct {
	path   string
	marker [16]byte
	old    bool // its letters have neither attempt nor identity

	r       *bufio.Reader
	close   func() error
	at, end int64 // where r stands; what is behind the end came later
	number  int   // of the next letter
	left    int   // letters in block
	block   []byte
	offset  int64 // of block
	size    int64
}

// errTorn is the end of a file that a crash has cut off, or that somebody is writing: what comes was never reported as
// written, or not yet.
var errTorn = errors.New("the file ends in the middle of a block")

// open opens a file of which at most size bytes, and what is there now, are read.
func open(path string, size int64) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening dead letters: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening dead letters: %w", err), f.Close())
	}
	out, err := begin(f, min(size, info.Size()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the dead letters %s: %w", path, err), f.Close())
	}
	out.path, out.close = path, f.Close
	return out, nil
}

// begin reads the head.
func begin(r io.Reader, size int64) (*file, error) {
	f := &file{r: bufio.NewReaderSize(io.LimitReader(r, size), 64<<10), end: size, size: size}
	magic, err := f.bytes(4)
	if err != nil || string(magic) != "Obj\x01" {
		if errors.Is(err, errTorn) {
			return nil, errTorn
		}
		return nil, errors.New("it is no Avro container")
	}
	meta := map[string]string{}
	for {
		n, err := f.varint()
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		if n < 0 { // the size of the entries follows, which nobody needs
			if _, err := f.varint(); err != nil {
				return nil, err
			}
			n = -n
		}
		for ; n > 0; n-- {
			key, err := f.text()
			if err != nil {
				return nil, err
			}
			if meta[key], err = f.text(); err != nil {
				return nil, err
			}
		}
	}
	marker, err := f.bytes(len(f.marker))
	if err != nil {
		return nil, err
	}
	copy(f.marker[:], marker)
	if codec := meta["avro.codec"]; codec != "" && codec != "null" {
		return nil, fmt.Errorf("it is compressed with %s, so it was not written by Sluice", codec)
	}
	switch meta["avro.schema"] {
	case Schema:
	case schemaOld:
		f.old = true
	default:
		return nil, errors.New("its schema is not that of dead letters, so it was not written by this version of Sluice")
	}
	return f, nil
}

// next reads the next letter and its number. io.EOF: there is none. errTorn: the file ends in the middle of one.
func (f *file) next() (Letter, int, error) {
	for f.left == 0 {
		if err := f.readBlock(); err != nil {
			return Letter{}, 0, err
		}
	}
	d := decoder{b: f.block}
	l := d.letter(f.old)
	if d.bad || f.left == 1 && len(d.b) > 0 {
		return Letter{}, 0, fmt.Errorf("reading the dead letters %s: the block at %d is damaged", f.path, f.offset)
	}
	f.block = d.b
	f.left--
	number := f.number
	f.number++
	if l.ID == "" {
		l.ID = identity(f.marker, number)
	}
	return l, number, nil
}

func (f *file) readBlock() error {
	f.offset = f.at
	if f.at == f.end {
		return io.EOF
	}
	count, err := f.varint()
	if err != nil {
		return err
	}
	size, err := f.varint()
	if err != nil {
		return err
	}
	if count == 0 && size == 0 {
		return errTorn // room that a crash has left
	}
	if count < 1 || size < count || size > f.size {
		return fmt.Errorf("reading the dead letters %s: there is no block at %d", f.path, f.offset)
	}
	if f.block, err = f.bytes(int(size)); err != nil {
		return err
	}
	marker, err := f.bytes(len(f.marker))
	if err != nil {
		return err
	}
	if [16]byte(marker) != f.marker {
		return fmt.Errorf("reading the dead letters %s: the block at %d does not end with the file's marker", f.path, f.offset)
	}
	f.left = int(count)
	return nil
}

func (f *file) bytes(n int) ([]byte, error) {
	if int64(n) > f.end-f.at {
		return nil, errTorn
	}
	out := make([]byte, n)
	if _, err := io.ReadFull(f.r, out); err != nil {
		return nil, noEnd(err)
	}
	f.at += int64(n)
	return out, nil
}

func (f *file) ReadByte() (byte, error) {
	b, err := f.r.ReadByte()
	if err == nil {
		f.at++
	}
	return b, err
}

func (f *file) varint() (int64, error) {
	n, err := binary.ReadVarint(f)
	return n, noEnd(err)
}

func (f *file) text() (string, error) {
	n, err := f.varint()
	if err != nil {
		return "", err
	}
	if n < 0 || n > f.size {
		return "", errors.New("its head is damaged")
	}
	b, err := f.bytes(int(n))
	return string(b), err
}

// noEnd is errTorn where the file has ended too early.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// A decoder cuts letters from a block. bad: they are none.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) letter(old bool) Letter {
	h := d.pairs()
	l := Letter{Headers: h, Body: d.bytes()}
	l.Reason = string(d.bytes())
	l.Component = string(d.bytes())
	l.Agent = string(d.bytes())
	l.Time = time.UnixMilli(d.varint())
	l.Position = string(d.bytes())
	switch d.varint() {
	case 0:
	case 1:
		l.Headers = d.pairs()
	default:
		d.bad = true
	}
	if !old {
		l.Attempt = int(d.varint())
		l.ID = string(d.bytes())
	}
	return l
}

// pairs reads a map of strings, or an array of pairs: their bytes are the same.
func (d *decoder) pairs() flume.Headers {
	var h flume.Headers
	for !d.bad {
		n := d.varint()
		if n == 0 {
			return h
		}
		if n < 0 || n > int64(len(d.b)) {
			d.bad = true
			return nil
		}
		for ; n > 0 && !d.bad; n-- {
			key := string(d.bytes())
			h.Set(key, string(d.bytes()))
		}
	}
	return nil
}

func (d *decoder) varint() int64 {
	n, k := binary.Varint(d.b)
	if k <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[k:]
	return n
}

func (d *decoder) bytes() []byte {
	n := d.varint()
	if d.bad || n < 0 || n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

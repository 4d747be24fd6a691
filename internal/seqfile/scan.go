package seqfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A Tail is where a file ends that may have been left in the middle of a write.
type Tail struct {
	Header  Header
	Whole   int64 // what lies before is whole records and blocks; 0: not even the header is
	Synced  int64 // where the last sync entry ends that lies before Whole; 0: there is none
	Records int64
	Torn    error // why the file does not end at Whole; nil: it does
	Beyond  int64 // where the file's sync marker stands again after Whole, so that this is no torn end but damage; 0: nowhere
}

// Scan reads a file and finds its last good boundary; open gives it from an offset on. The contents are decompressed and
// checked. An error means that nothing is known: the file could not be read, is no SequenceFile, has a second header or
// a codec that is none of ours. A file with Beyond must not be cut.
func Scan(open func(offset int64) (io.ReadCloser, error)) (*Tail, error) {
	in, err := open(0)
	if err != nil {
		return nil, fmt.Errorf("scanning a SequenceFile: %w", err)
	}
	t, err := scan(in)
	if closeErr := in.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("scanning a SequenceFile: %w", closeErr)
	}
	if err != nil || t.Torn == nil || t.Whole == 0 {
		return t, err
	}
	if in, err = open(t.Whole + 1); err != nil {
		return nil, fmt.Errorf("scanning a SequenceFile: %w", err)
	}
	at, err := find(in, binary.BigEndian.AppendUint32(nil, syncEscape), t.Header.Sync[:])
	if closeErr := in.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("scanning a SequenceFile: %w", err)
	}
	if at >= 0 {
		t.Beyond = t.Whole + 1 + at
	}
	return t, nil
}

func scan(in io.Reader) (*Tail, error) {
	f, err := NewReader(in)
	if errors.Is(err, ErrTorn) {
		return &Tail{Torn: err}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for t := (&Tail{Header: f.header}); ; t.Records++ {
		_, _, err := f.Next()
		t.Whole, t.Synced = f.whole, f.synced
		if errors.Is(err, ErrTorn) {
			t.Torn = err
			return t, nil
		}
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// find gives the offset of the first mark in the rest of a file; -1 if there is none.
func find(in io.Reader, parts ...[]byte) (int64, error) {
	mark := slices.Concat(parts...)
	buf := make([]byte, 0, 64<<10)
	for at := int64(0); ; {
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if i := bytes.Index(buf, mark); i >= 0 {
			return at + int64(i), nil
		}
		if keep := len(mark) - 1; len(buf) > keep {
			at += int64(len(buf) - keep)
			buf = buf[:copy(buf, buf[len(buf)-keep:])]
		}
		if err == io.EOF {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (t *Tail) fits(f *Format) error {
	h := &t.Header
	switch {
	case t.Whole == 0:
		return fmt.Errorf("going on with a SequenceFile: %w", t.Torn)
	case t.Beyond != 0:
		return fmt.Errorf("going on with a SequenceFile: %w, and records follow at byte %d", t.Torn, t.Beyond)
	case h.Key != longKey || h.Value != f.Value:
		return fmt.Errorf("going on with a SequenceFile: it has %s and %s, not %s and %s", h.Key, h.Value, longKey, f.Value)
	case h.Compression != f.Compression || h.CodecClass != f.Codec.Class():
		return fmt.Errorf("going on with a SequenceFile: its compression is %s %s, not %s %s", h.Compression, h.CodecClass, f.Compression, f.Codec.Class())
	}
	return nil
}

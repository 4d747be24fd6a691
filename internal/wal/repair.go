package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-io/sluice/internal/vfs"
)

// repair makes the data files sound again, so that this package and Flume can read on over what is broken: a damaged
// record becomes void, after what stands there has been set aside.
func (l *Log) repair(x *found) error {
	return l.mend(x, func(s *fileScan) bool { return len(s.damage) > 0 }, l.voidDamage)
}

// endTorn makes a write that was cut off the end of its file.
func (l *Log) endTorn(x *found) error {
	return l.mend(x, func(s *fileScan) bool { return s.torn != nil || s.cut }, func(w vfs.File, s *fileScan) error {
		_, err := w.WriteAt([]byte{opEnd}, s.end)
		return err
	})
}

func (l *Log) mend(x *found, needs func(*fileScan) bool, do func(vfs.File, *fileScan) error) error {
	for _, s := range x.got.scans {
		if !needs(s) {
			continue
		}
		w, err := l.fsys.OpenWrite(s.file.path)
		if err != nil {
			return fmt.Errorf("repairing a data file: %w", err)
		}
		err = do(w, s)
		if err == nil {
			err = w.Sync()
		}
		if err = errors.Join(err, w.Close()); err != nil {
			return fmt.Errorf("repairing %s: %w", s.file.path, err)
		}
	}
	return nil
}

func (l *Log) voidDamage(w vfs.File, s *fileScan) error {
	for _, b := range s.damage {
		d := s.damageOf(b)
		d.Bytes = make([]byte, min(d.Length, mostDamage))
		n, err := w.ReadAt(d.Bytes, d.Offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		d.Bytes = d.Bytes[:n]
		if l.o.SetAside != nil {
			if err := l.o.SetAside(d); err != nil {
				return fmt.Errorf("setting aside what stands at %d: %w", d.Offset, err)
			}
		}
		if err := blank(w, s.file, b); err != nil {
			return err
		}
		if err := void(w, b); err != nil {
			return err
		}
	}
	return nil
}

// void turns the bytes of a damaged place into one void record. Fewer bytes than a record's framing become zeros,
// which nobody takes for a record either.
func void(w io.WriterAt, b *badRecord) error {
	n := b.next - b.at
	head := make([]byte, min(n, framing))
	if n >= framing {
		binary.BigEndian.PutUint32(head[1:], uint32(n-framing))
	}
	_, err := w.WriteAt(head, b.at)
	return err
}

// blank writes zeros over a damaged place, as far as it is set aside: several records may have been there, and what a
// checkpoint points to in it is void too then. A sound record that reading has passed over stays: a pointer may find it.
func blank(w vfs.File, d *dataFile, b *badRecord) error {
	end := min(b.next, b.at+mostDamage)
	var spans []span
	from := b.at + framing
	s := d.scanner(w, 0)
	for off := from; off < end; off++ {
		if !s.is(off, opRecord) {
			continue
		}
		ok, err := s.likely(off)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		r, err := s.decode(off)
		if err != nil {
			return err
		}
		spans = append(spans, span{from, off})
		from = off + r.size
		off = from - 1
	}
	for _, x := range append(spans, span{from, end}) {
		for x.from < x.to {
			n := min(x.to-x.from, scanBlock)
			if _, err := w.WriteAt(make([]byte, n), x.from); err != nil {
				return err
			}
			x.from += n
		}
	}
	return nil
}

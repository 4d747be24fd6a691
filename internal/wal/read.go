package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sluice-io/sluice/flume"
)

// How much is read at a time: little when events are asked for here and there, more the longer they follow each other.
const (
	leastRead = 32 << 10
	mostRead  = 1 << 20
	// A gap between two events that is read over rather than jumped over.
	gap = 64 << 10
)

// A reader fetches records by pointer. Events lie in the files in the order in which they are taken, nearly: one read
// brings many of them, and what it brings beyond is kept for the next.
type reader struct {
	handles *handles

	mu    sync.Mutex
	file  uint32
	off   int64 // of buf in the file
	buf   []byte
	ahead int // how much the next read brings
}

// A fetched is a record's payload in an arena.
type fetched struct {
	from, to int
	file     *dataFile
	err      error // there is no such record: errVoid or *undecodable
}

// errVoid is why a record that a repair has made void holds no event.
var errVoid = errors.New("a repair has made the record void")

// fetch copies the payloads of the records at ps, whose files are ds, into arena, no more than limit bytes but for the
// first. Those it did not come to are missing at the end of what it returns. The error is one of reading.
func (r *reader) fetch(ps []Pointer, ds []*dataFile, limit int, arena []byte) ([]byte, []fetched, error) {
	out := make([]fetched, 0, len(ps))
	r.mu.Lock()
	defer r.mu.Unlock()
	var h *handle
	var opened *dataFile
	run := 0
	defer func() {
		if h != nil {
			r.handles.release(h)
		}
	}()
	for i, p := range ps {
		d := ds[i]
		if d != opened {
			if h != nil {
				r.handles.release(h)
			}
			var err error
			if h, err = r.handles.acquire(d); err != nil {
				h = nil
				return nil, nil, fmt.Errorf("opening a data file: %w", err)
			}
			opened = d
		}
		if i >= run { // how far pointers follow each other closely
			for run = i + 1; run < len(ps) && ds[run] == d && ps[run] > ps[run-1] && ps[run]-ps[run-1] < gap; run++ {
			}
		}
		want := int(min(ps[run-1].Offset()-p.Offset()+framing, mostRead))
		f := fetched{file: d, from: len(arena)}
		var err error
		arena, err = r.copy(h, d, p.Offset(), want, arena)
		if err != nil {
			if !errors.Is(err, errVoid) && !isUndecodable(err) {
				return nil, nil, fmt.Errorf("reading %s at %d: %w", d.path, p.Offset(), err)
			}
			f.err = err
		}
		if i > 0 && len(arena) > limit {
			return arena[:f.from], out, nil
		}
		f.to = len(arena)
		out = append(out, f)
	}
	return arena, out, nil
}

func isUndecodable(err error) bool {
	var u *undecodable
	return errors.As(err, &u)
}

// copy appends the payload of the record at off. want is how many bytes from there will be asked for soon.
func (r *reader) copy(h *handle, d *dataFile, off int64, want int, arena []byte) ([]byte, error) {
	b, err := r.view(h, d, off, framing, want)
	if err != nil {
		return arena, err
	}
	if len(b) < framing {
		return arena, &undecodable{why: "the file ends there"}
	}
	switch b[0] {
	case opRecord:
	case opNoop:
		return arena, errVoid
	default:
		return arena, &undecodable{why: fmt.Sprintf("the operation byte is 0x%02x", b[0])}
	}
	if d.version == 2 {
		return r.copyV2(h, d, off, arena)
	}
	n := int64(int32(binary.BigEndian.Uint32(b[1:])))
	if n < 0 || off+framing+n > d.written.Load() {
		return arena, &undecodable{why: fmt.Sprintf("its length is %d", n)}
	}
	if int64(len(b)) < framing+n {
		if b, err = r.view(h, d, off, int(framing+n), want); err != nil {
			return arena, err
		}
		if int64(len(b)) < framing+n {
			return arena, &undecodable{why: "the file ends before it does"}
		}
	}
	return append(arena, b[framing:framing+n]...), nil
}

func (r *reader) copyV2(h *handle, d *dataFile, off int64, arena []byte) ([]byte, error) {
	for n := 1 << 12; ; n *= 8 {
		b, err := r.view(h, d, off, n, n)
		if err != nil {
			return arena, err
		}
		rec, err := decodeV2(b)
		switch {
		case err == nil && rec.kind == kindPut:
			return append(arena, rec.event...), nil
		case err == nil:
			return arena, &undecodable{why: "it is a " + rec.kind.String()}
		case !errors.Is(err, errShort):
			return arena, &undecodable{why: err.Error()}
		case len(b) < n:
			return arena, &undecodable{why: "the file ends before it does"}
		}
	}
}

// view returns at least n bytes from off, where the file has them; if it has to read for that, it reads want. Only what
// has been written whole is looked at and kept: beyond it a writer may be at work.
func (r *reader) view(h *handle, d *dataFile, off int64, n, want int) ([]byte, error) {
	i := off - r.off
	if r.file == d.id && i >= 0 && i+int64(n) <= int64(len(r.buf)) {
		return r.buf[i:], nil
	}
	if r.file == d.id && i >= 0 && i <= int64(len(r.buf))+gap {
		r.ahead = min(2*r.ahead, mostRead)
	} else {
		r.ahead = leastRead
	}
	size := min(int64(max(n, want, r.ahead)), d.written.Load()-off)
	if size <= 0 {
		return nil, nil
	}
	if int64(cap(r.buf)) < size {
		r.buf = make([]byte, size)
	}
	r.file = 0
	m, err := h.ReadAt(r.buf[:size], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	r.file, r.off, r.buf = d.id, off, r.buf[:m]
	if cap(r.buf) > 4*mostRead && size <= mostRead {
		r.buf = append([]byte(nil), r.buf...) // one large event need not hold its memory for ever
	}
	return r.buf, nil
}

// forget drops what was read ahead of a data file.
func (r *reader) forget(file uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == file {
		r.file = 0
	}
}

// decode makes events of what fetch has copied; arena is theirs from now on. bad is told of those that are none.
func decode(arena []byte, fs []fetched, bad func(i int, why error)) flume.Batch {
	events := make([][]byte, len(fs))
	n, headers := 0, 0
	for i, f := range fs {
		if f.err != nil {
			bad(i, f.err)
			continue
		}
		b := arena[f.from:f.to]
		if f.file.version == 2 {
			events[i] = b
			n++
			continue
		}
		if f.file.cipher != nil {
			f.file.cipher.apply(b, b)
		}
		rec, err := decodePayload(b)
		if err == nil && rec.kind != kindPut {
			err = fmt.Errorf("it is a %s", rec.kind)
		}
		if err != nil {
			bad(i, err)
			continue
		}
		events[i], headers = rec.event, headers+rec.headers
		n++
	}
	out := make(flume.Batch, 0, n)
	room := make(flume.Headers, 0, headers)
	for i, b := range events {
		if b == nil {
			continue
		}
		var e flume.Event
		if fs[i].file.version == 2 {
			e = decodeEventV2(b)
		} else {
			e, room = decodeEvent(b, room)
		}
		out = append(out, e)
	}
	return out
}

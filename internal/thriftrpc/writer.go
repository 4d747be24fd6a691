package thriftrpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/sluice-io/sluice/flume"
)

// A writer makes one frame. Scribe's answers are Binary in the old style.
type writer struct {
	out      []byte
	protocol Protocol
	old      bool
}

// beginFrame starts a frame in the memory of out.
func (w *writer) beginFrame() { w.out = append(w.out[:0], 0, 0, 0, 0) }

// endFrame sets its length.
func (w *writer) endFrame() []byte {
	binary.BigEndian.PutUint32(w.out, uint32(len(w.out)-4))
	return w.out
}

func (w *writer) head(m message) {
	switch {
	case w.protocol == Compact:
		w.out = append(w.out, 0x82, m.kind<<5|1)
		w.out = binary.AppendUvarint(w.out, uint64(uint32(m.sequence)))
		w.out = appendText(w.out, Compact, m.name)
	case w.old:
		w.out = append(appendText(w.out, Binary, m.name), m.kind)
		w.out = binary.BigEndian.AppendUint32(w.out, uint32(m.sequence))
	default:
		w.out = appendText(append(w.out, 0x80, 1, 0, m.kind), Binary, m.name)
		w.out = binary.BigEndian.AppendUint32(w.out, uint32(m.sequence))
	}
}

// reply writes the answer to a call: a struct of a status in field 0.
func (w *writer) reply(m message, status int32) {
	m.kind = kindReply
	w.head(m)
	if w.protocol == Compact {
		w.out = append(w.out, 5, 0) // i32; no delta, so the id follows
	} else {
		w.out = append(w.out, typeI32, 0, 0)
	}
	w.enum(status)
	w.out = append(w.out, typeStop)
}

// exception writes what went wrong outside of the channel.
func (w *writer) exception(m message, typ int32, text string) {
	m.kind = kindException
	w.head(m)
	if w.protocol == Compact {
		w.out = append(appendText(append(w.out, 1<<4|8), Compact, text), 1<<4|5)
	} else {
		w.out = append(appendText(append(w.out, typeString, 0, 1), Binary, text), typeI32, 0, 2)
	}
	w.enum(typ)
	w.out = append(w.out, typeStop)
}

func (w *writer) enum(v int32) {
	if w.protocol == Compact {
		w.out = binary.AppendVarint(w.out, int64(v)) // zig-zag, as Thrift's
		return
	}
	w.out = binary.BigEndian.AppendUint32(w.out, uint32(v))
}

// event writes a call of append.
func (w *writer) event(sequence int32, e *flume.Event) {
	w.head(message{kindCall, sequence, []byte(appendName)})
	if w.protocol == Compact {
		w.out = append(w.out, 1<<4|12)
	} else {
		w.out = append(w.out, typeStruct, 0, 1)
	}
	w.out = append(appendEvent(w.out, w.protocol, e), typeStop)
}

// events writes a call of appendBatch.
func (w *writer) events(sequence int32, b flume.Batch) {
	w.head(message{kindCall, sequence, []byte(appendBatchName)})
	switch {
	case w.protocol == Binary:
		w.out = append(w.out, typeList, 0, 1, typeStruct)
		w.out = binary.BigEndian.AppendUint32(w.out, uint32(len(b)))
	case len(b) < 15:
		w.out = append(w.out, 1<<4|9, byte(len(b)<<4|12))
	default:
		w.out = binary.AppendUvarint(append(w.out, 1<<4|9, 0xf0|12), uint64(len(b)))
	}
	for i := range b {
		w.out = appendEvent(w.out, w.protocol, &b[i])
	}
	w.out = append(w.out, typeStop)
}

// appendEvent writes a struct ThriftFlumeEvent.
func appendEvent(out []byte, p Protocol, e *flume.Event) []byte {
	if p == Compact {
		out = append(out, 1<<4|11)
		out = binary.AppendUvarint(out, uint64(len(e.Headers)))
		if len(e.Headers) > 0 {
			out = append(out, 8<<4|8)
		}
	} else {
		out = append(out, typeMap, 0, 1, typeString, typeString)
		out = binary.BigEndian.AppendUint32(out, uint32(len(e.Headers)))
	}
	for i := range e.Headers {
		out = appendText(out, p, e.Headers[i].Key)
		out = appendText(out, p, e.Headers[i].Value)
	}
	if p == Compact {
		out = append(out, 1<<4|8)
	} else {
		out = append(out, typeString, 0, 2)
	}
	return append(appendText(out, p, e.Body), typeStop)
}

func appendText[T ~string | ~[]byte](out []byte, p Protocol, text T) []byte {
	if p == Compact {
		out = binary.AppendUvarint(out, uint64(len(text)))
	} else {
		out = binary.BigEndian.AppendUint32(out, uint32(len(text)))
	}
	return append(out, text...)
}

// around is more than what a call has beside its events.
const around = 64

// ErrTooLarge is wrapped where a single event does not fit a call.
var ErrTooLarge = errors.New("the event is too large for one call")

// Fit is how many events at the start of b a call of so many bytes can carry. An error: not even the first.
func Fit(p Protocol, b flume.Batch, most int) (int, error) {
	left := most - around
	for i := range b {
		n := EventLen(p, &b[i])
		if left -= n; left < 0 && i == 0 {
			return 0, fmt.Errorf("%w: it makes a call of %d bytes, where %d are the most", ErrTooLarge, n+around, most)
		} else if left < 0 {
			return i, nil
		}
	}
	return len(b), nil
}

// EventLen is the number of bytes that an event takes in a call.
func EventLen(p Protocol, e *flume.Event) int {
	if p == Binary {
		n := 9 + 7 + len(e.Body) + 1 // heads with numbers, the end
		for i := range e.Headers {
			n += 8 + len(e.Headers[i].Key) + len(e.Headers[i].Value)
		}
		return n
	}
	n := 3 + varintLen(len(e.Headers)) + textLen(len(e.Body))
	if len(e.Headers) > 0 {
		n++
	}
	for i := range e.Headers {
		n += textLen(len(e.Headers[i].Key)) + textLen(len(e.Headers[i].Value))
	}
	return n
}

func textLen(n int) int { return varintLen(n) + n }

func varintLen(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

package kafka

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
)

// mapping copies a header of the record into one of the event.
type mapping struct{ event, record string }

// format is how records become events.
type format struct {
	flume           bool // values are AvroFlumeEvent
	topicHeader     string
	setTopic        bool
	timestampHeader string // empty: only "timestamp"
	mapped          []mapping
	own             int  // how many headers every event gets beside its key's and those that are mapped
	simple          bool // plain values, and no two headers of one name can meet
	positions       bool // every event gets flume.PositionHeader
}

func newFormat(s *Settings, positions bool) format {
	f := format{positions: positions, flume: s.flumeFormat, topicHeader: s.topicHeader, setTopic: s.setTopic, timestampHeader: s.timestampHeader, mapped: s.mapping()}
	names := []string{"timestamp", "partition", "offset"}
	if f.setTopic {
		names = append(names, f.topicHeader)
	}
	if f.timestampHeader != "" {
		names = append(names, f.timestampHeader)
	}
	if f.positions {
		names = append(names, flume.PositionHeader)
	}
	f.own = len(names)
	names = append(names, "key")
	for _, m := range f.mapped {
		names = append(names, m.event)
	}
	slices.Sort(names)
	f.simple = !f.flume && len(slices.Compact(slices.Clone(names))) == len(names)
	return f
}

// A run is what was polled of one partition, in order.
type run struct {
	topic     string
	partition int32
	records   []*kgo.Record
	refused   []bool // written to the dead letters; nil: none
	place     string // the text of its positions, but for the offset; empty: nobody asks for them
}

// length counts the records.
func length(runs []run) int {
	n := 0
	for i := range runs {
		n += len(runs[i].records)
	}
	return n
}

// raw is a record as an event with its value as the body, whatever the format.
func (f *format) raw(r *kgo.Record) flume.Event {
	plain := *f
	plain.flume, plain.simple, plain.positions = false, false, false
	runs := []run{{topic: r.Topic, partition: r.Partition, records: []*kgo.Record{r}}}
	need, _ := plain.survey(runs, 1)
	return plain.batch(runs, 1, need, true)[0]
}

// need is what a batch takes.
type need struct {
	values  event.Tally // of values that are AvroFlumeEvent
	events  int
	headers int // that are made here
	text    int // bytes of their values, or a few more
	bodies  int // bytes of values
}

// A refusal is a record that is no event.
type refusal struct {
	run, record int
	err         error
}

// survey looks at the first n records, those apart that were refused before: what they need, and which are no events.
func (f *format) survey(runs []run, n int) (need, []refusal) {
	var t need
	var refused []refusal
	t.values.Spare = f.own + 1 + len(f.mapped)
	millis := int64(-1)
	for i := range runs {
		r := &runs[i]
		for j, rec := range r.records[:min(n, len(r.records))] {
			if r.refused != nil && r.refused[j] {
				continue
			}
			if f.flume {
				if err := t.values.Value(rec.Value); err != nil {
					refused = append(refused, refusal{i, j, err})
					continue
				}
			}
			t.events++
			t.headers += f.own
			t.text += digits(rec.Offset)
			if f.positions {
				t.text += len(r.place) + digits(rec.Offset)
			}
			if ms := rec.Timestamp.UnixMilli(); ms != millis {
				millis = ms
				t.text += digits(ms)
			}
			if rec.Key != nil {
				t.headers++
				t.text += len(rec.Key)
			}
			t.bodies += len(rec.Value)
			for _, m := range f.mapped {
				if v, ok := last(rec.Headers, m.record); ok {
					t.headers++
					t.text += len(v)
				}
			}
		}
		if n -= len(r.records); n <= 0 {
			break
		}
	}
	return t, refused
}

// refuse marks records that stand in the dead letters. They are passed, and not looked at again.
func refuse(runs []run, refused []refusal) {
	for _, x := range refused {
		r := &runs[x.run]
		if r.refused == nil {
			r.refused = make([]bool, len(r.records))
		}
		r.refused[x.record] = true
	}
}

// digits is the number of bytes of n in decimal, or one or two more.
func digits(n int64) int {
	if n < 0 {
		return 20
	}
	return bits.Len64(uint64(n))*1233>>12 + 1
}

// batch makes events of the first n records, which survey has looked at. Where copied is set bodies are copied out of the buffers that the client
// fetched. The batch takes one allocation for the events, one for their headers, one or two for the headers' text, one
// for copied bodies.
func (f *format) batch(runs []run, n int, t need, copied bool) flume.Batch {
	w := writer{f: f, batch: make(flume.Batch, 0, t.events)}
	w.text.Grow(t.text)
	switch {
	case f.flume:
		w.cut = t.values.Cutter(copied)
	default:
		w.headers = make(flume.Headers, 0, t.headers)
		if copied {
			w.bodies = make([]byte, 0, t.bodies)
		}
	}
	for i := range runs {
		r := &runs[i]
		w.partition, w.place = strconv.Itoa(int(r.partition)), r.place
		for j, rec := range r.records[:min(n, len(r.records))] {
			if r.refused == nil || !r.refused[j] {
				w.add(rec)
			}
		}
		if n -= len(r.records); n <= 0 {
			break
		}
	}
	return w.batch
}

// writer makes one batch.
type writer struct {
	f         *format
	batch     flume.Batch
	headers   flume.Headers   // of all events; not with Flume's format, where cut holds them
	text      strings.Builder // never grows, so that what was cut from it stays
	bodies    []byte          // copies; nil: values stay where they are
	cut       *event.Cutter
	partition string
	place     string

	millis int64 // the timestamp of the record before
	stamp  string
}

func (w *writer) add(r *kgo.Record) {
	if w.cut != nil {
		e, _ := w.cut.Event(r.Value)
		w.decorate(&e.Headers, r)
		w.batch = append(w.batch, e)
		return
	}
	from := len(w.headers)
	h := w.headers[from:from:cap(w.headers)]
	if w.f.simple {
		h = w.plain(h, r)
	} else {
		w.decorate(&h, r)
	}
	w.headers = w.headers[:from+len(h)]
	w.batch = append(w.batch, flume.Event{Headers: h[:len(h):len(h)], Body: w.body(r.Value)})
}

func (w *writer) body(value []byte) []byte {
	switch {
	case len(value) == 0:
		return []byte{} // a tombstone too, as in Flume
	case w.bodies == nil:
		return value[:len(value):len(value)]
	}
	from := len(w.bodies)
	w.bodies = append(w.bodies, value...)
	return w.bodies[from:len(w.bodies):len(w.bodies)]
}

// plain is decorate for headers that cannot meet.
func (w *writer) plain(h flume.Headers, r *kgo.Record) flume.Headers {
	f := w.f
	h = append(h, flume.Header{Key: "timestamp", Value: w.timestamp(r)})
	if f.timestampHeader != "" {
		h = append(h, flume.Header{Key: f.timestampHeader, Value: w.stamp})
	}
	for _, m := range f.mapped {
		if v, ok := last(r.Headers, m.record); ok {
			h = append(h, flume.Header{Key: m.event, Value: w.string(v)})
		}
	}
	if f.setTopic {
		h = append(h, flume.Header{Key: f.topicHeader, Value: r.Topic})
	}
	h = append(h, flume.Header{Key: "partition", Value: w.partition}, flume.Header{Key: "offset", Value: w.number(r.Offset)})
	if r.Key != nil {
		h = append(h, flume.Header{Key: "key", Value: w.string(r.Key)})
	}
	if f.positions {
		h = append(h, flume.Header{Key: flume.PositionHeader, Value: w.position(r.Offset)})
	}
	return h
}

// decorate adds what the record says of itself, in Flume's order and by its rules.
func (w *writer) decorate(h *flume.Headers, r *kgo.Record) {
	f := w.f
	absent(h, "timestamp", w.timestamp(r))
	if f.timestampHeader != "" {
		absent(h, f.timestampHeader, w.stamp)
	}
	for _, m := range f.mapped {
		if v, ok := last(r.Headers, m.record); ok {
			h.Set(m.event, w.string(v))
		}
	}
	if f.setTopic {
		absent(h, f.topicHeader, r.Topic)
	}
	absent(h, "partition", w.partition)
	absent(h, "offset", w.number(r.Offset))
	if r.Key != nil {
		h.Set("key", w.string(r.Key))
	}
	if f.positions {
		h.Set(flume.PositionHeader, w.position(r.Offset)) // over one that the value or a mapping has: it is not this record's
	}
}

func absent(h *flume.Headers, key, value string) {
	if _, ok := h.Get(key); !ok {
		*h = append(*h, flume.Header{Key: key, Value: value})
	}
}

// timestamp is the record's, and leaves it in stamp.
func (w *writer) timestamp(r *kgo.Record) string {
	if ms := r.Timestamp.UnixMilli(); ms != w.millis || w.stamp == "" {
		w.millis, w.stamp = ms, w.number(ms)
	}
	return w.stamp
}

// number, position and string cut from the text of the batch: what a Builder returned is never written again.
func (w *writer) number(n int64) string {
	var text [20]byte
	from := w.text.Len()
	w.text.Write(strconv.AppendInt(text[:0], n, 10))
	return w.text.String()[from:]
}

func (w *writer) position(offset int64) string {
	var text [20]byte
	from := w.text.Len()
	w.text.WriteString(w.place)
	w.text.Write(strconv.AppendInt(text[:0], offset, 10))
	return w.text.String()[from:]
}

func (w *writer) string(b []byte) string {
	from := w.text.Len()
	w.text.Write(b)
	return w.text.String()[from:]
}

// last finds the value of the last header of that name; a header without a value counts as empty.
func last(headers []kgo.RecordHeader, name string) ([]byte, bool) {
	for i := len(headers) - 1; i >= 0; i-- {
		if headers[i].Key == name {
			return headers[i].Value, true
		}
	}
	return nil, false
}

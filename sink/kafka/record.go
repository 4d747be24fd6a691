package kafka

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/kafka"
)

// mapping sends a header of the event as one of the record.
type mapping struct{ event, record string }

// form is how events become records. Its buffers are used again for the next batch: what was made of one batch is good
// until the next is made.
type form struct {
	place           kafka.Place
	value           kafka.Value
	topicHeader     string // empty: no header names the topic
	topic           string // where template is nil
	template        *escape.Template
	timestampHeader string
	mapped          []mapping
	log             *slog.Logger

	records  []kgo.Record
	headers  []kgo.RecordHeader
	bytes    []byte // keys, header values and values that are made here
	scratch  []byte
	valid    string // the topic that was checked last
	expanded string // the topic that the template gave last
	warned   time.Time
}

func newForm(s *Settings, host escape.Host, log *slog.Logger) *form {
	f := &form{
		place: kafka.Place{Partition: int32(s.partition), Header: s.partitionHeader}, value: kafka.Value{Flume: s.flumeFormat},
		timestampHeader: s.timestampHeader, log: log,
	}
	if s.override {
		f.topicHeader = s.topicHeader
	}
	var fixed bool
	if f.topic, fixed = s.fixedTopic(); !fixed {
		s.template.Resolve(host)
		if f.topic, fixed = s.template.Constant(); !fixed {
			f.template = s.template
		}
	}
	for _, v := range s.mapped {
		f.mapped = append(f.mapped, mapping{event: v.Key, record: v.Text})
	}
	return f
}

// reset gives the buffers up, where the client may still hold what was made last.
func (f *form) reset() { f.records, f.headers, f.bytes = nil, nil, nil }

// done lets go of what was made last and keeps the room.
func (f *form) done() {
	clear(f.records)
	clear(f.headers)
}

// make makes the records of a batch, one for each event in its order. Those of rejected events are not to be sent.
func (f *form) make(b flume.Batch, now time.Time) ([]kgo.Record, []flume.Rejected) {
	bytes, headers := f.need(b)
	f.records = room(f.records, len(b))[:len(b)]
	f.headers = room(f.headers, headers)
	f.bytes = room(f.bytes, bytes)
	var rejected []flume.Rejected
	for i := range b {
		if err := f.fill(&f.records[i], &b[i], now); err != nil {
			rejected = append(rejected, flume.Rejected{Index: i, Err: err})
		}
	}
	return f.records, rejected
}

func room[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, 0, n)
	}
	return s[:0]
}

// need counts what the batch takes, so that no buffer grows while records hold parts of it.
func (f *form) need(b flume.Batch) (bytes, headers int) {
	for i := range b {
		e := &b[i]
		bytes += f.value.Len(e)
		for _, m := range f.mapped {
			if v, ok := e.Headers.Get(m.event); ok {
				bytes += len(v)
				headers++
			}
		}
	}
	return bytes, headers
}

// fill makes one record. The error is one that no repetition cures.
func (f *form) fill(r *kgo.Record, e *flume.Event, now time.Time) error {
	*r = kgo.Record{Timestamp: now}
	topic, err := f.topicOf(e, now)
	if err != nil {
		return err
	}
	r.Topic = topic
	if err := f.place.Put(r, e); err != nil {
		return err
	}
	if f.timestampHeader != "" {
		if err := f.stamp(r, e); err != nil {
			return err
		}
	}
	f.bytes = f.value.Append(f.bytes, r, e)
	from := len(f.headers)
	for _, m := range f.mapped {
		if v, ok := e.Headers.Get(m.event); ok {
			f.headers = append(f.headers, kgo.RecordHeader{Key: m.record, Value: f.copy(v)})
		}
	}
	r.Headers = f.headers[from:len(f.headers):len(f.headers)]
	return nil
}

// copy returns bytes that are not nil: a value that is empty is still a value.
func (f *form) copy(s string) []byte {
	var out []byte
	f.bytes, out = kafka.Copy(f.bytes, s)
	return out
}

func (f *form) topicOf(e *flume.Event, now time.Time) (string, error) {
	topic, named := "", false
	if f.topicHeader != "" {
		topic, named = e.Headers.Get(f.topicHeader)
	}
	switch {
	case named:
	case f.template == nil:
		return f.topic, nil // Check has seen it
	default:
		var err error
		if f.scratch, err = f.template.Append(f.scratch[:0], e.Headers, now); err != nil {
			return "", fmt.Errorf("choosing a topic: %w", err)
		}
		if string(f.scratch) != f.expanded {
			f.expanded = string(f.scratch)
		}
		topic = f.expanded
	}
	if topic != f.valid {
		if err := kafka.CheckTopic(topic); err != nil {
			return "", fmt.Errorf("choosing a topic: %w", err)
		}
		f.valid = topic
	}
	return topic, nil
}

// stamp takes the record's timestamp from its header. What is no number is warned of and not taken, as in Flume.
func (f *form) stamp(r *kgo.Record, e *flume.Event) error {
	v, ok := e.Headers.Get(f.timestampHeader)
	if !ok {
		return nil
	}
	ms, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil:
		if time.Since(f.warned) > time.Minute {
			f.warned = time.Now()
			f.log.Warn("timestampHeader holds no number of milliseconds; the record gets the time of sending", "header", f.timestampHeader, "value", v)
		}
		return nil
	case ms < 0 || ms > math.MaxInt64/int64(time.Millisecond):
		return fmt.Errorf("taking the timestamp: header %q is %d, which no record can have", f.timestampHeader, ms)
	}
	r.Timestamp = time.UnixMilli(ms)
	return nil
}

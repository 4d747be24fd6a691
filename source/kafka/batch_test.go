package kafka

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
)

// formatOf binds settings, given as key, value, key, value.
func formatOf(t testing.TB, pairs ...string) *format {
	t.Helper()
	var s Settings
	if _, problems := conf.Bind(&s, section(t, append([]string{"kafka.bootstrap.servers", "b:9092", "kafka.topics", "t"}, pairs...)...)); problems.Fatal() {
		t.Fatal(problems)
	}
	f := newFormat(&s, false)
	return &f
}

func batchOf(f *format, runs []run, n int, copied bool) flume.Batch {
	need, _ := f.survey(runs, n)
	return f.batch(runs, n, need, copied)
}

func at(ms int64) time.Time { return time.UnixMilli(ms) }

func text(h flume.Headers) string {
	var out []string
	for _, x := range h {
		out = append(out, x.Key+"="+x.Value)
	}
	return strings.Join(out, " ")
}

func TestHeaders(t *testing.T) {
	value := event.Append(nil, &flume.Event{Headers: flume.Headers{
		{Key: "timestamp", Value: "1"}, {Key: "topic", Value: "mine"}, {Key: "offset", Value: "o"}, {Key: "key", Value: "k0"}, {Key: "x", Value: "x0"},
	}, Body: []byte("body")})
	rec := func() *kgo.Record {
		return &kgo.Record{
			Topic: "t", Partition: 3, Offset: 42, Timestamp: at(1700000000123), Key: []byte("\x00\xffk"), Value: []byte("body"),
			Headers: []kgo.RecordHeader{{Key: "K", Value: []byte("first")}, {Key: "L"}, {Key: "K", Value: []byte("last\xfe")}},
		}
	}
	for name, c := range map[string]struct {
		settings []string
		change   func(r *kgo.Record)
		want     string
	}{
		"plain": {want: "timestamp=1700000000123 topic=t partition=3 offset=42 key=\x00\xffk"},
		"no key": {change: func(r *kgo.Record) { r.Key = nil },
			want: "timestamp=1700000000123 topic=t partition=3 offset=42"},
		"empty key": {change: func(r *kgo.Record) { r.Key = []byte{} },
			want: "timestamp=1700000000123 topic=t partition=3 offset=42 key="},
		"no timestamp": {change: func(r *kgo.Record) { r.Timestamp = at(-1); r.Key = nil; r.Offset = 1<<63 - 1 },
			want: "timestamp=-1 topic=t partition=3 offset=9223372036854775807"},
		"topic header": {settings: []string{"topicHeader", "from"},
			want: "timestamp=1700000000123 from=t partition=3 offset=42 key=\x00\xffk"},
		"no topic header": {settings: []string{"setTopicHeader", "false"},
			want: "timestamp=1700000000123 partition=3 offset=42 key=\x00\xffk"},
		"timestamp header": {settings: []string{"timestampHeader", "ts"},
			want: "timestamp=1700000000123 ts=1700000000123 topic=t partition=3 offset=42 key=\x00\xffk"},
		"mapped": {settings: []string{"header.a", "K", "header.b", "none", "header.c", "L"},
			want: "timestamp=1700000000123 a=last\xfe c= topic=t partition=3 offset=42 key=\x00\xffk"},
		"mapped over others": {settings: []string{"header.timestamp", "K", "header.topic", "K", "header.key", "K", "header.offset", "none"},
			want: "timestamp=last\xfe topic=last\xfe key=\x00\xffk partition=3 offset=42"},
		"Flume's format": {settings: []string{"useFlumeEventFormat", "true", "header.x", "K"}, change: func(r *kgo.Record) { r.Value = value },
			want: "timestamp=1 topic=mine offset=o key=\x00\xffk x=last\xfe partition=3"},
	} {
		t.Run(name, func(t *testing.T) {
			f := formatOf(t, c.settings...)
			r := rec()
			if c.change != nil {
				c.change(r)
			}
			for _, copied := range []bool{false, true} {
				b := batchOf(f, []run{{topic: "t", partition: 3, records: []*kgo.Record{r}}}, 1, copied)
				if got := text(b[0].Headers); got != c.want || string(b[0].Body) != "body" {
					t.Errorf("got  %q %q\nwant %q", got, b[0].Body, c.want)
				}
				if shared := &b[0].Body[0] == &r.Value[len(r.Value)-4]; shared == copied {
					t.Errorf("the body is shared: %v, want %v", shared, !copied)
				}
			}
		})
	}
}

// What is appended to one event, or written over it, never shows in another.
func TestEventsAreApart(t *testing.T) {
	for _, settings := range [][]string{nil, {"header.timestamp", "K"}, {"useFlumeEventFormat", "true"}} {
		f := formatOf(t, settings...)
		runs := runsOf(f, 2, 5, 100)
		b := batchOf(f, runs, 10, true)
		want := make([]string, len(b))
		for i := range b {
			want[i] = text(b[i].Headers) + string(b[i].Body)
		}
		c := b.Clone()
		for i := range b {
			b[i].Headers = append(b[i].Headers, flume.Header{Key: "more", Value: "x"})
			b[i].Body = append(b[i].Body, "more"...)
		}
		for i := range c {
			if got := text(c[i].Headers) + string(c[i].Body[:len(c[i].Body)]); got != want[i] {
				t.Errorf("%v: event %d became %q, was %q", settings, i, got, want[i])
			}
		}
	}
}

// runsOf makes records for each of some partitions.
func runsOf(f *format, partitions, each, size int) []run {
	var runs []run
	for p := range partitions {
		r := run{topic: "test3", partition: int32(p)}
		for i := range each {
			rec := &kgo.Record{Topic: "test3", Partition: int32(p), Offset: int64(1000 + i), Timestamp: at(1700000000000 + int64(i/10)),
				Key: fmt.Appendf(nil, "key-%05d", i), Value: make([]byte, size), Headers: []kgo.RecordHeader{{Key: "K", Value: []byte("v")}}}
			copy(rec.Value, fmt.Sprint(p, " ", i))
			if f.flume {
				rec.Value = event.Append(nil, &flume.Event{Headers: flume.Headers{{Key: "host", Value: "web-1"}, {Key: "n", Value: fmt.Sprint(i)}}, Body: rec.Value})
			}
			r.records = append(r.records, rec)
		}
		runs = append(runs, r)
	}
	return runs
}

func TestPartOfRuns(t *testing.T) {
	f := formatOf(t)
	runs := runsOf(f, 3, 4, 10)
	if n := length(runs); n != 12 {
		t.Fatal(n)
	}
	if b := batchOf(f, runs, 6, true); len(b) != 6 || b[5].Headers[4].Value != "key-00001" {
		t.Errorf("the first six: %v", b)
	}
	runs = consume(runs, 6)
	if b := batchOf(f, runs, 100, true); len(runs) != 2 || len(b) != 6 || b[0].Headers[4].Value != "key-00002" {
		t.Errorf("the last six: %v", b)
	}
	if runs = consume(runs, 6); len(runs) != 0 {
		t.Errorf("left: %v", runs)
	}
}

// A tombstone is an event with an empty body.
func TestTombstone(t *testing.T) {
	b := batchOf(formatOf(t), []run{{topic: "t", records: []*kgo.Record{{Topic: "t", Key: []byte("k")}}}}, 1, true)
	if len(b) != 1 || b[0].Body == nil || len(b[0].Body) != 0 {
		t.Errorf("got %+v", b)
	}
}

// golden is a value of testdata/manifest.json.
type golden struct {
	File     string
	Readable bool
	Event    struct {
		Headers  map[string]string
		BodyText *string `json:"body_text"`
	}
}

func goldenValues(t *testing.T) []golden {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "internal", "event", "testdata", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Values []golden }
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m.Values
}

// Values of the real programs, all in one batch; what is no event is refused with a reason and its position.
func TestGoldenValues(t *testing.T) {
	f := formatOf(t, "useFlumeEventFormat", "true")
	r := run{topic: "test3", partition: 1}
	values := goldenValues(t)
	for i, g := range values {
		value, err := os.ReadFile(filepath.Join("..", "..", "internal", "event", "testdata", filepath.FromSlash(g.File)))
		if err != nil {
			t.Fatal(err)
		}
		r.records = append(r.records, &kgo.Record{Topic: "test3", Partition: 1, Offset: int64(i), Value: value, Timestamp: at(5)})
	}
	runs := []run{r}
	_, refused := f.survey(runs, len(values))
	refuse(runs, refused)
	need, again := f.survey(runs, len(values))
	if len(again) != 0 {
		t.Errorf("%d are refused twice", len(again))
	}
	b := f.batch(runs, len(values), need, true)
	for i, g := range values {
		if !g.Readable {
			if len(refused) == 0 || refused[0].record != i || refused[0].err == nil {
				t.Errorf("%s was not refused", g.File)
				continue
			}
			e := f.raw(r.records[i])
			if string(e.Body) != string(r.records[i].Value) || text(e.Headers) != fmt.Sprintf("timestamp=5 topic=test3 partition=1 offset=%d", i) {
				t.Errorf("%s: %+v", g.File, e)
			}
			refused = refused[1:]
			continue
		}
		e := b[0]
		b = b[1:]
		for k, v := range g.Event.Headers {
			if got, ok := e.Headers.Get(k); !ok || got != v {
				t.Errorf("%s: header %q is %q, want %q", g.File, k, got, v)
			}
		}
		if g.Event.BodyText != nil && string(e.Body) != *g.Event.BodyText {
			t.Errorf("%s: the body is %.60q", g.File, e.Body)
		}
	}
	if len(b) != 0 || len(refused) != 0 {
		t.Errorf("%d events and %d refusals too many", len(b), len(refused))
	}
}

// A batch costs a handful of allocations, whatever its size.
func TestAllocations(t *testing.T) {
	for name, settings := range map[string][]string{"plain": nil, "mapped": {"header.h", "K"}, "flume": {"useFlumeEventFormat", "true"}} {
		f := formatOf(t, settings...)
		runs := runsOf(f, 2, 50, 500)
		for _, copied := range []bool{true, false} {
			if n := testing.AllocsPerRun(50, func() { batchOf(f, runs, 100, copied) }); n > 8 {
				t.Errorf("%s: %v allocations for 100 events", name, n)
			}
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, c := range []struct {
		name     string
		settings []string
		copied   bool
	}{{"plain/copied", nil, true}, {"plain/shared", nil, false}, {"mapped/copied", []string{"header.h", "K"}, true}, {"flume/copied", []string{"useFlumeEventFormat", "true"}, true}, {"flume/shared", []string{"useFlumeEventFormat", "true"}, false}} {
		b.Run(c.name, func(b *testing.B) {
			const events = 100
			f := formatOf(b, c.settings...)
			runs := runsOf(f, 1, events, 500)
			b.ReportAllocs()
			for b.Loop() {
				if got := batchOf(f, runs, events, c.copied); len(got) != events {
					b.Fatal(len(got))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
		})
	}
}

// FuzzBatch decodes any value: it is refused or becomes an event, and neither panics.
func FuzzBatch(f *testing.F) {
	f.Add([]byte("\x00\x00"), []byte("k"))
	f.Add([]byte("\x02\x02a\x02b\x00\x04hi"), []byte(nil))
	f.Add([]byte("Obj\x01"), []byte(nil))
	form := formatOf(f, "useFlumeEventFormat", "true", "header.a", "K")
	f.Fuzz(func(t *testing.T, value, key []byte) {
		runs := []run{{topic: "t", records: []*kgo.Record{{Topic: "t", Value: value, Key: key, Headers: []kgo.RecordHeader{{Key: "K", Value: key}}}}}}
		_, refused := form.survey(runs, 1)
		refuse(runs, refused)
		b := batchOf(form, runs, 1, true)
		if len(refused)+len(b) != 1 {
			t.Fatalf("%d refused, %d events", len(refused), len(b))
		}
	})
}

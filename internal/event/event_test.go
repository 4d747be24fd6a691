package event

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/sluice-io/sluice/flume"
)

// golden is one value of testdata/manifest.json: what real producers wrote.
type golden struct {
	File     string
	Readable *bool
	Event    *struct {
		Headers  map[string]string
		BodyText *string `json:"body_text"`
		BodyB64  *string `json:"body_b64"`
		BodyFill *struct {
			Pattern []byte `json:"pattern_b64"`
			Length  int
		} `json:"body_fill"`
	}
}

func (g *golden) body(t *testing.T) []byte {
	switch {
	case g.Event.BodyText != nil:
		return []byte(*g.Event.BodyText)
	case g.Event.BodyB64 != nil:
		b, err := base64.StdEncoding.DecodeString(*g.Event.BodyB64)
		if err != nil {
			t.Fatal(err)
		}
		return b
	case g.Event.BodyFill != nil:
		f := g.Event.BodyFill
		return bytes.Repeat(f.Pattern, f.Length/len(f.Pattern)+1)[:f.Length]
	}
	t.Fatal("no body in the manifest")
	return nil
}

func goldens(t testing.TB) []golden {
	text, err := os.ReadFile("testdata/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Values []golden }
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Values) != 51 {
		t.Fatalf("%d values, want 51", len(m.Values))
	}
	return m.Values
}

func read(t testing.TB, file string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decodeValue decodes one Kafka record's value.
func decodeValue(value []byte) (flume.Event, error) {
	var t Tally
	if err := t.Value(value); err != nil {
		return flume.Event{}, err
	}
	e, _ := t.Cutter(false).Event(value)
	return e, nil
}

func asMap(h flume.Headers) map[string]string {
	m := map[string]string{}
	for _, x := range h {
		m[x.Key] = x.Value
	}
	return m
}

func TestGoldenValues(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(g.File, func(t *testing.T) {
			value := read(t, g.File)
			e, err := decodeValue(value)
			if g.Readable == nil || !*g.Readable {
				if err == nil {
					t.Fatalf("read as %v", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := asMap(e.Headers); !maps.Equal(got, g.Event.Headers) || len(e.Headers) != len(got) {
				t.Errorf("headers %v, want %v", e.Headers, g.Event.Headers)
			}
			if !bytes.Equal(e.Body, g.body(t)) {
				t.Errorf("body %q, want %q", e.Body, g.body(t))
			}
			if strings.HasPrefix(g.File, "hand/") {
				return
			}
			if again := Append(nil, &e); !bytes.Equal(again, value) {
				t.Errorf("encoded again:\n%x, want\n%x", again, value)
			}
			if n := Len(&e); n != len(value) {
				t.Errorf("Len %d, want %d", n, len(value))
			}
		})
	}
}

func TestMistakesAreNamed(t *testing.T) {
	f := func(value []byte, want string) {
		t.Helper()
		_, err := decodeValue(value)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%x: %v, want %q", value, err, want)
		}
	}
	f(nil, "the value is empty")
	f(read(t, "mistakes/empty-value.bin"), "the value is empty")
	f(read(t, "mistakes/avro-container.bin"), "an Avro container file")
	f(read(t, "mistakes/avro-container-deflate.bin"), "an Avro container file")
	f(read(t, "mistakes/single-object.bin"), "single-object")
	f(read(t, "mistakes/registry-prefix.bin"), "Schema Registry prefix")
	f([]byte{0, 0, 0, 0, 7}, "an empty one with 3 bytes after it, as a Schema Registry")
	f(append([]byte{0, 1, 2, 3, 4}, read(t, "hand/two-blocks.bin")...), "Schema Registry prefix") // id 2^24 and more
	f(append([]byte{0, 6, 2, 3, 4}, read(t, "hand/two-blocks.bin")...), "Schema Registry prefix") // which reads as a body of 3 bytes
	f(read(t, "mistakes/json.bin"), "JSON text")
	f([]byte(" [1]"), "JSON text")
	f(read(t, "mistakes/plain-text.bin"), "plain text")
	f(read(t, "flume-sink-plain/utf8.bin"), "plain text")
	f([]byte("12"), "plain text")
	f(read(t, "mistakes/truncated.bin"), "at byte 6: the body has a length of 2, where 1 bytes are left")
	f(read(t, "mistakes/negative-length.bin"), "at byte 1: the body has a length of -1")
	f(read(t, "mistakes/absurd-length.bin"), "the body has a length of 4611686018427387903")
	f(read(t, "mistakes/absurd-count.bin"), "at byte 0: a count of 9223372036854775807 headers, where 0 bytes are left")
	f([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2}, "a count of 9223372036854775808 headers") // the least of all numbers
	f([]byte{0x80}, "it ends before the number of headers")
	f([]byte{1, 0x80}, "it ends before the size of the headers")
	f([]byte{2, 2, 'k', 0x80}, "it ends before the length of a header's value")
	f([]byte{0}, "it ends before the length of the body")
	f(bytes.Repeat([]byte{0xff}, 12), "the number of headers is not a number")
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decode decodes the array of events at the start of frame and returns the number of its bytes.
func decode(frame []byte) (flume.Batch, int, error) {
	var t Tally
	at, err := t.Array(frame)
	if err != nil {
		return nil, 0, err
	}
	return t.Cut(frame), at, nil
}

func TestArray(t *testing.T) {
	a := flume.Event{Headers: flume.Headers{{Key: "host", Value: "web1"}}, Body: []byte("hello")}
	b := flume.Event{Body: []byte("world")}
	f := func(array string, want ...flume.Event) {
		t.Helper()
		frame := unhex(t, array)
		got, n, err := decode(append(frame, 0xee))
		if err != nil || n != len(frame) || len(got) != len(want) {
			t.Errorf("%s: %d events of %d bytes, %v", array, len(got), n, err)
			return
		}
		for i := range got {
			if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
				t.Errorf("%s: event %d is %v, want %v", array, i, got[i], want[i])
			}
			if got[i].Body == nil || cap(got[i].Body) != len(got[i].Body) || cap(got[i].Headers) != len(got[i].Headers) {
				t.Errorf("%s: event %d can be appended to in place", array, i)
			}
		}
	}
	f("00")
	f("04 0208686f73740877656231000a68656c6c6f 000a776f726c64 00", a, b)
	f("02 0208686f73740877656231000a68656c6c6f 01 0e 000a776f726c64 00", a, b)
	f("03 7e 000a776f726c64 000a776f726c64 00", b, b)
	f("02 0000 00", flume.Event{Body: []byte{}})

	for _, bad := range []string{"", "02", "0200", "06 0000 0000", "01", "0102", "02 0000"} {
		if got, _, err := decode(unhex(t, bad)); err == nil {
			t.Errorf("%s: read as %v", bad, got)
		}
	}
}

// batch makes n events with h headers and a body of size bytes.
func batch(n, h, size int) flume.Batch {
	b := make(flume.Batch, n)
	for i := range b {
		for j := range h {
			b[i].Headers = append(b[i].Headers, flume.Header{Key: fmt.Sprintf("header-%d", j), Value: fmt.Sprintf("value %d of %d", j, i)})
		}
		b[i].Body = bytes.Repeat([]byte{byte(i)}, size)
	}
	return b
}

func TestArrayRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 100} {
		for _, h := range []int{0, 1, 4, 40} {
			for _, size := range []int{0, 1, 63, 64, 8191, 8192} {
				b := batch(n, h, size)
				frame := AppendArray(nil, b)
				if len(frame) != ArrayLen(b) {
					t.Fatalf("ArrayLen %d, want %d", ArrayLen(b), len(frame))
				}
				got, end, err := decode(frame)
				if err != nil || end != len(frame) || !bytes.Equal(AppendArray(nil, got), frame) {
					t.Fatalf("%d events, %d headers, bodies of %d: %v", n, h, size, err)
				}
			}
		}
	}
}

// inside reports whether p is cut from frame.
func inside(p, frame []byte) bool {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	from := uintptr(unsafe.Pointer(unsafe.SliceData(frame)))
	return at >= from && at < from+uintptr(cap(frame))
}

func TestSmallPartOfAFrameIsCopiedOut(t *testing.T) {
	f := func(b flume.Batch, spare int, want bool) {
		t.Helper()
		frame := AppendArray(make([]byte, 0, ArrayLen(b)+spare), b)
		got, _, err := decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if inside(got[0].Body, frame) == want {
			t.Errorf("copied out: %v, want %v", !want, want)
		}
		if !bytes.Equal(AppendArray(nil, got), frame) {
			t.Error("the events are not the same")
		}
	}
	f(batch(10, 1, 512), 0, false)
	f(batch(10, 50, 10), 0, true)
	f(batch(10, 1, 512), 1<<20, true)
}

func TestSpareRoom(t *testing.T) {
	values := [][]byte{read(t, "flume-sink/utf8.bin"), read(t, "flume-sink/empty.bin"), read(t, "flume-sink/one-header.bin")}
	tally := Tally{Spare: 2}
	for _, v := range values {
		if err := tally.Value(v); err != nil {
			t.Fatal(err)
		}
	}
	c := tally.Cutter(false)
	var b flume.Batch
	for _, v := range values {
		e, _ := c.Event(v)
		e.Headers = append(e.Headers, flume.Header{Key: "topic", Value: "t"}, flume.Header{Key: "partition", Value: "0"})
		b = append(b, e)
	}
	for i, want := range []int{5, 2, 3} {
		if h := b[i].Headers; len(h) != want || cap(h) != want || h[want-1].Key != "partition" {
			t.Errorf("event %d: %v", i, h)
		}
	}
}

func TestAllocations(t *testing.T) {
	const events = 100
	frame := AppendArray(nil, batch(events, 4, 512))
	out := make([]byte, 0, 2*len(frame))
	n := testing.AllocsPerRun(100, func() {
		b, _, err := decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		b.SetHeader("topic", "test2", false)
		out = AppendArray(out[:0], b)
	})
	if n > 6 {
		t.Errorf("%v allocations a batch of %d, want 6 at most", n, events)
	}
}

func BenchmarkDecodeStampEncode(b *testing.B) {
	const events = 100
	frame := AppendArray(nil, batch(events, 4, 512))
	out := make([]byte, 0, 2*len(frame))
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		got, _, err := decode(frame)
		if err != nil {
			b.Fatal(err)
		}
		got.SetHeader("topic", "test2", false)
		out = AppendArray(out[:0], got)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
}

func BenchmarkDecode(b *testing.B) {
	const events = 100
	frame := AppendArray(nil, batch(events, 4, 512))
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		if _, _, err := decode(frame); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
}

func FuzzValue(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(read(f, g.File))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := decodeValue(value)
		if err != nil {
			return
		}
		again := Append(nil, &e)
		if len(again) != Len(&e) {
			t.Fatalf("Len %d, wrote %d", Len(&e), len(again))
		}
		second, n, err := decode(append([]byte{2}, append(again, 0)...))
		if err != nil || n != len(again)+2 || !bytes.Equal(Append(nil, &second[0]), again) {
			t.Fatalf("%x: encoded again as %x: %v", value, again, err)
		}
	})
}

func FuzzArray(f *testing.F) {
	f.Add([]byte{0})
	f.Add(AppendArray(nil, batch(3, 2, 10)))
	f.Add([]byte{3, 0x7e, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, frame []byte) {
		var tally Tally
		if _, err := tally.Array(frame); err == nil && (tally.Events > len(frame)/2 || tally.Headers > len(frame)/2 || tally.Text+tally.Bodies > len(frame)) {
			t.Fatalf("counted %+v in %d bytes", tally, len(frame))
		}
		b, n, err := decode(frame)
		if err != nil {
			return
		}
		if n > len(frame) {
			t.Fatalf("took %d of %d bytes", n, len(frame))
		}
		again := AppendArray(nil, b)
		second, _, err := decode(again)
		if err != nil || !bytes.Equal(AppendArray(nil, second), again) {
			t.Fatalf("encoded again as %x: %v", again, err)
		}
	})
}

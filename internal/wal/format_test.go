package wal

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes that Flume writes, and reads.
func TestRecordBytes(t *testing.T) {
	event := flume.Event{Headers: flume.Headers{{Key: "h", Value: "v"}}, Body: []byte("one")}
	for _, c := range []struct {
		name     string
		made     []byte
		tx, woid int64
		want     string
		record   record
	}{
		{
			"put", appendPut(nil, &event), 7, 8,
			"7f 00000032 17 0d01000000 110700000000000000 190800000000000000 18 0a0d 0a06 0a0168 120176 1203 6f6e65 11f1866c7a00000000 00",
			record{kind: kindPut},
		},
		{
			"take", appendTake(nil, pointer(1, 0)), 11, 12,
			"7f 00000024 17 0d02000000 110b00000000000000 190c00000000000000 0a 0d01000000 1500000000 00",
			record{kind: kindTake, take: pointer(1, 0)},
		},
		{
			"rollback", appendRollback(nil), 11, 12,
			"7f 0000001a 17 0d03000000 110b00000000000000 190c00000000000000 00 00",
			record{kind: kindRollback},
		},
		{
			"commit", appendCommit(nil, kindPut), 7, 10,
			"7f 0000001f 17 0d04000000 110700000000000000 190a00000000000000 05 0d01000000 00",
			record{kind: kindCommit, of: kindPut},
		},
	} {
		stamp(c.made, c.tx, c.woid)
		if want := unhex(t, c.want); !bytes.Equal(c.made, want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, c.made, want)
		}
		r, err := decodePayload(c.made[framing:])
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if r.kind != c.record.kind || r.of != c.record.of || r.take != c.record.take || r.tx != c.tx || r.woid != c.woid {
			t.Errorf("%s: %+v", c.name, r)
		}
		if r.kind == kindPut {
			if e, _ := decodeEvent(r.event, nil); !reflect.DeepEqual(e, event) {
				t.Errorf("the event is %+v", e)
			}
			if n := putSize(&event); n != len(c.made) {
				t.Errorf("putSize is %d, the record has %d", n, len(c.made))
			}
		}
	}
	if n := len(appendTake(nil, 0)); n != takeSize {
		t.Errorf("a take has %d bytes", n)
	}
	if n := len(appendCommit(nil, kindTake)); n != commitSize {
		t.Errorf("a commit has %d bytes", n)
	}
	if n := len(appendPut(nil, &flume.Event{})); n < leastPut {
		t.Errorf("the smallest put has %d bytes, less than %d", n, leastPut)
	}
}

func TestMetaBytes(t *testing.T) {
	m := dataMeta{file: 1}
	want := unhex(t, "2e 0d03000000 1501000000 190000000000000000 210000000000000000 310000000000000000 390000000000000000")
	if got := m.encode(); !bytes.Equal(got, want) {
		t.Errorf("got %x\nwant %x", got, want)
	}
	m = dataMeta{
		file: 7, now: mark{100, 12}, before: mark{50, 9}, cipher: cipherName, keyAlias: "key-1", iv: newIV(),
	}
	b := m.encode()
	if len(b) != 91 {
		t.Errorf("an encrypted meta has %d bytes", len(b))
	}
	if got, err := decodeMeta(b); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, bad := range map[string]string{
		"empty":         "",
		"version 2":     "2e 0d02000000 1501000000 190000000000000000 210000000000000000 310000000000000000 390000000000000000",
		"cut":           "2e 0d03000000 1501000000",
		"no position":   "13 0d03000000 1501000000 210000000000000000",
		"too long":      "ff 0d03000000",
		"wrong content": "02 ffff",
	} {
		if m, err := decodeMeta(unhex(t, bad)); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestCheckpointMetaBytes(t *testing.T) {
	m := checkpointMeta{woid: 0x0807060504030201, size: 2, head: 99, active: []fileCount{{1, 2}}}
	want := unhex(t, "24 0d03000000 110102030405060708 1d02000000 2563000000 2a0a 0d01000000 1502000000")
	if got := m.encode(); !bytes.Equal(got, want) {
		t.Errorf("got %x\nwant %x", got, want)
	}
	if got, err := decodeCheckpointMeta(want); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFlights(t *testing.T) {
	none := encodeFlights(nil)
	if want := unhex(t, "4ae71336e44bf9bf79d2752e234818a5 00000000000000000000000000000000"); !bytes.Equal(none, want) {
		t.Errorf("nothing in flight: %x", none)
	}
	if len(none) != emptyFlights {
		t.Errorf("%d bytes", len(none))
	}
	fs := []flight{{7, []Pointer{pointer(2, 9), pointer(1, 0)}}, {9, []Pointer{pointer(1, 40)}}}
	b := encodeFlights(fs)
	got, err := decodeFlights(b)
	if err != nil || len(got) != 2 || got[0].tx != 7 || got[0].pointers[0] != pointer(1, 0) {
		t.Errorf("%+v, %v", got, err)
	}
	b[20] ^= 1
	if _, err := decodeFlights(b); err == nil {
		t.Error("a wrong checksum is not noticed")
	}
	if _, err := decodeFlights(b[:15]); err == nil {
		t.Error("a short file is not noticed")
	}
	if fs, err := decodeFlights(nil); err != nil || fs != nil {
		t.Error("an empty file is not nothing")
	}
}

func TestWhereAReplayStarts(t *testing.T) {
	for _, c := range []struct {
		now, before mark
		checkpoint  int64
		version     int
		want        int64
	}{
		{mark{0, 0}, mark{0, 0}, 5, 3, 0},
		{mark{0, 0}, mark{0, 0}, 5, 2, 24},
		{mark{100, 5}, mark{50, 3}, 5, 3, 100},
		{mark{100, 5}, mark{50, 3}, 4, 3, 50},
		{mark{100, 5}, mark{50, 3}, 2, 3, 0},
		{mark{100, 5}, mark{0, 0}, 4, 3, 0},
		{mark{100, 5}, mark{}, 4, 2, 24},
	} {
		m := dataMeta{now: c.now, before: c.before}
		if got := m.start(c.checkpoint, c.version); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestSnappy(t *testing.T) {
	for _, n := range []int{0, 1, 100, snappyChunk, snappyChunk + 1, 5*snappyChunk - 3} {
		plain := make([]byte, n)
		for i := range plain {
			plain[i] = byte(i * i >> 3)
		}
		var b bytes.Buffer
		w := newSnappyWriter(&b)
		for part := plain; len(part) > 0; {
			k := min(len(part), 1000)
			if _, err := w.Write(part[:k]); err != nil {
				t.Fatal(err)
			}
			part = part[k:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := unsnappy(bytes.NewReader(b.Bytes()))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
		if n > 0 {
			if _, err := unsnappy(bytes.NewReader(b.Bytes()[:b.Len()-1])); err == nil {
				t.Errorf("%d bytes: a missing byte is not noticed", n)
			}
		}
	}
}

func TestFileNames(t *testing.T) {
	for name, want := range map[string]int{
		"log-1": 1, "log-10": 10, "log-2147483647": 2147483647, "log-0": 0,
		"log-": -1, "log-01": -1, "log-x": -1, "log-1.meta": -1, "log-1.bak": -1, "log": -1, "xlog-1": -1, "log-+1": -1, "log-4294967296": -1,
	} {
		n, ok := dataFileNumber(name)
		if ok != (want >= 0) || ok && int(n) != want {
			t.Errorf("%s: %d, %v", name, n, ok)
		}
	}
}

// appendRollback appends the record that ends a transaction without effect. Flume writes it; this package need not.
func appendRollback(b []byte) []byte {
	return append(appendHeader(b, kindRollback, 1), 0, 0)
}

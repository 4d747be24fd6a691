package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Data files of version 2, made as the format says: there is no Flume any more that writes them.

type v2file struct {
	b  []byte
	at []int64 // where the puts are
}

func newV2(id uint32, m mark) *v2file {
	b := binary.BigEndian.AppendUint32(nil, 2)
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint64(b, uint64(m.position))
	return &v2file{b: binary.BigEndian.AppendUint64(b, uint64(m.woid))}
}

func (f *v2file) head(k kind, tx, woid int64) {
	f.b = append(f.b, opRecord)
	f.b = binary.BigEndian.AppendUint32(f.b, v2Magic)
	f.b = binary.BigEndian.AppendUint16(f.b, uint16(k))
	f.b = binary.BigEndian.AppendUint64(f.b, uint64(tx))
	f.b = binary.BigEndian.AppendUint64(f.b, uint64(woid))
}

func vint(b []byte, n int) []byte {
	if n <= 127 {
		return append(b, byte(n))
	}
	if n < 256 {
		return append(b, 0x8F, byte(n)) // -113: one byte follows
	}
	return append(b, 0x8E, byte(n>>8), byte(n))
}

func (f *v2file) put(tx, woid int64, e flume.Event) {
	f.at = append(f.at, int64(len(f.b)))
	f.head(kindPut, tx, woid)
	f.b = append(f.b, 0)
	f.b = binary.BigEndian.AppendUint32(f.b, uint32(len(e.Headers)))
	for _, h := range e.Headers {
		for _, s := range []string{h.Key, h.Value} {
			f.b = append(vint(append(f.b, v2HeaderTag), len(s)), s...)
		}
	}
	if e.Body == nil {
		f.b = binary.BigEndian.AppendUint32(f.b, 0xFFFFFFFF)
		return
	}
	f.b = binary.BigEndian.AppendUint32(f.b, uint32(len(e.Body)))
	f.b = append(f.b, e.Body...)
}

func (f *v2file) take(tx, woid int64, p Pointer) {
	f.head(kindTake, tx, woid)
	f.b = binary.BigEndian.AppendUint32(f.b, uint32(p.Offset()))
	f.b = binary.BigEndian.AppendUint32(f.b, p.File())
}

func (f *v2file) commit(tx, woid int64, of kind) {
	f.head(kindCommit, tx, woid)
	f.b = binary.BigEndian.AppendUint16(f.b, uint16(of))
}

func (f *v2file) save(t testing.TB, m *vfs.Memory, name string) {
	t.Helper()
	save(t, m, name, append(slices.Clone(f.b), bytes.Repeat([]byte{opEnd}, 500)...))
}

func save(t testing.TB, m *vfs.Memory, name string, b []byte) {
	t.Helper()
	if err := writeFile(m, name, b); err != nil {
		t.Fatal(err)
	}
}

func smallOptions() Options {
	return Options{
		CheckpointDir: "/c", DataDirs: []string{"/d"}, Capacity: 100, MaxFileSize: 1 << 20, now: clock, fill: 4096,
	}
}

func memory(t testing.TB, dirs ...string) *vfs.Memory {
	t.Helper()
	m := vfs.NewMemory()
	for _, d := range dirs {
		if err := m.MkdirAll(d); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func text1(s string) flume.Event { return flume.Event{Body: []byte(s)} }

func v2Log(t testing.TB) (*vfs.Memory, *v2file) {
	m := memory(t, "/c", "/d")
	f := newV2(1, mark{})
	long := strings.Repeat("k", 300)
	f.put(1, 2, flume.Event{Headers: flume.Headers{{Key: long, Value: strings.Repeat("v", 200)}, {Key: "a", Value: ""}}, Body: []byte("one")})
	f.put(1, 3, flume.Event{})
	f.put(1, 3, text1("three")) // equal write order IDs are in very old files
	f.commit(1, 4, kindPut)
	f.put(5, 6, text1("rolled back"))
	f.head(kindRollback, 5, 7)
	f.take(8, 9, pointer(1, f.at[0]))
	f.commit(8, 10, kindTake)
	f.put(11, 12, text1("four"))
	f.commit(11, 13, kindPut)
	f.put(14, 15, text1("never committed"))
	return m, f
}

func TestV2WithoutCheckpoint(t *testing.T) {
	m, f := v2Log(t)
	f.save(t, m, "/d/log-1")
	want := []string{`[] ""`, `[] "three"`, `[] "four"`}
	for range 3 { // later from our checkpoint, with the file still there
		l, rec, err := Open(m, smallOptions())
		if err != nil {
			t.Fatal(err)
		}
		if rec.Events != 3 || len(rec.Damaged)+len(rec.Torn) > 0 {
			t.Errorf("%+v", rec)
		}
		x, err := l.Take(10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range x.Batch() {
			got = append(got, printFlume(e))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		x.Return()
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	}
}

// A mark that is newer than the checkpoint sends Flume to offset 0, into the header. Ours begins behind it.
func TestV2WithALostCheckpoint(t *testing.T) {
	m, f := v2Log(t)
	binary.BigEndian.PutUint64(f.b[8:], uint64(f.at[2]))
	binary.BigEndian.PutUint64(f.b[16:], 99)
	f.save(t, m, "/d/log-1")
	l, rec, err := Open(m, smallOptions())
	if err != nil || rec.Events != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := drain(t, l, 2); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

func TestV2Checkpoint(t *testing.T) {
	m, f := v2Log(t)
	end := int64(len(f.b))
	binary.BigEndian.PutUint64(f.b[8:], uint64(f.at[4])) // "four" and what follows is behind the checkpoint
	binary.BigEndian.PutUint64(f.b[16:], 11)
	f.save(t, m, "/d/log-1")
	ring := make([]byte, (100+slotQueue)*slotSize)
	slot := func(i int, v int64) { binary.BigEndian.PutUint64(ring[i*slotSize:], uint64(v)) }
	slot(slotVersion, 2)
	slot(slotOrder, 11)
	slot(slotOwner, 2) // size
	slot(slotHead, 99)
	slot(slotActive, 1<<32|2)
	slot(slotQueue+99, int64(pointer(1, f.at[1])))
	slot(slotQueue, int64(pointer(1, f.at[2])))
	save(t, m, "/c/checkpoint", ring)
	l, rec, err := Open(m, smallOptions())
	if err != nil || rec.Events != 3 || rec.Bytes != end-f.at[4] {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got, want := drain(t, l, 1), []string{`[] ""`, `[] "three"`, `[] "four"`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	es, err := m.List("/c")
	if err != nil || !slices.ContainsFunc(es, func(e vfs.Entry) bool { return strings.HasPrefix(e.Name, upgradePrefix) }) {
		t.Errorf("the old checkpoint was not kept: %v, %v", es, err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if l, rec, err := Open(m, smallOptions()); err != nil || rec.Events != 0 || rec.Checkpoint != ringName {
		t.Errorf("%+v, %v, %v", l, rec, err)
	}
}

func TestV2Damage(t *testing.T) {
	m, f := v2Log(t)
	f.b[f.at[3]+2] ^= 1 // the magic number of "rolled back"
	f.save(t, m, "/d/log-1")
	l, rec, err := Open(m, smallOptions())
	if err != nil || len(rec.Damaged) != 1 || rec.Damaged[0].Offset != f.at[3] || rec.Events != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := drain(t, l, 9); len(got) != 3 {
		t.Errorf("%q", got)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	wipe(t, m, "/c")
	o := smallOptions()
	o.Strict = true
	if _, rec, err := Open(m, o); err != nil || rec.Events != 0 {
		t.Errorf("after the repair: %+v, %v", rec, err)
	}
}

func TestV2NumbersOfVariableLength(t *testing.T) {
	for _, c := range []struct {
		b    string
		want int
	}{
		{"00", 0}, {"7f", 127}, {"90", -112}, {"8f80", 128}, {"8fff", 255}, {"8e0100", 256}, {"8d010000", 65536}, {"8700", -1}, {"877f", -128},
	} {
		d := v2reader{b: unhex(t, c.b)}
		if got := d.vint(); got != c.want || d.err != nil || len(d.b) != 0 {
			t.Errorf("%s: %d, %v", c.b, got, d.err)
		}
	}
	for _, s := range []string{"8f", "8b0100000000", "8101"} {
		d := v2reader{b: unhex(t, s)}
		if got := d.vint(); d.err == nil {
			t.Errorf("%s: %d", s, got)
		}
	}
}

func TestForeignFilesAreIgnored(t *testing.T) {
	m := memory(t, "/c", "/d", "/d/log-7", "/c/queueset")
	for _, name := range []string{"/d/log-1.bak", "/d/log-01", "/d/notes", "/d/log-3.meta.tmp", "/d/log-5", "/c/checkpoint-backup-17"} {
		save(t, m, name, nil)
	}
	l, rec, err := Open(m, smallOptions())
	if err != nil || rec.Files != 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if name := fmt.Sprintf("/d/log-%d", 8); l.lanes[0].out.file.path != name {
		t.Errorf("the next data file is %s, want %s: an empty log-5 and a directory log-7 have their numbers", l.lanes[0].out.file.path, name)
	}
}

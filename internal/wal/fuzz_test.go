package wal

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

func seedRecords() [][]byte {
	e := flume.Event{Headers: flume.Headers{{Key: "k", Value: "v"}, {Key: "empty"}}, Body: []byte("body")}
	return [][]byte{appendPut(nil, &e), appendTake(nil, pointer(3, 40)), appendRollback(nil), appendCommit(nil, kindTake)}
}

// flumes are the files of these names that Flume wrote, without the fill at their end.
func flumes(f *testing.F, golden, name string) (out [][]byte) {
	f.Helper()
	m := unpack(f, golden)
	var walk func(dir string)
	walk = func(dir string) {
		es, err := m.List(dir)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range es {
			path := filepath.Join(dir, e.Name)
			if e.Dir {
				walk(path)
			} else if ok, err := filepath.Match(name, e.Name); err != nil || ok {
				b, err := readFile(m, path, 1<<30)
				if err != nil {
					f.Fatal(err)
				}
				if n := len(bytes.TrimRight(b, "\x80")); len(b) > n+100 {
					b = b[:n+100]
				}
				out = append(out, b)
			}
		}
	}
	walk("/")
	if len(out) == 0 {
		f.Fatalf("%s has no %s", golden, name)
	}
	return out
}

func FuzzPayload(f *testing.F) {
	for _, r := range seedRecords() {
		f.Add(r[framing:])
	}
	for _, b := range flumes(f, "odd-events", "log-?") {
		for s := (scanner{r: bytes.NewReader(b), size: int64(len(b)), version: formatVersion, block: scanBlock}); ; {
			r, err := s.next()
			if err != nil {
				break
			}
			if r.size < 10_000 {
				f.Add(b[r.at+framing : r.at+r.size])
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodePayload(b)
		if err != nil || r.kind != kindPut {
			return
		}
		_, n, err := checkEvent(r.event)
		if err != nil {
			t.Fatalf("an event was passed and cannot be read: %v", err)
		}
		e, _ := decodeEvent(r.event, make(flume.Headers, 0, n))
		// What we write of it reads back the same.
		again, err := decodePayload(appendPut(nil, &e)[framing:])
		if err != nil {
			t.Fatal(err)
		}
		e2, _ := decodeEvent(again.event, nil)
		if printFlume(e) != printFlume(e2) {
			t.Fatalf("%s, %s", printFlume(e), printFlume(e2))
		}
	})
}

func FuzzV2(f *testing.F) {
	v := newV2(1, mark{})
	v.put(1, 2, flume.Event{Headers: flume.Headers{{Key: "k", Value: "v"}}, Body: []byte("one")})
	f.Add(v.b[v2Header:])
	v = newV2(1, mark{})
	v.take(1, 2, pointer(1, 2))
	f.Add(v.b[v2Header:])
	v = newV2(1, mark{})
	v.commit(1, 2, kindTake)
	f.Add(v.b[v2Header:])
	v = newV2(1, mark{})
	v.head(kindRollback, 1, 2)
	f.Add(v.b[v2Header:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		r, err := decodeV2(b)
		if err != nil {
			return
		}
		if r.size <= 0 || r.size > int64(len(b)) {
			t.Fatalf("a record of %d bytes in %d", r.size, len(b))
		}
		if r.kind == kindPut {
			decodeEventV2(r.event)
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add((&dataMeta{file: 1}).encode())
	f.Add((&dataMeta{file: 7, cipher: cipherName, keyAlias: "k", iv: newIV()}).encode())
	for _, b := range flumes(f, "encrypted-rotated-sigkill", "log-?.meta") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		if again, err := decodeMeta(m.encode()); err != nil || again.now != m.now || again.file != m.file || !bytes.Equal(again.iv, m.iv) {
			t.Fatalf("%+v, %+v, %v", m, again, err)
		}
		m.start(0, 2)
	})
}

func FuzzCheckpoint(f *testing.F) {
	ring := make([]byte, (4+slotQueue)*slotSize)
	binary.BigEndian.PutUint64(ring, 3)
	binary.BigEndian.PutUint64(ring[slotOrder*slotSize:], 9)
	f.Add(ring[:64], ring[queueAt:], (&checkpointMeta{woid: 9, size: 3, head: 2, active: []fileCount{{1, 3}}}).encode(), true)
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 2}, ring[queueAt:], []byte{}, false)
	wrapped, meta := flumes(f, "ring-wrap", "checkpoint")[0], flumes(f, "ring-wrap", "checkpoint.meta")[0]
	f.Add(wrapped[:64], wrapped[queueAt:], meta, true)
	run := flumeRuns()[0]
	two := run.files(f)[3]
	f.Add(two[:64], two[queueAt:], []byte{}, false)
	f.Fuzz(func(t *testing.T, head, slots, meta []byte, hasMeta bool) {
		b := make([]byte, queueAt)
		copy(b, head)
		b = append(b, slots...)
		c, err := decodeCheckpoint(bytes.NewReader(b), int64(len(b)), meta, hasMeta, ringName, metaName)
		if err != nil {
			return
		}
		n := 0
		for _, q := range c.queue {
			n += len(q)
		}
		if n != c.size || n > c.slots {
			t.Fatalf("%d pointers, size %d, %d slots", n, c.size, c.slots)
		}
	})
}

func FuzzFlights(f *testing.F) {
	f.Add(encodeFlights(nil))
	f.Add(encodeFlights([]flight{{7, []Pointer{1, 2, 3}}, {8, []Pointer{4}}}))
	for _, b := range flumes(f, "inflight-takes-at-checkpoint", "inflight*") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if fs, err := decodeFlights(b); err == nil {
			if _, err := decodeFlights(encodeFlights(fs)); err != nil {
				t.Fatal(err)
			}
		}
		if len(b) > md5.Size { // the same with a right checksum
			sum := md5.Sum(b[md5.Size:])
			decodeFlights(append(sum[:], b[md5.Size:]...))
		}
	})
}

func FuzzSnappy(f *testing.F) {
	var b bytes.Buffer
	w := newSnappyWriter(&b)
	w.Write(bytes.Repeat([]byte("abc"), 20_000))
	w.Close()
	f.Add(b.Bytes())
	f.Add([]byte(snappyMagic))
	f.Add(flumes(f, "dual-compressed-clean", ringSnappy)[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := unsnappy(bytes.NewReader(b))
		if err != nil {
			return
		}
		var c bytes.Buffer
		w := newSnappyWriter(&c)
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if again, err := unsnappy(&c); err != nil || !bytes.Equal(again, plain) {
			t.Fatal("it does not come back")
		}
	})
}

// Whatever a data file holds, a scanner gets to its end, forward only, and finds no record that is not there.
func FuzzScanner(f *testing.F) {
	var whole []byte
	for i, r := range seedRecords() {
		stamp(r, 5, int64(10+i))
		whole = append(whole, r...)
	}
	f.Add(append(whole, bytes.Repeat([]byte{opEnd}, 100)...), false, false)
	f.Add(append(append([]byte{opNoop, 0, 0, 0, 3, 1, 2, 3}, make([]byte, 100)...), whole...), false, false)
	f.Add(append(whole[:40:40], whole...), false, true)
	v := newV2(1, mark{})
	v.put(1, 2, text1("x"))
	v.commit(1, 3, kindPut)
	f.Add(v.b, true, false)
	for _, b := range slices.Concat(flumes(f, "noop-after-integrity-tool", "log-?"), flumes(f, "torn-zeros-after-op", "log-?")) {
		f.Add(b, false, false)
	}
	f.Add(flumes(f, "encrypted-one-key", "log-?")[0], false, true)
	f.Fuzz(func(t *testing.T, b []byte, two, encrypted bool) {
		s := scanner{r: bytes.NewReader(b), size: int64(len(b)), version: formatVersion, block: 64}
		if two {
			s.version = 2
		}
		if encrypted {
			s.cipher, _ = newFileCipher(make([]byte, 16), make([]byte, ivSize))
		}
		for last := int64(-1); ; {
			at := s.pos
			r, err := s.next()
			if s.pos < at || at < last {
				t.Fatalf("the scanner goes back from %d to %d", at, s.pos)
			}
			var bad *badRecord
			switch {
			case err == nil:
				if r.at < at || r.at+r.size != s.pos || b[r.at] != opRecord {
					t.Fatalf("%+v at %d", r, at)
				}
			case errors.As(err, &bad):
				if bad.next <= bad.at || bad.next > int64(len(b)) {
					t.Fatalf("%+v in %d bytes", bad, len(b))
				}
			case errors.Is(err, io.EOF):
				return
			default:
				t.Fatal(err)
			}
			last = at
		}
	})
}

// Whatever the files of a log hold, opening it ends, and what was opened opens again.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{}, []byte{}, []byte{}, []byte{})
	f.Add(appendCommit(nil, kindPut), (&dataMeta{file: 1}).encode(), []byte{3}, (&checkpointMeta{woid: 9}).encode())
	for _, name := range []string{"puts-clean", "sigkill-committed-uncommitted", "corrupt-put-in-the-middle", "encrypted-one-key"} {
		f.Add(flumes(f, name, "log-1")[0], flumes(f, name, "log-1.meta")[0], flumes(f, name, "checkpoint")[0], flumes(f, name, "checkpoint.meta")[0])
	}
	f.Fuzz(func(t *testing.T, data, meta, ring, ringMeta []byte) {
		m := memory(t, "/c", "/d")
		save(t, m, "/d/log-1", data)
		save(t, m, "/d/log-1.meta", meta)
		save(t, m, "/c/checkpoint", ring)
		save(t, m, "/c/checkpoint.meta", ringMeta)
		l, _, err := Open(m, smallOptions())
		if err != nil {
			return
		}
		n := l.Events()
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		l, rec, err := Open(m, smallOptions())
		if err != nil || rec.Events != n {
			t.Fatalf("%+v, %v; there were %d events", rec, err, n)
		}
		for {
			x, err := l.Take(10, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if x == nil {
				break
			}
			if err := x.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

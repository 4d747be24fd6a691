package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// puts makes a log of a few transactions in one file and ends as SIGKILL does; at is where its records begin.
func puts(t testing.TB, o Options, txs ...[]string) (m *vfs.Memory, at []int64) {
	t.Helper()
	m = memory(t)
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, tx := range txs {
		putTexts(t, l, tx...)
	}
	d := l.lanes[0].out.file
	f, err := m.Open(d.path)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := f.Size()
	d.size = n
	for s := d.scanner(f, 0); ; {
		r, err := s.next()
		if err != nil {
			return m.Clone(), at
		}
		at = append(at, r.at)
	}
}

func putTexts(t testing.TB, l *Log, bodies ...string) {
	t.Helper()
	var b flume.Batch
	for _, s := range bodies {
		b = append(b, text1(s))
	}
	if err := l.Reserve(t.Context(), len(b)); err != nil {
		t.Fatal(err)
	}
	if err := l.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// poke changes bytes of a file.
func poke(t testing.TB, m *vfs.Memory, name string, off int64, b ...byte) {
	t.Helper()
	w, err := m.OpenWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// flip changes some bits of a byte of log-1: no other sense comes of it, encrypted or not.
func flip(t testing.TB, m *vfs.Memory, off int64) {
	t.Helper()
	poke(t, m, "/d/log-1", off, peek(t, m, "/d/log-1", off, 1)[0]^0x58)
}

func peek(t testing.TB, m *vfs.Memory, name string, off int64, n int) []byte {
	t.Helper()
	f, err := m.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	return b
}

func bodies(t testing.TB, l *Log) string {
	t.Helper()
	var out []string
	for {
		x, err := l.Take(3, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if x == nil {
			return strings.Join(out, " ")
		}
		for _, e := range x.Batch() {
			out = append(out, string(e.Body))
		}
		if err := x.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// The records are: 0 put a, 1 put b, 2 commit, 3 put c, 4 put d, 5 commit, 6 put e, 7 commit.
func TestDamage(t *testing.T) {
	txs := [][]string{{"a", "b"}, {"c", "d"}, {"e"}}
	for _, c := range []struct {
		name     string
		damage   func(m *vfs.Memory, at []int64)
		want     string
		torn     bool
		doubtful int
	}{
		{"a put's body", func(m *vfs.Memory, at []int64) { poke(t, m, "/d/log-1", at[3]+40, 'X', 'X', 'X') }, "a b d e", false, 0},
		{"a put's structure", func(m *vfs.Memory, at []int64) { flip(t, m, at[3]+30) }, "a b d e", false, 0},
		{"a commit's body", func(m *vfs.Memory, at []int64) { flip(t, m, at[5]+31) }, "a b e c d", false, 2},
		{"a commit's header", func(m *vfs.Memory, at []int64) { flip(t, m, at[5]+7) }, "a b e c d", false, 2},
		{"a commit's operation", func(m *vfs.Memory, at []int64) { poke(t, m, "/d/log-1", at[5], 0x33) }, "a b e c d", false, 2},
		{"a commit's length, too long", func(m *vfs.Memory, at []int64) { poke(t, m, "/d/log-1", at[5]+1, 0, 0, 1) }, "a b e c d", false, 2},
		{"a commit's length, negative", func(m *vfs.Memory, at []int64) { poke(t, m, "/d/log-1", at[5]+1, 0xF0) }, "a b e c d", false, 2},
		{"a commit's length, into the fill", func(m *vfs.Memory, at []int64) { poke(t, m, "/d/log-1", at[5]+3, 4) }, "a b e c d", false, 2},
		{"a put's length, into the fill", func(m *vfs.Memory, at []int64) { poke(t, m, "/d/log-1", at[3]+3, 4) }, "a b d e", false, 0},
		{"the last commit's length", func(m *vfs.Memory, at []int64) { poke(t, m, "/d/log-1", at[7]+3, 4) }, "a b c d e", false, 1},
		{"a put's length, too short", func(m *vfs.Memory, at []int64) { poke(t, m, "/d/log-1", at[3]+4, 3) }, "a b d e", false, 0},
		{"two records in a row", func(m *vfs.Memory, at []int64) {
			flip(t, m, at[4]+7)
			flip(t, m, at[5]+7)
		}, "a b e c", false, 1},
		{"a hole of zeros", func(m *vfs.Memory, at []int64) {
			poke(t, m, "/d/log-1", at[3], make([]byte, at[5]-at[3])...)
		}, "a b e", false, 0},
		{"a hole of zeros into a record", func(m *vfs.Memory, at []int64) {
			poke(t, m, "/d/log-1", at[3], make([]byte, at[5]-at[3]-7)...)
		}, "a b e", false, 0},
		{"the first record", func(m *vfs.Memory, at []int64) { flip(t, m, at[0]+7) }, "b c d e", false, 0},
		{"the last commit, whole", func(m *vfs.Memory, at []int64) { flip(t, m, at[7]+31) }, "a b c d e", false, 1},
		{"the last commit, torn", func(m *vfs.Memory, at []int64) {
			poke(t, m, "/d/log-1", at[7]+20, bytes.Repeat([]byte{opEnd}, commitSize-20)...)
		}, "a b c d", true, 0},
		{"the last commit, zeros at its end", func(m *vfs.Memory, at []int64) {
			poke(t, m, "/d/log-1", at[7]+20, make([]byte, commitSize-20)...)
		}, "a b c d", true, 0},
		{"the last transaction, torn from the middle of the put", func(m *vfs.Memory, at []int64) {
			poke(t, m, "/d/log-1", at[6]+20, bytes.Repeat([]byte{opEnd}, int(at[7]+commitSize-at[6]-20))...)
		}, "a b c d", true, 0},
		{"the page with the end of a put and its commit", func(m *vfs.Memory, at []int64) {
			poke(t, m, "/d/log-1", at[7], bytes.Repeat([]byte{opEnd}, commitSize)...)
		}, "a b c d", false, 0},
		{"cut inside the last record", func(m *vfs.Memory, at []int64) {
			w, _ := m.OpenWrite("/d/log-1")
			w.Truncate(at[7] + 10)
		}, "a b c d", true, 0},
		{"cut inside a length", func(m *vfs.Memory, at []int64) {
			w, _ := m.OpenWrite("/d/log-1")
			w.Truncate(at[7] + 3)
		}, "a b c d", false, 0},
	} {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/encrypted=%v", c.name, encrypted), func(t *testing.T) {
				o := smallOptions()
				if encrypted {
					o.Keys, o.ActiveKey = fixedKeys{}, "k"
				}
				m, at := puts(t, o, txs...)
				c.damage(m, at)
				// The checkpoint of the start knows nothing of all this.
				strict := o
				strict.Strict = true
				damaged := len(c.want) > 0 && !c.torn
				before := m.Clone()
				_, _, err := Open(m.Clone(), strict)
				var refused *RefusedError
				if errors.As(err, &refused) {
					if !strings.Contains(err.Error(), "log-1") || len(refused.Damaged) == 0 {
						t.Errorf("the refusal names nothing: %v", err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				var aside []Damage
				o.SetAside = func(d Damage) error { aside = append(aside, d); return nil }
				l, rec, err := Open(m, o)
				if err != nil {
					t.Fatal(err)
				}
				if (len(rec.Torn) > 0) != c.torn {
					t.Errorf("torn: %+v", rec.Torn)
				}
				if (len(rec.Damaged) > 0) != (refused != nil) || len(aside) != len(rec.Damaged) {
					t.Errorf("damaged: %+v, set aside %d, refused %v", rec.Damaged, len(aside), refused)
				}
				for _, d := range aside {
					was := peek(t, before, d.Path, d.Offset, int(d.Length))
					if !bytes.Equal(d.Bytes, was) {
						t.Errorf("set aside %x, there was %x", d.Bytes, was)
					}
				}
				if rec.Doubtful != c.doubtful {
					t.Errorf("%d doubtful events, want %d", rec.Doubtful, c.doubtful)
				}
				killed := m.Clone()
				if got := bodies(t, l); got != c.want {
					t.Errorf("got %q, want %q (damaged: %v)", got, c.want, damaged)
				}
				// Repaired once, it is sound, with the checkpoint and without.
				for _, name := range []string{"with", "without"} {
					k := killed.Clone()
					if name == "without" {
						wipe(t, k, "/c")
					}
					l, rec, err := Open(k, strict)
					if err != nil {
						t.Fatalf("%s the checkpoint: %v", name, err)
					}
					if len(rec.Torn)+len(rec.Damaged)+rec.Doubtful > 0 {
						t.Errorf("%s the checkpoint: %+v", name, rec)
					}
					if got := bodies(t, l); got != c.want {
						t.Errorf("%s the checkpoint: got %q, want %q", name, got, c.want)
					}
				}
			})
		}
	}
}

// What cannot be set aside is not made void.
func TestDamageStaysWhenItCannotBeSetAside(t *testing.T) {
	o := smallOptions()
	m, at := puts(t, o, []string{"a", "b"}, []string{"c"})
	flip(t, m, at[0]+7)
	full := errors.New("the quarantine is full")
	o.SetAside = func(Damage) error { return full }
	if _, _, err := Open(m, o); !errors.Is(err, full) {
		t.Fatalf("%v", err)
	}
	o.SetAside = nil
	l, rec, err := Open(m, o)
	if err != nil || len(rec.Damaged) != 1 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "b c" {
		t.Errorf("%q", got)
	}
}

// An event whose record goes bad while it waits in the queue is set aside when its turn comes, once.
func TestDamageInTheQueue(t *testing.T) {
	for _, strict := range []bool{false, true} {
		o := smallOptions()
		o.Strict = strict
		m, at := puts(t, o, []string{"a", "b", "c", "d"})
		l, _, err := Open(m, o) // they are in its checkpoint
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		poke(t, m, "/d/log-1", at[1]+2, 0xff) // its length: what is set aside ends where the next record begins
		poke(t, m, "/d/log-1", at[3], opNoop)
		aside := 0
		o.SetAside = func(d Damage) error {
			aside++
			if d.Path != "/d/log-1" || d.Offset != at[1] || int64(len(d.Bytes)) != at[2]-at[1] {
				t.Errorf("set aside %+v", d)
			}
			return nil
		}
		l, _, err = Open(m, o)
		if err != nil {
			t.Fatal(err)
		}
		x, err := l.Take(10, 1<<20)
		if strict {
			var d *DamagedError
			if !errors.As(err, &d) || d.Offset != at[1] || l.Waiting() != 4 {
				t.Errorf("%v, %d waiting", err, l.Waiting())
			}
			continue
		}
		if err != nil || len(x.Batch()) != 2 {
			t.Fatalf("%v", err)
		}
		c := x.Split([]int{1})
		if string(c.Batch()[0].Body) != "c" || string(x.Batch()[0].Body) != "a" {
			t.Errorf("split wrongly: %q %q", c.Batch(), x.Batch())
		}
		x.Return()
		if err := c.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := bodies(t, l); got != "a" || aside != 1 || l.Events() != 0 {
			t.Errorf("%q, %d set aside, %d left", got, aside, l.Events())
		}
	}
}

func TestMissingDataFiles(t *testing.T) {
	o := smallOptions()
	m, _ := puts(t, o, []string{"a", "b"})
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	putTexts(t, l, "c")
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	all := m.Clone()
	for _, name := range []string{"/d/log-1", "/d/log-1.meta"} {
		if err := m.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	var refused *RefusedError
	if _, _, err := Open(m, o); !errors.As(err, &refused) || !refused.Missing || !strings.Contains(err.Error(), "log-1 (2 events)") {
		t.Errorf("without a file: %v", err)
	}
	// It was only away.
	back := all.Clone()
	if l, rec, err := Open(back, o); err != nil || rec.Events != 3 || l.Close(true) != nil {
		t.Errorf("with the file: %+v, %v", rec, err)
	}
	without := o
	without.WithoutMissing = true
	l, rec, err := Open(m, without)
	if err != nil || rec.Missing["log-1"] != 2 || rec.Events != 1 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "c" {
		t.Errorf("%q", got)
	}
	// The newest: its number must not be used again, though nothing on the disk has it.
	m = all.Clone()
	for _, name := range []string{"/d/log-2", "/d/log-2.meta"} {
		if err := m.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if l, rec, err = Open(m, without); err != nil || rec.Missing["log-2"] != 1 || l.lanes[0].out.file.id != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	// Everything: that is a directory that is not mounted.
	m = all.Clone()
	wipe(t, m, "/d")
	if _, _, err := Open(m, o); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("without any data file: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	o := smallOptions()
	o.DataDirs = []string{"/d", "/e"}
	listed := func(m *vfs.Memory) string { // but for the locks, which come and go
		var out []string
		for line := range strings.Lines(list(t, m)) {
			if !strings.Contains(line, lockName) {
				out = append(out, line)
			}
		}
		return strings.Join(out, "")
	}
	made, _ := puts(t, smallOptions(), []string{"a", "b", "c"})
	if err := made.MkdirAll("/e"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func(m *vfs.Memory, o *Options)
		want string
	}{
		{"a number twice", func(m *vfs.Memory, _ *Options) {
			save(t, m, "/e/log-1", peek(t, m, "/d/log-1", 0, 100))
			save(t, m, "/e/log-1.meta", peek(t, m, "/d/log-1.meta", 0, 47))
		}, "same number"},
		{"number 0", func(m *vfs.Memory, _ *Options) { save(t, m, "/d/log-0", []byte{opEnd}) }, "numbered from 1"},
		{"a meta of another file", func(m *vfs.Memory, _ *Options) {
			save(t, m, "/d/log-1.meta", (&dataMeta{file: 4}).encode())
		}, "log-4"},
		{"a key without keys", func(_ *vfs.Memory, o *Options) { o.ActiveKey = "k" }, "no keys"},
		{"an encrypted file without keys", func(m *vfs.Memory, _ *Options) {
			save(t, m, "/d/log-1.meta", (&dataMeta{file: 1, cipher: cipherName, keyAlias: "k", iv: newIV()}).encode())
		}, `the key "k"`},
		{"another cipher", func(m *vfs.Memory, _ *Options) {
			save(t, m, "/d/log-1.meta", (&dataMeta{file: 1, cipher: "ROT13", keyAlias: "k", iv: newIV()}).encode())
		}, "ROT13"},
		{"no meta, and no plain record", func(m *vfs.Memory, _ *Options) {
			save(t, m, "/d/log-9", bytes.Repeat([]byte{opRecord, 0, 0, 0, 5, 0x55, 0x55, 0x55, 0x55, 0x55}, 30))
		}, "put log-9.meta back"},
		{"a file of the checkpoint without meta and record", func(m *vfs.Memory, _ *Options) {
			save(t, m, "/d/log-1", []byte("junk junk"))
			m.Remove("/d/log-1.meta")
			l := &checkpointMeta{woid: 7, size: 3, active: []fileCount{{1, 3}}}
			save(t, m, "/c/checkpoint.meta", l.encode())
		}, "put log-1.meta back"},
		{"a directory twice", func(_ *vfs.Memory, o *Options) { o.DataDirs = []string{"/d", "/d/"} }, "twice"},
		{"no directories", func(_ *vfs.Memory, o *Options) { o.DataDirs = nil }, "data directory"},
		{"no capacity", func(_ *vfs.Memory, o *Options) { o.Capacity = 0 }, "capacity"},
		{"large files", func(_ *vfs.Memory, o *Options) { o.MaxFileSize = LargestFile + 1 }, "cannot have"},
		{"a lock that is held", func(m *vfs.Memory, _ *Options) {
			m.LockAs("/c/in_use.lock", vfs.Process{PID: 4711, Command: "sluice agent"})
		}, "4711"},
		{"a running Flume", func(m *vfs.Memory, _ *Options) {
			m.OpenAs(vfs.Process{PID: 4712, Command: "java", File: "/d/log-1"})
		}, "process 4712 (java)"},
	} {
		m, p := made.Clone(), o
		c.do(m, &p)
		was := listed(m)
		_, _, err := Open(m, p)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
		if now := listed(m); now != was {
			t.Errorf("%s: a refused log was changed:\n%s\n%s", c.name, was, now)
		}
	}
}

// A lost meta of a plain file costs nothing but reading it all.
func TestLostMeta(t *testing.T) {
	for name, do := range map[string]func(m *vfs.Memory){
		"removed": func(m *vfs.Memory) { m.Remove("/d/log-1.meta") },
		"empty":   func(m *vfs.Memory) { save(t, m, "/d/log-1.meta", nil) },
		"broken":  func(m *vfs.Memory) { poke(t, m, "/d/log-1.meta", 3, 0xFF, 0xFF) },
		"only the temporary one": func(m *vfs.Memory) {
			m.Rename("/d/log-1.meta", "/d/log-1.meta.tmp")
		},
	} {
		o := smallOptions()
		m, _ := puts(t, o, []string{"a", "b"}, []string{"c"})
		do(m)
		l, rec, err := Open(m, o)
		if err != nil || len(rec.Notes) != 1 {
			t.Fatalf("%s: %+v, %v", name, rec, err)
		}
		if got := bodies(t, l); got != "a b c" {
			t.Errorf("%s: %q", name, got)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		if _, rec, err := Open(m, o); err != nil || len(rec.Notes) != 0 {
			t.Errorf("%s: the meta is still lost: %+v, %v", name, rec, err)
		}
	}
}

// Records that look like records inside an event are not taken for some.
func TestARecordInsideADamagedEvent(t *testing.T) {
	inner := appendCommit(appendPut(nil, &flume.Event{Body: []byte("inner")}), kindPut)
	stamp(inner, clock().UnixMilli()+3, clock().UnixMilli()+3)
	o := smallOptions()
	m, at := puts(t, o, []string{string(inner)}, []string{"b"})
	poke(t, m, "/d/log-1", at[0]+37, 'X') // not in the inner records' frames: the checksum is wrong
	l, rec, err := Open(m, o)
	if err != nil || len(rec.Damaged) != 1 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "b" {
		t.Errorf("%q", got)
	}
}

func TestZerosAreVoid(t *testing.T) {
	o := smallOptions()
	for _, n := range []int{1, 4, 5, 7, 64, 4096, 9001} {
		m, at := puts(t, o, []string{"a"}, []string{"b"})
		b := peek(t, m, "/d/log-1", 0, int(at[3]+commitSize))
		b = slices.Concat(b[:at[2]], make([]byte, n), b[at[2]:], make([]byte, n))
		save(t, m, "/d/log-1", b)
		wipe(t, m, "/c")
		l, rec, err := Open(m, o)
		if err != nil || len(rec.Damaged)+len(rec.Torn) > 0 {
			t.Errorf("%d zeros: %+v, %v", n, rec, err)
			continue
		}
		if got := bodies(t, l); got != "a b" {
			t.Errorf("%d zeros: %q", n, got)
		}
	}
}

func TestVoidRecords(t *testing.T) {
	o := smallOptions()
	m, at := puts(t, o, []string{"a", "b"}, []string{"c"})
	poke(t, m, "/d/log-1", at[1], opNoop)
	l, rec, err := Open(m, o)
	if err != nil || len(rec.Damaged) > 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "a c" {
		t.Errorf("%q", got)
	}
}

// Unknown fields, other orders of fields and absent checksums are all right.
func TestForeignButSound(t *testing.T) {
	var payload []byte
	h := appendFixed64(nil, 3, 50)
	h = appendFixed64(h, 2, 40)
	h = append(h, 9<<3|wireVarint, 77)
	h = appendFixed32(h, 1, uint32(kindPut))
	payload = appendDelimited(payload, h)
	e := appendBytes(nil, 2, []byte("body"))
	e = append(e, 9<<3|wireBytes, 1, 'x')
	e = appendBytes(e, 1, appendString(nil, 1, "no value"))
	e = appendBytes(e, 1, appendString(appendString(nil, 2, "v1"), 1, "k"))
	e = appendBytes(e, 1, appendString(appendString(nil, 2, "v2"), 1, "k"))
	payload = appendDelimited(payload, appendBytes(nil, 1, e))
	payload = appendDelimited(payload, []byte{8<<3 | wireVarint, 1})
	b := append(binary.BigEndian.AppendUint32([]byte{opRecord}, uint32(len(payload))), payload...)
	c := appendCommit(nil, kindPut)
	stamp(c, 40, 51)

	m := memory(t, "/c", "/d")
	save(t, m, "/d/log-3", append(b, c...))
	save(t, m, "/d/log-3.meta", (&dataMeta{file: 3}).encode())
	l, rec, err := Open(m, smallOptions())
	if err != nil || rec.Events != 1 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got, want := drain(t, l, 1), []string{`["k"="v2" "no value"=""] "body"`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// More events than the capacity: they can be taken, and nothing can be put until there is room.
func TestOverCapacity(t *testing.T) {
	m, _ := puts(t, smallOptions(), []string{"a", "b", "c", "d"})
	o := smallOptions()
	o.Capacity = 2
	for range 2 { // the second time from our checkpoint
		l, rec, err := Open(m, o)
		if err != nil || rec.Events != 4 || len(rec.Notes) == 0 {
			t.Fatalf("%+v, %v", rec, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Reserve(ctx, 1); !errors.Is(err, ErrFull) {
			t.Errorf("reserving: %v", err)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	}
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, l); got != "a b c d" {
		t.Errorf("%q", got)
	}
	putTexts(t, l, "e", "f")
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if e, err := m.Stat("/c/checkpoint"); err != nil || e.Size != (2+slotQueue)*slotSize {
		t.Errorf("%+v, %v", e, err)
	}
}

// A file that only has the name of a data file keeps nobody from opening the log, and its number is not used.
func TestAForeignFile(t *testing.T) {
	o := smallOptions()
	o.Strict = true
	m, _ := puts(t, o, []string{"a", "b"})
	save(t, m, "/d/log-99", []byte("junk junk"))
	for range 2 {
		l, rec, err := Open(m, o)
		if err != nil || len(rec.Notes) != 1 || !strings.Contains(rec.Notes[0], "/d/log-99") || l.lanes[0].out.file.id < 100 {
			t.Fatalf("%+v, %v", rec, err)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	}
	if fs, err := CheckFiles(m, Options{DataDirs: o.DataDirs}, true); err != nil || fs[0].Path != "/d/log-1" {
		t.Errorf("%+v, %v", fs, err)
	}
	if got := peek(t, m, "/d/log-99", 0, 9); string(got) != "junk junk" {
		t.Errorf("it has become %q", got)
	}
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, l); got != "a b" {
		t.Errorf("%q", got)
	}
}

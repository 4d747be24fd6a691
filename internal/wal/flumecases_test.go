package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Cases of Flume's own tests of its file channel that need more than a channel's settings, and that no other test here
// has. docs/reference/flume-file-channel-tests.md says which case is where.

func golden(t testing.TB, name string) *goldenCase {
	t.Helper()
	for _, c := range goldenCases(t) {
		if c.Name == name {
			return &c
		}
	}
	t.Fatalf("there is no golden directory %s", name)
	return nil
}

// An in-flight file of Flume's that is corrupt spoils the checkpoint beside it: the backup is taken, where there is one.
func TestCorruptInflightFiles(t *testing.T) {
	for _, x := range []struct {
		golden string
		backup string
	}{
		{"inflight-takes-at-checkpoint", ""},
		{"inflight-takes-committed-after-checkpoint", ""},
		{"inflight-takes-rolled-back-after-checkpoint", ""},
		{"inflight-puts-committed-after-checkpoint", ""},
		{"dual-plain-sigkill", "/backup/checkpoint"},
		{"dual-compressed-clean", "/backup/checkpoint.snappy"},
	} {
		for _, file := range []string{inflightPuts, inflightTakes} {
			t.Run(x.golden+"/"+file, func(t *testing.T) {
				c := golden(t, x.golden)
				m := unpack(t, c.Name)
				o := c.options(t, m)
				poke(t, m, filepath.Join(o.CheckpointDir, file), 0, 0xDE, 0xAD, 0xBE, 0xEF)
				l, rec, err := Open(m, o)
				if err != nil || rec.Checkpoint != x.backup || rec.Events != c.Events {
					t.Fatalf("%+v, %v", rec, err)
				}
				if !slices.ContainsFunc(rec.Notes, func(n string) bool { return strings.Contains(n, file) }) {
					t.Errorf("nobody is told of %s: %q", file, rec.Notes)
				}
				// Who took what is in the spoilt file alone, so that an order other than that of the log cannot be known.
				got, want := drain(t, l, 7), c.want(t)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Error(diff(got, want))
				}
			})
		}
	}
}

// A backup on a slow disk delays the next checkpoint and nothing else.
func TestSlowBackup(t *testing.T) {
	hold, at := make(chan struct{}), make(chan struct{}, 1)
	m := memory(t)
	m.Before = func(op vfs.Op) error {
		if op.Kind == vfs.OpSync && op.Path == "/b/checkpoint" {
			select {
			case at <- struct{}{}:
			default:
			}
			<-hold
		}
		return nil
	}
	o := smallOptions()
	o.BackupDir, o.MaxFileSize = "/b", 1000
	close(hold)
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	<-at
	hold = make(chan struct{})
	putTexts(t, l, "a", "b")
	done := make(chan error, 2)
	go func() { done <- l.Checkpoint() }()
	<-at // it is in the backup
	putTexts(t, l, "c")
	x, err := l.Take(1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { done <- l.Checkpoint() }()
	close(hold)
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("checkpoint: %v", err)
		}
	}
	m = m.Clone()
	wipe(t, m, "/c")
	m.Before = nil
	k, rec, err := Open(m, o)
	if err != nil || rec.Checkpoint != "/b/checkpoint" || rec.Records != 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, k); got != "b c" {
		t.Errorf("%q", got)
	}
}

// A backup says what the checkpoint says, compressed or not.
func TestBackupIsTheCheckpoint(t *testing.T) {
	for _, compressed := range []bool{true, false} {
		m := memory(t)
		o := smallOptions()
		o.BackupDir, o.CompressBackup, o.Capacity = "/b", compressed, 50_000 // several chunks of snappy
		l, _, err := Open(m, o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			putTexts(t, l, fmt.Sprint("a", i), fmt.Sprint("b", i))
		}
		if err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		name := "/b/" + ringName
		if compressed {
			name = "/b/" + ringSnappy
		}
		read := func(name string) []byte {
			b, err := readFile(m, name, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		got := read(name)
		if compressed {
			if got, err = unsnappy(bytes.NewReader(got)); err != nil {
				t.Fatal(err)
			}
		}
		if want := read("/c/" + ringName); len(want) != (o.Capacity+slotQueue)*slotSize || !bytes.Equal(got, want) {
			t.Errorf("compressed %v: the backup differs from the checkpoint", compressed)
		}
		for _, file := range []string{metaName, inflightPuts, inflightTakes} {
			if !bytes.Equal(read("/b/"+file), read("/c/"+file)) {
				t.Errorf("compressed %v: %s of the backup differs", compressed, file)
			}
		}
		if m.Stat("/b/" + backupComplete); err != nil {
			t.Error(err)
		}
	}
}

// Numbers of transactions and records go on from the largest that were ever used, were it far in the future.
func TestNumbersGoOn(t *testing.T) {
	future := clock().UnixMilli() + 1<<31
	m := memory(t, "/c", "/d")
	b := appendPut(nil, &flume.Event{Body: []byte("a")})
	stamp(b, future, future+1)
	c := appendCommit(nil, kindPut)
	stamp(c, future, future+2)
	save(t, m, "/d/log-1", append(b, c...))
	save(t, m, "/d/log-1.meta", (&dataMeta{file: 1}).encode())
	tx, order := future, future+2
	for range 3 {
		l, _, err := Open(m, smallOptions())
		if err != nil {
			t.Fatal(err)
		}
		if l.tx.Load() < tx || l.woid.Load() <= order {
			t.Errorf("the next transaction is behind %d and the next record behind %d; %d and %d were used", l.tx.Load(), l.woid.Load(), tx, order)
		}
		putTexts(t, l, "b")
		tx, order = l.tx.Load(), l.woid.Load()
		l, _, err = Open(m.Clone(), smallOptions()) // killed
		if err != nil || l.tx.Load() < tx || l.woid.Load() <= order {
			t.Errorf("after SIGKILL: %v; behind %d and %d, %d and %d were used", err, l.tx.Load(), l.woid.Load(), tx, order)
		}
		m = m.Clone()
	}
}

// A commit or a rollback of nothing, as Flume writes them, is nothing.
func TestEndsOfEmptyTransactions(t *testing.T) {
	for name, end := range map[string][]byte{
		"commit of puts": appendCommit(nil, kindPut), "commit of takes": appendCommit(nil, kindTake), "rollback": appendRollback(nil),
	} {
		for _, sequential := range []bool{false, true} {
			m, at := puts(t, smallOptions(), []string{"a"})
			stamp(end, clock().UnixMilli()+100, clock().UnixMilli()+100)
			poke(t, m, "/d/log-1", at[1]+commitSize, end...)
			o := smallOptions()
			o.Sequential = sequential
			l, rec, err := Open(m, o)
			if err != nil || rec.Events != 1 || rec.Uncommitted+rec.Doubtful+len(rec.Damaged) > 0 || rec.Records != 3 {
				t.Fatalf("%s: %+v, %v", name, rec, err)
			}
			if got := bodies(t, l); got != "a" {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

// A batch of no events changes nothing.
func TestEmptyBatch(t *testing.T) {
	m := memory(t)
	l, _, err := Open(m, smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Reserve(t.Context(), 0), l.Put(t.Context(), flume.Batch{})); err != nil {
		t.Fatal(err)
	}
	if x, err := l.Take(1, 1); x != nil || err != nil || l.Events() != 0 {
		t.Errorf("%v, %v, %d events", x, err, l.Events())
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	l, rec, err := Open(m, smallOptions())
	if err != nil || rec.Events != 0 || rec.Records != 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "" {
		t.Errorf("%q", got)
	}
}

// Takes of events that are nowhere, taken long ago with their file gone, leave all others alone.
func TestTakesOfUnknownEvents(t *testing.T) {
	for _, sequential := range []bool{false, true} {
		m, at := puts(t, smallOptions(), []string{"a", "b"}, []string{"c"})
		end := at[len(at)-1] + commitSize
		var b []byte
		for i := range 3 {
			r := appendTake(nil, pointer(uint32(2+i), 40))
			stamp(r, clock().UnixMilli()+100, clock().UnixMilli()+100+int64(i))
			b = append(b, r...)
		}
		r := appendTake(nil, pointer(1, at[1]))
		stamp(r, clock().UnixMilli()+100, clock().UnixMilli()+103)
		c := appendCommit(nil, kindTake)
		stamp(c, clock().UnixMilli()+100, clock().UnixMilli()+104)
		poke(t, m, "/d/log-1", end, slices.Concat(b, r, c)...)
		o := smallOptions()
		o.Sequential = sequential
		l, rec, err := Open(m, o)
		if err != nil || rec.Events != 2 || len(rec.Missing)+len(rec.Damaged) > 0 {
			t.Fatalf("%+v, %v", rec, err)
		}
		if got := bodies(t, l); got != "a c" {
			t.Errorf("%q", got)
		}
	}
}

// A record whose kind is none is damage, not the end.
func TestRecordsOfNoKind(t *testing.T) {
	for _, k := range []uint32{0, 5, 0xFFFF8000, 1 << 31} {
		r := appendRollback(nil)
		stamp(r, 1, 2)
		at := bytes.IndexByte(r[framing:], 0x0d) + framing + 1 // the number of the kind
		r = slices.Concat(r[:at], appendFixed32(nil, 1, k)[1:], r[at+4:])
		if x, err := decodePayload(r[framing:]); err == nil || !strings.Contains(err.Error(), "no record") {
			t.Errorf("%x: %+v, %v", k, x, err)
		}
		m, where := puts(t, smallOptions(), []string{"a"}, []string{"b"})
		b := peek(t, m, "/d/log-1", 0, int(where[3]+commitSize))
		save(t, m, "/d/log-1", slices.Concat(b[:where[2]], r, b[where[2]:]))
		wipe(t, m, "/c")
		l, rec, err := Open(m, smallOptions())
		if err != nil || len(rec.Damaged) != 1 || rec.Damaged[0].Offset != where[2] {
			t.Fatalf("%x: %+v, %v", k, rec, err)
		}
		if got := bodies(t, l); got != "a b" {
			t.Errorf("%x: %q", k, got)
		}
	}
	f := newV2(1, mark{})
	f.head(kindRollback, 1, 2)
	for _, c := range []struct {
		at    int
		bytes string
		want  string
	}{
		{1, "00000000", "magic"}, {5, "8000", "no record"}, {5, "0000", "no record"}, {5, "0005", "no record"},
	} {
		b := slices.Clone(f.b[v2Header:])
		copy(b[c.at:], unhex(t, c.bytes))
		if r, err := decodeV2(b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("version 2, %s at %d: %+v, %v", c.bytes, c.at, r, err)
		}
	}
}

func TestPointer(t *testing.T) {
	for _, c := range []struct {
		file   uint32
		offset int64
		want   Pointer
	}{
		{1, 1, 4294967297}, {1, 2, 4294967298}, {2, 2, 8589934594}, {1<<31 - 1, LargestFile, (1<<31-1)<<32 | LargestFile},
	} {
		p := pointer(c.file, c.offset)
		if p != c.want || p.File() != c.file || p.Offset() != c.offset {
			t.Errorf("log-%d:%d is %d, that is %v", c.file, c.offset, int64(p), p)
		}
	}
}

// The cipher is the one of the standard (NIST SP 800-38A, F.5.1 and F.5.5), begun anew for each record however long.
func TestCipher(t *testing.T) {
	iv := unhex(t, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
	plain := unhex(t, "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51 30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710")
	for _, c := range []struct{ key, want string }{
		{
			"2b7e151628aed2a6abf7158809cf4f3c",
			"874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff 5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee",
		},
		{
			"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
			"601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5 2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6",
		},
	} {
		f, err := newFileCipher(unhex(t, c.key), iv)
		if err != nil {
			t.Fatal(err)
		}
		long := bytes.Repeat(plain, longestStream/len(plain)+9)
		for _, n := range []int{5, len(plain), 0, len(long), longestStream, 1, 4096, longestStream + 1, 17} {
			text := long[:n]
			got := make([]byte, n)
			f.apply(got, text)
			if want := unhex(t, c.want); !bytes.Equal(got[:min(n, len(want))], want[:min(n, len(want))]) {
				t.Errorf("%d bytes begin with %x", n, got[:min(n, len(want))])
			}
			f.apply(got, got)
			if !bytes.Equal(got, text) {
				t.Errorf("%d bytes do not come back", n)
			}
		}
	}
	if _, err := newFileCipher(make([]byte, 15), iv); err == nil {
		t.Error("a key of 15 bytes is taken")
	}
	if _, err := newFileCipher(make([]byte, 16), iv[:12]); err == nil {
		t.Error("a vector of 12 bytes is taken")
	}
}

// Data files without a byte, whose metas are empty too, are nothing; but their numbers are taken.
func TestEmptyFilesWithEmptyMetas(t *testing.T) {
	for _, checkpoint := range []bool{true, false} {
		m, _ := puts(t, smallOptions(), []string{"a", "b"})
		for _, name := range []string{"/d/log-7", "/d/log-7.meta", "/d/log-9", "/d/log-9.meta"} {
			save(t, m, name, nil)
		}
		if !checkpoint {
			wipe(t, m, "/c")
		}
		l, rec, err := Open(m, smallOptions())
		if err != nil || len(rec.Damaged)+len(rec.Notes) > 0 || l.lanes[0].out.file.id != 10 {
			t.Fatalf("%+v, %v; the next data file is %s", rec, err, l.lanes[0].out.file.path)
		}
		if got := bodies(t, l); got != "a b" {
			t.Errorf("%q", got)
		}
	}
}

// In a checkpoint of Flume's the queue may begin anywhere in the ring; ours begins it at the first slot.
func TestRingThatWraps(t *testing.T) {
	c := golden(t, "ring-wrap")
	m := unpack(t, c.Name)
	o := c.options(t, m)
	read := func() (checkpointMeta, []Pointer) {
		b, err := readFile(m, filepath.Join(o.CheckpointDir, metaName), 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		meta, err := decodeCheckpointMeta(b)
		if err != nil {
			t.Fatal(err)
		}
		k, err := loadCheckpoint(m, o.CheckpointDir, ringName, metaName)
		if err != nil {
			t.Fatal(err)
		}
		return meta, slices.Concat(k.queue...)
	}
	before, was := read()
	if before.head == 0 || before.head+before.size <= o.Capacity {
		t.Fatalf("it does not wrap: %+v", before)
	}
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	after, is := read()
	if after.head != 0 || after.size != before.size || !reflect.DeepEqual(after.active, before.active) || !slices.Equal(is, was) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// A file pinned by events that are taken and not committed stays, checkpoint after checkpoint; they come back.
func TestFilesOfTakenEventsStay(t *testing.T) {
	o := smallOptions()
	o.MaxFileSize = 200
	m := memory(t)
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 15 {
		want = append(want, fmt.Sprint("event-", i))
		putTexts(t, l, want[i])
	}
	x, err := l.Take(10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		// Something happens between the checkpoints.
		putTexts(t, l, fmt.Sprint("more-", i))
		want = append(want, fmt.Sprint("more-", i))
	}
	k, rec, err := Open(m.Clone(), o)
	if err != nil || rec.Events != len(want) || len(rec.Missing) > 0 {
		t.Fatalf("killed meanwhile: %+v, %v", rec, err)
	}
	if got := bodies(t, k); got != strings.Join(want, " ") {
		t.Errorf("killed meanwhile: %q", got)
	}
	x.Return()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Reserve(ctx, o.Capacity-len(want)); err != nil {
		t.Errorf("room for %d events is gone: %v", o.Capacity-len(want), err)
	}
	if got := bodies(t, l); got != strings.Join(want, " ") {
		t.Errorf("%q", got)
	}
}

// The names that Flume's code leaves a meta under, or looks for one under, when it was stopped while replacing it.
// An encrypted file cannot be read without.
func TestMetaUnderAnotherName(t *testing.T) {
	for _, name := range []string{"/d/log-1.meta.tmp", "/d/log-1.meta.old", "/d/log-1.tmp"} {
		for _, encrypted := range []bool{false, true} {
			o := smallOptions()
			if encrypted {
				o.Keys, o.ActiveKey = fixedKeys{}, "k"
			}
			m, _ := puts(t, o, []string{"a", "b"}, []string{"c"})
			if err := m.Rename("/d/log-1.meta", name); err != nil {
				t.Fatal(err)
			}
			l, rec, err := Open(m, o)
			if err != nil || len(rec.Notes) != 1 {
				t.Errorf("%s, encrypted %v: %+v, %v", name, encrypted, rec, err)
				continue
			}
			if got := bodies(t, l); got != "a b c" {
				t.Errorf("%s, encrypted %v: %q, %+v", name, encrypted, got, rec)
			}
		}
	}
}

// What has the name of a data file and is none is never written over, at the start and later.
func TestNamesThatAreTaken(t *testing.T) {
	o := smallOptions()
	o.MaxFileSize = 300
	m := memory(t, "/c", "/d", "/d/log-1")
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if l.lanes[0].out.file.id != 2 {
		t.Errorf("the first data file is %s", l.lanes[0].out.file.path)
	}
	save(t, m, "/d/log-3", []byte("somebody's"))
	if err := m.MkdirAll("/d/log-4"); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 10 {
		body := fmt.Sprint(i, strings.Repeat("x", 200))
		if err := tryPut(t, l, body); err == nil { // the event that meets the name is refused, none is lost
			want = append(want, body)
		}
	}
	if len(want) < 8 {
		t.Errorf("only %d of 10 events were taken", len(want))
	}
	if got := peek(t, m, "/d/log-3", 0, 10); string(got) != "somebody's" {
		t.Errorf("log-3 was written over: %q", got)
	}
	if got := bodies(t, l); got != strings.Join(want, " ") {
		t.Errorf("%q", got)
	}
}

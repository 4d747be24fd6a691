package file

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// settings are those of a channel in memory; more come behind.
func settings(more ...string) []string {
	return append([]string{"checkpointDir = /c", "dataDirs = /d"}, more...)
}

// opened opens a channel on a file system and closes it at the end of the test.
func opened(t *testing.T, on vfs.FS, env *flumetest.Env, more ...string) flume.Channel {
	t.Helper()
	c, err := flumetest.TryOpen(t, env, kindOn(on), settings(more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, c) })
	return c
}

func closing(t *testing.T, c flume.Channel) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func putting(t *testing.T, c flume.Channel, b flume.Batch) {
	t.Helper()
	tx, err := c.Put(t.Context(), b)
	if err == nil {
		err = tx.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func taking(t *testing.T, c flume.Channel, events int) flume.Transaction {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	end()
	tx, err := c.Take(ctx, flume.Limits{Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func committing(t *testing.T, tx flume.Transaction) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func bodies(t *testing.T, c flume.Channel) string {
	t.Helper()
	tx := taking(t, c, 0)
	defer tx.Rollback()
	return strings.Join(flumetest.Bodies(tx.Batch()), " ")
}

func TestWhatIsCommittedIsThereAgain(t *testing.T) {
	on := vfs.NewMemory()
	first := opened(t, on, flumetest.NewEnv())
	putting(t, first, flumetest.Events(0, 6))
	committing(t, taking(t, first, 2))
	taking(t, first, 2).Rollback()
	left, err := first.Put(t.Context(), flumetest.Events(90, 3)) // and never committed
	if err != nil {
		t.Fatal(err)
	}
	open := taking(t, first, 1)
	closing(t, first)
	for _, tx := range []flume.Transaction{left, open} {
		if err := tx.Commit(t.Context()); !errors.Is(err, errClosed) {
			t.Errorf("after the end, a commit returned %v", err)
		}
		tx.Rollback()
	}
	env := flumetest.NewEnv()
	if got := bodies(t, opened(t, on, env)); got != "2 3 4 5" {
		t.Error(got)
	}
	for name, want := range map[string]int64{"ChannelSize": 4, "ChannelCapacity": 1000000, "Open": 1, "Closed": 0, "Unhealthy": 0} {
		if got := env.Count(name); got != want {
			t.Errorf("%s is %d instead of %d", name, got, want)
		}
	}
	if !strings.Contains(env.Logged(), "the log is open\" events=4 ") {
		t.Error(env.Logged())
	}
}

func TestTheSizeCountsWhatIsTakenUntilItIsCommitted(t *testing.T) {
	env := flumetest.NewEnv()
	c := opened(t, vfs.NewMemory(), env)
	size := func(want int64) {
		t.Helper()
		if got := env.Count("ChannelSize"); got != want {
			t.Errorf("the size is %d instead of %d", got, want)
		}
	}
	putting(t, c, flumetest.Events(0, 5))
	size(5)
	tx := taking(t, c, 3)
	size(5)
	kept := tx.Split([]int{0})
	committing(t, tx)
	size(3)
	kept.Rollback()
	size(3)
}

func TestTheLogIsCounted(t *testing.T) {
	env := flumetest.NewEnv()
	on := vfs.NewMemory()
	c := opened(t, on, env)
	before, synced := env.Count("LogByteCount"), env.Count("LogSyncCount")
	putting(t, c, flumetest.Events(0, 3))
	e, err := on.Stat("/d/log-1")
	if err != nil {
		t.Fatal(err)
	}
	if n := env.Count("LogByteCount") - before; n <= 0 || n > e.Size {
		t.Errorf("%d bytes were written to a file of %d", n, e.Size)
	}
	if n := env.Count("LogSyncCount") - synced; n != 1 {
		t.Errorf("%d syncs for one batch", n)
	}
	closing(t, c)
}

func TestADirectoryIsOneChannels(t *testing.T) {
	dir := t.TempDir()
	at := func(base string) []string {
		return []string{"checkpointDir = " + filepath.Join(dir, base), "dataDirs = " + filepath.Join(dir, "data"), "minimumRequiredSpace = 1048576"}
	}
	first := flumetest.Open(t, Kind, at("c1")...)
	putting(t, first, flumetest.Events(0, 1))
	env := flumetest.NewEnv()
	_, err := flumetest.TryOpen(t, env, Kind, at("c2")...)
	if err == nil || !strings.Contains(err.Error(), "opening the log in "+filepath.Join(dir, "c2")+": locking "+filepath.Join(dir, "data", "in_use.lock")) {
		t.Fatalf("a second channel got %v", err)
	}
	if env.Count("Unhealthy") != 1 || env.Count("Open") != 0 {
		t.Error("a channel that could not be opened does not count as such")
	}
	closing(t, first)
	c, err := flumetest.TryOpen(t, env, Kind, at("c2")...)
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, c)
	if env.Count("Unhealthy") != 0 || env.Count("Open") != 1 {
		t.Error("a channel that could be opened at last does not count as such")
	}
	if got := bodies(t, c); got != "0" { // all data files, without a checkpoint
		t.Error(got)
	}
}

// disk is a file system with so many bytes free.
type disk struct {
	*vfs.Memory
	free atomic.Int64
}

func (d *disk) Free(string) (int64, error) { return d.free.Load(), nil }

func TestPutsLeaveRoomOnTheDisk(t *testing.T) {
	on := &disk{Memory: vfs.NewMemory()}
	on.free.Store(10 << 20)
	c := opened(t, on, flumetest.NewEnv(), "minimumRequiredSpace = 2097152")
	large := flume.Batch{{Body: bytes.Repeat([]byte("x"), 5<<20)}}
	first, err := c.Put(t.Context(), large)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), large); !errors.Is(err, flume.ErrFull) || !strings.Contains(err.Error(),
		"the disk of /d has 10485760 bytes free, of which 2097152 are not for new events (minimumRequiredSpace), and 10485938 are needed") {
		t.Fatalf("what the first had been promised was promised again: %v", err)
	}
	first.Rollback()
	putting(t, c, large)
	on.free.Store(2 << 20)
	if _, err := c.Put(t.Context(), flumetest.Events(0, 1)); !errors.Is(err, flume.ErrFull) {
		t.Fatalf("a put to a full disk returned %v", err)
	}
	committing(t, taking(t, c, 1))
	on.free.Store(3 << 20)
	putting(t, c, flumetest.Events(0, 1))
}

func TestADiskThatIsFullAllTheSame(t *testing.T) {
	on := vfs.NewMemory()
	env := flumetest.NewEnv()
	c := opened(t, &disk{Memory: on}, env, "keep-alive = 0")
	c.(*channel).space.keep = -1 << 40
	putting(t, c, flumetest.Events(0, 3))
	on.Limit(on.Used())
	tx, err := c.Put(t.Context(), flume.Batch{{Body: bytes.Repeat([]byte("x"), 5<<20)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); !errors.Is(err, flume.ErrFull) {
		t.Fatalf("a commit to a full disk returned %v", err)
	}
	if env.Count("EventPutErrorCount") != 1 {
		t.Error("it was not counted")
	}
	committing(t, taking(t, c, 2))
	on.Limit(0)
	putting(t, c, flumetest.Events(3, 1))
	if got := bodies(t, c); got != "2 3" {
		t.Error(got)
	}
}

func TestDamageIsKept(t *testing.T) {
	on := vfs.NewMemory()
	c := opened(t, on, flumetest.NewEnv(), "checkpointOnClose = false")
	for i := range 3 {
		putting(t, c, flumetest.Events(i, 1))
	}
	closing(t, c)
	spoil(t, on, "/d/log-1", "\x011")

	env := flumetest.NewEnv()
	_, err := flumetest.TryOpen(t, env, kindOn(on), settings("corruption = strict")...)
	if err == nil || !strings.Contains(err.Error(), "/d/log-1 is damaged at ") || !strings.HasSuffix(err.Error(), "; to go on without, call: sluice channel repair -f FILE -n a1 --channel x1") {
		t.Fatalf("opening strictly returned %v", err)
	}
	if got := bodies(t, opened(t, on, env)); got != "0 2" {
		t.Error(got)
	}
	if n := env.Count("RecordQuarantinedCount"); n != 1 {
		t.Errorf("%d records were set aside", n)
	}
	if !strings.Contains(env.Logged(), "a damaged record was taken out of the log\" file=/d/log-1 ") || !strings.Contains(env.Logged(), "keptIn=/c-quarantine") {
		t.Error(env.Logged())
	}
	if e, err := on.Stat("/c-quarantine/quarantine.jsonl"); err != nil || e.Size == 0 {
		t.Error(e, err)
	}
}

// spoil changes the first byte of the body in a file of the log.
func spoil(t *testing.T, on vfs.FS, name, body string) {
	t.Helper()
	f, err := on.OpenWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(b, []byte(body))
	if at < 0 {
		t.Fatalf("no %q in %s", body, name)
	}
	if _, err := f.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
}

func TestUpkeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs, renames atomic.Int64
		on := vfs.NewMemory()
		on.Before = func(op vfs.Op) error {
			switch {
			case op.Kind == vfs.OpRename && filepath.Base(op.Path) == "checkpoint.tmp":
				renames.Add(1)
			case op.Kind == vfs.OpSync && strings.HasPrefix(filepath.Base(op.Path), "log-"):
				syncs.Add(1)
			}
			return nil
		}
		c := opened(t, on, flumetest.NewEnv(), "checkpointInterval = 10000", "fsyncInterval = 2")
		putting(t, c, flumetest.Events(0, 2))
		syncs.Store(0)
		renames.Store(0)
		committing(t, taking(t, c, 1))
		if n := syncs.Load(); n != 0 {
			t.Errorf("a take was synced %d times", n)
		}
		time.Sleep(2100 * time.Millisecond)
		if n := syncs.Load(); n != 1 {
			t.Errorf("after two seconds what was taken is synced %d times", n)
		}
		time.Sleep(8 * time.Second)
		if n := renames.Load(); n == 0 {
			t.Error("after ten seconds there is no checkpoint")
		}
	})
}

// What Flume left is opened by the settings that Flume had.
func TestDirectoriesOfFlume(t *testing.T) {
	golden, err := filepath.Abs("../../internal/wal/testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(golden, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name   string
		Events int
		Open   map[string]string `json:"open_with"`
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 50 {
		t.Fatalf("there are only %d", len(cases))
	}
	for _, x := range cases {
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			unpack(t, filepath.Join(golden, x.Name+".tar.gz"), dir)
			var with []string
			for k, v := range x.Open {
				words := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
				for i, word := range words {
					if _, err := os.Stat(filepath.Join(dir, word)); err == nil || strings.HasSuffix(k, "Dir") {
						words[i] = filepath.Join(dir, word)
					}
				}
				separator := ","
				if strings.HasSuffix(k, ".keys") {
					separator = " "
				}
				with = append(with, k+" = "+strings.Join(words, separator))
			}
			c := flumetest.Open(t, Kind, with...)
			defer closing(t, c)
			if n := c.(*channel).log.Events(); n != x.Events && x.Events > 0 {
				t.Errorf("%d events are there instead of %d", n, x.Events)
			}
		})
	}
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		path := dir
		if err == nil {
			path = filepath.Join(dir, filepath.Clean("/"+h.Name))
		}
		if err == nil && h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else if err == nil {
			var b []byte
			if b, err = io.ReadAll(r); err == nil {
				err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeysThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"right": " store-secret\n", "wrong": "x", "own": "key-1-secret\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := filepath.Abs("../../internal/jceks/testdata/flume.jceks")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ store, password, keys, own, want, logged string }{
		{store, "right", "key-0 key-1", "own", "", ""},
		{store, "right", "key-0", "gone", "", "the password file of a key is not there; the password of the key store is taken"},
		{store, "right", "key-0 key-1", "gone", "reading the key key-1 from " + store + ": ", ""},
		{store, "right", "key-0 key-2", "own", "reading the key key-2 from " + store + ": ", ""},
		{store, "wrong", "key-0", "own", "opening the key store " + store + ": the password is wrong, or the file is damaged", ""},
		{store, "gone", "key-0", "own", "reading the password of the key store: open ", ""},
		{"/gone", "right", "key-0", "own", "reading the key store: open /gone: no such file or directory", ""},
	} {
		env := flumetest.NewEnv()
		c, err := flumetest.TryOpen(t, env, kindOn(vfs.NewMemory()), settings("encryption.keyProvider = JCEKSFILE", "encryption.cipherProvider = aesctrnopadding", "encryption.activeKey = key-0",
			"encryption.keyProvider.keyStoreFile = "+x.store, "encryption.keyProvider.keyStorePasswordFile = "+filepath.Join(dir, x.password),
			"encryption.keyProvider.keys = "+x.keys, "encryption.keyProvider.keys.key-1.passwordFile = "+filepath.Join(dir, x.own))...)
		if err == nil {
			putting(t, c, flumetest.Events(0, 1))
			closing(t, c)
		}
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%v: opening returned %v", x, err)
		}
		if !strings.Contains(env.Logged(), x.logged) {
			t.Errorf("%v: %s", x, env.Logged())
		}
	}
}

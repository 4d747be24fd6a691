package spooldir

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type site struct {
	t   testing.TB
	dir string
}

func newSite(t testing.TB) *site { return &site{t, t.TempDir()} }

func (s *site) path(name string) string { return s.dir + "/" + name }

func (s *site) put(name, text string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
	if s.has(name) {
		s.must(os.WriteFile(s.path(name), []byte(text), 0o644))
		return
	}
	whole := filepath.Join(filepath.Dir(s.path(name)), ".put") // a source that runs would see it before the text is there
	s.must(os.WriteFile(whole, []byte(text), 0o644))
	s.must(os.Rename(whole, s.path(name)))
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) run(settings ...string) *flumetest.Running {
	return flumetest.Run(s.t, Kind, nil, s.settings(settings...)...)
}

func (s *site) settings(more ...string) []string {
	return append([]string{"spoolDir = " + s.dir, "pollDelay = 2"}, more...)
}

// tree are the files below the directory.
func (s *site) tree() []string {
	s.t.Helper()
	var all []string
	s.must(filepath.WalkDir(s.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, strings.TrimPrefix(path, s.dir+"/"))
		}
		return err
	}))
	slices.Sort(all)
	return all
}

// becomes waits until the files are these.
func (s *site) becomes(want ...string) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); !slices.Equal(s.tree(), want); {
		if time.Now().After(end) {
			s.t.Fatalf("there are %q instead of %q", s.tree(), want)
		}
		time.Sleep(time.Millisecond)
	}
}

const (
	meta  = ".flumespool/.flumespool-main.meta"
	lock  = meta + ".lock"
	sides = meta + ".sluice"
)

func expect(t testing.TB, got flume.Batch, want ...string) {
	t.Helper()
	if bodies := flumetest.Bodies(got); !slices.Equal(bodies, want) {
		t.Errorf("the bodies are %q instead of %q", bodies, want)
	}
}

func TestFiles(t *testing.T) {
	now := time.Now()
	for _, x := range []struct {
		name     string
		settings []string
		files    map[string]string
		times    map[string]int // seconds ago
		want     []string
		tree     []string
	}{
		{"lines", nil, map[string]string{"a": "one\ntwo\r\n\nlast"}, nil, []string{"one", "two\r", "", "last"}, []string{lock, "a.COMPLETED"}},
		{"nothing", nil, map[string]string{"a": ""}, nil, []string{""}, []string{lock, "a.COMPLETED"}},
		{"oldest", nil, map[string]string{"a": "1", "b": "2", "c": "3"}, map[string]int{"a": 10, "b": 30, "c": 20}, []string{"2", "3", "1"}, nil},
		{"youngest", []string{"consumeOrder = youngest"}, map[string]string{"a": "1", "b": "2", "c": "3"}, map[string]int{"a": 10, "b": 30, "c": 20}, []string{"1", "3", "2"}, nil},
		{"names decide", nil, map[string]string{"b": "2", "a": "1", "c": "3"}, map[string]int{"a": 10, "b": 10, "c": 10}, []string{"1", "2", "3"}, nil},
		{"deleted", []string{"deletePolicy = immediate"}, map[string]string{"a": "1"}, nil, []string{"1"}, []string{lock}},
		{"marked", []string{"trackingPolicy = tracker_dir", "recursiveDirectorySearch = true"}, map[string]string{"a": "1", "sub/b": "2"}, map[string]int{"a": 2}, []string{"1", "2"},
			[]string{meta, lock, ".flumespool/a.COMPLETED", ".flumespool/sub/b.COMPLETED", "a", "sub/b"}},
		{"patterns", []string{`includePattern = .*\.log`, `ignorePattern = x.*`, "recursiveDirectorySearch = true"},
			map[string]string{"a.log": "1", "b.txt": "2", "x.log": "3", ".c.log": "4", "d.log.COMPLETED": "5", "xdir/a.log": "6", ".dir/a.log": "7", "dir/a.log": "8"}, map[string]int{"a.log": 5},
			[]string{"1", "8"}, nil},
		{"not recursive", nil, map[string]string{"a": "1", "sub/b": "2"}, nil, []string{"1"}, nil},
		{"suffix", []string{"fileSuffix = .done"}, map[string]string{"a": "1", "b.done": "2"}, nil, []string{"1"}, []string{lock, "a.done", "b.done"}},
		{"long lines", []string{"deserializer.maxLineLength = 3"}, map[string]string{"a": "abcdefgh\nxyz\nab\n"}, nil, []string{"abc", "def", "gh", "xyz", "", "ab"}, nil},
		{"old name of a setting", []string{"deserializer.maxLineLength = 30"}, map[string]string{"a": "abcd\n"}, nil, []string{"abcd"}, nil},
		{"blob", []string{"deserializer = org.apache.flume.sink.solr.morphline.BlobDeserializer$Builder", "deserializer.maxBlobLength = 5"}, map[string]string{"a": "one\ntwo\n"}, nil, []string{"one\nt", "wo\n"}, nil},
		{"name is taken", nil, map[string]string{"a": "1", "a.COMPLETED": "0", "a.1.COMPLETED": "0"}, nil, []string{"1"}, []string{lock, "a.1.COMPLETED", "a.2.COMPLETED", "a.COMPLETED"}},
		{"replaced", []string{"decodeErrorPolicy = REPLACE"}, map[string]string{"a": "x\xffy\xe2\x82z\xf0\x90\n\xed\xa0\x80"}, nil, []string{"x\ufffdy\ufffdz\ufffd", "\ufffd"}, nil},
		{"ignored", []string{"decodeErrorPolicy = IGNORE"}, map[string]string{"a": "x\xffy\xe2\x82z\xf0\x90\n\xed\xa0\x80é"}, nil, []string{"xyz", "é"}, nil},
		{"charsets", []string{"inputCharset = ISO-8859-1", "deserializer.outputCharset = UTF-16"}, map[string]string{"a": "\xe9\n"}, nil, []string{"\xfe\xff\x00\xe9"}, nil},
		{"two bytes", []string{"inputCharset = UTF-16"}, map[string]string{"a": "\xff\xfea\x00\n\x00b\x00"}, nil, []string{"a", "b"}, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := newSite(t)
			for name, text := range x.files {
				s.put(name, text)
				at := now.Add(-time.Duration(x.times[name]) * time.Second)
				s.must(os.Chtimes(s.path(name), at, at))
			}
			r := s.run(x.settings...)
			got := r.Await(t, len(x.want))
			expect(t, got, x.want...)
			if x.tree != nil {
				s.becomes(x.tree...)
			}
			r.Stop()
			expect(t, r.Await(t, len(x.want)), x.want...)
		})
	}
}

// What Flume had read, and what it read after a restart: its tracker file is taken up, and ours is its own but for the sync marker.
func TestGolden(t *testing.T) {
	s := newSite(t)
	text, err := os.ReadFile("testdata/app.log")
	s.must(err)
	s.put("app.log", string(text))
	left, err := os.ReadFile("testdata/flumespool-main.meta.mid-file")
	s.must(err)
	const was = "/tmp/golden/files/spool/app.log"
	target, position, _, err := parseTracker(left)
	if target != was || position != 162 || err != nil {
		t.Fatalf("%q, %d, %v", target, position, err)
	}
	ours := tracker{target: was}
	copy(ours.sync[:], left[len(ours.head())-16:])
	if again := ours.appendPosition(ours.appendPosition(ours.head(), 81), 162); !bytes.Equal(again, left) {
		t.Errorf("written: %q", again)
	}

	ours.target = s.path("app.log")
	s.put(".flumespool/"+trackerName, string(ours.appendPosition(ours.head(), 162)))
	r := s.run("batchSize = 3", "fileHeader = true", "basenameHeader = true")
	s.becomes(lock, "app.log.COMPLETED")
	text, err = os.ReadFile("testdata/events-after-restart.jsonl")
	s.must(err)
	text = bytes.ReplaceAll(text, []byte(was), []byte(s.path("app.log")))
	var want []flumetest.GoldenEvent
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var e flumetest.GoldenEvent
		if d.Decode(&e) != nil {
			break
		}
		want = append(want, e)
	}
	flumetest.SameAsGolden(t, r.Await(t, 4), want)
}

// Each batch is noted when it was taken; what a run leaves half read is read on, before other files.
func TestPosition(t *testing.T) {
	s := newSite(t)
	s.put("b", "0123\n4567\n89ab\ncdef\n")
	var noted []int64
	ready := make(chan struct{})
	env := flumetest.NewEnv()
	env.TransactionCapacity = 1
	r := flumetest.OpenIn(t, env, Kind, s.settings("batchSize = 1", "maxBackoff = 1")...)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() {
		ran <- r.Run(ctx, func(context.Context, flume.Batch) error {
			target, position, _, err := readTracker(vfs.OS{}, s.path(".flumespool/"+trackerName))
			if err != nil || target != s.path("b") {
				t.Errorf("%q, %v", target, err)
			}
			switch noted = append(noted, position); len(noted) {
			case 2:
				return errors.New("no room")
			case 4:
				close(ready)
				return errors.New("no room")
			}
			return nil
		})
	}()
	<-ready
	stop()
	s.must(errors.Join(<-ran, r.Close()))
	if want := []int64{0, 5, 5, 10}; !slices.Equal(noted[:4], want) {
		t.Errorf("positions %v instead of %v", noted, want)
	}
	s.put("a", "first by its time\n")
	s.must(os.Chtimes(s.path("a"), time.Unix(1, 0), time.Unix(1, 0)))
	expect(t, s.run().Await(t, 3), "89ab", "cdef", "first by its time")
	s.becomes(lock, "a.COMPLETED", "b.COMPLETED")
}

func TestAside(t *testing.T) {
	s := newSite(t)
	s.put("bad", "good\nb\xffd\nmore\n")
	s.put("fine", "1\n2\n")
	old := time.Now().Add(-time.Minute)
	s.must(os.Chtimes(s.path("bad"), old, old))
	r := s.run()
	expect(t, r.Await(t, 3), "good", "1", "2")
	s.becomes(lock, ".flumespool/bad.failed", "bad", "fine.COMPLETED")
	if log := r.Logged(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "position=5") || !strings.Contains(log, "at byte 6 there are bytes that are not UTF-8: ff") {
		t.Error(log)
	}
	if r.Count("EventReadFail") != 1 {
		t.Errorf("EventReadFail is %d", r.Count("EventReadFail"))
	}
	r.Stop()
	s.must(r.Close())

	r = s.run() // still aside
	s.put("late", "3\n")
	expect(t, r.Await(t, 1), "3")
	s.put("bad", "good\nbed\nmore\n") // mended
	expect(t, r.Await(t, 3), "3", "bed", "more")
	s.becomes(lock, "bad.COMPLETED", "fine.COMPLETED", "late.COMPLETED")

	s.put("bad", "x\n\xff")
	expect(t, r.Await(t, 4)[3:], "x")
	s.becomes(meta, lock, sides, ".flumespool/bad.failed", "bad", "bad.COMPLETED", "fine.COMPLETED", "late.COMPLETED")
	s.must(os.Remove(s.path(".flumespool/bad.failed")))
	expect(t, r.Await(t, 5)[4:], "x")
	s.becomes(meta, lock, sides, ".flumespool/bad.failed", "bad", "bad.COMPLETED", "fine.COMPLETED", "late.COMPLETED")
	r.Stop()
	s.must(r.Close())
	expect(t, s.run("decodeErrorPolicy = REPLACE").Await(t, 1), "\ufffd")
	s.becomes(lock, "bad.1.COMPLETED", "bad.COMPLETED", "fine.COMPLETED", "late.COMPLETED")
}

func TestPassedOver(t *testing.T) {
	s := newSite(t)
	s.must(os.Symlink(s.dir, s.path("dir")))
	s.must(os.Symlink("/nowhere", s.path("nothing")))
	s.put("a", "1\n")
	r := s.run()
	expect(t, r.Await(t, 1), "1")
}

func TestPacked(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	s.put("a.gz", packed.String())
	s.put("b", "three\n")
	s.put("c.gz", packed.String()[:packed.Len()-4])
	for i, name := range []string{"a.gz", "b", "c.gz"} {
		at := time.Now().Add(time.Duration(i-10) * time.Second)
		s.must(os.Chtimes(s.path(name), at, at))
	}
	r := s.run("decompress = true")
	expect(t, r.Await(t, 3), "one", "two", "three")
	s.becomes(meta, lock, sides, ".flumespool/c.gz.failed", "a.gz.COMPLETED", "b.COMPLETED", "c.gz")
}

func TestLaws(t *testing.T) {
	s := newSite(t)
	s.put("a", strings.Repeat("line\n", 10000))
	flumetest.Source(t, func(t testing.TB) flume.Source { return flumetest.Open(t, Kind, s.settings()...) })
}

func FuzzTracker(f *testing.F) {
	for _, name := range []string{"flumespool-main.meta.mid-file", "flumespool-main.meta.tracker-dir"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		target, position, _, err := parseTracker(text)
		if err != nil {
			return
		}
		if position < 0 || target == "" {
			t.Errorf("%q, %d", target, position)
		}
		x := tracker{target: target}
		if again, at, _, err := parseTracker(x.appendPosition(x.head(), position)); again != target || at != position || err != nil {
			t.Errorf("written anew it is %q, %d, %v", again, at, err)
		}
	})
}

func (s *site) has(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

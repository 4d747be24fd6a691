package wal

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/jceks"
	"github.com/sluice-io/sluice/internal/vfs"
)

// The directories in testdata/golden were written by Flume 1.11; what must come out is beside them.

type goldenCase struct {
	Name    string
	What    string
	Events  int
	Order   string
	HeadAny int               `json:"head_any_order"`
	Open    map[string]string `json:"open_with"`
	Damaged bool              `json:"damaged_afterwards"`
	Start   string            `json:"flume_at_start"`
}

func goldenCases(t testing.TB) []goldenCase {
	t.Helper()
	b, err := os.ReadFile("testdata/golden/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cs []goldenCase
	if err := json.Unmarshal(b, &cs); err != nil {
		t.Fatal(err)
	}
	return cs
}

// unpack puts an archive into a file system in memory, under /.
func unpack(t testing.TB, name string) *vfs.Memory {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata/golden", name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	m := vfs.NewMemory()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return m
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("/", h.Name)
		if h.Typeflag == tar.TypeDir {
			if err := m.MkdirAll(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		w, err := m.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
}

// jceksKeys are the keys of a key store, with the passwords of the golden cases.
type jceksKeys struct {
	store     *jceks.Store
	passwords map[string]string
}

func (k *jceksKeys) Key(alias string) ([]byte, error) { return k.store.Key(alias, k.passwords[alias]) }

func goldenKeys(t testing.TB, f vfs.FS, open map[string]string) Keys {
	t.Helper()
	file := open["encryption.keyProvider.keyStoreFile"]
	if file == "" {
		return nil
	}
	read := func(name string) []byte {
		b, err := readFile(f, filepath.Join("/", name), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	password := strings.TrimSpace(string(read(open["encryption.keyProvider.keyStorePasswordFile"])))
	s, err := jceks.Open(read(file), password)
	if err != nil {
		t.Fatal(err)
	}
	k := &jceksKeys{s, map[string]string{}}
	for _, alias := range strings.Fields(open["encryption.keyProvider.keys"]) {
		k.passwords[alias] = password
		if own := open["encryption.keyProvider.keys."+alias+".passwordFile"]; own != "" {
			k.passwords[alias] = strings.TrimSpace(string(read(own)))
		}
	}
	return k
}

func (c *goldenCase) options(t testing.TB, f vfs.FS) Options {
	t.Helper()
	o := Options{CheckpointDir: "/" + c.Open["checkpointDir"], MaxFileSize: LargestFile, Capacity: 1000000}
	for d := range strings.SplitSeq(c.Open["dataDirs"], ",") {
		o.DataDirs = append(o.DataDirs, "/"+strings.TrimSpace(d))
	}
	number := func(key string, to func(int)) {
		if v := c.Open[key]; v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				t.Fatal(err)
			}
			to(n)
		}
	}
	number("capacity", func(n int) { o.Capacity = n })
	number("maxFileSize", func(n int) { o.MaxFileSize = int64(n) })
	if c.Open["useDualCheckpoints"] == "true" {
		o.BackupDir = "/" + c.Open["backupCheckpointDir"]
		o.CompressBackup = c.Open["compressBackupCheckpoint"] == "true"
	}
	o.Keys = goldenKeys(t, f, c.Open)
	o.ActiveKey = c.Open["encryption.activeKey"]
	return o
}

type wantEvent struct {
	Headers map[string]string
	Text    *string `json:"body_text"`
	B64     *string `json:"body_b64"`
	Fill    *struct {
		Pattern string `json:"pattern_b64"`
		Length  int
	} `json:"body_fill"`
}

func (e *wantEvent) body(t testing.TB) []byte {
	t.Helper()
	decode := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	switch {
	case e.Text != nil:
		return []byte(*e.Text)
	case e.B64 != nil:
		return decode(*e.B64)
	default:
		p := decode(e.Fill.Pattern)
		return bytes.Repeat(p, e.Fill.Length/len(p)+1)[:e.Fill.Length]
	}
}

// print is an event as a line, headers sorted.
func printEvent(headers map[string]string, body []byte) string {
	var hs []string
	for k, v := range headers {
		hs = append(hs, fmt.Sprintf("%q=%q", k, v))
	}
	slices.Sort(hs)
	return fmt.Sprintf("%v %q", hs, body)
}

func printFlume(e flume.Event) string {
	h := map[string]string{}
	for _, x := range e.Headers {
		h[x.Key] = x.Value
	}
	return printEvent(h, e.Body)
}

func (c *goldenCase) want(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/golden", c.Name+".expect.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range bytes.Lines(b) {
		var e wantEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, printEvent(e.Headers, e.body(t)))
	}
	if len(out) != c.Events {
		t.Fatalf("%d events are expected and %d listed", c.Events, len(out))
	}
	return out
}

// drain takes all events, some at a time.
func drain(t testing.TB, l *Log, some int) []string {
	t.Helper()
	var out []string
	for {
		x, err := l.Take(some, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if x == nil {
			return out
		}
		for _, e := range x.Batch() {
			out = append(out, printFlume(e))
		}
		if err := x.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *goldenCase) compare(t *testing.T, got, want []string) {
	t.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	if n := c.HeadAny; n > 0 && len(got) >= n && len(want) >= n {
		slices.Sort(got[:n])
		slices.Sort(want[:n])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d events, want %d\n%s", len(got), len(want), diff(got, want))
	}
}

func diff(got, want []string) string {
	for i := range max(len(got), len(want)) {
		g, w := "(none)", "(none)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("first difference at %d:\n got %.300s\nwant %.300s", i, g, w)
		}
	}
	return ""
}

func TestGoldenDirectories(t *testing.T) {
	for _, c := range goldenCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			m := unpack(t, c.Name)
			want := c.want(t)
			before := m.Clone()

			o := c.options(t, m)
			l, rec, err := Open(m, o)
			if err != nil {
				t.Fatal(err)
			}
			if rec.Events != c.Events {
				t.Errorf("the recovery says %d events, want %d", rec.Events, c.Events)
			}
			torn := strings.HasPrefix(c.Name, "torn-") && c.Start == "start-fails"
			if (len(rec.Torn) > 0) != torn {
				t.Errorf("torn: %v", rec.Torn)
			}
			if corrupt := c.Name == "corrupt-put-in-the-middle"; (len(rec.Damaged) > 0) != corrupt {
				t.Errorf("damaged: %v", rec.Damaged)
			}
			if rec.Doubtful+len(rec.Missing)+len(rec.Strange) != 0 {
				t.Errorf("recovery: %+v", rec)
			}
			for _, n := range rec.Notes {
				if strings.Contains(n, "is damaged") {
					t.Errorf("a note: %s", n)
				}
			}
			half := c.Events / 2
			if half > 0 {
				x, err := l.Take(half, 1<<30)
				if err != nil {
					t.Fatal(err)
				}
				x.Return()
			}
			// What has been opened once is sound: it opens again, even strictly, with the same events, after a clean
			// end as after SIGKILL and with the checkpoint gone.
			killed := m.Clone()
			if err := l.Close(true); err != nil {
				t.Fatal(err)
			}
			o.Strict = true
			again := func(name string, m *vfs.Memory) {
				l, rec, err := Open(m, o)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if len(rec.Torn)+len(rec.Damaged) > 0 {
					t.Errorf("%s: damage is still there: %+v", name, rec)
				}
				c.compare(t, drain(t, l, 7), want)
				if err := l.Close(true); err != nil {
					t.Fatal(err)
				}
				l, rec, err = Open(m, o)
				if err != nil || rec.Events != 0 {
					t.Fatalf("%s: after everything was taken: %+v, %v", name, rec, err)
				}
				if err := l.Close(false); err != nil {
					t.Error(err)
				}
			}
			again("after SIGKILL", killed.Clone())
			again("after a clean end", m)
			// Without a checkpoint what was in flight comes in the order of the log, not first.
			if c.HeadAny == 0 {
				wipe(t, killed, o.CheckpointDir)
				if o.BackupDir != "" {
					wipe(t, killed, o.BackupDir)
				}
				again("without a checkpoint", killed)
			}

			// Reading alone changes nothing, whatever is broken.
			o.Strict = false
			o.DataDirs = slices.Clone(o.DataDirs)
			was := list(t, before)
			if _, err := look(before, &o); err != nil {
				t.Error(err)
			}
			if now := list(t, before); now != was {
				t.Errorf("looking has changed files:\n%s\n%s", was, now)
			}
		})
	}
}

func wipe(t testing.TB, m *vfs.Memory, dir string) {
	t.Helper()
	es, err := m.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if !e.Dir {
			if err := m.Remove(filepath.Join(dir, e.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := m.SyncDir(dir); err != nil {
		t.Fatal(err)
	}
}

// list is every file with a checksum of its content.
func list(t testing.TB, m *vfs.Memory) string {
	t.Helper()
	var out strings.Builder
	var walk func(dir string)
	walk = func(dir string) {
		es, err := m.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			path := filepath.Join(dir, e.Name)
			if e.Dir {
				walk(path)
				continue
			}
			b, err := readFile(m, path, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s %d %x\n", path, len(b), sum(b))
		}
	}
	walk("/")
	return out.String()
}

func sum(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// clock is a time that stands still.
func clock() time.Time { return time.UnixMilli(1_800_000_000_000) }

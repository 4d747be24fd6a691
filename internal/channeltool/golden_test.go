package channeltool

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/internal/jceks"
	"github.com/sluice-io/sluice/internal/wal"
)

// The directories that Flume 1.11 wrote are those of the log's own tests.
const golden = "../wal/testdata/golden"

type goldenCase struct {
	Name    string
	Events  int
	HeadAny int               `json:"head_any_order"`
	Open    map[string]string `json:"open_with"`
}

func goldenCases(t testing.TB) []goldenCase {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(golden, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cs struct{ Cases []goldenCase }
	if b[0] == '[' {
		err = json.Unmarshal(b, &cs.Cases)
	} else {
		err = json.Unmarshal(b, &cs)
	}
	if err != nil || len(cs.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(cs.Cases), err)
	}
	return cs.Cases
}

// unpack puts a case into a directory of its own.
func unpack(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(golden, name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			var b []byte
			if b, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, b, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

type storedKeys struct {
	store     *jceks.Store
	passwords map[string]string
}

func (k *storedKeys) Key(alias string) ([]byte, error) { return k.store.Key(alias, k.passwords[alias]) }

// options are those of the directories that Find finds in dir, with the keys of the case.
func (c *goldenCase) options(t testing.TB, dir string) wal.Options {
	t.Helper()
	d, err := Find([]string{dir})
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	o := wal.Options{
		CheckpointDir: d.Checkpoint, BackupDir: d.Backup, CompressBackup: d.Compressed(), DataDirs: d.Data,
		Capacity: d.Capacity(), MaxFileSize: wal.LargestFile,
	}
	if o.Capacity == 0 {
		o.Capacity = 10000
	}
	const provider = "encryption.keyProvider"
	if file := c.Open[provider+".keyStoreFile"]; file != "" {
		read := func(name string) string {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		password := strings.TrimSpace(read(c.Open[provider+".keyStorePasswordFile"]))
		s, err := jceks.Open([]byte(read(file)), password)
		if err != nil {
			t.Fatal(err)
		}
		k := &storedKeys{s, map[string]string{}}
		for _, alias := range strings.Fields(c.Open[provider+".keys"]) {
			k.passwords[alias] = password
			if own := c.Open[provider+".keys."+alias+".passwordFile"]; own != "" {
				k.passwords[alias] = strings.TrimSpace(read(own))
			}
		}
		o.Keys, o.ActiveKey = k, c.Open["encryption.activeKey"]
	}
	return o
}

// line is an event as the tests compare it.
type line struct {
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body"`
	BodyBase64 *string           `json:"bodyBase64"`
	Text       *string           `json:"body_text"`
	B64        *string           `json:"body_b64"`
	Fill       *struct {
		Pattern string `json:"pattern_b64"`
		Length  int
	} `json:"body_fill"`
}

func (l *line) print(t testing.TB) string {
	t.Helper()
	decode := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	body := ""
	switch {
	case l.Body != nil:
		body = *l.Body
	case l.BodyBase64 != nil:
		body = decode(*l.BodyBase64)
	case l.Text != nil:
		body = *l.Text
	case l.B64 != nil:
		body = decode(*l.B64)
	case l.Fill != nil:
		p := decode(l.Fill.Pattern)
		body = strings.Repeat(p, l.Fill.Length/len(p)+1)[:l.Fill.Length]
	}
	var hs []string
	for k, v := range l.Headers {
		hs = append(hs, fmt.Sprintf("%q=%q", k, v))
	}
	slices.Sort(hs)
	return fmt.Sprintf("%v %q", hs, body)
}

func lines(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var l line
		err := d.Decode(&l)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, l.print(t))
	}
}

// same compares events, of which the first few may come in any order.
func (c *goldenCase) same(t testing.TB, what string, got []string) {
	t.Helper()
	want := lines(t, filepath.Join(golden, c.Name+".expect.jsonl"))
	got = slices.Clone(got)
	n := min(c.HeadAny, len(got), len(want))
	slices.Sort(got[:n])
	slices.Sort(want[:n])
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s: %d events, want %d:\n%.300q\n%.300q", c.Name, what, len(got), len(want), got, want)
	}
}

func silent(string) {}

func export(t testing.TB, o wal.Options) []string {
	t.Helper()
	x, err := Examine(o, Records, silent)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "out")
	out, err := Create(path, JSON)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Export(t.Context(), x, out, 0, silent); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return lines(t, path)
}

func drain(t testing.TB, o wal.Options, most int64) ([]string, Drained) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out")
	out, err := Create(path, JSON)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Drain(t.Context(), o, QuarantineOf(o.CheckpointDir), out, most, silent)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return lines(t, path), d
}

// files lists what is in a directory, to see that nothing changes.
func files(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			fmt.Fprintln(&out, path)
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %x\n", path, sha256.Sum256(b))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Every directory is read without a change, repaired to a sound one, and drained of exactly what is in it.
func TestGolden(t *testing.T) {
	for _, c := range goldenCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			dir := unpack(t, c.Name)
			o := c.options(t, dir)
			was := files(t, dir)
			x, err := Examine(o, Everything, silent)
			if err != nil {
				t.Fatal(err)
			}
			if x.Events != int64(c.Events) || x.Unreadable+x.Void > 0 {
				t.Errorf("%+v", x)
			}
			if damaged := c.Name == "corrupt-put-in-the-middle"; x.Sound() == damaged {
				t.Errorf("sound %v: %+v", x.Sound(), x.Damage)
			}
			var text bytes.Buffer
			if err := errors.Join(x.Table(&text), x.JSON(&text)); err != nil {
				t.Error(err)
			}
			x.List(&text)
			x.Plan(&text, "q")
			c.same(t, "exported", export(t, o))
			if files(t, dir) != was {
				t.Error("reading changed files")
			}
			r, err := Repair(o, QuarantineOf(o.CheckpointDir), x)
			if err != nil {
				t.Fatal(err)
			}
			r.Print(&text, "q")
			if len(r.Aside) != len(x.Damage) || len(r.Left) > 0 {
				t.Errorf("%+v", r)
			}
			x, err = Examine(o, Everything, silent)
			if err != nil || !x.Sound() || x.Events != int64(c.Events) || len(x.Report.Torn) > 0 {
				t.Errorf("after the repair: %+v, %v", x, err)
			}
			got, d := drain(t, o, 2)
			if len(got) != min(2, c.Events) {
				t.Errorf("%d events, for two were asked", len(got))
			}
			rest, d := drain(t, o, 0)
			if d.Left > 0 || len(d.Aside) > 0 {
				t.Errorf("%+v", d)
			}
			c.same(t, "drained", append(got, rest...))
			if x, err = Examine(o, Everything, silent); err != nil || x.Events != 0 || !x.Sound() {
				t.Errorf("after the drain: %+v, %v", x, err)
			}
		})
	}
}

// Whatever is damaged, a repair makes it sound, keeps every event that could be read before, and what it voids is in
// the quarantine.
func TestRepairAnyDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	cases := goldenCases(t)
	for range 40 {
		c := cases[r.IntN(len(cases))]
		if strings.HasPrefix(c.Name, "encrypted") && r.IntN(4) > 0 {
			continue // deriving their keys takes long
		}
		dir := unpack(t, c.Name)
		o := c.options(t, dir)
		before, err := Examine(o, Everything, silent)
		if err != nil {
			t.Fatal(err)
		}
		var places []string
		for range 1 + r.IntN(3) {
			f := before.Report.Files[r.IntN(len(before.Report.Files))]
			if f.Data < 2 {
				continue
			}
			at := r.Int64N(min(f.Data, 2000))
			flip(t, f.Path, at)
			places = append(places, fmt.Sprintf("%s at %d", filepath.Base(f.Path), at))
		}
		x, err := Examine(o, Everything, silent)
		if err != nil {
			t.Fatalf("%s, %v: %v", c.Name, places, err)
		}
		if x.Repairable(false) != nil {
			continue // all that an encrypted file has
		}
		readable := export(t, o)
		rep, err := Repair(o, QuarantineOf(o.CheckpointDir), x)
		if err != nil {
			t.Fatalf("%s, %v: %v", c.Name, places, err)
		}
		x, err = Examine(o, Everything, silent)
		if err != nil {
			t.Fatalf("%s, %v: %v", c.Name, places, err)
		}
		if len(x.Damage) != len(rep.Left) {
			t.Errorf("%s, %v: after the repair: %+v, left %+v", c.Name, places, x.Damage, rep.Left)
		}
		if b, err := os.ReadFile(filepath.Join(QuarantineOf(o.CheckpointDir), "quarantine.jsonl")); len(rep.Aside) != bytes.Count(b, []byte{'\n'}) {
			t.Errorf("%s, %v: %d set aside, %d lines in the quarantine, %v", c.Name, places, len(rep.Aside), bytes.Count(b, []byte{'\n'}), err)
		}
		got, d := drain(t, o, 0)
		slices.Sort(got)
		slices.Sort(readable)
		if d.Left > 0 || !slices.Equal(got, readable) {
			t.Errorf("%s, %v: %d events drained and %d left, %d could be read before", c.Name, places, len(got), d.Left, len(readable))
		}
	}
}

func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x58
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

package channeltool

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/wal"
)

func goldenNamed(t *testing.T, name string) (dir string, o wal.Options, c goldenCase) {
	t.Helper()
	for _, c := range goldenCases(t) {
		if c.Name == name {
			dir := unpack(t, name)
			return dir, c.options(t, dir), c
		}
	}
	t.Fatalf("no case %s", name)
	return
}

type wrongKeys struct{}

func (wrongKeys) Key(string) ([]byte, error) { return []byte("0123456789abcdef"), nil }

// With a wrong key every record looks damaged, or the whole file cut off. Nothing may be repaired then.
func TestWrongKey(t *testing.T) {
	for _, checkpoint := range []bool{true, false} {
		for _, depth := range []Depth{Start, Records, Everything} {
			_, o, _ := goldenNamed(t, "encrypted-one-key")
			o.Keys = wrongKeys{}
			if !checkpoint {
				for _, name := range []string{"checkpoint", "checkpoint.meta", "inflightputs", "inflighttakes"} {
					if err := os.Remove(filepath.Join(o.CheckpointDir, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			x, err := Examine(o, depth, silent)
			if err != nil {
				t.Fatal(err)
			}
			if checkpoint && depth == Start {
				continue // a start reads no record
			}
			if err := x.Repairable(true); x.Sound() || err == nil || !strings.Contains(err.Error(), `log-1 with the key "key-0"`) {
				t.Errorf("checkpoint %v, depth %v: sound %v, %v", checkpoint, depth, x.Sound(), err)
			}
		}
	}
}

// An encrypted file whose first write was cut off is no reason to doubt the key.
func TestTornEncryptedFile(t *testing.T) {
	_, o, c := goldenNamed(t, "encrypted-rotated-sigkill")
	last := filepath.Join(o.DataDirs[0], "log-3")
	if err := os.Truncate(last, 20); err != nil {
		t.Fatal(err)
	}
	x, err := Examine(o, Everything, silent)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Repairable(false); err != nil || !x.Sound() || len(x.Report.Torn) != 1 || x.Events >= int64(c.Events) {
		t.Errorf("%+v, %v", x, err)
	}
}

// Data files that are not there are not given up unasked.
func TestMissingFile(t *testing.T) {
	_, o, _ := goldenNamed(t, "two-runs")
	for _, name := range []string{"log-1", "log-1.meta"} {
		if err := os.Remove(filepath.Join(o.DataDirs[0], name)); err != nil {
			t.Fatal(err)
		}
	}
	x, err := Examine(o, Everything, silent)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Repairable(false); x.Sound() || err == nil || !strings.Contains(err.Error(), "log-1 (5 events)") {
		t.Errorf("sound %v, %v", x.Sound(), err)
	}
	if err := x.Repairable(true); err != nil {
		t.Error(err)
	}
	r, err := Repair(o, QuarantineOf(o.CheckpointDir), x)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	r.Print(&text, "q")
	if !strings.Contains(text.String(), "given up, for log-1 is missing: 5 events") {
		t.Error(text.String())
	}
	if x, err = Examine(o, Everything, silent); err != nil || !x.Sound() || x.Events != 5 {
		t.Errorf("%+v, %v", x, err)
	}
}

// The summary is Flume's, to the byte.
func TestIntegrity(t *testing.T) {
	_, o, c := goldenNamed(t, "corrupt-put-in-the-middle")
	in, err := CheckIntegrity(o.DataDirs)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/noop-after-integrity-tool.tool.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out, rest bytes.Buffer
	in.Summary(&out, &rest)
	if out.String() != string(want) || rest.Len() > 0 {
		t.Errorf("%s%s", out.String(), rest.String())
	}
	if _, err := os.Stat(filepath.Join(QuarantineOf(o.DataDirs[0]), "quarantine.jsonl")); err != nil || len(in.Aside) != 1 {
		t.Errorf("%+v, %v", in.Aside, err)
	}
	if entries, err := filepath.Glob(filepath.Join(o.DataDirs[0], "*")); err != nil || len(entries) != 2 {
		t.Errorf("there are %v, %v", entries, err)
	}
	x, err := Examine(o, Everything, silent)
	if err != nil || !x.Sound() {
		t.Errorf("%+v, %v", x, err)
	}
	c.same(t, "afterwards", export(t, o))
}

func TestTimes(t *testing.T) {
	var at Times
	for _, text := range []string{"2000", "x", "-5", "3000"} {
		e := event1("", "timestamp", text)
		at.event(&e)
	}
	at.event(&flume.Event{})
	if at.Stamped != 3 || !at.Oldest.Equal(time.UnixMilli(-5)) || !at.Newest.Equal(time.UnixMilli(3000)) {
		t.Errorf("%+v", at)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -100: "-100"} {
		if got := Number(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for n, want := range map[int64]string{1: "1 byte", 1023: "1,023 bytes", 1024: "1.0 KiB", 10 << 10: "10 KiB", 1000 << 10: "1.0 MiB", 1 << 62: "4.0 EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

package wal

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A checkpoint whose live slots, head or size have changed is not believed: the next one is, or a replay of everything.
func TestADamagedCheckpointIsNotBelieved(t *testing.T) {
	for _, backup := range []string{"", "plain", "compressed"} {
		o := smallOptions()
		if backup != "" {
			o.BackupDir, o.CompressBackup = "/b", backup == "compressed"
		}
		m, _ := puts(t, o, []string{"a", "b", "c"}, []string{"d", "e"})
		l, _, err := Open(m, o)
		if err != nil {
			t.Fatal(err)
		}
		putTexts(t, l, "f", "g")
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		for name, damage := range map[string]func(m *vfs.Memory){
			"zeros":         func(m *vfs.Memory) { poke(t, m, "/c/checkpoint", queueAt, make([]byte, 4*slotSize)...) },
			"an offset":     func(m *vfs.Memory) { poke(t, m, "/c/checkpoint", queueAt+2*slotSize+7, 1) },
			"another file":  func(m *vfs.Memory) { poke(t, m, "/c/checkpoint", queueAt+3, 2) },
			"the checksum":  func(m *vfs.Memory) { poke(t, m, "/c/checkpoint", slotSum*slotSize+6, 1, 2) },
			"a wrong count": func(m *vfs.Memory) { poke(t, m, "/c/checkpoint.meta", 16, 6) },
			"a wrong head":  func(m *vfs.Memory) { poke(t, m, "/c/checkpoint.meta", 21, 1) },
		} {
			k := m.Clone()
			damage(k)
			l, rec, err := Open(k, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(rec.Missing) > 0 || len(rec.Notes) != 1 || !strings.Contains(rec.Notes[0], "checksum") {
				t.Errorf("%s: %+v", name, rec)
			}
			if want := backup != ""; (filepath.Dir(rec.Checkpoint) == "/b") != want {
				t.Errorf("%s: backup %q: the checkpoint is %q", name, backup, rec.Checkpoint)
			}
			if got := bodies(t, l); got != "a b c d e f g" {
				t.Errorf("%s: %q", name, got)
			}
		}
		if backup != "plain" {
			continue
		}
		poke(t, m, "/b/checkpoint", queueAt+7, 3)
		if _, err := loadCheckpoint(m, "/b", ringName, metaName); err == nil || errors.Is(err, errAbsent) {
			t.Errorf("a damaged backup: %v", err)
		}
	}
}

// Flume's checkpoint has no checksum. What it says that cannot be is damage of its own, not of the data files.
func TestADamagedCheckpointOfFlumeIsNotBelieved(t *testing.T) {
	for _, c := range goldenCases(t) {
		if c.Name != "puts-clean" {
			continue
		}
		for name, damage := range map[string]struct {
			at int64
			b  []byte
		}{"zeros": {0, make([]byte, slotSize)}, "a newer file": {2, []byte{1}}, "behind a file's end": {4, []byte{0x7f}}} {
			m := unpack(t, c.Name)
			o := c.options(t, m)
			ck, err := loadCheckpoint(m, o.CheckpointDir, ringName, metaName)
			if err != nil || ck.size == 0 || ck.summed {
				t.Fatalf("%+v, %v", ck, err)
			}
			mb, err := readFile(m, filepath.Join(o.CheckpointDir, metaName), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			meta, err := decodeCheckpointMeta(mb)
			if err != nil {
				t.Fatal(err)
			}
			at := queueAt + int64(meta.head)*slotSize
			poke(t, m, filepath.Join(o.CheckpointDir, ringName), at+damage.at, damage.b...)
			l, rec, err := Open(m, o)
			if err != nil || len(rec.Notes) != 1 || !strings.Contains(rec.Notes[0], "checkpoint is damaged") || rec.Checkpoint != "" || len(rec.Missing)+len(rec.Strange) > 0 {
				t.Fatalf("%s: %+v, %v", name, rec, err)
			}
			c.compare(t, drain(t, l, 10), c.want(t))
		}
	}
}

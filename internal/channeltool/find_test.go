package channeltool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes files, and of names that end in a slash directories, below a new directory.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		name  string
		tree  string
		paths string // below the root; empty: the root
		want  string // checkpoint backup data…; - is none
		wrong string
	}{
		{"a parent", "checkpoint/checkpoint checkpoint/in_use.lock data/log-1 data/log-1.meta keys/store", "", "checkpoint - data", ""},
		{"the directories", "c/checkpoint.meta d/log-7", "c d", "c - d", ""},
		{"in any order", "c/checkpoint d1/log-1 d2/log-2 b/backupComplete b/checkpoint", "d2 b c d1", "c b d2 d1", ""},
		{"a compressed backup", "c/checkpoint d/log-1 x/checkpoint.snappy", "", "c x d", ""},
		{"a backup that is not complete", "c/checkpoint d/log-1 my-backup/checkpoint", "", "c my-backup d", ""},
		{"the same, found first", "a-backup/checkpoint c/checkpoint d/log-1", "", "c a-backup d", ""},
		{"an empty checkpoint directory", "checkpoint/ data/log-1", "", "checkpoint - data", ""},
		{"an empty backup and data directory", "c/checkpoint backup/in_use.lock data1/log-1 data2/", "", "c backup data1 data2", ""},
		{"no checkpoint directory", "data/log-1", "data", "- - data", ""},
		{"leftovers of Flume", "c/queueset/x c/checkpoint data/log-1 data/log-1.bak", "", "c - data", ""},
		{"two checkpoints", "c1/checkpoint d1/log-1 c2/checkpoint d2/log-2", "", "", "both hold a checkpoint"},
		{"two backups", "c/checkpoint d/log-1 x/backupComplete y/backupComplete", "", "", "both hold a checkpoint"},
		{"nothing", "x/y z", "", "", "is no directory of a file channel"},
		{"no data", "checkpoint/checkpoint", "", "", "no data directory"},
		{"nobody", "x/", "y", "", "no such file"},
		{"a foreign name", "x/log-1x x/log-", "", "", "is no directory of a file channel"},
	} {
		root := tree(t, strings.Fields(c.tree)...)
		paths := []string{root}
		if c.paths != "" {
			paths = nil
			for _, p := range strings.Fields(c.paths) {
				paths = append(paths, filepath.Join(root, p))
			}
		}
		d, err := Find(paths)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %+v, %v", c.name, d, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := ""
		for _, path := range append([]string{d.Checkpoint, d.Backup}, d.Data...) {
			if path == "" {
				path = "-"
			}
			got += " " + filepath.Base(path)
		}
		if got[1:] != c.want {
			t.Errorf("%s: got%s, want %s", c.name, got, c.want)
		}
	}
}

func TestCapacity(t *testing.T) {
	root := tree(t, "c/checkpoint", "b/checkpoint")
	d := Dirs{Checkpoint: filepath.Join(root, "c"), Backup: filepath.Join(root, "b")}
	for _, c := range []struct {
		checkpoint, backup int64
		want               int
	}{
		{(1029 + 1000) * 8, 0, 1000},
		{1029 * 8, (1029 + 7) * 8, 7},
		{(1029+1000)*8 - 1, 0, 0},
		{0, 0, 0},
	} {
		for path, size := range map[string]int64{d.Checkpoint: c.checkpoint, d.Backup: c.backup} {
			if err := os.Truncate(filepath.Join(path, "checkpoint"), size); err != nil {
				t.Fatal(err)
			}
		}
		if got := d.Capacity(); got != c.want {
			t.Errorf("%d, %d: %d, want %d", c.checkpoint, c.backup, got, c.want)
		}
	}
}

package wal

import (
	"errors"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// What CheckFiles makes void does not come out of a replay afterwards, and nothing else is missing. The records are:
// 0 put a, 1 put b, 2 commit, 3 put c, 4 put d, 5 commit, 6 put e, 7 commit.
func TestCheckFiles(t *testing.T) {
	for _, c := range []struct {
		name         string
		damage       func(m *vfs.Memory, at []int64)
		want         string
		damaged, put int
		left, torn   bool
	}{
		{"nothing", func(*vfs.Memory, []int64) {}, "a b c d e", 0, 5, false, false},
		{"a put's body", func(m *vfs.Memory, at []int64) { flip(t, m, at[3]+40) }, "a b d e", 1, 4, false, false},
		{"a put's header, with its commit behind it", func(m *vfs.Memory, at []int64) { flip(t, m, at[3]+7) }, "a b d e", 1, 4, false, false},
		{"a commit", func(m *vfs.Memory, at []int64) { flip(t, m, at[5]+31) }, "a b e c d", 1, 5, true, false},
		{"a commit's header", func(m *vfs.Memory, at []int64) { flip(t, m, at[5]+7) }, "a b e c d", 1, 5, true, false},
		{"two records", func(m *vfs.Memory, at []int64) {
			flip(t, m, at[0]+7)
			flip(t, m, at[5]+7)
		}, "b e c d", 2, 4, true, false},
		{"the end", func(m *vfs.Memory, at []int64) {
			w, _ := m.OpenWrite("/d/log-1")
			w.Truncate(at[7] + 10)
		}, "a b c d", 0, 5, false, true},
	} {
		for _, encrypted := range []bool{false, true} {
			o := smallOptions()
			if encrypted {
				o.Keys, o.ActiveKey = fixedKeys{}, "k"
			}
			m, at := puts(t, o, []string{"a", "b"}, []string{"c", "d"}, []string{"e"})
			c.damage(m, at)
			aside := 0
			o.SetAside = func(Damage) error { aside++; return nil }
			files := o
			files.CheckpointDir = ""
			was := list(t, m)
			for _, mend := range []bool{false, true} {
				rs, err := CheckFiles(m, files, mend)
				if err != nil || len(rs) != 1 {
					t.Fatalf("%s: %+v, %v", c.name, rs, err)
				}
				r := rs[0]
				if len(r.Damaged) != c.damaged || len(r.Left) > 0 != c.left || r.Torn != c.torn || r.Puts != int64(c.put) {
					t.Errorf("%s: %+v", c.name, r)
				}
				if now := list(t, m); !mend && (now != was || aside > 0) {
					t.Errorf("%s: looking changed files", c.name)
				}
				if mend && aside != c.damaged-len(r.Left) {
					t.Errorf("%s: %d set aside", c.name, aside)
				}
			}
			if rs, err := CheckFiles(m, files, true); err != nil || len(rs[0].Damaged) != len(rs[0].Left) || rs[0].Torn {
				t.Errorf("%s, once more: %+v, %v", c.name, rs, err)
			}
			wipe(t, m, "/c")
			l, rec, err := Open(m, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(rec.Damaged) > 0 != c.left || len(rec.Torn) > 0 {
				t.Errorf("%s: %+v", c.name, rec)
			}
			if got := bodies(t, l); got != c.want {
				t.Errorf("%s: got %q, want %q", c.name, got, c.want)
			}
		}
	}
}

func TestCheckFilesLocks(t *testing.T) {
	m, _ := puts(t, smallOptions(), []string{"a"})
	m.LockAs("/d/in_use.lock", vfs.Process{PID: 4711})
	o := Options{DataDirs: []string{"/d"}}
	var locked *vfs.LockedError
	if _, err := CheckFiles(m, o, true); !errors.As(err, &locked) || locked.Holder.PID != 4711 {
		t.Errorf("%v", err)
	}
	if _, err := CheckFiles(m, o, false); err != nil {
		t.Error(err)
	}
	if _, err := CheckFiles(m, Options{}, false); err == nil {
		t.Error("there is no directory")
	}
}

// Of several damaged records in a row every one is void afterwards, for whoever points to it.
func TestVoidOneByOne(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		o := smallOptions()
		if encrypted {
			o.Keys, o.ActiveKey = fixedKeys{}, "k"
		}
		m, at := puts(t, o, []string{"a", "b", "c", "d"})
		l, _, err := Open(m, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		flip(t, m, at[1]+2) // the length, so that the next one has to be looked for
		flip(t, m, at[2]+7)
		poke(t, m, "/d/log-1", at[2], 0x33)
		if _, err := CheckFiles(m, o, true); err != nil {
			t.Fatal(err)
		}
		r, err := Inspect(m, o, true)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := r.Each(func(e flume.Event, err error) error { got += string(e.Body); return err }); err != nil || got != "ad" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

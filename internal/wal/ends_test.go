package wal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/internal/vfs"
)

// rolled makes a log whose first data file has been left for a second, which has records: what is missing at its end was
// good once. The checkpoint knows all of it or, wiped, nothing.
func rolled(t *testing.T, o Options) (m *vfs.Memory, at []int64) {
	t.Helper()
	m, at = puts(t, o, []string{"a", "b"}, []string{"c", "d"})
	l, _, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	putTexts(t, l, "e")
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	return m, at
}

func truncate(t *testing.T, m *vfs.Memory, name string, n int64) {
	t.Helper()
	w, err := m.OpenWrite(name)
	if err == nil {
		err = w.Truncate(n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheEndOfAnEarlierFileIsDamage(t *testing.T) {
	o := smallOptions()
	for _, c := range []struct {
		name       string
		to         func(at []int64) int64
		checkpoint bool
		want       string
		lost       int
		doubtful   int
	}{
		// Records: 0 put a, 1 put b, 2 commit, 3 put c, 4 put d, 5 commit.
		{"in a put, known to the checkpoint", func(at []int64) int64 { return at[4] + 20 }, true, "a b c e", 1, 0},
		{"in a length, known to the checkpoint", func(at []int64) int64 { return at[4] + 3 }, true, "a b c e", 1, 0},
		{"between two, known to the checkpoint", func(at []int64) int64 { return at[3] }, true, "a b e", 2, 0},
		{"all of it, known to the checkpoint", func([]int64) int64 { return 0 }, true, "e", 4, 0},
		{"in a put", func(at []int64) int64 { return at[4] + 20 }, false, "a b e c", 0, 1},
		{"in a put's event", func(at []int64) int64 { return at[5] - 3 }, false, "a b e c", 0, 1},
		{"between two", func(at []int64) int64 { return at[4] }, false, "a b e c", 0, 1},
		{"in a commit", func(at []int64) int64 { return at[5] + 12 }, false, "a b e c d", 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, at := rolled(t, o)
			truncate(t, m, "/d/log-1", c.to(at))
			if !c.checkpoint {
				wipe(t, m, "/c")
			}
			strict := o
			strict.Strict = true
			var refused *RefusedError
			if _, _, err := Open(m.Clone(), strict); !errors.As(err, &refused) || !strings.Contains(err.Error(), "/d/log-1 is damaged") {
				t.Errorf("strictly: %v", err)
			}
			if r, err := Inspect(m, o, true); err != nil || len(r.Files[0].Damaged) != 1 || r.Files[0].Torn {
				t.Errorf("inspected: %+v, %v", r, err)
			}
			k := m.Clone()
			if fs, err := CheckFiles(k, Options{DataDirs: o.DataDirs}, true); err != nil || len(fs[0].Damaged) != 1 || fs[0].Torn {
				t.Errorf("checked: %+v, %v", fs, err)
			}
			aside := 0
			o := o
			o.SetAside = func(Damage) error { aside++; return nil }
			l, rec, err := Open(m, o)
			if err != nil || len(rec.Torn) > 0 || len(rec.Damaged) != 1 || rec.Strange["/d/log-1"] != c.lost || rec.Doubtful != c.doubtful || aside != 1 {
				t.Fatalf("%+v, %d set aside, %v", rec, aside, err)
			}
			killed := m.Clone()
			if got := bodies(t, l); got != c.want || aside != 1 {
				t.Errorf("got %q, want %q, %d set aside", got, c.want, aside)
			}
			for _, name := range []string{"with", "without"} {
				k := killed.Clone()
				if name == "without" {
					wipe(t, k, "/c")
				}
				l, rec, err := Open(k, strict)
				if err != nil || len(rec.Strange) > 0 {
					t.Fatalf("again, %s the checkpoint: %+v, %v", name, rec, err)
				}
				// A transaction whose end has gone is known to the checkpoint alone.
				if got := bodies(t, l); got != c.want && (name == "with" || !c.checkpoint) {
					t.Errorf("again, %s the checkpoint: %q", name, got)
				}
			}
		})
	}
}

// The newest file with records may end in a write that nobody was told of, though newer ones without any are there.
func TestTheEndOfTheLastFileIsNoDamage(t *testing.T) {
	o := smallOptions()
	o.Strict = true
	m, at := puts(t, o, []string{"a", "b"}, []string{"c", "d"})
	truncate(t, m, "/d/log-1", at[4]+20)
	for i, n := range []int{0, 9000} {
		name := fmt.Sprintf("/d/log-%d", 2+i)
		save(t, m, name, make([]byte, n))
		save(t, m, name+".meta", (&dataMeta{file: uint32(2 + i)}).encode())
	}
	l, rec, err := Open(m, o)
	if err != nil || len(rec.Torn) != 1 || len(rec.Damaged) > 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "a b" {
		t.Errorf("%q", got)
	}
}

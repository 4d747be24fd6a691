package wal

import (
	"errors"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

func TestInspect(t *testing.T) {
	for _, c := range goldenCases(t) {
		m := unpack(t, c.Name)
		was := list(t, m)
		r, err := Inspect(m, c.options(t, m), true)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		var got []string
		if err := r.Each(func(e flume.Event, err error) error {
			got = append(got, printFlume(e))
			return err
		}); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		c.compare(t, got, c.want(t))
		if now := list(t, m); now != was {
			t.Errorf("%s: inspecting changed files", c.Name)
		}
		live, torn, damaged := 0, false, 0
		for _, f := range r.Files {
			live += f.Live
			torn = torn || f.Torn
			damaged += len(f.Damaged)
			if f.Data > f.Size || !f.Counted {
				t.Errorf("%s: %+v", c.Name, f)
			}
		}
		if live != c.Events || r.Events != c.Events {
			t.Errorf("%s: %d live events in the files, want %d", c.Name, live, c.Events)
		}
		if torn != (len(r.Torn) > 0) || damaged != len(r.Damaged) {
			t.Errorf("%s: %+v", c.Name, r)
		}
	}
}

func TestInspectCounts(t *testing.T) {
	m, at := puts(t, smallOptions(), []string{"a", "b"}, []string{"c"})
	l, _, err := Open(m, smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	x, err := l.Take(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	flip(t, m, at[1]+40) // b, which the checkpoint has: only reading it all finds it
	for _, whole := range []bool{false, true} {
		r, err := Inspect(m, smallOptions(), whole)
		if err != nil || len(r.Files) != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		if c := r.From; c.Path != "/c/checkpoint" || c.Events != 2 || c.Capacity != 100 || c.Order == 0 || c.Version != 3 || c.Open != 0 {
			t.Errorf("%+v", c)
		}
		a, b := r.Files[0], r.Files[1]
		if whole != (a.Puts == 2 && a.Commits == 2 && len(a.Damaged) == 1 && b.Takes == 1) || a.Live != 2 {
			t.Errorf("whole %v: %+v, %+v", whole, a, b)
		}
		bad := 0
		stop := errors.New("enough")
		if err := r.Each(func(e flume.Event, err error) error {
			var damaged *DamagedError
			if errors.As(err, &damaged) {
				if damaged.Path != "/d/log-1" || damaged.Offset != at[1] {
					t.Errorf("%+v", damaged)
				}
				bad++
				return nil
			}
			if string(e.Body) != "c" {
				t.Errorf("%q", e.Body)
			}
			return stop
		}); !errors.Is(err, stop) || bad != 1 {
			t.Errorf("%v, %d bad", err, bad)
		}
	}
}

// What a repair has made void is no event and no damage.
func TestInspectPassesOver(t *testing.T) {
	m, at := puts(t, smallOptions(), []string{"a", "b"})
	l, _, err := Open(m, smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	flip(t, m, at[0]+40)
	if _, err := CheckFiles(m, smallOptions(), true); err != nil {
		t.Fatal(err)
	}
	r, err := Inspect(m, smallOptions(), true)
	if err != nil || r.Events != 2 || len(r.Files[0].Damaged) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	got := ""
	if err := r.Each(func(e flume.Event, err error) error { got += string(e.Body); return err }); err != nil || got != "b" {
		t.Errorf("%q, %v", got, err)
	}
}

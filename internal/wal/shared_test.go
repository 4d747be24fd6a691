package wal

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// Two logs whose configurations share a checkpoint directory by mistake, as the default of every file channel makes it,
// have it in turn. Neither loses an event by what the other leaves there, whenever the other is killed.
func TestSharedCheckpointDirectory(t *testing.T) {
	for _, c := range []struct {
		name  string
		late  time.Duration // how far the second's clock is ahead; without it its numbers follow those of the first
		later bool          // the first writes after its last checkpoint
		old   bool          // the second has data of its own already
	}{
		{"an empty checkpoint, then puts", 0, true, false},
		{"an empty checkpoint, then puts; the clock is ahead", time.Hour, true, false},
		{"the second has data", 0, true, true},
		{"the second has data; the clock is ahead", time.Hour, true, true},
		{"the checkpoint has events", 0, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			one, two := smallOptions(), smallOptions()
			one.DataDirs, two.DataDirs = []string{"/one"}, []string{"/two"}
			two.now = func() time.Time { return clock().Add(c.late) }
			m := memory(t)
			wantTwo := ""
			if c.old {
				l := opened(t, m, two)
				putTexts(t, l, "old")
				m = m.Clone() // killed
				wantTwo = "old "
			}
			l := opened(t, m, one)
			if !c.later {
				putTexts(t, l, "a")
			}
			if err := l.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			want := "a"
			if c.later {
				putTexts(t, l, "a")
			}
			for _, s := range []string{"b", "c", "d", "e"} {
				if c.later {
					putTexts(t, l, s)
					want += " " + s
				}
			}
			m = m.Clone() // killed

			states := []*vfs.Memory{m.Clone()}
			m.After = func(vfs.Op) { states = append(states, m.Clone()) }
			l = opened(t, m, two)
			if got := bodies(t, l); got != strings.TrimSpace(wantTwo) {
				t.Fatalf("the second has %q, want %q", got, wantTwo)
			}
			putTexts(t, l, "p")
			putTexts(t, l, "q")
			if err := l.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			putTexts(t, l, "r")
			if err := l.Close(true); err != nil {
				t.Fatal(err)
			}
			m.After = nil
			for i, s := range states {
				last := i == len(states)-1
				l := opened(t, s, one)
				if got := bodies(t, l); got != want {
					t.Fatalf("the first has %q after change %d of the second, want %q", got, i, want)
				}
				if err := l.Close(true); err != nil {
					t.Fatal(err)
				}
				if !last {
					continue
				}
				l = opened(t, s, two)
				if got := bodies(t, l); got != "p q r" {
					t.Errorf("the second has %q when the first has been there", got)
				}
			}
		})
	}
}

// A checkpoint that has events of data files that are nowhere is still refused, and left alone.
func TestSharedCheckpointDirectoryRefused(t *testing.T) {
	one, two := smallOptions(), smallOptions()
	one.DataDirs, two.DataDirs = []string{"/one"}, []string{"/two"}
	m := memory(t)
	l := opened(t, m, one)
	putTexts(t, l, "a", "b")
	if err := l.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	m = m.Clone()
	var refused *RefusedError
	if _, _, err := Open(m, two); !errors.As(err, &refused) {
		t.Fatalf("%v", err)
	}
	if got := bodies(t, opened(t, m, one)); got != "a b" {
		t.Errorf("%q", got)
	}
}

func opened(t *testing.T, m *vfs.Memory, o Options) *Log {
	t.Helper()
	l, rec, err := Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Damaged)+len(rec.Torn)+len(rec.Missing)+len(rec.Strange) > 0 {
		t.Errorf("%+v", rec)
	}
	return l
}

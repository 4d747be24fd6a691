package taildir

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flumetest"
)

// A stepped is a source that looks and reads when the test says so.
type stepped struct {
	*source
	t   testing.TB
	env *flumetest.Env
	in  flumetest.Inbox
}

func (s *site) step() *stepped {
	s.t.Helper()
	env := flumetest.NewEnv()
	r, ok := flumetest.OpenIn(s.t, env, Kind, s.settings()...).(*source)
	if !ok {
		s.t.Fatal("it is another source")
	}
	st := &stepped{source: r, t: s.t, env: env}
	s.t.Cleanup(st.stop)
	return st
}

func (r *stepped) stop() {
	for _, st := range r.streams {
		st.close()
	}
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
}

// round looks and reads, often enough for what was found to be settled.
func (r *stepped) round() {
	for range 3 {
		r.readAll(r.t.Context(), r.in.Emit, r.look(time.Now()))
	}
}

// until goes on so until something is so.
func (r *stepped) until(what string, is func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); {
		if time.Now().After(end) {
			r.t.Fatalf("waiting for %s: %s", what, r.env.Logged())
		}
		r.round()
		r.tidy()
	}
}

// gets waits until n events have come in all.
func (r *stepped) gets(n int) []string {
	r.t.Helper()
	r.until("events", func() bool { return r.count() >= n })
	r.round()
	got := flumetest.Bodies(slices.Concat(r.in.Batches()...))
	if len(got) != n {
		r.t.Fatalf("%d events instead of %d: %q; %s", len(got), n, got, r.env.Logged())
	}
	return got
}

func (r *stepped) count() int { return len(slices.Concat(r.in.Batches()...)) }

// A log that is written anew with the bytes it had is not a copy of itself: what a command says is said again.
func TestSameAgain(t *testing.T) {
	for _, x := range []struct {
		name, text string
		lines      int
	}{{"short", "OK\n", 1}, {"long", lines(0, 100), 100}} {
		for _, way := range []struct {
			name  string
			empty func(s *site)
		}{
			{"cut short", func(s *site) { s.must(os.Truncate(s.path("app.log"), 0)) }},
			{"removed", func(s *site) { s.must(os.Remove(s.path("app.log"))) }},
			{"replaced", func(s *site) {
				s.must(os.WriteFile(s.path("new"), nil, 0o644))
				s.must(os.Rename(s.path("new"), s.path("app.log")))
			}},
		} {
			for _, again := range []string{"looks between", "no look between", "a restart between"} {
				if again == "no look between" && way.name == "cut short" {
					continue // nobody can know
				}
				t.Run(x.name+", "+way.name+", "+again, func(t *testing.T) {
					s := newSite(t)
					s.add("app.log", x.text)
					r := s.step()
					r.gets(x.lines)
					way.empty(s)
					if again != "no look between" {
						r.round()
					}
					if again == "a restart between" {
						r.save()
						r.stop()
						s.add("app.log", x.text)
						s.step().gets(x.lines)
						return
					}
					s.add("app.log", x.text)
					r.gets(2 * x.lines)
				})
			}
		}
	}
}

// Two short logs that say the same are two logs, though the one is removed as the other is there.
func TestShortAlike(t *testing.T) {
	s := newSite(t)
	s.add("app.log.1", "OK\n")
	r := s.step()
	r.gets(1)
	s.add("app.log.2", "OK\n")
	s.must(os.Remove(s.path("app.log.1")))
	r.gets(2)
}

// What was made after a log was removed is no copy of it, whatever its name.
func TestMadeLater(t *testing.T) {
	s := newSite(t)
	s.add("app.log.1", lines(0, 100))
	r := s.step()
	r.gets(100)
	s.must(os.Remove(s.path("app.log.1")))
	gone, err := os.Stat(s.dir)
	s.must(err)
	for end := time.Now().Add(5 * time.Second); ; { // the clock of the file system has to tell the two apart
		s.must(os.WriteFile(s.path("clock"), nil, 0o644))
		now, err := os.Stat(s.path("clock"))
		s.must(errors.Join(err, os.Remove(s.path("clock"))))
		if now.ModTime().After(gone.ModTime()) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the clock stands still")
		}
	}
	s.add("app.log.2", lines(0, 100))
	r.gets(200)
}

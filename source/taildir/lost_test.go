package taildir

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
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
		r.offer.Emit = r.in.Emit
		r.readAll(r.t.Context(), r.look(time.Now()))
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

// A file that was made after Flume wrote its positions is not the one that has an entry there, though it has got its name
// and inode.
func TestMadeAfterFlume(t *testing.T) {
	s := newSite(t)
	s.add("app.log", lines(0, 20))
	i, err := stat(s.path("app.log"))
	s.must(err)
	if i.born == 0 {
		t.Skip("the file system does not say when a file was made")
	}
	s.must(os.WriteFile(s.positions(), appendPositions(nil, []position{{i.inode, int64(len(lines(0, 10))), s.path("app.log")}}), 0o644))
	before := time.Unix(0, i.born-1)
	s.must(os.Chtimes(s.positions(), before, before))
	s.step().gets(20)
}

// The same where the directory could not be seen for one run.
func TestMadeAfterFlumeUnseen(t *testing.T) {
	s := newSite(t)
	s.add("app.log", lines(0, 20))
	i, err := stat(s.path("app.log"))
	s.must(err)
	if i.born == 0 {
		t.Skip("the file system does not say when a file was made")
	}
	for _, x := range []struct {
		written int64
		want    int
	}{{i.born - 1, 20}, {i.born, 10}} {
		_ = os.Remove(s.positions() + ".sluice")
		s.must(os.WriteFile(s.positions(), appendPositions(nil, []position{{i.inode, int64(len(lines(0, 10))), s.path("app.log")}}), 0o644))
		at := time.Unix(0, x.written)
		s.must(os.Chtimes(s.positions(), at, at))
		r := s.step()
		r.save() // without a look
		r.stop()
		r = s.step()
		r.gets(x.want)
		r.stop()
	}
}

// What is left in a removed file when the source stops is named.
func TestStoppedBeforeTheEnd(t *testing.T) {
	s := newSite(t, "backoffSleepIncrement = 1", "maxBackoffSleep = 2")
	s.add("app.log", lines(0, 10))
	var refuse atomic.Bool
	refused := make(chan struct{}, 1)
	r := flumetest.Run(t, Kind, func(flume.Batch) error {
		if !refuse.Load() {
			return nil
		}
		select {
		case refused <- struct{}{}:
		default:
		}
		return flume.ErrFull
	}, s.settings()...)
	all(t, r, 0, 10)
	refuse.Store(true)
	s.add("app.log", lines(10, 10))
	<-refused
	s.must(os.Remove(s.path("app.log")))
	r.Stop()
	want := fmt.Sprintf("file=%s bytes=%d", s.path("app.log"), len(lines(10, 10)))
	if log := r.Logged(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, want) {
		t.Errorf("no %s in %s", want, log)
	}
}

// A copy waits for a removed file that is not read to its end, but not for one that cannot be read.
func TestCopyOfUnreadable(t *testing.T) {
	for _, x := range []struct {
		name string
		tail print // as if the bytes before the position could still be read, or those of the copy's end too
		zip  bool
	}{{"plain", print{}, false}, {"packed", printOf(nil), true}} {
		t.Run(x.name, func(t *testing.T) {
			s := newSite(t)
			s.add("app.log.1", lines(0, 100))
			r := s.step()
			r.gets(100)
			s.add("app.log.1", lines(100, 100))
			st := slices.Collect(maps.Values(r.streams))[0]
			blind, err := os.OpenFile(st.path, os.O_WRONLY, 0)
			s.must(err)
			st.close()
			st.f, st.tail = blind, x.tail
			if x.zip {
				s.zip("app.log.1")
			} else {
				s.must(os.Rename(s.path("app.log.1"), s.path("was")))
				s.add("app.log.2", lines(0, 200))
				s.must(os.Remove(s.path("was")))
			}
			now := time.Now()
			r.readAll(t.Context(), r.look(now))
			if n := r.count(); n != 100 {
				t.Fatalf("%d events: it does not wait", n)
			}
			for _, copied := range r.streams { // the wait is over
				copied.grown, copied.asked = now.Add(-2*holdPacked), now.Add(-2*holdPacked)
			}
			r.readAll(t.Context(), r.look(now))
			r.readAll(t.Context(), r.look(now))
			if n := r.count(); n != 300 {
				t.Errorf("%d events: %s", n, r.env.Logged())
			}
		})
	}
}

// Each file that cannot be read is named, and once.
func TestEachUnreadable(t *testing.T) {
	const files = 12
	s := newSite(t)
	for i := range files {
		s.add(fmt.Sprintf("app.log.%d", i), lines(i*10, 5))
	}
	r := s.step()
	r.gets(5 * files)
	blind := func() {
		for _, st := range r.streams {
			f, err := os.OpenFile(st.path, os.O_WRONLY, 0)
			s.must(err)
			st.close()
			st.f = f
		}
	}
	for i := range files {
		s.add(fmt.Sprintf("app.log.%d", i), lines(i*10+5, 5))
	}
	blind()
	r.round()
	said := strings.Split(strings.TrimSpace(r.env.Logged()), "\n")
	if len(said) != files {
		t.Errorf("%d messages: %q", len(said), said)
	}
	for _, st := range r.streams {
		if n := strings.Count(r.env.Logged(), "reading "+st.path+":"); n != 1 {
			t.Errorf("%s is named %d times", st.path, n)
		}
		st.close()
	}
	r.gets(10 * files)
	if n := strings.Count(r.env.Logged(), "read again"); n != files {
		t.Errorf("the end is said %d times", n)
	}
}

// Where the position file cannot be replaced for a while, it is still known as the source's own, and the journal counts.
func TestPositionsStand(t *testing.T) {
	s := newSite(t)
	s.add("app.log", lines(0, 10))
	r := s.step()
	r.gets(10)
	r.save()
	tmp := filepath.Join(filepath.Dir(s.positions()), "."+filepath.Base(s.positions())+".tmp")
	s.must(os.MkdirAll(filepath.Join(tmp, "in the way"), 0o755))
	for i := range 4 {
		s.add("app.log", lines(10+i, 1))
		r.gets(11 + i)
		r.save()
	}
	if !strings.Contains(r.env.Logged(), "Positions cannot be written") {
		t.Fatal(r.env.Logged())
	}
	r.stop()
	s.must(os.RemoveAll(tmp))
	s.add("app.log", lines(14, 1))
	s.step().gets(1)
}

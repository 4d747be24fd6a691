package spooldir

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// stopped has a run read two lines of a file and no more, and leaves its position.
func (s *site) stopped(name string, settings ...string) {
	s.t.Helper()
	env := flumetest.NewEnv()
	env.TransactionCapacity = 1
	r := flumetest.OpenIn(s.t, env, Kind, s.settings(append(settings, "batchSize = 1", "maxBackoff = 1")...)...)
	ctx, stop := context.WithCancel(s.t.Context())
	defer stop()
	batches := 0
	err := r.Run(ctx, func(context.Context, flume.Batch) error {
		if batches++; batches > 2 {
			stop()
			return errors.New("no room")
		}
		return nil
	})
	s.must(errors.Join(err, r.Close()))
	if target, position, _, err := readTracker(vfs.OS{}, s.path(".flumespool/"+trackerName)); target != s.path(name) || position == 0 || err != nil {
		s.t.Fatalf("left are %q, %d, %v", target, position, err)
	}
}

func TestAnotherFileOfTheName(t *testing.T) {
	const was = "one\ntwo\nthree\nfour\n"
	old := time.Now().Add(-time.Hour)
	for _, x := range []struct {
		name   string
		flumes bool // the tracker is Flume's own
		text   string
		time   time.Time
		want   []string
		warned bool
	}{
		{"the same", false, was, old, []string{"three", "four"}, false},
		{"the same to Flume", true, was, old, []string{"three", "four"}, false},
		{"grown", false, was + "five\n", time.Now(), []string{"three", "four", "five"}, false},
		{"shorter", false, "new\n", time.Now(), []string{"new"}, true},
		{"shorter to Flume", true, "new\n", time.Now(), []string{"new"}, true},
		{"empty", false, "", time.Now(), []string{""}, true},
		{"as long", false, strings.ToUpper(was), old, strings.Fields(strings.ToUpper(was)), true},
		{"longer", false, "ONE\n" + was, time.Now(), strings.Fields("ONE\n" + was), true},
	} {
		for _, deletion := range []string{"never", "immediate"} {
			t.Run(x.name+" "+deletion, func(t *testing.T) {
				s := newSite(t)
				s.put("a", was)
				s.must(os.Chtimes(s.path("a"), old, old))
				s.stopped("a")
				if x.flumes {
					s.must(os.Remove(s.path(sides)))
				}
				s.must(os.Remove(s.path("a")))
				s.put("a", x.text)
				s.must(os.Chtimes(s.path("a"), x.time, x.time))
				r := s.run("deletePolicy = " + deletion)
				expect(t, r.Await(t, len(x.want)), x.want...)
				if deletion == "never" {
					s.becomes(lock, "a.COMPLETED")
				} else {
					s.becomes(lock)
				}
				r.Stop()
				expect(t, r.Await(t, len(x.want)), x.want...)
				if warned := strings.Contains(r.Logged(), "is read from its beginning"); warned != x.warned {
					t.Errorf("warned: %t; %s", warned, r.Logged())
				}
			})
		}
	}
}

// opened is a source that is not run.
func (s *site) opened(settings ...string) *source {
	s.t.Helper()
	return s.openedIn(flumetest.NewEnv(), settings...)
}

func (s *site) openedIn(env *flumetest.Env, settings ...string) *source {
	s.t.Helper()
	r, ok := flumetest.OpenIn(s.t, env, Kind, s.settings(settings...)...).(*source)
	if !ok {
		s.t.Fatal("it is no source of this package")
	}
	return r
}

// taken is an emit that keeps the bodies.
func taken(got *[]string) flume.Emit {
	return func(_ context.Context, b flume.Batch) error {
		*got = append(*got, flumetest.Bodies(b)...)
		return nil
	}
}

func (s *site) candidate(r *source, name string) candidate {
	s.t.Helper()
	c, ok := r.candidate(name)
	if !ok {
		s.t.Fatalf("%s is no file to be read", name)
	}
	return c
}

// What lies in the place of a file that was read and could not be retired is read before it is renamed or deleted.
func TestRetireAgain(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for _, x := range []struct {
		name, text string
		want       string // what is read of it then
	}{
		{"the same", "", ""},
		{"another", "new\n", "new"},
		{"as long", "two\none\n", "two one"},
		{"grown", "one\ntwo\nthree\n", "three"},
		{"gone", "", ""},
	} {
		for _, deletion := range []string{"never", "immediate"} {
			t.Run(x.name+" "+deletion, func(t *testing.T) {
				s := newSite(t)
				s.put("a", "one\ntwo\n")
				s.must(os.Chtimes(s.path("a"), old, old))
				r := s.opened("deletePolicy = "+deletion, "settleTime = 60000")
				var got []string
				c := s.candidate(r, "a")
				r.offer.Emit = taken(&got)
				end, err := r.read(t.Context(), &c, noted{})
				s.must(err)
				c.end, got = end, nil
				r.done["a"] = c // as where it could not be renamed
				switch {
				case x.name == "gone":
					s.must(os.Remove(s.path("a")))
				case x.text != "":
					s.must(os.Remove(s.path("a")))
					s.put("a", x.text)
					s.must(os.Chtimes(s.path("a"), old.Add(time.Minute), old.Add(time.Minute)))
				}
				r.retireAgain()
				if len(r.done) != 0 {
					t.Errorf("waiting are %v", r.done)
				}
				if x.text != "" {
					r.spool(t.Context(), s.candidate(r, "a"))
				}
				if strings.Join(got, " ") != x.want {
					t.Errorf("read are %q", got)
				}
				switch tree := s.tree(); {
				case deletion == "never" && x.name != "gone":
					s.becomes(lock, "a.COMPLETED")
				case x.name == "gone" && bytes.Contains([]byte(strings.Join(tree, " ")), []byte("a.COMPLETED")):
					t.Errorf("there are %q", tree)
				default:
					s.becomes(lock)
				}
				s.must(r.Close())
			})
		}
	}
}

// A file that is to be read on keeps its mark until the tracker file has its place.
func TestMarkStays(t *testing.T) {
	s := newSite(t)
	s.put("bad", "good\nb\xffd\n")
	r := s.opened()
	var got []string
	r.offer.Emit = taken(&got)
	r.spool(t.Context(), s.candidate(r, "bad"))
	s.put("bad", "good\nbetter\n")
	s.candidate(r, "bad")
	s.must(r.Close())
	s.put("other", "1\n") // its position takes the place of the one of bad
	r = s.opened()
	r.offer.Emit = taken(&got)
	s.candidate(r, "bad")
	r.spool(t.Context(), s.candidate(r, "other"))
	s.must(r.Close())

	r = s.opened()
	r.offer.Emit = taken(&got)
	r.spool(t.Context(), s.candidate(r, "bad"))
	s.must(r.Close())
	if strings.Join(got, " ") != "good 1 better" {
		t.Errorf("read are %q", got)
	}
	s.becomes("bad.COMPLETED", "other.COMPLETED")
}

// A mark is whole or not there.
func TestMarkIsWhole(t *testing.T) {
	s := newSite(t)
	s.put("bad", "good\nb\xffd\n")
	s.put(".flumespool/bad.failed", "kept\n")
	s.must(os.Link(s.path(".flumespool/bad.failed"), s.path("link")))
	r := s.opened()
	var got []string
	r.offer.Emit = taken(&got)
	r.spool(t.Context(), s.candidate(r, "bad"))
	s.must(r.Close())
	if text, err := os.ReadFile(s.path("link")); string(text) != "kept\n" || err != nil {
		t.Errorf("it was written over: %q, %v", text, err)
	}
	s.becomes(meta, sides, ".flumespool/bad.failed", "bad", "link")
}

// A stop does not wait for the end of a file, though the channels take its lines.
func TestStopInAFile(t *testing.T) {
	s := newSite(t)
	s.put("a", "1\n2\n3\n")
	env := flumetest.NewEnv()
	env.TransactionCapacity = 1
	r := s.openedIn(env)
	ctx, stop := context.WithCancel(t.Context())
	var got []string
	s.must(r.Run(ctx, func(_ context.Context, b flume.Batch) error {
		got = append(got, flumetest.Bodies(b)...)
		stop()
		return nil
	}))
	s.must(r.Close())
	if len(got) != 1 {
		t.Errorf("read are %q", got)
	}
	r = s.opened()
	r.offer.Emit = taken(&got)
	r.goOn(t.Context())
	s.must(r.Close())
	if strings.Join(got, " ") != "1 2 3" {
		t.Errorf("read are %q", got)
	}
}

// What is written to a file after it was read and renamed is not read, and the log says so once.
func TestGrowsAfterItsEnd(t *testing.T) {
	for _, tracking := range []string{"rename", "tracker_dir"} {
		s := newSite(t)
		s.put("a", "1\n")
		f, err := os.OpenFile(s.path("a"), os.O_WRONLY|os.O_APPEND, 0)
		s.must(err)
		defer f.Close()
		r := s.run("trackingPolicy = " + tracking)
		r.Await(t, 1)
		flumetest.Until(t, "it is retired", func() bool {
			return r.Count("GenericProcessingFail") == 0 && (s.has("a.COMPLETED") || s.has(".flumespool/a.COMPLETED"))
		})
		_, err = f.WriteString("2\n")
		s.must(err)
		flumetest.Until(t, "it is said", func() bool { return strings.Contains(r.Logged(), "after it was read to its end") })
		r.Stop()
		if log := r.Logged(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "from 2 to 4 bytes") {
			t.Error(log)
		}
		s.must(r.Close())
	}
}

// Whoever removes a mark has the file read from its beginning, also where nobody was there to see it.
func TestMarkRemovedMeanwhile(t *testing.T) {
	s := newSite(t)
	s.put("bad", "good\nb\xffd\n")
	r := s.opened()
	var got []string
	r.offer.Emit = taken(&got)
	r.spool(t.Context(), s.candidate(r, "bad"))
	r.leave()
	s.must(r.Close())
	s.must(os.Remove(s.path(".flumespool/bad.failed")))
	r = s.opened("inputCharset = ISO-8859-1")
	r.offer.Emit = taken(&got)
	r.goOn(t.Context())
	s.must(r.Close())
	if len(got) != 3 || got[1] != "good" {
		t.Errorf("read are %q", got)
	}
}

// A file that was left half read and has to settle goes on where it was left.
func TestSettlesHalfRead(t *testing.T) {
	s := newSite(t)
	s.put("a", "1\n2\n3\n")
	env := flumetest.NewEnv()
	env.TransactionCapacity = 1
	r := s.openedIn(env)
	ctx, stop := context.WithCancel(t.Context())
	var got []string
	s.must(r.Run(ctx, func(_ context.Context, b flume.Batch) error {
		got = append(got, flumetest.Bodies(b)...)
		stop()
		return nil
	}))
	s.must(r.Close())
	r = s.opened("settleTime = 60000")
	r.offer.Emit = taken(&got)
	r.goOn(t.Context())
	if len(got) != 1 {
		t.Errorf("read are %q before it has settled", got)
	}
	r.settings.settle = 0 // it has
	r.spool(t.Context(), s.candidate(r, "a"))
	s.must(r.Close())
	if strings.Join(got, " ") != "1 2 3" {
		t.Errorf("read are %q", got)
	}
}

package taildir

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A place of its own for each test: a directory of logs, and beside it the position file.
type site struct {
	t    testing.TB
	dir  string
	more []string
}

func newSite(t testing.TB, more ...string) *site {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return &site{t, dir, more}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) positions() string { return filepath.Join(filepath.Dir(s.dir), "positions.json") }

func (s *site) settings() []string {
	out := []string{"filegroups = g", `filegroups.g = ` + s.dir + `/app\.log.*`, "positionFile = " + s.positions(), "pollDelay = 2"}
	for _, m := range s.more {
		key, _, _ := strings.Cut(m, " ")
		out = slices.DeleteFunc(out, func(o string) bool { return strings.HasPrefix(o, key+" ") })
		out = append(out, m)
	}
	return out
}

func (s *site) run() *flumetest.Running { return flumetest.Run(s.t, Kind, nil, s.settings()...) }

func (s *site) add(name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// copyTruncate is what logrotate does.
func (s *site) copyTruncate(name, to string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	s.must(err)
	s.must(os.WriteFile(s.path(to), text, 0o644))
	s.must(os.Truncate(s.path(name), 0))
}

// zip is what gzip does.
func (s *site) zip(name string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	s.must(err)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err = z.Write(text)
	s.must(errors.Join(err, z.Close()))
	s.must(os.WriteFile(s.path(name+".gz"), b.Bytes(), 0o644))
	s.must(os.Remove(s.path(name)))
}

// lines are numbered from first on, long enough for copies to be known.
func lines(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %06d of a log that goes on and on\n", first+i)
	}
	return b.String()
}

// numbers reads what lines has written.
func numbers(t testing.TB, b flume.Batch) []int {
	t.Helper()
	var out []int
	for _, e := range b {
		var n int
		if _, err := fmt.Sscanf(string(e.Body), "line %d of a log that goes on and on", &n); err != nil {
			t.Fatalf("%q: %v", e.Body, err)
		}
		out = append(out, n)
	}
	return out
}

// all is what a run has got, once each of 0 to n-1 has come; nothing comes twice.
func all(t testing.TB, r *flumetest.Running, first, n int) {
	t.Helper()
	got := numbers(t, r.Await(t, n))
	slices.Sort(got)
	for i, g := range got {
		if g != first+i {
			t.Fatalf("%d instead of %d, of %d events for %d lines", g, first+i, len(got), n)
		}
	}
	if len(got) != n {
		t.Fatalf("%d events for %d lines", len(got), n)
	}
}

func TestLines(t *testing.T) {
	s := newSite(t, "filegroups = g h", "headers.g.kind = web", "headers.g.file = overwritten", "headers.g.a.b = c", "byteOffsetHeader = true", "fileHeader = true",
		"idleTimeout = 50", "filegroups.h = /nowhere/at/all/.*")
	s.add("app.log", "one\ntwo\r\n\n\r\nthree\r\r\nžluť \xff\n")
	r := s.run()
	r.Await(t, 6)
	s.add("app.log", "no end")
	r.Await(t, 7)
	s.add("app.log", " here\nlast\n")
	got := r.Await(t, 9)
	want := []struct{ body, offset string }{{"one", "0"}, {"two", "4"}, {"", "9"}, {"", "10"}, {"three\r", "12"}, {"žluť \xff", "20"}, {"no end", "29"}, {" here", "35"}, {"last", "41"}}
	for i, w := range want {
		h := got[i].Headers
		slices.SortFunc(h, func(a, b flume.Header) int { return strings.Compare(a.Key, b.Key) })
		headers := flume.Headers{{Key: "a.b", Value: "c"}, {Key: "byteoffset", Value: w.offset}, {Key: "file", Value: s.path("app.log")}, {Key: "kind", Value: "web"}}
		if string(got[i].Body) != w.body || !slices.Equal(h, headers) {
			t.Errorf("event %d is %q with %v", i, got[i].Body, h)
		}
	}
}

func TestRotation(t *testing.T) {
	for _, pattern := range []string{`app\.log.*`, `app\.log`} {
		for _, x := range []struct {
			name   string
			rotate func(s *site)
		}{
			{"rename", func(s *site) { s.must(os.Rename(s.path("app.log"), s.path("app.log.1"))) }},
			{"rename and more", func(s *site) {
				s.add("app.log", lines(30, 5))
				s.must(os.Rename(s.path("app.log"), s.path("app.log.1")))
				s.add("app.log.1", lines(35, 5))
			}},
			{"copytruncate", func(s *site) { s.copyTruncate("app.log", "app.log.1") }},
			{"copytruncate and more", func(s *site) {
				s.add("app.log", lines(30, 10))
				s.copyTruncate("app.log", "app.log.1")
			}},
			{"rename twice", func(s *site) {
				s.must(os.Rename(s.path("app.log"), s.path("app.log.1")))
				s.add("app.log", lines(30, 10))
				s.must(os.Rename(s.path("app.log.1"), s.path("app.log.2")))
				s.must(os.Rename(s.path("app.log"), s.path("app.log.1")))
			}},
			{"gzip", func(s *site) {
				s.must(os.Rename(s.path("app.log"), s.path("app.log.1")))
				s.zip("app.log.1")
			}},
			{"gzip with more", func(s *site) {
				s.add("app.log", lines(30, 10))
				s.must(os.Rename(s.path("app.log"), s.path("app.log.1")))
				s.zip("app.log.1")
			}},
		} {
			if x.name == "rename twice" && pattern == `app\.log` {
				continue // nobody can know of a file that came and went
			}
			for _, down := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, down %v", pattern, x.name, down), func(t *testing.T) {
					s := newSite(t, `filegroups.g = DIR/`+pattern)
					s.more[0] = strings.Replace(s.more[0], "DIR", s.dir, 1)
					s.add("app.log", lines(0, 30))
					r := s.run()
					all(t, r, 0, 30)
					n, want := 40, 0
					switch x.name {
					case "rename", "copytruncate", "gzip":
						n = 30
					}
					if down {
						r.Stop()
						s.must(r.Close())
						want = 30
					}
					x.rotate(s)
					s.add("app.log", lines(n, 20))
					if down {
						r = s.run()
					}
					all(t, r, want, n+20-want)
					r.Stop()
					s.must(r.Close())
					s.add("app.log", lines(n+20, 1))
					r = s.run()
					all(t, r, n+20, 1)
				})
			}
		}
	}
}

func (s *site) has(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

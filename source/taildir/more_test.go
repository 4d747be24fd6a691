package taildir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	s := newSite(t)
	s.add("app.log", lines(0, 10000))
	flumetest.Source(t, func(t testing.TB) flume.Source { return flumetest.Open(t, Kind, s.settings()...) })
}

// Flume's position files are read, and written byte for byte.
func TestGolden(t *testing.T) {
	for _, name := range []string{"position-1.json", "position-2.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		all, err := parsePositions(text)
		if err != nil || len(all) != 5 {
			t.Fatalf("%v, %v", all, err)
		}
		if again := appendPositions(nil, all); !bytes.Equal(again, text) {
			t.Errorf("%s written anew is\n%s", name, again)
		}
	}
	if got := string(appendPositions(nil, []position{{1, 2, "/a\\b\x01\n\u2028é<"}})); got != `[{"inode":1,"pos":2,"file":"/a\\b\u0001\n\u2028é\u003c"}]` {
		t.Error(got)
	}
}

// What Flume has left is gone on with: a file it was in the middle of, one renamed since, one cut short since. Positions
// are given back.
func TestFromFlume(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"app.log", "app.log.old", "app.log.short"} {
		s.add(name, lines(0, 10))
	}
	inode := func(name string) uint64 {
		i, err := stat(s.path(name))
		s.must(err)
		return i.inode
	}
	length := int64(len(lines(0, 1)))
	flumes := []position{{inode("app.log"), 4 * length, s.path("app.log")}, {inode("app.log.old"), 9 * length, s.path("app.log.was")},
		{inode("app.log.short"), 12 * length, s.path("app.log.short")}, {12345, 7, s.path("app.log.gone")}}
	s.must(os.WriteFile(s.positions(), appendPositions(nil, flumes), 0o644))
	r := s.run()
	got := numbers(t, r.Await(t, 6+1+10))
	slices.Sort(got)
	if fmt.Sprint(got) != "[0 1 2 3 4 4 5 5 6 6 7 7 8 8 9 9 9]" {
		t.Error(got)
	}
	r.Stop()
	text, err := os.ReadFile(s.positions())
	s.must(err)
	left, err := parsePositions(text)
	s.must(err)
	want := []position{{inode("app.log"), 10 * length, s.path("app.log")}, {inode("app.log.old"), 10 * length, s.path("app.log.old")},
		{inode("app.log.short"), 10 * length, s.path("app.log.short")}}
	if !slices.Equal(left, want) {
		t.Errorf("left %v instead of %v", left, want)
	}
	s.must(r.Close())

	// Flume has gone on with one, and has read another again.
	s.add("app.log", lines(10, 5))
	want[0].pos, want[1].pos = 14*length, 2*length
	s.must(os.WriteFile(s.positions(), appendPositions(nil, want), 0o644))
	r = s.run()
	got = numbers(t, r.Await(t, 9))
	slices.Sort(got)
	if fmt.Sprint(got) != "[2 3 4 5 6 7 8 9 14]" {
		t.Error(got)
	}
	r.Stop()
	s.must(r.Close())

	// Without the file all is new, whatever the journal says.
	s.must(os.Remove(s.positions()))
	s.run().Await(t, 15+10+10)
}

func TestDamagedPositions(t *testing.T) {
	s := newSite(t)
	s.add("app.log", lines(0, 10))
	s.add("app.log.1", lines(10, 10))
	i, err := stat(s.path("app.log"))
	s.must(err)
	whole := appendPositions(nil, []position{{i.inode, int64(len(lines(0, 9))), s.path("app.log")}, {1, 2, "/x"}})
	s.must(os.WriteFile(s.positions(), whole[:len(whole)-10], 0o644))
	r := s.run()
	got := numbers(t, r.Await(t, 11))
	slices.Sort(got)
	if got[0] != 9 || got[10] != 19 {
		t.Error(got)
	}
	if log := r.Logged(); !strings.Contains(log, "The position file is damaged") || !strings.Contains(log, "positions=1") {
		t.Error(log)
	}
	if _, err := os.Stat(s.positions() + ".bad"); err != nil {
		t.Error(err)
	}
}

// A position file that was emptied, as a Flume that is killed may leave it, or broken off: the journal beside it is whole.
func TestJournalBesideDamagedPositions(t *testing.T) {
	for name, c := range map[string]struct {
		left func(b []byte) []byte
		said string
	}{
		"emptied":    {func([]byte) []byte { return nil }, "The position file is empty: what the journal beside it says is used"},
		"broken off": {func(b []byte) []byte { return b[:len(b)-30] }, "The position file is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.add("app.log", lines(0, 100))
			r := s.run()
			all(t, r, 0, 100)
			r.Stop()
			s.must(r.Close())
			text, err := os.ReadFile(s.positions())
			s.must(err)
			s.must(os.WriteFile(s.positions(), c.left(text), 0o644))
			s.add("app.log", lines(100, 3))
			r = s.run()
			all(t, r, 100, 3)
			if log := r.Logged(); !strings.Contains(log, c.said) {
				t.Error(log)
			}
		})
	}
}

// A kill leaves the journal as it is: with a torn line, and with a position file of an earlier moment.
func TestKilled(t *testing.T) {
	s := newSite(t, "writePosInterval = 3600000")
	s.add("app.log", lines(0, 1000))
	r := s.run()
	all(t, r, 0, 1000)
	noted := fmt.Sprintf(`"pos":%d,`, len(lines(0, 1000)))
	await(t, func() bool { return strings.Contains(journalOf(s), noted) })
	journal := []byte(journalOf(s))
	positions, err := os.ReadFile(s.positions())
	s.must(err)
	if string(positions) != "[]" {
		t.Errorf("positions were written: %s", positions)
	}
	r.Stop()
	s.must(r.Close())
	s.must(os.WriteFile(s.positions(), positions, 0o644))
	s.must(os.WriteFile(s.positions()+".sluice", append(journal, `{"id":1,"pos":3`...), 0o644))
	s.add("app.log", lines(1000, 3))
	all(t, s.run(), 1000, 3)
}

func TestSeveralLines(t *testing.T) {
	s := newSite(t, `multiline.begin = ^\d{4}-`, "multiline.timeout = 30", "idleTimeout = 200", "maxLineLength = 1024", "byteOffsetHeader = true")
	s.add("app.log", "at the front\n2026-11-21 ERROR x\r\n\tat a\r\n\n\tat b\n2026-11-22 INFO y\n2026-11-23 la")
	r := s.run()
	want := []string{"at the front", "2026-11-21 ERROR x\r\n\tat a\r\n\n\tat b", "2026-11-22 INFO y", "2026-11-23 la"}
	got := r.Await(t, 4)
	if b := flumetest.Bodies(got); !slices.Equal(b, want) {
		t.Errorf("%q", b)
	}
	if offset, _ := got[1].Headers.Get("byteoffset"); offset != "13" {
		t.Errorf("the offset is %s", offset)
	}
	s.add("app.log", "\n2026-11-24 "+strings.Repeat("x\n", 600))
	got = r.Await(t, 7)[4:]
	if len(got[0].Body) != 0 || len(got[1].Body) != 1024 || string(got[1].Body)+string(got[2].Body) != "2026-11-24 "+strings.Repeat("x\n", 599)+"x" {
		t.Errorf("%q", flumetest.Bodies(got))
	}
}

// A line without an end is cut, and held in memory only as far as maxLineLength goes.
func TestLongLine(t *testing.T) {
	s := newSite(t, "maxLineLength = 300000", "idleTimeout = 100")
	line := strings.Repeat("0123456789", 100_000)
	for at := 0; at < len(line); at += 170_000 {
		s.add("app.log", line[at:min(len(line), at+170_000)])
	}
	r := s.run()
	got := r.Await(t, 4)
	for i, want := range []int{300_000, 300_000, 300_000, 100_000} {
		if len(got[i].Body) != want {
			t.Errorf("event %d has %d bytes", i, len(got[i].Body))
		}
	}
	if strings.Join(flumetest.Bodies(got), "") != line {
		t.Error("bytes are lost")
	}
	if strings.Count(r.Logged(), "longer than maxLineLength") != 1 {
		t.Error(r.Logged())
	}
}

// One that grows slowly is one event when its end comes.
func TestSlowLine(t *testing.T) {
	s := newSite(t, "maxLineLength = 300000")
	r := s.step()
	for range 20 {
		s.add("app.log", strings.Repeat("y", 10_000))
		r.round()
	}
	s.add("app.log", "\nshort\n")
	if got := r.gets(2); len(got[0]) != 200_000 || got[1] != "short" {
		t.Errorf("%d bytes, %q", len(got[0]), got[1])
	}
}

func TestSkipToEnd(t *testing.T) {
	s := newSite(t, "skipToEnd = true")
	s.add("app.log", lines(0, 10))
	s.add("app.log.1.gz", "")
	s.add("app.log.2", lines(0, 10))
	s.zip("app.log.2")
	r := s.run()
	await(t, func() bool { return strings.Contains(journalOf(s), `"zipped":true`) })
	s.add("app.log", lines(10, 2))
	s.add("app.log.3", lines(12, 2))
	all(t, r, 10, 4)
}

// await waits until something is so.
func await(t testing.TB, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func journalOf(s *site) string {
	text, err := os.ReadFile(s.positions() + ".sluice")
	s.must(err)
	return string(text)
}

// A file that is cut short, or written anew with more than before, or is another one with the same inode, begins again.
func TestWrittenAnew(t *testing.T) {
	s := newSite(t)
	s.add("app.log", lines(0, 20))
	r := s.run()
	all(t, r, 0, 20)
	f, err := os.OpenFile(s.path("app.log"), os.O_WRONLY, 0)
	s.must(err)
	_, err = f.WriteString(lines(20, 50))
	s.must(errors.Join(err, f.Close()))
	all(t, r, 0, 70)
	s.must(os.WriteFile(s.path("app.log"), []byte(lines(70, 5)), 0o644))
	all(t, r, 0, 75)
	r.Stop()
	s.must(r.Close())
	s.must(os.Remove(s.path("app.log")))
	s.add("app.log", lines(75, 200))
	all(t, s.run(), 75, 200)
}

// Logs that begin alike are different logs, and files that are the same and stay are read, each.
func TestAlike(t *testing.T) {
	banner := strings.Repeat("a banner as long as some frameworks have it\n", 20)
	s := newSite(t)
	s.add("app.log", banner+"one\n")
	r := s.run()
	r.Await(t, 21)
	s.add("app.log.other", banner+"another\n")
	r.Await(t, 42)
	s.add("app.log.third", banner+"one\n") // a copy that stays
	got := r.Await(t, 63)
	if n := len(got); n != 63 || string(got[62].Body) != "one" {
		t.Errorf("%d events, the last %q", n, got[n-1].Body)
	}
}

// A file that is packed, while it is open or closed, is known again at once: nobody has to wait for the end of a hold.
func TestPackedIsKnown(t *testing.T) {
	for _, idle := range []string{"20", "100000"} {
		t.Run(idle, func(t *testing.T) {
			s := newSite(t, "idleTimeout = "+idle)
			s.add("app.log.1", lines(0, 100))
			r := s.step()
			r.gets(100)
			if idle == "20" {
				st := slices.Collect(maps.Values(r.streams))[0]
				r.until("the end of the idle time", func() bool { return !st.isOpen() })
			}
			s.zip("app.log.1")
			r.until("the copy", func() bool { return strings.Contains(r.env.Logged(), "is the copy of one") })
			s.add("app.log", lines(100, 3))
			r.gets(103)
		})
	}
}

func TestChannelsRefuse(t *testing.T) {
	s := newSite(t, "backoffSleepIncrement = 1", "maxBackoffSleep = 2", "batchSize = 7")
	s.add("app.log", lines(0, 50)+strings.Repeat("x", 5000)+"\n"+lines(50, 10))
	calls := 0
	r := flumetest.Run(t, Kind, func(b flume.Batch) error {
		calls++
		switch {
		case b.Size() > 4000:
			return fmt.Errorf("putting: %w", flume.ErrTooLarge)
		case calls%3 == 0 || len(b) > 7 && calls%2 == 0:
			return fmt.Errorf("putting: %w", flume.ErrFull)
		}
		return nil
	}, s.settings()...)
	got := numbers(t, r.Await(t, 60))
	if !slices.IsSorted(got) || len(got) != 60 {
		t.Error(got)
	}
	refused := r.Rejected()
	if len(refused) != 1 || len(refused[0].Event.Body) != 5000 || refused[0].Position != fmt.Sprintf("%s@%d", s.path("app.log"), len(lines(0, 50))) {
		t.Errorf("%d rejections", len(refused))
	}
	if n := strings.Count(r.Logged(), "do not take events"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

func TestOneSourceForAPositionFile(t *testing.T) {
	s := newSite(t)
	r := s.run()
	if _, err := flumetest.TryOpen(t, flumetest.NewEnv(), Kind, s.settings()...); err == nil || !strings.Contains(err.Error(), "give each source its own") {
		t.Error(err)
	}
	_ = r
}

func TestProblems(t *testing.T) {
	for _, x := range []struct{ settings, want string }{
		{"filegroups = a", "filegroups: a has no filegroups.a"},
		{"filegroups = a b|filegroups.a = /x/y", "filegroups: b has no filegroups.b"},
		{"filegroups = a|filegroups.a = y", `filegroups.a: "y" has no directory`},
		{"filegroups = a|filegroups.a = /x/*.log", `all files that end with .log are .*\\.log`},
		{"filegroups = a|filegroups.a = /x/y|filegroups.b = /z/y", "filegroups.b: is not used"},
		{"filegroups = a|filegroups.a = /x/y|headers.a = v", "headers.a: names no header"},
		{"filegroups = a|filegroups.a = /x/y|headers.b.k = v", "headers.b.k: is not used"},
		{"filegroups = a|filegroups.a = /x/y|maxBatchCount = 0", "maxBatchCount"},
		{"filegroups = a|filegroups.a = /x/y|positionFile = ~/p", "positionFile: ~/p is not in your home"},
	} {
		problems := flumetest.Problems(t, Kind, nil, strings.Split(x.settings, "|")...)
		if !strings.Contains(fmt.Sprint(problems), x.want) {
			t.Errorf("%s: %v", x.settings, problems)
		}
	}
	sec := flumetest.Section(t, "filegroups = a", "filegroups.a = /var//log/x.*/", "headers.a.k.l = v")
	var s Settings
	if _, problems := conf.Bind(&s, sec); len(problems) > 0 || s.groups[0].dir != "/var/log" || s.groups[0].pattern.String() != "x.*" {
		t.Errorf("%v, %+v", problems, s.groups)
	}
}

func FuzzPositions(f *testing.F) {
	f.Add([]byte(`[{"inode":1,"pos":2,"file":"a"},{"inode":-1,"pos":0,"file":"\u003c","more":[1]}]`))
	f.Add([]byte(`{"inode":1}`))
	f.Add([]byte(`[{"inode":1,"pos":2,"file":"a"},{"inod`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parsePositions(text)
		if err != nil && len(all) == 0 {
			return
		}
		again, err := parsePositions(appendPositions(nil, all))
		if err != nil || !slices.Equal(again, all) {
			t.Errorf("%v has become %v, %v", all, again, err)
		}
		if !json.Valid(appendPositions(nil, all)) {
			t.Errorf("%s", appendPositions(nil, all))
		}
	})
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"positions":"x"}` + "\n" + `{"id":3,"file":"/a","inode":2,"pos":10,"head":"10:9c","tail":"10:9c"}` + "\n" + `{"id":3,"gone":true}` + "\n" + `{"id":4,"pos`))
	f.Fuzz(func(t *testing.T, text []byte) {
		known, _ := parseJournal(text, "x")
		var again []byte
		for _, r := range known {
			again = appendRecord(again, r)
		}
		if same, _ := parseJournal(again, "x"); !slices.Equal(same, known) {
			t.Errorf("%v has become %v", known, same)
		}
	})
}

// A batch costs the same number of allocations whatever its size.
func TestAllocations(t *testing.T) {
	env := flumetest.NewEnv()
	env.TransactionCapacity = 10_000
	s := newSite(t, "byteOffsetHeader = true", "fileHeader = true")
	r, ok := flumetest.OpenIn(t, env, Kind, s.settings()...).(*source)
	if !ok {
		t.Fatal("it is another source")
	}
	defer r.Close()
	r.buf = []byte(lines(0, 1000))
	st := &stream{path: s.path("app.log")}
	r.label(st)
	for _, n := range []int{10, 1000} {
		data := r.buf[:len(lines(0, n))]
		r.events = r.cut(r.events[:0], data, 0, unripe)
		if len(r.events) != n {
			t.Fatalf("%d events", len(r.events))
		}
		if got := testing.AllocsPerRun(20, func() {
			r.events = r.cut(r.events[:0], data, 0, unripe)
			r.batch(st, r.events)
		}); got > 5 {
			t.Errorf("%d events cost %v allocations", n, got)
		}
	}
}

// A file that was not read at all, but is open, is removed when it has been packed: it is read once.
func TestPackedUnread(t *testing.T) {
	s := newSite(t)
	s.add("app.log", lines(0, 100))
	r, ok := flumetest.OpenIn(t, flumetest.NewEnv(), Kind, s.settings()...).(*source)
	if !ok {
		t.Fatal("it is another source")
	}
	defer r.Close()
	var in flumetest.Inbox
	r.offer.Emit = in.Emit
	round := func() {
		for range 3 {
			r.readAll(t.Context(), r.look(time.Now()))
		}
	}
	round()
	s.must(os.WriteFile(s.path("app.log"), []byte(lines(100, 50)), 0o644)) // cut short, and not read yet
	r.look(time.Now())
	s.zip("app.log")
	round()
	got := numbers(t, in.Await(t, 150))
	if slices.Sort(got); len(got) != 150 || got[149] != 149 {
		t.Errorf("%d events: %v", len(got), got)
	}
	for _, st := range r.streams {
		st.close()
	}
}

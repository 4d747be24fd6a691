package hdfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/vfs"
)

func TestLaws(t *testing.T) {
	for _, fileType := range []string{"DataStream"} {
		t.Run(fileType, func(t *testing.T) {
			flumetest.Sink(t, func(t testing.TB) flume.Sink {
				return flumetest.Open(t, Kind, "hdfs.path = file://"+t.TempDir(), "hdfs.journalDir = "+t.TempDir(), "hdfs.fileType = "+fileType)
			})
		})
	}
}

const noRolls = "hdfs.rollInterval = 0"

var roll0 = []string{noRolls, "hdfs.rollSize = 0", "hdfs.rollCount = 0"}

// The clock of a bubble stands at 2000-01-01: 946684800000 ms.
func TestRolling(t *testing.T) {
	for _, x := range []struct {
		name     string
		settings []string
		bodies   []string
		want     string
	}{
		{"count", []string{noRolls, "hdfs.rollCount = 2"}, []string{"1 2 3 4 5"}, "/d/x/946684800001=1,2 /d/x/946684800002=3,4 /d/x/946684800003.tmp=5"},
		{"count, one by one", []string{noRolls, "hdfs.rollCount = 2"}, []string{"1", "2", "3"}, "/d/x/946684800001=1,2 /d/x/946684800002.tmp=3"},
		{"a full file stays in use", []string{noRolls, "hdfs.rollCount = 2"}, []string{"1 2"}, "/d/x/946684800001.tmp=1,2"},
		{"size counts bodies", []string{noRolls, "hdfs.rollCount = 0", "hdfs.rollSize = 4"}, []string{"12 34 5 6789 0"}, "/d/x/946684800001=12,34 /d/x/946684800002=5,6789 /d/x/946684800003.tmp=0"},
		{"interval", []string{"hdfs.rollInterval = 1"}, []string{"1", "2"}, "/d/x/946684800001=1,2"},
		{"idle", []string{noRolls, "hdfs.idleTimeout = 1"}, []string{"1"}, "/d/x/946684800001=1"},
		{"never", roll0, []string{"1 2 3 4 5 6 7 8 9 10 11 12"}, "/d/x/946684800001.tmp=1,2,3,4,5,6,7,8,9,10,11,12"},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, x.settings...)
				for _, b := range x.bodies {
					r.put(t, to("x", strings.Fields(b)...))
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := r.cluster.ls(); got != x.want {
					t.Errorf("%s\ninstead of\n%s", got, x.want)
				}
				r.close(t)
				if got := r.cluster.ls(); strings.Contains(got, ".tmp") {
					t.Errorf("after closing: %s", got)
				}
				if c, e := r.env.Count("ConnectionCreatedCount"), r.env.Count("ConnectionClosedCount"); c != e || c == 0 {
					t.Errorf("%d files were created, %d closed", c, e)
				}
				if got, err := r.disk.List("/j"); len(got) != 0 || err != nil {
					t.Errorf("the journal is left: %v, %v", got, err)
				}
			})
		})
	}
}

func TestIdleBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, append(roll0, "hdfs.idleTimeout = 10")...)
		for i := range 5 {
			r.put(t, to("x", fmt.Sprint(i)))
			time.Sleep(8 * time.Second)
		}
		if got := r.cluster.ls(); got != "/d/x/946684800001.tmp=0,1,2,3,4" {
			t.Error(got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := r.cluster.ls(); got != "/d/x/946684800001=0,1,2,3,4" {
			t.Error(got)
		}
		r.put(t, to("x", "5")) // the bucket is a new one, with a number of its time
		if got := r.cluster.ls(); got != "/d/x/946684800001=0,1,2,3,4 /d/x/946684843001.tmp=5" {
			t.Error(got)
		}
		r.close(t)
	})
}

func TestNames(t *testing.T) {
	for _, x := range []struct {
		settings []string
		want     string
	}{
		{nil, "/d/x/946684800001.tmp|/d/x/946684800001"},
		{[]string{"hdfs.fileSuffix = .log", "hdfs.inUsePrefix = _", "hdfs.filePrefix = %{b}-%Y"}, "/d/x/_x-2024.946684800001.log.tmp|/d/x/x-2024.946684800001.log"},
		{[]string{"hdfs.emptyInUseSuffix = true", "hdfs.inUseSuffix = .open"}, "/d/x/946684800001|/d/x/946684800001"},
		{[]string{"hdfs.inUseSuffix = .open"}, "/d/x/946684800001.open|/d/x/946684800001"},
		{[]string{"hdfs.filePrefix = sub/%{b}"}, "/d/x/sub/x.946684800001.tmp|/d/x/sub/x.946684800001"},
		{[]string{"hdfs.path = /a//%{none}/%Y-%m-%d/%H%M", "hdfs.timeZone = Asia/Kolkata", "hdfs.round = true", "hdfs.roundValue = 15", "hdfs.roundUnit = minute"},
			"/a/2024-03-31/1730/946684800001.tmp|/a/2024-03-31/1730/946684800001"},
		{[]string{"hdfs.path = hdfs://nn/%Y", "hdfs.useLocalTimeStamp = true", "hdfs.timeZone = UTC"}, "/2000/946684800001.tmp|/2000/946684800001"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, x.settings...)
			r.put(t, to("x", "1"))
			got := r.cluster.ls()
			r.close(t)
			if got := strings.ReplaceAll(got+"|"+r.cluster.ls(), "=1", ""); got != x.want {
				t.Errorf("%v: %s instead of %s", x.settings, got, x.want)
			}
		})
	}
}

// An event made before midnight lies in the directory of its day, whenever it comes.
func TestEventTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, "hdfs.path = hdfs://nn/%{b}/%y-%m-%d/%H%M", "hdfs.timeZone = UTC")
		at := func(text string) flume.Event {
			when, err := time.Parse(time.DateTime, text)
			if err != nil {
				t.Fatal(err)
			}
			return flume.Event{Headers: flume.Headers{{Key: "timestamp", Value: fmt.Sprint(when.UnixMilli())}, {Key: "b", Value: "p1"}}, Body: []byte(text)}
		}
		r.put(t, flume.Batch{at("2024-03-31 23:59:59"), at("2024-04-01 00:00:01"), at("2024-03-31 23:59:58")})
		r.close(t)
		const want = "/p1/24-03-31/2359/946684800001=2024-03-31 23:59:59,2024-03-31 23:59:58 /p1/24-04-01/0000/946684800001=2024-04-01 00:00:01"
		if got := r.cluster.ls(); got != want {
			t.Errorf("%s\ninstead of\n%s", got, want)
		}
	})
}

func TestRejections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, "hdfs.path = hdfs://nn/%{b}/%Y")
		b := slices.Concat(to("x", "0"), to("x", "1"), to("..", "2"), to("a:b", "3"), to("x", "4"), to("x", "5"), to("\x00", "6"))
		b[1].Headers = b[1].Headers[:1]
		b[4].Headers = flume.Headers{{Key: "b", Value: "x"}, {Key: "timestamp", Value: "now"}}
		err := r.Deliver(t.Context(), b)
		partial := new(flume.PartialError)
		if !errors.As(err, &partial) || len(partial.Pending) > 0 {
			t.Fatal(err)
		}
		var got []string
		for _, x := range partial.Rejected {
			got = append(got, fmt.Sprintf("%d %v", x.Index, x.Err))
		}
		text := strings.Join(got, "\n")
		for _, want := range []string{"1 expanding", `2 the path "/../2024/FlumeData" leaves`, "3 the path", "4 expanding", "6 the path"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
		if len(got) != 5 {
			t.Error(text)
		}
		r.close(t)
		if got := r.cluster.ls(); got != "/x/2024/946684800001=0,5" {
			t.Error(got)
		}
	})
}

// A bucket that cannot be written to holds up nobody, and what it gets comes once.
func TestParking(t *testing.T) {
	for _, x := range []struct {
		name, call string
		err        error
	}{
		{"permission", "create /d/bad", fs.ErrPermission},
		{"no answer to create", "create /d/bad", errors.New("timed out")},
		{"write", "write /d/bad", errors.New("timed out")},
		{"flush", "flush /d/bad", errors.New("timed out")},
		{"lost", "flush /d/bad", fmt.Errorf("quota: %w", hdfs.ErrLost)},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, roll0...)
				r.put(t, slices.Concat(to("good", "g0"), to("bad", "b0")))
				if x.call[:3] == "cre" {
					time.Sleep(time.Second)
					r.mu.Lock()
					b := r.buckets["hdfs://nn/d/bad\x00FlumeData"].Value.(*bucket)
					r.mu.Unlock()
					b.mu.Lock()
					b.end()
					b.mu.Unlock()
					synctest.Wait()
				}
				r.cluster.when(x.call, x.err)
				first := slices.Concat(to("bad", "b1"), to("good", "g1"), to("bad", "b2"))
				if got := fmt.Sprint(r.pending(t, first)); got != "[0 2]" {
					t.Fatalf("%s are pending", got)
				}
				parked := flume.Batch{first[0], first[2]}
				second := slices.Concat(to("bad", "b3"), to("good", "g2"))
				if got := fmt.Sprint(r.pending(t, second)); got != "[0]" {
					t.Fatalf("%s are pending", got)
				}
				time.Sleep(time.Minute)
				if got := len(r.pending(t, parked)); got != 2 {
					t.Fatalf("%d are pending", got)
				}
				r.cluster.when("", nil)
				time.Sleep(time.Minute) // the bucket heals by itself
				r.put(t, second[:1])
				r.put(t, parked)
				r.close(t)
				if got, want := r.cluster.everything(), strings.Fields("b0 b1 b2 b3 g0 g1 g2"); !slices.Equal(got, want) {
					t.Errorf("%s\n%s", got, r.cluster.ls())
				}
				if got := r.cluster.ls(); strings.Contains(got, ".tmp") {
					t.Error(got)
				}
				if n := r.cluster.count("create /d/good"); n != 1 {
					t.Errorf("the good bucket has had %d files", n)
				}
			})
		})
	}
}

// Events that became safe after Deliver had given up are known again, though others have come in between.
func TestUnclaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, roll0...)
		var slow atomic.Bool
		slow.Store(true)
		r.cluster.slow = func(call string) time.Duration {
			if slow.Load() && strings.HasPrefix(call, "flush") {
				return time.Minute
			}
			return 0
		}
		if n := len(r.pending(t, to("x", "1", "2"))); n != 2 {
			t.Fatal(n)
		}
		slow.Store(false)
		time.Sleep(2 * time.Minute)
		r.put(t, to("x", "3"))
		r.put(t, slices.Concat(to("x", "1", "2", "4")))
		r.put(t, to("x", "1", "2")) // others, with the same text
		r.close(t)
		if got := r.cluster.ls(); got != "/d/x/946684800001=1,2,3,4,1,2" {
			t.Error(got)
		}
	})
}

func TestSlowestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		r.cluster.slow = func(string) time.Duration { return time.Second }
		var b flume.Batch
		for i := range 200 {
			b = append(b, to(fmt.Sprint(i), "x")...)
		}
		began := time.Now()
		r.put(t, b)
		if took := time.Since(began); took != 3*time.Second { // create, write, flush
			t.Errorf("it took %v", took)
		}
		r.cluster.slow = nil
		r.close(t)
	})
}

func TestMaxOpenFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, append(roll0, "hdfs.maxOpenFiles = 1")...)
		for i := range 4 {
			r.put(t, to(fmt.Sprint(i%2), fmt.Sprint(i)))
			synctest.Wait()
		}
		if got := r.cluster.ls(); strings.Count(got, ".tmp") != 1 || strings.Count(got, "=") != 4 {
			t.Error(got)
		}
		r.close(t)
	})
}

func TestReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lose := func(r *rig, to int) {
			r.cluster.mu.Lock()
			defer r.cluster.mu.Unlock()
			for _, n := range r.cluster.files {
				n.replicas = to
			}
		}
		r := start(t, roll0...) // as many as at the beginning
		r.put(t, to("x", "1"))
		r.put(t, to("x", "2"))
		lose(r, 2)
		r.put(t, to("x", "3"))
		synctest.Wait()
		if got := r.cluster.ls(); got != "/d/x/946684800001=1,2 /d/x/946684800002.tmp=3" {
			t.Error(got)
		}
		r.close(t)
		r = start(t, append(roll0, "hdfs.minBlockReplicas = 4")...)
		for i := range 40 {
			r.put(t, to("x", fmt.Sprint(i)))
		}
		if n := r.cluster.count("create"); n != 31 {
			t.Errorf("%d files", n)
		}
		if got := r.env.Logged(); strings.Count(got, "again and again") != 1 {
			t.Error(got)
		}
		r.close(t)
	})
}

// A file is renamed only when it is closed, however often that fails.
func TestClosing(t *testing.T) {
	for _, x := range []struct {
		name, call string
		settings   []string
		err        error
		recovered  bool
	}{
		{"close", "close", nil, errors.New("timed out"), false},
		{"rename", "rename", nil, errors.New("timed out"), false},
		{"lost", "close", nil, hdfs.ErrLost, true},
		{"tries", "close", []string{"hdfs.closeTries = 2", "hdfs.retryInterval = 5"}, errors.New("timed out"), true},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, append([]string{"hdfs.rollCount = 1", noRolls}, x.settings...)...)
				r.put(t, to("x", "1"))
				r.cluster.when(x.call, x.err)
				r.put(t, to("x", "2"))
				time.Sleep(20 * time.Second)
				if got := r.cluster.ls(); !x.recovered && got != "/d/x/946684800001.tmp=1 /d/x/946684800002.tmp=2" {
					t.Error(got)
				}
				r.cluster.when("", nil)
				time.Sleep(time.Minute)
				if got := r.cluster.ls(); got != "/d/x/946684800001=1 /d/x/946684800002.tmp=2" {
					t.Error(got)
				}
				if (r.cluster.count("recover") > 0) != x.recovered {
					t.Error(r.cluster.calls)
				}
				r.close(t)
			})
		})
	}
}

func TestNameTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, roll0...)
		r.cluster.files["/d/x/FlumeData.946684800001.tmp"] = &node{data: []byte("theirs")}
		r.cluster.files["/d/x/FlumeData.946684800002"] = &node{data: []byte("theirs")}
		r.put(t, to("x", "1"))
		r.close(t)
		if got := r.cluster.ls(); got != "/d/x/946684800001.tmp=theirs /d/x/946684800002=theirs /d/x/946684800003=1" {
			t.Error(got)
		}
	})
}

// What a process that was killed leaves is whole after the next start.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, c := vfs.NewMemory(), newCluster()
		r := c.open(t, disk, roll0...)
		r.put(t, slices.Concat(to("x", "1", "2"), to("y", "3")))
		c.when("flush /d/y", errors.New("timed out"))
		r.pending(t, to("y", strings.Repeat("4", 100)))
		c.when("flush", errors.New("timed out"))
		r.pending(t, to("z", "5"))
		disk = disk.Killed()
		r.stop() // its goroutines end; nothing is closed
		r.kill()
		synctest.Wait()
		c.when("recover /d/x", errors.New("safe mode"))
		next := c.open(t, disk, roll0...)
		time.Sleep(time.Second)
		if got := c.ls(); got != "/d/x/946684800001.tmp=1,2 /d/y/946684800001=3" {
			t.Error(got)
		}
		c.when("", nil)
		time.Sleep(3 * time.Minute)
		if got := c.ls(); got != "/d/x/946684800001=1,2 /d/y/946684800001=3" {
			t.Error(got)
		}
		if got := next.env.Logged(); strings.Count(got, "level=WARN") == 0 {
			t.Error(got)
		}
		next.close(t)
	})
}

func TestRealFiles(t *testing.T) {
	dir := t.TempDir()
	k := flumetest.Open(t, Kind, "hdfs.path = file://"+dir+"/%{b}", textFiles, "hdfs.journalDir = "+t.TempDir())
	if err := k.Deliver(t.Context(), to("a:b", "1", "2")); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(dir + "/a:b/FlumeData.*")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if text, err := os.ReadFile(names[0]); string(text) != "1\n2\n" || err != nil {
		t.Errorf("%q %v", text, err)
	}
}

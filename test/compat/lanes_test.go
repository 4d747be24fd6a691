//go:build interop

package compat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

// A lane is one piece of configuration that runs in both agents, and its input:
//
//	feed ─▶ source ─▶ interceptors ─▶ channel ─▶ sink ─▶ read
//
// What it does not say is an Avro source on the lane's own address, a memory channel, and an Avro sink to the test.
type lane struct {
	name string
	// conf has lines of a .conf file whose keys begin with source, channel or sink; with outs, channel1, sink2 … are
	// meant too, and channel is channel0. In values, {host}, {port} and {dir} are the lane's place, {channel0} a name.
	conf string
	// outs is how many channels, each with a sink, the lane has to itself. 0: it shares one, to which only lanes can
	// be put whose events every Avro sink can send.
	outs int
	// prepare is called before the agents start.
	prepare func(p place) error
	// feed gives the input, and returns what the sender was told: it is compared too.
	feed func(ctx context.Context, p place) ([]string, error)
	// read, if not nil, is called after the agents have ended and returns what is compared beside what sinks have sent
	// to the test.
	read func(p place) ([]string, error)
	// unordered compares what came out as a set.
	unordered bool
	// row begins a row of docs/compatibility.md that says why the outcomes may differ; empty: they may not.
	row string
	// want, if not nil, says whether Sluice's outcome is right where it may differ.
	want func(sluice []string) error
	// input is for the log when the lane fails.
	input string
}

// A place is where a lane runs in one of the agents.
type place struct {
	side int    // 0 is Flume, 1 is Sluice
	host string // an address of this machine for this lane and agent alone, so that any port may be used
	port int
	dir  string // empty at first
}

func (p place) address() string { return p.host + ":" + strconv.Itoa(p.port) }

const (
	sides     = 2
	mark      = "compat.lane" // header by which events of the shared channel are told apart
	patience  = 90 * time.Second
	quietTime = time.Second // no counter has moved for so long: everything has come out
	feeders   = 8
)

// compare runs the lanes in one agent of each kind and compares what came out, each in a subtest. Quiet is how long
// nothing may happen before all has come out; 0: a second.
func compare(t *testing.T, quiet time.Duration, lanes []lane) {
	t.Helper()
	began := time.Now()
	port := stage.Port(t)
	var agents [sides]*harness.Agent
	var places [sides][]place
	in := newReceiver(t)
	for side := range sides {
		conf := newConf(in.listen(t, side, shared, 0))
		for n := range lanes {
			p := place{side: side, host: fmt.Sprintf("127.%d.%d.%d", side+1, n/250, n%250+1), port: port,
				dir: filepath.Join(stage.Dir, "compat", strings.ReplaceAll(t.Name(), "/", "-"), strconv.Itoa(side), strconv.Itoa(n))}
			if err := errors.Join(os.RemoveAll(p.dir), os.MkdirAll(p.dir, 0o755)); err != nil {
				t.Fatal(err)
			}
			if lanes[n].prepare != nil {
				if err := lanes[n].prepare(p); err != nil {
					t.Fatalf("preparing lane %s: %v", lanes[n].name, err)
				}
			}
			places[side] = append(places[side], p)
			if err := conf.add(n, &lanes[n], p, func(out int) string { return in.listen(t, side, n, out) }); err != nil {
				t.Fatalf("lane %s: %v", lanes[n].name, err)
			}
		}
		agents[side] = stage.Agent(t, harness.Flavor(1-side), "a1", strconv.Itoa(side), conf.text())
		if agents[side].Flavor == harness.Flume {
			agents[side].Options = []string{"-Dfile.encoding=UTF-8"} // Flume's platform charset is that of the locale
		}
	}
	for _, a := range agents {
		a.Launch(t)
	}
	for _, a := range agents {
		harness.Eventually(t, patience, a.Flavor.String()+" does not start", func() error {
			if !a.Alive() || !a.Runs() {
				return errors.New("it does not say that it runs")
			}
			return nil
		})
	}
	told := feed(t, lanes, places)
	for _, a := range agents {
		settle(t, a, max(quiet, quietTime))
		if a.Flavor == harness.Flume {
			a.Kill(t) // every Avro source would take seconds to stop
		} else {
			a.Stop(t)
		}
	}
	in.close()
	window := span{began.UnixMilli(), time.Now().UnixMilli()}
	equal, differ := 0, map[string]int{}
	for n := range lanes {
		l := &lanes[n]
		t.Run(fmt.Sprintf("%d %s", n, l.name), func(t *testing.T) {
			var out [sides][]string
			for side := range sides {
				p := places[side][n]
				got := slices.Clone(told[side][n])
				for o := range max(1, l.outs) {
					var lines []string
					for _, e := range in.received(side, n, o) {
						lines = append(lines, fmt.Sprintf("%d: %s", o, text(e, window)))
					}
					if l.unordered {
						slices.Sort(lines)
					}
					got = append(got, lines...)
				}
				if l.read != nil {
					lines, err := l.read(p)
					if err != nil {
						t.Errorf("reading what %s wrote: %v", agents[side].Flavor, err)
					}
					got = append(got, lines...)
				}
				for i := range got {
					got[i] = strings.ReplaceAll(strings.ReplaceAll(got[i], p.dir, "{dir}"), p.host, "{host}")
				}
				out[side] = got
			}
			if l.want != nil {
				if err := l.want(out[1]); err != nil {
					t.Errorf("Sluice: %v\n%s", err, strings.Join(out[1], "\n"))
				}
			}
			if slices.Equal(out[0], out[1]) {
				equal++
				return
			}
			if l.row != "" {
				differ[l.row]++
				if !hasRow(t, l.row) {
					t.Errorf("no row of docs/compatibility.md begins with %q", l.row)
				}
				return
			}
			t.Errorf("%s\n%s\n%s", difference(out[0], out[1]), l.conf, l.input)
		})
	}
	stage.Proof(t, "seed %d: %d lanes, %d equal", stage.Seed, len(lanes), equal)
	for _, row := range slices.Sorted(maps.Keys(differ)) {
		stage.Proof(t, "%d differ as documented: %s", differ[row], row)
	}
}

// feed gives every lane its input on both sides, some lanes at a time.
func feed(t *testing.T, lanes []lane, places [sides][]place) (told [sides][][]string) {
	t.Helper()
	var work sync.WaitGroup
	free := make(chan struct{}, feeders)
	for side := range sides {
		told[side] = make([][]string, len(lanes))
		for n := range lanes {
			if lanes[n].feed == nil {
				continue
			}
			free <- struct{}{}
			work.Go(func() {
				defer func() { <-free }()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				lines, err := lanes[n].feed(ctx, places[side][n])
				if err != nil {
					t.Errorf("feeding lane %d, %s, of %v: %v\n%s", n, lanes[n].name, harness.Flavor(1-side), err, lanes[n].conf)
				}
				told[side][n] = lines
			})
		}
	}
	work.Wait()
	return told
}

// settle waits until every event has left its channel and no counter moves.
func settle(t *testing.T, a *harness.Agent, quiet time.Duration) {
	t.Helper()
	var before map[string]string
	since := time.Now()
	harness.Eventually(t, patience, "events stay in "+a.Flavor.String(), func() error {
		page, err := a.MetricsPage()
		if err != nil {
			return err
		}
		now := map[string]string{}
		var waiting []string
		for component, counters := range page {
			for _, counter := range []string{"EventReceivedCount", "EventAcceptedCount", "EventPutSuccessCount", "EventTakeSuccessCount", "EventDrainSuccessCount"} {
				now[component+"."+counter] = counters[counter]
			}
			if counters["EventPutSuccessCount"] != counters["EventTakeSuccessCount"] {
				waiting = append(waiting, component)
			}
		}
		if !maps.Equal(now, before) {
			before, since = now, time.Now()
		}
		switch {
		case len(waiting) > 0:
			slices.Sort(waiting)
			return fmt.Errorf("%v are not empty", waiting)
		case time.Since(since) < quiet:
			return errors.New("its counters move")
		}
		return nil
	})
}

// difference shows where two outcomes part.
func difference(flume, sluice []string) string {
	at := 0
	for at < len(flume) && at < len(sluice) && flume[at] == sluice[at] {
		at++
	}
	line := func(of []string) string {
		if at < len(of) {
			return short(of[at])
		}
		return "nothing more"
	}
	return fmt.Sprintf("line %d of %d and %d differs:\nFlume:  %s\nSluice: %s", at+1, len(flume), len(sluice), line(flume), line(sluice))
}

// hasRow reports whether a table of the differences has a row that begins so.
func hasRow(t *testing.T, row string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(stage.Root, "docs", "rows-*.md")) // of a change that is under way
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(stage.Root, "docs", "compatibility.md")) {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(page), "\n| "+row) {
			return true
		}
	}
	return false
}

// A span is the milliseconds of a run: a time in it is the agent's clock.
type span struct{ from, to int64 }

// What no two agents make alike.
var (
	clock = regexp.MustCompile(`\b\d{13}\b`)
	uuid  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
)

// tidy puts words in the place of what is random or the time.
func (s span) tidy(text string) string {
	text = uuid.ReplaceAllString(text, "<uuid>")
	return clock.ReplaceAllStringFunc(text, func(digits string) string {
		if ms, err := strconv.ParseInt(digits, 10, 64); err == nil && ms >= s.from && ms <= s.to {
			return "<now>"
		}
		return digits
	})
}

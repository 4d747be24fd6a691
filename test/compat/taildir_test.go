//go:build interop

package compat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tailQuiet is longer than Flume takes to look for idle files, which it does every five seconds.
const tailQuiet = 8 * time.Second

// Files that are there and that grow, with every setting. What no file can show alike in both is in the other tests.
func TestTaildir(t *testing.T) {
	r := stage.Rand(t)
	var lanes []lane
	for range stage.Count(400, 80) {
		lanes = append(lanes, tailLane(r))
	}
	compare(t, tailQuiet, lanes)
}

// A step is what happens to a log.
type step struct{ name, text, rename string }

func tailLane(r *rand.Rand) lane {
	var conf strings.Builder
	set := func(key, value string) { fmt.Fprintf(&conf, "source.%s = %s\n", key, value) }
	maybe := func(key, value string) {
		if r.IntN(2) == 0 {
			set(key, value)
		}
	}
	set("type", pick(r, "TAILDIR", "taildir", "org.apache.flume.source.taildir.TaildirSource"))
	set("positionFile", "{dir}/"+pick(r, "p.json", "more/positions.json"))
	set("backoffSleepIncrement", "50")
	set("maxBackoffSleep", "200")
	set("idleTimeout", "1000")
	set("filegroups", "g1 g2")
	set("filegroups.g1", "{dir}/log/"+pick(r, `a\\.log`, `.*\\.log`, `[a-c]\\.l(og|og)`, `(?i)A\\.LOG|b\\.log`))
	set("filegroups.g2", "{dir}/other/.*")
	maybe("headers.g1.kind", pick(r, "web", "a b", "x=y"))
	maybe("headers.g1.file", "from the group")
	maybe("headers.g2.a.b", "c")
	maybe("byteOffsetHeader", flag(r))
	maybe("fileHeader", flag(r))
	maybe("fileHeaderKey", pick(r, "file", "path", "kind"))
	maybe("batchSize", fmt.Sprint(1+r.IntN(50)))
	maybe("maxBatchCount", fmt.Sprint(1+r.IntN(5)))
	maybe("cachePatternMatching", flag(r))
	maybe("writePosInterval", "100")
	skip := r.IntN(6) == 0
	if skip {
		set("skipToEnd", "true")
	}
	var after []step
	for range r.IntN(4) {
		after = append(after, step{name: pick(r, "log/a.log", "log/b.log", "log/c.log", "other/x"), text: logText(r, false)})
	}
	open := len(after) == 0 // Flume makes an event of a line without an end when it happens to look for idle files
	before := []step{{name: "log/a.log", text: logText(r, open)}}
	if r.IntN(2) == 0 {
		before = append(before, step{name: "log/b.log", text: logText(r, open)})
	}
	if r.IntN(3) == 0 {
		before = append(before, step{name: "other/" + pick(r, "x", ".hidden", "with blank"), text: logText(r, open)})
	}
	if !open && r.IntN(4) == 0 {
		after = append(after, step{name: "log/a.log", text: "the last before a rename\n"}, step{name: "log/a.log", rename: "log/renamed"})
	}
	l := lane{name: "taildir", conf: conf.String(), unordered: true, input: fmt.Sprintf("%q\n%q", before, after)}
	l.prepare = func(p place) error {
		err := errors.Join(os.Mkdir(filepath.Join(p.dir, "log"), 0o755), os.Mkdir(filepath.Join(p.dir, "other"), 0o755))
		for _, s := range before {
			err = errors.Join(err, s.do(p))
		}
		return err
	}
	l.feed = func(ctx context.Context, p place) ([]string, error) {
		if err := wait(ctx, 2*time.Second); err != nil { // both look at what is there first
			return nil, err
		}
		for _, s := range after {
			if err := errors.Join(s.do(p), wait(ctx, time.Duration(600)*time.Millisecond)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	return l
}

func (s step) do(p place) error {
	name := filepath.Join(p.dir, s.name)
	if s.rename != "" {
		return os.Rename(name, filepath.Join(p.dir, s.rename))
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.text)
	return errors.Join(err, f.Close())
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// logText are lines of every sort; the last one may have no end, if open is true.
func logText(r *rand.Rand, open bool) string {
	var out strings.Builder
	for range r.IntN(60) {
		switch r.IntN(12) {
		case 0: // empty
		case 1:
			out.WriteString("\r")
		case 2:
			out.WriteString("bytes \xff\xfe\x00 of no charset")
		case 3:
			out.WriteString(strings.Repeat("long ", r.IntN(4000)))
		default:
			out.WriteString(strings.NewReplacer("\n", "", "\r", "").Replace(phrase(r, 6)))
		}
		out.WriteString(pick(r, "\n", "\n", "\n", "\r\n", "\r\r\n"))
	}
	if open && r.IntN(3) == 0 {
		out.WriteString("no end" + pick(r, "", "\r"))
	}
	return out.String()
}

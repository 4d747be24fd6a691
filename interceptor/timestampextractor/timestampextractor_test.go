package timestampextractor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	for _, settings := range [][]string{{`regex = \d+`, "format = seconds"}, {"jsonPath = $", "format = millis", "fallback = reject", "headerName = n"}} {
		flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, settings...) })
	}
}

func TestIntercept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 UTC
		const none, present = "", "946684800000"
		for _, x := range []struct{ settings, body, want string }{
			{`regex = ^\[([^\]]+)\]; timezone = UTC`, "[2024-03-31 01:30:00,123] hello", "1711848600123"},
			{`regex = (?<level>\w+) (?<time>\S+); timezone = UTC`, "WARN 2024-03-31T01:30:00Z", "1711848600000"},
			{`regex = (?<=at=)\d+`, "x at=1711848600", "1711848600000"},
			{`regex = ^(\w+ +\d+ [\d:]+); timezone = UTC`, "Dec 31 23:00:00 host su: x", "946681200000"},
			{`jsonPath = $.event['time']`, `{"event": {"time": "2024-03-31T01:30:00Z"}}`, "1711848600000"},
			{`jsonPath = ts`, `{"x": [1,2], "ts": 1711848600.123}`, "1711848600123"},
			{`jsonPath = ts; format = micros; headerName = at`, `{"ts": 1711848600123456}`, "1711848600123"},
			{`regex = .*; pattern = dd.MM.yyyy HH:mm; timezone = Asia/Tokyo`, "31.03.2024 10:30", "1711848600000"},
			{`jsonPath = ts`, `{"ts": null}`, present},
			{`jsonPath = ts`, `not JSON`, present},
			{`regex = \d+x`, "none", present},
			{`regex = \d+x; fallback = none`, "none", none},
			{`regex = (\d+)?x; fallback = NONE`, "x", none},
			{`regex = .*; fallback = none`, "no time", none},
			{`regex = .*; fallback = none`, strings.Repeat("1", 1000), none},
		} {
			header := "timestamp"
			if strings.Contains(x.settings, "headerName") {
				header = "at"
			}
			for _, preserve := range []bool{false, true} {
				env := flumetest.NewEnv()
				b := flume.Batch{{Body: []byte(x.body)}, {Body: []byte(x.body), Headers: flume.Headers{{Key: header, Value: "old"}}}}
				i := flumetest.OpenIn(t, env, Kind, append(strings.Split(x.settings, "; "), fmt.Sprint("preserveExisting = ", preserve))...)
				out, rejected, err := i.Intercept(t.Context(), b)
				if err != nil || len(rejected) > 0 || len(out) != 2 {
					t.Fatal(out, rejected, err)
				}
				second := x.want
				if preserve || second == none {
					second = "old"
				}
				for n, want := range []string{x.want, second} {
					if got, _ := out[n].Headers.Get(header); got != want {
						t.Errorf("%s: event %d has %q instead of %q", x.settings, n, got, want)
					}
				}
				missing := int64(0)
				if x.want == none || x.want == present {
					missing = 2
					if preserve {
						missing = 1
					}
				}
				if got := env.Count("EventTimeMissingCount"); got != missing || (missing > 0) != strings.Contains(env.Logged(), "level=WARN") {
					t.Errorf("%s: %d events are counted instead of %d; the log says %q", x.settings, got, missing, env.Logged())
				}
			}
		}
	})
}

// With fallback = reject an event that tells no time goes to the dead letters as it came, in its place the rest goes on.
func TestReject(t *testing.T) {
	i := flumetest.Open(t, Kind, `regex = ^(a+)+\1b|^\S+`, "fallback = reject")
	out, rejected, err := i.Intercept(t.Context(), flume.Batch{
		{Body: []byte("x")}, {Body: []byte("1711848600 b")}, {Body: []byte(strings.Repeat("a", 64))}, {Body: nil}, {Body: []byte("1711848601 c")}, {Body: []byte("y")},
	})
	if err != nil || !slices.Equal(flumetest.Bodies(out), []string{"1711848600 b", "1711848601 c"}) || len(rejected) != 4 {
		t.Fatal(out, rejected, err)
	}
	if got, _ := out[1].Headers.Get("timestamp"); got != "1711848601000" {
		t.Error(out)
	}
	for n, want := range []string{`reading the time "x": it has no format that auto knows`, "tries too many ways", "it is not there", `reading the time "y"`} {
		if len(rejected[n].Event.Headers) > 0 || !strings.Contains(rejected[n].Err.Error(), want) {
			t.Errorf("%v", rejected[n])
		}
	}
}

// The log says once that events tell no time.
func TestSaidOnce(t *testing.T) {
	env := flumetest.NewEnv()
	i := flumetest.OpenIn(t, env, Kind, `regex = \d+`)
	for n := range 100 {
		if _, _, err := i.Intercept(t.Context(), flume.Batch{{Body: fmt.Appendf(nil, "%cx%d", 'a'+n%26, n)}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(env.Logged(), "level=WARN"); n != 1 || env.Count("EventTimeMissingCount") != 100 {
		t.Errorf("%d warnings, %d events counted: %s", n, env.Count("EventTimeMissingCount"), env.Logged())
	}
}

func TestProblems(t *testing.T) {
	for _, x := range []struct {
		settings, want string
		severity       conf.Severity
	}{
		{"headerName = t", "needs either regex or jsonPath", conf.Fatal},
		{"regex = a; jsonPath = b", "needs either regex or jsonPath", conf.Fatal},
		{"regex = (", "regex: the pattern", conf.Fatal},
		{"jsonPath = a..b", `jsonPath: the path "a..b": a key is missing`, conf.Fatal},
		{"regex = a; timezone = Mars/Base", `timezone: "Mars/Base" is no time zone`, conf.Fatal},
		{"regex = a; pattern = yyyy-QQ", `pattern: the date pattern "yyyy-QQ": QQ is not known`, conf.Fatal},
		{"regex = a; format = stardate", `format: "stardate" is not one of auto, iso8601`, conf.Fatal},
		{"regex = a; fallback = guess", `fallback: "guess" is not one of now, none, reject`, conf.Fatal},
		{"regex = a; format = clf; pattern = yyyy", "format: has no effect", conf.Warning},
	} {
		problems := flumetest.Problems(t, Kind, nil, strings.Split(x.settings, "; ")...)
		if problems.Fatal() != (x.severity == conf.Fatal) || !strings.Contains(problems.String(), x.want) {
			t.Errorf("%s: %v", x.settings, problems)
		}
	}
}

func TestTrace(t *testing.T) {
	in := flume.Known{"timestamp": "1", "topic": "t"}
	for setting, want := range map[string]flume.Known{"preserveExisting = false": {"topic": "t"}, "preserveExisting = true": in} {
		plan, _ := Kind.Bind(flumetest.Section(t, "regex = a", setting))
		if got := plan.Settings.(flume.Tracer).Trace(in); !maps.Equal(got, want) {
			t.Errorf("%s makes %v of %v", setting, got, in)
		}
	}
}

func TestAllocations(t *testing.T) {
	for setting, most := range map[string]float64{`regex = ^(\S+ \S+)`: 130, `regex = (?<=^)(\S+ \S+)`: 30} { // package regexp allocates one for each match
		if racing && !strings.Contains(setting, "<") {
			continue // and has pools, which the race detector empties
		}
		i := flumetest.Open(t, Kind, setting)
		b := make(flume.Batch, 100)
		for n := range b {
			b[n].Body = fmt.Appendf(nil, "%s hello", time.UnixMilli(int64(n)*1e6).Format("2006-01-02 15:04:05,000"))
		}
		if got := testing.AllocsPerRun(100, func() {
			for n := range b {
				b[n].Headers = nil
			}
			if _, _, err := i.Intercept(t.Context(), b); err != nil {
				t.Error(err)
			}
		}); got > most {
			t.Errorf("%s: %v allocations for a batch of 100", setting, got)
		}
	}
}

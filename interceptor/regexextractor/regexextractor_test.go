package regexextractor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	for _, regex := range []string{`regex = (\d)(\d)?`, `regex = (?<=^)(\d)(\d)?`} {
		flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor {
			return flumetest.Open(t, Kind, regex, "serializers = s1 s2", "serializers.s1.name = n", "serializers.s2.name = k0")
		})
	}
}

// What Flume 1.11 makes of events with the header one=old; with the differences that are said.
func TestIntercept(t *testing.T) {
	const body = "a1:2:3.4foo é"
	const named = "serializers.s1.name = one; serializers.s2.name = two; serializers.s3.name = three"
	for _, x := range []struct{ settings, body, want string }{
		{`regex = (\d):(\d):(\d); serializers = s1 s2 s3; ` + named, body, "one=1 three=3 two=2"},
		{`regex = (\d):(\d):(\d); serializers = s2 s1; serializers.s1.name = one; serializers.s2.name = two`, body, "one=2 two=1"},
		{`regex = (\d):(x)?; serializers = s1 s2 s3; ` + named, body, "one=1"}, // Flume: two=null
		{`regex = \d; serializers = s1; serializers.s1.name = one`, body, "one=old"},
		{`regex = zzz; serializers = s1; serializers.s1.name = one`, body, "one=old"},
		{`regex = (\d); serializers = s1; serializers.s1.name = one; serializers.s1.type = DEFAULT`, body, "one=1"},
		{`regex = (\d); serializers = s1; serializers.s1.name = one; serializers.s1.type = default`, body, "one=1"},
		{`regex = (\d); serializers = s1; serializers.s1.name = one; serializers.s1.type = ` + class + "PassThroughSerializer", body, "one=1"},
		{`regex = (.*); serializers = s1; serializers.s1.name = one`, "a\xffb", "one=a\ufffdb"},
		{`regex = (\d):(\d); serializers = s1 s1; serializers.s1.name = one`, body, "one=2"},
		{`regex = (\d):(\d); serializers = s1 s2; serializers.s1.name = one; serializers.s2.name = one`, body, "one=2"},
		{`regex = (z)?; serializers = s1; serializers.s1.name = two; serializers.s1.type = MILLIS; serializers.s1.pattern = d`, body, "one=old"},
		{`regex = (x*); serializers = s1; serializers.s1.name = one`, body, "one="},
		{`regex = (?<=:)(\d)(?=\.); serializers = s1; serializers.s1.name = one`, body, "one=3"},
	} {
		b := flume.Batch{{Body: []byte(x.body)}, {Body: []byte(x.body)}, {}}
		for n := range b {
			b[n].Headers = flume.Headers{{Key: "one", Value: "old"}}
		}
		plan, problems := Kind.Bind(flumetest.Section(t, strings.Split(x.settings, "; ")...))
		if problems.Fatal() {
			t.Fatal(problems)
		}
		i, err := plan.Open(t.Context(), flumetest.NewEnv().Env)
		if err != nil {
			t.Fatal(err)
		}
		out, rejected, err := i.Intercept(t.Context(), b[:2])
		if err != nil || len(rejected) > 0 || len(out) != 2 {
			t.Fatal(out, rejected, err)
		}
		for n := range out {
			if got := headers(out[n]); got != x.want {
				t.Errorf("%s: event %d has %s instead of %s", x.settings, n, got, x.want)
			}
			if string(out[n].Body) != x.body {
				t.Errorf("%s: the body has become %q", x.settings, out[n].Body)
			}
		}
	}
}

func headers(e flume.Event) string {
	var all []string
	for _, h := range e.Headers {
		all = append(all, h.Key+"="+h.Value)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// Times are read in the zone of the machine, unless the text has its own.
func TestMillis(t *testing.T) {
	for _, x := range []struct{ pattern, text, layout string }{
		{"yyyy-MM-dd HH:mm", "2012-10-16 12:34", "2006-01-02 15:04"},
		{"yyyy-MM-dd'T'HH:mm:ssZ", "2012-10-16T12:34:56+0200", "2006-01-02T15:04:05Z0700"},
	} {
		when, err := time.ParseInLocation(x.layout, x.text, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		i := flumetest.Open(t, Kind, `regex = ^(?:\n)?(\d\S+( \S+)?)`, "serializers = s1", "serializers.s1.name = timestamp",
			"serializers.s1.type = "+class+"MillisSerializer", "serializers.s1.pattern = "+x.pattern)
		out, rejected, err := i.Intercept(t.Context(), flume.Batch{{Body: []byte("\n" + x.text)}, {Body: []byte(x.text)}})
		if err != nil || len(rejected) > 0 {
			t.Fatal(rejected, err)
		}
		for n := range out {
			if got, _ := out[n].Headers.Get("timestamp"); got != strconv.FormatInt(when.UnixMilli(), 10) {
				t.Errorf("%q is %s instead of %d", x.text, got, when.UnixMilli())
			}
		}
	}
}

// What cannot be a time, and what the pattern would try for ever, is rejected as it came; the others pass.
func TestPoison(t *testing.T) {
	i := flumetest.Open(t, Kind, `regex = ^(?:(a+)+\1b|(\S+) (\S+))`, "serializers = s0 s1 s2", "serializers.s0.name = zero", "serializers.s1.name = one",
		"serializers.s2.name = two", "serializers.s2.type = MILLIS", "serializers.s2.pattern = yyyy")
	out, rejected, err := i.Intercept(t.Context(), flume.Batch{
		{Body: []byte("x 2024")}, {Body: []byte("y never")}, {Body: []byte(strings.Repeat("a", 64))}, {Body: []byte("z 2025")}, {Body: []byte("nothing")}, {Body: []byte("w now")},
	})
	if err != nil || !slices.Equal(flumetest.Bodies(out), []string{"x 2024", "z 2025", "nothing"}) || len(rejected) != 3 {
		t.Fatal(out, rejected, err)
	}
	if one, _ := out[1].Headers.Get("one"); one != "z" || len(out[2].Headers) != 0 {
		t.Error(out)
	}
	for n, want := range []string{
		`making the header two of the body: reading "never" by the date pattern "yyyy": it does not fit at "never"`,
		"looking for", `reading "now"`,
	} {
		if len(rejected[n].Event.Headers) != 0 || !strings.Contains(rejected[n].Err.Error(), want) {
			t.Errorf("%v", rejected[n])
		}
	}
}

func TestProblems(t *testing.T) {
	const good = `regex = (\d); serializers = s1; serializers.s1.name = one; `
	for _, x := range []struct {
		settings, want string
		severity       conf.Severity
	}{
		{`regex = (\d)`, "serializers: is required and not set", conf.Fatal},
		{"serializers = s1; serializers.s1.name = one", "regex: is required and not set", conf.Fatal},
		{`regex = (\d); serializers = s1`, "serializers.s1.name: is required and not set", conf.Fatal},
		{`regex = (\d; serializers = s1; serializers.s1.name = one`, "the ) of this group is missing", conf.Fatal},
		{good + "serializers.s1.type = com.acme.Mine", `serializers.s1.type: "com.acme.Mine" is no serializer of Sluice`, conf.Fatal},
		{good + "serializers.s1.type = MILLIS", "serializers.s1.pattern: is required and not set", conf.Fatal},
		{good + "serializers.s1.type = MILLIS; serializers.s1.pattern = yyyy-QQ", `serializers.s1.pattern: the date pattern "yyyy-QQ": QQ is not known`, conf.Fatal},
		{good + "serializers.s1.pattern = yyyy", "has no effect without type = MILLIS", conf.Warning},
		{good + "serializers.s1.nmae = two", `serializers.s1.nmae: is not a setting of a serializer; did you mean "name"?`, conf.Warning},
		{good + "serializers.s2.name = two", `serializers.s2.name: has no effect: serializers does not name "s2"`, conf.Warning},
		{`regex = (\d); serializers = s1 s2; serializers.s1.name = one; serializers.s2.name = two`, "serializers: s2 gets nothing: the pattern has 1 groups", conf.Warning},
	} {
		problems := flumetest.Problems(t, Kind, nil, strings.Split(x.settings, "; ")...)
		if problems.Fatal() != (x.severity == conf.Fatal) || !strings.Contains(problems.String(), x.want) {
			t.Errorf("%s: %v", x.settings, problems)
		}
	}
	if problems := flumetest.Problems(t, Kind, nil, strings.Split(strings.TrimSuffix(good, "; "), "; ")...); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestTrace(t *testing.T) {
	in := flume.Known{"one": "1", "topic": "t"}
	plan, _ := Kind.Bind(flumetest.Section(t, `regex = (\d)`, "serializers = s1", "serializers.s1.name = one"))
	if got := plan.Settings.(flume.Tracer).Trace(in); !maps.Equal(got, flume.Known{"topic": "t"}) || len(in) != 2 {
		t.Errorf("%v is made of %v", got, in)
	}
}

func TestAllocations(t *testing.T) {
	for regex, most := range map[string]float64{`(\w+)=(\d+)`: 130, `(?<=^)(\w+)=(\d+)`: 30} { // package regexp allocates one for each match
		if racing && !strings.Contains(regex, "<") {
			continue // and has pools, which the race detector empties
		}
		i := flumetest.Open(t, Kind, "regex = "+regex, "serializers = s1 s2", "serializers.s1.name = a", "serializers.s2.name = b")
		b := make(flume.Batch, 100)
		for n := range b {
			b[n].Body = fmt.Appendf(nil, "key=%d", n)
		}
		if got := testing.AllocsPerRun(100, func() {
			for n := range b {
				b[n].Headers = nil
			}
			if _, _, err := i.Intercept(t.Context(), b); err != nil {
				t.Error(err)
			}
		}); got > most {
			t.Errorf("%s: %v allocations for a batch of 100", regex, got)
		}
	}
}

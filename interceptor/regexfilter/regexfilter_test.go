package regexfilter

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/javaregex"
)

func TestLaws(t *testing.T) {
	for _, setting := range []string{`regex = \d`, `regex = (?<!1)5`} {
		flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, setting) })
	}
}

func batch(bodies ...string) flume.Batch {
	var b flume.Batch
	for _, body := range bodies {
		b = append(b, flume.Event{Body: []byte(body)})
	}
	return b
}

// What Flume 1.11 keeps.
func TestIntercept(t *testing.T) {
	in := []string{"", "a1:2", "12", "ERROR x\n", "a\xffb"}
	for _, x := range []struct {
		settings string
		want     []string
	}{
		{"", in},
		{"excludeEvents = true", nil},
		{`regex = \d`, []string{"a1:2", "12"}},
		{`regex = \d; excludeEvents = TRUE`, []string{"", "ERROR x\n", "a\xffb"}},
		{`regex = ^\d`, []string{"12"}},
		{`regex = x$`, []string{"ERROR x\n"}},
		{`regex = (?i)^(error|warn)`, []string{"ERROR x\n"}},
		{"regex = \ufffd", []string{"a\xffb"}},
		{`regex = ^(?!a)`, []string{"", "12", "ERROR x\n"}},
	} {
		var settings []string
		if x.settings != "" {
			settings = strings.Split(x.settings, "; ")
		}
		out, rejected, err := flumetest.Open(t, Kind, settings...).Intercept(t.Context(), batch(in...))
		if err != nil || len(rejected) > 0 {
			t.Fatal(rejected, err)
		}
		if got := flumetest.Bodies(out); !slices.Equal(got, x.want) {
			t.Errorf("%s keeps %q instead of %q", x.settings, got, x.want)
		}
	}
}

// A body on which the pattern would try for ever is rejected, as it came; the others pass.
func TestPoison(t *testing.T) {
	poison := strings.Repeat("a", 64)
	i := flumetest.Open(t, Kind, `regex = ^(a+)+\1b|x`)
	out, rejected, err := i.Intercept(t.Context(), batch("x", poison, "y", "ax"))
	if err != nil || !slices.Equal(flumetest.Bodies(out), []string{"x", "ax"}) {
		t.Errorf("%q, %v", flumetest.Bodies(out), err)
	}
	if len(rejected) != 1 || string(rejected[0].Event.Body) != poison || !errors.Is(rejected[0].Err, javaregex.ErrLimit) {
		t.Errorf("%v", rejected)
	}
}

func TestProblems(t *testing.T) {
	problems := flumetest.Problems(t, Kind, nil, "excludeEvents = no", "regex = (a")
	want := `flume.conf:2: a1.components.x1.regex: the pattern "(a", at character 1: the ) of this group is missing`
	if !problems.Fatal() || !strings.Contains(problems.String(), want) {
		t.Errorf("%v", problems)
	}
}

func TestAllocations(t *testing.T) {
	for _, regex := range []string{"regex = (?<=x)y", "regex = ERROR"} {
		if racing && !strings.Contains(regex, "<") {
			continue // package regexp has pools, which the race detector empties
		}
		i := flumetest.Open(t, Kind, regex)
		b := make(flume.Batch, 100)
		if got := testing.AllocsPerRun(100, func() {
			for n := range b {
				b[n].Body = []byte("an ERROR xy")
			}
			if out, _, err := i.Intercept(t.Context(), b); err != nil || len(out) != 100 {
				t.Error(err)
			}
		}); got > 110 { // 100 of them are the bodies
			t.Errorf("%s: %v allocations for a batch of 100", regex, got)
		}
	}
}

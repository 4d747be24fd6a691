package searchreplace

import (
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	for _, setting := range []string{`searchPattern = \d`, `searchPattern = (?<=1)`} {
		flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor {
			return flumetest.Open(t, Kind, setting, "replaceString = <$0>")
		})
	}
}

// What Flume 1.11 makes of bodies.
func TestIntercept(t *testing.T) {
	const body = "a1:2:3.4foo é"
	for _, x := range []struct{ settings, body, want string }{
		{`searchPattern = \d; replaceString = <$0>`, body, "a<1>:<2>:<3>.<4>foo é"},
		{`searchPattern = \d`, body, "a::.foo é"},
		{`searchPattern = ^[A-Za-z0-9_]+; replaceString =`, body, ":2:3.4foo é"},
		{`searchPattern = The quick brown ([a-z]+) jumped over the lazy ([a-z]+); replaceString = The hungry $2 ate the careless $1`,
			"The quick brown fox jumped over the lazy dog", "The hungry dog ate the careless fox"},
		{`searchPattern = (?<d>\d); replaceString = ${d}\$\\`, "1", `1$\`},
		{`searchPattern = b; charset = ISO-8859-1`, "a\xffb", "a\xff"},
		{`searchPattern = o; replaceString = €; charset = ISO-8859-1`, body, "a1:2:3.4f?? \xc3\xa9"},
		{`searchPattern = b; charset = US-ASCII`, "a\xffb", "a?"},
		{`searchPattern = a; replaceString = b; charset = UTF-16`, "\x00a\x00", "\xfe\xff\x00b\xff\xfd"},
		{`searchPattern = a; replaceString = b; charset = utf-16`, "\xff\xfea\x00", "\xfe\xff\x00b"},
		{`searchPattern = a; replaceString = b; charset = UTF-16LE`, "\xff\xfea\x00\x00\xd8", "\xff\xfeb\x00\xfd\xff"},
		{`searchPattern = a; charset = UTF-16`, "", ""},
		{`searchPattern = b; replaceString = c`, "a\xffb", "a\ufffdc"},
		{`searchPattern = z`, "a\xffb", "a\xffb"}, // Flume: a\ufffdb
		{`searchPattern = ^; replaceString = x`, "", "x"},
	} {
		i := flumetest.Open(t, Kind, strings.Split(x.settings, "; ")...)
		out, rejected, err := i.Intercept(t.Context(), flume.Batch{{Body: []byte(x.body)}, {Body: []byte(x.body)}})
		if err != nil || len(rejected) > 0 {
			t.Fatal(rejected, err)
		}
		for n := range out {
			if string(out[n].Body) != x.want {
				t.Errorf("%s: %q has become %q instead of %q", x.settings, x.body, out[n].Body, x.want)
			}
			out[n].Body = append(out[n].Body, "overwritten"...) // has no room in common with another
		}
	}
}

func TestPoison(t *testing.T) {
	poison := strings.Repeat("a", 64)
	i := flumetest.Open(t, Kind, `searchPattern = ^(a+)+\1b|x`)
	out, rejected, err := i.Intercept(t.Context(), flume.Batch{{Body: []byte("x1")}, {Body: []byte(poison)}, {Body: []byte("x2")}})
	if err != nil || len(out) != 2 || string(out[1].Body) != "2" || len(rejected) != 1 || string(rejected[0].Event.Body) != poison {
		t.Errorf("%v, %v, %v", out, rejected, err)
	}
}

func TestProblems(t *testing.T) {
	for settings, want := range map[string]string{
		"replaceString = x":                         "searchPattern: is required and not set",
		"searchPattern = ":                          "searchPattern: is empty and required",
		"searchPattern = [":                         `searchPattern: the pattern "[", at character 1: the ] of this class is missing`,
		"searchPattern = (a); replaceString = x $2": `replaceString: the replacement "x $2", at character 3: the pattern "(a)" has no group 2`,
		"searchPattern = a; charset = EBCDIC":       `charset: "EBCDIC" is none of the charsets UTF-8, ISO-8859-1,`,
	} {
		problems := flumetest.Problems(t, Kind, nil, strings.Split(settings, "; ")...)
		if !problems.Fatal() || !strings.Contains(problems.String(), want) {
			t.Errorf("%s: %v", settings, problems)
		}
	}
}

func TestAllocations(t *testing.T) {
	for pattern, most := range map[string]float64{"searchPattern = nothing": 12, "searchPattern = (?<=a)n": 20} {
		if racing && !strings.Contains(pattern, "<") {
			continue // package regexp has pools, which the race detector empties
		}
		i := flumetest.Open(t, Kind, pattern, "replaceString = x")
		b := make(flume.Batch, 100)
		body := []byte("an event")
		if got := testing.AllocsPerRun(100, func() {
			for n := range b {
				b[n].Body = body
			}
			if _, _, err := i.Intercept(t.Context(), b); err != nil {
				t.Error(err)
			}
		}); got > most {
			t.Errorf("%s: %v allocations for a batch of 100", pattern, got)
		}
	}
}

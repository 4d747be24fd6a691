package removeheader

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor {
		return flumetest.Open(t, Kind, "withName = k0", `matching = h\d*[1-3]`)
	})
}

func headers(names ...string) flume.Headers {
	var h flume.Headers
	for _, name := range names {
		h = append(h, flume.Header{Key: name, Value: "v"})
	}
	return h
}

func open1(t *testing.T, settings string) flume.Interceptor {
	if settings == "" {
		return flumetest.Open(t, Kind, "matching = ()[^\\s\\S]")
	}
	return flumetest.Open(t, Kind, strings.Split(settings, "; ")...)
}

// What Flume 1.11 leaves.
func TestIntercept(t *testing.T) {
	for settings, want := range map[string]string{
		"":                                      "a b c tmp_x Tmp xtmp_ .",
		"withName = a":                          "b c tmp_x Tmp xtmp_ .",
		"withName = A":                          "a b c tmp_x Tmp xtmp_ .",
		"fromList = a, b ,c":                    "tmp_x Tmp xtmp_ .",
		"fromList = ,,a,,":                      "b c tmp_x Tmp xtmp_",
		"fromList = a;b":                        "a b c tmp_x Tmp xtmp_ .",
		"matching = tmp_.*":                     "a b c Tmp xtmp_ .",
		"matching = tmp":                        "a b c tmp_x Tmp xtmp_ .",
		"matching = (?i)^tmp":                   "a b c tmp_x xtmp_ .",
		"matching = .*":                         "",
		"matching = (?!tmp).*":                  "tmp_x",
		"fromList = b:a; fromListSeparator = :": "c tmp_x Tmp xtmp_ .",
		"withName = a; fromList = b; matching = c": "tmp_x Tmp xtmp_ .",
	} {
		b := flume.Batch{{Headers: headers("a", "b", "c", "tmp_x", "Tmp", "xtmp_", "")}, {Headers: headers("a", "b", "c", "tmp_x", "Tmp", "xtmp_", "")}, {}}
		out, rejected, err := open1(t, settings).Intercept(t.Context(), b)
		if err != nil || len(rejected) > 0 || len(out) != 3 {
			t.Fatal(out, rejected, err)
		}
		for n := range 2 {
			var got []string
			for _, h := range out[n].Headers {
				name := h.Key
				if name == "" {
					name = "."
				}
				got = append(got, name)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s leaves %q instead of %q", settings, got, want)
			}
		}
	}
}

// More names than are remembered are matched all the same.
func TestManyNames(t *testing.T) {
	var names []string
	for n := range 100 {
		names = append(names, fmt.Sprint("n", n))
	}
	b := flume.Batch{{Headers: headers(names...)}, {Headers: headers(names...)}}
	out, _, err := open1(t, `matching = n\d*[05]`).Intercept(t.Context(), b)
	if err != nil || len(out[0].Headers) != 80 || len(out[1].Headers) != 80 {
		t.Errorf("%v, %v", out, err)
	}
}

func TestPoison(t *testing.T) {
	poison := strings.Repeat("a", 64)
	b := flume.Batch{{Headers: headers("x", "b")}, {Headers: headers("x", poison)}, {Headers: headers("x")}}
	out, rejected, err := open1(t, `withName = x; matching = (a+)+\1b`).Intercept(t.Context(), b)
	if err != nil || len(out) != 2 || len(out[0].Headers) != 1 || len(out[1].Headers) != 0 {
		t.Errorf("%v, %v", out, err)
	}
	if len(rejected) != 1 || len(rejected[0].Event.Headers) != 2 {
		t.Errorf("%v", rejected)
	}
}

func TestProblems(t *testing.T) {
	for settings, want := range map[string]string{
		"matching = (":                        `matching: the pattern "(", at character 1`,
		"fromList = a; fromListSeparator = (": `fromListSeparator: the pattern "(", at character 1`,
		"withname = a":                        "removes nothing; set withName, fromList or matching",
	} {
		problems := flumetest.Problems(t, Kind, nil, strings.Split(settings, "; ")...)
		if !strings.Contains(problems.String(), want) {
			t.Errorf("%s: %v", settings, problems)
		}
	}
}

func TestTrace(t *testing.T) {
	in := flume.Known{"a": "1", "b": "2", "c": "3"}
	plan, _ := Kind.Bind(flumetest.Section(t, "withName = a", "matching = [bx]"))
	if got := plan.Settings.(flume.Tracer).Trace(in); !maps.Equal(got, flume.Known{"c": "3"}) || len(in) != 3 {
		t.Errorf("%v is made of %v", got, in)
	}
}

func TestAllocations(t *testing.T) {
	i := open1(t, "withName = a; matching = (?!b).")
	b := make(flume.Batch, 100)
	all := make(flume.Headers, 300)
	if got := testing.AllocsPerRun(100, func() {
		for n := range b {
			b[n].Headers = append(all[3*n:3*n:3*n+3], flume.Header{Key: "a"}, flume.Header{Key: "b"}, flume.Header{Key: "c"})
		}
		if _, _, err := i.Intercept(t.Context(), b); err != nil {
			t.Error(err)
		}
	}); got > 12 {
		t.Errorf("%v allocations for a batch of 100", got)
	}
}

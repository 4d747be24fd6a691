package timestamp

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, "headerName = n") })
}

func TestIntercept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1234567 * time.Microsecond) // since 2000-01-01
		for _, x := range []struct {
			settings         []string
			header           string
			existing, absent string
		}{
			{nil, "timestamp", "946684801234", "946684801234"},
			{[]string{"preserveExisting = true"}, "timestamp", "old", "946684801234"},
			{[]string{"headerName = at"}, "at", "946684801234", "946684801234"},
		} {
			b := flumetest.Events(0, 2)
			b[0].Headers.Set(x.header, "old")
			out, _, err := flumetest.Open(t, Kind, x.settings...).Intercept(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{x.existing, x.absent} {
				if got, _ := out[i].Headers.Get(x.header); got != want {
					t.Errorf("%v: event %d has %q instead of %q", x.settings, i, got, want)
				}
			}
		}
	})
}

func TestTrace(t *testing.T) {
	in := flume.Known{"timestamp": "1", "topic": "t"}
	for setting, want := range map[string]flume.Known{"preserveExisting = false": {"topic": "t"}, "preserveExisting = true": in} {
		plan, _ := Kind.Bind(flumetest.Section(t, setting))
		if got := plan.Settings.(flume.Tracer).Trace(in); !maps.Equal(got, want) {
			t.Errorf("%s makes %v of %v", setting, got, in)
		}
	}
}

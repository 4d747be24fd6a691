package uuid

import (
	"bytes"
	"maps"
	"regexp"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, "headerName = n") })
}

func TestIntercept(t *testing.T) {
	const form = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	for _, x := range []struct {
		settings         []string
		header           string
		existing, absent string
	}{
		{nil, "id", "^old$", "^" + form},
		{[]string{"preserveExisting = false", "prefix = agent1-"}, "id", "^agent1-" + form, "^agent1-" + form},
		{[]string{"headerName = eventId"}, "eventId", "^old$", "^" + form},
	} {
		b := flumetest.Events(0, 3)
		b[0].Headers.Set(x.header, "old")
		out, _, err := flumetest.Open(t, Kind, x.settings...).Intercept(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{x.existing, x.absent, x.absent} {
			if got, _ := out[i].Headers.Get(x.header); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("%v: event %d has %q instead of %q", x.settings, i, got, want)
			}
		}
		if a, b := out[1].Headers, out[2].Headers; a[1].Value == b[1].Value {
			t.Errorf("two events have the id %s", a[1].Value)
		}
	}
}

// An empty value is one.
func TestEmpty(t *testing.T) {
	b := flume.Batch{{Headers: flume.Headers{{Key: "id"}}}}
	out, _, _ := flumetest.Open(t, Kind).Intercept(t.Context(), b)
	if got, _ := out[0].Headers.Get("id"); got != "" {
		t.Errorf("an empty id has become %q", got)
	}
}

func TestForm(t *testing.T) {
	if got := string(appendUUID(nil, bytes.Repeat([]byte{0xFF}, 16))); got != "ffffffff-ffff-4fff-bfff-ffffffffffff" {
		t.Error(got)
	}
}

func TestTrace(t *testing.T) {
	in := flume.Known{"id": "1", "topic": "t"}
	for setting, want := range map[string]flume.Known{"preserveExisting = false": {"topic": "t"}, "preserveExisting = true": in} {
		plan, _ := Kind.Bind(flumetest.Section(t, setting))
		if got := plan.Settings.(flume.Tracer).Trace(in); !maps.Equal(got, want) {
			t.Errorf("%s makes %v of %v", setting, got, in)
		}
	}
}

func TestAllocations(t *testing.T) {
	i := flumetest.Open(t, Kind)
	b := make(flume.Batch, 100)
	if got := testing.AllocsPerRun(100, func() {
		for n := range b {
			b[n].Headers = nil
		}
		if _, _, err := i.Intercept(t.Context(), b); err != nil {
			t.Error(err)
		}
	}); got > 24 {
		t.Errorf("%v allocations for a batch of 100", got)
	}
}

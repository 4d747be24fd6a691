package static

import (
	"maps"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor {
		return flumetest.Open(t, Kind, "key = n", "value = x", "preserveExisting = false")
	})
}

func TestIntercept(t *testing.T) {
	for _, x := range []struct {
		settings []string
		want     []string // of the header that the settings name, with and without one before
	}{
		{nil, []string{"old", "value"}},
		{[]string{"key = key", "value = Łódź"}, []string{"old", "Łódź"}},
		{[]string{"value = v", "preserveExisting = FALSE"}, []string{"v", "v"}},
	} {
		b := flumetest.Events(0, 2)
		b[0].Headers.Set("key", "old")
		out, rejected, err := flumetest.Open(t, Kind, x.settings...).Intercept(t.Context(), b)
		if err != nil || len(rejected) > 0 || len(out) != 2 {
			t.Fatal(out, rejected, err)
		}
		for i, want := range x.want {
			if got, _ := out[i].Headers.Get("key"); got != want {
				t.Errorf("%v: event %d has %q instead of %q", x.settings, i, got, want)
			}
		}
	}
}

func TestTrace(t *testing.T) {
	for _, x := range []struct {
		settings []string
		in, want flume.Known
	}{
		{[]string{"key = topic", "value = t2"}, flume.Known{"topic": "t1"}, flume.Known{"topic": "t1"}},
		{[]string{"key = topic", "value = t2"}, flume.Known{}, flume.Known{}}, // the header may be there or not
		{[]string{"key = topic", "value = t2", "preserveExisting = false"}, flume.Known{"topic": "t1", "a": "b"}, flume.Known{"topic": "t2", "a": "b"}},
		{[]string{"key = topic", "value = t2", "preserveExisting = false"}, nil, flume.Known{"topic": "t2"}},
	} {
		plan, _ := Kind.Bind(flumetest.Section(t, x.settings...))
		before := maps.Clone(x.in)
		if got := plan.Settings.(flume.Tracer).Trace(x.in); !maps.Equal(got, x.want) {
			t.Errorf("%v makes %v of %v", x.settings, got, x.in)
		}
		if !maps.Equal(before, x.in) {
			t.Errorf("%v changed what it was given", x.settings)
		}
	}
}

func TestKind(t *testing.T) {
	for typ, want := range map[string]bool{
		"static": true, "STATIC": true,
		"org.apache.flume.interceptor.StaticInterceptor$Builder": true,
		"org.apache.flume.interceptor.StaticInterceptor":         false,
		"org.apache.flume.interceptor.staticinterceptor$builder": false,
	} {
		if Kind.Is(typ) != want {
			t.Errorf("type %s is taken: %v", typ, !want)
		}
	}
}

func TestAllocations(t *testing.T) {
	i := flumetest.Open(t, Kind, "preserveExisting = false")
	b := make(flume.Batch, 100)
	if got := testing.AllocsPerRun(100, func() {
		for n := range b {
			b[n].Headers = nil
		}
		if _, _, err := i.Intercept(t.Context(), b); err != nil {
			t.Error(err)
		}
	}); got > 1 {
		t.Errorf("%v allocations for a batch of 100", got)
	}
}

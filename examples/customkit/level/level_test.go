package level

import (
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// The laws of interceptors come with Sluice.
func TestLaws(t *testing.T) {
	flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, "drop = DEBUG") })
}

func TestLevel(t *testing.T) {
	i := flumetest.Open(t, Kind, "drop = DEBUG TRACE")
	in := flume.Batch{{Body: []byte("WARN hot")}, {Body: []byte("DEBUG x")}, {Body: []byte("oneword")}}
	out, rejected, err := i.Intercept(t.Context(), in)
	if err != nil || len(out) != 1 || len(rejected) != 1 {
		t.Fatal(out, rejected, err)
	}
	if got, _ := out[0].Headers.Get("level"); got != "WARN" {
		t.Errorf("the level is %q", got)
	}
}

func TestMisspelt(t *testing.T) {
	if got := flumetest.Problems(t, Kind, nil, "heder = x"); !strings.Contains(got.String(), `did you mean "header"?`) {
		t.Error(got)
	}
}

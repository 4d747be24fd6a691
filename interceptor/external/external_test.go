package external

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cat is an interceptor that changes nothing.
func TestLaws(t *testing.T) {
	flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, "command = cat") })
}

func TestIntercept(t *testing.T) {
	for _, x := range []struct{ body, want string }{{"text", `"body":"12"`}, {"base64", `"base64":"MTI="`}} {
		i := flumetest.Open(t, Kind, "shell = /bin/sh -c", "body = "+x.body,
			`command = while read -r line; do echo "$line" >&2; echo '{"id":1,"events":[{"body":"changed"}],"rejected":[{"index":0,"error":"bad"}]}'; done`)
		out, rejected, err := i.Intercept(t.Context(), flumetest.Events(12, 2))
		if err != nil || len(out) != 1 || string(out[0].Body) != "changed" || len(rejected) != 1 || string(rejected[0].Event.Body) != "12" || rejected[0].Err.Error() != "bad" {
			t.Errorf("%v, %v, %v", out, rejected, err)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSettings(t *testing.T) {
	got := flumetest.Problems(t, Kind, nil, "command = x", "body = bytes", "restart = true")
	for _, want := range []string{"body: ", "restart: is not a setting"} {
		if !strings.Contains(got.String(), want) {
			t.Error(got)
		}
	}
}

package external

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaws(t *testing.T) {
	for name, command := range map[string]string{
		"events":     `yes '{"body":"x"}'`,
		"batches":    `while :; do echo '{"id":1,"body":"x"}'; read answer; done`,
		"is silent":  "sleep 1000",
		"is done":    "true",
		"is broken":  "false",
		"is garbage": "yes",
	} {
		t.Run(name, func(t *testing.T) {
			flumetest.Source(t, func(t testing.TB) flume.Source {
				return flumetest.Open(t, Kind, "shell = /bin/sh -c", "command = "+command)
			})
		})
	}
}

func TestSource(t *testing.T) {
	r := flumetest.Run(t, Kind, nil, "shell = /bin/sh -c", `command = echo "{\"body\":\"$SLUICE_AGENT $SLUICE_COMPONENT $WHO\"}"`,
		"env.WHO = me", "restart = true", "restartThrottle = 0")
	if got := strings.Join(flumetest.Bodies(r.Await(t, 3)[:3]), ", "); got != "a1 x1 me, a1 x1 me, a1 x1 me" {
		t.Error(got)
	}
}

func TestSettings(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t, "command = x"))
	got, ok := plan.Settings.(*Settings)
	if !ok || len(problems) > 0 || got.Program.MaxLine != 16<<20 || got.Program.Timeout != 30*time.Second || got.Program.Stop != 5*time.Second ||
		got.Restart || got.Throttle != 10*time.Second {
		t.Errorf("%+v %v", got, problems)
	}
	if got := flumetest.Problems(t, Kind, nil, "restart = true"); !strings.Contains(got.String(), "command: is required") {
		t.Error(got)
	}
}

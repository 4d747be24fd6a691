package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// A team is sinks k1, k2 … of one group; a sink whose name is in down fails, one in dry has nothing to deliver.
type team struct {
	flume.SinkProcessor
	down, dry string
	takes     time.Duration // what a delivery takes
	asked     []string
}

func open3(t *testing.T, settings ...string) *team {
	env := flumetest.NewEnv()
	env.Sinks = []string{"k1", "k2", "k3"}
	return &team{SinkProcessor: flumetest.OpenIn(t, env, Kind, settings...)}
}

// round is one round; it returns the sinks that were asked and the error.
func (m *team) round(ctx context.Context) (string, error) {
	m.asked = nil
	var group []flume.Drain
	for _, name := range []string{"k1", "k2", "k3"} {
		group = append(group, flume.Drain{Name: name, Once: func(ctx context.Context) error {
			m.asked = append(m.asked, name)
			time.Sleep(m.takes)
			switch {
			case strings.Contains(m.down, name):
				return errors.New(name + " is down")
			case strings.Contains(m.dry, name):
				return flume.ErrEmpty
			}
			return nil
		}})
	}
	err := m.Process(ctx, group)
	return strings.Join(m.asked, " "), err
}

func (m *team) want(t *testing.T, want string) {
	t.Helper()
	if got, err := m.round(t.Context()); got != want || err != nil {
		t.Errorf("at %v: asked %s instead of %s; %v", time.Now().Format("05.000"), got, want, err)
	}
}

func TestPriorities(t *testing.T) {
	for _, x := range []struct {
		settings []string
		want     string
	}{
		{nil, "k1 k2 k3"},
		{[]string{"priority.k1 = 5", "priority.k2 = 10", "priority.k3 = 7"}, "k2 k3 k1"},
		{[]string{"priority.k3 = 0"}, "k3 k1 k2"},
		{[]string{"priority.k2 = -10", "priority.k3 = -20"}, "k1 k2 k3"},
	} {
		m := open3(t, x.settings...)
		m.down = "k1 k2 k3"
		got, err := m.round(t.Context())
		if got != x.want {
			t.Errorf("%v: %s instead of %s", x.settings, got, x.want)
		}
		if err == nil || !strings.Contains(err.Error(), "is down") || errors.Is(err, flume.ErrEmpty) {
			t.Errorf("all are down, and it says %v", err)
		}
	}
}

func TestOddPriorities(t *testing.T) {
	for setting, want := range map[string]string{
		"priority.elsewhere = 1":    `priority.elsewhere: "elsewhere" is not a sink of the group that can run; those are k1, k2, k3`,
		"priority.k2 = high":        `priority.k2: "high" is not a number; -2 is taken`,
		"priority.k2 = 99999999999": `priority.k2: "99999999999" is not a number`,
		"priority.k2 = -1":          `priority.k2: k1 has the priority -1 too and is used first`,
		"maxpenalty = long":         `maxpenalty: "long" is not a number of milliseconds; the default 30000 is taken`,
		"maxpenalty = -5":           `maxpenalty: -5 is less than 0, the least it may be; the default 30000 is taken`,
		"priorities.k2 = 1":         `priorities.k2: is not a setting`,
	} {
		got := flumetest.Problems(t, Kind, []string{"k1", "k2", "k3"}, setting)
		if len(got) != 1 || got.Fatal() || !strings.Contains(got.String(), want) {
			t.Errorf("%s: %s", setting, got)
		}
	}
}

func TestMisspeltSink(t *testing.T) {
	const want = `priority.standbye: "standbye" is not a sink of the group; did you mean "standby"?`
	if got := flumetest.Problems(t, Kind, []string{"primary", "standby"}, "priority.standbye = 1"); len(got) != 1 || got.Fatal() || !strings.Contains(got.String(), want) {
		t.Error(got)
	}
}

// The penalties of one sink that is down, and who delivers meanwhile.
func TestPenalties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open3(t, "priority.k1 = 10", "priority.k2 = 5", "priority.k3 = 1")
		m.want(t, "k1")
		m.down = "k1"
		began := time.Now()
		var tried []int
		for time.Since(began) < 150*time.Second {
			got, err := m.round(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			switch got {
			case "k1 k2":
				tried = append(tried, int(time.Since(began).Seconds()))
			case "k2":
			default:
				t.Fatalf("asked %s", got)
			}
			time.Sleep(time.Second)
		}
		if want := "[0 2 6 14 30 60 90 120]"; fmt.Sprint(tried) != want {
			t.Errorf("k1 was tried at %v instead of %s", tried, want)
		}
		m.down = ""
		time.Sleep(30 * time.Second)
		m.want(t, "k1")
		m.down = "k1" // after a success it begins anew
		m.want(t, "k1 k2")
		m.down = ""
		time.Sleep(2 * time.Second)
		m.want(t, "k1")
	})
}

// An hour of failures, in which the penalties of Flume overflow, tries each sink every maxpenalty and no more.
func TestAllAreDownForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open3(t, "maxpenalty = 10000")
		m.down = "k1 k2 k3"
		attempts := 0
		for range 36000 {
			_, err := m.round(t.Context())
			if err == nil || errors.Is(err, flume.ErrEmpty) {
				t.Fatal(err)
			}
			attempts += len(m.asked)
			time.Sleep(100 * time.Millisecond)
		}
		if attempts < 3*355 || attempts > 3*365 {
			t.Errorf("%d attempts", attempts)
		}
		m.down = "k1 k3"
		time.Sleep(10 * time.Second)
		m.want(t, "k1 k2")
	})
}

// A standby that is due is not tried as long as one of a higher priority works.
func TestTheStandbyIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open3(t)
		m.down = "k1 k2"
		m.want(t, "k1 k2 k3")
		m.down = ""
		time.Sleep(time.Minute)
		m.want(t, "k1")
		m.want(t, "k1")
	})
}

func TestEmptyIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open3(t)
		m.dry = "k1"
		m.want(t, "k1 k2") // whose channel is another one
		m.dry = "k1 k2 k3"
		if got, err := m.round(t.Context()); got != "k1 k2 k3" || !errors.Is(err, flume.ErrEmpty) {
			t.Errorf("asked %s: %v", got, err)
		}
		m.dry = ""
		m.want(t, "k1")

		m.down, m.dry = "k1", "k2 k3"
		if _, err := m.round(t.Context()); errors.Is(err, flume.ErrEmpty) {
			t.Error("a failure is taken for an empty channel: the agent would not wait")
		}
		var later *flume.EmptyUntil
		if _, err := m.round(t.Context()); !errors.As(err, &later) || time.Until(later.Time) != 2*time.Second {
			t.Errorf("k1 is left out, and it says %v", err)
		}
		// A retry that finds nothing: no new penalty, and it stays a failed one.
		time.Sleep(2 * time.Second)
		m.down, m.dry = "", "k1 k2 k3"
		if got, err := m.round(t.Context()); got != "k1 k2 k3" || !errors.Is(err, flume.ErrEmpty) {
			t.Errorf("asked %s: %v", got, err)
		}
		m.down, m.dry = "k1", ""
		m.want(t, "k1 k2")
		time.Sleep(2 * time.Second)
		m.want(t, "k2") // the second failure in a row
	})
}

// A standby that waits for events does so until the end of the penalty, so that what comes then goes to who is back.
func TestAStandbyWaitsNoLongerThanThePenalty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open3(t)
		m.down = "k1"
		m.want(t, "k1 k2")
		began := time.Now()
		waits := flume.Drain{Name: "k2", Once: func(ctx context.Context) error {
			<-ctx.Done()
			return flume.ErrEmpty
		}}
		if err := m.Process(t.Context(), []flume.Drain{waits}); !errors.Is(err, flume.ErrEmpty) || time.Since(began) != 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		m.down = ""
		m.want(t, "k1")
	})
}

// When the agent stops, who is left out is tried too: what is in memory then is lost otherwise.
func TestAtTheEndAllAreTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open3(t)
		m.down = "k1 k2 k3"
		ctx, cancel := context.WithCancel(t.Context())
		_, _ = m.round(ctx) // all are left out now
		cancel()
		m.down = "k1 k2"
		if got, err := m.round(ctx); got != "k1 k2 k3" || err != nil {
			t.Errorf("asked %s: %v", got, err)
		}
	})
}

// That a penalty ends while another sink is at work, or that the sinks of the group change, is not the end of the agent.
func TestWhoIsLeftOutIsNotTriedBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open3(t)
		m.down = "k1 k2 k3"
		if got, _ := m.round(t.Context()); got != "k1 k2 k3" {
			t.Errorf("asked %s", got)
		}
		time.Sleep(2 * time.Second)
		m.down = "k1 k2"
		m.want(t, "k1 k2 k3")
		m.down, m.takes = "k1 k2 k3", 5*time.Second // longer than they are left out
		if got, err := m.round(t.Context()); got != "k3" || err == nil {
			t.Errorf("asked %s: %v", got, err)
		}
		m.takes = 0
		_, _ = m.round(t.Context())
		changed, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("the group has changed"))
		if got, err := m.round(changed); got != "" || err == nil {
			t.Errorf("asked %s: %v", got, err)
		}
	})
}

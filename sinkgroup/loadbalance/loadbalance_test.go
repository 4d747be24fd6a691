package loadbalance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

type team struct {
	flume.SinkProcessor
	down  string
	asked []string
}

func open3(t *testing.T, settings ...string) *team {
	env := flumetest.NewEnv()
	env.Sinks = []string{"k1", "k2", "k3"}
	return &team{SinkProcessor: flumetest.OpenIn(t, env, Kind, settings...)}
}

func (m *team) round(ctx context.Context) (string, error) {
	m.asked = nil
	var group []flume.Drain
	for _, name := range []string{"k1", "k2", "k3"} {
		group = append(group, flume.Drain{Name: name, Once: func(context.Context) error {
			m.asked = append(m.asked, name)
			if strings.Contains(m.down, name) {
				return errors.New(name + " is down")
			}
			return nil
		}})
	}
	err := m.Process(ctx, group)
	return strings.Join(m.asked, " "), err
}

func (m *team) want(t *testing.T, rounds ...string) {
	t.Helper()
	for _, want := range rounds {
		if got, err := m.round(t.Context()); got != want || err != nil {
			t.Errorf("asked %s instead of %s: %v", got, want, err)
		}
	}
}

func TestTurns(t *testing.T) {
	m := open3(t)
	m.want(t, "k1", "k2", "k3", "k1")
	m.down = "k2" // without back-off it is tried in each of its turns
	m.want(t, "k2 k3", "k3", "k1", "k2 k3")
	m.down = "k1 k2 k3"
	if got, err := m.round(t.Context()); got != "k3 k1 k2" || err == nil || errors.Is(err, flume.ErrEmpty) {
		t.Errorf("asked %s: %v", got, err)
	}
	m.down = ""
	m.want(t, "k1")
}

func TestRandom(t *testing.T) {
	m := open3(t, "selector = RANDOM")
	n := map[string]int{}
	for range 3000 {
		got, err := m.round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n[got]++
	}
	for _, sink := range []string{"k1", "k2", "k3"} {
		if n[sink] < 850 || n[sink] > 1150 {
			t.Errorf("%s delivered %d of 3000 batches", sink, n[sink])
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, x := range []struct {
		settings []string
		want     [4]time.Duration
	}{
		{[]string{"backoff = true"}, [4]time.Duration{2e9, 4e9, 8e9, 16e9}},
		{[]string{"backoff = true", "selector.maxTimeOut = 5000"}, [4]time.Duration{2e9, 4e9, 5e9, 5e9}},
		{[]string{"backoff = true", "selector.maxTimeOut = 0"}, [4]time.Duration{2e9, 4e9, 8e9, 16e9}},
		{[]string{"selector.maxTimeOut = 5000"}, [4]time.Duration{0, 0, 0, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := open3(t, x.settings...)
			m.down = "k2"
			last := time.Now()
			m.want(t, "k1", "k2 k3")
			for _, want := range x.want {
				for {
					got, err := m.round(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if strings.Contains(got, "k2") {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
				if got := time.Since(last); got < want || got > want+50*time.Millisecond {
					t.Errorf("%v: tried again after %v, want %v", x.settings, got, want)
				}
				last = time.Now()
			}
		})
	}
}

// While all are left out the agent is told why, so that it waits; when it stops they are tried all the same.
func TestAllAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open3(t, "backoff = true")
		m.down = "k1 k2 k3"
		ctx, cancel := context.WithCancel(t.Context())
		for _, want := range []string{"k1 k2 k3", ""} {
			if got, err := m.round(ctx); got != want || err == nil || !strings.Contains(err.Error(), "k3 is down") {
				t.Errorf("asked %q: %v", got, err)
			}
		}
		cancel()
		m.down = "k1 k2"
		if got, err := m.round(ctx); got != "k1 k2 k3" || err != nil {
			t.Errorf("asked %s: %v", got, err)
		}
	})
}

func TestProblems(t *testing.T) {
	for setting, want := range map[string]string{
		"selector = com.acme.Weighted": `selector: "com.acme.Weighted" is not one of round_robin, random`,
		"selector.maxTimeOut = soon":   `selector.maxTimeOut: "soon" is not a number of milliseconds`,
		"selector.maxTimeout = 1":      `selector.maxTimeout: is not a setting; did you mean "selector.maxTimeOut"?`,
		"backof = true":                `backof: is not a setting; did you mean "backoff"?`,
	} {
		if got := flumetest.Problems(t, Kind, []string{"k1", "k2"}, setting).String(); !strings.Contains(got, want) {
			t.Errorf("%s: %s", setting, got)
		}
	}
}

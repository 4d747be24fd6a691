package stress

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Source(t, func(t testing.TB) flume.Source { return flumetest.Open(t, Kind, "batchSize = 10") })
}

// made runs a source until it rests and returns the sizes of the batches that it offered, and when.
func made(t *testing.T, answer func(n int) error, settings ...string) (sizes []int, at []time.Duration, log string) {
	t.Helper()
	env := flumetest.NewEnv()
	s := flumetest.OpenIn(t, env, Kind, settings...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	began := time.Now()
	err := s.Run(ctx, func(_ context.Context, b flume.Batch) error {
		sizes, at = append(sizes, len(b)), append(at, time.Since(began))
		for i := range b {
			if !bytes.Equal(b[i].Body, bytes.Repeat([]byte{0x7F}, 7)) || len(b[i].Headers) > 0 {
				t.Errorf("%+v", b[i])
			}
		}
		if len(sizes) > 1000 {
			cancel()
		}
		return answer(len(sizes))
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return sizes, at, env.Logged()
}

func sum(sizes []int) (n int) {
	for _, s := range sizes {
		n += s
	}
	return n
}

func TestLimits(t *testing.T) {
	every := func(third error) func(int) error {
		return func(n int) error {
			if n%3 == 0 {
				return third
			}
			return nil
		}
	}
	for _, x := range []struct {
		name     string
		answer   func(int) error
		settings []string
		want     int
		log      string
	}{
		{"total", every(nil), []string{"maxTotalEvents = 10", "batchSize = 4"}, 10, "total=10 successful=10 failed=0"},
		{"total with failures", every(flume.ErrFull), []string{"maxTotalEvents = 10"}, 10, "total=10 successful=7 failed=3"},
		{"successful", every(flume.ErrFull), []string{"maxSuccessfulEvents = 10"}, 14, "total=14 successful=10 failed=4"},
		{"successful, in batches", every(nil), []string{"maxSuccessfulEvents = 10", "batchSize = 4"}, 12, "successful=12"},
		{"both", every(nil), []string{"maxSuccessfulEvents = 10", "maxTotalEvents = 5"}, 5, "total=5"},
		{"none", every(nil), []string{"maxTotalEvents = 0"}, 0, "total=0"},
		{"no limit", every(nil), nil, 1001, ""},
		{"transaction capacity", every(nil), []string{"maxTotalEvents = 250", "batchSize = 1000"}, 250, "total=250"},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sizes, _, log := made(t, x.answer, append(x.settings, "size = 7")...)
				if sum(sizes) != x.want || !strings.Contains(log, x.log) {
					t.Errorf("%d events in %v: %s", sum(sizes), sizes, log)
				}
				for _, n := range sizes {
					if n > 100 {
						t.Errorf("a transaction of %d events", n)
					}
				}
			})
		})
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes, at, _ := made(t, func(int) error { return nil }, "size = 7", "batchSize = 10", "maxTotalEvents = 1000", "maxEventsPerSecond = 100")
		if last := at[len(at)-1]; sum(sizes) != 1000 || last < 9900*time.Millisecond || last > 10*time.Second {
			t.Errorf("%d events by %v", sum(sizes), last)
		}
	})
}

func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, at, log := made(t, func(int) error { return flume.ErrFull }, "size = 7", "maxTotalEvents = 4", "backoffSleepIncrement = 100", "maxBackoffSleep = 250")
		for i, ms := range []int{0, 100, 300, 550} {
			if at[i] != time.Duration(ms)*time.Millisecond {
				t.Errorf("offered at %v", at)
				break
			}
		}
		if strings.Count(log, "level=WARN") != 1 {
			t.Error(log)
		}
	})
}

func TestSettings(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t))
	if len(problems) > 0 || *plan.Settings.(*Settings) != (Settings{500, 1, -1, -1, 0, time.Second, 5 * time.Second}) || plan.Limits.BatchSize != 1 {
		t.Errorf("%+v %v", plan.Settings, problems)
	}
}

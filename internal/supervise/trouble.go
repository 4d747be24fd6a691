package supervise

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Trouble says of something that fails again and again what is new: that it fails, that it fails in another way, that
// it still does after one minute, two, four and so on up to an hour, and that it is over. Something that fails every
// other time is said once a while too. It may be used by many goroutines.
type Trouble struct {
	Log     *slog.Logger
	Failing string // "sink k1 cannot deliver"
	Over    string // "sink k1 delivers again"; empty: the end is not said
	Exact   bool   // errors that differ only in their digits are of several kinds

	mu     sync.Mutex
	kinds  []string // the errors that have been said, without their numbers unless Exact
	count  int
	since  time.Time // the first failure
	last   time.Time
	remind time.Time
	step   time.Duration
	ended  bool // no failure since the last End
	said   bool // a failure has been said and its end has not
}

// most bounds the kinds that are told apart; from then on nothing is new.
const most = 8

// Report is called for each failure; retry is when it is tried again, zero: nobody knows.
func (t *Trouble) Report(level slog.Level, err error, retry time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.count == 0 || t.ended && now.Sub(t.last) > time.Minute {
		t.kinds, t.count, t.since, t.step = t.kinds[:0], 0, now, time.Minute
		t.remind = now.Add(t.step)
	}
	t.count++
	t.last, t.ended = now, false
	kind := err.Error()
	if !t.Exact {
		kind = withoutNumbers(kind)
	}
	switch {
	case len(t.kinds) < most && !slices.Contains(t.kinds, kind):
		t.kinds = append(t.kinds, kind)
	case now.Before(t.remind):
		return
	default:
		t.step = min(2*t.step, time.Hour)
		t.remind = now.Add(t.step)
	}
	t.said = true
	args := []any{"error", err}
	if t.count > 1 {
		args = append(args, "failures", t.count, "since", t.since.Format(time.RFC3339))
	}
	if retry > 0 {
		args = append(args, "retry", retry.Round(time.Millisecond).String())
	}
	if bug := stack(err); bug != nil {
		level = slog.LevelError
		args = append(args, bug...)
	}
	t.Log.Log(context.Background(), level, t.Failing, args...)
}

// End is called for each success.
func (t *Trouble) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 || t.ended {
		return
	}
	t.ended = true
	if t.said && t.Over != "" {
		t.said = false
		t.Log.Info(t.Over, "failures", t.count, "for", time.Since(t.since).Round(time.Millisecond).String())
	}
}

// withoutNumbers is what two errors of one kind have in common: ports, offsets and times differ each time.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}

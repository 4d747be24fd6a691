package turns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
)

func TestPenalty(t *testing.T) {
	var p Penalty
	now := time.Unix(1000, 0)
	var got []time.Duration
	for range 6 {
		p.Fail(now, Usual)
		got = append(got, p.until.Sub(now))
		now = p.until
		if !p.Out(now.Add(-1)) || p.Out(now) {
			t.Fatalf("left out at %v until %v", now, p.until)
		}
	}
	if want := []time.Duration{2e9, 4e9, 8e9, 16e9, 30e9, 30e9}; !slices.Equal(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
	p.Clear()
	if p.Fail(now, Usual); p.until.Sub(now) != 2*time.Second {
		t.Error("after a success it begins with", p.until.Sub(now))
	}
	for range 100 { // Flume's 32 bits overflow from the 22nd on
		if p.Fail(now, 24*time.Hour); p.until.Sub(now) < 4*time.Second || p.until.Sub(now) > 65536*time.Second {
			t.Fatal("a penalty of", p.until.Sub(now))
		}
	}
	if p.Fail(now, 0); p.Out(now) {
		t.Error("maxpenalty = 0 leaves it out")
	}
}

func TestRoundRobin(t *testing.T) {
	b := NewBalancer(3, RoundRobin, Usual)
	now := time.Unix(1000, 0)
	turn := func(want string) {
		t.Helper()
		x := b.Turn(now)
		if got := fmt.Sprint(x.In, x.Out); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
	for _, want := range []string{"[0 1 2] []", "[1 2 0] []", "[2 0 1] []", "[0 1 2] []"} {
		turn(want)
	}
	b.Failed(1, now)
	for _, want := range []string{"[2 0] [1]", "[0 2] [1]"} {
		turn(want)
	}
	b.Failed(0, now.Add(time.Second))
	if x := b.Turn(now.Add(time.Second)); !x.Until.Equal(now.Add(2 * time.Second)) {
		t.Error("the first is back at", x.Until)
	}
	b.Failed(2, now)
	turn("[] [0 1 2]")
	now = now.Add(2 * time.Second)
	turn("[2 1] [0]")
}

// Failures count on for an hour after the end of a penalty, whatever has succeeded.
func TestBalancerForgets(t *testing.T) {
	b := NewBalancer(1, RoundRobin, Usual)
	now := time.Unix(1000, 0)
	for _, x := range []struct{ after, want time.Duration }{
		{0, 2e9}, {5 * time.Second, 4e9}, {time.Hour + 3999*time.Millisecond, 8e9}, {time.Hour + 8*time.Second, 2e9}, {30 * time.Minute, 4e9},
	} {
		now = now.Add(x.after)
		b.Failed(0, now)
		if got := b.Turn(now).Until.Sub(now); got != x.want {
			t.Errorf("a failure after %v is left out for %v instead of %v", x.after, got, x.want)
		}
	}
	for range 50 {
		now = now.Add(30 * time.Second)
		if b.Failed(0, now); b.penalties[0].n > mostDoublings {
			t.Fatal("n is", b.penalties[0].n)
		}
	}
}

func TestRandom(t *testing.T) {
	b := NewBalancer(3, Random, 0)
	seen := map[string]int{}
	for range 6000 {
		x := b.Turn(time.Now())
		seen[fmt.Sprint(x.In)]++
		b.Failed(x.In[0], time.Now()) // without back-off it is not left out
	}
	if len(seen) != 6 {
		t.Fatal(seen)
	}
	for order, n := range seen {
		if n < 800 || n > 1200 {
			t.Errorf("%s came %d times of 6000", order, n)
		}
	}
}

func TestRound(t *testing.T) {
	broken := errors.New("broken")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	until := time.Unix(1000, 0)
	for name, x := range map[string]struct {
		ctx     context.Context
		in, out []int
		answers map[string]error // of the sinks that are open
		asked   string
		settled string
		want    error
	}{
		"the first delivers":              {t.Context(), []int{1, 0}, nil, map[string]error{"a": nil, "b": nil}, "b", "1:false ", nil},
		"the next delivers":               {t.Context(), []int{0, 1}, nil, map[string]error{"a": broken, "b": nil}, "ab", "0:true 1:false ", nil},
		"none delivers":                   {t.Context(), []int{0, 1}, nil, map[string]error{"a": broken, "b": broken}, "ab", "0:true 1:true ", broken},
		"all are empty":                   {t.Context(), []int{0, 1}, nil, map[string]error{"a": flume.ErrEmpty, "b": flume.ErrEmpty}, "ab", "", flume.ErrEmpty},
		"one fails, the other is empty":   {t.Context(), []int{0, 1}, nil, map[string]error{"a": broken, "b": flume.ErrEmpty}, "ab", "0:true ", broken},
		"one is out, the other is empty":  {t.Context(), []int{1}, []int{0}, map[string]error{"a": broken, "b": flume.ErrEmpty}, "b", "", &flume.EmptyUntil{}},
		"one is out, the other not open":  {t.Context(), []int{1}, []int{0}, map[string]error{"a": broken}, "", "", &flume.EmptyUntil{}},
		"who is out is asked at the end":  {ended, []int{1}, []int{0}, map[string]error{"a": broken, "b": flume.ErrEmpty}, "ba", "0:true ", broken},
		"nothing is left at the end":      {ended, []int{1}, []int{0}, map[string]error{"a": flume.ErrEmpty, "b": flume.ErrEmpty}, "ba", "", &flume.EmptyUntil{}},
		"who is not open is not asked":    {t.Context(), []int{0, 1}, nil, map[string]error{"b": nil}, "b", "1:false ", nil},
		"at the end the first one may do": {ended, []int{1}, []int{0}, map[string]error{"a": nil, "b": nil}, "b", "1:false ", nil},
		"none is open":                    {t.Context(), []int{0, 1}, nil, nil, "", "", flume.ErrEmpty},
	} {
		t.Run(name, func(t *testing.T) {
			asked, settled := "", ""
			var drains []flume.Drain
			for name, err := range x.answers {
				drains = append(drains, flume.Drain{Name: name, Once: func(context.Context) error { asked += name; return err }})
			}
			g := Group{Names: []string{"a", "b"}}
			err := g.Round(x.ctx, drains, Turn{In: x.in, Out: x.out, Until: until}, func(i int, failed bool) { settled += fmt.Sprintf("%d:%v ", i, failed) })
			if asked != x.asked || settled != x.settled {
				t.Errorf("asked %q, settled %q", asked, settled)
			}
			var later *flume.EmptyUntil
			switch {
			case errors.As(x.want, &later):
				if !errors.As(err, &later) || !later.Time.Equal(until) || !errors.Is(err, flume.ErrEmpty) {
					t.Errorf("%v", err)
				}
			case !errors.Is(err, x.want) || errors.As(err, &later):
				t.Errorf("%v instead of %v", err, x.want)
			}
		})
	}
}

// While all are left out a round says why.
func TestAllAreOut(t *testing.T) {
	g := Group{Names: []string{"a"}}
	broken := errors.New("broken")
	drains := []flume.Drain{{Name: "a", Once: func(context.Context) error { return broken }}}
	for _, turn := range []Turn{{In: []int{0}}, {Out: []int{0}}} {
		if err := g.Round(t.Context(), drains, turn, func(int, bool) {}); !errors.Is(err, broken) || errors.Is(err, flume.ErrEmpty) {
			t.Error(err)
		}
	}
}

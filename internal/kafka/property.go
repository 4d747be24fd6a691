package kafka

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Property is a line of the table: one property of a Java client.
type Property struct {
	Name    string
	Default string // what holds where it is not set; empty: nothing, or Doc says it
	Doc     string // what it does here
	None    string // not empty: it has no effect here, and this says why
	Secret  bool   // its value is never shown

	// Declared properties are settings that the component or Client declares, with their own text in its manual. Where
	// they still reach the table, Doc says why they have no effect.
	Declared bool

	take func(c *config, text string) error // nil with None
}

// Properties is the table for a client, in the order in which a page should have it.
func Properties(r Role) []Property {
	if r == Producer {
		return slices.Concat(commonProperties(), securityProperties(), producerProperties(), ignoredProperties())
	}
	return slices.Concat(commonProperties(), securityProperties(), consumerProperties(), ignoredProperties())
}

// millis takes a number of milliseconds between low and high.
func millis(set func(c *config, d time.Duration), low, high time.Duration) func(*config, string) error {
	return whole(func(c *config, n int64) { set(c, time.Duration(n)*time.Millisecond) }, "milliseconds", low.Milliseconds(), high.Milliseconds())
}

// clampedMillis is millis for a bound that is Sluice's and not Kafka's: a value beyond it is taken as the bound, and
// that is said.
func clampedMillis(set func(c *config, d time.Duration), low, high time.Duration) func(*config, string) error {
	return func(c *config, text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number of milliseconds", text)
		}
		asked := n
		if n < 0 {
			n = high.Milliseconds() // Kafka's word for never
		}
		n = min(max(n, low.Milliseconds()), high.Milliseconds())
		set(c, time.Duration(n)*time.Millisecond)
		if n != asked {
			return notice{fmt.Errorf("%d is taken as %d milliseconds", asked, n)}
		}
		return nil
	}
}

// size takes a number of bytes between low and high.
func size(set func(c *config, n int), low, high int64) func(*config, string) error {
	return whole(func(c *config, n int64) { set(c, int(n)) }, "bytes", low, high)
}

// number takes a number between low and high.
func number(set func(c *config, n int), low, high int64) func(*config, string) error {
	return whole(func(c *config, n int64) { set(c, int(n)) }, "", low, high)
}

func whole(set func(c *config, n int64), unit string, low, high int64) func(*config, string) error {
	what := "a number"
	if unit != "" {
		what += " of " + unit
	}
	return func(c *config, text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil:
			return fmt.Errorf("%q is not %s", text, what)
		case n < low:
			return fmt.Errorf("%d is less than %d, the least it may be", n, low)
		case n > high:
			return fmt.Errorf("%d is more than %d, the most it may be", n, high)
		}
		set(c, n)
		return nil
	}
}

// flag takes true or false. Java's client takes nothing else.
func flag(set func(c *config, on bool)) func(*config, string) error {
	return func(c *config, text string) error {
		switch strings.ToLower(text) {
		case "true":
			set(c, true)
		case "false":
			set(c, false)
		default:
			return fmt.Errorf("%q is neither true nor false", text)
		}
		return nil
	}
}

// text takes anything.
func text(set func(c *config, s string)) func(*config, string) error {
	return func(c *config, s string) error {
		set(c, s)
		return nil
	}
}

// choice takes one of a few words, in any case.
func choice(set func(c *config, word string), words ...string) func(*config, string) error {
	return func(c *config, text string) error {
		for _, w := range words {
			if strings.EqualFold(w, text) {
				set(c, w)
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", text, strings.Join(words, ", "))
	}
}

// list splits what Java's client takes as a list.
func list(text string) []string {
	var out []string
	for _, w := range strings.Split(text, ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

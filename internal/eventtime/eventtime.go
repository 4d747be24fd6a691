// Package eventtime reads the times that events tell, in the forms that they usually have.
//
//	text ─▶ Reader of a format, a pattern or auto ─▶ milliseconds since 1970 UTC
//
// Auto takes what cannot be mistaken for something else:
//
//	2024-03-31T02:30:00.123+01:00    2024-03-31 02:30:00,123    2024/03/31 02:30    20240331T023000Z    2024-03-31
//	1711848600    1711848600.123    1711848600123    and micro- and nanoseconds: by the number of digits
//	20240331    20240331023000    20240331023000123
//	31/Mar/2024:02:30:00 +0100    Sun, 31 Mar 2024 02:30:00 GMT    31 Mar 2024 02:30:00,123    31-Mar-2024 02:30:00.123
//	Mar 31 02:30:00    Mar 31 2024 02:30:00    Mar 31, 2024 2:30:00 AM    Sun Mar 31 02:30:00 CET 2024 (UTC, GMT, +0100)
//
// A time without a year is in the last year in which it is no more than a day ahead; one without a date is on the day
// on which it is nearest. 03/04/2024 can be two days: a pattern says which.
package eventtime

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/internal/javatime"
)

// A Format is how a time is written.
type Format string

// The formats.
const (
	Auto    Format = "auto"
	ISO     Format = "iso8601"
	Epoch   Format = "epoch" // by the number of digits
	Seconds Format = "seconds"
	Millis  Format = "millis"
	Micros  Format = "micros"
	Nanos   Format = "nanos"
	CLF     Format = "clf"
	Syslog  Format = "syslog"
	RFC1123 Format = "rfc1123"
)

// patterns are the date patterns of a format. No text fits two of them in another meaning.
func patterns(f Format) []string {
	web := []string{"d/MMM/yyyy:HH:mm:ss Z", "d/MMM/yyyy:HH:mm:ss"}
	system := []string{"MMM d HH:mm:ss", "MMM d HH:mm:ss.SSSSSSSSS"}
	mail := []string{"d MMM yyyy HH:mm:ss Z", "d MMM yyyy HH:mm:ss z"}
	switch f {
	case CLF:
		return web
	case Syslog:
		return system
	case RFC1123:
		return mail
	case Auto:
		return slices.Concat([]string{"yyyyMMddHHmmss", "yyyyMMddHHmmssSSS"}, web, system, mail, []string{
			"d MMM yyyy HH:mm:ss", "d MMM yyyy HH:mm:ss,SSS", "d MMM yyyy HH:mm:ss.SSS", "d-MMM-yyyy HH:mm:ss", "d-MMM-yyyy HH:mm:ss.SSS",
			"MMM d yyyy HH:mm:ss", "MMM d, yyyy h:mm:ss a", "MMM d HH:mm:ss yyyy", "MMM d HH:mm:ss z yyyy", "MMM d HH:mm:ss Z yyyy"})
	default:
		return nil
	}
}

// A Reader reads times of one format. It may be used by several goroutines.
type Reader struct {
	format  Format
	zone    *time.Location
	layouts []*javatime.Layout
	last    atomic.Int32 // of layouts: what fitted last mostly fits again
	exact   bool         // the pattern is the user's, blanks count
}

// New makes a reader of a format or, where there is one, of a date pattern of Java's. Times that name no zone are in zone;
// now says what two digits of a year mean.
func New(f Format, pattern string, zone *time.Location, now time.Time) (*Reader, error) {
	r := &Reader{format: f, zone: zone, exact: pattern != ""}
	all := patterns(f)
	if r.exact {
		r.format, all = "", []string{pattern}
	}
	for _, p := range all {
		l, err := javatime.Java(p, zone, now)
		if err != nil {
			return nil, err
		}
		r.layouts = append(r.layouts, l)
	}
	return r, nil
}

// Longest is the most bytes that a time may have.
const Longest = 100

// Millis reads a time. room has Longest bytes that it may write to; now is what a time without a date is near to.
func (r *Reader) Millis(text, room []byte, now time.Time) (int64, error) {
	if len(text) > Longest {
		return 0, fmt.Errorf("reading the time of %d bytes: it is too long", len(text))
	}
	if !r.exact {
		text = tidy(room[:0], text)
	}
	switch r.format {
	case ISO:
		return javatime.ISO(text, r.zone)
	case Epoch:
		return since1970(text, 0)
	case Seconds:
		return since1970(text, 1000)
	case Millis:
		return since1970(text, 1)
	case Micros:
		return since1970(text, 1e-3)
	case Nanos:
		return since1970(text, 1e-6)
	case Auto:
		if isNumber(text) {
			if t, err := since1970(text, 0); err == nil {
				return t, nil
			}
		}
		if len(text) >= 8 && text[0] >= '0' && text[0] <= '9' && text[3] >= '0' && text[3] <= '9' {
			if t, err := javatime.ISO(text, r.zone); err == nil {
				return t, nil
			}
		}
	default:
	}
	last := int(r.last.Load())
	t, first := r.layouts[last].Near(text, now)
	if first == nil {
		return t, nil
	}
	for i, l := range r.layouts {
		if i == last {
			continue
		}
		if t, err := l.Near(text, now); err == nil {
			r.last.Store(int32(i))
			return t, nil
		}
	}
	if len(r.layouts) > 1 {
		return 0, fmt.Errorf("reading the time %q: it has no format that %s knows", text, r.format)
	}
	return 0, first
}

// tidy drops blanks around a text, makes one of several in it (syslog writes "Oct  1"), and drops a day of the week in
// front, which says nothing that the date does not say.
func tidy(to, text []byte) []byte {
	for _, c := range bytes.TrimSpace(text) {
		if c == ' ' && to[len(to)-1] == ' ' {
			continue
		}
		to = append(to, c)
	}
	if len(to) == 0 || to[0] < 'A' {
		return to
	}
	for _, name := range []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"} {
		for _, n := range []int{3, len(name)} {
			if len(to) <= n || !strings.EqualFold(string(to[:n]), name[:n]) {
				continue
			}
			if rest := bytes.TrimPrefix(to[n:], []byte(",")); len(rest) > 0 && rest[0] == ' ' {
				return rest[1:]
			}
		}
	}
	return to
}

// isNumber reports whether a text has digits alone, with a point perhaps.
func isNumber(text []byte) bool {
	return len(text) > 0 && text[0] != '.' && !bytes.ContainsFunc(text, func(c rune) bool { return c != '.' && (c < '0' || c > '9') })
}

// since1970 reads a number of units of so many milliseconds; of unit 0 the number of digits says what it counts.
func since1970(text []byte, unit float64) (int64, error) {
	whole := 0
	for whole < len(text) && (text[whole] >= '0' && text[whole] <= '9' || whole == 0 && text[whole] == '-' && len(text) > 1) {
		whole++
	}
	if whole == 0 || whole < len(text) && bytes.IndexByte([]byte(".eE"), text[whole]) < 0 {
		return 0, fmt.Errorf("reading the time %q: it is no number", text)
	}
	if unit == 0 {
		switch whole {
		case 9, 10:
			unit = 1000
		case 12, 13:
			unit = 1
		case 15, 16:
			unit = 1e-3
		case 18, 19:
			unit = 1e-6
		default:
			return 0, fmt.Errorf("reading the time %q: a number of %d digits is none since 1970", text, whole)
		}
	}
	if whole == len(text) {
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err == nil {
			switch {
			case unit < 1:
				return n / int64(math.Round(1/unit)), nil
			case n < math.MaxInt64/1000 && n > math.MinInt64/1000:
				return n * int64(unit), nil
			}
		}
		return 0, fmt.Errorf("reading the time %q: it is beyond all times", text)
	}
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, fmt.Errorf("reading the time %q: it is no number", text)
	}
	if n *= unit; math.Abs(n) > math.MaxInt64/2 {
		return 0, fmt.Errorf("reading the time %q: it is beyond all times", text)
	}
	return int64(math.Round(n)), nil
}

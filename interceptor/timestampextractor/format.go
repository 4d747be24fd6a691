package timestampextractor

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

// A format is how a time is written.
type format string

const (
	auto    format = "auto"
	iso     format = "iso8601"
	epoch   format = "epoch" // by the number of digits
	seconds format = "seconds"
	millis  format = "millis"
	micros  format = "micros"
	nanos   format = "nanos"
	clf     format = "clf"
	syslog  format = "syslog"
	rfc1123 format = "rfc1123"
)

// patterns are the date patterns of a format. No text fits two of them in another meaning.
func patterns(f format) []string {
	web := []string{"d/MMM/yyyy:HH:mm:ss Z", "d/MMM/yyyy:HH:mm:ss"}
	system := []string{"MMM d HH:mm:ss", "MMM d HH:mm:ss.SSSSSSSSS"}
	mail := []string{"d MMM yyyy HH:mm:ss Z", "d MMM yyyy HH:mm:ss z"}
	switch f {
	case clf:
		return web
	case syslog:
		return system
	case rfc1123:
		return mail
	case auto:
		return slices.Concat([]string{"yyyyMMddHHmmss", "yyyyMMddHHmmssSSS"}, web, system, mail, []string{
			"d MMM yyyy HH:mm:ss", "d MMM yyyy HH:mm:ss,SSS", "d MMM yyyy HH:mm:ss.SSS", "d-MMM-yyyy HH:mm:ss", "d-MMM-yyyy HH:mm:ss.SSS",
			"MMM d yyyy HH:mm:ss", "MMM d, yyyy h:mm:ss a", "MMM d HH:mm:ss yyyy", "MMM d HH:mm:ss z yyyy", "MMM d HH:mm:ss Z yyyy"})
	default:
		return nil
	}
}

// A reader reads times of one format.
type reader struct {
	format  format
	zone    *time.Location
	layouts []*javatime.Layout
	last    atomic.Int32 // of layouts: what fitted last mostly fits again
	exact   bool         // the pattern is the user's, blanks count
}

func newReader(f format, pattern string, zone *time.Location, now time.Time) (*reader, error) {
	r := &reader{format: f, zone: zone, exact: pattern != ""}
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

// longest is the most bytes that a time may have.
const longest = 100

// millis reads a time. room has longest bytes that it may write to.
func (r *reader) millis(text, room []byte, now time.Time) (int64, error) {
	if len(text) > longest {
		return 0, fmt.Errorf("reading the time of %d bytes: it is too long", len(text))
	}
	if !r.exact {
		text = tidy(room[:0], text)
	}
	switch r.format {
	case iso:
		return javatime.ISO(text, r.zone)
	case epoch:
		return since1970(text, 0)
	case seconds:
		return since1970(text, 1000)
	case millis:
		return since1970(text, 1)
	case micros:
		return since1970(text, 1e-3)
	case nanos:
		return since1970(text, 1e-6)
	case auto:
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

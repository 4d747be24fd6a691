// Package javatime reads times by the date patterns of Joda-Time, which Flume's millis serializer takes.
//
//	pattern ─▶ New ─▶ Layout ─▶ Millis(text) ─▶ milliseconds since 1970 UTC
//
//	y Y  year          M  month: 1 and 2 letters a number, 3 and more a name    d  day of the month
//	x    year of w     w  week of the year    e  day of the week, 1 is Monday    E  its name    D  day of the year
//	H    hour 0-23     k  1-24    K  0-11    h  1-12    a  AM, PM    m  minute    s  second    S  fraction of a second
//	Z    +0100, +01:00, +01 or Z; ZZZ the name of a zone    z  UT UTC GMT EST EDT CST CDT MST MDT PST PDT
//	'…'  text          ”  (two single quotes) a quote          what is no letter from A to Z stands for itself
//
// As in Joda: a number takes as many digits as its field can have or as it has letters, and a year all, but yyyy before
// another number takes four; names are English, short or long, as they are written or all in one case; the text has to
// end with the pattern. Fields are set from the largest to the smallest, so that a day of the week moves the day within
// its week. What the pattern lacks is that of 1970-01-01 00:00, with the year 2000 where there is a month, week or day
// without a year. Two digits are a year from 80 years ago to 19 years ahead. Of an hour that comes twice when a clock
// is put back the first is meant; one that is left out when it is put forward is an error.
//
// Not here: G (era), C (century) and zzzz, which Joda can only print.
package javatime

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones are known on machines that know none
)

// A Layout is a pattern that was understood.
type Layout struct {
	pattern string
	parts   []part
	zone    *time.Location
	pivot   int // two digits mean a year from 50 years before it to 49 after it
	zones   *zones
}

// A part is a run of one letter, or text.
type part struct {
	kind kind
	text string // of literal
	most int    // digits
	// lenient: two letters y take any number of digits, and are two digits only when there are two.
	lenient bool
}

type kind uint8

const (
	literal kind = iota
	year
	yearOfEra
	twoDigitYear
	weekyear
	twoDigitWeekyear
	month
	monthName
	week
	dayOfYear
	dayOfMonth
	dayOfWeek
	dayName
	halfday
	hour
	clockhour
	hourOfHalf
	clockhourOfHalf
	minute
	second
	fraction
	offset
	zoneName
	zoneID
)

// Joda reads a pattern of Joda-Time. Times without a zone of their own are in zone; now says what two digits of a year
// mean.
func Joda(pattern string, zone *time.Location, now time.Time) (*Layout, error) {
	return read(pattern, zone, now, false)
}

// Java reads a pattern of Joda-Time in which X is what Z is, and u a year, as in Java's own patterns.
func Java(pattern string, zone *time.Location, now time.Time) (*Layout, error) {
	return read(pattern, zone, now, true)
}

func read(pattern string, zone *time.Location, now time.Time, java bool) (*Layout, error) {
	l := &Layout{pattern: pattern, zone: zone, pivot: now.In(zone).Year() - 30, zones: &zones{known: map[string]*time.Location{}}}
	if pattern == "" {
		return nil, fmt.Errorf("the date pattern is empty")
	}
	for at := 0; at < len(pattern); {
		c, n := run(pattern[at:])
		if n == 0 {
			text, size := quoted(pattern[at:])
			if text != "" {
				l.parts = append(l.parts, part{kind: literal, text: text})
			}
			at += size
			continue
		}
		next, m := byte(0), 0
		if at+n < len(pattern) {
			next, m = run(pattern[at+n:])
		}
		p, ok := field(c, n, numeric(next, m), java)
		if !ok {
			return nil, fmt.Errorf("the date pattern %q: %s is not known; y Y x M w D d e E a H k K h m s S z Z are, and text stands in '…'", pattern, pattern[at:at+n])
		}
		l.parts = append(l.parts, p)
		at += n
	}
	if n := l.fields(); n > maxFields {
		return nil, fmt.Errorf("the date pattern %q has %d fields, more than %d", pattern, n, maxFields)
	}
	return l, nil
}

func (l *Layout) fields() int {
	n := 0
	for _, p := range l.parts {
		if p.kind != literal {
			n++
		}
	}
	return n
}

// run is the letter at the start of a pattern and how often it comes; 0 times where there is none.
func run(pattern string) (byte, int) {
	c := pattern[0]
	if c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
		return c, 0
	}
	n := 1
	for n < len(pattern) && pattern[n] == c {
		n++
	}
	return c, n
}

// quoted reads text up to the next letter outside of quotes, and how long it is in the pattern.
func quoted(pattern string) (string, int) {
	var b strings.Builder
	inside := false
	i := 0
	for ; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\'' && i+1 < len(pattern) && pattern[i+1] == '\'':
			b.WriteByte(c)
			i++
		case c == '\'':
			inside = !inside
		case !inside && (c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'):
			return b.String(), i
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), i
}

// numeric reports whether n letters c are a number, so that a year before them ends where it should.
func numeric(c byte, n int) bool {
	return n > 0 && (strings.IndexByte("cCxyYdhHmsSekKDFwW", c) >= 0 || c == 'M' && n <= 2)
}

func field(c byte, n int, numberFollows, java bool) (part, bool) {
	name := func(short, long kind) kind {
		if n >= 3 {
			return long
		}
		return short
	}
	most := func(k kind, digits int) (part, bool) { return part{kind: k, most: max(digits, n)}, true }
	switch c {
	case 'u':
		if !java {
			return part{}, false
		}
		return field('y', n, numberFollows, java)
	case 'y', 'Y', 'x':
		k, two := year, twoDigitYear
		switch c {
		case 'Y':
			k = yearOfEra
		case 'x':
			k, two = weekyear, twoDigitWeekyear
		}
		switch {
		case n == 2:
			return part{kind: two, most: 2, lenient: !numberFollows}, true
		case numberFollows:
			return most(k, n)
		}
		return most(k, 9)
	case 'M':
		return most(name(month, monthName), 2)
	case 'w':
		return most(week, 2)
	case 'D':
		return most(dayOfYear, 3)
	case 'd':
		return most(dayOfMonth, 2)
	case 'e':
		return most(dayOfWeek, 1)
	case 'E':
		return most(dayName, 0)
	case 'a':
		return most(halfday, 0)
	case 'H':
		return most(hour, 2)
	case 'k':
		return most(clockhour, 2)
	case 'K':
		return most(hourOfHalf, 2)
	case 'h':
		return most(clockhourOfHalf, 2)
	case 'm':
		return most(minute, 2)
	case 's':
		return most(second, 2)
	case 'S':
		return most(fraction, n)
	case 'X':
		return part{kind: offset}, java
	case 'Z':
		return most(name(offset, zoneID), 0)
	case 'z':
		return part{kind: zoneName}, n < 4
	}
	return part{}, false
}

// String is the pattern.
func (l *Layout) String() string { return l.pattern }

// Millis reads a time: milliseconds since 1970 UTC.
func (l *Layout) Millis(text []byte) (int64, error) {
	f, err := l.read(text)
	if err != nil {
		return 0, err
	}
	return l.instant(text, &f, clock{}, 2000)
}

// Near reads a time like Millis, but takes what the pattern lacks of the date from now: the last year of which the time
// is no more than a day ahead, or the day on which it is nearest.
func (l *Layout) Near(text []byte, now time.Time) (int64, error) {
	f, err := l.read(text)
	if err != nil {
		return 0, err
	}
	now = now.In(l.zone)
	largest := kind(0)
	for _, v := range f.set[:f.n] {
		if largest == 0 || v.kind.rank() < largest.rank() {
			largest = v.kind
		}
	}
	switch {
	case largest == 0 || largest.rank() < month.rank():
		return l.instant(text, &f, clock{}, 2000)
	case largest.lacksYear():
		for y := now.Year() + 1; ; y-- { // eight years back there was a 29th of February
			again := f
			t, err := l.instant(text, &again, clock{}, y)
			if err == nil && t <= now.UnixMilli()+day || y < now.Year()-8 {
				return t, err
			}
		}
	}
	today := days1970(int64(now.Year()), int64(now.Month()), int64(now.Day()))
	found, some := int64(0), false
	for d := today - 1; d <= today+1; d++ {
		again := f
		var t int64
		if t, err = l.instant(text, &again, clock{day: d}, 0); err != nil {
			continue // the clocks leave it out on that day
		}
		if !some || max(t-now.UnixMilli(), now.UnixMilli()-t) < max(found-now.UnixMilli(), now.UnixMilli()-found) {
			found, some = t, true
		}
	}
	if some {
		err = nil
	}
	return found, err
}

// day is the milliseconds of one.
const day = 24 * 60 * 60 * 1000

func (l *Layout) read(text []byte) (fields, error) {
	f := fields{zones: l.zones}
	at := 0
	for i := range l.parts {
		var ok bool
		if at, ok = f.read(&l.parts[i], text, at, l.pivot); !ok {
			return f, l.malformed(text, at)
		}
	}
	if at < len(text) {
		return f, l.malformed(text, at)
	}
	return f, nil
}

// instant makes a time of fields.
func (l *Layout) instant(text []byte, f *fields, c clock, lacking int) (int64, error) {
	local, ok := f.resolve(c, lacking)
	if !ok {
		return 0, fmt.Errorf("reading %q by the date pattern %q: there is no such time", shorten(text), l.pattern)
	}
	zone := l.zone
	switch {
	case f.hasOffset:
		return local - int64(f.offset), nil
	case f.zone != nil:
		zone = f.zone
	}
	t, ok := shown(local, zone)
	if !ok {
		return 0, fmt.Errorf("reading %q by the date pattern %q: the clocks of %s leave this time out", shorten(text), l.pattern, zone)
	}
	return t, nil
}

func (l *Layout) malformed(text []byte, at int) error {
	if at >= len(text) {
		return fmt.Errorf("reading %q by the date pattern %q: the text ends too early", shorten(text), l.pattern)
	}
	return fmt.Errorf("reading %q by the date pattern %q: it does not fit at %q", shorten(text), l.pattern, shorten(text[at:]))
}

// shorten keeps a message readable.
func shorten(text []byte) string {
	const most = 60
	if len(text) <= most {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:most]), "") + "…"
}

// shown finds the time at which the clocks of zone show local, milliseconds since 1970; the first, if there are two.
func shown(local int64, zone *time.Location) (int64, bool) {
	found, some := int64(0), false
	for _, near := range []int64{local - day, local + day} {
		t := local - offsetAt(near, zone)
		if offsetAt(t, zone) == local-t && (!some || t < found) {
			found, some = t, true
		}
	}
	return found, some
}

// offsetAt is how far the clocks of zone are ahead, in milliseconds.
func offsetAt(millis int64, zone *time.Location) int64 {
	_, seconds := time.UnixMilli(millis).In(zone).Zone()
	return int64(seconds) * 1000
}

package syslog

import "time"

// Times say how times without a zone or a year are read.
type Times struct {
	// AsFlume keeps Flume's mistakes. Messages: the offset and Z of a time with a fraction do not count, and .5 is 5 ms.
	// Lines: a time of RFC 3164 that is more than a month away is in 1999, or in 2001 where it is past.
	AsFlume bool
	Zone    *time.Location   // of Messages; nil: the agent's
	Now     func() time.Time // nil: time.Now
}

func (t *Times) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

func (t *Times) zone() *time.Location {
	if t.Zone == nil {
		return time.Local
	}
	return t.Zone
}

// isoLength is how long the time of RFC 5424 at the start of p is; 0: there is none.
func isoLength(p []byte) int {
	if !like(p, "0000-00-00T00:00:00") {
		return 0
	}
	n := dateTime
	if n < len(p) && p[n] == '.' {
		digits := 0
		for digits < 6 && n+1+digits < len(p) && isDigit(p[n+1+digits]) {
			digits++
		}
		if digits > 0 {
			n += 1 + digits
		}
	}
	switch rest := p[n:]; {
	case len(rest) > 0 && rest[0] == 'Z':
		n++
	case like(rest, "+00:00"), like(rest, "-00:00"):
		n += 6
	}
	return n
}

// dateTime is how long a time is down to the seconds.
const dateTime = len("2024-03-31T02:30:00")

// oldLength is how long the time of RFC 3164 at the start of p is; 0: there is none.
func oldLength(p []byte) int {
	if len(p) < 4 || p[0] < 'A' || p[0] > 'Z' || !isLower(p[1]) || !isLower(p[2]) {
		return 0
	}
	n := 3
	for n < len(p) && n < 5 && isSpace(p[n]) {
		n++
	}
	if n == 3 {
		return 0
	}
	digits := 0
	for digits < 2 && n < len(p) && isDigit(p[n]) {
		n++
		digits++
	}
	if digits == 0 || n == len(p) || !isSpace(p[n]) || !like(p[n+1:], "00:00:00") {
		return 0
	}
	return n + 1 + len("00:00:00")
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

// like reports whether p begins as the pattern, in which 0 is any digit.
func like(p []byte, pattern string) bool {
	if len(p) < len(pattern) {
		return false
	}
	for i := range len(pattern) {
		if pattern[i] == '0' && !isDigit(p[i]) || pattern[i] != '0' && p[i] != pattern[i] {
			return false
		}
	}
	return true
}

// iso reads a time that isoLength has measured. As in Java the 32nd of January is the 1st of February.
func (t *Times) iso(p []byte) int64 {
	rest := p[dateTime:]
	ms, fraction := 0, len(rest) > 0 && rest[0] == '.'
	if fraction {
		digits := 1
		for digits < len(rest) && isDigit(rest[digits]) {
			digits++
		}
		short := rest[1:min(digits, 4)]
		ms, rest = number(short), rest[digits:]
		for n := len(short); n < 3 && !t.AsFlume; n++ {
			ms *= 10
		}
	}
	zone := t.zone()
	if !fraction || !t.AsFlume {
		if offset, ok := zoned(rest); ok {
			zone = time.UTC
			ms -= offset * 1000
		}
	}
	return date(p, zone).UnixMilli() + int64(ms)
}

// zoned reads an offset in seconds. Java knows none of a day or more.
func zoned(p []byte) (offset int, ok bool) {
	if len(p) == 0 {
		return 0, false
	}
	if p[0] == 'Z' {
		return 0, true
	}
	h, m := number(p[1:3]), number(p[4:6])
	if h > 23 || m > 59 {
		return 0, false
	}
	offset = (h*60 + m) * 60
	if p[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// date reads a time down to the seconds.
func date(p []byte, zone *time.Location) time.Time {
	return instant(number(p), time.Month(number(p[5:7])), number(p[8:10]), number(p[11:13]), number(p[14:16]), number(p[17:19]), zone)
}

// instant finds a time as Java does: one that the clocks show twice is the second, one that they leave out is what they
// would show had they not been put forward.
func instant(year int, month time.Month, day, hour, minute, second int, zone *time.Location) time.Time {
	shown := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	offset := func(t time.Time) time.Duration {
		_, seconds := t.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	const day24 = 24 * time.Hour
	after, before := offset(shown.Add(day24)), offset(shown.Add(-day24))
	if t := shown.Add(-after); before == after || offset(t) == after {
		return t.In(zone)
	}
	return shown.Add(-before).In(zone)
}

// old reads a time that oldLength has measured, in the year that brings it nearest to now: no more than a month ahead.
func (t *Times) old(p []byte, now time.Time) (int64, bool) {
	month := monthOf(p)
	clock := len(p) - len("00:00:00")
	// Java's pattern has one blank each; before a number it passes over blanks and tabs.
	if month == 0 || p[3] != ' ' || p[clock-1] != ' ' {
		return 0, false
	}
	n := 4
	for p[n] == ' ' || p[n] == '\t' {
		n++
	}
	if !isDigit(p[n]) {
		return 0, false
	}
	day := number(p[n:])
	p = p[clock:]
	return inYear(month, day, number(p), number(p[3:5]), number(p[6:8]), now.In(t.zone())).UnixMilli(), true
}

// inYear finds the year of a date: the last in which it is no more than a month ahead. Where it is a 29th of February
// and that is no leap year, it is the 1st of March, as in Java.
func inYear(month time.Month, day, hour, minute, second int, now time.Time) time.Time {
	for year := now.Year() + 1; ; year-- {
		t := instant(year, month, day, hour, minute, second, now.Location())
		if !monthBefore(t).After(now) {
			return t
		}
	}
}

// monthBefore is the same day of the month before, or its last.
func monthBefore(t time.Time) time.Time {
	y, m, d := t.Date()
	last := time.Date(y, m, 0, 0, 0, 0, 0, time.UTC).Day()
	return time.Date(y, m-1, min(d, last), t.Hour(), t.Minute(), t.Second(), 0, t.Location())
}

// oldUTC gives a time without a year, which was read as one of the year 2000, its year.
func (t *Times) oldUTC(in2000 time.Time, now time.Time) time.Time {
	now = now.UTC()
	_, m, d := in2000.Date()
	if !t.AsFlume {
		return inYear(m, d, in2000.Hour(), in2000.Minute(), in2000.Second(), now)
	}
	in := func(year int) time.Time {
		day := d
		if m == time.February {
			day = min(d, time.Date(year, time.March, 0, 0, 0, 0, 0, time.UTC).Day())
		}
		return time.Date(year, m, day, in2000.Hour(), in2000.Minute(), in2000.Second(), 0, time.UTC)
	}
	const past, future = 2001, 1999
	switch near := in(now.Year()); {
	case near.After(now) && monthBefore(near).After(now):
		return in(future)
	case near.Before(now) && near.Before(monthBefore(now)):
		return in(past)
	default:
		return near
	}
}

// monthOf is 0 where p starts with no name of a month.
func monthOf(p []byte) time.Month {
	for m := time.January; m <= time.December; m++ {
		if name := m.String(); string(p[:3]) == name[:3] {
			return m
		}
	}
	return 0
}

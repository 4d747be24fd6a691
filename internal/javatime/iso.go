package javatime

import (
	"time"
)

// ISO reads a time in one of the forms of ISO 8601 that logs have:
//
//	2024-03-31T02:30:00.123+01:00    2024-03-31 02:30:00,123 UTC    2024/03/31 02:30    20240331T023000Z    2024-03-31
//
// Between date and time stands T, _ or a blank. Without a zone of its own the time is in zone.
func ISO(text []byte, zone *time.Location) (int64, error) {
	l := Layout{pattern: "ISO 8601", zone: zone}
	var f fields
	at, ok := f.iso(text)
	if !ok || at < len(text) {
		return 0, l.malformed(text, at)
	}
	return l.instant(text, &f, clock{}, 2000)
}

// iso returns where a time ends, or where it does not fit.
func (f *fields) iso(text []byte) (int, bool) {
	at := 0
	number := func(k kind, size int) bool {
		v, end := digits(text, at, size)
		if end != at+size {
			return false
		}
		f.add(k, v)
		at = end
		return true
	}
	mark := func(marks ...byte) byte {
		for _, m := range marks {
			if at < len(text) && text[at] == m {
				at++
				return m
			}
		}
		return 0
	}
	if !number(year, 4) {
		return at, false
	}
	dash := mark('-', '/', '.')
	if !number(month, 2) || dash != 0 && mark(dash) == 0 || !number(dayOfMonth, 2) {
		return at, false
	}
	if at == len(text) {
		return at, true
	}
	if mark('T', 't', ' ', '_') == 0 || !number(hour, 2) {
		return at, false
	}
	colon := mark(':')
	if !number(minute, 2) {
		return at, false
	}
	seconds := colon == 0 && isDigit(text, at)
	if colon != 0 && mark(':') != 0 || seconds {
		if !number(second, 2) {
			return at, false
		}
		if mark('.', ',') != 0 {
			var fits bool
			if at, fits = f.fraction(&part{most: 18}, text, at); !fits {
				return at, false
			}
		}
	}
	if at == len(text) {
		return at, true
	}
	mark(' ')
	switch rest := string(text[at:]); rest {
	case "UTC", "GMT", "UT":
		f.hasOffset = true
		return len(text), true
	}
	return f.readOffset(text, at)
}

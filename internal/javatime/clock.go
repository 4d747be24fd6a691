package javatime

// A clock is a date and a time of day without a zone, in the calendar of ISO 8601: the Gregorian one for all years.
type clock struct {
	day int64 // since 1970-01-01
	ms  int64 // of the day
}

const (
	minYear = -292275054 // as in Joda: what 64 bits of milliseconds can hold
	maxYear = 292278993
)

func (c *clock) millis() int64 { return c.day*86_400_000 + c.ms }

// rank orders fields from the largest to the smallest: by what they are a part of, then by what they count.
func (k kind) rank() int {
	switch k {
	case year, yearOfEra, weekyear:
		return 1
	case month:
		return 2
	case week:
		return 3
	case dayOfYear:
		return 4
	case dayOfMonth:
		return 5
	case dayOfWeek:
		return 6
	case halfday:
		return 7
	case hour, clockhour:
		return 8
	case hourOfHalf, clockhourOfHalf:
		return 9
	case minute:
		return 10
	case second:
		return 11
	default:
		return 12
	}
}

// lacksYear reports whether a time whose largest field is k has a date without a year.
func (k kind) lacksYear() bool { return k.rank() >= month.rank() && k.rank() <= dayOfWeek.rank() }

// put sets one field and leaves the others as far as it can be.
func (c *clock) put(v value) bool {
	n := int64(v.value)
	within := func(low, high int64) bool { return n >= low && n <= high }
	switch v.kind {
	case year:
		return within(minYear, maxYear) && c.putYear(n)
	case yearOfEra:
		y, _, _ := civil(c.day)
		if !within(1, maxYear) {
			return false
		}
		if y <= 0 {
			n = 1 - n
		}
		return c.putYear(n)
	case weekyear:
		if !within(minYear, maxYear) {
			return false
		}
		_, w := isoWeek(c.day)
		w = min(w, weeks(n))
		c.day = firstWeek(n) + (w-1)*7 + weekday(c.day)
	case month:
		if !within(1, 12) {
			return false
		}
		y, _, d := civil(c.day)
		c.day = days1970(y, n, min(d, daysIn(y, n)))
	case week:
		y, w := isoWeek(c.day)
		if !within(1, weeks(y)) {
			return false
		}
		c.day += (n - w) * 7
	case dayOfYear:
		y, _, _ := civil(c.day)
		first := days1970(y, 1, 1)
		if !within(1, days1970(y+1, 1, 1)-first) {
			return false
		}
		c.day = first + n - 1
	case dayOfMonth:
		y, m, d := civil(c.day)
		if !within(1, daysIn(y, m)) {
			return false
		}
		c.day += n - d
	case dayOfWeek:
		if !within(1, 7) {
			return false
		}
		c.day += n - 1 - weekday(c.day)
	case halfday:
		c.ms = c.ms%43_200_000 + n*43_200_000
	case hour:
		return within(0, 23) && c.putTime(3_600_000, 24, n)
	case clockhour:
		return within(1, 24) && c.putTime(3_600_000, 24, n%24)
	case hourOfHalf:
		return within(0, 11) && c.putTime(3_600_000, 12, n)
	case clockhourOfHalf:
		return within(1, 12) && c.putTime(3_600_000, 12, n%12)
	case minute:
		return within(0, 59) && c.putTime(60_000, 60, n)
	case second:
		return within(0, 59) && c.putTime(1000, 60, n)
	default:
		return c.putTime(1, 1000, n)
	}
	return true
}

// putTime sets a field of the time of day that counts units from 0 to range-1.
func (c *clock) putTime(unit, span, n int64) bool {
	c.ms += (n - c.ms/unit%span) * unit
	return true
}

func (c *clock) putYear(y int64) bool {
	_, m, d := civil(c.day)
	c.day = days1970(y, m, min(d, daysIn(y, m)))
	return true
}

// floor goes back to the start of a field.
func (c *clock) floor(k kind) {
	y, m, _ := civil(c.day)
	switch k {
	case year, yearOfEra:
		c.day, c.ms = days1970(y, 1, 1), 0
	case weekyear:
		y, _ = isoWeek(c.day)
		c.day, c.ms = firstWeek(y), 0
	case month:
		c.day, c.ms = days1970(y, m, 1), 0
	case week:
		c.day, c.ms = c.day-weekday(c.day), 0
	case dayOfYear, dayOfMonth, dayOfWeek:
		c.ms = 0
	case halfday:
		c.ms -= c.ms % 43_200_000
	case hour, clockhour, hourOfHalf, clockhourOfHalf:
		c.ms -= c.ms % 3_600_000
	case minute:
		c.ms -= c.ms % 60_000
	case second:
		c.ms -= c.ms % 1000
	default:
	}
}

func leap(y int64) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func daysIn(y, m int64) int64 {
	switch m {
	case 2:
		if leap(y) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

func floorDiv(a, b int64) int64 {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}

// days1970 counts the days from 1970-01-01 to a date. Years are taken to begin in March, so that the leap day is the
// last of one.
func days1970(y, m, d int64) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	cycle := floorDiv(y, 400)
	of := y - cycle*400
	return cycle*146_097 + of*365 + of/4 - of/100 + (153*(m-3)+2)/5 + d - 1 - 719_468
}

// civil is the date of a day since 1970-01-01.
func civil(day int64) (y, m, d int64) {
	day += 719_468
	cycle := floorDiv(day, 146_097)
	of := day - cycle*146_097
	year := (of - of/1460 + of/36_524 - of/146_096) / 365
	rest := of - (year*365 + year/4 - year/100)
	m = (5*rest + 2) / 153
	d = rest - (153*m+2)/5 + 1
	y, m = cycle*400+year, m+3
	if m > 12 {
		y, m = y+1, m-12
	}
	return y, m, d
}

// weekday is 0 on Mondays.
func weekday(day int64) int64 {
	return day + 3 - floorDiv(day+3, 7)*7
}

// firstWeek is the Monday of the first week of a year: the one with its first Thursday.
func firstWeek(y int64) int64 {
	fourth := days1970(y, 1, 4)
	return fourth - weekday(fourth)
}

func weeks(y int64) int64 { return (firstWeek(y+1) - firstWeek(y)) / 7 }

func isoWeek(day int64) (y, week int64) {
	thursday := day - weekday(day) + 3
	y, _, _ = civil(thursday)
	return y, (day-firstWeek(y))/7 + 1
}

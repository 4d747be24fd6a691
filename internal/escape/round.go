package escape

import "time"

// A Rounding rounds times down to a multiple of Value units on the clock of their zone: what is left of the field is
// taken off, smaller fields become zero. The zero Rounding does nothing.
type Rounding struct {
	Unit  Unit
	Value int
}

// A Unit is a field of the clock.
type Unit int

// The units.
const (
	Second Unit = iota
	Minute
	Hour
)

func (r Rounding) down(at time.Time) time.Time {
	if r.Value <= 0 {
		return at
	}
	h, m, s := at.Clock()
	switch r.Unit {
	case Second:
		s -= s % r.Value
	case Minute:
		m, s = m-m%r.Value, 0
	case Hour:
		h, m, s = h-h%r.Value, 0, 0
	}
	return wall(at, h, m, s)
}

// wall is that time on the clock of at's day, as Java's calendar finds it: of an hour that comes twice the second, and
// of one that is left out what the clock would say had it not been put forward. Go leaves both open.
func wall(at time.Time, h, m, s int) time.Time {
	year, month, day := at.Date()
	utc := time.Date(year, month, day, h, m, s, 0, time.UTC)
	_, before := utc.Add(-36 * time.Hour).In(at.Location()).Zone()
	_, after := utc.Add(36 * time.Hour).In(at.Location()).Zone()
	for _, offset := range []int{after, before} { // after a clock is put back its offset is the smaller, its time the later
		t := utc.Add(-time.Duration(offset) * time.Second).In(at.Location())
		if _, is := t.Zone(); is == offset {
			return t
		}
	}
	return utc.Add(-time.Duration(before) * time.Second).In(at.Location())
}

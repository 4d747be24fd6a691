package javatime

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// fields are what was read of a text: numbers, in the order of the pattern, and a zone.
type fields struct {
	set       [maxFields + 1]value // one for a year that is not in the text
	n         int
	offset    int // milliseconds
	hasOffset bool
	zone      *time.Location
	zones     *zones
}

// maxFields is how many parts a pattern may have besides text.
const maxFields = 24

type value struct {
	kind  kind
	value int
}

// add keeps a number.
func (f *fields) add(k kind, v int) {
	f.set[f.n] = value{k, v}
	f.n++
}

// read reads one part of the pattern at a place, and returns where it ends, or where it does not fit.
func (f *fields) read(p *part, text []byte, at, pivot int) (int, bool) {
	switch p.kind {
	case literal:
		end := at + len(p.text)
		if end > len(text) || !strings.EqualFold(string(text[at:end]), p.text) {
			return at, false
		}
		return end, true
	case twoDigitYear, twoDigitWeekyear:
		return f.twoDigits(p, text, at, pivot)
	case monthName:
		return f.name(month, 1, text, at, months())
	case dayName:
		return f.name(dayOfWeek, 1, text, at, days())
	case halfday:
		return f.name(halfday, 0, text, at, []string{"AM", "PM"})
	case fraction:
		return f.fraction(p, text, at)
	case offset:
		return f.readOffset(text, at)
	case zoneName:
		return f.zoneName(text, at)
	case zoneID:
		return f.zoneID(text, at)
	default:
		return f.number(p, text, at)
	}
}

func isDigit(text []byte, at int) bool {
	return at < len(text) && text[at] >= '0' && text[at] <= '9'
}

// digits reads at most so many digits.
func digits(text []byte, at, most int) (v, end int) {
	for end = at; end < at+most && isDigit(text, end); end++ {
		v = v*10 + int(text[end]-'0')
	}
	return v, end
}

func (f *fields) number(p *part, text []byte, at int) (int, bool) {
	negative := false
	if (p.kind == year || p.kind == weekyear) && at < len(text) && (text[at] == '-' || text[at] == '+') {
		if p.most < 2 || !isDigit(text, at+1) {
			return at, false
		}
		negative = text[at] == '-'
		at++
	}
	v, end := digits(text, at, p.most)
	if end == at {
		return at, false
	}
	if negative {
		v = -v
	}
	f.add(p.kind, v)
	return end, true
}

func (f *fields) twoDigits(p *part, text []byte, at, pivot int) (int, bool) {
	k := year
	if p.kind == twoDigitWeekyear {
		k = weekyear
	}
	if p.lenient {
		signed := at < len(text) && (text[at] == '-' || text[at] == '+')
		from := at
		if signed {
			from++
		}
		v, end := digits(text, from, 10)
		switch {
		case end == from || isDigit(text, end):
			return at, false
		case signed || end-from != 2:
			if signed && text[at] == '-' {
				v = -v
			}
			f.add(k, v)
			return end, true
		}
	}
	v, end := digits(text, at, 2)
	if end != at+2 {
		return at, false
	}
	low := pivot - 50
	v += low - low%100
	if v < low {
		v += 100
	}
	f.add(k, v)
	return end, true
}

// fraction reads a part of a second. What is less than a millisecond is cut off.
func (f *fields) fraction(p *part, text []byte, at int) (int, bool) {
	v, unit, end := 0, 100, at
	for ; end < at+p.most && isDigit(text, end); end++ {
		v += int(text[end]-'0') * unit
		unit /= 10
	}
	if end == at {
		return at, false
	}
	f.add(fraction, v)
	return end, true
}

func months() []string {
	return []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
}

func days() []string {
	return []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
}

// name reads one of the names, or its first three letters: as it is written here, or all in one case.
func (f *fields) name(k kind, first int, text []byte, at int, names []string) (int, bool) {
	for i, name := range names {
		for _, length := range []int{len(name), 3} {
			end := at + length
			if length > len(name) || end > len(text) {
				continue
			}
			word := string(text[at:end])
			if !strings.EqualFold(word, name[:length]) {
				continue
			}
			if rest := word[1:]; rest != name[1:length] && (word[0] >= 'a') != (rest[0] >= 'a') || rest != name[1:length] && rest != strings.ToUpper(rest) && rest != strings.ToLower(rest) {
				continue
			}
			f.add(k, first+i)
			return end, true
		}
	}
	return at, false
}

// readOffset reads Z, +hh, +hhmm, +hh:mm and so on down to milliseconds.
func (f *fields) readOffset(text []byte, at int) (int, bool) {
	if at < len(text) && text[at]|0x20 == 'z' {
		f.hasOffset, f.offset = true, 0
		return at + 1, true
	}
	if at+1 >= len(text) || text[at] != '+' && text[at] != '-' {
		return at, false
	}
	sign := 1
	if text[at] == '-' {
		sign = -1
	}
	at++
	v, end := digits(text, at, 2)
	if end != at+2 || v > 23 {
		return at, false
	}
	f.hasOffset = true
	f.offset = v * 3600_000
	defer func() { f.offset *= sign }()
	at = end
	colons := at < len(text) && text[at] == ':'
	for _, unit := range []int{60_000, 1000} {
		if colons {
			if at >= len(text) || text[at] != ':' {
				return at, true
			}
			at++
		}
		v, end = digits(text, at, 2)
		switch {
		case end == at && !colons:
			return at, true
		case end != at+2 || v > 59:
			return at, false
		}
		f.offset += v * unit
		at = end
	}
	if colons {
		if at >= len(text) || text[at] != '.' && text[at] != ',' {
			return at, true
		}
		at++
	}
	unit := 100
	for end = at; end < at+3 && isDigit(text, end); end++ {
		f.offset += int(text[end]-'0') * unit
		unit /= 10
	}
	return end, end > at || !colons
}

// zoneName reads a short name of a zone; those of America mean the zone with its summer time.
func (f *fields) zoneName(text []byte, at int) (int, bool) {
	best, zone := 0, ""
	for _, name := range [][2]string{{"UT", "UTC"}, {"UTC", "UTC"}, {"GMT", "UTC"},
		{"EST", "America/New_York"}, {"EDT", "America/New_York"}, {"CST", "America/Chicago"}, {"CDT", "America/Chicago"},
		{"MST", "America/Denver"}, {"MDT", "America/Denver"}, {"PST", "America/Los_Angeles"}, {"PDT", "America/Los_Angeles"}} {
		if strings.HasPrefix(string(text[at:]), name[0]) && len(name[0]) > best {
			best, zone = len(name[0]), name[1]
		}
	}
	if best == 0 {
		return at, false
	}
	return at + best, f.load([]byte(zone))
}

func (f *fields) load(name []byte) bool {
	zone, ok := f.zones.find(name)
	f.zone = zone
	return ok
}

// zones are those that texts have named. There are some 600 names.
type zones struct {
	mu    sync.Mutex
	known map[string]*time.Location
}

func (z *zones) find(name []byte) (*time.Location, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if zone, ok := z.known[string(name)]; ok {
		return zone, true
	}
	if string(name) == "Local" || name[0] == '/' {
		return nil, false // to package time these are names
	}
	zone, err := time.LoadLocation(string(name))
	if err != nil {
		return nil, false
	}
	z.known[string(name)] = zone
	return zone, true
}

// zoneID reads the longest text that is the name of a zone.
func (f *fields) zoneID(text []byte, at int) (int, bool) {
	const longest = 40
	end := at
	for end < len(text) && end-at < longest && (text[end] >= 'A' && text[end] <= 'Z' || text[end] >= 'a' && text[end] <= 'z' ||
		text[end] >= '0' && text[end] <= '9' || strings.IndexByte("/_+-", text[end]) >= 0) {
		end++
	}
	for ; end > at; end-- {
		if f.load(text[at:end]) {
			return end, true
		}
	}
	return at, false
}

// resolve returns the milliseconds that a clock without a zone shows. Without a date it is that of c, without a year
// the one given.
func (f *fields) resolve(c clock, lacking int) (int64, bool) {
	set := f.set[:f.n]
	slices.SortStableFunc(set, func(a, b value) int { return a.kind.rank() - b.kind.rank() })
	if f.n > 0 && set[0].kind.lacksYear() {
		set = slices.Insert(set, 0, value{year, lacking})
	}
	for i := range set {
		if !c.put(set[i]) {
			return 0, false
		}
		c.floor(set[i].kind)
	}
	for i := range set { // what moved the day may have left an earlier field wrong
		if !c.put(set[i]) {
			return 0, false
		}
		if i == len(set)-1 {
			c.floor(set[i].kind)
		}
	}
	return c.millis(), true
}

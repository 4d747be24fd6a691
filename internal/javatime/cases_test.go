package javatime

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	seed      = 20261121
	generated = 4000
)

type question struct{ pattern, zone, text string }

// questions are the same each time: what users write, and what is generated.
func questions() []question {
	var out []question
	for _, x := range []question{
		{"yyyy-MM-dd HH:mm", "", "2012-10-16 12:34"},
		{"yyyy-MM-dd HH:mm:ss,SSS", "", "2024-03-31 02:30:00,123"},
		{"yyyy-MM-dd HH:mm:ss,SSS", "", "2015-10-25 02:30:00,123"},
		{"yyyy-MM-dd'T'HH:mm:ss.SSSZ", "", "2012-10-16T12:34:56.789+0200"},
		{"yyyy-MM-dd'T'HH:mm:ssZZ", "", "2012-10-16T12:34:56-05:30"},
		{"yyyy-MM-dd'T'HH:mm:ssZZ", "", "2012-10-16T12:34:56Z"},
		{"yyyy-MM-dd HH:mm:ss ZZZ", "", "2012-10-16 12:34:56 Asia/Tokyo"},
		{"yyyy-MM-dd HH:mm:ss z", "", "2012-07-16 12:34:56 EST"},
		{"dd/MMM/yyyy:HH:mm:ss Z", "", "10/Oct/2000:13:55:36 -0700"},
		{"MMM dd HH:mm:ss", "", "Oct 11 22:14:15"},
		{"MMM d HH:mm:ss", "", "Oct 1 22:14:15"},
		{"EEE, dd MMM yyyy HH:mm:ss Z", "", "Mon, 16 Oct 2012 12:34:56 +0000"},
		{"EEE MMM dd HH:mm:ss z yyyy", "", "Tue Oct 16 12:34:56 UTC 2012"},
		{"yyyyMMddHHmmss", "", "20121016123456"},
		{"yyMMddHHmmss", "", "121016123456"},
		{"yyMMdd", "", "461016"}, {"yyMMdd", "", "451016"},
		{"M/d/yy", "", "1/2/3"}, {"M/d/yy", "", "1/2/2003"}, {"M/d/yy", "", "1/2/46"},
		{"hh:mm:ss a", "", "12:00:01 am"}, {"h a", "", "12 PM"}, {"K a", "", "0 PM"}, {"kk", "", "24"}, {"HH", "", "24"},
		{"yyyy-DDD", "", "2012-366"}, {"yyyy-DDD", "", "2013-366"}, {"xxxx-'W'ww-e", "", "2009-W53-7"}, {"xxxx-'W'ww-e", "", "2010-W53-7"},
		{"yyyy", "", "12345"}, {"yyyy", "", "-5"}, {"yyyy", "", "+2024"}, {"yyyyMM", "", "+202401"}, {"YYYY", "", "-5"}, {"YYYY", "", "0"},
		{"EEE", "", "Mon"}, {"dd", "", "31"}, {"MM dd", "", "02 29"}, {"MM dd", "", "02 30"}, {"HH:mm", "", "12:34"}, {"w", "", "1"}, {"E HH", "", "Sunday 12"},
		{"yyyy-MM-dd'T'HH:mm:ss''''", "", "2012-10-16t12:34:56''"}, {"''yyyy", "", "'2012"}, {"yyyy'", "", "2012"}, {"yyyy 'o''clock'", "", "2012 O'Clock"},
		{"S", "", "1"}, {"SSS", "", "1"}, {"SSSSSSSSS", "", "123456789"}, {"s.SSSSSS", "", "1.9999999"}, {"SSS", "", "1234"},
		{"G yyyy", "", "AD 2012"}, {"C", "", "20"}, {"b", "", "1"}, {"X", "", "Z"}, {"", "", ""}, {"-", "", "-"}, {"'T'", "", "T"},
		{"HHZ", "", "12+01"}, {"HHZ", "", "12+0"}, {"HHZ", "", "12+01:"}, {"HHZ", "", "12+0130"}, {"HHZ", "", "12-01:30:15"}, {"HHZ", "", "12+013015"}, {"HHZ", "", "12+01301512"},
		{"HHZ", "", "12+01:30:15.5"}, {"HHZ", "", "12+24"}, {"HHZ", "", "12+0160"}, {"HHZ", "", "12+1"}, {"HHZ", "", "12+010"},
	} {
		for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney"} {
			out = append(out, question{x.pattern, zone, x.text})
		}
	}
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	for range generated {
		out = append(out, g.question())
	}
	return out
}

type generator struct{ *rand.Rand }

func (g *generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *generator) question() question {
	q := question{zone: g.one("UTC", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney", "+03:00")}
	var pattern, text strings.Builder
	add := func(p, t string) { pattern.WriteString(p); text.WriteString(t) }
	between := func() {
		s := g.one("-", "/", " ", ":", ".", ",", "", "", " ")
		add(s, s)
		if g.IntN(10) == 0 {
			add("'T'", g.one("T", "T", "t"))
		}
	}
	switch g.IntN(8) {
	case 0: // a date and a time, as they mostly are
		for i, f := range []string{"yyyy", "MM", "dd", "HH", "mm", "ss", "SSS"} {
			if i > 0 {
				between()
			}
			add(f, g.value(f))
		}
	case 1: // with names
		for _, f := range []string{"EEE", "dd", "MMM", "yyyy", "HH", "mm", "ss", g.one("Z", "ZZ", "z", "ZZZ")} {
			add(f, g.value(f))
			add(" ", " ")
		}
	case 2: // weeks
		for _, f := range []string{g.one("xxxx", "xx", "yyyy"), "ww", g.one("e", "EEE"), "HH"} {
			add(f, g.value(f))
			between()
		}
	default:
		for range 1 + g.IntN(6) {
			letter := g.one("y", "y", "Y", "x", "M", "M", "w", "D", "d", "d", "e", "E", "a", "H", "H", "k", "K", "h", "m", "m", "s", "s", "S", "Z", "z")
			f := strings.Repeat(letter, 1+g.IntN(4))
			add(f, g.value(f))
			between()
		}
	}
	q.pattern, q.text = pattern.String(), text.String()
	if g.IntN(12) == 0 && q.text != "" {
		i := g.IntN(len(q.text))
		q.text = q.text[:i] + g.one("", "9", "-", "+", " ", "x", ":") + q.text[i+g.IntN(2):]
	}
	return q
}

// value is a text for a field, mostly one that fits.
func (g *generator) value(f string) string {
	number := func(low, high int) string {
		n := low + g.IntN(high-low+1)
		if g.IntN(40) == 0 {
			n = g.IntN(120)
		}
		if g.IntN(8) == 0 {
			return fmt.Sprint(n)
		}
		return fmt.Sprintf("%0*d", len(f), n)
	}
	cases := func(s string) string {
		switch g.IntN(8) {
		case 0:
			return strings.ToUpper(s)
		case 1:
			return strings.ToLower(s)
		case 2:
			return s[:1] + strings.ToUpper(s[1:])
		}
		return s
	}
	switch f[0] {
	case 'y', 'Y', 'x':
		if len(f) == 2 {
			return g.one(number(0, 99), number(0, 99), number(1970, 2016), "-5")
		}
		return g.one("", "", "", "", "", "", "", "-", "+") + number(1970, 2016)
	case 'M':
		if len(f) > 2 {
			return cases(g.one("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "January", "February", "March", "September", "Foo"))
		}
		return number(1, 12)
	case 'w':
		return number(1, 53)
	case 'D':
		return number(1, 366)
	case 'd':
		return number(1, 31)
	case 'e':
		return number(1, 7)
	case 'E':
		return cases(g.one("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Monday", "Tuesday", "Wednesday", "Thursday", "Saturday", "Son"))
	case 'a':
		return cases(g.one("AM", "PM"))
	case 'H':
		return number(0, 23)
	case 'k':
		return number(1, 24)
	case 'K':
		return number(0, 11)
	case 'h':
		return number(1, 12)
	case 'S':
		return number(0, 999)
	case 'Z':
		if len(f) > 2 {
			return g.one("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Etc/GMT+5", "GMT", "Nowhere/At_All")
		}
		return g.one("+0000", "+0100", "-0530", "+05:30", "-08:00", "+02", "+023015", "+1", "Z", "-23:59")
	case 'z':
		return g.one("UTC", "GMT", "UT", "EST", "EDT", "CST", "PST", "PDT", "MST", "CET")
	}
	return number(0, 59)
}

package conf

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// formatDate formats t by a date pattern of Java's.
func formatDate(pattern string, t time.Time) (string, error) {
	if pattern == "" {
		return "", errors.New("a date pattern is missing, such as yyyy-MM-dd")
	}
	var b strings.Builder
	for rest := pattern; rest != ""; {
		c := rest[0]
		if c == '\'' {
			text, after := cutQuoted(rest[1:])
			b.WriteString(text)
			rest = after
			continue
		}
		n := 1
		for n < len(rest) && rest[n] == c {
			n++
		}
		rest = rest[n:]
		switch c {
		case 'y', 'u':
			if n == 2 && c == 'y' {
				fmt.Fprintf(&b, "%02d", t.Year()%100)
			} else if c == 'u' {
				fmt.Fprintf(&b, "%0*d", n, (int(t.Weekday())+6)%7+1)
			} else {
				fmt.Fprintf(&b, "%0*d", max(n, 4), t.Year())
			}
		case 'M', 'L':
			switch {
			case n >= 4:
				b.WriteString(t.Month().String())
			case n == 3:
				b.WriteString(t.Month().String()[:3])
			default:
				fmt.Fprintf(&b, "%0*d", n, int(t.Month()))
			}
		case 'd':
			fmt.Fprintf(&b, "%0*d", n, t.Day())
		case 'D':
			fmt.Fprintf(&b, "%0*d", n, t.YearDay())
		case 'E':
			if n >= 4 {
				b.WriteString(t.Weekday().String())
			} else {
				b.WriteString(t.Weekday().String()[:3])
			}
		case 'H':
			fmt.Fprintf(&b, "%0*d", n, t.Hour())
		case 'k':
			fmt.Fprintf(&b, "%0*d", n, (t.Hour()+23)%24+1)
		case 'K':
			fmt.Fprintf(&b, "%0*d", n, t.Hour()%12)
		case 'h':
			fmt.Fprintf(&b, "%0*d", n, (t.Hour()+11)%12+1)
		case 'a':
			b.WriteString(t.Format("PM"))
		case 'm':
			fmt.Fprintf(&b, "%0*d", n, t.Minute())
		case 's':
			fmt.Fprintf(&b, "%0*d", n, t.Second())
		case 'S':
			fmt.Fprintf(&b, "%0*d", n, t.Nanosecond()/int(time.Millisecond))
		case 'z':
			b.WriteString(t.Format("MST"))
		case 'Z':
			b.WriteString(t.Format("-0700"))
		case 'X':
			b.WriteString(t.Format([]string{"Z07", "Z0700", "Z07:00"}[min(n, 3)-1]))
		default:
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
				return "", fmt.Errorf("the letter %q of the date pattern is not known; y M d E D H k K h a m s S z Z X are; text stands in '…'", c)
			}
			b.WriteString(pattern[len(pattern)-len(rest)-n : len(pattern)-len(rest)])
		}
	}
	return b.String(), nil
}

// cutQuoted reads text behind a single quote to the next one; two quotes stand for one.
func cutQuoted(rest string) (text, after string) {
	if strings.HasPrefix(rest, "'") {
		return "'", rest[1:]
	}
	var b strings.Builder
	for rest != "" {
		if strings.HasPrefix(rest, "''") {
			b.WriteByte('\'')
			rest = rest[2:]
			continue
		}
		if rest[0] == '\'' {
			return b.String(), rest[1:]
		}
		b.WriteByte(rest[0])
		rest = rest[1:]
	}
	return b.String(), ""
}

package escape

import (
	"strconv"
	"time"
)

// letter appends what one letter is at a time; nothing where it means nothing.
func letter(dst []byte, c byte, at time.Time) []byte {
	switch c {
	case '%':
		return append(dst, '%')
	case 's':
		return strconv.AppendInt(dst, at.UnixMilli()/1000, 10) // towards zero, as Java divides
	case 'a':
		return at.AppendFormat(dst, "Mon")
	case 'A':
		return at.AppendFormat(dst, "Monday")
	case 'b':
		return at.AppendFormat(dst, "Jan")
	case 'B':
		return at.AppendFormat(dst, "January")
	case 'c':
		return at.AppendFormat(dst, "Mon Jan 2 15:04:05 2006")
	case 'd':
		return at.AppendFormat(dst, "02")
	case 'e':
		return at.AppendFormat(dst, "2")
	case 'D':
		return at.AppendFormat(dst, "01/02/06")
	case 'H':
		return at.AppendFormat(dst, "15")
	case 'k':
		return strconv.AppendInt(dst, int64(at.Hour()), 10)
	case 'I':
		return at.AppendFormat(dst, "03")
	case 'l':
		return at.AppendFormat(dst, "3")
	case 'j':
		return at.AppendFormat(dst, "002")
	case 'm':
		return at.AppendFormat(dst, "01")
	case 'n':
		return at.AppendFormat(dst, "1")
	case 'M':
		return at.AppendFormat(dst, "04")
	case 'p':
		return at.AppendFormat(dst, "PM")
	case 'S':
		return at.AppendFormat(dst, "05")
	case 'y':
		return at.AppendFormat(dst, "06")
	case 'Y':
		return at.AppendFormat(dst, "2006")
	case 'z':
		return at.AppendFormat(dst, "-0700")
	}
	return dst
}

package javatime

import (
	"strconv"
	"strings"
	"time"
)

// Zone returns the time zone that Java knows by a name: those of the time zone data base, in their exact case, the
// short names of old versions of Java, and GMT+h, GMT+hh, GMT+hhmm and GMT+hh:mm. Of any other name Java makes GMT and
// says nothing; false says it.
func Zone(name string) (*time.Location, bool) {
	if offset, ok := strings.CutPrefix(name, "GMT"); ok && offset != "" && offset != "0" {
		if zone := customZone(offset); zone != nil {
			return zone, true
		}
	}
	switch name {
	case "", "Local", "localtime", "posixrules", "Factory":
		return time.UTC, false
	case "EST":
		return time.FixedZone("EST", -5*3600), true
	case "MST":
		return time.FixedZone("MST", -7*3600), true
	case "HST":
		return time.FixedZone("HST", -10*3600), true
	}
	if long := oldZone(name); long != "" {
		name = long
	}
	if strings.HasPrefix(name, "posix/") || strings.HasPrefix(name, "right/") {
		return time.UTC, false
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC, false
	}
	return zone, true
}

// customZone reads the offset behind GMT; nil: it is none.
func customZone(text string) *time.Location {
	sign := 1
	switch text[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return nil
	}
	hours, minutes, colon := strings.Cut(text[1:], ":")
	switch {
	case colon && (len(minutes) != 2 || len(hours) > 2):
		return nil
	case !colon && len(hours) > 2:
		if len(hours) > 4 {
			return nil
		}
		hours, minutes = hours[:len(hours)-2], hours[len(hours)-2:]
	}
	if minutes == "" {
		minutes = "0"
	}
	for _, c := range hours + minutes {
		if c < '0' || c > '9' {
			return nil
		}
	}
	h, err := strconv.Atoi(hours)
	m, wrong := strconv.Atoi(minutes)
	if err != nil || wrong != nil || h > 23 || m > 59 {
		return nil
	}
	if h == 0 && m == 0 {
		return time.UTC
	}
	return time.FixedZone("GMT"+text, sign*(h*3600+m*60))
}

// oldZone is the name in the data base of a short one.
func oldZone(name string) string {
	switch name {
	case "ACT":
		return "Australia/Darwin"
	case "AET":
		return "Australia/Sydney"
	case "AGT":
		return "America/Argentina/Buenos_Aires"
	case "ART":
		return "Africa/Cairo"
	case "AST":
		return "America/Anchorage"
	case "BET":
		return "America/Sao_Paulo"
	case "BST":
		return "Asia/Dhaka"
	case "CAT":
		return "Africa/Harare"
	case "CNT":
		return "America/St_Johns"
	case "CST":
		return "America/Chicago"
	case "CTT":
		return "Asia/Shanghai"
	case "EAT":
		return "Africa/Addis_Ababa"
	case "ECT": //nolint:misspell // Java's name
		return "Europe/Paris"
	case "IET":
		return "America/Indiana/Indianapolis"
	case "IST":
		return "Asia/Kolkata"
	case "JST":
		return "Asia/Tokyo"
	case "MIT":
		return "Pacific/Apia"
	case "NET":
		return "Asia/Yerevan"
	case "NST":
		return "Pacific/Auckland"
	case "PLT":
		return "Asia/Karachi"
	case "PNT":
		return "America/Phoenix"
	case "PRT":
		return "America/Puerto_Rico"
	case "PST":
		return "America/Los_Angeles"
	case "SST":
		return "Pacific/Guadalcanal"
	case "VST":
		return "Asia/Ho_Chi_Minh"
	}
	return ""
}

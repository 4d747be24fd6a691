package javatime

import (
	"testing"
	"time"
)

func TestZone(t *testing.T) {
	at := time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		name   string
		known  bool
		offset int // minutes
	}{
		{"UTC", true, 0}, {"GMT", true, 0}, {"Europe/Berlin", true, 120}, {"Asia/Kolkata", true, 330}, {"GMT+5", true, 300},
		{"GMT-05", true, -300}, {"GMT+5:30", true, 330}, {"GMT+0530", true, 330}, {"GMT+530", true, 330}, {"GMT0", true, 0},
		{"EST", true, -300}, {"PST", true, -420}, {"IST", true, 330}, {"SST", true, 660}, {"EST5EDT", true, -240},
		{"UTC+5", false, 0}, {"+05:00", false, 0}, {"Z", false, 0}, {"America/los_angeles", false, 0}, {"Local", false, 0},
		{"GMT+24", false, 0}, {"GMT+5:3", false, 0}, {"GMT+05:60", false, 0}, {"GMT+", false, 0}, {"../etc/passwd", false, 0},
		{"GMT5", false, 0}, {"GMT+:30", false, 0}, {"GMT+12345", false, 0},
	} {
		zone, known := Zone(x.name)
		if _, offset := at.In(zone).Zone(); known != x.known || offset != x.offset*60 {
			t.Errorf("%s: known %v, %d minutes", x.name, known, offset/60)
		}
	}
}

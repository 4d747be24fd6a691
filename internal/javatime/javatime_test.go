package javatime

import (
	"strings"
	"testing"
	"time"
)

func TestErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                        "the date pattern is empty",
		"yyyy-QQ":                 `the date pattern "yyyy-QQ": QQ is not known; y Y x M w D d e E a H k K h m s S z Z are, and text stands in '…'`,
		"yyyy-MM-ddTHH":           `the date pattern "yyyy-MM-ddTHH": T is not known;`,
		"X":                       "X is not known",
		strings.Repeat("HH:", 30): "30 fields, more than 24",
	} {
		if _, err := Joda(pattern, time.UTC, today()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	l, err := Joda("yyyy-MM-dd HH:mm", location(t, "Europe/Berlin"), today())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"2024-13-01 00:00":                  `reading "2024-13-01 00:00" by the date pattern "yyyy-MM-dd HH:mm": there is no such time`,
		"2024-02-30 00:00":                  "there is no such time",
		"2024-02-01":                        "the text ends too early",
		"":                                  "the text ends too early",
		"2024-02-01 00:00:00":               `it does not fit at ":00"`,
		"2024-03-31 02:30":                  "the clocks of Europe/Berlin leave this time out",
		"2024 " + strings.Repeat("é", 1000): `…"`,
		"99999999999999999999999999-01-01 00:00:0": "it does not fit",
	} {
		if _, err := l.Millis([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestJava(t *testing.T) {
	for _, x := range []struct {
		pattern, text string
		want          string
	}{
		{"uuuu-MM-dd'T'HH:mm:ss.SSSX", "2024-03-31T02:30:00.5Z", "2024-03-31T02:30:00.5Z"},
		{"uuuu-MM-dd'T'HH:mm:ssXXX", "2024-03-31T02:30:00+05:30", "2024-03-30T21:00:00Z"},
		{"yy-M-d X", "24-3-1 -08", "2024-03-01T08:00:00Z"},
	} {
		l, err := Java(x.pattern, time.UTC, today())
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Millis([]byte(x.text))
		if text := time.UnixMilli(got).UTC().Format(time.RFC3339Nano); err != nil || text != x.want {
			t.Errorf("%q by %q is %s instead of %s; %v", x.text, x.pattern, text, x.want, err)
		}
	}
}

func TestNear(t *testing.T) {
	zone := location(t, "Europe/Berlin")
	for _, x := range []struct{ pattern, text, now, want string }{
		{"MMM d HH:mm:ss", "Oct 11 22:14:15", "2026-11-21 12:00:00", "2026-10-11 22:14:15"},
		{"MMM d HH:mm:ss", "Dec 31 23:59:59", "2026-01-01 00:00:01", "2025-12-31 23:59:59"},
		{"MMM d HH:mm:ss", "Jan 1 00:00:01", "2025-12-31 23:59:59", "2026-01-01 00:00:01"},
		{"MMM d HH:mm:ss", "Jan 2 00:00:01", "2025-12-31 23:59:59", "2025-01-02 00:00:01"},
		{"MMM d", "Feb 29", "2027-03-01 12:00:00", "2024-02-29 00:00:00"},
		{"HH:mm:ss", "23:59:00", "2026-01-01 00:01:00", "2025-12-31 23:59:00"},
		{"HH:mm:ss", "00:01:00", "2025-12-31 23:59:00", "2026-01-01 00:01:00"},
		{"HH:mm:ss", "12:00:00", "2026-01-01 09:00:00", "2026-01-01 12:00:00"},
		{"HH:mm", "02:30", "2024-03-31 12:00:00", "2024-04-01 02:30:00"}, // left out on that day
		{"HH:mm Z", "12:00 +0000", "2026-01-01 09:00:00", "2026-01-01 13:00:00"},
		{"yyyy", "1999", "2026-01-01 09:00:00", "1999-01-01 00:00:00"},
	} {
		l, err := Joda(x.pattern, zone, today())
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.ParseInLocation(time.DateTime, x.now, zone)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Near([]byte(x.text), now)
		if text := time.UnixMilli(got).In(zone).Format(time.DateTime); err != nil || text != x.want {
			t.Errorf("at %s %q is %s instead of %s; %v", x.now, x.text, text, x.want, err)
		}
	}
	l, err := Joda("MMM d", zone, today())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Feb 30", "Foo 1", ""} {
		if got, err := l.Near([]byte(text), today()); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

// The calendar is that of package time.
func TestCalendar(t *testing.T) {
	for day := int64(-800_000); day < 800_000; day += 7 {
		when := time.Unix(day*86400, 0).UTC()
		y, m, d := civil(day)
		if wantY, wantM, wantD := when.Date(); int(y) != wantY || int(m) != int(wantM) || int(d) != wantD || days1970(y, m, d) != day {
			t.Fatalf("day %d is %d-%d-%d", day, y, m, d)
		}
		wantY, wantWeek := when.ISOWeek()
		if y, w := isoWeek(day); int(y) != wantY || int(w) != wantWeek {
			t.Fatalf("day %d is in week %d of %d", day, w, y)
		}
		if int(weekday(day)+1)%7 != int(when.Weekday()) {
			t.Fatalf("day %d is day %d of its week", day, weekday(day))
		}
	}
}

func TestAllocations(t *testing.T) {
	for pattern, text := range map[string]string{
		"yyyy-MM-dd HH:mm:ss,SSS":      "2024-05-31 02:30:00,123",
		"dd/MMM/yyyy:HH:mm:ss Z":       "10/Oct/2000:13:55:36 -0700",
		"EEE MMM dd HH:mm:ss ZZZ yyyy": "Tue Oct 16 12:34:56 Asia/Tokyo 2012",
	} {
		l, err := Joda(pattern, location(t, "Europe/Berlin"), today())
		if err != nil {
			t.Fatal(err)
		}
		b := []byte(text)
		if got := testing.AllocsPerRun(100, func() {
			if _, err := l.Millis(b); err != nil {
				t.Error(err)
			}
		}); got > 0 {
			t.Errorf("%s: %v allocations", pattern, got)
		}
	}
}

// Whatever is read lies within what Joda can express; what a pattern refuses it refuses with a message.
func FuzzMillis(f *testing.F) {
	for _, q := range questions()[:300] {
		f.Add(q.pattern, q.text)
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		l, err := Java(pattern, time.UTC, today())
		if err != nil {
			return
		}
		if _, err := l.Millis([]byte(text)); err != nil && len(err.Error()) > 1000+10*len(pattern) {
			t.Error("a message of", len(err.Error()), "bytes")
		}
	})
}

func BenchmarkMillis(b *testing.B) {
	l, err := Joda("yyyy-MM-dd HH:mm:ss,SSS", location(b, "Europe/Berlin"), today())
	if err != nil {
		b.Fatal(err)
	}
	text := []byte("2024-05-31 02:30:00,123")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Millis(text); err != nil {
			b.Fatal(err)
		}
	}
}

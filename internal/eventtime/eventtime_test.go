package eventtime

import (
	"testing"
	"time"
)

func read(t testing.TB, f Format, pattern, zone string) *Reader {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(f, pattern, z, now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// What auto takes, in Berlin.
func TestAuto(t *testing.T) {
	r := read(t, Auto, "", "Europe/Berlin")
	for range 2 { // what fitted last does not change what fits
		for text, want := range map[string]string{
			"2024-03-30T02:30:00.123+01:00":    "2024-03-30T01:30:00.123Z",
			"2024-03-30T02:30:00.123456789Z":   "2024-03-30T02:30:00.123Z",
			"2024-03-30 02:30:00,123":          "2024-03-30T01:30:00.123Z",
			"2024-07-30 02:30:00":              "2024-07-30T00:30:00Z",
			"2024-10-27 02:30:00":              "2024-10-27T00:30:00Z",
			"2024/03/30 02:30":                 "2024-03-30T01:30:00Z",
			"2024.03.30_02:30":                 "2024-03-30T01:30:00Z",
			"20240330T023000Z":                 "2024-03-30T02:30:00Z",
			"2024-03-30T02:30:00 UTC":          "2024-03-30T02:30:00Z",
			"2024-03-30t02:30:00-0530":         "2024-03-30T08:00:00Z",
			"2024-03-30":                       "2024-03-29T23:00:00Z",
			"20240330":                         "2024-03-29T23:00:00Z",
			"20240330023000":                   "2024-03-30T01:30:00Z",
			"20240330023000123":                "2024-03-30T01:30:00.123Z",
			"1711848600":                       "2024-03-31T01:30:00Z",
			"1711848600.123":                   "2024-03-31T01:30:00.123Z",
			"1711848600123":                    "2024-03-31T01:30:00.123Z",
			"1711848600123456":                 "2024-03-31T01:30:00.123Z",
			"1711848600123456789":              "2024-03-31T01:30:00.123Z",
			"999999999":                        "2001-09-09T01:46:39Z",
			"10/Oct/2000:13:55:36 -0700":       "2000-10-10T20:55:36Z",
			"Sun, 31 Mar 2024 02:30:00 GMT":    "2024-03-31T02:30:00Z",
			"Mon, 31 Mar 2024 02:30:00 +0100":  "2024-03-31T01:30:00Z",
			"Sunday, 31 Mar 2024 02:30:00 GMT": "2024-03-31T02:30:00Z",
			"30 Mar 2024 02:30:00,123":         "2024-03-30T01:30:00.123Z",
			"30-Mar-2024 02:30:00.123":         "2024-03-30T01:30:00.123Z",
			"Oct 11 22:14:15":                  "2026-10-11T20:14:15Z",
			"Oct  1 22:14:15":                  "2026-10-01T20:14:15Z",
			"Nov 22 11:00:00":                  "2026-11-22T10:00:00Z",
			"Nov 23 22:14:15":                  "2025-11-23T21:14:15Z",
			"Feb 29 22:14:15.123456":           "2024-02-29T21:14:15.123Z",
			"Mar 30 2024 02:30:00":             "2024-03-30T01:30:00Z",
			"Mar 30, 2024 2:30:00 PM":          "2024-03-30T13:30:00Z",
			"Sun Mar 31 02:30:00 UTC 2024":     "2024-03-31T02:30:00Z",
			"Sun Mar 31 03:30:00 2024":         "2024-03-31T01:30:00Z",
			" \t2024-03-30  02:30 ":            "2024-03-30T01:30:00Z",
		} {
			got, err := r.Millis([]byte(text), make([]byte, Longest), now())
			if at := time.UnixMilli(got).UTC().Format(time.RFC3339Nano); err != nil || at != want {
				t.Errorf("%q is %s instead of %s; %v", text, at, want, err)
			}
		}
	}
	for _, text := range []string{"", " ", "-", ".", "12", "03/04/2024", "2024-13-01", "2024-02-30 12:00", "2024-03-31 02:30", "2024-03-30T", "2024-03-30 25:00", "yesterday",
		"99999999999999999999", "1e9", "Sun", "Sun, ", "2024-03-30 02:30:00.", "2024-03-30 02:30:00 CEST", "31 Feb 2024 00:00:00"} {
		if got, err := r.Millis([]byte(text), make([]byte, Longest), now()); err == nil {
			t.Errorf("%q is %s", text, time.UnixMilli(got).UTC())
		}
	}
}

func TestFormats(t *testing.T) {
	for _, x := range []struct {
		format  Format
		pattern string
		text    string
		want    int64
	}{
		{Seconds, "", "1711848600", 1711848600000}, {Seconds, "", "5", 5000}, {Seconds, "", "-5.25", -5250}, {Seconds, "", "1.7118486E9", 1711848600000},
		{Millis, "", "1711848600123", 1711848600123}, {Millis, "", "-1", -1}, {Micros, "", "1711848600123456", 1711848600123}, {Nanos, "", "1711848600123456789", 1711848600123},
		{Epoch, "", "1711848600123", 1711848600123}, {ISO, "", "2024-03-31T01:30Z", 1711848600000}, {Syslog, "", "Mar 31 01:30:00", 1774920600000},
		{CLF, "", "31/Mar/2024:01:30:00 +0000", 1711848600000}, {RFC1123, "", "Sun, 31 Mar 2024 01:30:00 GMT", 1711848600000},
		{Auto, "dd.MM.yyyy HH:mm", "31.03.2024 01:30", 1711848600000}, {Auto, "yyyy-MM-dd'T'HH:mmXXX", "2024-03-31T01:30Z", 1711848600000}, {Auto, "HH:mm", "11:00", 1795258800000},
	} {
		if got, err := read(t, x.format, x.pattern, "UTC").Millis([]byte(x.text), make([]byte, Longest), now()); err != nil || got != x.want {
			t.Errorf("%s%s: %q is %d instead of %d; %v", x.format, x.pattern, x.text, got, x.want, err)
		}
	}
	for _, x := range []struct {
		format        Format
		pattern, text string
	}{
		{Epoch, "", "20240330"}, {Seconds, "", "x"}, {Seconds, "", "9223372036854775807"}, {Seconds, "", "1e300"}, {Seconds, "", "1.2.3"}, {Seconds, "", "-"}, {Millis, "", "99999999999999999999"},
		{ISO, "", "31.03.2024"}, {CLF, "", "2024-03-31"}, {Auto, "dd.MM.yyyy", " 31.03.2024"}, {Nanos, "", ""},
	} {
		if got, err := read(t, x.format, x.pattern, "UTC").Millis([]byte(x.text), make([]byte, Longest), now()); err == nil {
			t.Errorf("%s%s: %q is %d", x.format, x.pattern, x.text, got)
		}
	}
}

// Texts of strangers are read or refused; what is read again is the same.
func FuzzMillis(f *testing.F) {
	for _, text := range []string{"2024-03-30T02:30:00.123+01:00", "1711848600.123", "Oct  1 22:14:15", "Sun Mar 31 02:30:00 UTC 2024", "31/Mar/2024:01:30:00 +0000", "Mar 30, 2024 2:30:00 PM"} {
		f.Add(text)
	}
	r := read(f, Auto, "", "Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string) {
		first, err := r.Millis([]byte(text), make([]byte, Longest), now())
		again, err2 := r.Millis([]byte(text), make([]byte, Longest), now())
		if first != again || (err == nil) != (err2 == nil) {
			t.Errorf("%q is %d, %v and then %d, %v", text, first, err, again, err2)
		}
	})
}

func BenchmarkMillis(b *testing.B) {
	r := read(b, Auto, "", "Europe/Berlin")
	for _, text := range []string{"2024-03-30 02:30:00,123", "1711848600123", "Oct 11 22:14:15", "10/Oct/2000:13:55:36 -0700"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			at, room, when := []byte(text), make([]byte, Longest), now()
			for b.Loop() {
				if _, err := r.Millis(at, room, when); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

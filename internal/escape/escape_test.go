package escape

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
)

func expand(t *testing.T, text string, o Options, h flume.Headers) (string, error) {
	t.Helper()
	tpl, err := Parse(text, o)
	if err != nil {
		t.Fatal(err)
	}
	tpl.Resolve(Host{Name: "web-1", IP: "10.0.0.1", FQDN: "web-1.example.org"})
	got, err := tpl.Append([]byte("<"), h, time.UnixMilli(99))
	return strings.TrimPrefix(string(got), "<"), err
}

func TestExpand(t *testing.T) {
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Skip(err)
	}
	h := flume.Headers{{Key: "host", Value: "h1"}, {Key: "a.b-c_d", Value: "%Y"}, {Key: "timestamp", Value: "1340459193234"}}
	for _, c := range []struct {
		text, want string
		zone       *time.Location
	}{
		{"", "", nil},
		{"plain", "plain", nil},
		{"%Y-%m-%d/%H%M/%S %j %z %p", "2012-06-23/1346/33 175 +0000 PM", time.UTC},
		{"%Y-%m-%d %H:%M %z", "2012-06-23 19:16 +0530", kolkata},
		{"%a %A %b %B %y %e %D %k %I %l %n %s %t", "Sat Saturday Jun June 12 23 06/23/12 13 01 1 6 1340459193 1340459193234", time.UTC},
		{"%c", "Sat Jun 23 13:46:33 2012", time.UTC},
		{"x%{host}y%{a.b-c_d}%{missing}", "xh1y%Y", nil},
		{"%%{host}", "%{host}", nil},
		{"%/%{a b}%{a:b}%{}%-%", "%/%{a b}%{a:b}%{}%-%", nil},
		{"%{host", "%{host", nil},
		{"%q%Q%0%_|", "|", nil},
		{"%[localhost]-%[ip]-%[FQDN]", "web-1-10.0.0.1-web-1.example.org", nil},
		{"%[]%[a-b]", "%[]%[a-b]", nil},
	} {
		got, err := expand(t, c.text, Options{Zone: c.zone}, h)
		if err != nil || got != c.want {
			t.Errorf("%q: got %q, %v; want %q", c.text, got, err, c.want)
		}
	}
}

func TestExpandTime(t *testing.T) {
	for _, c := range []struct{ text, timestamp, want, err string }{
		{"%t|%s", "+1340459193234", "+1340459193234|1340459193", ""},
		{"%s", "-1999", "-1", ""},
		{"%Y", "", "", "no header"},
		{"%%", "", "", "no header"},
		{"%{host}", "", "h1", ""},
		{"%Y", "12x", "", "not a number"},
		{"%Y", " 12", "", "not a number"},
	} {
		h := flume.Headers{{Key: "host", Value: "h1"}}
		if c.timestamp != "" {
			h.Set("timestamp", c.timestamp)
		}
		got, err := expand(t, c.text, Options{Zone: time.UTC}, h)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q with %q: error %v, want %q", c.text, c.timestamp, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%q with %q: got %q, %v; want %q", c.text, c.timestamp, got, err, c.want)
		}
	}
	if got, err := expand(t, "%t %Y", Options{Zone: time.UTC, Local: true}, nil); err != nil || got != "99 1970" {
		t.Errorf("the host's clock: got %q, %v", got, err)
	}
}

func TestParse(t *testing.T) {
	if _, err := Parse("%[nonsense]", Options{}); err == nil || !strings.Contains(err.Error(), "%[localhost]") {
		t.Errorf("an unknown host escape: %v", err)
	}
	tpl, err := Parse("a-%{x}-%{y}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tpl.Constant(); ok || tpl.Timed() || strings.Join(tpl.Headers(), " ") != "x y" || tpl.String() != "a-%{x}-%{y}" {
		t.Errorf("got %+v", tpl)
	}
	if tpl, _ = Parse("a%[localhost]b", Options{}); true {
		tpl.Resolve(Host{Name: "n"})
		if c, ok := tpl.Constant(); !ok || c != "anb" {
			t.Errorf("resolved: %q, %v", c, ok)
		}
	}
	if h := LocalHost(t.Context()); h.Name == "" || h.IP == "" || h.FQDN == "" {
		t.Errorf("the host: %+v", h)
	}
}

// What an escape does not take part in comes out as it went in, whatever the text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"%{a}%[IP]%Y%%", "%", "%{", "%[", "%{a b}%-", "/logs/%Y/%{host}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := Parse(text, Options{Zone: time.UTC, Local: true})
		if err != nil {
			return
		}
		got, err := tpl.Append(nil, nil, time.UnixMilli(0))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "%") && string(got) != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func TestAppendAllocatesNothing(t *testing.T) {
	tpl, err := Parse("/a/%{host}/%Y-%m-%d", Options{Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	h := flume.Headers{{Key: "host", Value: "h1"}, {Key: "timestamp", Value: "1340459193234"}}
	dst := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { dst, _ = tpl.Append(dst[:0], h, time.Time{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRounding(t *testing.T) {
	for _, c := range []struct {
		zone string
		r    Rounding
		ms   int64
		want string
	}{
		{"Asia/Kolkata", Rounding{Hour, 6}, 1340459193234, "1340459193234 1340454600 18:00:00"},
		{"UTC", Rounding{Minute, 10}, 1340459193234, "1340459193234 1340458800 13:40:00"},
		{"UTC", Rounding{Second, 7}, 1340459193234, "1340459193234 1340459188 13:46:28"},
		{"UTC", Rounding{Second, 60}, 1340459193234, "1340459193234 1340459160 13:46:00"},
		{"UTC", Rounding{Hour, 24}, 1340459193234, "1340459193234 1340409600 00:00:00"},
		{"Europe/Berlin", Rounding{Hour, 1}, 1729987200000, "1729987200000 1729990800 02:00:00"}, // 02:00 for the first time: the second is taken
		{"Europe/Berlin", Rounding{Hour, 3}, 1711850400000, "1711850400000 1711846800 03:00:00"}, // 04:00 → 03:00 summer time
		{"Europe/Berlin", Rounding{Hour, 2}, 1711846800000, "1711846800000 1711846800 03:00:00"}, // 02:00 is left out
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Skip(err)
		}
		o := Options{Zone: zone, Round: c.r}
		got, err := expand(t, "%t %s %H:%M:%S", o, flume.Headers{{Key: "timestamp", Value: strconv.FormatInt(c.ms, 10)}})
		if err != nil || got != c.want {
			t.Errorf("%+v: %q, %v; want %q", c.r, got, err, c.want)
		}
	}
	if _, err := expand(t, "%s", Options{Round: Rounding{Minute, 1}}, flume.Headers{{Key: "timestamp", Value: "0"}}); err == nil {
		t.Error("the time 0 is rounded")
	}
}

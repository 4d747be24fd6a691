package syslog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/javatime"
)

// The agent's zone and the time of all tests.
func times(t testing.TB) Times {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	return Times{Zone: zone, Now: func() time.Time { return time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC) }}
}

// shown writes events so that a reader can compare them: headers in the order of their names.
func shown(b flume.Batch) string {
	var lines []string
	for _, e := range b {
		var headers []string
		for _, h := range e.Headers {
			headers = append(headers, h.Key+"="+h.Value)
		}
		slices.Sort(headers)
		lines = append(lines, fmt.Sprintf("%s %q", strings.Join(headers, " "), e.Body))
	}
	return strings.Join(lines, "\n")
}

func messages(t testing.TB, o Options, sent string, ended bool) string {
	t.Helper()
	m := NewMessages(&o)
	m.Cut([]byte(sent), 1000, ended)
	b, err := m.Events(0, m.Len(), []flume.Headers{nil})
	if err != nil {
		t.Errorf("%q: %v", sent, err)
	}
	return shown(b)
}

// What real Flume 1.11 makes of these, with its clock in New York, except where the comment says otherwise.
func TestMessages(t *testing.T) {
	for _, x := range []struct{ sent, want string }{
		{"<13>Nov  5 22:14:15 host hello\n", `Facility=1 Severity=5 host=host priority=13 timestamp=1793934855000 "hello"`},
		{"<13>Dec  5 22:14:15 host hello\n", `Facility=1 Severity=5 host=host priority=13 timestamp=1796526855000 "hello"`},
		{"<13>Dec 25 22:14:15 host hello\n", `Facility=1 Severity=5 host=host priority=13 timestamp=1766718855000 "hello"`},
		{"<13>Feb 29 12:00:00 host hello\n", `Facility=1 Severity=5 host=host priority=13 timestamp=1772384400000 "hello"`},
		{"<13>Oct\t11 22:14:15 host hello\n", `Facility=1 Severity=5 host=host priority=13 "hello"`},
		{"<13>Foo 11 22:14:15 host hello\n", `Facility=1 Severity=5 host=host priority=13 "hello"`},
		{"<34>1 2026-10-11T22:14:15Z h.example_1@x-y su: root\n", `Facility=4 Severity=2 host=h.example_1@x-y priority=34 timestamp=1791756855000 version=1 "su: root"`},
		{"<34>1 2026-10-11T22:14:15+02:00 h x\n", `Facility=4 Severity=2 host=h priority=34 timestamp=1791749655000 version=1 "x"`},
		{"<34>1 2026-10-11T22:14:15+25:00 h x\n", `Facility=4 Severity=2 host=h priority=34 timestamp=1791771255000 version=1 "x"`},
		{"<34>2026-10-11T22:14:15 h x\n", `Facility=4 Severity=2 host=h priority=34 timestamp=1791771255000 "x"`},
		{"<34>12026-10-11T22:14:15 h x\n", `Facility=4 Severity=2 host=h priority=34 timestamp=1791771255000 version=1 "x"`},
		{"<34> - - x\n", `Facility=4 Severity=2 priority=34 "x"`},
		{"<999>1 - h x\n", `Facility=124 Severity=7 host=h priority=999 version=1 "x"`},
		// Here Flume forgets the zone, and makes 5 ms of .5.
		{"<34>1 2026-10-11T22:14:15.5Z h x\n", `Facility=4 Severity=2 host=h priority=34 timestamp=1791756855500 version=1 "x"`},
		{"<34>1 2026-10-11T22:14:15.123999-01:00 h x\n", `Facility=4 Severity=2 host=h priority=34 timestamp=1791760455123 version=1 "x"`},
		// Times that the clocks leave out and show twice.
		{"<34>1 2026-03-08T02:30:00 h x\n", `Facility=4 Severity=2 host=h priority=34 timestamp=1772955000000 version=1 "x"`},
		{"<34>1 2026-11-01T01:00:00 h x\n", `Facility=4 Severity=2 host=h priority=34 timestamp=1793512800000 version=1 "x"`},
		// What fits no form stays as it is.
		{"<13>Oct 11 22:14:15 host hello\r\n", `Facility=1 Severity=5 "<13>Oct 11 22:14:15 host hello\r"`},
		{"<13>Oct 11 22:14:15 fe80::1 hello\n", `Facility=1 Severity=5 "<13>Oct 11 22:14:15 fe80::1 hello"`},
		{"<13>Oct 11 22:14:15 - hello\n", `Facility=1 Severity=5 "<13>Oct 11 22:14:15 - hello"`},
		{"<13>1  - host hello\n", `Facility=1 Severity=5 "<13>1  - host hello"`},
		{"<13>10 - host hello\n", `Facility=1 Severity=5 "<13>10 - host hello"`},
		{"<13>1 2026-10-11T22:14:15.1234567 h x\n", `Facility=1 Severity=5 "<13>1 2026-10-11T22:14:15.1234567 h x"`},
		{"<13>1 - host\n", `Facility=1 Severity=5 "<13>1 - host"`},
		{"<13>1 - host a\u2028b\n", `Facility=1 Severity=5 "<13>1 - host a\u2028b"`},
		{"<13>\n", `Facility=1 Severity=5 "<13>"`},
		{"<13>1 - host \n", `Facility=1 Severity=5 host=host priority=13 version=1 "<13>1 - host "`},
		{"<13>1 - host \xff\xe6\x97\n", "Facility=1 Severity=5 host=host priority=13 version=1 \"\ufffd\ufffd\""},
		// Bad beginnings.
		{"hello\n", `Facility=0 Severity=0 flume.syslog.status=Invalid "hello"`},
		{"<>x\n", `Facility=0 Severity=0 flume.syslog.status=Invalid "<>x"`},
		{"<1234>x\n", `Facility=0 Severity=0 flume.syslog.status=Invalid "<1234>x"`},
		{"<-1>x\n", `Facility=0 Severity=0 flume.syslog.status=Invalid "<-1>x"`},
		{"\n\n<13>x\n\n", `Facility=1 Severity=5 "<13>x"`},
		// Flume goes on to the second newline.
		{"<13\n<14>x\n", "Facility=1 Severity=5 \"<13\"\nFacility=1 Severity=6 \"<14>x\""},
		{"<\n", `Facility=0 Severity=0 flume.syslog.status=Invalid "<"`},
		// Greatest size: 60 bytes.
		{"<13>1 - host " + strings.Repeat("x", 46) + "\n", `Facility=1 Severity=5 host=host priority=13 version=1 "` + strings.Repeat("x", 46) + `"`},
		{"<13>1 - host " + strings.Repeat("x", 47) + "\n", `Facility=1 Severity=5 flume.syslog.status=Incomplete host=host priority=13 version=1 "` + strings.Repeat("x", 47) + `"`},
		{"<13>1 - host " + strings.Repeat("x", 47) + "abc\n<13>y\n", `Facility=1 Severity=5 flume.syslog.status=Incomplete host=host priority=13 version=1 "` + strings.Repeat("x", 47) + "\"\n" +
			"Facility=0 Severity=0 flume.syslog.status=Invalid \"abc\"\nFacility=1 Severity=5 \"<13>y\""},
		// Octet counting.
		{"11 <13>1 - h x12 <13>1 - h yy", "Facility=1 Severity=5 host=h priority=13 version=1 \"x\"\nFacility=1 Severity=5 host=h priority=13 version=1 \"yy\""},
		{"11 <13>1 - h x\n<13>y\n", "Facility=1 Severity=5 host=h priority=13 version=1 \"x\"\nFacility=1 Severity=5 \"<13>y\""},
		{"10 <13>1 - h x", `Facility=1 Severity=5 host=h priority=13 version=1 "<13>1 - h "`},
		{"404 <html>\n", `Facility=0 Severity=0 flume.syslog.status=Invalid "404 <html>"`},
		{"9999999 <13>x\n", `Facility=0 Severity=0 flume.syslog.status=Invalid "9999999 <13>x"`},
		{"5 <13>x", `Facility=1 Severity=5 "<13>x"`},
		{"7 <13>a\nb5 <13>x", "Facility=1 Severity=5 \"<13>a\\nb\"\nFacility=1 Severity=5 \"<13>x\""},
		{"6 <13>a\n5 <13>x\n", "Facility=1 Severity=5 \"<13>a\"\nFacility=1 Severity=5 \"<13>x\""},
		{"64 <13>1 - host " + strings.Repeat("x", 51) + "5 <13>y", `Facility=1 Severity=5 flume.syslog.status=Incomplete host=host priority=13 version=1 "` + strings.Repeat("x", 47) + "\"\n" +
			"Facility=0 Severity=0 flume.syslog.status=Invalid \"xxxx\"\nFacility=1 Severity=5 \"<13>y\""},
	} {
		got := messages(t, Options{Most: 60, Counts: true, Times: times(t)}, x.sent, false)
		if got != x.want {
			t.Errorf("%q:\n%s\ninstead of\n%s", x.sent, got, x.want)
		}
	}
}

// What a connection ends with may be half a message.
func TestTheEnd(t *testing.T) {
	for _, x := range []struct{ sent, want string }{
		{"<13>1 - h x", `Facility=1 Severity=5 flume.syslog.status=Incomplete host=h priority=13 version=1 "x"`},
		{"<13>a\n<1", "Facility=1 Severity=5 \"<13>a\"\nFacility=0 Severity=1 flume.syslog.status=Incomplete \"<1\""},
		{"<", `Facility=0 Severity=0 flume.syslog.status=Invalid "<"`},
		{"abc", `Facility=0 Severity=0 flume.syslog.status=Invalid "abc"`},
		{"12", `Facility=0 Severity=0 flume.syslog.status=Invalid "12"`},
		{"12 <13", `Facility=0 Severity=0 flume.syslog.status=Invalid "12 <13"`},
		{"20 <13>1 - h x", `Facility=1 Severity=5 flume.syslog.status=Incomplete host=h priority=13 version=1 "x"`},
		{"\n", ""},
	} {
		if got := messages(t, Options{Most: 60, Counts: true, Times: times(t)}, x.sent, true); got != x.want {
			t.Errorf("%q:\n%s\ninstead of\n%s", x.sent, got, x.want)
		}
	}
}

// A message for which there is no memory is cut where it is; what follows of it is Invalid, as beyond the greatest size.
func TestCutShort(t *testing.T) {
	for _, x := range []struct{ sent, rest, want string }{
		{"<13>1 - h x", "yz\n<13>a\n", "Facility=1 Severity=5 flume.syslog.status=Incomplete host=h priority=13 version=1 \"x\"\n" +
			"Facility=0 Severity=0 flume.syslog.status=Invalid \"yz\"\nFacility=1 Severity=5 \"<13>a\""},
		{"14 <13>1 - h x", "y\nz<13>a\n", "Facility=1 Severity=5 flume.syslog.status=Incomplete host=h priority=13 version=1 \"x\"\n" +
			"Facility=0 Severity=0 flume.syslog.status=Invalid \"y\\nz\"\nFacility=1 Severity=5 \"<13>a\""},
	} {
		m := NewMessages(&Options{Most: 60, Counts: true, Times: times(t)})
		used := m.Cut([]byte(x.sent), 10, false)
		m.CutShort([]byte(x.sent[used:]))
		m.Cut([]byte(x.rest), 10, false)
		b, _ := m.Events(0, m.Len(), []flume.Headers{nil})
		if got := shown(b); got != x.want {
			t.Errorf("%q:\n%s\ninstead of\n%s", x.sent, got, x.want)
		}
	}
}

func TestKeepFields(t *testing.T) {
	for _, x := range []struct{ keep, sent, want, line string }{
		{"none", "<13>1 2026-10-11T22:14:15Z h x\n", "x", "x"},
		{" FALSE ", "<13>1 2026-10-11T22:14:15Z h x\n", "x", "x"},
		{"all", "<13>1 2026-10-11T22:14:15Z h x\n", "<13>1 2026-10-11T22:14:15Z h x", "<13>1 2026-10-11T22:14:15Z h x"},
		{"True", "<13>1 2026-10-11T22:14:15Z h x\n", "<13>1 2026-10-11T22:14:15Z h x", "<13>1 2026-10-11T22:14:15Z h x"},
		{"hostname;Timestamp,priority version", "<13>1 2026-10-11T22:14:15Z h x\n", "<13>1 2026-10-11T22:14:15Z h x", "<13>1 2026-10-11T22:14:15Z h x"},
		{"hostname", "<13>1 2026-10-11T22:14:15Z h x\n", "h x", "h x"},
		{"timestamphostname", "<13>1 - - x\n", "null null x", "- - x"},
		{"version priority", "<13>Oct 11 22:14:15 h x\n", "<13>x", "<13>x"},
		{"version", "<13>Oct 11 22:14:15 h \n", "<13>Oct 11 22:14:15 h ", "<13>Oct 11 22:14:15 h "},
		{"priority", "<13>Oct 11 22:14:15 h \n", "<13>", "<13>Oct 11 22:14:15 h "},
		{"everything", "<13>Oct 11 22:14:15 h x\n", "x", "x"},
	} {
		m := NewMessages(&Options{Most: 100, Keep: ParseKeep(x.keep), Times: times(t)})
		m.Cut([]byte(x.sent), 10, false)
		b, err := m.Events(0, 1, []flume.Headers{nil})
		if err != nil || string(b[0].Body) != x.want {
			t.Errorf("keepFields = %s: %q, %v instead of %q", x.keep, b[0].Body, err, x.want)
		}
		l := NewLines(&LineOptions{Most: 100, Keep: ParseKeep(x.keep), Times: times(t)})
		l.Cut([]byte(x.sent), 10, false)
		if b := l.Events(0, 1, nil); string(b[0].Body) != x.line {
			t.Errorf("multiport, keepFields = %s: %q instead of %q", x.keep, b[0].Body, x.line)
		}
	}
	if rest := unknown("Priority, host"); rest != "host" {
		t.Errorf("%q is left", rest)
	}
}

// With flumeTimestamps times are what real Flume 1.11 makes of them.
func TestFlumesTimestamps(t *testing.T) {
	flumes := times(t)
	flumes.AsFlume = true
	for _, x := range []struct{ sent, want, line string }{
		{"<13>1 2026-10-11T22:14:15.5Z h x\n", "1791771255005", "1791756855500"},
		{"<13>1 2026-10-11T22:14:15.52+02:00 h x\n", "1791771255052", "1791749655520"},
		{"<13>1 2026-10-11T22:14:15.1239 h x\n", "1791771255123", "Invalid"},
		{"<13>1 2026-10-11T22:14:15Z h x\n", "1791756855000", "1791756855000"},
		{"<13>Oct 11 22:14:15 h x\n", "1791771255000", "1002838455000"}, // of 2001
		{"<13>Dec 25 22:14:15 h x\n", "1766718855000", "946160055000"},  // of 1999
		{"<13>Nov  5 22:14:15 h x\n", "1793934855000", "1793916855000"},
		{"<13>Feb 29 22:14:15 h x\n", "1772421255000", "983398455000"},
	} {
		for as, want := range map[bool]string{false: x.want, true: x.line} {
			var b flume.Batch
			if as {
				l := NewLines(&LineOptions{Most: 100, Times: flumes})
				l.Cut([]byte(x.sent), 10, false)
				b = l.Events(0, 1, nil)
			} else {
				m := NewMessages(&Options{Most: 100, Times: flumes})
				m.Cut([]byte(x.sent), 10, false)
				b, _ = m.Events(0, 1, []flume.Headers{nil})
			}
			got, _ := b[0].Headers.Get("timestamp")
			if got == "" {
				got, _ = b[0].Headers.Get("flume.syslog.status")
			}
			if got != want {
				t.Errorf("multiport %v, %q: %s instead of %s", as, x.sent, got, want)
			}
		}
	}
}

// What real Flume 1.11 makes of these, except where the comment says otherwise.
func TestLines(t *testing.T) {
	const now = "timestamp=1795262400000"
	for _, x := range []struct{ sent, want string }{
		{"<13>Nov  5 22:14:15 host hello\n", `Facility=1 Priority=13 Severity=5 host=host timestamp=1793916855000 "hello"`},
		{"<13>1 2026-10-11T22:14:15.5Z host hello\n", `Facility=1 Priority=13 Severity=5 Version=1 host=host timestamp=1791756855500 "hello"`},
		{"<13>1 2026-10-11T22:14:15.123456789-01:30 host hello\n", `Facility=1 Priority=13 Severity=5 Version=1 host=host timestamp=1791762255123 "hello"`},
		{"<13>1 2026-10-11T22:14:15x host hello\n", `Facility=1 Priority=13 Severity=5 Version=1 host=host timestamp=1791756855000 "hello"`},
		{"<13>- [fe80::1] hello\n", `Facility=1 Priority=13 Severity=5 host=[fe80::1] ` + now + ` "hello"`},
		{"<13>1 - - hello\n", `Facility=1 Priority=13 Severity=5 Version=1 host=- ` + now + ` "hello"`},
		{"<13>- host cr\r\n", `Facility=1 Priority=13 Severity=5 host=host ` + now + ` "cr\r"`},
		{"<013>- host \n", `Facility=1 Priority=013 Severity=5 host=host ` + now + ` "<013>- host "`},
		{"<-9>- host x\n", `Facility=-1 Priority=-9 Severity=-1 host=host ` + now + ` "x"`},
		{"<+5>- host x\n", `Facility=0 Priority=+5 Severity=5 host=host ` + now + ` "x"`},
		{"<13>Foo 11 22:14:15 host hello\n", `Facility=1 Priority=13 Severity=5 host=host timestamp=0 "hello"`},
		{"<13>Oct 1 22:14:15 host hello\n", `Facility=1 Priority=13 Severity=5 host=ost timestamp=0 "hello"`},
		// Flume takes these for 2001 and 1999.
		{"<13>Oct 11 22:14:15 host hello\n", `Facility=1 Priority=13 Severity=5 host=host timestamp=1791756855000 "hello"`},
		{"<13>Dec 25 22:14:15 host hello\n", `Facility=1 Priority=13 Severity=5 host=host timestamp=1766700855000 "hello"`},
		// What is no message is only marked.
		{"hello\n", `flume.syslog.status=Invalid "hello"`},
		{"<13>\n", `flume.syslog.status=Invalid "<13>"`},
		{"<a>- host x\n", `flume.syslog.status=Invalid "<a>- host x"`},
		{"<123456>- host x\n", `flume.syslog.status=Invalid "<123456>- host x"`},
		{"<13>2 - host x\n", `flume.syslog.status=Invalid "<13>2 - host x"`},
		{"<13>- host\n", `flume.syslog.status=Invalid "<13>- host"`},
		{"<13>-\n", `flume.syslog.status=Invalid "<13>-"`},
		{"<13>Oct 11 22:14:15\n", `flume.syslog.status=Invalid "<13>Oct 11 22:14:15"`},
		{"<13>1 2026-10-11T22:14:15 host x\n", `flume.syslog.status=Invalid "<13>1 2026-10-11T22:14:15 host x"`},
		{"<13>1 2026-10-11T22:14:15.Z host x\n", `flume.syslog.status=Invalid "<13>1 2026-10-11T22:14:15.Z host x"`},
		{"<13>1 2026-10-11T22:14:15+1:00 host x\n", `flume.syslog.status=Invalid "<13>1 2026-10-11T22:14:15+1:00 host x"`},
		{"<13>- host \xff\n", `flume.syslog.status=Invalid "<13>- host \xff"`},
		// These Flume loses, with what came with them.
		{"\n\n<13>- host x\n", `Facility=1 Priority=13 Severity=5 host=host ` + now + ` "x"`},
		{"<13>1 2026-10-11T22:14:15.5 host x\n", `flume.syslog.status=Invalid "<13>1 2026-10-11T22:14:15.5 host x"`},
		{"<13>this-is-no-time-at-all host x\n", `flume.syslog.status=Invalid "<13>this-is-no-time-at-all host x"`},
		// The greatest size is 60 bytes with the newline.
		{"<13>- host " + strings.Repeat("x", 48) + "\n", `Facility=1 Priority=13 Severity=5 host=host ` + now + ` "` + strings.Repeat("x", 48) + `"`},
		{"<13>- host " + strings.Repeat("x", 49) + "\n", `Facility=1 Priority=13 Severity=5 flume.syslog.status=Incomplete host=host ` + now + ` "` + strings.Repeat("x", 49) + `"`},
		{strings.Repeat("y", 61) + "\n", `flume.syslog.status=Invalid "` + strings.Repeat("y", 60) + "\"\nflume.syslog.status=Invalid \"y\""},
		{"12 <13>- h x\ny\n\n", `Facility=1 Priority=13 Severity=5 host=h ` + now + ` "x\ny"`},
	} {
		l := NewLines(&LineOptions{Most: 60, Counts: true, Times: times(t)})
		l.Cut([]byte(x.sent), 10, false)
		b := l.Events(0, l.Len(), nil)
		if got := shown(b); got != x.want {
			t.Errorf("%q:\n%s\ninstead of\n%s", x.sent, got, x.want)
		}
		if got, want := l.Bad(), strings.Count(x.want, "Invalid"); got != want {
			t.Errorf("%q: %d lines are bad instead of %d", x.sent, got, want)
		}
	}
}

func TestCharsets(t *testing.T) {
	for _, x := range []struct {
		charset    charset.Charset
		sent, want string
	}{
		{charset.Latin1, "<13>- h\xe9 \xe9t\xe9\n", `Facility=1 Priority=13 Severity=5 host=hé timestamp=1795262400000 "\xe9t\xe9"`},
		{charset.UTF8, "<13>- hé é\n", `Facility=1 Priority=13 Severity=5 host=hé timestamp=1795262400000 "é"`},
		{charset.ASCII, "<13>- h \xe9\n", `flume.syslog.status=Invalid "<13>- h \xe9"`},
		{charset.UTF16, "\xfe\xff\xd8\n", `flume.syslog.status=Invalid "\xfe\xff\xd8"`},
	} {
		l := NewLines(&LineOptions{Most: 60, Charset: x.charset, Times: times(t)})
		l.Cut([]byte(x.sent), 10, false)
		if got := shown(l.Events(0, l.Len(), nil)); got != x.want {
			t.Errorf("%q: %s instead of %s", x.sent, got, x.want)
		}
	}
}

// Headers of the sender replace those of the message.
func TestMoreHeaders(t *testing.T) {
	more := flume.Headers{{Key: "host", Value: "10.0.0.1"}, {Key: "from", Value: "me"}}
	m := NewMessages(&Options{Most: 60, Times: times(t)})
	m.Cut([]byte("<13>1 - h x\n<13>y\n"), 10, false)
	b, _ := m.Events(0, 2, []flume.Headers{more})
	want := "Facility=1 Severity=5 from=me host=10.0.0.1 priority=13 version=1 \"x\"\nFacility=1 Severity=5 from=me host=10.0.0.1 \"<13>y\""
	if got := shown(b); got != want {
		t.Error(got)
	}
	for i := range b {
		if h := b[i].Headers; cap(h) != len(h) {
			t.Errorf("event %d has room behind its headers", i)
		}
	}
}

func TestDatagrams(t *testing.T) {
	for _, x := range []struct {
		sent  string
		first bool
		want  string
	}{
		{"<13>1 - h x", false, `Facility=1 Severity=5 from=1 host=h priority=13 version=1 "x"`},
		{"<13>1 - h x\n\n", false, `Facility=1 Severity=5 from=1 host=h priority=13 version=1 "x"`},
		{"", false, ""},
		{"\n", false, ""},
		{"<", false, `Facility=0 Severity=0 flume.syslog.status=Invalid from=1 "<"`}, // an exception in Flume
		{"<17", false, `Facility=2 Severity=1 from=1 "<17"`},
		{"5 <13>x", false, `Facility=0 Severity=0 flume.syslog.status=Invalid from=1 "5 <13>x"`},
		{"<13>x\n at y\n", false, "Facility=1 Severity=5 from=1 \"<13>x\"\nFacility=0 Severity=0 flume.syslog.status=Invalid from=1 \" at y\""},
		{"<13>x\n at y\n", true, `Facility=1 Severity=5 from=1 "<13>x"`},
	} {
		m := NewMessages(&Options{Most: 1 << 16, Times: times(t)})
		m.Datagram([]byte(x.sent), 1, x.first)
		b, _ := m.Events(0, m.Len(), []flume.Headers{nil, {{Key: "from", Value: "1"}}})
		if got := shown(b); got != x.want {
			t.Errorf("%q:\n%s\ninstead of\n%s", x.sent, got, x.want)
		}
	}
}

func format(t testing.TB, settings ...string) *Format {
	t.Helper()
	f := new(Format)
	if _, problems := conf.Bind(f, flumetest.Section(t, settings...)); len(problems) > 0 {
		t.Fatal(problems)
	}
	return f
}

func TestFormat(t *testing.T) {
	f := format(t, `format.regex = <(\d+)>(v\d )?(\d{4}/\d\d/\d\d_\d\d:\d\d:\d\d) (\S+) (.*)`, "format.search = _", "format.replace = T", "format.dateFormat = yyyy/MM/dd'T'HH:mm:ssX")
	f.layout, _ = javatime.Java("yyyy/MM/dd'T'HH:mm:ss", time.UTC, time.Now())
	o := Options{Most: 100, Format: f, Times: times(t)}
	for _, x := range []struct{ sent, want string }{
		{"<14>v2 2026/05/06_07:08:09 [x] hello\n", `Facility=1 Severity=6 host=[x] priority=14 timestamp=1778051289000 version=v2  "hello"`},
		{"<14>2026/05/06_07:08:09 ż ż\n", `Facility=1 Severity=6 host=ż priority=14 timestamp=1778051289000 "ż"`},
		{"<14>2026/15/46_07:08:09 x y\n", `Facility=1 Severity=6 host=x priority=14 "y"`},
		{"<14>1 - h x\n", `Facility=1 Severity=6 host=h priority=14 version=1 "x"`},
		{"2026/05/06_07:08:09 x y\n", `Facility=0 Severity=0 flume.syslog.status=Invalid "2026/05/06_07:08:09 x y"`},
	} {
		if got := messages(t, o, x.sent, false); got != x.want {
			t.Errorf("%q: %s instead of %s", x.sent, got, x.want)
		}
	}
	m := NewMessages(&Options{Most: 100, Format: format(t, `format.regex = <13>(((x+)*)*)*y()()`), Times: times(t)})
	m.Cut([]byte("<13>"+strings.Repeat("x", 60)+"\n"), 10, false)
	if b, _ := m.Events(0, 1, []flume.Headers{nil}); len(b) != 1 {
		t.Error("a message is lost over its regex")
	}
}

func TestFormatProblems(t *testing.T) {
	for _, x := range []struct {
		want     string
		settings []string
	}{
		{"format.regex: is not set, so that", []string{"format.search = x"}},
		{"format.regex: has 1 groups instead of 5", []string{"format.regex = (x)"}},
		{"format.replace:", []string{"format.regex = (x)()()()()", "format.search = y", "format.replace = $1"}},
		{"format.dateFormat:", []string{"format.regex = (x)()()()()", "format.dateFormat = QQQ"}},
		{"format.regex:", []string{"format.regex = (x"}},
	} {
		_, problems := conf.Bind(new(Format), flumetest.Section(t, x.settings...))
		if got := problems.String(); !strings.Contains(got, x.want) {
			t.Errorf("no %q in %s", x.want, got)
		}
	}
}

// Whatever the pieces in which bytes come, the messages are the same, none is too large, and nothing is lost but newlines
// and lengths.
func FuzzCut(f *testing.F) {
	for _, seed := range []string{"", "<13>Oct 11 22:14:15 host hello\n", "11 <13>1 - h x12 <13>1 - h yy", "<\n<1\n<1234>\n\n", "64 <13>" + strings.Repeat("x", 70), "9 <13>a\nb\n", "99999999999999999999 <13>x\n", "\xff\xfe\n\r\n"} {
		f.Add([]byte(seed), uint8(3), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint8, plain bool) {
		all := cutting(t, data, len(data)+1, plain)
		if parts := cutting(t, data, int(piece)+1, plain); !slices.Equal(all, parts) {
			t.Errorf("all at once gives %q; pieces of %d give %q", all, int(piece)+1, parts)
		}
	})
}

// cutting cuts data that comes in pieces, as a connection does.
func cutting(t *testing.T, data []byte, piece int, plain bool) (list []string) {
	const most = 32
	s := stream{most: most, counts: true, plain: plain}
	var buf []byte
	size := 0
	for ended := false; !ended; {
		n := min(piece, len(data))
		ended = n == len(data)
		buf, data = append(buf, data[:n]...), data[n:]
		for {
			buf = buf[s.Cut(buf, 3, ended):]
			if s.Len() == 0 {
				break
			}
			for _, x := range s.list {
				if len(x.text) > most {
					t.Errorf("a message of %d bytes: %q", len(x.text), x.text)
				}
				list = append(list, fmt.Sprint(x.status, " ", string(x.text)))
				size += len(x.text)
			}
			s.Clear()
		}
		if len(buf) > most {
			t.Fatalf("%d bytes are left: %q", len(buf), buf)
		}
	}
	if len(buf) > 0 {
		t.Errorf("%q is left at the end", buf)
	}
	return list
}

// Every message becomes an event whose headers are unique, and its text is not lost.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{"<13>Oct 11 22:14:15 host hello", "<34>1 2026-10-11T22:14:15.52+02:00 h x", "<13>- - x", "<13>1 2026-10-11T22:14:15.999999Z h \xff", "<13>Feb 30 25:61:61 h ", "<99999>Oct  1 22:14:15", "<13>1 9999-99-99T99:99:99+99:99 h x"} {
		f.Add([]byte(seed), uint8(0), uint8(0))
		f.Add([]byte(seed), uint8(31), uint8(1))
	}
	form := format(f, `format.regex = <(.*)>(.)(....) (\\w+) ?(.*)`, "format.search = (.)", "format.replace = $1$1", "format.dateFormat = yyyyMMdd")
	f.Fuzz(func(t *testing.T, p []byte, keep, which uint8) {
		when := times(t)
		when.AsFlume = which&1 != 0
		o := Options{Most: len(p) + 1, Keep: Keep(keep % 32), Times: when}
		if which&2 != 0 {
			o.Format = form
		}
		m := NewMessages(&o)
		m.Cut(p, 1000, true)
		b, _ := m.Events(0, m.Len(), []flume.Headers{{{Key: "host", Value: "x"}}})
		checkEvents(t, p, b, m.list)
		l := NewLines(&LineOptions{Most: len(p) + 1, Keep: Keep(keep % 32), Charset: charset.Charset(which / 4 % 6), Times: when})
		l.Cut(p, 1000, true)
		checkEvents(t, p, l.Events(0, l.Len(), nil), l.list)
	})
}

func checkEvents(t *testing.T, p []byte, b flume.Batch, list []frame) {
	if len(b) != len(list) {
		t.Fatalf("%d events of %d messages", len(b), len(list))
	}
	for i := range b {
		if n := len(b[i].Headers); n != len(slices.Clone(b[i].Headers).Unique()) || n != cap(b[i].Headers) {
			t.Errorf("%q: headers %q", p, b[i].Headers)
		}
		if len(list[i].text) > 0 && len(b[i].Body) == 0 {
			t.Errorf("%q: the body of %q is empty", p, list[i].text)
		}
		if s, _ := b[i].Headers.Get("flume.syslog.status"); s == "Invalid" && !bytes.Equal(b[i].Body, list[i].text) {
			t.Errorf("%q: the body of %q is %q", p, list[i].text, b[i].Body)
		}
	}
}

// A batch costs a few allocations, however many messages it has.
func TestAllocations(t *testing.T) {
	sent := []byte(strings.Repeat("<34>1 2026-10-11T22:14:15.003Z mymachine.example.com su: 'su root' failed for lonvick on /dev/pts/8\n<13>Oct  1 22:14:15 host hello\n", 50))
	const most = 12
	m := NewMessages(&Options{Most: 2500, Times: times(t)})
	headers := []flume.Headers{{{Key: "from", Value: "me"}}}
	if n := testing.AllocsPerRun(100, func() {
		m.Clear()
		m.Cut(sent, 1000, false)
		if _, err := m.Events(0, m.Len(), headers); err != nil {
			t.Error(err)
		}
	}); n > most {
		t.Errorf("%v allocations for %d messages", n, m.Len())
	}
	l := NewLines(&LineOptions{Most: 2500, Times: times(t)})
	if n := testing.AllocsPerRun(100, func() {
		l.Clear()
		l.Cut(sent, 1000, false)
		l.Events(0, l.Len(), headers[0])
	}); n > most || l.Bad() > 0 {
		t.Errorf("%v allocations for %d lines, %d of them bad", n, l.Len(), l.Bad())
	}
}

func BenchmarkMessages(b *testing.B) {
	sent := []byte(strings.Repeat("<34>1 2026-10-11T22:14:15.003Z mymachine.example.com su: 'su root' failed for lonvick on /dev/pts/8\n", 100))
	m := NewMessages(&Options{Most: 2500})
	headers := []flume.Headers{nil}
	b.SetBytes(int64(len(sent)))
	b.ReportAllocs()
	for b.Loop() {
		m.Clear()
		m.Cut(sent, 1000, false)
		if _, err := m.Events(0, m.Len(), headers); err != nil {
			b.Fatal(err)
		}
	}
}

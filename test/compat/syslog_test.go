//go:build interop

package compat

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
)

// The same syslog messages, a few hundred of them made from a seed, give the same events in real Flume and in Sluice.
func TestSyslog(t *testing.T) {
	seed := rand.Uint64()
	if v := os.Getenv("SLUICE_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SLUICE_SEED=%d", seed)
	g := &syslogGenerator{rand.New(rand.NewPCG(seed, 0))}
	lanes := syslogLanes(g)
	began := time.Now().Add(-time.Second)
	theirs := runSyslog(t, true, lanes)
	ours := runSyslog(t, false, lanes)
	window := [2]int64{began.UnixMilli(), time.Now().UnixMilli()}
	cases := 0
	for _, l := range lanes {
		t.Run(l.name, func(t *testing.T) {
			wrong := 0
			for n, c := range l.cases {
				cases++
				key := l.name + " " + l.address(n)
				want, got := theirs.events[key], ours.events[key]
				if l.tidy != nil {
					want = l.tidy(c, want, got)
				}
				if a, b := syslogText(want, window), syslogText(got, window); a != b {
					if wrong++; wrong <= 10 {
						t.Errorf("%s: %q\nFlume\n%sSluice\n%s", c.name, c.sent, a, b)
					}
				}
			}
			if wrong > 10 {
				t.Errorf("%d of %d cases differ", wrong, len(l.cases))
			}
		})
	}
	t.Logf("%d cases in %d sources", cases, len(lanes))
}

// syslogText is what is compared.
func syslogText(events []flume.Event, window [2]int64) string {
	var b strings.Builder
	for _, e := range events {
		var headers []string
		for _, h := range e.Headers {
			if n, err := strconv.ParseInt(h.Value, 10, 64); err == nil && h.Key == "timestamp" && n >= window[0] && n <= window[1] {
				h.Value = "now"
			}
			headers = append(headers, fmt.Sprintf("%s=%q", h.Key, h.Value))
		}
		slices.Sort(headers)
		fmt.Fprintf(&b, "  %s %q\n", strings.Join(headers, " "), e.Body)
	}
	return b.String()
}

// A syslogGenerator makes messages that are right, nearly right and wrong.
type syslogGenerator struct{ *rand.Rand }

func (g *syslogGenerator) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g *syslogGenerator) digits(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte('0' + byte(g.IntN(10)))
	}
	return b.String()
}

func (g *syslogGenerator) priority() string {
	switch g.IntN(12) {
	case 0:
		return g.pick("<>", "<", "13>", "<1234>", "<a>", "<-1>", "<+5>", "<12345>", "<123456>", "< 1>", "<1", "", "<<13>", "<999>", "<000>", "<013>")
	default:
		return fmt.Sprintf("<%d>", g.IntN(192))
	}
}

func (g *syslogGenerator) version() string {
	return g.pick("", "", "", "1 ", "1 ", "1 ", "1", "2 ", "10 ", " ", "1  ", "v1 ")
}

func (g *syslogGenerator) isoTime() string {
	now := time.Now().Add(time.Duration(g.IntN(1000)-500) * time.Hour)
	text := now.Format("2006-01-02T15:04:05")
	if g.IntN(10) == 0 {
		text = g.pick("2024-02-30T01:02:03", "2024-13-01T00:00:00", "2024-01-01T24:61:61", "2024-1-01T00:00:00", "2024-01-01 00:00:00", "9999-12-31T23:59:59", "20240101T000000")
	}
	if g.IntN(2) == 0 {
		text += "." + g.digits(g.IntN(8))
	}
	return text + g.pick("", "Z", "Z", "+01:00", "-05:30", "+00:00", "+25:00", "+01:75", "+0100", "z", "-14:00")
}

func (g *syslogGenerator) oldTime() string {
	now := time.Now().Add(time.Duration(g.IntN(365*24)-200*24) * time.Hour)
	text := now.Format(g.pick("Jan _2 15:04:05", "Jan _2 15:04:05", "Jan 2 15:04:05", "Jan 02 15:04:05"))
	if g.IntN(8) == 0 {
		text = g.pick("Foo 11 22:14:15", "Oct 32 22:14:15", "Oct 11 25:61:61", "OCT 11 22:14:15", "oct 11 22:14:15", "Oct\t11 22:14:15", "Oct   1 22:14:15", "Feb 29 12:00:00", "Oct 11 2024 22:14:15", "Oct 11 22:14", "October 11 22:14:15")
	}
	return text
}

func (g *syslogGenerator) time() string {
	switch g.IntN(7) {
	case 0:
		return "-"
	case 1, 2, 3:
		return g.isoTime()
	default:
		return g.oldTime()
	}
}

func (g *syslogGenerator) host() string {
	return g.pick("host", "host", "web-1.example.com", "10.0.0.1", "-", "_x", "a@b", "fe80::1", "[fe80::1]", "-host", "żółw", "h,x", "", "HOST_9")
}

func (g *syslogGenerator) body() string {
	return g.pick("hello", "su: 'su root' failed", "app[12]: x=1", "", " ", "two  blanks ", "zażółć gęślą", "tab\there", "cr\r", "in\rside", "nel\u0085x", "ls\u2028x", "\xff\xfe bad", "e\xcc", "1 ID47 [a@1 b=\"c\"] \ufeffmsg", "<13>again", strings.Repeat("x", g.IntN(60)))
}

// message is one line without its end.
func (g *syslogGenerator) message() string {
	m := g.priority() + g.version() + g.time() + g.pick(" ", " ", " ", " ", " ", " ", "", "  ", "\t") + g.host() + g.pick(" ", " ", " ", " ", " ", " ", "", ": ", "\t") + g.body()
	switch g.IntN(15) {
	case 0:
		return m[:g.IntN(len(m)+1)]
	case 1:
		return g.body()
	}
	return m
}

// line is a message that is none of octet counting.
func (g *syslogGenerator) line() string {
	for {
		if m := g.message(); m != "" && !strings.Contains(m, "\n") {
			return m
		}
	}
}

const syslogCases = 120

// cases are messages, each by itself.
func (g *syslogGenerator) cases(n int, end string) []syslogCase {
	var all []syslogCase
	for i := range n {
		all = append(all, syslogCase{strconv.Itoa(i), []string{g.line() + end}})
	}
	return all
}

// streams are many messages a connection, in pieces that have nothing to do with their ends. Messages that make Flume
// lose what follows are not among them.
func (g *syslogGenerator) streams(n int, safe func(m string) bool) []syslogCase {
	var all []syslogCase
	for i := range n {
		var text string
		for range 1 + g.IntN(30) {
			if m := g.line(); safe(m) {
				text += m + "\n"
			}
		}
		var sent []string
		for len(text) > 0 {
			n := min(len(text), 1+g.IntN(200))
			sent = append(sent, text[:n])
			text = text[n:]
		}
		all = append(all, syslogCase{"stream " + strconv.Itoa(i), sent})
	}
	return all
}

// beginsWell is a message that Flume's syslogtcp ends at its newline: one that has all of its priority.
func beginsWell(m string) bool { return !strings.HasPrefix(m, "<") || strings.Contains(m, ">") }

// isKind is a message that Flume's multiport_syslogtcp does not throw an exception at.
func isKind(m string) bool {
	_, rest, ok := strings.Cut(m, ">")
	rest = strings.TrimPrefix(rest, "1 ")
	return ok && (strings.HasPrefix(rest, "-") || len(rest) > 0 && rest[0] >= 'A' && rest[0] <= 'Z')
}

func syslogLanes(g *syslogGenerator) []syslogLane {
	base := func(typ string, more ...string) map[string]string {
		m := map[string]string{"type": typ, "port": "{port}", "host": "0.0.0.0", "clientIPHeader": syslogSender}
		switch typ {
		case "multiport_syslogtcp":
			delete(m, "port")
			m["ports"] = "{port}"
		case "netcatudp":
			delete(m, "host")
			delete(m, "clientIPHeader")
			m["bind"], m["remoteAddress"] = "0.0.0.0", syslogSender
		}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	asFlume := map[string]string{"flumeTimestamps": "true"}
	first := map[string]string{"flumeTimestamps": "true", "firstLineOnly": "true"}
	own := []string{
		"format.regex", `(?:<(\\d{1,3})>)?(v\\d )?(\\d{4}/\\d\\d/\\d\\d_\\d\\d:\\d\\d:\\d\\d) (\\S+) (.*)`,
		"format.search", "_", "format.replace", "T", "format.dateFormat", "yyyy/MM/dd'T'HH:mm:ss",
	}
	ownCases := append(g.cases(20, "\n"),
		syslogCase{"own", []string{"<14>v2 2026/05/06_07:08:09 [x] hello\n"}},
		syslogCase{"own without priority", []string{"2026/05/06_07:08:09 żółw hello żółw\n"}},
		syslogCase{"own without body", []string{"<14>2026/05/06_07:08:09 x \n"}})
	lanes := []syslogLane{
		{name: "tcp", conf: base("syslogtcp"), ours: asFlume, cases: g.cases(syslogCases, "\n"), tidy: tidyMessages},
		{name: "tcp all", conf: base("syslogtcp", "keepFields", "all"), ours: asFlume, cases: g.cases(40, "\n"), tidy: tidyMessages},
		{name: "tcp kept", conf: base("syslogtcp", "keepFields", "priority version timestamp hostname"), ours: asFlume, cases: g.cases(80, "\n"), tidy: tidyMessages},
		{name: "tcp kept some", conf: base("syslogtcp", "keepFields", "HOSTNAME/version", "clientHostnameHeader", "priority"), ours: asFlume, cases: g.cases(40, "\n"), tidy: tidyMessages},
		{name: "tcp short", conf: base("syslogtcp", "eventSize", "40"), ours: asFlume, cases: g.cases(60, "\n"), tidy: tidyMessages},
		{name: "tcp streams", conf: base("syslogtcp"), ours: asFlume, cases: g.streams(30, beginsWell), tidy: tidyMessages},
		{name: "tcp short streams", conf: base("syslogtcp", "eventSize", "50"), ours: asFlume, cases: g.streams(30, beginsWell), tidy: tidyMessages},
		{name: "tcp own format", conf: base("syslogtcp", own...), ours: asFlume, cases: ownCases, tidy: tidyMessages},
		{name: "udp", udp: true, conf: base("syslogudp"), ours: asFlume, cases: g.cases(syslogCases, ""), tidy: tidyMessages},
		{name: "udp lines", udp: true, conf: base("syslogudp", "keepFields", "timestamp"), ours: first, cases: g.cases(40, "\nmore\n<13>x"), tidy: tidyMessages},
		{name: "multiport", conf: base("multiport_syslogtcp"), ours: asFlume, cases: g.cases(syslogCases, "\n"), tidy: tidyLines},
		{name: "multiport kept", conf: base("multiport_syslogtcp", "keepFields", "hostname,timestamp priority;version", "portHeader", "host"), ours: asFlume, cases: g.cases(80, "\n"), tidy: tidyPort},
		{name: "multiport latin", conf: base("multiport_syslogtcp", "charset.default", "ISO-8859-1", "keepFields", "true"), ours: asFlume, cases: g.cases(40, "\n"), tidy: tidyLines},
		{name: "multiport short", conf: base("multiport_syslogtcp", "eventSize", "40"), ours: asFlume, cases: g.cases(60, "\n"), tidy: tidyLines},
		{name: "multiport streams", conf: base("multiport_syslogtcp", "clientHostnameHeader", "from"), ours: asFlume, cases: g.streams(30, isKind), tidy: tidyLines},
		{name: "netcatudp", udp: true, conf: base("netcatudp"), cases: g.cases(30, "")},
		{name: "netcatudp lines", udp: true, conf: base("netcatudp"), ours: map[string]string{"firstLineOnly": "true"}, cases: g.cases(30, "\r\nmore")},
	}
	return lanes
}

// tidyMessages knows what is different in syslogtcp and syslogudp: a priority and version that Flume keeps of an
// earlier message, and a line that ends within its priority, with which Flume waits for the next one.
func tidyMessages(c syslogCase, want, got []flume.Event) []flume.Event {
	if first, _, _ := strings.Cut(strings.Join(c.sent, ""), "\n"); !beginsWell(first) && len(got) == 1 {
		return got
	}
	if len(want) != len(got) {
		return want
	}
	out := slices.Clone(want)
	for i := range out {
		if _, ok := got[i].Headers.Get("priority"); !ok {
			out[i].Headers = slices.Clone(out[i].Headers)
			out[i].Headers.Delete("priority")
			out[i].Headers.Delete("version")
		}
	}
	return out
}

// tidyLines knows what is different in multiport_syslogtcp: lines at which Flume throws an exception, which it loses.
func tidyLines(c syslogCase, want, got []flume.Event) []flume.Event {
	var bodies, status string
	for _, e := range got {
		bodies += string(e.Body)
		status, _ = e.Headers.Get("flume.syslog.status")
	}
	if len(want) == 0 && len(c.sent) == 1 && strings.HasSuffix(c.sent[0], bodies+"\n") && status != "" {
		return got
	}
	return want
}

// tidyPort is tidyLines where the header host is the port, which is another one in each agent.
func tidyPort(c syslogCase, want, got []flume.Event) []flume.Event {
	for _, events := range [][]flume.Event{want, got} {
		for i := range events {
			if port, _ := events[i].Headers.Get("host"); len(port) == len("12345") {
				events[i].Headers.Set("host", "a port")
			}
		}
	}
	return tidyLines(c, want, got)
}

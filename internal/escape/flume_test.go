package escape

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/javatime"
)

const golden = "testdata/flume.txt"

// questions are texts with times, zones and rounding, the same in every run. Many times lie around midnight and around the
// hours at which clocks are changed.
func questions() []string {
	r := rand.New(rand.NewPCG(1, 2))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu", "America/St_Johns",
		"Pacific/Apia", "Africa/Casablanca", "Asia/Tehran", "EST", "PST", "IST", "SST", "GMT+5:30", "GMT-3", "UTC+5", "nowhere", "America/los_angeles", "Europe/Dublin"}
	texts := []string{"/%{project_id}/%y-%m-%d/%H%M", "%Y-%m-%d/%H%M/%S %j %z %p", "%a %A %b %B %c %D", "%e %k %I %l %n %s %t", "%{none}|%{a.b-c}|%%{project_id}|%q%Q%0%_",
		"%/%{a b}%{}%-%", "%Y%m%d%H%M%S%z %s"}
	changes := []int64{1711846800, 1729990800, 1710054000, 1730613600, 1727532000, 1712415600, 1540695600, 1519527600, 1325239200, 1680303600, 1695076200}
	units := []struct {
		name string
		most int
	}{{"", 1}, {"second", 60}, {"minute", 60}, {"hour", 24}}
	var out []string
	ask := func(text, zone, stamp string) {
		u := units[r.IntN(len(units))]
		value := ""
		if u.name != "" {
			value = strconv.Itoa(1 + r.IntN(u.most))
		}
		out = append(out, strings.Join([]string{text, zone, stamp, u.name, value}, "\t"))
	}
	for i := range 700 {
		var ms int64
		switch i % 3 {
		case 0:
			ms = r.Int64N(2_000_000_000_000)
		case 1: // within two seconds of some midnight
			ms = (r.Int64N(2*20_000))*43_200_000 + r.Int64N(4000) - 2000
		case 2: // within some hours of a change
			ms = changes[r.IntN(len(changes))]*1000 + r.Int64N(8*3_600_000) - 4*3_600_000
		}
		ask(texts[r.IntN(len(texts))], zones[r.IntN(len(zones))], strconv.FormatInt(ms, 10))
	}
	for _, stamp := range []string{"", "x", " 1", "+1340459193234", "-1", "0", "-1999", "9223372036854775807", "1e3", "1340459193234L", "253402300800000", "-62135596800001"} {
		for _, text := range []string{"%{project_id}", "%Y", "%%", "%t %s"} {
			ask(text, "UTC", stamp)
		}
	}
	return out
}

// What real Flume makes of them is in testdata (interop_test.go writes it).
func TestAsFlume(t *testing.T) {
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	all := questions()
	if len(answers) != len(all) {
		t.Fatalf("%d answers to %d questions", len(answers), len(all))
	}
	for i, q := range all {
		want, ok := strings.CutPrefix(answers[i], q+"\t")
		if !ok {
			t.Fatalf("line %d is no answer to %q", i+1, q)
		}
		if got := answer(t, q); got != want {
			t.Errorf("%q: %s instead of %s", q, got, want)
		}
	}
}

func answer(t *testing.T, q string) string {
	t.Helper()
	f := strings.Split(q, "\t")
	zone, _ := javatime.Zone(f[1])
	o := Options{Zone: zone}
	if f[3] != "" {
		o.Round.Unit = map[string]Unit{"second": Second, "minute": Minute, "hour": Hour}[f[3]]
		if _, err := fmt.Sscan(f[4], &o.Round.Value); err != nil {
			t.Fatal(err)
		}
	}
	h := flume.Headers{{Key: "project_id", Value: "p1"}, {Key: "a.b-c", Value: "%Y"}}
	if f[2] != "" {
		h.Set("timestamp", f[2])
	}
	tpl, err := Parse(f[0], o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tpl.Append(nil, h, time.Time{})
	if err != nil {
		return "!"
	}
	return "=" + string(got)
}

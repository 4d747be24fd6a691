package oracle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// play sends numbers of one lane and lets others come out; "|" in the output is a mark.
func play(t *testing.T, acked int, out string) Report {
	t.Helper()
	load := Load{Run: "r", Lanes: 1, Size: 40}
	l := NewLedger(load)
	l.AckedAll(acked)
	for _, word := range strings.Fields(out) {
		if word == "|" {
			l.Mark("kill")
			continue
		}
		var n int
		if _, err := fmt.Sscan(word, &n); err != nil {
			t.Fatal(err)
		}
		l.Saw(Record{Body: load.Body(nil, 0, n)})
	}
	return l.Report()
}

func TestLedger(t *testing.T) {
	for _, c := range []struct {
		name, out                       string
		missing, duplicates, disordered int
		rules                           Rules
		broken                          string // part of the message, empty if the rules hold
	}{
		{"all", "0 1 2 3 4 5", 0, 0, 0, Rules{Order: true}, ""},
		{"one lost", "0 1 2 4 5", 1, 0, 0, Rules{Order: true}, "1 events missing"},
		{"the last lost", "0 1 2 3 4", 1, 0, 0, Rules{}, "1 events missing"},
		{"all lost", "", 6, 0, 0, Rules{}, "6 events missing"},
		{"one doubled", "0 1 1 2 3 4 5", 0, 1, 0, Rules{}, "lane 0: 1 duplicates, 0 are allowed"},
		{"as many doubled as allowed", "0 1 0 1 2 3 4 5", 0, 2, 0, Rules{Duplicates: 2, Order: true}, ""},
		{"more doubled than allowed", "0 1 0 1 1 2 3 4 5", 0, 3, 0, Rules{Duplicates: 2}, "3 duplicates"},
		{"any doubled", "0 0 0 0 1 2 3 4 5", 0, 3, 0, Rules{Duplicates: AnyDuplicates}, ""},
		{"two swapped", "0 2 1 3 4 5", 0, 0, 1, Rules{}, ""},
		{"two swapped, order asked for", "0 2 1 3 4 5", 0, 0, 1, Rules{Order: true}, "1 events out of order"},
		{"a batch again is no disorder", "0 1 2 3 1 2 3 4 5", 0, 3, 0, Rules{Duplicates: 3, Order: true}, ""},
		{"the lost range of a kill", "0 1 | 4 5", 2, 0, 0, Rules{LossPerFault: 2}, ""},
		{"more than a kill may cost", "0 1 | 5", 3, 0, 0, Rules{LossPerFault: 2}, "kill: 3 events missing, 2 are allowed"},
		{"two ranges at one kill", "0 | 2 4 5", 2, 0, 0, Rules{LossPerFault: 2}, "a lane misses 2 separate ranges"},
		{"a range at each of two kills", "0 | 2 3 | 5", 2, 0, 0, Rules{LossPerFault: 1}, ""},
		{"two ranges, the first before any kill", "0 2 | 4 5", 2, 0, 0, Rules{LossPerFault: 2}, "1 missing without a fault"},
		{"a kill that stopped all that follows", "0 1 2 |", 3, 0, 0, Rules{LossPerFault: 3}, ""},
		{"nothing may be lost at a kill", "0 1 | 3 4 5", 1, 0, 0, Rules{}, "1 events missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := play(t, 6, c.out)
			if r.Missing != c.missing || r.Duplicates != c.duplicates || r.Disordered != c.disordered {
				t.Errorf("missing %d, duplicates %d, out of order %d, want %d, %d, %d",
					r.Missing, r.Duplicates, r.Disordered, c.missing, c.duplicates, c.disordered)
			}
			err := r.Check(c.rules)
			if c.broken == "" && err != nil || c.broken != "" && (err == nil || !strings.Contains(err.Error(), c.broken)) {
				t.Errorf("got %v, want %q\n%s", err, c.broken, r)
			}
		})
	}
}

func TestNotAcknowledgedMayArriveOrNot(t *testing.T) {
	load := Load{Run: "r", Lanes: 2, Size: 30}
	l := NewLedger(load)
	for _, n := range []int{0, 1, 3, 4} { // 2 was sent and not acknowledged
		l.Acked(1, n, int64(n))
	}
	for _, n := range []int{0, 4} {
		l.Saw(Record{Body: load.Body(nil, 1, n)})
	}
	l.Saw(Record{Body: load.Body(nil, 0, 7)})
	r := l.Report()
	if r.Missing != 2 || r.Distinct != 3 {
		t.Errorf("missing %d, came out %d, want 2 and 3", r.Missing, r.Distinct)
	}
	if want := []Range{{First: 1, Last: 3, Events: 2, Fault: -1}}; !slices.Equal(r.Lanes[1].Ranges, want) {
		t.Errorf("ranges %v, want %v", r.Lanes[1].Ranges, want)
	}
}

func TestBodies(t *testing.T) {
	load := Load{Run: "r", Lanes: 3, Size: 60}
	good := load.Body(nil, 2, 41)
	if lane, n, err := load.parse(good); lane != 2 || n != 41 || err != nil {
		t.Errorf("got %d, %d, %v", lane, n, err)
	}
	neighbour := slices.Concat(good[:30], load.Body(nil, 2, 42)[30:])
	for _, c := range []struct {
		name string
		body []byte
		err  error
	}{
		{"overwritten by the next", neighbour, errDamaged},
		{"cut", good[:50], errDamaged},
		{"another run", []byte("s 2 00000041 ppp"), errForeign},
		{"a lane too many", []byte("r 3 00000041 ppp"), errForeign},
		{"no number", []byte("r 2 0041 ppp"), errForeign},
		{"empty", nil, errForeign},
		{"a driver's padding", []byte("r 2 00000041 " + strings.Repeat("x", 47)), nil},
	} {
		if _, _, err := load.parse(c.body); !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.err)
		}
	}
	l := NewLedger(load)
	l.AckedAll(42)
	l.Saw(Record{Body: neighbour})
	l.Saw(Record{Body: []byte("other")})
	r := l.Report()
	if r.Damaged != 1 || r.Foreign != 1 {
		t.Errorf("damaged %d, foreign %d, want 1 each", r.Damaged, r.Foreign)
	}
	if err := r.Check(Rules{Duplicates: AnyDuplicates, LossPerFault: 1000}); err == nil ||
		!strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "foreign") {
		t.Errorf("got %v", err)
	}
}

func TestHeadersAndKeys(t *testing.T) {
	load := Load{Run: "r", Lanes: 1, Keyed: true, Since: time.UnixMilli(1000), Headers: func(p Position) map[string]string {
		return map[string]string{"offset": fmt.Sprint(p.Offset), "timestamp": fmt.Sprint(p.Time.UnixMilli()), "key": p.Key}
	}}
	l := NewLedger(load)
	see := func(n int, key string, headers map[string]string) {
		l.Saw(Record{Key: []byte(key), Headers: headers, Body: load.Body(nil, 0, n)})
	}
	key := "r-lane-0"
	see(0, key, map[string]string{"offset": "100", "timestamp": "1000", "key": key}) // before its acknowledgement
	for n := range 4 {
		l.Acked(0, n, int64(100+n))
	}
	see(1, key, map[string]string{"offset": "101", "timestamp": "1001", "key": key})
	if r := l.Report(); r.Headers != 0 || r.Keys != 0 {
		t.Errorf("wrong headers %d, wrong keys %d, want none\n%s", r.Headers, r.Keys, r)
	}
	see(2, key, map[string]string{"offset": "101", "timestamp": "1002", "key": key})
	see(3, "other", map[string]string{"offset": "103", "timestamp": "1003", "key": key, "more": ""})
	if r := l.Report(); r.Headers != 2 || r.Keys != 1 {
		t.Errorf("wrong headers %d, wrong keys %d, want 2 and 1\n%s", r.Headers, r.Keys, r)
	}
}

func TestFlumeFormat(t *testing.T) {
	for _, c := range []struct {
		value   string
		headers map[string]string
		body    string
		fails   bool
	}{
		{value: "\x00\x00", headers: map[string]string{}},
		{value: "\x02\x02a\x02b\x00\x04hi", headers: map[string]string{"a": "b"}, body: "hi"},
		{value: "\x01\x08\x02a\x02b\x00\x04hi", headers: map[string]string{"a": "b"}, body: "hi"},
		{value: "\x02\x02a\x02b\x02\x02c\x02d\x00\x04hi", headers: map[string]string{"a": "b", "c": "d"}, body: "hi"},
		{value: "\x00\x04hi!", fails: true},
		{value: "\x00\x04h", fails: true},
		{value: "\x00\x01", fails: true},
		{value: "", fails: true},
	} {
		r, err := FlumeFormat(&kgo.Record{Value: []byte(c.value)})
		if (err != nil) != c.fails {
			t.Errorf("%q: %v", c.value, err)
		} else if err == nil && (!maps.Equal(r.Headers, c.headers) || string(r.Body) != c.body) {
			t.Errorf("%q: got %v and %q", c.value, r.Headers, r.Body)
		}
	}
}

// A flow that drops one event, doubles one and swaps two is found out, through a broker.
func TestPlantedFaults(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "in"), kfake.SeedTopics(1, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	brokers := cluster.ListenAddrs()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	load := Load{Run: "planted", Lanes: 2, Events: 2000, Size: 100, Keyed: true}
	ledger := NewLedger(load)
	if err := Produce(ctx, brokers, "in", ledger, 0, nil); err != nil {
		t.Fatal(err)
	}
	w, err := Watch(brokers, "out", Plain, ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("out"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	send := func(lane, number int) {
		cl.Produce(ctx, &kgo.Record{Key: load.Key(lane), Value: load.Body(nil, lane, number)}, nil)
	}
	for n := range 1000 {
		send(0, n)
		switch n {
		case 500: // lost
		case 600:
			send(1, 600)
			send(1, 600)
		case 700:
			send(1, 701)
		case 701:
			send(1, 700)
		default:
			send(1, n)
		}
	}
	r := w.Await(3*time.Second, time.Minute)
	if r.Acked != 2000 || r.Missing != 1 || r.Duplicates != 1 || r.Disordered != 1 || r.Foreign+r.Damaged+r.Keys != 0 {
		t.Errorf("got %s", r)
	}
	if want := []Range{{First: 500, Last: 500, Events: 1, Fault: -1}}; !slices.Equal(r.Lanes[1].Ranges, want) {
		t.Errorf("missing %v, want %v", r.Lanes[1].Ranges, want)
	}
}

func TestProduceStops(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ledger := NewLedger(Load{Run: "r", Lanes: 1, Size: 50})
	stop := make(chan struct{})
	time.AfterFunc(200*time.Millisecond, func() { close(stop) })
	if err := Produce(ctx, cluster.ListenAddrs(), "in", ledger, 1000, stop); err != nil {
		t.Fatal(err)
	}
	if acked, _ := ledger.Count(); acked < 20 || acked > 1000 {
		t.Errorf("%d events in a fifth of a second at 1000 a second", acked)
	}
}

//go:build interop

package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/test/harness"
)

// Bad rows become dead letters. The table is altered, so that three of the five kinds fit, while the agent runs; then the
// letters are replayed. Those that fit are in, once; the others are letters again, each once, with the same reason. What
// --where chooses is replayed before, and nothing else.
func TestSQLReplay(t *testing.T) {
	for _, d := range databases(t) {
		for _, once := range []string{"true", "false"} {
			t.Run(d.name+" once="+once, func(t *testing.T) { testSQLReplay(t, d, once) })
		}
	}
}

func testSQLReplay(t *testing.T, d rowsDatabase, once string) {
	n, spoilt := stage.Count(100_000, 5000), stage.Count(500, 50)/5*5
	random := stage.Rand(t)
	topic := "sql-replay-" + d.name + "-" + once
	stage.Broker.Fresh(t, 1, topic)
	d.fresh(t)
	agent := stage.Agent(t, harness.Sluice, "a1", "replay-"+d.name+"-"+once, rowsConf(t, d, topic).Set("a1.sinks.k1.sql.exactlyOnce", once))
	if once == "true" {
		if r := stage.Sluice(t, time.Minute, nil, "sql", "prepare", "-f", agent.File, "--create"); r.Status != 0 {
			t.Fatalf("%+v", r)
		}
	}
	bad := map[int]int{} // id to kind
	for len(bad) < spoilt {
		id := 1 + random.IntN(n-1)
		if _, ok := bad[id]; !ok {
			bad[id] = len(bad) % 5
		}
	}
	cl, err := kgo.NewClient(stage.Broker.Client(kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var sums [5]int // ids of each kind, and of the good ones below
	good := 0
	for i := range n {
		body := fmt.Sprintf(`{"id": %d, "n": %d, "name": "n%d", "parent": 1}`, i, i%1000, i)
		if kind, ok := bad[i]; ok {
			body = badRow(kind, i)
			sums[kind] += i
		} else {
			good += i
		}
		cl.Produce(t.Context(), &kgo.Record{Value: []byte(body)}, nil)
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := func(rows, sum int) {
		t.Helper()
		want := fmt.Sprintf("%d %d %d", rows, rows, sum)
		harness.Eventually(t, time.Minute, "rows", func() error {
			got, err := d.ask(t, "SELECT count(*), count(DISTINCT id), sum(id) FROM events")
			if err == nil && got != want {
				err = fmt.Errorf("count, different ones and sum are %s instead of %s", got, want)
			}
			return err
		})
	}
	// left are the letters: so many of each kind, with its reason.
	left := func(kinds ...int) {
		t.Helper()
		harness.Eventually(t, time.Minute, "dead letters", func() error {
			var got [5]int
			total := 0
			for _, l := range letters(t, agent) {
				total++
				kind := kindOf(t, l.Body)
				if !strings.Contains(l.Reason, d.reasons[kind]) {
					t.Fatalf("%s: %s", l.Body, l.Reason)
				}
				got[kind]++
			}
			for kind, n := range got {
				want := 0
				for _, k := range kinds {
					if k == kind {
						want = spoilt / 5
					}
				}
				if n != want {
					return fmt.Errorf("of the kinds there are %v, %d in all, of each %d or none are wanted", got, total, spoilt/5)
				}
			}
			return nil
		})
	}

	agent.Start(t)
	in(n-spoilt, good)
	left(0, 1, 2, 3, 4)

	c := d.connect(t)
	switch d.name {
	case "postgres":
		mustExec(t, c, "ALTER TABLE events ALTER n TYPE VARCHAR(20), ALTER name TYPE VARCHAR(100), ALTER name DROP NOT NULL")
	case "mariadb":
		mustExec(t, c, "ALTER TABLE events MODIFY n VARCHAR(20), MODIFY name VARCHAR(100) NULL")
	default: // which alters no column's type
		mustExec(t, c, "CREATE TABLE wider (id INTEGER PRIMARY KEY, n TEXT, name TEXT, parent INTEGER REFERENCES parents(id)) STRICT",
			"BEGIN IMMEDIATE", "INSERT INTO wider SELECT * FROM events", "DROP TABLE events", "ALTER TABLE wider RENAME TO events", "COMMIT")
	}
	c.Close()

	replay := func(n int, where ...string) {
		t.Helper()
		if out := deadletter(t, agent, 0, "replay", where...); !strings.Contains(out, fmt.Sprintf("replayed %d letter", n)) {
			t.Fatal(out)
		}
	}
	replay(spoilt/5, "--where", "reason~"+strings.NewReplacer("(", `\(`, ")", `\)`).Replace(d.reasons[1]))
	in(n-spoilt+spoilt/5, good+sums[1])
	left(0, 2, 3, 4)
	replay(spoilt / 5 * 4)
	in(n-spoilt/5*2, good+sums[0]+sums[1]+sums[2])
	left(3, 4)
	replay(spoilt / 5 * 2)
	left(3, 4)
	agent.Stop(t)
	in(n-spoilt/5*2, good+sums[0]+sums[1]+sums[2])
	left(3, 4)
	stage.Proof(t, "%d rows of Kafka into %s, exactly once: %s, %d of them bad: dead letters; after ALTER TABLE a replay lands the %d that now fit, once, and the %d others are letters again",
		n, d.name, once, spoilt, spoilt/5*3, spoilt/5*2)
}

// kindOf tells which of badRow's kinds a row is.
func kindOf(t *testing.T, body string) int {
	t.Helper()
	var row struct {
		ID     int
		N      any
		Name   *string
		Parent int
	}
	if err := json.Unmarshal([]byte(body), &row); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	switch {
	case row.ID == 0:
		return 3
	case row.Parent == 7:
		return 4
	case row.N == "many":
		return 0
	case row.Name == nil:
		return 2
	}
	return 1
}

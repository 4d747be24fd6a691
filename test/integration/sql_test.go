//go:build interop

package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro/ocf"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/sqldb"
	"github.com/sluice-io/sluice/test/harness"
)

// A rowsDatabase is one that an agent writes rows to, with a connection of the test's own.
type rowsDatabase struct {
	name, url, schema string
	reasons           []string // what it says of the kinds of bad rows, in the order of badRow
	server            bool
}

func databases(t *testing.T) []rowsDatabase {
	at := func(name string) string {
		out, err := stage.Peers(t, time.Minute, name, "start")
		if err != nil {
			t.Fatal(err, out)
		}
		t.Cleanup(func() { _, _ = stage.Peers(t, time.Minute, name, "stop") })
		out, err = stage.Peers(t, time.Minute, name, "status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(out, "running, ")
		address, _, _ := strings.Cut(rest, ",")
		return address
	}
	return []rowsDatabase{
		{"postgres", "postgres://sluice@" + at("postgres") + "/postgres?sslmode=disable",
			"id INT PRIMARY KEY, n SMALLINT, name VARCHAR(10) NOT NULL, parent INT REFERENCES parents(id)",
			[]string{"column n (smallint)", "value too long", "null value in column", "already exists", "violates foreign key constraint"}, true},
		{"mariadb", "mariadb://sluice@" + at("mariadb") + "/sluice",
			"id INT PRIMARY KEY, n SMALLINT, name VARCHAR(10) NOT NULL, parent INT, FOREIGN KEY (parent) REFERENCES parents(id)",
			[]string{"column n (smallint", "Data too long", "cannot be null", "Duplicate entry", "a foreign key constraint fails"}, true},
		{"sqlite", "sqlite:" + filepath.Join(t.TempDir(), "rows.db"),
			"id INTEGER PRIMARY KEY, n INTEGER, name TEXT NOT NULL CHECK (length(name) <= 10), parent INTEGER REFERENCES parents(id)",
			[]string{"column n (INTEGER)", "CHECK constraint failed", "NOT NULL constraint failed", "UNIQUE constraint failed", "FOREIGN KEY constraint failed"}, false},
	}
}

// connect opens a connection of the test's own.
func (d *rowsDatabase) connect(t *testing.T) *sqldb.Conn {
	t.Helper()
	var s sqldb.Settings
	if _, problems := conf.Bind(&s, flumetest.Section(t, "url = "+d.url)); problems.Fatal() {
		t.Fatal(problems)
	}
	c, err := s.Connect(t.Context(), sqldb.Purpose{Name: "test", Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// ask runs a query and returns the first row.
func (d *rowsDatabase) ask(t *testing.T, query string) (string, error) {
	c := d.connect(t)
	defer c.Close()
	var first []string
	err := c.Query(t.Context(), query, func(cells []sqldb.Cell) error {
		for _, cell := range cells {
			first = append(first, cell.Text)
		}
		return nil
	})
	return strings.Join(first, " "), err
}

// fresh makes the tables anew.
func (d *rowsDatabase) fresh(t *testing.T) {
	t.Helper()
	c := d.connect(t)
	defer c.Close()
	strict := ""
	if !d.server {
		strict = " STRICT"
	}
	for _, name := range []string{"events", "parents", "sluice_positions"} {
		mustExec(t, c, "DROP TABLE IF EXISTS "+name)
	}
	mustExec(t, c, "CREATE TABLE parents (id INTEGER PRIMARY KEY)"+strict, "INSERT INTO parents VALUES (1)", "CREATE TABLE events ("+d.schema+")"+strict)
}

func mustExec(t *testing.T, c *sqldb.Conn, statements ...string) {
	t.Helper()
	for _, text := range statements {
		if err := c.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// rowsConf is an agent that brings rows from a topic through a file channel into a database.
func rowsConf(t *testing.T, d rowsDatabase, topic string) harness.Conf {
	dir := t.TempDir()
	return harness.Conf(fmt.Sprintf(`a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.kafka.KafkaSource
a1.sources.r1.kafka.bootstrap.servers = %s
a1.sources.r1.kafka.topics = %s
a1.sources.r1.kafka.consumer.group.id = %s
a1.sources.r1.kafka.consumer.auto.offset.reset = earliest
a1.sources.r1.channels = c1
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = %s/checkpoint
a1.channels.c1.dataDirs = %s/data
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = sql
a1.sinks.k1.channel = c1
a1.sinks.k1.sql.url = %s
a1.sinks.k1.sql.table = events
a1.sinks.k1.sql.columns.id = $.id
a1.sinks.k1.sql.columns.n = $.n
a1.sinks.k1.sql.columns.name = $.name
a1.sinks.k1.sql.columns.parent = $.parent
`, stage.Broker.Plain, topic, topic, dir, dir, d.url))
}

// badRow is a row that is bad in one of five ways.
func badRow(kind, id int) string {
	switch kind {
	case 0:
		return fmt.Sprintf(`{"id": %d, "n": "many", "name": "x"}`, id)
	case 1:
		return fmt.Sprintf(`{"id": %d, "name": "longer than ten"}`, id)
	case 2:
		return fmt.Sprintf(`{"id": %d}`, id)
	case 3:
		return `{"id": 0, "name": "later"}`
	}
	return fmt.Sprintf(`{"id": %d, "name": "x", "parent": 7}`, id)
}

// Rows of JSON go from Kafka through a file channel into a database, some of them bad; the agent is killed meanwhile, and
// the database too. All that is good is in once, all that is bad is among the dead letters with its reason.
func TestSQL(t *testing.T) {
	for _, d := range databases(t) {
		t.Run(d.name, func(t *testing.T) { testSQL(t, d) })
	}
}

func testSQL(t *testing.T, d rowsDatabase) {
	n, spoilt, kills := stage.Count(1_000_000, 10_000), stage.Count(500, 10), stage.Count(30, 3)
	random := stage.Rand(t)
	topic := "sql-" + d.name
	stage.Broker.Fresh(t, 1, topic)
	d.fresh(t)
	agent := stage.Agent(t, harness.Sluice, "a1", "a1", rowsConf(t, d, topic).Set("a1.sinks.k1.sql.exactlyOnce", "true"))
	if r := stage.Sluice(t, time.Minute, nil, "sql", "prepare", "-f", agent.File, "--create"); r.Status != 0 {
		t.Fatalf("%+v", r)
	}

	bad := map[int]int{}
	for len(bad) < spoilt {
		bad[1+random.IntN(n-1)] = len(bad) % 5
	}
	sum := 0
	cl, err := kgo.NewClient(stage.Broker.Client(kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range n {
		body := fmt.Sprintf(`{"id": %d, "n": %d, "name": "n%d", "parent": 1}`, i, i%1000, i)
		if kind, ok := bad[i]; ok {
			body = badRow(kind, i)
		} else {
			sum += i
		}
		cl.Produce(t.Context(), &kgo.Record{Value: []byte(body)}, nil)
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	agent.Start(t)
	killed := 0
	for killed < kills {
		between(random.Int64N, 100*time.Millisecond, time.Second)
		if killed%5 == 4 && d.server {
			if _, err := stage.Peers(t, time.Minute, d.name, []string{"kill", "stop"}[random.IntN(2)]); err != nil {
				t.Fatal(err)
			}
			between(random.Int64N, 0, time.Second)
			if out, err := stage.Peers(t, time.Minute, d.name, "start"); err != nil {
				t.Fatal(err, out)
			}
		}
		agent.Kill(t)
		killed++
		agent.Start(t)
	}
	want := fmt.Sprintf("%d %d %d", n-spoilt, n-spoilt, sum)
	harness.Eventually(t, 10*time.Minute, "all rows", func() error {
		got, err := d.ask(t, "SELECT count(*), count(DISTINCT id), sum(id) FROM events")
		if err == nil && got != want {
			err = fmt.Errorf("count, different ones and sum are %s instead of %s", got, want)
		}
		return err
	})
	reasons := map[string]int{} // body to kind
	for id, kind := range bad {
		reasons[badRow(kind, id)] = kind
	}
	harness.Eventually(t, time.Minute, "all dead letters", func() error {
		seen, total, err := setAside(agent, d, reasons)
		switch {
		case err != nil:
			return err
		case seen != len(reasons):
			return fmt.Errorf("%d of %d", seen, len(reasons))
		case total < spoilt:
			return fmt.Errorf("%d in all instead of %d", total, spoilt)
		}
		t.Logf("%d dead letters of %d bad rows", total, spoilt)
		return nil
	})
	agent.Stop(t)
	if got, err := d.ask(t, "SELECT count(*), count(DISTINCT id), sum(id) FROM events"); err != nil || got != want {
		t.Error(got, err)
	}
	stage.Proof(t, "%d rows of Kafka through a file channel into %s, %d bad, the agent killed %d times: each good row is in once, each bad one among the dead letters; %v",
		n, d.name, spoilt, kills, time.Since(began).Round(time.Second))
}

// setAside counts dead letters, all and different ones, and compares their reasons.
func setAside(a *harness.Agent, d rowsDatabase, kinds map[string]int) (seen, total int, err error) {
	files, err := a.DeadLetters()
	if err != nil {
		return 0, 0, err
	}
	found := map[string]bool{}
	for _, name := range files {
		if !strings.HasSuffix(name, ".avro") {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return 0, 0, err
		}
		defer f.Close()
		r, err := ocf.NewReader(f)
		if err != nil {
			return 0, 0, err
		}
		for {
			var l map[string]any
			if err := r.Decode(&l); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return 0, 0, err
			}
			body, _ := l["body"].([]byte)
			kind, ok := kinds[string(body)]
			if reason := fmt.Sprint(l["reason"]); !ok || !strings.Contains(reason, d.reasons[kind]) {
				return 0, 0, fmt.Errorf("%s: %s", body, reason)
			}
			found[string(body)] = true
			total++
		}
	}
	return len(found), total, nil
}

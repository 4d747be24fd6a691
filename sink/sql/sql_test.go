package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/sqldb"
)

// A database is one to test with: SQLite's in a file, or a server that test/peers has started.
type database struct {
	t    testing.TB
	conn *sqldb.Conn
	url  string

	spared string // the connection that killSinks leaves alone
}

// sqlite makes an empty database.
func sqlite(t testing.TB) *database {
	return opened(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
}

func opened(t testing.TB, url string) *database {
	t.Helper()
	d := &database{t: t, url: url, spared: "0"}
	var s Settings
	sec := flumetest.Section(t, d.settings()...)
	if _, problems := Kind.Bind(sec); problems.Fatal() {
		t.Fatal(problems)
	}
	s = *bound(t, d.settings()...)
	conn, err := s.db.Connect(t.Context(), sqldb.Purpose{Name: "test", Create: true})
	if err != nil {
		t.Fatal(err)
	}
	d.conn = conn
	t.Cleanup(conn.Close)
	return d
}

func (d *database) settings(more ...string) []string {
	all := []string{"sql.url = " + d.url}
	for _, one := range more {
		if strings.HasPrefix(one, "sql.table =") {
			return append(all, more...)
		}
	}
	return append(append(all, "sql.table = t", "sql.columns.id = $.id"), more...)
}

// bound reads settings.
func bound(t testing.TB, settings ...string) *Settings {
	t.Helper()
	plan, problems := Kind.Bind(flumetest.Section(t, settings...))
	if problems.Fatal() {
		t.Fatal(problems)
	}
	return plan.Settings.(*Settings)
}

// run runs statements.
func (d *database) run(statements ...string) {
	d.t.Helper()
	for _, s := range statements {
		if err := d.conn.Exec(context.Background(), s); err != nil {
			d.t.Fatalf("%s: %v", s, err)
		}
	}
}

// rows is what a query answers: cells separated by blanks, rows by commas.
func (d *database) rows(query string) string {
	d.t.Helper()
	var rows []string
	err := d.conn.Query(context.Background(), query, func(cells []sqldb.Cell) error {
		var row []string
		for _, c := range cells {
			if c.Null {
				c.Text = "NULL"
			}
			row = append(row, c.Text)
		}
		rows = append(rows, strings.Join(row, " "))
		return nil
	})
	if err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(rows, ", ")
}

// sink opens a sink on the table t unless the settings name another.
func (d *database) sink(settings ...string) *sink {
	d.t.Helper()
	k := flumetest.Open(d.t, Kind, d.settings(settings...)...)
	d.t.Cleanup(func() { k.Close() })
	return k.(*sink)
}

// events makes one event of each body. A body "h=v body" has a header.
func events(bodies ...string) flume.Batch {
	var b flume.Batch
	for _, body := range bodies {
		var h flume.Headers
		for {
			word, rest, _ := strings.Cut(body, " ")
			name, v, ok := strings.Cut(word, "=")
			if !ok || strings.ContainsAny(name, `{"`) {
				break
			}
			h.Set(name, v)
			body = rest
		}
		b = append(b, flume.Event{Headers: h, Body: []byte(body)})
	}
	return b
}

// rejections are the indexes and reasons of what Deliver has given up; any other error fails the test.
func rejections(t testing.TB, err error) map[int]string {
	t.Helper()
	if err == nil {
		return nil
	}
	var partial *flume.PartialError
	if !errors.As(err, &partial) || len(partial.Pending) > 0 {
		t.Fatal(err)
	}
	out := map[int]string{}
	for _, r := range partial.Rejected {
		out[r.Index] = r.Err.Error()
	}
	return out
}

// rejected compares them with what they have to say.
func rejected(t testing.TB, err error, want map[int]string) {
	t.Helper()
	got := rejections(t, err)
	for i, text := range want {
		if !strings.Contains(got[i], text) {
			t.Errorf("event %d: %q, want %q", i, got[i], text)
		}
	}
	for i, text := range got {
		if _, ok := want[i]; !ok {
			t.Errorf("event %d is rejected: %s", i, text)
		}
	}
}

func TestLaws(t *testing.T) {
	d := sqlite(t)
	d.run("CREATE TABLE laws (b BLOB)")
	flumetest.Sink(t, func(t testing.TB) flume.Sink {
		return flumetest.Open(t, Kind, d.settings("sql.table = laws", "sql.columns.b = body")...)
	})
}

func TestRows(t *testing.T) { testRows(t, sqlite(t)) }

func testRows(t *testing.T, d *database) {
	types := map[sqldb.Dialect]string{
		sqldb.SQLite:   "id INTEGER PRIMARY KEY, name TEXT, price NUMERIC, ok INTEGER, at DATETIME, raw BLOB, doc TEXT, host TEXT, fixed TEXT",
		sqldb.Postgres: "id BIGINT PRIMARY KEY, name TEXT, price NUMERIC, ok BOOL, at TIMESTAMPTZ, raw BYTEA, doc JSONB, host TEXT, fixed TEXT",
		sqldb.MySQL:    "id BIGINT PRIMARY KEY, name TEXT, price DECIMAL(10,2), ok BOOL, at DATETIME(3), raw BLOB, doc JSON, host TEXT, fixed TEXT",
	}
	d.run("DROP TABLE IF EXISTS wide", "CREATE TABLE wide ("+types[d.conn.Dialect]+")")
	for _, mode := range []string{"insert", "upsert"} {
		d.run("DELETE FROM wide")
		k := d.sink("sql.table = wide", "sql.key = id", "sql.mode = "+mode,
			"sql.columns.id = $.id", "sql.columns.name = $.name ?? %{name} ?? 'nobody'", "sql.columns.price = $.price", "sql.columns.ok = $.ok", "sql.columns.at = time",
			"sql.columns.raw = body", "sql.columns.doc = $.doc", "sql.columns.host = %{host}:%{port}", "sql.columns.fixed = 'it''s'")
		nasty := `{"id":2,"name":"a'b\\c\td\ne\"f;\u0020DROP\u0020TABLE\u0020wide;\u0020--","price":"7","ok":true,"doc":[1,"x"]}`
		err := k.Deliver(t.Context(), events(
			`timestamp=1700000000123 host=h1 port=1 {"id": 1, "name": "one", "price": 1.5, "ok": true, "doc": {"a": "b'\\"}}`,
			`host=h2 port=\ `+nasty,
			`name=of\header {"id": 3, "price": null}`,
			`{"id": "4"}`))
		rejected(t, err, nil)
		raw := `"x"`
		if got, want := d.rows("SELECT id, name, price, fixed FROM wide WHERE id <> 2 ORDER BY id"), "1 one 1.5 it's, 3 of\\header NULL it's, 4 nobody NULL it's"; strings.ReplaceAll(got, "1.50", "1.5") != want {
			t.Errorf("%s: %s, want %s", mode, got, want)
		}
		if got, want := d.rows("SELECT name, host FROM wide WHERE id = 2"), "a'b\\c\td\ne\"f; DROP TABLE wide; -- h2:\\"; got != want {
			t.Errorf("%s: %q, want %q", mode, got, want)
		}
		if got := d.rows("SELECT at FROM wide WHERE id = 1"); !strings.Contains(got, "2023-11-14") || !strings.Contains(got, "22:13:20.123") {
			t.Errorf("%s: %s", mode, got)
		}
		if got := d.rows("SELECT doc FROM wide WHERE id = 2"); !strings.Contains(got, raw) {
			t.Errorf("%s: %s", mode, got)
		}
		length := map[sqldb.Dialect]string{sqldb.MySQL: "octet_length(raw)", sqldb.Postgres: "octet_length(raw)", sqldb.SQLite: "length(raw)"}[d.conn.Dialect]
		if got := d.rows("SELECT " + length + " FROM wide WHERE id = 2"); got != fmt.Sprint(len(nasty)) {
			t.Errorf("%s: %s bytes, want %d", mode, got, len(nasty))
		}
	}
}

// bad makes the tables of the five kinds of bad rows.
func (d *database) bad() {
	d.run("DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS parents")
	switch d.conn.Dialect {
	case sqldb.SQLite:
		d.run("CREATE TABLE parents (id INTEGER PRIMARY KEY) STRICT",
			"CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, name TEXT NOT NULL CHECK (length(name) <= 10), parent INTEGER REFERENCES parents(id)) STRICT")
	case sqldb.Postgres:
		d.run("CREATE TABLE parents (id INT PRIMARY KEY)",
			"CREATE TABLE t (id INT PRIMARY KEY, n SMALLINT, name VARCHAR(10) NOT NULL, parent INT REFERENCES parents(id))")
	case sqldb.MySQL:
		d.run("CREATE TABLE parents (id INT PRIMARY KEY) ENGINE=InnoDB",
			"CREATE TABLE t (id INT PRIMARY KEY, n SMALLINT, name VARCHAR(10) NOT NULL, parent INT, FOREIGN KEY (parent) REFERENCES parents(id)) ENGINE=InnoDB")
	}
	d.run("INSERT INTO parents VALUES (1)")
}

func badColumns(more ...string) []string {
	return append([]string{"sql.columns.n = $.n", "sql.columns.name = $.name", "sql.columns.parent = $.parent"}, more...)
}

// reasons are what the databases say of the kinds of bad rows.
func (d *database) reasons() (long, null, twice, orphan string) {
	switch d.conn.Dialect {
	case sqldb.SQLite:
		return "CHECK constraint failed", "NOT NULL constraint failed: t.name", "UNIQUE constraint failed: t.id", "FOREIGN KEY constraint failed"
	case sqldb.Postgres:
		return "value too long for type character varying(10)", `null value in column "name"`, "Key (id)=(3) already exists", `is not present in table "parents"`
	default:
		return "Data too long for column 'name'", "Column 'name' cannot be null", "Duplicate entry '3' for key", "a foreign key constraint fails"
	}
}

func TestBadRows(t *testing.T) { testBadRows(t, sqlite(t)) }

func testBadRows(t *testing.T, d *database) {
	d.bad()
	long, null, twice, orphan := d.reasons()
	k := d.sink(badColumns()...)
	var bodies []string
	for i := range 100 {
		bodies = append(bodies, fmt.Sprintf(`{"id": %d, "n": %d, "name": "n%d", "parent": 1}`, i, i, i))
	}
	bodies[0] = `{"id": 0, "n": "many", "name": "n0"}`
	bodies[10] = `{"id": 10, "name": "12345678901"}`
	bodies[11] = `{"id": 11}`
	bodies[50] = `{"id": 3, "name": "later"}`
	bodies[70] = `{"id": 70, "name": "x", "parent": 2}`
	bodies[71] = `{"id": 71, "name": "x", "n": 123456789012345678901234567890}`
	bodies[98] = `no JSON`
	bodies[99] = `{"id": 99, "name": "x", "parent": 2}`
	err := k.Deliver(t.Context(), events(bodies...))
	want := map[int]string{0: `column n (`, 10: long, 11: null, 50: twice, 70: orphan, 71: "", 98: "reading $.id of the body", 99: orphan}
	rejected(t, err, want)
	if got := d.rows("SELECT count(*), sum(id) FROM t"); got != fmt.Sprint(92, " ", 4950-0-10-11-50-70-71-98-99) {
		t.Error(got)
	}
	if got := d.rows("SELECT name FROM t WHERE id = 3"); got != "n3" {
		t.Errorf("of two duplicates the later is in: %s", got)
	}
	// The next delivery is none the worse for it.
	rejected(t, k.Deliver(t.Context(), events(`{"id": 1000, "name": "next"}`)), nil)
	// All of them bad.
	err = k.Deliver(t.Context(), events(bodies[1:50]...))
	if got := rejections(t, err); len(got) != 49 {
		t.Error(len(got))
	}
}

func TestUpsert(t *testing.T) { testUpsert(t, sqlite(t)) }

func testUpsert(t *testing.T, d *database) {
	d.bad()
	long, _, _, _ := d.reasons()
	k := d.sink(badColumns("sql.mode = upsert", "sql.key = id")...)
	rejected(t, k.Deliver(t.Context(), events(`{"id": 1, "name": "a"}`, `{"id": 2, "name": "b"}`)), nil)
	rejected(t, k.Deliver(t.Context(), events(
		`{"id": 1, "name": "c"}`, `{"id": 3, "name": "d"}`, `{"id": 1, "name": "e"}`, `{"id": 2, "name": "far too long"}`,
		`{"id": 3, "name": "f"}`, `{"id": 3, "name": "far too long"}`, `{"id": 1, "name": "g"}`)), map[int]string{3: long, 5: long})
	if got := d.rows("SELECT id, name FROM t ORDER BY id"); got != "1 g, 2 b, 3 f" {
		t.Error(got)
	}
	k = d.sink(badColumns("sql.mode = ignore", "sql.key = id")...)
	rejected(t, k.Deliver(t.Context(), events(`{"id": 1, "name": "h"}`, `{"id": 4, "name": "i"}`, `{"id": 4, "name": "j"}`, `{"id": 5, "name": "far too long"}`)),
		map[int]string{3: long})
	if got := d.rows("SELECT id, name FROM t ORDER BY id"); got != "1 g, 2 b, 3 f, 4 i" {
		t.Error(got)
	}
}

// Names that headers give are names of tables, or nothing.
func TestTablesOfHeaders(t *testing.T) { testTablesOfHeaders(t, sqlite(t)) }

func testTablesOfHeaders(t *testing.T, d *database) {
	d.bad()
	d.run("DROP TABLE IF EXISTS t_a", "DROP TABLE IF EXISTS t_b", "CREATE TABLE t_a (id INT, name VARCHAR(50))", "CREATE TABLE t_b (id INT, other VARCHAR(50))")
	k := d.sink("sql.table = t_%{kind}", "sql.columns.id = $.id", "sql.columns.name = %{name}")
	name := "Robert'); DROP TABLE t_a; --"
	b := events(`kind=a {"id": 1}`, `kind=b {"id": 2}`, `kind=c {"id": 3}`, `{"id": 4}`, `kind=a {"id": 5}`, `{"id": 6}`, `{"id": 7}`, `{"id": 8}`, `{"id": 9}`)
	b[4].Headers.Set("name", name)
	for i, kind := range []string{`a"; DROP TABLE t_a; --`, "a`; DROP TABLE t_a; --", "a' OR '1'='1", "a.b"} {
		b[5+i].Headers.Set("kind", kind)
	}
	refused := "is no table's name"
	rejected(t, k.Deliver(t.Context(), b), map[int]string{
		1: "table t_b has no column name; it has id, other", 2: "there is no table t_c", 3: "there is no table t_", 5: refused, 6: refused, 7: refused, 8: refused,
	})
	if got := d.rows("SELECT id, name FROM t_a ORDER BY id"); got != "1 NULL, 5 "+name {
		t.Error(got)
	}
}

// A table that the configuration names is waited for, and one that was altered is seen as it is.
func TestTableComesLater(t *testing.T) {
	d := sqlite(t)
	k := d.sink()
	b := events(`{"id": 1}`)
	err := k.Deliver(t.Context(), b)
	if err == nil || !strings.Contains(err.Error(), "there is no table t; sluice sql prepare") {
		t.Fatal(err)
	}
	d.run("CREATE TABLE t (other INTEGER)")
	if err := k.Deliver(t.Context(), b); err == nil || !strings.Contains(err.Error(), "table t has no column id; it has other") {
		t.Fatal(err)
	}
	d.run("ALTER TABLE t ADD COLUMN id INTEGER")
	if err := k.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func TestProblems(t *testing.T) {
	base := []string{"sql.url = sqlite:/x/y", "sql.table = t", "sql.columns.id = $.id"}
	tableOf := func(name string) []string { return []string{base[0], "sql.table = " + name, base[2]} }
	for _, x := range []struct {
		settings []string
		want     string
	}{
		{[]string{"sql.table = t", "sql.columns.id = $.id"}, "sql.url: is required"},
		{[]string{"sql.url = oracle://secret@h/d", "sql.table = t", "sql.columns.id = $.id"}, "does not begin with postgres://"},
		{[]string{"sql.url = jdbc:postgresql://h/d", "sql.table = t", "sql.columns.id = $.id"}, "leave jdbc: out"},
		{[]string{"sql.url = postgres://u:sec/ret@h/d", "sql.table = t", "sql.columns.id = $.id"}, "is not a URL"},
		{[]string{"sql.url = sqlite::memory:", "sql.table = t", "sql.columns.id = $.id"}, "name a file"},
		{tableOf("a.b.c"), "more parts than schema.table"},
		{tableOf("a."), "a part without a name"},
		{append(base, "sql.columns.%{h} = $.id"), "the names of columns are fixed"},
		{append(base, "sql.columns.a = tiem"), `did you mean \"time\"?`},
		{append(base, "sql.columns.a = some text"), "means nothing"},
		{append(base, "sql.columns.a = $.b ??"), "a term is missing"},
		{append(base, "sql.columns.a = 'it's'"), "a quote in a text is written twice"},
		{append(base, "sql.columns.a = $.b[x"), "the number of a place"},
		{append(base, "sql.mode = upsert"), "is needed with sql.mode = upsert"},
		{append(base, "sql.key = id, nr"), "the column nr of the key is not filled"},
		{base[:2], "no column is filled"},
	} {
		text := flumetest.Problems(t, Kind, nil, x.settings...).String()
		want := strings.ReplaceAll(x.want, `\"`, `"`)
		if !strings.Contains(text, want) || strings.Contains(text, "secret") || strings.Contains(text, "sec/ret") {
			t.Errorf("%q: %s, want %s", x.settings, text, want)
		}
	}
}

// scattered writes n rows, of which some are bad in one of five ways, and compares what is in and what is rejected. It
// returns how many rows a second that was.
func scattered(t *testing.T, d *database, n, spoilt int, settings ...string) float64 {
	d.bad()
	long, null, _, orphan := d.reasons()
	twice := map[sqldb.Dialect]string{sqldb.SQLite: "UNIQUE", sqldb.Postgres: "already exists", sqldb.MySQL: "Duplicate entry"}[d.conn.Dialect]
	kinds := []string{"column n (", long, null, twice, orphan}
	k := d.sink(badColumns(settings...)...)
	spoil := map[int]int{} // row to kind
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for len(spoil) < spoilt {
		spoil[1+r.IntN(n-1)] = len(spoil) % len(kinds)
	}
	began := time.Now()
	for from := 0; from < n; from += 1000 {
		var b flume.Batch
		for i := from; i < min(from+1000, n); i++ {
			body := fmt.Sprintf(`{"id": %d, "n": %d, "name": "n%d", "parent": 1}`, i, i%1000, i)
			if kind, ok := spoil[i]; ok {
				body = []string{
					fmt.Sprintf(`{"id": %d, "n": "many", "name": "x"}`, i),
					fmt.Sprintf(`{"id": %d, "name": "longer than ten"}`, i),
					fmt.Sprintf(`{"id": %d}`, i),
					`{"id": 0, "name": "later"}`,
					fmt.Sprintf(`{"id": %d, "name": "x", "parent": 7}`, i),
				}[kind]
			}
			b = append(b, flume.Event{Body: []byte(body)})
		}
		got := rejections(t, k.Deliver(t.Context(), b))
		for i := range b {
			kind, bad := spoil[from+i]
			if why, rejected := got[i]; bad != rejected || bad && !strings.Contains(why, kinds[kind]) {
				t.Fatalf("row %d (%s): %q", from+i, b[i].Body, why)
			}
		}
	}
	rate := float64(n) / time.Since(began).Seconds()
	var sum int
	for i := range n {
		if _, bad := spoil[i]; !bad {
			sum += i
		}
	}
	if got, want := d.rows("SELECT count(*), sum(id) FROM t"), fmt.Sprint(n-spoilt, " ", sum); got != want {
		t.Errorf("rows and sum: %s, want %s", got, want)
	}
	if got := d.rows("SELECT name FROM t WHERE id = 0"); got != "n0" {
		t.Error(got)
	}
	return rate
}

func TestScattered(t *testing.T) {
	t.Logf("%.0f rows a second", scattered(t, sqlite(t), 5000, 50))
}

// from gives the events of a batch positions in a partition, from offset on.
func from(b flume.Batch, partition int32, offset int64) flume.Batch {
	for i := range b {
		p := position.Position{Partition: position.Partition{Cluster: "c", Topic: "t@id", Number: partition}, Offset: offset + int64(i)}
		b[i].Headers.Set(flume.PositionHeader, p.String())
	}
	return b
}

// prepared makes the tables of the settings, as sql prepare does.
func (d *database) prepared(settings ...string) []string {
	all := d.settings(settings...)
	s := bound(d.t, all...)
	d.run("DROP TABLE IF EXISTS once", "DROP TABLE IF EXISTS sluice_positions")
	statements, err := s.Tables("")
	if err == nil {
		err = s.Create(d.t.Context(), statements)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return settings
}

func TestExactlyOnce(t *testing.T) { testExactlyOnce(t, sqlite(t)) }

func testExactlyOnce(t *testing.T, d *database) {
	settings := d.prepared("sql.table = once", "sql.columns.id = $.id", "sql.columns.name = $.name", "sql.types.id = INT", "sql.types.name = VARCHAR(10)", "sql.exactlyOnce = true")
	k := d.sink(settings...)
	a, b := `{"id": 1, "name": "a"}`, `{"id": 2, "name": "b"}`
	bad := `{"id": "x"}`
	long := `{"id": 3, "name": "longer than ten"}`
	if d.conn.Dialect == sqldb.SQLite { // which does not count characters
		long = bad
	}
	for range 2 {
		if got := rejections(t, k.Deliver(t.Context(), from(events(a, bad, b, long), 0, 10))); len(got) != 2 {
			t.Error(got) // and again, for who rejects has not said that it is kept
		}
	}
	rejected(t, k.Deliver(t.Context(), from(events(b, a, a), 0, 12)), map[int]string{}) // 12 is done; 13 and 14 are not
	twice := from(events(a, a), 1, 5)
	twice[1].Headers = twice[0].Headers
	rejected(t, k.Deliver(t.Context(), twice), nil)
	rejected(t, k.Deliver(t.Context(), events(a, a)), nil) // without positions: as often as they come
	other := d.sink(settings...)                           // another agent, or this one the next time
	rejected(t, other.Deliver(t.Context(), append(from(events(a, b), 0, 14), from(events(b, b), 1, 4)...)), nil)
	if got := d.rows("SELECT id, count(*) FROM once GROUP BY id ORDER BY id"); got != "1 6, 2 3" {
		t.Error(got)
	}
	if got, want := d.rows("SELECT sink, source_part, done_ranges FROM sluice_positions ORDER BY source_part"), "once c/t@id/0 10,12-15, once c/t@id/1 4-5"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// What another has written meanwhile is seen in the transaction.
	rejected(t, k.Deliver(t.Context(), from(events(b, b, a), 0, 14)), nil)
	if got := d.rows("SELECT id, count(*) FROM once GROUP BY id ORDER BY id"); got != "1 7, 2 3" {
		t.Error(got)
	}
}

// A table is altered and its dead letters are replayed at once: each is judged by the table as it is now.
func TestReplayedAtOnce(t *testing.T) {
	d := sqlite(t)
	d.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
	k := d.sink("sql.columns.n = $.n")
	bad := events(`{"id": 1, "n": "many"}`)
	rejected(t, k.Deliver(t.Context(), bad), map[int]string{0: "is no whole number"})
	bad[0].Headers.Set(flume.LetterID, "x-0")
	rejected(t, k.Deliver(t.Context(), bad), map[int]string{0: "is no whole number"})
	d.run("DROP TABLE t", "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)")
	rejected(t, k.Deliver(t.Context(), bad), nil)
	if got := d.rows("SELECT id, n FROM t"); got != "1 many" {
		t.Error(got)
	}
}

package sqllookup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/sqldb"
)

// A database is one to test with: SQLite's in a file, or a server that test/peers has started.
type database struct {
	t    testing.TB
	url  string
	conn *sqldb.Conn
}

func opened(t testing.TB, url string) *database {
	t.Helper()
	var s sqldb.Settings
	if _, problems := conf.Bind(&s, flumetest.Section(t, "url = "+url)); problems.Fatal() {
		t.Fatal(problems)
	}
	c, err := s.Connect(t.Context(), sqldb.Purpose{Name: "test", Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &database{t, url, c}
}

func sqlite(t testing.TB) *database {
	return opened(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
}

func (d *database) run(statements ...string) {
	d.t.Helper()
	for _, s := range statements {
		if err := d.conn.Exec(d.t.Context(), s); err != nil {
			d.t.Fatalf("%s: %v", s, err)
		}
	}
}

// people makes the table of most tests.
func (d *database) people() *database {
	d.t.Helper()
	d.run("DROP TABLE IF EXISTS people", "CREATE TABLE people (id INTEGER PRIMARY KEY, code VARCHAR(60), name VARCHAR(60))",
		"INSERT INTO people VALUES (1, 'a', 'Ann'), (2, 'b', 'Bob'), (3, 'c''\"x', 'Zoë O''Neill'), (4, 'd', NULL), (5, 'e', '')")
	return d
}

// settings are those of most tests, with others in their place.
func (d *database) settings(others string) []string {
	all := []string{"sql.url = " + d.url}
	others = "; " + others
	for _, s := range []string{"sql.table = people", "sql.key = id", "key.header = id", "header.name = name"} {
		key, _, _ := strings.Cut(s, "=")
		if !strings.Contains(others, "; "+key+"=") && (key != "key.header " || !strings.Contains(others, "; key.jsonPath")) {
			all = append(all, s)
		}
	}
	for s := range strings.SplitSeq(others[2:], "; ") {
		if s != "" {
			all = append(all, s)
		}
	}
	return all
}

func (d *database) lookup(env *flumetest.Env, settings string) *interceptor {
	d.t.Helper()
	i := flumetest.OpenIn(d.t, env, Kind, d.settings(settings)...)
	d.t.Cleanup(func() { i.Close() })
	return i.(*interceptor)
}

// batch makes events of words body,header=value,…
func batch(list string) flume.Batch {
	var b flume.Batch
	for word := range strings.FieldsSeq(list) {
		parts := strings.Split(word, ",")
		e := flume.Event{Body: []byte(parts[0])}
		for _, p := range parts[1:] {
			k, v, _ := strings.Cut(p, "=")
			e.Headers = append(e.Headers, flume.Header{Key: k, Value: v})
		}
		b = append(b, e)
	}
	return b
}

func show(b flume.Batch) string {
	var out []string
	for _, e := range b {
		word := string(e.Body)
		for _, h := range e.Headers {
			word += "," + h.Key + "=" + h.Value
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func TestLaws(t *testing.T) {
	d := sqlite(t)
	d.run("CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT)")
	for i := range 40 {
		d.run(fmt.Sprintf("INSERT INTO people VALUES (%d, 'name %d')", i, i))
	}
	d.conn.Close()
	for _, settings := range []string{"key.header = n; header.k0 = name", "key.jsonPath = $; missing = reject; unknown = reject; cache.rows = 0", "key.header = k1; cache.rows = 3; failure = wait"} {
		flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, d.settings(settings)...) })
	}
}

func TestIntercept(t *testing.T) {
	d := sqlite(t).people()
	for _, x := range []struct {
		settings string
		batches  string // separated by |
		want     string
		queries  int64
		rejected string
	}{
		{"", "x,id=1 y,id=2 z,id=1 no v,id=9", "x,id=1,name=Ann y,id=2,name=Bob z,id=1,name=Ann no v,id=9", 1, ""},
		{"", "x,id=1,name=old|y,id=1", "x,id=1,name=Ann|y,id=1,name=Ann", 1, ""},
		{"", "x,id=1|y,id=2 z,id=1|w,id=9|w,id=9", "x,id=1,name=Ann|y,id=2,name=Bob z,id=1,name=Ann|w,id=9|w,id=9", 3, ""},
		{"cache.rows = 0", "x,id=1|y,id=1", "x,id=1,name=Ann|y,id=1,name=Ann", 2, ""},
		{"cache.seconds = 0", "x,id=1|y,id=1|z,id=9|z,id=9", "x,id=1,name=Ann|y,id=1,name=Ann|z,id=9|z,id=9", 3, ""},
		{"cache.unknownSeconds = 0", "x,id=1|y,id=1|z,id=9|z,id=9", "x,id=1,name=Ann|y,id=1,name=Ann|z,id=9|z,id=9", 3, ""},
		{"cache.bytes = 300", "x,id=1 y,id=2|y,id=2 x,id=1", "x,id=1,name=Ann y,id=2,name=Bob|y,id=2,name=Bob x,id=1,name=Ann", 2, ""},
		{"preserveExisting = true", "x,id=1,name=old y,id=2", "x,id=1,name=old y,id=2,name=Bob", 1, ""},
		{"", "x,id=4,name=old y,id=5", "x,id=4,name=old y,id=5,name=", 1, ""}, // NULL is no value, an empty text is one
		{"", "x,id=01 y,id=+2 z,id=x w,id=1.0 v,id= u,id=99999999999999999999", "x,id=01,name=Ann y,id=+2,name=Bob z,id=x w,id=1.0 v,id= u,id=99999999999999999999", 1, ""},
		{"", "z,id=x", "z,id=x", 0, ""}, // which is no number: nobody is asked
		{"missing = reject", "x,id=1 y", "x,id=1,name=Ann", 1, `looking for the key in the header "id": it is not there`},
		{"unknown = reject", "x,id=9 y,id=1 z", "y,id=1,name=Ann z", 1, `looking up "9" in the column id of table people: there is no row`},
		{"key.jsonPath = $.u.id", `{"u":{"id":1}} {"u":{"id":"2"}} {"u":{}} text`, `{"u":{"id":1}},name=Ann {"u":{"id":"2"}},name=Bob {"u":{}} text`, 1, ""},
		{"key.jsonPath = $.id; missing = reject", `{"id":null}`, ``, 0, `looking for the key at $.id in the body`},
		{"sql.key = code; key.header = c; header.the.id = id", `x,c=a y,c=A z,c=c'"x w,c=\\ v,c=`, `x,c=a,name=Ann,the.id=1 y,c=A z,c=c'"x,name=Zoë O'Neill,the.id=3 w,c=\\ v,c=`, 1, ""},
		{"sql.key = code; key.header = c", "x,c=a'OR'1'='1 y,c=\xff\xfe z,c=a\x00", "x,c=a'OR'1'='1 y,c=\xff\xfe z,c=a\x00", 1, ""},
		{"sql.key = ID; header.name = NAME", "x,id=1", "x,id=1,name=Ann", 1, ""},
	} {
		env := flumetest.NewEnv()
		i := d.lookup(env, x.settings)
		var got, reasons []string
		for b := range strings.SplitSeq(x.batches, "|") {
			out, rejected, err := i.Intercept(t.Context(), batch(b))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, show(out))
			for _, r := range rejected {
				reasons = append(reasons, r.Err.Error())
			}
		}
		if got := strings.Join(got, "|"); got != x.want {
			t.Errorf("%s: %q became %q instead of %q", x.settings, x.batches, got, x.want)
		}
		if n := i.queries.Load(); n != x.queries {
			t.Errorf("%s: %q: %d queries instead of %d", x.settings, x.batches, n, x.queries)
		}
		if got := strings.Join(reasons, "|"); !strings.Contains(got, x.rejected) || (got == "") != (x.rejected == "") {
			t.Errorf("%s: %q: %q instead of %q", x.settings, x.batches, got, x.rejected)
		}
	}
}

// A batch whose keys are more than a statement may have asks again for the rest.
func TestManyKeys(t *testing.T) {
	d := sqlite(t)
	d.run("CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT)")
	i := d.lookup(flumetest.NewEnv(), "")
	var b flume.Batch
	long := strings.Repeat("x", 1000)
	for n := range 2000 {
		key := fmt.Sprint(long, n)
		if n%100 == 0 {
			d.run(fmt.Sprintf("INSERT INTO people VALUES ('%s', 'n%d')", key, n))
		}
		b = append(b, flume.Event{Headers: flume.Headers{{Key: "id", Value: key}}})
	}
	out, _, err := i.Intercept(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for n := range out {
		want := ""
		if n%100 == 0 {
			want = fmt.Sprint("n", n)
		}
		if got, _ := out[n].Headers.Get("name"); got != want {
			t.Fatalf("event %d has %q instead of %q", n, got, want)
		}
	}
	if n := i.queries.Load(); n < 2 || n > 10 {
		t.Error(n, "queries")
	}
}

// While the database is away batches fail, or pass without; what is remembered is written all the same. When it is there
// again they get their headers.
func TestAway(t *testing.T) {
	for _, failure := range []string{"fail", "pass"} {
		d := sqlite(t).people()
		env := flumetest.NewEnv()
		i := d.lookup(env, "failure = "+failure)
		if _, _, err := i.Intercept(t.Context(), batch("x,id=1")); err != nil {
			t.Fatal(err)
		}
		d.run("ALTER TABLE people RENAME TO elsewhere")
		for range 5 {
			out, _, err := i.Intercept(t.Context(), batch("x,id=1 y,id=2 z"))
			switch {
			case failure == "fail" && (err == nil || !strings.Contains(err.Error(), "looking up in table people of sqlite:") || !strings.Contains(err.Error(), "the table is not there")):
				t.Errorf("%v", err)
			case failure == "pass" && (err != nil || show(out) != "x,id=1,name=Ann y,id=2 z"):
				t.Errorf("%s, %v", show(out), err)
			}
			if _, _, err := i.Intercept(t.Context(), batch("x,id=1")); err != nil {
				t.Errorf("what is remembered failed: %v", err)
			}
		}
		if n := i.without.Load(); (n == 5) != (failure == "pass") {
			t.Errorf("%d events passed without", n)
		}
		d.run("ALTER TABLE elsewhere RENAME TO people")
		flumetest.Until(t, "the database is asked again", func() bool {
			out, _, err := i.Intercept(t.Context(), batch("y,id=2"))
			return err == nil && show(out) == "y,id=2,name=Bob"
		})
	}
}

// A batch that waits goes on when the database is there, or ends with its context.
func TestWait(t *testing.T) {
	d := sqlite(t)
	i := d.lookup(flumetest.NewEnv(), "failure = wait")
	done := make(chan string)
	go func() {
		out, _, err := i.Intercept(t.Context(), batch("x,id=1"))
		done <- fmt.Sprint(show(out), err)
	}()
	flumetest.Until(t, "it has failed once", func() bool {
		a := <-i.turn
		defer func() { i.turn <- a }()
		return a.err != nil
	})
	d.people()
	if got := <-done; got != "x,id=1,name=Ann<nil>" {
		t.Error(got)
	}
	d.run("DROP TABLE people")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _, err := i.Intercept(ctx, batch("x,id=2"))
		done <- fmt.Sprint(err)
	}()
	cancel()
	if got := <-done; !strings.Contains(got, "looking up in table people") {
		t.Error(got)
	}
}

// What is wrong with the table is said.
func TestWrongTable(t *testing.T) {
	d := sqlite(t).people()
	d.run("CREATE TABLE odd (id REAL, name TEXT)")
	for settings, want := range map[string]string{
		"sql.table = none":    "the table is not there",
		"sql.key = no":        "it has no column no (sql.key)",
		"header.name = no":    "it has no column no (header.name)",
		"sql.table = odd":     "the column id (sql.key) is REAL",
		"sql.table = none.no": "reading the columns of table none.no",
	} {
		_, _, err := d.lookup(flumetest.NewEnv(), settings).Intercept(t.Context(), batch("x,id=1"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", settings, err)
		}
	}
}

func TestSettings(t *testing.T) {
	d := &database{t: t, url: "sqlite:/x"}
	for settings, want := range map[string]string{
		"sql.table = a.b.c":              "is not table or schema.table",
		"key.header = ; key.jsonPath = ": "set one of them",
		"key.jsonPath = $[":              "key.jsonPath",
		"header.name = ":                 "names no column",
		"failure = later":                "failure",
		"header.deadletter.id = id":      "is a header of Sluice's own",
	} {
		if got := fmt.Sprint(flumetest.Problems(t, Kind, nil, d.settings(settings)...)); !strings.Contains(got, want) {
			t.Errorf("%s: %s", settings, got)
		}
	}
	plan, _ := Kind.Bind(flumetest.Section(t, d.settings("header.b = id")...))
	s := plan.Settings.(*Settings)
	if got := fmt.Sprint(s.Trace(flume.Known{"name": "x", "other": "y"}), s.Unsteady()); got != "map[other:y] [b name]" && got != "map[other:y] [name b]" {
		t.Error(got)
	}
}

// What is remembered stays within its bounds, the latest used rows, and ends with its time.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(3, 1<<20, 10*time.Second, 2*time.Second)
		ask := func(keys string) string {
			r := &round{}
			for k := range strings.FieldsSeq(keys) {
				r.keys, r.rows, r.state = append(r.keys, k), append(r.rows, nil), append(r.state, asking)
			}
			c.look(r)
			var out []string
			for n, s := range r.state {
				switch {
				case s == asking:
					out = append(out, "?")
				case r.rows[n] == nil:
					out = append(out, "-")
				default:
					out = append(out, string(r.rows[n][0]))
				}
			}
			return strings.Join(out, " ")
		}
		want := func(keys, want string) {
			t.Helper()
			if got := ask(keys); got != want {
				t.Errorf("%s: %s instead of %s", keys, got, want)
			}
		}
		c.keep(map[string]row{"a": {[]byte("A")}, "n": nil})
		c.keep(map[string]row{"b": {[]byte("B")}})
		want("a b n z", "A B - ?")
		want("a", "A")
		c.keep(map[string]row{"c": {[]byte("C")}}) // b was used before n
		want("b", "?")
		want("a n c", "A - C")
		time.Sleep(2 * time.Second)
		want("a n c", "A ? C")
		time.Sleep(8 * time.Second)
		want("a n c", "? ? ?")
		if len(c.entries) != 0 || c.bytes != 0 || c.ring.next != &c.ring {
			t.Error("something is left", c.entries, c.bytes)
		}
		c.most, c.mostBytes = 1000, 2000
		for n := range 500 {
			c.keep(map[string]row{fmt.Sprint(n): {[]byte("0123456789")}})
			if c.bytes > 2000 {
				t.Fatal(c.bytes)
			}
		}
		if len(c.entries) < 6 {
			t.Error(len(c.entries), "rows are remembered")
		}
		c.keep(map[string]row{"499": {make([]byte, 2000)}})
		want("499 498", "? 0123456789")
	})
}

// What a row counts is what it takes.
func TestCacheBytes(t *testing.T) {
	c := newCache(1<<30, 1<<30, time.Hour, time.Hour)
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	for n := range 100000 {
		c.keep(map[string]row{fmt.Sprint(n): {[]byte("0123456789"), nil}})
	}
	if took := heap() - before; took > c.bytes || took < c.bytes/4 {
		t.Errorf("%d bytes are counted, and %d taken", c.bytes, took)
	}
	runtime.KeepAlive(c)
}

// Batches that come at once ask for one key once.
func TestAtOnce(t *testing.T) {
	d := sqlite(t).people()
	i := d.lookup(flumetest.NewEnv(), "")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			out, _, err := i.Intercept(t.Context(), batch("x,id=1 y,id=9"))
			if err != nil || show(out) != "x,id=1,name=Ann y,id=9" {
				t.Error(show(out), err)
			}
		})
	}
	wg.Wait()
	if n := i.queries.Load(); n != 1 {
		t.Error(n, "queries")
	}
}

// An agent's start does not wait for the database, and its end leaves nothing.
func TestOpenWithoutDatabase(t *testing.T) {
	d := &database{t: t, url: "sqlite:" + filepath.Join(t.TempDir(), "none.db")}
	i := d.lookup(flumetest.NewEnv(), "")
	if _, _, err := i.Intercept(t.Context(), batch("x,id=1")); err == nil {
		t.Error("a database that is not there was asked")
	}
	if _, err := os.Stat(strings.TrimPrefix(d.url, "sqlite:")); err == nil {
		t.Error("it was made")
	}
}

func FuzzKeys(f *testing.F) {
	for _, s := range []string{"", "7", "-07", "+1", "0x1", "1e3", "a ", " a", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "\x00", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for f := exact; f <= uuid; f++ {
			one, ok := f.of(s)
			if !ok {
				continue
			}
			if two, ok := f.of(one); !ok || two != one {
				t.Errorf("form %d of %q is %q, of which it is %q", f, s, one, two)
			}
			if (f == whole || f == unsigned) && strings.Trim(one, "-0123456789") != "" {
				t.Errorf("%q is written %s", s, one)
			}
		}
	})
}

// Of events that are remembered a batch costs what a batch costs.
func TestAllocations(t *testing.T) {
	i := sqlite(t).people().lookup(flumetest.NewEnv(), "")
	b := make(flume.Batch, 100)
	for n := range b {
		b[n].Headers = flume.Headers{{Key: "id", Value: "1"}}
	}
	if _, _, err := i.Intercept(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() {
		if _, _, err := i.Intercept(t.Context(), b); err != nil {
			t.Error(err)
		}
	}); got > 40 {
		t.Errorf("%v allocations for a batch of 100", got)
	}
}

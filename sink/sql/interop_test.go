//go:build interop

package sql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/sqldb"
	"github.com/sluice-io/sluice/internal/supervise"
)

// The tests of this file write to real servers of test/peers. Those that do not run are started before the first test and
// stopped behind the last. PEERS_DATA says where, PEERS_PORT_BASE on which ports.

func TestMain(m *testing.M) {
	if os.Getenv("PEERS_DATA") == "" {
		fmt.Fprintln(os.Stderr, "PEERS_DATA is not set: the folder that the servers keep their data in")
		os.Exit(1)
	}
	var started []string
	status := 1
	for _, name := range serverNames() {
		if _, err := peers(name, "status"); err == nil {
			continue
		}
		started = append(started, name)
		if out, err := peers(name, "start"); err != nil {
			fmt.Fprintln(os.Stderr, out, err)
			status = -1
		}
	}
	if status >= 0 {
		status = m.Run()
	}
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	for _, name := range started {
		if out, err := peers(name, "stop"); err != nil {
			fmt.Fprintln(os.Stderr, out, err)
		}
	}
	os.Exit(max(status, -status))
}

func serverNames() []string { return []string{"postgres", "mariadb"} }

// peers runs the tool in a folder and on ports of this package's own, next to those of others that run at once.
func peers(args ...string) (string, error) {
	cmd := exec.Command("../../test/peers/peers", args...)
	dir := filepath.Join(os.Getenv("PEERS_DATA"), "sink-sql")
	cmd.Env = append(os.Environ(), "PEERS_DATA="+dir)
	if _, err := os.Stat(filepath.Join(dir, args[0], "port")); err != nil && os.Getenv("PEERS_PORT_BASE") == "" && args[1] == "start" {
		if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
			_, port, _ := net.SplitHostPort(l.Addr().String())
			l.Close()
			cmd.Env = append(cmd.Env, "PEERS_"+strings.ToUpper(args[0])+"_PORT="+port)
		}
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func mustPeers(t testing.TB, args ...string) string {
	t.Helper()
	out, err := peers(args...)
	if err != nil {
		t.Fatalf("peers %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// servers runs a test on each.
func servers(t *testing.T, test func(t *testing.T, d *database)) {
	for _, name := range serverNames() {
		t.Run(name, func(t *testing.T) { test(t, opened(t, address(t, name))) })
	}
}

func address(t *testing.T, name string) string {
	_, rest, _ := strings.Cut(mustPeers(t, name, "status"), "running, ")
	at, _, _ := strings.Cut(rest, ",")
	if name == "postgres" {
		return "postgres://sluice@" + at + "/postgres?sslmode=disable"
	}
	return "mariadb://sluice@" + at + "/sluice"
}

func TestServers(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, d *database){
		"rows": testRows, "bad rows": testBadRows, "upsert": testUpsert, "tables of headers": testTablesOfHeaders, "exactly once": testExactlyOnce,
	} {
		t.Run(name, func(t *testing.T) { servers(t, test) })
	}
}

// scale is the part of the full size that SLUICE_SCALE asks for.
func scale(t testing.TB, full int) int {
	part := 0.02
	if text := os.Getenv("SLUICE_SCALE"); text != "" {
		var err error
		if part, err = strconv.ParseFloat(text, 64); err != nil {
			t.Fatal(err)
		}
	}
	return max(10, int(part*float64(full)))
}

// Of 1,000,000 rows 500 are bad, in five ways.
func TestScatteredOnServers(t *testing.T) {
	n, bad := scale(t, 1_000_000), scale(t, 500)
	test := func(t *testing.T, d *database) {
		t.Logf("%d rows, %d bad: %.0f rows a second", n, bad, scattered(t, d, n, bad))
	}
	servers(t, test)
	t.Run("sqlite", func(t *testing.T) { test(t, sqlite(t)) })
}

// killSinks ends the connections of sinks.
func (d *database) killSinks() {
	if d.conn.Dialect == sqldb.Postgres {
		d.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sluice %'")
		return
	}
	ids := d.rows("SELECT id FROM information_schema.processlist WHERE user = 'sluice' AND db = 'sluice' AND id <> CONNECTION_ID() AND id <> " + d.spared)
	for id := range strings.SplitSeq(ids, ", ") {
		_ = d.conn.Exec(context.Background(), "KILL "+id) // which may have ended
	}
}

// A connection that is lost fails the batch as a whole, once; with it nothing is in.
func TestConnectionKilled(t *testing.T) {
	servers(t, func(t *testing.T, d *database) {
		d.bad()
		k := d.sink(badColumns()...)
		for i := range 20 {
			b := events(fmt.Sprintf(`{"id": %d, "name": "x"}`, i), `{"id": 0, "name": "x"}`)
			d.killSinks()
			if err := k.Deliver(t.Context(), b[:1]); err == nil || sqldb.FaultOf(err) != sqldb.Broken {
				t.Fatal(err)
			} else if partial := (*flume.PartialError)(nil); errors.As(err, &partial) {
				t.Fatalf("%+v", partial)
			}
			if i == 0 {
				b = b[:1]
			}
			if got := rejections(t, k.Deliver(t.Context(), b)); len(got) != len(b)-1 {
				t.Fatal(got)
			}
		}
		if got := d.rows("SELECT count(*) FROM t"); got != "20" {
			t.Error(got)
		}
	})
}

// The same while a delivery is under way: what was answered with nil is in, once, and all is in in the end.
func TestConnectionsKilledUnderLoad(t *testing.T) {
	servers(t, func(t *testing.T, d *database) {
		d.bad()
		k := d.sink(badColumns("sql.mode = ignore", "sql.key = id")...)
		n := scale(t, 500_000)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		other := opened(t, d.url)
		if d.conn.Dialect == sqldb.MySQL {
			other.spared = d.rows("SELECT CONNECTION_ID()")
		}
		wg.Go(func() {
			for supervise.Sleep(ctx, 100*time.Millisecond) == nil {
				other.killSinks()
			}
		})
		failures := 0
		for from := 0; from < n; from += 1000 {
			var b flume.Batch
			for i := from; i < min(from+1000, n); i++ {
				b = append(b, flume.Event{Body: fmt.Appendf(nil, `{"id": %d, "n": 1, "name": "n", "parent": 1}`, i)})
			}
			for k.Deliver(t.Context(), b) != nil {
				failures++
			}
		}
		cancel()
		wg.Wait()
		if got, want := d.rows("SELECT count(*) FROM t"), fmt.Sprint(n); got != want {
			t.Errorf("%s rows, want %s", got, want)
		}
		t.Log(n, "rows,", failures, "deliveries failed")
	})
}

func TestServerRestarted(t *testing.T) {
	for _, name := range serverNames() {
		t.Run(name, func(t *testing.T) {
			address := address(t, name)
			d := opened(t, address)
			d.bad()
			k := d.sink(badColumns()...)
			for i, end := range []string{"stop", "kill"} {
				b := events(fmt.Sprintf(`{"id": %d, "name": "x"}`, i))
				mustPeers(t, name, end)
				for range 3 {
					if err := k.Deliver(t.Context(), b); err == nil || sqldb.FaultOf(err) != sqldb.Broken {
						t.Fatal(err)
					}
				}
				mustPeers(t, name, "start")
				if err := k.Deliver(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			if got := opened(t, d.url).rows("SELECT count(*) FROM t"); got != "2" {
				t.Error(got)
			}
		})
	}
}

// Two sinks that write the same rows in opposite order stand in each other's way; both come through.
func TestDeadlocks(t *testing.T) {
	servers(t, func(t *testing.T, d *database) {
		d.bad()
		if d.conn.Dialect == sqldb.Postgres {
			d.run("ALTER ROLE sluice SET deadlock_timeout = '20ms'")
			t.Cleanup(func() { d.run("ALTER ROLE sluice RESET deadlock_timeout") })
		}
		var wg sync.WaitGroup
		var sinks []*sink
		for w := range 2 {
			k := d.sink(badColumns("sql.mode = upsert", "sql.key = id")...)
			sinks = append(sinks, k)
			wg.Go(func() {
				for round := range 30 {
					var b flume.Batch
					for i := range 200 {
						if w == 1 {
							i = 199 - i
						}
						b = append(b, flume.Event{Body: fmt.Appendf(nil, `{"id": %d, "n": %d, "name": "w%d"}`, i, round, w)})
					}
					if err := k.Deliver(t.Context(), b); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := d.rows("SELECT count(*), min(n) FROM t"); got != "200 29" {
			t.Error(got)
		}
		n := int64(0)
		for _, k := range sinks {
			n += k.repeated.Load()
		}
		if n == 0 {
			t.Error("there was no deadlock")
		}
	})
}

// Two agents have the same events, and their connections are killed: each row is in once.
func TestExactlyOnceUnderLoad(t *testing.T) {
	servers(t, func(t *testing.T, d *database) {
		settings := d.prepared("sql.table = once", "sql.columns.id = $.id", "sql.types.id = INT", "sql.exactlyOnce = true")
		n := scale(t, 500_000)
		ctx, cancel := context.WithCancel(t.Context())
		other := opened(t, d.url)
		if d.conn.Dialect == sqldb.MySQL {
			other.spared = d.rows("SELECT CONNECTION_ID()")
		}
		var killer, wg sync.WaitGroup
		killer.Go(func() {
			for supervise.Sleep(ctx, 100*time.Millisecond) == nil {
				other.killSinks()
			}
		})
		var failures, repeats atomic.Int64
		for w := range 2 {
			k := d.sink(settings...)
			wg.Go(func() {
				size := 700 + 300*w
				for at := 0; at < n; at += size {
					var b flume.Batch
					for i := at; i < min(at+size, n); i++ {
						b = append(b, flume.Event{Body: fmt.Appendf(nil, `{"id": %d}`, i)})
					}
					from(b, 3, int64(at))
					for k.Deliver(t.Context(), b) != nil {
						failures.Add(1)
					}
				}
				repeats.Add(k.skipped.Load())
			})
		}
		wg.Wait()
		cancel()
		killer.Wait()
		if got, want := d.rows("SELECT count(*), count(DISTINCT id) FROM once"), fmt.Sprint(n, " ", n); got != want {
			t.Errorf("rows and different ones: %s, want %s", got, want)
		}
		t.Log(n, "rows twice,", failures.Load(), "deliveries failed,", repeats.Load(), "repetitions were seen")
	})
}

// A row that is too large for the server is bad, and does not stand in the way of others.
func TestRowTooLarge(t *testing.T) {
	d := opened(t, address(t, "mariadb"))
	d.run("DROP TABLE IF EXISTS large", "CREATE TABLE large (id INT, body LONGTEXT)")
	k := d.sink("sql.table = large", "sql.columns.id = %{id}", "sql.columns.body = body")
	b := events("id=1 x", "id=2 x", "id=3 x")
	b[1].Body = bytes.Repeat([]byte("x"), 40<<20)
	for range 2 {
		rejected(t, k.Deliver(t.Context(), b), map[int]string{1: "too large"})
	}
	if got := d.rows("SELECT id, count(*) FROM large GROUP BY id ORDER BY id"); got != "1 2, 3 2" {
		t.Error(got)
	}
}

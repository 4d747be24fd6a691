//go:build interop

package sqllookup

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// The tests of this file ask real servers of test/peers. Those that do not run are started before the first test and
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
	dir := filepath.Join(os.Getenv("PEERS_DATA"), "sqllookup")
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

func server(t *testing.T, name string) *database {
	_, rest, _ := strings.Cut(mustPeers(t, name, "status"), "running, ")
	at, _, _ := strings.Cut(rest, ",")
	if name == "postgres" {
		return opened(t, "postgres://sluice@"+at+"/postgres?sslmode=disable")
	}
	return opened(t, "mariadb://sluice@"+at+"/sluice")
}

// Keys of each kind find their rows, and what can be no key of the column fails nothing.
func TestServers(t *testing.T) {
	for _, name := range serverNames() {
		t.Run(name, func(t *testing.T) {
			d := server(t, name)
			d.people()
			if name == "mariadb" {
				d.run("SET SESSION sql_mode = ''")
			}
			d.run("DROP TABLE IF EXISTS kinds",
				"CREATE TABLE kinds (num SMALLINT, big BIGINT, fixed CHAR(6), word VARCHAR(20), u UUID, yes BOOLEAN, at TIMESTAMP, amount NUMERIC(10,2))",
				"INSERT INTO kinds VALUES (7, -9223372036854775808, 'ab', 'Größe', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true, '2026-11-21 10:00:00', 1.50)",
				"CREATE INDEX kinds_num ON kinds (num)")
			want := map[string]string{"postgres": "yes=true at=2026-11-21 10:00:00 amount=1.50", "mariadb": "yes=1 at=2026-11-21 10:00:00 amount=1.50"}[name]
			for _, x := range []struct{ column, keys string }{
				{"num", "7 07 !99999 !7.0 !x !99999999999999999999 !70000"},
				{"big", "-9223372036854775808 !9223372036854775808 !1"},
				{"fixed", "ab !AB !abc"},
				{"word", "Größe !größe !Grosse !😀 !\xff !a\x00b !a\\ !it's !'||version()||'"},
				{"u", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 A0EEBC999C0B4EF8BB6D6BB9BD380A11 {a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11} !a0eebc99 !x"},
			} {
				i := d.lookup(flumetest.NewEnv(), "sql.table = kinds; sql.key = "+x.column+"; header.yes = yes; header.at = at; header.amount = amount; header.name = word")
				var b flume.Batch
				var found []bool
				for key := range strings.FieldsSeq(x.keys) {
					key, none := strings.CutPrefix(key, "!")
					found = append(found, !none)
					b = append(b, flume.Event{Headers: flume.Headers{{Key: "id", Value: key}}})
				}
				out, _, err := i.Intercept(t.Context(), b)
				if err != nil {
					t.Errorf("%s: %v", x.column, err)
					continue
				}
				for n, e := range out {
					var got []string
					for _, h := range e.Headers {
						if h.Key != "id" && h.Key != "name" {
							got = append(got, h.Key+"="+h.Value)
						}
					}
					if (strings.Join(got, " ") == want) != found[n] || (len(got) > 0) != found[n] {
						t.Errorf("%s: %q got %q", x.column, e.Headers[0].Value, got)
					}
				}
				if n := i.queries.Load(); n != 1 {
					t.Errorf("%s: %d queries", x.column, n)
				}
			}
		})
	}
}

// A connection that is killed while nobody uses it is opened anew, and no batch sees it. While the server is away batches
// fail; with pass they go on; then all is as before.
func TestServerAway(t *testing.T) {
	for _, name := range serverNames() {
		t.Run(name, func(t *testing.T) {
			d := server(t, name).people()
			failing, passing := d.lookup(flumetest.NewEnv(), "cache.rows = 0"), d.lookup(flumetest.NewEnv(), "cache.rows = 0; failure = pass")
			good := func(i *interceptor) error {
				out, _, err := i.Intercept(t.Context(), batch("x,id=1"))
				if err == nil && show(out) != "x,id=1,name=Ann" {
					return fmt.Errorf("got %s", show(out))
				}
				return err
			}
			for _, i := range []*interceptor{failing, passing} {
				if err := good(i); err != nil {
					t.Fatal(err)
				}
			}
			if name == "postgres" {
				d.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sluice %'")
				for _, i := range []*interceptor{failing, passing} {
					if err := good(i); err != nil {
						t.Error(err)
					}
				}
			}
			for _, end := range []string{"stop", "kill"} {
				mustPeers(t, name, end)
				for range 3 {
					if err := good(failing); err == nil || !strings.Contains(err.Error(), "looking up in table people of ") {
						t.Error(err)
					}
					if out, _, err := passing.Intercept(t.Context(), batch("x,id=1")); err != nil || show(out) != "x,id=1" {
						t.Error(show(out), err)
					}
				}
				mustPeers(t, name, "start")
				for _, i := range []*interceptor{failing, passing} {
					flumetest.Until(t, "the server is asked again", func() bool { return good(i) == nil })
				}
			}
			if n := passing.without.Load(); n < 6 {
				t.Error(n, "events are counted")
			}
		})
	}
}

// 1000 different keys are one query, and the server uses the index.
func TestLarge(t *testing.T) {
	for _, name := range serverNames() {
		t.Run(name, func(t *testing.T) {
			d := server(t, name).people()
			var values []string
			for n := range 20000 {
				values = append(values, fmt.Sprintf("(%d, 'c%d', 'n%d')", n+100, n, n))
			}
			d.run("INSERT INTO people VALUES " + strings.Join(values, ", "))
			i := d.lookup(flumetest.NewEnv(), "")
			var b flume.Batch
			for n := range 1000 {
				b = append(b, flume.Event{Headers: flume.Headers{{Key: "id", Value: fmt.Sprint(n*20 + 100)}}})
			}
			out, _, err := i.Intercept(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			for n, e := range out {
				if got, _ := e.Headers.Get("name"); got != fmt.Sprint("n", n*20) {
					t.Fatal(n, got)
				}
			}
			if n := i.queries.Load(); n != 1 {
				t.Error(n, "queries")
			}
		})
	}
}

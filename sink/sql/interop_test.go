//go:build interop

package sql

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The tests of this file write to real servers of test/peers, which they start if they do not run, and leave so.
// PEERS_DATA and PEERS_PORT_BASE say where.

func peers(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("../../test/peers/peers", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("peers %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// servers runs a test on each.
func servers(t *testing.T, test func(t *testing.T, d *database)) {
	if os.Getenv("PEERS_DATA") == "" {
		t.Fatal("PEERS_DATA is not set: the folder that the servers keep their data in")
	}
	for _, name := range []string{"postgres", "mariadb"} {
		t.Run(name, func(t *testing.T) { test(t, serving(t, name)) })
	}
}

// serving is a server that runs; where it was started for the test it is stopped behind it.
func serving(t *testing.T, name string) *database {
	t.Helper()
	if exec.Command("../../test/peers/peers", name, "status").Run() != nil {
		peers(t, name, "start")
		t.Cleanup(func() { peers(t, name, "stop") })
	}
	return opened(t, address(t, name))
}

func address(t *testing.T, name string) string {
	_, rest, _ := strings.Cut(peers(t, name, "status"), "running, ")
	at, _, _ := strings.Cut(rest, ",")
	if name == "postgres" {
		return "postgres://sluice@" + at + "/postgres?sslmode=disable"
	}
	return "mariadb://sluice@" + at + "/sluice"
}

func TestServers(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, d *database){
		"rows": testRows, "bad rows": testBadRows, "upsert": testUpsert, "tables of headers": testTablesOfHeaders,
	} {
		t.Run(name, func(t *testing.T) { servers(t, test) })
	}
}

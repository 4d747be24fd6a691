//go:build interop

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A link is what two ends of an Avro connection agree on.
type link struct {
	name       string
	server     [][2]string // of an avro source
	client     [][2]string // of an avro sink, and of an RPC client
	onlySluice bool        // real Flume's source does not know it
}

func links() []link {
	k := stage.TLS
	deflate := [2]string{"compression-type", "deflate"}
	serve := func(file, typ string) [][2]string {
		return [][2]string{{"ssl", "true"}, {"keystore", file}, {"keystore-password", k.Password}, {"keystore-type", typ}}
	}
	trust := func(file, typ string) [][2]string {
		return [][2]string{{"ssl", "true"}, {"truststore", file}, {"truststore-password", k.Password}, {"truststore-type", typ}}
	}
	return []link{
		{name: "plain"},
		{name: "deflate", server: [][2]string{deflate}, client: [][2]string{deflate, {"compression-level", "9"}}},
		{name: "TLS with JKS", server: serve(k.KeyJKS, "JKS"), client: trust(k.TrustJKS, "JKS")},
		{name: "TLS with PKCS12", server: serve(k.KeyPKCS12, "PKCS12"), client: trust(k.TrustPKCS12, "PKCS12")},
		{name: "TLS with PEM", server: serve(k.KeyPEM, "PEM"), client: trust(k.TrustJKS, "JKS"), onlySluice: true},
		{name: "TLS without trust", server: serve(k.KeyJKS, "JKS"), client: [][2]string{{"ssl", "true"}, {"trust-all-certs", "true"}}},
		{name: "TLS and deflate", server: append(serve(k.KeyJKS, "JKS"), deflate), client: append(trust(k.TrustJKS, "JKS"), deflate)},
	}
}

// receiver starts B alone, with its Avro source's end of the link, and an oracle at its output.
func receiver(t *testing.T, flavor harness.Flavor, l link, load oracle.Load) (port int, ledger *oracle.Ledger, w *oracle.Watcher) {
	t.Helper()
	stage.FreshChannels(t)
	stage.Broker.Fresh(t, 1, "rpc")
	port = stage.Port(t)
	conf := stage.UserB(port).SetAll(harness.SourceB, l.server).Set(harness.SinkB+"topic", "rpc")
	stage.Agent(t, flavor, harness.AgentB, "b", conf).Start(t)
	ledger = oracle.NewLedger(load)
	w, err := oracle.Watch([]string{stage.Broker.Plain}, "rpc", oracle.Plain, ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return port, ledger, w
}

// Real Flume's avro-client and its Java RPC client send to Sluice's source.
func TestFlumeClients(t *testing.T) {
	for _, l := range links() {
		t.Run(l.name, func(t *testing.T) {
			if l.onlySluice && stage.StandIn {
				t.Skip("real Flume has no such key store")
			}
			const byLine, batch = 1000, 100
			each := stage.Count(20_000, 5_000)
			load := oracle.Load{Run: "rpc", Lanes: 4, Size: 150}
			port, ledger, w := receiver(t, harness.Sluice, l, load)
			for lane, more := range [][]string{{"--batch=100"}, {"--batch=1"}, {"--batch=100", "--threads=4"}} {
				count := each
				if lane == 1 {
					count = byLine
				}
				args := append([]string{"flume", "load", fmt.Sprintf("--port=%d", port), fmt.Sprintf("--count=%d", count),
					fmt.Sprintf("--run=%s %d", load.Run, lane), fmt.Sprintf("--size=%d", load.Size), "--retry-seconds=20"}, more...)
				for _, kv := range l.client {
					args = append(args, "--set."+kv[0]+"="+kv[1])
				}
				out, err := stage.Peers(t, 3*time.Minute, args...)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("RPC client %v: %s", more, out)
				for n := range count {
					ledger.Acked(lane, n, -1)
				}
			}
			dir := t.TempDir()
			var lines, properties []byte
			for n := range byLine {
				lines = append(load.Body(lines, 3, n), '\n')
				ledger.Acked(3, n, -1)
			}
			properties = fmt.Appendf(nil, "hosts = h1\nhosts.h1 = 127.0.0.1:%d\nbatch-size = %d\n", port, batch)
			for _, kv := range l.client {
				properties = fmt.Appendf(properties, "%s = %s\n", kv[0], kv[1])
			}
			for name, text := range map[string][]byte{"lines": lines, "rpc.properties": properties} {
				if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := stage.Peers(t, 2*time.Minute, "flume", "avro-send", "--rpcProps", filepath.Join(dir, "rpc.properties"),
				"--file", filepath.Join(dir, "lines")); err != nil {
				t.Fatal(err)
			}
			report := w.Await(20*time.Second, 3*time.Minute)
			stage.Proof(t, "%s", report)
			if err := report.Check(oracle.Rules{Duplicates: resent(stage.StandIn), Order: false}); err != nil {
				t.Error(err)
			}
		})
	}
}

// resent says how many duplicates a client may make. Flume's source refuses a batch that its channel has no room for
// within the keep-alive; a client then sends it again.
func resent(flume bool) int {
	if flume {
		return oracle.AnyDuplicates
	}
	return 0
}

// Sluice's sink sends to a real Flume's source.
func TestFlumeReceives(t *testing.T) {
	for _, l := range links() {
		if l.onlySluice {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			flow{
				load:  oracle.Load{Run: "sink", Lanes: 1, Events: stage.Count(20_000, 5_000), Size: 300},
				b:     harness.Flume,
				editA: func(c harness.Conf) harness.Conf { return c.SetAll(harness.SinkA, l.client) },
				editB: func(c harness.Conf) harness.Conf { return c.SetAll(harness.SourceB, l.server) },
			}.run(t, oracle.Rules{Order: true})
		})
	}
}

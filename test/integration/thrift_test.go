//go:build interop

package integration

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// threads is what a user has in his file.
const threads = "200"

// thriftConf is a user's agent: a Thrift source, a multiplexing selector on State, two channels, two topics.
func thriftConf(t *testing.T, port int, protocol string) harness.Conf {
	const s = "t1.sources.s1."
	c := harness.Conf("t1.sources = s1\nt1.channels = coin rest\nt1.sinks = kc kr\n").
		Set(s+"type", "thrift").Set(s+"bind", "127.0.0.1").Set(s+"port", fmt.Sprint(port)).
		Set(s+"threads", threads).Set(s+"protocol", protocol).
		Set(s+"channels", "coin rest").
		Set(s+"selector.type", "multiplexing").Set(s+"selector.header", "State").
		Set(s+"selector.mapping.coin_log", "coin").Set(s+"selector.default", "rest")
	dir := t.TempDir()
	for name, sink := range map[string]string{"coin": "kc", "rest": "kr"} {
		ch, k := "t1.channels."+name+".", "t1.sinks."+sink+"."
		c = c.Set(ch+"type", "file").Set(ch+"checkpointDir", dir+"/"+name+"-checkpoint").Set(ch+"dataDirs", dir+"/"+name+"-data").
			Set(k+"type", "org.apache.flume.sink.kafka.KafkaSink").Set(k+"channel", name).
			Set(k+"kafka.bootstrap.servers", stage.Broker.Plain).Set(k+"kafka.topic", "thrift-"+name).
			Set(k+"useFlumeEventFormat", "true").Set(k+"flumeBatchSize", "1000")
	}
	return c
}

// 200 connections of Python clients send events that are divided by a header between two file channels and topics.
func TestThriftPython(t *testing.T) {
	for _, protocol := range []string{"compact", "binary"} {
		t.Run(protocol, func(t *testing.T) {
			const connections = 200
			events := stage.Count(100_000, 20_000)
			stage.Broker.Fresh(t, 1, "thrift-coin", "thrift-rest")
			port := stage.Port(t)
			agent := stage.Agent(t, harness.Sluice, "t1", "t", thriftConf(t, port, protocol))
			agent.Start(t)

			var watchers []*oracle.Watcher
			var ledgers []*oracle.Ledger
			for _, run := range []string{"coin", "rest"} {
				state := map[string]string{"coin": "coin_log", "rest": "elsewhere"}[run]
				ledger := oracle.NewLedger(oracle.Load{Run: run, Lanes: connections, Size: 100, Headers: func(p oracle.Position) map[string]string {
					return map[string]string{"State": state, "number": fmt.Sprint(p.Number)}
				}})
				w, err := oracle.Watch([]string{stage.Broker.Plain}, "thrift-"+run, oracle.FlumeFormat, ledger)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(w.Close)
				watchers, ledgers = append(watchers, w), append(ledgers, ledger)
			}

			var did struct {
				Each     int
				Statuses map[string]int
				Faults   []string
				Seconds  float64
			}
			decode(t, python(t, "thrift_client.py", "load", fmt.Sprint(port), protocol, fmt.Sprint(events), fmt.Sprint(connections)), &did)
			if len(did.Faults) > 0 || did.Statuses["OK"] == 0 || len(did.Statuses) > 2 || len(did.Statuses) == 2 && did.Statuses["FAILED"] == 0 {
				t.Fatalf("the clients say %+v", did)
			}
			for i, ledger := range ledgers {
				for lane := range connections {
					for n := range (did.Each + 1 - i) / 2 {
						ledger.Acked(lane, n, 0)
					}
				}
				report := watchers[i].Await(20*time.Second, 3*time.Minute)
				stage.Proof(t, "%s: %s", ledger.Load().Run, report)
				if err := report.Check(oracle.Rules{Order: true}); err != nil {
					t.Error(err)
				}
			}
			stage.Proof(t, "%d connections, statuses %v, %.0f events a second", connections, did.Statuses, float64(events)/did.Seconds)
		})
	}
}

// A user's program connects anew for each call.
func TestThriftProgram(t *testing.T) {
	const rounds = 50
	stage.Broker.Fresh(t, 1, "thrift-coin", "thrift-rest")
	port := stage.Port(t)
	stage.Agent(t, harness.Sluice, "t1", "t", thriftConf(t, port, "compact")).Start(t)
	var did struct{ Statuses map[string]int }
	decode(t, python(t, "thrift_client.py", "program", fmt.Sprint(port), "compact", fmt.Sprint(rounds)), &did)
	if did.Statuses["OK"] != 2*rounds || len(did.Statuses) != 1 {
		t.Errorf("the client was answered %v", did.Statuses)
	}
	bodies := map[string]int{}
	for _, record := range read(t, "thrift-rest", rounds*101, time.Minute) {
		e, err := oracle.FlumeFormat(record)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Headers) != 2 || e.Headers["a"] != "hello" || e.Headers["b"] != "world" {
			t.Fatalf("headers %v", e.Headers)
		}
		bodies[string(e.Body)]++
	}
	if len(bodies) != 101 || bodies["text"] != rounds || bodies["text 99"] != rounds {
		t.Errorf("%d bodies, text came %d times", len(bodies), bodies["text"])
	}
}

// A full channel is FAILED, on a connection that stays; the source is Sluice's or, with SLUICE_AGENT=flume, Flume's.
func TestThriftChannelFull(t *testing.T) {
	for _, protocol := range []string{"compact", "binary"} {
		t.Run(protocol, func(t *testing.T) {
			port := stage.Port(t)
			const s, c, k = "t1.sources.s1.", "t1.channels.c1.", "t1.sinks.k1."
			conf := harness.Conf("t1.sources = s1\nt1.channels = c1\nt1.sinks = k1\n").
				Set(s+"type", "thrift").Set(s+"bind", "127.0.0.1").Set(s+"port", fmt.Sprint(port)).Set(s+"protocol", protocol).Set(s+"channels", "c1").
				Set(c+"type", "memory").Set(c+"capacity", "50").Set(c+"transactionCapacity", "10").Set(c+"keep-alive", "0").
				Set(k+"type", "avro").Set(k+"hostname", "127.0.0.1").Set(k+"port", "1").Set(k+"batch-size", "10").Set(k+"channel", "c1") // nobody is there
			agent := stage.Agent(t, harness.Sluice, "t1", "t", conf)
			agent.Start(t)
			var did struct {
				Taken int
				Last  []string
				Same  bool `json:"same_connection"`
			}
			decode(t, python(t, "thrift_client.py", "full", fmt.Sprint(port), protocol), &did)
			if did.Taken < 50 || fmt.Sprint(did.Last) != "[FAILED FAILED FAILED OK]" || !did.Same {
				t.Errorf("%+v", did)
			}
		})
	}
}

// thriftLinks are what two ends of a Thrift connection agree on.
func thriftLinks() []link {
	k := stage.TLS
	typ, binary := [2]string{"type", "thrift"}, [2]string{"protocol", "binary"}
	serve := [][2]string{typ, {"ssl", "true"}, {"keystore", k.KeyJKS}, {"keystore-password", k.Password}}
	trust := [][2]string{{"ssl", "true"}, {"truststore", k.TrustJKS}, {"truststore-password", k.Password}}
	return []link{
		{name: "compact", server: [][2]string{typ}},
		{name: "binary", server: [][2]string{typ, binary}, client: [][2]string{binary}},
		{name: "TLS", server: serve, client: trust},
	}
}

// Real Flume's Thrift RPC client sends to Sluice's source.
func TestFlumeThriftClients(t *testing.T) {
	for _, l := range thriftLinks() {
		t.Run(l.name, func(t *testing.T) {
			count := stage.Count(20_000, 5_000)
			load := oracle.Load{Run: "rpc", Lanes: 3, Size: 150}
			port, ledger, w := receiver(t, harness.Sluice, l, load)
			for lane, more := range [][]string{{"--batch=100"}, {"--batch=1"}, {"--batch=100", "--threads=4"}} {
				args := append([]string{"flume", "load", "--type=thrift", fmt.Sprintf("--port=%d", port), fmt.Sprintf("--count=%d", count),
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
			report := w.Await(20*time.Second, 3*time.Minute)
			stage.Proof(t, "%s", report)
			if err := report.Check(oracle.Rules{Duplicates: resent(stage.StandIn), Order: false}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Sluice's sink sends to a real Flume's source, and a real Flume's sink to Sluice's source.
func TestThriftBetweenAgents(t *testing.T) {
	for _, ends := range [][2]harness.Flavor{{harness.Sluice, harness.Flume}, {harness.Flume, harness.Sluice}, {harness.Sluice, harness.Sluice}} {
		for _, l := range thriftLinks() {
			t.Run(fmt.Sprintf("%s to %s, %s", ends[0], ends[1], l.name), func(t *testing.T) {
				flow{
					load: oracle.Load{Run: "sink", Lanes: 1, Events: stage.Count(20_000, 5_000), Size: 300},
					a:    ends[0], b: ends[1],
					editA: func(c harness.Conf) harness.Conf {
						return c.Set(harness.SinkA+"type", "thrift").SetAll(harness.SinkA, l.client)
					},
					editB: func(c harness.Conf) harness.Conf { return c.SetAll(harness.SourceB, l.server) },
				}.run(t, oracle.Rules{Order: true, Duplicates: resent(ends[1] == harness.Flume)})
			})
		}
	}
}

// 10,000 idle connections, garbage, half frames, lengths of 2 GB and clients that send a byte a second: memory is bounded,
// others are served, and each cause is a line in the log.
func TestThriftUnderSiege(t *testing.T) {
	if stage.StandIn {
		t.Skip("it says what Sluice promises")
	}
	port := stage.Port(t)
	const s, c, k = "t1.sources.s1.", "t1.channels.c1.", "t1.sinks.k1."
	agent := stage.Agent(t, harness.Sluice, "t1", "t", harness.Conf("t1.sources = s1\nt1.channels = c1\nt1.sinks = k1\n").
		Set(s+"type", "thrift").Set(s+"bind", "127.0.0.1").Set(s+"port", fmt.Sprint(port)).Set(s+"channels", "c1").Set(s+"threads", threads).
		Set(s+"max-memory", fmt.Sprint(32<<20)).
		Set(c+"type", "memory").Set(k+"type", "null").Set(k+"channel", "c1"))
	agent.Start(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	resident := func() int64 {
		n, err := harness.Resident(agent.PID())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	rpc, err := client.Open(client.Options{Address: address, Protocol: client.ThriftCompact})
	if err != nil {
		t.Fatal(err)
	}
	defer rpc.Close()
	serves := func(when string) {
		t.Helper()
		began := time.Now()
		for range 100 {
			if err := rpc.AppendBatch(t.Context(), flume.Batch{{Body: make([]byte, 1000)}}); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
		}
		within(t, "100 calls "+when, time.Since(began).Seconds(), 10, "s")
	}
	connect := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	serves("at first")
	atFirst := resident()

	const idle = 10_000
	call := []byte("\x00\x00\x00\x12\x82\x21\x04\x06append\x1c\x1b\x00\x18\x01x\x00\x00")
	for range idle {
		conn := connect()
		if _, err := conn.Write(call); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 18)); err != nil {
			t.Fatal(err)
		}
	}
	serves("beside idle connections")
	each := (resident() - atFirst) / idle
	within(t, "an idle connection", float64(each)/1024, 20, "KB")

	for range 100 { // each closes
		for _, garbage := range []string{"\x7f\xff\xff\xff", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x10no thrift at all"} {
			conn := connect()
			if _, err := conn.Write([]byte(garbage)); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Fatal("garbage is answered")
			}
			conn.Close()
		}
	}
	end := halves(connect, func(int) []byte { return append([]byte("\x00\xf0\x00\x00"), make([]byte, 100_000)...) },
		0, func() { serves("beside half frames") })
	within(t, "resident memory", float64(resident())/(1<<20), float64(atFirst)/(1<<20)+idle*20./1024+3*32, "MiB")
	end()
	log := agent.Log(t)
	saidOnce(t, log, "2147483647 bytes, where", "the peer speaks HTTP", "it starts with 6e 6f", "Clients have to wait, for calls hold as much as max-memory allows")
	if n := strings.Count(log, "level=ERROR") + strings.Count(log, " ERROR "); n > 0 {
		t.Errorf("%d errors", n)
	}
	stage.Proof(t, "%d idle connections cost %d bytes each; %d MiB resident in the end", idle, each, resident()>>20)
}

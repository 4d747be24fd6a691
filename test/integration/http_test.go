//go:build interop

package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/test/harness"
)

// Events over HTTP go where their headers say, at the time that they say, as events over Kafka do.
func TestHTTPHeadersChooseThePath(t *testing.T) {
	const topic = "http-p1-2012-06-23"
	stage.Broker.Fresh(t, 1, topic)
	port := stage.Port(t)
	const s, c, k = "h1.sources.s1.", "h1.channels.c1.", "h1.sinks.k1."
	agent := stage.Agent(t, harness.Sluice, "h1", "h", harness.Conf("h1.sources = s1\nh1.channels = c1\nh1.sinks = k1\n").
		Set(s+"type", "http").Set(s+"bind", "127.0.0.1").Set(s+"port", fmt.Sprint(port)).Set(s+"channels", "c1").
		Set(c+"type", "memory").Set(k+"type", "org.apache.flume.sink.kafka.KafkaSink").Set(k+"channel", "c1").
		Set(k+"kafka.bootstrap.servers", stage.Broker.Plain).Set(k+"kafka.topic", "http-%{project_id}-%Y-%m-%d"))
	agent.Start(t)
	type event struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	const events, each = 1000, 50
	for n := 0; n < events; n += each {
		var b []event
		for i := range each {
			b = append(b, event{map[string]string{"project_id": "p1", "timestamp": "1340459193234"}, fmt.Sprintf("event %d é", n+i)})
		}
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/", port), "application/json", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(stage.Broker.Plain), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n := 0
	for n < events {
		fetched := client.PollFetches(t.Context())
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			if want := fmt.Sprintf("event %d é", n); string(r.Value) != want {
				t.Fatalf("%q, want %q", r.Value, want)
			}
			n++
		})
	}
	stage.Proof(t, "%d events in their topic, in order", n)
}

// The HTTP source beside idle connections, garbage, half requests and clients that send a byte a second.
func TestHTTPUnderSiege(t *testing.T) {
	if stage.StandIn {
		t.Skip("it says what Sluice promises")
	}
	port := stage.Port(t)
	const s, c, k = "h1.sources.s1.", "h1.channels.c1.", "h1.sinks.k1."
	agent := stage.Agent(t, harness.Sluice, "h1", "h", harness.Conf("h1.sources = s1\nh1.channels = c1\nh1.sinks = k1\n").
		Set(s+"type", "http").Set(s+"bind", "127.0.0.1").Set(s+"port", fmt.Sprint(port)).Set(s+"channels", "c1").
		Set(s+"max-memory", fmt.Sprint(32<<20)).Set(s+"max-request-size", fmt.Sprint(16<<20)).Set(s+"ServerConnector.idleTimeout", "300000").
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
	body := `[{"headers":{"k":"v"},"body":"` + strings.Repeat("x", 1000) + `"}]`
	serves := func(when string) {
		t.Helper()
		began := time.Now()
		for range 100 {
			answer, err := http.Post("http://"+address, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s, %v", when, answer.Status, err)
			}
		}
		within(t, "100 requests "+when, time.Since(began).Seconds(), 10, "s")
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
	const head = "POST / HTTP/1.1\r\nHost: h\r\n"
	for range idle {
		conn := connect()
		if _, err := io.WriteString(conn, head+"Content-Length: 2\r\n\r\n[]"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil); err != nil {
			t.Fatal(err)
		}
	}
	serves("beside idle connections")
	each := (resident() - atFirst) / idle
	within(t, "an idle connection", float64(each)/1024, 30, "KB")

	var garbage sync.WaitGroup // each connection closes, after an answer or without, and some only after half a second
	for range 100 {
		for _, text := range []string{"\x7f\xff\xff\xff\r\n\r\n", head + "X: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", head + "Content-Length: 5000000000\r\n\r\n[{", "no HTTP at all\r\n\r\n"} {
			conn := connect()
			garbage.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, text) // the source may close the connection at any time
				if answer, _ := io.ReadAll(conn); bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
					t.Errorf("garbage is answered with %s", answer)
				}
			})
		}
	}
	garbage.Wait()
	end := halves(connect, func(i int) []byte {
		if i%4 == 0 {
			return []byte(head + "X: ")
		}
		return []byte(head + "Content-Length: 16000000\r\n\r\n[" + strings.Repeat(" ", 300_000))
	}, ' ', func() { serves("beside half requests") })
	within(t, "resident memory", float64(resident())/(1<<20), float64(atFirst)/(1<<20)+idle*30./1024+3*32, "MiB")
	end()
	log := agent.Log(t)
	saidOnce(t, log, "no request of HTTP, one whose head has more than 8192 bytes", "the body has more than 16777216 bytes", "Requests have to wait, for they hold as much as max-memory allows")
	if n := strings.Count(log, " ERROR source s1 "); n > 0 {
		t.Errorf("%d errors", n)
	}
	stage.Proof(t, "%d idle connections cost %d bytes each; %d MiB resident in the end", idle, each, resident()>>20)
}

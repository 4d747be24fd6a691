//go:build interop

package integration

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// Python programs write AvroFlumeEvents into Kafka. The good ones pass whole; an Avro container file as value, and a
// value with a Schema Registry's prefix, which Flume takes for an empty event, become dead letters that name the mistake.
func TestPythonValues(t *testing.T) {
	if stage.StandIn {
		t.Skip("real Flume has no dead letters")
	}
	count := stage.Count(10_000, 1_200)
	r := flow{
		load:  oracle.Load{Run: "python", Lanes: 1}, // for its topics
		editA: func(c harness.Conf) harness.Conf { return c.Set(harness.SourceA+"useFlumeEventFormat", "true") },
		editB: func(c harness.Conf) harness.Conf { return c.Set(harness.SinkB+"useFlumeEventFormat", "true") },
	}.start(t)
	r.watcher.Close()
	var made map[string]int
	decode(t, python(t, "avro_values.py", stage.Broker.Plain, harness.InputTopic, fmt.Sprint(count)), &made)
	mistakes := made["container"] + made["deflated"] + made["registry"]

	seen := make(map[string]bool, count)
	for _, record := range read(t, harness.OutputTopic, count, time.Minute) {
		e, err := oracle.FlumeFormat(record)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscanf(string(e.Body), "python 0 %d ", &n); err != nil {
			t.Errorf("an event that nobody wrote: %v, %q", e.Headers, e.Body)
			continue
		}
		if e.Headers["number"] != fmt.Sprint(n) || e.Headers["kéy"] != fmt.Sprintf("v€ %d", n) || e.Headers["topic"] != harness.OutputTopic {
			t.Errorf("headers of %d: %v", n, e.Headers)
		}
		if seen[e.Headers["number"]] {
			t.Errorf("%d came twice", n)
		}
		seen[e.Headers["number"]] = true
	}
	if len(seen) != count {
		t.Errorf("%d of %d events came out", len(seen), count)
	}

	r.A.Stop(t) // the dead letters are complete
	type letter struct {
		Headers                           map[string]string
		Body, Reason, Component, Position string
	}
	got := map[string]int{}
	files, err := r.A.DeadLetters()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(python(t, "dead_letters.py", files...)), "\n") {
		var l letter
		decode(t, line, &l)
		body, err := hex.DecodeString(l.Body)
		if err != nil {
			t.Fatal(err)
		}
		var kind, word string
		switch {
		case strings.HasPrefix(string(body), "Obj\x01") && strings.Contains(string(body), "deflate"):
			kind, word = "deflated", "container"
		case strings.HasPrefix(string(body), "Obj\x01"):
			kind, word = "container", "container"
		default:
			kind, word = "registry", "registry"
		}
		if got[kind]++; !strings.Contains(strings.ToLower(l.Reason), word) {
			t.Errorf("the reason of a %s value does not name it: %q", kind, l.Reason)
		}
		if !strings.Contains(l.Component, "s1") || !strings.Contains(l.Position, harness.InputTopic) {
			t.Errorf("component %q, position %q", l.Component, l.Position)
		}
	}
	for kind, n := range made {
		if got[kind] != n {
			t.Errorf("%d dead letters of kind %s, want %d", got[kind], kind, n)
		}
	}
	log := strings.ToLower(r.A.Log(t))
	for _, word := range []string{"container", "registry"} {
		if !strings.Contains(log, word) {
			t.Errorf("the log does not say %q", word)
		}
	}
	stage.Proof(t, "%d of %d events from Python's avro package came out with headers and bodies; %d mistakes, dead letters %v",
		len(seen), count, mistakes, got)
}

// python runs a program of testdata with the peers' interpreter.
func python(t *testing.T, program string, args ...string) string {
	t.Helper()
	path := interpreter(t)
	program, err := filepath.Abs(filepath.Join("testdata", program))
	if err != nil {
		t.Fatal(err)
	}
	out, err := stage.Run(t, 2*time.Minute, path, append([]string{program}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
}

//go:build interop

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	kept "github.com/sluice-io/sluice/internal/deadletter"
	"github.com/sluice-io/sluice/internal/event"
	"github.com/sluice-io/sluice/test/harness"
	"github.com/sluice-io/sluice/test/oracle"
)

// A shownLetter is a line of "deadletter list --json".
type shownLetter struct {
	ID, Component, Reason, Position, Body string
	Attempt                               int
	Tried                                 bool
	Headers                               map[string]string
}

// deadletter runs the command for an agent and wants a status.
func deadletter(t *testing.T, a *harness.Agent, status int, action string, more ...string) string {
	t.Helper()
	args := append([]string{"deadletter", action, "-n", a.Name, "--data-dir", filepath.Join(a.Home, "data")}, more...)
	r := stage.Sluice(t, time.Minute, nil, args...)
	if r.Status != status {
		t.Fatalf("sluice %s ended with status %d:\n%s", strings.Join(args, " "), r.Status, r.Output)
	}
	return r.Output
}

func letters(t *testing.T, a *harness.Agent, more ...string) []shownLetter {
	t.Helper()
	var out []shownLetter
	for line := range strings.Lines(deadletter(t, a, 0, "list", append(more, "--json")...)) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var l shownLetter
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// rejected waits until a component has rejected n events.
func rejected(t *testing.T, a *harness.Agent, component string, n int) {
	t.Helper()
	harness.Eventually(t, time.Minute, component+" rejects", func() error {
		got, err := a.Metric(component, "RejectedCount")
		if err == nil && got != fmt.Sprint(n) {
			err = errors.New(got + " so far")
		}
		return err
	})
}

func produce(t *testing.T, topic string, values ...[]byte) {
	t.Helper()
	cl, err := kgo.NewClient(stage.Broker.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, v := range values {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: v}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// decoding is an agent whose Kafka source wants AvroFlumeEvents.
const decoding = `a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.kafka.KafkaSource
a1.sources.r1.kafka.topics = ` + harness.InputTopic + `
a1.sources.r1.kafka.consumer.group.id = letters
a1.sources.r1.kafka.consumer.auto.offset.reset = earliest
a1.sources.r1.useFlumeEventFormat = true
a1.sources.r1.interceptors = i1
a1.sources.r1.interceptors.i1.type = static
a1.sources.r1.interceptors.i1.key = passed
a1.sources.r1.interceptors.i1.value = yes
a1.sources.r1.channels = c1
a1.channels.c1.type = file
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.kafka.topic = ` + harness.OutputTopic + `
a1.sinks.k1.allowTopicOverride = false
a1.sinks.k1.useFlumeEventFormat = true
a1.sinks.k1.channel = c1
`

func decodingConf(t *testing.T) harness.Conf {
	dir := fresh(t, "c1")
	return harness.Conf(decoding).Set("a1.sources.r1.kafka.bootstrap.servers", stage.Broker.Plain).
		Set("a1.sinks.k1.kafka.bootstrap.servers", stage.Broker.Plain).
		Set("a1.channels.c1.checkpointDir", dir+"/checkpoint").Set("a1.channels.c1.dataDirs", dir+"/data")
}

// Records that are no AvroFlumeEvents are listed, shown and, those that are chosen, replayed through the source's
// interceptors while the agent runs. Each arrives once.
func TestDecodeErrorsAreReplayed(t *testing.T) {
	if stage.StandIn {
		t.Skip("real Flume has no dead letters")
	}
	stage.Broker.Fresh(t, 1, harness.InputTopic, harness.OutputTopic)
	stage.Broker.FreshGroup(t, "letters", harness.InputTopic)
	a := stage.Agent(t, harness.Sluice, "a1", "letters", decodingConf(t))
	a.Start(t)
	good, bad := stage.Count(500, 50), stage.Count(100, 20)
	for i := range good {
		e := flume.Event{Headers: flume.Headers{{Key: "n", Value: fmt.Sprint(i)}}, Body: fmt.Appendf(nil, "good %d", i)}
		produce(t, harness.InputTopic, event.Append(nil, &e))
	}
	for i := range bad {
		produce(t, harness.InputTopic, fmt.Appendf(nil, "plain text %d of %s", i, map[bool]string{true: "mine", false: "others"}[i%2 == 0]))
	}
	rejected(t, a, "SOURCE.r1", bad)
	all := letters(t, a)
	if len(all) != bad {
		t.Fatalf("%d letters of %d", len(all), bad)
	}
	for i, l := range all {
		if l.Component != "a1.sources.r1" || l.Position != fmt.Sprintf("%s-0@%d", harness.InputTopic, good+i) || !strings.Contains(l.Reason, "AvroFlumeEvent") || !strings.HasPrefix(l.Body, fmt.Sprintf("plain text %d ", i)) {
			t.Fatalf("letter %d is %+v", i, l)
		}
	}
	if out := deadletter(t, a, 0, "show", "--where", "id="+all[0].ID); !strings.Contains(out, "header     topic = "+harness.InputTopic) || !strings.Contains(out, "plain text 0 of mine") {
		t.Errorf("shown is\n%s", out)
	}
	mine := (bad + 1) / 2
	if out := deadletter(t, a, 0, "replay", "--where", "body~mine$"); !strings.Contains(out, fmt.Sprintf("replayed %d letters\n", mine)) {
		t.Errorf("it says\n%s", out)
	}
	ids := map[string]bool{}
	for _, r := range read(t, harness.OutputTopic, good+mine, time.Minute) {
		e, err := oracle.FlumeFormat(r)
		if err != nil {
			t.Fatal(err)
		}
		if e.Headers["passed"] != "yes" {
			t.Errorf("it has not passed the interceptor: %v", e.Headers)
		}
		if id := e.Headers[flume.LetterID]; id != "" {
			if ids[id] || !strings.HasSuffix(string(e.Body), " of mine") {
				t.Errorf("replayed: %v %q", e.Headers, e.Body)
			}
			ids[id] = true
		}
	}
	if len(ids) != mine {
		t.Errorf("%d of %d arrived", len(ids), mine)
	}
	if left := letters(t, a); len(left) != bad-mine {
		t.Errorf("%d letters are left of %d", len(left), bad-mine)
	}
	deadletter(t, a, 0, "remove", "--where", "body~others$")
	if left := letters(t, a); len(left) != 0 {
		t.Errorf("%d letters are left", len(left))
	}
	a.Stop(t)
	if files, err := a.DeadLetters(); err != nil || len(files) > 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// Records that are larger than the topic takes are replayed: through the agent before anything is mended, when they become
// letters again, and into the channel of the stopped agent when the topic takes more. Each arrives once.
func TestOverlargeRecordsAreReplayed(t *testing.T) {
	if stage.StandIn {
		t.Skip("real Flume has no dead letters")
	}
	stage.Broker.Fresh(t, 1, harness.OutputTopic)
	cl, err := kgo.NewClient(stage.Broker.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	limit := func(bytes string) {
		t.Helper()
		answers, err := kadm.NewClient(cl).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, harness.OutputTopic)
		if err == nil {
			_, err = answers.On(harness.OutputTopic, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	limit("2000")
	dir, port := fresh(t, "c1"), stage.Port(t)
	conf := harness.Conf(seed).Set("seed.sources.r1.port", fmt.Sprint(port)).Set("seed.sinks.k1.kafka.bootstrap.servers", stage.Broker.Plain).
		Set("seed.channels.c1.checkpointDir", dir+"/checkpoint").Set("seed.channels.c1.backupCheckpointDir", dir+"/backup").
		Set("seed.channels.c1.dataDirs", dir+"/data")
	a := stage.Agent(t, harness.Sluice, "seed", "seed", conf)
	a.Start(t)
	rpc, err := client.Open(client.Options{Address: fmt.Sprintf("127.0.0.1:%d", port)})
	if err != nil {
		t.Fatal(err)
	}
	defer rpc.Close()
	small, large := stage.Count(1000, 100), stage.Count(200, 20)
	send := func(bodies ...string) {
		t.Helper()
		b := make(flume.Batch, len(bodies))
		for i, body := range bodies {
			b[i].Body = []byte(body)
		}
		if err := rpc.AppendBatch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	for i := range small {
		body := fmt.Sprintf("small %d", i)
		if i%(small/large) == 0 && i/(small/large) < large {
			send(body, fmt.Sprintf("large %d ", i)+strings.Repeat("x", 5000))
		} else {
			send(body)
		}
	}
	rejected(t, a, "SINK.k1", large)
	all := letters(t, a)
	if len(all) != large || all[0].Component != "seed.sinks.k1" || !strings.Contains(all[0].Reason, "max.message.bytes") || len(all[0].Body) < 5000 {
		t.Fatalf("%d letters of %d, the first %+v", len(all), large, all[0])
	}
	// Through the agent while nothing has been mended: they are letters again, with other identities.
	deadletter(t, a, 0, "replay")
	rejected(t, a, "SINK.k1", 2*large)
	again := letters(t, a)
	if len(again) != large || slices.ContainsFunc(again, func(l shownLetter) bool { return l.ID == all[0].ID }) {
		t.Fatalf("%d letters of %d", len(again), large)
	}
	a.Stop(t)
	limit("10485760")
	if out := deadletter(t, a, 2, "replay"); !strings.Contains(out, "does not run") {
		t.Errorf("without a configuration it says\n%s", out)
	}
	if out := deadletter(t, a, 0, "replay", "-f", a.File, "--to", "channel"); !strings.Contains(out, fmt.Sprintf("replayed %d letters\n", large)) {
		t.Errorf("it says\n%s", out)
	}
	a.Start(t)
	seen := map[string]int{}
	for _, r := range read(t, harness.OutputTopic, small+large, time.Minute) {
		seen[string(r.Value[:min(12, len(r.Value))])]++
	}
	for body, n := range seen {
		if n != 1 {
			t.Errorf("%q came %d times", body, n)
		}
	}
	if len(seen) != small+large {
		t.Errorf("%d of %d arrived", len(seen), small+large)
	}
}

// The letters of a source go to a topic, whole, and say in the record's headers what they are. What an http service
// refuses with 413 is listed, shown and replayed.
func TestLettersInATopicAndRefusedBodies(t *testing.T) {
	if stage.StandIn {
		t.Skip("real Flume has no dead letters")
	}
	const topic = "letters"
	stage.Broker.Fresh(t, 1, harness.InputTopic, topic)
	stage.Broker.FreshGroup(t, "letters", harness.InputTopic)
	var most atomic.Int64
	most.Store(20)
	var mu sync.Mutex
	var got []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if int64(len(body)) > most.Load() {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(body))
	}))
	defer service.Close()
	conf := decodingConf(t).Drop("a1.sinks.k1.").Set("a1.sinks.k1.type", "http").Set("a1.sinks.k1.endpoint", service.URL).Set("a1.sinks.k1.channel", "c1").
		Set("a1.sinks.k1.rollback.4XX", "false").Set("a1.sinks.k1.backoff.4XX", "false").
		Set("a1.sources.r1.deadletter", "kafka:"+topic).Set("a1.sources.r1.deadletter.kafka.bootstrap.servers", stage.Broker.Plain).
		Set("a1.sources.r1.deadletter.kafka.producer.acks", "all")
	a := stage.Agent(t, harness.Sluice, "a1", "letters", conf)
	a.Start(t)
	for _, body := range []string{"short", strings.Repeat("long ", 10), "as short"} {
		e := flume.Event{Headers: flume.Headers{{Key: "n", Value: "1"}}, Body: []byte(body)}
		produce(t, harness.InputTopic, event.Append(nil, &e))
	}
	produce(t, harness.InputTopic, []byte("no event"))
	rejected(t, a, "SOURCE.r1", 1)
	rejected(t, a, "SINK.k1", 1)
	record := read(t, topic, 1, time.Minute)[0]
	e, err := oracle.FlumeFormat(record)
	if err != nil || string(e.Body) != "no event" || e.Headers["topic"] != harness.InputTopic {
		t.Errorf("in the topic is %+v, %v", e, err)
	}
	told := map[string]string{}
	for _, h := range record.Headers {
		told[h.Key] = string(h.Value)
	}
	if told["deadletter.component"] != "a1.sources.r1" || told["deadletter.position"] != harness.InputTopic+"-0@3" || told["deadletter.id"] == "" || told["deadletter.reason"] != e.Headers["deadletter.reason"] {
		t.Errorf("the record's headers are %v", told)
	}
	all := letters(t, a)
	if len(all) != 1 || !strings.Contains(all[0].Reason, "413") || all[0].Headers["passed"] != "yes" {
		t.Fatalf("letters %+v", all)
	}
	if out := deadletter(t, a, 0, "show"); !strings.Contains(out, "long long long") {
		t.Errorf("shown is\n%s", out)
	}
	most.Store(1000)
	deadletter(t, a, 0, "replay")
	harness.Eventually(t, 30*time.Second, "it is delivered", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(got) != 3 {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	if left := letters(t, a); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

// A replay into a file channel is killed again and again, at any moment: every letter is in the channel, under its
// identity, and only those come twice of which the list says that nobody knows.
func TestReplayKilled(t *testing.T) {
	if stage.StandIn {
		t.Skip("real Flume has no dead letters")
	}
	const each = 5000
	kills := stage.Count(200, 25)
	random := stage.Rand(t)
	dir := fresh(t, "c1")
	a := stage.Agent(t, harness.Sluice, "a1", "killed", harness.Conf(`a1.channels = c1
a1.sinks = k1
a1.channels.c1.type = file
a1.channels.c1.capacity = 5000000
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`).Set("a1.channels.c1.checkpointDir", dir+"/checkpoint").Set("a1.channels.c1.dataDirs", dir+"/data"))
	written := 0
	write := func() {
		t.Helper()
		l := kept.New(filepath.Join(a.Home, "data", "deadletter", "a1"), "a1", 1<<30)
		some := make([]flume.Rejection, each)
		for i := range some {
			some[i] = flume.Rejection{Event: flume.Event{Body: fmt.Appendf(nil, "letter %d", written)}, Err: errors.New("no")}
			written++
		}
		if err := errors.Join(l.Write("a1.sinks.k1", some...), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write()
	began := time.Now()
	deadletter(t, a, 0, "replay", "-f", a.File)
	long := time.Since(began)
	doubted := map[string]bool{}
	killed := 0
	for range kills {
		write()
		cmd := exec.CommandContext(t.Context(), stage.Binary(), "deadletter", "replay", "-n", "a1", "-f", a.File, "--data-dir", filepath.Join(a.Home, "data"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(long))))
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err != nil {
			killed++
		}
		for _, l := range letters(t, a, "--where", "body~letter") {
			if l.Tried {
				doubted[l.Body] = true
			}
		}
	}
	out := deadletter(t, a, 0, "replay", "-f", a.File)
	if left := letters(t, a); len(left) != 0 {
		t.Errorf("%d letters are left", len(left))
	}
	seen := map[string]string{}
	copies := 0
	for line := range strings.Lines(stage.Sluice(t, time.Minute, nil, "channel", "export", dir).Output) {
		var e struct {
			Headers map[string]string
			Body    string
		}
		if !strings.HasPrefix(line, "{") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if id, was := seen[e.Body]; was {
			copies++
			if id != e.Headers[flume.LetterID] {
				t.Errorf("%s has the identities %s and %s", e.Body, id, e.Headers[flume.LetterID])
			}
			if !doubted[e.Body] {
				t.Errorf("%s came twice, and nobody said that it might", e.Body)
			}
		}
		seen[e.Body] = e.Headers[flume.LetterID]
	}
	if len(seen) != written {
		t.Errorf("%d of %d letters are in the channel", len(seen), written)
	}
	t.Logf("%d letters, killed %d times: %d in doubt, %d came twice; the last replay: %s", written, killed, len(doubted), copies, out)
}

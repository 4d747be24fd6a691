package stats

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func get(t *testing.T, r *Registry, method, path string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Result()
}

func page(t *testing.T, r *Registry) (string, map[string]map[string]string) {
	t.Helper()
	res := get(t, r, "GET", "/metrics")
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string]string // every value is a string
	if err := json.Unmarshal(body.Bytes(), &all); err != nil {
		t.Fatalf("%v in %s", err, &body)
	}
	return body.String(), all
}

func TestThePageIsFlumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		var r Registry
		source, channel := r.Component(Source, "r1"), r.Component(Channel, "c1")
		r.Component(Sink, `k"1`)
		if r.Component(Source, "r1") != source {
			t.Error("two sets of counters for one component")
		}
		channel.Started(log)
		channel.Counter("ChannelCapacity").Store(30)
		channel.Counter("ChannelSize").Store(10)
		channel.Counter("Open").Store(1)
		source.Counter("EventReceivedCount").Add(5)
		source.Counter("KafkaEmptyCount").Add(3)
		source.Started(log)
		time.Sleep(time.Second)
		source.Stopped(log)
		text, all := page(t, &r)
		if strings.ContainsAny(text, " \n\t") {
			t.Errorf("not compact: %s", text)
		}
		for _, test := range []struct{ key, attribute, value string }{
			{"CHANNEL.c1", "Type", "CHANNEL"},
			{"CHANNEL.c1", "ChannelFillPercentage", "33.33333333333333"},
			{"CHANNEL.c1", "ChannelSize", "10"},
			{"CHANNEL.c1", "ChannelCapacity", "30"},
			{"CHANNEL.c1", "Open", "true"},
			{"CHANNEL.c1", "StartTime", "946684800000"},
			{"CHANNEL.c1", "StopTime", "0"},
			{"CHANNEL.c1", "EventTakeSuccessCount", "0"},
			{"SOURCE.r1", "EventReceivedCount", "5"},
			{"SOURCE.r1", "KafkaEmptyCount", "3"},
			{"SOURCE.r1", "StopTime", "946684801000"},
			{`SINK.k"1`, "BatchUnderflowCount", "0"},
			{`SINK.k"1`, "StartTime", "0"},
		} {
			if got, ok := all[test.key][test.attribute]; !ok || got != test.value {
				t.Errorf("%s %s = %q, want %q", test.key, test.attribute, got, test.value)
			}
		}
		for key, n := range map[string]int{"SOURCE.r1": 15, "CHANNEL.c1": 11, `SINK.k"1`: 14} {
			if len(all[key]) != n {
				t.Errorf("%s has %d attributes, want %d: %v", key, len(all[key]), n, all[key])
			}
		}
	})
}

func TestRequestsThatAreNotForThePage(t *testing.T) {
	for _, test := range []struct {
		method, path string
		status       int
		content      string
	}{
		{"GET", "/metrics", 200, "application/json;charset=utf-8"},
		{"GET", "/Metrics", 200, "application/json;charset=utf-8"},
		{"POST", "/metrics", 200, "application/json;charset=utf-8"},
		{"GET", "/", 200, "text/html;charset=utf-8"},
		{"GET", "/metrics/", 404, ""},
		{"GET", "/x", 404, ""},
		{"TRACE", "/metrics", 403, ""},
		{"OPTIONS", "/", 403, ""},
	} {
		res := get(t, new(Registry), test.method, test.path)
		if res.StatusCode != test.status || res.Header.Get("Content-Type") != test.content {
			t.Errorf("%s %s: %d %s", test.method, test.path, res.StatusCode, res.Header.Get("Content-Type"))
		}
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(get(t, new(Registry), "GET", "/metrics").Body); err != nil || body.String() != "{}" {
		t.Errorf("an empty page is %q, %v", &body, err)
	}
}

func TestJavaDoubles(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 100: "100.0", 33.3: "33.3", 0.5: "0.5", 0.001: "0.001", 0.00099: "9.9E-4", 1e-10: "1.0E-10",
		9999999: "9999999.0", 1e7: "1.0E7", 12345678.9: "1.23456789E7", 1e100: "1.0E100",
		math.MaxFloat64: "1.7976931348623157E308",
	} {
		if got := javaDouble(f); got != want {
			t.Errorf("%g is %q, want %q", f, got, want)
		}
	}
	if got := javaDouble(fill(0, 0)); got != "1.7976931348623157E308" {
		t.Errorf("a channel without a capacity is full to %s", got)
	}
}

func TestTheLastWordsOfAComponent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key != slog.MessageKey {
				return slog.Attr{}
			}
			return a
		}}))
		var r Registry
		never := r.Component(Sink, "k2")
		never.Stopped(log)
		if out.Len() > 0 {
			t.Errorf("one that never started says %s", &out)
		}
		c := r.Component(Sink, "k1")
		c.Started(log)
		c.Counter("EventDrainSuccessCount").Add(42)
		c.Counter("KafkaEventSendTimer").Add(1)
		c.Stopped(log)
		var lines []string
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "msg="), `"`))
		}
		const head = "Shutdown Metric for type: SINK, name: k1. "
		want := []string{
			"Component type: SINK, name: k1 started", "Component type: SINK, name: k1 stopped",
			head + "sink.start.time == 946684800000", head + "sink.stop.time == 946684800000",
			head + "channel.kafka.event.send.time == 1",
			head + "sink.batch.complete == 0", head + "sink.batch.empty == 0", head + "sink.batch.underflow == 0",
			head + "sink.channel.read.fail == 0", head + "sink.connection.closed.count == 0",
			head + "sink.connection.creation.count == 0", head + "sink.connection.failed.count == 0",
			head + "sink.event.drain.attempt == 0", head + "sink.event.drain.sucess == 42",
			head + "sink.event.write.fail == 0", head + "sink.rejected.count == 0",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestInternalKeys(t *testing.T) {
	for _, test := range []struct {
		typ            Type
		attribute, key string
	}{
		{Source, "AppendBatchReceivedCount", "src.append-batch.received"},
		{Source, "KafkaCommitTimer", "source.kafka.commit.time"},
		{Channel, "KafkaCommitTimer", "channel.kafka.commit.time"},
		{Channel, "CheckpointBackupWriteErrorCount", "channel.file.checkpoint.backup.write.error"},
		{Channel, "RollbackCount", "channel.rollback.count"},
		{Source, "OptionalDropCount", "src.optional.drop.count"},
	} {
		if got := internalKey(test.typ, test.attribute); got != test.key {
			t.Errorf("%s of a %s is %s, want %s", test.attribute, test.typ, got, test.key)
		}
	}
}

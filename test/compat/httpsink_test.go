//go:build interop

package compat

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	sinkhttp "github.com/sluice-io/sluice/sink/http"
)

// What becomes of an event, for each status and each way of setting what it means: in Flume's HTTP sink and in Sluice's.
func TestHTTPSinkStatuses(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		parts := strings.Split(r.URL.Path, "/") // /404/text
		code, err := strconv.Atoi(parts[1])
		if err != nil {
			code = 500
		}
		w.WriteHeader(code)
		io.WriteString(w, parts[2])
	}))
	defer service.Close()
	settings := [][]string{
		{},
		{"rollback.200=false", "backoff.200=false", "incrementMetrics.200=true"},
		{"defaultBackoff=true", "defaultRollback=true", "defaultIncrementMetrics=false", "backoff.4XX=false", "rollback.4XX=false", "incrementMetrics.4XX=true",
			"backoff.200=false", "rollback.200=false", "incrementMetrics.200=true"},
		{"defaultRollback=false"}, {"defaultBackoff=false"}, {"defaultIncrementMetrics=true"},
		{"defaultRollback=false", "defaultBackoff=false", "defaultIncrementMetrics=true"},
		{"rollback.2XX=false", "backoff.2XX=true", "incrementMetrics.2XX=false"},
		{"rollback.2XX=true", "rollback.201=false", "backoff.201=false", "incrementMetrics.201=true"},
		{"rollback.5XX=false", "backoff.503=false", "incrementMetrics.500=true"},
		{"rollback.3XX=false", "backoff.4xx=false", "rollback.404=FALSE"},
	}
	var lines []string
	type one struct {
		settings []string
		code     int
		text     string
	}
	var cases []one
	for _, s := range settings {
		for _, code := range []int{200, 201, 204, 304, 400, 404, 429, 500, 503} {
			for _, text := range []string{"text", ""} {
				if text != "" && (code == 204 || code == 304) {
					continue
				}
				cases = append(cases, one{s, code, text})
				lines = append(lines, strings.Join(append([]string{fmt.Sprintf("endpoint=%s/%d/%s", service.URL, code, text)}, s...), " "))
			}
		}
	}
	answers := flumeSink(t, lines)
	if len(answers) != len(cases) {
		t.Fatalf("%d answers to %d cases", len(answers), len(cases))
	}
	meant := 0
	for i, c := range cases {
		own := make([]string, 0, len(c.settings)+1)
		for _, s := range strings.Fields(lines[i]) {
			if key, value, _ := strings.Cut(s, "="); key != "backoff.4xx" { // which neither of them knows, and only one says so
				own = append(own, key+" = "+value)
			}
		}
		env := flumetest.NewEnv()
		k := flumetest.OpenIn(t, env, sinkhttp.Kind, own...)
		err := k.Deliver(t.Context(), flume.Batch{{Body: []byte("event")}})
		k.Close()
		var part *flume.PartialError
		left := 0
		if err != nil && !errors.As(err, &part) {
			left = 1
		}
		got := fmt.Sprint(left, " ", env.Count("EventDrainAttemptCount"), " ", env.Count("EventDrainSuccessCount"), " ", env.Count("EventWriteFail"))
		_, want, _ := strings.Cut(answers[i], " ") // without READY or BACKOFF
		if got == want {
			continue
		}
		has := func(prefix string) bool {
			for _, s := range c.settings {
				if strings.HasPrefix(s, prefix+"2XX=") || strings.HasPrefix(s, prefix+strconv.Itoa(c.code)+"=") {
					return true
				}
			}
			return false
		}
		switch {
		case c.code < 300: // success does not follow the defaults
			if !has("rollback.") {
				want = "0" + want[1:]
			}
			if !has("incrementMetrics.") {
				want = want[:4] + "1" + want[5:]
			}
		case c.code >= 400 && c.text == "" && want == "1 1 0 1": // Flume does not look at the settings where the answer is empty
			_, want, _ = strings.Cut(answers[i-1], " ") // of the same with a text
		}
		if got != want {
			t.Errorf("%d %q %q: Flume %s, Sluice %s (%v)", c.code, c.text, c.settings, want, got, err)
		}
		meant++
	}
	t.Logf("%d cases, of which %d differ as they are meant to", len(cases), meant)
}

// Each sink posts to the other's source.
func TestHTTPEachOther(t *testing.T) {
	r := openHTTP(t)
	k := flumetest.Open(t, sinkhttp.Kind, "endpoint = "+r.flume["json"], "contentTypeHeader = application/json")
	defer k.Close()
	err := k.Deliver(t.Context(), flume.Batch{{Body: []byte(`[{"headers":{"k":"é"},"body":"one"}]`)}, {Body: []byte("[]")}, {Body: []byte(`[{"body":"two"}]`)}, {Body: []byte("{")}})
	var part *flume.PartialError
	if !errors.As(err, &part) || fmt.Sprint(part.Pending) != "[3]" || !strings.Contains(err.Error(), "the service answered 400 Bad Request") {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"batch json 1", "b6f6e65 6b=c3a9", "batch json 0", "batch json 1", "b74776f"} {
		if line := <-r.lines; line != want {
			t.Errorf("%q, want %q", line, want)
		}
	}
	answers := flumeSink(t, []string{
		"endpoint=" + r.sluice["blob"] + "?m=1 rollback.200=false backoff.200=false incrementMetrics.200=true",
		"endpoint=" + r.sluice["json"] + " rollback.400=false backoff.400=false",
	})
	if got := strings.Join(answers, ", "); got != "READY 0 1 1 0, READY 0 1 0 0" {
		t.Error(got)
	}
	if got := r.inbox["blob"].Batches(); len(got) != 1 || string(got[0][0].Body) != "event" || fmt.Sprint(got[0][0].Headers) != "[{m 1}]" {
		t.Errorf("%q", got)
	}
}

// flumeSink runs HTTPSinkProbe over the lines and returns what it says of each.
func flumeSink(t *testing.T, lines []string) []string {
	t.Helper()
	peers, err := filepath.Abs("../peers/peers")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(peers, "java", "flume", "testdata/HTTPSinkProbe.java")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	cmd.Stderr = io.Discard // Flume's log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var answers []string
	for said := bufio.NewScanner(out); said.Scan(); {
		if answer, ok := strings.CutPrefix(said.Text(), "case "); ok {
			answers = append(answers, answer)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return answers
}

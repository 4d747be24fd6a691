package http

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var background = context.Background()

// A service is a web service that answers as it is told and keeps what it gets.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	got    []string // bodies
	fields []http.Header
	answer func(n int, body string) (status int, text string) // n: which request it is, from 0 on; nil: 200
}

func serve(t testing.TB, answer func(n int, body string) (int, string)) *service {
	t.Helper()
	s := &service{answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	n := len(s.got)
	s.got = append(s.got, r.Method+" "+string(body))
	s.fields = append(s.fields, r.Header)
	s.mu.Unlock()
	if s.answer == nil {
		return
	}
	status, text := s.answer(n, string(body))
	if to, ok := strings.CutPrefix(text, "to "); ok {
		w.Header().Set("Location", to)
	}
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func (s *service) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, ", ")
}

type opened struct {
	flume.Sink
	*flumetest.Env
}

func start(t testing.TB, url string, settings ...string) opened {
	t.Helper()
	env := flumetest.NewEnv()
	k := opened{flumetest.OpenIn(t, env, Kind, append([]string{"endpoint = " + url}, settings...)...), env}
	t.Cleanup(func() { k.Close() })
	return k
}

// count compares attempts, successes and failures.
func (k opened) count(t testing.TB, want string) {
	t.Helper()
	if got := fmt.Sprint(k.Count("EventDrainAttemptCount"), k.Count("EventDrainSuccessCount"), k.Count("EventWriteFail")); got != want {
		t.Errorf("attempts, successes, failures: %s, want %s", got, want)
	}
}

// fate is what became of a batch: d delivered, r rejected, p pending.
func fate(n int, err error) string {
	if err == nil {
		return strings.Repeat("d", n)
	}
	var part *flume.PartialError
	if !errors.As(err, &part) {
		return strings.Repeat("p", n)
	}
	out := []byte(strings.Repeat("d", n))
	for _, r := range part.Rejected {
		out[r.Index] = 'r'
	}
	for _, i := range part.Pending {
		out[i] = 'p'
	}
	return string(out)
}

func TestLaws(t *testing.T) {
	s := serve(t, nil)
	flumetest.Sink(t, func(t testing.TB) flume.Sink { return flumetest.Open(t, Kind, "endpoint = "+s.URL) })
}

func TestRequests(t *testing.T) {
	s := serve(t, nil)
	k := start(t, s.URL+"/some/uri?q=1", "contentTypeHeader = application/json", "acceptHeader = text/html")
	b := flume.Batch{{Headers: flume.Headers{{Key: "h", Value: "v"}}, Body: []byte("one")}, {Body: []byte{}}, {Body: []byte("\x00\xff")}}
	if err := k.Deliver(background, b); err != nil {
		t.Fatal(err)
	}
	if got := s.requests(); got != "POST one, POST , POST \x00\xff" {
		t.Errorf("%q", got)
	}
	f := s.fields[0]
	if f.Get("Content-Type") != "application/json" || f.Get("Accept") != "text/html" || f.Get("Content-Length") != "3" || f.Get("Accept-Encoding") != "" || f.Get("H") != "" {
		t.Error(f)
	}
	k.count(t, "3 3 0")
	if l := k.Limits(); l.Events != 100 {
		t.Errorf("%+v", l)
	}
}

// Each row is one event that is answered with a status.
func TestStatuses(t *testing.T) {
	guide := []string{"defaultBackoff = true", "defaultRollback = true", "defaultIncrementMetrics = false",
		"backoff.4XX = false", "rollback.4XX = false", "incrementMetrics.4XX = true", "backoff.200 = false", "rollback.200 = false", "incrementMetrics.200 = true"}
	for _, x := range []struct {
		settings []string
		status   int
		fate     string
		counters string // attempts, successes, failures
		pause    bool
	}{
		{nil, 200, "d", "1 1 0", false},
		{nil, 204, "d", "1 1 0", false},
		{nil, 404, "p", "1 0 0", false},
		{nil, 503, "p", "1 0 0", false},
		{nil, 302, "p", "1 0 0", false},
		{guide, 200, "d", "1 1 0", false},
		{guide, 201, "d", "1 1 0", false},
		{guide, 400, "r", "1 1 0", false},
		{guide, 500, "p", "1 0 0", false},
		{[]string{"rollback.200 = true"}, 200, "p", "1 1 0", false},
		{[]string{"rollback.2XX = true", "rollback.201 = false"}, 201, "d", "1 1 0", false},
		{[]string{"backoff.2XX = true"}, 200, "d", "1 1 0", true},
		{[]string{"incrementMetrics.200 = false"}, 200, "d", "1 0 0", false},
		{[]string{"incrementMetrics.2XX = false"}, 200, "d", "1 0 0", false},
		{[]string{"incrementMetrics.5XX = true"}, 500, "p", "1 1 0", false},
		{[]string{"defaultIncrementMetrics = true"}, 500, "p", "1 1 0", false},
		{[]string{"defaultRollback = false"}, 404, "r", "1 0 0", true},
		{[]string{"defaultRollback = false", "defaultBackoff = false"}, 404, "r", "1 0 0", false},
		{[]string{"defaultRollback = false", "rollback.5XX = true", "rollback.501 = false"}, 500, "p", "1 0 0", false},
		{[]string{"defaultRollback = false", "rollback.5XX = true", "rollback.501 = false"}, 501, "r", "1 0 0", true},
		{[]string{"rollback.3XX = false"}, 302, "r", "1 0 0", true},
	} {
		for _, text := range []string{"text", ""} {
			s := serve(t, func(int, string) (int, string) { return x.status, text })
			k := start(t, s.URL, x.settings...)
			err := k.Deliver(background, flumetest.Events(0, 1))
			if got := fate(1, err); got != x.fate {
				t.Errorf("%q %d: %s (%v), want %s", x.settings, x.status, got, err, x.fate)
			}
			if pause := !k.Sink.(*sink).next.IsZero(); pause != x.pause {
				t.Errorf("%q %d: pause %v", x.settings, x.status, pause)
			}
			k.count(t, x.counters)
			if err != nil && x.status/100 != 2 && !strings.Contains(err.Error(), fmt.Sprint(x.status)) && fate(1, err) == "p" {
				t.Error(err)
			}
		}
	}
}

// What was delivered is not sent again, and nothing overtakes what is sent again.
func TestPartOfABatch(t *testing.T) {
	s := serve(t, func(_ int, body string) (int, string) {
		switch body {
		case "1":
			return 400, "bad"
		case "3":
			return 503, ""
		}
		return 200, ""
	})
	k := start(t, s.URL, "rollback.400 = false", "backoff.400 = false")
	err := k.Deliver(background, flumetest.Events(0, 6))
	if got := fate(6, err); got != "drdppp" {
		t.Errorf("%s %v", got, err)
	}
	var part *flume.PartialError
	if !errors.As(err, &part) || !part.InOrder || !strings.Contains(part.Err.Error(), "the service answered 503 Service Unavailable") ||
		!strings.Contains(part.Rejected[0].Err.Error(), "the service answered 400 Bad Request, and rollback is false for it") {
		t.Errorf("%+v", part)
	}
	if got := s.requests(); got != "POST 0, POST 1, POST 2, POST 3" {
		t.Error(got)
	}
	k.count(t, "4 2 0")
}

func TestRedirections(t *testing.T) {
	target := serve(t, nil)
	for status, want := range map[int]string{301: "p", 302: "p", 303: "p", 307: "d", 308: "d"} {
		before := target.requests()
		s := serve(t, func(int, string) (int, string) { return status, "to " + target.URL })
		k := start(t, s.URL)
		err := k.Deliver(background, flumetest.Events(7, 1))
		if got := fate(1, err); got != want {
			t.Errorf("%d: %s, %v", status, got, err)
		}
		if moved := target.requests() != before; moved != (want == "d") || strings.Contains(target.requests(), "GET") {
			t.Errorf("%d: %s", status, target.requests())
		}
	}
	var again *service
	again = serve(t, func(int, string) (int, string) { return 307, "to " + again.URL })
	k := start(t, again.URL)
	if err := k.Deliver(background, flumetest.Events(7, 1)); fate(1, err) != "p" || strings.Count(again.requests(), "POST") != mostRedirections+1 {
		t.Errorf("%v %s", err, again.requests())
	}
}

func TestNoAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var held []net.Conn
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	k := start(t, "http://user:secret-1@"+l.Addr().String()+"/", "requestTimeout = 50")
	for _, x := range []struct {
		what  string
		event flume.Event
		want  string
		reply string
	}{
		{"silence", flume.Event{Body: []byte("x")}, "timeout", ""},
		{"nobody reads", flume.Event{Body: make([]byte, 64<<20)}, "timeout", ""},
		{"no HTTP", flume.Event{Body: []byte("x")}, "malformed HTTP", "+OK hello\r\n\r\n"},
		{"no status", flume.Event{Body: []byte("x")}, "malformed HTTP", "HTTP/1.1 xyz\r\n\r\n"},
	} {
		if x.reply != "" {
			for len(accepted) > 0 { // those of the rows before
				held = append(held, <-accepted)
			}
			go func() {
				c := <-accepted
				c.Read(make([]byte, 1))
				io.WriteString(c, x.reply)
				c.Close()
			}()
		}
		err := k.Deliver(background, flume.Batch{x.event})
		if fate(1, err) != "p" || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", x.what, err)
		}
	}
	k.count(t, "4 0 4")
	l.Close()
	for c := range accepted {
		held = append(held, c)
	}
	for _, c := range held {
		c.Close()
	}
	if err := k.Deliver(background, flumetest.Events(0, 1)); fate(1, err) != "p" || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// What stands in a query is no less a secret than a password: it is in no error, and so in no log and no dead letter.
func TestQueryIsSecret(t *testing.T) {
	s := serve(t, func(n int, _ string) (int, string) {
		switch n {
		case 0:
			return 500, ""
		case 1:
			return 404, ""
		case 2:
			return 307, "to http://127.0.0.1:1/y?token=qsecret"
		}
		return 307, "to http://[::1/?token=qsecret" // no URL
	})
	base := "http://user:secret-1@" + strings.TrimPrefix(s.URL, "http://")
	k := start(t, base+"/x?token=qsecret&b=2secret&nakedsecret#fragmentsecret", "rollback.404 = false")
	check := func(want string, err error) {
		t.Helper()
		if text := err.Error(); strings.Contains(text, "secret") || !strings.Contains(text, want) {
			t.Errorf("%s, want %s", text, want)
		}
	}
	check("/x?token=xxxxx&b=xxxxx&xxxxx: the service answered 500", k.Deliver(background, flumetest.Events(0, 1)))
	var part *flume.PartialError
	if err := k.Deliver(background, flumetest.Events(0, 1)); !errors.As(err, &part) || len(part.Rejected) != 1 {
		t.Fatal(err)
	}
	check("?token=xxxxx&b=xxxxx&xxxxx: the service answered 404", part.Rejected[0].Err)
	k.Sink.(*sink).next = time.Time{}
	check(`"http://127.0.0.1:1/y?token=xxxxx": `, k.Deliver(background, flumetest.Events(0, 1)))
	check("redirects to what is no URL", k.Deliver(background, flumetest.Events(0, 1)))
	s.Close()
	check("/x?token=xxxxx&b=xxxxx&xxxxx", k.Deliver(background, flumetest.Events(0, 1)))
	ctx, cancel := context.WithCancel(background)
	cancel()
	err := k.Deliver(ctx, flumetest.Events(0, 1))
	check("canceled", err)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// An answer without an end does not hold the sink up, and its status counts.
func TestAnswerWithoutAnEnd(t *testing.T) {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-done
	}))
	defer s.Close()
	defer close(done)
	k := start(t, s.URL, "requestTimeout = 50")
	if err := k.Deliver(background, flumetest.Events(0, 2)); err != nil {
		t.Error(err)
	}
	k.count(t, "2 2 0")
}

func TestAbandoned(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	s := serve(t, func(n int, _ string) (int, string) {
		if n == 1 {
			cancel()
		}
		return 200, ""
	})
	k := start(t, s.URL)
	err := k.Deliver(ctx, flumetest.Events(0, 5))
	if got := fate(5, err); got != "dpppp" && got != "ddppp" {
		t.Errorf("%s %v", got, err)
	}
}

// The pauses of Flume's runner: one second more each time, five at most, none after a status without.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &sink{settings: &Settings{}}
		began := time.Now()
		var took []int
		for range 7 {
			k.pauses++
			k.next = time.Now().Add(min(time.Duration(k.pauses)*time.Second, 5*time.Second))
			if err := k.pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			took = append(took, int(time.Since(began).Seconds()))
		}
		if fmt.Sprint(took) != "[1 3 6 10 15 20 25]" {
			t.Error(took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		k.next = time.Now().Add(time.Minute)
		if err := k.pause(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	k := start(t, s.URL)
	if err := k.Deliver(background, flumetest.Events(0, 1)); err == nil || !strings.Contains(err.Error(), "the truststore must have it") {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start(t, s.URL, "truststore = "+file).Deliver(background, flumetest.Events(0, 1)); err != nil {
		t.Error(err)
	}
	// The certificate is for 127.0.0.1 and example.com.
	other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	if err := start(t, other, "truststore = "+file).Deliver(background, flumetest.Events(0, 1)); err == nil || !strings.Contains(err.Error(), "not localhost") {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	f := func(want string, settings ...string) {
		t.Helper()
		if got := strings.TrimSpace(flumetest.Problems(t, Kind, nil, settings...).String()); got != want {
			t.Errorf("%q:\n%s, want\n%s", settings, got, want)
		}
	}
	f("", "endpoint = http://localhost:8080/someuri", "connectTimeout = 2000", "backoff.4XX = false", "rollback.404 = true")
	f("flume.conf:1: a1.components.x1.endpoint: is required and not set: The URL to post to, http or https.", "connectTimeout = 1")
	for _, bad := range []string{"localhost:8080/x", "ftp://h/x", "http:///x", "http://u:secret-1@h:x/"} {
		got := flumetest.Problems(t, Kind, nil, "endpoint = "+bad).String()
		if !strings.Contains(got, "a1.components.x1.endpoint: the value is not a URL") || strings.Contains(got, "secret") {
			t.Errorf("%s: %s", bad, got)
		}
	}
	f("flume.conf:2: a1.components.x1.requestTimeout: 0 is less than 1, the least it may be", "endpoint = http://h", "requestTimeout = 0")
	f("flume.conf:2: a1.components.x1.backoff.4xx: is taken as backoff.4XX; Flume ignores it\n"+
		"flume.conf:3: a1.components.x1.rollback.40: is neither a status, such as 404, nor a class, such as 4XX; Flume ignores it too\n"+
		"flume.conf:4: a1.components.x1.incrementMetrics.200: \"yes\" is neither true nor false; it is taken as false",
		"endpoint = http://h", "backoff.4xx = false", "rollback.40 = true", "incrementMetrics.200 = yes")
}

func TestDestinations(t *testing.T) {
	for url, want := range map[string]flume.Endpoint{"http://h/x": "http://h:80", "https://h": "http://h:443", "http://[::1]:5140/": "http://[::1]:5140"} {
		s := &Settings{Endpoint: url}
		if err := s.checkEndpoint(); err != nil {
			t.Fatal(err)
		}
		if d := s.Destinations(nil); len(d) != 1 || d[0] != want {
			t.Errorf("%s: %v", url, d)
		}
	}
}

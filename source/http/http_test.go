package http

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/tls"
)

// After a malformed head net/http waits half a second before it closes, longer than goleak looks.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// running is a source with a channel that is a list, and a client.
type running struct {
	*flumetest.Running
	client *http.Client
	url    string
}

func (r *running) address() string { return r.Source.(*source).listener.Addr().String() }

// start opens a source; answer says what becomes of a batch, nil takes them all.
func start(t testing.TB, answer func(flume.Batch) error, settings ...string) *running {
	t.Helper()
	r := &running{Running: flumetest.Run(t, Kind, answer, append([]string{"bind = 127.0.0.1", "port = 0"}, settings...)...)}
	r.client = &http.Client{Transport: &http.Transport{}}
	r.url = "http://" + r.address() + "/"
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

// An answer is what a client gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request; fields are "Name: value".
func (r *running) send(t testing.TB, method, query string, body io.Reader, fields ...string) answer {
	t.Helper()
	q, err := http.NewRequest(method, r.url+query, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		q.Header.Add(name, value)
	}
	a, err := r.client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{a.StatusCode, a.Header, string(text)}
}

func (r *running) post(t testing.TB, body string, fields ...string) answer {
	t.Helper()
	return r.send(t, "POST", "", strings.NewReader(body), fields...)
}

// count compares batches received, batches accepted and requests refused.
func (r *running) count(t testing.TB, want string) {
	t.Helper()
	if got := fmt.Sprint(r.Count("AppendBatchReceivedCount"), r.Count("AppendBatchAcceptedCount"), r.Count("EventReadFail")); got != want {
		t.Errorf("counters %s, want %s", got, want)
	}
}

// events are all that has come: header=value… body|
func (r *running) events() string {
	var s strings.Builder
	for _, b := range r.Batches() {
		for _, e := range b {
			for _, h := range e.Headers {
				fmt.Fprintf(&s, "%s=%s ", h.Key, h.Value)
			}
			fmt.Fprintf(&s, "%s|", e.Body)
		}
	}
	return s.String()
}

func TestLaws(t *testing.T) {
	port := flumetest.Open(t, Kind, "bind = 127.0.0.1", "port = 0")
	address := port.(*source).listener.Addr().String()
	port.Close()
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "bind = 127.0.0.1", "port = "+address[strings.LastIndex(address, ":")+1:])
	})
}

// The request of Flume's user guide.
func TestGuide(t *testing.T) {
	r := start(t, nil)
	a := r.post(t, `[{
  "headers" : {
             "timestamp" : "434324343",
             "host" : "random_host.example.com"
             },
  "body" : "random_body"
  },
  {
  "headers" : {
             "namenode" : "namenode.example.com",
             "datanode" : "random_datanode.example.com"
             },
  "body" : "really_random_body"
  }]`, "Content-Type: application/json; charset=UTF-8")
	if a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "0" || a.header.Get("Content-Type") != "" {
		t.Errorf("%+v", a)
	}
	const want = "timestamp=434324343 host=random_host.example.com random_body|namenode=namenode.example.com datanode=random_datanode.example.com really_random_body|"
	if got := r.events(); got != want || len(r.Batches()) != 1 {
		t.Errorf("%s in %d batches", got, len(r.Batches()))
	}
	r.count(t, "1 1 0")
}

// Flume stores an empty event for each object of somebody's own JSON; so do we, and say it.
func TestForeign(t *testing.T) {
	r := start(t, nil)
	for range 3 {
		if a := r.post(t, `[{"message":"a"},{"message":"b"},{}]`); a.status != 200 {
			t.Error(a)
		}
	}
	if log := r.Logged(); strings.Count(log, "are taken for empty ones") != 1 || !strings.Contains(log, "2 objects of the list") || !strings.Contains(log, "message") {
		t.Error(log)
	}
	if a := r.post(t, `[{"text":"a"}]`); a.status != 200 {
		t.Error(a)
	}
	if log := r.Logged(); strings.Count(log, "are taken for empty ones") != 2 || r.events() != "||||||||||" {
		t.Error(log, r.events())
	}
}

func TestStatuses(t *testing.T) {
	r := start(t, nil)
	const one = `[{"body":"x"}]`
	for _, x := range []struct {
		method, query, body string
		fields              []string
		status              int
		said                string
	}{
		{"POST", "", one, nil, 200, ""},
		{"POST", "any/path?and=query", one, nil, 200, ""},
		{"GET", "", one, nil, 200, ""},
		{"HEAD", "", one, nil, 200, ""},
		{"POST", "", "[]", nil, 200, ""},
		{"PUT", "", one, nil, 405, `the method "PUT" is not for this source; post`},
		{"DELETE", "", "", nil, 405, `the method "DELETE" is not`},
		{"OPTIONS", "", "", nil, 403, "the method"},
		{"TRACE", "", "", nil, 403, "the method"},
		{"PATCH", "", one, nil, 501, "the method"},
		{"BREW", "", "", nil, 501, "the method"},
		{"GET", "", "", nil, 500, "Deserializer threw unexpected exception. there are no events: the document is empty"},
		{"POST", "", "null", nil, 500, "Deserializer threw unexpected exception. there are no events: the document is null"},
		{"POST", "", `[{},]`, nil, 500, "Deserializer threw unexpected exception. there are no events: one of the list is null"},
		{"POST", "", "hello", nil, 400, "Bad request from client. the JSON is wrong: byte 1: a list of events in [ ] is expected, not 'h'"},
		{"POST", "", one, []string{"Content-Type: application/json; charset=iso-8859-1"}, 500, `Deserializer threw unexpected exception. the charset "iso-8859-1" is not known`},
		{"POST", "", one, []string{"Content-Encoding: br"}, 415, `the Content-Encoding "br" is not known; gzip and deflate are`},
		{"POST", "", one, []string{"Content-Encoding: gzip"}, 400, "Bad request from client. inflating the body: gzip: invalid header"},
	} {
		a := r.send(t, x.method, x.query, strings.NewReader(x.body), x.fields...)
		if a.status != x.status || !strings.HasPrefix(a.body, x.said) || x.status != 200 && a.body == "" {
			t.Errorf("%s %s %q %q: %d %q, want %d %q", x.method, x.query, x.body, x.fields, a.status, a.body, x.status, x.said)
		}
		if a.status == 405 && a.header.Get("Allow") == "" {
			t.Error("no Allow")
		}
	}
	if got := r.events(); got != "x|x|x|x|" {
		t.Error(got)
	}
	r.count(t, "5 5 13")
	// 8 kinds are told apart, and each is said once
	if n := strings.Count(r.Logged(), "A request is refused"); n < 5 || n > 8 {
		t.Errorf("said %d times:\n%s", n, r.Logged())
	}
}

func TestTextOfEveryKind(t *testing.T) {
	const json, text = "Content-Type: application/json", "Content-Type: text/plain"
	for _, x := range []struct{ field, in, want string }{
		{json, `[{"body":"é"}]`, "\xc3\xa9"},
		{text, `[{"body":"é"}]`, "\xc3\xa9"},                      // in Flume this is garbled
		{text, "[{\"body\":\"\xe9\"}]", "\xc3\xa9"},               // and this is not
		{json, "[{\"body\":\"\xe9\"}]", "\xef\xbf\xbd"},           // it is not what the type says
		{json + "; charset=utf8", `[{"body":"é"}]`, "\xc3\xa9"},   //
		{json + `;charset="UTF-8"`, `[{"body":"é"}]`, "\xc3\xa9"}, //
		{json + "; a=b; Charset=Utf-16", utf16(`[{"body":"é"}]`), "\xfe\xff\x00\xe9"},
		{json + ";charset=utf-16", "\xff\xfe[\x00{\x00}\x00]\x00", ""},
		{json + ";charset=utf-32", utf32(`[{"body":"é"}]`), "\x00\x00\x00\xe9"},
		{text, "\ufeff" + `[{"body":"é"}]`, "\xc3\xa9"},
	} {
		r := start(t, nil)
		if a := r.post(t, x.in, x.field); a.status != 200 {
			t.Errorf("%s: %d %s", x.field, a.status, a.body)
			continue
		}
		if got := string(r.Batches()[0][0].Body); got != x.want {
			t.Errorf("%s %q: %q, want %q", x.field, x.in, got, x.want)
		}
	}
}

func utf16(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r>>8), byte(r))
	}
	return string(b)
}

func utf32(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, 0, byte(r>>16), byte(r>>8), byte(r))
	}
	return string(b)
}

func compressed(t testing.TB, coding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "flate":
		w, _ = flate.NewWriter(&b, 6)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.String()
}

func TestCompressed(t *testing.T) {
	r := start(t, nil, "max-request-size = 10000")
	const one = `[{"body":"x"}]`
	for _, x := range []struct {
		coding, in string
		status     int
		said       string
	}{
		{"gzip", compressed(t, "gzip", one), 200, ""},
		{"GZIP", compressed(t, "gzip", "[") + compressed(t, "gzip", `{"body":"x"}]`), 200, ""},
		{"x-gzip", compressed(t, "gzip", one), 200, ""},
		{"deflate", compressed(t, "zlib", one), 200, ""},
		{"deflate", compressed(t, "flate", one), 200, ""},
		{"identity", one, 200, ""},
		{"gzip", compressed(t, "gzip", "["+strings.Repeat(" ", 9_998)+"]"), 200, ""},
		{"gzip", compressed(t, "gzip", "["+strings.Repeat(" ", 9_999)+"]"), 413, "the body has more than 10000 bytes"},
		{"gzip", compressed(t, "gzip", strings.Repeat(" ", 100_000_000)), 413, "the body has more than 10000 bytes"},
		{"deflate", compressed(t, "zlib", strings.Repeat(" ", 100_000)), 413, "the body has more than 10000 bytes"},
		{"gzip", compressed(t, "gzip", one)[:20], 400, "Bad request from client. inflating the body: the compressed data end too early"},
		{"gzip", compressed(t, "gzip", one)[:5], 400, "Bad request from client. inflating the body: "},
		{"gzip", "", 400, "Bad request from client. inflating the body: the compressed data end too early"},
		{"gzip", compressed(t, "gzip", one) + "x", 400, "Bad request from client. inflating the body: "},
		{"deflate", "\xff\xff\xff", 400, "Bad request from client. inflating the body: "},
		{"deflate", "", 400, "Bad request from client. inflating the body: the compressed data end too early"},
		{"gzip, gzip", compressed(t, "gzip", one), 415, "the Content-Encoding"},
	} {
		a := r.post(t, x.in, "Content-Encoding: "+x.coding)
		if a.status != x.status || !strings.HasPrefix(a.body, x.said) {
			t.Errorf("%s of %d bytes: %d %q, want %d %q", x.coding, len(x.in), a.status, a.body, x.status, x.said)
		}
	}
	if got := r.events(); got != "x|x|x|x|x|x|" {
		t.Error(got)
	}
}

func TestLines(t *testing.T) {
	for _, x := range []struct {
		settings   []string
		field, in  string
		want, said string
	}{
		{nil, "Content-Type: application/x-ndjson", "{\"headers\":{\"k\":\"v\"},\"body\":\"a\"}\n\n{\"body\":\"é\"}", "k=v a|é|", ""},
		{nil, "Content-Type: Application/JSONL; charset=utf-8", "{body:''}", "|", ""},
		{nil, "Content-Type: application/x-ndjson", "{body:x}\n[]", "", "Bad request from client. the JSON is wrong: line 2 byte 1: an event in { } is expected, not '['"},
		{nil, "Content-Type: application/json", "{}\n{}", "", "Bad request from client. the JSON is wrong: byte 1:"},
		{[]string{"handler.format = ndjson"}, "Content-Type: text/plain", "{body:x}\n{headers:{}}", "x||", ""},
		{nil, "Content-Type: application/x-ndjson", `{"message":"my log line"}`, "",
			`Bad request from client. line 1 byte 25: the object has neither "body" nor "headers"; with handler.lines = body each line`},
		{[]string{"handler.format = json"}, "Content-Type: application/x-ndjson", "[{}]", "|", ""},
		{[]string{"handler.lines = body"}, "Content-Type: application/x-ndjson", "{\"level\":\"info\"}\nno json\r\n", "{\"level\":\"info\"}|no json|", ""},
	} {
		r := start(t, nil, x.settings...)
		a := r.post(t, x.in, x.field)
		if got := r.events(); got != x.want || !strings.HasPrefix(a.body, x.said) || (a.status == 200) != (x.said == "") {
			t.Errorf("%q %s %q: %d %q %s", x.settings, x.field, x.in, a.status, a.body, got)
		}
	}
}

func TestBlobs(t *testing.T) {
	for _, x := range []struct {
		settings  []string
		query, in string
		field     string
		status    int
		want      string
	}{
		{[]string{"handler = " + blobHandler}, "?a=1&b=x%20y+z&a=2&c", "\x00\xff", "", 200, "a=1 b=x y z c= \x00\xff|"},
		{[]string{"handler = " + blobHandler}, "", "", "", 200, "|"},
		{[]string{"handler = " + blobHandler}, "?a=%zz", "", "", 500, ""},
		{[]string{"handler = " + blobHandler}, "?a=1", "b=2", "Content-Type: application/x-www-form-urlencoded", 200, "a=1 b=2|"},
		{[]string{"handler = " + blobHandler}, "", "\x1f\x8b", "Content-Encoding: gzip", 200, "\x1f\x8b|"},
		{[]string{"handler = " + blobHandler, "handler.mandatoryParameters = a,b"}, "?a=1&b=2", "x", "", 200, "a=1 b=2 x|"},
		{[]string{"handler = " + blobHandler, "handler.mandatoryParameters = a,b"}, "?a=1", "x", "", 500, ""},
		{[]string{"handler = " + blobHandler, "handler.mandatoryParameters = a, b ,,"}, "?a=1&b=1", "x", "", 200, "a=1 b=1 x|"},
		{[]string{"handler = " + blobHandler, "handler.mandatoryParameters = a, b"}, "?a=1", "x", "", 500, ""},
		{[]string{"handler = " + morphlineBlob, "handler.maxBlobLength = 3"}, "?a=1", "xyz", "Content-Type: image/png", 200, "a=1 Content-Type=image/png xyz|"},
		{[]string{"handler = " + morphlineBlob, "handler.maxBlobLength = 3"}, "?a=1", "xyzw", "", 413, ""},
	} {
		r := start(t, nil, x.settings...)
		var fields []string
		if x.field != "" {
			fields = append(fields, x.field)
		}
		a := r.send(t, "POST", x.query, strings.NewReader(x.in), fields...)
		if got := r.events(); a.status != x.status || got != x.want {
			t.Errorf("%q %s %q: %d %s %s", x.settings, x.query, x.in, a.status, a.body, got)
		}
	}
}

// Nobody is told 200 before the channel has the events, and everybody is told what became of them.
func TestChannelsThatRefuse(t *testing.T) {
	var next error
	r := start(t, func(flume.Batch) error { return next })
	for _, x := range []struct {
		err    error
		status int
		said   string
	}{
		{fmt.Errorf("putting into c1: %w", flume.ErrFull), 503, "Error appending event to channel. Channel might be full. putting into c1: the channel is full"},
		{errors.New("disk broken"), 503, "Error appending event to channel. Channel might be full. disk broken"},
		{fmt.Errorf("putting: %w", flume.ErrTooLarge), 413, "Unexpected error while appending event to channel. putting: the batch is larger than the whole channel"},
		{fmt.Errorf("intercepting: %w", flume.ErrInterceptor), 500, "Unexpected error while appending event to channel. intercepting"},
		{nil, 200, ""},
	} {
		next = x.err
		a := r.post(t, `[{"body":"x"}]`)
		if a.status != x.status || !strings.HasPrefix(a.body, x.said) {
			t.Errorf("%v: %d %q", x.err, a.status, a.body)
		}
		if again := a.header.Get("Retry-After"); (again == "1") != (a.status == 503) {
			t.Errorf("%v: Retry-After %q", x.err, again)
		}
	}
	r.count(t, "5 1 0")
	log := r.Logged()
	for _, said := range []string{"The channels do not take events", "The channels take events again", "a channel can never hold it", "An interceptor fails", "Events are not taken"} {
		if strings.Count(log, said) != 1 {
			t.Errorf("%s: %s", said, log)
		}
	}
}

func TestAuthentication(t *testing.T) {
	for _, x := range []struct {
		settings []string
		field    string
		status   int
	}{
		{[]string{"auth.user = u", "auth.password = secret-1"}, "", 401},
		{[]string{"auth.user = u", "auth.password = secret-1"}, "Authorization: Basic dTpzZWNyZXQtMQ==", 200},
		{[]string{"auth.user = u", "auth.password = secret-1"}, "Authorization: Basic dTpzZWNyZXQtMg==", 401},
		{[]string{"auth.user = v", "auth.password = secret-1"}, "Authorization: Basic dTpzZWNyZXQtMQ==", 401},
		{[]string{"auth.user = u", "auth.password = secret-1"}, "Authorization: Bearer secret-1", 401},
		{[]string{"auth.tokens = old secret-2"}, "Authorization: bearer  secret-2", 200},
		{[]string{"auth.tokens = old secret-2"}, "Authorization: Bearer secret-3", 401},
		{[]string{"auth.tokens = old secret-2"}, "Authorization: Bearer ", 401},
		{[]string{"auth.tokens = t", "auth.user = u", "auth.password = secret-1"}, "Authorization: Bearer t", 200},
	} {
		r := start(t, nil, x.settings...)
		var fields []string
		if x.field != "" {
			fields = append(fields, x.field)
		}
		a := r.post(t, `[{"body":"x"}]`, fields...)
		if a.status != x.status {
			t.Errorf("%q %q: %d %s", x.settings, x.field, a.status, a.body)
		}
		if (a.header.Get("WWW-Authenticate") != "") != (a.status == 401) {
			t.Errorf("%q: %v", x.settings, a.header)
		}
		if text := r.Logged() + a.body; strings.Contains(text, "secret") || strings.Contains(text, "dTpz") {
			t.Error(text)
		}
		if n := strings.Count(r.Logged(), "level=WARN"); (n == 1) != (a.status == 401) {
			t.Error(r.Logged())
		}
	}
}

func TestTLS(t *testing.T) {
	r := start(t, nil, "ssl = true", "keystore = ../../internal/tls/testdata/server.jks", "keystore-password = changeit")
	trust := tls.Client{SSL: true, Truststore: "../../internal/tls/testdata/trust.jks", TruststorePassword: "changeit"}
	config, err := trust.Config("localhost")
	if err != nil {
		t.Fatal(err)
	}
	r.client.Transport = &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	r.url = "https://" + r.address() + "/"
	if a := r.post(t, `[{"body":"x"}]`); a.status != 200 {
		t.Errorf("%+v", a)
	}
	r.client.CloseIdleConnections()
	r.url = "http://" + r.address() + "/"
	if a := r.post(t, `[{"body":"x"}]`); a.status != 400 {
		t.Errorf("without TLS: %+v", a)
	}
	if got := r.events(); got != "x|" {
		t.Error(got)
	}
}

func TestSettings(t *testing.T) {
	f := func(want string, settings ...string) {
		t.Helper()
		if got := strings.TrimSpace(flumetest.Problems(t, Kind, nil, settings...).String()); got != want {
			t.Errorf("%q:\n%s, want\n%s", settings, got, want)
		}
	}
	f("", "port = 1", "bind = h", "handler = "+jsonHandler, "QueuedThreadPool.maxThreads = 50", "HttpConfiguration.sendServerVersion = false", "ServerConnector.idleTimeout = 300")
	f("flume.conf:1: a1.components.x1.port: is required and not set: The TCP port to listen on.", "bind = h")
	f(`flume.conf:2: a1.components.x1.handler: "org.example.rest.RestHandler" is a Java class, which Sluice cannot run; there are `+
		`org.apache.flume.source.http.JSONHandler, org.apache.flume.source.http.BLOBHandler and org.apache.flume.sink.solr.morphline.BlobHandler. `+
		`Keep this hop in Flume, with an avro sink that sends to an avro source here, or have the clients send JSON`, "port = 1", "handler = org.example.rest.RestHandler")
	f("flume.conf:2: a1.components.x1.enableSSL: is an old name of \"ssl\"\nflume.conf:4: a1.components.x1.keystorePassword: is an old name of \"keystore-password\"\n"+
		"flume.conf:5: a1.components.x1.excludeProtocols: is an old name of \"exclude-protocols\"",
		"port = 1", "enableSSL = true", "keystore = k", "keystorePassword = p", "excludeProtocols = SSLv3")
	f("flume.conf:2: a1.components.x1.handler.mandatoryParameters: has no effect with org.apache.flume.source.http.JSONHandler", "port = 1", "handler.mandatoryParameters = a")
	f(`flume.conf:2: a1.components.x1.handler.format: "xml" is not one of auto, json, ndjson`, "port = 1", "handler.format = xml")
	f("flume.conf:2: a1.components.x1.auth.user: needs auth.password too", "port = 1", "auth.user = u")
	f("flume.conf:2: a1.components.x1.auth.password: needs auth.user too", "port = 1", "auth.password = u")
	f("flume.conf:2: a1.components.x1.QueuedThreadPool.minThreads: has no effect: there is nothing like it here\n"+
		"flume.conf:3: a1.components.x1.HttpConfiguration.nonsense: is no setting of Jetty's HttpConfiguration; Flume ignores it too\n"+
		"flume.conf:4: a1.components.x1.ServerConnector.acceptQueueSize: \"many\" is not a number",
		"port = 1", "QueuedThreadPool.minThreads = 4", "HttpConfiguration.nonsense = 1", "ServerConnector.acceptQueueSize = many")
	f(`flume.conf:2: a1.components.x1.ServerConnector.idleTimeout: "5s" is not a number of milliseconds`, "port = 1", "ServerConnector.idleTimeout = 5s")
	f(`flume.conf:2: a1.components.x1.QueuedThreadPool.maxThreads: 0 is less than 1, the least it may be`, "port = 1", "QueuedThreadPool.maxThreads = 0")
	f(`flume.conf:2: a1.components.x1.ServerConnector.port: 70000 is more than 65535, the most it may be`, "port = 1", "ServerConnector.port = 70000")
	f("flume.conf:2: a1.components.x1.HttpConfiguration.sendServerVersion: has no effect: answers do not name the server", "port = 1", "HttpConfiguration.sendServerVersion = true")
}

func TestPlaces(t *testing.T) {
	s := Settings{Bind: "::1", Port: 4}
	if o := s.Origins(flume.Known{"topic": "t"}); len(o) != 1 || len(o["http://[::1]:4"]) != 0 {
		t.Errorf("origins %v", o)
	}
	if h := s.Holds(); len(h) != 1 || h[0] != "tcp://[::1]:4" {
		t.Errorf("holds %v", h)
	}
	if h := (&Settings{Bind: "h"}).Holds(); h != nil {
		t.Errorf("holds %v", h)
	}
}

//go:build interop

package compat

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	sourcehttp "github.com/sluice-io/sluice/source/http"
)

// The same requests go to Flume's HTTP source, whose channel is a program that prints what it gets, and to Sluice's:
//
//	            ┌─▶ HTTPSourceProbe.java ─▶ status, events ─┐
//	request ────┤                                            ├─▶ equal, or one of the differences that are meant
//	            └─▶ source/http ──────────▶ status, events ─┘
//
// SLUICE_SEED repeats an earlier run, SLUICE_SCALE is its size.

// An httpPair is one source of each kind.
type httpPair struct {
	name     string
	handler  string
	settings []string // key=value
}

func httpPairs() []httpPair {
	return []httpPair{
		{"json", "org.apache.flume.source.http.JSONHandler", nil},
		{"blob", "org.apache.flume.source.http.BLOBHandler", []string{"handler.mandatoryParameters=m"}},
		{"two", "org.apache.flume.source.http.BLOBHandler", []string{"handler.mandatoryParameters=m,n"}},
	}
}

// httpRig runs the sources.
type httpRig struct {
	client *http.Client
	lines  chan string // what Flume's program prints
	flume  map[string]string
	sluice map[string]string
	inbox  map[string]*flumetest.Running
}

func openHTTP(t *testing.T) *httpRig {
	t.Helper()
	r := &httpRig{client: &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		lines: make(chan string, 1000), flume: map[string]string{}, sluice: map[string]string{}, inbox: map[string]*flumetest.Running{}}
	args := []string{"java", "flume", "testdata/HTTPSourceProbe.java"}
	for _, p := range httpPairs() {
		port := freeHTTPPort(t)
		r.flume[p.name] = fmt.Sprintf("http://127.0.0.1:%d/", port)
		own := []string{"bind = 127.0.0.1", "port = 0", "handler = " + p.handler}
		settings := fmt.Sprintf("bind=127.0.0.1,port=%d,handler=%s", port, p.handler)
		for _, s := range p.settings {
			key, value, _ := strings.Cut(s, "=")
			own = append(own, key+" = "+value)
			settings += "," + key + "=" + strings.ReplaceAll(value, ",", ";")
		}
		args = append(args, p.name+" "+settings)
		r.inbox[p.name] = flumetest.Run(t, sourcehttp.Kind, httpChannel, own...)
		_, address, _ := strings.Cut(r.inbox[p.name].Logged(), "address=")
		address, _, _ = strings.Cut(address, "\n")
		r.sluice[p.name] = "http://" + address + "/"
	}
	peers, err := filepath.Abs("../peers/peers")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(peers, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Flume logs what it refuses, thousands of times
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(r.lines)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			if text := lines.Text(); strings.HasPrefix(text, "b") || text == "ready" {
				r.lines <- text
			}
		}
	})
	t.Cleanup(func() {
		in.Close()
		for range r.lines {
		}
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		r.client.CloseIdleConnections()
	})
	select {
	case line := <-r.lines:
		if line != "ready" {
			t.Fatalf("Flume's program says %q", line)
		}
	case <-time.After(time.Minute):
		t.Fatal("Flume's program does not start")
	}
	return r
}

// httpChannel fails as HTTPSourceProbe does.
func httpChannel(b flume.Batch) error {
	for _, e := range b {
		switch string(e.Body) {
		case "FULL":
			return flume.ErrFull
		case "BUG":
			return flume.ErrInterceptor
		}
	}
	return nil
}

func freeHTTPPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// An httpRequest is what both get.
type httpRequest struct {
	to          string // of httpPairs
	method      string
	query       string
	contentType string
	body        []byte
}

func (q httpRequest) String() string {
	return fmt.Sprintf("%s %s %q as %q: %q", q.method, q.to, q.query, q.contentType, q.body)
}

func (r *httpRig) do(t *testing.T, url string, q httpRequest) int {
	t.Helper()
	req, err := http.NewRequest(q.method, url+q.query, bytes.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	answer, err := r.client.Do(req)
	if err != nil {
		t.Fatalf("%v: %v", q, err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatalf("%v: %v", q, err)
	}
	return answer.StatusCode
}

// both returns the statuses and the events of each, as HTTPSourceProbe prints them.
func (r *httpRig) both(t *testing.T, q httpRequest) (flumeStatus, sluiceStatus int, flumeEvents, sluiceEvents []string) {
	t.Helper()
	flumeStatus = r.do(t, r.flume[q.to], q)
	if flumeStatus == http.StatusOK {
		_, count, _ := strings.Cut(<-r.lines, q.to+" ")
		n, err := strconv.Atoi(count)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			flumeEvents = append(flumeEvents, <-r.lines)
		}
	}
	before := len(r.inbox[q.to].Batches())
	sluiceStatus = r.do(t, r.sluice[q.to], q)
	for _, b := range r.inbox[q.to].Batches()[before:] {
		for _, e := range b {
			line := "b" + hex.EncodeToString(e.Body)
			var headers []string
			for _, h := range e.Headers {
				headers = append(headers, " "+hex.EncodeToString([]byte(h.Key))+"="+hex.EncodeToString([]byte(h.Value)))
			}
			slices.SortFunc(headers, func(a, b string) int { return strings.Compare(a[:strings.Index(a, "=")], b[:strings.Index(b, "=")]) })
			sluiceEvents = append(sluiceEvents, line+strings.Join(headers, ""))
		}
	}
	return flumeStatus, sluiceStatus, flumeEvents, sluiceEvents
}

// withoutNull leaves headers out that are null in Flume, as Sluice does.
func withoutNull(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		parts := strings.Split(line, " ")
		out[i] = strings.Join(slices.DeleteFunc(parts, func(p string) bool { return strings.HasSuffix(p, "=~") }), " ")
	}
	return out
}

// same reports how the two differ; empty: they do not, or as they are meant to.
func (r *httpRig) same(t *testing.T, q httpRequest) string {
	t.Helper()
	f, s, fe, se := r.both(t, q)
	if f != s {
		return fmt.Sprintf("%v: Flume answers %d, Sluice %d", q, f, s)
	}
	if fe = withoutNull(fe); !slices.Equal(fe, se) {
		return fmt.Sprintf("%v:\nFlume  %s\nSluice %s", q, fe, se)
	}
	return ""
}

func TestHTTPCases(t *testing.T) {
	r := openHTTP(t)
	post := func(body string) httpRequest {
		return httpRequest{to: "json", method: "POST", contentType: "application/json", body: []byte(body)}
	}
	as := func(typ, body string) httpRequest {
		return httpRequest{to: "json", method: "POST", contentType: typ, body: []byte(body)}
	}
	to := func(pair, query, typ, body string) httpRequest {
		return httpRequest{to: pair, method: "POST", query: query, contentType: typ, body: []byte(body)}
	}
	wide := func(s string) string {
		var b []byte
		for _, c := range s {
			b = append(b, byte(c>>8), byte(c))
		}
		return string(b)
	}
	wider := func(s string) string {
		var b []byte
		for _, c := range s {
			b = append(b, 0, byte(c>>16), byte(c>>8), byte(c))
		}
		return string(b)
	}
	cases := []httpRequest{
		as("application/json;charset=utf-16", wide(`[{"body":"é\ud800x","headers":{"é":"ü"}},{}]`)), as("application/json; charset=UTF-16", "\xff\xfe[\x00]\x00"),
		as("application/json;charset=utf-32", wider(`[{"body":"é\ud800x😀","headers":{"é":"ü"}}]`)), as("text/plain;charset=UTF8", `[{"body":"é"}]`),
		as(`text/plain; charset="utf-8"`, `[{"body":"é"}]`), as("application/json;charset=iso-8859-1", `[{"body":"e"}]`), as("application/json;charset=nonsense", `[{"body":"e"}]`),
		as("application/json; charset=utf-16le", `[{"body":"e"}]`), as("", "[{\"body\":\"\xe9\"}]"), as("text/plain", "[{\"body\":\"\xe9\"}]"), as("application/json", "[{\"body\":\"\xe9\xff\xe2\x82x\"}]"),
		as("text/json", `[{"body":"é"}]`), as("application/json", "\ufeff"+`[{"body":"é"}]`), as("application/json", "\ufeff\ufeff[]"), as("application/x-www-form-urlencoded", `[{"body":"a=b&c"}]`),
		to("blob", "?m=1&a=x%20y+z&a=2&c&=e&%C3%A9=%C3%BC", "", "\x00\xff"), to("blob", "?a=1", "", "x"), to("blob", "?m=1", "application/x-www-form-urlencoded", "f=2&m=3"),
		to("blob", "", "application/x-www-form-urlencoded", "m=3"), to("blob", "?m=%zz", "", "x"), to("blob", "?m=%E9", "", "x"), to("blob", "?m&&;x=1", "", ""), to("blob", "?m=a;b=c", "", "x"),
		to("blob", "?m=FULL", "", "FULL"), to("blob", "?m=1%", "", "x"), to("blob", "?m=%4", "", "x"), to("blob", "?m=a=b", "", "x"),
		to("two", "?m=1", "", "x"), to("two", "?m=1&n=2", "text/plain", "x"),
	}
	for _, body := range []string{
		"[]", "", " ", "null", "NULL", " null x", "nulls", "[null]", "[{},]", "[,]", "[;]", "[{};{}]", "{}", "x", "[", "[{", "[{}", `["x"]`, "[[]]", "[] x", "[] //", "[] /", "[] #", "[]\n ", "[][]",
		"# only", "/* only */", "/* only", "/", "//\n[]", "/**/[/**/]", "#\r[]", ")]}'\n[]", ")]}'", ")]}'\n", ")]}'\nnull", ")]}'[]", " )]}'\n[]", "#\n)]}'\n[]",
		`[{"body":"x"}]`, `[{'body':'x'}]`, `[{body:x}]`, `[{body=x}]`, `[{body=>x}]`, `[{body:>x}]`, `[{body= >x}]`, `[{"body":x"y'z}]`, `[{"body":x/y}]`, `[{"body":x\y}]`, "[{\"body\":x\fy}]",
		"[\f{}]", "[{}\v]", "[{\"body\":\vx}]", "[{\"body\":\u00a0x}]", `[{"body":1.50},{"body":-0},{"body":1e400},{"body":00012},{"body":-},{"body":+1},{"body":NaN},{"body":0x1F}]`,
		`[{"body":true},{"body":TRUE},{"body":tRuE},{"body":FALSE},{"body":truex},{"body":"TRUE"},{"body":NuLL},{"body":nul}]`, `[{"body":9223372036854775807},{"body":99999999999999999999999999}]`,
		`[{"body":{}}]`, `[{"body":[]}]`, `[{"body":}]`, `[{"body"}]`, `[{"body":"x",}]`, `[{,}]`, `[{"body":"x";"headers":{}}]`, `[{"body":"x" "headers":{}}]`,
		`[{"headers":{"a":"b","n":1.50,"t":TRUE,"x":null}}]`, `[{"headers":null}]`, `[{"headers":"x"}]`, `[{"headers":[]}]`, `[{"headers":[["a","b"]]}]`, `[{"headers":[["a","b"],["c",1];[d,]]}]`,
		`[{"headers":[["a"]]}]`, `[{"headers":[["a","b","c"]]}]`, `[{"headers":[[null,"b"]]}]`, `[{"headers":[[,"b"]]}]`, `[{"headers":["a"]}]`, `[{"headers":[null]}]`, `[{"headers":[{}]}]`,
		`[{"headers":{"a":"b","a":"c"}}]`, `[{"headers":{"a":null,"a":"c"}}]`, `[{"headers":{"a":"b","a":null}}]`, `[{"headers":{"a":null,"a":null}}]`, `[{"headers":{"a":{}}}]`, `[{"headers":{"a":[]}}]`,
		`[{"headers":{null:x,true:y,1:z}}]`, `[{"headers":[[true,x],[1,y]]}]`, `[{"headers":{"":""}}]`, `[{"headers":{"a":"b"},"headers":{"c":"d"}}]`, `[{"headers":{"a":"b"},"headers":null}]`, `[{"body":"a","body":"b"}]`,
		`[{"body":"a","body":null}]`, `[{"Body":"a","BODY":"b","charset":"x","other":{"a":[1,2,{"b":null}],"c":[,,]}}]`, `[{"b\u006fdy":"a"}]`, `[{"other":}]`, `[{"other":]}]`, `[{"other":,"body":"x"}]`,
		`[{"body":"\"\\\/\b\f\n\r\t\'\u0041\u00e9\u20ac\ud83d\ude00"}]`, `[{"body":"\x"}]`, `[{"body":"\é"}]`, `[{"body":"\u12"}]`, `[{"body":"\u12zz"}]`, `[{"body":"\uzzzz"}]`, `[{"body":"\u`, `[{"body":"\u0`, `[{"body":"\`, `[{"body":"`,
		`[{"other":"\uzzzz"}]`, `[{"other":"\x"}]`, `[{"\uzzzz":1}]`, `[{"body":"\ud800","headers":{"\udc00":"\ud800x\udc00"}}]`, `[{"body":"\ud83d\ud83d\ude00\u0041\ude00"}]`, "[{\"body\":\"a\\\nb\nc\td\u0000\"}]",
		`[{"body":"😀é€","headers":{"😀":"é"}}]`, `[{"body":'it''s'}]`, `[{"body":'a"b'},{"body":"a'b"}]`, `[{"body":"FULL"}]`, `[{"body":"BUG"}]`, "[ { \"body\" : \"x\" } , \r\n\t{ } ]",
		`[{"x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "}]", `[{} {}]`, `[{}:{}]`, `[{}]]`, `[{}}`, `[{"a":1]`, `[{"a"=>1}]`, `[{"a"=`, `[{"a"`, `[{a`, `[{a}]`, `[{"body":a`, `[{"body":null`,
	} {
		cases = append(cases, post(body))
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "MKCOL"} {
		cases = append(cases, httpRequest{to: "json", method: method, query: "some/path?q=1", contentType: "application/json", body: []byte(`[{"body":"x"}]`)}, httpRequest{to: "json", method: method})
	}
	for _, q := range cases {
		if d := r.same(t, q); d != "" {
			t.Error(d)
		}
	}
	t.Logf("%d requests", len(cases))
}

// Where they differ, and it is meant.
func TestHTTPDifferences(t *testing.T) {
	r := openHTTP(t)
	for _, x := range []struct {
		q             httpRequest
		flume, sluice string
	}{
		// text whose charset is not said is UTF-8 where it can be
		{httpRequest{to: "json", method: "POST", contentType: "text/plain", body: []byte(`[{"body":"é"}]`)}, "200 [bc383c2a9]", "200 [bc3a9]"},
		{httpRequest{to: "json", method: "POST", body: []byte(`[{"body":"é"}]`)}, "200 [bc383c2a9]", "200 [bc3a9]"},
		// a header without a value
		{httpRequest{to: "json", method: "POST", body: []byte(`[{"headers":{"a":null}}]`)}, "200 [b 61=~]", "200 [b]"},
		// newline-delimited JSON
		{httpRequest{to: "json", method: "POST", contentType: "application/x-ndjson", body: []byte("{\"body\":\"a\"}\n{\"body\":null}")}, "400 []", "200 [b61 b]"},
		// nesting
		{httpRequest{to: "json", method: "POST", body: []byte(`[{"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}]")}, "200 [b]", "400 []"},
	} {
		f, s, fe, se := r.both(t, x.q)
		if got := fmt.Sprint(f, " ", fe); got != x.flume {
			t.Errorf("%v: Flume %s, want %s", x.q, got, x.flume)
		}
		if got := fmt.Sprint(s, " ", se); got != x.sluice {
			t.Errorf("%v: Sluice %s, want %s", x.q, got, x.sluice)
		}
	}
}

// Documents of every sort, right and wrong.
func TestHTTPDocuments(t *testing.T) {
	r := openHTTP(t)
	seed := rand.Uint64()
	if v := os.Getenv("SLUICE_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	count := 20_000
	if v := os.Getenv("SLUICE_SCALE"); v != "" {
		scale, err := strconv.ParseFloat(v, 64)
		if err != nil {
			t.Fatal(err)
		}
		count = max(2000, int(20_000*scale))
	}
	t.Logf("SLUICE_SEED=%d, %d documents", seed, count)
	g := httpGenerator{rand.New(rand.NewPCG(seed, 1))}
	statuses := map[int]int{}
	differ := 0
	for range count {
		q := httpRequest{to: "json", method: "POST", contentType: "application/json", body: g.document()}
		f, s, fe, se := r.both(t, q)
		statuses[f]++
		if f != s || !slices.Equal(withoutNull(fe), se) {
			t.Errorf("%v:\nFlume  %d %s\nSluice %d %s", q, f, fe, s, se)
			if differ++; differ == 20 {
				t.Fatal("too many")
			}
		}
	}
	t.Logf("statuses %v", statuses)
	for _, status := range []int{200, 400, 500} {
		if statuses[status] < count/50 {
			t.Errorf("only %d answers are %d", statuses[status], status)
		}
	}
}

// An httpGenerator makes documents in all of the syntax, of which half are then spoiled.
type httpGenerator struct{ *rand.Rand }

func (g httpGenerator) document() []byte {
	var b strings.Builder
	if g.IntN(30) == 0 {
		b.WriteString(")]}'\n")
	}
	g.blank(&b)
	b.WriteString("[")
	for i := range g.IntN(4) {
		if i > 0 {
			b.WriteString(g.one(",", ",", ",", ";"))
		}
		g.blank(&b)
		g.event(&b)
		g.blank(&b)
	}
	b.WriteString("]")
	b.WriteString(g.one("", "", "", "\n", " "))
	text := []byte(b.String())
	for range g.IntN(3) * g.IntN(2) {
		text = g.spoil(text)
	}
	return text
}

func (g httpGenerator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g httpGenerator) blank(b *strings.Builder) {
	if g.IntN(4) == 0 {
		b.WriteString(g.one(" ", "\n", "\r\n", "\t", "/* * / */", "// x\n", "#\n", "/**/", "//\r", "\f"))
	}
}

func (g httpGenerator) event(b *strings.Builder) {
	if g.IntN(40) == 0 {
		b.WriteString(g.one("null", "NULL", "x", `"x"`, "1", "[]", "true"))
		return
	}
	b.WriteString("{")
	for i := range g.IntN(4) {
		if i > 0 {
			b.WriteString(g.one(",", ",", ";"))
		}
		g.blank(b)
		switch g.IntN(8) {
		case 0, 1, 2:
			g.name(b, "body")
			g.scalar(b)
		case 3, 4, 5:
			g.name(b, "headers")
			g.headers(b)
		default:
			g.name(b, g.one("other", "charset", "Body", "x"))
			g.value(b, 3)
		}
		g.blank(b)
	}
	b.WriteString("}")
}

func (g httpGenerator) name(b *strings.Builder, name string) {
	switch g.IntN(6) {
	case 0:
		b.WriteString("'" + name + "'")
	case 1:
		b.WriteString(name)
	case 2:
		fmt.Fprintf(b, `"\u%04x%s"`, name[0], name[1:])
	default:
		b.WriteString(`"` + name + `"`)
	}
	g.blank(b)
	b.WriteString(g.one(":", ":", ":", ":", "=", "=>"))
	g.blank(b)
}

func (g httpGenerator) headers(b *strings.Builder) {
	switch g.IntN(12) {
	case 0:
		b.WriteString(g.one("null", "{}", "[]", `"x"`, "1"))
		return
	case 1:
		b.WriteString("[")
		for i := range g.IntN(3) {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString("[")
			g.scalar(b)
			b.WriteString(",")
			g.scalar(b)
			b.WriteString(g.one("]", "]", "]", "]", "]", ",x]"))
		}
		b.WriteString("]")
		return
	}
	b.WriteString("{")
	for i := range g.IntN(5) {
		if i > 0 {
			b.WriteString(g.one(",", ",", ";"))
		}
		g.blank(b)
		g.name(b, g.one("host", "timestamp", "project_id", "é", "a", "b", "c", "d", "null", "x"+strconv.Itoa(g.IntN(100))))
		g.scalar(b)
	}
	b.WriteString("}")
}

func (g httpGenerator) scalar(b *strings.Builder) {
	switch g.IntN(14) {
	case 0:
		b.WriteString(g.one("true", "FALSE", "True", "null", "Null", "NULL", "nul"))
	case 1:
		b.WriteString(g.one("0", "-0", "1.50", "1e5", "007", "-", "9223372036854775808", "-9223372036854775808", "1.", ".5", "1e", "NaN", "Infinity", "0x1F"))
	case 2:
		b.WriteString(g.one("bare", "a'b", `a"b`, "x.y-z", "é€", "a>b", "$", "@", "|"))
	default:
		quote := g.one(`"`, `"`, `"`, "'")
		b.WriteString(quote)
		for range g.IntN(12) {
			b.WriteString(g.one("a", "b", "xyz", " ", "é", "€", "😀", "\n", "\t", "{", "}", "[", "]", ":", ",", "/*", "//", "#", "=", ";", "\x00", "\u007f", "\u2028",
				`\"`, `\'`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, "\\\n", `\u0041`, `\u00e9`, `\u20AC`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\u0000`, `\uFEFF`))
		}
		b.WriteString(quote)
	}
}

func (g httpGenerator) value(b *strings.Builder, deep int) {
	switch n := g.IntN(5); {
	case n == 0 && deep > 0:
		b.WriteString("[")
		for range g.IntN(4) {
			if g.IntN(5) > 0 {
				g.value(b, deep-1)
			}
			b.WriteString(g.one(",", ";", ","))
		}
		b.WriteString("]")
	case n == 1 && deep > 0:
		b.WriteString("{")
		for i := range g.IntN(4) {
			if i > 0 {
				b.WriteString(",")
			}
			g.name(b, g.one("a", "b", "body", "headers"))
			g.value(b, deep-1)
		}
		b.WriteString("}")
	default:
		g.scalar(b)
	}
}

// spoil changes a byte or a few.
func (g httpGenerator) spoil(text []byte) []byte {
	if len(text) == 0 {
		return text
	}
	at := g.IntN(len(text))
	const marks = "[]{}:,;=>#/*'\"\\\n\r\t\f u0x"
	switch g.IntN(6) {
	case 0:
		return text[:at]
	case 1:
		return slices.Delete(slices.Clone(text), at, min(len(text), at+1+g.IntN(3)))
	case 2:
		text = slices.Clone(text)
		text[at] = marks[g.IntN(len(marks))]
		return text
	case 3:
		from := g.IntN(len(text))
		return slices.Insert(slices.Clone(text), at, text[from:min(len(text), from+g.IntN(10))]...)
	default:
		return slices.Insert(slices.Clone(text), at, marks[g.IntN(len(marks))])
	}
}

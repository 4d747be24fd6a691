package http

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// connect opens a bare connection.
func connect(t testing.TB, r *running) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

func say(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads an answer; 0: there is none.
func hear(t testing.TB, c net.Conn) (status int, text string) {
	t.Helper()
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		return a.StatusCode, err.Error()
	}
	return a.StatusCode, string(body)
}

// eventually waits for what happens on another goroutine.
func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !check(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s does not happen", what)
		}
	}
}

const head = "POST / HTTP/1.1\r\nHost: h\r\n"

// Requests whose body is there are answered when the source stops; the others are refused, and who is idle is cut off.
func TestStop(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	r := start(t, func(flume.Batch) error { close(begun); <-hold; return nil })
	taken, half, start, fresh, idle := connect(t, r), connect(t, r), connect(t, r), connect(t, r), connect(t, r)
	say(t, idle, head+"Content-Length: 2\r\n\r\n[]")
	if status, _ := hear(t, idle); status != 200 {
		t.Errorf("%d", status)
	}
	say(t, half, head+"Content-Length: 100\r\n\r\n[{")
	say(t, start, "POST / HT")
	say(t, taken, head+"Content-Length: 4\r\n\r\n[{}]")
	<-begun
	s := r.Source.(*source)
	eventually(t, "the half request", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		busy := 0
		for c := range s.conns {
			if c.busy.Load() {
				busy++
			}
		}
		return len(s.conns) == 5 && busy == 2
	})
	stopped := make(chan struct{})
	go func() { r.Stop(); close(stopped) }()
	if status, text := hear(t, half); status != 503 || !strings.Contains(text, "the source stops") {
		t.Errorf("the half one: %d %s", status, text)
	}
	for _, c := range []net.Conn{start, fresh, idle} {
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("a connection without a request is answered")
		}
	}
	close(hold)
	if status, _ := hear(t, taken); status != 200 {
		t.Errorf("the one that was taken: %d", status)
	}
	<-stopped
	if n := r.Count("OpenConnectionCount"); n != 0 {
		t.Errorf("%d connections are open", n)
	}
	if len(r.Batches()) != 1 {
		t.Error(r.Batches())
	}
	if strings.Contains(r.Logged(), "level=WARN") {
		t.Error(r.Logged())
	}
}

func TestCloseCutsConnections(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	r := start(t, func(flume.Batch) error { close(begun); <-hold; return nil })
	c := connect(t, r)
	say(t, c, head+"Content-Length: 4\r\n\r\n[{}]")
	<-begun
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if status, _ := hear(t, c); status != 0 {
		t.Errorf("%d", status)
	}
	close(hold)
	r.Stop()
}

// No more than maxThreads requests are in the channels at one time; others wait, connected.
func TestTurns(t *testing.T) {
	crowd := flumetest.NewCrowd()
	r := start(t, crowd.Enter, "QueuedThreadPool.maxThreads = 3")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if a := r.post(t, "[{}]"); a.status != 200 {
				t.Error(a.status)
			}
		})
	}
	crowd.Await(3)
	crowd.Release()
	all.Wait()
	if crowd.Most() != 3 || len(r.Batches()) != 20 {
		t.Errorf("%d at one time, %d in all", crowd.Most(), len(r.Batches()))
	}
}

// A client that closes its half of the connection behind its request is answered.
func TestHalfClosed(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	r := start(t, func(flume.Batch) error { close(begun); <-hold; return nil })
	c := connect(t, r)
	say(t, c, head+"Content-Length: 4\r\n\r\n[{}]")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	<-begun
	close(hold)
	if status, _ := hear(t, c); status != 200 {
		t.Errorf("%d", status)
	}
}

func TestContinue(t *testing.T) {
	r := start(t, nil, "auth.tokens = t", "max-request-size = 10")
	for _, x := range []struct {
		fields, want string
	}{
		{"Authorization: Bearer t\r\nContent-Length: 4\r\n", "HTTP/1.1 100 Continue\r\n"},
		{"Authorization: Bearer u\r\nContent-Length: 4\r\n", "HTTP/1.1 401 Unauthorized\r\n"},
		{"Authorization: Bearer t\r\nContent-Length: 11\r\n", "HTTP/1.1 413 Request Entity Too Large\r\n"},
	} {
		c := connect(t, r)
		say(t, c, head+"Expect: 100-continue\r\n"+x.fields+"\r\n")
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != x.want {
			t.Errorf("%q, %v", line, err)
		}
	}
}

// What nobody finishes ends after the idle time, and each cause is said once.
func TestClientsThatStop(t *testing.T) {
	r := start(t, nil, "ServerConnector.idleTimeout = 100", "max-request-size = 1000")
	for range 5 {
		for _, x := range []struct {
			what, sent string
			status     int
			said       string
		}{
			{"nothing", "", 0, ""},
			{"half a head", "POST / HTTP/1.1\r\nHost: h\r\nX", 400, ""},
			{"garbage", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, ""},
			{"a large head", head + "X: " + strings.Repeat("x", 20_000) + "\r\n\r\n", 431, ""},
			{"half a body", head + "Content-Length: 100\r\n\r\n[", 408, "the body stopped for 100ms (ServerConnector.idleTimeout)"},
			{"half a chunk", head + "Transfer-Encoding: chunked\r\n\r\n10\r\n[", 408, "the body stopped"},
			{"no chunk", head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n[", 400, "Bad request from client. the body ends too early: "},
			{"too much", head + "Content-Length: 5000000000\r\n\r\n[", 413, "the body has more than 1000 bytes"},
			{"too many chunks", head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("80\r\n"+strings.Repeat(" ", 128)+"\r\n", 10), 413, "the body has more than 1000 bytes"},
			{"a body that nobody wants", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n[", 405, "the method"},
		} {
			c := connect(t, r)
			say(t, c, x.sent)
			if status, text := hear(t, c); status != x.status || !strings.HasPrefix(text, x.said) {
				t.Errorf("%s: %d %s", x.what, status, text)
			}
		}
		c := connect(t, r)
		say(t, c, head+"Content-Length: 100\r\n\r\n[")
		c.Close()
	}
	eventually(t, "the end of the connections", func() bool { return r.Count("OpenConnectionCount") == 0 })
	r.Stop()
	log := r.Logged()
	for _, cause := range []string{
		"no request of HTTP, one whose head has more than 8192 bytes (HttpConfiguration.requestHeaderSize), or one that stopped in the middle of it",
		"the body stopped for 100ms", "the body has more than 1000 bytes", "the method", "the body ends too early: unexpected EOF",
	} {
		if n := strings.Count(log, cause); n != 1 {
			t.Errorf("%q is said %d times:\n%s", cause, n, log)
		}
	}
	if n := r.Count("EventReadFail"); n != 5*10 {
		t.Errorf("EventReadFail is %d", n)
	}
	if len(r.Batches()) > 0 {
		t.Error(r.Batches())
	}
}

func TestDataRate(t *testing.T) {
	r := start(t, nil, "HttpConfiguration.minRequestDataRate = 1000000")
	c := connect(t, r)
	say(t, c, head+"Content-Length: 90000000\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := io.WriteString(c, " "); err != nil {
				return
			}
			runtime.Gosched()
		}
	}()
	if status, text := hear(t, c); status != 408 || !strings.HasPrefix(text, "the body comes more slowly than") {
		t.Errorf("%d %s", status, text)
	}
	c.Close()
	<-done
}

// A client is believed no length: what is not there takes no memory.
func TestClaims(t *testing.T) {
	r := start(t, nil)
	for range 100 {
		say(t, connect(t, r), head+"Content-Length: 99999999\r\n\r\n[")
	}
	s := r.Source.(*source)
	eventually(t, "the reading", func() bool { return s.budget.Held() >= 100*firstKnown/4 })
	if held := s.budget.Held(); held > 100*firstKnown {
		t.Errorf("%d bytes are held", held)
	}
}

// Half requests that hold all the memory are cut off while others are served, and it is said.
func TestStalledClients(t *testing.T) {
	r := start(t, nil, "max-memory = 1048576")
	for range 6 {
		c := connect(t, r)
		go io.WriteString(c, head+"Content-Length: 500000\r\n\r\n["+strings.Repeat(" ", 400_000))
	}
	said := func(text string) bool { return strings.Contains(r.Logged(), text) }
	for begin := time.Now(); !said("Requests have to wait, for they hold as much as max-memory allows") || !said("sends too slowly while others wait"); {
		if a := r.post(t, `[{"body":"x"}]`); a.status != 200 {
			t.Fatal(a)
		}
		if time.Since(begin) > time.Minute {
			t.Fatal(r.Logged())
		}
	}
}

// A request that needs more than one may hold is refused, be it for what is made of it.
func TestRequestsThatNeedTooMuch(t *testing.T) {
	r := start(t, nil, "max-memory = 1048576")
	for _, body := range []string{
		"[{}" + strings.Repeat(",{}", 50_000) + "]",
		`[{"headers":{"a":1` + strings.Repeat(`,"":null`, 80_000) + "}}]",
		"[" + strings.Repeat(" ", 800_000) + "]",
		"[{\"body\":\"\xff" + strings.Repeat("x", 300_000) + "\"}]",
	} {
		for _, typ := range []string{"application/json", "text/plain"} {
			if a := r.post(t, body, "Content-Type: "+typ); a.status != 413 || !strings.Contains(a.body, "(max-memory)") {
				t.Errorf("%.20s: %d %s", body, a.status, a.body)
			}
		}
	}
	if held := r.Source.(*source).budget.Held(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

func TestManyClients(t *testing.T) {
	const clients, requests = 30, 20
	r := start(t, nil, "max-memory = 1048576") // hardly more than they send at once
	body := `[{"headers":{"k":"v"},"body":"` + strings.Repeat("x", 30_000) + `"},{"body":"y"}]`
	packed := compressed(t, "gzip", body)
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			for range requests {
				a := answer{}
				if n%2 == 0 {
					a = r.post(t, body)
				} else {
					a = r.post(t, packed, "Content-Encoding: gzip")
				}
				if a.status != 200 {
					t.Error(a)
				}
			}
		})
	}
	all.Wait()
	if n := len(r.Batches()); n != clients*requests {
		t.Errorf("%d batches", n)
	}
	if held := r.Source.(*source).budget.Held(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

func TestIdleConnectionsAreCheap(t *testing.T) {
	const connections = 2000
	r := start(t, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	all := make([]net.Conn, connections)
	answer := make([]byte, 200)
	for i := range all {
		all[i] = connect(t, r)
		say(t, all[i], head+"Content-Length: 14\r\n\r\n"+`[{"body":"x"}]`)
		if n, err := all[i].Read(answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200 OK\r\n") {
			t.Fatalf("%q, %v", answer[:n], err)
		}
	}
	runtime.GC()
	runtime.GC() // pools are emptied in two steps
	runtime.ReadMemStats(&after)
	// The clients' ends are in it too.
	each := (int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / connections
	if each > 30<<10 {
		t.Errorf("%d bytes for each idle connection", each)
	}
	t.Logf("%d bytes for each idle connection", each)
}

// A panic costs one request, and is said as the bug that it is.
func TestAPanicCostsOneRequest(t *testing.T) {
	mad := true
	r := start(t, func(flume.Batch) error {
		if mad {
			mad = false
			panic("mad")
		}
		return nil
	})
	if a := r.post(t, "[{}]"); a.status != 500 || !strings.Contains(a.body, "the log of the agent has it") || strings.Contains(a.body, "mad") {
		t.Error(a)
	}
	if a := r.post(t, "[{}]"); a.status != 200 {
		t.Error(a)
	}
	if log := r.Logged(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "BUG while taking a request") {
		t.Error(log)
	}
}

// A channel that fails has no event that its client was told is safe.
func TestNothingIsLost(t *testing.T) {
	var n atomic.Int64
	r := start(t, func(flume.Batch) error {
		if n.Add(1)%3 == 0 {
			return errors.New("broken")
		}
		return nil
	})
	safe := 0
	for i := range 100 {
		if a := r.post(t, fmt.Sprintf(`[{"body":"%d"}]`, i)); a.status == 200 {
			safe++
		}
	}
	if got := len(r.Await(t, safe)); got != safe || safe != 67 {
		t.Errorf("%d answers 200, %d events", safe, got)
	}
	if log := r.Logged(); strings.Count(log, "Events are not taken; the senders") != 1 || strings.Contains(log, "channels do not take") {
		t.Error(log)
	}
}

func FuzzRequest(f *testing.F) {
	r := start(f, nil, "ServerConnector.idleTimeout = 1000", "max-request-size = 100000")
	blobs := start(f, nil, "handler = "+blobHandler, "max-request-size = 100000")
	f.Add("?a=1&a=2&%zz", "application/json; charset=utf-16", "gzip", "\x1f\x8b\x08\x00\x00")
	f.Add("", "application/x-ndjson", "", "{\"body\":1}\n{}")
	f.Add("", "text/plain;charset=\"utf-32\"", "deflate", "\x78\x9c")
	f.Fuzz(func(t *testing.T, query, typ, coding, body string) {
		if strings.ContainsAny(typ+coding, "\r\n\x00") {
			return
		}
		for _, to := range []*running{r, blobs} {
			c := connect(t, to)
			query := strings.Map(func(r rune) rune {
				if r <= ' ' || r >= 0x7f || r == '#' {
					return -1
				}
				return r
			}, query)
			say(t, c, fmt.Sprintf("POST /?%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: %s\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", query, typ, coding, len(body), body))
			status, text := hear(t, c)
			switch status {
			case 200, 400, 413, 415:
			case 500:
				if strings.Contains(text, "a bug") {
					t.Fatal(to.Logged())
				}
			default:
				t.Fatalf("%d %s", status, text)
			}
			c.Close()
		}
	})
}

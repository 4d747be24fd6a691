package avrorpc

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// framed makes a frame of several buffers.
func framed(serial int32, buffers ...[]byte) []byte {
	out := beginFrame(nil, serial)[:8]
	out[7] = byte(len(buffers))
	for _, b := range buffers {
		out = append(out, byte(len(b)>>24), byte(len(b)>>16), byte(len(b)>>8), byte(len(b)))
		out = append(out, b...)
	}
	return out
}

func call(name string, parameter []byte) []byte {
	return append(appendBytes([]byte{0}, name), parameter...)
}

func own() greeting { return greeting{client: flumeHash(), server: flumeHash()} }

var ok = []byte{0, 0, 0}

// ask sends a frame and returns the payload of the answer.
func ask(t *testing.T, conn net.Conn, frame []byte) []byte {
	t.Helper()
	go conn.Write(frame)
	return readFrame(t, conn).payload
}

func one() flume.Batch {
	return flume.Batch{{Headers: flume.Headers{{Key: "k", Value: "v"}}, Body: []byte("hello")}}
}

func TestHandshakes(t *testing.T) {
	other := strings.Replace(protocolText, `"namespace"`, `"doc":"another","namespace"`, 1)
	otherHash := hash(md5.Sum([]byte(other)))
	s := &Server{Calls: &recorder{}, MaxFrame: 1 << 20, Budget: NewBudget(1 << 20)}
	param := event.AppendArray(nil, one())
	f := func(g greeting, want match) {
		t.Helper()
		client, stop := serve(t, s)
		defer stop()
		answer := ask(t, client, framed(1, g.append(nil), call(appendBatchName, param)))
		r := &reader{rest: answer}
		v := readVerdict(r)
		wanted := ok
		if want == matchNone {
			wanted = nil
		}
		if r.err != nil || v.match != want || !bytes.Equal(r.rest, wanted) || (v.server == nil) != (want == matchBoth) {
			t.Errorf("%x: % x, want %v", g.client, answer, want)
		}
		if want == matchNone { // it still expects a handshake
			g.text = []byte(other)
			g.server = textHash()
			if got := ask(t, client, framed(2, g.append(nil), call(appendBatchName, param))); !bytes.Equal(got, append([]byte{0, 0, 0, 0}, ok...)) {
				t.Errorf("with the text: % x", got)
			}
		}
		if got := ask(t, client, framed(3, call(appendBatchName, param))); !bytes.Equal(got, ok) {
			t.Errorf("second call: % x", got)
		}
	}
	f(own(), matchBoth)
	f(greeting{client: textHash(), server: flumeHash()}, matchBoth)
	f(greeting{client: flumeHash(), server: textHash()}, matchBoth)
	f(greeting{client: flumeHash(), server: hash{1}}, matchClient)
	f(greeting{client: otherHash, server: flumeHash()}, matchNone)
	f(greeting{client: otherHash, server: flumeHash()}, matchBoth) // known by now
	f(greeting{client: hash{2}, server: hash{3}, text: []byte(other)}, matchClient)
	f(greeting{client: hash{2}, server: hash{3}}, matchNone) // that text was not its own
}

func TestDialectsAreBounded(t *testing.T) {
	var d dialects
	for i := range 10 * mostDialects {
		d.put(hash{byte(i), byte(i >> 8)}, &dialect{})
		d.put(hash{byte(i), byte(i >> 8)}, &dialect{})
	}
	if len(d.byHash) != mostDialects || len(d.order) != mostDialects {
		t.Errorf("%d dialects in %d", len(d.byHash), len(d.order))
	}
	if d.get(hash{}) != nil || d.get(d.order[0]) == nil {
		t.Error("the newest are not those that stay")
	}
}

func TestForeignClients(t *testing.T) {
	f := func(fields, hexEvent string, want any) {
		t.Helper()
		text := fmt.Sprintf(`{"protocol":"P","namespace":"x","types":[{"type":"fixed","name":"Id","size":2},{"type":"enum","name":"E","symbols":["A"]},
			{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]},
			{"type":"record","name":"Ev","fields":[%s]}],"messages":{
			"append":{"request":[{"name":"a","type":"Ev"}],"response":"int"},
			"appendBatch":{"request":[{"name":"a","type":{"type":"array","items":"x.Ev"}}],"response":"int"}}}`, fields)
		r := &recorder{}
		client, stop := serve(t, &Server{Calls: r})
		defer stop()
		g := greeting{client: hash{9}, text: []byte(text), server: flumeHash()}
		one := unhex(t, hexEvent)
		answer := ask(t, client, framed(1, g.append(nil), call(appendName, one)))
		if m, ok := want.(string); ok {
			if !bytes.Contains(answer, []byte(m)) {
				t.Errorf("%s: %q, want %q", fields, answer, m)
			}
			return
		}
		if !bytes.Equal(answer, []byte{0, 0, 0, 0, 0, 0, 0}) {
			t.Errorf("%s: %q", fields, answer)
			return
		}
		batch := append(append(append([]byte{3, 0x7f}, one...), one...), 0)
		if answer = ask(t, client, framed(2, call(appendBatchName, batch))); !bytes.Equal(answer, ok) {
			t.Errorf("%s: a batch: %q", fields, answer)
			return
		}
		if len(r.got) != 3 {
			t.Errorf("%s: %d events", fields, len(r.got))
			return
		}
		for _, e := range r.got {
			if fmt.Sprint(e) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", fields, e, want)
			}
		}
	}
	hi := flume.Event{Headers: flume.Headers{{Key: "a", Value: "b"}}, Body: []byte("hi")}
	const headers = `{"name":"headers","type":{"type":"map","values":"string"}}`
	f(headers+`,{"name":"body","type":"bytes"}`, "02 0261 0262 00 046869", hi)
	f(`{"name":"body","type":"bytes"},`+headers, "046869 02 0261 0262 00", hi)
	f(`{"name":"body","type":"string"},{"name":"headers","type":{"type":"map","values":"bytes"}}`, "046869 02 0261 0262 00", hi)
	f(`{"name":"t","type":"long"},`+headers+`,{"name":"d","type":"double"},{"name":"body","type":"bytes"},{"name":"id","type":"Id"},{"name":"e","type":"x.E"}`,
		"8001 02 0261 0262 00 0102030405060708 046869 0102 00", hi)
	f(headers+`,{"name":"n","type":"Node"},{"name":"body","type":"bytes"}`, "02 0261 0262 00 020200 046869", hi)
	f(headers+`,{"name":"m","type":{"type":"map","values":{"type":"array","items":"int"}}},{"name":"body","type":"bytes"}`,
		"02 0261 0262 00  02 0278 04020400 00  046869", hi)
	f(headers+`,{"name":"m","type":{"type":"array","items":"null"}},{"name":"body","type":"bytes"}`, "02 0261 0262 00 feffffffffffffffff0100 046869", hi)
	f(headers+`,{"name":"b","type":"boolean"},{"name":"f","type":"float"},{"name":"body","type":{"type":"bytes"}}`, "02 0261 0262 00 01 01020304 046869", hi)

	f(headers+`,{"name":"data","type":"bytes"}`, "02 0261 0262 00 046869", "no field body that is bytes")
	f(`{"name":"headers","type":{"type":"map","values":"int"}},{"name":"body","type":"bytes"}`, "00 00", "no field headers that is a map of strings")
	f(`{"name":"headers","type":"Nowhere"}`, "00 00", `the type "Nowhere" is not defined`)
	f(headers+`,{"name":"n","type":"Node"},{"name":"body","type":"bytes"}`, "02 0261 0262 00 "+strings.Repeat("02", 100)+"00 046869", "nested too deep")
	f(headers+`,{"name":"u","type":["null","int"]},{"name":"body","type":"bytes"}`, "02 0261 0262 00 04 046869", "branch 2 of a union that has 2")
	f(headers+`,{"name":"n","type":"Id"},{"name":"body","type":"bytes"}`, "02 0261 0262 00 01", "has a length of 2, where 1 bytes are left")
}

func TestDialectsThatAreNone(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 100) + `"int"` + strings.Repeat("}", 100)
	for _, text := range []string{"", "{", "[]", "{}", `{"messages":{"append":{"request":[{"type":"X"}]}}}`, `{"types":[{"type":"record","name":"A","fields":[{"name":"a"}]}],"messages":{}}`,
		`{"types":[` + deep + `],"messages":{}}`, strings.Repeat(" ", mostText) + "{}"} {
		if d, err := parseDialect([]byte(text)); err == nil {
			t.Errorf("%.40s: %v", text, d)
		}
		client, stop := serve(t, &Server{Calls: &recorder{}})
		answer := ask(t, client, framed(1, greeting{client: hash{1}, text: []byte(text), server: hash{2}}.append(nil), call(appendName, nil)))
		if !bytes.HasPrefix(answer, []byte{0, 1, 0}) { // an error without a handshake
			t.Errorf("%.40s: % x", text, answer)
		}
		if answer = ask(t, client, framed(2, own().append(nil), call("", nil))); !bytes.Equal(answer, []byte{0, 0, 0, 0}) {
			t.Errorf("the connection is not usable any more: % x", answer)
		}
		stop()
	}
	d, err := parseDialect([]byte(`{"messages":{"other":{"request":[]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.translate(context.Background(), nil, nil, true); err == nil {
		t.Error("a message that the client's protocol does not have was read")
	}
}

// A schema can describe values without bytes whose number grows with every type; the work must not.
func TestDialectBomb(t *testing.T) {
	types := `{"type":"record","name":"T0","fields":[]}`
	for i := 1; i < 40; i++ {
		types += fmt.Sprintf(`,{"type":"record","name":"T%d","fields":[{"name":"a","type":"T%d"},{"name":"b","type":"T%d"}]}`, i, i-1, i-1)
	}
	d, err := parseDialect([]byte(`{"types":[` + types + `,{"type":"record","name":"E","fields":[{"name":"headers","type":{"type":"map","values":"string"}},
		{"name":"body","type":"bytes"},{"name":"x","type":"T39"}]}],"messages":{"append":{"request":[{"type":"E"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.single.events([]byte{0, 0}, false); err == nil || !strings.Contains(err.Error(), "nested too deep") {
		t.Error(err)
	}
}

func TestErrorsKeepTheConnection(t *testing.T) {
	r := &recorder{}
	client, stop := serve(t, &Server{Calls: r, MaxFrame: 1 << 16, Budget: NewBudget(200_000)})
	defer stop()
	f := func(want string, buffers ...[]byte) {
		t.Helper()
		if got := ask(t, client, framed(5, buffers...)); !bytes.HasPrefix(got, []byte{0, 1, 0}) || !bytes.Contains(got, []byte(want)) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("the client's hash has a length of 16, where 3 bytes are left", []byte("abc"))
	f("the client's protocol is branch 2 of a union that has 2", make([]byte, 16), []byte{4})
	if got := ask(t, client, framed(6, own().append(nil), call("bogus", nil))); !bytes.Contains(got, []byte(`there is no message "bogus"`)) {
		t.Errorf("%q", got)
	}
	f("the number of events", call(appendBatchName, nil))
	f("AvroFlumeEvent at byte 1: a count of 63 headers", call(appendBatchName, []byte{2, 126, 0}))
	f("the call's meta has 4 entries", []byte{8, 0, 0})
	f("the name of the message has a length of 50", []byte{0, 100})
	f("it needs 182784 bytes or more, 137500 are the most for 3000 events and 0 headers", call(appendBatchName, append(append(binary.AppendVarint(nil, 3000), make([]byte, 6000)...), 0)))
	f("there is no message", call(strings.Repeat("x", 10000), nil))
	if got := ask(t, client, framed(7, nil, call(appendBatchName, []byte{0}), nil)); !bytes.Equal(got, ok) { // empty buffers, an empty batch
		t.Errorf("% x", got)
	}
	if got := ask(t, client, framed(8, call("", nil))); len(got) != 0 {
		t.Errorf("a ping: % x", got)
	}
	if len(r.got) != 0 {
		t.Errorf("%d events", len(r.got))
	}
}

func TestBrokenFramesCloseTheConnection(t *testing.T) {
	f := func(in []byte, want string) {
		t.Helper()
		client, stop := serve(t, &Server{Calls: &recorder{}, MaxFrame: 1000})
		go client.Write(in)
		if n, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("% x: read %d, %v", in, n, err)
		}
		if err := stop(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("% x: %v, want %q", in, err, want)
		}
	}
	f(unhex(t, "00000001 00000000"), "it has 0 buffers")
	f(unhex(t, "00000001 80000000"), "it has -2147483648 buffers")
	f(unhex(t, "00000001 7fffffff"), "it has 2147483647 buffers")
	f(unhex(t, "00000001 00000001 ffffffff"), "a buffer of -1 bytes")
	f(unhex(t, "00000001 00000001 000003e9"), "more than 1000 bytes")
	f(append(append(unhex(t, "00000001 00000002 000001ff"), make([]byte, 511)...), unhex(t, "000001ff")...), "more than 1000 bytes")
	f([]byte("GET / HTTP/1.1\r\n\r\n"), "the peer speaks HTTP")
	f(unhex(t, "1603010200010001fc0303"), "the peer speaks TLS")
	f(bytesOf(t, "deflate-client-plain-server.client.bin"), "the peer compresses")
}

func TestWhatAnUncompressedClientOfADeflateServerSees(t *testing.T) {
	client, stop := serve(t, &Server{Calls: &recorder{}, Deflate: true})
	go client.Write(framed(1, own().append(nil)))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := stop(); err == nil || !strings.Contains(err.Error(), "the peer does not compress") {
		t.Error(err)
	}
}

func TestPeerThatGoesAway(t *testing.T) {
	client, stop := serve(t, &Server{Calls: &recorder{}})
	client.Close()
	if err := stop(); err != nil {
		t.Error("before a frame: ", err)
	}
	client, stop = serve(t, &Server{Calls: &recorder{}})
	client.Write(unhex(t, "000000"))
	client.Close()
	if err := stop(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("in the middle of a frame: ", err)
	}
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, stop := serve(t, &Server{Calls: &recorder{}})
		start := time.Now()
		time.Sleep(24 * time.Hour) // between frames it may be as silent as it likes
		go client.Write(unhex(t, "00000001 00000001 00000010 00"))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if took := time.Since(start) - 24*time.Hour; took != stallTime {
			t.Errorf("closed after %s", took)
		}
		if err := stop(); err == nil || !strings.Contains(err.Error(), "stopped in the middle of a frame") {
			t.Error(err)
		}
	})
}

func TestClientThatDoesNotTakeItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, stop := serve(t, &Server{Calls: &recorder{}})
		start := time.Now()
		client.Write(framed(1, own().append(nil), call("", nil)))
		time.Sleep(stallTime + time.Second) // it does not read
		synctest.Wait()
		if _, err := client.Write([]byte{0}); err == nil {
			t.Errorf("the connection is still open after %s", time.Since(start))
		}
		if err := stop(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

// slow takes its time over a call.
type slow struct{ begun, end chan struct{} }

func (s slow) Append(ctx context.Context, b flume.Batch) error { return s.AppendBatch(ctx, b) }
func (s slow) AppendBatch(context.Context, flume.Batch) error {
	s.begun <- struct{}{}
	<-s.end
	return nil
}

func TestStopping(t *testing.T) {
	f := func(name string, prepare func(client net.Conn), then func(client net.Conn)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := slow{make(chan struct{}), make(chan struct{})}
			server := &Server{Calls: s, MaxFrame: 1 << 20, Budget: NewBudget(1 << 20)}
			a, b := net.Pipe()
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- server.Serve(ctx, context.Background(), a) }()
			prepare(b)
			if then != nil {
				<-s.begun
			}
			synctest.Wait()
			start := time.Now()
			cancel()
			if then != nil {
				time.Sleep(time.Hour) // the call goes on
				start = time.Now()
				go func() { s.end <- struct{}{} }()
				then(b)
			}
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("%s: it took %s", name, took)
			}
		})
	}
	f("idle", func(net.Conn) {}, nil)
	f("in the middle of a frame", func(client net.Conn) { client.Write([]byte{0, 0}) }, nil)
	f("in a call", func(client net.Conn) { client.Write(framed(1, own().append(nil), call(appendBatchName, []byte{0}))) }, func(client net.Conn) {
		if got := readFrame(t, client).payload; !bytes.Equal(got, append([]byte{0, 0, 0, 0}, ok...)) {
			t.Errorf("% x", got)
		}
	})
}

func (b *Budget) untouched() bool {
	return b.used == 0 && b.beyond == nil && len(b.waiting) == 0 && len(b.loans) == 0
}

func TestBudgetIsGivenBack(t *testing.T) {
	b := NewBudget(8 << 20)
	client, stop := serve(t, &Server{Calls: &recorder{}, Budget: b})
	big := event.AppendArray(nil, flume.Batch{{Body: make([]byte, 3<<20)}})
	if got := ask(t, client, framed(1, own().append(nil), call(appendBatchName, big))); !bytes.HasSuffix(got, ok) {
		t.Errorf("% x", got)
	}
	stop()
	if !b.untouched() {
		t.Errorf("%+v", b)
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := NewBudget(1600) // 400 for all, 500 with small ones, 1100 for one
		x, y, z, small := &loan{from: b, large: true}, &loan{from: b, large: true}, &loan{from: b, large: true}, &loan{from: b}
		grow := func(l *loan, n int64) chan error {
			done := make(chan error, 1)
			go func() { _, err := l.grow(ctx, n); done <- err }()
			synctest.Wait()
			return done
		}
		waits := func(c chan error) {
			t.Helper()
			select {
			case <-c:
				t.Error("it did not wait")
			default:
			}
		}
		if err := errors.Join(<-grow(x, 300), <-grow(y, 200), <-grow(y, 900)); err != nil { // y goes beyond, alone
			t.Fatal(err)
		}
		if err := <-grow(y, 1); !errors.Is(err, ErrMemory) {
			t.Errorf("more than one call may hold: %v", err)
		}
		first, second := grow(x, 110), grow(z, 1)
		waits(first)
		waits(second)
		if err := <-grow(small, 200); err != nil { // has a part of its own
			t.Fatal(err)
		}
		third := grow(small, 1)
		waits(third)
		y.end() // x goes beyond, and leaves its part
		if err := errors.Join(<-first, <-second, <-third); err != nil {
			t.Fatal(err)
		}
		if b.beyond != x || b.used != 202 || x.held != 410 {
			t.Errorf("%+v, x holds %d", b, x.held)
		}
		last := grow(z, 200)
		waits(last)
		x.shrink(10) // is not for others
		waits(last)
		small.shrink(200)
		if err := <-last; err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithCancelCause(ctx)
		cancel(errFull)
		if _, err := z.grow(short, 300); !errors.Is(err, errFull) || len(b.waiting) != 0 {
			t.Errorf("%v, %+v", err, b)
		}
		for _, l := range []*loan{x, z, small} {
			l.end()
		}
		if !b.untouched() {
			t.Errorf("%+v", b)
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if b.watch != nil {
			t.Error("it is watched where nobody waits")
		}
	})
}

// Whatever clients do, all together hold no more than the budget, and nobody waits for ever.
func TestBudgetHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 1 << 20
		b := NewBudget(all)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 1))
				l := &loan{from: b}
				for range 200 {
					l.sizes(int64(random.IntN(3)) * smallFrame)
					for random.IntN(5) > 0 {
						if _, err := l.grow(t.Context(), 1+random.Int64N(300_000)); err != nil && !errors.Is(err, ErrMemory) {
							t.Error(err)
						}
						b.mu.Lock()
						sum := b.used
						if b.beyond != nil {
							sum += b.beyond.held
						}
						b.mu.Unlock()
						if sum > all {
							t.Errorf("%d bytes are lent", sum)
						}
						time.Sleep(time.Millisecond)
					}
					l.end()
				}
			})
		}
		wg.Wait()
		if !b.untouched() {
			t.Errorf("%+v", b)
		}
	})
}

// crowd is a server whose budget is held by clients that have each sent half of a large frame and stopped.
type crowd struct {
	*Server
	stalled []net.Conn
	errs    chan error // of their connections
}

func stall(t *testing.T, clients int) *crowd {
	c := &crowd{&Server{Calls: discard{}, MaxFrame: 4 << 20, Budget: NewBudget(8 << 20)}, nil, make(chan error, clients)}
	for range clients {
		near := c.dial(t, c.errs)
		head := append(framed(1, nil)[:8], 0, 0x20, 0, 0)     // of 2 MiB
		go near.Write(append(head, make([]byte, 700_000)...)) // waits for memory, or is read
		c.stalled = append(c.stalled, near)
	}
	synctest.Wait()
	return c
}

func (c *crowd) dial(t *testing.T, served chan<- error) net.Conn {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	go func() { served <- c.Serve(t.Context(), t.Context(), far) }()
	return near
}

// send makes a call and says how long it took.
func (c *crowd) send(t *testing.T, body int) time.Duration {
	conn := connect(t, c.dial(t, make(chan error, 1)), Wrapping{})
	defer conn.Close()
	start := time.Now()
	if err := conn.AppendBatch(t.Context(), flume.Batch{{Body: make([]byte, body)}}); err != nil {
		t.Errorf("a call of %d bytes: %v", body, err)
	}
	return time.Since(start)
}

func TestSmallFramesDoNotWaitForStalledOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stall(t, 10)
		for range 100 {
			if took := c.send(t, 50_000); took != 0 {
				t.Fatalf("it took %s", took)
			}
		}
	})
}

func TestStalledClientsAreCutWhileOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stall(t, 5)
		var mu sync.Mutex
		var said []string
		over := false
		c.Budget.Pressed = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				over = true
				return
			}
			said = append(said, err.Error())
		}
		if took := c.send(t, 3<<20); took > 5*(hurry+2*lookEvery) {
			t.Errorf("it took %s", took)
		}
		err := <-c.errs
		if !errors.Is(err, ErrSlow) {
			t.Error(err)
		}
		time.Sleep(30 * time.Second) // the others that waited were given what they waited for, and stall too
		synctest.Wait()
		if !over || len(said) == 0 || !strings.Contains(said[0], "calls wait for memory") || !strings.Contains(said[0], "slow clients are disconnected") {
			t.Errorf("%v, %q", over, said)
		}
	})
}

func TestSlowClientsStayWhereNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stall(t, 1)
		for range 20 {
			time.Sleep(stallTime / 2)
			if _, err := c.stalled[0].Write([]byte{0}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A call that waits in a full channel is no slow client, whoever waits for its memory.
func TestCallsInTheChannelAreNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slow{make(chan struct{}), make(chan struct{})}
		c := &crowd{&Server{Calls: s, MaxFrame: 4 << 20, Budget: NewBudget(8 << 20)}, nil, nil}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { c.send(t, 3<<20) })
		}
		for range 5 {
			<-s.begun
			time.Sleep(time.Hour)
			s.end <- struct{}{}
		}
		wg.Wait()
	})
}

// A frame is never held more than five quarters, whatever it grows through.
func TestFramesGrowEvenly(t *testing.T) {
	for _, all := range []int64{1, firstPiece, firstPiece + 1, 1 << 20, 10_000_001, 64 << 20} {
		var size, copied int64
		for size < all {
			next := nextSize(size, all)
			if size > 0 && next > 4*size || size == 0 && next > firstPiece || next > all || size+next > all+all/4+4 {
				t.Errorf("%d of %d after %d", next, all, size)
			}
			copied += size
			size = next
		}
		if size != all || copied > all/3+16 {
			t.Errorf("%d of %d, %d copied", size, all, copied)
		}
	}
}

func TestRefusedCallsAreTold(t *testing.T) {
	var told []string
	client, stop := serve(t, &Server{Calls: &recorder{fail: []bool{true}}, Refused: func(_ net.Addr, err error) { told = append(told, err.Error()) }})
	ask(t, client, framed(1, own().append(nil), call("nosuch", nil)))
	ask(t, client, framed(2, call(appendName, []byte{3, 3, 3})))
	ask(t, client, framed(3, call(appendBatchName, event.AppendArray(nil, one())))) // FAILED is the channel's affair
	stop()
	if len(told) != 2 || !strings.Contains(told[0], "nosuch") || !strings.Contains(told[1], "AvroFlumeEvent") {
		t.Errorf("%q", told)
	}
}

// A channel that is slow holds up the reading of frames; that is no stall of the client's.
func TestAClientThatWaitsForTheBudgetIsNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Calls: discard{}, MaxFrame: 64 << 20, Budget: NewBudget(1 << 20)}
		all, beyond := &loan{from: s.Budget}, &loan{from: s.Budget}
		for l, bytes := range map[*loan]int64{all: s.Budget.small, beyond: s.Budget.most} {
			if _, err := l.grow(t.Context(), bytes); err != nil {
				t.Fatal(err)
			}
		}
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- s.Serve(t.Context(), t.Context(), far) }()
		go func() {
			time.Sleep(stallTime * 3 / 2)
			all.end()
			beyond.end()
		}()
		c := connect(t, near, Wrapping{})
		if err := c.AppendBatch(t.Context(), flume.Batch{{Body: make([]byte, 100<<10)}}); err != nil {
			t.Error("client:", err)
		}
		c.Close()
		if err := <-served; err != nil {
			t.Error("server:", err)
		}
	})
}

func FuzzServer(f *testing.F) {
	for _, c := range captures(f) {
		f.Add(bytesOf(f, c.Name+".client.bin"), strings.Contains(c.Name, "deflate"))
	}
	f.Fuzz(func(t *testing.T, in []byte, deflate bool) {
		b := NewBudget(1 << 20)
		client, stop := serve(t, &Server{Calls: &recorder{}, Deflate: deflate, MaxFrame: 1 << 16, Budget: b})
		go io.Copy(io.Discard, client)
		client.Write(in)
		stop()
		if !b.untouched() {
			t.Fatalf("%+v", b)
		}
	})
}

func FuzzDialect(f *testing.F) {
	f.Add([]byte(protocolText), []byte{0, 0})
	f.Add([]byte(`{"types":[{"type":"record","name":"E","fields":[{"name":"u","type":["null","E"]},{"name":"body","type":"string"},{"name":"headers","type":{"type":"map","values":"bytes"}}]}],"messages":{"append":{"request":[{"type":"E"}]}}}`), []byte{2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, text, parameter []byte) {
		d, err := parseDialect(text)
		if err != nil {
			return
		}
		for _, r := range []*record{d.single, d.batch} {
			if r == nil {
				continue
			}
			if out, err := r.events(parameter, r == d.batch); err == nil && len(out) > 16*len(parameter)+16 {
				t.Fatalf("%d bytes became %d", len(parameter), len(out))
			}
		}
	})
}

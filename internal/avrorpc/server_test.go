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
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
	"github.com/sluice-io/sluice/internal/rpc"
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
	s := &Server{Calls: &recorder{}, MaxFrame: 1 << 20, Budget: rpc.NewBudget(1 << 20)}
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
	client, stop := serve(t, &Server{Calls: r, MaxFrame: 1 << 16, Budget: rpc.NewBudget(200_000)})
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
	f("it needs 150016 bytes or more, 137500 are the most for 3000 events and 0 headers", call(appendBatchName, append(append(binary.AppendVarint(nil, 3000), make([]byte, 6000)...), 0)))
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
			server := &Server{Calls: s, MaxFrame: 1 << 20, Budget: rpc.NewBudget(1 << 20)}
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

func TestBudgetIsGivenBack(t *testing.T) {
	b := rpc.NewBudget(8 << 20)
	client, stop := serve(t, &Server{Calls: &recorder{}, Budget: b})
	big := event.AppendArray(nil, flume.Batch{{Body: make([]byte, 3<<20)}})
	if got := ask(t, client, framed(1, own().append(nil), call(appendBatchName, big))); !bytes.HasSuffix(got, ok) {
		t.Errorf("% x", got)
	}
	stop()
	if b.Held() != 0 {
		t.Errorf("%+v", b)
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

func FuzzServer(f *testing.F) {
	for _, c := range captures(f) {
		f.Add(bytesOf(f, c.Name+".client.bin"), strings.Contains(c.Name, "deflate"))
	}
	f.Fuzz(func(t *testing.T, in []byte, deflate bool) {
		b := rpc.NewBudget(1 << 20)
		client, stop := serve(t, &Server{Calls: &recorder{}, Deflate: deflate, MaxFrame: 1 << 16, Budget: b})
		go io.Copy(io.Discard, client)
		client.Write(in)
		stop()
		if b.Held() != 0 {
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

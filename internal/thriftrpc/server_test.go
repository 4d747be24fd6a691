package thriftrpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
)

func newRefusals(into *[]string) func(net.Addr, error) {
	return func(_ net.Addr, err error) { *into = append(*into, err.Error()) }
}

// framed puts a length before bytes.
func framed(message string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
}

// What cannot be read behind the name of a call is answered, and the connection stays.
func TestBadArgumentsKeepTheConnection(t *testing.T) {
	const head, batch = "\x82\x21\x01\x06append", "\x82\x21\x01\x0bappendBatch"
	r := &recorder{}
	var refused []string
	client, stop := serve(t, &Server{Calls: r, Refused: newRefusals(&refused)})
	defer stop()
	for message, want := range map[string]string{
		head:                                   "7: reading Thrift at byte 10 of 10: it ends before a field",
		head + "\x1c":                          "it ends before a field",
		head + "\x1c\x1b\x7f":                  "the headers has a length of 127, where 0 bytes are left",
		head + "\x1c\x1b\xff\xff\xff\xff\x07":  "the headers has a length of 2147483647, where 0 bytes are left",
		head + "\x1c\x1b\x01\x88\x05ab":        "a header's name has a length of 5, where 2 bytes are left",
		head + "\x1c\x1b\x01\x85\x01a\x02\x00": "the headers are of types 11 and 8 and not strings",
		head + "\x1c\x1b\x00\x18\x80":          "it ends in the body, or that is no number",
		head + "\x1c\x1b\x00\x18" + strings.Repeat("\xff", 12):                  "the body, or that is no number",
		head + "\x1c\x18\x00\x00\x00":                                           "Required field 'headers' was not present! Struct: ThriftFlumeEvent",
		head + "\x1c\x1b\x00\x00\x00":                                           "Required field 'body' was not present! Struct: ThriftFlumeEvent",
		head + "\x1c\x1b\x00\x15\x00\x00\x00":                                   "Required field 'body' was not present! Struct: ThriftFlumeEvent", // an i32 is no body
		head + "\x1c\x1b\x00\x18\x01x\x00\x00more":                              "4 bytes follow the call in its frame",
		head + "\x1c\x1b\x00\x18\x01x\x00\x0c\x02\x1b\x00\x18\x01y\x00\x00":     "the argument comes twice",
		head + "\x2c" + strings.Repeat("\x1c", 70) + strings.Repeat("\x00", 72): "fields are nested too deep",
		head + "\x1f": "15 is no type",
		head + "\x00": "6: Internal error processing append",
		head + "\x19\x1c\x1b\x00\x18\x00\x00\x00": "6: Internal error processing append", // a list is no event
		batch + "\x00":                     "6: Internal error processing appendBatch",
		batch + "\x19\xfc\xff\xff\xff\x7f": "the list of structs has a length of 268435455, where 0 bytes are left",
		batch + "\x19\x18\x01x\x00":        "the list has elements of type 11 and not structs",
		"\x82\x21\x01\x05bogus\x00":        "1: Invalid method name: 'bogus'",
		"\x82\x21\x01\x00\x00":             "1: Invalid method name: ''",
	} {
		before := len(refused)
		go client.Write(framed(message))
		got, err := readAll(client)
		if err != nil {
			t.Fatalf("%q: %v", message, err)
		}
		if text := answer(Compact, got); !strings.Contains(text, "EXCEPTION") || !strings.Contains(text, want) {
			t.Errorf("%q: %s, want %s", message, text, want)
		}
		if len(refused) != before+1 {
			t.Errorf("%q: refused %q", message, refused[before:])
		}
	}
	go client.Write(framed(batch + "\x19\x00\x00")) // an empty list of nothing
	if got, err := readAll(client); err != nil || answer(Compact, got) != "appendBatch 1 REPLY 0" {
		t.Errorf("% x, %v", got, err)
	}
	if len(r.got) != 0 {
		t.Errorf("%d events", len(r.got))
	}
}

// What is no call of the protocol closes the connection, and it is said what it may be.
func TestGarbageClosesTheConnection(t *testing.T) {
	f := func(p Protocol, in, want string) {
		t.Helper()
		client, stop := serve(t, &Server{Calls: &recorder{}, Protocol: p, MaxFrame: 1000})
		go client.Write([]byte(in))
		if n, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%q: read %d, %v", in, n, err)
		}
		if err := stop(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
	for _, p := range protocols {
		f(p, "\x00\x00\x00\x00", "a frame of 0 bytes")
		f(p, "\xff\xff\xff\xff", "a frame of -1 bytes")
		f(p, "\x7f\xff\xff\xff", "the frame is too large: 2147483647 bytes, where 1000 are the most")
		f(p, "\x00\x00\x03\xe9", "the frame is too large: 1001 bytes, where 1000 are the most")
		f(p, "GET / HTTP/1.1\r\n\r\n", "the peer speaks HTTP")
		f(p, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "the peer speaks TLS")
		f(p, "\x80\x01\x00\x01\x00\x00\x00\x06append", "the peer sends messages without frames")
		f(p, "\x82\x21\x01\x06append", "the peer sends messages without frames")
		f(p, "\x00\x00\x00\x01\x00", "what arrived is no Thrift call")
	}
	f(Compact, string(framed("\x80\x01\x00\x01\x00\x00\x00\x06append")), "the peer speaks the binary protocol (protocol = binary), and this end compact")
	f(Compact, string(framed("\x00\x00\x00\x06append")), "the binary protocol in its old style")
	f(Compact, string(framed("\x82\x22\x01\x06append")), "it starts with 82 22")
	f(Compact, string(framed("\x82\xe1\x01\x06append")), "7 is no kind of message")
	f(Compact, string(framed("\x82\x21\x01\xff\x07append")), "the name of the method has a length of 1023, where 6 bytes are left")
	f(Compact, string(framed("\x82\x21\x01\x90\x03"+strings.Repeat("a", 400)+"\x00")), "the name of the method has 400 bytes")
	f(Binary, string(framed("\x82\x21\x01\x06append")), "the peer speaks the compact protocol (protocol = compact), and this end binary")
	f(Binary, string(framed("\x80\x02\x00\x01\x00\x00\x00\x06append")), "it starts with 80 02")
	f(Binary, string(framed("\x00\x00\x00\x06append\x01\x00")), "the sequence number of 4 bytes, where 1 are left")
	f(Binary, string(framed("\x7f\xff\xff\xffappend\x01\x00")), "the name of the method has a length of 2147483647, where 8 bytes are left")
}

// A call may need more memory than one may have: its sender is told, and what was small goes on.
func TestCallsThatNeedTooMuchMemory(t *testing.T) {
	var refused []string
	client, stop := serve(t, &Server{Calls: &recorder{}, Budget: rpc.NewBudget(200_000), MaxFrame: 1 << 16, Refused: newRefusals(&refused)})
	defer stop()
	w := writer{}
	f := func(events int) string {
		w.beginFrame()
		w.events(1, make(flume.Batch, events))
		go client.Write(w.endFrame())
		got, err := readAll(client)
		if err != nil {
			t.Fatal(err)
		}
		return answer(Compact, got)
	}
	if got := f(3000); !strings.Contains(got, "EXCEPTION 6: Internal error processing appendBatch: ") || !strings.Contains(got, "are the most for 3000 events and 0 headers") {
		t.Error(got)
	}
	if got := f(100); got != "appendBatch 1 REPLY 0" {
		t.Error(got)
	}
	if len(refused) != 1 {
		t.Errorf("%q", refused)
	}
}

func TestBudgetIsGivenBack(t *testing.T) {
	b := rpc.NewBudget(8 << 20)
	r := &recorder{}
	client, stop := serve(t, &Server{Calls: r, Budget: b, MaxFrame: 4 << 20})
	w := writer{}
	for _, size := range []int{3 << 20, 1} {
		w.beginFrame()
		w.events(1, flume.Batch{{Body: make([]byte, size)}, {}})
		go client.Write(w.endFrame())
		if got, err := readAll(client); err != nil || answer(Compact, got) != "appendBatch 1 REPLY 0" {
			t.Errorf("% x, %v", got, err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if b.Held() != 0 {
		t.Errorf("%d bytes are still held", b.Held())
	}
	if len(r.got[0].Body) != 3<<20 || len(r.got) != 4 {
		t.Errorf("%d events", len(r.got))
	}
}

// A trickle pins nothing: bodies that are less than half of their frame are copied out of it.
func TestSmallBodiesAreCopied(t *testing.T) {
	r := &recorder{}
	client, stop := serve(t, &Server{Calls: r})
	defer stop()
	w := writer{}
	w.beginFrame()
	w.events(1, flume.Batch{{Headers: flume.Headers{{Key: "k", Value: strings.Repeat("v", 1000)}}, Body: []byte("b")}, {Body: []byte("c")}})
	go client.Write(w.endFrame())
	if _, err := readAll(client); err != nil {
		t.Fatal(err)
	}
	if c := cap(r.got[0].Body[:1]); c != 1 || string(r.got[0].Body)+string(r.got[1].Body) != "bc" {
		t.Errorf("cap %d, %v", c, r.got)
	}
}

func TestStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, end := make(chan struct{}), make(chan struct{})
		s := &Server{Log: func(context.Context, flume.Batch) error { close(begun); <-end; return nil }, Protocol: Binary, MaxFrame: 1 << 20, Budget: rpc.NewBudget(1 << 22)}
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, t.Context(), far) }()
		go near.Write(scribe(true, nil))
		<-begun
		cancel()
		synctest.Wait()
		time.Sleep(time.Hour) // the call goes on
		close(end)
		if got, err := readAll(near); err != nil || answer(Binary, got) != "Log 7 REPLY 0" {
			t.Errorf("% x, %v", got, err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func hundred() flume.Batch {
	b := make(flume.Batch, 100)
	for i := range b {
		b[i].Body = make([]byte, 512)
		for n := range 4 {
			b[i].Headers = append(b[i].Headers, flume.Header{Key: fmt.Sprintf("header %d", n), Value: fmt.Sprintf("a value %d of event %d", n, i)})
		}
	}
	return b
}

// decode is what a server does with a frame that has arrived.
func decode(t testing.TB, tk *talk, frame []byte, l *rpc.Loan) flume.Batch {
	tk.reader = newReader(frame, tk.server.Protocol)
	tk.message, tk.frame = tk.reader.head(), frame
	b, err := tk.events(never, l, flumeEvent, true)
	if err != nil {
		t.Fatal(err)
	}
	l.End()
	return b
}

// Decoding costs a few allocations a call, however many events it has.
func TestDecodeAllocations(t *testing.T) {
	for _, p := range protocols {
		w := writer{protocol: p}
		w.beginFrame()
		w.events(1, hundred())
		frame := w.endFrame()[4:]
		tk, l := &talk{server: &Server{Protocol: p}}, rpc.NewBudget(1<<20).Loan()
		if got := testing.AllocsPerRun(100, func() { decode(t, tk, frame, l) }); got > 4 {
			t.Errorf("%s: %v allocations for 100 events", p, got)
		}
	}
}

func TestEncodeAllocations(t *testing.T) {
	b := hundred()
	for _, p := range protocols {
		w := writer{protocol: p, out: make([]byte, 0, 1<<20)}
		if got := testing.AllocsPerRun(100, func() { w.beginFrame(); w.events(1, b); w.endFrame() }); got > 1 {
			t.Errorf("%s: %v allocations for 100 events", p, got)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, p := range protocols {
		b.Run(p.String(), func(b *testing.B) {
			w := writer{protocol: p}
			w.beginFrame()
			w.events(1, hundred())
			frame := w.endFrame()[4:]
			tk, l := &talk{server: &Server{Protocol: p}}, rpc.NewBudget(1<<20).Loan()
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				decode(b, tk, frame, l)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, p := range protocols {
		b.Run(p.String(), func(b *testing.B) {
			events := hundred()
			w := writer{protocol: p}
			b.ReportAllocs()
			for b.Loop() {
				w.beginFrame()
				w.events(1, events)
				b.SetBytes(int64(len(w.endFrame())))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
		})
	}
}

func FuzzServer(f *testing.F) {
	for _, c := range captures(f) {
		f.Add(bytesOf(f, c.Name+".client.bin"), c.Protocol == "binary", false)
	}
	text := "x"
	f.Add(scribe(true, [][2]*string{{&text, &text}}), true, true)
	w := newPen(Compact, true, nil)
	w.call(appendBatchName, 1, flumetest.Events(0, 2), true)
	f.Add(w.framed(), false, false)
	f.Fuzz(func(t *testing.T, in []byte, binary, log bool) {
		b := rpc.NewBudget(1 << 20)
		r := &recorder{}
		s := &Server{Calls: r, MaxFrame: 1 << 16, Budget: b}
		if binary {
			s.Protocol = Binary
		}
		if log {
			s.Protocol, s.Log = Binary, r.AppendBatch
		}
		client, stop := serve(t, s)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				frame, err := readAll(client)
				if err != nil {
					return
				}
				answer(s.Protocol, frame) // which the library can read
			}
		}()
		client.Write(in)
		stop()
		<-done
		if b.Held() != 0 {
			t.Fatalf("%d bytes are still held", b.Held())
		}
		for i := range r.got {
			if cap(r.got[i].Body) != len(r.got[i].Body) {
				t.Fatalf("event %d has room behind its body", i)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, c := range captures(f) {
		for _, frame := range frames(bytesOf(f, c.Name+".server.bin")) {
			f.Add(frame[4:], c.Protocol == "binary")
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, binary bool) {
		p := Compact
		if binary {
			p = Binary
		}
		near, far := net.Pipe()
		defer far.Close()
		conn, err := NewConn(never, near, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.judge(appendName, in)
	})
}

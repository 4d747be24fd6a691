package avrorpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
	"github.com/sluice-io/sluice/internal/rpc"
	javatls "github.com/sluice-io/sluice/internal/tls"
)

func connect(t testing.TB, conn net.Conn, w Wrapping) *Conn {
	t.Helper()
	c, err := NewConn(context.Background(), conn, w)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func batchOf(n int) flume.Batch {
	b := make(flume.Batch, n)
	for i := range b {
		b[i] = flume.Event{Headers: flume.Headers{{Key: "n", Value: fmt.Sprint(i)}}, Body: fmt.Appendf(nil, "body %d", i)}
	}
	return b
}

func TestBothEnds(t *testing.T) {
	server := javatls.Server{SSL: true, Keystore: "../tls/testdata/server.jks", KeystorePassword: "changeit"}
	client := javatls.Client{SSL: true, Truststore: "../tls/testdata/trust.p12", TruststorePassword: "changeit"}
	sc, err := server.Config()
	if err != nil {
		t.Fatal(err)
	}
	cc, err := client.Config("localhost")
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, s *Server, w Wrapping) {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			s.Calls = r
			client, stop := serve(t, s)
			conn := connect(t, client, w)
			want := append(batchOf(100), batchOf(1)...)
			if err := conn.AppendBatch(context.Background(), want[:100]); err != nil {
				t.Fatal(err)
			}
			if err := conn.Append(context.Background(), &want[100]); err != nil {
				t.Fatal(err)
			}
			big := flume.Batch{{Body: bytes.Repeat([]byte("0123456789"), 1<<17)}}
			if err := conn.AppendBatch(context.Background(), big); err != nil {
				t.Fatal(err)
			}
			want = append(want, big...)
			if got := event.AppendArray(nil, r.got); !bytes.Equal(got, event.AppendArray(nil, want)) {
				t.Error("the events are not the same")
			}
			conn.Close()
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
	f("plain", &Server{}, Wrapping{})
	for level := range 10 {
		f(fmt.Sprint("deflate ", level), &Server{Deflate: true}, Wrapping{Deflate: true, Level: level})
	}
	f("TLS", &Server{TLS: sc}, Wrapping{TLS: cc})
	f("TLS in deflate", &Server{TLS: sc, Deflate: true}, Wrapping{TLS: cc, Deflate: true, Level: 6})
	f("deflate in TLS", &Server{TLS: sc, Deflate: true}, Wrapping{TLS: cc, Deflate: true, Level: 6, Inside: true})
}

func TestMismatchedEnds(t *testing.T) {
	server := javatls.Server{SSL: true, Keystore: "../tls/testdata/server.jks", KeystorePassword: "changeit"}
	sc, err := server.Config()
	if err != nil {
		t.Fatal(err)
	}
	cc := &tls.Config{InsecureSkipVerify: true}
	f := func(s *Server, w Wrapping, client, want string) {
		t.Helper()
		s.Calls = &recorder{}
		near, stop := serve(t, s)
		conn, err := NewConn(context.Background(), near, w)
		if err == nil {
			err = conn.AppendBatch(context.Background(), batchOf(1))
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), client) {
			t.Errorf("client: %v, want %q", err, client)
		}
		if err := stop(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("server: %v, want %q", err, want)
		}
	}
	f(&Server{}, Wrapping{TLS: cc}, "shaking hands over TLS", "the peer speaks TLS")
	f(&Server{}, Wrapping{Deflate: true, Level: 1}, "no answer to the first call", "the peer compresses")
	f(&Server{Deflate: true}, Wrapping{}, "no answer to the first call", "the peer does not compress")
	f(&Server{TLS: sc}, Wrapping{}, "no answer to the first call", "does not look like a TLS handshake")
	f(&Server{Deflate: true}, Wrapping{TLS: cc, Deflate: true, Level: 1, Inside: true}, "no answer to the first call", "the peer does not compress")
	f(&Server{TLS: sc, Deflate: true}, Wrapping{}, "no answer to the first call", "the peer speaks neither TLS nor deflate")
}

// far is the server's end of a connection, for scripts.
type far struct {
	t    *testing.T
	conn net.Conn
}

func (f far) read() frame { f.t.Helper(); return readFrame(f.t, f.conn) }
func (f far) answer(serial int32, payload ...byte) {
	if _, err := f.conn.Write(framed(serial, nil, payload[:len(payload)/2], payload[len(payload)/2:])); err != nil {
		f.t.Error(err)
	}
}

func TestManyCallsAnsweredInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, b := net.Pipe()
		server := far{t, b}
		conn := connect(t, near, Wrapping{})
		const calls = 50
		var wg sync.WaitGroup
		results := make([]error, calls)
		for i := range calls {
			wg.Go(func() {
				results[i] = conn.AppendBatch(context.Background(), flume.Batch{{Body: []byte{byte(i)}}})
			})
		}
		// The handshake is alone: nothing more comes before it is answered.
		first := server.read()
		synctest.Wait()
		b.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := b.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Fatal("a second call was sent before the handshake was answered")
		}
		b.SetReadDeadline(time.Time{})
		server.answer(first.serial, 0, 0, 0, 0, 0, 0, first.payload[len(first.payload)-2]&1<<1)
		var later []frame
		for range calls - 1 {
			later = append(later, server.read())
		}
		rand.Shuffle(len(later), func(i, j int) { later[i], later[j] = later[j], later[i] })
		server.answer(-1, 0, 0, 0) // nobody asked that
		for _, f := range later {
			server.answer(f.serial, 0, 0, f.payload[len(f.payload)-2]&1<<1)
		}
		wg.Wait()
		for i, err := range results {
			var status *rpc.StatusError
			if odd := i%2 == 1; odd != errors.As(err, &status) || !odd && err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		}
		conn.Close()
		b.Close()
	})
}

func TestServerThatDoesNotKnowTheClient(t *testing.T) {
	f := func(again match, want string) {
		t.Helper()
		near, b := net.Pipe()
		server := far{t, b}
		conn := connect(t, near, Wrapping{})
		defer conn.Close()
		defer b.Close()
		done := make(chan error, 1)
		go func() { done <- conn.Append(context.Background(), &one()[0]) }()
		first := server.read()
		server.answer(first.serial, append(append([]byte{4, 2, 2, 'x', 2}, bytes.Repeat([]byte{7}, 16)...), 0)...)
		second := server.read()
		r := &reader{rest: second.payload}
		g := readGreeting(r)
		if second.serial == first.serial || string(g.text) != protocolText || g.client != textHash() || g.server[0] != 7 {
			t.Errorf("serial %d, %+v", second.serial, g)
		}
		server.answer(second.serial, append(binary.AppendVarint(nil, int64(again)), 0, 0, 0, 0, 0, 0)...)
		err := <-done
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f(matchBoth, "<nil>")
	f(matchClient, "<nil>")
	f(matchNone, "the peer does not take Flume's protocol")
}

func TestAnswersThatAreNone(t *testing.T) {
	f := func(first bool, raw []byte, want string) {
		t.Helper()
		near, b := net.Pipe()
		server := far{t, b}
		conn := connect(t, near, Wrapping{})
		defer conn.Close()
		done := make(chan error, 2)
		send := func() { done <- conn.Append(context.Background(), &one()[0]) }
		if !first {
			go send()
			server.answer(server.read().serial, 0, 0, 0, 0, 0, 0, 0)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		go send()
		server.read()
		b.Write(raw)
		b.Close()
		err := <-done
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("% x: %v, want %q", raw, err, want)
		}
		if first != errors.Is(err, rpc.ErrUnanswered) && !strings.Contains(want, "receiver") {
			t.Errorf("% x: unanswered: %v", raw, err)
		}
		<-conn.gone
		if conn.Err() == nil {
			t.Errorf("% x: the connection is still in use", raw)
		}
	}
	f(true, nil, "no answer to the first call: EOF")
	f(true, []byte{0, 0, 0}, "no answer to the first call: unexpected EOF")
	f(true, []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "no answer to the first call: what arrived is no Avro RPC frame: the peer speaks HTTP")
	f(true, framed(9, []byte{0, 0, 0, 0, 0, 0, 0}), "the peer answered call 9 and not 1")
	f(true, framed(1, []byte{8}), "no answer to the first call that could be understood")
	f(true, framed(1, []byte{0, 1, 0, 4, 'n', 'o'}), "the receiver answered with an error: no")
	f(true, unhex(t, "00000001 00000001 7fffffff"), "more than 1048576 bytes")
	f(false, nil, "the peer closed the connection")
	f(false, framed(2, []byte{0, 0}), "reading the answer: the payload ends in the status")
	f(false, framed(2, []byte{0, 0, 6}), "reading the answer: the status is branch 3 of a union that has 3")
	f(false, framed(2, []byte{0, 1, 2}), "reading the answer: the error is branch 1")
	f(false, framed(2, nil), "reading the answer: the payload ends in the answer's meta")
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		within := func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 5*time.Second)
		}
		// The server does not read.
		near, b := net.Pipe()
		conn := connect(t, near, Wrapping{})
		ctx, cancel := within()
		start := time.Now()
		err := conn.AppendBatch(ctx, one())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second || conn.Err() == nil {
			t.Errorf("sending: %v after %s", err, time.Since(start))
		}
		cancel()
		b.Close()

		// It reads and does not answer, first the handshake and then a call.
		for calls := range 2 {
			near, b := net.Pipe()
			server := far{t, b}
			conn := connect(t, near, Wrapping{})
			go func() {
				if calls > 0 {
					server.answer(server.read().serial, 0, 0, 0, 0, 0, 0, 0)
				}
				server.read()
			}()
			if calls > 0 {
				if err := conn.AppendBatch(context.Background(), one()); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := within()
			start := time.Now()
			err := conn.AppendBatch(ctx, one())
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
				t.Errorf("waiting: %v after %s", err, time.Since(start))
			}
			cancel()
			if err := conn.AppendBatch(context.Background(), one()); err == nil {
				t.Error("a broken connection was used")
			}
			b.Close()
		}
	})
}

func TestTooLargeACall(t *testing.T) {
	near, b := net.Pipe()
	defer b.Close()
	conn := connect(t, near, Wrapping{})
	defer conn.Close()
	if err := conn.call(context.Background(), appendName, 1<<31, nil); err == nil || !strings.Contains(err.Error(), "more than Avro RPC can carry") {
		t.Error(err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	s := &Server{Calls: discard{}, MaxFrame: 1 << 24, Budget: rpc.NewBudget(1 << 25)}
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = s.Serve(context.Background(), context.Background(), conn)
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	conn := connect(b, raw, Wrapping{})
	batch := make(flume.Batch, 100)
	for i := range batch {
		for h := range 4 {
			batch[i].Headers = append(batch[i].Headers, flume.Header{Key: fmt.Sprintf("header-%d", h), Value: fmt.Sprintf("value %d of %d", h, i)})
		}
		batch[i].Body = make([]byte, 512)
	}
	b.ReportAllocs()
	b.SetBytes(int64(event.ArrayLen(batch)))
	for b.Loop() {
		if err := conn.AppendBatch(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
	conn.Close()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

type discard struct{}

func (discard) Append(context.Context, flume.Batch) error      { return nil }
func (discard) AppendBatch(context.Context, flume.Batch) error { return nil }

func FuzzConn(f *testing.F) {
	for _, c := range captures(f) {
		f.Add(bytesOf(f, c.Name+".server.bin"), strings.Contains(c.Name, "deflate"))
	}
	f.Fuzz(func(t *testing.T, answers []byte, deflate bool) {
		near, b := net.Pipe()
		go io.Copy(io.Discard, b)
		go func() { b.Write(answers); b.Close() }()
		conn, err := NewConn(context.Background(), near, Wrapping{Deflate: deflate})
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if conn.AppendBatch(context.Background(), one()) != nil {
				break
			}
		}
		conn.Close()
	})
}

// A receiver that expects TLS in deflate only, as Flume 1.11: what it answers to the other order is no TLS.
func TestOtherOrderIsNamed(t *testing.T) {
	near, b := net.Pipe()
	go func() {
		io.ReadFull(b, make([]byte, 1))
		go io.Copy(io.Discard, b)
		b.Write(unhex(t, "789c030000000001"))
		b.Close()
	}()
	_, err := NewConn(context.Background(), near, Wrapping{TLS: &tls.Config{InsecureSkipVerify: true}, Deflate: true, Level: 6, Inside: true})
	if err == nil || !strings.Contains(err.Error(), "compress-inside-tls") {
		t.Error(err)
	}
}

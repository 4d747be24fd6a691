package thriftrpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// capture is one connection of testdata/manifest.json: real bytes of both directions.
type capture struct {
	Name         string
	Plan         string // "append:1,batch:3": what a client was told to send, and how many events
	Protocol     string
	Events       []flumetest.GoldenEvent
	ClientFrames []int `json:"client_frames"`
	Delivered    bool  `json:"delivered_equals_events"`
}

func (c *capture) protocol() Protocol {
	if c.Protocol == "binary" {
		return Binary
	}
	return Compact
}

// calls are the events of each call.
func (c *capture) calls(t testing.TB) []flume.Batch {
	var out []flume.Batch
	events := c.Events
	for _, step := range strings.Split(c.Plan, ",") {
		_, count, _ := strings.Cut(step, ":")
		n, err := strconv.Atoi(count)
		if err != nil {
			t.Fatal(err)
		}
		b := make(flume.Batch, n)
		for i := range b {
			b[i] = events[i].Event()
		}
		events = events[n:]
		out = append(out, b)
	}
	return out
}

func captures(t testing.TB) []capture {
	text, err := os.ReadFile("testdata/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Cases []capture }
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Cases) != 22 {
		t.Fatalf("%d captures, want 22", len(m.Cases))
	}
	return m.Cases
}

func bytesOf(t testing.TB, name string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frames cuts a stream into frames with their lengths.
func frames(stream []byte) [][]byte {
	var out [][]byte
	for len(stream) > 0 {
		n := 4 + int(int32(binary.BigEndian.Uint32(stream)))
		if n < 4 || n > len(stream) {
			return append(out, stream)
		}
		out, stream = append(out, stream[:n]), stream[n:]
	}
	return out
}

// readAll reads a frame with its length from the network.
func readAll(conn io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	out := append(head, make([]byte, binary.BigEndian.Uint32(head))...)
	_, err := io.ReadFull(conn, out[4:])
	return out, err
}

// recorder is rpc.Calls that remembers, and fails with its room.
type recorder struct {
	got   flume.Batch
	calls []int
	room  int // events; 0: no bound
}

var errFull = errors.New("the channel is full")

func (r *recorder) Append(ctx context.Context, b flume.Batch) error {
	if len(b) != 1 {
		panic("append of other than one event")
	}
	return r.AppendBatch(ctx, b)
}

func (r *recorder) AppendBatch(_ context.Context, b flume.Batch) error {
	if r.room > 0 && len(r.got)+len(b) > r.room {
		return errFull
	}
	r.got = append(r.got, b...)
	r.calls = append(r.calls, len(b))
	return nil
}

// serve runs a server on one end of a pipe; stop ends it and returns its error.
func serve(t testing.TB, s *Server) (client net.Conn, stop func() error) {
	t.Helper()
	if s.MaxFrame == 0 {
		s.MaxFrame = MaxFrame
	}
	if s.Budget == nil {
		s.Budget = rpc.NewBudget(1 << 26)
	}
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), context.Background(), a) }()
	return b, func() error { b.Close(); return <-done }
}

// What real clients sent is answered with the bytes that Flume's source answered.
func TestServerAnswersRealClients(t *testing.T) {
	for _, c := range captures(t) {
		t.Run(c.Name, func(t *testing.T) {
			r := &recorder{}
			if strings.HasSuffix(c.Name, "-full") {
				r.room = 1
			}
			client, stop := serve(t, &Server{Calls: r, Protocol: c.protocol()})
			answers := frames(bytesOf(t, c.Name+".server.bin"))
			for i, request := range frames(bytesOf(t, c.Name+".client.bin")) {
				go client.Write(request)
				got, err := readAll(client)
				switch {
				case strings.HasSuffix(c.Name, "-errors") && i == 4:
					if !bytes.Contains(got, []byte("Required field 'body' was not present! Struct: ThriftFlumeEvent")) || got[len(got)-2] != answers[i][len(answers[i])-2] {
						t.Errorf("call %d: %q, want as %q", i, got, answers[i])
					}
				case strings.HasSuffix(c.Name, "-errors") && i == 5: // Flume has lost its place and closes
					if !bytes.Equal(tail(got, c.protocol()), tail(answers[3], c.protocol())) {
						t.Errorf("after a struct without its body: % x", got)
					}
				case i >= len(answers):
					if !errors.Is(err, io.EOF) {
						t.Errorf("call %d: % x, %v, and Flume closes", i, got, err)
					}
				case !bytes.Equal(got, answers[i]):
					t.Errorf("call %d: % x, %v, want % x", i, got, err, answers[i])
				}
			}
			err := stop()
			if closes := len(answers) == 0; closes != (err != nil) {
				t.Error(err)
			}
			if c.Delivered {
				flumetest.SameAsGolden(t, r.got, c.Events)
			}
		})
	}
}

// tail is an answer behind its sequence number.
func tail(answer []byte, p Protocol) []byte {
	if p == Compact {
		return answer[7:]
	}
	return answer[8+4+len(appendName)+4:]
}

// What our client sends is what real clients sent, and it understands what Flume answered.
func TestClientSendsWhatRealClientsSend(t *testing.T) {
	for _, c := range captures(t) {
		if !strings.HasPrefix(c.Name, "java") && !strings.HasPrefix(c.Name, "python") {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			conn, err := NewConn(context.Background(), near, c.protocol(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			requests, answers := frames(bytesOf(t, c.Name+".client.bin")), frames(bytesOf(t, c.Name+".server.bin"))
			for i, b := range c.calls(t) {
				if strings.HasPrefix(c.Name, "python") { // its sequence number is 0
					conn.sequence = -1
				}
				sent := make(chan []byte, 1)
				go func() {
					got, _ := readAll(far)
					sent <- got
					far.Write(answers[i])
				}()
				if bytes.Contains(requests[i], []byte(appendBatchName)) {
					err = conn.AppendBatch(context.Background(), b)
				} else {
					err = conn.Append(context.Background(), &b[0])
				}
				got := <-sent
				several := 0 // headers, whose order is Java's or Python's
				for j := range b {
					several = max(several, len(b[j].Headers))
				}
				if several < 2 && !bytes.Equal(got, requests[i]) || len(got) != len(requests[i]) {
					t.Errorf("call %d: % x, want % x", i, got, requests[i])
				}
				var status *rpc.StatusError
				switch failed := answers[i][len(answers[i])-2] != 0; {
				case failed && (!errors.As(err, &status) || status.Status != rpc.Failed):
					t.Errorf("call %d: %v, want FAILED", i, err)
				case !failed && err != nil:
					t.Errorf("call %d: %v", i, err)
				}
			}
		})
	}
}

// What Flume answers to calls that it cannot do.
func TestClientUnderstandsExceptions(t *testing.T) {
	for _, name := range []string{"compact-errors", "binary-errors"} {
		p := Compact
		if name == "binary-errors" {
			p = Binary
		}
		for i, answer := range frames(bytesOf(t, name+".server.bin")) {
			near, far := net.Pipe()
			conn, err := NewConn(context.Background(), near, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			conn.sequence = int32(i) // the next is that of the answer
			r := newReader(answer[4:], p)
			method := string(r.head().name)
			go func() {
				readAll(far)
				far.Write(answer)
			}()
			err = conn.call(context.Background(), method, 0, func(w *writer, sequence int32) { w.head(message{kindCall, sequence, []byte(method)}) })
			want := []string{"Invalid method name: 'bogus'", "Internal error processing append", "Internal error processing appendBatch", "", "Required field 'body' was not present!"}[i]
			var remote *rpc.RemoteError
			if want == "" && err != nil || want != "" && (!errors.As(err, &remote) || !strings.HasPrefix(remote.Text, want)) {
				t.Errorf("%s %d: %v, want %q", name, i, err, want)
			}
			if conn.Err() != nil {
				t.Errorf("%s %d: the connection is broken: %v", name, i, conn.Err())
			}
			conn.Close()
			far.Close()
		}
	}
}

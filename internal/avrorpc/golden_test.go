package avrorpc

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
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// capture is one connection of testdata/manifest.json: real bytes of both directions.
type capture struct {
	Name      string
	Events    []flumetest.GoldenEvent
	Calls     []goldenCall
	Delivered bool `json:"delivered_equals_events"`
}

type goldenCall struct {
	Serial  int32
	Request goldenRequest
	Answer  struct {
		Handshake *struct{ Match string }
		Status    string
		Error     *string
	}
}

type goldenRequest struct {
	Message string
	Events  int
}

// UnmarshalJSON takes the request that could not be read for an empty one; the manifest says so in a string.
func (g *goldenRequest) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		return nil
	}
	type plain goldenRequest
	return json.Unmarshal(text, (*plain)(g))
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
	if len(m.Cases) != 26 {
		t.Fatalf("%d captures, want 26", len(m.Cases))
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

// cut takes the frames of a stream apart.
func cut(t testing.TB, stream []byte) []frame {
	var out []frame
	for len(stream) > 0 {
		f := frame{serial: int32(binary.BigEndian.Uint32(stream))}
		n := binary.BigEndian.Uint32(stream[4:])
		at := 8
		for range n {
			size := int(binary.BigEndian.Uint32(stream[at:]))
			f.payload = append(f.payload, stream[at+4:at+4+size]...)
			at += 4 + size
		}
		f.raw, stream = stream[:at], stream[at:]
		out = append(out, f)
	}
	return out
}

type frame struct {
	serial  int32
	payload []byte
	raw     []byte
}

// readFrame reads one frame from the network.
func readFrame(t testing.TB, from io.Reader) frame {
	t.Helper()
	r := frameReader{max: 1 << 30}
	// one byte at a time, so that nothing is read ahead
	serial, payload, err := r.next(context.Background(), rpc.NewReader(oneByOne{from}, rpc.NewBudget(1<<31).Loan()))
	if err != nil {
		t.Fatal("reading a frame: ", err)
	}
	return frame{serial: serial, payload: payload}
}

type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }

// recorder is Calls that remembers and fails on demand.
type recorder struct {
	got  flume.Batch
	fail []bool // call by call; beyond its end: none
}

var errFull = errors.New("the channel is full")

func (r *recorder) Append(ctx context.Context, b flume.Batch) error {
	if len(b) != 1 {
		panic("append of other than one event")
	}
	return r.AppendBatch(ctx, b)
}

func (r *recorder) AppendBatch(_ context.Context, b flume.Batch) error {
	failed := false
	if len(r.fail) > 0 {
		failed, r.fail = r.fail[0], r.fail[1:]
	}
	if failed {
		return errFull
	}
	r.got = append(r.got, b...)
	return nil
}

// serve runs a server on one end of a pipe; stop ends it and returns its error.
func serve(t testing.TB, s *Server) (client net.Conn, stop func() error) {
	t.Helper()
	if s.MaxFrame == 0 {
		s.MaxFrame = 1 << 24
	}
	if s.Budget == nil {
		s.Budget = rpc.NewBudget(1 << 25)
	}
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), context.Background(), a) }()
	return b, func() error { b.Close(); return <-done }
}

func TestServerAnswersRealClients(t *testing.T) {
	for _, c := range captures(t) {
		switch c.Name {
		case "deflate-client-plain-server", // has a test of its own
			"server-client", "server-none", "server-error", // a server unlike ours: to it the hashes mean something else
			"client-unknown-hash", "client-text-wrong-server-hash": // to us both hashes are Flume's
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			r := &recorder{}
			for _, call := range c.Calls {
				if call.Request.Message == appendName || call.Request.Message == appendBatchName {
					r.fail = append(r.fail, call.Answer.Status == "FAILED")
				}
			}
			client, stop := serve(t, &Server{Calls: r, Deflate: strings.Contains(c.Name, "deflate")})
			in, out := bytesOf(t, c.Name+".client.bin"), bytesOf(t, c.Name+".server.bin")
			if strings.Contains(c.Name, "deflate") {
				out = bytesOf(t, c.Name+".server.inflated.bin")
				go client.Write(in) // in one piece: the whole is one stream
				client = newDeflated(client)
			}
			want := cut(t, out)
			for i, call := range c.Calls {
				if !strings.Contains(c.Name, "deflate") {
					go client.Write(cut(t, in)[i].raw)
				}
				got := readFrame(t, client)
				if got.serial != call.Serial {
					t.Errorf("call %d: serial %d", call.Serial, got.serial)
				}
				switch {
				case call.Answer.Error != nil:
					at := bytes.Index(want[i].payload, []byte{0, 1, 0})
					if !bytes.HasPrefix(got.payload, want[i].payload[:at+3]) {
						t.Errorf("call %d: % x, want an error as % x", call.Serial, got.payload, want[i].payload)
					}
				case !bytes.Equal(got.payload, want[i].payload):
					t.Errorf("call %d: % x, want % x", call.Serial, got.payload, want[i].payload)
				}
			}
			if c.Delivered {
				flumetest.SameAsGolden(t, r.got, c.Events)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestClientUnderstandsRealServers(t *testing.T) {
	for _, c := range captures(t) {
		if c.Name == "deflate-client-plain-server" || c.Name == "client-errors" || c.Name == "client-ping-first" || c.Name == "client-flume-hash" {
			continue // our client makes no such calls
		}
		t.Run(c.Name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			w := Wrapping{Deflate: strings.Contains(c.Name, "deflate"), Level: 6}
			conn, err := NewConn(context.Background(), near, w)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			suffix := ".server.bin"
			server := far
			if w.Deflate {
				suffix = ".server.inflated.bin"
				server = newDeflated(far)
			}
			answers := cut(t, bytesOf(t, c.Name+suffix))
			requests := make(chan frame, len(answers))
			go func() {
				for _, a := range answers {
					requests <- readFrame(t, server)
					server.Write(a.raw)
				}
			}()
			events := c.Events
			for _, call := range c.Calls {
				if call.Answer.Status == "" && call.Answer.Error == nil {
					continue // NONE: the same call comes again
				}
				batch := make(flume.Batch, 0, call.Request.Events)
				for range call.Request.Events {
					if len(events) == 0 { // the manifest does not repeat it
						events = []flumetest.GoldenEvent{{BodyText: new(string)}}
					}
					batch = append(batch, events[0].Event())
					events = events[1:]
				}
				if call.Request.Message == appendName {
					err = conn.Append(context.Background(), &batch[0])
				} else {
					err = conn.AppendBatch(context.Background(), batch)
				}
				var status *rpc.StatusError
				var remote *rpc.RemoteError
				switch {
				case call.Answer.Error != nil:
					if !errors.As(err, &remote) || remote.Text != *call.Answer.Error {
						t.Errorf("call %d: %v, want error %q", call.Serial, err, *call.Answer.Error)
					}
				case call.Answer.Status == "OK":
					if err != nil {
						t.Errorf("call %d: %v", call.Serial, err)
					}
				case !errors.As(err, &status) || string(status.Status) != call.Answer.Status:
					t.Errorf("call %d: %v, want %s", call.Serial, err, call.Answer.Status)
				}
			}
			if len(requests) != len(answers) {
				t.Errorf("%d requests for %d answers", len(requests), len(answers))
			}
		})
	}
}

// What our client sends is what the real source accepted from one: the same call byte for byte but for the order of headers.
func TestClientSendsWhatJavaSends(t *testing.T) {
	for _, c := range captures(t) {
		if c.Name != "append" && c.Name != "append-batch-append" && c.Name != "big-body" && c.Name != "sink" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			conn, err := NewConn(context.Background(), near, Wrapping{})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			want := cut(t, bytesOf(t, c.Name+".client.bin"))
			answers := cut(t, bytesOf(t, c.Name+".server.bin"))
			events := c.Events
			for i, call := range c.Calls {
				got := make(chan frame, 1)
				go func() {
					got <- readFrame(t, far)
					far.Write(answers[i].raw)
				}()
				batch := make(flume.Batch, 0, call.Request.Events)
				for range call.Request.Events {
					batch = append(batch, events[0].Event())
					events = events[1:]
				}
				if call.Request.Message == appendName {
					err = conn.Append(context.Background(), &batch[0])
				} else {
					err = conn.AppendBatch(context.Background(), batch)
				}
				if err != nil {
					t.Fatal(err)
				}
				if f := <-got; f.serial != want[i].serial || !bytes.Equal(f.payload, want[i].payload) {
					t.Errorf("call %d: serial %d\n% x, want\n% x", i, f.serial, f.payload, want[i].payload)
				}
			}
		})
	}
}

package netcat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaws(t *testing.T) {
	port := free(t)
	flumetest.Source(t, func(t testing.TB) flume.Source {
		return flumetest.Open(t, Kind, "bind = 127.0.0.1", fmt.Sprintf("port = %d", port))
	})
}

// free is a port that nobody has.
func free(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// running opens a source and runs it until the test ends.
func running(t testing.TB, env *flumetest.Env, in *flumetest.Inbox, settings ...string) string {
	s := flumetest.OpenIn(t, env, Kind, append([]string{"bind = 127.0.0.1", "port = 0"}, settings...)...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, in.Emit) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s.(*source).listener.Addr().String()
}

func dial(t testing.TB, address string) *net.TCPConn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// answered sends text, closes the sending side and returns all that is answered.
func answered(t testing.TB, address, text string) string {
	conn := dial(t, address)
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(conn)
	if err != nil {
		t.Error(err)
	}
	return string(reply)
}

const overlong = "FAILED: Event exceeds the maximum length (10 chars, including newline)\n"

// A client that takes no reply and is gone, with or without a word, leaves its last lines here.
func TestGoneWithoutReplies(t *testing.T) {
	env := flumetest.NewEnv()
	env.TransactionCapacity = 1
	var in flumetest.Inbox
	address := running(t, env, &in)
	conn := dial(t, address)
	if _, err := conn.Write([]byte("a\nb\nc")); err != nil {
		t.Fatal(err)
	}
	in.Await(t, 2)
	if err := errors.Join(conn.SetLinger(0), conn.Close()); err != nil { // a reset
		t.Fatal(err)
	}
	if got := flumetest.Bodies(in.Await(t, 3)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
}

// A reply that cannot be written costs none of the lines that have come.
func TestRepliesCannotBeWritten(t *testing.T) {
	near, far := net.Pipe()
	env := flumetest.NewEnv()
	env.TransactionCapacity = 1
	s := flumetest.OpenIn(t, env, Kind, "bind = 127.0.0.1", "port = 0")
	defer s.Close()
	go func() {
		far.Write([]byte("a\nb\nc")) // the other side of a pipe that is closed while replies are written
		far.Close()
	}()
	var in flumetest.Inbox
	s.(*source).serve(t.Context(), near, in.Emit)
	if got := flumetest.Bodies(in.Await(t, 3)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
}

func TestLines(t *testing.T) {
	for _, x := range []struct {
		name     string
		settings []string
		sent     string
		bodies   []string
		reply    string
	}{
		{"one", nil, "hello\n", []string{"hello"}, "OK\n"},
		{"several at once", nil, "a\nb\nc\n", []string{"a", "b", "c"}, "OK\nOK\nOK\n"},
		{"a carriage return stays", nil, "a\r\n", []string{"a\r"}, "OK\n"},
		{"empty lines", nil, "\n\n", []string{"", ""}, "OK\nOK\n"},
		{"what follows the last newline", nil, "a\nb", []string{"a", "b"}, "OK\nOK\n"},
		{"no newline at all", nil, "b", []string{"b"}, "OK\n"},
		{"just short enough, without a newline", []string{"max-line-length = 10"}, "123456789", []string{"123456789"}, "OK\n"},
		{"without a newline in UTF-16", []string{"encoding = UTF-16"}, "\xff\xfea\x00\x05\x01", []string{"aą"}, "\xfe\xff\x00O\x00K\x00\n"},
		{"a mark only", []string{"encoding = UTF-16"}, "\xff\xfe", nil, ""},
		{"without a newline and without acknowledgement", []string{"ack-every-event = false"}, "a\nb", []string{"a", "b"}, ""},
		{"nothing", nil, "", nil, ""},
		{"without acknowledgement", []string{"ack-every-event = false"}, "a\nb\n", []string{"a", "b"}, ""},
		{"just short enough", []string{"max-line-length = 10"}, "123456789\n", []string{"123456789"}, "OK\n"},
		{"one too long", []string{"max-line-length = 10"}, "a\n1234567890\nb\n", []string{"a"}, "OK\n" + overlong},
		{"too long without an end", []string{"max-line-length = 10"}, "1234567890", nil, overlong},
		{"too long, without acknowledgement", []string{"max-line-length = 10", "ack-every-event = false"}, "a\n1234567890\n", []string{"a"}, overlong},
		{"units of UTF-16", []string{"max-line-length = 10"}, "😀😀😀😀ą\n😀😀😀😀😀\n", []string{"😀😀😀😀ą"}, "OK\n" + overlong},
		{"bad bytes", nil, "a\nb\xff\nc\n", []string{"a"}, "OK\n"},
		{"bad bytes without a newline", nil, "a\n\xc3\x28", []string{"a"}, "OK\n"},
		{"half a character", nil, "a\n\xc3", []string{"a"}, "OK\n"},
		{"a surrogate", nil, "\xed\xa0\x80\n", nil, ""},
		{"Latin-1", []string{"encoding = iso-8859-1"}, "\xe9t\xe9\n", []string{"été"}, "OK\n"},
		{"Latin-1, just short enough", []string{"encoding = ISO_8859_1", "max-line-length = 10"}, strings.Repeat("\xe9", 9) + "\n", []string{strings.Repeat("é", 9)}, "OK\n"},
		{"ASCII", []string{"encoding = US-ASCII"}, "a\n\xe9\n", []string{"a"}, "OK\n"},
		{"UTF-16", []string{"encoding = UTF-16"}, "\x00a\x01\x05\x00\n\xd8\x3d\xde\x00\x00\n\x00\n", []string{"aą", "😀", ""}, "\xfe\xff\x00O\x00K\x00\n\x00O\x00K\x00\n\x00O\x00K\x00\n"},
		{"UTF-16 with a mark", []string{"encoding = UTF-16"}, "\xff\xfea\x00\n\x00b\x00\n\x00", []string{"a", "b"}, "\xfe\xff\x00O\x00K\x00\n\x00O\x00K\x00\n"},
		{"UTF-16LE", []string{"encoding = utf-16le"}, "a\x00\n\x00", []string{"a"}, "O\x00K\x00\n\x00"},
		{"UTF-16BE, half a pair", []string{"encoding = UTF-16BE"}, "\xd8\x3d\x00a\x00\n", nil, ""},
		{"UTF-16BE, just short enough", []string{"encoding = UTF-16BE", "max-line-length = 2"}, "\x00a\x00\n", []string{"a"}, "\x00O\x00K\x00\n"},
	} {
		t.Run(x.name, func(t *testing.T) {
			var in flumetest.Inbox
			address := running(t, flumetest.NewEnv(), &in, x.settings...)
			if got := answered(t, address, x.sent); got != x.reply {
				t.Errorf("the reply is %q instead of %q", got, x.reply)
			}
			if got := flumetest.Bodies(in.Await(t, len(x.bodies))); !slices.Equal(got, x.bodies) {
				t.Errorf("%q came instead of %q", got, x.bodies)
			}
		})
	}
}

// One byte at a time gives the same as all at once.
func TestTrickle(t *testing.T) {
	var in flumetest.Inbox
	address := running(t, flumetest.NewEnv(), &in, "max-line-length = 10")
	conn := dial(t, address)
	if err := conn.SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	for _, b := range []byte("ąę😀\n\n12345678é\n1234567890") {
		if _, err := conn.Write([]byte{b}); err != nil {
			break // the source has closed already
		}
	}
	reply, err := io.ReadAll(conn)
	if want := "OK\nOK\nOK\n" + overlong; string(reply) != want || err != nil {
		t.Errorf("the reply is %q, %v", reply, err)
	}
	if got := flumetest.Bodies(in.Await(t, 3)); !slices.Equal(got, []string{"ąę😀", "", "12345678é"}) {
		t.Errorf("%q", got)
	}
}

// A long line grows the buffer, and much more than the buffer arrives in order.
func TestMuch(t *testing.T) {
	var in flumetest.Inbox
	address := running(t, flumetest.NewEnv(), &in, "max-line-length = 300000")
	var sent bytes.Buffer
	var want []string
	for i := range 3000 {
		want = append(want, strings.Repeat("x", i%97)+fmt.Sprint(i))
	}
	want = append(want, strings.Repeat("ą", 299999), "end")
	for _, line := range want {
		sent.WriteString(line + "\n")
	}
	var reply []byte
	conn := dial(t, address)
	var reading sync.WaitGroup
	reading.Go(func() {
		var err error
		if reply, err = io.ReadAll(conn); err != nil {
			t.Error(err)
		}
	})
	if _, err := conn.Write(sent.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	reading.Wait()
	if string(reply) != strings.Repeat("OK\n", len(want)) {
		t.Errorf("%d bytes of replies", len(reply))
	}
	if got := flumetest.Bodies(in.Await(t, len(want))); !slices.Equal(got, want) {
		t.Error("other lines came than were sent")
	}
	for _, b := range in.Batches() {
		if len(b) > 100 {
			t.Errorf("a batch has %d events, more than the channel's transactionCapacity", len(b))
		}
	}
}

// Where there is no room for a batch, each line gets the reply that is true of it.
func TestFailed(t *testing.T) {
	env := flumetest.NewEnv()
	room := 3
	in := flumetest.Inbox{Answer: func(b flume.Batch) error {
		if len(b) > room {
			return fmt.Errorf("putting: %w\nsadly", flume.ErrFull)
		}
		room -= len(b)
		return nil
	}}
	address := running(t, env, &in, "ack-every-event = true")
	const failed = "FAILED: putting: the channel is full sadly\n"
	if got := answered(t, address, "a\nb\nc\nd\ne\n"); got != "OK\nOK\nOK\n"+failed+failed {
		t.Errorf("the reply is %q", got)
	}
	if got := flumetest.Bodies(in.Await(t, 3)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
	room = 1
	if got := answered(t, address, "f\n"); got != "OK\n" {
		t.Errorf("the reply is %q", got)
	}
	log := env.Logged()
	if strings.Count(log, "do not take events") == 0 || !strings.Contains(log, "take events again") {
		t.Error(log)
	}
}

// Any other failure may have reached some channel: nothing is offered twice.
func TestAPanicCostsOneConnection(t *testing.T) {
	env := flumetest.NewEnv()
	in := flumetest.Inbox{Answer: func(b flume.Batch) error {
		if string(b[0].Body) == "bad" {
			panic("out of my mind")
		}
		return nil
	}}
	address := running(t, env, &in)
	if got := answered(t, address, "bad\n"); got != "" {
		t.Errorf("answered %q", got)
	}
	if got := answered(t, address, "good\n"); got != "OK\n" {
		t.Errorf("answered %q", got)
	}
	if log := env.Logged(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "BUG while serving a client") {
		t.Errorf("the panic is not said:\n%s", log)
	}
}

func TestFailedOnce(t *testing.T) {
	calls := 0
	in := flumetest.Inbox{Answer: func(flume.Batch) error { calls++; return errors.New("disk") }}
	address := running(t, flumetest.NewEnv(), &in, "ack-every-event = false", "encoding = us-ascii")
	if got := answered(t, address, "a\n"); got != "FAILED: disk\n" {
		t.Errorf("the reply is %q", got)
	}
	if calls != 1 {
		t.Errorf("the line was offered %d times", calls)
	}
}

// A connection stays after a failure, and ends with the source.
func TestStays(t *testing.T) {
	fail := true
	in := flumetest.Inbox{Answer: func(flume.Batch) error {
		if fail {
			return flume.ErrFull
		}
		return nil
	}}
	env := flumetest.NewEnv()
	s := flumetest.OpenIn(t, env, Kind, "bind = 127.0.0.1", "port = 0")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, in.Emit) }()
	conn := dial(t, s.(*source).listener.Addr().String())
	for _, want := range []string{"FAILED: the channel is full\n", "OK\n"} {
		if _, err := conn.Write([]byte("a\n")); err != nil {
			t.Fatal(err)
		}
		reply := make([]byte, len(want))
		if _, err := io.ReadFull(conn, reply); err != nil || string(reply) != want {
			t.Fatalf("the reply is %q, %v", reply, err)
		}
		fail = false
	}
	if n := env.Count("OpenConnectionCount"); n != 1 {
		t.Errorf("OpenConnectionCount is %d", n)
	}
	cancel()
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
	if n := env.Count("OpenConnectionCount"); n != 0 {
		t.Errorf("OpenConnectionCount is %d", n)
	}
}

func TestMaxConnections(t *testing.T) {
	env := flumetest.NewEnv()
	var in flumetest.Inbox
	address := running(t, env, &in, "max-connections = 1")
	first := dial(t, address)
	if _, err := first.Write([]byte("a\n")); err != nil {
		t.Fatal(err)
	}
	in.Await(t, 1)
	second := dial(t, address)
	if _, err := second.Write([]byte("b\n")); err != nil {
		t.Fatal(err)
	}
	if n := len(in.Batches()); n != 1 {
		t.Errorf("%d batches came although only one client is served", n)
	}
	first.Close()
	in.Await(t, 2)
	if !strings.Contains(env.Logged(), "max-connections") {
		t.Error(env.Logged())
	}
}

func TestBadClientsAreCounted(t *testing.T) {
	env := flumetest.NewEnv()
	var in flumetest.Inbox
	address := running(t, env, &in, "max-line-length = 10")
	for range 3 {
		answered(t, address, "\xff\n")
		answered(t, address, "1234567890\n")
	}
	// The count is there before the connection is closed.
	if n := env.Count("EventReadFail"); n != 6 {
		t.Errorf("EventReadFail is %d", n)
	}
	if log := env.Logged(); strings.Count(log, "level=WARN") != 2 { // each reason once
		t.Error(log)
	}
}

func TestSettings(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t, "bind = 0.0.0.0", "port = 44444"))
	s := plan.Settings.(*Settings)
	if len(problems) > 0 || *s != (Settings{"0.0.0.0", 44444, 512, true, "utf-8", 1000}) {
		t.Errorf("%+v %v", s, problems)
	}
	if got := s.Holds(); len(got) != 1 || got[0] != "tcp://0.0.0.0:44444" {
		t.Error(got)
	}
	for _, x := range []struct {
		settings []string
		want     string
	}{
		{nil, "bind: is required"},
		{[]string{"bind = x"}, "port: is required"},
		{[]string{"bind = x", "port = 65536"}, "port: 65536 is more than 65535"},
		{[]string{"bind = x", "port = 1", "encoding = EBCDIC"}, `encoding: "EBCDIC" is not an encoding that this source knows`},
		{[]string{"bind = x", "port = 1", "max-line-length = 0"}, "max-line-length: 0 is less than 1"},
	} {
		if got := flumetest.Problems(t, Kind, nil, x.settings...); !got.Fatal() || !strings.Contains(got.String(), x.want) {
			t.Errorf("no %q in %s", x.want, got)
		}
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_, err = flumetest.TryOpen(t, flumetest.NewEnv(), Kind, "bind = 127.0.0.1", "port = "+port)
	if err == nil || !strings.Contains(err.Error(), "listening for lines of text: listen tcp 127.0.0.1:"+port) {
		t.Error(err)
	}
}

// Whatever the pieces in which bytes arrive, the lines are the same, and they are text.
func FuzzCut(f *testing.F) {
	for _, seed := range []string{"", "a\nb\r\n\n", "ą😀\n", "\xff\n", "\xed\xa0\x80\n", "0123456789\n", "\xfe\xff\x00a\x00\n", "\xff\xfe\n\x00", "\xd8\x3d\xde\x00\x00\n"} {
		f.Add([]byte(seed), uint8(3), uint8(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece, which uint8) {
		names := []string{"utf-8", "latin1", "ascii", "utf-16", "utf-16be", "utf-16le"}
		all, allErr := cutting(data, len(data)+1, names[int(which)%len(names)])
		parts, partsErr := cutting(data, int(piece)+1, names[int(which)%len(names)])
		if !slices.Equal(all, parts) || !errors.Is(allErr, partsErr) {
			t.Errorf("all at once gives %q, %v; pieces of %d give %q, %v", all, allErr, int(piece)+1, parts, partsErr)
		}
		for _, line := range all {
			if !utf8.ValidString(line) || strings.Contains(line, "\n") || len([]rune(line)) >= 8 {
				t.Errorf("%q is a line", line)
			}
		}
	})
}

// cutting runs a client without a connection.
func cutting(data []byte, piece int, name string) (lines []string, err error) {
	c := newClient(nil, &source{settings: Settings{MaxLine: 8, Encoding: name}}, nil)
	for len(data) > 0 && err == nil {
		n := copy(c.buf[c.end:], data[:min(piece, len(data))])
		data = data[n:]
		c.end += n
		err = c.cut()
		lines = append(lines, flumetest.Bodies(c.events(c.lines))...)
		c.lines = c.lines[:0]
		c.compact()
	}
	return lines, err
}

func BenchmarkLines(b *testing.B) {
	var in flumetest.Inbox
	in.Answer = func(flume.Batch) error { return errors.New("not kept") }
	address := running(b, flumetest.NewEnv(), &in, "ack-every-event = false")
	conn := dial(b, address)
	var replies sync.WaitGroup
	replies.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	lines := bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 1000)
	b.SetBytes(int64(len(lines)))
	b.ReportAllocs()
	for b.Loop() {
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Write(lines); err != nil {
			b.Fatal(err)
		}
	}
	conn.Close()
	replies.Wait()
}

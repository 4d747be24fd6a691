package thriftrpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
)

// dial makes a client whose peer reads each call and does with it what a test says.
func dial(t testing.TB, p Protocol, peer func(conn net.Conn, call []byte)) *Conn {
	t.Helper()
	near, far := net.Pipe()
	conn, err := NewConn(never, near, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			call, err := readAll(far)
			if err != nil {
				return
			}
			peer(far, call)
		}
	})
	t.Cleanup(func() { conn.Close(); far.Close(); wg.Wait() })
	return conn
}

// reply is an answer of status n to a call.
func reply(p Protocol, name string, sequence, n int32) []byte {
	w := writer{protocol: p}
	w.beginFrame()
	w.reply(message{sequence: sequence, name: []byte(name)}, n)
	return w.endFrame()
}

// What is no answer to the call breaks the connection.
func TestBadAnswersBreakTheConnection(t *testing.T) {
	for want, answer := range map[string]string{
		"it answers call 2 and not 1":                                          string(reply(Compact, appendBatchName, 2, 0)),
		`it answers "append" and not appendBatch`:                              string(reply(Compact, appendName, 1, 0)),
		"a message of kind 1":                                                  string(framed("\x82\x21\x01\x0bappendBatch\x00")),
		"a reply without a status":                                             string(framed("\x82\x41\x01\x0bappendBatch\x00")),
		"it ends before a field":                                               string(framed("\x82\x41\x01\x0bappendBatch")),
		"the status is 4294967295, which is no number of 32 bits":              string(framed("\x82\x41\x01\x0bappendBatch\x05\x00\xfe\xff\xff\xff\x1f\x00")),
		"the peer speaks the binary protocol (protocol = binary), and this":    string(reply(Binary, appendBatchName, 1, 0)),
		"the frame is too large: 2147483647 bytes, where 1048576 are the most": "\x7f\xff\xff\xff",
		"the peer speaks HTTP":                                                 "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		conn := dial(t, Compact, func(conn net.Conn, _ []byte) { conn.Write([]byte(answer)) })
		err := conn.AppendBatch(never, flumetest.Events(0, 1))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", answer, err, want)
		}
		if conn.Err() == nil {
			t.Errorf("%q: the connection is not broken", answer)
		}
		if again := conn.AppendBatch(never, flumetest.Events(0, 1)); again == nil || again.Error() != conn.Err().Error() {
			t.Errorf("%q: the next call: %v", answer, again)
		}
	}
}

func TestAnswersThatNobodyAskedFor(t *testing.T) {
	okay := reply(Compact, appendBatchName, 1, 0)
	conn := dial(t, Compact, func(conn net.Conn, _ []byte) {
		for range 3 {
			conn.Write(okay)
		}
	})
	if err := conn.AppendBatch(never, flumetest.Events(0, 1)); err != nil {
		t.Fatal(err)
	}
	<-conn.gone
	if err := conn.Err(); !strings.Contains(err.Error(), "the peer sends answers that nobody has asked for") {
		t.Error(err)
	}
}

// A peer that hangs up on the first call probably speaks something else; later it is only gone.
func TestHangingUp(t *testing.T) {
	for calls := range 2 {
		n := 0
		conn := dial(t, Binary, func(conn net.Conn, _ []byte) {
			if n++; n > calls {
				conn.Close()
				return
			}
			conn.Write(reply(Binary, appendName, int32(n), 0))
		})
		for range calls {
			if err := conn.Append(never, &flume.Event{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Append(never, &flume.Event{}); err == nil || errors.Is(err, rpc.ErrUnanswered) != (calls == 0) {
			t.Errorf("after %d calls: %v", calls, err)
		}
	}
}

// Nobody knows what becomes of a call that is not answered in time, so it takes its connection with it; one that has
// not been sent does not.
func TestTimeLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, Compact, func(net.Conn, []byte) {})
		late, cancel := context.WithTimeoutCause(never, time.Minute, errors.New("late"))
		defer cancel()
		first := make(chan error)
		go func() { first <- conn.AppendBatch(late, flumetest.Events(0, 1)) }()
		synctest.Wait()
		soon, cancel := context.WithTimeoutCause(never, time.Second, errors.New("soon"))
		defer cancel()
		if err := conn.AppendBatch(soon, flumetest.Events(0, 1)); err == nil || err.Error() != "soon" || conn.Err() != nil {
			t.Errorf("%v, %v", err, conn.Err())
		}
		if err := <-first; err == nil || err.Error() != "waiting for the answer: late" || conn.Err() == nil {
			t.Errorf("%v, %v", err, conn.Err())
		}
	})
}

// A peer that does not read does not hold a call for ever.
func TestAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		conn, err := NewConn(never, near, Compact, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		late, cancel := context.WithTimeoutCause(never, time.Minute, errors.New("late"))
		defer cancel()
		if err := conn.AppendBatch(late, flumetest.Events(0, 1)); err == nil || err.Error() != "sending: late" || conn.Err() == nil {
			t.Errorf("%v, %v", err, conn.Err())
		}
	})
}

func TestMemoryOfALargeCallIsNotKept(t *testing.T) {
	conn := dial(t, Compact, func(conn net.Conn, call []byte) { conn.Write(reply(Compact, appendName, int32(call[6]), 0)) })
	for _, size := range []int{2 << 20, 100} {
		if err := conn.Append(never, &flume.Event{Body: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
		if c := cap(conn.writer.out); c > keptFrame {
			t.Errorf("%d bytes are kept", c)
		}
	}
}

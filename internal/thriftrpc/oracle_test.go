package thriftrpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"pgregory.net/rapid"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/rpc"
)

// A pen writes and reads with Apache's library. The first error is a panic: it is the library's own.
type pen struct {
	thrift.TProtocol
	memory *thrift.TMemoryBuffer
}

var never = context.Background()

func newPen(p Protocol, strict bool, in []byte) pen {
	m := thrift.NewTMemoryBuffer()
	m.Write(in)
	if p == Compact {
		return pen{thrift.NewTCompactProtocolConf(m, nil), m}
	}
	conf := &thrift.TConfiguration{TBinaryStrictWrite: &strict, TBinaryStrictRead: new(bool)}
	return pen{thrift.NewTBinaryProtocolConf(m, conf), m}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// framed is what was written, as a frame.
func (p pen) framed() []byte {
	must(p.Flush(never))
	b := p.memory.Bytes()
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func (p pen) text(id int16, text string) {
	must(p.WriteFieldBegin(never, "", thrift.STRING, id))
	must(p.WriteString(never, text))
	must(p.WriteFieldEnd(never))
}

// event writes a ThriftFlumeEvent. Backwards: fields in the other order, and one that nobody knows before each.
func (p pen) event(e *flume.Event, backwards bool) {
	headers := func() {
		must(p.WriteFieldBegin(never, "headers", thrift.MAP, 1))
		must(p.WriteMapBegin(never, thrift.STRING, thrift.STRING, len(e.Headers)))
		for _, h := range e.Headers {
			must(p.WriteString(never, h.Key))
			must(p.WriteString(never, h.Value))
		}
		must(p.WriteMapEnd(never))
	}
	body := func() {
		must(p.WriteFieldBegin(never, "body", thrift.STRING, 2))
		must(p.WriteBinary(never, e.Body))
	}
	if backwards {
		p.strange(300)
		body()
		p.strange(-7)
		headers()
		p.strange(3)
	} else {
		headers()
		body()
	}
	must(p.WriteFieldStop(never))
}

// strange writes fields of every type, with numbers from id on.
func (p pen) strange(id int16) {
	field := func(typ thrift.TType, write func()) {
		must(p.WriteFieldBegin(never, "", typ, id))
		write()
		must(p.WriteFieldEnd(never))
		id += 5
	}
	field(thrift.BOOL, func() { must(p.WriteBool(never, true)) })
	field(thrift.BOOL, func() { must(p.WriteBool(never, false)) })
	field(thrift.BYTE, func() { must(p.WriteByte(never, -3)) })
	field(thrift.I16, func() { must(p.WriteI16(never, -30000)) })
	field(thrift.I32, func() { must(p.WriteI32(never, -2_000_000_000)) })
	field(thrift.I64, func() { must(p.WriteI64(never, -1<<62)) })
	field(thrift.DOUBLE, func() { must(p.WriteDouble(never, 3.25)) })
	field(thrift.STRING, func() { must(p.WriteString(never, strings.Repeat("x", 200))) })
	field(thrift.UUID, func() { must(p.WriteUUID(never, thrift.Tuuid{1, 2})) })
	field(thrift.LIST, func() {
		must(p.WriteListBegin(never, thrift.BOOL, 20))
		for i := range 20 {
			must(p.WriteBool(never, i%2 == 0))
		}
	})
	field(thrift.SET, func() {
		must(p.WriteSetBegin(never, thrift.LIST, 2))
		must(p.WriteListBegin(never, thrift.DOUBLE, 1))
		must(p.WriteDouble(never, 1))
		must(p.WriteListBegin(never, thrift.I64, 0))
	})
	field(thrift.MAP, func() {
		must(p.WriteMapBegin(never, thrift.I16, thrift.STRUCT, 2))
		for i := range 2 {
			must(p.WriteI16(never, int16(i)))
			p.text(1, "deep")
			must(p.WriteFieldBegin(never, "", thrift.BOOL, 2))
			must(p.WriteBool(never, i == 0))
			must(p.WriteFieldStop(never))
		}
	})
	field(thrift.MAP, func() { must(p.WriteMapBegin(never, thrift.STRING, thrift.STRING, 0)) })
}

// call writes a call of append or appendBatch.
func (p pen) call(name string, sequence int32, b flume.Batch, backwards bool) {
	must(p.WriteMessageBegin(never, name, thrift.CALL, sequence))
	must(p.WriteStructBegin(never, ""))
	if backwards {
		p.strange(20)
	}
	if name == appendName {
		must(p.WriteFieldBegin(never, "event", thrift.STRUCT, 1))
		must(p.WriteStructBegin(never, ""))
		p.event(&b[0], backwards)
		must(p.WriteStructEnd(never))
	} else {
		must(p.WriteFieldBegin(never, "events", thrift.LIST, 1))
		must(p.WriteListBegin(never, thrift.STRUCT, len(b)))
		for i := range b {
			must(p.WriteStructBegin(never, ""))
			p.event(&b[i], backwards)
			must(p.WriteStructEnd(never))
		}
	}
	if backwards {
		p.strange(90)
	}
	must(p.WriteFieldStop(never))
	must(p.WriteStructEnd(never))
	must(p.WriteMessageEnd(never))
}

// answer reads an answer: "append 7 REPLY 0", or "append 7 EXCEPTION 6: text".
func answer(p Protocol, frame []byte) string {
	r := newPen(p, true, frame[4:])
	name, kind, sequence, err := r.ReadMessageBegin(never)
	must(err)
	if kind == thrift.EXCEPTION {
		x := thrift.NewTApplicationException(0, "")
		must(x.Read(never, r.TProtocol))
		return fmt.Sprintf("%s %d EXCEPTION %d: %s", name, sequence, x.TypeId(), x.Error())
	}
	_, err = r.ReadStructBegin(never)
	must(err)
	_, typ, id, err := r.ReadFieldBegin(never)
	must(err)
	status, err := r.ReadI32(never)
	must(err)
	if typ != thrift.I32 || id != 0 || kind != thrift.REPLY {
		panic(fmt.Sprint(typ, id, kind))
	}
	_, typ, _, err = r.ReadFieldBegin(never)
	must(err)
	if typ != thrift.STOP || r.memory.Len() > 0 {
		panic("the reply does not end")
	}
	return fmt.Sprintf("%s %d REPLY %d", name, sequence, status)
}

// ask sends a frame and returns the answer.
func ask(t testing.TB, s *Server, p Protocol, frame []byte) string {
	t.Helper()
	client, stop := serve(t, s)
	defer stop()
	go client.Write(frame)
	got, err := readAll(client)
	if err != nil {
		return "closed: " + stop().Error()
	}
	return answer(p, got)
}

var protocols = []Protocol{Compact, Binary}

func (p Protocol) String() string { return [...]string{"compact", "binary"}[p] }

func random(r *rapid.T) flume.Batch {
	return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) flume.Event {
		e := flume.Event{Body: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "body")}
		for k, v := range rapid.MapOfN(rapid.String(), rapid.String(), 0, 20).Draw(r, "headers") {
			e.Headers = append(e.Headers, flume.Header{Key: k, Value: v})
		}
		return e
	}), 0, 40).Draw(r, "events")
}

func equal(got, want flume.Batch) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].Body, want[i].Body) || fmt.Sprint(got[i].Headers) != fmt.Sprint(want[i].Headers) {
			return fmt.Errorf("event %d is %v, want %v", i, got[i], want[i])
		}
		if cap(got[i].Headers) != len(got[i].Headers) || cap(got[i].Body) != len(got[i].Body) {
			return fmt.Errorf("event %d has room behind its headers or body", i)
		}
	}
	return nil
}

// What Apache's library writes is read, whatever stands beside it, and what is answered it reads.
func TestServerReadsWhatTheLibraryWrites(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.String(), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				b := random(r)
				name, want := appendBatchName, b
				if len(b) > 0 && rapid.Bool().Draw(r, "single") {
					name, want = appendName, b[:1]
				}
				sequence := rapid.Int32().Draw(r, "sequence")
				w := newPen(p, rapid.Bool().Draw(r, "strict"), nil)
				w.call(name, sequence, want, rapid.Bool().Draw(r, "backwards"))
				calls := &recorder{}
				got := ask(t, &Server{Calls: calls, Protocol: p}, p, w.framed())
				if got != fmt.Sprintf("%s %d REPLY 0", name, sequence) {
					r.Fatal(got)
				}
				if err := equal(calls.got, want); err != nil {
					r.Fatal(err)
				}
			})
		})
	}
}

// What our client writes is what the library writes, byte for byte, and as long as we say.
func TestClientWritesWhatTheLibraryWrites(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.String(), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				b := random(r)
				sequence := rapid.Int32().Draw(r, "sequence")
				w := writer{protocol: p}
				f := func(name string, b flume.Batch, write func()) {
					theirs := newPen(p, true, nil)
					theirs.call(name, sequence, b, false)
					w.beginFrame()
					write()
					if got, want := w.endFrame(), theirs.framed(); !bytes.Equal(got, want) {
						r.Fatalf("%s: % x, want % x", name, got, want)
					}
				}
				f(appendBatchName, b, func() { w.events(sequence, b) })
				for i := range b {
					f(appendName, b[i:i+1], func() { w.event(sequence, &b[i]) })
					if got, want := EventLen(p, &b[i]), len(appendEvent(nil, p, &b[i])); got != want {
						r.Fatalf("an event of %d bytes is said to have %d", want, got)
					}
				}
			})
		})
	}
}

// A later field takes the place of an earlier one, as in Java.
func TestFieldsThatComeTwice(t *testing.T) {
	for _, p := range protocols {
		w := newPen(p, true, nil)
		must(w.WriteMessageBegin(never, appendName, thrift.CALL, 1))
		must(w.WriteFieldBegin(never, "event", thrift.STRUCT, 1))
		must(w.WriteStructBegin(never, ""))
		for i := range 3 {
			must(w.WriteFieldBegin(never, "headers", thrift.MAP, 1))
			must(w.WriteMapBegin(never, thrift.STRING, thrift.STRING, 2))
			for range 2 { // and of a key that comes twice the later value
				must(w.WriteString(never, "k"))
				must(w.WriteString(never, fmt.Sprint(i)))
			}
			must(w.WriteMapEnd(never))
			w.text(2, fmt.Sprint("body ", i))
		}
		must(w.WriteFieldStop(never))
		must(w.WriteStructEnd(never))
		must(w.WriteFieldStop(never))
		must(w.WriteMessageEnd(never))
		calls := &recorder{}
		if got := ask(t, &Server{Calls: calls, Protocol: p}, p, w.framed()); got != "append 1 REPLY 0" {
			t.Error(got)
		}
		if err := equal(calls.got, flume.Batch{{Headers: flume.Headers{{Key: "k", Value: "2"}}, Body: []byte("body 2")}}); err != nil {
			t.Error(p, err)
		}
	}
}

// scribe writes a call of Log with these entries; an absent category or message is nil.
func scribe(strict bool, entries [][2]*string) []byte {
	w := newPen(Binary, strict, nil)
	must(w.WriteMessageBegin(never, logName, thrift.CALL, 7))
	must(w.WriteFieldBegin(never, "messages", thrift.LIST, 1))
	must(w.WriteListBegin(never, thrift.STRUCT, len(entries)))
	for _, e := range entries {
		for i, text := range e {
			if text != nil {
				w.text(int16(i+1), *text)
			}
		}
		must(w.WriteFieldStop(never))
	}
	must(w.WriteFieldStop(never))
	must(w.WriteMessageEnd(never))
	return w.framed()
}

func TestScribe(t *testing.T) {
	text := func(s string) *string { return &s }
	calls := &recorder{room: 3}
	var refused []string
	s := &Server{Log: calls.AppendBatch, Protocol: Binary, Refused: newRefusals(&refused)}
	f := func(want string, frame []byte) {
		t.Helper()
		if got := ask(t, s, Binary, frame); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f("Log 7 REPLY 0", scribe(true, [][2]*string{{text("cat"), text("new line\n")}, {nil, text("no category")}}))
	f("Log 7 REPLY 0", scribe(false, [][2]*string{{text(""), text("")}}))
	f("Log 7 REPLY 0", scribe(false, nil))
	f("Log 7 REPLY 1", scribe(false, [][2]*string{{text("cat"), text("full")}}))
	f("Log 7 REPLY 1", scribe(false, [][2]*string{{text("cat"), nil}}))
	absent := newPen(Binary, true, nil)
	must(absent.WriteMessageBegin(never, logName, thrift.CALL, 7))
	must(absent.WriteFieldStop(never))
	f("Log 7 REPLY 1", absent.framed())
	other := newPen(Binary, true, nil)
	other.call(appendName, 9, flumetest.Events(0, 1), false)
	f("append 9 EXCEPTION 1: Invalid method name: 'append'", other.framed())
	if err := equal(calls.got, flume.Batch{
		{Headers: flume.Headers{{Key: "category", Value: "cat"}}, Body: []byte("new line\n")},
		{Body: []byte("no category")},
		{Headers: flume.Headers{{Key: "category", Value: ""}}, Body: []byte{}},
	}); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(calls.calls) != "[2 1 0]" {
		t.Errorf("the calls were of %v events", calls.calls)
	}
	want := []string{"the call lacks its argument", "the call lacks its argument", `there is no method "append"`}
	if fmt.Sprintf("%q", refused) != fmt.Sprintf("%q", want) {
		t.Errorf("refused %q", refused)
	}

	// The answer is in the old style, also to a strict request.
	client, stop := serve(t, s)
	defer stop()
	go client.Write(scribe(true, nil))
	got, err := readAll(client)
	if want := "\x00\x00\x00\x14\x00\x00\x00\x03Log\x02\x00\x00\x00\x07\x08\x00\x00\x00\x00\x00\x00\x00"; err != nil || string(got) != want {
		t.Errorf("% x, %v, want % x", got, err, want)
	}
}

// The status of every server that there may be.
func TestStatuses(t *testing.T) {
	for _, p := range protocols {
		for n, want := range []rpc.Status{rpc.OK, rpc.Failed, rpc.Error, rpc.Unknown, rpc.Unknown} {
			w := newPen(p, true, nil)
			w.strange(30)
			must(w.WriteFieldBegin(never, "success", thrift.I32, 0))
			must(w.WriteI32(never, int32(n)))
			must(w.WriteFieldStop(never))
			r := newReader(w.framed()[4:], p)
			err := r.reply()
			got := rpc.OK
			var status *rpc.StatusError
			if errors.As(err, &status) {
				got = status.Status
			} else if err != nil {
				t.Error(err)
			}
			if got != want {
				t.Errorf("%d is %s, want %s", n, got, want)
			}
		}
	}
}

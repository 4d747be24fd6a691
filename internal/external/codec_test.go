package external

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func event(body string, headers ...string) flume.Event {
	e := flume.Event{Body: []byte(body)}
	for i := 0; i < len(headers); i += 2 {
		e.Headers = append(e.Headers, flume.Header{Key: headers[i], Value: headers[i+1]})
	}
	return e
}

// The bytes that a program gets.
func TestCallBytes(t *testing.T) {
	for _, x := range []struct {
		event  flume.Event
		binary bool
		want   string
	}{
		{event(""), false, `{"headers":{},"body":""}`},
		{event("text é 😀", "a", "b", "", "ü"), false, `{"headers":{"a":"b","":"ü"},"body":"text é 😀"}`},
		{event("\"\\/\n\r\t\b\x00\x1f\x7f\u2028\u2029\u0085"), false, `{"headers":{},"body":"\"\\/\n\r\t\u0008\u0000\u001f` + "\x7f" + `\u2028\u2029` + "\u0085" + `"}`},
		{event("\x00\xff"), false, `{"headers":{},"base64":"AP8="}`},
		{event("text"), true, `{"headers":{},"base64":"dGV4dA=="}`},
		{event("", "k\xff", "\xed\xa0\x80v"), false, `{"headers":{"k\udcff":"\udced\udca0\udc80v"},"body":""}`},
		{event("\ufffd"), false, `{"headers":{},"body":"` + "\ufffd" + `"}`},
	} {
		got, n := appendCall([]byte("x"), 7, flume.Batch{x.event, x.event}, x.binary, 1000)
		if want := `x{"id":7,"events":[` + x.want + "," + x.want + "]}\n"; string(got) != want || n != 2 {
			t.Errorf("%d of\n%s\nwant\n%s", n, got, want)
		}
	}
}

func TestCallBound(t *testing.T) {
	b := flumetest.Events(10, 3)
	whole, n := appendCall(nil, 1, b, false, 1000)
	if n != 3 {
		t.Fatal(n)
	}
	for most := range len(whole) + 1 {
		line, n := appendCall([]byte("x"), 1, b, false, most)
		if len(line)-1 > most && n > 0 || n == 0 && len(line) > 1 {
			t.Errorf("%d bytes of %d", len(line)-1, most)
		}
		if n == 0 {
			continue
		}
		if m, err := parse(bytes.TrimSuffix(line[1:], []byte("\n"))); err != nil || len(m.events) != n {
			t.Errorf("%d events of %d: %v", len(m.events), n, err)
		}
	}
}

func TestAnswerBytes(t *testing.T) {
	if got := string(appendAnswer(nil, []byte(`"a"`), nil)); got != `{"id":"a","ok":true}`+"\n" {
		t.Error(got)
	}
	if got := string(appendAnswer(nil, []byte("-1.5e3"), errors.New("it\nis \"full\""))); got != `{"id":-1.5e3,"error":"it\nis \"full\""}`+"\n" {
		t.Error(got)
	}
}

func show(m message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "id=%s ok=%v reason=%q", m.id, m.ok, m.reason)
	for _, e := range m.events {
		fmt.Fprintf(&b, " %q", e.Body)
		for _, h := range e.Headers {
			fmt.Fprintf(&b, " %q=%q", h.Key, h.Value)
		}
	}
	for _, r := range m.rejected {
		fmt.Fprintf(&b, " rejected %d %v", r.Index, r.Err)
	}
	if len(m.pending) > 0 {
		fmt.Fprintf(&b, " pending %v", m.pending)
	}
	return b.String()
}

func TestParse(t *testing.T) {
	for _, x := range []struct{ line, want string }{
		{`{"id":1,"ok":true}`, `id=1 ok=true reason=""`},
		{" { \"ok\" : false ,\t\"error\":\"a\\u00e9\\ud83d\\ude00\\n\",\"id\": \"x\\\"y\" }\r", `id="x\"y" ok=false reason="aé😀\n"`},
		{`{"id":-0.5E+10,"events":[]}`, `id=-0.5E+10 ok=false reason=""`},
		{`{"events":[{},{"body":"b"},{"headers":{"a":"1","b":2,"c":true,"d":-1.50,"a":"3"}},{"base64":"AP8=","headers":{}}]}`,
			`id= ok=false reason="" "" "b" "" "b"="2" "c"="true" "d"="-1.50" "a"="3" "\x00\xff"`},
		{`{"body":"text","headers":{"k":"\udcff\\"}}`, `id= ok=false reason="" "text" "k"="\xff\\"`},
		{`{"id":7,"body":"\udc80\/\b\f"}`, `id=7 ok=false reason="" "\x80/\b\f"`},
		{`{"headers":{}}`, `id= ok=false reason="" ""`},
		{`{"base64":""}`, `id= ok=false reason="" ""`},
		{`{}`, `id= ok=false reason=""`},
		{`{"id":1,"rejected":[{"index":0,"error":"bad"},{"error":"worse","index":12}],"pending":[3,2],"ok":true}`,
			`id=1 ok=true reason="" rejected 0 bad rejected 12 worse pending [3 2]`},
	} {
		m, err := parse([]byte(x.line))
		if got := show(m); err != nil || got != x.want {
			t.Errorf("%s:\n%v\n%s\nwant\n%s", x.line, err, got, x.want)
		}
		for _, e := range m.events {
			if cap(e.Headers) != len(e.Headers) && len(e.Headers) != 3 || cap(e.Body) != len(e.Body) {
				t.Errorf("%s: there is room behind an event", x.line)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, x := range []struct{ line, want string }{
		{``, `byte 1: expecting {, and there is the end`},
		{`hello world`, `byte 1: expecting {, and there is "hello world"`},
		{`Traceback (most recent call last): and so on and on`, `expecting {, and there is "Traceback (most recent call last): and s"…`},
		{`[]`, `expecting {`},
		{`{"id":1}{`, `byte 9: there is "{" behind it`},
		{`{"id":1,}`, `byte 9: expecting "`},
		{`{"id":1 "ok":true}`, `expecting , or }, and there is "\"ok\":true}"`},
		{`{"event":[]}`, `event: there is no such field; there are id, events, ok, error, rejected, pending, headers, body, base64`},
		{`{"events":[{"text":"x"}]}`, `events[0].text: there is no such field; there are headers, body, base64`},
		{`{"events":[{},{"headers":{"a":"b","n":null}}]}`, `events[1].headers.n: null is no value; leave the header out`},
		{`{"events":[{"headers":{"n":{}}}]}`, `headers.n: a header's value is a string, and there is "{}}}]}"`},
		{`{"events":[{"headers":{"n":[1]}}]}`, `a header's value is a string`},
		{`{"headers":{"n":01}}`, `headers.n: it is a string or a number, and there is "01}}"`},
		{`{"headers":{"n":-}}`, `it is a string or a number`},
		{`{"headers":{"n":1.}}`, `it is a string or a number`},
		{`{"headers":{"n":tru}}`, `it is true or false, and there is "tru}}"`},
		{`{"id":1,"id":2}`, `id: it stands there twice`},
		{`{"id":null}`, `id: it is a string or a number, and there is "null}"`},
		{`{"id":"` + strings.Repeat("x", 201) + `"}`, `id: it is longer than 200 bytes`},
		{`{"body":"a","base64":""}`, `an event has body or base64, not both`},
		{`{"body":"a","events":[]}`, `a line has events, or is one event itself, not both`},
		{`{"ok":true,"body":"a"}`, `a line has events, or is one event itself, not both`},
		{`{"base64":"AP8"}`, `base64: it is not base64, with its padding`},
		{`{"base64":"A_8="}`, `it is not base64`},
		{`{"body":"\ud800"}`, `body: half of a surrogate pair is no character`},
		{`{"body":"\ud800\u0041"}`, `half of a surrogate pair`},
		{`{"body":"\udc7f"}`, `half of a surrogate pair`},
		{`{"body":"\x"}`, `there is no such escape`},
		{`{"body":"\u12"}`, `there is no such escape`},
		{`{"body":"\u1_23"}`, `there is no such escape`},
		{`{"body":"\u+123"}`, `there is no such escape`},
		{`{"body":"\`, `the line ends in a string`},
		{`{"body":"abc`, `the line ends in a string`},
		{"{\"body\":\"a\tb\"}", `body: the control character 0x09 in a string is written \u0009`},
		{"{\"body\":\"caf\xe9\"}", `byte 13: body: the bytes are no UTF-8; a body of any bytes is sent as base64`},
		{`{"rejected":[{"index":0}]}`, `rejected[0]: a rejected event has index and error`},
		{`{"rejected":[{"error":"x"}]}`, `a rejected event has index and error`},
		{`{"rejected":[{"idx":0}]}`, `rejected[0].idx: there is no field "idx"; a rejected event has index and error`},
		{`{"pending":[-1]}`, `pending[0]: it is the number of an event, and there is "-1]}"`},
		{`{"pending":[99999999999]}`, `it is the number of an event`},
		{`{"ok":1}`, `ok: it is true or false`},
	} {
		_, err := parse([]byte(x.line))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s:\n%v\nwant\n%s", x.line, err, x.want)
		}
	}
	if m, err := parse([]byte(`{"id":7,"events":[{"body":1}]}`)); err == nil || string(m.id) != "7" {
		t.Errorf("%s, %v", m.id, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"id":1,"ok":true}`, `{"events":[{"headers":{"a":"\udcff"},"base64":"AP8="},{"body":"\ud83d\ude00"}],"id":"x"}`,
		`{"id":1,"rejected":[{"index":0,"error":"x"}],"pending":[1],"error":""}`, `{"body":"x"}`, `{"headers":{"a":1e5,"a":2}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parse(line)
		if err != nil {
			return
		}
		if !json.Valid(line) {
			t.Fatalf("%q is no JSON", line)
		}
		if len(m.events) == 0 {
			return
		}
		again, n := appendCall(nil, 1, m.events, len(line)%2 == 0, 1<<20)
		back, err := parse(again)
		if err != nil || n != len(m.events) || show(message{events: back.events}) != show(message{events: m.events}) {
			t.Fatalf("%v: %q became %q", err, line, again)
		}
	})
}

// What is written is read back, and other JSON readers read the same where they can: text without broken bytes.
func FuzzEvents(f *testing.F) {
	f.Add("key", "value", []byte("body"), false)
	f.Add("", "\xff\u2028\"", []byte("\x00\xff"), true)
	f.Add("\xed\xa0\x80\xed\xb0\x80", "\xc3", []byte("\xef\xbf\xbd"), false)
	f.Fuzz(func(t *testing.T, key, value string, body []byte, binary bool) {
		e := flume.Event{Headers: flume.Headers{{Key: key, Value: value}}, Body: body}
		line, _ := appendCall(nil, 1, flume.Batch{e, e}, binary, 1<<30)
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%q is not one line", line)
		}
		m, err := parse(line)
		if err != nil || len(m.events) != 2 || !bytes.Equal(m.events[1].Body, body) || !slices.Equal(m.events[1].Headers, e.Headers) {
			t.Fatalf("%v: %q became %s", err, line, show(m))
		}
		var other struct {
			Events []struct {
				Headers map[string]string
				Body    *string
				Base64  []byte
			}
		}
		if err := json.Unmarshal(line, &other); err != nil {
			t.Fatal(err)
		}
		got := other.Events[1]
		if utf8.ValidString(key) && utf8.ValidString(value) && got.Headers[key] != value {
			t.Errorf("%q: %q", line, got.Headers)
		}
		if got.Body == nil && !bytes.Equal(got.Base64, body) || got.Body != nil && *got.Body != string(body) {
			t.Errorf("%q: %+v", line, got)
		}
	})
}

func TestAllocations(t *testing.T) {
	line, _ := appendCall(nil, 1, flumetest.Events(0, 100), false, 1<<20)
	if got := testing.AllocsPerRun(100, func() {
		if m, err := parse(line); err != nil || len(m.events) != 100 {
			t.Error(err)
		}
	}); got > 60 { // some buffers that double
		t.Errorf("%v allocations for 100 events", got)
	}
	to := make([]byte, 0, 1<<20)
	b := flumetest.Events(0, 100)
	if got := testing.AllocsPerRun(100, func() { appendCall(to, 1, b, false, 1<<20) }); got > 0 {
		t.Errorf("%v allocations for 100 events", got)
	}
}

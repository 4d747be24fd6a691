package eventjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
)

func free(int) error { return nil }

// shownAs is a batch on a line: header=value… body|
func shownAs(b flume.Batch) string {
	var s strings.Builder
	for _, e := range b {
		for _, h := range e.Headers {
			fmt.Fprintf(&s, "%s=%s ", h.Key, h.Value)
		}
		fmt.Fprintf(&s, "%s|", e.Body)
	}
	return s.String()
}

// What real Flume makes of each was asked with test/compat.
func TestDocuments(t *testing.T) {
	for _, x := range []struct{ in, want string }{
		{`[]`, ""},
		{"\ufeff[]", ""},
		{`[{}]`, "|"},
		{`[{"headers":{"a":"1","b":"2"},"body":"x"},{"body":"y"}]`, "a=1 b=2 x|y|"},
		{`[{"body":1.50},{"body":-0},{"body":TRUE},{"body":False},{"body":NuLL},{"body":01e}]`, "1.50|-0|true|false||01e|"},
		{`[{"headers":{"n":7,"t":true,"x":null}}]`, "n=7 t=true |"},
		{`[{"headers":null,"body":null}]`, "|"},
		{`[{'headers':{a:b,'c' = "d"; e=>f}; body = 'it''s'}]`, "!byte 47: a comma or } is expected, not '\\''"},
		{`[{'headers':{a:b,'c' = "d"; e=>f}; body = 'it"s'}]`, `a=b c=d e=f it"s|`},
		{"/* a */[ // b\n{ # c\rbody // d\n: x\n}\n]", "x|"},
		{")]}'\n[{body:x}]", "x|"},
		{`[{"body":"\"\\\/\b\f\n\r\t\'A\u00e9\ud83d\ude00"}]`, "\"\\/\b\f\n\r\t'Aé😀|"},
		{"[{\"body\":\"a\\\nb\nc\"}]", "a\nb\nc|"},
		{`[{"body":"\ud83dx\ude00\ud83d\u0041\ud83d\ud83d\ude00"}]`, "?x??A?😀|"},
		{`[{"\u0062ody":"x"}]`, "x|"},
		{`[{"body":"x","body":"y","headers":{"a":"1"},"headers":{"b":"2"}}]`, "b=2 y|"},
		{`[{"body":"x","body":null}]`, "|"},
		{`[{"headers":[["a","1"],["b",2],["c",null]]},{"headers":[]}]`, "a=1 b=2 ||"},
		{`[{"other":{"a":[1,{"b":[,,]},"x"],"c":nope},"body":"x"}]`, "x|"},
		{`[{"headers":{"a":null,"a":"x"}}]`, "a=x |"},
		{`[{"headers":{"null":"x","":"e"}}]`, "null=x =e |"},
		{` [ { "body" : a"b } ] `, `a"b|`},

		{``, "0there are no events: the document is empty"},
		{" \n# only\n", "0there are no events: the document is empty"},
		{`null`, "0there are no events: the document is null"},
		{`[null]`, "0there are no events: one of the list is null (does it end with a comma?)"},
		{`[{"body":"x"},]`, "0there are no events: one of the list is null (does it end with a comma?)"},
		{`[,]`, "0there are no events: one of the list is null (does it end with a comma?)"},
		{`[{"body":"\u00zz"}]`, `0there are no events: byte 12: four hexadecimal digits are expected behind \u`},
		{`[{"headers":[[null,"x"]]}]`, "0there are no events: the name of a header is null"},

		{`{}`, "!byte 1: a list of events in [ ] is expected, not '{'"},
		{`hello`, "!byte 1: a list of events in [ ] is expected, not 'h'"},
		{`nulls`, "!byte 1: a list of events in [ ] is expected, not 'n'"},
		{`[`, "!byte 1: an event in { } is expected, not the end"},
		{"[\n{\"é\":\"", "!byte 9: the text has no end"},
		{`[{"body":"x`, "!byte 11: the text has no end"},
		{`[{"body":"x\`, "!byte 12: the text has no end"},
		{`[{"body":"\u00`, "!byte 12: the text has no end"},
		{`[{"body":"\x"}]`, `!byte 12: "\\x" is no escape`},
		{`[{"body":{}}]`, "!byte 10: a text is expected, not '{'"},
		{`[{"body":}]`, "!byte 10: a text is expected, not '}'"},
		{`[{"body":"x",}]`, "!byte 14: a name is expected, not '}'"},
		{`[{"headers":{"a":{}}}]`, "!byte 18: a text is expected, not '{'"},
		{`[{"headers":"a"}]`, "!byte 13: headers in { } are expected, not '\"'"},
		{`[{"headers":{"a":"x","a":"y"}}]`, `!byte 28: the header "a" comes twice`},
		{`[{"headers":{"a":"x","a":null}}]`, `!byte 29: the header "a" comes twice`},
		{`[{"headers":[["a"]]}]`, "!byte 18: a header is a name and a value"},
		{`[{"headers":[["a","b","c"]]}]`, "!byte 25: a header is a name and a value"},
		{`[{"headers":["a"]}]`, "!byte 14: a header in [ ] is expected, not '\"'"},
		{`["x"]`, "!byte 2: an event in { } is expected, not '\"'"},
		{`[{} {}]`, "!byte 5: a comma or ] is expected, not '{'"},
		{`[{"a" "b"}]`, "!byte 7: a colon is expected, not '\"'"},
		{`[{"a":1 "b":2}]`, "!byte 9: a comma or } is expected, not '\"'"},
		{`[] x`, "!byte 4: something follows the list of events: 'x'"},
		{`[] // x`, "!byte 4: something follows the list of events: '/'"},
		{`/* [`, "!byte 1: the comment has no end"},
		{"\ufeff\ufeff[]", "!byte 1: a list of events in [ ] is expected, not text"},
		{"[\f{}]", `!byte 2: an event in { } is expected, not '\f'`},
		{`[{"x":` + strings.Repeat("[", 1001) + strings.Repeat("]", 1001) + "}]", "!byte 1007: values are nested deeper than 1000"},
	} {
		b, err := Decode([]byte(x.in), charset.UTF8, free, nil)
		got := shownAs(b)
		var syntax *SyntaxError
		switch {
		case errors.Is(err, ErrNoEvents):
			got = "0" + err.Error()
		case errors.As(err, &syntax):
			got = "!" + err.Error()
		case err != nil:
			t.Errorf("%q: %v", x.in, err)
			continue
		}
		if got != x.want {
			t.Errorf("%q:\n%s, want\n%s", x.in, got, x.want)
		}
	}
}

func TestManyHeaders(t *testing.T) {
	var in, want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&in, `"h%d":"%d",`, i, i)
		fmt.Fprintf(&want, "h%d=%d ", i, i)
	}
	b, err := Decode([]byte(`[{"headers":{`+in.String()+`"z":null,"z":1}}]`), charset.UTF8, free, nil)
	if got := shownAs(b); err != nil || got != want.String()+"z=1 |" {
		t.Errorf("%s, %v", got, err)
	}
	for _, twice := range []string{`"h50":"x"`, `"h50":null`} {
		if _, err := Decode([]byte(`[{"headers":{`+in.String()+twice+`}}]`), charset.UTF8, free, nil); err == nil || !strings.Contains(err.Error(), `"h50" comes twice`) {
			t.Error(err)
		}
	}
}

func TestCharsets(t *testing.T) {
	for _, x := range []struct {
		charset charset.Charset
		want    string
	}{
		{charset.UTF8, "\xc3\xa9?"},
		{charset.UTF16, "\xfe\xff\x00\xe9\xff\xfd"},
		{charset.UTF32, "\x00\x00\x00\xe9\x00\x00\xff\xfd"},
	} {
		b, err := Decode([]byte(`[{"body":"é\ud800","headers":{"é":"\ud800"}},{}]`), x.charset, free, nil)
		if err != nil || len(b) != 2 || string(b[0].Body) != x.want || fmt.Sprint(b[0].Headers) != "[{é ?}]" || len(b[1].Body) != 0 {
			t.Errorf("%q, %v", b, err)
		}
	}
}

func TestLines(t *testing.T) {
	for _, x := range []struct{ in, want string }{
		{"", ""},
		{"\n \r\n", ""},
		{"{\"body\":\"a\"}\n\n{\"headers\":{\"k\":\"v\"},\"body\":\"b\"}\r\n{body:'c'} # d", "a|k=v b|c|"},
		{"# nothing\n{\"body\":null}\n{headers:{}}", "||"},
		{"{\"body\":\"a\"}\n{\"message\":\"b\"}", `!line 2 byte 15: the object has neither "body" nor "headers"`},
		{"{}", `!line 1 byte 2: the object has neither "body" nor "headers"`},
		{"{body:x}\n{\"body\":\"a", "!line 2 byte 10: the text has no end"},
		{"{body:x}\n{\"body\":\n\"a\"}", "!line 2 byte 8: a text is expected, not the end"},
		{"{body:x}\n[{}]", "!line 2 byte 1: an event in { } is expected, not '['"},
		{"{body:x} {}", "!line 1 byte 10: something follows the event: '{'"},
		{"null", "!line 1 byte 1: an event in { } is expected, not 'n'"},
	} {
		b, err := Lines([]byte(x.in), charset.UTF8, free)
		got := shownAs(b)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != x.want {
			t.Errorf("%q:\n%s, want\n%s", x.in, got, x.want)
		}
	}
}

// Objects that Flume makes empty events of are told apart from events that are empty.
func TestForeign(t *testing.T) {
	for in, want := range map[string]string{
		`[{},{"body":null,"x":1},{"x":1,"headers":null}]`: "0 ",
		`[{"body":"a"},{"mess\u0061ge":"b"},{"x":1}]`:     "2 message",
		`[{"` + strings.Repeat("x", 200) + `":1}]`:        "1 " + strings.Repeat("x", 100),
	} {
		got := "0 "
		if _, err := Decode([]byte(in), charset.UTF8, free, func(n int, field string) { got = fmt.Sprint(n, " ", field) }); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

func TestBodies(t *testing.T) {
	b, err := Bodies([]byte("one\r\n\n{\"two\":2}\n\xff\r\r\nfour"), free)
	if got := shownAs(b); err != nil || got != "one|{\"two\":2}|\xff\r|four|" {
		t.Errorf("%q, %v", got, err)
	}
}

// Whatever is made of a document was asked for, and a no is heard.
func TestRoom(t *testing.T) {
	document := func() []byte {
		return []byte("[" + strings.Repeat(`{"headers":{"a":"1","b":"2"},"body":"x"},`, 1000) + `{}]`)
	}
	asked := 0
	b, err := Decode(document(), charset.UTF8, func(n int) error { asked += n; return nil }, nil)
	if err != nil || len(b) != 1001 {
		t.Fatal(err)
	}
	if least := 1001*48 + 2000*32 + 4000; asked < least {
		t.Errorf("%d bytes were asked for, and %d are held", asked, least)
	}
	for most := asked - 1; most > 0; most /= 2 {
		full, left := errors.New("full"), most
		if _, err := Decode(document(), charset.UTF8, func(n int) error {
			if left -= n; left < 0 {
				return full
			}
			return nil
		}, nil); !errors.Is(err, full) {
			t.Errorf("with %d of %d bytes: %v", most, asked, err)
		}
	}
}

// Documents that encoding/json writes come back.
func TestWritten(t *testing.T) {
	type written struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	rapid.Check(t, func(r *rapid.T) {
		in := rapid.SliceOf(rapid.Custom(func(r *rapid.T) written {
			return written{rapid.MapOf(rapid.String(), rapid.String()).Draw(r, "headers"), rapid.String().Draw(r, "body")}
		})).Draw(r, "events")
		p, err := json.Marshal(in)
		if err != nil {
			r.Fatal(err)
		}
		if in == nil {
			p = []byte("[]")
		}
		got, err := Decode(p, charset.UTF8, free, nil)
		if err != nil || len(got) != len(in) {
			r.Fatalf("%d of %d events, %v", len(got), len(in), err)
		}
		for i, e := range in {
			if string(got[i].Body) != e.Body || len(got[i].Headers) != len(e.Headers) {
				r.Fatalf("event %d: %q, want %q", i, got[i], e)
			}
			for k, v := range e.Headers {
				if have, ok := got[i].Headers.Get(k); !ok || have != v {
					r.Fatalf("header %q is %q, want %q", k, have, v)
				}
			}
		}
	})
}

// What is valid JSON and looks like events is read as encoding/json reads it; nothing panics, and what comes out is text.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`[{"headers":{"a":"1","b":true},"body":"x\u00e9\ud83d\ude00"},{"body":null}]`,
		")]}'\n[{'headers':[[a,b],[c;'d']],body=>x}; {x:[,[1,{y=z}]]}] ",
		"[/* */{# \n\"body\":\"\\\n\"}//\r]", "[{},]", "null", `[{"body":"\uzzzz"}]`, "{\"body\":1}\n{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if !utf8.Valid(in) {
			in = charset.DecodeUTF8(in)
		}
		type read struct {
			Headers map[string]string `json:"headers"`
			Body    *string           `json:"body"`
		}
		var want []*read
		strict := json.Unmarshal(in, &want)
		b, err := Decode([]byte(string(in)), charset.UTF8, free, nil)
		for _, e := range b {
			if !utf8.Valid(e.Body) {
				t.Fatalf("%q", e.Body)
			}
			for _, h := range e.Headers {
				if !utf8.ValidString(h.Key) || !utf8.ValidString(h.Value) {
					t.Fatalf("%q", h)
				}
			}
		}
		if _, other := Lines([]byte(string(in)), charset.UTF16, free); other != nil && strings.TrimSpace(string(in)) == "" {
			t.Fatal(other)
		}
		if _, other := Bodies(in, free); other != nil {
			t.Fatal(other)
		}
		if strict != nil || want == nil {
			return
		}
		// encoding/json also takes other spellings of the names, and more than one header of a name
		if text := strings.ToLower(string(in)); strings.Count(text, "headers") > len(want) || strings.Count(text, "body") > len(want) ||
			strings.Contains(text, `\u`) || strings.ContainsAny(text, "ſKK") || strings.ToLower(string(in)) != string(in) {
			return
		}
		for _, e := range want {
			if e == nil {
				return
			}
		}
		if err != nil {
			if strings.Contains(err.Error(), "comes twice") || strings.Contains(err.Error(), "nested deeper") {
				return
			}
			t.Fatalf("%q: %v", in, err)
		}
		if len(b) != len(want) {
			t.Fatalf("%q: %d events, want %d", in, len(b), len(want))
		}
		for i, e := range want {
			if e.Body != nil && string(b[i].Body) != *e.Body {
				t.Fatalf("%q: the body is %q, want %q", in, b[i].Body, *e.Body)
			}
		}
	})
}

func TestAllocations(t *testing.T) {
	document := []byte("[" + strings.Repeat(`{"headers":{"timestamp":"1434324343","host":"random_host.example.com"},"body":"random_body\n"},`, 999) + `{}]`)
	if n := testing.AllocsPerRun(10, func() {
		p := append([]byte(nil), document...)
		if b, err := Decode(p, charset.UTF8, free, nil); err != nil || len(b) != 1000 {
			t.Fatal(err)
		}
	}); n > 25 {
		t.Errorf("%v allocations for 1000 events", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	document := []byte("[" + strings.Repeat(`{"headers":{"timestamp":"1434324343","host":"random_host.example.com"},"body":"`+strings.Repeat("x", 500)+`"},`, 99) + `{}]`)
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	p := make([]byte, len(document))
	for b.Loop() {
		copy(p, document)
		if _, err := Decode(p, charset.UTF8, free, nil); err != nil {
			b.Fatal(err)
		}
	}
}
